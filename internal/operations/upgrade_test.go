package operations_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/hasher/hashertest"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/store"
)

var writeGolden = flag.Bool("write-golden", false, "write the files of the current version of the schema to testdata")

func goldenEngine(t *testing.T, backend, dir string) (*latchkey.Engine, store.Store) {
	t.Helper()
	engine, s, err := openKept(t, backend, dir, latchkey.Config{
		Hasher: hashertest.New(t),
		Now:    func() time.Time { return time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC) },
	})
	if err != nil {
		t.Fatal(err)
	}
	return engine, s
}

func writeGoldenFile(t *testing.T, backend, dir string) {
	engine, s := goldenEngine(t, backend, dir)
	ctx := context.Background()
	guest := engine.Guest(kit.Client)
	_, err := guest.CreateAccount(ctx, latchkey.NewAccount{Email: kit.Ada, Password: kit.Password, Name: "Ada"})
	if err != nil {
		t.Fatal(err)
	}
	session, err := guest.CreateEmailPasswordSession(ctx, kit.Ada, kit.Password)
	if err != nil {
		t.Fatal(err)
	}
	secret := filepath.Join(dir, backend+".secret")
	if err := errors.Join(engine.Close(), s.Close(), os.WriteFile(secret, []byte(session.Secret.Reveal()), 0o600)); err != nil {
		t.Fatal(err)
	}
}

func readGoldenFile(t *testing.T, backend, dir string) {
	engine, s := goldenEngine(t, backend, dir)
	defer s.Close()
	ctx := context.Background()
	if err := s.(store.Checker).Check(ctx); err != nil {
		t.Error(err)
	}
	guest := engine.Guest(kit.Client)
	if _, err := guest.CreateEmailPasswordSession(ctx, kit.Ada, kit.Password); err != nil {
		t.Errorf("sign-in: %v", err)
	}
	secret, err := os.ReadFile(filepath.Join(dir, backend+".secret"))
	if err != nil {
		t.Fatal(err)
	}
	rows, err := s.Count(ctx, store.Query{Index: record.Sessions.Primary()})
	if err != nil || rows != 2 {
		t.Errorf("%d sessions, %v", rows, err)
	}
	if _, err := guest.Authenticate(ctx, string(secret)); err != nil {
		t.Errorf("session: %v", err)
	}
}

// The version N of the schema wrote the files in testdata/vN: a key and one account
// with one session, on each embedded store. Each later version must open them. Run
// the test with -write-golden once for a new version.
func TestFilesOfEveryVersionOpen(t *testing.T) {
	if *writeGolden {
		dir := fmt.Sprintf("testdata/v%d", record.Schema.Version())
		if err := errors.Join(os.RemoveAll(dir), os.MkdirAll(dir, 0o700)); err != nil {
			t.Fatal(err)
		}
		for _, backend := range []string{"bbolt", "sqlite"} {
			writeGoldenFile(t, backend, dir)
		}
	}
	for version := 1; version <= record.Schema.Version(); version++ {
		for _, backend := range []string{"bbolt", "sqlite"} {
			t.Run(fmt.Sprintf("v%d/%s", version, backend), func(t *testing.T) {
				dir := t.TempDir()
				if err := os.CopyFS(dir, os.DirFS(fmt.Sprintf("testdata/v%d", version))); err != nil {
					t.Fatal(err)
				}
				readGoldenFile(t, backend, dir)
			})
		}
	}
}
