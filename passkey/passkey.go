// Package passkey lets users sign in by passkeys (WebAuthn):
//
//	passkeys, err := passkey.New(passkey.Config{RPID: "example.org", Name: "Example", Origins: []string{"https://example.org"}})
//	engine, err := latchkey.New(store, latchkey.Config{Keys: keys, Passkeys: passkeys})
//
// The engine has the ceremonies and their rules: the methods StartPasskeySession of latchkey.Guest, StartPasskeyEnrolment and
// StartPasskeyChallenge of latchkey.Account, and those that finish them. This package makes the options for the browser and
// verifies what authenticators answer, by github.com/go-webauthn/webauthn. A host that does not import it does not carry
// that library.
package passkey

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/protocol/webauthncose"
	"github.com/go-webauthn/webauthn/webauthn"

	"example.com/latchkey/internal/ceremony"
)

// Config names the service to authenticators. No request may decide about it.
type Config struct {
	// RPID is the domain to which passkeys are bound, such as example.org, in lower case: that of the origins or a
	// domain above them, but none under which strangers have names (such as co.uk). It can never change: the passkeys
	// of another one cannot be used any more.
	RPID string
	// Name is the name of the service, as authenticators show it: 1 to 64 bytes.
	Name string
	// Origins are the pages that may ask for passkeys: at least one.
	//   - https://example.org, with a port if it is not 443: its host is RPID, or below it
	//   - http://localhost with a port, for a service under development whose RPID is localhost
	//   - android:apk-key-hash:..., an app of the host
	//
	// Pages within a frame of another origin are refused.
	Origins []string
}

// RelyingParty is a service for authenticators. It has no state. It is what latchkey.Config.Passkeys takes, and only the engine
// calls its methods.
type RelyingParty struct {
	config  Config
	origins []string // those of pages, without a default port
	library *webauthn.WebAuthn
}

var appHash = regexp.MustCompile(`^android:apk-key-hash:[A-Za-z0-9_-]{43}$`)

// New returns a relying party. It refuses a Config that browsers would refuse, and one that is wider than it seems.
func New(c Config) (*RelyingParty, error) {
	c.Origins = slices.Clone(c.Origins)
	switch {
	case !ceremony.IsRPID(c.RPID):
		return nil, fmt.Errorf("passkey: Config.RPID %q is not a domain in lower case", c.RPID)
	case c.Name == "" || len(c.Name) > 64 || !utf8.ValidString(c.Name):
		return nil, errors.New("passkey: Config.Name is not 1 to 64 bytes of UTF-8")
	case len(c.Origins) == 0:
		return nil, errors.New("passkey: Config.Origins is empty")
	}
	p := &RelyingParty{config: c}
	var apps []string
	for _, text := range c.Origins {
		if appHash.MatchString(text) {
			apps = append(apps, text)
			continue
		}
		origin, err := originOf(text, c.RPID)
		if err != nil {
			return nil, err
		}
		p.origins = append(p.origins, origin)
	}
	if len(p.origins) == 0 {
		return nil, errors.New("passkey: Config.Origins has no page")
	}
	var err error
	p.library, err = webauthn.New(&webauthn.Config{
		RPID: c.RPID, RPDisplayName: c.Name, RPOrigins: p.origins, RPOpaqueOrigins: apps,
		AttestationPreference: protocol.PreferNoAttestation,
	})
	if err != nil {
		return nil, fmt.Errorf("passkey: %w", err)
	}
	p.origins = append(p.origins, apps...)
	return p, nil
}

// originOf returns an origin of a page as browsers write it.
func originOf(text, rpID string) (string, error) {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || text != u.Scheme+"://"+u.Host || strings.ContainsAny(u.Host, "*@[]") || u.Host != strings.ToLower(u.Host) || strings.HasSuffix(u.Host, ":") {
		return "", fmt.Errorf("passkey: %q of Config.Origins is not an origin in lower case, such as https://example.org", text)
	}
	host := u.Hostname()
	switch {
	case host != rpID && !strings.HasSuffix(host, "."+rpID):
		return "", fmt.Errorf("passkey: %q of Config.Origins is neither at Config.RPID nor below it", text)
	case u.Scheme == "http" && host != ceremony.Local:
		return "", fmt.Errorf("passkey: %q of Config.Origins is not https", text)
	case u.Scheme != "http" && u.Scheme != "https":
		return "", fmt.Errorf("passkey: %q of Config.Origins is not https", text)
	}
	if port := u.Port(); u.Scheme == "https" && port == "443" || u.Scheme == "http" && port == "80" {
		return u.Scheme + "://" + host, nil
	}
	return text, nil
}

