// Package record declares the engine's stored records and their tables: columns, keys,
// indexes and references, each of them once.
//
// Columns are only added, never removed, at the end of a binding function. The same
// change adds a numbered migration to the SQL backends and raises the version of
// [Schema].
package record

import (
	"time"

	"example.com/latchkey/store"
)

// Schema lists all tables of the engine, parents before children.
var Schema = store.NewSchema("latchkey", 9,
	Addresses.Table, Users.Table, Sessions.Table, Targets.Table, Failures.Table, Logs.Table, Words.Table, Tokens.Table,
	Authenticators.Table, Challenges.Table, RecoveryCodes.Table, Settings.Table, Teams.Table, Memberships.Table,
	Identities.Table, Starts.Table).
	Filling(7, fillTargets)

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
	Epoch                                  int64  // raised by a change that ends JWTs without a session
	Labels                                 string // JSON, a list of texts
	Prefs                                  string // JSON, an object
	PasswordHistory                        []byte // sealed hashes of earlier passwords that may not be used again
	TOTP                                   bool   // the user has a confirmed authenticator
	Recovered                              bool   // the password came by mail
	PasswordEpoch                          int64  // raised by every password
	RecoveryCodes                          bool   // the user has unused ones
	Unclaimed                              bool   // the address was proven, but by no one who has shown the password
	Impersonator                           bool   // the user may act for others
	Targets                                string // JSON, the targets of the user as they are shown, see [TargetsOf]
	Half                                   string // email or phone: that address was proven, but not by who has proven the other one; "" for neither
	MFADemanded                            bool   // the server has switched MFA on
	Memberships                            int64  // number of teams whose member the user is
	Providers                              string // of the identities by which the user may sign in, separated by spaces
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

// Session is a signed-in client. Its row holds all facts that decide whether it may
// act. The last group of fields holds facts about its user.
type Session struct {
	ID          string
	UserID      string
	Digest      string // of its secret, in bytes
	Created     time.Time
	Updated     time.Time
	Expire      time.Time
	Provider    string
	ProviderUID string
	Factors     string    // proven, separated by spaces
	Challenged  time.Time // time of the last completed challenge; zero if never
	Touched     time.Time
	IP          string
	Client      string // JSON, from the User-Agent header

	UserBlocked   bool
	UserMustReset bool
	UserMFA       bool
	UserFactors   string // that the user has, separated by spaces

	UserPasswordEpoch int64     // a JWT of the session carries it
	Owing             time.Time // since when the session has owed a second factor; zero if it does not
	PasswordEpoch     int64     // of the user, when the session was made
	Strong            time.Time // of the last proof by an authenticator or a recovery code; zero if never
	Targets           bool      // push targets belong to the session
	Assumed           string    // those of Factors that it is only taken to have proven, separated by spaces
	Identity          string    // the id of the identity that has made it; "" for another way in
}

func (s *Session) bind(b *store.Binder) {
	b.Text("id", &s.ID)
	b.Text("user_id", &s.UserID)
	b.ByteString("digest", &s.Digest)
	b.Time("created", &s.Created)
	b.Time("updated", &s.Updated)
	b.Time("expire", &s.Expire)
	b.Text("provider", &s.Provider)
	b.Text("provider_uid", &s.ProviderUID)
	b.Text("factors", &s.Factors)
	b.NullTime("challenged", &s.Challenged)
	b.Time("touched", &s.Touched)
	b.Text("ip", &s.IP)
	b.JSON("client", &s.Client)
	b.Bool("user_blocked", &s.UserBlocked)
	b.Bool("user_must_reset", &s.UserMustReset)
	b.Bool("user_mfa", &s.UserMFA)
	b.Text("user_factors", &s.UserFactors)
	b.Int("user_password_epoch", &s.UserPasswordEpoch)
	b.NullTime("owing", &s.Owing)
	b.Int("password_epoch", &s.PasswordEpoch)
	b.NullTime("strong", &s.Strong)
	b.Bool("targets", &s.Targets)
	b.Text("assumed", &s.Assumed)
	b.Text("identity", &s.Identity)
}

// Sessions is keyed by id. It is clustered by the digest, by which every request finds
// its session.
var Sessions = store.Declare("sessions", (*Session).bind, store.Keys{
	Primary: []string{"id"},
	Indexes: []store.IndexOn{
		{Name: "digest", Columns: []string{"digest"}, Unique: true, Cluster: true},
		{Name: "user", Columns: []string{"user_id", "created"}},
		{Name: "expire", Columns: []string{"expire"}},
	},
	References: []store.RefersTo{
		{Columns: []string{"user_id"}, Parent: Users.Primary()},
	},
})

// Check is the part of a session that decides whether it may act.
type Check struct {
	ID         string
	UserID     string
	Digest     string
	Created    time.Time
	Expire     time.Time
	Factors    string
	Challenged time.Time
	Touched    time.Time

	UserBlocked   bool
	UserMustReset bool
	UserMFA       bool
	UserFactors   string

	UserPasswordEpoch int64
	Owing             time.Time
}

