package postgres

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/internal/pgtest"
)

// Before the newest addition to the tables, programs did not know it. They run on beside programs that
// do: in both directions, users are made, sessions begin, and an end holds at once. A later version of the tables ends
// both: they read on, and write no more. The older programs are built from the history of this repository.
func TestTwoVersionsRunSideBySide(t *testing.T) {
	all, last := states(t), 0
	for i, s := range all {
		if s.additions > 0 {
			last = i
		}
	}
	older, newer := programBefore(t, all[last]), filepath.Join(t.TempDir(), "present")
	shell(t, ".", "go build -o "+newer+" ./testdata/node")
	present := newer
	if last < len(all)-1 {
		newer = programBefore(t, all[last+1])
	}

	namespace, key := pgtest.Namespace(), latchkey.GenerateKey().Reveal()
	begin := func(program string) *process { return start(t, program, namespace, key) }
	one := begin(older)
	one.ok("create ada")
	adas := one.ok("sign-in ada")
	two := begin(newer)   // makes the addition
	again := begin(older) // an older program starts all the same
	nodes := []*process{one, two, again}
	for i, n := range nodes {
		if got := n.ok("check " + adas); got != "ada" {
			t.Errorf("node %d: %s", i, got)
		}
	}
	for i, n := range nodes {
		user := fmt.Sprint("user", i)
		n.ok("create " + user)
		secret := n.ok("sign-in " + user)
		for j, other := range nodes {
			if got := other.ok("check " + secret); got != user {
				t.Errorf("nodes %d and %d: %s", i, j, got)
			}
			if err := other.do("create " + user); !strings.HasPrefix(err, "error ") {
				t.Errorf("nodes %d and %d: %s is made twice: %s", i, j, user, err)
			}
		}
		nodes[(i+1)%len(nodes)].ok("end " + user)
		for j, other := range nodes {
			if answer := other.do("check " + secret); !strings.HasPrefix(answer, "error ") {
				t.Errorf("nodes %d and %d: a session that has ended: %s", i, j, answer)
			}
		}
		nodes[(i+2)%len(nodes)].ok("delete " + user)
	}
	if newer == present {
		return
	}
	three := begin(present) // makes the later version
	three.ok("create late")
	secret := three.ok("sign-in late")
	for i, n := range nodes {
		if got := n.ok("check " + secret); got != "late" {
			t.Errorf("node %d, after the upgrade: %s", i, got)
		}
		if answer := n.do("create user"); !strings.HasPrefix(answer, "error ") {
			t.Errorf("node %d writes after the upgrade: %s", i, answer)
		}
	}
	three.ok("check " + adas)
}

// programBefore builds the program of the commit before the one that has added the migration to a state.
func programBefore(t *testing.T, s state) string {
	t.Helper()
	file := "store/postgres/migrations/" + s.name() + ".sql"
	commit := output(t, "git", "log", "--diff-filter=A", "--format=%H", "-1", "--", "../../"+file)
	if commit == "" {
		t.Fatal("the history has no commit that adds " + file)
	}
	source, program := t.TempDir(), filepath.Join(t.TempDir(), "node")
	shell(t, "../..", "git archive "+commit+"^ | tar -x -C "+source)
	shell(t, ".", "mkdir "+source+"/internal/cmd/node && cp testdata/node/main.go "+source+"/internal/cmd/node")
	shell(t, source, "go build -o "+program+" ./internal/cmd/node")
	return program
}

func output(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).Output()
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return strings.TrimSpace(string(out))
}

func shell(t *testing.T, dir, command string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute) // to build a program
	defer cancel()
	c := exec.CommandContext(ctx, "sh", "-e", "-c", command)
	c.Dir = dir
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", command, err, out)
	}
}

// process is a running node.
type process struct {
	t   *testing.T
	in  io.Writer
	out *bufio.Scanner
}

func start(t *testing.T, program, namespace, key string) *process {
	t.Helper()
	ctx, cancel := context.WithCancel(limited(t))
	c := exec.CommandContext(ctx, program)
	c.Env = append(os.Environ(), "NODE_DATABASE="+pgtest.Shared(t).Address(), "NODE_NAMESPACE="+namespace, "NODE_KEY="+key)
	c.Stderr = os.Stderr
	in, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		_ = c.Wait()
	})
	p := &process{t, in, bufio.NewScanner(out)}
	if answer := p.read(); answer != "ready" {
		t.Fatal(answer)
	}
	return p
}

func (p *process) read() string {
	p.t.Helper()
	if !p.out.Scan() {
		p.t.Fatalf("a node has ended: %v", p.out.Err())
	}
	return p.out.Text()
}

// do gives an order and returns the answer.
func (p *process) do(order string) string {
	p.t.Helper()
	if _, err := fmt.Fprintln(p.in, order); err != nil {
		p.t.Fatal(err)
	}
	return p.read()
}

// ok is do for an order that must succeed. It returns the result.
func (p *process) ok(order string) string {
	p.t.Helper()
	result, ok := strings.CutPrefix(p.do(order), "ok")
	if !ok {
		p.t.Fatalf("%s: refused", order)
	}
	return strings.TrimSpace(result)
}
