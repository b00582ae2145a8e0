package latchkey_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/hasher/hashertest"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/store"
)

func sortedWords(s string) string {
	words := strings.Fields(s)
	slices.Sort(words[4:])
	return strings.Join(words, " ")
}

func TestSweepDeletesWhatHasRunOutAndNothingElse(t *testing.T) {
	onEveryStore(t, latchkey.Policy{SessionLength: 48 * time.Hour, LogLength: 24 * time.Hour}, func(k *kit) {
		k.signUp(ada)
		k.signIn(ada)
		lost, _ := k.anonymous()
		kept, account := k.anonymous()
		blank, err := k.Users().Create(k.ctx, latchkey.NewUser{})
		k.must(err)
		_ = k.try(attacker, "nobody@example.org", "wrong horse")
		k.clock.Advance(47 * time.Hour)
		k.must(ignore(account.UpdateSession(k.ctx, latchkey.Current)))
		session, _ := k.signIn(ada)
		k.must(k.try(owner, ada, password))
		k.clock.Advance(time.Hour)
		k.forget()
		swept, err := k.Sweep(k.ctx)
		k.must(err)
		if swept.Users != 1 || swept.Sessions != 1 || swept.Failures != 1 || swept.Logs < 5 {
			k.Errorf("swept %+v", swept)
		}
		k.same("events", k.events(lost.UserID, "U"), []string{"users.U.delete by server"})
		for _, id := range []string{kept.UserID, session.UserID, blank.ID} {
			k.must(ignore(k.Users().Get(k.ctx, id)))
		}
		if err := ignore(k.Users().Get(k.ctx, lost.UserID)); err != latchkey.ErrUserNotFound {
			k.Errorf("the lost one: %v", err)
		}
		k.must(ignore(account.User(k.ctx)))
		again, err := k.Sweep(k.ctx)
		k.must(err)
		k.same("again", again, latchkey.Swept{})
	})
}

func TestSweepWorksInBatches(t *testing.T) {
	onEveryStore(t, latchkey.Policy{SessionLength: time.Hour}, func(k *kit) {
		for range 130 {
			k.must(ignore(k.guest.CreateAnonymousSession(k.ctx)))
		}
		k.clock.Advance(time.Hour)
		k.store.Reset()
		swept, err := k.Sweep(k.ctx)
		k.must(err)
		if swept.Users != 130 || k.rows()["users"]+k.rows()["sessions"]+k.rows()["words"] != 0 {
			k.Errorf("swept %+v, left %v", swept, k.rows())
		}
		if n := k.store.Updates.Load(); n < 3 {
			k.Errorf("%d transactions", n)
		}
	})
}

func (k *kit) withKeys(keys latchkey.Keys) *latchkey.Engine {
	k.Helper()
	engine, err := latchkey.New(k.store, latchkey.Config{
		Keys: keys, Hasher: hashertest.New(k.T), Now: k.clock.Now, Policy: k.policy,
		Notifier: k.box, SMS: k.box, RedirectHosts: []string{"app.example.org"},
	})
	k.must(err)
	k.Cleanup(func() { k.must(engine.Close()) })
	return engine
}

