package latchkey_test

import (
	"errors"
	"testing"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/notify"
	"example.com/latchkey/store"
)

func TestARestoredAddressEndsEverySessionAndAsksForAPassword(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user, _ := provenAda(k)
		byJWT, _ := k.ByJWT(user.ID, "")
		k.Must(k.Users().DeleteSessions(k.Ctx, user.ID))
		alone, _ := k.ByJWT(user.ID, "") // without a session
		_, thief := k.SignIn(kit.Ada)
		move(k, thief, countess)
		k.Must(kit.Err(thief.UpdatePassword(k.Ctx, latchkey.PasswordUpdate{New: "the thief's horse", Old: kit.Password})))
		undo := undoOf(k, kit.Ada)
		looked, err := k.Visitor.InspectToken(k.Ctx, user.ID, undo.Secret)
		k.Must(err)
		token, err := k.Visitor.RestoreAddress(k.Ctx, user.ID, undo.Secret)
		k.Must(err)
		if looked.UserID != token.UserID || token.Secret.IsZero() {
			k.Errorf("%+v", token)
		}
		got, err := k.Users().Get(k.Ctx, user.ID)
		k.Must(err)
		if got.Email != kit.Ada || !got.EmailVerification {
			k.Errorf("%+v", got)
		}
		for _, a := range []*latchkey.Account{thief, byJWT, alone} {
			if err := kit.Err(a.User(k.Ctx)); err == nil {
				k.Error("a session or a JWT is good")
			}
		}
		answers(k, "the link once more", latchkey.ErrInvalidToken, func() error { return kit.Err(k.Visitor.RestoreAddress(k.Ctx, user.ID, undo.Secret)) })
		session, err := k.Visitor.CreateEmailPasswordSession(k.Ctx, kit.Ada, "the thief's horse")
		k.Must(err)
		if err := kit.Err(k.Visitor.Authenticate(k.Ctx, session.Secret.Reveal())); !errors.Is(err, latchkey.ErrPasswordResetRequired) {
			k.Errorf("the thief's password: %v", err)
		}
		k.Must(kit.Err(k.Visitor.ConfirmRecovery(k.Ctx, token.UserID, token.Secret.Reveal(), kit.FreshPassword)))
		again, err := k.Visitor.CreateEmailPasswordSession(k.Ctx, kit.Ada, kit.FreshPassword)
		k.Must(err)
		k.Must(kit.Err(k.Visitor.Authenticate(k.Ctx, again.Secret.Reveal())))
	})
}

// What a thief does after the change does not make the link void, and their own addresses get none.
func TestTheLinkForTheEarlierAddressWins(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user, thief := provenAda(k)
		move(k, thief, "thief@example.org")
		move(k, thief, "thief2@example.org")
		k.Must(kit.Err(thief.UpdateEmail(k.Ctx, "thief3@example.org", kit.Password)))
		if own := undoOf(k, "thief@example.org"); !own.Message.Secret.IsZero() || own.Link != "" {
			k.Error("an address that came a moment ago has a link")
		}
		k.Must(kit.Err(k.Visitor.RestoreAddress(k.Ctx, user.ID, undoOf(k, kit.Ada).Secret)))
		got, err := k.Users().Get(k.Ctx, user.ID)
		k.Must(err)
		if got.Email != kit.Ada {
			k.Errorf("%s", got.Email)
		}
	})
}

// Back and forth: the address in between leaves no link to a thief, also where the server has vouched for
// it.
func TestAChangeBackLeavesNoLinkToTheAddressInBetween(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user, thief := provenAda(k)
		move(k, thief, "thief@example.org")
		k.ChangeUser(user.ID, func(u *record.User) { u.EmailProven = time.Time{} })
		move(k, thief, "thief2@example.org")
		undo, between := undoOf(k, kit.Ada), undoOf(k, "thief@example.org")
		move(k, thief, kit.Ada)
		back := undoOf(k, "thief2@example.org")
		if !back.Message.Secret.IsZero() || back.Link != "" {
			k.Errorf("a link to %s", back.To)
		}
		answers(k, "the link in between", latchkey.ErrInvalidToken, func() error { return kit.Err(k.Visitor.RestoreAddress(k.Ctx, user.ID, between.Secret)) })
		k.Must(kit.Err(k.Visitor.RestoreAddress(k.Ctx, user.ID, undo.Secret)))
	})
}

