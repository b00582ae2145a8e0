package latchkey_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"example.com/latchkey"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/permission"
	"example.com/latchkey/query"
)

// club is a team with people in it, by their names.
type club struct {
	*kit.Kit
	id       string
	accounts map[string]*latchkey.Account
	members  map[string]string // ids of memberships
}

// newClub makes a team of owner, whom member and others have joined, and a stranger.
func newClub(k *kit.Kit, others ...string) *club {
	k.Helper()
	c := &club{k, "club", make(map[string]*latchkey.Account), make(map[string]string)}
	for _, name := range append([]string{"owner", "member", "stranger"}, others...) {
		k.SignUp(name + "@example.org")
		_, c.accounts[name] = k.SignIn(name + "@example.org")
	}
	k.Must(kit.Err(c.as("owner").Create(k.Ctx, latchkey.NewTeam{ID: c.id, Name: "Chess Club"})))
	list, err := c.server().Memberships(k.Ctx, c.id)
	k.Must(err)
	c.members["owner"] = list.Memberships[0].ID
	for _, name := range append([]string{"member"}, others...) {
		c.join(name, "player")
	}
	return c
}

func (c *club) server() *latchkey.Teams { return c.Engine.Teams() }

func (c *club) as(name string) *latchkey.Teams { return c.accounts[name].Teams() }

// join makes a user a member.
func (c *club) join(name string, roles ...string) {
	c.Helper()
	c.Clock.Advance(1)
	m, err := c.server().CreateMembership(c.Ctx, c.id, latchkey.NewMembership{UserID: c.accounts[name].UserID(), Roles: roles})
	c.Must(err)
	c.members[name] = m.ID
}

// has returns the roles of all members, as the server sees them.
func (c *club) has() string {
	c.Helper()
	list, err := c.server().Memberships(c.Ctx, c.id)
	if errors.Is(err, latchkey.ErrTeamNotFound) {
		return "ended"
	}
	c.Must(err)
	var all []string
	for _, m := range list.Memberships {
		name, _, _ := strings.Cut(m.UserEmail, "@")
		all = append(all, name+": "+strings.Join(m.Roles, " "))
	}
	return strings.Join(all, ", ")
}

func TestTheMakerOfATeamIsItsOwner(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user := k.SignUp(kit.Ada)
		_, account := k.SignIn(kit.Ada)
		for want, roles := range map[string][]string{"owner": nil, "player owner": {"player"}, "owner player": {"owner", "player", "owner"}} {
			k.Forget()
			team, err := account.Teams().Create(k.Ctx, latchkey.NewTeam{Name: "Chess Club", Roles: roles})
			k.Must(err)
			if team.ID == "" || team.Name != "Chess Club" || team.Total != 1 || string(team.Prefs) != "{}" || !team.CreatedAt.Equal(k.Clock.Now()) {
				k.Errorf("%+v", team)
			}
			list, err := account.Teams().Memberships(k.Ctx, team.ID)
			k.Must(err)
			m := list.Memberships[0]
			k.Same("roles", strings.Join(m.Roles, " "), want)
			if list.Total != 1 || m.UserID != user.ID || m.TeamName != "Chess Club" || !m.Confirm || !m.Joined.Equal(k.Clock.Now()) || !m.Invited.Equal(m.Joined) {
				k.Errorf("%+v", m)
			}
			k.Same("events", k.Events(team.ID, "T", m.ID, "M"), []string{"teams.T.create by user", "teams.T.memberships.M.create by user"})
			k.Same("log", k.Logs(), []string{"membership.create by user", "membership.create by user", "team.create by user"})
		}
	})
}

func TestATeamOfTheServerHasNoMembers(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		team, err := k.Engine.Teams().Create(k.Ctx, latchkey.NewTeam{ID: "club", Name: "Chess Club"})
		k.Must(err)
		k.Same("total", team.Total, 0)
		list, err := k.Engine.Teams().Memberships(k.Ctx, "club")
		k.Must(err)
		k.Same("members", len(list.Memberships)+list.Total, 0)
		k.Refuses("roles", latchkey.ErrArgumentInvalid, func() error {
			return kit.Err(k.Engine.Teams().Create(k.Ctx, latchkey.NewTeam{Name: "Chess Club", Roles: []string{"player"}}))
		})
	})
}

func TestTeamsThatAreRefused(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		c := newClub(k)
		many := make([]string, 100)
		for i := range many {
			many[i] = fmt.Sprint("role", i)
		}
		for what, n := range map[string]latchkey.NewTeam{
			"no name": {}, "a long name": {Name: strings.Repeat("n", 129)}, "a control character": {Name: "a\nb"}, "an id": {ID: "_x", Name: "n"},
			"a long id": {ID: strings.Repeat("i", 37), Name: "n"}, "a role": {Name: "n", Roles: []string{"a b"}},
			"no place for the owner": {Name: "n", Roles: many},
		} {
			for who, teams := range map[string]*latchkey.Teams{"user": c.as("owner"), "server": c.server()} {
				if who == "user" || n.Roles == nil {
					k.Refuses(what+" by "+who, latchkey.ErrArgumentInvalid, func() error { return kit.Err(teams.Create(k.Ctx, n)) })
				}
			}
		}
		for _, teams := range []*latchkey.Teams{c.as("owner"), c.as("stranger"), c.server()} {
			k.Refuses("a taken id", latchkey.ErrTeamAlreadyExists, func() error { return kit.Err(teams.Create(k.Ctx, latchkey.NewTeam{ID: "club", Name: "n"})) })
		}
	})
}