func TestResealMovesEverythingToTheActiveKey(t *testing.T) {
	onEveryStore(t, latchkey.Policy{PasswordHistory: 2}, func(k *kit) {
		for n := range 120 {
			k.must(ignore(k.Users().Create(k.ctx, latchkey.NewUser{Email: fmt.Sprintf("u%d@example.org", n), Password: password})))
		}
		k.anonymous()
		old := k.keys.Active
		next := latchkey.GenerateKey()
		engine := k.withKeys(latchkey.Keys{Active: next, Old: []latchkey.Key{old}})
		k.must(ignore(engine.Guest(testClient).CreateEmailPasswordSession(k.ctx, "u7@example.org", password))) // old keys open
		k.must(ignore(engine.Users().UpdatePassword(k.ctx, k.idOf("u7@example.org"), "another horse")))        // the active one writes
		done, err := engine.Reseal(k.ctx)
		k.must(err)
		k.same("first", done, latchkey.Resealed{Rows: 119, Left: map[string]int{}})
		done, err = engine.Reseal(k.ctx)
		k.must(err)
		k.same("again", done, latchkey.Resealed{Left: map[string]int{}})
		alone := k.withKeys(latchkey.Keys{Active: next})
		k.must(ignore(alone.Guest(testClient).CreateEmailPasswordSession(k.ctx, "u9@example.org", password)))
		if err := ignore(alone.Users().UpdatePassword(k.ctx, k.idOf("u9@example.org"), password)); !errors.Is(err, latchkey.ErrPasswordRecentlyUsed) {
			k.Errorf("history after resealing: %v", err)
		}
		if err := ignore(k.guest.CreateEmailPasswordSession(k.ctx, "u9@example.org", password)); err == nil || errors.Is(err, latchkey.ErrInvalidCredentials) {
			k.Errorf("the old key opens what it should not: %v", err)
		}
	})
}

func TestResealCountsWhatItCannotOpen(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		one, two := k.signUp(ada), k.signUp(bob)
		next := latchkey.GenerateKey()
		k.changeUser(two.ID, func(u *record.User) { u.Password[len(u.Password)-1] ^= 1 })
		done, err := k.withKeys(latchkey.Keys{Active: next}).Reseal(k.ctx)
		k.must(err)
		k.same("without the old key", done, latchkey.Resealed{Left: map[string]int{k.keys.Active.ID(): 2}})
		done, err = k.withKeys(latchkey.Keys{Active: next, Old: []latchkey.Key{k.keys.Active}}).Reseal(k.ctx)
		k.must(err)
		k.same("with it", done, latchkey.Resealed{Rows: 1, Left: map[string]int{"damaged": 1}})
		_ = one
		if id := next.ID(); len(id) != 16 || id == k.keys.Active.ID() || strings.Contains(next.Reveal(), id) {
			k.Errorf("the key's id is %s", id)
		}
	})
}

// A password that changes while its row is sealed anew is not lost.
func TestResealDoesNotUndoAChange(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		user := k.signUp(ada)
		engine := k.withKeys(latchkey.Keys{Active: latchkey.GenerateKey(), Old: []latchkey.Key{k.keys.Active}})
		k.interfere(func() { k.must(ignore(engine.Users().UpdatePassword(k.ctx, user.ID, "another horse"))) })
		k.must(ignore(engine.Reseal(k.ctx)))
		k.must(ignore(engine.Guest(testClient).CreateEmailPasswordSession(k.ctx, ada, "another horse")))
	})
}

func (k *kit) idOf(email string) string {
	k.Helper()
	user, err := record.Users.Get(k.ctx, k.store, record.Users.Index("email"), store.Text(email))
	k.must(err)
	return user.ID
}

// What began as an anonymous user and became another kind is not swept with its
// anonymous session.
func TestSweepKeepsUsersWhoCanStillBe(t *testing.T) {
	onEveryStore(t, latchkey.Policy{SessionLength: time.Hour}, func(k *kit) {
		kept := make(map[string]string)
		for what, become := range map[string]func(a *latchkey.Account) error{
			"e-mail":   func(a *latchkey.Account) error { return ignore(a.UpdateEmail(k.ctx, ada, password)) },
			"password": func(a *latchkey.Account) error { return ignore(a.UpdatePassword(k.ctx, password, "")) },
			"phone":    func(a *latchkey.Account) error { return ignore(k.Users().UpdatePhone(k.ctx, a.UserID(), phone)) },
		} {
			_, account := k.anonymous()
			k.must(become(account))
			kept[what] = account.UserID()
		}
		made, err := k.Users().Create(k.ctx, latchkey.NewUser{})
		k.must(err)
		k.must(ignore(k.Users().CreateSession(k.ctx, made.ID)))
		kept["made by the server"] = made.ID
		k.clock.Advance(30 * time.Minute)
		_, account := k.anonymous()
		k.clock.Advance(20 * time.Minute)
		k.must(ignore(k.Users().CreateSession(k.ctx, account.UserID())))
		kept["with a session"] = account.UserID()
		k.clock.Advance(50 * time.Minute)
		swept, err := k.Sweep(k.ctx)
		k.must(err)
		for what, id := range kept {
			if err := ignore(k.Users().Get(k.ctx, id)); err != nil {
				k.Errorf("%s: %v (swept %+v)", what, err, swept)
			}
		}
	})
}

