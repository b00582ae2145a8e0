package attack_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/authtest"
	"example.com/latchkey/internal/kit"
)

// withTOTP makes Ada with a verified address, a password, an authenticator and MFA on. It
// returns her account and her app.
func withTOTP(k *kit.Kit) (*latchkey.Account, *authtest.Authenticator) {
	account, app, _ := k.Enrolled(latchkey.NewMFAAuthenticator{})
	k.Must(kit.Err(k.Users().UpdateEmailVerification(k.Ctx, account.UserID(), true)))
	k.Must(kit.Err(k.Users().UpdateMFA(k.Ctx, account.UserID(), true)))
	return account, app
}

// full reports whether a secret is that of a full session.
func full(k *kit.Kit, secret latchkey.Secret) bool {
	return kit.Err(k.Visitor.Authenticate(k.Ctx, secret.Reveal())) == nil
}

// pendingOf returns the handle of a session that owes a factor.
func pendingOf(k *kit.Kit, secret latchkey.Secret) *latchkey.Pending {
	k.Helper()
	var owed *latchkey.MoreFactorsError
	if err := kit.Err(k.Visitor.Authenticate(k.Ctx, secret.Reveal())); !errors.As(err, &owed) {
		k.Fatal(err)
	}
	return owed.Pending
}

// byMagicLink signs in by a link to an address.
func byMagicLink(k *kit.Kit, email string) *latchkey.Session {
	k.Helper()
	token, err := k.Visitor.CreateMagicURLToken(k.Ctx, latchkey.NewMagicURLToken{Email: email})
	k.Must(err)
	session, err := k.Visitor.CreateSession(k.Ctx, token.UserID, k.MailOf(token, email).Secret)
	k.Must(err)
	return session
}

// byMailOnly signs an attacker in who holds the mailbox alone: recovery, the new password,
// and a code by mail.
func byMailOnly(k *kit.Kit) *latchkey.Session {
	k.Helper()
	k.Must(k.Recover(k.Recovery()))
	session, err := k.Visitor.CreateEmailPasswordSession(k.Ctx, kit.Ada, kit.FreshPassword)
	k.Must(err)
	answerByMail(k, pendingOf(k, session.Secret), &session)
	return session
}

// answerByMail answers a challenge by mail, and keeps the session that comes of it. One that would
// prove nothing new is refused.
func answerByMail(k *kit.Kit, pending *latchkey.Pending, session **latchkey.Session) {
	k.Helper()
	challenge, err := pending.CreateMFAChallenge(k.Ctx, latchkey.FactorEmail)
	if errors.Is(err, latchkey.ErrFactorDoesNotHelp) {
		return
	}
	k.Must(err)
	answered, err := pending.ConfirmMFAChallenge(k.Ctx, challenge.ID, k.Message(challenge.ID, kit.Ada).Secret)
	k.Must(err)
	*session = answered
}

// A mailbox alone does not pass an authenticator, also after the owner has signed in by
// link and app: A1.
func TestA1TheOwnersAppProvesNothingForTheMailbox(t *testing.T) {
	for _, policy := range []latchkey.Policy{{}, {Sessions: latchkey.SessionPolicy{KeepOnPasswordChange: true}}} {
		t.Run(fmt.Sprint(policy.Sessions.KeepOnPasswordChange), func(t *testing.T) {
			kit.OnEveryStore(t, policy, func(k *kit.Kit) {
				_, app := withTOTP(k)
				k.Clock.Advance(time.Minute)
				attacker := byMailOnly(k)
				if full(k, attacker.Secret) {
					k.Fatal("the mailbox alone passes at once")
				}
				// The owner signs in by link and app, and with their old password if it works.
				k.Clock.Advance(time.Minute)
				owner := pendingOf(k, byMagicLink(k, kit.Ada).Secret)
				k.Must(kit.Err(k.Answers(owner, latchkey.FactorTOTP, app.Code())))
				if full(k, attacker.Secret) {
					k.Error("the attacker's session is full")
				}
				again, err := k.Visitor.CreateEmailPasswordSession(k.Ctx, kit.Ada, kit.FreshPassword)
				k.Must(err)
				answerByMail(k, pendingOf(k, again.Secret), &again)
				if full(k, again.Secret) {
					k.Error("a new sign-in of the attacker is full")
				}
			})
		})
	}
}

