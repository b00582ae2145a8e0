package latchkey_test

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/authtest"
	"example.com/latchkey/notify"
	"example.com/latchkey/notify/templates"
	"example.com/latchkey/ratelimit"
	"example.com/latchkey/store/memory"
	"example.com/latchkey/store/storetest"
)

// configured is a second engine on the store of a kit, with its clock, outbox
// and events.
func (k *kit) configured(change func(*latchkey.Config)) *latchkey.Engine {
	k.Helper()
	c := latchkey.Config{
		Keys: k.keys, Hasher: k.hasher, Now: k.clock.Now, Policy: k.policy, OnEvent: k.told.Record, Notifier: k.box, SMS: k.box,
		RedirectHosts: []string{"app.example.org"}, Logger: slog.New(slog.DiscardHandler),
	}
	change(&c)
	engine, err := latchkey.New(k.store, c)
	k.must(err)
	k.Cleanup(func() { k.must(engine.Close()) })
	return engine
}

// drained ends an engine, which sends what waits, and returns what has come since
// the last time.
func (k *kit) drained(engine *latchkey.Engine) []notify.Message {
	k.Helper()
	k.must(engine.Close())
	all := k.box.All()
	*k.box = notify.Outbox{}
	return all
}

// posted is drained, as "kind address".
func (k *kit) posted(engine *latchkey.Engine) (out []string) {
	k.Helper()
	for _, m := range k.drained(engine) {
		out = append(out, string(m.Kind)+" "+m.To)
	}
	slices.Sort(out)
	return out
}

// AC-057: numbers are not flooded, nor are those of one country pumped: what
// is too much is refused before anything is sent, and the host is told once.
func TestAC057TextMessagesAreCapped(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		engine := k.configured(func(*latchkey.Config) {})
		ask := func(ip, number string) error { return ignore(engine.Guest(at(ip)).CreatePhoneToken(k.ctx, "", number)) }
		const flooded = "+4915212345678"
		for n := range 12 { // one number, from everywhere
			if err := ask(fmt.Sprintf("192.0.2.%d", n), flooded); (err == nil) != (n < 10) {
				k.Errorf("%d: %v", n, err)
			}
		}
		refused := 0
		for n := range 130 { // a country, from everywhere
			err := ask(fmt.Sprintf("198.51.100.%d", n), fmt.Sprintf("+252610000%03d", n))
			if err != nil {
				refused++
			}
			if (err == nil) != (n < 100) || err != nil && !errors.Is(err, latchkey.ErrRateLimitExceeded) {
				k.Errorf("%d: %v", n, err)
			}
		}
		k.must(ask("203.0.113.1", "+4915299999999")) // another country goes on
		for n := range 3 {                           // and areas of +1 are apart
			k.must(ask("203.0.113.2", fmt.Sprintf("+1415555010%d", n)))
		}
		rules := map[string]int{}
		for _, e := range k.told.Take() {
			if strings.HasPrefix(e.Name, "limits.") {
				rules[e.Name]++
				r, ok := e.Payload.(latchkey.LimitResult)
				if !ok || r.Allowed || !e.Matches("limits.*.reached") || e.Matches("users.*") || e.UserID != "" {
					k.Errorf("%+v", e)
				}
			}
		}
		if len(rules) != 1 || rules["limits.messagesByPrefix.reached"] != 1 {
			k.Errorf("told of %v", rules)
		}
		k.clock.Advance(time.Hour)
		k.must(ask("198.51.100.200", "+252610000999"))
		if sent := len(k.posted(engine)); sent != 10+100+1+3+1 {
			k.Errorf("%d texts", sent)
		}
	})
}

