package latchkey

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"example.com/latchkey/internal/record"
	"example.com/latchkey/internal/seal"
	"example.com/latchkey/internal/words"
	"example.com/latchkey/query"
	"example.com/latchkey/store"
)

// The bounds of a listing.
const (
	// maxTotal is the number up to which totals are counted.
	maxTotal = 5_000
	// maxWalk is the number of rows that a listing looks at, for a page or for its total,
	// unless it is allowed to look at more.
	maxWalk = 10_000
	// maxSearch is the number of characters of a search.
	maxSearch = 256
	// walkStep and walkMost are the least and the greatest number of rows that a walk reads
	// at once.
	walkStep, walkMost = 16, 1000
)

// attribute is what a listing is filtered and ordered by.
type attribute struct {
	column   string
	list     bool         // a JSON list of texts
	inverted bool         // the column holds the contrary of a truth value
	unique   *store.Index // finds the one row with a value
	index    *store.Index // lists in the order of the attribute; nil if none does
}

// listing is a kind of rows that can be listed.
type listing[T any] struct {
	name       string
	rows       store.Typed[T]
	attributes map[string]attribute
	usual      order // without an order in the queries
	plain      bool  // takes no filter and no order
	// texts is the search text of a row; nil if the listing has no search. words is the scope
	// of its words in the table of words; "" if they are not there.
	texts func(*T) []string
	words string
}

// Pages are the tokens of the pages beside a page of a listing, "" where there is none.
// [query.Page] lists them, with the same filters and orders. A token is bound to its listing,
// holds a place and not a row, and does not expire. It hides what it holds.
type Pages struct{ Next, Prev string }

// order is one attribute of the order of a listing.
type order struct {
	attribute
	descending bool
}

// request is what queries ask of a listing.
type request struct {
	filters         []store.Filter
	orders          []order
	limit, offset   int
	after, before   string // the id of the row of a cursor
	page            string
	walk, countNone bool
	search          string

	scope  string        // what the tokens of pages are bound to, besides the queries
	within []store.Value // the leading values of the index, if the rows belong to one user or team
	over   *store.Index  // of these rows, if no order has an index

	seen map[query.Method]bool
}

// read reads the queries of a caller.
func (l *listing[T]) read(p *Policy, queries []Query) (*request, error) {
	if len(queries) > query.MaxQueries {
		return nil, invalid("queries", fmt.Errorf("more than %d", query.MaxQueries))
	}
	r := &request{limit: min(defaultLimit, p.PageLimit), seen: make(map[query.Method]bool)}
	for _, q := range queries {
		if err := l.readOne(r, p, q); err != nil {
			return nil, err
		}
	}
	if len(r.orders) == 0 {
		r.orders = []order{l.usual}
	}
	cursors := 0
	for _, c := range []string{r.after, r.before, r.page} {
		if c != "" {
			cursors++
		}
	}
	if cursors > 1 {
		return nil, invalid("queries", errors.New("more than one cursor"))
	}
	switch terms, values := store.FilterSize(l.rows.Table, r.filters); {
	case terms > store.MaxFilterTerms:
		return nil, invalid("queries", fmt.Errorf("more than %d conditions", store.MaxFilterTerms))
	case values > store.MaxValues:
		return nil, invalid("queries", fmt.Errorf("more than %d values", store.MaxValues))
	case !r.walk && r.offset+r.limit > maxWalk:
		return nil, ErrQueryTooCostly
	}
	return r, nil
}

