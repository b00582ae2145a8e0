package attack_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/hidden"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/ratelimit"
)

// A22: one rule bounds the text messages of the engine, to whatever numbers, from whatever
// clients, and of whatever kind. Those that another rule refuses do not use it up.
func TestA22AllTextsTogetherAreBounded(t *testing.T) {
	policy := latchkey.Policy{Guessing: latchkey.GuessingPolicy{Limits: map[string]ratelimit.Rule{
		"messagesTexts": {Calls: 8, Window: time.Hour}, "messagesByPrefix": {Calls: 3, Window: time.Hour},
	}}}
	kit.OnEveryStore(t, policy, func(k *kit.Kit) {
		user := k.Proven()
		session, err := k.Users().CreateSession(k.Ctx, user.ID)
		k.Must(err)
		engine := k.Configured(func(c *latchkey.Config) {
			c.MockNumbers = map[string]latchkey.Secret{"+15555550100": hidden.New("123456")}
		})
		account, err := engine.Guest(kit.At("192.0.2.100")).Authenticate(k.Ctx, session.Secret.Reveal())
		k.Must(err)
		n := 0
		ask := func(number string) error {
			n++
			return kit.Err(engine.Guest(kit.At(fmt.Sprintf("192.0.2.%d", n))).CreatePhoneToken(k.Ctx, "", number))
		}
		for n := range 20 { // the rule of the country refuses all but three
			if err := ask(fmt.Sprintf("+2526100000%02d", n)); (err == nil) != (n < 3) {
				k.Errorf("%d: %v", n, err)
			}
		}
		k.Must(ask("+15555550100")) // nothing is sent to it
		k.Must(kit.Err(engine.Guest(kit.Client).CreateEmailToken(k.Ctx, latchkey.NewEmailToken{Email: kit.Bob})))
		k.Must(kit.Err(account.CreateMFAChallenge(k.Ctx, latchkey.FactorPhone)))
		k.Must(kit.Err(account.UpdatePhone(k.Ctx, "+14165550177", kit.Password))) // with a notice to the former number
		k.Must(kit.Err(account.CreatePhoneVerification(k.Ctx)))
		k.Must(ask("+4915212345678"))
		k.Must(ask("+33612345678"))
		for _, number := range []string{"+34612345678", "+4915212345678", "+819012345678"} {
			if err := ask(number); !errors.Is(err, latchkey.ErrRateLimitExceeded) {
				k.Errorf("%s, after eight texts: %v", number, err)
			}
		}
		if err := kit.Err(account.CreatePhoneVerification(k.Ctx)); !errors.Is(err, latchkey.ErrRateLimitExceeded) {
			k.Errorf("a verification after eight texts: %v", err)
		}
		k.Must(kit.Err(engine.Guest(kit.Client).CreateEmailToken(k.Ctx, latchkey.NewEmailToken{Email: kit.Bob})))
		told := 0
		for _, e := range k.Told.Take() {
			if e.Name == "limits.messagesTexts.reached" {
				told++
			}
		}
		if told != 1 {
			k.Errorf("the host is told %d times", told)
		}
		k.Clock.Advance(time.Hour)
		k.Must(ask("+34612345678"))
		texts := 0
		for _, m := range k.Drained(engine) {
			if m.Channel == "sms" {
				texts++
			}
		}
		if texts != 8+1 {
			k.Errorf("%d texts", texts)
		}
	})
}

// A22: a customer who has a whole /48 has 65,536 clients, and one count for them together.
func TestA22AllClientsOfASiteTogetherAreBounded(t *testing.T) {
	policy := latchkey.Policy{Guessing: latchkey.GuessingPolicy{Limits: map[string]ratelimit.Rule{
		"messagesNumbersBySite": {Calls: 6, Window: 24 * time.Hour}, "messagesBySite": {Calls: 9, Window: time.Hour},
	}}}
	kit.OnEveryStore(t, policy, func(k *kit.Kit) {
		k.Engine = k.LimitedEngine(nil)
		text := func(site, n int) error {
			client := kit.At(fmt.Sprintf("2001:db8:%x:%x::1", site, n))
			return kit.Err(k.Guest(client).CreatePhoneToken(k.Ctx, "", fmt.Sprintf("+49152000000%02d", n)))
		}
		mail := func(site, n int) error {
			client := kit.At(fmt.Sprintf("2001:db8:%x:%x::1", site, n))
			return kit.Err(k.Guest(client).CreateEmailToken(k.Ctx, latchkey.NewEmailToken{Email: fmt.Sprintf("u%d@example.org", n)}))
		}
		for n := range 8 {
			if err := text(1, n); (err == nil) != (n < 6) {
				k.Errorf("number %d: %v", n, err)
			}
		}
		k.Must(text(1, 3)) // a number that it has sent to before
		if err := mail(1, 1); !errors.Is(err, latchkey.ErrRateLimitExceeded) {
			k.Errorf("the tenth message: %v", err)
		}
		k.Must(mail(2, 1))
		k.Must(text(2, 7))
		for n := range 12 { // IPv4 has no sites
			k.Must(kit.Err(k.Guest(kit.At(fmt.Sprintf("192.0.2.%d", n))).CreatePhoneToken(k.Ctx, "", fmt.Sprintf("+33612345%03d", n))))
			k.Must(kit.Err(k.Guest(kit.At(fmt.Sprintf("2002:c000:3%02x::1", n))).CreatePhoneToken(k.Ctx, "", fmt.Sprintf("+34612345%03d", n))))
		}
		k.Clock.Advance(24 * time.Hour)
		k.Must(text(1, 7))
	})
}

