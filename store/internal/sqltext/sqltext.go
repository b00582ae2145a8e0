// Package sqltext writes the statements of the SQL backends. Names come from
// declared tables, and values are always parameters.
package sqltext

import (
	"math"
	"slices"
	"strings"

	"example.com/latchkey/store"
	"example.com/latchkey/store/internal/seek"
)

// Dialect has the parts of statements that differ between databases.
type Dialect struct {
	// Placeholder returns the n-th parameter, counted from 1.
	Placeholder func(n int) string
	// Type returns the type of a column in a table.
	Type func(c store.Column) string
	// Select returns a column as an item of a select list.
	Select func(name string) string
	// Table returns the name of a table in statements. Index returns the name of
	// an index that is to be created.
	Table, Index func(name string) string
	// Reference stands behind the declaration of a reference.
	Reference string
	// NullsFirst says that the database needs NULLS FIRST to sort nulls before
	// values.
	NullsFirst bool
	// PartsInOrder says that the rows of a union come in the order of its parts.
	PartsInOrder bool
	// LooksUp says that a list looks values up one by one in a later column of an index. The database
	// may read all rows with the leading columns instead, because it knows too little of a young
	// table.
	LooksUp bool
	// Number returns the value of a numbered column for a parameter, which is 0 if the database
	// is to number the row; nil means that the caller numbers it. Sequence is the statement
	// that a new table needs for it.
	Number   func(ix *store.Index, param string) string
	Sequence func(ix *store.Index) string
	// LimitSign stands before the parameter of a limit.
	LimitSign string
	// By returns the words after the table of a select that name the index to
	// use.
	By func(index string) string
	// Unindexed returns a column as a value for which no index is used.
	Unindexed func(name string) string
	// StartsWith, EndsWith and Contains return conditions on a text column and a
	// parameter. The column is not null and the parameter not empty. EndsWith
	// gets the parameter twice.
	StartsWith, Contains func(name, param string) string
	EndsWith             func(name, param, again string) string
	// ListHas returns the condition that a JSON column is a list that has one of
	// the parameters as an item. params are separated by commas.
	ListHas func(name, params string) string
}

// Statement is the text of a statement and the values of its parameters.
type Statement struct {
	Text string
	Args []store.Value
}

// builder writes one statement.
type builder struct {
	Dialect
	strings.Builder
	args []store.Value
}

func (b *builder) words(parts ...string) {
	for _, p := range parts {
		b.WriteString(p)
	}
}

func (b *builder) param(v store.Value) {
	b.args = append(b.args, v)
	b.WriteString(b.Placeholder(len(b.args)))
}

func (b *builder) done() Statement { return Statement{b.String(), b.args} }

func names(t *store.Table, columns []int) []string {
	out := make([]string, len(columns))
	for i, c := range columns {
		out[i] = t.Columns()[c].Name
	}
	return out
}

func (b *builder) selectList(t *store.Table) { b.selectFrom(t.Columns(), "") }

// selectFrom writes columns with words before each name.
func (b *builder) selectFrom(columns []store.Column, alias string) {
	for i, c := range columns {
		if i > 0 {
			b.words(", ")
		}
		b.words(b.Select(alias + c.Name))
	}
}

// equal compares the first columns with values.
func (b *builder) equal(t *store.Table, columns []int, values []store.Value) {
	for i, v := range values {
		if i > 0 {
			b.words(" AND ")
		}
		b.words(t.Columns()[columns[i]].Name, " = ")
		b.param(v)
	}
}

// terms returns "name = placeholder" for each column, with the placeholders
// counted from first.
func (d Dialect) terms(t *store.Table, columns []int, first int) []string {
	out := names(t, columns)
	for i := range out {
		out[i] += " = " + d.Placeholder(first+i)
	}
	return out
}

// Get selects the row with a key in a unique index. Its parameters are the
// values of the key.
func (d Dialect) Get(ix *store.Index) string {
	b := &builder{Dialect: d}
	b.words("SELECT ")
	b.selectList(ix.Table())
	b.words(" FROM ", b.Table(ix.Table().Name()), " WHERE ")
	b.words(strings.Join(d.terms(ix.Table(), ix.Columns(), 1), " AND "))
	return b.String()
}

