package latchkey_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"example.com/latchkey/internal/pgtest"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/store"
	"example.com/latchkey/store/postgres"
)

// namespaces are the PostgreSQL schemas of the tests: to empty one is faster
// than to make one.
var namespaces struct {
	sync.Mutex
	pool *pgxpool.Pool
	free []string
}

// openPostgres opens a store in a namespace of its own, which it notes down in
// dir, or the one that is noted there already.
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

// spied counts what goes to the server on a connection.
type spied struct {
	net.Conn
	trips, statements *atomic.Int64
}

// Write takes one round trip; each Execute or simple Query in it is a
// statement.
func (s spied) Write(b []byte) (int, error) {
	s.trips.Add(1)
	for rest := b; len(rest) >= 5; {
		if rest[0] == 'E' || rest[0] == 'Q' {
			s.statements.Add(1)
		}
		rest = rest[min(len(rest), 1+int(binary.BigEndian.Uint32(rest[1:]))):]
	}
	return s.Conn.Write(b)
}

func TestAuthenticateIsOneStatementAndOneRoundTripOnPostgreSQL(t *testing.T) {
	for _, pooler := range []bool{false, true} {
		config, err := pgxpool.ParseConfig(pgtest.Shared(t).Address())
		if err != nil {
			t.Fatal(err)
		}
		var trips, statements atomic.Int64
		config.MaxConns = 1
		config.ShouldPing = func(context.Context, pgxpool.ShouldPingParams) bool { return false }
		config.ConnConfig.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := new(net.Dialer).DialContext(ctx, network, address)
			return spied{conn, &trips, &statements}, err
		}
		pool, err := pgxpool.NewWithConfig(t.Context(), config)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(pool.Close)
		s, err := postgres.OpenPool(t.Context(), pool, postgres.Options{Namespace: pgtest.Namespace(), TransactionPooler: pooler})
		if err != nil {
			t.Fatal(err)
		}
		k := newKit(t, s, documented)
		k.signUp(ada)
		session, _ := k.signIn(ada)
		for range 3 {
			trips.Store(0)
			statements.Store(0)
			k.must(ignore(k.guest.Authenticate(k.ctx, session.Secret)))
			if trips.Load() != 1 || statements.Load() != 1 {
				t.Errorf("pooler %v: %d round trips, %d statements", pooler, trips.Load(), statements.Load())
			}
		}
	}
}
