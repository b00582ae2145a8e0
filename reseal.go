package latchkey

import (
	"context"
	"errors"

	"example.com/latchkey/internal/codes"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/internal/seal"
	"example.com/latchkey/store"
)

// Resealed is the result of [Engine.Reseal].
type Resealed struct {
	// Rows is the number of rows that were sealed anew.
	Rows int `json:"rows"`
	// Left is the number of rows that are still sealed with another key than the
	// active one, by [Key.ID]: with keys that the engine was not given, and live codes,
	// which end by themselves. A sign-in by a provider that has begun is not counted: it ends
	// within ten minutes. Rows that do not open although their key is known are
	// counted under "damaged".
	Left map[string]int `json:"left"`
}

// Reseal seals with the active key everything that is sealed with an old one, so that
// the old one can go. It is the third step of replacing a key, which [Keys] describes:
// the new key is already active on every machine. A key that is not in Left after a call
// without an error is not needed any more, and [New] asks for it no more. The engine may be
// used meanwhile.
//
// Counts of wrong passwords and known clients are kept under the active key. A change of
// the key forgets them, and with them the passwords that were disabled. While machines
// have different active keys, each key has counts of its own.
func (e *Engine) Reseal(ctx context.Context) (all Resealed, err error) {
	defer e.operation(&ctx, "reseal").end(&err)
	c, err := e.maintenance()
	if err != nil {
		return all, err
	}
	for {
		pass, err := c.resealOnce(ctx)
		all.Rows += pass.Rows
		all.Left = pass.Left
		if err != nil {
			return all, err
		}
		if pass.Rows == 0 { // the last pass has seen every row
			if err := c.countLiveCodes(ctx, all.Left); err != nil {
				return all, err
			}
			return all, c.forgetKeys(ctx, all.Left)
		}
	}
}

// countLiveCodes adds the live codes that an old key has digested, by key: they cannot
// be digested anew.
func (c *call) countLiveCodes(ctx context.Context, left map[string]int) error {
	count := func(digest []byte) {
		if len(digest) > 0 && !c.ring.CurrentCode(digest) {
			left[c.ring.KeyOfCode(digest)]++
		}
	}
	live := func(ix *store.Index) store.Query {
		return store.Query{Index: ix, From: store.Excluding(store.Time(c.now)), Limit: batch}
	}
	for page, err := range record.Tokens.Pages(ctx, c.store, live(record.Tokens.Index("expire"))) {
		if err != nil {
			return err
		}
		for _, t := range page {
			if t.Length > 0 { // not a link
				count([]byte(t.Digest))
			}
		}
	}
	for page, err := range record.Challenges.Pages(ctx, c.store, live(record.Challenges.Index("expire"))) {
		if err != nil {
			return err
		}
		for _, row := range page {
			count(row.Digest)
		}
	}
	return nil
}

// resealOnce looks at every row with a sealed column, once.
func (c *call) resealOnce(ctx context.Context) (Resealed, error) {
	out := Resealed{Left: make(map[string]int)}
	return out, errors.Join(
		resealTable(ctx, c, record.Users, &out, (*txn).resealUser),
		resealTable(ctx, c, record.Authenticators, &out, (*txn).resealAuthenticator),
		resealTable(ctx, c, record.RecoveryCodes, &out, (*txn).resealRecoveryCode),
		resealTable(ctx, c, record.Identities, &out, (*txn).resealIdentity),
		resealTable(ctx, c, record.Outbox, &out, (*txn).resealDelivery),
	)
}

// resealer seals the columns of a row anew.
type resealer[T any] func(*txn, context.Context, *T) (sealing, error)

// resealTable looks at every row of a table, a batch in a transaction. A row that has
// gone since it was listed is skipped.
func resealTable[T any](ctx context.Context, c *call, t store.Typed[T], out *Resealed, reseal resealer[T]) error {
	for page, err := range t.Pages(ctx, c.store, store.Query{Index: t.Primary(), Limit: batch}) {
		if err != nil {
			return err
		}
		part, err := update(ctx, c, func(ctx context.Context, tx *txn) (Resealed, error) { return resealPage(ctx, tx, page, reseal) })
		if err != nil {
			return err
		}
		out.Rows += part.Rows
		for key, n := range part.Left {
			out.Left[key] += n
		}
	}
	return nil
}

