package latchkey_test

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
	"example.com/latchkey/notify"
)

const fresh = "another horse battery"

// recovery asks for a recovery of ada and returns what is in the mail.
func (k *kit) recovery() notify.Message {
	k.Helper()
	token, err := k.guest.CreateRecovery(k.ctx, latchkey.NewRecovery{Email: ada, URL: recoverURL + "?lang=en#form"})
	k.must(err)
	return k.mailOf(token, ada)
}

func (k *kit) recover(m notify.Message) error {
	return ignore(k.guest.UpdateRecovery(k.ctx, m.UserID, m.Secret, fresh))
}

func TestEmailVerificationProvesTheAddressAndKeepsTheRest(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		user := k.signUp(ada)
		session, account := k.signIn(ada)
		token, err := account.CreateEmailVerification(k.ctx, verifyURL+"?lang=en#x")
		k.must(err)
		m := k.mailOf(token, ada)
		link, err := url.Parse(m.Link)
		k.must(err)
		if token.UserID != user.ID || token.Secret != "" || token.Expire.Sub(token.CreatedAt) != 7*24*time.Hour || m.Kind != notify.EmailVerification ||
			m.Name != "Ada" || m.Phrase != "" || link.Query().Get("userId") != user.ID || link.Query().Get("secret") != m.Secret ||
			link.Query().Get("lang") != "en" || link.Fragment != "x" || link.Query().Get("expire") == "" {
			k.Errorf("%+v, %+v, %s", token, m, m.Link)
		}
		if seen, err := k.guest.InspectToken(k.ctx, user.ID, m.Secret); err != nil || seen.ID != token.ID {
			k.Errorf("%+v, %v", seen, err)
		}
		k.forget()
		done, err := k.guest.UpdateEmailVerification(k.ctx, user.ID, m.Secret)
		k.must(err)
		if done.ID != token.ID || done.UserID != user.ID || done.Secret != "" {
			k.Errorf("%+v", done)
		}
		if got := k.events(user.ID, "1", token.ID, "2"); !slices.Equal(got, []string{
			"users.1.update.verification by user", "users.1.verification.2.update by user",
		}) {
			k.Error(got)
		}
		shown, err := account.User(k.ctx)
		k.must(err)
		if !shown.EmailVerification || shown.PasswordUpdate.IsZero() {
			k.Errorf("%+v", shown)
		}
		k.must(ignore(k.guest.Authenticate(k.ctx, session.Secret)))
		k.signIn(ada)
		if err := ignore(account.CreateEmailVerification(k.ctx, verifyURL)); err != latchkey.ErrEmailAlreadyVerified {
			k.Errorf("again: %v", err)
		}
	})
}

func TestPhoneVerificationProvesTheNumber(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		user := k.signUp(ada)
		_, account := k.signIn(ada)
		if err := ignore(account.CreatePhoneVerification(k.ctx)); err != latchkey.ErrPhoneNotFound {
			k.Errorf("without a number: %v", err)
		}
		k.must(ignore(account.UpdatePhone(k.ctx, phone, password)))
		token, err := account.CreatePhoneVerification(k.ctx)
		k.must(err)
		m := k.mailOf(token, phone)
		if m.Kind != notify.PhoneVerification || m.Channel != notify.SMS || len(m.Secret) != 6 || token.Expire.Sub(token.CreatedAt) != 15*time.Minute {
			k.Errorf("%+v, %+v", token, m)
		}
		for range 4 {
			if err := ignore(k.guest.UpdatePhoneVerification(k.ctx, user.ID, other(m.Secret))); err != latchkey.ErrInvalidToken {
				k.Errorf("a wrong code: %v", err)
			}
		}
		k.must(ignore(k.guest.UpdatePhoneVerification(k.ctx, user.ID, m.Secret)))
		shown, err := account.User(k.ctx)
		k.must(err)
		if !shown.PhoneVerification || shown.EmailVerification {
			k.Errorf("%+v", shown)
		}
		if err := ignore(account.CreatePhoneVerification(k.ctx)); err != latchkey.ErrPhoneAlreadyVerified {
			k.Errorf("again: %v", err)
		}
	})
}

