package site

import (
	"errors"
	"net/http"

	"example.com/latchkey"
	"example.com/latchkey/query"
)

func (a *app) accountRoutes() {
	a.mux.Handle("GET /account", a.RequireProfile(a.accountPage))
	a.mux.Handle("POST /account/name", a.RequireProfile(a.changeName))
	a.mux.Handle("POST /account/email", a.RequireProfile(a.changeEmail))
	a.mux.Handle("POST /account/password", a.RequireProfile(a.changePassword))
	a.mux.Handle("POST /account/services/unlink", a.Require(a.unlink))
	a.mux.Handle("GET /account/sessions", a.RequireProfile(a.sessions))
	a.mux.Handle("POST /account/sessions/end", a.Require(a.endSession))
	a.mux.Handle("POST /account/sessions/end-all", a.Require(a.endSessions))
	a.mux.Handle("GET /account/log", a.RequireProfile(a.history))
	a.mux.Handle("GET /account/delete", a.RequireProfile(a.deletePage))
	a.mux.Handle("POST /account/delete", a.RequireProfile(a.deleteAccount))
}

// overview is what the page of the account shows.
type overview struct {
	Identities []*latchkey.Identity
	Service    bool // there is a service to link
}

func (a *app) accountPage(w http.ResponseWriter, r *http.Request, account *latchkey.Account, profile *latchkey.Profile) error {
	return a.showAccount(w, r, account, profile, nil)
}

func (a *app) showAccount(w http.ResponseWriter, r *http.Request, account *latchkey.Account, profile *latchkey.Profile, failed error) error {
	_ = r.ParseForm() // a form that cannot be read is an empty one
	v := a.newView(r, profile)
	if failed != nil {
		if err := v.refused(failed); err != nil {
			return err
		}
	}
	o := overview{Service: a.service}
	if a.service {
		list, err := account.Identities(r.Context())
		if err != nil {
			return err
		}
		o.Identities = list.Identities
	}
	v.Data = o
	return a.show(w, "account", v)
}

func (a *app) changeName(w http.ResponseWriter, r *http.Request, account *latchkey.Account, profile *latchkey.Profile) error {
	if _, err := account.UpdateName(r.Context(), r.FormValue("name")); err != nil {
		return a.showAccount(w, r, account, profile, err)
	}
	return to(w, r, "/account?done=name")
}

// changeEmail sends a link to a new address. The account keeps the old one until the link was opened.
func (a *app) changeEmail(w http.ResponseWriter, r *http.Request, account *latchkey.Account, profile *latchkey.Profile) error {
	n := latchkey.NewEmailChange{Email: r.FormValue("email"), URL: a.URL("/link/email")}
	if _, err := account.CreateEmailChange(r.Context(), n, r.FormValue("password")); err != nil {
		return a.showAccount(w, r, account, profile, err)
	}
	return to(w, r, "/account?done=email-asked")
}

func (a *app) changePassword(w http.ResponseWriter, r *http.Request, account *latchkey.Account, profile *latchkey.Profile) error {
	if _, err := account.UpdatePassword(r.Context(), latchkey.PasswordUpdate{New: r.FormValue("password"), Old: r.FormValue("old")}); err != nil {
		return a.showAccount(w, r, account, profile, err)
	}
	return to(w, r, "/account?done=password")
}

func (a *app) unlink(w http.ResponseWriter, r *http.Request, account *latchkey.Account) error {
	if err := account.DeleteIdentity(r.Context(), r.FormValue("id")); err != nil {
		return err
	}
	if _, err := a.Authenticate(r); errors.Is(err, latchkey.ErrUnauthorized) { // the session was one by that service
		a.Ended(w, r, account)
		return to(w, r, "/sign-in?done=unlinked")
	}
	return to(w, r, "/account?done=unlinked")
}

func (a *app) sessions(w http.ResponseWriter, r *http.Request, account *latchkey.Account, profile *latchkey.Profile) error {
	list, err := account.Sessions(r.Context())
	if err != nil {
		return err
	}
	v := a.newView(r, profile)
	v.Data = list.Sessions
	return a.show(w, "sessions", v)
}

func (a *app) endSession(w http.ResponseWriter, r *http.Request, account *latchkey.Account) error {
	id := r.FormValue("id")
	if id == account.SessionID() {
		return a.signOut(w, r)
	}
	if err := account.DeleteSession(r.Context(), id); err != nil {
		return err
	}
	return to(w, r, "/account/sessions?done=ended")
}

func (a *app) endSessions(w http.ResponseWriter, r *http.Request, account *latchkey.Account) error {
	if err := account.DeleteSessions(r.Context()); err != nil {
		return err
	}
	a.Ended(w, r, account)
	return to(w, r, "/?done=signed-out")
}

// listing is a page of the log.
type listing struct {
	Logs []*latchkey.Log
	latchkey.Pages
	Of string // the address of the listing
}

// pageOf returns the queries for the page of a listing that a request asks for.
func pageOf(r *http.Request) []latchkey.Query {
	if token := r.FormValue("page"); token != "" {
		return []latchkey.Query{query.Page(token), query.Limit(pageSize)}
	}
	return []latchkey.Query{query.Limit(pageSize)}
}

const pageSize = 20

func (a *app) history(w http.ResponseWriter, r *http.Request, account *latchkey.Account, profile *latchkey.Profile) error {
	list, err := account.Logs(r.Context(), pageOf(r)...)
	if err != nil {
		return err
	}
	v := a.newView(r, profile)
	v.Data = listing{list.Logs, list.Pages, "/account/log"}
	return a.show(w, "log", v)
}

func (a *app) deletePage(w http.ResponseWriter, r *http.Request, account *latchkey.Account, profile *latchkey.Profile) error {
	return a.show(w, "delete", a.newView(r, profile))
}

// deleteAccount deletes the account if its user has typed in the address.
func (a *app) deleteAccount(w http.ResponseWriter, r *http.Request, account *latchkey.Account, profile *latchkey.Profile) error {
	if r.FormValue("email") != profile.User.Email {
		v := a.newView(r, profile)
		v.status, v.Errors["email"] = http.StatusBadRequest, v.T("This is not the address of the account.")
		return a.show(w, "delete", v)
	}
	if err := account.Delete(r.Context()); err != nil {
		return err
	}
	a.Ended(w, r, account)
	return to(w, r, "/?done=deleted")
}
