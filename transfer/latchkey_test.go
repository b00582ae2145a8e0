package transfer_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"example.com/latchkey"
	"example.com/latchkey/hidden"
	"example.com/latchkey/transfer"
)

// filled sets every field of a value, each to something else.
func filled(t *testing.T, v reflect.Value, n *int) {
	t.Helper()
	*n++
	switch v.Interface().(type) {
	case time.Time:
		v.Set(reflect.ValueOf(time.Unix(int64(*n), 123000).UTC()))
		return
	case latchkey.Secret:
		v.Set(reflect.ValueOf(hidden.New(fmt.Sprint("secret ", *n))))
		return
	case json.RawMessage:
		v.Set(reflect.ValueOf(json.RawMessage(fmt.Sprintf(`{"n":%d}`, *n))))
		return
	case []byte:
		v.Set(reflect.ValueOf([]byte{byte(*n), 0xff}))
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(fmt.Sprint("text ", *n))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(int64(*n))
	case reflect.Uint8, reflect.Uint32:
		v.SetUint(uint64(*n) % 256)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		filled(t, v.Elem(), n)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range 2 {
			filled(t, v.Index(i), n)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type() == reflect.TypeFor[latchkey.Target]() && v.Type().Field(i).Name == "UserID" {
				continue // that of the user
			}
			filled(t, v.Field(i), n)
		}
	default:
		t.Fatalf("a field of the kind %s", v.Kind())
	}
}

// written returns a file of records.
func written(t *testing.T, all ...latchkey.Portable) string {
	t.Helper()
	var text strings.Builder
	w := transfer.NewWriter(&text, true, time.Unix(1, 0))
	for _, p := range all {
		if err := w.Write(p); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return text.String()
}

func TestRecordsComeBackWithEveryField(t *testing.T) {
	all := []latchkey.Portable{
		{Line: 2, User: new(latchkey.PortableUser)}, {Line: 3, Team: new(latchkey.PortableTeam)}, {Line: 4, Membership: new(latchkey.PortableMembership)},
		// records without anything come back too
		{Line: 5, User: new(latchkey.PortableUser)}, {Line: 6, Team: new(latchkey.PortableTeam)}, {Line: 7, Membership: &latchkey.PortableMembership{Roles: []string{}}},
		{Line: 8, User: &latchkey.PortableUser{Targets: []latchkey.Target{}}},
	}
	n := 0
	filled(t, reflect.ValueOf(all[0].User).Elem(), &n)
	filled(t, reflect.ValueOf(all[1].Team).Elem(), &n)
	filled(t, reflect.ValueOf(all[2].Membership).Elem(), &n)
	text := written(t, all...)
	var got []latchkey.Portable
	for p, err := range transfer.Read(strings.NewReader(text), transfer.Latchkey, transfer.Options{}) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, p)
	}
	if diff := cmp.Diff(all, got, secrets); diff != "" {
		t.Error(diff)
	}
}

// Empty preferences are left out, however they are written.
func TestEmptyPrefsAreLeftOut(t *testing.T) {
	for _, prefs := range []json.RawMessage{nil, {}, json.RawMessage("{}")} {
		text := written(t, latchkey.Portable{User: &latchkey.PortableUser{Prefs: prefs}}, latchkey.Portable{Team: &latchkey.PortableTeam{Prefs: prefs}})
		if strings.Contains(text, "prefs") {
			t.Errorf("%q: %s", prefs, text)
		}
	}
}

// What cannot be read again is not written, and what is written is not changed.
func TestWriterRefusesWhatIsNoJSON(t *testing.T) {
	for name, u := range map[string]latchkey.PortableUser{
		"not UTF-8": {Name: "a\xff"}, "label": {Labels: []string{"a\xff"}}, "preferences": {Prefs: json.RawMessage(`{"a":`)},
	} {
		w := transfer.NewWriter(io.Discard, false, time.Now())
		if err := w.Write(latchkey.Portable{User: &u}); err == nil {
			t.Errorf("%s: no error", name)
		}
		if err := w.Write(latchkey.Portable{User: &latchkey.PortableUser{ID: "ada"}}); err == nil {
			t.Errorf("%s: another record follows", name)
		}
		if err := w.Close(); err == nil {
			t.Errorf("%s: no error at the end", name)
		}
	}
	prefs := json.RawMessage(`{ "a" : 1 }`)
	text := written(t, latchkey.Portable{User: &latchkey.PortableUser{Prefs: prefs, CreatedAt: time.Date(2026, 1, 2, 3, 4, 5, 0, time.FixedZone("", 3600))}})
	if string(prefs) != `{ "a" : 1 }` || !strings.Contains(text, `"createdAt":"2026-01-02T02:04:05Z"`) || !strings.Contains(text, `"prefs":{"a":1}`) {
		t.Errorf("%s, and the preferences are %s now", text, prefs)
	}
}

