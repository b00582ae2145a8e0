package latchkey_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/internal/record"
)

func TestServerCreatesUsersOfAnyParts(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		users := k.Users().At(testClient)
		for i, n := range []latchkey.NewUser{
			{},
			{UserID: "chosen.1", Name: "Ada"},
			{Email: "Ada@Example.org"},
			{Phone: "+14155550100"},
			{Email: bob, Phone: "+14155550101", Password: password, Name: "Bob"},
		} {
			k.forget()
			got, err := users.Create(k.ctx, n)
			k.must(err)
			now := k.clock.Now()
			want := &latchkey.User{
				ID: got.ID, CreatedAt: now, UpdatedAt: now, Registration: now, AccessedAt: now, Name: n.Name, Phone: n.Phone,
				Email: strings.ToLower(n.Email), Status: true, Labels: []string{}, Prefs: []byte("{}"), Targets: []latchkey.Target{},
			}
			if n.UserID != "" {
				want.ID = n.UserID
			}
			if n.Password != "" {
				want.PasswordUpdate = now
			}
			for _, target := range got.Targets {
				want.Targets = append(want.Targets, latchkey.Target{
					ID: target.ID, UserID: got.ID, CreatedAt: now, UpdatedAt: now, ProviderType: target.ProviderType, Identifier: target.Identifier,
				})
			}
			k.same(fmt.Sprint("user ", i), got, want)
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
			k.same(fmt.Sprint("targets ", i), kinds, wantKinds)
			k.same("events", k.events(got.ID, "U"), []string{"users.U.create by server"})
			k.same("log", k.logs(), []string{"user.create by server"})
			shown, err := users.Get(k.ctx, got.ID)
			k.must(err)
			k.same("as it is read", shown, got)
		}
		k.signIn(bob)
		if _, err := k.guest.CreateEmailPasswordSession(k.ctx, ada, password); err != latchkey.ErrInvalidCredentials {
			k.Errorf("sign-in without a password: %v", err)
		}
		for what, n := range map[string]latchkey.NewUser{
			"id": {UserID: "chosen.1"}, "email": {Email: "ADA@example.org"}, "phone": {Phone: "+14155550100"},
		} {
			k.refuses("taken "+what, latchkey.ErrUserAlreadyExists, func() error { return ignore(users.Create(k.ctx, n)) })
		}
		for what, n := range map[string]latchkey.NewUser{
			"id": {UserID: "-"}, "email": {Email: "x"}, "phone": {Phone: "+1 415 5550100"}, "name": {Name: strings.Repeat("x", 129)},
			"password": {Password: "1234567"},
		} {
			k.refuses("bad "+what, latchkey.ErrArgumentInvalid, func() error { return ignore(users.Create(k.ctx, n)) })
		}
	})
}

func TestDeletedUserLeavesNothingButTheLog(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		user := k.signUp(ada)
		k.must(ignore(k.Users().UpdatePhone(k.ctx, user.ID, "+14155550100")))
		k.signUp(bob)
		one, account := k.signIn(ada)
		two, _ := k.signIn(ada)
		k.signIn(bob)
		before := k.rows()
		k.forget()
		shown, err := k.Users().Get(k.ctx, user.ID)
		k.must(err)
		k.must(k.Users().Delete(k.ctx, user.ID))
		told := k.told.Take()
		var names []string
		for _, e := range told {
			names = append(names, strings.NewReplacer(user.ID, "U", one.ID, "S", two.ID, "S").Replace(e.Name))
		}
		k.same("events", names, []string{"users.U.sessions.S.delete", "users.U.sessions.S.delete", "users.U.delete"})
		k.same("what is told of the deleted user", told[2].Payload, shown)
		k.same("log", k.logs(), []string{"session.delete by server", "session.delete by server", "user.delete by server"})
		after := k.rows()
		for table, gone := range map[string]int{"users": 1, "addresses": 1, "targets": 2, "sessions": 2} {
			if before[table]-after[table] != gone {
				k.Errorf("%s: %d before, %d after", table, before[table], after[table])
			}
		}
		for id, rows := range k.everything() {
			for _, row := range rows {
				if id != "logs" && strings.Contains(row, user.ID) {
					k.Errorf("left in %s: %s", id, row)
				}
			}
		}
		k.refuses("its handle", latchkey.ErrUnauthorized, func() error { return ignore(account.User(k.ctx)) })
		k.refuses("its secret", latchkey.ErrUnauthorized, func() error { return ignore(k.guest.Authenticate(k.ctx, one.Secret)) })
		k.refuses("twice", latchkey.ErrUserNotFound, func() error { return k.Users().Delete(k.ctx, user.ID) })

		// The id, the address and the number can be had again, without the log.
		again, err := k.Users().Create(k.ctx, latchkey.NewUser{UserID: user.ID, Email: ada, Phone: "+14155550100"})
		k.must(err)
		logs, err := k.Users().Logs(k.ctx, again.ID)
		k.must(err)
		if logs.Total != 1 {
			k.Errorf("the new user has %d lines of the log", logs.Total)
		}
	})
}

