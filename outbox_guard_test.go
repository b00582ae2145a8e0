package latchkey_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
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
	"example.com/latchkey/store/storetest"
)

// over returns one more engine with the ear, whose store calls a hook.
func (e *ear) over(hook func(storetest.Call) error, change func(*latchkey.Config)) *latchkey.Engine {
	k := e.k
	k.Helper()
	c := latchkey.Config{
		Keys: k.Keys, Hasher: k.Hasher, Now: k.Clock.Now, Logger: slog.New(k.Logged), Notifier: e, SMS: e, RedirectHosts: []string{"app.example.org"},
		Limiter: ratelimit.ReportOnly(ratelimit.NewMemory(0)), LimiterPerProcess: true,
		Outbox: &latchkey.Outbox{Receivers: []latchkey.Receiver{{Name: "ear", Receive: e.Receive}}},
	}
	if change != nil {
		change(&c)
	}
	engine, err := latchkey.New(&storetest.Hooked{Store: k.Raw, Hook: hook}, c)
	k.Must(err)
	k.Cleanup(func() { k.Must(engine.Close()) })
	return engine
}

// outboxless takes the outbox from an engine: it changes rows, and delivers none.
func outboxless(c *latchkey.Config) { c.Outbox = nil }

// quiet is a hook that does nothing.
func quiet(storetest.Call) error { return nil }

// edit changes the rows of the outbox as another process may, in the order in which they were made. A row
// whose id is gone then is deleted.
func edit(k *kit.Kit, change func(n int, row *record.Delivery)) {
	k.Helper()
	k.Must(k.Raw.Update(k.Ctx, func(ctx context.Context, tx store.Tx) error {
		for n, row := range inOrder(rowsIn(ctx, k, tx)) {
			id := row.ID
			change(n, row)
			err := record.Outbox.Replace(ctx, tx, row)
			if row.ID == "" {
				err = record.Outbox.Delete(ctx, tx, store.Text(id))
			}
			if err != nil {
				return err
			}
		}
		return nil
	}))
}

// inOrder sorts rows by the order in which they were made.
func inOrder(rows []*record.Delivery) []*record.Delivery {
	slices.SortFunc(rows, func(a, b *record.Delivery) int {
		return cmp.Or(cmp.Compare(a.Position, b.Position), strings.Compare(a.ID, b.ID))
	})
	return rows
}

// waiting returns an ear, after it has left events of Ada in the outbox, which no process has and whose time has come. No
// engine delivers.
func waiting(k *kit.Kit, events int) *ear {
	k.Helper()
	k.Must(kit.Err(k.Users().Create(k.Ctx, latchkey.NewUser{UserID: "ada", Email: kit.Ada})))
	e := kept(k, nil)
	e.failing(func(string, int) error { return errors.New("no") })
	for n := range events {
		k.Must(kit.Err(k.Users().UpdateName(k.Ctx, "ada", fmt.Sprint("Ada ", n))))
	}
	e.event()
	if rows := e.settled(); len(rows) != events {
		k.Fatalf("%d rows", len(rows))
	}
	edit(k, func(_ int, row *record.Delivery) {
		row.Tries, row.Failures, row.Cause, row.Leased, row.Due = 0, 0, "", false, k.Clock.Now()
	})
	e.failing(nil)
	return e
}

// once returns a hook that calls fn at the first commit, before or after it.
func once(after bool, fn func()) func(storetest.Call) error {
	var done atomic.Bool
	return func(c storetest.Call) error {
		if c.Name == "Commit" && c.Done == after && !done.Swap(true) {
			fn()
		}
		return nil
	}
}

// A process that was held up for longer than it has a message, so that another process has taken it over, does
// not send it.
func TestAProcessThatWasHeldUpSendsNoMessage(t *testing.T) {
	for name, other := range map[string]func(now time.Time, row *record.Delivery){
		"another process has it":      func(now time.Time, row *record.Delivery) { row.Tries++; row.Due = now.Add(time.Minute) },
		"another one has given it up": func(now time.Time, row *record.Delivery) { row.Tries++; row.GiveUp("answer: 550", now) },
		"another one has sent it":     func(_ time.Time, row *record.Delivery) { row.ID = "" },
		"Sweep has given it up":       func(now time.Time, row *record.Delivery) { row.GiveUp("outbox: no process delivers it", now) },
	} {
		t.Run(name, func(t *testing.T) {
			kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
				e := kept(k, func(c *latchkey.Config) { c.Outbox.Receivers = nil })
				e.failing(func(string, int) error { return errors.New("451") })
				k.Must(kit.Err(k.Visitor.CreateEmailToken(k.Ctx, latchkey.NewEmailToken{Email: kit.Ada})))
				e.message()
				e.settled()
				e.failing(nil)
				k.Clock.Advance(time.Second)
				var changed []*record.Delivery
				slow := e.over(once(true, func() { // it has claimed the message
					k.Clock.Advance(2 * time.Minute)
					edit(k, func(_ int, row *record.Delivery) { other(k.Clock.Now(), row) })
					changed = rowsOfOutbox(k)
				}), nil)
				comes(k, func() bool { return slow.Deliveries().Stale == 1 || slow.Deliveries().Sent > 0 })
				k.Must(slow.Close())
				e.nothing()
				k.Same("rows", rowsOfOutbox(k), changed)
			})
		})
	}
}

