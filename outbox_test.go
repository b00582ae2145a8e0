package latchkey_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/hidden"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/notify"
	"example.com/latchkey/query"
	"example.com/latchkey/ratelimit"
	"example.com/latchkey/store"
	"example.com/latchkey/store/storetest"
)

func TestWhatIsCommittedLeavesTheOutbox(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		e := kept(k, nil)
		user, err := k.Users().Create(k.Ctx, latchkey.NewUser{Email: kit.Ada, Password: kit.Password})
		k.Must(err)
		token, err := k.Visitor.CreateMagicURLToken(k.Ctx, latchkey.NewMagicURLToken{Email: kit.Ada, URL: "https://app.example.org/in", Phrase: true})
		k.Must(err)
		if got := e.event(); got.Pattern() != "users.*.create" || got.Try != 1 || got.Payload.(*latchkey.User).ID != user.ID || !got.Payload.(*latchkey.User).EmailIsCanonical {
			k.Errorf("%+v", got)
		}
		m := e.message()
		if m.ID != token.ID || m.Try != 1 || m.Phrase != token.Phrase || m.Client.IP != kit.Client.IP || !strings.Contains(m.Link.Reveal(), m.Secret.Reveal()) {
			k.Errorf("%+v", m)
		}
		k.Must(kit.Err(k.Visitor.CreateSession(k.Ctx, m.UserID, m.Secret.Reveal())))
		waits(k, func(rows []*record.Delivery) bool { return len(rows) == 0 })
		e.empties()
	})
}

// The messages and events of a transaction that is rolled back are not in the outbox.
func TestWhatIsRolledBackDoesNotLeave(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user := k.Proven()
		e := kept(k, nil)
		if _, err := k.Users().Create(k.Ctx, latchkey.NewUser{UserID: user.ID, Email: kit.Bob}); !errors.Is(err, latchkey.ErrUserAlreadyExists) {
			k.Error(err)
		}
		var failing atomic.Bool
		s := &storetest.Hooked{Store: k.Raw, Hook: func(c storetest.Call) error {
			if failing.Load() && c.Name == "Commit" && !c.Done {
				return errors.New("no commit")
			}
			return nil
		}}
		engine, err := latchkey.New(s, latchkey.Config{
			Keys: k.Keys, LimiterPerProcess: true, Now: k.Clock.Now, Notifier: e, RedirectHosts: []string{"app.example.org"}, Logger: slog.New(slog.DiscardHandler),
			Outbox: &latchkey.Outbox{Receivers: []latchkey.Receiver{{Name: "ear", Receive: e.Receive}}},
		})
		k.Must(err)
		failing.Store(true)
		if _, err := engine.Guest(kit.Client).CreateRecovery(k.Ctx, latchkey.NewRecovery{Email: kit.Ada, URL: kit.RecoverURL}); !latchkey.IsFault(err) {
			k.Error(err)
		}
		k.Must(engine.Close())
		e.empties()
		e.nothing()
	})
}

// The row shows neither the address nor the code.
func TestTheOutboxIsSealed(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		e := kept(k, nil)
		e.failing(func(string, int) error { return errors.New("later") })
		k.Must(kit.Err(k.Visitor.CreateEmailToken(k.Ctx, latchkey.NewEmailToken{Email: kit.Ada})))
		m := e.message()
		rows := e.settled()
		if len(rows) != 1 || m.Code() == "" {
			k.Fatalf("%d rows", len(rows))
		}
		for _, v := range record.Outbox.Row(rows[0]).Values() {
			if (v.Kind() == store.KindText || v.Kind() == store.KindBytes) && (strings.Contains(v.Text(), kit.Ada) || strings.Contains(v.Text(), m.Code()) || strings.Contains(v.Text(), "example")) {
				k.Errorf("the row shows %q", v.Text())
			}
		}
	})
}