// A change of the password ends the sessions that owe a factor, also where the policy keeps
// sessions: A1b.
func TestA1bAChangeOfThePasswordEndsWhatOwes(t *testing.T) {
	kit.OnEveryStore(t, latchkey.Policy{Sessions: latchkey.SessionPolicy{KeepOnPasswordChange: true}}, func(k *kit.Kit) {
		account, _ := withTOTP(k)
		k.Clock.Advance(time.Minute)
		attacker := byMailOnly(k)
		k.Clock.Advance(time.Minute)
		k.Must(kit.Err(k.Users().UpdatePassword(k.Ctx, account.UserID(), "the owner's horse")))
		if err := kit.Err(k.Visitor.Authenticate(k.Ctx, attacker.Secret.Reveal())); err != latchkey.ErrUnauthorized {
			k.Errorf("the attacker's session: %v", err)
		}
	})
}

// An old session and a JWT set no first password, and move no address: A3.
func TestA3TheFirstPasswordAsksForAFreshSession(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		session := byMagicLink(k, kit.Ada)
		account, err := k.Visitor.Authenticate(k.Ctx, session.Secret.Reveal())
		k.Must(err)
		byJWT, _ := k.ByJWT(session.UserID, session.ID)
		changes := map[string]func(a *latchkey.Account) error{
			"password": func(a *latchkey.Account) error {
				return kit.Err(a.UpdatePassword(k.Ctx, latchkey.PasswordUpdate{New: "the thief's horse"}))
			},
			"e-mail": func(a *latchkey.Account) error {
				return kit.Err(a.UpdateEmail(k.Ctx, "thief@example.org", "the thief's horse"))
			},
			"phone": func(a *latchkey.Account) error { return kit.Err(a.UpdatePhone(k.Ctx, kit.Phone, "the thief's horse")) },
		}
		for name, change := range changes {
			k.Refuses(name+" by JWT", latchkey.ErrChallengeRequired, func() error { return change(byJWT) })
		}
		k.Clock.Advance(31 * time.Minute)
		for name, change := range changes {
			k.Refuses(name+" by an old session", latchkey.ErrChallengeRequired, func() error { return change(account) })
		}
		fresh, err := k.Visitor.Authenticate(k.Ctx, byMagicLink(k, kit.Ada).Secret.Reveal())
		k.Must(err)
		k.Must(changes["password"](fresh))
	})
	// An anonymous account has nothing to lose.
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		_, account := k.Anonymous()
		k.Clock.Advance(time.Hour)
		k.Must(kit.Err(account.UpdateEmail(k.Ctx, kit.Ada, kit.Password)))
	})
}

// A session that owes a factor ends no session that has proven two: A7.
func TestA7ASessionThatOwesSignsNoOneOut(t *testing.T) {
	kit.OnEveryStore(t, latchkey.Policy{Sessions: latchkey.SessionPolicy{Limit: 2}}, func(k *kit.Kit) {
		account, app := withTOTP(k)
		k.Must(k.Users().DeleteSessions(k.Ctx, account.UserID()))
		enter := func() latchkey.Secret {
			k.Clock.Advance(time.Minute)
			session, pending := k.Owing(k.Visitor)
			_ = session
			answered, err := k.Answers(pending, latchkey.FactorTOTP, app.Code())
			k.Must(err)
			return answered.Secret
		}
		one, two := enter(), enter()
		for range 5 {
			k.Owing(k.Visitor) // the attacker has only the password
		}
		if !full(k, one) || !full(k, two) {
			k.Error("the attacker has signed the owner out")
		}
		list, err := k.Users().Sessions(k.Ctx, account.UserID())
		k.Must(err)
		if list.Total != 4 {
			k.Errorf("%d sessions: two full ones, and two that owe", list.Total)
		}
		// One that is proven takes the place of the oldest.
		three := enter()
		if full(k, one) || !full(k, two) || !full(k, three) {
			k.Error("not the oldest one was ended")
		}
	})
}

// Recovery codes stand in for the authenticator, so that making them asks for it: A16.
func TestA16RecoveryCodesAskForTheAuthenticator(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		account, app := k.Proven(), (*authtest.Authenticator)(nil)
		_, owner := k.SignIn(kit.Ada)
		app = k.Confirmed(owner, latchkey.NewMFAAuthenticator{})
		k.Must(kit.Err(k.Users().UpdateMFA(k.Ctx, account.ID, true)))
		k.Clock.Advance(time.Minute)
		session, pending := k.Owing(k.Visitor) // the attacker has password and mailbox
		answerByMail(k, pending, &session)
		attacker, err := k.Visitor.Authenticate(k.Ctx, session.Secret.Reveal())
		k.Must(err)
		k.Refuses("first codes", latchkey.ErrChallengeRequired, func() error { return kit.Err(attacker.CreateMFARecoveryCodes(k.Ctx)) })
		answered, err := k.Answers(attacker, latchkey.FactorTOTP, app.Code())
		k.Must(err)
		proven, err := k.Visitor.Authenticate(k.Ctx, answered.Secret.Reveal())
		k.Must(err)
		k.Must(kit.Err(proven.CreateMFARecoveryCodes(k.Ctx)))
	})
}

