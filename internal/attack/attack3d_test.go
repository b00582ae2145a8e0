package attack_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/query"
	"example.com/latchkey/ratelimit"
	"example.com/latchkey/store"
	"example.com/latchkey/store/storetest"
)

// A session that has removed its authenticator with MFA on is only taken to have proven one. When
// it confirms the next one it has proven that, and keeps the proof when the server switches MFA off.
func TestAttack3AConfirmedAuthenticatorIsAProofAlsoIfAFormerOneWasAssumed(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		owner, app := withTOTP(k)
		owner = shows(k, owner, latchkey.FactorTOTP, app.Code())
		k.Must(owner.DeleteMFAAuthenticator(k.Ctx))
		k.Clock.Advance(30 * time.Second)
		k.Confirmed(owner, latchkey.NewMFAAuthenticator{})
		k.Must(kit.Err(k.Users().UpdateMFA(k.Ctx, owner.UserID(), false)))
		session, err := owner.GetSession(k.Ctx, latchkey.CurrentSession)
		k.Must(err)
		if got := fmt.Sprint(session.Factors); got != "[password totp]" {
			k.Errorf("%s, want [password totp]", got)
		}
	})
}

// asked are calls that the rules for messages and for sign-ins count. Each call of one comes from
// another network of the same site where the rule is by site, and from the same network otherwise.
var asked = map[string]func(k *kit.Kit, n int) error{
	"messagesBurst":         askMail,
	"messagesFew":           askMail,
	"messagesDay":           askMail,
	"messagesByClient":      askMail,
	"messagesByPrefix":      askText,
	"messagesTexts":         askText,
	"messagesNumbers":       askText,
	"messagesBySite":        askMailOfSite,
	"messagesNumbersBySite": askTextOfSite,
	"signInsByClient":       signInAgain,

	"createEmailPasswordSessionByClient": signInAgain,
}

func askMail(k *kit.Kit, _ int) error { return askFrom(k, 0, "") }

func askText(k *kit.Kit, n int) error { return askFrom(k, 0, numberOf(n)) }

func askMailOfSite(k *kit.Kit, n int) error { return askFrom(k, n, "") }

func askTextOfSite(k *kit.Kit, n int) error { return askFrom(k, n, numberOf(n)) }

func numberOf(n int) string { return fmt.Sprintf("+1415555%04d", 200+n) }

// askFrom asks for a code to a number, or to a mailbox, from a network of one site.
func askFrom(k *kit.Kit, network int, number string) error {
	guest := k.Guest(kit.At(fmt.Sprintf("2001:db8:7:%x::1", network)))
	if number == "" {
		return kit.Err(guest.CreateMagicURLToken(k.Ctx, latchkey.NewMagicURLToken{Email: kit.Ada}))
	}
	return kit.Err(guest.CreatePhoneToken(k.Ctx, "", number))
}

func signInAgain(k *kit.Kit, _ int) error { return k.Try("2001:db8:7::1", kit.Ada, kit.Password) }

// A rule of a policy for messages, or for sign-ins, holds at its count, right passwords included.
// Its window begins with the first call, and ends when the rule says.
func TestA22EveryRuleOfThePolicyEndsWithItsWindow(t *testing.T) {
	for name, ask := range asked {
		t.Run(name, func(t *testing.T) {
			policy := latchkey.Policy{Guessing: latchkey.GuessingPolicy{Limits: map[string]ratelimit.Rule{name: {Calls: 3, Window: 100 * time.Minute}}}}
			kit.OnEveryStore(t, policy, func(k *kit.Kit) {
				k.SignUp(kit.Ada)
				k.Engine = k.LimitedEngine(nil)
				for n := range 3 {
					k.Must(ask(k, n))
				}
				k.Clock.Advance(90 * time.Minute)
				var throttled *latchkey.ThrottledError
				if err := ask(k, 3); !errors.As(err, &throttled) || throttled.RetryAfter != 10*time.Minute {
					k.Errorf("one too many: %v", err)
				}
				k.Clock.Advance(10 * time.Minute)
				k.Must(ask(k, 4))
			})
		})
	}
}

// A site of IPv6 is allowed ten times as many sign-ins by password as one network of it, in all of
// its networks together. Another site has a count of its own.
func TestA11SignInsOfASiteAreBoundedTogether(t *testing.T) {
	for _, name := range []string{"signInsByClient", "createEmailPasswordSessionByClient"} {
		t.Run(name, func(t *testing.T) {
			policy := latchkey.Policy{Guessing: latchkey.GuessingPolicy{Limits: map[string]ratelimit.Rule{name: {Calls: 2, Window: time.Hour}}}}
			kit.OnEveryStore(t, policy, func(k *kit.Kit) {
				k.SignUp(kit.Ada)
				k.Engine = k.LimitedEngine(nil)
				for n := range 20 {
					k.Must(k.Try(fmt.Sprintf("2001:db8:7:%x::1", n), kit.Ada, kit.Password))
				}
				k.Refuses("from a fresh network", latchkey.ErrRateLimitExceeded, func() error { return k.Try("2001:db8:7:ffff::1", kit.Ada, kit.Password) })
				k.Must(k.Try("2001:db8:8::1", kit.Ada, kit.Password))
			})
		})
	}
}

