package latchkey_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"example.com/latchkey/passkey"

	"example.com/latchkey"
	"example.com/latchkey/authtest"
	"example.com/latchkey/internal/kit"
)

func device() *authtest.Device { return authtest.NewDevice(kit.Page) }

func TestPasskeySignsIn(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user := k.SignUp(kit.Ada)
		_, account := k.SignIn(kit.Ada)
		d := device()
		made := k.Enrol(account, d, latchkey.PasskeyEnrolment{})
		if made.UserID != user.ID || made.Name != "Passkey" || made.SecondFactor || !made.UsedAt.IsZero() {
			k.Errorf("%+v", made)
		}
		k.Clock.Advance(time.Hour)
		session, err := k.SignInByPasskey(k.Visitor, d)
		k.Must(err)
		k.Same("factors", session.Factors, []string{"passkey"})
		if session.UserID != user.ID || session.Provider != "passkey" {
			k.Errorf("%+v", session)
		}
		own, err := k.Visitor.Authenticate(k.Ctx, session.Secret.Reveal())
		k.Must(err)
		list, err := own.Passkeys(k.Ctx)
		k.Must(err)
		if list.Total != 1 || list.Passkeys[0].UsedAt.IsZero() {
			k.Errorf("%+v", list)
		}
	})
}

// A passkey whose authenticator has verified its user is two factors.
func TestPasskeyIsTwoFactors(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.Proven()
		_, account := k.SignIn(kit.Ada)
		d := device()
		k.Enrol(account, d, latchkey.PasskeyEnrolment{})
		_, err := account.UpdateMFA(k.Ctx, true)
		k.Must(err)
		session, err := k.SignInByPasskey(k.Visitor, d)
		k.Must(err)
		_, err = k.Visitor.Authenticate(k.Ctx, session.Secret.Reveal())
		k.Must(err)

		// To the password it is the second one.
		_, pending := k.Owing(k.Visitor)
		start, err := pending.StartPasskeyChallenge(k.Ctx)
		k.Must(err)
		answer, err := d.Get(start.Options)
		k.Must(err)
		full, err := pending.FinishPasskeyChallenge(k.Ctx, answer)
		k.Must(err)
		k.Same("factors", full.Factors, []string{"password", "passkey"})
		_, err = k.Visitor.Authenticate(k.Ctx, full.Secret.Reveal())
		k.Must(err)
	})
}

func TestAQuestionToAnAuthenticatorIsAnsweredOnce(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		_, d := k.Keyed()
		answer := k.Offered(k.Visitor, d)
		results := make(chan error)
		for range 50 {
			go func() { results <- kit.Err(k.Visitor.FinishPasskeySession(k.Ctx, answer)) }()
		}
		in := 0
		for range 50 {
			switch err := <-results; {
			case err == nil:
				in++
			case !errors.Is(err, latchkey.ErrPasskeyRefused):
				k.Error(err)
			}
		}
		if in != 1 {
			k.Errorf("%d sessions", in)
		}
	})
}

// stepUp proves a passkey in a session, and returns the account with the new secret.
func stepUp(k *kit.Kit, a *latchkey.Account, d *authtest.Device) *latchkey.Account {
	k.Helper()
	start, err := a.StartPasskeyChallenge(k.Ctx)
	k.Must(err)
	answer, err := d.Get(start.Options)
	k.Must(err)
	session, err := a.FinishPasskeyChallenge(k.Ctx, answer)
	k.Must(err)
	a, err = k.Visitor.Authenticate(k.Ctx, session.Secret.Reveal())
	k.Must(err)
	return a
}

