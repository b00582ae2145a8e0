package browser

import (
	"bytes"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/webauthn"
)

// device gives the browser of a tab a device that keeps passkeys, verifies its user and is touched at once.
func (t *tab) device() webauthn.AuthenticatorID {
	t.Helper()
	call(t, webauthn.Enable, webauthn.EnableParams{})
	return t.another(webauthn.VirtualAuthenticatorOptions{HasUserVerification: true, IsUserVerified: true})
}

// another adds a device to those of the browser.
func (t *tab) another(options webauthn.VirtualAuthenticatorOptions) webauthn.AuthenticatorID {
	t.Helper()
	options.Protocol, options.Transport = webauthn.AuthenticatorProtocolCtap2, webauthn.AuthenticatorTransportInternal
	options.HasResidentKey, options.AutomaticPresenceSimulation = true, true
	return call(t, webauthn.AddVirtualAuthenticator, webauthn.AddVirtualAuthenticatorParams{Options: &options}).AuthenticatorID
}

// touch says whether the user touches a device when it asks for that.
func (t *tab) touch(id webauthn.AuthenticatorID, yes bool) {
	t.Helper()
	call(t, webauthn.SetAutomaticPresenceSimulation, webauthn.SetAutomaticPresenceSimulationParams{AuthenticatorID: id, Enabled: yes})
}

// unverified says whether a device answers that it has not verified its user.
func (t *tab) unverified(id webauthn.AuthenticatorID, yes bool) {
	t.Helper()
	call(t, webauthn.SetResponseOverrideBits, webauthn.SetResponseOverrideBitsParams{AuthenticatorID: id, IsBadUV: &yes})
}

// restore gives a device a passkey as it once was. The command of the library has fields that a device without keys of groups refuses.
func (t *tab) restore(id webauthn.AuthenticatorID, c *webauthn.Credential) {
	t.Helper()
	call(t, cdp.Command[map[string]any, cdp.Empty]{Method: webauthn.CommandAddCredential}, map[string]any{"authenticatorId": id, "credential": map[string]any{
		"credentialId": c.CredentialID, "isResidentCredential": true, "rpId": c.RpID, "privateKey": c.PrivateKey, "userHandle": c.UserHandle, "signCount": c.SignCount,
	}})
}

// keeps waits until a device keeps passkeys that satisfy a condition.
func (t *tab) keeps(id webauthn.AuthenticatorID, is func([]*webauthn.Credential) bool) {
	t.Helper()
	for late := time.After(patience); ; {
		t.mu.Lock()
		heard := t.heard
		t.mu.Unlock()
		all := call(t, webauthn.GetCredentials, webauthn.GetCredentialsParams{AuthenticatorID: id}).Credentials
		if is(all) {
			return
		}
		select {
		case <-heard:
		case <-late:
			t.Fatalf("the device keeps %d passkeys", len(all))
		}
	}
}

// keepsNothing waits until a device has forgotten its passkeys.
func (t *tab) keepsNothing(id webauthn.AuthenticatorID) {
	t.Helper()
	t.keeps(id, func(all []*webauthn.Credential) bool { return len(all) == 0 })
}

// Programs that run before those of the pages.
const (
	// watched keeps the questions that the page hands to the browser, and the longest timer.
	watched = `{
		const get = navigator.credentials.get.bind(navigator.credentials), later = setTimeout
		window.questions = []
		navigator.credentials.get = question => {
			questions.push(question)
			document.documentElement.dataset.questions = questions.length
			return get(question)
		}
		window.setTimeout = (run, after) => after < 60000 ? later(run, after) : void (window.timer = {run, after})
	}`
	withoutOffers   = "PublicKeyCredential.isConditionalMediationAvailable = async () => false"
	withoutPasskeys = "delete window.PublicKeyCredential"
)

// inject runs a program in the pages that are opened from now on.
func (t *tab) inject(program string) {
	t.Helper()
	call(t, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{Source: program})
}

