package attack_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/internal/codes"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/internal/operations"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/store"
)

// AC-018: one link makes one session, however many callers use it at once. AC-038: of
// many concurrent guesses, five are compared.
func TestAC018AndAC038ManyAtOnce(t *testing.T) {
	kit.OnEveryAsker(t, kit.Documented, func(k *kit.Kit, ask func(*latchkey.Guest, string) (*latchkey.Token, error), to string) {
		token, err := ask(k.Visitor, "")
		k.Must(err)
		secret := k.Mail(to).Secret
		var group sync.WaitGroup
		errs := make([]error, 100)
		for i := range errs {
			group.Go(func() {
				errs[i] = kit.Err(k.Visitor.CreateSession(k.Ctx, token.UserID, secret))
			})
		}
		group.Wait()
		wins := 0
		for _, err := range errs {
			var slowed *latchkey.ThrottledError
			switch {
			case err == nil:
				wins++
			case !errors.Is(err, latchkey.ErrInvalidToken) && !errors.As(err, &slowed):
				k.Errorf("%v", err)
			}
		}
		if wins != 1 {
			k.Errorf("%d sessions of one token", wins)
		}
	})
	t.Run("guesses", func(t *testing.T) {
		kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
			token, secret := k.AskCode(kit.Ada)
			var group sync.WaitGroup
			for range 50 {
				group.Go(func() {
					err := kit.Err(k.Visitor.CreateSession(k.Ctx, token.UserID, kit.OtherCode(secret)))
					var slowed *latchkey.ThrottledError
					if !errors.Is(err, latchkey.ErrInvalidToken) && !errors.As(err, &slowed) {
						k.Errorf("%v", err)
					}
				})
			}
			group.Wait()
			if n, err := k.Raw.Count(k.Ctx, store.Query{Index: record.Tokens.Primary()}); n != 0 || err != nil {
				k.Errorf("%d live codes after fifty wrong ones, %v", n, err)
			}
			if err := kit.Err(k.Visitor.CreateSession(k.Ctx, token.UserID, secret)); err == nil {
				k.Error("the code serves after fifty wrong ones")
			}
		})
	})
}

// AC-016, AC-019, AC-020, AC-021: a recovery link serves once. It ends with its time,
// with a newer link, and with a change of the password or the address.
func TestAC016AC019AC020AC021RecoveryLinkServesOnce(t *testing.T) {
	for name, after := range map[string]func(k *kit.Kit, a *latchkey.Account, m kit.Message){
		"use":         func(k *kit.Kit, _ *latchkey.Account, m kit.Message) { k.Must(k.Recover(m)) },
		"a day":       func(k *kit.Kit, _ *latchkey.Account, _ kit.Message) { k.Clock.Advance(24 * time.Hour) },
		"its time":    func(k *kit.Kit, _ *latchkey.Account, _ kit.Message) { k.Clock.Advance(time.Hour) },
		"a newer one": func(k *kit.Kit, _ *latchkey.Account, _ kit.Message) { k.Recovery() },
		"a change of password": func(k *kit.Kit, a *latchkey.Account, _ kit.Message) {
			k.Must(kit.Err(a.UpdatePassword(k.Ctx, latchkey.PasswordUpdate{New: kit.FreshPassword, Old: kit.Password})))
		},
		"a change of address": func(k *kit.Kit, a *latchkey.Account, _ kit.Message) {
			k.Must(kit.Err(a.UpdateEmail(k.Ctx, "new@example.org", kit.Password)))
		},
		"a password by the server": func(k *kit.Kit, a *latchkey.Account, _ kit.Message) {
			k.Must(kit.Err(k.Users().UpdatePassword(k.Ctx, a.UserID(), kit.FreshPassword)))
		},
		"the deletion of the user": func(k *kit.Kit, a *latchkey.Account, _ kit.Message) { k.Must(k.Users().Delete(k.Ctx, a.UserID())) },
		"the deletion and another user of the address": func(k *kit.Kit, a *latchkey.Account, _ kit.Message) {
			k.Must(k.Users().Delete(k.Ctx, a.UserID()))
			k.Must(kit.Err(k.Users().Create(k.Ctx, latchkey.NewUser{UserID: a.UserID(), Email: kit.Ada})))
		},
	} {
		t.Run(name, func(t *testing.T) {
			kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
				k.SignUp(kit.Ada)
				_, account := k.SignIn(kit.Ada)
				m := k.Recovery()
				after(k, account, m)
				k.Forget()
				if err := k.Recover(m); !errors.Is(err, latchkey.ErrInvalidToken) {
					k.Error(err)
				}
				if got := k.Logs(); len(got) != 1 || !strings.Contains(got[0], "recovery.refuse") {
					k.Errorf("the log has %v", got)
				}
			})
		})
	}
}

