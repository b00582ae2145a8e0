package latchkey

import (
	"context"
	"errors"

	"example.com/latchkey/internal/codes"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/internal/seal"
	"example.com/latchkey/store"
)

// Resealed is what [Engine.Reseal] has done.
type Resealed struct {
	// Rows is how many rows were sealed anew.
	Rows int
	// Left is how many rows are still sealed with another key than the active
	// one, by [Key.ID]: keys that the engine was not given, and live codes, which
	// end by themselves. Those that do not
	// open though their key is known are counted under "damaged".
	Left map[string]int
}

// Reseal seals with the active key what is sealed with an old one, so that the
// old one can go: give every machine the new active key first, with the old one
// among Keys.Old; then a key that is not in Left when this returns without an
// error is not needed any more. The engine may be used meanwhile.
//
// Counts of wrong passwords and known clients are kept under the active key:
// changing it forgets them, and with them which passwords were disabled.
func (e *Engine) Reseal(ctx context.Context) (Resealed, error) {
	var all Resealed
	if err := e.open(); err != nil {
		return all, outward("reseal", err)
	}
	for {
		pass, err := e.resealOnce(ctx)
		all.Rows += pass.Rows
		all.Left = pass.Left
		if err == nil && pass.Rows == 0 { // the last pass has seen every row in its place
			return all, outward("reseal", errors.Join(e.countCodes(ctx, all.Left), e.countChallenges(ctx, all.Left)))
		}
		if err != nil {
			return all, outward("reseal", err)
		}
	}
}

// countCodes adds the live codes that an old key has digested, by key: they
// cannot be digested anew.
func (e *Engine) countCodes(ctx context.Context, left map[string]int) error {
	q := store.Query{Index: record.Tokens.Index("expire"), From: store.Excluding(store.Time(e.now())), Limit: batch}
	for {
		page, err := record.Tokens.List(ctx, e.store, q)
		if err != nil || len(page) == 0 {
			return err
		}
		for _, t := range page {
			if t.Length > 0 && !e.ring.CurrentCode([]byte(t.Digest)) {
				left[e.ring.KeyOfCode([]byte(t.Digest))]++
			}
		}
		q.After = q.Index.Position(record.Tokens.Row(page[len(page)-1]))
	}
}

// countChallenges does the same for the codes of challenges.
func (e *Engine) countChallenges(ctx context.Context, left map[string]int) error {
	q := store.Query{Index: record.Challenges.Index("expire"), From: store.Excluding(store.Time(e.now())), Limit: batch}
	for {
		page, err := record.Challenges.List(ctx, e.store, q)
		if err != nil || len(page) == 0 {
			return err
		}
		for _, c := range page {
			if c.Digest != nil && !e.ring.CurrentCode(c.Digest) {
				left[e.ring.KeyOfCode(c.Digest)]++
			}
		}
		q.After = q.Index.Position(record.Challenges.Row(page[len(page)-1]))
	}
}

func (e *Engine) resealOnce(ctx context.Context) (Resealed, error) {
	out := Resealed{Left: make(map[string]int)}
	return out, errors.Join(
		resealTable(ctx, e, record.Users, &out, (*txn).resealUser),
		resealTable(ctx, e, record.Authenticators, &out, (*txn).resealAuthenticator),
		resealTable(ctx, e, record.RecoveryCodes, &out, (*txn).resealRecoveryCode),
	)
}

// resealTable looks at every row of a table, some in a transaction. One that has
// gone since it was listed is no error.
func resealTable[T any](ctx context.Context, e *Engine, t store.Typed[T], out *Resealed, reseal func(*txn, context.Context, *T) (sealing, error)) error {
	q := store.Query{Index: t.Primary(), Limit: batch}
	for {
		page, err := t.List(ctx, e.store, q)
		if err != nil || len(page) == 0 {
			return err
		}
		var part Resealed
		err = e.update(ctx, e.now(), actor{mode: "server"}, func(ctx context.Context, tx *txn) error {
			part = Resealed{Left: make(map[string]int)}
			for _, row := range page {
				s, err := reseal(tx, ctx, row)
				if err != nil && !errors.Is(err, store.ErrNotFound) {
					return err
				}
				for key := range s.left {
					part.Left[key]++
				}
				if s.done {
					part.Rows++
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		out.Rows += part.Rows
		for key, n := range part.Left {
			out.Left[key] += n
		}
		q.After = q.Index.Position(t.Row(page[len(page)-1]))
	}
}

// sealing is what became of the sealed columns of a row: whether any was sealed
// anew, and by which keys those are that do not open.
type sealing struct {
	done bool
	left map[string]bool
}

// reseal seals a column anew, if it is not sealed with the active key.
func (s *sealing) reseal(ring *seal.Ring, purpose string, place seal.Place, column *[]byte) {
	if ring.Current(*column) {
		return
	}
	text, err := ring.Open(purpose, place, *column)
	if err == nil {
		*column, s.done = ring.Seal(purpose, place, text), true
		return
	}
	key := "damaged"
	if errors.Is(err, seal.ErrUnknownKey) {
		key = ring.KeyOf(*column)
	}
	if s.left == nil {
		s.left = make(map[string]bool)
	}
	s.left[key] = true
}

func (tx *txn) resealUser(ctx context.Context, read *record.User) (s sealing, err error) {
	ring := tx.engine.ring
	if ring.Current(read.Password) && ring.Current(read.PasswordHistory) {
		return s, nil
	}
	user, err := record.Users.Get(ctx, tx, record.Users.Primary(), store.Text(read.ID))
	if err != nil {
		return s, err
	}
	s.reseal(ring, seal.PasswordHash, seal.PasswordPlace(user.ID), &user.Password)
	s.reseal(ring, seal.PasswordHash, seal.HistoryPlace(user.ID), &user.PasswordHistory)
	if s.done {
		err = record.Users.Replace(ctx, tx, user)
	}
	return s, err
}

func (tx *txn) resealAuthenticator(ctx context.Context, read *record.Authenticator) (s sealing, err error) {
	if tx.engine.ring.Current(read.Seed) {
		return s, nil
	}
	row, err := record.Authenticators.Get(ctx, tx, record.Authenticators.Primary(), store.Text(read.ID))
	if err != nil {
		return s, err
	}
	if s.reseal(tx.engine.ring, seal.TOTP, seal.SeedPlace(row.ID, row.UserID), &row.Seed); s.done {
		err = record.Authenticators.Replace(ctx, tx, row)
	}
	return s, err
}

// resealRecoveryCode makes the digest anew with what is sealed.
func (tx *txn) resealRecoveryCode(ctx context.Context, read *record.RecoveryCode) (s sealing, err error) {
	ring := tx.engine.ring
	if ring.Current(read.Sealed) {
		return s, nil
	}
	row, err := record.RecoveryCodes.Get(ctx, tx, record.RecoveryCodes.Primary(), store.Text(read.ID))
	if err != nil {
		return s, err
	}
	place := seal.RecoveryCodePlace(row.ID, row.UserID)
	if s.reseal(ring, seal.RecoveryCode, place, &row.Sealed); !s.done {
		return s, nil
	}
	code, err := ring.Open(seal.RecoveryCode, place, row.Sealed)
	if err != nil {
		return s, err
	}
	row.Digest = ring.DigestCode(recoveryParts(row.UserID, codes.PlainRecovery(string(code)))...)
	return s, record.RecoveryCodes.Replace(ctx, tx, row)
}