// AC-057: a client address sends to twenty numbers a day, to each as often as the
// other rules allow.
func TestAC057NumbersFromOneAddressAreCapped(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		k.policy.Limits = map[string]ratelimit.Rule{"createPhoneToken": {Calls: 1000, Window: time.Hour}}
		engine := k.configured(func(*latchkey.Config) {})
		ask := func(c latchkey.Client, n int) error {
			return ignore(engine.Guest(c).CreatePhoneToken(k.ctx, "", fmt.Sprintf("+49152000000%02d", n)))
		}
		one := at("192.0.2.7")
		for range 2 {
			for n := range 22 {
				if err := ask(one, n); (err == nil) != (n < 20) {
					k.Errorf("number %d: %v", n, err)
				}
			}
		}
		k.must(ask(at("192.0.2.8"), 21))
		k.must(ask(latchkey.Client{}, 22))
		server := one
		server.Server = true
		k.must(ask(server, 23))
		k.clock.Advance(24 * time.Hour)
		k.must(ask(one, 21))
	})
}

func TestMockNumbersHaveTheirCodeAndNothingIsSent(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		const mock, code = "+15555550100", "042317"
		engine := k.configured(func(c *latchkey.Config) { c.MockNumbers = map[string]string{mock: code} })
		guest := engine.Guest(testClient)
		token, err := guest.CreatePhoneToken(k.ctx, "mocked", mock)
		k.must(err)
		if err := ignore(guest.CreateSession(k.ctx, token.UserID, other(code))); err != latchkey.ErrInvalidToken {
			k.Errorf("a wrong code: %v", err)
		}
		session, err := guest.CreateSession(k.ctx, token.UserID, code)
		k.must(err)
		if session.Provider != "phone" || session.UserID != "mocked" {
			k.Errorf("%+v", session)
		}
		if err := ignore(guest.CreateSession(k.ctx, token.UserID, code)); err != latchkey.ErrInvalidToken {
			k.Errorf("twice: %v", err)
		}
		token, err = guest.CreatePhoneToken(k.ctx, "", mock)
		k.must(err)
		k.clock.Advance(15 * time.Minute)
		if err := ignore(guest.CreateSession(k.ctx, token.UserID, code)); err != latchkey.ErrInvalidToken {
			k.Errorf("after its time: %v", err)
		}
		k.must(ignore(engine.Users().UpdatePhone(k.ctx, "mocked", "+15555550101"))) // the notice is not sent either
		k.must(ignore(guest.CreatePhoneToken(k.ctx, "", phone)))
		if got := k.posted(engine); !slices.Equal(got, []string{"phone-otp " + phone}) {
			k.Error(got)
		}
		mute := k.configured(func(c *latchkey.Config) { c.SMS, c.MockNumbers = nil, map[string]string{mock: code} })
		if err := ignore(mute.Guest(testClient).CreatePhoneToken(k.ctx, "", mock)); err != latchkey.ErrPhoneDisabled {
			k.Errorf("without a way to send: %v", err)
		}
	})
	for number, code := range map[string]string{"+15555550100": "12345", "+15555550101": "12345a", "5555550100": "123456", "": "123456"} {
		c := latchkey.Config{Keys: latchkey.Keys{Active: latchkey.GenerateKey()}, MockNumbers: map[string]string{number: code}}
		if _, err := latchkey.New(memory.Open(), c); err == nil {
			t.Errorf("%s=%s is taken", number, code)
		}
	}
}

func TestMockNumbersAreNotCountedAsTexts(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		numbers := make(map[string]string)
		for n := range 30 {
			numbers[fmt.Sprintf("+155555501%02d", n)] = "123456"
		}
		engine := k.configured(func(c *latchkey.Config) {
			c.MockNumbers = numbers
			c.Policy.Limits = map[string]ratelimit.Rule{
				"createPhoneToken": {Calls: 100, Window: time.Hour}, "messagesByPrefix": {Calls: 5, Window: time.Hour}, "messagesNumbers": {Calls: 5, Window: time.Hour},
			}
		})
		for number := range numbers {
			k.must(ignore(engine.Guest(testClient).CreatePhoneToken(k.ctx, "", number)))
		}
	})
}