// A session that owes a factor ends with the factor, the address or the password that it has shown
// or that it could show, also if it would still owe one, and whatever the policy keeps.
func TestA1bASessionThatStillOwesEndsWithTheChange(t *testing.T) {
	policy := latchkey.Policy{Sessions: latchkey.SessionPolicy{KeepOnPasswordChange: true}}
	for name, change := range map[string]func(k *kit.Kit, owner *latchkey.Account) error{
		"password": func(k *kit.Kit, owner *latchkey.Account) error {
			return kit.Err(k.Users().UpdatePassword(k.Ctx, owner.UserID(), kit.FreshPassword))
		},
		"e-mail": func(k *kit.Kit, owner *latchkey.Account) error {
			return kit.Err(k.Users().UpdateEmail(k.Ctx, owner.UserID(), kit.Bob))
		},
		"number": func(k *kit.Kit, owner *latchkey.Account) error {
			return kit.Err(k.Users().UpdatePhone(k.Ctx, owner.UserID(), kit.Phone))
		},
		"authenticator": func(k *kit.Kit, owner *latchkey.Account) error {
			return k.Users().DeleteMFAAuthenticator(k.Ctx, owner.UserID())
		},
	} {
		t.Run(name, func(t *testing.T) {
			kit.OnEveryStore(t, policy, func(k *kit.Kit) {
				owner, _ := withTOTP(k)
				session, _ := k.Owing(k.Visitor)
				k.Must(change(k, owner))
				k.Refuses("after the change", latchkey.ErrUnauthorized, func() error { return kit.Err(k.Visitor.Authenticate(k.Ctx, session.Secret.Reveal())) })
			})
		})
	}
}

// A sweep takes a proof of the time ahead from a session, also if that was extended once the clock
// was right.
func TestAttack3AnExtendedSessionKeepsNoProofFromAhead(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		const ahead = 20 * 24 * time.Hour
		owner := owned(k)
		k.Clock.Advance(ahead)
		owner = showsMail(k, owner)
		k.Clock.Advance(-ahead)
		k.Must(kit.Err(owner.ExtendSession(k.Ctx, latchkey.CurrentSession)))
		k.Must(kit.Err(k.Sweep(k.Ctx)))
		k.Clock.Advance(ahead)
		k.Refuses("a proof of 20 days ago", latchkey.ErrChallengeRequired, func() error { return owner.RequireRecent(k.Ctx, 0) })
	})
}

// A sweep takes the confirmation of an authenticator from a session if the clock was ahead then: it
// is no fresh proof of it when that time comes.
func TestAttack3AConfirmationFromAheadIsNoStrongProof(t *testing.T) {
	policy := latchkey.Policy{Factors: latchkey.FactorPolicy{EnrolWithoutStepUp: true}}
	kit.OnEveryStore(t, policy, func(k *kit.Kit) {
		const ahead = 20 * 24 * time.Hour
		owner := owned(k)
		k.Clock.Advance(ahead)
		k.Confirmed(owner, latchkey.NewMFAAuthenticator{})
		k.Clock.Advance(-ahead)
		k.Must(kit.Err(k.Sweep(k.Ctx)))
		k.Clock.Advance(ahead)
		owner = showsMail(k, owner)
		k.Refuses("a confirmation of 20 days ago", latchkey.ErrChallengeRequired, func() error { return owner.DeleteMFAAuthenticator(k.Ctx) })
	})
}

// On a full disk a transaction that writes nothing succeeds. A right old password is not told there
// either, also to a client that is known already, for which there is nothing to write down.
func TestA2OnAFullDiskAKnownClientLearnsNothing(t *testing.T) {
	policy := latchkey.Policy{Password: latchkey.PasswordPolicy{PersonalData: true}}
	kit.OnEveryStore(t, policy, func(k *kit.Kit) {
		owner := owned(k)
		hook := k.Store.Hook
		k.Store.Hook = func(c storetest.Call) error {
			if c.Name == "Insert" || c.Name == "Replace" || c.Name == "Delete" || c.Name == "DeleteRange" {
				return kit.ErrDisk
			}
			return hook(c)
		}
		answers := make(map[string]bool)
		for _, old := range []string{kit.Password, "wrong horse"} {
			err := kit.Err(owner.UpdatePassword(k.Ctx, latchkey.PasswordUpdate{New: "my ada@example.org", Old: old}))
			answers[err.Error()] = true
		}
		k.Store.Hook = hook
		if len(answers) != 1 {
			k.Errorf("the answers differ: %v", answers)
		}
	})
}

