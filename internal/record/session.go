package record

import (
	"time"

	"example.com/latchkey/store"
)

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
	Identity          string    // the id of the identity or the passkey that has made it; "" for another way in
	Length            int64     // in seconds, of the life that its sign-in asked for; 0 for that of the policy
	Confirmed         time.Time // when its user last showed the password again; zero if never
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
	b.Int("length", &s.Length)
	b.NullTime("confirmed", &s.Confirmed)
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
	Confirmed         time.Time
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
	b.NullTime("confirmed", &c.Confirmed)
}

// Checks is the part of the sessions table that every request reads.
var Checks = store.DeclarePart(Sessions.Table, (*Check).bind)

// CheckedBySecret and CheckedByID read the part of a session that decides, with its user.
var (
	CheckedBySecret = store.Join(Checks, Sessions.Cluster(), "user_id", Users)
	CheckedByID     = store.Join(Checks, Sessions.Primary(), "user_id", Users)
)
