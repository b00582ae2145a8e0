package latchkey_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"example.com/latchkey"
	"example.com/latchkey/authtest"
	"example.com/latchkey/hasher/hashertest"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/store/memory"
	"example.com/latchkey/store/storetest"
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
		"teams.T.x.memberships.M.update.status": {
			"teams.*.memberships.*.update.status": true, "teams.T.x.memberships.M.update.status": true, "teams.*.memberships.*.update": true, "teams.*.memberships.*": true,
			"teams.*": true, "teams.T.x": true, "teams.*.memberships": false, "teams.*.memberships.*.create": false, "teams.*.memberships.*.update.*": false, "users.*": false,
			"teams.*.memberships.*.delete.status": false, "teams.*.memberships.N.update.status": false,
		},
		"teams.T.x.memberships.M.update": {"teams.*.memberships.*.update": true, "teams.*.memberships.*.update.status": false, "teams.*.memberships.*": true, "teams.*.update": false},
		"teams.T.x.update.prefs":         {"teams.*.update.prefs": true, "teams.*.update": true, "teams.*": true, "teams.*.memberships.*": false},
		"limits.R.reached":               {"limits.*": true, "limits.R": true, "limits.*.reached": true, "limits.S": false, "limits": false, "limits.*.failed": false, "limits.*.reached.x": false, "integrity.*": false},
		"users.U.create":                 {"users.*.create": true, "users.*": true, "users.U.delete": false},
	} {
		for pattern, want := range cases {
			e := latchkey.Event{Name: name, UserID: "U"}
			if strings.HasPrefix(name, "teams.") {
				e = latchkey.Event{Name: name, TeamID: "T.x"}
			}
			if got := e.Matches(pattern); got != want {
				t.Errorf("%s matches %q: %v", name, pattern, got)
			}
		}
	}
}

// Events of one kind have one pattern, which selects them with any ids.
func TestThePatternOfAnEventSelectsItsKind(t *testing.T) {
	for name, want := range map[string]string{
		"users.U.x.create": "users.*.create", "users.U.x.delete": "users.*.delete", "users.U.x.update.email": "users.*.update.email", "users.U.x.delete.mfa": "users.*.delete.mfa",
		"users.U.x.impersonate": "users.*.impersonate", "users.U.x.sessions.S.create": "users.*.sessions.*.create", "users.U.x.targets.a.b.c.update": "users.*.targets.*.update",
		"teams.T.x.create": "teams.*.create", "teams.T.x.update": "teams.*.update", "teams.T.x.update.prefs": "teams.*.update.prefs",
		"teams.T.x.memberships.M.create": "teams.*.memberships.*.create", "teams.T.x.memberships.M.update.status": "teams.*.memberships.*.update.status",
		"limits.magicURL.reached": "limits.*.reached", "integrity.totp.failed": "integrity.*.failed", "sessions.all.delete": "sessions.all.delete",
	} {
		e := latchkey.Event{Name: name, UserID: "U.x"}
		if strings.HasPrefix(name, "teams.") {
			e = latchkey.Event{Name: name, TeamID: "T.x"}
		}
		if got := e.Pattern(); got != want || !e.Matches(got) {
			t.Errorf("%s has the pattern %q, which matches: %v", name, got, e.Matches(got))
		}
	}
	for _, name := range []string{"", "users.V.create", "x"} { // of no event of the engine
		if got := (latchkey.Event{Name: name, UserID: "U"}).Pattern(); got != name {
			t.Errorf("%q has the pattern %q", name, got)
		}
	}
}

func TestEventsOfIDsWithPeriodsMatchTheirPatternsOnly(t *testing.T) {
	k := authtest.New(t, latchkey.Config{})
	ctx := context.Background()
	for n, id := range []string{"a.b", "victim.x", "x.sessions.y", "victim.update"} {
		k.Events.Take()
		if _, err := k.Visitor.CreateAccount(ctx, latchkey.NewAccount{UserID: id, Email: fmt.Sprintf("u%d@example.org", n), Password: kit.Password}); err != nil {
			t.Fatal(err)
		}
		e := k.Events.Take()[0]
		for _, p := range []string{"users.*.create", "users.*", "users." + id, "users." + id + ".create"} {
			if !e.Matches(p) {
				t.Errorf("%s does not match %s", e.Name, p)
			}
		}
		for _, p := range []string{"users.victim", "users.victim.update", "users.*.sessions.*.create", "users.*.sessions.*", "users.*.update", "users.*x"} {
			if p != "users."+id && e.Matches(p) { // users.id is also the pattern for everything of that user
				t.Errorf("%s matches %s", e.Name, p)
			}
		}
	}
}

