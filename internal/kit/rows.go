package kit

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"example.com/latchkey/internal/record"
	"example.com/latchkey/store"
)

// Broken returns the rules that the stored rows break. Each test of a kit ends with
// this check.
func (k *Kit) Broken() (rules []string) {
	k.Helper()
	all := func(table *store.Table) (rows []store.Row) {
		for q := (store.Query{Index: table.Primary(), Limit: store.MaxLimit}); ; {
			page, err := k.Store.Store.List(k.Ctx, q)
			if errors.Is(err, store.ErrClosed) {
				return nil
			}
			k.Must(err)
			rows = append(rows, page...)
			if len(page) < q.Limit {
				return rows
			}
			q.After = q.Index.Position(page[len(page)-1])
		}
	}
	say := func(format string, args ...any) { rules = append(rules, fmt.Sprintf(format, args...)) }

	users := make(map[string]*record.User)
	for _, row := range all(record.Users.Table) {
		u := record.Users.Record(row)
		users[u.ID] = u
	}
	reserved, counted := make(map[string]string), make(map[string][]string)
	for _, row := range all(record.Identities.Table) {
		i := record.Identities.Record(row)
		if i.Reserved != "" {
			reserved[i.Reserved] = i.UserID
		}
		if i.Pending == "" && !slices.Contains(counted[i.UserID], i.Provider) {
			counted[i.UserID] = append(counted[i.UserID], i.Provider)
		}
		if i.Reserved != "" && i.Pending != "" {
			say("identity %s does not count, and reserves an address", i.ID)
		}
		if i.Reserved != "" && i.Reserved != i.Email {
			say("identity %s reserves another address than its own", i.ID)
		}
		if users[i.UserID] == nil {
			say("identity of %s has no user", i.UserID)
		}
	}
	emails := make(map[string]string)
	for _, row := range all(record.Addresses.Table) {
		a := record.Addresses.Record(row)
		emails[a.Address] = a.UserID
		if u := users[a.UserID]; u == nil || u.Email != a.Address && reserved[a.Address] != u.ID {
			say("address of %s has no user", a.UserID)
		}
	}
	for address, owner := range reserved {
		if emails[address] != owner {
			say("an identity of %s reserves an address that is not theirs", owner)
		}
	}
	targets, mirrored := make(map[string]string), make(map[string][]*record.Target)
	for _, row := range all(record.Targets.Table) {
		t := record.Targets.Record(row)
		mirrored[t.UserID] = append(mirrored[t.UserID], t)
		targets[t.ProviderType+" "+t.Identifier] = t.UserID
		if users[t.UserID] == nil {
			say("target of %s has no user", t.UserID)
		}
	}
	for _, u := range users {
		slices.SortFunc(mirrored[u.ID], func(a, b *record.Target) int { return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.ID, b.ID)) })
		shown, err := record.TargetsOf(u)
		k.Must(err)
		again, err := record.EncodeTargets(shown)
		k.Must(err)
		if want, err := record.EncodeTargets(mirrored[u.ID]); err != nil || again != want {
			say("the row of %s has the targets %s, and there are %s", u.ID, again, want)
		}
		if u.Email != "" && emails[u.Email] != u.ID {
			say("the address of %s is not theirs", u.ID)
		}
		if u.Email != "" && targets["email "+u.Email] == "" || u.Phone != "" && targets["sms "+u.Phone] == "" {
			say("an address of %s has no target", u.ID)
		}
		if u.EmailVerified && u.Email == "" || u.PhoneVerified && u.Phone == "" {
			say("%s has proven an address that is not there", u.ID)
		}
		if got := strings.Join(slices.Sorted(slices.Values(counted[u.ID])), " "); u.Providers != got {
			say("%s has identities of %q, and counts %q", u.ID, got, u.Providers)
		}
		if (u.Password != nil) && u.PasswordUpdated.IsZero() {
			say("the password of %s has no date", u.ID)
		}
	}
	keys := make(map[string]string)
	for _, row := range all(record.Passkeys.Table) {
		p := record.Passkeys.Record(row)
		switch {
		case users[p.UserID] == nil:
			say("passkey of %s has no user", p.UserID)
		case !p.Second:
			keys[p.UserID] = "first"
		case keys[p.UserID] == "":
			keys[p.UserID] = "second"
		}
	}
	for _, u := range users {
		if u.Passkeys != keys[u.ID] {
			say("%s has passkeys %q, and counts %q", u.ID, keys[u.ID], u.Passkeys)
		}
	}
	confirmed := make(map[string]bool)
	for _, row := range all(record.Authenticators.Table) {
		a := record.Authenticators.Record(row)
		confirmed[a.UserID] = a.Verified
		if users[a.UserID] == nil {
			say("authenticator of %s has no user", a.UserID)
		}
	}
	for _, u := range users {
		if u.TOTP != confirmed[u.ID] {
			say("the authenticator of %s is confirmed: %v, and the user says %v", u.ID, confirmed[u.ID], u.TOTP)
		}
	}
	live, pushing := make(map[string]int), make(map[string]bool)
	for _, row := range all(record.Sessions.Table) {
		s := record.Sessions.Record(row)
		pushing[s.ID] = s.Targets
		u := users[s.UserID]
		if u == nil {
			say("session of %s has no user", s.UserID)
			continue
		}
		if s.Expire.After(k.Clock.Now()) {
			live[fmt.Sprint(u.ID, " of sessions that owe: ", !s.Owing.IsZero())]++
		}
		var factors []string
		if u.Password != nil {
			factors = append(factors, "password")
		}
		if u.TOTP {
			factors = append(factors, "totp")
		}
		if u.RecoveryCodes {
			factors = append(factors, "recoveryCode")
		}
		if u.Passkeys != "" {
			factors = append(factors, "passkey")
		}
		if u.Recovered {
			factors = append(factors, "recovered")
		}
		if u.EmailVerified {
			factors = append(factors, "email")
		}
		if u.PhoneVerified {
			factors = append(factors, "phone")
		}
		for _, name := range strings.Fields(u.Providers) {
			factors = append(factors, "oauth2:"+name)
		}
		if s.UserBlocked != u.Blocked || s.UserMustReset != u.MustReset || s.UserMFA != u.MFA || s.UserFactors != strings.Join(factors, " ") || s.UserPasswordEpoch != u.PasswordEpoch {
			say("a session of %s has other facts than its user: %+v", u.ID, s)
		}
	}
	for _, row := range all(record.Targets.Table) {
		if t := record.Targets.Record(row); t.SessionID != "" && !pushing[t.SessionID] {
			say("the session of target %s of %s is gone, or does not know of it", t.ID, t.UserID)
		}
	}
	for id, n := range live {
		if n > cmp.Or(k.Policy.Sessions.Limit, 10) {
			say("%s has %d sessions", id, n)
		}
	}
	teams, members, memberships := make(map[string]*record.Team), make(map[string]int64), make(map[string]int64)
	for _, row := range all(record.Teams.Table) {
		team := record.Teams.Record(row)
		teams[team.ID] = team
	}
	for _, row := range all(record.Memberships.Table) {
		m := record.Memberships.Record(row)
		if teams[m.TeamID] == nil {
			say("membership %s has no team", m.ID)
		}
		open := m.Address != "" && m.Inviter != "" && m.InviterKey != "" && len(m.Digest) > 0 && !m.Expire.IsZero() && m.Subject != ""
		closed := m.Address+m.Inviter+m.InviterKey+m.Invitee+m.Name == "" && len(m.Digest) == 0 && m.Expire.IsZero() && m.Subject == m.UserID
		if m.Confirm && !closed || !m.Confirm && (!open || m.UserID+m.UserKey != "" || m.Owner || !m.Joined.IsZero()) {
			say("membership %s is neither a member's nor an invitation: %+v", m.ID, m)
		}
		if !m.Confirm {
			continue
		}
		members[m.TeamID]++
		memberships[m.UserID]++
		if u := users[m.UserID]; u == nil || u.Key != m.UserKey {
			say("membership %s has no user", m.ID)
		}
		if m.Owner != strings.Contains(m.Roles, `"owner"`) {
			say("membership %s says that it is an owner's: %v, with the roles %s", m.ID, m.Owner, m.Roles)
		}
	}
	for _, team := range teams {
		if team.Total != members[team.ID] {
			say("team %s has %d members, and counts %d", team.ID, members[team.ID], team.Total)
		}
	}
	for _, u := range users {
		if u.Memberships != memberships[u.ID] {
			say("%s has %d memberships, and counts %d", u.ID, memberships[u.ID], u.Memberships)
		}
	}
	words := make(map[string]bool)
	for _, row := range all(record.Words.Table) {
		w := record.Words.Record(row)
		words[w.RowID] = true
		if w.Scope == "users" && users[w.RowID] == nil || w.Scope == "teams" && teams[w.RowID] == nil {
			say("word of %s has no row", w.RowID)
		}
	}
	for id := range users {
		if !words[id] && strings.ContainsFunc(id, func(r rune) bool { return r != '.' && r != '-' && r != '_' }) {
			say("%s is not found by words", id)
		}
	}
	for _, row := range all(record.Outbox.Table) {
		d := record.Outbox.Record(row)
		if given := !d.GivenUp.IsZero(); given != d.Due.IsZero() || given && (d.Stream != "" || d.Leased) {
			say("delivery %s was given up: %v, and may be claimed at %v in the stream %q, leased: %v", d.ID, given, d.Due, d.Stream, d.Leased)
		}
		if d.Failures < 0 || d.Failures > d.Tries || d.Leased && d.Tries == 0 {
			say("delivery %s has counts that cannot be: %+v", d.ID, d)
		}
		if len(d.Sealed) == 0 || d.Lane == "" || d.Kind == "" {
			say("delivery %s has no content, way or kind", d.ID)
		}
	}
	slices.Sort(rules)
	return rules
}

