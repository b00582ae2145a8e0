package main

import (
	"cmp"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math"
	"mime"
	"net/http"
	"net/url"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	strictjson "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"example.com/latchkey"
)

// maxBody is the maximum size of a body in bytes.
const maxBody = 1 << 20

// call is one request in the form that handlers use.
type call struct {
	*host
	w      http.ResponseWriter
	r      *http.Request
	params map[string]any
	client latchkey.Client
	server bool // the request has the API key

	account    *latchkey.Account    // nil without a signed-in user
	pending    *latchkey.Pending    // set if the session owes a second factor
	unverified *latchkey.Unverified // set if the user must prove the e-mail address first
	limits     []latchkey.LimitResult
	signedIn   bool
}

// scope tells which callers may use a route.
type scope int

const (
	anyone     scope = iota // with a session, with a key, or without both
	signIn                  // like anyone, but not while signed in
	account                 // with a session
	owing                   // with a session, even if it owes a second factor
	proving                 // with a session, even if the e-mail address must be proven first
	leaving                 // with a session, even if it may do nothing else
	confirming              // like anyone, also if the e-mail address must be proven first
	users                   // with the API key
	reading                 // with the API key, or by a user who may act for others
	teamRead                // with a session or the API key
	teamWrite               // the same
	public                  // with or without a session, and not with the API key
	returning               // from the page of another site, with the project in the path
	health                  // without a project
)

func (h *host) serve(w http.ResponseWriter, r *http.Request, to route) {
	h.clock.read()
	c := &call{host: h, w: w, r: r}
	w.Header().Set("Content-Type", "application/json")
	if r.Method == http.MethodOptions {
		to = preflight
	}
	answer, err := c.guarded(to)
	c.limitHeaders()
	if err != nil {
		c.fail(err)
		return
	}
	if to, is := answer.(redirection); is {
		w.Header().Set("Location", string(to))
		w.Header().Del("Content-Type")
	}
	if to.status == http.StatusNoContent || w.Header().Get("Location") != "" {
		w.Header().Del("Content-Type")
		w.WriteHeader(to.status)
		return
	}
	c.write(to.status, answer)
}

// guarded calls handle, and turns a panic into an error.
func (c *call) guarded(to route) (answer any, err error) {
	defer func() {
		if v := recover(); v != nil {
			slog.Error("panic", "of", fmt.Sprintf("%T", v), "route", to.method, "stack", string(debug.Stack()))
			err = errors.New("panic")
		}
	}()
	return c.handle(to)
}

func (c *call) write(status int, body any) {
	text, err := json.Marshal(body)
	if err != nil {
		slog.Error("answer", "error", err)
		status, text = http.StatusInternalServerError, []byte(`{}`)
	}
	c.w.WriteHeader(status)
	_, _ = c.w.Write(text)
}

// handle makes the checks that need only the request, in the documented order, and then
// calls the handler of the route.
func (c *call) handle(to route) (any, error) {
	c.server = c.config.apiKey != "" && subtle.ConstantTimeCompare([]byte(c.r.Header.Get("X-Appwrite-Key")), []byte(c.config.apiKey)) == 1
	if project := c.r.Header.Get("X-Appwrite-Project"); to.scope != health && to.scope != returning {
		if project == "" {
			project = c.r.URL.Query().Get("project")
		}
		if project != c.config.projectID {
			return nil, problem(http.StatusNotFound, "project_not_found", "Project with the requested ID could not be found")
		}
	}
	c.client = c.from()
	if to.scope == returning { // its handler reads the parameters that the other site has sent
		return to.do(c)
	}
	if err := c.origin(); err != nil {
		return nil, err
	}
	var barred error // the reason why the user of the session may not act
	if to.scope != health {
		var err error
		if barred, err = c.credentials(); err != nil {
			return nil, err
		}
	}
	missing := func(role, scope string) error {
		return problem(http.StatusUnauthorized, "general_unauthorized_scope", fmt.Sprintf("User (role: %s) missing scope (%s)", role, scope))
	}
	role := "guests"
	switch {
	case c.server:
		role = "applications"
	case c.signedIn:
		role = "users"
	}
	switch {
	case barred != nil && to.scope != users && to.scope != reading && !c.lesser(to.scope):
		return nil, barred
	case (to.scope == account || to.scope == owing || to.scope == proving || to.scope == leaving) && !c.signedIn && !c.lesser(to.scope):
		return nil, missing(role, "account")
	case to.scope == teamRead && !c.signedIn && !c.server:
		return nil, missing(role, "teams.read")
	case to.scope == teamWrite && !c.signedIn && !c.server:
		return nil, missing(role, "teams.write")
	case to.scope == public && c.server:
		return nil, missing(role, "public")
	case to.scope == users && !c.server:
		return nil, missing(role, "users.write")
	case to.scope == reading && !c.server:
		if helps, err := c.helps(); err != nil || !helps {
			return nil, cmp.Or(err, missing(role, "users.read"))
		}
	case to.scope == signIn && c.signedIn:
		return nil, latchkey.ErrSessionAlreadyExists
	}
	if to.scope != health {
		if err := c.read(); err != nil {
			return nil, err
		}
	}
	return to.do(c)
}

