package latchkey_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/notify"
)

func TestServerCreatesUsersOfAnyParts(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		users := k.Users().At(kit.Client)
		for i, n := range []latchkey.NewUser{
			{},
			{UserID: "chosen.1", Name: "Ada"},
			{Email: "Ada@Example.org"},
			{Phone: "+14155550100"},
			{Email: kit.Bob, Phone: "+14155550101", Password: kit.Password, Name: "Bob"},
		} {
			k.Forget()
			got, err := users.Create(k.Ctx, n)
			k.Must(err)
			now := k.Clock.Now()
			want := &latchkey.User{
				ID: got.ID, CreatedAt: now, UpdatedAt: now, Registration: now, AccessedAt: now, Name: n.Name, Phone: n.Phone,
				Email: strings.ToLower(n.Email), Status: true, Labels: []string{}, Prefs: []byte("{}"), Targets: []latchkey.Target{},
			}
			if n.UserID != "" {
				want.ID = n.UserID
			}
			if n.Email != "" {
				want.EmailCanonical, want.EmailIsCanonical, want.EmailIsCorporate = want.Email, true, true
			}
			if n.Password != "" {
				want.PasswordUpdate = now
			}
			for _, target := range got.Targets {
				want.Targets = append(want.Targets, latchkey.Target{
					ID: target.ID, UserID: got.ID, CreatedAt: now, UpdatedAt: now, ProviderType: target.ProviderType, Identifier: target.Identifier,
				})
			}
			k.Same(fmt.Sprint("user ", i), got, want)
			var kinds []string
			for _, target := range got.Targets {
				kinds = append(kinds, target.ProviderType+" "+target.Identifier)
			}
			var wantKinds []string
			if n.Email != "" {
				wantKinds = append(wantKinds, "email "+want.Email)
			}
			if n.Phone != "" {
				wantKinds = append(wantKinds, "sms "+n.Phone)
			}
			slices.Sort(kinds)
			k.Same(fmt.Sprint("targets ", i), kinds, wantKinds)
			k.Same("events", k.Events(got.ID, "U"), []string{"users.U.create by server"})
			k.Same("log", k.Logs(), []string{"user.create by server"})
			shown, err := users.Get(k.Ctx, got.ID)
			k.Must(err)
			k.Same("as it is read", shown, got)
		}
		k.SignIn(kit.Bob)
		if _, err := k.Visitor.CreateEmailPasswordSession(k.Ctx, kit.Ada, kit.Password); err != latchkey.ErrInvalidCredentials {
			k.Errorf("sign-in without a password: %v", err)
		}
		for what, n := range map[string]latchkey.NewUser{
			"id": {UserID: "chosen.1"}, "email": {Email: "ADA@example.org"}, "phone": {Phone: "+14155550100"},
		} {
			k.Refuses("taken "+what, latchkey.ErrUserAlreadyExists, func() error { return kit.Err(users.Create(k.Ctx, n)) })
		}
		for what, n := range map[string]latchkey.NewUser{
			"id": {UserID: "-"}, "email": {Email: "x"}, "phone": {Phone: "+1 415 5550100"}, "name": {Name: strings.Repeat("x", 129)},
			"password": {Password: "1234567"},
		} {
			k.Refuses("bad "+what, latchkey.ErrArgumentInvalid, func() error { return kit.Err(users.Create(k.Ctx, n)) })
		}
	})
}

