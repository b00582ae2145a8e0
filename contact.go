package latchkey

import (
	"time"

	"example.com/latchkey/internal/record"
	"example.com/latchkey/notify"
	"example.com/latchkey/store"
)

// The kinds of targets.
const (
	TargetEmail = "email"
	TargetSMS   = "sms"
	TargetPush  = "push"
)

// contact is one of the two ways to reach a user, by mail or by text message, and
// everything that differs between them.
type contact struct {
	channel notify.Channel
	name    string       // of the argument
	target  string       // the kind of the target that follows the address
	index   *store.Index // finds the user of an address

	off, missing, already, unproven *Error
}

var (
	byEmail = &contact{
		notify.Email, "email", TargetEmail, record.Users.Index("email"),
		ErrSMTPDisabled, ErrEmailNotFound, ErrEmailAlreadyVerified, ErrEmailNotVerified,
	}
	byPhone = &contact{
		notify.SMS, "phone", TargetSMS, record.Users.Index("phone"),
		ErrPhoneDisabled, ErrPhoneNotFound, ErrPhoneAlreadyVerified, ErrPhoneNotVerified,
	}
)

// taken is the error about an address that is a target of another user.
func (c *contact) taken() error {
	e := *ErrTargetAlreadyExists
	e.Argument = c.name
	return &e
}

// address returns the user's address, "" without one.
func (c *contact) address(user *record.User) string {
	if c == byPhone {
		return user.Phone
	}
	return user.Email
}

// verified reports whether the user has proven the address.
func (c *contact) verified(user *record.User) bool {
	if c == byPhone {
		return user.PhoneVerified
	}
	return user.EmailVerified
}

// set gives a user another address, which is then not verified; "" removes it.
func (c *contact) set(user *record.User, address string) {
	if c.address(user) == address {
		return
	}
	if c == byPhone {
		user.Phone = address
	} else {
		user.Email = address
	}
	c.setVerified(user, false)
}

// setVerified records whether the user has proven the address.
func (c *contact) setVerified(user *record.User, verified bool) {
	if c == byPhone {
		user.PhoneVerified = verified
	} else {
		user.EmailVerified = verified
	}
	if !verified && user.Half == c.name { // it is not proven at all
		user.Half = ""
	}
}

// proven returns since when the address is the user's and proven; zero if that is not known.
func (c *contact) proven(user *record.User) *time.Time {
	if c == byPhone {
		return &user.PhoneProven
	}
	return &user.EmailProven
}

// noteProof records since when a changed user has proven the address, if it was proven now.
func (c *contact) noteProof(old, user *record.User, now time.Time) {
	switch {
	case !c.verified(user):
		*c.proven(user) = time.Time{}
	case !c.verified(old) || c.address(old) != c.address(user):
		*c.proven(user) = now
	}
}

// other returns the other way to reach a user.
func (c *contact) other() *contact {
	if c == byPhone {
		return byEmail
	}
	return byPhone
}
