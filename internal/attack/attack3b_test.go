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
	"example.com/latchkey/internal/words"
	"example.com/latchkey/query"
	"example.com/latchkey/store"
	"example.com/latchkey/store/memory"
	"example.com/latchkey/store/storetest"
)

// With MFA on, and the number as the only second factor, the number does not change: until the
// new one is proven, the password alone would make a full session.
func TestAttack3TheLastFactorIsKeptAlsoIfItIsTheNumber(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user := k.Proven()
		k.Must(kit.Err(k.Users().UpdateEmailVerification(k.Ctx, user.ID, false)))
		owner := k.SignedInAt(kit.Owner)
		k.Must(kit.Err(owner.UpdateMFA(k.Ctx, true)))
		k.Refuses("the last factor goes", latchkey.ErrLastFactor, func() error { return kit.Err(owner.UpdatePhone(k.Ctx, kit.OwnPhone, kit.Password)) })
		k.Owing(k.Visitor) // the password alone does not pass
	})
}

// Recovery codes that another session has made, while MFA was on already, do not stand in for
// the authenticator that the owner confirms later.
func TestAttack3PlantedRecoveryCodesDoNotStandInForAnAuthenticatorWhileMFAIsOn(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		owner := owned(k)
		k.Must(kit.Err(owner.UpdateMFA(k.Ctx, true))) // the mailbox is the second factor
		session, pending := k.Owing(k.Visitor)
		answerByMail(k, pending, &session)
		stolen := authenticated(k, session.Secret) // its holder has the cookie alone
		k.Must(kit.Err(stolen.CreateMFARecoveryCodes(k.Ctx)))
		k.Confirmed(owner, latchkey.NewMFAAuthenticator{})
		factors, err := k.Users().MFAFactors(k.Ctx, owner.UserID())
		k.Must(err)
		if factors.RecoveryCode {
			k.Errorf("codes that a thief has made stand in for the authenticator: %+v", factors)
		}
	})
}

// A session that has removed the authenticator is no full one after the owner has confirmed
// another: it has proven nothing of that.
func TestAttack3ASessionThatHasRemovedAnAuthenticatorOwesTheNext(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		_, app := withTOTP(k)
		k.Clock.Advance(time.Minute)
		_, pending := k.Owing(k.Visitor)
		session, err := k.Answers(pending, latchkey.FactorTOTP, app.Code())
		k.Must(err)
		stolen := authenticated(k, session.Secret)
		k.Must(stolen.DeleteMFAAuthenticator(k.Ctx))
		again, pending := k.Owing(k.Visitor)
		answerByMail(k, pending, &again)
		k.Confirmed(authenticated(k, again.Secret), latchkey.NewMFAAuthenticator{})
		if !owes(k, stolen) {
			k.Error("the proof of an authenticator that is gone makes a full session")
		}
	})
}

// A recovery code is no proof of the authenticator that the owner confirms afterwards: its bearer
// does not remove that.
func TestAttack3ARecoveryCodeIsNoProofOfALaterAuthenticator(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		owner := owned(k)
		codes, err := k.Users().CreateMFARecoveryCodes(k.Ctx, owner.UserID())
		k.Must(err)
		k.Must(kit.Err(owner.UpdateMFA(k.Ctx, true))) // the mailbox is the second factor
		_, pending := k.Owing(k.Visitor)
		session, err := k.Answers(pending, latchkey.FactorRecoveryCode, codes.Codes[0].Reveal())
		k.Must(err)
		thief := authenticated(k, session.Secret)
		k.Confirmed(owner, latchkey.NewMFAAuthenticator{})
		if err := thief.DeleteMFAAuthenticator(k.Ctx); err == nil {
			k.Error("a code of before has removed the authenticator")
		}
		if !owes(k, thief) {
			k.Error("a code of before makes a full session")
		}
	})
}

// The proof of an authenticator that a session has removed itself does not remove the next one,
// also while MFA is off.
func TestAttack3ARemovedAuthenticatorIsNoStrongProof(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		owner := owned(k)
		thief := authenticated(k, byMagicLink(k, kit.Ada).Secret)
		own := k.Confirmed(thief, latchkey.NewMFAAuthenticator{})
		k.Clock.Advance(30 * time.Second)
		thief = shows(k, thief, latchkey.FactorTOTP, own.Code())
		k.Must(thief.DeleteMFAAuthenticator(k.Ctx))
		k.Confirmed(owner, latchkey.NewMFAAuthenticator{})
		k.Refuses("without having shown it", latchkey.ErrChallengeRequired, func() error { return thief.DeleteMFAAuthenticator(k.Ctx) })
	})
}

