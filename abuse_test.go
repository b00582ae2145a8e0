package latchkey_test

import (
	"bytes"
	"encoding/gob"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/hasher"
	"example.com/latchkey/hasher/hashertest"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/internal/seal"
	"example.com/latchkey/store"
)

// addressPaths are the ways to bring an e-mail address into the engine.
var addressPaths = map[string]func(k *kit, email string) error{
	"sign up": func(k *kit, email string) error {
		return ignore(k.guest.CreateAccount(k.ctx, latchkey.NewAccount{Email: email, Password: password}))
	},
	"sign in": func(k *kit, email string) error {
		return ignore(k.guest.CreateEmailPasswordSession(k.ctx, email, password))
	},
	"change": func(k *kit, email string) error {
		_, account := k.signIn(ada)
		return ignore(account.UpdateEmail(k.ctx, email, password))
	},
	"server creates": func(k *kit, email string) error {
		return ignore(k.Users().Create(k.ctx, latchkey.NewUser{Email: email}))
	},
	"server changes": func(k *kit, email string) error {
		return ignore(k.Users().UpdateEmail(k.ctx, k.idOf(ada), email))
	},
}

func refusesAddresses(t *testing.T, addresses map[string]string) {
	onEveryStore(t, documented, func(k *kit) {
		k.signUp(ada)
		for what, email := range addresses {
			for path, do := range addressPaths {
				if err := do(k, email); !errors.Is(err, latchkey.ErrArgumentInvalid) || strings.Contains(err.Error(), email) {
					k.Errorf("%s, %s: %v", what, path, err)
				}
			}
		}
	})
}

// AC-005: what only looks like somebody's address is not that address.
func TestAC005LookAlikesAreOtherAddresses(t *testing.T) {
	refusesAddresses(t, map[string]string{"dotless i": "m\u0131ke@example.org", "sharp s": "stra\u00dfe@example.org", "Kelvin sign": "mi\u212ae@example.org", "full width": "\uff41da@example.org"})
	onEveryStore(t, documented, func(k *kit) {
		k.signUp("mike@example.org")
		for _, other := range []string{"mike@ex\u0430mple.org", "mike@exarnple.org"} { // a Cyrillic letter
			if err := ignore(k.guest.CreateEmailPasswordSession(k.ctx, other, password)); err != latchkey.ErrInvalidCredentials {
				k.Errorf("%q: %v", other, err)
			}
		}
	})
}

// AC-006: nothing becomes an @ or a dot by mapping.
func TestAC006NothingBecomesASignByMapping(t *testing.T) {
	refusesAddresses(t, map[string]string{
		"full-width at": "a\uff20victim.org", "two ats": "a@evil.org\uff20victim.org", "small at": "a\ufe6bvictim.org",
		"full-width dot": "a@victim\uff0eorg", "ideographic dot": "a@victim\u3002org",
	})
}

// AC-007: no quotes, lists, comments or routes.
func TestAC007NoRoutesAndNoLists(t *testing.T) {
	refusesAddresses(t, map[string]string{
		"quoted": `"a@evil.test"@victim.test`, "list": "a@x.org, b@y.org", "semicolons": "a@x.org;b@y.org", "brackets": "<a@x.org>", "name": "Ada <a@x.org>",
		"percent": "a%evil.test@victim.test", "bang": "evil.test!a@victim.test", "comment": "a(comment)@x.org", "literal": "a@[192.0.2.1]", "colon": "group:a@x.org;",
	})
}

// AC-008: the domain is what follows the only @, whole.
func TestAC008DomainIsWhatFollowsTheOnlyAt(t *testing.T) {
	refusesAddresses(t, map[string]string{
		"two ats": "a@evil.test@corp.test", "trailing dot": "a@corp.test.", "leading dot": "a@.corp.test", "two dots": "a@corp..test", "no top": "a@corp", "number": "a@corp.123",
		"hyphen": "a@-corp.test", "space": "a@corp .test", "under score": "a@co_rp.test",
	})
	onEveryStore(t, documented, func(k *kit) {
		k.signUp("a@corp.test")
		k.signUp("a@evilcorp.test")
		k.signUp("a@corp.test.evil.test")
	})
}

