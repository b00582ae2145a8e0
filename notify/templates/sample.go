package templates

import (
	"net/netip"
	"time"

	"example.com/latchkey/hidden"
	"example.com/latchkey/notify"
)

// Sample returns a typical message of a kind, for trying out templates.
func Sample(kind notify.Kind, channel notify.Channel) notify.Message {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	m := notify.Message{
		ID: "sample", Kind: kind, Channel: channel, To: "ada@example.org", Name: "Ada Lovelace", UserID: "ada", Time: now,
		Client: notify.Client{
			IP: netip.MustParseAddr("192.0.2.7"), UserAgent: "Mozilla/5.0 Firefox/140.0", OS: "Linux", Browser: "Firefox", Device: "desktop", Country: "gb",
		},
	}
	if channel == notify.SMS {
		m.To = "+14155550100"
	}
	secret := func(valid time.Duration, phrase string) { m.Expire, m.Phrase = now.Add(valid), phrase }
	link := func(path string) {
		m.Secret = hidden.New("f00dfeedbeef")
		m.Link = hidden.New("https://app.example.org/" + path + "?lang=en&userId=ada&secret=" + m.Secret.Reveal())
	}
	switch kind {
	case notify.MagicURL:
		secret(time.Hour, "Calm Harbour")
		link("in")
	case notify.EmailOTP:
		secret(15*time.Minute, "Calm Harbour")
		m.Secret = hidden.New("123456")
	case notify.PhoneOTP, notify.PhoneVerification, notify.PhoneChange, notify.Challenge:
		secret(15*time.Minute, "")
		m.Secret = hidden.New("123456")
	case notify.EmailVerification, notify.EmailChange:
		secret(7*24*time.Hour, "")
		link("verify")
	case notify.EmailChanged, notify.PhoneChanged:
		if (kind == notify.PhoneChanged) == (channel == notify.SMS) { // to the old address
			secret(7*24*time.Hour, "")
			link("undo")
		}
	case notify.PasswordChanged:
		m.HasPasskeys = true
	case notify.FactorsChanged:
		m.Change = notify.AuthenticatorAdded
	case notify.Recovery:
		secret(time.Hour, "")
		link("recover")
	case notify.Invitation:
		secret(7*24*time.Hour, "")
		link("join")
		m.TeamID, m.TeamName, m.MembershipID, m.Inviter = "bakers", "The Bakers", "member", "Grace Hopper"
	}
	return m
}
