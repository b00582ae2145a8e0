// Package transfer reads and writes files of users, for [latchkey.Engine.Import] and
// [latchkey.Engine.Export]: JSON lines of its own, and the export files of other systems.
//
//	file, err := os.Open("users.jsonl")
//	done, err := engine.Import(ctx, transfer.Read(file, transfer.Latchkey, transfer.Options{}), latchkey.ImportOptions{})
//
// A file is read in one pass, record by record: memory does not grow with it. A record that does
// not have the form of its format is refused with its line and the reason, which holds no value of
// the record, and the others go on. No hash is guessed: one of an unknown scheme refuses its user.
//
// # The lines of Latchkey
//
// A file in the format [Latchkey] is UTF-8, with one JSON object a line. The first line is a
// head, the last one an end with the numbers of records, so that a file that was cut off is
// noticed:
//
//	{"kind":"latchkey","version":1,"secrets":true,"createdAt":"2026-01-02T03:04:05Z"}
//	{"kind":"user","id":"ada","email":"ada@example.org","emailVerified":true,"password":"$argon2id$..."}
//	{"kind":"team","id":"club","name":"Club","createdAt":"2026-01-02T03:04:05Z","updatedAt":"2026-01-02T03:04:05Z"}
//	{"kind":"membership","id":"m1","teamId":"club","userId":"ada","roles":["owner"]}
//	{"kind":"end","users":1,"teams":1,"memberships":1}
//
// Every member may be missing except kind, the id of a team, and the teamId and userId of a
// membership. Teams come after the users, and memberships after the teams. A member that
// version 1 does not have is an error of its line, and a head with a higher version is an error of
// the file. The members of a record are those of [latchkey.PortableUser], [latchkey.PortableTeam]
// and [latchkey.PortableMembership], with a small first letter: times are in RFC 3339, bytes in
// base64, and a password is a text of package hasher or foreign. A line has at most 16 MiB.
//
// # Files of other systems
//
// These files hold users, and no teams. Members and columns that are not listed here are ignored,
// so that a newer export is still read. Roles, groups and claims do not come along, because they
// give rights. A known member of the wrong type refuses its record, and so does a member that comes
// twice.
//
// In a JSON list, the line of a record is its number, from 1. In CSV it is the line on which the
// row begins. The separator of a CSV file with a header is the comma, semicolon, tab or colon with
// which the needed columns are found. A byte order mark at the beginning is skipped.
//
// [UserID] tells the ids. A verified address counts only with ImportOptions.TrustVerified. A user
// without an address or identity comes too, because rows of the host may name the user.
//
// [Firebase] and [FirebaseCSV] are the two files of firebase auth:export.
//   - Documents: "auth:import and auth:export" (https://firebase.google.com/docs/cli/auth), and
//     src/accountExporter.ts of https://github.com/firebase/firebase-tools.
//   - Come along: address, number, name, password, times, identities, disabled users.
//   - Stay behind: second factors by SMS. A number counts as unverified, because the file does not
//     say. A user without a hash comes without a password: Firebase leaves out hashes that were
//     imported and never used.
//   - Options: Firebase, and Providers for others than Google and Apple.
//   - The tool did not always double quotes in CSV. A row whose columns may have moved is refused.
//
// [Auth0] is a bulk user export, as JSON lines, a list or CSV. [Auth0Passwords] is an export of
// password hashes without the other file.
//   - Documents: "Bulk Export User Data"
//     (https://auth0.com/docs/manage-users/user-migration/bulk-user-exports), "Auth0 User Profile
//     Attribute Schema" (.../manage-users/user-accounts/user-profiles/user-profile-structure), and
//     "How to Use the Password Hashes Export from Auth0"
//     (https://support.auth0.com/center/s/article/How-to-Use-the-Password-Hashes-Export-from-Auth0).
//   - Come along: address, number, name, password, times, user_metadata as preferences (not in
//     CSV), identities, blocked users. Without identities in the file, the id of the user tells the
//     first one.
//   - Stay behind: second factors, app_metadata. Fields that were renamed are not found.
//   - Options: Auth0Hashes, and Providers by the name of a connection, or of a provider that has one
//     connection.
//
// [Supabase] is the table auth.users, as JSON lines, a list or CSV.
//   - Documents: the migrations of https://github.com/supabase/auth.
//   - Come along: address, number, name, password, times, raw_user_meta_data as preferences and
//     its full_name or name as the name, banned users. A record of JSON may have the rows of two
//     other tables, see below, for identities and an authenticator app, which switches MFA on.
//   - Stay behind: other second factors. No identity is taken from raw_user_meta_data, because the
//     user can write it. Deleted users are refused.
//   - Options: Providers for others than Google and Apple.
//
// This query writes such records:
//
//	select to_jsonb(u) || jsonb_build_object(
//	  'identities', (select jsonb_agg(to_jsonb(i)) from auth.identities i where i.user_id = u.id),
//	  'mfa_factors', (select jsonb_agg(to_jsonb(f)) from auth.mfa_factors f where f.user_id = u.id))
//	from auth.users u
//
// [PocketBase] is the records of a collection of users, as a list, JSON lines, or an answer of the
// API.
//   - Documents: core/field_password.go and core/external_auth_model.go of
//     https://github.com/pocketbase/pocketbase.
//   - Come along: address, name, password, times. A record may have the rows of _externalAuths as
//     its member externalAuths, for identities. Only a file from the database has hashes, for
//     example one of sqlite3 -json.
//   - Options: Providers for others than Google and Apple.
//
// [Keycloak] is a realm with its users, or a file of users of a realm, as kc.sh export writes them.
//   - Documents: "Importing and Exporting Realms" (https://www.keycloak.org/server/importExport), and
//     AbstractUserRepresentation.java, CredentialRepresentation.java and OTPCredentialModel.java of
//     https://github.com/keycloak/keycloak.
//   - Come along: address, name, password, time of creation, authenticator app, which switches MFA
//     on, identities, the order to set a new password, disabled users. A user without the member
//     enabled counts as disabled. The username is the name of a user without one.
//   - Stay behind: attributes, security keys, recovery codes. Accounts of clients are refused.
//   - Options: Providers for each provider, because the realm has named them.
//
// [Appwrite] is a list of users, as JSON lines, a list, or an answer with total and users.
//   - Document: "User" (https://appwrite.io/docs/models/user).
//   - Come along: address, number, name, password of each kind of hash, times, labels,
//     preferences, the switch mfa, blocked users. A password without passwordUpdate is none.
//   - Stay behind: impersonators, targets. Identities and factors are not in the file.
//
// [WordPress] is the table wp_users as CSV with a header, or the file of the plugin "Import and
// export users and customers", which names the id source_user_id.
//   - Document: "wp_check_password()"
//     (https://developer.wordpress.org/reference/functions/wp_check_password/) for the hashes.
//   - Come along: address, display name, password, time of registration, spam users as blocked.
//   - Stay behind: roles, metadata. Deleted users of a network are refused.
package transfer

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"

	"example.com/latchkey"
	"example.com/latchkey/hasher/foreign"
)

