package storetest

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"

	"example.com/latchkey/store"
)

// Call is one call of a store, as a [Hooked] store reports it.
type Call struct {
	// Name is Get, GetBoth, List, Count, Insert, InsertAll, Replace, Delete,
	// DeleteRange, View, or Commit for the end of an Update.
	Name string
	// Inside says that the call belongs to a transaction or to a View.
	Inside bool
	// Done says that the call has had its effect.
	Done bool
}

// Hooked is a store that calls Hook before and after every call, and fails the
// call with the error of Hook. A failure after the call does not undo its effect. The
// calls before and after a View are before its snapshot and after its closure.
// In a transaction, the effect is rolled back with all others. After a failure
// after Commit, the transaction is committed.
type Hooked struct {
	store.Store
	Hook func(Call) error
}

// FailNth fails the n-th call, counted from 1, before or after its effect.
func FailNth(s store.Store, n int, after bool, err error) *Hooked {
	var calls atomic.Int64
	return &Hooked{s, func(c Call) error {
		if c.Done == after && calls.Add(1) == int64(n) {
			return err
		}
		return nil
	}}
}

// UnknownOutcome reports [store.ErrUnknownOutcome] after every commit.
func UnknownOutcome(s store.Store) *Hooked {
	return &Hooked{s, func(c Call) error {
		if c.Name == "Commit" && c.Done {
			return store.ErrUnknownOutcome
		}
		return nil
	}}
}

// ReadOnly fails every change with err.
func ReadOnly(s store.Store, err error) *Hooked { return OutOfSpace(s, 0, err) }

// OutOfSpace lets n changes pass and fails all later ones with err. Deletions
// still succeed, unless n is 0.
func OutOfSpace(s store.Store, n int, err error) *Hooked {
	var changes atomic.Int64
	return &Hooked{s, func(c Call) error {
		grows := c.Name == "Insert" || c.Name == "InsertAll" || c.Name == "Replace" || n == 0 && strings.HasPrefix(c.Name, "Delete")
		if !c.Done && grows && changes.Add(1) > int64(n) {
			return err
		}
		return nil
	}}
}

// Delayed returns a store that calls wait before every call.
func Delayed(s store.Store, wait func()) *Hooked {
	return &Hooked{s, func(c Call) error {
		if !c.Done {
			wait()
		}
		return nil
	}}
}

func (h *Hooked) around(c Call, call func() error) error {
	if err := h.Hook(c); err != nil {
		return err
	}
	if err := call(); err != nil {
		return err
	}
	c.Done = true
	return h.Hook(c)
}

// Get implements [store.Reader].
func (h *Hooked) Get(ctx context.Context, ix *store.Index, key ...store.Value) (store.Row, error) {
	return hookedTx{hook: h, Reader: h.Store}.Get(ctx, ix, key...)
}

// GetBoth implements [store.Reader].
func (h *Hooked) GetBoth(ctx context.Context, p *store.Pair, key ...store.Value) (part, parent store.Row, err error) {
	return hookedTx{hook: h, Reader: h.Store}.GetBoth(ctx, p, key...)
}

// List implements [store.Reader].
func (h *Hooked) List(ctx context.Context, q store.Query) ([]store.Row, error) {
	return hookedTx{hook: h, Reader: h.Store}.List(ctx, q)
}

// Count implements [store.Reader].
func (h *Hooked) Count(ctx context.Context, q store.Query) (int, error) {
	return hookedTx{hook: h, Reader: h.Store}.Count(ctx, q)
}

// Shared implements [store.Shared].
func (h *Hooked) Shared() bool { return store.IsShared(h.Store) }

// HostTransactions implements [store.Hosting]. Statements of the host are not reported.
func (h *Hooked) HostTransactions() bool { return store.HasHostTransactions(h.Store) }

// Update implements [store.Store].
func (h *Hooked) Update(ctx context.Context, fn func(context.Context, store.Tx) error) error {
	return h.around(Call{Name: "Commit"}, func() error {
		return h.Store.Update(ctx, func(ctx context.Context, tx store.Tx) error {
			var failed error
			if err := fn(ctx, hookedTx{hook: h, Reader: tx, tx: tx, failed: &failed}); err != nil {
				return err
			}
			return failed // a failed call fails the transaction, even if hidden
		})
	})
}

// View implements [store.Store].
func (h *Hooked) View(ctx context.Context, fn func(context.Context, store.Reader) error) error {
	return h.around(Call{Name: "View"}, func() error {
		return h.Store.View(ctx, func(ctx context.Context, r store.Reader) error {
			var failed error
			if err := fn(ctx, hookedTx{hook: h, Reader: r, failed: &failed}); err != nil {
				return err
			}
			return failed
		})
	})
}

