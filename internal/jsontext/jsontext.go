// Package jsontext says which JSON every store can keep.
package jsontext

import (
	"encoding/json"
	"errors"
	"io"
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

// Numbers refuses numbers that a float64 cannot hold: beyond its range, or so
// long or so small that they are nothing to it. The text is valid JSON.
func Numbers(text string) error {
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	for {
		token, err := d.Token()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		n, ok := token.(json.Number)
		if !ok {
			continue
		}
		digits, _, _ := strings.Cut(strings.ToLower(n.String()), "e")
		f, err := strconv.ParseFloat(n.String(), 64)
		if err != nil || len(n) > maxNumber || f == 0 && strings.ContainsAny(digits, "123456789") {
			return errors.New("a number out of range")
		}
	}
}

// maxNumber is how long a number may be.
const maxNumber = 400

func hexUnit(text string) uint64 {
	n, _ := strconv.ParseUint(text[:4], 16, 32)
	return n
}
