// Package words finds rows by the words of their search text. The words are kept in a
// table, and change in the transaction of their row. So the cost of a search depends
// on the number of rows that it finds, not on the size of the table.
package words

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

const (
	maxWords    = 100    // words of one text, further words are not found
	maxWordSize = 64     // bytes of a word that are kept
	maxHits     = 5_000  // rows that a search looks at
	maxRead     = 50_000 // words that a search reads to find them
)

// splitWords returns the words of texts: runs of letters, marks and digits, in
// lower case and Unicode normal form C, each once, in the order of the
// alphabet. No text takes the place of another's words.
func splitWords(texts ...string) []string {
	seen := make(map[string]bool)
	for _, text := range texts {
		own := make(map[string]bool)
		for word := range strings.FieldsFuncSeq(fold(text), isNoWord) {
			if word = cutWord(word); len(own) < maxWords {
				own[word], seen[word] = true, true
			}
		}
	}
	return slices.Sorted(maps.Keys(seen))
}

// fold returns a text in lower case and normal form C, which lower case may have undone.
func fold(text string) string { return norm.NFC.String(strings.ToLower(text)) }

func isNoWord(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !unicode.IsMark(r) }

func cutWord(word string) string {
	for i, r := range word {
		if i+len(string(r)) > maxWordSize {
			return word[:i]
		}
	}
	return word
}

// Set replaces the words of a row by the words of texts. Without texts it removes the
// words of the row.
func Set(ctx context.Context, tx store.Tx, scope, rowID string, texts ...string) error {
	old, err := wordsOf(ctx, tx, scope, rowID)
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

// Of returns the words of a new row, to be inserted.
func Of(scope, rowID string, texts ...string) (all []*record.Word) {
	for _, word := range splitWords(texts...) {
		all = append(all, &record.Word{Scope: scope, Word: word, RowID: rowID})
	}
	return all
}

// term is one word of a search.
type term struct {
	word  string
	whole bool
}

func (t term) query(scope string) store.Query {
	q := store.Query{Index: record.Words.Primary(), Equal: []store.Value{store.Text(scope)}, Limit: maxHits}
	if t.whole {
		q.Equal = append(q.Equal, store.Text(t.word))
	} else {
		q.From, q.To = store.Including(store.Text(t.word)), store.Excluding(store.Text(t.word+string(unicode.MaxRune)))
	}
	return q
}

// rows returns the ids of the rows with a word that meets the term. A row may have many.
func (t term) rows(ctx context.Context, r store.Reader, scope string) (map[string]bool, error) {
	found, read := make(map[string]bool), 0
	for hits, err := range record.Words.Pages(ctx, r, t.query(scope)) {
		if err != nil {
			return nil, err
		}
		for _, hit := range hits {
			if len(found) == maxHits {
				break
			}
			found[hit.RowID] = true
		}
		if read += len(hits); len(found) == maxHits || len(hits) < maxHits || read >= maxRead {
			break
		}
	}
	return found, nil
}

func (t term) meets(words []*record.Word) bool {
	return slices.ContainsFunc(words, func(w *record.Word) bool {
		return w.Word == t.word || !t.whole && strings.HasPrefix(w.Word, t.word)
	})
}

// termsOf returns the words of a search.
func termsOf(search string) (terms []term) {
	for i, part := range strings.Split(search, `"`) {
		for _, word := range splitWords(part) {
			terms = append(terms, term{word, i%2 == 1})
		}
	}
	return terms
}

// Meets reports whether texts match a search, as a row with these texts would that [Find]
// looks at.
func Meets(search string, texts ...string) bool {
	terms, words := termsOf(search), splitWords(texts...)
	if len(terms) == 0 {
		return false
	}
	for _, t := range terms {
		if !slices.ContainsFunc(words, func(w string) bool { return w == t.word || !t.whole && strings.HasPrefix(w, t.word) }) {
			return false
		}
	}
	return HasPhrases(search, texts...)
}

// Find returns the ids of the rows of a scope that match every word of search:
// the row has a word that begins with it, or, for a word in double quotes, the
// word itself. The ids are sorted. A search without a word finds nothing. At
// most 5,000 rows are looked at, those with the rarest word, and at most 50,000 words.
func Find(ctx context.Context, r store.Reader, scope, search string) ([]string, error) {
	terms := termsOf(search)
	if len(terms) == 0 {
		return nil, nil
	}
	rarest, err := rarestTerm(ctx, r, scope, terms)
	if err != nil {
		return nil, err
	}
	found, err := terms[rarest].rows(ctx, r, scope)
	if err != nil {
		return nil, err
	}
	others := slices.Delete(terms, rarest, rarest+1)
	for id := range found {
		if len(others) == 0 {
			break
		}
		words, err := wordsOf(ctx, r, scope, id)
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(others, func(t term) bool { return !t.meets(words) }) {
			delete(found, id)
		}
	}
	return slices.Sorted(maps.Keys(found)), nil
}

// HasPhrases reports whether each phrase in double quotes of a search stands in one of the
// texts, word by word.
func HasPhrases(search string, texts ...string) bool {
	for i, part := range strings.Split(search, `"`) {
		phrase := strings.Join(runs(part), " ")
		if i%2 == 0 || phrase == "" {
			continue
		}
		if !slices.ContainsFunc(texts, func(text string) bool {
			return strings.Contains(" "+strings.Join(runs(text), " ")+" ", " "+phrase+" ")
		}) {
			return false
		}
	}
	return true
}

// runs returns the words of a text in their order.
func runs(text string) []string {
	return strings.FieldsFunc(fold(text), isNoWord)
}

// rarestTerm returns the position of the term that the fewest words meet.
func rarestTerm(ctx context.Context, r store.Reader, scope string, terms []term) (rarest int, err error) {
	if len(terms) == 1 {
		return 0, nil
	}
	fewest := maxHits + 1
	for i, t := range terms {
		n, err := r.Count(ctx, t.query(scope))
		if err != nil {
			return 0, err
		}
		if n < fewest {
			rarest, fewest = i, n
		}
	}
	return rarest, nil
}

// wordsOf returns the words of a row.
func wordsOf(ctx context.Context, r store.Reader, scope, rowID string) ([]*record.Word, error) {
	return record.Words.List(ctx, r, store.Query{
		Index: record.Words.Index("row"), Equal: []store.Value{store.Text(scope), store.Text(rowID)}, Limit: store.MaxLimit,
	})
}
