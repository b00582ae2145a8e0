package latchkey

import "example.com/latchkey/internal/ceremony"

// RelyingParty makes the questions to authenticators and verifies their answers (WebAuthn). Package passkey has the only
// one. It must be safe for concurrent use, and keeps nothing of a ceremony for another one.
type RelyingParty interface {
	// RPID is the domain to which the passkeys are bound.
	RPID() string
	// Enrol asks for a new passkey, and Assert for a proof by one.
	Enrol(ceremony.Enrolment) (*ceremony.Asked, error)
	Assert(ceremony.Assertion) (*ceremony.Asked, error)
	// ReadEnrolment and ReadAssertion read an answer and check nothing. Their error is ceremony.ErrMalformed.
	ReadEnrolment(answer []byte) (*ceremony.Answer, error)
	ReadAssertion(answer []byte) (*ceremony.Answer, error)
	// Enrolled and Asserted check an answer against the state of its question. Their error is ceremony.ErrRefused.
	Enrolled(kept []byte, said *ceremony.Answer) (*ceremony.Enrolled, error)
	Asserted(kept []byte, said *ceremony.Answer, c ceremony.Credential) (*ceremony.Asserted, error)
	// Decoy costs as much as Asserted, for a passkey that is not known.
	Decoy(kept []byte, said *ceremony.Answer)
	// TakesKey reports whether a public key is one of those that Enrol asks for.
	TakesKey(key []byte) bool
	// Provider names the program or the model of an AAGUID, "" if it is not known.
	Provider(aaguid []byte) string
}
