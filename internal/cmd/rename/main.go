// Rename gives the module of a tree another path.
//
//	go run ./internal/cmd/rename [-force] your.host/latchkey
//
// It works on the current folder. It replaces the path that go.mod names, wherever that stands as a
// whole word in a text file: in imports, documents, scripts, data and comments. Then it formats the Go
// files that it has changed, because imports are sorted by their paths. It leaves binary files alone,
// and files that git ignores.
//
// Only git can undo that. So the command refuses a tree with changes that are not committed, and a
// tree that git does not know. With -force it renames such a tree too.
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"go/format"
	"io"
	"io/fs"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("rename: ")
	force := flag.Bool("force", false, "rename although git cannot undo it")
	flag.Usage = func() {
		fmt.Fprintln(os.Stderr, "usage: go run ./internal/cmd/rename [-force] NEW/PATH")
		flag.PrintDefaults()
	}
	flag.Parse()
	if flag.NArg() != 1 {
		flag.Usage()
		os.Exit(2)
	}
	if err := run(os.Stdout, ".", flag.Arg(0), *force); err != nil {
		log.Fatal(err)
	}
}

// run renames the module in a folder, and prints one line about it. It reads and checks everything
// before it writes anything.
func run(out io.Writer, dir, path string, force bool) error {
	text, err := os.ReadFile(filepath.Join(dir, modFile))
	if err != nil {
		return err
	}
	mod, err := modfile.ParseLax(modFile, text, nil)
	if err != nil {
		return err
	}
	if mod.Module == nil {
		return errors.New("go.mod names no module")
	}
	was := mod.Module.Mod.Path
	if path == was {
		_, err := fmt.Fprintf(out, "The module is %s already. Nothing was changed.\n", path)
		return err
	}
	if err := check(path, mod.Require); err != nil {
		return err
	}
	names, err := list(dir, force)
	if err != nil {
		return err
	}
	changes, places, err := plan(dir, names, was, path)
	if err != nil {
		return err
	}
	for _, c := range changes {
		if err := os.WriteFile(filepath.Join(dir, c.name), c.text, c.mode); err != nil {
			return err
		}
	}
	_, err = fmt.Fprintf(out, "%s is now %s: %d places in %d files.\n", was, path, places, len(changes))
	return err
}

const modFile = "go.mod"

// check refuses a text that cannot be the path of this module.
func check(path string, dependencies []*modfile.Require) error {
	if err := module.CheckPath(path); err != nil {
		return err
	}
	if _, version, _ := module.SplitPathVersion(path); version != "" {
		return fmt.Errorf("the path %q ends in a version, which only a module of version 2 or later may have", path)
	}
	for _, part := range strings.Split(path, "/") {
		if part == "internal" || part == "vendor" {
			return fmt.Errorf("other modules cannot import packages of %q, because of its part %s", path, part)
		}
	}
	for _, r := range dependencies { // the go command would look for its packages here
		if strings.HasPrefix(r.Mod.Path+"/", path+"/") {
			return fmt.Errorf("the path %q is that of the dependency %s, or above it", path, r.Mod.Path)
		}
	}
	return nil
}

// change is a file with its new text.
type change struct {
	name string
	mode fs.FileMode
	text []byte
}

// plan returns the files that change, and the number of places. go.mod comes last: after a run that
// was cut short, another one goes on.
func plan(dir string, names []string, from, to string) (changes []change, places int, err error) {
	var last []change
	for _, name := range names {
		full := filepath.Join(dir, name)
		info, err := os.Lstat(full)
		if errors.Is(err, fs.ErrNotExist) { // git lists files that were deleted
			continue
		}
		if err != nil {
			return nil, 0, err
		}
		if !info.Mode().IsRegular() {
			continue
		}
		text, err := os.ReadFile(full)
		if err != nil {
			return nil, 0, err
		}
		text, n := replace(text, from, to)
		if n == 0 {
			continue
		}
		if filepath.Ext(name) == ".go" {
			if text, err = format.Source(text); err != nil {
				return nil, 0, fmt.Errorf("%s: %w", name, err)
			}
		}
		places += n
		c := change{name, info.Mode().Perm(), text}
		if name == modFile {
			last = append(last, c)
			continue
		}
		changes = append(changes, c)
	}
	return append(changes, last...), places, nil
}

// replace replaces a path where it is a whole word, and counts the places. A binary file has none.
func replace(text []byte, from, to string) (out []byte, places int) {
	if bytes.IndexByte(text, 0) >= 0 {
		return text, 0
	}
	rest := 0
	for at := 0; ; {
		i := bytes.Index(text[at:], []byte(from))
		if i < 0 {
			return append(out, text[rest:]...), places
		}
		begin, end := at+i, at+i+len(from)
		at = begin + 1
		if isWord(text[:begin], text[end:]) {
			out = append(append(out, text[rest:begin]...), to...)
			rest, at = end, end
			places++
		}
	}
}

// isWord reports whether a path between two texts is a whole word: not the end of a longer host or of
// a mail address, nor the beginning of a longer name. A slash after it leads to a package, and a dot to
// a name in it.
func isWord(before, after []byte) bool {
	prev, _ := utf8.DecodeLastRune(before)
	next, _ := utf8.DecodeRune(after)
	inName := func(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) || strings.ContainsRune("-_~", r) }
	return !inName(prev) && prev != '.' && prev != '@' && !inName(next)
}

// list returns the names of the files of a tree that git does not ignore, or of all files of a tree that
// git does not know.
func list(dir string, force bool) ([]string, error) {
	if _, err := output(dir, "git", "ls-files", "--error-unmatch", modFile); err != nil {
		if !force {
			return nil, fmt.Errorf("git does not know this tree, so nothing could undo the change: commit it, or use -force (%w)", err)
		}
		return walk(dir)
	}
	status, err := output(dir, "git", "status", "--porcelain", "--untracked-files=all", ".")
	if err != nil {
		return nil, err
	}
	if len(status) > 0 && !force {
		return nil, fmt.Errorf("this tree has changes that are not committed: commit them, or use -force\n%s", status)
	}
	names, err := output(dir, "git", "ls-files", "--cached", "--others", "--exclude-standard", "-z")
	if err != nil {
		return nil, err
	}
	return strings.Split(strings.TrimSuffix(string(names), "\x00"), "\x00"), nil
}

func walk(dir string) (names []string, err error) {
	err = fs.WalkDir(os.DirFS(dir), ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.Name() == ".git" && d.IsDir():
			return fs.SkipDir
		case d.Name() != ".git" && !d.IsDir():
			names = append(names, name)
		}
		return nil
	})
	return names, err
}

// output returns what a command in a folder prints. Its error holds what the command says.
func output(dir, name string, args ...string) ([]byte, error) {
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	out, err := cmd.Output()
	var failed *exec.ExitError
	if errors.As(err, &failed) {
		err = fmt.Errorf("%s %s: %w: %s", name, args[0], err, bytes.TrimSpace(failed.Stderr))
	}
	return out, err
}
