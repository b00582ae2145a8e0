package latchkey_test

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/authtest"
	"example.com/latchkey/hasher"
	"example.com/latchkey/hasher/hashertest"
	"example.com/latchkey/notify"
	"example.com/latchkey/ratelimit"
	"example.com/latchkey/store"
	"example.com/latchkey/store/bbolt"
	"example.com/latchkey/store/memory"
	"example.com/latchkey/store/sqlite"
	"example.com/latchkey/store/storetest"
)

const (
	ada      = "ada@example.org"
	password = "correct horse"
)

// backends are the stores on which every rule is tested.
var backends = []struct {
	name string
	open opener
}{
	{"memory", func(testing.TB, string) (store.Store, error) { return memory.Open(), nil }},
	{"bbolt", func(_ testing.TB, dir string) (store.Store, error) {
		return bbolt.Open(filepath.Join(dir, "test.bolt"))
	}},
	{"sqlite", func(_ testing.TB, dir string) (store.Store, error) { return sqlite.Open(filepath.Join(dir, "test.db")) }},
	{"postgres", openPostgres},
}

// opener opens a store that keeps what it keeps in a folder.
type opener func(t testing.TB, dir string) (store.Store, error)

// kit is one engine on one new store, with a clock that stands still.
type kit struct {
	*testing.T
	*latchkey.Engine
	store *storetest.Counted
	keys  latchkey.Keys
	clock *authtest.Clock
	told  *authtest.Events
	box   *notify.Outbox
	guest *latchkey.Guest
	ctx   context.Context

	raw    store.Store // under the hooks
	hasher *hasher.Hasher
	policy latchkey.Policy
	reach  latchkey.Secret // of the session of reachable
	seen   map[string]bool // lines of the log that logs has returned
	// tampered says that the test has changed rows behind the engine's back.
	tampered bool
}

var testClient = authtest.Client

// onEveryStore runs test on each backend, and once more on memory with every
// closure run twice. With the race detector, which makes SQLite ten times slower,
// SQL is left to the run without it; its own packages have its races.
func onEveryStore(t *testing.T, policy latchkey.Policy, test func(*kit)) {
	t.Helper()
	onStores(t, policy, []string{"sqlite", "postgres"}, test)
}

// oneByOne is onEveryStore for long tests that do nothing at once, where the
// race detector finds nothing: with it, memory is enough.
func oneByOne(t *testing.T, policy latchkey.Policy, test func(*kit)) {
	t.Helper()
	onStores(t, policy, []string{"bbolt", "sqlite", "postgres", "memory-twice"}, test)
}

func onStores(t *testing.T, policy latchkey.Policy, notUnderRace []string, test func(*kit)) {
	t.Helper()
	run := func(name string, open opener) {
		if raceDetector && slices.Contains(notUnderRace, name) {
			return
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, err := open(t, t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			k := newKit(t, s, policy)
			test(k)
		})
	}
	for _, b := range backends {
		run(b.name, b.open)
	}
	run("memory-twice", func(testing.TB, string) (store.Store, error) { return storetest.Twice{Store: memory.Open()}, nil })
}

func newKit(t *testing.T, s store.Store, policy latchkey.Policy) *kit {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	k := &kit{
		T: t, store: storetest.Count(s), keys: latchkey.Keys{Active: latchkey.GenerateKey()}, ctx: ctx,
		clock: authtest.NewClock(), told: new(authtest.Events), box: new(notify.Outbox),
		raw: s, hasher: hashertest.New(t), policy: policy, seen: make(map[string]bool),
	}
	var err error
	k.Engine, err = latchkey.New(k.store, latchkey.Config{
		Keys:    k.keys,
		Policy:  policy,
		Hasher:  k.hasher,
		Now:     k.clock.Now,
		OnEvent: k.told.Record,

		Notifier: k.box, SMS: k.box, RedirectHosts: []string{"app.example.org"},
		Limiter: ratelimit.ReportOnly(ratelimit.NewMemory(0)),
	})
	k.must(err)
	k.guest = k.Guest(testClient)
	t.Cleanup(func() {
		if !k.tampered {
			for _, rule := range k.broken() {
				k.Error("broken: " + rule)
			}
			if c, ok := k.raw.(store.Checker); ok {
				if err := c.Check(k.ctx); err != nil && !errors.Is(err, store.ErrClosed) {
					k.Errorf("check: %v", err)
				}
			}
		}
		cancel()
		k.must(k.Close())
		k.must(s.Close())
	})
	return k
}

func (k *kit) must(err error) {
	k.Helper()
	if err != nil {
		k.Fatal(err)
	}
}

func (k *kit) signUp(email string) *latchkey.User {
	k.Helper()
	user, err := k.guest.CreateAccount(k.ctx, latchkey.NewAccount{Email: email, Password: password, Name: "Ada"})
	k.must(err)
	return user
}

func (k *kit) signIn(email string) (*latchkey.Session, *latchkey.Account) {
	k.Helper()
	session, err := k.guest.CreateEmailPasswordSession(k.ctx, email, password)
	k.must(err)
	account, err := k.guest.Authenticate(k.ctx, session.Secret)
	k.must(err)
	return session, account
}
