package main

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/geoip"
	"example.com/latchkey/web"
)

// version is the version that the API reports.
const version = "1.9.5"

// apiError is an error of the transport.
type apiError struct {
	status        int
	kind, message string
}

func (e *apiError) Error() string { return e.kind }

func problem(status int, kind, message string) error { return &apiError{status, kind, message} }

// toAPI maps every error to an error of the API.
func toAPI(err error) *apiError {
	var ours *apiError
	var theirs *latchkey.Error
	switch {
	case errors.As(err, &ours):
		return ours
	case errors.As(err, &theirs):
		message := theirs.Message
		if theirs.Argument != "" && errors.Is(theirs, latchkey.ErrArgumentInvalid) {
			message = "Invalid `" + theirs.Argument + "` param: " + message
		}
		status := web.ProblemOf(theirs).Status
		if errors.Is(theirs, latchkey.ErrProviderRefused) || errors.Is(theirs, latchkey.ErrProviderFailed) {
			status = http.StatusFailedDependency
		}
		return &apiError{status, theirs.Type, message}
	case errors.Is(err, context.Canceled):
		return &apiError{499, "general_unknown", "The client has gone"}
	}
	return &apiError{http.StatusInternalServerError, "general_server_error", "Server Error"}
}

func (c *call) fail(err error) {
	e := toAPI(err)
	if wait := web.ProblemOf(err).RetryAfter; wait > 0 {
		c.w.Header().Set("Retry-After", strconv.Itoa(wait))
	}
	c.write(e.status, map[string]any{"message": e.message, "code": e.status, "type": e.kind, "version": version})
}

// limitHeaders reports the limit with the fewest calls left.
func (c *call) limitHeaders() {
	if len(c.limits) == 0 {
		return
	}
	nearest := c.limits[0]
	for _, r := range c.limits {
		if r.Remaining < nearest.Remaining {
			nearest = r
		}
	}
	c.w.Header().Set("X-RateLimit-Limit", strconv.Itoa(nearest.Limit))
	c.w.Header().Set("X-RateLimit-Remaining", strconv.Itoa(nearest.Remaining))
	c.w.Header().Set("X-RateLimit-Reset", strconv.FormatInt(nearest.Reset.Unix(), 10))
}

// date returns a time in the form of the API. The zero time is "".
func date(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02T15:04:05.000+00:00")
}

type object = map[string]any

func merged(a, b object) object {
	maps.Copy(a, b)
	return a
}

func targetModel(t latchkey.Target) object {
	var provider any
	if t.ProviderID != "" {
		provider = t.ProviderID
	}
	return object{
		"$id": t.ID, "$createdAt": date(t.CreatedAt), "$updatedAt": date(t.UpdatedAt), "name": t.Name, "userId": t.UserID,
		"providerId": provider, "providerType": t.ProviderType, "identifier": t.Identifier, "expired": t.Expired,
	}
}

// userModel returns a user in the form for the user's own account.
func (c *call) userModel(u *latchkey.User) object {
	targets := make([]object, 0, len(u.Targets))
	for _, t := range u.Targets {
		targets = append(targets, targetModel(t))
	}
	m := object{
		"$id": u.ID, "$createdAt": date(u.CreatedAt), "$updatedAt": date(u.UpdatedAt), "name": u.Name, "registration": date(u.Registration),
		"status": u.Status, "labels": u.Labels, "passwordUpdate": date(u.PasswordUpdate), "email": u.Email, "phone": u.Phone,
		"emailVerification": u.EmailVerification, "phoneVerification": u.PhoneVerification, "mfa": u.MFA, "prefs": u.Prefs,
		"targets": targets, "accessedAt": date(u.AccessedAt),
		"emailCanonical": nil, "emailIsFree": nil, "emailIsDisposable": nil, "emailIsCorporate": nil, "emailIsCanonical": nil,
	}
	if u.EmailCanonical != "" { // something is known about the address
		m["emailCanonical"], m["emailIsCanonical"] = u.EmailCanonical, u.EmailIsCanonical
		m["emailIsFree"], m["emailIsDisposable"], m["emailIsCorporate"] = u.EmailIsFree, u.EmailIsDisposable, u.EmailIsCorporate
	}
	if c.newerThan(1, 9, 0) {
		m["impersonator"], m["impersonatorUserId"] = u.Impersonator, nil
		if u.ImpersonatorUserID != "" {
			m["impersonatorUserId"] = u.ImpersonatorUserID
		}
	}
	return m
}

// newerThan reports whether the client asks for at least this version of the response
// format. A client that asks for no version gets the newest.
func (c *call) newerThan(least ...int) bool {
	var asked []int
	for _, part := range strings.Split(c.r.Header.Get("X-Appwrite-Response-Format"), ".") {
		n, err := strconv.Atoi(part)
		if err != nil {
			return true
		}
		asked = append(asked, n)
	}
	return slices.Compare(append(asked, 0, 0)[:max(len(asked), len(least))], least) >= 0
}

