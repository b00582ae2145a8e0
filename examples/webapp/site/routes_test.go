package site_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"example.com/latchkey/authtest"
)

// kinds of handlers: which callers they are for.
const (
	anybody    = "Handle"
	optional   = "Optional"
	signedIn   = "Require"
	profiled   = "RequireProfile"
	challenged = "Challenge"
	unproven   = "Unverified"
	staff      = "staff"
	callback   = "OAuth2Callback"
	health     = "Health"
	static     = "cached"
)

// routes are the patterns of the site with the kind of their handlers. TestAttack27TheTableHasEveryRoute
// compares them with the source.
var routes = map[string]string{
	"GET /static/{file}": static, "GET /healthz": health, "GET /{$}": optional, "POST /language": anybody, "/": anybody,
	"GET /sign-up": anybody, "POST /sign-up": anybody, "GET /sign-in": anybody, "POST /sign-in": anybody, "POST /sign-in/link": anybody, "POST /sign-in/code": anybody,
	"POST /sign-in/code/type": anybody, "POST /sign-out": anybody, "GET /recover": anybody, "POST /recover": anybody, "GET /sent": anybody,
	"GET /verify": unproven, "POST /verify": unproven, "POST /verify/email": unproven, "POST /sign-in/service": optional, "/callback/service": callback,
	"GET /link/sign-in": anybody, "GET /link/verify": anybody, "GET /link/recover": anybody, "GET /link/email": anybody, "GET /link/restore": anybody, "GET /link/invitation": anybody,
	"POST /link/sign-in": anybody, "POST /link/verify": anybody, "POST /link/recover": anybody, "POST /link/email": anybody, "POST /link/restore": anybody, "POST /link/invitation": anybody,
	"GET /factor": challenged, "POST /factor": challenged, "GET /confirm": challenged, "POST /confirm": challenged, "POST /factor/send": challenged, "POST /confirm/password": signedIn,
	"GET /account/factors": profiled, "POST /account/factors/app": profiled, "POST /account/factors/app/confirm": profiled, "POST /account/factors/app/remove": signedIn,
	"POST /account/factors/on": signedIn, "POST /account/factors/off": signedIn, "GET /account/factors/codes": profiled, "POST /account/factors/codes": profiled,
	"POST /sign-in/passkey/ask": anybody, "POST /sign-in/passkey": anybody, "POST /factor/passkey/ask": challenged, "POST /factor/passkey": challenged, "GET /account/passkeys": profiled,
	"POST /account/passkeys": profiled, "POST /account/passkeys/take": profiled, "POST /account/passkeys/rename": profiled, "POST /account/passkeys/delete": profiled,
	"GET /account": profiled, "POST /account/name": profiled, "POST /account/email": profiled, "POST /account/password": profiled, "POST /account/services/unlink": signedIn,
	"GET /account/sessions": profiled, "POST /account/sessions/end": signedIn, "POST /account/sessions/end-all": signedIn, "GET /account/log": profiled,
	"GET /account/delete": profiled, "POST /account/delete": profiled,
	"GET /teams": profiled, "POST /teams": profiled, "GET /teams/{team}": profiled, "POST /teams/{team}/members": profiled,
	"POST /teams/{team}/members/{member}/remove": profiled, "POST /teams/{team}/delete": profiled,
	"GET /admin/users": staff, "GET /admin/users/{user}": staff, "POST /admin/users/{user}/status": staff, "POST /admin/users/{user}/sign-out": staff,
	"GET /admin/teams": staff, "GET /admin/teams/{team}": staff,
}

