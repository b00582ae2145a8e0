package kit

import (
	"example.com/latchkey"
	"example.com/latchkey/authtest"
)

// Options for authenticators that no engine has made.
const (
	unknownCreation = `{"publicKey":{"rp":{"id":"example.org","name":"Example"},"user":{"id":"YWRh","name":"ada","displayName":"Ada"},"challenge":"dW5rbm93bg"}}`
	unknownRequest  = `{"publicKey":{"rpId":"example.org","challenge":"dW5rbm93bg"}}`
)

// UnknownAnswer is the answer of an authenticator to a question that no engine has asked, and UnknownEnrolment that with a new passkey.
var UnknownAnswer, UnknownEnrolment = func() (get, create []byte) {
	device := authtest.NewDevice(Page)
	create, err := device.Create([]byte(unknownCreation))
	if err == nil {
		get, err = device.Get([]byte(unknownRequest))
	}
	if err != nil {
		panic(err)
	}
	return get, create
}()

// Enrol makes a passkey of an account on a device.
func (k *Kit) Enrol(a *latchkey.Account, device *authtest.Device, e latchkey.PasskeyEnrolment) *latchkey.Passkey {
	k.Helper()
	start, err := a.StartPasskeyEnrolment(k.Ctx, e)
	k.Must(err)
	answer, err := device.Create(start.Options)
	k.Must(err)
	made, err := a.FinishPasskeyEnrolment(k.Ctx, answer, "")
	k.Must(err)
	return made
}

// Offered returns the answer of a device to an offer of a sign-in.
func (k *Kit) Offered(g *latchkey.Guest, device *authtest.Device) []byte {
	k.Helper()
	start, err := g.StartPasskeySession(k.Ctx, latchkey.PasskeyOffer{})
	k.Must(err)
	answer, err := device.Get(start.Options)
	k.Must(err)
	return answer
}

// SignInByPasskey signs in by a device.
func (k *Kit) SignInByPasskey(g *latchkey.Guest, device *authtest.Device) (*latchkey.Session, error) {
	k.Helper()
	return g.FinishPasskeySession(k.Ctx, k.Offered(g, device))
}

// Keyed returns the account of a new user with a passkey, and its device.
func (k *Kit) Keyed() (*latchkey.Account, *authtest.Device) {
	k.Helper()
	k.SignUp(Ada)
	_, account := k.SignIn(Ada)
	device := authtest.NewDevice(Page)
	k.Enrol(account, device, latchkey.PasskeyEnrolment{})
	return account, device
}