// GetBoth selects a part of the row with a key in the index of a pair, and the row to which
// it refers. Its parameters are the values of the key. The columns of the parent come last.
func (d Dialect) GetBoth(p *store.Pair) string {
	b := &builder{Dialect: d}
	child, parent := p.Index.Table(), p.Reference.Parent.Table()
	b.words("SELECT ")
	b.selectFrom(p.Columns(), "c.")
	b.words(", ")
	b.selectFrom(parent.Columns(), "p.")
	b.words(" FROM ", b.Table(child.Name()), " AS c JOIN ", b.Table(parent.Name()), " AS p ON ")
	of := names(parent, p.Reference.Parent.Columns())
	for i, name := range names(child, p.Reference.Columns) {
		b.words("p.", of[i], " = c.", name, " AND ")
	}
	for i, term := range d.terms(child, p.Index.Columns(), 1) {
		if i > 0 {
			b.words(" AND ")
		}
		b.words("c.", term)
	}
	return b.String()
}

// Insert adds some rows. Its parameters are the values of the first row, then of
// the next.
func (d Dialect) Insert(t *store.Table, rows int) string {
	columns := make([]string, len(t.Columns()))
	for i, c := range t.Columns() {
		columns[i] = c.Name
	}
	places, groups := make([]string, len(columns)), make([]string, rows)
	for n := range groups {
		for i := range places {
			places[i] = d.Placeholder(n*len(places) + i + 1)
		}
		if ix := t.Numbered(); ix != nil && d.Number != nil {
			last := ix.Columns()[len(ix.Columns())-1]
			places[last] = d.Number(ix, places[last])
		}
		groups[n] = "(" + strings.Join(places, ", ") + ")"
	}
	return "INSERT INTO " + d.Table(t.Name()) + " (" + strings.Join(columns, ", ") + ") VALUES " + strings.Join(groups, ", ")
}

// Replace sets the columns of the row with a primary key. Its parameters are the
// values of order, which holds positions of columns: those that it sets, then
// those of the key. It sets the key too only if a table has no other columns.
func (d Dialect) Replace(t *store.Table) (text string, order []int) {
	key := t.Primary().Columns()
	var set []int
	for c := range t.Columns() {
		if !slices.Contains(key, c) {
			set = append(set, c)
		}
	}
	if set == nil {
		set = key
	}
	text = "UPDATE " + d.Table(t.Name()) + " SET " + strings.Join(d.terms(t, set, 1), ", ") +
		" WHERE " + strings.Join(d.terms(t, key, len(set)+1), " AND ")
	return text, slices.Concat(set, key)
}

// Delete removes the row with a primary key. Its parameters are the values of
// the key.
func (d Dialect) Delete(t *store.Table) string {
	return "DELETE FROM " + d.Table(t.Name()) + " WHERE " + strings.Join(d.terms(t, t.Primary().Columns(), 1), " AND ")
}

// List selects the rows of a query.
func (d Dialect) List(q store.Query) Statement {
	b := &builder{Dialect: d}
	b.page(q, b.selectList)
	return b.done()
}

// Count counts the rows of a query.
func (d Dialect) Count(q store.Query) Statement {
	b := &builder{Dialect: d}
	if ranges := behind(q); q.Limit == 0 && len(ranges) == 1 {
		b.words("SELECT count(*) FROM ", b.Table(q.Index.Table().Name()))
		b.where(q, ranges[0], false)
		return b.done()
	}
	if q.Limit == 0 {
		q.Limit = math.MaxInt32 // of each range, which has fewer rows than that
	}
	b.words("SELECT count(*) FROM (")
	b.page(q, func(*store.Table) { b.words("1 AS one") })
	b.words(") AS page")
	return b.done()
}

// DeleteRange deletes the rows of a query, found by their primary key.
func (d Dialect) DeleteRange(q store.Query) Statement {
	b := &builder{Dialect: d}
	t := q.Index.Table()
	key := strings.Join(names(t, t.Primary().Columns()), ", ")
	b.words("DELETE FROM ", b.Table(t.Name()), " WHERE (", key, ") IN (")
	b.page(q, func(*store.Table) { b.words(key) })
	b.words(")")
	return b.done()
}

// plainArgs returns the values of the parameters of a query without Where, After
// and Offset, in the order in which where and limit write them.
func plainArgs(q store.Query) []store.Value {
	args := make([]store.Value, 0, len(q.Equal)+3)
	args = append(args, q.Equal...)
	for _, b := range []store.Bound{q.From, q.To} {
		if b.Set {
			args = append(args, b.Value)
		}
	}
	if q.Limit != 0 {
		args = append(args, store.Int(int64(q.Limit)))
	}
	return args
}

