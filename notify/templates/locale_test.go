package templates_test

import (
	"strings"
	"testing"
	"time"

	"example.com/latchkey/notify"
	"example.com/latchkey/notify/templates"
)

// inLanguages returns a set of the host's language "de" with templates in some languages. The
// subject of each is its language.
func inLanguages(t *testing.T, host string, locales ...string) func(wanted string) string {
	t.Helper()
	var all []templates.Template
	for _, locale := range locales {
		all = append(all, templates.Template{
			Kind: notify.MagicURL, Locale: locale, Subject: locale, Text: "{{.Link}}", HTML: `{{template "top" .}}{{template "bottom" .}}`,
		})
	}
	set := newSet(t, templates.Config{Locale: host, Templates: all})
	return func(wanted string) string {
		m := templates.Sample(notify.MagicURL, notify.Email)
		m.Locale = wanted
		return render(t, set, m).Subject
	}
}

func TestALocaleIsReadEntryByEntry(t *testing.T) {
	subject := inLanguages(t, "ja", "ja", "de", "en", "fr", "pt")
	for locale, want := range map[string]string{
		"de-DE,es-ES_tradnl;q=0.5": "de", "de,en;q=0.8;": "de", "de;q=0.9,x": "de", "de,C": "de", "de;Q=0.9": "de", "de_DE.UTF-8": "de", "de-DE;q=0,9": "de",
		"chrome://global/locale/intl.properties,de;q=0.8": "de", "en;": "en", "de;q=abc,en;q=0.1": "de", " fr ; q = 0.8 , en ; q=0.3": "fr", "fr;q=0.0001": "fr",
		"fr;q=1.5": "fr", "en;q=0.7),fr": "fr", "fr-FR;q=0,9,en;q=0,8": "fr", "en;q=0,fr;q=0.1": "fr", "fr;q=0": "ja", "fr; q=0.000": "ja", "en;q=0, *;q=1": "ja",
		"*": "ja", " * ": "ja", "fr, *": "fr", "*;q=0.5, fr": "fr", "*, fr;q=0.5": "fr", ",,;,de": "de", "de@euro": "de", "ca_ES@valencia,pt_BR": "pt", "C.UTF-8": "ja",
		"fr-t-en-m0-ungegn, en;q=0.1": "fr", "fr-ZZ": "fr", "en-u-nu-arab,fr;q=0.1": "en", "x-private, fr": "fr", "en-": "en",
		"de;q=0.5;level=1,en;q=0.4": "de", "de;level=1;q=0.3,en;q=0.4": "en", "": "ja", ";;;": "ja", "q=0.9": "ja", "de,": "de", "de;q=0.8,,en;q=0.9": "en",
		"zz,qq;q=0.3,fr;q=0.1": "fr", "de;q=0.9;q=0.1": "de",
	} {
		if got := subject(locale); got != want {
			t.Errorf("%q: %s, want %s", locale, got, want)
		}
	}
}

func TestALanguageWithoutATemplateIsTheHostsOwn(t *testing.T) {
	for _, c := range []struct {
		templates    []string
		locale, want string
	}{
		{[]string{"en", "ru"}, "uk", "en"}, {[]string{"en", "ru"}, "uk-UA", "en"}, {[]string{"ru"}, "uk", "Demo Login"}, {[]string{"en", "ru"}, "uk,ru;q=0.5", "ru"},
		{[]string{"en", "es"}, "ca", "en"}, {[]string{"en", "fa"}, "ckb", "en"}, {[]string{"en", "fa"}, "ps-AF", "en"}, {[]string{"en", "it"}, "fur", "en"},
		{[]string{"en", "de"}, "nds", "en"}, {[]string{"en", "hi"}, "ur", "en"}, {[]string{"en", "fi"}, "sv", "en"},
		// These readers understand the other language, by the tables of Unicode.
		{[]string{"en", "no"}, "nb-NO,nb;q=0.9,no;q=0.8,en;q=0.7", "no"}, {[]string{"en", "no"}, "nn-NO", "no"}, {[]string{"en", "nb"}, "no", "nb"},
		{[]string{"en", "pt-PT"}, "pt-BR", "pt-PT"}, {[]string{"en", "de"}, "gsw-CH", "de"}, {[]string{"en", "he"}, "iw", "he"},
		// The first language wins, although the second is matched exactly.
		{[]string{"en", "zh-CN", "zh-TW"}, "zh-HK,zh;q=0.9,en;q=0.8", "zh-TW"}, {[]string{"en", "zh", "zh-Hant"}, "zh-HK,zh;q=0.9", "zh-Hant"},
		{[]string{"en", "zh-CN", "zh-TW"}, "zh-MO", "zh-TW"}, {[]string{"en", "zh-CN", "zh-TW"}, "zh-SG", "zh-CN"},
		{[]string{"en", "de"}, "de-CH,en;q=0.9", "de"},
	} {
		if got := inLanguages(t, "en", c.templates...)(c.locale); got != c.want && !(got == "Demo Login" && c.want == "en") {
			t.Errorf("%q of %v: %q, want %q", c.locale, c.templates, got, c.want)
		}
	}
}

