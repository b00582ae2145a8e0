package latchkey_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"

	"example.com/latchkey"
	"example.com/latchkey/authtest"
	"example.com/latchkey/hidden"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/internal/pgtest"
	"example.com/latchkey/notify"
	"example.com/latchkey/ratelimit"
	"example.com/latchkey/store"
	"example.com/latchkey/store/memory"
	"example.com/latchkey/store/postgres"
	"example.com/latchkey/store/sqlite"
)

// A key out of a file has a line end, which does not count.
func TestAKeyOutOfAFileIsRead(t *testing.T) {
	key := latchkey.GenerateKey()
	for _, around := range [][2]string{{"", "\n"}, {"", "\r\n"}, {" ", "\t"}, {"\ufeff", "\n"}, {"\n\n", "  "}} {
		if got, err := latchkey.ParseKey(around[0] + key.Reveal() + around[1]); err != nil || got.ID() != key.ID() {
			t.Errorf("%q: %v", around, err)
		}
	}
	text := key.Reveal()
	for _, bad := range []string{"", "\n", text[:20] + "\n" + text[20:], text + " " + text, text + "\x00", "\u200b" + text} {
		if _, err := latchkey.ParseKey(bad); err == nil {
			t.Errorf("%d bytes are taken for a key", len(bad))
		}
	}
}

// The address of an authenticator has one colon in its label, which parts the names of service and
// account, and the issuer of the label is that of the parameter.
func TestTheAddressOfAnAuthenticatorHasOneColon(t *testing.T) {
	for app, want := range map[string]string{
		"Acme: Payroll": "Acme Payroll", "a:b:c": "a b c", ":Acme:": "Acme", "Capa Cloud & Söhne?": "Capa Cloud & Söhne?", "https://auth.example.org/x": "auth.example.org",
		"http://[fd00::1]:3000": "fd00 1", "Acme：全角": "Acme：全角", "50% + more": "50% + more",
	} {
		for _, user := range []latchkey.NewUser{{Email: kit.Ada}, {Phone: kit.Phone}, {Name: "a:b c"}, {Name: "::"}, {Email: "ada+x@example.org"}} {
			engine, err := latchkey.New(memory.Open(), latchkey.Config{Keys: latchkey.Keys{Active: latchkey.GenerateKey()}, App: app, Logger: slog.New(slog.DiscardHandler)})
			if err != nil {
				t.Fatal(err)
			}
			made, err := engine.Users().Create(t.Context(), user)
			if err != nil {
				t.Fatal(err)
			}
			session, err := engine.Users().CreateSession(t.Context(), made.ID)
			if err != nil {
				t.Fatal(err)
			}
			account, err := engine.Guest(authtest.Client).Authenticate(t.Context(), session.Secret.Reveal())
			if err != nil {
				t.Fatal(err)
			}
			authenticator, err := account.CreateMFAAuthenticator(t.Context(), latchkey.NewMFAAuthenticator{})
			if err != nil {
				t.Fatal(err)
			}
			u, err := url.Parse(authenticator.URI.Reveal())
			if err != nil {
				t.Fatal(err)
			}
			issuer, label, _ := strings.Cut(strings.TrimPrefix(u.Path, "/"), ":")
			account0 := strings.Join(strings.Fields(strings.ReplaceAll(user.Email+user.Phone+user.Name, ":", " ")), " ")
			if account0 == "" {
				account0 = made.ID
			}
			if issuer != want || u.Query().Get("issuer") != want || label != account0 || strings.Contains(u.EscapedPath(), "+") && user.Email != "ada+x@example.org" {
				t.Errorf("%q, %+v: %s", app, user, authenticator.URI.Reveal())
			}
			if err := engine.Close(); err != nil {
				t.Error(err)
			}
		}
	}
	for _, app := range []string{":", " : ", ":::"} {
		if _, err := latchkey.New(memory.Open(), latchkey.Config{Keys: latchkey.Keys{Active: latchkey.GenerateKey()}, App: app}); err == nil {
			t.Errorf("%q is taken", app)
		}
	}
}

