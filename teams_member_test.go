package latchkey_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"example.com/latchkey"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/query"
)

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

// AC-107: an impersonator of an owner, a lower administrator, raises no rights, their own or others',
// and ends no membership.
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
