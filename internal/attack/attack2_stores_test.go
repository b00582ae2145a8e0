package attack_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/store"
	"example.com/latchkey/store/memory"
	"example.com/latchkey/store/storetest"
)

// A code whose key the node lacks does not make guesses at another code free.
func TestAttackACodeOfAnUnknownKeyMakesGuessesFree(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		behind := behindEngine(k) // has another key
		token, err := behind.Guest(kit.At(kit.Attacker)).CreateEmailToken(k.Ctx, latchkey.NewEmailToken{UserID: "bait", Email: kit.Ada})
		k.Must(err)
		wrong := kit.OtherCode(k.MailOf(token, kit.Ada).Secret)
		k.Must(kit.Err(k.Visitor.CreateEmailToken(k.Ctx, latchkey.NewEmailToken{UserID: "bait", Email: "own@evil.test"}))) // of a key that the node lacks
		for range 40 {
			_ = kit.Err(behind.Guest(kit.At(kit.Attacker)).CreateSession(k.Ctx, "bait", wrong))
		}
		if victims := tokenTo(k, kit.Ada); victims != nil {
			k.Errorf("forty wrong codes, and the code lives with %d failures", victims.Failures)
		}
	})
}

// On a full disk a transaction that writes nothing succeeds. At a client that is known, a
// right old password writes nothing before the answer that tells it from a wrong one.
func TestAttackOnAFullDiskARightPasswordIsTold(t *testing.T) {
	policy := latchkey.Policy{Password: latchkey.PasswordPolicy{PersonalData: true, History: 2}}
	kit.OnEveryStore(t, policy, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		k.SignUp(kit.Bob)
		bob := k.IDOf(kit.Bob)
		k.Must(kit.Err(k.Users().UpdatePhone(k.Ctx, bob, kit.Phone)))
		_, account := k.SignIn(kit.Ada) // the client is known from now on
		for name, do := range map[string]func(p string) error{
			"password, refused": func(p string) error {
				return kit.Err(account.UpdatePassword(k.Ctx, latchkey.PasswordUpdate{New: "my ada@example.org", Old: p}))
			},
			"taken address": func(p string) error { return kit.Err(account.UpdateEmail(k.Ctx, kit.Bob, p)) },
			"taken number":  func(p string) error { return kit.Err(account.UpdatePhone(k.Ctx, kit.Phone, p)) },
			"same address":  func(p string) error { return kit.Err(account.UpdateEmail(k.Ctx, kit.Ada, p)) },
		} {
			hook := k.Store.Hook
			k.Store.Hook = func(c storetest.Call) error {
				if c.Inside && !c.Done && slices.Contains([]string{"Insert", "InsertAll", "Replace", "Delete", "DeleteRange"}, c.Name) {
					return kit.ErrDisk
				}
				return nil
			}
			right, wrong := do(kit.Password), do("wrong horse")
			k.Store.Hook = hook
			if fmt.Sprint(right) != fmt.Sprint(wrong) {
				k.Errorf("%s: right %v, wrong %v", name, right, wrong)
			}
		}
	})
}

// A handler of the program's log that uses the engine does not stop the store: the engine
// calls no code of the host inside a transaction.
func TestAttackALoggerThatUsesTheEngineDoesNotStopTheStore(t *testing.T) {
	kit.OnAShare(t, kit.Documented, func(k *kit.Kit) {
		_, app, _ := k.Enrolled(latchkey.NewMFAAuthenticator{})
		k.Clock.Advance(time.Minute)
		handler := new(calling)
		engine := k.Configured(func(c *latchkey.Config) { c.Logger = slog.New(handler) })
		handler.do = func() { _ = kit.Err(engine.Users().Create(context.WithoutCancel(k.Ctx), latchkey.NewUser{})) }
		k.Tampered = true
		k.Must(k.Store.Store.Update(k.Ctx, func(ctx context.Context, tx store.Tx) error {
			rows, err := record.Authenticators.List(ctx, tx, store.Query{Index: record.Authenticators.Primary(), Limit: 1})
			if err != nil {
				return err
			}
			rows[0].Seed[len(rows[0].Seed)-1] ^= 1
			return record.Authenticators.Replace(ctx, tx, rows[0])
		}))
		_, pending := k.Owing(engine.Guest(kit.Client))
		challenge, err := pending.CreateMFAChallenge(k.Ctx, latchkey.FactorTOTP)
		k.Must(err)
		done := make(chan struct{})
		go func() {
			_ = kit.Err(pending.ConfirmMFAChallenge(k.Ctx, challenge.ID, app.Code()))
			close(done)
		}()
		select {
		case <-done:
		case <-time.After(20 * time.Second):
			k.Fatal("the store is stopped")
		}
		if handler.inside {
			k.Error("the log is written inside a transaction")
		}
	})
}