// A link that is pressed twice in the session of its user tells that the address is verified. A
// guest with a used link learns nothing: the used secret is not kept.
func TestALinkThatIsPressedTwiceSaysThatTheAddressIsVerified(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user := k.SignUp(kit.Ada)
		_, account := k.SignIn(kit.Ada)
		token, err := account.CreateEmailVerification(k.Ctx, kit.VerifyURL)
		k.Must(err)
		m := k.MailOf(token, kit.Ada)
		if err := kit.Err(account.ConfirmEmailVerification(k.Ctx, strings.Repeat("0", 64))); !errors.Is(err, latchkey.ErrInvalidToken) {
			k.Errorf("a wrong link before: %v", err)
		}
		k.Must(kit.Err(account.ConfirmEmailVerification(k.Ctx, m.Secret)))
		for range 2 {
			if err := kit.Err(account.ConfirmEmailVerification(k.Ctx, m.Secret)); !errors.Is(err, latchkey.ErrEmailAlreadyVerified) {
				k.Errorf("in the session: %v", err)
			}
		}
		if err := kit.Err(k.Visitor.ConfirmEmailVerification(k.Ctx, user.ID, m.Secret)); !errors.Is(err, latchkey.ErrInvalidToken) {
			k.Errorf("a guest: %v", err)
		}
		k.Must(kit.Err(account.UpdatePhone(k.Ctx, kit.OwnPhone, kit.Password)))
		k.Must(kit.Err(k.Users().UpdatePhoneVerification(k.Ctx, user.ID, true)))
		if err := kit.Err(account.ConfirmPhoneVerification(k.Ctx, "123456")); !errors.Is(err, latchkey.ErrPhoneAlreadyVerified) {
			k.Errorf("a number: %v", err)
		}
	})
}

// A code that was replaced while its message waited is not sent. The newest one is.
func TestAReplacedCodeIsNotSent(t *testing.T) {
	for name, ask := range kit.Askers {
		t.Run(name, func(t *testing.T) {
			kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
				var down atomic.Bool
				down.Store(true)
				box := new(notify.Mailbox)
				failing := notify.Func(func(ctx context.Context, m notify.Message) error {
					if down.Load() {
						return errors.New("451")
					}
					return box.Notify(ctx, m)
				})
				engine := k.Configured(func(c *latchkey.Config) {
					c.Notifier, c.SMS, c.Limiter = failing, failing, ratelimit.ReportOnly(ratelimit.NewMemory(0))
				})
				var last *latchkey.Token
				for range 3 {
					var err error
					last, err = ask(k, engine.Guest(kit.Client), "")
					k.Must(err)
				}
				for engine.Deliveries().Retried < 3 && k.Ctx.Err() == nil {
					runtime.Gosched()
				}
				down.Store(false)
				k.Must(engine.Close()) // sends the waiting messages
				all := box.All()
				if len(all) != 1 || all[0].ID != last.ID {
					k.Errorf("%d messages, %v", len(all), engine.Deliveries())
				}
				if n := engine.Deliveries(); n.Stale != 2 || n.Sent != 1 || n.Waiting != 0 {
					k.Errorf("%+v", n)
				}
			})
		})
	}
}

