package latchkey_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/hasher"
	"example.com/latchkey/hasher/hashertest"
	"example.com/latchkey/hidden"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/store"
	"example.com/latchkey/store/storetest"
)

// at returns an identity of a subject at a provider.
func at(provider, subject string) latchkey.PortableIdentity {
	return latchkey.PortableIdentity{Provider: provider, Issuer: "https://" + provider + ".example", Subject: subject}
}

// What a stored user has is refused as what a user of the same batch has, and what a refused
// record would have had stays free.
func TestAnImportMeetsStoredUsersAsThoseOfItsBatch(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		have := person(latchkey.PortableUser{ID: "ada", Email: kit.Ada, Phone: kit.Phone, Targets: []latchkey.Target{
			{ID: "t1", ProviderType: "push", Identifier: "device"}, {ProviderType: "email", Identifier: kit.Ada}, {ProviderType: "sms", Identifier: kit.Phone},
		}})
		proven := at("acme", "9")
		proven.Email, proven.EmailVerified = kit.Ada, true
		twice := at("acme", "10")
		twice.ID = "i10"
		again := at("other", "10")
		again.ID = "i10"
		others := []latchkey.Portable{
			person(latchkey.PortableUser{ID: "same-number", Phone: kit.Phone}),
			person(latchkey.PortableUser{ID: "same-target", Targets: []latchkey.Target{{ProviderType: "push", Identifier: "device"}}}),
			person(latchkey.PortableUser{ID: "same-proof", Identities: []latchkey.PortableIdentity{proven}}),
			person(latchkey.PortableUser{ID: "target-twice", Targets: []latchkey.Target{{ID: "t2", ProviderType: "push", Identifier: "a"}, {ID: "t2", ProviderType: "push", Identifier: "b"}}}),
			person(latchkey.PortableUser{ID: "identity-twice", Identities: []latchkey.PortableIdentity{twice, again}}),
			person(latchkey.PortableUser{ID: "ada", Email: "free@example.org", Phone: kit.OwnPhone}),
			person(latchkey.PortableUser{ID: "free", Email: "free@example.org", Phone: kit.OwnPhone}),
		}
		want := []string{
			"same-number refused user_already_exists", "same-target created", "same-proof created", "target-twice refused user_target_already_exists",
			"identity-twice refused user_identity_already_exists", "ada refused user_already_exists", "free created",
		}
		for n, records := range [][]latchkey.Portable{append([]latchkey.Portable{have}, others...), others} {
			results, _ := imports(k, trusted, the(records...))
			for i, w := range want {
				if r := results[len(results)-len(want)+i]; !strings.HasSuffix(r, w) {
					k.Errorf("batch %d: %s, not %s", n, r, w)
				}
			}
			user, err := k.Users().Get(k.Ctx, "same-target")
			k.Must(err)
			k.Same("its targets", len(user.Targets), 0)
			for _, id := range []string{"same-target", "same-proof", "free"} {
				k.Must(k.Users().Delete(k.Ctx, id))
			}
		}
	})
}

// Two subjects are the same only at one provider and one issuer.
func TestAnImportKnowsASubjectByItsIssuer(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		elsewhere := at("acme", "1")
		elsewhere.Issuer = "https://elsewhere.example"
		_, done := imports(k, trusted, the(
			person(latchkey.PortableUser{ID: "u1", Identities: []latchkey.PortableIdentity{at("zeta", "1"), at("acme", "1"), elsewhere}}),
			person(latchkey.PortableUser{ID: "u2", Identities: []latchkey.PortableIdentity{at("zeta", "2")}}),
		))
		k.Same("counts", done, latchkey.Imported{Created: 2})
		row, err := record.Users.Get(k.Ctx, k.Raw, record.Users.Primary(), store.Text("u1"))
		k.Must(err)
		k.Same("the providers", row.Providers, "acme zeta")
	})
}

