package attack_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
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

// isAnswer reports whether an error is an answer of the caller's, and no fault.
func isAnswer(err error) bool {
	var own *latchkey.Error
	return err == nil || errors.As(err, &own)
}

// A value of a query that no store holds is refused, or selects nothing: it is no fault of the
// host's, whatever the order and the way through the rows.
func TestAttackAValueThatNoStoreHoldsIsNoFault(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		values := map[string]string{"NUL": "a\x00b", "bad UTF-8": "a\xff", "half a pair": "\xed\xa0\x80", "long": strings.Repeat("a", 4000)}
		for what, text := range values {
			for _, name := range []string{"$id", "email", "phone", "name"} {
				for _, q := range []query.Query{
					query.Equal(name, text), query.NotEqual(name, text), query.LessThan(name, text), query.Between(name, text, text),
					query.StartsWith(name, text), query.NotEndsWith(name, text), query.Contains(name, text), query.Or(query.Equal(name, text)),
				} {
					for _, more := range [][]query.Query{nil, {query.Walk()}, {query.OrderDesc("email"), query.Walk()}} {
						if err := kit.Err(k.Users().List(k.Ctx, append(more, q)...)); !isAnswer(err) {
							k.Errorf("%s, %s of %s, %d more: %v (%v)", what, q.Method(), name, len(more), err, errors.Unwrap(err))
						}
					}
				}
			}
			for _, more := range [][]query.Query{nil, {query.Walk()}} {
				if err := kit.Err(k.Users().List(k.Ctx, append(more, query.Contains("labels", text))...)); !isAnswer(err) {
					k.Errorf("%s of labels: %v", what, err)
				}
				if err := kit.Err(k.Users().List(k.Ctx, append(more, query.Search(text))...)); !isAnswer(err) {
					k.Errorf("%s searched: %v", what, err)
				}
			}
			if q, err := query.Parse(fmt.Sprintf(`{"method":"equal","attribute":"email","values":[%s]}`, jsonText(text))); err == nil {
				if err := kit.Err(k.Users().List(k.Ctx, q)); !isAnswer(err) {
					k.Errorf("%s by the wire: %v", what, err)
				}
			}
		}
		for _, text := range []string{"9999-12-31T23:59:59-01:00", "0000-01-01T00:00:00+01:00"} {
			at, err := time.Parse(time.RFC3339, text)
			k.Must(err)
			for _, q := range []query.Query{query.LessThan("$createdAt", text), query.GreaterThan("accessedAt", at)} {
				for _, more := range [][]query.Query{nil, {query.Walk()}} {
					if err := kit.Err(k.Users().List(k.Ctx, append(more, q)...)); !isAnswer(err) {
						k.Errorf("%s, %d more: %v (%v)", text, len(more), err, errors.Unwrap(err))
					}
				}
			}
		}
	})
}

func jsonText(s string) string {
	b, _ := json.Marshal(s)
	return string(b)
}

// A time with a part of a microsecond is compared as it is: rows keep whole ones.
func TestAttackTimesWithAPartOfAMicrosecond(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user := k.SignUp(kit.Ada)
		shown, err := k.Users().Get(k.Ctx, user.ID)
		k.Must(err)
		at := shown.CreatedAt
		for _, d := range []time.Duration{-1500, -1000, -1, 0, 1, 999, 1000, 1500} {
			v := at.Add(d)
			for name, c := range map[string]struct {
				query query.Query
				holds bool
			}{
				"equal":            {query.Equal("$createdAt", v), at.Equal(v)},
				"notEqual":         {query.NotEqual("$createdAt", v), !at.Equal(v)},
				"lessThan":         {query.LessThan("$createdAt", v), at.Before(v)},
				"lessThanEqual":    {query.LessThanEqual("$createdAt", v), !at.After(v)},
				"greaterThan":      {query.GreaterThan("$createdAt", v), at.After(v)},
				"greaterThanEqual": {query.GreaterThanEqual("$createdAt", v), !at.Before(v)},
				"text":             {query.LessThan("$createdAt", v.Format(time.RFC3339Nano)), at.Before(v)},
			} {
				list, err := k.Users().List(k.Ctx, c.query)
				k.Must(err)
				if (len(list.Users) == 1) != c.holds {
					k.Errorf("%s at %v: %d rows", name, d, len(list.Users))
				}
			}
		}
	})
}

// A listing looks at 10,000 users at most, unless it may walk: so does one with an offset.
func TestAttackAnOffsetLooksAtABoundedNumberOfRows(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.FillUsers(10_500)
		for _, queries := range [][]query.Query{
			{query.Offset(10_400), query.Limit(1), query.NoTotal()},
			{query.Offset(1 << 30), query.OrderDesc("name"), query.NoTotal()},
		} {
			if err := kit.Err(k.Users().List(k.Ctx, queries...)); err != latchkey.ErrQueryTooCostly {
				k.Errorf("%v: %v", queries, err)
			}
		}
	})
}

// A listing may look at 10,000 users: a table of as many is not too costly.
func TestAttackTenThousandUsersAreNotTooMany(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.FillUsers(10_000)
		for name, queries := range map[string][]query.Query{
			"a filter": {query.Equal("name", "nobody")},
			"an order": {query.OrderAsc("$updatedAt"), query.Limit(1)},
		} {
			if err := kit.Err(k.Users().List(k.Ctx, queries...)); err != nil {
				k.Errorf("%s: %v", name, err)
			}
		}
	})
}

