package latchkey

import (
	"context"
	"strconv"
	"time"

	"example.com/latchkey/internal/record"
	"example.com/latchkey/store"
)

// Guessing at passwords and codes is slowed. Wrong answers in a row are counted in
// the store. After the free ones an answer waits: 30 seconds, then twice as long
// with each further one, up to an hour. A count is forgotten a day after the last
// wrong answer, and by a right one. Known and unknown identifiers are counted
// alike.
//
// An attacker who fails on purpose at a user's address must not lock the user out.
// So a client address from which the user has proven the password within 90 days
// has a count of its own, which others cannot reach.
const (
	failureDelay   = 30 * time.Second
	failureMaximum = time.Hour
	failureLife    = 24 * time.Hour
	promisedMost   = 100 // wrong answers in a row after which promised codes wait too
	knownLife      = 90 * 24 * time.Hour
	knownRenewal   = 24 * time.Hour
)

// The purposes of rows.
const (
	failPassword = "password"
	failCode     = "code"
	failFactor   = "factor/" // followed by the factor
	failProbe    = "probe"   // not a failure: shows that the store can be written
	failDeleted  = "deleted" // not a failure: the id of a deleted user
	failIDToken  = "idtoken" // not a failure: an ID token that was used
	failKnown    = "known"   // not a failure: a client address that an identifier is known from
	failRenewed  = "renewed" // not a failure: a former secret of a session
)

// guard counts the wrong answers of one kind for one identifier.
type guard struct {
	*call
	purpose string
	subject []byte
	key     string // for the limiter
	known   known
	// promised says that the answers are for a code that was promised to its asker alone:
	// they are compared although the identifier is slowed.
	promised bool
}

// guardFor returns the guard of an identifier in canonical form, for the client of
// the call. user is the owner of the identifier, nil if it has none.
func (c *call) guardFor(ctx context.Context, r store.Reader, purpose, identifier string, user *record.User) (guard, error) {
	g := guard{call: c, purpose: purpose, key: identifier}
	var err error
	if g.known, err = c.knownAs(ctx, r, purpose, user); err != nil {
		return g, err
	}
	if g.known.is {
		g.key = g.known.key // not the count of another password
	}
	g.subject = c.ring.Digest(purpose, g.key)
	return g, nil
}

// known says whether a client is known for a proof of a user, and under which subject that is
// recorded. key names user and client. fresh says that it was recorded within a day, and need not be again.
type known struct {
	subject   []byte
	is, fresh bool
	key       string
}

// knownAs reports whether the client of the call is known for a proof of a user: the user has
// given it from there. The mailbox does not make a client known for the password, nor one
// factor for another. The epoch is in the digest: a client that knew another password is not
// known. It reads as much for nobody.
func (c *call) knownAs(ctx context.Context, r store.Reader, proof string, user *record.User) (k known, err error) {
	userKey, epoch := "", "0"
	if user != nil {
		userKey, epoch = user.Key, strconv.FormatInt(user.Epoch, 10)
	}
	network := c.client.network()
	k.subject, k.key = c.ring.Digest(failKnown, proof, userKey, epoch, network), knownKey(userKey, epoch, network)
	row, err := loadFailure(ctx, r, failKnown, k.subject)
	if err != nil {
		return k, err
	}
	// A client that was met while the clock was far ahead would stay known for too long.
	inTime := row.Expire.After(c.now) && !row.Last.After(c.now.Add(knownRenewal))
	k.is = network != "" && user != nil && inTime
	k.fresh = k.is && row.Expire.After(c.now.Add(knownLife-knownRenewal))
	return k, nil
}

// knownKey names a user and a network from which the user is known.
func knownKey(userKey, epoch, network string) string { return userKey + "\n" + network + "\n" + epoch }

// codeBy is the proof of an address by a code or a link that was sent there.
func codeBy(by *contact) string { return failCode + "/" + by.name }

// loadFailure returns a row, or a new one without an expiry.
func loadFailure(ctx context.Context, r store.Reader, purpose string, subject []byte) (*record.Failure, error) {
	f, err := record.Failures.Find(ctx, r, record.Failures.Primary(), store.Text(purpose), store.Bytes(subject))
	if f == nil && err == nil {
		f = &record.Failure{Purpose: purpose, Subject: subject}
	}
	return f, err
}

// check refuses an answer that has to wait, or that is not compared any more.
func (g *guard) check(ctx context.Context, r store.Reader) error {
	_, err := g.admit(ctx, r)
	return err
}

// admit is check, and returns the count.
func (g *guard) admit(ctx context.Context, r store.Reader) (*record.Failure, error) {
	f, err := loadFailure(ctx, r, g.purpose, g.subject)
	if err != nil {
		return nil, err
	}
	if !f.Expire.After(g.now) {
		f.Count = 0
	}
	if g.disables(f) {
		if g.purpose == failPassword {
			return nil, ErrPasswordResetRequired
		}
		return nil, &ThrottledError{RetryAfter: min(f.Expire.Sub(g.now), year)} // until the server removes it, or a year has passed
	}
	if g.promised && f.Count < promisedMost {
		return f, nil
	}
	if wait := g.wait(f); wait > 0 {
		return nil, &ThrottledError{RetryAfter: wait}
	}
	return f, nil
}

