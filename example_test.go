package latchkey_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/netip"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/notify"
	"example.com/latchkey/store/memory"
)

// host is what an example starts with: an engine in memory whose host prints
// what happens, and a guest.
func host(onEvent func(context.Context, latchkey.Event)) (context.Context, *latchkey.Engine, *latchkey.Guest) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	engine, err := latchkey.New(memory.Open(), latchkey.Config{
		Keys:    latchkey.Keys{Active: latchkey.GenerateKey()},
		OnEvent: onEvent,
		Now:     func() time.Time { now = now.Add(time.Second); return now },
	})
	if err != nil {
		log.Fatal(err)
	}
	guest := engine.Guest(latchkey.Client{
		IP:        netip.MustParseAddr("192.0.2.7"),
		UserAgent: "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
	})
	return context.Background(), engine, guest
}

// signedIn is the account of a user who has just signed up and in.
func signedIn(ctx context.Context, guest *latchkey.Guest) *latchkey.Account {
	if _, err := guest.CreateAccount(ctx, latchkey.NewAccount{Email: "ada@example.org", Password: "correct horse", Name: "Ada"}); err != nil {
		log.Fatal(err)
	}
	session, err := guest.CreateEmailPasswordSession(ctx, "ada@example.org", "correct horse")
	if err != nil {
		log.Fatal(err)
	}
	account, err := guest.Authenticate(ctx, session.Secret.Reveal())
	if err != nil {
		log.Fatal(err)
	}
	return account
}

func ExampleGuest_CreateAccount() {
	ctx, _, guest := host(nil)
	user, err := guest.CreateAccount(ctx, latchkey.NewAccount{
		UserID: "ada", Email: "Ada@Example.org", Password: "correct horse", Name: "Ada",
	})
	fmt.Println(user.ID, user.Email, user.EmailVerification, err)
	_, err = guest.CreateAccount(ctx, latchkey.NewAccount{Email: "ada@example.org", Password: "correct horse"})
	fmt.Println(err, errors.Is(err, latchkey.ErrUserAlreadyExists))
	// Output:
	// ada ada@example.org false <nil>
	// A user with this id, e-mail address or phone number exists (user_already_exists) true
}

func ExampleGuest_CreateEmailPasswordSession() {
	ctx, _, guest := host(nil)
	signedIn(ctx, guest)
	session, err := guest.CreateEmailPasswordSession(ctx, "ada@example.org", "correct horse")
	fmt.Println(session.Provider, session.Factors, session.Device, session.Expire.Format(time.DateOnly), err)
	fmt.Println(session.Secret, len(session.Secret.Reveal())) // what the client keeps
	_, err = guest.CreateEmailPasswordSession(ctx, "ada@example.org", "wrong horse")
	fmt.Println(errors.Is(err, latchkey.ErrInvalidCredentials))
	// Output:
	// email [password] Firefox 140.0 on Linux 2027-03-01 <nil>
	// [secret] 64
	// true
}

func ExampleGuest_Authenticate() {
	ctx, _, guest := host(nil)
	signedIn(ctx, guest)
	session, err := guest.CreateEmailPasswordSession(ctx, "ada@example.org", "correct horse")
	if err != nil {
		log.Fatal(err)
	}
	account, err := guest.Authenticate(ctx, session.Secret.Reveal()) // on every request
	fmt.Println(account.UserID() == session.UserID, err)
	fmt.Println(account.DeleteSession(ctx, latchkey.CurrentSession))
	_, err = guest.Authenticate(ctx, session.Secret.Reveal())
	fmt.Println(errors.Is(err, latchkey.ErrUnauthorized))
	// Output:
	// true <nil>
	// <nil>
	// true
}

func ExampleGuest_CreateAnonymousSession() {
	ctx, _, guest := host(nil)
	session, err := guest.CreateAnonymousSession(ctx)
	if err != nil {
		log.Fatal(err)
	}
	account, err := guest.Authenticate(ctx, session.Secret.Reveal())
	if err != nil {
		log.Fatal(err)
	}
	// Later the visitor wants to keep what they have done.
	user, err := account.UpdateEmail(ctx, "ada@example.org", "correct horse")
	fmt.Println(user.ID == session.UserID, user.Email, err)
	// Output: true ada@example.org <nil>
}

func ExampleAccount_UpdatePassword() {
	ctx, _, guest := host(nil)
	account := signedIn(ctx, guest)
	_, err := account.UpdatePassword(ctx, latchkey.PasswordUpdate{New: "another horse", Old: "wrong horse"})
	fmt.Println(err)
	_, err = account.UpdatePassword(ctx, latchkey.PasswordUpdate{New: "another horse", Old: "correct horse"})
	fmt.Println(err)
	// Output:
	// The credentials are wrong (user_invalid_credentials)
	// <nil>
}