// Every token that a listing gives is taken, whatever its orders.
func TestAttackEveryTokenOfAPageIsTaken(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		for n := range 3 {
			k.Must(kit.Err(k.Users().Create(k.Ctx, latchkey.NewUser{Name: strings.Repeat("\U0001F600", 127) + fmt.Sprint(n)})))
		}
		queries := slices.Repeat([]query.Query{query.OrderAsc("name")}, 8)
		queries = append(queries, query.Limit(1))
		list, err := k.Users().List(k.Ctx, queries...)
		if err != nil {
			return // the same order many times may be refused
		}
		k.Must(kit.Err(k.Users().List(k.Ctx, append(queries, query.Page(list.Next))...)))
	})
}

// There is a token of a page only where there is a page.
func TestAttackNoTokenLeadsToAnEmptyPage(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		var made []string
		for n := range 6 {
			name := "even"
			if n%2 == 1 {
				name = "odd"
			}
			user, err := k.Users().Create(k.Ctx, latchkey.NewUser{UserID: fmt.Sprint("user", n), Name: name})
			k.Must(err)
			made = append(made, user.ID)
		}
		for _, order := range []string{"$id", "$updatedAt"} {
			asked := []query.Query{query.Equal("name", "odd"), query.OrderAsc(order)}
			for what, cursor := range map[string]query.Query{
				"after": query.CursorAfter(made[0]), "before": query.CursorBefore(made[5]),
				"before a row beyond the last": query.CursorBefore(made[5]),
			} {
				list, err := k.Users().List(k.Ctx, append(slices.Clone(asked), cursor)...)
				k.Must(err)
				for side, token := range map[string]string{"next": list.Next, "prev": list.Prev} {
					if token == "" {
						continue
					}
					beside, err := k.Users().List(k.Ctx, append(slices.Clone(asked), query.Page(token))...)
					k.Must(err)
					if len(beside.Users) == 0 {
						k.Errorf("by %s, %s: the %s page is empty", order, what, side)
					}
				}
			}
		}
	})
}

// manyWords returns a name and an address of many different words that begin with a text.
func manyWords(n int, begin string) (name, email string) {
	var words []string
	for i := range 42 {
		words = append(words, begin+string(rune('\u4e00'+i)))
	}
	var labels []string
	for i := range 60 {
		labels = append(labels, fmt.Sprintf("%s%c%c", begin, 'a'+i/26, 'a'+i%26))
	}
	name = strings.Join(words, " ")
	return name, fmt.Sprintf("%s@%s.x%d.test", begin, strings.Join(labels[:56], "."), n)
}

// The listing says that the number and the labels are found: a user does not hide them by a
// long name and address.
func TestAttackAUserCannotHideFromTheSearch(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		name, email := manyWords(0, "b")
		user, err := k.Visitor.CreateAccount(k.Ctx, latchkey.NewAccount{Email: email, Name: name, Password: kit.Password})
		k.Must(err)
		k.Must(kit.Err(k.Users().UpdatePhone(k.Ctx, user.ID, kit.Phone)))
		k.Must(kit.Err(k.Users().UpdateLabels(k.Ctx, user.ID, []string{"banned"})))
		for _, search := range []string{kit.Phone, "banned"} {
			list, err := k.Users().List(k.Ctx, query.Search(search))
			k.Must(err)
			if len(list.Users) != 1 {
				k.Errorf("%s is not found", search)
			}
		}
	})
}

// Every label of a user is found, of as many as a user may have.
func TestAttackEveryLabelIsFound(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		labels := make([]string, 150)
		for n := range labels {
			labels[n] = fmt.Sprintf("label%04d", n)
		}
		user := k.SignUp(kit.Ada)
		k.Must(kit.Err(k.Users().UpdateLabels(k.Ctx, user.ID, labels)))
		list, err := k.Users().List(k.Ctx, query.Search("label0149"))
		k.Must(err)
		if len(list.Users) != 1 {
			k.Errorf("the last label of 150 is not found")
		}
	})
}

// A search looks at 5,000 users with a word, as it says, and not at 5,000 words: a few users
// of many words do not hide all others.
func TestAttackAFewUsersDoNotHideOthersFromTheSearch(t *testing.T) {
	kit.OneByOne(t, kit.Documented, func(k *kit.Kit) {
		k.Must(kit.Err(k.Users().Create(k.Ctx, latchkey.NewUser{UserID: "last", Name: "A\U00020000"})))
		for n := range 60 {
			name, email := manyWords(n, "a")
			k.Must(kit.Err(k.Users().Create(k.Ctx, latchkey.NewUser{UserID: fmt.Sprint("u", n), Email: email, Name: name})))
		}
		list, err := k.Users().List(k.Ctx, query.Search("a"), query.Limit(100))
		k.Must(err)
		if list.Total != 61 {
			k.Errorf("a search of 61 users that have the word finds %d", list.Total)
		}
	})
}

// An export has the open codes that were sent to the user's address before the user had it.
func TestAttackAnExportHasWhatWasSentToTheAddress(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.Must(kit.Err(k.Visitor.CreateMagicURLToken(k.Ctx, latchkey.NewMagicURLToken{Email: kit.Ada})))
		k.Must(kit.Err(k.Visitor.CreatePhoneToken(k.Ctx, "", kit.Phone)))
		user, err := k.Users().Create(k.Ctx, latchkey.NewUser{Email: kit.Ada, Phone: kit.Phone})
		k.Must(err)
		var document map[string][]map[string]any
		text, err := k.Users().Export(k.Ctx, user.ID)
		k.Must(err)
		k.Must(json.Unmarshal(text, &document))
		rows, err := k.Raw.List(k.Ctx, store.Query{Index: record.Tokens.Primary(), Limit: store.MaxLimit})
		k.Must(err)
		if len(document["tokens"]) != len(rows) {
			k.Errorf("%d tokens in the export, %d in the store", len(document["tokens"]), len(rows))
		}
	})
}

var _ = context.Background
