package storetest

import (
	"context"
	"runtime"
	"sync/atomic"
	"testing"

	"example.com/latchkey/store"
)

// Bench measures the operations of a backend that matter most to a host, on new
// places of a factory: reading a row by its key, reading a page of 25 rows, reading
// 10,000 rows in a View, a durable change by one writer and by 64 writers, and
// inserting 1,000 rows in one call.
//
//	func BenchmarkStore(b *testing.B) { storetest.Bench(b, factory) }
func Bench(b *testing.B, open Factory) {
	const rows = 10_000
	s := open(b, schema).Store
	defer func() {
		if err := s.Close(); err != nil {
			b.Error(err)
		}
	}()
	ctx := context.Background()
	var next atomic.Int64
	insert := func(n int) func(context.Context, store.Tx) error {
		first := next.Add(int64(n)) - int64(n)
		return func(ctx context.Context, tx store.Tx) error {
			people := make([]*parent, n)
			for i := range people {
				people[i] = person(int(first) + i)
			}
			return parents.InsertAll(ctx, tx, people)
		}
	}
	for range rows / 1000 {
		if err := s.Update(ctx, insert(1000)); err != nil {
			b.Fatal(err)
		}
	}
	b.Run("get", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			if _, err := parents.Get(ctx, s, byCode, store.Bytes(person(i%rows).Code)); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("page", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			after := byRank.Position(parents.Row(person(i % (rows / 2))))
			if page, err := s.List(ctx, store.Query{Index: byRank, After: after, Limit: 25}); err != nil || len(page) != 25 {
				b.Fatalf("%d rows, %v", len(page), err)
			}
		}
	})
	b.Run("view", func(b *testing.B) { // 10,000 rows, in pages of 1,000
		b.ReportAllocs()
		for b.Loop() {
			n := 0
			err := s.View(ctx, func(ctx context.Context, r store.Reader) error {
				for page, err := range parents.Pages(ctx, r, store.Query{Index: byID, Limit: 1000}) {
					if err != nil {
						return err
					}
					n += len(page)
				}
				return nil
			})
			if err != nil || n != rows {
				b.Fatalf("%d rows, %v", n, err)
			}
		}
	})
	b.Run("insert", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if err := s.Update(ctx, insert(1)); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("insert-64", func(b *testing.B) {
		b.ReportAllocs()
		b.SetParallelism(max(1, 64/runtime.GOMAXPROCS(0)))
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if err := s.Update(ctx, insert(1)); err != nil {
					b.Error(err)
					return
				}
			}
		})
	})
	b.Run("insert-all", func(b *testing.B) { // 1,000 rows in one call
		b.ReportAllocs()
		for b.Loop() {
			if err := s.Update(ctx, insert(1000)); err != nil {
				b.Fatal(err)
			}
		}
	})
}