// A question of one ceremony, session or user is unknown to the others, and one of five minutes ago to all.
func TestAQuestionIsOfOneCeremonyAndOneSession(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		_, account := k.SignIn(kit.Ada)
		_, other := k.SignIn(kit.Ada)
		d := device()
		k.Enrol(account, d, latchkey.PasskeyEnrolment{})
		challenge := func(a *latchkey.Account) []byte {
			start, err := a.StartPasskeyChallenge(k.Ctx)
			k.Must(err)
			answer, err := d.Get(start.Options)
			k.Must(err)
			return answer
		}
		signIn, stepUp := k.Offered(k.Visitor, d), challenge(account)
		answers := func(want error, do func() error) {
			k.Helper()
			if err := do(); !errors.Is(err, want) {
				k.Errorf("%v, want %v", err, want)
			}
		}
		answers(latchkey.ErrPasskeyRefused, func() error { return kit.Err(account.FinishPasskeyChallenge(k.Ctx, signIn)) })
		answers(latchkey.ErrPasskeyRefused, func() error { return kit.Err(k.Visitor.FinishPasskeySession(k.Ctx, stepUp)) })
		answers(latchkey.ErrPasskeyRefused, func() error { return kit.Err(other.FinishPasskeyChallenge(k.Ctx, stepUp)) })
		k.Must(kit.Err(k.Visitor.FinishPasskeySession(k.Ctx, signIn))) // nobody has used them up
		stepUpAgain := challenge(account)
		k.Must(kit.Err(account.FinishPasskeyChallenge(k.Ctx, stepUpAgain)))

		signIn = k.Offered(k.Visitor, d)
		k.Clock.Advance(5 * time.Minute)
		answers(latchkey.ErrPasskeyRefused, func() error { return kit.Err(k.Visitor.FinishPasskeySession(k.Ctx, signIn)) })
	})
}

// The first answer uses a question up, also a wrong one.
func TestAWrongAnswerUsesTheQuestionUp(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		_, d := k.Keyed()
		start, err := k.Visitor.StartPasskeySession(k.Ctx, latchkey.PasskeyOffer{Conditional: true})
		k.Must(err)
		unverified := *d
		unverified.Unverified = true
		wrong, err := unverified.Get(start.Options)
		k.Must(err)
		right, err := d.Get(start.Options)
		k.Must(err)
		for _, answer := range [][]byte{wrong, right} {
			if _, err := k.Visitor.FinishPasskeySession(k.Ctx, answer); !errors.Is(err, latchkey.ErrPasskeyRefused) {
				k.Error(err)
			}
		}
		k.Refuses("no answer", latchkey.ErrArgumentInvalid, func() error { return kit.Err(k.Visitor.FinishPasskeySession(k.Ctx, []byte("{}"))) })
	})
}

func TestPasskeysOfABlockedUserSignNobodyIn(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user := k.SignUp(kit.Ada)
		_, account := k.SignIn(kit.Ada)
		d := device()
		k.Enrol(account, d, latchkey.PasskeyEnrolment{})
		answer := k.Offered(k.Visitor, d)
		k.Must(kit.Err(k.Users().UpdateStatus(k.Ctx, user.ID, false)))
		if _, err := k.Visitor.FinishPasskeySession(k.Ctx, answer); !errors.Is(err, latchkey.ErrUserBlocked) {
			k.Errorf("a right answer: %v", err)
		}
		d.Unverified = true
		if _, err := k.SignInByPasskey(k.Visitor, d); !errors.Is(err, latchkey.ErrPasskeyRefused) {
			k.Errorf("a wrong one: %v", err)
		}
	})
}

// A count that does not rise marks the passkey, tells the user, and is refused only where the policy says so.
func TestACountThatDoesNotRiseMarksThePasskey(t *testing.T) {
	for _, strict := range []bool{false, true} {
		policy := kit.Documented
		policy.Factors.RefuseClonedPasskeys = strict
		kit.OnEveryStore(t, policy, func(k *kit.Kit) {
			k.Proven()
			_, account := k.SignIn(kit.Ada)
			d := device()
			d.Counting = true
			k.Enrol(account, d, latchkey.PasskeyEnrolment{})
			state := func() *latchkey.Passkey {
				list, err := account.Passkeys(k.Ctx)
				k.Must(err)
				return list.Passkeys[0]
			}
			d.SetCount(10)
			k.Must(kit.Err(k.SignInByPasskey(k.Visitor, d)))
			if !state().ClonedAt.IsZero() {
				k.Error("a count that rises")
			}
			k.Forget()
			d.SetCount(4)
			_, err := k.SignInByPasskey(k.Visitor, d)
			if strict != errors.Is(err, latchkey.ErrPasskeyRefused) || !strict && err != nil {
				k.Errorf("strict %v: %v", strict, err)
			}
			if state().ClonedAt.IsZero() {
				k.Errorf("strict %v: %+v", strict, state())
			}
			d.SetCount(11) // the next one is above the highest
			k.Must(kit.Err(k.SignInByPasskey(k.Visitor, d)))
		})
	}
}