// AC-112: nothing that ends a line is in what reaches a header.
func TestAC112NoLineEndsInIdentifiersAndNames(t *testing.T) {
	addresses := make(map[string]string)
	for what, sign := range map[string]string{
		"CR LF": "\r\n", "LF": "\n", "CR": "\r", "NUL": "\x00", "tab": "\t", "U+2028": "\u2028", "U+2029": "\u2029", "NEL": "\u0085", "vertical tab": "\v",
	} {
		addresses[what+" in the local part"] = "a" + sign + "b@x.org"
		addresses[what+" in the domain"] = "a@x" + sign + ".org"
		addresses[what+" behind"] = "a@x.org" + sign + "Bcc: b@y.org"
		onEveryStore(t, documented, func(k *kit) {
			k.signUp(ada)
			_, account := k.signIn(ada)
			for path, err := range map[string]error{
				"name":          ignore(account.UpdateName(k.ctx, "Ada"+sign)),
				"server's name": ignore(k.Users().UpdateName(k.ctx, account.UserID(), sign+"Ada")),
				"phone":         ignore(account.UpdatePhone(k.ctx, phone+sign, password)),
				"label":         ignore(k.Users().UpdateLabels(k.ctx, account.UserID(), []string{"a" + sign})),
				"id":            ignore(k.Users().Create(k.ctx, latchkey.NewUser{UserID: "a" + sign})),
			} {
				if !errors.Is(err, latchkey.ErrArgumentInvalid) {
					k.Errorf("%s, %s: %v", what, path, err)
				}
			}
			session, err := k.Guest(latchkey.Client{UserAgent: "agent" + sign + "x"}).CreateEmailPasswordSession(k.ctx, ada, password)
			k.must(err)
			logs, err := record.Logs.List(k.ctx, k.store, store.Query{Index: record.Logs.Index("created"), Limit: 100})
			k.must(err)
			for _, l := range logs {
				if strings.Contains(l.Agent, sign) {
					k.Errorf("%s in the log: %q of %s", what, l.Agent, session.ID)
				}
			}
		})
	}
	refusesAddresses(t, addresses)
}

// AC-009: every byte of a password counts, and nothing is cut.
func TestAC009NoPartOfAPasswordIsCutOff(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		for n, p := range []string{strings.Repeat("a", 72), strings.Repeat("a", 100), strings.Repeat("\u00e9", 36), strings.Repeat("\U0001F600", 255), "with\x00NUL inside"} {
			email := fmt.Sprintf("u%d@example.org", n)
			k.must(ignore(k.guest.CreateAccount(k.ctx, latchkey.NewAccount{Email: email, Password: latchkey.Secret(p)})))
			for _, other := range []string{p + "x", p + " ", p[:len(p)-len(p)/8], strings.ToUpper(p) + "b"} {
				if err := ignore(k.guest.CreateEmailPasswordSession(k.ctx, email, other)); err == nil {
					k.Errorf("password %d: another one signs in", n)
				}
			}
			k.must(ignore(k.guest.CreateEmailPasswordSession(k.ctx, email, p)))
		}
	})
}

// AC-010: a huge password is refused before anything is done with it.
func TestAC010HugePasswordsAreRefusedUnseen(t *testing.T) {
	for what, p := range map[string]string{"1 MiB": strings.Repeat("x", 1<<20), "combining marks": "a" + strings.Repeat("\u0301", 100_000), "1,025 bytes": strings.Repeat("x", 1025),
		"256 syllables in 2,304 bytes": strings.Repeat("\u1112\u1161\u11ab", 256)} {
		onEveryPath(t, documented, func(k *kit, set func(string) error) {
			hashes := k.hasher.Hashes()
			if strings.Contains(k.Name(), "change") || strings.Contains(k.Name(), "server_sets") {
				hashes++ // the one of the user that the path begins with
			}
			if err := set(p); !errors.Is(err, latchkey.ErrArgumentInvalid) || k.hasher.Hashes() > hashes {
				k.Errorf("%s: %v after %d hashes", what, err, k.hasher.Hashes())
			}
		})
		onEveryStore(t, documented, func(k *kit) {
			k.store.Reset()
			if err := ignore(k.guest.CreateEmailPasswordSession(k.ctx, ada, p)); !errors.Is(err, latchkey.ErrArgumentInvalid) {
				k.Errorf("%s: %v", what, err)
			}
			if k.hasher.Hashes() != 0 || k.store.Reads.Load()+k.store.Updates.Load() != 0 {
				k.Errorf("%s: %d hashes, %d reads", what, k.hasher.Hashes(), k.store.Reads.Load())
			}
		})
	}
}

