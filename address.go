package latchkey

import (
	"context"
	"time"

	"example.com/latchkey/internal/record"
	"example.com/latchkey/mailclass"
)

// classifyTime is how long a host's classifier may take for the addresses of an operation.
const classifyTime = 2 * time.Second

// classify returns what is known about an address in canonical form. It may call the host,
// so no transaction calls it. The class is zero if the host's classifier fails, or if its
// time is over.
func (e *Engine) classify(ctx context.Context, address string) (class mailclass.Class) {
	if e.classifier == nil || address == "" {
		return mailclass.Of(address)
	}
	if ctx.Err() != nil {
		return mailclass.Class{}
	}
	ctx, cancel := context.WithTimeout(ctx, classifyTime)
	defer cancel()
	defer e.recovered(ctx, "AddressClassifier")
	class, err := e.classifier.Classify(ctx, address)
	if err != nil {
		e.logger.ErrorContext(ctx, "latchkey: the classifier of addresses fails") // its error may hold the address
	}
	if err != nil || class.Canonical == "" {
		return mailclass.Class{}
	}
	return class
}

// admitEmail refuses an address that the policy allows to no new user, in the order of the
// documents.
func (e *Engine) admitEmail(ctx context.Context, address string) error {
	p := &e.policy.Addresses
	if *p == (AddressPolicy{}) || address == "" {
		return nil
	}
	class := e.classify(ctx, address)
	switch {
	case class.Canonical == "":
		return nil
	case p.RefuseDisposable && class.Disposable:
		return ErrEmailDisposable
	case p.RefuseAliased && class.Canonical != address:
		return ErrEmailNotCanonical
	case p.RefuseFree && class.Free:
		return ErrEmailFree
	case p.RefuseNotCorporate && !class.Corporate:
		return ErrEmailNotCorporate
	}
	return nil
}

// show returns a user with their targets, outside a transaction.
func (c *call) show(ctx context.Context, user *record.User) (*User, error) {
	shown, err := showUser(user)
	if err == nil {
		c.describe(ctx, shown)
	}
	return shown, err
}

// describe adds what is known about the addresses of users that are shown. Users with the
// same address in a row cost one look-up.
func (e *Engine) describe(ctx context.Context, users ...*User) {
	if e.classifier != nil && len(users) > 0 { // for all of them together
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, classifyTime)
		defer cancel()
	}
	var class mailclass.Class
	for i, u := range users {
		if i == 0 || u.Email != users[i-1].Email {
			class = e.classify(ctx, u.Email)
		}
		u.EmailCanonical, u.EmailIsCanonical = class.Canonical, u.Email != "" && class.Canonical == u.Email
		u.EmailIsFree, u.EmailIsDisposable, u.EmailIsCorporate = class.Free, class.Disposable, class.Corporate
	}
}
