package latchkey_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/notify"
	"example.com/latchkey/ratelimit"
	"example.com/latchkey/store/storetest"
)

// A delivery that is requeued is tried for 72 hours more, with the waits of a new one.
func TestWhatIsRequeuedIsTriedForItsWholeTime(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		e := waiting(k, 1)
		try := func(answer error) *record.Delivery {
			e.failing(func(string, int) error { return answer })
			engine := e.over(quiet, nil)
			e.event()
			k.Must(engine.Close())
			return rowsOfOutbox(k)[0]
		}
		row := try(notify.Permanent(errors.New("no")))
		if row.GivenUp.IsZero() || row.Failures != 1 {
			k.Errorf("%+v", row)
		}
		k.Clock.Advance(100 * time.Hour)
		k.Must(e.over(quiet, outboxless).Requeue(k.Ctx, row.ID))
		if row := try(errors.New("not now")); !row.GivenUp.IsZero() || row.Failures != 1 || !row.Due.Equal(k.Clock.Now().Add(time.Second)) {
			k.Errorf("%+v", row)
		}
		k.Clock.Advance(71 * time.Hour)
		if row := try(errors.New("not now")); !row.GivenUp.IsZero() || row.Failures != 2 {
			k.Errorf("%+v", row)
		}
		k.Clock.Advance(2 * time.Hour)
		if row := try(errors.New("not now")); row.GivenUp.IsZero() || row.Failures != 3 {
			k.Errorf("%+v", row)
		}
	})
}

// The waits grow to an hour, and not beyond, however often a delivery has failed.
func TestAWaitIsAnHourAtMost(t *testing.T) {
	for failures, want := range map[int64]time.Duration{4: 256 * time.Second, 5: 1024 * time.Second, 6: time.Hour, 30: time.Hour, 500: time.Hour} {
		t.Run(fmt.Sprint(failures), func(t *testing.T) {
			kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
				e := waiting(k, 1)
				edit(k, func(_ int, row *record.Delivery) { row.Tries, row.Failures = failures, failures })
				e.failing(func(string, int) error { return errors.New("no") })
				engine := e.over(quiet, nil)
				e.event()
				k.Must(engine.Close())
				if row := rowsOfOutbox(k)[0]; row.Due.Sub(k.Clock.Now()) != want {
					k.Errorf("it waits for %v", row.Due.Sub(k.Clock.Now()))
				}
			})
		})
	}
}

// A row of a process that has died may be requeued and discarded when its time is over, also by an engine
// without an outbox.
func TestARowOfADeadProcessIsRequeuedAndDiscarded(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		e := waiting(k, 2)
		now := k.Clock.Now()
		edit(k, func(_ int, row *record.Delivery) { row.Tries, row.Leased, row.Due = 1, true, now })
		engine := e.over(quiet, outboxless)
		rows := inOrder(rowsOfOutbox(k))
		k.Clock.Advance(time.Minute)
		k.Must(engine.Requeue(k.Ctx, rows[1].ID))
		k.Must(engine.Discard(k.Ctx, rows[0].ID))
		if left := rowsOfOutbox(k); len(left) != 1 || !left[0].Due.Equal(k.Clock.Now()) {
			k.Errorf("%+v", left)
		}
		e.over(quiet, nil)
		e.event()
	})
}

// An id that no delivery can have is refused as such.
func TestIDsThatNoDeliveryHasAreRefused(t *testing.T) {
	k := kit.New(t, kit.Open(t, "memory"), kit.Documented)
	for _, id := range []string{"", "a b", "a/b", "id.", "id.Name", "id.a.b", "id." + strings.Repeat("a", 41), "\xff"} {
		for _, err := range []error{k.Requeue(k.Ctx, id), k.Discard(k.Ctx, id)} {
			if !errors.Is(err, latchkey.ErrArgumentInvalid) {
				t.Errorf("%q: %v", id, err)
			}
		}
	}
}

