// Package kv keeps tables in ordered maps of bytes: keys that sort as their
// values do, index entries, uniqueness, references and queries. Memory and
// bbolt share it.
package kv

import (
	"encoding/binary"
	"strings"

	"example.com/latchkey/store"
)

// appendValue appends one component of a key. Each component marks its own end,
// so that no field can run into the next, and a key is a prefix of another only
// if its components are the first components of the other.
//
//	nullable column   0x00 for null, 0x01 before any other value
//	text, bytes       0x00 as 0x00 0xFF, then 0x00 0x00
//	integer, time     eight bytes, big-endian, sign bit flipped
//	bool              one byte
func appendValue(dst []byte, c store.Column, v store.Value) []byte {
	if c.Nullable {
		if v.IsNull() {
			return append(dst, 0)
		}
		dst = append(dst, 1)
	}
	switch c.Kind {
	case store.KindText, store.KindBytes:
		s := v.Text()
		for {
			zero := strings.IndexByte(s, 0)
			if zero < 0 {
				return append(append(dst, s...), 0, 0)
			}
			dst = append(append(dst, s[:zero+1]...), 0xFF)
			s = s[zero+1:]
		}
	case store.KindBool:
		return append(dst, byte(v.Int()))
	default:
		return binary.BigEndian.AppendUint64(dst, uint64(v.Int())^(1<<63))
	}
}

func appendValues(dst []byte, t *store.Table, columns []int, values []store.Value) []byte {
	for i, v := range values {
		dst = appendValue(dst, t.Columns()[columns[i]], v)
	}
	return dst
}

// AppendKey appends the key of the row that has the values of key in a unique
// index.
func AppendKey(dst []byte, ix *store.Index, key []store.Value) []byte {
	return appendValues(dst, ix.Table(), ix.Columns(), key)
}

// appendEntry appends the key of the entry at a position of an index: the
// indexed columns and then the primary key. The primary key is left out if the
// index is unique and no indexed column is null.
func appendEntry(dst []byte, ix *store.Index, position []store.Value) []byte {
	n := len(ix.Columns())
	alone := ix.Unique()
	for _, v := range position[:n] {
		alone = alone && !v.IsNull()
	}
	if !alone {
		n = len(position)
	}
	return appendValues(dst, ix.Table(), ix.Order(), position[:n])
}

func entryOf(ix *store.Index, row store.Row) []byte {
	return appendEntry(make([]byte, 0, 64), ix, ix.Position(row))
}

// past returns the first key after all keys that begin with prefix, or nil if
// there is no such key.
func past(prefix []byte) []byte {
	for i := len(prefix) - 1; i >= 0; i-- {
		if prefix[i] != 0xFF {
			end := append([]byte(nil), prefix[:i+1]...)
			end[i]++
			return end
		}
	}
	return nil
}

// span returns the range of keys that q selects: from is included, to is
// excluded and is nil for no bound.
func span(q store.Query) (from, to []byte) {
	t, columns := q.Index.Table(), q.Index.Columns()
	prefix := appendValues(make([]byte, 0, 64), t, columns, q.Equal)
	from, to = prefix, past(prefix)
	if q.From.Set || q.To.Set {
		c := t.Columns()[columns[len(q.Equal)]]
		at := func(v store.Value) []byte { return appendValue(append([]byte(nil), prefix...), c, v) }
		switch {
		case q.From.Set && q.From.Open:
			from = past(at(q.From.Value))
			if from == nil {
				return []byte{0}, []byte{0} // no key comes after the greatest value
			}
		case q.From.Set:
			from = at(q.From.Value)
		case c.Nullable:
			from = append(append([]byte(nil), prefix...), 1)
		}
		switch {
		case q.To.Set && q.To.Open:
			to = at(q.To.Value)
		case q.To.Set:
			to = past(at(q.To.Value))
		}
	}
	if q.After != nil {
		at := appendEntry(nil, q.Index, q.After)
		if q.Descending {
			if to == nil || string(at) < string(to) {
				to = at
			}
			return from, to
		}
		at = append(at, 0)
		if string(at) > string(from) {
			from = at
		}
	}
	return from, to
}
