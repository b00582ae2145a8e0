// Package kit holds the common ground of the engine's tests: an engine on a new store
// with a clock that stands still, the stores on which every rule is tested, and the
// first steps of many tests. The packages of tests import it: the root,
// internal/operations and internal/attack. A test binary that uses it has a TestMain
// that calls pgtest.Main, so that its PostgreSQL server ends with it.
package kit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"example.com/latchkey"
	"example.com/latchkey/authtest"
	"example.com/latchkey/hasher"
	"example.com/latchkey/hasher/hashertest"
	"example.com/latchkey/notify"
	"example.com/latchkey/oauth"
	"example.com/latchkey/passkey"
	"example.com/latchkey/ratelimit"
	"example.com/latchkey/store"
	"example.com/latchkey/store/storetest"
)

// Kit is one engine on one new store, with a clock that stands still. It embeds the
// test and the engine, so k.Errorf reports to the test and k.Users() is the engine's.
type Kit struct {
	*testing.T
	*latchkey.Engine
	Store   *storetest.Counted // the engine's store, with hooks and counts
	Keys    latchkey.Keys
	Clock   *authtest.Clock
	Told    *authtest.Events // the events that the engine has sent
	Logged  *Logged          // what the engine has logged
	Box     *notify.Mailbox  // the messages that the engine has sent
	Visitor *latchkey.Guest  // a guest of the engine at [Client]
	// Acme and Other are the providers of the engines of the kit.
	Acme, Other *Provider
	Ctx         context.Context

	Raw    store.Store // the store without the hooks
	Hasher *hasher.Hasher
	Policy latchkey.Policy
	// Tampered means that the test has changed rows without the engine. The rules of
	// the rows are not checked at the end of such a test.
	Tampered bool

	ids   int             // that invented has returned
	reach latchkey.Secret // the secret of the session that [Kit.reachable] uses
	seen  map[string]bool // the lines of the log that Logs has returned before
}

// These are the two users of most tests, Ada and Bob, with their passwords and
// numbers.
const (
	Ada          = "ada@example.org"
	Bob          = "bob@example.org"
	Password     = "correct horse"
	LongPassword = "correct horse battery" // long enough for the strict policy
	Phone        = "+14155550100"
	OwnPhone     = "+14155550102"
)

// Client is the client of [Kit.Visitor].
var Client = authtest.Client

// Page is the page of the host that asks for passkeys, and Passkeys the service of the engines of the kit.
const Page = "https://app.example.org"

// Passkeys is the service as authenticators know it.
var Passkeys = func() *passkey.RelyingParty {
	p, err := passkey.New(passkey.Config{RPID: "example.org", Name: "Example", Origins: []string{Page}})
	if err != nil {
		panic(err)
	}
	return p
}()

// Documented is the zero policy, which behaves as the documents say.
var Documented latchkey.Policy

// New makes a kit on an open store. When the test ends, New checks the rules of the
// rows (see [Kit.Broken]) and closes the engine and the store.
func New(t *testing.T, s store.Store, policy latchkey.Policy) *Kit {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	k := &Kit{
		T: t, Store: storetest.Count(s), Keys: latchkey.Keys{Active: latchkey.GenerateKey()}, Ctx: ctx,
		Clock: authtest.NewClock(), Told: new(authtest.Events), Logged: new(Logged), Box: new(notify.Mailbox),
		Raw: s, Hasher: hashertest.New(t), Policy: policy, seen: make(map[string]bool),
		Acme: NewProvider("acme"), Other: NewProvider("other"),
	}
	var err error
	k.Engine, err = latchkey.New(k.Store, latchkey.Config{
		Keys:    k.Keys,
		Policy:  policy,
		Hasher:  k.Hasher,
		Now:     k.Clock.Now,
		OnEvent: k.Told.Record,
		Logger:  slog.New(k.Logged),

		Notifier: k.Box, SMS: k.Box, RedirectHosts: []string{"app.example.org"}, Providers: []oauth.Provider{k.Acme, k.Other}, Passkeys: Passkeys,
		Limiter: ratelimit.ReportOnly(ratelimit.NewMemory(0)), LimiterPerProcess: true,
	})
	k.Must(err)
	k.Store.Reset() // New has read the keys of the store
	k.Visitor = k.Guest(Client)
	t.Cleanup(func() {
		if !k.Tampered {
			for _, rule := range k.Broken() {
				k.Error("broken: " + rule)
			}
			if c, ok := k.Raw.(store.Checker); ok {
				if err := c.Check(k.Ctx); err != nil && !errors.Is(err, store.ErrClosed) {
					k.Errorf("check: %v", err)
				}
			}
		}
		cancel()
		k.Must(k.Close())
		k.Must(s.Close())
	})
	return k
}

// Must ends the test if there is an error.
func (k *Kit) Must(err error) {
	k.Helper()
	if err != nil {
		k.Fatal(err)
	}
}

// Err drops the result of a call and returns its error. A result beside an error is a
// panic: a host that forgets the error once would show the result, which may be another
// user's. Only the counts of maintenance come with an error.
func Err[T any](result T, err error) error {
	switch any(result).(type) {
	case latchkey.Swept, latchkey.Resealed:
		return err
	}
	if err != nil && !reflect.ValueOf(&result).Elem().IsZero() {
		panic(fmt.Sprintf("a %T came with the error %v", result, err))
	}
	return err
}

// Same reports a difference between two values: results, lines of the log or events.
func (k *Kit) Same(what string, got, want any) {
	k.Helper()
	if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
		k.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// Refuses reports an operation whose error is not want, or that changes a row, writes
// to the log or sends an event.
func (k *Kit) Refuses(what string, want error, do func() error) {
	k.Helper()
	k.Forget()
	before := k.Everything()
	if err := do(); !errors.Is(err, want) {
		k.Errorf("%s: %v, want %v", what, err, want)
	}
	if diff := cmp.Diff(before, k.Everything()); diff != "" {
		k.Errorf("%s changed the store (-before +after):\n%s", what, diff)
	}
	if told := k.Told.Take(); len(told) != 0 {
		k.Errorf("%s was told: %v", what, told)
	}
}

// Eventually waits until check returns no error. It serves tests that count
// goroutines, files or connections, which take a moment to end. After two minutes it
// reports the last error.
func Eventually(t testing.TB, check func() error) {
	t.Helper()
	deadline := time.Now().Add(2 * time.Minute)
	for {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Error(err)
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
}
