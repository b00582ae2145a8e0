package web_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Every exported function and method is used by an example.
func TestEveryPartHasAnExample(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	declared, used := map[string]bool{}, map[string]bool{}
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range file.Decls {
			fn, is := d.(*ast.FuncDecl)
			switch {
			case !is:
			case name == "example_test.go":
				ast.Inspect(fn, func(n ast.Node) bool {
					if s, is := n.(*ast.SelectorExpr); is {
						used[s.Sel.Name] = true
					}
					return true
				})
			case !strings.HasSuffix(name, "_test.go") && fn.Name.IsExported():
				declared[fn.Name.Name] = true
			}
		}
	}
	if len(declared) < 25 {
		t.Fatalf("only %d parts were found", len(declared))
	}
	for name := range declared {
		if !used[name] {
			t.Errorf("no example uses %s", name)
		}
	}
}

// A host that does not import this package pays nothing, and one that does pays for the standard library, the
// engine and the drawing of QR codes.
func TestTheDependenciesAreTheStandardLibraryAndTheEngine(t *testing.T) {
	list := func(path string) map[string]bool {
		out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", path).Output()
		if err != nil {
			t.Fatal(err)
		}
		all := map[string]bool{}
		for _, p := range strings.Fields(string(out)) {
			all[p] = true
		}
		return all
	}
	engine, own := list(".."), list(".")
	if !own["example.com/latchkey/web"] || engine["example.com/latchkey/web"] {
		t.Error("the engine imports this package, or the list is wrong")
	}
	for p := range own {
		drawing := strings.HasPrefix(p, "github.com/boombuler/barcode") || strings.HasPrefix(p, "github.com/pquerna/otp") || p == "example.com/latchkey/qr"
		if !engine[p] && !drawing && p != "example.com/latchkey/web" && p != "example.com/latchkey/internal/strictjson" && !strings.HasPrefix(p, "github.com/go-json-experiment/json") {
			t.Errorf("this package pulls in %s", p)
		}
	}
}
