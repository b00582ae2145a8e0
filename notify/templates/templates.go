// Package templates writes the texts of messages: a subject, a plain text and an
// HTML page for mail, one line for SMS. It has an English template for every kind of
// message. A host can replace each of them, and add languages.
//
//	set, err := templates.New(templates.Config{App: "Bread", Templates: []templates.Template{{
//		Kind: notify.MagicURL, Locale: "de", Subject: "Anmelden bei {{.App}}",
//		Text: `{{.Link}} (gilt noch {{.ValidMinutes}} Minuten, bis {{.Expire.Format "15:04 MST"}})`,
//		HTML: `{{template "top" .}}<p><a href="{{.Link}}">Anmelden</a></p>{{template "bottom" .}}`,
//	}}})
//	mail, err := set.Render(message)
//
// Texts from outside are the names of users and teams, and the names by which
// clients call themselves. A template gets them as a [Quoted]: cleaned, cut and in
// quotation marks. Such a text cannot be a link, and cannot be mistaken for a text
// of the service.
package templates

import (
	"bytes"
	"cmp"
	_ "embed"
	"errors"
	"fmt"
	"html/template"
	"log/slog"
	"net/url"
	"slices"
	"strings"
	text "text/template"
	"time"

	"golang.org/x/text/language"

	"example.com/latchkey/hidden"
	"example.com/latchkey/notify"
)

// Config configures a [Set].
type Config struct {
	// App is the name of the service, 1 to 64 characters.
	App string
	// Locale is the fallback language, a BCP 47 tag: it is used if no template is in
	// the language of the recipient, nor in one that its readers understand by the
	// tables of Unicode (CLDR). "" means en.
	Locale string
	// TimeZone is the zone of the times in the texts. nil means UTC.
	TimeZone *time.Location
	// Support is where users get help: an e-mail address, or the address of a page, at most 128
	// characters. The mails that warn of a stranger name it. With "" they name App alone.
	Support string
	// Templates replace built-in templates, or add languages.
	Templates []Template
}

// Template is the text of one kind of message in one language. Subject and Text have
// the syntax of package text/template, HTML that of html/template. All three are
// executed with a [Data].
type Template struct {
	Kind    notify.Kind
	Channel notify.Channel // "" means Email. An SMS has only Text.
	Locale  string         // a BCP 47 tag; "" means en
	Subject string
	Text    string
	// HTML is a whole page. {{template "top" .}} and {{template "bottom" .}} are
	// the beginning and the end of the built-in pages: "top" has the language and its
	// direction, and "bottom" has an English sentence only in an English page. A page
	// that begins with {{define "bottom"}} has an end of its own.
	HTML string
}

// Data is the input of a template.
type Data struct {
	App     string
	Support string // of Config; "" without one
	Locale  string // of the template
	Dir     string // its direction: ltr, or rtl for Arabic, Hebrew and the like
	Kind    notify.Kind
	To      string // the address, without the part after a + and with odd signs quoted
	Name    Quoted // of the user
	Link    template.URL
	Code    string
	Phrase  string // two words that the user saw when they asked for the message
	// Valid is the time that the link or code is left when the message is sent, in English:
	// 15 minutes, 7 days, less than a minute. A time that is no whole number of minutes, or not
	// of hours from three hours on, or not of days from two days on, is rounded down. Five
	// seconds are added to it before. ValidNumber and ValidUnit (minute, hour or day) are its
	// parts, for other languages, and ValidMinutes is all of it in minutes. They are "" and 0
	// for notices.
	Valid        string
	ValidNumber  int
	ValidUnit    string
	ValidMinutes int
	Time, Expire time.Time // in the TimeZone of Config; 15:04 MST prints the name of the zone
	Device       Quoted    // Firefox on Linux, or the whole user agent; the client's own claim
	IP           string    // "" if not known
	Country      string    // ISO 3166-1 alpha-2 in upper case, "" if not known
	Change       notify.Change
	HasPasskeys  bool // as in notify.Message
	Team         Quoted
	Inviter      Quoted
}

// Content is the rendered text of a message. An SMS has only Text. Printed and logged, it
// shows its subject. It cannot be encoded: a sender puts the parts into the form of its
// service.
type Content struct {
	Name                string // the recipient's name, cleaned, for the To header
	Subject, Text, HTML string
}

// Format prints the subject, for every verb.
func (c Content) Format(f fmt.State, _ rune) { _, _ = fmt.Fprintf(f, "content %q", c.Subject) }

// LogValue logs the subject.
func (c Content) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(c)) }

// MarshalText fails with [hidden.ErrNotEncoded].
func (c Content) MarshalText() ([]byte, error) { return nil, hidden.ErrNotEncoded }

