package attack_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/notify"
	"example.com/latchkey/query"
	"example.com/latchkey/ratelimit"
)

// asked are calls that the rules for messages and for sign-ins count. Each call of one comes from
// another network of the same site where the rule is by site, and from the same network otherwise.
var asked = map[string]func(k *kit.Kit, n int) error{
	"messagesBurst":         askMail,
	"messagesFew":           askMail,
	"messagesDay":           askMail,
	"messagesByClient":      askMail,
	"messagesByPrefix":      askText,
	"messagesTexts":         askText,
	"messagesNumbers":       askText,
	"messagesBySite":        askMailOfSite,
	"messagesNumbersBySite": askTextOfSite,
	"signInsByClient":       signInAgain,

	"createEmailPasswordSessionByClient": signInAgain,
}

func askMail(k *kit.Kit, _ int) error { return askFrom(k, 0, "") }

func askText(k *kit.Kit, n int) error { return askFrom(k, 0, numberOf(n)) }

func askMailOfSite(k *kit.Kit, n int) error { return askFrom(k, n, "") }

func askTextOfSite(k *kit.Kit, n int) error { return askFrom(k, n, numberOf(n)) }

func numberOf(n int) string { return fmt.Sprintf("+1415555%04d", 200+n) }

// askFrom asks for a code to a number, or to a mailbox, from a network of one site.
func askFrom(k *kit.Kit, network int, number string) error {
	guest := k.Guest(kit.At(fmt.Sprintf("2001:db8:7:%x::1", network)))
	if number == "" {
		return kit.Err(guest.CreateMagicURLToken(k.Ctx, latchkey.NewMagicURLToken{Email: kit.Ada}))
	}
	return kit.Err(guest.CreatePhoneToken(k.Ctx, "", number))
}

func signInAgain(k *kit.Kit, _ int) error { return k.Try("2001:db8:7::1", kit.Ada, kit.Password) }

// A rule of a policy for messages, or for sign-ins, holds at its count, right passwords included.
// Its window begins with the first call, and ends when the rule says.
func TestA22EveryRuleOfThePolicyEndsWithItsWindow(t *testing.T) {
	for name, ask := range asked {
		t.Run(name, func(t *testing.T) {
			policy := latchkey.Policy{Guessing: latchkey.GuessingPolicy{Limits: map[string]ratelimit.Rule{name: {Calls: 3, Window: 100 * time.Minute}}}}
			kit.OnEveryStore(t, policy, func(k *kit.Kit) {
				k.SignUp(kit.Ada)
				k.Engine = k.LimitedEngine(nil)
				for n := range 3 {
					k.Must(ask(k, n))
				}
				k.Clock.Advance(90 * time.Minute)
				var throttled *latchkey.ThrottledError
				if err := ask(k, 3); !errors.As(err, &throttled) || throttled.RetryAfter != 10*time.Minute {
					k.Errorf("one too many: %v", err)
				}
				k.Clock.Advance(10 * time.Minute)
				k.Must(ask(k, 4))
			})
		})
	}
}

// A site of IPv6 is allowed ten times as many sign-ins by password as one network of it, in all of
// its networks together. Another site has a count of its own.
func TestA11SignInsOfASiteAreBoundedTogether(t *testing.T) {
	for _, name := range []string{"signInsByClient", "createEmailPasswordSessionByClient"} {
		t.Run(name, func(t *testing.T) {
			policy := latchkey.Policy{Guessing: latchkey.GuessingPolicy{Limits: map[string]ratelimit.Rule{name: {Calls: 2, Window: time.Hour}}}}
			kit.OnEveryStore(t, policy, func(k *kit.Kit) {
				k.SignUp(kit.Ada)
				k.Engine = k.LimitedEngine(nil)
				for n := range 20 {
					k.Must(k.Try(fmt.Sprintf("2001:db8:7:%x::1", n), kit.Ada, kit.Password))
				}
				k.Refuses("from a fresh network", latchkey.ErrRateLimitExceeded, func() error { return k.Try("2001:db8:7:ffff::1", kit.Ada, kit.Password) })
				k.Must(k.Try("2001:db8:8::1", kit.Ada, kit.Password))
			})
		})
	}
}

