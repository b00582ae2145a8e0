package attack_test

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/notify"
	"example.com/latchkey/oauth"
	"example.com/latchkey/store"
)

// ---- rules that hold ----

// Nothing of the account changes before the new address is proven in a session of its user, and the
// reader of a mail that went astray gets nothing by it.
func TestAttack26NothingChangesBeforeTheProof(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user, owner := owned26(k)
		before := *row26(k, user.ID)
		secret := ask26(k, owner, thiefMail, kit.Password)
		k.Same("the user", *row26(k, user.ID), before)
		k.SignUp(kit.Bob)
		_, bob := k.SignIn(kit.Bob)
		byJWT, _ := k.ByJWT(user.ID, "")
		for what, use := range map[string]func() error{
			"his own session": func() error { return kit.Err(bob.ConfirmEmailChange(k.Ctx, secret, "")) },
			"a number":        func() error { return kit.Err(owner.ConfirmPhoneChange(k.Ctx, secret, "")) },
			"sign in":         func() error { return kit.Err(k.Visitor.CreateSession(k.Ctx, user.ID, secret)) },
			"verify":          func() error { return kit.Err(k.Visitor.ConfirmEmailVerification(k.Ctx, user.ID, secret)) },
			"verify in":       func() error { return kit.Err(owner.ConfirmEmailVerification(k.Ctx, secret)) },
			"recover":         func() error { return kit.Err(k.Visitor.ConfirmRecovery(k.Ctx, user.ID, secret, kit.FreshPassword)) },
			"restore":         func() error { return kit.Err(k.Visitor.RestoreAddress(k.Ctx, user.ID, secret)) },
			"session":         func() error { return kit.Err(k.Visitor.Authenticate(k.Ctx, secret)) },
			"JWT":             func() error { return kit.Err(byJWT.ConfirmEmailChange(k.Ctx, secret, "")) },
		} {
			if err := use(); err == nil {
				k.Error(what)
			}
		}
		k.Same("the user", row26(k, user.ID).Email, kit.Ada)
		k.Must(kit.Err(owner.ConfirmEmailChange(k.Ctx, secret, "")))
		// The link for the old address serves nothing but to restore it.
		undo := next26(k, notify.EmailChanged, kit.Ada).Secret
		for what, use := range map[string]func() error{
			"change":  func() error { return kit.Err(owner.ConfirmEmailChange(k.Ctx, undo, "")) },
			"sign in": func() error { return kit.Err(k.Visitor.CreateSession(k.Ctx, user.ID, undo)) },
			"verify":  func() error { return kit.Err(k.Visitor.ConfirmEmailVerification(k.Ctx, user.ID, undo)) },
			"recover": func() error { return kit.Err(k.Visitor.ConfirmRecovery(k.Ctx, user.ID, undo, kit.FreshPassword)) },
			"another": func() error { return kit.Err(k.Visitor.RestoreAddress(k.Ctx, k.IDOf(kit.Bob), undo)) },
		} {
			if err := use(); !errors.Is(err, latchkey.ErrInvalidToken) {
				k.Errorf("undo as %s: %v", what, err)
			}
		}
		k.Must(kit.Err(k.Visitor.RestoreAddress(k.Ctx, user.ID, undo)))
	})
}

