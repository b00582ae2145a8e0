package transfer_test

import (
	"strings"
	"testing"

	"example.com/latchkey"
	"example.com/latchkey/hasher/foreign"
	"example.com/latchkey/transfer"
)

// project are the parameters of the fixtures' hashes.
var project = foreign.ScryptModifiedOptions{
	SignerKey: "AAMGCQwPEhUYGx4hJCcqLTAzNjk8P0JFSEtOUVRXWl1gY2ZpbG9ydXh7foGEh4qNkJOWmZyfoqWoq66xtLe6vQ==", Separator: "Bw==", Rounds: 8, MemoryCost: 11,
}

// github is a provider of the tests' host.
var github = map[string]transfer.Provider{"github.com": {Name: "github", Issuer: "https://github.com"}}

var firebaseOptions = transfer.Options{Firebase: project, Providers: github}

const googleIssuer = "https://accounts.google.com"

// The form is that of "auth:import and auth:export", https://firebase.google.com/docs/cli/auth,
// with the members that src/accountExporter.ts of firebase/firebase-tools writes. Grace has the
// other alphabet of base64, and a number for a time.
func TestFirebaseJSON(t *testing.T) {
	sameUsers(t, read(fixture(t, "firebase.json"), transfer.Firebase, firebaseOptions), []*latchkey.PortableUser{
		{
			ID: "fbAda0000000000000000000001", Email: "ada@example.org", EmailVerified: true, Phone: "+14155550101", Name: "Ada Example",
			CreatedAt: at(t, "2023-01-01T10:00:00.123Z"), AccessedAt: at(t, "2024-01-01T10:00:00Z"),
			Identities: []latchkey.PortableIdentity{
				{Provider: "google", Issuer: googleIssuer, Subject: "100000000000000000001", Email: "ada@example.org", Name: "Ada at Google"},
				{Provider: "github", Issuer: "https://github.com", Subject: "4242", Email: "ada@example.org"},
			},
		},
		{ID: "fbGrace0000000000000000002", Email: "grace@example.org", Blocked: true, CreatedAt: at(t, "2023-01-02T10:00:00Z")},
		{ID: "fbAnon0000000000000000003", CreatedAt: at(t, "2023-01-03T10:00:00Z"), AccessedAt: at(t, "2023-01-03T10:00:00Z")},
	}, "fbAda0000000000000000000001", "fbGrace0000000000000000002")
}

// The columns are those of the same documents. The rows are those of before May 2026, and Lin's of
// after, with quotes that the tool does not double.
func TestFirebaseCSV(t *testing.T) {
	r := read(fixture(t, "firebase.csv"), transfer.FirebaseCSV, firebaseOptions)
	sameUsers(t, r, []*latchkey.PortableUser{
		{
			ID: "fbAda0000000000000000000001", Email: "ada@example.org", EmailVerified: true, Phone: "+14155550101", Name: "Example, Ada",
			CreatedAt: at(t, "2023-01-01T10:00:00.123Z"), AccessedAt: at(t, "2024-01-01T10:00:00Z"),
			Identities: []latchkey.PortableIdentity{
				{Provider: "google", Issuer: googleIssuer, Subject: "100000000000000000001", Email: "ada@example.org", Name: "Ada at Google"},
				{Provider: "github", Issuer: "https://github.com", Subject: "4242", Email: "ada@example.org"},
			},
		},
		{ID: "fbGrace0000000000000000002", Email: "grace@example.org", Name: `Grace "Amazing", Countess`, Blocked: true, CreatedAt: at(t, "2023-01-02T10:00:00Z")},
		{
			ID: "fbLin00000000000000000003", Email: "lin@example.org", Name: `Lin "the younger"`, CreatedAt: at(t, "2023-01-03T10:00:00Z"),
			Identities: []latchkey.PortableIdentity{{Provider: "apple", Issuer: "https://appleid.apple.com", Subject: "001.apple.lin", Email: "lin@example.org", Name: "Lin"}},
		},
	}, "fbAda0000000000000000000001", "fbGrace0000000000000000002")
}

// firebaseDoc is a file with one record.
func firebaseDoc(members string) string { return `{"users":[{"localId":"ada",` + members + `}]}` }