// A token of a page serves the listing that gave it, and no other: every part of what was asked
// for is bound to it.
func TestAC110ATokenIsBoundToEveryPartOfItsListing(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		began := k.Clock.Now()
		for n := range 4 {
			k.Must(kit.Err(k.Users().Create(k.Ctx, latchkey.NewUser{
				Name: fmt.Sprint("Ada ", n), Email: fmt.Sprintf("ada%d@example.org", n), Phone: numberOf(n),
			})))
			k.Must(kit.Err(k.Teams().Create(k.Ctx, latchkey.NewTeam{Name: fmt.Sprint("Bakers ", n)})))
		}
		users := func(queries ...query.Query) (string, error) {
			list, err := k.Users().List(k.Ctx, queries...)
			if err != nil {
				return "", err
			}
			return list.Next, nil
		}
		teams := func(queries ...query.Query) (string, error) {
			list, err := k.Teams().List(k.Ctx, queries...)
			if err != nil {
				return "", err
			}
			return list.Next, nil
		}
		type listing func(...query.Query) (string, error)
		for name, c := range map[string]struct {
			list, other listing
			of, by      query.Query
		}{
			"listing":             {users, teams, query.OrderAsc("name"), query.OrderAsc("name")},
			"column of the order": {users, users, query.OrderAsc("name"), query.OrderAsc("email")},
			"column":              {users, users, query.IsNotNull("email"), query.IsNotNull("phone")},
			"text":                {users, users, query.NotEqual("name", "Bob"), query.NotEqual("name", "Eve")},
			"time":                {users, users, query.CreatedAfter(began.Add(-time.Hour)), query.CreatedAfter(began.Add(-time.Minute))},
			"truth":               {users, users, query.NotEqual("status", false), query.NotEqual("impersonator", true)},
			"inner condition":     {users, users, query.Or(query.IsNotNull("email")), query.Or(query.IsNotNull("phone"))},
		} {
			token, err := c.list(c.of, query.Limit(1))
			k.Must(err)
			k.Must(kit.Err(c.list(c.of, query.Page(token))))
			k.Refuses("another "+name, latchkey.ErrQueryInvalid, func() error { return kit.Err(c.other(c.by, query.Page(token))) })
		}
	})
}

// A total is counted up to 5,000, however the listing is read.
func TestTotalsAreCountedUpTo5000(t *testing.T) {
	kit.OneByOne(t, kit.Documented, func(k *kit.Kit) {
		k.FillUsers(5_010)
		for name, queries := range map[string][]query.Query{
			"all":       {},
			"a filter":  {query.IsNotNull("name")},
			"an order":  {query.OrderAsc("$updatedAt")},
			"and walks": {query.IsNotNull("name"), query.Walk()},
		} {
			list, err := k.Users().List(k.Ctx, append(queries, query.Limit(1))...)
			k.Must(err)
			if list.Total != 5_000 {
				k.Errorf("%s: %d", name, list.Total)
			}
		}
	})
}

// Wrong passwords at an address that nobody had do not slow the user who moves to it.
func TestAC051GuessesAtAnAddressAreForgottenWhenAUserMovesToIt(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		owner := owned(k)
		guess(k, kit.Bob, 12)
		k.Must(kit.Err(owner.UpdateEmail(k.Ctx, kit.Bob, kit.Password)))
		k.Must(k.Try("198.51.100.9", kit.Bob, kit.Password))
	})
}

// guess sends wrong passwords for an address at one moment.
func guess(k *kit.Kit, email string, times int) {
	for range times {
		_ = k.Try(kit.Attacker, email, "wrong horse battery")
	}
}

// A client that was met while the clock was far ahead is not known once the clock is right: it
// would stay known for longer than 90 days.
func TestG2AClientFromAheadIsNotKnown(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		const ahead = 400 * 24 * time.Hour
		k.SignUp(kit.Ada)
		k.Clock.Advance(ahead)
		k.SignedInAt(kit.Owner)
		k.Clock.Advance(-ahead)
		guess(k, kit.Ada, 12)
		k.Refuses("as any other client", latchkey.ErrRateLimitExceeded, func() error { return k.Try(kit.Owner, kit.Ada, kit.Password) })
	})
}

