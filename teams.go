package latchkey

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"

	"example.com/latchkey/internal/canon"
	"example.com/latchkey/internal/reason"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/internal/words"
	"example.com/latchkey/query"
	"example.com/latchkey/store"
)

// Teams is the scope of a caller over teams. That of [Engine.Teams] is the server's: it sees and
// changes every team, adds members without an invitation, and is not limited. That of
// [Account.Teams] is a user's: it sees the teams whose member the user is, and answers
// [ErrTeamNotFound] for every other one; the owners change a team and its members, and every
// other member gets [ErrUserUnauthorized]. An impersonator ([Account.Impersonate]) reads
// as the user, and changes nothing. Each change of a user's is limited with
// [Account.UpdateName].
type Teams struct {
	server  *Users
	account *Account
}

// Teams returns the server's scope over all teams.
func (e *Engine) Teams() *Teams { return &Teams{server: e.Users()} }

// Teams returns the teams of the user.
func (a *Account) Teams() *Teams {
	if a == nil {
		a = new(Account)
	}
	return &Teams{account: a}
}

// At returns the server's scope with the client of the call, for the log. The scope of a user
// has the client of its account, and stays as it is.
func (t *Teams) At(client Client) *Teams {
	if t == nil || t.server == nil {
		return t
	}
	return &Teams{server: t.server.At(client)}
}

// inTeam is a team, with the caller and their membership in it.
type inTeam struct {
	team *record.Team
	user *record.User       // nil for the server
	own  *record.Membership // of the user; nil for the server
}

// owns reports whether the caller may change the team.
func (in *inTeam) owns() bool { return in.own == nil || in.own.Owner }

// remains returns ErrTeamNotFound if the caller has left the team since it was read: later reads
// may have been of the next team of the id.
func (in *inTeam) remains(ctx context.Context, r store.Reader) error {
	if in.own == nil {
		return nil
	}
	m, err := record.Memberships.Find(ctx, r, record.Memberships.Primary(), store.Text(in.own.ID))
	if m == nil && err == nil {
		err = ErrTeamNotFound
	}
	return err
}

// enterTeam finds a team for a user, or for the server if user is nil.
func enterTeam(ctx context.Context, r store.Reader, id string, user *record.User) (*inTeam, error) {
	if err := checkTeamID(id); err != nil {
		return nil, err
	}
	if user == nil {
		team, err := getTeam(ctx, r, id)
		return &inTeam{team: team}, err
	}
	own, team, err := findMember(ctx, r, id, user)
	if own == nil && err == nil {
		err = ErrTeamNotFound
	}
	return &inTeam{team, user, own}, err
}

// teamsRead runs fn with a team.
func teamsRead[T any](ctx context.Context, t *Teams, id string, fn func(c *call, in *inTeam) (T, error)) (T, error) {
	return teamsReadAll(ctx, t, func(c *call, user *record.User) (T, error) {
		in, err := enterTeam(ctx, c.store, id, user)
		if err != nil {
			var zero T
			return zero, err
		}
		return fn(c, in)
	})
}

// teamsReadAll runs fn with the caller, nil for the server.
func teamsReadAll[T any](ctx context.Context, t *Teams, fn func(c *call, user *record.User) (T, error)) (T, error) {
	if t != nil && t.account != nil {
		return accountRead(ctx, t.account, fn)
	}
	c, err := t.begin()
	if err != nil {
		var zero T
		return zero, err
	}
	return fn(c, nil)
}

// home returns the engine of a handle, nil without one.
func (t *Teams) home() *Engine {
	switch {
	case t == nil:
		return nil
	case t.account != nil:
		return t.account.home()
	}
	return t.server.home()
}

// begin starts an operation of the server.
func (t *Teams) begin() (*call, error) {
	if t == nil {
		return nil, errNoEngine
	}
	return t.server.begin()
}