// What waits is no factor and no sign-in yet, and proves no address.
func TestWhatWaitsIsImportedAsWaiting(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		pending := at("acme", "1")
		pending.ID, pending.Pending, pending.Email, pending.EmailVerified = "i1", true, "waits@example.org", true
		_, done := imports(k, trusted, the(person(latchkey.PortableUser{
			ID: "ada", Email: kit.Ada, Identities: []latchkey.PortableIdentity{pending},
			Authenticator: &latchkey.PortableAuthenticator{Seed: hidden.New(strings.Repeat("A", 32)), Pending: true, Step: -5},
		})))
		k.Same("counts", done, latchkey.Imported{Created: 1})
		factors, err := k.Users().MFAFactors(k.Ctx, "ada")
		k.Must(err)
		k.Same("TOTP", factors.TOTP, false)
		k.Must(k.Export(k.Ctx, latchkey.ExportOptions{Secrets: true}, func(p latchkey.Portable) error {
			k.Same("the step", []any{p.User.Authenticator.Pending, p.User.Authenticator.Step}, []any{true, int64(0)})
			return nil
		}))
		k.SignUp("waits@example.org")
	})
}

// Users come with the events and the lines of the log that Users.Create makes, and identities
// with theirs.
func TestAnImportTellsWhatItMakes(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.Must(kit.Err(k.Users().Create(k.Ctx, latchkey.NewUser{UserID: "ada", Email: kit.Ada})))
		events := k.Events("ada", "ID")
		k.Forget()
		identity := at("acme", "1")
		identity.ID = "i1"
		imports(k, trusted, the(person(latchkey.PortableUser{ID: "bob", Email: kit.Bob, Identities: []latchkey.PortableIdentity{identity}})))
		k.Same("the log", k.Logs(), []string{"identity.create by server", "user.create by server"})
		k.Same("the events", k.Events("bob", "ID"), []string{"users.ID.create by server", "users.ID.identities.i1.create by server"})
		k.Same("the event of a creation", events, []string{"users.ID.create by server"})
		found, err := k.Users().List(k.Ctx)
		k.Must(err)
		k.Same("users", found.Total, 2)
	})
}

// Wrong passwords that strangers have tried at an address count no more for who comes with it.
func TestAnImportForgetsGuessesAtItsAddresses(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		wrongly(k, "192.0.2.7", kit.Ada, 12)
		k.Same("slowed before", len(slowed(k, k.Engine)), 1)
		_, done := imports(k, trusted, the(person(latchkey.PortableUser{ID: "ada", Email: kit.Ada, Password: hidden.New("$md5$" + md5Hash)})))
		k.Same("counts", done, latchkey.Imported{Created: 1})
		k.Same("slowed after", len(slowed(k, k.Engine)), 0)
		k.Must(k.Try("192.0.2.7", kit.Ada, "appwrite"))
	})
}

// A record that its source cannot read is told with the line that the source names.
func TestARecordErrorIsToldWithItsLine(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		results, done := imports(k, trusted, func(yield func(latchkey.Portable, error) bool) {
			_ = yield(person(latchkey.PortableUser{ID: "ada"}), &latchkey.RecordError{Line: 7, Reason: "it is torn"}) &&
				yield(latchkey.Portable{User: &latchkey.PortableUser{ID: "bob"}, Line: 8}, nil)
		})
		k.Same("counts", done, latchkey.Imported{Created: 1, Refused: 1})
		if len(results) != 2 || !strings.HasPrefix(results[0], "7  refused ") || !strings.HasSuffix(results[0], "it is torn") || results[1] != "8 bob created" {
			k.Errorf("%q", results)
		}
	})
}