func TestSignUpAndSignInTellTheirEvents(t *testing.T) {
	kit.OnEveryStore(t, latchkey.Policy{Sessions: latchkey.SessionPolicy{Limit: 1}}, func(k *kit.Kit) {
		user := k.SignUp(kit.Ada)
		k.Same("sign-up", k.Events(user.ID, "U"), []string{"users.U.create by guest"})
		first, _ := k.SignIn(kit.Ada)
		k.Same("sign-in", k.Events(user.ID, "U", first.ID, "S1"), []string{"users.U.sessions.S1.create by user"})
		k.Logs()
		second, account := k.SignIn(kit.Ada)
		told := k.Told.Take()
		if len(told) != 2 || told[0].Name != "users."+user.ID+".sessions."+first.ID+".delete" || !told[1].Payload.(*latchkey.Session).Secret.IsZero() {
			k.Errorf("eviction of the oldest: %+v", told)
		}
		k.Same("log of the eviction", k.Logs(), []string{"session.create by user", "session.delete by guest"})
		k.Must(account.DeleteSession(k.Ctx, latchkey.CurrentSession))
		k.Same("sign-out", k.Events(user.ID, "U", second.ID, "S2"), []string{"users.U.sessions.S2.delete by user"})
		session, err := k.Visitor.CreateAnonymousSession(k.Ctx)
		k.Must(err)
		k.Same("anonymous", k.Events(session.UserID, "U", session.ID, "S"), []string{"users.U.create by guest", "users.U.sessions.S.create by user"})
	})
}

// A receiver of events may use the engine, change the payload or panic. Committed
// rows stay as they are.
func TestReceiverOfEventsMayUseTheEngineChangeThePayloadAndPanic(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		var engine *latchkey.Engine
		var logged bytes.Buffer
		var shown []string
		engine, err := latchkey.New(k.Store, latchkey.Config{
			Keys: k.Keys, LimiterPerProcess: true, Hasher: hashertest.New(k.T), Now: k.Clock.Now, Logger: slog.New(slog.NewTextHandler(&logged, nil)),
			OnEvent: func(ctx context.Context, e latchkey.Event) {
				user, err := engine.Users().Get(ctx, e.UserID)
				if err != nil {
					k.Errorf("the engine inside: %v", err)
					return
				}
				shown = append(shown, user.Name)
				payload := e.Payload.(*latchkey.User)
				payload.Name, payload.Targets[0].Identifier = "changed", "changed"
				panic("with " + kit.Password + " in it")
			},
		})
		k.Must(err)
		user, err := engine.Guest(kit.Client).CreateAccount(k.Ctx, latchkey.NewAccount{Email: kit.Ada, Password: kit.Password, Name: "Ada"})
		k.Must(err)
		if user.Name != "Ada" || user.Targets[0].Identifier != kit.Ada {
			k.Errorf("the caller got %+v", user)
		}
		k.Same("inside", shown, []string{"Ada"})
		if !strings.Contains(logged.String(), "callback=OnEvent") || strings.Contains(logged.String(), kit.Password) {
			k.Errorf("logged: %s", logged.String())
		}
	})
}

// The context of the receiver of events works even if the caller's context has ended.
func TestReceiverOfEventsGetsALiveContext(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	told, dead := 0, 0
	made := false
	hooked := &storetest.Hooked{Store: memory.Open(), Hook: func(c storetest.Call) error {
		if made && c.Name == "Commit" && c.Done {
			cancel() // the client hangs up
		}
		return nil
	}}
	engine, err := latchkey.New(hooked, latchkey.Config{
		Keys: latchkey.Keys{Active: latchkey.GenerateKey()}, LimiterPerProcess: true, Hasher: hashertest.New(t),
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
	made = true
	_, err = engine.Users().Create(ctx, latchkey.NewUser{})
	if told != 1 || dead != 0 || err != nil {
		t.Errorf("%d events, %d with a dead context, %v", told, dead, err)
	}
}
