package latchkey_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/notify"
	"example.com/latchkey/notify/templates"
)

// signIns are the ways to sign in. alert tells whether a way sends the user a notice.
var signIns = []struct {
	name  string
	alert bool
	in    func(k *kit.Kit, e *latchkey.Engine, user *latchkey.User) error
}{
	{"password", true, func(k *kit.Kit, e *latchkey.Engine, _ *latchkey.User) error {
		return kit.Err(e.Guest(kit.Client).CreateEmailPasswordSession(k.Ctx, kit.Ada, kit.Password))
	}},
	{"phone", true, func(k *kit.Kit, e *latchkey.Engine, _ *latchkey.User) error {
		token, err := e.Guest(kit.Client).CreatePhoneToken(k.Ctx, "", kit.Phone)
		k.Must(err)
		return kit.Err(e.Guest(kit.Client).CreateSession(k.Ctx, token.UserID, k.MailOf(token, kit.Phone).Secret))
	}},
	{"the host's token", true, func(k *kit.Kit, e *latchkey.Engine, user *latchkey.User) error {
		token, err := e.Users().CreateToken(k.Ctx, user.ID, 0, 0)
		k.Must(err)
		return kit.Err(e.Guest(kit.Client).CreateSession(k.Ctx, user.ID, token.Secret.Reveal()))
	}},
	{"magic URL", false, func(k *kit.Kit, e *latchkey.Engine, _ *latchkey.User) error {
		token, err := e.Guest(kit.Client).CreateMagicURLToken(k.Ctx, latchkey.NewMagicURLToken{Email: kit.Ada})
		k.Must(err)
		return kit.Err(e.Guest(kit.Client).CreateSession(k.Ctx, token.UserID, k.MailOf(token, kit.Ada).Secret))
	}},
	{"e-mail code", false, func(k *kit.Kit, e *latchkey.Engine, _ *latchkey.User) error {
		token, err := e.Guest(kit.Client).CreateEmailToken(k.Ctx, latchkey.NewEmailToken{Email: kit.Ada})
		k.Must(err)
		return kit.Err(e.Guest(kit.Client).CreateSession(k.Ctx, token.UserID, k.MailOf(token, kit.Ada).Secret))
	}},
	{"the server", false, func(k *kit.Kit, e *latchkey.Engine, user *latchkey.User) error {
		return kit.Err(e.Users().CreateSession(k.Ctx, user.ID))
	}},
	{"a wrong password", false, func(k *kit.Kit, e *latchkey.Engine, _ *latchkey.User) error {
		if err := kit.Err(e.Guest(kit.Client).CreateEmailPasswordSession(k.Ctx, kit.Ada, "wrong horse")); err != latchkey.ErrInvalidCredentials {
			return err
		}
		return nil
	}},
}

func TestUserIsToldOfSecondSessions(t *testing.T) {
	for _, c := range signIns {
		for _, limit := range []int{10, 1} { // with a limit of 1, the new session replaces the old one
			t.Run(fmt.Sprint(c.name, " of ", limit), func(t *testing.T) {
				kit.OnEveryStore(t, latchkey.Policy{Sessions: latchkey.SessionPolicy{Limit: limit}}, func(k *kit.Kit) {
					user := k.Proven()
					engine := k.Configured(func(c *latchkey.Config) { c.Policy.Sessions.Alerts = true })
					k.Must(c.in(k, engine, user))
					if got := k.Posted(engine); len(got) != 0 {
						k.Errorf("of the first: %v", got)
					}
					k.Must(kit.Err(k.Users().CreateSession(k.Ctx, user.ID)))
					quiet := k.Configured(func(*latchkey.Config) {})
					k.Must(c.in(k, quiet, user))
					if got := k.Posted(quiet); len(got) != 0 {
						k.Errorf("without the policy: %v", got)
					}
					engine = k.Configured(func(c *latchkey.Config) { c.Policy.Sessions.Alerts = true })
					k.Must(c.in(k, engine, user))
					if got := k.Posted(engine); c.alert && !slices.Equal(got, []string{"session-alert " + kit.Ada}) || !c.alert && len(got) != 0 {
						k.Errorf("of the second: %v", got)
					}
				})
			})
		}
	}
}