// A session that was made by the old mailbox, and has removed the authenticator that it has
// shown, ends with the address: it has proven nothing else that is left.
func TestAttack3ASessionOfTheOldMailboxEndsAlsoIfItHasRemovedAnAuthenticator(t *testing.T) {
	for name, enter := range map[string]func(k *kit.Kit) *latchkey.Account{
		"MFA off": func(k *kit.Kit) *latchkey.Account {
			owned(k)
			thief := authenticated(k, byMagicLink(k, kit.Ada).Secret)
			app := k.Confirmed(thief, latchkey.NewMFAAuthenticator{})
			k.Clock.Advance(30 * time.Second)
			return shows(k, thief, latchkey.FactorTOTP, app.Code())
		},
		"MFA on": func(k *kit.Kit) *latchkey.Account {
			_, app := withTOTP(k)
			k.Clock.Advance(30 * time.Second)
			session, err := k.Answers(pendingOf(k, byMagicLink(k, kit.Ada).Secret), latchkey.FactorTOTP, app.Code())
			k.Must(err)
			return authenticated(k, session.Secret)
		},
	} {
		t.Run(name, func(t *testing.T) {
			kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
				thief := enter(k)
				k.Must(thief.DeleteMFAAuthenticator(k.Ctx))
				k.Must(kit.Err(thief.User(k.Ctx))) // so far it is a full session
				k.Must(kit.Err(k.Users().UpdateEmail(k.Ctx, thief.UserID(), "new@example.org")))
				if !owes(k, thief) {
					k.Error("who read the old mailbox is still in")
				}
			})
		})
	}
}

// An answer that another session has given before is no fresh proof of the authenticator that
// the owner confirms, also while MFA is off.
func TestAttack3ACodeOfTheThiefsOwnIsNoStrongProof(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		owner := owned(k)
		thief := authenticated(k, byMagicLink(k, kit.Ada).Secret)
		codes, err := thief.CreateMFARecoveryCodes(k.Ctx)
		k.Must(err)
		thief = shows(k, thief, latchkey.FactorRecoveryCode, codes.Codes[0].Reveal())
		k.Confirmed(owner, latchkey.NewMFAAuthenticator{})
		k.Refuses("without having shown it", latchkey.ErrChallengeRequired, func() error { return thief.DeleteMFAAuthenticator(k.Ctx) })
	})
}

// A session that has ended does not come back because it loses a factor.
func TestAttack3ASessionThatLosesAFactorDoesNotComeBack(t *testing.T) {
	policy := latchkey.Policy{Sessions: latchkey.SessionPolicy{MultiFactor: latchkey.Lifetime{Idle: time.Hour}}}
	kit.OnEveryStore(t, policy, func(k *kit.Kit) {
		owner := owned(k)
		other := showsMail(k, authenticated(k, byPassword(k).Secret))
		k.Clock.Advance(2 * time.Hour)
		k.Refuses("it was idle for too long", latchkey.ErrUnauthorized, func() error { return kit.Err(other.User(k.Ctx)) })
		k.Must(kit.Err(k.Users().UpdateMFA(k.Ctx, owner.UserID(), true)))
		k.Must(kit.Err(k.Users().UpdateMFA(k.Ctx, owner.UserID(), false)))
		k.Refuses("and still", latchkey.ErrUnauthorized, func() error { return kit.Err(other.User(k.Ctx)) })
	})
}

// byPassword signs Ada in by her password.
func byPassword(k *kit.Kit) *latchkey.Session {
	k.Helper()
	session, _ := k.SignIn(kit.Ada)
	return session
}

// A session that comes to owe a factor by the switch has as long to show it as any other,
// counted from the switch, however old it is.
func TestAttack3ASessionMayShowWhatItOwesSinceTheSwitch(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		owner := owned(k)
		other := showsMail(k, authenticated(k, byPassword(k).Secret))
		k.Clock.Advance(2 * time.Hour)
		k.Must(kit.Err(k.Users().UpdateMFA(k.Ctx, owner.UserID(), true)))
		if err := kit.Err(other.User(k.Ctx)); err == nil || err == latchkey.ErrUnauthorized {
			k.Errorf("an old session, after the switch: %v", err)
		}
	})
}