// A delivery that has failed comes again after its wait, with the same id and the next number.
func TestADeliveryThatFailedComesAgain(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		e := kept(k, nil)
		e.failing(func(_ string, try int) error {
			if try < 4 {
				return &notify.Failure{Stage: "connect", Reason: "refused"}
			}
			return nil
		})
		k.Must(kit.Err(k.Users().Create(k.Ctx, latchkey.NewUser{Email: kit.Ada})))
		k.Must(kit.Err(k.Visitor.CreateEmailToken(k.Ctx, latchkey.NewEmailToken{Email: kit.Bob})))
		event, message := e.event(), e.message()
		for try, wait := range []time.Duration{time.Second, 4 * time.Second, 16 * time.Second} {
			waits(k, func(rows []*record.Delivery) bool {
				for _, row := range rows {
					if row.Leased || int(row.Failures) != try+1 || row.Cause != "connect: refused" || !row.Due.Equal(k.Clock.Now().Add(wait)) {
						return false
					}
				}
				return len(rows) == 2
			})
			e.nothing()
			k.Clock.Advance(wait)
			if again := e.event(); again.ID != event.ID || again.Try != try+2 {
				k.Errorf("%+v", again)
			}
			if again := e.message(); again.ID != message.ID || again.Try != try+2 || again.Code() != message.Code() {
				k.Errorf("%+v, try %d", again, again.Try)
			}
		}
		e.empties()
	})
}

// The first failure of a receiver is in the log at once, with its stage and its reason.
func TestTheFirstFailureOfAReceiverIsLogged(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		var log bytes.Buffer
		e := kept(k, func(c *latchkey.Config) { c.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
		e.failing(func(string, int) error { return &notify.Failure{Stage: "connect", Reason: "refused"} })
		for _, id := range []string{"ada", "bob"} {
			k.Must(kit.Err(k.Users().Create(k.Ctx, latchkey.NewUser{UserID: id, Email: id + "@example.org"})))
			e.event()
		}
		e.settled()
		if text := log.String(); strings.Count(text, "an event is not taken") != 1 || !strings.Contains(text, "receiver=ear stage=connect reason=refused") || strings.Contains(text, "example.org") {
			k.Error(text)
		}
	})
}

