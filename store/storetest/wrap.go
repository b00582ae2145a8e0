package storetest

import (
	"context"
	"errors"
	"sync/atomic"

	"example.com/latchkey/store"
)

// Counted is a store that counts what is asked of it.
type Counted struct {
	store.Store
	Reads   atomic.Int64 // Get, List and Count outside transactions
	Updates atomic.Int64
	Calls   atomic.Int64 // inside transactions
}

// Get implements [store.Reader].
func (c *Counted) Get(ctx context.Context, ix *store.Index, key ...store.Value) (store.Row, error) {
	c.Reads.Add(1)
	return c.Store.Get(ctx, ix, key...)
}

// List implements [store.Reader].
func (c *Counted) List(ctx context.Context, q store.Query) ([]store.Row, error) {
	c.Reads.Add(1)
	return c.Store.List(ctx, q)
}

// Count implements [store.Reader].
func (c *Counted) Count(ctx context.Context, q store.Query) (int, error) {
	c.Reads.Add(1)
	return c.Store.Count(ctx, q)
}

// Update implements [store.Store].
func (c *Counted) Update(ctx context.Context, fn func(context.Context, store.Tx) error) error {
	c.Updates.Add(1)
	return c.Store.Update(ctx, func(ctx context.Context, tx store.Tx) error {
		return fn(ctx, eachCall{tx, func() error {
			c.Calls.Add(1)
			return nil
		}})
	})
}

// Reset sets all counts to 0.
func (c *Counted) Reset() {
	c.Reads.Store(0)
	c.Updates.Store(0)
	c.Calls.Store(0)
}

// Twice is a store that runs every closure twice: once in a transaction that is
// rolled back, and once more.
type Twice struct{ store.Store }

// Update implements [store.Store].
func (t Twice) Update(ctx context.Context, fn func(context.Context, store.Tx) error) error {
	again := errors.New("storetest: run again")
	err := t.Store.Update(ctx, func(ctx context.Context, tx store.Tx) error {
		if err := fn(ctx, tx); err != nil {
			return err
		}
		return again
	})
	if !errors.Is(err, again) {
		return err
	}
	return t.Store.Update(ctx, fn)
}

// eachCall is a transaction that asks before each call.
type eachCall struct {
	store.Tx
	before func() error
}

func (e eachCall) Get(ctx context.Context, ix *store.Index, key ...store.Value) (store.Row, error) {
	if err := e.before(); err != nil {
		return store.Row{}, err
	}
	return e.Tx.Get(ctx, ix, key...)
}

func (e eachCall) List(ctx context.Context, q store.Query) ([]store.Row, error) {
	if err := e.before(); err != nil {
		return nil, err
	}
	return e.Tx.List(ctx, q)
}

func (e eachCall) Count(ctx context.Context, q store.Query) (int, error) {
	if err := e.before(); err != nil {
		return 0, err
	}
	return e.Tx.Count(ctx, q)
}

func (e eachCall) Insert(ctx context.Context, t *store.Table, row store.Row) error {
	if err := e.before(); err != nil {
		return err
	}
	return e.Tx.Insert(ctx, t, row)
}

func (e eachCall) Replace(ctx context.Context, t *store.Table, row store.Row) error {
	if err := e.before(); err != nil {
		return err
	}
	return e.Tx.Replace(ctx, t, row)
}

func (e eachCall) Delete(ctx context.Context, t *store.Table, key ...store.Value) error {
	if err := e.before(); err != nil {
		return err
	}
	return e.Tx.Delete(ctx, t, key...)
}

func (e eachCall) DeleteRange(ctx context.Context, q store.Query) (int, error) {
	if err := e.before(); err != nil {
		return 0, err
	}
	return e.Tx.DeleteRange(ctx, q)
}
