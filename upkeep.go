package latchkey

import (
	"bytes"
	"context"
	"errors"
	"time"

	"example.com/latchkey/internal/record"
	"example.com/latchkey/internal/seal"
	"example.com/latchkey/store"
)

// Swept is what [Engine.Sweep] has deleted.
type Swept struct {
	Sessions, Failures, Logs int // rows
	Users                    int // anonymous ones that nobody can be any more
}

// Sweep deletes what has run out: expired sessions, forgotten failures, lines of
// the log that are older than the policy keeps them, and anonymous users (without
// address, number or password) whose last session has expired. A host calls it
// now and then, once a day for example, on one machine. It works in short
// batches that nobody notices. Nothing depends on it but room: what has run out
// serves nobody before it is swept. On an error the numbers are of what is gone.
func (e *Engine) Sweep(ctx context.Context) (swept Swept, err error) {
	if err := e.open(); err != nil {
		return swept, outward("sweep", err)
	}
	now := e.now()
	past := now.Add(time.Microsecond) // what runs out now has run out
	if swept.Users, err = e.sweepAnonymous(ctx, now); err != nil {
		return swept, outward("sweep", err)
	}
	if swept.Sessions, err = store.Sweep(ctx, e.store, record.Sessions.Index("expire"), past); err != nil {
		return swept, outward("sweep", err)
	}
	if swept.Failures, err = store.Sweep(ctx, e.store, record.Failures.Index("expire"), past); err != nil {
		return swept, outward("sweep", err)
	}
	swept.Logs, err = store.Sweep(ctx, e.store, record.Logs.Index("created"), now.Add(-e.policy.LogLength))
	return swept, outward("sweep", err)
}

// batch is how many rows of a table upkeep looks at in one transaction.
const batch = 50

// sweepAnonymous deletes the anonymous users whose last session has expired.
func (e *Engine) sweepAnonymous(ctx context.Context, now time.Time) (deleted int, err error) {
	q := store.Query{
		Index: record.Sessions.Index("expire"), To: store.Including(store.Time(now)), Limit: batch,
		Where: []store.Filter{store.Where("provider", store.OpEqual, store.Text(providerAnonymous))},
	}
	for {
		rows, err := record.Sessions.List(ctx, e.store, q)
		if err != nil || len(rows) == 0 {
			return deleted, err
		}
		n := 0
		err = e.update(ctx, now, actor{mode: "server"}, func(ctx context.Context, tx *txn) error {
			n = 0
			for _, s := range rows {
				gone, err := tx.deleteIfLost(ctx, s.UserID)
				if err != nil {
					return err
				}
				if gone {
					n++
				}
			}
			return nil
		})
		deleted += n
		if err != nil || len(rows) < batch {
			return deleted, err
		}
		q.After = q.Index.Position(record.Sessions.Row(rows[len(rows)-1]))
	}
}

// deleteIfLost deletes an anonymous user without a session.
func (tx *txn) deleteIfLost(ctx context.Context, id string) (gone bool, err error) {
	user, err := getUser(ctx, tx, id)
	if errors.Is(err, ErrUserNotFound) {
		return false, nil
	}
	if err != nil || !anonymous(user) {
		return false, err
	}
	sessions, err := listSessions(ctx, tx, id)
	if err != nil {
		return false, err
	}
	for _, s := range sessions {
		if tx.engine.alive(s, tx.now) {
			return false, nil
		}
	}
	return true, tx.deleteUser(ctx, user)
}

// anonymous reports whether a user has no way to sign in again.
func anonymous(user *record.User) bool {
	return user.Email == "" && user.Phone == "" && user.Password == nil
}

// Resealed is what [Engine.Reseal] has done.
type Resealed struct {
	// Rows is how many rows were sealed anew.
	Rows int
	// Left is how many rows are still sealed with another key than the active
	// one, by [Key.ID]: keys that the engine was not given. Those that do not
	// open though their key is known are counted under "damaged".
	Left map[string]int
}

// Reseal seals with the active key what is sealed with an old one, so that the
// old one can go: when it returns without an error, every key that is not in
// Left opens nothing any more. The engine may be used meanwhile. Counts of wrong
// passwords are kept under the active key, so those of before are forgotten when
// keys change.
func (e *Engine) Reseal(ctx context.Context) (Resealed, error) {
	out := Resealed{Left: make(map[string]int)}
	if err := e.open(); err != nil {
		return out, outward("reseal", err)
	}
	q := store.Query{Index: record.Users.Primary(), Limit: batch}
	for {
		page, err := record.Users.List(ctx, e.store, q)
		if err != nil || len(page) == 0 {
			return out, outward("reseal", err)
		}
		var done int
		var left map[string]int
		err = e.update(ctx, e.now(), actor{mode: "server"}, func(ctx context.Context, tx *txn) error {
			done, left = 0, make(map[string]int)
			for _, user := range page {
				sealed, key, err := tx.resealUser(ctx, user)
				if err != nil {
					return err
				}
				if sealed {
					done++
				}
				if key != "" {
					left[key]++
				}
			}
			return nil
		})
		if err != nil {
			return out, outward("reseal", err)
		}
		out.Rows += done
		for key, n := range left {
			out.Left[key] += n
		}
		q.After = q.Index.Position(record.Users.Row(page[len(page)-1]))
	}
}

// resealUser seals anew what a row holds. It returns the key of what it could
// not open, "" if there is none.
func (tx *txn) resealUser(ctx context.Context, read *record.User) (done bool, left string, err error) {
	ring := tx.engine.ring
	if ring.Current(read.Password) && ring.Current(read.PasswordHistory) {
		return false, "", nil
	}
	user, err := getUser(ctx, tx, read.ID)
	if errors.Is(err, ErrUserNotFound) {
		return false, "", nil
	}
	if err != nil {
		return false, "", err
	}
	for column, place := range map[*[]byte]seal.Place{
		&user.Password: passwordPlace(user.ID), &user.PasswordHistory: historyPlace(user.ID),
	} {
		if ring.Current(*column) {
			continue
		}
		text, err := ring.Open(seal.PasswordHash, place, *column)
		if errors.Is(err, seal.ErrUnknownKey) {
			left = ring.KeyOf(*column)
			continue
		}
		if err != nil {
			left = "damaged"
			continue
		}
		*column, done = ring.Seal(seal.PasswordHash, place, bytes.Clone(text)), true
	}
	if !done {
		return false, left, nil
	}
	return true, left, record.Users.Replace(ctx, tx, user)
}
