package attack_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/notify"
	"example.com/latchkey/oauth"
	"example.com/latchkey/store"
)

// Attacks on a change of address by proof (issue 26). Ada is the rightful owner.

const (
	thiefMail, thiefMail2   = "thief@evil.example", "thief2@evil.example"
	thiefPhone, thiefPhone2 = "+14155550166", "+14155550167"
	holdTime                = 7 * 24 * time.Hour
)

// next26 returns the next message of a kind to an address, and fails soon.
func next26(k *kit.Kit, kind notify.Kind, to string) kit.Message {
	k.Helper()
	ctx, cancel := context.WithTimeout(k.Ctx, 10*time.Second)
	defer cancel()
	for {
		m, err := k.Box.Next(ctx, to)
		if err != nil {
			k.Fatalf("no %s to %s: %v", kind, to, err)
		}
		if m.Kind == kind {
			return kit.Message{Message: m, Secret: m.Secret.Reveal(), Link: m.Link.Reveal()}
		}
	}
}

// owned26 makes Ada with a proven address and a password, and signs a thief in as her.
func owned26(k *kit.Kit) (*latchkey.User, *latchkey.Account) {
	k.Helper()
	user := k.SignUp(kit.Ada)
	k.Must(kit.Err(k.Users().UpdateEmailVerification(k.Ctx, user.ID, true)))
	_, thief := k.SignIn(kit.Ada)
	return user, thief
}

// ask26 asks for a change of e-mail and returns the secret that went to the new address.
func ask26(k *kit.Kit, a *latchkey.Account, to, password string) string {
	k.Helper()
	_, err := a.CreateEmailChange(k.Ctx, latchkey.NewEmailChange{Email: to, URL: kit.VerifyURL}, password)
	k.Must(err)
	return next26(k, notify.EmailChange, to).Secret
}

// move26 changes the e-mail address by proof, and returns the undo secret that went to the old one.
func move26(k *kit.Kit, a *latchkey.Account, from, to string) string {
	k.Helper()
	k.Must(kit.Err(a.ConfirmEmailChange(k.Ctx, ask26(k, a, to, kit.Password), kit.UndoURL)))
	return next26(k, notify.EmailChanged, from).Secret
}

// movePhone26 is move26 for a number.
func movePhone26(k *kit.Kit, a *latchkey.Account, from, to string) string {
	k.Helper()
	_, err := a.CreatePhoneChange(k.Ctx, to, kit.Password)
	k.Must(err)
	k.Must(kit.Err(a.ConfirmPhoneChange(k.Ctx, next26(k, notify.PhoneChange, to).Secret, kit.UndoURL)))
	return next26(k, notify.PhoneChanged, from).Secret
}

// prove26 sets a number with the password and proves it in the session.
func prove26(k *kit.Kit, a *latchkey.Account, phone string) {
	k.Helper()
	k.Must(kit.Err(a.UpdatePhone(k.Ctx, phone, kit.Password)))
	k.Must(kit.Err(a.CreatePhoneVerification(k.Ctx)))
	k.Must(kit.Err(a.ConfirmPhoneVerification(k.Ctx, next26(k, notify.PhoneVerification, phone).Secret)))
}

// long26 makes the addresses of a user those that they have had for long.
func long26(k *kit.Kit, id string) {
	k.Helper()
	k.ChangeUser(id, func(u *record.User) { u.EmailProven, u.PhoneProven = time.Time{}, time.Time{} })
}

// restore26 is the owner's page: it restores the address and sets a new password.
func restore26(k *kit.Kit, id, secret string) {
	k.Helper()
	token, err := k.Visitor.RestoreAddress(k.Ctx, id, secret)
	k.Must(err)
	if s := token.Secret.Reveal(); s != "" {
		k.Must(kit.Err(k.Visitor.ConfirmRecovery(k.Ctx, id, s, kit.FreshPassword)))
	}
}

// row26 returns the row of a user.
func row26(k *kit.Kit, id string) *record.User {
	k.Helper()
	u, err := record.Users.Get(k.Ctx, k.Store, record.Users.Primary(), store.Text(id))
	k.Must(err)
	return u
}

