package backend

import (
	"context"
	"errors"
	"runtime"
	"testing"

	"example.com/latchkey/store"
)

// A call that begins when Close already waits for a View does not wait for Close, because
// the View may wait for that call.
func TestACallDoesNotWaitForAClosingStore(t *testing.T) {
	s := New(&slowClose{}, nil)
	s.mu.RLock() // an open View
	closed := make(chan struct{})
	go func() {
		s.mu.Lock() // Close, before it has said that the store is closed
		defer s.mu.Unlock()
		close(closed)
	}()
	for s.mu.TryRLock() {
		s.mu.RUnlock()
		runtime.Gosched()
	}
	if _, err := s.Count(context.Background(), store.Query{}); !errors.Is(err, store.ErrClosed) {
		t.Errorf("a call of a closing store: %v", err)
	}
	s.mu.RUnlock()
	<-closed
}
