package attack_test

import (
	"encoding/hex"
	"errors"
	"fmt"
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
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/internal/seal"
	"example.com/latchkey/store"
)

// AC-009: every byte of a password counts. The engine cuts off no part of it.
func TestAC009NoPartOfAPasswordIsCutOff(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		for n, p := range []string{strings.Repeat("a", 72), strings.Repeat("a", 100), strings.Repeat("\u00e9", 36), strings.Repeat("\U0001F600", 255), "with\x00NUL inside"} {
			email := fmt.Sprintf("u%d@example.org", n)
			k.Must(kit.Err(k.Visitor.CreateAccount(k.Ctx, latchkey.NewAccount{Email: email, Password: p})))
			for _, other := range []string{p + "x", p + " ", p[:len(p)-len(p)/8], strings.ToUpper(p) + "b"} {
				if err := kit.Err(k.Visitor.CreateEmailPasswordSession(k.Ctx, email, other)); err == nil {
					k.Errorf("password %d: another one signs in", n)
				}
			}
			k.Must(kit.Err(k.Visitor.CreateEmailPasswordSession(k.Ctx, email, p)))
		}
	})
}

// F-6: the bound in bytes holds for normal form C, so that a password that one device
// composes and another does not is one password.
func TestF6OnePasswordHoweverItIsComposed(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		for n, p := range []struct{ composed, typed string }{
			{strings.Repeat("\u01d6", 210), strings.Repeat("u\u0308\u0304", 210)},
			{strings.Repeat("\ud55c", 256), strings.Repeat("\u1112\u1161\u11ab", 256)},
		} {
			email := fmt.Sprintf("u%d@example.org", n)
			k.Must(kit.Err(k.Visitor.CreateAccount(k.Ctx, latchkey.NewAccount{Email: email, Password: p.composed})))
			for _, same := range []string{p.composed, p.typed} {
				k.Must(kit.Err(k.Visitor.CreateEmailPasswordSession(k.Ctx, email, same)))
			}
		}
	})
}

// AC-010: a huge password is refused before it is normalized or hashed.
func TestAC010HugePasswordsAreRefusedUnseen(t *testing.T) {
	for what, p := range map[string]string{"1 MiB": strings.Repeat("x", 1<<20), "combining marks": "a" + strings.Repeat("\u0301", 100_000), "1,025 bytes": strings.Repeat("x", 1025),
		"456 syllables in 4,104 bytes": strings.Repeat("\u1112\u1161\u11ab", 456)} {
		kit.OnEveryPath(t, kit.Documented, func(k *kit.Kit, set func(string) error) {
			hashes := k.Hasher.Hashes()
			if strings.Contains(k.Name(), "change") || strings.Contains(k.Name(), "server_sets") {
				hashes++ // for the user that the path creates first
			}
			if err := set(p); !errors.Is(err, latchkey.ErrArgumentInvalid) || k.Hasher.Hashes() > hashes {
				k.Errorf("%s: %v after %d hashes", what, err, k.Hasher.Hashes())
			}
		})
		kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
			k.Store.Reset()
			if err := kit.Err(k.Visitor.CreateEmailPasswordSession(k.Ctx, kit.Ada, p)); err != latchkey.ErrInvalidCredentials {
				k.Errorf("%s: %v", what, err)
			}
			if k.Hasher.Hashes() != 0 || k.Store.Reads.Load()+k.Store.Updates.Load() != 0 {
				k.Errorf("%s: %d hashes, %d reads", what, k.Hasher.Hashes(), k.Store.Reads.Load())
			}
		})
	}
}

// goroutines returns the stacks of the running goroutines. A pgx connection with a
// slow write has a reader until its next answer. The list leaves that reader out: a
// pool keeps its connections, and does not use them when the flood is over.
func goroutines() (stacks []string) {
	all := make([]byte, 1<<20)
	n := runtime.Stack(all, true)
	for ; n == len(all); n = runtime.Stack(all, true) {
		all = make([]byte, 2*len(all))
	}
	for stack := range strings.SplitSeq(string(all[:n]), "\n\n") {
		if !strings.Contains(stack, "bgreader.(*BGReader).bgRead") {
			stacks = append(stacks, stack)
		}
	}
	return stacks
}