// signIns are the ways in, and whether the user is told of one.
var signIns = []struct {
	name  string
	alert bool
	in    func(k *kit, e *latchkey.Engine, user *latchkey.User) error
}{
	{"password", true, func(k *kit, e *latchkey.Engine, _ *latchkey.User) error {
		return ignore(e.Guest(testClient).CreateEmailPasswordSession(k.ctx, ada, password))
	}},
	{"phone", true, func(k *kit, e *latchkey.Engine, _ *latchkey.User) error {
		token, err := e.Guest(testClient).CreatePhoneToken(k.ctx, "", phone)
		k.must(err)
		return ignore(e.Guest(testClient).CreateSession(k.ctx, token.UserID, k.mailOf(token, phone).Secret))
	}},
	{"the host's token", true, func(k *kit, e *latchkey.Engine, user *latchkey.User) error {
		token, err := e.Users().CreateToken(k.ctx, user.ID, 0, 0)
		k.must(err)
		return ignore(e.Guest(testClient).CreateSession(k.ctx, user.ID, token.Secret.Reveal()))
	}},
	{"magic URL", false, func(k *kit, e *latchkey.Engine, _ *latchkey.User) error {
		token, err := e.Guest(testClient).CreateMagicURLToken(k.ctx, latchkey.NewMagicURLToken{Email: ada})
		k.must(err)
		return ignore(e.Guest(testClient).CreateSession(k.ctx, token.UserID, k.mailOf(token, ada).Secret))
	}},
	{"e-mail code", false, func(k *kit, e *latchkey.Engine, _ *latchkey.User) error {
		token, err := e.Guest(testClient).CreateEmailToken(k.ctx, latchkey.NewEmailToken{Email: ada})
		k.must(err)
		return ignore(e.Guest(testClient).CreateSession(k.ctx, token.UserID, k.mailOf(token, ada).Secret))
	}},
	{"the server", false, func(k *kit, e *latchkey.Engine, user *latchkey.User) error {
		return ignore(e.Users().CreateSession(k.ctx, user.ID))
	}},
	{"a wrong password", false, func(k *kit, e *latchkey.Engine, _ *latchkey.User) error {
		if err := ignore(e.Guest(testClient).CreateEmailPasswordSession(k.ctx, ada, "wrong horse")); err != latchkey.ErrInvalidCredentials {
			return err
		}
		return nil
	}},
}

// proven makes a user with both addresses verified.
func (k *kit) proven() *latchkey.User {
	k.Helper()
	user := k.signUp(ada)
	k.must(ignore(k.Users().UpdatePhone(k.ctx, user.ID, phone)))
	k.must(ignore(k.Users().UpdateEmailVerification(k.ctx, user.ID, true)))
	k.must(ignore(k.Users().UpdatePhoneVerification(k.ctx, user.ID, true)))
	return user
}

func TestUserIsToldOfSecondSessions(t *testing.T) {
	for _, c := range signIns {
		for _, limit := range []int{10, 1} { // where the new session takes the place of the old one, too
			t.Run(fmt.Sprint(c.name, " of ", limit), func(t *testing.T) {
				onEveryStore(t, latchkey.Policy{SessionLimit: limit}, func(k *kit) {
					user := k.proven()
					engine := k.configured(func(c *latchkey.Config) { c.Policy.SessionAlerts = true })
					k.must(c.in(k, engine, user))
					if got := k.posted(engine); len(got) != 0 {
						k.Errorf("of the first: %v", got)
					}
					k.must(ignore(k.Users().CreateSession(k.ctx, user.ID)))
					quiet := k.configured(func(*latchkey.Config) {})
					k.must(c.in(k, quiet, user))
					if got := k.posted(quiet); len(got) != 0 {
						k.Errorf("without the policy: %v", got)
					}
					engine = k.configured(func(c *latchkey.Config) { c.Policy.SessionAlerts = true })
					k.must(c.in(k, engine, user))
					if got := k.posted(engine); c.alert && !slices.Equal(got, []string{"session-alert " + ada}) || !c.alert && len(got) != 0 {
						k.Errorf("of the second: %v", got)
					}
				})
			})
		}
	}
}

