package latchkey_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/authtest"
	"example.com/latchkey/hasher/hashertest"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/store"
	"example.com/latchkey/store/memory"
	"example.com/latchkey/store/storetest"
)

// A right password that comes while the identifier is slowed is refused unseen:
// also that of a blocked user.
func TestBurstAtABlockedUserTellsNothing(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		user := k.signUp(ada)
		k.must(ignore(k.Users().UpdateStatus(k.ctx, user.ID, false)))
		// All of a burst have read that there is no delay, when eleven are counted.
		for _, try := range []string{"wrong horse", password} {
			k.interfere(func() {
				for range 11 {
					_ = ignore(k.guest.CreateEmailPasswordSession(k.ctx, ada, "another horse"))
				}
			})
			if err := ignore(k.guest.CreateEmailPasswordSession(k.ctx, ada, try)); !errors.Is(err, latchkey.ErrRateLimitExceeded) {
				k.Errorf("%q: %v", try, err)
			}
			k.clock.Advance(25 * time.Hour)
		}
	})
}

// Among passwords that are tried at once, a right and a wrong one cost the same
// number of hashes, and the new one's faults are told only to who knows the
// present one.
func TestRightAndWrongOldPasswordCostTheSame(t *testing.T) {
	onEveryStore(t, latchkey.Policy{PasswordHistory: 2}, func(k *kit) {
		k.signUp(ada)
		_, account := k.signIn(ada)
		var costs []int64
		for _, old := range []string{"wrong horse", password} {
			before := k.hasher.Hashes()
			_ = ignore(account.UpdatePassword(k.ctx, "another horse", old))
			costs = append(costs, k.hasher.Hashes()-before)
		}
		if costs[0] != costs[1] {
			k.Errorf("%d hashes for a wrong password, %d for the right one", costs[0], costs[1])
		}
		if err := ignore(account.UpdatePassword(k.ctx, password, "wrong horse")); err != latchkey.ErrInvalidCredentials {
			k.Errorf("a guess at a former password: %v", err)
		}
	})
}

// Whoever holds a session and only changes the name keeps nobody from signing
// in or from changing the password.
func TestChangesOfTheNameKeepNobodyOut(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		user := k.signUp(ada)
		_, account := k.signIn(ada)
		names := 0
		for what, do := range map[string]func() error{
			"sign in": func() error { return ignore(k.guest.CreateEmailPasswordSession(k.ctx, ada, password)) },
			"own":     func() error { return ignore(account.UpdatePassword(k.ctx, password, password)) },
			"server":  func() error { return ignore(k.Users().UpdatePassword(k.ctx, user.ID, password)) },
		} {
			_, account = k.signIn(ada)
			k.interfere(func() {
				names++
				k.must(ignore(account.UpdateName(k.ctx, fmt.Sprint("name ", names))))
			})
			before := k.hasher.Hashes()
			if err := do(); err != nil || k.hasher.Hashes()-before > 2 {
				k.Errorf("%s: %v after %d hashes", what, err, k.hasher.Hashes()-before)
			}
		}
	})
}

// The rule about personal data holds for the data of the moment.
func TestPersonalDataThatChangesWhileThePasswordIsHashedIsSeen(t *testing.T) {
	onEveryStore(t, latchkey.Policy{PasswordPersonalData: true}, func(k *kit) {
		user := k.signUp(ada)
		_, account := k.signIn(ada)
		k.interfere(func() { k.must(ignore(k.Users().UpdateName(k.ctx, user.ID, "Countess"))) })
		if err := ignore(account.UpdatePassword(k.ctx, "the countess rides", password)); err != latchkey.ErrPasswordPersonalData {
			k.Errorf("%v", err)
		}
	})
}