// page writes a select with filter, order and limit. If the cursor stands among
// nulls, or moves towards them, page writes one select for each range of the
// index after the cursor, in order. For a single condition with OR, the database
// would read everything before the cursor.
func (b *builder) page(q store.Query, list func(*store.Table)) {
	ranges := behind(q)
	if len(ranges) > 1 && len(ranges)*valuesOf(q.Where) > maxParams {
		ranges = []keyRange{anyOf(ranges)} // slower, but databases bound the number of parameters
	}
	if len(ranges) == 1 {
		b.slice(q, ranges[0], list, q.Limit, q.Offset)
		return
	}
	if !b.PartsInOrder {
		b.sorted(q, ranges, list)
		return
	}
	for i, r := range ranges {
		if i > 0 {
			b.words(" UNION ALL ")
		}
		b.words("SELECT * FROM (")
		b.slice(q, r, list, q.Limit+q.Offset, 0)
		b.words(") AS part")
	}
	b.limit(q.Limit, q.Offset)
}

// maxParams is the greatest number of values of filters in a statement.
const maxParams = store.MaxValues

func valuesOf(filters []store.Filter) (n int) {
	for _, f := range filters {
		n += len(f.Values) + valuesOf(f.Filters)
		if f.Op == store.OpEndsWith || f.Op == store.OpNotEndsWith {
			n += len(f.Values) // twice
		}
	}
	return n
}

// anyOf returns the range of all rows that are in one of the ranges.
func anyOf(ranges []keyRange) keyRange {
	return func(b *builder) {
		b.words("(")
		for i, r := range ranges {
			if i > 0 {
				b.words(" OR ")
			}
			b.words("(")
			r(b)
			b.words(")")
		}
		b.words(")")
	}
}

// sorted writes a select over the selects of the ranges, and sorts their rows.
func (b *builder) sorted(q store.Query, ranges []keyRange, list func(*store.Table)) {
	t := q.Index.Table()
	b.words("SELECT ")
	list(t)
	b.words(" FROM (")
	for i, r := range ranges {
		if i > 0 {
			b.words(" UNION ALL ")
		}
		b.words("(")
		b.slice(q, r, b.selectList, q.Limit+q.Offset, 0)
		b.words(")")
	}
	b.words(") AS parts")
	b.order(q)
	b.limit(q.Limit, q.Offset)
}

// slice writes a select of one range.
func (b *builder) slice(q store.Query, r keyRange, list func(*store.Table), limit, offset int) {
	t := q.Index.Table()
	b.words("SELECT ")
	list(t)
	b.words(" FROM ")
	if values := b.looked(q); len(values) > 1 {
		b.lookup(q, r, values)
	} else {
		b.words(b.Table(t.Name()))
		if hasOrder(q.Index) {
			b.words(b.By(IndexName(q.Index) + orderSuffix))
		}
		b.where(q, r, false)
	}
	b.order(q)
	b.limit(limit, offset)
}

// looked returns the values that a list looks up one by one in the last column of the index. There
// are none if the database finds a list of values by itself.
func (b *builder) looked(q store.Query) (values []store.Value) {
	at := seek.Filter(q)
	if !b.LooksUp || len(q.Equal) == 0 || at < 0 {
		return nil
	}
	seen := map[store.Value]bool{store.Null: true}
	for _, v := range q.Where[at].Values {
		if !seen[v] {
			seen[v] = true
			values = append(values, v)
		}
	}
	return values
}

// lookup writes a source of the rows with some values in the last column of a unique index: each
// value has one row at most.
func (b *builder) lookup(q store.Query, r keyRange, values []store.Value) {
	columns := q.Index.Columns()
	kind, _, _ := strings.Cut(b.Type(q.Index.Table().Columns()[columns[len(columns)-1]]), " ") // without a collation
	b.words("(VALUES ")
	for i, v := range values {
		if i > 0 {
			b.words(", ")
		}
		b.words("(CAST(")
		b.param(v)
		b.words(" AS ", kind, "))")
	}
	b.words(") AS wanted (wanted_value) CROSS JOIN LATERAL (SELECT * FROM ", b.Table(q.Index.Table().Name()))
	b.where(q, r, true)
	b.words(" LIMIT 1) AS found")
}

