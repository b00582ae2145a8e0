package attack_test

import (
	"testing"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/authtest"
	"example.com/latchkey/internal/kit"
)

// The first steps of attacks with one proof. Each makes a session of Ada, who has no second
// factor on.
var oneProof = map[string]func(k *kit.Kit) *latchkey.Session{
	"the mailbox": func(k *kit.Kit) *latchkey.Session { return byMagicLink(k, kit.Ada) },
	"the password": func(k *kit.Kit) *latchkey.Session {
		session, _ := k.SignIn(kit.Ada)
		return session
	},
}

// owned makes Ada with a password and a proven address, and returns her session.
func owned(k *kit.Kit) *latchkey.Account {
	k.Helper()
	user := k.SignUp(kit.Ada)
	k.Must(kit.Err(k.Users().UpdateEmailVerification(k.Ctx, user.ID, true)))
	return k.SignedInAt(kit.Owner)
}

// shows answers a challenge of a factor in a session, and returns the session.
func shows(k *kit.Kit, a *latchkey.Account, factor latchkey.Factor, otp string) *latchkey.Account {
	k.Helper()
	session, err := k.Answers(a, factor, otp)
	k.Must(err)
	if session.Secret.IsZero() {
		return a
	}
	return authenticated(k, session.Secret)
}

// showsMail is shows for a code by mail.
func showsMail(k *kit.Kit, a *latchkey.Account) *latchkey.Account {
	k.Helper()
	challenge, err := a.CreateMFAChallenge(k.Ctx, latchkey.FactorEmail)
	k.Must(err)
	session, err := a.ConfirmMFAChallenge(k.Ctx, challenge.ID, k.Message(challenge.ID, kit.Ada).Secret)
	k.Must(err)
	return authenticated(k, session.Secret)
}

// owes reports whether the session of a handle is not a full one.
func owes(k *kit.Kit, a *latchkey.Account) bool { return kit.Err(a.User(k.Ctx)) != nil }

// protects enrols the owner's authenticator and switches MFA on.
func protects(k *kit.Kit, owner *latchkey.Account) *authtest.Authenticator {
	k.Helper()
	app := k.Confirmed(owner, latchkey.NewMFAAuthenticator{})
	k.Must(kit.Err(owner.UpdateMFA(k.Ctx, true)))
	return app
}

// A session that has enrolled an authenticator and removed it has proven nothing of the
// authenticator that the owner enrols later: who had one proof owes the other once MFA is on.
func TestAttack3AnAuthenticatorThatIsGoneIsNoProofOfTheNext(t *testing.T) {
	for name, enter := range oneProof {
		t.Run(name, func(t *testing.T) {
			kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
				owner := owned(k)
				thief := authenticated(k, enter(k).Secret)
				own := k.Confirmed(thief, latchkey.NewMFAAuthenticator{})
				k.Clock.Advance(30 * time.Second)
				thief = shows(k, thief, latchkey.FactorTOTP, own.Code())
				k.Must(thief.DeleteMFAAuthenticator(k.Ctx))
				k.Clock.Advance(10 * time.Minute)
				protects(k, owner)
				if err := kit.Err(thief.User(k.Ctx)); err == nil {
					k.Error("a session that has never shown the authenticator is full")
				}
				k.Clock.Advance(10 * time.Minute)
				if err := thief.DeleteMFAAuthenticator(k.Ctx); err == nil {
					k.Error("it has removed the authenticator, without having shown it")
				}
			})
		})
	}
}

// The same while MFA was on already, with the mailbox as the second factor of the owner.
func TestAttack3AnOldProofOfAnAuthenticatorDoesNotRemoveTheNext(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		_, app := withTOTP(k)
		k.Clock.Advance(time.Minute)
		_, pending := k.Owing(k.Visitor)
		session, err := k.Answers(pending, latchkey.FactorTOTP, app.Code())
		k.Must(err)
		stolen := authenticated(k, session.Secret) // its holder has the cookie, and neither app
		k.Must(stolen.DeleteMFAAuthenticator(k.Ctx))
		k.Clock.Advance(time.Minute)
		again, pending := k.Owing(k.Visitor)
		answerByMail(k, pending, &again)
		fresh := authenticated(k, again.Secret)
		k.Confirmed(fresh, latchkey.NewMFAAuthenticator{})
		k.Clock.Advance(time.Minute)
		if err := stolen.DeleteMFAAuthenticator(k.Ctx); err == nil {
			k.Error("an answer of the former authenticator has removed the new one")
		}
	})
}

