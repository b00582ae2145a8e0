package memory_test

import (
	"testing"

	"example.com/latchkey/store"
	"example.com/latchkey/store/memory"
	"example.com/latchkey/store/storetest"
)

func TestContract(t *testing.T) {
	storetest.Run(t, func(_ testing.TB, schema *store.Schema) storetest.Place {
		return storetest.Place{Store: memory.OpenWith(memory.Options{Schema: schema})}
	})
}