// AC-011: a flood of sign-ins stays within the memory bound. Every caller gets an
// answer, and no goroutine is left over.
func TestAC011FloodOfSignInsStaysWithinItsMemory(t *testing.T) {
	const slots, cost = 2, 7168 << 10
	flood := func(t *testing.T, open kit.Opener) {
		s, err := open(t, t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		k := kit.New(t, s, kit.Documented)
		k.SignUp(kit.Ada)
		narrow, err := hasher.New(hasher.Config{
			Params: hasher.Params{Memory: 7168, Time: 5, Threads: 1}, MemoryBudget: 2 * slots * cost, Slots: slots, Queue: 16, Wait: 100 * time.Millisecond,
		})
		k.Must(err)
		k.Engine, err = latchkey.New(k.Store, latchkey.Config{Keys: k.Keys, LimiterPerProcess: true, Hasher: narrow, Now: k.Clock.Now})
		k.Must(err)
		runtime.GC()
		before := goroutines()
		var heapBefore, heapAfter runtime.MemStats
		runtime.ReadMemStats(&heapBefore)
		var busy, refused, others atomic.Int64
		var group sync.WaitGroup
		for n := range 10_000 {
			group.Go(func() {
				client := kit.At(fmt.Sprintf("192.0.2.%d", n%100)) // a client may fail 300 times
				err := kit.Err(k.Guest(client).CreateEmailPasswordSession(k.Ctx, fmt.Sprintf("u%d@example.org", n), "wrong horse"))
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
		runtime.ReadMemStats(&heapAfter)
		// HeapSys never falls, so it shows the peak. Besides the hashes, each caller
		// needs a few KB.
		allowed := int64((2*slots+2)*cost + 256<<20)
		if kit.RaceDetector {
			allowed *= 4
		}
		if grown := int64(heapAfter.HeapSys) - int64(heapBefore.HeapSys); grown > allowed {
			t.Errorf("the heap grew by %d MB", grown>>20)
		}
		if busy.Load()+refused.Load() != 10_000 || busy.Load() == 0 || refused.Load() == 0 {
			t.Errorf("%d busy, %d refused, %d others", busy.Load(), refused.Load(), others.Load())
		}
		rows, err := k.Store.Count(k.Ctx, store.Query{Index: record.Failures.Primary()})
		k.Must(err)
		if int64(rows) != refused.Load() {
			t.Errorf("%d counts for %d refusals", rows, refused.Load())
		}
		kit.Eventually(t, func() error {
			now := goroutines()
			if len(now) <= len(before)+4 { // a store has its own writer
				return nil
			}
			return fmt.Errorf("%d goroutines before, %d after:\n%s", len(before), len(now), strings.Join(now, "\n\n"))
		})
	}
	stores := kit.Backends
	if kit.RaceDetector { // the flood meets the hasher and the engine, whatever the store
		stores = stores[:1]
	}
	for _, b := range stores { // in sequence, because they share the heap
		t.Run(b.Name, func(t *testing.T) { flood(t, b.Open) })
	}
}

// AC-011: users with a session notice nothing while sign-ins wait for hashing.
func TestAC011ChecksDoNotWaitForHashing(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		session, account := k.SignIn(kit.Ada)
		release := hashertest.Hold(k, k.Hasher)
		waiting := make(chan error)
		go func() { waiting <- kit.Err(k.Visitor.CreateEmailPasswordSession(k.Ctx, kit.Ada, kit.Password)) }()
		for range 100 {
			k.Must(kit.Err(k.Visitor.Authenticate(k.Ctx, session.Secret.Reveal())))
			k.Must(kit.Err(account.User(k.Ctx)))
			k.Must(kit.Err(account.UpdateName(k.Ctx, "Ada")))
		}
		select {
		case err := <-waiting:
			k.Errorf("the sign-in did not wait: %v", err)
		default:
		}
		release()
		k.Must(<-waiting)
	})
}

// AC-012: a stored hash with parameters out of bounds is not computed.
func TestAC012HostileStoredHashIsNotComputed(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user := k.SignUp(kit.Ada)
		root, err := hex.DecodeString(strings.TrimPrefix(k.Keys.Active.Reveal(), "latchkey1-"))
		k.Must(err)
		ring := seal.NewRing(root)
		for _, hash := range []string{
			"$argon2id$v=19$m=4194304,t=2,p=1$c2FsdHNhbHRzYWx0$dGFndGFndGFndGFndGFndA", "$argon2id$v=19$m=64,t=2147483648,p=1$c2FsdHNhbHRzYWx0$dGFndGFndGFndGFndGFndA",
			"$argon2id$v=19$m=64,t=1,p=4294967295$c2FsdHNhbHRzYWx0$dGFndGFndGFndGFndGFndA", "$2a$31$abcdefghijklmnopqrstuuABCDEFGHIJKLMNOPQRSTUVWXYZ01234",
			"$pbkdf2-sha256$10000000000$c2FsdA$dGFn", "", "plain",
		} {
			k.ChangeUser(user.ID, func(u *record.User) {
				u.Password = ring.Seal(seal.PasswordHash, seal.Place{Table: "users", Column: "password", Record: u.ID, Owner: u.ID}, []byte(hash))
			})
			before := k.Hasher.Hashes()
			err := kit.Err(k.Visitor.CreateEmailPasswordSession(k.Ctx, kit.Ada, kit.Password))
			if err == nil || strings.Contains(err.Error(), "argon") || hash != "" && k.Hasher.Hashes() != before {
				k.Errorf("%q: %v after %d hashes", hash, err, k.Hasher.Hashes()-before)
			}
		}
	})
}

