package latchkey_test

import (
	"encoding/json"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/descope/virtualwebauthn"

	"example.com/latchkey"
	"example.com/latchkey/internal/kit"
)

// A thief changes the address and makes a passkey. The owner restores the address: the passkey, as an identity, came since.
func TestARestoredAddressTakesAwayPasskeysThatCameSince(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user, thief := provenAda(k)
		move(k, thief, countess)
		planted := device()
		k.Enrol(thief, planted, latchkey.PasskeyEnrolment{})
		token, err := k.Visitor.RestoreAddress(k.Ctx, user.ID, undoOf(k, kit.Ada).Secret)
		k.Must(err)
		k.Must(kit.Err(k.Visitor.ConfirmRecovery(k.Ctx, token.UserID, token.Secret.Reveal(), kit.FreshPassword)))
		session, err := k.SignInByPasskey(k.Visitor, planted)
		if err == nil {
			err = kit.Err(k.Visitor.Authenticate(k.Ctx, session.Secret.Reveal()))
		}
		if err == nil {
			k.Error("the thief is in by the passkey")
		}
	})
}

// N-23: a link by mail alone takes no second factor away from an account with MFA on. (With an authenticator: the address is taken off.)
func TestAFirstProofByMailTakesNoPasskeyFromAnAccountWithMFA(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user := k.SignUp(kit.Ada)
		_, account := k.SignIn(kit.Ada)
		d := device()
		k.Enrol(account, d, latchkey.PasskeyEnrolment{})
		k.Must(kit.Err(account.UpdateMFA(k.Ctx, true)))
		token, err := k.Visitor.CreateMagicURLToken(k.Ctx, latchkey.NewMagicURLToken{Email: kit.Ada})
		k.Must(err)
		session, err := k.Visitor.CreateSession(k.Ctx, token.UserID, k.MailOf(token, kit.Ada).Secret)
		if err == nil && session.UserID == user.ID {
			if err := kit.Err(k.Visitor.Authenticate(k.Ctx, session.Secret.Reveal())); err == nil {
				k.Error("the reader of the mailbox is in the account with MFA on")
			}
		}
		if _, err := k.SignInByPasskey(k.Visitor, d); err != nil {
			k.Errorf("the passkey of the owner: %v", err)
		}
	})
}

// The same with an authenticator, for comparison.
func TestCompareTOTP(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user := k.SignUp(kit.Ada)
		_, account := k.SignIn(kit.Ada)
		k.Confirmed(account, latchkey.NewMFAAuthenticator{})
		k.Must(kit.Err(account.UpdateMFA(k.Ctx, true)))
		token, err := k.Visitor.CreateMagicURLToken(k.Ctx, latchkey.NewMagicURLToken{Email: kit.Ada})
		k.Must(err)
		session, err := k.Visitor.CreateSession(k.Ctx, token.UserID, k.MailOf(token, kit.Ada).Secret)
		if err == nil && session.UserID == user.ID {
			k.Error("in")
		}
	})
}

// A session that owes a factor and was completed by a passkey has not proven it any more once that passkey is deleted.
func TestAProofByADeletedPasskeyGoesWithIt(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.Proven()
		_, account := k.SignIn(kit.Ada)
		stolen, own := device(), device()
		lost := k.Enrol(account, stolen, latchkey.PasskeyEnrolment{})
		k.Enrol(account, own, latchkey.PasskeyEnrolment{})
		k.Must(kit.Err(account.UpdateMFA(k.Ctx, true)))
		_, pending := k.Owing(k.Visitor) // the thief has the password and the key
		start, err := pending.StartPasskeyChallenge(k.Ctx)
		k.Must(err)
		answer, err := stolen.Get(start.Options)
		k.Must(err)
		full, err := pending.FinishPasskeyChallenge(k.Ctx, answer)
		k.Must(err)
		account = stepUp(k, account, own)
		k.Must(account.DeletePasskey(k.Ctx, lost.ID))
		thief, err := k.Visitor.Authenticate(k.Ctx, full.Secret.Reveal())
		if err == nil {
			k.Error("the session that the deleted passkey has completed is a full one")
			if err := kit.Err(thief.UpdateMFA(k.Ctx, false)); err == nil {
				k.Error("and it switches MFA off")
			}
			if err := kit.Err(thief.StartPasskeyEnrolment(k.Ctx, latchkey.PasskeyEnrolment{})); err == nil {
				k.Error("and it enrols")
			}
		}
	})
}

