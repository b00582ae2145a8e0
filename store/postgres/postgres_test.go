package postgres

import (
	"context"
	"os"
	"strings"
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

// The scheme of an address may be in any case. The words of an address of keywords keep theirs.
func TestAddressesAreReadAsTheyAreWritten(t *testing.T) {
	for address, want := range map[string][3]string{
		"POSTGRESQL://Bob:Secret@127.0.0.1/App": {"Bob", "Secret", "App"}, "Postgres://Bob:Secret@127.0.0.1/App": {"Bob", "Secret", "App"},
		"host=127.0.0.1 user=Bob dbname=App password='Secret://X'": {"Bob", "Secret://X", "App"},
	} {
		p, err := newPool(t.Context(), address, Options{})
		if err != nil {
			t.Errorf("%s: %v", address, err)
			continue
		}
		c := p.Config().ConnConfig
		if c.User != want[0] || c.Password != want[1] || c.Database != want[2] {
			t.Errorf("%s: %q %q %q", address, c.User, c.Password, c.Database)
		}
		p.Close()
	}
	for _, address := range []string{"pg://Bob:Secret@127.0.0.1/App", "mysql://Bob:Secret@127.0.0.1/App"} {
		if _, err := newPool(t.Context(), address, Options{}); err == nil || strings.Contains(err.Error(), "Secret") {
			t.Errorf("%s: %v", address, err)
		}
	}
}
