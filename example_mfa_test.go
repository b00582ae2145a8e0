package latchkey_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/authtest"
)

// protected is the account of a user who has just enrolled an authenticator app and
// switched multi-factor authentication on, with the app and the recovery codes.
func protected(ctx context.Context, site *site) (*latchkey.Account, *authtest.Authenticator, []latchkey.Secret) {
	account := signedIn(ctx, site.guest)
	enrolment, err := account.CreateMFAAuthenticator(ctx, latchkey.NewMFAAuthenticator{})
	if err != nil {
		log.Fatal(err)
	}
	app, err := authtest.NewAuthenticator(site.clock, enrolment.URI.Reveal())
	if err != nil {
		log.Fatal(err)
	}
	if _, err := account.VerifyMFAAuthenticator(ctx, app.Code()); err != nil {
		log.Fatal(err)
	}
	codes, err := account.CreateMFARecoveryCodes(ctx)
	if err != nil {
		log.Fatal(err)
	}
	if _, err := account.UpdateMFA(ctx, true); err != nil {
		log.Fatal(err)
	}
	site.clock.Advance(time.Hour) // the app shows another code
	return account, app, codes.Codes
}

// owing is the handle of the user of protected, who signs in again with the password.
func owing(ctx context.Context, site *site) *latchkey.Pending {
	session, err := site.guest.CreateEmailPasswordSession(ctx, "ada@example.org", "correct horse")
	if err != nil {
		log.Fatal(err)
	}
	_, err = site.guest.Authenticate(ctx, session.Secret.Reveal())
	more, ok := errors.AsType[*latchkey.MoreFactorsError](err)
	if !ok {
		log.Fatal(err)
	}
	return more.Pending
}

// A user sets up two-factor authentication with an authenticator app.
func ExampleAccount_CreateMFAAuthenticator() {
	ctx, site := context.Background(), newSite()
	account := signedIn(ctx, site.guest)

	// The page shows the URI as a picture (package qr), and the secret for typing.
	enrolment, err := account.CreateMFAAuthenticator(ctx, latchkey.NewMFAAuthenticator{})
	if err != nil {
		log.Fatal(err)
	}
	app, err := authtest.NewAuthenticator(site.clock, enrolment.URI.Reveal()) // a telephone
	if err != nil {
		log.Fatal(err)
	}

	// The user types a code of the app, and so proves that the app has the secret.
	_, err = account.VerifyMFAAuthenticator(ctx, app.Code())
	if err != nil {
		log.Fatal(err)
	}

	// The page shows the recovery codes, and asks the user to keep them.
	codes, err := account.CreateMFARecoveryCodes(ctx)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(len(codes.Codes), "codes of", len(codes.Codes[0].Reveal()), "characters")

	// From now on a sign-in must prove two factors.
	user, err := account.UpdateMFA(ctx, true)
	fmt.Println(user.MFA, err)
	factors, err := account.MFAFactors(ctx)
	fmt.Println(factors.TOTP, factors.RecoveryCodesLeft, err)
	// Output:
	// 6 codes of 10 characters
	// true <nil>
	// true 6 <nil>
}

// A user with an authenticator app signs in. The password makes the session, and every
// request of the session is refused until the user has typed a code of the app.
func ExampleMoreFactorsError() {
	ctx, site := context.Background(), newSite()
	_, app, _ := protected(ctx, site)

	session, err := site.guest.CreateEmailPasswordSession(ctx, "ada@example.org", "correct horse")
	if err != nil {
		log.Fatal(err)
	}
	cookie := session.Secret.Reveal()

	// On every request.
	_, err = site.guest.Authenticate(ctx, cookie)
	more, ok := errors.AsType[*latchkey.MoreFactorsError](err)
	if !ok {
		log.Fatal(err)
	}

	// The page of the second factor: the form keeps the challenge's id.
	challenge, err := more.Pending.CreateMFAChallenge(ctx, latchkey.FactorTOTP)
	if err != nil {
		log.Fatal(err)
	}
	session, err = more.Pending.ConfirmMFAChallenge(ctx, challenge.ID, app.Code())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(session.Factors)

	// The session has a new secret, which replaces the one in the cookie.
	_, err = site.guest.Authenticate(ctx, cookie)
	fmt.Println(errors.Is(err, latchkey.ErrSessionRenewed))
	_, err = site.guest.Authenticate(ctx, session.Secret.Reveal())
	fmt.Println(err)
	// Output:
	// [password totp]
	// true
	// <nil>
}

// The page of the second factor shows the factors that the user has.
func ExamplePending_MFAFactors() {
	ctx, site := context.Background(), newSite()
	protected(ctx, site)
	pending := owing(ctx, site)
	factors, err := pending.MFAFactors(ctx)
	if err != nil {
		log.Fatal(err)
	}
	if factors.TOTP {
		fmt.Println("the code of your authenticator app")
	}
	if factors.Email {
		fmt.Println("a code by e-mail")
	}
	if factors.RecoveryCode {
		fmt.Println("one of your", factors.RecoveryCodesLeft, "recovery codes")
	}
	fmt.Println(pending.DeleteSession(ctx)) // the user signs out instead
	// Output:
	// the code of your authenticator app
	// one of your 6 recovery codes
	// <nil>
}

// A user has lost the telephone, signs in with a recovery code, and removes the
// authenticator.
func ExamplePending_ConfirmMFAChallenge() {
	ctx, site := context.Background(), newSite()
	_, _, codes := protected(ctx, site)
	pending := owing(ctx, site)
	challenge, err := pending.CreateMFAChallenge(ctx, latchkey.FactorRecoveryCode)
	if err != nil {
		log.Fatal(err)
	}
	session, err := pending.ConfirmMFAChallenge(ctx, challenge.ID, codes[0].Reveal())
	if err != nil {
		log.Fatal(err)
	}
	account, err := site.guest.Authenticate(ctx, session.Secret.Reveal())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(account.DeleteMFAAuthenticator(ctx))
	left, err := account.MFARecoveryCodes(ctx)
	fmt.Println(left.Left, err)
	// Output:
	// <nil>
	// 5 <nil>
}

// A page of the host's own, such as one that moves money, asks for a fresh proof.
func ExampleAccount_RequireRecent() {
	ctx, site := context.Background(), newSite()
	account, app, _ := protected(ctx, site) // an hour ago
	err := account.RequireRecent(ctx, 10*time.Minute)
	fmt.Println(err)

	// The page asks for a code of the app.
	challenge, err := account.CreateMFAChallenge(ctx, latchkey.FactorTOTP)
	if err != nil {
		log.Fatal(err)
	}
	session, err := account.ConfirmMFAChallenge(ctx, challenge.ID, app.Code())
	if err != nil {
		log.Fatal(err)
	}

	// The session has a new secret, for the cookie.
	account, err = site.guest.Authenticate(ctx, session.Secret.Reveal())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(account.RequireRecent(ctx, 10*time.Minute))
	// Output:
	// A challenge must be answered first (user_challenge_required)
	// <nil>
}