// A panic of the iterator, or of the store, is the caller's, and comes when no batch is being
// written any more.
func TestAPanicOfAnImportIsTheCallers(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		caught := func(what any, records func(yield func(latchkey.Portable, error) bool)) {
			defer func() {
				if r := recover(); r != what {
					k.Errorf("%v was caught, not %v", r, what)
				}
			}()
			_, _ = k.Import(k.Ctx, records, latchkey.ImportOptions{})
		}
		hook := k.Store.Hook
		leaving := make(chan struct{})
		k.Store.Hook = func(c storetest.Call) error {
			if c.Name == "Commit" && !c.Done {
				<-leaving
				for range 1_000 { // an import that does not wait is back before the commit
					runtime.Gosched()
				}
			}
			return hook(c)
		}
		caught("the file is gone", func(yield func(latchkey.Portable, error) bool) {
			for _, p := range somePeople(500) {
				yield(p, nil)
			}
			close(leaving)
			panic("the file is gone")
		})
		k.Same("the first batch", k.Rows()["users"], 500)
		k.Store.Hook = func(c storetest.Call) error {
			if c.Name == "Commit" && !c.Done {
				panic("the disk is gone")
			}
			return hook(c)
		}
		caught("the disk is gone", the(person(latchkey.PortableUser{ID: "zoe"})))
		k.Store.Hook = func(c storetest.Call) error {
			if c.Name == "Commit" && !c.Done {
				runtime.Goexit()
			}
			return hook(c)
		}
		done, err := k.Import(k.Ctx, the(person(latchkey.PortableUser{ID: "zoe"})), latchkey.ImportOptions{})
		k.Store.Hook = hook
		if err == nil || done != (latchkey.Imported{}) {
			k.Errorf("the store ends its goroutine: %+v, %v", done, err)
		}
		k.Same("after the first batch", k.Rows()["users"], 500)
	})
}

// A hash of package hasher that is weaker than those of the engine is wrapped as a foreign one.
// One that is strong, or as the engine makes it, stays. A slow hash of another kind stays too,
// and signs in.
func TestAnImportWrapsWhatIsWeak(t *testing.T) {
	strong, err := hasher.New(hasher.Config{})
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	slowHash, err := strong.Hash(ctx, kit.Password)
	if err != nil {
		t.Fatal(err)
	}
	const slowArgon2i = "$argon2i$v=19$m=8192,t=3,p=4$c29tZXNhbHQ$WovzXFk9Ki1HMUqPUCi7e6o5cF+gQq5O" // of appwrite
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		own, err := k.Hasher.Hash(k.Ctx, kit.Password)
		k.Must(err)
		weak := strings.Replace(own, "m=64,", "m=72,", 1)
		for id, in := range map[string]struct {
			hash    string
			wrapped bool
		}{"own": {own, false}, "weak": {weak, true}, "strong": {slowHash, false}, "argon2i": {slowArgon2i, false}, "md5": {"$md5$" + md5Hash, true}} {
			for _, history := range [][]latchkey.Secret{nil, {hidden.New(in.hash)}} {
				_, done := imports(k, trusted, the(person(latchkey.PortableUser{ID: id, Email: id + "@example.org", Password: hidden.New(in.hash), PasswordHistory: history})))
				k.Same(id, done, latchkey.Imported{Created: 1})
				kept, err := k.Users().PasswordHash(k.Ctx, id)
				k.Must(err)
				if strings.HasPrefix(kept.Reveal(), "$wrapped$") != in.wrapped || !in.wrapped && kept.Reveal() != in.hash {
					k.Errorf("%s is kept as %s", id, kept.Reveal())
				}
				k.Must(k.Export(k.Ctx, latchkey.ExportOptions{Secrets: true}, func(p latchkey.Portable) error {
					for _, former := range p.User.PasswordHistory {
						if strings.HasPrefix(former.Reveal(), "$wrapped$") != in.wrapped {
							k.Errorf("%s is in the history as %s", id, former.Reveal())
						}
					}
					return nil
				}))
				if id == "argon2i" {
					k.Must(kit.Err(k.Visitor.CreateEmailPasswordSession(k.Ctx, id+"@example.org", "appwrite")))
				}
				k.Must(k.Users().Delete(k.Ctx, id))
			}
		}
	})
}