// AC-037, 038: five wrong codes void a verification, and new ones do not begin the
// count of wrong ones anew.
func TestAC037PhoneVerificationIsNotGuessed(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		user := k.signUp(ada)
		_, account := k.signIn(ada)
		k.must(ignore(account.UpdatePhone(k.ctx, phone, password)))
		stranger := k.Guest(at("203.0.113.1"))
		var m notify.Message
		ask := func() {
			token, err := account.CreatePhoneVerification(k.ctx)
			k.must(err)
			m = k.mailOf(token, phone)
		}
		for range 2 {
			ask()
			for range 5 {
				if err := ignore(stranger.UpdatePhoneVerification(k.ctx, user.ID, other(m.Secret))); err != latchkey.ErrInvalidToken {
					k.Errorf("a wrong code: %v", err)
				}
			}
			if err := ignore(stranger.UpdatePhoneVerification(k.ctx, user.ID, m.Secret)); err != latchkey.ErrInvalidToken {
				k.Errorf("after five: %v", err)
			}
		}
		ask()
		if err := ignore(stranger.UpdatePhoneVerification(k.ctx, user.ID, other(m.Secret))); err != latchkey.ErrInvalidToken {
			k.Errorf("the eleventh: %v", err)
		}
		var slowed *latchkey.ThrottledError
		if err := ignore(stranger.UpdatePhoneVerification(k.ctx, user.ID, m.Secret)); !errors.As(err, &slowed) {
			k.Errorf("after eleven: %v", err)
		}
	})
}

// AC-023, AC-024: a link proves the address that it was sent to, and no other,
// whatever the address of the user has been since.
func TestAC023AndAC024VerificationIsOfTheAddressItWasSentTo(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		user := k.signUp(ada)
		_, account := k.signIn(ada)
		token, err := account.CreateEmailVerification(k.ctx, verifyURL)
		k.must(err)
		m := k.mailOf(token, ada)
		k.must(ignore(account.UpdateEmail(k.ctx, "victim@example.org", password)))
		for _, back := range []bool{false, true} {
			if back {
				k.must(ignore(account.UpdateEmail(k.ctx, ada, password)))
			}
			if err := ignore(k.guest.UpdateEmailVerification(k.ctx, user.ID, m.Secret)); err != latchkey.ErrInvalidToken {
				k.Errorf("back %v: %v", back, err)
			}
		}
		// A change and a verification at once.
		for n := range 10 {
			k.must(ignore(account.UpdateEmail(k.ctx, ada, password)))
			token, err := account.CreateEmailVerification(k.ctx, verifyURL)
			k.must(err)
			m := k.mailOf(token, ada)
			var group sync.WaitGroup
			group.Go(func() { _ = ignore(account.UpdateEmail(k.ctx, "victim@example.org", password)) })
			group.Go(func() { _ = ignore(k.guest.UpdateEmailVerification(k.ctx, user.ID, m.Secret)) })
			group.Go(func() { _ = ignore(account.CreateEmailVerification(k.ctx, verifyURL)) })
			group.Wait()
			shown, err := account.User(k.ctx)
			k.must(err)
			if shown.Email != "victim@example.org" || shown.EmailVerification {
				k.Errorf("%d: %s is verified: %v", n, shown.Email, shown.EmailVerification)
			}
		}
	})
}

// AC-022: a link is of the user that it was made for.
func TestAC022LinkUnderTheIDOfAnother(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		victim, _ := k.signUp(bob), k.signUp(ada)
		_, account := k.signIn(ada)
		token, err := account.CreateEmailVerification(k.ctx, verifyURL)
		k.must(err)
		proof, recovery := k.mailOf(token, ada), k.recovery()
		if err := ignore(k.guest.UpdateEmailVerification(k.ctx, victim.ID, proof.Secret)); err != latchkey.ErrInvalidToken {
			k.Error(err)
		}
		if err := ignore(k.guest.UpdateRecovery(k.ctx, victim.ID, recovery.Secret, fresh)); err != latchkey.ErrInvalidToken {
			k.Error(err)
		}
		shown, err := k.Users().Get(k.ctx, victim.ID)
		k.must(err)
		if shown.EmailVerification {
			k.Errorf("%+v", shown)
		}
	})
}