func (b *builder) order(q store.Query) {
	b.words(" ORDER BY ")
	for i, c := range q.Index.Order() {
		if i > 0 {
			b.words(", ")
		}
		b.words(b.ordered(q.Index.Table().Columns()[c], q.Descending))
	}
}

// ordered returns a column as an item of an order or of an index.
func (d Dialect) ordered(c store.Column, descending bool) string {
	nulls := d.NullsFirst && c.Nullable
	switch {
	case descending && nulls:
		return c.Name + " DESC NULLS LAST"
	case descending:
		return c.Name + " DESC"
	case nulls:
		return c.Name + " NULLS FIRST"
	}
	return c.Name
}

func (b *builder) limit(limit, offset int) {
	b.words(" LIMIT ", b.LimitSign)
	b.param(store.Int(int64(limit)))
	if offset > 0 {
		b.words(" OFFSET ")
		b.param(store.Int(int64(offset)))
	}
}

// where writes the conditions of a query and of a range. looked says that the condition that the
// index serves compares with the value of a lookup.
func (b *builder) where(q store.Query, r keyRange, looked bool) {
	t, columns := q.Index.Table(), q.Index.Columns()
	and := " WHERE "
	term := func(write func()) {
		b.words(and)
		write()
		and = " AND "
	}
	if len(q.Equal) > 0 {
		term(func() { b.equal(t, columns, q.Equal) })
	}
	bound := func(at store.Bound, op string) {
		if !at.Set {
			return
		}
		if !at.Open {
			op += "="
		}
		term(func() {
			b.words(t.Columns()[columns[len(q.Equal)]].Name, " ", op, " ")
			b.param(at.Value)
		})
	}
	bound(q.From, ">")
	bound(q.To, "<")
	at := seek.Filter(q)
	for i, f := range q.Where {
		if values := slices.DeleteFunc(slices.Clone(f.Values), store.Value.IsNull); i == at && len(values) > 0 {
			term(func() {
				if looked {
					b.words(f.Column, " = wanted_value")
				} else {
					b.words(f.Column, " IN (", b.params(values), ")")
				}
			})
			continue
		}
		term(func() { b.filter(t, f) })
	}
	if r != nil {
		term(func() { r(b) })
	}
}

// keyRange writes the condition of one range of an index. It is nil for the
// whole index.
type keyRange func(*builder)

// behind returns the ranges after the cursor of a query, in the order of the
// query, over the columns that Equal leaves open.
func behind(q store.Query) []keyRange {
	if q.After == nil {
		return []keyRange{nil}
	}
	t, order, at := q.Index.Table(), q.Index.Order(), q.After
	if n := len(q.Index.Columns()); q.Index.Unique() && !slices.Contains(at[:n], store.Null) {
		order, at = order[:n], at[:n] // at most one row has this key
	}
	order, at = order[len(q.Equal):], at[len(q.Equal):]
	if len(order) == 0 {
		return []keyRange{nothing} // Equal names the one row, and the cursor stands on it
	}
	op := ">"
	if q.Descending {
		op = "<"
	}
	nullable := slices.ContainsFunc(order, func(c int) bool { return t.Columns()[c].Nullable })
	// Nulls come first: there are no nulls from a value upwards, and a comparison
	// with a null selects nothing.
	if !nullable || !q.Descending && !slices.Contains(at, store.Null) {
		return []keyRange{func(b *builder) { b.tuple(names(t, order), op, at) }}
	}
	var ranges []keyRange
	for k := len(order) - 1; k >= 0; k-- {
		ranges = append(ranges, beside(t, order[:k+1], at[:k+1], op)...)
	}
	if len(ranges) == 0 {
		return []keyRange{nothing}
	}
	return ranges
}

func nothing(b *builder) { b.words(never) }

// tuple compares a row of columns with a row of values.
func (b *builder) tuple(columns []string, op string, values []store.Value) {
	b.words("(", strings.Join(columns, ", "), ") ", op, " (", b.params(values), ")")
}