// readOne reads one query.
func (l *listing[T]) readOne(r *request, p *Policy, q Query) error {
	method, values := q.Method(), q.Values()
	switch method {
	case query.MethodOrderAsc, query.MethodOrderDesc:
		a, found := l.attributes[q.Attribute()]
		if !found || a.list || l.plain {
			return invalid("queries", fmt.Errorf("cannot order by %q", q.Attribute()))
		}
		if !slices.ContainsFunc(r.orders, func(o order) bool { return o.column == a.column }) { // a second one decides nothing
			r.orders = append(r.orders, order{a, method == query.MethodOrderDesc})
		}
		return nil
	case query.MethodLimit, query.MethodOffset, query.MethodCursorAfter, query.MethodCursorBefore, query.MethodPage, query.MethodWalk, query.MethodNoTotal, query.MethodSearch:
		if r.seen[method] {
			return invalid("queries", fmt.Errorf("%s is given twice", method))
		}
		r.seen[method] = true
	}
	switch method {
	case query.MethodLimit:
		r.limit = values[0].(int)
		if r.limit < 1 || r.limit > p.PageLimit {
			return invalid("queries", fmt.Errorf("limit is not 1 to %d", p.PageLimit))
		}
	case query.MethodOffset:
		r.offset = values[0].(int)
		if r.offset < 0 || r.offset > store.MaxOffset {
			return invalid("queries", errors.New("offset is not 0 to 2^30"))
		}
	case query.MethodCursorAfter, query.MethodCursorBefore, query.MethodPage:
		return r.readCursor(method, values[0].(string))
	case query.MethodWalk:
		r.walk = true
	case query.MethodNoTotal:
		r.countNone = true
	case query.MethodSearch:
		if l.texts == nil {
			return ErrQueryInvalid
		}
		r.search = values[0].(string)
		if len(r.search) > 4*maxSearch || utf8.RuneCountInString(r.search) > maxSearch || !utf8.ValidString(r.search) {
			return invalid("search", fmt.Errorf("not at most %d characters of UTF-8", maxSearch))
		}
	default:
		f, err := l.filter(q, 1)
		if err != nil {
			return err
		}
		r.filters = append(r.filters, f)
	}
	return nil
}

// readCursor reads the id of a cursor, or the token of a page.
func (r *request) readCursor(m query.Method, text string) error {
	switch {
	case text == "" || len(text) > query.MaxLength:
		return ErrQueryInvalid
	case m == query.MethodPage:
		r.page = text
		return nil
	case checkUserID(text) != nil: // every id has that form
		return ErrQueryInvalid
	case m == query.MethodCursorAfter:
		r.after = text
	default:
		r.before = text
	}
	return nil
}

// filter turns a query into a filter of the store.
func (l *listing[T]) filter(q Query, depth int) (f store.Filter, err error) {
	f.Op = store.Op(q.Method())
	least, most, known := f.Op.Arity()
	switch {
	case !known:
		return f, invalid("queries", fmt.Errorf("%q selects nothing here", q.Method()))
	case f.Op == store.OpAnd || f.Op == store.OpOr:
		return l.filterAll(f, q.Nested(), depth)
	}
	a, found := l.attributes[q.Attribute()]
	if !found || l.plain {
		return f, invalid("queries", fmt.Errorf("attribute %q cannot be queried", q.Attribute()))
	}
	if n := len(q.Values()); n < least || n > most {
		return f, invalid("queries", fmt.Errorf("%s has %d values, not %d to %d", f.Op, n, least, most))
	}
	f.Column = a.column
	column := l.rows.Table.Columns()[l.rows.Table.Column(a.column)]
	if err := a.allows(f.Op, q.Attribute(), column.Kind); err != nil {
		return f, err
	}
	var late []bool
	for _, v := range q.Values() {
		value, more, err := a.value(v, column.Kind)
		if err != nil {
			return f, invalid("queries", fmt.Errorf("a value of %s: %w", q.Attribute(), err))
		}
		f.Values, late = append(f.Values, value), append(late, more)
	}
	f = exact(f, late)
	if len(f.Filters) > 0 && depth >= store.MaxFilterDepth {
		return f, invalid("queries", errTooDeep)
	}
	return f, nil
}

// exact returns the condition that is equal to f for rows, whose times are whole
// microseconds, where late says which values are a part of a microsecond after those in f.
func exact(f store.Filter, late []bool) store.Filter {
	if !slices.Contains(late, true) {
		return f
	}
	is := func(op store.Op, v store.Value) store.Filter { return store.Where(f.Column, op, v) }
	at := f.Values[0]
	switch f.Op {
	case store.OpEqual, store.OpNotEqual: // no row has such a value
		kept := f.Values[:0]
		for i, v := range f.Values {
			if !late[i] {
				kept = append(kept, v)
			}
		}
		f.Values = kept
		switch {
		case len(kept) > 0:
		case f.Op == store.OpEqual:
			return is(store.OpEqual, store.Null)
		default:
			return store.Where(f.Column, store.OpIsNotNull)
		}
	case store.OpLessThan:
		return is(store.OpLessThanEqual, at)
	case store.OpGreaterThanEqual:
		return is(store.OpGreaterThan, at)
	case store.OpBetween, store.OpNotBetween:
		from, before := store.OpGreaterThanEqual, store.OpLessThan
		if late[0] {
			from, before = store.OpGreaterThan, store.OpLessThanEqual
		}
		if f.Op == store.OpBetween {
			return store.And(is(from, at), is(store.OpLessThanEqual, f.Values[1]))
		}
		return store.Or(is(before, at), is(store.OpGreaterThan, f.Values[1]))
	}
	return f
}

