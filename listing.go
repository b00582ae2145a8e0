package latchkey

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"example.com/latchkey/internal/reason"
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
	id    func(string) error // checks an id, for a cursor; nil if it has the form of a user's
}

// Pages are the tokens of the pages beside a page of a listing, "" where there is none.
// [query.Page] lists them, with the same filters and orders. A token is bound to its listing,
// holds a place and not a row, and does not expire. It hides what it holds.
type Pages struct {
	Next string `json:"next"`
	Prev string `json:"prev"`
}

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
	searched        bool // the rows come from an index of words, and meet the search

	scope  string        // the user or the team, to which tokens of pages are bound
	within []store.Value // the leading values of the index, if the rows belong to one user or team
	over   *store.Index  // of these rows, if no order has an index

	seen map[query.Method]bool
}

// read reads the queries of a caller.
func (l *listing[T]) read(p *Policy, queries []Query) (*request, error) {
	if len(queries) > query.MaxQueries {
		return nil, invalid("queries", reason.New(reason.TooMany, "more than %d", query.MaxQueries))
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
		return nil, invalid("queries", reason.New(reason.Repeated, "more than one cursor"))
	}
	switch terms, values := store.FilterSize(l.rows.Table, r.filters); {
	case terms > store.MaxFilterTerms:
		return nil, invalid("queries", reason.New(reason.TooMany, "more than %d conditions", store.MaxFilterTerms))
	case values > store.MaxValues:
		return nil, invalid("queries", reason.New(reason.TooMany, "more than %d values", store.MaxValues))
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
			return invalid("queries", reason.New(reason.Unknown, "cannot order by %q", q.Attribute()))
		}
		if !slices.ContainsFunc(r.orders, func(o order) bool { return o.column == a.column }) { // a second one decides nothing
			r.orders = append(r.orders, order{a, method == query.MethodOrderDesc})
		}
		return nil
	case query.MethodLimit, query.MethodOffset, query.MethodCursorAfter, query.MethodCursorBefore, query.MethodPage, query.MethodWalk, query.MethodNoTotal, query.MethodSearch:
		if r.seen[method] {
			return invalid("queries", reason.New(reason.Repeated, "%s is given twice", method))
		}
		r.seen[method] = true
	}
	switch method {
	case query.MethodLimit:
		r.limit = values[0].(int)
		if r.limit < 1 || r.limit > p.PageLimit {
			return invalid("queries", reason.New(reason.OutOfRange, "limit is not 1 to %d", p.PageLimit))
		}
	case query.MethodOffset:
		r.offset = values[0].(int)
		if r.offset < 0 || r.offset > store.MaxOffset {
			return invalid("queries", reason.New(reason.OutOfRange, "offset is not 0 to 2^30"))
		}
	case query.MethodCursorAfter, query.MethodCursorBefore, query.MethodPage:
		return l.readCursor(r, method, values[0].(string))
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
			return invalid("search", reason.New(reason.TooLong, "not at most %d characters of UTF-8", maxSearch))
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
func (l *listing[T]) readCursor(r *request, m query.Method, text string) error {
	check := checkUserID
	if l.id != nil {
		check = l.id
	}
	switch {
	case text == "" || len(text) > query.MaxLength:
		return ErrQueryInvalid
	case m == query.MethodPage:
		r.page = text
		return nil
	case check(text) != nil:
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
		return f, invalid("queries", reason.New(reason.Unknown, "%q selects nothing here", q.Method()))
	case f.Op == store.OpAnd || f.Op == store.OpOr:
		return l.filterAll(f, q.Nested(), depth)
	}
	a, found := l.attributes[q.Attribute()]
	if !found || l.plain {
		return f, invalid("queries", reason.New(reason.Unknown, "attribute %q cannot be queried", q.Attribute()))
	}
	if n := len(q.Values()); n < least || n > most {
		return f, invalid("queries", reason.New(reason.OutOfRange, "%s has %d values, not %d to %d", f.Op, n, least, most))
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
			return f, invalid("queries", reason.New(reason.Malformed, "a value of %s: %v", q.Attribute(), err))
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
var errTooDeep = reason.New(reason.TooLong, "and or or without queries, or nested more than %d deep", store.MaxFilterDepth)

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

// place is a place between the rows of a listing: the values of its orders, and the id.
type place struct {
	values []store.Value
	before bool // the page ends there; otherwise it begins there
	absent bool // the filters leave out the row that stands there
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
