package attack_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"example.com/latchkey"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/store"
)

func sortedWords(s string) string {
	words := strings.Fields(s)
	slices.Sort(words[4:])
	return strings.Join(words, " ")
}

// AC-001: an unknown address, a wrong password and a user without a password cost the
// same store calls, rows and one hash.
func TestAC001UnknownAddressWrongPasswordAndNoPasswordCostTheSame(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		k.Must(kit.Err(k.Users().Create(k.Ctx, latchkey.NewUser{Email: kit.Bob})))
		costs := make(map[string][]string)
		for range 3 {
			for _, email := range []string{kit.Ada, kit.Bob, "nobody@example.org"} {
				before := k.Rows()
				k.Store.Reset()
				hashes := k.Hasher.Hashes()
				if err := k.Try(kit.Attacker, email, "wrong horse"); err != latchkey.ErrInvalidCredentials {
					k.Fatal(err)
				}
				cost := fmt.Sprint(k.Store.Reads.Load(), k.Store.Updates.Load(), k.Store.Calls.Load(), k.Hasher.Hashes()-hashes)
				for table, n := range k.Rows() {
					if n != before[table] {
						cost += fmt.Sprint(" ", table, n-before[table])
					}
				}
				costs[email] = append(costs[email], sortedWords(cost))
			}
		}
		k.Same("wrong password and no password", costs[kit.Ada], costs[kit.Bob])
		k.Same("wrong password and unknown address", costs[kit.Ada], costs["nobody@example.org"])
	})
}

func TestAC002UnknownAddressWrongPasswordAndNoPasswordAreOneAnswer(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		k.Must(kit.Err(k.Users().Create(k.Ctx, latchkey.NewUser{Email: "none@example.org"})))
		blocked, err := k.Users().Create(k.Ctx, latchkey.NewUser{Email: "blocked@example.org", Password: kit.Password})
		k.Must(err)
		k.Must(kit.Err(k.Users().UpdateStatus(k.Ctx, blocked.ID, false)))
		for name, try := range map[string][2]string{
			"unknown address":                 {"nobody@example.org", kit.Password},
			"wrong password":                  {kit.Ada, "wrong horse"},
			"no password":                     {"none@example.org", kit.Password},
			"an empty password":               {kit.Ada, ""},
			"a long password":                 {kit.Ada, strings.Repeat("x", 2000)},
			"a long one of nobody":            {"nobody@example.org", strings.Repeat("x", 2000)},
			"wrong password of a blocked one": {"blocked@example.org", "wrong horse"},
		} {
			_, err := k.Visitor.CreateEmailPasswordSession(k.Ctx, try[0], try[1])
			if err != latchkey.ErrInvalidCredentials {
				k.Errorf("%s: %v", name, err)
			}
		}
		for name, try := range map[string][2]string{
			"no address": {"", kit.Password}, "a malformed one": {"ada", kit.Password},
		} {
			if _, err := k.Visitor.CreateEmailPasswordSession(k.Ctx, try[0], try[1]); !errors.Is(err, latchkey.ErrArgumentInvalid) {
				k.Errorf("%s: %v", name, err)
			}
		}
	})
}

// AC-003: unknown, known, verified and blocked addresses get one answer, with the
// same calls of the store and the same number of rows. A blocked user gets no
// message.
func TestAC003TokensTellNothingOfTheAddress(t *testing.T) {
	for name, ask := range kit.Askers {
		t.Run(name, func(t *testing.T) {
			kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
				type cost struct {
					Updates, Calls, Reads int64
					Tokens, Logs, Hashes  int
				}
				measure := func() (c cost) {
					rows := k.Everything()
					tokens, logs, hashes := len(rows["tokens"]), len(rows["logs"]), k.Hasher.Hashes()
					k.Store.Reset()
					token, err := ask(k, k.Visitor, "asked.for")
					k.Must(err)
					c = cost{Updates: k.Store.Updates.Load(), Calls: k.Store.Calls.Load(), Reads: k.Store.Reads.Load()}
					rows = k.Everything()
					c.Tokens, c.Logs, c.Hashes = len(rows["tokens"])-tokens, len(rows["logs"])-logs, int(k.Hasher.Hashes()-hashes)
					if token.UserID != "asked.for" || !token.Secret.IsZero() {
						k.Errorf("%+v", token)
					}
					return c
				}
				unknown := measure()
				user := k.SignUp(kit.Ada)
				k.Must(kit.Err(k.Users().UpdatePhone(k.Ctx, user.ID, kit.Phone)))
				endTokens := func() {
					k.Must(k.Store.Store.Update(k.Ctx, func(ctx context.Context, tx store.Tx) error {
						_, err := tx.DeleteRange(ctx, store.Query{Index: record.Tokens.Primary(), Limit: 100})
						return err
					}))
				}
				endTokens()
				k.Same("known", measure(), unknown)
				endTokens()
				k.Must(kit.Err(k.Users().UpdateEmailVerification(k.Ctx, user.ID, true)))
				k.Must(kit.Err(k.Users().UpdatePhoneVerification(k.Ctx, user.ID, true)))
				k.Same("verified", measure(), unknown)
				endTokens()
				k.Must(kit.Err(k.Users().UpdateStatus(k.Ctx, user.ID, false)))
				k.Same("blocked", measure(), unknown)
				k.Must(k.Close())
				if n := len(k.Box.All()); n != 3 {
					k.Errorf("%d messages", n)
				}
			})
		})
	}
}

