package latchkey_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/authtest"
	"example.com/latchkey/notify"
	"example.com/latchkey/ratelimit"
	"example.com/latchkey/store/storetest"
)

// world is what the operations of the table work on: a user with two sessions
// and somebody else.
type world struct {
	*kit
	ctx     context.Context
	user    *latchkey.User
	secret  latchkey.Secret
	account *latchkey.Account // its session
	other   *latchkey.Session // of the same user
	// tokens, each of another kind
	custom, link, code, mailProof, phoneProof, recovery *latchkey.Token
	jwt                                                 latchkey.Secret // of its session
	// factors
	app       *authtest.Authenticator // not confirmed
	codes     []latchkey.Secret       // recovery codes
	challenge string                  // an open one
}

const phone = "+14155550100"

// world makes the user of the table, full or anonymous, with what operations
// need.
func (k *kit) world(full bool, ops ...operation) *world {
	k.Helper()
	w := &world{kit: k, ctx: k.ctx}
	k.signUp(bob)
	var session *latchkey.Session
	var err error
	if full {
		w.user = k.signUp(ada)
		session, w.account = k.signIn(ada)
	} else {
		session, w.account = k.anonymous()
		w.user, err = w.account.User(k.ctx)
		k.must(err)
	}
	w.secret = session.Secret
	w.other, err = k.Users().CreateSession(k.ctx, w.user.ID)
	k.must(err)
	w.custom, err = k.Users().CreateToken(k.ctx, w.user.ID, 0, 0)
	k.must(err)
	server := k.Guest(latchkey.Client{Server: true})
	w.link, err = server.CreateMagicURLToken(k.ctx, latchkey.NewMagicURLToken{Email: ada})
	k.must(err)
	w.code, err = server.CreatePhoneToken(k.ctx, "", otherPhone)
	k.must(err)
	w.jwt, err = k.Users().CreateJWT(k.ctx, w.user.ID, session.ID, time.Hour)
	k.must(err)
	w.challenge, w.codes = "unknown", []latchkey.Secret{"0000000000"}
	for _, op := range ops {
		w.enrol(op.factors)
	}
	none := &latchkey.Token{UserID: w.user.ID, Secret: latchkey.Secret(unknownLink)}
	w.mailProof, w.phoneProof, w.recovery = none, none, none
	if !full || !slices.ContainsFunc(ops, func(op operation) bool { return op.proofs }) {
		return w
	}
	k.must(ignore(k.Users().UpdatePhone(k.ctx, w.user.ID, ownPhone)))
	account, err := server.Authenticate(k.ctx, w.secret)
	k.must(err)
	w.mailProof, err = account.CreateEmailVerification(k.ctx, verifyURL)
	k.must(err)
	w.phoneProof, err = account.CreatePhoneVerification(k.ctx)
	k.must(err)
	w.recovery, err = server.CreateRecovery(k.ctx, latchkey.NewRecovery{Email: ada, URL: recoverURL})
	k.must(err)
	w.recovery.UserID = w.user.ID
	return w
}

// enrol gives the user what they need for a second factor. For fresh, the session
// has answered a challenge, and has a new secret.
func (w *world) enrol(factors string) {
	w.Helper()
	if factors == "" || w.app != nil {
		return
	}
	made, err := w.account.CreateMFAAuthenticator(w.kit.ctx, latchkey.NewMFAAuthenticator{})
	w.must(err)
	w.app, err = authtest.NewAuthenticator(w.clock, made.URI)
	w.must(err)
	if factors == "begun" {
		return
	}
	codes, err := w.Users().CreateMFARecoveryCodes(w.kit.ctx, w.user.ID)
	w.must(err)
	w.codes = codes.Codes
	for range 2 {
		challenge, err := w.account.CreateMFAChallenge(w.kit.ctx, latchkey.FactorRecoveryCode)
		w.must(err)
		if w.challenge != "unknown" {
			w.challenge = challenge.ID
			return
		}
		w.challenge = challenge.ID
		session, err := w.account.UpdateMFAChallenge(w.kit.ctx, challenge.ID, w.codes[0].Reveal())
		w.must(err)
		w.codes, w.secret = w.codes[1:], session.Secret
		w.account, err = w.guest.Authenticate(w.kit.ctx, w.secret)
		w.must(err)
	}
}

