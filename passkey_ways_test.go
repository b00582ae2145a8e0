package latchkey_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/descope/virtualwebauthn"

	"example.com/latchkey"
	"example.com/latchkey/authtest"
	"example.com/latchkey/internal/ceremony"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/passkey"
)

// A passkey is a way in if its user can sign in by it: it is no second factor only, and neither the host nor the policy is without
// passkeys. A password and an identity of a provider that the host has are ways in too.
func TestThePasskeysThatAreWaysIn(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		off := k.Configured(func(c *latchkey.Config) { c.Policy.Disabled = latchkey.MethodPasskey })
		without := k.Configured(func(c *latchkey.Config) { c.Passkeys = nil })
		alone := k.Configured(func(c *latchkey.Config) { c.Providers = nil })
		at := func(e *latchkey.Engine, a *latchkey.Account, d *authtest.Device) *latchkey.Account { // the session after a step-up
			k.Helper()
			session, err := a.FinishPasskeyChallenge(k.Ctx, challenged(k, a, d))
			k.Must(err)
			a, err = e.Guest(kit.Client).Authenticate(k.Ctx, session.Secret.Reveal())
			k.Must(err)
			return a
		}
		// An account with nothing but passkeys.
		_, account := k.Anonymous()
		first, second, key := device(), device(), device()
		one := k.Enrol(account, first, latchkey.PasskeyEnrolment{})
		two := k.Enrol(account, second, latchkey.PasskeyEnrolment{})
		only := k.Enrol(account, key, latchkey.PasskeyEnrolment{SecondFactor: true})
		account = at(off, account, first)
		k.Refuses("passkeys are switched off", latchkey.ErrLastWayIn, func() error { return account.DeletePasskey(k.Ctx, one.ID) })
		account = at(k.Engine, account, first)
		k.Must(account.DeletePasskey(k.Ctx, two.ID))
		account = at(k.Engine, account, first)
		k.Refuses("a second factor is no way in", latchkey.ErrLastWayIn, func() error { return account.DeletePasskey(k.Ctx, one.ID) })
		k.Must(account.DeletePasskey(k.Ctx, only.ID))

		// An account with a password and no verified address.
		k.SignUp(kit.Ada)
		_, ada := k.SignIn(kit.Ada)
		d := device()
		made := k.Enrol(ada, d, latchkey.PasskeyEnrolment{})
		k.Must(stepUp(k, ada, d).DeletePasskey(k.Ctx, made.ID))

		// An account with an identity.
		session := k.SignInBy(k.Visitor, k.Acme, acmeAda)
		linked, err := k.Visitor.Authenticate(k.Ctx, session.Secret.Reveal())
		k.Must(err)
		d, key = device(), device()
		made = k.Enrol(linked, d, latchkey.PasskeyEnrolment{})
		list, err := linked.Identities(k.Ctx)
		k.Must(err)
		identity := list.Identities[0].ID
		k.Must(kit.Err(k.Users().UpdateEmail(k.Ctx, linked.UserID(), "")))
		session, err = k.SignInByPasskey(k.Visitor, d)
		k.Must(err)
		linked, err = k.Visitor.Authenticate(k.Ctx, session.Secret.Reveal())
		k.Must(err)
		for name, e := range map[string]*latchkey.Engine{"passkeys are switched off": off, "the host has no passkeys": without} {
			moved, err := e.Guest(kit.Client).Authenticate(k.Ctx, session.Secret.Reveal())
			k.Must(err)
			k.Refuses(name, latchkey.ErrLastWayIn, func() error { return moved.DeleteIdentity(k.Ctx, identity) })
		}
		linked = at(alone, linked, d)
		k.Refuses("the host has no provider", latchkey.ErrLastWayIn, func() error { return linked.DeletePasskey(k.Ctx, made.ID) })
		linked = at(k.Engine, linked, d)
		k.Enrol(linked, key, latchkey.PasskeyEnrolment{SecondFactor: true})
		linked = at(k.Engine, linked, d)
		k.Must(linked.DeletePasskey(k.Ctx, made.ID))
		list, err = k.Users().Identities(k.Ctx)
		k.Must(err)
		k.Refuses("a second factor is no way in", latchkey.ErrLastWayIn, func() error { return k.Users().DeleteIdentity(k.Ctx, list.Identities[0].ID) })

		// An account without any way in gets no second factor: it would not be anonymous any more, and still have none.
		_, none := k.Anonymous()
		k.Refuses("a second factor of a guest", latchkey.ErrArgumentInvalid, func() error {
			return kit.Err(none.StartPasskeyEnrolment(k.Ctx, latchkey.PasskeyEnrolment{SecondFactor: true}))
		})
	})
}