// lesser reports whether a session that may do little may use a route of the scope.
func (c *call) lesser(of scope) bool {
	switch of {
	case leaving:
		return c.pending != nil || c.unverified != nil
	case owing:
		return c.pending != nil
	case anyone, signIn, public, proving, confirming: // as a guest, or for the address
		return c.unverified != nil
	}
	return false
}

// origin answers the browser whether pages of the request's origin may use the API.
func (c *call) origin() error {
	origin := c.r.Header.Get("Origin")
	if origin == "" {
		return nil
	}
	u, err := url.Parse(origin)
	if err != nil || u.Scheme == "" || origin != u.Scheme+"://"+u.Host || !c.allowed(u.Hostname()) {
		if c.server {
			return nil
		}
		return problem(http.StatusForbidden, "general_unknown_origin", "Invalid Origin. Register your new client as a new platform of the project")
	}
	header := c.w.Header()
	header.Set("Access-Control-Allow-Origin", origin)
	header.Set("Access-Control-Allow-Credentials", "true")
	header.Set("Access-Control-Allow-Methods", "GET, POST, PUT, PATCH, DELETE, OPTIONS")
	header.Set("Access-Control-Allow-Headers", "Accept, Content-Type, Content-Range, Cookie, Origin, User-Agent, X-Appwrite-Project, X-Appwrite-Key, "+
		"X-Appwrite-Session, X-Appwrite-JWT, X-Appwrite-Locale, X-Appwrite-Response-Format, X-Fallback-Cookies, X-Forwarded-For, "+
		"X-Forwarded-User-Agent, X-Appwrite-Impersonate-User-Id, X-Appwrite-Impersonate-User-Email, X-Appwrite-Impersonate-User-Phone, X-SDK-Name, X-SDK-Platform, X-SDK-Language, X-SDK-Version, X-SDK-GraphQL")
	header.Set("Access-Control-Expose-Headers", "X-Fallback-Cookies, X-Appwrite-Session")
	header.Set("Vary", "Origin")
	return nil
}

func (c *call) allowed(name string) bool {
	switch name {
	case "localhost", "127.0.0.1", "::1":
		return true
	}
	for _, host := range c.config.allowedHosts {
		if name == host {
			return true
		}
	}
	return false
}

// from returns the client of the call, from the connection and the forwarding headers.
func (c *call) from() latchkey.Client {
	client := latchkey.Client{
		IP: c.config.proxies.Address(c.r), UserAgent: c.r.UserAgent(), Locale: cmp.Or(c.r.Header.Get("X-Appwrite-Locale"), c.r.Header.Get("Accept-Language")),
		OnLimit: func(r latchkey.LimitResult) { c.limits = append(c.limits, r) },
	}
	if agent := c.r.Header.Get("X-Forwarded-User-Agent"); c.server && agent != "" {
		client.UserAgent = agent
	}
	return client
}