// errTooDeep says why queries are refused.
var errTooDeep = fmt.Errorf("and or or without queries, or nested more than %d deep", store.MaxFilterDepth)

// filterAll turns the queries of And and Or into filters.
func (l *listing[T]) filterAll(f store.Filter, queries []Query, depth int) (store.Filter, error) {
	if len(queries) == 0 || depth >= store.MaxFilterDepth {
		return f, invalid("queries", errTooDeep)
	}
	for _, q := range queries {
		inner, err := l.filter(q, depth+1)
		if err != nil {
			return f, err
		}
		f.Filters = append(f.Filters, inner)
	}
	return f, nil
}

// allows refuses an operator that an attribute does not have.
func (a attribute) allows(op store.Op, name string, kind store.Kind) error {
	of := ""
	switch {
	case op == store.OpIsNull || op == store.OpIsNotNull:
	case a.list && op != store.OpContains && op != store.OpNotContains:
		of = "an array"
	case kind == store.KindBool && op != store.OpEqual && op != store.OpNotEqual:
		of = "a boolean"
	case kind != store.KindText && op.OfText():
		of = "no text"
	}
	if of == "" {
		return nil
	}
	documented := fmt.Sprintf("Cannot query %s on attribute %q because it is %s.", op, name, of)
	return invalid("queries", errors.New(documented))
}

// timeForms are the forms of a time in a query.
var timeForms = []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999", "2006-01-02 15:04:05.999999", "2006-01-02"}

// value turns a value of a query into one of the column. more says that a time is a part of
// a microsecond after the value.
func (a attribute) value(v any, kind store.Kind) (_ store.Value, more bool, err error) {
	switch v := v.(type) {
	case string:
		if kind == store.KindText {
			if !utf8.ValidString(v) || strings.Contains(v, "\x00") {
				return store.Null, false, errors.New("it is not UTF-8, or holds NUL")
			}
			return store.Text(v), false, nil
		}
		if kind != store.KindTime {
			break
		}
		for _, form := range timeForms {
			if t, err := time.Parse(form, v); err == nil {
				return timeValue(t)
			}
		}
	case bool:
		if kind == store.KindBool {
			return store.Bool(v != a.inverted), false, nil
		}
	case int:
		if kind == store.KindInt {
			return store.Int(int64(v)), false, nil
		}
	case time.Time:
		if kind == store.KindTime {
			return timeValue(v)
		}
	}
	return store.Null, false, errors.New("it has another type")
}

// timeValue returns the value of a time, and whether the time is a part of a microsecond
// after it.
func timeValue(t time.Time) (_ store.Value, more bool, err error) {
	t = t.UTC()
	if t.Year() < 0 || t.Year() > 9999 {
		return store.Null, false, errors.New("it is not of the years 0 to 9999")
	}
	return store.Time(t), t.Nanosecond()%1000 != 0, nil
}

// page is a page of a listing, with its total.
type page[T any] struct {
	rows  []*T
	total int
	pages Pages
}

// list returns a page of a listing.
func (l *listing[T]) list(ctx context.Context, c *call, r *request) (*page[T], error) {
	cursor, err := l.cursor(c, r, l.byID(ctx, c))
	if err != nil {
		return nil, err
	}
	if r.search != "" {
		return l.search(ctx, c, r, cursor)
	}
	if unique := l.uniqueFilter(r.filters); unique != nil {
		row, err := l.rows.Find(ctx, c.store, unique.index, unique.value)
		if err != nil {
			return nil, err
		}
		var rows []*T
		if row != nil {
			rows = append(rows, row)
		}
		return l.pageOf(c, r, cursor, rows), nil
	}
	if ix := l.indexOf(r); ix != nil {
		return l.walkIndex(ctx, c, r, ix, cursor)
	}
	return l.all(ctx, c, r, cursor)
}

