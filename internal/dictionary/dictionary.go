// Package dictionary knows the 10,000 most common passwords. ORIGIN.md names their
// source.
package dictionary

import (
	_ "embed"
	"strings"
	"unicode"
	"unicode/utf8"
)

//go:generate sh -c "go run ./gen frequency_lists.coffee > words.txt"

// words holds one word a line, in lower case and sorted by bytes.
//
//go:embed words.txt
var words string

// longest is a length in bytes that no word exceeds.
const longest = 32

// Contains reports whether a password is in the list. Case does not matter. Contains
// does not allocate.
func Contains(password string) bool {
	var buf [longest]byte
	word := buf[:0]
	for _, r := range password {
		if len(word) == longest || r == utf8.RuneError {
			return false
		}
		r = fold(r)
		if r > unicode.MaxASCII {
			return false
		}
		word = append(word, byte(r))
	}
	return find(word)
}

// fold returns the lower-case ASCII letter that a rune folds to, or the rune.
func fold(r rune) rune {
	if 'A' <= r && r <= 'Z' {
		return r + 'a' - 'A'
	}
	if r <= unicode.MaxASCII {
		return r
	}
	for next := unicode.SimpleFold(r); next != r; next = unicode.SimpleFold(next) {
		if 'a' <= next && next <= 'z' {
			return next
		}
	}
	return r
}

// find looks for a line by binary search.
func find(word []byte) bool {
	if len(word) == 0 {
		return false
	}
	low, high := 0, len(words) // of line beginnings
	for low < high {
		middle := (low + high) / 2
		begin := low + strings.LastIndexByte(words[low:middle], '\n') + 1
		end := begin + strings.IndexByte(words[begin:], '\n')
		switch line := words[begin:end]; {
		case line == string(word):
			return true
		case line < string(word):
			low = end + 1
		default:
			high = begin
		}
	}
	return false
}
