package oidc

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"slices"
	"time"

	"example.com/latchkey/hidden"
	"example.com/latchkey/oauth"
)

// VerifyIDToken implements [oauth.Native]. The token must be one for an app of Config.Apps, at most
// ten minutes old, and must have the nonce, unless Config.AppsWithoutNonce is set.
func (p *Provider) VerifyIDToken(ctx context.Context, t *oauth.IDToken) (*oauth.Verified, error) {
	if len(p.config.Apps) == 0 {
		return nil, errors.ErrUnsupported
	}
	c, err := p.signed(ctx, t.Token.Reveal())
	if err != nil {
		if isDown(err) {
			return nil, err
		}
		return nil, oauth.ErrIDToken
	}
	if !p.isOfApp(c) || !inTime(c, t.Now) || !p.isFresh(c, t.Now) || !p.hasNonce(c, t.Nonce) || isOther(c) {
		return nil, oauth.ErrIDToken
	}
	who, err := p.profile(c, &c.person, c.all)
	if err != nil {
		return nil, err
	}
	expire := time.Unix(*c.Issued, 0).Add(mostIssued)
	if end := time.Unix(*c.Expire, 0).Add(leeway); end.Before(expire) {
		expire = end
	}
	if !t.Now.Before(expire) {
		return nil, oauth.ErrIDToken
	}
	return &oauth.Verified{Profile: *who, Claims: hidden.New(string(c.all)), Expire: expire}, nil
}

// isDown reports whether an error is one of the service, and not of the token: its keys could not be
// read.
func isDown(err error) bool {
	ofToken := []error{errKey, errHeader, errSigned, errCompact, errClaims, errVerify, oauth.ErrSubject}
	return !slices.ContainsFunc(ofToken, func(e error) bool { return errors.Is(err, e) })
}

// isOfApp reports whether a token is for apps of the host, and was given to one of them.
func (p *Provider) isOfApp(c *claims) bool {
	strange := func(id string) bool { return !slices.Contains(p.config.Apps, id) }
	if len(c.Audience) == 0 || len(c.Audience) > maxAudiences || slices.ContainsFunc(c.Audience, strange) {
		return false
	}
	if c.Party != nil {
		return !strange(*c.Party) || *c.Party == p.config.ClientID
	}
	return len(c.Audience) == 1
}

// hasNonce reports whether a token has the digest of a nonce, or may have none.
func (p *Provider) hasNonce(c *claims, nonce hidden.Text) bool {
	if nonce.IsZero() {
		return p.config.AppsWithoutNonce && (c.Nonce == "" || !slices.Contains(c.Audience, p.config.ClientID))
	}
	sum := sha256.Sum256([]byte(nonce.Reveal()))
	return hidden.New(c.Nonce).Equal(hidden.New(hex.EncodeToString(sum[:])))
}

// isOther reports whether a token that the service has signed is no ID token: an access token has a
// scope, a logout token has events, and some services name the kind.
func isOther(c *claims) bool {
	for _, name := range []string{"scope", "scp", "events"} {
		if value, err := c.all.At(name); err != nil || value != nil {
			return true
		}
	}
	for name, id := range map[string]string{"typ": `"ID"`, "token_use": `"id"`} {
		if value, err := c.all.At(name); err != nil || value != nil && string(value) != id {
			return true
		}
	}
	return false
}