// A mailbox takes no second factor away, and what came to the account since the change goes.
func TestARestoredAddressTakesAwayWhatCameSince(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user, thief := provenAda(k)
		session, _ := k.SignIn(kit.Ada)
		move(k, thief, countess)
		undo := undoOf(k, kit.Ada)
		k.Must(kit.Err(k.LinkBy(k.Visitor, session.Secret, k.Acme, acmeAda)))
		change, err := thief.CreatePhoneChange(k.Ctx, kit.Phone, kit.Password)
		k.Must(err)
		k.Must(kit.Err(thief.ConfirmPhoneChange(k.Ctx, k.MailOf(change, kit.Phone).Secret, "")))
		k.Must(kit.Err(k.Visitor.RestoreAddress(k.Ctx, user.ID, undo.Secret)))
		got, err := k.Users().Get(k.Ctx, user.ID)
		k.Must(err)
		linked, err := k.Users().Identities(k.Ctx)
		k.Must(err)
		if got.Phone != "" || linked.Total != 0 {
			k.Errorf("%s, %d identities", got.Phone, linked.Total)
		}
	})
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user, account := provenAda(k)
		k.Must(kit.Err(k.Users().UpdatePhone(k.Ctx, user.ID, kit.Phone)))
		move(k, account, countess)
		undo := undoOf(k, kit.Ada)
		k.Must(kit.Err(k.Users().UpdatePhoneVerification(k.Ctx, user.ID, true)))
		k.Must(kit.Err(k.Users().UpdateMFA(k.Ctx, user.ID, true)))
		k.Must(kit.Err(k.Visitor.RestoreAddress(k.Ctx, user.ID, undo.Secret)))
		got, err := k.Users().Get(k.Ctx, user.ID)
		k.Must(err)
		if got.Phone != kit.Phone || !got.PhoneVerification || !got.MFA {
			k.Errorf("%+v", got)
		}
	})
}

// Without a password nothing has to be set anew, so the end of the sessions and of the JWTs alone keeps a
// thief out. The session was made by the other address, which stays.
func TestARestoredAddressEndsTheSessionsOfAUserWithoutAPassword(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user, err := k.Users().Create(k.Ctx, latchkey.NewUser{Email: kit.Ada, Phone: kit.Phone})
		k.Must(err)
		k.Must(kit.Err(k.Users().UpdateEmailVerification(k.Ctx, user.ID, true)))
		k.Must(kit.Err(k.Users().UpdatePhoneVerification(k.Ctx, user.ID, true)))
		alone, _ := k.ByJWT(user.ID, "") // before there is a session
		token, err := k.Visitor.CreatePhoneToken(k.Ctx, "", kit.Phone)
		k.Must(err)
		session, err := k.Visitor.CreateSession(k.Ctx, token.UserID, k.MailOf(token, kit.Phone).Secret)
		k.Must(err)
		thief, err := k.Visitor.Authenticate(k.Ctx, session.Secret.Reveal())
		k.Must(err)
		change, err := thief.CreateEmailChange(k.Ctx, latchkey.NewEmailChange{Email: countess, URL: kit.VerifyURL}, "")
		k.Must(err)
		k.Must(kit.Err(thief.ConfirmEmailChange(k.Ctx, k.MailOf(change, countess).Secret, "")))
		restored, err := k.Visitor.RestoreAddress(k.Ctx, user.ID, undoOf(k, kit.Ada).Secret)
		k.Must(err)
		if !restored.Secret.IsZero() {
			k.Error("the answer sets a password")
		}
		k.Refuses("the session", latchkey.ErrUnauthorized, func() error { return kit.Err(thief.User(k.Ctx)) })
		k.Refuses("the JWT", latchkey.ErrUnauthorized, func() error { return kit.Err(alone.User(k.Ctx)) })
	})
}

