package attack_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/hidden"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/internal/operations"
	"example.com/latchkey/oauth"
	"example.com/latchkey/ratelimit"
)

// mockNumber is a number of the host's own: its code is known without a message.
const mockNumber, mockCode = "+14155550142", "135790"

// under opens an engine on the store of a kit under another policy.
func under(k *kit.Kit, change func(*latchkey.Config)) *latchkey.Engine {
	k.Helper()
	return k.Configured(func(c *latchkey.Config) {
		c.Limiter = ratelimit.ReportOnly(ratelimit.NewMemory(0))
		c.MockNumbers = map[string]latchkey.Secret{mockNumber: hidden.New(mockCode)}
		change(c)
	})
}

// shut opens an engine on which nobody may sign up.
func shut(k *kit.Kit) *latchkey.Engine {
	k.Helper()
	return under(k, func(c *latchkey.Config) { c.Policy.SignUp = latchkey.SignUpClosed })
}

// proving opens an engine on which users must have proven their address.
func proving(k *kit.Kit) *latchkey.Engine {
	k.Helper()
	return under(k, func(c *latchkey.Config) { c.Policy.RequireVerifiedEmail = true })
}

// onMemory runs a long test on the memory store alone.
func onMemory(t *testing.T, policy latchkey.Policy, test func(*kit.Kit)) {
	t.Helper()
	test(kit.New(t, kit.Open(t, "memory"), policy))
}