func TestAlertSaysWhoAndWhereAndIsNotForSessionsThatHaveExpired(t *testing.T) {
	onEveryStore(t, latchkey.Policy{SessionAlerts: true, SessionLength: time.Hour}, func(k *kit) {
		k.signUp(ada)
		k.signIn(ada)
		k.clock.Advance(time.Hour)
		k.signIn(ada) // the other has expired
		client := testClient
		client.Locale = "de, en;q=0.5"
		session, err := k.Guest(client).CreateEmailPasswordSession(k.ctx, ada, password)
		k.must(err)
		m := k.mail(ada)
		if m.Kind != notify.SessionAlert || m.Channel != notify.Email || m.Name != "Ada" || m.Client.OS != "Windows" || m.Client.IP != testClient.IP ||
			!m.Time.Equal(session.CreatedAt) || m.Secret != "" || m.Link != "" || m.Locale != "de, en;q=0.5" || m.ID == "" {
			k.Errorf("%+v, %+v", m.Client, m)
		}
		k.must(ignore(k.guest.CreateAnonymousSession(k.ctx)))
		if got := k.posted(k.Engine); len(got) != 0 {
			k.Error(got)
		}
	})
}

func TestOldAddressIsToldOfAChange(t *testing.T) {
	for name, c := range map[string]struct {
		change func(k *kit, a *latchkey.Account, id string) error
		want   []string
	}{
		"e-mail": {func(k *kit, a *latchkey.Account, _ string) error { return ignore(a.UpdateEmail(k.ctx, bob, password)) }, []string{"email-changed " + ada}},
		"phone": {func(k *kit, a *latchkey.Account, _ string) error {
			return ignore(a.UpdatePhone(k.ctx, "+14155550177", password))
		},
			[]string{"phone-changed " + phone, "phone-changed " + ada}},
		"password": {func(k *kit, a *latchkey.Account, _ string) error {
			return ignore(a.UpdatePassword(k.ctx, "another horse battery", password))
		}, []string{"password-changed " + ada}},
		"e-mail, by the server": {func(k *kit, _ *latchkey.Account, id string) error {
			return ignore(k.Users().UpdateEmail(k.ctx, id, ""))
		}, []string{"email-changed " + ada}},
		"phone, by the server": {func(k *kit, _ *latchkey.Account, id string) error {
			return ignore(k.Users().UpdatePhone(k.ctx, id, ""))
		}, []string{"phone-changed " + phone, "phone-changed " + ada}},
		"password, by the server": {func(k *kit, _ *latchkey.Account, id string) error {
			return ignore(k.Users().UpdatePassword(k.ctx, id, ""))
		}, []string{"password-changed " + ada}},
		"the same e-mail": {func(k *kit, a *latchkey.Account, _ string) error { return ignore(a.UpdateEmail(k.ctx, ada, password)) }, nil},
		"a name":          {func(k *kit, a *latchkey.Account, _ string) error { return ignore(a.UpdateName(k.ctx, "Grace")) }, nil},
		"nothing, for a wrong password": {func(k *kit, a *latchkey.Account, _ string) error {
			if err := ignore(a.UpdateEmail(k.ctx, bob, "wrong horse")); err != latchkey.ErrInvalidCredentials {
				return err
			}
			return nil
		}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			onEveryStore(t, documented, func(k *kit) {
				user := k.proven()
				_, account := k.signIn(ada)
				k.must(c.change(k, account, user.ID))
				var got []string
				for _, m := range k.drained(k.Engine) {
					if server := strings.Contains(name, "server"); server == m.Client.IP.IsValid() {
						k.Errorf("%+v", m.Client)
					}
					got = append(got, string(m.Kind)+" "+m.To)
				}
				slices.Sort(got)
				slices.Sort(c.want)
				if !slices.Equal(got, c.want) {
					k.Errorf("%v, want %v", got, c.want)
				}
			})
		})
	}
}

