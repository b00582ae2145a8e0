package transfer_test

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"example.com/latchkey"
	"example.com/latchkey/transfer"
)

var (
	deep  = strings.Repeat("[", 100_000)
	isTen = strings.Repeat("x", 10<<20)
)

func TestHostileJSON(t *testing.T) {
	const good = `{"localId":"ada","email":"ada@example.org"}`
	doc := func(records string) string { return `{"users":[` + records + `]}` }
	tooLong := fmt.Sprintf("line 1: it is longer than %d bytes", transfer.MaxRecord)
	refuses(t, transfer.Firebase, transfer.Options{}, []broken{
		{"empty", "", notBegun},
		{"white space", " \r\n\t ", notBegun},
		{"another format", "id,email\n", notBegun},
		{"list", "[" + good + "]", notBegun},
		{"UTF-16", "\xff\xfe{\x00", notBegun},
		{"no users", `{"kind":"x"}`, "transfer: the file does not have this format: it has no member users"},
		{"empty object", "{}", notJSON},
		{"users twice", `{"users":[` + good + `],"users":[]}`, "transfer: the file does not have this format: it has the member users twice"},
		{"users is no list", `{"users":{}}`, notJSON},
		{"name is no text", `{1:[]}`, notJSON},
		{"no comma", `{"users":[{"localId":"a"} {}]}`, notJSON},
		{"no value", `{"users":[,]}`, notJSON},
		{"no colon", `{"users";[]}`, notJSON},
		{"list that ends as an object", `{"users":[{"localId":"a"}}}`, notJSON},
		{"object that ends as a list", `{"users":[]]`, notJSON},
		{"after the end", doc(good) + "x", notJSON},
		{"cut in a record", `{"users":[{"localId":"a`, cutOff},
		{"cut after a record", `{"users":[` + good, cutOff},
		{"cut after a comma", `{"users":[` + good + `,`, cutOff},
		{"cut after the list", `{"users":[` + good + `]`, cutOff},
		{"cut in a name", `{"us`, cutOff},
		{"one that is no object", doc(`1,"x",null,[],true,` + good), "line 1: it is not a JSON object\nline 2: it is not a JSON object\nline 3: it has no id\nline 4: it is not a JSON object\nline 5: it is not a JSON object"},
		{"no JSON in a record", doc(`{x},` + good), "line 1: it is not a JSON object"},
		{"deep", doc(`{"x":` + deep + strings.Repeat("]", 100_000) + `},` + good), "line 1: it is not a JSON object"},
		{"deep without an end", `{"users":[` + deep, cutOff},
		{"10 MiB", doc(`{"localId":"` + isTen + `"},` + good), tooLong},
		{"member twice", doc(`{"localId":"a","localId":"b"}`), "line 1: an object in it has a member twice"},
		{"member twice inside", doc(`{"localId":"a","x":{"y":1,"y":2}}`), "line 1: an object in it has a member twice"},
		{"not UTF-8", doc("{\"localId\":\"a\",\"email\":\"\xff\"}"), "line 1: it is not a JSON object"},
		{"NUL", doc("{\"localId\":\"a\x00\"}"), "line 1: it is not a JSON object"},
		{"name with NUL", doc(`{"localId":"a","displayName":"\u0000"}`), "line 1: its name is not a name: at most 128 characters, no control characters"},
	})
	for name, text := range map[string]string{
		"byte order mark": "\ufeff" + doc(good), "other members": `{"a":[1,{"users":[2]}],"users":[` + good + `],"b":"]}"}`,
		"white space": "\r\n { \"users\" :\t[ \n" + good + " \r\n] } \n", "quotes in a text": doc(`{"localId":"a","displayName":"\"]}\\"}`), "long other member": `{"a":"` + isTen + `","users":[` + good + `]}`,
	} {
		if r := read(text, transfer.Firebase, transfer.Options{}); len(r.users) != 1 || r.told() != "" {
			t.Errorf("%s: %d users, %s", name, len(r.users), r.told())
		}
	}
}

