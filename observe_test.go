package latchkey_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/hasher/hashertest"
	"example.com/latchkey/internal/kit"
)

// observer keeps the observations that it gets.
type observer struct {
	mu   sync.Mutex
	seen []latchkey.Observation
}

func (*observer) Begin(ctx context.Context, _ string) context.Context { return ctx }

func (o *observer) Observe(_ context.Context, seen latchkey.Observation) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.seen = append(o.seen, seen)
}

// of returns the observations of a kind, without times, and forgets all of them.
func (o *observer) of(what latchkey.Observed) (seen []latchkey.Observation) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, s := range o.seen {
		if s.What == what {
			s.Took, s.Waited = 0, 0
			seen = append(seen, s)
		}
	}
	o.seen = nil
	return seen
}

// beginner keeps the names of the operations that begin.
type beginner struct {
	observer
	begun  []string
	checks bool
}

func (b *beginner) Begin(ctx context.Context, name string) context.Context {
	b.begun = append(b.begun, name)
	return ctx
}

func (b *beginner) BeginsChecks() bool { return b.checks }

// Begin hears of the checks of sessions only if the observer asks for that. Observe hears of them anyway.
func TestBeginHearsOfChecksIfItIsToldSo(t *testing.T) {
	for _, checks := range []bool{false, true} {
		k := kit.New(t, kit.Open(t, "memory"), kit.Documented)
		session, account := k.SignIn(k.SignUp(kit.Ada).Email)
		token, err := account.CreateJWT(k.Ctx, 0)
		k.Must(err)
		b := &beginner{checks: checks}
		k.Engine = k.Configured(func(c *latchkey.Config) { c.Observer = b })
		g := k.Guest(kit.Client)
		k.Must(kit.Err(g.Authenticate(k.Ctx, session.Secret.Reveal())))
		k.Must(kit.Err(g.AuthenticateJWT(k.Ctx, token.Reveal())))
		k.Must(kit.Err(k.Users().Get(k.Ctx, session.UserID)))
		want := []string{"get user"}
		if checks {
			want = []string{"authenticate", "authenticate JWT", "get user"}
		}
		k.Same("begun", b.begun, want)
		if seen := b.of(latchkey.ObservedOperation); len(seen) != 3 {
			k.Errorf("%+v", seen)
		}
	}
}

// observed gives the kit an engine with an observer.
func observed(k *kit.Kit, change func(*latchkey.Config)) *observer {
	o := new(observer)
	k.Engine = k.Configured(func(c *latchkey.Config) {
		c.Observer = o
		if change != nil {
			change(c)
		}
	})
	k.Visitor = k.Guest(kit.Client)
	return o
}

func (o *observer) want(k *kit.Kit, what latchkey.Observed, want ...latchkey.Observation) {
	k.Helper()
	for i := range want {
		want[i].What = what
	}
	if got := o.of(what); !slices.Equal(got, want) {
		k.Errorf("%s: %+v, want %+v", what, got, want)
	}
}

func TestTheObserverHearsOfSignIns(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user := k.SignUp("ada@example.org")
		o := observed(k, nil)
		session, err := k.Visitor.CreateEmailPasswordSession(k.Ctx, user.Email, kit.Password)
		k.Must(err)
		o.want(k, latchkey.ObservedSignIn, latchkey.Observation{Name: "email", Count: 1})
		k.Visitor.CreateEmailPasswordSession(k.Ctx, user.Email, "another secret")
		o.want(k, latchkey.ObservedSignIn, latchkey.Observation{Name: "email", Outcome: "user_invalid_credentials", Count: 1})
		k.Visitor.CreateSession(k.Ctx, user.ID, "123456")
		o.want(k, latchkey.ObservedSignIn, latchkey.Observation{Name: "token", Outcome: "user_invalid_token", Count: 1})
		_, err = k.Users().CreateSession(k.Ctx, "nobody")
		if !errors.Is(err, latchkey.ErrUserNotFound) {
			k.Error(err)
		}
		o.want(k, latchkey.ObservedSignIn)
		_, err = k.Users().CreateSession(k.Ctx, user.ID)
		k.Must(err)
		o.want(k, latchkey.ObservedSignIn, latchkey.Observation{Name: "server", Count: 1})
		account, err := k.Visitor.Authenticate(k.Ctx, session.Secret.Reveal())
		k.Must(err)
		k.Must(account.DeleteSessions(k.Ctx))
		o.want(k, latchkey.ObservedSessions, latchkey.Observation{Name: "ended", Count: 1}, latchkey.Observation{Name: "ended", Count: 1})
	})
}

func TestTheObserverHearsOfSessionsThatEndTogether(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user := k.SignUp("ada@example.org")
		o := observed(k, nil)
		for range 3 {
			_, err := k.Users().CreateSession(k.Ctx, user.ID)
			k.Must(err)
		}
		o.want(k, latchkey.ObservedSessions, latchkey.Observation{Name: "created", Count: 1}, latchkey.Observation{Name: "created", Count: 1}, latchkey.Observation{Name: "created", Count: 1})
		k.Must(k.EndAll(k.Ctx))
		o.want(k, latchkey.ObservedSessions, latchkey.Observation{Name: "ended", Count: 3})
	})
}

