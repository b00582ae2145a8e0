package attack_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/notify"
	"example.com/latchkey/notify/templates"
	"example.com/latchkey/ratelimit"
)

// plantedWords are the words that an attacker wants to reach a stranger.
const plantedWords = "Prize"

// A27: an attacker who enters the addresses of strangers has no notice sent to them, by any
// change, and by whatever way in.
func TestA27NoNoticeGoesToAnAddressThatNobodyHasProven(t *testing.T) {
	policy := latchkey.Policy{Sessions: latchkey.SessionPolicy{Alerts: true}}
	kit.OnEveryStore(t, policy, func(k *kit.Kit) {
		session, err := k.Visitor.CreateAnonymousSession(k.Ctx)
		k.Must(err)
		account, err := k.Visitor.Authenticate(k.Ctx, session.Secret.Reveal())
		k.Must(err)
		k.Must(kit.Err(account.UpdateName(k.Ctx, plantedWords)))
		for n := range 8 { // each changes the address from a stranger's to another one's
			k.Must(kit.Err(account.UpdateEmail(k.Ctx, fmt.Sprintf("stranger%d@example.org", n), kit.Password)))
			k.Must(kit.Err(account.UpdatePhone(k.Ctx, fmt.Sprintf("+1415555017%d", n), kit.Password)))
		}
		const last = "stranger7@example.org"
		k.Must(kit.Err(k.Visitor.CreateEmailPasswordSession(k.Ctx, last, kit.Password)))
		if m := k.Mail(last); m.Kind != notify.SessionAlert || m.Name != "" || m.Client.UserAgent != "" { // the documented exception
			k.Errorf("%+v", m)
		}
		k.Must(kit.Err(account.UpdatePassword(k.Ctx, latchkey.PasswordUpdate{New: "another horse", Old: kit.Password})))
		session, err = account.ConfirmPassword(k.Ctx, "another horse")
		k.Must(err)
		account, err = k.Visitor.Authenticate(k.Ctx, session.Secret.Reveal())
		k.Must(err)
		k.Confirmed(account, latchkey.NewMFAAuthenticator{})
		k.Must(kit.Err(account.CreateMFARecoveryCodes(k.Ctx)))
		k.Must(kit.Err(account.UpdateMFA(k.Ctx, true)))
		k.Must(kit.Err(k.Users().UpdateEmail(k.Ctx, account.UserID(), "stranger8@example.org")))
		k.Must(kit.Err(k.Users().UpdatePassword(k.Ctx, account.UserID(), "third horse battery")))
		got := slices.DeleteFunc(k.Posted(k.Engine), func(s string) bool { return strings.HasPrefix(s, "session-alert ") })
		if len(got) != 0 {
			k.Errorf("%v", got)
		}
	})
}

// A27: a user whose address is not proven gets notices at the number that is.
func TestA27TheProvenAddressIsTold(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user := k.Proven()
		k.Must(kit.Err(k.Users().UpdateEmailVerification(k.Ctx, user.ID, false)))
		_, account := k.SignIn(kit.Ada)
		k.Must(kit.Err(account.UpdatePassword(k.Ctx, latchkey.PasswordUpdate{New: "another horse", Old: kit.Password})))
		k.Must(kit.Err(account.UpdateMFA(k.Ctx, true)))
		k.Must(kit.Err(k.Users().UpdateEmailVerification(k.Ctx, user.ID, true)))
		k.Must(kit.Err(k.Users().UpdatePassword(k.Ctx, user.ID, "third horse")))
		want := []string{"factors-changed " + kit.Phone, "password-changed " + kit.Phone, "password-changed " + kit.Phone, "password-changed " + kit.Ada}
		k.Same("notices", k.Posted(k.Engine), want)
	})
}