// until waits until an expression about the page is true.
func (t *tab) until(expression string) {
	t.Helper()
	t.look()
	eval[bool](t, `new Promise(done => {
		const look = () => { if (`+expression+`) done(true) }
		new MutationObserver(look).observe(document, {attributes: true, childList: true, characterData: true, subtree: true})
		look()
	})`)
}

// clickPasskey clicks a button that the script of the page shows, and returns the status of the page to which it leads.
func (t *tab) clickPasskey(name string) int {
	t.Helper()
	t.until("document.querySelector('[data-able]:not([hidden])')")
	return t.click(name)
}

// pressPasskey presses a button that leads to no other page.
func (t *tab) pressPasskey(name string) {
	t.Helper()
	t.until("document.querySelector('[data-able]:not([hidden])')")
	t.press(t.one(name, "button"))
}

// says waits until the script tells why there is no passkey.
func (t *tab) says(text string) {
	t.Helper()
	t.until("!document.getElementById('passkey-says').hidden")
	t.shows(text)
}

// addPasskey makes a passkey on the page of the account.
func (t *tab) addPasskey(name string) {
	t.Helper()
	t.open("/account/passkeys")
	t.clickPasskey("Add a passkey")
	t.write("Name of the passkey, if you like", name)
	t.clickPasskey("Make the passkey")
	t.at("/account/passkeys")
}

// keeper makes a user with a passkey, and returns their browser after a sign-out.
func (s *site) keeper(email string) (*tab, webauthn.AuthenticatorID) {
	s.t.Helper()
	s.member(email)
	b := s.visitor()
	device := b.device()
	b.signIn(email)
	b.addPasskey("Telephone")
	b.click("Sign out")
	return b, device
}