func TestTheObserverHearsOfRefusalsByRule(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user := k.SignUp("ada@example.org")
		o := observed(k, func(c *latchkey.Config) { c.Policy.Guessing.Limits = nil })
		for range 10 {
			k.Visitor.CreateEmailPasswordSession(k.Ctx, user.Email, "another secret")
		}
		o.of("")
		k.Visitor.CreateEmailPasswordSession(k.Ctx, user.Email, kit.Password)
		seen := o.of(latchkey.ObservedThrottled)
		if len(seen) != 1 || seen[0].Name == "" || seen[0].Count != 1 {
			k.Errorf("%+v", seen)
		}
	})
}

// The observer hears of the time of a hash, and of a hash that found no place in the queue.
func TestTheObserverHearsOfHashes(t *testing.T) {
	kit.OneByOne(t, kit.Documented, func(k *kit.Kit) {
		user := k.SignUp("ada@example.org")
		h := hashertest.New(t)
		o := observed(k, func(c *latchkey.Config) { c.Hasher = h })
		k.Visitor.CreateEmailPasswordSession(k.Ctx, user.Email, kit.Password)
		o.mu.Lock()
		i := slices.IndexFunc(o.seen, func(s latchkey.Observation) bool { return s.What == latchkey.ObservedHash && s.Took > 0 })
		o.mu.Unlock()
		if i < 0 {
			k.Errorf("%+v", o.seen)
		}
		o.want(k, latchkey.ObservedHash, latchkey.Observation{Count: 1})
		ended, cancel := context.WithCancel(k.Ctx)
		release := hashertest.Hold(t, h)
		cancel()
		k.Visitor.CreateEmailPasswordSession(ended, user.Email, kit.Password)
		release()
		for _, s := range o.of(latchkey.ObservedHash) {
			if s.Outcome == "" {
				k.Errorf("%+v", s)
			}
		}
	})
}

// A transaction that runs again counts its runs. One that is rolled back has the type of the answer.
func TestTheObserverHearsOfTransactions(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		o := observed(k, nil)
		o.of("") // those of New
		_, err := k.Users().Create(k.Ctx, latchkey.NewUser{UserID: "ada", Email: "ada@example.org"})
		k.Must(err)
		seen := o.of(latchkey.ObservedTransaction)
		if len(seen) != 1 || seen[0].Count < 1 || strings.HasSuffix(k.Name(), "memory-twice") && seen[0].Count != 2 || seen[0].Outcome != "" {
			k.Errorf("%+v", seen)
		}
		k.Users().Create(k.Ctx, latchkey.NewUser{UserID: "ada", Email: "other@example.org"})
		seen = o.of(latchkey.ObservedTransaction)
		if len(seen) != 1 || seen[0].Outcome != "user_already_exists" {
			k.Errorf("%+v", seen)
		}
	})
}

func TestTheObserverHearsOfDeliveries(t *testing.T) {
	kit.OneByOne(t, kit.Documented, func(k *kit.Kit) {
		o := observed(k, nil)
		_, err := k.Visitor.CreateEmailToken(k.Ctx, latchkey.NewEmailToken{Email: "ada@example.org"})
		k.Must(err)
		k.Must(k.Close())
		o.want(k, latchkey.ObservedDelivery, latchkey.Observation{Name: "email", Count: 1})
	})
}

func TestTheObserverHearsOfSweeps(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		_, err := k.Visitor.CreateAnonymousSession(k.Ctx)
		k.Must(err)
		k.Clock.Advance(2 * 366 * 24 * time.Hour)
		o := observed(k, nil)
		_, err = k.Sweep(k.Ctx)
		k.Must(err)
		gone := 0
		for _, s := range o.of(latchkey.ObservedSweep) {
			gone += s.Count
		}
		if gone == 0 {
			k.Error("nothing is told of")
		}
	})
}

// The clock is read for a few checks of sessions alone. The chance that no check of so many is timed
// is below one in 10^20.
func TestTheObserverHearsOfEveryCheckAndTheTimeOfSome(t *testing.T) {
	kit.OneByOne(t, kit.Documented, func(k *kit.Kit) {
		_, err := k.Users().Create(k.Ctx, latchkey.NewUser{UserID: "ada"})
		k.Must(err)
		o := observed(k, nil)
		session, err := k.Users().CreateSession(k.Ctx, "ada")
		k.Must(err)
		o.of("")
		const checks = 3000
		for range checks {
			_, err := k.Visitor.Authenticate(k.Ctx, session.Secret.Reveal())
			k.Must(err)
		}
		timed := 0
		for _, s := range o.seen {
			if s.Took > 0 {
				timed++
			}
		}
		if len(o.seen) != checks || timed == 0 || timed > checks/10 {
			k.Errorf("%d checks were told of, %d with a time", len(o.seen), timed)
		}
	})
}
