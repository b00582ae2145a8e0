package sqlite

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"example.com/latchkey/internal/record"
	"example.com/latchkey/store"
)

// A second store on the file, opened and closed in this process, must not release
// the locks of the first store. Otherwise another process would remove the log.
func TestSecondStoreLeavesTheLocksOfTheFirst(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	first, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	insert := func(n int) error {
		return first.Update(background, func(ctx context.Context, tx store.Tx) error {
			return record.Failures.Insert(ctx, tx, &record.Failure{Purpose: "p", Subject: []byte{byte(n)}})
		})
	}
	if err := insert(0); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	held := func() bool {
		locks, err := os.ReadFile("/proc/locks")
		if err != nil {
			t.Fatal(err)
		}
		return strings.Contains(string(locks), fmt.Sprintf(":%d ", info.Sys().(*syscall.Stat_t).Ino))
	}
	if !held() {
		t.Fatal("no lock is held at all")
	}
	second, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := second.Close(); err != nil {
		t.Fatal(err)
	}
	if !held() {
		t.Error("the locks are gone")
	}
	if plan, err := Plan(path); err != nil || len(plan.Steps) > 0 || !held() {
		t.Errorf("after a plan the locks are there: %v; %+v, %v", held(), plan, err)
	}
	if err := insert(1); err != nil {
		t.Fatal(err)
	}
}
