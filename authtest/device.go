package authtest

import (
	"errors"
	"fmt"
	"slices"

	"github.com/descope/virtualwebauthn"
)

// Device is a device with passkeys, for tests: it answers the options of a [latchkey.PasskeyCeremony] as a browser would.
// The keys are of ES256. The zero value is not ready for use: see [NewDevice].
type Device struct {
	// Origin is the page that asks.
	Origin string
	// Unverified leaves the verification of the user out, and Absent their presence.
	Unverified, Absent bool
	// Syncable and Synced are the flags BE and BS of the device's passkeys.
	Syncable, Synced bool
	// Counting makes the device count its signatures.
	Counting bool
	// AAGUID is the model of the device.
	AAGUID [16]byte

	keys []*deviceKey
}

// deviceKey is a passkey of a device.
type deviceKey struct {
	credential virtualwebauthn.Credential
	rpID       string
	handle     []byte
}

// NewDevice returns a device without passkeys, whose user is at a page.
func NewDevice(origin string) *Device { return &Device{Origin: origin} }

// device returns the device of the library.
func (a *Device) device(handle []byte) virtualwebauthn.Authenticator {
	return virtualwebauthn.Authenticator{Aaguid: a.AAGUID, Options: virtualwebauthn.AuthenticatorOptions{
		UserHandle: handle, UserNotPresent: a.Absent, UserNotVerified: a.Unverified, BackupEligible: a.Syncable, BackupState: a.Synced,
	}}
}

// Create answers the options of [latchkey.Account.StartPasskeyEnrolment] with a new passkey. It fails if the device has a passkey
// that the options exclude.
func (a *Device) Create(options []byte) (answer []byte, err error) {
	asked, err := virtualwebauthn.ParseAttestationOptions(string(options))
	if err != nil {
		return nil, fmt.Errorf("authtest: %w", err)
	}
	for _, k := range a.keys {
		if k.credential.IsExcludedForAttestation(*asked) {
			return nil, errors.New("authtest: the device has a passkey of the user already (InvalidStateError)")
		}
	}
	k := &deviceKey{virtualwebauthn.NewCredential(virtualwebauthn.KeyTypeEC2), asked.RelyingPartyID, []byte(asked.UserID)}
	if a.Counting {
		k.credential.Counter = 1
	}
	a.keys = append(a.keys, k)
	rp := virtualwebauthn.RelyingParty{ID: asked.RelyingPartyID, Name: asked.RelyingPartyName, Origin: a.Origin}
	return []byte(virtualwebauthn.CreateAttestationResponse(rp, a.device(k.handle), k.credential, *asked)), nil
}

// Get answers the options of a sign-in, of a second factor or of a step-up by the newest passkey that they allow.
func (a *Device) Get(options []byte) (answer []byte, err error) {
	asked, err := virtualwebauthn.ParseAssertionOptions(string(options))
	if err != nil {
		return nil, fmt.Errorf("authtest: %w", err)
	}
	for _, k := range slices.Backward(a.keys) {
		if k.rpID != asked.RelyingPartyID || len(asked.AllowCredentials) > 0 && !k.credential.IsAllowedForAssertion(*asked) {
			continue
		}
		if a.Counting {
			k.credential.Counter++
		}
		rp := virtualwebauthn.RelyingParty{ID: asked.RelyingPartyID, Origin: a.Origin}
		return []byte(virtualwebauthn.CreateAssertionResponse(rp, a.device(k.handle), k.credential, *asked)), nil
	}
	return nil, errors.New("authtest: the device has no such passkey (NotAllowedError)")
}

// SetCount changes the count of signatures of the newest passkey, as that of a copy would be.
func (a *Device) SetCount(n uint32) { a.keys[len(a.keys)-1].credential.Counter = n }
