// Package jsontext says which JSON every store can keep.
package jsontext

import (
	"errors"
	"strconv"
	"strings"
)

// Escapes refuses escapes that stand for no text: NUL and halves of surrogate
// pairs. The text is valid JSON.
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

func hexUnit(text string) uint64 {
	n, _ := strconv.ParseUint(text[:4], 16, 32)
	return n
}