// AC-019: of a hundred concurrent recoveries with one link, one sets the password.
func TestAC019RecoveryByAHundredAtOnce(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		m := k.Recovery()
		var group sync.WaitGroup
		done := make(chan string, 100)
		for n := range 100 {
			group.Go(func() {
				mine := fmt.Sprintf("horse number %d", n)
				switch err := kit.Err(k.Visitor.ConfirmRecovery(k.Ctx, m.UserID, m.Secret, mine)); {
				case err == nil:
					done <- mine
				case !errors.Is(err, latchkey.ErrInvalidToken) && !errors.Is(err, latchkey.ErrBusy):
					k.Error(err)
				}
			})
		}
		group.Wait()
		close(done)
		if len(done) != 1 {
			k.Fatalf("%d passwords are set", len(done))
		}
		k.Must(kit.Err(k.Visitor.CreateEmailPasswordSession(k.Ctx, kit.Ada, <-done)))
	})
}

// AC-020: a new token ends the earlier one.
func TestAC020OnlyTheNewestWorks(t *testing.T) {
	kit.OnEveryAsker(t, kit.Documented, func(k *kit.Kit, ask func(*latchkey.Guest, string) (*latchkey.Token, error), to string) {
		first, err := ask(k.Visitor, "")
		k.Must(err)
		old := k.MailOf(first, to).Secret
		second, err := ask(k.Visitor, "")
		k.Must(err)
		if err := kit.Err(k.Visitor.CreateSession(k.Ctx, first.UserID, old)); !errors.Is(err, latchkey.ErrInvalidToken) {
			k.Errorf("the older one: %v", err)
		}
		k.Must(kit.Err(k.Visitor.CreateSession(k.Ctx, second.UserID, k.MailOf(second, to).Secret)))
	})
}

// AC-021: a token keeps its own lifetime, whatever lifetime another kind or a later
// policy has.
func TestAC021LifeIsStoredWithTheToken(t *testing.T) {
	kit.OnEveryStore(t, latchkey.Policy{Messages: latchkey.MessagePolicy{OTPLength: time.Minute, MagicURLLength: 24 * time.Hour}}, func(k *kit.Kit) {
		token, secret := k.AskCode(kit.Ada)
		k.Clock.Advance(time.Minute)
		if err := kit.Err(k.Visitor.CreateSession(k.Ctx, token.UserID, secret)); !errors.Is(err, latchkey.ErrInvalidToken) {
			k.Errorf("a code inside the life of a link: %v", err)
		}
	})
}

// AC-022: a token belongs to the address that received it, whatever id the caller
// gives.
func TestAC022CodeWithTheVictimsId(t *testing.T) {
	kit.OnEveryAsker(t, kit.Documented, func(k *kit.Kit, ask func(*latchkey.Guest, string) (*latchkey.Token, error), to string) {
		victim := k.SignUp("victim@example.org")
		for _, id := range []string{"", victim.ID} { // the second time under the victim's id
			k.Must(kit.Err(ask(k.Visitor, id)))
			secret := k.Mail(to).Secret
			session, err := k.Visitor.CreateSession(k.Ctx, victim.ID, secret)
			if !errors.Is(err, latchkey.ErrInvalidToken) {
				k.Errorf("%+v, %v", session, err)
			}
		}
		k.Must(kit.Err(ask(k.Visitor, victim.ID)))
		m := k.Mail(to)
		session, err := k.Visitor.CreateSession(k.Ctx, m.UserID, m.Secret)
		k.Must(err)
		if session.UserID == victim.ID {
			k.Error("the victim's account")
		}
	})
}

// AC-022: a link belongs to the user whom it was made for.
func TestAC022LinkUnderTheIDOfAnother(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		victim, _ := k.SignUp(kit.Bob), k.SignUp(kit.Ada)
		_, account := k.SignIn(kit.Ada)
		token, err := account.CreateEmailVerification(k.Ctx, kit.VerifyURL)
		k.Must(err)
		proof, recovery := k.MailOf(token, kit.Ada), k.Recovery()
		if err := kit.Err(k.Visitor.ConfirmEmailVerification(k.Ctx, victim.ID, proof.Secret)); !errors.Is(err, latchkey.ErrInvalidToken) {
			k.Error(err)
		}
		if err := kit.Err(k.Visitor.ConfirmRecovery(k.Ctx, victim.ID, recovery.Secret, kit.FreshPassword)); !errors.Is(err, latchkey.ErrInvalidToken) {
			k.Error(err)
		}
		shown, err := k.Users().Get(k.Ctx, victim.ID)
		k.Must(err)
		if shown.EmailVerification {
			k.Errorf("%+v", shown)
		}
	})
}

