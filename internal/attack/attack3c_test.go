package attack_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/hasher"
	"example.com/latchkey/hasher/hashertest"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/query"
	"example.com/latchkey/store"
	"example.com/latchkey/store/storetest"
)

// confirmedAlone makes Ada's account with a password, and has the link to her address opened without a
// session: the next sign-in by mail claims the account unless the password is shown.
func confirmedAlone(k *kit.Kit) *latchkey.Account {
	k.Helper()
	k.SignUp(kit.Ada)
	account := k.SignedInAt(kit.Owner)
	token, err := account.CreateEmailVerification(k.Ctx, kit.VerifyURL)
	k.Must(err)
	m := k.MailOf(token, kit.Ada)
	k.Must(kit.Err(k.Visitor.ConfirmEmailVerification(k.Ctx, m.UserID, m.Secret)))
	return account
}

// The mailbox does not take an account with MFA on: it would take the second factor away.
func TestAttack3TheMailboxClaimsNoAccountWithMFAOn(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		account := confirmedAlone(k)
		protects(k, account)
		if session := byMagicLink(k, kit.Ada); full(k, session.Secret) {
			k.Error("the mailbox alone is in")
		}
		factors, err := k.Users().MFAFactors(k.Ctx, account.UserID())
		k.Must(err)
		if !factors.TOTP {
			k.Error("the mailbox has removed the authenticator")
		}
	})
}

// The mailbox does not take an account while it is blocked: the block is the server's.
func TestAttack3TheMailboxClaimsNoBlockedAccount(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		account := confirmedAlone(k)
		token, err := k.Visitor.CreateMagicURLToken(k.Ctx, latchkey.NewMagicURLToken{Email: kit.Ada})
		k.Must(err)
		m := k.MailOf(token, kit.Ada)
		k.Must(kit.Err(k.Users().UpdateStatus(k.Ctx, account.UserID(), false)))
		if err := kit.Err(k.Visitor.CreateSession(k.Ctx, m.UserID, m.Secret)); err != latchkey.ErrUserBlocked {
			k.Error(err)
		}
		k.Must(kit.Err(k.Users().UpdateStatus(k.Ctx, account.UserID(), true)))
		k.Must(k.Try(kit.Owner, kit.Ada, kit.Password)) // it is what it was
	})
}

// The owner of an address gets an account of their own if a blocked account claims it.
func TestAttack3ABlockedAccountGivesItsAddressUp(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		planted := k.SignUp(kit.Ada)
		k.Must(kit.Err(k.Users().UpdateStatus(k.Ctx, planted.ID, false)))
		if session := byMagicLink(k, kit.Ada); session.UserID == planted.ID {
			k.Error("the blocked account is handed over")
		}
		user, err := k.Users().Get(k.Ctx, planted.ID)
		k.Must(err)
		if user.Email != "" || user.Status {
			k.Errorf("%+v", user)
		}
	})
}

// A proof from ahead of the clock is not recent.
func TestAttack3AProofFromAheadIsNotRecent(t *testing.T) {
	const ahead = 20 * 24 * time.Hour
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		account := owned(k)
		k.Clock.Advance(2*time.Hour + ahead)
		account = showsMail(k, account)
		k.Clock.Advance(-ahead)
		if err := account.RequireRecent(k.Ctx, 0); err != latchkey.ErrChallengeRequired {
			k.Error(err)
		}
	})
}

// A session that ends between the beginning of a change and its transaction changes nothing.
func TestAttack3TheSessionIsCheckedInTheTransactionOfAChange(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		account := owned(k)
		hook, ended := k.Store.Hook, false
		k.Store.Hook = func(c storetest.Call) error {
			if c.Done && !c.Inside && c.Name != "Commit" && !ended {
				ended = true
				k.Must(k.Users().DeleteSessions(k.Ctx, account.UserID()))
			}
			return hook(c)
		}
		defer func() { k.Store.Hook = hook }()
		for what, do := range map[string]func() error{
			"name":     func() error { return kit.Err(account.UpdateName(k.Ctx, "Eve")) },
			"prefs":    func() error { return kit.Err(account.UpdatePrefs(k.Ctx, json.RawMessage(`{"a":1}`))) },
			"a secret": func() error { return kit.Err(account.RotateSession(k.Ctx)) },
		} {
			ended = false
			err := do()
			if ended && err != latchkey.ErrUnauthorized {
				k.Errorf("%s: %v", what, err)
			}
		}
	})
}

