package latchkey_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/authtest"
	"example.com/latchkey/internal/ceremony"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/passkey"
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
		if err := kit.Err(pending.FinishPasskeyChallenge(k.Ctx, wrong)); !errors.Is(err, latchkey.ErrPasskeyRefused) {
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
				if err := do(); !errors.Is(err, latchkey.ErrPasskeyRefused) {
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
		account, d := k.Keyed()
		d.SetCount(10)
		k.Must(kit.Err(k.SignInByPasskey(k.Visitor, d)))
		link, err := account.CreateEmailVerification(k.Ctx, kit.VerifyURL)
		k.Must(err)
		m := k.MailOf(link, kit.Ada)
		k.Must(kit.Err(k.Visitor.ConfirmEmailVerification(k.Ctx, m.UserID, m.Secret))) // on another device
		changes(k, "a copy", func() {
			if err := kit.Err(k.SignInByPasskey(k.Visitor, d)); !errors.Is(err, latchkey.ErrPasskeyRefused) {
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

// comparing is a relying party that counts its comparisons.
type comparing struct {
	*passkey.RelyingParty
	known, decoys *atomic.Int64
}

func (c comparing) Asserted(kept []byte, said *ceremony.Answer, p ceremony.Credential) (*ceremony.Asserted, error) {
	c.known.Add(1)
	return c.RelyingParty.Asserted(kept, said, p)
}

func (c comparing) Decoy(kept []byte, said *ceremony.Answer) {
	c.decoys.Add(1)
	c.RelyingParty.Decoy(kept, said)
}

// C-41: an unknown passkey costs as many calls of the store as a wrong answer by a known one, and one comparison. So does a passkey of
// another user in a session.
func TestAnUnknownPasskeyCostsAsMuchAsAWrongAnswer(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		var known, decoys atomic.Int64
		engine := k.Configured(func(c *latchkey.Config) { c.Passkeys = comparing{kit.Passkeys, &known, &decoys} })
		guest := engine.Guest(kit.Client)
		k.SignUp(kit.Ada)
		k.SignUp(kit.Bob)
		of := func(email string) (*latchkey.Account, *authtest.Device) {
			session, account := k.SignIn(email)
			d := device()
			k.Enrol(account, d, latchkey.PasskeyEnrolment{})
			account, err := guest.Authenticate(k.Ctx, session.Secret.Reveal())
			k.Must(err)
			return account, d
		}
		ada, d := of(kit.Ada)
		_, bobs := of(kit.Bob)
		var other struct{ ID string }
		k.Must(json.Unmarshal(k.Offered(guest, bobs), &other))
		cost := func(do func() error) (string, int64) {
			k.Helper()
			k.Store.Reset()
			known.Store(0)
			decoys.Store(0)
			if err := do(); err == nil {
				k.Error("taken")
			}
			if n := known.Load() + decoys.Load(); n != 1 {
				k.Errorf("%d comparisons", n)
			}
			return fmt.Sprint(k.Store.Reads.Load(), k.Store.Updates.Load(), k.Store.Calls.Load()), decoys.Load()
		}
		wrong := func(_, response map[string]any) { response["signature"] = "AAAA" }
		withID := func(id string) func(all, _ map[string]any) {
			return func(all, _ map[string]any) { all["id"], all["rawId"] = id, id }
		}
		signIn := func(change func(all, response map[string]any)) (string, int64) {
			answer := edited(k, k.Offered(guest, d), change)
			return cost(func() error { return kit.Err(guest.FinishPasskeySession(k.Ctx, answer)) })
		}
		stepUp := func(change func(all, response map[string]any)) (string, int64) {
			k.Clock.Advance(time.Hour) // wrong answers slow the factor
			answer := edited(k, challenged(k, ada, d), change)
			return cost(func() error { return kit.Err(ada.FinishPasskeyChallenge(k.Ctx, answer)) })
		}
		for name, try := range map[string]func(func(all, response map[string]any)) (string, int64){"a sign-in": signIn, "a step-up": stepUp} {
			_, _ = try(wrong) // the row of the refusals is there then
			want, n := try(wrong)
			if n != 0 {
				k.Errorf("%s: a known passkey is compared as an unknown one", name)
			}
			_, _ = try(withID("AAAA"))
			got, n := try(withID("AAAA"))
			if n != 1 || got != want {
				k.Errorf("%s: an unknown passkey costs %s and %d decoys, want %s and 1", name, got, n, want)
			}
		}
		_, _ = stepUp(withID(other.ID))
		want, _ := stepUp(wrong)
		if got, n := stepUp(withID(other.ID)); n != 1 || got != want {
			k.Errorf("a passkey of another user costs %s and %d decoys, want %s and 1", got, n, want)
		}
	})
}
