package latchkey_test

import (
	"go/ast"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"example.com/latchkey"
)

var (
	madeTable   = regexp.MustCompile(`(?m)^CREATE TABLE \{p\}(\w+)`)
	addedColumn = regexp.MustCompile(`(?m)^ALTER TABLE \{p\}(\w+) ADD COLUMN (\w+)`)
)

// The history names the tables and columns that each version has added.
func TestDocsHaveEveryVersionOfTheSchema(t *testing.T) {
	var want []string
	for version := 1; version <= latchkey.Schema().Version(); version++ {
		number := strconv.Itoa(version)
		text, err := os.ReadFile(filepath.Join("store", "sqlite", "migrations", strings.Repeat("0", 4-len(number))+number+".sql"))
		if err != nil {
			t.Fatal(err)
		}
		var tables, columns []string
		for _, m := range madeTable.FindAllStringSubmatch(string(text), -1) {
			tables = append(tables, m[1])
		}
		for _, m := range addedColumn.FindAllStringSubmatch(string(text), -1) {
			columns = append(columns, m[1]+"."+m[2])
		}
		want = append(want, number+"|"+strings.Join(tables, ", ")+"|"+strings.Join(columns, ", "))
	}
	checkRows(t, readRows(t, "stability.md", "The history of the tables"), []int{0, 1, 2}, want)
}

// The page has every event, and each selects itself.
func TestDocsHaveEveryEvent(t *testing.T) {
	var documented []string
	holders := strings.NewReplacer("ID", "*", "RULE", "*", "VALUE", "*")
	for _, row := range readRows(t, "log.md", "Events for the host") {
		documented = append(documented, holders.Replace(row[0]))
	}
	names := slices.Sorted(slices.Values(latchkey.EventNames()))
	if slices.Sort(documented); !slices.Equal(documented, names) {
		t.Errorf("the page has\n%q\nand the engine\n%q", documented, names)
	}
}

// An event about a row of a user has its kind, the id of the row and its verb: "tokens."+id+".create".
func TestDocsHaveTheEventsOfRows(t *testing.T) {
	var documented []string
	for _, row := range readRows(t, "log.md", "Events for the host") {
		documented = append(documented, row[0])
	}
	found := 0
	declarations(t, ".", func(d ast.Decl) {
		ast.Inspect(d, func(n ast.Node) bool {
			call, is := n.(*ast.CallExpr)
			if !is || len(call.Args) != 3 {
				return true
			}
			if selector, is := call.Fun.(*ast.SelectorExpr); !is || selector.Sel.Name != "event" {
				return true
			}
			kind, verb := ends(call.Args[1])
			if kind == "" || verb == "" {
				return true
			}
			found++
			if name := "users.ID." + kind + "ID" + verb; !slices.Contains(documented, name) {
				t.Errorf("the page lacks %s", name)
			}
			return true
		})
	})
	if found < 10 {
		t.Errorf("only %d events were found", found)
	}
}

// ends returns the literals at both ends of a sum of texts, "" for another expression.
func ends(sum ast.Expr) (first, last string) {
	outer, is := sum.(*ast.BinaryExpr)
	if !is || outer.Op != token.ADD {
		return "", ""
	}
	first, last = literal(outer.X), literal(outer.Y)
	if inner, is := outer.X.(*ast.BinaryExpr); is {
		first, _ = ends(inner)
	}
	return first, last
}

var (
	namedTest = regexp.MustCompile("`(Test\\w+)`")
	madeTest  = regexp.MustCompile(`(?m)^func (Test\w+)\(`)
)

func TestDocsNameTestsThatExist(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("docs", "stability.md"))
	if err != nil {
		t.Fatal(err)
	}
	made := make(map[string]bool)
	for _, folder := range []string{".", "cmd/latchkey", "internal/cmd/api", "internal/operations", "store/postgres", "store/sqlite"} {
		names, _ := filepath.Glob(filepath.Join(filepath.FromSlash(folder), "*_test.go")) // the pattern is right
		for _, name := range names {
			source, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range madeTest.FindAllStringSubmatch(string(source), -1) {
				made[m[1]] = true
			}
		}
	}
	for _, m := range namedTest.FindAllStringSubmatch(string(text), -1) {
		if !made[m[1]] {
			t.Errorf("there is no %s", m[1])
		}
	}
}
