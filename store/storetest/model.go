package storetest

import (
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"time"

	"pgregory.net/rapid"

	"example.com/latchkey/store"
)

// model compares a store with a list of rows that is filtered and sorted the
// plain way, over random changes and queries.
func model(s *suite) {
	rapid.Check(s.TB.(rapid.TB), func(t *rapid.T) {
		s.must(s.update(func(ctx context.Context, tx store.Tx) error {
			for {
				n, err := tx.DeleteRange(ctx, store.Query{Index: byID, Limit: 100})
				if n == 0 || err != nil {
					return err
				}
			}
		}))
		var rows []*parent
		for range rapid.IntRange(0, 12).Draw(t, "rows") {
			rows = modelInsert(t, s, rows, drawParent(t))
		}
		for range rapid.IntRange(0, 4).Draw(t, "replacements") {
			if len(rows) > 0 {
				modelReplace(t, s, rows, drawParent(t))
			}
		}
		for range rapid.IntRange(1, 10).Draw(t, "queries") {
			q := drawQuery(t, rows)
			want := modelList(rows, q)
			got, err := s.List(s.context(), q)
			if err != nil {
				t.Fatalf("list: %v", err)
			}
			if !slices.EqualFunc(got, want, sameRow) {
				t.Fatalf("listed %d rows by %s, want %d: %+v", len(got), q.Index.Name(), len(want), q)
			}
			n, err := s.Count(s.context(), q)
			if err != nil || n != len(want) {
				t.Fatalf("counted %d, %v, want %d", n, err, len(want))
			}
			q.Limit = 0
			n, err = s.Count(s.context(), q)
			q.Limit = store.MaxLimit
			if want := len(modelList(rows, q)); err != nil || n != want {
				t.Fatalf("counted %d without a limit, %v, want %d", n, err, want)
			}
		}
	})
}

var (
	oddTexts = []string{"", "a", "A", "a ", "aa", "ab", "b", "\x01", "~", "é", "e\u0301", "\uffff", "\U0001F600", "\U0010FFFF"}
	oddBytes = []string{"", strings.Repeat("\xff", store.MaxKey-8), "\x00", "\x00\x00", "\x00\xff", "\x01", "a", "a\x00", "a\x00b", "\xff", "\xff\xff"}
	oddInts  = []int64{math.MinInt64, -256, -1, 0, 1, 255, 256, math.MaxInt64}
	oddTimes = []time.Time{{}, time.UnixMicro(math.MinInt64 / 4).UTC(), time.UnixMicro(-1).UTC(), time.UnixMicro(0).UTC(), time.UnixMicro(1).UTC(), time.UnixMicro(math.MaxInt64 / 4).UTC()}
)

func drawParent(t *rapid.T) *parent {
	return &parent{
		ID:    rapid.SampledFrom(oddTexts).Draw(t, "id"),
		Code:  []byte(rapid.SampledFrom(oddBytes).Draw(t, "code")),
		Name:  rapid.SampledFrom(oddTexts).Draw(t, "name"),
		Rank:  rapid.SampledFrom(oddInts).Draw(t, "rank"),
		Born:  rapid.SampledFrom(oddTimes).Draw(t, "born"),
		Alive: rapid.Bool().Draw(t, "alive"),
		Note:  "{}",
	}
}

// collides reports whether p takes a key of another row.
func collides(rows []*parent, p *parent, except int) bool {
	for i, r := range rows {
		if i != except && (r.ID == p.ID || string(r.Code) == string(p.Code) || r.Name != "" && r.Name == p.Name) {
			return true
		}
	}
	return false
}

func modelInsert(t *rapid.T, s *suite, rows []*parent, p *parent) []*parent {
	err := s.insert(p)
	if collides(rows, p, -1) {
		if !errors.Is(err, store.ErrExists) {
			t.Fatalf("insert of a taken key: %v", err)
		}
		return rows
	}
	if err != nil {
		t.Fatalf("insert: %v", err)
	}
	return append(rows, p)
}

func modelReplace(t *rapid.T, s *suite, rows []*parent, p *parent) {
	i := rapid.IntRange(0, len(rows)-1).Draw(t, "replaced")
	p.ID = rows[i].ID
	err := s.update(func(ctx context.Context, tx store.Tx) error { return parents.Replace(ctx, tx, p) })
	if collides(rows, p, i) {
		if !errors.Is(err, store.ErrExists) {
			t.Fatalf("replacement with a taken key: %v", err)
		}
		return
	}
	if err != nil {
		t.Fatalf("replace: %v", err)
	}
	rows[i] = p
}

func drawQuery(t *rapid.T, rows []*parent) store.Query {
	ix := rapid.SampledFrom(parents.Indexes()).Draw(t, "index")
	q := store.Query{
		Index:      ix,
		Descending: rapid.Bool().Draw(t, "descending"),
		Limit:      rapid.IntRange(1, 15).Draw(t, "limit"),
	}
	row := parents.Row(drawParent(t))
	if len(rows) > 0 && rapid.Bool().Draw(t, "of a row") {
		row = parents.Row(rapid.SampledFrom(rows).Draw(t, "row"))
	}
	key := ix.Key(row)
	q.Equal = key[:rapid.IntRange(0, len(key)).Draw(t, "equal")]
	if n := len(q.Equal); n < len(key) {
		q.From = drawBound(t, key[n])
		q.To = drawBound(t, ix.Key(parents.Row(drawParent(t)))[n])
	}
	if !slices.Contains(q.Equal, store.Null) && rapid.Bool().Draw(t, "after") {
		position := ix.Position(parents.Row(drawParent(t)))
		copy(position, q.Equal)
		q.After = position
	}
	return q
}

func drawBound(t *rapid.T, v store.Value) store.Bound {
	return rapid.SampledFrom([]store.Bound{{}, store.Including(v), store.Excluding(v)}).Draw(t, "bound")
}

// modelList is what a query selects, said without any index.
func modelList(rows []*parent, q store.Query) []store.Row {
	ix := q.Index
	var out []store.Row
	for _, r := range rows {
		if row := parents.Row(r); modelMatches(row, q) {
			out = append(out, row)
		}
	}
	slices.SortFunc(out, func(a, b store.Row) int {
		c := slices.CompareFunc(ix.Position(a), ix.Position(b), store.Compare)
		if q.Descending {
			return -c
		}
		return c
	})
	return out[:min(len(out), q.Limit)]
}

func modelMatches(row store.Row, q store.Query) bool {
	key := q.Index.Key(row)
	for i, v := range q.Equal {
		if v.IsNull() || key[i] != v {
			return false
		}
	}
	for _, b := range []struct {
		store.Bound
		sign int
	}{{q.From, 1}, {q.To, -1}} {
		if !b.Set {
			continue
		}
		v := key[len(q.Equal)]
		c := b.sign * store.Compare(v, b.Value)
		if v.IsNull() || b.Value.IsNull() || c < 0 || c == 0 && b.Open {
			return false
		}
	}
	return q.After == nil || modelBehind(q.Index.Position(row), q)
}

// modelBehind reports whether a position is behind q.After. In a unique index
// the primary key decides only between nulls.
func modelBehind(position []store.Value, q store.Query) bool {
	n := len(position)
	if k := len(q.Index.Columns()); q.Index.Unique() && !slices.Contains(q.After[:k], store.Null) {
		n = k
	}
	c := slices.CompareFunc(position[:n], q.After[:n], store.Compare)
	return c > 0 && !q.Descending || c < 0 && q.Descending
}