// While sign-up is closed, no path of a client makes a user, and each answers that it is closed, or
// that the secret is wrong.
func TestAttack26bNoPathOfAClientMakesAUserWhileSignUpIsClosed(t *testing.T) {
	kit.OneByOne(t, kit.Documented, func(k *kit.Kit) {
		session, anonymous := k.Anonymous()
		begun := k.Begin(anonymous, latchkey.OAuth2Request{Provider: "acme"}) // while it was open
		guestBegun := k.Begin(k.Visitor, latchkey.OAuth2Request{Provider: "acme"})
		closed := shut(k)
		guest := closed.Guest(kit.Client)
		account, err := guest.Authenticate(k.Ctx, session.Secret.Reveal())
		k.Must(err)
		users, err := k.Users().List(k.Ctx)
		k.Must(err)

		who := oauth.Profile{Subject: "nora", Email: "nora@example.com", EmailVerified: true}
		linkBack := begun.Callback(k.Acme.Code(who))
		linkBack.Session = session.Secret.Reveal()
		number, err := guest.CreatePhoneToken(k.Ctx, "", mockNumber)
		k.Must(err)
		finish := func(r latchkey.OAuth2Request, who oauth.Profile) func() error {
			return func() error {
				r.Provider = "acme"
				return kit.Err(guest.FinishOAuth2(k.Ctx, k.Begin(guest, r).Callback(k.Acme.Code(who))))
			}
		}
		unproven := oauth.Profile{Subject: "olga", Email: "olga@example.com"}
		for what, do := range map[string]func() error{
			"sign-up": func() error {
				return kit.Err(guest.CreateAccount(k.Ctx, latchkey.NewAccount{Email: kit.Ada, Password: kit.Password}))
			},
			"anonymous": func() error { return kit.Err(guest.CreateAnonymousSession(k.Ctx)) },
			"oauth2":    finish(latchkey.OAuth2Request{}, who), "oauth2 unproven": finish(latchkey.OAuth2Request{}, unproven),
			"oauth2 token": finish(latchkey.OAuth2Request{Token: true}, who), "oauth2 unbound": finish(latchkey.OAuth2Request{Token: true, Unbound: true}, who),
			"oauth2 begun while open": func() error { return kit.Err(guest.FinishOAuth2(k.Ctx, guestBegun.Callback(k.Acme.Code(who)))) },
			"id token": func() error {
				return kit.Err(guest.CreateIDTokenSession(k.Ctx, latchkey.IDTokenSignIn{Provider: "acme", Token: k.Acme.IDToken(who)}))
			},
			"right code": func() error { return kit.Err(guest.CreateSession(k.Ctx, number.UserID, mockCode)) },

			"conversion": func() error {
				return kit.Err(account.CreateAccount(k.Ctx, latchkey.NewAccount{Email: kit.Ada, Password: kit.Password}))
			},
			"conversion, address": func() error { return kit.Err(account.UpdateEmail(k.Ctx, kit.Ada, kit.Password)) },
			"conversion, number":  func() error { return kit.Err(account.UpdatePhone(k.Ctx, kit.Phone, kit.Password)) },
			"conversion, password": func() error {
				return kit.Err(account.UpdatePassword(k.Ctx, latchkey.PasswordUpdate{New: kit.Password}))
			},
			"conversion, change of address": func() error {
				return kit.Err(account.CreateEmailChange(k.Ctx, latchkey.NewEmailChange{Email: kit.Ada}, kit.Password))
			},
			"conversion, change of number": func() error { return kit.Err(account.CreatePhoneChange(k.Ctx, mockNumber, kit.Password)) },
			"conversion, start": func() error {
				return kit.Err(account.StartOAuth2(k.Ctx, latchkey.OAuth2Request{Provider: "acme", RedirectURL: kit.CallbackURL}))
			},
			"conversion, link begun while open": func() error { return kit.Err(guest.FinishOAuth2(k.Ctx, linkBack)) },
			"conversion, id token": func() error {
				return kit.Err(account.LinkIDToken(k.Ctx, latchkey.IDTokenSignIn{Provider: "acme", Token: k.Acme.IDToken(who)}))
			},
		} {
			err := do()
			if what == "right code" {
				if !errors.Is(err, latchkey.ErrInvalidToken) {
					k.Errorf("%s: %v", what, err)
				}
			} else if !errors.Is(err, latchkey.ErrSignUpClosed) {
				k.Errorf("%s: %v", what, err)
			}
		}
		k.Must(kit.Err(guest.CreateMagicURLToken(k.Ctx, latchkey.NewMagicURLToken{Email: kit.Bob})))
		k.Must(kit.Err(guest.CreateEmailToken(k.Ctx, latchkey.NewEmailToken{Email: kit.Bob})))
		k.Must(kit.Err(guest.CreatePhoneToken(k.Ctx, "", kit.Phone)))
		k.Same("messages", k.Posted(closed), []string(nil))
		after, err := k.Users().List(k.Ctx)
		k.Must(err)
		k.Same("users", after.Total, users.Total)
		user, err := k.Users().Get(k.Ctx, session.UserID)
		k.Must(err)
		if user.Email+user.Phone != "" || k.Rows()["identities"] != 0 {
			k.Errorf("converted: %+v", user)
		}
	})
}

// A link or a code that a client has asked for while sign-up was open makes no user after it was
// closed: it lives for up to a day.
func TestAttack26bATokenAskedForWhileSignUpWasOpenMakesNoUserLater(t *testing.T) {
	kit.OneByOne(t, kit.Documented, func(k *kit.Kit) {
		token, err := k.Visitor.CreateMagicURLToken(k.Ctx, latchkey.NewMagicURLToken{Email: kit.Ada})
		k.Must(err)
		mail := k.MailOf(token, kit.Ada)
		if err := kit.Err(shut(k).Guest(kit.Client).CreateSession(k.Ctx, mail.UserID, mail.Secret)); !errors.Is(err, latchkey.ErrInvalidToken) {
			k.Errorf("a client has made a user while sign-up is closed: %v", err)
		}
	})
}

