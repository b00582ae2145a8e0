package record

import (
	"example.com/latchkey/store"
)

// Setting is a value of the whole store.
type Setting struct {
	Name  string
	Value []byte
}

func (s *Setting) bind(b *store.Binder) {
	b.Text("name", &s.Name)
	b.Bytes("value", &s.Value)
}

// Settings is keyed by name.
var Settings = store.Declare("settings", (*Setting).bind, store.Keys{Primary: []string{"name"}})

// Moved is the name of the setting by which package store/move says that the rows of a store
// have moved to another one. Its value is the time of the move in the form of RFC 3339.
const Moved = "moved"