// The host may still have permissions under the id of a deleted team.
func TestTheIDOfADeletedTeamIsKeptFromUsers(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		c := newClub(k)
		k.Must(c.as("owner").Delete(k.Ctx, c.id))
		for _, who := range []string{"owner", "stranger"} {
			k.Refuses(who, latchkey.ErrTeamAlreadyExists, func() error { return kit.Err(c.as(who).Create(k.Ctx, latchkey.NewTeam{ID: c.id, Name: "n"})) })
		}
		k.Must(kit.Err(c.server().Create(k.Ctx, latchkey.NewTeam{ID: c.id, Name: "n"})))
		k.Refuses("a former member", latchkey.ErrTeamNotFound, func() error { return kit.Err(c.as("member").Get(k.Ctx, c.id)) })
	})
}

// Roles are a set of exact names, counted, and kept as a list (AC-100).
func TestAC100RolesInATeamAreExactNames(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		c := newClub(k)
		long := strings.Repeat("r", 81)
		for _, bad := range []string{"", " ", "owner ", " owner", "owner,admin", "a/b", "a\"b", "a\x00", "_a", "ä", long + "r", "*"} {
			for _, teams := range []*latchkey.Teams{c.as("owner"), c.server()} {
				k.Refuses(fmt.Sprintf("%q", bad), latchkey.ErrArgumentInvalid, func() error {
					return kit.Err(teams.UpdateMembership(k.Ctx, c.id, c.members["member"], []string{"player", bad}))
				})
			}
			k.Refuses(fmt.Sprintf("%q", bad), latchkey.ErrArgumentInvalid, func() error {
				return kit.Err(c.server().CreateMembership(k.Ctx, c.id, latchkey.NewMembership{UserID: c.accounts["stranger"].UserID(), Roles: []string{bad}}))
			})
		}
		k.Refuses("10,000 roles", latchkey.ErrArgumentInvalid, func() error {
			return kit.Err(c.as("owner").UpdateMembership(k.Ctx, c.id, c.members["member"], make([]string, 10_000)))
		})
		for _, near := range []string{"Owner", "owners", "OWNER", "owner.", "admin", long} {
			m, err := c.as("owner").UpdateMembership(k.Ctx, c.id, c.members["member"], []string{near, near})
			k.Must(err)
			k.Same("roles", m.Roles, []string{near})
			k.Refuses(near, latchkey.ErrUserUnauthorized, func() error { return kit.Err(c.as("member").UpdateName(k.Ctx, c.id, "Mine")) })
		}
	})
}

// Each row is one thing to do; it says what the owner, another member and a stranger get.
func TestWhoMayDoWhatInATeam(t *testing.T) {
	unauthorized, notFound := error(latchkey.ErrUserUnauthorized), error(latchkey.ErrTeamNotFound)
	for name, row := range map[string]struct {
		do                      func(c *club, t *latchkey.Teams) error
		owner, member, stranger error
	}{
		"get":     {func(c *club, t *latchkey.Teams) error { return kit.Err(t.Get(c.Ctx, c.id)) }, nil, nil, notFound},
		"prefs":   {func(c *club, t *latchkey.Teams) error { return kit.Err(t.Prefs(c.Ctx, c.id)) }, nil, nil, notFound},
		"members": {func(c *club, t *latchkey.Teams) error { return kit.Err(t.Memberships(c.Ctx, c.id)) }, nil, nil, notFound},
		"one member": {func(c *club, t *latchkey.Teams) error {
			return kit.Err(t.GetMembership(c.Ctx, c.id, c.members["owner"]))
		}, nil, nil, notFound},
		"rename": {func(c *club, t *latchkey.Teams) error { return kit.Err(t.UpdateName(c.Ctx, c.id, "Go Club")) }, nil, unauthorized, notFound},
		"write prefs": {func(c *club, t *latchkey.Teams) error {
			return kit.Err(t.UpdatePrefs(c.Ctx, c.id, json.RawMessage(`{"a":1}`)))
		}, nil, unauthorized, notFound},
		"delete": {func(c *club, t *latchkey.Teams) error { return t.Delete(c.Ctx, c.id) }, nil, unauthorized, notFound},
		"own roles": {func(c *club, t *latchkey.Teams) error {
			return kit.Err(t.UpdateMembership(c.Ctx, c.id, c.members["member"], []string{"owner"}))
		}, nil, unauthorized, notFound},
		"demote owner": {func(c *club, t *latchkey.Teams) error {
			return kit.Err(t.UpdateMembership(c.Ctx, c.id, c.members["owner"], nil))
		}, latchkey.ErrMembershipDowngradeProhibited, unauthorized, notFound},
		"remove owner": {func(c *club, t *latchkey.Teams) error { return t.DeleteMembership(c.Ctx, c.id, c.members["owner"]) }, latchkey.ErrMembershipDeletionProhibited, unauthorized, notFound},
		"remove other": {func(c *club, t *latchkey.Teams) error { return t.DeleteMembership(c.Ctx, c.id, c.members["other"]) }, nil, unauthorized, notFound},
		"leave":        {func(c *club, t *latchkey.Teams) error { return t.DeleteMembership(c.Ctx, c.id, c.members["member"]) }, nil, nil, notFound},
	} {
		t.Run(name, func(t *testing.T) {
			kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
				c := newClub(k, "other")
				for _, caller := range []struct {
					name string
					want error
				}{{"stranger", row.stranger}, {"member", row.member}, {"owner", row.owner}} {
					if caller.want != nil {
						k.Refuses(caller.name, caller.want, func() error { return row.do(c, c.as(caller.name)) })
						continue
					}
					if name == "leave" && caller.name == "owner" {
						c.join("member")
					}
					k.Must(row.do(c, c.as(caller.name)))
				}
			})
		})
	}
}