// calling is a handler that calls back.
type calling struct {
	do     func()
	inside bool
}

func (*calling) Enabled(context.Context, slog.Level) bool { return true }
func (c *calling) Handle(context.Context, slog.Record) error {
	var pcs [64]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(0, pcs[:])])
	for more := true; more; {
		var f runtime.Frame
		f, more = frames.Next()
		if strings.Contains(f.Function, "sealFault") && strings.Contains(f.Function, "txn") || strings.Contains(f.Function, "answerChallenge") {
			c.inside = true
			return nil // would deadlock
		}
	}
	c.do()
	return nil
}
func (c *calling) WithAttrs([]slog.Attr) slog.Handler { return c }
func (c *calling) WithGroup(string) slog.Handler      { return c }

// A store whose values were sealed before there were settings of keys (an upgraded one) does
// not start with keys that open none of them.
func TestAttackAnUpgradedStoreStartsWithoutItsKey(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		k.Must(k.Store.Store.Update(k.Ctx, func(ctx context.Context, tx store.Tx) error { // as after the migration to version 5
			_, err := tx.DeleteRange(ctx, store.Query{Index: record.Settings.Primary(), Limit: store.MaxLimit})
			return err
		}))
		engine, err := latchkey.New(k.Store, latchkey.Config{LimiterPerProcess: true, Keys: latchkey.Keys{Active: latchkey.GenerateKey()}})
		if err == nil {
			k.Must(engine.Close())
		}
		if !errors.Is(err, latchkey.ErrKeyUnknown) {
			k.Errorf("%v, want %v", err, latchkey.ErrKeyUnknown)
		}
	})
}

// After Reseal, a node that still seals with the former key brings it back: an engine that
// lacks it does not start.
func TestAttackANodeThatStillSealsWithAForgottenKey(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		fresh := latchkey.GenerateKey()
		next, err := latchkey.New(k.Store, latchkey.Config{Keys: latchkey.Keys{Active: fresh, Old: []latchkey.Key{k.Keys.Active}}, LimiterPerProcess: true, Now: k.Clock.Now, Hasher: k.Hasher})
		k.Must(err)
		k.Must(kit.Err(next.Reseal(k.Ctx)))
		k.Must(next.Close())
		k.SignUp(kit.Bob) // at the node whose active key is the former one
		engine, err := latchkey.New(k.Store, latchkey.Config{LimiterPerProcess: true, Keys: latchkey.Keys{Active: fresh}})
		if err == nil {
			k.Must(engine.Close())
		}
		if !errors.Is(err, latchkey.ErrKeyUnknown) {
			k.Errorf("%v, want %v", err, latchkey.ErrKeyUnknown)
		}
	})
}

