package canon

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"

	strict "github.com/go-json-experiment/json/jsontext"

	"example.com/latchkey/internal/jsontext"
	"example.com/latchkey/internal/reason"
)

var errObject = reason.New(reason.Malformed, "not a JSON object")

// Object returns a JSON object of at most most bytes. It removes the space between the
// parts and changes nothing else. It refuses contents that stores and readers could
// treat differently:
//   - a name that comes twice in one object
//   - NUL, and half of a surrogate pair
//   - text that is not UTF-8
//   - numbers that do not fit a float64
func Object(raw []byte, most int) (string, error) {
	if len(raw) > 8*most || !utf8.Valid(raw) {
		return "", reason.New(reason.TooLong, "not UTF-8 of at most %d bytes", most)
	}
	var b bytes.Buffer
	if err := json.Compact(&b, raw); err != nil || b.Len() == 0 || b.Bytes()[0] != '{' {
		return "", errObject
	}
	if b.Len() > most {
		return "", reason.New(reason.TooLong, "more than %d bytes", most)
	}
	text := b.String()
	if err := jsontext.Escapes(text); err != nil {
		return "", err
	}
	if err := checkTokens(strict.NewDecoder(strings.NewReader(text))); err != nil {
		return "", err
	}
	return text, nil
}

// checkTokens reads an object to its end. The decoder refuses a name that comes twice.
func checkTokens(d *strict.Decoder) error {
	for {
		token, err := d.ReadToken()
		switch {
		case err == io.EOF:
			return nil
		case errors.Is(err, strict.ErrDuplicateName):
			return reason.New(reason.Repeated, "a name that comes twice")
		case err != nil:
			return errObject
		case d.StackDepth() > MaxDepth:
			return reason.New(reason.TooLong, "nested more than %d deep", MaxDepth)
		case token.Kind() == strict.KindNumber:
			if _, err := strconv.ParseFloat(token.String(), 64); err != nil {
				return reason.New(reason.OutOfRange, "a number that is too large")
			}
		}
	}
}
