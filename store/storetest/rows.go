package storetest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"math"
	"slices"
	"strings"
	"time"

	"example.com/latchkey/store"
)

// nameless returns three people without a name or a date of birth.
func nameless() []*parent {
	people := []*parent{person(10), person(11), person(12)}
	for _, p := range people {
		p.Name, p.Born = "", time.Time{}
	}
	return people
}

func nullsNeverCollide(s *suite) {
	s.add(nameless()...)
	s.must(s.update(func(ctx context.Context, tx store.Tx) error {
		for n := range int64(3) { // the same number twice, each with a null
			c := child{ParentID: person(10).ID, Number: n}
			d := child{ParentID: person(11).ID, Number: n}
			if err := errors.Join(children.Insert(ctx, tx, &c), children.Insert(ctx, tx, &d)); err != nil {
				return err
			}
		}
		return nil
	}))
	if n, err := s.Count(s.context(), store.Query{Index: byLabel}); err != nil || n != 6 {
		s.Errorf("%d rows by an index of nulls, %v", n, err)
	}
}

func nullsFirst(s *suite) {
	s.add(person(1), person(0))
	s.add(nameless()...)
	want := []string{person(10).ID, person(11).ID, person(12).ID, person(0).ID, person(1).ID}
	for _, ix := range []*store.Index{byName, byBorn} {
		if got := s.ids(store.Query{Index: ix, Limit: 10}); !slices.Equal(got, want) {
			s.Errorf("by %s: %v, want %v", ix.Name(), got, want)
		}
		backwards := slices.Clone(want)
		slices.Reverse(backwards)
		if got := s.ids(store.Query{Index: ix, Limit: 10, Descending: true}); !slices.Equal(got, backwards) {
			s.Errorf("by %s descending: %v, want %v", ix.Name(), got, backwards)
		}
	}
}

func cursorOnNull(s *suite) {
	s.add(person(1), person(0))
	s.add(nameless()...)
	for _, ix := range []*store.Index{byName, byBorn, byRank, byCode, byID} {
		for _, descending := range []bool{false, true} {
			all, err := s.List(s.context(), store.Query{Index: ix, Limit: 10, Descending: descending})
			s.must(err)
			var walked []store.Row
			var after []store.Value
			for {
				page, err := s.List(s.context(), store.Query{Index: ix, Limit: 1, Descending: descending, After: after})
				s.must(err)
				if len(page) == 0 {
					break
				}
				walked = append(walked, page...)
				after = ix.Position(page[0])
			}
			if !slices.EqualFunc(all, walked, sameRow) {
				s.Errorf("by %s, descending %v: %d rows at once, %d one by one", ix.Name(), descending, len(all), len(walked))
			}
		}
	}
}

// sameRow compares rows: notes of parents as JSON, all other columns by value.
func sameRow(a, b store.Row) bool {
	x, y := a.Values(), b.Values()
	note := parents.Column("note")
	if len(x) != len(parents.Columns()) || len(y) != len(x) {
		return slices.Equal(x, y) // of another table
	}
	for _, row := range [][]store.Value{x, y} {
		var v any
		if json.Unmarshal([]byte(row[note].Text()), &v) != nil {
			return false
		}
		said, _ := json.Marshal(v)
		row[note] = store.Text(string(said))
	}
	return slices.Equal(x, y)
}

func compareNull(s *suite) {
	s.add(person(0))
	s.add(nameless()...)
	_, err := s.Get(s.context(), byName, store.Null)
	s.want(err, store.ErrNotFound)
	for name, q := range map[string]store.Query{
		"equal": {Equal: []store.Value{store.Null}},
		"from":  {From: store.Including(store.Null)},
		"to":    {To: store.Including(store.Null)},
	} {
		q.Index, q.Limit = byBorn, 10
		if got := s.ids(q); len(got) != 0 {
			s.Errorf("%s null selects %v", name, got)
		}
	}
	everyone := store.Query{Index: byBorn, Limit: 10, To: store.Including(store.Time(lastTime))}
	if got := s.ids(everyone); !slices.Equal(got, []string{person(0).ID}) {
		s.Errorf("a bound selects %v; a null is on neither side of it", got)
	}
}