func TestWriterKeepsItsFirstError(t *testing.T) {
	w := transfer.NewWriter(brokenWriter{}, false, time.Now())
	big := latchkey.Portable{User: &latchkey.PortableUser{Name: strings.Repeat("x", 1<<20)}}
	if err := w.Write(big); !errors.Is(err, errDisk) {
		t.Errorf("first: %v", err)
	}
	if err := w.Write(big); !errors.Is(err, errDisk) {
		t.Errorf("second: %v", err)
	}
	if err := w.Close(); !errors.Is(err, errDisk) {
		t.Errorf("close: %v", err)
	}
}

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, errDisk }

const (
	head  = `{"kind":"latchkey","version":1}` + "\n"
	user  = `{"kind":"user","id":"ada"}` + "\n"
	team  = `{"kind":"team","id":"t","name":"T","createdAt":"2026-01-02T03:04:05Z","updatedAt":"2026-01-02T03:04:05Z"}` + "\n"
	joins = `{"kind":"membership","teamId":"t","userId":"ada","roles":[]}` + "\n"
)

func end(users, teams, memberships int) string {
	return fmt.Sprintf(`{"kind":"end","users":%d,"teams":%d,"memberships":%d}`+"\n", users, teams, memberships)
}

func TestLinesOfLatchkeyAreRefused(t *testing.T) {
	const wrong = "transfer: the file does not have this format: "
	const counted = wrong + "the end counts other records"
	const newer = "transfer: a newer version of this program has written the file"
	const unknown = ": it is no record of a known kind"
	const object = ": it is not a JSON object"
	one := func(line string) string { return head + line + "\n" + end(1, 0, 0) }
	refuses(t, transfer.Latchkey, transfer.Options{}, []broken{
		{"empty", "", wrong + "it is empty"},
		{"blank lines", "\n\r\n\n", wrong + "it is empty"},
		{"whole", head + user + team + joins + end(1, 1, 1), ""},
		{"no record", head + end(0, 0, 0), ""},
		{"byte order mark", "\ufeff" + head + end(0, 0, 0), ""},
		{"CRLF and blank lines", strings.ReplaceAll("\n"+head+"\n"+user+end(1, 0, 0)+"\n", "\n", "\r\n"), ""},
		{"no line end", strings.TrimSpace(head + end(0, 0, 0)), ""},
		{"no head", user + end(1, 0, 0), wrong + "the first line is no head"},
		{"head that is no JSON", "latchkey", wrong + "the first line is no head"},
		{"long head", isTen + "\n" + end(0, 0, 0), wrong + "the first line is no head"},
		{"newer", `{"kind":"latchkey","version":2,"more":{}}` + "\n", newer},
		{"no version", `{"kind":"latchkey"}` + "\n" + end(0, 0, 0), wrong + "the version is not known"},
		{"version below 0", `{"kind":"latchkey","version":-1}` + "\n" + end(0, 0, 0), wrong + "the version is not known"},
		{"version twice", `{"kind":"latchkey","version":1,"version":2}` + "\n" + end(0, 0, 0), wrong + "the first line is no head"},
		{"head with more", `{"kind":"latchkey","version":1,"more":[1]}` + "\n" + end(0, 0, 0), ""},
		{"no end", head + user, cutOff},
		{"cut in a line", head + user + `{"kind":"us`, "line 3" + unknown + "\n" + cutOff},
		{"cut in the end", head + user + `{"kind":"end","users":1`, counted},
		{"users missing", head + end(1, 0, 0), counted},
		{"users too many", head + user + end(0, 0, 0), counted},
		{"teams", head + team + end(0, 0, 0), counted},
		{"memberships", head + joins + end(0, 0, 2), counted},
		{"one of another kind", head + user + end(0, 1, 0), counted},
		{"end with more", head + `{"kind":"end","users":0,"teams":0,"memberships":0,"more":1}`, counted},
		{"line after the end", head + end(0, 0, 0) + user, wrong + "a line follows the end"},
		{"long line after the end", head + end(0, 0, 0) + isTen, wrong + "a line follows the end"},
		{"head twice", head + head + end(0, 0, 0), "line 2" + unknown + "\n" + counted},
		{"another kind", one(`{"kind":"session"}`), "line 2" + unknown},
		{"no kind", one(`{"id":"ada"}`), "line 2" + unknown},
		{"no object", one(`[1]`), "line 2" + unknown},
		{"no JSON", one(`ada`), "line 2" + unknown},
		{"kind of another type", one(`{"kind":1}`), "line 2" + unknown},
		{"deep", one(`{"kind":"user","prefs":` + deep), "line 2" + object},
		{"20 MiB", one(`{"kind":"user","name":"` + isTen + isTen + `"}`), "line 2: it is longer than 16777216 bytes"},
		{"just too long", one(`{"kind":"user","id":"` + strings.Repeat("x", transfer.MaxLine-22) + `"}`), "line 2: it is longer than 16777216 bytes"},
		{"just not too long", one(`{"kind":"user","id":"` + strings.Repeat("x", transfer.MaxLine-23) + `"}`), ""},
		{"unknown member", one(`{"kind":"user","idd":"ada"}`), "line 2: it has a member that this format does not have"},
		{"unknown member inside", one(`{"kind":"user","authenticator":{"secret":"x"}}`), "line 2: it has a member that this format does not have"},
		{"unknown member of a team", head + `{"kind":"team","id":"t","more":1}` + "\n" + end(0, 1, 0), "line 2: it has a member that this format does not have"},
		{"unknown member of a membership", head + `{"kind":"membership","more":1}` + "\n" + end(0, 0, 1), "line 2: it has a member that this format does not have"},
		{"member of another case", one(`{"kind":"user","ID":"ada"}`), "line 2: it has a member that this format does not have"},
		{"member twice", one(`{"kind":"user","id":"ada","id":"bob"}`), "line 2: an object in it has a member twice"},
		{"kind twice", one(`{"kind":"user","id":"ada","kind":"user"}`), "line 2: an object in it has a member twice"},
		{"member twice inside", one(`{"kind":"user","prefs":{"a":1,"a":2}}`), "line 2: an object in it has a member twice"},
		{"id of another type", one(`{"kind":"user","id":1}`), "line 2: its member id has another form"},
		{"time", one(`{"kind":"user","createdAt":"yesterday"}`), "line 2: its member createdAt has another form"},
		{"type inside", one(`{"kind":"user","identities":[{"subject":7}]}`), "line 2: its member identities has another form"},
		{"digest", one(`{"kind":"user","recoveryCodes":[{"digest":"!"}]}`), "line 2: its member recoveryCodes has another form"},
		{"after the object", one(`{"kind":"user"} {}`), "line 2" + object},
		{"not UTF-8", one("{\"kind\":\"user\",\"name\":\"\xff\"}"), "line 2" + object},
		{"line numbers", head + "\n" + user + "\n\n" + "x\n" + user + `{"kind":"team","id":[]}` + "\n" + end(3, 1, 0), "line 6" + unknown + "\nline 8: its member id has another form"},
	})
}

