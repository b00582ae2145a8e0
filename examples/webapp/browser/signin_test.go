package browser

import (
	"math"
	"net/url"
	"testing"
	"time"

	"example.com/latchkey/authtest"
	"example.com/latchkey/notify"
)

func TestAUserSignsInByPassword(t *testing.T) {
	s := newSite(t)
	s.member(ada)
	b := s.browser()
	b.open("/account/sessions")
	b.at("/sign-in")
	b.write("E-mail address", ada)
	b.write("Password", "not the password")
	if status := b.click("Sign in"); status != 401 {
		t.Errorf("status %d", status)
	}
	b.shows("The address or the password is wrong.")
	if b.cookie("session") != nil {
		t.Error("a wrong password sets a cookie")
	}
	b.write("Password", password) // the address is still there
	b.click("Sign in")
	b.at("/account/sessions") // the page that was wanted
	b.click("Webapp")
	b.shows("Hello, Ada")
	b.click("Sign out")
	b.at("/")
	b.shows("You are signed out.")
	if b.cookie("session") != nil {
		t.Error("the cookie is still there")
	}
	b.open("/account")
	b.at("/sign-in")
}

func TestTheCookieOutlivesTheVisitIfTheUserWantsThat(t *testing.T) {
	s := newSite(t)
	s.member(ada)
	b := s.browser()
	b.signIn(ada)
	if c := b.cookie("session"); c == nil || !c.Session || !c.HTTPOnly || c.SameSite != "Lax" {
		t.Errorf("the cookie of a visit: %+v", c)
	}
	s.Clock.Advance(13 * time.Hour)
	b.open("/account")
	b.at("/sign-in") // the session was short, too
	b.tick("Stay signed in at this browser")
	b.signIn(ada)
	c := b.cookie("session")
	if c == nil || c.Session || !c.HTTPOnly || c.SameSite != "Lax" {
		t.Fatalf("the cookie of a user who stays: %+v", c)
	}
	if days := c.Expires/86400 - float64(time.Now().Unix())/86400; math.Abs(days-400) > 1 {
		t.Errorf("it lasts %.1f days", days)
	}
	s.Clock.Advance(13 * time.Hour)
	b.open("/account")
	b.at("/account")
}

func TestAUserSignsInByALink(t *testing.T) {
	s := newSite(t)
	s.member(ada)
	b := s.browser()
	b.open("/account/log")
	b.write("E-mail address", ada)
	b.click("Send a link")
	b.at("/sent")
	link := s.mail(ada, notify.MagicURL)
	b.open(link)
	if b.cookie("session") != nil {
		t.Error("the page alone signs in")
	}
	b.click("Sign in")
	b.at("/account/log")
	b.shows("You signed in.")
	b.open(link)
	b.shows("This link does not work")
}

func TestAnAddressWithoutAnAccountGetsTheSamePages(t *testing.T) {
	s := newSite(t)
	b := s.browser()
	b.open("/recover")
	b.write("E-mail address", bob)
	b.click("Send the link")
	b.at("/sent")
	b.click("Back to the sign-in page")
	b.write("E-mail address", bob)
	b.write("Password", password)
	b.click("Sign in")
	b.shows("The address or the password is wrong.")
}

func TestAUserSignsInByACode(t *testing.T) {
	s := newSite(t)
	s.member(ada)
	b := s.browser()
	b.open("/account/log")
	b.write("E-mail address", ada)
	b.click("Send a code")
	m := s.message(ada, notify.EmailOTP)
	b.shows(m.Phrase)
	wrong := "000000"
	if m.Code() == wrong {
		wrong = "000001"
	}
	b.write("Code", wrong)
	if status := b.click("Sign in"); status != 401 {
		t.Errorf("status %d", status)
	}
	b.shows("wrong", m.Phrase)
	b.write("Code", m.Code()[:3]+" "+m.Code()[3:]) // as people type it
	b.click("Sign in")
	b.at("/account/log")
}

