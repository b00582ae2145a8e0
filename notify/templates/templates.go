// Package templates makes the words of messages: a subject, a text and a page of
// HTML for mail, a line for SMS. It has words for every kind of message in
// English; a host replaces them one by one, and adds languages.
//
//	set, err := templates.New(templates.Config{App: "Bread", Templates: []templates.Template{{
//		Kind: notify.MagicURL, Locale: "de", Subject: "Anmelden bei {{.App}}",
//		Text: "{{.Link}}\n\nGilt bis {{.Expire.Format "15:04"}} Uhr (UTC).",
//		HTML: `{{template "top" .}}<p><a href="{{.Link}}">Anmelden</a></p>{{template "bottom" .}}`,
//	}}})
//	mail, err := set.Render(message)
//
// What others have written, names of users and teams and what a client says of
// itself, comes to a template cleaned, cut and in quotation marks, as a [Quoted]:
// it can neither be a link nor look like the words of the service.
package templates

import (
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"html/template"
	"net/url"
	"slices"
	"strings"
	text "text/template"
	"time"

	"golang.org/x/text/language"

	"example.com/latchkey/notify"
)

// Config says what a [Set] is made of.
type Config struct {
	// App is what the service is called, 1 to 64 characters.
	App string
	// Locale is the language, a BCP 47 tag, of messages to somebody whose
	// language there is no template in; "" means en.
	Locale string
	// Templates replace those that there are, or add a language.
	Templates []Template
}

// Template has the words for one kind of message in one language, in the syntax
// of package text/template, and of html/template for HTML. They get a [Data].
type Template struct {
	Kind    notify.Kind
	Channel notify.Channel // "" means Email; an SMS has Text alone
	Locale  string         // a BCP 47 tag; "" means en
	Subject string
	Text    string
	// HTML is a whole page. {{template "top" .}} and {{template "bottom" .}}
	// are the beginning and the end that the others have.
	HTML string
}

// Data is what a template gets.
type Data struct {
	App    string
	Locale string // of the template
	Kind   notify.Kind
	To     string // the address
	Name   Quoted // of the user
	Link   template.URL
	Code   string
	Phrase string // two words that the person has seen where they asked
	// Valid is how long link or code last, in English: 15 minutes, 7 days.
	Valid        string
	Time, Expire time.Time // in UTC
	Device       Quoted    // Firefox on Linux, or what else the client says of itself
	IP           string    // "" when it is not known
	Country      string    // ISO 3166-1 alpha-2, "" when it is not known
	Team         Quoted
	Inviter      Quoted
}

// Content is a message in words. An SMS has Text alone.
type Content struct {
	Name                string // of whom it is to, cleaned, for the header
	Subject, Text, HTML string
}

// Set makes the words of messages. It is safe for concurrent use.
type Set struct {
	app       string
	templates map[place][]*compiled // by the order of their languages
	matchers  map[place]language.Matcher
}

// place is what there are templates for.
type place struct {
	channel notify.Channel
	kind    notify.Kind
}

type compiled struct {
	locale        string
	subject, text *text.Template
	html          *template.Template // nil for SMS
}

//go:embed en.txt
var english string

//go:embed en.html
var englishPages string

// kinds are the kinds of messages with the channels that they go by.
var kinds = []struct {
	kind     notify.Kind
	channels []notify.Channel
}{
	{notify.MagicURL, byMail}, {notify.EmailOTP, byMail}, {notify.PhoneOTP, bySMS}, {notify.EmailVerification, byMail},
	{notify.PhoneVerification, bySMS}, {notify.Recovery, byMail}, {notify.Challenge, byBoth}, {notify.Invitation, byBoth},
	{notify.SessionAlert, byMail}, {notify.EmailChanged, byMail}, {notify.PhoneChanged, byBoth}, {notify.PasswordChanged, byBoth},
	{notify.FactorsChanged, byBoth}, {notify.IdentityChanged, byBoth},
}

var (
	byMail = []notify.Channel{notify.Email}
	bySMS  = []notify.Channel{notify.SMS}
	byBoth = []notify.Channel{notify.Email, notify.SMS}
)

// New returns a set. Every template is parsed and tried, so that one that cannot
// be used is an error here and not at three in the morning.
func New(c Config) (*Set, error) {
	app := clean(c.App, maxText)
	if app == "" || app != c.App {
		return nil, fmt.Errorf("templates: App %q is not 1 to %d characters without control characters", c.App, maxText)
	}
	fallback, err := language.Parse(orEnglish(c.Locale))
	if err != nil {
		return nil, fmt.Errorf("templates: Locale %q is no language", c.Locale)
	}
	words, err := text.New("en.txt").Parse(english)
	if err != nil {
		return nil, err
	}
	pages, err := template.New("en.html").Parse(englishPages)
	if err != nil {
		return nil, err
	}
	s := &Set{app: app, templates: make(map[place][]*compiled), matchers: make(map[place]language.Matcher)}
	for _, k := range kinds {
		for _, channel := range k.channels {
			builtin := &compiled{
				locale: "en", subject: words.Lookup(string(k.kind) + ".subject"), text: words.Lookup(string(k.kind)), html: pages.Lookup(string(k.kind)),
			}
			if channel == notify.SMS {
				builtin = &compiled{locale: "en", text: words.Lookup(string(k.kind) + ".sms")}
			}
			s.templates[place{channel, k.kind}] = []*compiled{builtin}
		}
	}
	for _, t := range c.Templates {
		if err := s.add(t, pages); err != nil {
			return nil, fmt.Errorf("templates: %s in %q: %w", t.Kind, t.Locale, err)
		}
	}
	for at, list := range s.templates {
		var tags []language.Tag
		slices.SortStableFunc(list, func(a, b *compiled) int { // the first is what a matcher falls back to
			return order(a.locale, fallback) - order(b.locale, fallback)
		})
		for _, t := range list {
			tags = append(tags, language.Make(t.locale))
		}
		s.matchers[at] = language.NewMatcher(tags)
	}
	return s, s.try()
}