// Wrong passwords in a row are forgotten a day after the last one.
func TestAC051GuessesAreForgottenAfterADay(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		guess(k, kit.Ada, 11)
		k.Clock.Advance(23 * time.Hour) // the delay is over, and the count stays
		guess(k, kit.Ada, 1)
		k.Refuses("the twelfth in a row was wrong", latchkey.ErrRateLimitExceeded, func() error { return k.Try(kit.Owner, kit.Ada, kit.Password) })
		k.Clock.Advance(24 * time.Hour)
		guess(k, kit.Ada, 10)
		k.Must(k.Try(kit.Owner, kit.Ada, kit.Password))
	})
}

// A policy that disables passwords after too many guesses refuses the authenticator and the
// recovery codes too, however long the wait.
func TestStrictPolicyDisablesFactorsAfterTooManyGuesses(t *testing.T) {
	policy := latchkey.Policy{Guessing: latchkey.GuessingPolicy{FreeFailures: 4, DisableAfter: 20}}
	for _, factor := range []latchkey.Factor{latchkey.FactorTOTP, latchkey.FactorRecoveryCode} {
		t.Run(string(factor), func(t *testing.T) {
			kit.OnEveryStore(t, policy, func(k *kit.Kit) {
				_, app, codes := k.Enrolled(latchkey.NewMFAAuthenticator{})
				answer := func(right bool) error {
					otp := app.Code()
					if factor == latchkey.FactorRecoveryCode {
						otp = codes[0].Reveal()
					}
					switch {
					case right:
					case factor == latchkey.FactorRecoveryCode:
						otp = "0123456789"
					default:
						otp = kit.OtherCode(otp)
					}
					_, pending := k.Owing(k.Guest(kit.At(kit.Attacker)))
					return kit.Err(k.Answers(pending, factor, otp))
				}
				for wrong := 0; wrong < 20; {
					var throttled *latchkey.ThrottledError
					switch err := answer(false); {
					case errors.As(err, &throttled):
						k.Clock.Advance(throttled.RetryAfter)
					case errors.Is(err, latchkey.ErrInvalidToken):
						wrong++
					default:
						k.Fatal(err)
					}
				}
				k.Clock.Advance(48 * time.Hour)
				if err := answer(true); !errors.Is(err, latchkey.ErrRateLimitExceeded) {
					k.Errorf("the right answer, two days later: %v", err)
				}
			})
		})
	}
}

// The networks of a site may fail ten times as often together as one of them. What has not failed
// is given back to the count of the site, as it is to that of the network.
func TestA11FailuresOfASiteAreBoundedTogether(t *testing.T) {
	policy := latchkey.Policy{Guessing: latchkey.GuessingPolicy{Limits: map[string]ratelimit.Rule{"failuresByClient": {Calls: 2, Window: time.Hour}}}}
	kit.OnEveryStore(t, policy, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		k.Engine = k.LimitedEngine(nil)
		from := func(n int) string { return fmt.Sprintf("2001:db8:7:%x::1", n) }
		for n := range 30 {
			k.Must(k.Try(from(n), kit.Ada, kit.Password))
		}
		for n := range 20 {
			if err := k.Try(from(n), fmt.Sprintf("nobody%d@example.org", n), "wrong horse battery"); err != latchkey.ErrInvalidCredentials {
				k.Errorf("failure %d: %v", n+1, err)
			}
		}
		k.Refuses("from a fresh network", latchkey.ErrRateLimitExceeded, func() error { return k.Try(from(99), kit.Ada, kit.Password) })
		k.Must(k.Try("2001:db8:8::1", kit.Ada, kit.Password))
	})
}

