package latchkey_test

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/hasher/hashertest"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/notify"
	"example.com/latchkey/store"
	"example.com/latchkey/store/memory"
	"example.com/latchkey/store/storetest"
)

// An error of InTransaction is the host's answer: its outcome is host, or the type of its error.
func TestARefusalOfTheHostIsNoFaultOfTheEngine(t *testing.T) {
	onHostStores(t, func(k *kit.Kit, l *ledger) {
		k.SignUp(kit.Ada)
		o := observed(k, func(c *latchkey.Config) { c.InTransaction = l.write })
		for outcome, refusal := range map[string]error{
			"host":          errors.New("no room in the ledger"),
			"plan_exceeded": &latchkey.Error{Type: "plan_exceeded", Category: latchkey.CategoryForbidden, Message: "The plan has no more seats"},
		} {
			for _, what := range []latchkey.Observed{latchkey.ObservedOperation, latchkey.ObservedTransaction, latchkey.ObservedSignIn} {
				l.refuse = func(latchkey.Event) error { return refusal }
				o.of("")
				if err := kit.Err(k.Visitor.CreateEmailPasswordSession(k.Ctx, kit.Ada, kit.Password)); !errors.Is(err, refusal) {
					k.Error(err)
				}
				seen := o.of(what)
				if n := len(seen); n == 0 || seen[n-1].Outcome != outcome {
					k.Errorf("%s: %+v", outcome, seen)
				}
			}
		}
		l.refuse = func(latchkey.Event) error { panic("no ink") }
		k.Visitor.CreateAnonymousSession(k.Ctx)
		if seen := o.of(latchkey.ObservedOperation); len(seen) != 1 || seen[0].Outcome != "fault" {
			k.Errorf("a panic: %+v", seen)
		}
	})
}

// A panic of the host's store goes through an operation, and counts as a fault.
func TestAPanicOfTheStoreIsToldAsAFault(t *testing.T) {
	k := kit.New(t, kit.Open(t, "memory"), kit.Documented)
	session, _ := k.SignIn(k.SignUp(kit.Ada).Email)
	o := observed(k, nil)
	k.Store.Hook = func(storetest.Call) error { panic("no disk") }
	func() {
		defer func() {
			if v := recover(); v != "no disk" {
				t.Errorf("the operation panics with %v", v)
			}
		}()
		_ = kit.Err(k.Visitor.Authenticate(k.Ctx, session.Secret.Reveal()))
	}()
	k.Store.Hook = nil
	o.want(k, latchkey.ObservedOperation, latchkey.Observation{Name: "authenticate", Outcome: "fault", Count: 1})
}

// inside reports whether its caller runs inside a transaction of an operation.
func inside() bool { return strings.Contains(string(debug.Stack()), "latchkey.commit[...].func1") }

// watch notes which functions of the host's run inside a transaction.
type watch struct {
	mu   sync.Mutex
	seen map[string]bool
}

func (w *watch) note(name string) {
	if inside() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.seen[name] = true
	}
}

func (w *watch) Country(netip.Addr) string { w.note("Locator"); return "de" }

func (w *watch) Begin(ctx context.Context, _ string) context.Context { w.note("Observer"); return ctx }

func (w *watch) Observe(context.Context, latchkey.Observation) { w.note("Observer") }

// watchLog is a handler of a log that notes where it runs.
type watchLog struct {
	slog.Handler
	*watch
}

func (watchLog) Enabled(context.Context, slog.Level) bool { return true }

func (w watchLog) Handle(context.Context, slog.Record) error { w.note("Logger"); return nil }

// Other writes wait for a transaction, so that nothing of the host's runs there but InTransaction.
func TestNothingOfTheHostRunsInsideATransactionButItsOwnPart(t *testing.T) {
	onHostStores(t, func(k *kit.Kit, l *ledger) {
		for _, box := range []*latchkey.Outbox{nil, {}} {
			w := &watch{seen: make(map[string]bool)}
			var fail atomic.Bool
			k.Engine = k.Configured(func(c *latchkey.Config) {
				c.Outbox, c.Locator, c.Observer, c.Logger = box, w, w, slog.New(watchLog{slog.DiscardHandler, w})
				c.OnEvent = func(context.Context, latchkey.Event) { w.note("OnEvent") }
				c.InTransaction = func(context.Context, store.Tx, latchkey.Event) error {
					w.note("InTransaction")
					if fail.Load() {
						panic("no ink")
					}
					return nil
				}
			})
			k.Visitor = k.Guest(kit.Client)
			mail := map[bool]string{true: kit.Ada, false: kit.Bob}[box == nil]
			user := k.SignUp(mail)
			_, account := k.SignIn(mail)
			k.Must(kit.Err(k.Visitor.CreateEmailToken(k.Ctx, latchkey.NewEmailToken{Email: mail})))
			k.Must(kit.Err(k.Visitor.CreateRecovery(k.Ctx, latchkey.NewRecovery{Email: mail, URL: kit.RecoverURL})))
			k.Must(kit.Err(account.CreateEmailVerification(k.Ctx, kit.RecoverURL)))
			k.Must(kit.Err(k.Users().UpdateEmailVerification(k.Ctx, user.ID, true)))
			k.Must(kit.Err(account.UpdateEmail(k.Ctx, "new"+mail, kit.Password)))
			k.Must(kit.Err(account.UpdatePassword(k.Ctx, latchkey.PasswordUpdate{New: kit.FreshPassword, Old: kit.Password})))
			fail.Store(true)
			if err := kit.Err(account.UpdateName(k.Ctx, "Ada L")); !latchkey.IsFault(err) {
				k.Error(err)
			}
			k.Must(k.Close())
			k.Same("functions", w.seen, map[string]bool{"InTransaction": true})
		}
	})
}