// takers26 are all the ways to an e-mail address and a number.
func takers26(k *kit.Kit) map[string]func() error {
	k.Helper()
	k.SignUp(kit.Bob)
	session, bob := k.SignIn(kit.Bob)
	server := k.Users().Guest(latchkey.Client{})
	person := func(s string) oauth.Profile { return oauth.Profile{Subject: s, Email: kit.Ada, EmailVerified: true} }
	bobID := session.UserID
	return map[string]func() error{
		"sign up": func() error {
			return kit.Err(k.Visitor.CreateAccount(k.Ctx, latchkey.NewAccount{Email: kit.Ada, Password: kit.Password}))
		},
		"change": func() error {
			return kit.Err(bob.CreateEmailChange(k.Ctx, latchkey.NewEmailChange{Email: kit.Ada}, kit.Password))
		},
		"update": func() error { return kit.Err(bob.UpdateEmail(k.Ctx, kit.Ada, kit.Password)) },
		"magic link": func() error {
			token, err := server.CreateMagicURLToken(k.Ctx, latchkey.NewMagicURLToken{Email: kit.Ada})
			k.Must(err)
			return kit.Err(k.Visitor.CreateSession(k.Ctx, token.UserID, token.Secret.Reveal()))
		},
		"code": func() error {
			token, err := server.CreateEmailToken(k.Ctx, latchkey.NewEmailToken{Email: kit.Ada})
			k.Must(err)
			return kit.Err(k.Visitor.CreateSession(k.Ctx, token.UserID, token.Secret.Reveal()))
		},
		"SMS code": func() error {
			token, err := server.CreatePhoneToken(k.Ctx, "", kit.Phone)
			k.Must(err)
			return kit.Err(k.Visitor.CreateSession(k.Ctx, token.UserID, token.Secret.Reveal()))
		},
		"OAuth": func() error {
			return kit.Err(k.Visitor.FinishOAuth2(k.Ctx, k.Begin(k.Visitor, latchkey.OAuth2Request{Provider: "acme"}).Callback(k.Acme.Code(person("x")))))
		},
		"OAuth link":   func() error { return kit.Err(k.LinkBy(k.Visitor, session.Secret, k.Other, person("y"))) },
		"Users.Create": func() error { return kit.Err(k.Users().Create(k.Ctx, latchkey.NewUser{Email: kit.Ada})) },
		"Users.Create phone": func() error {
			return kit.Err(k.Users().Create(k.Ctx, latchkey.NewUser{Phone: kit.Phone}))
		},
		"Users.UpdateEmail":   func() error { return kit.Err(k.Users().UpdateEmail(k.Ctx, bobID, kit.Ada)) },
		"Users.UpdatePhone":   func() error { return kit.Err(k.Users().UpdatePhone(k.Ctx, bobID, kit.Phone)) },
		"Account.UpdatePhone": func() error { return kit.Err(bob.UpdatePhone(k.Ctx, kit.Phone, kit.Password)) },
		"Account.PhoneChange": func() error { return kit.Err(bob.CreatePhoneChange(k.Ctx, kit.Phone, kit.Password)) },
		"import": func() error {
			done, err := k.Import(k.Ctx, func(yield func(latchkey.Portable, error) bool) {
				yield(latchkey.Portable{Line: 1, User: &latchkey.PortableUser{ID: "imported", Email: kit.Ada, Phone: kit.Phone}}, nil)
			}, latchkey.ImportOptions{})
			k.Must(err)
			if kit.Err(k.Users().Get(k.Ctx, "imported")) == nil {
				return nil
			}
			return fmt.Errorf("%+v", done)
		},
	}
}

// moved26 has Ada change both addresses by proof.
func moved26(k *kit.Kit) (*latchkey.User, string) {
	k.Helper()
	user := k.Proven()
	_, ada := k.SignIn(kit.Ada)
	movePhone26(k, ada, kit.Phone, kit.OwnPhone)
	return user, move26(k, ada, kit.Ada, "countess@example.org")
}

// The reader of the former mailbox gets no account by an invitation from before the change.
func TestAttack26AnInvitationFromBeforeTheChangeTakesNothing(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user := k.SignUp(kit.Ada)
		k.Must(kit.Err(k.Users().UpdateEmailVerification(k.Ctx, user.ID, true)))
		_, ada := k.SignIn(kit.Ada)
		k.SignUp("teacher@example.org")
		_, teacher := k.SignIn("teacher@example.org")
		team, err := teacher.Teams().Create(k.Ctx, latchkey.NewTeam{Name: "Engines"})
		k.Must(err)
		k.Must(kit.Err(teacher.Teams().CreateMembership(k.Ctx, team.ID, latchkey.NewMembership{Email: kit.Ada, URL: kit.JoinURL, Roles: []string{"member"}})))
		invitation := k.MailOfKind(notify.Invitation, kit.Ada)
		u, err := url.Parse(invitation.Link)
		k.Must(err)
		undo := move26(k, ada, kit.Ada, "countess@example.org")
		session, err := k.Visitor.AcceptInvitation(k.Ctx, latchkey.InvitationLink{
			TeamID: u.Query().Get("teamId"), MembershipID: u.Query().Get("membershipId"), UserID: u.Query().Get("userId"), Secret: invitation.Message.Secret,
		})
		if err == nil {
			k.Errorf("the invitation was taken: %+v", session)
		}
		k.Must(kit.Err(k.Visitor.RestoreAddress(k.Ctx, user.ID, undo)))
	})
}

