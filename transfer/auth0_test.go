package transfer_test

import (
	"encoding/json"
	"strings"
	"testing"

	"example.com/latchkey"
	"example.com/latchkey/transfer"
)

// auth0Options returns options with the hashes of the fixture.
func auth0Options(t testing.TB) transfer.Options {
	return transfer.Options{
		Auth0Hashes: strings.NewReader(fixture(t, "auth0-passwords.ndjson")),
		Providers:   map[string]transfer.Provider{"acme": {Name: "acme", Issuer: "https://id.acme.example"}},
	}
}

// The form is that of "Bulk Export User Data" and "Auth0 User Profile Attribute Schema", and that
// of the hashes of "How to Use the Password Hashes Export from Auth0". The addresses are in the
// package comment.
func TestAuth0JSON(t *testing.T) {
	r := read(fixture(t, "auth0.ndjson"), transfer.Auth0, auth0Options(t))
	sameUsers(t, r, []*latchkey.PortableUser{
		{
			ID: "5dea9f9c82dd7c0e76e4ec01", Email: "ada@example.org", EmailVerified: true, Phone: "+14155550101", PhoneVerified: true, Name: "Ada Example",
			CreatedAt: at(t, "2023-01-01T10:00:00.123Z"), UpdatedAt: at(t, "2024-01-01T10:00:00Z"), AccessedAt: at(t, "2024-01-01T10:00:00Z"),
			PasswordUpdate: at(t, "2023-02-01T10:00:00.123Z"), Prefs: json.RawMessage(`{"theme":"dark","size":12}`),
			Identities: []latchkey.PortableIdentity{{
				Provider: "google", Issuer: googleIssuer, Subject: "100000000000000000001", Email: "ada@example.org", EmailVerified: true, Name: "Ada at Google",
			}},
		},
		{ID: "euclid", Email: "grace@example.org", Blocked: true, CreatedAt: at(t, "2023-01-02T10:00:00Z"), PasswordUpdate: at(t, "2023-03-01T00:00:00Z")},
		{
			ID: transfer.UserID(transfer.Auth0, "oidc|acme|7f1"), Email: "lin@example.org", EmailVerified: true, Name: "Lin Example", CreatedAt: at(t, "2023-01-03T10:00:00Z"),
			Identities: []latchkey.PortableIdentity{{Provider: "acme", Issuer: "https://id.acme.example", Subject: "7f1"}},
		},
		{ID: transfer.UserID(transfer.Auth0, "sms|5dea9f9c82dd7c0e76e4ec09"), Phone: "+14155550109", PhoneVerified: true, CreatedAt: at(t, "2023-01-04T10:00:00Z")},
	}, "5dea9f9c82dd7c0e76e4ec01", "euclid")
}

// The columns are those of "Bulk Export User Data".
func TestAuth0CSV(t *testing.T) {
	r := read(fixture(t, "auth0.csv"), transfer.Auth0, auth0Options(t))
	sameUsers(t, r, []*latchkey.PortableUser{
		{
			ID: "5dea9f9c82dd7c0e76e4ec01", Email: "ada@example.org", EmailVerified: true, Name: "Ada Example", CreatedAt: at(t, "2023-01-01T10:00:00.123Z"),
			PasswordUpdate: at(t, "2023-02-01T10:00:00.123Z"),
		},
		{
			ID: transfer.UserID(transfer.Auth0, "google-oauth2|100000000000000000003"), Email: "lin@example.org", Name: "Example, Lin", Blocked: true, CreatedAt: at(t, "2023-01-03T10:00:00Z"),
			Identities: []latchkey.PortableIdentity{{Provider: "google", Issuer: googleIssuer, Subject: "100000000000000000003"}},
		},
	}, "5dea9f9c82dd7c0e76e4ec01")
	text := "user_id,email,identities[0].user_id,identities[0].provider,identities[1].user_id,identities[1].provider,identities[1].connection\nauth0|euclid,grace@example.org,euclid,auth0,acme|9,oidc,acme\n"
	sameUsers(t, read(text, transfer.Auth0, auth0Options(t)), []*latchkey.PortableUser{{
		ID: "euclid", Email: "grace@example.org", Identities: []latchkey.PortableIdentity{{Provider: "acme", Issuer: "https://id.acme.example", Subject: "9"}},
	}}, "euclid")
}