// Asking for links, texts and recoveries is bounded by client too, whatever the address.
func TestAC122AskingIsBoundedByClient(t *testing.T) {
	for name, ask := range map[string]func(k *kit.Kit, n int) error{
		"createMagicURLToken": func(k *kit.Kit, n int) error {
			return kit.Err(k.Visitor.CreateMagicURLToken(k.Ctx, latchkey.NewMagicURLToken{Email: fmt.Sprintf("u%d@example.org", n)}))
		},
		"createPhoneToken": func(k *kit.Kit, n int) error { return kit.Err(k.Visitor.CreatePhoneToken(k.Ctx, "", numberOf(n))) },
		"createRecovery": func(k *kit.Kit, n int) error {
			return kit.Err(k.Visitor.CreateRecovery(k.Ctx, latchkey.NewRecovery{Email: fmt.Sprintf("u%d@example.org", n), URL: kit.RecoverURL}))
		},
		"createSessionByClient": func(k *kit.Kit, n int) error {
			if err := kit.Err(k.Visitor.CreateSession(k.Ctx, fmt.Sprint("nobody", n), kit.UnknownLink)); !errors.Is(err, latchkey.ErrInvalidToken) {
				return err
			}
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			policy := latchkey.Policy{Guessing: latchkey.GuessingPolicy{Limits: map[string]ratelimit.Rule{name: {Calls: 2, Window: time.Hour}}}}
			kit.OnEveryStore(t, policy, func(k *kit.Kit) {
				k.Visitor = k.LimitedEngine(nil).Guest(kit.Client)
				k.Must(ask(k, 1))
				k.Must(ask(k, 2))
				k.Refuses("the third address", latchkey.ErrRateLimitExceeded, func() error { return ask(k, 3) })
			})
		})
	}
}

// Changes of factors and new secrets of a session count with changes of the name.
func TestA9ChangesOfFactorsAreBounded(t *testing.T) {
	policy := latchkey.Policy{Guessing: latchkey.GuessingPolicy{Limits: map[string]ratelimit.Rule{"changes": {Calls: 2, Window: time.Hour}}}}
	kit.OnEveryStore(t, policy, func(k *kit.Kit) {
		owned(k)
		k.Engine = k.LimitedEngine(nil)
		account := k.SignedInAt(kit.Owner)
		k.Must(kit.Err(account.UpdateName(k.Ctx, "Ada")))
		k.Must(kit.Err(account.CreateMFAAuthenticator(k.Ctx, latchkey.NewMFAAuthenticator{})))
		for name, do := range map[string]func() error{
			"an authenticator": func() error { return kit.Err(account.CreateMFAAuthenticator(k.Ctx, latchkey.NewMFAAuthenticator{})) },
			"recovery codes":   func() error { return kit.Err(account.CreateMFARecoveryCodes(k.Ctx)) },
			"the switch":       func() error { return kit.Err(account.UpdateMFA(k.Ctx, true)) },
			"a new secret":     func() error { return kit.Err(account.RotateSession(k.Ctx)) },
		} {
			k.Refuses(name, latchkey.ErrRateLimitExceeded, do)
		}
	})
}

// Of the codes that were promised one id, only the newest three are compared: a guess is not one at
// every mailbox for which a stranger has asked.
func TestAC037AGuessIsComparedWithFewCodes(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		var codes []string
		for n := range 4 {
			email := fmt.Sprintf("u%d@example.org", n)
			token, err := k.Visitor.CreateEmailToken(k.Ctx, latchkey.NewEmailToken{UserID: "one", Email: email})
			k.Must(err)
			codes = append(codes, k.MailOf(token, email).Secret)
			k.Clock.Advance(time.Second)
		}
		if err := kit.Err(k.Visitor.CreateSession(k.Ctx, "one", codes[0])); !errors.Is(err, latchkey.ErrInvalidToken) {
			k.Errorf("the oldest: %v", err)
		}
		k.Must(kit.Err(k.Visitor.CreateSession(k.Ctx, "one", codes[3])))
	})
}

// Refusals of one minute share a row, also if seconds lie between them.
func TestA9RefusalsOfAMinuteShareARow(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.Clock.Set(k.Clock.Now().Truncate(time.Minute))
		k.SignUp(kit.Ada)
		before := k.Rows()["logs"]
		for range 5 {
			guess(k, kit.Ada, 1)
			guess(k, "nobody@example.org", 1)
			k.Clock.Advance(10 * time.Second)
		}
		if rows := k.Rows()["logs"] - before; rows != 2 {
			k.Errorf("%d rows, want 2", rows)
		}
	})
}