// AC-011: a flood of sign-ins stays within the memory, everybody is answered,
// and nothing is left behind.
func TestAC011FloodOfSignInsStaysWithinItsMemory(t *testing.T) {
	const slots, cost = 2, 7168 << 10
	flood := func(t *testing.T, open opener) {
		s, err := open(t, t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		k := newKit(t, s, documented)
		k.signUp(ada)
		narrow, err := hasher.New(hasher.Config{
			Params: hasher.Params{Memory: 7168, Time: 5, Threads: 1}, MemoryBudget: 2 * slots * cost, Slots: slots, Queue: 16, Wait: 100 * time.Millisecond,
		})
		k.must(err)
		k.Engine, err = latchkey.New(k.store, latchkey.Config{Keys: k.keys, Hasher: narrow, Now: k.clock.Now})
		k.must(err)
		runtime.GC()
		goroutines := runtime.NumGoroutine()
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		var busy, refused, others atomic.Int64
		var group sync.WaitGroup
		for n := range 10_000 {
			group.Go(func() {
				err := ignore(k.Guest(testClient).CreateEmailPasswordSession(k.ctx, fmt.Sprintf("u%d@example.org", n), "wrong horse"))
				switch {
				case errors.Is(err, latchkey.ErrBusy):
					busy.Add(1)
				case err == latchkey.ErrInvalidCredentials:
					refused.Add(1)
				default:
					others.Add(1)
					k.Errorf("%v", err)
				}
			})
		}
		group.Wait()
		runtime.ReadMemStats(&after)
		// HeapSys never falls: it is the highest. Beside the hashes there are
		// the callers themselves, with a few KB each.
		allowed := int64((2*slots+2)*cost + 256<<20)
		if raceDetector {
			allowed *= 4
		}
		if grown := int64(after.HeapSys) - int64(before.HeapSys); grown > allowed {
			t.Errorf("the heap grew by %d MB", grown>>20)
		}
		if busy.Load()+refused.Load() != 10_000 || busy.Load() == 0 || refused.Load() == 0 {
			t.Errorf("%d busy, %d refused, %d others", busy.Load(), refused.Load(), others.Load())
		}
		rows, err := k.store.Count(k.ctx, store.Query{Index: record.Failures.Primary()})
		k.must(err)
		if int64(rows) != refused.Load() {
			t.Errorf("%d counts for %d refusals", rows, refused.Load())
		}
		for until := time.Now().Add(10 * time.Second); time.Now().Before(until); {
			if runtime.NumGoroutine() <= goroutines+4 { // a store has a writer of its own
				return
			}
			runtime.Gosched()
		}
		t.Errorf("%d goroutines before, %d after", goroutines, runtime.NumGoroutine())
	}
	for _, b := range backends { // one after the other: they share the heap
		t.Run(b.name, func(t *testing.T) { flood(t, b.open) })
	}
}

// AC-011: who is signed in does not notice that nobody can sign in.
func TestAC011ChecksDoNotWaitForHashing(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		k.signUp(ada)
		session, account := k.signIn(ada)
		release := hashertest.Hold(k, k.hasher)
		waiting := make(chan error)
		go func() { waiting <- ignore(k.guest.CreateEmailPasswordSession(k.ctx, ada, password)) }()
		for range 100 {
			k.must(ignore(k.guest.Authenticate(k.ctx, session.Secret)))
			k.must(ignore(account.User(k.ctx)))
			k.must(ignore(account.UpdateName(k.ctx, "Ada")))
		}
		select {
		case err := <-waiting:
			k.Errorf("the sign-in did not wait: %v", err)
		default:
		}
		release()
		k.must(<-waiting)
	})
}

