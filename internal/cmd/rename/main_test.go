package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const (
	oldPath = "kit.example.org/tool"
	newPath = "zz.example.net/a/tool"
)

// before is a tree, and after is the same tree under another path.
var (
	before = map[string]string{
		".ci/run":          "#!/bin/sh\ngo test kit.example.org/tool/...\n",
		".gitignore":       "*.db\n",
		"README.md":        "`go get kit.example.org/tool@latest`, see https://kit.example.org/tool.\nkit.example.org/tool kit.example.org/tool",
		"go.mod":           "module kit.example.org/tool\n\ngo 1.26\n\nrequire kit.example.org/toolbox v1.0.0\n",
		"ignored.db":       "kit.example.org/tool\n",
		"migrations/1.sql": "-- of kit.example.org/tool\n",
		"package.json":     "{\"path\":\"kit.example.org/tool\"}",
		"picture.png":      "\x89PNG\x00kit.example.org/tool",
		"plain.go":         "package  tool\n",
		"words.txt": "kit.example.org/toolbox kit.example.org/tool-box kit.example.org/tool_box kit.example.org/toolé\n" +
			"my.kit.example.org/tool my-kit.example.org/tool ada@kit.example.org/tool\n" +
			"(kit.example.org/tool) kit.example.org/tool. kit.example.org/tool.Type kit.example.org/tool/sub\n",
		"sub/sub.go": `package sub

import (
	"fmt"

	"kit.example.org/tool"
	alias "kit.example.org/tool/alias"
	"kit.example.org/tool/other"
	"kit.example.org/toolbox" // another module
	"mid.example.org/lib"     // stays
)

// Name is not [kit.example.org/tool.Name].
const Name = "kit.example.org/tool"
`,
	}
	after = map[string]string{
		".ci/run":          "#!/bin/sh\ngo test zz.example.net/a/tool/...\n",
		".gitignore":       before[".gitignore"],
		"README.md":        "`go get zz.example.net/a/tool@latest`, see https://zz.example.net/a/tool.\nzz.example.net/a/tool zz.example.net/a/tool",
		"go.mod":           "module zz.example.net/a/tool\n\ngo 1.26\n\nrequire kit.example.org/toolbox v1.0.0\n",
		"ignored.db":       before["ignored.db"],
		"migrations/1.sql": "-- of zz.example.net/a/tool\n",
		"package.json":     "{\"path\":\"zz.example.net/a/tool\"}",
		"picture.png":      before["picture.png"],
		"plain.go":         before["plain.go"],
		"words.txt": "kit.example.org/toolbox kit.example.org/tool-box kit.example.org/tool_box kit.example.org/toolé\n" +
			"my.kit.example.org/tool my-kit.example.org/tool ada@kit.example.org/tool\n" +
			"(zz.example.net/a/tool) zz.example.net/a/tool. zz.example.net/a/tool.Type zz.example.net/a/tool/sub\n",
		"sub/sub.go": `package sub

import (
	"fmt"

	"kit.example.org/toolbox" // another module
	"mid.example.org/lib"     // stays
	"zz.example.net/a/tool"
	alias "zz.example.net/a/tool/alias"
	"zz.example.net/a/tool/other"
)

// Name is not [zz.example.net/a/tool.Name].
const Name = "zz.example.net/a/tool"
`,
	}
)