func TestEveryServerMethodRefusesUnknownAndMalformedIDs(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		u := k.Users()
		for what, want := range map[string]error{"nobody": latchkey.ErrUserNotFound, "": latchkey.ErrArgumentInvalid, "a b": latchkey.ErrArgumentInvalid, strings.Repeat("a", 37): latchkey.ErrArgumentInvalid} {
			for name, do := range map[string]func(id string) error{
				"Get":                     func(id string) error { return ignore(u.Get(k.ctx, id)) },
				"Delete":                  func(id string) error { return u.Delete(k.ctx, id) },
				"UpdateName":              func(id string) error { return ignore(u.UpdateName(k.ctx, id, "x")) },
				"UpdateEmail":             func(id string) error { return ignore(u.UpdateEmail(k.ctx, id, ada)) },
				"UpdatePhone":             func(id string) error { return ignore(u.UpdatePhone(k.ctx, id, "+14155550100")) },
				"UpdatePassword":          func(id string) error { return ignore(u.UpdatePassword(k.ctx, id, password)) },
				"UpdateStatus":            func(id string) error { return ignore(u.UpdateStatus(k.ctx, id, false)) },
				"UpdateEmailVerification": func(id string) error { return ignore(u.UpdateEmailVerification(k.ctx, id, true)) },
				"UpdatePhoneVerification": func(id string) error { return ignore(u.UpdatePhoneVerification(k.ctx, id, true)) },
				"UpdateLabels":            func(id string) error { return ignore(u.UpdateLabels(k.ctx, id, nil)) },
				"Prefs":                   func(id string) error { return ignore(u.Prefs(k.ctx, id)) },
				"UpdatePrefs":             func(id string) error { return ignore(u.UpdatePrefs(k.ctx, id, []byte("{}"))) },
				"Sessions":                func(id string) error { return ignore(u.Sessions(k.ctx, id)) },
				"CreateSession":           func(id string) error { return ignore(u.CreateSession(k.ctx, id)) },
				"DeleteSession":           func(id string) error { return u.DeleteSession(k.ctx, id, "x") },
				"DeleteSessions":          func(id string) error { return u.DeleteSessions(k.ctx, id) },
				"Logs":                    func(id string) error { return ignore(u.Logs(k.ctx, id)) },
			} {
				k.refuses(fmt.Sprintf("%s of %q", name, what), want, func() error { return do(what) })
			}
		}
	})
}

func TestServerChangesName(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		user := k.signUp(ada)
		k.forget()
		got, err := k.Users().UpdateName(k.ctx, user.ID, "")
		k.must(err)
		if got.Name != "" {
			k.Errorf("%+v", got)
		}
		k.same("events", k.events(user.ID, "U"), []string{"users.U.update.name by server"})
		k.same("log", k.logs(), []string{"user.update by server"})
		k.refuses("too long", latchkey.ErrArgumentInvalid, func() error {
			return ignore(k.Users().UpdateName(k.ctx, user.ID, strings.Repeat("x", 129)))
		})
	})
}

