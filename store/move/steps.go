package move

import (
	"context"
	"errors"
	"fmt"
	"time"

	"example.com/latchkey/internal/record"
	"example.com/latchkey/store"
)

// mostPasses is the number of passes that Copy and Switch make at most before they go
// on with more than a few rows left.
const mostPasses = 10

// stepping begins a step and waits for its turn. The context of the step ends with that
// of the caller, or with Close.
func (m *Move) stepping(ctx context.Context) (context.Context, func(), error) {
	if err := m.enter(ctx); err != nil {
		return nil, nil, err
	}
	select {
	case m.step <- struct{}{}:
	case <-ctx.Done():
		return nil, nil, ctx.Err()
	case <-m.life.Done():
		return nil, nil, store.ErrClosed
	}
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(m.life, cancel)
	end := func() {
		stop()
		cancel()
		<-m.step
	}
	if m.closed.Load() {
		end()
		return nil, nil, store.ErrClosed
	}
	return ctx, end, nil
}

// Copy writes the rows of the first store to the second, which is empty, and makes passes
// until one of them had few rows. Then it compares all rows of both. It returns the passes,
// the first copy included. The host may use the Move meanwhile.
//
// From now on until Switch or Abort, the Move keeps the keys of all rows that change. If
// Copy fails, the first store is as it was. Begin anew with an empty second store.
//
//   - [store.ErrInvalid]: a store has not the tables of the schema
//   - [store.ErrNotEmpty]: the second store has rows
//   - [store.ErrMoved]: the first store has moved already
//   - [store.ErrChanged]: the copy differs from the first store, as after writes of
//     another process
//   - [ErrSwitched]: Switch has succeeded
func (m *Move) Copy(ctx context.Context) (passes []Pass, err error) {
	ctx, end, err := m.stepping(ctx)
	if err != nil {
		return nil, err
	}
	defer end()
	if m.switched.Load() {
		return nil, ErrSwitched
	}
	if err := m.settle(ctx); err != nil {
		return nil, err
	}
	if err := m.ready(ctx); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			m.forget()
		}
	}()
	first, err := m.first(ctx)
	if err != nil {
		return nil, fmt.Errorf("move: %w", err)
	}
	passes = []Pass{first}
	more, err := m.untilFew(ctx)
	if passes = append(passes, more...); err != nil {
		return passes, err
	}
	if err := m.verify(ctx); err != nil {
		return passes, err
	}
	more, err = m.untilFew(ctx) // what has come meanwhile
	if passes = append(passes, more...); err != nil {
		return passes, err
	}
	m.copied = true
	return passes, nil
}

// Verify compares all rows of both stores, as Copy does at its end. It takes as long as
// reading them. Call it before Switch if Copy was long ago, and another process may have
// written to the first store since.
//
//   - [ErrNotCopied]: Copy has not succeeded, or its copy was given up
//   - [ErrSwitched]: Switch has succeeded
//   - [store.ErrChanged]: the stores differ. The copy is given up.
func (m *Move) Verify(ctx context.Context) error {
	ctx, end, err := m.stepping(ctx)
	if err != nil {
		return err
	}
	defer end()
	if err := m.catching(ctx); err != nil {
		return err
	}
	if err := m.verify(ctx); err != nil {
		if errors.Is(err, store.ErrChanged) {
			m.forget()
		}
		return err
	}
	return nil
}

// ready refuses stores that cannot be moved from, or to.
func (m *Move) ready(ctx context.Context) error {
	for _, s := range []store.Store{m.from, m.to} {
		for _, t := range m.schema.Tables() {
			n, err := s.Count(ctx, store.Query{Index: t.Primary(), Limit: 1})
			if err != nil {
				return fmt.Errorf("move: %w", err)
			}
			if n > 0 && s == m.to {
				return fmt.Errorf("move: %w", store.ErrNotEmpty)
			}
		}
	}
	if !m.marks() {
		return nil
	}
	_, err := m.from.Get(ctx, record.Settings.Primary(), store.Text(record.Moved))
	switch {
	case err == nil:
		return fmt.Errorf("move: %w", store.ErrMoved)
	case !errors.Is(err, store.ErrNotFound):
		return fmt.Errorf("move: %w", err)
	}
	return nil
}

func (m *Move) told(p Pass) {
	if m.options.OnPass != nil {
		m.options.OnPass(p)
	}
}

// forget gives the copy up.
func (m *Move) forget() {
	m.copied = false
	m.track(false)
}

// CatchUp makes one pass, for a host that waits for a good hour to switch. It keeps the
// number of changed rows small that the Move remembers. After an error, CatchUp and
// Switch may be called again, unless they answer with [ErrNotCopied].
//
//   - [ErrNotCopied]: Copy has not succeeded, or its copy was given up
//   - [ErrSwitched]: Switch has succeeded
func (m *Move) CatchUp(ctx context.Context) (Pass, error) {
	ctx, end, err := m.stepping(ctx)
	if err != nil {
		return Pass{}, err
	}
	defer end()
	if err := m.catching(ctx); err != nil {
		return Pass{}, err
	}
	return m.catchUp(ctx, nil)
}

