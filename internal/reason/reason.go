// Package reason names why an argument is refused: with a code for programs, which stays as it
// is, and with a text for a person.
package reason

import "fmt"

// The codes.
const (
	Missing     = "missing"
	Malformed   = "malformed"
	NotUTF8     = "not_utf8"
	TooShort    = "too_short"
	TooLong     = "too_long"
	TooMany     = "too_many"
	OutOfRange  = "out_of_range"
	Repeated    = "repeated"
	Unknown     = "unknown"
	NotAllowed  = "not_allowed"
	Conflict    = "conflict"
	TooCommon   = "too_common"
	NoUppercase = "no_uppercase"
	NoLowercase = "no_lowercase"
	NoNumber    = "no_number"
	NoSymbol    = "no_symbol"
)

// Reason is why an argument is refused.
type Reason struct{ Code, Text string }

func (r *Reason) Error() string { return r.Text }

// New returns a reason. No text repeats the input.
func New(code, format string, args ...any) *Reason {
	return &Reason{code, fmt.Sprintf(format, args...)}
}