// A query of too many values is refused, and so is a page without a token.
func TestAttackTooManyValuesAndNoTokenAreRefused(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		for name, q := range map[string]query.Query{
			"501 values":    query.Equal("name", slices.Repeat([]string{"Ada"}, 501)...),
			"an empty page": query.Page(""),
		} {
			if err := kit.Err(k.Users().List(k.Ctx, q)); !errors.Is(err, latchkey.ErrArgumentInvalid) && err != latchkey.ErrQueryInvalid {
				k.Errorf("%s: %v", name, err)
			}
		}
		k.Must(kit.Err(k.Users().List(k.Ctx, query.Equal("name", slices.Repeat([]string{"Ada"}, 500)...))))
	})
}

// The engine keeps a copy of the caller's list of countries: F-4.
func TestF4TheCountriesAreNotTheCallersSlice(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		countries := []string{"1"}
		engine := k.Configured(func(c *latchkey.Config) { c.Policy.Messages.Countries = countries })
		countries[0] = "49"
		k.Must(kit.Err(engine.Guest(kit.Client).CreatePhoneToken(k.Ctx, "", kit.Phone)))
	})
}

// Where the policy tells strangers the id of an account, that id promises nothing: its codes wait
// while the address is slowed.
func TestA6AnIDThatIsToldToStrangersPromisesNothing(t *testing.T) {
	kit.OnEveryStore(t, latchkey.Policy{DiscloseAccounts: true}, func(k *kit.Kit) {
		k.Proven()
		for _, email := range []string{kit.Ada, kit.Bob} {
			for range 20 {
				token, code := k.AskCode(email)
				_ = kit.Err(k.Guest(kit.At(kit.Attacker)).CreateSession(k.Ctx, token.UserID, kit.OtherCode(code)))
			}
			token, code := k.AskCode(email)
			if err := kit.Err(k.Guest(kit.At(kit.Attacker)).CreateSession(k.Ctx, token.UserID, code)); !errors.Is(err, latchkey.ErrRateLimitExceeded) {
				k.Errorf("%s: %v", email, err)
			}
		}
	})
}

// Where strangers have filled the queue of messages there is room for a challenge of a user who
// has signed in.
func TestA5AFullQueueHasRoomForChallenges(t *testing.T) {
	kit.OneByOne(t, kit.Documented, func(k *kit.Kit) {
		owned(k)
		session := byPassword(k)
		stop := make(chan struct{})
		defer close(stop)
		engine := k.Configured(func(c *latchkey.Config) {
			c.Notifier = notify.Func(func(context.Context, notify.Message) error { <-stop; return nil })
			c.Limiter = ratelimit.ReportOnly(ratelimit.NewMemory(0))
		})
		for n := range 950 {
			k.Must(kit.Err(engine.Guest(kit.Client).CreateEmailToken(k.Ctx, latchkey.NewEmailToken{Email: fmt.Sprintf("u%d@example.org", n)})))
		}
		before := engine.Deliveries()
		if before.Dropped == 0 {
			k.Fatal("the queue is not full")
		}
		account, err := engine.Guest(kit.Client).Authenticate(k.Ctx, session.Secret.Reveal())
		k.Must(err)
		k.Must(kit.Err(account.CreateMFAChallenge(k.Ctx, latchkey.FactorEmail)))
		if after := engine.Deliveries(); after.Dropped != before.Dropped || after.Waiting != before.Waiting+1 {
			k.Errorf("%+v, then %+v", before, after)
		}
	})
}

// nosy is a factor of the host's own that answers wrong, and has the same challenge answered again
// while it compares.
type nosy struct {
	asked int
	again func(challengeID string)
}

func (n *nosy) Begin(context.Context, string, string) error { return nil }

func (n *nosy) Check(_ context.Context, _, challengeID, _ string) (bool, error) {
	if n.asked++; n.asked < 12 {
		n.again(challengeID)
	}
	return false, nil
}

// The host is asked about five answers to a challenge at most, also if they come at once.
func TestAC048TheHostComparesFiveAnswersAtMost(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		owned(k)
		session := byPassword(k)
		host := new(nosy)
		engine := k.Configured(func(c *latchkey.Config) { c.CustomFactor = host })
		account, err := engine.Guest(kit.Client).Authenticate(k.Ctx, session.Secret.Reveal())
		k.Must(err)
		challenge, err := account.CreateMFAChallenge(k.Ctx, latchkey.FactorCustom)
		k.Must(err)
		host.again = func(id string) { _ = kit.Err(account.ConfirmMFAChallenge(k.Ctx, id, "wrong")) }
		host.again(challenge.ID)
		if host.asked != 5 {
			k.Errorf("%d answers were compared", host.asked)
		}
	})
}

