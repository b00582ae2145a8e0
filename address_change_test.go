package latchkey_test

import (
	"errors"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/notify"
)

const countess = "countess@example.org"

// provenAda signs Ada up, with a verified address, and in.
func provenAda(k *kit.Kit) (*latchkey.User, *latchkey.Account) {
	k.Helper()
	user := k.SignUp(kit.Ada)
	k.Must(kit.Err(k.Users().UpdateEmailVerification(k.Ctx, user.ID, true)))
	_, account := k.SignIn(kit.Ada)
	return user, account
}

// ask asks for a change of the address, and returns the message to the new one.
func ask(k *kit.Kit, a *latchkey.Account, to string) kit.Message {
	k.Helper()
	token, err := a.CreateEmailChange(k.Ctx, latchkey.NewEmailChange{Email: to, URL: kit.VerifyURL}, kit.Password)
	k.Must(err)
	return k.MailOf(token, to)
}

// move changes the address of an account by proof.
func move(k *kit.Kit, a *latchkey.Account, to string) {
	k.Helper()
	k.Must(kit.Err(a.ConfirmEmailChange(k.Ctx, ask(k, a, to).Secret, kit.UndoURL)))
}

// moveNumber changes the number of an account by proof, and returns the link in the notice to the
// former one.
func moveNumber(k *kit.Kit, a *latchkey.Account, to string) kit.Message {
	k.Helper()
	token, err := a.CreatePhoneChange(k.Ctx, to, kit.Password)
	k.Must(err)
	k.Must(kit.Err(a.ConfirmPhoneChange(k.Ctx, k.MailOf(token, to).Secret, kit.UndoURL)))
	return k.MailOfKind(notify.PhoneChanged, kit.Phone)
}

// answers fails unless a call is refused for a reason. The refusal may be counted and logged.
func answers(k *kit.Kit, what string, want error, do func() error) {
	k.Helper()
	if err := do(); !errors.Is(err, want) {
		k.Errorf("%s: %v, want %v", what, err, want)
	}
}

// undoOf returns the link in the notice to a former address.
func undoOf(k *kit.Kit, address string) kit.Message {
	k.Helper()
	return k.MailOfKind(notify.EmailChanged, address)
}

func TestAnAddressChangesOnceTheNewOneIsProven(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user, account := provenAda(k)
		k.Forget()
		m := ask(k, account, countess)
		if m.Kind != notify.EmailChange || m.Name != "" || m.UserID != user.ID || !strings.HasPrefix(m.Link, kit.VerifyURL+"?") {
			k.Errorf("%+v %s", m.Message, m.Link)
		}
		k.Same("events", k.Events(user.ID, "U", m.ID, "C"), []string{"users.U.changes.C.create by user"})
		got, err := account.User(k.Ctx)
		k.Must(err)
		if got.Email != kit.Ada || !got.EmailVerification {
			k.Errorf("before the proof: %s %v", got.Email, got.EmailVerification)
		}
		k.SignIn(kit.Ada) // by the old address
		answers(k, "sign-in by the new one", latchkey.ErrInvalidCredentials, func() error { return k.Try(kit.Owner, countess, kit.Password) })

		changed, err := account.ConfirmEmailChange(k.Ctx, m.Secret, kit.UndoURL)
		k.Must(err)
		if changed.Email != countess || !changed.EmailVerification {
			k.Errorf("after it: %+v", changed)
		}
		notice := undoOf(k, kit.Ada)
		u, err := url.Parse(notice.Link)
		k.Must(err)
		if u.Query().Get("userId") != user.ID || u.Query().Get("secret") != notice.Secret || !notice.Expire.Equal(k.Clock.Now().Add(7*24*time.Hour)) {
			k.Errorf("%+v", notice.Message)
		}
		k.SignIn(countess)
		answers(k, "the link once more", latchkey.ErrInvalidToken, func() error { return kit.Err(account.ConfirmEmailChange(k.Ctx, m.Secret, "")) })
	})
}