func (c *Check) bind(b *store.Binder) {
	b.Text("id", &c.ID)
	b.Text("user_id", &c.UserID)
	b.ByteString("digest", &c.Digest)
	b.Time("created", &c.Created)
	b.Time("expire", &c.Expire)
	b.Text("factors", &c.Factors)
	b.NullTime("challenged", &c.Challenged)
	b.Time("touched", &c.Touched)
	b.Bool("user_blocked", &c.UserBlocked)
	b.Bool("user_must_reset", &c.UserMustReset)
	b.Bool("user_mfa", &c.UserMFA)
	b.Text("user_factors", &c.UserFactors)
	b.Int("user_password_epoch", &c.UserPasswordEpoch)
	b.NullTime("owing", &c.Owing)
}

// Checks is the part of the sessions table that every request reads.
var Checks = store.DeclarePart(Sessions.Table, (*Check).bind)

// CheckedBySecret and CheckedByID read the part of a session that decides, with its user.
var (
	CheckedBySecret = store.Join(Checks, Sessions.Cluster(), "user_id", Users)
	CheckedByID     = store.Join(Checks, Sessions.Primary(), "user_id", Users)
)

// Target is an address at which a user receives messages.
type Target struct {
	ID           string
	UserID       string
	Created      time.Time
	Updated      time.Time
	Name         string
	ProviderID   string // "" without one
	ProviderType string // email, sms or push
	Identifier   string
	Expired      bool
	SessionID    string // that the target ends with; "" for one that belongs to no session
}

func (t *Target) bind(b *store.Binder) {
	b.Text("id", &t.ID)
	b.Text("user_id", &t.UserID)
	b.Time("created", &t.Created)
	b.Time("updated", &t.Updated)
	b.Text("name", &t.Name)
	b.NullText("provider_id", &t.ProviderID)
	b.Text("provider_type", &t.ProviderType)
	b.Text("identifier", &t.Identifier)
	b.Bool("expired", &t.Expired)
	b.NullText("session_id", &t.SessionID)
}

// Targets is keyed by id.
var Targets = store.Declare("targets", (*Target).bind, store.Keys{
	Primary: []string{"id"},
	Indexes: []store.IndexOn{
		{Name: "identifier", Columns: []string{"provider_type", "identifier"}, Unique: true},
		{Name: "user", Columns: []string{"user_id", "created"}},
	},
	References: []store.RefersTo{
		{Columns: []string{"user_id"}, Parent: Users.Primary()},
	},
})

// Failure counts consecutive wrong answers for a purpose and an identifier. Subject is
// the keyed digest of the identifier, which may be unknown.
type Failure struct {
	Purpose string
	Subject []byte
	Count   int64
	Last    time.Time
	Expire  time.Time
}

func (f *Failure) bind(b *store.Binder) {
	b.Text("purpose", &f.Purpose)
	b.Bytes("subject", &f.Subject)
	b.Int("count", &f.Count)
	b.Time("last", &f.Last)
	b.Time("expire", &f.Expire)
}

// Failures is keyed by purpose and subject.
var Failures = store.Declare("failures", (*Failure).bind, store.Keys{
	Primary: []string{"purpose", "subject"},
	Indexes: []store.IndexOn{
		{Name: "expire", Columns: []string{"expire"}},
	},
})

// Log is one line of the audit log. It has no references, because it outlives the rows
// that it names.
type Log struct {
	ID       string
	UserKey  string // of the user that it concerns
	Created  time.Time
	Event    string
	Resource string
	Actor    string // id of the acting user, "" if no user was signed in
	Mode     string // user, guest or server
	IP       string
	Agent    string // user agent
	Count    int64  // how often a refusal happened within its minute; 0 in other lines
	Reason   string // type of the error of a refusal
	Stranger bool   // a guest came by an address that the user had not proven
}

func (l *Log) bind(b *store.Binder) {
	b.Text("id", &l.ID)
	b.Text("user_key", &l.UserKey)
	b.Time("created", &l.Created)
	b.Text("event", &l.Event)
	b.Text("resource", &l.Resource)
	b.Text("actor", &l.Actor)
	b.Text("mode", &l.Mode)
	b.Text("ip", &l.IP)
	b.Text("agent", &l.Agent)
	b.Int("count", &l.Count)
	b.Text("reason", &l.Reason)
	b.Bool("stranger", &l.Stranger)
}

// Logs is keyed by id.
var Logs = store.Declare("logs", (*Log).bind, store.Keys{
	Primary: []string{"id"},
	Indexes: []store.IndexOn{
		{Name: "user", Columns: []string{"user_key", "created"}},
		{Name: "created", Columns: []string{"created"}},
	},
})

// Word records that a word is in the search text of a row. The words with a common
// beginning are one range of the primary key.
type Word struct {
	Scope string // the table of the row
	Word  string // in lower case
	RowID string
}

func (w *Word) bind(b *store.Binder) {
	b.Text("scope", &w.Scope)
	b.Text("word", &w.Word)
	b.Text("row_id", &w.RowID)
}

