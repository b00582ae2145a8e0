package latchkey_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log"

	"example.com/latchkey"
	"example.com/latchkey/authtest"
	"example.com/latchkey/hidden"
	"example.com/latchkey/oauth"
	"example.com/latchkey/oauth/oidc"
	"example.com/latchkey/store/memory"
)

// program lets an example run the test kit's issuer. Tests pass their *testing.T.
type program struct {
	ctx context.Context
	end func()
}

func (*program) Helper()                    {}
func (*program) Error(args ...any)          { log.Print(args...) }
func (*program) Errorf(f string, a ...any)  { log.Printf(f, a...) }
func (p *program) Context() context.Context { return p.ctx }
func (p *program) Cleanup(end func())       { p.end = end }

// A site signs users in by another service. Its callback gets everything that the service sends
// through the browser, the value that the start has put into a cookie, and the session's cookie.
func ExampleGuest_FinishOAuth2() {
	ctx, cancel := context.WithCancel(context.Background())
	p := &program{ctx: ctx}
	service := authtest.NewIssuer(p)
	defer func() { cancel(); p.end() }()
	acme, err := oidc.New(oidc.Config{
		Name: "acme", Issuer: service.URL, ClientID: service.Settings().ClientID, ClientSecret: service.Settings().ClientSecret,
		TrustEmail: true, // the host knows how the service proves addresses
		Private:    true, // for tests: http on loopback
	})
	if err != nil {
		log.Fatal(err)
	}
	defer acme.Close()
	engine, err := latchkey.New(memory.Open(), latchkey.Config{
		Keys: latchkey.Keys{Active: latchkey.GenerateKey()}, Providers: []oauth.Provider{acme}, RedirectHosts: []string{"app.example.org"},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer engine.Close()
	guest := engine.Guest(latchkey.Client{})

	// The handler of the button "Sign in with Acme"
	start, err := guest.StartOAuth2(ctx, latchkey.OAuth2Request{
		Provider: "acme", RedirectURL: "https://app.example.org/callback/acme", Success: "https://app.example.org/home", Failure: "https://app.example.org/sign-in",
	})
	if err != nil {
		log.Fatal(err)
	}
	cookie := start.Binding.Reveal() // HttpOnly, Secure, SameSite=Lax, ten minutes

	// The browser goes to the service, which signs the person in and sends it back.
	_, query, err := service.Visit(start.URL)
	if err != nil {
		log.Fatal(err)
	}

	// The handler of /callback/acme
	result, err := guest.FinishOAuth2(ctx, latchkey.OAuth2Callback{Provider: "acme", Parameters: query, Binding: cookie})
	var failed *latchkey.OAuth2Error
	if errors.As(err, &failed) {
		fmt.Println("redirect to", failed.Failure)
		return
	}
	if err != nil {
		log.Fatal(err)
	}
	account, err := guest.Authenticate(ctx, result.Session.Secret.Reveal())
	if err != nil {
		log.Fatal(err)
	}
	user, err := account.User(ctx)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("redirect to", result.Success)
	fmt.Println(user.Name, user.Email, user.EmailVerification, result.Session.Factors)
	// Output:
	// redirect to https://app.example.org/home
	// Ada Lovelace ada@example.org true [oauth2]
}

// An app signs its user in by the SDK of its platform. The SDK gives the app an ID token, which the
// app sends to its server with the nonce that it has drawn.
func ExampleGuest_CreateIDTokenSession() {
	ctx, cancel := context.WithCancel(context.Background())
	p := &program{ctx: ctx}
	platform := authtest.NewIssuer(p)
	defer func() { cancel(); p.end() }()
	acme, err := oidc.New(oidc.Config{
		Name: "acme", Issuer: platform.URL, ClientID: "web", ClientSecret: hidden.New("secret"), TrustEmail: true, Private: true,
		Apps: []string{platform.Settings().ClientID}, // the id of the app
	})
	if err != nil {
		log.Fatal(err)
	}
	defer acme.Close()
	engine, err := latchkey.New(memory.Open(), latchkey.Config{Keys: latchkey.Keys{Active: latchkey.GenerateKey()}, Providers: []oauth.Provider{acme}})
	if err != nil {
		log.Fatal(err)
	}
	defer engine.Close()

	// In the app: the SDK gets the digest, and the server gets the nonce.
	nonce := "drawn at random for this sign-in"
	sum := sha256.Sum256([]byte(nonce))
	token := platform.IDToken(hex.EncodeToString(sum[:]))

	// The handler of the app's sign-in
	session, err := engine.Guest(latchkey.Client{}).CreateIDTokenSession(ctx, latchkey.IDTokenSignIn{
		Provider: "acme", Token: hidden.New(token), Nonce: hidden.New(nonce),
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(session.Provider)
	// Output: acme
}