// AC-013 and AC-010: one function checks the password on every path.
func TestAC013PasswordRulesHoldOnEveryPath(t *testing.T) {
	policy := latchkey.Policy{
		Password: latchkey.PasswordPolicy{Min: 10, Uppercase: true, Lowercase: true, Number: true, Symbols: true, Dictionary: true},
	}
	for rule, p := range map[string]string{
		"fewer than 10 characters": "Short-1ab",
		"an upper-case letter":     "lower-case-1",
		"a lower-case letter":      "UPPER-CASE-1",
		"a digit":                  "No-Digit-Here",
		"a symbol":                 "NoSymbol1Here",
		"more than 256 characters": "Aa1-" + strings.Repeat("x", 1<<20),
		"not UTF-8":                "Aa1-\xff-and-more",
	} {
		t.Run(rule, func(t *testing.T) {
			kit.OnEveryPath(t, policy, func(k *kit.Kit, set func(string) error) {
				err := set(p)
				if !errors.Is(err, latchkey.ErrArgumentInvalid) || !strings.Contains(err.Error(), rule) || strings.Contains(err.Error(), p) {
					k.Errorf("%v", err)
				}
			})
		})
	}
	kit.OnEveryPath(t, policy, func(k *kit.Kit, set func(string) error) { k.Must(set("Good-Horse-1")) })
}

func TestAC013CommonPasswordsAreRefusedOnEveryPathInAnyCase(t *testing.T) {
	for _, p := range []string{"baseball1", "BaseBall1", "TRUSTNO1", "password123"} {
		kit.OnEveryPath(t, latchkey.Policy{Password: latchkey.PasswordPolicy{Dictionary: true}}, func(k *kit.Kit, set func(string) error) {
			if err := set(p); !errors.Is(err, latchkey.ErrArgumentInvalid) || !strings.Contains(err.Error(), "most common passwords") || strings.Contains(err.Error(), p) {
				k.Errorf("%s: %v", p, err)
			}
		})
	}
	kit.OnEveryPath(t, latchkey.Policy{Password: latchkey.PasswordPolicy{Dictionary: true}}, func(k *kit.Kit, set func(string) error) { k.Must(set("baseball1 is my game")) })
}

