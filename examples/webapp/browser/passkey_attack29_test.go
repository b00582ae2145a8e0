package browser

import (
	"bytes"
	"testing"

	"github.com/chromedp/cdproto/webauthn"
)

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
func TestAttackASecondPressLosesNoPasskey(t *testing.T) {
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