// If the store does not answer whether another process has a message, it is sent: rather twice than never.
func TestAMessageIsSentIfTheStoreDoesNotAnswer(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		e := kept(k, func(c *latchkey.Config) { c.Outbox.Receivers = nil })
		e.failing(func(string, int) error { return errors.New("451") })
		k.Must(kit.Err(k.Visitor.CreateEmailToken(k.Ctx, latchkey.NewEmailToken{Email: kit.Ada})))
		e.message()
		e.settled()
		e.failing(nil)
		k.Clock.Advance(time.Second)
		var claimed atomic.Bool
		e.over(func(c storetest.Call) error {
			if c.Name == "Commit" && c.Done {
				claimed.Store(true)
			}
			if claimed.Load() && !c.Inside && c.Name != "Commit" {
				return errors.New("no answer")
			}
			return nil
		}, nil)
		if m := e.message(); m.Try != 2 {
			k.Errorf("try %d", m.Try)
		}
	})
}

// A row that was changed after a claim has read it is left as it is, whether its turn has come or not.
func TestARowThatWasTakenMeanwhileIsLeft(t *testing.T) {
	for name, other := range map[string]func(now time.Time, row *record.Delivery){
		"taken": func(now time.Time, row *record.Delivery) {
			row.Tries, row.Leased, row.Due = 1, true, now.Add(time.Minute)
		},
		"failed":     func(now time.Time, row *record.Delivery) { row.Tries, row.Failures, row.Due = 1, 1, now.Add(time.Hour) },
		"given back": func(now time.Time, row *record.Delivery) { row.Due = now.Add(30 * time.Second) },
		"given up": func(now time.Time, row *record.Delivery) {
			row.Tries = 1
			row.GiveUp("answer: 410", now)
		},
	} {
		t.Run(name, func(t *testing.T) {
			kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
				events := 2
				if name == "given back" { // it would come before one that waits for it
					events = 1
				}
				e := waiting(k, events)
				var changed []*record.Delivery
				claimed := make(chan []*record.Delivery, 1)
				var step atomic.Int64
				e.over(func(c storetest.Call) error {
					switch {
					case c.Name == "Commit" && !c.Done && step.CompareAndSwap(0, 1): // the first one is claimed, and the second one put off
						edit(k, func(_ int, row *record.Delivery) { other(k.Clock.Now(), row) })
						changed = rowsOfOutbox(k)
					case c.Name == "Commit" && c.Done && step.CompareAndSwap(1, 2):
						claimed <- rowsOfOutbox(k)
					}
					return nil
				}, nil)
				k.Same("rows", <-claimed, changed)
				e.nothing()
			})
		})
	}
}

// After a change of a stream its first row is brought forward if it was put off for its turn, and otherwise left:
// a process has it, or it waits after a failure.
func TestOnlyWhatWaitsForItsTurnIsBroughtForward(t *testing.T) {
	for _, first := range []struct {
		name    string
		is      func(now time.Time, row *record.Delivery)
		forward bool
	}{
		{"put off", func(now time.Time, row *record.Delivery) { row.Due = now.Add(time.Minute) }, true},
		{"under way", func(now time.Time, row *record.Delivery) {
			row.Tries, row.Leased, row.Due = 1, true, now.Add(time.Minute)
		}, false},
		{"failed", func(now time.Time, row *record.Delivery) {
			row.Tries, row.Failures, row.Due = 1, 1, now.Add(time.Minute)
		}, false},
	} {
		for _, meanwhile := range []bool{false, true} {
			t.Run(fmt.Sprint(first.name, " ", meanwhile), func(t *testing.T) {
				kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
					e := waiting(k, 2)
					now := k.Clock.Now()
					set := func() {
						edit(k, func(n int, row *record.Delivery) {
							if n == 0 {
								first.is(now, row)
							}
						})
					}
					var commits atomic.Int64
					engine := e.over(func(c storetest.Call) error {
						if meanwhile && c.Name == "Commit" && !c.Done && commits.Add(1) == 2 { // after the look at the first row
							set()
						}
						return nil
					}, outboxless)
					if meanwhile {
						edit(k, func(_ int, row *record.Delivery) { row.Due = now.Add(time.Minute) })
					} else {
						set()
					}
					k.Must(engine.Discard(k.Ctx, inOrder(rowsOfOutbox(k))[1].ID))
					if meanwhile && commits.Load() < 2 {
						k.Error("nothing is brought forward")
					}
					if row := rowsOfOutbox(k)[0]; row.Due.Equal(now) != first.forward {
						k.Errorf("due %v after now", row.Due.Sub(now))
					}
				})
			})
		}
	}
}