// A notice that has failed is tried again after days without a process, and given up only then.
func TestANoticeOutlastsDaysWithoutAProcess(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user := k.Proven()
		alone := func(c *latchkey.Config) { c.Outbox.Receivers, c.SMS = nil, nil }
		e := kept(k, alone)
		e.failing(func(string, int) error { return errors.New("451") })
		k.Must(kit.Err(k.Users().UpdatePassword(k.Ctx, user.ID, kit.FreshPassword)))
		first := e.message()
		if rows := e.settled(); len(rows) != 1 {
			k.Fatalf("%+v", rows)
		}
		k.Clock.Advance(80 * time.Hour)
		k.Engine = e.engine(alone)
		if again := e.message(); again.ID != first.ID || again.Try != 2 {
			k.Errorf("%+v", again)
		}
		waits(k, func(rows []*record.Delivery) bool { return len(rows) == 1 && !rows[0].GivenUp.IsZero() })
	})
}

// The observer hears how long a message and an event have waited since they were asked for, and not how
// long their delivery takes, and of everything that is given up.
func TestTheObserverHearsOfTheOutbox(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		o := new(observer)
		watched := func(c *latchkey.Config) { c.Observer = o }
		e := kept(k, watched)
		k.Must(kit.Err(k.Users().Create(k.Ctx, latchkey.NewUser{UserID: "ada", Email: kit.Ada})))
		e.event()
		waits(k, func(rows []*record.Delivery) bool { return len(rows) == 0 })
		e.failing(func(string, int) error { return &notify.Failure{Stage: "connect", Reason: "refused"} })
		told := func(to string) (seen []latchkey.Observation) {
			o.mu.Lock()
			defer o.mu.Unlock()
			for _, s := range o.seen {
				if s.What == latchkey.ObservedDelivery && s.Name == to {
					seen = append(seen, s)
				}
			}
			return seen
		}
		o.of("")
		k.Must(kit.Err(k.Visitor.CreateEmailToken(k.Ctx, latchkey.NewEmailToken{Email: kit.Ada})))
		k.Must(kit.Err(k.Users().UpdateName(k.Ctx, "ada", "Ada")))
		e.message()
		e.event()
		waits(k, func(rows []*record.Delivery) bool {
			return len(rows) == 2 && rows[0].Failures == 1 && rows[1].Failures == 1
		})
		k.Clock.Advance(10 * time.Minute)
		e.message()
		e.event()
		waits(k, func(rows []*record.Delivery) bool { return rows[0].Failures == 2 && rows[1].Failures == 2 })
		for _, to := range []string{"email", "ear"} {
			comes(k, func() bool { return len(told(to)) == 2 })
			if seen := told(to); seen[0].Waited > 5*time.Minute || seen[1].Waited < 9*time.Minute || seen[1].Waited > 15*time.Minute || seen[1].Outcome != "again" {
				k.Errorf("%s: %+v", to, seen)
			}
		}
		k.Must(k.Close())
		k.Clock.Advance(5 * 24 * time.Hour)
		o.of("")
		k.Engine = k.Configured(watched) // without an outbox
		k.Logged.Take()
		k.Must(kit.Err(k.Sweep(k.Ctx)))
		for _, to := range []string{"email", "ear"} {
			if seen := told(to); len(seen) != 1 || seen[0].Outcome != "dropped" {
				k.Errorf("%s: %+v", to, seen)
			}
		}
		if lines := k.Logged.Take(); len(lines) != 2 || !strings.Contains(lines[0], "is given up") {
			k.Errorf("%q", lines)
		}
	})
}