// An engine without a notifier of a channel leaves the messages of that channel to others.
func TestAnEngineWithoutAChannelLeavesItsMessages(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.Proven()
		e := kept(k, func(c *latchkey.Config) { c.Outbox.Receivers = nil })
		e.failing(func(string, int) error { return errors.New("no") })
		k.Must(kit.Err(k.Visitor.CreatePhoneToken(k.Ctx, "", kit.Phone)))
		k.Must(kit.Err(k.Visitor.CreateEmailToken(k.Ctx, latchkey.NewEmailToken{Email: kit.Ada})))
		e.message()
		e.message()
		e.settled()
		e.failing(nil)
		k.Clock.Advance(time.Second)
		mail := e.over(quiet, func(c *latchkey.Config) { c.SMS = nil })
		if m := e.message(); m.Channel != notify.Email {
			k.Errorf("%+v", m)
		}
		k.Must(mail.Close())
		if rows := rowsOfOutbox(k); len(rows) != 1 || rows[0].Lane != "sms" || rows[0].Tries != 1 {
			k.Errorf("%+v", rows)
		}
		e.over(quiet, nil)
		if m := e.message(); m.Channel != notify.SMS {
			k.Errorf("%+v", m)
		}
	})
}

// A row whose key this process lacks is logged, and left to a process that has the key.
func TestARowWithoutAKeyIsLeftToOthers(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		e := waiting(k, 1)
		k.Logged.Take()
		other := e.engine(func(c *latchkey.Config) { c.Keys = latchkey.Keys{Active: latchkey.GenerateKey()} })
		waits(k, func(rows []*record.Delivery) bool { return rows[0].Failures == 1 })
		if row := rowsOfOutbox(k)[0]; !row.GivenUp.IsZero() || row.Cause != "outbox: the row does not open" {
			k.Errorf("%+v", row)
		}
		if lines := k.Logged.Take(); !slices.ContainsFunc(lines, func(line string) bool { return strings.Contains(line, "does not open") }) {
			k.Errorf("%q", lines)
		}
		k.Must(other.Close())
		k.Clock.Advance(time.Second)
		e.engine(nil)
		if got := e.event(); got.Try != 2 {
			k.Errorf("%+v", got)
		}
	})
}

// The event whose receiver ends its goroutine is given up, and listed with the cause.
func TestTheEventOfAGoexitIsGivenUp(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		e := kept(k, func(c *latchkey.Config) {
			c.Outbox.Receivers[0].Receive = func(context.Context, latchkey.Event) error { runtime.Goexit(); return nil }
		})
		k.Must(kit.Err(k.Users().Create(k.Ctx, latchkey.NewUser{UserID: "ada", Email: kit.Ada})))
		if rows := e.settled(); len(rows) != 1 || rows[0].GivenUp.IsZero() || rows[0].Cause != "receiver: ended its goroutine" {
			k.Errorf("%+v", rows)
		}
	})
}

// A message to nobody costs a row as every other one.
func TestAMessageToNobodyIsInserted(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.Proven()
		e := kept(k, nil)
		var inserted atomic.Int64
		engine := e.over(func(c storetest.Call) error {
			if c.Name == "Insert" && !c.Done {
				inserted.Add(1)
			}
			return nil
		}, func(c *latchkey.Config) { c.Outbox.Receivers = nil })
		cost := func(email string) int64 {
			inserted.Store(0)
			k.Must(kit.Err(engine.Guest(kit.Client).CreateRecovery(k.Ctx, latchkey.NewRecovery{Email: email, URL: kit.RecoverURL})))
			return inserted.Load()
		}
		if known, unknown := cost(kit.Ada), cost("nobody@example.org"); known != unknown {
			k.Errorf("%d rows for a user, %d for nobody", known, unknown)
		}
	})
}

// A row that waits for its first try shows no address in its stream.
func TestTheStreamOfAMessageShowsNoAddress(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		e := kept(k, func(c *latchkey.Config) { c.Outbox.Receivers = nil })
		var streams []string
		e.failing(func(string, int) error {
			for _, row := range rowsOfOutbox(k) {
				streams = append(streams, row.Stream)
			}
			return nil
		})
		k.Must(kit.Err(k.Visitor.CreateEmailToken(k.Ctx, latchkey.NewEmailToken{Email: kit.Ada})))
		e.message()
		e.settled()
		if len(streams) != 1 || streams[0] == "" || strings.Contains(streams[0], "ada") || strings.Contains(streams[0], "example") {
			k.Errorf("%q", streams)
		}
	})
}

// The limits do not hold for notices of changes by the server.
func TestNoticesOfTheServerAreNotLimited(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user := k.Proven()
		e := kept(k, func(c *latchkey.Config) {
			once := ratelimit.Rule{Calls: 1, Window: time.Hour}
			c.Policy.Guessing.Limits = map[string]ratelimit.Rule{"messages": once, "messagesNotices": once, "messagesByClient": once, "messagesBySite": once}
			c.Limiter, c.SMS, c.Outbox.Receivers = ratelimit.NewMemory(0), nil, nil
		})
		for n := range 3 {
			k.Must(kit.Err(k.Users().UpdatePassword(k.Ctx, user.ID, fmt.Sprint("another secret ", n))))
		}
		for range 3 {
			e.message()
		}
	})
}

