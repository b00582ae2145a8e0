package kit

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"sync"
	"time"

	"github.com/google/go-cmp/cmp"

	"example.com/latchkey"
	"example.com/latchkey/hidden"
	"example.com/latchkey/oauth"
)

// Provider is a provider in process, at which every code stands for a person of the test's.
type Provider struct {
	About oauth.Info

	mu      sync.Mutex
	people  map[string]oauth.Profile // by code
	tokens  map[string]oauth.Tokens  // by code
	next    int
	Renewed int // calls of Refresh
	// The errors of calls, and what runs before an answer.
	AuthorizeErr, ExchangeErr, ProfileErr, RefreshErr, RevokeErr, VerifyErr error

	Before   func(ctx context.Context, call string)
	Callback oauth.Callback   // of the last Exchange
	Revoked  chan oauth.Grant // gets the grants of Revoke; nil for a test that does not look
}

// NewProvider returns a provider of a name, with an issuer of that name.
func NewProvider(name string) *Provider {
	return &Provider{About: oauth.Info{Name: name, Issuer: "https://" + name + ".example.com"}, people: make(map[string]oauth.Profile), tokens: make(map[string]oauth.Tokens)}
}

// Code returns a code that stands for a person. An empty issuer is that of the provider.
func (p *Provider) Code(who oauth.Profile) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if who.Issuer == "" {
		who.Issuer = p.About.Issuer
	}
	p.next++
	code := fmt.Sprintf("%s-code-%d", p.About.Name, p.next)
	p.people[code] = who
	p.tokens[code] = oauth.Tokens{Access: hidden.New("access of " + code), Refresh: hidden.New("refresh of " + code)}
	return code
}

// Info implements [oauth.Provider].
func (p *Provider) Info() oauth.Info { return p.About }

func (p *Provider) before(ctx context.Context, call string) {
	if p.Before != nil {
		p.Before(ctx, call)
	}
}

// Authorize implements [oauth.Provider].
func (p *Provider) Authorize(ctx context.Context, f *oauth.Flow) (string, error) {
	p.before(ctx, "authorize")
	return p.About.Issuer + "/authorize?" + url.Values{"state": {f.State.Reveal()}}.Encode(), p.AuthorizeErr
}

// Exchange implements [oauth.Provider]. A code can be redeemed once.
func (p *Provider) Exchange(ctx context.Context, f *oauth.Flow) (*oauth.Tokens, error) {
	p.before(ctx, "exchange")
	p.mu.Lock()
	defer p.mu.Unlock()
	t, found := p.tokens[f.Callback.Code.Reveal()]
	if !found {
		return nil, oauth.Failure("the code is not known")
	}
	delete(p.tokens, f.Callback.Code.Reveal())
	p.Callback = f.Callback
	t.ID = f.Callback.Code
	return &t, p.ExchangeErr
}

// Profile implements [oauth.Provider].
func (p *Provider) Profile(ctx context.Context, _ *oauth.Flow, t *oauth.Tokens) (*oauth.Profile, error) {
	p.before(ctx, "profile")
	p.mu.Lock()
	defer p.mu.Unlock()
	who := p.people[t.ID.Reveal()]
	return &who, p.ProfileErr
}

// Refresh implements [oauth.Provider].
func (p *Provider) Refresh(ctx context.Context, g *oauth.Grant) (*oauth.Tokens, error) {
	p.before(ctx, "refresh")
	p.mu.Lock()
	defer p.mu.Unlock()
	p.Renewed++
	if p.RefreshErr != nil {
		return nil, p.RefreshErr
	}
	return &oauth.Tokens{Access: hidden.New("new access"), Refresh: hidden.New(g.Refresh.Reveal() + "+")}, nil
}

// Revoke implements [oauth.Revoker]. It hands the grant to the test that waits for it.
func (p *Provider) Revoke(ctx context.Context, g *oauth.Grant) error {
	p.before(ctx, "revoke")
	if p.Revoked != nil {
		p.Revoked <- *g
	}
	return p.RevokeErr
}

