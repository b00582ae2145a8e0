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

// both makes n calls at once.
func both(n int, do func(i int)) {
	var wg sync.WaitGroup
	for i := range n {
		wg.Add(1)
		go func() { defer wg.Done(); do(i) }()
	}
	wg.Wait()
}

func TestEnrolmentsAtOnceKeepOneHandleAndTenPasskeys(t *testing.T) {
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

func TestTwoDeletionsAtOnceLeaveAWayIn(t *testing.T) {
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

func TestOneOfTwoUsersGetsAPasskeyAtOnce(t *testing.T) {
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

func TestTheHighestCountOfSignInsAtOnceStays(t *testing.T) {
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
		list, err := account.Passkeys(k.Ctx)
		k.Must(err)
		before := list.Passkeys[0].ClonedAt // of one that came after a higher count
		k.Clock.Advance(time.Minute)
		d.SetCount(15)
		k.Must(kit.Err(k.SignInByPasskey(k.Visitor, d)))
		list, err = account.Passkeys(k.Ctx)
		k.Must(err)
		if list.Passkeys[0].ClonedAt.Equal(before) {
			k.Error("the highest count is not stored")
		}
		d.SetCount(4294967294)
		k.Must(kit.Err(k.SignInByPasskey(k.Visitor, d)))
		d.SetCount(4294967295)
		k.Must(kit.Err(k.SignInByPasskey(k.Visitor, d)))
		for _, b := range k.Broken() {
			k.Error(b)
		}
	})
}

func TestDeletionsOfDifferentWaysInAtOnceLeaveOne(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		session := k.SignInBy(k.Visitor, k.Acme, acmeAda)
		account, err := k.Visitor.Authenticate(k.Ctx, session.Secret.Reveal())
		k.Must(err)
		d := device()
		made := k.Enrol(account, d, latchkey.PasskeyEnrolment{})
		k.Must(kit.Err(k.Users().UpdateEmail(k.Ctx, account.UserID(), "")))
		session, err = k.SignInByPasskey(k.Visitor, d)
		k.Must(err)
		account, err = k.Visitor.Authenticate(k.Ctx, session.Secret.Reveal())
		k.Must(err)
		account = stepUp(k, account, d)
		list, err := account.Identities(k.Ctx)
		k.Must(err)
		errs := make([]error, 2)
		both(2, func(i int) {
			if i == 0 {
				errs[0] = account.DeletePasskey(k.Ctx, made.ID)
			} else {
				errs[1] = k.Users().DeleteIdentity(k.Ctx, list.Identities[0].ID)
			}
		})
		if errs[0] == nil && errs[1] == nil {
			got, err := k.Users().Get(k.Ctx, account.UserID())
			k.Must(err)
			k.Errorf("no way in is left: %d passkeys, %d identities, address %q %v, number %q", k.Rows()["passkeys"], k.Rows()["identities"], got.Email, got.EmailVerification, got.Phone)
		}
		for _, b := range k.Broken() {
			k.Error(b)
		}
	})
}
