package latchkey_test

import (
	"testing"

	"example.com/latchkey"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/oauth"
	"example.com/latchkey/store"
)

// halfProven makes a user with an identity, whose address was proven by a link without a session.
func halfProven(k *kit.Kit) *latchkey.User {
	k.Helper()
	user := k.SignUp(kit.Ada)
	session, account := k.SignIn(kit.Ada)
	k.Must(kit.Err(k.LinkBy(k.Visitor, session.Secret, k.Acme, oauth.Profile{Subject: "ada"})))
	k.Must(kit.Err(account.CreateEmailVerification(k.Ctx, kit.VerifyURL)))
	k.Must(kit.Err(k.Visitor.ConfirmEmailVerification(k.Ctx, user.ID, k.Mail(kit.Ada).Secret)))
	return user
}

// halfOf returns the address of a user that is proven by half.
func halfOf(k *kit.Kit, id string) string {
	k.Helper()
	row, err := record.Users.Get(k.Ctx, k.Raw, record.Users.Primary(), store.Text(id))
	k.Must(err)
	return row.Half
}

// An address that is verified no more is not half proven either, as if it had never been.
func TestAnAddressThatIsVerifiedNoMoreIsNotHalfProven(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user := halfProven(k)
		before := halfOf(k, user.ID)
		k.Must(kit.Err(k.Users().UpdateEmailVerification(k.Ctx, user.ID, false)))
		k.Same("half", []string{before, halfOf(k, user.ID)}, []string{"email", ""})
	})
}

// A half-proven address stays one if the number of the user changes, or is verified no more.
func TestANumberDoesNotMakeAnAddressWhole(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user := halfProven(k)
		half := func(when string) {
			k.Helper()
			k.Same(when, halfOf(k, user.ID), "email")
		}
		half("before")
		k.Must(kit.Err(k.Users().UpdatePhone(k.Ctx, user.ID, "+15555550100")))
		half("with a number")
		k.Must(kit.Err(k.Users().UpdatePhoneVerification(k.Ctx, user.ID, true)))
		k.Must(kit.Err(k.Users().UpdatePhoneVerification(k.Ctx, user.ID, false)))
		half("with a number that is verified no more")
	})
}
