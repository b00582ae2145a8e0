package postgres

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"example.com/latchkey/internal/pgtest"
	"example.com/latchkey/store"
	"example.com/latchkey/store/memory"
)

// A node refers to a place by its key, and to another one by its name. A leaf refers to a node, and a pet to an owner.
var (
	answerTables = func() []*store.Table {
		type row struct {
			id, one, two string
		}
		declare := func(name string, keys store.Keys) store.Typed[row] {
			return store.Declare(name, func(r *row, b *store.Binder) {
				b.Text("id", &r.id)
				b.NullText("one", &r.one)
				b.NullText("two", &r.two)
			}, keys)
		}
		id, one, two := []string{"id"}, []string{"one"}, []string{"two"}
		unique := store.IndexOn{Name: "two", Columns: two, Unique: true}
		places := declare("places", store.Keys{Primary: id, Indexes: []store.IndexOn{{Name: "one", Columns: one}, unique}})
		nodes := declare("nodes", store.Keys{Primary: id, Indexes: []store.IndexOn{{Name: "one", Columns: one}, {Name: "two", Columns: two}},
			References: []store.RefersTo{{Columns: one, Parent: places.Primary()}, {Columns: two, Parent: places.Index("two")}}})
		leaves := declare("leaves", store.Keys{Primary: id, Indexes: []store.IndexOn{{Name: "one", Columns: one}, unique},
			References: []store.RefersTo{{Columns: one, Parent: nodes.Primary()}}})
		owners := declare("owners", store.Keys{Primary: id, Indexes: []store.IndexOn{unique}})
		pets := declare("pets", store.Keys{Primary: id, Indexes: []store.IndexOn{{Name: "one", Columns: one}, unique},
			References: []store.RefersTo{{Columns: one, Parent: owners.Primary()}}})
		return []*store.Table{places.Table, nodes.Table, leaves.Table, owners.Table, pets.Table}
	}()
	answerSchema = store.NewSchema("answers", 1, answerTables...)
)

// told names an answer. A row may be refused for its key or for its parent.
func told(err error) string {
	switch {
	case err == nil:
		return "done"
	case errors.Is(err, store.ErrNotFound):
		return "none"
	case errors.Is(err, store.ErrExists), errors.Is(err, store.ErrReference):
		return "refused"
	}
	return err.Error()
}

// someCall returns a call at random, and what it is.
func someCall(r *rand.Rand) (string, func(ctx context.Context, tx store.Tx) string) {
	table := answerTables[r.IntN(len(answerTables))]
	letter := func(null int) store.Value {
		if n := r.IntN(4 + null); n < 4 {
			return store.Text(string(rune('a' + n)))
		}
		return store.Null
	}
	row := store.NewRow([]store.Value{letter(0), letter(1), letter(3)})
	id := table.Primary().Key(row)
	q := store.Query{Index: table.Indexes()[r.IntN(len(table.Indexes()))], Limit: 1 + r.IntN(3), Descending: r.IntN(2) == 0}
	what := fmt.Sprintf("%s %s %s %s", table.Name(), row.At(0).Text(), row.At(1).Text(), row.At(2).Text())
	switch r.IntN(10) {
	case 0, 1, 2:
		return "insert " + what, func(ctx context.Context, tx store.Tx) string { return told(tx.Insert(ctx, table, row)) }
	case 3:
		rows := []store.Row{row}
		for i := range []int{1, fewRows}[r.IntN(2)] {
			rows = append(rows, store.NewRow([]store.Value{store.Text(fmt.Sprint("more", i)), row.At(1), store.Null}))
		}
		return fmt.Sprint("insert all ", len(rows), what), func(ctx context.Context, tx store.Tx) string { return told(tx.InsertAll(ctx, table, rows)) }
	case 4, 5:
		return "replace " + what, func(ctx context.Context, tx store.Tx) string { return told(tx.Replace(ctx, table, row)) }
	case 6, 7:
		return "delete " + what, func(ctx context.Context, tx store.Tx) string { return told(tx.Delete(ctx, table, id...)) }
	case 8:
		return "delete range by " + table.Name() + "." + q.Index.Name(), func(ctx context.Context, tx store.Tx) string {
			n, err := tx.DeleteRange(ctx, q)
			if err != nil {
				n = 0
			}
			return fmt.Sprint(n, told(err))
		}
	}
	return "list by " + table.Name() + "." + q.Index.Name(), func(ctx context.Context, tx store.Tx) string {
		rows, err := tx.List(ctx, q)
		answer := told(err)
		for _, row := range rows {
			answer += fmt.Sprint(" ", row.At(0).Text(), row.At(1).Text(), row.At(2).Text())
		}
		return answer
	}
}

// Every call of the last run of a closure has the answer that it has in memory, where no write waits for another one.
func TestEveryCallIsAnsweredAsInMemory(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	stores := []store.Store{memory.OpenWith(memory.Options{Schema: answerSchema}), open(t, pgtest.Shared(t).Address(), Options{Schema: answerSchema, Namespace: pgtest.Namespace()})}
	defer stores[0].Close()
	for range 1000 {
		var names []string
		var calls []func(context.Context, store.Tx) string
		for range 1 + r.IntN(6) {
			name, call := someCall(r)
			names, calls = append(names, name), append(calls, call)
		}
		var end error
		if r.IntN(4) == 0 {
			end = errMine
		}
		var answers [2][]string
		for i, s := range stores {
			err := s.Update(limited(t), func(ctx context.Context, tx store.Tx) error {
				answers[i] = nil
				for _, call := range calls {
					answers[i] = append(answers[i], call(ctx, tx))
				}
				return end
			})
			answers[i] = append(answers[i], told(err))
		}
		if !slices.Equal(answers[0], answers[1]) {
			t.Fatalf("%q\nin memory %q\nhere      %q", names, answers[0], answers[1])
		}
	}
}