// RPID returns the domain to which passkeys are bound.
func (p *RelyingParty) RPID() string { return p.config.RPID }

// algorithms are those of the keys that are asked for, the best first.
var algorithms = []protocol.CredentialParameter{
	{Type: protocol.PublicKeyCredentialType, Algorithm: webauthncose.AlgEdDSA},
	{Type: protocol.PublicKeyCredentialType, Algorithm: webauthncose.AlgES256},
	{Type: protocol.PublicKeyCredentialType, Algorithm: webauthncose.AlgRS256},
}

// Enrol asks for a new passkey.
func (p *RelyingParty) Enrol(e ceremony.Enrolment) (*ceremony.Asked, error) {
	selection := protocol.AuthenticatorSelection{
		ResidentKey: protocol.ResidentKeyRequirementRequired, RequireResidentKey: protocol.ResidentKeyRequired(), UserVerification: protocol.VerificationRequired,
	}
	if e.Second {
		selection = protocol.AuthenticatorSelection{
			ResidentKey: protocol.ResidentKeyRequirementDiscouraged, RequireResidentKey: protocol.ResidentKeyNotRequired(), UserVerification: protocol.VerificationDiscouraged,
		}
	}
	options, session, err := p.library.BeginRegistration(person{e.Owner, nil},
		webauthn.WithCredentialParameters(algorithms), webauthn.WithAuthenticatorSelection(selection), webauthn.WithExclusions(descriptors(e.Exclude)),
	)
	if err != nil {
		return nil, err
	}
	return asked(options, session)
}

// Assert asks for a proof by a passkey.
func (p *RelyingParty) Assert(a ceremony.Assertion) (*ceremony.Asked, error) {
	if a.Owner != nil {
		options, session, err := p.library.BeginLogin(person{ceremony.Owner{Handle: a.Owner}, a.Allowed}, webauthn.WithUserVerification(protocol.VerificationPreferred))
		if err != nil {
			return nil, err
		}
		return asked(options, session)
	}
	mediation := protocol.MediationDefault
	if a.Conditional {
		mediation = protocol.MediationConditional
	}
	options, session, err := p.library.BeginDiscoverableMediatedLogin(mediation, webauthn.WithUserVerification(protocol.VerificationRequired))
	if err != nil {
		return nil, err
	}
	return asked(options, session)
}

// asked returns a question of the library. What the library wants to have kept is kept whole.
func asked(options any, session *webauthn.SessionData) (*ceremony.Asked, error) {
	text, err := json.Marshal(options)
	if err != nil {
		return nil, err
	}
	kept, err := json.Marshal(session)
	if err != nil {
		return nil, err
	}
	challenge, err := decode(session.Challenge)
	return &ceremony.Asked{Challenge: challenge, Options: text, Kept: kept}, err
}

// person is a user for the library.
type person struct {
	owner ceremony.Owner
	have  []ceremony.Credential
}

func (u person) WebAuthnID() []byte          { return u.owner.Handle }
func (u person) WebAuthnName() string        { return u.owner.Name }
func (u person) WebAuthnDisplayName() string { return u.owner.DisplayName }

func (u person) WebAuthnCredentials() []webauthn.Credential {
	all := make([]webauthn.Credential, 0, len(u.have))
	for _, c := range u.have {
		all = append(all, webauthn.Credential{
			ID: c.ID, PublicKey: c.Key, Transport: transports(c.Transports), AttestationFormat: c.Format,
			Flags: webauthn.CredentialFlags{BackupEligible: c.Eligible},
		})
	}
	return all
}

func descriptors(all []ceremony.Credential) []protocol.CredentialDescriptor {
	list := make([]protocol.CredentialDescriptor, 0, len(all))
	for _, c := range all {
		list = append(list, protocol.CredentialDescriptor{Type: protocol.PublicKeyCredentialType, CredentialID: c.ID, Transport: transports(c.Transports)})
	}
	return list
}

func transports(names []string) (all []protocol.AuthenticatorTransport) {
	for _, name := range names {
		all = append(all, protocol.AuthenticatorTransport(name))
	}
	return all
}
