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
		{transfer.Auth0Passwords, "auth0|x", "x"},
		{transfer.Auth0, "auth0|a|x", hashed("auth0|a|x")},
		{transfer.Auth0, "google-oauth2|1", hashed("google-oauth2|1")},
		{transfer.Supabase, "11111111-1111-4111-8111-111111111111", "11111111-1111-4111-8111-111111111111"},
	} {
		if got := transfer.UserID(c.format, c.id); got != c.want {
			t.Errorf("%s %s: %s, want %s", c.format, c.id, got, c.want)
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

// Of a record that is too long, no more is held than of the longest one.
func TestALongRecordIsNotHeld(t *testing.T) {
	part := strings.Repeat("x", 1<<20)
	for f, file := range map[transfer.Format]*endless{
		transfer.Firebase:  {head: `{"users":[{"localId":"`, record: part, tail: `"}]} `},
		transfer.WordPress: {head: "ID,user_email,user_pass\n\"", record: part, tail: "\",,\n"},
		transfer.Latchkey:  {head: `{"kind":"latchkey","version":1}` + "\n" + `{"kind":"user","id":"`, record: part, tail: "\"}\n" + `{"kind":"end","users":1}`},
	} {
		file.times = 64
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		refused := 0
		for _, err := range transfer.Read(file, f, transfer.Options{}) {
			var bad *latchkey.RecordError
			if !errors.As(err, &bad) {
				t.Fatalf("%s: %v", f, err)
			}
			refused++
		}
		runtime.ReadMemStats(&after)
		if n := (after.TotalAlloc - before.TotalAlloc) >> 20; refused != 1 || n > 128 { // a line of 16 MiB grows by a quarter each time
			t.Errorf("%s: %d refused, %d MiB", f, refused, n)
		}
	}
}
