package latchkey_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/query"
)

func TestSessionsOfAUserAreListedByQueries(t *testing.T) {
	kit.OnEveryStore(t, latchkey.Policy{Sessions: latchkey.SessionPolicy{Limit: 100}}, func(k *kit.Kit) {
		user := k.SignUp(kit.Ada)
		var ids []string
		for i := range 30 {
			k.Clock.Advance(time.Minute)
			if i%10 == 9 {
				s, err := k.Users().CreateSession(k.Ctx, user.ID)
				k.Must(err)
				ids = append(ids, s.ID)
				continue
			}
			s, _ := k.SignIn(kit.Ada)
			ids = append(ids, s.ID)
		}
		list, err := k.Users().Sessions(k.Ctx, user.ID)
		k.Must(err)
		if list.Total != 30 || len(list.Sessions) != 25 || list.Sessions[0].ID != ids[0] || list.Next == "" {
			k.Errorf("%d of %d", len(list.Sessions), list.Total)
		}
		list, err = k.Users().Sessions(k.Ctx, user.ID, query.Page(list.Next), query.NoTotal())
		k.Must(err)
		if list.Total != 0 || len(list.Sessions) != 5 || list.Sessions[0].ID != ids[25] {
			k.Errorf("%d of %d", len(list.Sessions), list.Total)
		}
		list, err = k.Users().Sessions(k.Ctx, user.ID, query.Equal("provider", "server"), query.OrderDesc("$createdAt"), query.CursorAfter(ids[29]))
		k.Must(err)
		if list.Total != 3 || len(list.Sessions) != 2 || list.Sessions[0].ID != ids[19] {
			k.Errorf("%d of %d", len(list.Sessions), list.Total)
		}
		own, err := k.Users().Guest(kit.Client).CreateEmailPasswordSession(k.Ctx, kit.Ada, kit.Password)
		k.Must(err)
		account, err := k.Visitor.Authenticate(k.Ctx, own.Secret.Reveal())
		k.Must(err)
		all, err := account.Sessions(k.Ctx)
		k.Must(err)
		if all.Total != 31 || len(all.Sessions) != 31 || !all.Sessions[30].Current { // the user sees them all
			k.Errorf("%d of %d", len(all.Sessions), all.Total)
		}
	})
}

// The log is listed by pages whose tokens and cursors go on where they stood, whatever is
// logged meanwhile.
func TestLogsAreListedByPages(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user, bob := k.SignUp(kit.Ada), k.SignUp(kit.Bob)
		_, account := k.SignIn(kit.Ada)
		for i := range 40 {
			k.Clock.Advance(time.Duration(i%3) * time.Second) // some at the same moment
			k.Must(kit.Err(k.Users().UpdateName(k.Ctx, user.ID, fmt.Sprint("name ", i))))
		}
		whole, err := account.Logs(k.Ctx, query.Limit(100))
		k.Must(err)
		if whole.Total != 42 || len(whole.Logs) != 42 || whole.Next != "" || whole.Prev != "" {
			k.Fatalf("%d of %d, %q, %q", len(whole.Logs), whole.Total, whole.Next, whole.Prev)
		}
		var ids []string
		for _, l := range whole.Logs {
			ids = append(ids, l.ID)
		}
		var walked []string
		var pages []*latchkey.LogList
		for next := ""; len(pages) == 0 || next != ""; {
			queries := []query.Query{query.Limit(10), query.NoTotal()}
			if next != "" {
				queries = append(queries, query.Page(next))
			}
			page, err := account.Logs(k.Ctx, queries...)
			k.Must(err)
			for _, l := range page.Logs {
				walked = append(walked, l.ID)
			}
			pages, next = append(pages, page), page.Next
			k.Must(kit.Err(k.Users().UpdateName(k.Ctx, user.ID, fmt.Sprint("while ", len(pages)))))
		}
		k.Same("walked", walked, ids)
		back, err := account.Logs(k.Ctx, query.Limit(10), query.Page(pages[2].Prev))
		k.Must(err)
		if len(back.Logs) != 10 || back.Logs[0].ID != ids[10] {
			k.Errorf("back: %v", back.Logs)
		}
		for name, test := range map[string]struct {
			q    query.Query
			want string
		}{
			"after":  {query.CursorAfter(ids[20]), ids[21]},
			"before": {query.CursorBefore(ids[20]), ids[17]},
		} {
			page, err := account.Logs(k.Ctx, query.Limit(3), test.q)
			k.Must(err)
			if page.Logs[0].ID != test.want {
				k.Errorf("%s: %v", name, page.Logs[0])
			}
		}
		for name, test := range map[string]struct {
			q    query.Query
			want error
		}{
			"a line of another":     {query.CursorAfter(ids[0]), latchkey.ErrCursorNotFound},
			"an unknown line":       {query.CursorAfter("unknown"), latchkey.ErrCursorNotFound},
			"a page of another log": {query.Page(pages[0].Next), latchkey.ErrQueryInvalid},
			"a filter":              {query.Equal("event", "user.create"), latchkey.ErrArgumentInvalid},
			"an order":              {query.OrderAsc("$createdAt"), latchkey.ErrArgumentInvalid},
			"a search":              {query.Search("x"), latchkey.ErrQueryInvalid},
		} {
			if err := kit.Err(k.Users().Logs(k.Ctx, bob.ID, test.q)); !errors.Is(err, test.want) {
				k.Errorf("%s: %v", name, err)
			}
		}
	})
}