// A client that its own rules refuse does not use up the messages of other people's addresses.
func TestA5ARefusedClientUsesUpNothingOfAnAddress(t *testing.T) {
	policy := latchkey.Policy{Guessing: latchkey.GuessingPolicy{Limits: map[string]ratelimit.Rule{
		"messagesByClient": {Calls: 2, Window: time.Hour}, "messages": {Calls: 2, Window: time.Hour}, "createEmailToken": {Calls: 2, Window: time.Hour},
	}}}
	for name, ask := range map[string]func(k *kit.Kit, guest *latchkey.Guest, thief *latchkey.Account) error{
		"a code": func(k *kit.Kit, guest *latchkey.Guest, _ *latchkey.Account) error {
			return kit.Err(guest.CreateEmailToken(k.Ctx, latchkey.NewEmailToken{Email: kit.Ada}))
		},
		"a challenge": func(k *kit.Kit, _ *latchkey.Guest, thief *latchkey.Account) error {
			return kit.Err(thief.CreateMFAChallenge(k.Ctx, latchkey.FactorEmail))
		},
	} {
		t.Run(name, func(t *testing.T) {
			kit.OnEveryStore(t, policy, func(k *kit.Kit) {
				owned(k)
				k.Engine = k.LimitedEngine(nil)
				guest, thief := k.Guest(kit.At(kit.Attacker)), k.SignedInAt(kit.Attacker)
				for n := range 2 {
					k.Must(kit.Err(guest.CreateEmailToken(k.Ctx, latchkey.NewEmailToken{Email: fmt.Sprintf("u%d@example.org", n)})))
				}
				for range 5 {
					if err := ask(k, guest, thief); !errors.Is(err, latchkey.ErrRateLimitExceeded) {
						k.Errorf("the client is over its limit: %v", err)
					}
				}
				stranger := k.Guest(kit.At("198.51.100.20"))
				for range 2 {
					k.Must(kit.Err(stranger.CreateEmailToken(k.Ctx, latchkey.NewEmailToken{Email: kit.Ada})))
				}
			})
		})
	}
}

// A token of the host's that is too long to be guessed serves also while the id is slowed: who
// guesses at codes does not keep its bearer out.
func TestAC051ALongTokenServesWhileCodesAreSlowed(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user := k.Proven()
		token, err := k.Users().CreateToken(k.Ctx, user.ID, 32, 0)
		k.Must(err)
		for range 12 {
			err = kit.Err(k.Visitor.CreateSession(k.Ctx, user.ID, "000000"))
		}
		if !errors.Is(err, latchkey.ErrRateLimitExceeded) {
			k.Fatal(err)
		}
		k.Must(kit.Err(k.Visitor.CreateSession(k.Ctx, user.ID, token.Secret.Reveal())))
	})
}

// A client that is known to a user is known to no address that the user has not proven: who enters
// the address of another person gets no count of their own for the codes that go there.
func TestAC037AnUnprovenAddressKnowsNoClient(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		attacker := k.Guest(kit.At(kit.Attacker))
		token, err := attacker.CreatePhoneToken(k.Ctx, "", kit.OwnPhone)
		k.Must(err)
		session, err := attacker.CreateSession(k.Ctx, token.UserID, k.MailOf(token, kit.OwnPhone).Secret)
		k.Must(err)
		k.Must(kit.Err(k.Users().UpdateEmail(k.Ctx, session.UserID, kit.Ada)))
		ask := func() string {
			token, err := attacker.CreateEmailToken(k.Ctx, latchkey.NewEmailToken{UserID: "stranger", Email: kit.Ada})
			k.Must(err)
			return k.MailOf(token, kit.Ada).Secret
		}
		for range 12 {
			code := kit.OtherCode(ask())
			_ = kit.Err(k.Guest(kit.At("198.51.100.31")).CreateSession(k.Ctx, "stranger", code))
		}
		code := ask()
		if err := kit.Err(attacker.CreateSession(k.Ctx, "stranger", code)); !errors.Is(err, latchkey.ErrRateLimitExceeded) {
			k.Errorf("the address is slowed: %v", err)
		}
	})
}