func TestServerChangesAndClearsAddresses(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		u := k.Users()
		one, two := k.signUp(ada), k.signUp(bob)
		k.must(ignore(u.UpdateEmailVerification(k.ctx, one.ID, true)))
		for _, id := range []string{one.ID, two.ID} { // many may have none
			got, err := u.UpdateEmail(k.ctx, id, "")
			k.must(err)
			if got.Email != "" || got.EmailVerification || len(got.Targets) != 0 {
				k.Errorf("cleared: %+v", got)
			}
			k.must(ignore(u.UpdatePhone(k.ctx, id, "")))
		}
		got, err := u.UpdateEmail(k.ctx, one.ID, "NEW@example.org")
		k.must(err)
		if got.Email != "new@example.org" || len(got.Targets) != 1 || got.Targets[0].Identifier != "new@example.org" {
			k.Errorf("set: %+v", got)
		}
		k.forget()
		got, err = u.UpdatePhone(k.ctx, one.ID, "+14155550100")
		k.must(err)
		k.same("events", k.events(one.ID, "U"), []string{"users.U.update.phone by server"})
		if got.Phone != "+14155550100" || len(got.Targets) != 2 {
			k.Errorf("set: %+v", got)
		}
		k.refuses("the same address", nil, func() error { return ignore(u.UpdateEmail(k.ctx, one.ID, "new@Example.org")) })
		k.refuses("the same number", nil, func() error { return ignore(u.UpdatePhone(k.ctx, one.ID, "+14155550100")) })
		k.refuses("no address", latchkey.ErrArgumentInvalid, func() error { return ignore(u.UpdateEmail(k.ctx, one.ID, "x")) })
		k.refuses("no number", latchkey.ErrArgumentInvalid, func() error { return ignore(u.UpdatePhone(k.ctx, one.ID, "x")) })
		got, err = u.UpdatePhone(k.ctx, one.ID, "")
		k.must(err)
		if got.Phone != "" || len(got.Targets) != 1 {
			k.Errorf("cleared: %+v", got)
		}
		k.signIn("new@example.org")
	})
}

func TestServerSetsAndTakesPasswords(t *testing.T) {
	for _, keep := range []bool{false, true} {
		t.Run(fmt.Sprint("keep ", keep), func(t *testing.T) {
			onEveryStore(t, latchkey.Policy{KeepSessionsOnPasswordChange: keep}, func(k *kit) {
				u := k.Users()
				user := k.signUp(ada)
				session, account := k.signIn(ada)
				k.clock.Advance(time.Second)
				k.forget()
				got, err := u.UpdatePassword(k.ctx, user.ID, "another horse")
				k.must(err)
				if !got.PasswordUpdate.Equal(k.clock.Now()) {
					k.Errorf("%+v", got)
				}
				events, logs := []string{"users.U.update.password by server", "users.U.sessions.S.delete by server"}, []string{"session.delete by server", "user.update by server"}
				if keep {
					events, logs = events[:1], logs[1:]
				}
				k.same("events", k.events(user.ID, "U", session.ID, "S"), events)
				k.same("log", k.logs(), logs)
				if _, err := account.User(k.ctx); keep != (err == nil) {
					k.Errorf("the session: %v", err)
				}
				_, err = k.guest.CreateEmailPasswordSession(k.ctx, ada, "another horse")
				k.must(err)
				got, err = u.UpdatePassword(k.ctx, user.ID, "")
				k.must(err)
				for _, p := range []string{"another horse", password} {
					if _, err := k.guest.CreateEmailPasswordSession(k.ctx, ada, p); err != latchkey.ErrInvalidCredentials {
						k.Errorf("after the password was taken: %v", err)
					}
				}
				if got.PasswordUpdate.IsZero() {
					k.Error("it looks as if there never was a password")
				}
				k.refuses("against the rules", latchkey.ErrArgumentInvalid, func() error { return ignore(u.UpdatePassword(k.ctx, user.ID, "1234567")) })
				k.changeUser(user.ID, func(u *record.User) { u.MustReset = true })
				k.must(ignore(u.UpdatePassword(k.ctx, user.ID, password)))
				_, account = k.signIn(ada)
				k.must(ignore(account.User(k.ctx)))
			})
		})
	}
}

