package latchkey_test

import (
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/query"
)

// population makes users that differ in every attribute, some of whom lack some.
func population(k *kit.Kit, n int) []*latchkey.User {
	k.Helper()
	names := []string{"Ada", "Ann Marie", "Bob", "", "Zoë"}
	var users []*latchkey.User
	for i := range n {
		k.Clock.Advance(time.Duration(i%3) * time.Second) // some are made at one time
		u := latchkey.NewUser{Name: names[i%len(names)]}
		if i%4 != 0 {
			u.Email = fmt.Sprintf("user%02d@%s.example.org", i, []string{"a", "b"}[i%2])
		}
		if i%5 == 0 {
			u.Phone = fmt.Sprintf("+141555501%02d", i)
		}
		if i%7 == 0 {
			u.Password = kit.Password
		}
		made, err := k.Users().Create(k.Ctx, u)
		k.Must(err)
		if i%6 == 0 {
			k.Must(kit.Err(k.Users().UpdateStatus(k.Ctx, made.ID, false)))
		}
		if i%3 == 0 {
			k.Must(kit.Err(k.Users().UpdateLabels(k.Ctx, made.ID, []string{"vip", fmt.Sprint("group", i%2)})))
		}
		shown, err := k.Users().Get(k.Ctx, made.ID)
		k.Must(err)
		shown.Targets = nil
		users = append(users, shown)
	}
	return users
}

// condition is a query with what it means.
type condition struct {
	query query.Query
	holds func(u *latchkey.User) bool
}

func conditions(users []*latchkey.User) []condition {
	some := users[len(users)/2]
	return []condition{
		{query.Equal("name", "Ada", "Bob"), func(u *latchkey.User) bool { return u.Name == "Ada" || u.Name == "Bob" }},
		{query.NotEqual("name", "Ada"), func(u *latchkey.User) bool { return u.Name != "Ada" }},
		{query.Equal("status", true), func(u *latchkey.User) bool { return u.Status }},
		{query.NotEqual("status", true), func(u *latchkey.User) bool { return !u.Status }},
		{query.IsNull("email"), func(u *latchkey.User) bool { return u.Email == "" }},
		{query.IsNotNull("phone"), func(u *latchkey.User) bool { return u.Phone != "" }},
		{query.StartsWith("name", "An"), func(u *latchkey.User) bool { return strings.HasPrefix(u.Name, "An") }},
		{query.NotEndsWith("name", "b"), func(u *latchkey.User) bool { return !strings.HasSuffix(u.Name, "b") }},
		{query.Contains("email", "@a."), func(u *latchkey.User) bool { return strings.Contains(u.Email, "@a.") }},
		{query.Contains("labels", "vip", "none"), func(u *latchkey.User) bool { return slices.Contains(u.Labels, "vip") }},
		{query.NotContains("labels", "group1"), func(u *latchkey.User) bool { return !slices.Contains(u.Labels, "group1") }},
		{query.CreatedAfter(some.CreatedAt), func(u *latchkey.User) bool { return u.CreatedAt.After(some.CreatedAt) }},
		{query.LessThanEqual("registration", some.Registration), func(u *latchkey.User) bool { return !u.Registration.After(some.Registration) }},
		{query.Between("email", "user1", "user3"), func(u *latchkey.User) bool { return u.Email >= "user1" && u.Email <= "user3" }},
		{query.IsNull("passwordUpdate"), func(u *latchkey.User) bool { return u.PasswordUpdate.IsZero() }},
		{query.Equal("$id", some.ID), func(u *latchkey.User) bool { return u.ID == some.ID }},
		{query.Equal("email", "user07@b.example.org"), func(u *latchkey.User) bool { return u.Email == "user07@b.example.org" }},
		{query.Or(query.Equal("name", "Ada"), query.And(query.IsNull("email"), query.IsNotNull("phone"))), func(u *latchkey.User) bool {
			return u.Name == "Ada" || u.Email == "" && u.Phone != ""
		}},
	}
}

