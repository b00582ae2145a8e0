package store

import (
	"context"
	"fmt"
	"slices"
)

// MaxKey is the greatest length of a key in an index, in bytes: that of the text
// and bytes of its columns and of the primary key after them, together.
const MaxKey = 1024

// Column is one field of a table.
type Column struct {
	Name     string
	Kind     Kind
	Nullable bool
	JSON     bool // text that holds JSON, for which a SQL backend may have a type of its own
	Verbatim bool // JSON that comes back as it was written
}

// Index is an ordered list of columns by which rows are found and listed. A
// unique index holds each combination of values once, except that a null never
// collides.
type Index struct {
	table   *Table
	name    string
	columns []int
	unique  bool
	numbers bool
	full    []int // columns, then the other columns of the primary key
	ordinal int
}

// Table returns the table that the index belongs to.
func (ix *Index) Table() *Table { return ix.table }

// Name returns the name of the index, unique within its table.
func (ix *Index) Name() string { return ix.name }

// Columns returns the positions of the indexed columns. The caller must not
// change them.
func (ix *Index) Columns() []int { return ix.columns }

// Unique reports whether the index is unique.
func (ix *Index) Unique() bool { return ix.unique }

// Numbered reports whether the store numbers the rows of the index, see [IndexOn].
func (ix *Index) Numbered() bool { return ix.numbers }

// Order returns the positions of the columns by which a listing by this index
// is ordered: its own, then those of the primary key.
func (ix *Index) Order() []int { return ix.full }

// Ordinal is the number of the index in its schema, counted from 0 without
// gaps, for example for a backend's slice with one element per index.
func (ix *Index) Ordinal() int { return ix.ordinal }

// Nullable reports whether any column of the index may be null.
func (ix *Index) Nullable() bool {
	return slices.ContainsFunc(ix.columns, func(c int) bool { return ix.table.columns[c].Nullable })
}

// Position returns the position of row in a listing by this index, for After
// and Before of a [Query].
func (ix *Index) Position(row Row) []Value { return row.pick(ix.full) }

// Key returns the values of the indexed columns of row.
func (ix *Index) Key(row Row) []Value { return row.pick(ix.columns) }

func (r Row) pick(columns []int) []Value {
	values := make([]Value, len(columns))
	for i, c := range columns {
		values[i] = r.values[c]
	}
	return values
}

// Of returns the key of the parent to which a row of the child refers. It holds a null if
// the row refers to none.
func (r *Reference) Of(row Row) []Value { return row.pick(r.Columns) }

// Reference says that columns of a table name a row of a parent table. A row
// with a null in one of these columns refers to no parent.
type Reference struct {
	Columns []int  // in the child
	Parent  *Index // a unique index of the parent over the same number of columns
	Child   *Index // an index of the child that begins with the columns
}

// Pair says which columns of a row are read together with a row to which it refers. Make
// one with [Join], once for all calls.
type Pair struct {
	Index     *Index     // a unique index of the child, by which its row is found
	Reference *Reference // of the child
	positions []int
	columns   []Column
}

// Columns returns the columns of the child that are read, in their order. The caller must
// not change them.
func (p *Pair) Columns() []Column { return p.columns }

// Positions returns the positions of these columns in the child. The caller must not change
// them.
func (p *Pair) Positions() []int { return p.positions }

// Part returns these columns of a row of the child.
func (p *Pair) Part(row Row) Row { return Row{row.pick(p.positions)} }

// Table is the declaration of one table, made by [Declare]. It is immutable and
// known to every backend.
type Table struct {
	name       string
	columns    []Column
	indexes    []*Index // the primary key first
	cluster    *Index
	references []Reference
	children   []Reference // references of other tables to this one
	schema     *Schema
}

// Name returns the name of the table.
func (t *Table) Name() string { return t.name }

// Columns returns the columns in their order. The caller must not change them.
func (t *Table) Columns() []Column { return t.columns }

// Primary returns the primary key: a unique index without nulls.
func (t *Table) Primary() *Index { return t.indexes[0] }

// Indexes returns all indexes, the primary key first. The caller must not
// change them.
func (t *Table) Indexes() []*Index { return t.indexes }

// Cluster returns the unique index under which a key-value backend keeps the
// row itself: the primary key, unless the declaration names another index.
func (t *Table) Cluster() *Index { return t.cluster }

// References returns the references of the table to its parents. The caller
// must not change the slice.
func (t *Table) References() []Reference { return t.references }

// Children returns the references of other tables to this one, with Child in
// the other table. The caller must not change the slice.
func (t *Table) Children() []Reference { return t.children }

// Numbered returns the index of the table whose rows the store numbers, nil without one.
func (t *Table) Numbered() *Index {
	for _, ix := range t.indexes {
		if ix.numbers {
			return ix
		}
	}
	return nil
}

// Reference returns the reference whose first column has that name. It panics if there is
// none, like [Table.Index].
func (t *Table) Reference(column string) *Reference {
	for i := range t.references {
		if t.columns[t.references[i].Columns[0]].Name == column {
			return &t.references[i]
		}
	}
	panic("store: " + t.name + "." + column + " refers to nothing")
}

// Index returns the index of that name. It panics if the table has no such
// index: the programmer who declares the table writes the names too.
func (t *Table) Index(name string) *Index {
	for _, ix := range t.indexes {
		if ix.name == name {
			return ix
		}
	}
	panic("store: table " + t.name + " has no index " + name)
}

// Keys declares the indexes and references of a table. Columns are given by
// name.
type Keys struct {
	Primary    []string // the primary key, whose columns must not be nullable
	Indexes    []IndexOn
	References []RefersTo
}

