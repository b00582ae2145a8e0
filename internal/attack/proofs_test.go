package attack_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/internal/record"
)

// authenticated returns the account of a secret.
func authenticated(k *kit.Kit, secret latchkey.Secret) *latchkey.Account {
	k.Helper()
	account, err := k.Visitor.Authenticate(k.Ctx, secret.Reveal())
	k.Must(err)
	return account
}

// What an old session answers says nothing about a password that it has not shown, whatever
// the clock said when the password was set: A1.
func TestA1OnlyASessionOfThePresentPasswordSpeaksForIt(t *testing.T) {
	kit.OnEveryStore(t, latchkey.Policy{Sessions: latchkey.SessionPolicy{KeepOnPasswordChange: true}}, func(k *kit.Kit) {
		_, app := withTOTP(k)
		k.Clock.Advance(time.Minute)
		_, pending := k.Owing(k.Visitor) // the owner, by the password of then
		old, err := k.Answers(pending, latchkey.FactorTOTP, app.Code())
		k.Must(err)
		k.Clock.Advance(-30 * time.Second) // the password is set on a machine whose clock is behind
		attacker := byMailOnly(k)
		k.Clock.Advance(time.Minute)
		k.Must(kit.Err(k.Answers(authenticated(k, old.Secret), latchkey.FactorTOTP, app.Code())))
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
}

// A user with recovery codes is not opened by the mailbox alone: a code can be asked for. A1.
func TestA1RecoveryCodesAreAnotherFactor(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user := k.SignUp(kit.Ada)
		k.Must(kit.Err(k.Users().UpdateEmailVerification(k.Ctx, user.ID, true)))
		_, owner := k.SignIn(kit.Ada)
		codes, err := owner.CreateMFARecoveryCodes(k.Ctx)
		k.Must(err)
		k.Must(kit.Err(owner.UpdateMFA(k.Ctx, true)))
		k.Clock.Advance(time.Minute)
		attacker := byMailOnly(k)
		pending := pendingOf(k, attacker.Secret)
		answered, err := k.Answers(pending, latchkey.FactorRecoveryCode, codes.Codes[0].Reveal())
		k.Must(err)
		if !full(k, answered.Secret) {
			k.Error("password and recovery code are not enough")
		}
	})
	// With the last code used up, the mailbox is the only other factor again.
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user := k.SignUp(kit.Ada)
		k.Must(kit.Err(k.Users().UpdateEmailVerification(k.Ctx, user.ID, true)))
		codes, err := k.Users().CreateMFARecoveryCodes(k.Ctx, user.ID)
		k.Must(err)
		k.Must(kit.Err(k.Users().UpdateMFA(k.Ctx, user.ID, true)))
		for _, code := range codes.Codes {
			k.Clock.Advance(2 * time.Hour)
			_, pending := k.Owing(k.Visitor)
			k.Must(kit.Err(k.Answers(pending, latchkey.FactorRecoveryCode, code.Reveal())))
		}
		if session := byMailOnlyOrFull(k); !full(k, session.Secret) {
			k.Error("a user without any other factor has no way in")
		}
	})
}

// byMailOnlyOrFull is byMailOnly for a user whose session may be full at once.
func byMailOnlyOrFull(k *kit.Kit) *latchkey.Session {
	k.Helper()
	k.Must(k.Recover(k.Recovery()))
	session, err := k.Visitor.CreateEmailPasswordSession(k.Ctx, kit.Ada, kit.FreshPassword)
	k.Must(err)
	if !full(k, session.Secret) {
		answerByMail(k, pendingOf(k, session.Secret), &session)
	}
	return session
}