// A permanent failure, a panic and 72 hours end the tries. An event that was given up is listed, and is
// delivered if the host requeues it.
func TestWhatIsGivenUpIsListedAndRequeued(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		e := kept(k, nil)
		e.failing(func(id string, _ int) error {
			switch id {
			case "users.*.create":
				return notify.Permanent(&notify.Failure{Stage: "answer", Reason: "410"})
			case "users.*.update.name":
				panic("no ear")
			}
			return errors.New("odd")
		})
		for n, name := range []string{"one", "two"} {
			k.Must(kit.Err(k.Users().Create(k.Ctx, latchkey.NewUser{UserID: name, Email: fmt.Sprintf("u%d@example.org", n)})))
		}
		k.Must(kit.Err(k.Users().UpdateName(k.Ctx, "two", "Two")))
		k.Must(kit.Err(k.Users().UpdateLabels(k.Ctx, "one", []string{"vip"})))
		for range 4 {
			e.event()
		}
		waits(k, func(rows []*record.Delivery) bool {
			return !slices.ContainsFunc(rows, func(row *record.Delivery) bool { return row.Leased })
		})
		k.Clock.Advance(73 * time.Hour)
		e.event()
		waits(k, func(rows []*record.Delivery) bool {
			return !slices.ContainsFunc(rows, func(row *record.Delivery) bool { return row.GivenUp.IsZero() })
		})
		list, err := k.Undelivered(k.Ctx, query.IsNotNull("givenUpAt"))
		k.Must(err)
		causes := make(map[string]int)
		for _, u := range list.Undelivered {
			causes[u.Kind+": "+u.Cause]++
			if u.To != "ear" || u.UserID != "one" && u.UserID != "two" || u.Tries == 0 || u.GivenUpAt.IsZero() || !u.Due.IsZero() {
				k.Errorf("%+v", u)
			}
		}
		k.Same("causes", causes, map[string]int{"users.*.create: answer: 410": 2, "users.*.update.name: receiver: panicked": 1, "users.*.update.labels: failed": 1})
		page, err := k.Undelivered(k.Ctx, query.Equal("to", "ear"), query.CursorAfter(list.Undelivered[0].ID), query.Limit(2))
		k.Must(err)
		if len(page.Undelivered) != 2 || page.Undelivered[0].ID != list.Undelivered[1].ID {
			k.Errorf("after the first one: %+v", page.Undelivered)
		}
		if other, err := k.Undelivered(k.Ctx, query.Equal("to", "email")); err != nil || other.Total != 0 {
			k.Errorf("%+v, %v", other, err)
		}
		k.Refuses("no id", latchkey.ErrQueryInvalid, func() error { return kit.Err(k.Undelivered(k.Ctx, query.CursorAfter("a b"))) })
		e.failing(nil)
		again := list.Undelivered[0]
		k.Must(k.Requeue(k.Ctx, again.ID))
		if event := e.event(); event.ID+".ear" != again.ID || event.Try != again.Tries+1 {
			k.Errorf("%+v, %+v", event, again)
		}
		waits(k, func(rows []*record.Delivery) bool { return len(rows) == 3 })
		k.Must(k.Discard(k.Ctx, list.Undelivered[1].ID))
		k.Refuses("one that is gone", latchkey.ErrDeliveryNotFound, func() error { return k.Discard(k.Ctx, list.Undelivered[1].ID) })
		k.Refuses("an unknown one", latchkey.ErrDeliveryNotFound, func() error { return k.Requeue(k.Ctx, "nothing") })
		waits(k, func(rows []*record.Delivery) bool { return len(rows) == 2 })
		k.Clock.Advance(30*24*time.Hour + time.Second)
		swept, err := k.Sweep(k.Ctx)
		k.Must(err)
		if swept.Deliveries != 2 {
			k.Errorf("%+v", swept)
		}
		e.empties()
	})
}

// A code that was replaced, was used or has run out is not sent, however long its message has waited.
func TestACodeThatServesNoLongerIsNotSent(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		e := kept(k, nil)
		e.failing(func(id string, _ int) error {
			if strings.HasPrefix(id, "users.") {
				return nil
			}
			return errors.New("451")
		})
		failed := func(n int) {
			k.Helper()
			waits(k, func(rows []*record.Delivery) bool {
				return len(rows) == n && !slices.ContainsFunc(rows, func(row *record.Delivery) bool { return row.Failures != 1 })
			})
		}
		k.Must(kit.Err(k.Visitor.CreateEmailToken(k.Ctx, latchkey.NewEmailToken{Email: kit.Ada})))
		replaced := e.message()
		failed(1)
		k.Must(kit.Err(k.Visitor.CreateEmailToken(k.Ctx, latchkey.NewEmailToken{Email: kit.Ada})))
		used := e.message()
		failed(2)
		k.Must(kit.Err(k.Visitor.CreateSession(k.Ctx, used.UserID, used.Code())))
		for e.event().Pattern() != "users.*.sessions.*.create" {
		}
		k.Clock.Advance(2 * time.Second) // the codes of both have time left
		waits(k, func(rows []*record.Delivery) bool {
			return !slices.ContainsFunc(rows, func(row *record.Delivery) bool { return row.ID == replaced.ID || row.ID == used.ID })
		})
		k.Must(kit.Err(k.Visitor.CreateMagicURLToken(k.Ctx, latchkey.NewMagicURLToken{Email: kit.Bob})))
		late := e.message()
		waits(k, func(rows []*record.Delivery) bool {
			return slices.ContainsFunc(rows, func(row *record.Delivery) bool { return row.ID == late.ID && row.Failures == 1 })
		})
		e.failing(nil)
		k.Clock.Advance(2 * time.Hour)
		waits(k, func(rows []*record.Delivery) bool {
			return !slices.ContainsFunc(rows, func(row *record.Delivery) bool {
				return row.ID == replaced.ID || row.ID == used.ID || row.ID == late.ID
			})
		})
		select {
		case m := <-e.messages:
			k.Errorf("%v is sent, try %d", m.Kind, m.Try)
		default:
		}
	})
}

