package postgres

import (
	"context"
	"os"
	"testing"

	"example.com/latchkey/internal/pgtest"
	"example.com/latchkey/store"
	"example.com/latchkey/store/storetest"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

// placeAt makes places in namespaces of their own at an address.
func placeAt(address string, o Options) storetest.Factory {
	return func(t testing.TB, schema *store.Schema) storetest.Place {
		o := o
		o.Schema, o.Namespace = schema, pgtest.Namespace()
		open := func() (store.Store, error) { return OpenWith(context.Background(), address, o) }
		s, err := open()
		if err != nil {
			t.Fatal(err)
		}
		return storetest.Place{Store: s, Reopen: open}
	}
}

func place(t testing.TB, schema *store.Schema) storetest.Place {
	return placeAt(pgtest.Shared(t).Address(), Options{})(t, schema)
}

func TestContract(t *testing.T) { storetest.Run(t, place) }

func BenchmarkStore(b *testing.B) { storetest.Bench(b, place) }