func TestEveryServerMethodRefusesUnknownAndMalformedIDs(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		u := k.Users()
		for what, want := range map[string]error{"nobody": latchkey.ErrUserNotFound, "": latchkey.ErrArgumentInvalid, "a b": latchkey.ErrArgumentInvalid, strings.Repeat("a", 37): latchkey.ErrArgumentInvalid} {
			for name, do := range map[string]func(id string) error{
				"Get":                     func(id string) error { return kit.Err(u.Get(k.Ctx, id)) },
				"Delete":                  func(id string) error { return u.Delete(k.Ctx, id) },
				"UpdateName":              func(id string) error { return kit.Err(u.UpdateName(k.Ctx, id, "x")) },
				"UpdateEmail":             func(id string) error { return kit.Err(u.UpdateEmail(k.Ctx, id, kit.Ada)) },
				"UpdatePhone":             func(id string) error { return kit.Err(u.UpdatePhone(k.Ctx, id, "+14155550100")) },
				"UpdatePassword":          func(id string) error { return kit.Err(u.UpdatePassword(k.Ctx, id, kit.Password)) },
				"UpdateStatus":            func(id string) error { return kit.Err(u.UpdateStatus(k.Ctx, id, false)) },
				"UpdateEmailVerification": func(id string) error { return kit.Err(u.UpdateEmailVerification(k.Ctx, id, true)) },
				"UpdatePhoneVerification": func(id string) error { return kit.Err(u.UpdatePhoneVerification(k.Ctx, id, true)) },
				"UpdateLabels":            func(id string) error { return kit.Err(u.UpdateLabels(k.Ctx, id, nil)) },
				"Prefs":                   func(id string) error { return kit.Err(u.Prefs(k.Ctx, id)) },
				"UpdatePrefs":             func(id string) error { return kit.Err(u.UpdatePrefs(k.Ctx, id, []byte("{}"))) },
				"Sessions":                func(id string) error { return kit.Err(u.Sessions(k.Ctx, id)) },
				"CreateSession":           func(id string) error { return kit.Err(u.CreateSession(k.Ctx, id)) },
				"DeleteSession":           func(id string) error { return u.DeleteSession(k.Ctx, id, "x") },
				"DeleteSessions":          func(id string) error { return u.DeleteSessions(k.Ctx, id) },
				"Logs":                    func(id string) error { return kit.Err(u.Logs(k.Ctx, id)) },
			} {
				k.Refuses(fmt.Sprintf("%s of %q", name, what), want, func() error { return do(what) })
			}
		}
	})
}

func TestServerChangesName(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user := k.SignUp(kit.Ada)
		k.Forget()
		got, err := k.Users().UpdateName(k.Ctx, user.ID, "")
		k.Must(err)
		if got.Name != "" {
			k.Errorf("%+v", got)
		}
		k.Same("events", k.Events(user.ID, "U"), []string{"users.U.update.name by server"})
		k.Same("log", k.Logs(), []string{"user.update by server"})
		k.Refuses("too long", latchkey.ErrArgumentInvalid, func() error {
			return kit.Err(k.Users().UpdateName(k.Ctx, user.ID, strings.Repeat("x", 129)))
		})
	})
}

func TestServerChangesAndClearsAddresses(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		u := k.Users()
		one, two := k.SignUp(kit.Ada), k.SignUp(kit.Bob)
		k.Must(kit.Err(u.UpdateEmailVerification(k.Ctx, one.ID, true)))
		for _, id := range []string{one.ID, two.ID} { // many users may have no address
			got, err := u.UpdateEmail(k.Ctx, id, "")
			k.Must(err)
			if got.Email != "" || got.EmailVerification || len(got.Targets) != 0 {
				k.Errorf("cleared: %+v", got)
			}
			k.Must(kit.Err(u.UpdatePhone(k.Ctx, id, "")))
		}
		got, err := u.UpdateEmail(k.Ctx, one.ID, "NEW@example.org")
		k.Must(err)
		if got.Email != "new@example.org" || len(got.Targets) != 1 || got.Targets[0].Identifier != "new@example.org" {
			k.Errorf("set: %+v", got)
		}
		k.Forget()
		got, err = u.UpdatePhone(k.Ctx, one.ID, "+14155550100")
		k.Must(err)
		k.Same("events", k.Events(one.ID, "U"), []string{"users.U.update.phone by server"})
		if got.Phone != "+14155550100" || len(got.Targets) != 2 {
			k.Errorf("set: %+v", got)
		}
		k.Refuses("the same address", nil, func() error { return kit.Err(u.UpdateEmail(k.Ctx, one.ID, "new@Example.org")) })
		k.Refuses("the same number", nil, func() error { return kit.Err(u.UpdatePhone(k.Ctx, one.ID, "+14155550100")) })
		k.Refuses("no address", latchkey.ErrArgumentInvalid, func() error { return kit.Err(u.UpdateEmail(k.Ctx, one.ID, "x")) })
		k.Refuses("no number", latchkey.ErrArgumentInvalid, func() error { return kit.Err(u.UpdatePhone(k.Ctx, one.ID, "x")) })
		got, err = u.UpdatePhone(k.Ctx, one.ID, "")
		k.Must(err)
		if got.Phone != "" || len(got.Targets) != 1 {
			k.Errorf("cleared: %+v", got)
		}
		k.SignIn("new@example.org")
	})
}