// AC-013: a password set by recovery must meet every rule. A password that does not
// leaves the link as it was.
func TestAC013RecoveryAppliesEveryRuleForPasswords(t *testing.T) {
	policy := latchkey.Policy{Password: latchkey.PasswordPolicy{History: 2, Dictionary: true, PersonalData: true, Number: true}}
	kit.OnEveryStore(t, policy, func(k *kit.Kit) {
		const first = "correct horse 1"
		k.Must(kit.Err(k.Visitor.CreateAccount(k.Ctx, latchkey.NewAccount{Email: "countess@example.org", Password: first})))
		token, err := k.Visitor.CreateRecovery(k.Ctx, latchkey.NewRecovery{Email: "countess@example.org", URL: kit.RecoverURL})
		k.Must(err)
		m := k.MailOf(token, "countess@example.org")
		for bad, want := range map[string]error{
			"short1": latchkey.ErrArgumentInvalid, "password1": latchkey.ErrArgumentInvalid, "no digit in it": latchkey.ErrArgumentInvalid,
			strings.Repeat("x1", 200): latchkey.ErrArgumentInvalid, "the countess 1": latchkey.ErrPasswordPersonalData, first: latchkey.ErrPasswordRecentlyUsed,
		} {
			if err := kit.Err(k.Visitor.ConfirmRecovery(k.Ctx, m.UserID, m.Secret, bad)); !errors.Is(err, want) || strings.Contains(err.Error(), bad) {
				k.Errorf("%q: %v", bad, err)
			}
		}
		k.Must(kit.Err(k.Visitor.ConfirmRecovery(k.Ctx, m.UserID, m.Secret, "a good horse 2")))
		_, err = k.Visitor.CreateEmailPasswordSession(k.Ctx, "countess@example.org", "a good horse 2")
		k.Must(err)
	})
}

// AC-014: a stolen session alone cannot change the password or the address.
func TestAC014StolenSessionNeedsThePassword(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		_, stolen := k.SignIn(kit.Ada)
		for what, err := range map[string]error{
			"password without the old one": kit.Err(stolen.UpdatePassword(k.Ctx, latchkey.PasswordUpdate{New: "my own horse", Old: ""})),
			"password with a wrong one":    kit.Err(stolen.UpdatePassword(k.Ctx, latchkey.PasswordUpdate{New: "my own horse", Old: "wrong horse"})),
			"address":                      kit.Err(stolen.UpdateEmail(k.Ctx, "mine@example.org", "wrong horse")),
			"number":                       kit.Err(stolen.UpdatePhone(k.Ctx, kit.Phone, "wrong horse")),
		} {
			if err != latchkey.ErrInvalidCredentials {
				k.Errorf("%s: %v", what, err)
			}
		}
		k.Same("log", k.Logs()[1], "user.create by guest")
		rows, err := record.Failures.List(k.Ctx, k.Store, store.Query{Index: record.Failures.Primary(), Limit: 10})
		k.Must(err)
		if !slices.ContainsFunc(rows, func(f *record.Failure) bool { return f.Count == 3 }) {
			k.Error("the failures were not counted")
		}
		k.SignIn(kit.Ada)
	})
}

func TestAC015UpdatePasswordEndsAllOtherSessions(t *testing.T) {
	for _, keep := range []bool{false, true} {
		t.Run(fmt.Sprint("keep ", keep), func(t *testing.T) {
			kit.OnEveryStore(t, latchkey.Policy{Sessions: latchkey.SessionPolicy{KeepOnPasswordChange: keep}}, func(k *kit.Kit) {
				user := k.SignUp(kit.Ada)
				other, _ := k.SignIn(kit.Ada)
				mine, account := k.SignIn(kit.Ada)
				k.Forget()
				k.Clock.Advance(time.Second)
				for what, old := range map[string]string{"wrong": "wrong horse", "missing": "", "too long for anybody's": strings.Repeat("x", 256)} {
					if _, err := account.UpdatePassword(k.Ctx, latchkey.PasswordUpdate{New: "another horse", Old: old}); err != latchkey.ErrInvalidCredentials {
						k.Errorf("%s old password: %v", what, err)
					}
				}
				k.Forget()
				got, err := account.UpdatePassword(k.Ctx, latchkey.PasswordUpdate{New: "another horse", Old: kit.Password})
				k.Must(err)
				if !got.PasswordUpdate.Equal(k.Clock.Now()) {
					k.Errorf("user: %+v", got)
				}
				wantErr, events, logs := latchkey.ErrUnauthorized, []string{
					"users.U.update.password by user", "users.U.sessions.S.delete by user",
				}, []string{"session.delete by user", "user.update by user"}
				if keep {
					wantErr, events, logs = nil, events[:1], logs[1:]
				}
				k.Same("events", k.Events(user.ID, "U", other.ID, "S"), events)
				k.Same("log", k.Logs(), logs)
				_, err = k.Visitor.Authenticate(k.Ctx, other.Secret.Reveal())
				if keep != (err == nil) || !keep && !errors.Is(err, wantErr) {
					k.Errorf("the other session: %v", err)
				}
				_, err = k.Visitor.Authenticate(k.Ctx, mine.Secret.Reveal())
				k.Must(err)
				if _, err := k.Visitor.CreateEmailPasswordSession(k.Ctx, kit.Ada, kit.Password); err != latchkey.ErrInvalidCredentials {
					k.Errorf("the old password: %v", err)
				}
				_, err = k.Visitor.CreateEmailPasswordSession(k.Ctx, kit.Ada, "another horse")
				k.Must(err)
			})
		})
	}
}