// Who has a number alone cannot set a password anew, so the one that a thief may know is removed.
func TestARestoredNumberRemovesThePasswordOfAUserWithoutAMailbox(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user, err := k.Users().Create(k.Ctx, latchkey.NewUser{Email: kit.Ada, Phone: kit.Phone, Password: kit.Password})
		k.Must(err)
		k.Must(kit.Err(k.Users().UpdatePhoneVerification(k.Ctx, user.ID, true)))
		_, thief := k.SignIn(kit.Ada)
		change, err := thief.CreatePhoneChange(k.Ctx, kit.OwnPhone, kit.Password)
		k.Must(err)
		k.Must(kit.Err(thief.ConfirmPhoneChange(k.Ctx, k.MailOf(change, kit.OwnPhone).Secret, "")))
		k.Must(kit.Err(k.Visitor.RestoreAddress(k.Ctx, user.ID, k.MailOfKind(notify.PhoneChanged, kit.Phone).Secret)))
		got, err := k.Users().Get(k.Ctx, user.ID)
		k.Must(err)
		hash, err := k.Users().PasswordHash(k.Ctx, user.ID)
		k.Must(err)
		if got.Phone != kit.Phone || !hash.IsZero() {
			k.Errorf("%s, with a password: %v", got.Phone, !hash.IsZero())
		}
	})
}

// A provider that was linked long before the change is the owner's.
func TestARestoredAddressLeavesAnOldIdentity(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user, _ := provenAda(k)
		session, _ := k.SignIn(kit.Ada)
		k.Must(kit.Err(k.LinkBy(k.Visitor, session.Secret, k.Acme, acmeAda)))
		k.Clock.Advance(8 * 24 * time.Hour)
		_, account := k.SignIn(kit.Ada)
		move(k, account, countess)
		k.Must(kit.Err(k.Visitor.RestoreAddress(k.Ctx, user.ID, undoOf(k, kit.Ada).Secret)))
		linked, err := k.Users().Identities(k.Ctx)
		k.Must(err)
		if linked.Total != 1 {
			k.Errorf("%d identities", linked.Total)
		}
	})
}

// After the release, and after the link was used, nothing says that an address can be restored.
func TestNothingIsHeldOnceALinkIsGone(t *testing.T) {
	for what, end := range map[string]func(k *kit.Kit, id string){
		"released": func(k *kit.Kit, id string) {
			k.Forget()
			k.Must(k.Users().ReleaseAddresses(k.Ctx, id))
			k.Same("log", k.Logs(), []string{"user.update by server"})
		},
		"restored": func(k *kit.Kit, id string) {
			k.Must(kit.Err(k.Visitor.RestoreAddress(k.Ctx, id, undoOf(k, kit.Ada).Secret)))
		},
	} {
		t.Run(what, func(t *testing.T) {
			kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
				user, account := provenAda(k)
				move(k, account, countess)
				end(k, user.ID)
				k.ChangeUser(user.ID, func(u *record.User) {
					if !u.Undo.IsZero() {
						k.Errorf("until %v", u.Undo)
					}
				})
			})
		})
	}
}