// AC-023, AC-024: a link proves only the address that received it, even if the user
// has changed address since.
func TestAC023AndAC024VerificationIsOfTheAddressItWasSentTo(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user := k.SignUp(kit.Ada)
		_, account := k.SignIn(kit.Ada)
		token, err := account.CreateEmailVerification(k.Ctx, kit.VerifyURL)
		k.Must(err)
		m := k.MailOf(token, kit.Ada)
		k.Must(kit.Err(account.UpdateEmail(k.Ctx, "victim@example.org", kit.Password)))
		for _, back := range []bool{false, true} {
			if back {
				k.Must(kit.Err(account.UpdateEmail(k.Ctx, kit.Ada, kit.Password)))
			}
			if err := kit.Err(k.Visitor.ConfirmEmailVerification(k.Ctx, user.ID, m.Secret)); !errors.Is(err, latchkey.ErrInvalidToken) {
				k.Errorf("back %v: %v", back, err)
			}
		}
		// A change and a verification run at once.
		for n := range 10 {
			k.Must(kit.Err(account.UpdateEmail(k.Ctx, kit.Ada, kit.Password)))
			token, err := account.CreateEmailVerification(k.Ctx, kit.VerifyURL)
			k.Must(err)
			m := k.MailOf(token, kit.Ada)
			var group sync.WaitGroup
			group.Go(func() { _ = kit.Err(account.UpdateEmail(k.Ctx, "victim@example.org", kit.Password)) })
			group.Go(func() { _ = kit.Err(k.Visitor.ConfirmEmailVerification(k.Ctx, user.ID, m.Secret)) })
			group.Go(func() { _ = kit.Err(account.CreateEmailVerification(k.Ctx, kit.VerifyURL)) })
			group.Wait()
			shown, err := account.User(k.Ctx)
			k.Must(err)
			if shown.Email != "victim@example.org" || shown.EmailVerification {
				k.Errorf("%d: %s is verified: %v", n, shown.Email, shown.EmailVerification)
			}
		}
	})
}

// AC-025: a secret of one purpose serves no other purpose.
func TestAC025PurposesDoNotMix(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user := k.SignUp(kit.Ada)
		session, _ := k.SignIn(kit.Ada)
		k.Must(kit.Err(k.Visitor.CreateMagicURLToken(k.Ctx, latchkey.NewMagicURLToken{Email: kit.Ada})))
		link := k.Mail(kit.Ada).Secret
		if err := kit.Err(k.Visitor.Authenticate(k.Ctx, link)); err != latchkey.ErrUnauthorized {
			k.Errorf("a link as a session: %v", err)
		}
		if err := kit.Err(k.Visitor.CreateSession(k.Ctx, user.ID, session.Secret.Reveal())); !errors.Is(err, latchkey.ErrInvalidToken) {
			k.Errorf("a session as a link: %v", err)
		}
		if err := kit.Err(k.Visitor.CreateEmailPasswordSession(k.Ctx, kit.Ada, link)); err != latchkey.ErrInvalidCredentials {
			k.Errorf("a link as a password: %v", err)
		}
		// Even the same code, written into a token of another kind, has another
		// digest.
		token, code := k.AskCode(kit.Ada)
		k.Must(k.Store.Store.Update(k.Ctx, func(ctx context.Context, tx store.Tx) error {
			row, err := record.Tokens.Get(ctx, tx, record.Tokens.Primary(), store.Text(token.ID))
			if err != nil {
				return err
			}
			row.Kind = "phone"
			return record.Tokens.Replace(ctx, tx, row)
		}))
		if err := kit.Err(k.Visitor.CreateSession(k.Ctx, token.UserID, code)); !errors.Is(err, latchkey.ErrInvalidToken) {
			k.Errorf("a code of another kind: %v", err)
		}
	})
}