func TestAChangeAsksForThePasswordAndForAFreeAddress(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		_, account := provenAda(k)
		bob := k.SignUp(kit.Bob)
		create := func(email, password string) func() error {
			return func() error {
				return kit.Err(account.CreateEmailChange(k.Ctx, latchkey.NewEmailChange{Email: email, URL: kit.VerifyURL}, password))
			}
		}
		answers(k, "its own address", latchkey.ErrEmailAlreadyVerified, create(kit.Ada, kit.Password))
		answers(k, "no address", latchkey.ErrArgumentInvalid, create("moved", kit.Password))
		answers(k, "no password", latchkey.ErrInvalidCredentials, create(countess, ""))
		k.Must(create(kit.Bob, kit.Password)()) // he has not proven it
		k.Must(kit.Err(k.Users().UpdateEmailVerification(k.Ctx, bob.ID, true)))
		if err := create(kit.Bob, kit.Password)(); !errors.Is(err, latchkey.ErrEmailAlreadyExists) {
			k.Errorf("another user's address: %v", err)
		}
		if err := create(countess, "wrong horse")(); !errors.Is(err, latchkey.ErrInvalidCredentials) {
			k.Errorf("wrong password: %v", err)
		}
		answers(k, "a page of another host", latchkey.ErrArgumentInvalid, func() error {
			return kit.Err(account.CreateEmailChange(k.Ctx, latchkey.NewEmailChange{Email: countess, URL: "https://evil.example/"}, kit.Password))
		})
		byJWT, _ := k.ByJWT(account.UserID(), account.SessionID())
		m := ask(k, byJWT, countess)
		answers(k, "a JWT confirms nothing", latchkey.ErrSessionNotFound, func() error { return kit.Err(byJWT.ConfirmEmailChange(k.Ctx, m.Secret, "")) })
		_, other := k.SignIn(kit.Bob)
		if err := kit.Err(other.ConfirmEmailChange(k.Ctx, m.Secret, "")); !errors.Is(err, latchkey.ErrInvalidToken) {
			k.Errorf("the session of another user: %v", err)
		}
		answers(k, "a guest verifies nothing with it", latchkey.ErrInvalidToken, func() error {
			return kit.Err(k.Visitor.ConfirmRecovery(k.Ctx, account.UserID(), m.Secret, kit.Password))
		})
	})
}

// AC-023, AC-024: a link is bound to its address, and a later request, a change of the address and a
// change of the password end it.
func TestAC023AChangeIsBoundToItsAddress(t *testing.T) {
	for what, end := range map[string]func(k *kit.Kit, a *latchkey.Account) error{
		"another request": func(k *kit.Kit, a *latchkey.Account) error {
			ask(k, a, "other@example.org")
			return nil
		},
		"a change without proof": func(k *kit.Kit, a *latchkey.Account) error {
			return kit.Err(a.UpdateEmail(k.Ctx, "other@example.org", kit.Password))
		},
		"a change by the server": func(k *kit.Kit, a *latchkey.Account) error {
			return kit.Err(k.Users().UpdateEmail(k.Ctx, a.UserID(), "other@example.org"))
		},
		"a new password": func(k *kit.Kit, a *latchkey.Account) error {
			return kit.Err(a.UpdatePassword(k.Ctx, latchkey.PasswordUpdate{New: "another horse", Old: kit.Password}))
		},
		"its life": func(k *kit.Kit, a *latchkey.Account) error { k.Clock.Advance(7 * 24 * time.Hour); return nil },
	} {
		t.Run(what, func(t *testing.T) {
			kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
				_, account := provenAda(k)
				m := ask(k, account, countess)
				k.Must(end(k, account))
				if err := kit.Err(account.ConfirmEmailChange(k.Ctx, m.Secret, "")); !errors.Is(err, latchkey.ErrInvalidToken) {
					k.Error(err)
				}
			})
		})
	}
}

