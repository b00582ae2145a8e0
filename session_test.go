package latchkey_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"example.com/latchkey"
	"example.com/latchkey/hasher"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/store"
	"example.com/latchkey/store/storetest"
)

func TestSignInMakesASessionWithItsDevice(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		user := k.signUp(ada)
		session, account := k.signIn("ADA@example.org")
		now := k.clock.Now()
		want := &latchkey.Session{
			ID: session.ID, UserID: user.ID, CreatedAt: now, UpdatedAt: now, Expire: now.Add(365 * 24 * time.Hour),
			Provider: "email", ProviderUID: ada, Factors: []string{"password"}, IP: "192.0.2.7", Current: true,
			Device: latchkey.Device{
				OSCode: "WIN", OSName: "Windows", OSVersion: "10", ClientType: "browser", ClientCode: "CH",
				ClientName: "Chrome", ClientVersion: "70.0", ClientEngine: "Blink", DeviceName: "desktop",
			},
			Secret: session.Secret,
		}
		if diff := cmp.Diff(want, session); diff != "" {
			k.Errorf("session (-want +got):\n%s", diff)
		}
		if len(session.Secret.Reveal()) != 64 {
			k.Errorf("a secret of %d characters", len(session.Secret.Reveal()))
		}
		want.Secret = ""
		got, err := account.GetSession(k.ctx, latchkey.Current)
		k.must(err)
		if diff := cmp.Diff(want, got); diff != "" {
			k.Errorf("current session (-want +got):\n%s", diff)
		}
		if account.UserID() != user.ID || account.SessionID() != session.ID {
			k.Errorf("account of %s and %s", account.UserID(), account.SessionID())
		}
	})
}

func TestAC002UnknownAddressWrongPasswordAndNoPasswordAreOneAnswer(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		k.signUp(ada)
		k.must(ignore(k.Users().Create(k.ctx, latchkey.NewUser{Email: "none@example.org"})))
		blocked, err := k.Users().Create(k.ctx, latchkey.NewUser{Email: "blocked@example.org", Password: password})
		k.must(err)
		k.must(ignore(k.Users().UpdateStatus(k.ctx, blocked.ID, false)))
		for name, try := range map[string][2]string{
			"unknown address":                 {"nobody@example.org", password},
			"wrong password":                  {ada, "wrong horse"},
			"no password":                     {"none@example.org", password},
			"wrong password of a blocked one": {"blocked@example.org", "wrong horse"},
		} {
			_, err := k.guest.CreateEmailPasswordSession(k.ctx, try[0], try[1])
			if err != latchkey.ErrInvalidCredentials {
				k.Errorf("%s: %v", name, err)
			}
		}
		for name, try := range map[string][2]string{
			"no address": {"", password}, "no password": {ada, ""}, "long password": {ada, strings.Repeat("x", 2000)},
		} {
			if _, err := k.guest.CreateEmailPasswordSession(k.ctx, try[0], try[1]); !errors.Is(err, latchkey.ErrArgumentInvalid) {
				k.Errorf("%s: %v", name, err)
			}
		}
	})
}

func TestEleventhWrongPasswordSlowsTheAddress(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		k.signUp(ada)
		wait := func(email string, delay time.Duration) {
			k.Helper()
			var throttled *latchkey.ThrottledError
			_, err := k.guest.CreateEmailPasswordSession(k.ctx, email, password)
			if !errors.As(err, &throttled) || throttled.RetryAfter != delay || !errors.Is(err, latchkey.ErrRateLimitExceeded) {
				k.Fatalf("%s: %v, want a wait of %v", email, err, delay)
			}
		}
		fail := func(email string) {
			k.Helper()
			if _, err := k.guest.CreateEmailPasswordSession(k.ctx, email, "wrong horse"); err != latchkey.ErrInvalidCredentials {
				k.Fatalf("%s: %v", email, err)
			}
		}
		for _, email := range []string{ada, "nobody@example.org"} {
			for range 11 {
				fail(email)
			}
			for _, delay := range []time.Duration{30, 60, 120, 240, 480, 960, 1920, 3600, 3600} {
				wait(email, delay*time.Second)
				k.clock.Advance(delay * time.Second)
				fail(email)
			}
		}
		k.clock.Advance(time.Hour)
		_, account := k.signIn(ada) // success forgets
		for range 11 {
			fail(ada)
		}
		if _, err := account.User(k.ctx); err != nil {
			k.Errorf("a session suffers from a stranger's failures: %v", err)
		}
		k.clock.Advance(24 * time.Hour) // and so does a day
		for range 11 {
			fail(ada)
		}
	})
}