// uncommitted is a store that runs a transaction and does not commit it.
type uncommitted struct{ store.Store }

func (s uncommitted) Update(ctx context.Context, fn func(context.Context, store.Tx) error) error {
	return s.Store.Update(ctx, func(ctx context.Context, tx store.Tx) error {
		if err := fn(ctx, tx); err != nil {
			return err
		}
		return kit.ErrDisk
	})
}

// The refusal of a change after the right old password commits as the count of a wrong one does. So
// a store that does not commit tells nothing of either.
func TestA2ARefusalAfterTheRightPasswordCommits(t *testing.T) {
	policy := latchkey.Policy{Password: latchkey.PasswordPolicy{PersonalData: true}}
	kit.OnEveryStore(t, policy, func(k *kit.Kit) {
		k.SignUp(kit.Bob)
		owner := owned(k)
		whole := k.Store.Store
		k.Store.Store = uncommitted{whole}
		answers := make(map[string]bool)
		for _, old := range []string{kit.Password, "wrong horse"} {
			answers[kit.Err(owner.UpdatePassword(k.Ctx, latchkey.PasswordUpdate{New: "my ada@example.org", Old: old})).Error()] = true
			answers[kit.Err(owner.UpdatePhone(k.Ctx, kit.Phone, old)).Error()] = true
			answers[kit.Err(owner.UpdateEmail(k.Ctx, kit.Bob, old)).Error()] = true
		}
		k.Store.Store = whole
		for answer := range answers {
			if !strings.HasSuffix(answer, "internal error") {
				k.Errorf("%s", answer)
			}
		}
	})
}

// A token of a page serves the listing that gave it, and no other: every part of what was asked
// for is bound to it.
func TestAC110ATokenIsBoundToEveryPartOfItsListing(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		began := k.Clock.Now()
		for n := range 4 {
			k.Must(kit.Err(k.Users().Create(k.Ctx, latchkey.NewUser{
				Name: fmt.Sprint("Ada ", n), Email: fmt.Sprintf("ada%d@example.org", n), Phone: numberOf(n),
			})))
			k.Must(kit.Err(k.Teams().Create(k.Ctx, latchkey.NewTeam{Name: fmt.Sprint("Bakers ", n)})))
		}
		users := func(queries ...query.Query) (string, error) {
			list, err := k.Users().List(k.Ctx, queries...)
			if err != nil {
				return "", err
			}
			return list.Next, nil
		}
		teams := func(queries ...query.Query) (string, error) {
			list, err := k.Teams().List(k.Ctx, queries...)
			if err != nil {
				return "", err
			}
			return list.Next, nil
		}
		type listing func(...query.Query) (string, error)
		for name, c := range map[string]struct {
			list, other listing
			of, by      query.Query
		}{
			"listing":             {users, teams, query.OrderAsc("name"), query.OrderAsc("name")},
			"column of the order": {users, users, query.OrderAsc("name"), query.OrderAsc("email")},
			"column":              {users, users, query.IsNotNull("email"), query.IsNotNull("phone")},
			"text":                {users, users, query.NotEqual("name", "Bob"), query.NotEqual("name", "Eve")},
			"time":                {users, users, query.CreatedAfter(began.Add(-time.Hour)), query.CreatedAfter(began.Add(-time.Minute))},
			"truth":               {users, users, query.NotEqual("status", false), query.NotEqual("impersonator", true)},
			"inner condition":     {users, users, query.Or(query.IsNotNull("email")), query.Or(query.IsNotNull("phone"))},
		} {
			token, err := c.list(c.of, query.Limit(1))
			k.Must(err)
			k.Must(kit.Err(c.list(c.of, query.Page(token))))
			k.Refuses("another "+name, latchkey.ErrQueryInvalid, func() error { return kit.Err(c.other(c.by, query.Page(token))) })
		}
	})
}

// A total is counted up to 5,000, however the listing is read.
func TestTotalsAreCountedUpTo5000(t *testing.T) {
	kit.OneByOne(t, kit.Documented, func(k *kit.Kit) {
		k.FillUsers(5_010)
		for name, queries := range map[string][]query.Query{
			"all":       {},
			"a filter":  {query.IsNotNull("name")},
			"an order":  {query.OrderAsc("$updatedAt")},
			"and walks": {query.IsNotNull("name"), query.Walk()},
		} {
			list, err := k.Users().List(k.Ctx, append(queries, query.Limit(1))...)
			k.Must(err)
			if list.Total != 5_000 {
				k.Errorf("%s: %d", name, list.Total)
			}
		}
	})
}