func TestAlertSaysWhoAndWhereAndIsNotForSessionsThatHaveExpired(t *testing.T) {
	kit.OnEveryStore(t, latchkey.Policy{Sessions: latchkey.SessionPolicy{Alerts: true, Length: time.Hour}}, func(k *kit.Kit) {
		k.Proven()
		k.SignIn(kit.Ada)
		k.Clock.Advance(time.Hour)
		k.SignIn(kit.Ada) // the first session has expired
		client := kit.Client
		client.Locale = "de, en;q=0.5"
		session, err := k.Guest(client).CreateEmailPasswordSession(k.Ctx, kit.Ada, kit.Password)
		k.Must(err)
		m := k.Mail(kit.Ada)
		if m.Kind != notify.SessionAlert || m.Channel != notify.Email || m.Name != "Ada" || m.Client.OS != "Windows" || m.Client.IP != kit.Client.IP ||
			!m.Time.Equal(session.CreatedAt) || m.Secret != "" || m.Link != "" || m.Locale != "de, en;q=0.5" || m.ID == "" {
			k.Errorf("%+v, %+v", m.Client, m)
		}
		k.Must(kit.Err(k.Visitor.CreateAnonymousSession(k.Ctx)))
		if got := k.Posted(k.Engine); len(got) != 0 {
			k.Error(got)
		}
	})
}

func TestOldAddressIsToldOfAChange(t *testing.T) {
	for name, c := range map[string]struct {
		change func(k *kit.Kit, a *latchkey.Account, id string) error
		want   []string
	}{
		"e-mail": {func(k *kit.Kit, a *latchkey.Account, _ string) error {
			return kit.Err(a.UpdateEmail(k.Ctx, kit.Bob, kit.Password))
		}, []string{"email-changed " + kit.Phone, "email-changed " + kit.Ada}},
		"phone": {func(k *kit.Kit, a *latchkey.Account, _ string) error {
			return kit.Err(a.UpdatePhone(k.Ctx, "+14155550177", kit.Password))
		},
			[]string{"phone-changed " + kit.Phone, "phone-changed " + kit.Ada}},
		"password": {func(k *kit.Kit, a *latchkey.Account, _ string) error {
			return kit.Err(a.UpdatePassword(k.Ctx, latchkey.PasswordUpdate{New: "another horse battery", Old: kit.Password}))
		}, []string{"password-changed " + kit.Phone, "password-changed " + kit.Ada}},
		"e-mail, by the server": {func(k *kit.Kit, _ *latchkey.Account, id string) error {
			return kit.Err(k.Users().UpdateEmail(k.Ctx, id, ""))
		}, []string{"email-changed " + kit.Phone, "email-changed " + kit.Ada}},
		"phone, by the server": {func(k *kit.Kit, _ *latchkey.Account, id string) error {
			return kit.Err(k.Users().UpdatePhone(k.Ctx, id, ""))
		}, []string{"phone-changed " + kit.Phone, "phone-changed " + kit.Ada}},
		"password, by the server": {func(k *kit.Kit, _ *latchkey.Account, id string) error {
			return kit.Err(k.Users().UpdatePassword(k.Ctx, id, ""))
		}, []string{"password-changed " + kit.Phone, "password-changed " + kit.Ada}},
		"the same e-mail": {func(k *kit.Kit, a *latchkey.Account, _ string) error {
			return kit.Err(a.UpdateEmail(k.Ctx, kit.Ada, kit.Password))
		}, nil},
		"a name": {func(k *kit.Kit, a *latchkey.Account, _ string) error { return kit.Err(a.UpdateName(k.Ctx, "Grace")) }, nil},
		"nothing, for a wrong password": {func(k *kit.Kit, a *latchkey.Account, _ string) error {
			if err := kit.Err(a.UpdateEmail(k.Ctx, kit.Bob, "wrong horse")); err != latchkey.ErrInvalidCredentials {
				return err
			}
			return nil
		}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
				user := k.Proven()
				_, account := k.SignIn(kit.Ada)
				k.Must(c.change(k, account, user.ID))
				var got []string
				for _, m := range k.Drained(k.Engine) {
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
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user, err := k.Users().Create(k.Ctx, latchkey.NewUser{Phone: kit.Phone, Password: kit.Password})
		k.Must(err)
		k.Must(kit.Err(k.Users().UpdatePassword(k.Ctx, user.ID, "another horse battery")))
		k.Must(kit.Err(k.Users().UpdatePhone(k.Ctx, user.ID, "+14155550177")))
		k.Must(kit.Err(k.Users().UpdatePhoneVerification(k.Ctx, user.ID, true)))
		k.Must(kit.Err(k.Users().UpdatePassword(k.Ctx, user.ID, "a third horse battery")))
		if got := k.Posted(k.Engine); !slices.Equal(got, []string{"password-changed +14155550177"}) {
			k.Error(got)
		}
	})
}

// A user who proves an address for the first time gets no notice about the password
// of an earlier, planted account.
func TestFirstProofTellsNobody(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		token, secret := k.AskCode(kit.Ada)
		k.Must(kit.Err(k.Visitor.CreateSession(k.Ctx, token.UserID, secret)))
		if got := k.Posted(k.Engine); len(got) != 0 {
			k.Error(got)
		}
	})
}

