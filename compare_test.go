package latchkey_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"example.com/latchkey"
)

// What compares a secret where its caller can prevent the count is a fault, and compares
// nothing.
func TestASecretIsComparedOnlyWhereItsCountIsSure(t *testing.T) {
	if compared, err := latchkey.Compared(context.Background()); compared || err == nil {
		t.Errorf("compared: %v, %v", compared, err)
	}
}

// The caller cannot cancel a comparison, and it has a time limit of its own.
func TestAComparisonHasItsOwnTimeLimit(t *testing.T) {
	outer, hangUp := context.WithCancel(context.Background())
	ctx, done, err := latchkey.Settling(outer)
	if err != nil {
		t.Fatal(err)
	}
	defer done()
	hangUp()
	if compared, err := latchkey.Compared(ctx); !compared || err != nil || ctx.Err() != nil {
		t.Errorf("after the caller has gone: %v, %v, %v", compared, err, ctx.Err())
	}
	if end, bounded := ctx.Deadline(); !bounded || time.Until(end) > time.Minute {
		t.Errorf("the limit is %v", end)
	}
	if _, _, err := latchkey.Settling(outer); !errors.Is(err, context.Canceled) {
		t.Errorf("a caller who has gone before: %v", err)
	}
}
