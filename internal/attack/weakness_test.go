package attack_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/hasher"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/store"
)

// weaknesses are the known faults of the reference that today's operations touch.
// Each test states the better behaviour. The numbers come from the specification of
// accounts (A) and of users and teams (W).
var weaknesses = []struct {
	name   string
	policy latchkey.Policy
	test   func(k *kit.Kit)
}{
	{"A10 an unknown address costs a hash", kit.Documented, func(k *kit.Kit) {
		_ = k.Try(kit.Owner, "nobody@example.org", kit.Password)
		if k.Hasher.Hashes() != 1 {
			k.Errorf("%d hashes", k.Hasher.Hashes())
		}
	}},
	{"A11 success elsewhere does not clear the failures of strangers", kit.Documented, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		k.Must(k.Try(kit.Owner, kit.Ada, kit.Password))
		for range 11 {
			_ = k.Try(kit.Attacker, kit.Ada, "wrong horse")
		}
		k.Must(k.Try(kit.Owner, kit.Ada, kit.Password))
		if err := k.Try(kit.Attacker, kit.Ada, kit.Password); !errors.Is(err, latchkey.ErrRateLimitExceeded) {
			k.Errorf("the owner's sign-in freed the stranger: %v", err)
		}
	}},
	{"A12 changes of e-mail and phone are no free oracle", kit.Documented, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		_, account := k.SignIn(kit.Ada)
		refused := 0
		for n := range 30 {
			if err := kit.Err(account.UpdateEmail(k.Ctx, kit.Bob, fmt.Sprint("guess number ", n))); errors.Is(err, latchkey.ErrRateLimitExceeded) {
				refused++
			}
		}
		if refused != 19 {
			k.Errorf("%d of 30 guesses were refused unseen", refused)
		}
	}},
	{"A14 and A57 an address is one in every spelling", kit.Documented, func(k *kit.Kit) {
		k.SignUp("Ada@Example.ORG")
		session, _ := k.SignIn("aDA@exAMPLE.org")
		if session.ProviderUID != kit.Ada {
			k.Errorf("signed in as %s", session.ProviderUID)
		}
	}},
	{"A15 counters of different operations are different", kit.Documented, func(k *kit.Kit) {
		k.Engine = k.LimitedEngine(nil)
		for range 11 {
			_ = kit.LimitedCalls["createAccount"](k, kit.At(kit.Owner))
		}
		if err := kit.LimitedCalls["updatePassword"](k, kit.At(kit.Owner)); errors.Is(err, latchkey.ErrRateLimitExceeded) {
			k.Errorf("%v", err)
		}
	}},
	{"A30 a first password meets the rules on every path", latchkey.Policy{Password: latchkey.PasswordPolicy{Dictionary: true}}, func(k *kit.Kit) {
		_, account := k.Anonymous()
		for what, err := range map[string]error{
			"e-mail": kit.Err(account.UpdateEmail(k.Ctx, kit.Ada, "baseball1")), "phone": kit.Err(account.UpdatePhone(k.Ctx, kit.Phone, "baseball1")),
		} {
			if !errors.Is(err, latchkey.ErrArgumentInvalid) {
				k.Errorf("%s: %v", what, err)
			}
		}
	}},
	{"A34 and W26 parameters are upgraded, not only schemes", kit.Documented, func(k *kit.Kit) {
		user := k.SignUp(kit.Ada)
		before := passwordOf(k, user.ID)
		stronger, err := hasher.New(hasher.Config{Params: hasher.Params{Memory: 7168, Time: 5, Threads: 1}})
		k.Must(err)
		engine, err := latchkey.New(k.Store, latchkey.Config{Keys: k.Keys, LimiterPerProcess: true, Hasher: stronger, Now: k.Clock.Now})
		k.Must(err)
		k.Must(kit.Err(engine.Guest(kit.Client).CreateEmailPasswordSession(k.Ctx, kit.Ada, kit.Password)))
		if passwordOf(k, user.ID) == before {
			k.Error("the hash kept its parameters")
		}
	}},
	{"A46 the limit of users is exact under a race", latchkey.Policy{UserLimit: 5}, func(k *kit.Kit) {
		var group sync.WaitGroup
		for range 20 {
			group.Go(func() {
				if err := kit.Err(k.Visitor.CreateAnonymousSession(k.Ctx)); err != nil && err != latchkey.ErrUserCountExceeded {
					k.Errorf("%v", err)
				}
			})
		}
		group.Wait()
		if n := k.Rows()["users"]; n != 5 {
			k.Errorf("%d users", n)
		}
	}},
	{"A48 and W42 short fragments are no personal data", latchkey.Policy{Password: latchkey.PasswordPolicy{PersonalData: true}}, func(k *kit.Kit) {
		k.Must(kit.Err(k.Visitor.CreateAccount(k.Ctx, latchkey.NewAccount{UserID: "a", Email: "a@example.org", Name: "E", Password: "a password with e"})))
	}},
	{"A49 the dictionary does not look at the case", latchkey.Policy{Password: latchkey.PasswordPolicy{Dictionary: true}}, func(k *kit.Kit) {
		if err := kit.Err(k.Visitor.CreateAccount(k.Ctx, latchkey.NewAccount{Email: kit.Ada, Password: "PassWord1"})); !errors.Is(err, latchkey.ErrArgumentInvalid) {
			k.Errorf("%v", err)
		}
	}},
	{"A50 an extended session is not swept early", latchkey.Policy{Sessions: latchkey.SessionPolicy{Length: time.Hour}}, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		session, account := k.SignIn(kit.Ada)
		k.Clock.Advance(50 * time.Minute)
		k.Must(kit.Err(account.ExtendSession(k.Ctx, latchkey.CurrentSession)))
		k.Clock.Advance(50 * time.Minute)
		k.Must(kit.Err(k.Sweep(k.Ctx)))
		k.Must(kit.Err(k.Visitor.Authenticate(k.Ctx, session.Secret.Reveal())))
	}},
	{"A51 expired sessions neither count nor show", latchkey.Policy{Sessions: latchkey.SessionPolicy{Limit: 2, Length: time.Hour}}, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		k.SignIn(kit.Ada)
		k.SignIn(kit.Ada)
		k.Clock.Advance(time.Hour)
		one, _ := k.SignIn(kit.Ada)
		_, account := k.SignIn(kit.Ada)
		list, err := account.Sessions(k.Ctx)
		k.Must(err)
		if list.Total != 2 {
			k.Errorf("%d sessions", list.Total)
		}
		k.Must(kit.Err(k.Visitor.Authenticate(k.Ctx, one.Secret.Reveal())))
	}},
	{"A52 sessions that are trimmed or ended are told", latchkey.Policy{Sessions: latchkey.SessionPolicy{Limit: 1}}, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		k.SignIn(kit.Ada)
		_, account := k.SignIn(kit.Ada)
		k.Must(account.DeleteSessions(k.Ctx))
		if n := k.Told.Count("users.*.sessions.*.delete"); n != 2 {
			k.Errorf("%d events", n)
		}
	}},
	{"A54 an extended session is shown as current and with its country", kit.Documented, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		before, account := k.SignIn(kit.Ada)
		after, err := account.ExtendSession(k.Ctx, latchkey.CurrentSession)
		k.Must(err)
		if !after.Current || after.Device != before.Device {
			k.Errorf("%+v", after)
		}
	}},
	{"A56 an address always has its target", kit.Documented, func(k *kit.Kit) {
		_, account := k.Anonymous()
		k.Must(kit.Err(account.UpdateEmail(k.Ctx, kit.Ada, kit.Password)))
		user, err := account.UpdatePhone(k.Ctx, kit.Phone, kit.Password)
		k.Must(err)
		if len(user.Targets) != 2 {
			k.Errorf("targets %+v", user.Targets)
		}
	}},
	{"A58 and W10 an address that is set again changes nothing", kit.Documented, func(k *kit.Kit) {
		user := k.SignUp(kit.Ada)
		_, account := k.SignIn(kit.Ada)
		k.Must(kit.Err(k.Users().UpdateEmailVerification(k.Ctx, user.ID, true)))
		k.Refuses("own", nil, func() error { return kit.Err(account.UpdateEmail(k.Ctx, "ADA@example.org", kit.Password)) })
		k.Refuses("server's", nil, func() error { return kit.Err(k.Users().UpdateEmail(k.Ctx, user.ID, kit.Ada)) })
	}},
	{"A59 a taken address is one answer", kit.Documented, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		other := k.SignUp(kit.Bob)
		_, account := k.SignIn(kit.Bob)
		for what, err := range map[string]error{
			"own": kit.Err(account.UpdateEmail(k.Ctx, kit.Ada, kit.Password)), "server's": kit.Err(k.Users().UpdateEmail(k.Ctx, other.ID, kit.Ada)),
		} {
			if !errors.Is(err, latchkey.ErrTargetAlreadyExists) {
				k.Errorf("%s: %v", what, err)
			}
		}
	}},
	{"A76 a changed password ends the other sessions by default", kit.Documented, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		other, _ := k.SignIn(kit.Ada)
		_, account := k.SignIn(kit.Ada)
		k.Must(kit.Err(account.UpdatePassword(k.Ctx, latchkey.PasswordUpdate{New: "another horse", Old: kit.Password})))
		if err := kit.Err(k.Visitor.Authenticate(k.Ctx, other.Secret.Reveal())); err != latchkey.ErrUnauthorized {
			k.Errorf("%v", err)
		}
	}},
	{"A77 the length of a password is in characters", kit.Documented, func(k *kit.Kit) {
		k.Must(kit.Err(k.Visitor.CreateAccount(k.Ctx, latchkey.NewAccount{Email: kit.Ada, Password: strings.Repeat("\u6f22", 256)})))
		if err := kit.Err(k.Visitor.CreateAccount(k.Ctx, latchkey.NewAccount{Email: kit.Bob, Password: "\u6f22\u5b57\u6f22\u5b57"})); !errors.Is(err, latchkey.ErrArgumentInvalid) {
			k.Errorf("4 characters of 12 bytes: %v", err)
		}
	}},
	{"A78 sign-ins that fail are in the user's log", kit.Documented, func(k *kit.Kit) {
		user := k.SignUp(kit.Ada)
		_, account := k.SignIn(kit.Ada)
		for _, proven := range []bool{false, true} { // who has not proven the address does not see where its owner may be
			k.Must(kit.Err(k.Users().UpdateEmailVerification(k.Ctx, user.ID, proven)))
			k.Clock.Advance(time.Minute)
			_ = k.Try(kit.Attacker, kit.Ada, "wrong horse")
			list, err := account.Logs(k.Ctx)
			k.Must(err)
			if l := list.Logs[0]; l.Event != "session.refuse" || (l.IP == kit.Attacker) != proven {
				k.Errorf("proven %v: %+v", proven, l)
			}
			server, err := k.Users().Logs(k.Ctx, user.ID)
			k.Must(err)
			if server.Logs[0].IP != kit.Attacker {
				k.Errorf("for the server: %+v", server.Logs[0])
			}
		}
	}},
	{"W1 a cleared password is none, not the empty one", kit.Documented, func(k *kit.Kit) {
		user := k.SignUp(kit.Ada)
		k.Must(kit.Err(k.Users().UpdatePassword(k.Ctx, user.ID, "")))
		if passwordOf(k, user.ID) != "" {
			k.Error("there is a hash")
		}
		for _, p := range []string{"", kit.Password} {
			if err := k.Try(kit.Owner, kit.Ada, p); err == nil {
				k.Errorf("%q signs in", p)
			}
		}
	}},
	{"W9 many users may have no address", kit.Documented, func(k *kit.Kit) {
		for _, email := range []string{kit.Ada, kit.Bob} {
			k.Must(kit.Err(k.Users().UpdateEmail(k.Ctx, k.SignUp(email).ID, "")))
		}
	}},
	{"W11 a user is not shown with somebody else's target", kit.Documented, func(k *kit.Kit) {
		user := k.SignUp(kit.Ada)
		k.Must(kit.Err(k.Users().CreateTarget(k.Ctx, user.ID, latchkey.NewTarget{ProviderType: "email", Identifier: kit.Bob})))
		other, err := k.Visitor.CreateAccount(k.Ctx, latchkey.NewAccount{Email: kit.Bob, Password: kit.Password})
		k.Must(err)
		for _, target := range other.Targets {
			if target.UserID != other.ID {
				k.Errorf("shown with %+v", target)
			}
		}
	}},
	{"W16 the server's sessions keep to the limit, and are not for blocked users", latchkey.Policy{Sessions: latchkey.SessionPolicy{Limit: 2}}, func(k *kit.Kit) {
		user := k.SignUp(kit.Ada)
		for range 5 {
			k.Must(kit.Err(k.Users().CreateSession(k.Ctx, user.ID)))
		}
		if n := k.Rows()["sessions"]; n != 2 {
			k.Errorf("%d sessions", n)
		}
		k.Must(kit.Err(k.Users().UpdateStatus(k.Ctx, user.ID, false)))
		if err := kit.Err(k.Users().CreateSession(k.Ctx, user.ID)); err != latchkey.ErrUserBlocked {
			k.Errorf("%v", err)
		}
	}},
	{"W21 a deleted user leaves nothing behind, at once", kit.Documented, func(k *kit.Kit) {
		user := k.SignUp(kit.Ada)
		k.SignIn(kit.Ada)
		k.Must(k.Users().Delete(k.Ctx, user.ID))
		rows := k.Rows()
		if rows["users"]+rows["sessions"]+rows["targets"]+rows["addresses"]+rows["words"] != 0 {
			k.Errorf("%v", rows)
		}
	}},
	{"W23 and W24 no hash or digest is told or listed", kit.Documented, func(k *kit.Kit) {
		user := k.SignUp(kit.Ada)
		session, _ := k.SignIn(kit.Ada)
		list, err := k.Users().Sessions(k.Ctx, user.ID)
		k.Must(err)
		for _, s := range list.Sessions {
			if !s.Secret.IsZero() {
				k.Error("a session is listed with a secret")
			}
		}
		for _, e := range k.Told.Take() {
			if s, ok := e.Payload.(*latchkey.Session); ok && !s.Secret.IsZero() || strings.Contains(fmt.Sprintf("%+v", e.Payload), session.Secret.Reveal()) {
				k.Errorf("%s tells a secret", e.Name)
			}
		}
	}},
	{"W33 preferences of a user are audited too", kit.Documented, func(k *kit.Kit) {
		user := k.SignUp(kit.Ada)
		k.Forget()
		k.Must(kit.Err(k.Users().UpdatePrefs(k.Ctx, user.ID, []byte(`{"a":1}`))))
		k.Must(k.Users().DeleteSessions(k.Ctx, user.ID))
		k.Same("log", k.Logs(), []string{"user.update by server"})
	}},
	{"W35 a page has a greatest size", kit.Documented, func(k *kit.Kit) {
		user := k.SignUp(kit.Ada)
		if err := kit.Err(k.Users().Logs(k.Ctx, user.ID, latchkey.Limit(5_001))); !errors.Is(err, latchkey.ErrArgumentInvalid) {
			k.Errorf("%v", err)
		}
	}},
	{"W50 nothing is verified that is not there", kit.Documented, func(k *kit.Kit) {
		user, err := k.Users().Create(k.Ctx, latchkey.NewUser{})
		k.Must(err)
		if err := kit.Err(k.Users().UpdateEmailVerification(k.Ctx, user.ID, true)); err != latchkey.ErrEmailNotFound {
			k.Errorf("%v", err)
		}
		if err := kit.Err(k.Users().UpdatePhoneVerification(k.Ctx, user.ID, true)); err != latchkey.ErrPhoneNotFound {
			k.Errorf("%v", err)
		}
	}},
}

// passwordOf returns the sealed hash of a user.
func passwordOf(k *kit.Kit, id string) string {
	k.Helper()
	row, err := record.Users.Get(k.Ctx, k.Store.Store, record.Users.Primary(), store.Text(id))
	k.Must(err)
	return string(row.Password)
}

func TestWeaknesses(t *testing.T) {
	for _, w := range weaknesses {
		t.Run(w.name, func(t *testing.T) { kit.OnEveryStore(t, w.policy, w.test) })
	}
}