// AC-012: a stored hash out of bounds is not computed.
func TestAC012HostileStoredHashIsNotComputed(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		user := k.signUp(ada)
		root, err := hex.DecodeString(strings.TrimPrefix(k.keys.Active.Reveal(), "latchkey1-"))
		k.must(err)
		ring := seal.NewRing(root)
		for _, hash := range []string{
			"$argon2id$v=19$m=4194304,t=2,p=1$c2FsdHNhbHRzYWx0$dGFndGFndGFndGFndGFndA", "$argon2id$v=19$m=64,t=2147483648,p=1$c2FsdHNhbHRzYWx0$dGFndGFndGFndGFndGFndA",
			"$argon2id$v=19$m=64,t=1,p=4294967295$c2FsdHNhbHRzYWx0$dGFndGFndGFndGFndGFndA", "$2a$31$abcdefghijklmnopqrstuuABCDEFGHIJKLMNOPQRSTUVWXYZ01234",
			"$pbkdf2-sha256$10000000000$c2FsdA$dGFn", "", "plain",
		} {
			k.changeUser(user.ID, func(u *record.User) {
				u.Password = ring.Seal(seal.PasswordHash, seal.Place{Table: "users", Column: "password", Record: u.ID, Owner: u.ID}, []byte(hash))
			})
			before := k.hasher.Hashes()
			err := ignore(k.guest.CreateEmailPasswordSession(k.ctx, ada, password))
			if err == nil || strings.Contains(err.Error(), "argon") || hash != "" && k.hasher.Hashes() != before {
				k.Errorf("%q: %v after %d hashes", hash, err, k.hasher.Hashes()-before)
			}
		}
	})
}

// AC-014: a stolen session alone changes neither password nor address.
func TestAC014StolenSessionNeedsThePassword(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		k.signUp(ada)
		_, stolen := k.signIn(ada)
		for what, err := range map[string]error{
			"password without the old one": ignore(stolen.UpdatePassword(k.ctx, "my own horse", "")),
			"password with a wrong one":    ignore(stolen.UpdatePassword(k.ctx, "my own horse", "wrong horse")),
			"address":                      ignore(stolen.UpdateEmail(k.ctx, "mine@example.org", "wrong horse")),
			"number":                       ignore(stolen.UpdatePhone(k.ctx, phone, "wrong horse")),
		} {
			if err != latchkey.ErrInvalidCredentials {
				k.Errorf("%s: %v", what, err)
			}
		}
		k.same("log", k.logs()[1], "user.create by guest")
		rows, err := record.Failures.List(k.ctx, k.store, store.Query{Index: record.Failures.Primary(), Limit: 10})
		k.must(err)
		if !slices.ContainsFunc(rows, func(f *record.Failure) bool { return f.Count == 4 }) {
			k.Error("the failures were not counted")
		}
		k.signIn(ada)
	})
}

// AC-058: nobody proves an address by changing their account.
func TestAC058NobodyProvesAnAddressByChangingTheAccount(t *testing.T) {
	onEveryOperation(t, func(k *kit, op operation) {
		if strings.HasPrefix(op.name, "Users.") || op.name == "Guest.UpdateMagicURLSession" || op.name == "Guest.UpdatePhoneSession" {
			return // the server, and what an address is proven by
		}
		for _, full := range []bool{true, false} {
			w := k.world(full)
			_ = op.do(w)
			rows, err := record.Users.List(k.ctx, k.store, store.Query{Index: record.Users.Primary(), Limit: 100})
			k.must(err)
			for _, u := range rows {
				if u.EmailVerified || u.PhoneVerified {
					k.Errorf("%s proved an address", op.name)
				}
			}
			k.deleteAll()
		}
	})
}