// What costs time to look at is looked at before the transaction, where it would
// keep the others waiting.
func TestBadInputDoesNotReachTheWriter(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		user := k.signUp(ada)
		_, account := k.signIn(ada)
		k.store.Reset()
		for what, do := range map[string]func() error{
			"prefs":          func() error { return ignore(account.UpdatePrefs(k.ctx, []byte(`{"a":1,"a":2}`))) },
			"name":           func() error { return ignore(account.UpdateName(k.ctx, "\n")) },
			"server's prefs": func() error { return ignore(k.Users().UpdatePrefs(k.ctx, user.ID, []byte(`[]`))) },
			"labels":         func() error { return ignore(k.Users().UpdateLabels(k.ctx, user.ID, []string{"-"})) },
			"e-mail":         func() error { return ignore(k.Users().UpdateEmail(k.ctx, user.ID, "no address")) },
			"phone":          func() error { return ignore(k.Users().UpdatePhone(k.ctx, user.ID, "no number")) },
		} {
			if err := do(); !errors.Is(err, latchkey.ErrArgumentInvalid) {
				k.Errorf("%s: %v", what, err)
			}
		}
		if n := k.store.Updates.Load(); n != 0 {
			k.Errorf("%d transactions", n)
		}
	})
}

func TestSignInsRenewWhenTheUserWasLastSeen(t *testing.T) {
	onEveryStore(t, latchkey.Policy{SessionLength: 12 * time.Hour}, func(k *kit) {
		user := k.signUp(ada)
		for range 4 {
			k.clock.Advance(24 * time.Hour)
			_, account := k.signIn(ada)
			shown, err := account.User(k.ctx)
			k.must(err)
			if !shown.AccessedAt.Equal(k.clock.Now()) {
				k.Errorf("seen now, but last seen %v", shown.AccessedAt)
			}
		}
		seen := k.clock.Now()
		k.clock.Advance(48 * time.Hour)
		k.must(ignore(k.Users().CreateSession(k.ctx, user.ID))) // is not the user
		shown, err := k.Users().Get(k.ctx, user.ID)
		k.must(err)
		if !shown.AccessedAt.Equal(seen) {
			k.Errorf("the server was taken for the user")
		}
	})
}

func TestEventsOfIDsWithPeriodsMatchTheirPatternsOnly(t *testing.T) {
	k := authtest.New(t, latchkey.Config{})
	ctx := context.Background()
	for n, id := range []string{"a.b", "victim.x", "x.sessions.y", "victim.update"} {
		k.Events.Take()
		if _, err := k.Guest.CreateAccount(ctx, latchkey.NewAccount{UserID: id, Email: fmt.Sprintf("u%d@example.org", n), Password: password}); err != nil {
			t.Fatal(err)
		}
		e := k.Events.Take()[0]
		for _, p := range []string{"users.*.create", "users.*", "users." + id, "users." + id + ".create"} {
			if !e.Matches(p) {
				t.Errorf("%s does not match %s", e.Name, p)
			}
		}
		for _, p := range []string{"users.victim", "users.victim.update", "users.*.sessions.*.create", "users.*.sessions.*", "users.*.update", "users.*x"} {
			if p != "users."+id && e.Matches(p) { // which is also the whole of that user
				t.Errorf("%s matches %s", e.Name, p)
			}
		}
	}
}

