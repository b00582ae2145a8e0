package main

import (
	"errors"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var writeGolden = flag.Bool("write-golden", false, "write the API of the fixture")

// tree is the folder of this module.
const tree = "../../.."

// openFolders reads the folders of a tree, so that go test runs the tests again after a new file in
// one of them. It does not see the files that the go command reads.
func openFolders(t *testing.T, dir string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if d != nil && d.IsDir() && (d.Name() == ".git" || d.Name() == "node_modules") {
			return fs.SkipDir
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// This is the comparison that CI makes.
func TestTheFileHasTheAPIOfTheTree(t *testing.T) {
	openFolders(t, tree)
	var out strings.Builder
	if err := checkFile(&out, tree); err != nil {
		t.Errorf("%s%v", out.String(), err)
	}
}

// edit replaces a text of a file of the fixture. The text stands there once. A file that is not there
// is made.
type edit struct{ file, old, new string }

// fixture returns a folder with the fixture after some edits.
func fixture(t *testing.T, edits ...edit) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(filepath.Join("testdata", "fixture"))); err != nil {
		t.Fatal(err)
	}
	for _, e := range edits {
		name := filepath.Join(dir, e.file)
		text, err := os.ReadFile(name)
		if err != nil && !errors.Is(err, fs.ErrNotExist) || err == nil && strings.Count(string(text), e.old) != 1 {
			t.Fatalf("%s has %q %d times: %v", e.file, e.old, strings.Count(string(text), e.old), err)
		}
		if err := os.WriteFile(name, []byte(strings.Replace(string(text), e.old, e.new, 1)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// apiOf returns the API of the fixture after some edits.
func apiOf(t *testing.T, edits ...edit) string {
	t.Helper()
	text, err := read(fixture(t, edits...))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestTheAPIOfTheFixture(t *testing.T) {
	golden := filepath.Join("testdata", "fixture.txt")
	text := apiOf(t)
	if *writeGolden {
		if err := os.WriteFile(golden, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if text != string(want) {
		t.Errorf("the API is\n%s", text)
	}
}

// thing makes an edit of the root package of the fixture.
func thing(old, new string) edit { return edit{"thing.go", old, new} }

func TestEachBreakIsFound(t *testing.T) {
	was := apiOf(t)
	for _, c := range []struct{ name, old, new, want string }{
		{"a function is removed", "func Sum[N Number](numbers ...N) (sum N) { return sum }\n", "", "thing: func Sum[N Number](...N) N: was removed"},
		{"a parameter changes its type", "Open(name string,", "Open(name Kind,", "thing: func Open(string, ...Option) (*Thing, error): is now func Open(Kind, ...Option) (*Thing, error)"},
		{"a parameter comes", "Open(name string,", "Open(name string, size int,", "thing: func Open(string, ...Option) (*Thing, error): is now func Open(string, int, ...Option) (*Thing, error)"},
		{"a parameter is not variadic any more", "options ...Option)", "options []Option)", "thing: func Open(string, ...Option) (*Thing, error): is now func Open(string, []Option) (*Thing, error)"},
		{"a result goes", "Rename(name string) error { return nil }", "Rename(name string) {}", "thing: func (*Thing) Rename(string) error: is now func (*Thing) Rename(string)"},
		{"a method needs a pointer", "func (t Thing) String()", "func (t *Thing) String()", "thing: func (Thing) String() string: is now func (*Thing) String() string"},
		{"a method is renamed", "func (t *Thing) Rename(", "func (t *Thing) rename(", "thing: func (*Thing) Rename(string) error: was removed"},
		{"a field is removed", "\tSize int    `json:\"size,omitzero\"`\n", "", "thing: type Thing struct: Size int `json:\"size,omitzero\"`: was removed"},
		{"a field changes its type", "Size int ", "Size int64 ", "thing: type Thing struct: Size int `json:\"size,omitzero\"`: is now Size int64 `json:\"size,omitzero\"`"},
		{"a field changes its tag", "size,omitzero", "bytes,omitzero", "thing: type Thing struct: Size int `json:\"size,omitzero\"`: is now Size int `json:\"bytes,omitzero\"`"},
		{"fields change their order", "X, Y int", "Y, X int", "thing: type Point struct: the fields have another order"},
		{"a struct is not comparable any more", "X, Y int", "X, Y int\n\tz []int", "thing: type Point struct: comparable: was removed"},
		{"a field of an embedded type is lost", "\tDepth int\n", "", "thing: type Thing struct: Depth int // promoted: was removed"},
		{"a field of an embedded type is hidden", "\tnotes  []string", "\tDepth  int", "thing: type Thing struct: Depth int // promoted: is now Depth int"},
		{"a method of an embedded type is lost", "func (inner) Ping() error { return nil }", "", "thing: func (Thing) Ping() error: was removed"},
		{"a method of an embedded type needs a pointer", "func (inner) Ping()", "func (*inner) Ping()", "thing: func (Thing) Ping() error: is now func (*Thing) Ping() error"},
		{"an embedded field is removed", "\tcolor.Color `json:\"-\"`\n", "", "thing: type Thing struct: embeds image/color.Color `json:\"-\"`: was removed"},
		{"a constant changes its value", `= "link"`, `= "symlink"`, `thing: const KindLink Kind = "link": is now const KindLink Kind = "symlink"`},
		{"a constant gets a type", "MaxName       =", "MaxName   int =", "thing: const MaxName untyped int = 128: is now const MaxName int = 128"},
		{"a variable changes its type", `ErrBusy error = Failure("busy")`, `ErrBusy = Failure("busy")`, "thing: var ErrBusy error: is now var ErrBusy Failure"},
		{"a type changes its form", "type Option func(t *Thing)", "type Option func(t Thing)", "thing: type Option func(*Thing): is now type Option func(Thing)"},
		{"an alias leads to another type", "type Place = Point", "type Place = Thing", "thing: type Place = Point: is now type Place = Thing"},
		{"an alias becomes a type", "type Place = Point", "type Place Point", "thing: type Place = Point: is now type Place struct"},
		{"an interface gets a method", "Put(key string, value []byte) error", "Put(key string, value []byte) error\n\tDelete(key string) error", "thing: type Store interface: Delete(string) error"},
		{"an embedded interface gets a method", "Get(key string) ([]byte, error)", "Get(key string) ([]byte, error)\n\tHas(key string) bool", "thing: type Store interface: Has(string) bool"},
		{"an interface cannot be implemented any more", "Put(key string, value []byte) error", "Put(key string, value []byte) error\n\tput()", "thing: type Store interface: unexported methods"},
		{"an interface embeds another one", "\tReader\n\tcolor.Color\n", "\tReader\n\tcolor.Color\n\tcolor.Model\n", "thing: type Store interface: embeds image/color.Model"},
		{"an interface loses a method", "\tReader\n\tcolor.Color\n", "\tReader\n", "thing: type Store interface: embeds image/color.Color: was removed"},
		{"a sealed interface loses a method", "type Sealed interface {\n\tDo()", "type Sealed interface {", "thing: type Sealed interface: Do(): was removed"},
		{"a constraint is narrower", "~int | ~float64", "~float64", "thing: type Number interface: ~int | ~float64: was removed"},
		{"a constraint of a function is narrower", "N ~int | ~string", "N ~int", "thing: func Least[N ~int | ~string](N, N) N: is now func Least[N ~int](N, N) N"},
		{"a constraint of a type is narrower", "List[T comparable]", "List[T interface{ comparable; Len() int }]", "thing: type List[T comparable] struct: is now type List[T interface{Len() int; embeds comparable}] struct"},
		{"a method of a generic type changes", "then func(rest []E) error", "then func(rest E) error", "thing: func (*List[T]) Add(T, func([]T) error): is now func (*List[T]) Add(T, func(T) error)"},
		{"a method of a type that is not exported changes", "A any", "B any", "thing: func (*starter) Run(map[Kind]thing/part.Part, interface{Len() int}, struct{A any}): is now func (*starter) Run(map[Kind]thing/part.Part, interface{Len() int}, struct{B any})"},
	} {
		t.Run(c.name, func(t *testing.T) {
			changes, err := compare(was, apiOf(t, thing(c.old, c.new)))
			if err != nil {
				t.Fatal(err)
			}
			for _, found := range changes {
				if found.String() == "BREAK "+c.want {
					return
				}
			}
			t.Errorf("the changes are %v", changes)
		})
	}
}

func TestARemovedPackageIsABreak(t *testing.T) {
	changes, err := compare(apiOf(t)+"\npackage thing/other\nfunc F()\n", apiOf(t))
	if err != nil || len(changes) != 1 || changes[0].String() != "BREAK thing/other: the package was removed" {
		t.Errorf("%v, %v", changes, err)
	}
}

func TestAnAdditionIsNoBreak(t *testing.T) {
	was := apiOf(t)
	for _, c := range []struct{ name, old, new, want string }{
		{"a function", "type Kind string", "type Kind string\n\nfunc Close() {}", "thing: func Close()"},
		{"a field at the end", "notes  []string", "Notes  []string", "thing: type Thing struct: Notes []string"},
		{"a field between others", "\tName string", "\tTitle string\n\tName string", "thing: type Thing struct: Title string"},
		{"a method of a type", "type Kind string", "type Kind string\n\nfunc (Kind) Valid() bool { return true }", "thing: func (Kind) Valid() bool"},
		{"a method of a sealed interface", "\tseal()", "\tseal()\n\tUndo()", "thing: type Sealed interface: Undo()"},
		{"a method of an interface with types that hosts cannot name", "\tState() deep.State", "\tState() deep.State\n\tUndo()", "thing: type Engine interface: Undo()"},
		{"a comparable struct", "\tnotes  []string\n", "", "thing: type Thing struct: comparable"},
		{"a mark of deprecation", "type Kind string", "// Deprecated: use a string.\ntype Kind string", "thing: type Kind string: deprecated"},
		{"a mark of deprecation in a group of types", "type Kind string", "type (\n\t// Deprecated: use a string.\n\tKind string\n)", "thing: type Kind string: deprecated"},
		{"a mark of deprecation in a group of constants", "\tKindLink Kind", "\t// Deprecated: use KindFile.\n\tKindLink Kind", `thing: const KindLink Kind = "link": deprecated`},
		{"a mark of deprecation of a method of a type", "func (t Thing) String()", "// Deprecated: use Name.\nfunc (t Thing) String()", "thing: func (Thing) String() string: deprecated"},
		{"a mark of deprecation of a method of an interface", "\tPut(key", "\t// Deprecated: use Set.\n\tPut(key", "thing: type Store interface: deprecated Put"},
		{"a mark that goes", "// Deprecated: use Open.\n", "", "thing: func Start() *starter: not deprecated"},
	} {
		t.Run(c.name, func(t *testing.T) {
			changes, err := compare(was, apiOf(t, thing(c.old, c.new)))
			if err != nil || len(changes) != 1 || changes[0].String() != "added "+c.want {
				t.Errorf("the changes are %v, %v", changes, err)
			}
		})
	}
}

func TestAHostDoesNotNoticeTheseChanges(t *testing.T) {
	was := apiOf(t)
	for _, c := range []struct {
		name string
		edit
	}{
		{"a parameter has another name", thing("Open(name string", "Open(path string")},
		{"a result has another name", thing("(sum N) { return sum }", "(total N) { return total }")},
		{"a receiver's type parameter has another name", thing("List[E]) Add(e E, then func(rest []E) error)", "List[F]) Add(e F, then func(rest []F) error)")},
		{"a field that is not exported", thing("notes  []string", "words  []string")},
		{"a type has an alias in between", thing("\tX, Y int", "\tX, Y number\n}\n\ntype number = int\n\ntype _ struct {")},
		{"the text of an error", thing("the thing is gone", "the thing has gone")},
		{"a comment", thing("type Kind string", "// Kind is a kind.\ntype Kind string")},
		{"a function of the module itself", thing("func Probe(deep.State) {}", "")},
		{"a method of the module itself", thing("State() deep.State\n", "State() []deep.State\n")},
		{"an internal package", edit{"internal/deep/deep.go", "type State struct{}", "type State struct{ Name string }"}},
		{"an example", edit{"examples/shown/shown.go", "type Shown struct{}", ""}},
		{"a command", edit{"cmd/tool/main.go", "func Exported() {}", ""}},
		{"a test", edit{"thing_test.go", "", "package thing\n\nfunc Exported() {}\n"}},
		{"a file for tests from outside", edit{"outside_test.go", "", "package thing_test\n\nfunc Exported() {}\n"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if changes, err := compare(was, apiOf(t, c.edit)); err != nil || len(changes) > 0 {
				t.Errorf("the changes are %v, %v", changes, err)
			}
		})
	}
}

func TestTheFileHoldsUnderAnotherPathOfTheModule(t *testing.T) {
	const was, is = "fixture.test/thing", "zz.example.net/deep/other"
	renamed := apiOf(t, edit{"go.mod", was, is}, thing(was+"/internal/deep", is+"/internal/deep"), thing(was+"/part", is+"/part"),
		edit{"part/part.go", was, is})
	if renamed != apiOf(t) {
		t.Errorf("the API is\n%s", renamed)
	}
}

func TestTheFileHoldsOnEverySystem(t *testing.T) {
	edits := []edit{
		thing("type Kind string", "type Kind string\n\nfunc Length() deep.Size { return 0 }"),
		{"internal/deep/size_linux.go", "", "package deep\n\ntype Size = int64\n"},
		{"internal/deep/other.go", "", "//go:build !linux\n\npackage deep\n\ntype Size = int32\n"},
	}
	was := apiOf(t, edits...)
	t.Setenv("GOOS", "windows")
	t.Setenv("GOARCH", "386")
	t.Setenv("CGO_ENABLED", "1")
	if is := apiOf(t, edits...); is != was {
		t.Errorf("the API is\n%s", is)
	}
}

func TestTheseModulesAreRefused(t *testing.T) {
	for _, c := range []struct {
		name string
		edit
		want string
	}{
		{"a file of this system", edit{"part/part_linux.go", "", "package part\n"}, "fixture.test/thing/part: part_linux.go is not of every system, so the API may not be the same on all"},
		{"a file of another system", edit{"part/part_windows.go", "", "package part\n"}, "fixture.test/thing/part: part_windows.go is not of every system, so the API may not be the same on all"},
		{"a file with a tag", edit{"part/tagged.go", "", "//go:build never\n\npackage part\n"}, "fixture.test/thing/part: tagged.go is not of every system, so the API may not be the same on all"},
		{"a field of an internal type", thing("notes  []string", "State  deep.State"), "fixture.test/thing.Thing has a type that no host can name, type fixture.test/thing/internal/deep.State struct{}"},
		{"a name for an internal type", thing("type Place = Point", "type Place = deep.State"), "fixture.test/thing.Place has a type that no host can name, type fixture.test/thing/internal/deep.State struct{}"},
		{"a variable of an internal type", thing(`ErrBusy error = Failure("busy")`, "ErrBusy deep.State"), "fixture.test/thing.ErrBusy has a type that no host can name, type fixture.test/thing/internal/deep.State struct{}"},
		{"a file that is not Go", thing("type Kind string", "type Kind"), "thing.go:"},
		{"types that do not fit", thing("type Kind string", "type Kind missing"), "undefined: missing"},
		{"a package that is not there", edit{"part/part.go", "thing/part/internal/hid", "thing/gone"}, "go list: exit status 1: "},
		{"no module", edit{"go.mod", "module fixture.test/thing\n", ""}, "go list: exit status 1: "},
	} {
		t.Run(c.name, func(t *testing.T) {
			if text, err := read(fixture(t, c.edit)); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%q, %v", text, err)
			}
		})
	}
}

func TestAModuleWithoutARootPackageIsRefused(t *testing.T) {
	dir := fixture(t)
	if err := os.Remove(filepath.Join(dir, "thing.go")); err != nil {
		t.Fatal(err)
	}
	if text, err := read(dir); err == nil || err.Error() != "the folder of the module has no package" {
		t.Errorf("%q, %v", text, err)
	}
}

func TestAFileThatIsNoAPIIsRefused(t *testing.T) {
	for text, want := range map[string]string{
		"func F()\n":                "line 1 is not one of an API: \"func F()\"",
		"package a\n\tX int\n":      "line 2 is not one of an API: \"\\tX int\"",
		"package a\nX int\n":        "line 2 is not one of an API: \"X int\"",
		"# a comment\n<<<<<<< ours": "line 2 is not one of an API: \"<<<<<<< ours\"",
	} {
		if _, err := compare(text, ""); err == nil || err.Error() != want {
			t.Errorf("%q: %v", text, err)
		}
		if _, err := compare("", text); err == nil || err.Error() != want {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// written returns a folder with the fixture and its api.txt, after some edits.
func written(t *testing.T, edits ...edit) string {
	t.Helper()
	before := fixture(t)
	if err := write(before); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(before, fileName))
	if err != nil {
		t.Fatal(err)
	}
	return fixture(t, append(edits, edit{fileName, "", string(text)})...)
}

func TestTheCheckFailsAfterAnyChange(t *testing.T) {
	addition, removal := thing("type Kind string", "type Kind string\n\nfunc Close() {}"), thing("type Place = Point", "")
	for _, c := range []struct {
		name         string
		edits        []edit
		check, since error
		out          string
	}{
		{"no change", nil, nil, nil, ""},
		{"an addition", []edit{addition}, errStale, nil, "added thing: func Close()\n"},
		{"a break", []edit{removal}, errBroken, errBroken, "BREAK thing: type Place = Point: was removed\n"},
		{"both", []edit{addition, removal}, errBroken, errBroken, "added thing: func Close()\nBREAK thing: type Place = Point: was removed\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := written(t, c.edits...)
			var check, since strings.Builder
			if err := checkFile(&check, dir); !errors.Is(err, c.check) || check.String() != c.out {
				t.Errorf("check: %v\n%s", err, check.String())
			}
			if err := checkSince(&since, dir, filepath.Join(dir, fileName)); !errors.Is(err, c.since) || since.String() != c.out {
				t.Errorf("since: %v\n%s", err, since.String())
			}
		})
	}
}

func TestACheckNeedsAFile(t *testing.T) {
	var out strings.Builder
	if err := checkFile(&out, fixture(t)); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}
