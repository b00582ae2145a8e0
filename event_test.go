package latchkey_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/hasher/hashertest"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/store"
	"example.com/latchkey/store/memory"
)

func TestEventMatches(t *testing.T) {
	for name, cases := range map[string]map[string]bool{
		"users.U.sessions.S.create": {
			"users.U.sessions.S.create": true, "users.*.sessions.*.create": true, "users.*.sessions.S.create": true, "users.U.sessions.*": true,
			"users.*": true, "users.U": true, "users": false, "users.*.sessions": false, "users.*.sessions.*.delete": false, "users.V.sessions.S.create": false,
			"*.*.*.*.*": false, "": false, "teams.*": false, "users.*.sessions.*.create.x": false,
		},
		"users.U.update.name": {
			"users.*.update.name": true, "users.*.update": true, "users.*": true, "users.*.*.name": false, "users.*.update.*": false,
		},
		"users.U.create": {"users.*.create": true, "users.*": true, "users.U.delete": false},
	} {
		for pattern, want := range cases {
			if got := (latchkey.Event{Name: name, UserID: "U"}).Matches(pattern); got != want {
				t.Errorf("%s matches %q: %v", name, pattern, got)
			}
		}
	}
}

func TestSignUpAndSignInTellTheirEvents(t *testing.T) {
	onEveryStore(t, latchkey.Policy{SessionLimit: 1}, func(k *kit) {
		user := k.signUp(ada)
		k.same("sign-up", k.events(user.ID, "U"), []string{"users.U.create by guest"})
		first, _ := k.signIn(ada)
		k.same("sign-in", k.events(user.ID, "U", first.ID, "S1"), []string{"users.U.sessions.S1.create by user"})
		k.logs()
		second, account := k.signIn(ada)
		told := k.told.Take()
		if len(told) != 2 || told[0].Name != "users."+user.ID+".sessions."+first.ID+".delete" || told[1].Payload.(*latchkey.Session).Secret != "" {
			k.Errorf("eviction of the oldest: %+v", told)
		}
		k.same("log of the eviction", k.logs(), []string{"session.create by user", "session.delete by guest"})
		k.must(account.DeleteSession(k.ctx, latchkey.Current))
		k.same("sign-out", k.events(user.ID, "U", second.ID, "S2"), []string{"users.U.sessions.S2.delete by user"})
		session, err := k.guest.CreateAnonymousSession(k.ctx)
		k.must(err)
		k.same("anonymous", k.events(session.UserID, "U", session.ID, "S"), []string{"users.U.create by guest", "users.U.sessions.S.create by user"})
	})
}

// What the receiver of an event does with it, to the engine or to itself, does
// not reach what is committed.
func TestReceiverOfEventsMayUseTheEngineChangeThePayloadAndPanic(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		var engine *latchkey.Engine
		var logged bytes.Buffer
		var shown []string
		engine, err := latchkey.New(k.store, latchkey.Config{
			Keys: k.keys, Hasher: hashertest.New(k.T), Now: k.clock.Now, Logger: slog.New(slog.NewTextHandler(&logged, nil)),
			OnEvent: func(ctx context.Context, e latchkey.Event) {
				user, err := engine.Users().Get(ctx, e.UserID)
				if err != nil {
					k.Errorf("the engine inside: %v", err)
					return
				}
				shown = append(shown, user.Name)
				payload := e.Payload.(*latchkey.User)
				payload.Name, payload.Targets[0].Identifier = "changed", "changed"
				panic("with " + password + " in it")
			},
		})
		k.must(err)
		user, err := engine.Guest(testClient).CreateAccount(k.ctx, latchkey.NewAccount{Email: ada, Password: password, Name: "Ada"})
		k.must(err)
		if user.Name != "Ada" || user.Targets[0].Identifier != ada {
			k.Errorf("the caller got %+v", user)
		}
		k.same("inside", shown, []string{"Ada"})
		if !strings.Contains(logged.String(), "callback=OnEvent") || strings.Contains(logged.String(), password) {
			k.Errorf("logged: %s", logged.String())
		}
	})
}

func TestNothingIsToldOfWhatIsNotCommitted(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		ctx, cancel := context.WithCancel(k.ctx)
		k.interfere(cancel)
		if err := ignore(k.guest.CreateAnonymousSession(ctx)); err == nil {
			k.Error("a cancelled operation worked")
		}
		if told := k.told.Take(); len(told) != 0 {
			k.Errorf("told: %v", told)
		}
	})
}

type locator func(netip.Addr) string

func (l locator) Country(ip netip.Addr) string { return l(ip) }