// The largest sizes in bytes: MaxLine of a line of [Latchkey], which has all that a user may have,
// and MaxRecord of a record of another system.
const (
	MaxLine   = 16 << 20
	MaxRecord = 4 << 20
)

// Format names the form of a file.
type Format string

// Latchkey is the format of this package.
const Latchkey Format = "latchkey"

// Options complete the file of another system, which lacks them.
type Options struct {
	// Firebase are the parameters of the project's hashes, which its console shows: SignerKey,
	// Separator, Rounds and MemoryCost. Salt comes from the file. Without SignerKey, each user
	// with a hash is refused.
	Firebase foreign.ScryptModifiedOptions
	// Auth0Hashes is the export of password hashes that belongs to a file in the format [Auth0].
	// It is read first, and memory grows with it: some 200 bytes a user. Without it, each user
	// with a password is refused.
	Auth0Hashes io.Reader
	// Providers are the providers of identities, by their names in the source. Google and Apple
	// are known, except in the format [Keycloak], where the realm names them itself. A user with
	// an identity at another provider is refused. The zero Provider leaves the identities out.
	// Apple and others give each developer other ids of their users: there, this host needs the
	// account that the source had.
	Providers map[string]Provider
	// WithoutPassword takes users whose hash is missing or not known, without a password: they
	// set one by recovery. Without it they are refused.
	WithoutPassword bool
}

