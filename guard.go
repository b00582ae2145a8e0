package latchkey

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"

	"example.com/latchkey/internal/record"
	"example.com/latchkey/store"
)

// What guards a password or a code against guessing. Wrong answers in a row
// are counted in the store; behind the free ones, answers wait: 30 seconds, and
// twice as long with each more, up to an hour. A count is forgotten a day after
// the last wrong answer, and by a right one. Known and unknown identifiers are
// counted alike.
//
// Who fails on purpose at somebody's address must not lock them out: a client
// address from which an identifier has proven its password within 90 days has a
// count of its own, which strangers cannot reach.
const (
	failureDelay   = 30 * time.Second
	failureMaximum = time.Hour
	failureLife    = 24 * time.Hour
	knownLife      = 90 * 24 * time.Hour
	knownRenewal   = 24 * time.Hour
)

// The purposes of rows.
const (
	failPassword = "password"
	failCode     = "code"
	failFactor   = "factor/" // and the factor
	failKnown    = "known"   // not a failure: a client address that an identifier is known from
)

// guard is what wrong answers of one kind for one identifier are counted
// under.
type guard struct {
	engine  *Engine
	purpose string
	subject []byte
	key     string    // for the limiter
	since   time.Time // what was wrong before is of another password
	known   []byte    // subject of the row that tells whether the client is known
	isKnown bool
}

// guard returns the guard of an identifier in canonical form, for a client. user
// is whose it is, nil for nobody's.
func (e *Engine) guard(ctx context.Context, r store.Reader, now time.Time, purpose, identifier string, user *record.User, c Client) (guard, error) {
	g := guard{engine: e, purpose: purpose, key: identifier}
	userKey, epoch := "", int64(0)
	if user != nil {
		userKey, epoch = user.Key, user.Epoch
		if purpose == failPassword {
			g.since = user.PasswordUpdated
		}
	}
	// Who knew another password is not known any more.
	proven := failKnown
	if strings.HasPrefix(purpose, failFactor) { // who has the password has proven no factor
		proven = failFactor
	}
	g.known = e.ring.Digest(proven, userKey, strconv.FormatInt(epoch, 10), c.network())
	known, err := g.row(ctx, r, failKnown, g.known)
	if err != nil {
		return g, err
	}
	if g.isKnown = c.network() != "" && user != nil && known.Expire.After(now); g.isKnown {
		g.key = userKey + "\n" + c.network()
	}
	g.subject = e.ring.Digest(purpose, g.key)
	return g, nil
}

// row returns a row, or one that is not there yet.
func (g *guard) row(ctx context.Context, r store.Reader, purpose string, subject []byte) (*record.Failure, error) {
	f, err := record.Failures.Get(ctx, r, record.Failures.Primary(), store.Text(purpose), store.Bytes(subject))
	if errors.Is(err, store.ErrNotFound) {
		return &record.Failure{Purpose: purpose, Subject: subject}, nil
	}
	return f, err
}

// failures returns the count as it stands at now.
func (g *guard) failures(ctx context.Context, r store.Reader, now time.Time) (*record.Failure, error) {
	f, err := g.row(ctx, r, g.purpose, g.subject)
	if err == nil && (!f.Expire.After(now) || f.Last.Before(g.since)) {
		f.Count = 0
	}
	return f, err
}

// wait reports whether an answer has to wait, or is not looked at any more.
func (g *guard) wait(ctx context.Context, r store.Reader, now time.Time) (*record.Failure, error) {
	f, err := g.failures(ctx, r, now)
	if err != nil {
		return nil, err
	}
	if most := g.engine.policy.DisableAfterFailures; most != 0 && f.Count >= int64(most) {
		switch {
		case g.purpose == failPassword:
			return nil, ErrPasswordResetRequired
		case g.purpose == failFactor+string(FactorTOTP), g.purpose == failFactor+string(FactorRecoveryCode): // until the server takes it away, or a year has passed
			return nil, &ThrottledError{RetryAfter: f.Expire.Sub(now)}
		}
	}
	free := int64(g.engine.policy.FreeFailures)
	if f.Count <= free {
		return f, nil
	}
	delay := failureMaximum
	if doublings := f.Count - free - 1; doublings < 7 {
		delay = failureDelay << doublings
	}
	// A clock may have been ahead when the last one was counted.
	if wait := min(f.Last.Add(delay).Sub(now), delay); wait > 0 {
		return nil, &ThrottledError{RetryAfter: wait}
	}
	return f, nil
}

// fail counts a wrong answer. Among answers that were given at once, one that
// comes after the identifier was slowed is refused unseen, as a right one is:
// otherwise the difference would tell which was right.
func (g *guard) fail(ctx context.Context, tx *txn) error {
	f, err := g.wait(ctx, tx, tx.now)
	if err != nil {
		return err
	}
	isNew := f.Expire.IsZero()
	f.Count++
	f.Last, f.Expire = tx.now, tx.now.Add(failureLife)
	if g.engine.policy.DisableAfterFailures != 0 && !g.isKnown {
		f.Expire = tx.now.Add(year) // a pause of a day does not begin anew
	}
	if isNew {
		return record.Failures.Insert(ctx, tx, f)
	}
	return record.Failures.Replace(ctx, tx, f)
}

// pass lets a right answer through, unless it came while the identifier was
// slowed, forgets the wrong ones before it, and remembers the client.
func (g *guard) pass(ctx context.Context, tx *txn) error {
	f, err := g.wait(ctx, tx, tx.now)
	if err != nil {
		return err
	}
	if !f.Expire.IsZero() {
		if err := record.Failures.Delete(ctx, tx, store.Text(f.Purpose), store.Bytes(f.Subject)); err != nil {
			return err
		}
	}
	return g.remember(ctx, tx)
}

// remember notes that the identifier has proven itself from the client.
func (g *guard) remember(ctx context.Context, tx *txn) error {
	if tx.by.network() == "" {
		return nil
	}
	known, err := g.row(ctx, tx, failKnown, g.known)
	if err != nil || known.Expire.After(tx.now.Add(knownLife-knownRenewal)) {
		return err
	}
	isNew := known.Expire.IsZero()
	known.Last, known.Expire = tx.now, tx.now.Add(knownLife)
	if isNew {
		return record.Failures.Insert(ctx, tx, known)
	}
	return record.Failures.Replace(ctx, tx, known)
}

// forgetFailures forgets the wrong passwords that strangers have tried: they
// were of another password, or of another user with that address.
func (tx *txn) forgetFailures(ctx context.Context, user *record.User) error {
	subject := tx.engine.ring.Digest(failPassword, passwordSubject(user))
	err := record.Failures.Delete(ctx, tx, store.Text(failPassword), store.Bytes(subject))
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	return err
}

// forgetGuesses forgets what strangers have answered to a factor of a user.
func (tx *txn) forgetGuesses(ctx context.Context, user *record.User, factor Factor) error {
	purpose := failFactor + string(factor)
	g := guard{engine: tx.engine, purpose: purpose, subject: tx.engine.ring.Digest(purpose, user.Key)}
	return g.forgive(ctx, tx)
}

// passwordSubject is what wrong passwords of a user are counted under: the same
// for signing in and for changes that ask for the password.
func passwordSubject(user *record.User) string {
	if user.Email == "" {
		return "user/" + user.Key
	}
	return user.Email
}

// forgive forgets the wrong codes before a right one.
func (g *guard) forgive(ctx context.Context, tx *txn) error {
	err := record.Failures.Delete(ctx, tx, store.Text(g.purpose), store.Bytes(g.subject))
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	return err
}