// forget deletes the passkey of a user at the site, as the staff does.
func (s *site) forget(email string) {
	s.t.Helper()
	user, err := s.Users().GetByEmail(s.t.Context(), email)
	if err != nil {
		s.t.Fatal(err)
	}
	list, err := s.Users().Passkeys(s.t.Context(), user.ID)
	if err == nil {
		err = s.Users().DeletePasskey(s.t.Context(), user.ID, list.Passkeys[0].ID)
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

func TestAUserAddsAPasskeyAndSignsInByTheButton(t *testing.T) {
	s := newSite(t)
	s.member(ada)
	b := s.visitor()
	device := b.device()
	b.signIn(ada)
	b.click("Manage Passkeys")
	b.shows("You have none yet.")
	b.clickPasskey("Add a passkey")
	b.write("Name of the passkey, if you like", "Telephone")
	b.clickPasskey("Make the passkey")
	b.at("/account/passkeys")
	b.shows("The passkey is added.", "Telephone", "this device only", "last used never")
	b.click("Sign out")

	b.touch(device, false)
	b.inject(watched)
	b.open("/sign-in?next=/account/passkeys")
	b.until("questions.length == 1") // the offer stands
	if got := eval[string](b, "questions[0].mediation"); got != "conditional" {
		t.Errorf("the offer has the mediation %q", got)
	}
	b.tick("Stay signed in at this browser")
	gate := s.hold("/sign-in/passkey/ask")
	b.pressPasskey("Sign in with a passkey")
	<-gate.arrived
	if !eval[bool](b, "questions[0].signal.aborted") {
		t.Error("the button asks while the offer stands")
	}
	b.touch(device, true)
	b.follow(func() { close(gate.open) })
	b.at("/account/passkeys")
	b.lacks("never")
	if b.cookie("session").Session {
		t.Error("the user is not kept signed in")
	}
}

func TestAUserSignsInByThePasskeyThatTheFormOffers(t *testing.T) {
	s := newSite(t)
	b, device := s.keeper(ada)
	b.touch(device, false)
	b.inject(watched)
	b.open("/sign-in?next=/teams")
	b.until("questions.length == 1")
	if got := eval[float64](b, "timer.after"); got != (4*time.Minute).Seconds()*1000 {
		t.Errorf("the question is renewed after %v ms", got)
	}
	s.Clock.Advance(6 * time.Minute) // the question is void
	b.write("E-mail address", "ada")
	gate := s.hold("/sign-in/passkey/ask")
	eval[bool](b, "Object.defineProperty(document, 'hidden', {value: true}), timer.run(), true")
	if eval[bool](b, "questions[0].signal.aborted") {
		t.Error("a hidden page renews its question")
	}
	eval[bool](b, "document.dispatchEvent(new Event('visibilitychange'))")
	<-gate.arrived
	if !eval[bool](b, "questions[0].signal.aborted") {
		t.Error("the former question stands")
	}
	b.touch(device, true)
	b.follow(func() { close(gate.open) })
	b.at("/teams")
}

func TestTheFormOffersPasskeysAgainAfterARefusal(t *testing.T) {
	s := newSite(t)
	b, device := s.keeper(ada)
	call(b, webauthn.SetUserVerified, webauthn.SetUserVerifiedParams{AuthenticatorID: device, IsUserVerified: false})
	b.inject(watched)
	b.open("/sign-in")
	b.until("questions.length == 1")
	b.pressPasskey("Sign in with a passkey")
	b.says("No passkey was given.")
	b.until("questions.length == 3")
	if got := eval[string](b, "questions.map(q => q.mediation || 'button').join(' ')"); got != "conditional button conditional" {
		t.Errorf("the browser was asked: %s", got)
	}
}

func TestAPasskeyIsASecondFactorAndAProof(t *testing.T) {
	s := newSite(t)
	b, device := s.keeper(ada)
	b.inject(withoutOffers)
	b.signIn(ada)
	b.open("/account/factors")
	b.click("Switch two-factor authentication on")
	b.shows("It is on")
	b.click("Sign out")
	b.open("/account/log")
	b.signIn(ada)
	b.at("/factor")
	b.unverified(device, true) // the password is the other factor
	b.clickPasskey("Use a passkey")
	b.at("/account/log")

	b.unverified(device, false)
	s.Clock.Advance(time.Hour)
	b.open("/account/factors")
	b.click("Switch two-factor authentication off")
	b.at("/confirm")
	if len(b.find("Password", "textbox")) != 0 {
		t.Error("the password is asked for, and does not help")
	}
	former := b.cookie("session").Value
	b.clickPasskey("Use a passkey")
	b.at("/account/factors")
	if b.cookie("session").Value == former {
		t.Error("the cookie has the former secret")
	}
	b.click("Switch two-factor authentication off")
	b.shows("Two-factor authentication is off.")
}

func TestASessionThatHasEndedIsLedToTheSignInPage(t *testing.T) {
	s := newSite(t)
	b, _ := s.keeper(ada)
	b.inject(withoutOffers)
	b.signIn(ada)
	b.open("/confirm?next=/teams")
	user, err := s.Users().GetByEmail(t.Context(), ada)
	if err == nil {
		err = s.Users().DeleteSessions(t.Context(), user.ID)
	}
	if err != nil {
		t.Fatal(err)
	}
	b.forgiven = true // the browser writes of the status 401 to the script
	b.clickPasskey("Use a passkey")
	b.at("/sign-in")
}

func TestAPasskeyIsRenamedAndDeleted(t *testing.T) {
	s := newSite(t)
	b, device := s.keeper(ada)
	b.inject(withoutOffers)
	b.signIn(ada)
	b.click("Manage Passkeys")
	b.unfold("Rename Telephone")
	b.write("Name of the passkey", "Old telephone")
	b.click("Save")
	b.shows("The passkey has its new name.", "Old telephone")
	b.click("Delete Old telephone")
	b.at("/confirm")
	b.clickPasskey("Use a passkey")
	b.at("/account/passkeys")
	b.click("Delete Old telephone")
	b.shows("The passkey is deleted here.", "You have none yet.")
	b.keepsNothing(device)
}

func TestThePasskeyThatHasOpenedASessionEndsIt(t *testing.T) {
	s := newSite(t)
	b, _ := s.keeper(ada)
	b.inject(withoutOffers)
	b.open("/sign-in?next=/account/passkeys")
	b.clickPasskey("Sign in with a passkey")
	b.click("Delete Telephone")
	b.at("/sign-in")
	b.shows("The passkey is deleted here.")
	if b.cookie("session") != nil {
		t.Error("the cookie is still there")
	}
}

func TestAPasskeyThatTheSiteHasForgottenIsTold(t *testing.T) {
	s := newSite(t)
	b, device := s.keeper(ada)
	s.forget(ada)
	b.inject(withoutOffers)
	b.open("/sign-in")
	if status := b.clickPasskey("Sign in with a passkey"); status != 401 {
		t.Errorf("status %d", status)
	}
	b.shows("The passkey is not known here; it may have been deleted.")
	b.keepsNothing(device)
}

func TestADeviceShowsThePresentNameOfItsUser(t *testing.T) {
	s := newSite(t)
	b, device := s.keeper(ada)
	user, err := s.Users().GetByEmail(t.Context(), ada)
	if err == nil {
		_, err = s.Users().UpdateName(t.Context(), user.ID, "Countess")
	}
	if err != nil {
		t.Fatal(err)
	}
	b.inject(withoutOffers)
	b.signIn(ada)
	b.open("/account/passkeys")
	b.keeps(device, func(all []*webauthn.Credential) bool { return len(all) == 1 && all[0].UserDisplayName == "Countess" })
}

func TestADeviceThatDoesNotVerifyItsUserSignsNobodyIn(t *testing.T) {
	s := newSite(t)
	b, device := s.keeper(ada)
	b.inject(withoutOffers)
	b.open("/sign-in")
	call(b, webauthn.SetUserVerified, webauthn.SetUserVerifiedParams{AuthenticatorID: device, IsUserVerified: false})
	b.pressPasskey("Sign in with a passkey")
	b.says("No passkey was given.")
	call(b, webauthn.SetUserVerified, webauthn.SetUserVerifiedParams{AuthenticatorID: device, IsUserVerified: true})
	b.unverified(device, true)
	if status := b.clickPasskey("Sign in with a passkey"); status != 401 {
		t.Errorf("status %d", status)
	}
	b.shows("The passkey was not accepted, or")
	b.unverified(device, false)
	b.clickPasskey("Sign in with a passkey")
	b.at("/account")
}

func TestADeviceHasOnePasskeyOfAUser(t *testing.T) {
	s := newSite(t)
	b, device := s.keeper(ada)
	b.inject(withoutOffers)
	b.open("/sign-in?next=/account/passkeys")
	b.clickPasskey("Sign in with a passkey")
	b.click("Deutsch")
	b.clickPasskey("Passkey hinzufügen")
	b.pressPasskey("Passkey erstellen")
	b.says("Dieses Gerät hat schon einen Passkey für Ihr Konto.")
	b.keeps(device, func(all []*webauthn.Credential) bool { return len(all) == 1 })
}

func TestTheListTellsOfCopiesAndOfDevicesThatSynchronise(t *testing.T) {
	s := newSite(t)
	b, device := s.keeper(ada)
	b.inject(withoutOffers)
	former := call(b, webauthn.GetCredentials, webauthn.GetCredentialsParams{AuthenticatorID: device}).Credentials[0]
	for range 2 {
		b.open("/sign-in?next=/account/passkeys")
		b.clickPasskey("Sign in with a passkey")
		b.lacks("may have a copy")
		b.click("Sign out")
	}
	call(b, webauthn.ClearCredentials, webauthn.ClearCredentialsParams{AuthenticatorID: device})
	b.restore(device, former)
	b.open("/sign-in?next=/account/passkeys")
	b.clickPasskey("Sign in with a passkey")
	b.shows("Telephone", "may have a copy")

	call(b, webauthn.RemoveVirtualAuthenticator, webauthn.RemoveVirtualAuthenticatorParams{AuthenticatorID: device})
	b.another(webauthn.VirtualAuthenticatorOptions{HasUserVerification: true, IsUserVerified: true, DefaultBackupEligibility: true, DefaultBackupState: true})
	b.addPasskey("Password manager")
	b.shows("Password manager", "synced")
}

func TestABrowserWithoutPasskeysHasTheFormAsBefore(t *testing.T) {
	s := newSite(t)
	s.member(ada)
	b := s.visitor()
	b.inject(withoutPasskeys)
	b.open("/sign-in")
	if len(b.find("Sign in with a passkey", "button")) != 0 {
		t.Error("the button is there")
	}
	b.lacks("Passkeys need JavaScript.")
	b.signIn(ada)
	b.open("/account/passkeys")
	b.until("!document.querySelector('[data-unable]').hidden")
	b.shows("This browser cannot make passkeys.")
	if len(b.find("Add a passkey", "button")) != 0 {
		t.Error("the button is there")
	}
	b = s.browser() // without scripts
	b.open("/sign-in")
	b.shows("Passkeys need JavaScript.")
	if len(b.find("Sign in with a passkey", "button")) != 0 {
		t.Error("the button is there without scripts")
	}
}

func TestARefusedQuestionIsTold(t *testing.T) {
	s := newSite(t)
	b, _ := s.keeper(ada)
	b.inject(withoutOffers)
	b.signIn(ada)
	b.open("/confirm")
	s.forget(ada)
	b.forgiven = true // the browser writes of the status 404 to the script
	b.pressPasskey("Use a passkey")
	b.says("The passkey does not exist.")
}

// slow lets the page stand after its form was sent first, as it does while the next page is late.
const slow = `{
	const submit = HTMLFormElement.prototype.submit
	let sent = false
	HTMLFormElement.prototype.submit = function() {
		if (sent) return submit.call(this)
		sent = true
		fetch(this.action, {method: "POST", body: new URLSearchParams(new FormData(this))}).then(() => document.documentElement.dataset.sent = "")
	}
}`

// The button may be pressed once more while the next page is late. The device must still have the passkey that the site has taken.
func TestASecondPressLosesNoPasskey(t *testing.T) {
	s := newSite(t)
	user := s.member(ada)
	b := s.visitor()
	b.forgiven = true // the browser writes of the form that the test sends by a script
	device := b.device()
	b.signIn(ada)
	b.inject(slow)
	b.open("/account/passkeys")
	b.clickPasskey("Add a passkey")
	b.pressPasskey("Make the passkey")
	b.until("'sent' in document.documentElement.dataset")
	list, err := s.Users().Passkeys(t.Context(), user.ID)
	if err != nil || list.Total != 1 {
		t.Fatalf("the site has %+v: %v", list, err)
	}
	had := call(b, webauthn.GetCredentials, webauthn.GetCredentialsParams{AuthenticatorID: device}).Credentials
	if len(eval[[]string](b, "[...document.querySelectorAll('button[data-options]:not([disabled])')].map(e => e.textContent)")) > 0 {
		b.follow(func() { b.press(b.one("Make the passkey", "button")) })
	}
	has := call(b, webauthn.GetCredentials, webauthn.GetCredentialsParams{AuthenticatorID: device}).Credentials
	for _, c := range has {
		if bytes.Equal(c.CredentialID, had[0].CredentialID) {
			return
		}
	}
	t.Errorf("the device keeps %d passkeys, and not the one that the site has taken; the page says:\n%s", len(has), b.text())
}