func TestZeroHandlesAnswerWithAnError(t *testing.T) {
	ctx := context.Background()
	for name, err := range map[string]error{
		"nil users":          ignore((*latchkey.Users)(nil).Get(ctx, "x")),
		"nil users at":       ignore((*latchkey.Users)(nil).At(latchkey.Client{}).Get(ctx, "x")),
		"nil users create":   ignore((*latchkey.Users)(nil).Create(ctx, latchkey.NewUser{})),
		"zero users":         (&latchkey.Users{}).Delete(ctx, "x"),
		"nil guest":          ignore((*latchkey.Guest)(nil).Authenticate(ctx, "x")),
		"zero guest":         ignore((&latchkey.Guest{}).CreateAnonymousSession(ctx)),
		"zero guest sign in": ignore((&latchkey.Guest{}).CreateEmailPasswordSession(ctx, ada, password)),
		"zero engine":        ignore(new(latchkey.Engine).Sweep(ctx)),
		"nil account":        (*latchkey.Account)(nil).DeleteSessions(ctx),
		"zero account":       ignore(new(latchkey.Account).UpdatePassword(ctx, "", "")),
		"zero account name":  ignore(new(latchkey.Account).UpdateName(ctx, "")),
	} {
		if err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestClockIsReadOnceAnOperation(t *testing.T) {
	var reads atomic.Int64
	clock := authtest.NewClock()
	k := newKit(t, memory.Open(), documented)
	w := k.world(true)
	engine, err := latchkey.New(k.store, latchkey.Config{Keys: k.keys, Hasher: k.hasher, Now: func() time.Time { reads.Add(1); return clock.Now() }})
	k.must(err)
	k.Engine, k.guest = engine, engine.Guest(testClient)
	for _, op := range table {
		session, err := k.Users().CreateSession(k.ctx, w.user.ID)
		if err != nil {
			continue // blocked or deleted by an operation before
		}
		w.account, err = k.guest.Authenticate(k.ctx, session.Secret)
		k.must(err)
		reads.Store(0)
		_ = op.do(w)
		if n := reads.Load(); n > 1 && !op.many && op.name != "Users.Sessions" {
			t.Errorf("%s reads the clock %d times", op.name, n)
		}
	}
}

// What fails returns nothing beside the error.
func TestNothingIsReturnedBesideAnError(t *testing.T) {
	k := newKit(t, memory.Open(), latchkey.Policy{KeepSessionsOnPasswordChange: true})
	user := k.signUp(ada)
	_, account := k.signIn(ada)
	hook := k.store.Hook
	k.store.Hook = func(c storetest.Call) error {
		if c.Name == "Commit" && c.Done {
			return store.ErrUnknownOutcome
		}
		return hook(c)
	}
	for name, op := range map[string]func() (*latchkey.User, error){
		"create":  func() (*latchkey.User, error) { return k.Users().Create(k.ctx, latchkey.NewUser{}) },
		"account": func() (*latchkey.User, error) { return account.UpdateEmail(k.ctx, bob, password) },
		"server":  func() (*latchkey.User, error) { return k.Users().UpdatePassword(k.ctx, user.ID, password) },
		"name":    func() (*latchkey.User, error) { return k.Users().UpdateName(k.ctx, user.ID, "x") },
	} {
		if u, err := op(); !errors.Is(err, store.ErrUnknownOutcome) || u != nil {
			t.Errorf("%s: a user %v beside %v", name, u != nil, err)
		}
	}
	k.store.Hook = hook
}

// The next user of an id meets nothing of the one before.
func TestNextUserOfAnIDIsNotSlowed(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		n := latchkey.NewUser{UserID: "chosen", Phone: phone, Password: password}
		enter := func() *latchkey.Account {
			k.must(ignore(k.Users().Create(k.ctx, n)))
			session, err := k.Users().CreateSession(k.ctx, "chosen")
			k.must(err)
			account, err := k.guest.Authenticate(k.ctx, session.Secret)
			k.must(err)
			return account
		}
		account := enter()
		for range 11 {
			_ = ignore(account.UpdatePassword(k.ctx, "another horse", "wrong horse"))
		}
		k.must(k.Users().Delete(k.ctx, "chosen"))
		if n := k.rows()["failures"]; n != 0 {
			k.Errorf("%d counts of a user who is gone", n)
		}
		k.must(ignore(enter().UpdatePassword(k.ctx, "another horse", password)))
	})
}

// A handle of a user who is gone reads nothing of the next user of the id, even
// if that happens while it reads.
func TestHandleReadsNothingOfTheNextUserOfTheID(t *testing.T) {
	for name, read := range map[string]func(ctx context.Context, a *latchkey.Account) error{
		"User":     func(ctx context.Context, a *latchkey.Account) error { return ignore(a.User(ctx)) },
		"Prefs":    func(ctx context.Context, a *latchkey.Account) error { return ignore(a.Prefs(ctx)) },
		"Logs":     func(ctx context.Context, a *latchkey.Account) error { return ignore(a.Logs(ctx)) },
		"Roles":    func(ctx context.Context, a *latchkey.Account) error { return ignore(a.Roles(ctx)) },
		"Sessions": func(ctx context.Context, a *latchkey.Account) error { return ignore(a.Sessions(ctx)) },
	} {
		t.Run(name, func(t *testing.T) {
			onEveryStore(t, documented, func(k *kit) {
				n := latchkey.NewUser{UserID: "chosen", Email: ada, Password: password}
				k.must(ignore(k.Users().Create(k.ctx, n)))
				_, account := k.signIn(ada)
				for at := 1; at <= 4; at++ {
					calls, hook := 0, k.store.Hook
					k.store.Hook = func(c storetest.Call) error {
						if !c.Inside && c.Name != "Commit" {
							if calls++; calls == at {
								k.must(k.Users().Delete(k.ctx, "chosen"))
								k.must(ignore(k.Users().Create(k.ctx, n)))
							}
						}
						return hook(c)
					}
					err := read(k.ctx, account)
					k.store.Hook = hook
					if calls >= at && err != latchkey.ErrUnauthorized {
						k.Errorf("call %d: %v", at, err)
					}
				}
			})
		})
	}
}