func TestHostileCSV(t *testing.T) {
	const head = "id,email,encrypted_password,deleted_at\n"
	const good = "a,ada@example.org,,\n"
	const lacks = "transfer: the file does not have this format: its header lacks the column "
	refuses(t, transfer.Supabase, transfer.Options{}, []broken{
		{"empty", "", notBegun},
		{"blank lines", "\r\n\n", notBegun},
		{"column missing", "id,email\n" + good, lacks + "encrypted_password"},
		{"column twice", "id,email,id,encrypted_password\n", "transfer: the file does not have this format: its header has a column twice"},
		{"header is no text", "id,em\xff\n", "transfer: the file does not have this format: its first row is no header"},
		{"fewer columns", head + good + "b,c\n" + good, "line 3: it has 2 columns, and the header has 4"},
		{"more columns", head + "a,b,c,d,e\n" + good, "line 2: it has 5 columns, and the header has 4"},
		{"quote inside", head + "a\"b\",,,\n" + good, "line 2: it is not a row of CSV in UTF-8"},
		{"quote that stays open", head + good + "\"b,,,\n" + good, cutOff},
		{"bomb", head + "\"b" + isTen + isTen + "\",,,\n" + good, fmt.Sprintf("line 2: it is longer than %d bytes", transfer.MaxRecord)},
		{"bomb of lines", head + "\"b" + strings.Repeat("\n", 8<<20) + "\",,,\n" + good + "c\n", fmt.Sprintf("line 2: it is longer than %d bytes\nline %d: it has 1 columns, and the header has 4", transfer.MaxRecord, 2+(8<<20)+2)},
		{"bomb of columns", head + strings.Repeat(",", transfer.MaxRecord-1) + "\n" + good, fmt.Sprintf("line 2: it has %d columns, and the header has 4", transfer.MaxRecord)},
		{"NUL", head + "a,b\x00,,\n" + good, "line 2: it is not a row of CSV in UTF-8"},
		{"not UTF-8", head + "a,\xff,,\n" + good, "line 2: it is not a row of CSV in UTF-8"},
		{"row over two lines", head + "a,b,\"x\ny\",\n\n" + "c\n", "line 2: its password: the scheme of its hash is not known\nline 5: it has 1 columns, and the header has 4"},
		{"deleted", head + "a,b,,2023-01-01 10:00:00+00\n", "line 2: it has been deleted"},
		{"no time", head + "a,b,,yesterday\n", "line 2: its column deleted_at has another form"},
	})
	for name, text := range map[string]string{
		"byte order mark": "\ufeff" + head + good, "CRLF": strings.ReplaceAll(head+good, "\n", "\r\n"), "no end": strings.TrimSpace(head + good),
		"semicolons": strings.ReplaceAll(head+good, ",", ";"), "tabs": strings.ReplaceAll(head+good, ",", "\t"), "blank lines": "\n" + head + "\n\n" + good + "\n",
		"quoted": "\"id\",\"email\",\"encrypted_password\",\"x,\"\"\ny\"\n\"a\",\"ada@example.org\",\"\",\"\"\r\n",
	} {
		r := read(text, transfer.Supabase, transfer.Options{})
		if len(r.users) != 1 || r.told() != "" || r.users[0].Email != "ada@example.org" {
			t.Errorf("%s: %d users, %s", name, len(r.users), r.told())
		}
	}
}

// failing gives a text and then an error.
type failing struct{ *strings.Reader }

var errDisk = errors.New("the disk is gone")

func (f failing) Read(p []byte) (int, error) {
	n, err := f.Reader.Read(p)
	if errors.Is(err, io.EOF) {
		err = errDisk
	}
	return n, err
}