// AC-016: open tokens end with a change of the password, and with a change of the
// address that received them.
func TestAC016ChangesEndOpenTokens(t *testing.T) {
	for name, change := range map[string]func(k *kit.Kit, a *latchkey.Account) error{
		"password": func(k *kit.Kit, a *latchkey.Account) error {
			return kit.Err(a.UpdatePassword(k.Ctx, latchkey.PasswordUpdate{New: "another horse", Old: kit.Password}))
		},
		"password by server": func(k *kit.Kit, a *latchkey.Account) error {
			return kit.Err(k.Users().UpdatePassword(k.Ctx, a.UserID(), "another horse"))
		},
		"e-mail": func(k *kit.Kit, a *latchkey.Account) error {
			return kit.Err(a.UpdateEmail(k.Ctx, "new@example.org", kit.Password))
		},
		"e-mail by server": func(k *kit.Kit, a *latchkey.Account) error {
			return kit.Err(k.Users().UpdateEmail(k.Ctx, a.UserID(), ""))
		},
		"deletion": func(k *kit.Kit, a *latchkey.Account) error { return k.Users().Delete(k.Ctx, a.UserID()) },
		"the user is blocked": func(k *kit.Kit, a *latchkey.Account) error {
			k.Must(kit.Err(k.Users().UpdateEmailVerification(k.Ctx, a.UserID(), true)))
			return kit.Err(k.Users().UpdateStatus(k.Ctx, a.UserID(), false))
		},
	} {
		t.Run(name, func(t *testing.T) {
			kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
				early, err := k.Visitor.CreateMagicURLToken(k.Ctx, latchkey.NewMagicURLToken{Email: kit.Ada}) // before the address has a user
				k.Must(err)
				secrets := map[string]string{k.Mail(kit.Ada).Secret: early.UserID}
				k.SignUp(kit.Ada)
				_, account := k.SignIn(kit.Ada)
				code, secret := k.AskCode(kit.Ada)
				secrets[secret] = code.UserID
				k.Must(change(k, account))
				for secret, id := range secrets {
					if err := kit.Err(k.Visitor.CreateSession(k.Ctx, id, secret)); !errors.Is(err, latchkey.ErrInvalidToken) && err != latchkey.ErrUserBlocked {
						k.Errorf("a token from before: %v", err)
					}
				}
			})
		})
	}
}

// AC-017: an engine needs a key that was drawn at random.
func TestAC017NoKeyNoEngine(t *testing.T) {
	counting := make([]byte, 32)
	for i := range counting {
		counting[i] = byte(i)
	}
	for name, text := range map[string]string{
		"zero": strings.Repeat("00", 32), "repeated": strings.Repeat("ab", 32), "counting": fmt.Sprintf("%x", counting),
		"two bytes": strings.Repeat("a1b2", 16), "short": "00ff", "not hex": strings.Repeat("zz", 32),
	} {
		if _, err := latchkey.ParseKey("latchkey1-" + text); err == nil {
			t.Errorf("%s: parsed", name)
		}
	}
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		if _, err := latchkey.New(k.Store, latchkey.Config{LimiterPerProcess: true}); err == nil {
			k.Error("an engine without a key")
		}
		keys := latchkey.Keys{Active: latchkey.GenerateKey(), Old: make([]latchkey.Key, 1)}
		if _, err := latchkey.New(k.Store, latchkey.Config{LimiterPerProcess: true, Keys: keys}); err == nil {
			k.Error("an engine with a zero old key")
		}
	})
	key := latchkey.GenerateKey()
	same, err := latchkey.ParseKey(key.Reveal())
	if err != nil || same.Reveal() != key.Reveal() {
		t.Errorf("a key does not come back: %v", err)
	}
}