func TestFirebaseRefuses(t *testing.T) {
	const ok = "line 1: its password: not a password hash within the bounds: "
	refuses(t, transfer.Firebase, firebaseOptions, []broken{
		{"no id", `{"users":[{"email":"ada@example.org"}]}`, "line 1: it has no id"},
		{"null", `{"users":[{"localId":null}]}`, "line 1: it has no id"},
		{"id of another type", `{"users":[{"localId":12}]}`, "line 1: its member localId has another form"},
		{"email", firebaseDoc(`"email":["ada@example.org"]`), "line 1: its member email has another form"},
		{"emailVerified", firebaseDoc(`"emailVerified":"true"`), "line 1: its member emailVerified has another form"},
		{"disabled", firebaseDoc(`"disabled":1`), "line 1: its member disabled has another form"},
		{"createdAt", firebaseDoc(`"createdAt":"2023-01-01"`), "line 1: its member createdAt has another form"},
		{"createdAt below 0", firebaseDoc(`"createdAt":-1`), "line 1: its member createdAt has another form"},
		{"createdAt of a float", firebaseDoc(`"createdAt":1.5`), "line 1: its member createdAt has another form"},
		{"createdAt far away", firebaseDoc(`"createdAt":"99999999999999999"`), "line 1: its member createdAt has another form"},
		{"providerUserInfo", firebaseDoc(`"providerUserInfo":{}`), "line 1: its member providerUserInfo has another form"},
		{"rawId", firebaseDoc(`"providerUserInfo":[{"providerId":"google.com","rawId":7}]`), "line 1: its member providerUserInfo has another form"},
		{"no rawId", firebaseDoc(`"providerUserInfo":[{"providerId":"google.com"}]`), "line 1: it has an identity without the id at its provider"},
		{"provider", firebaseDoc(`"providerUserInfo":[{"providerId":"facebook.com","rawId":"7"}]`), "line 1: the provider facebook.com is not in Options.Providers"},
		{"strange provider", firebaseDoc(`"providerUserInfo":[{"providerId":"ada@example.org","rawId":"7"}]`), "line 1: the provider of its identity is not in Options.Providers"},
		{"long name", firebaseDoc(`"displayName":"` + strings.Repeat("x", 129) + `"`), "line 1: its name is not a name: at most 128 characters, no control characters"},
		{"redacted", firebaseDoc(`"passwordHash":"UkVEQUNURUQ="`), "line 1: its password: the account that wrote the file may not read hashes"},
		{"redacted without padding", firebaseDoc(`"passwordHash":"UkVEQUNURUQ"`), "line 1: its password: the account that wrote the file may not read hashes"},
		{"emulator", firebaseDoc(`"passwordHash":"fakeHash:salt=s:password=secret"`), "line 1: its password: the emulator has written it, and does not hash passwords"},
		{"no base64", firebaseDoc(`"passwordHash":"!","salt":"AA=="`), ok + "it is not base64"},
		{"no salt", firebaseDoc(`"passwordHash":"AAAA"`), ok + "a hash of Firebase has a salt of 1 to 64 bytes, a separator of at most 64, and a signer key of 16 to 128, as long as the hash"},
	})
	refuses(t, transfer.Firebase, transfer.Options{}, []broken{
		{"no signer key", firebaseDoc(`"passwordHash":"AAAA","salt":"AA=="`), "line 1: its password: Options.Firebase has no SignerKey"},
	})
	row := func(at int, value string) string {
		fields := make([]string, 29)
		fields[0], fields[2], fields[at] = "ada", "true", value
		return strings.Join(fields, ",") + "\n"
	}
	refuses(t, transfer.FirebaseCSV, firebaseOptions, []broken{
		{"empty", "", notBegun},
		{"few columns", row(1, "ada@example.org") + "\nlin,lin@example.org,true\n" + row(1, "x@example.org"), "line 3: its number of columns is not 27, 29 or 53"},
		{"open quote", row(1, "ada@example.org") + row(5, `"Ada`) + row(1, "x@example.org"), "line 2: its number of columns is not 27, 29 or 53"},
		{"name over two lines", row(5, "Ada\nExample") + row(1, "x@example.org"), "line 1: its number of columns is not 27, 29 or 53\nline 2: its number of columns is not 27, 29 or 53"},
		{"moved columns", row(5, `"Ada "Amazing", Countess"`) + row(5, `"Ada "x", "y", z"`), "line 1: its number of columns is not 27, 29 or 53\nline 2: its number of columns is not 27, 29 or 53"},
		{"moved columns in a narrow row", `ada,,true,,,"A "B","C", D",` + strings.Repeat(",", 20), "line 1: its column photoUrl has no address: a quote in the name may have moved the columns"},
		{"no id", row(0, ""), "line 1: it has no id"},
		{"emailVerified", row(2, "yes"), "line 1: its column emailVerified has another form"},
		{"disabled", row(26, "yes"), "line 1: its column disabled has another form"},
		{"createdAt", row(23, "x"), "line 1: its column createdAt has another form"},
		{"lastSignedInAt", row(24, "x"), "line 1: its column lastSignedInAt has another form"},
		{"provider", row(11, "77"), "line 1: the provider facebook.com is not in Options.Providers"},
		{"NUL", row(5, "A\x00"), "line 1: it is not a row of CSV in UTF-8"},
		{"10 MiB", row(5, isTen) + row(23, "x"), "line 1: it is longer than 4194304 bytes\nline 2: its column createdAt has another form"},
	})
}

func TestWithoutPasswordLetsUsersIn(t *testing.T) {
	o := transfer.Options{WithoutPassword: true}
	for _, hash := range []string{"UkVEQUNURUQ=", "fakeHash:salt=s:password=secret", "AAAA", "!"} {
		r := read(firebaseDoc(`"passwordHash":"`+hash+`","salt":"AA=="`), transfer.Firebase, o)
		sameUsers(t, r, []*latchkey.PortableUser{{ID: "ada"}})
	}
}

func TestIdentitiesAreLeftOutForTheZeroProvider(t *testing.T) {
	const text = `"providerUserInfo":[{"providerId":"google.com","rawId":"1"},{"providerId":"facebook.com"},{"providerId":"password"},{"providerId":"phone"}]`
	o := transfer.Options{Providers: map[string]transfer.Provider{"google.com": {}, "facebook.com": {}}}
	sameUsers(t, read(firebaseDoc(text), transfer.Firebase, o), []*latchkey.PortableUser{{ID: "ada"}})
}

func FuzzFirebase(f *testing.F)    { fuzz(f, transfer.Firebase, firebaseOptions, "firebase.json") }
func FuzzFirebaseCSV(f *testing.F) { fuzz(f, transfer.FirebaseCSV, firebaseOptions, "firebase.csv") }