func TestPagesHaveTheDirectionOfTheirLanguage(t *testing.T) {
	for locale, want := range map[string]string{
		"ar": "rtl", "he": "rtl", "fa-IR": "rtl", "ur": "rtl", "ckb": "rtl", "uz-Arab": "rtl", "yi": "rtl", "dv": "rtl", "nqo": "rtl", "ff-Adlm": "rtl", "syr": "rtl", "ug": "rtl", "rhg-Rohg": "rtl",
		"en": "ltr", "de": "ltr", "uz": "ltr", "ja": "ltr", "az": "ltr", "ff": "ltr", "hi": "ltr",
	} {
		set := newSet(t, templates.Config{Locale: "en", Templates: []templates.Template{{
			Kind: notify.EmailOTP, Locale: locale, Subject: "s", Text: "{{.Dir}} {{.Code}}", HTML: `{{template "top" .}}<p>{{.Code}}</p>{{template "bottom" .}}`,
		}}})
		m := templates.Sample(notify.EmailOTP, notify.Email)
		m.Locale = locale
		c := render(t, set, m)
		if !strings.Contains(c.HTML, `<html lang="`+locale+`" dir="`+want+`">`) || !strings.HasPrefix(c.Text, want+" ") {
			t.Errorf("%s: %s", locale, c.HTML[:60])
		}
		if english := strings.Contains(c.HTML, "was sent to"); english != (locale == "en") {
			t.Errorf("%s: an English sentence: %v", locale, english)
		}
	}
	own := newSet(t, templates.Config{Templates: []templates.Template{{
		Kind: notify.EmailOTP, Locale: "ar", Subject: "s", Text: "t", HTML: `{{define "bottom"}}<p>نهاية</p></body></html>{{end}}{{template "top" .}}{{template "bottom" .}}`,
	}}})
	m := templates.Sample(notify.EmailOTP, notify.Email)
	m.Locale = "ar"
	if c := render(t, own, m); !strings.Contains(c.HTML, "نهاية") || strings.Contains(c.HTML, "<hr") {
		t.Error(c.HTML)
	}
}

