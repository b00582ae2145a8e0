package latchkey_test

import (
	"fmt"
	"testing"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/store/memory"
)

// A listing without queries has 25 rows. Limit and Offset page it, in any order of
// the queries. The total counts the rows of all pages.
func TestQueriesPageAListing(t *testing.T) {
	k := kit.New(t, memory.Open(), kit.Documented)
	user := k.SignUp(kit.Ada)
	for n := range 30 {
		k.Clock.Advance(time.Second)
		k.Must(kit.Err(k.Users().UpdateName(k.Ctx, user.ID, fmt.Sprint("name ", n))))
	}
	whole, err := k.Users().Logs(k.Ctx, user.ID, latchkey.Limit(5000))
	k.Must(err)
	total := len(whole.Logs)
	for _, c := range []struct {
		queries     []latchkey.Query
		first, rows int
	}{
		{nil, 0, 25},
		{[]latchkey.Query{latchkey.Limit(1)}, 0, 1},
		{[]latchkey.Query{latchkey.Offset(20)}, 20, total - 20},
		{[]latchkey.Query{latchkey.Offset(20), latchkey.Limit(5)}, 20, 5},
		{[]latchkey.Query{latchkey.Limit(5), latchkey.Offset(total - 1)}, total - 1, 1},
	} {
		page, err := k.Users().Logs(k.Ctx, user.ID, c.queries...)
		k.Must(err)
		k.Same(fmt.Sprint("rows of ", c.queries), page.Logs, whole.Logs[c.first:c.first+c.rows])
		if page.Total != total {
			k.Errorf("%v: a total of %d, want %d", c.queries, page.Total, total)
		}
	}
}

// The policy bounds the limit of every listing.
func TestLimitOfAListingIsBoundedByThePolicy(t *testing.T) {
	k := kit.New(t, memory.Open(), latchkey.Policy{PageLimit: 30})
	user := k.SignUp(kit.Ada)
	k.Must(kit.Err(k.Users().Logs(k.Ctx, user.ID, latchkey.Limit(30))))
	k.Refuses("a limit of 31", latchkey.ErrArgumentInvalid, func() error {
		return kit.Err(k.Users().Logs(k.Ctx, user.ID, latchkey.Limit(31)))
	})
}
