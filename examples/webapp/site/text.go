package site

import (
	"embed"
	"encoding/json"
	"fmt"
	"html/template"
	"net/http"
	"strings"
	"time"

	"example.com/latchkey/web"
)

//go:embed texts
var textFiles embed.FS

// languages are those of the pages, the default first.
var languages = []string{"en", "de"}

// texts are the words of each language: by the English words, and for errors, reasons and lines of the log
// by their names.
var texts = func() map[string]map[string]string {
	all := make(map[string]map[string]string)
	for _, lang := range languages {
		text, err := textFiles.ReadFile("texts/" + lang + ".json")
		if err != nil {
			panic(err)
		}
		var words map[string]string
		if err := json.Unmarshal(text, &words); err != nil {
			panic(err)
		}
		all[lang] = words
	}
	return all
}()

// languageCookie keeps the language that a user has chosen.
const languageCookie = "language"

// languageOf returns the language of a request: the one that its user has chosen, or the first one of the
// browser that there is.
func languageOf(r *http.Request) string {
	if c, err := r.Cookie(languageCookie); err == nil && texts[c.Value] != nil {
		return c.Value
	}
	for entry := range strings.SplitSeq(r.Header.Get("Accept-Language"), ",") {
		name, _, _ := strings.Cut(strings.TrimSpace(entry), ";")
		name, _, _ = strings.Cut(name, "-")
		if name = strings.ToLower(name); texts[name] != nil {
			return name
		}
	}
	return languages[0]
}

// translate returns a sentence in a language. English needs no entry.
func translate(lang, words string, values ...any) string {
	if other := texts[lang][words]; other != "" {
		words = other
	}
	if len(values) == 0 {
		return words
	}
	return fmt.Sprintf(words, values...)
}

// sentence returns the words of a problem. In English they are the engine's.
func sentence(lang string, p web.Problem) string {
	key := p.Type
	if p.Reason != "" {
		key = p.Reason
	}
	words := texts[lang][key]
	switch {
	case words != "":
	case lang == languages[0]:
		words = p.Message + "."
	default:
		words = translate(lang, "Something went wrong. Please try again later.")
	}
	if p.RetryAfter > 0 {
		words += " " + translate(lang, "Please wait for %s.", wait(lang, p.RetryAfter))
	}
	return words
}

// wait returns a time to wait in words.
func wait(lang string, seconds int) string {
	if seconds < 120 {
		return translate(lang, "%d seconds", seconds)
	}
	return translate(lang, "%d minutes", (seconds+59)/60)
}

// date returns a time as people read it.
func date(lang string, t time.Time) template.HTML {
	if t.IsZero() {
		return template.HTML(template.HTMLEscapeString(translate(lang, "never")))
	}
	layout := "2 Jan 2006, 15:04"
	if lang == "de" {
		layout = "2.1.2006, 15:04"
	}
	return stamp(t, time.RFC3339, layout+" UTC")
}

// day returns the day of a time. The engine notes when a session was last used once a day.
func day(lang string, t time.Time) template.HTML {
	switch {
	case t.IsZero():
		return date(lang, t)
	case lang == "de":
		return stamp(t, time.DateOnly, "2.1.2006")
	}
	return stamp(t, time.DateOnly, "2 Jan 2006")
}

// stamp returns a time for programs and for people.
func stamp(t time.Time, exact, layout string) template.HTML {
	t = t.UTC()
	return template.HTML(fmt.Sprintf(`<time datetime="%s">%s</time>`, t.Format(exact), t.Format(layout))) // digits and letters
}