func TestServerSetsAndTakesPasswords(t *testing.T) {
	for _, keep := range []bool{false, true} {
		t.Run(fmt.Sprint("keep ", keep), func(t *testing.T) {
			kit.OnEveryStore(t, latchkey.Policy{Sessions: latchkey.SessionPolicy{KeepOnPasswordChange: keep}}, func(k *kit.Kit) {
				u := k.Users()
				user := k.SignUp(kit.Ada)
				session, account := k.SignIn(kit.Ada)
				k.Clock.Advance(time.Second)
				k.Forget()
				got, err := u.UpdatePassword(k.Ctx, user.ID, "another horse")
				k.Must(err)
				if !got.PasswordUpdate.Equal(k.Clock.Now()) {
					k.Errorf("%+v", got)
				}
				events, logs := []string{"users.U.update.password by server", "users.U.sessions.S.delete by server"}, []string{"session.delete by server", "user.update by server"}
				if keep {
					events, logs = events[:1], logs[1:]
				}
				k.Same("events", k.Events(user.ID, "U", session.ID, "S"), events)
				k.Same("log", k.Logs(), logs)
				if _, err := account.User(k.Ctx); keep != (err == nil) {
					k.Errorf("the session: %v", err)
				}
				_, err = k.Visitor.CreateEmailPasswordSession(k.Ctx, kit.Ada, "another horse")
				k.Must(err)
				got, err = u.UpdatePassword(k.Ctx, user.ID, "")
				k.Must(err)
				for _, p := range []string{"another horse", kit.Password} {
					if _, err := k.Visitor.CreateEmailPasswordSession(k.Ctx, kit.Ada, p); err != latchkey.ErrInvalidCredentials {
						k.Errorf("after the password was taken: %v", err)
					}
				}
				if got.PasswordUpdate.IsZero() {
					k.Error("it looks as if there never was a password")
				}
				k.Refuses("against the rules", latchkey.ErrArgumentInvalid, func() error { return kit.Err(u.UpdatePassword(k.Ctx, user.ID, "1234567")) })
				k.ChangeUser(user.ID, func(u *record.User) { u.MustReset = true })
				k.Must(kit.Err(u.UpdatePassword(k.Ctx, user.ID, kit.Password)))
				_, account = k.SignIn(kit.Ada)
				k.Must(kit.Err(account.User(k.Ctx)))
			})
		})
	}
}

// Two changes of a password by the server at once do not lose the history.
func TestServersPasswordIsOfThePasswordItRead(t *testing.T) {
	kit.OnEveryStore(t, latchkey.Policy{Password: latchkey.PasswordPolicy{History: 5}}, func(k *kit.Kit) {
		user := k.SignUp(kit.Ada)
		k.Interfere(func() { k.Must(kit.Err(k.Users().UpdatePassword(k.Ctx, user.ID, "another horse"))) })
		k.Must(kit.Err(k.Users().UpdatePassword(k.Ctx, user.ID, "third horse")))
		for _, p := range []string{kit.Password, "another horse", "third horse"} {
			if err := kit.Err(k.Users().UpdatePassword(k.Ctx, user.ID, p)); err != latchkey.ErrPasswordRecentlyUsed {
				k.Errorf("%s again: %v", p, err)
			}
		}
	})
}

// The server can set a password after the key of the present one is lost, where the policy
// keeps no history. With a history it is a fault: TestF8AHistoryThatDoesNotOpenIsKept.
func TestServerSetsAPasswordWhateverDoesNotOpen(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user := k.SignUp(kit.Ada)
		engine := k.WithKeys(latchkey.Keys{Active: latchkey.GenerateKey()}) // without the old key
		if err := kit.Err(engine.Users().UpdatePassword(k.Ctx, user.ID, "another horse")); err != nil {
			k.Errorf("%v: %v", err, errors.Unwrap(err))
		}
	})
}