const (
	otherPhone = "+14155550101"
	ownPhone   = "+14155550102"
	verifyURL  = "https://app.example.org/verify"
	recoverURL = "https://app.example.org/recover"
)

// operation is one exported method, called once.
type operation struct {
	name string // as reflection gives it
	do   func(w *world) error
	// anonymous is what it answers to an anonymous user.
	anonymous error
	// quiet says that it changes nothing, free that it needs no session, untold
	// that it is logged and there is no event of it.
	quiet, free, untold bool
	// many says that it is more than one transaction, proofs that it needs a link
	// or code that proves an address.
	many, proofs bool
	// bare says that it asks for a user without recovery codes.
	bare bool
	// factors is what of second factors it needs: begun, an authenticator that is
	// not confirmed; or fresh, recovery codes and a challenge too.
	factors string
	// open says that a session may do it that owes a second factor, aged what it
	// answers to one that has signed in and answered a challenge long ago.
	open bool
	aged error
}

func TestEveryExportedMethodIsInTheTable(t *testing.T) {
	var want, have []string
	for _, handle := range []any{new(latchkey.Guest), new(latchkey.Account), new(latchkey.Users), new(latchkey.Engine)} {
		typ := reflect.TypeOf(handle)
		for i := range typ.NumMethod() {
			want = append(want, typ.Elem().Name()+"."+typ.Method(i).Name)
		}
	}
	for _, op := range table {
		have = append(have, op.name)
	}
	slices.Sort(have)
	slices.Sort(want)
	if !slices.Equal(have, want) {
		t.Errorf("the table has %v\nwant %v", have, want)
	}
}

// onEveryOperation runs test for each operation of the table, on every store.
func onEveryOperation(t *testing.T, test func(k *kit, op operation)) {
	for _, op := range table {
		t.Run(op.name, func(t *testing.T) {
			oneByOne(t, documented, func(k *kit) { test(k, op) })
		})
	}
}

// A session that owes a second factor may ask for one, and nothing else: AC-044.
func TestAC044EveryMethodOfAPendingSession(t *testing.T) {
	onEveryOperation(t, func(k *kit, op operation) {
		if op.free {
			return
		}
		w := k.world(true)
		k.must(ignore(k.Users().CreateMFARecoveryCodes(k.ctx, w.user.ID)))
		k.must(ignore(k.Users().UpdateEmailVerification(k.ctx, w.user.ID, true)))
		k.must(ignore(k.Users().UpdateMFA(k.ctx, w.user.ID, true)))
		err := op.do(w)
		switch {
		case op.name == "Account.UpdateMFAChallenge":
			if err != latchkey.ErrInvalidToken {
				k.Errorf("of an unknown challenge: %v", err)
			}
		case op.open:
			k.must(err)
		default:
			k.refuses(op.name, latchkey.ErrMoreFactorsRequired, func() error { return op.do(w) })
		}
	})
}

// What concerns factors asks for a session that is fresh, and nothing else does.
func TestAC052EveryMethodOfASessionThatWasFreshLongAgo(t *testing.T) {
	onEveryOperation(t, func(k *kit, op operation) {
		if op.free {
			return
		}
		w := k.world(true, op)
		k.clock.Advance(31 * time.Minute)
		if err := op.do(w); !errors.Is(err, op.aged) || err != nil && op.aged == nil {
			k.Errorf("%v, want %v", err, op.aged)
		}
	})
}