// AC-025, AC-029: a secret serves for what it was made for, and for nothing else.
func TestAC025AndAC029ProofsDoNotMix(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		w := k.world(true, operation{proofs: true})
		id := w.user.ID
		signIn, err := w.account.CreateJWT(k.ctx, 0)
		k.must(err)
		all := map[string]string{
			"custom": w.custom.Secret.Reveal(), "link": w.link.Secret.Reveal(), "mail": w.mailProof.Secret.Reveal(), "phone": w.phoneProof.Secret.Reveal(),
			"recovery": w.recovery.Secret.Reveal(), "session": w.secret.Reveal(), "JWT": signIn.Reveal()[:256],
		}
		for name, secret := range all {
			for use, do := range map[string]func() error{
				"sign in":      func() error { return ignore(k.guest.CreateSession(k.ctx, id, secret)) },
				"verify mail":  func() error { return ignore(k.guest.UpdateEmailVerification(k.ctx, id, secret)) },
				"verify phone": func() error { return ignore(k.guest.UpdatePhoneVerification(k.ctx, id, secret)) },
				"recover":      func() error { return ignore(k.guest.UpdateRecovery(k.ctx, id, secret, fresh)) },
			} {
				if use == map[string]string{"custom": "sign in", "link": "sign in", "mail": "verify mail", "phone": "verify phone", "recovery": "recover"}[name] {
					continue
				}
				if err := do(); err != latchkey.ErrInvalidToken {
					k.Errorf("%s to %s: %v", name, use, err)
				}
			}
			if name != "session" {
				if err := ignore(k.guest.Authenticate(k.ctx, latchkey.Secret(secret))); err != latchkey.ErrUnauthorized {
					k.Errorf("%s as a session: %v", name, err)
				}
			}
			if err := ignore(k.guest.AuthenticateJWT(k.ctx, latchkey.Secret(secret))); err != latchkey.ErrJWTInvalid {
				k.Errorf("%s as a JWT: %v", name, err)
			}
		}
	})
}

func TestRecoverySetsThePasswordEndsEverythingAndTellsTheUser(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		user := k.proven()
		session, account := k.signIn(ada)
		magic, err := k.guest.CreateMagicURLToken(k.ctx, latchkey.NewMagicURLToken{Email: ada})
		k.must(err)
		link := k.mailOf(magic, ada)
		token, err := k.guest.CreateRecovery(k.ctx, latchkey.NewRecovery{Email: "ADA@example.org", URL: recoverURL})
		k.must(err)
		m := k.mailOf(token, ada)
		if token.UserID != "" || token.Secret != "" || token.Expire.Sub(token.CreatedAt) != time.Hour || m.Kind != notify.Recovery || m.UserID != user.ID ||
			!strings.Contains(m.Link, "userId="+user.ID) {
			k.Errorf("%+v, %+v", token, m)
		}
		k.forget()
		done, err := k.guest.UpdateRecovery(k.ctx, m.UserID, m.Secret, fresh)
		k.must(err)
		if done.ID != token.ID || done.UserID != user.ID {
			k.Errorf("%+v", done)
		}
		if got := k.events(user.ID, "1", token.ID, "2", session.ID, "3"); !slices.Contains(got, "users.1.update.password by user") ||
			!slices.Contains(got, "users.1.recovery.2.update by user") || !slices.Contains(got, "users.1.sessions.3.delete by user") {
			k.Error(got)
		}
		if err := ignore(account.User(k.ctx)); err != latchkey.ErrUnauthorized {
			k.Errorf("the session from before: %v", err)
		}
		if err := ignore(k.guest.CreateSession(k.ctx, link.UserID, link.Secret)); err != latchkey.ErrInvalidToken {
			k.Errorf("the link from before: %v", err)
		}
		if err := k.recover(m); err != latchkey.ErrInvalidToken {
			k.Errorf("twice: %v", err)
		}
		if notice := k.mail(ada); notice.Kind != notify.PasswordChanged {
			k.Errorf("%v", notice)
		}
		if err := ignore(k.guest.CreateEmailPasswordSession(k.ctx, ada, password)); err != latchkey.ErrInvalidCredentials {
			k.Errorf("the old password: %v", err)
		}
		k.must(ignore(k.guest.CreateEmailPasswordSession(k.ctx, ada, fresh)))
		shown, err := k.Users().Get(k.ctx, user.ID)
		k.must(err)
		if !shown.PhoneVerification || shown.Phone != phone {
			k.Errorf("%+v", shown)
		}
	})
}