// credentials authenticates the caller. A request with an unknown or ended session has
// no user. barred is the reason why the user of a session may not act.
func (c *call) credentials() (barred, err error) {
	if value := c.session(); value.Secret != "" {
		c.account, barred, err = identified(c.guest().Authenticate(c.r.Context(), value.Secret))
		if c.account != nil && c.account.UserID() != value.ID {
			c.account = nil
		}
	}
	if jwt := c.r.Header.Get("X-Appwrite-JWT"); jwt != "" && !c.server && err == nil {
		bySession := c.account != nil || barred != nil
		account, barredToo, err := identified(c.guest().AuthenticateJWT(c.r.Context(), jwt))
		switch {
		case err != nil:
			return nil, err
		case errors.Is(barredToo, latchkey.ErrJWTInvalid):
			return nil, barredToo
		case bySession:
			return nil, problem(http.StatusForbidden, "user_jwt_and_cookie_set", "A request has either a session or a JWT")
		default: // the account is nil if its session has ended
			c.account, barred = account, barredToo
		}
	}
	if c.account != nil && err == nil {
		barred, err = c.impersonate()
	}
	c.signedIn = c.account != nil
	var owed *latchkey.MoreFactorsError
	if errors.As(barred, &owed) {
		c.pending = owed.Pending
	}
	var unverified *latchkey.UnverifiedEmailError
	if errors.As(barred, &unverified) {
		c.unverified = unverified.Unverified
	}
	return barred, err
}

// helps reports whether the caller is a user who may act for others.
func (c *call) helps() (bool, error) {
	switch {
	case c.account == nil:
		return false, nil
	case c.account.ImpersonatorID() != "":
		return true, nil
	}
	user, err := c.account.User(c.r.Context())
	return err == nil && user.Impersonator, err
}

// impersonate lets the caller act for the user whom the request names, by a header or else a
// parameter, by an id or else an address or else a number. Where the caller may not, or there
// is no such user, the request is the caller's own, as documented.
func (c *call) impersonate() (barred, err error) {
	var who latchkey.ImpersonatedUser
	parameters := c.r.URL.Query()
	for _, name := range []struct {
		header, parameter string
		to                *string
	}{
		{"X-Appwrite-Impersonate-User-Id", "impersonateUserId", &who.UserID},
		{"X-Appwrite-Impersonate-User-Email", "impersonateEmail", &who.Email},
		{"X-Appwrite-Impersonate-User-Phone", "impersonatePhone", &who.Phone},
	} {
		if *name.to = cmp.Or(c.r.Header.Get(name.header), parameters.Get(name.parameter)); *name.to != "" {
			break
		}
	}
	if who == (latchkey.ImpersonatedUser{}) {
		return nil, nil
	}
	account, err := c.account.Impersonate(c.r.Context(), who)
	switch {
	case err == nil:
		c.account = account
		return nil, nil
	case errors.Is(err, latchkey.ErrUserUnauthorized), errors.Is(err, latchkey.ErrUserNotFound), errors.Is(err, latchkey.ErrArgumentInvalid):
		return nil, nil
	case errors.Is(err, latchkey.ErrUserBlocked), errors.Is(err, latchkey.ErrPasswordResetRequired), errors.Is(err, latchkey.ErrEmailVerificationRequired):
		return err, nil
	}
	return nil, err
}

// identified sorts the result of an authentication: a caller without a user, a user that
// may not act, or a failure.
func identified(account *latchkey.Account, err error) (_ *latchkey.Account, barred, failed error) {
	var own *latchkey.Error
	switch {
	case errors.Is(err, latchkey.ErrUnauthorized), errors.Is(err, latchkey.ErrSessionRenewed):
		return nil, nil, nil
	case errors.As(err, &own):
		return nil, err, nil
	}
	return account, nil, err
}

func (c *call) guest() *latchkey.Guest {
	if c.server {
		return c.engine.Users().Guest(c.client)
	}
	return c.engine.Guest(c.client)
}

func (c *call) cookieName() string { return "a_session_" + c.config.projectID }

// session returns the session value of the request. It comes from the first of these
// sources that has one: the cookies, the header X-Appwrite-Session, and the header
// X-Fallback-Cookies.
func (c *call) session() sessionValue {
	for _, name := range []string{c.cookieName(), c.cookieName() + "_legacy"} {
		if cookie, err := c.r.Cookie(name); err == nil {
			value, err := url.QueryUnescape(cookie.Value)
			if err != nil || strings.ContainsRune(cookie.Value, '+') {
				value = cookie.Value
			}
			if v := decodeSession(value); v != (sessionValue{}) {
				return v
			}
		}
	}
	if v := decodeSession(c.r.Header.Get("X-Appwrite-Session")); v != (sessionValue{}) {
		return v
	}
	var fallback map[string]any
	if strictjson.Unmarshal([]byte(c.r.Header.Get("X-Fallback-Cookies")), &fallback) != nil {
		return sessionValue{}
	}
	value, _ := fallback[c.cookieName()].(string)
	return decodeSession(value)
}

