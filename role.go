package latchkey

import (
	"context"
	"encoding/json"
	"time"

	"example.com/latchkey/internal/record"
	"example.com/latchkey/store"
)

// Roles returns the roles of who has no session: guests. The role any is
// everybody's and is not in the list.
func (g *Guest) Roles() []string { return []string{"guests"} }

// Roles returns the roles of the user: user:ID, users, and each of them with
// /verified when the e-mail address or the phone number is verified, and with
// /unverified when neither is; label:NAME for each label. The role any is
// everybody's and is not in the list.
func (a *Account) Roles(ctx context.Context) (roles []string, err error) {
	err = a.read(ctx, "get roles", func(r store.Reader, _ time.Time) error {
		user, err := a.user(ctx, r)
		if err != nil {
			return err
		}
		roles, err = rolesOf(user)
		return err
	})
	return roles, err
}

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