// The receiver of events is told of a commit with a context that still works.
func TestReceiverOfEventsGetsALiveContext(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	told, dead := 0, 0
	hooked := &storetest.Hooked{Store: memory.Open(), Hook: func(c storetest.Call) error {
		if c.Name == "Commit" && c.Done {
			cancel() // the client hangs up
		}
		return nil
	}}
	engine, err := latchkey.New(hooked, latchkey.Config{
		Keys: latchkey.Keys{Active: latchkey.GenerateKey()}, Hasher: hashertest.New(t),
		OnEvent: func(ctx context.Context, _ latchkey.Event) {
			told++
			if ctx.Err() != nil {
				dead++
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	_, err = engine.Users().Create(ctx, latchkey.NewUser{})
	if told != 1 || dead != 0 || err != nil {
		t.Errorf("%d events, %d with a dead context, %v", told, dead, err)
	}
}

func TestExtendingNeverShortens(t *testing.T) {
	k := newKit(t, memory.Open(), documented)
	k.signUp(ada)
	session, _ := k.signIn(ada)
	engine, err := latchkey.New(k.store, latchkey.Config{Keys: k.keys, Hasher: k.hasher, Now: k.clock.Now, Policy: latchkey.Policy{SessionLength: time.Hour}})
	k.must(err)
	account, err := engine.Guest(testClient).Authenticate(k.ctx, session.Secret)
	k.must(err)
	extended, err := account.UpdateSession(k.ctx, latchkey.Current)
	k.must(err)
	if !extended.Expire.Equal(session.Expire) {
		t.Errorf("extended from %v to %v", session.Expire, extended.Expire)
	}
}

func TestLogOfAUserDoesNotShowWhereTheServersPeopleAre(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		user := k.signUp(ada)
		_, account := k.signIn(ada)
		k.clock.Advance(time.Second)
		people := latchkey.Client{IP: netip.MustParseAddr("10.1.2.3"), UserAgent: testClient.UserAgent}
		k.must(ignore(k.Users().At(people).UpdateName(k.ctx, user.ID, "x")))
		theirs, err := account.Logs(k.ctx, latchkey.Limit(1))
		k.must(err)
		if l := theirs.Logs[0]; l.IP != "" || l.Device != (latchkey.Device{}) || l.Mode != "server" {
			k.Errorf("the user sees %+v", l)
		}
		ours, err := k.Users().Logs(k.ctx, user.ID, latchkey.Limit(1))
		k.must(err)
		if l := ours.Logs[0]; l.IP != "10.1.2.3" || l.Device.ClientCode != "CH" {
			k.Errorf("the server sees %+v", l)
		}
	})
}

func TestOldPasswordIsIgnoredIfThereIsNone(t *testing.T) {
	k := newKit(t, memory.Open(), documented)
	_, account := k.anonymous()
	k.must(ignore(account.UpdatePassword(k.ctx, password, strings.Repeat("x", 2000))))
}

func TestPrintedAccountShowsNoDigest(t *testing.T) {
	k := newKit(t, memory.Open(), documented)
	k.signUp(ada)
	_, account := k.signIn(ada)
	rows, err := record.Sessions.List(k.ctx, k.store.Store, store.Query{Index: record.Sessions.Primary(), Limit: 1})
	k.must(err)
	for _, text := range []string{fmt.Sprintf("%+v", account), fmt.Sprintf("%#v", *account), fmt.Sprint(*account)} {
		if strings.Contains(text, rows[0].Digest) || text != "latchkey.Account("+account.UserID()+")" {
			t.Errorf("printed as %q", text)
		}
	}
}

func TestSessionThatEndsWhileThePasswordIsHashedChangesNothing(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		k.signUp(ada)
		for name, op := range map[string]func(a *latchkey.Account) error{
			"password": func(a *latchkey.Account) error { return ignore(a.UpdatePassword(k.ctx, "another horse", password)) },
			"email":    func(a *latchkey.Account) error { return ignore(a.UpdateEmail(k.ctx, bob, password)) },
			"phone":    func(a *latchkey.Account) error { return ignore(a.UpdatePhone(k.ctx, phone, password)) },
		} {
			session, account := k.signIn(ada)
			k.interfere(func() { k.must(k.Users().DeleteSession(k.ctx, session.UserID, session.ID)) })
			if err := op(account); err != latchkey.ErrUnauthorized {
				k.Errorf("%s: %v", name, err)
			}
		}
		k.signIn(ada)
	})
}

