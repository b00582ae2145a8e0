package site

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// used returns the sentences that the pages and the program translate.
func used(t *testing.T) map[string]bool {
	t.Helper()
	all := make(map[string]bool)
	call := regexp.MustCompile(`(?:\.T|field "[a-z]+") ("(?:[^"\\]|\\.)*")`)
	names, _ := filepath.Glob("pages/*.html") // the pattern is right
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range call.FindAllStringSubmatch(string(text), -1) {
			words, err := strconv.Unquote(m[1])
			if err != nil {
				t.Fatal(err)
			}
			all[words] = true
		}
	}
	names, _ = filepath.Glob("*.go")
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			call, is := n.(*ast.CallExpr)
			if !is {
				return true
			}
			at := -1
			switch fn := call.Fun.(type) {
			case *ast.SelectorExpr:
				if fn.Sel.Name == "T" {
					at = 0
				}
			case *ast.Ident:
				if fn.Name == "translate" {
					at = 1
				}
			}
			if at < 0 {
				return true
			}
			if lit, is := call.Args[at].(*ast.BasicLit); is {
				words, _ := strconv.Unquote(lit.Value)
				all[words] = true
			}
			return true
		})
	}
	for _, words := range done {
		all[words] = true
	}
	return all
}

// names returns the names in backquotes in the first column of the tables of a page of the documents.
func names(t *testing.T, page string, sections ...string) (all []string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "..", "docs", page))
	if err != nil {
		t.Fatal(err)
	}
	for _, section := range sections {
		_, body, found := strings.Cut(string(text), "\n## "+section+"\n")
		if !found {
			t.Fatalf("%s has no section %s", page, section)
		}
		body, _, _ = strings.Cut(body, "\n## ")
		for _, m := range regexp.MustCompile("(?m)^\\| (?:`Err[A-Za-z]+` \\| )?`([a-z0-9_.]+)`").FindAllStringSubmatch(body, -1) {
			all = append(all, m[1])
		}
	}
	return all
}

func TestEverySentenceIsInEveryLanguage(t *testing.T) {
	words := used(t)
	if len(words) < 100 {
		t.Fatalf("only %d sentences were found", len(words))
	}
	known := map[string]bool{}
	for _, name := range append(names(t, "log.md", "The lines of the log", "The reasons of refusals"), "") {
		known["log "+name] = true
	}
	for _, name := range names(t, "log.md", "The actors") {
		known["actor "+name] = true
	}
	delete(known, "log ")
	for name := range known {
		for _, lang := range languages {
			if texts[lang][name] == "" {
				t.Errorf("%s lacks %q", lang, name)
			}
		}
	}
	for _, name := range append(names(t, "errors.md", "Types", "Reasons"), "general_server_error", "general_unknown_origin", "general_body_too_large", "general_route_not_found") {
		known[name] = true
		if texts["de"][name] == "" {
			t.Errorf("de lacks the error %q", name)
		}
	}
	if len(known) < 100 || !slices.Contains(names(t, "errors.md", "Types"), "user_blocked") {
		t.Fatalf("only %d names were found in the documents", len(known))
	}
	for w := range words {
		if texts["de"][w] == "" {
			t.Errorf("de lacks %q", w)
		}
		if n := strings.Count(w, "%"); texts["de"][w] != "" && strings.Count(texts["de"][w], "%") != n {
			t.Errorf("de has other values in %q", w)
		}
	}
	for _, lang := range languages {
		for w := range texts[lang] {
			if !words[w] && !known[w] {
				t.Errorf("%s has %q, which no page uses", lang, w)
			}
		}
	}
}