// The kind may stand anywhere in a line, and be written in any way of JSON.
func TestKindStandsAnywhere(t *testing.T) {
	text := "{\"version\":1,\"kind\":\"latchkey\"}\n{\"id\":\"ada\",\"kind\":\"user\"}\n{\"kind\":\"\\u0075ser\",\"id\":\"bob\"}\n { \"kind\" : \"user\" , \"id\" : \"cyd\" } \n{\"users\":3,\"kind\":\"end\"}\n"
	r := read(text, transfer.Latchkey, transfer.Options{})
	if r.told() != "" || len(r.users) != 3 || r.users[2].ID != "cyd" {
		t.Errorf("%d users, %s", len(r.users), r.told())
	}
}

func FuzzLatchkey(f *testing.F) {
	f.Add(head + user + team + joins + end(1, 1, 1))
	f.Add(head + `{"kind":"user","id":"ada","email":"ada@example.org","password":"$2a$04$x","prefs":{"a":1},"identities":[{"provider":"p"}]}`)
	f.Fuzz(func(t *testing.T, text string) {
		var all []latchkey.Portable
		for p, err := range transfer.Read(strings.NewReader(text), transfer.Latchkey, transfer.Options{}) {
			if err != nil {
				if part := leaks(err.Error(), text); part != "" {
					t.Errorf("%q is of the file: %v", part, err)
				}
				continue
			}
			p.Line = len(all) + 2
			all = append(all, p)
		}
		again := written(t, all...)
		at := 0
		for p, err := range transfer.Read(strings.NewReader(again), transfer.Latchkey, transfer.Options{}) {
			if err != nil || at == len(all) {
				t.Fatalf("%v in\n%s", err, again)
			}
			at++
			_ = p
		}
		if second := written(t, all...); at != len(all) || second != again {
			t.Errorf("%d of %d records", at, len(all))
		}
	})
}
