package attack_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/query"
	"example.com/latchkey/store"
)

// oddTexts are texts that a database may fold, trim, normalise, cut or order otherwise than
// by their bytes.
var oddTexts = []string{
	"", " ", "  ", "a", "A", "a ", " a", "ab", "aB", "AB", "a\tb", "\u00e9", "e\u0301", "E\u0301", "\u00df", "ss", "SS", "\u1e9e", "\u0130", "i", "I", "\u0131",
	"\u212a", "k", "K", "\u00c5", "\u212b", "A\u030a", "a-b", "a_b", "a%b", "a*b", "a?b", "a[b]", `a\b`, `a'b`, `a"b`, "a;b", "\u200b", "a\u200b", "a\u00adb", "\ufeff", "\ufffd", "\uffff",
	"\U0001F600", "\U0010FFFF", "\ue000", "\u4e00", "\U00020000", "0", "10", "9", "\u0661", "\u0001", "\x7f", "\u0085", "\u2028", "null", "NULL", "true", "{}", "[]", "\u05d0", "\u202e",
	"\U0001F469\u200d\U0001F680", "co-op", "coop", "CO-OP", "z", "\u00e4", "zz", "\u0301", strings.Repeat("x", 128), strings.Repeat("\U0001F600", 128), strings.Repeat("\U0001F600", 127) + "a",
}

// oddTimes are times at the ends of what a store holds, before 1970 and beside one another.
var oddTimes = []time.Time{
	time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(1, 1, 1, 0, 0, 0, 1000, time.UTC), time.Date(1582, 10, 10, 0, 0, 0, 0, time.UTC), time.Date(1969, 12, 31, 23, 59, 59, 999_999_000, time.UTC),
	time.Unix(0, 0).UTC(), time.Unix(0, 1000).UTC(), time.Date(1999, 12, 31, 23, 59, 59, 0, time.UTC), time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC),
	time.Date(9999, 12, 31, 23, 59, 59, 999_999_000, time.UTC),
}

// oddUser draws the row of a user.
func oddUser(r *rand.Rand, n int) *record.User {
	at := func() time.Time { return oddTimes[r.IntN(len(oddTimes))] }
	u := &record.User{
		ID: fmt.Sprintf("%c%d%c%d", "abAB0_-."[r.IntN(5)], r.IntN(9), "._-aZ"[r.IntN(5)], n), Key: fmt.Sprint("key", n), Created: at(), Updated: at(), Registered: at(), Accessed: at(),
		Name: oddTexts[r.IntN(len(oddTexts))], Blocked: r.IntN(2) == 0, Labels: "[]", Prefs: "{}", Targets: "[]",
	}
	if r.IntN(3) > 0 {
		u.Email = fmt.Sprintf("%s%d@x.test", []string{"a", "A", "a.", "_", "b%", "\u00e9"}[r.IntN(6)], n)
		u.EmailVerified = r.IntN(2) == 0
	}
	if r.IntN(3) > 0 {
		u.Phone = fmt.Sprintf("+%d", 1+r.IntN(9)*1000+n)
		u.PhoneVerified = r.IntN(2) == 0
	}
	if r.IntN(2) == 0 {
		u.PasswordUpdated = at()
	}
	switch r.IntN(4) {
	case 0:
		u.Labels = `["vip"]`
	case 1:
		u.Labels = `["VIP","a","b\u00e9"]`
	case 2:
		u.Labels = `["vi","p"]`
	}
	return u
}

func (m *listModel) put(k *kit.Kit, users ...*record.User) {
	k.Helper()
	k.Tampered = true
	k.Must(k.Store.Store.Update(k.Ctx, func(ctx context.Context, tx store.Tx) error {
		for _, u := range users {
			if u.Email != "" {
				if err := record.Addresses.Insert(ctx, tx, &record.Address{Address: u.Email, UserID: u.ID}); err != nil {
					return err
				}
			}
			if err := record.Users.Insert(ctx, tx, u); err != nil {
				return err
			}
		}
		return nil
	}))
	m.users = append(m.users, users...)
}

