package passkey

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"math/big"
	"slices"
	"strings"

	"github.com/fxamacker/cbor/v2"
	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/protocol/webauthncbor"
	"github.com/go-webauthn/webauthn/protocol/webauthncose"
	"github.com/go-webauthn/webauthn/webauthn"

	"example.com/latchkey/internal/ceremony"
	"example.com/latchkey/internal/strictjson"
)

// maxTransports is the number of transports that an answer may name.
const maxTransports = 8

// credential is an answer in JSON, as PublicKeyCredential.toJSON gives it. There is one reading of it: that of package
// strictjson. The library is given the parts, and never the text.
type credential struct {
	ID         string          `json:"id"`
	RawID      string          `json:"rawId"`
	Type       string          `json:"type"`
	Response   json.RawMessage `json:"response"`
	Attachment string          `json:"authenticatorAttachment"`
	Extensions json.RawMessage `json:"clientExtensionResults"`
}

type attestation struct {
	ClientData string   `json:"clientDataJSON"`
	Object     string   `json:"attestationObject"`
	Transports []string `json:"transports"`
	// These repeat what the object has. They are not read.
	Data      string `json:"authenticatorData"`
	Key       string `json:"publicKey"`
	Algorithm int64  `json:"publicKeyAlgorithm"`
}

type assertion struct {
	ClientData string `json:"clientDataJSON"`
	Data       string `json:"authenticatorData"`
	Signature  string `json:"signature"`
	Handle     string `json:"userHandle"`
}

// clientData is what the browser says of itself. The library reads the same bytes by package encoding/json, which would take
// names in any case and the last of two: strictjson refuses both.
type clientData struct {
	Type        string          `json:"type"`
	Challenge   string          `json:"challenge"`
	Origin      string          `json:"origin"`
	TopOrigin   string          `json:"topOrigin"`
	CrossOrigin bool            `json:"crossOrigin"`
	Token       json.RawMessage `json:"tokenBinding"`
	Hint        json.RawMessage `json:"new_keys_may_be_added_here"`
}

// decode reads base64url in its only form: without padding, line breaks and stray bits.
func decode(text string) ([]byte, error) {
	if strings.ContainsAny(text, "\r\n") {
		return nil, ceremony.ErrMalformed
	}
	data, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil {
		return nil, ceremony.ErrMalformed
	}
	return data, nil
}

// read reads the outer part of an answer.
func read(text []byte) (*credential, *protocol.PublicKeyCredential, error) {
	c := new(credential)
	if len(text) > ceremony.MaxAnswer || strictjson.Unmarshal(text, c) != nil || c.Type != string(protocol.PublicKeyCredentialType) || c.ID != c.RawID {
		return nil, nil, ceremony.ErrMalformed
	}
	id, err := decode(c.ID)
	if err != nil || len(id) == 0 || len(id) > ceremony.MaxCredential {
		return nil, nil, ceremony.ErrMalformed
	}
	made := &protocol.PublicKeyCredential{Credential: protocol.Credential{ID: c.ID, Type: c.Type}, RawID: id, AuthenticatorAttachment: c.Attachment}
	if len(c.Extensions) > 0 {
		if jsonv2.Unmarshal(c.Extensions, &made.ClientExtensionResults) != nil {
			return nil, nil, ceremony.ErrMalformed
		}
	}
	return c, made, nil
}

// readClientData returns the bytes of the client data, and their challenge.
func readClientData(text string) (data, challenge []byte, c clientData, err error) {
	if data, err = decode(text); err != nil {
		return nil, nil, c, err
	}
	if strictjson.Unmarshal(data, &c) != nil {
		return nil, nil, c, ceremony.ErrMalformed
	}
	if challenge, err = decode(c.Challenge); err != nil || len(challenge) == 0 {
		return nil, nil, c, ceremony.ErrMalformed
	}
	return data, challenge, c, nil
}

