package main

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/rogpeppe/go-internal/testscript"
	bolt "go.etcd.io/bbolt"

	"example.com/latchkey"
	"example.com/latchkey/hasher"
	"example.com/latchkey/hasher/hashertest"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/internal/pgtest"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/notify"
	"example.com/latchkey/store"
	"example.com/latchkey/transfer"
)

// tests runs the tests with the server of PostgreSQL that they share.
type tests struct{ *testing.M }

func (t tests) Run() int { return pgtest.Main(t.M) }

func TestMain(m *testing.M) {
	testscript.Main(tests{m}, map[string]func(){
		"latchkey": func() { os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) },
	})
}

// secrets are texts that no output may hold. Those of people.jsonl are among them.
var secrets = []string{
	"correct horse", "battery staple", "secret-of-the-address",
	"$argon2id$", "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ", "abcdefghjk", "token-of-a-provider",
}

// bench has the values that the scripts of one store share.
type bench struct {
	hasher *hasher.Hasher // fast
	vars   []string
}

// scripts runs the scripts of a folder.
//
//	ok ARGS...        latchkey ARGS succeeds
//	code N ARGS...    latchkey ARGS ends with exit code N
//	seed WHAT         changes the store as a service would
//	same FILE FILE    two exports differ at most in the time of the head
//	mode FILE MODE    the file has the mode
//	var NAME PATTERN  takes a value from the last standard output
func (b *bench) scripts(t *testing.T, dir string) {
	b.hasher = hashertest.New(t)
	files, err := filepath.Glob(filepath.Join(dir, "*.txtar"))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	// The race detector makes SQLite ten times slower. Imports alone have goroutines of their
	// own.
	if kit.RaceDetector {
		files = slices.DeleteFunc(files, func(f string) bool { return filepath.Base(f) != "move.txtar" })
	}
	testscript.Run(t, testscript.Params{
		Files: files,
		Setup: func(e *testscript.Env) error {
			e.Vars = append(e.Vars, b.vars...)
			// The race detector lets each process sleep for a second at its end, unless it is told.
			e.Vars = append(e.Vars, "LATCHKEY_KEY_FILE=app.key", "GORACE=atexit_sleep_ms=0")
			key := latchkey.GenerateKey()
			e.Values["key"] = key
			return errors.Join(
				os.WriteFile(filepath.Join(e.WorkDir, "app.key"), []byte(key.Reveal()+"\n"), 0o600),
				copyFile(filepath.Join(e.WorkDir, "people.jsonl"), "testdata/people.jsonl"),
			)
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"ok":   func(ts *testscript.TestScript, _ bool, args []string) { tool1(ts, 0, args) },
			"code": func(ts *testscript.TestScript, _ bool, args []string) { tool1(ts, number(ts, args[0]), args[1:]) },
			"seed": func(ts *testscript.TestScript, _ bool, args []string) { ts.Check(b.seed(ts, args)) },
			"same": sameExports,
			"mode": func(ts *testscript.TestScript, _ bool, args []string) {
				info, err := os.Stat(ts.MkAbs(args[0]))
				ts.Check(err)
				if got := fmt.Sprintf("%04o", info.Mode().Perm()); got != args[1] {
					ts.Fatalf("the mode is %s", got)
				}
			},
			"var": func(ts *testscript.TestScript, _ bool, args []string) {
				found := regexp.MustCompile(args[1]).FindStringSubmatch(ts.ReadFile("stdout"))
				if found == nil {
					ts.Fatalf("no match")
				}
				ts.Setenv(args[0], found[1])
			},
		},
	})
}

func number(ts *testscript.TestScript, text string) int {
	n, err := strconv.Atoi(text)
	ts.Check(err)
	return n
}

// tool1 runs the command once. Its output must not have a secret.
func tool1(ts *testscript.TestScript, want int, args []string) {
	code := 0
	if err := ts.Exec("latchkey", args...); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			ts.Fatalf("%v", err)
		}
		code = exit.ExitCode()
	}
	if code != want {
		ts.Fatalf("the exit code is %d, not %d", code, want)
	}
	written := ts.ReadFile("stdout") + ts.ReadFile("stderr")
	hidden := append([]string{ts.Value("key").(latchkey.Key).Reveal(), "latchkey1-"}, secrets...)
	for _, secret := range hidden {
		if strings.Contains(written, secret) {
			ts.Fatalf("the output holds a secret: %s", secret)
		}
	}
	if strings.Contains(written, "internal error") {
		ts.Fatalf("the output hides the cause of a fault")
	}
}

