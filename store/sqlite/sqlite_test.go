package sqlite_test

import (
	"path/filepath"
	"testing"

	"example.com/latchkey/store"
	"example.com/latchkey/store/sqlite"
	"example.com/latchkey/store/storetest"
)

func TestContract(t *testing.T) {
	storetest.Run(t, func(t testing.TB, schema *store.Schema) storetest.Place {
		path := filepath.Join(t.TempDir(), "test.db")
		open := func() (store.Store, error) {
			return sqlite.OpenWith(path, sqlite.Options{Schema: schema})
		}
		s, err := open()
		if err != nil {
			t.Fatal(err)
		}
		return storetest.Place{Store: s, Reopen: open}
	})
}