// A deletion asks for a proof by a factor: a session that has just signed in by the password alone deletes nothing.
func TestADeletionOfAPasskeyNeedsAProof(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		_, account := k.SignIn(kit.Ada)
		d := device()
		made := k.Enrol(account, d, latchkey.PasskeyEnrolment{})
		_, other := k.SignIn(kit.Ada)
		k.Refuses("by the password", latchkey.ErrChallengeRequired, func() error { return other.DeletePasskey(k.Ctx, made.ID) })
		k.Must(stepUp(k, other, d).DeletePasskey(k.Ctx, made.ID))
	})
}

// A deletion takes the proofs of the passkey, and no others: a session that another passkey has opened keeps its own. The policy may
// end the other sessions.
func TestADeletionTakesTheProofsOfItsPasskey(t *testing.T) {
	for _, ends := range []bool{false, true} {
		policy := kit.Documented
		policy.Sessions.EndOnChange = ends
		kit.OnEveryStore(t, policy, func(k *kit.Kit) {
			user := k.SignUp(kit.Ada)
			_, account := k.SignIn(kit.Ada)
			d, rest := device(), device()
			lost := k.Enrol(account, d, latchkey.PasskeyEnrolment{})
			k.Enrol(account, rest, latchkey.PasskeyEnrolment{})
			k.Must(kit.Err(account.UpdateMFA(k.Ctx, true)))
			opened, err := k.SignInByPasskey(k.Visitor, rest)
			k.Must(err)
			k.Must(k.Users().DeletePasskey(k.Ctx, user.ID, lost.ID))
			own, err := k.Visitor.Authenticate(k.Ctx, opened.Secret.Reveal())
			if (err == nil) == ends {
				k.Errorf("the policy ends sessions %v: %v", ends, err)
			}
			if err == nil {
				k.Must(kit.Err(own.StartPasskeyEnrolment(k.Ctx, latchkey.PasskeyEnrolment{}))) // it is the strongest proof still
			}
		})
	}
}

// With the last passkey go the wrong answers and the proof of the session that deletes it.
func TestTheLastPasskeyTakesItsTracesAlong(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		_, account := k.SignIn(kit.Ada)
		d := device()
		made := k.Enrol(account, d, latchkey.PasskeyEnrolment{})
		account = stepUp(k, account, d)
		_, other := k.SignIn(kit.Ada)
		wrong := edited(k, challenged(k, other, d), func(_, response map[string]any) { response["signature"] = "AAAA" })
		if err := kit.Err(other.FinishPasskeyChallenge(k.Ctx, wrong)); !errors.Is(err, latchkey.ErrPasskeyRefused) {
			k.Error(err)
		}
		k.Must(account.DeletePasskey(k.Ctx, made.ID))
		for _, row := range k.Everything()["failures"] {
			if strings.Contains(row, "factor/passkey") {
				k.Errorf("wrong answers stay: %s", row)
			}
		}
		list, err := account.Sessions(k.Ctx)
		k.Must(err)
		for _, s := range list.Sessions {
			k.Same("factors", s.Factors, []string{"password"})
		}
	})
}

// The session that switches MFA on trusts the passkey that has opened it.
func TestAPasskeyThatSwitchesMFAOnIsTwoFactors(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.Proven()
		_, account := k.SignIn(kit.Ada)
		d := device()
		k.Enrol(account, d, latchkey.PasskeyEnrolment{})
		session, err := k.SignInByPasskey(k.Visitor, d)
		k.Must(err)
		by, err := k.Visitor.Authenticate(k.Ctx, session.Secret.Reveal())
		k.Must(err)
		k.Must(kit.Err(by.UpdateMFA(k.Ctx, true)))
		session, err = k.SignInByPasskey(k.Visitor, d)
		k.Must(err)
		k.Must(kit.Err(k.Visitor.Authenticate(k.Ctx, session.Secret.Reveal())))
	})
}

// A question for an owed factor is none for a step-up: the session has come to owe nothing meanwhile.
func TestAQuestionForAFactorIsNoneForAStepUp(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.Proven()
		_, account := k.SignIn(kit.Ada)
		d := device()
		k.Enrol(account, d, latchkey.PasskeyEnrolment{})
		k.Must(kit.Err(account.UpdateMFA(k.Ctx, true)))
		_, pending := k.Owing(k.Visitor)
		early := challenged(k, pending, d)
		session, err := pending.FinishPasskeyChallenge(k.Ctx, challenged(k, pending, d))
		k.Must(err)
		full, err := k.Visitor.Authenticate(k.Ctx, session.Secret.Reveal())
		k.Must(err)
		if err := kit.Err(full.FinishPasskeyChallenge(k.Ctx, early)); !errors.Is(err, latchkey.ErrPasskeyRefused) {
			k.Errorf("%v", err)
		}
	})
}