func (m *listModel) drop(k *kit.Kit, id string) {
	k.Helper()
	at := slices.IndexFunc(m.users, func(u *record.User) bool { return u.ID == id })
	k.Must(k.Store.Store.Update(k.Ctx, func(ctx context.Context, tx store.Tx) error {
		if err := record.Users.Delete(ctx, tx, store.Text(id)); err != nil {
			return err
		}
		if e := m.users[at].Email; e != "" {
			return record.Addresses.Delete(ctx, tx, store.Text(e))
		}
		return nil
	}))
	m.users = slices.Delete(m.users, at, at+1)
}

// listModel is a plain model of the users, by which listings are judged.
type listModel struct{ users []*record.User }

// field is an attribute of the model: text or time, null or not.
type field struct {
	null bool
	text string
	at   time.Time
	yes  bool
	kind byte
}

func fieldOf(u *record.User, name string) field {
	text := func(s string, nullable bool) field { return field{kind: 't', text: s, null: nullable && s == ""} }
	at := func(t time.Time, nullable bool) field { return field{kind: 'd', at: t, null: nullable && t.IsZero()} }
	yes := func(b bool) field { return field{kind: 'b', yes: b} }
	switch name {
	case "$id":
		return text(u.ID, false)
	case "name":
		return text(u.Name, false)
	case "email":
		return text(u.Email, true)
	case "phone":
		return text(u.Phone, true)
	case "$createdAt":
		return at(u.Created, false)
	case "$updatedAt":
		return at(u.Updated, false)
	case "registration":
		return at(u.Registered, false)
	case "accessedAt":
		return at(u.Accessed, false)
	case "passwordUpdate":
		return at(u.PasswordUpdated, true)
	case "status":
		return yes(!u.Blocked)
	case "emailVerification":
		return yes(u.EmailVerified)
	case "phoneVerification":
		return yes(u.PhoneVerified)
	}
	panic(name)
}

func (a field) compare(b field) int {
	num := func(b bool) int {
		if b {
			return 1
		}
		return 0
	}
	if a.null || b.null {
		return num(!a.null) - num(!b.null)
	}
	return cmp.Or(strings.Compare(a.text, b.text), a.at.Compare(b.at), num(a.yes)-num(b.yes))
}

var (
	textNames = []string{"$id", "name", "email", "phone"}
	timeNames = []string{"$createdAt", "$updatedAt", "registration", "accessedAt", "passwordUpdate"}
	boolNames = []string{"status", "emailVerification", "phoneVerification"}
	allNames  = slices.Concat(textNames, timeNames, boolNames)
)

type judged struct {
	query query.Query
	holds func(*record.User) bool
}

