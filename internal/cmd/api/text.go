package main

import (
	"fmt"
	"go/types"
	"slices"
	"strconv"
	"strings"
)

// writer writes the types of one package, without the names of parameters and of aliases.
type writer struct {
	*surface
	pkg *types.Package
	// internal is a type that it has written whose package a host cannot import.
	internal *types.TypeName
}

const (
	deprecated = "deprecated"
	sealed     = "unexported methods"
	embeds     = "embeds "
	promoted   = " // promoted"
)

func (w *writer) typ(t types.Type) string {
	switch t := types.Unalias(t).(type) {
	case *types.Basic:
		return t.Name()
	case *types.Pointer:
		return "*" + w.typ(t.Elem())
	case *types.Slice:
		return "[]" + w.typ(t.Elem())
	case *types.Array:
		return fmt.Sprintf("[%d]%s", t.Len(), w.typ(t.Elem()))
	case *types.Map:
		return "map[" + w.typ(t.Key()) + "]" + w.typ(t.Elem())
	case *types.Chan:
		return [...]string{types.SendRecv: "chan ", types.SendOnly: "chan<- ", types.RecvOnly: "<-chan "}[t.Dir()] + "(" + w.typ(t.Elem()) + ")"
	case *types.Signature:
		return "func" + w.signature(t)
	case *types.Struct:
		return "struct{" + strings.Join(w.fields(t, t, false), "; ") + "}"
	case *types.Interface:
		return w.literal(t)
	case *types.Union:
		return w.union(t)
	case *types.TypeParam:
		return t.Obj().Name()
	case *types.Named:
		return w.named(t)
	}
	w.errs = append(w.errs, fmt.Errorf("%s: go/types has a new kind of type, %T", w.pkg.Path(), t))
	return ""
}

// named writes a type with the path of its package, unless that is the writer's.
func (w *writer) named(t *types.Named) string {
	name := t.Obj().Name()
	if pkg := t.Obj().Pkg(); pkg != nil {
		switch {
		case !w.owns(pkg):
		case !slices.Contains(w.public, pkg):
			w.internal = t.Obj()
		case !t.Obj().Exported() && t.Obj().Parent() == pkg.Scope():
			w.add(t.Obj()) // its exported methods and fields can be used
		}
		if pkg != w.pkg {
			name = w.path(pkg) + "." + name
		}
	}
	var args []string
	for arg := range t.TypeArgs().Types() {
		args = append(args, w.typ(arg))
	}
	if len(args) > 0 {
		name += "[" + strings.Join(args, ", ") + "]"
	}
	return name
}

// literal writes an interface without a name.
func (w *writer) literal(t *types.Interface) string {
	methods := w.methods(t)
	if t.IsImplicit() { // a constraint such as ~int | ~string
		return strings.Join(methods, "; ")
	}
	if len(methods) == 0 {
		return "any"
	}
	return "interface{" + strings.Join(methods, "; ") + "}"
}

func (w *writer) union(t *types.Union) string {
	var terms []string
	for term := range t.Terms() {
		text := w.typ(term.Type())
		if term.Tilde() {
			text = "~" + text
		}
		terms = append(terms, text)
	}
	return strings.Join(terms, " | ")
}

// function writes a function or a method, and reports whether a host can use it: a host can import the packages of all
// its types.
func (w *writer) function(name string, t *types.Signature) (line string, forHosts bool) {
	inner := &writer{surface: w.surface, pkg: w.pkg}
	line = name + inner.signature(t)
	return line, inner.internal == nil
}

// signature writes the type parameters, parameters and results of a function.
func (w *writer) signature(t *types.Signature) string {
	params := w.tuple(t.Params())
	if t.Variadic() {
		last := &params[len(params)-1]
		*last = "..." + strings.TrimPrefix(*last, "[]")
	}
	text := w.typeParams(t.TypeParams()) + "(" + strings.Join(params, ", ") + ")"
	switch results := w.tuple(t.Results()); len(results) {
	case 0:
	case 1:
		text += " " + results[0]
	default:
		text += " (" + strings.Join(results, ", ") + ")"
	}
	return text
}

func (w *writer) tuple(t *types.Tuple) (list []string) {
	for v := range t.Variables() {
		list = append(list, w.typ(v.Type()))
	}
	return list
}

func (w *writer) typeParams(t *types.TypeParamList) string {
	var list []string
	for p := range t.TypeParams() {
		list = append(list, p.Obj().Name()+" "+w.typ(p.Constraint()))
	}
	if len(list) == 0 {
		return ""
	}
	return "[" + strings.Join(list, ", ") + "]"
}

// fields writes the exported fields of a struct in their order, and in the place of an embedded
// struct that is not exported those that come with it. Of is the type whose fields a host sees.
func (w *writer) fields(of types.Type, t *types.Struct, inner bool) (lines []string) {
	for i := range t.NumFields() {
		field := t.Field(i)
		if !field.Exported() {
			if under, is := pointee(field.Type()).Underlying().(*types.Struct); is && field.Embedded() {
				lines = append(lines, w.fields(of, under, true)...)
			}
			continue
		}
		if found, _, _ := types.LookupFieldOrMethod(of, true, field.Pkg(), field.Name()); found != field {
			continue // another field of the name hides it
		}
		line := field.Name() + " " + w.typ(field.Type())
		if field.Embedded() {
			line = embeds + w.typ(field.Type())
		}
		if tag := t.Tag(i); strconv.CanBackquote(tag) && tag != "" {
			line += " `" + tag + "`"
		} else if tag != "" {
			line += " " + strconv.Quote(tag)
		}
		if inner {
			line += promoted
		}
		lines = append(lines, line)
		if w.deprecated[field.Pos()] {
			lines = append(lines, deprecated+" "+field.Name())
		}
	}
	return lines
}

func pointee(t types.Type) types.Type {
	if pointer, is := t.Underlying().(*types.Pointer); is {
		return pointer.Elem()
	}
	return t
}

// methods writes the methods of an interface, with those of the embedded interfaces of the module, its
// unions, and the names of other embedded interfaces. They are sorted.
func (w *writer) methods(t *types.Interface) (lines []string) {
	for method := range t.ExplicitMethods() {
		line, forHosts := w.function(method.Name(), method.Signature())
		if !method.Exported() || !forHosts {
			lines = append(lines, sealed)
			continue
		}
		lines = append(lines, line)
		if w.deprecated[method.Pos()] {
			lines = append(lines, deprecated+" "+method.Name())
		}
	}
	for embedded := range t.EmbeddedTypes() {
		under, isInterface := embedded.Underlying().(*types.Interface)
		named, isNamed := types.Unalias(embedded).(*types.Named)
		switch {
		case isInterface && (!isNamed || w.owns(named.Obj().Pkg())):
			lines = append(lines, w.methods(under)...)
		case isInterface:
			lines = append(lines, embeds+w.typ(embedded))
		default: // a term of a constraint
			lines = append(lines, w.typ(embedded))
		}
	}
	slices.Sort(lines)
	return slices.Compact(lines)
}