// GobEncode fails with [hidden.ErrNotEncoded].
func (c Content) GobEncode() ([]byte, error) { return nil, hidden.ErrNotEncoded }

// Set renders messages. It is safe for concurrent use.
type Set struct {
	app       string
	support   string
	zone      *time.Location
	templates map[place][]*compiled // the fallback first
	matchers  map[place]language.Matcher
}

// place is a key of the templates. Each place has one template for each language.
type place struct {
	channel notify.Channel
	kind    notify.Kind
}

// english is the language of the built-in templates.
const english = "en"

type compiled struct {
	locale        string
	subject, text *text.Template
	html          *template.Template // nil for SMS
}

//go:embed en.txt
var englishTexts string

//go:embed en.html
var englishPages string

// kinds are the kinds of messages, with the channels by which each is sent.
var kinds = []struct {
	kind     notify.Kind
	channels []notify.Channel
}{
	{notify.MagicURL, byMail}, {notify.EmailOTP, byMail}, {notify.PhoneOTP, bySMS}, {notify.EmailVerification, byMail},
	{notify.PhoneVerification, bySMS}, {notify.EmailChange, byMail}, {notify.PhoneChange, bySMS}, {notify.Recovery, byMail}, {notify.Challenge, byBoth}, {notify.Invitation, byBoth},
	{notify.SessionAlert, byMail}, {notify.EmailChanged, byBoth}, {notify.PhoneChanged, byBoth}, {notify.PasswordChanged, byBoth},
	{notify.FactorsChanged, byBoth}, {notify.IdentityChanged, byBoth}, {notify.AccountDeleted, byBoth},
}

var (
	byMail = []notify.Channel{notify.Email}
	bySMS  = []notify.Channel{notify.SMS}
	byBoth = []notify.Channel{notify.Email, notify.SMS}
)

// New returns a set. It parses every template and renders a [Sample] with it, so that
// a broken template is an error at start and not at three in the morning.
func New(c Config) (*Set, error) {
	app := clean(c.App, maxText)
	if app == "" || app != c.App {
		return nil, fmt.Errorf("templates: App %q is not 1 to %d characters without control characters", c.App, maxText)
	}
	support := clean(c.Support, maxSupport)
	if support != c.Support {
		return nil, fmt.Errorf("templates: Support is not at most %d characters without control characters", maxSupport)
	}
	fallback, err := language.Parse(cmp.Or(c.Locale, english))
	if err != nil {
		return nil, fmt.Errorf("templates: Locale %q is not a language", c.Locale)
	}
	words, err := text.New("en.txt").Parse(englishTexts)
	if err != nil {
		return nil, err
	}
	pages, err := template.New("en.html").Parse(englishPages)
	if err != nil {
		return nil, err
	}
	s := &Set{app: app, support: support, zone: cmp.Or(c.TimeZone, time.UTC), templates: make(map[place][]*compiled), matchers: make(map[place]language.Matcher)}
	for _, k := range kinds {
		for _, channel := range k.channels {
			builtin := &compiled{
				locale: english, subject: words.Lookup(string(k.kind) + ".subject"), text: words.Lookup(string(k.kind)), html: pages.Lookup(string(k.kind)),
			}
			if channel == notify.SMS {
				builtin = &compiled{locale: english, text: words.Lookup(string(k.kind) + ".sms")}
			}
			s.templates[place{channel, k.kind}] = []*compiled{builtin}
		}
	}
	for _, t := range c.Templates {
		if err := s.add(t, pages); err != nil {
			return nil, fmt.Errorf("templates: %s in %q: %w", t.Kind, cmp.Or(t.Locale, english), err)
		}
	}
	for at, list := range s.templates {
		var tags []language.Tag
		slices.SortStableFunc(list, func(a, b *compiled) int { // a matcher falls back to the first
			return order(a.locale, fallback) - order(b.locale, fallback)
		})
		for _, t := range list {
			tags = append(tags, language.Make(t.locale))
		}
		s.matchers[at] = language.NewMatcher(tags)
	}
	return s, s.try()
}

// order puts the fallback language first, and English after it.
func order(locale string, fallback language.Tag) int {
	switch locale {
	case fallback.String():
		return 0
	case english:
		return 1
	}
	return 2
}

