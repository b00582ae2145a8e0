package main

import (
	"example.com/latchkey"
	"example.com/latchkey/hidden"
	"example.com/latchkey/query"
)

// teamRoutes is the part of the API about teams, for users and for the server.
var teamRoutes = []route{
	on(post, teamWrite, created, createTeam, "/teams"),
	on(get, teamRead, ok, listTeams, "/teams"),
	on(get, teamRead, ok, func(c *call) (any, error) { return team(c.teams().Get(c.r.Context(), c.team())) }, "/teams/{teamId}"),
	on(put, teamWrite, ok, updateTeamName, "/teams/{teamId}"),
	on(del, teamWrite, none, func(c *call) (any, error) { return nil, c.teams().Delete(c.r.Context(), c.team()) }, "/teams/{teamId}"),
	on(get, teamRead, ok, func(c *call) (any, error) { return c.teams().Prefs(c.r.Context(), c.team()) }, "/teams/{teamId}/prefs"),
	on(put, teamWrite, ok, updateTeamPrefs, "/teams/{teamId}/prefs"),
	on(post, teamWrite, created, createMembership, "/teams/{teamId}/memberships"),
	on(get, teamRead, ok, listMemberships, "/teams/{teamId}/memberships"),
	on(get, teamRead, ok, func(c *call) (any, error) {
		return c.membership(c.teams().GetMembership(c.r.Context(), c.team(), c.r.PathValue("membershipId")))
	}, "/teams/{teamId}/memberships/{membershipId}"),
	on(patch, teamWrite, ok, updateMembership, "/teams/{teamId}/memberships/{membershipId}"),
	on(del, teamWrite, none, func(c *call) (any, error) {
		return nil, c.teams().DeleteMembership(c.r.Context(), c.team(), c.r.PathValue("membershipId"))
	}, "/teams/{teamId}/memberships/{membershipId}"),
	on(patch, public, ok, acceptInvitation, "/teams/{teamId}/memberships/{membershipId}/status"),
	on(get, teamRead, ok, func(c *call) (any, error) {
		queries, total, err := c.queries()
		if err != nil {
			return nil, err
		}
		list, err := c.teams().Logs(c.r.Context(), c.team(), queries...)
		if err != nil {
			return nil, err
		}
		return c.logList(list, total), nil
	}, "/teams/{teamId}/logs"),
	on(get, reading, ok, listUserMemberships, "/users/{userId}/memberships"),
}

// teams returns the teams of the caller: the server's with the API key, otherwise the user's.
func (c *call) teams() *latchkey.Teams {
	if c.server {
		return c.engine.Teams().At(c.client)
	}
	return c.account.Teams()
}

func (c *call) team() string { return c.r.PathValue("teamId") }

func team(t *latchkey.Team, err error) (any, error) {
	if err != nil {
		return nil, err
	}
	return teamModel(t), nil
}

func (c *call) membership(m *latchkey.Membership, err error) (any, error) {
	if err != nil {
		return nil, err
	}
	return c.membershipModel(m), nil
}

// roles reads a list of roles, which may be missing.
func (c *call) roles() ([]string, error) {
	if c.params["roles"] == nil {
		return nil, nil
	}
	return c.list("roles")
}

func createTeam(c *call) (any, error) {
	id, err := c.id("teamId")
	if err != nil {
		return nil, err
	}
	name, err := c.text("name")
	if err != nil {
		return nil, err
	}
	roles, err := c.roles()
	if err != nil {
		return nil, err
	}
	if c.server {
		roles = nil // as documented
	}
	return team(c.teams().Create(c.r.Context(), latchkey.NewTeam{ID: id, Name: name, Roles: roles}))
}

// found reads the queries of a listing with a search.
func (c *call) found() (queries []latchkey.Query, total bool, err error) {
	if queries, total, err = c.queries(); err != nil {
		return nil, false, err
	}
	search, err := c.optional("search", "")
	if search != "" {
		queries = append(queries, query.Search(search))
	}
	return queries, total, err
}