// A code goes out within seconds, however many messages another client has asked for.
func TestOneClientHoldsUpNobodyElsesMail(t *testing.T) {
	for name, tarpit := range map[string]string{"one domain": "tarpit.example", "many domains": "tarpit%d.example"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, box := memory.Open(), new(notify.Mailbox)
				mail := notify.Func(func(ctx context.Context, m notify.Message) error {
					if !strings.Contains(m.To, "tarpit") {
						return box.Notify(ctx, m)
					}
					select {
					case <-time.After(9 * time.Second):
					case <-ctx.Done():
					}
					return errors.New("450")
				})
				engine, err := latchkey.New(s, latchkey.Config{Keys: latchkey.Keys{Active: latchkey.GenerateKey()}, Notifier: mail, Logger: slog.New(slog.DiscardHandler)})
				if err != nil {
					t.Fatal(err)
				}
				for n := range 100 {
					domain := tarpit
					if strings.Contains(tarpit, "%d") {
						domain = fmt.Sprintf(tarpit, n)
					}
					if err := kit.Err(engine.Guest(kit.At("192.0.2.1")).CreateEmailToken(t.Context(), latchkey.NewEmailToken{Email: fmt.Sprintf("x%d@%s", n, domain)})); err != nil {
						t.Fatal(err)
					}
				}
				for n := range 10 {
					to := fmt.Sprintf("ada%d@example.org", n)
					if err := kit.Err(engine.Guest(kit.At("198.51.100.7")).CreateEmailToken(t.Context(), latchkey.NewEmailToken{Email: to})); err != nil {
						t.Fatal(err)
					}
					pass(time.Second)
					if all := box.All(); len(all) != n+1 || all[n].To != to {
						t.Errorf("after a second, %d of %d messages", len(all), n+1)
					}
					pass(17 * time.Second)
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				if err := errors.Join(engine.CloseContext(ctx), s.Close()); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// lockFile holds the lock of an SQLite file as another process does.
func lockFile(t *testing.T, path string) (release func()) {
	t.Helper()
	other, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	shell, err := other.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	run := func(text string) {
		t.Helper()
		if _, err := shell.ExecContext(t.Context(), text); err != nil {
			t.Fatal(err)
		}
	}
	run("BEGIN IMMEDIATE")
	return func() {
		run("ROLLBACK")
		if err := errors.Join(shell.Close(), other.Close()); err != nil {
			t.Fatal(err)
		}
	}
}

// openFile opens a new SQLite file.
func openFile(t *testing.T) (string, store.Store) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "app.db")
	s, err := sqlite.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	return path, s
}

// engineOfAda makes an engine over s, with a new key and no log, and Ada, who has a session.
func engineOfAda(t *testing.T, s store.Store, config latchkey.Config) (*latchkey.Engine, *latchkey.Session) {
	t.Helper()
	config.Keys, config.Logger = latchkey.Keys{Active: latchkey.GenerateKey()}, slog.New(slog.DiscardHandler)
	engine, err := latchkey.New(s, config)
	if err != nil {
		t.Fatal(err)
	}
	user, err := engine.Users().Create(t.Context(), latchkey.NewUser{Email: kit.Ada})
	if err != nil {
		t.Fatal(err)
	}
	session, err := engine.Users().CreateSession(t.Context(), user.ID)
	if err != nil {
		t.Fatal(err)
	}
	return engine, session
}

// A check whose use is due to be noted waits for another process for a tenth of a second, and not
// for as long as that holds the file. The use is noted behind the answer.
func TestACheckDoesNotWaitForTheLockOfAnotherProcess(t *testing.T) {
	path, s := openFile(t)
	clock, keys := authtest.NewClock(), latchkey.Keys{Active: latchkey.GenerateKey()}
	engine, err := latchkey.New(s, latchkey.Config{Keys: keys, Now: clock.Now, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	user, err := engine.Users().Create(t.Context(), latchkey.NewUser{Email: kit.Ada})
	if err != nil {
		t.Fatal(err)
	}
	var secrets []string
	for range 3 {
		session, err := engine.Users().CreateSession(t.Context(), user.ID)
		if err != nil {
			t.Fatal(err)
		}
		secrets = append(secrets, session.Secret.Reveal())
	}
	clock.Advance(25 * time.Hour)
	release := lockFile(t, path)
	// The lock is held until every check has answered: one that waited for it would never answer.
	var group sync.WaitGroup
	for range 20 {
		for _, secret := range secrets {
			group.Go(func() {
				if err := kit.Err(engine.Guest(kit.Client).Authenticate(t.Context(), secret)); err != nil {
					t.Error(err)
				}
			})
		}
	}
	group.Wait()
	release()
	if err := engine.Close(); err != nil { // waits for the notes
		t.Fatal(err)
	}
	again, err := latchkey.New(s, latchkey.Config{Keys: keys, Now: clock.Now, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	shown, err := again.Users().Get(t.Context(), user.ID)
	if err != nil || shown.AccessedAt.Before(clock.Now().Add(-time.Hour)) {
		t.Errorf("%v, seen at %v", err, shown.AccessedAt)
	}
	if err := errors.Join(again.Close(), s.Close()); err != nil {
		t.Error(err)
	}
}

// A sweep leaves nothing of deleted users in the log of SQLite.
func TestASweepEmptiesTheLog(t *testing.T) {
	path, s := openFile(t)
	engine, err := latchkey.New(s, latchkey.Config{Keys: latchkey.Keys{Active: latchkey.GenerateKey()}, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	user, err := engine.Users().Create(t.Context(), latchkey.NewUser{Email: "remarkable@example.org", Name: "Remarkable"})
	if err != nil {
		t.Fatal(err)
	}
	if err := engine.Users().Delete(t.Context(), user.ID); err != nil {
		t.Fatal(err)
	}
	if err := kit.Err(engine.Sweep(t.Context())); err != nil {
		t.Fatal(err)
	}
	for _, end := range []string{"", "-wal"} {
		text, err := os.ReadFile(path + end)
		if err != nil || bytes.Contains(text, []byte("emarkable")) {
			t.Errorf("%q: %v, the name is there: %v", end, err, bytes.Contains(text, []byte("emarkable")))
		}
	}
	if err := errors.Join(engine.Close(), s.Close()); err != nil {
		t.Error(err)
	}
}

// The same on PostgreSQL, where another session of the database holds the row of the session.
func TestACheckDoesNotWaitForTheLockOfARow(t *testing.T) {
	address, namespace := pgtest.Shared(t).Address(), pgtest.Namespace()
	s, err := postgres.OpenWith(t.Context(), address, postgres.Options{Namespace: namespace})
	if err != nil {
		t.Fatal(err)
	}
	clock := authtest.NewClock()
	engine, session := engineOfAda(t, s, latchkey.Config{Now: clock.Now, LimiterPerProcess: true})
	clock.Advance(25 * time.Hour)
	other, err := sql.Open("pgx", address)
	if err != nil {
		t.Fatal(err)
	}
	tx, err := other.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.ExecContext(t.Context(), "SELECT 1 FROM "+namespace+".sessions FOR UPDATE"); err != nil {
		t.Fatal(err)
	}
	for range 5 { // the row is held until the checks have answered
		if err := kit.Err(engine.Guest(kit.Client).Authenticate(t.Context(), session.Secret.Reveal())); err != nil {
			t.Error(err)
		}
	}
	if err := errors.Join(tx.Rollback(), other.Close(), engine.Close(), s.Close()); err != nil {
		t.Error(err)
	}
}

// Close does not wait for long for a note that waits for another process.
func TestCloseWaitsForNoNoteOfAUse(t *testing.T) {
	path, s := openFile(t)
	clock, box := authtest.NewClock(), new(notify.Mailbox)
	engine, session := engineOfAda(t, s, latchkey.Config{Now: clock.Now, Notifier: box})
	box.Fail(errors.New("not now"))
	if err := kit.Err(engine.Guest(kit.Client).CreateEmailToken(t.Context(), latchkey.NewEmailToken{Email: kit.Bob})); err != nil {
		t.Fatal(err)
	}
	clock.Advance(25 * time.Hour)
	release := lockFile(t, path)
	if err := kit.Err(engine.Guest(kit.Client).Authenticate(t.Context(), session.Secret.Reveal())); err != nil {
		t.Error(err)
	}
	box.Fail(nil)
	if err := engine.Close(); err != nil { // the lock is held all the time
		t.Errorf("close: %v", err)
	}
	release()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// Only a deletion is held up by a foreign key: in every other operation it is a fault, which the host
// is told of.
func TestAFaultOfTheHostsKeysAtASignUpIsAFault(t *testing.T) {
	path, s := openFile(t)
	engine, err := latchkey.New(s, latchkey.Config{Keys: latchkey.Keys{Active: latchkey.GenerateKey()}, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{
		"CREATE TABLE plans (name TEXT PRIMARY KEY)", "CREATE TABLE members (id TEXT, plan TEXT REFERENCES plans (name))",
		"CREATE TRIGGER joined AFTER INSERT ON users BEGIN INSERT INTO members VALUES (new.id, 'none'); END",
	} {
		if _, err := db.Exec(text); err != nil {
			t.Fatal(err)
		}
	}
	var answer *latchkey.Error
	if err := kit.Err(engine.Users().Create(t.Context(), latchkey.NewUser{Email: kit.Ada})); err == nil || errors.As(err, &answer) || !errors.Is(err, store.ErrReference) {
		t.Errorf("%v", err)
	}
	if err := errors.Join(db.Close(), engine.Close(), s.Close()); err != nil {
		t.Error(err)
	}
}

// A use that is noted behind the answer revives no session that has ended since.
func TestALateNoteRevivesNoSession(t *testing.T) {
	path, s := openFile(t)
	clock, keys, policy := authtest.NewClock(), latchkey.Keys{Active: latchkey.GenerateKey()}, latchkey.Policy{Sessions: latchkey.StrictPolicy().Sessions}
	open := func() *latchkey.Engine {
		engine, err := latchkey.New(s, latchkey.Config{Keys: keys, Now: clock.Now, Policy: policy, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		return engine
	}
	engine := open()
	user, err := engine.Users().Create(t.Context(), latchkey.NewUser{Email: kit.Ada})
	if err != nil {
		t.Fatal(err)
	}
	session, err := engine.Users().CreateSession(t.Context(), user.ID)
	if err != nil {
		t.Fatal(err)
	}
	check := func(engine *latchkey.Engine) error {
		return kit.Err(engine.Guest(kit.Client).Authenticate(t.Context(), session.Secret.Reveal()))
	}
	clock.Advance(policy.Sessions.SingleFactor.Idle - time.Second)
	release := lockFile(t, path)
	if err := check(engine); err != nil {
		t.Errorf("in time: %v", err)
	}
	clock.Advance(5 * time.Second)
	if err := check(engine); !errors.Is(err, latchkey.ErrUnauthorized) {
		t.Errorf("after its time: %v", err)
	}
	release()
	if err := engine.Close(); err != nil { // after the note
		t.Fatal(err)
	}
	engine = open()
	if err := check(engine); !errors.Is(err, latchkey.ErrUnauthorized) {
		t.Errorf("after the note: %v", err)
	}
	if err := errors.Join(engine.Close(), s.Close()); err != nil {
		t.Error(err)
	}
}

// Import takes no recovery code that its user could not give later.
func TestRecoveryCodesOfOddSignsAreRefusedAtTheImport(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		for text, taken := range map[string]bool{
			"0123456789": true, "ABCDE-FGHI-J": true, "ab cd ef 01 23": true, "abc_def.12": false, "ABCDE+FGHI": false, "12345.6789": false, "äöüäö": false, "": false,
		} {
			results, done := imports(k, trusted, the(person(latchkey.PortableUser{
				Email: "new@example.org", Password: hidden.New("$md5$" + md5Hash), RecoveryCodes: []latchkey.PortableRecoveryCode{{Code: hidden.New(text)}},
			})))
			if (done.Refused == 0) != taken {
				k.Errorf("%q: %+v", text, results)
			}
			k.DeleteAll()
		}
	})
}

// A foreign key of the host's that stands in the way of a deletion is a named error. Nothing of the
// user is gone then, and the sweep goes on with others.
func TestAForeignKeyOfTheHostsIsANamedError(t *testing.T) {
	type place struct {
		open    func(t *testing.T) store.Store
		execute func(t *testing.T, text string)
		users   string
	}
	path := filepath.Join(t.TempDir(), "app.db")
	namespace := pgtest.Namespace()
	run := func(driver, address string) func(t *testing.T, text string) {
		return func(t *testing.T, text string) {
			t.Helper()
			db, err := sql.Open(driver, address)
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			if _, err := db.Exec(text); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, p := range map[string]func(t *testing.T) place{
		"sqlite": func(t *testing.T) place {
			return place{func(t *testing.T) store.Store {
				s, err := sqlite.OpenWith(path, sqlite.Options{Prefix: "auth_"})
				if err != nil {
					t.Fatal(err)
				}
				return s
			}, run("sqlite", path+"?_pragma=foreign_keys(1)"), "auth_users"}
		},
		"postgres": func(t *testing.T) place {
			address := pgtest.Shared(t).Address()
			return place{func(t *testing.T) store.Store {
				s, err := postgres.OpenWith(t.Context(), address, postgres.Options{Namespace: namespace})
				if err != nil {
					t.Fatal(err)
				}
				return s
			}, run("pgx", address), namespace + ".users"}
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := p(t)
			s := p.open(t)
			k := kit.New(t, s, kit.Documented)
			hosts := "hosts_" + strings.ReplaceAll(namespace, "-", "_")
			if name == "postgres" {
				hosts = namespace + ".hosts"
			}
			for n, clause := range []string{"", "ON DELETE RESTRICT", "DEFERRABLE INITIALLY DEFERRED"} {
				table := fmt.Sprint(hosts, n)
				p.execute(t, "CREATE TABLE "+table+" (owner TEXT REFERENCES "+p.users+" (id) "+clause+")")
				user := k.SignUp(kit.Ada)
				session, account := k.SignIn(kit.Ada)
				p.execute(t, "INSERT INTO "+table+" VALUES ('"+user.ID+"')")
				before := k.Everything()
				for what, err := range map[string]error{"the server": k.Users().Delete(k.Ctx, user.ID), "the user": account.Delete(k.Ctx)} {
					if !errors.Is(err, latchkey.ErrReferenced) {
						k.Errorf("%q: %s: %v", clause, what, err)
					}
				}
				k.Same("rows", k.Everything(), before)
				k.Must(kit.Err(k.Visitor.Authenticate(k.Ctx, session.Secret.Reveal())))
				p.execute(t, "DELETE FROM "+table)
				k.Must(k.Users().Delete(k.Ctx, user.ID))

				_, first := k.Anonymous()
				_, second := k.Anonymous()
				p.execute(t, "INSERT INTO "+table+" VALUES ('"+first.UserID()+"')")
				k.Clock.Advance(2 * 365 * 24 * time.Hour)
				swept, err := k.Sweep(k.Ctx)
				if err != nil || swept.Users != 1 {
					k.Errorf("%q: %+v, %v", clause, swept, err)
				}
				k.Must(kit.Err(k.Users().Get(k.Ctx, first.UserID())))
				if err := kit.Err(k.Users().Get(k.Ctx, second.UserID())); !errors.Is(err, latchkey.ErrUserNotFound) {
					k.Errorf("%q: %v", clause, err)
				}
				p.execute(t, "DROP TABLE "+table)
				k.Must(k.Users().Delete(k.Ctx, first.UserID()))

				// A foreign key on another table holds up its own rows alone.
				k.SignUp(kit.Ada)
				third, _ := k.SignIn(kit.Ada)
				k.AskCode(kit.Bob)
				p.execute(t, "CREATE TABLE "+table+" (session TEXT REFERENCES "+strings.Replace(p.users, "users", "sessions", 1)+" (id) "+clause+")")
				p.execute(t, "INSERT INTO "+table+" VALUES ('"+third.ID+"')")
				k.Clock.Advance(2 * 365 * 24 * time.Hour)
				if swept, err := k.Sweep(k.Ctx); !errors.Is(err, latchkey.ErrReferenced) || swept.Tokens != 1 {
					k.Errorf("%q, on sessions: %+v, %v", clause, swept, err)
				}
				p.execute(t, "DROP TABLE "+table)
				k.Must(kit.Err(k.Sweep(k.Ctx)))
				k.Must(k.Users().Delete(k.Ctx, k.IDOf(kit.Ada)))
			}
		})
	}
}
