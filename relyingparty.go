package latchkey

import "example.com/latchkey/internal/ceremony"

// RelyingParty makes the questions to authenticators and verifies their answers (WebAuthn). Package passkey has the only
// one. It must be safe for concurrent use, and keeps nothing of a ceremony for another one.
type RelyingParty interface {
	RPID() string
	Enrol(ceremony.Enrolment) (*ceremony.Asked, error)
	Assert(ceremony.Assertion) (*ceremony.Asked, error)
	ReadEnrolment(answer []byte) (*ceremony.Answer, error)
	ReadAssertion(answer []byte) (*ceremony.Answer, error)
	Enrolled(kept []byte, said *ceremony.Answer) (*ceremony.Enrolled, error)
	Asserted(kept []byte, said *ceremony.Answer, c ceremony.Credential) (*ceremony.Asserted, error)
	Decoy(kept []byte, said *ceremony.Answer)
	TakesKey(key []byte) bool
	Provider(aaguid []byte) string
}