// An import waits for its turn among those who sign in, until its caller gives up. The other
// imports are refused, as a sign-up is.
func TestAnImportWaitsWhileTheHasherIsBusy(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		few, err := hasher.New(hasher.Config{Queue: 1, Wait: time.Millisecond})
		k.Must(err)
		engine := k.Configured(func(c *latchkey.Config) { c.Hasher = few })
		release := hashertest.Hold(k.T, few)
		hashed := latchkey.HashedUser{UserID: "one", Email: "one@example.org", Hash: hidden.New(md5Hash)}
		if _, err := engine.Users().CreateMD5User(k.Ctx, hashed); err != latchkey.ErrBusy {
			k.Errorf("one user: %v", err)
		}
		ended := make(chan error)
		go func() {
			done, err := engine.Import(k.Ctx, the(person(latchkey.PortableUser{ID: "ada", Password: hidden.New("$md5$" + md5Hash)})), latchkey.ImportOptions{})
			if err == nil && done != (latchkey.Imported{Created: 1}) {
				err = fmt.Errorf("%+v", done)
			}
			ended <- err
		}()
		select {
		case err := <-ended:
			k.Fatalf("it does not wait: %v", err)
		case <-time.After(50 * time.Millisecond):
		}
		release()
		k.Must(<-ended)
	})
}

// The forms that the fields of a record may not have, beside those that are tried elsewhere.
func TestAnImportChecksTheFormsOfWhatComesAlong(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		far := time.Date(10_000, 1, 1, 0, 0, 0, 0, time.UTC)
		ok := at("acme", "1")
		with := func(change func(i *latchkey.PortableIdentity)) latchkey.PortableUser {
			i := ok
			change(&i)
			return latchkey.PortableUser{Identities: []latchkey.PortableIdentity{i}}
		}
		many := make([]latchkey.Target, 200)
		identities := make([]latchkey.PortableIdentity, 200)
		for i := range many {
			many[i] = latchkey.Target{ProviderType: "push", Identifier: fmt.Sprint("device", i)}
			identities[i] = at("acme", fmt.Sprint(i))
		}
		codes := make([]latchkey.PortableRecoveryCode, 101)
		for i := range codes {
			codes[i].Digest = []byte(fmt.Sprintf("%032d", i))
		}
		history := make([]latchkey.Secret, 101)
		for i := range history {
			history[i] = hidden.New("$md5$" + md5Hash)
		}
		seed := hidden.New(strings.Repeat("A", 32))
		for name, p := range map[string]latchkey.PortableUser{
			"identity id":             with(func(i *latchkey.PortableIdentity) { i.ID = "-" }),
			"identity without issuer": with(func(i *latchkey.PortableIdentity) { i.Issuer = "" }),
			"a long issuer":           with(func(i *latchkey.PortableIdentity) { i.Issuer = strings.Repeat("ä", 128) }),
			"a long subject":          with(func(i *latchkey.PortableIdentity) { i.Subject = strings.Repeat("ä", 128) }),
			"identity name":           with(func(i *latchkey.PortableIdentity) { i.Name = strings.Repeat("x", 129) }),
			"a long refresh token":    with(func(i *latchkey.PortableIdentity) { i.Refresh = hidden.New(strings.Repeat("x", 1<<16+1)) }),
			"identity made ahead":     with(func(i *latchkey.PortableIdentity) { i.CreatedAt = far }),
			"identity changed ahead":  with(func(i *latchkey.PortableIdentity) { i.UpdatedAt = far }),
			"many identities":         {Identities: identities},
			"many targets":            {Targets: many},
			"target made ahead":       {Targets: []latchkey.Target{{ProviderType: "push", Identifier: "x", CreatedAt: far}}},
			"many recovery codes":     {RecoveryCodes: codes},
			"a code and a digest":     {RecoveryCodes: []latchkey.PortableRecoveryCode{{Code: hidden.New("no code"), Digest: codes[0].Digest}}},
			"a session of a code":     {RecoveryCodes: []latchkey.PortableRecoveryCode{{Digest: codes[0].Digest, SessionID: "-"}}},
			"a code of tomorrow":      {RecoveryCodes: []latchkey.PortableRecoveryCode{{Digest: codes[0].Digest, CreatedAt: far}}},
			"a long history":          {PasswordHistory: history},
			"a long seed":             {Authenticator: &latchkey.PortableAuthenticator{Seed: hidden.New(strings.Repeat("A", 104))}},
			"a torn seed":             {Authenticator: &latchkey.PortableAuthenticator{Seed: hidden.New(strings.Repeat("A", 32) + "!")}},
			"an app of tomorrow":      {Authenticator: &latchkey.PortableAuthenticator{Seed: seed, CreatedAt: far}},
			"an app that changes":     {Authenticator: &latchkey.PortableAuthenticator{Seed: seed, UpdatedAt: far}},
		} {
			results, done := imports(k, trusted, the(person(p)))
			if done.Refused != 1 || !strings.Contains(results[0], "general_argument_invalid") && !strings.Contains(results[0], "general_") {
				k.Errorf("%s: %v", name, results)
			}
		}
		k.SignUp(kit.Ada)
		teams, done := imports(k, trusted, the(
			latchkey.Portable{Team: &latchkey.PortableTeam{ID: "-", Name: "Club"}},
			latchkey.Portable{Team: &latchkey.PortableTeam{ID: "club", Name: "Club", Prefs: []byte("[]")}},
			latchkey.Portable{Team: &latchkey.PortableTeam{ID: "club", Name: "Club", CreatedAt: far}},
			latchkey.Portable{Team: &latchkey.PortableTeam{ID: "club", Name: "Club", UpdatedAt: far}},
			latchkey.Portable{Team: &latchkey.PortableTeam{ID: "club", Name: "Club"}},
			latchkey.Portable{Membership: &latchkey.PortableMembership{ID: "-", TeamID: "club", UserID: k.IDOf(kit.Ada), Roles: []string{}}},
			latchkey.Portable{Membership: &latchkey.PortableMembership{TeamID: "club", UserID: "nobody", Roles: []string{}}},
			latchkey.Portable{Membership: &latchkey.PortableMembership{TeamID: "club", UserID: k.IDOf(kit.Ada), Roles: []string{"a role!"}}},
			latchkey.Portable{Membership: &latchkey.PortableMembership{TeamID: "club", UserID: k.IDOf(kit.Ada), Roles: []string{}, Joined: far}},
		))
		if done != (latchkey.Imported{Created: 1, Refused: 8}) {
			k.Errorf("teams: %q", teams)
		}
	})
}