func TestCountryIsFrozenInSessionsAndLookedUpForLogs(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		answer := func(netip.Addr) string { return "DE" }
		engine, err := latchkey.New(k.store, latchkey.Config{
			Keys: k.keys, Hasher: hashertest.New(k.T), Now: k.clock.Now, Logger: slog.New(slog.DiscardHandler),
			Locator: locator(func(ip netip.Addr) string { return answer(ip) }),
		})
		k.must(err)
		k.signUp(ada)
		guest := engine.Guest(testClient)
		country := func() string {
			session, err := guest.CreateEmailPasswordSession(k.ctx, ada, password)
			k.must(err)
			return session.Device.CountryCode
		}
		if got := country(); got != "de" {
			k.Errorf("country %q", got)
		}
		for _, odd := range []string{"", "Germany", "--?"} {
			answer = func(netip.Addr) string { return odd }
			if got := country(); got != "" {
				k.Errorf("country %q of %q", got, odd)
			}
		}
		answer = func(netip.Addr) string { panic("no database") }
		if got := country(); got != "" {
			k.Errorf("country %q after a panic", got)
		}
		answer = func(netip.Addr) string { return "fr" }
		session, err := guest.CreateEmailPasswordSession(k.ctx, ada, password)
		k.must(err)
		account, err := guest.Authenticate(k.ctx, session.Secret)
		k.must(err)
		logs, err := account.Logs(k.ctx)
		k.must(err)
		for _, l := range logs.Logs {
			if l.Device.CountryCode != "fr" {
				k.Errorf("log at %v from %q", l.Time, l.Device.CountryCode)
			}
		}
		first, err := account.Sessions(k.ctx)
		k.must(err)
		if got := first.Sessions[0].Device.CountryCode; got != "de" {
			k.Errorf("the first session is now from %q", got)
		}
		nowhere, err := engine.Guest(latchkey.Client{}).CreateEmailPasswordSession(k.ctx, ada, password)
		k.must(err)
		if nowhere.Device.CountryCode != "" {
			k.Error("no address, and a country")
		}
	})
}

func TestFailureToWriteLastSeenIsLoggedNotReturned(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		k.signUp(ada)
		session, _ := k.signIn(ada)
		var logged bytes.Buffer
		engine, err := latchkey.New(readOnly{k.store}, latchkey.Config{
			Keys: k.keys, Hasher: hashertest.New(k.T), Now: k.clock.Now, Logger: slog.New(slog.NewTextHandler(&logged, nil)),
		})
		k.must(err)
		k.clock.Advance(25 * time.Hour)
		account, err := engine.Guest(testClient).Authenticate(k.ctx, session.Secret)
		k.must(err)
		k.must(ignore(account.User(k.ctx)))
		if !strings.Contains(logged.String(), "last seen") || strings.Contains(logged.String(), "disk") {
			k.Errorf("logged: %s", logged.String())
		}
	})
}

type readOnly struct{ store.Store }

func (readOnly) Update(context.Context, func(context.Context, store.Tx) error) error {
	return fmt.Errorf("the disk of somebody is full")
}

// A session that ends, or a user that goes, while its last-seen time is due is
// not brought back.
func TestLastSeenDoesNotReviveWhatHasEnded(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		user := k.signUp(ada)
		session, _ := k.signIn(ada)
		k.clock.Advance(25 * time.Hour)
		k.interfere(func() { k.must(k.Users().Delete(k.ctx, user.ID)) })
		account, err := k.guest.Authenticate(k.ctx, session.Secret) // it was alive when it was looked at
		k.must(err)
		k.refuses("the handle", latchkey.ErrUnauthorized, func() error { return ignore(account.User(k.ctx)) })
		if n := k.rows()["sessions"] + k.rows()["users"]; n != 0 {
			k.Errorf("%d rows came back", n)
		}
	})
}

func TestOwedIsDecidedByTheRowAlone(t *testing.T) {
	for _, c := range []struct {
		change func(*record.Session)
		want   error
	}{
		{func(s *record.Session) {}, nil},
		{func(s *record.Session) {
			s.UserBlocked, s.UserMustReset, s.UserMFA, s.UserFactors = true, true, true, "email"
		}, latchkey.ErrUserBlocked},
		{func(s *record.Session) { s.UserMustReset, s.UserMFA, s.UserFactors = true, true, "email" }, latchkey.ErrPasswordResetRequired},
		{func(s *record.Session) { s.UserMFA, s.UserFactors = true, "email" }, latchkey.ErrMoreFactorsRequired},
		{func(s *record.Session) { s.UserMFA, s.UserFactors, s.Factors = true, "email", "password email" }, nil},
		{func(s *record.Session) { s.UserMFA = true }, nil},
		{func(s *record.Session) { s.UserFactors = "email phone" }, nil},
	} {
		k := newKit(t, memory.Open(), documented)
		k.tampered = true
		k.signUp(ada)
		session, _ := k.signIn(ada)
		k.must(k.store.Update(k.ctx, func(ctx context.Context, tx store.Tx) error {
			s, err := record.Sessions.Get(ctx, tx, record.Sessions.Primary(), store.Text(session.ID))
			if err != nil {
				return err
			}
			c.change(s)
			return record.Sessions.Replace(ctx, tx, s)
		}))
		if _, err := k.guest.Authenticate(k.ctx, session.Secret); !errors.Is(err, c.want) || err != nil && c.want == nil {
			t.Errorf("%v, want %v", err, c.want)
		}
	}
}
