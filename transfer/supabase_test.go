package transfer_test

import (
	"encoding/json"
	"strings"
	"testing"

	"example.com/latchkey"
	"example.com/latchkey/hidden"
	"example.com/latchkey/transfer"
)

// The columns are those of the migrations of https://github.com/supabase/auth, and the texts of
// times and flags those of COPY. Ada has a zone of half an hour, and Grace's metadata go over two
// lines.
func TestSupabaseCSV(t *testing.T) {
	r := read(fixture(t, "supabase.csv"), transfer.Supabase, transfer.Options{})
	sameUsers(t, r, []*latchkey.PortableUser{
		{
			ID: "11111111-1111-4111-8111-111111111111", Email: "ada@example.org", EmailVerified: true, Phone: "+14155550101", Name: "Ada Example",
			CreatedAt: at(t, "2023-01-01T10:00:00.123456Z"), UpdatedAt: at(t, "2024-01-01T10:00:00Z"), AccessedAt: at(t, "2024-01-01T10:00:00Z"),
			Prefs: json.RawMessage(`{"full_name":"Ada Example","theme":"dark"}`),
		},
		{
			ID: "22222222-2222-4222-8222-222222222222", Email: "grace@example.org", Name: "Grace Example", Blocked: true,
			CreatedAt: at(t, "2023-01-02T10:00:00Z"), UpdatedAt: at(t, "2023-01-02T10:00:00Z"), Prefs: json.RawMessage(`{"name":"Grace Example"}`),
		},
		{ID: "33333333-3333-4333-8333-333333333333", Email: "lin@example.org", CreatedAt: at(t, "2023-01-03T10:00:00Z"), UpdatedAt: at(t, "2023-01-03T10:00:00Z")},
		{ID: "44444444-4444-4444-8444-444444444444", Email: "hedy@example.org", Blocked: true, CreatedAt: at(t, "2023-01-04T10:00:00Z"), UpdatedAt: at(t, "2023-01-04T10:00:00Z")},
		{ID: "55555555-5555-4555-8555-555555555555", CreatedAt: at(t, "2023-01-05T10:00:00Z"), UpdatedAt: at(t, "2023-01-05T10:00:00Z")},
	}, "11111111-1111-4111-8111-111111111111", "33333333-3333-4333-8333-333333333333", "44444444-4444-4444-8444-444444444444")
	if len(r.lines) != 5 || r.lines[2] != 5 {
		t.Errorf("lines %v", r.lines)
	}
}

// The members are the columns of the same tables, as to_jsonb writes them.
func TestSupabaseJSON(t *testing.T) {
	sameUsers(t, read(fixture(t, "supabase.ndjson"), transfer.Supabase, transfer.Options{}), []*latchkey.PortableUser{
		{
			ID: "11111111-1111-4111-8111-111111111111", Email: "ada@example.org", EmailVerified: true, Name: "Ada Example", MFA: true,
			CreatedAt: at(t, "2023-01-01T10:00:00.123456Z"), Prefs: json.RawMessage(`{"full_name":"Ada Example"}`),
			Identities: []latchkey.PortableIdentity{{
				Provider: "google", Issuer: googleIssuer, Subject: "100000000000000000001", Email: "ada@example.org", EmailVerified: true, Name: "Ada at Google",
				CreatedAt: at(t, "2023-01-05T10:00:00Z"), UpdatedAt: at(t, "2023-01-06T10:00:00Z"),
			}},
			Authenticator: &latchkey.PortableAuthenticator{
				Seed: hidden.New("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"), CreatedAt: at(t, "2023-01-07T10:00:00Z"), UpdatedAt: at(t, "2023-01-08T10:00:00Z"),
			},
		},
		{ID: "66666666-6666-4666-8666-666666666666", Phone: "+14155550106", PhoneVerified: true, Blocked: true, CreatedAt: at(t, "2023-01-06T10:00:00Z")},
	}, "11111111-1111-4111-8111-111111111111")
}