// More expired sessions of people who stay than fit in one batch do not keep
// the sweep busy for ever.
func TestSweepGetsPastWhatItKeeps(t *testing.T) {
	onEveryStore(t, latchkey.Policy{SessionLength: time.Hour}, func(k *kit) {
		for n := range 60 {
			_, account := k.anonymous()
			k.must(ignore(k.Users().UpdateEmail(k.ctx, account.UserID(), fmt.Sprintf("u%d@example.org", n))))
		}
		k.clock.Advance(time.Hour)
		swept, err := k.Sweep(k.ctx)
		k.must(err)
		if swept.Sessions != 60 || swept.Users != 0 {
			k.Errorf("swept %+v", swept)
		}
	})
}

func TestLifetimesHoldForSessionsThatExist(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		k.signUp(ada)
		session, _ := k.signIn(ada)
		bounded := func(l latchkey.Lifetime) *latchkey.Guest {
			engine, err := latchkey.New(k.store, latchkey.Config{Keys: k.keys, Hasher: k.hasher, Now: k.clock.Now, Policy: latchkey.Policy{SingleFactor: l, SessionLimit: 2}})
			k.must(err)
			return engine.Guest(testClient)
		}
		k.clock.Advance(2 * time.Hour)
		for what, guest := range map[string]*latchkey.Guest{"absolute": bounded(latchkey.Lifetime{Absolute: time.Hour}), "idle": bounded(latchkey.Lifetime{Idle: time.Hour})} {
			if err := ignore(guest.Authenticate(k.ctx, session.Secret)); err != latchkey.ErrUnauthorized {
				k.Errorf("%s: %v", what, err)
			}
		}
		k.must(ignore(k.guest.Authenticate(k.ctx, session.Secret)))

		// What is over does not count at the limit and ends without a word.
		guest := bounded(latchkey.Lifetime{Idle: time.Hour})
		k.forget()
		for range 2 {
			k.must(ignore(guest.CreateEmailPasswordSession(k.ctx, ada, password)))
		}
		k.same("log", k.logs(), []string{"session.create by user", "session.create by user"})
	})
}

// With an idle time, a session is noted as seen after an eighth of it, and not
// more often.
func TestIdleSessionsAreNotedAfterAnEighth(t *testing.T) {
	onEveryStore(t, latchkey.Policy{SingleFactor: latchkey.Lifetime{Idle: 8 * time.Hour}}, func(k *kit) {
		k.signUp(ada)
		session, _ := k.signIn(ada)
		writes := 0
		for range 30 {
			k.clock.Advance(20 * time.Minute)
			k.store.Reset()
			k.must(ignore(k.guest.Authenticate(k.ctx, session.Secret)))
			writes += int(k.store.Updates.Load())
		}
		if writes != 10 {
			k.Errorf("%d writes in 10 hours", writes)
		}
		account, err := k.guest.Authenticate(k.ctx, session.Secret)
		k.must(err)
		k.clock.Advance(7 * time.Hour)
		k.must(ignore(account.UpdateSession(k.ctx, latchkey.Current))) // is a sign of life, too
		k.clock.Advance(7 * time.Hour)
		k.must(ignore(k.guest.Authenticate(k.ctx, session.Secret)))
	})
}
