// Package record declares the engine's stored records and their tables: columns, keys,
// indexes and references, each of them once.
//
// Columns are only added, never removed, at the end of a binding function. The same
// change adds a numbered migration to the SQL backends and raises the version of
// [Schema].
package record

import "example.com/latchkey/store"

// Schema lists all tables of the engine, parents before children.
var Schema = store.NewSchema("latchkey", 12,
	Addresses.Table, Users.Table, Sessions.Table, Targets.Table, Failures.Table, Logs.Table, Words.Table, Tokens.Table,
	Authenticators.Table, Challenges.Table, RecoveryCodes.Table, Settings.Table, Teams.Table, Memberships.Table,
	Identities.Table, Starts.Table, Passkeys.Table, Handles.Table, Ceremonies.Table, Outbox.Table).
	Filling(7, fillTargets)
