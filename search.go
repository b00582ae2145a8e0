package latchkey

import (
	"context"
	"maps"
	"slices"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"

	"example.com/latchkey/internal/record"
	"example.com/latchkey/store"
)

// Search finds rows by the words of their search text. The words are kept in a
// table, in the transaction of the row, so that a search costs what it finds
// and not what there is.
const (
	maxWords    = 100   // of one row; more are not found
	maxWordSize = 64    // bytes of a word that are kept
	maxHits     = 5_000 // rows that one term of a search looks at
)

// splitWords returns the words of texts: runs of letters, marks and digits, in
// lower case and Unicode normal form C, each once, in the order of the
// alphabet.
func splitWords(texts ...string) []string {
	seen := make(map[string]bool)
	for _, text := range texts {
		for word := range strings.FieldsFuncSeq(strings.ToLower(norm.NFC.String(text)), isNoWord) {
			if len(seen) < maxWords {
				seen[cutWord(word)] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(seen))
}

func isNoWord(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !unicode.IsMark(r) }

func cutWord(word string) string {
	for i, r := range word {
		if i+len(string(r)) > maxWordSize {
			return word[:i]
		}
	}
	return word
}

// userTexts is the search text of a user.
func userTexts(u *record.User) []string { return []string{u.ID, u.Email, u.Name, u.Phone} }

// setWords makes the words of texts those of a row, and no others; without
// texts it forgets the row.
func setWords(ctx context.Context, tx store.Tx, scope, rowID string, texts ...string) error {
	old, err := record.Words.List(ctx, tx, store.Query{
		Index: record.Words.Index("row"), Equal: []store.Value{store.Text(scope), store.Text(rowID)}, Limit: store.MaxLimit,
	})
	if err != nil {
		return err
	}
	words := splitWords(texts...)
	for _, w := range old {
		if at, found := slices.BinarySearch(words, w.Word); found {
			words = slices.Delete(words, at, at+1)
			continue
		}
		if err := record.Words.Delete(ctx, tx, store.Text(scope), store.Text(w.Word), store.Text(rowID)); err != nil {
			return err
		}
	}
	for _, word := range words {
		if err := record.Words.Insert(ctx, tx, &record.Word{Scope: scope, Word: word, RowID: rowID}); err != nil {
			return err
		}
	}
	return nil
}

// findWords returns the ids of the rows of a scope that have, for every word
// of search, a word that begins with it; a word in double quotes is whole. The
// ids are in order. A search without a word finds nothing.
func findWords(ctx context.Context, r store.Reader, scope, search string) ([]string, error) {
	var found map[string]bool
	for i, part := range strings.Split(search, `"`) {
		for _, term := range splitWords(part) {
			hits, err := findWord(ctx, r, scope, term, i%2 == 1)
			if err != nil {
				return nil, err
			}
			if found != nil {
				maps.DeleteFunc(hits, func(id string, _ bool) bool { return !found[id] })
			}
			if found = hits; len(found) == 0 {
				return nil, nil
			}
		}
	}
	return slices.Sorted(maps.Keys(found)), nil
}

func findWord(ctx context.Context, r store.Reader, scope, term string, whole bool) (map[string]bool, error) {
	q := store.Query{Index: record.Words.Primary(), Equal: []store.Value{store.Text(scope)}, Limit: maxHits}
	if whole {
		q.Equal = append(q.Equal, store.Text(term))
	} else {
		q.From, q.To = store.Including(store.Text(term)), store.Excluding(store.Text(term+string(unicode.MaxRune)))
	}
	words, err := record.Words.List(ctx, r, q)
	ids := make(map[string]bool, len(words))
	for _, w := range words {
		ids[w.RowID] = true
	}
	return ids, err
}