// services are numbers of each code that belongs to a service, and some at a premium within
// a country.
var services = []string{
	"+19005550133", "+449012345678", "+4990012345678", "+33891234567", "+61190012345",
	"+80012345678", "+80812345678", "+870773123456", "+878101234567", "+881612345678", "+882161234567", "+883510012345", "+888123456789", "+979123456789",
}

// A22: no text goes to the number of a service, nor to a country that the policy leaves
// out. Callers get the same answer, whether a user has the number or not.
func TestA22NoTextGoesToANumberThatThePolicyLeavesOut(t *testing.T) {
	countries := latchkey.Policy{Messages: latchkey.MessagePolicy{Countries: []string{"49", "44"}}}
	strict := latchkey.StrictPolicy()
	strict.Sessions.EndOnChange = false // the session of this test outlives changes of the number
	for name, c := range map[string]struct {
		policy latchkey.Policy
		never  []string
	}{
		"default":   {kit.Documented, services},
		"strict":    {strict, services},
		"countries": {countries, append([]string{"+14155550133", "+8801712345678", "+4312345678"}, services...)},
	} {
		t.Run(name, func(t *testing.T) {
			kit.OnEveryStore(t, c.policy, func(k *kit.Kit) {
				ada, err := k.Users().Create(k.Ctx, latchkey.NewUser{Email: kit.Ada, Password: kit.LongPassword})
				k.Must(err)
				k.Must(kit.Err(k.Users().UpdateEmailVerification(k.Ctx, ada.ID, true)))
				session, err := k.Users().CreateSession(k.Ctx, ada.ID)
				k.Must(err)
				account, err := k.Visitor.Authenticate(k.Ctx, session.Secret.Reveal())
				k.Must(err)
				for _, number := range c.never {
					ask := func() error { return kit.Err(k.Visitor.CreatePhoneToken(k.Ctx, "", number)) }
					k.Refuses(number+", which nobody has", latchkey.ErrArgumentInvalid, ask)
					unknown := ask()
					k.Refuses(number+", for the account", latchkey.ErrArgumentInvalid, func() error {
						return kit.Err(account.UpdatePhone(k.Ctx, number, kit.LongPassword))
					})
					k.Refuses(number+", by the server", latchkey.ErrArgumentInvalid, func() error {
						return kit.Err(k.Users().Guest(kit.Client).CreatePhoneToken(k.Ctx, "", number))
					})
					// The server stores any number, and nothing is sent there.
					k.Must(kit.Err(k.Users().UpdatePhone(k.Ctx, ada.ID, number)))
					if known := ask(); known.Error() != unknown.Error() {
						k.Errorf("%s: %v, and %v for nobody", number, known, unknown)
					}
					k.Refuses(number+", to verify", latchkey.ErrPhoneDisabled, func() error { return kit.Err(account.CreatePhoneVerification(k.Ctx)) })
					k.Must(kit.Err(k.Users().UpdatePhoneVerification(k.Ctx, ada.ID, true)))
					k.Refuses(number+", as a factor", latchkey.ErrPhoneDisabled, func() error {
						return kit.Err(account.CreateMFAChallenge(k.Ctx, latchkey.FactorPhone))
					})
					k.Must(kit.Err(k.Users().UpdatePhone(k.Ctx, ada.ID, ""))) // a notice goes to the mailbox alone
				}
				for _, m := range k.Drained(k.Engine) {
					if m.Channel == "sms" {
						k.Errorf("a text to %s", m.To)
					}
				}
			})
		})
	}
}

// A22: the host may ask for texts to services, and names numbers for its tests as it
// likes.
func TestA22TheHostMayHaveTextsSentToServices(t *testing.T) {
	for name, messages := range map[string]latchkey.MessagePolicy{
		"all": {ServiceNumbers: true}, "one": {ServiceNumbers: true, Countries: []string{"881", "49"}}, "mocks": {Countries: []string{"49"}},
	} {
		t.Run(name, func(t *testing.T) {
			kit.OnEveryStore(t, latchkey.Policy{Messages: messages}, func(k *kit.Kit) {
				engine := k.Configured(func(c *latchkey.Config) {
					c.MockNumbers = map[string]latchkey.Secret{"+15555550100": hidden.New("123456"), "+888123456789": hidden.New("123456")}
				})
				for number, want := range map[string]bool{
					"+881612345678": name != "mocks", "+19005550133": name == "all", "+4990012345678": name != "mocks", "+979123456789": name == "all", "+4915212345678": true, "+33612345678": name == "all",
					"+15555550100": true, "+888123456789": true,
				} {
					if err := kit.Err(engine.Guest(kit.Client).CreatePhoneToken(k.Ctx, "", number)); (err == nil) != want {
						k.Errorf("%s: %v", number, err)
					}
				}
			})
		})
	}
}