// orders are the orders of the listing, with what they mean: a null comes first.
var orders = map[string]func(a, b *latchkey.User) int{
	"$id":               func(a, b *latchkey.User) int { return 0 },
	"$createdAt":        func(a, b *latchkey.User) int { return a.CreatedAt.Compare(b.CreatedAt) },
	"$updatedAt":        func(a, b *latchkey.User) int { return a.UpdatedAt.Compare(b.UpdatedAt) },
	"name":              func(a, b *latchkey.User) int { return cmp.Compare(a.Name, b.Name) },
	"email":             func(a, b *latchkey.User) int { return cmp.Compare(a.Email, b.Email) },
	"phone":             func(a, b *latchkey.User) int { return cmp.Compare(a.Phone, b.Phone) },
	"registration":      func(a, b *latchkey.User) int { return a.Registration.Compare(b.Registration) },
	"accessedAt":        func(a, b *latchkey.User) int { return a.AccessedAt.Compare(b.AccessedAt) },
	"passwordUpdate":    func(a, b *latchkey.User) int { return a.PasswordUpdate.Compare(b.PasswordUpdate) },
	"status":            func(a, b *latchkey.User) int { return truth(a.Status) - truth(b.Status) },
	"emailVerification": func(a, b *latchkey.User) int { return 0 },
}

func truth(b bool) int {
	if b {
		return 1
	}
	return 0
}

func ids(users []*latchkey.User) (out []string) {
	for _, u := range users {
		out = append(out, u.ID)
	}
	return out
}

// Whatever the filters, the order, the size of the pages and the way through them, the
// listing is that of a plain model.
func TestListOfUsersIsThatOfAPlainModel(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		users := population(k, 40)
		seed := uint64(time.Now().UnixNano())
		k.Logf("seed %d", seed)
		r := rand.New(rand.NewPCG(seed, 1))
		all := conditions(users)
		names := []string{"$id", "$createdAt", "$updatedAt", "name", "email", "phone", "registration", "accessedAt", "passwordUpdate", "status", "emailVerification"}
		for round := range 60 {
			var queries []query.Query
			want := slices.Clone(users)
			for range r.IntN(3) {
				c := all[r.IntN(len(all))]
				queries = append(queries, c.query)
				want = slices.DeleteFunc(want, func(u *latchkey.User) bool { return !c.holds(u) })
			}
			name, descending := names[r.IntN(len(names))], r.IntN(2) == 0
			sorted := func(a, b *latchkey.User) int { return cmp.Or(orders[name](a, b), cmp.Compare(a.ID, b.ID)) }
			slices.SortFunc(want, sorted)
			if descending {
				slices.Reverse(want)
				queries = append(queries, query.OrderDesc(name))
			} else {
				queries = append(queries, query.OrderAsc(name))
			}
			if r.IntN(3) == 0 {
				queries = append(queries, query.Walk())
			}
			size := 1 + r.IntN(12)
			told := fmt.Sprintf("round %d: %v by %d", round, queries, size)
			var forward, backward []string
			token := ""
			last := ""
			for range 60 {
				asked := append(slices.Clone(queries), query.Limit(size))
				if token != "" {
					asked = append(asked, query.Page(token))
				}
				list, err := k.Users().List(k.Ctx, asked...)
				k.Must(err)
				if list.Total != len(want) {
					k.Errorf("%s: a total of %d, want %d", told, list.Total, len(want))
				}
				forward = append(forward, ids(list.Users)...)
				last = list.Prev
				if token = list.Next; token == "" {
					break
				}
			}
			if !slices.Equal(forward, ids(want)) {
				k.Fatalf("%s: forwards %v, want %v", told, forward, ids(want))
			}
			for range 60 {
				if last == "" {
					break
				}
				list, err := k.Users().List(k.Ctx, append(slices.Clone(queries), query.Limit(size), query.Page(last))...)
				k.Must(err)
				backward = append(ids(list.Users), backward...)
				last = list.Prev
			}
			if !slices.Equal(backward, ids(want)[:len(backward)]) || len(want) > 0 && len(want)-len(backward) > size {
				k.Fatalf("%s: backwards %v of %v", told, backward, ids(want))
			}
			if len(want) > 2 {
				at := 1 + r.IntN(len(want)-2)
				checkCursors(k, told, queries, want, at, size)
			}
		}
	})
}

