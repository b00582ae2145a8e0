package bbolt

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"example.com/latchkey/internal/record"
	"example.com/latchkey/store"
)

func TestPlanTellsWhatOpeningDoes(t *testing.T) {
	to := record.Schema.Version()
	for version := 1; version <= to; version++ {
		golden, err := os.ReadFile(fmt.Sprintf("../../internal/operations/testdata/v%d/test.bolt", version))
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), "test.bolt")
		if err := os.WriteFile(path, golden, 0o600); err != nil {
			t.Fatal(err)
		}
		plan, err := Plan(path)
		if err != nil || !plan.Exists || plan.Version != version || plan.To != to || plan.Upgrades() != (version < to) || (len(plan.Steps) > 0) != (version < to) {
			t.Errorf("version %d: %+v, %v", version, plan, err)
		}
		fills := slices.Contains(plan.Steps, "fill the new columns of version 7")
		buckets := slices.Contains(plan.Steps, "make bucket identities.primary")
		if fills != (version < 7) || buckets != (version < 9) {
			t.Errorf("version %d: the steps are %q", version, plan.Steps)
		}
		if after, err := os.ReadFile(path); err != nil || !bytes.Equal(golden, after) {
			t.Errorf("version %d: the file was changed, %v", version, err)
		}
		s, err := Open(path)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Plan(path); !errors.Is(err, store.ErrLocked) {
			t.Errorf("version %d, while the store is open: %v", version, err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if plan, err := Plan(path); err != nil || plan.Version != to || len(plan.Steps) != 0 {
			t.Errorf("version %d, opened: %+v, %v", version, plan, err)
		}
	}
}

func TestPlanOfAMissingFileMakesNone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.bolt")
	plan, err := Plan(path)
	if err != nil || plan.Exists || plan.Version != 0 || plan.Upgrades() || len(plan.Steps) != record.Schema.NumIndexes()+1 {
		t.Errorf("%+v, %v", plan, err)
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file was made: %v", err)
	}
}

func TestPlanRefusesWhatOpenRefuses(t *testing.T) {
	type row struct{ ID string }
	bind := func(r *row, b *store.Binder) { b.Text("id", &r.ID) }
	schema := func(name string, version int) *store.Schema {
		return store.NewSchema(name, version, store.Declare("rows", bind, store.Keys{Primary: []string{"id"}}).Table)
	}
	path := filepath.Join(t.TempDir(), "test.bolt")
	s, err := opener(path, schema("first", 2))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for want, schema := range map[error]*store.Schema{
		store.ErrForeign: schema("second", 2),
		store.ErrNewer:   schema("first", 1),
	} {
		if _, err := PlanWith(path, Options{Schema: schema}); !errors.Is(err, want) {
			t.Errorf("%v, not %v", err, want)
		}
	}
	if err := os.WriteFile(path, bytes.Repeat([]byte("not a database "), 5000), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Plan(path); !errors.Is(err, store.ErrForeign) {
		t.Errorf("a text: %v", err)
	}
}
