// Package sqltext writes the statements of the SQL backends. Names come from
// declared tables, values are always parameters.
package sqltext

import (
	"math"
	"slices"
	"strings"

	"example.com/latchkey/store"
)

// Dialect is what differs between databases.
type Dialect struct {
	// Placeholder returns the n-th parameter, counted from 1.
	Placeholder func(n int) string
	// Type returns the type of a column in a table.
	Type func(c store.Column) string
	// Select returns a column as an item of a select list.
	Select func(name string) string
	// Table returns a table as statements name it, and Index what a new index
	// is called.
	Table, Index func(name string) string
	// NullsFirst says that nulls do not come before values by themselves.
	NullsFirst bool
	// PartsInOrder says that the parts of a union follow one another.
	PartsInOrder bool
	// By returns what names the index to use, behind the table of a select.
	By func(index string) string
	// Unindexed returns a column as a value that no index is used for.
	Unindexed func(name string) string
	// StartsWith, EndsWith and Contains return conditions on a text column
	// that is not null and a parameter that is not empty, which EndsWith gets
	// twice.
	StartsWith, Contains func(name, param string) string
	EndsWith             func(name, param, again string) string
	// ListHas returns a condition that a JSON column is a list with one of
	// the parameters, which are separated by commas, in it.
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

func (b *builder) selectList(t *store.Table) {
	for i, c := range t.Columns() {
		if i > 0 {
			b.words(", ")
		}
		b.words(b.Select(c.Name))
	}
}

// equal writes a comparison for each value with the first columns.
func (b *builder) equal(t *store.Table, columns []int, values []store.Value) {
	for i, v := range values {
		if i > 0 {
			b.words(" AND ")
		}
		b.words(t.Columns()[columns[i]].Name, " = ")
		b.param(v)
	}
}

// Get selects the row with a key in a unique index.
func (d Dialect) Get(ix *store.Index, key []store.Value) Statement {
	b := &builder{Dialect: d}
	b.words("SELECT ")
	b.selectList(ix.Table())
	b.words(" FROM ", b.Table(ix.Table().Name()), " WHERE ")
	b.equal(ix.Table(), ix.Columns(), key)
	return b.done()
}

// Insert adds a row.
func (d Dialect) Insert(t *store.Table, row store.Row) Statement {
	b := &builder{Dialect: d}
	b.words("INSERT INTO ", b.Table(t.Name()), " (")
	for i, c := range t.Columns() {
		if i > 0 {
			b.words(", ")
		}
		b.words(c.Name)
	}
	b.words(") VALUES (")
	for i := range t.Columns() {
		if i > 0 {
			b.words(", ")
		}
		b.param(row.At(i))
	}
	b.words(")")
	return b.done()
}

// Replace sets every column of the row with the primary key of row, but those
// of the primary key.
func (d Dialect) Replace(t *store.Table, row store.Row) Statement {
	b := &builder{Dialect: d}
	b.words("UPDATE ", b.Table(t.Name()), " SET ")
	for i, c := range replaced(t) {
		if i > 0 {
			b.words(", ")
		}
		b.words(t.Columns()[c].Name, " = ")
		b.param(row.At(c))
	}
	b.words(" WHERE ")
	b.equal(t, t.Primary().Columns(), t.Primary().Key(row))
	return b.done()
}

// ReplaceArgs returns the values of the parameters of [Dialect.Replace].
func ReplaceArgs(t *store.Table, row store.Row) []store.Value {
	columns := replaced(t)
	args := make([]store.Value, 0, len(columns)+len(t.Primary().Columns()))
	for _, c := range columns {
		args = append(args, row.At(c))
	}
	return append(args, t.Primary().Key(row)...)
}

// replaced returns the columns that a replacement sets: all of them in a table
// that has nothing but its primary key.
func replaced(t *store.Table) []int {
	var columns []int
	for c := range t.Columns() {
		if !slices.Contains(t.Primary().Columns(), c) {
			columns = append(columns, c)
		}
	}
	if columns == nil {
		return t.Primary().Columns()
	}
	return columns
}

// Delete removes the row with a primary key.
func (d Dialect) Delete(t *store.Table, key []store.Value) Statement {
	b := &builder{Dialect: d}
	b.words("DELETE FROM ", b.Table(t.Name()), " WHERE ")
	b.equal(t, t.Primary().Columns(), key)
	return b.done()
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
		b.where(q, ranges[0])
		return b.done()
	}
	if q.Limit == 0 {
		q.Limit = math.MaxInt32 // of each range; there are no more rows
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

// QueryArgs returns the values of the parameters of a query without Where,
// After and Offset.
func QueryArgs(q store.Query) []store.Value {
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

// page writes a select with filter, order and limit. A cursor that stands among
// nulls, or walks towards them, takes a select for each range of the index
// behind it, one after the other: a condition with OR would be met by walking
// over everything before the cursor.
func (b *builder) page(q store.Query, list func(*store.Table)) {
	ranges := behind(q)
	if len(ranges) > 1 && len(ranges)*valuesOf(q.Where) > maxParams {
		ranges = []keyRange{anyOf(ranges)} // slower; databases bound the number of parameters
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

// maxParams is how many values of filters a statement takes.
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

// anyOf returns the range that others make up together.
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

// sorted writes a select over those of the ranges, in order.
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
	b.words(" FROM ", b.Table(t.Name()))
	if hasOrder(q.Index) {
		b.words(b.By(IndexName(q.Index) + orderSuffix))
	}
	b.where(q, r)
	b.order(q)
	b.limit(limit, offset)
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
	b.words(" LIMIT ")
	b.param(store.Int(int64(limit)))
	if offset > 0 {
		b.words(" OFFSET ")
		b.param(store.Int(int64(offset)))
	}
}

// where writes what a query selects in a range.
func (b *builder) where(q store.Query, r keyRange) {
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
	for _, f := range q.Where {
		term(func() { b.filter(t, f) })
	}
	if r != nil {
		term(func() { r(b) })
	}
}

// keyRange writes the condition of one range of an index; nil writes none.
type keyRange func(*builder)

// behind returns the ranges behind the cursor of a query, in the order of the
// query, over the columns that Equal leaves open.
func behind(q store.Query) []keyRange {
	if q.After == nil {
		return []keyRange{nil}
	}
	t, order, at := q.Index.Table(), q.Index.Order(), q.After
	if n := len(q.Index.Columns()); q.Index.Unique() && !slices.Contains(at[:n], store.Null) {
		order, at = order[:n], at[:n] // no two rows stand here
	}
	order, at = order[len(q.Equal):], at[len(q.Equal):]
	if len(order) == 0 {
		return []keyRange{nothing} // Equal names the one row, and it is behind us
	}
	op := ">"
	if q.Descending {
		op = "<"
	}
	nullable := slices.ContainsFunc(order, func(c int) bool { return t.Columns()[c].Nullable })
	// Nulls come first: from a value upwards there are none, and comparing
	// with one selects nothing.
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

// tuple compares columns with values as one.
func (b *builder) tuple(columns []string, op string, values []store.Value) {
	b.words("(", strings.Join(columns, ", "), ") ", op, " (", b.params(values), ")")
}

// beside returns the ranges of rows that have the values of at in all columns
// but the last, and are behind it there.
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

// Orphan selects a row of t whose reference names nothing.
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
			d.Table(parent.Name()) + " (" + strings.Join(names(parent, ref.Parent.Columns()), ", ") + ")")
	}
	b.WriteString("\n)")
	out := []string{b.String()}
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

// listing returns the name of the index in the database that lists by ix.
func (d Dialect) listing(ix *store.Index) string {
	if hasOrder(ix) {
		return IndexName(ix) + orderSuffix
	}
	return IndexName(ix)
}

// hasOrder reports whether an index has another one beside it, for listing:
// many rows may be null in a unique index, and stand there in the order of the
// primary key.
func hasOrder(ix *store.Index) bool { return ix.Unique() && ix.Nullable() }

const orderSuffix = "_order"

// IndexName returns the name of an index in the database.
func IndexName(ix *store.Index) string { return ix.Table().Name() + "_" + ix.Name() }

// Columns returns the columns of an index as table.column, separated by comma
// and space.
func Columns(ix *store.Index) string {
	out := names(ix.Table(), ix.Columns())
	for i := range out {
		out[i] = ix.Table().Name() + "." + out[i]
	}
	return strings.Join(out, ", ")
}