// checkCursors compares the pages beside a row, and one of an offset.
func checkCursors(k *kit.Kit, told string, queries []query.Query, want []*latchkey.User, at, size int) {
	k.Helper()
	for what, c := range map[string]struct {
		query query.Query
		want  []*latchkey.User
	}{
		"after":  {query.CursorAfter(want[at].ID), want[at+1 : min(at+1+size, len(want))]},
		"before": {query.CursorBefore(want[at].ID), want[max(at-size, 0):at]},
		"offset": {query.Offset(at), want[at:min(at+size, len(want))]},
	} {
		list, err := k.Users().List(k.Ctx, append(slices.Clone(queries), query.Limit(size), c.query)...)
		if errors.Is(err, latchkey.ErrQueryOrderNull) && what != "offset" {
			continue
		}
		if err != nil || !slices.Equal(ids(list.Users), ids(c.want)) {
			k.Errorf("%s, %s %d: %v, want %v", told, what, at, err, ids(c.want))
		}
	}
}

// Rows that come and go do not make a page repeat or leave out those that stay, and a token
// outlives its row.
func TestPagesOfUsersStayRightWhileUsersComeAndGo(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		users := population(k, 24)
		var seen []string
		token := ""
		for n := range 20 {
			asked := []query.Query{query.OrderAsc("name"), query.Limit(3)}
			if token != "" {
				asked = append(asked, query.Page(token))
			}
			list, err := k.Users().List(k.Ctx, asked...)
			k.Must(err)
			seen = append(seen, ids(list.Users)...)
			if token = list.Next; token == "" {
				break
			}
			k.Must(k.Users().Delete(k.Ctx, list.Users[len(list.Users)-1].ID)) // the row of the token
			k.Must(kit.Err(k.Users().Create(k.Ctx, latchkey.NewUser{Name: "0 " + fmt.Sprint(n)})))
		}
		seen = slices.DeleteFunc(seen, func(id string) bool { return !slices.Contains(ids(users), id) })
		slices.Sort(seen)
		if want := slices.Sorted(slices.Values(ids(users))); !slices.Equal(seen, want) {
			k.Errorf("%d users were seen, want %d", len(seen), len(want))
		}
	})
}

// AC-110: a token serves its own listing alone, and nothing can be read from it or changed in
// it.
func TestAC110TokensOfPagesAreBoundAndHidden(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		population(k, 12)
		asked := []query.Query{query.IsNotNull("email"), query.OrderAsc("email"), query.Limit(2)}
		list, err := k.Users().List(k.Ctx, asked...)
		k.Must(err)
		if strings.Contains(list.Next, "user") || list.Next == "" {
			k.Errorf("%q", list.Next)
		}
		for name, queries := range map[string][]query.Query{
			"another filter": {query.IsNull("email"), query.OrderAsc("email"), query.Page(list.Next)},
			"no filter":      {query.OrderAsc("email"), query.Page(list.Next)},
			"another order":  {query.IsNotNull("email"), query.OrderDesc("email"), query.Page(list.Next)},
			"a search":       {query.IsNotNull("email"), query.OrderAsc("email"), query.Search("user"), query.Page(list.Next)},
			"cut":            {query.IsNotNull("email"), query.OrderAsc("email"), query.Page(list.Next[1:])},
			"no token":       {query.IsNotNull("email"), query.OrderAsc("email"), query.Page("x")},
			"no id":          {query.CursorAfter("a b")},
		} {
			k.Refuses(name, latchkey.ErrQueryInvalid, func() error { return kit.Err(k.Users().List(k.Ctx, queries...)) })
		}
		k.Refuses("an unknown row", latchkey.ErrCursorNotFound, func() error {
			return kit.Err(k.Users().List(k.Ctx, query.CursorAfter("nobody")))
		})
	})
}