// teamsUpdate runs fn with the caller, nil for the server, in one transaction. refused says
// why the input is not acceptable, nil if it is.
func teamsUpdate[T any](ctx context.Context, t *Teams, refused error, fn accountFn[T]) (T, error) {
	do := func(ctx context.Context, tx *txn, user *record.User) (T, error) {
		if refused != nil {
			var zero T
			return zero, refused
		}
		return fn(ctx, tx, user)
	}
	if t != nil && t.account != nil {
		return accountChangeOften(ctx, t.account, do)
	}
	c, err := t.begin()
	if err != nil {
		var zero T
		return zero, err
	}
	return update(ctx, c, func(ctx context.Context, tx *txn) (T, error) { return do(ctx, tx, nil) })
}

// teamsChange runs fn with a team in one transaction.
func teamsChange[T any](ctx context.Context, t *Teams, id string, refused error, fn func(ctx context.Context, tx *txn, in *inTeam) (T, error)) (T, error) {
	return teamsUpdate(ctx, t, refused, func(ctx context.Context, tx *txn, user *record.User) (T, error) {
		in, err := enterTeam(ctx, tx, id, user)
		if err != nil {
			var zero T
			return zero, err
		}
		return fn(ctx, tx, in)
	})
}

// teamsOwn is teamsChange for changes that only owners and the server may make.
func teamsOwn[T any](ctx context.Context, t *Teams, id string, refused error, fn func(ctx context.Context, tx *txn, in *inTeam) (T, error)) (T, error) {
	return teamsChange(ctx, t, id, refused, func(ctx context.Context, tx *txn, in *inTeam) (T, error) {
		if !in.owns() {
			var zero T
			return zero, ErrUserUnauthorized
		}
		return fn(ctx, tx, in)
	})
}

// checkTeamID refuses a text that cannot be the id of a team.
func checkTeamID(id string) error {
	if err := canon.ID(id); err != nil {
		return invalid("teamId", err)
	}
	return nil
}

// checkTeamName refuses a text that cannot be the name of a team.
func checkTeamName(name string) error {
	if name == "" {
		return invalid("name", canon.ErrName)
	}
	return checkName(name)
}

// NewTeam is the input for a team.
type NewTeam struct {
	// ID is the id that the host wants, in the form of NewUser.UserID. "" means a fresh one.
	ID   string
	Name string // 1 to 128 characters
	// Roles are those of the user who makes the team: at most 100 names in the form of ids, of
	// at most 81 characters. The engine adds the role owner. The server makes teams without
	// members, and gives no roles.
	Roles []string
}

// errServerRoles says why roles are refused.
var errServerRoles = reason.New(reason.NotAllowed, "the server makes a team without members")

// Create makes a team. The user becomes its first member and owner; a team of the server's has
// no members yet. A user is a member of at most 1,000 teams, with at most 5,000 roles in all of
// them.
//
// Errors:
//   - [ErrArgumentInvalid]
//   - [ErrTeamAlreadyExists]: the id is taken, or belonged to a team that was deleted, and the
//     log of that is still kept (Policy.LogLength). The server may give such an id away.
func (t *Teams) Create(ctx context.Context, n NewTeam) (_ *Team, err error) {
	defer t.home().operation(&ctx, "create team").end(&err)
	if n.ID == "" {
		n.ID = newID()
	}
	roles, refused := checkTeamRoles(n.Roles)
	if err := cmp.Or(checkTeamID(n.ID), checkTeamName(n.Name)); err != nil {
		refused = err
	}
	if !slices.Contains(roles, TeamOwner) {
		roles = append(roles, TeamOwner)
		if len(roles) > maxTeamRoles && refused == nil {
			refused = invalid("roles", errTooManyRoles)
		}
	}
	key := newID()
	return teamsUpdate(ctx, t, refused, func(ctx context.Context, tx *txn, user *record.User) (*Team, error) {
		if user == nil && len(n.Roles) > 0 {
			return nil, invalid("roles", errServerRoles)
		}
		team := &record.Team{ID: n.ID, Key: key, Created: tx.now, Updated: tx.now, Name: n.Name, Prefs: "{}"}
		if err := tx.insertTeam(ctx, team); err != nil {
			return nil, err
		}
		if user != nil {
			if _, err := tx.join(ctx, team, user, "", roles); err != nil {
				return nil, err
			}
		}
		return showTeam(team), nil
	})
}