func TestPasswordHashIsOpenedForTheServerAlone(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user := k.SignUp(kit.Ada)
		hash, err := k.Users().PasswordHash(k.Ctx, user.ID)
		k.Must(err)
		if right, err := k.Hasher.Verify(k.Ctx, hash.Reveal(), kit.Password); !right || err != nil || fmt.Sprint(hash) != "[secret]" {
			k.Errorf("%v, %v", right, err)
		}
		none, err := k.Users().Create(k.Ctx, latchkey.NewUser{})
		k.Must(err)
		if hash, err := k.Users().PasswordHash(k.Ctx, none.ID); !hash.IsZero() || err != nil {
			k.Errorf("of a user without one: %v", err)
		}
		if err := kit.Err(k.Users().PasswordHash(k.Ctx, "nobody")); err != latchkey.ErrUserNotFound {
			k.Errorf("of nobody: %v", err)
		}
	})
}

func TestServerBlocksAndLetsIn(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		u := k.Users()
		user := k.SignUp(kit.Ada)
		session, account := k.SignIn(kit.Ada)
		k.Forget()
		got, err := u.UpdateStatus(k.Ctx, user.ID, false)
		k.Must(err)
		if got.Status {
			k.Error("not blocked")
		}
		k.Same("events", k.Events(user.ID, "U"), []string{"users.U.update.status by server"})
		k.Same("log", k.Logs(), []string{"user.update by server"})
		k.Refuses("handle", latchkey.ErrUserBlocked, func() error { return account.DeleteSession(k.Ctx, latchkey.CurrentSession) })
		k.Refuses("secret", latchkey.ErrUserBlocked, func() error { return kit.Err(k.Visitor.Authenticate(k.Ctx, session.Secret.Reveal())) })
		k.Refuses("a session by the server", latchkey.ErrUserBlocked, func() error { return kit.Err(u.CreateSession(k.Ctx, user.ID)) })
		k.Refuses("twice", nil, func() error { return kit.Err(u.UpdateStatus(k.Ctx, user.ID, false)) })
		if _, err := k.Visitor.CreateEmailPasswordSession(k.Ctx, kit.Ada, kit.Password); err != latchkey.ErrUserBlocked {
			k.Errorf("sign-in: %v", err)
		}
		k.Same("log of the sign-in", k.Logs(), []string{"session.refuse by guest for user_blocked, 1"})
		k.Must(kit.Err(u.UpdateStatus(k.Ctx, user.ID, true)))
		k.Must(kit.Err(account.User(k.Ctx)))
	})
}

func TestServerSaysWhatIsVerified(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		u := k.Users()
		user := k.SignUp(kit.Ada)
		k.SignIn(kit.Ada)
		k.Forget()
		got, err := u.UpdateEmailVerification(k.Ctx, user.ID, true)
		k.Must(err)
		if !got.EmailVerification {
			k.Error("not verified")
		}
		k.Same("events", k.Events(user.ID, "U"), []string{"users.U.update.verification by server"})
		k.Same("log", k.Logs(), []string{"verification.update by server"})
		k.Refuses("no number", latchkey.ErrPhoneNotFound, func() error { return kit.Err(u.UpdatePhoneVerification(k.Ctx, user.ID, true)) })
		k.Refuses("no number, false", nil, func() error { return kit.Err(u.UpdatePhoneVerification(k.Ctx, user.ID, false)) })
		k.Must(kit.Err(u.UpdatePhone(k.Ctx, user.ID, "+14155550100")))
		got, err = u.UpdatePhoneVerification(k.Ctx, user.ID, true)
		k.Must(err)
		if !got.PhoneVerification {
			k.Error("not verified")
		}
		k.Must(kit.Err(u.UpdateEmailVerification(k.Ctx, user.ID, false)))
		k.Must(kit.Err(u.UpdateEmail(k.Ctx, user.ID, "")))
		k.Refuses("no address", latchkey.ErrEmailNotFound, func() error { return kit.Err(u.UpdateEmailVerification(k.Ctx, user.ID, true)) })
	})
}