// A passkey that another user has is not called unknown to the browser, because the service knows it.
func TestATakenPasskeyIsNotCalledUnknown(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		k.SignUp(kit.Bob)
		key := virtualwebauthn.NewCredential(virtualwebauthn.KeyTypeEC2)
		enrol := func(email string) error {
			_, account := k.SignIn(email)
			start, err := account.StartPasskeyEnrolment(k.Ctx, latchkey.PasskeyEnrolment{})
			k.Must(err)
			asked, err := virtualwebauthn.ParseAttestationOptions(string(start.Options))
			k.Must(err)
			rp := virtualwebauthn.RelyingParty{ID: "example.org", Name: "Example", Origin: kit.Page}
			answer := virtualwebauthn.CreateAttestationResponse(rp, virtualwebauthn.NewAuthenticator(), key, *asked)
			return kit.Err(account.FinishPasskeyEnrolment(k.Ctx, []byte(answer), ""))
		}
		k.Must(enrol(kit.Ada))
		err := enrol(kit.Bob)
		if _, unknown := errors.AsType[*latchkey.UnknownPasskeyError](err); unknown || !errors.Is(err, latchkey.ErrPasskeyAlreadyExists) {
			k.Errorf("%T %v", err, err)
		}
	})
}

// A user who is deleted while an answer is compared has no session.
func TestAUserIsDeletedMeanwhile(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user := k.SignUp(kit.Ada)
		_, account := k.SignIn(kit.Ada)
		d := device()
		k.Enrol(account, d, latchkey.PasskeyEnrolment{})
		answer := k.Offered(k.Visitor, d)
		atCommit(k, 2, func() { k.Must(k.Users().Delete(k.Ctx, user.ID)) }, func() {
			if err := kit.Err(k.Visitor.FinishPasskeySession(k.Ctx, answer)); !errors.Is(err, latchkey.ErrPasskeyRefused) {
				k.Errorf("%v", err)
			}
		})
	})
}

// unverifying is a relying party that has forgotten to ask for the verification of the user.
type unverifying struct{ *passkey.RelyingParty }

func (u unverifying) Asserted(kept []byte, said *ceremony.Answer, c ceremony.Credential) (*ceremony.Asserted, error) {
	got, err := u.RelyingParty.Asserted(kept, said, c)
	if err == nil {
		got.Verified = false
	}
	return got, err
}

// The engine looks at the verification itself, whatever the relying party makes of it.
func TestASignInIsVerifiedByTheEngineToo(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		_, d := k.Keyed()
		guest := k.Configured(func(c *latchkey.Config) { c.Passkeys = unverifying{kit.Passkeys} }).Guest(kit.Client)
		if _, err := k.SignInByPasskey(guest, d); !errors.Is(err, latchkey.ErrPasskeyRefused) {
			k.Errorf("%v", err)
		}
	})
}

// A text that can be no id is an argument that cannot be read, and not an unknown passkey.
func TestATextThatIsNoIDOfAPasskeyIsRefused(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user := k.SignUp(kit.Ada)
		_, account := k.SignIn(kit.Ada)
		for _, id := range []string{"", "a b", strings.Repeat("a", 300)} {
			k.Refuses("a name", latchkey.ErrArgumentInvalid, func() error { return kit.Err(account.RenamePasskey(k.Ctx, id, "Telephone")) })
			k.Refuses("a deletion", latchkey.ErrArgumentInvalid, func() error { return account.DeletePasskey(k.Ctx, id) })
			k.Refuses("a deletion by the server", latchkey.ErrArgumentInvalid, func() error { return k.Users().DeletePasskey(k.Ctx, user.ID, id) })
		}
	})
}

