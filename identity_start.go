package latchkey

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"strings"
	"time"

	"example.com/latchkey/internal/canon"
	"example.com/latchkey/internal/reason"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/internal/redirect"
	"example.com/latchkey/internal/seal"
	"example.com/latchkey/oauth"
	"example.com/latchkey/store"
)

// The bounds of sign-ins that have begun. A sign-in more than its share of the networks may have
// ends the oldest one of the network that has most of them: a flood pushes out its own.
const (
	startLength    = 10 * time.Minute
	startShares    = 2_048
	startsOfShare  = 50
	startsOfClient = 40

	maxScopes      = 100   // documented
	maxScopesBytes = 4_096 // of all of them, with a space between: they become part of an address
)

// The labels of the secrets of a sign-in by a provider.
const (
	stateLabel   = "state/v1"
	bindingLabel = "binding/v1"
)

// OAuth2Request asks for a sign-in by a provider.
type OAuth2Request struct {
	Provider string
	// RedirectURL is the host's callback as the provider knows it: one of its own for each
	// provider, at most 2,048 bytes. The host sets it, and takes it from no caller.
	RedirectURL string
	// Success and Failure are pages on one of Config.RedirectHosts to which the host sends the
	// browser at the end, at most 2,048 bytes each. The engine checks and keeps them, and
	// [OAuth2Result] and [OAuth2Error] return them. "" means that the host knows its pages.
	Success, Failure string
	// Scopes are asked for beside those that the provider always asks for: at most 100, and 4,096
	// bytes together. (The documents allow more than an address can hold.)
	Scopes []string
	// Token asks for a token in the place of a session: the host hands it to the page or the app
	// that has begun, which redeems it by [Guest.CreateSession] within a minute.
	Token bool
	// Unbound begins a sign-in without a value at the browser, for a caller that is not the
	// browser: a server that passes the address on, or an app. It needs Token, and links nothing.
	// Then the bearer of the token is signed in, and nothing tells that it is the one who has
	// begun: an attacker can make a browser sign in as the attacker.
	Unbound bool
}

// OAuth2Start is a sign-in that has begun.
type OAuth2Start struct {
	URL    string    `json:"url"`    // at the provider, to which the host sends the browser
	Expire time.Time `json:"expire"` // ten minutes after the start
	// Binding is the value that ties the sign-in to the browser: the host keeps it there, in a
	// cookie with HttpOnly that the callback gets (SameSite=Lax), and passes it to
	// [Guest.FinishOAuth2]. It is empty for an unbound start.
	Binding Secret `json:"-"`
}

// StartOAuth2 begins a sign-in by a provider. The host sends the browser to the address in the
// answer, and the provider sends it back to the host's callback, which calls [Guest.FinishOAuth2].
// A start can be finished once, for ten minutes.
//
// A client address may have 40 unfinished ones, and a share of the addresses of which there are
// 2,048 has 50: one more ends the oldest of the address that has most. So all unfinished starts
// are at most 102,400 rows, each mostly less than a KiB, and at most 16 KiB with a form post.
//
// Errors:
//   - [ErrArgumentInvalid]
//   - [ErrProviderDisabled]
//   - [ErrProviderFailed]: the provider cannot be reached.
//   - [*ThrottledError]: after 50 calls from a client address in an hour.
func (g *Guest) StartOAuth2(ctx context.Context, r OAuth2Request) (_ *OAuth2Start, err error) {
	defer g.home().operation(&ctx, "start OAuth2 session").end(&err)
	c, err := g.begin()
	if err != nil {
		return nil, err
	}
	return c.startOAuth2(ctx, r, nil)
}

// StartOAuth2 begins to link an account at a provider to the user, by which they can sign in
// afterwards. An anonymous account becomes a full one by that. It is finished in the session that
// has begun, and in no other one: [OAuth2Callback].Session.
//
// The session must be fresh, as for [Account.UpdateMFA], unless the account is anonymous. If
// Policy.TrustProviderMFA makes the provider stand in for a second factor, MFA is on, and the user
// has an authenticator, the session must have proven that.
//
// Errors: those of [Guest.StartOAuth2], and
//   - [ErrChallengeRequired]
//   - [ErrSignUpClosed]: the account is anonymous, and no one may sign up.
//   - [ErrSessionNotFound]: for a JWT.
func (a *Account) StartOAuth2(ctx context.Context, r OAuth2Request) (_ *OAuth2Start, err error) {
	defer a.home().operation(&ctx, "start OAuth2 session").end(&err)
	c, err := a.begin()
	if err != nil {
		return nil, err
	}
	if r.Unbound {
		return nil, invalid("Unbound", reason.New(reason.Conflict, "an identity is linked only in the browser that has begun"))
	}
	if _, err := a.mayLink(ctx, c, c.store); err != nil {
		return nil, err
	}
	return c.startOAuth2(ctx, r, a)
}

// mayLink is the gate of linking an identity.
func (a *Account) mayLink(ctx context.Context, c *call, r store.Reader) (*record.User, error) {
	var s record.Check
	user, err := a.readBoth(ctx, c, r, &s)
	switch {
	case err != nil:
		return nil, err
	case a.jwt != nil:
		return nil, ErrSessionNotFound
	case anonymous(user): // it would become a full account
		return user, c.maySignUp()
	}
	if err := c.requireFresh(&s, freshUnlessOff, c.policy.Factors.StepUpWindow); err != nil {
		return nil, err
	}
	if !c.policy.TrustProviderMFA || !user.MFA {
		return user, nil
	}
	row, err := c.liveSession(ctx, r, user.ID, s.ID)
	if err != nil {
		return nil, err
	}
	return user, c.requireStrongest(user, row, freshUnlessOff)
}