// A link is bound to the address to which it was sent: it proves nothing once the user does not
// have that address, even if the row was changed without the engine.
func TestAttack3ALinkProvesOnlyAnAddressThatItsUserHas(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		account := k.SignedInAt(kit.Owner)
		token, err := account.CreateEmailVerification(k.Ctx, kit.VerifyURL)
		k.Must(err)
		verifies := k.MailOf(token, kit.Ada)
		token, err = k.Visitor.CreateMagicURLToken(k.Ctx, latchkey.NewMagicURLToken{Email: kit.Ada})
		k.Must(err)
		signsIn := k.MailOf(token, kit.Ada)
		k.Tampered = true
		k.Must(k.Raw.Update(k.Ctx, func(ctx context.Context, tx store.Tx) error {
			u, err := record.Users.Get(ctx, tx, record.Users.Primary(), store.Text(account.UserID()))
			if err != nil {
				return err
			}
			u.Email = ""
			return record.Users.Replace(ctx, tx, u)
		}))
		if err := kit.Err(k.Visitor.ConfirmEmailVerification(k.Ctx, verifies.UserID, verifies.Secret)); !errors.Is(err, latchkey.ErrInvalidToken) {
			k.Errorf("a verification: %v", err)
		}
		if err := kit.Err(k.Visitor.CreateSession(k.Ctx, signsIn.UserID, signsIn.Secret)); !errors.Is(err, latchkey.ErrInvalidToken) {
			k.Errorf("a sign-in: %v", err)
		}
	})
}

// EndOnChange ends the other sessions of a user whose proven address changes, and not if the address
// was only claimed.
func TestAttack3EndOnChangeIsForProvenAddresses(t *testing.T) {
	kit.OnEveryStore(t, latchkey.Policy{Sessions: latchkey.SessionPolicy{EndOnChange: true}}, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		account := k.SignedInAt(kit.Owner)
		other, _ := k.SignIn(kit.Ada)
		k.Must(kit.Err(account.UpdateEmail(k.Ctx, "new@example.org", kit.Password)))
		if !full(k, other.Secret) {
			k.Error("a claimed address has ended a session")
		}
	})
}

// A code that was sent to a number before a user had it ends with that user.
func TestAttack3WhatWasSentToANumberBeforeEndsWithTheFirstProof(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		token, err := k.Visitor.CreatePhoneToken(k.Ctx, "", kit.Phone)
		k.Must(err)
		code := k.MailOf(token, kit.Phone).Secret
		user := k.SignUp(kit.Ada)
		k.Must(kit.Err(k.Users().UpdatePhone(k.Ctx, user.ID, kit.Phone)))
		k.Must(k.Users().Delete(k.Ctx, user.ID))
		if err := kit.Err(k.Visitor.CreateSession(k.Ctx, token.UserID, code)); !errors.Is(err, latchkey.ErrInvalidToken) {
			k.Error(err)
		}
	})
}

// An export is of one moment: if the user changes while it is read, it is read again.
func TestAttackAnExportIsOfOneMoment(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		account := owned(k)
		hook, reads := k.Store.Hook, 0
		k.Store.Hook = func(c storetest.Call) error {
			if c.Done && !c.Inside && c.Name != "Commit" {
				if reads++; reads == 3 { // the user was read, and some of the rest
					k.Must(kit.Err(k.Users().UpdateName(k.Ctx, account.UserID(), "Augusta")))
				}
			}
			return hook(c)
		}
		text, err := k.Users().Export(k.Ctx, account.UserID())
		k.Store.Hook = hook
		k.Must(err)
		if !strings.Contains(string(text), `"name":"Augusta"`) {
			k.Error("the export has the former name, and later rows")
		}
	})
}

// A cursor at a row without the attribute of the order is refused as documented.
func TestAttackACursorAtARowWithoutTheAttributeIsRefused(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user := k.SignUp(kit.Ada)
		k.Refuses("no number", latchkey.ErrQueryOrderNull, func() error {
			return kit.Err(k.Users().List(k.Ctx, query.OrderAsc("phone"), query.CursorAfter(user.ID)))
		})
	})
}

