package latchkey_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/store/storetest"
)

// A passkey that is refused as a copy records its mark, and nothing else of the answer. The session has proven no factor and keeps
// its secret, the wrong answers before it stay counted, and the client is not known.
func TestARefusedCopyRecordsNothingElse(t *testing.T) {
	policy := kit.Documented
	policy.Factors.RefuseClonedPasskeys = true
	kit.OnEveryStore(t, policy, func(k *kit.Kit) {
		k.Proven()
		_, account := k.SignIn(kit.Ada)
		d := device()
		k.Enrol(account, d, latchkey.PasskeyEnrolment{})
		d.SetCount(10)
		k.Must(kit.Err(k.SignInByPasskey(k.Visitor, d)))
		k.Must(kit.Err(account.UpdateMFA(k.Ctx, true)))
		far := k.Guest(kit.At("203.0.113.9"))
		_, pending := k.Owing(far)
		wrong := edited(k, challenged(k, pending, d), func(_, response map[string]any) { response["signature"] = "AAAA" })
		if err := kit.Err(pending.FinishPasskeyChallenge(k.Ctx, wrong)); !errors.Is(err, latchkey.ErrInvalidToken) {
			k.Fatal(err)
		}
		k.Clock.Advance(time.Minute)
		stepUp, factor, signIn := challenged(k, account, d), challenged(k, pending, d), k.Offered(far, d)
		d.SetCount(10)
		copied := challenged(k, account, d)
		refused := func(what, mode string, do func() error) {
			k.Helper()
			k.Forget()
			changes(k, what, func() {
				if err := do(); !errors.Is(err, latchkey.ErrInvalidToken) {
					k.Errorf("%s: %v", what, err)
				}
			}, "passkeys", "ceremonies", "logs")
			p := stored(k)
			if !p.Cloned.Equal(k.Clock.Now()) || p.Count != 10 || p.Used.Equal(k.Clock.Now()) {
				k.Errorf("%s: count %d, copied %v, used %v", what, p.Count, p.Cloned, p.Used)
			}
			k.Same(what, k.Events(p.ID, "PASSKEY", account.UserID(), "ADA"), []string{"users.ADA.passkeys.PASSKEY.update by " + mode})
			k.Clock.Advance(time.Minute)
		}
		refused("a step-up", "user", func() error { return kit.Err(account.FinishPasskeyChallenge(k.Ctx, copied)) })
		refused("a step-up of before", "user", func() error { return kit.Err(account.FinishPasskeyChallenge(k.Ctx, stepUp)) })
		refused("a second factor", "user", func() error { return kit.Err(pending.FinishPasskeyChallenge(k.Ctx, factor)) })
		refused("a sign-in", "guest", func() error { return kit.Err(far.FinishPasskeySession(k.Ctx, signIn)) })
	})
}

// A sign-in that is refused as a copy does not claim the account, after a proof of its address elsewhere.
func TestARefusedCopyClaimsNoAccount(t *testing.T) {
	policy := kit.Documented
	policy.Factors.RefuseClonedPasskeys = true
	kit.OnEveryStore(t, policy, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		_, account := k.SignIn(kit.Ada)
		d := device()
		k.Enrol(account, d, latchkey.PasskeyEnrolment{})
		d.SetCount(10)
		k.Must(kit.Err(k.SignInByPasskey(k.Visitor, d)))
		link, err := account.CreateEmailVerification(k.Ctx, kit.VerifyURL)
		k.Must(err)
		m := k.MailOf(link, kit.Ada)
		k.Must(kit.Err(k.Visitor.ConfirmEmailVerification(k.Ctx, m.UserID, m.Secret))) // on another device
		changes(k, "a copy", func() {
			if err := kit.Err(k.SignInByPasskey(k.Visitor, d)); !errors.Is(err, latchkey.ErrInvalidToken) {
				k.Errorf("a copy: %v", err)
			}
		}, "passkeys", "ceremonies", "logs")
	})
}

// After a fault of any call of the store, the tables are as before an answer or as after it: the passkey, its use and the session
// change together. The question may be used up. Nothing that did not happen is told.
func TestAFaultLeavesAnAnswerWholeOrUndone(t *testing.T) {
	for name, c := range map[string]struct {
		prepare func(k *kit.Kit) (finish func() error)
		tables  []string // that change together
	}{
		"enrolment": {func(k *kit.Kit) func() error {
			_, account := k.SignIn(kit.Ada)
			answer := created(k, account, device())
			return func() error { return kit.Err(account.FinishPasskeyEnrolment(k.Ctx, answer, "")) }
		}, []string{"passkeys", "sessions", "users"}},
		"sign-in": {func(k *kit.Kit) func() error {
			_, account := k.SignIn(kit.Ada)
			d := device()
			k.Enrol(account, d, latchkey.PasskeyEnrolment{})
			answer := k.Offered(k.Visitor, d)
			return func() error { return kit.Err(k.Visitor.FinishPasskeySession(k.Ctx, answer)) }
		}, []string{"passkeys", "sessions"}},
		"step-up": {func(k *kit.Kit) func() error {
			_, account := k.SignIn(kit.Ada)
			d := device()
			k.Enrol(account, d, latchkey.PasskeyEnrolment{})
			answer := challenged(k, account, d)
			return func() error { return kit.Err(account.FinishPasskeyChallenge(k.Ctx, answer)) }
		}, []string{"passkeys", "sessions"}},
		"second factor": {func(k *kit.Kit) func() error {
			_, account := k.SignIn(kit.Ada)
			d := device()
			k.Enrol(account, d, latchkey.PasskeyEnrolment{})
			k.Must(kit.Err(account.UpdateMFA(k.Ctx, true)))
			_, pending := k.Owing(k.Visitor)
			answer := challenged(k, pending, d)
			return func() error { return kit.Err(pending.FinishPasskeyChallenge(k.Ctx, answer)) }
		}, []string{"passkeys", "sessions"}},
	} {
		t.Run(name, func(t *testing.T) {
			kit.OneByOne(t, kit.Documented, func(k *kit.Kit) {
				_, twice := k.Raw.(storetest.Twice) // it hides the fault of a first run
				for _, after := range []bool{false, true} {
					for n, again := 1, true; again; n++ {
						k.SignUp(kit.Ada)
						finish := c.prepare(k)
						k.Clock.Advance(time.Minute)
						k.Forget()
						before := k.Everything()
						reached := k.Failing(n, after)
						err := finish()
						again = reached()
						rows, changed := k.Everything(), []string{}
						for _, table := range c.tables {
							if !slices.Equal(before[table], rows[table]) {
								changed = append(changed, table)
							}
						}
						if len(changed) != 0 && len(changed) != len(c.tables) {
							k.Errorf("call %d, after its effect %v: only %v changed", n, after, changed)
						}
						if err == nil && len(changed) == 0 || err != nil && len(changed) != 0 && !after {
							k.Errorf("call %d, after its effect %v: %v, and %v changed", n, after, err, changed)
						}
						if told := k.Told.Take(); err != nil && len(changed) == 0 && len(told) != 0 {
							k.Errorf("call %d, after its effect %v: told %v", n, after, told)
						}
						if again && err == nil && !twice {
							k.Errorf("call %d, after its effect %v: the fault is not told", n, after)
						}
						for _, rule := range k.Broken() {
							k.Errorf("call %d, after its effect %v: %s", n, after, rule)
						}
						k.DeleteAll()
					}
				}
			})
		})
	}
}