func TestTeamsAreListedByTheirMembersAndTheServer(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		c := newClub(k)
		for i, name := range []string{"Go Club", "Chess Masters", "Bridge"} {
			k.Clock.Advance(1000)
			k.Must(kit.Err(c.as([]string{"member", "stranger", "stranger"}[i]).Create(k.Ctx, latchkey.NewTeam{Name: name})))
		}
		check := func(what string, t *latchkey.Teams, queries []latchkey.Query, want ...string) {
			k.Helper()
			list, err := t.List(k.Ctx, queries...)
			k.Must(err)
			var names []string
			for _, team := range list.Teams {
				names = append(names, team.Name)
			}
			k.Same(what, names, want)
			k.Same(what+", total", list.Total, len(want))
		}
		check("server", c.server(), nil, "Chess Club", "Go Club", "Chess Masters", "Bridge")
		check("member", c.as("member"), nil, "Chess Club", "Go Club")
		check("owner", c.as("owner"), nil, "Chess Club")
		check("stranger by name", c.as("stranger"), []latchkey.Query{query.OrderAsc("name")}, "Bridge", "Chess Masters")
		check("server by total", c.server(), []latchkey.Query{query.GreaterThan("total", 1)}, "Chess Club")
		check("server finds", c.server(), []latchkey.Query{query.Search("ches")}, "Chess Club", "Chess Masters")
		check("server finds the id", c.server(), []latchkey.Query{query.Search("club ches")}, "Chess Club")
		check("member finds", c.as("member"), []latchkey.Query{query.Search("club")}, "Chess Club", "Go Club")
		check("member finds a phrase", c.as("member"), []latchkey.Query{query.Search(`"go club"`)}, "Go Club")
		check("member finds nothing of others", c.as("member"), []latchkey.Query{query.Search("bridge")})
		k.Must(kit.Err(c.as("owner").UpdateName(k.Ctx, c.id, "Draughts")))
		check("the new name", c.server(), []latchkey.Query{query.Search("draugh")}, "Draughts")
		check("the old name", c.server(), []latchkey.Query{query.Search("chess")}, "Chess Masters")
		k.Refuses("prefs", latchkey.ErrArgumentInvalid, func() error { return kit.Err(c.server().List(k.Ctx, query.Equal("prefs", "{}"))) })
	})
}

func TestMembersAreListedWithQueries(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		c := newClub(k, "carol", "dave")
		other, err := c.as("stranger").Create(k.Ctx, latchkey.NewTeam{Name: "Go Club"})
		k.Must(err)
		theirs, err := c.server().Memberships(k.Ctx, other.ID)
		k.Must(err)
		check := func(what string, queries []latchkey.Query, want ...string) *latchkey.MembershipList {
			k.Helper()
			var list *latchkey.MembershipList
			for _, t := range []*latchkey.Teams{c.server(), c.as("member")} {
				list, err = t.Memberships(k.Ctx, c.id, queries...)
				k.Must(err)
				var names []string
				for _, m := range list.Memberships {
					name, _, _ := strings.Cut(m.UserEmail, "@")
					names = append(names, name)
				}
				k.Same(what, names, want)
			}
			return list
		}
		k.Same("total", check("all", nil, "owner", "member", "carol", "dave").Total, 4)
		first := check("a page", []latchkey.Query{query.Limit(2)}, "owner", "member")
		check("the next", []latchkey.Query{query.Limit(2), query.Page(first.Next)}, "carol", "dave")
		check("after", []latchkey.Query{query.CursorAfter(c.members["carol"])}, "dave")
		check("before, newest first", []latchkey.Query{query.CursorBefore(c.members["carol"]), query.OrderDesc("$createdAt")}, "dave")
		check("by another order", []latchkey.Query{query.OrderDesc("joined"), query.Limit(3)}, "dave", "carol", "member")
		check("by role", []latchkey.Query{query.Contains("roles", "owner")}, "owner")
		check("by user", []latchkey.Query{query.Equal("userId", c.accounts["carol"].UserID())}, "carol")
		check("of another team", []latchkey.Query{query.Equal("teamId", other.ID)})
		check("by id", []latchkey.Query{query.Search(c.members["dave"])}, "dave")
		check("by the id of the user", []latchkey.Query{query.Search(c.accounts["dave"].UserID())}, "dave")
		for _, t := range []*latchkey.Teams{c.server(), c.as("member")} {
			k.Refuses("a cursor of another team", latchkey.ErrCursorNotFound, func() error {
				return kit.Err(t.Memberships(k.Ctx, c.id, query.CursorAfter(theirs.Memberships[0].ID)))
			})
		}
		page, err := c.server().Memberships(k.Ctx, other.ID, query.Page(first.Next))
		if !errors.Is(err, latchkey.ErrQueryInvalid) {
			k.Errorf("a page of another team: %v, %v", page, err)
		}
		own, err := k.Users().Memberships(k.Ctx, c.accounts["member"].UserID())
		k.Must(err)
		if own.Total != 1 || own.Memberships[0].ID != c.members["member"] || own.Memberships[0].TeamName != "Chess Club" {
			k.Errorf("%+v", own)
		}
		none, err := k.Users().Memberships(k.Ctx, k.SignUp(kit.Bob).ID)
		k.Must(err)
		k.Same("of nobody", none.Total+len(none.Memberships), 0)
	})
}

func TestTeamPrefsAreSharedByItsMembers(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		c := newClub(k)
		k.Forget()
		got, err := c.as("owner").UpdatePrefs(k.Ctx, c.id, json.RawMessage(`{"theme": "dark"}`))
		k.Must(err)
		k.Same("answer", string(got), `{"theme":"dark"}`)
		k.Same("events", k.Events(), []string{"teams.club.update.prefs by user"})
		for _, t := range []*latchkey.Teams{c.as("owner"), c.as("member"), c.server()} {
			prefs, err := t.Prefs(k.Ctx, c.id)
			k.Must(err)
			k.Same("prefs", string(prefs), `{"theme":"dark"}`)
		}
		for _, bad := range []string{"", "1", "[]", "null", `{"a":1,"a":2}`, `{"a":"` + strings.Repeat("x", 65_535) + `"}`} {
			k.Refuses(bad[:min(9, len(bad))], latchkey.ErrArgumentInvalid, func() error { return kit.Err(c.server().UpdatePrefs(k.Ctx, c.id, json.RawMessage(bad))) })
		}
	})
}