// Where the store fails at one call, or at every call of some kinds, a right and a wrong
// answer are told alike, unless the wrong one was counted.
func TestAttackAFailingStoreTellsNothingUncounted(t *testing.T) {
	type world struct {
		*kit.Kit
		account *latchkey.Account
		try     map[string]func(right bool) error
	}
	begin := func(t *testing.T) *world {
		k := kit.New(t, memory.Open(), latchkey.Policy{Password: latchkey.PasswordPolicy{PersonalData: true, History: 2}})
		user := k.Proven()
		_, account := k.SignIn(kit.Ada)
		codes, err := k.Users().CreateMFARecoveryCodes(k.Ctx, user.ID)
		k.Must(err)
		k.Must(kit.Err(k.Users().Create(k.Ctx, latchkey.NewUser{Email: kit.Bob})))
		text := func(right bool) string {
			if right {
				return kit.Password
			}
			return "wrong horse"
		}
		token, code := k.AskCode(kit.Ada)
		k.Must(kit.Err(k.Users().UpdatePhone(k.Ctx, user.ID, kit.OwnPhone)))
		verification, err := account.CreatePhoneVerification(k.Ctx)
		k.Must(err)
		number := k.MailOf(verification, kit.OwnPhone).Secret
		mail, err := account.CreateMFAChallenge(k.Ctx, latchkey.FactorEmail)
		k.Must(err)
		answer := k.Message(mail.ID, kit.Ada).Secret
		recovery, err := account.CreateMFAChallenge(k.Ctx, latchkey.FactorRecoveryCode)
		k.Must(err)
		pick := func(right bool, code string) string {
			if right {
				return code
			}
			return kit.OtherCode(code)
		}
		return &world{k, account, map[string]func(bool) error{
			"sign in": func(right bool) error {
				return kit.Err(k.Visitor.CreateEmailPasswordSession(k.Ctx, kit.Ada, text(right)))
			},
			"code": func(right bool) error {
				return kit.Err(k.Visitor.CreateSession(k.Ctx, token.UserID, pick(right, code)))
			},
			"number": func(right bool) error {
				return kit.Err(k.Visitor.ConfirmPhoneVerification(k.Ctx, user.ID, pick(right, number)))
			},
			"mail": func(right bool) error {
				return kit.Err(account.ConfirmMFAChallenge(k.Ctx, mail.ID, pick(right, answer)))
			},
			"recovery code": func(right bool) error {
				c := codes.Codes[0].Reveal()
				if !right {
					c = "0000000000"
				}
				return kit.Err(account.ConfirmMFAChallenge(k.Ctx, recovery.ID, c))
			},
			"password": func(right bool) error {
				return kit.Err(account.UpdatePassword(k.Ctx, latchkey.PasswordUpdate{New: "another horse", Old: text(right)}))
			},
			"e-mail": func(right bool) error { return kit.Err(account.UpdateEmail(k.Ctx, "new@example.org", text(right))) },
		}}
	}
	faults := map[string]func() func(storetest.Call) error{}
	for _, kinds := range [][]string{{"Insert", "InsertAll"}, {"Insert", "InsertAll", "Replace"}, {"Delete"}, {"DeleteRange"}, {"Delete", "DeleteRange"}} {
		faults[fmt.Sprint(kinds)] = func() func(storetest.Call) error {
			return func(c storetest.Call) error {
				if c.Inside && !c.Done && slices.Contains(kinds, c.Name) {
					return kit.ErrDisk
				}
				return nil
			}
		}
	}
	for n := 1; n <= 25; n++ {
		for _, after := range []bool{false, true} {
			faults[fmt.Sprint("call ", n, " after ", after)] = func() func(storetest.Call) error {
				calls := 0
				return func(c storetest.Call) error {
					if c.Done == after {
						if calls++; calls == n {
							return kit.ErrDisk
						}
					}
					return nil
				}
			}
		}
	}
	for name := range begin(t).try {
		for what, fault := range faults {
			told := map[bool]string{}
			counted := false
			for _, right := range []bool{true, false} {
				k := begin(t)
				before := fmt.Sprint(k.Everything())
				k.Store.Hook = fault()
				told[right] = fmt.Sprint(k.try[name](right))
				k.Store.Hook = func(storetest.Call) error { return nil }
				if !right {
					counted = fmt.Sprint(k.Everything()) != before
				}
			}
			if told[true] != told[false] && !counted {
				t.Errorf("%s, %s: right %s, wrong %s, and it is not counted", name, what, told[true], told[false])
			}
		}
	}
}