// AC-003, AC-026, AC-028: the answer is the same whether the address belongs to a
// user, to a blocked user or to no user. The mail goes only to the user's address.
func TestAC003RecoveryAnswersTheSameForEverybody(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.Proven()
		blocked, err := k.Users().Create(k.Ctx, latchkey.NewUser{Email: kit.Bob})
		k.Must(err)
		k.Must(kit.Err(k.Users().UpdateStatus(k.Ctx, blocked.ID, false)))
		for _, email := range []string{kit.Ada, kit.Bob, "nobody@example.org"} {
			k.Forget()
			token, err := k.Visitor.CreateRecovery(k.Ctx, latchkey.NewRecovery{Email: email, URL: kit.RecoverURL})
			k.Must(err)
			if token.UserID != "" || token.ID == "" || token.Phrase != "" || len(k.Logs()) != 1 || len(k.Told.Take()) != 0 {
				k.Errorf("%s: %+v", email, token)
			}
		}
		for _, n := range []latchkey.NewRecovery{
			{Email: kit.Ada}, {Email: kit.Ada, URL: "https://evil.example/"}, {Email: "", URL: kit.RecoverURL}, {Email: kit.Ada + ",mallory@evil.example", URL: kit.RecoverURL},
		} {
			if err := kit.Err(k.Visitor.CreateRecovery(k.Ctx, n)); !errors.Is(err, latchkey.ErrArgumentInvalid) {
				k.Errorf("%+v: %v", n, err)
			}
		}
		if got := k.Posted(k.Engine); !slices.Equal(got, []string{"recovery " + kit.Ada}) {
			k.Error(got)
		}
	})
}

// AC-003: a delay does not tell which id an address belongs to.
func TestAC003SlowingTellsNoOwner(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		victim := k.Proven()
		stranger := k.SignUp(kit.Bob)
		guest := k.Guest(kit.At("203.0.113.1"))
		for range 3 {
			token, err := guest.CreateEmailToken(k.Ctx, latchkey.NewEmailToken{Email: kit.Ada})
			k.Must(err)
			for range 5 {
				_ = kit.Err(guest.CreateSession(k.Ctx, token.UserID, "00000a"))
			}
		}
		told := func(id string) bool {
			k.Must(kit.Err(guest.CreateEmailToken(k.Ctx, latchkey.NewEmailToken{UserID: id, Email: kit.Ada})))
			return errors.Is(kit.Err(guest.CreateSession(k.Ctx, id, "00000a")), latchkey.ErrRateLimitExceeded)
		}
		if told(victim.ID) != told(stranger.ID) {
			k.Error("the owner's id is slowed, another is not")
		}
	})
}

// addressPaths are the ways for an e-mail address into the engine.
var addressPaths = map[string]func(k *kit.Kit, email string) error{
	"sign up": func(k *kit.Kit, email string) error {
		return kit.Err(k.Visitor.CreateAccount(k.Ctx, latchkey.NewAccount{Email: email, Password: kit.Password}))
	},
	"sign in": func(k *kit.Kit, email string) error {
		return kit.Err(k.Visitor.CreateEmailPasswordSession(k.Ctx, email, kit.Password))
	},
	"change": func(k *kit.Kit, email string) error {
		_, account := k.SignIn(kit.Ada)
		return kit.Err(account.UpdateEmail(k.Ctx, email, kit.Password))
	},
	"server creates": func(k *kit.Kit, email string) error {
		return kit.Err(k.Users().Create(k.Ctx, latchkey.NewUser{Email: email}))
	},
	"server changes": func(k *kit.Kit, email string) error {
		return kit.Err(k.Users().UpdateEmail(k.Ctx, k.IDOf(kit.Ada), email))
	},
}