// sameExports compares two exports without the times of their heads.
func sameExports(ts *testscript.TestScript, _ bool, args []string) {
	head := regexp.MustCompile(`^({"kind":"latchkey".*"createdAt":")[^"]*`)
	one, other := head.ReplaceAllString(ts.ReadFile(args[0]), "$1"), head.ReplaceAllString(ts.ReadFile(args[1]), "$1")
	if one != other || !strings.Contains(one, `"createdAt":""}`) {
		ts.Fatalf("they differ:\n%s\n%s", one, other)
	}
}

func copyFile(to, from string) error {
	b, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, b, 0o600)
}

// seed changes the store of a script as a service would.
func (b *bench) seed(ts *testscript.TestScript, args []string) error {
	kind, file, _ := strings.Cut(ts.Getenv("LATCHKEY_STORE"), ":")
	path := ts.MkAbs(file)
	switch args[0] {
	case "golden": // a store of an older version, with its key
		from := filepath.Join("../../internal/operations/testdata", args[1])
		name := map[string]string{"bbolt": "test.bolt", "sqlite": "test.db"}[kind]
		return errors.Join(copyFile(path, filepath.Join(from, name)), copyFile(ts.MkAbs("app.key"), filepath.Join(from, "key")))
	case "newer":
		return newer(kind, path)
	case "damaged":
		return damage(kind, path)
	case "held":
		return b.held(ts, kind, path)
	}
	ctx := context.Background()
	p := place{kind: kind, at: path}
	if kind == "postgres" {
		p.at = ts.Getenv("LATCHKEY_STORE")
	}
	s, err := p.opened(ctx)
	if err != nil {
		return err
	}
	engine, err := latchkey.New(s, latchkey.Config{Keys: latchkey.Keys{Active: ts.Value("key").(latchkey.Key)}, Hasher: b.hasher, LimiterPerProcess: true})
	if err == nil {
		err = errors.Join(b.act(ctx, ts, engine, s, args), engine.Close())
	}
	return errors.Join(err, s.Close())
}

// act does one thing that a service does.
func (b *bench) act(ctx context.Context, ts *testscript.TestScript, engine *latchkey.Engine, s store.Store, args []string) error {
	client := latchkey.Client{UserAgent: "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"}
	switch args[0] {
	case "sessions":
		for i := range 2 {
			session, err := engine.Users().CreateSession(ctx, args[1])
			if err != nil {
				return err
			}
			ts.Setenv(fmt.Sprintf("SESSION%d", i+1), session.ID)
			ts.Setenv("SECRET", session.Secret.Reveal())
		}
	case "guesses":
		_, err := engine.Users().Create(ctx, latchkey.NewUser{UserID: "gus", Email: "gus@example.org", Password: "battery staple"})
		if err != nil && !errors.Is(err, latchkey.ErrUserAlreadyExists) {
			return err
		}
		for range 6 { // each engine allows ten in an hour
			if _, err := engine.Guest(client).CreateEmailPasswordSession(ctx, "gus@example.org", "a wrong one"); err == nil {
				return errors.New("a wrong password signs in")
			}
		}
	case "expired":
		return s.Update(ctx, func(ctx context.Context, tx store.Tx) error {
			past := time.Date(2020, 1, 2, 0, 0, 0, 0, time.UTC)
			return errors.Join(
				record.Failures.Insert(ctx, tx, &record.Failure{Purpose: "code", Subject: []byte("x"), Count: 1, Last: past, Expire: past}),
				record.Logs.Insert(ctx, tx, &record.Log{ID: "l", UserKey: "k", Event: "user.create", Created: time.Now().UTC().AddDate(0, 0, -100).Truncate(time.Microsecond)}),
			)
		})
	case "outbox": // a mail that was given up, and one that waits after a failure
		for n, failure := range []error{notify.Permanent(&notify.Failure{Stage: "recipient", Reason: "550"}), &notify.Failure{Stage: "connect", Reason: "timeout"}} {
			if err := b.leave(ctx, ts, s, fmt.Sprintf("MAIL%d", n+1), failure); err != nil {
				return err
			}
		}
	case "signs-in": // the password of an imported or added user is right
		_, err := engine.Guest(client).CreateEmailPasswordSession(ctx, args[1], "correct horse battery")
		return err
	default:
		return fmt.Errorf("no seed %q", args[0])
	}
	return nil
}