// resealPage is the transaction of a batch.
func resealPage[T any](ctx context.Context, tx *txn, page []*T, reseal resealer[T]) (Resealed, error) {
	part := Resealed{Left: make(map[string]int)}
	for _, row := range page {
		s, err := reseal(tx, ctx, row)
		if err != nil {
			return part, err
		}
		for key := range s.left {
			part.Left[key]++
		}
		if s.done {
			part.Rows++
		}
	}
	return part, nil
}

// sealing is the outcome of the sealed columns of a row: whether any was sealed anew, and
// the keys of those that do not open.
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

// resealUser seals the password and its history anew.
func (tx *txn) resealUser(ctx context.Context, read *record.User) (s sealing, err error) {
	if tx.ring.Current(read.Password) && tx.ring.Current(read.PasswordHistory) {
		return s, nil
	}
	user, err := findUser(ctx, tx, read.ID)
	if user == nil || err != nil {
		return s, err
	}
	s.reseal(tx.ring, seal.PasswordHash, seal.PasswordPlace(user.ID), &user.Password)
	s.reseal(tx.ring, seal.PasswordHash, seal.HistoryPlace(user.ID), &user.PasswordHistory)
	if s.done {
		err = record.Users.Replace(ctx, tx, user)
	}
	return s, err
}

// resealAuthenticator seals the seed anew.
func (tx *txn) resealAuthenticator(ctx context.Context, read *record.Authenticator) (s sealing, err error) {
	if tx.ring.Current(read.Seed) {
		return s, nil
	}
	row, err := record.Authenticators.Find(ctx, tx, record.Authenticators.Primary(), store.Text(read.ID))
	if row == nil || err != nil {
		return s, err
	}
	s.reseal(tx.ring, seal.TOTP, seal.SeedPlace(row.ID, row.UserID), &row.Seed)
	if s.done {
		err = record.Authenticators.Replace(ctx, tx, row)
	}
	return s, err
}

// resealIdentity seals the tokens of the provider anew.
func (tx *txn) resealIdentity(ctx context.Context, read *record.Identity) (s sealing, err error) {
	if tx.ring.Current(read.Access) && tx.ring.Current(read.Refresh) {
		return s, nil
	}
	row, err := record.Identities.Find(ctx, tx, record.Identities.Primary(), store.Text(read.ID))
	if row == nil || err != nil {
		return s, err
	}
	s.reseal(tx.ring, seal.Provider, seal.AccessPlace(row.ID, row.UserID), &row.Access)
	s.reseal(tx.ring, seal.Provider, seal.RefreshPlace(row.ID, row.UserID), &row.Refresh)
	if s.done {
		err = record.Identities.Replace(ctx, tx, row)
	}
	return s, err
}

// resealRecoveryCode seals the code anew, and makes its digest anew.
func (tx *txn) resealRecoveryCode(ctx context.Context, read *record.RecoveryCode) (s sealing, err error) {
	if tx.ring.Current(read.Sealed) {
		return s, nil
	}
	row, err := record.RecoveryCodes.Find(ctx, tx, record.RecoveryCodes.Primary(), store.Text(read.ID))
	if row == nil || err != nil {
		return s, err
	}
	place := seal.RecoveryCodePlace(row.ID, row.UserID)
	s.reseal(tx.ring, seal.RecoveryCode, place, &row.Sealed)
	if !s.done {
		return s, nil
	}
	code, err := tx.ring.Open(seal.RecoveryCode, place, row.Sealed)
	if err != nil {
		return s, err
	}
	row.Digest = tx.ring.DigestCode(recoveryParts(row.UserID, codes.PlainRecovery(string(code)))...)
	return s, record.RecoveryCodes.Replace(ctx, tx, row)
}

// resealDelivery seals a message or an event anew.
func (tx *txn) resealDelivery(ctx context.Context, read *record.Delivery) (s sealing, err error) {
	if tx.ring.Current(read.Sealed) {
		return s, nil
	}
	row, err := record.Outbox.Find(ctx, tx, record.Outbox.Primary(), store.Text(read.ID))
	if row == nil || err != nil {
		return s, err
	}
	s.reseal(tx.ring, seal.Outbox, seal.OutboxPlace(row.ID, row.Lane), &row.Sealed)
	if s.done {
		err = record.Outbox.Replace(ctx, tx, row)
	}
	return s, err
}
