package browser

import (
	"testing"

	"example.com/latchkey/notify"
)

// signUp fills the form of the page, and sends it.
func (t *tab) signUp(name, email string) {
	t.Helper()
	t.open("/")
	t.click("Sign up")
	t.write("Name", name)
	t.write("E-mail address", email)
	t.write("Password, at least 8 characters", password)
	t.click("Sign up")
}

func TestAUserSignsUpAndConfirmsTheAddress(t *testing.T) {
	s := newSite(t)
	b := s.browser()
	b.signUp("Ada", ada)
	b.at("/verify")
	b.shows("We have sent a link to " + ada)
	b.open("/account")
	b.at("/verify")
	b.open(s.mail(ada, notify.EmailVerification))
	b.click("Confirm")
	b.at("/account")
	b.shows("Your e-mail address is confirmed.", ada, "Ada")
}

func TestALinkConfirmsAnAddressInABrowserWithoutASession(t *testing.T) {
	s := newSite(t)
	b, phone := s.browser(), s.browser()
	b.signUp("Ada", ada)
	phone.open(s.mail(ada, notify.EmailVerification))
	phone.click("Confirm")
	phone.at("/sign-in")
	phone.shows("Your e-mail address is confirmed.")
	b.open("/account")
	b.at("/account")
	phone.signIn(ada)
	phone.at("/account")
}

func TestAUserCorrectsTheAddressAndConfirmsThat(t *testing.T) {
	s := newSite(t)
	b := s.browser()
	b.signUp("Ada", "adda@example.org")
	old := s.mail("adda@example.org", notify.EmailVerification)
	b.write("E-mail address", ada)
	b.write("Password", "not the password")
	if status := b.click("Change the address"); status != 401 {
		t.Errorf("status %d", status)
	}
	b.shows("The address or the password is wrong.")
	b.write("E-mail address", ada)
	b.write("Password", password)
	b.click("Change the address")
	b.at("/verify")
	b.shows("We have sent a link to " + ada)
	b.open(old)
	b.shows("This link does not work")
	b.open(s.mail(ada, notify.EmailVerification))
	b.click("Confirm")
	b.at("/account")
	b.shows(ada)
	b.lacks("adda@")
}

func TestANewLinkReplacesTheOneBefore(t *testing.T) {
	s := newSite(t)
	b := s.browser()
	b.signUp("Ada", ada)
	first := s.mail(ada, notify.EmailVerification)
	b.click("Send it again")
	b.shows("We have sent a mail.")
	b.open(first)
	b.shows("This link does not work")
	b.open(s.mail(ada, notify.EmailVerification))
	b.click("Confirm")
	b.at("/account")
}

func TestASignUpIsRefusedBesideTheFieldAndKeepsTheOthers(t *testing.T) {
	s := newSite(t)
	s.member(ada)
	b := s.browser()
	b.open("/sign-up")
	b.write("Name", "Ada")
	b.write("E-mail address", "countess@example.org")
	b.write("Password, at least 8 characters", "short")
	if status := b.click("Sign up"); status != 400 {
		t.Errorf("status %d", status)
	}
	if got := eval[string](b, "document.getElementById(document.querySelector('#password').getAttribute('aria-describedby')).innerText"); got == "" {
		t.Error("the field has no error")
	}
	if got := eval[string](b, "document.querySelector('#name').value + document.querySelector('#email').value + document.querySelector('#password').value"); got != "Adacountess@example.org" {
		t.Errorf("the form has %q", got)
	}
	b.write("E-mail address", ada)
	b.write("Password, at least 8 characters", password)
	b.click("Sign up")
	b.shows("already")
}