// When MFA is switched off, a session loses its assumed factors, and keeps those that it has proven
// before or since.
func TestAttack3SwitchingOffTakesWhatWasAssumedAndNothingElse(t *testing.T) {
	for name, c := range map[string]struct {
		before, after bool
		want          string
	}{"assumed": {want: "[password]"}, "proven before": {before: true, want: "[password email]"}, "proven since": {after: true, want: "[password email]"}} {
		t.Run(name, func(t *testing.T) {
			kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
				owner := owned(k)
				if c.before {
					owner = showsMail(k, owner)
				}
				k.Must(kit.Err(owner.UpdateMFA(k.Ctx, true)))
				if c.after {
					owner = showsMail(k, owner)
				}
				k.Must(kit.Err(k.Users().UpdateMFA(k.Ctx, owner.UserID(), false)))
				session, err := owner.GetSession(k.Ctx, latchkey.CurrentSession)
				k.Must(err)
				if got := fmt.Sprint(session.Factors); got != c.want {
					k.Errorf("%s, want %s", got, c.want)
				}
			})
		})
	}
}

// Codes that are void are asked of nobody: an owner who has only the mailbox gets in by it
// after a recovery.
func TestAttack3VoidCodesAreAskedOfNobody(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		owner := owned(k)
		k.Must(kit.Err(authenticated(k, byMagicLink(k, kit.Ada).Secret).CreateMFARecoveryCodes(k.Ctx))) // by a thief
		k.Must(kit.Err(owner.UpdateMFA(k.Ctx, true)))
		if session := byMailOnly(k); !full(k, session.Secret) {
			k.Error("the owner owes a code that does not exist")
		}
	})
}

// A link that is opened after the address was verified otherwise says nothing: the account is
// claimed as before.
func TestAttack3AnOldLinkDoesNotUnclaimTheAccount(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		_, account := k.SignIn(kit.Ada)
		token, err := account.CreateEmailVerification(k.Ctx, kit.VerifyURL)
		k.Must(err)
		m := k.MailOf(token, kit.Ada)
		k.Must(kit.Err(k.Users().UpdateEmailVerification(k.Ctx, account.UserID(), true)))
		k.Must(kit.Err(k.Visitor.ConfirmEmailVerification(k.Ctx, m.UserID, m.Secret)))
		byMagicLink(k, kit.Ada)
		k.Must(k.Try(kit.Owner, kit.Ada, kit.Password))
	})
}

// half makes Ada's account with a proven number, and has the link to her address opened without
// a session: the mailbox may be another person's.
func half(k *kit.Kit) *latchkey.Account {
	k.Helper()
	user := k.SignUp(kit.Ada)
	k.Must(kit.Err(k.Users().UpdatePhone(k.Ctx, user.ID, kit.Phone)))
	k.Must(kit.Err(k.Users().UpdatePhoneVerification(k.Ctx, user.ID, true)))
	owner := k.SignedInAt(kit.Owner)
	token, err := owner.CreateEmailVerification(k.Ctx, kit.VerifyURL)
	k.Must(err)
	m := k.MailOf(token, kit.Ada)
	k.Must(kit.Err(k.Visitor.ConfirmEmailVerification(k.Ctx, m.UserID, m.Secret)))
	return owner
}

// A mailbox that only a link without a session has proven gets no recovery of the account of a
// number.
func TestAttack3AHalfProvenMailboxGetsNoRecovery(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		half(k)
		token, err := k.Visitor.CreateRecovery(k.Ctx, latchkey.NewRecovery{Email: kit.Ada, URL: kit.RecoverURL})
		k.Must(err)
		k.Must(k.CloseContext(k.Ctx)) // what is to be sent is sent
		for _, m := range k.Box.All() {
			if m.ID == token.ID {
				k.Error("the reader of the mailbox was sent a link that sets the password")
			}
		}
	})
}

