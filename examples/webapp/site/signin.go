package site

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/web"
)

// visitLength is how long a session of a user lives who does not want to stay signed in.
const visitLength = 12 * time.Hour

func (a *app) signInRoutes() {
	a.mux.Handle("GET /sign-up", a.Handle(a.page("sign-up")))
	a.mux.Handle("POST /sign-up", a.Handle(a.signUp))
	a.mux.Handle("GET /sign-in", a.Handle(a.page("sign-in")))
	a.mux.Handle("POST /sign-in", a.Handle(a.signIn))
	a.mux.Handle("POST /sign-in/link", a.Handle(a.askLink))
	a.mux.Handle("POST /sign-in/code", a.Handle(a.askCode))
	a.mux.Handle("POST /sign-in/code/type", a.Handle(a.typeCode))
	a.mux.Handle("POST /sign-out", a.Handle(a.signOut))
	a.mux.Handle("GET /recover", a.Handle(a.page("recover")))
	a.mux.Handle("POST /recover", a.Handle(a.askRecovery))
	a.mux.Handle("GET /sent", a.Handle(a.page("sent")))
	a.mux.Handle("GET /verify", a.Unverified(a.verify))
	a.mux.Handle("POST /verify", a.Unverified(a.verifyAgain))
	a.mux.Handle("POST /verify/email", a.Unverified(a.verifyOther))
	a.mux.Handle("POST /sign-in/service", a.Optional(a.startService))
	a.mux.Handle("/callback/service", a.OAuth2Callback(serviceName, a.finishService))
}

// page returns a handler that shows a page to anybody.
func (a *app) page(name string) func(http.ResponseWriter, *http.Request) error {
	return func(w http.ResponseWriter, r *http.Request) error { return a.show(w, name, a.viewOf(r)) }
}

// viewOf returns the view of a page for anybody. Its form is read.
func (a *app) viewOf(r *http.Request) *view {
	_ = r.ParseForm() // a form that cannot be read is an empty one
	return a.newView(r, a.profileOf(r))
}

// again shows a page again with an error in it.
func (a *app) again(w http.ResponseWriter, r *http.Request, page string, err error) error {
	v := a.viewOf(r)
	if err := v.refused(err); err != nil {
		return err
	}
	return a.show(w, page, v)
}

// client returns the client of a form with the box "stay signed in", and whether it is ticked.
func (a *app) client(r *http.Request) (guest *latchkey.Guest, stay bool) {
	client := a.Client(r)
	if stay = r.FormValue("stay") != ""; !stay {
		client.SessionLength = visitLength
	}
	return a.engine.Guest(client), stay
}

// keep sets the cookie of a new session, and leads to the page that the user wanted.
func (a *app) keep(w http.ResponseWriter, r *http.Request, session *latchkey.Session, stay bool) error {
	if stay {
		a.SignIn(w, r, session)
	} else {
		a.SignInForVisit(w, r, session)
	}
	return to(w, r, afterwards(r))
}

// afterwards returns the page after a sign-in.
func afterwards(r *http.Request) string {
	if next := web.Next(r); next != "/" {
		return next
	}
	return "/account"
}

// signUp makes an account, signs its user in, and sends the link that confirms the address.
func (a *app) signUp(w http.ResponseWriter, r *http.Request) error {
	guest, stay := a.client(r)
	n := latchkey.NewAccount{Email: r.FormValue("email"), Password: r.FormValue("password"), Name: r.FormValue("name")}
	if _, err := guest.CreateAccount(r.Context(), n); err != nil {
		return a.again(w, r, "sign-up", err)
	}
	session, err := guest.CreateEmailPasswordSession(r.Context(), n.Email, n.Password)
	if err != nil {
		return a.again(w, r, "sign-in", err)
	}
	_, err = guest.Authenticate(r.Context(), session.Secret.Reveal())
	if unproven, is := errors.AsType[*latchkey.UnverifiedEmailError](err); is {
		if _, err := unproven.Unverified.CreateEmailVerification(r.Context(), a.URL("/link/verify")); err != nil {
			return err
		}
	}
	return a.keep(w, r, session, stay)
}

// signIn signs a user in by password.
func (a *app) signIn(w http.ResponseWriter, r *http.Request) error {
	guest, stay := a.client(r)
	session, err := guest.CreateEmailPasswordSession(r.Context(), r.FormValue("email"), r.FormValue("password"))
	if err != nil {
		return a.again(w, r, "sign-in", err)
	}
	return a.keep(w, r, session, stay)
}

