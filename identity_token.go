package latchkey

import (
	"context"
	"errors"
	"time"

	"example.com/latchkey/internal/record"
	"example.com/latchkey/internal/seal"
	"example.com/latchkey/oauth"
)

// ProviderTokens are the tokens by which a host calls a provider for a user. They are empty unless
// Policy.KeepProviderTokens keeps them.
type ProviderTokens struct {
	Access  Secret    `json:"-"`
	Refresh Secret    `json:"-"`               // empty if the provider gave none
	Expire  time.Time `json:"expire,omitzero"` // of Access; zero if it is not known
}

// ProviderTokens returns the tokens of an identity of the user. The session must be fresh: signed
// in or challenged within the window of the policy.
//
// Errors:
//   - [ErrIdentityNotFound]: also for another user's identity.
//   - [ErrChallengeRequired]
//   - [ErrSessionNotFound]: for a JWT.
func (a *Account) ProviderTokens(ctx context.Context, identityID string) (_ *ProviderTokens, err error) {
	defer a.home().operation(&ctx, "get provider tokens").end(&err)
	c, err := a.begin()
	if err != nil {
		return nil, err
	}
	if err := checkIdentityID(identityID); err != nil {
		return nil, err
	}
	var s record.Check
	user, err := a.readBoth(ctx, c, c.store, &s)
	switch {
	case err != nil:
		return nil, err
	case a.jwt != nil:
		return nil, ErrSessionNotFound
	}
	if err := c.requireFresh(&s, freshSignIn, c.policy.Factors.StepUpWindow); err != nil {
		return nil, err
	}
	i, err := findIdentity(ctx, c.store, identityID)
	if err != nil {
		return nil, err
	}
	if i == nil || i.UserID != user.ID {
		return nil, ErrIdentityNotFound
	}
	return c.shownTokens(ctx, i)
}

// ProviderTokens returns the tokens of an identity.
//
// Errors:
//   - [ErrIdentityNotFound]
func (u *Users) ProviderTokens(ctx context.Context, identityID string) (_ *ProviderTokens, err error) {
	defer u.home().operation(&ctx, "get provider tokens").end(&err)
	c, err := u.begin()
	if err != nil {
		return nil, err
	}
	if err := checkIdentityID(identityID); err != nil {
		return nil, err
	}
	i, err := findIdentity(ctx, c.store, identityID)
	if err != nil {
		return nil, err
	}
	if i == nil {
		return nil, ErrIdentityNotFound
	}
	return c.shownTokens(ctx, i)
}

// shownTokens returns the tokens of an identity, if the policy keeps them.
func (c *call) shownTokens(ctx context.Context, i *record.Identity) (*ProviderTokens, error) {
	if !c.policy.KeepProviderTokens {
		return new(ProviderTokens), nil
	}
	return c.openTokens(ctx, i)
}

// openTokens opens the tokens of an identity.
func (c *call) openTokens(ctx context.Context, i *record.Identity) (*ProviderTokens, error) {
	t := &ProviderTokens{Expire: i.Expire}
	for _, v := range []struct {
		sealed []byte
		place  seal.Place
		to     *Secret
	}{{i.Access, seal.AccessPlace(i.ID, i.UserID), &t.Access}, {i.Refresh, seal.RefreshPlace(i.ID, i.UserID), &t.Refresh}} {
		if v.sealed == nil {
			continue
		}
		text, err := c.ring.Open(seal.Provider, v.place, v.sealed)
		if err != nil {
			return nil, c.sealFault(ctx, sealedProvider, i.UserID, err)
		}
		*v.to = hide(string(text))
	}
	return t, nil
}

// sealTokens puts the tokens of a provider into the row of an identity, if the policy keeps them.
// A provider that gives no new refresh token leaves the old one good.
func (c *call) sealTokens(i *record.Identity, t *oauth.Tokens) {
	if !c.policy.KeepProviderTokens {
		i.Access, i.Refresh, i.Expire, i.Renewing = nil, nil, time.Time{}, time.Time{}
		return
	}
	i.Access, i.Expire = nil, t.Expire.UTC().Truncate(time.Microsecond)
	if !t.Access.IsZero() {
		i.Access = c.ring.Seal(seal.Provider, seal.AccessPlace(i.ID, i.UserID), []byte(t.Access.Reveal()))
	}
	if !t.Refresh.IsZero() {
		i.Renewing = time.Time{}
		i.Refresh = c.ring.Seal(seal.Provider, seal.RefreshPlace(i.ID, i.UserID), []byte(t.Refresh.Reveal()))
	}
}

// renewLength is how long one call has the right to redeem the refresh token of an identity. Some
// providers take such a token once, and end everything when it comes twice.
const renewLength = 2 * providerTime

// renewal is the answer of a provider to a refresh token; nil without one.
type renewal struct {
	identity string
	spent    []byte        // the sealed refresh token
	tokens   *oauth.Tokens // nil if the provider takes the token no more
}

// renewTokens refreshes the tokens of the identity that has made a session, if it has a refresh
// token and no other call does the same. A provider that fails leaves everything as it is: the
// user stays signed in here, whatever becomes of the account there. The context is one that the
// caller cannot cancel, because a token that was redeemed must be stored.
func (c *call) renewTokens(ctx context.Context, s *record.Session) (*renewal, error) {
	if s.Identity == "" || !c.policy.KeepProviderTokens {
		return nil, nil
	}
	i, err := update(ctx, c, func(ctx context.Context, tx *txn) (*record.Identity, error) {
		i, err := findIdentity(ctx, tx, s.Identity)
		if i == nil || err != nil || i.Refresh == nil || i.Renewing.After(tx.now) && !i.Renewing.After(tx.now.Add(renewLength)) {
			return nil, err
		}
		i.Renewing = tx.now.Add(renewLength)
		return i, record.Identities.Replace(ctx, tx, i)
	})
	if i == nil || err != nil {
		return nil, err
	}
	p := c.providerOf(i)
	if p == nil {
		return nil, nil
	}
	kept, err := c.openTokens(ctx, i)
	if err != nil { // which is logged
		return nil, nil
	}
	r := &renewal{identity: i.ID, spent: i.Refresh}
	refused := false
	r.tokens, err = callProvider(ctx, c, p, func(ctx context.Context) (*oauth.Tokens, error) {
		t, err := p.Refresh(ctx, &oauth.Grant{Issuer: i.Issuer, Access: kept.Access, Refresh: kept.Refresh})
		refused = errors.Is(err, oauth.ErrRefused)
		return t, err
	})
	if err != nil && !refused {
		return nil, nil
	}
	return r, nil
}

// keepRenewal stores the answer of a provider, unless the user has signed in by it meanwhile.
func (tx *txn) keepRenewal(ctx context.Context, r *renewal) error {
	if r == nil {
		return nil
	}
	i, err := findIdentity(ctx, tx, r.identity)
	if i == nil || err != nil || string(i.Refresh) != string(r.spent) {
		return err
	}
	i.Renewing = time.Time{}
	if r.tokens != nil {
		tx.sealTokens(i, r.tokens)
	} else {
		i.Refresh = nil
	}
	return record.Identities.Replace(ctx, tx, i)
}