// sessionStates are the states in which a session may be asked for something.
// Each returns what the methods of a session answer.
var sessionStates = map[string]func(w *world) error{
	"none": func(w *world) error { w.account = nil; return latchkey.ErrUnauthorized },
	"zero": func(w *world) error { w.account, w.secret = new(latchkey.Account), ""; return latchkey.ErrUnauthorized },
	"full": func(w *world) error { return nil },
	"enrolled, not confirmed": func(w *world) error {
		w.enrol("begun")
		w.must(ignore(w.Users().UpdateMFA(w.ctx, w.user.ID, true)))
		return nil
	},
	"expired": func(w *world) error { w.clock.Advance(365 * 24 * time.Hour); return latchkey.ErrUnauthorized },
	"ended a moment ago": func(w *world) error {
		w.must(w.Users().DeleteSession(w.ctx, w.user.ID, w.account.SessionID()))
		return latchkey.ErrUnauthorized
	},
	"user blocked": func(w *world) error {
		w.must(ignore(w.Users().UpdateStatus(w.ctx, w.user.ID, false)))
		return latchkey.ErrUserBlocked
	},
	"user deleted": func(w *world) error { w.must(w.Users().Delete(w.ctx, w.user.ID)); return latchkey.ErrUnauthorized },
	"user deleted and its id used again": func(w *world) error {
		w.must(w.Users().Delete(w.ctx, w.user.ID))
		w.must(ignore(w.Users().Create(w.ctx, latchkey.NewUser{UserID: w.user.ID, Email: ada, Password: password})))
		w.must(ignore(w.Users().CreateSession(w.ctx, w.user.ID)))
		return latchkey.ErrUnauthorized
	},
}

func TestEveryMethodOfASessionInEveryState(t *testing.T) {
	for state, enter := range sessionStates {
		t.Run(state, func(t *testing.T) {
			onEveryOperation(t, func(k *kit, op operation) {
				if op.free {
					return
				}
				w := k.world(true, op)
				want := enter(w)
				do := func() error { return op.do(w) }
				if want == nil {
					k.must(do())
					return
				}
				k.refuses(op.name, want, do)
			})
		})
	}
	t.Run("anonymous", func(t *testing.T) {
		onEveryOperation(t, func(k *kit, op operation) {
			if err := op.do(k.world(false, op)); !errors.Is(err, op.anonymous) || op.anonymous == nil && err != nil {
				k.Errorf("%v", err)
			}
		})
	})
}

// A change has its line in the log and its event; what changes nothing has
// neither.
func TestEveryChangeIsLoggedAndToldAndNothingElseIs(t *testing.T) {
	onEveryOperation(t, func(k *kit, op operation) {
		w := k.world(true, op)
		k.forget()
		before := k.state()
		k.must(op.do(w))
		changed := !maps.EqualFunc(before, k.state(), slices.Equal[[]string])
		logged, told := len(k.logs()) > 0, len(k.told.Take()) > 0
		if changed == op.quiet && op.name != "Account.CreateAccount" {
			k.Errorf("changed: %v", changed)
		}
		if changed != logged || changed != (told || op.untold) || told && op.untold {
			k.Errorf("changed: %v, logged: %v, told: %v", changed, logged, told)
		}
	})
}

// state is everything but the log and what is counted.
func (k *kit) state() map[string][]string {
	k.Helper()
	all := k.everything()
	delete(all, "logs")
	delete(all, "failures")
	return all
}

var errDisk = errors.New("the disk with " + password + " has a hole")

// failing lets the n-th call of the store fail, before or after its effect.
func (k *kit) failing(n int, after bool) (reached func() bool) {
	calls := 0
	hook := k.store.Hook
	k.store.Hook = func(c storetest.Call) error {
		if c.Done == after {
			if calls++; calls == n {
				return errDisk
			}
		}
		return nil
	}
	return func() bool { k.store.Hook = hook; return calls >= n }
}

