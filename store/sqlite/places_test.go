//go:build unix

package sqlite

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"example.com/latchkey/internal/record"
	"example.com/latchkey/store"
)

// A text that is no path of a file is refused with a sentence, and nothing is made.
func TestPathsThatAreNoFilesAreRefused(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	for path, want := range map[string]string{
		"": "empty", ":memory:": "store/memory", ":MEMORY:": "no URI", ":memory:?cache=shared": "no URI", "FILE:x": "no URI", "sqlite:x": "no URI", "x.db/": "folder", "./x.db/.": "folder", "x/..": "folder", "file:z.db": "no URI", "file::memory:?cache=shared": "no URI", "sqlite:///x.db": "no URI", "sqlite3://x": "no URI",
		".": "folder", dir: "folder", dir + "/": "folder", os.DevNull: "regular",
	} {
		for name, open := range map[string]func() error{
			"Open": func() error { _, err := Open(path); return err },
			"Plan": func() error { _, err := Plan(path); return err },
		} {
			if err := open(); !errors.Is(err, store.ErrInvalid) || !strings.Contains(err.Error(), want) {
				t.Errorf("%s %q: %v", name, path, err)
			}
		}
	}
	link := filepath.Join(dir, "folder.db")
	if err := os.Mkdir("real", 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("real", link); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(link); !errors.Is(err, store.ErrInvalid) || !strings.Contains(err.Error(), "folder") {
		t.Errorf("a link to a folder: %v", err)
	}
	if err := os.Symlink("loop.db", "loop.db"); err != nil {
		t.Fatal(err)
	}
	if _, err := Open("loop.db"); !errors.Is(err, store.ErrInvalid) {
		t.Errorf("a link to itself: %v", err)
	}
	if got := files(t, link); got != "folder.db loop.db real" {
		t.Error(got)
	}
}

// Signs that mean something in a URI mean nothing in the name of a file.
func TestNamesOfFilesAreTakenAsTheyAre(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, name := range []string{"sms#2024.db", "chat.db?mode=ro", "report%20final.db", "q?vfs=memdb", "a b.db", "./:memory:", "./file:x.db", "ä.db", "'.db"} {
		s, err := Open(name)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		insert(t, s, "ada")
		if info, err := os.Stat(name); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, info, err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	if entries, err := os.ReadDir("."); err != nil || len(entries) != 9 {
		t.Errorf("%v, %v", entries, err)
	}
}

// A file at the end of links is as private as others, with those beside it.
func TestAFileBehindLinksIsPrivate(t *testing.T) {
	old := syscall.Umask(0o022)
	defer syscall.Umask(old)
	dir := t.TempDir()
	for _, made := range []bool{false, true} {
		data := filepath.Join(dir, fmt.Sprint("data", made))
		if err := os.Mkdir(data, 0o755); err != nil {
			t.Fatal(err)
		}
		if made { // by the host, with a mode of its own
			if err := os.WriteFile(filepath.Join(data, "real.db"), nil, 0o640); err != nil {
				t.Fatal(err)
			}
		}
		first, second := filepath.Join(dir, fmt.Sprint("first", made)), filepath.Join(dir, fmt.Sprint("second", made))
		if err := errors.Join(os.Symlink(filepath.Base(data)+"/real.db", second), os.Symlink(second, first)); err != nil {
			t.Fatal(err)
		}
		s, err := Open(first)
		if err != nil {
			t.Fatal(err)
		}
		insert(t, s, "ada")
		want := fs.FileMode(0o600)
		if made {
			want = 0o640
		}
		for _, end := range []string{"", "-wal", "-shm"} {
			if info, err := os.Stat(filepath.Join(data, "real.db"+end)); err != nil || info.Mode().Perm() != want {
				t.Errorf("made %v: %s: %v, %v", made, end, info, err)
			}
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

// A link leads from the folder in which it really is: releases are folders behind a link, with links
// to a shared file.
func TestALinkInALinkedFolderLeadsToItsFile(t *testing.T) {
	dir := t.TempDir()
	if err := errors.Join(os.MkdirAll(filepath.Join(dir, "app", "releases", "42"), 0o700), os.MkdirAll(filepath.Join(dir, "app", "shared"), 0o700),
		os.MkdirAll(filepath.Join(dir, "srv", "shared"), 0o700), os.Symlink("../app/releases/42", filepath.Join(dir, "srv", "current")),
		os.Symlink("../../shared/data.db", filepath.Join(dir, "app", "releases", "42", "data.db"))); err != nil {
		t.Fatal(err)
	}
	t.Chdir(dir)
	for _, path := range []string{filepath.Join(dir, "srv", "current", "data.db"), "srv/current/data.db", "srv/current/../../shared/data.db", "srv/current/../42/./data.db"} {
		s, err := Open(path)
		if err != nil {
			t.Fatal(err)
		}
		insert(t, s, fmt.Sprint("user", len(path)))
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if n := lookUp(t, filepath.Join(dir, "app", "shared", "data.db"), "SELECT count(*) FROM users"); n != "4" {
		t.Errorf("%s users", n)
	}
	if entries, err := os.ReadDir(filepath.Join(dir, "srv", "shared")); err != nil || len(entries) != 0 {
		t.Errorf("another file was made: %v, %v", entries, err)
	}
}

// unprivileged is the variable with which this program opens a file as another user, and fullDisk
// that with which it does so on a disk that is full.
const (
	unprivileged = "LATCHKEY_TEST_OPEN"
	fullDisk     = "LATCHKEY_TEST_FULL"
)

func TestMain(m *testing.M) {
	if path := os.Getenv(unprivileged); path != "" {
		if os.Getenv(fullDisk) != "" { // no file grows beyond 16 KB
			signal.Ignore(syscall.SIGXFSZ)
			if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: 16 << 10, Max: 16 << 10}); err != nil {
				fmt.Println(err)
			}
		}
		s, err := Open(path)
		if err == nil {
			err = s.Close()
		}
		fmt.Println(errors.Is(err, fs.ErrPermission), err)
		return
	}
	os.Exit(m.Run())
}

// A file that may only be read is refused when it is opened, and not at the first change.
func TestAFileThatMayOnlyBeReadIsRefused(t *testing.T) {
	path := madeFile(t)
	for dir := filepath.Dir(path); strings.HasPrefix(dir, os.TempDir()+"/"); dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(path, 0o444); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	opened := exec.Command(program)
	if os.Getuid() == 0 { // root may write everything
		copied := filepath.Join(filepath.Dir(path), "program")
		text, err := os.ReadFile(program)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(copied, text, 0o755); err != nil {
			t.Fatal(err)
		}
		opened = exec.Command(copied)
		opened.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	}
	opened.Dir, opened.Env = filepath.Dir(path), append(os.Environ(), unprivileged+"="+path)
	out, err := opened.CombinedOutput()
	if err != nil || !strings.HasPrefix(string(out), "true ") || !strings.Contains(string(out), "may read the file, but not write it") {
		t.Errorf("%s, %v", out, err)
	}
	if after, err := os.ReadFile(path); err != nil || !bytes.Equal(before, after) {
		t.Errorf("the file was changed, %v", err)
	}
}

// A file that cannot be opened because the disk is full is refused with a sentence.
func TestAFullDiskIsTold(t *testing.T) {
	path := madeFile(t)
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	opened := exec.Command(program)
	opened.Env = append(os.Environ(), unprivileged+"="+path, fullDisk+"=1")
	out, err := opened.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "the disk is full") {
		t.Errorf("%s, %v", out, err)
	}
	s, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// logSize returns the size of the log of a file.
func logSize(t *testing.T, path string) int64 {
	t.Helper()
	info, err := os.Stat(path + "-wal")
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

// The log shrinks again after a reader of another process has held it.
func TestTheLogShrinksAfterALongReader(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	s, err := OpenWith(path, Options{MayLoseLastCommitsOnPowerLoss: true})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	insert(t, s, "ada")
	other, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	shell, err := other.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"BEGIN", "SELECT count(*) FROM users"} {
		if _, err := shell.ExecContext(t.Context(), text); err != nil {
			t.Fatal(err)
		}
	}
	user := someone("ada")
	write := func(times int) {
		for n := range times {
			user.Prefs = fmt.Sprintf(`{"n": %d, "text": %q}`, n, strings.Repeat(string(rune('a'+n%26)), 100_000))
			err := s.Update(t.Context(), func(ctx context.Context, tx store.Tx) error { return record.Users.Replace(ctx, tx, user) })
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	write(400)
	if size := logSize(t, path); size < 30<<20 {
		t.Fatalf("the log has only %d bytes beside a reader", size)
	}
	if err := errors.Join(shell.Close(), other.Close()); err != nil {
		t.Fatal(err)
	}
	write(200) // the next folds of the log
	if size := logSize(t, path); size > 21<<20 {
		t.Errorf("the log has %d bytes after the reader", size)
	}
	if err := s.(store.Tidier).Tidy(t.Context()); err != nil || logSize(t, path) != 0 {
		t.Errorf("%v, %d bytes after Tidy", err, logSize(t, path))
	}
}

// Nothing of a deleted row is left in the file and in its log.
func TestDeletedRowsAreOverwritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	s, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	for n := range 200 {
		insert(t, s, fmt.Sprint("remarkable", n))
	}
	found := func() (found bool) {
		for _, end := range []string{"", "-wal"} {
			text, err := os.ReadFile(path + end)
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				t.Fatal(err)
			}
			found = found || bytes.Contains(text, []byte("remarkable"))
		}
		return found
	}
	if !found() {
		t.Fatal("the rows are not there")
	}
	err = s.Update(t.Context(), func(ctx context.Context, tx store.Tx) error {
		_, err := tx.DeleteRange(ctx, store.Query{Index: record.Users.Primary(), Limit: store.MaxLimit})
		return err
	})
	if err := errors.Join(err, s.(store.Tidier).Tidy(t.Context())); err != nil {
		t.Fatal(err)
	}
	if found() {
		t.Error("rows are left while the store is open")
	}
	if err := s.Close(); err != nil || found() {
		t.Errorf("rows are left: %v", err)
	}
}

// While another call reads, Tidy leaves the log as it is, and holds nothing up.
func TestTidyWaitsForNoReader(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	s, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	insert(t, s, "ada")
	err = s.View(t.Context(), func(ctx context.Context, r store.Reader) error {
		if _, err := r.Count(ctx, store.Query{Index: record.Users.Primary()}); err != nil {
			return err
		}
		done := make(chan error)
		go func() { done <- s.(store.Tidier).Tidy(context.WithoutCancel(t.Context())) }()
		return <-done
	})
	if err != nil {
		t.Error(err)
	}
	insert(t, s, "bob")
}