// The errors of a whole file.
var (
	ErrFormat   = errors.New("transfer: the file does not have this format")
	ErrVersion  = errors.New("transfer: a newer version of this program has written the file")
	ErrTooShort = errors.New("transfer: the file has been cut off")
	ErrTooLong  = errors.New("transfer: a record is longer than MaxLine")
)

// Records are the records of a file. A record that cannot be read comes as a
// *latchkey.RecordError. Any other error is one of the whole file, and the last.
type Records = iter.Seq2[latchkey.Portable, error]

// readers are the formats.
var readers = map[Format]func(io.Reader, Options) Records{
	Latchkey: readLines,
	Firebase: readFirebase, FirebaseCSV: readFirebaseCSV,
	Auth0: readAuth0, Auth0Passwords: readAuth0Passwords,
	Supabase: readSupabase, PocketBase: readPocketBase, Keycloak: readKeycloak, Appwrite: readAppwrite, WordPress: readWordPress,
}

// Formats returns the formats that [Read] knows, in the order of the alphabet.
func Formats() (all []Format) {
	for f := range readers {
		all = append(all, f)
	}
	slices.Sort(all)
	return all
}

// Read returns the records of a file. The file is read as the records are asked for, once.
//
// Errors of the whole file:
//   - [ErrFormat], [ErrVersion], [ErrTooShort]
//   - those of r
func Read(r io.Reader, f Format, o Options) Records {
	read, known := readers[f]
	if !known {
		return func(yield func(latchkey.Portable, error) bool) {
			yield(latchkey.Portable{}, fmt.Errorf("%w: its name is not known", ErrFormat))
		}
	}
	return read(r, o)
}

// refuse returns the error of one record.
func refuse(line int, format string, args ...any) error {
	return &latchkey.RecordError{Line: line, Reason: fmt.Sprintf(format, args...)}
}

// buffered returns a reader of a file, after its byte order mark if it has one.
func buffered(r io.Reader) *bufio.Reader {
	const mark = "\ufeff"
	in := bufio.NewReaderSize(r, 64<<10)
	if head, _ := in.Peek(len(mark)); string(head) == mark { // an error comes again when the file is read
		_, _ = in.Discard(len(mark)) // never fails after Peek
	}
	return in
}

// lines calls yield with each line of a file that is not empty, until it returns false. A line
// that is too long is nil. The error is that of the reader.
func lines(in *bufio.Reader, most int, yield func(number int, line []byte) bool) error {
	for number := 1; ; number++ {
		line, err := readLine(in, most)
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if len(line) > most {
			line = nil
		} else if len(line) == 0 {
			if err != nil {
				return nil
			}
			continue
		}
		if !yield(number, line) || err != nil {
			return nil
		}
	}
}

// readLine returns the next line without its end. Of a line that is too long it keeps a byte more
// than most.
func readLine(in *bufio.Reader, most int) (line []byte, err error) {
	size := 0
	for {
		part, err := in.ReadSlice('\n')
		if size += len(part); len(line) < most+3 {
			line = append(line, part[:min(len(part), most+3-len(line))]...)
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case size > most+2:
			return line[:most+1], err
		case err == nil:
			line = trimEnd(line)
		}
		return line, err
	}
}

// trimEnd cuts the end of a line off.
func trimEnd(line []byte) []byte {
	for len(line) > 0 && (line[len(line)-1] == '\n' || line[len(line)-1] == '\r') {
		line = line[:len(line)-1]
	}
	return line
}
