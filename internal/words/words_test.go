package words

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"example.com/latchkey/internal/record"
	"example.com/latchkey/store"
	"example.com/latchkey/store/bbolt"
	"example.com/latchkey/store/memory"
	"example.com/latchkey/store/sqlite"
	"example.com/latchkey/store/storetest"
)

func TestSplitWords(t *testing.T) {
	for text, want := range map[string][]string{
		"":                           nil,
		"> !":                        nil,
		"Ada Lovelace ADA":           {"ada", "lovelace"},
		"ada.l@example.org":          {"ada", "example", "l", "org"},
		"+49 30 1234":                {"1234", "30", "49"},
		"E\u0301mile Zola":           {"zola", "\u00e9mile"},
		strings.Repeat("\u00e4", 40): {strings.Repeat("\u00e4", 32)},
	} {
		if got := splitWords(text); !slices.Equal(got, want) {
			t.Errorf("%q: %q", text, got)
		}
	}
	var many []string
	for n := range 300 {
		many = append(many, fmt.Sprint("w", n))
	}
	if n := len(splitWords(strings.Join(many, " "), "another text")); n != maxWords+2 {
		t.Errorf("%d words of a row", n)
	}
}

func TestWordsOfARowAreFoundByTheirBeginning(t *testing.T) {
	for name, open := range map[string]func() (store.Store, error){
		"memory": func() (store.Store, error) { return memory.Open(), nil },
		"twice":  func() (store.Store, error) { return storetest.Twice{Store: memory.Open()}, nil },
		"bbolt":  func() (store.Store, error) { return bbolt.Open(filepath.Join(t.TempDir(), "test")) },
		"sqlite": func() (store.Store, error) { return sqlite.Open(filepath.Join(t.TempDir(), "test")) },
	} {
		t.Run(name, func(t *testing.T) {
			opened, err := open()
			if err != nil {
				t.Fatal(err)
			}
			defer opened.Close()
			s := storetest.Count(opened)
			ctx := context.Background()
			set := func(id string, texts ...string) {
				t.Helper()
				err := s.Update(ctx, func(ctx context.Context, tx store.Tx) error { return Set(ctx, tx, "users", id, texts...) })
				if err != nil {
					t.Fatal(err)
				}
			}
			find := func(search string, want ...string) {
				t.Helper()
				if got, err := Find(ctx, s, "users", search); err != nil || !slices.Equal(got, want) {
					t.Errorf("%q: %q, %v, want %q", search, got, err, want)
				}
			}
			set("1", "Ada Manchester", "ada@example.org")
			set("2", "Bob Mann", "bob@example.org")
			set("3", "\u00c9mile Man")
			find("man", "1", "2", "3")
			find("MAN ad", "1")
			find(`"man"`, "3")
			find(`"mann" bo`, "2")
			find("e\u0301mi", "3")
			find("ada@example.org", "1")
			find("nobody")
			find(">")
			find("")
			find(`man "nobody"`)
			if other, err := Find(ctx, s, "teams", "man"); err != nil || other != nil {
				t.Errorf("another scope: %q, %v", other, err)
			}
			set("1", "Ada King")
			find("manch")
			find("king ada", "1")
			set("1")
			find("ada")
			if n, err := s.Store.Count(ctx, store.Query{Index: record.Words.Index("row"), Equal: []store.Value{store.Text("users"), store.Text("1")}}); n != 0 || err != nil {
				t.Errorf("%d words of a row that has none, %v", n, err)
			}
			s.Reset()
			find("man bo", "2")
			if n := s.Reads.Load(); n != 4 {
				t.Errorf("%d reads for two terms and one row with the rarer", n)
			}
			// Words are rolled back with their transaction.
			mine := errors.New("mine")
			err = s.Update(ctx, func(ctx context.Context, tx store.Tx) error {
				if err := Set(ctx, tx, "users", "4", "Manu"); err != nil {
					return err
				}
				return mine
			})
			if !errors.Is(err, mine) {
				t.Fatal(err)
			}
			find("man", "2", "3")
		})
	}
}

func TestRareWordIsFoundBesideACommonOne(t *testing.T) {
	s := memory.Open()
	defer s.Close()
	ctx := context.Background()
	err := s.Update(ctx, func(ctx context.Context, tx store.Tx) error {
		for n := range maxHits + 100 {
			if err := Set(ctx, tx, "users", fmt.Sprintf("u%05d", n), "ann"); err != nil {
				return err
			}
		}
		return Set(ctx, tx, "users", "zz", "Ann Zeta")
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, search := range []string{"ann zeta", "zeta ann", "zet", `"zeta" an`} {
		if got, err := Find(ctx, s, "users", search); err != nil || !slices.Equal(got, []string{"zz"}) {
			t.Errorf("%q: %d rows, %v", search, len(got), err)
		}
	}
}