// bubbled returns an engine over a store, in a bubble.
func bubbled(t *testing.T, s store.Store, keys latchkey.Keys, receive func(context.Context, latchkey.Event) error) *latchkey.Engine {
	t.Helper()
	engine, err := latchkey.New(s, latchkey.Config{
		Keys: keys, LimiterPerProcess: true, Logger: slog.New(slog.DiscardHandler), Hasher: hashertest.New(t),
		Outbox: &latchkey.Outbox{Receivers: []latchkey.Receiver{{Name: "crm", Receive: receive}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return engine
}

// A store that panics for a while ends no process, also not where the engine keeps its deliveries.
func TestAStoreThatPanicsEndsNoProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var down atomic.Bool
		var panics atomic.Int64
		s := &storetest.Hooked{Store: memory.Open(), Hook: func(storetest.Call) error {
			if down.Load() {
				panics.Add(1)
				panic("no disk")
			}
			return nil
		}}
		var taken atomic.Int64
		engine := bubbled(t, s, latchkey.Keys{Active: latchkey.GenerateKey()}, func(context.Context, latchkey.Event) error {
			<-time.After(100 * time.Second)
			taken.Add(1)
			return nil
		})
		if _, err := engine.Users().Create(context.Background(), latchkey.NewUser{UserID: "ada", Email: kit.Ada}); err != nil {
			t.Fatal(err)
		}
		<-time.After(5 * time.Second)
		down.Store(true) // it renews the row meanwhile
		<-time.After(30 * time.Second)
		down.Store(false)
		<-time.After(200 * time.Second)
		if list, err := engine.Undelivered(context.Background()); err != nil || list.Total != 0 || taken.Load() != 1 || panics.Load() < 3 {
			t.Errorf("%+v, %v, %d taken, %d panics", list, err, taken.Load(), panics.Load())
		}
		if err := errors.Join(engine.Close(), s.Close()); err != nil {
			t.Error(err)
		}
	})
}

// Close waits for what the engine does beside its deliveries. Each call of it says how the first one has ended.
func TestCloseWaitsForRowsThatAreGivenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		below := memory.Open()
		var slow atomic.Bool
		s := &storetest.Hooked{Store: below, Hook: func(c storetest.Call) error {
			if slow.Load() && c.Name == "Commit" && !c.Done {
				<-time.After(3 * time.Second)
			}
			return nil
		}}
		keys := latchkey.Keys{Active: latchkey.GenerateKey()}
		refusing := bubbled(t, s, keys, func(context.Context, latchkey.Event) error { return errors.New("no") })
		if _, err := refusing.Users().Create(context.Background(), latchkey.NewUser{UserID: "ada", Email: kit.Ada}); err != nil {
			t.Fatal(err)
		}
		<-time.After(100 * time.Millisecond)
		if err := refusing.Close(); err != nil {
			t.Fatal(err)
		}
		rows := func() (all []*record.Delivery) {
			all, err := record.Outbox.List(context.Background(), below, store.Query{Index: record.Outbox.Primary(), Limit: 10})
			if err != nil {
				t.Fatal(err)
			}
			return all
		}
		damaged := rows()[0]
		damaged.Sealed[len(damaged.Sealed)-1] ^= 1
		if err := below.Update(context.Background(), func(ctx context.Context, tx store.Tx) error { return record.Outbox.Replace(ctx, tx, damaged) }); err != nil {
			t.Fatal(err)
		}
		slow.Store(true)
		other := bubbled(t, s, keys, func(context.Context, latchkey.Event) error { return nil })
		for !rows()[0].Leased { // it finds the row damaged then
			<-time.After(10 * time.Millisecond)
		}
		if err := other.Close(); err != nil {
			t.Error(err)
		}
		if row := rows()[0]; row.Leased || row.GivenUp.IsZero() {
			t.Errorf("%+v", row)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}

// A call of CloseContext beside another one ends with its own context, or with the outcome of the other.
func TestASecondCloseEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, release := memory.Open(), make(chan struct{})
		engine := bubbled(t, s, latchkey.Keys{Active: latchkey.GenerateKey()}, func(context.Context, latchkey.Event) error { <-release; return nil })
		if _, err := engine.Users().Create(context.Background(), latchkey.NewUser{UserID: "ada", Email: kit.Ada}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		first := make(chan error, 1)
		go func() { first <- engine.Close() }()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		began := time.Now()
		if err := engine.CloseContext(ctx); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) > 3*time.Second {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		if err := <-first; err == nil {
			t.Error("a receiver that does not return is not told")
		}
		if err := engine.Close(); err == nil {
			t.Error("a later call says that all went well")
		}
		close(release)
		<-time.After(time.Minute)
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}