// A passkey may come to be on several devices, and its user is told. It cannot go back.
func TestAPasskeyMayComeToBeSynced(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.Proven()
		_, account := k.SignIn(kit.Ada)
		d := device()
		made := k.Enrol(account, d, latchkey.PasskeyEnrolment{})
		if made.Syncable || made.Synced {
			k.Errorf("%+v", made)
		}
		d.Syncable, d.Synced = true, true
		k.Must(kit.Err(k.SignInByPasskey(k.Visitor, d)))
		list, err := account.Passkeys(k.Ctx)
		k.Must(err)
		if !list.Passkeys[0].Syncable || !list.Passkeys[0].Synced {
			k.Errorf("%+v", list.Passkeys[0])
		}
		d.Syncable, d.Synced = false, false
		if _, err := k.SignInByPasskey(k.Visitor, d); !errors.Is(err, latchkey.ErrPasskeyRefused) {
			k.Errorf("back: %v", err)
		}
	})
}

// A key that does not verify its user is a second factor, and signs nobody in.
func TestASecondFactorSignsNobodyIn(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.Proven()
		_, account := k.SignIn(kit.Ada)
		d := device()
		d.Unverified = true
		made := k.Enrol(account, d, latchkey.PasskeyEnrolment{SecondFactor: true})
		if !made.SecondFactor {
			k.Errorf("%+v", made)
		}
		k.Must(kit.Err(account.UpdateMFA(k.Ctx, true)))
		for _, unverified := range []bool{true, false} {
			d.Unverified = unverified
			if _, err := k.SignInByPasskey(k.Visitor, d); !errors.Is(err, latchkey.ErrPasskeyRefused) {
				k.Errorf("unverified %v: %v", unverified, err)
			}
		}
		_, pending := k.Owing(k.Visitor)
		have, err := pending.MFAFactors(k.Ctx)
		k.Must(err)
		if !have.Passkey || !have.Helps.Passkey {
			k.Errorf("%+v", have)
		}
		d.Unverified = true
		start, err := pending.StartPasskeyChallenge(k.Ctx)
		k.Must(err)
		answer, err := d.Get(start.Options)
		k.Must(err)
		full, err := pending.FinishPasskeyChallenge(k.Ctx, answer)
		k.Must(err)
		k.Must(kit.Err(k.Visitor.Authenticate(k.Ctx, full.Secret.Reveal())))
	})
}

// A passkey that another session has enrolled before MFA was switched on is one factor, until a session of it has proven
// another one: a thief may have prepared it.
func TestAPasskeyFromBeforeMFAIsOneFactor(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.Proven()
		_, thief := k.SignIn(kit.Ada)
		planted := device()
		k.Enrol(thief, planted, latchkey.PasskeyEnrolment{})
		_, account := k.SignIn(kit.Ada)
		own := device()
		account = stepUp(k, account, planted) // the strongest factor is asked for
		k.Enrol(account, own, latchkey.PasskeyEnrolment{})
		k.Must(kit.Err(account.UpdateMFA(k.Ctx, true)))
		session, err := k.SignInByPasskey(k.Visitor, planted)
		k.Must(err)
		_, err = k.Visitor.Authenticate(k.Ctx, session.Secret.Reveal())
		owing, is := errors.AsType[*latchkey.MoreFactorsError](err)
		if !is {
			k.Fatalf("the planted one: %v", err)
		}
		k.Refuses("the same passkey again", latchkey.ErrFactorDoesNotHelp, func() error { return kit.Err(owing.Pending.StartPasskeyChallenge(k.Ctx)) })
		session, err = k.SignInByPasskey(k.Visitor, own)
		k.Must(err)
		k.Must(kit.Err(k.Visitor.Authenticate(k.Ctx, session.Secret.Reveal())))

		challenge, err := owing.Pending.CreateMFAChallenge(k.Ctx, latchkey.FactorEmail)
		k.Must(err)
		k.Must(kit.Err(owing.Pending.ConfirmMFAChallenge(k.Ctx, challenge.ID, k.Message(challenge.ID, kit.Ada).Secret)))
		session, err = k.SignInByPasskey(k.Visitor, planted)
		k.Must(err)
		k.Must(kit.Err(k.Visitor.Authenticate(k.Ctx, session.Secret.Reveal())))
	})
}