func TestSupabaseRefuses(t *testing.T) {
	line := func(members string) string { return `{"id":"ada",` + members + `}` + "\n" }
	const form = "line 1: its password: not a password hash within the bounds: "
	const fb = `"encrypted_password":"$fbscrypt$`
	const totp = `{"factor_type":"totp","status":"verified","secret":"GEZDGNBVGY3TQOJQ"}`
	refuses(t, transfer.Supabase, transfer.Options{}, []broken{
		{"no id", `{"email":"ada@example.org"}`, "line 1: it has no id"},
		{"email", line(`"email":1`), "line 1: its member email has another form"},
		{"email_confirmed_at", line(`"email_confirmed_at":true`), "line 1: its member email_confirmed_at has another form"},
		{"time without a zone", line(`"created_at":"2023-01-01 10:00:00"`), "line 1: its member created_at has another form"},
		{"banned_until", line(`"banned_until":"forever"`), "line 1: its member banned_until has another form"},
		{"raw_user_meta_data", line(`"raw_user_meta_data":"{}"`), "line 1: its member raw_user_meta_data has another form"},
		{"raw_user_meta_data in CSV", "id,email,encrypted_password,raw_user_meta_data\nada,,,{\n", "line 2: its member raw_user_meta_data has another form"},
		{"deleted", line(`"deleted_at":"2023-01-01T10:00:00+00:00"`), "line 1: it has been deleted"},
		{"provider", line(`"identities":[{"provider":"github","provider_id":"7"}]`), "line 1: the provider github is not in Options.Providers"},
		{"provider with a long name", line(`"identities":[{"provider":"` + strings.Repeat("a", 33) + `","provider_id":"7"}]`), "line 1: the provider of its identity is not in Options.Providers"},
		{"raw_user_meta_data with a member twice in CSV", "id,email,encrypted_password,raw_user_meta_data\nada,,,\"{\"\"a\"\":1,\"\"a\"\":2}\"\n", "line 2: its member raw_user_meta_data has another form"},
		{"no provider_id", line(`"identities":[{"provider":"google"}]`), "line 1: it has an identity without the id at its provider"},
		{"two apps", line(`"mfa_factors":[` + totp + "," + totp + "]"), "line 1: it has two authenticator apps, and a user here has one"},
		{"encrypted app", line(`"mfa_factors":[{"factor_type":"totp","status":"verified","secret":"{\"alg\":\"aes-gcm-hkdf\"}"}]`), "line 1: the secret of its authenticator app is encrypted"},
		{"scheme", line(`"encrypted_password":"$1$x"`), "line 1: its password: the scheme of its hash is not known"},
		{"plain text", line(`"encrypted_password":"secret"`), "line 1: its password: the scheme of its hash is not known"},
		{"bcrypt", line(`"encrypted_password":"$2a$10$x"`), form + "a bcrypt hash has 60 characters: its version, two digits of its cost, and 53 of salt and hash"},
		{"argon2", line(`"encrypted_password":"$argon2id$v=16$m=64,t=2,p=1$c29tZXNhbHQ$c29tZXNhbHRzb21lc2FsdA"`), form + "an argon2 hash has the form $argon2id$v=19$m=...,t=...,p=...$salt$tag, within bounds"},
		{"another scheme with five fields", line(`"encrypted_password":"$scrypt$v=1,n=14,r=8,p=1$AA==$AA=="`), "line 1: its password: the scheme of its hash is not known"},
		{"text before the scheme", line(`"encrypted_password":"x$fbscrypt$v=1,n=14,r=8,p=1$AA==$AA=="`), "line 1: its password: the scheme of its hash is not known"},
		{"fbscrypt with another field", line(fb + `v=1,n=14,r=8,p=1$AA==$AA==$AA=="`), "line 1: its password: the scheme of its hash is not known"},
		{"fbscrypt of no cost", line(fb + `v=1,n=0,r=8,p=1$AA==$AA=="`), "line 1: its password: a parameter of its hash is not known"},
		{"fbscrypt of no block size", line(fb + `v=1,n=14,r=0,p=1$AA==$AA=="`), "line 1: its password: a parameter of its hash is not known"},
		{"fbscrypt of another version", line(fb + `v=2,n=14,r=8,p=1$AA==$AA=="`), "line 1: its password: a parameter of its hash is not known"},
		{"fbscrypt with more lanes", line(fb + `v=1,n=14,r=8,p=2$AA==$AA=="`), "line 1: its password: a parameter of its hash is not known"},
		{"fbscrypt without a number", line(fb + `v=1,n=x$AA==$AA=="`), "line 1: its password: a parameter of its hash is not known"},
		{"fbscrypt with another parameter", line(fb + `v=1,x=1$AA==$AA=="`), "line 1: its password: a parameter of its hash is not known"},
		{"fbscrypt without a key", line(fb + `v=1,n=14,r=8,p=1,ss=Bw==$AA==$AA=="`), form + "a hash of Firebase has a salt of 1 to 64 bytes, a separator of at most 64, and a signer key of 16 to 128, as long as the hash"},
		{"fbscrypt with too much memory", line(fb + `v=1,n=40,r=8,p=1$AA==$AA=="`), form + "the memory cost is 1 to 30"},
	})
}

// A factor that is no authenticator app, or an address that is missing, proves nothing. The full
// name comes before the other one.
func TestSupabaseTakesWhatItsFormSays(t *testing.T) {
	text := `{"id":"a","raw_user_meta_data":{"full_name":"Ada","name":"ada99"},"email_confirmed_at":"2023-01-01T10:00:00+00:00",` +
		`"mfa_factors":[{"factor_type":"phone","status":"verified"}],"identities":[{"provider":"google","provider_id":"1","identity_data":{"email_verified":true}}]}`
	sameUsers(t, read(text, transfer.Supabase, transfer.Options{}), []*latchkey.PortableUser{{
		ID: "a", Name: "Ada", Prefs: json.RawMessage(`{"full_name":"Ada","name":"ada99"}`),
		Identities: []latchkey.PortableIdentity{{Provider: "google", Issuer: googleIssuer, Subject: "1"}},
	}})
}

// A ban that is over is none.
func TestSupabaseBansEnd(t *testing.T) {
	text := `{"id":"a","banned_until":"2001-01-01T00:00:00+00:00"}` + "\n" + `{"id":"b","banned_until":"2999-01-01T00:00:00+00:00"}`
	sameUsers(t, read(text, transfer.Supabase, transfer.Options{}), []*latchkey.PortableUser{{ID: "a"}, {ID: "b", Blocked: true}})
}

func FuzzSupabase(f *testing.F) {
	fuzz(f, transfer.Supabase, transfer.Options{}, "supabase.csv", "supabase.ndjson")
}
