package storetest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"testing"

	"example.com/latchkey/store"
)

// Opener opens the store at a path for the tables of a schema, and makes it if it
// is missing.
type Opener func(path string, schema *store.Schema) (store.Store, error)

// childEnv holds the job of a child process of a test: a kind of work, a number
// and a path.
const childEnv = "LATCHKEY_STORETEST_CHILD"

// startChild starts the test binary again, which runs the same test as a child.
func startChild(t *testing.T, prefix []string, work, path string, n int) (cmd *exec.Cmd, acknowledged *bufio.Scanner) {
	t.Helper()
	args := append(prefix, os.Args[0], "-test.run=^"+strings.ReplaceAll(t.Name(), "/", "$/^")+"$")
	cmd = exec.Command(args[0], args[1:]...)
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s %d %s", childEnv, work, n, path))
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return cmd, bufio.NewScanner(out)
}

// asChild does the work of a child and ends the process, if this process is a
// child. Otherwise it returns.
func asChild(open Opener) {
	job := strings.SplitN(os.Getenv(childEnv), " ", 3)
	if len(job) != 3 {
		return
	}
	n, _ := strconv.Atoi(job[1])
	fmt.Println("opening")
	s, err := open(job[2], schema)
	if err == nil {
		switch job[0] {
		case "lone":
			err = writeAlone(s, n)
		case "kill":
			err = writeOn(s, n)
		default:
			err = s.Close()
		}
	}
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// Kill starts a child process that makes changes of every kind, and kills it with
// SIGKILL at a random moment. Then it checks the file: every acknowledged change
// must be there, rows and indexes must agree, and the store must open without
// repair. It does so rounds times on one file.
func Kill(t *testing.T, rounds int, open Opener) {
	asChild(open)
	path := filepath.Join(t.TempDir(), "test.db")
	stages := make(map[int]int)
	for round := range rounds {
		cmd, acknowledged := startChild(t, nil, "kill", path, round)
		for left := rand.IntN(100); left >= 0 && acknowledged.Scan(); left-- {
			note(t, stages, acknowledged.Text())
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		for acknowledged.Scan() { // the output of the child before it died
			note(t, stages, acknowledged.Text())
		}
		_ = cmd.Wait()
		afterKill(t, open, path, stages)
		if t.Failed() {
			t.Fatalf("after %d rounds", round+1)
		}
	}
	if len(stages) < rounds {
		t.Errorf("%d rows in %d rounds: too few to tell anything", len(stages), rounds)
	}
}

// KillOpening kills a child process with SIGKILL while it opens a store, so also
// while it makes or upgrades the tables. After each of the rounds, the store must
// open and be whole. prepare makes the file that the child opens.
func KillOpening(t *testing.T, rounds int, prepare func(path string) error, open Opener) {
	asChild(open)
	for round := range rounds {
		path := filepath.Join(t.TempDir(), "test.db")
		if err := prepare(path); err != nil {
			t.Fatal(err)
		}
		cmd, out := startChild(t, nil, "open", path, round)
		out.Scan() // the child begins to open
		for range rand.IntN(1 << 12) {
			runtime.Gosched() // waits a little, without a clock
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait()
		afterKill(t, open, path, nil)
	}
}

// note records an acknowledgement of the child: the number of a person, and the
// stage that the person has reached. The last line may be cut.
func note(t *testing.T, stages map[int]int, line string) {
	t.Helper()
	if line == "opening" {
		return
	}
	number, stage, found := strings.Cut(line, " ")
	if number == "error" {
		t.Fatal(line)
	}
	n, errNumber := strconv.Atoi(number)
	s, errStage := strconv.Atoi(strings.TrimSuffix(stage, "."))
	if found && errNumber == nil && errStage == nil && strings.HasSuffix(stage, ".") {
		stages[n] = s
	}
}

// The stages of a person: inserted with a child row, moved to other keys, deleted.
const (
	inserted = iota + 1
	moved
	deleted
)

// writeOn takes people through their stages, in four goroutines, until it is
// killed.
func writeOn(s store.Store, round int) error {
	errs := make(chan error)
	for worker := range 4 {
		go func() {
			for n := 100*1000*round + 10*1000*worker; ; n++ {
				for stage := inserted; stage <= 1+n%3; stage++ {
					if err := s.Update(context.Background(), stageOf(n, stage)); err != nil {
						errs <- err
						return
					}
					fmt.Printf("%d %d.\n", n, stage)
				}
			}
		}()
	}
	return <-errs
}

func stageOf(n, stage int) func(context.Context, store.Tx) error {
	p := person(n)
	c := &child{ParentID: p.ID, Number: 1, Friend: p.Name}
	return func(ctx context.Context, tx store.Tx) error {
		switch stage {
		case inserted:
			if err := parents.Insert(ctx, tx, p); err != nil {
				return err
			}
			return children.Insert(ctx, tx, c)
		case moved:
			if _, err := tx.DeleteRange(ctx, store.Query{Index: children.Primary(), Equal: []store.Value{store.Text(p.ID)}, Limit: 10}); err != nil {
				return err
			}
			m := person(n)
			m.Code, m.Name, m.Rank = append(m.Code, '+'), m.Name+"+", -m.Rank
			return parents.Replace(ctx, tx, m)
		default:
			return parents.Delete(ctx, tx, store.Text(p.ID))
		}
	}
}

func afterKill(t *testing.T, open Opener, path string, stages map[int]int) {
	t.Helper()
	s, err := open(path, schema)
	if err != nil {
		t.Fatalf("opening what is left: %v", err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	ctx := context.Background()
	if c, ok := s.(store.Checker); ok {
		if err := c.Check(ctx); err != nil {
			t.Errorf("check: %v", err)
		}
	}
	for n, acknowledged := range stages {
		stage := deleted
		switch p, err := parents.Get(ctx, s, byID, store.Text(person(n).ID)); {
		case errors.Is(err, store.ErrNotFound):
		case err != nil:
			t.Fatal(err)
		case strings.HasSuffix(p.Name, "+"):
			stage = moved
		default:
			stage = inserted
		}
		// The next stage may have been committed without its acknowledgement.
		if stage != acknowledged && stage != acknowledged+1 {
			t.Errorf("person %d: acknowledged at stage %d, found at %d", n, acknowledged, stage)
		}
	}
}

// Sync traces the system calls of a child with strace, and checks that every lone
// Update syncs the file before it returns. Without strace, it skips the test.
func Sync(t *testing.T, open Opener) {
	asChild(open)
	if _, err := exec.LookPath("strace"); err != nil {
		t.Skip("needs strace")
	}
	const writes = 20
	trace := filepath.Join(t.TempDir(), "trace")
	strace := []string{"strace", "-f", "-qq", "-o", trace, "-e", "trace=fsync,fdatasync,write"}
	cmd, acknowledged := startChild(t, strace, "lone", filepath.Join(t.TempDir(), "test.db"), writes)
	lines := 0
	for acknowledged.Scan() {
		if strings.HasPrefix(acknowledged.Text(), "acknowledged") {
			lines++
		}
	}
	if err := cmd.Wait(); err != nil || lines != writes {
		t.Fatalf("%d acknowledged, %v", lines, err)
	}
	text, err := os.ReadFile(trace)
	if err != nil {
		t.Fatal(err)
	}
	syncs, writesSeen := 0, 0
	for line := range strings.Lines(string(text)) {
		switch {
		case strings.Contains(line, "fsync(") || strings.Contains(line, "fdatasync("):
			syncs++
		case strings.Contains(line, `write(1, "begin`):
			syncs = 0
		case strings.Contains(line, `write(1, "acknowledged`):
			writesSeen++
			if syncs == 0 {
				t.Errorf("write %d was acknowledged without a sync", writesSeen)
			}
		}
	}
	if writesSeen != writes {
		t.Errorf("the trace shows %d acknowledgements of %d", writesSeen, writes)
	}
}

// writeAlone makes n changes, one after the other.
func writeAlone(s store.Store, n int) error {
	for i := range n {
		fmt.Println("begin")
		if err := s.Update(context.Background(), stageOf(i, inserted)); err != nil {
			return err
		}
		fmt.Println("acknowledged")
	}
	return s.Close()
}
