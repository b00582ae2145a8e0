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
// and [latchkey.PortableMembership], with a small first letter: times are in RFC 3339, digests in
// base64, and a password is a text of package hasher or foreign. A line has at most 4 MiB.
//
// # Files of other systems
//
// They hold users, and no teams. Members and columns that are not named here are ignored, so that
// a newer export is still read, and no roles, groups or claims come along, because they give
// rights. A member of another type than in the documents refuses its record, and so does a member
// that comes twice. In a list of JSON, the line of a record is its number, from 1. In CSV it is
// the line on which the row begins, and a separator of comma, semicolon, tab or colon is found by
// the names of the columns. A byte order mark at the beginning is skipped.
//
// Ids stay as [UserID] says. Verified addresses count only with ImportOptions.TrustVerified. A user
// without an address or identity comes too: the rows of the host may name them.
//
// [Firebase] and [FirebaseCSV] are the two files of the command firebase auth:export, as in
// "auth:import and auth:export" (https://firebase.google.com/docs/cli/auth) and its source
// (https://github.com/firebase/firebase-tools, src/accountExporter.ts). Along come address,
// number, name, password, times, identities, and disabled users. Numbers count as unverified,
// because the file makes no claim. Second factors by SMS stay behind. A user without a hash comes
// without a password: Firebase leaves a hash out that was imported and never used. Needs
// Options.Firebase, and Options.Providers for others than Google and Apple.
//
// [Auth0] is a bulk user export, as JSON lines, a list, or CSV, as in "Bulk Export User Data"
// (https://auth0.com/docs/manage-users/user-migration/bulk-user-exports) and "Auth0 User Profile
// Attribute Schema" (https://auth0.com/docs/manage-users/user-accounts/user-profiles/user-profile-structure).
// Fields keep their own names. Along come address, number, name, times, user_metadata as
// preferences (not in CSV), identities, and blocked users. If the file has no identities, the id
// of the user tells one. Passwords are in the export of password hashes, as in "How to Use the
// Password Hashes Export from Auth0" (https://support.auth0.com/center/s/article/How-to-Use-the-Password-Hashes-Export-from-Auth0):
// needs Options.Auth0Hashes. Options.Providers has the name of a connection, or of a provider
// with one connection. Second factors stay behind. [Auth0Passwords] is that export alone:
// addresses and passwords.
//
// [Supabase] is the table auth.users as CSV with a header, JSON lines or a list, as in the
// migrations of its source (https://github.com/supabase/auth, migrations). Along come address,
// number, password, times, raw_user_meta_data as preferences and its full_name or name as the
// name, and banned users. Each row of JSON may have the rows of two other tables, for identities
// and authenticator apps:
//
//	select to_jsonb(u) || jsonb_build_object(
//	  'identities', (select jsonb_agg(to_jsonb(i)) from auth.identities i where i.user_id = u.id),
//	  'mfa_factors', (select jsonb_agg(to_jsonb(f)) from auth.mfa_factors f where f.user_id = u.id))
//	from auth.users u
//
// Other second factors stay behind. No identity is taken from raw_user_meta_data, which the
// user can write.
//
// [PocketBase] is the records of a collection of users, as a list, JSON lines, or an answer of its
// API, as in its source (https://github.com/pocketbase/pocketbase, core/field_password.go and
// core/external_auth_model.go). Along come address, name, password and times. Only a file out of
// the database has passwords, for example of sqlite3 -json. A record may have the rows of
// _externalAuths as its member externalAuths.
//
// [Keycloak] is one realm with its users, or the users of a realm, as kc.sh export writes them, as
// in "Importing and Exporting Realms" (https://www.keycloak.org/server/importExport) and its source
// (https://github.com/keycloak/keycloak, AbstractUserRepresentation.java, CredentialRepresentation.java,
// OTPCredentialModel.java). Along come address, name, password (PBKDF2 and argon2), the time of
// creation, an authenticator app, identities, the order to set a new password, and disabled users.
// A user who does not say that it is enabled counts as disabled. Attributes and usernames stay
// behind, except as the name of a user without one, and so do security keys and recovery codes.
// Needs Options.Providers for each provider.
//
// [Appwrite] is the users of the model "User" (https://appwrite.io/docs/models/user), as a list, an
// answer with total and users, or JSON lines. Along come addresses, name, password of all kinds of
// hashes, times, labels, preferences, the switch mfa, and blocked users. Identities, targets and
// factors are not in it, and impersonators stay behind. A password without passwordUpdate is none.
//
// [WordPress] is the table wp_users as CSV with a header, or the file of a plugin with the same
// columns and source_user_id, as that of "Import and export users and customers". The forms of
// hashes are those of "wp_check_password()"
// (https://developer.wordpress.org/reference/functions/wp_check_password/). Along come address,
// display name, password, the time of registration, and spam users as blocked. Roles and metadata
// stay behind. The address is unverified.
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

// MaxLine is the largest size of a record in bytes.
const MaxLine = 4 << 20

// Format names the form of a file.
type Format string

// Latchkey is the format of this package.
const Latchkey Format = "latchkey"

// Options are what the file of another system does not say.
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
func lines(in *bufio.Reader, yield func(number int, line []byte) bool) error {
	for number := 1; ; number++ {
		line, err := readLine(in)
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if len(line) > MaxLine {
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
// than MaxLine.
func readLine(in *bufio.Reader) (line []byte, err error) {
	for {
		part, err := in.ReadSlice('\n')
		line = append(line, part[:min(len(part), MaxLine+2-len(line))]...)
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
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
