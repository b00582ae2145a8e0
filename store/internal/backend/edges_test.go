package backend

import (
	"errors"
	"slices"
	"testing"

	"example.com/latchkey/store"
)

// picky is a database that refuses, at the end, a batch with a word that it does not like.
type picky struct {
	*ledger
	dislikes string
}

type pickyBatch struct {
	*ledgerBatch
	dislikes string
}

func (p *picky) open(alone bool) (Batch, error) {
	b, err := p.ledger.open(alone)
	if err != nil {
		return nil, err
	}
	return &pickyBatch{b.(*ledgerBatch), p.dislikes}, nil
}

func (b *pickyBatch) Commit() error {
	if slices.Contains(b.all, b.dislikes) {
		b.commits++
		return store.ErrReference
	}
	return b.ledgerBatch.Commit()
}

func addPicky(word string) func(store.Tx) error {
	return func(tx store.Tx) error { return add(word)(tx.(*pickyBatch).ledgerBatch) }
}

// A closure alone whose commit is refused gets the refusal, once.
func TestARefusedCommitOfOneIsItsAnswer(t *testing.T) {
	p := &picky{&ledger{}, "bad"}
	w := NewWriter(p.open, nil)
	defer w.Close()
	if err := w.Update(t.Context(), addPicky("bad")); !errors.Is(err, store.ErrReference) || p.commits != 1 {
		t.Errorf("%v after %d commits", err, p.commits)
	}
	if err := w.Update(t.Context(), addPicky("good")); err != nil || !slices.Equal(p.kept, []string{"good"}) {
		t.Errorf("%v, kept %v", err, p.kept)
	}
}

// A closed store is not opened again by its Tidy.
func TestAClosedStoreIsNotTidied(t *testing.T) {
	s := New(&slowClose{}, nil)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Tidy(t.Context()); !errors.Is(err, store.ErrClosed) {
		t.Error(err)
	}
}