// A session that owes a factor never becomes a full one without its own proof: A17, A28.
func TestA28ASessionThatOwesIsNotFreedByAChange(t *testing.T) {
	for name, change := range map[string]func(k *kit.Kit, id string, owner *latchkey.Account) error{
		"MFA off by the owner": func(k *kit.Kit, _ string, owner *latchkey.Account) error {
			return kit.Err(owner.UpdateMFA(k.Ctx, false))
		},
		"MFA off by the server": func(k *kit.Kit, id string, _ *latchkey.Account) error {
			return kit.Err(k.Users().UpdateMFA(k.Ctx, id, false))
		},
		"the address by the owner": func(k *kit.Kit, _ string, owner *latchkey.Account) error {
			k.Confirmed(owner, latchkey.NewMFAAuthenticator{}) // otherwise the last factor would go
			return kit.Err(owner.UpdateEmail(k.Ctx, "new@example.org", kit.Password))
		},
		"the address by the server": func(k *kit.Kit, id string, _ *latchkey.Account) error {
			return kit.Err(k.Users().UpdateEmail(k.Ctx, id, "new@example.org"))
		},
		"no verified address": func(k *kit.Kit, id string, _ *latchkey.Account) error {
			return kit.Err(k.Users().UpdateEmailVerification(k.Ctx, id, false))
		},
	} {
		t.Run(name, func(t *testing.T) {
			kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
				user := k.SignUp(kit.Ada)
				k.Must(kit.Err(k.Users().UpdateEmailVerification(k.Ctx, user.ID, true)))
				_, owner := k.SignIn(kit.Ada)
				k.Must(kit.Err(owner.UpdateMFA(k.Ctx, true)))
				thief, _ := k.Owing(k.Visitor)
				k.Must(change(k, user.ID, owner))
				if err := kit.Err(k.Visitor.Authenticate(k.Ctx, thief.Secret.Reveal())); err != latchkey.ErrUnauthorized {
					k.Errorf("the session that owed: %v", err)
				}
				k.Must(kit.Err(owner.User(k.Ctx)))
			})
		})
	}
}

// A session that has ended stays ended when a factor is taken from it: A19.
func TestA19AnEndedSessionDoesNotRevive(t *testing.T) {
	policy := latchkey.Policy{Sessions: latchkey.SessionPolicy{
		MultiFactor:  latchkey.Lifetime{Idle: time.Hour},
		SingleFactor: latchkey.Lifetime{Idle: 14 * 24 * time.Hour},
	}}
	for name, change := range map[string]func(k *kit.Kit, id string) error{
		"authenticator removed": func(k *kit.Kit, id string) error { return k.Users().DeleteMFAAuthenticator(k.Ctx, id) },
		"MFA off":               func(k *kit.Kit, id string) error { return kit.Err(k.Users().UpdateMFA(k.Ctx, id, false)) },
		"another number":        func(k *kit.Kit, id string) error { return kit.Err(k.Users().UpdatePhone(k.Ctx, id, kit.OwnPhone)) },
	} {
		t.Run(name, func(t *testing.T) {
			kit.OnEveryStore(t, policy, func(k *kit.Kit) {
				account, app := withTOTP(k)
				k.Clock.Advance(time.Minute)
				_, pending := k.Owing(k.Visitor)
				phone, err := k.Answers(pending, latchkey.FactorTOTP, app.Code())
				k.Must(err)
				k.Clock.Advance(5 * 24 * time.Hour)
				if full(k, phone.Secret) {
					k.Fatal("the session has not ended")
				}
				k.Must(change(k, account.UserID()))
				if err := kit.Err(k.Visitor.Authenticate(k.Ctx, phone.Secret.Reveal())); err != latchkey.ErrUnauthorized {
					k.Errorf("the session of the lost telephone: %v", err)
				}
			})
		})
	}
}

