package web

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"html/template"
	"net/http"
	"strconv"
	"strings"
	"time"

	"example.com/latchkey"
)

// Problem is an error in the form in which a client gets it. Printed as JSON it is the answer to a
// request for JSON.
type Problem struct {
	Status  int    `json:"code"`    // the HTTP status
	Type    string `json:"type"`    // as in [latchkey.Error], or one of the types of this package
	Message string `json:"message"` // a sentence in English
	// Argument and Reason are those of [latchkey.Error]. Both are "" if no argument is refused.
	Argument string `json:"argument,omitempty"`
	Reason   string `json:"reason,omitempty"`
	// RetryAfter is the time to wait in seconds, at least one, of an error with status 429; otherwise 0.
	RetryAfter int `json:"retryAfter,omitempty"`
	// Signal is that of a [latchkey.UnknownPasskeyError], for the script of the page.
	Signal json.RawMessage `json:"signal,omitempty"`
}

// The types of problems of this package.
const (
	TypeFault         = "general_server_error"   // status 500: an error that is no answer of the engine
	TypeUnknownOrigin = "general_unknown_origin" // status 403: a request of another site's page
	TypeBodyTooLarge  = "general_body_too_large" // status 413: see Config.MaxBody
	TypeClientGone    = "general_client_gone"    // status 499: nobody reads this answer
)

// statuses maps the categories of the engine's errors to statuses.
var statuses = map[latchkey.Category]int{
	latchkey.CategoryInvalid: http.StatusBadRequest, latchkey.CategoryUnauthorized: http.StatusUnauthorized, latchkey.CategoryForbidden: http.StatusForbidden,
	latchkey.CategoryNotFound: http.StatusNotFound, latchkey.CategoryConflict: http.StatusConflict, latchkey.CategoryPrecondition: http.StatusPreconditionFailed,
	latchkey.CategoryThrottled: http.StatusTooManyRequests, latchkey.CategoryUnavailable: http.StatusServiceUnavailable, latchkey.CategoryUnimplemented: http.StatusNotImplemented,
}

// errOrigin refuses a request of another site's page.
var errOrigin = errors.New("web: the request comes from a page of another site")

// ProblemOf returns the problem of an error. An [latchkey.Error] has the status of its category. An error
// that is no answer of the engine has status 500, and its text is not told. [latchkey.ErrClosed] is told as
// [latchkey.ErrBusy].
func ProblemOf(err error) Problem {
	if errors.Is(err, latchkey.ErrClosed) { // while the host ends; another one may answer
		err = latchkey.ErrBusy
	}
	if answer, is := errors.AsType[*latchkey.Error](err); is {
		p := Problem{
			Status: cmp.Or(statuses[answer.Category], http.StatusInternalServerError), Type: answer.Type, Message: answer.Message,
			Argument: answer.Argument, Reason: answer.Reason,
		}
		if throttled, is := errors.AsType[*latchkey.ThrottledError](err); is {
			p.RetryAfter = int(max(throttled.RetryAfter+time.Second-1, time.Second) / time.Second)
		}
		if unknown, is := errors.AsType[*latchkey.UnknownPasskeyError](err); is {
			p.Signal = unknown.Signal
		}
		return p
	}
	tooLarge, large := errors.AsType[*http.MaxBytesError](err)
	switch {
	case errors.Is(err, errOrigin):
		return Problem{Status: http.StatusForbidden, Type: TypeUnknownOrigin, Message: "The request comes from a page of another site"}
	case large:
		return Problem{Status: http.StatusRequestEntityTooLarge, Type: TypeBodyTooLarge, Message: "The body has more than " + strconv.FormatInt(tooLarge.Limit, 10) + " bytes"}
	case errors.Is(err, context.Canceled):
		return Problem{Status: 499, Type: TypeClientGone, Message: "The client has gone"}
	}
	return Problem{Status: http.StatusInternalServerError, Type: TypeFault, Message: "Something went wrong; try again later"}
}

// Fail answers a request with an error.
//
// A request for a page is led to the page of Config.Pages for the error, or else gets Config.ErrorPage. A
// request for JSON gets the [Problem]. An error that is no answer is logged, unless the engine has logged
// it. [latchkey.ErrSessionRenewed] tells the browser to load the page again after a second, by which time
// it has the new cookie. No error clears a cookie.
func (s *Site) Fail(w http.ResponseWriter, r *http.Request, err error) {
	p := ProblemOf(err)
	if p.Status == http.StatusInternalServerError && !latchkey.IsFault(err) {
		s.config.Logger.ErrorContext(r.Context(), "web: a request has failed", "method", r.Method, "route", r.Pattern, "error", err)
	}
	h := w.Header()
	s.setHeaders(h)
	h.Set("Cache-Control", "no-store")
	if p.RetryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(p.RetryAfter))
	}
	if !wantsPage(r) {
		if p.Status == http.StatusUnauthorized && s.config.Bearer {
			h.Set("WWW-Authenticate", "Bearer")
		}
		_ = WriteJSON(w, p.Status, p) // a Problem is always JSON
		return
	}
	if page := s.pageFor(err); page != "" {
		http.Redirect(w, r, led(page, s.came(r)), http.StatusSeeOther)
		return
	}
	if errors.Is(err, latchkey.ErrSessionRenewed) && r.Method == http.MethodGet {
		h.Set("Refresh", "1")
	}
	if s.config.ErrorPage != nil {
		s.config.ErrorPage(w, r, p)
		return
	}
	h.Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(p.Status)
	_ = plainPage.Execute(w, p) // the client may have gone
}

// pageFor returns the page to which an error leads, "" for none.
func (s *Site) pageFor(err error) string {
	for _, to := range []struct {
		err  error
		page string
	}{
		{latchkey.ErrUnauthorized, s.config.Pages.SignIn},
		{latchkey.ErrMoreFactorsRequired, s.config.Pages.Factor},
		{latchkey.ErrEmailVerificationRequired, s.config.Pages.Verify},
		{latchkey.ErrPasswordResetRequired, s.config.Pages.Recover},
		{latchkey.ErrChallengeRequired, s.config.Pages.Confirm},
	} {
		if errors.Is(err, to.err) {
			return to.page
		}
	}
	return ""
}

var plainPage = template.Must(template.New("problem").Parse(`<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><meta name="color-scheme" content="light dark"><title>{{.Message}}</title></head>
<body><main><h1>{{.Message}}</h1>{{with .RetryAfter}}<p>Try again in {{.}} s.</p>{{end}}</main></body>
</html>
`))

// wantsPage reports whether a request accepts HTML by name. Browsers name it when they load a page.
func wantsPage(r *http.Request) bool {
	for _, line := range r.Header.Values("Accept") {
		for entry := range strings.SplitSeq(line, ",") {
			name, _, _ := strings.Cut(entry, ";")
			if strings.EqualFold(strings.TrimSpace(name), "text/html") {
				return true
			}
		}
	}
	return false
}
