package browser

import (
	"io"
	"net/http"
	"testing"
	"time"

	"example.com/latchkey/notify"
)

// links asks for a link of every kind, and returns them by the name of its button.
func (s *site) links() map[string]string {
	s.t.Helper()
	all := make(map[string]string)
	b := s.browser()
	b.signUp("Carol", "carol@example.org")
	all["Confirm"] = s.mail("carol@example.org", notify.EmailVerification)

	b = s.signedIn(ada)
	b.unfold("Change the e-mail address")
	b.write("New e-mail address", "countess@example.org")
	b.write("Password", password)
	b.click("Send the link")
	all["Change the address"] = s.mail("countess@example.org", notify.EmailChange)
	b.makeTeam("Engines")
	all["Accept"] = b.invite(bob)

	b = s.signedIn("dan@example.org")
	b.unfold("Change the e-mail address")
	b.write("New e-mail address", "daniel@example.org")
	b.write("Password", password)
	b.click("Send the link")
	b.open(s.mail("daniel@example.org", notify.EmailChange))
	b.click("Change the address")
	all["Take the address back"] = s.mail("dan@example.org", notify.EmailChanged)

	s.member("eve@example.org")
	b = s.browser()
	b.open("/recover")
	b.write("E-mail address", "eve@example.org")
	b.click("Send the link")
	all["Set the password"] = s.mail("eve@example.org", notify.Recovery)
	s.member("fay@example.org")
	b.open("/sign-in")
	b.write("E-mail address", "fay@example.org")
	b.click("Send a link")
	all["Sign in"] = s.mail("fay@example.org", notify.MagicURL)
	return all
}

// use opens a link in a browser of its user, and presses its button.
func (s *site) use(button, link string) *tab {
	s.t.Helper()
	b := s.browser()
	if button == "Change the address" {
		b.signIn(ada)
	}
	b.open(link)
	if button == "Set the password" {
		b.write("New password, at least 8 characters", "another battery staple")
	}
	b.click(button)
	return b
}

func TestALinkWorksOnceAndAfterAMailScannerHasOpenedIt(t *testing.T) {
	s := newSite(t)
	scanner := &http.Client{Timeout: patience}
	for button, link := range s.links() {
		for range 2 {
			for _, method := range []string{http.MethodHead, http.MethodGet} {
				r, err := http.NewRequestWithContext(t.Context(), method, link, nil)
				if err != nil {
					t.Fatal(err)
				}
				r.Header.Set("Accept", "text/html,*/*")
				response, err := scanner.Do(r)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := io.Copy(io.Discard, response.Body); err != nil {
					t.Fatal(err)
				}
				_ = response.Body.Close() // it was read
				if response.StatusCode != http.StatusOK {
					t.Errorf("%s: %s is answered with %d", button, method, response.StatusCode)
				}
			}
		}
		s.browser().open(link) // a scanner that is a browser
		b := s.use(button, link)
		b.lacks("This link does not work")
		want := map[string]string{
			"Confirm": "Your e-mail address is confirmed.", "Change the address": "The e-mail address is changed.", "Accept": "You are a member of the team.",
			"Take the address back": "The address is yours again.", "Set the password": "The password is set.", "Sign in": "fay@example.org",
		}[button]
		b.shows(want)
		b = s.browser()
		b.open(link)
		if button == "Accept" {
			b.click(button)
		}
		b.shows("This link does not work")
	}
}

func TestAnExpiredLinkLeadsToAPageThatSaysSo(t *testing.T) {
	s := newSite(t)
	all := s.links()
	s.Clock.Advance(8 * 24 * time.Hour)
	for button, link := range all {
		b := s.browser()
		b.open(link)
		if button == "Accept" { // the page of an invitation cannot look at it
			b.click(button)
		}
		if len(b.find("This link does not work", "heading")) != 1 {
			t.Errorf("%s: %s", button, b.text())
		}
	}
	b := s.browser()
	b.open(all["Sign in"])
	b.click("Set a new password")
	b.at("/recover")
}

func TestALinkThatIsOpenWhenItExpiresSaysSo(t *testing.T) {
	s := newSite(t)
	s.member(ada)
	b := s.browser()
	b.open("/recover")
	b.write("E-mail address", ada)
	b.click("Send the link")
	b.open(s.mail(ada, notify.Recovery))
	s.Clock.Advance(2 * time.Hour)
	b.write("New password, at least 8 characters", "another battery staple")
	b.click("Set the password")
	b.shows("This link does not work")
}
