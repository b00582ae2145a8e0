package latchkey_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"example.com/latchkey"
	"example.com/latchkey/hasher"
	"example.com/latchkey/hasher/hashertest"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/store"
)

func TestPasswordIsComparedInNormalFormC(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		_, err := k.Visitor.CreateAccount(k.Ctx, latchkey.NewAccount{Email: kit.Ada, Password: "cafe\u0301 noir"})
		k.Must(err)
		_, err = k.Visitor.CreateEmailPasswordSession(k.Ctx, kit.Ada, "caf\u00e9 noir")
		k.Must(err)
		_, err = k.Visitor.CreateEmailPasswordSession(k.Ctx, kit.Ada, "CAF\u00c9 noir")
		if !errors.Is(err, latchkey.ErrInvalidCredentials) {
			k.Errorf("another case: %v", err)
		}
	})
}

func TestPasswordLengthIsCountedAsItIsHashed(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		_, err := k.Visitor.CreateAccount(k.Ctx, latchkey.NewAccount{Email: kit.Ada, Password: strings.Repeat("\u00e9", 200)})
		k.Must(err)
		_, err = k.Visitor.CreateEmailPasswordSession(k.Ctx, kit.Ada, strings.Repeat("e\u0301", 200))
		k.Must(err)
		_, err = k.Visitor.CreateAccount(k.Ctx, latchkey.NewAccount{Email: "b@example.org", Password: strings.Repeat("e\u0301", 4)})
		if !errors.Is(err, latchkey.ErrArgumentInvalid) {
			k.Errorf("4 characters: %v", err)
		}
	})
}

// The rules for passwords apply to the normal form, which is also the text that is
// hashed.
func TestRulesLookAtTheTextThatIsHashed(t *testing.T) {
	p := latchkey.Policy{Password: latchkey.PasswordPolicy{Uppercase: true, Lowercase: true, Number: true, Symbols: true}}
	kit.OnEveryStore(t, p, func(k *kit.Kit) {
		nfd, nfc := "A\u0301ccccccccc1e\u0301", "\u00c1ccccccccc1\u00e9"
		one := kit.Err(k.Users().Create(k.Ctx, latchkey.NewUser{Password: nfd}))
		two := kit.Err(k.Users().Create(k.Ctx, latchkey.NewUser{Password: nfc}))
		if (one == nil) != (two == nil) {
			k.Errorf("one password: %v decomposed, %v composed", one, two)
		}
	})
}

func TestPersonalDataIsRefusedOnEveryPathThatKnowsIt(t *testing.T) {
	kit.OnEveryPath(t, latchkey.Policy{Password: latchkey.PasswordPolicy{PersonalData: true}}, func(k *kit.Kit, set func(string) error) {
		k.Must(set("nothing of hers at all"))
	})
	for what, p := range map[string]string{"local part": "my COUNTESS rules", "address": "x countess@example.org x"} {
		t.Run(what, func(t *testing.T) {
			kit.OnEveryPath(t, latchkey.Policy{Password: latchkey.PasswordPolicy{PersonalData: true}}, func(k *kit.Kit, set func(string) error) {
				if strings.Contains(k.Name(), "first_by_change") {
					return // the user has no address
				}
				if err := set(p); !errors.Is(err, latchkey.ErrPasswordPersonalData) {
					k.Errorf("%v", err)
				}
			})
		})
	}
	kit.OnEveryStore(t, latchkey.Policy{Password: latchkey.PasswordPolicy{PersonalData: true}}, func(k *kit.Kit) {
		id, account := k.Prepared(true)
		for what, p := range map[string]string{
			"id": "the ada-lovelace one", "name": "mrs. ADA KING speaking", "phone": "call +14155550100 now", "digits": "call 14155550100 now",
		} {
			if err := kit.Err(account.UpdatePassword(k.Ctx, latchkey.PasswordUpdate{New: p, Old: kit.FirstPassword})); !errors.Is(err, latchkey.ErrPasswordPersonalData) {
				k.Errorf("%s: %v", what, err)
			}
		}
		k.Must(kit.Err(k.Users().UpdateName(k.Ctx, id, "Ada"))) // a name of three characters does not count as personal data
		k.Must(kit.Err(account.UpdatePassword(k.Ctx, latchkey.PasswordUpdate{New: "ada is fine here", Old: kit.FirstPassword})))
	})
}

