package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/build"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// listed is a package as go list describes it.
type listed struct {
	ImportPath, Name, Dir   string
	GoFiles, IgnoredGoFiles []string
	ImportMap               map[string]string
	DepOnly                 bool
	Module                  *struct {
		Path string
		Main bool
	}
}

// inModule reports whether a package belongs to the module, and is not one of its dependencies.
func (p *listed) inModule() bool { return p.Module != nil && p.Module.Main }

// isPublic reports whether a host can import a package, and may rely on it.
func (p *listed) isPublic() bool {
	if p.DepOnly || p.Name == "main" {
		return false
	}
	for _, part := range strings.Split(strings.TrimPrefix(p.ImportPath, p.Module.Path), "/") {
		if part == "internal" || part == "cmd" || part == "examples" {
			return false
		}
	}
	return true
}

// otherSystem has neither the system nor the processor for which the API is read.
var otherSystem = build.Context{GOOS: "plan9", GOARCH: "arm", Compiler: "gc", ReleaseTags: build.Default.ReleaseTags}

// checkSystems refuses a package with a file that belongs to some systems only.
func (p *listed) checkSystems() error {
	partial := p.IgnoredGoFiles
	for _, name := range p.GoFiles {
		everywhere, err := otherSystem.MatchFile(p.Dir, name)
		if err != nil {
			return err
		}
		if !everywhere {
			partial = append(partial, name)
		}
	}
	if len(partial) > 0 {
		return fmt.Errorf("%s: %s is not of every system, so the API may not be the same on all", p.ImportPath, partial[0])
	}
	return nil
}

// loader checks the types of a module and of its dependencies, from their source and without the
// bodies of functions.
type loader struct {
	packages map[string]*listed
	checked  map[string]*types.Package
	set      *token.FileSet
	// deprecated has the names whose comments have a paragraph that begins with "Deprecated:", by their
	// places.
	deprecated map[token.Pos]bool
}

// load lists the packages of the module in a folder, and those that they import.
func load(dir string) (*loader, error) {
	cmd := exec.Command("go", "list", "-deps", "-json=ImportPath,Name,Dir,GoFiles,IgnoredGoFiles,ImportMap,DepOnly,Module", "./...")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOOS=linux", "GOARCH=amd64", "CGO_ENABLED=0", "GOWORK=off")
	text, err := cmd.Output()
	var failed *exec.ExitError
	if errors.As(err, &failed) {
		err = fmt.Errorf("go list: %w: %s", err, bytes.TrimSpace(failed.Stderr))
	}
	if err != nil {
		return nil, err
	}
	l := &loader{make(map[string]*listed), map[string]*types.Package{"unsafe": types.Unsafe}, token.NewFileSet(), make(map[token.Pos]bool)}
	for decoder := json.NewDecoder(bytes.NewReader(text)); ; {
		p := new(listed)
		if err := decoder.Decode(p); errors.Is(err, io.EOF) {
			return l, nil
		} else if err != nil {
			return nil, fmt.Errorf("go list: %w", err)
		}
		l.packages[p.ImportPath] = p
	}
}

// public returns the public packages, sorted by their paths.
func (l *loader) public() (public []*listed, err error) {
	for _, p := range l.packages {
		if !p.inModule() || !p.isPublic() {
			continue
		}
		if err := p.checkSystems(); err != nil {
			return nil, err
		}
		public = append(public, p)
	}
	slices.SortFunc(public, func(a, b *listed) int { return strings.Compare(a.ImportPath, b.ImportPath) })
	return public, nil
}

// check returns a package with its types.
func (l *loader) check(path string) (*types.Package, error) {
	if pkg := l.checked[path]; pkg != nil {
		return pkg, nil
	}
	p := l.packages[path]
	if p == nil {
		return nil, fmt.Errorf("go list did not list %s", path)
	}
	files, err := l.parse(p)
	if err != nil {
		return nil, err
	}
	config := types.Config{IgnoreFuncBodies: true, Importer: importer{l, p}, Sizes: types.SizesFor("gc", "amd64")}
	pkg, err := config.Check(path, l.set, files, nil)
	if err != nil {
		return nil, err
	}
	l.checked[path] = pkg
	return pkg, nil
}

// parse reads the files of a package, with the comments of those of the module.
func (l *loader) parse(p *listed) (files []*ast.File, err error) {
	mode := parser.SkipObjectResolution
	if p.inModule() {
		mode |= parser.ParseComments
	}
	for _, name := range p.GoFiles {
		file, err := parser.ParseFile(l.set, filepath.Join(p.Dir, name), nil, mode)
		if err != nil {
			return nil, err
		}
		if p.inModule() {
			ast.Inspect(file, l.noteDeprecated)
		}
		files = append(files, file)
	}
	return files, nil
}

// noteDeprecated notes the deprecated names that a node declares.
func (l *loader) noteDeprecated(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.FuncDecl:
		l.note(n.Doc, n.Name)
	case *ast.GenDecl:
		for _, s := range n.Specs {
			l.noteSpec(n.Doc, s)
		}
	case *ast.Field: // of a struct, or a method of an interface
		l.note(n.Doc, n.Names...)
	}
	return true
}

// noteSpec notes the names of a declaration, whose group has a comment too.
func (l *loader) noteSpec(group *ast.CommentGroup, s ast.Spec) {
	switch s := s.(type) {
	case *ast.TypeSpec:
		l.note(group, s.Name)
		l.note(s.Doc, s.Name)
	case *ast.ValueSpec:
		l.note(group, s.Names...)
		l.note(s.Doc, s.Names...)
	}
}

func (l *loader) note(doc *ast.CommentGroup, names ...*ast.Ident) {
	if strings.Contains("\n\n"+doc.Text(), "\n\nDeprecated:") {
		for _, name := range names {
			l.deprecated[name.Pos()] = true
		}
	}
}

// importer resolves the imports of one package.
type importer struct {
	*loader
	of *listed
}

func (i importer) Import(path string) (*types.Package, error) {
	if mapped, ok := i.of.ImportMap[path]; ok { // the standard library has copies of other modules
		path = mapped
	}
	return i.check(path)
}
