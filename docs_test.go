package latchkey_test

import (
	"cmp"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/ratelimit"
)

var tableRow = regexp.MustCompile(`(?m)^\| (.*) \|$`)

// readRows returns the rows of the table in a section of a page: the cells of each, without
// backquotes.
func readRows(t *testing.T, page, section string) (rows [][]string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("docs", page))
	_, table, found := strings.Cut(strings.ReplaceAll(string(text), "`", ""), "\n## "+section+"\n")
	if err != nil || !found {
		t.Fatalf("%s has no section %s: %v", page, section, err)
	}
	table, _, _ = strings.Cut(table, "\n## ")
	for _, row := range tableRow.FindAllStringSubmatch(table, -1)[1:] { // the first is the heading
		cells := strings.Split(row[1], "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		rows = append(rows, cells)
	}
	return rows
}

// declarations calls fn with every declaration of a folder, without those of its tests.
func declarations(t *testing.T, folder string, fn func(ast.Decl)) {
	t.Helper()
	names, _ := filepath.Glob(filepath.Join(folder, "*.go")) // the pattern is right
	for _, name := range names {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range file.Decls {
			if !strings.HasSuffix(name, "_test.go") {
				fn(d)
			}
		}
	}
}

// methodComments returns the comment of every method, by the names of its type and its own.
func methodComments(t *testing.T) map[string]string {
	t.Helper()
	comments := make(map[string]string)
	declarations(t, ".", func(d ast.Decl) {
		method, is := d.(*ast.FuncDecl)
		if !is || method.Recv == nil {
			return
		}
		receiver := strings.TrimPrefix(types.ExprString(method.Recv.List[0].Type), "*")
		comments[receiver+"."+method.Name.Name] = method.Doc.Text()
	})
	return comments
}

// checkMethods returns the methods of a cell, and fails if one does not exist.
func checkMethods(t *testing.T, comments map[string]string, cell string) []string {
	t.Helper()
	methods := strings.Split(cell, ", ")
	for _, method := range methods {
		if _, exists := comments[method]; !exists {
			t.Errorf("there is no method %s", method)
		}
	}
	return methods
}

// values calls fn with every variable, or every constant, of a folder and with its value.
func values(t *testing.T, folder string, kind token.Token, fn func(name string, value ast.Expr)) {
	t.Helper()
	declarations(t, folder, func(d ast.Decl) {
		if group, is := d.(*ast.GenDecl); is && group.Tok == kind {
			for _, s := range group.Specs {
				for i, value := range s.(*ast.ValueSpec).Values {
					fn(s.(*ast.ValueSpec).Names[i].Name, value)
				}
			}
		}
	})
}

// literal returns the text of a literal, "" for another expression.
func literal(value ast.Expr) string {
	text, _ := strconv.Unquote(types.ExprString(value))
	return text
}

// checkRows fails unless the cells in some columns of rows are those that the code has, in any order.
func checkRows(t *testing.T, rows [][]string, columns []int, want []string) {
	t.Helper()
	var have []string
	for _, row := range rows {
		var cells []string
		for _, i := range columns {
			cells = append(cells, row[i])
		}
		have = append(have, strings.Join(cells, "|"))
	}
	for _, row := range slices.Concat(have, want) {
		if inPage, inCode := slices.Contains(have, row), slices.Contains(want, row); inPage != inCode {
			t.Errorf("%s: in the page %v, in the code %v", row, inPage, inCode)
		}
	}
}

var (
	errorList = regexp.MustCompile(`(?ms)^Errors\b.*`)
	errorLink = regexp.MustCompile(`\[\*?(Err\w+|\w+Error)\]`)
	thoseOf   = regexp.MustCompile(`^Errors: those\s+of\s+\[?([\w.]+)\]?(?:\s+and\s+\[([\w.]+)\])?`)
	isOther   = regexp.MustCompile(`^\w+ is \[(\w+\.\w+)\]`)
	notThese  = regexp.MustCompile(`(?:instead\s+of|place\s+of|without|not\s+as\s+an)\s+(?:(Err\w+)|\[(ErrQueryTooCostly)\]|\[\*OAuth2Error\])`)
)

// listErrors adds the errors that the comment of a method lists, and those of the methods to which
// the comment refers.
func listErrors(comments map[string]string, method string, found map[string]bool) {
	list := errorList.FindString(comments[method])
	others := slices.Concat(isOther.FindStringSubmatch(comments[method]), thoseOf.FindStringSubmatch(list))
	receiver, _, _ := strings.Cut(method, ".")
	for _, other := range others {
		if _, exists := comments[other]; !exists {
			other = receiver + "." + other
		}
		if !strings.Contains(list, "that are about the link") { // a part of the errors of the other
			listErrors(comments, other, found)
		}
	}
	for _, not := range notThese.FindAllStringSubmatch(list, -1) {
		delete(found, not[1]+not[2])
	}
	for _, link := range errorLink.FindAllStringSubmatch(notThese.ReplaceAllString(list, ""), -1) {
		found[link[1]] = true
	}
}

func TestDocsNameTheErrorsOfEachPage(t *testing.T) {
	comments := methodComments(t)
	for _, row := range readRows(t, "errors.md", "Pages") {
		for _, method := range checkMethods(t, comments, row[1]) {
			found := make(map[string]bool)
			listErrors(comments, method, found)
			for name := range found {
				if !slices.Contains(strings.Split(row[2], ", "), name) {
					t.Errorf("%s: lacks %s of %s", row[0], name, method)
				}
			}
		}
	}
}