// AC-061: the first proof of a mailbox by a recovery leaves nothing that somebody
// else has planted, and its password is the new one.
func TestAC061RecoveryIsAFirstProof(t *testing.T) {
	onEveryStore(t, latchkey.Policy{KeepSessionsOnPasswordChange: true, PasswordHistory: 3}, func(k *kit) {
		user := k.signUp(ada)
		_, planted := k.signIn(ada)
		k.must(ignore(planted.UpdatePhone(k.ctx, phone, password)))
		m := k.recovery()
		if err := ignore(k.guest.UpdateRecovery(k.ctx, m.UserID, m.Secret, password)); err != latchkey.ErrPasswordRecentlyUsed {
			k.Errorf("the same password: %v", err)
		}
		k.must(k.recover(m))
		if err := ignore(planted.User(k.ctx)); err != latchkey.ErrUnauthorized {
			k.Errorf("the planted session: %v", err)
		}
		shown, err := k.Users().Get(k.ctx, user.ID)
		k.must(err)
		if !shown.EmailVerification || shown.Phone != "" {
			k.Errorf("%+v", shown)
		}
		k.must(ignore(k.guest.CreateEmailPasswordSession(k.ctx, ada, fresh)))
	})
}

// AC-064: an address that was set and never proven takes no account over that
// somebody has proven by a number.
func TestAC064UnprovenAddressDoesNotRecoverAProvenAccount(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		user := k.signUp("mallory@example.org")
		k.must(ignore(k.Users().UpdatePhone(k.ctx, user.ID, phone)))
		k.must(ignore(k.Users().UpdatePhoneVerification(k.ctx, user.ID, true)))
		k.must(ignore(k.Users().UpdateEmail(k.ctx, user.ID, ada)))
		token, err := k.Guest(latchkey.Client{Server: true}).CreateRecovery(k.ctx, latchkey.NewRecovery{Email: ada, URL: recoverURL})
		k.must(err)
		if err := ignore(k.guest.UpdateRecovery(k.ctx, user.ID, token.Secret.Reveal(), fresh)); err != latchkey.ErrInvalidToken {
			k.Error(err)
		}
		for _, m := range k.drained(k.Engine) {
			if m.To == ada {
				k.Errorf("%s is sent", m.Kind)
			}
		}
	})
}

// AC-003, AC-026, AC-028: who has an address does not change the answer, nor where
// the mail goes.
func TestAC003RecoveryAnswersTheSameForEverybody(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		k.proven()
		blocked, err := k.Users().Create(k.ctx, latchkey.NewUser{Email: bob})
		k.must(err)
		k.must(ignore(k.Users().UpdateStatus(k.ctx, blocked.ID, false)))
		for _, email := range []string{ada, bob, "nobody@example.org"} {
			k.forget()
			token, err := k.guest.CreateRecovery(k.ctx, latchkey.NewRecovery{Email: email, URL: recoverURL})
			k.must(err)
			if token.UserID != "" || token.ID == "" || token.Phrase != "" || len(k.logs()) != 1 || len(k.told.Take()) != 0 {
				k.Errorf("%s: %+v", email, token)
			}
		}
		for _, n := range []latchkey.NewRecovery{
			{Email: ada}, {Email: ada, URL: "https://evil.example/"}, {Email: "", URL: recoverURL}, {Email: ada + ",mallory@evil.example", URL: recoverURL},
		} {
			if err := ignore(k.guest.CreateRecovery(k.ctx, n)); !errors.Is(err, latchkey.ErrArgumentInvalid) {
				k.Errorf("%+v: %v", n, err)
			}
		}
		if got := k.posted(k.Engine); !slices.Equal(got, []string{"recovery " + ada}) {
			k.Error(got)
		}
	})
}