func TestAChangeThatChangesNothingIsNotTold(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		c := newClub(k)
		k.Clock.Advance(1000)
		k.Forget()
		team, err := c.as("owner").UpdateName(k.Ctx, c.id, "Chess Club")
		k.Must(err)
		k.Must(kit.Err(c.as("owner").UpdatePrefs(k.Ctx, c.id, json.RawMessage(`{}`))))
		k.Must(kit.Err(c.as("owner").UpdateMembership(k.Ctx, c.id, c.members["member"], []string{"player"})))
		k.Same("updated", team.UpdatedAt.Equal(team.CreatedAt), true)
		k.Same("events", k.Events(), []string(nil))
		k.Same("log", k.Logs(), []string(nil))
	})
}

func TestADeletedTeamTakesItsMembershipsAlong(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		c := newClub(k, "carol", "dave")
		k.Forget()
		k.Must(c.as("owner").Delete(k.Ctx, c.id))
		k.Same("events", k.Events(), []string{"teams.club.delete by user"})
		k.Same("log", k.Logs(), append(slices.Repeat([]string{"membership.delete by user"}, 4), "team.delete by user"))
		for name, account := range c.accounts {
			list, err := account.Teams().List(k.Ctx)
			k.Must(err)
			roles, err := account.Roles(k.Ctx)
			k.Must(err)
			if list.Total != 0 || strings.Contains(roles.String(), "team:") {
				k.Errorf("%s has %d teams and the roles %v", name, list.Total, roles)
			}
		}
		list, err := c.server().List(k.Ctx, query.Search("chess"))
		k.Must(err)
		k.Same("found", list.Total, 0)
	})
}

// Counts as in the documents: a verified user with two labels, and two teams with two roles
// and one.
func TestRolesFollowTeams(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user := k.SignUp(kit.Ada)
		session, account := k.SignIn(kit.Ada)
		k.Must(kit.Err(k.Users().UpdateEmailVerification(k.Ctx, user.ID, true)))
		k.Must(kit.Err(k.Users().UpdateLabels(k.Ctx, user.ID, []string{"vip", "beta"})))
		var ids []string
		for name, roles := range map[string][]string{"abc": {"administrator", "moderator"}, "def": {"guest"}} {
			k.Must(kit.Err(k.Engine.Teams().Create(k.Ctx, latchkey.NewTeam{ID: name, Name: name})))
			k.Clock.Advance(1000)
			m, err := k.Engine.Teams().CreateMembership(k.Ctx, name, latchkey.NewMembership{UserID: user.ID, Roles: roles})
			k.Must(err)
			ids = append(ids, m.ID)
		}
		roles, err := account.Roles(k.Ctx)
		k.Must(err)
		want := permission.RolesOf(permission.User(user.ID), permission.Users, permission.UserVerified(user.ID), permission.UsersVerified,
			"team:abc", "team:abc/administrator", "team:abc/moderator", "team:def", "team:def/guest",
			permission.Member(ids[0]), permission.Member(ids[1]), "label:vip", "label:beta")
		if !roles.Equal(want) || len(roles.List()) != 13+1 {
			k.Errorf("%v, want %v", roles, want)
		}
		_, profile, err := k.Visitor.AuthenticateProfile(k.Ctx, session.Secret.Reveal())
		k.Must(err)
		k.Same("profile", profile.Roles, roles)
		server, err := k.Users().Roles(k.Ctx, user.ID)
		k.Must(err)
		k.Same("server", server, roles)
	})
}

// A removed or demoted member has the new roles with the next call (AC-103).
func TestAC103RolesInATeamAreAlwaysCurrent(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		c := newClub(k)
		may := func(want bool, text string) {
			k.Helper()
			set, err := permission.Parse(text)
			k.Must(err)
			got, err := c.accounts["member"].Can(k.Ctx, permission.Update, set)
			k.Must(err)
			k.Same(text, got, want)
		}
		may(true, `update("team:club/player")`)
		may(false, `update("team:club/owner")`)
		k.Must(kit.Err(c.as("owner").UpdateMembership(k.Ctx, c.id, c.members["member"], []string{"owner"})))
		may(true, `update("team:club/owner")`)
		may(false, `update("team:club/player")`)
		k.Must(kit.Err(c.as("member").UpdateName(k.Ctx, c.id, "Ours")))
		k.Must(kit.Err(c.as("owner").UpdateMembership(k.Ctx, c.id, c.members["member"], nil)))
		k.Refuses("demoted", latchkey.ErrUserUnauthorized, func() error { return kit.Err(c.as("member").UpdateName(k.Ctx, c.id, "Mine")) })
		may(true, `update("team:club")`)
		may(true, `update("member:`+c.members["member"]+`")`)
		k.Must(c.as("owner").DeleteMembership(k.Ctx, c.id, c.members["member"]))
		may(false, `update("team:club")`)
		may(false, `update("member:`+c.members["member"]+`")`)
		k.Refuses("removed", latchkey.ErrTeamNotFound, func() error { return kit.Err(c.as("member").Get(k.Ctx, c.id)) })
	})
}

// Nobody but an owner gives roles, to himself or to others (AC-099).
func TestAC099NobodyGrantsAboveHimself(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		c := newClub(k, "carol")
		k.Must(kit.Err(c.as("owner").UpdateMembership(k.Ctx, c.id, c.members["member"], []string{"admin", "Owner"})))
		for _, target := range []string{"member", "carol", "owner"} {
			for _, roles := range [][]string{{"owner"}, {"admin"}, {}} {
				k.Refuses(target, latchkey.ErrUserUnauthorized, func() error {
					return kit.Err(c.as("member").UpdateMembership(k.Ctx, c.id, c.members[target], roles))
				})
			}
			if target != "member" {
				k.Refuses("remove "+target, latchkey.ErrUserUnauthorized, func() error { return c.as("member").DeleteMembership(k.Ctx, c.id, c.members[target]) })
			}
		}
		k.Refuses("add", latchkey.ErrUserUnauthorized, func() error {
			return kit.Err(c.as("member").CreateMembership(k.Ctx, c.id, latchkey.NewMembership{UserID: c.accounts["stranger"].UserID(), Roles: []string{"owner"}, URL: kit.JoinURL}))
		})
	})
}