// Words is keyed by scope, word and row.
var Words = store.Declare("words", (*Word).bind, store.Keys{
	Primary: []string{"scope", "word", "row_id"},
	Indexes: []store.IndexOn{
		{Name: "row", Columns: []string{"scope", "row_id"}},
	},
})

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
	Drawn       bool // the engine has drawn the alias: only who asked for the token knows it
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

// Setting is a value of the whole store.
type Setting struct {
	Name  string
	Value []byte
}

func (s *Setting) bind(b *store.Binder) {
	b.Text("name", &s.Name)
	b.Bytes("value", &s.Value)
}

// Settings is keyed by name.
var Settings = store.Declare("settings", (*Setting).bind, store.Keys{Primary: []string{"name"}})

// Team is a group of users.
type Team struct {
	ID      string
	Key     string // internal id for logs; made at insert, and never given to another team
	Created time.Time
	Updated time.Time
	Name    string
	Prefs   string // JSON, an object
	Total   int64  // number of members
}

func (t *Team) bind(b *store.Binder) {
	b.Text("id", &t.ID)
	b.Text("key", &t.Key)
	b.Time("created", &t.Created)
	b.Time("updated", &t.Updated)
	b.Text("name", &t.Name)
	b.VerbatimJSON("prefs", &t.Prefs)
	b.Int("total", &t.Total)
}

// Teams is keyed by id.
var Teams = store.Declare("teams", (*Team).bind, store.Keys{
	Primary: []string{"id"},
	Indexes: []store.IndexOn{
		{Name: "created", Columns: []string{"created"}},
		{Name: "name", Columns: []string{"name"}},
	},
})

// Membership is the place of a user in a team, or an open invitation to it. An invitation has
// no user and is no owner's, so that nothing that is found by a user is an invitation. Its
// columns are those from Address on. They are empty for a member.
type Membership struct {
	ID      string
	TeamID  string
	UserID  string // "" for an invitation
	UserKey string // of the user: a later user of the same id has another one
	Subject string // the user's id; for an invitation the one that was promised
	Created time.Time
	Updated time.Time
	Invited time.Time
	Joined  time.Time
	Confirm bool   // the row is that of a member
	Owner   bool   // of a member: owner is one of the roles
	Roles   string // JSON, a list of texts

	Address    string // to which the invitation was sent
	Name       string // of the person, as the inviter wrote it
	Invitee    string // the key of the user who was invited by id; "" for who has the address
	Inviter    string // the id of the user who invites
	InviterKey string
	Digest     []byte // of the secret
	Expire     time.Time
}

func (m *Membership) bind(b *store.Binder) {
	b.Text("id", &m.ID)
	b.Text("team_id", &m.TeamID)
	b.NullText("user_id", &m.UserID)
	b.NullText("user_key", &m.UserKey)
	b.Text("subject", &m.Subject)
	b.Time("created", &m.Created)
	b.Time("updated", &m.Updated)
	b.Time("invited", &m.Invited)
	b.NullTime("joined", &m.Joined)
	b.Bool("confirm", &m.Confirm)
	b.Bool("owner", &m.Owner)
	b.JSON("roles", &m.Roles)
	b.NullText("address", &m.Address)
	b.NullText("name", &m.Name)
	b.NullText("invitee", &m.Invitee)
	b.NullText("inviter", &m.Inviter)
	b.NullText("inviter_key", &m.InviterKey)
	b.NullBytes("digest", &m.Digest)
	b.NullTime("expire", &m.Expire)
}

// Memberships is keyed by id. A user has at most one in a team. An address has at most one
// invitation to a team, of which the transactions take care that make them.
var Memberships = store.Declare("memberships", (*Membership).bind, store.Keys{
	Primary: []string{"id"},
	Indexes: []store.IndexOn{
		{Name: "member", Columns: []string{"team_id", "user_id"}, Unique: true},
		{Name: "team", Columns: []string{"team_id", "created"}},
		{Name: "owner", Columns: []string{"team_id", "owner", "joined"}},
		{Name: "user", Columns: []string{"user_id", "created"}},
		{Name: "invited", Columns: []string{"address", "team_id"}},
		{Name: "open", Columns: []string{"team_id", "expire"}},
		{Name: "digest", Columns: []string{"digest"}},
		{Name: "expire", Columns: []string{"expire"}},
	},
	References: []store.RefersTo{
		{Columns: []string{"team_id"}, Parent: Teams.Primary()},
		{Columns: []string{"user_id"}, Parent: Users.Primary()},
	},
})

// MembersOfTeams reads a membership by its team and user, with the team.
var MembersOfTeams = store.Join(store.DeclarePart(Memberships.Table, (*Membership).bind), Memberships.Index("member"), "team_id", Teams)

// ListMemberships selects the memberships of a user, oldest first.
func ListMemberships(userID string) store.Query {
	return store.Query{Index: Memberships.Index("user"), Equal: []store.Value{store.Text(userID)}, Limit: store.MaxLimit}
}

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
