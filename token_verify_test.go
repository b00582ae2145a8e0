package latchkey_test

import (
	"errors"
	"net/url"
	"slices"
	"testing"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/notify"
)

func TestEmailVerificationProvesTheAddressAndKeepsTheRest(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user := k.SignUp(kit.Ada)
		session, account := k.SignIn(kit.Ada)
		token, err := account.CreateEmailVerification(k.Ctx, kit.VerifyURL+"?lang=en#x")
		k.Must(err)
		m := k.MailOf(token, kit.Ada)
		link, err := url.Parse(m.Link)
		k.Must(err)
		if token.UserID != user.ID || !token.Secret.IsZero() || token.Expire.Sub(token.CreatedAt) != 7*24*time.Hour || m.Kind != notify.EmailVerification ||
			m.Name != "" || m.Phrase != "" || link.Query().Get("userId") != user.ID || link.Query().Get("secret") != m.Secret ||
			link.Query().Get("lang") != "en" || link.Fragment != "x" || link.Query().Get("expire") == "" {
			k.Errorf("%+v, %+v, %s", token, m, m.Link)
		}
		if seen, err := k.Visitor.InspectToken(k.Ctx, user.ID, m.Secret); err != nil || seen.ID != token.ID {
			k.Errorf("%+v, %v", seen, err)
		}
		k.Forget()
		done, err := k.Visitor.ConfirmEmailVerification(k.Ctx, user.ID, m.Secret)
		k.Must(err)
		if done.ID != token.ID || done.UserID != user.ID || !done.Secret.IsZero() {
			k.Errorf("%+v", done)
		}
		if got := k.Events(user.ID, "1", token.ID, "2"); !slices.Equal(got, []string{
			"users.1.update.verification by user", "users.1.verification.2.update by user",
		}) {
			k.Error(got)
		}
		shown, err := account.User(k.Ctx)
		k.Must(err)
		if !shown.EmailVerification || shown.PasswordUpdate.IsZero() {
			k.Errorf("%+v", shown)
		}
		k.Must(kit.Err(k.Visitor.Authenticate(k.Ctx, session.Secret.Reveal())))
		k.SignIn(kit.Ada)
		if err := kit.Err(account.CreateEmailVerification(k.Ctx, kit.VerifyURL)); err != latchkey.ErrEmailAlreadyVerified {
			k.Errorf("again: %v", err)
		}
	})
}

func TestPhoneVerificationProvesTheNumber(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user := k.SignUp(kit.Ada)
		_, account := k.SignIn(kit.Ada)
		if err := kit.Err(account.CreatePhoneVerification(k.Ctx)); err != latchkey.ErrPhoneNotFound {
			k.Errorf("without a number: %v", err)
		}
		k.Must(kit.Err(account.UpdatePhone(k.Ctx, kit.Phone, kit.Password)))
		token, err := account.CreatePhoneVerification(k.Ctx)
		k.Must(err)
		m := k.MailOf(token, kit.Phone)
		if m.Kind != notify.PhoneVerification || m.Channel != notify.SMS || len(m.Secret) != 6 || token.Expire.Sub(token.CreatedAt) != 15*time.Minute {
			k.Errorf("%+v, %+v", token, m)
		}
		for range 4 {
			if err := kit.Err(k.Visitor.ConfirmPhoneVerification(k.Ctx, user.ID, kit.OtherCode(m.Secret))); !errors.Is(err, latchkey.ErrInvalidToken) {
				k.Errorf("a wrong code: %v", err)
			}
		}
		k.Must(kit.Err(k.Visitor.ConfirmPhoneVerification(k.Ctx, user.ID, m.Secret)))
		shown, err := account.User(k.Ctx)
		k.Must(err)
		if !shown.PhoneVerification || shown.EmailVerification {
			k.Errorf("%+v", shown)
		}
		if err := kit.Err(account.CreatePhoneVerification(k.Ctx)); err != latchkey.ErrPhoneAlreadyVerified {
			k.Errorf("again: %v", err)
		}
	})
}

// A stranger who uses up the limit of an id does not keep the owner from redeeming a
// link, because a link cannot be guessed.
func TestRightLinkPassesTheLimitThatStrangersHaveUsedUp(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user := k.SignUp(kit.Ada)
		_, account := k.SignIn(kit.Ada)
		token, err := account.CreateEmailVerification(k.Ctx, kit.VerifyURL)
		k.Must(err)
		proof, m := k.MailOf(token, kit.Ada), k.Recovery()
		engine := k.LimitedEngine(nil)
		stranger, owner := engine.Guest(kit.At("203.0.113.1")), engine.Guest(kit.Client)
		for range 12 {
			_ = kit.Err(stranger.ConfirmEmailVerification(k.Ctx, user.ID, kit.UnknownLink))
			_ = kit.Err(stranger.ConfirmRecovery(k.Ctx, user.ID, kit.UnknownLink, kit.FreshPassword))
		}
		if err := kit.Err(owner.ConfirmEmailVerification(k.Ctx, user.ID, kit.UnknownLink)); !errors.Is(err, latchkey.ErrRateLimitExceeded) {
			k.Error(err)
		}
		k.Must(kit.Err(owner.ConfirmEmailVerification(k.Ctx, user.ID, proof.Secret)))
		k.Must(kit.Err(owner.ConfirmRecovery(k.Ctx, user.ID, m.Secret, kit.FreshPassword)))
	})
}