// While sign-up is closed, a client who asks for a link to an address does not keep out whom the server
// has sent one to: the one that takes its place is sent, and makes the user.
func TestAttack26bAClientDoesNotVoidTheLinkOfTheServerWhileSignUpIsClosed(t *testing.T) {
	kit.OneByOne(t, kit.Documented, func(k *kit.Kit) {
		closed := shut(k)
		token, err := closed.Users().Guest(kit.Client).CreateMagicURLToken(k.Ctx, latchkey.NewMagicURLToken{Email: kit.Ada})
		k.Must(err)
		attacker := closed.Guest(kit.At(kit.Attacker))
		again, err := attacker.CreateMagicURLToken(k.Ctx, latchkey.NewMagicURLToken{Email: kit.Ada})
		k.Must(err)
		k.Must(kit.Err(attacker.CreateEmailToken(k.Ctx, latchkey.NewEmailToken{Email: kit.Ada}))) // another kind
		m := k.MailOf(again, kit.Ada)
		if m.ID == token.ID {
			k.Error("the first link is open")
		}
		k.Must(kit.Err(closed.Guest(kit.Client).CreateSession(k.Ctx, m.UserID, m.Secret)))
	})
}

// spent runs do and returns its error with the calls of the store that it has cost.
func spent(k *kit.Kit, do func() error) string {
	k.Store.Reset()
	err := do()
	return fmt.Sprintf("%v, %d reads, %d updates, %d calls inside", err, k.Store.Reads.Load(), k.Store.Updates.Load(), k.Store.Calls.Load())
}

// While sign-up is closed, a provider's person with an address that the provider has not proven costs
// the same, and gets the same answer, whether the address has an account or not.
func TestAttack26bAnUnprovenPersonDoesNotLearnOfAccountsWhileSignUpIsClosed(t *testing.T) {
	onMemory(t, kit.Documented, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		k.SignInBy(k.Visitor, k.Other, oauth.Profile{Subject: "held", Email: "held@example.com", EmailVerified: true})
		guest := shut(k).Guest(kit.Client)
		ask := func(email string) string {
			cb := k.Begin(guest, latchkey.OAuth2Request{Provider: "acme"}).Callback(k.Acme.Code(oauth.Profile{Subject: "eve", Email: email}))
			return spent(k, func() error { return kit.Err(guest.FinishOAuth2(k.Ctx, cb)) })
		}
		nobody := ask("nobody@example.com")
		k.Same("an account", ask(kit.Ada), nobody)
		k.Same("an identity's", ask("held@example.com"), nobody)
	})
}

// While sign-up is closed, asking for links and codes costs the same for an address with an account
// and without one, and a wrong answer too.
func TestAttack26bAskingCostsTheSameForEveryAddressWhileSignUpIsClosed(t *testing.T) {
	onMemory(t, kit.Documented, func(k *kit.Kit) {
		k.Proven()
		k.SignUp(kit.Bob)
		k.Must(kit.Err(k.Users().UpdateStatus(k.Ctx, k.IDOf(kit.Bob), false)))
		guest := shut(k).Guest(kit.Client)
		costs := func(email, phone string) (out []string) {
			out = append(out, spent(k, func() error {
				return kit.Err(guest.CreateMagicURLToken(k.Ctx, latchkey.NewMagicURLToken{Email: email, UserID: "wanted"}))
			}), spent(k, func() error {
				return kit.Err(guest.CreateEmailToken(k.Ctx, latchkey.NewEmailToken{Email: email, UserID: "wanted"}))
			}), spent(k, func() error { return kit.Err(guest.CreateSession(k.Ctx, "wanted", "000000")) }),
				spent(k, func() error { return kit.Err(guest.CreatePhoneToken(k.Ctx, "wanted2", phone)) }))
			k.Clock.Advance(48 * time.Hour)
			k.Must(kit.Err(k.Sweep(k.Ctx)))
			return out
		}
		nobody := costs("nobody@example.org", "+14155550177")
		k.Same("an account", costs(kit.Ada, kit.Phone), nobody)
		k.Same("a blocked one", costs(kit.Bob, "+14155550178"), nobody)
	})
}

