package latchkey

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"example.com/latchkey/internal/record"
	"example.com/latchkey/internal/words"
	"example.com/latchkey/store"
)

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
	r.searched = true
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
		if !g.matches(row) || g.request.search != "" && !g.request.searched && !words.Meets(g.request.search, g.listing.texts(record)...) {
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
