package capacity

import (
	"context"
	"errors"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// tape has what one operation of the engine has sent to the server: the batches, in their order. A
// statement that was sent alone is a batch of one.
type tape struct {
	mu      sync.Mutex
	batches []*pgx.Batch
	before  int // batches before the transaction
	begun   bool
}

type tapeKey struct{}

// recorded returns a context whose statements are recorded.
func recorded(ctx context.Context) (context.Context, *tape) {
	t := &tape{}
	return context.WithValue(ctx, tapeKey{}, t), t
}

// recorder is the tracer of pgx that fills the tapes.
type recorder struct{}

func (recorder) TraceQueryStart(ctx context.Context, _ *pgx.Conn, data pgx.TraceQueryStartData) context.Context {
	b := &pgx.Batch{}
	b.Queue(data.SQL, data.Args...)
	keep(ctx, b)
	return ctx
}

func (recorder) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

func (recorder) TraceBatchStart(ctx context.Context, _ *pgx.Conn, data pgx.TraceBatchStartData) context.Context {
	b := &pgx.Batch{}
	for _, q := range data.Batch.QueuedQueries {
		b.Queue(q.SQL, q.Arguments...)
	}
	keep(ctx, b)
	return ctx
}

func (recorder) TraceBatchQuery(context.Context, *pgx.Conn, pgx.TraceBatchQueryData) {}
func (recorder) TraceBatchEnd(context.Context, *pgx.Conn, pgx.TraceBatchEndData)     {}

// keep adds a batch to the tape of a context. Its transaction is at read committed, and that of the engine is
// serializable.
func keep(ctx context.Context, b *pgx.Batch) {
	t, _ := ctx.Value(tapeKey{}).(*tape)
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	kept := &pgx.Batch{}
	for _, q := range b.QueuedQueries {
		args := q.Arguments
		for len(args) > 0 { // the options of pgx
			switch args[0].(type) {
			case pgx.QueryExecMode, pgx.QueryResultFormats:
				args = args[1:]
				continue
			}
			break
		}
		if !strings.HasPrefix(q.SQL, "BEGIN") {
			kept.Queue(q.SQL, args...)
			continue
		}
		if t.begun { // a run that is repeated
			t.batches = t.batches[:t.before]
		}
		t.before, t.begun = len(t.batches), true
		kept.Queue("BEGIN ISOLATION LEVEL READ COMMITTED")
	}
	t.batches = append(t.batches, kept)
}

// play sends what an operation has sent.
func (t *tape) play(ctx context.Context, pool *pgxpool.Pool) error {
	conn, err := pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	for _, b := range t.batches {
		if b.Len() == 0 {
			continue
		}
		again := &pgx.Batch{} // a batch is sent once
		for _, q := range b.QueuedQueries {
			again.Queue(q.SQL, q.Arguments...)
		}
		results, failed := conn.SendBatch(ctx, again), error(nil)
		for range again.Len() {
			rows, err := results.Query()
			if err == nil {
				for rows.Next() {
					_ = rows.RawValues()
				}
				rows.Close()
				err = rows.Err()
			}
			failed = errors.Join(failed, err)
		}
		if err := errors.Join(failed, results.Close()); err != nil {
			return err
		}
	}
	if conn.Conn().PgConn().TxStatus() != 'I' { // the engine's commit went below the tracer
		_, err = conn.Exec(ctx, "COMMIT")
	}
	return err
}