// The words about the time that is left count from the sending, and are never longer than the
// time that there is.
func TestTheTimeThatIsLeftCountsFromTheSending(t *testing.T) {
	set := newSet(t, templates.Config{Templates: []templates.Template{{
		Kind: notify.EmailOTP, Locale: "de", Subject: "s", HTML: "h",
		Text: `{{.ValidNumber}} {{if eq .ValidUnit "minute"}}Minuten{{else if eq .ValidUnit "hour"}}Stunden{{else}}Tage{{end}} ({{.ValidMinutes}})`,
	}}})
	for _, c := range []struct {
		valid, late     time.Duration
		english, german string
	}{
		{15 * time.Minute, 0, "15 minutes", "15 Minuten (15)"},
		{15 * time.Minute, 5*time.Minute + 41*time.Second, "9 minutes", "9 Minuten (9)"},
		{15 * time.Minute, 200 * time.Millisecond, "15 minutes", "15 Minuten (15)"},
		{15 * time.Minute, 14 * time.Minute, "1 minute", "1 Minuten (1)"},
		{time.Hour, time.Minute, "59 minutes", "59 Minuten (59)"},
		{time.Hour, 2 * time.Second, "1 hour", "1 Stunden (60)"},
		{7 * 24 * time.Hour, 3 * time.Second, "7 days", "7 Tage (10080)"},
		{7 * 24 * time.Hour, 6 * time.Minute, "6 days", "6 Tage (10074)"},
		{24 * time.Hour, 6 * time.Minute, "23 hours", "23 Stunden (1434)"},
		{15 * time.Minute, 30 * time.Second, "14 minutes", "14 Minuten (14)"},
		{time.Hour, 30 * time.Second, "59 minutes", "59 Minuten (59)"},
		{3 * time.Hour, 20 * time.Second, "179 minutes", "179 Minuten (179)"},
		{48 * time.Hour, 20 * time.Second, "47 hours", "47 Stunden (2879)"},
		{15 * time.Minute, 14*time.Minute + 10*time.Second, "less than a minute", "0 Minuten (0)"},
		{15 * time.Minute, 15 * time.Minute, "less than a minute", "0 Minuten (0)"},
		{150 * time.Minute, 0, "150 minutes", "150 Minuten (150)"},
	} {
		m := templates.Sample(notify.EmailOTP, notify.Email)
		m.Expire, m.Sending = m.Time.Add(c.valid), m.Time.Add(c.late)
		if got := render(t, set, m); !strings.Contains(got.Text, "within "+c.english+".") {
			t.Errorf("%v after %v: %s", c.valid, c.late, got.Text)
		}
		m.Locale = "de"
		if got := render(t, set, m); strings.TrimSpace(got.Text) != c.german {
			t.Errorf("%v after %v: %s", c.valid, c.late, got.Text)
		}
	}
}

func TestTimesAreInTheZoneOfTheHost(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	own := []templates.Template{{Kind: notify.EmailOTP, Subject: "s", HTML: "h", Text: `{{.Expire.Format "15:04 MST"}}`}}
	for _, c := range []struct {
		zone         *time.Location
		now          time.Time
		own, builtin string
	}{
		{berlin, time.Date(2026, 7, 1, 13, 51, 0, 0, time.UTC), "16:01 CEST", "1 July 2026, 15:51 CEST"},
		{berlin, time.Date(2026, 1, 1, 13, 51, 0, 0, time.UTC), "15:01 CET", "1 January 2026, 14:51 CET"},
		{berlin, time.Date(2026, 12, 31, 23, 30, 0, 0, time.UTC), "00:40 CET", "1 January 2027, 00:30 CET"},
		{nil, time.Date(2026, 7, 1, 13, 51, 0, 0, time.UTC), "14:01 UTC", "1 July 2026, 13:51 UTC"},
	} {
		set := newSet(t, templates.Config{TimeZone: c.zone, Templates: own})
		m := templates.Sample(notify.EmailOTP, notify.Email)
		m.Time, m.Expire = c.now, c.now.Add(10*time.Minute)
		if got := strings.TrimSpace(render(t, set, m).Text); got != c.own {
			t.Errorf("%s, want %s", got, c.own)
		}
		m = templates.Sample(notify.SessionAlert, notify.Email)
		m.Time = c.now
		if got := render(t, set, m); !strings.Contains(got.Text, c.builtin+"\n") || !strings.Contains(shown(t, got.HTML), c.builtin) {
			t.Errorf("%s, want %s", got.Text, c.builtin)
		}
	}
}

func FuzzLocale(f *testing.F) {
	set := newSet(f, templates.Config{Templates: []templates.Template{{Kind: notify.MagicURL, Locale: "de", Subject: "de", Text: "t", HTML: "h"}}})
	for _, locale := range []string{"de;q=0,9", "*", "x-a,de", "de_DE.UTF-8@x", "en-u-nu-arab;q=9e9", "de;q=NaN", "de;q=-1"} {
		f.Add(locale)
	}
	f.Fuzz(func(t *testing.T, locale string) {
		m := templates.Sample(notify.MagicURL, notify.Email)
		m.Locale = locale
		render(t, set, m)
	})
}