// The session that makes the first codes after a recovery is not locked out by them.
func TestFirstCodesKeepTheirSessionFull(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user := k.SignUp(kit.Ada)
		k.Must(kit.Err(k.Users().UpdateEmailVerification(k.Ctx, user.ID, true)))
		k.Must(kit.Err(k.Users().UpdateMFA(k.Ctx, user.ID, true)))
		account := authenticated(k, byMailOnly(k).Secret)
		k.Must(kit.Err(account.CreateMFARecoveryCodes(k.Ctx)))
		k.Must(kit.Err(account.User(k.Ctx)))
	})
}

// A JWT dies with the password that its user had, also that of the session that changes it:
// A4.
func TestA4AJWTDiesWithThePassword(t *testing.T) {
	for name, policy := range map[string]latchkey.Policy{
		"documented": {}, "sessions are kept": {Sessions: latchkey.SessionPolicy{KeepOnPasswordChange: true}},
	} {
		t.Run(name, func(t *testing.T) {
			kit.OnEveryStore(t, policy, func(k *kit.Kit) {
				k.SignUp(kit.Ada)
				_, account := k.SignIn(kit.Ada)
				before, err := account.CreateJWT(k.Ctx, time.Hour)
				k.Must(err)
				handle, err := k.Visitor.AuthenticateJWT(k.Ctx, before.Reveal())
				k.Must(err)
				k.Must(kit.Err(account.UpdatePassword(k.Ctx, latchkey.PasswordUpdate{New: kit.FreshPassword, Old: kit.Password})))
				for what, do := range map[string]func() error{
					"authenticate": func() error { return kit.Err(k.Visitor.AuthenticateJWT(k.Ctx, before.Reveal())) },
					"read":         func() error { return kit.Err(handle.User(k.Ctx)) },
					"write":        func() error { return kit.Err(handle.UpdateName(k.Ctx, "Eve")) },
				} {
					k.Refuses(what, latchkey.ErrUnauthorized, do)
				}
				after, err := account.CreateJWT(k.Ctx, time.Hour)
				k.Must(err)
				k.Must(kit.Err(k.Visitor.AuthenticateJWT(k.Ctx, after.Reveal())))
			})
		})
	}
}

// RotateSession gives a new secret, and the old one is refused: A8.
func TestA8ASessionGetsANewSecret(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		planted, account := k.Anonymous()
		k.Must(kit.Err(account.CreateAccount(k.Ctx, latchkey.NewAccount{Email: kit.Ada, Password: kit.Password})))
		session, err := account.RotateSession(k.Ctx)
		k.Must(err)
		if session.ID != planted.ID || !session.Current || session.Secret.Reveal() == planted.Secret.Reveal() {
			k.Errorf("%+v", session)
		}
		if full(k, planted.Secret) || !full(k, session.Secret) {
			k.Error("the old secret is good, or the new one is not")
		}
		k.Refuses("the old handle", latchkey.ErrSessionRenewed, func() error { return kit.Err(account.RotateSession(k.Ctx)) })
		list, err := k.Users().Sessions(k.Ctx, session.UserID)
		k.Must(err)
		if list.Total != 1 {
			k.Errorf("%d sessions", list.Total)
		}
		byJWT, _ := k.ByJWT(session.UserID, session.ID)
		k.Refuses("a JWT", latchkey.ErrSessionNotFound, func() error { return kit.Err(byJWT.RotateSession(k.Ctx)) })
	})
}

// renew goes on with another engine. The messages so far are dropped.
func renew(k *kit.Kit) {
	k.Helper()
	k.Drained(k.Engine)
	k.Engine = k.Configured(func(*latchkey.Config) {})
	k.Visitor = k.Engine.Guest(kit.Client)
}

