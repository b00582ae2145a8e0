package site

import (
	"net/http"

	"example.com/latchkey"
	"example.com/latchkey/query"
)

func (a *app) teamRoutes() {
	a.mux.Handle("GET /teams", a.RequireProfile(a.teams))
	a.mux.Handle("POST /teams", a.RequireProfile(a.createTeam))
	a.mux.Handle("GET /teams/{team}", a.RequireProfile(a.team))
	a.mux.Handle("POST /teams/{team}/members", a.RequireProfile(a.invite))
	a.mux.Handle("POST /teams/{team}/members/{member}/remove", a.RequireProfile(a.removeMember))
	a.mux.Handle("POST /teams/{team}/delete", a.RequireProfile(a.deleteTeam))
}

func (a *app) teams(w http.ResponseWriter, r *http.Request, account *latchkey.Account, profile *latchkey.Profile) error {
	return a.showTeams(w, r, account, profile, nil)
}

func (a *app) showTeams(w http.ResponseWriter, r *http.Request, account *latchkey.Account, profile *latchkey.Profile, failed error) error {
	list, err := account.Teams().List(r.Context(), query.Limit(100))
	if err != nil {
		return err
	}
	v := a.newView(r, profile)
	v.Data = list.Teams
	if failed != nil {
		if err := v.refused(failed); err != nil {
			return err
		}
	}
	return a.show(w, "teams", v)
}

func (a *app) createTeam(w http.ResponseWriter, r *http.Request, account *latchkey.Account, profile *latchkey.Profile) error {
	team, err := account.Teams().Create(r.Context(), latchkey.NewTeam{Name: r.FormValue("name")})
	if err != nil {
		return a.showTeams(w, r, account, profile, err)
	}
	return to(w, r, "/teams/"+team.ID)
}

// members is what the page of a team shows.
type members struct {
	*latchkey.Team
	Members []*latchkey.Membership
	Owner   bool   // the user is an owner of the team
	Own     string // the membership of the user
}

func (a *app) team(w http.ResponseWriter, r *http.Request, account *latchkey.Account, profile *latchkey.Profile) error {
	return a.showTeam(w, r, account, profile, nil)
}

func (a *app) showTeam(w http.ResponseWriter, r *http.Request, account *latchkey.Account, profile *latchkey.Profile, failed error) error {
	team, err := account.Teams().Get(r.Context(), r.PathValue("team"))
	if err != nil {
		return err
	}
	list, err := account.Teams().Memberships(r.Context(), team.ID, query.Limit(100))
	if err != nil {
		return err
	}
	v := a.newView(r, profile)
	m := members{Team: team, Members: list.Memberships}
	for _, member := range list.Memberships {
		if member.UserID == account.UserID() {
			m.Own, m.Owner = member.ID, isOwner(member)
		}
	}
	v.Data = m
	if failed != nil {
		if err := v.refused(failed); err != nil {
			return err
		}
	}
	return a.show(w, "team", v)
}

// isOwner reports whether a member is an owner of the team.
func isOwner(m *latchkey.Membership) bool {
	for _, role := range m.Roles {
		if role == latchkey.TeamOwner {
			return m.Confirm
		}
	}
	return false
}

func (a *app) invite(w http.ResponseWriter, r *http.Request, account *latchkey.Account, profile *latchkey.Profile) error {
	n := latchkey.NewMembership{Email: r.FormValue("email"), URL: a.URL("/link/invitation")}
	if r.FormValue("owner") != "" {
		n.Roles = []string{latchkey.TeamOwner}
	}
	if _, err := account.Teams().CreateMembership(r.Context(), r.PathValue("team"), n); err != nil {
		return a.showTeam(w, r, account, profile, err)
	}
	return to(w, r, "/teams/"+r.PathValue("team")+"?done=invited")
}

// removeMember ends a membership or an invitation. Members may end their own.
func (a *app) removeMember(w http.ResponseWriter, r *http.Request, account *latchkey.Account, profile *latchkey.Profile) error {
	team, id := r.PathValue("team"), r.PathValue("member")
	member, err := account.Teams().GetMembership(r.Context(), team, id)
	if err == nil {
		err = account.Teams().DeleteMembership(r.Context(), team, id)
	}
	if err != nil {
		return a.showTeam(w, r, account, profile, err)
	}
	if member.UserID == account.UserID() {
		return to(w, r, "/teams?done=left")
	}
	return to(w, r, "/teams/"+team+"?done=removed")
}

func (a *app) deleteTeam(w http.ResponseWriter, r *http.Request, account *latchkey.Account, profile *latchkey.Profile) error {
	if err := account.Teams().Delete(r.Context(), r.PathValue("team")); err != nil {
		return a.showTeam(w, r, account, profile, err)
	}
	return to(w, r, "/teams?done=team-deleted")
}
