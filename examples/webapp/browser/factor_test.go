package browser

import (
	"bytes"
	"image/png"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/page"
	"github.com/makiuchi-d/gozxing"
	"github.com/makiuchi-d/gozxing/qrcode"

	"example.com/latchkey/authtest"
	"example.com/latchkey/notify"
)

// scan reads the picture on the page as a phone does that is held before the screen.
func (t *tab) scan() string {
	t.Helper()
	box := eval[struct{ X, Y, Width, Height float64 }](t, "document.querySelector('.qr').getBoundingClientRect().toJSON()")
	y := eval[float64](t, "scrollY")
	yes := true
	shot := call(t, page.CaptureScreenshot, page.CaptureScreenshotParams{
		Clip: &page.Viewport{X: box.X - 20, Y: box.Y + y - 20, Width: box.Width + 40, Height: box.Height + 40, Scale: 1}, CaptureBeyondViewport: &yes,
	}).Data
	picture, err := png.Decode(bytes.NewReader(shot))
	if err != nil {
		t.Fatal(err)
	}
	bitmap, err := gozxing.NewBinaryBitmapFromImage(picture)
	if err != nil {
		t.Fatal(err)
	}
	found, err := qrcode.NewQRCodeReader().Decode(bitmap, nil)
	if err != nil {
		t.Fatalf("the picture is no QR code: %v", err)
	}
	return found.GetText()
}

// colours sets the colours that the user prefers: light or dark.
func (t *tab) colours(scheme string) {
	t.Helper()
	call(t, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}})
}

// enrol sets up an authenticator app, and returns it with the recovery codes.
func (t *tab) enrol() (app *authtest.Authenticator, codes []string) {
	t.Helper()
	t.open("/account/factors")
	t.click("Set it up")
	app, err := authtest.NewAuthenticator(t.site.Clock, t.scan())
	if err != nil {
		t.Fatal(err)
	}
	t.write("Code from your authenticator app", app.Code())
	t.click("Confirm")
	t.at("/account/factors/codes")
	t.click("Make recovery codes")
	codes = strings.Fields(eval[string](t, "document.querySelector('.codes').innerText"))
	if len(codes) != 6 {
		t.Fatalf("the page shows the codes %q", codes)
	}
	t.site.Clock.Advance(30 * time.Second) // to a code that was not used
	return app, codes
}

func TestAUserEnrolsAnAuthenticatorApp(t *testing.T) {
	s := newSite(t)
	b := s.signedIn(ada)
	b.click("Manage Two-factor authentication")
	b.shows("It is off.")
	b.click("Set it up")
	uri := b.scan()
	b.colours("dark")
	if b.scan() != uri {
		t.Error("the picture in the dark is another one")
	}
	if key := eval[string](b, "document.querySelector('.key').innerText"); !strings.Contains(uri, "secret="+strings.ReplaceAll(key, " ", "")) {
		t.Errorf("the key beside the picture is %q", key)
	}
	if !strings.Contains(uri, "Webapp") || !strings.Contains(uri, "ada") {
		t.Errorf("the app shows %s", uri)
	}
	app, err := authtest.NewAuthenticator(s.Clock, uri)
	if err != nil {
		t.Fatal(err)
	}
	b.write("Code from your authenticator app", app.CodeAt(50))
	b.click("Confirm")
	b.shows("wrong")
	if b.scan() != uri {
		t.Error("after a wrong code the page shows another picture")
	}
	b.write("Code from your authenticator app", app.Code())
	b.click("Confirm")
	b.at("/account/factors/codes")
	b.click("Make recovery codes")
	b.click("Done")
	b.shows("It is on", "You have one.", "6 are left")
	b.click("Show them") // as a user who has just enrolled
	b.at("/factor")
	s.Clock.Advance(30 * time.Second)
	b.write("Code from your authenticator app", app.Code())
	b.click("Confirm")
	b.at("/account/factors/codes")
	if n := len(strings.Fields(eval[string](b, "document.querySelector('.codes').innerText"))); n != 6 {
		t.Errorf("%d codes", n)
	}
}

func TestASignInThatOwesAFactorComesBackToThePageThatWasWanted(t *testing.T) {
	s := newSite(t)
	b := s.signedIn(ada)
	app, _ := b.enrol()
	other := s.browser()
	other.open("/account/log")
	other.signIn(ada)
	other.at("/factor")
	other.write("Code from your authenticator app", app.CodeAt(50))
	if status := other.click("Confirm"); status != 401 {
		t.Errorf("status %d", status)
	}
	other.shows("wrong")
	other.open("/account")
	other.at("/factor") // nothing opens before
	other.open("/account/log")
	former := other.cookie("session").Value
	other.write("Code from your authenticator app", app.Code())
	other.click("Confirm")
	other.at("/account/log")
	if other.cookie("session").Value == former {
		t.Error("the cookie has the former secret")
	}
}

