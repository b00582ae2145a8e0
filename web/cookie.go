package web

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"example.com/latchkey"
)

// cookieLife is how long a cookie of a user who stays signed in lasts: the longest that browsers allow.
// The engine decides when the session ends.
const cookieLife = 400 * 24 * time.Hour

// visit begins the value of a cookie that ends with the visit. The secret follows.
const visit = "visit."

// hostName returns the name of a cookie that no other host and no plain http can set. Browsers know
// the prefix with Secure alone.
func (s *Site) hostName(name string) string {
	if s.secure() {
		return "__Host-" + name
	}
	return name
}

// cookie returns a cookie of the site that scripts cannot read, and that requests of other sites do not
// carry, except for links to pages.
func (s *Site) cookie(name, value string) *http.Cookie {
	return &http.Cookie{
		Name: s.hostName(name), Value: value, Path: "/", Secure: s.secure(), HttpOnly: true, SameSite: http.SameSiteLaxMode,
	}
}

// only returns the value of a cookie; "" if the request has none, or two with different values.
func (s *Site) only(r *http.Request, name string) string {
	value := ""
	for i, c := range r.CookiesNamed(s.hostName(name)) {
		if i > 0 && c.Value != value {
			return ""
		}
		value = c.Value
	}
	return value
}

// Secret returns the secret of the session that a request brings, by its cookie, or under Config.Bearer
// by its Authorization header; "" if it brings none. It is not checked.
func (s *Site) Secret(r *http.Request) string {
	if header, found := r.Header["Authorization"]; found && s.config.Bearer {
		scheme, secret, _ := strings.Cut(header[0], " ")
		if len(header) > 1 || !strings.EqualFold(scheme, "Bearer") {
			return ""
		}
		return strings.TrimSpace(secret)
	}
	return strings.TrimPrefix(s.only(r, s.config.Cookie), visit)
}

// SignIn sets the cookie of a new session, with which the user stays signed in at this browser until
// the session ends, and at most 400 days. If the request brings another session, that one ends: the
// user has replaced it. Without a session, that is after an error, SignIn does nothing.
func (s *Site) SignIn(w http.ResponseWriter, r *http.Request, session *latchkey.Session) {
	s.signIn(w, r, session, "")
}

// SignInForVisit is [Site.SignIn] with a cookie that the browser forgets when it is closed. A browser
// that restores its windows may keep the cookie, so the session should be a short one too:
// SessionLength of [latchkey.Client].
func (s *Site) SignInForVisit(w http.ResponseWriter, r *http.Request, session *latchkey.Session) {
	s.signIn(w, r, session, visit)
}

func (s *Site) signIn(w http.ResponseWriter, r *http.Request, session *latchkey.Session, prefix string) {
	if session == nil || session.Secret.IsZero() {
		return
	}
	if former := s.only(r, s.config.Cookie); former != "" {
		// The user is signed in either way. The engine has logged a fault.
		_ = s.end(r, strings.TrimPrefix(former, visit), session.ID)
	}
	s.setSession(w, prefix, session)
}

func (s *Site) setSession(w http.ResponseWriter, prefix string, session *latchkey.Session) {
	c := s.cookie(s.config.Cookie, prefix+session.Secret.Reveal())
	if prefix == "" {
		c.MaxAge = int(cookieLife / time.Second)
	}
	http.SetCookie(w, c)
}

// Renew sets the cookie anew if the session of the request has a new secret, as after
// ConfirmMFAChallenge, ConfirmPassword and RotateSession. A cookie that ends with the visit stays one. If
// the session has kept its secret, or the request has brought it by its Authorization header, the cookie
// stays as it is.
func (s *Site) Renew(w http.ResponseWriter, r *http.Request, session *latchkey.Session) {
	former := s.only(r, s.config.Cookie)
	if session == nil || session.Secret.IsZero() || former == "" || s.Secret(r) != strings.TrimPrefix(former, visit) {
		return
	}
	prefix := ""
	if strings.HasPrefix(former, visit) {
		prefix = visit
	}
	s.setSession(w, prefix, session)
}

// SignOut ends the session of the request and clears the cookie. It does so for a session that owes a
// factor or a verified address too. A session that has ended already, or none, is no error.
//
// The cookie is cleared only if its secret is the session's present one: a request that was on its way with a
// former secret must not clear the cookie that has a new one by now. The answer to it is
// [latchkey.ErrSessionRenewed], and the user signs out again. A cookie of a session that has ended proves
// nothing, and stays until the next sign-in.
//
// The browser also forgets the pages that it keeps for its back button (Clear-Site-Data). Chrome keeps some
// in spite of the rule not to store them, and would show them to the next person at the machine.
func (s *Site) SignOut(w http.ResponseWriter, r *http.Request) error {
	err := s.end(r, s.Secret(r), "")
	switch {
	case errors.Is(err, latchkey.ErrUnauthorized):
		w.Header().Set("Clear-Site-Data", forgetPages)
		return nil
	case errors.Is(err, latchkey.ErrUserBlocked), errors.Is(err, latchkey.ErrPasswordResetRequired):
		// The session lives and cannot be ended by its user, but the browser can forget it.
	case err != nil:
		return err
	}
	s.forget(w, r)
	return nil
}

// Ended has the browser forget the session of an account that a handler has ended, as
// [latchkey.Account.DeleteSessions] and [latchkey.Account.Delete] do. It clears the cookie and the pages of
// the browser, as [Site.SignOut] does. SignOut and Ended are the only places where the cookie is cleared.
func (s *Site) Ended(w http.ResponseWriter, r *http.Request, account *latchkey.Account) {
	if account.SessionID() != "" { // the request had the session's present secret
		s.forget(w, r)
	}
}

// forgetPages clears the caches of a browser for this site.
const forgetPages = `"cache"`

// forget clears the cookie, and the pages that the browser keeps. It takes both: Chrome forgets the page
// that the user is leaving only if the cookie changes.
func (s *Site) forget(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Clear-Site-Data", forgetPages)
	if s.only(r, s.config.Cookie) != "" {
		c := s.cookie(s.config.Cookie, "")
		c.MaxAge = -1
		http.SetCookie(w, c)
	}
}

// end ends the session of a secret, unless it is the kept one.
func (s *Site) end(r *http.Request, secret, kept string) error {
	if secret == "" {
		return latchkey.ErrUnauthorized
	}
	account, err := s.Guest(r).Authenticate(r.Context(), secret)
	session, end := account.SessionID(), func(ctx context.Context) error {
		return account.DeleteSession(ctx, latchkey.CurrentSession)
	}
	if owing, is := errors.AsType[*latchkey.MoreFactorsError](err); is {
		session, end, err = owing.Pending.SessionID(), owing.Pending.DeleteSession, nil
	} else if unproven, is := errors.AsType[*latchkey.UnverifiedEmailError](err); is {
		session, end, err = unproven.Unverified.SessionID(), unproven.Unverified.DeleteSession, nil
	}
	if err != nil || session == kept {
		return err
	}
	return end(r.Context())
}