// Neither a flood nor alerts suppress the notice that an address or a password has
// changed. A user with only a number is told by SMS, however many other messages go
// to the same country.
func TestNothingHidesANoticeFromAProvenAddress(t *testing.T) {
	words, err := templates.New(templates.Config{App: "Demo"})
	if err != nil {
		t.Fatal(err)
	}
	kit.OnEveryStore(t, latchkey.Policy{Sessions: latchkey.SessionPolicy{Alerts: true}}, func(k *kit.Kit) {
		user := k.Proven()
		engine := k.Configured(func(*latchkey.Config) {})
		for n := range 60 {
			k.Must(kit.Err(engine.Guest(kit.At(fmt.Sprintf("192.0.2.%d", n))).CreateMagicURLToken(k.Ctx, latchkey.NewMagicURLToken{Email: kit.Ada})))
		}
		for n := range 12 {
			k.Must(kit.Err(engine.Guest(kit.At(fmt.Sprintf("192.0.2.%d", n))).CreateEmailPasswordSession(k.Ctx, kit.Ada, kit.Password)))
		}
		for n := range 110 {
			_ = kit.Err(engine.Guest(kit.At(fmt.Sprintf("198.51.100.%d", n))).CreatePhoneToken(k.Ctx, "", fmt.Sprintf("+141555502%02d", n)))
		}
		session, err := engine.Guest(kit.Client).CreateEmailPasswordSession(k.Ctx, kit.Ada, kit.Password)
		k.Must(err)
		account, err := engine.Guest(kit.Client).Authenticate(k.Ctx, session.Secret.Reveal())
		k.Must(err)
		k.Must(kit.Err(account.UpdateEmail(k.Ctx, "thief@example.org", kit.Password)))
		k.Must(kit.Err(engine.Users().UpdateEmail(k.Ctx, user.ID, ""))) // which nobody has proven
		k.Must(kit.Err(account.UpdatePassword(k.Ctx, latchkey.PasswordUpdate{New: "another horse battery", Old: kit.Password})))
		var got []string
		for _, m := range k.Drained(engine) {
			if m.Kind == notify.EmailChanged || m.Kind == notify.PasswordChanged {
				got = append(got, string(m.Kind)+" "+m.To)
			}
			if _, err := words.Render(m); err != nil {
				k.Error(err)
			}
		}
		slices.Sort(got)
		if !slices.Equal(got, []string{"email-changed " + kit.Phone, "email-changed " + kit.Phone, "email-changed " + kit.Ada, "password-changed " + kit.Phone}) {
			k.Error(got)
		}
	})
}

// The caller has not asked for a notice. The remaining messages of its mailbox are no result
// of the caller's calls, so OnLimit does not get them.
func TestNoticesAreNotReportedToOnLimit(t *testing.T) {
	policy := latchkey.Policy{Sessions: latchkey.SessionPolicy{Alerts: true}}
	kit.OnEveryStore(t, policy, func(k *kit.Kit) {
		k.Proven()
		var reported []string
		client := kit.Client
		client.OnLimit = func(r latchkey.LimitResult) { reported = append(reported, r.Operation) }
		signIn := func() *latchkey.Account {
			session, err := k.Guest(client).CreateEmailPasswordSession(k.Ctx, kit.Ada, kit.Password)
			k.Must(err)
			account, err := k.Guest(client).Authenticate(k.Ctx, session.Secret.Reveal())
			k.Must(err)
			return account
		}
		only := func(what string, want ...string) {
			k.Helper()
			if !slices.Equal(reported, want) {
				k.Errorf("%s reports %q, want %q", what, reported, want)
			}
			reported = nil
		}
		signIn()
		only("the first sign-in", "createEmailPasswordSession")
		account := signIn() // sends a session alert
		only("a sign-in with an alert", "createEmailPasswordSession")
		k.Must(kit.Err(account.UpdateMFA(k.Ctx, true))) // sends a notice of factors
		only("a switch of MFA")
		k.Must(kit.Err(account.UpdatePassword(k.Ctx, latchkey.PasswordUpdate{New: "another horse", Old: kit.Password})))
		only("a change of the password", "updatePassword")
	})
}