// A membership is looked up in its team (AC-101).
func TestAC101AMembershipOfAnotherTeamIsNotFound(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		c := newClub(k)
		k.Must(kit.Err(c.as("stranger").Create(k.Ctx, latchkey.NewTeam{ID: "other", Name: "Go Club"})))
		for id, want := range map[string][2]*latchkey.Error{
			c.members["member"]: {latchkey.ErrMembershipMismatch, latchkey.ErrMembershipMismatch},
			"unknown":           {latchkey.ErrMembershipNotFound, latchkey.ErrInviteNotFound},
			"_":                 {latchkey.ErrArgumentInvalid, latchkey.ErrArgumentInvalid},
		} {
			for _, teams := range []*latchkey.Teams{c.as("stranger"), c.server()} {
				k.Refuses("get", want[0], func() error { return kit.Err(teams.GetMembership(k.Ctx, "other", id)) })
				k.Refuses("update", want[0], func() error { return kit.Err(teams.UpdateMembership(k.Ctx, "other", id, []string{"owner"})) })
				k.Refuses("delete", want[1], func() error { return teams.DeleteMembership(k.Ctx, "other", id) })
			}
		}
	})
}

// A team never loses its last enabled owner (AC-102): as a user that is refused, and what the
// server does hands the team over.
func TestAC102ATeamNeverLosesItsLastOwner(t *testing.T) {
	type step = func(c *club) error
	leave := func(name string) step {
		return func(c *club) error { return c.as(name).DeleteMembership(c.Ctx, c.id, c.members[name]) }
	}
	demote := func(by, name string) step {
		return func(c *club) error {
			return kit.Err(c.as(by).UpdateMembership(c.Ctx, c.id, c.members[name], []string{"player"}))
		}
	}
	block := func(name string) step {
		return func(c *club) error { return kit.Err(c.Users().UpdateStatus(c.Ctx, c.accounts[name].UserID(), false)) }
	}
	for name, row := range map[string]struct {
		do    step
		want  error
		after string
	}{
		"leaves":          {leave("owner"), latchkey.ErrMembershipDeletionProhibited, "owner: owner, member: player, carol: player"},
		"demotes himself": {demote("owner", "owner"), latchkey.ErrMembershipDowngradeProhibited, "owner: owner, member: player, carol: player"},
		"is blocked":      {block("owner"), nil, "owner: owner, member: player owner, carol: player"},
		"blocks himself":  {func(c *club) error { return kit.Err(c.accounts["owner"].Block(c.Ctx)) }, nil, "owner: owner, member: player owner, carol: player"},
		"deletes himself": {func(c *club) error { return c.accounts["owner"].Delete(c.Ctx) }, nil, "member: player owner, carol: player"},
		"is deleted":      {func(c *club) error { return c.Users().Delete(c.Ctx, c.accounts["owner"].UserID()) }, nil, "member: player owner, carol: player"},
		"is removed":      {func(c *club) error { return c.server().DeleteMembership(c.Ctx, c.id, c.members["owner"]) }, nil, "member: player owner, carol: player"},
		"is demoted": {func(c *club) error {
			return kit.Err(c.server().UpdateMembership(c.Ctx, c.id, c.members["owner"], []string{"player"}))
		}, nil, "owner: player, member: player owner, carol: player"},
		"the heir is blocked": {func(c *club) error {
			return errors.Join(block("member")(c), c.Users().Delete(c.Ctx, c.accounts["owner"].UserID()))
		}, nil, "member: player, carol: player owner"},
		"nobody is left": {func(c *club) error {
			return errors.Join(block("member")(c), block("carol")(c), block("owner")(c))
		}, nil, "owner: owner, member: player, carol: player"},
		"leaves blocked owners": {func(c *club) error {
			c.Must(kit.Err(c.as("owner").UpdateMembership(c.Ctx, c.id, c.members["member"], []string{"owner"})))
			c.Must(block("member")(c))
			return leave("owner")(c)
		}, latchkey.ErrMembershipDeletionProhibited, "owner: owner, member: owner, carol: player"},
		"two owners, and one leaves": {func(c *club) error {
			c.Must(kit.Err(c.as("owner").UpdateMembership(c.Ctx, c.id, c.members["member"], []string{"owner"})))
			return leave("owner")(c)
		}, nil, "member: owner, carol: player"},
		"two owners, and one demotes the other": {func(c *club) error {
			c.Must(kit.Err(c.as("owner").UpdateMembership(c.Ctx, c.id, c.members["member"], []string{"owner"})))
			return demote("member", "owner")(c)
		}, nil, "owner: player, member: owner, carol: player"},
		"leaves alone": {func(c *club) error {
			return errors.Join(leave("carol")(c), leave("member")(c), leave("owner")(c))
		}, nil, "ended"},
		"demotes himself alone": {func(c *club) error {
			return errors.Join(leave("carol")(c), leave("member")(c), demote("owner", "owner")(c))
		}, latchkey.ErrMembershipDowngradeProhibited, "owner: owner"},
		"deletes himself alone": {func(c *club) error {
			return errors.Join(leave("carol")(c), leave("member")(c), c.accounts["owner"].Delete(c.Ctx))
		}, nil, "ended"},
		"is demoted alone": {func(c *club) error {
			return errors.Join(leave("carol")(c), leave("member")(c), kit.Err(c.server().UpdateMembership(c.Ctx, c.id, c.members["owner"], nil)))
		}, latchkey.ErrMembershipDowngradeProhibited, "owner: owner"},
		"is removed alone": {func(c *club) error {
			return errors.Join(leave("carol")(c), leave("member")(c), c.server().DeleteMembership(c.Ctx, c.id, c.members["owner"]))
		}, nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
				c := newClub(k, "carol")
				if err := row.do(c); !errors.Is(err, row.want) || err != nil && row.want == nil {
					k.Errorf("%v, want %v", err, row.want)
				}
				k.Same("members", c.has(), row.after)
			})
		})
	}
}