func TestAUserSignsInByTheOtherService(t *testing.T) {
	s := newSite(t)
	b := s.browser()
	b.open("/account/log")
	b.click("Sign in by another service")
	b.at("/account/log")
	b.click("Account")
	b.shows("Ada Lovelace", ada, "You have none: you sign in by links, codes or another service.", "oidc")
	b.click("Sign out")
	b.click("Sign in")
	b.click("Sign in by another service")
	b.at("/account")
	b.shows("Ada Lovelace")
}

func TestAUserWhoChangesTheirMindAtTheServiceIsBackOnThePageOfTheSignIn(t *testing.T) {
	s := newSite(t)
	s.issuer.Set(func(i *authtest.IssuerSettings) {
		i.EditCallback = func(p url.Values) { p.Del("code"); p.Set("error", "access_denied") }
	})
	b := s.browser()
	b.open("/sign-in")
	b.click("Sign in by another service")
	b.at("/sign-in")
	s.issuer.Set(func(i *authtest.IssuerSettings) {
		i.EditCallback = func(p url.Values) { p.Set("state", "other") }
	})
	if status := b.click("Sign in by another service"); status != 401 {
		t.Errorf("status %d", status)
	}
	b.shows("The sign-in is unknown, was finished, or has expired.")
	b.click("Deutsch")
	b.at("/sign-in")
	b.shows("Anmelden")
}

func TestAUserLinksTheOtherServiceAndUnlinksIt(t *testing.T) {
	s := newSite(t)
	b := s.signedIn(ada)
	b.shows("None is linked.")
	b.click("Link one")
	b.at("/account")
	b.shows("The other service is linked.", "oidc")
	b.click("Sign out")
	b.click("Sign in")
	b.click("Sign in by another service")
	b.shows("Ada", "oidc")
	b.click("Unlink")
	b.at("/sign-in") // the session was one by the service
	b.shows("The other service is unlinked.")
	b.signIn(ada)
	b.shows("None is linked.")
	b.click("Link one")
	b.click("Unlink")
	b.at("/account")
	b.shows("The other service is unlinked.", "None is linked.")
}

func TestAnAddressThatTheServiceHasNotProvenOpensNoAccount(t *testing.T) {
	s := newSite(t)
	s.member(ada)
	s.issuer.Set(func(i *authtest.IssuerSettings) {
		i.Claims = map[string]any{"email": ada, "email_verified": false, "name": "Eve"}
	})
	b := s.browser()
	b.open("/sign-in")
	b.click("Sign in by another service")
	if b.cookie("session") != nil {
		t.Error("the service opens the account")
	}
	b.shows("An account has the address; sign in to it and link the provider there.")
}

func TestABlockedUserIsToldSo(t *testing.T) {
	s := newSite(t)
	b := s.signedIn(ada)
	user, err := s.Users().GetByEmail(t.Context(), ada)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Users().UpdateStatus(t.Context(), user.ID, false); err != nil {
		t.Fatal(err)
	}
	if status := b.click("Teams"); status != 403 && status != 401 {
		t.Errorf("status %d", status)
	}
	b.shows("blocked")
	b.signIn(ada)
	b.shows("blocked")
}

func TestAUserSetsANewPassword(t *testing.T) {
	s := newSite(t)
	other := s.signedIn(ada)
	b := s.browser()
	b.open("/sign-in")
	b.click("Forgotten the password?")
	b.write("E-mail address", ada)
	b.click("Send the link")
	b.at("/sent")
	link := s.mail(ada, notify.Recovery)
	b.open(link)
	b.write("New password, at least 8 characters", "short")
	b.click("Set the password")
	b.at("/link/recover")
	b.write("New password, at least 8 characters", "another battery staple")
	b.click("Set the password")
	b.at("/sign-in")
	b.shows("The password is set.")
	b.signIn(ada)
	b.shows("The address or the password is wrong.")
	b.write("Password", "another battery staple")
	b.click("Sign in")
	b.at("/account")
	b.open(link)
	b.shows("This link does not work")
	other.click("Teams")
	other.at("/sign-in")
}
