package attack_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/ratelimit"
)

// AC-057: a number cannot be flooded, nor can the numbers of one country. A call over
// a limit is refused before a message is sent, and the host is told once.
func TestAC057TextMessagesAreCapped(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		engine := k.Configured(func(*latchkey.Config) {})
		ask := func(ip, number string) error {
			return kit.Err(engine.Guest(kit.At(ip)).CreatePhoneToken(k.Ctx, "", number))
		}
		const flooded = "+4915212345678"
		for n := range 12 { // one number, from many clients
			if err := ask(fmt.Sprintf("192.0.2.%d", n), flooded); (err == nil) != (n < 10) {
				k.Errorf("%d: %v", n, err)
			}
		}
		refused := 0
		for n := range 130 { // one country, from many clients
			err := ask(fmt.Sprintf("198.51.100.%d", n), fmt.Sprintf("+252610000%03d", n))
			if err != nil {
				refused++
			}
			if (err == nil) != (n < 100) || err != nil && !errors.Is(err, latchkey.ErrRateLimitExceeded) {
				k.Errorf("%d: %v", n, err)
			}
		}
		k.Must(ask("203.0.113.1", "+4915299999999")) // another country has its own count
		for n := range 3 {                           // areas of +1 have separate counts
			k.Must(ask("203.0.113.2", fmt.Sprintf("+1415555010%d", n)))
		}
		rules := map[string]int{}
		for _, e := range k.Told.Take() {
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
		k.Clock.Advance(time.Hour)
		k.Must(ask("198.51.100.200", "+252610000999"))
		if sent := len(k.Posted(engine)); sent != 10+100+1+3+1 {
			k.Errorf("%d texts", sent)
		}
	})
}

// AC-057: a client address sends to at most twenty numbers a day. For each number,
// the other rules hold.
func TestAC057NumbersFromOneAddressAreCapped(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.Policy.Guessing.Limits = map[string]ratelimit.Rule{"createPhoneToken": {Calls: 1000, Window: time.Hour}}
		engine := k.Configured(func(*latchkey.Config) {})
		ask := func(c latchkey.Client, n int) error {
			return kit.Err(engine.Guest(c).CreatePhoneToken(k.Ctx, "", fmt.Sprintf("+49152000000%02d", n)))
		}
		one := kit.At("192.0.2.7")
		for range 2 {
			for n := range 22 {
				if err := ask(one, n); (err == nil) != (n < 20) {
					k.Errorf("number %d: %v", n, err)
				}
			}
		}
		k.Must(ask(kit.At("192.0.2.8"), 21))
		k.Must(ask(latchkey.Client{}, 22))
		k.Must(kit.Err(engine.Users().Guest(one).CreatePhoneToken(k.Ctx, "", "+4915200000023")))
		k.Clock.Advance(24 * time.Hour)
		k.Must(ask(one, 21))
	})
}

// AC-119: unfinished tokens take one row for each address and kind, which is swept
// after its time.
func TestAC119UnfinishedTokensStayFew(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		for n := range 50 {
			for _, ask := range kit.Askers {
				k.Must(kit.Err(ask(k, k.Visitor, fmt.Sprint("id", n))))
			}
		}
		if rows := len(k.Everything()["tokens"]); rows != len(kit.Askers) {
			k.Errorf("%d rows", rows)
		}
		k.Clock.Advance(time.Hour)
		k.Must(kit.Err(k.Sweep(k.Ctx)))
		if rows := len(k.Everything()["tokens"]); rows != 0 {
			k.Errorf("%d rows after an hour", rows)
		}
	})
}

