package latchkey_test

import (
	"errors"
	"os"
	"slices"
	"testing"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/hidden"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/internal/pgtest"
	"example.com/latchkey/store/memory"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

func TestMockNumbersHaveTheirCodeAndNothingIsSent(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		const mock, code = "+15555550100", "042317"
		engine := k.Configured(func(c *latchkey.Config) { c.MockNumbers = map[string]latchkey.Secret{mock: hidden.New(code)} })
		guest := engine.Guest(kit.Client)
		token, err := guest.CreatePhoneToken(k.Ctx, "mocked", mock)
		k.Must(err)
		if err := kit.Err(guest.CreateSession(k.Ctx, token.UserID, kit.OtherCode(code))); !errors.Is(err, latchkey.ErrInvalidToken) {
			k.Errorf("a wrong code: %v", err)
		}
		session, err := guest.CreateSession(k.Ctx, token.UserID, code)
		k.Must(err)
		if session.Provider != "phone" || session.UserID != "mocked" {
			k.Errorf("%+v", session)
		}
		if err := kit.Err(guest.CreateSession(k.Ctx, token.UserID, code)); !errors.Is(err, latchkey.ErrInvalidToken) {
			k.Errorf("twice: %v", err)
		}
		token, err = guest.CreatePhoneToken(k.Ctx, "", mock)
		k.Must(err)
		k.Clock.Advance(15 * time.Minute)
		if err := kit.Err(guest.CreateSession(k.Ctx, token.UserID, code)); !errors.Is(err, latchkey.ErrInvalidToken) {
			k.Errorf("after its time: %v", err)
		}
		k.Must(kit.Err(engine.Users().UpdatePhone(k.Ctx, "mocked", "+15555550101"))) // the notice is not sent either
		k.Must(kit.Err(guest.CreatePhoneToken(k.Ctx, "", kit.Phone)))
		if got := k.Posted(engine); !slices.Equal(got, []string{"phone-otp " + kit.Phone}) {
			k.Error(got)
		}
		mute := k.Configured(func(c *latchkey.Config) {
			c.SMS, c.MockNumbers = nil, map[string]latchkey.Secret{mock: hidden.New(code)}
		})
		if err := kit.Err(mute.Guest(kit.Client).CreatePhoneToken(k.Ctx, "", mock)); err != latchkey.ErrPhoneDisabled {
			k.Errorf("without a way to send: %v", err)
		}
	})
	for number, code := range map[string]string{"+15555550100": "12345", "+15555550101": "12345a", "5555550100": "123456", "": "123456"} {
		c := latchkey.Config{Keys: latchkey.Keys{Active: latchkey.GenerateKey()}, MockNumbers: map[string]latchkey.Secret{number: hidden.New(code)}}
		if _, err := latchkey.New(memory.Open(), c); err == nil {
			t.Errorf("%s=%s is taken", number, code)
		}
	}
}
