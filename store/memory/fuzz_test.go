package memory_test

import (
	"context"
	"errors"
	"testing"

	"example.com/latchkey/internal/record"
	"example.com/latchkey/store"
	"example.com/latchkey/store/memory"
)

// value returns a value of any kind, made from two bytes and a text.
func value(kind byte, n byte, text string) store.Value {
	switch kind % 6 {
	case 0:
		return store.Null
	case 1:
		return store.Text(text)
	case 2:
		return store.Bytes([]byte(text))
	case 3:
		return store.Int(int64(n) - 128)
	case 4:
		return store.Bool(n%2 == 0)
	}
	return store.Micros(int64(n) << 40)
}

// Every query, with any cursor and filter, returns rows or ErrInvalid.
func FuzzQuery(f *testing.F) {
	s := memory.Open()
	ctx := context.Background()
	err := s.Update(ctx, func(ctx context.Context, tx store.Tx) error {
		for _, id := range []string{"a", "b", "c", "d"} {
			if err := record.Addresses.Insert(ctx, tx, &record.Address{Address: id + "@x.org", UserID: id}); err != nil {
				return err
			}
			if err := record.Users.Insert(ctx, tx, &record.User{ID: id, Email: id + "@x.org", Labels: `["vip"]`, Prefs: "{}", Targets: "[]"}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		f.Fatal(err)
	}
	indexes := []*store.Index{record.Users.Primary(), record.Users.Index("email"), record.Users.Index("created"), record.Words.Primary()}
	ops := []store.Op{
		store.OpEqual, store.OpNotEqual, store.OpLessThan, store.OpGreaterThanEqual, store.OpBetween, store.OpNotBetween, store.OpIsNull, store.OpStartsWith,
		store.OpNotEndsWith, store.OpContains, store.OpAnd, store.OpOr, "", "like",
	}
	f.Add(byte(0), []byte{1, 0, 1, 0, 1, 0}, "b", byte(0), "name", 10, 0)
	f.Add(byte(1), []byte{1, 0, 1, 0, 0, 0}, "a@x.org", byte(9), "labels", 1, 1)
	f.Add(byte(2), []byte{5, 9, 1, 0, 1, 1}, "\x00", byte(4), "created", 0, -1)
	f.Fuzz(func(t *testing.T, which byte, kinds []byte, text string, op byte, column string, limit, offset int) {
		at := func(i int) store.Value {
			if 2*i+1 >= len(kinds) {
				return store.Text(text)
			}
			return value(kinds[2*i], kinds[2*i+1], text)
		}
		q := store.Query{Index: indexes[int(which)%len(indexes)], Limit: limit, Offset: offset, Descending: which&16 != 0}
		if which&32 != 0 {
			q.After = []store.Value{at(0), at(1)}[:int(which)%3%2+1]
		}
		if which&64 != 0 {
			q.Before = []store.Value{at(1), at(0)}
		}
		if which&128 != 0 {
			q.From, q.To = store.Including(at(0)), store.Excluding(at(1))
		}
		filter := store.Where(column, ops[int(op)%len(ops)], at(0), at(1))
		q.Where = []store.Filter{filter}
		if op > 128 {
			q.Where = []store.Filter{store.Or(filter, store.And(filter))}
		}
		rows, err := s.List(ctx, q)
		if err != nil && !errors.Is(err, store.ErrInvalid) {
			t.Errorf("list: %v", err)
		}
		if len(rows) > max(limit, 0) {
			t.Errorf("%d rows of %d", len(rows), limit)
		}
		if _, err := s.Count(ctx, q); err != nil && !errors.Is(err, store.ErrInvalid) {
			t.Errorf("count: %v", err)
		}
		if _, err := s.Get(ctx, q.Index, at(0)); err != nil && !errors.Is(err, store.ErrInvalid) && !errors.Is(err, store.ErrNotFound) {
			t.Errorf("get: %v", err)
		}
	})
}
