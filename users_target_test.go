package latchkey_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/query"
)

// target makes a push target of a user.
func target(k *kit.Kit, userID, identifier string) *latchkey.Target {
	k.Helper()
	t, err := k.Users().CreateTarget(k.Ctx, userID, latchkey.NewTarget{ProviderType: latchkey.TargetPush, Identifier: identifier})
	k.Must(err)
	return t
}

func TestCreateTargetIsShownEverywhereLoggedAndTold(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user := k.SignUp(kit.Ada)
		_, account := k.SignIn(kit.Ada)
		k.Clock.Advance(time.Minute)
		k.Forget()
		for _, n := range []latchkey.NewTarget{
			{ID: "own.id", ProviderType: "email", Identifier: "ADA@work.example.org", Name: "Work"},
			{ProviderType: "sms", Identifier: kit.Phone},
			{ProviderType: "push", Identifier: strings.Repeat("x", 255), ProviderID: "fcm"},
			{ProviderType: "push", Identifier: strings.Repeat("ü", 255)},
		} {
			k.Clock.Advance(time.Second)
			made, err := k.Users().CreateTarget(k.Ctx, user.ID, n)
			k.Must(err)
			if n.ID != "" && made.ID != n.ID || made.ID == "" {
				k.Errorf("the id is %q", made.ID)
			}
			want := &latchkey.Target{
				ID: made.ID, UserID: user.ID, CreatedAt: k.Clock.Now(), UpdatedAt: k.Clock.Now(), Name: n.Name, ProviderID: n.ProviderID,
				ProviderType: n.ProviderType, Identifier: strings.ToLower(n.Identifier),
			}
			k.Same("made", made, want)
			got, err := k.Users().GetTarget(k.Ctx, user.ID, made.ID)
			k.Must(err)
			k.Same("got", got, want)
			events := k.Told.Take()
			if len(events) != 1 || events[0].Name != "users."+user.ID+".targets."+made.ID+".create" || !events[0].Matches("users.*.targets.*.create") {
				k.Fatalf("told %v", events)
			}
			k.Same("told", events[0].Payload, want)
			if lines := k.Logs(); len(lines) != 1 || !strings.HasPrefix(lines[0], "target.create") {
				k.Errorf("logged %v", lines)
			}
			own, err := account.User(k.Ctx)
			k.Must(err)
			seen, err := k.Users().Get(k.Ctx, user.ID)
			k.Must(err)
			listed, err := k.Users().List(k.Ctx)
			k.Must(err)
			for what, u := range map[string]*latchkey.User{"account": own, "user": seen, "list": listed.Users[0]} {
				if last := u.Targets[len(u.Targets)-1]; u.Targets[0].Identifier != kit.Ada || last.ID != made.ID {
					k.Errorf("%s has the targets %v", what, u.Targets)
				}
			}
			k.Same("the account's", own.Targets, seen.Targets)
			k.Same("the list's", own.Targets, listed.Users[0].Targets)
		}
	})
}