// bySMS26 signs in by a code to a number, and returns the session.
func bySMS26(k *kit.Kit, phone string) (*latchkey.Session, error) {
	k.Helper()
	token, err := k.Visitor.CreatePhoneToken(k.Ctx, "", phone)
	k.Must(err)
	return k.Visitor.CreateSession(k.Ctx, token.UserID, next26(k, notify.PhoneOTP, phone).Secret)
}

// An owner whom a thief has taken both addresses from has two links. The second one must not take
// away what the first one has restored, in whichever order they are opened.
func TestAttack26TheOwnersTwoLinksDoNotUndoEachOther(t *testing.T) {
	for _, mailFirst := range []bool{true, false} {
		t.Run(fmt.Sprint("mail taken first ", mailFirst), func(t *testing.T) {
			for _, openMailFirst := range []bool{true, false} {
				t.Run(fmt.Sprint("mail opened first ", openMailFirst), func(t *testing.T) {
					kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
						user := k.Proven()
						_, thief := k.SignIn(kit.Ada)
						var mail, phone string
						if mailFirst {
							mail = move26(k, thief, kit.Ada, thiefMail)
							k.Clock.Advance(time.Second)
							phone = movePhone26(k, thief, kit.Phone, thiefPhone)
						} else {
							phone = movePhone26(k, thief, kit.Phone, thiefPhone)
							k.Clock.Advance(time.Second)
							mail = move26(k, thief, kit.Ada, thiefMail)
						}
						k.Clock.Advance(time.Second)
						links := []string{phone, mail}
						if openMailFirst {
							slices.Reverse(links)
						}
						for _, link := range links {
							k.Must(kit.Err(k.Visitor.RestoreAddress(k.Ctx, user.ID, link)))
						}
						got := row26(k, user.ID)
						if got.Email != kit.Ada || got.Phone != kit.Phone || !got.EmailVerified || !got.PhoneVerified {
							k.Errorf("after both links: e-mail %q %v, phone %q %v, password %v", got.Email, got.EmailVerified, got.Phone, got.PhoneVerified, got.Password != nil)
						}
					})
				})
			}
		})
	}
}

// A thief proves a number of their own, moves the e-mail and then moves the number: the link for
// that number is in their hands. Once the owner has restored the e-mail, it must not take it away,
// nor the password, nor let the thief in.
func TestAttack26AThiefsLinkForANumberDoesNotTakeTheRestoredAddress(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user, thief := owned26(k)
		prove26(k, thief, thiefPhone)
		k.Clock.Advance(time.Second)
		owners := move26(k, thief, kit.Ada, thiefMail)
		k.Clock.Advance(time.Second)
		thiefs := movePhone26(k, thief, thiefPhone, thiefPhone2)
		k.Clock.Advance(time.Hour)
		restore26(k, user.ID, owners)
		k.Clock.Advance(time.Hour)
		err := kit.Err(k.Visitor.RestoreAddress(k.Ctx, user.ID, thiefs))
		got := row26(k, user.ID)
		if got.Email != kit.Ada || got.Password == nil {
			k.Errorf("the thief's link (%v) left e-mail %q, phone %q, password %v", err, got.Email, got.Phone, got.Password != nil)
		}
		if s, err := bySMS26(k, thiefPhone); err == nil && s.UserID == user.ID && full(k, s.Secret) {
			k.Error("the thief is in the account, alone")
		}
		if err := k.Try(kit.Owner, kit.Ada, kit.FreshPassword); err != nil && err != latchkey.ErrPasswordResetRequired {
			k.Errorf("the owner is out: %v", err)
		}
	})
}

