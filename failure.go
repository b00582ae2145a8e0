package latchkey

import (
	"context"
	"errors"
	"time"

	"example.com/latchkey/internal/record"
	"example.com/latchkey/internal/seal"
	"example.com/latchkey/store"
)

// What guards a password or a code against guessing. Wrong answers in a row
// are counted in the store; from the eleventh on, further answers wait: 30
// seconds, and twice as long with each more, up to an hour. A count is
// forgotten a day after the last wrong answer, and by a right one. Known and
// unknown identifiers are counted alike.
const (
	failuresFree   = 10
	failureDelay   = 30 * time.Second
	failureMaximum = time.Hour
	failureLife    = 24 * time.Hour
)

// The purposes of failure counts.
const failPassword = "password"

// guard is what wrong answers of one kind for one identifier are counted
// under.
type guard struct {
	purpose string
	subject []byte
}

// guard returns the guard of an identifier in canonical form, which may be of
// nobody.
func (e *Engine) guard(purpose, identifier string) guard {
	return guard{purpose, e.ring.Digest(seal.Index, purpose, identifier)}
}

// failures returns the count as it stands at now; a count of 0 if there is no
// row.
func (g guard) failures(ctx context.Context, r store.Reader, now time.Time) (*record.Failure, error) {
	f, err := record.Failures.Get(ctx, r, record.Failures.Primary(), store.Text(g.purpose), store.Bytes(g.subject))
	if errors.Is(err, store.ErrNotFound) {
		return &record.Failure{Purpose: g.purpose, Subject: g.subject}, nil
	}
	if err == nil && !f.Expire.After(now) {
		f.Count = 0
	}
	return f, err
}

// delayed reports whether an answer has to wait.
func delayed(f *record.Failure, now time.Time) error {
	if f.Count <= failuresFree {
		return nil
	}
	delay := failureMaximum
	if doublings := f.Count - failuresFree - 1; doublings < 7 {
		delay = failureDelay << doublings
	}
	if wait := f.Last.Add(delay).Sub(now); wait > 0 {
		return &ThrottledError{RetryAfter: wait}
	}
	return nil
}

// fail counts a wrong answer. Among answers that were given at once, one that
// comes after the identifier was slowed is refused unseen, as a right one is:
// otherwise the difference would tell which was right.
func (g guard) fail(ctx context.Context, tx store.Tx, now time.Time) error {
	f, err := g.failures(ctx, tx, now)
	if err == nil {
		err = delayed(f, now)
	}
	if err != nil {
		return err
	}
	isNew := f.Expire.IsZero()
	f.Count++
	f.Last, f.Expire = now, now.Add(failureLife)
	if isNew {
		return record.Failures.Insert(ctx, tx, f)
	}
	return record.Failures.Replace(ctx, tx, f)
}

// pass lets a right answer through, unless it came while the identifier was
// slowed, and forgets the wrong ones before it.
func (g guard) pass(ctx context.Context, tx *txn) error {
	f, err := g.failures(ctx, tx, tx.now)
	if err == nil {
		err = delayed(f, tx.now)
	}
	if err != nil || f.Expire.IsZero() {
		return err
	}
	return record.Failures.Delete(ctx, tx, store.Text(g.purpose), store.Bytes(g.subject))
}