// enrolment is the answer to Enrol, and proof that to Assert, as they are read.
type enrolment struct {
	made protocol.CredentialCreationResponse
	from clientData
}

type proof struct {
	made protocol.CredentialAssertionResponse
	from clientData
}

// ReadEnrolment returns the claims of the answer to Enrol. It compares nothing.
func (p *RelyingParty) ReadEnrolment(text []byte) (*ceremony.Answer, error) {
	c, outer, err := read(text)
	if err != nil {
		return nil, err
	}
	var inner attestation
	if strictjson.Unmarshal(c.Response, &inner) != nil || len(inner.Transports) > maxTransports {
		return nil, ceremony.ErrMalformed
	}
	data, challenge, from, err := readClientData(inner.ClientData)
	if err != nil {
		return nil, err
	}
	object, err := decode(inner.Object)
	if err != nil {
		return nil, err
	}
	made := protocol.CredentialCreationResponse{PublicKeyCredential: *outer}
	made.AttestationResponse.ClientDataJSON, made.AttestationResponse.AttestationObject = data, object
	made.AttestationResponse.Transports = knownTransports(inner.Transports)
	return &ceremony.Answer{Challenge: challenge, Credential: made.RawID, Read: &enrolment{made, from}}, nil
}

// knownTransports leaves out what WebAuthn has no name for: it is shown, and sent back to browsers.
func knownTransports(names []string) []string {
	names = slices.DeleteFunc(slices.Clone(names), func(name string) bool { return !slices.Contains(ceremony.Transports, name) })
	slices.Sort(names)
	return slices.Compact(names)
}

// ReadAssertion returns the claims of the answer to Assert. It compares nothing.
func (p *RelyingParty) ReadAssertion(text []byte) (*ceremony.Answer, error) {
	c, outer, err := read(text)
	if err != nil {
		return nil, err
	}
	var inner assertion
	if strictjson.Unmarshal(c.Response, &inner) != nil {
		return nil, ceremony.ErrMalformed
	}
	data, challenge, from, err := readClientData(inner.ClientData)
	if err != nil {
		return nil, err
	}
	parts := make([][]byte, 3)
	for i, text := range []string{inner.Data, inner.Signature, inner.Handle} {
		if parts[i], err = decode(text); err != nil {
			return nil, err
		}
	}
	if len(parts[2]) > ceremony.MaxHandle {
		return nil, ceremony.ErrMalformed
	}
	made := protocol.CredentialAssertionResponse{PublicKeyCredential: *outer}
	made.AssertionResponse.ClientDataJSON = data
	made.AssertionResponse.AuthenticatorData, made.AssertionResponse.Signature, made.AssertionResponse.UserHandle = parts[0], parts[1], parts[2]
	return &ceremony.Answer{Challenge: challenge, Credential: made.RawID, Read: &proof{made, from}}, nil
}

// here reports whether a page of the service has asked. The library compares origins less exactly.
func (p *RelyingParty) here(c clientData) bool {
	return slices.Contains(p.origins, c.Origin) && !c.CrossOrigin && c.TopOrigin == ""
}

// errNotRead is the error for an answer that the other call has read, or none has.
var errNotRead = errors.New("passkey: an answer of another ceremony")

// Enrolled verifies the answer to Enrol, as ReadEnrolment has read it. kept is that of the question.
func (p *RelyingParty) Enrolled(kept []byte, said *ceremony.Answer) (*ceremony.Enrolled, error) {
	read, is := said.Read.(*enrolment)
	if !is {
		return nil, errNotRead
	}
	var session webauthn.SessionData
	if err := jsonv2.Unmarshal(kept, &session); err != nil {
		return nil, err
	}
	parsed, err := read.made.Parse()
	if err != nil || !p.here(read.from) {
		return nil, ceremony.ErrRefused
	}
	c, err := p.library.CreateCredential(person{ceremony.Owner{Handle: session.UserID}, nil}, session, parsed)
	if err != nil || len(c.ID) > ceremony.MaxCredential || !p.TakesKey(c.PublicKey) || len(c.Authenticator.AAGUID) != 16 {
		return nil, ceremony.ErrRefused
	}
	return &ceremony.Enrolled{
		ID: c.ID, Key: c.PublicKey, AAGUID: c.Authenticator.AAGUID, Format: c.AttestationFormat, Transports: read.made.AttestationResponse.Transports,
		Count: c.Authenticator.SignCount, Eligible: c.Flags.BackupEligible, Synced: c.Flags.BackupState, Verified: c.Flags.UserVerified,
	}, nil
}