// A thief who has switched MFA on without an authenticator keeps their number as the owner's second
// factor. With recovery codes of their own they must not get in after the owner has restored the
// account.
func TestAttack26RecoveryCodesOfAThiefEndWithTheRestoration(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user, thief := owned26(k)
		owners := move26(k, thief, kit.Ada, thiefMail)
		k.Clock.Advance(time.Second)
		prove26(k, thief, thiefPhone)
		codes, err := thief.CreateMFARecoveryCodes(k.Ctx)
		k.Must(err)
		k.Must(kit.Err(thief.UpdateMFA(k.Ctx, true)))
		k.Clock.Advance(time.Minute)
		restore26(k, user.ID, owners)
		k.Clock.Advance(time.Minute)
		s, err := bySMS26(k, thiefPhone)
		if err != nil || s.UserID != user.ID {
			return
		}
		if full(k, s.Secret) {
			k.Fatal("the thief is in with the number alone")
		}
		pending := pendingOf(k, s.Secret)
		challenge, err := pending.CreateMFAChallenge(k.Ctx, latchkey.FactorRecoveryCode)
		if err != nil {
			return
		}
		answered, err := pending.ConfirmMFAChallenge(k.Ctx, challenge.ID, codes.Codes[0].Reveal())
		if err == nil && full(k, answered.Secret) {
			k.Error("the thief is in with the number and a recovery code, after the owner has restored the account and set a password")
		}
	})
}

// An attacker signs up with the victim's address, and prepares a link for a number while the victim
// opens the link that verifies it. Once the victim has claimed the account, that link must not let
// the attacker in.
func TestAttack26ALinkForANumberDoesNotSurviveTheFirstProofOfTheAccount(t *testing.T) {
	for _, claim := range []string{"magic link", "recovery"} {
		t.Run(claim, func(t *testing.T) {
			kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
				user := k.SignUp(kit.Ada)
				_, attacker := k.SignIn(kit.Ada)
				k.Must(kit.Err(attacker.UpdatePhone(k.Ctx, thiefPhone, kit.Password)))
				k.Must(kit.Err(attacker.CreateEmailVerification(k.Ctx, kit.VerifyURL)))
				mail := next26(k, notify.EmailVerification, kit.Ada)
				k.Must(kit.Err(attacker.CreatePhoneChange(k.Ctx, thiefPhone2, kit.Password))) // the last time that the password is shown
				change := next26(k, notify.PhoneChange, thiefPhone2)
				k.Must(kit.Err(attacker.CreatePhoneVerification(k.Ctx)))
				proof := next26(k, notify.PhoneVerification, thiefPhone)
				k.Must(kit.Err(k.Visitor.ConfirmEmailVerification(k.Ctx, user.ID, mail.Secret))) // the victim
				k.Must(kit.Err(attacker.ConfirmPhoneVerification(k.Ctx, proof.Secret)))
				long26(k, user.ID)
				k.Must(kit.Err(attacker.ConfirmPhoneChange(k.Ctx, change.Secret, kit.UndoURL)))
				undo := next26(k, notify.PhoneChanged, thiefPhone)
				k.Clock.Advance(time.Hour)
				if claim == "recovery" {
					k.Must(k.Recover(k.Recovery()))
				} else if s := byMagicLink(k, kit.Ada); s.UserID != user.ID {
					return // the victim has an account of their own
				}
				if got := row26(k, user.ID); got.Phone != "" {
					return // the account stays the attacker's, and is the victim's too: not the case here
				}
				k.Clock.Advance(time.Hour)
				if undo.Secret == "" { // no link at all: the account was anybody's
					undo.Secret = kit.UnknownLink
				}
				if err := kit.Err(k.Visitor.RestoreAddress(k.Ctx, user.ID, undo.Secret)); !errors.Is(err, latchkey.ErrInvalidToken) {
					k.Errorf("the attacker's link in the claimed account: %v", err)
				}
				if s, err := bySMS26(k, thiefPhone); err == nil && s.UserID == user.ID {
					k.Errorf("the attacker has a session in the claimed account; full: %v; %+v", full(k, s.Secret), row26(k, user.ID).Email)
				}
			})
		})
	}
}

// A planted account is claimed in the second in which the attacker's link ends. The clock of another
// machine may be behind by Config.MaxClockStep: the link must not come to life again there.
func TestAttack26ALinkDoesNotComeBackWithTheClock(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user := k.SignUp(thiefMail)
		k.Must(kit.Err(k.Users().UpdateEmailVerification(k.Ctx, user.ID, true)))
		_, attacker := k.SignIn(thiefMail)
		undo := move26(k, attacker, thiefMail, thiefMail2)
		k.Must(kit.Err(attacker.UpdateEmail(k.Ctx, kit.Ada, kit.Password)))
		k.Clock.Advance(holdTime)
		if s := byMagicLink(k, kit.Ada); s.UserID != user.ID {
			return
		}
		k.Clock.Advance(-30 * time.Second)
		if err := kit.Err(k.Visitor.RestoreAddress(k.Ctx, user.ID, undo)); !errors.Is(err, latchkey.ErrInvalidToken) {
			k.Errorf("the attacker's link: %v; the address is %q", err, row26(k, user.ID).Email)
		}
	})
}