// Every address that was proven is told of a way in that is added or taken, by every channel:
// A10.
func TestA10EveryProvenAddressIsTold(t *testing.T) {
	const evil, evilNumber = "evil@example.org", "+14155550199"
	for name, c := range map[string]struct {
		change func(k *kit.Kit, a *latchkey.Account)
		want   []string
	}{
		"the first number is proven": {func(k *kit.Kit, a *latchkey.Account) {
			k.ChangeUser(a.UserID(), func(u *record.User) { u.Phone, u.PhoneVerified = "", false })
			k.Tampered = true
			k.Must(kit.Err(a.UpdatePhone(k.Ctx, evilNumber, kit.Password)))
			token, err := a.CreatePhoneVerification(k.Ctx)
			k.Must(err)
			k.Must(kit.Err(a.ConfirmPhoneVerification(k.Ctx, k.MailOf(token, evilNumber).Secret)))
		}, []string{"phone-changed " + kit.Ada}},
		"another address": {func(k *kit.Kit, a *latchkey.Account) {
			k.Must(kit.Err(a.UpdateEmail(k.Ctx, evil, kit.Password)))
		}, []string{"email-changed " + kit.Phone, "email-changed " + kit.Ada}},
		"another number": {func(k *kit.Kit, a *latchkey.Account) {
			k.Must(kit.Err(a.UpdatePhone(k.Ctx, evilNumber, kit.Password)))
		}, []string{"phone-changed " + kit.Phone, "phone-changed " + kit.Ada}},
		"the password": {func(k *kit.Kit, a *latchkey.Account) {
			k.Must(kit.Err(a.UpdatePassword(k.Ctx, latchkey.PasswordUpdate{New: kit.FreshPassword, Old: kit.Password})))
		}, []string{"password-changed " + kit.Phone, "password-changed " + kit.Ada}},
		"a factor": {func(k *kit.Kit, a *latchkey.Account) {
			k.Confirmed(a, latchkey.NewMFAAuthenticator{})
		}, []string{"factors-changed " + kit.Phone, "factors-changed " + kit.Ada}},
	} {
		t.Run(name, func(t *testing.T) {
			kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
				k.Proven()
				renew(k)
				_, account := k.SignIn(kit.Ada)
				c.change(k, account)
				var got []string
				for _, m := range k.Drained(k.Engine) {
					if strings.HasSuffix(string(m.Kind), "-changed") {
						got = append(got, string(m.Kind)+" "+m.To)
					}
				}
				slices.Sort(got)
				if !slices.Equal(got, c.want) {
					k.Errorf("%v, want %v", got, c.want)
				}
			})
		})
	}
}

// Taking the authenticator away asks for a fresh answer of it, and not for a fresh one of the
// mailbox: A14.
func TestA14TheStrongestFactorIsAskedForAnew(t *testing.T) {
	for name, policy := range map[string]latchkey.Policy{"documented": {}, "strict": latchkey.StrictPolicy()} {
		policy.Password, policy.Guessing = latchkey.PasswordPolicy{}, latchkey.GuessingPolicy{}
		policy.Sessions = latchkey.SessionPolicy{}
		t.Run(name, func(t *testing.T) {
			kit.OnEveryStore(t, policy, func(k *kit.Kit) {
				_, app := withTOTP(k)
				k.Clock.Advance(time.Minute)
				_, pending := k.Owing(k.Visitor)
				cookie, err := k.Answers(pending, latchkey.FactorTOTP, app.Code())
				k.Must(err)
				k.Clock.Advance(200 * 24 * time.Hour)
				challenge, err := authenticated(k, cookie.Secret).CreateMFAChallenge(k.Ctx, latchkey.FactorEmail)
				k.Must(err)
				cookie, err = authenticated(k, cookie.Secret).ConfirmMFAChallenge(k.Ctx, challenge.ID, k.Message(challenge.ID, kit.Ada).Secret)
				k.Must(err)
				thief := authenticated(k, cookie.Secret)
				for what, do := range map[string]func(a *latchkey.Account) error{
					"authenticator": func(a *latchkey.Account) error { return a.DeleteMFAAuthenticator(k.Ctx) },
					"MFA off":       func(a *latchkey.Account) error { return kit.Err(a.UpdateMFA(k.Ctx, false)) },
					"codes":         func(a *latchkey.Account) error { return kit.Err(a.RegenerateMFARecoveryCodes(k.Ctx)) },
					"show codes":    func(a *latchkey.Account) error { return kit.Err(a.MFARecoveryCodes(k.Ctx)) },
				} {
					k.Refuses(what, latchkey.ErrChallengeRequired, func() error { return do(thief) })
				}
				fresh, err := k.Answers(thief, latchkey.FactorTOTP, app.Code())
				k.Must(err)
				k.Must(authenticated(k, fresh.Secret).DeleteMFAAuthenticator(k.Ctx))
			})
		})
	}
}