// The events of a user come in their order: one that fails holds up those after it, and nothing of
// other users.
func TestTheEventsOfAUserComeInTheirOrder(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		for _, id := range []string{"ada", "bob"} {
			k.Must(kit.Err(k.Users().Create(k.Ctx, latchkey.NewUser{UserID: id, Email: id + "@example.org"})))
		}
		e := kept(k, nil)
		var down atomic.Bool
		down.Store(true)
		e.failing(func(id string, try int) error {
			if down.Load() && id == "users.*.update.labels" {
				return errors.New("not now")
			}
			return nil
		})
		k.Must(kit.Err(k.Users().UpdateLabels(k.Ctx, "ada", []string{"vip"})))
		if e.event().Pattern() != "users.*.update.labels" {
			k.Error("another event")
		}
		for n := range 5 {
			k.Must(kit.Err(k.Users().UpdateName(k.Ctx, "ada", fmt.Sprint("Ada ", n))))
		}
		for n := range 3 {
			k.Must(kit.Err(k.Users().UpdateName(k.Ctx, "bob", fmt.Sprint("Bob ", n))))
			if got := e.event(); got.Payload.(*latchkey.User).Name != fmt.Sprint("Bob ", n) {
				k.Errorf("%+v", got)
			}
		}
		e.nothing()
		down.Store(false)
		waits(k, func(rows []*record.Delivery) bool {
			return slices.ContainsFunc(rows, func(row *record.Delivery) bool { return row.Failures == 1 && !row.Leased })
		})
		k.Clock.Advance(time.Second)
		if got := e.event(); got.Pattern() != "users.*.update.labels" || got.Try != 2 {
			k.Errorf("%+v", got)
		}
		for n := range 5 {
			if got := e.event(); got.Payload.(*latchkey.User).Name != fmt.Sprint("Ada ", n) {
				k.Errorf("%d: %+v", n, got.Payload)
			}
		}
		e.empties()
	})
}

// A message that waits after a failure does not hold up a newer one to the same address.
func TestAMessageThatFailedHoldsUpNoOther(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		e := kept(k, nil)
		e.failing(func(id string, _ int) error {
			if id == string(notify.MagicURL) {
				return errors.New("451")
			}
			return nil
		})
		k.Must(kit.Err(k.Visitor.CreateMagicURLToken(k.Ctx, latchkey.NewMagicURLToken{Email: kit.Ada})))
		k.Must(kit.Err(k.Visitor.CreateEmailToken(k.Ctx, latchkey.NewEmailToken{Email: kit.Ada})))
		first, second := e.message(), e.message()
		if first.Kind != notify.MagicURL || second.Kind != notify.EmailOTP {
			k.Errorf("%v, %v", first.Kind, second.Kind)
		}
	})
}

