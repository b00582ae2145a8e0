package transfer_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/transfer"
)

// The form is that of the model "User", https://appwrite.io/docs/models/user. Each user but the
// last has a hash of another kind.
func TestAppwrite(t *testing.T) {
	document := fixture(t, "appwrite.json")
	list := document[strings.Index(document, "[\n  {") : strings.LastIndex(document, "]")+1]
	lines := ""
	var all []json.RawMessage
	if err := json.Unmarshal([]byte(list), &all); err != nil {
		t.Fatal(err)
	}
	for _, user := range all {
		compact, err := json.Marshal(user)
		if err != nil {
			t.Fatal(err)
		}
		lines += string(compact) + "\n"
	}
	for name, text := range map[string]string{"document": document, "list": list, "lines": lines} {
		t.Run(name, func(t *testing.T) {
			var want []*latchkey.PortableUser
			var ids []string
			for i, name := range []string{"ada", "grace", "lin", "hedy", "emmy", "mary", "vera", "jean"} {
				day := time.Duration(i) * 24 * time.Hour
				want = append(want, &latchkey.PortableUser{
					ID: name + "000000000000000" + string(rune('1'+i)), Email: name + "@example.org", Name: strings.ToUpper(name[:1]) + name[1:] + " Example", Labels: []string{},
					CreatedAt: at(t, "2023-01-01T10:00:00.123Z").Add(day), Registration: at(t, "2023-01-01T10:00:00Z").Add(day),
					UpdatedAt: at(t, "2024-01-01T10:00:00Z"), AccessedAt: at(t, "2024-01-01T00:00:00Z"), PasswordUpdate: at(t, "2023-02-01T10:00:00Z"),
				})
				ids = append(ids, want[i].ID)
			}
			ada, grace, jean := want[0], want[1], want[7]
			ada.Labels, ada.Phone, ada.EmailVerified, ada.MFA, ada.Prefs = []string{"vip"}, "+14155550101", true, true, json.RawMessage(`{"theme":"dark"}`)
			grace.Blocked, grace.AccessedAt = true, time.Time{}
			jean.Email, jean.Phone, jean.PhoneVerified, jean.PasswordUpdate = "", "+14155550108", true, time.Time{}
			sameUsers(t, read(text, transfer.Appwrite, transfer.Options{}), want, ids[:7]...)
		})
	}
}

func TestAppwriteRefuses(t *testing.T) {
	record := func(members string) string { return `[{"$id":"ada","status":true,` + members + `}]` }
	hash := func(kind, options string) string {
		return record(`"password":"00","passwordUpdate":"2023-01-01T10:00:00.000+00:00","hash":"` + kind + `","hashOptions":` + options)
	}
	const form = "line 1: its password: not a password hash within the bounds: "
	refuses(t, transfer.Appwrite, transfer.Options{}, []broken{
		{"empty", "", notBegun},
		{"no users", `{"total":0}`, "transfer: the file does not have this format: it has no member users"},
		{"cut", `{"total":1,"users":[{}`, "line 1: it has no id\n" + cutOff},
		{"no id", `[{}]`, "line 1: it has no id"},
		{"no status", `[{"$id":"ada"}]`, "line 1: it has no status"},
		{"status", `[{"$id":"ada","status":"true"}]`, "line 1: its member status has another form"},
		{"time as a number", record(`"registration":1672567200`), "line 1: its member registration has another form"},
		{"labels", record(`"labels":"vip"`), "line 1: its member labels has another form"},
		{"prefs", record(`"prefs":[1]`), "line 1: its member prefs has another form"},
		{"plain text", hash("plaintext", "{}"), "line 1: its password: the kind of its hash is not known"},
		{"no kind", hash("", "{}"), "line 1: its password: the kind of its hash is not known"},
		{"hashOptions", hash("scrypt", `"x"`), "line 1: its password: its member hashOptions has another form"},
		{"cost", hash("scrypt", `{"costCpu":"8"}`), "line 1: its password: its member hashOptions has another form"},
		{"md5", hash("md5", "null"), form + "a hash of md5 has 32 hexadecimal digits in lower case"},
		{"version of SHA", hash("sha", `{"version":"sha0"}`), form + "the version of SHA is not known"},
		{"scrypt without a salt", strings.Replace(hash("scrypt", `{"length":16,"costCpu":2,"costMemory":1}`), `"00"`, `"`+strings.Repeat("0", 32)+`"`, 1), form + "the salt is 8 to 128 bytes"},
		{"scryptMod without a key", strings.Replace(hash("scryptMod", `{"salt":"AA=="}`), `"00"`, `"AAAA"`, 1), form + "a hash of Firebase has a salt of 1 to 64 bytes, a separator of at most 64, and a signer key of 16 to 128, as long as the hash"},
	})
}

// A password that was never set does not sign in at Appwrite.
func TestAppwriteHasNoPasswordWithoutItsTime(t *testing.T) {
	text := `[{"$id":"ada","status":true,"password":"144fa7eaa4904e8ee120651997f70dcc","hash":"md5"}]`
	sameUsers(t, read(text, transfer.Appwrite, transfer.Options{}), []*latchkey.PortableUser{{ID: "ada"}})
}

// Without the password, its time does not come either.
func TestAppwriteHasNoTimeWithoutItsPassword(t *testing.T) {
	text := `[{"$id":"ada","status":true,"password":"x","passwordUpdate":"2023-01-01T10:00:00.000+00:00","hash":"none"}]`
	sameUsers(t, read(text, transfer.Appwrite, transfer.Options{WithoutPassword: true}), []*latchkey.PortableUser{{ID: "ada"}})
}

func FuzzAppwrite(f *testing.F) { fuzz(f, transfer.Appwrite, transfer.Options{}, "appwrite.json") }