// An answer of an authenticator that is gone proves nothing for the next one: A14.
func TestA14AnAnswerOfAFormerAuthenticatorIsNoProof(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		_, app := withTOTP(k)
		answer := func() *latchkey.Account {
			k.Clock.Advance(time.Minute)
			_, pending := k.Owing(k.Visitor)
			session, err := k.Answers(pending, latchkey.FactorTOTP, app.Code())
			k.Must(err)
			return authenticated(k, session.Secret)
		}
		thief, owner := answer(), answer()
		k.Must(kit.Err(k.Users().UpdateMFA(k.Ctx, owner.UserID(), false))) // so that the thief's session stays a full one
		k.Must(owner.DeleteMFAAuthenticator(k.Ctx))
		k.Confirmed(owner, latchkey.NewMFAAuthenticator{})
		k.Refuses("the new authenticator", latchkey.ErrChallengeRequired, func() error { return thief.DeleteMFAAuthenticator(k.Ctx) })
	})
}

// Who squats an address with an authenticator does not keep its owner out: A15.
func TestA15TheReaderOfTheMailGetsTheAddress(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		squatter, _, _ := k.Enrolled(latchkey.NewMFAAuthenticator{})
		renew(k)
		k.Visitor = k.Guest(kit.At(kit.Owner))
		k.Must(k.Recover(k.Recovery())) // a new password proves nothing for the account
		owing, err := k.Visitor.CreateEmailPasswordSession(k.Ctx, kit.Ada, kit.FreshPassword)
		k.Must(err)
		pendingOf(k, owing.Secret)
		session := byMagicLink(k, kit.Ada)
		if session.UserID == squatter.UserID() || !full(k, session.Secret) {
			k.Error("the owner of the mailbox is kept out, or skips the squatter's factor")
		}
		left, err := k.Users().Get(k.Ctx, squatter.UserID())
		k.Must(err)
		if left.Email != "" || !left.MFA {
			k.Errorf("the squatter keeps %+v", left)
		}
	})
	// A user whom the server has made, with MFA demanded and no factor yet, keeps the account.
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user, err := k.Users().Create(k.Ctx, latchkey.NewUser{Email: kit.Ada})
		k.Must(err)
		k.Must(kit.Err(k.Users().UpdateMFA(k.Ctx, user.ID, true)))
		if session := byMagicLink(k, kit.Ada); session.UserID != user.ID {
			k.Error("the user has lost the account")
		}
	})
}