// A process that dies leaves its rows to others, which take them when its time is over, and not before.
func TestAnotherProcessTakesTheRowsOfADeadOne(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		e := kept(k, nil)
		stuck, release := make(chan struct{}), make(chan struct{})
		e.failing(func(string, int) error {
			close(stuck)
			<-release
			return nil
		})
		k.Must(kit.Err(k.Users().Create(k.Ctx, latchkey.NewUser{UserID: "ada", Email: kit.Ada})))
		<-stuck
		e.failing(nil)
		if err := k.Requeue(k.Ctx, rowsOfOutbox(k)[0].ID); !errors.Is(err, latchkey.ErrDeliveryUnderWay) {
			k.Error(err)
		}
		e.engine(nil)
		k.Clock.Advance(89 * time.Second)
		k.Must(kit.Err(k.Users().UpdateName(k.Ctx, "ada", "Ada"))) // wakes the lane
		e.nothing()
		k.Clock.Advance(2 * time.Second)
		if got := e.event(); got.Pattern() != "users.*.create" || got.Try != 2 {
			k.Errorf("%+v", got)
		}
		close(release)
		seen := []string{}
		for range 2 {
			got := e.event()
			seen = append(seen, fmt.Sprint(got.Pattern(), " ", got.Try))
		}
		slices.Sort(seen)
		k.Same("the rest", seen, []string{"users.*.create 1", "users.*.update.name 1"})
		waits(k, func(rows []*record.Delivery) bool { return len(rows) == 0 })
	})
}

// Several engines on one store deliver everything once.
func TestEnginesAtOnceDeliverOnce(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		e := kept(k, nil)
		others := []*latchkey.Engine{k.Engine, e.engine(nil), e.engine(nil)}
		var group sync.WaitGroup
		for n, engine := range others {
			group.Go(func() {
				for i := range 8 {
					id := fmt.Sprintf("u%d-%d", n, i)
					_, err := engine.Users().Create(k.Ctx, latchkey.NewUser{UserID: id, Email: id + "@example.org"})
					if err == nil {
						_, err = engine.Users().UpdateName(k.Ctx, id, "Name")
					}
					if err != nil {
						k.Error(err)
					}
				}
			})
		}
		group.Wait()
		waits(k, func(rows []*record.Delivery) bool { return len(rows) == 0 })
		seen := make(map[string]int)
		for range 2 * 8 * len(others) {
			seen[e.event().Name]++
		}
		e.nothing()
		for name, n := range seen {
			if n != 1 {
				k.Errorf("%s: %d times", name, n)
			}
		}
	})
}

// Each receiver gets the events that its patterns select, and does not hold up another one.
func TestEachReceiverHasItsOwnEvents(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		other := &ear{k: k, events: make(chan latchkey.Event, 100)}
		e := kept(k, func(c *latchkey.Config) {
			c.Outbox.Receivers[0].Events = []string{"users.*.update"}
			c.Outbox.Receivers = append(c.Outbox.Receivers, latchkey.Receiver{Name: "other", Events: []string{"users.*.create"}, Receive: other.Receive})
		})
		other.failing(func(string, int) error { return errors.New("never") })
		k.Must(kit.Err(k.Users().Create(k.Ctx, latchkey.NewUser{UserID: "ada", Email: kit.Ada})))
		k.Must(kit.Err(k.Users().UpdateName(k.Ctx, "ada", "Ada")))
		if got := e.event(); got.Pattern() != "users.*.update.name" {
			k.Errorf("%+v", got)
		}
		if got := other.event(); got.Pattern() != "users.*.create" {
			k.Errorf("%+v", got)
		}
		e.nothing()
	})
}