// search returns the page of the rows that a search finds.
func (l *listing[T]) search(ctx context.Context, c *call, r *request, at *place) (*page[T], error) {
	ids, err := words.Find(ctx, c.store, l.words, r.search)
	if err != nil {
		return nil, err
	}
	var rows []*T
	find := l.byID(ctx, c)
	for _, id := range ids {
		row, err := find(id)
		if err != nil {
			return nil, err
		}
		if row != nil && words.HasPhrases(r.search, l.texts(row)...) {
			rows = append(rows, row)
		}
	}
	r.search = "" // each row meets it
	return l.pageOf(c, r, at, rows), nil
}

// listWithin returns a page of the rows of one index, of which the request says which.
func (l *listing[T]) listWithin(ctx context.Context, c *call, r *request, is func(*T) bool) (*page[T], error) {
	at, err := l.cursor(c, r, func(id string) (*T, error) {
		row, err := l.byID(ctx, c)(id)
		if row != nil && !is(row) {
			row = nil
		}
		return row, err
	})
	if err != nil {
		return nil, err
	}
	if ix := l.indexOf(r); ix != nil && r.search == "" {
		return l.walkIndex(ctx, c, r, ix, at)
	}
	return l.all(ctx, c, r, at)
}

// found is a filter that finds at most one row.
type found struct {
	index *store.Index
	value store.Value
}

// uniqueFilter returns the filter that finds at most one row, nil if there is none.
func (l *listing[T]) uniqueFilter(filters []store.Filter) *found {
	for _, f := range filters {
		for _, a := range l.attributes {
			if a.unique != nil && a.column == f.Column && f.Op == store.OpEqual && len(f.Values) == 1 {
				return &found{a.unique, f.Values[0]}
			}
		}
	}
	return nil
}

// indexOf returns the index that lists in the order of a request, nil if none does.
func (l *listing[T]) indexOf(r *request) *store.Index {
	if len(r.orders) == 1 {
		return r.orders[0].index
	}
	return nil
}

// all returns the page of a request whose order no index has: it looks at every row of the
// table or of its part, if they are few enough, and keeps those near the page.
func (l *listing[T]) all(ctx context.Context, c *call, r *request, at *place) (*page[T], error) {
	rows := store.Query{Index: cmp.Or(r.over, l.rows.Primary()), Equal: r.within}
	if !r.walk {
		rows.Offset, rows.Limit = maxWalk, 1
		beyond, err := c.store.List(ctx, rows)
		if err != nil {
			return nil, err
		}
		if len(beyond) > 0 {
			return nil, ErrQueryTooCostly
		}
	}
	g := l.gather(r, at)
	rows.Offset, rows.Limit = 0, 1000
	for some, err := range l.rows.Pages(ctx, c.store, rows) {
		if err != nil {
			return nil, err
		}
		g.add(some)
	}
	return g.page(c), nil
}

// place is a place between the rows of a listing: the values of its orders, and the id.
type place struct {
	values []store.Value
	before bool // the page ends there; otherwise it begins there
	absent bool // the filters leave out the row that stands there
}

// positionOf returns the values of a row that place it.
func (l *listing[T]) positionOf(r *request, row store.Row) []store.Value {
	table := l.rows.Table
	out := make([]store.Value, 0, len(r.orders)+1)
	for _, o := range r.orders {
		out = append(out, row.At(table.Column(o.column)))
	}
	return append(out, l.rows.Primary().Key(row)...)
}

// byID returns a function that finds a row by its id, nil if there is none.
func (l *listing[T]) byID(ctx context.Context, c *call) func(id string) (*T, error) {
	return func(id string) (*T, error) { return l.rows.Find(ctx, c.store, l.rows.Primary(), store.Text(id)) }
}

