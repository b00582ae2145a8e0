package attack_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/hasher"
	"example.com/latchkey/hasher/hashertest"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/notify"
	"example.com/latchkey/ratelimit"
	"example.com/latchkey/store"
	"example.com/latchkey/store/memory"
)

// tokenTo returns the live code that was sent to an address.
func tokenTo(k *kit.Kit, to string) *record.Token {
	k.Helper()
	t, err := record.Tokens.Find(k.Ctx, k.Store.Store, record.Tokens.Index("slot"), store.Text("email"), store.Text(to))
	k.Must(err)
	return t
}

// A code of the attacker's own, asked for under the id of the victim's code, is compared with
// the victim's code too. As it is right for its own address, the comparison with the other one
// is a guess that nothing counts.
func TestAttackARightCodeIsAFreeGuessAtAnotherOne(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		k.Must(kit.Err(k.Users().UpdateEmailVerification(k.Ctx, k.IDOf(kit.Ada), true)))
		for n := range 3 { // accounts of the attacker's own: redeeming does not take the id
			k.Must(kit.Err(k.Users().Create(k.Ctx, latchkey.NewUser{Email: fmt.Sprintf("own%d@evil.test", n)})))
			k.Must(kit.Err(k.Users().UpdateEmailVerification(k.Ctx, k.IDOf(fmt.Sprintf("own%d@evil.test", n)), true)))
		}
		engine := k.Configured(func(*latchkey.Config) {}) // with limits
		guest := engine.Guest(kit.At(kit.Attacker))
		ask := func(email string) *latchkey.Token {
			token, err := guest.CreateEmailToken(k.Ctx, latchkey.NewEmailToken{UserID: "bait", Email: email})
			k.Must(err)
			return token
		}
		ask(kit.Ada)
		guesses := 0
		for n := range 24 {
			own := fmt.Sprintf("own%d@evil.test", n%3)
			token := ask(own)
			if err := kit.Err(guest.CreateSession(k.Ctx, "bait", k.MailOf(token, own).Secret)); err != nil {
				k.Fatalf("guess %d: %v", n+1, err)
			}
			guesses++
		}
		victims := tokenTo(k, kit.Ada)
		if victims != nil {
			k.Errorf("the code of the victim was compared with %d wrong ones, and lives with %d failures; five should end it", guesses, victims.Failures)
		}
	})
}

// A client that its own rule has refused goes on using up the counts of other people's
// addresses, without a message or a comparison.
func TestAttackRefusedCallsUseUpTheCountsOfOthers(t *testing.T) {
	victim := func(n int) string { return fmt.Sprintf("victim%d@example.org", n) }
	number := func(n int) string { return fmt.Sprintf("+1415555%04d", n) }
	for name, c := range map[string]struct {
		calls int // of the attacker until the client is refused, and then for each victim
		ask   func(k *kit.Kit, g *latchkey.Guest, n int) error
	}{
		"recovery": {10, func(k *kit.Kit, g *latchkey.Guest, n int) error {
			return kit.Err(g.CreateRecovery(k.Ctx, latchkey.NewRecovery{Email: victim(n), URL: kit.RecoverURL}))
		}},
		"magic URL": {60, func(k *kit.Kit, g *latchkey.Guest, n int) error {
			return kit.Err(g.CreateMagicURLToken(k.Ctx, latchkey.NewMagicURLToken{Email: victim(n)}))
		}},
		"SMS code": {10, func(k *kit.Kit, g *latchkey.Guest, n int) error {
			return kit.Err(g.CreatePhoneToken(k.Ctx, "", number(n)))
		}},
		"password": {300, func(k *kit.Kit, g *latchkey.Guest, n int) error {
			return kit.Err(g.CreateEmailPasswordSession(k.Ctx, victim(n), "wrong horse"))
		}},
	} {
		t.Run(name, func(t *testing.T) {
			kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
				engine := k.Configured(func(*latchkey.Config) {})
				attacker := engine.Guest(kit.At(kit.Attacker))
				for n := range c.calls { // uses up the client's own rule
					_ = c.ask(k, attacker, n)
				}
				if err := c.ask(k, attacker, 9000); !errors.Is(err, latchkey.ErrRateLimitExceeded) {
					k.Fatalf("the client is not refused: %v", err)
				}
				locked := 0
				for v := range 5 {
					for range min(c.calls, 60) {
						if err := c.ask(k, attacker, 9001+v); !errors.Is(err, latchkey.ErrRateLimitExceeded) {
							k.Fatal(err)
						}
					}
					if errors.Is(c.ask(k, engine.Guest(kit.At(fmt.Sprintf("192.0.2.%d", v))), 9001+v), latchkey.ErrRateLimitExceeded) {
						locked++
					}
				}
				if locked != 0 {
					k.Errorf("a client that was refused every time has locked %d of 5 others out for an hour", locked)
				}
			})
		})
	}
}