// An enrolment that is not taken is told to the browser, whatever the reason is (documented).
func TestAnEnrolmentThatIsTooLateIsTold(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		_, account := k.SignIn(kit.Ada)
		start, err := account.StartPasskeyEnrolment(k.Ctx, latchkey.PasskeyEnrolment{})
		k.Must(err)
		answer, err := device().Create(start.Options)
		k.Must(err)
		k.Clock.Advance(5 * time.Minute)
		_, err = account.FinishPasskeyEnrolment(k.Ctx, answer, "")
		if _, is := errors.AsType[*latchkey.UnknownPasskeyError](err); !is {
			k.Errorf("%T %v", err, err)
		}
	})
}

// The signal "unknown" makes a browser hide or delete the passkey: it is not given for one that another user of the service has.
func TestAPasskeyOfAnotherUserIsNotCalledUnknown(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		k.SignUp(kit.Bob)
		_, ada := k.SignIn(kit.Ada)
		_, bob := k.SignIn(kit.Bob)
		of, other := device(), device()
		k.Enrol(ada, of, latchkey.PasskeyEnrolment{})
		k.Enrol(bob, other, latchkey.PasskeyEnrolment{})
		start, err := ada.StartPasskeyChallenge(k.Ctx)
		k.Must(err)
		var o map[string]map[string]any
		k.Must(json.Unmarshal(start.Options, &o))
		delete(o["publicKey"], "allowCredentials")
		text, err := json.Marshal(o)
		k.Must(err)
		answer, err := other.Get(text)
		k.Must(err)
		_, err = ada.FinishPasskeyChallenge(k.Ctx, answer)
		if u, is := errors.AsType[*latchkey.UnknownPasskeyError](err); is {
			k.Errorf("the browser is told to forget a passkey of Bob: %s", u.Signal)
		}
	})
}

func TestAMemberWithAPasskeyHasMFA(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		_, account := k.SignIn(kit.Ada)
		k.Enrol(account, device(), latchkey.PasskeyEnrolment{})
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

// A refused copy is told as one that is let in: the user should know.
func TestARefusedCopyIsTold(t *testing.T) {
	policy := kit.Documented
	policy.Factors.RefuseClonedPasskeys = true
	kit.OnEveryStore(t, policy, func(k *kit.Kit) {
		k.Proven()
		_, account := k.SignIn(kit.Ada)
		d := device()
		d.Counting = true
		k.Enrol(account, d, latchkey.PasskeyEnrolment{})
		d.SetCount(10)
		k.Must(kit.Err(k.SignInByPasskey(k.Visitor, d)))
		k.Forget()
		d.SetCount(4)
		if _, err := k.SignInByPasskey(k.Visitor, d); err == nil {
			k.Fatal("in")
		}
		list, err := account.Passkeys(k.Ctx)
		k.Must(err)
		if list.Passkeys[0].ClonedAt.IsZero() {
			k.Errorf("no mark; events %v", k.Events())
		}
	})
}

func both(n int, do func(i int)) {
	var wg sync.WaitGroup
	for i := range n {
		wg.Add(1)
		go func() { defer wg.Done(); do(i) }()
	}
	wg.Wait()
}

func TestRacesOfPasskeys(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		_, account := k.SignIn(kit.Ada)
		// one handle
		starts := make([]*latchkey.PasskeyCeremony, 5)
		both(5, func(i int) {
			s, err := account.StartPasskeyEnrolment(k.Ctx, latchkey.PasskeyEnrolment{})
			if err != nil {
				k.Error(err)
			}
			starts[i] = s
		})
		if k.Rows()["handles"] != 1 {
			k.Error("handles")
		}
		ids := map[string]bool{}
		for _, s := range starts {
			var o struct {
				PublicKey struct{ User struct{ ID string } }
			}
			k.Must(json.Unmarshal(s.Options, &o))
			ids[o.PublicKey.User.ID] = true
		}
		if len(ids) != 1 {
			k.Errorf("%d handles", len(ids))
		}
		for range 8 {
			k.Enrol(account, device(), latchkey.PasskeyEnrolment{})
		}
		answers := make([][]byte, 5)
		for i := range answers {
			s, err := account.StartPasskeyEnrolment(k.Ctx, latchkey.PasskeyEnrolment{SecondFactor: i%2 == 0})
			k.Must(err)
			answers[i], err = device().Create(s.Options)
			k.Must(err)
		}
		both(5, func(i int) {
			_, err := account.FinishPasskeyEnrolment(k.Ctx, answers[i], "")
			if err != nil && !errors.Is(err, latchkey.ErrArgumentInvalid) {
				k.Errorf("%v", err)
			}
		})
		if n := k.Rows()["passkeys"]; n != 10 {
			k.Errorf("%d passkeys", n)
		}
		for _, b := range k.Broken() {
			k.Error(b)
		}
	})
}