func TestCreateTargetRefusesAndChangesNothing(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user, bob := k.SignUp(kit.Ada), k.SignUp(kit.Bob)
		k.Must(kit.Err(k.Users().CreateTarget(k.Ctx, bob.ID, latchkey.NewTarget{ID: "taken", ProviderType: "push", Identifier: "device"})))
		for _, test := range []struct {
			n    latchkey.NewTarget
			want error
		}{
			{latchkey.NewTarget{ProviderType: "email", Identifier: "no address"}, latchkey.ErrEmailInvalid},
			{latchkey.NewTarget{ProviderType: "sms", Identifier: "0123"}, latchkey.ErrPhoneInvalid},
			{latchkey.NewTarget{ProviderType: "", Identifier: "x"}, latchkey.ErrArgumentInvalid},
			{latchkey.NewTarget{ProviderType: "fax", Identifier: "x"}, latchkey.ErrArgumentInvalid},
			{latchkey.NewTarget{ProviderType: "push"}, latchkey.ErrArgumentInvalid},
			{latchkey.NewTarget{ProviderType: "push", Identifier: strings.Repeat("x", 256)}, latchkey.ErrArgumentInvalid},
			{latchkey.NewTarget{ProviderType: "push", Identifier: strings.Repeat("\U0001F600", 255)}, latchkey.ErrArgumentInvalid}, // no key can be so long
			{latchkey.NewTarget{ProviderType: "push", Identifier: "a\x00b"}, latchkey.ErrArgumentInvalid},
			{latchkey.NewTarget{ProviderType: "push", Identifier: "x", ID: "_id"}, latchkey.ErrArgumentInvalid},
			{latchkey.NewTarget{ProviderType: "push", Identifier: "x", ProviderID: "a b"}, latchkey.ErrArgumentInvalid},
			{latchkey.NewTarget{ProviderType: "push", Identifier: "x", Name: strings.Repeat("n", 129)}, latchkey.ErrArgumentInvalid},
			{latchkey.NewTarget{ProviderType: "push", Identifier: "x", ID: "taken"}, latchkey.ErrTargetAlreadyExists},
			{latchkey.NewTarget{ProviderType: "push", Identifier: "device"}, latchkey.ErrTargetAlreadyExists},
			{latchkey.NewTarget{ProviderType: "email", Identifier: "Bob@example.org"}, latchkey.ErrTargetAlreadyExists},
			{latchkey.NewTarget{ProviderType: "email", Identifier: kit.Ada}, latchkey.ErrTargetAlreadyExists}, // their own
		} {
			k.Refuses(fmt.Sprintf("%+v", test.n), test.want, func() error { return kit.Err(k.Users().CreateTarget(k.Ctx, user.ID, test.n)) })
		}
		k.Refuses("nobody", latchkey.ErrUserNotFound, func() error {
			return kit.Err(k.Users().CreateTarget(k.Ctx, "nobody", latchkey.NewTarget{ProviderType: "push", Identifier: "x"}))
		})
		for i := range 99 { // the address is the first
			target(k, user.ID, fmt.Sprint("device ", i))
		}
		k.Refuses("one more", latchkey.ErrArgumentInvalid, func() error {
			return kit.Err(k.Users().CreateTarget(k.Ctx, user.ID, latchkey.NewTarget{ProviderType: "push", Identifier: "x"}))
		})
	})
}

// An identifier of a push target is no address: nobody loses an address to it.
func TestAPushTargetTakesNobodysAddress(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user := k.SignUp(kit.Ada)
		target(k, user.ID, kit.Bob)
		bob := k.SignUp(kit.Bob)
		if len(bob.Targets) != 1 || bob.Targets[0].Identifier != kit.Bob {
			k.Errorf("%+v", bob.Targets)
		}
	})
}

func TestUpdateTargetChangesWhatIsGiven(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user, bob := k.SignUp(kit.Ada), k.SignUp(kit.Bob)
		made := target(k, user.ID, "device")
		k.Clock.Advance(time.Minute)
		k.Forget()
		got, err := k.Users().UpdateTarget(k.Ctx, user.ID, made.ID, latchkey.TargetUpdate{Identifier: "another", ProviderID: "fcm", Name: "Telephone"})
		k.Must(err)
		want := *made
		want.UpdatedAt, want.Identifier, want.ProviderID, want.Name = k.Clock.Now(), "another", "fcm", "Telephone"
		k.Same("updated", got, &want)
		if events := k.Told.Take(); len(events) != 1 || events[0].Name != "users."+user.ID+".targets."+made.ID+".update" {
			k.Errorf("told %v", events)
		}
		got, err = k.Users().UpdateTarget(k.Ctx, user.ID, made.ID, latchkey.TargetUpdate{Identifier: "another"})
		k.Must(err)
		k.Same("the same identifier", got, &want)
		other := target(k, bob.ID, "taken")
		for what, test := range map[string]struct {
			id, target string
			n          latchkey.TargetUpdate
			want       error
		}{
			"taken":      {user.ID, made.ID, latchkey.TargetUpdate{Identifier: "taken"}, latchkey.ErrTargetAlreadyExists},
			"bad":        {user.ID, made.ID, latchkey.TargetUpdate{ProviderID: "?"}, latchkey.ErrArgumentInvalid},
			"no address": {user.ID, user.Targets[0].ID, latchkey.TargetUpdate{Identifier: "x"}, latchkey.ErrEmailInvalid},
			"of another": {user.ID, other.ID, latchkey.TargetUpdate{Name: "x"}, latchkey.ErrTargetNotFound},
			"unknown":    {user.ID, "unknown", latchkey.TargetUpdate{Name: "x"}, latchkey.ErrTargetNotFound},
			"nobody":     {"nobody", made.ID, latchkey.TargetUpdate{Name: "x"}, latchkey.ErrUserNotFound},
		} {
			k.Refuses(what, test.want, func() error { return kit.Err(k.Users().UpdateTarget(k.Ctx, test.id, test.target, test.n)) })
		}
	})
}