// sourceRoutes reads the routes from the source of the site.
func sourceRoutes(t *testing.T) map[string]string {
	t.Helper()
	found := make(map[string]string)
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		var loops []*ast.RangeStmt
		ast.Inspect(file, func(n ast.Node) bool {
			if loop, is := n.(*ast.RangeStmt); is {
				loops = append(loops, loop)
			}
			call, is := n.(*ast.CallExpr)
			if !is {
				return true
			}
			fn, is := call.Fun.(*ast.SelectorExpr)
			if !is || fn.Sel.Name != "Handle" && fn.Sel.Name != "HandleFunc" || len(call.Args) != 2 {
				return true
			}
			kind := call.Args[1].(*ast.CallExpr)
			of := ""
			switch fun := kind.Fun.(type) {
			case *ast.SelectorExpr:
				of = fun.Sel.Name
			case *ast.Ident:
				of = fun.Name
			}
			for _, pattern := range patterns(t, call.Args[0], loops) {
				found[pattern] = of
			}
			return true
		})
	}
	return found
}

// patterns returns the texts that a pattern may be. One that adds a variable to a text takes its values from the
// last loop before it.
func patterns(t *testing.T, x ast.Expr, loops []*ast.RangeStmt) (all []string) {
	t.Helper()
	switch x := x.(type) {
	case *ast.BasicLit:
		text, err := strconv.Unquote(x.Value)
		if err != nil {
			t.Fatal(err)
		}
		return []string{text}
	case *ast.BinaryExpr:
		for _, left := range patterns(t, x.X, loops) {
			for _, right := range patterns(t, x.Y, loops) {
				all = append(all, left+right)
			}
		}
		return all
	}
	for _, element := range loops[len(loops)-1].X.(*ast.CompositeLit).Elts {
		if c, is := element.(*ast.CompositeLit); is {
			element = c.Elts[0]
		}
		all = append(all, patterns(t, element, nil)...)
	}
	return all
}

func TestAttack27TheTableHasEveryRoute(t *testing.T) {
	source := sourceRoutes(t)
	for pattern, kind := range source {
		if routes[pattern] != kind {
			t.Errorf("%q has the kind %q, and in the table %q", pattern, kind, routes[pattern])
		}
	}
	for pattern := range routes {
		if source[pattern] == "" {
			t.Errorf("%q is not in the source", pattern)
		}
	}
}

// ending are the forms after which a session is no more.
var ending = []string{"POST /sign-out", "POST /account/sessions/end-all", "POST /account/delete", "POST /admin/users/{user}/sign-out"}

// path returns the method of a pattern and its path, with the ids of Ada's team, of Mia's membership and of Eve.
func (w *world) path(pattern string) (method, path string) {
	method, path, found := strings.Cut(pattern, " ")
	if !found {
		method, path = http.MethodGet, pattern
	}
	return method, strings.NewReplacer("{$}", "", "{team}", w.team, "{member}", w.members[mia], "{user}", w.users[eve], "{file}", "style.css").Replace(path)
}

// fields are values for every field of every form of the site. Each is one that would change something.
func (w *world) fields() url.Values {
	return values(
		"email", "new@example.org", "password", authtest.Password, "old", authtest.Password, "name", "New name", "stay", "on", "language", "de", "user", w.users[eve], "code", "123456",
		"userId", w.users[eve], "secret", strings.Repeat("ab", 32), "teamId", w.team, "membershipId", w.members[mia], "answer", "decline", "teamName", "Chess", "challenge", "x", "factor", "totp",
		"uri", "otpauth://totp/Webapp:x?secret=JBSWY3DPEHPK3PXP&issuer=Webapp", "id", "x", "owner", "on", "status", "blocked", "page", "x", "search", "Ada", "phrase", "two words", "done", "name", "next", "/teams",
		"state", "x", "_method", "POST", "offer", "on", "credential", w.answer,
	)
}

// each calls a function for every pattern of a method, in order.
func each(method string, do func(pattern, kind string)) {
	for _, pattern := range slices.Sorted(maps.Keys(routes)) {
		if strings.HasPrefix(pattern, method+" ") {
			do(pattern, routes[pattern])
		}
	}
}

// ---- promises that hold for every route ----
