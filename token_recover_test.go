package latchkey_test

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/notify"
)

func TestRecoverySetsThePasswordEndsEverythingAndTellsTheUser(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user := k.Proven()
		session, account := k.SignIn(kit.Ada)
		magic, err := k.Visitor.CreateMagicURLToken(k.Ctx, latchkey.NewMagicURLToken{Email: kit.Ada})
		k.Must(err)
		link := k.MailOf(magic, kit.Ada)
		token, err := k.Visitor.CreateRecovery(k.Ctx, latchkey.NewRecovery{Email: "ADA@example.org", URL: kit.RecoverURL})
		k.Must(err)
		m := k.MailOf(token, kit.Ada)
		if token.UserID != "" || !token.Secret.IsZero() || token.Expire.Sub(token.CreatedAt) != time.Hour || m.Kind != notify.Recovery || m.UserID != user.ID ||
			!strings.Contains(m.Link, "userId="+user.ID) {
			k.Errorf("%+v, %+v", token, m)
		}
		k.Forget()
		done, err := k.Visitor.ConfirmRecovery(k.Ctx, m.UserID, m.Secret, kit.FreshPassword)
		k.Must(err)
		if done.ID != token.ID || done.UserID != user.ID {
			k.Errorf("%+v", done)
		}
		if got := k.Events(user.ID, "1", token.ID, "2", session.ID, "3"); !slices.Contains(got, "users.1.update.password by user") ||
			!slices.Contains(got, "users.1.recovery.2.update by user") || !slices.Contains(got, "users.1.sessions.3.delete by user") {
			k.Error(got)
		}
		if err := kit.Err(account.User(k.Ctx)); err != latchkey.ErrUnauthorized {
			k.Errorf("the session from before: %v", err)
		}
		if err := kit.Err(k.Visitor.CreateSession(k.Ctx, link.UserID, link.Secret)); !errors.Is(err, latchkey.ErrInvalidToken) {
			k.Errorf("the link from before: %v", err)
		}
		if err := k.Recover(m); !errors.Is(err, latchkey.ErrInvalidToken) {
			k.Errorf("twice: %v", err)
		}
		if notice := k.Mail(kit.Ada); notice.Kind != notify.PasswordChanged {
			k.Errorf("%v", notice)
		}
		if err := kit.Err(k.Visitor.CreateEmailPasswordSession(k.Ctx, kit.Ada, kit.Password)); err != latchkey.ErrInvalidCredentials {
			k.Errorf("the old password: %v", err)
		}
		k.Must(kit.Err(k.Visitor.CreateEmailPasswordSession(k.Ctx, kit.Ada, kit.FreshPassword)))
		shown, err := k.Users().Get(k.Ctx, user.ID)
		k.Must(err)
		if !shown.PhoneVerification || shown.Phone != kit.Phone {
			k.Errorf("%+v", shown)
		}
	})
}

// A recovery and a change of the password run in every order. One password holds in
// the end, and the sessions of the other caller are ended.
func TestRecoveryAgainstAChangeOfThePasswordInEveryOrder(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		for round := range 8 {
			k.DeleteAll()
			k.SignUp(kit.Ada)
			session, account := k.SignIn(kit.Ada)
			m := k.Recovery()
			changed, recovered := errors.New("not tried"), errors.New("not tried")
			change := func() {
				changed = kit.Err(account.UpdatePassword(k.Ctx, latchkey.PasswordUpdate{New: "changed horse battery", Old: kit.Password}))
			}
			recover := func() { recovered = k.Recover(m) }
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
			want, lost := "changed horse battery", kit.FreshPassword
			if recovered == nil {
				want, lost = kit.FreshPassword, want
			}
			k.Must(kit.Err(k.Visitor.CreateEmailPasswordSession(k.Ctx, kit.Ada, want)))
			for _, no := range []string{lost, kit.Password} {
				if err := kit.Err(k.Visitor.CreateEmailPasswordSession(k.Ctx, kit.Ada, no)); err != latchkey.ErrInvalidCredentials {
					k.Errorf("%d: %s: %v", round, no, err)
				}
			}
			if err := kit.Err(k.Visitor.Authenticate(k.Ctx, session.Secret.Reveal())); (err == nil) != (changed == nil) {
				k.Errorf("%d: the session: %v", round, err)
			}
		}
	})
}