// add compiles a template of the host, and puts it in the place of an older one.
func (s *Set) add(t Template, pages *template.Template) error {
	if t.Channel == "" {
		t.Channel = notify.Email
	}
	at := place{t.Channel, t.Kind}
	if s.templates[at] == nil {
		return errors.New("there is no such message")
	}
	tag, err := language.Parse(cmp.Or(t.Locale, english))
	if err != nil {
		return errors.New("not a language")
	}
	c := &compiled{locale: tag.String()}
	c.text, err = text.New(string(t.Kind)).Parse(t.Text)
	if err != nil {
		return err
	}
	switch {
	case t.Text == "":
		return errors.New("no Text")
	case t.Channel == notify.Email && t.Subject == "":
		return errors.New("no Subject")
	case t.Channel == notify.Email && t.HTML == "":
		return errors.New("no HTML")
	case t.Channel == notify.SMS && (t.Subject != "" || t.HTML != ""):
		return errors.New("an SMS has only Text")
	case t.Channel == notify.Email:
		c.subject, err = text.New(string(t.Kind)).Parse(t.Subject)
		if err != nil {
			return err
		}
		frame, err := pages.Clone()
		if err != nil {
			return err
		}
		c.html, err = frame.New("page of the host").Parse(t.HTML)
		if err != nil {
			return err
		}
	}
	s.templates[at] = slices.DeleteFunc(s.templates[at], func(old *compiled) bool { return old.locale == c.locale })
	s.templates[at] = append(s.templates[at], c)
	return nil
}

// try renders a sample with every template.
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

// Render returns the text of a message. It uses the template in the first language of the
// message's Locale that there is one for, or the one in the fallback language of [Config].
func (s *Set) Render(m notify.Message) (Content, error) {
	at := place{m.Channel, m.Kind}
	list := s.templates[at]
	if list == nil {
		return Content{}, fmt.Errorf("templates: there is no template for a %s by %s", m.Kind, m.Channel)
	}
	for _, tag := range wanted(m.Locale) {
		// One by one, because an exact match of a later language beats a good one of the
		// first otherwise.
		if _, i, confidence := s.matchers[at].Match(tag); confidence > language.No {
			return s.render(list[i], m)
		}
	}
	return s.render(list[0], m)
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
	left := m.Expire.Sub(m.Time)
	if !m.Sending.IsZero() {
		left = m.Expire.Sub(m.Sending)
	}
	d = Data{
		App: s.app, Support: s.support, Change: m.Change, HasPasskeys: m.HasPasskeys, Locale: locale, Dir: direction(locale), Kind: m.Kind, To: shownAddress(m.To), Code: m.Code(), Phrase: m.Phrase,
		Name: quote(m.Name), Team: quote(m.TeamName), Inviter: quote(m.Inviter),
		Time: m.Time.In(s.zone), Expire: m.Expire.In(s.zone),
		Device: deviceOf(m.Client), Country: strings.ToUpper(m.Client.Country),
	}
	if !m.Expire.IsZero() {
		d.ValidNumber, d.ValidUnit = lasting(left + underWay)
		d.ValidMinutes = max(int((left+underWay)/time.Minute), 0)
		d.Valid = inWords(d.ValidNumber, d.ValidUnit)
	}
	if m.Client.IP.IsValid() {
		d.IP = m.Client.IP.String()
	}
	if link := m.Link.Reveal(); link != "" {
		u, err := url.Parse(link)
		if err != nil || u.Scheme == "" || slices.Contains([]string{"javascript", "data", "vbscript"}, u.Scheme) {
			return d, errors.New("the link has no scheme, or one that runs code")
		}
		d.Link = template.URL(link) // an app's own scheme is allowed
	}
	return d, nil
}

// deviceOf names the device of a client in a few words. All of them are the client's
// own claim.
func deviceOf(c notify.Client) Quoted {
	switch {
	case c.Browser != "" && c.OS != "":
		return quote(c.Browser + " on " + c.OS)
	case c.Browser+c.OS != "":
		return quote(c.Browser + c.OS)
	}
	return quote(c.UserAgent)
}

// underWay is how much of its time a message may lose on its way without a word of it.
const underWay = 5 * time.Second

// lasting returns a duration as a number of the largest unit that fits, rounded down: 90 minutes,
// 25 hours, 1 day.
func lasting(d time.Duration) (number int, unit string) {
	const day = 24 * time.Hour
	d = max(d.Truncate(time.Minute), 0)
	switch {
	case d >= day && d%day == 0, d >= 2*day:
		return int(d / day), "day"
	case d >= time.Hour && d%time.Hour == 0, d >= 3*time.Hour:
		return int(d / time.Hour), "hour"
	}
	return int(d / time.Minute), "minute"
}

// inWords returns a number of units in English.
func inWords(number int, unit string) string {
	if number == 0 {
		return "less than a minute"
	}
	if number != 1 {
		unit += "s"
	}
	return fmt.Sprintf("%d %s", number, unit)
}
