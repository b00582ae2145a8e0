// Package hidden holds texts that no print, log or encoding shows.
//
//	password := hidden.New(os.Getenv("SMTP_PASSWORD"))
//	fmt.Println(password)          // [secret]
//	connect(password.Reveal())
package hidden

import (
	"crypto/subtle"
	"errors"
	"fmt"
	"log/slog"
)

// Mask is shown in the place of a text.
const Mask = "[secret]"

// Text is a text that proves something: its bearer is taken for its owner. The zero
// Text is empty.
//
// A Text shows [Mask] in every verb of package fmt, in package log/slog, in templates,
// and in JSON and XML. Package encoding/gob refuses it. Where none of its methods can be
// called, as in an unexported field of another struct, a dump shows an address in memory.
// A program that follows pointers by reflection still finds the text.
//
// The compiler refuses a Text as an operand of == and as the key of a map. [Text.Equal]
// compares two of them.
//
// A Text cannot be decoded, so a value that holds one can be encoded for a log, but not
// for a cache or a queue.
type Text struct {
	_ [0]func() // makes the type incomparable
	// text is a pointer, because fmt prints what is in unexported fields. It leads to a
	// string: some verbs follow a pointer to a struct, an array, a slice or a map.
	text *string
}

// New hides a text.
func New(text string) Text {
	if text == "" {
		return Text{}
	}
	return Text{text: &text}
}

// Reveal returns the text. Hand it to its owner and to no one else.
func (t Text) Reveal() string {
	if t.text == nil {
		return ""
	}
	return *t.text
}

// Equal reports whether two texts are the same. The time depends on their lengths alone.
func (t Text) Equal(other Text) bool {
	return subtle.ConstantTimeCompare([]byte(t.Reveal()), []byte(other.Reveal())) == 1
}

// IsZero reports whether the text is empty.
func (t Text) IsZero() bool { return t.text == nil }

// Format prints [Mask], for every verb and for the empty text too.
func (t Text) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(Mask)) }

// MarshalText returns [Mask], for the empty text too.
func (t Text) MarshalText() ([]byte, error) { return []byte(Mask), nil }

// LogValue returns [Mask], for the empty text too.
func (t Text) LogValue() slog.Value { return slog.StringValue(Mask) }

// ErrNotEncoded is the answer of every GobEncode of a value that holds a secret.
var ErrNotEncoded = errors.New("hidden: a value that holds a secret is not encoded")

// GobEncode fails with [ErrNotEncoded]. A cache or a queue that took a mask in the place
// of the text would fail only later. Package encoding/gob leaves an empty Text out when it
// is a field.
func (t Text) GobEncode() ([]byte, error) { return nil, ErrNotEncoded }