// cursor returns the place at which a request begins or ends, nil without one. find returns
// the row with an id, nil if the listing has none.
func (l *listing[T]) cursor(c *call, r *request, find func(id string) (*T, error)) (*place, error) {
	if r.page != "" {
		return l.openToken(c, r)
	}
	id := cmp.Or(r.after, r.before)
	if id == "" {
		return nil, nil
	}
	row, err := find(id)
	switch {
	case err != nil:
		return nil, err
	case row == nil:
		return nil, ErrCursorNotFound
	}
	values := l.rows.Row(row)
	at := &place{
		values: l.positionOf(r, values), before: r.before != "",
		absent: !store.Matcher(l.rows.Table, r.filters)(values),
	}
	if slices.ContainsFunc(at.values, store.Value.IsNull) {
		return nil, ErrQueryOrderNull
	}
	return at, nil
}

// listOf returns a page of rows that all belong to a user, and that are few.
func (l *listing[T]) listOf(c *call, user *record.User, queries []Query, rows []*T) (*page[T], error) {
	r, err := l.read(&c.policy, queries)
	if err != nil {
		return nil, err
	}
	r.scope = user.Key
	at, err := l.cursor(c, r, func(id string) (*T, error) {
		for _, row := range rows {
			if l.rows.Primary().Key(l.rows.Row(row))[0].Text() == id {
				return row, nil
			}
		}
		return nil, nil
	})
	if err != nil {
		return nil, err
	}
	return l.pageOf(c, r, at, rows), nil
}

// compare compares two positions in the order of a request.
func (r *request) compare(a, b []store.Value) int {
	for i, o := range r.orders {
		if by := store.Compare(a[i], b[i]); by != 0 {
			if o.descending != o.inverted {
				return -by
			}
			return by
		}
	}
	last := store.Compare(a[len(r.orders)], b[len(r.orders)])
	if r.orders[0].descending {
		return -last
	}
	return last
}

// placed is a row with its position.
type placed[T any] struct {
	row      *T
	position []store.Value
}

// gather finds the page of a request among rows that come in any order. It keeps only as many
// as the page may need.
type gather[T any] struct {
	listing *listing[T]
	request *request
	at      *place
	matches func(store.Row) bool
	near    []placed[T] // on the side of the cursor that is asked for, the nearest first
	behind  bool        // there are rows on the other side
	total   int
}

// gather begins to find the page of a request.
func (l *listing[T]) gather(r *request, at *place) *gather[T] {
	return &gather[T]{listing: l, request: r, at: at, matches: store.Matcher(l.rows.Table, r.filters)}
}

// backwards reports whether the page ends at the cursor.
func (g *gather[T]) backwards() bool { return g.at != nil && g.at.before }

// add looks at rows.
func (g *gather[T]) add(rows []*T) {
	keep := g.request.offset + g.request.limit + 1
	for _, record := range rows {
		row := g.listing.rows.Row(record)
		if !g.matches(row) || g.request.search != "" && !words.Meets(g.request.search, g.listing.texts(record)...) {
			continue
		}
		g.total++
		position := g.listing.positionOf(g.request, row)
		if g.at != nil {
			if by := g.request.compare(position, g.at.values); by == 0 || by > 0 == g.at.before {
				g.behind = true
				continue
			}
		}
		g.near = append(g.near, placed[T]{record, position})
		if len(g.near) >= 2*keep+walkStep {
			g.sort(keep)
		}
	}
}

// sort sorts the rows that were kept, and drops all but the nearest.
func (g *gather[T]) sort(keep int) {
	slices.SortFunc(g.near, func(a, b placed[T]) int {
		by := g.request.compare(a.position, b.position)
		if g.backwards() {
			return -by
		}
		return by
	})
	dropped := g.near[min(keep, len(g.near)):]
	clear(dropped)
	g.near = g.near[:len(g.near)-len(dropped)]
}

// page returns the page.
func (g *gather[T]) page(c *call) *page[T] {
	r := g.request
	g.sort(r.offset + r.limit + 1)
	out := &page[T]{total: min(g.total, maxTotal)}
	if r.countNone {
		out.total = 0
	}
	from := min(r.offset, len(g.near))
	to := min(from+r.limit, len(g.near))
	if from == to {
		return out
	}
	shown := slices.Clone(g.near[from:to])
	before, after := g.behind || from > 0, to < len(g.near)
	if g.backwards() {
		slices.Reverse(shown)
		before, after = after, before
	}
	for _, p := range shown {
		out.rows = append(out.rows, p.row)
	}
	if before {
		out.pages.Prev = g.listing.token(c, r, place{values: shown[0].position, before: true})
	}
	if after {
		out.pages.Next = g.listing.token(c, r, place{values: shown[len(shown)-1].position})
	}
	return out
}