func textOrder(s *suite) {
	names := []string{"A", "B", "Z", "_", "a", "a a", "aA", "aa", "b", "z", "ä", "é", "ÿ", "中", "\U0001F600"}
	slices.Sort(names)
	for n, name := range names {
		p := person(len(names) - n)
		p.Name = name
		s.add(p)
	}
	people, err := parents.List(s.context(), s.Store, store.Query{Index: byName, Limit: 100})
	s.must(err)
	var got []string
	for _, p := range people {
		got = append(got, p.Name)
	}
	if !slices.Equal(got, names) {
		s.Errorf("order %q, want %q", got, names)
	}
	_, err = s.Get(s.context(), byName, store.Text("É"))
	s.want(err, store.ErrNotFound)
}

func badValues(s *suite) {
	for name, change := range map[string]func(p *parent){
		"NUL":                 func(p *parent) { p.Name = "a\x00b" },
		"invalid UTF-8":       func(p *parent) { p.Name = "a\xffb" },
		"no JSON":             func(p *parent) { p.Note = "{" },
		"two JSONs":           func(p *parent) { p.Words = "{} {}" },
		"JSON not in UTF-8":   func(p *parent) { p.Note = "\"a\xffb\"" },
		"NUL in JSON":         func(p *parent) { p.Words = `"\\\u0000"` },
		"a number too great":  func(p *parent) { p.Note = `[1e400]` },
		"a number too small":  func(p *parent) { p.Note = `[{"a":-1e-20000}]` },
		"a number too long":   func(p *parent) { p.Note = "[1" + strings.Repeat("0", 300) + "." + strings.Repeat("1", 200) + "]" },
		"half a pair":         func(p *parent) { p.Note = `["\ud83d"]` },
		"before the year 0":   func(p *parent) { p.Born = firstTime.Add(-time.Microsecond) },
		"after the year 9999": func(p *parent) { p.Born = lastTime.Add(time.Microsecond) },
		"key over MaxKey":     func(p *parent) { p.Name = strings.Repeat("x", store.MaxKey) },
		"clustering over key": func(p *parent) { p.Code = bytes.Repeat([]byte{0}, store.MaxKey+1) },
	} {
		p := person(0)
		change(p)
		if err := s.insert(p); !errors.Is(err, store.ErrInvalid) {
			s.Errorf("%s: %v", name, err)
		}
	}
	p := person(0)
	p.ID, p.Name = "i", ""
	p.Code = bytes.Repeat([]byte{0}, store.MaxKey-len(p.ID))
	s.must(s.insert(p))

	row := parents.Row(person(1))
	swap := func(i int, v store.Value) store.Row {
		values := row.Values()
		values[i] = v
		return store.NewRow(values)
	}
	for name, bad := range map[string]store.Row{
		"wrong kind": swap(3, store.Text("1")),
		"null":       swap(0, store.Null),
		"short":      store.NewRow(row.Values()[1:]),
	} {
		err := s.update(func(ctx context.Context, tx store.Tx) error { return tx.Insert(ctx, parents.Table, bad) })
		if !errors.Is(err, store.ErrInvalid) {
			s.Errorf("%s: %v", name, err)
		}
	}
	ctx := s.context()
	_, err := s.Get(ctx, byRank, store.Int(1), store.Bool(false))
	s.want(err, store.ErrInvalid) // not unique
	_, err = s.Get(ctx, byID, store.Int(1))
	s.want(err, store.ErrInvalid)
	_, err = s.Get(ctx, byID)
	s.want(err, store.ErrInvalid)
	_, err = s.Get(ctx, byName, store.Text("a\x00b"))
	s.want(err, store.ErrInvalid)
	for name, q := range map[string]store.Query{
		"no index":           {Limit: 1},
		"negative limit":     {Index: byRank, Limit: -1},
		"limit over":         {Index: byRank, Limit: store.MaxLimit + 1},
		"range of nothing":   {Index: byID, Equal: []store.Value{store.Text("x")}, From: store.Including(store.Text("x")), Limit: 1},
		"kind of a bound":    {Index: byRank, From: store.Including(store.Text("x")), Limit: 1},
		"position too short": {Index: byRank, After: []store.Value{store.Int(1)}, Limit: 1},
		"position elsewhere": {
			Index: byRank, Equal: []store.Value{store.Int(1)}, Limit: 1,
			After: []store.Value{store.Int(2), store.Bool(false), store.Text("x")},
		},
	} {
		if _, err := s.List(ctx, q); !errors.Is(err, store.ErrInvalid) {
			s.Errorf("%s: %v", name, err)
		}
	}
	stranger := store.Declare("strangers", (*child).bind, store.Keys{Primary: []string{"number"}})
	store.NewSchema("stranger", 1, stranger.Table)
	_, err = s.Get(ctx, stranger.Primary(), store.Int(1))
	s.want(err, store.ErrInvalid)
}