// A half-proven mailbox becomes the account's by an answer in a session, by a link that is opened
// in a session, and goes with the address.
func TestAttack3AHalfProvenMailboxBecomesWhole(t *testing.T) {
	for name, whole := range map[string]func(k *kit.Kit, owner *latchkey.Account) (email string){
		"by an answer": func(k *kit.Kit, owner *latchkey.Account) string {
			showsMail(k, owner)
			return kit.Ada
		},
		"by a link in a session": func(k *kit.Kit, owner *latchkey.Account) string {
			k.Must(kit.Err(k.Users().UpdateEmailVerification(k.Ctx, owner.UserID(), false)))
			token, err := owner.CreateEmailVerification(k.Ctx, kit.VerifyURL)
			k.Must(err)
			k.Must(kit.Err(owner.ConfirmEmailVerification(k.Ctx, k.MailOf(token, kit.Ada).Secret)))
			return kit.Ada
		},
		"by another address": func(k *kit.Kit, owner *latchkey.Account) string {
			k.Must(kit.Err(owner.UpdateEmail(k.Ctx, "new@example.org", kit.Password)))
			k.Must(kit.Err(k.Users().UpdateEmailVerification(k.Ctx, owner.UserID(), true)))
			return "new@example.org"
		},
	} {
		t.Run(name, func(t *testing.T) {
			kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
				owner := half(k)
				if session := byMagicLink(k, whole(k, owner)); session.UserID != owner.UserID() {
					k.Error("the mailbox has been taken from the account")
				}
			})
		})
	}
}

// A link that is opened with a JWT of the account says no more than one that is opened without:
// the account may be a planted one.
func TestAttack3AJWTDoesNotClaimTheAccount(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		planted, planter := k.SignIn(kit.Ada)
		token, err := planter.CreateEmailVerification(k.Ctx, kit.VerifyURL)
		k.Must(err)
		byJWT, _ := k.ByJWT(planter.UserID(), planter.SessionID())
		k.Must(kit.Err(byJWT.ConfirmEmailVerification(k.Ctx, k.MailOf(token, kit.Ada).Secret)))
		byMagicLink(k, kit.Ada)
		if full(k, planted.Secret) {
			k.Error("the planter is still in")
		}
	})
}

// A planter claims nothing by proving a number of their own in the planted session itself.
func TestAttack3AProofOfAnotherAddressInTheSessionDoesNotClaimTheFirst(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		planted, planter := k.SignIn(kit.Ada)
		k.Must(kit.Err(planter.UpdatePhone(k.Ctx, kit.Phone, kit.Password)))
		token, err := planter.CreateEmailVerification(k.Ctx, kit.VerifyURL)
		k.Must(err)
		m := k.MailOf(token, kit.Ada)
		k.Must(kit.Err(k.Visitor.ConfirmEmailVerification(k.Ctx, m.UserID, m.Secret))) // the victim opens the link
		code, err := planter.CreatePhoneVerification(k.Ctx)
		k.Must(err)
		k.Must(kit.Err(planter.ConfirmPhoneVerification(k.Ctx, k.MailOf(code, kit.Phone).Secret)))
		byMagicLink(k, kit.Ada)
		if full(k, planted.Secret) {
			k.Error("the planter is still in")
		}
	})
}

// A user who was seen while the clock was ahead is seen again once it is right.
func TestAttack3AUserWhoWasSeenAheadIsSeenAgain(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user := k.SignUp(kit.Ada)
		session, _ := k.SignIn(kit.Ada)
		k.Clock.Advance(20 * 24 * time.Hour)
		k.Must(kit.Err(k.Visitor.Authenticate(k.Ctx, session.Secret.Reveal())))
		k.Clock.Advance(-20 * 24 * time.Hour)
		k.Must(kit.Err(k.Visitor.Authenticate(k.Ctx, session.Secret.Reveal())))
		shown, err := k.Users().Get(k.Ctx, user.ID)
		k.Must(err)
		if shown.AccessedAt.After(k.Clock.Now()) {
			k.Errorf("seen at %v, and it is %v", shown.AccessedAt, k.Clock.Now())
		}
	})
}

// An answer by the authenticator from ahead of the clock is not fresh when that time comes, also
// beside another answer.
func TestAttack3AStrongProofFromAheadOfTheClockIsNotFresh(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		const ahead = 20 * 24 * time.Hour
		_, app := withTOTP(k)
		_, pending := k.Owing(k.Visitor)
		var session *latchkey.Session
		answerByMail(k, pending, &session)
		account := authenticated(k, session.Secret)
		k.Clock.Advance(ahead)
		account = shows(k, account, latchkey.FactorTOTP, app.Code())
		k.Clock.Advance(-ahead)
		k.Must(kit.Err(k.Sweep(k.Ctx)))
		k.Clock.Advance(ahead)
		account = showsMail(k, account)
		k.Refuses("the proof is of 20 days ago", latchkey.ErrChallengeRequired, func() error { return account.DeleteMFAAuthenticator(k.Ctx) })
	})
}