// While sign-up is closed, the refusal of a right link or a right person whose address another
// person's account has changes nothing of that account.
func TestAttack26bARefusedPersonTakesNothingWhileSignUpIsClosed(t *testing.T) {
	kit.OneByOne(t, kit.Documented, func(k *kit.Kit) {
		planted := k.SignUp(kit.Ada) // by a stranger, who has proven a number
		k.Must(kit.Err(k.Users().UpdatePhone(k.Ctx, planted.ID, kit.Phone)))
		k.Must(kit.Err(k.Users().UpdatePhoneVerification(k.Ctx, planted.ID, true)))
		guest := shut(k).Guest(kit.Client)
		token, err := guest.CreateMagicURLToken(k.Ctx, latchkey.NewMagicURLToken{Email: kit.Ada})
		k.Must(err)
		link := k.MailOf(token, kit.Ada)
		person := k.Begin(guest, latchkey.OAuth2Request{Provider: "acme"}).Callback(k.Acme.Code(oauth.Profile{Subject: "ada", Email: kit.Ada, EmailVerified: true}))
		state := func() map[string][]string {
			all := k.Everything()
			for _, table := range []string{"logs", "tokens", "starts"} {
				delete(all, table)
			}
			return all
		}
		before := state()
		for what, err := range map[string]error{
			"link": kit.Err(guest.CreateSession(k.Ctx, link.UserID, link.Secret)), "person": kit.Err(guest.FinishOAuth2(k.Ctx, person)),
		} {
			if !errors.Is(err, latchkey.ErrInvalidToken) && !errors.Is(err, latchkey.ErrSignUpClosed) {
				k.Errorf("%s: %v", what, err)
			}
		}
		k.Same("the store", state(), before)
	})
}

// verifiedWorld returns the world of an operation whose user has proven the address, at an engine
// that asks for that.
func verifiedWorld(k *kit.Kit, op operations.Operation) *operations.World {
	w := operations.NewWorld(k, true, op)
	was := k.Engine
	strict := proving(k)
	k.Cleanup(func() { k.Engine = was })
	k.Engine, k.Visitor = strict, strict.Guest(kit.Client)
	k.Must(kit.Err(k.Users().UpdateEmailVerification(k.Ctx, w.User.ID, true)))
	var err error
	w.Account, err = k.Visitor.Authenticate(k.Ctx, w.Secret.Reveal())
	k.Must(err)
	return w
}

// No operation of an account is done, when the address of its user is not proven any more, whether
// that was before the operation or within it.
func TestAttack26bNoOperationOfAnUnprovenUser(t *testing.T) {
	for _, op := range operations.Table {
		if op.Free {
			continue
		}
		t.Run(op.Name, func(t *testing.T) {
			onMemory(t, kit.Documented, func(k *kit.Kit) {
				w := verifiedWorld(k, op)
				k.Must(kit.Err(k.Users().UpdateEmailVerification(k.Ctx, w.User.ID, false)))
				k.Refuses(op.Name, latchkey.ErrEmailVerificationRequired, func() error { return op.Do(w) })
			})
			if op.Quiet {
				return
			}
			onMemory(t, kit.Documented, func(k *kit.Kit) {
				w := verifiedWorld(k, op)
				ran := false // not if the operation is refused before it writes
				k.Interfere(func() {
					k.Must(kit.Err(k.Users().UpdateEmailVerification(k.Ctx, w.User.ID, false)))
					ran = true
				})
				if err := op.Do(w); ran && !errors.Is(err, latchkey.ErrEmailVerificationRequired) {
					k.Errorf("within it: %v", err)
				}
			})
		})
	}
}

