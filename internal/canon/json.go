package canon

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"

	"example.com/latchkey/internal/jsontext"
)

var errObject = errors.New("not a JSON object")

// Object returns a JSON object of at most most bytes. It removes the space between the
// parts and changes nothing else. It refuses contents that stores and readers could
// treat differently:
//   - a name that comes twice in one object
//   - NUL, and half of a surrogate pair
//   - text that is not UTF-8
//   - numbers that do not fit a float64
func Object(raw []byte, most int) (string, error) {
	if len(raw) > 8*most || !utf8.Valid(raw) {
		return "", fmt.Errorf("not UTF-8 of at most %d bytes", most)
	}
	var b bytes.Buffer
	if err := json.Compact(&b, raw); err != nil || b.Len() == 0 || b.Bytes()[0] != '{' {
		return "", errObject
	}
	if b.Len() > most {
		return "", fmt.Errorf("more than %d bytes", most)
	}
	text := b.String()
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	if err := checkValue(d, 0); err != nil {
		return "", err
	}
	return text, jsontext.Escapes(text)
}

// checkValue reads and checks one value.
func checkValue(d *json.Decoder, depth int) error {
	token, err := d.Token()
	if err != nil {
		return errObject
	}
	switch t := token.(type) {
	case json.Number:
		if _, err := strconv.ParseFloat(t.String(), 64); err != nil {
			return errors.New("a number that is too large")
		}
	case json.Delim:
		if depth == MaxDepth {
			return fmt.Errorf("nested more than %d deep", MaxDepth)
		}
		return checkParts(d, t == '{', depth+1)
	}
	return nil
}

// checkParts reads and checks the contents of an object or a list, and its end.
func checkParts(d *json.Decoder, object bool, depth int) error {
	seen := make(map[string]bool)
	for d.More() {
		if object {
			token, err := d.Token()
			name, ok := token.(string)
			if err != nil || !ok {
				return errObject
			}
			if seen[name] {
				return errors.New("a name that comes twice")
			}
			seen[name] = true
		}
		if err := checkValue(d, depth); err != nil {
			return err
		}
	}
	if _, err := d.Token(); err != nil && err != io.EOF {
		return errObject
	}
	return nil
}
