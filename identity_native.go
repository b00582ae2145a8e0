package latchkey

import (
	"context"
	"errors"
	"unicode/utf8"

	"example.com/latchkey/internal/canon"
	"example.com/latchkey/internal/reason"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/internal/seal"
	"example.com/latchkey/oauth"
)

const (
	maxIDToken = 16 << 10 // bytes
	maxNonce   = 255      // bytes
)

// IDTokenSignIn is a sign-in in an app, by the SDK of a platform: Sign in with Apple, Sign in with
// Google, Facebook's Limited Login.
type IDTokenSignIn struct {
	Provider string
	// Token is the ID token that the SDK has given the app: at most 16 KiB, at most ten minutes old. An
	// SDK may return one that it has kept. Then the app asks for a new one.
	Token Secret
	// Nonce is the random text that the app has drawn for this sign-in, at most 255 bytes. The app
	// gives the SDK its SHA-256 digest in lower-case hex, which the token then holds. It is empty only
	// for a provider that is configured to take tokens without a nonce.
	Nonce Secret
	// Name is the person's name if the SDK has told it, as Apple's does once: at most 4,096 bytes, of
	// which 128 characters are kept. Nothing proves it. A name in the token comes before it.
	Name string
}

// CreateIDTokenSession signs a user in by the ID token that an app has got from the SDK of its
// platform. The provider must be one that takes such tokens (oauth.Native) and be configured with the
// client ids of the host's apps. From the person on, the rules are those of [Guest.FinishOAuth2].
//
// The token proves the sign-in: its issuer, signature, audience, age and nonce are checked,
// and the same claims sign in once. An access token is refused, because it does not say for which app
// it was made.
//
// Errors:
//   - [ErrArgumentInvalid]
//   - [ErrProviderDisabled]: the provider is not configured, or takes no ID tokens.
//   - [*ThrottledError]: after 50 calls from a client address in an hour.
//   - [ErrInvalidToken]: the token is not one of the provider for an app of the host, is older than
//     ten minutes, has another nonce, or was used already.
//   - [ErrProviderFailed]: the keys of the provider could not be read.
//   - those of [Guest.FinishOAuth2] from ErrProviderSubject on, and not as an [*OAuth2Error].
func (g *Guest) CreateIDTokenSession(ctx context.Context, r IDTokenSignIn) (_ *Session, err error) {
	defer g.home().operation(&ctx, "create ID token session").end(&err)
	c, err := g.begin()
	if err != nil {
		return nil, err
	}
	who, err := c.verifyIDToken(ctx, r)
	if err != nil {
		return nil, err
	}
	result, err := c.settlePerson(ctx, &record.Start{Provider: r.Provider}, who, nil, "")
	if err != nil {
		return nil, err
	}
	return result.Session, nil
}

// LinkIDToken links the account at a provider that an ID token names to the user, as
// [Account.StartOAuth2] with [Guest.FinishOAuth2] does for a browser. The session must be fresh,
// unless the account is anonymous. An anonymous account becomes a full one by that, and its session
// gets a new secret.
//
// Errors: those of [Guest.CreateIDTokenSession] and of linking by [Guest.FinishOAuth2], and
//   - [ErrChallengeRequired]
//   - [ErrSessionNotFound]: for a JWT.
func (a *Account) LinkIDToken(ctx context.Context, r IDTokenSignIn) (_ *OAuth2Result, err error) {
	defer a.home().operation(&ctx, "link ID token").end(&err)
	c, err := a.begin()
	if err != nil {
		return nil, err
	}
	if _, err := a.mayLink(ctx, c, c.store); err != nil {
		return nil, err
	}
	who, err := c.verifyIDToken(ctx, r)
	if err != nil {
		return nil, err
	}
	return c.settlePerson(ctx, &record.Start{Provider: r.Provider}, who, a, "")
}

// check refuses a sign-in that cannot be one.
func (r *IDTokenSignIn) check() error {
	switch n := len(r.Token.Reveal()); {
	case canon.Provider(r.Provider) != nil:
		return errProviderName
	case n == 0 || n > maxIDToken:
		return invalid("Token", reason.New(reason.OutOfRange, "not 1 to %d bytes", maxIDToken))
	case len(r.Nonce.Reveal()) > maxNonce:
		return invalid("Nonce", reason.New(reason.TooLong, "more than %d bytes", maxNonce))
	case len(r.Name) > maxPerson:
		return invalid("Name", reason.New(reason.TooLong, "more than %d bytes", maxPerson))
	case !utf8.ValidString(r.Name):
		return invalid("Name", reason.New(reason.NotUTF8, "not UTF-8"))
	}
	return nil
}

// verifyIDToken returns the person of an ID token, with the row that takes its claims once.
func (c *call) verifyIDToken(ctx context.Context, r IDTokenSignIn) (*person, error) {
	if err := r.check(); err != nil {
		return nil, err
	}
	p, err := c.provider(r.Provider)
	if err != nil {
		return nil, err
	}
	native, is := p.(oauth.Native)
	if !is {
		return nil, ErrProviderDisabled
	}
	if err := c.limitClient(ctx, limitIDToken); err != nil {
		return nil, err
	}
	token := &oauth.IDToken{Token: r.Token, Nonce: r.Nonce, Now: c.now}
	found, err := callProvider(ctx, c, p, func(ctx context.Context) (*oauth.Verified, error) {
		v, err := native.VerifyIDToken(ctx, token)
		switch {
		case errors.Is(err, errors.ErrUnsupported):
			return nil, providerAnswer{ErrProviderDisabled}
		case errors.Is(err, oauth.ErrIDToken):
			return nil, providerAnswer{ErrInvalidToken}
		case err == nil && v.Claims.IsZero():
			return nil, oauth.Failure("the provider names no claims")
		}
		return v, err
	})
	if errors.Is(err, ErrInvalidToken) {
		return nil, c.update(ctx, func(ctx context.Context, tx *txn) error {
			return tx.refuse(ctx, refused{logSessionRefuse, nil, errWrongIDToken})
		})
	}
	if err != nil {
		return nil, err
	}
	who, err := c.personOf(ctx, p, found.Profile, &oauth.Tokens{}, r.Name)
	if err != nil {
		return nil, err
	}
	who.token = &record.Failure{
		Purpose: failIDToken, Subject: seal.PlainDigest(failIDToken, who.Issuer, found.Claims.Reveal()),
		Last: c.now, Expire: found.Expire.Add(c.clockStep),
	}
	return who, nil
}