func TestAuthenticateIsOneRead(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		k.signUp(ada)
		session, _ := k.signIn(ada)
		k.store.Reset()
		_, err := k.guest.Authenticate(k.ctx, session.Secret)
		k.must(err)
		if r, u := k.store.Reads.Load(), k.store.Updates.Load(); r != 1 || u != 0 {
			k.Errorf("%d reads and %d updates", r, u)
		}
	})
}

func TestAuthenticateRefusesWhatIsNoSecret(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		k.signUp(ada)
		session, _ := k.signIn(ada)
		s := session.Secret.Reveal()
		other := "0"
		if s[63] == '0' {
			other = "1"
		}
		for name, text := range map[string]string{
			"empty": "", "cut": s[:63], "extended": s + "0", "upper case": strings.ToUpper(s[:63]) + "A", "padded": s[:63] + "=",
			"space": s[:63] + " ", "last character": s[:63] + other, "id": session.ID, "long": strings.Repeat("a", 1<<20),
		} {
			if _, err := k.guest.Authenticate(k.ctx, latchkey.Secret(text)); !errors.Is(err, latchkey.ErrUnauthorized) {
				k.Errorf("%s: %v", name, err)
			}
		}
	})
}

func TestSessionExpires(t *testing.T) {
	onEveryStore(t, latchkey.Policy{SessionLength: time.Hour}, func(k *kit) {
		k.signUp(ada)
		session, account := k.signIn(ada)
		k.clock.Advance(time.Hour - time.Microsecond)
		_, err := account.User(k.ctx)
		k.must(err)
		k.clock.Advance(time.Microsecond)
		if _, err := account.User(k.ctx); !errors.Is(err, latchkey.ErrUnauthorized) {
			k.Errorf("kept handle: %v", err)
		}
		if _, err := k.guest.Authenticate(k.ctx, session.Secret); !errors.Is(err, latchkey.ErrUnauthorized) {
			k.Errorf("secret: %v", err)
		}
		_, account = k.signIn(ada)
		list, err := account.Sessions(k.ctx)
		k.must(err)
		if list.Total != 1 || k.rows()["sessions"] != 1 {
			k.Errorf("%d sessions shown, %d rows kept", list.Total, k.rows()["sessions"])
		}
		if err := account.DeleteSession(k.ctx, session.ID); !errors.Is(err, latchkey.ErrSessionNotFound) {
			k.Errorf("deleting the expired one: %v", err)
		}
	})
}

func TestBlockedUserIsToldAfterTheRightPasswordOnly(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		user := k.signUp(ada)
		k.changeUser(user.ID, func(u *record.User) { u.Blocked = true })
		before := k.rows()["sessions"]
		if _, err := k.guest.CreateEmailPasswordSession(k.ctx, ada, "wrong horse"); err != latchkey.ErrInvalidCredentials {
			k.Errorf("wrong password: %v", err)
		}
		if _, err := k.guest.CreateEmailPasswordSession(k.ctx, ada, password); err != latchkey.ErrUserBlocked {
			k.Errorf("right password: %v", err)
		}
		if k.rows()["sessions"] != before {
			k.Error("a blocked user got a session")
		}
	})
}

func TestSessionLimitEndsTheOldest(t *testing.T) {
	onEveryStore(t, latchkey.Policy{SessionLimit: 3}, func(k *kit) {
		k.signUp(ada)
		var made []*latchkey.Session
		var last *latchkey.Account
		for range 5 {
			k.clock.Advance(time.Second)
			session, account := k.signIn(ada)
			made, last = append(made, session), account
		}
		list, err := last.Sessions(k.ctx)
		k.must(err)
		var ids []string
		for _, s := range list.Sessions {
			ids = append(ids, s.ID)
		}
		if diff := cmp.Diff([]string{made[2].ID, made[3].ID, made[4].ID}, ids); diff != "" {
			k.Errorf("sessions (-want +got):\n%s", diff)
		}
		for i, s := range made {
			_, err := k.guest.Authenticate(k.ctx, s.Secret)
			if ended := i < 2; ended != errors.Is(err, latchkey.ErrUnauthorized) {
				k.Errorf("session %d: %v", i, err)
			}
		}
		if k.rows()["logs"] != 1+5+2 {
			k.Errorf("%d log rows for a user, five sessions and two that ended", k.rows()["logs"])
		}
	})
}

