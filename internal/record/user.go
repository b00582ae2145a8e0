package record

import (
	"time"

	"example.com/latchkey/store"
)

// Address is an e-mail address that a user, or an identity of that user, has. It belongs
// to one user at a time. The transaction that removes its last holder deletes the row.
type Address struct {
	Address string
	UserID  string
}

func (a *Address) bind(b *store.Binder) {
	b.Text("address", &a.Address)
	b.Text("user_id", &a.UserID)
}

// Addresses is keyed by address.
var Addresses = store.Declare("addresses", (*Address).bind, store.Keys{
	Primary: []string{"address"},
	Indexes: []store.IndexOn{
		{Name: "user", Columns: []string{"user_id"}},
	},
})

// ListAddresses selects the addresses that a user has.
func ListAddresses(userID string) store.Query {
	return store.Query{Index: Addresses.Index("user"), Equal: []store.Value{store.Text(userID)}, Limit: store.MaxLimit}
}

// User is one account.
type User struct {
	ID  string
	Key string // internal id for logs; made at insert, and never given to another user
	// Created and Updated are times of the row. Registered and Accessed are times of
	// the user.
	Created, Updated, Registered, Accessed time.Time
	Name                                   string
	Email                                  string // "" without one
	EmailVerified                          bool
	Phone                                  string // "" without one
	PhoneVerified                          bool
	Password                               []byte // sealed hash; nil without a password
	PasswordUpdated                        time.Time
	Blocked                                bool
	MustReset                              bool
	MFA                                    bool
	Epoch                                  int64     // raised by a change that ends JWTs without a session
	Labels                                 string    // JSON, a list of texts
	Prefs                                  string    // JSON, an object
	PasswordHistory                        []byte    // sealed hashes of earlier passwords that may not be used again
	TOTP                                   bool      // the user has a confirmed authenticator
	Recovered                              bool      // the password came by mail
	PasswordEpoch                          int64     // raised by every password
	RecoveryCodes                          bool      // the user has unused ones
	Unclaimed                              bool      // the address was proven, but by no one who has shown the password
	Impersonator                           bool      // the user may act for others
	Targets                                string    // JSON, the targets of the user as they are shown, see [TargetsOf]
	Half                                   string    // email or phone: that address was proven, but not by who has proven the other one; "" for neither
	MFADemanded                            bool      // the server has switched MFA on
	Memberships                            int64     // number of teams whose member the user is
	Providers                              string    // of the identities by which the user may sign in, separated by spaces
	EmailProven, PhoneProven               time.Time // since when; zero if the server has said so, if it is not known, or not proven
	Passkeys                               string    // the kinds of the user's passkeys: first, second, or empty without one
	Undo                                   time.Time // until when a former address of the user can be restored; zero if none can
}

func (u *User) bind(b *store.Binder) {
	b.Text("id", &u.ID)
	b.Text("key", &u.Key)
	b.Time("created", &u.Created)
	b.Time("updated", &u.Updated)
	b.Time("registered", &u.Registered)
	b.Time("accessed", &u.Accessed)
	b.Text("name", &u.Name)
	b.NullText("email", &u.Email)
	b.Bool("email_verified", &u.EmailVerified)
	b.NullText("phone", &u.Phone)
	b.Bool("phone_verified", &u.PhoneVerified)
	b.NullBytes("password", &u.Password)
	b.NullTime("password_updated", &u.PasswordUpdated)
	b.Bool("blocked", &u.Blocked)
	b.Bool("must_reset", &u.MustReset)
	b.Bool("mfa", &u.MFA)
	b.Int("epoch", &u.Epoch)
	b.JSON("labels", &u.Labels)
	b.VerbatimJSON("prefs", &u.Prefs)
	b.NullBytes("password_history", &u.PasswordHistory)
	b.Bool("totp", &u.TOTP)
	b.Bool("recovered", &u.Recovered)
	b.Int("password_epoch", &u.PasswordEpoch)
	b.Bool("recovery_codes", &u.RecoveryCodes)
	b.Bool("unclaimed", &u.Unclaimed)
	b.Bool("impersonator", &u.Impersonator)
	b.JSON("targets", &u.Targets)
	b.Text("half", &u.Half)
	b.Bool("mfa_demanded", &u.MFADemanded)
	b.Int("memberships", &u.Memberships)
	b.Text("providers", &u.Providers)
	b.NullTime("undo", &u.Undo)
	b.NullTime("email_proven", &u.EmailProven)
	b.NullTime("phone_proven", &u.PhoneProven)
	b.Text("passkeys", &u.Passkeys)
}

// Users is keyed by id.
var Users = store.Declare("users", (*User).bind, store.Keys{
	Primary: []string{"id"},
	Indexes: []store.IndexOn{
		{Name: "email", Columns: []string{"email"}, Unique: true},
		{Name: "phone", Columns: []string{"phone"}, Unique: true},
		{Name: "created", Columns: []string{"created"}},
		{Name: "name", Columns: []string{"name"}},
		{Name: "registered", Columns: []string{"registered"}},
		{Name: "accessed", Columns: []string{"accessed"}},
	},
	References: []store.RefersTo{
		{Columns: []string{"email"}, Parent: Addresses.Primary()},
	},
})
