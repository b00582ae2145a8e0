package main

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/internal/rawstore"
	"example.com/latchkey/store"
	"example.com/latchkey/store/bbolt"
	"example.com/latchkey/store/sqlite"
)

// tokenCases compares claiming a token and creating its session with the raw insert of
// a session and its log row. Both are durable.
func tokenCases(dir string) error {
	bolt, err := bbolt.Open(filepath.Join(dir, "tokens.bolt"))
	if err != nil {
		return err
	}
	defer bolt.Close()
	rawBolt, err := rawstore.OpenBolt(filepath.Join(dir, "tokens-raw.bolt"), *rows)
	if err != nil {
		return err
	}
	defer rawBolt.Close()
	lite, err := sqlite.Open(filepath.Join(dir, "tokens.db"))
	if err != nil {
		return err
	}
	defer lite.Close()
	rawLite, err := rawstore.OpenSQLite(filepath.Join(dir, "tokens-raw.db"), *rows)
	if err != nil {
		return err
	}
	defer rawLite.Close()
	for _, c := range []struct {
		name           string
		store          store.Store
		alone, grouped func(int) error
	}{{"bbolt", bolt, rawBolt.Write, rawBolt.GroupWrite}, {"SQLite", lite, rawLite.Write, rawLite.GroupWrite}} {
		if err := redemptions(c.name, c.store, 1, numbered(*rows, c.alone)); err != nil {
			return err
		}
		if err := redemptions(c.name, c.store, 64, numbered(100*(*rows), c.grouped)); err != nil {
			return err
		}
	}
	return nil
}

// redemptions prints one row. The tokens are made between the turns.
func redemptions(name string, s store.Store, workers int, raw func() error) error {
	const turn = 256
	engine, err := latchkey.New(s, latchkey.Config{Keys: latchkey.Keys{Active: key}, LimiterPerProcess: true})
	if err != nil {
		return err
	}
	defer engine.Close()
	ctx := context.Background()
	users, guest := engine.Users(), engine.Guest(latchkey.Client{})
	var per [2][]float64
	var ratios []float64
	for range *rounds {
		tokens := make(chan *latchkey.Token, turn)
		err := many(64, func() error {
			user, err := users.Create(ctx, latchkey.NewUser{})
			if err != nil {
				return err
			}
			token, err := users.CreateToken(ctx, user.ID, 64, 0)
			tokens <- token
			return err
		})(turn)
		if err != nil {
			return err
		}
		for i, op := range []func() error{func() error {
			token := <-tokens
			_, err := guest.CreateSession(ctx, token.UserID, token.Secret.Reveal())
			return err
		}, raw} {
			took, err := timed(side{"", many(workers, op)}, turn)
			if err != nil {
				return err
			}
			per[i] = append(per[i], float64(took)/turn)
		}
		ratios = append(ratios, per[0][len(per[0])-1]/per[1][len(per[1])-1])
	}
	fmt.Printf("| claim a token and create the session, %d at once, %s | %v | %v | %.2f | |\n", workers, name,
		time.Duration(median(per[0])).Round(time.Microsecond), time.Duration(median(per[1])).Round(time.Microsecond), median(ratios))
	return nil
}
