package browser

import (
	"strings"
	"testing"

	"example.com/latchkey/notify"
)

// makeTeam makes a team of the signed-in user.
func (t *tab) makeTeam(name string) {
	t.Helper()
	t.open("/teams")
	t.write("Name of the team", name)
	t.click("Make the team")
	t.shows(name, "owner")
}

// invite invites an address to the team of the page, and returns the link.
func (t *tab) invite(email string) string {
	t.Helper()
	t.write("E-mail address", email)
	t.click("Send the invitation")
	t.shows("The invitation is sent.", email)
	return t.site.mail(email, notify.Invitation)
}

func TestAnInvitedPersonWithoutAnAccountJoins(t *testing.T) {
	s := newSite(t)
	b := s.signedIn(ada)
	b.makeTeam("Engines")
	link := b.invite(bob)
	b.shows("invited")
	other := s.browser()
	other.open(link)
	other.shows("You are invited to the team Engines.")
	other.click("Accept")
	other.shows("You are a member of the team.", "Engines", "Ada")
	other.lacks("Invite a person", "Delete the team")
	other.click("Account")
	other.shows(bob, "Set a password")
	b.reload()
	b.lacks("invited\n")
	b.click("Your teams")
	b.shows("Engines", "2 members")
}

func TestASignedInUserAcceptsAnInvitationAndLeaves(t *testing.T) {
	s := newSite(t)
	b, other := s.signedIn(ada), s.signedIn(bob)
	b.makeTeam("Engines")
	other.open(b.invite(bob))
	former := other.cookie("session").Value
	other.click("Accept")
	other.shows("You are a member of the team.", "Bob")
	if other.cookie("session").Value != former {
		t.Error("the user has another session")
	}
	other.click("Leave")
	other.at("/teams")
	other.shows("You have left the team.", "You are in no team yet.")
	b.reload()
	b.lacks("Bob")
}

func TestAnInvitationIsForTheInvitedAddressAlone(t *testing.T) {
	s := newSite(t)
	b, other := s.signedIn(ada), s.signedIn("eve@example.org")
	b.makeTeam("Engines")
	link := b.invite(bob)
	other.open(link)
	other.click("Accept")
	other.shows("This link does not work")
	invited := s.browser()
	invited.open(link)
	invited.click("Decline")
	invited.at("/")
	invited.shows("The invitation is declined.")
	invited.open(link)
	invited.click("Accept")
	invited.shows("This link does not work")
	b.reload()
	b.lacks(bob)
}

func TestAnOwnerRemovesAMemberAndEndsTheTeam(t *testing.T) {
	s := newSite(t)
	b, other := s.signedIn(ada), s.signedIn(bob)
	b.makeTeam("Engines")
	team := b.address().Path
	other.open(b.invite(bob))
	other.click("Accept")
	b.reload()
	b.click("Leave")
	b.shows("last owner")
	b.open(team)
	b.click("Remove Bob")
	b.shows("The member is removed.")
	other.reload()
	other.shows("This did not work")
	b.click("Delete the team")
	b.at("/teams")
	b.shows("The team is deleted.", "You are in no team yet.")
	if status := b.open(team); status != 404 {
		t.Errorf("status %d", status)
	}
}

func TestAnInvitedOwnerRunsTheTeam(t *testing.T) {
	s := newSite(t)
	b, other := s.signedIn(ada), s.signedIn(bob)
	b.makeTeam("Engines")
	b.tick("As an owner, who may invite and remove others")
	other.open(b.invite(bob))
	other.click("Accept")
	other.shows("Invite a person")
	b.reload()
	b.click("Leave")
	b.shows("You have left the team.")
	other.reload()
	other.lacks("Ada")
	if n := strings.Count(other.text(), "owner"); n < 1 {
		t.Error("the page names no owner")
	}
}
