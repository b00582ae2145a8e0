package main

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	goredis "github.com/redis/go-redis/v9"

	"example.com/latchkey/internal/pgtest"
	"example.com/latchkey/internal/redistest"
	"example.com/latchkey/ratelimit"
	"example.com/latchkey/ratelimit/redis"
	"example.com/latchkey/ratelimit/stored"
)

// sharedCases compares decisions of the limiters that several machines share.
func sharedCases(string) error {
	return errors.Join(storedCases(), redisCases())
}

// sharedKeys are the keys of these cases.
func sharedKeys() []ratelimit.Key {
	all := make([]ratelimit.Key, 10_000)
	for i := range all {
		sum := sha256.Sum256(binary.BigEndian.AppendUint64(nil, uint64(i)))
		all[i] = ratelimit.Key(sum[:])
	}
	return all
}

// takes returns a function that takes a call of one key after the other.
func takes(l ratelimit.Limiter, keys []ratelimit.Key) func() error {
	rule := ratelimit.Rule{Calls: ratelimit.MaxCalls, Window: time.Hour}
	var next atomic.Int64
	return func() error {
		r, err := l.Take(context.Background(), keys[scatter(int(next.Add(1)), len(keys))], rule, time.Now())
		if err == nil && !r.Allowed {
			err = errors.New("refused")
		}
		return err
	}
}

func storedCases() (err error) {
	server, err := pgtest.Start()
	if err != nil {
		fmt.Println("PostgreSQL:", err)
		return nil
	}
	defer server.Stop()
	ctx := context.Background()
	pool, err := pgxpool.New(ctx, server.Address()+"&pool_max_conns=16")
	if err != nil {
		return err
	}
	defer pool.Close()
	l, err := stored.New(ctx, pool, stored.Options{})
	if err != nil {
		return err
	}
	if _, err := pool.Exec(ctx, "CREATE UNLOGGED TABLE plain (key uuid PRIMARY KEY, calls integer NOT NULL) WITH (fillfactor = 70)"); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx) // as a call has
	defer cancel()
	keys := sharedKeys()
	var next atomic.Int64
	plain := func() error {
		var calls int
		return pool.QueryRow(ctx, "INSERT INTO plain VALUES ($1, 1) ON CONFLICT (key) DO UPDATE SET calls = plain.calls + 1 RETURNING calls",
			pgx.QueryExecModeCacheStatement, [16]byte(keys[scatter(int(next.Add(1)), len(keys))])).Scan(&calls)
	}
	take := takes(l, keys)
	for range keys { // so that every row is there
		if err := errors.Join(take(), plain()); err != nil {
			return err
		}
	}
	return errors.Join(
		compare("decision in PostgreSQL, 1 caller; an upsert by pgx", side{"limiter", many(1, take)}, side{"pgx", many(1, plain)}),
		compare("decision in PostgreSQL, 64 callers, 16 connections; the same", side{"limiter", many(64, take)}, side{"pgx", many(64, plain)}),
	)
}

func redisCases() error {
	server, err := redistest.Start()
	if err != nil {
		fmt.Println("Redis:", err)
		return nil
	}
	defer server.Stop()
	client := goredis.NewClient(&goredis.Options{Addr: server.Address(), PoolSize: 16, ContextTimeoutEnabled: true})
	defer client.Close()
	l, err := redis.New(client, redis.Options{})
	if err != nil {
		return err
	}
	ping := func() error { return client.Ping(context.Background()).Err() }
	script := goredis.NewScript("return 1")
	empty := func() error { return script.Run(context.Background(), client, []string{"empty"}).Err() }
	take := takes(l, sharedKeys())
	return errors.Join(
		compare("decision in Redis, 1 caller; a script that returns a number", side{"limiter", many(1, take)}, side{"script", many(1, empty)}),
		compare("decision in Redis, 1 caller; a PING by go-redis", side{"limiter", many(1, take)}, side{"PING", many(1, ping)}),
		compare("decision in Redis, 64 callers, 16 connections; the same", side{"limiter", many(64, take)}, side{"PING", many(64, ping)}),
	)
}
