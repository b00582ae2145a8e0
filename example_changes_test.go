package latchkey_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"example.com/latchkey"
)

// A user moves to a new e-mail address, which it proves before it is that of the account.
func ExampleAccount_CreateEmailChange() {
	ctx, site := context.Background(), newSite()
	account := signedIn(ctx, site.guest)
	_, err := account.CreateEmailChange(ctx, latchkey.NewEmailChange{
		Email: "ada@example.com",
		URL:   "https://app.example.org/change",
	}, "correct horse")
	if err != nil {
		log.Fatal(err)
	}
	page := opened(site.mail(ctx, "ada@example.com").Link.Reveal())
	user, err := account.User(ctx)
	fmt.Println(user.Email, err)

	// The page of the link, in the session of the user.
	user, err = account.ConfirmEmailChange(ctx, page.Get("secret"), "https://app.example.org/undo")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(user.Email, user.EmailVerification)
	// Output:
	// ada@example.org <nil>
	// ada@example.com true
}

// Somebody with the password of a user has moved the account to an address of their own.
// The user takes it back by the link in the notice to the former address.
func ExampleGuest_RestoreAddress() {
	ctx, site := context.Background(), newSite()
	account := signedIn(ctx, site.guest)
	prove(ctx, site, account)
	_, err := account.CreateEmailChange(ctx, latchkey.NewEmailChange{
		Email: "mallory@example.net",
		URL:   "https://app.example.org/change",
	}, "correct horse")
	if err != nil {
		log.Fatal(err)
	}
	page := opened(site.mail(ctx, "mallory@example.net").Link.Reveal())
	if _, err := account.ConfirmEmailChange(ctx, page.Get("secret"), "https://app.example.org/undo"); err != nil {
		log.Fatal(err)
	}

	// The page of the link in the notice, once the user has typed a new password.
	page = opened(site.mail(ctx, "ada@example.org").Link.Reveal())
	token, err := site.guest.RestoreAddress(ctx, page.Get("userId"), page.Get("secret"))
	if err != nil {
		log.Fatal(err)
	}
	if _, err := site.guest.ConfirmRecovery(ctx, token.UserID, token.Secret.Reveal(), "battery staple"); err != nil {
		log.Fatal(err)
	}
	_, err = account.User(ctx)
	fmt.Println(errors.Is(err, latchkey.ErrUnauthorized))
	_, err = site.guest.CreateEmailPasswordSession(ctx, "ada@example.org", "battery staple")
	fmt.Println(err)
	// Output:
	// true
	// <nil>
}

// An operation asks for a fresh session. The user gives the password again instead of
// signing in again.
func ExampleAccount_ConfirmPassword() {
	ctx, site := context.Background(), newSite()
	account := signedIn(ctx, site.guest)
	site.clock.Advance(24 * time.Hour)
	_, err := account.CreateMFAAuthenticator(ctx, latchkey.NewMFAAuthenticator{})
	fmt.Println(errors.Is(err, latchkey.ErrChallengeRequired))

	session, err := account.ConfirmPassword(ctx, "correct horse")
	if err != nil {
		log.Fatal(err)
	}
	// The session has a new secret, which goes into the cookie.
	account, err = site.guest.Authenticate(ctx, session.Secret.Reveal())
	if err != nil {
		log.Fatal(err)
	}
	_, err = account.CreateMFAAuthenticator(ctx, latchkey.NewMFAAuthenticator{})
	fmt.Println(err)
	// Output:
	// true
	// <nil>
}

// prove verifies the address of the account.
func prove(ctx context.Context, site *site, account *latchkey.Account) {
	if _, err := account.CreateEmailVerification(ctx, "https://app.example.org/verify"); err != nil {
		log.Fatal(err)
	}
	page := opened(site.mail(ctx, "ada@example.org").Link.Reveal())
	if _, err := account.ConfirmEmailVerification(ctx, page.Get("secret")); err != nil {
		log.Fatal(err)
	}
}
