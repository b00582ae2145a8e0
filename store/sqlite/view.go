package sqlite

import (
	"context"

	"example.com/latchkey/store"
)

func (f *file) View(ctx context.Context, body func(store.Reader) error) error {
	return f.views.use(ctx, func(c *conn) error {
		if err := c.begin(); err != nil {
			return err
		}
		defer c.end()
		return body(snapshot{f, c})
	})
}

// begin begins a read transaction. BEGIN alone fixes no snapshot: the first read
// does.
func (c *conn) begin() error {
	if _, err := c.exec(background, "BEGIN"); err != nil {
		c.broken = true
		return wrap("begin", err)
	}
	if _, err := c.number(background, "PRAGMA user_version", nil); err != nil {
		c.end()
		return err
	}
	return nil
}

// end ends a read transaction. A connection that cannot end it is closed, because
// it would hold the snapshot for as long as the store is open.
func (c *conn) end() {
	if _, err := c.exec(background, "ROLLBACK"); err != nil {
		c.broken = true
	}
}

// snapshot reads in a read transaction.
type snapshot struct {
	*file
	conn *conn
}

func (s snapshot) Get(_ context.Context, ix *store.Index, key ...store.Value) (store.Row, error) {
	return s.conn.get(background, s.texts.Get(ix), ix.Table(), key)
}

func (s snapshot) GetBoth(_ context.Context, p *store.Pair, key ...store.Value) (part, parent store.Row, err error) {
	return s.conn.getBoth(background, s.texts.GetBoth(p), p, key)
}

func (s snapshot) List(ctx context.Context, q store.Query) ([]store.Row, error) {
	text, args := s.texts.List(q)
	return s.conn.list(ctx, text, q.Index.Table(), args)
}

func (s snapshot) Count(ctx context.Context, q store.Query) (int, error) {
	text, args := s.texts.Count(q)
	return s.conn.number(ctx, text, args)
}