// sessionValue is the value of a cookie: the user and the secret.
type sessionValue struct {
	ID     string `json:"id"`
	Secret string `json:"secret"`
}

func encodeSession(s *latchkey.Session) string {
	text, err := json.Marshal(sessionValue{s.UserID, s.Secret.Reveal()})
	if err != nil {
		panic(err) // never: the value holds only strings
	}
	return base64.StdEncoding.EncodeToString(text)
}

func decodeSession(value string) (v sessionValue) {
	text, err := base64.RawStdEncoding.Strict().DecodeString(strings.TrimRight(value, "="))
	if err != nil || strictjson.Unmarshal(text, &v) != nil {
		return sessionValue{}
	}
	return v
}

// read reads the parameters: from the query of a GET, otherwise from the body. It refuses
// text that is not UTF-8, and a name that comes twice. It ignores unknown names, and a
// name in another case is unknown. encoding/json would replace bad bytes, take the last of
// equal names, and take names in any case; strictjson, its version 2, does not.
func (c *call) read() error {
	c.params = make(map[string]any)
	if c.r.Method == http.MethodGet || c.r.Method == http.MethodHead {
		values, err := url.ParseQuery(c.r.URL.RawQuery)
		if err != nil {
			return problem(http.StatusBadRequest, "general_argument_invalid", "The query is malformed")
		}
		return c.form(values)
	}
	body, err := io.ReadAll(http.MaxBytesReader(c.w, c.r.Body, maxBody))
	if err != nil {
		return problem(http.StatusBadRequest, "general_argument_invalid", "The body is larger than 1 MiB, or cut")
	}
	kind, _, _ := mime.ParseMediaType(c.r.Header.Get("Content-Type"))
	if kind == "application/x-www-form-urlencoded" {
		values, err := url.ParseQuery(string(body))
		if err != nil {
			return problem(http.StatusBadRequest, "general_argument_invalid", "The body is not a form")
		}
		return c.form(values)
	}
	switch strings.TrimSpace(string(body)) {
	case "", "[]":
		return nil
	}
	var raw map[string]jsontext.Value
	if err := strictjson.Unmarshal(body, &raw); err != nil {
		return problem(http.StatusBadRequest, "general_argument_invalid", "The body is not a JSON object in UTF-8 with each name once")
	}
	for name, text := range raw {
		var value any
		if err := strictjson.Unmarshal(text, &value); err != nil {
			continue // a number out of range, perhaps in a field that no handler reads
		}
		if name == "prefs" && value != nil {
			value = json.RawMessage(text) // passed on unchanged
		}
		c.params[name] = value
	}
	return nil
}

// form reads name=value as a text. It reads name[]=value and name[0]=value as lists of at
// most 100 items, in the order of their numbers.
func (c *call) form(values url.Values) error {
	type item struct {
		at    int
		value string
	}
	lists := make(map[string][]item)
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if !utf8.ValidString(name) || slices.ContainsFunc(values[name], func(v string) bool { return !utf8.ValidString(v) }) {
			return problem(http.StatusBadRequest, "general_argument_invalid", "A parameter is not UTF-8")
		}
		base, index, isList := strings.Cut(name, "[")
		if !isList && len(values[name]) > 1 {
			return invalidParam(name, "it comes twice")
		}
		if !isList {
			c.params[name] = values[name][0]
			continue
		}
		at, err := strconv.Atoi(strings.TrimSuffix(index, "]"))
		if index != "]" && (err != nil || at < 0) {
			return invalidParam(base, "its list is numbered otherwise than from 0")
		}
		for _, value := range values[name] {
			lists[base] = append(lists[base], item{at, value})
		}
	}
	for name, items := range lists {
		if _, single := c.params[name]; single || len(items) > 100 {
			return invalidParam(name, "it is a text and a list, or a list of more than 100")
		}
		slices.SortStableFunc(items, func(a, b item) int { return cmp.Compare(a.at, b.at) })
		list := make([]any, len(items))
		for i, item := range items {
			list[i] = item.value
		}
		c.params[name] = list
	}
	return nil
}