// A session that was used while the clock was ahead does not idle longer, once a sweep has seen
// it.
func TestAttack3AUseAheadOfTheClockMakesNoSessionIdleLonger(t *testing.T) {
	const day = 24 * time.Hour
	policy := latchkey.Policy{Sessions: latchkey.SessionPolicy{SingleFactor: latchkey.Lifetime{Idle: 30 * day}}}
	kit.OnEveryStore(t, policy, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		session, _ := k.SignIn(kit.Ada)
		k.Clock.Advance(20 * day)
		k.Must(kit.Err(k.Visitor.Authenticate(k.Ctx, session.Secret.Reveal())))
		k.Clock.Advance(-20 * day)
		k.Must(kit.Err(k.Sweep(k.Ctx)))
		k.Clock.Advance(31 * day)
		if full(k, session.Secret) {
			k.Error("the session was not used for 31 days, and is good")
		}
	})
}

// A session from ahead of the clock that was refused once stays refused when its time comes, also
// if nothing was swept meanwhile, whichever call has refused it.
func TestAttack3ARefusedSessionFromAheadStaysRefused(t *testing.T) {
	for name, use := range map[string]func(k *kit.Kit, s *latchkey.Session) error{
		"Authenticate": func(k *kit.Kit, s *latchkey.Session) error {
			return kit.Err(k.Visitor.Authenticate(k.Ctx, s.Secret.Reveal()))
		},
		"AuthenticateProfile": func(k *kit.Kit, s *latchkey.Session) error {
			_, _, err := k.Visitor.AuthenticateProfile(k.Ctx, s.Secret.Reveal())
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
				k.SignUp(kit.Ada)
				k.Clock.Advance(20 * 24 * time.Hour)
				session, _ := k.SignIn(kit.Ada)
				k.Clock.Advance(-20 * 24 * time.Hour)
				if err := use(k, session); err != latchkey.ErrUnauthorized { // and is deleted
					k.Errorf("it is from ahead: %v", err)
				}
				k.Clock.Advance(20 * 24 * time.Hour)
				k.Refuses("it was refused", latchkey.ErrUnauthorized, func() error { return use(k, session) })
			})
		})
	}
}

// A session that came to owe a factor ahead of the clock, and was refused once, stays refused when
// that time comes.
func TestAttack3ARefusedDebtFromAheadStaysRefused(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		session, account := k.SignIn(kit.Ada)
		k.Must(kit.Err(k.Users().UpdateEmailVerification(k.Ctx, account.UserID(), true)))
		k.Clock.Advance(40 * 24 * time.Hour)
		k.Must(kit.Err(k.Users().UpdateMFA(k.Ctx, account.UserID(), true)))
		k.Clock.Advance(-40 * 24 * time.Hour)
		use := func() error { return kit.Err(k.Visitor.Authenticate(k.Ctx, session.Secret.Reveal())) }
		if err := use(); err != latchkey.ErrUnauthorized { // and is deleted
			k.Errorf("it came to owe ahead: %v", err)
		}
		k.Clock.Advance(40 * 24 * time.Hour)
		k.Refuses("it was refused", latchkey.ErrUnauthorized, use)
	})
}

// A sweep deletes the challenges that were made ahead of the clock, and the sessions that came to
// owe a factor then: they are not good when that time comes.
func TestAttack3ASweepDeletesChallengesAndDebtsFromAhead(t *testing.T) {
	const ahead = 20 * 24 * time.Hour
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		owner := owned(k)
		k.Clock.Advance(ahead)
		challenge, err := owner.CreateMFAChallenge(k.Ctx, latchkey.FactorEmail)
		k.Must(err)
		code := k.Message(challenge.ID, kit.Ada).Secret
		k.Clock.Advance(-ahead)
		k.Must(kit.Err(k.Sweep(k.Ctx)))
		k.Clock.Advance(ahead)
		k.Refuses("a challenge", latchkey.ErrInvalidToken, func() error { return kit.Err(owner.ConfirmMFAChallenge(k.Ctx, challenge.ID, code)) })
	})
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		owner := owned(k)
		k.Clock.Advance(ahead)
		k.Must(kit.Err(k.Users().UpdateMFA(k.Ctx, owner.UserID(), true)))
		k.Clock.Advance(-ahead)
		k.Refuses("it came to owe ahead", latchkey.ErrUnauthorized, func() error { return kit.Err(owner.User(k.Ctx)) })
		k.Must(kit.Err(k.Sweep(k.Ctx)))
		k.Clock.Advance(ahead)
		k.Refuses("it was refused", latchkey.ErrUnauthorized, func() error { return kit.Err(owner.User(k.Ctx)) })
	})
}