// AC-025, AC-029: a secret serves only the purpose for which it was made.
func TestAC025AndAC029ProofsDoNotMix(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		w := operations.NewWorld(k, true, operations.Operation{Proofs: true})
		id := w.User.ID
		signIn, err := w.Account.CreateJWT(k.Ctx, 0)
		k.Must(err)
		all := map[string]string{
			"custom": w.Custom.Secret.Reveal(), "link": w.Link.Secret.Reveal(), "mail": w.MailProof.Secret.Reveal(), "phone": w.PhoneProof.Secret.Reveal(),
			"recovery": w.Recovery.Secret.Reveal(), "session": w.Secret.Reveal(), "JWT": signIn.Reveal()[:256],
		}
		for name, secret := range all {
			for use, do := range map[string]func() error{
				"sign in":      func() error { return kit.Err(k.Visitor.CreateSession(k.Ctx, id, secret)) },
				"verify mail":  func() error { return kit.Err(k.Visitor.ConfirmEmailVerification(k.Ctx, id, secret)) },
				"verify phone": func() error { return kit.Err(k.Visitor.ConfirmPhoneVerification(k.Ctx, id, secret)) },
				"recover":      func() error { return kit.Err(k.Visitor.ConfirmRecovery(k.Ctx, id, secret, kit.FreshPassword)) },
			} {
				if use == map[string]string{"custom": "sign in", "link": "sign in", "mail": "verify mail", "phone": "verify phone", "recovery": "recover"}[name] {
					continue
				}
				if err := do(); !errors.Is(err, latchkey.ErrInvalidToken) {
					k.Errorf("%s to %s: %v", name, use, err)
				}
			}
			if name != "session" {
				if err := kit.Err(k.Visitor.Authenticate(k.Ctx, secret)); err != latchkey.ErrUnauthorized {
					k.Errorf("%s as a session: %v", name, err)
				}
			}
			if err := kit.Err(k.Visitor.AuthenticateJWT(k.Ctx, secret)); err != latchkey.ErrJWTInvalid {
				k.Errorf("%s as a JWT: %v", name, err)
			}
		}
	})
}

// AC-026, AC-027: a link leads only to allowed hosts.
func TestAC026AndAC027LinksLeadToAllowedHosts(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		for _, to := range []string{
			"https://evil.test/in", "https://app.example.org.evil.test/", "https://app.example.org@evil.test/", "//app.example.org/in",
			"app.example.org/in", "https:/app.example.org", "https:app.example.org", `https://evil.test\@app.example.org/`, `https://app.example.org\.evil.test`,
			"https://app.example.org:evil/", "https://app.example.org%2eevil.test/", "javascript:alert(1)//app.example.org", "https://app.example.org\r\n.evil.test",
			"https://аpp.example.org/", "data:text/html,x", "https://app.example.org:0/", "https://app.example.org./", "https://APP.example.org.:443",
		} {
			if err := kit.Err(k.Visitor.CreateMagicURLToken(k.Ctx, latchkey.NewMagicURLToken{Email: kit.Ada, URL: to})); !errors.Is(err, latchkey.ErrArgumentInvalid) {
				k.Errorf("%q: %v", to, err)
			}
		}
		if n := k.Deliveries(); n != (latchkey.Deliveries{}) {
			k.Errorf("sent: %+v", n)
		}
		for to, want := range map[string]string{
			"https://app.example.org/a/../b?x=1&secret=planted&%75serId=mine#frag": "https://app.example.org/a/../b?x=1&userId=%s&secret=%s&expire=%s#frag",
			"HTTPS://App.Example.org:8443":                                         "https://App.Example.org:8443?userId=%s&secret=%s&expire=%s",
			"http://app.example.org/?":                                             "http://app.example.org/?userId=%s&secret=%s&expire=%s",
		} {
			token, err := k.Visitor.CreateMagicURLToken(k.Ctx, latchkey.NewMagicURLToken{Email: kit.Ada, URL: to})
			k.Must(err)
			m := k.Mail(kit.Ada)
			if got := fmt.Sprintf(want, m.UserID, m.Secret, url.QueryEscape(token.Expire.Format("2006-01-02T15:04:05.000+00:00"))); m.Link != got {
				k.Errorf("%q became %q, want %q", to, m.Link, got)
			}
		}
	})
}