// The notices that a client causes count for that client, whoever gets them.
func TestNoticesOfAClientAreLimited(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.Proven()
		e := kept(k, func(c *latchkey.Config) {
			c.Policy.Guessing.Limits = map[string]ratelimit.Rule{"messagesByClient": {Calls: 2, Window: time.Hour}, "messagesNotices": {Calls: 1, Window: time.Hour}}
			c.Limiter, c.SMS, c.Outbox.Receivers = ratelimit.NewMemory(0), nil, nil
		})
		_, account := k.SignIn(kit.Ada)
		password := kit.Password
		for n := range 6 {
			next := fmt.Sprint("another secret ", n)
			k.Must(kit.Err(account.UpdatePassword(k.Ctx, latchkey.PasswordUpdate{New: next, Old: password})))
			password = next
		}
		waits(k, func(rows []*record.Delivery) bool { return len(rows) == 0 })
		if n := len(e.messages); n != 3 { // one of them is the reserve of a proven address
			k.Errorf("%d notices", n)
		}
	})
}

// limitsReached makes the rule for messages of a client refuse two clients, and returns the ear of the receiver.
func limitsReached(k *kit.Kit, change func(*latchkey.Config)) *ear {
	k.Helper()
	e := kept(k, func(c *latchkey.Config) {
		once := ratelimit.Rule{Calls: 1, Window: time.Hour}
		c.Policy.Guessing.Limits = map[string]ratelimit.Rule{"messagesByClient": once}
		c.Limiter, c.OnEvent = ratelimit.NewMemory(0), nil
		c.Outbox.Receivers[0].Events = []string{"limits.*.reached"}
		if change != nil {
			change(c)
		}
	})
	for _, ip := range []string{"192.0.2.1", "198.51.100.1"} {
		guest := k.Guest(latchkey.Client{IP: netip.MustParseAddr(ip)})
		k.Must(kit.Err(guest.CreateEmailToken(k.Ctx, latchkey.NewEmailToken{Email: kit.Ada})))
		if _, err := guest.CreateEmailToken(k.Ctx, latchkey.NewEmailToken{Email: kit.Ada}); !errors.Is(err, latchkey.ErrRateLimitExceeded) {
			k.Error(err)
		}
	}
	return e
}

// An event that belongs to no transaction comes out of the outbox as OnEvent gets it.
func TestAReceiverHearsOfLimits(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		e := limitsReached(k, nil)
		for range 2 {
			got := e.event()
			if result, is := got.Payload.(latchkey.LimitResult); !is || result.Operation != "messagesByClient" || got.Name != "limits.messagesByClient.reached" || got.Try != 1 {
				k.Errorf("%+v", got)
			}
		}
	})
}

// Events without a user and a team have no order: they do not hold up one another.
func TestEventsOfNobodyHoldUpNoOther(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		got, release := make(chan latchkey.Event, 10), make(chan struct{})
		limitsReached(k, func(c *latchkey.Config) {
			c.Outbox.Receivers[0].Receive = func(_ context.Context, event latchkey.Event) error {
				got <- event
				<-release
				return nil
			}
		})
		comes(k, func() bool { return len(got) == 2 })
		close(release)
	})
}

// An event that belongs to no transaction and that the store does not take is logged.
func TestAnEventThatIsNotKeptIsLogged(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		e := kept(k, nil)
		var inserts atomic.Bool
		engine := e.over(func(c storetest.Call) error {
			if inserts.Load() && c.Name == "Insert" && c.Inside {
				return kit.ErrDisk
			}
			return nil
		}, func(c *latchkey.Config) {
			c.Policy.Guessing.Limits = map[string]ratelimit.Rule{"messagesByClient": {Calls: 1, Window: time.Hour}}
			c.Limiter = ratelimit.NewMemory(0)
		})
		k.Must(kit.Err(engine.Guest(kit.Client).CreateEmailToken(k.Ctx, latchkey.NewEmailToken{Email: kit.Ada})))
		e.message()
		k.Logged.Take()
		inserts.Store(true)
		_, _ = engine.Guest(kit.Client).CreateEmailToken(k.Ctx, latchkey.NewEmailToken{Email: kit.Ada})
		if lines := k.Logged.Take(); !slices.ContainsFunc(lines, func(line string) bool { return strings.Contains(line, "an event is not kept") }) {
			k.Errorf("%q", lines)
		}
	})
}

