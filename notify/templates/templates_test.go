package templates_test

import (
	"flag"
	"mime"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode"

	"golang.org/x/net/html"

	"example.com/latchkey/hidden"
	"example.com/latchkey/notify"
	"example.com/latchkey/notify/templates"
)

var writeMails = flag.String("write-mails", "", "folder into which every message is written, for a look at it")

// all lists the kinds of messages by channel.
var all = map[notify.Channel][]notify.Kind{
	notify.Email: {
		notify.MagicURL, notify.EmailOTP, notify.EmailVerification, notify.EmailChange, notify.Recovery, notify.Challenge, notify.Invitation, notify.SessionAlert,
		notify.EmailChanged, notify.PhoneChanged, notify.PasswordChanged, notify.FactorsChanged, notify.IdentityChanged, notify.AccountDeleted,
	},
	notify.SMS: {
		notify.PhoneOTP, notify.PhoneVerification, notify.PhoneChange, notify.Challenge, notify.Invitation, notify.EmailChanged, notify.PhoneChanged, notify.PasswordChanged, notify.FactorsChanged,
		notify.IdentityChanged, notify.AccountDeleted,
	},
}

func newSet(t testing.TB, c templates.Config) *templates.Set {
	t.Helper()
	if c.App == "" {
		c.App = "Demo"
	}
	set, err := templates.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func render(t testing.TB, set *templates.Set, m notify.Message) templates.Content {
	t.Helper()
	c, err := set.Render(m)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestEveryMessageHasWords(t *testing.T) {
	set := newSet(t, templates.Config{})
	for channel, kinds := range all {
		for _, kind := range kinds {
			m := templates.Sample(kind, channel)
			c := render(t, set, m)
			name := string(kind) + "." + string(channel)
			if *writeMails != "" {
				for ending, text := range map[string]string{".txt": c.Subject + "\n\n" + c.Text, ".html": c.HTML} {
					if text == "" {
						continue
					}
					if err := os.WriteFile(filepath.Join(*writeMails, name+ending), []byte(text), 0o600); err != nil {
						t.Fatal(err)
					}
				}
			}
			for part, text := range map[string]string{"text": c.Text, "page": shown(t, c.HTML)} {
				if part == "page" && channel == notify.SMS {
					continue
				}
				if !strings.Contains(text, "Demo") || !strings.Contains(text, m.Link.Reveal()) || !strings.Contains(text, m.Code()) || !strings.Contains(text, m.Phrase) {
					t.Errorf("%s: %s lacks something: %q", name, part, text)
				}
				if !m.Expire.IsZero() && !strings.Contains(text, "15 minutes") && !strings.Contains(text, "1 hour") && !strings.Contains(text, "7 days") {
					t.Errorf("%s: %s does not say how long: %q", name, part, text)
				}
				if digits := regexp.MustCompile(`\d{6}`).FindAllString(strings.ReplaceAll(text, m.To, ""), -1); m.Code() != "" && len(digits) != 1 {
					t.Errorf("%s: %s has %q", name, part, digits)
				}
			}
			for line := range strings.SplitSeq(c.Text, "\n") {
				if len([]rune(line)) > 78 && channel == notify.Email && !strings.Contains(line, m.Link.Reveal()) {
					t.Errorf("%s: a long line: %q", name, line)
				}
			}
			if channel == notify.SMS {
				if c.Subject != "" || c.HTML != "" || len(c.Text) > 160 || m.Code() != "" && !strings.HasPrefix(c.Text, m.Code()+" ") {
					t.Errorf("%s: %+v", name, c)
				}
				continue
			}
			if !strings.Contains(c.Subject, "Demo") || !m.Link.IsZero() && !strings.Contains(c.HTML, `href="`+strings.ReplaceAll(m.Link.Reveal(), "&", "&amp;")+`"`) {
				t.Errorf("%s: %q, %s", name, c.Subject, c.HTML)
			}
		}
	}
}

// shown returns the visible text of a page.
func shown(t testing.TB, page string) string {
	t.Helper()
	root, err := html.Parse(strings.NewReader(page))
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for n := range root.Descendants() {
		if n.Type == html.TextNode {
			b.WriteString(n.Data)
		}
	}
	return b.String()
}

func TestSubjectsAreTheDocumentedOnes(t *testing.T) {
	set := newSet(t, templates.Config{})
	for kind, want := range map[notify.Kind]string{
		notify.EmailVerification: "Account Verification for Demo", notify.Recovery: "Password Reset for Demo", notify.MagicURL: "Demo Login",
		notify.EmailOTP: "OTP for Demo Login", notify.Challenge: "Verification Code for Demo", notify.Invitation: "Invitation to The Bakers Team at Demo",
		notify.SessionAlert: "Security alert: new session on your Demo account",
	} {
		if got := render(t, set, templates.Sample(kind, notify.Email)).Subject; got != want {
			t.Errorf("%s: %q", kind, got)
		}
	}
}

// AC-112: subjects, and texts from other users and clients, contain no line ends.
// AC-113: texts from other users and clients are cleaned, cut and in quotation marks,
// and make neither markup nor a link.
func TestAC113WordsOfOthersAreQuotedAndHarmless(t *testing.T) {
	set := newSet(t, templates.Config{})
	plain := make(map[string]int)
	for channel, kinds := range all {
		for _, kind := range kinds {
			plain[string(channel)+string(kind)] = len(elements(t, render(t, set, templates.Sample(kind, channel)).HTML))
		}
	}
	for n, hostile := range []string{
		"<script>alert(1)</script>", `"><img src=x onerror=alert(1)>`, "{{.Link}} {{printf `%s` .Code}}", "</p></td><a href=https://evil.example/>here</a>",
		"https://evil.example/x", "http://2130706433/", "evil.example", "www。evil。example", "mailto:mallory@evil.example", "javascript:alert(1)", "//evil", `\\evil\x`,
		"you have won” Go to “evil.example", `" + "`, "a\r\nBcc: mallory@evil.example\r\n\r\nhello", "a\u2028b\u2029c\u0085d\x00e\tf",
		"\u202egnp.exe\u202c", "\u2066abc\u2069", "\u200fabc", "a\ufeffb", strings.Repeat("long ", 1000), strings.Repeat("漢", 500), "\xff\xfe", "=?utf-8?q?evil?=",
		"+1 900 555 0100", "' onmouseover='alert(1)", "${7*7} <%= 7*7 %> #{7*7}", "\U000e0041\U000e0042", "--\r\n-- ", "data:text/html,<b>x</b>",
		"=?utf-8?q?https=3A=2F=2Fevil=2Eexample=22?=", "A❞ says: x", "A\u02ee B\u2033 C\u02ba D\U0001f677", "evil\u2024example ｅｖｉｌ．example", "\u3164", "ａ＠ｂ．example",
		"your account is locked, unlock it at https://evil.example/login",
	} {
		for channel, kinds := range all {
			for _, kind := range kinds {
				m := templates.Sample(kind, channel)
				m.Name, m.TeamName, m.Inviter = hostile, hostile, hostile
				m.Client.IP, m.Client.UserAgent, m.Client.Browser, m.Client.OS = netip.MustParseAddr("192.0.2.7"), hostile, hostile, hostile
				if n%2 == 0 {
					m.Client.Browser, m.Client.OS = "", ""
				}
				c := render(t, set, m)
				if strings.ContainsFunc(c.Subject, func(r rune) bool { return unicode.IsControl(r) || unicode.In(r, unicode.Zl, unicode.Zp, unicode.Cf) }) ||
					len([]rune(c.Subject)) > 200 {
					t.Errorf("%s, %q: subject %q", kind, hostile, c.Subject)
				}
				rest := strings.NewReplacer(m.Link.Reveal(), "", m.To, "", "mail address", "").Replace(c.Text)
				if linked.MatchString(rest) || strings.ContainsAny(rest, "\r\x00\u2028\u2029\u0085\u202e\u2066\u200f\ufeff\t") {
					t.Errorf("%s, %q: %q", kind, hostile, rest)
				}
				if decoded, err := new(mime.WordDecoder).DecodeHeader(c.Subject + c.Name); err != nil || decoded != c.Subject+c.Name {
					t.Errorf("%s, %q: %q, %q", kind, hostile, c.Subject, c.Name)
				}
				if strings.Count(c.Text, "“") != strings.Count(c.Text, "”") || strings.ContainsAny(c.Text, "❞ˮ″ʺ🙷") {
					t.Errorf("%s, %q: %q", kind, hostile, c.Text)
				}
				if channel == notify.SMS {
					if strings.ContainsAny(c.Text, "\n\r") {
						t.Errorf("%s, %q: %q", kind, hostile, c.Text)
					}
					continue
				}
				found := elements(t, c.HTML)
				if len(found) != plain[string(channel)+string(kind)] && kind != notify.SessionAlert { // rows are missing if less is known of the client
					if extra := len(found) - plain[string(channel)+string(kind)]; extra > 0 {
						t.Errorf("%s, %q: %d elements more", kind, hostile, extra)
					}
				}
				for _, e := range found {
					for _, a := range e.Attr {
						if strings.HasPrefix(a.Key, "on") || a.Key == "src" || a.Key == "href" && a.Val != m.Link.Reveal() {
							t.Errorf("%s, %q: %s=%q", kind, hostile, a.Key, a.Val)
						}
					}
				}
				if rest := strings.NewReplacer(m.Link.Reveal(), "", m.To, "").Replace(shown(t, c.HTML)); linked.MatchString(rest) {
					t.Errorf("%s, %q: %q", kind, hostile, rest)
				}
			}
		}
	}
}

// linked matches texts that mail programs turn into links.
var linked = regexp.MustCompile(`(?i)[a-z]+:/|[a-z]:[a-z]|www\.[\p{L}\p{N}]|[\p{L}\p{N}-]+[.。．｡]\p{L}{2,}|[^\s“”]@[^\s“”]|\\\\`)

func elements(t testing.TB, page string) (found []*html.Node) {
	t.Helper()
	root, err := html.Parse(strings.NewReader(page))
	if err != nil {
		t.Fatal(err)
	}
	for n := range root.Descendants() {
		if n.Type == html.ElementNode {
			found = append(found, n)
		}
	}
	return found
}

func TestWordsOfOthersStayReadable(t *testing.T) {
	set := newSet(t, templates.Config{})
	for name, want := range map[string]string{
		"Ada Lovelace": "“Ada Lovelace”", "J.R.R. Tolkien": "“J. R. R. Tolkien”", "Zoë O'Brien": "“Zoë O'Brien”", "山田": "“山田”", "نیم\u200cفاصله": "“نیم\u200cفاصله”",
	} {
		m := templates.Sample(notify.SessionAlert, notify.Email)
		m.Name = name
		if c := render(t, set, m); !strings.Contains(c.Text, want) || !strings.Contains(shown(t, c.HTML), want) {
			t.Errorf("%s: %s", name, c.Text)
		}
	}
}

func TestLinksOfAppsStayAndLinksThatRunDoNot(t *testing.T) {
	set := newSet(t, templates.Config{})
	m := templates.Sample(notify.MagicURL, notify.Email)
	m.Link = hidden.New("myapp:/in?userId=a&secret=b#c")
	if c := render(t, set, m); !strings.Contains(c.HTML, `href="myapp:/in?userId=a&amp;secret=b#c"`) {
		t.Error(c.HTML)
	}
	for _, link := range []string{"javascript:alert(1)", "data:text/html,x", "JavaScript:x", "vbscript:x", "no scheme", "://"} {
		m.Link = hidden.New(link)
		if _, err := set.Render(m); err == nil {
			t.Errorf("%q is in a mail", link)
		}
	}
	m = templates.Sample(notify.MagicURL, notify.Email)
	m.Link = hidden.New(`https://app.example.org/"><script>`) // the engine makes no such link
	if c := render(t, set, m); strings.Contains(c.HTML, "<script>") {
		t.Error(c.HTML)
	}
	m.Link = hidden.New("") // the host did not say where links lead
	if c := render(t, set, m); strings.Contains(c.HTML, "href") {
		t.Error(c.HTML)
	}
}

func TestHostsReplaceTemplatesOneByOneByLanguage(t *testing.T) {
	german := templates.Template{
		Kind: notify.MagicURL, Locale: "de", Subject: "Anmelden bei {{.App}}", Text: "Hier: {{.Link}}",
		HTML: `{{template "top" .}}<p><a href="{{.Link}}">Anmelden</a>, {{.Name}}</p>{{template "bottom" .}}`,
	}
	set := newSet(t, templates.Config{Templates: []templates.Template{
		german, {Kind: notify.PhoneOTP, Channel: notify.SMS, Locale: "pt-BR", Text: "{{.Code}} é o seu código"},
		{Kind: notify.PasswordChanged, Subject: "New words", Text: "New {{.Name}}", HTML: "<p>New {{.Name}}</p>"},
	}})
	m := templates.Sample(notify.MagicURL, notify.Email)
	for locale, want := range map[string]string{
		"": "Demo Login", "de": "Anmelden bei Demo", "de-AT": "Anmelden bei Demo", "DE": "Anmelden bei Demo", "fr": "Demo Login", "fr, de;q=0.5, en;q=0.3": "Anmelden bei Demo",
		"not a locale \x00": "Demo Login", "*": "Demo Login", "en-GB": "Demo Login",
	} {
		m.Locale = locale
		if c := render(t, set, m); c.Subject != want {
			t.Errorf("%q: %q", locale, c.Subject)
		}
	}
	m.Locale, m.Name = "de", "<b>"
	if c := render(t, set, m); !strings.Contains(c.HTML, `lang="de"`) || !strings.Contains(c.HTML, "“&lt;b&gt;”") {
		t.Error(c.HTML)
	}
	m = templates.Sample(notify.PhoneOTP, notify.SMS)
	m.Locale = "pt-BR"
	if c := render(t, set, m); c.Text != "123456 é o seu código" {
		t.Error(c.Text)
	}
	if c := render(t, set, templates.Sample(notify.PasswordChanged, notify.Email)); c.Subject != "New words" || c.Text != "New “Ada Lovelace”\n" {
		t.Errorf("%+v", c)
	}
	inGerman := newSet(t, templates.Config{Locale: "de", Templates: []templates.Template{german}})
	for locale, want := range map[string]string{"": "Anmelden bei Demo", "fr": "Anmelden bei Demo", "en": "Demo Login"} {
		m := templates.Sample(notify.MagicURL, notify.Email)
		m.Locale = locale
		if c := render(t, inGerman, m); c.Subject != want {
			t.Errorf("German host, %q: %q", locale, c.Subject)
		}
	}
}

func TestTemplatesThatCannotBeUsedAreRefusedAtOnce(t *testing.T) {
	ok := templates.Template{Kind: notify.MagicURL, Subject: "s", Text: "t", HTML: "h"}
	for name, change := range map[string]func(c *templates.Config, w *templates.Template){
		"no app":        func(c *templates.Config, _ *templates.Template) { c.App = "" },
		"long app":      func(c *templates.Config, _ *templates.Template) { c.App = strings.Repeat("x", 65) },
		"line in app":   func(c *templates.Config, _ *templates.Template) { c.App = "a\nb" },
		"no language":   func(c *templates.Config, _ *templates.Template) { c.Locale = "!" },
		"kind":          func(_ *templates.Config, w *templates.Template) { w.Kind = "none" },
		"channel":       func(_ *templates.Config, w *templates.Template) { w.Channel = notify.SMS },
		"locale":        func(_ *templates.Config, w *templates.Template) { w.Locale = "!" },
		"no text":       func(_ *templates.Config, w *templates.Template) { w.Text = "" },
		"no page":       func(_ *templates.Config, w *templates.Template) { w.HTML = "" },
		"syntax":        func(_ *templates.Config, w *templates.Template) { w.Text = "{{" },
		"html syntax":   func(_ *templates.Config, w *templates.Template) { w.HTML = "{{if}}" },
		"unknown field": func(_ *templates.Config, w *templates.Template) { w.Subject = "{{.None}}" },
		"context":       func(_ *templates.Config, w *templates.Template) { w.HTML = `<a href="{{if .App}}"{{end}}>` },
	} {
		c, w := templates.Config{App: "Demo"}, ok
		change(&c, &w)
		c.Templates = []templates.Template{w}
		if _, err := templates.New(c); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
	set := newSet(t, templates.Config{})
	for _, m := range []notify.Message{{}, {Kind: notify.MagicURL, Channel: notify.SMS}, {Kind: "none", Channel: notify.Email}} {
		if _, err := set.Render(m); err == nil {
			t.Errorf("%+v has words", m)
		}
	}
}

func TestHowLongIsSaidInWords(t *testing.T) {
	set := newSet(t, templates.Config{})
	for valid, want := range map[time.Duration]string{
		time.Minute: "1 minute", 15 * time.Minute: "15 minutes", 90 * time.Minute: "90 minutes", time.Hour: "1 hour", 25 * time.Hour: "25 hours", 24 * time.Hour: "1 day",
	} {
		m := templates.Sample(notify.EmailOTP, notify.Email)
		m.Expire = m.Time.Add(valid)
		if c := render(t, set, m); !strings.Contains(c.Text, "within "+want+".") {
			t.Errorf("%v: %s", valid, c.Text)
		}
	}
}

func FuzzQuoted(f *testing.F) {
	set := newSet(f, templates.Config{})
	plain := len(elements(f, render(f, set, templates.Sample(notify.Invitation, notify.Email)).HTML))
	for _, seed := range []string{"Ada", "<b>", "evil.example", "a\r\nb", "“x”", "\u202e"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		m := templates.Sample(notify.Invitation, notify.Email)
		m.Name, m.TeamName, m.Inviter, m.Client.Browser, m.Client.OS, m.Client.UserAgent = s, s, s, s, "", s
		c := render(t, set, m)
		for part, text := range map[string]string{"subject": c.Subject, "text": c.Text, "page": shown(t, c.HTML)} {
			if rest := strings.NewReplacer(m.Link.Reveal(), "", m.To, "").Replace(text); linked.MatchString(rest) {
				t.Errorf("%s of %q: %q", part, s, rest)
			}
		}
		if strings.ContainsAny(c.Subject, "\r\n\x00") || len(elements(t, c.HTML)) != plain {
			t.Error(c)
		}
	})
}

// A stranger types the address, so it is no link in the mail: A12.
func TestA12TheAddressOfAStrangerHoldsNoLink(t *testing.T) {
	set, err := templates.New(templates.Config{App: "Bread"})
	if err != nil {
		t.Fatal(err)
	}
	for to, want := range map[string]string{
		"ada@example.org":                        "ada@example.org",
		"ada.l_2-x@example.org":                  "ada.l_2-x@example.org",
		"victim+www.evil.test/login@example.org": "victim@example.org",
		"www.evil.test/login@example.org":        "“www. evil. test/ login @ example. org”",
		"o'brien@example.org":                    "“o'brien @ example. org”",
		"+https.evil.test/x@example.org":         "“@ example. org”",
	} {
		m := notify.Message{ID: "1", Kind: notify.EmailOTP, Channel: notify.Email, To: to, Secret: hidden.New("123456")}
		content, err := set.Render(m)
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range []string{content.Text, html.UnescapeString(content.HTML)} {
			if !strings.Contains(strings.Join(strings.Fields(text), " "), strings.Join(strings.Fields(want), " ")) || strings.Contains(text, "evil.test") {
				t.Errorf("%s: %s", to, text)
			}
		}
	}
}