func badFilters(s *suite) {
	s.add(person(0))
	values := func(n int) []store.Value {
		out := make([]store.Value, n)
		for i := range out {
			out[i] = store.Text(person(i).ID)
		}
		return out
	}
	deep := store.Where("id", store.OpIsNotNull)
	for range store.MaxFilterDepth {
		deep = store.And(deep)
	}
	var many []store.Filter
	for range store.MaxFilterTerms + 1 {
		many = append(many, store.Where("id", store.OpIsNotNull))
	}
	for name, f := range map[string]store.Filter{
		"no operator":      {},
		"unknown operator": store.Where("id", "like", store.Text("x")),
		"unknown column":   store.Where("password", store.OpEqual, store.Text("x")),
		"no value":         store.Where("id", store.OpEqual),
		"two values":       store.Where("id", store.OpLessThan, values(2)...),
		"one end":          store.Where("id", store.OpBetween, values(1)...),
		"501 values":       store.Where("id", store.OpEqual, values(501)...),
		"wrong kind":       store.Where("rank", store.OpEqual, store.Text("1")),
		"NUL":              store.Where("id", store.OpContains, store.Text("a\x00")),
		"text of a number": store.Where("rank", store.OpStartsWith, store.Int(1)),
		"order of JSON":    store.Where("note", store.OpLessThan, store.Text("{}")),
		"value of JSON":    store.Where("note", store.OpEqual, store.Text("{}")),
		"start of JSON":    store.Where("note", store.OpNotStartsWith, store.Text("{}")),
		"item of words":    store.Where("words", store.OpContains, store.Text("a")),
		"text of bytes":    store.Where("code", store.OpContains, store.BytesOf("x")),
		"empty and":        store.And(),
		"and on a column":  {Op: store.OpAnd, Column: "id", Filters: []store.Filter{store.Where("id", store.OpIsNull)}},
		"too deep":         deep,
		"too many":         store.Or(many...),
		"column by text":   store.Where("id OR 1 = 1 --", store.OpIsNull),
	} {
		if _, err := s.List(s.context(), store.Query{Index: byRank, Limit: 1, Where: []store.Filter{f}}); !errors.Is(err, store.ErrInvalid) {
			s.Errorf("%s: %v", name, err)
		}
	}
	var most []store.Filter // as many values as are allowed, and a cursor among nulls
	for range store.MaxValues / store.MaxFilterValues {
		n := make([]store.Value, store.MaxFilterValues)
		for i := range n {
			n[i] = store.Int(int64(-i - 1))
		}
		most = append(most, store.Where("rank", store.OpNotEqual, n...))
	}
	q := store.Query{Index: byBorn, Where: most, Descending: true, Limit: 5, After: byBorn.Position(parents.Row(person(9)))}
	if got := s.ids(q); !slices.Equal(got, []string{person(0).ID}) {
		s.Errorf("filters of %d values select %v", store.MaxValues, got)
	}
	for name, q := range map[string]store.Query{
		"two cursors":     {After: byRank.Position(parents.Row(person(0))), Before: byRank.Position(parents.Row(person(1)))},
		"negative offset": {Offset: -1},
		"great offset":    {Offset: store.MaxOffset + 1},
		"short cursor":    {Before: []store.Value{store.Int(1)}},
	} {
		q.Index, q.Limit = byRank, 1
		if _, err := s.List(s.context(), q); !errors.Is(err, store.ErrInvalid) {
			s.Errorf("%s: %v", name, err)
		}
	}
	ctx := s.context()
	for _, offset := range []int{1, -1} { // rows are left out of lists alone
		_, err := s.Count(ctx, store.Query{Index: byRank, Offset: offset})
		s.want(err, store.ErrInvalid)
		s.want(s.update(func(ctx context.Context, tx store.Tx) error {
			_, err := tx.DeleteRange(ctx, store.Query{Index: byRank, Limit: 1, Offset: offset})
			return err
		}), store.ErrInvalid)
	}
	inFull := make([]store.Filter, 60) // all values that a query may have
	for i := range inFull {
		inFull[i] = store.Where("id", store.OpEqual, values(500)...)
	}
	betweens := make([]store.Filter, store.MaxFilterTerms-1)
	for i := range betweens {
		betweens[i] = store.Where("rank", store.OpBetween, store.Int(0), store.Int(1))
	}
	for name, where := range map[string][]store.Filter{
		"values":   inFull,
		"betweens": betweens,
		"or":       {store.Or(betweens[1:]...)},
		"contains": {store.Where("id", store.OpContains, values(store.MaxFilterTerms)...)},
		"list":     {store.Where("note", store.OpNotContains, values(500)...)},
	} {
		q := store.Query{Index: byRank, Limit: 1, Where: where}
		if got := s.ids(q); len(got) != 1 {
			s.Errorf("the greatest filter, %s, selects %v", name, got)
		}
		err := s.update(func(ctx context.Context, tx store.Tx) error {
			n, err := tx.DeleteRange(ctx, q)
			if n != 1 {
				s.Errorf("the greatest filter, %s, deletes %d, %v", name, n, err)
			}
			return errMine
		})
		s.want(err, errMine)
	}
	if _, err := s.List(s.context(), store.Query{Index: byRank, Limit: 1, Where: append(inFull, inFull[0])}); !errors.Is(err, store.ErrInvalid) {
		s.Errorf("too many values: %v", err)
	}
}

