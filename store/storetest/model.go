package storetest

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"pgregory.net/rapid"

	"example.com/latchkey/store"
)

// model makes random changes and queries, and compares the store with a plain
// list of rows that is filtered and sorted.
func model(s *suite) {
	rapid.Check(s.TB.(rapid.TB), func(t *rapid.T) {
		s.removeAll()
		var rows []*parent
		for range rapid.IntRange(0, 12).Draw(t, "rows") {
			rows = modelInsert(t, s, rows, drawParent(t))
		}
		for range rapid.IntRange(0, 2).Draw(t, "calls of InsertAll") {
			rows = modelInsertAll(t, s, rows)
		}
		for range rapid.IntRange(0, 4).Draw(t, "replacements") {
			if len(rows) > 0 {
				modelReplace(t, s, rows, drawParent(t))
			}
		}
		if rapid.Bool().Draw(t, "in a View") {
			s.must(s.view(func(_ context.Context, r store.Reader) error {
				s.removeAll() // which the View does not see
				modelQueries(t, s, r, rows)
				return nil
			}))
			return
		}
		modelQueries(t, s, s.Store, rows)
	})
}

// removeAll deletes all parents.
func (s *suite) removeAll() {
	s.Helper()
	s.must(s.update(func(ctx context.Context, tx store.Tx) error {
		for {
			n, err := tx.DeleteRange(ctx, store.Query{Index: byID, Limit: 100})
			if n == 0 || err != nil {
				return err
			}
		}
	}))
}

// modelQueries compares the answers of a reader with those of the model.
func modelQueries(t *rapid.T, s *suite, r store.Reader, rows []*parent) {
	for range rapid.IntRange(1, 10).Draw(t, "queries") {
		q := drawQuery(t, rows)
		want := modelList(rows, q)
		got, err := r.List(s.context(), q)
		if err != nil {
			t.Fatalf("list: %v", err)
		}
		if !slices.EqualFunc(got, want, sameRow) {
			t.Fatalf("listed %d rows by %s, want %d: %+v", len(got), q.Index.Name(), len(want), q)
		}
		q.Offset = 0
		want = modelList(rows, q)
		n, err := r.Count(s.context(), q)
		if err != nil || n != len(want) {
			t.Fatalf("counted %d, %v, want %d", n, err, len(want))
		}
		q.Limit = 0
		n, err = r.Count(s.context(), q)
		q.Limit = store.MaxLimit
		if want := len(modelList(rows, q)); err != nil || n != want {
			t.Fatalf("counted %d without a limit, %v, want %d", n, err, want)
		}
	}
}

var (
	oddTexts = []string{"", "a", "A", "a ", "aa", "ab", "b", "\x01", "~", "é", "e\u0301", "\uffff", "\U0001F600", "\U0010FFFF"}
	oddBytes = []string{"", strings.Repeat("\xff", store.MaxKey-8), "\x00", "\x00\x00", "\x00\xff", "\x01", "a", "a\x00", "a\x00b", "\xff", "\xff\xff"}
	oddInts  = []int64{math.MinInt64, -256, -1, 0, 1, 255, 256, math.MaxInt64}
	oddTimes = []time.Time{{}, firstTime, time.UnixMicro(-1).UTC(), time.UnixMicro(0).UTC(), time.UnixMicro(1).UTC(), lastTime}
)

