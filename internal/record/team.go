package record

import (
	"time"

	"example.com/latchkey/store"
)

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