// Whatever call of the store fails, the operation has happened or has not, says
// nothing that it should not, and can be tried again.
func TestEveryOperationSurvivesAFaultOfAnyCall(t *testing.T) {
	for _, after := range []bool{false, true} {
		t.Run(fmt.Sprint("after its effect ", after), func(t *testing.T) {
			onEveryOperation(t, func(k *kit, op operation) {
				for n := 1; ; n++ {
					w := k.world(true, op)
					k.forget()
					before := k.everything()
					reached := k.failing(n, after)
					err := op.do(w)
					again := reached()
					_, twice := k.raw.(storetest.Twice) // where the first run may fail
					if again && err == nil && op.name != "Guest.Authenticate" && !twice {
						k.Errorf("call %d fails and nobody says so", n)
					}
					if err != nil {
						if text := err.Error(); strings.Contains(text, password) || strings.Contains(text, "disk") || !errors.Is(err, errDisk) {
							k.Errorf("call %d: %v", n, err)
						}
					}
					unchanged := maps.EqualFunc(before, k.everything(), slices.Equal[[]string])
					told := k.told.Take()
					if err != nil && len(told) != 0 && !op.many {
						k.Errorf("call %d fails, and is told: %v", n, told)
					}
					if !unchanged && !after && err != nil && !op.many {
						k.Errorf("call %d fails before its effect, and something has changed", n)
					}
					if broken := k.broken(); broken != nil {
						k.Errorf("call %d: %v", n, broken)
					}
					if unchanged {
						if err := op.do(w); err != nil {
							k.Errorf("after call %d, again: %v", n, err)
						}
					}
					k.deleteAll()
					if !again {
						return
					}
				}
			})
		})
	}
}

// Whenever the caller goes away, the operation has happened or has not.
func TestEveryOperationSurvivesACancelledContextAtAnyCall(t *testing.T) {
	onEveryOperation(t, func(k *kit, op operation) {
		for n := 1; ; n++ {
			w := k.world(true, op)
			k.forget()
			before := k.everything()
			ctx, cancel := context.WithCancel(k.ctx)
			w.ctx = ctx
			calls, hook := 0, k.store.Hook
			k.store.Hook = func(c storetest.Call) error {
				if calls++; calls == n {
					cancel()
				}
				return nil
			}
			err := op.do(w)
			k.store.Hook = hook
			cancel()
			w.ctx = k.ctx
			if err != nil && !errors.Is(err, context.Canceled) {
				k.Errorf("call %d: %v", n, err)
			}
			if broken := k.broken(); broken != nil {
				k.Errorf("call %d: %v", n, broken)
			}
			if maps.EqualFunc(before, k.everything(), slices.Equal[[]string]) {
				if err := op.do(w); err != nil {
					k.Errorf("after call %d, again: %v", n, err)
				}
			} else if err != nil && !op.many {
				k.Errorf("call %d: cancelled, and something has changed: %v", n, err)
			}
			k.deleteAll()
			if calls < n {
				return
			}
		}
	})
}

// A clock that panics reaches the caller, changes nothing, and leaves the engine
// whole.
func TestEveryOperationSurvivesAPanicOfTheClock(t *testing.T) {
	onEveryOperation(t, func(k *kit, op operation) {
		if op.name == "Account.UpdateSession" {
			op.do = func(w *world) error { return ignore(w.account.UpdateSession(w.ctx, latchkey.Current)) }
		}
		w := k.world(true, op)
		broken := false
		engine, err := latchkey.New(k.store, latchkey.Config{Keys: k.keys, Hasher: k.hasher, Notifier: k.box, SMS: k.box, RedirectHosts: []string{"app.example.org"}, Now: func() time.Time {
			if broken {
				panic("no time")
			}
			return k.clock.Now()
		}})
		k.must(err)
		defer func() { k.must(engine.Close()) }()
		k.Engine, k.guest = engine, engine.Guest(testClient)
		if w.account, err = k.guest.Authenticate(k.ctx, w.secret); err != nil {
			k.Fatal(err)
		}
		before := k.everything()
		broken = true
		func() {
			defer func() { _ = recover() }()
			_ = op.do(w)
		}()
		broken = false
		k.same("rows", k.everything(), before)
		k.must(op.do(w))
	})
}