// If the store does not take the end of a delivery, the event comes again, and those of the same
// transaction after it wait for that.
func TestAnEndThatIsNotNotedHoldsUpTheNext(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		e := kept(k, nil)
		var failing atomic.Bool
		s := &storetest.Hooked{Store: k.Raw, Hook: func(c storetest.Call) error {
			if failing.Load() && c.Name == "Commit" && !c.Done {
				return errors.New("no commit")
			}
			return nil
		}}
		k.Must(k.Close())
		engine, err := latchkey.New(s, latchkey.Config{
			Keys: k.Keys, LimiterPerProcess: true, Now: k.Clock.Now, Hasher: k.Hasher, Logger: slog.New(slog.DiscardHandler),
			Outbox: &latchkey.Outbox{Receivers: []latchkey.Receiver{{Name: "ear", Receive: e.Receive}}},
		})
		k.Must(err)
		k.Must(kit.Err(engine.Users().Create(k.Ctx, latchkey.NewUser{UserID: "ada", Email: kit.Ada})))
		k.Must(kit.Err(engine.Users().CreateSession(k.Ctx, "ada")))
		k.Must(kit.Err(engine.Users().CreateSession(k.Ctx, "ada")))
		for range 3 {
			e.event()
		}
		waits(k, func(rows []*record.Delivery) bool { return len(rows) == 0 })
		e.failing(func(string, int) error { failing.Store(true); return nil })
		k.Must(engine.Users().DeleteSessions(k.Ctx, "ada")) // two events
		first := e.event()
		k.Must(engine.Close())
		e.nothing()
		failing.Store(false)
		e.failing(nil)
		k.Clock.Advance(2 * time.Minute)
		k.Engine = e.engine(nil)
		if again, next := e.event(), e.event(); again.ID != first.ID || again.Try != 2 || next.ID == first.ID {
			k.Errorf("%+v, %+v", again, next)
		}
	})
}

// Close gives back what it has not delivered: the next process delivers it at once.
func TestCloseGivesRowsBack(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		e := kept(k, nil)
		begun := make(chan struct{})
		e.failing(func(string, int) error {
			close(begun)
			return errors.New("no")
		})
		k.Must(kit.Err(k.Users().Create(k.Ctx, latchkey.NewUser{UserID: "ada", Email: kit.Ada})))
		<-begun
		e.event()
		rows := e.settled()
		if len(rows) != 1 || rows[0].Leased || rows[0].Failures != 1 {
			k.Fatalf("%+v", rows)
		}
		e.failing(nil)
		k.Clock.Advance(time.Second)
		k.Engine = e.engine(nil)
		if got := e.event(); got.Try != 2 {
			k.Errorf("%+v", got)
		}
	})
}

// A change of the key seals the outbox anew.
func TestTheOutboxIsSealedAnew(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		e := kept(k, nil)
		e.failing(func(string, int) error { return notify.Permanent(errors.New("no")) })
		k.Must(kit.Err(k.Users().Create(k.Ctx, latchkey.NewUser{UserID: "ada", Email: kit.Ada})))
		e.event()
		before := e.settled()
		keys := latchkey.Keys{Active: latchkey.GenerateKey(), Old: []latchkey.Key{k.Keys.Active}}
		resealer := e.engine(func(c *latchkey.Config) { c.Keys = keys })
		done, err := resealer.Reseal(k.Ctx)
		k.Must(err)
		k.Must(resealer.Close())
		if after := rowsOfOutbox(k); len(after) != 1 || bytes.Equal(after[0].Sealed, before[0].Sealed) || len(done.Left) > 0 {
			k.Errorf("%+v", done)
		}
		e.failing(nil)
		k.Engine = e.engine(func(c *latchkey.Config) { c.Keys = latchkey.Keys{Active: keys.Active} })
		k.Must(k.Requeue(k.Ctx, before[0].ID))
		if got := e.event(); got.Payload.(*latchkey.User).ID != "ada" {
			k.Errorf("%+v", got)
		}
	})
}

// Rows of a receiver that is in no configuration any more are given up after 72 hours.
func TestRowsWithoutAReceiverAreGivenUp(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		e := kept(k, nil)
		e.failing(func(string, int) error { return errors.New("no") })
		k.Must(kit.Err(k.Users().Create(k.Ctx, latchkey.NewUser{UserID: "ada", Email: kit.Ada})))
		e.event()
		e.settled()
		k.Engine = e.engine(func(c *latchkey.Config) { c.Outbox.Receivers = nil })
		for _, step := range []struct {
			later time.Duration
			given bool
		}{{71 * time.Hour, false}, {2 * time.Hour, true}} {
			k.Clock.Advance(step.later)
			k.Must(kit.Err(k.Sweep(k.Ctx)))
			if rows := rowsOfOutbox(k); len(rows) != 1 || rows[0].GivenUp.IsZero() == step.given {
				k.Errorf("after %v: %+v", step.later, rows)
			}
		}
	})
}