// A27: a message to an address that its user has not proven has none of the sender's words:
// no name, and no name of a client that the engine does not know.
func TestA27NoWordsOfTheSenderGoToAStranger(t *testing.T) {
	set, err := templates.New(templates.Config{App: "Demo"})
	if err != nil {
		t.Fatal(err)
	}
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user, err := k.Visitor.CreateAccount(k.Ctx, latchkey.NewAccount{Email: kit.Ada, Password: kit.Password, Name: plantedWords})
		k.Must(err)
		k.Must(kit.Err(k.Users().UpdatePhone(k.Ctx, user.ID, kit.Phone)))
		for _, agent := range []string{
			plantedWords, plantedWords + "/1.0", "Mozilla/5.0 (" + plantedWords + ") " + plantedWords + "/5.0", "Mozilla/5.0 (Windows NT 10.0) " + plantedWords + "/7.1", "",
			"Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0 " + plantedWords + "/1",
			"Mozilla/5.0 (compatible; " + plantedWords + "bot/1.0; +https://prize.example)", "Mozilla/5.0 (Linux; Android 14; " + plantedWords + ") AppleWebKit/537.36 Chrome/126.0 Mobile Safari/537.36",
		} {
			client := kit.At(kit.Attacker)
			client.UserAgent = agent
			guest := k.Guest(client)
			session, err := guest.CreateEmailPasswordSession(k.Ctx, kit.Ada, kit.Password)
			k.Must(err)
			account, err := guest.Authenticate(k.Ctx, session.Secret.Reveal())
			k.Must(err)
			for _, ask := range askings {
				k.Must(ask(k, guest))
			}
			k.Must(kit.Err(account.CreateEmailVerification(k.Ctx, kit.VerifyURL)))
			k.Must(kit.Err(account.CreatePhoneVerification(k.Ctx)))
			k.Must(kit.Err(guest.CreateMagicURLToken(k.Ctx, latchkey.NewMagicURLToken{Email: kit.Bob}))) // whom nobody has
			for _, to := range []string{kit.Ada, kit.Ada, kit.Ada, kit.Ada, kit.Phone, kit.Phone, kit.Bob} {
				m := k.Mail(to)
				content, err := set.Render(m.Message)
				k.Must(err)
				text := fmt.Sprint(content, m.Name, m.Client.UserAgent, m.Client.OS, m.Client.Browser, m.Client.Device)
				if strings.Contains(strings.ToLower(text), "prize") {
					k.Errorf("%s to %s from %q: %s", m.Kind, to, agent, text)
				}
				if strings.Contains(agent, "Firefox") && (m.Client.Browser != "Firefox" || m.Client.OS != "Linux") {
					k.Errorf("a known client is %+v", m.Client)
				}
			}
		}
		// Once the address is proven, its user reads their name and their device.
		k.Must(kit.Err(k.Users().UpdateEmailVerification(k.Ctx, user.ID, true)))
		client := kit.At(kit.Owner)
		client.UserAgent = "Lynx/2.9"
		k.Must(kit.Err(k.Guest(client).CreateRecovery(k.Ctx, latchkey.NewRecovery{Email: kit.Ada, URL: kit.RecoverURL})))
		if m := k.Mail(kit.Ada); m.Kind != notify.Recovery || m.Name != plantedWords || m.Client.UserAgent != "Lynx/2.9" {
			k.Errorf("%+v", m.Client)
		}
	})
}

// A27: notices, and mails that verify addresses, count among the messages that a client has
// caused. A notice goes beyond them, because an attacker must not hide a theft.
func TestA27NoticesAndVerificationsCountByClient(t *testing.T) {
	for _, rule := range []string{"messagesByClient", "messagesBySite"} {
		t.Run(rule, func(t *testing.T) {
			policy := latchkey.Policy{
				Sessions: latchkey.SessionPolicy{Alerts: true, Limit: 100},
				Guessing: latchkey.GuessingPolicy{Limits: map[string]ratelimit.Rule{rule: {Calls: 6, Window: time.Hour}, "messagesNotices": {Calls: 2, Window: time.Hour}}},
			}
			kit.OnEveryStore(t, policy, countsByClient)
		})
	}
}

func countsByClient(k *kit.Kit) {
	k.Proven()
	k.Must(kit.Err(k.Visitor.CreateAccount(k.Ctx, latchkey.NewAccount{Email: kit.Bob, Password: kit.Password})))
	engine := k.Configured(func(*latchkey.Config) {})
	guest := engine.Guest(kit.At("2001:db8:1:2::66"))
	signIn := func(email string) *latchkey.Account {
		session, err := guest.CreateEmailPasswordSession(k.Ctx, email, kit.Password)
		k.Must(err)
		account, err := guest.Authenticate(k.Ctx, session.Secret.Reveal())
		k.Must(err)
		return account
	}
	bob := signIn(kit.Bob)
	k.Must(kit.Err(bob.CreateEmailVerification(k.Ctx, kit.VerifyURL))) // 1
	for range 5 {
		signIn(kit.Ada) // 2 to 5: an alert of each but the first
	}
	k.Must(kit.Err(bob.CreateEmailVerification(k.Ctx, kit.VerifyURL))) // 6
	for name, ask := range map[string]func() error{
		"a verification": func() error { return kit.Err(bob.CreateEmailVerification(k.Ctx, kit.VerifyURL)) },
		"a link": func() error {
			return kit.Err(guest.CreateMagicURLToken(k.Ctx, latchkey.NewMagicURLToken{Email: "stranger@example.org"}))
		},
	} {
		if err := ask(); !errors.Is(err, latchkey.ErrRateLimitExceeded) {
			k.Errorf("%s after six messages: %v", name, err)
		}
	}
	for range 4 { // two of them get an alert
		signIn(kit.Ada)
	}
	k.Must(kit.Err(signIn(kit.Ada).UpdatePassword(k.Ctx, latchkey.PasswordUpdate{New: "another horse", Old: kit.Password})))
	kinds := map[notify.Kind]int{}
	for _, m := range k.Drained(engine) {
		kinds[m.Kind]++
	}
	k.Same("messages", kinds, map[notify.Kind]int{notify.EmailVerification: 2, notify.SessionAlert: 4 + 2, notify.PasswordChanged: 2})
}
