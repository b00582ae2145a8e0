package browser

import (
	"fmt"
	"testing"
	"time"

	"example.com/latchkey"
	app "example.com/latchkey/examples/webapp/site"
)

// staff returns a browser in which a user of the back office has signed in.
func (s *site) staff(email string) *tab {
	s.t.Helper()
	user := s.member(email)
	if _, err := s.Users().UpdateLabels(s.t.Context(), user.ID, []string{app.AdminLabel}); err != nil {
		s.t.Fatal(err)
	}
	t := s.browser()
	t.signIn(email)
	t.click("Back office")
	return t
}

func TestTheBackOfficeIsForStaffAlone(t *testing.T) {
	s := newSite(t)
	user := s.member(bob)
	b := s.signedIn(ada)
	b.lacks("Back office")
	for _, page := range []string{"/admin/users", "/admin/users/" + user.ID, "/admin/teams"} {
		if status := b.open(page); status != 401 && status != 403 {
			t.Errorf("%s: status %d", page, status)
		}
		b.shows("This did not work", "The user may not do this.", "Sign out")
		b.lacks(bob)
	}
	b.click("To the first page")
	b.at("/")
	stranger := s.browser()
	stranger.open("/admin/users")
	stranger.at("/sign-in")
}

func TestStaffFindAndBlockAUser(t *testing.T) {
	s := newSite(t)
	victim := s.signedIn(bob)
	victim.makeTeam("Engines")
	s.member("carol@example.org")
	b := s.staff(ada)
	b.shows("3 users", "Bob", "Carol", "admin")
	b.write("Name, address, number or id", "bob")
	b.click("Search")
	b.lacks("Carol")
	b.click("Bob")
	b.shows(bob, "confirmed", "Headless Chrome", "Engines", "session.create", "open")
	b.click("Block")
	b.shows("The user is blocked.", "blocked")
	victim.click("Teams")
	victim.shows("blocked")
	victim.lacks("Engines")
	b.click("End the block")
	b.shows("The user is not blocked any more.")
	victim.open("/teams")
	victim.shows("Engines")
	b.click("Sign out everywhere")
	b.shows("The user is signed out everywhere.")
	victim.reload()
	victim.at("/sign-in")
	b.click("Users")
	b.shows("3 users")
}

func TestStaffProveThemselvesBeforeAChange(t *testing.T) {
	s := newSite(t)
	user := s.member(bob)
	b := s.staff(ada)
	s.Clock.Advance(time.Hour)
	b.click("Bob")
	b.click("Block")
	b.at("/confirm")
	b.write("Password", password)
	b.click("Confirm")
	b.at("/admin/users/" + user.ID)
	b.click("Block")
	b.shows("The user is blocked.")
}

func TestStaffSeeTheTeams(t *testing.T) {
	s := newSite(t)
	s.signedIn(bob).makeTeam("Engines")
	b := s.staff(ada)
	b.click("Teams") // of the back office: the part of the page comes before the menu
	b.at("/admin/teams")
	b.write("Name of the team", "eng")
	b.click("Search")
	b.click("Engines")
	b.shows("Engines", "Bob", "owner", "team.create")
	b.click("Bob")
	b.shows(bob)
}

func TestListsOfTheBackOfficeHavePages(t *testing.T) {
	s := newSite(t)
	for n := range 25 {
		s.Clock.Advance(time.Minute)
		if _, err := s.Users().Create(t.Context(), latchkey.NewUser{Email: fmt.Sprintf("user%02d@example.com", n)}); err != nil {
			t.Fatal(err)
		}
	}
	b := s.staff(ada)
	b.shows("user24@", "26 users")
	b.lacks("user00@")
	b.click("Older")
	b.shows("user00@")
	b.lacks("user24@")
	b.click("Newer")
	b.shows("user24@")
	b.write("Name, address, number or id", "example.com")
	b.click("Search")
	b.click("Older")
	b.shows("user00@", "25 users")
	b.lacks(ada)
}