// The owner's link is the older one, whatever the clocks of two machines say: a thief who makes the
// next change at a machine that is behind must not void it.
func TestAttack26TheOlderLinkIsTheOlderOneAtAnyClock(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user, thief := owned26(k)
		secret := ask26(k, thief, thiefMail, kit.Password)
		k.Must(kit.Err(thief.ConfirmEmailChange(k.Ctx, secret, kit.UndoURL)))
		owners := next26(k, notify.EmailChanged, kit.Ada).Secret
		k.Clock.Advance(-30 * time.Second) // Config.MaxClockStep is a minute
		thiefs := move26(k, thief, thiefMail, thiefMail2)
		k.Clock.Advance(time.Minute)
		_ = kit.Err(k.Visitor.RestoreAddress(k.Ctx, user.ID, thiefs))
		if err := kit.Err(k.Visitor.RestoreAddress(k.Ctx, user.ID, owners)); err != nil {
			k.Errorf("the owner's link is void: %v", err)
		}
	})
}

// Wrong codes for a number count for the number, over accounts.
func TestAttack26WrongCodesOfAChangeCountForTheNumber(t *testing.T) {
	for _, proven := range []bool{false, true} {
		t.Run(fmt.Sprint("own number proven ", proven), func(t *testing.T) {
			kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
				guesses := 0
				for n := range 8 {
					mail := fmt.Sprintf("mallory%d@evil.example", n)
					user := k.SignUp(mail)
					if proven {
						k.Must(kit.Err(k.Users().UpdatePhone(k.Ctx, user.ID, fmt.Sprintf("+1415555018%d", n))))
						k.Must(kit.Err(k.Users().UpdatePhoneVerification(k.Ctx, user.ID, true)))
					}
					_, a := k.SignIn(mail)
					k.Must(kit.Err(a.CreatePhoneChange(k.Ctx, kit.Phone, kit.Password)))
					code := next26(k, notify.PhoneChange, kit.Phone).Secret
					for range 5 {
						err := kit.Err(a.ConfirmPhoneChange(k.Ctx, kit.OtherCode(code), ""))
						if errors.Is(err, latchkey.ErrRateLimitExceeded) {
							return
						}
						if !errors.Is(err, latchkey.ErrInvalidToken) {
							k.Fatal(err)
						}
						guesses++
					}
				}
				k.Errorf("%d wrong codes for one number were compared without a pause", guesses)
			})
		})
	}
}

// A right code for a number of the attacker's own does not pay for guesses at another one.
func TestAttack26AnOwnCodeDoesNotPayForGuessesAtANumber(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user := k.SignUp(thiefMail)
		k.Must(kit.Err(k.Users().UpdateEmailVerification(k.Ctx, user.ID, true)))
		_, a := k.SignIn(thiefMail)
		prove26(k, a, thiefPhone)
		own, other := thiefPhone2, thiefPhone
		guesses := 0
		for range 8 {
			k.Must(kit.Err(a.CreatePhoneChange(k.Ctx, kit.Phone, kit.Password)))
			code := next26(k, notify.PhoneChange, kit.Phone).Secret
			for range 5 {
				err := kit.Err(a.ConfirmPhoneChange(k.Ctx, kit.OtherCode(code), ""))
				if errors.Is(err, latchkey.ErrRateLimitExceeded) {
					return
				}
				if !errors.Is(err, latchkey.ErrInvalidToken) {
					k.Fatal(err)
				}
				guesses++
			}
			k.Must(kit.Err(a.CreatePhoneChange(k.Ctx, own, kit.Password))) // and a right one, of a number of theirs
			k.Must(kit.Err(a.ConfirmPhoneChange(k.Ctx, next26(k, notify.PhoneChange, own).Secret, "")))
			own, other = other, own
		}
		k.Errorf("%d wrong codes for one number were compared without a pause", guesses)
	})
}

