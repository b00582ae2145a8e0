// Package site is the site of examples/webapp: its pages, its forms and its words.
package site

import (
	"bytes"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"io/fs"
	"mime"
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"example.com/latchkey"
	"example.com/latchkey/permission"
	"example.com/latchkey/web"
)

//go:embed pages
var pageFiles embed.FS

//go:embed static
var staticFiles embed.FS

// AdminLabel is the label of the users of the back office.
const AdminLabel = "admin"

// Config configures the site.
type Config struct {
	Name    string     // of the site
	Web     web.Config // Base is required. The site sets Pages, Language and ErrorPage
	Service bool       // users may sign in by the provider "oidc" of the engine
	// Passkeys says that the engine has passkeys, whose Origins have Base among them.
	Passkeys bool
}

// app is the site.
type app struct {
	*web.Site
	engine   *latchkey.Engine
	name     string
	service  bool
	passkeys bool
	pages    map[string]*template.Template
	mux      *http.ServeMux
}

// New returns the site over an engine.
func New(engine *latchkey.Engine, c Config) (http.Handler, error) {
	a := &app{engine: engine, name: c.Name, service: c.Service, passkeys: c.Passkeys, mux: http.NewServeMux(), pages: make(map[string]*template.Template)}
	if err := a.parse(); err != nil {
		return nil, err
	}
	c.Web.Pages = web.Pages{SignIn: "/sign-in", Factor: "/factor", Verify: "/verify", Recover: "/recover", Confirm: "/confirm"}
	c.Web.Language, c.Web.ErrorPage = languageOf, a.errorPage
	var err error
	if a.Site, err = web.New(engine, c.Web); err != nil {
		return nil, err
	}
	a.routes()
	return a.Protect(a.forms(a.mux)), nil
}

// parse reads the pages, once for each language. Each is a file that fills the parts of layout.html. Sentences
// without values are translated now, and not at each request.
func (a *app) parse() error {
	names, err := fs.Glob(pageFiles, "pages/*.html")
	if err != nil {
		return err
	}
	for _, lang := range languages {
		for _, name := range names {
			t := template.New("layout.html").Funcs(template.FuncMap{"date": date, "day": day, "hide": hideEmail})
			for _, file := range []string{"pages/layout.html", name} {
				text, err := pageFiles.ReadFile(file)
				if err != nil {
					return err
				}
				if t, err = t.Parse(inLanguage(lang, string(text))); err != nil {
					return fmt.Errorf("%s: %w", file, err)
				}
			}
			a.pages[lang+"/"+strings.TrimSuffix(strings.TrimPrefix(name, "pages/"), ".html")] = t
		}
	}
	return nil
}

// sentences are those of a page that have no values.
var sentences = regexp.MustCompile(`\{\{\$?\.T "([^"]*)"\}\}`)

// fields are those of the forms of a page: name, label, type and autocomplete.
var fields = regexp.MustCompile(`\{\{field "([^"]*)" "([^"]*)" "([^"]*)" "([^"]*)"\}\}`)

// writeField returns the template of a field. Passwords and codes are not shown again.
func writeField(call string) string {
	parts := fields.FindStringSubmatch(call)
	value, mode := `{{with .Form}}{{with .Get "NAME"}} value="{{.}}"{{end}}{{end}}`, ""
	if parts[4] == "one-time-code" {
		mode = ` inputmode="numeric"`
	}
	if parts[3] == "password" || mode != "" {
		value = ""
	}
	return strings.NewReplacer("NAME", parts[1], "LABEL", parts[2], "KIND", parts[3], "COMPLETE", parts[4]).Replace(`<p class="field">
<label for="NAME">{{.T "LABEL"}}</label>
<input id="NAME" name="NAME" type="KIND" autocomplete="COMPLETE"` + value + mode + `{{with .Errors.NAME}} aria-invalid="true" aria-describedby="NAME-error"{{end}}>` +
		`{{with .Errors.NAME}}<span class="error" id="NAME-error" role="alert">{{.}}</span>{{end}}
</p>`)
}

// inLanguage writes the fields of a page, and translates its sentences that have no values.
func inLanguage(lang, page string) string {
	page = fields.ReplaceAllStringFunc(page, writeField)
	return sentences.ReplaceAllStringFunc(page, func(call string) string {
		return template.HTMLEscapeString(translate(lang, sentences.FindStringSubmatch(call)[1]))
	})
}

func (a *app) routes() {
	static, _ := fs.Sub(staticFiles, "static") // the folder is there
	a.mux.Handle("GET /static/{file}", cached(http.StripPrefix("/static/", http.FileServerFS(static))))
	a.mux.Handle("GET /healthz", a.Health())
	a.mux.Handle("GET /{$}", a.Optional(a.home))
	a.mux.Handle("POST /language", a.Handle(a.setLanguage))
	a.signInRoutes()
	a.linkRoutes()
	a.factorRoutes()
	if a.passkeys {
		a.passkeyRoutes()
	}
	a.accountRoutes()
	a.teamRoutes()
	a.adminRoutes()
	a.mux.Handle("/", a.Handle(func(http.ResponseWriter, *http.Request) error { return errNoPage }))
}