var errMine = errors.New("mine")

func sweep(s *suite) {
	var people []*parent
	for n := range 1500 {
		people = append(people, person(n))
	}
	people = append(people, nameless()[0])
	people[1500].ID, people[1500].Code = "never", []byte("never") // has no time
	s.add(people...)
	counted := Count(s.Store)
	n, err := store.Sweep(s.context(), counted, byBorn, time.UnixMicro(1400))
	s.must(err)
	left, err := s.Count(s.context(), store.Query{Index: byID})
	s.must(err)
	if n != 1400 || left != 101 {
		s.Errorf("swept %d, %d are left", n, left)
	}
	if batches := counted.Updates.Load(); batches < 3 {
		s.Errorf("1400 rows in %d batches", batches)
	}
	if n, err := store.Sweep(s.context(), s.Store, byBorn, time.UnixMicro(1400)); n != 0 || err != nil {
		s.Errorf("swept %d again, %v", n, err)
	}
	_, err = store.Sweep(s.context(), s.Store, byRank, time.UnixMicro(1400))
	s.want(err, store.ErrInvalid)
	_, err = store.Sweep(s.context(), s.Store, nil, time.UnixMicro(1400))
	s.want(err, store.ErrInvalid)
	mine := errors.New("mine")
	n, err = store.Sweep(s.context(), FailNth(s.Store, 3, false, mine), byBorn, time.UnixMicro(9999))
	s.want(err, mine)
	rest, err := s.Count(s.context(), store.Query{Index: byID})
	s.must(err)
	if rest != left-n {
		s.Errorf("a sweep that failed says %d, and %d are gone", n, left-rest)
	}
}

