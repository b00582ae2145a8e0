package latchkey_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/netip"
	"net/url"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/authtest"
	"example.com/latchkey/notify"
	"example.com/latchkey/store/memory"
)

// site is what an example of messages starts with: an engine in memory whose mails and
// text messages stay in an outbox, a clock that the example moves, and a guest.
type site struct {
	engine *latchkey.Engine
	clock  *authtest.Clock
	outbox notify.Mailbox
	guest  *latchkey.Guest
}

func newSite() *site {
	s := &site{clock: authtest.NewClock()}
	engine, err := latchkey.New(memory.Open(), latchkey.Config{
		Keys:          latchkey.Keys{Active: latchkey.GenerateKey()},
		Now:           s.clock.Now,
		Notifier:      &s.outbox,
		SMS:           &s.outbox,
		Issuer:        "https://app.example.org",
		App:           "Example",
		RedirectHosts: []string{"app.example.org"},
	})
	if err != nil {
		log.Fatal(err)
	}
	s.engine = engine
	s.guest = engine.Guest(latchkey.Client{IP: netip.MustParseAddr("192.0.2.7")})
	return s
}

// mail is the next message to an address.
func (s *site) mail(ctx context.Context, to string) notify.Message {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	message, err := s.outbox.Next(ctx, to)
	if err != nil {
		log.Fatal(err)
	}
	return message
}

// opened is the query with which the page of a link is called.
func opened(link string) url.Values {
	u, err := url.Parse(link)
	if err != nil {
		log.Fatal(err)
	}
	return u.Query()
}

// A visitor asks for a link, and opens it in the mail.
func ExampleGuest_CreateMagicURLToken() {
	ctx, site := context.Background(), newSite()
	_, err := site.guest.CreateMagicURLToken(ctx, latchkey.NewMagicURLToken{
		Email: "ada@example.org",
		URL:   "https://app.example.org/in?next=/cart",
	})
	if err != nil {
		log.Fatal(err)
	}
	message := site.mail(ctx, "ada@example.org")
	page := opened(message.Link.Reveal())
	fmt.Println(message.Kind, page.Get("next"), page.Has("userId"), page.Has("secret"))

	// The handler behind the button of the page signs the visitor in.
	session, err := site.guest.CreateSession(ctx, page.Get("userId"), page.Get("secret"))
	if err != nil {
		log.Fatal(err)
	}
	account, err := site.guest.Authenticate(ctx, session.Secret.Reveal())
	if err != nil {
		log.Fatal(err)
	}
	user, err := account.User(ctx) // made by the first link
	fmt.Println(session.Provider, user.Email, user.EmailVerification, err)
	// Output:
	// magic-url /cart true true
	// magic-url ada@example.org true <nil>
}

// The page of a link looks at it when it is loaded, and uses it when the visitor presses
// the button. A program that follows links in mails uses nothing up.
func ExampleGuest_InspectToken() {
	ctx, site := context.Background(), newSite()
	_, err := site.guest.CreateMagicURLToken(ctx, latchkey.NewMagicURLToken{
		Email: "ada@example.org",
		URL:   "https://app.example.org/in",
	})
	if err != nil {
		log.Fatal(err)
	}
	page := opened(site.mail(ctx, "ada@example.org").Link.Reveal())

	// GET: show the button.
	token, err := site.guest.InspectToken(ctx, page.Get("userId"), page.Get("secret"))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("good for", token.Expire.Sub(site.clock.Now()))

	// POST: sign in.
	_, err = site.guest.CreateSession(ctx, page.Get("userId"), page.Get("secret"))
	fmt.Println(err)

	// GET again: the link was used.
	_, err = site.guest.InspectToken(ctx, page.Get("userId"), page.Get("secret"))
	fmt.Println(errors.Is(err, latchkey.ErrInvalidToken))
	// Output:
	// good for 1h0m0s
	// <nil>
	// true
}

// A user signs in by a code that comes by SMS.
func ExampleGuest_CreatePhoneToken() {
	ctx, site := context.Background(), newSite()
	token, err := site.guest.CreatePhoneToken(ctx, "", "+14155550100")
	if err != nil {
		log.Fatal(err)
	}
	// The page of the code keeps token.UserID, for example in a hidden field.
	code := site.mail(ctx, "+14155550100").Code()
	session, err := site.guest.CreateSession(ctx, token.UserID, code)
	fmt.Println(len(code), session.Provider, session.Factors, err)
	// Output: 6 phone [phone] <nil>
}

