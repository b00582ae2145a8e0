package backend

import (
	"context"
	"sync/atomic"
)

type markKey struct{}

// mark says that a context belongs to a running closure of a store. The marks of
// different stores nest.
type mark struct {
	owner any
	outer *mark
	live  atomic.Bool // false after the closure: a goroutine that kept the context is not refused any more
}

// Mark returns the context of a closure of a store. The closure calls end at its end.
func Mark(ctx context.Context, owner any) (marked context.Context, end func()) {
	ctx, m := marking(ctx, owner)
	return ctx, func() { m.live.Store(false) }
}

func marking(ctx context.Context, owner any) (context.Context, *mark) {
	outer, _ := ctx.Value(markKey{}).(*mark)
	m := &mark{owner: owner, outer: outer}
	m.live.Store(true)
	return context.WithValue(ctx, markKey{}, m), m
}

// Nested reports whether a context is that of a running closure of a store.
func Nested(ctx context.Context, owner any) bool {
	m, _ := ctx.Value(markKey{}).(*mark)
	for ; m != nil; m = m.outer {
		if m.owner == owner && m.live.Load() {
			return true
		}
	}
	return false
}