func TestDeleteTargetAndThoseOfOthersAreNotFound(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user, bob := k.SignUp(kit.Ada), k.SignUp(kit.Bob)
		made := target(k, user.ID, "device")
		for _, id := range []string{made.ID, "unknown"} {
			k.Refuses("of another", latchkey.ErrTargetNotFound, func() error { return k.Users().DeleteTarget(k.Ctx, bob.ID, id) })
			k.Refuses("of another", latchkey.ErrTargetNotFound, func() error { return kit.Err(k.Users().GetTarget(k.Ctx, bob.ID, id)) })
		}
		k.Forget()
		k.Must(k.Users().DeleteTarget(k.Ctx, user.ID, made.ID))
		if events := k.Told.Take(); len(events) != 1 || events[0].Name != "users."+user.ID+".targets."+made.ID+".delete" {
			k.Errorf("told %v", events)
		}
		k.Refuses("gone", latchkey.ErrTargetNotFound, func() error { return k.Users().DeleteTarget(k.Ctx, user.ID, made.ID) })
		target(k, bob.ID, "device") // free again
		k.Must(k.Users().Delete(k.Ctx, bob.ID))
		target(k, user.ID, "device")
	})
}

func TestTargetsAreListedByQueries(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user, bob := k.SignUp(kit.Ada), k.SignUp(kit.Bob)
		other := target(k, bob.ID, "other")
		target(k, bob.ID, "third")
		for i := range 30 {
			k.Clock.Advance(time.Second)
			target(k, user.ID, fmt.Sprintf("device %02d", i))
		}
		list, err := k.Users().Targets(k.Ctx, user.ID)
		k.Must(err)
		if list.Total != 31 || len(list.Targets) != 25 || list.Targets[0].ProviderType != "email" || list.Next == "" || list.Prev != "" {
			k.Errorf("%d of %d, %q, %q", len(list.Targets), list.Total, list.Next, list.Prev)
		}
		next, err := k.Users().Targets(k.Ctx, user.ID, query.Page(list.Next))
		k.Must(err)
		if len(next.Targets) != 6 || next.Targets[0].Identifier != "device 24" || next.Prev == "" {
			k.Errorf("%+v", next)
		}
		found, err := k.Users().Targets(k.Ctx, user.ID, query.Equal("providerType", "push"), query.OrderDesc("identifier"), query.Limit(2), query.CursorAfter(next.Targets[5].ID))
		k.Must(err)
		if found.Total != 30 || len(found.Targets) != 2 || found.Targets[0].Identifier != "device 28" {
			k.Errorf("%+v", found)
		}
		for what, test := range map[string]struct {
			q    query.Query
			want error
		}{
			"a target of another":   {query.CursorAfter(other.ID), latchkey.ErrCursorNotFound},
			"a search":              {query.Search("x"), latchkey.ErrQueryInvalid},
			"an unknown attribute":  {query.Equal("name", "x"), latchkey.ErrArgumentInvalid},
			"an order by a null":    {query.OrderAsc("expired"), latchkey.ErrArgumentInvalid},
			"a page of another one": {query.Page(tokenOf(k, bob.ID)), latchkey.ErrQueryInvalid},
		} {
			if err := kit.Err(k.Users().Targets(k.Ctx, user.ID, test.q)); !errors.Is(err, test.want) {
				k.Errorf("%s: %v", what, err)
			}
		}
	})
}

// tokenOf returns the token of a page of a user's targets.
func tokenOf(k *kit.Kit, id string) string {
	k.Helper()
	list, err := k.Users().Targets(k.Ctx, id, query.Limit(1))
	k.Must(err)
	if list.Next == "" {
		k.Fatal("one page")
	}
	return list.Next
}
