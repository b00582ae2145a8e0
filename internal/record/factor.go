package record

import (
	"time"

	"example.com/latchkey/store"
)

// Authenticator is an authenticator app of a user.
type Authenticator struct {
	ID        string
	UserID    string
	Kind      string // totp
	Seed      []byte // sealed
	Algorithm string // SHA1 or SHA256
	Digits    int64
	Created   time.Time
	Updated   time.Time
	Verified  bool  // an unverified one is not a factor
	Step      int64 // of the last accepted code
}

func (a *Authenticator) bind(b *store.Binder) {
	b.Text("id", &a.ID)
	b.Text("user_id", &a.UserID)
	b.Text("kind", &a.Kind)
	b.Bytes("seed", &a.Seed)
	b.Text("algorithm", &a.Algorithm)
	b.Int("digits", &a.Digits)
	b.Time("created", &a.Created)
	b.Time("updated", &a.Updated)
	b.Bool("verified", &a.Verified)
	b.Int("step", &a.Step)
}

// Authenticators is keyed by id. A user has at most one of each kind.
var Authenticators = store.Declare("authenticators", (*Authenticator).bind, store.Keys{
	Primary: []string{"id"},
	Indexes: []store.IndexOn{
		{Name: "user", Columns: []string{"user_id", "kind"}, Unique: true},
	},
	References: []store.RefersTo{
		{Columns: []string{"user_id"}, Parent: Users.Primary()},
	},
})

// Challenge is an open question for a second factor, which a session has asked for.
type Challenge struct {
	ID          string
	UserID      string
	SessionID   string
	Factor      string
	Destination string // to which a code was sent; "" if no code was sent
	Digest      []byte // of the code; nil without one
	Failures    int64
	Created     time.Time
	Expire      time.Time
	Sealed      []byte // the code, if the host brings it to the user; nil otherwise
}

func (c *Challenge) bind(b *store.Binder) {
	b.Text("id", &c.ID)
	b.Text("user_id", &c.UserID)
	b.Text("session_id", &c.SessionID)
	b.Text("factor", &c.Factor)
	b.Text("destination", &c.Destination)
	b.NullBytes("digest", &c.Digest)
	b.Int("failures", &c.Failures)
	b.Time("created", &c.Created)
	b.Time("expire", &c.Expire)
	b.NullBytes("sealed", &c.Sealed)
}

// Challenges is keyed by id. A session has at most one for each factor.
var Challenges = store.Declare("challenges", (*Challenge).bind, store.Keys{
	Primary: []string{"id"},
	Indexes: []store.IndexOn{
		{Name: "session", Columns: []string{"session_id", "factor"}, Unique: true},
		{Name: "user", Columns: []string{"user_id"}},
		{Name: "expire", Columns: []string{"expire"}},
	},
	References: []store.RefersTo{
		{Columns: []string{"user_id"}, Parent: Users.Primary()},
	},
})

// RecoveryCode is a code that replaces a factor once.
type RecoveryCode struct {
	ID      string
	UserID  string
	Digest  []byte
	Sealed  []byte // the code; nil if it cannot be shown again
	Created time.Time
	Session string // that made the code; "" for the server
}

func (c *RecoveryCode) bind(b *store.Binder) {
	b.Text("id", &c.ID)
	b.Text("user_id", &c.UserID)
	b.Bytes("digest", &c.Digest)
	b.NullBytes("sealed", &c.Sealed)
	b.Time("created", &c.Created)
	b.NullText("session_id", &c.Session)
}

// RecoveryCodes is keyed by id.
var RecoveryCodes = store.Declare("recovery_codes", (*RecoveryCode).bind, store.Keys{
	Primary: []string{"id"},
	Indexes: []store.IndexOn{
		{Name: "user", Columns: []string{"user_id"}},
	},
	References: []store.RefersTo{
		{Columns: []string{"user_id"}, Parent: Users.Primary()},
	},
})

// ListRecoveryCodes selects the unused recovery codes of a user.
func ListRecoveryCodes(userID string) store.Query {
	return store.Query{Index: RecoveryCodes.Index("user"), Equal: []store.Value{store.Text(userID)}, Limit: store.MaxLimit}
}