func moves(s *suite) {
	var people []*parent
	for n := range 2300 {
		people = append(people, person(n))
	}
	s.add(append(people, &parent{ID: "null", Note: "[]"})...)
	s.must(s.update(func(ctx context.Context, tx store.Tx) error {
		return children.Insert(ctx, tx, &child{ParentID: person(7).ID, Number: 1, Friend: person(8).Name})
	}))
	to := newSuite(s.TB, s.open)
	seen := make(map[string]int)
	s.must(store.Copy(s.context(), to.Store, s.Store, schema, func(table string, rows int) { seen[table] = rows }))
	if seen["parents"] != 2301 || seen["children"] != 1 {
		s.Errorf("progress ended at %v", seen)
	}
	for _, t := range schema.Tables() {
		for _, ix := range t.Indexes() {
			a, err := s.List(s.context(), store.Query{Index: ix, Limit: store.MaxLimit})
			s.must(err)
			b, err := to.List(s.context(), store.Query{Index: ix, Limit: store.MaxLimit})
			s.must(err)
			if !slices.EqualFunc(a, b, sameRow) {
				s.Errorf("%s.%s: %d rows became %d", t.Name(), ix.Name(), len(a), len(b))
			}
		}
	}
	s.want(store.Copy(s.context(), to.Store, s.Store, schema, nil), store.ErrNotEmpty)
	// First a parent and its child that are inserted after the parents were
	// copied, then a row that is deleted.
	for name, meddle := range map[string]func(ctx context.Context, tx store.Tx) error{
		"late child": func(ctx context.Context, tx store.Tx) error {
			if err := parents.Insert(ctx, tx, person(5000)); err != nil {
				return err
			}
			return children.Insert(ctx, tx, &child{ParentID: person(5000).ID, Number: 1})
		},
		"deleted row": func(ctx context.Context, tx store.Tx) error {
			return parents.Delete(ctx, tx, store.Text(person(100).ID))
		},
	} {
		copied := newSuite(s.TB, s.open)
		once := false
		err := store.Copy(s.context(), copied.Store, s.Store, schema, func(string, int) {
			if !once {
				once = true
				s.must(s.update(meddle))
			}
		})
		if !errors.Is(err, store.ErrChanged) {
			s.Errorf("%s: %v", name, err)
		}
	}
	third := newSuite(s.TB, s.open)
	err := store.Copy(s.context(), third.Store, s.Store, schema, func(table string, rows int) {
		if table == "children" { // change a parent, after the parents were copied
			p := person(0)
			p.Rank = 999_999
			s.must(s.update(func(ctx context.Context, tx store.Tx) error { return parents.Replace(ctx, tx, p) }))
		}
	})
	s.want(err, store.ErrChanged)
}

// The first and the last time that a column may hold.
var (
	firstTime = time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC)
	lastTime  = time.Date(9999, 12, 31, 23, 59, 59, 999_999_000, time.UTC)
)

func times(s *suite) {
	zone := time.FixedZone("east", 3600)
	p := person(0)
	p.Born = time.Date(2026, 3, 1, 12, 0, 0, 123_456_789, zone)
	s.add(p)
	got, err := s.get(0)
	s.must(err)
	if want := p.Born.Truncate(time.Microsecond).UTC(); got.Born != want {
		s.Errorf("time came back as %v, want %v", got.Born, want)
	}
}

func roundTrip(s *suite) {
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	people := []*parent{
		{ID: "a", Code: every, Name: "é\U0001F600\n\t", Rank: math.MaxInt64, Born: lastTime, Alive: true, Note: `{"a":[1]}`, Words: "{ \"b\" : 1e2, \"a\":[1.0 ,-0,\"\\u00e9\\/\"]}"},
		{ID: "b", Code: []byte{0}, Name: "n", Rank: math.MinInt64, Born: time.UnixMicro(-1).UTC()},
		{ID: "c", Code: []byte{}, Born: firstTime, Rank: -1, Words: `["` + strings.Repeat("x", 100_000) + `"]`},
	}
	s.add(people...)
	check := func(when string) {
		for _, want := range people {
			got, err := parents.Get(s.context(), s.Store, byCode, store.Bytes(want.Code))
			if err != nil {
				s.Errorf("%s: %s: %v", when, want.ID, err)
			} else if !sameRow(parents.Row(got), parents.Row(want)) {
				s.Errorf("%s: %s came back as %+v", when, want.ID, got)
			}
		}
	}
	check("at once")
	if s.reopen() {
		check("after a reopen")
	}
}

