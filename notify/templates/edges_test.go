package templates_test

import (
	"strings"
	"testing"
	"time"

	"example.com/latchkey/notify"
	"example.com/latchkey/notify/templates"
)

func TestOddEntriesOfALocaleAreRead(t *testing.T) {
	subject := inLanguages(t, "ja", "ja", "de", "en", "fr", "ar")
	for locale, want := range map[string]string{
		"de;Q=0.1,en;q=0.5": "en",                                         // the name of the quality in any case
		"fr,en;q=1.5":       "fr", "fr,en;q=1e9": "fr", "fr,en;q=9": "fr", // at most 1
		"fr;q=0,9x": "ja", "fr;q=0,5de,en;q=0.1": "en", // no fraction follows the comma
		"de.UTF-8": "de", "fr.ISO-8859-1@euro": "fr", "de.utf8,en;q=0.5": "de", // names of POSIX
		"und": "ja", "und,en;q=0.1": "en", // no language
	} {
		if got := subject(locale); got != want {
			t.Errorf("%q: %s, want %s", locale, got, want)
		}
	}
}

// A message that is rendered after its code has run out says nothing below zero, and a notice says
// nothing about validity.
func TestNoTimeIsLeftAfterTheEnd(t *testing.T) {
	own := `{{.Valid}}|{{.ValidNumber}}|{{.ValidUnit}}|{{.ValidMinutes}}`
	set := newSet(t, templates.Config{Templates: []templates.Template{
		{Kind: notify.EmailOTP, Subject: "s", HTML: "h", Text: own}, {Kind: notify.SessionAlert, Subject: "s", HTML: "h", Text: own},
	}})
	m := templates.Sample(notify.EmailOTP, notify.Email)
	for _, late := range []time.Duration{16 * time.Minute, 3 * time.Hour, 72 * time.Hour} {
		m.Expire, m.Sending = m.Time.Add(15*time.Minute), m.Time.Add(late)
		if got := strings.TrimSpace(render(t, set, m).Text); got != "less than a minute|0|minute|0" {
			t.Errorf("after %v: %s", late, got)
		}
	}
	notice := templates.Sample(notify.SessionAlert, notify.Email)
	notice.Sending = notice.Time.Add(time.Minute)
	if got := strings.TrimSpace(render(t, set, notice).Text); got != "|0||0" {
		t.Errorf("a notice: %s", got)
	}
}