// A client that its own rule has refused makes no more keys in the limiter: otherwise it
// drives out the counts of others, and its own.
func TestAttackRefusedCallsMakeNoKeysInTheLimiter(t *testing.T) {
	k := kit.New(t, memory.Open(), kit.Documented)
	limiter := ratelimit.NewMemory(0)
	engine := k.Configured(func(c *latchkey.Config) { c.Limiter = limiter })
	guest := engine.Guest(kit.At(kit.Attacker))
	try := func(n int) error {
		return kit.Err(guest.CreateEmailPasswordSession(k.Ctx, fmt.Sprintf("u%d@example.org", n), "wrong horse"))
	}
	for n := range 300 {
		_ = try(n)
	}
	before := limiter.Keys()
	for n := range 2000 {
		if err := try(1000 + n); !errors.Is(err, latchkey.ErrRateLimitExceeded) {
			t.Fatal(err)
		}
	}
	if n := limiter.Keys() - before; n > 10 {
		t.Errorf("2,000 refused calls of one client made %d keys", n)
	}
}

// Who fills the limiter with keys at their limit, by calls that are refused, drives out every
// count that has not reached its limit, the failures of the client too.
func TestAttackAClientDrivesItsOwnFailuresOutOfTheLimiter(t *testing.T) {
	k := kit.New(t, memory.Open(), kit.Documented)
	engine := k.Configured(func(c *latchkey.Config) { c.Limiter = ratelimit.NewMemory(1024) })
	guest := engine.Guest(kit.At(kit.Attacker))
	hashes := k.Hasher.Hashes()
	for round := range 4 {
		for n := range 290 {
			_ = kit.Err(guest.CreateEmailPasswordSession(k.Ctx, fmt.Sprintf("u%d@example.org", 1000*round+n), "wrong horse"))
		}
		for n := range 3000 {
			for range 10 { // refused from the eleventh in all
				_ = kit.Err(guest.CreateRecovery(k.Ctx, latchkey.NewRecovery{Email: fmt.Sprintf("r%d@example.org", 10000*round+n), URL: kit.RecoverURL}))
			}
		}
	}
	if compared := k.Hasher.Hashes() - hashes; compared > 300 {
		t.Errorf("one client has failed %d times within the hour, 300 are allowed", compared)
	}
}

// The bearer of a recovery link learns whether a text is the present password, or a former
// one, and nothing counts the guess.
func TestAttackARecoveryLinkTellsThePresentPassword(t *testing.T) {
	policy := latchkey.Policy{Password: latchkey.PasswordPolicy{History: 3}}
	kit.OnEveryStore(t, policy, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		k.Must(kit.Err(k.Users().UpdateEmailVerification(k.Ctx, k.IDOf(kit.Ada), true)))
		for range 12 { // strangers have slowed the password
			_ = k.Try(kit.Attacker, kit.Ada, "wrong horse")
		}
		k.Must(kit.Err(k.Visitor.CreateRecovery(k.Ctx, latchkey.NewRecovery{Email: kit.Ada, URL: kit.RecoverURL})))
		link := k.Mail(kit.Ada).Secret
		before := k.Rows()
		told := 0
		for range 20 {
			if errors.Is(kit.Err(k.Visitor.ConfirmRecovery(k.Ctx, k.IDOf(kit.Ada), link, kit.Password)), latchkey.ErrPasswordRecentlyUsed) {
				told++
			}
		}
		if told > 0 && fmt.Sprint(before) == fmt.Sprint(k.Rows()) {
			k.Errorf("while the password is slowed, the link told %d times that it is this one, and no row says so", told)
		}
	})
}