// TakesKey reports whether a public key is one of those that are asked for: EdDSA, ES256, or RS256 of 2,048 to 4,096 bits.
func (p *RelyingParty) TakesKey(key []byte) bool {
	if len(key) > ceremony.MaxKey || !isAskedFor(key) {
		return false
	}
	_, err := webauthncose.ParsePublicKey(key)
	return err == nil
}

// isAskedFor is the part of TakesKey that the library does not check when it verifies a signature. A key may have come from a
// program that has no passkeys, which takes any.
func isAskedFor(key []byte) bool {
	var head struct {
		Algorithm int64           `cbor:"3,keyasint"`
		First     cbor.RawMessage `cbor:"-1,keyasint"` // the modulus of RSA
	}
	if webauthncbor.Unmarshal(key, &head) != nil {
		return false
	}
	if head.Algorithm == int64(webauthncose.AlgRS256) {
		var modulus []byte
		if webauthncbor.Unmarshal(head.First, &modulus) != nil {
			return false
		}
		size := new(big.Int).SetBytes(modulus).BitLen()
		return size >= 2048 && size <= 4096
	}
	return slices.ContainsFunc(algorithms, func(a protocol.CredentialParameter) bool { return int64(a.Algorithm) == head.Algorithm })
}

// Asserted verifies the answer to Assert by a passkey, as ReadAssertion has read it. kept is that of the question. A passkey whose authenticator has said that
// it cannot be synced may become one that can, but not the other way round.
func (p *RelyingParty) Asserted(kept []byte, said *ceremony.Answer, c ceremony.Credential) (*ceremony.Asserted, error) {
	read, is := said.Read.(*proof)
	if !is {
		return nil, errNotRead
	}
	var session webauthn.SessionData
	if err := jsonv2.Unmarshal(kept, &session); err != nil {
		return nil, err
	}
	parsed, err := read.made.Parse()
	if err != nil || !p.here(read.from) || !isAskedFor(c.Key) {
		return nil, ceremony.ErrRefused
	}
	flags := parsed.Response.AuthenticatorData.Flags
	c.Eligible = c.Eligible || flags.HasBackupEligible()
	user := person{ceremony.Owner{Handle: c.Handle}, []ceremony.Credential{c}}
	if len(session.UserID) == 0 {
		_, _, err = p.library.ValidatePasskeyLogin(func(_, _ []byte) (webauthn.User, error) { return user, nil }, session, parsed)
	} else {
		session.AllowedCredentialIDs = [][]byte{c.ID} // the engine has looked whether it is the user's: another one may be deleted since
		_, err = p.library.ValidateLogin(user, session, parsed)
	}
	if err != nil {
		return nil, ceremony.ErrRefused
	}
	// The flags of the library's credential are those of the enrolment.
	return &ceremony.Asserted{
		Count: parsed.Response.AuthenticatorData.Counter, Eligible: flags.HasBackupEligible(), Synced: flags.HasBackupState(), Verified: flags.HasUserVerified(),
	}, nil
}

// Decoy does for an unknown passkey what Asserted does for a known one.
func (p *RelyingParty) Decoy(kept []byte, said *ceremony.Answer) {
	if read, is := said.Read.(*proof); is {
		_, _ = p.Asserted(kept, said, ceremony.Credential{ID: said.Credential, Key: decoyKey, Handle: read.made.AssertionResponse.UserHandle})
	}
}