func TestPolicyThatDisclosesSaysWhoThereIs(t *testing.T) {
	onEveryStore(t, latchkey.Policy{DiscloseAccounts: true}, func(k *kit) {
		user := k.signUp(ada)
		ask := func(email string) (*latchkey.Token, error) {
			return k.guest.CreateRecovery(k.ctx, latchkey.NewRecovery{Email: email, URL: recoverURL})
		}
		k.forget()
		token, err := ask(ada)
		k.must(err)
		if token.UserID != user.ID || !slices.Equal(k.events(user.ID, "1", token.ID, "2"), []string{"users.1.recovery.2.create by guest"}) {
			k.Errorf("%+v", token)
		}
		if err := ignore(ask("nobody@example.org")); err != latchkey.ErrUserNotFound {
			k.Error(err)
		}
		for name, do := range map[string]func(id string) error{
			"recovery": func(id string) error { return ignore(k.guest.UpdateRecovery(k.ctx, id, unknownLink, fresh)) },
			"mail":     func(id string) error { return ignore(k.guest.UpdateEmailVerification(k.ctx, id, unknownLink)) },
			"phone":    func(id string) error { return ignore(k.guest.UpdatePhoneVerification(k.ctx, id, "123456")) },
		} {
			if err := do(user.ID); err != latchkey.ErrInvalidToken {
				k.Errorf("%s: %v", name, err)
			}
			if err := do("nobody"); err != latchkey.ErrUserNotFound {
				k.Errorf("%s of nobody: %v", name, err)
			}
		}
		k.must(ignore(k.Users().UpdateStatus(k.ctx, user.ID, false)))
		if err := ignore(ask(ada)); err != latchkey.ErrUserBlocked {
			k.Error(err)
		}
	})
}

// AC-091: a blocked user proves nothing and stays blocked.
func TestAC091BlockedUserStaysBlocked(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		w := k.world(true, operation{proofs: true})
		k.must(ignore(k.Users().UpdateStatus(k.ctx, w.user.ID, false)))
		for name, do := range map[string]func() error{
			"recovery": func() error {
				return ignore(k.guest.UpdateRecovery(k.ctx, w.user.ID, w.recovery.Secret.Reveal(), fresh))
			},
			"mail": func() error {
				return ignore(k.guest.UpdateEmailVerification(k.ctx, w.user.ID, w.mailProof.Secret.Reveal()))
			},
			"phone": func() error {
				return ignore(k.guest.UpdatePhoneVerification(k.ctx, w.user.ID, w.phoneProof.Secret.Reveal()))
			},
		} {
			k.refuses(name, latchkey.ErrUserBlocked, do)
		}
		k.must(ignore(k.Users().UpdateStatus(k.ctx, w.user.ID, true)))
		shown, err := k.Users().Get(k.ctx, w.user.ID)
		k.must(err)
		if shown.EmailVerification || shown.PhoneVerification {
			k.Errorf("%+v", shown)
		}
	})
}

// AC-013: a recovered password meets every rule, and one that does not leaves the
// link as it is.
func TestAC013RecoveryAppliesEveryRuleForPasswords(t *testing.T) {
	policy := latchkey.Policy{PasswordHistory: 2, PasswordDictionary: true, PasswordPersonalData: true, PasswordNumber: true}
	onEveryStore(t, policy, func(k *kit) {
		const first = "correct horse 1"
		k.must(ignore(k.guest.CreateAccount(k.ctx, latchkey.NewAccount{Email: "countess@example.org", Password: first})))
		token, err := k.guest.CreateRecovery(k.ctx, latchkey.NewRecovery{Email: "countess@example.org", URL: recoverURL})
		k.must(err)
		m := k.mailOf(token, "countess@example.org")
		for bad, want := range map[string]error{
			"short1": latchkey.ErrArgumentInvalid, "password1": latchkey.ErrArgumentInvalid, "no digit in it": latchkey.ErrArgumentInvalid,
			strings.Repeat("x1", 200): latchkey.ErrArgumentInvalid, "the countess 1": latchkey.ErrPasswordPersonalData, first: latchkey.ErrPasswordRecentlyUsed,
		} {
			if err := ignore(k.guest.UpdateRecovery(k.ctx, m.UserID, m.Secret, bad)); !errors.Is(err, want) || strings.Contains(err.Error(), bad) {
				k.Errorf("%q: %v", bad, err)
			}
		}
		k.must(ignore(k.guest.UpdateRecovery(k.ctx, m.UserID, m.Secret, "a good horse 2")))
		_, err = k.guest.CreateEmailPasswordSession(k.ctx, "countess@example.org", "a good horse 2")
		k.must(err)
	})
}