// The links for both addresses serve in any order, also when a clock was set back between two
// changes.
func TestLinksKeepTheirOrderWhenTheClockIsSetBack(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user := k.Proven()
		_, account := k.SignIn(kit.Ada)
		move(k, account, countess)
		mail := undoOf(k, kit.Ada)
		k.Clock.Advance(-30 * time.Second)
		number := moveNumber(k, account, kit.OwnPhone)
		k.Clock.Advance(time.Minute)
		for _, secret := range []string{number.Secret, mail.Secret} {
			k.Must(kit.Err(k.Visitor.RestoreAddress(k.Ctx, user.ID, secret)))
		}
		got, err := k.Users().Get(k.Ctx, user.ID)
		if err != nil || got.Email != kit.Ada || got.Phone != kit.Phone {
			k.Errorf("%+v, %v", got, err)
		}
	})
}

// A link that a machine has made whose clock was ahead by more than Config.MaxClockStep counts for
// nothing, and gives its time to no other link.
func TestALinkFromAheadOfTheClockDatesNoOtherLink(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user := k.Proven()
		k.Clock.Advance(40 * 24 * time.Hour)
		_, account := k.SignIn(kit.Ada)
		move(k, account, countess)
		k.Clock.Advance(-40 * 24 * time.Hour)
		_, account = k.SignIn(countess)
		number := moveNumber(k, account, kit.OwnPhone)
		k.Must(kit.Err(k.Visitor.RestoreAddress(k.Ctx, user.ID, number.Secret)))
	})
}

// After EndAll nothing is left that would make the mailbox of a new address another person's.
func TestEndAllLeavesNothingOfAHeldAddress(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user := k.Proven()
		_, account := k.SignIn(kit.Ada)
		move(k, account, countess)
		moveNumber(k, account, kit.OwnPhone)
		k.Must(k.EndAll(k.Ctx))
		row, err := record.Users.Find(k.Ctx, k.Store, record.Users.Primary(), store.Text(user.ID))
		k.Must(err)
		if !row.Undo.IsZero() {
			k.Errorf("an address can be restored until %v", row.Undo)
		}
		k.SignUp(kit.Ada)
	})
}

func TestAChangeBackOfTheMailLeavesTheLinkForTheNumber(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user := k.Proven()
		_, account := k.SignIn(kit.Ada)
		move(k, account, countess)
		k.Clock.Advance(time.Minute)
		number := moveNumber(k, account, kit.OwnPhone)
		k.Clock.Advance(time.Minute)
		move(k, account, kit.Ada)
		k.Must(kit.Err(k.Visitor.RestoreAddress(k.Ctx, user.ID, number.Secret)))
	})
}

// A change to an address that was held once is a change like any other.
func TestAChangeToAnAddressWhoseHoldIsOverHasALink(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		_, account := provenAda(k)
		move(k, account, countess)
		k.Clock.Advance(8 * 24 * time.Hour)
		move(k, account, kit.Ada)
		if undoOf(k, countess).Secret == "" {
			k.Error("the notice to the former address has no link")
		}
	})
}

// As for any address of another user: the user of the record is refused, and the target left out.
func TestAnImportTakesNoHeldAddress(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		_, account := provenAda(k)
		move(k, account, countess)
		outcomes := make(map[string]latchkey.ImportOutcome)
		_, err := k.Import(k.Ctx, the(
			latchkey.Portable{User: &latchkey.PortableUser{ID: "another", Email: kit.Ada}},
			latchkey.Portable{User: &latchkey.PortableUser{ID: "third", Email: kit.Bob, Targets: []latchkey.Target{
				{ID: "own", ProviderType: "email", Identifier: kit.Bob}, {ID: "held", ProviderType: "email", Identifier: kit.Ada},
			}}},
		), latchkey.ImportOptions{OnResult: func(r latchkey.ImportResult) { outcomes[r.ID] = r.Outcome }})
		k.Must(err)
		if outcomes["another"] != latchkey.ImportRefused || outcomes["third"] != latchkey.ImportCreated {
			k.Errorf("%v", outcomes)
		}
		third, err := k.Users().Get(k.Ctx, "third")
		k.Must(err)
		if len(third.Targets) != 1 || third.Targets[0].Identifier != kit.Bob {
			k.Errorf("%+v", third.Targets)
		}
	})
}
