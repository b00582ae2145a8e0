package move

import (
	"encoding/binary"
	"slices"

	"example.com/latchkey/store"
)

// encodeKey writes the values of a primary key, which are of the kinds of their
// columns, into one text.
func encodeKey(key []store.Value) string {
	var b []byte
	for _, v := range key {
		switch v.Kind() {
		case store.KindText, store.KindBytes:
			b = binary.AppendUvarint(b, uint64(len(v.Text())))
			b = append(b, v.Text()...)
		default:
			b = binary.BigEndian.AppendUint64(b, uint64(v.Int()))
		}
	}
	return string(b)
}

// decodeKey returns the values of a primary key.
func decodeKey(t *store.Table, text string) []store.Value {
	columns := t.Primary().Columns()
	key := make([]store.Value, len(columns))
	for i, c := range columns {
		switch kind := t.Columns()[c].Kind; kind {
		case store.KindText, store.KindBytes:
			size, n := binary.Uvarint([]byte(text[:min(len(text), binary.MaxVarintLen64)]))
			end := n + int(size)
			if kind == store.KindText {
				key[i] = store.Text(text[n:end])
			} else {
				key[i] = store.BytesOf(text[n:end])
			}
			text = text[end:]
		default:
			key[i] = number(kind, int64(binary.BigEndian.Uint64([]byte(text[:8]))))
			text = text[8:]
		}
	}
	return key
}

func number(kind store.Kind, n int64) store.Value {
	switch kind {
	case store.KindBool:
		return store.Bool(n != 0)
	case store.KindTime:
		return store.Micros(n)
	}
	return store.Int(n)
}

// lot is the greatest number of keys that a pass reads at a time.
const lot = 2000

// lots returns the keys of a table in their order, in slices of a few.
func (k keys) lots(t *store.Table) [][]string {
	all := make([]string, 0, len(k[t]))
	for key := range k[t] {
		all = append(all, key)
	}
	slices.Sort(all)
	return slices.Collect(slices.Chunk(all, lot))
}

// queries returns the queries that select the rows with some primary keys: one for the
// keys that differ in the last column alone.
func queries(t *store.Table, lot []string) (out []store.Query) {
	columns := t.Primary().Columns()
	last := len(columns) - 1
	name := t.Columns()[columns[last]].Name
	groups := make(map[string]int) // by the other columns
	for _, text := range lot {
		key := decodeKey(t, text)
		group := encodeKey(key[:last])
		at, there := groups[group]
		if !there || len(out[at].Where[0].Values) == store.MaxFilterValues {
			at = len(out)
			groups[group] = at
			out = append(out, store.Query{Index: t.Primary(), Equal: key[:last], Where: []store.Filter{store.Where(name, store.OpEqual)}})
		}
		q := &out[at]
		q.Where[0].Values = append(q.Where[0].Values, key[last])
		q.Limit++
	}
	return out
}

// lookup returns the rows with some primary keys, by key.
func lookup(r reading, t *store.Table, lot []string) (map[string]store.Row, error) {
	found := make(map[string]store.Row, len(lot))
	for _, q := range queries(t, lot) {
		rows, err := r.List(r.ctx, q)
		if err != nil {
			return nil, err
		}
		for _, row := range rows {
			found[encodeKey(t.Primary().Key(row))] = row
		}
	}
	return found, nil
}