// AC-087: a session that could not be ended is not said to have ended.
func TestAC087FailedRevocationIsSaid(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		for what, revoke := range map[string]func(w *world) error{
			"own": func(w *world) error { return w.account.DeleteSession(k.ctx, latchkey.Current) }, "all": func(w *world) error { return w.account.DeleteSessions(k.ctx) },
			"server's": func(w *world) error { return k.Users().DeleteSession(k.ctx, w.user.ID, w.account.SessionID()) },
			"block":    func(w *world) error { return ignore(k.Users().UpdateStatus(k.ctx, w.user.ID, false)) },
		} {
			w := k.world(true)
			reached := k.failing(1, false)
			err := revoke(w)
			reached()
			if err == nil {
				k.Errorf("%s: no error", what)
			}
			k.must(ignore(k.guest.Authenticate(k.ctx, w.secret)))
			k.deleteAll()
		}
	})
}

// AC-088: what was planted before a sign-in is not what the user signs in with.
func TestAC088SignInMakesANewSession(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		user := k.signUp(ada)
		planted, attacker := k.anonymous()
		session, _ := k.signIn(ada)
		if session.ID == planted.ID || session.Secret == planted.Secret || session.UserID == planted.UserID {
			k.Error("the planted session became the user's")
		}
		shown, err := attacker.User(k.ctx)
		k.must(err)
		if shown.ID == user.ID {
			k.Error("the planted session is signed in")
		}
	})
}

// AC-091: what a user had before being blocked, deleted or changed is of no use.
func TestAC091NothingOfABlockedOrDeletedUserWorks(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		for what, end := range map[string]func(id string) error{
			"block":  func(id string) error { return ignore(k.Users().UpdateStatus(k.ctx, id, false)) },
			"delete": func(id string) error { return k.Users().Delete(k.ctx, id) },
		} {
			w := k.world(true)
			k.must(end(w.user.ID))
			for _, secret := range []latchkey.Secret{w.secret, w.other.Secret} {
				if err := ignore(k.guest.Authenticate(k.ctx, secret)); err == nil {
					k.Errorf("%s: a session works", what)
				}
			}
			if err := ignore(k.guest.CreateEmailPasswordSession(k.ctx, ada, password)); err == nil {
				k.Errorf("%s: signing in works", what)
			}
			k.deleteAll()
		}
	})
}

// AC-092: extending looks at the user, too.
func TestAC092BlockedUserExtendsNothing(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		w := k.world(true)
		k.must(ignore(k.Users().UpdateStatus(k.ctx, w.user.ID, false)))
		for _, id := range []string{latchkey.Current, w.other.ID} {
			k.refuses("extend "+id, latchkey.ErrUserBlocked, func() error { return ignore(w.account.UpdateSession(k.ctx, id)) })
		}
	})
}

// AC-093: nothing but the whole secret finds a session, and its digest is
// compared without a hint.
func TestAC093OnlyTheWholeSecretFindsASession(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		k.signUp(ada)
		session, _ := k.signIn(ada)
		s := session.Secret.Reveal()
		for n := range s {
			digit := "0"
			if s[n] == '0' {
				digit = "1"
			}
			if err := ignore(k.guest.Authenticate(k.ctx, latchkey.Secret(s[:n]+digit+s[n+1:]))); err != latchkey.ErrUnauthorized {
				k.Errorf("digit %d: %v", n, err)
			}
		}
	})
}

// AC-094: there is no cache: what ends on one engine has ended on the others.
func TestAC094EndedOnOneEngineIsEndedOnAll(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		w := k.world(true)
		other := k.limitedEngine(nil)
		for range 3 {
			k.must(ignore(other.Guest(testClient).Authenticate(k.ctx, w.secret)))
		}
		k.must(w.account.DeleteSessions(k.ctx))
		if err := ignore(other.Guest(testClient).Authenticate(k.ctx, w.secret)); err != latchkey.ErrUnauthorized {
			k.Errorf("%v", err)
		}
	})
}

// AC-105: what a person signs up with has no member that only the server may
// set.
func TestAC105SignUpHasNoMemberOfTheServers(t *testing.T) {
	var members []string
	for _, f := range reflect.VisibleFields(reflect.TypeFor[latchkey.NewAccount]()) {
		members = append(members, f.Name)
	}
	if want := []string{"UserID", "Email", "Password", "Name"}; !slices.Equal(members, want) {
		t.Errorf("NewAccount has %v, want %v", members, want)
	}
	onEveryStore(t, documented, func(k *kit) {
		user := k.signUp(ada)
		if user.EmailVerification || user.PhoneVerification || !user.Status || user.MFA || len(user.Labels) != 0 || !user.CreatedAt.Equal(k.clock.Now()) {
			k.Errorf("%+v", user)
		}
	})
}