// A row that was given up while a process had it stays given up, with its cause.
func TestARowThatWasGivenUpMeanwhileStays(t *testing.T) {
	for _, answer := range []error{nil, errors.New("no"), notify.Permanent(errors.New("never"))} {
		t.Run(fmt.Sprint(answer), func(t *testing.T) {
			kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
				e := kept(k, nil)
				e.failing(func(string, int) error {
					edit(k, func(_ int, row *record.Delivery) { row.GiveUp("outbox: no process delivers it", k.Clock.Now()) })
					return answer
				})
				k.Must(kit.Err(k.Users().Create(k.Ctx, latchkey.NewUser{UserID: "ada", Email: kit.Ada})))
				e.event()
				if rows := e.settled(); len(rows) != 1 || rows[0].Cause != "outbox: no process delivers it" || rows[0].GivenUp.IsZero() || rows[0].Failures > 0 || !rows[0].Due.IsZero() {
					k.Errorf("%+v", rows)
				}
			})
		})
	}
}

// Sweep leaves a row that was claimed, requeued or given up after it has read it.
func TestSweepLeavesARowThatWasChangedMeanwhile(t *testing.T) {
	for name, other := range map[string]func(now time.Time, row *record.Delivery){
		"claimed": func(now time.Time, row *record.Delivery) {
			row.Tries, row.Leased, row.Due = 1, true, now.Add(time.Minute)
		},
		"requeued": func(now time.Time, row *record.Delivery) { row.Queued, row.Due = now, now },
		"given up": func(now time.Time, row *record.Delivery) { row.GiveUp("answer: 410", now) },
	} {
		t.Run(name, func(t *testing.T) {
			kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
				e := waiting(k, 1)
				k.Clock.Advance(73 * time.Hour)
				var before string // the call before
				looks, done := 0, false
				engine := e.over(func(c storetest.Call) error {
					if c.Name == "Commit" && !c.Done && before == "List" {
						if looks++; looks == 2 { // after the look at sessions, that at the outbox
							edit(k, func(_ int, row *record.Delivery) { other(k.Clock.Now(), row) })
							done = true
						}
					}
					before = c.Name
					return nil
				}, outboxless)
				looks, before = 0, ""
				k.Must(kit.Err(engine.Sweep(k.Ctx)))
				if row := rowsOfOutbox(k)[0]; !done || row.Cause == "outbox: no process delivers it" {
					k.Errorf("%v: %+v", done, row)
				}
			})
		})
	}
}

// Sweep gives up deliveries that no process has tried for a day, and leaves those that a process still tries.
func TestSweepLeavesWhatAProcessTries(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		e := waiting(k, 2)
		k.Clock.Advance(73 * time.Hour)
		now := k.Clock.Now()
		edit(k, func(n int, row *record.Delivery) {
			row.Stream, row.Due = "", []time.Time{now.Add(-23 * time.Hour), now.Add(-25 * time.Hour)}[n]
		})
		k.Must(kit.Err(e.over(quiet, outboxless).Sweep(k.Ctx)))
		if rows := rowsOfOutbox(k); len(rows) != 2 || rows[0].GivenUp.IsZero() == rows[1].GivenUp.IsZero() {
			k.Errorf("%+v", rows)
		}
	})
}

// The events after one that Sweep gives up come.
func TestTheNextComesWhenSweepGivesTheFirstUp(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		e := waiting(k, 2)
		k.Clock.Advance(73 * time.Hour)
		now := k.Clock.Now()
		edit(k, func(n int, row *record.Delivery) {
			row.Due = []time.Time{now.Add(-25 * time.Hour), now.Add(time.Minute)}[n]
		})
		k.Must(kit.Err(e.over(quiet, outboxless).Sweep(k.Ctx)))
		if rows := inOrder(rowsOfOutbox(k)); rows[0].GivenUp.IsZero() || !rows[1].GivenUp.IsZero() || !rows[1].Due.Equal(now) {
			k.Errorf("%+v, %+v", rows[0], rows[1])
		}
	})
}

// The event after one that was given up because it was tried too often comes at once.
func TestTheNextComesWhenTheFirstWasTriedTooOften(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		e := waiting(k, 2)
		edit(k, func(n int, row *record.Delivery) {
			if n == 0 {
				row.Tries = 1000
			} else {
				row.Due = k.Clock.Now().Add(time.Minute)
			}
		})
		e.over(quiet, nil)
		if got := e.event(); got.Payload.(*latchkey.User).Name != "Ada 1" {
			k.Errorf("%+v", got.Payload)
		}
	})
}

