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
	"time"
	"unicode/utf8"

	"example.com/latchkey/internal/record"
	"example.com/latchkey/internal/seal"
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
	// walkStep is the number of rows that a walk reads at first.
	walkStep = 64
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
	searches   bool
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
	within []store.Value // the leading values of the index, if the rows belong to one user

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
	if terms := countTerms(r.filters); terms > store.MaxFilterTerms {
		return nil, invalid("queries", fmt.Errorf("more than %d conditions", store.MaxFilterTerms))
	}
	return r, nil
}

// countTerms counts the conditions of filters, as the stores do.
func countTerms(filters []store.Filter) (n int) {
	for _, f := range filters {
		switch {
		case len(f.Filters) > 0:
			n += countTerms(f.Filters)
		case f.Op.OfText():
			n += max(len(f.Values), 1)
		default:
			n++
		}
	}
	return n
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
		r.orders = append(r.orders, order{a, method == query.MethodOrderDesc})
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
		if !l.searches {
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
	for _, v := range q.Values() {
		value, err := a.value(v, column.Kind)
		if err != nil {
			return f, invalid("queries", fmt.Errorf("a value of %s: %w", q.Attribute(), err))
		}
		f.Values = append(f.Values, value)
	}
	return f, nil
}

// filterAll turns the queries of And and Or into filters.
func (l *listing[T]) filterAll(f store.Filter, queries []Query, depth int) (store.Filter, error) {
	if len(queries) == 0 || depth >= store.MaxFilterDepth {
		return f, invalid("queries", fmt.Errorf("%s without queries, or nested more than %d deep", f.Op, store.MaxFilterDepth))
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

// value turns a value of a query into one of the column.
func (a attribute) value(v any, kind store.Kind) (store.Value, error) {
	switch v := v.(type) {
	case string:
		if kind == store.KindText {
			return store.Text(v), nil
		}
		if kind != store.KindTime {
			break
		}
		for _, form := range timeForms {
			if t, err := time.Parse(form, v); err == nil && t.Year() >= 0 && t.Year() <= 9999 {
				return store.Time(t), nil
			}
		}
	case bool:
		if kind == store.KindBool {
			return store.Bool(v != a.inverted), nil
		}
	case int:
		if kind == store.KindInt {
			return store.Int(int64(v)), nil
		}
	case time.Time:
		if kind == store.KindTime && v.Year() >= 0 && v.Year() <= 9999 {
			return store.Time(v), nil
		}
	}
	return store.Value{}, errors.New("it has another type")
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
	if unique := l.uniqueFilter(r.filters); unique != nil {
		row, err := l.rows.Find(ctx, c.store, unique.index, unique.value)
		if err != nil {
			return nil, err
		}
		var rows []*T
		if row != nil {
			rows = append(rows, row)
		}
		return l.pageOf(c, r, cursor, rows)
	}
	if ix := l.indexOf(r); ix != nil {
		return l.walkIndex(ctx, c, r, ix, cursor)
	}
	rows, err := l.all(ctx, c, r)
	if err != nil {
		return nil, err
	}
	return l.pageOf(c, r, cursor, rows)
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

// all returns every row of the table, if they are few enough to be sorted.
func (l *listing[T]) all(ctx context.Context, c *call, r *request) (rows []*T, err error) {
	if !r.walk {
		n, err := c.store.Count(ctx, store.Query{Index: l.rows.Primary(), Limit: maxWalk})
		if err != nil {
			return nil, err
		}
		if n >= maxWalk {
			return nil, ErrQueryTooCostly
		}
	}
	for page, err := range l.rows.Pages(ctx, c.store, store.Query{Index: l.rows.Primary(), Limit: 1000}) {
		if err != nil {
			return nil, err
		}
		rows = append(rows, page...)
	}
	return rows, nil
}

// place is a place between the rows of a listing: the values of its orders, and the id.
type place struct {
	values []store.Value
	before bool // the page ends there; otherwise it begins there
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
	at := &place{l.positionOf(r, l.rows.Row(row)), r.before != ""}
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
	return l.pageOf(c, r, at, rows)
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

// pageOf returns the page of rows that were read whole.
func (l *listing[T]) pageOf(c *call, r *request, at *place, rows []*T) (*page[T], error) {
	matches := store.Matcher(l.rows.Table, r.filters)
	type placed struct {
		row      *T
		position []store.Value
	}
	var all []placed
	for _, record := range rows {
		if row := l.rows.Row(record); matches(row) {
			all = append(all, placed{record, l.positionOf(r, row)})
		}
	}
	slices.SortFunc(all, func(a, b placed) int { return r.compare(a.position, b.position) })
	out := &page[T]{total: min(len(all), maxTotal)}
	from, to := min(r.offset, len(all)), len(all)
	if at != nil {
		i, same := slices.BinarySearchFunc(all, at.values, func(p placed, v []store.Value) int { return r.compare(p.position, v) })
		if at.before {
			to = max(i-r.offset, 0)
			from = max(to-r.limit, 0)
		} else {
			if same {
				i++
			}
			from = min(i+r.offset, len(all))
		}
	}
	to = min(from+r.limit, to)
	for _, p := range all[from:to] {
		out.rows = append(out.rows, p.row)
	}
	if r.countNone {
		out.total = 0
	}
	if len(out.rows) > 0 {
		if from > 0 {
			out.pages.Prev = l.token(c, r, place{all[from].position, true})
		}
		if to < len(all) {
			out.pages.Next = l.token(c, r, place{all[to-1].position, false})
		}
	}
	return out, nil
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
	if backwards && more || !backwards && (at != nil || r.offset > 0) {
		out.pages.Prev = l.token(c, r, place{l.positionOf(r, rows[0]), true})
	}
	if backwards || more {
		out.pages.Next = l.token(c, r, place{l.positionOf(r, rows[len(rows)-1]), false})
	}
	return out, nil
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
	err := l.walk(ctx, c, r, q, func(row store.Row) bool {
		if skip > 0 {
			skip--
			return true
		}
		rows = append(rows, row)
		return len(rows) <= r.limit
	})
	return rows, err
}

// walk calls visit with each row that meets the filters, until it returns false. It refuses
// to look at too many rows.
func (l *listing[T]) walk(ctx context.Context, c *call, r *request, q store.Query, visit func(store.Row) bool) error {
	matches := store.Matcher(l.rows.Table, r.filters)
	step := max(walkStep, r.limit+1)
	for walked := 0; ; step = min(2*step, 1000) {
		q.Limit = min(step, maxWalk-walked)
		if q.Limit == 0 {
			return ErrQueryTooCostly
		}
		rows, err := c.store.List(ctx, q)
		if err != nil {
			return err
		}
		for _, row := range rows {
			if matches(row) && !visit(row) {
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
	err = l.walk(ctx, c, r, q, func(store.Row) bool {
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
