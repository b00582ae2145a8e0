package latchkey

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"

	"example.com/latchkey/hidden"
	"example.com/latchkey/internal/canon"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/store"
)

// passwordChange is a change of an account that asks for its password, or sets one.
type passwordChange struct {
	// current is the password that the account has. An account without one need
	// not give it.
	current string
	// fresh returns the password to set, "" for no change, given whether the account has
	// one.
	fresh func(has bool) string
	// check refuses the change at the sight of the user.
	check func(user *record.User) error
	edit  func(user *record.User)
	// endOthers says that a change of the password ends the other sessions.
	endOthers bool
	// instead is done in the place of edit, nil for edit. Then nothing is set.
	instead func(ctx context.Context, tx *txn, user *record.User) error
}

// changeWithPassword carries out a change that asks for the password. Wrong answers
// are counted like those of signing in.
func (a *Account) changeWithPassword(ctx context.Context, c *call, change passwordChange) (*User, error) {
	return retryChanged(func() (*User, error) { return a.tryChange(ctx, c, change) })
}

// tryChange is changeWithPassword, once.
func (a *Account) tryChange(ctx context.Context, c *call, change passwordChange) (*User, error) {
	read, err := a.freshUser(ctx, c, c.store)
	if err != nil {
		return nil, err
	}
	if err := change.check(read); err != nil {
		return nil, err
	}
	if anonymous(read) { // it would become a full account
		if err := c.maySignUp(); err != nil {
			return nil, err
		}
	}
	has := read.Password != nil
	var g guard
	if has {
		if g, err = c.guardFor(ctx, c.store, failPassword, passwordSubject(read), read); err != nil {
			return nil, err
		}
		if err := g.checkPassword(ctx, c.store, change.current); err != nil {
			return nil, err
		}
	}
	// The new password is hashed before the present one is compared, so that a right
	// and a wrong one cost the same. Only a caller with the present one is told why
	// the new one may not be set.
	var password passwordHash
	var refusedNew error
	if change.instead != nil {
		change.fresh, change.edit = func(bool) string { return "" }, func(*record.User) {}
	}
	if fresh := change.fresh(has); fresh != "" || !has && change.instead == nil {
		after := *read
		change.edit(&after)
		password, refusedNew = c.hashNew(ctx, &after, fresh)
	}
	ctx, cancel, err := settling(ctx)
	if err != nil {
		return nil, err
	}
	defer cancel()
	if has {
		if err := a.provePassword(ctx, &g, (*Account).freshUser, read, change.current); err != nil {
			return nil, err
		}
	}
	return update(ctx, c, func(ctx context.Context, tx *txn) (*User, error) {
		if _, err := a.freshUser(ctx, c, tx); err != nil {
			return nil, err
		}
		user, err := unchanged(ctx, tx, read)
		if err != nil {
			return nil, err
		}
		if has {
			if err := g.passed(ctx, tx); err != nil {
				return nil, err
			}
			if err := g.provesWriting(ctx, tx); err != nil {
				return nil, err
			}
		}
		// The answer of a refusal tells that the present password is right. So it comes with a
		// commit, as the count of a wrong one does.
		if change.instead != nil {
			if err := change.instead(ctx, tx, user); err != nil || !has || !user.Unclaimed {
				return nil, err
			}
		}
		after := *user
		change.edit(&after)
		if refused := cmp.Or(refusedNew, tx.checkAddresses(ctx, user, &after)); refused != nil {
			return nil, &refusal{refused}
		}
		shown, err := tx.changeUser(ctx, user, func(user *record.User) error {
			change.edit(user)
			if has {
				user.Unclaimed = false // the password is shown
			}
			if password.hash == nil {
				return nil
			}
			return password.set(&tx.policy, user, tx.now)
		})
		if err == nil && password.hash != nil && change.endOthers && !tx.policy.Sessions.KeepOnPasswordChange {
			err = tx.endSessions(ctx, user, a.session.ID)
		}
		if err == nil && password.hash != nil && !has && a.jwt == nil { // the session that sets the first password knows it
			err = a.keepFull(ctx, tx, factorPassword)
		}
		return shown, err
	})
}

// freshUser checks the session of a change with a password and returns its user. The
// session must be fresh where no password proves the user: if the account has none and is
// not anonymous, the change sets the first one. It must be fresh too if the user has MFA
// on: the change concerns the ways in and the addresses of second factors.
func (a *Account) freshUser(ctx context.Context, c *call, r store.Reader) (*record.User, error) {
	var s record.Check
	user, err := a.readBoth(ctx, c, r, &s)
	switch {
	case err != nil:
		return nil, err
	case a.unproven && user.EmailVerified: // only an address that is not proven is corrected
		return nil, ErrEmailAlreadyVerified
	}
	if !user.MFA && (user.Password != nil || anonymous(user)) {
		return user, nil
	}
	if a.jwt != nil {
		return nil, ErrChallengeRequired
	}
	return user, c.requireFresh(&s, freshUnlessOff, c.policy.Factors.StepUpWindow)
}