func TestAnAddressThatIsTakenMeanwhileIsRefused(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		_, account := provenAda(k)
		m := ask(k, account, countess)
		squatter, err := k.Users().Create(k.Ctx, latchkey.NewUser{Email: countess})
		k.Must(err)
		k.Must(kit.Err(k.Users().UpdateEmailVerification(k.Ctx, squatter.ID, true)))
		answers(k, "proven by another user", latchkey.ErrEmailAlreadyExists, func() error { return kit.Err(account.ConfirmEmailChange(k.Ctx, m.Secret, "")) })
		k.Must(kit.Err(k.Users().UpdateEmailVerification(k.Ctx, squatter.ID, false)))
		k.Must(kit.Err(account.ConfirmEmailChange(k.Ctx, m.Secret, ""))) // the first proof decides
		got, err := k.Users().Get(k.Ctx, squatter.ID)
		k.Must(err)
		if got.Email != "" {
			k.Errorf("the squatter has %s", got.Email)
		}
	})
}

func TestAFreedAddressIsHeldAsLongAsItCanBeRestored(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		_, account := provenAda(k)
		move(k, account, countess)
		bob := k.SignUp(kit.Bob)
		_, bobs := k.SignIn(kit.Bob)
		takers := map[string]func() error{
			"signing up": func() error {
				return kit.Err(k.Visitor.CreateAccount(k.Ctx, latchkey.NewAccount{Email: kit.Ada, Password: kit.Password}))
			},
			"the server":           func() error { return kit.Err(k.Users().Create(k.Ctx, latchkey.NewUser{Email: kit.Ada})) },
			"a change by the user": func() error { return kit.Err(bobs.UpdateEmail(k.Ctx, kit.Ada, kit.Password)) },
			"a change by proof": func() error {
				return kit.Err(bobs.CreateEmailChange(k.Ctx, latchkey.NewEmailChange{Email: kit.Ada, URL: kit.VerifyURL}, kit.Password))
			},
			"a change by the server": func() error { return kit.Err(k.Users().UpdateEmail(k.Ctx, bob.ID, kit.Ada)) },
		}
		for what, take := range takers {
			if err := take(); !errors.Is(err, latchkey.ErrUserAlreadyExists) && !errors.Is(err, latchkey.ErrEmailAlreadyExists) && !errors.Is(err, latchkey.ErrTargetAlreadyExists) {
				k.Errorf("%s: %v", what, err)
			}
		}
		token, err := k.Visitor.CreateMagicURLToken(k.Ctx, latchkey.NewMagicURLToken{Email: kit.Ada, URL: kit.VerifyURL})
		k.Must(err)
		for _, m := range k.Drained(k.Configured(func(*latchkey.Config) {})) {
			if m.ID == token.ID {
				k.Error("a link was sent to the held address")
			}
		}
		k.Clock.Advance(7 * 24 * time.Hour)
		k.Must(takers["signing up"]())
	})
}

func TestAReleasedAddressIsFree(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user, account := provenAda(k)
		move(k, account, countess)
		undo := undoOf(k, kit.Ada)
		k.Must(k.Users().ReleaseAddresses(k.Ctx, user.ID))
		k.SignUp(kit.Ada)
		answers(k, "its link", latchkey.ErrInvalidToken, func() error { return kit.Err(k.Visitor.RestoreAddress(k.Ctx, user.ID, undo.Secret)) })
	})
}

func TestAnInvitationToAHeldAddressIsSentNowhere(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		_, account := provenAda(k)
		move(k, account, countess)
		k.SignUp(kit.Bob)
		_, bobs := k.SignIn(kit.Bob)
		team, err := bobs.Teams().Create(k.Ctx, latchkey.NewTeam{Name: "Engines"})
		k.Must(err)
		for _, to := range []string{kit.Ada, "someone@example.org"} { // one answer for both
			m, err := bobs.Teams().CreateMembership(k.Ctx, team.ID, latchkey.NewMembership{Email: to, URL: kit.JoinURL})
			k.Must(err)
			if m.UserEmail != to || m.Confirm {
				k.Errorf("%+v", m)
			}
		}
		for _, m := range k.Drained(k.Engine) {
			if m.Kind == notify.Invitation && m.To == kit.Ada {
				k.Error("an invitation was sent to the held address")
			}
		}
	})
}

