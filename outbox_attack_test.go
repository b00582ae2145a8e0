package latchkey_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/notify"
	"example.com/latchkey/ratelimit"
	"example.com/latchkey/store"
)

// comes waits for a condition.
func comes(k *kit.Kit, is func() bool) {
	k.Helper()
	for !is() {
		k.Must(k.Ctx.Err())
		runtime.Gosched()
	}
}

// A receiver that ends its goroutine loses its event. The events after it, which the same transaction has
// caused, are delivered, and the log says that the event was given up.
func TestTheEventsAfterAGoexitOfAReceiverAreDelivered(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user := k.SignUp(kit.Ada)
		k.SignIn(kit.Ada)
		k.SignIn(kit.Ada)
		got := make(chan latchkey.Event, 100)
		var once sync.Once
		kept(k, func(c *latchkey.Config) {
			c.Outbox.Receivers[0].Receive = func(_ context.Context, e latchkey.Event) error {
				once.Do(runtime.Goexit)
				got <- e
				return nil
			}
		})
		k.Logged.Take()
		k.Must(k.Users().DeleteSessions(k.Ctx, user.ID)) // two events in one transaction
		comes(k, func() bool { return len(got) == 1 })
		if !slices.ContainsFunc(k.Logged.Take(), func(line string) bool { return strings.Contains(line, "given up") }) {
			k.Error("the log does not say that the event was given up")
		}
	})
}

// A row whose key every process lacks is given up after 72 hours, and the events of its user go on.
func TestARowWithoutAKeyIsGivenUp(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.Tampered = true
		k.Must(kit.Err(k.Users().Create(k.Ctx, latchkey.NewUser{UserID: "ada", Email: kit.Ada})))
		e := kept(k, nil)
		e.failing(func(string, int) error { return errors.New("no") })
		k.Must(kit.Err(k.Users().UpdateLabels(k.Ctx, "ada", []string{"vip"})))
		e.event()
		e.settled()
		e.failing(nil)
		k.Engine = e.engine(func(c *latchkey.Config) { c.Keys = latchkey.Keys{Active: latchkey.GenerateKey()} })
		k.Must(kit.Err(k.Users().UpdateLabels(k.Ctx, "ada", []string{"gold"})))
		for n := range 4 {
			k.Clock.Advance(20 * time.Hour)
			waits(k, func(rows []*record.Delivery) bool {
				return slices.ContainsFunc(rows, func(row *record.Delivery) bool { return !row.GivenUp.IsZero() || int(row.Failures) == n+2 })
			})
		}
		e.event() // the one after it
		waits(k, func(rows []*record.Delivery) bool { return len(rows) == 1 && !rows[0].GivenUp.IsZero() })
	})
}

// An event that was put off while the clock was a year ahead does not wait for a year.
func TestADeliveryOfAClockThatWasAheadComes(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.Must(kit.Err(k.Users().Create(k.Ctx, latchkey.NewUser{UserID: "ada", Email: kit.Ada})))
		e := kept(k, nil)
		e.failing(func(string, int) error { return errors.New("no") })
		k.Clock.Advance(365 * 24 * time.Hour)
		k.Must(kit.Err(k.Users().UpdateLabels(k.Ctx, "ada", []string{"vip"})))
		e.event()
		waits(k, func(rows []*record.Delivery) bool { return len(rows) == 1 && rows[0].Failures == 1 })
		k.Clock.Advance(-365 * 24 * time.Hour)
		e.failing(nil)
		k.Must(kit.Err(k.Users().UpdateLabels(k.Ctx, "ada", []string{"gold"})))
		k.Must(kit.Err(k.Sweep(k.Ctx)))
		comes(k, func() bool { return len(e.events) == 2 })
	})
}

// A code that is replaced while OnEvent holds up the operation is not sent.
func TestACodeThatIsReplacedDuringOnEventIsNotSent(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		begun, release := make(chan struct{}), make(chan struct{})
		var hooked atomic.Bool
		e := kept(k, func(c *latchkey.Config) {
			c.Outbox.Receivers = nil
			c.OnEvent = func(_ context.Context, e latchkey.Event) {
				if e.Pattern() == "users.*.verification.*.create" {
					if !hooked.Swap(true) {
						close(begun)
						<-release
					}
				}
			}
		})
		_, account := k.SignIn(kit.Ada)
		ended := make(chan error, 1)
		var first *latchkey.Token
		go func() {
			var err error
			first, err = account.CreateEmailVerification(k.Ctx, kit.RecoverURL)
			ended <- err
		}()
		<-begun
		second, err := account.CreateEmailVerification(k.Ctx, kit.RecoverURL)
		k.Must(err)
		k.Clock.Advance(30 * 24 * time.Hour) // both have run out
		close(release)
		k.Must(<-ended)
		k.Must(k.Close())
		for range len(e.messages) {
			if m := e.message(); m.ID == first.ID && first.ID != second.ID {
				k.Errorf("the replaced and expired code is sent, %v after it ran out", k.Clock.Now().Sub(m.Expire))
			}
		}
	})
}

