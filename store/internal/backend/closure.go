package backend

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"

	"example.com/latchkey/store"
)

// closure is the state of a running closure. It is the reader that a closure of
// View receives, and a part of the transaction that one of Update receives.
type closure[R store.Reader] struct {
	shell *Shell
	outer context.Context // of the caller

	mu     sync.Mutex // a goroutine that outlives the closure must not use the next closure's transaction
	raw    R
	over   bool
	failed error

	handle Handle      // of the host, or nil
	lent   atomic.Bool // a call of the handle runs, and holds mu
}

// inside runs fn under a marked context. Then it takes the transaction or the
// snapshot away from fn. It returns the error of fn, or else the error of a call
// that fn has hidden.
func inside[R store.Reader](c *closure[R], fn func(context.Context) error) error {
	ctx, m := marking(c.outer, c.shell)
	defer c.end()
	defer m.live.Store(false)
	if err := fn(ctx); err != nil {
		return err
	}
	m.live.Store(false)
	return c.end()
}

// end takes the transaction away from the closure, and the handle from the host. It returns
// the error with which the transaction had failed.
func (c *closure[R]) end() error {
	rest, err := c.takeAway()
	if rest != nil {
		rest()
	}
	return err
}

func (c *closure[R]) takeAway() (rest func(), err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var none R
	c.raw, c.over = none, true
	if h := c.handle; h != nil {
		c.handle = nil
		rest, err = h.End()
		if c.failed == nil {
			c.failed = err
		}
	}
	return rest, c.failed
}

// lock begins a call. A call that a call of the handle makes, as a callback does, would wait for
// itself. So a call is refused while one of the handle runs.
func (c *closure[R]) lock() error {
	if c.mu.TryLock() {
		return nil
	}
	if c.lent.Load() {
		return errInUse
	}
	c.mu.Lock()
	return nil
}

func (c *closure[R]) do(ctx context.Context, call func(R) error) error {
	if err := c.lock(); err != nil {
		return err
	}
	defer c.mu.Unlock()
	if c.over {
		return store.ErrDone
	}
	if c.failed != nil {
		return store.ErrAborted
	}
	c.failed = store.ErrAborted // stands if the call panics
	err := c.outer.Err()
	if err == nil {
		err = ctx.Err()
	}
	if err == nil && c.handle != nil {
		err = c.handle.Settle()
	}
	if err == nil {
		err = call(c.raw)
	}
	c.failed = nil
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		c.failed = err
	}
	return err
}

func (c *closure[R]) Get(ctx context.Context, ix *store.Index, key ...store.Value) (row store.Row, err error) {
	err = c.do(ctx, func(r R) error {
		row, err = c.shell.get(ctx, r, ix, key)
		return err
	})
	return row, err
}

func (c *closure[R]) GetBoth(ctx context.Context, p *store.Pair, key ...store.Value) (part, parent store.Row, err error) {
	err = c.do(ctx, func(r R) error {
		part, parent, err = c.shell.getBoth(ctx, r, p, key)
		return err
	})
	return part, parent, err
}

func (c *closure[R]) List(ctx context.Context, q store.Query) (rows []store.Row, err error) {
	err = c.do(ctx, func(r R) error {
		rows, err = c.shell.list(ctx, r, q)
		return err
	})
	return rows, err
}

func (c *closure[R]) Count(ctx context.Context, q store.Query) (n int, err error) {
	err = c.do(ctx, func(r R) error {
		n, err = c.shell.count(ctx, r, q)
		return err
	})
	return n, err
}

// closureTx is the transaction that a closure of Update receives.
type closureTx struct{ closure[store.Tx] }

func (c *closureTx) Insert(ctx context.Context, t *store.Table, row store.Row) error {
	return c.do(ctx, func(tx store.Tx) error {
		if err := c.shell.checkRow(t, row); err != nil {
			return err
		}
		row, err := numbered(ctx, tx, t, row)
		if err != nil {
			return err
		}
		return tx.Insert(ctx, t, row)
	})
}

// Numbers is a transaction whose backend numbers the rows of numbered indexes by itself.
type Numbers interface {
	NumbersRows()
}

// numbered returns a row with the next number in the numbered index of its table. The row stays
// as it is if it has a number, if the table has no such index, or if the backend numbers rows by
// itself.
func numbered(ctx context.Context, tx store.Tx, t *store.Table, row store.Row) (store.Row, error) {
	ix := t.Numbered()
	if ix == nil {
		return row, nil
	}
	if _, itself := tx.(Numbers); itself {
		return row, nil
	}
	key := ix.Key(row)
	last := len(key) - 1
	if key[last].Int() != 0 {
		return row, nil
	}
	greatest, err := tx.List(ctx, store.Query{Index: ix, Equal: key[:last], Descending: true, Limit: 1})
	if err != nil {
		return row, err
	}
	number := int64(1)
	if len(greatest) > 0 {
		number = max(number, ix.Key(greatest[0])[last].Int()+1)
	}
	values := row.Values()
	values[ix.Columns()[last]] = store.Int(number)
	return store.NewRow(values), nil
}

func (c *closureTx) InsertAll(ctx context.Context, t *store.Table, rows []store.Row) error {
	return c.do(ctx, func(tx store.Tx) error {
		if err := c.shell.checkTable(t); err != nil {
			return err
		}
		for _, row := range rows {
			if err := c.shell.checkRow(t, row); err != nil {
				return err
			}
		}
		switch {
		case len(rows) == 0:
			return nil
		case len(rows) == 1 || t.Numbered() != nil:
			for _, row := range rows {
				row, err := numbered(ctx, tx, t, row)
				if err != nil {
					return err
				}
				if err := tx.Insert(ctx, t, row); err != nil {
					return err
				}
			}
			return nil
		}
		return tx.InsertAll(ctx, t, rows)
	})
}

func (c *closureTx) Replace(ctx context.Context, t *store.Table, row store.Row) error {
	return c.do(ctx, func(tx store.Tx) error {
		if err := c.shell.checkRow(t, row); err != nil {
			return err
		}
		return tx.Replace(ctx, t, row)
	})
}

func (c *closureTx) Delete(ctx context.Context, t *store.Table, key ...store.Value) error {
	return c.do(ctx, func(tx store.Tx) error {
		if err := c.shell.checkTable(t); err != nil {
			return err
		}
		if err := c.shell.checkKey(t.Primary(), key); err != nil {
			return err
		}
		if hasNull(key) {
			return store.ErrNotFound
		}
		return tx.Delete(ctx, t, key...)
	})
}

func (c *closureTx) DeleteRange(ctx context.Context, q store.Query) (n int, err error) {
	err = c.do(ctx, func(tx store.Tx) error {
		possible, err := c.shell.checkQuery(q, false)
		if err == nil && q.Offset != 0 {
			err = invalid(q.Index.Table(), "offset %d", q.Offset)
		}
		if err != nil || !possible {
			return err
		}
		n, err = tx.DeleteRange(ctx, forwards(q))
		return err
	})
	return n, err
}
