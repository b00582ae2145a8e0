package move

import (
	"context"
	"maps"
	"sync"

	"example.com/latchkey/store"
)

// changes lets Updates begin and end, and keeps the keys of the rows that they change.
type changes struct {
	mu       sync.Mutex
	tracking bool
	opened   chan struct{}        // nil, or closed at the end of the stop that runs
	wake     chan struct{}        // nil, or closed when an Update ends
	running  map[*update]struct{} // Updates that have begun and not ended
	dirty    keys                 // of Updates that have ended since the last pass, while tracking
	doubtful keys                 // of all Updates whose outcome is not known: they count in every pass
}

// update is a running Update.
type update struct {
	keys keys // of runs whose commit may have begun
}

func newChanges() changes {
	return changes{running: make(map[*update]struct{}), dirty: make(keys), doubtful: make(keys)}
}

// begin waits for the end of a stop.
func (c *changes) begin(ctx, life context.Context) (*update, error) {
	for {
		c.mu.Lock()
		opened := c.opened
		if opened == nil {
			u := &update{}
			c.running[u] = struct{}{}
			c.mu.Unlock()
			return u, nil
		}
		c.mu.Unlock()
		select {
		case <-opened:
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-life.Done():
			return nil, store.ErrClosed
		}
	}
}

// finish ends an Update. unknown says that its transaction may have been committed, or
// may still be.
func (c *changes) finish(u *update, unknown bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.running, u)
	if c.tracking {
		c.dirty.addAll(u.keys)
	}
	if unknown {
		c.doubtful.addAll(u.keys)
	}
	if c.wake != nil {
		close(c.wake)
		c.wake = nil
	}
}

// wait waits until no Update runs.
func (c *changes) wait(ctx context.Context) error {
	for {
		c.mu.Lock()
		if len(c.running) == 0 {
			c.mu.Unlock()
			return ctx.Err()
		}
		if c.wake == nil {
			c.wake = make(chan struct{})
		}
		wake := c.wake
		c.mu.Unlock()
		select {
		case <-wake:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// track starts or stops keeping the keys of all Updates that end from now on. An Update whose
// outcome is not known may be committed later, so its keys stay.
func (c *changes) track(on bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tracking, c.dirty = on, make(keys)
}

// hold lets no Update begin, and waits for those that run. After an error too, release
// must follow.
func (c *changes) hold(ctx context.Context) error {
	c.mu.Lock()
	c.opened = make(chan struct{})
	c.mu.Unlock()
	return c.wait(ctx)
}

// release ends the stop that hold began.
func (c *changes) release() {
	c.mu.Lock()
	defer c.mu.Unlock()
	close(c.opened)
	c.opened = nil
}

// take removes the dirty keys and returns them. The caller takes before it opens a
// snapshot: each of these keys is of an Update that ended before the snapshot.
func (c *changes) take() keys {
	c.mu.Lock()
	defer c.mu.Unlock()
	taken := c.dirty
	c.dirty = make(keys)
	return taken
}

// complete adds to taken the keys of all other Updates that may be in a snapshot which
// was opened after take. They stay dirty, because they may not be in it.
func (c *changes) complete(taken keys) {
	c.mu.Lock()
	defer c.mu.Unlock()
	taken.addAll(c.dirty)
	taken.addAll(c.doubtful)
	for u := range c.running {
		taken.addAll(u.keys)
	}
}

// split parts rows that were read before the call into those that are clean, and those that
// an Update has changed or may have changed since the last pass.
func (c *changes) split(t *store.Table, rows []store.Row) (clean, changed []store.Row) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, row := range rows {
		if c.isDirty(t, encodeKey(t.Primary().Key(row))) {
			changed = append(changed, row)
		} else {
			clean = append(clean, row)
		}
	}
	return clean, changed
}

func (c *changes) isDirty(t *store.Table, key string) bool {
	if c.dirty.has(t, key) || c.doubtful.has(t, key) {
		return true
	}
	for u := range c.running {
		if u.keys.has(t, key) {
			return true
		}
	}
	return false
}

// putBack makes keys dirty, such as those of a failed pass.
func (c *changes) putBack(taken keys) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dirty.addAll(taken)
}

// note runs a closure of Update on a transaction that notes keys. They are registered
// before the commit begins.
func (c *changes) note(ctx context.Context, u *update, tx store.Tx, fn func(context.Context, store.Tx) error) error {
	t := &tracked{Tx: tx, keys: make(keys)}
	defer t.end()
	if err := fn(ctx, t); err != nil {
		return err
	}
	t.end()
	c.mu.Lock()
	defer c.mu.Unlock()
	if u.keys == nil {
		u.keys = t.keys
	} else { // the closure has run before
		u.keys.addAll(t.keys)
	}
	return nil
}

// tracked is a transaction that notes the keys of the rows that it changes.
type tracked struct {
	store.Tx
	mu   sync.Mutex // a goroutine that outlives the closure must not change a row unnoticed
	keys keys
	over bool
}

func (t *tracked) end() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.over = true
}