// Factors that a session was taken to have proven are no proofs once MFA is switched anew, also
// if it has answered a challenge of the same proof again. "Then all their sessions must prove
// what they owe" (Users.UpdateMFA).
func TestAttack3AssumedFactorsEndWithTheSwitch(t *testing.T) {
	for name, c := range map[string]struct {
		before, after func(k *kit.Kit, a *latchkey.Account) *latchkey.Account
	}{
		"an answer before": {showsMail, nil},
		"an answer after":  {nil, showsMail},
	} {
		for by, again := range map[string]func(k *kit.Kit, owner *latchkey.Account, app *authtest.Authenticator){
			"the server": func(k *kit.Kit, owner *latchkey.Account, _ *authtest.Authenticator) {
				k.Must(kit.Err(k.Users().UpdateMFA(k.Ctx, owner.UserID(), false)))
				k.Must(kit.Err(k.Users().UpdateMFA(k.Ctx, owner.UserID(), true)))
			},
			"the owner": func(k *kit.Kit, _ *latchkey.Account, app *authtest.Authenticator) {
				k.Clock.Advance(time.Minute)
				_, pending := k.Owing(k.Guest(kit.At(kit.Owner)))
				session, err := k.Answers(pending, latchkey.FactorTOTP, app.Code())
				k.Must(err)
				owner := authenticated(k, session.Secret)
				k.Must(kit.Err(owner.UpdateMFA(k.Ctx, false)))
				k.Must(kit.Err(owner.UpdateMFA(k.Ctx, true)))
			},
		} {
			t.Run(name+" by "+by, func(t *testing.T) {
				kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
					owner := owned(k)
					app := k.Confirmed(owner, latchkey.NewMFAAuthenticator{}) // MFA is off
					k.Clock.Advance(time.Minute)
					thief := authenticated(k, byMagicLink(k, kit.Ada).Secret) // reads the mailbox
					if c.before != nil {
						thief = c.before(k, thief)
					}
					k.Must(kit.Err(thief.UpdateMFA(k.Ctx, true)))
					if c.after != nil {
						thief = c.after(k, thief)
					}
					again(k, owner, app)
					if !owes(k, thief) {
						k.Error("the mailbox alone holds a full session of an account with an authenticator and MFA on")
					}
				})
			})
		}
	}
}

// A session that only the old mailbox has made ends with the address, also if it has switched
// MFA on and was taken to have proven more.
func TestAttack3ASessionOfTheOldMailboxEndsWithWhatWasAssumed(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.Proven() // with a number too
		owner := k.SignedInAt(kit.Owner)
		thief := authenticated(k, byMagicLink(k, kit.Ada).Secret)
		k.Must(kit.Err(thief.UpdateMFA(k.Ctx, true)))
		pending, err := k.Guest(kit.At(kit.Owner)).CreateEmailPasswordSession(k.Ctx, kit.Ada, kit.Password)
		k.Must(err)
		challenge, err := pendingOf(k, pending.Secret).CreateMFAChallenge(k.Ctx, latchkey.FactorPhone)
		k.Must(err)
		session, err := pendingOf(k, pending.Secret).ConfirmMFAChallenge(k.Ctx, challenge.ID, k.Message(challenge.ID, kit.Phone).Secret)
		k.Must(err)
		_ = owner
		k.Must(kit.Err(authenticated(k, session.Secret).UpdateEmail(k.Ctx, "new@example.org", kit.Password)))
		if !owes(k, thief) {
			k.Error("who read the old mailbox, and nothing else, is still in")
		}
	})
}

// Recovery codes that a thief has made before there was a second factor do not open the account
// that the owner has protected since.
func TestAttack3PlantedRecoveryCodesDoNotStandInForALaterAuthenticator(t *testing.T) {
	for name, enter := range oneProof {
		t.Run(name, func(t *testing.T) {
			kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
				owner := owned(k)
				thief := authenticated(k, enter(k).Secret)
				codes, err := thief.CreateMFARecoveryCodes(k.Ctx)
				k.Must(err)
				protects(k, owner)
				k.Clock.Advance(time.Hour)
				again := enterPending(k, name)
				if err := kit.Err(again.CreateMFAChallenge(k.Ctx, latchkey.FactorRecoveryCode)); err != latchkey.ErrRecoveryCodesNotFound {
					k.Errorf("%s and a code that was made with it: %v", name, err)
				}
				_ = codes
			})
		})
	}
}

// A session that has made recovery codes and shown one of them itself has proven nothing to an
// owner who switches MFA on.
func TestAttack3ACodeOfTheThiefsOwnIsNoProof(t *testing.T) {
	for name, enter := range oneProof {
		t.Run(name, func(t *testing.T) {
			kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
				owner := owned(k)
				thief := authenticated(k, enter(k).Secret)
				codes, err := thief.CreateMFARecoveryCodes(k.Ctx)
				k.Must(err)
				thief = shows(k, thief, latchkey.FactorRecoveryCode, codes.Codes[0].Reveal())
				k.Clock.Advance(5 * time.Minute)
				protects(k, owner)
				if !owes(k, thief) {
					k.Error("the session is full after MFA was switched on")
				}
				if err := thief.DeleteMFAAuthenticator(k.Ctx); err == nil {
					k.Error("and it has removed the authenticator")
				}
			})
		})
	}
}

