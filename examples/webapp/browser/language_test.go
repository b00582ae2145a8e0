package browser

import (
	"testing"

	"example.com/latchkey/notify"
)

func TestPagesAreInTheLanguageOfTheBrowserUntilTheUserChoosesOne(t *testing.T) {
	s := newSite(t)
	s.member(ada)
	b := s.browser()
	lang := func(want string) {
		t.Helper()
		if got := eval[string](b, "document.documentElement.lang"); got != want {
			t.Errorf("%s is in %q, want %q", b.address(), got, want)
		}
	}
	b.open("/")
	lang("en")
	b.isA(eval[string](b, "navigator.userAgent"), "fr-CA,de-AT,en")
	b.open("/account?x=1")
	lang("de")
	b.shows("Anmelden", "Passwort vergessen?")
	b.write("E-Mail-Adresse", ada)
	b.write("Passwort", "falsch falsch")
	b.click("Anmelden")
	b.shows("Adresse oder Passwort ist falsch.")
	b.write("Passwort", password)
	b.click("Anmelden")
	lang("de")
	b.shows("Ihr Konto", "Zwei-Faktor-Anmeldung")
	b.click("English")
	lang("en")
	if u := b.address(); u.RequestURI() != "/account?x=1" {
		t.Errorf("the page is %s", u)
	}
	b.click("Sign out")
	lang("en")
	b.click("Deutsch")
	lang("de")
	b.shows("Sie sind abgemeldet.")
	b.open("/nothing")
	lang("de")
	b.shows("Diese Seite gibt es nicht.")
	b.open("/recover")
	b.write("E-Mail-Adresse", ada)
	b.click("Link senden")
	if m := s.message(ada, notify.Recovery); m.Locale != "de" {
		t.Errorf("the mail is in %q", m.Locale)
	}
}

func TestAnAddressWithoutAPageSaysSo(t *testing.T) {
	s := newSite(t)
	b := s.browser()
	if status := b.open("/nothing"); status != 404 {
		t.Errorf("status %d", status)
	}
	b.shows("There is no such page.", "Sign in")
	b.click("To the first page")
	b.at("/")
	b = s.signedIn(ada)
	for _, page := range []string{"/nothing", "/teams/nothing"} {
		if status := b.open(page); status != 404 {
			t.Errorf("%s: status %d", page, status)
		}
		b.shows("This did not work", "Sign out")
	}
}