// hookedTx is a transaction or a snapshot of a hooked store, or the reads of the
// store itself.
type hookedTx struct {
	store.Reader
	hook   *Hooked
	tx     store.Tx // nil outside a transaction
	failed *error   // nil outside a closure
}

// Unwrap implements [store.WrappedTx].
func (t hookedTx) Unwrap() store.Tx { return t.tx }

func (t hookedTx) call(name string, call func() error) error {
	if t.failed == nil {
		return t.hook.around(Call{Name: name}, call)
	}
	if *t.failed != nil {
		return store.ErrAborted
	}
	err := t.hook.around(Call{Name: name, Inside: true}, call)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		*t.failed = err
	}
	return err
}

func (t hookedTx) Get(ctx context.Context, ix *store.Index, key ...store.Value) (row store.Row, err error) {
	err = t.call("Get", func() (err error) { row, err = t.Reader.Get(ctx, ix, key...); return err })
	return row, err
}

func (t hookedTx) GetBoth(ctx context.Context, p *store.Pair, key ...store.Value) (part, parent store.Row, err error) {
	err = t.call("GetBoth", func() (err error) { part, parent, err = t.Reader.GetBoth(ctx, p, key...); return err })
	return part, parent, err
}

func (t hookedTx) List(ctx context.Context, q store.Query) (rows []store.Row, err error) {
	err = t.call("List", func() (err error) { rows, err = t.Reader.List(ctx, q); return err })
	return rows, err
}

func (t hookedTx) Count(ctx context.Context, q store.Query) (n int, err error) {
	err = t.call("Count", func() (err error) { n, err = t.Reader.Count(ctx, q); return err })
	return n, err
}

func (t hookedTx) Insert(ctx context.Context, table *store.Table, row store.Row) error {
	return t.call("Insert", func() error { return t.tx.Insert(ctx, table, row) })
}

func (t hookedTx) InsertAll(ctx context.Context, table *store.Table, rows []store.Row) error {
	return t.call("InsertAll", func() error { return t.tx.InsertAll(ctx, table, rows) })
}

func (t hookedTx) Replace(ctx context.Context, table *store.Table, row store.Row) error {
	return t.call("Replace", func() error { return t.tx.Replace(ctx, table, row) })
}

func (t hookedTx) Delete(ctx context.Context, table *store.Table, key ...store.Value) error {
	return t.call("Delete", func() error { return t.tx.Delete(ctx, table, key...) })
}

func (t hookedTx) DeleteRange(ctx context.Context, q store.Query) (n int, err error) {
	err = t.call("DeleteRange", func() (err error) { n, err = t.tx.DeleteRange(ctx, q); return err })
	return n, err
}

// Counted is a store that counts its calls.
type Counted struct {
	*Hooked
	Reads   atomic.Int64 // Get, GetBoth, List, Count and View outside closures
	Updates atomic.Int64
	Calls   atomic.Int64 // inside closures
}

// Count returns a store that counts the calls of s.
func Count(s store.Store) *Counted {
	c := new(Counted)
	c.Hooked = &Hooked{s, func(call Call) error {
		switch {
		case call.Done:
		case call.Inside:
			c.Calls.Add(1)
		case call.Name == "Commit":
			c.Updates.Add(1)
		default:
			c.Reads.Add(1)
		}
		return nil
	}}
	return c
}

// Reset sets all counts to 0.
func (c *Counted) Reset() {
	c.Reads.Store(0)
	c.Updates.Store(0)
	c.Calls.Store(0)
}

// Twice is a store that runs every closure of Update twice. The first run is in a
// transaction that is always rolled back. A closure of View runs once.
type Twice struct{ store.Store }

// Shared implements [store.Shared].
func (t Twice) Shared() bool { return store.IsShared(t.Store) }

// HostTransactions implements [store.Hosting].
func (t Twice) HostTransactions() bool { return store.HasHostTransactions(t.Store) }

// Update implements [store.Store].
func (t Twice) Update(ctx context.Context, fn func(context.Context, store.Tx) error) error {
	again := errors.New("storetest: run again")
	err := t.Store.Update(ctx, func(ctx context.Context, tx store.Tx) error {
		_ = fn(ctx, tx)
		return again
	})
	if !errors.Is(err, again) && !errors.Is(err, store.ErrAborted) {
		return err
	}
	return t.Store.Update(ctx, fn)
}