func listOrder(s *suite) {
	for _, n := range []int{5, 3, 1, 4, 2, 0} {
		p := person(n)
		p.Rank = int64(n % 2) // equal keys: the primary key decides
		s.add(p)
	}
	id := func(ns ...int) (out []string) {
		for _, n := range ns {
			out = append(out, person(n).ID)
		}
		return out
	}
	for name, test := range map[string]struct {
		q    store.Query
		want []string
	}{
		"all":        {store.Query{Index: byRank, Limit: 10}, id(0, 2, 4, 1, 3, 5)},
		"descending": {store.Query{Index: byRank, Limit: 10, Descending: true}, id(5, 3, 1, 4, 2, 0)},
		"equal":      {store.Query{Index: byRank, Equal: []store.Value{store.Int(1)}, Limit: 10}, id(1, 3, 5)},
		"limit":      {store.Query{Index: byRank, Limit: 2}, id(0, 2)},
		"after": {store.Query{Index: byRank, Limit: 2, After: []store.Value{store.Int(0), store.Bool(false), store.Text(person(2).ID)}},
			id(4, 1)},
		"after the gone": {store.Query{Index: byID, Limit: 2, After: []store.Value{store.Text(person(2).ID + "x")}}, id(3, 4)},
		"range":          {store.Query{Index: byID, Limit: 9, From: store.Including(store.Text(person(2).ID)), To: store.Excluding(store.Text(person(4).ID))}, id(2, 3)},
		"open range":     {store.Query{Index: byID, Limit: 9, From: store.Excluding(store.Text(person(2).ID)), To: store.Including(store.Text(person(4).ID))}, id(3, 4)},
	} {
		if got := s.ids(test.q); !slices.Equal(got, test.want) {
			s.Errorf("%s: %v, want %v", name, got, test.want)
		}
		n, err := s.Count(s.context(), test.q)
		if test.q.After == nil && (err != nil || n != len(test.want)) {
			s.Errorf("%s: counted %d, %v", name, n, err)
		}
	}
	_, err := s.List(s.context(), store.Query{Index: byRank})
	s.want(err, store.ErrInvalid)
}

// someValues lists rows with one of some values in the last column of a unique index of two.
func someValues(s *suite) {
	people := []*parent{person(0), person(1), person(2)}
	s.add(people...)
	var rows []*child
	for n := range int64(4) {
		rows = append(rows, &child{ParentID: people[0].ID, Number: n, Label: "x"}, &child{ParentID: people[1].ID, Number: n}, &child{ParentID: people[2].ID, Number: n})
	}
	rows[0].Friend = people[1].Name
	s.must(s.update(func(ctx context.Context, tx store.Tx) error { return children.InsertAll(ctx, tx, rows) }))
	number := func(values ...store.Value) store.Filter { return store.Where("number", store.OpEqual, values...) }
	x, other, id := store.Text("x"), store.Text("other"), store.Text(people[0].ID)
	for name, test := range map[string]struct {
		q    store.Query
		want []int64
	}{
		"in the order of the index": {store.Query{Index: byLabel, Equal: []store.Value{x}, Where: []store.Filter{number(store.Int(3), store.Int(1))}}, []int64{1, 3}},
		"descending":                {store.Query{Index: byLabel, Equal: []store.Value{x}, Where: []store.Filter{number(store.Int(3), store.Int(1))}, Descending: true}, []int64{3, 1}},
		"a value twice":             {store.Query{Index: byLabel, Equal: []store.Value{x}, Where: []store.Filter{number(store.Int(1), store.Int(2), store.Int(1))}}, []int64{1, 2}},
		"a value that no row has":   {store.Query{Index: byLabel, Equal: []store.Value{x}, Where: []store.Filter{number(store.Int(9), store.Int(2))}}, []int64{2}},
		"a beginning without rows":  {store.Query{Index: byLabel, Equal: []store.Value{other}, Where: []store.Filter{number(store.Int(1), store.Int(2))}}, nil},
		"another condition": {store.Query{Index: children.Primary(), Equal: []store.Value{id}, Where: []store.Filter{
			number(store.Int(0), store.Int(1), store.Int(2)), store.Where("friend", store.OpEqual, store.Text(people[1].Name)),
		}}, []int64{0}},
		"two lists": {store.Query{Index: children.Primary(), Equal: []store.Value{id}, Where: []store.Filter{
			number(store.Int(0), store.Int(1), store.Int(2)), number(store.Int(2), store.Int(3)),
		}}, []int64{2}},
		"a null, which nothing equals": {store.Query{Index: byLabel, Equal: []store.Value{store.Null}, Where: []store.Filter{number(store.Int(2), store.Int(1))}}, nil},
	} {
		for _, limit := range []int{10, 1} {
			q, want := test.q, test.want
			q.Limit = limit
			found, err := children.List(s.context(), s.Store, q)
			s.must(err)
			var got []int64
			for _, c := range found {
				got = append(got, c.Number)
			}
			if want = want[:min(limit, len(want))]; !slices.Equal(got, want) {
				s.Errorf("%s, at most %d: %v, want %v", name, limit, got, want)
			}
		}
		if n, err := s.Count(s.context(), test.q); err != nil || n != len(test.want) {
			s.Errorf("%s: counted %d, %v", name, n, err)
		}
	}
}