// leave leaves a mail in the outbox of a service whose mail server answers with a failure.
func (b *bench) leave(ctx context.Context, ts *testscript.TestScript, s store.Store, name string, failure error) error {
	engine, err := latchkey.New(s, latchkey.Config{
		Keys: latchkey.Keys{Active: ts.Value("key").(latchkey.Key)}, Hasher: b.hasher, LimiterPerProcess: true, Logger: slog.New(slog.DiscardHandler),
		Outbox: new(latchkey.Outbox), Notifier: notify.Func(func(context.Context, notify.Message) error { return failure }),
	})
	if err != nil {
		return err
	}
	token, err := engine.Guest(latchkey.Client{}).CreateEmailToken(ctx, latchkey.NewEmailToken{Email: "ada@example.org"})
	if err == nil {
		ts.Setenv(name, token.ID)
	}
	return errors.Join(err, engine.Close())
}

// newer gives a store the version 99.
func newer(kind, path string) error {
	if kind == "sqlite" {
		db, err := sql.Open("sqlite", path)
		if err != nil {
			return err
		}
		_, err = db.Exec("UPDATE latchkey_version SET version = 99")
		return errors.Join(err, db.Close())
	}
	db, err := bolt.Open(path, 0o600, nil)
	if err != nil {
		return err
	}
	err = db.Update(func(tx *bolt.Tx) error {
		meta := tx.Bucket([]byte("meta"))
		var layout map[string]any
		if err := json.Unmarshal(meta.Get([]byte("schema")), &layout); err != nil {
			return err
		}
		layout["version"] = 99
		b, err := json.Marshal(layout)
		if err != nil {
			return err
		}
		return meta.Put([]byte("schema"), b)
	})
	return errors.Join(err, db.Close())
}

// damage removes an address to which a user refers.
func damage(kind, path string) error {
	if kind == "sqlite" {
		db, err := sql.Open("sqlite", path)
		if err != nil {
			return err
		}
		_, err = db.Exec("DELETE FROM addresses WHERE address = 'ada@example.org'")
		return errors.Join(err, db.Close())
	}
	db, err := bolt.Open(path, 0o600, nil)
	if err != nil {
		return err
	}
	err = db.Update(func(tx *bolt.Tx) error {
		rows := tx.Bucket([]byte("addresses.primary"))
		first, _ := rows.Cursor().First()
		return rows.Delete(first)
	})
	return errors.Join(err, db.Close())
}

// held keeps a store locked until the script ends.
func (b *bench) held(ts *testscript.TestScript, kind, path string) error {
	if kind == "bbolt" {
		db, err := bolt.Open(path, 0o600, nil)
		if err == nil {
			ts.Defer(func() { _ = db.Close() })
		}
		return err
	}
	db, err := sql.Open("sqlite", path)
	if err != nil {
		return err
	}
	ts.Defer(func() { _ = db.Close() })
	db.SetMaxOpenConns(1)
	for _, text := range []string{"PRAGMA locking_mode = EXCLUSIVE", "BEGIN EXCLUSIVE", "UPDATE users SET name = 'x' WHERE 0", "COMMIT"} {
		if _, err := db.Exec(text); err != nil {
			return err
		}
	}
	return nil
}

func TestScripts(t *testing.T) {
	for kind, other := range map[string]string{"bbolt": "sqlite", "sqlite": "bbolt"} {
		t.Run(kind, func(t *testing.T) {
			b := &bench{vars: []string{"KIND=" + kind, "OTHER=" + other, "LATCHKEY_STORE=" + kind + ":app.db"}}
			b.scripts(t, "testdata/script")
		})
	}
}

func TestScriptsOnPostgreSQL(t *testing.T) {
	server := pgtest.Shared(t)
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, server.Address())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	name := pgtest.Namespace()
	if _, err := conn.Exec(ctx, "CREATE DATABASE "+name); err != nil {
		t.Fatal(err)
	}
	address, err := url.Parse(server.Address())
	if err != nil {
		t.Fatal(err)
	}
	address.Path = "/" + name
	plain := address.String()
	address.User = url.UserPassword("latchkey", "secret-of-the-address")
	b := &bench{vars: []string{"KIND=postgres", "PLAIN=" + plain, "LATCHKEY_STORE=" + address.String()}}
	b.scripts(t, "testdata/postgres")
}

func TestProgressIsABarOnATerminalAndALineElsewhere(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for live, want := range map[bool]string{
		true:  "[###############...............] import: 1 records, 50%\r\x1b[K[##############################] import: 2 records, 100%\r\x1b[K",
		false: "import: 1 records, 50%\n",
	} {
		var out bytes.Buffer
		p := &progress{to: &out, what: "import", live: live, now: func() time.Time { return now }, last: now}
		p.show(1, 4, "0 records") // too early
		now = now.Add(linePause)
		p.show(2, 4, "1 records")
		now = now.Add(barPause)
		p.show(4, 4, "2 records")
		p.end()
		if out.String() != want {
			t.Errorf("live %v: %q", live, out.String())
		}
	}
	(&progress{now: time.Now}).show(1, 2, "nothing with -json")
}

