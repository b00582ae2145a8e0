package latchkey

import (
	"context"

	"example.com/latchkey/internal/record"
)

// Roles returns the roles of a caller without a session: guests. Every caller also
// has the role any, which is not in the list.
func (g *Guest) Roles() []string { return []string{"guests"} }

// Roles returns the roles of the user: user:ID and users; both again with /verified
// if the e-mail address or the phone number is verified, with /unverified if neither
// is; and label:NAME for each label. Every caller also has the role any, which is
// not in the list.
func (a *Account) Roles(ctx context.Context) (_ []string, err error) {
	defer publicError("get roles", &err)
	return accountRead(ctx, a, func(_ *call, user *record.User) ([]string, error) {
		shown, err := showUser(user)
		if err != nil {
			return nil, err
		}
		return rolesOf(shown), nil
	})
}

// rolesOf returns the roles of a user.
func rolesOf(user *User) []string {
	dimension := "/unverified"
	if user.EmailVerification || user.PhoneVerification {
		dimension = "/verified"
	}
	self := "user:" + user.ID
	roles := append(make([]string, 0, 4+len(user.Labels)), self, "users", self+dimension, "users"+dimension)
	for _, label := range user.Labels {
		roles = append(roles, "label:"+label)
	}
	return roles
}
