package canon

import (
	"slices"
	"strings"
	"unicode/utf8"

	"example.com/latchkey/internal/reason"
)

const (
	maxProvider = 32  // bytes
	maxIssuer   = 255 // bytes
)

// waysIn are the names of sessions that no provider may have.
var waysIn = []string{"email", "anonymous", "server", "magic-url", "phone", "token", "passkey"}

// ErrProvider is the error of a text that cannot be the name of a provider.
var ErrProvider = reason.New(reason.Malformed, "not a letter and then letters, digits and hyphens, at most 32")

// Provider refuses a text that is not a letter and then letters, digits and hyphens.
func Provider(name string) error {
	other := func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-'
	}
	if name == "" || len(name) > maxProvider || strings.ContainsFunc(name, other) || strings.Trim(name[:1], "0123456789-") == "" {
		return ErrProvider
	}
	return nil
}

// NewProvider is Provider for the name that a host gives one. It also refuses the name of another way in.
func NewProvider(name string) error {
	if slices.Contains(waysIn, name) {
		return reason.New(reason.Conflict, "the name of another way in")
	}
	return Provider(name)
}

// Issuer refuses a text that can be no issuer and no subject: it has 1 to 255 bytes of UTF-8, and is
// not blank. It stays as it is, spaces included. A database cannot hold NUL.
func Issuer(text string) error {
	if strings.TrimSpace(text) == "" || len(text) > maxIssuer || !utf8.ValidString(text) || strings.Contains(text, "\x00") {
		return reason.New(reason.Malformed, "not 1 to 255 bytes of UTF-8")
	}
	return nil
}
