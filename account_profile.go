package latchkey

import (
	"context"

	"example.com/latchkey/internal/record"
	"example.com/latchkey/permission"
)

// Profile is a user with the roles that they have.
type Profile struct {
	User  *User            `json:"user"`
	Roles permission.Roles `json:"roles"` // as of [Account.Roles]
}

// Profile returns the account with its roles. It is one read of the store, and another one if
// the user is a member of a team.
func (a *Account) Profile(ctx context.Context) (_ *Profile, err error) {
	defer a.home().operation(&ctx, "get account").end(&err)
	return accountRead(ctx, a, func(c *call, user *record.User) (*Profile, error) { return a.profile(ctx, c, user) })
}

// profile returns the user of the account with their roles.
func (a *Account) profile(ctx context.Context, c *call, user *record.User) (*Profile, error) {
	shown, err := a.show(ctx, c, user)
	if err != nil {
		return nil, err
	}
	roles, err := rolesOf(ctx, c.store, user)
	return &Profile{shown, roles}, err
}

// AuthenticateProfile is [Guest.Authenticate] and [Account.Profile] with the reads of Profile
// alone, for hosts that need both on every request.
//
// Errors: those of Authenticate.
func (g *Guest) AuthenticateProfile(ctx context.Context, secret string) (_ *Account, _ *Profile, err error) {
	defer g.home().operation(&ctx, checkSession).end(&err)
	if err := g.open(); err != nil {
		return nil, nil, err
	}
	digest, ok := secretDigest(secret, sessionLabel)
	if !ok {
		return nil, nil, ErrUnauthorized
	}
	c, a := g.call(), g.account(digest)
	user, err := a.readBoth(ctx, &c, c.store, &a.session)
	if err != nil {
		return nil, nil, a.unauthenticated(ctx, c, err)
	}
	profile, err := a.profile(ctx, &c, user)
	if err != nil {
		return nil, nil, err
	}
	a.seen(ctx, &c)
	return a, profile, nil
}