// serverUserModel returns a user in the form for the server, which has the password
// hash. A user who may act for others does not see that.
func (c *call) serverUserModel(u *latchkey.User) (object, error) {
	if !c.server {
		return c.userModel(u), nil
	}
	hash, err := c.users().PasswordHash(c.r.Context(), u.ID)
	if err != nil {
		return nil, err
	}
	m := c.userModel(u)
	m["password"] = hash.Reveal()
	m["hash"], m["hashOptions"] = hashModel(hash.Reveal())
	return m, nil
}

func (c *call) device(d latchkey.Device) object {
	code, name := "--", "Unknown"
	if d.CountryCode != "" {
		code, name = d.CountryCode, geoip.Name(d.CountryCode, c.r.Header.Get("X-Appwrite-Locale"))
	}
	return object{
		"osCode": d.OSCode, "osName": d.OSName, "osVersion": d.OSVersion, "clientType": d.ClientType, "clientCode": d.ClientCode,
		"clientName": d.ClientName, "clientVersion": d.ClientVersion, "clientEngine": d.ClientEngine,
		"clientEngineVersion": d.ClientEngineVersion, "deviceName": d.DeviceName, "deviceBrand": d.DeviceBrand, "deviceModel": d.DeviceModel,
		"countryCode": code, "countryName": name,
	}
}

func (c *call) sessionModel(s *latchkey.Session) object {
	m := merged(c.device(s.Device), object{
		"$id": s.ID, "$createdAt": date(s.CreatedAt), "$updatedAt": date(s.UpdatedAt), "userId": s.UserID, "expire": date(s.Expire),
		"provider": s.Provider, "providerUid": s.ProviderUID, "providerAccessToken": "", "providerAccessTokenExpiry": "",
		"providerRefreshToken": "", "ip": s.IP, "current": s.Current, "factors": s.Factors, "secret": "", "mfaUpdatedAt": date(s.MFAUpdatedAt),
	})
	if c.server && !s.Secret.IsZero() {
		m["secret"] = encodeSession(s)
	}
	return m
}

func (c *call) tokenModel(t *latchkey.Token, err error) (any, error) {
	if err != nil {
		return nil, err
	}
	m := object{"$id": t.ID, "$createdAt": date(t.CreatedAt), "userId": t.UserID, "secret": "", "expire": date(t.Expire), "phrase": t.Phrase}
	if c.server {
		m["secret"] = t.Secret.Reveal()
	}
	return m, nil
}

func (c *call) sessionList(list *latchkey.SessionList, total bool) object {
	sessions := make([]object, 0, len(list.Sessions))
	for _, s := range list.Sessions {
		sessions = append(sessions, c.sessionModel(s))
	}
	return object{"total": counted(list.Total, total), "sessions": sessions}
}

func (c *call) targetList(list *latchkey.TargetList, total bool) object {
	targets := make([]object, 0, len(list.Targets))
	for _, t := range list.Targets {
		targets = append(targets, targetModel(*t))
	}
	return object{"total": counted(list.Total, total), "targets": targets}
}

func counted(n int, wanted bool) int {
	if !wanted {
		return 0
	}
	return n
}

// userTypes maps the modes of the log to the user types of the API.
var userTypes = map[string]string{"user": "user", "guest": "guest", "impersonator": "user", "server": "keyProject"}

func (c *call) logList(list *latchkey.LogList, total bool) object {
	logs := make([]object, 0, len(list.Logs))
	for _, l := range list.Logs {
		logs = append(logs, merged(c.device(l.Device), object{
			"event": l.Event, "userId": l.UserID, "userEmail": l.UserEmail, "userName": l.UserName, "mode": "default",
			"userType": userTypes[l.Mode], "ip": l.IP, "time": date(l.Time),
		}))
	}
	return object{"total": counted(list.Total, total), "logs": logs}
}

// signedInAs answers with a new session. It sets the cookies, and the header for clients
// that do not accept cookies.
func (c *call) signedInAs(s *latchkey.Session) object {
	c.setCookies(encodeSession(s), s.Expire)
	text, err := json.Marshal(map[string]string{c.cookieName(): encodeSession(s)})
	if err == nil {
		c.w.Header().Set("X-Fallback-Cookies", string(text))
	}
	return c.sessionModel(s)
}

// signedOut removes the cookies.
func (c *call) signedOut() {
	c.setCookies("deleted", time.Unix(1, 0))
	c.w.Header().Set("X-Fallback-Cookies", "[]")
}

func (c *call) setCookies(value string, until time.Time) {
	for _, suffix := range []string{"", "_legacy"} {
		cookie := &http.Cookie{
			Name: c.cookieName() + suffix, Value: value, Path: "/", Expires: until.UTC(), HttpOnly: true,
			Secure: c.r.TLS != nil || strings.HasPrefix(c.config.publicURL, "https:"),
		}
		if until.Before(time.Unix(2, 0)) {
			cookie.MaxAge = -1
		}
		if suffix == "" {
			cookie.SameSite = http.SameSiteNoneMode
		}
		http.SetCookie(c.w, cookie)
	}
}