func (t *tracked) do(call func() error) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.over {
		return store.ErrDone
	}
	return call()
}

// Insert implements [store.Tx].
func (t *tracked) Insert(ctx context.Context, table *store.Table, row store.Row) error {
	return t.do(func() error {
		err := t.Tx.Insert(ctx, table, row)
		if err == nil {
			t.keys.addRow(table, row)
		}
		return err
	})
}

// InsertAll implements [store.Tx].
func (t *tracked) InsertAll(ctx context.Context, table *store.Table, rows []store.Row) error {
	return t.do(func() error {
		err := t.Tx.InsertAll(ctx, table, rows)
		if err == nil {
			for _, row := range rows {
				t.keys.addRow(table, row)
			}
		}
		return err
	})
}

// Replace implements [store.Tx].
func (t *tracked) Replace(ctx context.Context, table *store.Table, row store.Row) error {
	return t.do(func() error {
		err := t.Tx.Replace(ctx, table, row)
		if err == nil {
			t.keys.addRow(table, row)
		}
		return err
	})
}

// Delete implements [store.Tx].
func (t *tracked) Delete(ctx context.Context, table *store.Table, key ...store.Value) error {
	return t.do(func() error {
		err := t.Tx.Delete(ctx, table, key...)
		if err == nil {
			t.keys.add(table, encodeKey(key))
		}
		return err
	})
}

// DeleteRange implements [store.Tx]. It lists the rows before it deletes them.
func (t *tracked) DeleteRange(ctx context.Context, q store.Query) (n int, err error) {
	err = t.do(func() error {
		if q.Offset != 0 { // which List would take
			n, err = t.Tx.DeleteRange(ctx, q)
			return err
		}
		rows, err := t.Tx.List(ctx, q)
		if err != nil {
			return err
		}
		if n, err = t.Tx.DeleteRange(ctx, q); err != nil {
			return err
		}
		for _, row := range rows {
			t.keys.addRow(q.Index.Table(), row)
		}
		return nil
	})
	return n, err
}

// keys are primary keys by table, as encodeKey writes them.
type keys map[*store.Table]map[string]struct{}

func (k keys) add(t *store.Table, key string) {
	if k[t] == nil {
		k[t] = make(map[string]struct{})
	}
	k[t][key] = struct{}{}
}

func (k keys) addRow(t *store.Table, row store.Row) { k.add(t, encodeKey(t.Primary().Key(row))) }

func (k keys) addAll(more keys) {
	for t, set := range more {
		if k[t] == nil {
			k[t] = make(map[string]struct{}, len(set))
		}
		maps.Copy(k[t], set)
	}
}

func (k keys) has(t *store.Table, key string) bool {
	_, there := k[t][key]
	return there
}

func (k keys) number() (n int) {
	for _, set := range k {
		n += len(set)
	}
	return n
}
