package memory_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"example.com/latchkey/internal/record"
	"example.com/latchkey/store"
	"example.com/latchkey/store/memory"
	"example.com/latchkey/store/storetest"
)

func place(_ testing.TB, schema *store.Schema) storetest.Place {
	return storetest.Place{Store: memory.OpenWith(memory.Options{Schema: schema})}
}

func TestContract(t *testing.T) { storetest.Run(t, place) }

func BenchmarkStore(b *testing.B) { storetest.Bench(b, place) }

// slow makes the deletion of each row take a millisecond of the test's clock, and
// records how long each batch took.
type slow struct {
	store.Store
	took []time.Duration
}

func (s *slow) Update(ctx context.Context, fn func(context.Context, store.Tx) error) error {
	began := time.Now()
	defer func() { s.took = append(s.took, time.Since(began)) }()
	return s.Store.Update(ctx, func(ctx context.Context, tx store.Tx) error { return fn(ctx, slowTx{tx}) })
}

type slowTx struct{ store.Tx }

func (t slowTx) DeleteRange(ctx context.Context, q store.Query) (int, error) {
	n, err := t.Tx.DeleteRange(ctx, q)
	<-time.After(time.Duration(n) * time.Millisecond)
	return n, err
}

func TestSweepShortensBatchesThatTakeLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &slow{Store: memory.Open()}
		ctx := context.Background()
		err := s.Store.Update(ctx, func(ctx context.Context, tx store.Tx) error {
			for n := range 600 {
				f := &record.Failure{Purpose: "p", Subject: []byte{byte(n >> 8), byte(n)}, Expire: time.UnixMicro(int64(n))}
				if err := record.Failures.Insert(ctx, tx, f); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		n, err := store.Sweep(ctx, s, record.Failures.Index("expire"), time.UnixMicro(1<<40))
		if n != 600 || err != nil {
			t.Fatalf("swept %d, %v", n, err)
		}
		for i, took := range s.took[3:] { // the first batches measure the cost of a row
			if took > 20*time.Millisecond {
				t.Errorf("batch %d took %v", i+3, took)
			}
		}
		if len(s.took) > 70 {
			t.Errorf("%d batches for 600 rows of a millisecond: shorter than they need be", len(s.took))
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

// ending is a context that ends while it is looked at.
type ending struct {
	context.Context
	looks int
}

func (e *ending) Err() error {
	if e.looks--; e.looks < 0 {
		return context.Canceled
	}
	return nil
}

// A long scan ends with its context.
func TestAScanEndsWithItsContext(t *testing.T) {
	s := memory.Open()
	defer s.Close()
	if err := s.Update(t.Context(), func(ctx context.Context, tx store.Tx) error {
		for n := range 10_000 {
			if err := record.Words.Insert(ctx, tx, &record.Word{Scope: "a", Word: fmt.Sprintf("w%05d", n), RowID: "r"}); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	q := store.Query{Index: record.Words.Primary(), Where: []store.Filter{store.Where("scope", store.OpEqual, store.Text("b"))}, Limit: 1}
	if _, err := s.List(&ending{t.Context(), 1_000}, q); err != nil {
		t.Fatal(err)
	}
	if _, err := s.List(&ending{t.Context(), 4}, q); !errors.Is(err, context.Canceled) {
		t.Errorf("a scan of 10,000 rows: %v", err)
	}
}
