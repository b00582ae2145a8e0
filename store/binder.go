package store

import (
	"context"
	"errors"
	"iter"
	"sync"
	"time"
)

// Binder binds the fields of a record to the columns of a table. A record's
// binding function calls it once for each field, always in the same order:
//
//	func (s *Session) bind(b *store.Binder) {
//		b.Text("id", &s.ID)
//		b.Time("expire", &s.Expire)
//		b.NullText("provider_uid", &s.ProviderUID)
//	}
//
// The Null methods store the zero value of the field as null.
type Binder struct {
	mode    bindMode
	at      int
	values  []Value
	columns []Column
	kinds   Kind
	part    []Value // a buffer, kept for the next Part.Get
}

type bindMode uint8

const (
	describe bindMode = iota // fields to columns
	encode                   // fields to values
	decode                   // values to fields
)

func (b *Binder) next() *Value {
	v := &b.values[b.at]
	b.at++
	return v
}

// column describes a column. It is not inlined: it runs once for each column, and would be in the code of each.
//
//go:noinline
func (b *Binder) column(name string, kind Kind, nullable bool) {
	b.columns = append(b.columns, Column{Name: name, Kind: kind, Nullable: nullable})
}

// Text binds a text column.
func (b *Binder) Text(name string, p *string) {
	switch b.mode {
	case describe:
		b.column(name, KindText, false)
	case encode:
		b.values = append(b.values, Text(*p))
	case decode:
		*p = b.next().s
	}
}

// NullText binds a text column in which "" is null.
func (b *Binder) NullText(name string, p *string) {
	switch b.mode {
	case describe:
		b.column(name, KindText, true)
	case encode:
		v := Text(*p)
		if *p == "" {
			v = Null
		}
		b.values = append(b.values, v)
	case decode:
		*p = b.next().s
	}
}

// JSON binds a text column that holds JSON as encoding/json writes it. The text
// comes back as the same JSON, perhaps with other spaces or with its members in
// another order.
func (b *Binder) JSON(name string, p *string) {
	b.Text(name, p)
	if b.mode == describe {
		b.columns[len(b.columns)-1].JSON = true
	}
}

// VerbatimJSON binds a text column that holds JSON. The text comes back as it
// was written.
func (b *Binder) VerbatimJSON(name string, p *string) {
	b.JSON(name, p)
	if b.mode == describe {
		b.columns[len(b.columns)-1].Verbatim = true
	}
}

// Bytes binds a bytes column.
func (b *Binder) Bytes(name string, p *[]byte) {
	switch b.mode {
	case describe:
		b.column(name, KindBytes, false)
	case encode:
		b.values = append(b.values, Bytes(*p))
	case decode:
		*p = b.next().Bytes()
	}
}

// ByteString binds a bytes column to a string of those bytes. Unlike
// [Binder.Bytes], it makes no copy when a row is read.
func (b *Binder) ByteString(name string, p *string) {
	switch b.mode {
	case describe:
		b.column(name, KindBytes, false)
	case encode:
		b.values = append(b.values, BytesOf(*p))
	case decode:
		*p = b.next().s
	}
}

// NullBytes binds a bytes column in which a slice of length 0 is null.
func (b *Binder) NullBytes(name string, p *[]byte) {
	switch b.mode {
	case describe:
		b.column(name, KindBytes, true)
	case encode:
		v := Null
		if len(*p) > 0 {
			v = Bytes(*p)
		}
		b.values = append(b.values, v)
	case decode:
		*p = nil
		if v := b.next(); !v.IsNull() {
			*p = v.Bytes()
		}
	}
}

// Int binds an integer column.
func (b *Binder) Int(name string, p *int64) {
	switch b.mode {
	case describe:
		b.column(name, KindInt, false)
	case encode:
		b.values = append(b.values, Int(*p))
	case decode:
		*p = b.next().n
	}
}

// Bool binds a bool column.
func (b *Binder) Bool(name string, p *bool) {
	switch b.mode {
	case describe:
		b.column(name, KindBool, false)
	case encode:
		b.values = append(b.values, Bool(*p))
	case decode:
		*p = b.next().n != 0
	}
}

