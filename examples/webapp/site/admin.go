package site

import (
	"errors"
	"net/http"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/permission"
	"example.com/latchkey/query"
)

func (a *app) adminRoutes() {
	a.mux.Handle("GET /admin/users", a.staff(a.users))
	a.mux.Handle("GET /admin/users/{user}", a.staff(a.user))
	a.mux.Handle("POST /admin/users/{user}/status", a.staff(a.setStatus))
	a.mux.Handle("POST /admin/users/{user}/sign-out", a.staff(a.signUserOut))
	a.mux.Handle("GET /admin/teams", a.staff(a.allTeams))
	a.mux.Handle("GET /admin/teams/{team}", a.staff(a.anyTeam))
}

// recent is how fresh the proof of a member of the staff must be who changes something.
const recent = 30 * time.Minute

// staff returns a handler for users with the label of the back office. Its existence is no secret, so the others
// are told that they may not see it. A change asks for a recent proof.
func (a *app) staff(fn func(w http.ResponseWriter, r *http.Request, v *view) error) http.Handler {
	return a.RequireProfile(func(w http.ResponseWriter, r *http.Request, account *latchkey.Account, profile *latchkey.Profile) error {
		if !profile.Roles.Has(permission.Label(AdminLabel)) {
			return latchkey.ErrUserUnauthorized
		}
		if r.Method == http.MethodPost {
			if err := account.RequireRecent(r.Context(), recent); err != nil {
				return err
			}
		}
		_ = r.ParseForm() // a form that cannot be read is an empty one
		v := a.newView(r, profile)
		v.staff = true
		return fn(w, r, v)
	})
}

// server returns the server's scope. The log has the address of the member of the staff.
func (a *app) server(r *http.Request) *latchkey.Users { return a.engine.Users().At(a.Client(r)) }

// found is a page of the users.
type found struct {
	*latchkey.UserList
	Search string
}

func (a *app) users(w http.ResponseWriter, r *http.Request, v *view) error {
	queries, search := append(pageOf(r), query.OrderDesc("$createdAt")), r.FormValue("search")
	if search != "" {
		queries = append(queries, query.Search(search))
	}
	list, err := a.server(r).List(r.Context(), queries...)
	if errors.Is(err, latchkey.ErrQueryInvalid) || errors.Is(err, latchkey.ErrArgumentInvalid) { // of a text that cannot be searched for
		list, err = new(latchkey.UserList), nil
	}
	if err != nil {
		return err
	}
	v.Data = found{list, search}
	return a.show(w, "admin-users", v)
}

// record is everything about a user that the back office shows.
type record struct {
	*latchkey.User
	Sessions []*latchkey.Session
	Teams    []*latchkey.Membership
	Logs     []*latchkey.Log
	latchkey.Pages
	Of string // the address of the page
}

func (a *app) user(w http.ResponseWriter, r *http.Request, v *view) (err error) {
	ctx, id, server := r.Context(), r.PathValue("user"), a.server(r)
	var u record
	if u.User, err = server.Get(ctx, id); err != nil {
		return err
	}
	sessions, err := server.Sessions(ctx, id)
	if err != nil {
		return err
	}
	teams, err := server.Memberships(ctx, id, query.Limit(100))
	if err != nil {
		return err
	}
	logs, err := server.Logs(ctx, id, pageOf(r)...)
	if err != nil {
		return err
	}
	u.Sessions, u.Teams, u.Logs, u.Pages, u.Of = sessions.Sessions, teams.Memberships, logs.Logs, logs.Pages, "/admin/users/"+id
	v.Data = u
	return a.show(w, "admin-user", v)
}

// setStatus blocks a user, or ends the block. Staff cannot lock themselves out.
func (a *app) setStatus(w http.ResponseWriter, r *http.Request, v *view) error {
	id, status := r.PathValue("user"), r.FormValue("status")
	if id == v.User.ID {
		return latchkey.ErrUserUnauthorized
	}
	open := status == "open"
	if !open && status != "blocked" {
		return errForm
	}
	if _, err := a.server(r).UpdateStatus(r.Context(), id, open); err != nil {
		return err
	}
	if open {
		return to(w, r, "/admin/users/"+id+"?done=unblocked")
	}
	return to(w, r, "/admin/users/"+id+"?done=blocked")
}

func (a *app) signUserOut(w http.ResponseWriter, r *http.Request, v *view) error {
	if err := a.server(r).DeleteSessions(r.Context(), r.PathValue("user")); err != nil {
		return err
	}
	return to(w, r, "/admin/users/"+r.PathValue("user")+"?done=signed-out-user")
}

// foundTeams is a page of the teams.
type foundTeams struct {
	*latchkey.TeamList
	Search string
}

func (a *app) allTeams(w http.ResponseWriter, r *http.Request, v *view) error {
	queries, search := pageOf(r), r.FormValue("search")
	if search != "" {
		queries = append(queries, query.Search(search))
	}
	list, err := a.engine.Teams().List(r.Context(), queries...)
	if errors.Is(err, latchkey.ErrQueryInvalid) || errors.Is(err, latchkey.ErrArgumentInvalid) {
		list, err = new(latchkey.TeamList), nil
	}
	if err != nil {
		return err
	}
	v.Data = foundTeams{list, search}
	return a.show(w, "admin-teams", v)
}

func (a *app) anyTeam(w http.ResponseWriter, r *http.Request, v *view) error {
	team, err := a.engine.Teams().Get(r.Context(), r.PathValue("team"))
	if err != nil {
		return err
	}
	list, err := a.engine.Teams().Memberships(r.Context(), team.ID, query.Limit(100))
	if err != nil {
		return err
	}
	logs, err := a.engine.Teams().Logs(r.Context(), team.ID, pageOf(r)...)
	if err != nil {
		return err
	}
	v.Data = struct {
		*latchkey.Team
		Members []*latchkey.Membership
		Logs    []*latchkey.Log
		latchkey.Pages
		Of string
	}{team, list.Memberships, logs.Logs, logs.Pages, "/admin/teams/" + team.ID}
	return a.show(w, "admin-team", v)
}