func TestServerReplacesLabels(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		u := k.Users()
		user := k.SignUp(kit.Ada)
		k.Forget()
		got, err := u.UpdateLabels(k.Ctx, user.ID, []string{"vip", "Beta2", "vip", strings.Repeat("x", 36)})
		k.Must(err)
		k.Same("labels", got.Labels, []string{"vip", "Beta2", strings.Repeat("x", 36)})
		k.Same("events", k.Events(user.ID, "U"), []string{"users.U.update.labels by server"})
		k.Same("log", k.Logs(), []string{"user.update by server"})
		many := make([]string, 1_001)
		for i := range many {
			many[i] = fmt.Sprint("label", i)
		}
		for what, labels := range map[string][]string{
			"hyphen": {"a-b"}, "empty": {""}, "37 characters": {strings.Repeat("x", 37)}, "umlaut": {"ä"}, "1,001": many,
		} {
			k.Refuses(what, latchkey.ErrArgumentInvalid, func() error { return kit.Err(u.UpdateLabels(k.Ctx, user.ID, labels)) })
		}
		got, err = u.UpdateLabels(k.Ctx, user.ID, many[:1_000])
		k.Must(err)
		if len(got.Labels) != 1_000 {
			k.Errorf("%d labels", len(got.Labels))
		}
		got, err = u.UpdateLabels(k.Ctx, user.ID, nil)
		k.Must(err)
		k.Same("labels", got.Labels, []string{})
	})
}

func TestServerMakesListsAndEndsSessions(t *testing.T) {
	kit.OnEveryStore(t, latchkey.Policy{Sessions: latchkey.SessionPolicy{Limit: 2, Length: time.Hour}}, func(k *kit.Kit) {
		u := k.Users().At(kit.Client)
		user := k.SignUp(kit.Ada)
		k.Forget()
		made, err := u.CreateSession(k.Ctx, user.ID)
		k.Must(err)
		now := k.Clock.Now()
		want := &latchkey.Session{
			ID: made.ID, UserID: user.ID, CreatedAt: now, UpdatedAt: now, AccessedAt: now, Expire: now.Add(time.Hour), Provider: "server",
			Factors: []string{"server"}, IP: "192.0.2.7", Device: made.Device, Secret: made.Secret,
		}
		k.Same("session", made, want)
		if made.Device.ClientCode != "CH" {
			k.Errorf("device %+v", made.Device)
		}
		k.Same("events", k.Events(user.ID, "U", made.ID, "S"), []string{"users.U.sessions.S.create by server"})
		k.Same("log", k.Logs(), []string{"session.create by server"})
		account, err := k.Visitor.Authenticate(k.Ctx, made.Secret.Reveal())
		k.Must(err)
		k.Must(kit.Err(account.User(k.Ctx)))
		want.Secret = latchkey.Secret{}
		list, err := u.Sessions(k.Ctx, user.ID)
		k.Must(err)
		k.Same("sessions", list, &latchkey.SessionList{Total: 1, Sessions: []*latchkey.Session{want}})

		k.Clock.Advance(time.Minute)
		k.Must(kit.Err(u.CreateSession(k.Ctx, user.ID)))
		k.Forget()
		k.Clock.Advance(time.Minute)
		third, err := u.CreateSession(k.Ctx, user.ID) // replaces the oldest, because of the limit
		k.Must(err)
		k.Same("events of the third", k.Events(user.ID, "U", made.ID, "S1", third.ID, "S3"), []string{
			"users.U.sessions.S1.delete by server", "users.U.sessions.S3.create by server",
		})
		k.Same("log of the third", k.Logs(), []string{"session.create by server", "session.delete by server"})
	})
}

