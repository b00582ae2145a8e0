package memory_test

import (
	"testing"

	"example.com/latchkey/store"
	"example.com/latchkey/store/memory"
	"example.com/latchkey/store/storetest"
)

func place(_ testing.TB, schema *store.Schema) storetest.Place {
	return storetest.Place{Store: memory.OpenWith(memory.Options{Schema: schema})}
}

func TestContract(t *testing.T) { storetest.Run(t, place) }

func BenchmarkStore(b *testing.B) { storetest.Bench(b, place) }
