package stored_test

import (
	"context"
	"log"

	"github.com/jackc/pgx/v5/pgxpool"

	"example.com/latchkey"
	"example.com/latchkey/ratelimit/stored"
	"example.com/latchkey/store/postgres"
)

// The store and the limiter use one pool.
func Example() {
	ctx := context.Background()
	pool, err := pgxpool.New(ctx, "postgres://app@db/app")
	if err != nil {
		log.Fatal(err)
	}
	defer pool.Close()
	store, err := postgres.OpenPool(ctx, pool, postgres.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()
	limiter, err := stored.New(ctx, pool, stored.Options{})
	if err != nil {
		log.Fatal(err)
	}
	engine, err := latchkey.New(store, latchkey.Config{Keys: latchkey.Keys{Active: latchkey.GenerateKey()}, Limiter: limiter})
	if err != nil {
		log.Fatal(err)
	}
	defer engine.Close()
}