// The form is that of "How to Use the Password Hashes Export from Auth0".
func TestAuth0Passwords(t *testing.T) {
	r := read(fixture(t, "auth0-passwords.ndjson"), transfer.Auth0Passwords, transfer.Options{})
	sameUsers(t, r, []*latchkey.PortableUser{
		{ID: "5dea9f9c82dd7c0e76e4ec01", Email: "ada@example.org", EmailVerified: true, PasswordUpdate: at(t, "2023-02-01T10:00:00.123Z")},
		{ID: "euclid", Email: "grace@example.org"},
	}, "5dea9f9c82dd7c0e76e4ec01", "euclid")
	text := `{"alt_id":"ada","identifiers":[{"type":"phone_number","value":"+14155550101","verified":true},{"type":"username","value":"ada@other.example","verified":true}]}`
	sameUsers(t, read(text, transfer.Auth0Passwords, transfer.Options{WithoutPassword: true}), []*latchkey.PortableUser{{ID: "ada"}})
}

// A connection tells more than the kind of its provider.
func TestAuth0TakesTheConnectionFirst(t *testing.T) {
	acme := transfer.Provider{Name: "acme", Issuer: "https://id.acme.example"}
	o := transfer.Options{Providers: map[string]transfer.Provider{"acme": acme, "oidc": {Name: "other", Issuer: "https://other.example"}}}
	text := `{"user_id":"oidc|acme|7","identities":[{"user_id":"acme|7","provider":"oidc","connection":"acme"}]}`
	sameUsers(t, read(text, transfer.Auth0, o), []*latchkey.PortableUser{{
		ID: transfer.UserID(transfer.Auth0, "oidc|acme|7"), Identities: []latchkey.PortableIdentity{{Provider: acme.Name, Issuer: acme.Issuer, Subject: "7"}},
	}})
}

// An identity without an address has no proven one.
func TestAuth0ProvesNoMissingAddress(t *testing.T) {
	text := `{"user_id":"google-oauth2|1","email_verified":true,"phone_verified":true,"identities":[{"user_id":"1","provider":"google-oauth2","profileData":{"email_verified":true}}]}`
	sameUsers(t, read(text, transfer.Auth0, transfer.Options{}), []*latchkey.PortableUser{{
		ID: transfer.UserID(transfer.Auth0, "google-oauth2|1"), Identities: []latchkey.PortableIdentity{{Provider: "google", Issuer: googleIssuer, Subject: "1"}},
	}})
}

