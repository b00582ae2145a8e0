package move_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"

	"example.com/latchkey"
	"example.com/latchkey/hasher/hashertest"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/ratelimit"
	"example.com/latchkey/store"
	"example.com/latchkey/store/move"
)

func newEngine(t testing.TB, s store.Store, key latchkey.Key) *latchkey.Engine {
	t.Helper()
	e, err := latchkey.New(s, latchkey.Config{
		Keys: latchkey.Keys{Active: key}, Hasher: hashertest.New(t), Logger: slog.New(slog.DiscardHandler),
		Limiter: ratelimit.ReportOnly(ratelimit.NewMemory(0)), LimiterPerProcess: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// life is what an engine has acknowledged for one user.
type life struct {
	id      string
	live    string // the secret of a session
	ended   string // of a session that was ended; "" if none was
	claimed string // the secret of a token that was used; "" if none was
	open    string // of one that was not
}

// live makes a user, and goes as far as it can.
func live(ctx context.Context, e *latchkey.Engine, id string) (l life, err error) {
	if _, err := e.Users().Create(ctx, latchkey.NewUser{UserID: id, Email: id + "@example.org", Password: "correct horse"}); err != nil {
		return l, err
	}
	l.id = id
	guest := e.Guest(latchkey.Client{})
	session, err := guest.CreateEmailPasswordSession(ctx, id+"@example.org", "correct horse")
	if err != nil {
		return l, err
	}
	l.live = session.Secret.Reveal()
	other, err := e.Users().CreateSession(ctx, id)
	if err != nil {
		return l, err
	}
	if err := e.Users().DeleteSession(ctx, id, other.ID); err != nil {
		return l, err
	}
	l.ended = other.Secret.Reveal()
	token, err := e.Users().CreateToken(ctx, id, 64, 0)
	if err != nil {
		return l, err
	}
	if _, err := guest.CreateSession(ctx, id, token.Secret.Reveal()); err != nil {
		return l, err
	}
	l.claimed = token.Secret.Reveal()
	if token, err = e.Users().CreateToken(ctx, id, 64, 0); err != nil {
		return l, err
	}
	l.open = token.Secret.Reveal()
	return l, nil
}

// check checks that an engine knows all of it.
func (l life) check(ctx context.Context, e *latchkey.Engine) error {
	guest := e.Guest(latchkey.Client{})
	account, err := guest.Authenticate(ctx, l.live)
	if err != nil {
		return fmt.Errorf("the session of %s: %w", l.id, err)
	}
	if account.UserID() != l.id {
		return fmt.Errorf("the session of %s is of another user", l.id)
	}
	if _, err := guest.Authenticate(ctx, l.ended); !errors.Is(err, latchkey.ErrUnauthorized) {
		return fmt.Errorf("an ended session of %s: %w", l.id, err)
	}
	if _, err := guest.CreateSession(ctx, l.id, l.claimed); !errors.Is(err, latchkey.ErrInvalidToken) {
		return fmt.Errorf("a used token of %s: %w", l.id, err)
	}
	if _, err := guest.CreateSession(ctx, l.id, l.open); err != nil {
		return fmt.Errorf("an open token of %s: %w", l.id, err)
	}
	return nil
}

// lives makes users at once until it is told to end.
type lives struct {
	group sync.WaitGroup
	done  chan struct{}
	began chan struct{} // gets one element for each life that is complete
	mu    sync.Mutex
	all   []life
	errs  []error
}

func startLives(e *latchkey.Engine, workers int) *lives {
	l := &lives{done: make(chan struct{}), began: make(chan struct{})}
	for w := range workers {
		l.group.Go(func() {
			for n := 0; ; n++ {
				one, err := live(context.Background(), e, fmt.Sprintf("user-%d-%d", w, n))
				l.mu.Lock()
				l.all = append(l.all, one)
				if err != nil {
					l.errs = append(l.errs, err)
				}
				l.mu.Unlock()
				select {
				case <-l.done:
					return
				case l.began <- struct{}{}:
				default:
				}
				if err != nil {
					return
				}
			}
		})
	}
	go func() { // so that nothing waits for those that have failed
		l.group.Wait()
		close(l.began)
	}()
	return l
}

// more waits until some more lives are complete.
func (l *lives) more(n int) {
	for range n {
		<-l.began
	}
}

func (l *lives) end() ([]life, error) {
	close(l.done)
	l.group.Wait()
	return l.all, errors.Join(l.errs...)
}

// Users sign up, sign in, sign out and use tokens while their store is moved. After it, the second
// store has everything that was acknowledged, the first one is refused, and no token can be used twice.
func TestAnEngineMovesUnderLoad(t *testing.T) {
	for name, makers := range map[string][2]func(testing.TB, *store.Schema) place{
		"SQLite to PostgreSQL": {inSQLite, inPostgres},
		"bbolt to PostgreSQL":  {inBbolt, inPostgres},
		"PostgreSQL to SQLite": {inPostgres, inSQLite},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx := t.Context()
			from, to := makers[0](t, record.Schema), makers[1](t, record.Schema)
			m := newMove(t, from.Store, to.Store, move.Options{})
			key := latchkey.GenerateKey()
			e := newEngine(t, m, key)
			l := startLives(e, 4)
			l.more(10)
			passes, err := m.Copy(ctx)
			if err != nil {
				t.Fatal(err)
			}
			l.more(10)
			stop, err := m.Switch(ctx)
			if err != nil {
				t.Fatal(err)
			}
			l.more(10)
			all, err := l.end()
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%d users, passes %v, stop %+v", len(all), passes, stop)
			if err := errors.Join(e.Close(), m.Close()); err != nil {
				t.Fatal(err)
			}

			old := reopened(t, from)
			if _, err := latchkey.New(old, latchkey.Config{Keys: latchkey.Keys{Active: key}, LimiterPerProcess: true}); !errors.Is(err, store.ErrMoved) {
				t.Errorf("an engine on the first store: %v", err)
			}
			fresh := reopened(t, to)
			if err := fresh.(store.Checker).Check(ctx); err != nil {
				t.Error(err)
			}
			again := newEngine(t, fresh, key)
			defer again.Close()
			for _, one := range all {
				if err := one.check(ctx, again); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

func reopened(t *testing.T, p place) store.Store {
	t.Helper()
	s, err := p.reopen()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// A process that ends in the middle of a move has its first store as it was, and begins anew with
// another one.
func TestAnInterruptedMoveBeginsAnew(t *testing.T) {
	ctx := t.Context()
	from, first := inSQLite(t, record.Schema), inPostgres(t, record.Schema)
	m := newMove(t, from.Store, first.Store, move.Options{})
	key := latchkey.GenerateKey()
	e := newEngine(t, m, key)
	one, err := live(ctx, e, "ada")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.Copy(ctx); err != nil {
		t.Fatal(err)
	}
	two, err := live(ctx, e, "bob")
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(e.Close(), m.Close()); err != nil {
		t.Fatal(err)
	}

	half := reopened(t, first)
	again, err := from.reopen()
	if err != nil {
		t.Fatal(err)
	}
	m = newMove(t, again, half, move.Options{})
	if _, err := m.Copy(ctx); !errors.Is(err, store.ErrNotEmpty) {
		t.Errorf("a copy to the rest of an earlier one: %v", err)
	}
	m = newMove(t, again, inPostgres(t, record.Schema).Store, move.Options{})
	switched(t, m)
	e = newEngine(t, m, key)
	defer func() {
		if err := errors.Join(e.Close(), m.Close()); err != nil {
			t.Error(err)
		}
	}()
	for _, l := range []life{one, two} {
		if err := l.check(ctx, e); err != nil {
			t.Error(err)
		}
	}
	back := newMove(t, again, inPostgres(t, record.Schema).Store, move.Options{})
	if _, err := back.Copy(ctx); !errors.Is(err, store.ErrMoved) {
		t.Errorf("a move from a store that has moved: %v", err)
	}
	if err := move.Unmark(ctx, again); err != nil {
		t.Fatal(err)
	}
	newEngine(t, again, key).Close()
}
