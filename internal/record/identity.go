package record

import (
	"time"

	"example.com/latchkey/store"
)

// Identity is a user's account at another service, by which they sign in.
type Identity struct {
	ID       string
	UserID   string
	Created  time.Time
	Updated  time.Time
	Provider string
	Issuer   string
	Subject  string // of the user at the issuer
	Email    string // that the provider has told last; "" if none
	// Reserved is Email if the provider has proven it: no other user may have that address. "" if
	// not.
	Reserved string
	Name     string // that the provider has told last
	Access   []byte // sealed; nil if it is not kept
	Refresh  []byte // sealed; nil without one
	Expire   time.Time
	// Renewing is until when a call has the right to redeem Refresh.
	Renewing time.Time
	// Pending is the id of the session, or of the token, that has made the identity and owes a
	// second factor; "" for an identity that counts.
	Pending string
	// Found says that the address has led to the user: until a session of the identity has proven a
	// second factor, it proves the mailbox and no more.
	Found bool
	// Single says that the identity is one factor, although its provider is trusted to ask for two:
	// it was made before MFA was switched on.
	Single bool
}

func (i *Identity) bind(b *store.Binder) {
	b.Text("id", &i.ID)
	b.Text("user_id", &i.UserID)
	b.Time("created", &i.Created)
	b.Time("updated", &i.Updated)
	b.Text("provider", &i.Provider)
	b.Text("issuer", &i.Issuer)
	b.Text("subject", &i.Subject)
	b.NullText("email", &i.Email)
	b.NullText("reserved", &i.Reserved)
	b.Text("name", &i.Name)
	b.NullBytes("access", &i.Access)
	b.NullBytes("refresh", &i.Refresh)
	b.NullTime("expire", &i.Expire)
	b.NullTime("renewing", &i.Renewing)
	b.Text("pending", &i.Pending)
	b.Bool("found", &i.Found)
	b.Bool("single", &i.Single)
}

// Identities is keyed by id. A subject of an issuer is the identity of one user.
var Identities = store.Declare("identities", (*Identity).bind, store.Keys{
	Primary: []string{"id"},
	Indexes: []store.IndexOn{
		{Name: "subject", Columns: []string{"provider", "issuer", "subject"}, Unique: true},
		{Name: "user", Columns: []string{"user_id", "created"}},
		{Name: "created", Columns: []string{"created"}},
		{Name: "reserved", Columns: []string{"reserved"}},
	},
	References: []store.RefersTo{
		{Columns: []string{"user_id"}, Parent: Users.Primary()},
		{Columns: []string{"reserved"}, Parent: Addresses.Primary()},
	},
})

// ListIdentities selects the identities of a user, oldest first.
func ListIdentities(userID string) store.Query {
	return store.Query{Index: Identities.Index("user"), Equal: []store.Value{store.Text(userID)}, Limit: store.MaxLimit}
}

// Start is a sign-in by a provider that has begun: its user is at the provider.
type Start struct {
	ID       string
	Digest   string // of the state, in bytes
	Share    int64  // of the clients' networks, see [Starts]
	Network  []byte // keyed digest of the client's network
	Provider string
	Issuer   string
	Redirect string // the host's callback
	Sealed   []byte // nonce and verifier
	Token    bool   // a token is handed over, and no session
	Binding  []byte // digest of the value at the browser; nil without one
	Session  string // the id of the session that links an identity; "" for a sign-in
	Success  string
	Failure  string
	Created  time.Time
	Expire   time.Time
	Posted   []byte // sealed: the parameters of a form post that waits for its browser; nil without one
}

func (s *Start) bind(b *store.Binder) {
	b.Text("id", &s.ID)
	b.ByteString("digest", &s.Digest)
	b.Int("share", &s.Share)
	b.Bytes("network", &s.Network)
	b.Text("provider", &s.Provider)
	b.Text("issuer", &s.Issuer)
	b.Text("redirect", &s.Redirect)
	b.Bytes("sealed", &s.Sealed)
	b.Bool("token", &s.Token)
	b.NullBytes("binding", &s.Binding)
	b.Text("session_id", &s.Session)
	b.Text("success", &s.Success)
	b.Text("failure", &s.Failure)
	b.Time("created", &s.Created)
	b.Time("expire", &s.Expire)
	b.NullBytes("posted", &s.Posted)
}

// Starts is keyed by id. The networks of clients are divided into shares, each of which has only
// so many rows, so that strangers cannot make any number of them.
var Starts = store.Declare("starts", (*Start).bind, store.Keys{
	Primary: []string{"id"},
	Indexes: []store.IndexOn{
		{Name: "digest", Columns: []string{"digest"}, Unique: true},
		{Name: "share", Columns: []string{"share", "created"}},
		{Name: "expire", Columns: []string{"expire"}},
	},
})