// A thief who has proven a number of their own and changed it by proof holds a link. After the owner
// has recovered the account by mail and put their own number there, it must not let the thief in.
func TestAttack26AThiefsLinkDoesNotOutliveTheOwnersRecovery(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user, thief := owned26(k)
		prove26(k, thief, thiefPhone)
		k.Clock.Advance(time.Second)
		thiefs := movePhone26(k, thief, thiefPhone, thiefPhone2)
		k.Clock.Advance(time.Hour)
		k.Must(k.Recover(k.Recovery()))
		s, err := k.Visitor.CreateEmailPasswordSession(k.Ctx, kit.Ada, kit.FreshPassword)
		k.Must(err)
		owner, err := k.Visitor.Authenticate(k.Ctx, s.Secret.Reveal())
		k.Must(err)
		k.Must(kit.Err(owner.UpdatePhone(k.Ctx, kit.OwnPhone, kit.FreshPassword)))
		k.Clock.Advance(time.Hour)
		if kit.Err(k.Visitor.RestoreAddress(k.Ctx, user.ID, thiefs)) != nil {
			return
		}
		k.Must(kit.Err(k.Visitor.ConfirmRecovery(k.Ctx, user.ID, k.Recovery().Secret, "yet another horse"))) // the owner, again
		if s, err := bySMS26(k, thiefPhone); err == nil && s.UserID == user.ID && full(k, s.Secret) {
			k.Error("the thief is in by the number of the link")
		}
	})
}

// A signed-in stranger does not learn from a conflict whether an address has an account or is held.
func TestAttack26AConflictDoesNotTellAHeldAddressFromATakenOne(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		_, owner := owned26(k)
		move26(k, owner, kit.Ada, "countess@example.org")
		k.SignUp(kit.Bob)
		_, stranger := k.SignIn(kit.Bob)
		change := func(to string) error {
			return kit.Err(stranger.CreateEmailChange(k.Ctx, latchkey.NewEmailChange{Email: to}, kit.Password))
		}
		update := func(to string) error { return kit.Err(stranger.UpdateEmail(k.Ctx, to, kit.Password)) }
		for what, ask := range map[string]func(string) error{"change": change, "update": update} {
			if held, taken := ask(kit.Ada), ask("countess@example.org"); held.Error() != taken.Error() {
				k.Errorf("%s: held: %v; taken: %v", what, held, taken)
			}
		}
	})
}

// While an address is held it does not become another user's target either: the owner's link could
// not restore it.
func TestAttack26AHeldAddressBecomesNobodysTarget(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user, thief := owned26(k)
		owners := move26(k, thief, kit.Ada, thiefMail)
		other := k.SignUp(kit.Bob)
		_ = kit.Err(k.Users().CreateTarget(k.Ctx, other.ID, latchkey.NewTarget{ProviderType: latchkey.TargetEmail, Identifier: kit.Ada}))
		if err := kit.Err(k.Visitor.RestoreAddress(k.Ctx, user.ID, owners)); err != nil {
			k.Errorf("the owner's link: %v", err)
		}
	})
}

// The password that the thief knows opens nothing once the account is restored, also where the policy
// keeps sessions when the password changes: a session that the thief begins between the owner's two
// clicks must not become a full one.
func TestAttack26ASessionOfTheOldPasswordDoesNotOutliveTheNewOne(t *testing.T) {
	kit.OnEveryStore(t, latchkey.Policy{Sessions: latchkey.SessionPolicy{KeepOnPasswordChange: true}}, func(k *kit.Kit) {
		user, thief := owned26(k)
		owners := move26(k, thief, kit.Ada, thiefMail)
		token, err := k.Visitor.RestoreAddress(k.Ctx, user.ID, owners)
		k.Must(err)
		s, err := k.Visitor.CreateEmailPasswordSession(k.Ctx, kit.Ada, kit.Password)
		if err != nil {
			return
		}
		if full(k, s.Secret) {
			k.Error("the thief is in before the new password")
		}
		k.Must(kit.Err(k.Visitor.ConfirmRecovery(k.Ctx, user.ID, token.Secret.Reveal(), kit.FreshPassword)))
		if full(k, s.Secret) {
			k.Error("the thief's session is full since the owner has set a new password")
		}
	})
}