// A code to a number is void once the user has left the number, also if they come back to it.
func TestAttack3WhatWasSentBeforeTheNumberWasLeftStaysVoid(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.Proven()
		owner := k.SignedInAt(kit.Owner)
		token, err := k.Visitor.CreatePhoneToken(k.Ctx, "", kit.Phone)
		k.Must(err)
		code := k.MailOf(token, kit.Phone).Secret
		k.Must(kit.Err(owner.UpdatePhone(k.Ctx, kit.OwnPhone, kit.Password)))
		k.Must(kit.Err(owner.UpdatePhone(k.Ctx, kit.Phone, kit.Password)))
		if err := kit.Err(k.Visitor.CreateSession(k.Ctx, token.UserID, code)); !errors.Is(err, latchkey.ErrInvalidToken) {
			k.Errorf("a code to the number as it was: %v", err)
		}
	})
}

// The id of a deleted user is kept from strangers for as long as the log, counted from the last
// deletion, and no longer.
func TestAttackTheIDOfADeletedUserIsKeptAsLongAsTheLog(t *testing.T) {
	const length = 40 * 24 * time.Hour
	kit.OnEveryStore(t, latchkey.Policy{LogLength: length}, func(k *kit.Kit) {
		takes := func(email string) error {
			return kit.Err(k.Visitor.CreateAccount(k.Ctx, latchkey.NewAccount{UserID: "ada", Email: email, Password: kit.Password}))
		}
		for range 2 { // the server gives the id away meanwhile
			k.Must(kit.Err(k.Users().Create(k.Ctx, latchkey.NewUser{UserID: "ada", Email: kit.Ada})))
			k.Must(k.Users().Delete(k.Ctx, "ada"))
			k.Clock.Advance(length - time.Hour)
			if err := takes("attacker@example.org"); err != latchkey.ErrUserAlreadyExists {
				k.Errorf("an hour before the end: %v", err)
			}
		}
		k.Clock.Advance(2 * time.Hour)
		k.Must(takes("next@example.org"))
	})
}

// Neither an export nor the log tells a squatter from where the owner of the address or of the
// number came.
func TestAttackASquatterReadsNothingOfTheOwnersClient(t *testing.T) {
	const agent = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
	for name, come := range map[string]func(k *kit.Kit, owner *latchkey.Guest) error{
		"by mail": func(k *kit.Kit, owner *latchkey.Guest) error {
			return kit.Err(owner.CreateMagicURLToken(k.Ctx, latchkey.NewMagicURLToken{Email: kit.Ada}))
		},
		"by SMS": func(k *kit.Kit, owner *latchkey.Guest) error {
			return kit.Err(owner.CreatePhoneToken(k.Ctx, "", kit.Phone))
		},
	} {
		t.Run(name, func(t *testing.T) {
			kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
				user, err := k.Guest(kit.At(kit.Attacker)).CreateAccount(k.Ctx, latchkey.NewAccount{Email: kit.Ada, Password: kit.Password})
				k.Must(err)
				account := k.SignedInAt(kit.Attacker)
				if name == "by SMS" {
					k.Must(kit.Err(account.UpdatePhone(k.Ctx, kit.Phone, kit.Password)))
					k.Must(kit.Err(k.Users().UpdateEmailVerification(k.Ctx, user.ID, true)))
				}
				client := kit.At("198.51.100.23")
				client.UserAgent = agent
				k.Must(come(k, k.Guest(client)))
				list, err := account.Logs(k.Ctx)
				k.Must(err)
				for _, l := range list.Logs {
					if l.IP == "198.51.100.23" {
						k.Errorf("the log: %s at %s", l.Event, l.IP)
					}
				}
				text, err := k.Users().Export(k.Ctx, user.ID)
				k.Must(err)
				if strings.Contains(string(text), "198.51.100.23") || strings.Contains(string(text), agent) {
					k.Error("the export has the client of another person")
				}
			})
		})
	}
}

