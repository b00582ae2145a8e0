package browser

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestAProofInOneTabSignsNobodyOutInTheOther(t *testing.T) {
	s := newSite(t)
	app, _ := s.signedIn(ada).enrol()
	one := s.browser()
	one.open("/account/log")
	one.signIn(ada)
	one.at("/factor")
	two := one.tab()
	two.open("/teams")
	two.at("/factor")
	one.write("Code from your authenticator app", app.Code())
	one.click("Confirm")
	one.at("/account/log")
	two.click("Webapp") // on a page from before
	two.shows("Hello, Ada")
	one.click("Account")
	one.at("/account")

	s.Clock.Advance(time.Hour)
	two.click("Account")
	two.click("Delete the account")
	two.write("Type in your e-mail address to confirm", ada)
	two.click("Delete the account")
	two.at("/confirm")
	two.write("Code from your authenticator app", app.Code())
	two.click("Confirm")
	two.at("/account/delete")
	one.click("What has happened") // on a page from before
	one.shows("You proved a second factor.")
	two.click("Account")
	two.at("/account")
}

func TestAClickThatWasOnItsWayDuringAProofLeadsToItsPage(t *testing.T) {
	s := newSite(t)
	one := s.signedIn(ada)
	two := one.tab()
	two.open("/account")
	s.Clock.Advance(time.Hour)
	one.open("/account/factors")
	one.click("Set it up")
	one.at("/confirm")

	gate := s.hold("/teams")
	node := two.one("Teams", "link")
	status := two.follow(func() {
		two.press(node) // with the present secret of the session
		<-gate.arrived
		one.write("Password", password)
		one.click("Confirm") // from now on it has another one
		close(gate.open)
	})
	if status == http.StatusUnauthorized { // the page says so, and is loaded again by itself
		two.shows("The session has been renewed.")
		status = two.follow(func() {})
	}
	if status != http.StatusOK {
		t.Errorf("status %d", status)
	}
	two.at("/teams")
	two.shows("Your teams")
	one.click("Account")
	one.at("/account")
}

func TestASignOutInOneTabLeadsTheOtherToTheSignInAndBack(t *testing.T) {
	s := newSite(t)
	one := s.signedIn(ada)
	two := one.tab()
	two.open("/teams")
	one.click("Sign out")
	one.shows("You are signed out.")
	two.click("Account")
	two.at("/sign-in")
	two.lacks("Ada")
	two.signIn(ada)
	two.at("/account")
	two.click("Teams")
	one.open("/account")
	one.click("Sign out")
	two.write("Name of the team", "Engines") // a form of a page from before
	two.click("Make the team")
	two.at("/sign-in")
	two.signIn(ada)
	two.at("/teams") // where the form is
	two.shows("You are in no team yet.")
}

func TestTheBackButtonShowsNothingAfterASignOut(t *testing.T) {
	for _, button := range []string{"Sign out", "Sign out everywhere", "Delete the account"} {
		t.Run(button, func(t *testing.T) {
			s := newSite(t)
			b := s.signedIn(ada)
			b.click("Where you are signed in")
			b.shows("127.0.0.1")
			if button == "Delete the account" {
				b.click("Account")
				b.click(button)
				b.write("Type in your e-mail address to confirm", ada)
			}
			b.click(button)
			b.at("/")
			for range 2 {
				b.back()
				b.at("/sign-in")
				b.lacks(ada, "Ada", "127.0.0.1")
			}
		})
	}
}

// A page of another site, or of another port of this host, sends a form with the user's cookie, if the browser lets it.
func TestAFormOfAnotherSiteChangesNothing(t *testing.T) {
	s := newSite(t)
	b := s.signedIn(ada)
	attacker := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = w.Write([]byte(`<!doctype html><html lang="en"><title>Prize</title><link rel="icon" href="data:,"><main><form method="post" action="` + s.base + `/account/name"><input type="hidden" name="name" value="Eve"><button>Win</button></form></main>`))
	}))
	t.Cleanup(attacker.Close)
	for _, address := range []string{attacker.URL, strings.Replace(attacker.URL, "127.0.0.1", "localhost", 1)} {
		s.others = append(s.others, address)
		b.open(address + "/")
		if status := b.click("Win"); status != http.StatusForbidden {
			t.Errorf("%s: status %d", address, status)
		}
		b.shows("The request comes from a page of another site.")
	}
	b.open("/account")
	b.shows("Ada")
	b.lacks("Eve")
}
