package kv

import (
	"bytes"
	"testing"

	"example.com/latchkey/store"
)

type pair struct {
	name  string
	data  []byte
	count int64
	note  string
}

func (p *pair) bind(b *store.Binder) {
	b.Text("name", &p.name)
	b.Bytes("data", &p.data)
	b.Int("count", &p.count)
	b.NullText("note", &p.note)
}

var pairs = store.Declare("pairs", (*pair).bind, store.Keys{Primary: []string{"name", "data", "count"}, Indexes: []store.IndexOn{
	{Name: "note", Columns: []string{"note", "count"}},
}})

var _ = store.NewSchema("test", 1, pairs.Table)

// Keys sort as their values do, different values have different keys, and no
// key is a prefix of another.
func FuzzKeys(f *testing.F) {
	f.Add("a", []byte("b"), int64(1), "", "a", []byte("b\x00"), int64(-1), "n")
	f.Add("a\x00", []byte{}, int64(0), "\x00", "a", []byte{0, 0xFF}, int64(0), "")
	f.Add("", []byte{0}, int64(-1<<63), "\xff", "", []byte{0, 0}, int64(1<<63-1), "\xff\xff")
	f.Fuzz(func(t *testing.T, n1 string, d1 []byte, c1 int64, o1, n2 string, d2 []byte, c2 int64, o2 string) {
		one, two := pairs.Row(&pair{n1, d1, c1, o1}), pairs.Row(&pair{n2, d2, c2, o2})
		for _, ix := range pairs.Indexes() {
			a, b := ix.Position(one), ix.Position(two)
			want := 0
			for i := range a {
				if want = store.Compare(a[i], b[i]); want != 0 {
					break
				}
			}
			x, y := entryOf(ix, one), entryOf(ix, two)
			if got := bytes.Compare(x, y); got != want {
				t.Errorf("%s: keys compare as %d, values as %d", ix.Name(), got, want)
			}
			if want != 0 && (bytes.HasPrefix(x, y) || bytes.HasPrefix(y, x)) {
				t.Errorf("%s: %x and %x: one begins with the other", ix.Name(), x, y)
			}
		}
	})
}