// A receiver that is slow does not hold up another one of the same event.
func TestASlowReceiverHoldsUpNoOther(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		release, slow := make(chan struct{}), make(chan string, 100)
		e := kept(k, func(c *latchkey.Config) {
			receive := func(_ context.Context, event latchkey.Event) error {
				slow <- event.Pattern()
				<-release
				return nil
			}
			c.Outbox.Receivers = append([]latchkey.Receiver{{Name: "slow", Receive: receive}}, c.Outbox.Receivers...)
		})
		k.Must(kit.Err(k.Users().Create(k.Ctx, latchkey.NewUser{UserID: "ada", Email: kit.Ada})))
		e.event()
		if got := <-slow; got != "users.*.create" {
			k.Error(got)
		}
		close(release)
	})
}

// An event of a user holds up no event of a team that the same transaction has caused.
func TestTheEventsOfATransactionHoldUpNoOther(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.Must(kit.Err(k.Users().Create(k.Ctx, latchkey.NewUser{UserID: "ada", Email: kit.Ada})))
		team, err := k.Teams().Create(k.Ctx, latchkey.NewTeam{Name: "Engines"})
		k.Must(err)
		k.Must(kit.Err(k.Teams().CreateMembership(k.Ctx, team.ID, latchkey.NewMembership{UserID: "ada"})))
		got, release := make(chan string, 10), make(chan struct{})
		kept(k, func(c *latchkey.Config) {
			c.Outbox.Receivers[0].Receive = func(_ context.Context, event latchkey.Event) error {
				got <- event.Pattern()
				<-release
				return nil
			}
		})
		k.Must(k.Users().Delete(k.Ctx, "ada"))
		comes(k, func() bool { return len(got) == 2 })
		close(release)
		if patterns := []string{<-got, <-got}; !slices.Contains(patterns, "users.*.delete") {
			k.Errorf("%q", patterns)
		}
	})
}

// An event of a team holds up no event of another team.
func TestTheEventsOfATeamHoldUpNoOtherTeam(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		got, release := make(chan string, 10), make(chan struct{})
		kept(k, func(c *latchkey.Config) {
			c.Outbox.Receivers[0].Receive = func(_ context.Context, event latchkey.Event) error {
				got <- event.Pattern()
				<-release
				return nil
			}
		})
		for range 2 {
			k.Must(kit.Err(k.Teams().Create(k.Ctx, latchkey.NewTeam{Name: "Engines"})))
		}
		comes(k, func() bool { return len(got) == 2 })
		close(release)
	})
}

// A message that is given up counts as dropped.
func TestAMessageThatIsGivenUpIsCounted(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		e := kept(k, func(c *latchkey.Config) { c.Outbox.Receivers = nil })
		e.failing(func(string, int) error { return notify.Permanent(&notify.Failure{Stage: "answer", Reason: "550"}) })
		k.Must(kit.Err(k.Visitor.CreateEmailToken(k.Ctx, latchkey.NewEmailToken{Email: kit.Ada})))
		e.message()
		e.settled()
		if n := k.Deliveries(); n.Dropped != 1 || n.Retried != 0 {
			k.Errorf("%+v", n)
		}
	})
}

// The observer hears of each try of a receiver, and of its outcome.
func TestTheObserverHearsOfReceivers(t *testing.T) {
	kit.OneByOne(t, kit.Documented, func(k *kit.Kit) {
		for _, try := range []struct {
			queued  time.Duration // before now
			answer  error
			outcome string
		}{
			{0, errors.New("no"), "again"},
			{73 * time.Hour, errors.New("no"), "dropped"},
			{0, notify.Permanent(errors.New("no")), "dropped"},
			{0, nil, ""},
		} {
			o := new(observer)
			e := &ear{k: k, events: make(chan latchkey.Event, 10)}
			e.failing(func(string, int) error { return try.answer })
			maker := e.over(quiet, func(c *latchkey.Config) {
				c.Outbox.Receivers[0].Receive = func(context.Context, latchkey.Event) error { return errors.New("no") }
			})
			k.Must(kit.Err(maker.Users().Create(k.Ctx, latchkey.NewUser{})))
			k.Must(maker.Close())
			edit(k, func(_ int, row *record.Delivery) {
				row.Failures, row.Queued, row.Due = 0, k.Clock.Now().Add(-try.queued), k.Clock.Now()
			})
			engine := e.over(quiet, func(c *latchkey.Config) { c.Observer = o })
			e.event()
			k.Must(engine.Close())
			o.want(k, latchkey.ObservedDelivery, latchkey.Observation{Name: "ear", Outcome: try.outcome, Count: 1})
			edit(k, func(_ int, row *record.Delivery) { row.ID = "" })
		}
	})
}