// The server's word about an address is the last: nothing of the held one is left that would make
// the mailbox of the new one another person's.
func TestAChangeByTheServerLeavesNothingOfAHeldAddress(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user, account := provenAda(k)
		move(k, account, countess)
		k.Must(kit.Err(k.Users().UpdateEmail(k.Ctx, user.ID, "lovelace@example.org")))
		token, err := k.Visitor.CreateMagicURLToken(k.Ctx, latchkey.NewMagicURLToken{Email: "lovelace@example.org", URL: kit.VerifyURL})
		k.Must(err)
		m := k.MailOf(token, "lovelace@example.org")
		session, err := k.Visitor.CreateSession(k.Ctx, m.UserID, m.Secret)
		k.Must(err)
		if session.UserID != user.ID {
			k.Errorf("the link to the address has opened the account %s, not %s", session.UserID, user.ID)
		}
	})
}

// A first proof takes the password of a stranger away. There is nothing left to set anew.
func TestAFirstProofLeavesNoPasswordToSetAnew(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user := k.SignUp(kit.Ada)
		k.ChangeUser(user.ID, func(u *record.User) { u.MustReset = true })
		_, code := k.AskCode(kit.Ada)
		session, err := k.Visitor.CreateSession(k.Ctx, user.ID, code)
		k.Must(err)
		k.Must(kit.Err(k.Visitor.Authenticate(k.Ctx, session.Secret.Reveal())))
	})
}

func TestANumberChangesByProofAndCanBeRestored(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user := k.Proven()
		_, account := k.SignIn(kit.Ada)
		token, err := account.CreatePhoneChange(k.Ctx, kit.OwnPhone, kit.Password)
		k.Must(err)
		m := k.MailOf(token, kit.OwnPhone)
		if m.Kind != notify.PhoneChange || len(m.Secret) != 6 || m.Name != "" {
			k.Errorf("%+v", m.Message)
		}
		answers(k, "no code", latchkey.ErrInvalidToken, func() error { return kit.Err(account.ConfirmPhoneChange(k.Ctx, "12 34", "")) })
		if err := kit.Err(account.ConfirmPhoneChange(k.Ctx, kit.OtherCode(m.Secret), "")); !errors.Is(err, latchkey.ErrInvalidToken) {
			k.Errorf("a wrong code: %v", err)
		}
		changed, err := account.ConfirmPhoneChange(k.Ctx, m.Secret, kit.UndoURL)
		k.Must(err)
		if changed.Phone != kit.OwnPhone || !changed.PhoneVerification {
			k.Errorf("%+v", changed)
		}
		undo := k.MailOfKind(notify.PhoneChanged, kit.Phone)
		answers(k, "the server, while it is held", latchkey.ErrUserAlreadyExists, func() error { return kit.Err(k.Users().Create(k.Ctx, latchkey.NewUser{Phone: kit.Phone})) })
		back, err := k.Visitor.RestoreAddress(k.Ctx, user.ID, undo.Secret)
		k.Must(err)
		got, err := k.Users().Get(k.Ctx, user.ID)
		k.Must(err)
		if got.Phone != kit.Phone || !got.PhoneVerification || got.Email != kit.Ada || !back.Secret.IsZero() {
			k.Errorf("%+v %+v", got, back)
		}
		if m := k.MailOfKind(notify.PhoneChanged, kit.Ada); m.Link != "" || !m.Message.Secret.IsZero() {
			k.Error("the link went to the mailbox too")
		}
		answers(k, "a page with a long address", latchkey.ErrArgumentInvalid, func() error {
			return kit.Err(account.ConfirmPhoneChange(k.Ctx, "123456", "https://app.example.org/"+strings.Repeat("x", 250)))
		})
	})
}

