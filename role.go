package latchkey

import (
	"context"

	"example.com/latchkey/internal/record"
	"example.com/latchkey/permission"
	"example.com/latchkey/store"
)

// Roles returns the roles of a caller without a session: any and guests.
func (g *Guest) Roles() permission.Roles { return permission.RolesOf(permission.Guests) }

// Can reports whether a caller without a session may take an action on a row with these
// permissions. It reads nothing, and returns an error only after [Engine.Close].
func (g *Guest) Can(ctx context.Context, action permission.Action, of permission.Set) (may bool, err error) {
	defer g.home().operation(&ctx, "check permissions").end(&err)
	if err := g.open(); err != nil {
		return false, err
	}
	return of.Allows(action, g.Roles()), nil
}

// Roles returns the roles of the user: any, user:ID and users; the two again with /verified
// if the e-mail address or the phone number is verified, with /unverified if neither
// is; for each team team:ID, member:ID of the membership, and team:ID/ROLE for each role in it;
// and label:NAME for each label. It is one read of the store, and another one if the user is
// a member of a team.
func (a *Account) Roles(ctx context.Context) (_ permission.Roles, err error) {
	defer a.home().operation(&ctx, "get roles").end(&err)
	return accountRead(ctx, a, func(c *call, user *record.User) (permission.Roles, error) { return rolesOf(ctx, c.store, user) })
}

// Can reports whether the user may take an action on a row with these permissions. It reads
// the roles as they are now, as [Account.Roles] does. For several decisions in a row
// ask [permission.Set.Allows] with the roles of one [Account.Profile].
func (a *Account) Can(ctx context.Context, action permission.Action, of permission.Set) (may bool, err error) {
	defer a.home().operation(&ctx, "check permissions").end(&err)
	return accountRead(ctx, a, func(c *call, user *record.User) (bool, error) {
		roles, err := rolesOf(ctx, c.store, user)
		return err == nil && of.Allows(action, roles), err
	})
}

// Roles returns the roles of a user, as they would be with a session of theirs: for work that
// the host does later in a user's name.
func (u *Users) Roles(ctx context.Context, id string) (_ permission.Roles, err error) {
	defer u.home().operation(&ctx, "get roles").end(&err)
	return usersRead(ctx, u, id, func(c *call, user *record.User) (permission.Roles, error) { return rolesOf(ctx, c.store, user) })
}

// Can reports true for each action: the server may do everything, whatever the permissions
// of a row say. It reads nothing, and returns an error only after [Engine.Close].
func (u *Users) Can(ctx context.Context, action permission.Action, _ permission.Set) (may bool, err error) {
	defer u.home().operation(&ctx, "check permissions").end(&err)
	if _, err := u.begin(); err != nil {
		return false, err
	}
	return action.Valid(), nil
}

// rolesOf returns the roles of a user whose row was read. They are in the documented order.
func rolesOf(ctx context.Context, r store.Reader, user *record.User) (permission.Roles, error) {
	members, err := membershipsOf(ctx, r, user)
	if err != nil {
		return permission.Roles{}, err
	}
	self, all := permission.UserUnverified(user.ID), permission.UsersUnverified
	if user.EmailVerified || user.PhoneVerified {
		self, all = permission.UserVerified(user.ID), permission.UsersVerified
	}
	var few [16]permission.Role // mostly enough, and not allocated
	roles := append(few[:0], permission.User(user.ID), permission.Users, self, all)
	for _, m := range members {
		team := permission.Team(m.TeamID)
		roles = append(roles, team, permission.Member(m.ID))
		in, err := rolesIn(m)
		if err != nil {
			return permission.Roles{}, err
		}
		for _, role := range in {
			roles = append(roles, permission.TeamRole(m.TeamID, role))
		}
	}
	labels, err := labelsOf(user)
	for _, label := range labels {
		roles = append(roles, permission.Label(label))
	}
	return permission.RolesOf(roles...), err
}
