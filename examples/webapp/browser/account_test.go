package browser

import (
	"strconv"
	"testing"
	"time"

	"example.com/latchkey/notify"
)

func TestAUserChangesTheNameAndThePassword(t *testing.T) {
	s := newSite(t)
	b := s.signedIn(ada)
	other := s.browser()
	other.signIn(ada)
	b.unfold("Change the name")
	b.write("Name", "Countess Ada")
	b.click("Save")
	b.shows("The name is changed.", "Countess Ada")
	b.unfold("Change the password")
	b.write("Present password", "not the password")
	b.write("New password, at least 8 characters", "another battery staple")
	if status := b.click("Save"); status != 401 {
		t.Errorf("status %d", status)
	}
	b.shows("wrong")
	b.unfold("Change the password")
	b.write("Present password", password)
	b.write("New password, at least 8 characters", "another battery staple")
	b.click("Save")
	b.shows("The password is changed. You are signed out everywhere else.")
	other.reload()
	other.at("/sign-in")
}

func TestANewAddressWaitsForItsProofAndTheOldOneCanUndoIt(t *testing.T) {
	s := newSite(t)
	b := s.signedIn(ada)
	b.unfold("Change the e-mail address")
	b.write("New e-mail address", "countess@example.org")
	b.write("Password", password)
	b.click("Send the link")
	b.shows("We have sent a link to the new address.", ada)
	b.lacks("countess@")
	link := s.mail("countess@example.org", notify.EmailChange)
	phone := s.browser()
	phone.open(link) // the reader of a mail that went astray has no session
	phone.at("/sign-in")
	phone.signIn(ada)
	phone.at("/link/email")
	phone.click("Change the address")
	phone.at("/account")
	phone.shows("The e-mail address is changed.", "countess@example.org")
	b.reload()
	b.shows("countess@example.org")

	undo := s.mail(ada, notify.EmailChanged)
	owner := s.browser()
	owner.open(undo)
	owner.click("Take the address back")
	owner.shows("The address is yours again. Set a new password now.")
	owner.write("New password, at least 8 characters", "another battery staple")
	owner.click("Set the password")
	owner.at("/sign-in")
	owner.write("E-mail address", ada)
	owner.write("Password", "another battery staple")
	owner.click("Sign in")
	owner.shows(ada)
	owner.lacks("countess@")
	b.reload()
	b.at("/sign-in")
	owner.open(undo)
	owner.shows("This link does not work")
}

func TestAUserSeesTheDevicesAndSignsOneOut(t *testing.T) {
	s := newSite(t)
	s.member(ada)
	b := s.browser()
	b.open("/sign-in")
	b.tick("Stay signed in at this browser")
	b.signIn(ada)
	s.Clock.Advance(2 * time.Hour)
	phone := s.browser()
	phone.isA("Mozilla/5.0 (Android 15; Mobile; rv:140.0) Gecko/140.0 Firefox/140.0", "en")
	phone.open("/sign-in")
	phone.tick("Stay signed in at this browser")
	phone.signIn(ada)
	s.Clock.Advance(48 * time.Hour)
	b.open("/account/sessions")
	b.shows("Headless Chrome", "Linux", "this one", "signed in 1 Mar 2026, 12:00 UTC · last used 3 Mar 2026")
	b.shows("Firefox Mobile 140.0, Android", "signed in 1 Mar 2026, 14:00 UTC · last used 1 Mar 2026")
	phone.click("Teams")
	b.reload()
	b.shows("signed in 1 Mar 2026, 14:00 UTC · last used 3 Mar 2026")
	b.click("Sign out Firefox Mobile 140.0, Android 127.0.0.1")
	b.shows("The session has ended.")
	b.lacks("Firefox")
	phone.click("Account")
	phone.at("/sign-in")
	phone.signIn(ada)
	b.open("/account/sessions")
	b.click("Sign out everywhere")
	b.shows("You are signed out.")
	b.open("/account")
	b.at("/sign-in")
	phone.click("Teams")
	phone.at("/sign-in")
}

func TestTheHistoryTellsWhatHasHappened(t *testing.T) {
	s := newSite(t)
	b := s.signedIn(ada)
	account, _ := s.SignIn(ada)
	for n := range 25 {
		s.Clock.Advance(time.Minute)
		if _, err := account.UpdateName(t.Context(), "Ada "+strconv.Itoa(n)); err != nil {
			t.Fatal(err)
		}
	}
	b.click("What has happened")
	b.shows("Your account was changed.", "192.0.2.7")
	b.click("Older")
	b.shows("You signed in.", "127.0.0.1", "Your account was made.")
	b.click("Newer")
	b.lacks("Your account was made.")
}

func TestAUserDeletesTheAccountAfterAProof(t *testing.T) {
	s := newSite(t)
	b := s.signedIn(ada)
	s.Clock.Advance(time.Hour)
	b.click("Delete the account")
	b.write("Type in your e-mail address to confirm", bob)
	if status := b.click("Delete the account"); status != 400 {
		t.Errorf("status %d", status)
	}
	b.shows("This is not the address of the account.")
	b.write("Type in your e-mail address to confirm", ada)
	b.click("Delete the account")
	b.at("/confirm")
	b.write("Password", password)
	b.click("Confirm")
	b.at("/account/delete")
	b.write("Type in your e-mail address to confirm", ada)
	b.click("Delete the account")
	b.at("/")
	b.shows("Your account is deleted.", "Sign up")
	s.mail(ada, notify.AccountDeleted)
	b.signIn(ada)
	b.shows("The address or the password is wrong.")
}