// A notice that the host requeues is sent: its limit was counted at the first delivery.
func TestANoticeThatIsRequeuedIsNotCountedAgain(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.Proven()
		e := kept(k, func(c *latchkey.Config) {
			once := ratelimit.Rule{Calls: 1, Window: time.Hour}
			c.Policy.Guessing.Limits = map[string]ratelimit.Rule{"messages": once, "messagesNotices": once}
			c.Limiter = ratelimit.NewMemory(0)
			c.Outbox.Receivers = nil
			c.SMS = nil
		})
		e.failing(func(string, int) error { return notify.Permanent(errors.New("550")) })
		_, account := k.SignIn(kit.Ada)
		k.Must(kit.Err(account.UpdatePassword(k.Ctx, latchkey.PasswordUpdate{New: "another secret", Old: kit.Password})))
		given := func() {
			waits(k, func(rows []*record.Delivery) bool { return len(rows) > 0 && !rows[0].GivenUp.IsZero() })
		}
		e.message()
		given()
		id := rowsOfOutbox(k)[0].ID
		k.Must(k.Requeue(k.Ctx, id))
		e.message()
		given()
		e.failing(nil)
		k.Must(k.Requeue(k.Ctx, id))
		waits(k, func(rows []*record.Delivery) bool { return len(rows) == 0 })
		if len(e.messages) != 1 {
			k.Error("the requeued notice was deleted without being sent")
		}
	})
}

// A row that is put into another lane is not delivered there, because its content was for another receiver.
func TestAnEventIsNotMovedToAnotherReceiver(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.Tampered = true
		other := &ear{k: k, events: make(chan latchkey.Event, 100)}
		e := kept(k, func(c *latchkey.Config) {
			c.Outbox.Receivers = append(c.Outbox.Receivers, latchkey.Receiver{Name: "other", Events: []string{"teams.*"}, Receive: other.Receive})
		})
		e.failing(func(string, int) error { return errors.New("no") })
		k.Must(kit.Err(k.Users().Create(k.Ctx, latchkey.NewUser{UserID: "ada", Email: kit.Ada})))
		e.event()
		waits(k, func(rows []*record.Delivery) bool { return len(rows) == 1 && rows[0].Failures == 1 })
		k.Must(k.Raw.Update(k.Ctx, func(ctx context.Context, tx store.Tx) error {
			row := rowsIn(ctx, k, tx)[0]
			row.Lane = "other"
			return record.Outbox.Replace(ctx, tx, row)
		}))
		k.Clock.Advance(time.Second)
		waits(k, func(rows []*record.Delivery) bool { return !rows[0].GivenUp.IsZero() })
		if len(other.events) > 0 {
			k.Errorf("the other receiver has got %s", (<-other.events).Pattern())
		}
	})
}

// Many messages to a domain that is slow do not hold up those to other domains.
func TestASlowDomainHoldsUpNoOther(t *testing.T) {
	for _, proven := range []bool{false, true} {
		t.Run(fmt.Sprint(proven), func(t *testing.T) {
			k := kit.New(t, kit.Open(t, "memory"), kit.Documented)
			release, got := make(chan struct{}), make(chan notify.Message, 10)
			k.Engine = k.Configured(func(c *latchkey.Config) {
				c.Limiter = ratelimit.ReportOnly(ratelimit.NewMemory(0))
				c.OnEvent = nil
				c.Outbox = new(latchkey.Outbox)
				c.Notifier = notify.Func(func(ctx context.Context, m notify.Message) error {
					if strings.HasSuffix(m.To, "@slow.example") {
						select {
						case <-release:
						case <-ctx.Done():
						}
						return nil
					}
					got <- m
					return nil
				})
			})
			defer close(release)
			for n := range 2500 {
				id := fmt.Sprint("u", n)
				if !proven {
					c := kit.Client
					_, err := k.Guest(c).CreateEmailToken(k.Ctx, latchkey.NewEmailToken{Email: id + "@slow.example"})
					k.Must(err)
					continue
				}
				if n == 1200 {
					break
				}
				k.Must(kit.Err(k.Users().Create(k.Ctx, latchkey.NewUser{UserID: id, Email: id + "@slow.example"})))
				k.Must(kit.Err(k.Users().UpdateEmailVerification(k.Ctx, id, true)))
				k.Must(kit.Err(k.Users().UpdatePassword(k.Ctx, id, "another secret")))
			}
			k.Must(kit.Err(k.Guest(latchkey.Client{}).CreateEmailToken(k.Ctx, latchkey.NewEmailToken{Email: kit.Ada})))
			comes(k, func() bool { return len(got) > 0 })
		})
	}
}