// draw draws a condition with what it means.
func (m *listModel) draw(r *rand.Rand, depth int) judged {
	pick := func(names []string) string { return names[r.IntN(len(names))] }
	if depth < 4 && r.IntN(5) == 0 {
		var queries []query.Query
		var all []judged
		for range 1 + r.IntN(3) {
			j := m.draw(r, depth+1)
			all, queries = append(all, j), append(queries, j.query)
		}
		if r.IntN(2) == 0 {
			return judged{query.And(queries...), func(u *record.User) bool {
				return !slices.ContainsFunc(all, func(j judged) bool { return !j.holds(u) })
			}}
		}
		return judged{query.Or(queries...), func(u *record.User) bool { return slices.ContainsFunc(all, func(j judged) bool { return j.holds(u) }) }}
	}
	switch r.IntN(12) {
	case 0:
		name := pick(allNames)
		return judged{query.IsNull(name), func(u *record.User) bool { return fieldOf(u, name).null }}
	case 1:
		name := pick(allNames)
		return judged{query.IsNotNull(name), func(u *record.User) bool { return !fieldOf(u, name).null }}
	case 2:
		name, v := pick(boolNames), r.IntN(2) == 0
		if r.IntN(2) == 0 {
			return judged{query.Equal(name, v), func(u *record.User) bool { return fieldOf(u, name).yes == v }}
		}
		return judged{query.NotEqual(name, v), func(u *record.User) bool { return fieldOf(u, name).yes != v }}
	case 3:
		label := []string{"vip", "VIP", "a", "p", "b\u00e9", `"`, "", "vip\",\"a"}[r.IntN(8)]
		has := func(u *record.User) bool {
			return map[string][]string{"[]": nil, `["vip"]`: {"vip"}, `["VIP","a","b\u00e9"]`: {"VIP", "a", "b\u00e9"}, `["vi","p"]`: {"vi", "p"}}[u.Labels] != nil &&
				slices.Contains(map[string][]string{`["vip"]`: {"vip"}, `["VIP","a","b\u00e9"]`: {"VIP", "a", "b\u00e9"}, `["vi","p"]`: {"vi", "p"}}[u.Labels], label)
		}
		if r.IntN(2) == 0 {
			return judged{query.Contains("labels", label), has}
		}
		return judged{query.NotContains("labels", label), func(u *record.User) bool { return !has(u) }}
	case 4, 5, 6:
		return m.drawTime(r, pick(timeNames))
	default:
		return m.drawText(r, pick(textNames))
	}
}

func (m *listModel) drawTime(r *rand.Rand, name string) judged {
	v, w := oddTimes[r.IntN(len(oddTimes))], oddTimes[r.IntN(len(oddTimes))]
	of := func(holds func(t time.Time) bool) func(u *record.User) bool {
		return func(u *record.User) bool { f := fieldOf(u, name); return !f.null && holds(f.at) }
	}
	switch r.IntN(8) {
	case 0:
		return judged{query.Equal(name, v, w), of(func(t time.Time) bool { return t.Equal(v) || t.Equal(w) })}
	case 1:
		return judged{query.NotEqual(name, v), of(func(t time.Time) bool { return !t.Equal(v) })}
	case 2:
		return judged{query.LessThan(name, v), of(func(t time.Time) bool { return t.Before(v) })}
	case 3:
		return judged{query.LessThanEqual(name, v.Format(time.RFC3339Nano)), of(func(t time.Time) bool { return !t.After(v) })}
	case 4:
		return judged{query.GreaterThan(name, v), of(func(t time.Time) bool { return t.After(v) })}
	case 5:
		return judged{query.GreaterThanEqual(name, v), of(func(t time.Time) bool { return !t.Before(v) })}
	case 6:
		return judged{query.Between(name, v, w), of(func(t time.Time) bool { return !t.Before(v) && !t.After(w) })}
	}
	return judged{query.NotBetween(name, v, w), of(func(t time.Time) bool { return t.Before(v) || t.After(w) })}
}