// Codes to a number count against the number, over all accounts: an attacker who asks for them with
// many accounts has no more guesses.
func TestWrongCodesOfAChangeCountByTheNumber(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		wrong := 0
		for _, email := range []string{kit.Ada, kit.Bob, "eve@example.org", "nora@example.org"} {
			k.SignUp(email)
			_, account := k.SignIn(email)
			token, err := account.CreatePhoneChange(k.Ctx, kit.OwnPhone, kit.Password)
			k.Must(err)
			other := kit.OtherCode(k.MailOf(token, kit.OwnPhone).Secret)
			for range 5 {
				err := kit.Err(account.ConfirmPhoneChange(k.Ctx, other, ""))
				switch {
				case errors.Is(err, latchkey.ErrInvalidToken):
					wrong++
				case !errors.Is(err, latchkey.ErrRateLimitExceeded):
					k.Fatal(err)
				}
			}
		}
		if wrong > 11 {
			k.Errorf("%d guesses at once", wrong)
		}
	})
}

func TestAnAnonymousAccountGetsAnAddressByProof(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		_, account := k.Anonymous()
		k.Must(kit.Err(account.ConfirmEmailChange(k.Ctx, ask(k, account, countess).Secret, kit.UndoURL)))
		got, err := account.User(k.Ctx)
		k.Must(err)
		if got.Email != countess || !got.EmailVerification || !got.PasswordUpdate.IsZero() {
			k.Errorf("%+v", got)
		}
		if posted := k.Posted(k.Engine); slices.ContainsFunc(posted, func(p string) bool { return strings.HasPrefix(p, "email-changed") }) {
			k.Error(posted)
		}
	})
}

// The owner of the former address hears of the deletion, which no link takes back.
func TestADeletionIsToldToHeldAddresses(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user, thief := provenAda(k)
		move(k, thief, "thief@example.org")
		k.Must(thief.Delete(k.Ctx))
		if got := k.Posted(k.Engine); !slices.Contains(got, "account-deleted "+kit.Ada) {
			k.Error(got)
		}
		if n := k.Rows()["tokens"]; n != 0 {
			k.Errorf("%d tokens of %s", n, user.ID)
		}
	})
}

// The calls count with those of UpdateEmail and UpdatePhone: the answer tells whether an address is taken.
func TestChangesByProofCountWithThoseWithout(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		session, _ := k.SignIn(kit.Ada)
		account, err := k.LimitedEngine(nil).Guest(kit.Client).Authenticate(k.Ctx, session.Secret.Reveal())
		k.Must(err)
		email := func() error {
			return kit.Err(account.CreateEmailChange(k.Ctx, latchkey.NewEmailChange{Email: "malformed"}, kit.Password))
		}
		phone := func() error { return kit.Err(account.CreatePhoneChange(k.Ctx, "malformed", kit.Password)) }
		for range 10 {
			answers(k, "an address", latchkey.ErrArgumentInvalid, email)
			answers(k, "a number", latchkey.ErrArgumentInvalid, phone)
		}
		answers(k, "the eleventh address", latchkey.ErrRateLimitExceeded, email)
		answers(k, "the eleventh number", latchkey.ErrRateLimitExceeded, phone)
	})
}

// Answers to a change and to a link that restores are counted by the user.
func TestAnswersToAChangeAreCounted(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user := k.SignUp(kit.Ada)
		session, _ := k.SignIn(kit.Ada)
		guest := k.LimitedEngine(nil).Guest(kit.Client)
		account, err := guest.Authenticate(k.Ctx, session.Secret.Reveal())
		k.Must(err)
		for what, answer := range map[string]func() error{
			"an address": func() error { return kit.Err(account.ConfirmEmailChange(k.Ctx, "wrong", "")) },
			"a link":     func() error { return kit.Err(guest.RestoreAddress(k.Ctx, user.ID, "wrong")) },
		} {
			for range 10 {
				answers(k, what, latchkey.ErrInvalidToken, answer)
			}
			answers(k, "the eleventh time, "+what, latchkey.ErrRateLimitExceeded, answer)
		}
	})
}

// An address without a proof is not held: it may be a stranger's.
func TestAnUnprovenAddressIsNotHeld(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		_, account := k.SignIn(kit.Ada)
		move(k, account, countess)
		k.SignUp(kit.Ada)
	})
}