// A session that owes a factor ends after half an hour, and what owes later has its own half
// hour: A17.
func TestA17ASessionThatOwesEndsSoon(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		account, app := withTOTP(k)
		k.Clock.Advance(time.Minute)
		thief := byMagicLink(k, kit.Ada)
		pending := pendingOf(k, thief.Secret)
		if end := thief.CreatedAt.Add(30 * time.Minute); !thief.Expire.Equal(end) {
			k.Errorf("it is said to end at %v, not %v", thief.Expire, end)
		}
		challenge, err := pending.CreateMFAChallenge(k.Ctx, latchkey.FactorTOTP)
		k.Must(err)
		k.Clock.Advance(30*time.Minute - time.Second)
		pendingOf(k, thief.Secret)
		k.Clock.Advance(time.Second)
		k.Refuses("authenticate", latchkey.ErrUnauthorized, func() error { return kit.Err(k.Visitor.Authenticate(k.Ctx, thief.Secret.Reveal())) })
		k.Refuses("challenge", latchkey.ErrUnauthorized, func() error { return kit.Err(pending.CreateMFAChallenge(k.Ctx, latchkey.FactorTOTP)) })
		k.Refuses("answer", latchkey.ErrUnauthorized, func() error { return kit.Err(pending.ConfirmMFAChallenge(k.Ctx, challenge.ID, app.Code())) })
		k.Must(kit.Err(k.Users().UpdateMFA(k.Ctx, account.UserID(), false)))
		k.Refuses("when nothing is owed", latchkey.ErrUnauthorized, func() error {
			return kit.Err(k.Visitor.Authenticate(k.Ctx, thief.Secret.Reveal()))
		})
	})
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user := k.Proven()
		session, _ := k.SignIn(kit.Ada)
		k.Clock.Advance(100 * 24 * time.Hour)
		k.Must(kit.Err(k.Users().UpdateMFA(k.Ctx, user.ID, true)))
		k.Clock.Advance(29 * time.Minute)
		pending := pendingOf(k, session.Secret)
		challenge, err := pending.CreateMFAChallenge(k.Ctx, latchkey.FactorEmail)
		k.Must(err)
		answered, err := pending.ConfirmMFAChallenge(k.Ctx, challenge.ID, k.Message(challenge.ID, kit.Ada).Secret)
		k.Must(err)
		k.Clock.Advance(time.Hour)
		if !full(k, answered.Secret) {
			k.Error("the session has ended although it has proven its factor")
		}
	})
}

// A session that only the old mailbox has made ends with it; under a strict policy all other
// sessions do, and after a change of the authenticator too: A18.
func TestA18AChangedAddressEndsSessions(t *testing.T) {
	for name, c := range map[string]struct {
		policy             latchkey.SessionPolicy
		change             func(k *kit.Kit, owner *latchkey.Account)
		byMail, byPassword bool // what is left of them
	}{
		"documented": {latchkey.SessionPolicy{}, func(k *kit.Kit, owner *latchkey.Account) {
			k.Must(kit.Err(owner.UpdateEmail(k.Ctx, "new@example.org", kit.Password)))
		}, false, true},
		"by the server": {latchkey.SessionPolicy{}, func(k *kit.Kit, owner *latchkey.Account) {
			k.Must(kit.Err(k.Users().UpdateEmail(k.Ctx, owner.UserID(), "new@example.org")))
		}, false, true},
		"another number": {latchkey.SessionPolicy{}, func(k *kit.Kit, owner *latchkey.Account) {
			k.Must(kit.Err(owner.UpdatePhone(k.Ctx, kit.OwnPhone, kit.Password)))
		}, true, true},
		"strict": {latchkey.SessionPolicy{EndOnChange: true}, func(k *kit.Kit, owner *latchkey.Account) {
			k.Must(kit.Err(owner.UpdateEmail(k.Ctx, "new@example.org", kit.Password)))
		}, false, false},
		"strict, another number": {latchkey.SessionPolicy{EndOnChange: true}, func(k *kit.Kit, owner *latchkey.Account) {
			k.Must(kit.Err(owner.UpdatePhone(k.Ctx, kit.OwnPhone, kit.Password)))
		}, false, false},
		"strict, enrolled": {latchkey.SessionPolicy{EndOnChange: true}, func(k *kit.Kit, owner *latchkey.Account) {
			k.Confirmed(owner, latchkey.NewMFAAuthenticator{})
		}, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			kit.OnEveryStore(t, latchkey.Policy{Sessions: c.policy}, func(k *kit.Kit) {
				k.Proven()
				reader := byMagicLink(k, kit.Ada)
				other, _ := k.SignIn(kit.Ada)
				_, owner := k.SignIn(kit.Ada)
				c.change(k, owner)
				k.Must(kit.Err(owner.User(k.Ctx)))
				if got := full(k, reader.Secret); got != c.byMail {
					k.Errorf("the session of the old mailbox lives: %v", got)
				}
				if got := full(k, other.Secret); got != c.byPassword {
					k.Errorf("another session by password lives: %v", got)
				}
			})
		})
	}
}