func TestServerBlocksAndLetsIn(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		u := k.Users()
		user := k.signUp(ada)
		session, account := k.signIn(ada)
		k.forget()
		got, err := u.UpdateStatus(k.ctx, user.ID, false)
		k.must(err)
		if got.Status {
			k.Error("not blocked")
		}
		k.same("events", k.events(user.ID, "U"), []string{"users.U.update.status by server"})
		k.same("log", k.logs(), []string{"user.update by server"})
		k.refuses("handle", latchkey.ErrUserBlocked, func() error { return account.DeleteSession(k.ctx, latchkey.Current) })
		k.refuses("secret", latchkey.ErrUserBlocked, func() error { return ignore(k.guest.Authenticate(k.ctx, session.Secret)) })
		k.refuses("a session by the server", latchkey.ErrUserBlocked, func() error { return ignore(u.CreateSession(k.ctx, user.ID)) })
		k.refuses("twice", nil, func() error { return ignore(u.UpdateStatus(k.ctx, user.ID, false)) })
		if _, err := k.guest.CreateEmailPasswordSession(k.ctx, ada, password); err != latchkey.ErrUserBlocked {
			k.Errorf("sign-in: %v", err)
		}
		k.same("log of the sign-in", k.logs(), []string{"session.refuse by guest for user_blocked, 1"})
		k.must(ignore(u.UpdateStatus(k.ctx, user.ID, true)))
		k.must(ignore(account.User(k.ctx)))
	})
}

func TestServerSaysWhatIsVerified(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		u := k.Users()
		user := k.signUp(ada)
		k.signIn(ada)
		k.forget()
		got, err := u.UpdateEmailVerification(k.ctx, user.ID, true)
		k.must(err)
		if !got.EmailVerification {
			k.Error("not verified")
		}
		k.same("events", k.events(user.ID, "U"), []string{"users.U.update.verification by server"})
		k.same("log", k.logs(), []string{"verification.update by server"})
		k.refuses("no number", latchkey.ErrPhoneNotFound, func() error { return ignore(u.UpdatePhoneVerification(k.ctx, user.ID, true)) })
		k.refuses("no number, false", nil, func() error { return ignore(u.UpdatePhoneVerification(k.ctx, user.ID, false)) })
		k.must(ignore(u.UpdatePhone(k.ctx, user.ID, "+14155550100")))
		got, err = u.UpdatePhoneVerification(k.ctx, user.ID, true)
		k.must(err)
		if !got.PhoneVerification {
			k.Error("not verified")
		}
		k.must(ignore(u.UpdateEmailVerification(k.ctx, user.ID, false)))
		k.must(ignore(u.UpdateEmail(k.ctx, user.ID, "")))
		k.refuses("no address", latchkey.ErrEmailNotFound, func() error { return ignore(u.UpdateEmailVerification(k.ctx, user.ID, true)) })
	})
}

func TestServerReplacesLabels(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		u := k.Users()
		user := k.signUp(ada)
		k.forget()
		got, err := u.UpdateLabels(k.ctx, user.ID, []string{"vip", "Beta2", "vip", strings.Repeat("x", 36)})
		k.must(err)
		k.same("labels", got.Labels, []string{"vip", "Beta2", strings.Repeat("x", 36)})
		k.same("events", k.events(user.ID, "U"), []string{"users.U.update.labels by server"})
		k.same("log", k.logs(), []string{"user.update by server"})
		many := make([]string, 1_001)
		for i := range many {
			many[i] = fmt.Sprint("label", i)
		}
		for what, labels := range map[string][]string{
			"hyphen": {"a-b"}, "empty": {""}, "37 characters": {strings.Repeat("x", 37)}, "umlaut": {"ä"}, "1,001": many,
		} {
			k.refuses(what, latchkey.ErrArgumentInvalid, func() error { return ignore(u.UpdateLabels(k.ctx, user.ID, labels)) })
		}
		got, err = u.UpdateLabels(k.ctx, user.ID, many[:1_000])
		k.must(err)
		if len(got.Labels) != 1_000 {
			k.Errorf("%d labels", len(got.Labels))
		}
		got, err = u.UpdateLabels(k.ctx, user.ID, nil)
		k.must(err)
		k.same("labels", got.Labels, []string{})
	})
}