func TestNumberThatNobodyHasProvenGetsNoNotice(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		user, err := k.Users().Create(k.ctx, latchkey.NewUser{Phone: phone, Password: password})
		k.must(err)
		k.must(ignore(k.Users().UpdatePassword(k.ctx, user.ID, "another horse battery")))
		k.must(ignore(k.Users().UpdatePhone(k.ctx, user.ID, "+14155550177")))
		k.must(ignore(k.Users().UpdatePhoneVerification(k.ctx, user.ID, true)))
		k.must(ignore(k.Users().UpdatePassword(k.ctx, user.ID, "a third horse battery")))
		if got := k.posted(k.Engine); !slices.Equal(got, []string{"password-changed +14155550177"}) {
			k.Error(got)
		}
	})
}

// Who proves an address for the first time has done so, and is not told that the
// password of whoever planted the account is gone.
func TestFirstProofTellsNobody(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		k.signUp(ada)
		token, secret := k.askCode(ada)
		k.must(ignore(k.guest.CreateSession(k.ctx, token.UserID, secret)))
		if got := k.posted(k.Engine); len(got) != 0 {
			k.Error(got)
		}
	})
}

// AC-122: signing in and changing addresses back and forth does not flood a
// mailbox of somebody else's, nor can a flood hide from a user what happens.
func TestAC122NoticesAreCappedWithTheMessages(t *testing.T) {
	onEveryStore(t, latchkey.Policy{SessionAlerts: true}, func(k *kit) {
		k.signUp(ada)
		flood := func(engine *latchkey.Engine) {
			for n := range 90 { // a success begins the limit of sign-ins anew
				k.must(ignore(engine.Guest(at(fmt.Sprintf("192.0.2.%d", n))).CreateEmailPasswordSession(k.ctx, ada, password)))
			}
		}
		engine := k.configured(func(*latchkey.Config) {})
		flood(engine)
		if n := len(k.posted(engine)); n != 60 {
			k.Errorf("%d alerts to a mailbox that may be a stranger's", n)
		}
		k.must(ignore(k.Users().UpdateEmailVerification(k.ctx, k.idOf(ada), true)))
		engine = k.configured(func(*latchkey.Config) {})
		for n := range 60 {
			k.must(ignore(engine.Guest(at(fmt.Sprintf("198.51.100.%d", n))).CreateMagicURLToken(k.ctx, latchkey.NewMagicURLToken{Email: ada})))
		}
		flood(engine)
		if n := len(k.posted(engine)); n != 60+10 {
			k.Errorf("%d messages to a mailbox that is its user's", n)
		}
	})
}

// AC-122: neither sub-addresses nor one client make more of them, and a policy
// with fewer messages holds for notices too.
func TestAC122NothingGoesRoundTheCaps(t *testing.T) {
	onEveryStore(t, latchkey.Policy{SessionAlerts: true}, func(k *kit) {
		engine := k.configured(func(*latchkey.Config) {})
		sent := 0
		for n := range 400 {
			ip := "192.0.2.7"
			if n < 100 {
				ip = fmt.Sprintf("198.51.100.%d", n)
			}
			address := fmt.Sprintf("victim+%d@example.org", n)
			if n >= 100 {
				address = fmt.Sprintf("stranger%d@example.org", n)
			}
			if ignore(engine.Guest(at(ip)).CreateEmailToken(k.ctx, latchkey.NewEmailToken{Email: address})) == nil {
				sent++
			}
			if n == 99 && sent != 60 {
				k.Errorf("%d messages to one mailbox", sent)
			}
		}
		if sent != 60+300 {
			k.Errorf("%d messages, 300 of them from one client", sent)
		}
		k.signUp(ada)
		strict := k.configured(func(c *latchkey.Config) {
			c.Policy.Limits = map[string]ratelimit.Rule{"messagesDay": {Calls: 10, Window: 24 * time.Hour}}
		})
		k.drained(engine)
		for range 20 {
			k.must(ignore(strict.Guest(testClient).CreateEmailPasswordSession(k.ctx, ada, password)))
		}
		if n := len(k.posted(strict)); n != 10 {
			k.Errorf("%d alerts in a day", n)
		}
	})
}