// A new passkey needs a fresh session, and from the second one on the strongest factor.
func TestANewPasskeyNeedsAFreshProof(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		_, account := k.SignIn(kit.Ada)
		d := device()
		enrol := func(a *latchkey.Account) error {
			return kit.Err(a.StartPasskeyEnrolment(k.Ctx, latchkey.PasskeyEnrolment{}))
		}
		start, err := account.StartPasskeyEnrolment(k.Ctx, latchkey.PasskeyEnrolment{})
		k.Must(err)
		answer, err := d.Create(start.Options)
		k.Must(err)
		k.Clock.Advance(4 * time.Minute)
		k.Must(kit.Err(account.FinishPasskeyEnrolment(k.Ctx, answer, "Telephone")))
		_, other := k.SignIn(kit.Ada)
		k.Refuses("by the password", latchkey.ErrChallengeRequired, func() error { return enrol(other) })
		other = stepUp(k, other, d)
		k.Must(enrol(other))
		k.Clock.Advance(31 * time.Minute)
		k.Refuses("long ago", latchkey.ErrChallengeRequired, func() error { return enrol(account) })
		k.Must(enrol(stepUp(k, account, d)))
	})
}

func TestAPasskeyBelongsToOneUserOnce(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		k.SignUp(kit.Bob)
		_, ada := k.SignIn(kit.Ada)
		_, bob := k.SignIn(kit.Bob)
		first, err := ada.StartPasskeyEnrolment(k.Ctx, latchkey.PasskeyEnrolment{})
		k.Must(err)
		second, err := ada.StartPasskeyEnrolment(k.Ctx, latchkey.PasskeyEnrolment{})
		k.Must(err)
		d := device()
		answer, err := d.Create(first.Options)
		k.Must(err)
		k.Must(kit.Err(ada.FinishPasskeyEnrolment(k.Ctx, answer, "")))
		if _, err := d.Create(second.Options); err != nil { // the options are from before
			k.Fatal(err)
		}
		made := k.Enrol(bob, device(), latchkey.PasskeyEnrolment{})
		k.Refuses("another user's", latchkey.ErrPasskeyNotFound, func() error { return kit.Err(ada.RenamePasskey(k.Ctx, made.ID, "Mine")) })
		ada = stepUp(k, ada, d)
		k.Refuses("another user's", latchkey.ErrPasskeyNotFound, func() error { return ada.DeletePasskey(k.Ctx, made.ID) })
		for _, name := range []string{"", " ", strings.Repeat("é", 65), "a\x00"} {
			k.Refuses("a name", latchkey.ErrArgumentInvalid, func() error { return kit.Err(ada.RenamePasskey(k.Ctx, made.ID, name)) })
		}
	})
}

func TestAUserHasTenPasskeys(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		_, account := k.SignIn(kit.Ada)
		for range 10 {
			k.Enrol(account, device(), latchkey.PasskeyEnrolment{})
		}
		k.Refuses("the 11th", latchkey.ErrArgumentInvalid, func() error { return kit.Err(account.StartPasskeyEnrolment(k.Ctx, latchkey.PasskeyEnrolment{})) })
		list, err := k.Users().Passkeys(k.Ctx, account.UserID())
		k.Must(err)
		if list.Total != 10 {
			k.Errorf("%d", list.Total)
		}
	})
}

// A passkey makes an anonymous account a full one, and is then its last way in.
func TestTheLastWayInStays(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		_, account := k.Anonymous()
		d := device()
		made := k.Enrol(account, d, latchkey.PasskeyEnrolment{})
		session, err := k.SignInByPasskey(k.Visitor, d)
		k.Must(err)
		if session.UserID != account.UserID() {
			k.Errorf("%+v", session)
		}
		account = stepUp(k, account, d)
		k.Refuses("the last way in", latchkey.ErrLastWayIn, func() error { return account.DeletePasskey(k.Ctx, made.ID) })
		second := device()
		k.Enrol(account, second, latchkey.PasskeyEnrolment{})
		k.Must(account.DeletePasskey(k.Ctx, made.ID))
		k.Refuses("its session", latchkey.ErrUnauthorized, func() error { return kit.Err(k.Visitor.Authenticate(k.Ctx, session.Secret.Reveal())) })
		k.Must(kit.Err(k.SignInByPasskey(k.Visitor, second)))
		if _, err := k.SignInByPasskey(k.Visitor, d); !errors.Is(err, latchkey.ErrPasskeyUnknown) {
			k.Errorf("the deleted one: %v", err)
		}
	})
}