// MFA is not switched on by a session that would be locked out at once: A23.
func TestA23MFADoesNotLockItsSessionOut(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.Proven()
		account := authenticated(k, byMagicLink(k, kit.Ada).Secret)
		k.Must(kit.Err(k.Users().UpdatePhone(k.Ctx, account.UserID(), "")))
		k.Refuses("switch", latchkey.ErrMoreFactorsRequired, func() error { return kit.Err(account.UpdateMFA(k.Ctx, true)) })
		shown, err := account.User(k.Ctx)
		k.Must(err)
		if shown.MFA {
			k.Error("MFA is on")
		}
		_, byPassword := k.SignIn(kit.Ada)
		k.Must(kit.Err(byPassword.UpdateMFA(k.Ctx, true)))
		k.Must(kit.Err(byPassword.User(k.Ctx)))
	})
	// The session that sets the first password knows it.
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		account := authenticated(k, byMagicLink(k, kit.Ada).Secret)
		k.Must(kit.Err(account.UpdateMFA(k.Ctx, true)))
		k.Must(kit.Err(account.UpdatePassword(k.Ctx, latchkey.PasswordUpdate{New: kit.Password})))
		k.Must(kit.Err(account.User(k.Ctx)))
	})
}

// Under a strict policy a block ends the sessions: A25.
func TestA25ABlockEndsSessions(t *testing.T) {
	for name, c := range map[string]struct {
		policy latchkey.SessionPolicy
		lives  bool
	}{"documented": {latchkey.SessionPolicy{}, true}, "strict": {latchkey.SessionPolicy{EndOnBlock: true}, false}} {
		for by, block := range map[string]func(k *kit.Kit, a *latchkey.Account) error{
			"the server": func(k *kit.Kit, a *latchkey.Account) error {
				return kit.Err(k.Users().UpdateStatus(k.Ctx, a.UserID(), false))
			},
			"the user": func(k *kit.Kit, a *latchkey.Account) error { return kit.Err(a.Block(k.Ctx)) },
		} {
			t.Run(name+" by "+by, func(t *testing.T) {
				kit.OnEveryStore(t, latchkey.Policy{Sessions: c.policy}, func(k *kit.Kit) {
					k.SignUp(kit.Ada)
					thief, account := k.SignIn(kit.Ada)
					_, token := k.ByJWT(account.UserID(), account.SessionID())
					k.Must(block(k, account))
					k.Must(kit.Err(k.Users().UpdateStatus(k.Ctx, account.UserID(), true)))
					if got := full(k, thief.Secret); got != c.lives {
						k.Errorf("the session lives: %v", got)
					}
					if got := kit.Err(k.Visitor.AuthenticateJWT(k.Ctx, token.Reveal())) == nil; got != c.lives {
						k.Errorf("the JWT of the session lives: %v", got)
					}
				})
			})
		}
	}
	if p := latchkey.StrictPolicy().Sessions; !p.EndOnBlock || !p.EndOnChange {
		t.Error("StrictPolicy keeps sessions")
	}
}