// write makes a folder with files.
func write(t *testing.T, files map[string]string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	for name, text := range files {
		full := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(full), 0o700); err != nil {
			t.Fatal(err)
		}
		mode := os.FileMode(0o600)
		if strings.HasPrefix(text, "#!") {
			mode = 0o700
		}
		if err := os.WriteFile(full, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// read returns the files of a folder, but those of git.
func read(t *testing.T, dir string) map[string]string {
	t.Helper()
	names, err := walk(dir)
	if err != nil {
		t.Fatal(err)
	}
	files := make(map[string]string)
	for _, name := range names {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		files[name] = string(text)
	}
	return files
}

// git runs git in a folder.
func git(t *testing.T, dir string, args ...string) {
	t.Helper()
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("no git")
	}
	args = append([]string{"-C", dir, "-c", "user.name=ada", "-c", "user.email=ada@example.org", "-c", "commit.gpgsign=false"}, args...)
	if out, err := exec.Command("git", args...).CombinedOutput(); err != nil {
		t.Fatalf("git %v: %v: %s", args, err, out)
	}
}

// committed makes a folder with files that git knows.
func committed(t *testing.T, files map[string]string) (dir string) {
	t.Helper()
	dir = write(t, files)
	git(t, dir, "init", "-q")
	git(t, dir, "add", ".")
	git(t, dir, "commit", "-q", "-m", "first")
	return dir
}

// refused renames a tree, and fails unless that is refused and changes nothing.
func refused(t *testing.T, dir, path string) error {
	t.Helper()
	was := read(t, dir)
	var out bytes.Buffer
	err := run(&out, dir, path, false)
	if err == nil {
		t.Errorf("%q was taken", path)
	}
	if diff := cmp.Diff(was, read(t, dir)); diff != "" || out.Len() > 0 {
		t.Errorf("%s%s", diff, &out)
	}
	return err
}

func TestATreeIsRenamed(t *testing.T) {
	dir := committed(t, before)
	var out bytes.Buffer
	if err := run(&out, dir, newPath, false); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(after, read(t, dir)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if want := oldPath + " is now " + newPath + ": 17 places in 7 files.\n"; out.String() != want {
		t.Errorf("%q, want %q", &out, want)
	}
	if info, err := os.Stat(filepath.Join(dir, ".ci/run")); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v", info.Mode(), err)
	}

	out.Reset()
	if err := run(&out, dir, newPath, false); err != nil { // although nothing is committed yet
		t.Fatal(err)
	}
	if diff := cmp.Diff(after, read(t, dir)); diff != "" || strings.Count(out.String(), "\n") != 1 {
		t.Errorf("%s%s", diff, &out)
	}
}

func TestThereAndBackIsTheSameTree(t *testing.T) {
	dir := committed(t, before)
	var out bytes.Buffer
	for _, path := range []string{newPath, oldPath + "/below", oldPath} {
		if err := run(&out, dir, path, true); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(before, read(t, dir)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestWhatGitCannotUndoIsRefused(t *testing.T) {
	for name, spoil := range map[string]func(dir string) error{
		"a changed file": func(dir string) error {
			return os.WriteFile(filepath.Join(dir, "plain.go"), []byte("package tool\n"), 0o600)
		},
		"a new file": func(dir string) error {
			return os.WriteFile(filepath.Join(dir, "new.go"), []byte("package tool\n"), 0o600)
		},
		"a removed file": func(dir string) error { return os.Remove(filepath.Join(dir, "plain.go")) },
		"no git":         func(dir string) error { return os.RemoveAll(filepath.Join(dir, ".git")) },
		"git that ignores the tree": func(dir string) error {
			return errors.Join(os.Remove(filepath.Join(dir, ".git/index")), os.WriteFile(filepath.Join(dir, ".git/info/exclude"), []byte("*\n"), 0o600))
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := committed(t, before)
			if err := spoil(dir); err != nil {
				t.Fatal(err)
			}
			if err := refused(t, dir, newPath); err != nil && !strings.Contains(err.Error(), "-force") {
				t.Error(err)
			}
			var out bytes.Buffer
			if err := run(&out, dir, newPath, true); err != nil {
				t.Fatal(err)
			}
			if got := read(t, dir)["sub/sub.go"]; got != after["sub/sub.go"] {
				t.Errorf("with force: %s", got)
			}
		})
	}
}

func TestPathsThatAreRefused(t *testing.T) {
	dir := committed(t, before)
	for _, path := range []string{
		"", "tool", "tool/kit", "/zz.example.net/tool", "zz.example.net/tool/", "zz.example.net//tool", "zz.example.net/a tool", "zz.example.net/a\ntool",
		"https://zz.example.net/tool", "zz.example.net/tool@v1", "ZZ.example.net/tool", "-zz.example.net/tool", "zz.example.net/.tool", "zz.example.net/tool.",
		"zz.example.net/../tool", "./tool", "zz.example.net/töol", "zz.example.net/a\\tool", "zz.example.net/\"tool\"", "zz.example.net/nul/tool",
		"zz.example.net/tool/v0", "zz.example.net/tool/v1", "zz.example.net/tool/v2", "gopkg.in/tool", "gopkg.in/tool.v0",
		"zz.example.net/internal/tool", "zz.example.net/vendor/tool",
		"kit.example.org/toolbox", "kit.example.org", // of the dependency, and above it
	} {
		_ = refused(t, dir, path)
	}
}

func TestNothingIsWrittenIfAFileDoesNotParse(t *testing.T) {
	dir := committed(t, map[string]string{"go.mod": before["go.mod"], "a.go": "package a\n\nimport \"kit.example.org/tool\"\n", "b.go": "package b\n\nimport \"kit.example.org/tool\n"})
	if err := refused(t, dir, newPath); err != nil && !strings.Contains(err.Error(), "b.go") {
		t.Error(err)
	}
}

func TestARunThatWasCutShortIsFinished(t *testing.T) {
	dir := committed(t, before)
	changes, _, err := plan(dir, []string{"go.mod", "README.md", "sub/sub.go"}, oldPath, newPath)
	if err != nil || changes[len(changes)-1].name != "go.mod" {
		t.Fatalf("go.mod is not the last: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, changes[0].name), changes[0].text, 0o600); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := run(&out, dir, newPath, true); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(after, read(t, dir)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}
