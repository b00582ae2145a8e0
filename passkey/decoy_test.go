package passkey_test

import (
	"testing"

	"example.com/latchkey/authtest"
	"example.com/latchkey/internal/ceremony"
)

// C-41: a decoy goes as far as the comparison of a signature by a known passkey that is wrong. The number of allocations shows that,
// whatever the machine does beside.
func TestADecoyComparesASignature(t *testing.T) {
	p, d := service(t), authtest.NewDevice(page)
	enrolled(t, p, d, ceremony.Enrolment{})
	other, _ := enrolled(t, p, authtest.NewDevice(page), ceremony.Enrolment{})
	asked, answer := offered(t, p, d, ceremony.Assertion{})
	said, err := p.ReadAssertion(answer)
	if err != nil {
		t.Fatal(err)
	}
	other.ID = said.Credential
	wrong := testing.AllocsPerRun(50, func() {
		if _, err := p.Asserted(asked.Kept, said, other); err == nil {
			t.Error("another key is taken")
		}
	})
	decoy := testing.AllocsPerRun(50, func() { p.Decoy(asked.Kept, said) })
	early := testing.AllocsPerRun(50, func() {
		c := other
		c.Handle = []byte("another user")
		_, _ = p.Asserted(asked.Kept, said, c) // ends before the signature
	})
	if decoy < wrong-2 || decoy > wrong+2 || early > wrong-10 {
		t.Errorf("a decoy allocates %v times, a wrong signature %v times, an answer without a comparison %v times", decoy, wrong, early)
	}
}
