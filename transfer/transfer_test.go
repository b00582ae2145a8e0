package transfer_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"example.com/latchkey"
	"example.com/latchkey/hasher/foreign"
	"example.com/latchkey/hasher/hashertest"
	"example.com/latchkey/transfer"
)

// reading is all that a file gives.
type reading struct {
	users   []*latchkey.PortableUser
	lines   []int
	refused []string // line 1: reason
	err     error    // of the whole file
}

// told returns the refusals and the error of the whole file, one a line.
func (r reading) told() string {
	all := r.refused
	if r.err != nil {
		all = append(all, r.err.Error())
	}
	return strings.Join(all, "\n")
}

func read(text string, f transfer.Format, o transfer.Options) (r reading) {
	for p, err := range transfer.Read(strings.NewReader(text), f, o) {
		var bad *latchkey.RecordError
		switch {
		case errors.As(err, &bad):
			r.refused = append(r.refused, bad.Error())
		case err != nil:
			r.err = err
		default:
			r.users, r.lines = append(r.users, p.User), append(r.lines, p.Line)
		}
	}
	return r
}

func fixture(t testing.TB, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// at returns a time of RFC 3339.
func at(t testing.TB, text string) time.Time {
	t.Helper()
	when, err := time.Parse(time.RFC3339, text)
	if err != nil {
		t.Fatal(err)
	}
	return when
}

// passwordOf is the password of each user of a fixture who has one.
func passwordOf(email string) string {
	local, _, _ := strings.Cut(email, "@")
	return local + "-password-1"
}

// secrets compares hidden texts.
var secrets = cmp.Comparer(func(a, b latchkey.Secret) bool { return a.Equal(b) })

// sameUsers compares users, and verifies the passwords of those whose ids are named.
func sameUsers(t *testing.T, r reading, want []*latchkey.PortableUser, signIn ...string) {
	t.Helper()
	if told := r.told(); told != "" {
		t.Errorf("refused: %s", told)
	}
	for _, u := range r.users {
		has := false
		for _, id := range signIn {
			has = has || u.ID == id
		}
		if has {
			verifies(t, u)
		} else if !u.Password.IsZero() {
			t.Errorf("%s has a password", u.ID)
		}
		u.Password = latchkey.Secret{}
	}
	if diff := cmp.Diff(want, r.users, secrets); diff != "" {
		t.Error(diff)
	}
}

// verifies checks that the hash of a user is that of their password, and of no other.
func verifies(t *testing.T, u *latchkey.PortableUser) {
	t.Helper()
	h, err := foreign.Parse(u.Password.Reveal())
	if err != nil {
		t.Errorf("%s: %v", u.ID, err)
		return
	}
	group := hashertest.New(t).For("")
	for password, want := range map[string]bool{passwordOf(u.Email): true, passwordOf(u.Email) + "x": false} {
		if right, err := foreign.Verify(context.Background(), group, h, password); right != want || err != nil {
			t.Errorf("%s: %q is %t, %v", u.ID, password, right, err)
		}
	}
}

// broken is a file, and the refusals and the error that it gives.
type broken struct{ name, text, want string }

func refuses(t *testing.T, f transfer.Format, o transfer.Options, cases []broken) {
	t.Helper()
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if got := read(c.text, f, o).told(); got != c.want {
				t.Errorf("got\n%s\nwant\n%s", got, c.want)
			}
		})
	}
}

// The errors of whole files.
const (
	notJSON  = "transfer: the file does not have this format: it is not JSON"
	notBegun = "transfer: the file does not have this format: it does not begin as one, or is empty"
	cutOff   = "transfer: the file has been cut off"
)

// sources are the texts from which reasons are made.
var sources = sync.OnceValue(func() string {
	var all strings.Builder
	for _, folder := range []string{".", "../hasher/foreign", "../internal/canon"} {
		names, _ := filepath.Glob(filepath.Join(folder, "*.go"))
		for _, name := range names {
			text, _ := os.ReadFile(name)
			all.Write(text)
		}
	}
	return all.String()
})

var (
	numbers   = regexp.MustCompile(`[0-9]+`)
	providers = regexp.MustCompile(`the provider [a-zA-Z0-9._-]{1,32} is not`)
)

// leaks returns a part of a reason of more than 8 bytes that comes from the file, if it has one.
// The name of a provider may be shown.
func leaks(reason, file string) string {
	reason = providers.ReplaceAllString(reason, "the provider is not")
	reason = numbers.ReplaceAllString(reason, "%d")
	for i := 0; i+9 <= len(reason); i++ {
		if part := reason[i : i+9]; strings.Contains(file, part) && !strings.Contains(sources(), part) {
			return part
		}
	}
	return ""
}

// fuzz reads what a fuzzer makes of the fixtures of a format.
func fuzz(f *testing.F, format transfer.Format, o transfer.Options, fixtures ...string) {
	for _, name := range fixtures {
		f.Add(fixture(f, name))
	}
	f.Add("")
	f.Fuzz(func(t *testing.T, text string) {
		r := read(text, format, o)
		for _, reason := range append(r.refused, r.told()) {
			if part := leaks(reason, text); part != "" {
				t.Errorf("%q is of the file: %s", part, reason)
			}
		}
		for _, u := range r.users {
			if u.ID == "" {
				t.Error("a user has no id")
			}
			if !u.Password.IsZero() {
				if _, err := foreign.Parse(u.Password.Reveal()); err != nil {
					t.Error(err)
				}
			}
		}
	})
}