type panicking struct{}

func (panicking) Country(netip.Addr) string { panic("no map") }

func (panicking) Take(context.Context, ratelimit.Key, ratelimit.Rule, time.Time) (ratelimit.Result, error) {
	panic("no count")
}

func (panicking) Notify(context.Context, notify.Message) error { panic("no voice") }

func (panicking) Forget(context.Context, ratelimit.Key) error { panic("no count") }

// Callbacks that panic stop nothing but what asks the limiter about a guess.
func TestEveryOperationSurvivesPanicsOfTheOtherCallbacks(t *testing.T) {
	onEveryOperation(t, func(k *kit, op operation) {
		for _, limiter := range []ratelimit.Limiter{panicking{}, ratelimit.NewMemory(0)} {
			w := k.world(true, op)
			engine, err := latchkey.New(k.store, latchkey.Config{
				Keys: k.keys, Hasher: k.hasher, Now: k.clock.Now, Locator: panicking{}, Limiter: limiter,
				OnEvent: func(context.Context, latchkey.Event) { panic("no ear") }, Logger: slog.New(slog.DiscardHandler),
				Notifier: panicking{}, SMS: panicking{}, RedirectHosts: []string{"app.example.org"},
			})
			k.must(err)
			defer func() { k.must(engine.Close()) }()
			client := testClient
			client.OnLimit = func(latchkey.LimitResult) { panic("no eye") }
			k.Engine, k.guest = engine, engine.Guest(client)
			if w.account, err = k.guest.Authenticate(k.ctx, w.secret); err != nil {
				k.Fatal(err)
			}
			guesses := slices.Contains([]string{
				"Guest.CreateEmailPasswordSession", "Account.UpdatePassword", "Guest.CreateSession", "Guest.UpdateMagicURLSession", "Guest.UpdatePhoneSession",
				"Guest.UpdatePhoneVerification", "Account.UpdateMFAChallenge",
			}, op.name)
			switch err := op.do(w); {
			case limiter == panicking{} && guesses:
				if err != latchkey.ErrBusy {
					k.Errorf("%v, want %v", err, latchkey.ErrBusy)
				}
			case err != nil:
				k.Errorf("%v", err)
			}
			k.Engine = k.withKeys(k.keys)
			k.guest = k.Guest(testClient)
			k.deleteAll()
		}
	})
}

// Two operations on one user at once end in one of the two orders, or in a
// refusal, and never in rows that contradict each other.
func TestEveryPairOfOperationsAtOnceLeavesTheRowsWhole(t *testing.T) {
	var changing []operation
	for _, op := range table {
		if !op.quiet || op.name == "Guest.Authenticate" || op.name == "Engine.Reseal" {
			changing = append(changing, op)
		}
	}
	for i, one := range changing {
		t.Run(one.name, func(t *testing.T) {
			onEveryStore(t, latchkey.Policy{SessionLimit: 2}, func(k *kit) {
				for _, two := range changing[i:] {
					if one.bare && two.factors == "fresh" || two.bare && one.factors == "fresh" {
						continue
					}
					w := k.world(true, one, two)
					v := *w
					var err error
					v.account, err = k.guest.Authenticate(k.ctx, w.other.Secret)
					k.must(err)
					k.forget()
					var group sync.WaitGroup
					var errs [2]error
					group.Go(func() { errs[0] = one.do(w) })
					group.Go(func() { errs[1] = two.do(&v) })
					group.Wait()
					for n, err := range errs {
						var own *latchkey.Error
						if err != nil && !errors.As(err, &own) {
							k.Errorf("%s and %s: operation %d: %v", one.name, two.name, n+1, err)
						}
					}
					if errs[0] != nil && errs[1] != nil {
						k.Errorf("%s and %s: both are refused: %v, %v", one.name, two.name, errs[0], errs[1])
					}
					if broken := k.broken(); broken != nil {
						k.Errorf("%s and %s: %v", one.name, two.name, broken)
					}
					k.endedAreRefused(w, &v)
					k.deleteAll()
				}
			})
		})
	}
}