// Rows counts the rows of every table.
func (k *Kit) Rows() map[string]int {
	k.Helper()
	out := make(map[string]int)
	for _, table := range record.Schema.Tables() {
		n, err := k.Store.Store.Count(k.Ctx, store.Query{Index: table.Primary()})
		k.Must(err)
		out[table.Name()] = n
	}
	return out
}

// Everything returns the rows of every table as text.
func (k *Kit) Everything() map[string][]string {
	k.Helper()
	out := make(map[string][]string)
	for _, table := range record.Schema.Tables() {
		rows, err := k.Store.Store.List(k.Ctx, store.Query{Index: table.Primary(), Limit: store.MaxLimit})
		k.Must(err)
		for _, row := range rows {
			var line strings.Builder
			for i, column := range table.Columns() {
				v := row.At(i)
				fmt.Fprintf(&line, "%s=%v/%q/%d ", column.Name, v.IsNull(), v.Text(), v.Int())
			}
			out[table.Name()] = append(out[table.Name()], line.String())
		}
	}
	return out
}

// ChangeUser changes a user's row without the engine, and marks the kit as Tampered.
func (k *Kit) ChangeUser(id string, change func(*record.User)) {
	k.Helper()
	k.Tampered = true
	k.Must(k.Store.Store.Update(k.Ctx, func(ctx context.Context, tx store.Tx) error {
		row, err := record.Users.Get(ctx, tx, record.Users.Primary(), store.Text(id))
		if err != nil {
			return err
		}
		change(row)
		return record.Users.Replace(ctx, tx, row)
	}))
}

// DeleteCeremonies deletes the open questions to authenticators.
func (k *Kit) DeleteCeremonies() {
	k.Helper()
	k.Must(k.Store.Store.Update(k.Ctx, func(ctx context.Context, tx store.Tx) error {
		_, err := tx.DeleteRange(ctx, store.Query{Index: record.Ceremonies.Primary(), Limit: store.MaxLimit})
		return err
	}))
}

// DeleteAll deletes every row, so that the kit is as new.
func (k *Kit) DeleteAll() {
	k.Helper()
	k.Must(k.Store.Store.Update(k.Ctx, func(ctx context.Context, tx store.Tx) error {
		for _, table := range slices.Backward(record.Schema.Tables()) { // children before parents
			if _, err := tx.DeleteRange(ctx, store.Query{Index: table.Primary(), Limit: store.MaxLimit}); err != nil {
				return err
			}
		}
		return nil
	}))
	clear(k.seen)
}