// Personal data is found in a password by Unicode case folding.
func TestPersonalDataIsFoundInEveryCase(t *testing.T) {
	kit.OnEveryStore(t, latchkey.Policy{Password: latchkey.PasswordPolicy{PersonalData: true}}, func(k *kit.Kit) {
		for name, p := range map[string]string{
			"Οδυσσεύς": "ΟΔΥΣΣΕΎΣ 2026",
			"Strauß":   "STRAUSS and sons",
			"James":    "jameſ and sons",
		} {
			err := kit.Err(k.Users().Create(k.Ctx, latchkey.NewUser{Name: name, Password: p}))
			if err != latchkey.ErrPasswordPersonalData {
				k.Errorf("%s in %q: %v", name, p, err)
			}
		}
		// The name has four code points as typed, but only three characters.
		if err := kit.Err(k.Users().Create(k.Ctx, latchkey.NewUser{Name: "Zoe\u0301", Password: "the zo\u00e9trope"})); err != nil {
			k.Errorf("a name of three characters: %v", err)
		}
	})
}

// If personal data changes while the password is hashed, the rule applies to the new
// data.
func TestPersonalDataThatChangesWhileThePasswordIsHashedIsSeen(t *testing.T) {
	kit.OnEveryStore(t, latchkey.Policy{Password: latchkey.PasswordPolicy{PersonalData: true}}, func(k *kit.Kit) {
		user := k.SignUp(kit.Ada)
		_, account := k.SignIn(kit.Ada)
		k.Interfere(func() { k.Must(kit.Err(k.Users().UpdateName(k.Ctx, user.ID, "Countess"))) })
		if err := kit.Err(account.UpdatePassword(k.Ctx, latchkey.PasswordUpdate{New: "the countess rides", Old: kit.Password})); err != latchkey.ErrPasswordPersonalData {
			k.Errorf("%v", err)
		}
	})
}

func TestPasswordHistoryRefusesTheLastNIncludingThePresent(t *testing.T) {
	kit.OnEveryStore(t, latchkey.Policy{Password: latchkey.PasswordPolicy{History: 3}, Sessions: latchkey.SessionPolicy{KeepOnPasswordChange: true}}, func(k *kit.Kit) {
		id, account := k.Prepared(true)
		present := kit.FirstPassword
		change := func(p string) error {
			err := kit.Err(account.UpdatePassword(k.Ctx, latchkey.PasswordUpdate{New: p, Old: present}))
			if err == nil {
				present = p
			}
			return err
		}
		refused := func(p string) {
			k.Helper()
			if err := change(p); !errors.Is(err, latchkey.ErrPasswordRecentlyUsed) {
				k.Errorf("%s again: %v", p, err)
			}
			if err := kit.Err(k.Users().UpdatePassword(k.Ctx, id, p)); !errors.Is(err, latchkey.ErrPasswordRecentlyUsed) {
				k.Errorf("%s again by the server: %v", p, err)
			}
		}
		refused(kit.FirstPassword)
		k.Must(change("second horse"))
		refused(kit.FirstPassword)
		refused("second horse")
		k.Must(change("third horse"))
		refused(kit.FirstPassword)
		k.Must(change("fourth horse"))
		refused("second horse")
		refused("third horse")
		refused("fourth horse")
		k.Must(change(kit.FirstPassword)) // the last three no longer include it
		raw, err := record.Users.Get(k.Ctx, k.Store, record.Users.Primary(), store.Text(id))
		k.Must(err)
		if strings.Contains(string(raw.PasswordHistory), "argon2") {
			k.Error("the history is not sealed")
		}
	})
}