// Two owners at once do not leave the team to nobody.
func TestAC102TwoOwnersAgainstEachOther(t *testing.T) {
	for name, do := range map[string]func(c *club, me, other string) error{
		"leave": func(c *club, me, _ string) error { return c.as(me).DeleteMembership(c.Ctx, c.id, c.members[me]) },
		"demote": func(c *club, me, other string) error {
			return kit.Err(c.as(me).UpdateMembership(c.Ctx, c.id, c.members[other], nil))
		},
		"remove": func(c *club, me, other string) error { return c.as(me).DeleteMembership(c.Ctx, c.id, c.members[other]) },
		"delete": func(c *club, me, _ string) error { return c.accounts[me].Delete(c.Ctx) },
		"block":  func(c *club, me, _ string) error { return kit.Err(c.accounts[me].Block(c.Ctx)) },
	} {
		t.Run(name, func(t *testing.T) {
			kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
				c := newClub(k, "carol")
				k.Must(kit.Err(c.as("owner").UpdateMembership(k.Ctx, c.id, c.members["member"], []string{"owner"})))
				var wait sync.WaitGroup
				for _, pair := range [][2]string{{"owner", "member"}, {"member", "owner"}} {
					wait.Go(func() { _ = do(c, pair[0], pair[1]) })
				}
				wait.Wait()
				list, err := c.server().Memberships(k.Ctx, c.id)
				k.Must(err)
				enabled := 0
				for _, m := range list.Memberships {
					user, err := k.Users().Get(k.Ctx, m.UserID)
					k.Must(err)
					if user.Status && slices.Contains(m.Roles, "owner") {
						enabled++
					}
				}
				if enabled == 0 {
					k.Errorf("the team has no owner: %s", c.has())
				}
			})
		})
	}
}

func TestAMemberOfTheServersIsNamedByIDOrAddress(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		c := newClub(k)
		user := k.SignUp(kit.Ada)
		k.Must(kit.Err(k.Users().UpdatePhone(k.Ctx, user.ID, kit.OwnPhone)))
		add := func(n latchkey.NewMembership) error { return kit.Err(c.server().CreateMembership(k.Ctx, c.id, n)) }
		for what, row := range map[string]struct {
			n    latchkey.NewMembership
			want error
		}{
			"nobody":            {latchkey.NewMembership{}, latchkey.ErrArgumentInvalid},
			"a bad id":          {latchkey.NewMembership{UserID: "_"}, latchkey.ErrArgumentInvalid},
			"a bad address":     {latchkey.NewMembership{Email: "x"}, latchkey.ErrArgumentInvalid},
			"a bad number":      {latchkey.NewMembership{Phone: "1"}, latchkey.ErrArgumentInvalid},
			"a bad name":        {latchkey.NewMembership{UserID: user.ID, Name: "a\nb"}, latchkey.ErrArgumentInvalid},
			"unknown":           {latchkey.NewMembership{UserID: "unknown"}, latchkey.ErrUserNotFound},
			"another's address": {latchkey.NewMembership{UserID: user.ID, Email: "owner@example.org"}, latchkey.ErrUserAlreadyExists},
			"another number":    {latchkey.NewMembership{Email: kit.Ada, Phone: kit.Phone}, latchkey.ErrUserAlreadyExists},
			"a taken number":    {latchkey.NewMembership{Email: "new@example.org", Phone: kit.OwnPhone}, latchkey.ErrUserAlreadyExists},
			"a member":          {latchkey.NewMembership{Email: "member@example.org"}, latchkey.ErrMembershipAlreadyConfirmed},
		} {
			k.Refuses(what, row.want, func() error { return add(row.n) })
		}
		for _, n := range []latchkey.NewMembership{{UserID: user.ID, Email: "Ada@Example.ORG", Phone: kit.OwnPhone}, {Email: kit.Ada}, {Phone: kit.OwnPhone}} {
			m, err := c.server().CreateMembership(k.Ctx, c.id, n)
			k.Must(err)
			k.Same("user", m.UserID, user.ID)
			k.Must(c.server().DeleteMembership(k.Ctx, c.id, m.ID))
		}
		k.Forget()
		m, err := c.server().CreateMembership(k.Ctx, c.id, latchkey.NewMembership{Email: "New@example.org"})
		k.Must(err)
		k.Same("events", k.Events(m.UserID, "U", m.ID, "M"), []string{"users.U.create by server", "teams.club.memberships.M.create by server"})
		made, err := k.Users().GetByEmail(k.Ctx, "new@example.org")
		k.Must(err)
		if made.ID != m.UserID || made.Name != "new@example.org" || made.EmailVerification || !made.PasswordUpdate.IsZero() {
			k.Errorf("%+v", made)
		}
	})
}

