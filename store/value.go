package store

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Kind is the type of a column and of the values in it.
type Kind uint8

// The kinds, in the order in which [Compare] sorts values of different kinds.
const (
	KindNull  Kind = iota // no value
	KindText              // UTF-8 without NUL, compared bytewise
	KindBytes             // any bytes, compared bytewise
	KindInt               // a signed 64-bit integer
	KindBool              // false sorts before true
	KindTime              // UTC, microseconds
)

var kindNames = [...]string{"null", "text", "bytes", "integer", "bool", "time"}

func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return fmt.Sprintf("kind(%d)", uint8(k))
}

// Value is one field of a row. It is immutable and has 32 bytes, so copies are
// cheap. The zero Value is null. Printing a Value shows its kind and never its
// content, which may be a secret.
type Value struct {
	s    string // text and bytes
	n    int64  // integer, bool (0 or 1), time (microseconds since 1970)
	kind Kind
}

// Null is the absent value.
var Null = Value{}

// Text returns a text value. A backend refuses text that is not valid UTF-8 or
// that holds NUL.
func Text(s string) Value { return Value{s: s, kind: KindText} }

// Bytes returns a value with a copy of b.
func Bytes(b []byte) Value { return Value{s: string(b), kind: KindBytes} }

// BytesOf returns a bytes value that holds the bytes of s, without a copy.
func BytesOf(s string) Value { return Value{s: s, kind: KindBytes} }

// Int returns an integer value.
func Int(n int64) Value { return Value{n: n, kind: KindInt} }

// Bool returns a bool value.
func Bool(b bool) Value {
	if b {
		return Value{n: 1, kind: KindBool}
	}
	return Value{kind: KindBool}
}

// Time returns a time value, cut to the microsecond.
func Time(t time.Time) Value { return Value{n: t.UnixMicro(), kind: KindTime} }

// Micros returns a time value n microseconds after 1970 in UTC.
func Micros(n int64) Value { return Value{n: n, kind: KindTime} }

// Zero returns the zero value of a kind: empty, 0, false, 1970, or null for
// KindNull.
func Zero(k Kind) Value { return Value{kind: k} }

// Kind returns the kind of v, which is KindNull for a null.
func (v Value) Kind() Kind { return v.kind }

// IsNull reports whether v is null.
func (v Value) IsNull() bool { return v.kind == KindNull }

// Text returns the content of a text or bytes value, and "" for others.
func (v Value) Text() string { return v.s }

// Bytes returns a copy of the content of a text or bytes value, and an empty
// slice for others.
func (v Value) Bytes() []byte { return []byte(v.s) }

// Int returns the content of an integer value, the microseconds of a time
// value, 0 or 1 of a bool value, and 0 for others.
func (v Value) Int() int64 { return v.n }

// Bool returns the content of a bool value.
func (v Value) Bool() bool { return v.kind == KindBool && v.n != 0 }

// Time returns the content of a time value in UTC, and the zero time for
// others.
func (v Value) Time() time.Time {
	if v.kind != KindTime {
		return time.Time{}
	}
	return time.UnixMicro(v.n).UTC()
}

// Format prints the kind, whatever the verb.
func (v Value) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(v.kind.String())) }

// Compare orders two values: a null before everything, text and bytes by their
// bytes, integers and times by size, false before true.
func Compare(a, b Value) int {
	if a.kind != b.kind {
		return cmp.Compare(a.kind, b.kind)
	}
	switch a.kind {
	case KindText, KindBytes:
		return strings.Compare(a.s, b.s)
	default:
		return cmp.Compare(a.n, b.n)
	}
}

// Row is one row of a table. It is immutable, so that a backend may share it.
type Row struct{ values []Value }

// NewRow returns a row of values, which are in the order of the table's columns.
// The row owns the slice from now on: the caller must not change it.
func NewRow(values []Value) Row { return Row{values} }

// Len returns the number of values.
func (r Row) Len() int { return len(r.values) }

// At returns the value of the i-th column.
func (r Row) At(i int) Value { return r.values[i] }

// Values returns the values of all columns in a new slice.
func (r Row) Values() []Value { return slices.Clone(r.values) }

// Format prints the number of columns, whatever the verb.
func (r Row) Format(f fmt.State, _ rune) { _, _ = fmt.Fprintf(f, "row of %d", len(r.values)) }