// A wrong code under an id of the attacker's choice costs the same calls of the store,
// whether a user has the address of the code or nobody.
func TestAttackWrongCodesCostTheSameForAnAddressWithoutAUser(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		look := func(id, email string) string {
			token, err := k.Visitor.CreateEmailToken(k.Ctx, latchkey.NewEmailToken{UserID: id, Email: email})
			k.Must(err)
			code := kit.OtherCode(k.MailOf(token, email).Secret)
			k.Store.Reset()
			err = kit.Err(k.Guest(kit.At(kit.Attacker)).CreateSession(k.Ctx, id, code))
			return fmt.Sprint(err, ", reads ", k.Store.Reads.Load(), ", updates ", k.Store.Updates.Load(), ", calls ", k.Store.Calls.Load())
		}
		known, unknown := look("bait1", kit.Ada), look("bait2", "nobody@example.org")
		if known != unknown {
			k.Errorf("%s with a user, %s without", known, unknown)
		}
	})
}

// Rows that one client with a free account writes are bounded by network, as those of a
// client without one.
func TestAttackRowsOfOneClientWithAnAccountAreBounded(t *testing.T) {
	for name, c := range map[string]func(k *kit.Kit, e *latchkey.Engine) func(n int) error{
		"rename": func(k *kit.Kit, e *latchkey.Engine) func(n int) error {
			a := anonymousAt(k, e)
			return func(n int) error { return kit.Err(a.UpdateName(k.Ctx, fmt.Sprint("name ", n))) }
		},
		"preferences": func(k *kit.Kit, e *latchkey.Engine) func(n int) error {
			a := anonymousAt(k, e)
			return func(n int) error { return kit.Err(a.UpdatePrefs(k.Ctx, fmt.Appendf(nil, `{"n":%d}`, n))) }
		},
		"new secret": func(k *kit.Kit, e *latchkey.Engine) func(n int) error {
			a := anonymousAt(k, e)
			return func(int) error {
				s, err := a.RotateSession(k.Ctx)
				if err != nil {
					return err
				}
				a, err = e.Guest(kit.At(kit.Attacker)).Authenticate(k.Ctx, s.Secret.Reveal())
				return err
			}
		},
		"authenticator": func(k *kit.Kit, e *latchkey.Engine) func(n int) error {
			a := anonymousAt(k, e)
			return func(int) error { return kit.Err(a.CreateMFAAuthenticator(k.Ctx, latchkey.NewMFAAuthenticator{})) }
		},
		"MFA": func(k *kit.Kit, e *latchkey.Engine) func(n int) error {
			a := anonymousAt(k, e)
			return func(n int) error { return kit.Err(a.UpdateMFA(k.Ctx, n%2 == 0)) }
		},
		"right sign-ins": func(k *kit.Kit, e *latchkey.Engine) func(n int) error {
			k.SignUp(kit.Ada)
			return func(int) error {
				return kit.Err(e.Guest(kit.At(kit.Attacker)).CreateEmailPasswordSession(k.Ctx, kit.Ada, kit.Password))
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			kit.OnAShare(t, kit.Documented, func(k *kit.Kit) {
				engine := k.Configured(func(*latchkey.Config) {})
				do := c(k, engine)
				before := k.Rows()["logs"]
				for n := range 3100 {
					if err := do(n); err != nil {
						if errors.Is(err, latchkey.ErrRateLimitExceeded) {
							return
						}
						k.Fatalf("call %d: %v", n+1, err)
					}
				}
				k.Errorf("3,100 calls within no time, none refused: %d log rows", k.Rows()["logs"]-before)
			})
		})
	}
}