// The history includes the present password, even if it was set before the history
// was switched on.
func TestPasswordHistoryKnowsThePresentPasswordOfBeforeItWasOn(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		_, account := k.Prepared(true)
		_ = account
		engine, err := latchkey.New(k.Store, latchkey.Config{
			Keys: k.Keys, LimiterPerProcess: true, Hasher: hashertest.New(k.T), Now: k.Clock.Now, Policy: latchkey.Policy{Password: latchkey.PasswordPolicy{History: 1}},
		})
		k.Must(err)
		if err := kit.Err(engine.Users().UpdatePassword(k.Ctx, "ada-lovelace", kit.FirstPassword)); !errors.Is(err, latchkey.ErrPasswordRecentlyUsed) {
			k.Errorf("%v", err)
		}
		k.Must(kit.Err(engine.Users().UpdatePassword(k.Ctx, "ada-lovelace", "second horse")))
	})
}

// A sign-in that renews the hash does not take a second place in the history.
func TestHistoryKeepsItsLengthThroughAHashUpgrade(t *testing.T) {
	kit.OnEveryStore(t, latchkey.Policy{Password: latchkey.PasswordPolicy{History: 2}}, func(k *kit.Kit) {
		user := k.SignUp(kit.Ada) // with kit.Password
		k.Must(kit.Err(k.Users().UpdatePassword(k.Ctx, user.ID, "second horse")))
		strong, err := hasher.New(hasher.Config{Params: hasher.Params{Memory: 7168, Time: 5, Threads: 1}})
		k.Must(err)
		engine, err := latchkey.New(k.Store, latchkey.Config{Keys: k.Keys, LimiterPerProcess: true, Hasher: strong, Now: k.Clock.Now, Policy: k.Policy})
		k.Must(err)
		k.Must(kit.Err(engine.Guest(kit.Client).CreateEmailPasswordSession(k.Ctx, kit.Ada, "second horse"))) // renews the hash
		if err := kit.Err(engine.Users().UpdatePassword(k.Ctx, user.ID, kit.Password)); err != latchkey.ErrPasswordRecentlyUsed {
			k.Errorf("the last but one of two: %v", err)
		}
	})
}

func TestHistoryOutlivesAPasswordThatIsTakenAway(t *testing.T) {
	kit.OnEveryStore(t, latchkey.Policy{Password: latchkey.PasswordPolicy{History: 5}}, func(k *kit.Kit) {
		user := k.SignUp(kit.Ada)
		k.Must(kit.Err(k.Users().UpdatePassword(k.Ctx, user.ID, "")))
		if err := kit.Err(k.Users().UpdatePassword(k.Ctx, user.ID, kit.Password)); err != latchkey.ErrPasswordRecentlyUsed {
			k.Errorf("taken away, and set again: %v", err)
		}
	})
}

// A change of the password while the history is off does not clear the history.
func TestHistoryOutlivesAChangeWhileItIsOff(t *testing.T) {
	kit.OnEveryStore(t, latchkey.Policy{Password: latchkey.PasswordPolicy{History: 5}}, func(k *kit.Kit) {
		user := k.SignUp(kit.Ada)
		k.Must(kit.Err(k.Users().UpdatePassword(k.Ctx, user.ID, "second horse")))
		off, err := latchkey.New(k.Store, latchkey.Config{Keys: k.Keys, LimiterPerProcess: true, Hasher: k.Hasher, Now: k.Clock.Now})
		k.Must(err)
		k.Must(kit.Err(off.Users().UpdatePassword(k.Ctx, user.ID, "third horse")))
		for _, p := range []string{kit.Password, "second horse"} {
			if err := kit.Err(k.Users().UpdatePassword(k.Ctx, user.ID, p)); err != latchkey.ErrPasswordRecentlyUsed {
				k.Errorf("%s: %v", p, err)
			}
		}
	})
}