// AC-106: who acts comes from a session that was checked, and from nowhere else.
func TestAC106NobodyActsForSomebodyElse(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		victim := k.signUp(ada)
		before := k.everything()["users"]
		for _, text := range []string{`{}`, `{"UserID":"` + victim.ID + `"}`, `{"session":{"UserID":"` + victim.ID + `"}}`} {
			value := reflect.New(reflect.TypeFor[latchkey.Account]())
			_ = json.Unmarshal([]byte(text), value.Interface())
			forged := value.Interface().(*latchkey.Account)
			if err := ignore(forged.User(k.ctx)); err != latchkey.ErrUnauthorized {
				k.Errorf("an account out of %s: %v", text, err)
			}
		}
		_, account := k.signIn(ada)
		var b bytes.Buffer
		if err := gob.NewEncoder(&b).Encode(account); err == nil {
			k.Error("a handle can be encoded")
		}
		// Somebody who asks for the id of another gets nothing of theirs.
		if err := ignore(k.guest.CreateAccount(k.ctx, latchkey.NewAccount{UserID: victim.ID, Email: bob, Password: password})); err != latchkey.ErrUserAlreadyExists {
			k.Errorf("sign-up with the id: %v", err)
		}
		_, somebody := k.anonymous()
		_ = ignore(somebody.CreateAccount(k.ctx, latchkey.NewAccount{UserID: victim.ID, Email: bob, Password: password}))
		if rows := k.everything()["users"]; !slices.Contains(rows, before[0]) {
			k.Error("the victim's row has changed")
		}
	})
	for method := range methodsOf[latchkey.Account]() {
		for i := 2; i < method.Type.NumIn(); i++ {
			if in := method.Type.In(i); in == reflect.TypeFor[*latchkey.Account]() || in == reflect.TypeFor[*latchkey.User]() {
				t.Errorf("Account.%s takes somebody", method.Name)
			}
		}
	}
}

func methodsOf[T any]() func(func(reflect.Method) bool) {
	return func(yield func(reflect.Method) bool) {
		typ := reflect.TypeFor[*T]()
		for i := range typ.NumMethod() {
			if !yield(typ.Method(i)) {
				return
			}
		}
	}
}

// AC-111: text is a value, whatever is in it.
func TestAC111TextIsAValue(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		for n, text := range []string{
			`'; DROP TABLE users; --`, `" OR 1=1 --`, `%`, `_%_`, `\`, `\\`, `$.key`, `*`, `a/b`, `a\/b`, "`", `{"$ne":null}`, `:name`, `?1`, "\u00ff\u0100", "\U0010ffff",
		} {
			user, err := k.Users().Create(k.ctx, latchkey.NewUser{Email: fmt.Sprintf("u%d@example.org", n), Name: text})
			k.must(err)
			prefs, err := json.Marshal(map[string]string{text: text})
			k.must(err)
			back, err := k.Users().UpdatePrefs(k.ctx, user.ID, prefs)
			k.must(err)
			var decoded map[string]string
			k.must(json.Unmarshal(back, &decoded))
			shown, err := k.Users().Get(k.ctx, user.ID)
			k.must(err)
			if shown.Name != text || decoded[text] != text {
				k.Errorf("%q came back as %q and %v", text, shown.Name, decoded)
			}
			for what, err := range map[string]error{
				"get":      ignore(k.Users().Get(k.ctx, text)),
				"sign in":  ignore(k.guest.CreateEmailPasswordSession(k.ctx, text, password)),
				"password": ignore(k.guest.CreateEmailPasswordSession(k.ctx, shown.Email, text+"12345678")),
				"session":  k.Users().DeleteSession(k.ctx, user.ID, text),
			} {
				if err == nil {
					k.Errorf("%s by %q works", what, text)
				}
			}
		}
		if n := k.rows()["users"]; n != 16 {
			k.Errorf("%d users", n)
		}
	})
}

