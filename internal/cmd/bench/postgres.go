package main

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"example.com/latchkey/internal/pgtest"
	"example.com/latchkey/internal/rawstore"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/store"
	"example.com/latchkey/store/postgres"
)

// postgresCases starts its own server, which syncs its commits.
func postgresCases(string) (err error) {
	server, err := pgtest.Start()
	if err != nil {
		fmt.Println("PostgreSQL:", err)
		return nil
	}
	defer server.Stop()
	var retries atomic.Int64
	s, err := postgres.OpenWith(context.Background(), server.Address(), postgres.Options{OnRetry: func(string) { retries.Add(1) }})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	t, err := fill(s, *rows)
	if err != nil {
		return err
	}
	raw, err := rawstore.OpenPostgres(server.Address(), "latchkey", *rows, 16)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, raw.Close()) }()
	if err := server.Analyze(); err != nil {
		return err
	}
	err = t.checks("PostgreSQL", side{"pgx", func(n int) error {
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		for i := range n {
			if _, err := raw.Get(ctx, rawstore.Digest(t.secrets[scatter(i, *rows)])); err != nil {
				return err
			}
		}
		return nil
	}})
	if err != nil {
		return err
	}
	bare := func() error {
		n := t.next.Add(1)
		return t.Update(context.Background(), func(ctx context.Context, tx store.Tx) error {
			return write(ctx, tx, int(n), rawstore.Users(*rows), false)
		})
	}
	err = errors.Join(
		compare("1 writer of a session and its log row, PostgreSQL", side{"store", many(1, bare)}, side{"pgx", many(1, numbered(100*(*rows), raw.Write))}),
		compare("64 writers on 16 connections, PostgreSQL", side{"store", many(64, bare)}, side{"pgx", many(64, numbered(10_000*(*rows), raw.Write))}),
	)
	if err != nil {
		return err
	}
	return contended(s, &retries)
}

// contended lets 64 callers change one row at once, and counts the repeated runs.
func contended(s store.Store, retries *atomic.Int64) error {
	ctx := context.Background()
	id := rawstore.UserID(0)
	retries.Store(0)
	const each = 10
	err := many(64, func() error {
		return s.Update(ctx, func(ctx context.Context, tx store.Tx) error {
			user, err := record.Users.Get(ctx, tx, record.Users.Primary(), store.Text(id))
			if err != nil {
				return err
			}
			user.Epoch++
			return record.Users.Replace(ctx, tx, user)
		})
	})(64 * each)
	if err != nil {
		return err
	}
	user, err := record.Users.Get(ctx, s, record.Users.Primary(), store.Text(id))
	if err == nil && user.Epoch != 64*each {
		err = fmt.Errorf("%d of %d changes", user.Epoch, 64*each)
	}
	fmt.Printf("| %d changes of one user by 64 callers, PostgreSQL: none failed, %d runs were repeated | | | | |\n", 64*each, retries.Load())
	return err
}