// disables reports whether so many wrong answers were given that none is compared any more.
func (g *guard) disables(f *record.Failure) bool {
	most := g.policy.Guessing.DisableAfter
	if most == 0 || f.Count < int64(most) {
		return false
	}
	switch g.purpose {
	case failPassword, failFactor + string(FactorTOTP), failFactor + string(FactorRecoveryCode):
		return true
	}
	return false
}

// wait returns how long the next answer has to wait.
func (g *guard) wait(f *record.Failure) time.Duration {
	free := int64(g.policy.Guessing.FreeFailures)
	if f.Count <= free || g.ahead(f.Last, g.now) { // ahead: the clock was wrong then, and the next wrong answer has the right time
		return 0
	}
	delay := failureMaximum
	if doublings := f.Count - free - 1; doublings < 7 {
		delay = failureDelay << doublings
	}
	return min(f.Last.Add(delay).Sub(g.now), delay)
}

// countWrong counts a wrong answer. Of answers that are given at once, one that
// comes after the identifier was slowed is refused uncompared, as a right one is:
// otherwise the difference would tell which answer was right.
func (g *guard) countWrong(ctx context.Context, tx *txn) error {
	f, err := g.admit(ctx, tx)
	if err != nil {
		return err
	}
	isNew := f.Expire.IsZero()
	f.Count++
	f.Last, f.Expire = tx.now, tx.now.Add(failureLife)
	if g.policy.Guessing.DisableAfter != 0 && !g.known.is {
		f.Expire = tx.now.Add(year) // a pause of a day does not reset the count
	}
	if isNew {
		return record.Failures.Insert(ctx, tx, f)
	}
	return record.Failures.Replace(ctx, tx, f)
}

// passed admits a right answer, unless it came while the identifier was slowed. It
// forgets the wrong answers before it and remembers the client.
func (g *guard) passed(ctx context.Context, tx *txn) error {
	if err := g.passedAgain(ctx, tx); err != nil {
		return err
	}
	return g.rememberClient(ctx, tx)
}

// passedAgain is passed for a proof that the session has given before: it tells nothing new
// of the client.
func (g *guard) passedAgain(ctx context.Context, tx *txn) error {
	f, err := g.admit(ctx, tx)
	if err != nil || f.Expire.IsZero() {
		return err
	}
	return g.forgetWrong(ctx, tx)
}

// provesWriting writes a row and deletes it, so that a right answer is not told where a wrong
// one could not be counted: on a full disk, a transaction that writes nothing succeeds.
func (g *guard) provesWriting(ctx context.Context, tx *txn) error {
	probe := &record.Failure{Purpose: failProbe, Subject: []byte(newID()), Last: tx.now, Expire: tx.now}
	if err := record.Failures.Insert(ctx, tx, probe); err != nil {
		return err
	}
	return record.Failures.Delete(ctx, tx, store.Text(probe.Purpose), store.Bytes(probe.Subject))
}

// forgetWrong forgets the wrong answers.
func (g *guard) forgetWrong(ctx context.Context, tx *txn) error {
	return record.Failures.DeleteIfThere(ctx, tx, store.Text(g.purpose), store.Bytes(g.subject))
}

// rememberClient records that the user has proven the identifier from the client.
func (g *guard) rememberClient(ctx context.Context, tx *txn) error {
	return tx.rememberKnown(ctx, g.known)
}

// rememberKnown records that the client of the call is known.
func (tx *txn) rememberKnown(ctx context.Context, k known) error {
	if tx.client.network() == "" || k.fresh {
		return nil
	}
	row, err := loadFailure(ctx, tx, failKnown, k.subject)
	if err != nil || row.Expire.After(tx.now.Add(knownLife-knownRenewal)) {
		return err
	}
	isNew := row.Expire.IsZero()
	row.Last, row.Expire = tx.now, tx.now.Add(knownLife)
	if isNew {
		return record.Failures.Insert(ctx, tx, row)
	}
	return record.Failures.Replace(ctx, tx, row)
}

// passwordSubject is the identifier under which wrong passwords of a user are
// counted, when signing in and for changes that ask for the password.
func passwordSubject(user *record.User) string {
	if user.Email == "" {
		return "user/" + user.Key
	}
	return user.Email
}

// forgetPasswordGuesses forgets the wrong passwords that strangers have tried: they
// were for another password, or for the former user of that address.
func (tx *txn) forgetPasswordGuesses(ctx context.Context, user *record.User) error {
	g := guard{purpose: failPassword, subject: tx.ring.Digest(failPassword, passwordSubject(user))}
	return g.forgetWrong(ctx, tx)
}

// forgetGuesses is forgetPasswordGuesses, for many users.
func (tx *txn) forgetGuesses(ctx context.Context, users []*record.User) error {
	var subjects []store.Value
	for _, user := range users {
		subjects = append(subjects, store.Bytes(tx.ring.Digest(failPassword, passwordSubject(user))))
	}
	rows, err := rowsIn(ctx, tx, record.Failures.Primary(), subjects, failPassword)
	if err != nil {
		return err
	}
	for _, row := range rows {
		if err := tx.Delete(ctx, record.Failures.Table, record.Failures.Primary().Key(row)...); err != nil {
			return err
		}
	}
	return nil
}

// forgetFactorGuesses forgets the wrong answers that strangers have given for a
// factor of a user.
func (tx *txn) forgetFactorGuesses(ctx context.Context, user *record.User, factor Factor) error {
	purpose := failFactor + string(factor)
	g := guard{purpose: purpose, subject: tx.ring.Digest(purpose, user.Key)}
	return g.forgetWrong(ctx, tx)
}
