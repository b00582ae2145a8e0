//go:build unix

package bbolt

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"example.com/latchkey/store"
)

// A text that is no path of a file is refused with a sentence, and nothing is made.
func TestPathsThatAreNoFilesAreRefused(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	for path, want := range map[string]string{
		"": "empty", ":memory:": "store/memory", "file:z.db": "no URI", "bbolt:///x.db": "no URI", ".": "folder", dir: "folder", os.DevNull: "regular",
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
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 0 {
		t.Errorf("%v, %v", entries, err)
	}
}

// A file at the end of links is as private as others.
func TestAFileBehindLinksIsPrivate(t *testing.T) {
	old := syscall.Umask(0o022)
	defer syscall.Umask(old)
	dir := t.TempDir()
	real, link := filepath.Join(dir, "real.db"), filepath.Join(dir, "link.db")
	if err := os.Symlink("real.db", link); err != nil {
		t.Fatal(err)
	}
	s, err := Open(link)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if info, err := os.Stat(real); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	if _, err := Open(real); !errors.Is(err, store.ErrLocked) { // the same file by another name
		t.Error(err)
	}
}