// AC-114: the count of an address holds whatever client addresses are made up.
func TestAC114MadeUpClientAddressesDoNotHelp(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		k.signUp(ada)
		for range 11 {
			ip := netip.AddrFrom4([4]byte{byte(rand.IntN(223) + 1), byte(rand.IntN(256)), byte(rand.IntN(256)), 1})
			if err := k.try(ip.String(), ada, "wrong horse"); err != latchkey.ErrInvalidCredentials {
				k.Fatal(err)
			}
		}
		if err := k.try("198.51.100.200", ada, password); !errors.Is(err, latchkey.ErrRateLimitExceeded) {
			k.Errorf("%v", err)
		}
	})
	if typ := reflect.TypeFor[latchkey.Client](); typ.Field(0).Type != reflect.TypeFor[netip.Addr]() {
		t.Error("a client address may be any text")
	}
}

// AC-115: a log row is one record, short, without control characters, whatever
// the client says.
func TestAC115LogRowsAreOneShortRecord(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		k.signUp(ada)
		for _, agent := range []string{
			"x\nsession.create by server", "\x1b[2J\x1b]0;owned\x07", strings.Repeat("A", 1<<20), "\xff\xfe\x00", strings.Repeat("\U0001F600", 1000), "a\u202eb",
		} {
			k.clock.Advance(time.Minute)
			_ = ignore(k.Guest(latchkey.Client{UserAgent: agent}).CreateEmailPasswordSession(k.ctx, ada, "wrong horse"))
		}
		rows, err := record.Logs.List(k.ctx, k.store, store.Query{Index: record.Logs.Index("created"), Limit: 100})
		k.must(err)
		if len(rows) != 7 {
			k.Errorf("%d rows", len(rows))
		}
		for _, l := range rows {
			if len(l.Agent) > 512 || strings.ContainsFunc(l.Agent, func(r rune) bool { return r < ' ' || r == 0x7f }) {
				k.Errorf("%q", l.Agent)
			}
		}
	})
}

// AC-117: an anonymous account takes over nobody's address and proves none.
func TestAC117ConversionTakesNobodysAddress(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		victim := k.signUp(ada)
		_, somebody := k.anonymous()
		k.refuses("e-mail", latchkey.ErrTargetAlreadyExists, func() error { return ignore(somebody.UpdateEmail(k.ctx, ada, password)) })
		k.refuses("account", latchkey.ErrTargetAlreadyExists, func() error {
			return ignore(somebody.CreateAccount(k.ctx, latchkey.NewAccount{Email: ada, Password: password}))
		})
		user, err := somebody.UpdateEmail(k.ctx, bob, password)
		k.must(err)
		if user.EmailVerification || user.ID == victim.ID {
			k.Errorf("%+v", user)
		}
		session, err := k.guest.CreateEmailPasswordSession(k.ctx, bob, password)
		k.must(err)
		if session.Provider != "email" || session.Factors[0] != "password" {
			k.Errorf("signed in by %s with %v", session.Provider, session.Factors)
		}
	})
}

// AC-118: anonymous users are capped by client, and go when nobody can be them
// any more.
func TestAC118AnonymousUsersAreCappedAndPurged(t *testing.T) {
	onEveryStore(t, latchkey.StrictPolicy(), func(k *kit) {
		k.Engine = k.limitedEngine(nil)
		made := 0
		for n := range 200 {
			switch err := ignore(k.Guest(at(fmt.Sprintf("2001:db8::%x", n+1))).CreateAnonymousSession(k.ctx)); {
			case err == nil:
				made++
			case !errors.Is(err, latchkey.ErrRateLimitExceeded):
				k.Fatal(err)
			}
		}
		if made != 10 {
			k.Errorf("one network made %d", made)
		}
		k.clock.Advance(180 * 24 * time.Hour)
		swept, err := k.Sweep(k.ctx)
		k.must(err)
		if swept.Users != 10 || k.rows()["users"] != 0 {
			k.Errorf("swept %+v", swept)
		}
	})
}