// A team or a membership that is there is left as it is. Another one under its id is refused.
func TestATeamOrMembershipThatIsThereStays(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		joined := k.Clock.Now().Add(-time.Hour).UTC()
		team := func(id string) latchkey.Portable {
			return latchkey.Portable{Team: &latchkey.PortableTeam{ID: id, Name: id}}
		}
		member := func(id, team, user string) latchkey.Portable {
			return latchkey.Portable{Membership: &latchkey.PortableMembership{ID: id, TeamID: team, UserID: user, Roles: []string{"owner"}, CreatedAt: joined}}
		}
		all := []latchkey.Portable{
			person(latchkey.PortableUser{ID: "ada"}), person(latchkey.PortableUser{ID: "bob"}), team("club"), team("band"),
			member("m1", "club", "ada"), member("", "band", "ada"),
		}
		results, done := imports(k, trusted, the(all...))
		if done.Created != 6 || strings.HasPrefix(results[5], "6  ") {
			k.Errorf("%q", results)
		}
		list, err := k.Teams().Memberships(k.Ctx, "club")
		k.Must(err)
		k.Same("joined", list.Memberships[0].Joined.UTC(), joined)
		before := k.Everything()
		results, _ = imports(k, trusted, the(append(all[:5:5], member("m1", "club", "bob"), member("m1", "band", "ada"), member("m2", "club", "ada"), member("m3", "none", "ada"))...))
		k.Same("again", results, []string{
			"1 ada existed", "2 bob existed", "3 club existed", "4 band existed", "5 m1 existed", "6 m1 refused general_argument_invalid", "7 m1 refused general_argument_invalid",
			"8 m2 refused membership_already_confirmed", "9 m3 refused team_not_found",
		})
		k.Same("the rows", k.Everything(), before)
		// An invitation is no membership yet.
		k.Must(kit.Err(k.Teams().CreateMembership(k.Ctx, "club", latchkey.NewMembership{UserID: k.SignUp("owner@example.org").ID, Roles: []string{"owner"}})))
		_, owner := k.SignIn("owner@example.org")
		invited, err := owner.Teams().CreateMembership(k.Ctx, "club", latchkey.NewMembership{UserID: k.SignUp("guest@example.org").ID, Roles: []string{}, URL: kit.JoinURL})
		k.Must(err)
		results, _ = imports(k, trusted, the(member(invited.ID, "club", invited.UserID)))
		k.Must(k.Export(k.Ctx, latchkey.ExportOptions{}, func(p latchkey.Portable) error {
			if p.Membership != nil && p.Membership.ID == invited.ID {
				k.Error("an invitation is exported")
			}
			return nil
		}))
		k.Same("an invitation", results, []string{"1 " + invited.ID + " refused general_argument_invalid"})
		results, _ = imports(k, trusted, the(person(latchkey.PortableUser{ID: "ada", Email: kit.Ada}), person(latchkey.PortableUser{ID: "bob", Phone: kit.Phone})))
		k.Same("others", results, []string{"1 ada refused user_already_exists", "2 bob refused user_already_exists"})
	})
}