// AC-122: a mailbox gets at most 60 messages an hour, over all callers and all kinds.
func TestAC122MailboxCannotBeFlooded(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.Engine = k.LimitedEngine(nil)
		sent := 0
		for n := range 120 {
			guest := k.Guest(kit.At(fmt.Sprintf("192.0.2.%d", n)))
			var err error
			if n%2 == 0 {
				err = kit.Err(guest.CreateMagicURLToken(k.Ctx, latchkey.NewMagicURLToken{Email: kit.Ada}))
			} else {
				err = kit.Err(guest.CreateEmailToken(k.Ctx, latchkey.NewEmailToken{Email: "ADA@example.org"}))
			}
			if err == nil {
				sent++
			} else if !errors.Is(err, latchkey.ErrRateLimitExceeded) {
				k.Fatal(err)
			}
		}
		if sent != 60 {
			k.Errorf("%d messages in an hour", sent)
		}
		if rows := len(k.Everything()["tokens"]); rows > 2 { // AC-119: unfinished tokens take few rows
			k.Errorf("%d rows", rows)
		}
	})
}

// AC-122: an attacker who signs in, or changes addresses back and forth, cannot flood
// another person's mailbox. A flood cannot hide a notice from a user.
func TestAC122NoticesAreCappedWithTheMessages(t *testing.T) {
	kit.OnEveryStore(t, latchkey.Policy{Sessions: latchkey.SessionPolicy{Alerts: true}}, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		flood := func(engine *latchkey.Engine) {
			for n := range 90 { // each success restarts the limit of sign-ins
				k.Must(kit.Err(engine.Guest(kit.At(fmt.Sprintf("192.0.2.%d", n))).CreateEmailPasswordSession(k.Ctx, kit.Ada, kit.Password)))
			}
		}
		engine := k.Configured(func(*latchkey.Config) {})
		flood(engine)
		if n := len(k.Posted(engine)); n != 60 {
			k.Errorf("%d alerts to a mailbox that may be a stranger's", n)
		}
		k.Must(kit.Err(k.Users().UpdateEmailVerification(k.Ctx, k.IDOf(kit.Ada), true)))
		engine = k.Configured(func(*latchkey.Config) {})
		for n := range 60 {
			k.Must(kit.Err(engine.Guest(kit.At(fmt.Sprintf("198.51.100.%d", n))).CreateMagicURLToken(k.Ctx, latchkey.NewMagicURLToken{Email: kit.Ada})))
		}
		flood(engine)
		if n := len(k.Posted(engine)); n != 60+10 {
			k.Errorf("%d messages to a mailbox that is its user's", n)
		}
	})
}

// AC-122: neither sub-addresses nor a single client allow more messages, and a policy
// with fewer messages holds for notices too.
func TestAC122NothingGoesRoundTheCaps(t *testing.T) {
	kit.OnEveryStore(t, latchkey.Policy{Sessions: latchkey.SessionPolicy{Alerts: true}}, func(k *kit.Kit) {
		engine := k.Configured(func(*latchkey.Config) {})
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
			if kit.Err(engine.Guest(kit.At(ip)).CreateEmailToken(k.Ctx, latchkey.NewEmailToken{Email: address})) == nil {
				sent++
			}
			if n == 99 && sent != 60 {
				k.Errorf("%d messages to one mailbox", sent)
			}
		}
		if sent != 60+300 {
			k.Errorf("%d messages, 300 of them from one client", sent)
		}
		k.SignUp(kit.Ada)
		k.Must(kit.Err(k.Users().UpdateEmailVerification(k.Ctx, k.IDOf(kit.Ada), true)))
		strict := k.Configured(func(c *latchkey.Config) {
			c.Policy.Guessing.Limits = map[string]ratelimit.Rule{"messagesDay": {Calls: 10, Window: 24 * time.Hour}}
		})
		k.Drained(engine)
		for range 30 {
			k.Must(kit.Err(strict.Guest(kit.Client).CreateEmailPasswordSession(k.Ctx, kit.Ada, kit.Password)))
		}
		if n := len(k.Posted(strict)); n != 10+10 { // and those that no flood hides
			k.Errorf("%d alerts in a day", n)
		}
	})
}
