package record

import (
	"time"

	"example.com/latchkey/store"
)

// Token is a short-lived secret for one purpose. It belongs to a user, or to an address
// that no user has yet.
type Token struct {
	ID          string
	Kind        string
	Slot        string // the destination, or the user; each slot has one token of a kind
	UserID      string // "" for an address that no user has
	Alias       string // the id that the caller was told
	Destination string // the e-mail address or phone number to which it was sent; "" if it was not sent
	Digest      string // of the secret, in bytes
	Length      int64  // of a code; 0 for the secret of a link
	Failures    int64  // number of wrong codes
	Created     time.Time
	Expire      time.Time
	Drawn       bool // the engine has drawn the alias: only its asker knows it
	Admitted    bool // a user is made of it while sign-up is closed
	// Beside is the other address that the user had when the token was made, for one that restores
	// an address.
	Beside  string
	Session int64 // seconds of the life of the session that it makes; 0 for that of the policy
}

func (t *Token) bind(b *store.Binder) {
	b.Text("id", &t.ID)
	b.Text("kind", &t.Kind)
	b.Text("slot", &t.Slot)
	b.NullText("user_id", &t.UserID)
	b.Text("alias", &t.Alias)
	b.Text("destination", &t.Destination)
	b.ByteString("digest", &t.Digest)
	b.Int("length", &t.Length)
	b.Int("failures", &t.Failures)
	b.Time("created", &t.Created)
	b.Time("expire", &t.Expire)
	b.Bool("drawn", &t.Drawn)
	b.Bool("admitted", &t.Admitted)
	b.Text("beside", &t.Beside)
	b.Int("session_length", &t.Session)
}

// Tokens is keyed by id.
var Tokens = store.Declare("tokens", (*Token).bind, store.Keys{
	Primary: []string{"id"},
	Indexes: []store.IndexOn{
		{Name: "digest", Columns: []string{"digest"}, Unique: true},
		{Name: "slot", Columns: []string{"kind", "slot"}, Unique: true},
		{Name: "alias", Columns: []string{"alias", "created"}},
		{Name: "user", Columns: []string{"user_id"}},
		{Name: "expire", Columns: []string{"expire"}},
	},
	References: []store.RefersTo{
		{Columns: []string{"user_id"}, Parent: Users.Primary()},
	},
})
