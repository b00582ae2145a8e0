package main

import (
	"errors"
	"fmt"
	"go/types"
	"maps"
	"slices"
	"strings"
)

const heading = `# The exported API of the module. go run ./internal/cmd/api writes this file, and go doc ./internal/cmd/api
# explains it. A test compares the two. docs/stability.md says what a version may change.
`

// read returns the API of the module in a folder, as the text of the file.
func read(dir string) (string, error) {
	l, err := load(dir)
	if err != nil {
		return "", err
	}
	public, err := l.public()
	if err != nil {
		return "", err
	}
	if len(public) == 0 || public[0].ImportPath != public[0].Module.Path {
		return "", errors.New("the folder of the module has no package")
	}
	s := &surface{loader: l, module: public[0].Module.Path, name: public[0].Name,
		items: make(map[*types.Package]map[string]item), seen: make(map[types.Object]bool)}
	for _, p := range public {
		pkg, err := l.check(p.ImportPath)
		if err != nil {
			return "", err
		}
		s.public = append(s.public, pkg)
	}
	for _, pkg := range s.public {
		for _, name := range pkg.Scope().Names() {
			if object := pkg.Scope().Lookup(name); object.Exported() {
				s.add(object)
			}
		}
	}
	return s.text(), errors.Join(s.errs...)
}

// surface collects the declarations of the API.
type surface struct {
	*loader
	module, name string // the path of the module, and the name in its place
	public       []*types.Package
	items        map[*types.Package]map[string]item // by their keys
	seen         map[types.Object]bool
	errs         []error
}

// item is a declaration: its line, and those of its members.
type item struct {
	line    string
	members []string
}

func (s *surface) put(in types.Object, line string, members []string) {
	if s.deprecated[in.Pos()] {
		members = append(members, deprecated)
	}
	if s.items[in.Pkg()] == nil {
		s.items[in.Pkg()] = make(map[string]item)
	}
	s.items[in.Pkg()][keyOf(line)] = item{line, members}
}

// text returns the text of the file.
func (s *surface) text() string {
	var b strings.Builder
	b.WriteString(heading)
	for _, pkg := range slices.SortedFunc(maps.Keys(s.items), func(a, b *types.Package) int { return strings.Compare(a.Path(), b.Path()) }) {
		fmt.Fprintf(&b, "\npackage %s\n", s.path(pkg))
		for _, key := range slices.Sorted(maps.Keys(s.items[pkg])) {
			it := s.items[pkg][key]
			fmt.Fprintln(&b, it.line)
			for _, m := range it.members {
				fmt.Fprintf(&b, "\t%s\n", m)
			}
		}
	}
	return b.String()
}

// path returns the path of a package, with the name of the module in the place of its path.
func (s *surface) path(pkg *types.Package) string {
	if s.owns(pkg) {
		return s.name + strings.TrimPrefix(pkg.Path(), s.module)
	}
	return pkg.Path()
}

// owns reports whether a package belongs to the module.
func (s *surface) owns(pkg *types.Package) bool {
	return pkg != nil && (pkg.Path() == s.module || strings.HasPrefix(pkg.Path(), s.module+"/"))
}

// add adds the declaration of an object of a package, once.
func (s *surface) add(object types.Object) {
	if s.seen[object] {
		return
	}
	s.seen[object] = true
	w := &writer{surface: s, pkg: object.Pkg()}
	switch o := object.(type) {
	case *types.Const:
		line := "const " + o.Name() + " " + w.typ(o.Type())
		if !types.Implements(o.Type(), errorType) { // its value is words for people
			line += " = " + o.Val().ExactString()
		}
		s.put(o, line, nil)
	case *types.Var:
		s.put(o, "var "+o.Name()+" "+w.typ(o.Type()), nil)
	case *types.Func:
		if line, forHosts := w.function("func "+o.Name(), o.Signature()); forHosts {
			s.put(o, line, nil)
		}
	case *types.TypeName:
		s.addType(w, o)
	}
	if w.internal != nil {
		s.errs = append(s.errs, fmt.Errorf("%s.%s has a type that no host can name, %s", object.Pkg().Path(), object.Name(), w.internal))
	}
}

var errorType = types.Universe.Lookup("error").Type().Underlying().(*types.Interface)

// addType adds a type and its methods.
func (s *surface) addType(w *writer, name *types.TypeName) {
	if alias, is := name.Type().(*types.Alias); is {
		s.put(name, "type "+name.Name()+w.typeParams(alias.TypeParams())+" = "+w.typ(alias.Rhs()), nil)
		return
	}
	named := name.Type().(*types.Named)
	head := "type " + name.Name() + w.typeParams(named.TypeParams()) + " "
	switch under := named.Underlying().(type) {
	case *types.Struct:
		members := w.fields(named, under, false)
		if len(members) > 0 && types.Comparable(named) {
			members = append(members, "comparable")
		}
		s.put(name, head+"struct", members)
	case *types.Interface:
		s.put(name, head+"interface", w.methods(under))
		return // its methods are members
	default:
		s.put(name, head+w.typ(under), nil)
	}
	s.addMethods(w, named)
}

// addMethods adds the exported methods of a type, with those of embedded types.
func (s *surface) addMethods(w *writer, named *types.Named) {
	var t types.Type = named
	if params := named.TypeParams(); params != nil { // the methods name them as the type does then
		var args []types.Type
		for p := range params.TypeParams() {
			args = append(args, p)
		}
		t, _ = types.Instantiate(nil, named, args, false) // it does not fail without validation
	}
	ofValue := types.NewMethodSet(t)
	for sel := range types.NewMethodSet(types.NewPointer(t)).Methods() {
		method := sel.Obj().(*types.Func)
		if !method.Exported() || s.isForeign(named, sel) {
			continue
		}
		receiver := w.typ(t)
		if ofValue.Lookup(method.Pkg(), method.Name()) == nil {
			receiver = "*" + receiver
		}
		line, forHosts := w.function("func ("+receiver+") "+method.Name(), sel.Type().(*types.Signature))
		if !forHosts {
			continue
		}
		var members []string
		if s.deprecated[method.Pos()] {
			members = append(members, deprecated)
		}
		s.items[w.pkg][keyOf(line)] = item{line, members}
	}
}

// isForeign reports whether a method comes with an embedded type of another module that a host can
// name.
func (s *surface) isForeign(named *types.Named, sel *types.Selection) bool {
	if s.owns(sel.Obj().Pkg()) {
		return false
	}
	var t types.Type = named
	for _, i := range sel.Index()[:len(sel.Index())-1] {
		if pointer, is := t.Underlying().(*types.Pointer); is {
			t = pointer.Elem()
		}
		field := t.Underlying().(*types.Struct).Field(i)
		if !field.Exported() {
			return false
		}
		t = field.Type()
	}
	return true
}