func TestAuth0Refuses(t *testing.T) {
	const identity = `{"user_id":"google-oauth2|1","identities":[{"user_id":"1","provider":"google-oauth2"},`
	refuses(t, transfer.Auth0, transfer.Options{}, []broken{
		{"empty", "\n", notBegun},
		{"another CSV", "id,email\n", "transfer: the file does not have this format: its header lacks the column user_id"},
		{"no object", "{}\n{\n7\n", "line 1: it has no id\nline 2: it is not a JSON object\nline 3: it is not a JSON object"},
		{"no id", `{"email":"ada@example.org"}`, "line 1: it has no id"},
		{"user_id", `{"user_id":1}`, "line 1: its member user_id has another form"},
		{"blocked", `{"user_id":"sms|1","blocked":"no"}`, "line 1: its member blocked has another form"},
		{"created_at", `{"user_id":"sms|1","created_at":1672653600000}`, "line 1: its member created_at has another form"},
		{"user_metadata", `{"user_id":"sms|1","user_metadata":[]}`, "line 1: its member user_metadata has another form"},
		{"identity", identity + `{"user_id":1.5,"provider":"google-oauth2"}]}`, "line 1: its member identities has another form"},
		{"provider", identity + `{"user_id":2,"provider":"facebook"}]}`, "line 1: the provider facebook is not in Options.Providers"},
		{"connection", identity + `{"user_id":"acme|2","provider":"google-oauth2"}]}`, "line 1: it has an identity at a connection that the file does not name"},
		{"no hashes", `{"user_id":"auth0|x"}`, "line 1: its password: Options.Auth0Hashes does not have it"},
		{"blank lines", "\n\n" + `{"user_id":"auth0|x"}` + "\n\n{}", "line 3: its password: Options.Auth0Hashes does not have it\nline 5: it has no id"},
		{"blocked in CSV", "user_id,email,blocked\nsms|1,,maybe\n", "line 2: its column blocked has another form"},
		{"created_at in CSV", "user_id,email,created_at\nsms|1,,2023\n", "line 2: its column created_at has another form"},
		{"row", "user_id,email\nsms|1\n", "line 2: it has 1 columns, and the header has 2"},
	})
	for _, c := range []struct{ name, hashes, text, want string }{
		{"another hash", `{"_id":{"$oid":"x"},"passwordHash":"$1$x"}`, `{"user_id":"auth0|x"}`, "line 1: its password: not a password hash within the bounds: a bcrypt hash begins with $2a$, $2b$ or $2y$"},
		{"other user", `{"_id":{"$oid":"y"},"passwordHash":"$1$x"}`, `{"user_id":"auth0|x"}`, "line 1: its password: Options.Auth0Hashes does not have it"},
		{"twice", `{"_id":{"$oid":"y"}}` + "\n" + `{"alt_id":"y"}`, "{}", "transfer: the file does not have this format: line 2 of Options.Auth0Hashes: an earlier line has the same user"},
		{"no id", "{}", "{}", "transfer: the file does not have this format: line 1 of Options.Auth0Hashes: it has no id"},
		{"no JSON", "\nuser", "{}", "transfer: the file does not have this format: line 2 of Options.Auth0Hashes: it is not a JSON object"},
		{"long", isTen, "{}", "transfer: the file does not have this format: line 1 of Options.Auth0Hashes: it is longer than 4194304 bytes"},
	} {
		refuses(t, transfer.Auth0, transfer.Options{Auth0Hashes: strings.NewReader(c.hashes)}, []broken{{c.name, c.text, c.want}})
	}
	two := auth0Options(t)
	refuses(t, transfer.Auth0, two, []broken{{"two passwords",
		`{"user_id":"auth0|euclid","identities":[{"user_id":"euclid","provider":"auth0"},{"user_id":"5dea9f9c82dd7c0e76e4ec01","provider":"auth0"}]}`,
		"line 1: it has two passwords, and a user here has one"}})
	refuses(t, transfer.Auth0Passwords, transfer.Options{}, []broken{
		{"list", "[]", notBegun},
		{"no id", "{}", "line 1: it has no id"},
		{"no hash", `{"_id":{"$oid":"x"}}`, "line 1: its password: not a password hash within the bounds: a bcrypt hash begins with $2a$, $2b$ or $2y$"},
	})
}

func FuzzAuth0(f *testing.F) {
	hashes := fixture(f, "auth0-passwords.ndjson")
	f.Add(fixture(f, "auth0.ndjson"), hashes)
	f.Add(fixture(f, "auth0.csv"), hashes)
	f.Fuzz(func(t *testing.T, text, hashes string) {
		r := read(text, transfer.Auth0, transfer.Options{Auth0Hashes: strings.NewReader(hashes)})
		if part := leaks(r.told(), text+hashes); part != "" {
			t.Errorf("%q is of the file: %s", part, r.told())
		}
	})
}

func FuzzAuth0Passwords(f *testing.F) {
	fuzz(f, transfer.Auth0Passwords, transfer.Options{}, "auth0-passwords.ndjson")
}