// maxForm is the largest form in bytes.
const maxForm = 64 << 10

// forms reads the forms. It refuses one that cannot be read whole: its fields would be empty, and an empty name
// would be stored. The query of the address is no part of a form.
func (a *app) forms(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			r.Body = http.MaxBytesReader(w, r.Body, maxForm)
			err := readForm(r)
			r.Form = r.PostForm
			if err != nil {
				a.Fail(w, r, err)
				return
			}
		}
		h.ServeHTTP(w, r)
	})
}

// readForm reads a form of the site. Browsers send its fields as URLs have them, and no files.
func readForm(r *http.Request) error {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if r.ContentLength != 0 && (err != nil || kind != "application/x-www-form-urlencoded") {
		return errForm
	}
	err = r.ParseForm()
	if _, large := errors.AsType[*http.MaxBytesError](err); large || err == nil {
		return err
	}
	return errForm
}

// errForm is the answer to a form that cannot be read.
var errForm = &latchkey.Error{Type: latchkey.ErrArgumentInvalid.Type, Category: latchkey.CategoryInvalid, Message: "The form cannot be read"}

// errNoPage is the answer to an address that has no page.
var errNoPage = &latchkey.Error{Type: "general_route_not_found", Category: latchkey.CategoryNotFound, Message: "There is no such page"}

// cached lets browsers keep files that are part of the program for an hour.
func cached(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "public, max-age=3600")
		h.ServeHTTP(w, r)
	})
}

// view is what a page shows.
type view struct {
	App, Lang, Title string
	Path             string // of the request, with its query
	Next             string // where the user goes afterwards
	User             *latchkey.User
	Admin            bool
	Half             bool              // the user is signed in but for a factor or a proven address
	Done             string            // what has just succeeded, by the parameter done
	Error            string            // about the whole form
	Errors           map[string]string // about its fields, by argument
	Form             url.Values        // what was typed in
	Data             any
	status           int
	service          bool
	passkeys         bool
	signals          map[string]json.RawMessage // see Signals
	staff            bool                       // a page of the back office
}

// T translates the words of a page.
func (v *view) T(words string, values ...any) string { return translate(v.Lang, words, values...) }

// Languages are the languages of the site.
func (v *view) Languages() []string { return languages }

// newView returns the view of a request. profile is that of the signed-in user, or nil.
func (a *app) newView(r *http.Request, profile *latchkey.Profile) *view {
	v := &view{
		App: a.name, Lang: languageOf(r), Path: r.URL.RequestURI(), Next: web.Next(r), Form: r.Form, Errors: map[string]string{},
		status: http.StatusOK, service: a.service, passkeys: a.passkeys, signals: map[string]json.RawMessage{}, Done: done[r.URL.Query().Get("done")],
	}
	if r.Method != http.MethodGet || strings.HasPrefix(r.URL.Path, "/link/") || strings.HasPrefix(r.URL.Path, "/callback/") { // such an address has a secret
		v.Path = "/"
	}
	if v.Done != "" {
		v.Done = v.T(v.Done)
	}
	if profile != nil {
		v.User, v.Admin = profile.User, profile.Roles.Has(permission.Label(AdminLabel))
	}
	return v
}

// profileOf returns the profile of the signed-in user, nil if there is none, so that every page has the same links.
func (a *app) profileOf(r *http.Request) *latchkey.Profile {
	secret := a.Secret(r)
	if secret == "" {
		return nil
	}
	_, profile, err := a.Guest(r).AuthenticateProfile(r.Context(), secret)
	if err != nil { // the page is for everybody
		return nil
	}
	return profile
}

// done are the sentences for the parameter done, by which a page tells what the one before has done.
var done = map[string]string{
	"name": "The name is changed.", "password": "The password is changed. You are signed out everywhere else.", "email-asked": "We have sent a link to the new address. The old one stays until you have opened it.",
	"email": "The e-mail address is changed.", "verified": "Your e-mail address is confirmed.", "sent": "We have sent a mail. Open its link to go on.",
	"recovered": "The password is set. Sign in with it now.", "signed-out": "You are signed out.", "ended": "The session has ended.", "deleted": "Your account is deleted.",
	"passkey": "The passkey is added.", "passkey-name": "The passkey has its new name.", "passkey-deleted": "The passkey is deleted here. Your device may still have it.",
	"factor-on": "Two-factor authentication is on.", "factor-off": "Two-factor authentication is off.", "factor-removed": "The authenticator app is removed.", "linked": "The other service is linked.", "unlinked": "The other service is unlinked.",
	"invited": "The invitation is sent.", "left": "You have left the team.", "removed": "The member is removed.", "declined": "The invitation is declined.", "joined": "You are a member of the team.",
	"team-deleted": "The team is deleted.", "restored": "The address is yours again.", "blocked": "The user is blocked.", "unblocked": "The user is not blocked any more.", "signed-out-user": "The user is signed out everywhere.",
}

