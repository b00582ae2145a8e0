package kit

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"example.com/latchkey/internal/pgtest"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/store"
	"example.com/latchkey/store/postgres"
)

// namespaces are the PostgreSQL schemas of the tests. To empty a schema is faster
// than to make a new one.
var namespaces struct {
	sync.Mutex
	pool *pgxpool.Pool
	free []string
}

// openPostgres opens a store in its own namespace and notes the namespace in dir. If
// dir already names a namespace, openPostgres uses that one.
func openPostgres(t testing.TB, dir string) (store.Store, error) {
	ctx := context.Background()
	note := filepath.Join(dir, "postgres")
	if text, err := os.ReadFile(note); err == nil {
		address, namespace, _ := strings.Cut(string(text), "\n")
		return postgres.OpenWith(ctx, address, postgres.Options{Namespace: namespace, MaxConns: 4})
	}
	server := pgtest.Shared(t)
	n := &namespaces
	n.Lock()
	defer n.Unlock()
	if n.pool == nil {
		var err error
		if n.pool, err = pgxpool.New(ctx, server.Address()+"&pool_max_conns=48"); err != nil {
			return nil, err
		}
	}
	var namespace string
	if last := len(n.free) - 1; last >= 0 {
		namespace, n.free = n.free[last], n.free[:last]
	} else {
		namespace = pgtest.Namespace()
	}
	t.Cleanup(func() {
		if err := empty(ctx, namespace); err != nil {
			t.Errorf("emptying a namespace: %v", err)
			return
		}
		n.Lock()
		defer n.Unlock()
		n.free = append(n.free, namespace)
	})
	if err := os.WriteFile(note, []byte(server.Address()+"\n"+namespace), 0o600); err != nil {
		return nil, err
	}
	return postgres.OpenPool(ctx, n.pool, postgres.Options{Namespace: namespace})
}

func empty(ctx context.Context, namespace string) error {
	var text strings.Builder
	tables := record.Schema.Tables()
	for i := range tables {
		fmt.Fprintf(&text, "DELETE FROM %s.%s;", namespace, tables[len(tables)-1-i].Name())
	}
	_, err := namespaces.pool.Exec(ctx, text.String())
	return errors.Join(err, ctx.Err())
}