// A freed address is held for its user for seven days, against everybody.
func TestAttack26AFreedAddressIsHeldAgainstAll(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user, undo := moved26(k)
		k.Clock.Advance(holdTime - time.Minute)
		for what, take := range takers26(k) {
			for _, step := range []time.Duration{0, 59 * time.Second} { // a microsecond before the end, more or less
				k.Clock.Advance(step)
				if err := take(); err == nil {
					k.Errorf("%s took it", what)
				}
				k.Clock.Advance(-step)
			}
		}
		rows, err := record.Users.List(k.Ctx, k.Store, store.Query{Index: record.Users.Primary(), Limit: 100})
		k.Must(err)
		for _, u := range rows {
			if u.Email == kit.Ada || u.Phone == kit.Phone {
				k.Errorf("%s has it", u.ID)
			}
		}
		k.Must(kit.Err(k.Visitor.RestoreAddress(k.Ctx, user.ID, undo)))
	})
}

// Each of the ways is open again when the seven days are over, also before a sweep.
func TestAttack26AHoldEndsToTheSecond(t *testing.T) {
	for _, name := range []string{
		"sign up", "change", "update", "magic link", "code", "SMS code", "OAuth", "OAuth link", "invitation", "Users.Create",
		"Users.Create phone", "Users.UpdateEmail", "Users.UpdatePhone", "Account.UpdatePhone", "Account.PhoneChange", "import",
	} {
		t.Run(name, func(t *testing.T) {
			kit.OnAShare(t, kit.Documented, func(k *kit.Kit) {
				user, undo := moved26(k)
				k.Clock.Advance(holdTime)
				take := takers26(k)[name]
				if name == "invitation" { // while the address is held nothing is sent
					take = func() error {
						k.SignUp("teacher@example.org")
						_, teacher := k.SignIn("teacher@example.org")
						team, err := teacher.Teams().Create(k.Ctx, latchkey.NewTeam{Name: "Teachers"})
						k.Must(err)
						k.Must(kit.Err(teacher.Teams().CreateMembership(k.Ctx, team.ID, latchkey.NewMembership{Email: kit.Ada, URL: kit.JoinURL, Roles: []string{"member"}})))
						return kit.Err(k.Visitor.AcceptInvitation(k.Ctx, k.InvitationTo(kit.Ada)))
					}
				}
				if err := take(); err != nil {
					k.Errorf("still held: %v", err)
				}
				if err := kit.Err(k.Visitor.RestoreAddress(k.Ctx, user.ID, undo)); !errors.Is(err, latchkey.ErrInvalidToken) {
					k.Errorf("the link: %v", err)
				}
			})
		})
	}
}

// Whatever runs at once, one user has the address, and one of many uses of a link counts.
func TestAttack26AtOnceOneUserHasTheAddress(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		const to = "wanted@example.org"
		user, ada := owned26(k)
		k.SignUp(kit.Bob)
		_, bob := k.SignIn(kit.Bob)
		mine := ask26(k, ada, to, kit.Password)
		his := ask26(k, bob, to, kit.Password)
		link, err := k.Users().Guest(latchkey.Client{}).CreateMagicURLToken(k.Ctx, latchkey.NewMagicURLToken{Email: to})
		k.Must(err)
		var mu sync.Mutex
		won := make(map[string]int)
		var wg sync.WaitGroup
		for name, do := range map[string]func() error{
			"ada": func() error { return kit.Err(ada.ConfirmEmailChange(k.Ctx, mine, "")) }, "bob": func() error { return kit.Err(bob.ConfirmEmailChange(k.Ctx, his, "")) },
			"link": func() error { return kit.Err(k.Visitor.CreateSession(k.Ctx, link.UserID, link.Secret.Reveal())) },
			"up": func() error {
				return kit.Err(k.Visitor.CreateAccount(k.Ctx, latchkey.NewAccount{Email: to, Password: kit.Password}))
			},
		} {
			for range 4 {
				wg.Go(func() {
					if do() == nil {
						mu.Lock()
						defer mu.Unlock()
						won[name]++
					}
				})
			}
		}
		wg.Wait()
		if won["ada"]+won["bob"] > 1 || won["link"] > 1 || won["ada"]+won["bob"]+won["link"] == 0 || won["up"] > 1 { // the link also signs the new owner in
			k.Errorf("%v", won)
		}
		rows, err := record.Users.List(k.Ctx, k.Store, store.Query{Index: record.Users.Primary(), Limit: 100})
		k.Must(err)
		n := 0
		for _, u := range rows {
			if u.Email == to {
				n++
			}
		}
		if n != 1 {
			k.Errorf("%d users have it: %v", n, won)
		}
		if won["ada"] == 0 {
			return
		}
		undo := next26(k, notify.EmailChanged, kit.Ada).Secret
		var restored int
		for range 6 {
			wg.Go(func() {
				if kit.Err(k.Visitor.RestoreAddress(k.Ctx, user.ID, undo)) == nil {
					mu.Lock()
					defer mu.Unlock()
					restored++
				}
			})
		}
		wg.Wait()
		if restored != 1 {
			k.Errorf("restored %d times", restored)
		}
	})
}