func anonymousAt(k *kit.Kit, e *latchkey.Engine) *latchkey.Account {
	k.Helper()
	s, err := e.Guest(kit.At(kit.Attacker)).CreateAnonymousSession(k.Ctx)
	k.Must(err)
	a, err := e.Guest(kit.At(kit.Attacker)).Authenticate(k.Ctx, s.Secret.Reveal())
	k.Must(err)
	return a
}

// The /64s of one /48 belong to one customer. They do not take all places of the queue for
// hashing.
func TestAttackOneSiteDoesNotTakeAllPlacesOfTheQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := kit.New(t, memory.Open(), kit.Documented)
		narrow, err := hasher.New(hasher.Config{Params: hasher.Params{Memory: 7168, Time: 5, Threads: 1}, Slots: 1, Queue: 8, Wait: time.Hour})
		k.Must(err)
		engine := k.Configured(func(c *latchkey.Config) { c.Hasher = narrow })
		k.Must(kit.Err(engine.Guest(kit.Client).CreateAccount(k.Ctx, latchkey.NewAccount{Email: kit.Ada, Password: kit.Password})))
		release := hashertest.Hold(t, narrow)
		for n := range 10 {
			go func() {
				_ = kit.Err(engine.Guest(kit.At(fmt.Sprintf("2001:db8:0:%x::1", n))).CreateEmailPasswordSession(k.Ctx, fmt.Sprintf("u%d@example.org", n), "wrong horse"))
			}()
		}
		synctest.Wait()
		var owner atomic.Value
		go func() {
			if err := kit.Err(engine.Guest(kit.At(kit.Owner)).CreateEmailPasswordSession(k.Ctx, kit.Ada, kit.Password)); err != nil {
				owner.Store(err)
			}
		}()
		synctest.Wait()
		release()
		synctest.Wait()
		if err := owner.Load(); err != nil {
			t.Errorf("the owner, while ten /64 of one /48 hash: %v", err)
		}
	})
}

// The /64s of one /48 do not multiply what one client may repeat without bound.
func TestAttackOneSiteIsBounded(t *testing.T) {
	for name, c := range map[string]func(k *kit.Kit, g *latchkey.Guest, n int) error{
		"failures": func(k *kit.Kit, g *latchkey.Guest, n int) error {
			return kit.Err(g.CreateEmailPasswordSession(k.Ctx, fmt.Sprintf("u%d@example.org", n), "wrong horse"))
		},
		"anonymous": func(k *kit.Kit, g *latchkey.Guest, n int) error { return kit.Err(g.CreateAnonymousSession(k.Ctx)) },
		"redeem": func(k *kit.Kit, g *latchkey.Guest, n int) error {
			return kit.Err(g.CreateSession(k.Ctx, fmt.Sprintf("id%d", n), "000000"))
		},
		"confirm": func(k *kit.Kit, g *latchkey.Guest, n int) error {
			return kit.Err(g.ConfirmEmailVerification(k.Ctx, fmt.Sprintf("id%d", n), kit.UnknownLink))
		},
	} {
		t.Run(name, func(t *testing.T) {
			k := kit.New(t, memory.Open(), kit.Documented)
			engine := k.Configured(func(*latchkey.Config) {})
			for n := range 4000 {
				if err := c(k, engine.Guest(kit.At(fmt.Sprintf("2001:db8:0:%x::1", n))), n); errors.Is(err, latchkey.ErrRateLimitExceeded) {
					return
				}
			}
			t.Errorf("4,000 calls of one /48, none refused; rows: %v", k.Rows())
		})
	}
}