// IDToken returns an ID token that stands for a person, with an hour to live.
func (p *Provider) IDToken(who oauth.Profile) latchkey.Secret { return hidden.New(p.Code(who)) }

// VerifyIDToken implements [oauth.Native].
func (p *Provider) VerifyIDToken(ctx context.Context, t *oauth.IDToken) (*oauth.Verified, error) {
	p.before(ctx, "verify")
	p.mu.Lock()
	defer p.mu.Unlock()
	who, known := p.people[t.Token.Reveal()]
	switch {
	case p.VerifyErr != nil:
		return nil, p.VerifyErr
	case !known:
		return nil, oauth.ErrIDToken
	}
	return &oauth.Verified{Profile: who, Claims: t.Token, Expire: t.Now.Add(10 * time.Minute)}, nil
}

// CallbackURL is the callback of the host of tests.
const CallbackURL = "https://app.example.org/callback"

// Began is a sign-in by a provider that a test has begun.
type Began struct {
	*latchkey.OAuth2Start
	Provider, State string
}

// Begin begins a sign-in by a provider, as a guest or for an account.
func (k *Kit) Begin(by interface {
	StartOAuth2(context.Context, latchkey.OAuth2Request) (*latchkey.OAuth2Start, error)
}, r latchkey.OAuth2Request) Began {
	k.Helper()
	if r.RedirectURL == "" {
		r.RedirectURL = CallbackURL
	}
	start, err := by.StartOAuth2(k.Ctx, r)
	k.Must(err)
	u, err := url.Parse(start.URL)
	k.Must(err)
	return Began{start, r.Provider, u.Query().Get("state")}
}

// Callback returns the call of the callback with a code.
func (b Began) Callback(code string) latchkey.OAuth2Callback {
	return latchkey.OAuth2Callback{Provider: b.Provider, Parameters: url.Values{"state": {b.State}, "code": {code}}, Binding: b.Binding.Reveal()}
}

// SignInBy signs a person in by a provider and returns the session.
func (k *Kit) SignInBy(g *latchkey.Guest, p *Provider, who oauth.Profile) *latchkey.Session {
	k.Helper()
	result, err := g.FinishOAuth2(k.Ctx, k.Begin(g, latchkey.OAuth2Request{Provider: p.About.Name}).Callback(p.Code(who)))
	k.Must(err)
	return result.Session
}

// LinkBy links a person at a provider to an account, in the session of a secret.
func (k *Kit) LinkBy(g *latchkey.Guest, secret latchkey.Secret, p *Provider, who oauth.Profile) (*latchkey.OAuth2Result, error) {
	k.Helper()
	account, err := g.Authenticate(k.Ctx, secret.Reveal())
	k.Must(err)
	cb := k.Begin(account, latchkey.OAuth2Request{Provider: p.About.Name}).Callback(p.Code(who))
	cb.Session = secret.Reveal()
	return g.FinishOAuth2(k.Ctx, cb)
}

// RefusesCallback reports a callback whose error is not want, or that changes more than its start
// and the log.
func (k *Kit) RefusesCallback(what string, want error, cb latchkey.OAuth2Callback) {
	k.Helper()
	k.Forget()
	state := func() map[string][]string {
		all := k.Everything()
		delete(all, "starts")
		delete(all, "logs")
		return all
	}
	before := state()
	err := Err(k.Visitor.FinishOAuth2(k.Ctx, cb))
	if !errors.Is(err, want) {
		k.Errorf("%s: %v, want %v", what, err, want)
	}
	if diff := cmp.Diff(before, state()); diff != "" {
		k.Errorf("%s changed the store (-before +after):\n%s", what, diff)
	}
	if told := k.Told.Take(); len(told) != 0 {
		k.Errorf("%s was told: %v", what, told)
	}
	if len(cb.Parameters["state"]) != 1 {
		return
	}
	again := cb
	again.Parameters = url.Values{"state": cb.Parameters["state"], "code": {"any"}}
	if err := Err(k.Visitor.FinishOAuth2(k.Ctx, again)); !errors.Is(err, latchkey.ErrInvalidToken) {
		k.Errorf("%s: its start is still there: %v", what, err)
	}
}
