package latchkey

import (
	"context"
	"errors"
	"unicode/utf8"

	"example.com/latchkey/hasher/foreign"
	"example.com/latchkey/internal/canon"
	"example.com/latchkey/internal/seal"
)

// HashedUser is a user whose password another system has hashed. [Engine.Import] takes many of
// them, with more that they bring along.
type HashedUser struct {
	// UserID is the id that the host wants, as in [NewUser]; "" means a fresh one.
	UserID string
	Email  string // required
	Hash   Secret // as the other system writes it; see the operation
	Name   string // at most 128 characters; may be ""
}

// CreateArgon2User makes a user with an argon2 hash in PHC form, for example
// $argon2id$v=19$m=7168,t=5,p=1$salt$tag, also of argon2i and argon2d. The address is not
// verified.
//
// The password signs in as that of any user, also one that is shorter than the policy allows for
// new ones. The first sign-in with the right one replaces the hash by an argon2id hash of the
// engine. A hash that can be guessed fast is wrapped in an argon2id hash at once: package
// [foreign] lists them, with the bounds outside which a hash is refused.
//
// Errors:
//   - [ErrArgumentInvalid]: also for a hash of another form or out of bounds.
//   - [ErrEmailDisposable], [ErrEmailNotCanonical], [ErrEmailFree], [ErrEmailNotCorporate]:
//     Policy.Addresses refuses the address.
//   - [ErrUserAlreadyExists]: the id or the address is taken.
//   - [ErrBusy]
func (u *Users) CreateArgon2User(ctx context.Context, n HashedUser) (*User, error) {
	h, err := foreign.Argon2(n.Hash.Reveal())
	return u.createHashed(ctx, n, h, err)
}

// CreateBcryptUser is [Users.CreateArgon2User] for the 60 characters of a bcrypt hash. A
// password of more than 72 bytes does not sign in.
func (u *Users) CreateBcryptUser(ctx context.Context, n HashedUser) (*User, error) {
	h, err := foreign.Bcrypt(n.Hash.Reveal())
	return u.createHashed(ctx, n, h, err)
}

// CreateMD5User is [Users.CreateArgon2User] for the 32 hexadecimal digits, in lower case, of the
// MD5 of a password without a salt.
func (u *Users) CreateMD5User(ctx context.Context, n HashedUser) (*User, error) {
	h, err := foreign.MD5(n.Hash.Reveal())
	return u.createHashed(ctx, n, h, err)
}

// CreatePHPassUser is [Users.CreateArgon2User] for the 34 characters of a PHPass hash, which
// begin with $P$ or $H$.
func (u *Users) CreatePHPassUser(ctx context.Context, n HashedUser) (*User, error) {
	h, err := foreign.PHPass(n.Hash.Reveal())
	return u.createHashed(ctx, n, h, err)
}

// CreateSHAUser is [Users.CreateArgon2User] for the hexadecimal digits, in lower case, of a SHA of
// a password without a salt. version is one of those of [foreign.SHA]; "" means sha3-512.
func (u *Users) CreateSHAUser(ctx context.Context, n HashedUser, version string) (*User, error) {
	h, err := foreign.SHA(version, n.Hash.Reveal())
	return u.createHashed(ctx, n, h, err)
}

// CreateScryptUser is [Users.CreateArgon2User] for the hexadecimal digits, in lower case, of an
// scrypt hash. The salt is a text in UTF-8.
func (u *Users) CreateScryptUser(ctx context.Context, n HashedUser, o foreign.ScryptOptions) (*User, error) {
	if !utf8.ValidString(o.Salt) {
		return u.createHashed(ctx, n, foreign.Hash{}, errors.New("the salt is not UTF-8"))
	}
	h, err := foreign.Scrypt(n.Hash.Reveal(), o)
	return u.createHashed(ctx, n, h, err)
}

// CreateScryptModifiedUser is [Users.CreateArgon2User] for a hash of Firebase, in base64.
func (u *Users) CreateScryptModifiedUser(ctx context.Context, n HashedUser, o foreign.ScryptModifiedOptions) (*User, error) {
	h, err := foreign.ScryptModified(n.Hash.Reveal(), o)
	return u.createHashed(ctx, n, h, err)
}

// createHashed makes a user with a hash. malformed says why there is none.
func (u *Users) createHashed(ctx context.Context, n HashedUser, h foreign.Hash, malformed error) (_ *User, err error) {
	defer u.home().operation(&ctx, "create user").end(&err)
	c, err := u.begin()
	if err != nil {
		return nil, err
	}
	if n.Email == "" {
		return nil, invalid("email", canon.ErrEmail)
	}
	drawn, err := NewUser{UserID: n.UserID, Email: n.Email, Name: n.Name}.record(c.now)
	if err != nil {
		return nil, err
	}
	if malformed != nil {
		return nil, invalid("password", malformed)
	}
	if err := c.admitEmail(ctx, drawn.Email); err != nil {
		return nil, err
	}
	kept, err := foreign.Wrap(ctx, c.hashes(ctx), h)
	if err != nil {
		return nil, hasherError(err)
	}
	text := kept.Text().Reveal()
	password := passwordHash{hash: c.ring.Seal(seal.PasswordHash, seal.PasswordPlace(drawn.ID), []byte(text)), history: c.sealHistory(drawn, []string{text})}
	if err := password.set(&c.policy, drawn, c.now); err != nil {
		return nil, err
	}
	return update(ctx, c, func(ctx context.Context, tx *txn) (*User, error) {
		user := *drawn
		return tx.insertUser(ctx, &user)
	})
}
