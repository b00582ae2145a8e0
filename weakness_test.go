package latchkey_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/hasher"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/store"
)

// weaknesses are the known faults of the reference that today's operations
// touch, each as the better behaviour: by their numbers in the specification of
// accounts (A) and of users and teams (W).
var weaknesses = []struct {
	name   string
	policy latchkey.Policy
	test   func(k *kit)
}{
	{"A10 an unknown address costs a hash", documented, func(k *kit) {
		_ = k.try(owner, "nobody@example.org", password)
		if k.hasher.Hashes() != 1 {
			k.Errorf("%d hashes", k.hasher.Hashes())
		}
	}},
	{"A11 success elsewhere does not clear the failures of strangers", documented, func(k *kit) {
		k.signUp(ada)
		k.must(k.try(owner, ada, password))
		for range 11 {
			_ = k.try(attacker, ada, "wrong horse")
		}
		k.must(k.try(owner, ada, password))
		if err := k.try(attacker, ada, password); !errors.Is(err, latchkey.ErrRateLimitExceeded) {
			k.Errorf("the owner's sign-in freed the stranger: %v", err)
		}
	}},
	{"A12 changes of e-mail and phone are no free oracle", documented, func(k *kit) {
		k.signUp(ada)
		_, account := k.signIn(ada)
		refused := 0
		for n := range 30 {
			if err := ignore(account.UpdateEmail(k.ctx, bob, fmt.Sprint("guess number ", n))); errors.Is(err, latchkey.ErrRateLimitExceeded) {
				refused++
			}
		}
		if refused != 19 {
			k.Errorf("%d of 30 guesses were refused unseen", refused)
		}
	}},
	{"A14 and A57 an address is one in every spelling", documented, func(k *kit) {
		k.signUp("Ada@Example.ORG")
		session, _ := k.signIn("aDA@exAMPLE.org")
		if session.ProviderUID != ada {
			k.Errorf("signed in as %s", session.ProviderUID)
		}
	}},
	{"A15 counters of different operations are different", documented, func(k *kit) {
		k.Engine = k.limitedEngine(nil)
		for range 11 {
			_ = limitedCalls["createAccount"](k, at(owner))
		}
		if err := limitedCalls["updatePassword"](k, at(owner)); errors.Is(err, latchkey.ErrRateLimitExceeded) {
			k.Errorf("%v", err)
		}
	}},
	{"A30 a first password meets the rules on every path", latchkey.Policy{PasswordDictionary: true}, func(k *kit) {
		_, account := k.anonymous()
		for what, err := range map[string]error{
			"e-mail": ignore(account.UpdateEmail(k.ctx, ada, "baseball1")), "phone": ignore(account.UpdatePhone(k.ctx, phone, "baseball1")),
		} {
			if !errors.Is(err, latchkey.ErrArgumentInvalid) {
				k.Errorf("%s: %v", what, err)
			}
		}
	}},
	{"A34 and W26 parameters are upgraded, not only schemes", documented, func(k *kit) {
		user := k.signUp(ada)
		before := k.passwordOf(user.ID)
		stronger, err := hasher.New(hasher.Config{Params: hasher.Params{Memory: 7168, Time: 5, Threads: 1}})
		k.must(err)
		engine, err := latchkey.New(k.store, latchkey.Config{Keys: k.keys, Hasher: stronger, Now: k.clock.Now})
		k.must(err)
		k.must(ignore(engine.Guest(testClient).CreateEmailPasswordSession(k.ctx, ada, password)))
		if k.passwordOf(user.ID) == before {
			k.Error("the hash kept its parameters")
		}
	}},
	{"A46 the limit of users is exact under a race", latchkey.Policy{UserLimit: 5}, func(k *kit) {
		var group sync.WaitGroup
		for range 20 {
			group.Go(func() {
				if err := ignore(k.guest.CreateAnonymousSession(k.ctx)); err != nil && err != latchkey.ErrUserCountExceeded {
					k.Errorf("%v", err)
				}
			})
		}
		group.Wait()
		if n := k.rows()["users"]; n != 5 {
			k.Errorf("%d users", n)
		}
	}},
	{"A48 and W42 short fragments are no personal data", latchkey.Policy{PasswordPersonalData: true}, func(k *kit) {
		k.must(ignore(k.guest.CreateAccount(k.ctx, latchkey.NewAccount{UserID: "a", Email: "a@example.org", Name: "E", Password: "a password with e"})))
	}},
	{"A49 the dictionary does not look at the case", latchkey.Policy{PasswordDictionary: true}, func(k *kit) {
		if err := ignore(k.guest.CreateAccount(k.ctx, latchkey.NewAccount{Email: ada, Password: "PassWord1"})); !errors.Is(err, latchkey.ErrArgumentInvalid) {
			k.Errorf("%v", err)
		}
	}},
	{"A50 an extended session is not swept early", latchkey.Policy{SessionLength: time.Hour}, func(k *kit) {
		k.signUp(ada)
		session, account := k.signIn(ada)
		k.clock.Advance(50 * time.Minute)
		k.must(ignore(account.UpdateSession(k.ctx, latchkey.Current)))
		k.clock.Advance(50 * time.Minute)
		k.must(ignore(k.Sweep(k.ctx)))
		k.must(ignore(k.guest.Authenticate(k.ctx, session.Secret)))
	}},
	{"A51 expired sessions neither count nor show", latchkey.Policy{SessionLimit: 2, SessionLength: time.Hour}, func(k *kit) {
		k.signUp(ada)
		k.signIn(ada)
		k.signIn(ada)
		k.clock.Advance(time.Hour)
		one, _ := k.signIn(ada)
		_, account := k.signIn(ada)
		list, err := account.Sessions(k.ctx)
		k.must(err)
		if list.Total != 2 {
			k.Errorf("%d sessions", list.Total)
		}
		k.must(ignore(k.guest.Authenticate(k.ctx, one.Secret)))
	}},
	{"A52 sessions that are trimmed or ended are told", latchkey.Policy{SessionLimit: 1}, func(k *kit) {
		k.signUp(ada)
		k.signIn(ada)
		_, account := k.signIn(ada)
		k.must(account.DeleteSessions(k.ctx))
		if n := k.told.Count("users.*.sessions.*.delete"); n != 2 {
			k.Errorf("%d events", n)
		}
	}},
	{"A54 an extended session is shown as current and with its country", documented, func(k *kit) {
		k.signUp(ada)
		before, account := k.signIn(ada)
		after, err := account.UpdateSession(k.ctx, latchkey.Current)
		k.must(err)
		if !after.Current || after.Device != before.Device {
			k.Errorf("%+v", after)
		}
	}},
	{"A56 an address always has its target", documented, func(k *kit) {
		_, account := k.anonymous()
		k.must(ignore(account.UpdateEmail(k.ctx, ada, password)))
		user, err := account.UpdatePhone(k.ctx, phone, password)
		k.must(err)
		if len(user.Targets) != 2 {
			k.Errorf("targets %+v", user.Targets)
		}
	}},
	{"A58 and W10 an address that is set again changes nothing", documented, func(k *kit) {
		user := k.signUp(ada)
		_, account := k.signIn(ada)
		k.must(ignore(k.Users().UpdateEmailVerification(k.ctx, user.ID, true)))
		k.refuses("own", nil, func() error { return ignore(account.UpdateEmail(k.ctx, "ADA@example.org", password)) })
		k.refuses("server's", nil, func() error { return ignore(k.Users().UpdateEmail(k.ctx, user.ID, ada)) })
	}},
	{"A59 a taken address is one answer", documented, func(k *kit) {
		k.signUp(ada)
		other := k.signUp(bob)
		_, account := k.signIn(bob)
		for what, err := range map[string]error{
			"own": ignore(account.UpdateEmail(k.ctx, ada, password)), "server's": ignore(k.Users().UpdateEmail(k.ctx, other.ID, ada)),
		} {
			if err != latchkey.ErrTargetAlreadyExists {
				k.Errorf("%s: %v", what, err)
			}
		}
	}},
	{"A76 a changed password ends the other sessions by default", documented, func(k *kit) {
		k.signUp(ada)
		other, _ := k.signIn(ada)
		_, account := k.signIn(ada)
		k.must(ignore(account.UpdatePassword(k.ctx, "another horse", password)))
		if err := ignore(k.guest.Authenticate(k.ctx, other.Secret)); err != latchkey.ErrUnauthorized {
			k.Errorf("%v", err)
		}
	}},
	{"A77 the length of a password is in characters", documented, func(k *kit) {
		k.must(ignore(k.guest.CreateAccount(k.ctx, latchkey.NewAccount{Email: ada, Password: latchkey.Secret(strings.Repeat("\u6f22", 256))})))
		if err := ignore(k.guest.CreateAccount(k.ctx, latchkey.NewAccount{Email: bob, Password: "\u6f22\u5b57\u6f22\u5b57"})); !errors.Is(err, latchkey.ErrArgumentInvalid) {
			k.Errorf("4 characters of 12 bytes: %v", err)
		}
	}},
	{"A78 sign-ins that fail are in the user's log", documented, func(k *kit) {
		k.signUp(ada)
		_ = k.try(attacker, ada, "wrong horse")
		_, account := k.signIn(ada)
		list, err := account.Logs(k.ctx)
		k.must(err)
		if !slices.ContainsFunc(list.Logs, func(l *latchkey.Log) bool { return l.Event == "session.refuse" && l.IP == attacker }) {
			k.Error("it is not")
		}
	}},
	{"W1 a cleared password is none, not the empty one", documented, func(k *kit) {
		user := k.signUp(ada)
		k.must(ignore(k.Users().UpdatePassword(k.ctx, user.ID, "")))
		if k.passwordOf(user.ID) != "" {
			k.Error("there is a hash")
		}
		for _, p := range []string{"", password} {
			if err := k.try(owner, ada, p); err == nil {
				k.Errorf("%q signs in", p)
			}
		}
	}},
	{"W9 many users may have no address", documented, func(k *kit) {
		for _, email := range []string{ada, bob} {
			k.must(ignore(k.Users().UpdateEmail(k.ctx, k.signUp(email).ID, "")))
		}
	}},
	{"W11 a user is not shown with somebody else's target", documented, func(k *kit) {
		user := k.signUp(ada)
		k.must(k.store.Store.Update(k.ctx, func(ctx context.Context, tx store.Tx) error {
			return record.Targets.Insert(ctx, tx, &record.Target{ID: "extra", UserID: user.ID, ProviderType: "email", Identifier: bob})
		}))
		other, err := k.guest.CreateAccount(k.ctx, latchkey.NewAccount{Email: bob, Password: password})
		k.must(err)
		for _, target := range other.Targets {
			if target.UserID != other.ID {
				k.Errorf("shown with %+v", target)
			}
		}
	}},
	{"W16 the server's sessions keep to the limit, and are not for blocked users", latchkey.Policy{SessionLimit: 2}, func(k *kit) {
		user := k.signUp(ada)
		for range 5 {
			k.must(ignore(k.Users().CreateSession(k.ctx, user.ID)))
		}
		if n := k.rows()["sessions"]; n != 2 {
			k.Errorf("%d sessions", n)
		}
		k.must(ignore(k.Users().UpdateStatus(k.ctx, user.ID, false)))
		if err := ignore(k.Users().CreateSession(k.ctx, user.ID)); err != latchkey.ErrUserBlocked {
			k.Errorf("%v", err)
		}
	}},
	{"W21 a deleted user leaves nothing behind, at once", documented, func(k *kit) {
		user := k.signUp(ada)
		k.signIn(ada)
		k.must(k.Users().Delete(k.ctx, user.ID))
		rows := k.rows()
		if rows["users"]+rows["sessions"]+rows["targets"]+rows["addresses"]+rows["words"] != 0 {
			k.Errorf("%v", rows)
		}
	}},
	{"W23 and W24 no hash or digest is told or listed", documented, func(k *kit) {
		user := k.signUp(ada)
		session, _ := k.signIn(ada)
		list, err := k.Users().Sessions(k.ctx, user.ID)
		k.must(err)
		for _, s := range list.Sessions {
			if s.Secret != "" {
				k.Error("a session is listed with a secret")
			}
		}
		for _, e := range k.told.Take() {
			if s, ok := e.Payload.(*latchkey.Session); ok && s.Secret != "" || strings.Contains(fmt.Sprintf("%+v", e.Payload), session.Secret.Reveal()) {
				k.Errorf("%s tells a secret", e.Name)
			}
		}
	}},
	{"W33 preferences of a user are audited too", documented, func(k *kit) {
		user := k.signUp(ada)
		k.forget()
		k.must(ignore(k.Users().UpdatePrefs(k.ctx, user.ID, []byte(`{"a":1}`))))
		k.must(k.Users().DeleteSessions(k.ctx, user.ID))
		k.same("log", k.logs(), []string{"user.update by server"})
	}},
	{"W35 a page has a greatest size", documented, func(k *kit) {
		user := k.signUp(ada)
		if err := ignore(k.Users().Logs(k.ctx, user.ID, latchkey.Limit(5_001))); !errors.Is(err, latchkey.ErrArgumentInvalid) {
			k.Errorf("%v", err)
		}
	}},
	{"W50 nothing is verified that is not there", documented, func(k *kit) {
		user, err := k.Users().Create(k.ctx, latchkey.NewUser{})
		k.must(err)
		if err := ignore(k.Users().UpdateEmailVerification(k.ctx, user.ID, true)); err != latchkey.ErrEmailNotFound {
			k.Errorf("%v", err)
		}
		if err := ignore(k.Users().UpdatePhoneVerification(k.ctx, user.ID, true)); err != latchkey.ErrPhoneNotFound {
			k.Errorf("%v", err)
		}
	}},
}

func TestWeaknesses(t *testing.T) {
	for _, w := range weaknesses {
		t.Run(w.name, func(t *testing.T) { onEveryStore(t, w.policy, w.test) })
	}
}

// passwordOf returns the sealed hash of a user.
func (k *kit) passwordOf(id string) string {
	k.Helper()
	row, err := record.Users.Get(k.ctx, k.store.Store, record.Users.Primary(), store.Text(id))
	k.must(err)
	return string(row.Password)
}
