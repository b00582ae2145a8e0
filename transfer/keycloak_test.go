package transfer_test

import (
	"encoding/json"
	"strings"
	"testing"

	"example.com/latchkey"
	"example.com/latchkey/hidden"
	"example.com/latchkey/transfer"
)

var keycloakOptions = transfer.Options{Providers: map[string]transfer.Provider{"google": {Name: "google", Issuer: googleIssuer}}}

const keycloakID = "33333333-3333-4333-8333-33333333333"

// The form is that of "Importing and Exporting Realms", https://www.keycloak.org/server/importExport,
// with the members of the Java classes that the package comment names.
func TestKeycloak(t *testing.T) {
	r := read(fixture(t, "keycloak.json"), transfer.Keycloak, keycloakOptions)
	if want := "line 5: it is the account of a client, and not of a person"; r.told() != want {
		t.Errorf("refused: %s", r.told())
	}
	r.refused = nil
	sameUsers(t, r, []*latchkey.PortableUser{
		{
			ID: keycloakID + "1", Email: "ada@example.org", EmailVerified: true, Name: "Ada Example", MFA: true,
			CreatedAt: at(t, "2023-01-01T10:00:00.123Z"), PasswordUpdate: at(t, "2023-01-01T10:00:00.5Z"),
			Authenticator: &latchkey.PortableAuthenticator{
				// the bytes of AbCdEfGhIjKlMnOpQrSt
				Seed: hidden.New("IFREGZCFMZDWQSLKJNWE23SPOBIXEU3U"), Algorithm: "SHA1", Digits: 6, CreatedAt: at(t, "2023-01-01T10:01:40Z"),
			},
			Identities: []latchkey.PortableIdentity{{Provider: "google", Issuer: googleIssuer, Subject: "100000000000000000001", Name: "ada.example"}},
		},
		{
			ID: keycloakID + "2", Email: "grace@example.org", Name: "grace", Blocked: true, MustReset: true, MFA: true,
			CreatedAt: at(t, "2023-01-02T10:00:00Z"), PasswordUpdate: at(t, "2023-01-02T10:00:00Z"),
			Authenticator: &latchkey.PortableAuthenticator{Seed: hidden.New("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"), Algorithm: "SHA256", Digits: 8, CreatedAt: at(t, "2023-01-02T10:01:40Z")},
		},
		{ID: keycloakID + "3", Email: "lin@example.org", Name: "lin", CreatedAt: at(t, "2023-01-03T10:00:00Z"), PasswordUpdate: at(t, "2023-01-03T10:00:00Z")},
		{ID: keycloakID + "4", Email: "hedy@example.org", Name: "hedy", CreatedAt: at(t, "2023-01-04T10:00:00Z"), PasswordUpdate: at(t, "2023-01-04T10:00:00Z")},
	}, keycloakID+"1", keycloakID+"2", keycloakID+"3", keycloakID+"4")
}