// The calls of passkeys are limited: those of a sign-in by the client, and those of a session by the session.
func TestCallsOfPasskeysAreLimited(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		session, account := k.SignIn(kit.Ada)
		k.Enrol(account, device(), latchkey.PasskeyEnrolment{})
		guest := k.LimitedEngine(nil).Guest(kit.Client)
		own, err := guest.Authenticate(k.Ctx, session.Secret.Reveal())
		k.Must(err)
		for name, c := range map[string]struct {
			most int
			do   func() error
		}{
			"start sign-in":    {300, func() error { return kit.Err(guest.StartPasskeySession(k.Ctx, latchkey.PasskeyOffer{})) }},
			"finish sign-in":   {300, func() error { return kit.Err(guest.FinishPasskeySession(k.Ctx, kit.UnknownAnswer)) }},
			"start challenge":  {300, func() error { return kit.Err(own.StartPasskeyChallenge(k.Ctx)) }},
			"finish challenge": {10, func() error { return kit.Err(own.FinishPasskeyChallenge(k.Ctx, kit.UnknownAnswer)) }},
		} {
			k.Clock.Advance(2 * time.Hour)
			n := 0
			for n <= c.most {
				if _, limited := errors.AsType[*latchkey.ThrottledError](c.do()); limited {
					break
				}
				n++
			}
			if n > c.most || name != "start challenge" && n != c.most {
				k.Errorf("%s: %d calls", name, n)
			}
		}
	})
}

// Failed sign-ins from an address count against the challenges from there, as those of codes.
func TestFailedSignInsLimitThePasskeysOfTheirClient(t *testing.T) {
	kit.OnAShare(t, kit.Documented, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		session, account := k.SignIn(kit.Ada)
		d := device()
		k.Enrol(account, d, latchkey.PasskeyEnrolment{})
		engine := k.LimitedEngine(nil)
		guest, far := engine.Guest(kit.Client), engine.Guest(kit.At("203.0.113.9"))
		own, err := guest.Authenticate(k.Ctx, session.Secret.Reveal())
		k.Must(err)
		answer := challenged(k, own, d)
		limited := false
		for n := range 301 {
			email := fmt.Sprintf("unknown%d@example.org", n)
			_, limited = errors.AsType[*latchkey.ThrottledError](kit.Err(guest.CreateEmailPasswordSession(k.Ctx, email, kit.Password)))
			if limited {
				break
			}
		}
		if !limited {
			k.Error("301 failed sign-ins are not limited")
		}
		err = kit.Err(own.FinishPasskeyChallenge(k.Ctx, answer))
		if _, is := errors.AsType[*latchkey.ThrottledError](err); !is {
			k.Errorf("a challenge from there: %v", err)
		}
		own, err = far.Authenticate(k.Ctx, session.Secret.Reveal())
		k.Must(err)
		k.Must(kit.Err(own.FinishPasskeyChallenge(k.Ctx, answer))) // the question is open still
	})
}

// An identity that waits for a second factor does not sign its user in yet, so it does not stand in for the last passkey.
func TestAPendingIdentityIsNoWayIn(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		d := device()
		ada := travelling(k, d)
		pending := at("acme", "1")
		pending.Pending = true
		ada.Email, ada.EmailVerified, ada.Phone, ada.PhoneVerified, ada.Targets = "", false, "", false, nil
		ada.Identities = []latchkey.PortableIdentity{pending}
		k.Must(kit.Err(k.Import(k.Ctx, the(person(ada)), trusted)))
		session, err := k.SignInByPasskey(k.Visitor, d)
		k.Must(err)
		account, err := k.Visitor.Authenticate(k.Ctx, session.Secret.Reveal())
		k.Must(err)
		k.Refuses("the last way in", latchkey.ErrLastWayIn, func() error { return account.DeletePasskey(k.Ctx, ada.Passkeys[0].ID) })
	})
}

// A wrong answer of a passkey counts as a failed sign-in of its client address, as a wrong code does.
func TestAWrongPasskeyCountsAgainstItsClient(t *testing.T) {
	kit.OnAShare(t, kit.Documented, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		session, _ := k.SignIn(kit.Ada)
		guest := k.LimitedEngine(nil).Guest(kit.Client)
		account, err := guest.Authenticate(k.Ctx, session.Secret.Reveal())
		k.Must(err)
		fails := func(n int) error {
			return kit.Err(guest.CreateEmailPasswordSession(k.Ctx, fmt.Sprintf("unknown%d@example.org", n), kit.Password))
		}
		for n := range 299 {
			if err := fails(n); !errors.Is(err, latchkey.ErrInvalidCredentials) {
				k.Fatalf("failure %d: %v", n, err)
			}
		}
		if err := kit.Err(account.FinishPasskeyChallenge(k.Ctx, kit.UnknownAnswer)); !errors.Is(err, latchkey.ErrPasskeyRefused) {
			k.Errorf("the wrong answer: %v", err)
		}
		if _, is := errors.AsType[*latchkey.ThrottledError](fails(299)); !is {
			k.Error("the wrong answer is not counted")
		}
	})
}