func TestFormatsAreListedAndKnown(t *testing.T) {
	want := []transfer.Format{"appwrite", "auth0", "auth0-passwords", "firebase", "firebase-csv", "keycloak", "latchkey", "pocketbase", "supabase", "wordpress"}
	if diff := cmp.Diff(want, transfer.Formats()); diff != "" {
		t.Error(diff)
	}
	if got := read("{}", "none", transfer.Options{}); !errors.Is(got.err, transfer.ErrFormat) {
		t.Errorf("an unknown format: %v", got.err)
	}
}

func TestIDsStayOrBecomeUUIDs(t *testing.T) {
	const long = "an-id-that-has-more-than-36-characters"
	hashed := func(id string) string {
		return uuid.NewSHA1(uuid.MustParse("3f0a1d52-6c0e-4d6b-9a57-1f2d3b8c7e41"), []byte(id)).String()
	}
	for _, c := range []struct {
		format   transfer.Format
		id, want string
	}{
		{transfer.Firebase, "aB3._-", "aB3._-"},
		{transfer.Firebase, "_a", hashed("_a")},
		{transfer.Firebase, long, hashed(long)},
		{transfer.Firebase, "auth0|x", hashed("auth0|x")},
		{transfer.Auth0, "auth0|x", "x"},
		{transfer.Auth0, "auth0|a|x", hashed("auth0|a|x")},
		{transfer.Auth0, "google-oauth2|1", hashed("google-oauth2|1")},
		{transfer.Supabase, "11111111-1111-4111-8111-111111111111", "11111111-1111-4111-8111-111111111111"},
	} {
		if got := transfer.UserID(c.format, c.id); got != c.want {
			t.Errorf("%s %s: %s, want %s", c.format, c.id, got, c.want)
		}
	}
}

var (
	deep  = strings.Repeat("[", 100_000)
	isTen = strings.Repeat("x", 10<<20)
)

func TestHostileJSON(t *testing.T) {
	const good = `{"localId":"ada","email":"ada@example.org"}`
	doc := func(records string) string { return `{"users":[` + records + `]}` }
	tooLong := fmt.Sprintf("line 1: it is longer than %d bytes", transfer.MaxLine)
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
		{"no value", `{"users":[,]}`, notJSON},
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
		"white space": "\r\n { \"users\" :\t[ \n" + good + " \r\n] } \n", "long other member": `{"a":"` + isTen + `","users":[` + good + `]}`,
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
		{"bomb", head + "\"b" + isTen + isTen + "\",,,\n" + good, fmt.Sprintf("line 2: it is longer than %d bytes", transfer.MaxLine)},
		{"bomb of lines", head + "\"b" + strings.Repeat("\n", 8<<20) + "\",,,\n" + good + "c\n", fmt.Sprintf("line 2: it is longer than %d bytes\nline %d: it has 1 columns, and the header has 4", transfer.MaxLine, 2+(8<<20)+2)},
		{"bomb of columns", head + strings.Repeat(",", transfer.MaxLine-1) + "\n" + good, fmt.Sprintf("line 2: it has %d columns, and the header has 4", transfer.MaxLine)},
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

// endless gives a head, the same record many times, and a tail.
type endless struct {
	head, record, tail string
	times              int
	rest               string
}

func (e *endless) Read(p []byte) (int, error) {
	for e.rest == "" {
		switch {
		case e.head != "":
			e.rest, e.head = e.head, ""
		case e.times > 0:
			e.times--
			if e.rest = e.record; e.times == 0 && e.tail == "]}" {
				e.rest = strings.TrimSuffix(e.rest, ",\n")
			}
		case e.tail != "":
			e.rest, e.tail = e.tail, ""
		default:
			return 0, io.EOF
		}
	}
	n := copy(p, e.rest)
	e.rest = e.rest[n:]
	return n, nil
}

func TestMemoryDoesNotGrowWithTheFile(t *testing.T) {
	const count, bound = 200_000, 16 << 20
	hash := "$2a$04$7kSpVtsPsggh1QzI.vucY.aXRNk0sSayXfZaioUkhwlD6/bUk3W9u"
	for f, file := range map[transfer.Format]*endless{
		transfer.Firebase:    {head: `{"users":[`, record: `{"localId":"a","email":"ada@example.org","displayName":"Ada","createdAt":"1672567200123"}` + ",\n", tail: "]}"},
		transfer.FirebaseCSV: {record: "a,ada@example.org,true,,,Ada" + strings.Repeat(",", 23) + "\n"},
		transfer.WordPress:   {head: "ID,user_email,user_pass\n", record: "1,ada@example.org," + hash + "\n"},
		transfer.Supabase:    {record: `{"id":"a","email":"ada@example.org","encrypted_password":"` + hash + `"}` + "\n"},
		transfer.Latchkey: {
			head: `{"kind":"latchkey","version":1}` + "\n", record: `{"kind":"user","email":"ada@example.org"}` + "\n",
			tail: fmt.Sprintf(`{"kind":"end","users":%d,"teams":0,"memberships":0}`, count),
		},
	} {
		t.Run(string(f), func(t *testing.T) {
			file.times = count
			var first, now runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&first)
			seen := 0
			for _, err := range transfer.Read(file, f, transfer.Options{}) {
				if err != nil {
					t.Fatal(err)
				}
				if seen++; seen%50_000 == 0 {
					runtime.GC()
					runtime.ReadMemStats(&now)
					if now.HeapAlloc > first.HeapAlloc+bound {
						t.Errorf("%d bytes more after %d records", now.HeapAlloc-first.HeapAlloc, seen)
					}
				}
			}
			if seen != count {
				t.Errorf("%d records", seen)
			}
		})
	}
}