// What an engine remembers of an address holds only while the address is proven, and times are
// kept in UTC, in microseconds.
func TestAnImportKeepsWhatHoldsHere(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		made := time.Date(2020, 1, 2, 3, 4, 5, 678_901_234, time.FixedZone("", 3600))
		both := latchkey.PortableUser{ID: "ada", Email: kit.Ada, EmailVerified: true, Phone: kit.Phone, PhoneVerified: true, CreatedAt: made}
		for _, half := range []string{"email", "phone"} {
			p := both
			p.State = latchkey.PortableState{Unclaimed: true, Half: half}
			for _, trust := range []bool{false, true} {
				want := ""
				if trust {
					want = half
				}
				imports(k, latchkey.ImportOptions{TrustVerified: trust}, the(person(p)))
				row, err := record.Users.Get(k.Ctx, k.Raw, record.Users.Primary(), store.Text("ada"))
				k.Must(err)
				k.Same(half, []any{row.Half, row.Unclaimed, row.EmailVerified, row.PhoneVerified}, []any{want, want != "", want != "", want != ""})
				k.Same("created", row.Created, made.UTC().Truncate(time.Microsecond))
				k.Must(k.Users().Delete(k.Ctx, "ada"))
			}
		}
	})
}

// Tokens of providers come along only where the policy keeps them.
func TestAnImportKeepsTokensOnlyIfThePolicyDoes(t *testing.T) {
	for name, keep := range map[string]bool{"kept": true, "not kept": false} {
		t.Run(name, func(t *testing.T) {
			kit.OnEveryStore(t, latchkey.Policy{KeepProviderTokens: keep}, func(k *kit.Kit) {
				i := at("acme", "1")
				i.Access, i.Refresh, i.Email, i.Expire = hidden.New("access"), hidden.New("refresh"), "ADA@EXAMPLE.ORG", k.Clock.Now()
				imports(k, trusted, the(person(latchkey.PortableUser{ID: "ada", Identities: []latchkey.PortableIdentity{i}})))
				k.Must(k.Export(k.Ctx, latchkey.ExportOptions{Secrets: true}, func(p latchkey.Portable) error {
					got := p.User.Identities[0]
					k.Same("tokens", []any{got.Access.IsZero(), got.Refresh.IsZero(), got.Expire.IsZero(), got.Email}, []any{!keep, !keep, !keep, kit.Ada})
					return nil
				}))
				k.Must(k.Export(k.Ctx, latchkey.ExportOptions{}, func(p latchkey.Portable) error {
					got := p.User.Identities[0]
					k.Same("tokens unasked", []any{got.Access.IsZero(), got.Refresh.IsZero()}, []any{true, true})
					return nil
				}))
			})
		})
	}
}

