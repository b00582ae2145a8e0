package web

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/url"
	"strings"
	"time"

	"example.com/latchkey"
)

// bindingName returns the name of the cookie of one start of a sign-in, so that starts in two tabs do not
// meet.
func bindingName(state string) string {
	sum := sha256.Sum256([]byte(state))
	return "oauth2-" + hex.EncodeToString(sum[:8])
}

// StartOAuth2 sends the browser to another service after [latchkey.Guest.StartOAuth2] or
// [latchkey.Account.StartOAuth2]. It keeps the value that ties the sign-in to the browser in a cookie for as
// long as the start is good. A handler on POST calls it: the start of a page of another site would sign
// the user in without being asked.
func (s *Site) StartOAuth2(w http.ResponseWriter, r *http.Request, start *latchkey.OAuth2Start) error {
	address, err := url.Parse(start.URL)
	if err != nil {
		return err
	}
	if !start.Binding.IsZero() {
		c := s.cookie(bindingName(address.Query().Get("state")), start.Binding.Reveal())
		c.MaxAge = int(max(time.Until(start.Expire), time.Minute) / time.Second)
		http.SetCookie(w, c)
	}
	http.Redirect(w, r, start.URL, http.StatusSeeOther)
	return nil
}

// OAuth2Callback returns a handler for the address to which a service sends the browser back. It finishes
// the sign-in by [latchkey.Guest.FinishOAuth2]. A new session gets its cookie as by [Site.SignIn], and the
// session of an account that was linked keeps its own. The function leads to a page then. If the sign-in has
// failed, result is nil, and err is the error of FinishOAuth2, which the function may return.
//
// The handler serves GET and POST: a service that answers by a form post comes back once more by GET. Other
// methods use up no sign-in, and are answered with status 405. [Site.Protect] refuses the form post of another
// site, so for such a service the host does not wrap this handler in it.
func (s *Site) OAuth2Callback(provider string, fn func(w http.ResponseWriter, r *http.Request, result *latchkey.OAuth2Result, err error) error) http.Handler {
	return s.handler(false, func(w http.ResponseWriter, r *http.Request) error {
		switch r.Method {
		case http.MethodGet:
		case http.MethodPost:
			return s.postOAuth2(w, r, provider)
		default: // also HEAD, with which programs look at an address
			w.Header().Set("Allow", "GET, POST")
			w.WriteHeader(http.StatusMethodNotAllowed)
			return nil
		}
		query := r.URL.Query()
		name := bindingName(query.Get("state"))
		binding := s.only(r, name)
		if binding != "" {
			c := s.cookie(name, "")
			c.MaxAge = -1
			http.SetCookie(w, c)
		}
		result, err := s.Guest(r).FinishOAuth2(r.Context(), latchkey.OAuth2Callback{
			Provider: provider, Parameters: query, Binding: binding, Session: s.Secret(r),
		})
		if err == nil && result.Session != nil {
			if result.Linked {
				s.Renew(w, r, result.Session)
			} else {
				s.SignIn(w, r, result.Session)
			}
		}
		return fn(w, r, result, err)
	})
}

// postOAuth2 takes the form post of a service, which browsers send without the site's cookies, and has
// the browser come back with them.
func (s *Site) postOAuth2(w http.ResponseWriter, r *http.Request, provider string) error {
	if err := r.ParseForm(); err != nil {
		return unread(err, "It is not a form")
	}
	if err := s.Guest(r).PostOAuth2(r.Context(), provider, r.PostForm); err != nil {
		return err
	}
	// A browser reads an address that begins with two slashes, or a slash and a backslash, as that of another host.
	back := "/" + strings.TrimLeft(r.URL.EscapedPath(), "/")
	http.Redirect(w, r, back+"?"+url.Values{"state": {r.PostForm.Get("state")}}.Encode(), http.StatusSeeOther)
	return nil
}