func TestPasswordThatChangesWhileItIsProvenProvesNothing(t *testing.T) {
	onEveryStore(t, latchkey.Policy{KeepSessionsOnPasswordChange: true}, func(k *kit) {
		user := k.signUp(ada)
		_, account := k.signIn(ada)
		k.interfere(func() { k.must(ignore(k.Users().UpdatePassword(k.ctx, user.ID, "another horse"))) })
		if err := ignore(account.UpdateEmail(k.ctx, bob, password)); err != latchkey.ErrInvalidCredentials {
			k.Errorf("the old password: %v", err)
		}
	})
}

// Two changes of a password by the server at once do not lose a history.
func TestServersPasswordIsOfThePasswordItRead(t *testing.T) {
	onEveryStore(t, latchkey.Policy{PasswordHistory: 5}, func(k *kit) {
		user := k.signUp(ada)
		k.interfere(func() { k.must(ignore(k.Users().UpdatePassword(k.ctx, user.ID, "another horse"))) })
		k.must(ignore(k.Users().UpdatePassword(k.ctx, user.ID, "third horse")))
		for _, p := range []string{password, "another horse", "third horse"} {
			if err := ignore(k.Users().UpdatePassword(k.ctx, user.ID, p)); err != latchkey.ErrPasswordRecentlyUsed {
				k.Errorf("%s again: %v", p, err)
			}
		}
	})
}

func TestWrongPasswordOfAnEndedSessionIsNotEvenCompared(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		k.signUp(ada)
		_, account := k.signIn(ada)
		k.must(account.DeleteSessions(k.ctx))
		before := k.hasher.Hashes()
		k.refuses("ended session", latchkey.ErrUnauthorized, func() error { return ignore(account.UpdateEmail(k.ctx, bob, "wrong horse")) })
		if k.hasher.Hashes() != before {
			k.Error("a hash was spent")
		}
	})
}

// While an identifier is slowed, no password is hashed for it.
func TestSlowedIsRefusedBeforeHashing(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		k.signUp(ada)
		_, account := k.signIn(ada)
		for range 11 {
			_ = ignore(k.guest.CreateEmailPasswordSession(k.ctx, ada, "wrong horse"))
		}
		before := k.hasher.Hashes()
		for _, err := range []error{
			ignore(k.guest.CreateEmailPasswordSession(k.ctx, ada, password)), ignore(account.UpdateEmail(k.ctx, bob, password)),
		} {
			if !errors.Is(err, latchkey.ErrRateLimitExceeded) {
				k.Errorf("%v", err)
			}
		}
		if n := k.hasher.Hashes() - before; n != 0 {
			k.Errorf("%d hashes", n)
		}
	})
}

func TestChangedAddressesAreNotVerified(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		user := k.signUp(ada)
		k.must(ignore(k.Users().UpdatePhone(k.ctx, user.ID, phone)))
		k.must(ignore(k.Users().UpdatePhoneVerification(k.ctx, user.ID, true)))
		k.must(ignore(k.Users().UpdateEmailVerification(k.ctx, user.ID, true)))
		got, err := k.Users().UpdatePhone(k.ctx, user.ID, "+14155550101")
		k.must(err)
		if got.PhoneVerification || !got.EmailVerification {
			k.Errorf("after a change of the number: %+v", got)
		}
		got, err = k.Users().UpdateEmail(k.ctx, user.ID, bob)
		k.must(err)
		if got.EmailVerification {
			k.Error("after a change of the address it is still verified")
		}
	})
}