// A verification link that is opened without a session does not keep the planter of the
// account in: A29.
func TestA29ALinkThatAStrangerHadSentClaimsNothing(t *testing.T) {
	verify := func(k *kit.Kit, a *latchkey.Account) kit.Message {
		token, err := a.CreateEmailVerification(k.Ctx, kit.VerifyURL)
		k.Must(err)
		return k.MailOf(token, kit.Ada)
	}
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user := k.SignUp(kit.Ada)
		planted, planter := k.SignIn(kit.Ada)
		m := verify(k, planter)
		k.Must(kit.Err(k.Visitor.ConfirmEmailVerification(k.Ctx, m.UserID, m.Secret)))
		session := byMagicLink(k, kit.Ada)
		if session.UserID != user.ID || full(k, planted.Secret) {
			k.Error("the planter is still in")
		}
		if err := k.Try(kit.Attacker, kit.Ada, kit.Password); err != latchkey.ErrInvalidCredentials {
			k.Errorf("the planter's password: %v", err)
		}
		again := byMagicLink(k, kit.Ada)
		if !full(k, session.Secret) || !full(k, again.Secret) {
			k.Error("the second sign-in takes something away")
		}
	})
	// A number that the planter has proven does not change that.
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		planted, planter := k.SignIn(kit.Ada)
		k.Must(kit.Err(planter.UpdatePhone(k.Ctx, kit.Phone, kit.Password)))
		k.Must(kit.Err(k.Users().UpdatePhoneVerification(k.Ctx, planter.UserID(), true)))
		m := verify(k, planter)
		k.Must(kit.Err(k.Visitor.ConfirmEmailVerification(k.Ctx, m.UserID, m.Secret)))
		renew(k)
		session := byMagicLink(k, kit.Ada) // the account stays that of the number, and the mailbox gets one of its own
		shown, err := authenticated(k, session.Secret).User(k.Ctx)
		k.Must(err)
		left, err := authenticated(k, planted.Secret).User(k.Ctx)
		k.Must(err)
		if session.UserID == planter.UserID() || shown.Phone != "" || left.Email != "" || left.Phone != kit.Phone || !full(k, planted.Secret) {
			k.Errorf("%+v\n%+v", shown, left)
		}
		if got := k.Posted(k.Engine); !slices.Contains(got, "email-changed "+kit.Phone) {
			k.Errorf("the number that was proven is told of %v", got)
		}
	})
	// An owner who opens the link in their session, or shows the password later, loses nothing.
	for name, own := range map[string]func(k *kit.Kit, a *latchkey.Account, m kit.Message){
		"in the session": func(k *kit.Kit, a *latchkey.Account, m kit.Message) {
			k.Must(kit.Err(a.ConfirmEmailVerification(k.Ctx, m.Secret)))
		},
		"signed in later": func(k *kit.Kit, _ *latchkey.Account, m kit.Message) {
			k.Must(kit.Err(k.Visitor.ConfirmEmailVerification(k.Ctx, m.UserID, m.Secret)))
			k.Must(k.Try(kit.Owner, kit.Ada, kit.Password))
		},
		"changed the number later": func(k *kit.Kit, a *latchkey.Account, m kit.Message) {
			k.Must(kit.Err(k.Visitor.ConfirmEmailVerification(k.Ctx, m.UserID, m.Secret)))
			k.Must(kit.Err(a.UpdatePhone(k.Ctx, kit.Phone, kit.Password)))
		},
	} {
		t.Run(name, func(t *testing.T) {
			kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
				k.SignUp(kit.Ada)
				session, account := k.SignIn(kit.Ada)
				own(k, account, verify(k, account))
				byMagicLink(k, kit.Ada)
				if !full(k, session.Secret) {
					k.Error("the owner's session has ended")
				}
				k.Must(k.Try(kit.Owner, kit.Ada, kit.Password))
			})
		})
	}
}