// With the last passkey, the demand for it ends.
func TestADeletedPasskeyIsNotAskedFor(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user := k.SignUp(kit.Ada)
		_, account := k.SignIn(kit.Ada)
		d := device()
		made := k.Enrol(account, d, latchkey.PasskeyEnrolment{})
		k.Must(kit.Err(account.UpdateMFA(k.Ctx, true)))
		k.Owing(k.Visitor)
		k.Must(k.Users().DeletePasskey(k.Ctx, user.ID, made.ID))
		session, err := k.Visitor.CreateEmailPasswordSession(k.Ctx, kit.Ada, kit.Password)
		k.Must(err)
		k.Must(kit.Err(k.Visitor.Authenticate(k.Ctx, session.Secret.Reveal())))
	})
}

func TestPasskeysGoWithTheirUser(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user := k.SignUp(kit.Ada)
		_, account := k.SignIn(kit.Ada)
		d := device()
		k.Enrol(account, d, latchkey.PasskeyEnrolment{})
		k.Must(kit.Err(account.StartPasskeyEnrolment(k.Ctx, latchkey.PasskeyEnrolment{})))
		k.Must(k.Users().Delete(k.Ctx, user.ID))
		rows := k.Rows()
		if rows["passkeys"]+rows["handles"]+rows["ceremonies"] != 0 {
			k.Errorf("%v", rows)
		}
	})
}

// Who proves an address first is not let in beside the passkeys of who has planted them.
func TestTheFirstProofOfAnAddressRemovesPasskeys(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		_, planter := k.SignIn(kit.Ada)
		d := device()
		k.Enrol(planter, d, latchkey.PasskeyEnrolment{})
		token, err := k.Visitor.CreateMagicURLToken(k.Ctx, latchkey.NewMagicURLToken{Email: kit.Ada})
		k.Must(err)
		k.Must(kit.Err(k.Visitor.CreateSession(k.Ctx, token.UserID, k.MailOf(token, kit.Ada).Secret)))
		if _, err := k.SignInByPasskey(k.Visitor, d); !errors.Is(err, latchkey.ErrPasskeyUnknown) {
			k.Error(err)
		}
	})
}

func TestPasskeysCanBeSwitchedOff(t *testing.T) {
	policy := kit.Documented
	policy.Disabled = latchkey.MethodPasskey
	kit.OnEveryStore(t, policy, func(k *kit.Kit) {
		k.Refuses("by the policy", latchkey.ErrAuthMethodUnsupported, func() error { return kit.Err(k.Visitor.StartPasskeySession(k.Ctx, latchkey.PasskeyOffer{})) })
		k.Refuses("by the policy", latchkey.ErrAuthMethodUnsupported, func() error { return kit.Err(k.Visitor.FinishPasskeySession(k.Ctx, kit.UnknownAnswer)) })
		engine := k.Configured(func(c *latchkey.Config) { c.Passkeys = nil })
		k.SignUp(kit.Ada)
		session, _ := k.SignIn(kit.Ada)
		account, err := engine.Guest(kit.Client).Authenticate(k.Ctx, session.Secret.Reveal())
		k.Must(err)
		k.Refuses("without Config.Passkeys", latchkey.ErrAuthMethodUnsupported, func() error { return kit.Err(account.StartPasskeyEnrolment(k.Ctx, latchkey.PasskeyEnrolment{})) })
	})
}

func TestPasskeysOfAnotherDomainAreRefusedAtTheStart(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.Keyed()
		other, err := passkey.New(passkey.Config{RPID: "example.com", Name: "Example", Origins: []string{"https://example.com"}})
		k.Must(err)
		config := latchkey.Config{Keys: k.Keys, Hasher: k.Hasher, Passkeys: other, LimiterPerProcess: true}
		if _, err := latchkey.New(k.Store, config); err == nil || !strings.Contains(err.Error(), "another domain") {
			k.Errorf("%v", err)
		}
		config.PasskeysOfOtherDomains = true
		engine, err := latchkey.New(k.Store, config)
		k.Must(err)
		k.Must(engine.Close())
	})
}

