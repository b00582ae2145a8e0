package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"example.com/latchkey"
	"example.com/latchkey/hasher/hashertest"
	"example.com/latchkey/store/memory"
	"example.com/latchkey/store/storetest"
)

// full is a stream on a full disk.
type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("no space left on device") }

// attacked makes a folder with a key and a store of each kind that has a file, with one user.
func attacked(t *testing.T, kind string) (dir, key, file string) {
	t.Helper()
	dir = t.TempDir()
	key, file = filepath.Join(dir, "app.key"), filepath.Join(dir, "app.db")
	if err := os.WriteFile(key, []byte(latchkey.GenerateKey().Reveal()+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("LATCHKEY_STORE", kind+":"+file)
	t.Setenv("LATCHKEY_KEY_FILE", "")
	var errs bytes.Buffer
	if code := run([]string{"-key-file", key, "user", "add", "-id", "ada", "-email", "ada@example.org"}, strings.NewReader(""), io.Discard, &errs); code != 0 {
		t.Fatal(errs.String())
	}
	return dir, key, file
}

// A result that could not be written is not a success. A new key would be lost.
func TestAResultThatIsNotWrittenIsAnError(t *testing.T) {
	_, key, _ := attacked(t, "sqlite")
	for _, args := range [][]string{
		{"key", "make"}, {"-json", "key", "make"}, {"user", "show", "ada"}, {"-json", "user", "show", "ada"}, {"user", "find", "ada"}, {"-json", "limits"}, {"migrate"},
	} {
		if code := run(append([]string{"-key-file", key}, args...), strings.NewReader(""), full{}, io.Discard); code == 0 {
			t.Errorf("%v: exit code 0, and nothing was written", args)
		}
	}
}

// The key may come from a pipe, as the file of a shell's <(...).
func TestAKeyComesFromAPipe(t *testing.T) {
	_, key, _ := attacked(t, "sqlite")
	text, err := os.ReadFile(key)
	if err != nil {
		t.Fatal(err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := w.Write(text); err != nil {
		t.Fatal(err)
	}
	w.Close()
	var errs bytes.Buffer
	if code := run([]string{"-key-file", fmt.Sprintf("/dev/fd/%d", r.Fd()), "user", "show", "ada"}, strings.NewReader(""), io.Discard, &errs); code != 0 {
		t.Errorf("exit code %d: %s", code, errs.String())
	}
}

// A file of refused records that could not be written is an error, and not only a code for refused
// records.
func TestALostFileOfRejectsIsAnError(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "gone")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	var errs bytes.Buffer
	tl := &tool{out: io.Discard, errs: &errs}
	err := tl.withRejects(t.Context(), filepath.Join(dir, "rejects.txt"), func(w io.Writer) error {
		_, _ = io.WriteString(w, "line 2: user ada: refused\n")
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
		return errRefusals
	})
	if code := tl.report(err); code != exitFailed || errs.Len() == 0 {
		t.Errorf("exit code %d and the message %q, although the rejects are lost: %v", code, errs.String(), err)
	}
}

// No command replaces the store or the key that it works with by its output, with -yes either.
func TestAnOutputDoesNotReplaceTheStoreOrTheKey(t *testing.T) {
	for _, kind := range []string{"sqlite", "bbolt"} {
		for _, c := range [][]string{{"export", "STORE"}, {"user", "export", "ada", "STORE"}, {"export", "KEY"}, {"import", "-rejects", "STORE", "IN"}, {"import", "-rejects", "KEY", "IN"}, {"import", "-rejects", "IN", "IN"}} {
			t.Run(kind+" "+strings.Join(c, " "), func(t *testing.T) {
				dir, key, file := attacked(t, kind)
				in := filepath.Join(dir, "in.jsonl")
				if err := os.WriteFile(in, []byte(`{"kind":"latchkey","version":1,"secrets":false,"createdAt":"2026-01-02T03:04:05Z"}`+"\n"+`{"kind":"user","id":"-"}`+"\n"+`{"kind":"end","users":1,"teams":0,"memberships":0}`+"\n"), 0o600); err != nil {
					t.Fatal(err)
				}
				names := map[string]string{"STORE": file, "KEY": key, "IN": in}
				args := []string{"-yes", "-key-file", key}
				for _, a := range c {
					if names[a] != "" {
						a = names[a]
					}
					args = append(args, a)
				}
				before := make(map[string]string)
				for _, name := range []string{key, in} {
					text, _ := os.ReadFile(name)
					before[name] = string(text)
				}
				run(args, strings.NewReader(""), io.Discard, io.Discard)
				for name, want := range before {
					if text, _ := os.ReadFile(name); string(text) != want {
						t.Errorf("%s is another file", filepath.Base(name))
					}
				}
				if err := os.WriteFile(key, []byte(before[key]), 0o600); err != nil {
					t.Fatal(err)
				}
				var errs bytes.Buffer
				if code := run([]string{"-key-file", key, "user", "show", "ada"}, strings.NewReader(""), io.Discard, &errs); code != 0 {
					t.Errorf("the store is gone: %s", errs.String())
				}
			})
		}
	}
}

// Standard output with -json has no character that a terminal obeys, as the text for people.
func TestJSONHoldsNoControlCharacters(t *testing.T) {
	dir, key, _ := attacked(t, "sqlite")
	in := filepath.Join(dir, "in.jsonl")
	evil := "x\u009b31m\u202ey\u007f"
	if err := os.WriteFile(in, []byte(`{"kind":"latchkey","version":1,"secrets":false,"createdAt":"2026-01-02T03:04:05Z"}`+"\n"+
		`{"kind":"user","id":"bob","prefs":{"a":"`+evil+`"}}`+"\n"+`{"kind":"user","id":"`+evil+`"}`+"\n"+`{"kind":"end","users":2,"teams":0,"memberships":0}`+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var out, errs bytes.Buffer
	run([]string{"-json", "-key-file", key, "import", in}, strings.NewReader(""), &out, &errs)
	run([]string{"-json", "-key-file", key, "user", "show", "bob"}, strings.NewReader(""), &out, &errs)
	for _, r := range evil {
		if r > 'y' && strings.ContainsRune(out.String()+errs.String(), r) {
			t.Errorf("the output holds %U: %q", r, out.String()+errs.String())
		}
	}
}

// A copy that breaks off says that it is not whole, once it has a row.
func TestACopyThatBreaksOffIsCalledBroken(t *testing.T) {
	s := memory.Open()
	engine, err := latchkey.New(s, latchkey.Config{Keys: latchkey.Keys{Active: latchkey.GenerateKey()}, Hasher: hashertest.New(t)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := engine.Users().Create(t.Context(), latchkey.NewUser{UserID: "ada", Email: "ada@example.org"}); err != nil {
		t.Fatal(err)
	}
	gone := errors.New("the disk is gone")
	begun := 0
	for n := 1; ; n++ {
		to := place{kind: "bbolt", at: filepath.Join(t.TempDir(), "copy.db")}
		var errs bytes.Buffer
		err := (&tool{out: io.Discard, errs: &errs}).copyTo(t.Context(), storetest.FailNth(s, n, false, gone), to)
		if err == nil {
			break
		}
		if !errors.Is(err, gone) {
			t.Fatal(err)
		}
		if strings.Contains(err.Error(), "The copy in "+to.String()+" is not whole: delete it") {
			begun++
		}
	}
	if begun == 0 {
		t.Error("no broken copy was called one")
	}
}