// A change by the server frees the held addresses of that kind.
func TestAChangeByTheServerEndsTheHold(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user := k.Proven()
		_, account := k.SignIn(kit.Ada)
		token, err := account.CreatePhoneChange(k.Ctx, kit.OwnPhone, kit.Password)
		k.Must(err)
		k.Must(kit.Err(account.ConfirmPhoneChange(k.Ctx, k.MailOf(token, kit.OwnPhone).Secret, "")))
		move(k, account, countess)
		k.Must(kit.Err(k.Users().UpdateEmail(k.Ctx, user.ID, "other@example.org")))
		k.SignUp(kit.Ada)
		k.Refuses("the number", latchkey.ErrUserAlreadyExists, func() error { return kit.Err(k.Users().Create(k.Ctx, latchkey.NewUser{Phone: kit.Phone})) })
	})
}

// provenByLink signs Ada up and in, and proves her address by a link in her session.
func provenByLink(k *kit.Kit) *latchkey.Session {
	k.Helper()
	k.SignUp(kit.Ada)
	session, account := k.SignIn(kit.Ada)
	token, err := account.CreateEmailVerification(k.Ctx, kit.VerifyURL)
	k.Must(err)
	k.Must(kit.Err(account.ConfirmEmailVerification(k.Ctx, k.MailOf(token, kit.Ada).Secret)))
	return session
}

// An address that the user has proven long ago has a link, whatever else the account has. One that came
// lately beside a proven one, or beside a provider, has none: a thief may have added it.
func TestOnlyASettledAddressHasALink(t *testing.T) {
	hasLink := func(k *kit.Kit, m kit.Message) bool { return !m.Message.Secret.IsZero() }
	t.Run("long ago", func(t *testing.T) {
		kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
			session := provenByLink(k)
			k.Must(kit.Err(k.LinkBy(k.Visitor, session.Secret, k.Acme, acmeAda)))
			k.Clock.Advance(8 * 24 * time.Hour)
			_, account := k.SignIn(kit.Ada)
			move(k, account, countess)
			if !hasLink(k, undoOf(k, kit.Ada)) {
				k.Error("no link")
			}
		})
	})
	t.Run("beside a provider", func(t *testing.T) {
		kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
			session := k.SignInBy(k.Visitor, k.Acme, acmeAda)
			k.Must(kit.Err(k.Users().UpdateEmail(k.Ctx, session.UserID, "")))
			thief, err := k.Visitor.Authenticate(k.Ctx, session.Secret.Reveal())
			k.Must(err)
			move(k, thief, "thief@example.org")
			move(k, thief, countess)
			if hasLink(k, undoOf(k, "thief@example.org")) {
				k.Error("a link")
			}
		})
	})
	t.Run("beside another address", func(t *testing.T) {
		kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
			thief, err := k.Visitor.Authenticate(k.Ctx, provenByLink(k).Secret.Reveal())
			k.Must(err)
			for _, number := range []string{kit.Phone, kit.OwnPhone} {
				k.Clock.Advance(time.Second)
				change, err := thief.CreatePhoneChange(k.Ctx, number, kit.Password)
				k.Must(err)
				k.Must(kit.Err(thief.ConfirmPhoneChange(k.Ctx, k.MailOf(change, number).Secret, "")))
			}
			if hasLink(k, k.MailOfKind(notify.PhoneChanged, kit.Phone)) {
				k.Error("a link")
			}
		})
	})
}

// A link to the present address, which was proven in another way meanwhile, holds nothing.
func TestAChangeToThePresentAddressLeavesNoLink(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user := k.SignUp(kit.Ada)
		_, account := k.SignIn(kit.Ada)
		m := ask(k, account, kit.Ada)
		k.Must(kit.Err(k.Users().UpdateEmailVerification(k.Ctx, user.ID, true)))
		k.Must(kit.Err(account.ConfirmEmailChange(k.Ctx, m.Secret, "")))
		if n := k.Rows()["tokens"]; n != 0 {
			k.Errorf("%d tokens", n)
		}
	})
}
