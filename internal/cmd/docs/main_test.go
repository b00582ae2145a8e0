package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// try runs a page, and returns what the program prints.
func try(t *testing.T, text string) (out string, err error) {
	t.Helper()
	p, err := parse("page.md", strings.ReplaceAll(text, "'''", "```"))
	if err != nil {
		return "", err
	}
	tree, err := findTree(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	r := &runner{tree: tree, dir: t.TempDir()}
	var b strings.Builder
	err = r.runPages(t.Context(), &b, []page{p})
	return b.String(), err
}

// A page whose blocks are right.
const right = `
A text.

<!-- file: main.go -->
'''go
package main

import (
	"fmt"
	"os"

	"example.com/latchkey/hidden"
)

func main() { fmt.Println(hidden.New("secret"), os.Args[1]) }
'''

'''sh
name=ada
mkdir folder
cd folder
'''

'''sh
cd ..
go run . "$name" # the variable and the folder stay
echo error >&2
'''

It prints:

'''text
…secret… ada
error
'''

<!-- not run: nothing listens here -->
'''sh
curl http://example.org/
'''

<!-- needs: no-such-program sh -->
'''sh
no-such-program
'''

<!-- file: folder/service.ini -->
~~~ini
[Service]
~~~

<!-- run:
test "$(cat folder/service.ini)" = "[Service]"
echo not compared
-->

A block of indented lines is not read:

    false

- In a list:

  '''sh
  seq 5
  '''

  '''text
  1
  …
  5
  '''
`

func TestAPageRuns(t *testing.T) {
	out, err := try(t, right)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"ok     page.md: 6 blocks in", "  page.md:39: nothing listens here\n", "  page.md:44: no-such-program is not installed\n", "1 pages, 6 blocks, 2 not run, in"} {
		if !strings.Contains(out, want) {
			t.Errorf("the output lacks %q:\n%s", want, out)
		}
	}
}

func TestAPageFails(t *testing.T) {
	for _, c := range []struct{ name, page, want string }{
		{"a command", "'''sh\necho first\n\nfalse\necho never\n'''", "page.md:2: this block failed: exit status 1\nfirst\n"},
		{"a command before a pipe", "'''sh\nfalse | true\n'''", "exit status 1"},
		{"a variable without a value", "'''sh\necho $unset1\n'''", "page.md: line 2: unset1: unbound variable"},
		{"a block after a block", "'''sh\ntrue\n'''\n'''sh\nnone\n'''", "page.md:5: this block failed: exit status 127"},
		{"a block that bash cannot read", "'''sh\necho 'open\n'''\n'''sh\necho 'more\n'''", "page.md: line 2: unexpected EOF"},
		{"a block that ends bash", "'''sh\nexit 0\n'''\n'''sh\nfalse\n'''", "page.md:2: this block failed: it ended bash"},
		{"a comment with commands", "<!-- run:\nfalse\n-->", "page.md:2: this block failed"},
		{"a program", "<!-- file: main.go -->\n'''go\npackage main\n'''\n'''sh\ngo run .\n'''", "function main is undeclared"},
		{"standard input", "'''sh\nread -r line\n'''", "exit status 1"},
		{"another output", "'''sh\nseq 3\n'''\n'''text\n1\n2\n'''", "page.md:2: the output of this block differs from the page.\n-- the page --\n1\n2\n-- the output --\n1\n2\n3\n"},
		{"no output", "'''sh\ntrue\n'''\n'''text\n1\n'''", "differs from the page"},
		{"an output that must be empty", "'''sh\necho 1\n'''\n'''text\n'''", "differs from the page"},
	} {
		t.Run(c.name, func(t *testing.T) {
			out, err := try(t, c.page)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("the error is %v", err)
			}
			if !strings.HasPrefix(out, "FAILED page.md: ") {
				t.Errorf("the output is %q", out)
			}
		})
	}
}