// AC-028: a message goes to one address, in its stored form.
func TestAC028MessageGoesToOneAddress(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		for _, email := range []string{
			kit.Ada + ",mallory@example.org", kit.Ada + " mallory@example.org", kit.Ada + "\r\nBcc: mallory@example.org", "<" + kit.Ada + ">", kit.Ada + "%0abcc:x@example.org", kit.Ada + "\x00",
		} {
			if err := kit.Err(k.Visitor.CreateEmailToken(k.Ctx, latchkey.NewEmailToken{Email: email})); !errors.Is(err, latchkey.ErrArgumentInvalid) {
				k.Errorf("%q: %v", email, err)
			}
		}
		for _, number := range []string{kit.Phone + ",+14155550109", kit.Phone + ";ext=1", " " + kit.Phone, kit.Phone + "\n"} {
			if err := kit.Err(k.Visitor.CreatePhoneToken(k.Ctx, "", number)); !errors.Is(err, latchkey.ErrArgumentInvalid) {
				k.Errorf("%q: %v", number, err)
			}
		}
		k.Must(kit.Err(k.Visitor.CreateEmailToken(k.Ctx, latchkey.NewEmailToken{Email: "ADA@Example.ORG"})))
		if m := k.Mail(kit.Ada); m.To != kit.Ada {
			k.Errorf("it went to %q", m.To)
		}
	})
}

// AC-030: an attacker with only the mailbox, who sets a password and reads a code,
// does not pass another second factor. After that factor was proven, a code by mail
// serves again.
func TestAC030MailboxAloneDoesNotPassTOTP(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		account, app, _ := k.Enrolled(latchkey.NewMFAAuthenticator{})
		k.Must(kit.Err(k.Users().UpdateEmailVerification(k.Ctx, account.UserID(), true)))
		k.Must(k.Recover(k.Recovery()))
		owing := func() *latchkey.Pending {
			session, err := k.Visitor.CreateEmailPasswordSession(k.Ctx, kit.Ada, kit.FreshPassword)
			k.Must(err)
			_, err = k.Visitor.Authenticate(k.Ctx, session.Secret.Reveal())
			var owed *latchkey.MoreFactorsError
			if !errors.As(err, &owed) {
				k.Fatal(err)
			}
			return owed.Pending
		}
		byMail := func() error {
			pending := owing()
			challenge, err := pending.CreateMFAChallenge(k.Ctx, latchkey.FactorEmail)
			if err != nil {
				return err
			}
			session, err := pending.ConfirmMFAChallenge(k.Ctx, challenge.ID, k.Message(challenge.ID, kit.Ada).Secret)
			k.Must(err)
			return kit.Err(k.Visitor.Authenticate(k.Ctx, session.Secret.Reveal()))
		}
		if err := byMail(); !errors.Is(err, latchkey.ErrFactorDoesNotHelp) {
			k.Errorf("the mailbox alone: %v", err)
		}
		k.Must(kit.Err(k.Answers(owing(), latchkey.FactorTOTP, app.Code())))
		k.Must(byMail())
	})
}

// AC-030: recovery by mail leaves the factors unchanged, and the second factor is
// still owed.
func TestAC030RecoveryDoesNotSkipTheSecondFactor(t *testing.T) {
	for _, proven := range []bool{true, false} {
		t.Run(fmt.Sprint("address proven ", proven), func(t *testing.T) {
			kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
				account, app, _ := k.Enrolled(latchkey.NewMFAAuthenticator{})
				if proven {
					k.Must(kit.Err(k.Users().UpdateEmailVerification(k.Ctx, account.UserID(), true)))
				}
				k.Must(k.Recover(k.Recovery()))
				session, err := k.Visitor.CreateEmailPasswordSession(k.Ctx, kit.Ada, kit.FreshPassword)
				k.Must(err)
				_, err = k.Visitor.Authenticate(k.Ctx, session.Secret.Reveal())
				var owed *latchkey.MoreFactorsError
				if !errors.As(err, &owed) {
					k.Fatal(err)
				}
				done, err := k.Answers(owed.Pending, latchkey.FactorTOTP, app.Code())
				k.Must(err)
				k.Must(kit.Err(k.Visitor.Authenticate(k.Ctx, done.Secret.Reveal())))
			})
		})
	}
}

