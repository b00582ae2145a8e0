package sqlite

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"example.com/latchkey/store"
	"example.com/latchkey/store/internal/backend"
	"example.com/latchkey/store/internal/sqltext"
)

// background is the context of every statement of the writer. A cancelled
// statement would end the whole transaction, and with it the work of other
// callers. The caller's own context is checked between the calls.
var background = context.Background()

// begin begins a transaction, and refuses it if a newer version of this program has
// changed the tables meanwhile.
func (f *file) begin(alone bool) (backend.Batch, error) {
	b := &batch{file: f, alone: alone}
	if err := b.exec("BEGIN IMMEDIATE"); err != nil {
		return b, err
	}
	version, err := f.conn.number(background, f.version, nil)
	if err == nil {
		err = newer(version, f.schema)
	}
	if err != nil {
		b.Rollback()
	}
	return b, err
}

// batch is one transaction on the writing connection. Each part is a savepoint,
// except in a batch of one closure, which needs no savepoint.
type batch struct {
	*file
	alone bool
}

func (b *batch) exec(text string) error {
	_, err := b.change(text, nil)
	return err
}

// change runs a statement and returns the number of changed rows.
func (b *batch) change(text string, args []store.Value) (int, error) {
	n, err := b.conn.exec(background, text, args...)
	if err != nil {
		return 0, b.wrapWrite(err)
	}
	return n, nil
}

// one runs a statement that must change one row.
func (b *batch) one(text string, args []store.Value) error {
	n, err := b.change(text, args)
	if err == nil && n == 0 {
		err = store.ErrNotFound
	}
	return err
}

func (b *batch) part(text string) error {
	if b.alone {
		return nil
	}
	return b.exec(text)
}

func (b *batch) Begin() error { return b.part("SAVEPOINT part") }

func (b *batch) Keep() error { return b.part("RELEASE part") }

func (b *batch) Undo() error {
	if err := b.part("ROLLBACK TO part"); err != nil {
		return err
	}
	return b.part("RELEASE part")
}

func (b *batch) Commit() error {
	err := b.exec("COMMIT")
	if err == nil {
		return nil
	}
	b.Rollback() // a failed COMMIT may leave the transaction open
	if errors.Is(err, store.ErrReference) || errors.Is(err, backend.ErrBusy) {
		return err
	}
	switch code(err) & 0xFF {
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_FULL, sqlite3.SQLITE_CONSTRAINT:
		return err
	}
	return fmt.Errorf("%w: %w", store.ErrUnknownOutcome, err)
}

func (b *batch) Rollback() {
	_ = b.exec("ROLLBACK") // fails when the database has rolled back by itself
}

func (b *batch) Get(_ context.Context, ix *store.Index, key ...store.Value) (store.Row, error) {
	return b.conn.get(background, b.texts.Get(ix), ix.Table(), key)
}

func (b *batch) GetBoth(_ context.Context, p *store.Pair, key ...store.Value) (part, parent store.Row, err error) {
	return b.conn.getBoth(background, b.texts.GetBoth(p), p, key)
}

func (b *batch) List(_ context.Context, q store.Query) ([]store.Row, error) {
	text, args := b.texts.List(q)
	return b.conn.list(background, text, q.Index.Table(), args)
}

func (b *batch) Count(_ context.Context, q store.Query) (int, error) {
	text, args := b.texts.Count(q)
	return b.conn.number(background, text, args)
}

func (b *batch) Insert(_ context.Context, t *store.Table, row store.Row) error {
	_, err := b.change(b.texts.Insert(t), row.Values())
	return err
}

// rowsAtOnce is the number of rows of a statement of InsertAll. With 16, 1,000 rows
// took two thirds of the time of single statements. With 64 they took longer than
// with 16.
const rowsAtOnce = 16

// insertTexts returns the statements that insert rowsAtOnce rows.
func (n naming) insertTexts() map[*store.Table]string {
	texts := make(map[*store.Table]string)
	for _, t := range n.schema.Tables() {
		texts[t] = n.dialect().Insert(t, rowsAtOnce)
	}
	return texts
}

func (b *batch) InsertAll(ctx context.Context, t *store.Table, rows []store.Row) error {
	args := make([]store.Value, 0, rowsAtOnce*len(t.Columns()))
	for ; len(rows) >= rowsAtOnce; rows = rows[rowsAtOnce:] {
		args = args[:0]
		for _, row := range rows[:rowsAtOnce] {
			args = append(args, row.Values()...)
		}
		if _, err := b.change(b.inserts[t], args); err != nil {
			return err
		}
	}
	for _, row := range rows {
		if err := b.Insert(ctx, t, row); err != nil {
			return err
		}
	}
	return nil
}

func (b *batch) Replace(_ context.Context, t *store.Table, row store.Row) error {
	text, args := b.texts.Replace(t, row)
	return b.one(text, args)
}

func (b *batch) Delete(_ context.Context, t *store.Table, key ...store.Value) error {
	return b.one(b.texts.Delete(t), key)
}

func (b *batch) DeleteRange(_ context.Context, q store.Query) (int, error) {
	return b.change(b.texts.DeleteRange(q))
}

// indexNames returns the unique indexes by the columns that the database names
// in the error for a taken key.
func (n naming) indexNames() map[string]*store.Index {
	indexes := make(map[string]*store.Index)
	for _, t := range n.schema.Tables() {
		for _, ix := range t.Indexes() {
			if ix.Unique() {
				indexes[sqltext.Columns(ix, n.prefix)] = ix
			}
		}
	}
	return indexes
}

func code(err error) int {
	var e *sqlite.Error
	if errors.As(err, &e) {
		return e.Code()
	}
	return 0
}

// wrapWrite turns an error of a change into an error of the contract.
func (b *batch) wrapWrite(err error) error {
	switch code(err) {
	case sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY:
		// constraint failed: UNIQUE constraint failed: users.email (2067)
		_, columns, _ := strings.Cut(err.Error(), "UNIQUE constraint failed: ")
		columns, _, _ = strings.Cut(columns, " (")
		if ix := b.indexes[columns]; ix != nil {
			return store.Taken(ix)
		}
		return store.ErrExists
	case sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY:
		return store.ErrReference
	case sqlite3.SQLITE_CONSTRAINT_TRIGGER: // ON DELETE RESTRICT is a trigger inside
		if strings.Contains(err.Error(), "FOREIGN KEY constraint failed") {
			return store.ErrReference
		}
	}
	if code(err)&0xFF == sqlite3.SQLITE_BUSY {
		return fmt.Errorf("sqlite: %w: %w", backend.ErrBusy, err)
	}
	return wrap("write", err)
}

func wrap(what string, err error) error { return fmt.Errorf("sqlite: %s: %w", what, err) }
