package main

import "testing"

// The kind of a store is read in any case, as the scheme of an address is.
func TestTheKindOfAStoreIsReadInAnyCase(t *testing.T) {
	for text, want := range map[string]string{"SQLITE:x.db": "sqlite", "SQLite:x.db": "sqlite", "BBolt:x.db": "bbolt", "PostgreSQL://u@h/d": "postgres", "postgres://u@h/d": "postgres"} {
		if p, err := new(tool).placeOf(text); err != nil || p.kind != want {
			t.Errorf("%s: %+v, %v", text, p, err)
		}
	}
}
