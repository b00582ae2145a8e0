package main

import (
	"go/ast"
	"go/format"
	"go/parser"
	"go/token"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"example.com/latchkey"
)

// The program is short enough to be read at once. Its comment is not counted.
func TestTheFirstSessionTakes35Lines(t *testing.T) {
	files := token.NewFileSet()
	file, err := parser.ParseFile(files, "main.go", nil, parser.SkipObjectResolution) // without comments
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	if err := format.Node(&text, files, file); err != nil {
		t.Fatal(err)
	}
	lines := 0
	for line := range strings.Lines(text.String()) {
		if strings.TrimSpace(line) != "" {
			lines++
		}
	}
	if lines > 35 {
		t.Errorf("%d lines that are not empty", lines)
	}
	if n := strings.Count(text.String(), "site.Handle(") + strings.Count(text.String(), "site.Require("); n != 4 {
		t.Errorf("%d routes", n)
	}
	ast.Inspect(file, func(n ast.Node) bool {
		if block, is := n.(*ast.BlockStmt); is && len(block.List) > 1 && files.Position(block.Lbrace).Line == files.Position(block.Rbrace).Line {
			t.Error("two statements are on one line")
		}
		return true
	})
}

func TestASessionOverHTTP(t *testing.T) {
	dir := t.TempDir()
	// The program serves a port of its own. The test gives it a free one.
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := listener.Addr().String()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile("main.go")
	if err != nil {
		t.Fatal(err)
	}
	code := filepath.Join(dir, "main.go")
	if err := os.WriteFile(code, []byte(strings.ReplaceAll(string(source), "localhost:8080", addr)), 0o600); err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(dir, "first")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, code).CombinedOutput(); err != nil {
		t.Fatalf("%s, %v", out, err)
	}
	server := exec.CommandContext(t.Context(), program)
	server.Dir, server.Env = dir, append(os.Environ(), "KEY="+latchkey.GenerateKey().Reveal())
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = server.Process.Kill() // it may have ended
		_ = server.Wait()
	}()

	jar, _ := cookiejar.New(nil) // never fails
	browser := &http.Client{Jar: jar}
	call := func(method, path string, want int) string {
		t.Helper()
		for {
			r, err := http.NewRequestWithContext(t.Context(), method, "http://"+addr+path, strings.NewReader(url.Values{"email": {"ada@example.org"}, "password": {"correct horse"}}.Encode()))
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			res, err := browser.Do(r)
			if err != nil && t.Context().Err() == nil { // it is not up yet
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			body, err := io.ReadAll(res.Body)
			if err != nil || res.StatusCode != want {
				t.Fatalf("%s: %d %s, %v", path, res.StatusCode, body, err)
			}
			return string(body)
		}
	}
	call("GET", "/me", 401)
	call("POST", "/sign-up", 200)
	call("POST", "/sign-in", 200)
	if me := call("GET", "/me", 200); !strings.Contains(me, `"email":"ada@example.org"`) {
		t.Error(me)
	}
	call("POST", "/sign-out", 204)
	call("GET", "/me", 401)
}