func TestAC090SessionLimitIsExactUnderConcurrency(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		k.signUp(ada)
		var group sync.WaitGroup
		for range 40 {
			group.Go(func() {
				if _, err := k.guest.CreateEmailPasswordSession(k.ctx, ada, password); err != nil {
					k.Errorf("sign-in: %v", err)
				}
				if n := k.rows()["sessions"]; n > 10 {
					k.Errorf("%d sessions", n)
				}
			})
		}
		group.Wait()
		if n := k.rows()["sessions"]; n != 10 {
			k.Errorf("%d sessions after 40 sign-ins", n)
		}
	})
}

func TestAnonymousSessionMakesItsOwnUser(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		first, err := k.guest.CreateAnonymousSession(k.ctx)
		k.must(err)
		second, err := k.guest.CreateAnonymousSession(k.ctx)
		k.must(err)
		if first.UserID == second.UserID || first.Provider != "anonymous" || first.Factors[0] != "anonymous" {
			k.Errorf("sessions %+v and %+v", first, second)
		}
		account, err := k.guest.Authenticate(k.ctx, first.Secret)
		k.must(err)
		user, err := account.User(k.ctx)
		k.must(err)
		if user.Email != "" || user.Name != "" || !user.PasswordUpdate.IsZero() || len(user.Targets) != 0 {
			k.Errorf("anonymous user %+v", user)
		}
	})
}

func TestEndedSessionIsRefusedAtOnce(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		k.signUp(ada)
		session, account := k.signIn(ada)
		other, _ := k.signIn(ada)
		k.must(account.DeleteSession(k.ctx, other.ID))
		if _, err := k.guest.Authenticate(k.ctx, other.Secret); !errors.Is(err, latchkey.ErrUnauthorized) {
			k.Errorf("the other: %v", err)
		}
		if err := account.DeleteSession(k.ctx, other.ID); !errors.Is(err, latchkey.ErrSessionNotFound) {
			k.Errorf("twice: %v", err)
		}
		k.must(account.DeleteSession(k.ctx, latchkey.Current))
		if _, err := k.guest.Authenticate(k.ctx, session.Secret); !errors.Is(err, latchkey.ErrUnauthorized) {
			k.Errorf("its own: %v", err)
		}
		for name, err := range map[string]error{
			"delete": account.DeleteSession(k.ctx, latchkey.Current), "delete all": account.DeleteSessions(k.ctx),
		} {
			if !errors.Is(err, latchkey.ErrUnauthorized) {
				k.Errorf("%s by a kept handle: %v", name, err)
			}
		}
	})
}

func TestDeleteSessionsEndsAllOfOneUser(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		k.signUp(ada)
		k.signUp("bob@example.org")
		_, account := k.signIn(ada)
		k.signIn(ada)
		_, bob := k.signIn("bob@example.org")
		k.must(account.DeleteSessions(k.ctx))
		if n := k.rows()["sessions"]; n != 1 {
			k.Errorf("%d sessions are left, want Bob's", n)
		}
		_, err := bob.User(k.ctx)
		k.must(err)
	})
}

func TestClosedEngineRefuses(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		k.signUp(ada)
		session, account := k.signIn(ada)
		k.must(k.Close())
		_, authenticate := k.guest.Authenticate(k.ctx, session.Secret)
		_, create := k.guest.CreateAccount(k.ctx, latchkey.NewAccount{Email: "b@example.org", Password: password})
		_, signIn := k.guest.CreateEmailPasswordSession(k.ctx, ada, password)
		_, anonymous := k.guest.CreateAnonymousSession(k.ctx)
		_, user := account.User(k.ctx)
		for name, err := range map[string]error{
			"Authenticate": authenticate, "CreateAccount": create, "CreateEmailPasswordSession": signIn,
			"CreateAnonymousSession": anonymous, "User": user, "DeleteSessions": account.DeleteSessions(k.ctx),
		} {
			if !errors.Is(err, latchkey.ErrClosed) {
				k.Errorf("%s: %v", name, err)
			}
		}
	})
}