// If the places of a receiver are taken between a commit and what follows it, the row is given back, and comes
// when there is a place.
func TestARowWithoutAPlaceIsGivenBack(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		release := make(chan struct{})
		var first atomic.Bool
		var e *ear
		e = kept(k, func(c *latchkey.Config) {
			c.Outbox.Receivers[0].Receive = func(_ context.Context, event latchkey.Event) error {
				if event.UserID != "ada" {
					<-release
				}
				return e.Receive(k.Ctx, event)
			}
			c.OnEvent = func(_ context.Context, event latchkey.Event) {
				if first.Swap(true) {
					return
				}
				for n := range 4 { // before the event of Ada is delivered
					id := fmt.Sprint("u", n)
					if _, err := k.Users().Create(k.Ctx, latchkey.NewUser{UserID: id, Email: id + "@example.org"}); err != nil {
						k.Error(err)
					}
				}
				waits(k, func(rows []*record.Delivery) bool { // until these have the places
					return !slices.ContainsFunc(rows, func(row *record.Delivery) bool { return !row.Leased && row.UserID != "ada" })
				})
			}
		})
		k.Must(kit.Err(k.Users().Create(k.Ctx, latchkey.NewUser{UserID: "ada", Email: kit.Ada})))
		waits(k, func(rows []*record.Delivery) bool {
			return len(rows) == 5 && !slices.ContainsFunc(rows, func(row *record.Delivery) bool {
				return row.Leased != (row.UserID != "ada") || row.Tries == 0 != (row.UserID == "ada")
			})
		})
		e.nothing()
		close(release)
		for range 5 {
			e.event()
		}
	})
}

// A store that panics ends no process: the claim is made again, and the delivery whose end is not noted comes again. The log
// has both.
func TestAPanicOfTheStoreEndsNoProcess(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		e := waiting(k, 1)
		edit(k, func(_ int, row *record.Delivery) { row.Due = k.Clock.Now().Add(time.Minute) })
		k.Logged.Take()
		var claims, ends atomic.Int64
		e.failing(func(_ string, try int) error {
			if try == 1 {
				ends.Store(1)
			}
			return nil
		})
		e.over(func(c storetest.Call) error {
			if !c.Done && c.Name == "List" && !c.Inside && claims.CompareAndSwap(1, 2) || !c.Done && c.Name == "Commit" && ends.CompareAndSwap(1, 2) {
				panic("no store")
			}
			return nil
		}, nil)
		claims.Store(1)
		comes(k, func() bool { return claims.Load() == 2 })
		k.Clock.Advance(time.Minute)
		if got := e.event(); got.Try != 1 {
			k.Errorf("%+v", got)
		}
		var lines []string
		comes(k, func() bool {
			lines = append(lines, k.Logged.Take()...)
			return slices.ContainsFunc(lines, func(line string) bool { return strings.Contains(line, "is not noted") })
		})
		if !slices.ContainsFunc(lines, func(line string) bool { return strings.Contains(line, "the outbox cannot be read") }) {
			k.Errorf("%q", lines)
		}
		k.Clock.Advance(2 * time.Minute)
		if got := e.event(); got.Try != 2 {
			k.Errorf("%+v", got)
		}
	})
}

// An event that this process cannot decode comes again, and the log says why.
func TestAnEventThatIsNotKnownComesAgain(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		e := waiting(k, 1)
		k.Clock.Advance(-time.Minute) // it is not claimed yet
		k.Logged.Take()
		older := e.over(quiet, nil)
		latchkey.ForgetPayloads(older)
		k.Clock.Advance(time.Minute)
		waits(k, func(rows []*record.Delivery) bool { return rows[0].Failures == 1 })
		if row := rowsOfOutbox(k)[0]; !row.GivenUp.IsZero() || !row.Due.Equal(k.Clock.Now().Add(time.Second)) {
			k.Errorf("%+v", row)
		}
		if lines := k.Logged.Take(); !slices.ContainsFunc(lines, func(line string) bool { return strings.Contains(line, "does not know") }) {
			k.Errorf("%q", lines)
		}
		k.Must(older.Close())
		e.nothing()
		k.Clock.Advance(time.Second)
		e.over(quiet, nil)
		e.event()
	})
}

