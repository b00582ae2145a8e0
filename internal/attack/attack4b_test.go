package attack_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/hasher"
	"example.com/latchkey/hasher/hashertest"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/internal/words"
	"example.com/latchkey/query"
	"example.com/latchkey/store"
	"example.com/latchkey/store/memory"
)

// A log names the acting user only if it is the log's own; so does an export: it is handed to
// its user, who may be an attacker.
func TestAttackAnExportNamesNoOtherUser(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		account, _, _ := k.Enrolled(latchkey.NewMFAAuthenticator{}) // with an address that is not theirs
		token, err := k.Visitor.CreateMagicURLToken(k.Ctx, latchkey.NewMagicURLToken{Email: kit.Ada})
		k.Must(err)
		session, err := k.Visitor.CreateSession(k.Ctx, token.UserID, k.MailOf(token, kit.Ada).Secret)
		k.Must(err)
		if session.UserID == account.UserID() {
			k.Fatal("the owner of the mailbox got the account of another one")
		}
		list, err := k.Users().Logs(k.Ctx, account.UserID())
		k.Must(err)
		for _, l := range list.Logs {
			if l.UserID == session.UserID {
				k.Errorf("the log of the attacker: %+v", l)
			}
		}
		text, err := k.Users().Export(k.Ctx, account.UserID())
		k.Must(err)
		if strings.Contains(string(text), session.UserID) {
			k.Errorf("the export of the attacker's account names the victim's")
		}
	})
}

// After a deletion no row names the user, but the log.
func TestNothingOfADeletedUserIsLeftButTheLog(t *testing.T) {
	kit.OnEveryStore(t, latchkey.Policy{Password: latchkey.PasswordPolicy{History: 3}}, func(k *kit.Kit) {
		k.Must(kit.Err(k.Visitor.CreateMagicURLToken(k.Ctx, latchkey.NewMagicURLToken{Email: kit.Ada})))
		k.Must(kit.Err(k.Visitor.CreatePhoneToken(k.Ctx, "", kit.Phone)))
		account, app, _ := k.Enrolled(latchkey.NewMFAAuthenticator{})
		id := account.UserID()
		k.Must(kit.Err(k.Users().UpdatePhone(k.Ctx, id, kit.Phone)))
		k.Must(kit.Err(k.Users().UpdateLabels(k.Ctx, id, []string{"vip"})))
		k.Must(kit.Err(k.Users().CreateToken(k.Ctx, id, 6, 0)))
		for _, ask := range askings {
			k.Must(ask(k, k.Visitor))
		}
		_, pending := k.Owing(k.Visitor)
		k.Must(kit.Err(pending.CreateMFAChallenge(k.Ctx, latchkey.FactorTOTP)))
		user, err := record.Users.Get(k.Ctx, k.Raw, record.Users.Primary(), store.Text(id))
		k.Must(err)
		if err := kit.Err(k.Visitor.CreateSession(k.Ctx, id, "000000")); err == nil {
			k.Fatal("a wrong code signs in")
		}
		k.Clock.Advance(30 * time.Second)
		full, err := k.Answers(account, latchkey.FactorTOTP, app.Code())
		k.Must(err)
		account, err = k.Visitor.Authenticate(k.Ctx, full.Secret.Reveal())
		k.Must(err)
		k.Must(account.Delete(k.Ctx))
		for table, rows := range k.Everything() {
			if table == "logs" {
				continue
			}
			for _, row := range rows {
				for _, text := range []string{id, user.Key, kit.Ada, kit.Phone} {
					if strings.Contains(row, text) {
						k.Errorf("%s: %s", table, row)
					}
				}
			}
		}
	})
}