// What the listing does not have is refused, and nothing is read.
func TestQueriesThatTheListOfUsersDoesNotHave(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		population(k, 3)
		k.Store.Reset()
		for name, q := range map[string][]query.Query{
			"password":           {query.IsNull("password")},
			"search as filter":   {query.Equal("search", "a")},
			"sequence":           {query.OrderAsc("$sequence")},
			"order by password":  {query.OrderAsc("password")},
			"order by a list":    {query.OrderAsc("labels")},
			"list is equal":      {query.Equal("labels", "vip")},
			"boolean is less":    {query.LessThan("status", true)},
			"boolean as text":    {query.Equal("status", "true")},
			"time as number":     {query.GreaterThan("$createdAt", 7)},
			"time as any text":   {query.GreaterThan("$createdAt", "yesterday")},
			"text of a time":     {query.Contains("registration", "2026")},
			"name as boolean":    {query.Equal("name", true)},
			"no values":          {query.Equal[string]("name")},
			"or without queries": {query.Or()},
			"a page in or":       {query.Or(query.Limit(3))},
			"zero":               {{}},
			"limit 0":            {query.Limit(0)},
			"limit 5001":         {query.Limit(5001)},
			"two limits":         {query.Limit(1), query.Limit(1)},
			"two cursors":        {query.CursorAfter("a"), query.CursorBefore("b")},
			"offset -1":          {query.Offset(-1)},
			"a long search":      {query.Search(strings.Repeat("a", 257))},
			"101 queries":        slices.Repeat([]query.Query{query.IsNull("name")}, 101),
			"too many texts":     {query.Contains("name", slices.Repeat([]string{"a"}, 450)...)},
		} {
			if err := kit.Err(k.Users().List(k.Ctx, q...)); !errors.Is(err, latchkey.ErrArgumentInvalid) {
				k.Errorf("%s: %v", name, err)
			}
		}
		if k.Store.Reads.Load() != 0 {
			k.Error("the store was read")
		}
		if err := kit.Err(k.Users().List(k.Ctx, query.Equal("labels", "vip"))); !strings.Contains(err.Error(), `Cannot query equal on attribute "labels" because it is an array.`) {
			k.Error(err)
		}
	})
}

// A listing that would look at too many rows refuses, unless the server allows it.
func TestListOfUsersLooksAtABoundedNumberOfRows(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.FillUsers(10_001)
		none := query.Equal("name", "nobody")
		for name, queries := range map[string][]query.Query{
			"a filter that nothing meets": {none},
			"an order without an index":   {query.OrderAsc("$updatedAt")},
			"its total":                   {query.Equal("name", "rare"), query.Limit(1)},
		} {
			if err := kit.Err(k.Users().List(k.Ctx, queries...)); err != latchkey.ErrQueryTooCostly {
				k.Errorf("%s: %v", name, err)
			}
			k.Must(kit.Err(k.Users().List(k.Ctx, append(queries, query.Walk())...)))
		}
		list, err := k.Users().List(k.Ctx, query.Equal("name", "rare"), query.Limit(1), query.NoTotal())
		k.Must(err)
		if len(list.Users) != 1 || list.Total != 0 {
			k.Errorf("%d users, %d", len(list.Users), list.Total)
		}
		list, err = k.Users().List(k.Ctx)
		k.Must(err)
		if list.Total != 5000 || len(list.Users) != 25 || list.Next == "" || list.Prev != "" {
			k.Errorf("%d users of %d", len(list.Users), list.Total)
		}
	})
}