func replaceMoves(s *suite) {
	s.add(person(0), person(1))
	old := person(0)
	p := person(0)
	p.Code, p.Name, p.Rank, p.Born = []byte("new code"), "", -5, time.Time{}
	replace := func(p *parent) {
		s.must(s.update(func(ctx context.Context, tx store.Tx) error { return parents.Replace(ctx, tx, p) }))
	}
	replace(p)
	ctx := s.context()
	for ix, key := range map[*store.Index]store.Value{byCode: store.Bytes(old.Code), byName: store.Text(old.Name)} {
		_, err := s.Get(ctx, ix, key)
		s.want(err, store.ErrNotFound)
	}
	got, err := parents.Get(ctx, s.Store, byCode, store.Bytes(p.Code))
	s.must(err)
	if !sameRow(parents.Row(got), parents.Row(p)) {
		s.Errorf("replaced row is %+v", got)
	}
	want := []string{person(0).ID, person(1).ID}
	for _, ix := range []*store.Index{byID, byName, byRank, byBorn} {
		if got := s.ids(store.Query{Index: ix, Limit: 10}); !slices.Equal(got, want) {
			s.Errorf("by %s: %v", ix.Name(), got)
		}
	}
	replace(old)
	s.stands(true, true)
}

func deleteRange(s *suite) {
	var people []*parent
	for n := range 20 {
		people = append(people, person(n))
	}
	s.add(people...)
	q := store.Query{Index: byRank, From: store.Including(store.Int(5)), To: store.Excluding(store.Int(15)), Limit: 4}
	for _, want := range []int{4, 4, 2, 0} {
		s.must(s.update(func(ctx context.Context, tx store.Tx) error {
			shown, err := tx.List(ctx, q)
			if err != nil {
				return err
			}
			n, err := tx.DeleteRange(ctx, q)
			if n != want || len(shown) != want {
				s.Errorf("deleted %d, listed %d, want %d", n, len(shown), want)
			}
			return err
		}))
	}
	there := make([]bool, 20)
	for n := range there {
		there[n] = n < 5 || n >= 15
	}
	s.stands(there...)
}

func descendingAfterDelete(s *suite) {
	var people []*parent
	for n := range 1000 {
		people = append(people, person(n))
	}
	s.add(people...)
	both := func(ctx context.Context, tx store.Tx, want int) {
		for _, ix := range parents.Indexes() {
			up, err := tx.List(ctx, store.Query{Index: ix, Limit: 1000})
			s.must(err)
			down, err := tx.List(ctx, store.Query{Index: ix, Limit: 1000, Descending: true})
			s.must(err)
			slices.Reverse(down)
			if len(up) != want || !slices.EqualFunc(up, down, sameRow) {
				s.Errorf("by %s: %d rows up and %d down, want %d", ix.Name(), len(up), len(down), want)
			}
		}
	}
	s.must(s.update(func(ctx context.Context, tx store.Tx) error {
		q := store.Query{Index: byRank, From: store.Including(store.Int(300)), To: store.Excluding(store.Int(700)), Limit: 1000}
		if _, err := tx.DeleteRange(ctx, q); err != nil {
			return err
		}
		both(ctx, tx, 600)
		_, err := tx.DeleteRange(ctx, store.Query{Index: byRank, Limit: 1000, Descending: true})
		both(ctx, tx, 0)
		return err
	}))
}