// show writes a page.
func (a *app) show(w http.ResponseWriter, page string, v *view) error {
	var b bytes.Buffer // so that a page that fails is not half written
	if err := a.pages[v.Lang+"/"+page].Execute(&b, v); err != nil {
		return err
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Language", v.Lang)
	w.WriteHeader(v.status)
	_, _ = b.WriteTo(w) // the browser may have gone
	return nil
}

// refused enters an error into a view, so that the form is shown again with it. It returns the errors that are
// no matter of the form: faults, and those that lead to another page.
func (v *view) refused(err error) error {
	for _, leads := range []error{
		latchkey.ErrUnauthorized, latchkey.ErrSessionRenewed, latchkey.ErrMoreFactorsRequired, latchkey.ErrEmailVerificationRequired,
		latchkey.ErrPasswordResetRequired, latchkey.ErrChallengeRequired,
	} {
		if errors.Is(err, leads) {
			return err
		}
	}
	p := web.ProblemOf(err)
	if p.Status == http.StatusInternalServerError {
		return err
	}
	if unknown, is := errors.AsType[*latchkey.UnknownPasskeyError](err); is {
		v.signals["signalUnknownCredential"] = unknown.Signal
	}
	v.status = p.Status
	if p.Argument != "" {
		v.Errors[p.Argument] = sentence(v.Lang, p)
	} else {
		v.Error = sentence(v.Lang, p)
	}
	return nil
}

// errorPage is the page of every other error.
func (a *app) errorPage(w http.ResponseWriter, r *http.Request, p web.Problem) {
	v := a.newView(r, a.profileOf(r))
	v.status, v.Error = p.Status, sentence(v.Lang, p)
	if err := a.show(w, "error", v); err != nil {
		http.Error(w, p.Message, p.Status)
	}
}

// hideEmail returns an address with most of its name left out.
func hideEmail(email string) string {
	name, domain, _ := strings.Cut(email, "@")
	if len(name) > 1 {
		name = name[:1]
	}
	return name + "…@" + domain
}

// to leads the browser to a page after a form.
func to(w http.ResponseWriter, r *http.Request, page string) error {
	http.Redirect(w, r, page, http.StatusSeeOther)
	return nil
}

// home is the first page.
func (a *app) home(w http.ResponseWriter, r *http.Request, account *latchkey.Account) error {
	if account != nil {
		profile, err := account.Profile(r.Context())
		if err != nil {
			return err
		}
		return a.show(w, "home", a.newView(r, profile))
	}
	return a.show(w, "home", a.newView(r, nil))
}

// setLanguage keeps the language that the user has chosen for a year.
func (a *app) setLanguage(w http.ResponseWriter, r *http.Request) error {
	lang := r.FormValue("language")
	if texts[lang] == nil {
		lang = languages[0]
	}
	http.SetCookie(w, &http.Cookie{Name: languageCookie, Value: lang, Path: "/", MaxAge: 365 * 24 * 3600, HttpOnly: true, SameSite: http.SameSiteLaxMode, Secure: strings.HasPrefix(a.URL("/"), "https:")})
	return to(w, r, web.Next(r))
}

// Service reports whether users may sign in by another service.
func (v *view) Service() bool { return v.service }

// Line returns the words for a line of the log. They speak to the user whose log it is, so the staff gets the names.
func (v *view) Line(l *latchkey.Log) string {
	if v.staff {
		return strings.TrimSpace(l.Event + " " + l.Reason)
	}
	words := v.T("log " + l.Event)
	if l.Reason != "" {
		words += " " + v.T("log "+l.Reason)
	}
	if l.Count > 1 {
		words += " " + v.T("(%d times)", l.Count)
	}
	return words
}

// Device returns the words for a device: its browser and its system.
func (v *view) Device(d latchkey.Device) string {
	words := strings.TrimSpace(d.ClientName + " " + d.ClientVersion)
	switch {
	case words == "" && d.OSName == "":
		return v.T("Unknown device")
	case d.OSName == "":
		return words
	case words == "":
		return d.OSName
	}
	return words + ", " + d.OSName
}

// Actor returns the words for who acted in a line of the log.
func (v *view) Actor(l *latchkey.Log) string {
	if l.Mode == "user" && v.User != nil && l.UserID != "" && l.UserID != v.User.ID {
		return l.UserName
	}
	return v.T("actor " + l.Mode)
}

// Owns reports whether a member is an owner of the team.
func (v *view) Owns(m *latchkey.Membership) bool { return isOwner(m) }

// MayRemove reports whether the user may end a membership: an owner any, and others their own.
func (v *view) MayRemove(m *latchkey.Membership) bool {
	team, is := v.Data.(members)
	return is && (team.Owner || m.ID == team.Own)
}
