package web

import (
	"context"
	"net/http"
	"time"
)

// Protect wraps a handler of the host's own, for example the whole router. It refuses a request that
// changes something, and that a page of another site has sent (CSRF). Such a page is of another origin by
// the headers Sec-Fetch-Site and Origin, which all browsers send, and not among Config.Origins. GET, HEAD
// and OPTIONS are let in: they must change nothing. Requests without these headers come from no browser, and
// are let in too.
//
// It also sets headers that make pages safer: nothing of other sites is loaded, and nothing is shown in
// their frames (Content-Security-Policy), they get no address of a page (Referrer-Policy), no type is guessed
// (X-Content-Type-Options), and with an https Base browsers use https alone from then on
// (Strict-Transport-Security, for a year). The handler may set each of them to another value. The handlers
// of [Site.Handle] and of its siblings are protected already.
func (s *Site) Protect(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.setHeaders(w.Header())
		if s.csrf.Check(r) != nil {
			s.refuse(w, r)
			return
		}
		h.ServeHTTP(w, r)
	})
}

// refuse answers a request of another site's page. Nothing of its body is read: an ErrorPage that reads the
// form would read one of any size.
func (s *Site) refuse(w http.ResponseWriter, r *http.Request) {
	r.Body = http.NoBody
	s.Fail(w, r, errOrigin)
}

// setHeaders sets the headers of [Site.Protect], as far as the host has not set them.
func (s *Site) setHeaders(h http.Header) {
	set := func(name, value string) {
		if _, is := h[name]; !is {
			h[name] = []string{value}
		}
	}
	set("Content-Security-Policy", s.policy)
	// With no-referrer browsers would send "Origin: null" with forms.
	set("Referrer-Policy", "same-origin")
	set("X-Content-Type-Options", "nosniff")
	if s.secure() {
		set("Strict-Transport-Security", "max-age=31536000")
	}
}

// healthTime is how long a check of the health may take.
const healthTime = 2 * time.Second

// Health returns a handler for checks of the host's health. It answers with 200 after one read of the
// store, and with 503 if that fails or takes longer than two seconds. It does not tell whether the store
// can be written. Anybody may call it, and each call costs a read.
func (s *Site) Health() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), healthTime)
		defer cancel()
		status, word := http.StatusOK, "ok"
		if s.engine.Ping(ctx) != nil {
			status, word = http.StatusServiceUnavailable, "unavailable"
		}
		_ = WriteJSON(w, status, map[string]string{"status": word}) // a map of texts is always JSON
	})
}