func listTeams(c *call) (any, error) {
	queries, total, err := c.found()
	if err != nil {
		return nil, err
	}
	list, err := c.teams().List(c.r.Context(), queries...)
	if err != nil {
		return nil, err
	}
	teams := make([]object, 0, len(list.Teams))
	for _, t := range list.Teams {
		teams = append(teams, teamModel(t))
	}
	return object{"total": counted(list.Total, total), "teams": teams}, nil
}

func updateTeamName(c *call) (any, error) {
	name, err := c.text("name")
	if err != nil {
		return nil, err
	}
	return team(c.teams().UpdateName(c.r.Context(), c.team(), name))
}

func updateTeamPrefs(c *call) (any, error) {
	prefs, err := c.prefs()
	if err != nil {
		return nil, err
	}
	return c.teams().UpdatePrefs(c.r.Context(), c.team(), prefs)
}

func createMembership(c *call) (any, error) {
	roles, err := c.list("roles")
	if err != nil {
		return nil, err
	}
	n := latchkey.NewMembership{Roles: roles}
	for _, field := range []struct {
		name string
		to   *string
	}{{"userId", &n.UserID}, {"email", &n.Email}, {"phone", &n.Phone}, {"name", &n.Name}, {"url", &n.URL}} {
		if *field.to, err = c.optional(field.name, ""); err != nil {
			return nil, err
		}
	}
	return c.membership(c.teams().CreateMembership(c.r.Context(), c.team(), n))
}

// acceptInvitation makes the reader of an invitation a member: the user of the session, or else the
// owner of the address, whom it signs in.
func acceptInvitation(c *call) (any, error) {
	texts, err := c.texts("userId", "secret")
	if err != nil {
		return nil, err
	}
	link := latchkey.InvitationLink{TeamID: c.team(), MembershipID: c.r.PathValue("membershipId"), UserID: texts[0], Secret: hidden.New(texts[1])}
	if c.signedIn {
		return c.membership(c.account.AcceptInvitation(c.r.Context(), link))
	}
	made, err := c.guest().AcceptInvitation(c.r.Context(), link)
	if err != nil {
		return nil, err
	}
	c.signedInAs(made.Session)
	return c.membershipModel(made.Membership), nil
}

func listMemberships(c *call) (any, error) {
	queries, total, err := c.found()
	if err != nil {
		return nil, err
	}
	list, err := c.teams().Memberships(c.r.Context(), c.team(), queries...)
	return c.membershipList(list, total, err)
}

func listUserMemberships(c *call) (any, error) {
	queries, total, err := c.found()
	if err != nil {
		return nil, err
	}
	list, err := c.users().Memberships(c.r.Context(), c.user(), queries...)
	return c.membershipList(list, total, err)
}

func updateMembership(c *call) (any, error) {
	roles, err := c.list("roles")
	if err != nil {
		return nil, err
	}
	return c.membership(c.teams().UpdateMembership(c.r.Context(), c.team(), c.r.PathValue("membershipId"), roles))
}

func (c *call) membershipList(list *latchkey.MembershipList, total bool, err error) (any, error) {
	if err != nil {
		return nil, err
	}
	models := make([]object, 0, len(list.Memberships))
	for _, m := range list.Memberships {
		models = append(models, c.membershipModel(m))
	}
	return object{"total": counted(list.Total, total), "memberships": models}, nil
}

func teamModel(t *latchkey.Team) object {
	return object{
		"$id": t.ID, "$createdAt": date(t.CreatedAt), "$updatedAt": date(t.UpdatedAt), "name": t.Name, "total": t.Total, "prefs": t.Prefs,
	}
}

func (c *call) membershipModel(m *latchkey.Membership) object {
	model := object{
		"$id": m.ID, "$createdAt": date(m.CreatedAt), "$updatedAt": date(m.UpdatedAt), "userId": m.UserID, "userName": m.UserName,
		"userEmail": m.UserEmail, "teamId": m.TeamID, "teamName": m.TeamName, "invited": date(m.Invited),
		"joined": date(m.Joined), "confirm": m.Confirm, "mfa": m.MFA, "userAccessedAt": date(m.UserAccessedAt), "roles": m.Roles,
	}
	if c.newerThan(1, 9, 2) {
		model["userPhone"] = m.UserPhone
	}
	return model
}
