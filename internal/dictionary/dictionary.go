// Package dictionary knows the 10,000 commonest passwords. ORIGIN.md says where
// they come from.
package dictionary

import (
	_ "embed"
	"strings"
	"unicode"
	"unicode/utf8"
)

//go:generate sh -c "go run ./gen frequency_lists.coffee > words.txt"

// words holds one word a line, in lower case, in the order of their bytes.
//
//go:embed words.txt
var words string

// longest is more than any word has, in bytes.
const longest = 32

// Contains reports whether a password is one of the list, in whatever case. It
// allocates nothing.
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

// find looks for a line, halving the text.
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