func TestRaceOfTheLastWaysIn(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		_, account := k.Anonymous()
		a, b := device(), device()
		p := k.Enrol(account, a, latchkey.PasskeyEnrolment{})
		q := k.Enrol(account, b, latchkey.PasskeyEnrolment{})
		account = stepUp(k, account, a)
		errs := make([]error, 2)
		both(2, func(i int) { errs[i] = account.DeletePasskey(k.Ctx, []string{p.ID, q.ID}[i]) })
		if n := k.Rows()["passkeys"]; n != 1 {
			k.Errorf("%d passkeys left: %v", n, errs)
		}
		for _, b := range k.Broken() {
			k.Error(b)
		}
	})
}

func TestRaceOfOneCredentialOfTwoUsers(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		k.SignUp(kit.Bob)
		_, ada := k.SignIn(kit.Ada)
		_, bob := k.SignIn(kit.Bob)
		accounts := []*latchkey.Account{ada, bob}
		answers := make([][]byte, 2)
		key := virtualwebauthn.NewCredential(virtualwebauthn.KeyTypeEC2)
		for i, a := range accounts {
			s, err := a.StartPasskeyEnrolment(k.Ctx, latchkey.PasskeyEnrolment{})
			k.Must(err)
			asked, err := virtualwebauthn.ParseAttestationOptions(string(s.Options))
			k.Must(err)
			rp := virtualwebauthn.RelyingParty{ID: "example.org", Name: "Example", Origin: kit.Page}
			answers[i] = []byte(virtualwebauthn.CreateAttestationResponse(rp, virtualwebauthn.NewAuthenticator(), key, *asked))
		}
		errs := make([]error, 2)
		both(2, func(i int) { _, errs[i] = accounts[i].FinishPasskeyEnrolment(k.Ctx, answers[i], "") })
		bad := 0
		for _, err := range errs {
			if errors.Is(err, latchkey.ErrPasskeyAlreadyExists) {
				bad++
			}
		}
		if bad != 1 || k.Rows()["passkeys"] != 1 {
			k.Errorf("%v", errs)
		}
	})
}

func TestWhoCannotEnrol(t *testing.T) {
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

func TestParallelCounters(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.Proven()
		_, account := k.SignIn(kit.Ada)
		d := device()
		d.Counting = true
		k.Enrol(account, d, latchkey.PasskeyEnrolment{})
		var answers [][]byte
		for i := range 6 {
			d.SetCount(uint32(10 + i))
			answers = append(answers, k.Offered(k.Visitor, d))
		}
		both(6, func(i int) { k.Must(kit.Err(k.Visitor.FinishPasskeySession(k.Ctx, answers[i]))) })
		d.SetCount(4294967294)
		k.Must(kit.Err(k.SignInByPasskey(k.Visitor, d)))
		d.SetCount(4294967295)
		k.Must(kit.Err(k.SignInByPasskey(k.Visitor, d)))
		for _, b := range k.Broken() {
			k.Error(b)
		}
	})
}
