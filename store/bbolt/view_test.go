package bbolt

import (
	"bytes"
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"testing"
	"time"

	"example.com/latchkey/internal/record"
	"example.com/latchkey/store"
)

func failure(n int) *record.Failure {
	subject := bytes.Repeat([]byte{byte(n), byte(n >> 8)}, 400)
	return &record.Failure{Purpose: "test", Subject: subject, Expire: time.UnixMicro(int64(n))}
}

// Neither writers nor other readers wait for a View while the file grows.
func TestFileGrowsDuringAView(t *testing.T) {
	if room() == 0 {
		t.Skip("an address space of 32 bits has no room to map the grown file")
	}
	path := filepath.Join(t.TempDir(), "test.db")
	s, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	const calls, rows = 20, 500
	count := func(r store.Reader) int {
		n, err := r.Count(t.Context(), store.Query{Index: record.Failures.Primary()})
		if err != nil {
			t.Error(err)
		}
		return n
	}
	if err := s.View(t.Context(), func(ctx context.Context, r store.Reader) error {
		for call := range calls {
			if err := s.Update(t.Context(), func(ctx context.Context, tx store.Tx) error {
				var all []*record.Failure
				for n := range rows {
					all = append(all, failure(call*rows+n))
				}
				return record.Failures.InsertAll(ctx, tx, all)
			}); err != nil {
				return err
			}
			if n := count(s); n != (call+1)*rows {
				t.Errorf("%d rows after %d calls", n, call+1)
			}
		}
		if n := count(r); n != 0 {
			t.Errorf("%d rows in the View", n)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Size() < calls*rows*800 || info.Size() > 1<<28 {
		t.Errorf("the file has %d bytes, %v", info.Size(), err)
	}
}

// An address space without room is no reason not to open a file.
func TestOpensWithoutRoom(t *testing.T) {
	if math.MaxInt == math.MaxInt32 {
		t.Skip("an address space of 32 bits: the number does not fit")
	}
	tooMany := 1
	tooMany <<= 47
	db, err := openMapped(filepath.Join(t.TempDir(), "test.db"), tooMany)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

// Each read of a View turns a fault into an error.
func TestFaultInAViewIsAnError(t *testing.T) {
	reads := map[string]func(store.Reader) error{
		"Get": func(r store.Reader) error {
			_, err := r.Get(t.Context(), record.Failures.Primary(), store.Text("p"), store.Bytes([]byte("subject 7")))
			return err
		},
		"List": func(r store.Reader) error {
			_, err := r.List(t.Context(), store.Query{Index: record.Failures.Primary(), Limit: 1000})
			return err
		},
		"Count": func(r store.Reader) error {
			_, err := r.Count(t.Context(), store.Query{Index: record.Failures.Primary()})
			return err
		},
	}
	for name, read := range reads {
		path, _ := full(t)
		d, err := openFile(path, Options{Schema: record.Schema})
		if err != nil {
			t.Fatal(err)
		}
		err = d.View(t.Context(), func(r store.Reader) error {
			if err := os.Truncate(path, int64(2*os.Getpagesize())); err != nil {
				t.Error(err)
			}
			return read(r)
		})
		if !errors.Is(err, store.ErrDamaged) {
			t.Errorf("%s of a file cut under a View: %v", name, err)
		}
		_ = d.Close()
	}
}