func (m *listModel) drawText(r *rand.Rand, name string) judged {
	text := func() string {
		s := oddTexts[r.IntN(len(oddTexts))]
		if len(m.users) > 0 && r.IntN(2) == 0 {
			s = fieldOf(m.users[r.IntN(len(m.users))], name).text
		}
		if runes := []rune(s); len(runes) > 1 && r.IntN(3) == 0 {
			s = string(runes[r.IntN(2) : len(runes)-r.IntN(2)])
		}
		return s
	}
	v, w := text(), text()
	of := func(holds func(s string) bool) func(u *record.User) bool {
		return func(u *record.User) bool { f := fieldOf(u, name); return !f.null && holds(f.text) }
	}
	switch r.IntN(14) {
	case 0:
		return judged{query.Equal(name, v), of(func(s string) bool { return s == v })}
	case 1:
		return judged{query.Equal(name, v, w), of(func(s string) bool { return s == v || s == w })}
	case 2:
		return judged{query.NotEqual(name, v, w), of(func(s string) bool { return s != v && s != w })}
	case 3:
		return judged{query.LessThan(name, v), of(func(s string) bool { return s < v })}
	case 4:
		return judged{query.LessThanEqual(name, v), of(func(s string) bool { return s <= v })}
	case 5:
		return judged{query.GreaterThan(name, v), of(func(s string) bool { return s > v })}
	case 6:
		return judged{query.GreaterThanEqual(name, v), of(func(s string) bool { return s >= v })}
	case 7:
		return judged{query.Between(name, v, w), of(func(s string) bool { return s >= v && s <= w })}
	case 8:
		return judged{query.NotBetween(name, v, w), of(func(s string) bool { return s < v || s > w })}
	case 9:
		return judged{query.StartsWith(name, v), of(func(s string) bool { return strings.HasPrefix(s, v) })}
	case 10:
		return judged{query.NotStartsWith(name, v), of(func(s string) bool { return !strings.HasPrefix(s, v) })}
	case 11:
		return judged{query.EndsWith(name, v), of(func(s string) bool { return strings.HasSuffix(s, v) })}
	case 12:
		return judged{query.NotContains(name, v, w), of(func(s string) bool { return !strings.Contains(s, v) && !strings.Contains(s, w) })}
	}
	return judged{query.Contains(name, v, w), of(func(s string) bool { return strings.Contains(s, v) || strings.Contains(s, w) })}
}

// listed is a listing with its order.
type listed struct {
	queries []query.Query
	holds   func(*record.User) bool
	compare func(a, b *record.User) int
}

func (m *listModel) listing(r *rand.Rand) listed {
	var l listed
	var all []judged
	for range r.IntN(4) {
		j := m.draw(r, 1)
		all, l.queries = append(all, j), append(l.queries, j.query)
	}
	l.holds = func(u *record.User) bool {
		return !slices.ContainsFunc(all, func(j judged) bool { return !j.holds(u) })
	}
	type by struct {
		name string
		desc bool
	}
	var orders []by
	for range r.IntN(3) {
		o := by{allNames[r.IntN(len(allNames))], r.IntN(2) == 0}
		orders = append(orders, o)
		if o.desc {
			l.queries = append(l.queries, query.OrderDesc(o.name))
		} else {
			l.queries = append(l.queries, query.OrderAsc(o.name))
		}
	}
	if len(orders) == 0 {
		orders = []by{{"$createdAt", false}}
	}
	l.compare = func(a, b *record.User) int {
		for _, o := range orders {
			if c := fieldOf(a, o.name).compare(fieldOf(b, o.name)); c != 0 {
				if o.desc {
					return -c
				}
				return c
			}
		}
		c := strings.Compare(a.ID, b.ID)
		if orders[0].desc {
			return -c
		}
		return c
	}
	if r.IntN(2) == 0 {
		l.queries = append(l.queries, query.Walk())
	}
	r.Shuffle(len(l.queries), func(i, j int) {
		if o := query.MethodOrderAsc; strings.HasPrefix(string(l.queries[i].Method()), "order") || strings.HasPrefix(string(l.queries[j].Method()), "order") || o == "" {
			return
		}
		l.queries[i], l.queries[j] = l.queries[j], l.queries[i]
	})
	return l
}

func (m *listModel) want(l listed) (out []*record.User) {
	for _, u := range m.users {
		if l.holds(u) {
			out = append(out, u)
		}
	}
	slices.SortFunc(out, l.compare)
	return out
}

func userIDs[T any](all []*T, id func(*T) string) []string {
	out := make([]string, len(all))
	for i, u := range all {
		out[i] = id(u)
	}
	return out
}