func TestServerMakesListsAndEndsSessions(t *testing.T) {
	onEveryStore(t, latchkey.Policy{SessionLimit: 2, SessionLength: time.Hour}, func(k *kit) {
		u := k.Users().At(testClient)
		user := k.signUp(ada)
		k.forget()
		made, err := u.CreateSession(k.ctx, user.ID)
		k.must(err)
		now := k.clock.Now()
		want := &latchkey.Session{
			ID: made.ID, UserID: user.ID, CreatedAt: now, UpdatedAt: now, Expire: now.Add(time.Hour), Provider: "server",
			Factors: []string{"server"}, IP: "192.0.2.7", Device: made.Device, Secret: made.Secret,
		}
		k.same("session", made, want)
		if made.Device.ClientCode != "CH" {
			k.Errorf("device %+v", made.Device)
		}
		k.same("events", k.events(user.ID, "U", made.ID, "S"), []string{"users.U.sessions.S.create by server"})
		k.same("log", k.logs(), []string{"session.create by server"})
		account, err := k.guest.Authenticate(k.ctx, made.Secret)
		k.must(err)
		k.must(ignore(account.User(k.ctx)))
		want.Secret = ""
		list, err := u.Sessions(k.ctx, user.ID)
		k.must(err)
		k.same("sessions", list, &latchkey.SessionList{Total: 1, Sessions: []*latchkey.Session{want}})

		k.clock.Advance(time.Minute)
		k.must(ignore(u.CreateSession(k.ctx, user.ID)))
		k.forget()
		k.clock.Advance(time.Minute)
		third, err := u.CreateSession(k.ctx, user.ID) // the limit holds
		k.must(err)
		k.same("events of the third", k.events(user.ID, "U", made.ID, "S1", third.ID, "S3"), []string{
			"users.U.sessions.S1.delete by server", "users.U.sessions.S3.create by server",
		})
		k.same("log of the third", k.logs(), []string{"session.create by server", "session.delete by server"})
	})
}

func TestServerEndsSessions(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		u := k.Users()
		user, other := k.signUp(ada), k.signUp(bob)
		one, _ := k.signIn(ada)
		two, _ := k.signIn(ada)
		three, _ := k.signIn(ada)
		bobs, _ := k.signIn(bob)
		k.forget()
		k.must(u.DeleteSession(k.ctx, user.ID, one.ID))
		k.same("events", k.events(user.ID, "U", one.ID, "S"), []string{"users.U.sessions.S.delete by server"})
		k.same("log", k.logs(), []string{"session.delete by server"})
		k.refuses("twice", latchkey.ErrSessionNotFound, func() error { return u.DeleteSession(k.ctx, user.ID, one.ID) })
		k.refuses("of somebody else", latchkey.ErrSessionNotFound, func() error { return u.DeleteSession(k.ctx, user.ID, bobs.ID) })
		k.refuses("current", latchkey.ErrSessionNotFound, func() error { return u.DeleteSession(k.ctx, user.ID, latchkey.Current) })
		k.must(u.DeleteSessions(k.ctx, user.ID))
		k.same("events", k.events(user.ID, "U", two.ID, "S2", three.ID, "S3"), []string{
			"users.U.sessions.S2.delete by server", "users.U.sessions.S3.delete by server",
		})
		k.refuses("none left", nil, func() error { return u.DeleteSessions(k.ctx, user.ID) })
		list, err := u.Sessions(k.ctx, other.ID)
		k.must(err)
		if list.Total != 1 {
			k.Errorf("%d sessions of the other", list.Total)
		}
	})
}
