package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/mod/modfile"
	"golang.org/x/mod/semver"

	"example.com/latchkey/internal/pgtest"
)

// pageTime is the longest time of a page.
const pageTime = 10 * time.Minute

// tree is the tree of this module.
type tree struct{ dir, path string }

// findTree finds the tree from a folder in it.
func findTree(ctx context.Context) (t tree, err error) {
	list := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}\n{{.Path}}")
	list.Stderr = os.Stderr
	text, err := list.Output()
	if err != nil {
		return t, fmt.Errorf("go list -m: %w", err)
	}
	var found bool
	if t.dir, t.path, found = strings.Cut(strings.TrimSpace(string(text)), "\n"); !found || strings.Contains(t.path, "\n") {
		return t, errors.New("the current folder is not in one module")
	}
	return t, nil
}

// runner runs pages.
type runner struct {
	tree
	dir   string // for all its files
	pages int
}

func (r *runner) bin() string { return filepath.Join(r.dir, "bin") }

// buildCommand builds the command latchkey.
func (r *runner) buildCommand(ctx context.Context) error {
	build := exec.CommandContext(ctx, "go", "build", "-o", r.bin()+"/", "./cmd/latchkey")
	build.Dir = r.tree.dir
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("go build ./cmd/latchkey: %w\n%s", err, out)
	}
	return nil
}

// skipped is a step that was left out.
type skipped struct {
	page   string
	line   int
	reason string
}

// result tells of a page that was run.
type result struct {
	blocks  int
	skipped []skipped
}

// running is a page that runs.
type running struct {
	page
	folder string // where it runs
	own    string // for the files of the runner
	env    []string
}

// runPage runs a page in a new folder.
func (r *runner) runPage(ctx context.Context, p page) (done result, err error) {
	ctx, cancel := context.WithTimeout(ctx, pageTime)
	defer cancel()
	r.pages++
	at := filepath.Join(r.dir, strconv.Itoa(r.pages))
	run := &running{page: p, folder: filepath.Join(at, "page"), own: filepath.Join(at, "own")}
	if err := errors.Join(os.MkdirAll(run.folder, 0o755), os.MkdirAll(run.own, 0o755), r.writeModule(run.folder, p.text)); err != nil {
		return done, err
	}
	if run.env, err = r.environment(); err != nil {
		return done, err
	}
	if strings.Contains(p.text, databaseURL) {
		server, err := startPostgres(ctx)
		if err != nil {
			return done, fmt.Errorf("%s: %w", p.name, err)
		}
		defer server.Stop()
		run.env = append(run.env, databaseURL+"="+strings.Replace(server.Address(), "/postgres?", "/"+database+"?", 1))
	}
	for i := range run.steps {
		if why := run.steps[i].leave(); why != "" {
			run.steps[i].kind = omit
			done.skipped = append(done.skipped, skipped{p.name, run.steps[i].line, why})
			continue
		}
		done.blocks++
	}
	if err := run.bash(ctx); err != nil {
		return done, err
	}
	return done, run.compare()
}

// leave returns the reason for leaving a step out, or "".
func (s step) leave() string {
	for _, program := range s.needs {
		if _, err := exec.LookPath(program); err != nil && s.kind == script {
			return program + " is not installed"
		}
	}
	return s.reason
}

// writeModule makes a folder a Go module that requires the tree, and the modules of their own in the
// tree that the page imports. It names every module that these require, so that programs need no other
// command than go run.
func (r *runner) writeModule(folder, page string) error {
	mod, sums, err := r.readModule(".")
	if err != nil {
		return err
	}
	err = errors.Join(mod.AddModuleStmt("page"), mod.AddRequire(r.tree.path, "v0.0.0"), mod.AddReplace(r.tree.path, "", r.tree.dir, ""))
	if err != nil {
		return err
	}
	for _, name := range apart {
		if !strings.Contains(page, `"`+r.tree.path+"/"+name+`"`) {
			continue
		}
		other, otherSums, err := r.readModule(name)
		if err != nil {
			return err
		}
		sums = append(sums, otherSums...)
		path := r.tree.path + "/" + name
		err = errors.Join(requireAll(mod, other), mod.AddRequire(path, "v0.0.0"), mod.AddReplace(path, "", filepath.Join(r.tree.dir, name), ""))
		if err != nil {
			return err
		}
	}
	text, err := mod.Format()
	if err != nil {
		return err
	}
	return errors.Join(os.WriteFile(filepath.Join(folder, "go.mod"), text, 0o644), os.WriteFile(filepath.Join(folder, "go.sum"), sums, 0o644))
}

// apart are the folders of the tree that are modules of their own and that pages may import.
var apart = []string{"otel"}

// readModule reads the files of a module of the tree.
func (r *runner) readModule(folder string) (mod *modfile.File, sums []byte, err error) {
	text, err := os.ReadFile(filepath.Join(r.tree.dir, folder, "go.mod"))
	if err != nil {
		return nil, nil, err
	}
	if mod, err = modfile.Parse("go.mod", text, nil); err != nil {
		return nil, nil, err
	}
	sums, err = os.ReadFile(filepath.Join(r.tree.dir, folder, "go.sum"))
	return mod, sums, err
}

// requireAll adds what another module requires. Of two versions it takes the later one, as go run
// does.
func requireAll(mod, other *modfile.File) error {
	have := make(map[string]string)
	for _, r := range mod.Require {
		have[r.Mod.Path] = r.Mod.Version
	}
	for _, r := range other.Require {
		if semver.Compare(r.Mod.Version, have[r.Mod.Path]) > 0 {
			if err := mod.AddRequire(r.Mod.Path, r.Mod.Version); err != nil {
				return err
			}
		}
	}
	return nil
}