func drawParent(t *rapid.T) *parent {
	return &parent{
		ID:    rapid.SampledFrom(oddTexts).Draw(t, "id"),
		Code:  []byte(rapid.SampledFrom(oddBytes).Draw(t, "code")),
		Name:  rapid.SampledFrom(oddTexts).Draw(t, "name"),
		Rank:  rapid.SampledFrom(oddInts).Draw(t, "rank"),
		Born:  rapid.SampledFrom(oddTimes).Draw(t, "born"),
		Alive: rapid.Bool().Draw(t, "alive"),
		Note:  rapid.SampledFrom(slices.Sorted(maps.Keys(oddLists))).Draw(t, "note"),
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

// modelInsertAll inserts some rows in one call, all or none.
func modelInsertAll(t *rapid.T, s *suite, rows []*parent) []*parent {
	all, taken := slices.Clone(rows), false
	for range rapid.IntRange(0, 4).Draw(t, "rows of a call") {
		p := drawParent(t)
		taken = taken || collides(all, p, -1)
		all = append(all, p)
	}
	err := s.update(func(ctx context.Context, tx store.Tx) error { return parents.InsertAll(ctx, tx, all[len(rows):]) })
	if taken {
		if !errors.Is(err, store.ErrExists) {
			t.Fatalf("rows with a taken key: %v", err)
		}
		return rows
	}
	if err != nil {
		t.Fatalf("insert of %d rows: %v", len(all)-len(rows), err)
	}
	return all
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
		Offset:     rapid.SampledFrom([]int{0, 0, 0, 1, 3}).Draw(t, "offset"),
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
	for range rapid.SampledFrom([]int{0, 0, 1, 2}).Draw(t, "filters") {
		q.Where = append(q.Where, drawFilter(t, 0))
	}
	if n := len(key) - 1; ix.Unique() && rapid.IntRange(0, 3).Draw(t, "one of some values") == 0 { // which the index serves
		var values []store.Value
		for range rapid.IntRange(1, 5).Draw(t, "values") {
			of := parents.Row(drawParent(t))
			if len(rows) > 0 {
				of = parents.Row(rapid.SampledFrom(rows).Draw(t, "row of a value"))
			}
			values = append(values, ix.Key(of)[n])
		}
		q.Equal, q.From, q.To = key[:n], store.Bound{}, store.Bound{}
		q.Where = append(q.Where, store.Where(parents.Columns()[ix.Columns()[n]].Name, store.OpEqual, values...))
	}
	if !slices.Contains(q.Equal, store.Null) && rapid.Bool().Draw(t, "cursor") {
		position := ix.Position(parents.Row(drawParent(t)))
		copy(position, q.Equal)
		if rapid.Bool().Draw(t, "before") {
			q.Before = position
		} else {
			q.After = position
		}
	}
	return q
}

func drawBound(t *rapid.T, v store.Value) store.Bound {
	return rapid.SampledFrom([]store.Bound{{}, store.Including(v), store.Excluding(v)}).Draw(t, "bound")
}

func drawFilter(t *rapid.T, depth int) store.Filter {
	if depth < 3 && rapid.IntRange(0, 3).Draw(t, "branch") == 0 {
		var filters []store.Filter
		for range rapid.IntRange(1, 3).Draw(t, "branches") {
			filters = append(filters, drawFilter(t, depth+1))
		}
		if rapid.Bool().Draw(t, "and") {
			return store.And(filters...)
		}
		return store.Or(filters...)
	}
	op := rapid.SampledFrom([]store.Op{
		store.OpEqual, store.OpNotEqual, store.OpLessThan, store.OpLessThanEqual, store.OpGreaterThan, store.OpGreaterThanEqual,
		store.OpBetween, store.OpNotBetween, store.OpIsNull, store.OpIsNotNull, store.OpStartsWith, store.OpNotStartsWith,
		store.OpEndsWith, store.OpNotEndsWith, store.OpContains, store.OpNotContains,
	}).Draw(t, "op")
	columns := []int{0, 1, 2, 3, 4, 5}
	switch {
	case op == store.OpContains || op == store.OpNotContains:
		columns = []int{0, 2, 6}
	case op.OfText():
		columns = []int{0, 2}
	case op == store.OpIsNull || op == store.OpIsNotNull:
		columns = append(columns, 6, 7)
	}
	column := rapid.SampledFrom(columns).Draw(t, "column")
	f := store.Filter{Op: op, Column: parents.Columns()[column].Name}
	least, most, _ := op.Arity()
	for range rapid.IntRange(least, min(most, 3)).Draw(t, "values") {
		v := parents.Row(drawParent(t)).At(column)
		switch {
		case column == 6 && op.OfText():
			v = store.Text(rapid.SampledFrom(oddTexts).Draw(t, "item"))
		case rapid.IntRange(0, 9).Draw(t, "null") == 0:
			v = store.Null
		}
		f.Values = append(f.Values, v)
	}
	return f
}

// modelList returns the rows that a query selects, found without an index.
func modelList(rows []*parent, q store.Query) []store.Row {
	ix := q.Index
	var out []store.Row
	for _, r := range rows {
		row := parents.Row(r)
		holds := modelMatches(row, q)
		for _, f := range q.Where {
			holds = holds && modelFilter(r, f)
		}
		if holds {
			out = append(out, row)
		}
	}
	slices.SortFunc(out, func(a, b store.Row) int {
		c := slices.CompareFunc(ix.Position(a), ix.Position(b), modelOrder)
		if q.Descending {
			return -c
		}
		return c
	})
	if q.Before != nil { // the rows nearest to the cursor, which are the last
		out = out[:max(0, len(out)-q.Offset)]
		return out[max(0, len(out)-q.Limit):]
	}
	out = out[min(len(out), q.Offset):]
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
		c := b.sign * modelOrder(v, b.Value)
		if v.IsNull() || b.Value.IsNull() || c < 0 || c == 0 && b.Open {
			return false
		}
	}
	position := q.Index.Position(row)
	behind := q.After == nil || modelSide(position, q.After, q) == !q.Descending
	before := q.Before == nil || modelSide(position, q.Before, q) == q.Descending
	at := func(cursor []store.Value) bool { return cursor != nil && modelCompare(position, cursor, q) == 0 }
	return behind && before && !at(q.After) && !at(q.Before)
}

// modelCompare compares positions. In a unique index the primary key decides
// only between nulls.
func modelCompare(position, cursor []store.Value, q store.Query) int {
	n := len(position)
	if k := len(q.Index.Columns()); q.Index.Unique() && !slices.Contains(cursor[:k], store.Null) {
		n = k
	}
	return slices.CompareFunc(position[:n], cursor[:n], modelOrder)
}

func modelSide(position, cursor []store.Value, q store.Query) (greater bool) {
	return modelCompare(position, cursor, q) > 0
}

// modelOrder orders values: nulls first, numbers by size, all others by bytes.
func modelOrder(a, b store.Value) int {
	switch {
	case a.IsNull() && b.IsNull():
		return 0
	case a.IsNull():
		return -1
	case b.IsNull():
		return 1
	case a.Kind() == store.KindText || a.Kind() == store.KindBytes:
		return bytes.Compare(a.Bytes(), b.Bytes())
	}
	return compareInts(a.Int(), b.Int())
}

// modelFilter reports whether a record meets a filter. It reads the fields of the
// record, and not a row.
func modelFilter(p *parent, f store.Filter) bool {
	switch f.Op {
	case store.OpAnd:
		for _, g := range f.Filters {
			if !modelFilter(p, g) {
				return false
			}
		}
		return true
	case store.OpOr:
		for _, g := range f.Filters {
			if modelFilter(p, g) {
				return true
			}
		}
		return false
	}
	field := map[string]any{
		"id": p.ID, "code": string(p.Code), "name": p.Name, "rank": p.Rank, "born": p.Born.UnixMicro(), "alive": p.Alive, "note": p.Note,
	}[f.Column]
	null := f.Column == "name" && p.Name == "" || f.Column == "born" && p.Born.IsZero()
	if f.Op == store.OpIsNull || f.Op == store.OpIsNotNull {
		return null == (f.Op == store.OpIsNull)
	}
	if null {
		return false
	}
	// How the field stands to each value that is not null.
	var known []modelStanding
	for _, v := range f.Values {
		if !v.IsNull() {
			known = append(known, stand(field, v, f.Column == "note"))
		}
	}
	some := func(is func(modelStanding) bool) bool { return slices.ContainsFunc(known, is) }
	no := func(is func(modelStanding) bool) bool { return len(known) == len(f.Values) && !some(is) }
	switch f.Op {
	case store.OpEqual:
		return some(func(s modelStanding) bool { return s.order == 0 })
	case store.OpNotEqual:
		return no(func(s modelStanding) bool { return s.order == 0 })
	case store.OpLessThan:
		return some(func(s modelStanding) bool { return s.order < 0 })
	case store.OpLessThanEqual:
		return some(func(s modelStanding) bool { return s.order <= 0 })
	case store.OpGreaterThan:
		return some(func(s modelStanding) bool { return s.order > 0 })
	case store.OpGreaterThanEqual:
		return some(func(s modelStanding) bool { return s.order >= 0 })
	case store.OpBetween:
		return len(known) == 2 && known[0].order >= 0 && known[1].order <= 0
	case store.OpNotBetween:
		return len(known) == 2 && (known[0].order < 0 || known[1].order > 0)
	case store.OpStartsWith:
		return some(func(s modelStanding) bool { return s.begins })
	case store.OpNotStartsWith:
		return no(func(s modelStanding) bool { return s.begins })
	case store.OpEndsWith:
		return some(func(s modelStanding) bool { return s.ends })
	case store.OpNotEndsWith:
		return no(func(s modelStanding) bool { return s.ends })
	case store.OpContains:
		return some(func(s modelStanding) bool { return s.has })
	default:
		return no(func(s modelStanding) bool { return s.has })
	}
}

// modelStanding is how a field stands to a value.
type modelStanding struct {
	order             int
	begins, ends, has bool
}

func stand(field any, v store.Value, isList bool) modelStanding {
	switch x := field.(type) {
	case string:
		y := v.Text()
		s := modelStanding{order: bytes.Compare([]byte(x), []byte(y))}
		s.begins = len(x) >= len(y) && x[:len(y)] == y
		s.ends = len(x) >= len(y) && x[len(x)-len(y):] == y
		for i := 0; i+len(y) <= len(x); i++ {
			s.has = s.has || x[i:i+len(y)] == y
		}
		if isList {
			s.has = slices.Contains(oddLists[x], y)
		}
		return s
	case int64:
		return modelStanding{order: compareInts(x, v.Int())}
	case bool:
		number := map[bool]int64{false: 0, true: 1}
		return modelStanding{order: compareInts(number[x], number[v.Bool()])}
	}
	panic("no such field")
}

func compareInts(a, b int64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// oddLists are JSON values, with the texts that are items of them.
var oddLists = map[string][]string{
	"{}": nil, "[]": nil, `"a"`: nil, "null": nil, "1": nil, `{"a":"b"}`: nil, `["a"]`: {"a"}, `["a","b","ab"]`: {"a", "b", "ab"},
	`[1,null,["b"],"A"]`: {"A"}, `["\u0061 ",""]`: {"a ", ""}, `["\ud83d\ude00","é"]`: {"\U0001F600", "é"},
}