// AC-031: opening a link without redeeming it does not use it up.
func TestAC031LinkCanBeLookedAt(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		token, err := k.Visitor.CreateMagicURLToken(k.Ctx, latchkey.NewMagicURLToken{Email: kit.Ada})
		k.Must(err)
		secret := k.Mail(kit.Ada).Secret
		k.Forget()
		before := k.Everything()
		for range 3 {
			seen, err := k.Visitor.InspectToken(k.Ctx, token.UserID, secret)
			k.Must(err)
			if seen.ID != token.ID || !seen.Expire.Equal(token.Expire) || !seen.Secret.IsZero() {
				k.Errorf("%+v", seen)
			}
		}
		if err := kit.Err(k.Visitor.InspectToken(k.Ctx, "somebody", secret)); !errors.Is(err, latchkey.ErrInvalidToken) {
			k.Errorf("with another id: %v", err)
		}
		k.Same("rows", k.Everything(), before)
		code, digits := k.AskCode("bob@example.org")
		if err := kit.Err(k.Visitor.InspectToken(k.Ctx, code.UserID, digits)); !errors.Is(err, latchkey.ErrInvalidToken) {
			k.Errorf("a code: %v", err)
		}
		k.Must(kit.Err(k.Visitor.CreateSession(k.Ctx, token.UserID, secret)))
		if err := kit.Err(k.Visitor.InspectToken(k.Ctx, token.UserID, secret)); !errors.Is(err, latchkey.ErrInvalidToken) {
			k.Errorf("after its use: %v", err)
		}
	})
}

// AC-032: secrets are compared whole, and those of links unchanged. In a code, white space and
// dashes do not count, and the digits may be those of any script.
func TestAC032AlteredSecretsAreRefused(t *testing.T) {
	kit.OnEveryAsker(t, kit.Documented, func(k *kit.Kit, ask func(*latchkey.Guest, string) (*latchkey.Token, error), to string) {
		token, err := ask(k.Visitor, "")
		k.Must(err)
		secret := k.Mail(to).Secret
		for _, altered := range []string{
			secret[1:], secret[:len(secret)-1], secret + "0", "0" + secret, " " + secret, secret + " ", secret + "\n", secret + "=", strings.ToUpper(secret) + "",
			strings.Replace(secret, secret[:1], "\u0660", 1), strings.Replace(secret, secret[:1], string('٠'+rune(secret[0]-'0')), 1),
		} {
			if altered == secret || len(secret) == 6 && codes.Typed(altered) == secret {
				continue
			}
			if err := kit.Err(k.Visitor.CreateSession(k.Ctx, token.UserID, altered)); !errors.Is(err, latchkey.ErrInvalidToken) {
				k.Errorf("%q: %v", altered, err)
			}
		}
		for _, bad := range []string{"", strings.Repeat("0", 257), "\xff"} {
			if err := kit.Err(k.Visitor.CreateSession(k.Ctx, token.UserID, bad)); !errors.Is(err, latchkey.ErrArgumentInvalid) {
				k.Errorf("%q: %v", bad, err)
			}
		}
		k.Must(kit.Err(k.Visitor.CreateSession(k.Ctx, token.UserID, secret)))
	})
}

// AC-033: secrets and codes do not repeat, and are spread evenly.
func TestAC033SecretsCannotBePredicted(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.Visitor = k.Users().Guest(latchkey.Client{})
		seen, first := make(map[string]bool), make(map[byte]int)
		for n := range 200 {
			link, err := k.Visitor.CreateMagicURLToken(k.Ctx, latchkey.NewMagicURLToken{Email: fmt.Sprintf("u%d@example.org", n%10)})
			k.Must(err)
			code, err := k.Visitor.CreatePhoneToken(k.Ctx, "", kit.Phone)
			k.Must(err)
			if s := link.Secret.Reveal(); len(s) != 64 || seen[s] {
				k.Errorf("link %q", s)
			} else {
				seen[s] = true
			}
			c := code.Secret.Reveal()
			if len(c) != 6 || strings.Trim(c, "0123456789") != "" {
				k.Errorf("code %q", c)
			}
			first[c[0]]++
		}
		for digit, n := range first {
			if len(first) != 10 || n > 60 {
				k.Errorf("%d of 200 codes begin with %c", n, digit)
			}
		}
	})
}

// AC-034: a secret in a link serves once and for a limited time. A session's secret
// is never in a link.
func TestAC034NothingLastingIsInALink(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.Must(kit.Err(k.Visitor.CreateMagicURLToken(k.Ctx, latchkey.NewMagicURLToken{Email: kit.Ada, URL: "https://app.example.org/in"})))
		m := k.Mail(kit.Ada)
		session, err := k.Visitor.CreateSession(k.Ctx, m.UserID, m.Secret)
		k.Must(err)
		if strings.Contains(m.Link, session.Secret.Reveal()) || session.Secret.Reveal() == m.Secret {
			k.Error("the session's secret was in the link")
		}
	})
}