// A household with IPv4 and IPv6 is one client of two networks. It does not take all places of
// the queue for hashing: another network is still served.
func TestAttackTwoNetworksDoNotTakeAllPlacesOfTheQueue(t *testing.T) {
	for name, networks := range map[string][]string{"IPv4 and IPv6": {kit.Attacker, "2001:db8::1"}, "two of IPv4": {kit.Attacker, "203.0.113.67"}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k := kit.New(t, memory.Open(), kit.Documented)
				narrow, err := hasher.New(hasher.Config{Params: hasher.Params{Memory: 7168, Time: 5, Threads: 1}, Slots: 1, Queue: 8, Wait: time.Hour})
				k.Must(err)
				engine := k.Configured(func(c *latchkey.Config) { c.Hasher = narrow })
				k.Must(kit.Err(engine.Guest(kit.Client).CreateAccount(k.Ctx, latchkey.NewAccount{Email: kit.Ada, Password: kit.Password})))
				release := hashertest.Hold(t, narrow)
				for n := range 8 {
					go func() {
						_ = kit.Err(engine.Guest(kit.At(networks[n%2])).CreateEmailPasswordSession(k.Ctx, fmt.Sprintf("u%d@example.org", n), "wrong horse"))
					}()
				}
				synctest.Wait()
				var owner atomic.Value
				go func() {
					if err := kit.Err(engine.Guest(kit.At(kit.Owner)).CreateEmailPasswordSession(k.Ctx, kit.Ada, kit.Password)); err != nil {
						owner.Store(err)
					}
				}()
				synctest.Wait()
				release()
				synctest.Wait()
				if err := owner.Load(); err != nil {
					t.Errorf("the owner, while two networks of one household hash: %v", err)
				}
			})
		})
	}
}

// A condition on a list reads the list of a row once, however many values it has: otherwise
// one listing of a few users with many labels takes minutes.
func TestAttackAConditionReadsTheListOfARowOnce(t *testing.T) {
	var labels []string
	for n := range 1000 {
		labels = append(labels, fmt.Sprintf("label%04d", n))
	}
	text, err := json.Marshal(labels)
	if err != nil {
		t.Fatal(err)
	}
	u := record.User{ID: "a", Labels: string(text), Prefs: "{}"}
	row := record.Users.Row(&u)
	cost := func(n int) float64 {
		var values []store.Value
		for i := range n {
			values = append(values, store.Text(fmt.Sprint("no", i)))
		}
		matches := store.Matcher(record.Users.Table, []store.Filter{store.Where("labels", store.OpContains, values...)})
		return testing.AllocsPerRun(3, func() { matches(row) })
	}
	if one, many := cost(1), cost(400); many > 3*one {
		t.Errorf("%.0f allocations for one value, %.0f for 400", one, many)
	}
}

// Words are found in any form of their letters and marks.
func TestAttackWordsAreFoundInAnyComposition(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		for n, c := range [][2]string{{"J\u030cOHN", "\u01f0ohn"}, {"H\u0331IER", "\u1e96ier"}, {"T\u0308ON", "\u1e97on"}, {"\u00c9MILE", "e\u0301mile"}, {"\u1e9eETA", "\u00dfeta"}} {
			user, err := k.Users().Create(k.Ctx, latchkey.NewUser{UserID: fmt.Sprint("user", n), Name: c[0]})
			k.Must(err)
			for _, search := range []string{c[0], c[1], strings.ToLower(c[0])} {
				list, err := k.Users().List(k.Ctx, query.Search(search))
				k.Must(err)
				if len(list.Users) != 1 || list.Users[0].ID != user.ID {
					k.Errorf("%+q does not find %+q", search, c[0])
				}
			}
		}
	})
}

var _ = errors.Is

// checkWords compares the words of every user with those of their texts.
func checkWords(k *kit.Kit, when string) {
	k.Helper()
	scratch := memory.Open()
	defer scratch.Close()
	users, err := record.Users.List(k.Ctx, k.Raw, store.Query{Index: record.Users.Primary(), Limit: store.MaxLimit})
	k.Must(err)
	k.Must(scratch.Update(k.Ctx, func(ctx context.Context, tx store.Tx) error {
		for _, u := range users {
			if err := words.Set(ctx, tx, "users", u.ID, u.ID, u.Email, u.Name, u.Phone, u.Labels); err != nil {
				return err
			}
		}
		return nil
	}))
	list := func(r store.Reader) (out []string) {
		rows, err := record.Words.List(k.Ctx, r, store.Query{Index: record.Words.Primary(), Limit: store.MaxLimit})
		k.Must(err)
		for _, w := range rows {
			out = append(out, w.Scope+" "+w.Word+" "+w.RowID)
		}
		return out
	}
	if got, want := list(k.Raw), list(scratch); !slices.Equal(got, want) {
		k.Errorf("%s: %q, want %q", when, got, want)
	}
}