// enterPending signs in by the one proof once more, and returns the session that owes.
func enterPending(k *kit.Kit, name string) *latchkey.Pending {
	k.Helper()
	if name == "the mailbox" {
		return pendingOf(k, byMagicLink(k, kit.Ada).Secret)
	}
	_, pending := k.Owing(k.Visitor)
	return pending
}

// While MFA is on and the second factor is being replaced, the password alone makes no full
// session (H-09, A28).
func TestAttack3NoFullSessionThroughTheGapOfAChangedAddress(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		owner := owned(k)
		k.Must(kit.Err(owner.UpdateMFA(k.Ctx, true)))
		k.Owing(k.Visitor) // the password alone does not pass
		k.Refuses("the last factor goes", latchkey.ErrLastFactor, func() error { return kit.Err(owner.UpdateEmail(k.Ctx, "new@example.org", kit.Password)) })
		// With another factor it may go, and so after MFA is switched off.
		app := k.Confirmed(owner, latchkey.NewMFAAuthenticator{})
		k.Must(kit.Err(owner.UpdateEmail(k.Ctx, "new@example.org", kit.Password)))
		_ = app
	})
}

// A telephone does not take the proven mailbox, the password and the authenticator from the
// account of which it is the number, and the mailbox not the number.
func TestAttack3AHalfProvenNumberTakesNothingThatWasProvenBefore(t *testing.T) {
	for name, enter := range map[string]func(k *kit.Kit) *latchkey.Session{
		"by SMS": func(k *kit.Kit) *latchkey.Session {
			token, err := k.Visitor.CreatePhoneToken(k.Ctx, "", kit.Phone)
			k.Must(err)
			session, err := k.Visitor.CreateSession(k.Ctx, token.UserID, k.MailOf(token, kit.Phone).Secret)
			k.Must(err)
			return session
		},
		"by mail": func(k *kit.Kit) *latchkey.Session { return byMagicLink(k, kit.Ada) },
	} {
		t.Run(name, func(t *testing.T) {
			kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
				first := authenticated(k, byMagicLink(k, kit.Ada).Secret) // the account is proven from its first day
				k.Must(kit.Err(first.UpdatePassword(k.Ctx, latchkey.PasswordUpdate{New: kit.Password})))
				k.Confirmed(first, latchkey.NewMFAAuthenticator{})
				k.Must(kit.Err(first.UpdatePhone(k.Ctx, kit.Phone, kit.Password)))
				token, err := first.CreatePhoneVerification(k.Ctx)
				k.Must(err)
				k.Must(kit.Err(k.Visitor.ConfirmPhoneVerification(k.Ctx, first.UserID(), k.MailOf(token, kit.Phone).Secret))) // as documented, without a session
				enter(k)
				shown, err := k.Users().Get(k.Ctx, first.UserID())
				k.Must(err)
				factors, err := k.Users().MFAFactors(k.Ctx, first.UserID())
				k.Must(err)
				if shown.Email != kit.Ada || shown.PasswordUpdate.IsZero() || !factors.TOTP || kit.Err(first.User(k.Ctx)) != nil {
					k.Errorf("a sign-in has left e-mail %q, phone %q, password of %v, authenticator %v, session %v",
						shown.Email, shown.Phone, shown.PasswordUpdate, factors.TOTP, kit.Err(first.User(k.Ctx)))
				}
			})
		})
	}
}

// An owner who has shown the password since the link was opened loses nothing, whatever they
// have shown it for.
func TestAttack3ShowingThePasswordClaimsTheAccountAlsoIfNothingChanges(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		_, account := k.SignIn(kit.Ada)
		token, err := account.CreateEmailVerification(k.Ctx, kit.VerifyURL)
		k.Must(err)
		m := k.MailOf(token, kit.Ada)
		k.Must(kit.Err(k.Visitor.ConfirmEmailVerification(k.Ctx, m.UserID, m.Secret)))
		k.Must(kit.Err(account.UpdateEmail(k.Ctx, kit.Ada, kit.Password))) // the password is shown
		byMagicLink(k, kit.Ada)
		k.Must(k.Try(kit.Owner, kit.Ada, kit.Password))
	})
}