// Time binds a time column.
func (b *Binder) Time(name string, p *time.Time) {
	switch b.mode {
	case describe:
		b.column(name, KindTime, false)
	case encode:
		b.values = append(b.values, Time(*p))
	case decode:
		*p = b.next().Time()
	}
}

// NullTime binds a time column in which the zero time is null.
func (b *Binder) NullTime(name string, p *time.Time) {
	switch b.mode {
	case describe:
		b.column(name, KindTime, true)
	case encode:
		v := Null
		if !p.IsZero() {
			v = Time(*p)
		}
		b.values = append(b.values, v)
	case decode:
		*p = b.next().Time()
	}
}

// Typed is a table whose rows are records of type T. It is immutable and safe
// for concurrent use.
type Typed[T any] struct {
	*Table
	bind func(*T, *Binder)
}

// Declare declares a table. The binding function of its record gives the
// columns, and keys the indexes and references. It panics if the declaration is
// inconsistent, which is a mistake of its programmer.
func Declare[T any](name string, bind func(*T, *Binder), keys Keys) Typed[T] {
	b := Binder{mode: describe}
	bind(new(T), &b)
	return Typed[T]{newTable(name, b.columns, keys), bind}
}

var binders = sync.Pool{New: func() any { return new(Binder) }}

// Row returns the row of a record.
func (t Typed[T]) Row(record *T) Row {
	b := binders.Get().(*Binder)
	*b = Binder{mode: encode, values: make([]Value, 0, len(t.columns))}
	t.bind(record, b)
	row := Row{b.values}
	*b = Binder{}
	binders.Put(b)
	return row
}

// Record returns the record of a row of this table.
func (t Typed[T]) Record(row Row) *T {
	b := binders.Get().(*Binder)
	*b = Binder{mode: decode, values: row.values, kinds: row.kinds()}
	record := new(T)
	t.bind(record, b)
	*b = Binder{}
	binders.Put(b)
	return record
}

// kinds reads all values of the row. If the row is not in the processor's cache,
// these loads overlap, while those of decoding field by field would wait for one
// another. This makes a session check in memory a fifth faster.
func (r Row) kinds() (all Kind) {
	for i := range r.values {
		all |= r.values[i].kind
	}
	return all
}

// Get returns the record with that key in a unique index of the table.
func (t Typed[T]) Get(ctx context.Context, r Reader, ix *Index, key ...Value) (*T, error) {
	row, err := r.Get(ctx, ix, key...)
	if err != nil {
		return nil, err
	}
	return t.Record(row), nil
}

// Find is Get, but returns nil instead of [ErrNotFound].
func (t Typed[T]) Find(ctx context.Context, r Reader, ix *Index, key ...Value) (*T, error) {
	record, err := t.Get(ctx, r, ix, key...)
	if errors.Is(err, ErrNotFound) {
		return nil, nil
	}
	return record, err
}

// List returns the records that q selects.
func (t Typed[T]) List(ctx context.Context, r Reader, q Query) ([]*T, error) {
	rows, err := r.List(ctx, q)
	if err != nil {
		return nil, err
	}
	records := make([]*T, len(rows))
	for i, row := range rows {
		records[i] = t.Record(row)
	}
	return records, nil
}

// Pages returns the records that q selects, q.Limit at a time. Each page is a
// [Reader.List] of its own, which begins after the last record of the previous
// page. The pages end before an empty one, so that records which are inserted
// after the last page are found too. An error ends the pages.
func (t Typed[T]) Pages(ctx context.Context, r Reader, q Query) iter.Seq2[[]*T, error] {
	return func(yield func([]*T, error) bool) {
		for {
			page, err := t.List(ctx, r, q)
			if err != nil {
				yield(nil, err)
				return
			}
			if len(page) == 0 || !yield(page, nil) {
				return
			}
			q.After, q.Offset = q.Index.Position(t.Row(page[len(page)-1])), 0
		}
	}
}

// Insert adds a record.
func (t Typed[T]) Insert(ctx context.Context, tx Tx, record *T) error {
	return tx.Insert(ctx, t.Table, t.Row(record))
}