// After every way in which a user's texts change, the words of the store are those of the
// texts.
func TestWordsAreThoseOfTheTextsAfterEveryChange(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		_, anonymous := k.Anonymous()
		checkWords(k, "anonymous")
		k.Must(kit.Err(anonymous.CreateAccount(k.Ctx, latchkey.NewAccount{Email: kit.Bob, Password: kit.Password, Name: "Bob B\u00f6b"})))
		checkWords(k, "converted")
		k.Must(kit.Err(anonymous.UpdateName(k.Ctx, "b\u00d6B bob Bob's")))
		checkWords(k, "renamed")
		k.Must(kit.Err(anonymous.UpdateEmail(k.Ctx, "bob.bob+b@example.org", kit.Password)))
		k.Must(kit.Err(anonymous.UpdatePhone(k.Ctx, kit.OwnPhone, kit.Password)))
		checkWords(k, "another address and number")
		k.Must(kit.Err(k.Users().UpdateLabels(k.Ctx, anonymous.UserID(), []string{"bob", "VIP", "b1"})))
		checkWords(k, "labels")
		k.Must(kit.Err(k.Users().UpdateLabels(k.Ctx, anonymous.UserID(), nil)))
		checkWords(k, "no labels")
		account, _, _ := k.Enrolled(latchkey.NewMFAAuthenticator{}) // who loses the address to its owner
		token, err := k.Visitor.CreateMagicURLToken(k.Ctx, latchkey.NewMagicURLToken{Email: kit.Ada})
		k.Must(err)
		k.Must(kit.Err(k.Visitor.CreateSession(k.Ctx, token.UserID, k.MailOf(token, kit.Ada).Secret)))
		checkWords(k, "taken address")
		token, err = k.Visitor.CreateEmailToken(k.Ctx, latchkey.NewEmailToken{Email: "bob.bob+b@example.org"})
		k.Must(err)
		k.Must(kit.Err(k.Visitor.CreateSession(k.Ctx, token.UserID, k.MailOf(token, "bob.bob+b@example.org").Secret)))
		checkWords(k, "first proof, which removes the number")
		k.Must(kit.Err(k.Users().UpdateEmail(k.Ctx, account.UserID(), "")))
		k.Must(kit.Err(k.Users().UpdateName(k.Ctx, account.UserID(), "")))
		checkWords(k, "emptied")
		k.Must(k.Users().Delete(k.Ctx, account.UserID()))
		checkWords(k, "deleted")
		k.Must(kit.Err(k.Users().Create(k.Ctx, latchkey.NewUser{UserID: account.UserID(), Name: "Next"})))
		checkWords(k, "the next user of the id")
	})
}

// What the engine takes, the store takes: filters of the greatest size are no fault.
func TestAttackTheGreatestFiltersAreNoFault(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		many := make([]string, query.MaxValues)
		for n := range many {
			many[n] = fmt.Sprint("v", n)
		}
		var leaves []query.Query
		for n := range store.MaxFilterTerms {
			leaves = append(leaves, query.NotEqual("name", fmt.Sprint("n", n)))
		}
		deep := query.IsNotNull("name")
		for range 9 {
			deep = query.And(deep)
		}
		for name, queries := range map[string][]query.Query{
			"400 conditions in one": {query.Or(leaves...)},
			"99 of 500 values":      slices.Repeat([]query.Query{query.NotEqual("name", many...)}, 99),
			"nested":                {deep},
			"400 texts":             {query.NotContains("name", many[:400]...)},
			"400 texts in or":       {query.Or(query.NotContains("name", many[:400]...))},
			"400 labels":            {query.NotContains("labels", many[:400]...)},
		} {
			for _, more := range [][]query.Query{nil, {query.Walk()}} {
				if err := kit.Err(k.Users().List(k.Ctx, append(slices.Clone(more), queries...)...)); !isAnswer(err) {
					k.Errorf("%s, %d more: %v (%v)", name, len(more), err, errors.Unwrap(err))
				}
			}
		}
	})
}