// pageOf returns the page of rows that were read whole.
func (l *listing[T]) pageOf(c *call, r *request, at *place, rows []*T) *page[T] {
	g := l.gather(r, at)
	g.add(rows)
	return g.page(c)
}

// walkIndex returns a page in the order of an index.
func (l *listing[T]) walkIndex(ctx context.Context, c *call, r *request, ix *store.Index, at *place) (*page[T], error) {
	q := store.Query{Index: ix, Equal: r.within, Descending: r.orders[0].descending}
	backwards := at != nil && at.before
	if backwards {
		q.Descending = !q.Descending
	}
	if at != nil {
		q.After = r.indexPosition(ix, at.values)
	}
	rows, err := l.take(ctx, c, r, q)
	if err != nil {
		return nil, err
	}
	more := len(rows) > r.limit // one row more was taken
	rows = rows[:min(len(rows), r.limit)]
	if backwards {
		slices.Reverse(rows)
	}
	out := &page[T]{}
	for _, row := range rows {
		out.rows = append(out.rows, l.rows.Record(row))
	}
	if !r.countNone {
		if out.total, err = l.total(ctx, c, r, store.Query{Index: ix, Equal: r.within}); err != nil {
			return nil, err
		}
	}
	if len(rows) == 0 {
		return out, nil
	}
	behind := at != nil || r.offset > 0
	if at != nil && at.absent && r.offset == 0 {
		q.Descending = !q.Descending
		if behind, err = l.any(ctx, c, r, q); err != nil {
			return nil, err
		}
	}
	before, after := behind, more
	if backwards {
		before, after = after, before
	}
	if before {
		out.pages.Prev = l.token(c, r, place{values: l.positionOf(r, rows[0]), before: true})
	}
	if after {
		out.pages.Next = l.token(c, r, place{values: l.positionOf(r, rows[len(rows)-1])})
	}
	return out, nil
}

// any reports whether a query selects a row that meets the filters. It takes that for granted
// if it would have to look at too many.
func (l *listing[T]) any(ctx context.Context, c *call, r *request, q store.Query) (found bool, err error) {
	err = l.walk(ctx, c, r, q, 1, func(store.Row) bool {
		found = true
		return false
	})
	if errors.Is(err, ErrQueryTooCostly) {
		return true, nil
	}
	return found, err
}

// indexPosition returns the position in an index: the leading values, its own column, and the
// primary key.
func (r *request) indexPosition(ix *store.Index, values []store.Value) []store.Value {
	if len(ix.Order()) == 1 { // the primary key
		return values[len(values)-1:]
	}
	return slices.Concat(r.within, values)
}

// take returns up to one row more than the limit, after the offset.
func (l *listing[T]) take(ctx context.Context, c *call, r *request, q store.Query) ([]store.Row, error) {
	q.Offset, q.Limit = r.offset, r.limit+1
	if len(r.filters) == 0 {
		return c.store.List(ctx, q)
	}
	if r.walk {
		q.Where = r.filters
		return c.store.List(ctx, q)
	}
	q.Offset = 0
	skip := r.offset
	var rows []store.Row
	err := l.walk(ctx, c, r, q, r.limit+1, func(row store.Row) bool {
		if skip > 0 {
			skip--
			return true
		}
		rows = append(rows, row)
		return len(rows) <= r.limit
	})
	return rows, err
}

// nextStep returns how many rows a walk reads next, after it has read some, of which some
// have met the filters, for as many as are wanted.
func nextStep(walked, met, wanted int) int {
	step := 2 * walked
	if met > 0 {
		left := max(wanted-met, 1)
		step = left*walked/met + left/4 + 8
	}
	return min(max(step, walkStep), walkMost)
}