// order puts the language that is fallen back to first, and English behind it.
func order(locale string, fallback language.Tag) int {
	switch locale {
	case fallback.String():
		return 0
	case "en":
		return 1
	}
	return 2
}

func orEnglish(locale string) string {
	if locale == "" {
		return "en"
	}
	return locale
}

// add compiles a template of the host's.
func (s *Set) add(t Template, pages *template.Template) error {
	if t.Channel == "" {
		t.Channel = notify.Email
	}
	at := place{t.Channel, t.Kind}
	if s.templates[at] == nil {
		return errors.New("there is no such message")
	}
	tag, err := language.Parse(orEnglish(t.Locale))
	if err != nil {
		return errors.New("not a language")
	}
	c := &compiled{locale: tag.String()}
	if c.text, err = text.New(string(t.Kind)).Parse(t.Text); err != nil {
		return err
	}
	switch {
	case t.Text == "", t.Channel == notify.Email && (t.Subject == "" || t.HTML == ""):
		return errors.New("a part is missing")
	case t.Channel == notify.SMS && (t.Subject != "" || t.HTML != ""):
		return errors.New("an SMS has Text alone")
	case t.Channel == notify.Email:
		if c.subject, err = text.New(string(t.Kind)).Parse(t.Subject); err != nil {
			return err
		}
		frame, err := pages.Clone()
		if err != nil {
			return err
		}
		if c.html, err = frame.New("page of the host").Parse(t.HTML); err != nil {
			return err
		}
	}
	s.templates[at] = slices.DeleteFunc(s.templates[at], func(old *compiled) bool { return old.locale == c.locale })
	s.templates[at] = append(s.templates[at], c)
	return nil
}

// try renders a message with every template.
func (s *Set) try() error {
	for at, list := range s.templates {
		for _, t := range list {
			m := Sample(at.kind, at.channel)
			if _, err := s.render(t, m); err != nil {
				return fmt.Errorf("templates: %s in %q: %w", at.kind, t.locale, err)
			}
		}
	}
	return nil
}

// Render returns a message in words, in the language of its Locale if there is
// one, and else in that of [Config].
func (s *Set) Render(m notify.Message) (Content, error) {
	at := place{m.Channel, m.Kind}
	list := s.templates[at]
	if list == nil {
		return Content{}, fmt.Errorf("templates: there are no words for a %s by %s", m.Kind, m.Channel)
	}
	i := 0
	if tags, _, err := language.ParseAcceptLanguage(m.Locale); err == nil && len(tags) > 0 {
		_, i, _ = s.matchers[at].Match(tags...)
	}
	return s.render(list[i], m)
}

func (s *Set) render(t *compiled, m notify.Message) (c Content, err error) {
	d, err := s.data(m, t.locale)
	if err != nil {
		return c, err
	}
	var b bytes.Buffer
	if err := t.text.Execute(&b, d); err != nil {
		return c, err
	}
	c.Text = strings.TrimSpace(b.String()) + "\n"
	if t.html == nil {
		c.Text = strings.TrimSpace(c.Text)
		return c, nil
	}
	b.Reset()
	if err := t.subject.Execute(&b, d); err != nil {
		return c, err
	}
	c.Subject = clean(b.String(), maxSubject)
	b.Reset()
	if err := t.html.Execute(&b, d); err != nil {
		return c, err
	}
	c.Name, c.HTML = d.Name.Plain(), b.String()
	return c, nil
}

func (s *Set) data(m notify.Message, locale string) (d Data, err error) {
	d = Data{
		App: s.app, Locale: locale, Kind: m.Kind, To: m.To, Code: m.Code(), Phrase: m.Phrase,
		Name: quote(m.Name), Team: quote(m.TeamName), Inviter: quote(m.Inviter),
		Valid: lasting(m.Expire.Sub(m.Time)), Time: m.Time.UTC(), Expire: m.Expire.UTC(),
		Device: deviceOf(m.Client), Country: strings.ToUpper(m.Client.Country),
	}
	if m.Client.IP.IsValid() {
		d.IP = m.Client.IP.String()
	}
	if m.Link != "" {
		u, err := url.Parse(m.Link)
		if err != nil || u.Scheme == "" || slices.Contains([]string{"javascript", "data", "vbscript"}, u.Scheme) {
			return d, errors.New("a link that leads nowhere")
		}
		d.Link = template.URL(m.Link) // also of the scheme of an app
	}
	return d, nil
}

// deviceOf says in a few words at what a message was asked for. All of it is what
// the client says.
func deviceOf(c notify.Client) Quoted {
	switch {
	case c.Browser != "" && c.OS != "":
		return quote(c.Browser + " on " + c.OS)
	case c.Browser+c.OS != "":
		return quote(c.Browser + c.OS)
	}
	return quote(c.UserAgent)
}

// lasting says how long a time is, in the greatest unit that it is a whole
// number of.
func lasting(d time.Duration) string {
	if d < time.Minute/2 {
		return "" // what does not run out, or is no message
	}
	const day = 24 * time.Hour
	unit, name := time.Minute, "minute"
	switch d = d.Round(time.Minute); {
	case d%day == 0:
		unit, name = day, "day"
	case d%time.Hour == 0:
		unit, name = time.Hour, "hour"
	}
	if d/unit != 1 {
		name += "s"
	}
	return fmt.Sprintf("%d %s", d/unit, name)
}