// A search of bad bytes and conditions that are nested too deep are refused as the caller's mistake,
// before the store sees them.
func TestAttackQueriesThatNoStoreTakesAreRefused(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		at := k.Clock.Now().Add(time.Nanosecond) // a range of such times is two conditions
		deep := func(n int, q latchkey.Query) latchkey.Query {
			for range n {
				q = query.And(q)
			}
			return q
		}
		for what, q := range map[string]latchkey.Query{
			"bytes":             query.Search("\xff"),
			"eleven deep":       deep(11, query.Equal("name", "x")),
			"ten deep, and two": deep(10, query.Between("$createdAt", at, at.Add(time.Hour))),
		} {
			k.Refuses(what, latchkey.ErrArgumentInvalid, func() error { return kit.Err(k.Users().List(k.Ctx, q)) })
		}
	})
}

// Uses from ahead of the clock do not keep a session alive that would be over without them.
func TestAttack3UsesAheadOfTheClockKeepNoSessionAlive(t *testing.T) {
	const day = 24 * time.Hour
	policy := latchkey.Policy{Sessions: latchkey.SessionPolicy{SingleFactor: latchkey.Lifetime{Idle: 10 * day}}}
	kit.OnEveryStore(t, policy, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		session, _ := k.SignIn(kit.Ada)
		for range 3 {
			k.Clock.Advance(9 * day)
			k.Must(kit.Err(k.Visitor.Authenticate(k.Ctx, session.Secret.Reveal())))
		}
		k.Clock.Advance(-16 * day) // 11 days after the sign-in
		if full(k, session.Secret) {
			k.Error("a session that idles for 10 days at most was used ahead of the clock alone")
		}
	})
}

// Conditions that are nested too deep are refused, also where one of them becomes two, and however
// the rows are looked at.
func TestAttackDeepConditionsAreNoFault(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		at := k.Clock.Now().Add(1)
		for name, q := range map[string]query.Query{"a text": query.IsNotNull("name"), "a range": query.Between("$createdAt", at, at)} {
			for depth := range 14 {
				for _, queries := range [][]query.Query{{q}, {q, query.Walk()}} {
					if err := kit.Err(k.Users().List(k.Ctx, queries...)); !isAnswer(err) {
						k.Errorf("%s, %d deep, %d queries: %v (%v)", name, depth, len(queries), err, errors.Unwrap(err))
					}
				}
				q = query.And(q)
			}
		}
	})
}

// A condition on a list counts once, however many values it has: it reads the list once.
func TestAttackAConditionOnAListCountsOnce(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		many := make([]string, query.MaxValues)
		for n := range many {
			many[n] = fmt.Sprint("v", n)
		}
		for _, more := range [][]query.Query{nil, {query.Walk()}} {
			list, err := k.Users().List(k.Ctx, append(more, query.NotContains("labels", many...))...)
			k.Must(err)
			if len(list.Users) != 1 {
				k.Errorf("%d users", len(list.Users))
			}
		}
	})
}

// The place in the queue for hashing that is given up is the last one of the greatest group.
func TestAttackTheGreatestGroupGivesItsLastPlaceUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		narrow, err := hasher.New(hasher.Config{Params: hasher.Params{Memory: 7168, Time: 5, Threads: 1}, Slots: 1, Queue: 8, Wait: time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		release := hashertest.Hold(t, narrow)
		var busy [4]atomic.Int64
		join := func(group, n int) {
			for range n {
				go func() {
					if _, err := narrow.For(fmt.Sprint(group)).Hash(t.Context(), "password"); err != nil {
						busy[group].Add(1)
					}
				}()
				synctest.Wait()
			}
		}
		join(1, 3)
		join(2, 4)
		join(3, 1) // the queue is full
		join(0, 1)
		if busy[0].Load() != 0 || busy[1].Load() != 0 || busy[2].Load() != 1 || busy[3].Load() != 0 {
			t.Errorf("refused of the groups: %d %d %d %d", busy[0].Load(), busy[1].Load(), busy[2].Load(), busy[3].Load())
		}
		release()
		synctest.Wait()
	})
}