// Nobody acts for a user who may not act: Impersonate and its account answer as the user would be
// answered.
func TestAttack26bNobodyActsForAnUnprovenUser(t *testing.T) {
	kit.OneByOne(t, kit.Documented, func(k *kit.Kit) {
		staff, user := k.SignUp(kit.Ada), k.SignUp(kit.Bob)
		k.Must(kit.Err(k.Users().UpdateEmailVerification(k.Ctx, staff.ID, true)))
		k.Must(kit.Err(k.Users().UpdateImpersonator(k.Ctx, staff.ID, true)))
		session, _ := k.SignIn(kit.Ada)
		account, err := proving(k).Guest(kit.Client).Authenticate(k.Ctx, session.Secret.Reveal())
		k.Must(err)
		if err := kit.Err(account.Impersonate(k.Ctx, latchkey.ImpersonatedUser{UserID: user.ID})); !errors.Is(err, latchkey.ErrEmailVerificationRequired) {
			k.Errorf("an account of an unproven user: %v", err)
		}
	})
}

// unverified returns the handle of a session of a user who must prove the address.
func unverified(k *kit.Kit, err error) *latchkey.Unverified {
	k.Helper()
	var lesser *latchkey.UnverifiedEmailError
	if !errors.As(err, &lesser) {
		k.Fatal(err)
	}
	return lesser.Unverified
}

// Who has only the secret of a session of an unproven user moves no address, neither by guesses nor
// by a race with the proof; and the handle ends with the session.
func TestAttack26bTheUnverifiedHandleOfAThief(t *testing.T) {
	kit.OneByOne(t, kit.Documented, func(k *kit.Kit) {
		user := k.SignUp(kit.Ada)
		session, _ := k.SignIn(kit.Ada)
		_, jwt := k.ByJWT(user.ID, session.ID)
		strict := proving(k)
		guest := strict.Guest(kit.At(kit.Attacker))
		handle := unverified(k, kit.Err(guest.Authenticate(k.Ctx, session.Secret.Reveal())))
		_, _, err := guest.AuthenticateProfile(k.Ctx, session.Secret.Reveal())
		unverified(k, err)
		byJWT := unverified(k, kit.Err(guest.AuthenticateJWT(k.Ctx, jwt.Reveal())))
		for _, h := range []*latchkey.Unverified{handle, byJWT} {
			for _, guess := range []string{"", "wrong horse"} {
				k.Same("a guess", h.UpdateEmail(k.Ctx, "eve@example.org", guess), error(latchkey.ErrInvalidCredentials))
			}
		}
		for range 20 {
			_ = handle.UpdateEmail(k.Ctx, "eve@example.org", "wrong horse")
		}
		if err := k.Try(kit.Attacker, kit.Ada, kit.Password); !errors.Is(err, latchkey.ErrRateLimitExceeded) {
			k.Errorf("guesses are not counted with those of sign-ins: %v", err)
		}
		k.Clock.Advance(2 * time.Hour)
		k.Interfere(func() { k.Must(kit.Err(k.Users().UpdateEmailVerification(k.Ctx, user.ID, true))) })
		if err := handle.UpdateEmail(k.Ctx, "eve@example.org", kit.Password); !errors.Is(err, latchkey.ErrEmailAlreadyVerified) {
			k.Errorf("the address was proven meanwhile: %v", err)
		}
		if err := handle.UpdateEmail(k.Ctx, "eve@example.org", kit.Password); !errors.Is(err, latchkey.ErrEmailAlreadyVerified) {
			k.Errorf("a proven address: %v", err)
		}
		k.Must(kit.Err(k.Users().UpdateEmailVerification(k.Ctx, user.ID, false)))
		k.Must(k.Users().DeleteSessions(k.Ctx, user.ID))
		for what, err := range map[string]error{
			"Email": kit.Err(handle.Email(k.Ctx)), "UpdateEmail": handle.UpdateEmail(k.Ctx, kit.Bob, kit.Password), "DeleteSession": handle.DeleteSession(k.Ctx),
			"CreateEmailVerification": kit.Err(handle.CreateEmailVerification(k.Ctx, kit.VerifyURL)),
		} {
			if !errors.Is(err, latchkey.ErrUnauthorized) {
				k.Errorf("%s after the end of the session: %v", what, err)
			}
		}
		got, err := k.Users().Get(k.Ctx, user.ID)
		k.Must(err)
		k.Same("address", got.Email, kit.Ada)
	})
}