// The limits of notices hold for the outbox too: they are counted at the first delivery.
func TestNoticesOfTheOutboxAreLimited(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.Proven()
		e := kept(k, func(c *latchkey.Config) {
			once := ratelimit.Rule{Calls: 1, Window: time.Hour}
			c.Policy.Guessing.Limits = map[string]ratelimit.Rule{"messages": once, "messagesNotices": once}
			c.Limiter = ratelimit.NewMemory(0)
			c.Outbox.Receivers = nil
		})
		_, account := k.SignIn(kit.Ada)
		password := kit.Password
		for n := range 4 {
			next := fmt.Sprint("another secret ", n)
			k.Must(kit.Err(account.UpdatePassword(k.Ctx, latchkey.PasswordUpdate{New: next, Old: password})))
			password = next
		}
		waits(k, func(rows []*record.Delivery) bool { return len(rows) == 0 })
		got := make(map[string]int)
		for range len(e.messages) {
			got[e.message().To]++
		}
		k.Same("notices", got, map[string]int{kit.Ada: 2, kit.Phone: 2})
	})
}

// A notice is counted once, however often it is tried.
func TestANoticeOfTheOutboxIsCountedOnce(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.Proven()
		e := kept(k, func(c *latchkey.Config) {
			once := ratelimit.Rule{Calls: 1, Window: time.Hour}
			c.Policy.Guessing.Limits = map[string]ratelimit.Rule{"messages": once, "messagesNotices": once}
			c.Limiter, c.SMS = ratelimit.NewMemory(0), nil
			c.Outbox.Receivers = nil
		})
		e.failing(func(string, int) error { return errors.New("451") })
		_, account := k.SignIn(kit.Ada)
		k.Must(kit.Err(account.UpdatePassword(k.Ctx, latchkey.PasswordUpdate{New: "another secret", Old: kit.Password})))
		e.message()
		waits(k, func(rows []*record.Delivery) bool { return len(rows) == 1 && rows[0].Failures == 1 })
		for range 2 {
			k.Must(k.Requeue(k.Ctx, rowsOfOutbox(k)[0].ID))
			e.message()
			waits(k, func(rows []*record.Delivery) bool { return len(rows) == 1 && !rows[0].Leased })
		}
	})
}