// Neither a flood nor alerts hide that an address or a password has changed, and
// a user with a number alone is told by SMS, whatever else goes to their country.
func TestNothingHidesANoticeFromAProvenAddress(t *testing.T) {
	words, err := templates.New(templates.Config{App: "Demo"})
	if err != nil {
		t.Fatal(err)
	}
	onEveryStore(t, latchkey.Policy{SessionAlerts: true}, func(k *kit) {
		user := k.proven()
		engine := k.configured(func(*latchkey.Config) {})
		for n := range 60 {
			k.must(ignore(engine.Guest(at(fmt.Sprintf("192.0.2.%d", n))).CreateMagicURLToken(k.ctx, latchkey.NewMagicURLToken{Email: ada})))
		}
		for n := range 12 {
			k.must(ignore(engine.Guest(at(fmt.Sprintf("192.0.2.%d", n))).CreateEmailPasswordSession(k.ctx, ada, password)))
		}
		for n := range 110 {
			_ = ignore(engine.Guest(at(fmt.Sprintf("198.51.100.%d", n))).CreatePhoneToken(k.ctx, "", fmt.Sprintf("+141555502%02d", n)))
		}
		session, err := engine.Guest(testClient).CreateEmailPasswordSession(k.ctx, ada, password)
		k.must(err)
		account, err := engine.Guest(testClient).Authenticate(k.ctx, session.Secret)
		k.must(err)
		k.must(ignore(account.UpdateEmail(k.ctx, "thief@example.org", password)))
		k.must(ignore(engine.Users().UpdateEmail(k.ctx, user.ID, "")))
		k.must(ignore(account.UpdatePassword(k.ctx, "another horse battery", password)))
		var got []string
		for _, m := range k.drained(engine) {
			if m.Kind == notify.EmailChanged || m.Kind == notify.PasswordChanged {
				got = append(got, string(m.Kind)+" "+m.To)
			}
			if _, err := words.Render(m); err != nil {
				k.Error(err)
			}
		}
		slices.Sort(got)
		if !slices.Equal(got, []string{"email-changed " + ada, "email-changed thief@example.org", "password-changed " + phone}) {
			k.Error(got)
		}
	})
}

func TestWhatIsNotCommittedIsToldToNobody(t *testing.T) {
	onEveryStore(t, latchkey.Policy{SessionAlerts: true}, func(k *kit) {
		k.proven()
		_, account := k.signIn(ada)
		hook := k.store.Hook
		k.store.Hook = func(c storetest.Call) error {
			if c.Name == "Commit" && !c.Done {
				return errDisk
			}
			return nil
		}
		for name, do := range map[string]func() error{
			"a sign-in": func() error { return ignore(k.guest.CreateEmailPasswordSession(k.ctx, ada, password)) },
			"a change":  func() error { return ignore(account.UpdateEmail(k.ctx, bob, password)) },
		} {
			if do() == nil {
				k.Errorf("%s is committed", name)
			}
		}
		k.store.Hook = hook
		if got := k.posted(k.Engine); len(got) != 0 {
			k.Error(got)
		}
	})
}

func TestLocaleOfAClientIsKeptShort(t *testing.T) {
	kit := authtest.New(t, latchkey.Config{})
	for locale, want := range map[string]string{"de": "de", "de\r\nX: y": "", "dé": "", strings.Repeat("x", 1000): strings.Repeat("x", 128)} {
		client := authtest.Client
		client.Locale = locale
		if err := ignore(kit.Engine.Guest(client).CreateEmailToken(t.Context(), latchkey.NewEmailToken{Email: ada})); err != nil {
			t.Fatal(err)
		}
		if m, err := kit.Outbox.Next(t.Context(), ada); err != nil || m.Locale != want {
			t.Errorf("%q: %q, %v", locale, m.Locale, err)
		}
	}
}