func TestFaultNamesTheOperationAndHidesTheCause(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		k.must(k.store.Store.Close())
		_, err := k.guest.CreateAnonymousSession(k.ctx)
		if err == nil || err.Error() != "latchkey: create anonymous session: internal error" || !errors.Is(err, store.ErrClosed) {
			k.Errorf("%v", err)
		}
		ctx, cancel := context.WithCancel(k.ctx)
		cancel()
		if _, err := k.guest.CreateAnonymousSession(ctx); !errors.Is(err, context.Canceled) {
			k.Errorf("cancelled: %v", err)
		}
	})
}

// interfere runs change once, between what an operation reads and the
// transaction in which it acts on that.
func (k *kit) interfere(change func()) {
	done := false
	hook := k.store.Hook
	k.store.Hook = func(c storetest.Call) error {
		if c.Name == "Commit" && !c.Done && !done {
			done = true
			change()
		}
		return hook(c)
	}
}

// changeUser changes a user's row behind the engine's back.
func (k *kit) changeUser(id string, change func(*record.User)) {
	k.Helper()
	k.tampered = true
	k.must(k.store.Store.Update(k.ctx, func(ctx context.Context, tx store.Tx) error {
		row, err := record.Users.Get(ctx, tx, record.Users.Primary(), store.Text(id))
		if err != nil {
			return err
		}
		change(row)
		return record.Users.Replace(ctx, tx, row)
	}))
}

func TestSignInSeesWhatChangedWhileThePasswordWasChecked(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		user := k.signUp(ada)
		try := func() error {
			_, err := k.guest.CreateEmailPasswordSession(k.ctx, ada, password)
			return err
		}
		k.interfere(func() { k.changeUser(user.ID, func(u *record.User) { u.Blocked = true }) })
		if err := try(); err != latchkey.ErrUserBlocked {
			k.Errorf("blocked meanwhile: %v", err)
		}
		k.changeUser(user.ID, func(u *record.User) { u.Blocked = false })
		var old []byte
		k.interfere(func() { k.changeUser(user.ID, func(u *record.User) { old, u.Password = u.Password, nil }) })
		if err := try(); err != latchkey.ErrInvalidCredentials {
			k.Errorf("password gone meanwhile: %v", err)
		}
		k.changeUser(user.ID, func(u *record.User) { u.Password = old })
		k.interfere(func() { k.changeUser(user.ID, func(u *record.User) { u.Email = "" }) })
		if err := try(); err != latchkey.ErrInvalidCredentials {
			k.Errorf("address gone meanwhile: %v", err)
		}
		k.changeUser(user.ID, func(u *record.User) { u.Email = ada })
		k.interfere(func() {
			for range 11 {
				_, _ = k.guest.CreateEmailPasswordSession(k.ctx, ada, "wrong horse")
			}
		})
		if err := try(); !errors.Is(err, latchkey.ErrRateLimitExceeded) {
			k.Errorf("slowed meanwhile: %v", err)
		}
		if n := k.rows()["sessions"]; n != 0 {
			k.Errorf("%d sessions", n)
		}
	})
}

func TestBurstAtASlowedAddressTellsNothing(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		k.signUp(ada)
		for range 11 {
			_, _ = k.guest.CreateEmailPasswordSession(k.ctx, ada, "wrong horse")
		}
		k.clock.Advance(30 * time.Second)
		// Both have read that there is no delay, when a third is counted.
		for _, try := range []string{"wrong horse", password} {
			k.interfere(func() {
				k.must(k.store.Store.Update(k.ctx, func(ctx context.Context, tx store.Tx) error {
					rows, err := record.Failures.List(ctx, tx, store.Query{Index: record.Failures.Primary(), Limit: 1})
					if err != nil {
						return err
					}
					rows[0].Count, rows[0].Last = 12, k.clock.Now()
					return record.Failures.Replace(ctx, tx, rows[0])
				}))
			})
			if _, err := k.guest.CreateEmailPasswordSession(k.ctx, ada, try); !errors.Is(err, latchkey.ErrRateLimitExceeded) {
				k.Errorf("%q: %v", try, err)
			}
			k.clock.Advance(time.Hour)
		}
	})
}

