// Package ceremony has the words in which the engine and package passkey talk about the ceremonies of WebAuthn.
package ceremony

import (
	"errors"
	"regexp"
)

// The limits of an answer in bytes. WebAuthn has those of credentials and handles.
const (
	MaxAnswer     = 64 << 10
	MaxCredential = 1023 // of the id of a credential
	MaxKey        = 2048
	MaxHandle     = 64
)

// Transports are the names that WebAuthn has for them, in their order.
var Transports = []string{"ble", "hybrid", "internal", "nfc", "smart-card", "usb"}

// Formats are the names that WebAuthn has for the formats of attestations.
var Formats = []string{"android-key", "android-safetynet", "apple", "compound", "fido-u2f", "none", "packed", "tpm"}

// Local is the RP id of services under development.
const Local = "localhost"

var (
	domain   = regexp.MustCompile(`^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)
	onlyDots = regexp.MustCompile(`^[0-9.]+$`)
)

// IsRPID reports whether a text is a domain to which passkeys are bound, in lower case.
func IsRPID(text string) bool {
	return text == Local || len(text) <= 253 && domain.MatchString(text) && !onlyDots.MatchString(text)
}

// Owner is the user for whom a passkey is made, as authenticators show them.
type Owner struct {
	Handle            []byte
	Name, DisplayName string
}

// Asked is a question to an authenticator.
type Asked struct {
	Challenge []byte
	Options   []byte // JSON, for the page
	Kept      []byte // the state against which the answer is checked
}

// Enrolment asks for a new passkey.
type Enrolment struct {
	Owner   Owner
	Exclude []Credential // that the user has already
	// Second asks for a second factor only: its authenticator need not verify the user.
	Second bool
}

// Assertion asks for a proof by a passkey.
type Assertion struct {
	Conditional bool // offered in the form of a page, as the browser fills it
	// Owner and Allowed name the passkeys of a user. Without them it is a sign-in, by any passkey.
	Owner   []byte
	Allowed []Credential
}

// Credential is a passkey as it is stored.
type Credential struct {
	ID, Key    []byte
	Handle     []byte // of its user
	Transports []string
	Format     string
	Eligible   bool
}

// Answer has the claims of an answer that is not checked yet.
type Answer struct {
	Challenge  []byte
	Credential []byte // its id
	// Read is the whole answer, as package passkey has read it. It is read once, so that the claims and the checks are of the same
	// reading.
	Read any
}

// Enrolled is a passkey that was made.
type Enrolled struct {
	ID, Key          []byte
	AAGUID           []byte
	Format           string
	Transports       []string
	Count            uint32
	Eligible, Synced bool
	Verified         bool // its authenticator has verified the user
}

// Asserted is a proof.
type Asserted struct {
	Count            uint32
	Eligible, Synced bool
	Verified         bool // the authenticator has verified the user in this ceremony
}

// ErrMalformed is the error of an answer that cannot be read. ErrRefused is that of one that proves nothing. Neither
// holds anything of the answer.
var (
	ErrMalformed = errors.New("not an answer of an authenticator as the browser gives it in JSON")
	ErrRefused   = errors.New("the answer of the authenticator proves nothing")
)