// What is left of the sign-ins of an address does not tell a stranger that its owner signs in
// (A13, its second part).
func TestAttackWhatIsLeftOfSignInsTellsOfTheOwner(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		engine := k.Configured(func(*latchkey.Config) {})
		var left []string
		client := kit.At(kit.Attacker)
		client.OnLimit = func(r latchkey.LimitResult) { left = append(left, fmt.Sprint(r.Operation, " ", r.Remaining)) }
		look := func(email string) string {
			left = nil
			_ = kit.Err(engine.Guest(client).CreateEmailPasswordSession(k.Ctx, email, "wrong horse"))
			return fmt.Sprint(left)
		}
		var known, unknown []string
		for range 2 {
			known, unknown = append(known, look(kit.Ada)), append(unknown, look("nobody@example.org"))
			k.Must(kit.Err(engine.Guest(kit.At("198.51.100.77")).CreateEmailPasswordSession(k.Ctx, kit.Ada, kit.Password)))
		}
		if fmt.Sprint(known) != fmt.Sprint(unknown) {
			k.Errorf("an address with an account: %v; without: %v", known, unknown)
		}
	})
}

// Messages that strangers have sent fill the queue while the mail server is slow. The code of
// an owner who has shown the password is not dropped for them.
func TestAttackStrangersFillTheQueueOfMessages(t *testing.T) {
	k := kit.New(t, memory.Open(), kit.Documented)
	withFactors(k)
	slow := &slowMail{open: make(chan struct{}), box: k.Box}
	engine := k.Configured(func(c *latchkey.Config) { c.Notifier = slow })
	for n := range 1200 {
		_ = kit.Err(engine.Guest(kit.At(fmt.Sprintf("2001:db8:0:%x::1", n/300))).CreateEmailToken(k.Ctx, latchkey.NewEmailToken{Email: fmt.Sprintf("s%d@example.org", n)}))
	}
	challenge, err := owner(k, engine, kit.Owner).CreateMFAChallenge(k.Ctx, latchkey.FactorEmail)
	k.Must(err)
	close(slow.open)
	for _, m := range k.Drained(engine) {
		if m.ID == challenge.ID {
			return
		}
	}
	t.Error("one /48 has filled the queue, and the owner's code is dropped without a word")
}

// slowMail is a notifier that waits.
type slowMail struct {
	open chan struct{}
	box  *notify.Mailbox
}

func (h *slowMail) Notify(ctx context.Context, m notify.Message) error {
	<-h.open
	return h.box.Notify(ctx, m)
}

// Two calls at once for one new number do not pass the rule of different numbers: the second
// one meets the mark of the first, which is refused.
func TestAttackCallsAtOncePassTheRuleOfNumbers(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		limiter := &between{Limiter: ratelimit.NewMemory(0)}
		engine := k.Configured(func(c *latchkey.Config) { c.Limiter = limiter })
		text := func(n int) error {
			return kit.Err(engine.Guest(kit.At(kit.Attacker)).CreatePhoneToken(k.Ctx, "", fmt.Sprintf("+1415555%04d", n)))
		}
		for n := range 20 {
			k.Must(text(n))
			if n == 9 {
				k.Clock.Advance(time.Hour)
			}
		}
		k.Clock.Advance(time.Hour)
		if err := text(100); !errors.Is(err, latchkey.ErrRateLimitExceeded) {
			k.Fatalf("the 21st number: %v", err)
		}
		second := errors.New("was not called")
		limiter.refused = func(rule ratelimit.Rule) {
			if rule.Calls == 20 { // messagesNumbers
				limiter.refused = nil
				second = text(200)
			}
		}
		first := text(200)
		if !errors.Is(first, latchkey.ErrRateLimitExceeded) || !errors.Is(second, latchkey.ErrRateLimitExceeded) {
			k.Errorf("two at once, to a 22nd number of the day: %v and %v", first, second)
		}
	})
}

// between is a limiter that calls back when it has refused a call, before anybody knows.
type between struct {
	ratelimit.Limiter
	refused func(ratelimit.Rule)
}

func (b *between) Take(ctx context.Context, key ratelimit.Key, rule ratelimit.Rule, now time.Time) (ratelimit.Result, error) {
	r, err := b.Limiter.Take(ctx, key, rule, now)
	if do := b.refused; do != nil && !r.Allowed {
		do(rule)
	}
	return r, err
}