func TestBusyHasherIsNoFailedAttempt(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		k.signUp(ada)
		ctx, cancel := context.WithCancel(k.ctx)
		cancel()
		for range 20 { // the wait for a slot ends with the context
			if _, err := k.guest.CreateEmailPasswordSession(ctx, ada, "wrong horse"); !errors.Is(err, context.Canceled) {
				k.Errorf("cancelled: %v", err)
			}
		}
		if n := k.rows()["failures"]; n != 0 {
			k.Errorf("%d failures were counted", n)
		}
		k.signIn(ada)
	})
}

func TestFullGateIsBusyAndNoFailedAttempt(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		k.signUp(ada)
		params := hasher.Params{Memory: 7168, Time: 5, Threads: 1}
		narrow, err := hasher.New(hasher.Config{Params: params, MemoryBudget: 2 * 7168 << 10, Queue: 1, Wait: 1})
		k.must(err)
		engine, err := latchkey.New(k.store, latchkey.Config{Keys: k.keys, Hasher: narrow, Now: k.clock.Now})
		k.must(err)
		guest := engine.Guest(testClient)
		var busy, wrong atomic.Int64
		var group sync.WaitGroup
		for range 30 {
			group.Go(func() {
				_, err := guest.CreateEmailPasswordSession(k.ctx, "nobody@example.org", "wrong horse")
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
		rows, err := record.Failures.List(k.ctx, k.store.Store, store.Query{Index: record.Failures.Primary(), Limit: 10})
		k.must(err)
		if len(rows) > 1 || len(rows) == 1 && rows[0].Count != wrong.Load() || len(rows) == 0 && wrong.Load() != 0 {
			k.Errorf("%d rows for %d wrong answers and %d busy ones", len(rows), wrong.Load(), busy.Load())
		}
	})
}

func TestOutdatedHashIsRenewedByTheRightPassword(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		user := k.signUp(ada)
		read := func() []byte {
			row, err := record.Users.Get(k.ctx, k.store.Store, record.Users.Primary(), store.Text(user.ID))
			k.must(err)
			return row.Password
		}
		old := read()
		strong, err := hasher.New(hasher.Config{Params: hasher.Params{Memory: 7168, Time: 5, Threads: 1}})
		k.must(err)
		engine, err := latchkey.New(k.store, latchkey.Config{Keys: k.keys, Hasher: strong, Now: k.clock.Now})
		k.must(err)
		_, err = engine.Guest(testClient).CreateEmailPasswordSession(k.ctx, ada, "wrong horse")
		if err != latchkey.ErrInvalidCredentials || !bytes.Equal(read(), old) {
			k.Errorf("a wrong password: %v", err)
		}
		_, err = engine.Guest(testClient).CreateEmailPasswordSession(k.ctx, ada, password)
		k.must(err)
		renewed := read()
		if bytes.Equal(renewed, old) {
			k.Error("the hash was not renewed")
		}
		_, err = engine.Guest(testClient).CreateEmailPasswordSession(k.ctx, ada, password)
		k.must(err)
		if !bytes.Equal(read(), renewed) {
			k.Error("a current hash was renewed")
		}
	})
}

func TestPasswordLengthIsCountedAsItIsHashed(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		_, err := k.guest.CreateAccount(k.ctx, latchkey.NewAccount{Email: ada, Password: latchkey.Secret(strings.Repeat("\u00e9", 200))})
		k.must(err)
		_, err = k.guest.CreateEmailPasswordSession(k.ctx, ada, strings.Repeat("e\u0301", 200))
		k.must(err)
		_, err = k.guest.CreateAccount(k.ctx, latchkey.NewAccount{Email: "b@example.org", Password: latchkey.Secret(strings.Repeat("e\u0301", 4))})
		if !errors.Is(err, latchkey.ErrArgumentInvalid) {
			k.Errorf("4 characters: %v", err)
		}
	})
}