// askLink sends a link that signs in. The answer is the same for every address.
func (a *app) askLink(w http.ResponseWriter, r *http.Request) error {
	next := afterwards(r)
	if len(next) > 100 || strings.Contains(next, "?") { // a stranger asks too, and must not write into the mail
		next = "/account"
	}
	link := a.URL("/link/sign-in?" + url.Values{"next": {next}}.Encode())
	if _, err := a.Guest(r).CreateMagicURLToken(r.Context(), latchkey.NewMagicURLToken{Email: r.FormValue("email"), URL: link}); err != nil {
		return a.again(w, r, "sign-in", err)
	}
	return to(w, r, "/sent")
}

// askCode sends a code that signs in, and shows the page that takes it.
func (a *app) askCode(w http.ResponseWriter, r *http.Request) error {
	token, err := a.Guest(r).CreateEmailToken(r.Context(), latchkey.NewEmailToken{Email: r.FormValue("email"), Phrase: true})
	if err != nil {
		return a.again(w, r, "sign-in", err)
	}
	v := a.viewOf(r)
	v.Form.Set("user", token.UserID)
	v.Form.Set("phrase", token.Phrase)
	return a.show(w, "code", v)
}

// typeCode signs in by a code.
func (a *app) typeCode(w http.ResponseWriter, r *http.Request) error {
	guest, stay := a.client(r)
	session, err := guest.CreateSession(r.Context(), r.FormValue("user"), r.FormValue("code"))
	if err != nil {
		return a.again(w, r, "code", err)
	}
	return a.keep(w, r, session, stay)
}

func (a *app) signOut(w http.ResponseWriter, r *http.Request) error {
	if err := a.SignOut(w, r); err != nil {
		return err
	}
	return to(w, r, "/?done=signed-out")
}

// askRecovery sends a link to a new password. The answer is the same for every address.
func (a *app) askRecovery(w http.ResponseWriter, r *http.Request) error {
	link := a.URL("/link/recover?" + url.Values{"email": {r.FormValue("email")}}.Encode()) // for password managers
	if _, err := a.Guest(r).CreateRecovery(r.Context(), latchkey.NewRecovery{Email: r.FormValue("email"), URL: link}); err != nil {
		return a.again(w, r, "recover", err)
	}
	return to(w, r, "/sent")
}

// verify is the page of a user who has not confirmed the address.
func (a *app) verify(w http.ResponseWriter, r *http.Request, user *latchkey.Unverified) error {
	return a.showVerify(w, r, user, nil)
}

func (a *app) showVerify(w http.ResponseWriter, r *http.Request, user *latchkey.Unverified, failed error) error {
	email, err := user.Email(r.Context())
	if err != nil {
		return err
	}
	v := a.viewOf(r)
	v.Data, v.Half = email, true
	if failed != nil {
		if err := v.refused(failed); err != nil {
			return err
		}
	}
	return a.show(w, "verify", v)
}

// verifyAgain sends the link once more.
func (a *app) verifyAgain(w http.ResponseWriter, r *http.Request, user *latchkey.Unverified) error {
	if _, err := user.CreateEmailVerification(r.Context(), a.URL("/link/verify")); err != nil {
		return a.showVerify(w, r, user, err)
	}
	return to(w, r, "/verify?done=sent")
}

// verifyOther corrects the address, and sends the link there.
func (a *app) verifyOther(w http.ResponseWriter, r *http.Request, user *latchkey.Unverified) error {
	err := user.UpdateEmail(r.Context(), r.FormValue("email"), r.FormValue("password"))
	if err == nil {
		_, err = user.CreateEmailVerification(r.Context(), a.URL("/link/verify"))
	}
	if err != nil {
		return a.showVerify(w, r, user, err)
	}
	return to(w, r, "/verify?done=sent")
}

// serviceName is the name of the provider of the other service.
const serviceName = "oidc"

// startService sends the browser to the other service, to sign in by it or to link it.
func (a *app) startService(w http.ResponseWriter, r *http.Request, account *latchkey.Account) error {
	begin, next := a.Guest(r).StartOAuth2, afterwards(r)
	if account != nil {
		begin, next = account.StartOAuth2, "/account?done=linked"
	}
	start, err := begin(r.Context(), latchkey.OAuth2Request{Provider: serviceName, RedirectURL: a.URL("/callback/service"), Success: a.URL(next)})
	if err != nil {
		return err
	}
	return a.StartOAuth2(w, r, start)
}

// finishService takes the browser back from the other service.
func (a *app) finishService(w http.ResponseWriter, r *http.Request, result *latchkey.OAuth2Result, err error) error {
	if errors.Is(err, latchkey.ErrProviderRefused) { // the user has changed their mind
		return to(w, r, "/sign-in")
	}
	if err != nil {
		v := a.viewOf(r)
		v.Path = "/sign-in" // the address is good once
		if err := v.refused(err); err != nil {
			return err
		}
		return a.show(w, "sign-in", v)
	}
	return to(w, r, result.Success) // the engine has kept it
}