// A thief prepares their ways in minutes before the change of the address, and not after it. They
// must go with the restoration too.
func TestAttack26WhatAThiefPlantsBeforeTheChangeGoesToo(t *testing.T) {
	for _, by := range []string{"number", "identity"} {
		t.Run(by, func(t *testing.T) {
			kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
				k.SignUp(kit.Ada)
				k.Must(kit.Err(k.Users().UpdateEmailVerification(k.Ctx, k.IDOf(kit.Ada), true)))
				k.Clock.Advance(30 * 24 * time.Hour)
				session, thief := k.SignIn(kit.Ada)
				who := oauth.Profile{Subject: "thief", Email: "oauth@evil.example", EmailVerified: true}
				if by == "number" {
					prove26(k, thief, thiefPhone)
				} else {
					k.Must(kit.Err(k.LinkBy(k.Visitor, session.Secret, k.Acme, who)))
				}
				k.Clock.Advance(time.Minute)
				id := session.UserID
				owners := move26(k, thief, kit.Ada, thiefMail)
				k.Clock.Advance(time.Hour)
				restore26(k, id, owners)
				var s *latchkey.Session
				if by == "number" {
					s, _ = bySMS26(k, thiefPhone)
				} else {
					s = k.SignInBy(k.Visitor, k.Acme, who)
				}
				if s != nil && s.UserID == id && full(k, s.Secret) {
					k.Error("the thief is in, after the owner has restored the account and set a password")
				}
			})
		})
	}
}

// A user without a password has left a mailbox, linked a provider and switched MFA on. Whoever reads
// the old mailbox must not get rid of the provider by the link, and so of the second factor.
func TestAttack26TheLinkTakesAwayNoProviderThatIsASecondFactor(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		const to = "countess@example.org"
		session := byMagicLink(k, kit.Ada)
		ada, err := k.Visitor.Authenticate(k.Ctx, session.Secret.Reveal())
		k.Must(err)
		k.Must(kit.Err(ada.ConfirmEmailChange(k.Ctx, ask26(k, ada, to, ""), kit.UndoURL)))
		undo := next26(k, notify.EmailChanged, kit.Ada).Secret
		k.Clock.Advance(time.Minute)
		k.Must(kit.Err(ada.UpdateMFA(k.Ctx, true)))
		k.Must(kit.Err(k.LinkBy(k.Visitor, session.Secret, k.Acme, oauth.Profile{Subject: "ada", Email: "ada@provider.example", EmailVerified: true})))
		if full(k, byMagicLink(k, to).Secret) {
			k.Fatal("the mailbox alone passes before")
		}
		k.Clock.Advance(time.Hour)
		k.Must(kit.Err(k.Visitor.RestoreAddress(k.Ctx, session.UserID, undo)))
		if full(k, byMagicLink(k, kit.Ada).Secret) {
			k.Error("the old mailbox alone opens an account with MFA on")
		}
	})
}

// An address that its reader has only verified in the account of a stranger is not held for that
// stranger: the reader gets an account of their own, as before.
func TestAttack26NobodysAddressIsHeldForAStranger(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user := k.SignUp(kit.Ada)
		_, attacker := k.SignIn(kit.Ada)
		prove26(k, attacker, thiefPhone)
		k.Must(kit.Err(attacker.CreateEmailVerification(k.Ctx, kit.VerifyURL)))
		m := next26(k, notify.EmailVerification, kit.Ada)
		k.Must(kit.Err(k.Visitor.ConfirmEmailVerification(k.Ctx, m.UserID, m.Secret))) // the victim, who did not look closely
		k.Must(kit.Err(attacker.ConfirmEmailChange(k.Ctx, ask26(k, attacker, thiefMail, kit.Password), kit.UndoURL)))
		token, err := k.Users().Guest(latchkey.Client{}).CreateMagicURLToken(k.Ctx, latchkey.NewMagicURLToken{Email: kit.Ada})
		k.Must(err)
		s, err := k.Visitor.CreateSession(k.Ctx, token.UserID, token.Secret.Reveal())
		if err != nil || s.UserID == user.ID {
			k.Errorf("the victim cannot use their own address: %v", err)
		}
	})
}