// Get returns a team.
func (t *Teams) Get(ctx context.Context, id string) (_ *Team, err error) {
	defer t.home().operation(&ctx, "get team").end(&err)
	return teamsRead(ctx, t, id, func(_ *call, in *inTeam) (*Team, error) { return showTeam(in.team), nil })
}

// TeamList is a page of teams.
type TeamList struct {
	Total int     `json:"total"` // as of [UserList]
	Teams []*Team `json:"teams"`
	Pages
}

// teamListing lists teams.
var teamListing = &listing[record.Team]{
	name: "teams", rows: record.Teams, words: "teams", texts: teamTexts,
	usual: order{attribute: attribute{column: "created", index: record.Teams.Index("created")}},
	attributes: map[string]attribute{
		query.ID:        {column: "id", unique: record.Teams.Primary(), index: record.Teams.Primary()},
		query.CreatedAt: {column: "created", index: record.Teams.Index("created")},
		query.UpdatedAt: {column: "updated"},
		"name":          {column: "name", index: record.Teams.Index("name")},
		"total":         {column: "total"},
	},
}

// List returns a page of the teams, oldest first; to a user, of the teams whose member the user
// is. It takes the queries of [Users.List] over $id, $createdAt, $updatedAt, name and total.
// [query.Search] finds words of the id and the name.
//
// Errors: those of [Users.List].
func (t *Teams) List(ctx context.Context, queries ...Query) (_ *TeamList, err error) {
	defer t.home().operation(&ctx, "list teams").end(&err)
	return teamsReadAll(ctx, t, func(c *call, user *record.User) (*TeamList, error) {
		var found *page[record.Team]
		if user == nil {
			r, err := teamListing.read(&c.policy, queries)
			if err != nil {
				return nil, err
			}
			if found, err = teamListing.list(ctx, c, r); err != nil {
				return nil, err
			}
		} else {
			teams, err := teamsOf(ctx, c.store, user)
			if err != nil {
				return nil, err
			}
			if found, err = teamListing.listOf(c, user, queries, teams); err != nil {
				return nil, err
			}
		}
		list := &TeamList{Total: found.total, Teams: make([]*Team, 0, len(found.rows)), Pages: found.pages}
		for _, row := range found.rows {
			list.Teams = append(list.Teams, showTeam(row))
		}
		return list, nil
	})
}

// teamsOf returns the teams of a user.
func teamsOf(ctx context.Context, r store.Reader, user *record.User) (teams []*record.Team, err error) {
	members, err := membershipsOf(ctx, r, user)
	if err != nil {
		return nil, err
	}
	for _, m := range members {
		own, team, err := findMember(ctx, r, m.TeamID, user)
		if err != nil {
			return nil, err
		}
		if own != nil {
			teams = append(teams, team)
		}
	}
	return teams, nil
}

// UpdateName changes the name of a team: 1 to 128 characters.
//
// Errors:
//   - [ErrArgumentInvalid]
func (t *Teams) UpdateName(ctx context.Context, id, name string) (_ *Team, err error) {
	defer t.home().operation(&ctx, "update team").end(&err)
	return t.change(ctx, id, checkTeamName(name), "update", func(team *record.Team) { team.Name = name })
}

