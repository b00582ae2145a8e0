package authtest_test

import (
	"errors"
	"testing"

	"example.com/latchkey"
	"example.com/latchkey/authtest"
	"example.com/latchkey/passkey"
)

// A host tries each flaw against its own handlers, as here against the engine.
func TestFlawsAreRefusedByAnEngine(t *testing.T) {
	const page = "https://app.example.org"
	passkeys, err := passkey.New(passkey.Config{RPID: "example.org", Name: "Example", Origins: []string{page}})
	if err != nil {
		t.Fatal(err)
	}
	k := authtest.New(t, latchkey.Config{Passkeys: passkeys})
	account, _ := k.SignIn("ada@example.org")
	device := authtest.NewDevice(page)
	wrong := func(f authtest.Flaw, err error) {
		t.Helper()
		want := latchkey.ErrPasskeyRefused
		if f.Unreadable {
			want = latchkey.ErrArgumentInvalid
		}
		if !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", f.Name, err, want)
		}
	}
	enrol := func() []byte {
		t.Helper()
		start, err := account.StartPasskeyEnrolment(t.Context(), latchkey.PasskeyEnrolment{})
		if err != nil {
			t.Fatal(err)
		}
		return start.Options
	}
	offer := func() []byte {
		t.Helper()
		start, err := k.Visitor.StartPasskeySession(t.Context(), latchkey.PasskeyOffer{})
		if err != nil {
			t.Fatal(err)
		}
		return start.Options
	}
	names := make(map[string]bool)
	for _, flaw := range authtest.EnrolmentFlaws() {
		answer, err := device.CreateWith(flaw, enrol())
		if err != nil {
			t.Fatal(err)
		}
		_, err = account.FinishPasskeyEnrolment(t.Context(), answer, "")
		wrong(flaw, err)
		if names[flaw.Name] {
			t.Errorf("two flaws are called %q", flaw.Name)
		}
		names[flaw.Name] = true
	}
	if _, err := device.GetWith(authtest.ProofFlaws()[0], offer()); err == nil {
		t.Error("the device has kept a passkey")
	}
	answer, err := device.Create(enrol())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := account.FinishPasskeyEnrolment(t.Context(), answer, ""); err != nil {
		t.Fatal(err)
	}
	if _, err := device.CreateWith(authtest.EnrolmentFlaws()[0], enrol()); err == nil {
		t.Error("the device makes a second passkey of a user")
	}
	for _, flaw := range authtest.ProofFlaws() {
		answer, err := device.GetWith(flaw, offer())
		if err != nil {
			t.Fatal(err)
		}
		_, err = k.Visitor.FinishPasskeySession(t.Context(), answer)
		wrong(flaw, err)
	}
}