func TestWhatMembersSeeOfOneAnother(t *testing.T) {
	for name, row := range map[string]struct {
		policy latchkey.MemberPolicy
		want   string
	}{
		"by default": {latchkey.MemberPolicy{}, "Carol carol@example.org +14155550100 true"},
		"hidden":     {latchkey.MemberPolicy{HideName: true, HideEmail: true, HidePhone: true, HideMFA: true}, "   false"},
		"phone":      {latchkey.MemberPolicy{HidePhone: true}, "Carol carol@example.org  true"},
	} {
		t.Run(name, func(t *testing.T) {
			kit.OnEveryStore(t, latchkey.Policy{Members: row.policy}, func(k *kit.Kit) {
				c := newClub(k, "carol")
				id := c.accounts["carol"].UserID()
				k.Must(kit.Err(k.Users().UpdateName(k.Ctx, id, "Carol")))
				k.Must(kit.Err(k.Users().UpdatePhone(k.Ctx, id, kit.Phone)))
				k.Must(kit.Err(k.Users().UpdateEmailVerification(k.Ctx, id, true)))
				k.Must(kit.Err(k.Users().UpdateMFA(k.Ctx, id, true)))
				check := func(what string, m *latchkey.Membership, whole bool) {
					k.Helper()
					want := strings.Replace(row.want, "+14155550100", kit.Phone, 1)
					if whole {
						want = "Carol carol@example.org " + kit.Phone + " true"
					}
					k.Same(what, fmt.Sprint(m.UserName, " ", m.UserEmail, " ", m.UserPhone, " ", m.MFA), want)
					if m.UserAccessedAt.IsZero() == whole || m.UserID != id {
						k.Errorf("%s: %+v", what, m)
					}
				}
				for who, t := range map[string]*latchkey.Teams{"server": c.server(), "owner": c.as("owner"), "member": c.as("member")} {
					list, err := t.Memberships(k.Ctx, c.id)
					k.Must(err)
					check(who, list.Memberships[2], who == "server")
					m, err := t.GetMembership(k.Ctx, c.id, c.members["carol"])
					k.Must(err)
					check(who, m, who == "server")
					if who != "member" {
						for _, roles := range [][]string{{"a"}, {"b"}, {"b"}} {
							m, err = t.UpdateMembership(k.Ctx, c.id, c.members["carol"], roles)
							k.Must(err)
							check(who, m, who == "server")
						}
					}
				}
			})
		})
	}
}

// 100 callers at once add and remove the same user, and delete the team: totals stay right, as
// the kit checks in the end.
func TestMembershipsAreExactUnderARace(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		c := newClub(k)
		id := c.accounts["stranger"].UserID()
		var wait sync.WaitGroup
		for i := range 100 {
			wait.Go(func() {
				switch {
				case i%2 == 0:
					_ = kit.Err(c.server().CreateMembership(k.Ctx, c.id, latchkey.NewMembership{UserID: id}))
				case i == 99:
					_ = c.server().Delete(k.Ctx, c.id)
				default:
					list, err := k.Users().Memberships(k.Ctx, id)
					if err == nil && len(list.Memberships) > 0 {
						_ = c.server().DeleteMembership(k.Ctx, c.id, list.Memberships[0].ID)
					}
				}
			})
		}
		wait.Wait()
		k.Refuses("the team", latchkey.ErrTeamNotFound, func() error { return kit.Err(c.server().Get(k.Ctx, c.id)) })
	})
}

// A member of a deleted team reads nothing of the next team of the id, even if the id changes
// hands during the read.
func TestAMemberReadsNothingOfTheNextTeamOfTheID(t *testing.T) {
	for name, read := range map[string]func(c *club, t *latchkey.Teams) (string, error){
		"Get": func(c *club, t *latchkey.Teams) (string, error) {
			team, err := t.Get(c.Ctx, c.id)
			return fmt.Sprint(team), err
		},
		"List": func(c *club, t *latchkey.Teams) (string, error) {
			list, err := t.List(c.Ctx)
			if err != nil {
				return "", err
			}
			var all string
			for _, team := range list.Teams {
				all += team.Name
			}
			return all, nil
		},
		"Memberships": func(c *club, t *latchkey.Teams) (string, error) {
			list, err := t.Memberships(c.Ctx, c.id)
			if err != nil {
				return "", err
			}
			var all string
			for _, m := range list.Memberships {
				all += m.UserEmail + m.TeamName
			}
			return all, nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
				c := newClub(k)
				for at := 1; at <= 6; at++ {
					k.At(at, func() {
						k.Must(c.server().Delete(k.Ctx, c.id))
						k.Must(kit.Err(c.server().Create(k.Ctx, latchkey.NewTeam{ID: c.id, Name: "Secret"})))
						k.Must(kit.Err(c.server().CreateMembership(k.Ctx, c.id, latchkey.NewMembership{UserID: c.accounts["stranger"].UserID()})))
					}, func() {
						text, err := read(c, c.as("owner"))
						if err == nil && (strings.Contains(text, "Secret") || strings.Contains(text, "stranger")) {
							k.Errorf("call %d: %s", at, text)
						}
					})
					k.Must(c.server().Delete(k.Ctx, c.id))
					k.Must(kit.Err(c.server().Create(k.Ctx, latchkey.NewTeam{ID: c.id, Name: "Chess Club"})))
					c.join("owner", "owner")
				}
			})
		})
	}
}