// The address policy counts for who is imported too.
func TestAnImportKeepsToTheAddressPolicy(t *testing.T) {
	kit.OnEveryStore(t, latchkey.Policy{Addresses: latchkey.AddressPolicy{RefuseFree: true}}, func(k *kit.Kit) {
		results, _ := imports(k, trusted, the(person(latchkey.PortableUser{ID: "ada", Email: "ada@gmail.com"})))
		if len(results) != 1 || !strings.HasPrefix(results[0], "1 ada refused ") {
			k.Errorf("%q", results)
		}
	})
}

// A hash that does not open ends an export. The users before it are told.
func TestAnExportEndsAtAHashThatDoesNotOpen(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		all := somePeople(3)
		all[1].User.Password = hidden.New("$md5$" + md5Hash)
		imports(k, trusted, the(all...))
		k.Tampered = true
		k.ChangeUser(all[1].User.ID, func(u *record.User) { u.Password[len(u.Password)-1] ^= 1 })
		var told []string
		err := k.Export(k.Ctx, latchkey.ExportOptions{Secrets: true}, func(p latchkey.Portable) error {
			told = append(told, p.User.ID)
			return nil
		})
		if err == nil || len(told) != 1 || told[0] != all[0].User.ID {
			k.Errorf("%v after %v", err, told)
		}
		k.Must(k.Export(k.Ctx, latchkey.ExportOptions{}, func(latchkey.Portable) error { return nil }))
	})
}

// A store that fails while one batch is written ends the import, although the next batch is
// already read.
func TestAnImportEndsWithTheFaultOfTheBatchBefore(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		hook, n := k.Store.Hook, 0
		k.Store.Hook = func(c storetest.Call) error {
			if c.Name == "Commit" && !c.Done {
				if n++; n == 1 {
					return kit.ErrDisk
				}
			}
			return hook(c)
		}
		told := 0
		done, err := k.Import(k.Ctx, the(somePeople(1_200)...), latchkey.ImportOptions{OnResult: func(latchkey.ImportResult) { told++ }})
		k.Store.Hook = hook
		if !errors.Is(err, kit.ErrDisk) || done != (latchkey.Imported{}) || told != 0 {
			k.Errorf("%+v, %d results, %v", done, told, err)
		}
		k.Same("users", k.Rows()["users"], 0)
	})
}

// again is a store that runs one transaction once without effect, then makes a change, and runs
// the transaction again.
type again struct {
	store.Store
	change func()
}

func (a *again) Update(ctx context.Context, fn func(context.Context, store.Tx) error) error {
	if change := a.change; change != nil {
		a.change = nil
		undone := errors.New("undone")
		if err := a.Store.Update(ctx, func(ctx context.Context, tx store.Tx) error { return cmp.Or(fn(ctx, tx), undone) }); err != undone {
			return err
		}
		change()
	}
	return a.Store.Update(ctx, fn)
}