// What a thief does within the account leaves the owner's link good, and what they made since goes.
func TestAttack26NothingThatAThiefDoesVoidsTheOwnersLink(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user, thief := owned26(k)
		owners := move26(k, thief, kit.Ada, thiefMail)
		k.Clock.Advance(time.Second)
		long26(k, user.ID)
		thiefs := move26(k, thief, thiefMail, thiefMail2)
		k.Clock.Advance(time.Second)
		k.Must(kit.Err(thief.UpdatePassword(k.Ctx, latchkey.PasswordUpdate{New: "the thief's horse", Old: kit.Password})))
		k.Must(kit.Err(k.Visitor.RestoreAddress(k.Ctx, user.ID, thiefs))) // and takes the recovery of it
		_, err := k.Visitor.CreateRecovery(k.Ctx, latchkey.NewRecovery{Email: thiefMail, URL: kit.RecoverURL})
		k.Must(err)
		k.Must(kit.Err(k.Visitor.ConfirmRecovery(k.Ctx, user.ID, next26(k, notify.Recovery, thiefMail).Secret, "the thief's other horse")))
		s, err := k.Visitor.CreateEmailPasswordSession(k.Ctx, thiefMail, "the thief's other horse")
		k.Must(err)
		thief, err = k.Visitor.Authenticate(k.Ctx, s.Secret.Reveal())
		k.Must(err)
		k.Must(kit.Err(k.LinkBy(k.Visitor, s.Secret, k.Acme, oauth.Profile{Subject: "thief", Email: "oauth@evil.example", EmailVerified: true})))
		k.Must(kit.Err(thief.CreatePushTarget(k.Ctx, latchkey.NewPushTarget{Identifier: "device"})))
		k.Must(kit.Err(thief.UpdatePhone(k.Ctx, thiefPhone, "the thief's other horse")))
		k.Must(kit.Err(thief.UpdateEmail(k.Ctx, "planted@evil.example", "the thief's other horse")))
		if s := byMagicLink(k, "planted@evil.example"); s.UserID == user.ID {
			k.Error("a first proof claimed the account")
		}
		_, err = thief.CreatePhoneChange(k.Ctx, thiefPhone2, "the thief's other horse")
		k.Must(err)
		change := next26(k, notify.PhoneChange, thiefPhone2).Secret
		custom, err := k.Users().CreateToken(k.Ctx, user.ID, 64, time.Hour)
		k.Must(err)
		withSession, _ := k.ByJWT(user.ID, "")
		k.Clock.Advance(time.Second)
		token, err := k.Visitor.RestoreAddress(k.Ctx, user.ID, owners)
		k.Must(err)
		got := row26(k, user.ID)
		if got.Email != kit.Ada || !got.EmailVerified || got.Phone != "" || got.Providers != "" || !got.MustReset {
			k.Errorf("%+v", got)
		}
		for what, err := range map[string]error{
			"session": kit.Err(thief.User(k.Ctx)), "JWT": kit.Err(withSession.User(k.Ctx)),
			"change": kit.Err(thief.ConfirmPhoneChange(k.Ctx, change, "")), "token": kit.Err(k.Visitor.CreateSession(k.Ctx, user.ID, custom.Secret.Reveal())),
			"again": kit.Err(k.Visitor.RestoreAddress(k.Ctx, user.ID, owners)), "thief's link": kit.Err(k.Visitor.RestoreAddress(k.Ctx, user.ID, thiefs)),
		} {
			if err == nil {
				k.Errorf("%s still works", what)
			}
		}
		if s, err := k.Visitor.CreateEmailPasswordSession(k.Ctx, kit.Ada, "the thief's other horse"); err == nil && full(k, s.Secret) {
			k.Error("the thief's password opens the account")
		}
		k.Must(kit.Err(k.Visitor.ConfirmRecovery(k.Ctx, user.ID, token.Secret.Reveal(), kit.FreshPassword)))
		s, err = k.Visitor.CreateEmailPasswordSession(k.Ctx, kit.Ada, kit.FreshPassword)
		k.Must(err)
		if !full(k, s.Secret) {
			k.Error("the owner is not in")
		}
	})
}