// check refuses a request that cannot be one.
func (r *OAuth2Request) check(e *Engine) error {
	if canon.Provider(r.Provider) != nil {
		return errProviderName
	}
	if u, err := redirect.Read(r.RedirectURL); err != nil || u.Host == "" || strings.Contains(r.RedirectURL, "#") || u.Scheme != "https" && u.Scheme != "http" {
		return invalid("RedirectURL", reason.New(reason.Malformed, "not an address of http or https without a fragment, of at most %d bytes", redirect.MaxLength))
	}
	for _, page := range []struct{ name, address string }{{"success", r.Success}, {"failure", r.Failure}} {
		if page.address == "" {
			continue
		}
		if _, err := e.redirects.Check(page.address); err != nil {
			return invalid(page.name, err)
		}
	}
	if len(r.Scopes) > maxScopes || len(strings.Join(r.Scopes, " ")) > maxScopesBytes {
		return invalid("scopes", reason.New(reason.TooLong, "more than %d, or more than %d bytes", maxScopes, maxScopesBytes))
	}
	for _, scope := range r.Scopes {
		bad := func(r rune) bool { return r <= ' ' || r > '~' || r == '"' || r == '\\' }
		if scope == "" || strings.ContainsFunc(scope, bad) {
			return invalid("scopes", reason.New(reason.Malformed, "not printable ASCII without space, quote and backslash"))
		}
	}
	if r.Unbound && !r.Token {
		return invalid("Unbound", reason.New(reason.Missing, "it needs Token"))
	}
	return nil
}

// flight is what a sign-in by a provider keeps until its end.
type flight struct {
	Nonce    string `json:"nonce"`
	Verifier string `json:"verifier"`
	Length   int64  `json:"length,omitempty"` // of the session, in seconds; 0 for that of the policy
}

// startOAuth2 begins a sign-in, or for an account the linking of an identity.
func (c *call) startOAuth2(ctx context.Context, r OAuth2Request, a *Account) (*OAuth2Start, error) {
	if err := r.check(c.Engine); err != nil {
		return nil, err
	}
	p, err := c.provider(r.Provider)
	if err != nil {
		return nil, err
	}
	if err := c.limitClient(ctx, limitStartOAuth2); err != nil {
		return nil, err
	}
	state, nonce, verifier, binding := newSecret(), newSecret(), newSecret(), newSecret()
	digest, _ := secretDigest(state.Reveal(), stateLabel)
	network := c.ring.Digest("start", c.client.network())
	share := network
	if c.client.network() == "" { // of a host that does not tell its clients apart
		share = digest[:]
	}
	row := &record.Start{
		ID: newID(), Digest: string(digest[:]), Share: int64(binary.BigEndian.Uint64(share) % startShares), Network: network,
		Provider: r.Provider, Issuer: p.Info().Issuer, Redirect: r.RedirectURL, Token: r.Token, Success: r.Success, Failure: r.Failure,
		Created: c.now, Expire: c.now.Add(startLength),
	}
	kept, err := json.Marshal(flight{nonce.Reveal(), verifier.Reveal(), int64(c.client.SessionLength / time.Second)})
	if err != nil {
		return nil, err
	}
	row.Sealed = c.ring.Seal(seal.Start, seal.StartPlace(row.ID), kept)
	if r.Unbound {
		binding = Secret{}
	} else {
		sum, _ := secretDigest(binding.Reveal(), bindingLabel)
		row.Binding = sum[:]
	}
	if a != nil {
		row.Session = a.session.ID
	}
	address, err := c.authorize(ctx, p, &oauth.Flow{
		RedirectURL: r.RedirectURL, Scopes: r.Scopes, State: state, Nonce: nonce, Verifier: verifier, Now: c.now,
	})
	if err != nil {
		return nil, err
	}
	err = c.update(ctx, func(ctx context.Context, tx *txn) error {
		if a != nil {
			if _, err := a.mayLink(ctx, c, tx); err != nil {
				return err
			}
		}
		if err := tx.makeRoomForStart(ctx, row); err != nil {
			return err
		}
		return record.Starts.Insert(ctx, tx, row)
	})
	if err != nil {
		return nil, err
	}
	return &OAuth2Start{URL: address, Expire: row.Expire, Binding: binding}, nil
}

// makeRoomForStart ends sign-ins of a share until one more is within the bounds.
func (tx *txn) makeRoomForStart(ctx context.Context, row *record.Start) error {
	rows, err := record.Starts.List(ctx, tx, store.Query{
		Index: record.Starts.Index("share"), Equal: []store.Value{store.Int(row.Share)}, Limit: store.MaxLimit,
	})
	if err != nil {
		return err
	}
	waits := make([]waiting, len(rows))
	for i, s := range rows {
		waits[i] = waiting{s.ID, string(s.Network), s.Created, s.Expire}
	}
	return tx.makeRoom(crowd{startsOfShare, startsOfClient}, string(row.Network), waits, func(id string) error {
		return record.Starts.Delete(ctx, tx, store.Text(id))
	})
}