// A handle of a deleted user has nothing of the memberships of the next user of the id, even if
// the id changes hands during the read.
func TestAHandleHasNoMembershipOfTheNextUserOfTheID(t *testing.T) {
	for name, read := range map[string]func(k *kit.Kit, a *latchkey.Account) (bool, error){
		"get": func(k *kit.Kit, a *latchkey.Account) (bool, error) {
			_, err := a.Teams().Get(k.Ctx, "club")
			return err == nil, nil
		},
		"list": func(k *kit.Kit, a *latchkey.Account) (bool, error) {
			list, err := a.Teams().List(k.Ctx)
			return err == nil && list.Total > 1, nil
		},
		"roles": func(k *kit.Kit, a *latchkey.Account) (bool, error) {
			roles, err := a.Roles(k.Ctx)
			return roles.Has("team:club"), err
		},
	} {
		t.Run(name, func(t *testing.T) {
			kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
				n := latchkey.NewUser{UserID: "chosen", Email: kit.Ada, Password: kit.Password}
				k.Must(kit.Err(k.Engine.Teams().Create(k.Ctx, latchkey.NewTeam{ID: "club", Name: "Chess Club"})))
				for at := 2; at <= 3; at++ {
					k.Must(kit.Err(k.Users().Create(k.Ctx, n)))
					_, account := k.SignIn(kit.Ada)
					k.Must(kit.Err(account.Teams().Create(k.Ctx, latchkey.NewTeam{Name: "Own"})))
					k.At(at, func() {
						k.Must(k.Users().Delete(k.Ctx, "chosen"))
						k.Must(kit.Err(k.Users().Create(k.Ctx, n)))
						k.Must(kit.Err(k.Engine.Teams().CreateMembership(k.Ctx, "club", latchkey.NewMembership{UserID: "chosen"})))
					}, func() {
						if has, err := read(k, account); has {
							k.Errorf("call %d: the former user has the membership of the next one (%v)", at, err)
						}
					})
					k.Must(k.Users().Delete(k.Ctx, "chosen"))
				}
			})
		})
	}
}

// The log of a team has its changes. A member sees who acted, and no client address but their own.
func TestTheLogOfATeam(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		c := newClub(k)
		k.Must(kit.Err(c.as("owner").UpdateName(k.Ctx, c.id, "Chess")))
		_, link := c.invite("owner", latchkey.NewMembership{Email: "guest@example.org"})
		k.Must(k.Visitor.DeclineInvitation(k.Ctx, link))
		owner := c.accounts["owner"].UserID()
		want := []string{
			"membership.delete by guest  ", "membership.create by user " + owner + " ", "team.update by user " + owner + " ",
			"membership.create by server  ", "membership.create by user " + owner + " ", "team.create by user " + owner + " ",
		}
		lines := func(list *latchkey.LogList) (out []string) {
			for _, l := range list.Logs {
				if l.Resource != "team/"+c.id {
					k.Error(l.Resource)
				}
				out = append(out, fmt.Sprintf("%s by %s %s %s", l.Event, l.Mode, l.UserID, l.IP))
			}
			return out
		}
		list, err := c.as("member").Logs(k.Ctx, c.id)
		k.Must(err)
		k.Same("as a member", lines(list), want)
		list, err = c.as("owner").Logs(k.Ctx, c.id, query.Limit(1), query.Offset(2))
		k.Must(err)
		if list.Total != 6 || list.Logs[0].IP != kit.Client.IP.String() || list.Logs[0].UserEmail != "" {
			k.Errorf("%+v", list.Logs[0])
		}
		list, err = c.server().Logs(k.Ctx, c.id)
		k.Must(err)
		if list.Logs[0].IP != kit.Client.IP.String() || list.Logs[1].UserEmail != "owner@example.org" || list.Logs[1].UserName != "Ada" {
			k.Errorf("%+v, %+v", list.Logs[0], list.Logs[1])
		}
		k.Refuses("as a stranger", latchkey.ErrTeamNotFound, func() error { return kit.Err(c.as("stranger").Logs(k.Ctx, c.id)) })
		k.Refuses("a filter", latchkey.ErrArgumentInvalid, func() error { return kit.Err(c.server().Logs(k.Ctx, c.id, query.Equal("event", "x"))) })
	})
}

// AC-104: no one joins a team by the domain of their address.
func TestAC104NoDomainOpensATeam(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		c := newClub(k)
		k.Must(kit.Err(k.Users().UpdateEmailVerification(k.Ctx, c.accounts["stranger"].UserID(), true))) // of the owner's domain
		roles, err := c.accounts["stranger"].Roles(k.Ctx)
		k.Must(err)
		if roles.Has(permission.Team(c.id)) {
			k.Error(roles)
		}
		list, err := c.as("stranger").List(k.Ctx)
		k.Must(err)
		k.Same("teams", list.Total, 0)
	})
}

// AC-107: who may act for an owner, a lower administrator, raises neither their own rights nor
// those of others, and touches nobody.
func TestAC107WhoActsForAnOwnerChangesNoTeam(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		c := newClub(k, "staff")
		k.Must(kit.Err(k.Users().UpdateImpersonator(k.Ctx, c.accounts["staff"].UserID(), true)))
		_, staff := k.SignIn("staff@example.org")
		acting, err := staff.Impersonate(k.Ctx, latchkey.ImpersonatedUser{UserID: c.accounts["owner"].UserID()})
		k.Must(err)
		_, link := c.invite("owner", latchkey.NewMembership{UserID: c.accounts["stranger"].UserID()})
		own, err := staff.Impersonate(k.Ctx, latchkey.ImpersonatedUser{UserID: c.accounts["stranger"].UserID()})
		k.Must(err)
		for what, do := range map[string]func() error{
			"own roles": func() error {
				return kit.Err(acting.Teams().UpdateMembership(k.Ctx, c.id, c.members["staff"], []string{"owner"}))
			},
			"the owner's roles": func() error {
				return kit.Err(acting.Teams().UpdateMembership(k.Ctx, c.id, c.members["owner"], nil))
			},
			"a removal": func() error { return acting.Teams().DeleteMembership(k.Ctx, c.id, c.members["owner"]) },
			"an invitation": func() error {
				return kit.Err(acting.Teams().CreateMembership(k.Ctx, c.id, latchkey.NewMembership{Email: "friend@example.org", Roles: []string{"owner"}, URL: kit.JoinURL}))
			},
			"an acceptance": func() error { return kit.Err(own.AcceptInvitation(k.Ctx, link)) },
			"a new name":    func() error { return kit.Err(acting.Teams().UpdateName(k.Ctx, c.id, "Mine")) },
			"the end":       func() error { return acting.Teams().Delete(k.Ctx, c.id) },
		} {
			k.Refuses(what, latchkey.ErrUserUnauthorized, do)
		}
	})
}
