package record

import (
	"example.com/latchkey/store"
)

// Word records that a word is in the search text of a row. The words with a common
// beginning are one range of the primary key.
type Word struct {
	Scope string // the table of the row
	Word  string // in lower case
	RowID string
}

func (w *Word) bind(b *store.Binder) {
	b.Text("scope", &w.Scope)
	b.Text("word", &w.Word)
	b.Text("row_id", &w.RowID)
}

// Words is keyed by scope, word and row.
var Words = store.Declare("words", (*Word).bind, store.Keys{
	Primary: []string{"scope", "word", "row_id"},
	Indexes: []store.IndexOn{
		{Name: "row", Columns: []string{"scope", "row_id"}},
	},
})
