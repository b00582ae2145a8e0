package latchkey_test

import (
	"slices"
	"testing"

	"example.com/latchkey"
	"example.com/latchkey/internal/kit"
)

func TestRecoveryCodesAreMadeAnewWhenNoneIsLeft(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user := k.SignUp(kit.Ada)
		_, account := k.SignIn(kit.Ada)
		for _, err := range []error{kit.Err(k.Users().MFARecoveryCodes(k.Ctx, user.ID)), kit.Err(k.Users().RegenerateMFARecoveryCodes(k.Ctx, user.ID))} {
			if err != latchkey.ErrRecoveryCodesNotFound {
				k.Error(err)
			}
		}
		codes, err := account.CreateMFARecoveryCodes(k.Ctx)
		k.Must(err)
		if err := kit.Err(k.Users().CreateMFARecoveryCodes(k.Ctx, user.ID)); err != latchkey.ErrRecoveryCodesAlreadyExist {
			k.Error(err)
		}
		shown, err := k.Users().MFARecoveryCodes(k.Ctx, user.ID)
		k.Must(err)
		if !slices.Equal(kit.Sorted(shown.Codes), kit.Sorted(codes.Codes)) {
			k.Errorf("%+v", shown)
		}
		for _, code := range codes.Codes {
			session, err := k.Answers(account, latchkey.FactorRecoveryCode, code.Reveal())
			k.Must(err)
			account, err = k.Visitor.Authenticate(k.Ctx, session.Secret.Reveal())
			k.Must(err)
		}
		if err := kit.Err(account.MFARecoveryCodes(k.Ctx)); err != latchkey.ErrRecoveryCodesNotFound {
			k.Error(err)
		}
		k.Must(kit.Err(account.CreateMFARecoveryCodes(k.Ctx)))
	})
}