func TestErrorsOfTheReaderComeThrough(t *testing.T) {
	for _, c := range []struct {
		format transfer.Format
		text   string
	}{
		{transfer.Latchkey, ""}, {transfer.Latchkey, `{"kind":"latchkey","version":1}` + "\n"},
		{transfer.Firebase, ""}, {transfer.Firebase, `{"users":[{}`}, {transfer.FirebaseCSV, ""}, {transfer.FirebaseCSV, "a,b\n"},
		{transfer.WordPress, ""}, {transfer.WordPress, "ID,user_email,user_pass\n1,"}, {transfer.Auth0, ""}, {transfer.Auth0, "{}\n"}, {transfer.Auth0, "a"},
	} {
		var last error
		for _, err := range transfer.Read(failing{strings.NewReader(c.text)}, c.format, transfer.Options{}) {
			last = err
		}
		if !errors.Is(last, errDisk) {
			t.Errorf("%s %q: %v", c.format, c.text, last)
		}
	}
}

// A caller who has enough gets nothing more.
func TestReadingStops(t *testing.T) {
	for f, text := range map[transfer.Format]string{
		transfer.Latchkey: `{"kind":"latchkey","version":1}` + "\n" + `{"kind":"user"}` + "\n" + `{"kind":"user"}`,
		transfer.Firebase: `{"users":[{},{}`, transfer.Keycloak: `{"users":[{},`, transfer.FirebaseCSV: "a\nb\n", transfer.Auth0: "{}\n{}\n",
		transfer.WordPress: "ID,user_email,user_pass\n1,,\n2,,", transfer.Appwrite: "[{},{}",
	} {
		count := 0
		for range transfer.Read(strings.NewReader(text), f, transfer.Options{}) {
			count++
			break
		}
		if count != 1 {
			t.Errorf("%s: %d", f, count)
		}
	}
}

func TestListsMayBeEmpty(t *testing.T) {
	for f, text := range map[transfer.Format]string{
		transfer.Firebase: "{\"users\": [\n]}", transfer.Keycloak: `{"users":[],"clients":[]}`, transfer.Appwrite: `{"total":0,"users":[]}`,
		transfer.PocketBase: "[ ]", transfer.Auth0: "[]", transfer.Supabase: "id,email,encrypted_password\n", transfer.WordPress: "ID,user_email,user_pass",
	} {
		if r := read(text, f, transfer.Options{}); r.told() != "" || len(r.users) != 0 {
			t.Errorf("%s: %d users, %s", f, len(r.users), r.told())
		}
	}
}

// A member that is null is one that is missing.
func TestNullIsMissing(t *testing.T) {
	for f, text := range map[transfer.Format]string{
		transfer.Firebase:   firebaseDoc(`"email":null,"emailVerified":null,"passwordHash":null,"createdAt":null,"providerUserInfo":null`),
		transfer.Keycloak:   `{"users":[{"id":"ada","enabled":true,"createdTimestamp":null,"credentials":null,"requiredActions":null}]}`,
		transfer.Appwrite:   `[{"$id":"ada","status":true,"prefs":null,"labels":null,"password":"x","passwordUpdate":null,"hash":null}]`,
		transfer.Supabase:   `{"id":"ada","email":null,"encrypted_password":null,"banned_until":null,"raw_user_meta_data":null,"identities":null}`,
		transfer.Auth0:      `{"user_id":"email|x","user_metadata":null,"created_at":null,"identities":[{"user_id":null,"provider":"email"}]}`,
		transfer.PocketBase: `[{"id":"ada","verified":null,"created":null,"externalAuths":null}]`,
	} {
		r := read(text, f, transfer.Options{WithoutPassword: true})
		sameUsers(t, r, []*latchkey.PortableUser{{ID: transfer.UserID(f, map[bool]string{true: "email|x", false: "ada"}[f == transfer.Auth0])}})
	}
}

// An identity may have a number for its id.
func TestIdentitiesOfAuth0MayHaveNumbers(t *testing.T) {
	text := `{"user_id":"google-oauth2|12","identities":[{"user_id":12,"provider":"google-oauth2"}]}`
	sameUsers(t, read(text, transfer.Auth0, transfer.Options{}), []*latchkey.PortableUser{{
		ID: transfer.UserID(transfer.Auth0, "google-oauth2|12"), Identities: []latchkey.PortableIdentity{{Provider: "google", Issuer: googleIssuer, Subject: "12"}},
	}})
}