// walk calls visit with each row that meets the filters, until it returns false. It refuses
// to look at too many rows. wanted is how often visit is likely to return true.
func (l *listing[T]) walk(ctx context.Context, c *call, r *request, q store.Query, wanted int, visit func(store.Row) bool) error {
	matches := store.Matcher(l.rows.Table, r.filters)
	met := 0
	for walked, step := 0, min(max(wanted+wanted/4, walkStep), walkMost); ; step = nextStep(walked, met, wanted) {
		last := walked == maxWalk
		q.Limit = min(step, max(maxWalk-walked, 1))
		rows, err := c.store.List(ctx, q)
		switch {
		case err != nil:
			return err
		case last && len(rows) > 0:
			return ErrQueryTooCostly
		}
		for _, row := range rows {
			if !matches(row) {
				continue
			}
			if met++; !visit(row) {
				return nil
			}
		}
		if len(rows) < q.Limit {
			return nil
		}
		walked += len(rows)
		q.After = q.Index.Position(rows[len(rows)-1])
	}
}

// total returns the number of rows that meet the filters, up to maxTotal.
func (l *listing[T]) total(ctx context.Context, c *call, r *request, q store.Query) (n int, err error) {
	if len(r.filters) == 0 || r.walk {
		q.Where, q.Limit = r.filters, maxTotal
		return c.store.Count(ctx, q)
	}
	err = l.walk(ctx, c, r, q, walkMost, func(store.Row) bool {
		n++
		return n < maxTotal
	})
	return n, err
}

// The token of a page is sealed: it is bound to its listing, its filters and its orders, and
// hides the values of its place.

// tokenForm is the JSON of a place.
type tokenForm struct {
	Kinds  []store.Kind `json:"k"`
	Texts  []string     `json:"t"`
	Number []int64      `json:"n"`
	Before bool         `json:"b"`
}

// tokenPlace binds a token to what it was made for.
func (l *listing[T]) tokenPlace(r *request) seal.Place {
	bound := fmt.Sprintf("%s\x00%s\x00%q\x00%s", l.name, r.scope, r.search, describe(r.filters))
	for _, o := range r.orders {
		bound += fmt.Sprintf("\x00%s %v", o.column, o.descending)
	}
	return seal.Place{Table: "pages", Column: hex.EncodeToString(seal.PlainDigest(bound))}
}

// describe returns a text of filters, different for different ones.
func describe(filters []store.Filter) (text string) {
	for _, f := range filters {
		text += fmt.Sprintf("(%s %s", f.Op, f.Column)
		for _, v := range f.Values {
			text += fmt.Sprintf(" %q:%d", v.Text(), v.Int())
		}
		text += describe(f.Filters) + ")"
	}
	return text
}

// token returns the token of a place.
func (l *listing[T]) token(c *call, r *request, at place) string {
	form := tokenForm{Before: at.before}
	for _, v := range at.values {
		form.Kinds, form.Texts, form.Number = append(form.Kinds, v.Kind()), append(form.Texts, v.Text()), append(form.Number, v.Int())
	}
	text, _ := json.Marshal(form) // texts and numbers always have a form
	return base64.RawURLEncoding.EncodeToString(c.ring.Seal(seal.Page, l.tokenPlace(r), text))
}

// openToken returns the place of a token, or ErrQueryInvalid.
func (l *listing[T]) openToken(c *call, r *request) (*place, error) {
	sealed, err := base64.RawURLEncoding.Strict().DecodeString(r.page)
	if err != nil {
		return nil, ErrQueryInvalid
	}
	text, err := c.ring.Open(seal.Page, l.tokenPlace(r), sealed)
	if err != nil {
		return nil, ErrQueryInvalid
	}
	var form tokenForm
	if err := json.Unmarshal(text, &form); err != nil {
		return nil, ErrQueryInvalid
	}
	at := &place{before: form.Before}
	for i, kind := range form.Kinds {
		at.values = append(at.values, valueOf(kind, form.Texts[i], form.Number[i]))
	}
	return at, nil
}

// valueOf returns a value of a kind that a place has.
func valueOf(kind store.Kind, text string, number int64) store.Value {
	switch kind {
	case store.KindNull:
		return store.Value{}
	case store.KindTime:
		return store.Micros(number)
	case store.KindBool:
		return store.Bool(number != 0)
	case store.KindInt:
		return store.Int(number)
	}
	return store.Text(text)
}