// statuses are the HTTP statuses of the categories, and of the sentinels that have another one.
var statuses = map[string]string{
	"CategoryInvalid": "400", "CategoryUnauthorized": "401", "CategoryForbidden": "403", "CategoryNotFound": "404",
	"CategoryConflict": "409", "CategoryPrecondition": "412", "CategoryThrottled": "429", "CategoryUnavailable": "503",
	"CategoryUnimplemented": "501", "ErrProviderRefused": "424", "ErrProviderFailed": "424",
}

func TestDocsHaveEverySentinel(t *testing.T) {
	var want []string
	values(t, ".", token.VAR, func(name string, value ast.Expr) {
		call, is := value.(*ast.CallExpr)
		if !is || !ast.IsExported(name) || !strings.HasPrefix(types.ExprString(call.Fun), "newError") {
			return
		}
		argument, args := "", call.Args
		if len(args) == 4 { // newErrorAbout
			argument, args = literal(args[0]), args[1:]
		}
		status := cmp.Or(statuses[name], statuses[types.ExprString(args[1])])
		want = append(want, strings.Join([]string{name, literal(args[0]), status, literal(args[2]), argument}, "|"))
	})
	checkRows(t, readRows(t, "errors.md", "Types"), []int{0, 1, 2, 3, 4}, want)
}

func TestDocsHaveEveryReason(t *testing.T) {
	source, _ := os.ReadFile("errors.go") // without it, the comment lacks every reason
	_, comment, _ := strings.Cut(string(source), "// Reason says")
	comment, _, _ = strings.Cut(comment, "Reason string")
	var codes []string
	values(t, "internal/reason", token.CONST, func(_ string, value ast.Expr) {
		codes = append(codes, literal(value))
		if !regexp.MustCompile(`\b` + literal(value) + `\b`).MatchString(comment) {
			t.Errorf("the comment of Error.Reason lacks %s", literal(value))
		}
	})
	checkRows(t, readRows(t, "errors.md", "Reasons"), []int{0}, codes)
}

// inWords returns a rule in the words of docs/limits.md, and none for a rule that is off.
func inWords(r ratelimit.Rule, none string) string {
	if r == (ratelimit.Rule{}) {
		return none
	}
	windows := map[time.Duration]string{time.Minute: "a minute", 10 * time.Minute: "10 minutes", time.Hour: "an hour", 24 * time.Hour: "a day"}
	calls := strconv.Itoa(r.Calls)
	if thousands := len(calls) - 3; thousands > 0 {
		calls = calls[:thousands] + "," + calls[thousands:]
	}
	return calls + " in " + windows[r.Window]
}

func TestDocsHaveEveryLimit(t *testing.T) {
	usual, strict, comments := latchkey.DefaultLimits(), latchkey.StrictPolicy().Guessing.Limits, methodComments(t)
	all := maps.Clone(usual)
	maps.Copy(all, strict)
	var want []string
	for name := range all {
		want = append(want, name+"|"+inWords(usual[name], "off")+"|"+inWords(strict[name], ""))
	}
	rows := readRows(t, "limits.md", "The limits")
	checkRows(t, rows, []int{0, 2, 3}, want)
	for _, row := range rows {
		if row[1] != "methods that send a message" {
			checkMethods(t, comments, row[1])
		}
	}
}

func TestDocsHaveEveryNameOfTheLog(t *testing.T) {
	var names []string
	values(t, ".", token.CONST, func(name string, value ast.Expr) {
		if strings.HasPrefix(name, "log") {
			names = append(names, literal(value))
		}
	})
	checkRows(t, readRows(t, "log.md", "The lines of the log"), []int{0}, names)
}

// declared returns the methods and the fields of the types of a folder, as Type.Name.
func declared(t *testing.T, folder string) map[string]bool {
	t.Helper()
	all := make(map[string]bool)
	declarations(t, folder, func(d ast.Decl) {
		switch d := d.(type) {
		case *ast.FuncDecl:
			if d.Recv != nil {
				all[strings.TrimPrefix(types.ExprString(d.Recv.List[0].Type), "*")+"."+d.Name.Name] = true
			}
		case *ast.GenDecl:
			for _, s := range d.Specs {
				spec, is := s.(*ast.TypeSpec)
				if !is {
					continue
				}
				if fields, is := spec.Type.(*ast.StructType); is {
					for _, f := range fields.Fields.List {
						for _, name := range f.Names {
							all[spec.Name.Name+"."+name.Name] = true
						}
					}
				}
			}
		}
	})
	return all
}

// The page of the pages names methods of the engine and of package web, and files of the site.
func TestDocsNameMethodsAndFilesThatExist(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("docs", "pages.md"))
	if err != nil {
		t.Fatal(err)
	}
	known := declared(t, ".")
	maps.Copy(known, declared(t, "web"))
	known["query.Search"], known["query.Page"] = true, true
	found := 0
	for _, m := range regexp.MustCompile("`([A-Za-z]+\\.[A-Z][A-Za-z0-9]+)`").FindAllStringSubmatch(string(text), -1) {
		if found++; !known[m[1]] {
			t.Errorf("there is no %s", m[1])
		}
	}
	for _, m := range regexp.MustCompile("`([a-z]+\\.go)`").FindAllStringSubmatch(string(text), -1) {
		if _, err := os.Stat(filepath.Join("examples", "webapp", "site", m[1])); err != nil {
			t.Error(err)
		}
	}
	if found < 80 {
		t.Errorf("only %d names were found", found)
	}
}