// provePassword compares the password of a signed-in user. It counts and logs a wrong one,
// if the session may still act. The transaction of the change passes a right one.
func (a *Account) provePassword(ctx context.Context, g *guard, may gate, user *record.User, password string) error {
	right, _, err := g.verifyPassword(ctx, user, password)
	if err != nil || right {
		return err
	}
	return g.update(ctx, func(ctx context.Context, tx *txn) error {
		if _, err := may(a, ctx, tx.call, tx); err != nil {
			return err
		}
		if _, err := unchanged(ctx, tx, user); err != nil {
			return err
		}
		if err := g.countWrong(ctx, tx); err != nil {
			return err
		}
		return tx.refuse(ctx, refused{logUserRefuse, user, ErrInvalidCredentials})
	})
}

// firstPassword is set by a change that asks for the password of an account that
// has none.
func firstPassword(password string) func(has bool) string {
	return func(has bool) string {
		if has {
			return ""
		}
		return password
	}
}

// limitAddressChange counts a change of an address by its user and by the client: a
// conflict tells that the address is taken.
func (a *Account) limitAddressChange(ctx context.Context, c *call, l limited) error {
	if err := c.limit(ctx, l, "user "+a.session.UserID); err != nil {
		return err
	}
	return c.limitClient(ctx, l)
}

// UpdateEmail changes the e-mail address, which is then not verified, without a proof of the new
// one and without a way back: a host that wants both calls [Account.CreateEmailChange] and does not
// offer this. password is
// that of the account. An account without a password, for example an anonymous one,
// gets it as its first: it must meet the rules for new passwords. Other sessions end that only
// the old address has made, or that owe a second factor (Policy.Sessions.EndOnChange ends all).
// The old address gets a notice if it was verified; the new one gets nothing. The present
// address changes nothing.
//
// With MFA on, and for the first password of an account that is not anonymous, the session
// must be fresh, as for [Account.UpdateMFA], and may not be a JWT's. The same holds
// for the changes of number and password.
//
// An attacker may have planted the session of an anonymous account in the browser of the
// user, and may know its secret. A user who fears that signs in anew afterwards, with the
// password, and ends the old session.
//
// Errors:
//   - [ErrArgumentInvalid]
//   - [ErrEmailDisposable], [ErrEmailNotCanonical], [ErrEmailFree], [ErrEmailNotCorporate]:
//     Policy.Addresses refuses the new address.
//   - [ErrInvalidCredentials]: wrong password, counted and slowed together with those
//     of [Guest.CreateEmailPasswordSession].
//   - [ErrTargetAlreadyExists], [ErrEmailAlreadyExists]: another user has the
//     address.
//   - [*ThrottledError]: after ten calls of the user, or from the client address, in an
//     hour.
//   - [ErrBusy]
//   - [ErrChallengeRequired]: the session is not fresh.
//   - [ErrLastFactor]: MFA is on, and the old address is the only second factor.
//   - [ErrPasswordPersonalData]: of a first password.
//   - [ErrPasswordResetRequired]: the policy disables a password after too many guesses.
//   - [ErrSignUpClosed]: the account is anonymous, and no one may sign up.
func (a *Account) UpdateEmail(ctx context.Context, email, password string) (_ *User, err error) {
	defer a.home().operation(&ctx, "update email").end(&err)
	c, err := a.begin()
	if err != nil {
		return nil, err
	}
	if err := a.limitAddressChange(ctx, c, limitUpdateEmail); err != nil {
		return nil, err
	}
	var address string
	return a.changeWithPassword(ctx, c, passwordChange{
		current: password,
		fresh:   firstPassword(password),
		check: func(user *record.User) (err error) {
			if address, err = checkEmail(email); err != nil {
				return err
			}
			if address != user.Email {
				if err := c.admitEmail(ctx, address); err != nil {
					return err
				}
			}
			return nil
		},
		edit: func(user *record.User) { byEmail.set(user, address) },
	})
}

// UpdatePhone changes the phone number, which is then not verified: +, the country
// and the number, 7 to 15 digits in all. A number to which the policy sends no texts is an
// invalid one. In everything else it is like [Account.UpdateEmail]. The old number and the
// e-mail address get a notice, each if it was verified.
//
// Errors: those of UpdateEmail, with another one in the place of ErrEmailAlreadyExists:
//   - [ErrTargetAlreadyExists], [ErrPhoneAlreadyExists]: another user has the number.
func (a *Account) UpdatePhone(ctx context.Context, phone, password string) (_ *User, err error) {
	defer a.home().operation(&ctx, "update phone").end(&err)
	c, err := a.begin()
	if err != nil {
		return nil, err
	}
	if err := a.limitAddressChange(ctx, c, limitUpdatePhone); err != nil {
		return nil, err
	}
	return a.changeWithPassword(ctx, c, passwordChange{
		current: password,
		fresh:   firstPassword(password),
		check: func(*record.User) error {
			if _, err := c.checkTextable(phone); err != nil {
				return err
			}
			return nil
		},
		edit: func(user *record.User) { byPhone.set(user, phone) },
	})
}