func TestKeycloakRefuses(t *testing.T) {
	doc := func(members string) string {
		return `{"realm":"example","users":[{"id":"ada","enabled":true,` + members + `}]}`
	}
	text := func(object string) string {
		quoted, err := json.Marshal(object)
		if err != nil {
			t.Fatal(err)
		}
		return string(quoted)
	}
	credential := func(kind, secret, data string) string {
		return `{"type":"` + kind + `","secretData":` + text(secret) + `,"credentialData":` + text(data) + `}`
	}
	with := func(credentials ...string) string {
		return doc(`"credentials":[` + strings.Join(credentials, ",") + `]`)
	}
	const secret = `{"value":"YJ/lRKO6GxLEPn1CI8LSeoa803+6ujB33GGAdfVB07o=","salt":"a2Mtc2FsdC0xNi1ieXRlcw=="}`
	argon := func(parameters string) string {
		return with(credential("password", secret, `{"hashIterations":2,"algorithm":"argon2","additionalParameters":{`+parameters+`}}`))
	}
	const otp = `{"subType":"totp","digits":6,"period":30,"algorithm":"HmacSHA1"}`
	const unfit = "line 1: its authenticator app is none of 30 seconds, 6 or 8 digits and SHA-1 or SHA-256"
	const parameter = "line 1: its password: a parameter of its hash is not known"
	app := func(data string) string { return with(credential("otp", `{"value":"AbCdEfGhIjKlMnOpQrSt"}`, data)) }
	password := credential("password", secret, `{"hashIterations":1000,"algorithm":"pbkdf2-sha256"}`)
	refuses(t, transfer.Keycloak, keycloakOptions, []broken{
		{"empty", "", notBegun},
		{"list of realms", `[{"realm":"a","users":[]}]`, notBegun},
		{"no users", `{"realm":"a","clients":[]}`, "transfer: the file does not have this format: it has no member users"},
		{"cut", `{"realm":"a","users":[`, cutOff},
		{"no id", `{"users":[{"username":"ada"}]}`, "line 1: it has no id"},
		{"enabled", `{"users":[{"id":"a","enabled":"true"}]}`, "line 1: its member enabled has another form"},
		{"createdTimestamp", doc(`"createdTimestamp":"x"`), "line 1: its member createdTimestamp has another form"},
		{"credentials", doc(`"credentials":{}`), "line 1: its member credentials has another form"},
		{"provider", doc(`"federatedIdentities":[{"identityProvider":"apple","userId":"7"}]`), "line 1: the provider apple is not in Options.Providers"},
		{"no userId", doc(`"federatedIdentities":[{"identityProvider":"google"}]`), "line 1: it has an identity without the id at its provider"},
		{"client", doc(`"serviceAccountClientId":"app"`), "line 1: it is the account of a client, and not of a person"},
		{"directory", doc(`"federationLink":"ldap"`), "line 1: its password: a directory beside Keycloak has it"},
		{"plain text", doc(`"credentials":[{"type":"password","value":"secret"}]`), "line 1: its password: the file has it in plain text"},
		{"partial export", doc(`"credentials":[{"type":"password"}]`), "line 1: its password: the file does not have its hash"},
		{"two passwords", with(password, password), "line 1: it has two passwords, and a user here has one"},
		{"secretData", with(credential("password", "{", "{}")), "line 1: its password: its member secretData has another form"},
		{"credentialData", with(credential("password", "{}", `{"hashIterations":"2"}`)), "line 1: its password: its member credentialData has another form"},
		{"no base64", with(credential("password", `{"value":"!","salt":"AA=="}`, "{}")), "line 1: its password: its hash or salt is not base64"},
		{"no salt", with(credential("password", `{"value":"YJ/lRKO6GxLEPn1CI8LSeg==","salt":"__SALT__"}`, `{"hashIterations":1000,"algorithm":"pbkdf2"}`)), "line 1: its password: its hash or salt is not base64"},
		{"algorithm", with(credential("password", secret, `{"hashIterations":1000,"algorithm":"pbkdf2-sha384"}`)), "line 1: its password: the algorithm of its hash is not known"},
		{"rounds", with(credential("password", secret, `{"hashIterations":0,"algorithm":"pbkdf2"}`)), "line 1: its password: not a password hash within the bounds: PBKDF2 does 1 to 2,500,000 rounds"},
		{"old argon2", argon(`"version":["1.0"]`), "line 1: its password: its hash is of an old version of argon2"},
		{"kind of argon2", argon(`"type":["x"]`), parameter},
		{"memory of argon2", argon(`"memory":["x"]`), parameter},
		{"two memories", argon(`"memory":["64","65"]`), parameter},
		{"too much memory", argon(`"memory":["99999999"]`), "line 1: its password: not a password hash within the bounds: an argon2 hash has the form $argon2id$v=19$m=...,t=...,p=...$salt$tag, within bounds"},
		{"old app", doc(`"credentials":[{"type":"totp"}]`), "line 1: its authenticator app has the form of an old version of Keycloak"},
		{"app", app("{"), "line 1: its authenticator app has another form"},
		{"two apps", with(credential("otp", `{"value":"AbCdEfGhIjKlMnOpQrSt"}`, otp), credential("otp", `{"value":"AbCdEfGhIjKlMnOpQrSt"}`, otp)), "line 1: it has two authenticator apps, and a user here has one"},
		{"hotp", app(strings.Replace(otp, "totp", "hotp", 1)), unfit},
		{"seven digits", app(strings.Replace(otp, "6", "7", 1)), unfit},
		{"60 seconds", app(strings.Replace(otp, "30", "60", 1)), unfit},
		{"SHA-512", app(strings.Replace(otp, "SHA1", "SHA512", 1)), unfit},
		{"encoding", app(strings.Replace(otp, "{", `{"secretEncoding":"HEX",`, 1)), "line 1: the encoding of the secret of its authenticator app is not known"},
	})
}

// A password that an administrator has set for a time must be set anew, and a user who does not
// say that it is enabled is not.
func TestKeycloakTemporaryPasswords(t *testing.T) {
	o := transfer.Options{WithoutPassword: true}
	sameUsers(t, read(`{"users":[{"id":"ada","credentials":[{"type":"password","value":"x","temporary":true}]}]}`, transfer.Keycloak, o),
		[]*latchkey.PortableUser{{ID: "ada", Blocked: true, MustReset: true}})
}

func FuzzKeycloak(f *testing.F) { fuzz(f, transfer.Keycloak, keycloakOptions, "keycloak.json") }
