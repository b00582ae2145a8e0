package latchkey_test

import (
	"errors"
	"testing"

	"example.com/latchkey"
	"example.com/latchkey/internal/kit"
)

// A call that cannot reach an address names the channel in its error, e-mail or
// phone. It does so without a notifier, without an address, and after the address was
// verified.
func TestEachChannelHasItsOwnAnswers(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		session, err := k.Visitor.CreateAnonymousSession(k.Ctx)
		k.Must(err)
		byMail := func(a *latchkey.Account) error { return kit.Err(a.CreateEmailVerification(k.Ctx, kit.VerifyURL)) }
		bySMS := func(a *latchkey.Account) error { return kit.Err(a.CreatePhoneVerification(k.Ctx)) }
		for _, c := range []struct {
			name                   string
			do                     func(*latchkey.Account) error
			off, missing, verified *latchkey.Error
		}{
			{"mail", byMail, latchkey.ErrSMTPDisabled, latchkey.ErrEmailNotFound, latchkey.ErrEmailAlreadyVerified},
			{"SMS", bySMS, latchkey.ErrPhoneDisabled, latchkey.ErrPhoneNotFound, latchkey.ErrPhoneAlreadyVerified},
		} {
			silent := k.Configured(func(config *latchkey.Config) { config.Notifier, config.SMS = nil, nil })
			account, err := silent.Guest(kit.Client).Authenticate(k.Ctx, session.Secret.Reveal())
			k.Must(err)
			if err := c.do(account); !errors.Is(err, c.off) {
				k.Errorf("%s without a notifier: %v", c.name, err)
			}
			account, err = k.Visitor.Authenticate(k.Ctx, session.Secret.Reveal())
			k.Must(err)
			if err := c.do(account); !errors.Is(err, c.missing) {
				k.Errorf("%s without an address: %v", c.name, err)
			}
			if c.name == "mail" {
				k.Must(kit.Err(k.Users().UpdateEmail(k.Ctx, account.UserID(), kit.Ada)))
				k.Must(kit.Err(k.Users().UpdateEmailVerification(k.Ctx, account.UserID(), true)))
			} else {
				k.Must(kit.Err(k.Users().UpdatePhone(k.Ctx, account.UserID(), kit.Phone)))
				k.Must(kit.Err(k.Users().UpdatePhoneVerification(k.Ctx, account.UserID(), true)))
			}
			if err := c.do(account); !errors.Is(err, c.verified) {
				k.Errorf("%s after it was verified: %v", c.name, err)
			}
		}
	})
}