// If the event before one ends while that is put off, it comes at once all the same.
func TestTheEndOfTheFirstIsNotMissedByTheNext(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		e := waiting(k, 2)
		edit(k, func(n int, row *record.Delivery) {
			if n == 0 {
				row.Tries, row.Leased, row.Due = 1, true, k.Clock.Now().Add(time.Minute)
			}
		})
		e.over(once(false, func() { // the second one is read, and not put off yet
			edit(k, func(n int, row *record.Delivery) {
				if n == 0 {
					row.ID = ""
				}
			})
		}), nil)
		if got := e.event(); got.Payload.(*latchkey.User).Name != "Ada 1" {
			k.Errorf("%+v", got.Payload)
		}
	})
}

// An event whose turn has not come is put off for a tenth of its age, from two seconds to five minutes. A process that died with it
// does not hold it up: it comes at once when its turn has come.
func TestWhatWaitsForItsTurnIsPutOff(t *testing.T) {
	for age, want := range map[time.Duration]time.Duration{0: 2 * time.Second, time.Minute: 6 * time.Second, 100 * time.Hour: 5 * time.Minute} {
		t.Run(fmt.Sprint(age), func(t *testing.T) {
			kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
				e := waiting(k, 2)
				now := k.Clock.Now()
				edit(k, func(n int, row *record.Delivery) {
					row.Tries, row.Leased = 1, true
					row.Created, row.Due = now.Add(-age), []time.Time{now.Add(time.Minute), now.Add(-time.Second)}[n]
				})
				engine := e.over(quiet, nil)
				waits(k, func(rows []*record.Delivery) bool { return inOrder(rows)[1].Due.After(now) })
				rows := inOrder(rowsOfOutbox(k))
				if wait := rows[1].Due.Sub(now); wait != want || rows[1].Leased {
					k.Errorf("it waits for %v, leased %v", wait, rows[1].Leased)
				}
				edit(k, func(n int, row *record.Delivery) {
					if n == 0 {
						row.Leased, row.Failures = false, 1 // it waits after a failure
					}
				})
				k.Must(engine.Discard(k.Ctx, rows[0].ID))
				if got := e.event(); got.Payload.(*latchkey.User).Name != "Ada 1" {
					k.Errorf("%+v", got.Payload)
				}
			})
		})
	}
}

// Deliveries that were given up do not hold up those that wait, however many they are.
func TestWhatWasGivenUpHoldsUpNoOther(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		e := waiting(k, 30)
		edit(k, func(n int, row *record.Delivery) {
			if n < 29 {
				row.GiveUp("answer: 410", k.Clock.Now())
			}
		})
		e.over(quiet, nil)
		if got := e.event(); got.Payload.(*latchkey.User).Name != "Ada 29" {
			k.Errorf("%+v", got.Payload)
		}
	})
}

// A time that no clock could have set is one of a clock that was ahead: the row is taken at once. The latest time that a
// clock sets, ahead by Config.MaxClockStep, is waited for.
func TestATimeOfAClockThatWasAheadIsNotWaitedFor(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		e := waiting(k, 2)
		latest := k.Clock.Now().Add(time.Hour + 30*time.Second + 2*time.Minute)
		edit(k, func(n int, row *record.Delivery) {
			row.Stream, row.Due = "", []time.Time{latest, latest.Add(time.Millisecond)}[n]
		})
		e.over(quiet, nil)
		e.event() // a claim looks at the earlier one first
		waits(k, func(rows []*record.Delivery) bool { return len(rows) == 1 })
		if row := rowsOfOutbox(k)[0]; !row.Due.Equal(latest) || row.Tries > 0 {
			k.Errorf("%+v", row)
		}
	})
}

// A row is a process's for half a minute and Config.MaxClockStep, both after a commit and after a claim.
func TestAProcessHasARowForItsTime(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		var mu sync.Mutex
		var had []time.Duration
		e := kept(k, nil)
		e.failing(func(string, int) error {
			mu.Lock()
			defer mu.Unlock()
			row := rowsOfOutbox(k)[0]
			had = append(had, row.Due.Sub(k.Clock.Now()))
			if !row.Leased {
				k.Error("no process has the row")
			}
			return errors.New("no")
		})
		k.Must(kit.Err(k.Users().Create(k.Ctx, latchkey.NewUser{UserID: "ada", Email: kit.Ada})))
		e.event()
		waits(k, func(rows []*record.Delivery) bool { return rows[0].Failures == 1 })
		k.Clock.Advance(time.Second)
		e.event()
		mu.Lock()
		defer mu.Unlock()
		k.Same("times", had, []time.Duration{90 * time.Second, 90 * time.Second})
	})
}
