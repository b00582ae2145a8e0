package backend

import (
	"context"
	"fmt"

	"example.com/latchkey/store"
)

// Handle is the host's own handle to the transaction of a closure. The closure calls its
// methods while no other call runs.
type Handle interface {
	// Settle ends the results and statements that the host has left open. It comes before each
	// call of the closure on its transaction. After an error the transaction can only roll back.
	Settle() error
	// End takes the connection away from the host. It comes once, at the end of the closure,
	// also after a panic. After an error the transaction can only roll back. rest, unless nil,
	// is called later, when calls of the handle are refused and do not wait.
	End() (rest func(), err error)
}

var errInUse = fmt.Errorf("%w: the transaction is running a statement of the host", store.ErrInvalid)

// Lend returns the handle to the transaction of a closure. The first call of a closure makes it
// by open, which refuses the transactions of other backends. After the end of the closure there
// is no handle.
func Lend[H Handle](tx store.Tx, open func(raw store.Tx, g *Guard) (H, bool)) (h H, ok bool) {
	for {
		switch t := tx.(type) {
		case *closureTx:
			return lend(&t.closure, open)
		case store.WrappedTx:
			tx = t.Unwrap()
		default:
			return h, false
		}
	}
}

func lend[H Handle](c *closure[store.Tx], open func(raw store.Tx, g *Guard) (H, bool)) (h H, ok bool) {
	if c.lock() != nil {
		return h, false
	}
	defer c.mu.Unlock()
	if c.over {
		return h, false
	}
	if c.handle != nil {
		h, ok = c.handle.(H)
		return h, ok
	}
	if h, ok = open(c.raw, &Guard{c}); ok {
		c.handle = h
	}
	return h, ok
}

// Guard lets the calls of a handle into its closure, one at a time, and until the closure ends.
type Guard struct{ c *closure[store.Tx] }

// Do runs a statement of the host. Its error is the host's to judge. After broken, unless nil,
// the transaction can only roll back: further calls return [store.ErrAborted], and Update fails
// with broken if the closure does not return an error.
func (g *Guard) Do(ctx context.Context, call func() (err, broken error)) error {
	c := g.c
	if err := c.lock(); err != nil {
		return err
	}
	defer c.mu.Unlock()
	switch {
	case c.over:
		return store.ErrDone
	case c.failed != nil:
		return store.ErrAborted
	case c.outer.Err() != nil:
		return c.outer.Err()
	case ctx.Err() != nil:
		return ctx.Err()
	}
	c.lent.Store(true)
	defer c.lent.Store(false)
	c.failed = store.ErrAborted // stands if the call panics
	err, broken := call()
	c.failed = broken
	return err
}

// Touch is Do for the use of a result that is open. It is also there after a failure.
func (g *Guard) Touch(call func() (broken error)) error {
	c := g.c
	if err := c.lock(); err != nil {
		return err
	}
	defer c.mu.Unlock()
	if c.over {
		return store.ErrDone
	}
	c.lent.Store(true)
	defer c.lent.Store(false)
	if broken := call(); broken != nil && c.failed == nil {
		c.failed = broken
	}
	return nil
}

// Peek runs call, which reads the results of former calls of the handle and does not use the
// connection. It is there after the end of the closure too.
func (g *Guard) Peek(call func()) error {
	if err := g.c.lock(); err != nil {
		return err
	}
	defer g.c.mu.Unlock()
	call()
	return nil
}
