package latchkey_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/jwt"
	"example.com/latchkey/permission"
	"example.com/latchkey/ratelimit"
	"example.com/latchkey/store/memory"
)

// Another service learns from a JWT which user calls it, without asking the engine.
func ExampleAccount_CreateJWT() {
	ctx, site := context.Background(), newSite()
	account := signedIn(ctx, site.guest)
	token, err := account.CreateJWT(ctx, 5*time.Minute)
	if err != nil {
		log.Fatal(err)
	}

	// The other service fetches the key set once, for example from
	// https://app.example.org/.well-known/jwks.json.
	verifier, err := jwt.NewVerifier("https://app.example.org", site.engine.KeySet())
	if err != nil {
		log.Fatal(err)
	}
	claims, err := verifier.Verify(token.Reveal(), site.clock.Now())
	fmt.Println(claims.UserID == account.UserID(), claims.SessionID == account.SessionID(), err)

	site.clock.Advance(6 * time.Minute)
	_, err = verifier.Verify(token.Reveal(), site.clock.Now())
	fmt.Println(err)
	// Output:
	// true true <nil>
	// jwt: not a token that is good now
}

// The engine sees at once that the session of a JWT has ended.
func ExampleGuest_AuthenticateJWT() {
	ctx, site := context.Background(), newSite()
	account := signedIn(ctx, site.guest)
	token, err := account.CreateJWT(ctx, 0)
	if err != nil {
		log.Fatal(err)
	}
	same, err := site.guest.AuthenticateJWT(ctx, token.Reveal())
	fmt.Println(same.UserID() == account.UserID(), err)

	if err := account.DeleteSession(ctx, latchkey.CurrentSession); err != nil {
		log.Fatal(err)
	}
	_, err = site.guest.AuthenticateJWT(ctx, token.Reveal())
	fmt.Println(errors.Is(err, latchkey.ErrUnauthorized))
	// Output:
	// true <nil>
	// true
}

// A session that is used goes on: the host extends it, and renews the cookie.
func ExampleAccount_ExtendSession() {
	ctx, site := context.Background(), newSite()
	account := signedIn(ctx, site.guest)
	site.clock.Advance(100 * 24 * time.Hour)
	session, err := account.ExtendSession(ctx, latchkey.CurrentSession)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(session.Expire.Format(time.DateOnly))
	// Output: 2027-06-09
}

// A user closes the account. Only the server can open it again.
func ExampleAccount_Block() {
	ctx, site := context.Background(), newSite()
	account := signedIn(ctx, site.guest)
	user, err := account.Block(ctx)
	fmt.Println(user.Status, err)
	_, err = site.guest.CreateEmailPasswordSession(ctx, "ada@example.org", "correct horse")
	fmt.Println(errors.Is(err, latchkey.ErrUserBlocked))
	// Output:
	// false <nil>
	// true
}

// The host keeps its moderators by a label.
func ExampleAccount_Roles() {
	ctx, site := context.Background(), newSite()
	account := signedIn(ctx, site.guest)
	_, err := site.engine.Users().UpdateLabels(ctx, account.UserID(), []string{"moderator"})
	if err != nil {
		log.Fatal(err)
	}
	roles, err := account.Roles(ctx)
	fmt.Println(roles.Has(permission.Label("moderator")), err)
	fmt.Println(site.guest.Roles())
	// Output:
	// true <nil>
	// any guests
}

// A host that answers over HTTP maps errors to status codes.
func ExampleError() {
	ctx, _, guest := host(nil)
	signedIn(ctx, guest)
	_, err := guest.CreateEmailPasswordSession(ctx, "ada@example.org", "wrong horse")

	status := http.StatusInternalServerError // a fault: log it, and show nothing of it
	if e, ok := errors.AsType[*latchkey.Error](err); ok {
		switch e.Category {
		case latchkey.CategoryInvalid:
			status = http.StatusBadRequest
		case latchkey.CategoryUnauthorized:
			status = http.StatusUnauthorized
		case latchkey.CategoryThrottled:
			status = http.StatusTooManyRequests
		}
		fmt.Println(status, e.Type)
	}
	// Output: 401 user_invalid_credentials
}

// A caller that tries too often is told how long to wait.
func ExampleThrottledError() {
	ctx, site := context.Background(), newSite()
	for range 11 {
		_, err := site.guest.CreateEmailPasswordSession(ctx, "ada@example.org", "wrong horse")
		if throttled, ok := errors.AsType[*latchkey.ThrottledError](err); ok {
			fmt.Println("try again in", throttled.RetryAfter)
		}
	}
	// Output: try again in 1h0m0s
}