// The same holds where no factor is owed: A19.
func TestA19AnEndedSessionDoesNotReviveWithoutMFA(t *testing.T) {
	policy := latchkey.Policy{Sessions: latchkey.SessionPolicy{
		MultiFactor:  latchkey.Lifetime{Idle: time.Hour},
		SingleFactor: latchkey.Lifetime{Idle: 14 * 24 * time.Hour},
	}}
	kit.OnEveryStore(t, policy, func(k *kit.Kit) {
		user := k.SignUp(kit.Ada)
		_, owner := k.SignIn(kit.Ada)
		app := k.Confirmed(owner, latchkey.NewMFAAuthenticator{})
		k.Clock.Advance(time.Minute)
		_, account := k.SignIn(kit.Ada)
		phone, err := k.Answers(account, latchkey.FactorTOTP, app.Code())
		k.Must(err)
		k.Clock.Advance(5 * 24 * time.Hour)
		k.Must(k.Users().DeleteMFAAuthenticator(k.Ctx, user.ID))
		if err := kit.Err(k.Visitor.Authenticate(k.Ctx, phone.Secret.Reveal())); err != latchkey.ErrUnauthorized {
			k.Errorf("the session of the lost telephone: %v", err)
		}
	})
}

// A password that the policy does not let sign in is no factor that a user owes: A23.
func TestA23ADisabledPasswordIsNotOwed(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user := k.SignUp(kit.Ada)
		k.Must(kit.Err(k.Users().UpdateEmailVerification(k.Ctx, user.ID, true)))
		k.Must(kit.Err(k.Users().UpdateMFA(k.Ctx, user.ID, true)))
		engine := k.Configured(func(c *latchkey.Config) { c.Policy.Disabled = latchkey.MethodEmailPassword })
		k.Engine, k.Visitor = engine, engine.Guest(kit.Client)
		if session := byMagicLink(k, kit.Ada); !full(k, session.Secret) {
			k.Error("the user has no way in")
		}
	})
}

// The rules for messages are not reported: messages that others have caused would tell that
// an address has an account. A13.
func TestA13WhatIsLeftOfMessagesIsNotTold(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		engine := k.Configured(func(*latchkey.Config) {})
		var seen []string
		client := kit.At(kit.Attacker)
		client.OnLimit = func(r latchkey.LimitResult) { seen = append(seen, r.Operation) }
		k.Must(kit.Err(engine.Guest(client).CreateMagicURLToken(k.Ctx, latchkey.NewMagicURLToken{Email: kit.Ada})))
		if len(seen) == 0 || slices.ContainsFunc(seen, func(name string) bool { return strings.HasPrefix(name, "messages") }) {
			k.Errorf("%v", seen)
		}
	})
}

// Changes of addresses are bounded, because a conflict tells that an address is taken: A26.
func TestA26ChangesOfAddressesAreBounded(t *testing.T) {
	for name, ask := range map[string]func(k *kit.Kit, a *latchkey.Account, n int) error{
		"e-mail": func(k *kit.Kit, a *latchkey.Account, n int) error {
			return kit.Err(a.UpdateEmail(k.Ctx, fmt.Sprintf("victim%d@example.org", n), kit.Password))
		},
		"phone": func(k *kit.Kit, a *latchkey.Account, n int) error {
			return kit.Err(a.UpdatePhone(k.Ctx, fmt.Sprintf("+1415555%04d", n), kit.Password))
		},
	} {
		t.Run(name, func(t *testing.T) {
			kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
				k.Engine = k.LimitedEngine(nil)
				session, err := k.Guest(kit.At(kit.Attacker)).CreateAnonymousSession(k.Ctx)
				k.Must(err)
				refused := 0
				for n := range 40 { // from many networks, and as many users from one
					account, err := k.Guest(kit.At(fmt.Sprintf("198.51.100.%d", n))).Authenticate(k.Ctx, session.Secret.Reveal())
					k.Must(err)
					if errors.Is(ask(k, account, n), latchkey.ErrRateLimitExceeded) {
						refused++
					}
				}
				if refused != 30 {
					k.Errorf("one user: %d of 40 refused", refused)
				}
				refused = 0
				for n := range 20 {
					session, err := k.Guest(kit.At("203.0.113.200")).CreateAnonymousSession(k.Ctx)
					k.Must(err)
					account, err := k.Guest(kit.At("203.0.113.200")).Authenticate(k.Ctx, session.Secret.Reveal())
					k.Must(err)
					if errors.Is(ask(k, account, 100+n), latchkey.ErrRateLimitExceeded) {
						refused++
					}
				}
				if refused != 10 {
					k.Errorf("one network: %d of 20 refused", refused)
				}
			})
		})
	}
}
