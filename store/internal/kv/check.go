package kv

import (
	"context"
	"fmt"

	"example.com/latchkey/store"
)

func damaged(ix *store.Index, what string) error {
	return fmt.Errorf("%w: %s.%s: %s", store.ErrDamaged, ix.Table().Name(), ix.Name(), what)
}

// Check reads every row of a schema. It looks for the row's entry in every index
// and for the rows that it refers to. It also checks that each index has as many
// entries as its table has rows.
func Check(ctx context.Context, s Source, schema *store.Schema) error {
	for _, t := range schema.Tables() {
		rows, err := checkRows(ctx, s, t)
		if err != nil {
			return err
		}
		for _, ix := range t.Indexes() {
			entries := 0
			s.Scan(ix, nil, nil, false, func(_, _ []byte) bool {
				entries++
				return entries <= rows
			})
			if entries != rows {
				return damaged(ix, "more or fewer entries than rows")
			}
		}
	}
	return nil
}

func checkRows(ctx context.Context, s Source, t *store.Table) (rows int, err error) {
	r := Reader{s}
	s.Scan(t.Cluster(), nil, nil, false, func(key, _ []byte) bool {
		rows++
		if err = ctx.Err(); err != nil {
			return false
		}
		var row store.Row
		if row, _, err = s.Row(t, key); err != nil {
			return false
		}
		err = checkRow(r, t, key, row)
		return err == nil
	})
	return rows, err
}

func checkRow(r Reader, t *store.Table, key []byte, row store.Row) error {
	for _, ix := range t.Indexes() {
		entry := entryOf(ix, row)
		if ix == t.Cluster() {
			if string(entry) != string(key) {
				return damaged(ix, "a row under another's key")
			}
			continue
		}
		if cluster, found := r.Source.Entry(ix, entry); !found || string(cluster) != string(key) {
			return damaged(ix, "a row without its entry")
		}
	}
	for _, ref := range t.References() {
		if err := r.parentStands(ref, row); err != nil {
			return damaged(ref.Child, "a row that refers to nothing")
		}
	}
	return nil
}