// A mailbox does not take the second factor of a half-proven account away: A29.
func TestA29AHalfProvenAccountKeepsItsSecondFactor(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user := k.SignUp(kit.Ada)
		_, owner := k.SignIn(kit.Ada)
		k.Must(kit.Err(owner.UpdatePhone(k.Ctx, kit.Phone, kit.Password)))
		k.Must(kit.Err(k.Users().UpdatePhoneVerification(k.Ctx, user.ID, true)))
		k.Must(kit.Err(owner.UpdateMFA(k.Ctx, true)))
		token, err := owner.CreateEmailVerification(k.Ctx, kit.VerifyURL)
		k.Must(err)
		m := k.MailOf(token, kit.Ada)
		k.Must(kit.Err(k.Visitor.ConfirmEmailVerification(k.Ctx, m.UserID, m.Secret)))
		thief := byMagicLink(k, kit.Ada) // reads the mailbox, and nothing else
		shown, err := owner.User(k.Ctx)
		k.Must(err)
		if thief.UserID == user.ID || shown.Phone != kit.Phone || !shown.PhoneVerification || !shown.MFA {
			k.Errorf("%+v", shown)
		}
	})
	// A challenge by mail in the session of the user tells that the address is theirs.
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user := k.SignUp(kit.Ada)
		_, owner := k.SignIn(kit.Ada)
		k.Must(kit.Err(owner.UpdatePhone(k.Ctx, kit.Phone, kit.Password)))
		k.Must(kit.Err(k.Users().UpdatePhoneVerification(k.Ctx, user.ID, true)))
		token, err := owner.CreateEmailVerification(k.Ctx, kit.VerifyURL)
		k.Must(err)
		m := k.MailOf(token, kit.Ada)
		k.Must(kit.Err(k.Visitor.ConfirmEmailVerification(k.Ctx, m.UserID, m.Secret)))
		showsMail(k, owner)
		if session := byMagicLink(k, kit.Ada); session.UserID != user.ID || !full(k, session.Secret) {
			k.Errorf("the mailbox signs in to %s", session.UserID)
		}
	})
}

// The link of another user proves nothing in a session.
func TestALinkIsConfirmedInItsOwnSessionOnly(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		_, ada := k.SignIn(kit.Ada)
		token, err := ada.CreateEmailVerification(k.Ctx, kit.VerifyURL)
		k.Must(err)
		m := k.MailOf(token, kit.Ada)
		_, other := k.Anonymous()
		if err := kit.Err(other.ConfirmEmailVerification(k.Ctx, m.Secret)); !errors.Is(err, latchkey.ErrInvalidToken) {
			k.Errorf("another's session: %v", err)
		}
		k.Must(kit.Err(ada.ConfirmEmailVerification(k.Ctx, m.Secret)))
	})
}

// Strangers who guess at codes of an address do not keep its owner out, who has asked for a
// code: A6. The number of guesses is bounded all the same.
func TestA6APromisedCodeIsComparedAlthoughTheAddressIsSlowed(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		ask := func(ip string) (*latchkey.Token, string) {
			token, err := k.Guest(kit.At(ip)).CreatePhoneToken(k.Ctx, "", kit.Phone)
			k.Must(err)
			return token, k.MailOf(token, kit.Phone).Secret
		}
		redeem := func(ip string, token *latchkey.Token, code string) error {
			return kit.Err(k.Guest(kit.At(ip)).CreateSession(k.Ctx, token.UserID, code))
		}
		guesses := 0
		for wrong := 0; wrong < 40; { // strangers guess at codes that they have asked for under an id of their own
			token, err := k.Guest(kit.At(kit.Attacker)).CreatePhoneToken(k.Ctx, "stranger", kit.Phone)
			k.Must(err)
			err = redeem(kit.Attacker, token, "000000")
			var throttled *latchkey.ThrottledError
			if errors.As(err, &throttled) {
				k.Clock.Advance(throttled.RetryAfter)
				continue
			}
			wrong++
			guesses++
		}
		token, code := ask(kit.Owner)
		k.Must(redeem("198.51.100.7", token, code))
		// Who asks for codes only to guess at them is bounded.
		compared := 0
		for range 60 {
			token, code := ask(kit.Attacker)
			for range 5 {
				if errors.Is(redeem(kit.Attacker, token, kit.OtherCode(code)), latchkey.ErrInvalidToken) {
					compared++
				}
			}
		}
		if compared > 100 {
			k.Errorf("%d guesses without a wait", compared)
		}
	})
}
