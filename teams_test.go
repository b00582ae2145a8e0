package latchkey_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
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

// The log of a team has its changes. A member sees the acting users, and no client address but their own.
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
