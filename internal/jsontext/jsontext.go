// Package jsontext checks that every store can keep a JSON text.
package jsontext

import (
	"errors"
	"strconv"
	"strings"
)

// Escapes refuses escapes that do not stand for text: NUL, and halves of surrogate
// pairs. The text must be valid JSON.
func Escapes(text string) error {
	for i := 0; i < len(text); i++ {
		if text[i] != '\\' {
			continue
		}
		if i++; text[i] != 'u' {
			continue
		}
		unit := hexUnit(text[i+1:])
		i += 4
		switch {
		case unit == 0:
			return errors.New("a NUL")
		case unit < 0xD800 || unit > 0xDFFF:
			continue
		}
		if unit > 0xDBFF || !strings.HasPrefix(text[i+1:], `\u`) {
			return errors.New("half of a surrogate pair")
		}
		if low := hexUnit(text[i+3:]); low < 0xDC00 || low > 0xDFFF {
			return errors.New("half of a surrogate pair")
		}
		i += 6
	}
	return nil
}

// Numbers refuses numbers that a float64 cannot hold: those beyond its range, those
// that it would round to zero, and those of more than 400 characters. The text must be
// valid JSON.
func Numbers(text string) error {
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '"':
			for i++; text[i] != '"'; i++ {
				if text[i] == '\\' {
					i++
				}
			}
		case c == '-' || c >= '0' && c <= '9':
			end := i + 1
			for end < len(text) && strings.IndexByte("0123456789.eE+-", text[end]) >= 0 {
				end++
			}
			if !fits(text[i:end]) {
				return errors.New("a number out of range")
			}
			i = end - 1
		}
	}
	return nil
}

func fits(number string) bool {
	digits := number
	if i := strings.IndexAny(number, "eE"); i >= 0 {
		digits = number[:i]
	}
	f, err := strconv.ParseFloat(number, 64)
	return err == nil && len(number) <= maxNumber && (f != 0 || !strings.ContainsAny(digits, "123456789"))
}

// maxNumber is the maximum length of a number in characters.
const maxNumber = 400

func hexUnit(text string) uint64 {
	n, _ := strconv.ParseUint(text[:4], 16, 32)
	return n
}