func TestServerEndsSessions(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		u := k.Users()
		user, other := k.SignUp(kit.Ada), k.SignUp(kit.Bob)
		one, _ := k.SignIn(kit.Ada)
		two, _ := k.SignIn(kit.Ada)
		three, _ := k.SignIn(kit.Ada)
		bobs, _ := k.SignIn(kit.Bob)
		k.Forget()
		k.Must(u.DeleteSession(k.Ctx, user.ID, one.ID))
		k.Same("events", k.Events(user.ID, "U", one.ID, "S"), []string{"users.U.sessions.S.delete by server"})
		k.Same("log", k.Logs(), []string{"session.delete by server"})
		k.Refuses("twice", latchkey.ErrSessionNotFound, func() error { return u.DeleteSession(k.Ctx, user.ID, one.ID) })
		k.Refuses("of somebody else", latchkey.ErrSessionNotFound, func() error { return u.DeleteSession(k.Ctx, user.ID, bobs.ID) })
		k.Refuses("current", latchkey.ErrSessionNotFound, func() error { return u.DeleteSession(k.Ctx, user.ID, latchkey.CurrentSession) })
		k.Must(u.DeleteSessions(k.Ctx, user.ID))
		k.Same("events", k.Events(user.ID, "U", two.ID, "S2", three.ID, "S3"), []string{
			"users.U.sessions.S2.delete by server", "users.U.sessions.S3.delete by server",
		})
		k.Refuses("none left", nil, func() error { return u.DeleteSessions(k.Ctx, user.ID) })
		list, err := u.Sessions(k.Ctx, other.ID)
		k.Must(err)
		if list.Total != 1 {
			k.Errorf("%d sessions of the other", list.Total)
		}
	})
}

func TestServerEndsWhatAUserWithoutAPasswordHas(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user, err := k.Users().Create(k.Ctx, latchkey.NewUser{})
		k.Must(err)
		account, _ := k.ByJWT(user.ID, "")
		custom, err := k.Users().CreateToken(k.Ctx, user.ID, 0, 0)
		k.Must(err)
		k.Must(kit.Err(k.Users().UpdatePassword(k.Ctx, user.ID, "")))
		if err := kit.Err(account.User(k.Ctx)); err != latchkey.ErrUnauthorized {
			k.Error(err)
		}
		if err := kit.Err(k.Visitor.CreateSession(k.Ctx, user.ID, custom.Secret.Reveal())); !errors.Is(err, latchkey.ErrInvalidToken) {
			k.Error(err)
		}
	})
}

func TestServerResetsFactorsAndTheUserIsTold(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		account, app, _ := k.Enrolled(latchkey.NewMFAAuthenticator{})
		k.Must(kit.Err(k.Users().UpdateEmailVerification(k.Ctx, account.UserID(), true)))
		_, pending := k.Owing(k.Visitor)
		for range 12 { // the counted guesses end with the authenticator
			if challenge, err := pending.CreateMFAChallenge(k.Ctx, latchkey.FactorTOTP); err == nil {
				_ = kit.Err(pending.ConfirmMFAChallenge(k.Ctx, challenge.ID, kit.OtherCode(app.Code())))
			}
		}
		k.Drained(k.Configured(func(*latchkey.Config) {}))
		k.Forget()
		k.Must(k.Users().DeleteMFAAuthenticator(k.Ctx, account.UserID()))
		got := slices.DeleteFunc(k.Logs(), func(l string) bool { return l == "session.delete by server" }) // of the sessions that owed it
		if len(got) != 1 || !strings.Contains(got[0], "user.update") {
			k.Error(got)
		}
		k.Must(kit.Err(k.Users().UpdateEmailVerification(k.Ctx, account.UserID(), false)))
		k.SignIn(kit.Ada) // the session owes no factor
		if err := k.Users().DeleteMFAAuthenticator(k.Ctx, account.UserID()); err != latchkey.ErrAuthenticatorNotFound {
			k.Error(err)
		}
		last := k.Drained(k.Engine)
		if m := last[len(last)-1]; m.Kind != notify.FactorsChanged || m.To != kit.Ada {
			k.Errorf("%v", m)
		}
	})
}

func TestServerNamesTheSessionOfAJWT(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user := k.SignUp(kit.Ada)
		first, _ := k.SignIn(kit.Ada)
		k.Clock.Advance(time.Second)
		last, _ := k.SignIn(kit.Ada)
		k.SignUp(kit.Bob)
		foreign, _ := k.SignIn(kit.Bob)
		for named, want := range map[string]string{"": last.ID, latchkey.RecentSession: last.ID, first.ID: first.ID} {
			if account, _ := k.ByJWT(user.ID, named); account.SessionID() != want {
				k.Errorf("%q: %s", named, account.SessionID())
			}
		}
		for _, named := range []string{foreign.ID, "unknown"} {
			if err := kit.Err(k.Users().CreateJWT(k.Ctx, user.ID, named, 0)); err != latchkey.ErrSessionNotFound {
				k.Errorf("%q: %v", named, err)
			}
		}
		if err := kit.Err(k.Users().CreateJWT(k.Ctx, user.ID, "no id", 0)); !errors.Is(err, latchkey.ErrArgumentInvalid) {
			k.Error(err)
		}
		if err := kit.Err(k.Users().CreateJWT(k.Ctx, "nobody", "", 0)); err != latchkey.ErrUserNotFound {
			k.Error(err)
		}
	})
}