// The epoch, which server-made tokens carry, rises with what ends them.
func TestEpochRisesWithPasswordAndBlock(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		user := k.signUp(ada)
		for n, do := range []func() error{
			func() error { return ignore(k.Users().UpdatePassword(k.ctx, user.ID, password)) },
			func() error { return ignore(k.Users().UpdateStatus(k.ctx, user.ID, false)) },
			func() error { return ignore(k.Users().UpdateStatus(k.ctx, user.ID, true)) }, // does not raise it
		} {
			k.must(do())
			row, err := record.Users.Get(k.ctx, k.store.Store, record.Users.Primary(), store.Text(user.ID))
			k.must(err)
			if want := int64(min(n+1, 2)); row.Epoch != want {
				k.Errorf("step %d: epoch %d, want %d", n+1, row.Epoch, want)
			}
		}
	})
}

func TestWordsFollowLabelsAndPhone(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		user := k.signUp(ada)
		k.must(ignore(k.Users().UpdateLabels(k.ctx, user.ID, []string{"vip", "Beta"})))
		k.must(ignore(k.Users().UpdatePhone(k.ctx, user.ID, phone)))
		rows, err := record.Words.List(k.ctx, k.store, store.Query{Index: record.Words.Primary(), Limit: 100})
		k.must(err)
		var words []string
		for _, w := range rows {
			words = append(words, w.Word)
		}
		for _, want := range []string{"ada", "example", "vip", "beta", "14155550100"} {
			if !slices.Contains(words, want) {
				k.Errorf("%q is not among %q", want, words)
			}
		}
	})
}

// Sessions that had expired go without an event and without a line of the log.
func TestExpiredSessionsGoWithoutAWord(t *testing.T) {
	onEveryStore(t, latchkey.Policy{SessionLength: time.Hour}, func(k *kit) {
		user := k.signUp(ada)
		k.signIn(ada)
		k.clock.Advance(time.Hour)
		live, _ := k.signIn(ada)
		k.clock.Advance(time.Minute)
		k.forget()
		k.must(k.Users().DeleteSessions(k.ctx, user.ID))
		k.same("events", k.events(user.ID, "U", live.ID, "S"), []string{"users.U.sessions.S.delete by server"})
		k.same("log", k.logs(), []string{"session.delete by server"})
		if n := k.rows()["sessions"]; n != 0 {
			k.Errorf("%d rows are left", n)
		}
	})
}

// Refusals of different kinds and by different people are different lines.
func TestRefusalsOfOneMinuteAreToldApart(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		user := k.signUp(ada)
		k.signUp(bob)
		_, account := k.signIn(ada)
		k.forget()
		_ = ignore(k.guest.CreateEmailPasswordSession(k.ctx, ada, "wrong horse"))
		_ = ignore(k.guest.CreateEmailPasswordSession(k.ctx, bob, "wrong horse"))
		_ = ignore(account.UpdateEmail(k.ctx, "x@example.org", "wrong horse"))
		k.must(ignore(k.Users().UpdateStatus(k.ctx, user.ID, false)))
		_ = ignore(k.guest.CreateEmailPasswordSession(k.ctx, ada, password))
		k.same("log", k.logs(), []string{
			"session.refuse by guest for user_blocked, 1", "session.refuse by guest for user_invalid_credentials, 1",
			"session.refuse by guest for user_invalid_credentials, 1", "user.refuse by user for user_invalid_credentials, 1",
			"user.update by server",
		})
	})
}

// A last-seen time is written by one of those who find it old.
func TestLastSeenIsWrittenOnceUnderARace(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		k.signUp(ada)
		session, _ := k.signIn(ada)
		k.clock.Advance(25 * time.Hour)
		var group sync.WaitGroup
		for range 16 {
			group.Go(func() {
				if err := ignore(k.guest.Authenticate(k.ctx, session.Secret)); err != nil {
					k.Errorf("%v", err)
				}
			})
		}
		group.Wait()
		k.store.Reset()
		k.must(ignore(k.guest.Authenticate(k.ctx, session.Secret)))
		if k.store.Updates.Load() != 0 {
			k.Error("it is still old")
		}
	})
}
