package site

import (
	"errors"
	"net/http"
	"net/url"

	"example.com/latchkey"
	"example.com/latchkey/hidden"
)

func (a *app) linkRoutes() {
	for _, l := range []struct {
		path string
		open func(http.ResponseWriter, *http.Request) error
	}{
		{"sign-in", a.openSignIn}, {"verify", a.openVerification}, {"recover", a.openRecovery},
		{"email", a.openChange}, {"restore", a.openRestore}, {"invitation", a.openInvitation},
	} {
		a.mux.Handle("GET /link/"+l.path, a.Handle(a.lookAt(l.path)))
		a.mux.Handle("POST /link/"+l.path, a.Handle(l.open))
	}
}

// lookAt returns the handler of the page of a link. It uses nothing up, because programs open the links in
// mails before their readers do: the reader presses a button.
func (a *app) lookAt(path string) func(http.ResponseWriter, *http.Request) error {
	return func(w http.ResponseWriter, r *http.Request) error {
		v := a.viewOf(r)
		if path != "invitation" {
			if _, err := a.Guest(r).InspectToken(r.Context(), r.FormValue("userId"), r.FormValue("secret")); err != nil {
				return a.deadLink(w, v, err)
			}
		}
		if path == "email" { // for a session of its user alone
			if _, err := a.Authenticate(r); err != nil {
				return err
			}
		}
		return a.show(w, "link-"+path, v)
	}
}

// deadLink is the page of a link that is no longer good.
func (a *app) deadLink(w http.ResponseWriter, v *view, err error) error {
	if err := v.refused(err); err != nil {
		return err
	}
	return a.show(w, "dead-link", v)
}

// opened shows the page of a link again if the error is about one of its fields, and otherwise the page of a
// dead link.
func (a *app) opened(w http.ResponseWriter, r *http.Request, page string, err error) error {
	v := a.viewOf(r)
	if answer, is := errors.AsType[*latchkey.Error](err); is && answer.Argument != "" && page != "" {
		if err := v.refused(err); err != nil {
			return err
		}
		return a.show(w, page, v)
	}
	return a.deadLink(w, v, err)
}

func (a *app) openSignIn(w http.ResponseWriter, r *http.Request) error {
	guest, stay := a.client(r)
	session, err := guest.CreateSession(r.Context(), r.FormValue("userId"), r.FormValue("secret"))
	if err != nil {
		return a.opened(w, r, "", err)
	}
	return a.keep(w, r, session, stay)
}

// openVerification confirms an address. Its user goes on to the account if this browser is signed in.
func (a *app) openVerification(w http.ResponseWriter, r *http.Request) error {
	userID := r.FormValue("userId")
	_, err := a.ConfirmEmailVerification(r, userID, r.FormValue("secret"))
	switch {
	case errors.Is(err, latchkey.ErrUnauthorized): // the link is used up: its user signs in and asks for another
		return to(w, r, "/sign-in?next=/account")
	case err != nil && !errors.Is(err, latchkey.ErrEmailAlreadyVerified):
		return a.opened(w, r, "", err)
	}
	if account, err := a.Authenticate(r); err == nil && account.UserID() == userID {
		return to(w, r, "/account?done=verified")
	}
	return to(w, r, "/sign-in?done=verified")
}

func (a *app) openRecovery(w http.ResponseWriter, r *http.Request) error {
	if _, err := a.Guest(r).ConfirmRecovery(r.Context(), r.FormValue("userId"), r.FormValue("secret"), r.FormValue("password")); err != nil {
		return a.opened(w, r, "link-recover", err)
	}
	return to(w, r, "/sign-in?done=recovered")
}

// openChange makes a new address that of the account. The user is signed in, and their old address gets a link
// that undoes it.
func (a *app) openChange(w http.ResponseWriter, r *http.Request) error {
	account, err := a.Authenticate(r)
	if err != nil {
		return err
	}
	old, err := account.User(r.Context())
	if err != nil {
		return err
	}
	undo := a.URL("/link/restore?" + url.Values{"email": {old.Email}}.Encode())
	if _, err := account.ConfirmEmailChange(r.Context(), r.FormValue("secret"), undo); err != nil {
		return a.opened(w, r, "", err)
	}
	return to(w, r, "/account?done=email")
}

func (a *app) openRestore(w http.ResponseWriter, r *http.Request) error {
	token, err := a.Guest(r).RestoreAddress(r.Context(), r.FormValue("userId"), r.FormValue("secret"))
	if err != nil {
		return a.opened(w, r, "", err)
	}
	if token.Secret.IsZero() { // the account has no password
		return to(w, r, "/sign-in?done=restored")
	}
	v := a.viewOf(r)
	v.Form.Set("userId", token.UserID)
	v.Form.Set("secret", token.Secret.Reveal())
	v.Done = v.T("The address is yours again. Set a new password now.")
	return a.show(w, "link-recover", v)
}

// openInvitation accepts or declines an invitation to a team.
func (a *app) openInvitation(w http.ResponseWriter, r *http.Request) error {
	link := latchkey.InvitationLink{
		TeamID: r.FormValue("teamId"), MembershipID: r.FormValue("membershipId"), UserID: r.FormValue("userId"), Secret: hidden.New(r.FormValue("secret")),
	}
	if r.FormValue("answer") == "decline" {
		if err := a.Guest(r).DeclineInvitation(r.Context(), link); err != nil {
			return a.opened(w, r, "", err)
		}
		return to(w, r, "/?done=declined")
	}
	account, err := a.Authenticate(r)
	if err == nil {
		if _, err := account.AcceptInvitation(r.Context(), link); err != nil {
			return a.opened(w, r, "", err)
		}
		return to(w, r, "/teams/"+link.TeamID+"?done=joined")
	}
	if errors.Is(err, latchkey.ErrSessionRenewed) { // the user is signed in
		return err
	}
	guest, stay := a.client(r)
	accepted, err := guest.AcceptInvitation(r.Context(), link)
	if err != nil {
		return a.opened(w, r, "", err)
	}
	if stay {
		a.SignIn(w, r, accepted.Session)
	} else {
		a.SignInForVisit(w, r, accepted.Session)
	}
	return to(w, r, "/teams/"+link.TeamID+"?done=joined")
}