// Strangers cannot make any number of questions, and those of a session are five.
func TestOpenQuestionsAreBounded(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		account, d := k.Keyed()
		start, err := account.StartPasskeyChallenge(k.Ctx)
		k.Must(err)
		first, err := d.Get(start.Options)
		k.Must(err)
		for range 5 {
			k.Must(kit.Err(account.StartPasskeyEnrolment(k.Ctx, latchkey.PasskeyEnrolment{})))
		}
		if _, err := account.FinishPasskeyChallenge(k.Ctx, first); !errors.Is(err, latchkey.ErrPasskeyRefused) {
			k.Errorf("the oldest of six: %v", err)
		}
		mine := k.Offered(k.Guest(kit.At("203.0.113.9")), d)
		for range 60 {
			k.Must(kit.Err(k.Visitor.StartPasskeySession(k.Ctx, latchkey.PasskeyOffer{})))
		}
		if n := k.Rows()["ceremonies"]; n != 5+1+40 {
			k.Errorf("%d rows", n)
		}
		k.Must(kit.Err(k.Guest(kit.At("203.0.113.9")).FinishPasskeySession(k.Ctx, mine)))
		k.Clock.Advance(6 * time.Minute)
		k.Must(kit.Err(k.Sweep(k.Ctx)))
		if n := k.Rows()["ceremonies"]; n != 0 {
			k.Errorf("%d rows after a sweep", n)
		}
	})
}

// A sign-in by a passkey is a challenge too: its user is not asked for the same device once more.
func TestASignInByAPasskeyIsFreshForAStepUp(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		account, d := k.Keyed()
		other := k.Enrol(account, device(), latchkey.PasskeyEnrolment{})
		session, err := k.SignInByPasskey(k.Visitor, d)
		k.Must(err)
		account, err = k.Visitor.Authenticate(k.Ctx, session.Secret.Reveal())
		k.Must(err)
		k.Clock.Advance(31 * time.Minute)
		k.Refuses("later", latchkey.ErrChallengeRequired, func() error { return account.DeletePasskey(k.Ctx, other.ID) })
		session, err = k.SignInByPasskey(k.Visitor, d)
		k.Must(err)
		account, err = k.Visitor.Authenticate(k.Ctx, session.Secret.Reveal())
		k.Must(err)
		k.Must(account.DeletePasskey(k.Ctx, other.ID))
	})
}

func TestAMemberWithAPasskeyHasMFA(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		account, _ := k.Keyed()
		k.Must(kit.Err(account.UpdateMFA(k.Ctx, true)))
		team, err := account.Teams().Create(k.Ctx, latchkey.NewTeam{Name: "Engines"})
		k.Must(err)
		list, err := k.Engine.Teams().Memberships(k.Ctx, team.ID)
		k.Must(err)
		if !list.Memberships[0].MFA {
			k.Errorf("%+v", list.Memberships[0])
		}
	})
}

// StrictPolicy ends the other sessions of a user who gets or loses a factor.
func TestANewPasskeyEndsTheOtherSessions(t *testing.T) {
	policy := kit.Documented
	policy.Sessions.EndOnChange = true
	kit.OnEveryStore(t, policy, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		other, _ := k.SignIn(kit.Ada)
		_, account := k.SignIn(kit.Ada)
		k.Enrol(account, device(), latchkey.PasskeyEnrolment{})
		if err := kit.Err(k.Visitor.Authenticate(k.Ctx, other.Secret.Reveal())); err == nil {
			k.Error("the other session is good")
		}
	})
}

func TestAJWTNeitherMakesNorProvesAPasskey(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user := k.Proven()
		session, account := k.SignIn(kit.Ada)
		d := device()
		k.Enrol(account, d, latchkey.PasskeyEnrolment{})
		byJWT, _ := k.ByJWT(user.ID, session.ID)
		for name, do := range map[string]func() error{
			"start":    func() error { return kit.Err(byJWT.StartPasskeyEnrolment(k.Ctx, latchkey.PasskeyEnrolment{})) },
			"finish":   func() error { return kit.Err(byJWT.FinishPasskeyEnrolment(k.Ctx, kit.UnknownEnrolment, "")) },
			"step":     func() error { return kit.Err(byJWT.StartPasskeyChallenge(k.Ctx)) },
			"stepdone": func() error { return kit.Err(byJWT.FinishPasskeyChallenge(k.Ctx, kit.UnknownAnswer)) },
		} {
			k.Refuses(name, latchkey.ErrSessionNotFound, do)
		}
	})
}