func ExampleAccount_UpdatePrefs() {
	ctx, _, guest := host(nil)
	account := signedIn(ctx, guest)
	_, err := account.UpdatePrefs(ctx, []byte(`{"theme": "dark", "columns": [1, 2]}`))
	if err != nil {
		log.Fatal(err)
	}
	prefs, err := account.Prefs(ctx)
	fmt.Println(string(prefs), err)
	// Output: {"theme":"dark","columns":[1,2]} <nil>
}

func ExampleAccount_Sessions() {
	ctx, _, guest := host(nil)
	account := signedIn(ctx, guest)
	signInAgain(ctx, guest)
	list, err := account.Sessions(ctx)
	if err != nil {
		log.Fatal(err)
	}
	for _, s := range list.Sessions {
		fmt.Println(s.Device, s.IP, s.Current)
	}
	fmt.Println(account.DeleteSessions(ctx)) // sign out everywhere
	// Output:
	// Firefox 140.0 on Linux 192.0.2.7 true
	// Firefox 140.0 on Linux 192.0.2.7 false
	// <nil>
}

func signInAgain(ctx context.Context, guest *latchkey.Guest) {
	if _, err := guest.CreateEmailPasswordSession(ctx, "ada@example.org", "correct horse"); err != nil {
		log.Fatal(err)
	}
}

func ExampleAccount_Logs() {
	ctx, _, guest := host(nil)
	account := signedIn(ctx, guest)
	_, _ = guest.CreateEmailPasswordSession(ctx, "ada@example.org", "wrong horse")
	list, err := account.Logs(ctx, latchkey.Limit(10))
	if err != nil {
		log.Fatal(err)
	}
	for _, l := range list.Logs {
		fmt.Printf("%s by a %s %q\n", l.Event, l.Mode, l.Reason)
	}
	// Output:
	// session.refuse by a guest "user_invalid_credentials"
	// session.create by a user ""
	// user.create by a guest ""
}

func ExampleUsers() {
	ctx, engine, guest := host(nil)
	users := engine.Users() // the host decides which of its own code reaches it
	user, err := users.Create(ctx, latchkey.NewUser{UserID: "ada", Phone: "+14155550100", Name: "Ada"})
	if err != nil {
		log.Fatal(err)
	}
	_, err = users.UpdateLabels(ctx, user.ID, []string{"vip"})
	fmt.Println(err)
	session, err := users.CreateSession(ctx, user.ID)
	if err != nil {
		log.Fatal(err)
	}
	account, err := guest.Authenticate(ctx, session.Secret.Reveal())
	if err != nil {
		log.Fatal(err)
	}
	roles, err := account.Roles(ctx)
	fmt.Println(roles, err)
	_, err = users.UpdateStatus(ctx, user.ID, false) // block
	if err != nil {
		log.Fatal(err)
	}
	_, err = account.User(ctx)
	fmt.Println(err)
	// Output:
	// <nil>
	// any user:ada users user:ada/unverified users/unverified label:vip <nil>
	// The user is blocked (user_blocked)
}

func ExampleConfig_onEvent() {
	ctx, engine, guest := host(func(_ context.Context, e latchkey.Event) {
		if e.Matches("users.*.sessions.*.create") {
			fmt.Println("signed in:", e.Payload.(*latchkey.Session).Device)
		}
		if e.Matches("users.*.delete") {
			fmt.Println("deleted:", e.Payload.(*latchkey.User).Name)
		}
	})
	account := signedIn(ctx, guest)
	if err := engine.Users().Delete(ctx, account.UserID()); err != nil {
		log.Fatal(err)
	}
	// Output:
	// signed in: Firefox 140.0 on Linux
	// deleted: Ada
}

// A visitor signs in by a code that comes by e-mail. An address without an account gets
// one.
func ExampleGuest_CreateEmailToken() {
	var outbox notify.Mailbox // a host sends mail
	s := memory.Open()
	engine, err := latchkey.New(s, latchkey.Config{Keys: latchkey.Keys{Active: latchkey.GenerateKey()}, Notifier: &outbox})
	if err != nil {
		panic(err)
	}
	ctx := context.Background()
	guest := engine.Guest(latchkey.Client{})
	token, err := guest.CreateEmailToken(ctx, latchkey.NewEmailToken{Email: "ada@example.org"})
	if err != nil {
		panic(err)
	}
	message, err := outbox.Next(ctx, "ada@example.org")
	if err != nil {
		panic(err)
	}
	session, err := guest.CreateSession(ctx, token.UserID, message.Code())
	fmt.Println(session.Provider, session.Factors, err)
	_, err = guest.CreateSession(ctx, token.UserID, message.Code())
	fmt.Println(err)
	fmt.Println(engine.Close(), s.Close())
	// Output:
	// token [email] <nil>
	// The code is wrong, was used or replaced, or has expired (user_invalid_token)
	// <nil> <nil>
}