// IndexOn declares an index. At most one index of a table may be the clustering
// key. It must be unique and without nullable columns.
type IndexOn struct {
	Name    string
	Columns []string
	Unique  bool
	Cluster bool
	// Numbered says that the store numbers the rows in the last column, which holds integers. A
	// table has at most one such index, and that is not unique.
	Numbered bool
}

// RefersTo declares that Columns name a row of Parent's table. Parent must be a
// unique index over the same number of columns. One index of the child must
// begin with Columns.
type RefersTo struct {
	Columns []string
	Parent  *Index
}

func newTable(name string, columns []Column, keys Keys) *Table {
	t := &Table{name: name, columns: columns}
	t.addIndex(IndexOn{Name: "primary", Columns: keys.Primary, Unique: true})
	t.cluster = t.indexes[0]
	for _, on := range keys.Indexes {
		ix := t.addIndex(on)
		if on.Cluster {
			t.cluster = ix
		}
	}
	for _, ix := range []*Index{t.indexes[0], t.cluster} {
		if len(ix.columns) == 0 || !ix.unique || ix.Nullable() {
			panic("store: " + name + "." + ix.name + " must be unique and without nulls")
		}
	}
	for _, ix := range t.indexes {
		ix.full = slices.Clone(ix.columns)
		for _, c := range t.indexes[0].columns {
			if !slices.Contains(ix.full, c) {
				ix.full = append(ix.full, c)
			}
		}
	}
	for _, to := range keys.References {
		t.addReference(to)
	}
	return t
}

func (t *Table) addIndex(on IndexOn) *Index {
	ix := &Index{table: t, name: on.Name, columns: t.positions(on.Columns), unique: on.Unique, numbers: on.Numbered, ordinal: -1}
	if on.Numbered {
		last := t.columns[ix.columns[len(ix.columns)-1]]
		if on.Unique || last.Kind != KindInt || last.Nullable || t.Numbered() != nil {
			panic("store: " + t.name + "." + on.Name + " cannot be numbered")
		}
	}
	for _, c := range ix.columns {
		if t.columns[c].JSON {
			panic("store: " + t.name + "." + on.Name + " is over JSON, which has no order")
		}
	}
	t.indexes = append(t.indexes, ix)
	return ix
}

func (t *Table) addReference(to RefersTo) {
	ref := Reference{Columns: t.positions(to.Columns), Parent: to.Parent}
	if !to.Parent.unique || len(to.Parent.columns) != len(ref.Columns) {
		panic("store: " + t.name + " refers to an index that is not unique or has another number of columns")
	}
	for _, ix := range t.indexes {
		if len(ix.columns) >= len(ref.Columns) && slices.Equal(ix.columns[:len(ref.Columns)], ref.Columns) {
			ref.Child = ix
			break
		}
	}
	if ref.Child == nil {
		panic(fmt.Sprintf("store: no index of %s begins with the reference %v", t.name, to.Columns))
	}
	t.references = append(t.references, ref)
}

func (t *Table) positions(names []string) []int {
	var out []int
	for _, name := range names {
		i := slices.IndexFunc(t.columns, func(c Column) bool { return c.Name == name })
		if i < 0 {
			panic("store: table " + t.name + " has no column " + name)
		}
		out = append(out, i)
	}
	return out
}

// Schema is a set of tables that one store holds.
type Schema struct {
	name    string
	version int
	tables  []*Table
	indexes int
	fills   map[int]Fill
}

// Fill gives the new columns of a version their values in rows of an older one, in the
// transaction that upgrades a place.
type Fill func(ctx context.Context, tx Tx) error

// Filling declares what a version fills, and returns the schema. Only a backend without
// statements of its own for that runs it.
func (s *Schema) Filling(version int, fill Fill) *Schema {
	if s.fills == nil {
		s.fills = make(map[int]Fill)
	}
	s.fills[version] = fill
	return s
}

// FillsAfter returns the versions after one that fill columns, in their order.
func (s *Schema) FillsAfter(after int) (versions []int) {
	for v := after + 1; v <= s.version; v++ {
		if s.fills[v] != nil {
			versions = append(versions, v)
		}
	}
	return versions
}

// Fill fills the new columns of all versions after one, in their order.
func (s *Schema) Fill(ctx context.Context, tx Tx, after int) error {
	for _, v := range s.FillsAfter(after) {
		if err := s.fills[v](ctx, tx); err != nil {
			return err
		}
	}
	return nil
}

// NewSchema makes a schema of tables, parents before children. The name tells
// the files of one program from those of another. The version rises by one with
// every change of the tables. NewSchema panics if a table belongs to a schema
// already.
func NewSchema(name string, version int, tables ...*Table) *Schema {
	s := &Schema{name: name, version: version, tables: tables}
	for _, t := range tables {
		if t.schema != nil {
			panic("store: table " + t.name + " is in two schemas")
		}
		t.schema = s
		for _, ix := range t.indexes {
			ix.ordinal = s.indexes
			s.indexes++
		}
		for _, ref := range t.references {
			parent := ref.Parent.table
			if parent.schema != s {
				panic("store: " + t.name + " refers to a table that does not come before it")
			}
			parent.children = append(parent.children, ref)
		}
	}
	return s
}

// Name returns the name of the schema.
func (s *Schema) Name() string { return s.name }

// Version returns the version of the schema.
func (s *Schema) Version() int { return s.version }

// Tables returns the tables, parents before children. The caller must not
// change them.
func (s *Schema) Tables() []*Table { return s.tables }

// NumIndexes returns the number of indexes of all tables together.
func (s *Schema) NumIndexes() int { return s.indexes }

// Has reports whether t is one of the schema's tables.
func (s *Schema) Has(t *Table) bool { return t != nil && t.schema == s }
