package latchkey

import (
	"context"
	"errors"

	"example.com/latchkey/internal/record"
	"example.com/latchkey/store"
)

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