// endedAreRefused reports a session that works though its user is gone or
// blocked, or the other way round.
func (k *kit) endedAreRefused(worlds ...*world) {
	k.Helper()
	user, err := k.Users().Get(k.ctx, worlds[0].user.ID)
	usable := err == nil && user.Status
	for _, w := range worlds {
		if err := ignore(w.account.User(k.ctx)); err == nil && !usable {
			k.Errorf("a session works, and its user is %+v", user)
		}
	}
}

// Twice at once with the outcome of one: what can happen only once does.
func TestWhatServesOnceServesOnceUnderAnyRace(t *testing.T) {
	for name, do := range map[string]func(w *world) error{
		"end one session":   func(w *world) error { return w.Users().DeleteSession(w.ctx, w.user.ID, w.other.ID) },
		"end one's session": func(w *world) error { return w.account.DeleteSession(w.ctx, latchkey.Current) },
		"delete the user":   func(w *world) error { return w.Users().Delete(w.ctx, w.user.ID) },
		"take an address": func(w *world) error {
			return ignore(w.Users().Create(w.ctx, latchkey.NewUser{Email: "one@example.org"}))
		},
		"take a number": func(w *world) error { return ignore(w.Users().Create(w.ctx, latchkey.NewUser{Phone: phone})) },
		"take an id":    func(w *world) error { return ignore(w.Users().Create(w.ctx, latchkey.NewUser{UserID: "one"})) },
		"redeem a link": func(w *world) error {
			return ignore(w.guest.CreateSession(w.ctx, w.link.UserID, w.link.Secret.Reveal()))
		},
		"prove an address": func(w *world) error {
			return ignore(w.guest.UpdateEmailVerification(w.ctx, w.mailProof.UserID, w.mailProof.Secret.Reveal()))
		},
		"prove a number": func(w *world) error {
			return ignore(w.guest.UpdatePhoneVerification(w.ctx, w.phoneProof.UserID, w.phoneProof.Secret.Reveal()))
		},
		"recover": func(w *world) error {
			return ignore(w.guest.UpdateRecovery(w.ctx, w.recovery.UserID, w.recovery.Secret.Reveal(), "another horse"))
		},
		"redeem a code": func(w *world) error {
			return ignore(w.guest.CreateSession(w.ctx, w.code.UserID, w.code.Secret.Reveal()))
		},
		"redeem the host's token": func(w *world) error {
			return ignore(w.guest.CreateSession(w.ctx, w.custom.UserID, w.custom.Secret.Reveal()))
		},
		"change the password": func(w *world) error {
			return ignore(w.account.UpdatePassword(w.ctx, "another horse", password))
		},
	} {
		t.Run(name, func(t *testing.T) {
			onEveryStore(t, documented, func(k *kit) {
				w := k.world(true, operation{proofs: true})
				var group sync.WaitGroup
				errs := make([]error, 100)
				for i := range errs {
					group.Go(func() { errs[i] = do(w) })
				}
				group.Wait()
				wins := 0
				for _, err := range errs {
					var own *latchkey.Error
					if err == nil {
						wins++
					} else if !errors.As(err, &own) {
						k.Errorf("%v", err)
					}
				}
				if wins != 1 {
					k.Errorf("%d of %d", wins, len(errs))
				}
			})
		})
	}
}
