package sqlite

import (
	"testing"

	"example.com/latchkey/store"
	"example.com/latchkey/store/internal/committest"
)

func TestCommitsAreTold(t *testing.T) {
	committest.Run(t, func(path string, schema *store.Schema, onCommit committest.OnCommit) (store.Store, error) {
		return OpenWith(path, Options{Schema: schema, OnCommit: onCommit})
	})
}
