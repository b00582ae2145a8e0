package kit

import (
	"context"
	"errors"
	"slices"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/authtest"
)

// Enrolled signs Ada up and in, with a confirmed authenticator and recovery codes,
// and switches MFA on. The session has proven both.
func (k *Kit) Enrolled(n latchkey.NewMFAAuthenticator) (*latchkey.Account, *authtest.Authenticator, []latchkey.Secret) {
	k.Helper()
	k.SignUp(Ada)
	_, account := k.SignIn(Ada)
	app := k.Confirmed(account, n)
	codes, err := account.CreateMFARecoveryCodes(k.Ctx)
	k.Must(err)
	k.Must(Err(account.UpdateMFA(k.Ctx, true)))
	k.Clock.Advance(30 * time.Second) // the code of the confirmation is used up
	return account, app, codes.Codes
}

// Enrolling begins to enrol an authenticator.
func (k *Kit) Enrolling(account *latchkey.Account, n latchkey.NewMFAAuthenticator) *authtest.Authenticator {
	k.Helper()
	made, err := account.CreateMFAAuthenticator(k.Ctx, n)
	k.Must(err)
	app, err := authtest.NewAuthenticator(k.Clock, made.URI.Reveal())
	k.Must(err)
	return app
}

// Confirmed enrols an authenticator and confirms it.
func (k *Kit) Confirmed(account *latchkey.Account, n latchkey.NewMFAAuthenticator) *authtest.Authenticator {
	k.Helper()
	app := k.Enrolling(account, n)
	k.Must(Err(account.VerifyMFAAuthenticator(k.Ctx, app.Code())))
	return app
}

// Owing signs Ada in by password, and returns the session that still owes a
// second factor.
func (k *Kit) Owing(g *latchkey.Guest) (*latchkey.Session, *latchkey.Pending) {
	k.Helper()
	session, err := g.CreateEmailPasswordSession(k.Ctx, Ada, Password)
	k.Must(err)
	_, err = g.Authenticate(k.Ctx, session.Secret.Reveal())
	var owed *latchkey.MoreFactorsError
	if !errors.As(err, &owed) || !errors.Is(err, latchkey.ErrMoreFactorsRequired) {
		k.Fatal(err)
	}
	return session, owed.Pending
}

// answerer is an account or a pending session, both of which answer challenges.
type answerer interface {
	CreateMFAChallenge(context.Context, latchkey.Factor) (*latchkey.MFAChallenge, error)
	ConfirmMFAChallenge(context.Context, string, string) (*latchkey.Session, error)
}

// Answers asks for a challenge of a factor and answers it with otp.
func (k *Kit) Answers(a answerer, factor latchkey.Factor, otp string) (*latchkey.Session, error) {
	k.Helper()
	challenge, err := a.CreateMFAChallenge(k.Ctx, factor)
	k.Must(err)
	return a.ConfirmMFAChallenge(k.Ctx, challenge.ID, otp)
}

// Sorted returns codes as text, sorted.
func Sorted(codes []latchkey.Secret) (out []string) {
	for _, c := range codes {
		out = append(out, c.Reveal())
	}
	slices.Sort(out)
	return out
}
