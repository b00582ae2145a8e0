package record

import (
	"crypto/sha256"
	"time"

	"example.com/latchkey/store"
)

// Passkey is a credential of WebAuthn: its private key is in an authenticator of the user.
type Passkey struct {
	ID         string
	UserID     string
	Digest     []byte // of Credential
	Credential []byte // the id that the authenticator has made, up to 1,023 bytes
	Key        []byte // public, in the form of COSE
	RPID       string // the domain to which the credential is bound
	Name       string
	AAGUID     []byte // the model of the authenticator; it is not signed
	Format     string // of the attestation
	Transports string // separated by spaces
	Created    time.Time
	Updated    time.Time
	Used       time.Time // the last time; zero if never
	Count      int64     // of signatures, as the authenticator says; 0 if it does not count
	Eligible   bool      // it may be copied to other devices of the user
	Synced     bool      // it has been copied
	Second     bool      // it is a second factor only, because its authenticator has not verified the user when it was enrolled
	Single     bool      // it is one factor, although its authenticator verifies the user: it was enrolled before MFA was switched on
	Session    string    // the id of the session that has enrolled it
	Cloned     time.Time // when its count last failed to rise; zero if never
}

func (p *Passkey) bind(b *store.Binder) {
	b.Text("id", &p.ID)
	b.Text("user_id", &p.UserID)
	b.Bytes("digest", &p.Digest)
	b.Bytes("credential", &p.Credential)
	b.Bytes("key", &p.Key)
	b.Text("rp_id", &p.RPID)
	b.Text("name", &p.Name)
	b.Bytes("aaguid", &p.AAGUID)
	b.Text("format", &p.Format)
	b.Text("transports", &p.Transports)
	b.Time("created", &p.Created)
	b.Time("updated", &p.Updated)
	b.NullTime("used", &p.Used)
	b.Int("count", &p.Count)
	b.Bool("eligible", &p.Eligible)
	b.Bool("synced", &p.Synced)
	b.Bool("second", &p.Second)
	b.Bool("single", &p.Single)
	b.Text("session_id", &p.Session)
	b.NullTime("cloned", &p.Cloned)
}

// Passkeys is keyed by id. A credential belongs to one user.
var Passkeys = store.Declare("passkeys", (*Passkey).bind, store.Keys{
	Primary: []string{"id"},
	Indexes: []store.IndexOn{
		{Name: "digest", Columns: []string{"digest"}, Unique: true},
		{Name: "user", Columns: []string{"user_id", "created"}},
		{Name: "rp", Columns: []string{"rp_id"}},
	},
	References: []store.RefersTo{
		{Columns: []string{"user_id"}, Parent: Users.Primary()},
	},
})

// ListPasskeys selects the passkeys of a user, oldest first.
func ListPasskeys(userID string) store.Query {
	return store.Query{Index: Passkeys.Index("user"), Equal: []store.Value{store.Text(userID)}, Limit: store.MaxLimit}
}

// CredentialDigest is the digest by which a passkey is found.
func CredentialDigest(credential []byte) []byte {
	sum := sha256.Sum256(credential)
	return sum[:]
}

// Handle is the name of a user in their authenticators. It outlives the passkeys, so that a new one takes the
// place of a former one there.
type Handle struct {
	UserID string
	Handle []byte
}

func (h *Handle) bind(b *store.Binder) {
	b.Text("user_id", &h.UserID)
	b.Bytes("handle", &h.Handle)
}

// Handles is keyed by the id of the user.
var Handles = store.Declare("handles", (*Handle).bind, store.Keys{
	Primary: []string{"user_id"},
	Indexes: []store.IndexOn{
		{Name: "handle", Columns: []string{"handle"}, Unique: true},
	},
	References: []store.RefersTo{
		{Columns: []string{"user_id"}, Parent: Users.Primary()},
	},
})

// Ceremony is a question to an authenticator that is not answered yet.
type Ceremony struct {
	ID      string
	Digest  []byte // of the challenge
	Kind    string // a ceremony of another kind does not know it
	UserID  string // "" for a sign-in
	Session string // the id of the session that has asked; "" for a sign-in
	Share   int64  // of the clients' networks, or of the sessions, see [Starts]
	Network []byte // keyed digest of the client's network, or of the session
	Sealed  []byte // the state against which the answer is checked
	Created time.Time
	Expire  time.Time
}

func (c *Ceremony) bind(b *store.Binder) {
	b.Text("id", &c.ID)
	b.Bytes("digest", &c.Digest)
	b.Text("kind", &c.Kind)
	b.NullText("user_id", &c.UserID)
	b.Text("session_id", &c.Session)
	b.Int("share", &c.Share)
	b.Bytes("network", &c.Network)
	b.Bytes("sealed", &c.Sealed)
	b.Time("created", &c.Created)
	b.Time("expire", &c.Expire)
}

// Ceremonies is keyed by id.
var Ceremonies = store.Declare("ceremonies", (*Ceremony).bind, store.Keys{
	Primary: []string{"id"},
	Indexes: []store.IndexOn{
		{Name: "digest", Columns: []string{"digest"}, Unique: true},
		{Name: "share", Columns: []string{"share", "created"}},
		{Name: "user", Columns: []string{"user_id"}},
		{Name: "expire", Columns: []string{"expire"}},
	},
	References: []store.RefersTo{
		{Columns: []string{"user_id"}, Parent: Users.Primary()},
	},
})