// AC-091: the server signs no JWT for a user or session that may not act, because
// other services could not see that.
func TestServerMakesNoJWTForWhoMayDoNothing(t *testing.T) {
	kit.OnEveryStore(t, latchkey.Policy{Sessions: latchkey.SessionPolicy{SingleFactor: latchkey.Lifetime{Absolute: 20 * time.Minute}}}, func(k *kit.Kit) {
		user := k.Proven()
		_, account := k.SignIn(kit.Ada)
		token, err := account.CreateJWT(k.Ctx, time.Hour)
		k.Must(err)
		if c := offline(k, token); c.Expire.Sub(c.IssuedAt) != 20*time.Minute {
			k.Errorf("a JWT outlives its session: %+v", c)
		}
		k.Must(kit.Err(k.Users().UpdateMFA(k.Ctx, user.ID, true)))
		if err := kit.Err(k.Users().CreateJWT(k.Ctx, user.ID, "", 0)); err != latchkey.ErrMoreFactorsRequired {
			k.Errorf("of a session that owes a factor: %v", err)
		}
		k.Must(kit.Err(k.Users().UpdateStatus(k.Ctx, user.ID, false)))
		if err := kit.Err(k.Users().CreateJWT(k.Ctx, user.ID, "", 0)); err != latchkey.ErrUserBlocked {
			k.Errorf("of a blocked user: %v", err)
		}
	})
}

func TestCustomTokenWithinItsBounds(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user := k.SignUp(kit.Ada)
		for _, bad := range []struct {
			length int
			expire time.Duration
		}{{3, 0}, {129, 0}, {-1, 0}, {0, time.Second}, {0, 366 * 24 * time.Hour}, {0, -time.Hour}} {
			if err := kit.Err(k.Users().CreateToken(k.Ctx, user.ID, bad.length, bad.expire)); !errors.Is(err, latchkey.ErrArgumentInvalid) {
				k.Errorf("%+v: %v", bad, err)
			}
		}
		if err := kit.Err(k.Users().CreateToken(k.Ctx, "nobody", 0, 0)); err != latchkey.ErrUserNotFound {
			k.Errorf("nobody: %v", err)
		}
		for _, length := range []int{0, 4, 32, 64, 65, 128} {
			token, err := k.Users().CreateToken(k.Ctx, user.ID, length, 0)
			k.Must(err)
			secret := token.Secret.Reveal()
			if want := max(length, 4+2*(1-min(length, 1))); len(secret) != want || strings.Trim(secret, "0123456789abcdef") != "" ||
				token.Expire.Sub(k.Clock.Now()) != 15*time.Minute || token.UserID != user.ID {
				k.Errorf("length %d: %d characters, %+v", length, len(secret), token)
			}
			session, err := k.Visitor.CreateSession(k.Ctx, user.ID, secret)
			k.Must(err)
			if session.Provider != "token" || !slices.Equal(session.Factors, []string{"token"}) || session.UserID != user.ID {
				k.Errorf("%+v", session)
			}
		}
		shown, err := k.Users().Get(k.Ctx, user.ID)
		k.Must(err)
		if shown.EmailVerification || shown.PasswordUpdate.IsZero() {
			k.Errorf("it proves more than it should: %+v", shown)
		}
		token, err := k.Users().CreateToken(k.Ctx, user.ID, 128, 365*24*time.Hour)
		k.Must(err)
		k.Clock.Advance(365*24*time.Hour - time.Microsecond)
		k.Must(kit.Err(k.Visitor.CreateSession(k.Ctx, user.ID, token.Secret.Reveal())))
	})
}