// PasswordUpdate is the input of [Account.UpdatePassword].
//
// Printed, logged or encoded, it shows a mask for both passwords. Package encoding/gob
// refuses it. The fields are plain texts, as a person typed them in, so fmt prints them in
// clear where it cannot call Format: in an unexported field of another struct, behind a
// pointer to another struct that is printed with a verb for texts, and with %p and %w.
type PasswordUpdate struct {
	New string // 8 to 256 characters unless the policy says otherwise, 1,024 bytes
	Old string // ignored if the account has no password
}

// Format prints the input with a mask for both passwords, for every verb.
func (p PasswordUpdate) Format(f fmt.State, verb rune) { formatMasked(f, verb, p.masked()) }

// MarshalJSON encodes the input with a mask for both passwords.
func (p PasswordUpdate) MarshalJSON() ([]byte, error) { return json.Marshal(p.masked()) }

// MarshalText encodes the input with a mask for both passwords, for XML and its like.
func (p PasswordUpdate) MarshalText() ([]byte, error) {
	return fmt.Appendf(nil, "%+v", p.masked()), nil
}

// LogValue logs the input with a mask for both passwords.
func (p PasswordUpdate) LogValue() slog.Value { return slog.AnyValue(p.masked()) }

// GobEncode fails with [hidden.ErrNotEncoded].
func (p PasswordUpdate) GobEncode() ([]byte, error) { return nil, hidden.ErrNotEncoded }

// masked returns the input with masks, as a type without methods.
func (p PasswordUpdate) masked() any {
	type plain PasswordUpdate
	p.New = masked(p.New)
	p.Old = masked(p.Old)
	return plain(p)
}

// UpdatePassword sets the password. All other sessions of the user end, unless the policy
// keeps them. The user gets a notice at every verified address and number.
//
// Errors:
//   - [ErrArgumentInvalid], [ErrPasswordPersonalData], [ErrPasswordRecentlyUsed]: the
//     new password is against the rules.
//   - [ErrInvalidCredentials]: wrong old password, counted and slowed together with
//     those of [Guest.CreateEmailPasswordSession].
//   - [*ThrottledError]: after ten calls from a client address in an hour.
//   - [ErrBusy]
//   - [ErrChallengeRequired], [ErrPasswordResetRequired], [ErrSignUpClosed]: as of UpdateEmail.
func (a *Account) UpdatePassword(ctx context.Context, p PasswordUpdate) (_ *User, err error) {
	defer a.home().operation(&ctx, "update password").end(&err)
	c, err := a.begin()
	if err != nil {
		return nil, err
	}
	if err := c.limitClient(ctx, limitUpdatePassword); err != nil {
		return nil, err
	}
	return a.changeWithPassword(ctx, c, passwordChange{
		current: p.Old,
		fresh:   func(bool) string { return p.New },
		check: func(user *record.User) error {
			return c.policy.checkStrength(p.New)
		},
		edit:      func(*record.User) {},
		endOthers: true,
	})
}

// CreateAccount makes the anonymous account of the session a full one, with the same
// id. It sets the address, the name, and the password like [Account.UpdateEmail]. The
// id in n must be "" or a valid one, and is not used. An empty name leaves the name
// as it is.
//
// Errors: those of UpdateEmail, and
//   - [ErrSessionAlreadyExists]: the account has an address, a number or a password.
//   - [ErrAuthMethodUnsupported]
//   - [*ThrottledError]: counted together with the calls of [Guest.CreateAccount].
func (a *Account) CreateAccount(ctx context.Context, n NewAccount) (_ *User, err error) {
	defer a.home().operation(&ctx, "create account").end(&err)
	c, err := a.begin()
	if err != nil {
		return nil, err
	}
	if err := c.limitClient(ctx, limitCreateAccount); err != nil {
		return nil, err
	}
	var row *record.User
	return a.changeWithPassword(ctx, c, passwordChange{
		fresh: func(bool) string { return n.Password },
		check: func(user *record.User) (err error) {
			if err := c.enabled(MethodEmailPassword); err != nil {
				return err
			}
			if !anonymous(user) {
				return ErrSessionAlreadyExists
			}
			if n.Email == "" {
				return invalid("email", canon.ErrEmail)
			}
			if row, err = (NewUser{UserID: n.UserID, Email: n.Email, Name: n.Name}).record(user.Created); err != nil {
				return err
			}
			return c.admitEmail(ctx, row.Email)
		},
		edit: func(user *record.User) {
			byEmail.set(user, row.Email)
			if n.Name != "" {
				user.Name = n.Name
			}
		},
	})
}