// An export reads. It does not hold the one writer of the store, on which every sign-in
// waits, while it reads a log that its user has made long.
func TestAttackAnExportDoesNotHoldTheWriter(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user := k.SignUp(kit.Ada)
		k.Store.Reset()
		k.Must(kit.Err(k.Users().Export(k.Ctx, user.ID)))
		if n := k.Store.Updates.Load(); n != 0 {
			k.Errorf("%d transactions that write", n)
		}
	})
}

// A stranger does not become user:ID of a deleted user: what the host keeps under the id, and
// the JWTs of the last hour, would be theirs.
func TestAttackNoStrangerTakesTheIDOfADeletedUser(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user := k.SignUp(kit.Ada)
		_, account := k.SignIn(kit.Ada)
		k.Must(account.Delete(k.Ctx))
		attacker := k.Guest(kit.At(kit.Attacker))
		if err := kit.Err(attacker.CreateAccount(k.Ctx, latchkey.NewAccount{UserID: user.ID, Email: "attacker@example.org", Password: kit.Password})); err == nil {
			k.Error("a stranger has signed up as the deleted user's id")
		}
	})
}

// A token of a page serves as long as the key that has sealed it is kept, and no longer.
func TestATokenOfAPageServesAsLongAsItsKeyIsKept(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		for n := range 3 {
			k.Must(kit.Err(k.Users().Create(k.Ctx, latchkey.NewUser{Name: fmt.Sprint(n)})))
		}
		asked := []query.Query{query.OrderAsc("name"), query.Limit(1)}
		list, err := k.Users().List(k.Ctx, asked...)
		k.Must(err)
		next := append(slices.Clone(asked), query.Page(list.Next))
		key := latchkey.GenerateKey()
		kept, err := k.WithKeys(latchkey.Keys{Active: key, Old: []latchkey.Key{k.Keys.Active}}).Users().List(k.Ctx, next...)
		k.Must(err)
		if len(kept.Users) != 1 || kept.Users[0].Name != "1" {
			k.Errorf("%+v", kept.Users)
		}
		forgotten := k.WithKeys(latchkey.Keys{Active: key}).Users()
		if err := kit.Err(forgotten.List(k.Ctx, next...)); !errors.Is(err, latchkey.ErrQueryInvalid) {
			k.Error(err)
		}
		for n := range len(list.Next) { // every changed character
			forged := []byte(list.Next)
			forged[n] ^= 1
			if err := kit.Err(k.Users().List(k.Ctx, append(slices.Clone(asked), query.Page(string(forged)))...)); !errors.Is(err, latchkey.ErrQueryInvalid) {
				k.Errorf("changed at %d: %v", n, err)
			}
		}
	})
}

// Who has put a stranger's address on an account does not read in its log from where, and with
// which client, the owner of the address has tried to sign in.
func TestAttackASquatterReadsFromWhereTheOwnerOfTheAddressCame(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		attacker := k.Guest(kit.At(kit.Attacker))
		k.Must(kit.Err(attacker.CreateAccount(k.Ctx, latchkey.NewAccount{Email: kit.Ada, Password: kit.Password})))
		account := k.SignedInAt(kit.Attacker)
		owners := kit.At("198.51.100.23")
		owners.UserAgent = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
		owner := k.Guest(owners)
		_ = kit.Err(owner.CreateEmailPasswordSession(k.Ctx, kit.Ada, "her own password"))
		k.Must(kit.Err(owner.CreateMagicURLToken(k.Ctx, latchkey.NewMagicURLToken{Email: kit.Ada})))
		k.Must(kit.Err(owner.CreateRecovery(k.Ctx, latchkey.NewRecovery{Email: kit.Ada, URL: kit.RecoverURL})))
		list, err := account.Logs(k.Ctx)
		k.Must(err)
		for _, l := range list.Logs {
			if l.IP == "198.51.100.23" {
				k.Errorf("%s at %s with %s", l.Event, l.IP, l.Device.ClientName)
			}
		}
	})
}