// AC-016, AC-019, AC-020, AC-021: a recovery link serves once, for its time, until
// there is a newer one or the password or the address changes.
func TestAC016AC019AC020AC021RecoveryLinkServesOnce(t *testing.T) {
	for name, after := range map[string]func(k *kit, a *latchkey.Account, m notify.Message){
		"use":         func(k *kit, _ *latchkey.Account, m notify.Message) { k.must(k.recover(m)) },
		"a day":       func(k *kit, _ *latchkey.Account, _ notify.Message) { k.clock.Advance(24 * time.Hour) },
		"its time":    func(k *kit, _ *latchkey.Account, _ notify.Message) { k.clock.Advance(time.Hour) },
		"a newer one": func(k *kit, _ *latchkey.Account, _ notify.Message) { k.recovery() },
		"a change of password": func(k *kit, a *latchkey.Account, _ notify.Message) {
			k.must(ignore(a.UpdatePassword(k.ctx, fresh, password)))
		},
		"a change of address": func(k *kit, a *latchkey.Account, _ notify.Message) {
			k.must(ignore(a.UpdateEmail(k.ctx, "new@example.org", password)))
		},
		"a password by the server": func(k *kit, a *latchkey.Account, _ notify.Message) {
			k.must(ignore(k.Users().UpdatePassword(k.ctx, a.UserID(), fresh)))
		},
		"the deletion of the user": func(k *kit, a *latchkey.Account, _ notify.Message) { k.must(k.Users().Delete(k.ctx, a.UserID())) },
		"the deletion and another user of the address": func(k *kit, a *latchkey.Account, _ notify.Message) {
			k.must(k.Users().Delete(k.ctx, a.UserID()))
			k.must(ignore(k.Users().Create(k.ctx, latchkey.NewUser{UserID: a.UserID(), Email: ada})))
		},
	} {
		t.Run(name, func(t *testing.T) {
			onEveryStore(t, documented, func(k *kit) {
				k.signUp(ada)
				_, account := k.signIn(ada)
				m := k.recovery()
				after(k, account, m)
				k.forget()
				if err := k.recover(m); err != latchkey.ErrInvalidToken {
					k.Error(err)
				}
				if got := k.logs(); len(got) != 1 || !strings.Contains(got[0], "recovery.refuse") {
					k.Errorf("the log has %v", got)
				}
			})
		})
	}
}

// AC-019: a hundred at once, and one of them sets the password.
func TestAC019RecoveryByAHundredAtOnce(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		k.signUp(ada)
		m := k.recovery()
		var group sync.WaitGroup
		done := make(chan string, 100)
		for n := range 100 {
			group.Go(func() {
				mine := fmt.Sprintf("horse number %d", n)
				switch err := ignore(k.guest.UpdateRecovery(k.ctx, m.UserID, m.Secret, mine)); {
				case err == nil:
					done <- mine
				case err != latchkey.ErrInvalidToken && !errors.Is(err, latchkey.ErrBusy):
					k.Error(err)
				}
			})
		}
		group.Wait()
		close(done)
		if len(done) != 1 {
			k.Fatalf("%d passwords are set", len(done))
		}
		k.must(ignore(k.guest.CreateEmailPasswordSession(k.ctx, ada, <-done)))
	})
}

// Recovery against a change of the password, in every order: one password holds,
// and whoever did not set it is out.
func TestRecoveryAgainstAChangeOfThePasswordInEveryOrder(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		for round := range 8 {
			k.deleteAll()
			k.signUp(ada)
			session, account := k.signIn(ada)
			m := k.recovery()
			changed, recovered := errors.New("not tried"), errors.New("not tried")
			change := func() { changed = ignore(account.UpdatePassword(k.ctx, "changed horse battery", password)) }
			recover := func() { recovered = k.recover(m) }
			switch round {
			case 0:
				change()
				recover()
			case 1:
				recover()
				change()
			default:
				var group sync.WaitGroup
				group.Go(change)
				group.Go(recover)
				group.Wait()
			}
			if (changed == nil) == (recovered == nil) {
				k.Fatalf("%d: changed: %v, recovered: %v", round, changed, recovered)
			}
			want, lost := "changed horse battery", fresh
			if recovered == nil {
				want, lost = fresh, want
			}
			k.must(ignore(k.guest.CreateEmailPasswordSession(k.ctx, ada, want)))
			for _, no := range []string{lost, password} {
				if err := ignore(k.guest.CreateEmailPasswordSession(k.ctx, ada, no)); err != latchkey.ErrInvalidCredentials {
					k.Errorf("%d: %s: %v", round, no, err)
				}
			}
			if err := ignore(k.guest.Authenticate(k.ctx, session.Secret)); (err == nil) != (changed == nil) {
				k.Errorf("%d: the session: %v", round, err)
			}
		}
	})
}