// Whatever the rows, the filters, the orders, the way through the pages and the store, a
// listing is that of a plain model; also while rows come and go between its pages.
func TestListingsOfOddRowsAreThoseOfAPlainModel(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	kit.OneByOne(t, kit.Documented, func(k *kit.Kit) {
		k.Logf("seed %d", seed)
		r := rand.New(rand.NewPCG(seed, 1))
		m := &listModel{}
		made := 0
		add := func() {
			m.put(k, oddUser(r, made))
			made++
		}
		for range 60 {
			add()
		}
		shownID := func(u *latchkey.User) string { return u.ID }
		rowID := func(u *record.User) string { return u.ID }
		for round := range 150 {
			l := m.listing(r)
			want := m.want(l)
			told := fmt.Sprintf("round %d: %.700v", round, fmt.Sprint(l.queries))
			whole, err := k.Users().List(k.Ctx, append(slices.Clone(l.queries), query.Limit(500))...)
			if err != nil {
				k.Fatalf("%s: %v (%v)", told, err, errors.Unwrap(err))
			}
			if got := userIDs(whole.Users, shownID); !slices.Equal(got, userIDs(want, rowID)) || whole.Total != len(want) {
				k.Fatalf("%s: %q of %d, want %q", told, got, whole.Total, userIDs(want, rowID))
			}
			// By an offset and a cursor.
			if len(want) > 0 {
				at, size := r.IntN(len(want)), 1+r.IntN(5)
				skip := r.IntN(3)
				for what, c := range map[string]struct {
					q    query.Query
					want []*record.User
				}{
					"after":  {query.CursorAfter(want[at].ID), want[min(at+1+skip, len(want)):min(at+1+skip+size, len(want))]},
					"before": {query.CursorBefore(want[at].ID), want[max(at-skip-size, 0):max(at-skip, 0)]},
				} {
					list, err := k.Users().List(k.Ctx, append(slices.Clone(l.queries), query.Limit(size), query.Offset(skip), c.q)...)
					if errors.Is(err, latchkey.ErrQueryOrderNull) {
						continue
					}
					if err != nil || !slices.Equal(userIDs(list.Users, shownID), userIDs(c.want, rowID)) {
						k.Fatalf("%s: %s %d, offset %d, limit %d: %v, want %q", told, what, at, skip, size, err, userIDs(c.want, rowID))
					}
				}
			}
			// Page by page, there and back, while rows come and go.
			size := 1 + r.IntN(7)
			queries := append(slices.Clone(l.queries), query.Limit(size))
			token := ""
			var edge *record.User // the last row of the page before
			for page := range 40 {
				asked := queries
				if token != "" {
					asked = append(slices.Clone(queries), query.Page(token))
				}
				list, err := k.Users().List(k.Ctx, asked...)
				if err != nil {
					k.Fatalf("%s: page %d: %v (%v)", told, page, err, errors.Unwrap(err))
				}
				now := m.want(l)
				if edge != nil {
					now = slices.DeleteFunc(now, func(u *record.User) bool { return l.compare(u, edge) <= 0 })
				}
				if got, want := userIDs(list.Users, shownID), userIDs(now[:min(size, len(now))], rowID); !slices.Equal(got, want) {
					k.Fatalf("%s: page %d by %d: %q, want %q", told, page, size, got, want)
				}
				if (list.Next != "") != (len(now) > size) {
					k.Fatalf("%s: page %d: next is %v, %d rows are left", told, page, list.Next != "", len(now))
				}
				if len(list.Users) > 0 {
					last, first := *now[len(list.Users)-1], *now[0]
					if r.IntN(2) == 0 {
						m.drop(k, last.ID)
						add()
					}
					if list.Prev != "" {
						back, err := k.Users().List(k.Ctx, append(slices.Clone(queries), query.Page(list.Prev))...)
						k.Must(err)
						before := slices.DeleteFunc(m.want(l), func(u *record.User) bool { return l.compare(u, &first) >= 0 })
						if got, want := userIDs(back.Users, shownID), userIDs(before[max(0, len(before)-size):], rowID); !slices.Equal(got, want) {
							k.Fatalf("%s: before page %d: %q, want %q", told, page, got, want)
						}
					}
					edge = &last
				}
				if token = list.Next; token == "" {
					break
				}
			}
		}
	})
}