// environment returns the variables for a page: those of this process without the ones that a program
// of the page reads.
func (r *runner) environment() (env []string, err error) {
	for _, v := range os.Environ() {
		name, _, _ := strings.Cut(v, "=")
		if name != databaseURL && !strings.HasPrefix(name, "LATCHKEY_") && !strings.HasPrefix(name, "PG") {
			env = append(env, v)
		}
	}
	port, err := pgtest.FreePort()
	if err != nil {
		return nil, err
	}
	path := r.bin() + string(os.PathListSeparator) + os.Getenv("PATH")
	return append(env, "PATH="+path, "GOWORK=off", "LC_ALL=C.UTF-8", fmt.Sprintf("LISTEN=127.0.0.1:%d", port)), nil
}

// The variable of a page with the address of its database, and the name of the database.
const (
	databaseURL = "DATABASE_URL"
	database    = "app"
)

// startPostgres starts a server of PostgreSQL with an empty database.
func startPostgres(ctx context.Context) (*pgtest.Server, error) {
	if err := addPostgres(); err != nil {
		return nil, err
	}
	server, err := pgtest.Start("fsync=off")
	if err != nil {
		return nil, err
	}
	conn, err := pgx.Connect(ctx, server.Address())
	if err == nil {
		_, err = conn.Exec(ctx, "CREATE DATABASE "+database)
		err = errors.Join(err, conn.Close(ctx))
	}
	if err != nil {
		server.Stop()
		return nil, err
	}
	return server, nil
}

// addPostgres puts the folder of the newest PostgreSQL into PATH, unless its programs are there.
func addPostgres() error {
	if _, err := exec.LookPath("initdb"); err == nil {
		return nil
	}
	folders, _ := filepath.Glob("/usr/lib/postgresql/*/bin") // the pattern is right
	if len(folders) == 0 {
		return errors.New("this page needs initdb and postgres on PATH")
	}
	return os.Setenv("PATH", folders[len(folders)-1]+string(os.PathListSeparator)+os.Getenv("PATH"))
}

// bash runs all scripts of a page. Files are written between them.
func (run *running) bash(ctx context.Context) error {
	var b strings.Builder
	for i, s := range run.steps {
		switch s.kind {
		case script:
			// The numbers of its lines in messages of bash are those of the page.
			text := strings.Repeat("\n", s.line-1) + s.text
			if err := os.WriteFile(run.file(i, filepath.Base(run.name)), []byte(text), 0o644); err != nil {
				return err
			}
			fmt.Fprintf(&b, "exec > %s 2>&1\n. %s\n", quote(run.file(i, "out")), quote(run.file(i, filepath.Base(run.name))))
		case write:
			if err := os.WriteFile(run.file(i, "text"), []byte(s.text), 0o644); err != nil {
				return err
			}
			to := filepath.Join(run.folder, s.file)
			fmt.Fprintf(&b, "mkdir -p %s\ncp %s %s\n", quote(filepath.Dir(to)), quote(run.file(i, "text")), quote(to))
		}
	}
	fmt.Fprintf(&b, "touch %s\n", quote(filepath.Join(run.own, "end")))
	return run.execute(ctx, b.String())
}

// file returns the name of a file of the runner for a step.
func (run *running) file(i int, name string) string {
	dir := filepath.Join(run.own, strconv.Itoa(i))
	_ = os.Mkdir(dir, 0o755) // it may exist; otherwise writing the file fails
	return filepath.Join(dir, name)
}

func quote(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }

// execute runs bash, and ends everything that it has started.
func (run *running) execute(ctx context.Context, text string) error {
	name := filepath.Join(run.own, "script")
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		return err
	}
	bash := exec.CommandContext(ctx, "bash", "-euo", "pipefail", name)
	bash.Dir, bash.Env = run.folder, run.env
	bash.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	end := func() error { return syscall.Kill(-bash.Process.Pid, syscall.SIGKILL) }
	bash.Cancel = end
	err := bash.Run()
	if bash.Process != nil {
		_ = end() // programs in the background
	}
	if ctx.Err() != nil {
		return run.failed(fmt.Errorf("it was stopped: %w", context.Cause(ctx)))
	}
	if err != nil {
		return run.failed(err)
	}
	if _, err := os.Stat(filepath.Join(run.own, "end")); err != nil {
		return run.failed(errors.New("it ended bash"))
	}
	return nil
}

// failed returns the error of the last script that has begun, with its output.
func (run *running) failed(err error) error {
	for i := len(run.steps) - 1; i >= 0; i-- {
		if out, readErr := os.ReadFile(run.file(i, "out")); readErr == nil {
			return fmt.Errorf("%s:%d: this block failed: %w\n%s", run.name, run.steps[i].line, err, out)
		}
	}
	return fmt.Errorf("%s: %w", run.name, err)
}

// compare compares the outputs with those of the page.
func (run *running) compare() (err error) {
	for i, s := range run.steps {
		if s.kind != script || s.want == nil {
			continue
		}
		out, readErr := os.ReadFile(run.file(i, "out"))
		if readErr != nil {
			return readErr
		}
		if got := string(out); !matches(*s.want, got) {
			err = errors.Join(err, fmt.Errorf("%s:%d: the output of this block differs from the page.\n-- the page --\n%s-- the output --\n%s", run.name, s.line, tidy(*s.want), tidy(got)))
		}
	}
	return err
}
