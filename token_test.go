package latchkey_test

import (
	"errors"
	"testing"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/internal/kit"
)

func TestTokensDoNotSurviveTheirTimeOrTheirUse(t *testing.T) {
	kit.OnEveryAsker(t, kit.Documented, func(k *kit.Kit, ask func(*latchkey.Guest, string) (*latchkey.Token, error), to string) {
		token, err := ask(k.Visitor, "")
		k.Must(err)
		secret := k.Mail(to).Secret
		life := 15 * time.Minute
		if len(secret) == 64 {
			life = time.Hour
		}
		if token.Expire.Sub(k.Clock.Now()) != life {
			k.Errorf("expires after %v", token.Expire.Sub(k.Clock.Now()))
		}
		k.Clock.Advance(life)
		if err := kit.Err(k.Visitor.CreateSession(k.Ctx, token.UserID, secret)); !errors.Is(err, latchkey.ErrInvalidToken) {
			k.Errorf("after its time: %v", err)
		}
		swept, err := k.Sweep(k.Ctx)
		if swept.Tokens != 1 || err != nil {
			k.Errorf("%+v, %v", swept, err)
		}
	})
}

func TestTokensFollowPolicyAndChannels(t *testing.T) {
	kit.OnEveryStore(t, latchkey.Policy{Disabled: latchkey.MethodMagicURL | latchkey.MethodEmailOTP | latchkey.MethodPhone, UserLimit: 1}, func(k *kit.Kit) {
		server := k.Users().Guest(latchkey.Client{})
		var tokens []*latchkey.Token
		for name, ask := range kit.Askers {
			if err := kit.Err(ask(k, k.Visitor, "")); !errors.Is(err, latchkey.ErrAuthMethodUnsupported) {
				k.Errorf("%s: %v", name, err)
			}
			token, err := ask(k, server, "")
			k.Must(err)
			if token.Secret.IsZero() {
				k.Errorf("%s: the server does not get the secret", name)
			}
			tokens = append(tokens, token)
		}
		k.SignUp("first@example.org")
		for _, token := range tokens { // redeeming a token creates no user over the limit
			if err := kit.Err(k.Visitor.CreateSession(k.Ctx, token.UserID, token.Secret.Reveal())); err != latchkey.ErrUserCountExceeded {
				k.Errorf("%v", err)
			}
		}
		deaf, err := latchkey.New(k.Store, latchkey.Config{Keys: k.Keys, LimiterPerProcess: true, Hasher: k.Hasher, Now: k.Clock.Now})
		k.Must(err)
		if err := kit.Err(deaf.Guest(kit.Client).CreateEmailToken(k.Ctx, latchkey.NewEmailToken{Email: kit.Ada})); err != latchkey.ErrSMTPDisabled {
			k.Errorf("without mail: %v", err)
		}
		if err := kit.Err(deaf.Guest(kit.Client).CreatePhoneToken(k.Ctx, "", kit.Phone)); err != latchkey.ErrPhoneDisabled {
			k.Errorf("without SMS: %v", err)
		}
	})
}