// A planter claims nothing by proving a number of their own in the planted session.
func TestAttack3AProofOfAnotherAddressDoesNotClaimTheFirst(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		planted, planter := k.SignIn(kit.Ada)
		k.Must(kit.Err(planter.UpdatePhone(k.Ctx, kit.Phone, kit.Password)))
		token, err := planter.CreateEmailVerification(k.Ctx, kit.VerifyURL)
		k.Must(err)
		m := k.MailOf(token, kit.Ada)
		k.Must(kit.Err(k.Visitor.ConfirmEmailVerification(k.Ctx, m.UserID, m.Secret))) // the victim opens the link
		byJWT, _ := k.ByJWT(planter.UserID(), planter.SessionID())
		code, err := byJWT.CreatePhoneVerification(k.Ctx)
		k.Must(err)
		k.Must(kit.Err(byJWT.ConfirmPhoneVerification(k.Ctx, k.MailOf(code, kit.Phone).Secret)))
		byMagicLink(k, kit.Ada)
		if full(k, planted.Secret) {
			k.Error("the planter is still in")
		}
	})
}

// Nothing that a planter has set is left after the first proof: not the switch of MFA either,
// which shuts the owner out who signs in by link and has set a password.
func TestAttack3ThePlantedSwitchGoesWithTheFirstProof(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		_, planter := k.SignIn(kit.Ada)
		k.Must(kit.Err(planter.UpdateMFA(k.Ctx, true)))
		victim := authenticated(k, byMagicLink(k, kit.Ada).Secret)
		user, err := victim.User(k.Ctx)
		k.Must(err)
		if user.MFA {
			k.Error("the switch is as the planter has left it")
		}
		k.Must(kit.Err(victim.UpdatePassword(k.Ctx, latchkey.PasswordUpdate{New: kit.FreshPassword})))
		if again := byMagicLink(k, kit.Ada); !full(k, again.Secret) {
			k.Error("the owner of the mailbox is shut out at the next link")
		}
	})
}

// Wrong answers that a planter has given do not disable the factor of the owner.
func TestAttack3PlantedWrongAnswersGoWithTheFirstProof(t *testing.T) {
	policy := latchkey.Policy{Guessing: latchkey.GuessingPolicy{DisableAfter: 20}}
	kit.OnEveryStore(t, policy, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		_, planter := k.SignIn(kit.Ada)
		app := k.Confirmed(planter, latchkey.NewMFAAuthenticator{})
		foreign := k.Guest(kit.At(kit.Attacker))
		for range 40 {
			k.Clock.Advance(2 * time.Hour)
			session, err := foreign.CreateEmailPasswordSession(k.Ctx, kit.Ada, kit.Password)
			k.Must(err)
			account, err := foreign.Authenticate(k.Ctx, session.Secret.Reveal())
			k.Must(err)
			_ = kit.Err(k.Answers(account, latchkey.FactorTOTP, kit.OtherCode(app.Code())))
		}
		victim := authenticated(k, byMagicLink(k, kit.Ada).Secret)
		made, err := victim.CreateMFAAuthenticator(k.Ctx, latchkey.NewMFAAuthenticator{})
		k.Must(err)
		own, err := authtest.NewAuthenticator(k.Clock, made.URI.Reveal())
		k.Must(err)
		if err := kit.Err(victim.VerifyMFAAuthenticator(k.Ctx, own.Code())); err != nil {
			k.Errorf("the owner's own authenticator: %v", err)
		}
	})
}

// One opened link does not shut the owner of a mailbox out of it for good.
func TestAttack3AnOpenedLinkOfASquatterWithAnAuthenticatorTrapsNobody(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		squatter, _, _ := k.Enrolled(latchkey.NewMFAAuthenticator{})
		token, err := squatter.CreateEmailVerification(k.Ctx, kit.VerifyURL)
		k.Must(err)
		m := k.MailOf(token, kit.Ada)
		if err := kit.Err(k.Visitor.ConfirmEmailVerification(k.Ctx, m.UserID, m.Secret)); err != latchkey.ErrUnauthorized { // the victim opens the link
			k.Error(err)
		}
		if session := byMagicLink(k, kit.Ada); !full(k, session.Secret) || session.UserID == squatter.UserID() {
			k.Error("the owner of the mailbox is kept out by the squatter's authenticator")
		}
	})
	// The same by a squatter who blocks the account afterwards.
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		_, squatter := k.SignIn(kit.Ada)
		token, err := squatter.CreateEmailVerification(k.Ctx, kit.VerifyURL)
		k.Must(err)
		m := k.MailOf(token, kit.Ada)
		k.Must(kit.Err(k.Visitor.ConfirmEmailVerification(k.Ctx, m.UserID, m.Secret)))
		k.Must(kit.Err(squatter.Block(k.Ctx)))
		link, err := k.Visitor.CreateMagicURLToken(k.Ctx, latchkey.NewMagicURLToken{Email: kit.Ada})
		k.Must(err)
		k.Must(k.CloseContext(k.Ctx)) // what is to be sent is sent
		sent := false
		for _, m := range k.Box.All() {
			sent = sent || m.ID == link.ID
		}
		if !sent {
			k.Error("the owner of the mailbox gets no link for good: the squatter has blocked the account")
		}
	})
}