func refusesAddresses(t *testing.T, addresses map[string]string) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		for what, email := range addresses {
			for path, do := range addressPaths {
				if err := do(k, email); !errors.Is(err, latchkey.ErrArgumentInvalid) || strings.Contains(err.Error(), email) {
					k.Errorf("%s, %s: %v", what, path, err)
				}
			}
		}
	})
}

// AC-005: a look-alike of an address is another address.
func TestAC005LookAlikesAreOtherAddresses(t *testing.T) {
	refusesAddresses(t, map[string]string{"dotless i": "m\u0131ke@example.org", "sharp s": "stra\u00dfe@example.org", "Kelvin sign": "mi\u212ae@example.org", "full width": "\uff41da@example.org"})
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.SignUp("mike@example.org")
		for _, other := range []string{"mike@ex\u0430mple.org", "mike@exarnple.org"} { // a Cyrillic letter, and r n for m
			if err := kit.Err(k.Visitor.CreateEmailPasswordSession(k.Ctx, other, kit.Password)); err != latchkey.ErrInvalidCredentials {
				k.Errorf("%q: %v", other, err)
			}
		}
	})
}

// AC-006: the mapping of characters never makes an @ or a dot.
func TestAC006NothingBecomesASignByMapping(t *testing.T) {
	refusesAddresses(t, map[string]string{
		"full-width at": "a\uff20victim.org", "two ats": "a@evil.org\uff20victim.org", "small at": "a\ufe6bvictim.org",
		"full-width dot": "a@victim\uff0eorg", "ideographic dot": "a@victim\u3002org",
	})
}

// AC-007: an address has no quotes, lists, comments or routes.
func TestAC007NoRoutesAndNoLists(t *testing.T) {
	refusesAddresses(t, map[string]string{
		"quoted": `"a@evil.test"@victim.test`, "list": "a@x.org, b@y.org", "semicolons": "a@x.org;b@y.org", "brackets": "<a@x.org>", "name": "Ada <a@x.org>",
		"percent": "a%evil.test@victim.test", "bang": "evil.test!a@victim.test", "comment": "a(comment)@x.org", "literal": "a@[192.0.2.1]", "colon": "group:a@x.org;",
	})
}

// AC-008: the domain is all the text after the only @.
func TestAC008DomainIsWhatFollowsTheOnlyAt(t *testing.T) {
	refusesAddresses(t, map[string]string{
		"two ats": "a@evil.test@corp.test", "trailing dot": "a@corp.test.", "leading dot": "a@.corp.test", "two dots": "a@corp..test", "no top": "a@corp", "number": "a@corp.123",
		"hyphen": "a@-corp.test", "space": "a@corp .test", "under score": "a@co_rp.test",
	})
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.SignUp("a@corp.test")
		k.SignUp("a@evilcorp.test")
		k.SignUp("a@corp.test.evil.test")
	})
}

// AC-003: a delay of a public id does not tell which address the id has.
func TestIdDoesNotTellItsAddressByBeingSlowed(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user := k.SignUp(kit.Ada)
		stranger := k.Guest(kit.At("203.0.113.99"))
		slow := func(email string) {
			for range 3 {
				token, err := stranger.CreateEmailToken(k.Ctx, latchkey.NewEmailToken{Email: email})
				k.Must(err)
				for range 4 {
					_ = kit.Err(stranger.CreateSession(k.Ctx, token.UserID, "0000000"))
				}
			}
		}
		for _, email := range []string{"nobody@example.org", kit.Ada} {
			slow(email)
			if err := kit.Err(stranger.CreateSession(k.Ctx, user.ID, "0000000")); !errors.Is(err, latchkey.ErrInvalidToken) {
				k.Errorf("after %s was slowed: %v", email, err)
			}
		}
		for range 12 { // a delay of the id does not slow its addresses
			_ = kit.Err(stranger.CreateSession(k.Ctx, user.ID, "0000000"))
		}
		for _, email := range []string{"another@example.org", "bob@example.org"} {
			k.Must(kit.Err(k.Users().UpdateEmail(k.Ctx, user.ID, email)))
			token, err := stranger.CreateEmailToken(k.Ctx, latchkey.NewEmailToken{Email: email})
			k.Must(err)
			if err := kit.Err(stranger.CreateSession(k.Ctx, token.UserID, "0000000")); !errors.Is(err, latchkey.ErrInvalidToken) {
				k.Errorf("%s after its id was slowed: %v", email, err)
			}
		}
	})
}
