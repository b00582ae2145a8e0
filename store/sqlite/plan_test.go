package sqlite

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"example.com/latchkey/internal/record"
	"example.com/latchkey/store"
)

// names lists the files of a folder.
func names(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(entries)
}

func TestPlanTellsWhatOpeningDoes(t *testing.T) {
	to := record.Schema.Version()
	for version := 1; version <= to; version++ {
		golden, err := os.ReadFile(fmt.Sprintf("../../internal/operations/testdata/v%d/test.db", version))
		if err != nil {
			t.Fatal(err)
		}
		dir := t.TempDir()
		path := filepath.Join(dir, "test.db")
		if err := os.WriteFile(path, golden, 0o600); err != nil {
			t.Fatal(err)
		}
		plan, err := Plan(path)
		if err != nil || !plan.Exists || plan.Version != version || plan.To != to || plan.Upgrades() != (version < to) {
			t.Errorf("version %d: %+v, %v", version, plan, err)
		}
		var want []string
		if version < to {
			want, err = upgradeFrom(standing{version: version, header: version < 10}, naming{schema: record.Schema})
		}
		if err != nil || strings.Join(plan.Steps, "\n") != strings.Join(want, "\n") || version < to && len(want) < to-version {
			t.Errorf("version %d: the steps are %q, %v", version, plan.Steps, err)
		}
		if after, err := os.ReadFile(path); err != nil || !bytes.Equal(golden, after) || names(t, dir) != "[- test.db]" {
			t.Errorf("version %d: the file was changed, %v, or one was made: %v", version, err, names(t, dir))
		}
		s, err := Open(path)
		if err != nil {
			t.Fatal(err)
		}
		// The store is open: its version may stand in the log alone.
		if plan, err := Plan(path); err != nil || plan.Version != to || len(plan.Steps) != 0 {
			t.Errorf("version %d, while the store is open: %+v, %v", version, plan, err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if plan, err := Plan(path); err != nil || plan.Version != to || len(plan.Steps) != 0 || names(t, dir) != "[- test.db]" {
			t.Errorf("version %d, opened: %+v, %v, %v", version, plan, err, names(t, dir))
		}
	}
}

func TestPlanOfAMissingFileMakesNone(t *testing.T) {
	dir := t.TempDir()
	plan, err := Plan(filepath.Join(dir, "test.db"))
	if err != nil || plan.Exists || plan.Version != 0 || plan.Upgrades() || len(plan.Steps) != record.Schema.Version()+2 || names(t, dir) != "[]" {
		t.Errorf("%+v, %v, %v", plan, err, names(t, dir))
	}
}

func TestPlanRefusesWhatOpenRefuses(t *testing.T) {
	path := madeFile(t)
	release := hold(t, path, "BEGIN EXCLUSIVE", "UPDATE users SET name = 'x' WHERE 0", "COMMIT")
	if _, err := Plan(path); !errors.Is(err, store.ErrLocked) {
		t.Errorf("held by another: %v", err)
	}
	release()
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	execute(t, path, "UPDATE latchkey_version SET version = version + 1")
	newer, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	former, err := os.ReadFile("../../internal/operations/testdata/v9/test.db")
	if err != nil {
		t.Fatal(err)
	}
	binary.BigEndian.PutUint32(former[60:], uint32(record.Schema.Version()+1)) // with the version in its header
	for name, test := range map[string]struct {
		content []byte
		want    error
	}{
		"newer": {newer, store.ErrNewer}, "newer by its header": {former, store.ErrNewer},
		"text": {bytes.Repeat([]byte("not a database "), 500), store.ErrForeign},
		"cut":  {whole[:len(whole)-1], store.ErrDamaged},
	} {
		if err := os.WriteFile(path, test.content, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Plan(path); !errors.Is(err, test.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