func TestOutdatedHashIsRenewedByTheRightPassword(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user := k.SignUp(kit.Ada)
		read := func() []byte {
			row, err := record.Users.Get(k.Ctx, k.Store.Store, record.Users.Primary(), store.Text(user.ID))
			k.Must(err)
			return row.Password
		}
		old := read()
		strong, err := hasher.New(hasher.Config{Params: hasher.Params{Memory: 7168, Time: 5, Threads: 1}})
		k.Must(err)
		engine, err := latchkey.New(k.Store, latchkey.Config{Keys: k.Keys, LimiterPerProcess: true, Hasher: strong, Now: k.Clock.Now})
		k.Must(err)
		_, err = engine.Guest(kit.Client).CreateEmailPasswordSession(k.Ctx, kit.Ada, "wrong horse")
		if err != latchkey.ErrInvalidCredentials || !bytes.Equal(read(), old) {
			k.Errorf("a wrong password: %v", err)
		}
		_, err = engine.Guest(kit.Client).CreateEmailPasswordSession(k.Ctx, kit.Ada, kit.Password)
		k.Must(err)
		renewed := read()
		if bytes.Equal(renewed, old) {
			k.Error("the hash was not renewed")
		}
		_, err = engine.Guest(kit.Client).CreateEmailPasswordSession(k.Ctx, kit.Ada, kit.Password)
		k.Must(err)
		if !bytes.Equal(read(), renewed) {
			k.Error("a current hash was renewed")
		}
	})
}

func TestBusyHasherIsNoFailedAttempt(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		ctx, cancel := context.WithCancel(k.Ctx)
		cancel()
		for range 20 { // the wait for a slot ends with the context
			if _, err := k.Visitor.CreateEmailPasswordSession(ctx, kit.Ada, "wrong horse"); !errors.Is(err, context.Canceled) {
				k.Errorf("cancelled: %v", err)
			}
		}
		if n := k.Rows()["failures"]; n != 0 {
			k.Errorf("%d failures were counted", n)
		}
		k.SignIn(kit.Ada)
	})
}

func TestFullGateIsBusyAndNoFailedAttempt(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		params := hasher.Params{Memory: 7168, Time: 5, Threads: 1}
		narrow, err := hasher.New(hasher.Config{Params: params, MemoryBudget: 2 * 7168 << 10, Queue: 1, Wait: 1})
		k.Must(err)
		engine, err := latchkey.New(k.Store, latchkey.Config{Keys: k.Keys, LimiterPerProcess: true, Hasher: narrow, Now: k.Clock.Now})
		k.Must(err)
		guest := engine.Guest(kit.Client)
		var busy, wrong atomic.Int64
		var group sync.WaitGroup
		for range 30 {
			group.Go(func() {
				_, err := guest.CreateEmailPasswordSession(k.Ctx, "nobody@example.org", "wrong horse")
				switch {
				case errors.Is(err, latchkey.ErrBusy):
					busy.Add(1)
				case err == latchkey.ErrInvalidCredentials:
					wrong.Add(1)
				case !errors.Is(err, latchkey.ErrRateLimitExceeded):
					k.Errorf("%v", err)
				}
			})
		}
		group.Wait()
		if busy.Load() == 0 {
			k.Error("nobody was told that it is busy")
		}
		rows, err := record.Failures.List(k.Ctx, k.Store.Store, store.Query{Index: record.Failures.Primary(), Limit: 10})
		k.Must(err)
		if len(rows) > 1 || len(rows) == 1 && rows[0].Count != wrong.Load() || len(rows) == 0 && wrong.Load() != 0 {
			k.Errorf("%d rows for %d wrong answers and %d busy ones", len(rows), wrong.Load(), busy.Load())
		}
	})
}