// A user has lost the password.
func ExampleGuest_CreateRecovery() {
	ctx, site := context.Background(), newSite()
	signedIn(ctx, site.guest)
	_, err := site.guest.CreateRecovery(ctx, latchkey.NewRecovery{
		Email: "ada@example.org",
		URL:   "https://app.example.org/reset",
	})
	if err != nil {
		log.Fatal(err)
	}
	message := site.mail(ctx, "ada@example.org")
	fmt.Println(message.Kind)

	// The page of the link asks for a new password.
	page := opened(message.Link.Reveal())
	_, err = site.guest.ConfirmRecovery(ctx, page.Get("userId"), page.Get("secret"), "battery staple")
	fmt.Println(err)
	_, err = site.guest.CreateEmailPasswordSession(ctx, "ada@example.org", "battery staple")
	fmt.Println(err)

	// An address without a user gets the same answer, and no mail.
	_, err = site.guest.CreateRecovery(ctx, latchkey.NewRecovery{
		Email: "bob@example.org",
		URL:   "https://app.example.org/reset",
	})
	fmt.Println(err)
	// Output:
	// recovery
	// <nil>
	// <nil>
	// <nil>
}

// A password that the rules refuse does not use the link up. A recovery ends all sessions.
func ExampleGuest_ConfirmRecovery() {
	ctx, site := context.Background(), newSite()
	account := signedIn(ctx, site.guest)
	_, err := site.guest.CreateRecovery(ctx, latchkey.NewRecovery{
		Email: "ada@example.org",
		URL:   "https://app.example.org/reset",
	})
	if err != nil {
		log.Fatal(err)
	}
	page := opened(site.mail(ctx, "ada@example.org").Link.Reveal())
	for _, password := range []string{"short", "battery staple", "battery staple"} {
		_, err = site.guest.ConfirmRecovery(ctx, page.Get("userId"), page.Get("secret"), password)
		switch {
		case errors.Is(err, latchkey.ErrArgumentInvalid):
			fmt.Println("choose another password")
		case errors.Is(err, latchkey.ErrInvalidToken):
			fmt.Println("ask for another link")
		case err != nil:
			log.Fatal(err)
		default:
			fmt.Println("changed")
		}
	}
	_, err = account.User(ctx)
	fmt.Println(errors.Is(err, latchkey.ErrUnauthorized))
	// Output:
	// choose another password
	// changed
	// ask for another link
	// true
}

// A signed-in user proves the address of the account.
func ExampleAccount_CreateEmailVerification() {
	ctx, site := context.Background(), newSite()
	account := signedIn(ctx, site.guest)
	token, err := account.CreateEmailVerification(ctx, "https://app.example.org/verify")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("open the link within", token.Expire.Sub(site.clock.Now()))

	// The link may be opened in another browser, where the user is not signed in.
	page := opened(site.mail(ctx, "ada@example.org").Link.Reveal())
	_, err = site.guest.ConfirmEmailVerification(ctx, page.Get("userId"), page.Get("secret"))
	if err != nil {
		log.Fatal(err)
	}
	user, err := account.User(ctx)
	fmt.Println(user.EmailVerification, err)
	_, err = account.CreateEmailVerification(ctx, "https://app.example.org/verify")
	fmt.Println(err)
	// Output:
	// open the link within 168h0m0s
	// true <nil>
	// The e-mail address is verified already (user_email_already_verified)
}

// The host has its own way to identify people, for example a badge at a door.
func ExampleUsers_CreateToken() {
	ctx, site := context.Background(), newSite()
	users := site.engine.Users()
	user, err := users.Create(ctx, latchkey.NewUser{UserID: "ada"})
	if err != nil {
		log.Fatal(err)
	}
	token, err := users.CreateToken(ctx, user.ID, 32, time.Minute)
	if err != nil {
		log.Fatal(err)
	}
	// The host hands the secret to the user, whose client signs in with it.
	session, err := site.guest.CreateSession(ctx, user.ID, token.Secret.Reveal())
	fmt.Println(session.Provider, session.Factors, err)
	// Output: token [token] <nil>
}