// change changes a team. refused says why the input is not acceptable, nil if it is.
func (t *Teams) change(ctx context.Context, id string, refused error, event string, edit func(*record.Team)) (*Team, error) {
	return teamsOwn(ctx, t, id, refused, func(ctx context.Context, tx *txn, in *inTeam) (*Team, error) {
		team, old := in.team, *in.team
		if edit(team); *team == old {
			return showTeam(team), nil
		}
		team.Updated = tx.now
		if err := record.Teams.Replace(ctx, tx, team); err != nil {
			return nil, err
		}
		if team.Name != old.Name {
			if err := words.Set(ctx, tx, "teams", team.ID, teamTexts(team)...); err != nil {
				return nil, err
			}
		}
		tx.teamEvent(team.ID, event, showTeam(team))
		return showTeam(team), tx.logTeam(ctx, logTeamUpdate, team, nil)
	})
}

// Prefs returns the preferences of a team, a JSON object. Every member may read them.
func (t *Teams) Prefs(ctx context.Context, id string) (_ json.RawMessage, err error) {
	defer t.home().operation(&ctx, "get team prefs").end(&err)
	return teamsRead(ctx, t, id, func(_ *call, in *inTeam) (json.RawMessage, error) { return json.RawMessage(in.team.Prefs), nil })
}

// UpdatePrefs replaces all preferences of a team and returns them. They have the form of
// [Account.UpdatePrefs].
//
// Errors:
//   - [ErrArgumentInvalid]: the preferences have another form.
func (t *Teams) UpdatePrefs(ctx context.Context, id string, prefs json.RawMessage) (_ json.RawMessage, err error) {
	defer t.home().operation(&ctx, "update team prefs").end(&err)
	text, refused := checkPrefs(prefs)
	team, err := t.change(ctx, id, refused, "update.prefs", func(team *record.Team) { team.Prefs = text })
	if err != nil {
		return nil, err
	}
	return team.Prefs, nil
}

// Delete deletes a team with its memberships, in one transaction: a team of many members holds
// up the writers of an embedded store for as long as that takes. No stranger makes a team of the
// same id for as long as the log is kept.
func (t *Teams) Delete(ctx context.Context, id string) (err error) {
	defer t.home().operation(&ctx, "delete team").end(&err)
	_, err = teamsOwn(ctx, t, id, nil, func(ctx context.Context, tx *txn, in *inTeam) (none, error) {
		return none{}, tx.endTeam(ctx, in.team)
	})
	return err
}

// Logs returns a page of the log of a team, newest first: changes of the team, its members and
// its invitations. It takes the queries of [Users.Logs]. The server sees it with the names of
// those who acted. Every member may read it: ids of the users who acted, and client addresses of
// the caller's own acts alone. The log of a deleted team cannot be read.
//
// Errors: those of [Users.Logs].
func (t *Teams) Logs(ctx context.Context, id string, queries ...Query) (_ *LogList, err error) {
	defer t.home().operation(&ctx, "list team logs").end(&err)
	return teamsRead(ctx, t, id, func(c *call, in *inTeam) (*LogList, error) {
		people := make(map[string]*record.User)
		list, err := c.logsUnder(ctx, in.team.Key, queries, func(row *record.Log) {
			if in.user == nil {
				return
			}
			hideStaff(row)
			if row.Actor != in.user.ID || row.Created.Before(in.user.Created) { // another user, maybe a former one of the id
				row.IP, row.Agent = "", ""
			}
		}, func(row *record.Log, l *Log) error {
			l.UserID = row.Actor
			if in.user != nil || row.Actor == "" {
				return nil
			}
			user, known := people[row.Actor]
			if !known {
				var err error
				if user, err = findUser(ctx, c.store, row.Actor); err != nil {
					return err
				}
				people[row.Actor] = user
			}
			if user != nil && !row.Created.Before(user.Created) { // and not the next one of the id
				l.UserName, l.UserEmail = user.Name, user.Email
			}
			return nil
		})
		if err == nil {
			err = in.remains(ctx, c.store)
		}
		if err != nil {
			return nil, err
		}
		return list, nil
	})
}
