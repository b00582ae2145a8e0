package latchkey_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/hasher"
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
	engine, err := latchkey.New(k.store, latchkey.Config{Keys: keys, Hasher: hasher.ForTests(k.T), Now: k.clock.Now, Policy: k.policy})
	k.must(err)
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