func TestOutboxesThatCannotWorkAreRefused(t *testing.T) {
	k := kit.New(t, kit.Open(t, "memory"), kit.Documented)
	take := func(context.Context, latchkey.Event) error { return nil }
	many := make([]latchkey.Receiver, 21)
	for i := range many {
		many[i] = latchkey.Receiver{Name: fmt.Sprint("r", i), Receive: take}
	}
	for want, receivers := range map[string][]latchkey.Receiver{
		`the name "" of`:      {{Name: "", Receive: take}},
		`the name "A" of`:     {{Name: "A", Receive: take}},
		`the name "-a" of`:    {{Name: "-a", Receive: take}},
		`the name "email" of`: {{Name: "email", Receive: take}},
		`the name "sms" of`:   {{Name: "sms", Receive: take}},
		"is not 1 to 40":      {{Name: strings.Repeat("a", 41), Receive: take}},
		"two receivers":       {{Name: "a", Receive: take}, {Name: "a", Receive: take}},
		"no function Receive": {{Name: "a"}},
		"more than 20":        many,
	} {
		_, err := latchkey.New(k.Store, latchkey.Config{Keys: k.Keys, Outbox: &latchkey.Outbox{Receivers: receivers}})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}

// A pattern that no event has is a slip of the host's, and would lose the events that it means.
func TestPatternsThatSelectNoEventAreRefused(t *testing.T) {
	k := kit.New(t, kit.Open(t, "memory"), kit.Documented)
	refused := func(pattern string) bool {
		receiver := latchkey.Receiver{Name: "crm", Events: []string{pattern}, Receive: func(context.Context, latchkey.Event) error { return nil }}
		engine, err := latchkey.New(k.Store, latchkey.Config{Keys: k.Keys, Outbox: &latchkey.Outbox{Receivers: []latchkey.Receiver{receiver}}})
		if err == nil {
			k.Must(engine.Close())
		}
		return err != nil
	}
	for _, pattern := range append(latchkey.EventNames(),
		"users.*", "users.a.b", "users.a.b.create", "users.*.sessions.*", "users.a.b.sessions.s.x.create", "users.*.update", "teams.t.memberships.*", "limits.*", "limits.magicURL.reached", "integrity.totp", "sessions.all") {
		if refused(pattern) {
			t.Errorf("%q is refused", pattern)
		}
	}
	for _, pattern := range []string{
		"", "*", "users", "users.", "nonsense", "user.*.create", "users.*.creat", "users.*.verification", "users.*.update.*", "users.*.sessions", "users.*.sessions.*.creat",
		"users.**", "users.a b.create", "users.create.*", "users.*.*.*.create", "users.*.session.*.create", "users.*.sessions.create.*", "USERS.*.create", "teams.*.sessions.*", "teams.*.update.name", "limits", "limits.*.failed", "sessions.all.create", "users.*.create ", "Users.*.create",
	} {
		if !refused(pattern) {
			t.Errorf("%q is taken", pattern)
		}
	}
}

// Every field of a message comes out of the outbox as it went in.
func TestEveryFieldOfAMessageIsKept(t *testing.T) {
	kit.OneByOne(t, kit.Documented, func(k *kit.Kit) {
		k.Proven()
		memory := &ear{k: k, events: make(chan latchkey.Event, 100), messages: make(chan notify.Message, 100)}
		plain := k.Configured(func(c *latchkey.Config) { c.Notifier, c.SMS = memory, memory })
		e := kept(k, nil)
		for n, ask := range []func(g *latchkey.Guest) error{
			func(g *latchkey.Guest) error {
				return kit.Err(g.CreateMagicURLToken(k.Ctx, latchkey.NewMagicURLToken{Email: kit.Ada, URL: "https://app.example.org/in", Phrase: true}))
			},
			func(g *latchkey.Guest) error {
				return kit.Err(g.CreateEmailToken(k.Ctx, latchkey.NewEmailToken{Email: "stranger@example.org"}))
			},
			func(g *latchkey.Guest) error { return kit.Err(g.CreatePhoneToken(k.Ctx, "", kit.Phone)) },
		} {
			k.Must(ask(plain.Guest(kit.Client)))
			k.Must(ask(k.Visitor))
			a, b := memory.message(), e.message()
			x, y := reflect.ValueOf(a), reflect.ValueOf(b)
			for i := range x.NumField() {
				name := x.Type().Field(i).Name
				if slices.Contains([]string{"ID", "Secret", "Link", "Phrase", "UserID"}, name) { // drawn anew
					if text, is := y.Field(i).Interface().(string); (is && text == "") != (x.Field(i).Interface() == "") {
						k.Errorf("%d: %s", n, name)
					}
					if text, is := y.Field(i).Interface().(hidden.Text); is && text.IsZero() != x.Field(i).Interface().(hidden.Text).IsZero() {
						k.Errorf("%d: %s", n, name)
					}
					continue
				}
				if !reflect.DeepEqual(x.Field(i).Interface(), y.Field(i).Interface()) {
					k.Errorf("%d: %s is %v, want %v", n, name, y.Field(i).Interface(), x.Field(i).Interface())
				}
			}
		}
	})
}