// InsertAll adds records. See [Tx.InsertAll].
func (t Typed[T]) InsertAll(ctx context.Context, tx Tx, records []*T) error {
	rows := make([]Row, len(records))
	for i, record := range records {
		rows[i] = t.Row(record)
	}
	return tx.InsertAll(ctx, t.Table, rows)
}

// Replace stores a record in the place of the record with the same primary key.
func (t Typed[T]) Replace(ctx context.Context, tx Tx, record *T) error {
	return tx.Replace(ctx, t.Table, t.Row(record))
}

// Delete removes the record with that primary key.
func (t Typed[T]) Delete(ctx context.Context, tx Tx, key ...Value) error {
	return tx.Delete(ctx, t.Table, key...)
}

// DeleteIfThere is Delete, but an absent record is no error.
func (t Typed[T]) DeleteIfThere(ctx context.Context, tx Tx, key ...Value) error {
	if err := t.Delete(ctx, tx, key...); !errors.Is(err, ErrNotFound) {
		return err
	}
	return nil
}

// Part is a few columns of a table, which are read faster without the others. It
// is immutable and safe for concurrent use.
type Part[T any] struct {
	table   *Table
	columns []int
	bind    func(*T, *Binder)
}

// DeclarePart declares a part of a table by the binding function of its record,
// which names columns of the table. It panics if the table has no column of one
// of these names, or has it with another kind.
func DeclarePart[T any](t *Table, bind func(*T, *Binder)) Part[T] {
	b := Binder{mode: describe}
	bind(new(T), &b)
	p := Part[T]{table: t, bind: bind}
	for _, c := range b.columns {
		at := t.positions([]string{c.Name})[0]
		if t.columns[at].Kind != c.Kind || t.columns[at].Nullable != c.Nullable {
			panic("store: column " + c.Name + " of " + t.name + " is of another kind")
		}
		p.columns = append(p.columns, at)
	}
	return p
}

// Get reads into record the part of the row with that key in a unique index of
// the table.
func (p Part[T]) Get(ctx context.Context, r Reader, record *T, ix *Index, key ...Value) error {
	row, err := r.Get(ctx, ix, key...)
	if err != nil {
		return err
	}
	b := binders.Get().(*Binder)
	values := b.part[:0]
	for _, c := range p.columns {
		values = append(values, row.values[c])
	}
	*b = Binder{mode: decode, values: values}
	p.bind(record, b)
	clear(values)
	*b = Binder{part: values}
	binders.Put(b)
	return nil
}

// Joined reads a part of a row of one table with the row of another to which it refers. It
// is immutable and safe for concurrent use.
type Joined[C, P any] struct {
	pair   *Pair
	part   Part[C]
	parent Typed[P]
}

// Join declares that a part of a table is read, by a unique index of the table, with the row
// of parent to which the reference that begins with column leads. It panics if the index is
// of another table, or if the column is no such reference.
func Join[C, P any](part Part[C], ix *Index, column string, parent Typed[P]) Joined[C, P] {
	p := &Pair{Index: ix, Reference: part.table.Reference(column), positions: part.columns}
	if !ix.unique || ix.table != part.table || p.Reference.Parent.table != parent.Table {
		panic("store: " + ix.table.name + "." + ix.name + " with " + parent.name + " is no pair")
	}
	for _, at := range part.columns {
		p.columns = append(p.columns, ix.table.columns[at])
	}
	return Joined[C, P]{p, part, parent}
}

// Get reads into record the part of the row with that key, and returns its parent. See
// [Reader.GetBoth].
func (j Joined[C, P]) Get(ctx context.Context, r Reader, record *C, key ...Value) (*P, error) {
	row, parent, err := r.GetBoth(ctx, j.pair, key...)
	if err != nil {
		return nil, err
	}
	b := binders.Get().(*Binder)
	*b = Binder{mode: decode, values: row.values}
	j.part.bind(record, b)
	*b = Binder{}
	binders.Put(b)
	return j.parent.Record(parent), nil
}