// invalidParam returns the error for an invalid parameter.
func invalidParam(name, why string) error {
	return problem(http.StatusBadRequest, "general_argument_invalid", fmt.Sprintf("Invalid `%s` param: %s", name, why))
}

// text returns a parameter that must be a text.
func (c *call) text(name string) (string, error) {
	switch v := c.params[name].(type) {
	case string:
		return v, nil
	case nil:
		return "", invalidParam(name, "it is not optional")
	}
	return "", invalidParam(name, "it must be a text")
}

// optional is like text, but returns standard for an absent parameter.
func (c *call) optional(name, standard string) (string, error) {
	if c.params[name] == nil {
		return standard, nil
	}
	return c.text(name)
}

// texts returns several parameters that must be texts.
func (c *call) texts(names ...string) ([]string, error) {
	out := make([]string, len(names))
	for i, name := range names {
		var err error
		if out[i], err = c.text(name); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// password returns a parameter that may be a password.
func (c *call) password(name string) (string, error) {
	password, err := c.text(name)
	if n := utf8.RuneCountInString(password); err == nil && (n < 1 || n > 256 || !utf8.ValidString(password)) {
		err = invalidParam(name, "it must have 1 to 256 characters")
	}
	return password, err
}

// bool returns a parameter that is true or false, in JSON or as text.
func (c *call) bool(name string, standard *bool) (bool, error) {
	switch v := c.params[name].(type) {
	case bool:
		return v, nil
	case string:
		if b, err := strconv.ParseBool(v); err == nil {
			return b, nil
		}
	case float64:
		if v == 0 || v == 1 {
			return v == 1, nil
		}
	case nil:
		if standard != nil {
			return *standard, nil
		}
		return false, invalidParam(name, "it is not optional")
	}
	return false, invalidParam(name, "it must be true or false")
}

// number returns a parameter that must be a whole number. It returns 0 for an absent
// parameter, and -1 for a number out of the range 1 to 2^31-1.
func (c *call) number(name string) (int, error) {
	switch v := c.params[name].(type) {
	case nil:
		return 0, nil
	case float64:
		if v != math.Trunc(v) {
			break
		}
		if v <= 0 || v > math.MaxInt32 {
			return -1, nil
		}
		return int(v), nil
	}
	return 0, invalidParam(name, "it must be a whole number")
}

// list returns a parameter that must be a list of texts.
func (c *call) list(name string) ([]string, error) {
	items, ok := c.params[name].([]any)
	if !ok {
		return nil, invalidParam(name, "it must be a list")
	}
	out := make([]string, 0, len(items))
	for _, item := range items {
		text, ok := item.(string)
		if !ok {
			return nil, invalidParam(name, "it must be a list of texts")
		}
		out = append(out, text)
	}
	return out, nil
}

// prefs returns the parameter prefs as the client wrote it.
func (c *call) prefs() (json.RawMessage, error) {
	switch v := c.params["prefs"].(type) {
	case json.RawMessage:
		return v, nil
	case nil:
		return nil, invalidParam("prefs", "it is not optional")
	}
	return nil, invalidParam("prefs", "it must be an object")
}

// id returns the id for a new object. It returns "" for unique(), which asks the engine
// for an id.
func (c *call) id(name string) (string, error) {
	id, err := c.text(name)
	switch {
	case err != nil:
		return "", err
	case id == "":
		return "", invalidParam(name, "it must not be empty")
	case id == "unique()":
		return "", nil
	}
	return id, nil
}

// queries returns the queries of a listing, and whether the client wants its
// total.
func (c *call) queries() (queries []latchkey.Query, total bool, err error) {
	yes := true
	if total, err = c.bool("total", &yes); err != nil || c.params["queries"] == nil {
		return nil, total, err
	}
	texts, err := c.list("queries")
	if err != nil {
		return nil, false, err
	}
	queries, err = latchkey.ParseQueries(texts)
	if err != nil {
		return nil, false, err
	}
	return queries, total, nil
}