// The host gets its changes in the transaction also if no one else hears of events.
func TestTheHostNeedsNoOnEvent(t *testing.T) {
	onHostStores(t, func(k *kit.Kit, l *ledger) {
		k.Engine = k.Configured(func(c *latchkey.Config) { c.InTransaction, c.OnEvent = l.write, nil })
		k.Must(kit.Err(k.Users().Create(k.Ctx, latchkey.NewUser{UserID: "ada", Email: kit.Ada})))
		k.Same("ledger", l.lines(k), []string{"users.*.create of ada"})
	})
}

// Sweep keeps deliveries that were given up for 30 days, and no longer.
func TestSweepKeepsWhatWasGivenUpForThirtyDays(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		e := waiting(k, 1)
		edit(k, func(_ int, row *record.Delivery) { row.GiveUp("answer: 410", k.Clock.Now()) })
		engine := e.over(quiet, outboxless)
		for _, step := range []struct {
			later time.Duration
			left  int
		}{{30*24*time.Hour - time.Second, 1}, {2 * time.Second, 0}} {
			k.Clock.Advance(step.later)
			swept, err := engine.Sweep(k.Ctx)
			k.Must(err)
			if n := len(rowsOfOutbox(k)); n != step.left || swept.Deliveries != 1-step.left {
				k.Errorf("after %v: %d rows, %+v", step.later, n, swept)
			}
		}
	})
}

// A delivery that was requeued while the clock was ahead is tried for 72 hours from now, and not until then.
func TestSweepBringsTheTimesOfAClockThatWasAheadBack(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		e := waiting(k, 3)
		now := k.Clock.Now()
		ahead := now.Add(365 * 24 * time.Hour)
		edit(k, func(n int, row *record.Delivery) {
			switch n {
			case 0:
				row.Tries, row.Leased, row.Due = 1, true, ahead
			case 1:
				row.Queued = ahead
			default:
				row.Due = now.Add(time.Hour)
			}
		})
		k.Must(kit.Err(e.over(quiet, outboxless).Sweep(k.Ctx)))
		rows := inOrder(rowsOfOutbox(k))
		if !rows[0].Due.Equal(now) || rows[0].Leased || !rows[1].Queued.Equal(now) || !rows[2].Due.Equal(now.Add(time.Hour)) {
			k.Errorf("%+v, %+v, %+v", rows[0], rows[1], rows[2])
		}
	})
}

// Reseal keeps the changes of a row after it was listed.
func TestResealOfTheOutboxDoesNotUndoAChange(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		e := waiting(k, 1)
		keys := latchkey.Keys{Active: latchkey.GenerateKey(), Old: []latchkey.Key{k.Keys.Active}}
		var changes atomic.Int64
		var counts atomic.Bool
		engine := e.over(func(c storetest.Call) error {
			if counts.Load() && c.Name == "Commit" && !c.Done { // the last one is after the look at the outbox
				edit(k, func(_ int, row *record.Delivery) { row.Tries = changes.Add(1) })
			}
			return nil
		}, func(c *latchkey.Config) { c.Keys, c.Outbox = keys, nil })
		counts.Store(true)
		before := rowsOfOutbox(k)[0].Sealed
		k.Must(kit.Err(engine.Reseal(k.Ctx)))
		counts.Store(false)
		if row := rowsOfOutbox(k)[0]; row.Tries == 0 || row.Tries != changes.Load() || bytes.Equal(row.Sealed, before) {
			k.Errorf("%d changes, %+v", changes.Load(), row)
		}
	})
}

// A row that has ended is not held any more, however it has ended.
func TestNothingIsHeldAfterItsEnd(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		e := kept(k, nil)
		e.failing(func(id string, _ int) error {
			if id == "users.*.update.name" {
				return errors.New("no")
			}
			return nil
		})
		k.Must(kit.Err(k.Users().Create(k.Ctx, latchkey.NewUser{UserID: "ada", Email: kit.Ada})))
		k.Must(kit.Err(k.Users().UpdateName(k.Ctx, "ada", "Ada")))
		k.Must(kit.Err(k.Visitor.CreateEmailToken(k.Ctx, latchkey.NewEmailToken{Email: kit.Bob})))
		e.message()
		waits(k, func(rows []*record.Delivery) bool {
			return !slices.ContainsFunc(rows, func(row *record.Delivery) bool { return row.Leased })
		})
		comes(k, func() bool { return latchkey.HeldDeliveries(k.Engine) == 0 })
	})
}
