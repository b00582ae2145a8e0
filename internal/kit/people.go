package kit

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"example.com/latchkey"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/store"
)

// Attacker and Owner are the IP addresses of an attacker and of an account's owner.
const Attacker, Owner = "203.0.113.66", "192.0.2.7"

// At returns a client at an IP address.
func At(ip string) latchkey.Client { return latchkey.Client{IP: netip.MustParseAddr(ip)} }

// SignUp creates an account with an e-mail address and [Password].
func (k *Kit) SignUp(email string) *latchkey.User {
	k.Helper()
	user, err := k.Visitor.CreateAccount(k.Ctx, latchkey.NewAccount{Email: email, Password: Password, Name: "Ada"})
	k.Must(err)
	return user
}

// SignIn signs a user in by [Password] at [Client].
func (k *Kit) SignIn(email string) (*latchkey.Session, *latchkey.Account) {
	k.Helper()
	session, err := k.Visitor.CreateEmailPasswordSession(k.Ctx, email, Password)
	k.Must(err)
	account, err := k.Visitor.Authenticate(k.Ctx, session.Secret.Reveal())
	k.Must(err)
	return session, account
}

// SignedInAt signs Ada in at an IP address.
func (k *Kit) SignedInAt(ip string) *latchkey.Account {
	k.Helper()
	session, err := k.Guest(At(ip)).CreateEmailPasswordSession(k.Ctx, Ada, Password)
	k.Must(err)
	account, err := k.Guest(At(ip)).Authenticate(k.Ctx, session.Secret.Reveal())
	k.Must(err)
	return account
}

// Anonymous creates an anonymous user with a session.
func (k *Kit) Anonymous() (*latchkey.Session, *latchkey.Account) {
	k.Helper()
	session, err := k.Visitor.CreateAnonymousSession(k.Ctx)
	k.Must(err)
	account, err := k.Visitor.Authenticate(k.Ctx, session.Secret.Reveal())
	k.Must(err)
	return session, account
}

// Proven signs Ada up with a phone number. The server marks her address and her
// number as verified.
func (k *Kit) Proven() *latchkey.User {
	k.Helper()
	user := k.SignUp(Ada)
	k.Must(Err(k.Users().UpdatePhone(k.Ctx, user.ID, Phone)))
	k.Must(Err(k.Users().UpdateEmailVerification(k.Ctx, user.ID, true)))
	k.Must(Err(k.Users().UpdatePhoneVerification(k.Ctx, user.ID, true)))
	return user
}

// IDOf returns the id of the user with an e-mail address.
func (k *Kit) IDOf(email string) string {
	k.Helper()
	user, err := record.Users.Get(k.Ctx, k.Store, record.Users.Index("email"), store.Text(email))
	k.Must(err)
	return user.ID
}

// ByJWT asks the server for a JWT, and returns its account and the JWT.
func (k *Kit) ByJWT(id, session string) (*latchkey.Account, latchkey.Secret) {
	k.Helper()
	token, err := k.Users().CreateJWT(k.Ctx, id, session, 0)
	k.Must(err)
	account, err := k.Visitor.AuthenticateJWT(k.Ctx, token.Reveal())
	k.Must(err)
	return account, token
}

// Try signs in by password at an IP address and returns the error.
func (k *Kit) Try(ip, email, p string) error {
	return Err(k.Guest(At(ip)).CreateEmailPasswordSession(k.Ctx, email, p))
}

// Exhaust sends wrong passwords from an IP address until the password is disabled,
// which StrictPolicy does.
func (k *Kit) Exhaust(ip, email string) {
	k.Helper()
	for n := 0; n < 1000; n++ {
		err := k.Try(ip, email, "wrong horse battery")
		var throttled *latchkey.ThrottledError
		switch {
		case err == latchkey.ErrPasswordResetRequired:
			return
		case errors.As(err, &throttled):
			k.Clock.Advance(throttled.RetryAfter)
		case err != latchkey.ErrInvalidCredentials:
			k.Fatal(err)
		}
	}
	k.Fatal("never disabled")
}

// at returns the account of a new user, as seen from a client.
func (k *Kit) at(c latchkey.Client) *latchkey.Account {
	k.Helper()
	user, err := k.Users().Create(k.Ctx, latchkey.NewUser{})
	k.Must(err)
	session, err := k.Users().CreateSession(k.Ctx, user.ID)
	k.Must(err)
	account, err := k.Guest(c).Authenticate(k.Ctx, session.Secret.Reveal())
	k.Must(err)
	return account
}

// reachable returns the account of the one user with addresses, as seen from a
// client.
func (k *Kit) reachable(c latchkey.Client) *latchkey.Account {
	k.Helper()
	const id = "reachable"
	if err := Err(k.Users().Create(k.Ctx, latchkey.NewUser{UserID: id, Email: "reachable@example.org", Phone: OwnPhone})); err == nil {
		k.Must(Err(k.Users().CreateMFARecoveryCodes(k.Ctx, id)))
		session, err := k.Users().CreateSession(k.Ctx, id)
		k.Must(err)
		k.reach = session.Secret
	} else if err != latchkey.ErrUserAlreadyExists {
		k.Fatal(err)
	}
	account, err := k.Guest(c).Authenticate(k.Ctx, k.reach.Reveal())
	k.Must(err)
	return account
}

// FillUsers inserts users without addresses, straight into the store. Some are called rare.
func (k *Kit) FillUsers(n int) {
	k.Helper()
	for from := 0; from < n; from += 1000 {
		k.Must(k.Store.Store.Update(k.Ctx, func(ctx context.Context, tx store.Tx) error {
			for i := from; i < min(from+1000, n); i++ {
				u := record.User{ID: fmt.Sprintf("filled%07d", i), Key: fmt.Sprintf("key%07d", i), Created: k.Clock.Now(), Name: "common", Labels: "[]", Prefs: "{}", Targets: "[]"}
				u.Updated, u.Registered, u.Accessed = u.Created, u.Created, u.Created
				if i%5000 == 0 {
					u.Name = "rare"
				}
				if err := record.Users.Insert(ctx, tx, &u); err != nil {
					return err
				}
			}
			return nil
		}))
	}
	k.Tampered = true
}