// A transaction that runs again begins anew: what its first run has found does not count.
func TestABatchThatRunsAgainBeginsAnew(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		team := func(id string) latchkey.Portable {
			return latchkey.Portable{Team: &latchkey.PortableTeam{ID: id, Name: id}}
		}
		member := func(id, team string) latchkey.Portable {
			return latchkey.Portable{Membership: &latchkey.PortableMembership{ID: id, TeamID: team, UserID: "ada", Roles: []string{"owner"}}}
		}
		bob := person(latchkey.PortableUser{ID: "bob", Email: kit.Bob})
		_, done := imports(k, trusted, the(person(latchkey.PortableUser{ID: "ada"}), bob, person(latchkey.PortableUser{ID: "eve", Phone: kit.Phone, Email: "eve@example.org"}), team("club"), member("m1", "club")))
		k.Same("before", done, latchkey.Imported{Created: 5})
		s := &again{Store: k.Raw}
		engine, err := latchkey.New(s, latchkey.Config{Keys: k.Keys, Hasher: k.Hasher, Now: k.Clock.Now})
		k.Must(err)
		s.change = func() {
			k.Must(k.Users().Delete(k.Ctx, "bob"))
			k.Must(k.Users().Delete(k.Ctx, "eve"))
			k.Must(k.Teams().Delete(k.Ctx, "club"))
			k.Must(kit.Err(k.Teams().Create(k.Ctx, latchkey.NewTeam{ID: "late", Name: "Late"})))
		}
		proven := at("acme", "1")
		proven.ID, proven.Email, proven.EmailVerified = "i1", "eve@example.org", true
		var outcomes []string
		_, err = engine.Import(k.Ctx, the(
			bob, person(latchkey.PortableUser{ID: "number", Phone: kit.Phone}), person(latchkey.PortableUser{ID: "proof", Identities: []latchkey.PortableIdentity{proven}}),
			team("club"), member("m1", "club"), member("m2", "late"),
		), latchkey.ImportOptions{TrustVerified: true, TrustRoles: true, OnResult: func(r latchkey.ImportResult) {
			outcomes = append(outcomes, string(r.Outcome))
			if r.Err != nil {
				k.Errorf("line %d: %v", r.Line, r.Err)
			}
		}})
		k.Must(err)
		k.Same("outcomes", outcomes, slices.Repeat([]string{"created"}, 6))
		identity, err := k.Users().GetIdentity(k.Ctx, "i1")
		k.Must(err)
		k.Same("its proof", identity.ProviderEmailVerified, true)
		k.Must(engine.Close())
	})
}

// Each result is told once, also if the end of the source and a fault meet.
func TestEachResultOfAnImportIsToldOnce(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		ctx, cancel := context.WithCancel(k.Ctx)
		torn := errors.New("the file is torn")
		told := 0
		committed, hook := make(chan struct{}), k.Store.Hook
		k.Store.Hook = func(c storetest.Call) error {
			if c.Name == "Commit" && c.Done {
				close(committed)
			}
			return hook(c)
		}
		done, err := k.Import(ctx, func(yield func(latchkey.Portable, error) bool) {
			for _, p := range somePeople(500) {
				yield(p, nil)
			}
			<-committed
			yield(person(latchkey.PortableUser{ID: "zoe", Password: hidden.New("$md5$" + md5Hash)}), nil) // its hash is wrapped, which fails
			cancel()
			yield(latchkey.Portable{}, torn)
		}, latchkey.ImportOptions{OnResult: func(latchkey.ImportResult) { told++ }})
		k.Store.Hook = hook
		if !errors.Is(err, torn) || !errors.Is(err, context.Canceled) || done != (latchkey.Imported{Created: 500}) || told != 500 {
			k.Errorf("%+v, %d results, %v", done, told, err)
		}
	})
}

// A user without an id gets a fresh one, and the result tells it.
func TestAnImportTellsFreshIDs(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		var id string
		_, err := k.Import(k.Ctx, the(person(latchkey.PortableUser{Email: kit.Ada})), latchkey.ImportOptions{OnResult: func(r latchkey.ImportResult) { id = r.ID }})
		k.Must(err)
		k.Same("the id", id, k.IDOf(kit.Ada))
	})
}

// An empty list of targets says that another user has the target of the address.
func TestAnImportMakesNoTargetOutOfAnEmptyList(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		imports(k, trusted, the(
			person(latchkey.PortableUser{ID: "ada", Email: kit.Ada, Targets: []latchkey.Target{}}),
			person(latchkey.PortableUser{ID: "bob", Targets: []latchkey.Target{{ProviderType: "email", Identifier: kit.Ada}}}),
		))
		for id, want := range map[string]int{"ada": 0, "bob": 1} {
			user, err := k.Users().Get(k.Ctx, id)
			k.Must(err)
			k.Same(id, len(user.Targets), want)
		}
	})
}