// A file may grow while it is read, and JSON has no progress.
func TestProgressStaysWithinItsTotal(t *testing.T) {
	var out strings.Builder
	later := time.Now().Add(time.Hour)
	p := (&tool{errs: &out}).newProgress("import")
	p.now = func() time.Time { return later }
	p.show(3, 2, "5 records")
	if got, want := out.String(), "import: 5 records, 100%\n"; got != want {
		t.Errorf("%q", got)
	}
	if got, want := bar(3, 2), "["+strings.Repeat("#", 30)+"]"; got != want {
		t.Errorf("%q", got)
	}
	out.Reset()
	p = (&tool{errs: &out, json: true}).newProgress("import")
	p.now = func() time.Time { return later }
	p.show(1, 2, "5 records")
	if out.Len() > 0 {
		t.Errorf("with -json: %q", out.String())
	}
}

// hiddenFault is a fault as the engine tells it.
type hiddenFault struct{ cause error }

func (f hiddenFault) Error() string { return "latchkey: list users: internal error" }
func (f hiddenFault) Unwrap() error { return f.cause }

// The operator sees reasons that the service hides from its users.
func TestAFaultIsToldWithItsCause(t *testing.T) {
	if got, want := explain(errors.Join(hiddenFault{errors.New("the disk is full")}, errors.New("not closed"))), "the disk is full. not closed"; got != want {
		t.Errorf("%q", got)
	}
}

func TestAProviderNeedsItsNameInTheSource(t *testing.T) {
	s := &source{options: transfer.Options{Providers: map[string]transfer.Provider{}}}
	for text, ok := range map[string]bool{"a=b,c": true, "a=": true, "": false, "a": false, "=": false, "=b,c": false, "a=b": false, "a=b,": false, "a=,c": false} {
		if err := s.provider(text); (err == nil) != ok {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// A refused record may have any id, and no terminal obeys it.
func TestARefusalIsPlain(t *testing.T) {
	r := refusal{Line: 7, Kind: "user", ID: "a\x1b[2J", Reason: "b\x1b[2J\r"}
	if got, want := r.String(), "line 7: user a?[2J: b?[2J?"; got != want {
		t.Errorf("%q", got)
	}
}

// A refused record does not stand behind a bar.
func TestARefusalTakesThePlaceOfTheBar(t *testing.T) {
	var out strings.Builder
	in := &importing{tool: &tool{errs: &out}, progress: &progress{to: &out, live: true, shown: true}}
	in.refuse(refusal{Line: 7, Kind: "user", ID: "ada", Reason: "it is torn"})
	if got, want := out.String(), "\r\x1b[Kline 7: user ada: it is torn\n"; got != want {
		t.Errorf("%q", got)
	}
}

// The package comment is the manual.
func TestPackageCommentNamesEveryCommandAndFlag(t *testing.T) {
	text, err := os.ReadFile("main.go")
	if err != nil {
		t.Fatal(err)
	}
	manual, _, _ := strings.Cut(string(text), "\npackage main")
	flags := 0
	for _, c := range commands {
		if !strings.Contains(manual, "latchkey "+c.name) && !strings.Contains(manual, " "+c.name+"\n") {
			t.Errorf("%s is not in the package comment", c.name)
		}
		fs := newFlags(c.name)
		(&tool{}).globals(fs)
		c.setup(fs)
		fs.VisitAll(func(f *flag.Flag) {
			flags++
			if !regexp.MustCompile(`[ ,(]-` + f.Name + `\b`).MatchString(manual) {
				t.Errorf("the flag -%s of %s is not in the package comment", f.Name, c.name)
			}
		})
	}
	if flags < 8*len(commands) {
		t.Errorf("%d flags were looked for", flags)
	}
}

func TestAFileThatIsNotCompleteLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "old.txt")
	if err := os.WriteFile(name, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	broken := errors.New("broken")
	err := (&tool{yes: true}).write(context.Background(), name, func(w io.Writer) error {
		_, err := io.WriteString(w, "half")
		return errors.Join(err, broken)
	})
	kept, readErr := os.ReadFile(name)
	entries, dirErr := os.ReadDir(dir)
	if !errors.Is(err, broken) || string(kept) != "old" || len(entries) != 1 || readErr != nil || dirErr != nil {
		t.Errorf("%v, %q, %v, %v, %v", err, kept, entries, readErr, dirErr)
	}
}

func TestAQuestionEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	wait := make(chan struct{})
	defer close(wait)
	if _, err := awaited(ctx, func() (none struct{}, err error) { <-wait; return none, nil }); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