func TestABlockWithoutAPlaceIsAnError(t *testing.T) {
	for _, c := range []struct{ name, page, want string }{
		{"a program", "'''go\npackage main\n'''", "page.md:1: this block of go is not run: it needs a comment"},
		{"another language", "\n'''nginx\n'''", "page.md:2: this block of nginx"},
		{"no language", "'''\n'''", "page.md:1: this block of "},
		{"an output of nothing", "'''text\n'''", "page.md:1: this block is the output of no sh block"},
		{"an output after another block", "'''sh\n'''\n<!-- file: a -->\n'''ini\n'''\n'''text\n'''", "page.md:6: this block is the output of no sh block"},
		{"a second output", "'''sh\n'''\n'''text\n'''\n'''text\n'''", "page.md:5: this block is the output of no sh block"},
		{"no reason", "<!-- not run: -->\n'''sh\n'''", "page.md:2: the comment gives no reason"},
		{"no block", "<!-- file: main.go -->\n\nA text.\n'''sh\n'''", "page.md:3: no block follows the comment <!-- file: main.go -->"},
		{"no block at the end", "<!-- not run: why -->\n", "no block follows the comment"},
		{"no block that needs programs", "<!-- needs: sh -->\n", "no block follows the comment"},
		{"a file elsewhere", "<!-- file: ../main.go -->\n'''go\n'''", `page.md:2: "../main.go" is no name of a file`},
		{"a comment of another form", "<!-- not-run: why -->\n", "page.md:1: this comment does not have the form"},
		{"a file without a name", "<!-- file -->\n", "page.md:1: this comment does not have the form"},
		{"no end", "'''sh\ntrue\n", "page.md:1: this block has no end"},
		{"a comment without an end", "<!-- run:\ntrue\n", "page.md:1: this block has no end"},
		{"two of them", "'''go\n'''\n'''ini\n'''", "page.md:3: this block of ini"},
	} {
		t.Run(c.name, func(t *testing.T) {
			out, err := try(t, c.page)
			if err == nil || !strings.Contains(err.Error(), c.want) || out != "" {
				t.Errorf("the error is %v after %q", err, out)
			}
		})
	}
}

func TestOutputsMatch(t *testing.T) {
	for _, c := range []struct {
		want, got string
		matches   bool
	}{
		{"", "", true},
		{"a\n", "a\n", true},
		{"a\n", "a  \n\n", true},
		{"a\n", "b\n", false},
		{"a\n", "a\nb\n", false},
		{"a\nb\n", "a\n", false},
		{"a.c\n", "abc\n", false},
		{"a…c\n", "abbbc\n", true},
		{"a…c\n", "ac\n", true},
		{"a…c\n", "ab\nc\n", false},
		{"…\n", "", true},
		{"…\n", "a\nb\n", true},
		{"a\n…\nz\n", "a\nz\n", true},
		{"a\n…\nz\n", "a\nb\nz\ny\nz\n", true},
		{"a\n…\nz\n", "b\na\nz\n", false},
		{"a …\n…\n", "a b\nc\n", true},
	} {
		if got := matches(c.want, c.got); got != c.matches {
			t.Errorf("%q matches %q: %v", c.want, c.got, got)
		}
	}
}

func TestProgramsInTheBackgroundEnd(t *testing.T) {
	held := filepath.Join(t.TempDir(), "held")
	if out, err := exec.CommandContext(t.Context(), "mkfifo", held).CombinedOutput(); err != nil {
		t.Fatalf("%s, %v", out, err)
	}
	ended := make(chan error, 1)
	go func() { // reads until no process holds the other end
		_, err := os.ReadFile(held)
		ended <- err
	}()
	if _, err := try(t, "'''sh\nexec 9> "+held+"\nsleep 600 &\n'''"); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(time.Minute):
		t.Error("it still runs")
	}
}

func TestAPageIsStopped(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	tree, err := findTree(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	r := &runner{tree: tree, dir: t.TempDir()}
	p, err := parse("page.md", "```sh\nsleep 600\n```")
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	if err := r.runPages(ctx, &b, []page{p}); err == nil || !strings.Contains(err.Error(), "page.md:2: this block failed: it was stopped") {
		t.Error(err)
	}
}

func TestAPageHasADatabase(t *testing.T) {
	if err := addPostgres(); err != nil {
		t.Skip(err)
	}
	if _, err := try(t, "'''sh\npsql -At -c 'SELECT current_database()' \"$DATABASE_URL\"\n'''\n'''text\napp\n'''"); err != nil {
		t.Error(err)
	}
	t.Setenv("DATABASE_URL", "postgres://127.0.0.1/")
	if _, err := try(t, "'''sh\nenv | grep ^DATABASE || echo none\n'''\n'''text\nnone\n'''"); err != nil {
		t.Errorf("a page that does not name it: %v", err)
	}
}

// The pages of the tree have a place for every block. CI runs them.
func TestThePagesOfTheTree(t *testing.T) {
	names, err := filepath.Glob("../../../docs/*.md")
	if err != nil || len(names) == 0 {
		t.Fatal(names, err)
	}
	if _, err := readPages(names); err != nil {
		t.Error(err)
	}
}
