package latchkey

import (
	"context"
	"encoding/json"

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
	return accountRead(ctx, a, func(c *call) ([]string, error) {
		user, err := a.user(ctx, c.store)
		if err != nil {
			return nil, err
		}
		return rolesOf(user)
	})
}

// rolesOf returns the roles of a user.
func rolesOf(user *record.User) ([]string, error) {
	dimension := "/unverified"
	if user.EmailVerified || user.PhoneVerified {
		dimension = "/verified"
	}
	self := "user:" + user.ID
	roles := []string{self, "users", self + dimension, "users" + dimension}
	var labels []string
	if err := json.Unmarshal([]byte(user.Labels), &labels); err != nil {
		return nil, err
	}
	for _, label := range labels {
		roles = append(roles, "label:"+label)
	}
	return roles, nil
}