// An attacker with an undo link of an account of their own puts the victim's address on it. However
// the victim comes, they do not come into that account, and the link gives nothing of theirs.
func TestAttack26APlantedAccountWithALinkIsNotClaimed(t *testing.T) {
	for name, come := range map[string]func(k *kit.Kit, a *latchkey.Account) string{
		"magic link": func(k *kit.Kit, _ *latchkey.Account) string { return byMagicLink(k, kit.Ada).UserID },
		"code": func(k *kit.Kit, _ *latchkey.Account) string {
			token, code := k.AskCode(kit.Ada)
			s, err := k.Visitor.CreateSession(k.Ctx, token.UserID, code)
			k.Must(err)
			return s.UserID
		},
		"verification, then link": func(k *kit.Kit, a *latchkey.Account) string {
			k.Must(kit.Err(a.CreateEmailVerification(k.Ctx, kit.VerifyURL)))
			m := next26(k, notify.EmailVerification, kit.Ada)
			k.Must(kit.Err(k.Visitor.ConfirmEmailVerification(k.Ctx, m.UserID, m.Secret)))
			return byMagicLink(k, kit.Ada).UserID
		},
		"OAuth": func(k *kit.Kit, _ *latchkey.Account) string {
			return k.SignInBy(k.Visitor, k.Acme, oauth.Profile{Subject: "ada", Email: kit.Ada, EmailVerified: true}).UserID
		},
	} {
		t.Run(name, func(t *testing.T) {
			kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
				user := k.SignUp(thiefMail)
				k.Must(kit.Err(k.Users().UpdateEmailVerification(k.Ctx, user.ID, true)))
				_, attacker := k.SignIn(thiefMail)
				undo := move26(k, attacker, thiefMail, thiefMail2)
				k.Must(kit.Err(attacker.UpdateEmail(k.Ctx, kit.Ada, kit.Password)))
				k.Clock.Advance(time.Hour)
				if got := come(k, attacker); got == user.ID {
					k.Error("the victim is in the attacker's account")
				}
				k.Must(kit.Err(k.Visitor.RestoreAddress(k.Ctx, user.ID, undo)))
				if got := k.IDOf(kit.Ada); got == user.ID {
					k.Error("the attacker has the victim's address")
				}
			})
		})
	}
}

// A recovery of a planted account with a link is neither sent nor good.
func TestAttack26APlantedAccountWithALinkIsNotRecovered(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user := k.SignUp(thiefMail)
		k.Must(kit.Err(k.Users().UpdateEmailVerification(k.Ctx, user.ID, true)))
		_, attacker := k.SignIn(thiefMail)
		move26(k, attacker, thiefMail, thiefMail2)
		k.Must(kit.Err(attacker.UpdateEmail(k.Ctx, kit.Ada, kit.Password)))
		token, err := k.Users().Guest(latchkey.Client{}).CreateRecovery(k.Ctx, latchkey.NewRecovery{Email: kit.Ada, URL: kit.RecoverURL})
		k.Must(err)
		if err := kit.Err(k.Visitor.ConfirmRecovery(k.Ctx, user.ID, token.Secret.Reveal(), kit.FreshPassword)); !errors.Is(err, latchkey.ErrInvalidToken) {
			k.Error(err)
		}
	})
}