// catching refuses a pass without a copy. A mark that is in doubt would be a difference
// between the stores, so it removes that.
func (m *Move) catching(ctx context.Context) error {
	switch {
	case m.switched.Load():
		return ErrSwitched
	case !m.copied:
		return ErrNotCopied
	}
	return m.settle(ctx)
}

// untilFew makes passes until one of them had few rows.
func (m *Move) untilFew(ctx context.Context) (passes []Pass, err error) {
	for range mostPasses {
		p, err := m.catchUp(ctx, nil)
		if err != nil {
			return passes, err
		}
		passes = append(passes, p)
		if p.Rows <= m.options.Few {
			break
		}
	}
	return passes, nil
}

// catchUp makes a pass, and then calls check, unless that is nil.
func (m *Move) catchUp(ctx context.Context, check func(*pass) error) (Pass, error) {
	began := time.Now()
	taken := m.take()
	err := m.from.View(ctx, func(ctx context.Context, r store.Reader) error {
		m.complete(taken)
		p := &pass{schema: m.schema, source: reading{r, ctx}, to: m.to, all: taken, remove: make(keys)}
		if err := p.run(); err != nil {
			return err
		}
		if check != nil {
			return check(p)
		}
		return nil
	})
	if err != nil {
		m.putBack(taken)
		if errors.Is(err, store.ErrUnknownOutcome) || errors.Is(err, store.ErrChanged) {
			m.forget() // a late commit, or a write of another process, could come after the next pass
		}
		return Pass{}, fmt.Errorf("move: %w", err)
	}
	p := Pass{Rows: taken.number(), Length: time.Since(began)}
	m.told(p)
	return p, nil
}

// Abort gives the copy up: the Move goes on with the first store, and remembers no
// changed rows. To begin anew, make a Move to an empty store.
//
//   - [ErrSwitched]: Switch has succeeded
func (m *Move) Abort(ctx context.Context) error {
	_, end, err := m.stepping(ctx)
	if err != nil {
		return err
	}
	defer end()
	if m.switched.Load() {
		return ErrSwitched
	}
	m.forget()
	return nil
}

// Switch brings the second store up to date, and lets the host go on with it. It compares
// the numbers of rows, makes passes until one of them had few rows, and then holds up
// Updates for the last pass, for MaxStop at most. If it fails, the host goes on with the
// first store, and Switch may be called again, unless it answers with [ErrNotCopied].
//
//   - [ErrNotCopied]: Copy has not succeeded, or its copy was given up
//   - [ErrSwitched]: Switch has succeeded already
//   - [ErrTooLong]: the stop took longer than MaxStop
//   - [store.ErrChanged]: the stores differ, as after writes of another process
func (m *Move) Switch(ctx context.Context) (Stop, error) {
	ctx, end, err := m.stepping(ctx)
	if err != nil {
		return Stop{}, err
	}
	defer end()
	if err := m.catching(ctx); err != nil {
		return Stop{}, err
	}
	if _, err := m.untilFew(ctx); err != nil {
		return Stop{}, err
	}
	if _, err := m.catchUp(ctx, (*pass).count); err != nil {
		return Stop{}, err
	}
	if _, err := m.untilFew(ctx); err != nil { // what has come while they were counted
		return Stop{}, err
	}
	return m.stop(ctx)
}

// stop holds up Updates and makes the last pass.
func (m *Move) stop(ctx context.Context) (Stop, error) {
	within, cancel := context.WithTimeoutCause(ctx, m.options.MaxStop, ErrTooLong)
	defer cancel()
	s, err := m.last(within)
	if err == nil {
		return s, nil
	}
	again, cancelAgain := context.WithTimeout(context.WithoutCancel(ctx), m.options.MaxStop)
	defer cancelAgain()
	err = errors.Join(err, m.settle(again))
	if ctx.Err() == nil && context.Cause(within) == ErrTooLong {
		err = fmt.Errorf("%w: %w", ErrTooLong, err)
	}
	return s, err
}

// last is the stop.
func (m *Move) last(ctx context.Context) (s Stop, err error) {
	began := time.Now()
	defer func() {
		m.release()
		s.Length = time.Since(began)
	}()
	if err := m.hold(ctx); err != nil {
		return s, fmt.Errorf("move: Updates that run: %w", err)
	}
	s.Waiting = time.Since(began)
	p, err := m.catchUp(ctx, (*pass).compare)
	if err != nil {
		return s, err
	}
	s.Rows = p.Rows
	if err := m.mark(ctx, began); err != nil {
		return s, fmt.Errorf("move: mark: %w", err)
	}
	m.switched.Store(true)
	m.forget()
	return s, nil
}