// A search finds words and their beginnings, in every text of a user, and phrases as they
// stand; filters narrow it.
func TestSearchFindsUsersByTheirWords(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		ada, err := k.Users().Create(k.Ctx, latchkey.NewUser{UserID: "ada-1", Name: "Ada Lovelace of Manchester", Email: kit.Ada, Phone: kit.Phone})
		k.Must(err)
		k.Must(kit.Err(k.Users().UpdateLabels(k.Ctx, ada.ID, []string{"vip"})))
		k.Must(kit.Err(k.Users().Create(k.Ctx, latchkey.NewUser{UserID: "eve", Name: "Lovelace Ada", Email: "eve@example.org"})))
		for search, want := range map[string][]string{
			"man": {"ada-1"}, "lovelace": {"ada-1", "eve"}, "ADA love": {"ada-1", "eve"}, `"ada lovelace"`: {"ada-1"}, `"lovelace ada"`: {"eve"},
			`"lovel"`: nil, "vip": {"ada-1"}, "eve@example.org": {"eve"}, "4155550100": nil, "14155550100": {"ada-1"}, "ada-1": {"ada-1"},
			">": nil, "nobody": nil, `"`: nil, "": {"ada-1", "eve"},
		} {
			list, err := k.Users().List(k.Ctx, query.Search(search))
			k.Must(err)
			if got := ids(list.Users); !slices.Equal(got, want) || list.Total != len(want) {
				k.Errorf("%q finds %v, want %v", search, got, want)
			}
		}
		list, err := k.Users().List(k.Ctx, query.Search("lovelace"), query.Equal("name", "Lovelace Ada"))
		k.Must(err)
		if got := ids(list.Users); !slices.Equal(got, []string{"eve"}) {
			k.Errorf("%v", got)
		}
	})
}

// A search has pages, in both directions, with a filter and an order too.
func TestASearchHasPages(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		var want []string
		for n := range 7 {
			user, err := k.Users().Create(k.Ctx, latchkey.NewUser{UserID: fmt.Sprintf("user-%d", n), Name: "Ada Lovelace", Email: fmt.Sprintf("ada%d@example.org", n)})
			k.Must(err)
			want = append(want, user.ID)
		}
		k.Must(kit.Err(k.Users().Create(k.Ctx, latchkey.NewUser{Name: "Eve", Email: "eve@example.org"})))
		slices.Reverse(want)
		for name, filters := range map[string][]latchkey.Query{"search": nil, "search and filter": {query.StartsWith("email", "ada")}} {
			queries := append(filters, query.Search("lovelace"), query.OrderDesc("email"), query.Limit(3))
			var forward []string
			asked, last := queries, ""
			for range 3 {
				list, err := k.Users().List(k.Ctx, asked...)
				k.Must(err)
				if list.Total != len(want) {
					k.Errorf("%s: a total of %d", name, list.Total)
				}
				forward, last = append(forward, ids(list.Users)...), list.Prev
				asked = append(slices.Clone(queries), query.Page(list.Next))
			}
			if !slices.Equal(forward, want) {
				k.Errorf("%s: forwards %v, want %v", name, forward, want)
			}
			list, err := k.Users().List(k.Ctx, append(slices.Clone(queries), query.Page(last))...)
			k.Must(err)
			if got := ids(list.Users); !slices.Equal(got, want[3:6]) {
				k.Errorf("%s: backwards %v, want %v", name, got, want[3:6])
			}
		}
	})
}

// One user is found by address, in any case.
func TestGetByEmailAndPhone(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user := k.Proven()
		for what, get := range map[string]func() (*latchkey.User, error){
			"e-mail": func() (*latchkey.User, error) { return k.Users().GetByEmail(k.Ctx, "ADA@example.org") },
			"phone":  func() (*latchkey.User, error) { return k.Users().GetByPhone(k.Ctx, kit.Phone) },
		} {
			got, err := get()
			k.Must(err)
			if got.ID != user.ID || len(got.Targets) != 2 {
				k.Errorf("%s: %+v", what, got)
			}
		}
		k.Refuses("unknown", latchkey.ErrUserNotFound, func() error { return kit.Err(k.Users().GetByEmail(k.Ctx, kit.Bob)) })
		k.Refuses("unknown number", latchkey.ErrUserNotFound, func() error { return kit.Err(k.Users().GetByPhone(k.Ctx, kit.OwnPhone)) })
		k.Refuses("no address", latchkey.ErrArgumentInvalid, func() error { return kit.Err(k.Users().GetByEmail(k.Ctx, "ada")) })
	})
}