// beside returns the ranges of the rows that have the values of at in all
// columns but the last, and come after at in the last.
func beside(t *store.Table, columns []int, at []store.Value, op string) []keyRange {
	last := len(columns) - 1
	c, v := t.Columns()[columns[last]], at[last]
	with := func(write func(*builder)) keyRange {
		return func(b *builder) {
			for i, v := range at[:last] {
				b.words(t.Columns()[columns[i]].Name)
				if v.IsNull() {
					b.words(" IS NULL AND ")
				} else {
					b.words(" = ")
					b.param(v)
					b.words(" AND ")
				}
			}
			write(b)
		}
	}
	isNull := func(is string) keyRange { return with(func(b *builder) { b.words(c.Name, is) }) }
	switch {
	case v.IsNull() && op == ">":
		return []keyRange{isNull(" IS NOT NULL")}
	case v.IsNull():
		return nil // nothing comes before a null
	}
	ranges := []keyRange{with(func(b *builder) {
		b.words(c.Name, " ", op, " ")
		b.param(v)
	})}
	if op == "<" && c.Nullable {
		ranges = append(ranges, isNull(" IS NULL"))
	}
	return ranges
}

// Orphan selects a row of t that refers to a row that is missing.
func (d Dialect) Orphan(ref store.Reference, t *store.Table) string {
	parent := ref.Parent.Table()
	var present, same []string
	for i, child := range names(t, ref.Columns) {
		present = append(present, "child."+child+" IS NOT NULL")
		same = append(same, "parent."+names(parent, ref.Parent.Columns())[i]+" = child."+child)
	}
	return "SELECT 1 AS one FROM " + d.Table(t.Name()) + " AS child WHERE " + strings.Join(present, " AND ") +
		" AND NOT EXISTS (SELECT 1 FROM " + d.Table(parent.Name()) + " AS parent WHERE " + strings.Join(same, " AND ") + ") LIMIT 1"
}

// Create returns the statements that make a table and its indexes.
func (d Dialect) Create(t *store.Table) []string {
	var b strings.Builder
	b.WriteString("CREATE TABLE " + d.Table(t.Name()) + " (\n")
	for _, c := range t.Columns() {
		b.WriteString("\t" + c.Name + " " + d.Type(c))
		if !c.Nullable {
			b.WriteString(" NOT NULL")
		}
		b.WriteString(",\n")
	}
	b.WriteString("\tPRIMARY KEY (" + strings.Join(names(t, t.Primary().Columns()), ", ") + ")")
	for _, ref := range t.References() {
		parent := ref.Parent.Table()
		b.WriteString(",\n\tFOREIGN KEY (" + strings.Join(names(t, ref.Columns), ", ") + ") REFERENCES " +
			d.Table(parent.Name()) + " (" + strings.Join(names(parent, ref.Parent.Columns()), ", ") + ")" + d.Reference)
	}
	b.WriteString("\n)")
	out := []string{b.String()}
	if ix := t.Numbered(); ix != nil && d.Sequence != nil {
		out = append(out, d.Sequence(ix))
	}
	for _, ix := range t.Indexes()[1:] {
		if ix.Unique() {
			out = append(out, d.createIndex("UNIQUE INDEX ", ix, IndexName(ix), ix.Columns()))
		}
		if !ix.Unique() || hasOrder(ix) {
			out = append(out, d.createIndex("INDEX ", ix, d.listing(ix), ix.Order()))
		}
	}
	return out
}

func (d Dialect) createIndex(what string, ix *store.Index, name string, columns []int) string {
	list := make([]string, len(columns))
	for i, c := range columns {
		list[i] = d.ordered(ix.Table().Columns()[c], false)
	}
	return "CREATE " + what + d.Index(name) + " ON " + d.Table(ix.Table().Name()) + " (" + strings.Join(list, ", ") + ")"
}

// listing returns the name of the database's index that serves listings by ix.
func (d Dialect) listing(ix *store.Index) string {
	if hasOrder(ix) {
		return IndexName(ix) + orderSuffix
	}
	return IndexName(ix)
}

// hasOrder reports whether the database has a second index for listings by ix.
// Many rows may be null in a unique index, and a listing has these in the order
// of the primary key.
func hasOrder(ix *store.Index) bool { return ix.Unique() && ix.Nullable() }

const orderSuffix = "_order"

// IndexName returns the name of an index in the database.
func IndexName(ix *store.Index) string { return ix.Table().Name() + "_" + ix.Name() }

// Columns returns the columns of an index as table.column, with a prefix before each table,
// separated by commas and spaces.
func Columns(ix *store.Index, prefix string) string {
	out := names(ix.Table(), ix.Columns())
	for i := range out {
		out[i] = prefix + ix.Table().Name() + "." + out[i]
	}
	return strings.Join(out, ", ")
}