// A range of times with parts of a microsecond is compared as it is.
func TestAttackRangesOfTimesWithAPartOfAMicrosecond(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user := k.SignUp(kit.Ada)
		shown, err := k.Users().Get(k.Ctx, user.ID)
		k.Must(err)
		at := shown.CreatedAt
		parts := []time.Duration{-1000, -1, 0, 1, 1000}
		for _, from := range parts {
			for _, to := range parts {
				low, high := at.Add(from), at.Add(to)
				inside := !at.Before(low) && !at.After(high)
				for q, holds := range map[*query.Query]bool{
					new(query.Between("$createdAt", low, high)): inside, new(query.NotBetween("$createdAt", low, high)): !inside,
				} {
					list, err := k.Users().List(k.Ctx, *q)
					k.Must(err)
					if (len(list.Users) == 1) != holds {
						k.Errorf("%s from %v to %v: %d rows", q.Method(), from, to, len(list.Users))
					}
				}
			}
		}
	})
}

// When the server removes an authenticator, for example one that was stolen, the sessions that have
// shown it owe another factor.
func TestAttack3ARemovedAuthenticatorIsNoProofOfOtherSessions(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		owner, app := withTOTP(k)
		k.Clock.Advance(time.Minute)
		_, pending := k.Owing(k.Visitor)
		session, err := k.Answers(pending, latchkey.FactorTOTP, app.Code())
		k.Must(err)
		thief := authenticated(k, session.Secret)
		k.Must(k.Users().DeleteMFAAuthenticator(k.Ctx, owner.UserID()))
		if !owes(k, thief) {
			k.Error("a session that has shown the authenticator that was removed is full")
		}
	})
}

// A shown password claims both addresses, also if both were proven without a session.
func TestAttack3AShownPasswordClaimsBothAddresses(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		_, account := k.SignIn(kit.Ada)
		k.Must(kit.Err(account.UpdatePhone(k.Ctx, kit.Phone, kit.Password)))
		link, err := account.CreateEmailVerification(k.Ctx, kit.VerifyURL)
		k.Must(err)
		k.Must(kit.Err(k.Visitor.ConfirmEmailVerification(k.Ctx, account.UserID(), k.MailOf(link, kit.Ada).Secret)))
		code, err := account.CreatePhoneVerification(k.Ctx)
		k.Must(err)
		k.Must(kit.Err(k.Visitor.ConfirmPhoneVerification(k.Ctx, account.UserID(), k.MailOf(code, kit.Phone).Secret)))
		k.Must(k.Try(kit.Owner, kit.Ada, kit.Password))
		token, err := k.Visitor.CreatePhoneToken(k.Ctx, "", kit.Phone)
		k.Must(err)
		session, err := k.Visitor.CreateSession(k.Ctx, token.UserID, k.MailOf(token, kit.Phone).Secret)
		k.Must(err)
		if session.UserID != account.UserID() {
			k.Error("the number has been taken from the account")
		}
	})
}

// A search looks at no more than 5,000 rows, and reads no more than 50,000 words to find them.
func TestAttackASearchIsBounded(t *testing.T) {
	s := storetest.Count(memory.Open())
	defer s.Close()
	ctx := t.Context()
	if err := s.Update(ctx, func(ctx context.Context, tx store.Tx) error {
		for n := range 5_100 {
			if err := words.Set(ctx, tx, "users", fmt.Sprintf("u%05d", n), "ann"); err != nil {
				return err
			}
		}
		for n := range 600 {
			var many []string
			for i := range 100 {
				many = append(many, fmt.Sprintf("b%02d", i))
			}
			if err := words.Set(ctx, tx, "users", fmt.Sprintf("v%05d", n), strings.Join(many, " ")); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if ids, err := words.Find(ctx, s, "users", "ann"); err != nil || len(ids) != 5_000 {
		t.Errorf("%d rows, %v", len(ids), err)
	}
	s.Reset()
	if _, err := words.Find(ctx, s, "users", "b"); err != nil || s.Reads.Load() > 10 {
		t.Errorf("%d reads of 5,000 words, %v", s.Reads.Load(), err)
	}
}