func TestARecoveryCodeIsAFactorOnce(t *testing.T) {
	s := newSite(t)
	_, codes := s.signedIn(ada).enrol()
	b := s.browser()
	b.signIn(ada)
	b.at("/factor")
	b.unfold("Use a recovery code")
	b.write("Recovery code", codes[0])
	b.submit()
	b.at("/account")
	b.click("Sign out")
	b.signIn(ada)
	b.unfold("Use a recovery code")
	b.write("Recovery code", codes[0])
	b.submit()
	b.shows("wrong")
	b.click("Sign out")
	b.at("/")
	b.open("/factor")
	b.at("/sign-in")
}

func TestACodeByMailIsAFactor(t *testing.T) {
	s := newSite(t)
	account, _ := s.SignInVerified(ada)
	if _, err := account.UpdateMFA(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	b := s.browser()
	b.open("/teams")
	b.signIn(ada)
	b.at("/factor")
	b.click("Send a code by mail")
	b.shows("We have sent six digits")
	code := s.mail(ada, notify.Challenge)
	wrong := "000000"
	if code == wrong {
		wrong = "000001"
	}
	b.write("Code from the mail", wrong)
	b.click("Confirm")
	b.shows("wrong")
	b.write("Code from the mail", code)
	b.click("Confirm")
	b.at("/teams")
}

func TestTwoFactorAuthenticationIsSwitchedOffAfterAProof(t *testing.T) {
	s := newSite(t)
	b := s.signedIn(ada)
	app, _ := b.enrol()
	s.Clock.Advance(time.Hour)
	b.open("/account/factors")
	b.click("Switch two-factor authentication off")
	b.at("/confirm")
	b.shows("Is it you?")
	if len(b.find("Password", "textbox")) != 0 {
		t.Error("the password is asked for, and does not help")
	}
	b.write("Code from your authenticator app", app.Code())
	b.click("Confirm")
	b.at("/account/factors")
	b.click("Switch two-factor authentication off")
	b.shows("Two-factor authentication is off.", "It is off.", "You have one.")
	b.click("Switch two-factor authentication on")
	b.shows("Two-factor authentication is on.", "It is on")
	b.click("Switch two-factor authentication off")
	b.at("/confirm") // the switch has taken the proof away
	s.Clock.Advance(30 * time.Second)
	b.write("Code from your authenticator app", app.Code())
	b.click("Confirm")
	b.at("/account/factors")
	b.click("Remove it")
	b.shows("The authenticator app is removed.", "It is on")
	b.click("Switch two-factor authentication off")
	b.shows("Two-factor authentication is off.")
	other := s.browser()
	other.signIn(ada)
	other.at("/account")
}

// Without an authenticator, the password proves enough to enrol one, but not to see recovery codes.
func TestRecoveryCodesAskForAFactorAndNotForThePassword(t *testing.T) {
	s := newSite(t)
	b := s.signedIn(ada)
	b.click("Manage Two-factor authentication")
	b.click("Make recovery codes")
	b.shows("Keep them in a safe place.")
	b.click("Done")
	b.shows("6 are left")
	b.click("Show them")
	b.shows("Is it you?")
	if len(b.find("Password", "textbox")) != 0 {
		t.Error("the password is asked for, and does not help")
	}
	b.click("Send a code by mail")
	b.write("Code from the mail", s.mail(ada, notify.Challenge))
	b.click("Confirm")
	b.at("/account/factors/codes")
	if n := len(strings.Fields(eval[string](b, "document.querySelector('.codes').innerText"))); n != 6 {
		t.Errorf("%d codes", n)
	}
}

func TestAnOldSessionConfirmsThePasswordAndGoesOn(t *testing.T) {
	s := newSite(t)
	b := s.signedIn(ada)
	s.Clock.Advance(time.Hour)
	b.click("Manage Two-factor authentication")
	b.click("Set it up")
	b.at("/confirm")
	b.write("Password", "not the password")
	if status := b.click("Confirm"); status != 401 {
		t.Errorf("status %d", status)
	}
	b.shows("wrong")
	former := b.cookie("session")
	b.write("Password", password)
	b.click("Confirm")
	b.at("/account/factors")
	if c := b.cookie("session"); c.Value == former.Value || c.Session != former.Session {
		t.Errorf("the cookie: %+v", c)
	}
	b.click("Set it up")
	b.shows("Scan this picture")
}
