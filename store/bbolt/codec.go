package bbolt

import (
	"encoding/binary"
	"fmt"

	"example.com/latchkey/store"
)

// A row in the file consists of:
//
//   - the format, one byte
//   - the number of columns
//   - one bit for each column, set if its value is null
//   - the values that are not null: text and bytes after their length, integers
//     and times in eight bytes, bools in one byte
const rowFormat = 1

var errCodec = fmt.Errorf("bbolt: %w: a row does not decode", store.ErrDamaged)

// encodeRow returns the bytes of a row in a new slice, because bbolt keeps the
// slice itself until the commit.
func encodeRow(t *store.Table, row store.Row) []byte {
	n := row.Len()
	size := 1 + binary.MaxVarintLen32 + (n+7)/8
	for i := range n {
		size += 9 + len(row.At(i).Text())
	}
	b := make([]byte, 0, size)
	b = append(b, rowFormat)
	b = binary.AppendUvarint(b, uint64(n))
	nulls := len(b)
	b = append(b, make([]byte, (n+7)/8)...)
	for i, c := range t.Columns() {
		v := row.At(i)
		switch {
		case v.IsNull():
			b[nulls+i/8] |= 1 << (i % 8)
		case c.Kind == store.KindText || c.Kind == store.KindBytes:
			b = binary.AppendUvarint(b, uint64(len(v.Text())))
			b = append(b, v.Text()...)
		case c.Kind == store.KindBool:
			b = append(b, byte(v.Int()))
		default:
			b = binary.LittleEndian.AppendUint64(b, uint64(v.Int()))
		}
	}
	return b
}

// decodeRow returns the row in b. Its texts share one copy of b. Columns that
// were declared after the row was written are null, or zero where null is not
// allowed.
func decodeRow(t *store.Table, b []byte) (store.Row, error) {
	columns := t.Columns()
	if len(b) < 1 || b[0] != rowFormat {
		return store.Row{}, errCodec
	}
	at := 1
	n, at, ok := uvarint(b, at)
	if !ok || n > len(columns) || at+(n+7)/8 > len(b) {
		return store.Row{}, errCodec
	}
	nulls := b[at : at+(n+7)/8]
	at += len(nulls)
	text := string(b)
	values := make([]store.Value, len(columns))
	for i, c := range columns {
		switch {
		case i >= n:
			values[i] = missing(c)
		case nulls[i/8]&(1<<(i%8)) != 0:
			if !c.Nullable {
				return store.Row{}, errCodec
			}
		case c.Kind == store.KindText || c.Kind == store.KindBytes:
			var size int
			size, at, ok = uvarint(b, at)
			if !ok || size > len(b)-at {
				return store.Row{}, errCodec
			}
			if c.Kind == store.KindText {
				values[i] = store.Text(text[at : at+size])
			} else {
				values[i] = store.BytesOf(text[at : at+size])
			}
			at += size
		case c.Kind == store.KindBool:
			if at >= len(b) || b[at] > 1 {
				return store.Row{}, errCodec
			}
			values[i] = store.Bool(b[at] == 1)
			at++
		default:
			if len(b)-at < 8 {
				return store.Row{}, errCodec
			}
			number := int64(binary.LittleEndian.Uint64(b[at:]))
			if c.Kind == store.KindTime {
				values[i] = store.Micros(number)
			} else {
				values[i] = store.Int(number)
			}
			at += 8
		}
	}
	if at != len(b) {
		return store.Row{}, errCodec
	}
	return store.NewRow(values), nil
}

// uvarint reads a length at b[at:] and returns it with the position after it.
func uvarint(b []byte, at int) (n, next int, ok bool) {
	u, size := binary.Uvarint(b[at:])
	if size <= 0 || u > uint64(len(b)) {
		return 0, at, false
	}
	return int(u), at + size, true
}

func missing(c store.Column) store.Value {
	if c.Nullable {
		return store.Null
	}
	return store.Zero(c.Kind)
}
