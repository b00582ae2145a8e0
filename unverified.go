package latchkey

import (
	"context"

	"example.com/latchkey/internal/record"
)

// Email returns the address that the user must prove, "" if they have none yet, for the page that
// says where the mail went.
func (u *Unverified) Email(ctx context.Context) (_ string, err error) {
	defer u.home().operation(&ctx, "get account").end(&err)
	return accountRead(ctx, u.handle(), func(_ *call, user *record.User) (string, error) { return user.Email, nil })
}

// CreateEmailVerification is [Account.CreateEmailVerification].
func (u *Unverified) CreateEmailVerification(ctx context.Context, pageURL string) (*Token, error) {
	return u.handle().CreateEmailVerification(ctx, pageURL)
}

// ConfirmEmailVerification is [Account.ConfirmEmailVerification]. From then on
// [Guest.Authenticate] returns an account of the session.
func (u *Unverified) ConfirmEmailVerification(ctx context.Context, secret string) (*Token, error) {
	return u.handle().ConfirmEmailVerification(ctx, secret)
}

// UpdateEmail is [Account.UpdateEmail], for an address that was mistyped. It sends nothing to the new
// one.
//
// Errors: those of [Account.UpdateEmail], and
//   - [ErrEmailAlreadyVerified]: the address has been proven meanwhile.
func (u *Unverified) UpdateEmail(ctx context.Context, email, password string) error {
	_, err := u.handle().UpdateEmail(ctx, email, password)
	return err
}

// DeleteSession signs out.
func (u *Unverified) DeleteSession(ctx context.Context) (err error) {
	defer u.home().operation(&ctx, "delete session").end(&err)
	return u.handle().signOut(ctx)
}