// A user's session is deleted by the server: an event names the user and the session, and
// a pattern selects it.
func ExampleEvent_Matches() {
	e := latchkey.Event{Name: "users.ada.sessions.s1.delete", UserID: "ada"}
	for _, pattern := range []string{
		"users.*.sessions.*.delete", // sessions that end
		"users.*.sessions.*",        // everything about sessions
		"users.ada",                 // everything about one user
		"users.*.delete",            // users that are deleted
	} {
		fmt.Println(pattern, e.Matches(pattern))
	}
	// Output:
	// users.*.sessions.*.delete true
	// users.*.sessions.* true
	// users.ada true
	// users.*.delete false
}

// A host with stricter rules than the documented ones.
func ExamplePolicy() {
	engine, err := latchkey.New(memory.Open(), latchkey.Config{
		Keys: latchkey.Keys{Active: latchkey.GenerateKey()},
		Policy: latchkey.Policy{
			Disabled: latchkey.MethodAnonymousSession | latchkey.MethodPhone,
			Password: latchkey.PasswordPolicy{Min: 12, Dictionary: true, PersonalData: true},
			Sessions: latchkey.SessionPolicy{
				Length:       30 * 24 * time.Hour,
				SingleFactor: latchkey.Lifetime{Idle: 7 * 24 * time.Hour},
				Alerts:       true,
			},
			Factors:  latchkey.FactorPolicy{StrongRecoveryCodes: true},
			Messages: latchkey.MessagePolicy{MagicURLLength: 15 * time.Minute},
			Guessing: latchkey.GuessingPolicy{
				FreeFailures: 5,
				Limits:       map[string]ratelimit.Rule{"createRecovery": {Calls: 3, Window: time.Hour}},
			},
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	ctx, guest := context.Background(), engine.Guest(latchkey.Client{})
	_, err = guest.CreateAnonymousSession(ctx)
	fmt.Println(err)
	_, err = guest.CreateAccount(ctx, latchkey.NewAccount{Email: "ada@example.org", Password: "i am ada@example.org"})
	fmt.Println(err)
	// Output:
	// Anonymous authentication is disabled (user_auth_method_unsupported)
	// password: The password contains personal data (user_password_personal_data)
}

// A host starts with the strict rules, and changes one of them.
func ExampleStrictPolicy() {
	policy := latchkey.StrictPolicy()
	policy.Sessions.Limit = 3
	_, err := latchkey.New(memory.Open(), latchkey.Config{
		Keys:   latchkey.Keys{Active: latchkey.GenerateKey()},
		Policy: policy,
	})
	fmt.Println(policy.Password.Min, err)
	// Output: 15 <nil>
}

// A host makes a key once, keeps its text, and reads it at each start.
func ExampleParseKey() {
	text := latchkey.GenerateKey().Reveal()
	key, err := latchkey.ParseKey(text)
	fmt.Println(key.Reveal() == text, err)
	fmt.Println(key) // in a log
	// Output:
	// true <nil>
	// [secret]
}

// A host on one machine replaces its key. The old one still opens what it has sealed, until
// all of that is sealed anew.
func ExampleEngine_Reseal() {
	ctx := context.Background()
	old, key, s := latchkey.GenerateKey(), latchkey.GenerateKey(), memory.Open()
	before, err := latchkey.New(s, latchkey.Config{Keys: latchkey.Keys{Active: old}})
	if err != nil {
		log.Fatal(err)
	}
	signedIn(ctx, before.Guest(latchkey.Client{}))

	after, err := latchkey.New(s, latchkey.Config{Keys: latchkey.Keys{Active: key, Old: []latchkey.Key{old}}})
	if err != nil {
		log.Fatal(err)
	}
	resealed, err := after.Reseal(ctx)
	_, needed := resealed.Left[old.ID()]
	fmt.Println(resealed.Rows, needed, err)
	// Output: 1 false <nil>
}

// A host deletes once a day what has expired.
func ExampleEngine_Sweep() {
	ctx, site := context.Background(), newSite()
	signedIn(ctx, site.guest)
	site.clock.Advance(400 * 24 * time.Hour)
	swept, err := site.engine.Sweep(ctx)
	fmt.Println(swept.Sessions, swept.Logs, err)
	// Output: 1 2 <nil>
}