// Five wrong codes void a change of the number, and the count goes on with new codes.
func TestAttack26FiveWrongCodesVoidAChange(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		_, a := owned26(k)
		k.Must(kit.Err(a.CreatePhoneChange(k.Ctx, kit.Phone, kit.Password)))
		code := next26(k, notify.PhoneChange, kit.Phone).Secret
		for range 5 {
			if err := kit.Err(a.ConfirmPhoneChange(k.Ctx, kit.OtherCode(code), "")); !errors.Is(err, latchkey.ErrInvalidToken) {
				k.Fatal(err)
			}
		}
		if err := kit.Err(a.ConfirmPhoneChange(k.Ctx, code, "")); !errors.Is(err, latchkey.ErrInvalidToken) {
			k.Errorf("the voided code: %v", err)
		}
		for n := range 30 {
			k.Must(kit.Err(a.CreatePhoneChange(k.Ctx, kit.Phone, kit.Password)))
			code := next26(k, notify.PhoneChange, kit.Phone).Secret
			if err := kit.Err(a.ConfirmPhoneChange(k.Ctx, kit.OtherCode(code), "")); errors.Is(err, latchkey.ErrRateLimitExceeded) {
				if err := kit.Err(a.ConfirmPhoneChange(k.Ctx, code, "")); !errors.Is(err, latchkey.ErrRateLimitExceeded) {
					k.Errorf("a right code while slowed: %v", err)
				}
				return
			}
			if n == 29 {
				k.Error("never slowed")
			}
		}
	})
}

// The secret of an undo link goes to the old address alone, and no words of the user go to the new
// one.
func TestAttack26MessagesOfAChange(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user := k.Proven()
		_, ada := k.SignIn(kit.Ada)
		k.Must(kit.Err(ada.UpdateName(k.Ctx, "Visit evil.example now")))
		secret := ask26(k, ada, thiefMail, kit.Password)
		k.Must(kit.Err(ada.ConfirmEmailChange(k.Ctx, secret, kit.UndoURL)))
		k.Must(kit.Err(ada.CreatePhoneChange(k.Ctx, thiefPhone, kit.Password)))
		code := next26(k, notify.PhoneChange, thiefPhone)
		k.Must(kit.Err(ada.ConfirmPhoneChange(k.Ctx, code.Secret, kit.UndoURL)))
		if code.Name != "" || code.Client.UserAgent != "" {
			k.Errorf("words to a stranger: %+v", code.Message)
		}
		undo := 0
		for _, m := range k.Drained(k.Engine) {
			switch {
			case m.Kind == notify.EmailChange && (m.Name != "" || m.Client.UserAgent != ""):
				k.Errorf("words to a stranger: %+v", m)
			case m.Kind != notify.EmailChanged && m.Kind != notify.PhoneChanged:
			case m.Secret.Reveal() == "" && m.Link.Reveal() == "":
			case m.Kind == notify.EmailChanged && m.To == kit.Ada, m.Kind == notify.PhoneChanged && m.To == kit.Phone:
				undo++
				if !strings.Contains(m.Link.Reveal(), m.Secret.Reveal()) || m.UserID != user.ID {
					k.Errorf("%+v", m)
				}
			default:
				k.Errorf("the secret of %s went to %s", m.Kind, m.To)
			}
		}
		if undo != 2 {
			k.Errorf("%d undo links", undo)
		}
	})
}

