package latchkey_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/store"
)

func TestLogsShowWhatHappenedNewestFirst(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user := k.SignUp(kit.Ada)
		k.SignUp(kit.Bob)
		k.Clock.Advance(time.Minute)
		if _, err := k.Visitor.CreateEmailPasswordSession(k.Ctx, kit.Ada, "wrong horse"); err == nil {
			k.Fatal("signed in")
		}
		k.Clock.Advance(time.Minute)
		_, account := k.SignIn(kit.Ada)
		k.Clock.Advance(time.Minute)
		_, err := k.Users().At(latchkey.Client{}).UpdateLabels(k.Ctx, user.ID, []string{"vip"})
		k.Must(err)
		list, err := account.Logs(k.Ctx)
		k.Must(err)
		var lines []string
		for _, l := range list.Logs {
			lines = append(lines, fmt.Sprint(l.Event, " ", l.Resource == "user/"+user.ID, " ", l.Mode, " ", l.UserID == user.ID, " ", l.UserName, " ",
				l.UserEmail, " ", l.IP, " ", l.Device.ClientCode, " ", l.Reason, " ", l.Count, " ", k.Clock.Now().Sub(l.Time)))
		}
		k.Same("log", lines, []string{
			"user.update true server false      0 0s",
			"session.create true user true Ada ada@example.org 192.0.2.7 CH  0 1m0s",
			"session.refuse true guest false     user_invalid_credentials 1 2m0s", // somebody with the address, which is not proven
			"user.create true guest false   192.0.2.7 CH  0 3m0s",
		})
		if list.Total != 4 {
			k.Errorf("a total of %d", list.Total)
		}
		paged, err := account.Logs(k.Ctx, latchkey.Limit(1), latchkey.Offset(2))
		k.Must(err)
		if paged.Total != 4 || len(paged.Logs) != 1 || paged.Logs[0].Event != "session.refuse" {
			k.Errorf("a page: %+v", paged)
		}
		server, err := k.Users().Logs(k.Ctx, user.ID)
		k.Must(err)
		if l := server.Logs[2]; l.IP != "192.0.2.7" || l.Device.ClientCode != "CH" {
			k.Errorf("the server's view: %+v", l)
		}
		server.Logs[2].IP, server.Logs[2].Device = "", latchkey.Device{}
		k.Same("the server's view", server, list)
		for what, q := range map[string][]latchkey.Query{
			"limit 0": {latchkey.Limit(0)}, "limit 5001": {latchkey.Limit(5001)}, "offset -1": {latchkey.Offset(-1)},
			"twice": {latchkey.Limit(1), latchkey.Limit(1)}, "zero": {{}}, "offset too large": {latchkey.Offset(1<<30 + 1)},
		} {
			k.Refuses(what, latchkey.ErrArgumentInvalid, func() error { return kit.Err(account.Logs(k.Ctx, q...)) })
		}
	})
}

func TestLogOfAUserDoesNotShowWhereTheServersPeopleAre(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user := k.SignUp(kit.Ada)
		_, account := k.SignIn(kit.Ada)
		k.Clock.Advance(time.Second)
		people := latchkey.Client{IP: netip.MustParseAddr("10.1.2.3"), UserAgent: kit.Client.UserAgent}
		k.Must(kit.Err(k.Users().At(people).UpdateName(k.Ctx, user.ID, "x")))
		theirs, err := account.Logs(k.Ctx, latchkey.Limit(1))
		k.Must(err)
		if l := theirs.Logs[0]; l.IP != "" || l.Device != (latchkey.Device{}) || l.Mode != "server" {
			k.Errorf("the user sees %+v", l)
		}
		ours, err := k.Users().Logs(k.Ctx, user.ID, latchkey.Limit(1))
		k.Must(err)
		if l := ours.Logs[0]; l.IP != "10.1.2.3" || l.Device.ClientCode != "CH" {
			k.Errorf("the server sees %+v", l)
		}
	})
}

func TestFloodOfRefusalsIsOneRowAMinuteAndAddress(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		k.Forget()
		for _, email := range []string{kit.Ada, "nobody@example.org"} {
			for range 5 {
				_ = kit.Err(k.Visitor.CreateEmailPasswordSession(k.Ctx, email, "wrong horse"))
			}
			k.Clock.Advance(time.Minute)
			_ = kit.Err(k.Visitor.CreateEmailPasswordSession(k.Ctx, email, "wrong horse"))
			_ = kit.Err(k.Guest(latchkey.Client{}).CreateEmailPasswordSession(k.Ctx, email, "wrong horse"))
			k.Same("log of "+email, k.Logs(), []string{
				"session.refuse by guest for user_invalid_credentials, 1", "session.refuse by guest for user_invalid_credentials, 1",
				"session.refuse by guest for user_invalid_credentials, 5",
			})
		}
		logs, err := record.Logs.List(k.Ctx, k.Store, store.Query{Index: record.Logs.Index("created"), Limit: 100})
		k.Must(err)
		for _, l := range logs {
			if strings.Contains(fmt.Sprint(*l), "nobody") {
				k.Errorf("an unknown address is in the log: %+v", *l)
			}
		}
	})
}

// Refusals of different kinds, or by different actors, are separate lines in the log.
func TestRefusalsOfOneMinuteAreToldApart(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user := k.SignUp(kit.Ada)
		k.SignUp(kit.Bob)
		_, account := k.SignIn(kit.Ada)
		k.Forget()
		_ = kit.Err(k.Visitor.CreateEmailPasswordSession(k.Ctx, kit.Ada, "wrong horse"))
		_ = kit.Err(k.Visitor.CreateEmailPasswordSession(k.Ctx, kit.Bob, "wrong horse"))
		_ = kit.Err(account.UpdateEmail(k.Ctx, "x@example.org", "wrong horse"))
		k.Must(kit.Err(k.Users().UpdateStatus(k.Ctx, user.ID, false)))
		_ = kit.Err(k.Visitor.CreateEmailPasswordSession(k.Ctx, kit.Ada, kit.Password))
		k.Same("log", k.Logs(), []string{
			"session.refuse by guest for user_blocked, 1", "session.refuse by guest for user_invalid_credentials, 1",
			"session.refuse by guest for user_invalid_credentials, 1", "user.refuse by user for user_invalid_credentials, 1",
			"user.update by server",
		})
	})
}