// A stranger who counts on an id keeps its owner out of nothing that nobody
// guesses.
func TestRightLinkPassesTheLimitThatStrangersHaveUsedUp(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		user := k.signUp(ada)
		_, account := k.signIn(ada)
		token, err := account.CreateEmailVerification(k.ctx, verifyURL)
		k.must(err)
		proof, m := k.mailOf(token, ada), k.recovery()
		engine := k.limitedEngine(nil)
		stranger, owner := engine.Guest(at("203.0.113.1")), engine.Guest(testClient)
		for range 12 {
			_ = ignore(stranger.UpdateEmailVerification(k.ctx, user.ID, unknownLink))
			_ = ignore(stranger.UpdateRecovery(k.ctx, user.ID, unknownLink, fresh))
		}
		if err := ignore(owner.UpdateEmailVerification(k.ctx, user.ID, unknownLink)); !errors.Is(err, latchkey.ErrRateLimitExceeded) {
			k.Error(err)
		}
		k.must(ignore(owner.UpdateEmailVerification(k.ctx, user.ID, proof.Secret)))
		k.must(ignore(owner.UpdateRecovery(k.ctx, user.ID, m.Secret, fresh)))
	})
}

// AC-037: whoever writes a number down guesses at it no faster from clients that
// know them, nor by proving a number of their own in between.
func TestAC037NumberOfAStrangerIsCountedByItself(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		user, compared := k.signUp(ada), 0
		for n := range 4 {
			ip := fmt.Sprintf("203.0.113.%d", n+1)
			account := k.signedInAt(ip)
			if n == 0 {
				k.must(ignore(account.UpdatePhone(k.ctx, phone, password)))
			}
			for range 2 {
				token, err := account.CreatePhoneVerification(k.ctx)
				k.must(err)
				m := k.mailOf(token, phone)
				for range 5 {
					if ignore(k.Guest(at(ip)).UpdatePhoneVerification(k.ctx, user.ID, other(m.Secret))) == latchkey.ErrInvalidToken {
						compared++
					}
				}
			}
		}
		if compared > 11 {
			k.Errorf("%d codes are compared", compared)
		}
	})
}

// AC-003: being slowed does not tell which id has an address.
func TestAC003SlowingTellsNoOwner(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		victim := k.proven()
		stranger := k.signUp(bob)
		guest := k.Guest(at("203.0.113.1"))
		for range 3 {
			token, err := guest.CreateEmailToken(k.ctx, latchkey.NewEmailToken{Email: ada})
			k.must(err)
			for range 5 {
				_ = ignore(guest.CreateSession(k.ctx, token.UserID, "00000a"))
			}
		}
		told := func(id string) bool {
			k.must(ignore(guest.CreateEmailToken(k.ctx, latchkey.NewEmailToken{UserID: id, Email: ada})))
			return errors.Is(ignore(guest.CreateSession(k.ctx, id, "00000a")), latchkey.ErrRateLimitExceeded)
		}
		if told(victim.ID) != told(stranger.ID) {
			k.Error("the owner's id is slowed, another is not")
		}
	})
}

// A right link costs no hashes without end, and a stranger does not keep the owner
// of a number from proving it.
func TestConfirmationsAreLimitedForWhoeverMakesThem(t *testing.T) {
	onEveryStore(t, latchkey.Policy{PasswordHistory: 1}, func(k *kit) {
		user := k.proven()
		k.must(ignore(k.Users().UpdatePhoneVerification(k.ctx, user.ID, false)))
		_, account := k.signIn(ada)
		m := k.recovery()
		engine := k.limitedEngine(nil)
		hashed := 0
		for range 30 {
			if ignore(engine.Guest(testClient).UpdateRecovery(k.ctx, m.UserID, m.Secret, password)) == latchkey.ErrPasswordRecentlyUsed {
				hashed++
			}
		}
		if hashed > 20 {
			k.Errorf("%d passwords are hashed", hashed)
		}
		for range 12 {
			_ = ignore(engine.Guest(at("203.0.113.1")).UpdatePhoneVerification(k.ctx, user.ID, "12345a"))
		}
		token, err := account.CreatePhoneVerification(k.ctx)
		k.must(err)
		code := k.mailOf(token, phone)
		k.must(ignore(engine.Guest(testClient).UpdatePhoneVerification(k.ctx, user.ID, code.Secret)))
	})
}