// No call of a guest tells whether an address is held, by its answer, its messages to strangers or the
// number of its reads.
func TestAttack26NoGuestLearnsThatAnAddressIsHeld(t *testing.T) {
	for name, ask := range map[string]func(k *kit.Kit, to string) error{
		"recovery": func(k *kit.Kit, to string) error {
			return kit.Err(k.Visitor.CreateRecovery(k.Ctx, latchkey.NewRecovery{Email: to, URL: kit.RecoverURL}))
		},
		"magic link": func(k *kit.Kit, to string) error {
			return kit.Err(k.Visitor.CreateMagicURLToken(k.Ctx, latchkey.NewMagicURLToken{Email: to}))
		},
		"code": func(k *kit.Kit, to string) error {
			return kit.Err(k.Visitor.CreateEmailToken(k.Ctx, latchkey.NewEmailToken{Email: to}))
		},
		"password": func(k *kit.Kit, to string) error {
			return kit.Err(k.Visitor.CreateEmailPasswordSession(k.Ctx, to, "wrong horse battery"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			kit.OnAShare(t, kit.Documented, func(k *kit.Kit) {
				moved26(k)
				type seen struct {
					err   string
					reads string
				}
				look := func(to string) seen {
					k.Store.Reset()
					err := ask(k, to)
					return seen{fmt.Sprint(err), fmt.Sprint(k.Store.Reads.Load())}
				}
				held, free, taken := look(kit.Ada), look("nobody@example.org"), look("countess@example.org")
				if held != free || held != taken {
					k.Errorf("held %v, free %v, taken %v", held, free, taken)
				}
			})
		})
	}
}

// A change whose caller hangs up is done or not done, and one whose store fails leaves the account and
// the link as they were, or the account changed with the owner's link made.
func TestAttack26AChangeIsWholeOrNotAtAll(t *testing.T) {
	kit.OneByOne(t, kit.Documented, func(k *kit.Kit) {
		for _, after := range []bool{false, true} {
			for n := 1; n < 200; n++ {
				user, a := owned26(k)
				secret := ask26(k, a, thiefMail, kit.Password)
				reached := k.Failing(n, after)
				err := kit.Err(a.ConfirmEmailChange(k.Ctx, secret, ""))
				done := !reached()
				got := row26(k, user.ID)
				tokens, failed := record.Tokens.List(k.Ctx, k.Store, store.Query{Index: record.Tokens.Index("user"), Equal: []store.Value{store.Text(user.ID)}, Limit: 100})
				k.Must(failed)
				var kinds []string
				for _, t := range tokens {
					kinds = append(kinds, t.Kind)
				}
				if moved, link := got.Email == thiefMail, slices.Contains(kinds, "email-undo"); moved != link || err == nil && !moved || moved == slices.Contains(kinds, "email-change") {
					k.Fatalf("fault %d %v: %v: %q with %v", n, after, err, got.Email, kinds)
				}
				k.DeleteAll()
				k.Box.Take()
				if done {
					break
				}
			}
		}
	})
}

// Strangers who use up the messages to an address do not keep its undo link back.
func TestAttack26AFloodHidesNoUndoLink(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.Engine = k.LimitedEngine(nil)
		k.Visitor = k.Guest(kit.At(kit.Attacker))
		user, thief := owned26(k)
		secret := ask26(k, thief, thiefMail, kit.Password)
		for n := range 80 {
			_, _ = k.Guest(kit.At(fmt.Sprintf("198.51.100.%d", n+1))).CreateMagicURLToken(k.Ctx, latchkey.NewMagicURLToken{Email: kit.Ada})
		}
		k.Must(kit.Err(thief.ConfirmEmailChange(k.Ctx, secret, kit.UndoURL)))
		k.Must(kit.Err(k.Visitor.RestoreAddress(k.Ctx, user.ID, next26(k, notify.EmailChanged, kit.Ada).Secret)))
	})
}

// A thief who blocks the account does not void the owner's link: it works once the server has
// unblocked the user. A second change meanwhile, or the end of it, does not shorten the hold.
func TestAttack26ABlockVoidsNoLink(t *testing.T) {
	kit.OnEveryStore(t, latchkey.Policy{Sessions: latchkey.SessionPolicy{EndOnBlock: true}}, func(k *kit.Kit) {
		user, thief := owned26(k)
		owners := move26(k, thief, kit.Ada, thiefMail)
		k.Must(kit.Err(thief.Block(k.Ctx)))
		if err := kit.Err(k.Visitor.RestoreAddress(k.Ctx, user.ID, owners)); !errors.Is(err, latchkey.ErrUserBlocked) {
			k.Error(err)
		}
		k.Must(kit.Err(k.Users().UpdateStatus(k.Ctx, user.ID, true)))
		k.Must(kit.Err(k.Visitor.RestoreAddress(k.Ctx, user.ID, owners)))
	})
}

// A link restores an account with an authenticator without taking that away: the reader of an old
// mailbox still owes it after the new password.
func TestAttack26TheLinkSkipsNoSecondFactor(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		account, app := withTOTP(k)
		k.Clock.Advance(time.Minute)
		_, pending := k.Owing(k.Visitor)
		answered, err := k.Answers(pending, latchkey.FactorTOTP, app.Code())
		k.Must(err)
		ada, err := k.Visitor.Authenticate(k.Ctx, answered.Secret.Reveal())
		k.Must(err)
		undo := move26(k, ada, kit.Ada, "countess@example.org")
		k.Clock.Advance(time.Hour)
		restore26(k, account.UserID(), undo)
		in, err := k.Visitor.CreateEmailPasswordSession(k.Ctx, kit.Ada, kit.FreshPassword)
		k.Must(err)
		answerByMail(k, pendingOf(k, in.Secret), &in)
		if full(k, in.Secret) || full(k, byMagicLink(k, kit.Ada).Secret) {
			k.Error("the mailbox alone passes")
		}
	})
}
