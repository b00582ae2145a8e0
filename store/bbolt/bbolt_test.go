package bbolt

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"example.com/latchkey/internal/record"
	"example.com/latchkey/store"
	"example.com/latchkey/store/storetest"
)

func opener(path string, schema *store.Schema) (store.Store, error) {
	return OpenWith(path, Options{Schema: schema})
}

func place(t testing.TB, schema *store.Schema) storetest.Place {
	path := filepath.Join(t.TempDir(), "test.db")
	s, err := opener(path, schema)
	if err != nil {
		t.Fatal(err)
	}
	return storetest.Place{Store: s, Reopen: func() (store.Store, error) { return opener(path, schema) }}
}

func TestContract(t *testing.T) { storetest.Run(t, place) }

func BenchmarkStore(b *testing.B) { storetest.Bench(b, place) }

func TestSecondOpenerIsLockedOut(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	s, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path); !errors.Is(err, store.ErrLocked) {
		t.Errorf("second opener: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if s, err = Open(path); err != nil {
		t.Fatalf("after the first has closed: %v", err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

type older struct{ ID, Name string }

func (o *older) bind(b *store.Binder) {
	b.Text("id", &o.ID)
	b.Text("name", &o.Name)
}

type newer struct {
	older
	Rank int64
	Note string
}

func (n *newer) bind(b *store.Binder) {
	n.older.bind(b)
	b.Int("rank", &n.Rank)
	b.NullText("note", &n.Note)
}

// version is one version of a schema, with its table.
type version[T any] struct {
	things store.Typed[T]
	schema *store.Schema
}

// upgradeSchemas returns a schema, the next version of it, and a table that is
// new in the next version.
func upgradeSchemas() (v1 version[older], v2 version[newer], more store.Typed[older]) {
	v1.things = store.Declare("things", (*older).bind, store.Keys{Primary: []string{"id"}})
	v1.schema = store.NewSchema("upgrade", 1, v1.things.Table)
	v2.things = store.Declare("things", (*newer).bind, store.Keys{
		Primary: []string{"id"},
		Indexes: []store.IndexOn{{Name: "name", Columns: []string{"name"}, Unique: true}, {Name: "rank", Columns: []string{"rank"}}},
	})
	more = store.Declare("more", (*older).bind, store.Keys{Primary: []string{"id"}})
	v2.schema = store.NewSchema("upgrade", 2, v2.things.Table, more.Table)
	return v1, v2, more
}

func TestUpgradeAddsColumnsIndexesAndTables(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	ctx := context.Background()
	first, second, more := upgradeSchemas()
	v1, schema1, v2, schema2 := first.things, first.schema, second.things, second.schema
	s, err := OpenWith(path, Options{Schema: schema1})
	if err != nil {
		t.Fatal(err)
	}
	err = s.Update(ctx, func(ctx context.Context, tx store.Tx) error {
		return errors.Join(v1.Insert(ctx, tx, &older{"a", "Z"}), v1.Insert(ctx, tx, &older{"b", "Y"}))
	})
	if err = errors.Join(err, s.Close()); err != nil {
		t.Fatal(err)
	}

	if s, err = OpenWith(path, Options{Schema: schema2}); err != nil {
		t.Fatal(err)
	}
	got, err := v2.List(ctx, s, store.Query{Index: v2.Index("name"), Limit: 10})
	if err != nil || len(got) != 2 || got[0].ID != "b" || got[0].Rank != 0 || got[0].Note != "" {
		t.Errorf("by the new index: %+v, %v", got, err)
	}
	if n, err := s.Count(ctx, store.Query{Index: v2.Index("rank")}); n != 2 || err != nil {
		t.Errorf("by the other: %d, %v", n, err)
	}
	err = s.Update(ctx, func(ctx context.Context, tx store.Tx) error {
		return errors.Join(more.Insert(ctx, tx, &older{"c", "X"}), v2.Replace(ctx, tx, &newer{older: older{"a", "Z"}, Rank: 5}))
	})
	if err = errors.Join(err, s.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenWith(path, Options{Schema: schema1}); !errors.Is(err, store.ErrNewer) {
		t.Errorf("the older program: %v", err)
	}
	if _, err := Open(path); !errors.Is(err, store.ErrForeign) {
		t.Errorf("another program: %v", err)
	}
}

func TestForeignFileIsRefusedUntouched(t *testing.T) {
	for _, noFreelist := range []bool{false, true} {
		path := filepath.Join(t.TempDir(), "test.db")
		db, err := bolt.Open(path, 0o600, &bolt.Options{NoFreelistSync: noFreelist})
		if err != nil {
			t.Fatal(err)
		}
		err = db.Update(func(tx *bolt.Tx) error {
			_, err := tx.CreateBucket([]byte("users.primary"))
			return err
		})
		if err = errors.Join(err, db.Close()); err != nil {
			t.Fatal(err)
		}
		before, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Open(path); !errors.Is(err, store.ErrForeign) {
			t.Errorf("a bbolt file of another program: %v", err)
		}
		if after, err := os.ReadFile(path); err != nil || !bytes.Equal(before, after) {
			t.Errorf("the file was changed, %v", err)
		}
	}
}

// Freelists that would make bbolt panic, or ask for all memory, at opening.
func TestDamagedFreelistIsRefused(t *testing.T) {
	path, whole := full(t)
	m, _ := readMetas(bytes.NewReader(whole))
	at := int(m.freelist) * os.Getpagesize()
	for name, damage := range map[string]func(b []byte){
		"many": func(b []byte) {
			binary.NativeEndian.PutUint16(b[10:], 0xFFFF)
			binary.NativeEndian.PutUint64(b[16:], 1<<57)
		},
		"too many": func(b []byte) { binary.NativeEndian.PutUint16(b[10:], 0xFFFE) },
		"out of file": func(b []byte) {
			binary.NativeEndian.PutUint16(b[10:], 1)
			binary.NativeEndian.PutUint64(b[16:], m.pages)
		},
		"a state":     func(b []byte) { binary.NativeEndian.PutUint16(b[10:], 1); binary.NativeEndian.PutUint64(b[16:], 1) },
		"no freelist": func(b []byte) { binary.NativeEndian.PutUint16(b[8:], 1) },
	} {
		content := bytes.Clone(whole)
		damage(content[at:])
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(path); !errors.Is(err, store.ErrDamaged) {
			t.Errorf("%s: %v", name, err)
		}
		if err := os.WriteFile(path, whole, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := Open(path)
		if err != nil {
			t.Fatalf("%s: whole again: %v", name, err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// A panic of bbolt in a commit is an error, and so is every later call. No call
// waits for the lock that bbolt has kept.
func TestPanicInCommitDoesNotHang(t *testing.T) {
	path, b := full(t)
	m, _ := readMetas(bytes.NewReader(b))
	at := int(m.freelist) * os.Getpagesize()
	n := 0 // a freelist that names pages in use
	for p := uint64(2); p < m.pages && n < 400; p++ {
		if p != m.freelist {
			binary.NativeEndian.PutUint64(b[at+16+8*n:], p)
			n++
		}
	}
	binary.NativeEndian.PutUint16(b[at+10:], uint16(n))
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	failed := 0
	for i := range 4 {
		err := s.Update(ctx, func(ctx context.Context, tx store.Tx) error {
			return record.Failures.Insert(ctx, tx, &record.Failure{Purpose: "q", Subject: []byte{byte(i)}})
		})
		if err != nil {
			failed++
		}
	}
	if failed == 0 || ctx.Err() != nil {
		t.Errorf("%d of 4 failed, %v", failed, ctx.Err())
	}
	_ = s.Close()
}

func TestFaultAfterGoexitIsAnError(t *testing.T) {
	path, _ := full(t)
	d, err := openFile(path, Options{Schema: record.Schema})
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	var group sync.WaitGroup
	group.Go(func() {
		_ = d.Update(ctx, func(store.Tx) error { runtime.Goexit(); return nil })
	})
	group.Wait()
	err = d.Update(ctx, func(tx store.Tx) error {
		if err := os.Truncate(path, int64(2*os.Getpagesize())); err != nil {
			t.Error(err)
		}
		_, err := tx.List(ctx, store.Query{Index: record.Failures.Primary(), Limit: 1000})
		return err
	})
	if !errors.Is(err, store.ErrDamaged) {
		t.Errorf("a file cut under the database: %v", err)
	}
	_ = d.Close()
}

// A closure that fails in a shared batch is undone alone: no other closure runs
// again because of it.
func TestFailedClosureCostsNobodyARun(t *testing.T) {
	d, err := openFile(filepath.Join(t.TempDir(), "test.db"), Options{Schema: record.Schema})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	ctx := context.Background()
	var group sync.WaitGroup
	var runs atomic.Int64
	mine := errors.New("mine")
	for n := range 64 {
		group.Go(func() {
			err := d.Update(ctx, func(tx store.Tx) error {
				runs.Add(1)
				row := record.Failures.Row(&record.Failure{Purpose: "p", Subject: []byte{byte(n)}})
				if err := tx.Insert(ctx, record.Failures.Table, row); err != nil {
					return err
				}
				if n%2 == 1 {
					return mine
				}
				return nil
			})
			if n%2 == 0 && err != nil || n%2 == 1 && !errors.Is(err, mine) {
				t.Errorf("writer %d: %v", n, err)
			}
		})
	}
	group.Wait()
	left, err := d.Count(ctx, store.Query{Index: record.Failures.Primary()})
	if runs.Load() != 64 || left != 32 || err != nil {
		t.Errorf("%d runs of 64 closures, %d rows of 32, %v", runs.Load(), left, err)
	}
}

// full returns the path of a closed file with a few thousand rows.
func full(t *testing.T) (path string, content []byte) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "full.db")
	s, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	err = s.Update(context.Background(), func(ctx context.Context, tx store.Tx) error {
		for n := range 3000 {
			err := record.Failures.Insert(ctx, tx, &record.Failure{Purpose: "p", Subject: fmt.Appendf(nil, "subject %d", n)})
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err = errors.Join(err, s.Close()); err != nil {
		t.Fatal(err)
	}
	if content, err = os.ReadFile(path); err != nil {
		t.Fatal(err)
	}
	return path, content
}

func TestDamagedHeaderIsRefusedUntouched(t *testing.T) {
	path, whole := full(t)
	page := os.Getpagesize()
	noMetas := bytes.Clone(whole)
	noMetas[pageHeader+56]++
	noMetas[page+pageHeader+56]++
	for name, test := range map[string]struct {
		content []byte
		want    error
	}{
		"text":           {bytes.Repeat([]byte("not a database "), 5000), store.ErrForeign},
		"one byte":       {whole[:1], store.ErrForeign},
		"half a page":    {whole[:page/2], store.ErrDamaged},
		"two pages":      {whole[:2*page], store.ErrDamaged},
		"half the file":  {whole[:len(whole)/2], store.ErrDamaged},
		"no whole state": {noMetas, store.ErrDamaged},
	} {
		if err := os.WriteFile(path, test.content, 0o600); err != nil {
			t.Fatal(err)
		}
		if s, err := Open(path); !errors.Is(err, test.want) {
			t.Errorf("%s: %v", name, err)
			if err == nil {
				_ = s.Close()
			}
		}
		if after, err := os.ReadFile(path); err != nil || !bytes.Equal(after, test.content) {
			t.Errorf("%s: the file was changed, %v", name, err)
		}
	}
	oneMeta := bytes.Clone(whole)
	oneMeta[pageHeader+56]++
	if err := os.WriteFile(path, oneMeta, 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := Open(path)
	if err != nil {
		t.Fatalf("one whole state of two: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// Damage after the header is an error of the call that meets it, and neither a
// panic nor a fault.
func TestDeepDamageIsAnError(t *testing.T) {
	path, whole := full(t)
	page := os.Getpagesize()
	ctx := context.Background()
	met := 0
	for at := 2 * page; at < len(whole); at += 3 * page {
		for _, bad := range []byte{0x00, 0xFF} {
			content := bytes.Clone(whole)
			for i := range page {
				content[at+i] = bad
			}
			if err := os.WriteFile(path, content, 0o600); err != nil {
				t.Fatal(err)
			}
			s, err := Open(path)
			if errors.Is(err, store.ErrLocked) {
				t.Fatalf("page %d: %v", at/page, err)
			}
			if err != nil {
				met++
				continue
			}
			_, list := s.List(ctx, store.Query{Index: record.Failures.Primary(), Limit: store.MaxLimit})
			_, get := s.Get(ctx, record.Failures.Primary(), store.Text("p"), store.Bytes([]byte("subject 7")))
			list = errors.Join(list, s.View(ctx, func(ctx context.Context, r store.Reader) error {
				_, err := r.List(ctx, store.Query{Index: record.Failures.Primary(), Limit: store.MaxLimit})
				return err
			}))
			get = errors.Join(get, s.View(ctx, func(ctx context.Context, r store.Reader) error {
				_, err := r.Get(ctx, record.Failures.Primary(), store.Text("p"), store.Bytes([]byte("subject 8")))
				return err
			}))
			update := s.Update(ctx, func(ctx context.Context, tx store.Tx) error {
				_, err := tx.DeleteRange(ctx, store.Query{Index: record.Failures.Index("expire"), Limit: store.MaxLimit})
				return err
			})
			if errors.Join(list, get, update, s.(store.Checker).Check(ctx)) != nil {
				met++
			}
			_ = s.Close()
		}
	}
	if met < 10 {
		t.Errorf("only %d damaged pages were noticed", met)
	}
}

func TestSyncIsOn(t *testing.T) {
	d, err := openFile(filepath.Join(t.TempDir(), "test.db"), Options{Schema: record.Schema})
	if err != nil {
		t.Fatal(err)
	}
	if d.db.NoSync || d.db.NoGrowSync {
		t.Error("commits are not synced")
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
}

func FuzzDecodeRow(f *testing.F) {
	table := record.Users.Table
	f.Add(encodeRow(table, record.Users.Row(&record.User{ID: "a", Email: "a@x.org", Password: []byte{0, 1}})))
	f.Add([]byte{rowFormat, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		row, err := decodeRow(table, b)
		if err != nil {
			return
		}
		again, err := decodeRow(table, encodeRow(table, row))
		if err != nil || !bytes.Equal(encodeRow(table, again), encodeRow(table, row)) {
			t.Errorf("%x does not come back, %v", b, err)
		}
	})
}

var killRounds = flag.Int("kill-rounds", 50, "how often TestKill kills its child")

func TestKill(t *testing.T) { storetest.Kill(t, *killRounds, opener) }

func TestLoneUpdateIsSynced(t *testing.T) { storetest.Sync(t, opener) }

func TestKillWhileUpgrading(t *testing.T) {
	older1, older2, _ := upgradeSchemas()
	prepare := func(path string) error {
		s, err := OpenWith(path, Options{Schema: older1.schema})
		if err != nil {
			return err
		}
		err = s.Update(context.Background(), func(ctx context.Context, tx store.Tx) error {
			for n := range 2000 {
				if err := older1.things.Insert(ctx, tx, &older{fmt.Sprint("id", n), fmt.Sprint("name", n)}); err != nil {
					return err
				}
			}
			return nil
		})
		return errors.Join(err, s.Close())
	}
	storetest.KillOpening(t, *killRounds, prepare, func(path string, _ *store.Schema) (store.Store, error) {
		s, err := OpenWith(path, Options{Schema: older2.schema})
		if err != nil {
			return nil, err
		}
		for _, ix := range older2.things.Indexes() {
			if n, err := s.Count(context.Background(), store.Query{Index: ix}); n != 2000 || err != nil {
				return nil, errors.Join(fmt.Errorf("%d rows by %s", n, ix.Name()), err, s.Close())
			}
		}
		return s, nil
	})
}
