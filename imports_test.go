package latchkey_test

import (
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"maps"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// deps lists a package and all packages that it imports, directly or not.
func deps(t *testing.T, path string) []string {
	t.Helper()
	out, err := exec.Command("go", "list", "-deps", path).Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.Fields(string(out))
}

// The engine imports no transport and no backend. A host compiles only the driver of
// the backend that it imports.
func TestRootPackagePullsInNoTransportAndNoBackend(t *testing.T) {
	packages := deps(t, ".")
	if !slices.Contains(packages, "example.com/latchkey/store") {
		t.Error("the list of packages is not the root package's")
	}
	for _, p := range packages {
		for _, forbidden := range []string{
			"testing", "flag", "image", "github.com/boombuler/", "github.com/pquerna/", "github.com/go-webauthn/", "net/http", "database/sql", "html/template", "go.etcd.io/", "modernc.org/", "github.com/jackc/",
			"example.com/latchkey/store/", "github.com/tidwall/",
			"example.com/latchkey/ratelimit/", "github.com/redis/",
		} {
			if strings.HasPrefix(p, forbidden) && p != "database/sql/driver" {
				t.Errorf("the root package pulls in %s", p)
			}
		}
	}
}

// The raw stores are the yardstick for the stores, so they import nothing of the
// project.
func TestLimitsPullInNothingOfTheProject(t *testing.T) {
	for _, p := range deps(t, "./internal/rawstore") {
		if strings.HasPrefix(p, "example.com/latchkey") && p != "example.com/latchkey/internal/rawstore" {
			t.Errorf("the limits pull in %s", p)
		}
	}
}

// noImporter imports nothing, so names of other packages stay unresolved.
type noImporter struct{}

func (noImporter) Import(string) (*types.Package, error) { return nil, errors.New("not imported") }

// fileUses returns, for each source file of the root package, the other files whose
// declarations it uses.
func fileUses(t *testing.T) map[string]map[string]bool {
	t.Helper()
	names, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	set, uses := token.NewFileSet(), make(map[string]map[string]bool)
	var files []*ast.File
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(set, name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, file)
		uses[name] = make(map[string]bool)
	}
	info := &types.Info{Uses: make(map[*ast.Ident]types.Object)}
	config := &types.Config{Importer: noImporter{}, Error: func(error) {}}
	pkg, _ := config.Check("latchkey", set, files, info)
	for ident, object := range info.Uses {
		if object.Pkg() != pkg || !object.Pos().IsValid() {
			continue
		}
		from, to := set.Position(ident.Pos()).Filename, set.Position(object.Pos()).Filename
		if from != to {
			uses[from][to] = true
		}
	}
	return uses
}

// The files of the root package stand in an order: no file uses a file that uses it,
// neither directly nor through others.
func TestFilesStandInAnOrder(t *testing.T) {
	uses := fileUses(t)
	if !uses["auth.go"]["engine.go"] || !uses["engine.go"]["policy.go"] {
		t.Error("the uses that are known to exist were not found")
	}
	for len(uses) > 0 { // remove the files without a use of a remaining file
		before := len(uses)
		for file, used := range uses {
			if !slices.ContainsFunc(slices.Collect(maps.Keys(used)), func(f string) bool { return uses[f] != nil }) {
				delete(uses, file)
			}
		}
		if len(uses) == before {
			t.Fatalf("%d files use each other in a circle: %v", before, slices.Sorted(maps.Keys(uses)))
		}
	}
}

// A secret that can be guessed is compared through compare alone, so that no comparison can
// forget that its count must not depend on the caller. Digests of 256-bit secrets cannot be
// guessed. The history of passwords is looked at for a caller who has set the new one.
func TestComparisonsGoThroughOneFunction(t *testing.T) {
	exempt := map[string]string{
		"isRecoveryCode": "claimRecoveryCode calls it through compare",
		"judge":          "a digest of 256 bits",
		"verifyPassword": "the hash that an account without one costs",
		"hashNew":        "the history",
		"isBinding":      "a digest of 256 bits",
	}
	names, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	compared, through := 0, 0
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, decl := range file.Decls {
			fn, isFunc := decl.(*ast.FuncDecl)
			if !isFunc {
				continue
			}
			inside := make(map[ast.Node]bool)
			ast.Inspect(fn, func(n ast.Node) bool {
				call, isCall := n.(*ast.CallExpr)
				if !isCall {
					return true
				}
				if ident, isIdent := call.Fun.(*ast.Ident); isIdent && ident.Name == "compare" {
					through++
					for _, arg := range call.Args {
						ast.Inspect(arg, func(n ast.Node) bool { inside[n] = true; return true })
					}
				}
				selector, isSelector := call.Fun.(*ast.SelectorExpr)
				if !isSelector || !slices.Contains([]string{"IsCode", "Match", "ConstantTimeCompare"}, selector.Sel.Name) &&
					(selector.Sel.Name != "Verify" || !strings.Contains(strings.ToLower(types.ExprString(selector)), "hash")) {
					return true
				}
				compared++
				if !inside[call] && exempt[fn.Name.Name] == "" {
					t.Errorf("%s: %s compares with %s outside compare", name, fn.Name.Name, types.ExprString(selector))
				}
				return true
			})
		}
	}
	if compared < 7 || through < 5 {
		t.Errorf("%d comparisons and %d calls of compare were found", compared, through)
	}
}
