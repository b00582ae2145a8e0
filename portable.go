package latchkey

import (
	"encoding/json"
	"fmt"
	"time"

	"example.com/latchkey/internal/reason"
)

// Portable is one record on its way into the engine or out of it: a user, a team or a
// membership. Package transfer reads and writes files of them.
type Portable struct {
	// Line is the place of the record in its source, for [ImportResult]; 0 if it has none.
	Line int
	// One of these is set.
	User       *PortableUser
	Team       *PortableTeam
	Membership *PortableMembership
}

// PortableUser is a user with everything that a user brings along. Zero fields mean that the
// source does not have it.
type PortableUser struct {
	// ID is the id of the user here, in the form of NewUser.UserID; "" means a fresh one.
	ID    string
	Email string
	Phone string
	Name  string
	// EmailVerified and PhoneVerified say that the source has proven the address. See
	// ImportOptions.TrustVerified.
	EmailVerified, PhoneVerified bool
	// Password is a stored hash, as [Users.PasswordHash] returns it: one of package hasher, or a
	// text of package foreign. Empty means that the user has no password.
	Password Secret
	// PasswordHistory are the hashes of former passwords, the oldest first, which the policy may
	// forbid: at most 100.
	PasswordHistory []Secret

	// Times are from 1970 to 9999, to the microsecond.
	CreatedAt      time.Time // zero means the time of the import
	UpdatedAt      time.Time // zero means CreatedAt, and so for the next two
	Registration   time.Time
	AccessedAt     time.Time
	PasswordUpdate time.Time // zero means CreatedAt if there is a password

	Blocked      bool
	MustReset    bool // the user must reset the password, see [ErrPasswordResetRequired]
	MFA          bool
	Impersonator bool
	Labels       []string
	Prefs        json.RawMessage // an object; empty means {}

	// Authenticator is an authenticator app; nil without one.
	Authenticator *PortableAuthenticator
	RecoveryCodes []PortableRecoveryCode // at most 100, none twice
	Identities    []PortableIdentity     // at most 100
	Passkeys      []PortablePasskey      // at most 10
	// PasskeyHandle is the name of the user in their authenticators (user.id of WebAuthn), of 1 to 64 bytes. A user with
	// passkeys needs it: an authenticator says it at each sign-in.
	PasskeyHandle []byte
	// Targets are the targets of the user, at most 100. nil means one for each address. A list
	// is taken as it is, also without a target for an address.
	Targets []Target

	// Only another engine knows these. See the fields of the same names in its own export.
	State PortableState
}

// PortableState has the facts about a user that an engine keeps for its own rules.
type PortableState struct {
	// Recovered says that the password came by mail: a code by mail is no second factor to it.
	Recovered bool
	// Unclaimed says that the address was proven by a link, and no one has shown the password
	// since.
	Unclaimed bool
	// Half is email or phone if that address was proven, but not by the person who has proven
	// the other one.
	Half string
	// MFADemanded says that the server has switched MFA on.
	MFADemanded bool
	// EmailProven and PhoneProven say since when a verified address is proven; zero if the server
	// has said so, or if it is not known. Links that restore a former address do not travel, and
	// so no address is held after a move ([Account.ConfirmEmailChange]).
	EmailProven, PhoneProven time.Time
}

// PortableAuthenticator is an authenticator app: codes of 30 seconds.
type PortableAuthenticator struct {
	Seed      Secret // in base32, 10 to 64 bytes
	Algorithm string // SHA1 or SHA256; "" means SHA1
	Digits    int    // 6 or 8; 0 means 6
	Pending   bool   // no code of it was ever shown: it is no factor yet
	CreatedAt time.Time
	UpdatedAt time.Time
	Step      int64 // of the last accepted code, as the number of 30 seconds since 1970
}

// PortableRecoveryCode is an unused recovery code.
type PortableRecoveryCode struct {
	// Code is the code, or empty if only Digest is known: that of a long one
	// (Policy.Factors.StrongRecoveryCodes), which is shown once. Digest is bound to the id of
	// the user.
	Code      Secret
	Digest    []byte
	CreatedAt time.Time
	// SessionID is the session that has made it. See [Account.UpdateMFA].
	SessionID string
}

// PortableIdentity is an account of the user at a provider.
type PortableIdentity struct {
	ID       string // "" means a fresh one
	Provider string // as in oauth.Info
	Issuer   string // as in oauth.Info: identities are found by it; at most 255 bytes
	Subject  string // of the user at the issuer, at most 255 bytes
	Email    string
	Name     string
	// EmailVerified says that the provider has proven the address. See
	// ImportOptions.TrustVerified.
	EmailVerified bool
	CreatedAt     time.Time
	UpdatedAt     time.Time
	Access        Secret // the tokens of the provider, UTF-8 of at most 64 KiB each; see Policy.KeepProviderTokens
	Refresh       Secret
	Expire        time.Time // of Access

	// Only another engine knows these: the identity does not count before a second factor, was
	// found by its address, and is one factor whatever the policy trusts.
	Pending, Found, Single bool
}

// PortablePasskey is a passkey: the public half of a key pair, which is no secret.
type PortablePasskey struct {
	ID           string // "" means a fresh one; not that of an identity of the user
	CredentialID []byte // of 1 to 1,023 bytes, as the authenticator has made it
	PublicKey    []byte // in the form of COSE, of at most 2,048 bytes: EdDSA, ES256 or RS256
	// RPID is the domain to which the passkey is bound. One that is not that of Config.Passkeys is refused, unless
	// Config.PasskeysOfOtherDomains is set. A host without passkeys takes any.
	RPID       string
	Name       string   // as in [Account.FinishPasskeyEnrolment]; "" means the name of the program that keeps it
	AAGUID     []byte   // of 16 bytes; nil if it is not known
	Format     string   // of the attestation; "" means none
	Transports []string // as in [Passkey]
	Count      uint32   // of signatures, the last one; 0 if the authenticator does not count
	Syncable   bool     // BE of WebAuthn: a source that does not know it leaves it false
	Synced     bool     // BS of WebAuthn: only of one that is syncable
	// SecondFactor says that the authenticator has not verified the user when the passkey was made: it signs nobody in.
	SecondFactor bool
	CreatedAt    time.Time
	UpdatedAt    time.Time
	UsedAt       time.Time // zero means never
	ClonedAt     time.Time // zero means never

	// Only another engine knows these: the passkey is one factor (see [Guest.FinishPasskeySession]), and the session that has
	// made it.
	Single    bool
	SessionID string
}

// PortableTeam is a team without its members.
type PortableTeam struct {
	ID        string
	Name      string
	Prefs     json.RawMessage // an object; empty means {}
	CreatedAt time.Time
	UpdatedAt time.Time
}

// PortableMembership is the place of a user in a team. Invitations do not travel.
type PortableMembership struct {
	ID        string // "" means a fresh one
	TeamID    string
	UserID    string
	Roles     []string
	CreatedAt time.Time
	UpdatedAt time.Time
	Invited   time.Time
	Joined    time.Time
}

// kind names the record.
func (p Portable) kind() string {
	switch {
	case p.Team != nil:
		return "team"
	case p.Membership != nil:
		return "membership"
	}
	return "user"
}

// size is about the number of bytes of the texts of a record that may be long.
func (p Portable) size() (n int) {
	switch {
	case p.User != nil:
		u := p.User
		n = 500 + len(u.Name) + len(u.Prefs) + 40*len(u.Labels) + 200*len(u.PasswordHistory) + 60*len(u.RecoveryCodes) + 300*len(u.Targets)
		for i := range u.Identities {
			n += 500 + len(u.Identities[i].Access.Reveal()) + len(u.Identities[i].Refresh.Reveal())
		}
		for i := range u.Passkeys {
			p := &u.Passkeys[i]
			n += 300 + len(p.CredentialID) + len(p.PublicKey) + len(p.Name) + len(p.RPID) + 20*len(p.Transports)
		}
	case p.Team != nil:
		n = 200 + len(p.Team.Prefs)
	case p.Membership != nil:
		n = 200 + 40*len(p.Membership.Roles)
	}
	return n
}

// id returns the id of the record.
func (p Portable) id() string {
	switch {
	case p.User != nil:
		return p.User.ID
	case p.Team != nil:
		return p.Team.ID
	case p.Membership != nil:
		return p.Membership.ID
	}
	return ""
}

// RecordError says that one record of a source cannot be read. The others can.
type RecordError struct {
	Line   int    `json:"line"`
	Reason string `json:"reason"` // without a value of the record
}

func (e *RecordError) Error() string { return fmt.Sprintf("line %d: %s", e.Line, e.Reason) }

// ImportOutcome names the outcome of a record.
type ImportOutcome string

// The outcomes.
const (
	ImportCreated ImportOutcome = "created"
	// ImportExisted says that the record was there, and was left as it is.
	ImportExisted ImportOutcome = "existed"
	ImportRefused ImportOutcome = "refused"
)

// ImportResult is the outcome of one record, with its reason.
type ImportResult struct {
	Line    int           `json:"line"`
	Kind    string        `json:"kind"` // user, team or membership; "" if the record cannot be read
	ID      string        `json:"id"`   // as in the source, or the fresh one
	Outcome ImportOutcome `json:"outcome"`
	Err     error         `json:"error,omitzero"` // why the record is refused; nil otherwise
}

// Imported counts the records of an import.
type Imported struct {
	Created int `json:"created"`
	Existed int `json:"existed"`
	Refused int `json:"refused"`
}

// count adds a result.
func (n *Imported) count(r ImportResult) {
	switch r.Outcome {
	case ImportCreated:
		n.Created++
	case ImportExisted:
		n.Existed++
	default:
		n.Refused++
	}
}

// ImportOptions are the choices of [Engine.Import]. The zero value is the safe one.
type ImportOptions struct {
	// TrustVerified lets addresses that the source calls verified count as proven. Without it,
	// each user proves them anew. Who can write the source can then take over what an address
	// proves: recovery by mail, and sign-in by code.
	TrustVerified bool
	// TrustRoles takes teams, memberships and impersonators. Without it they are refused: they
	// give rights. Labels are always taken.
	TrustRoles bool
	// DryRun checks everything and changes nothing. Records of one batch see one another,
	// others do not.
	DryRun bool
	// OnResult, unless nil, is told the result of each record, in the order of the source, after
	// its batch is committed. It is called on the caller's goroutine, and may use the engine.
	OnResult func(ImportResult)
}

// ExportOptions are the choices of [Engine.Export]. The zero value writes no secret.
type ExportOptions struct {
	// Secrets opens the hashes of passwords, the seeds of authenticators, recovery codes, and the
	// tokens of providers. Without it they are left out. The bearer of the export can then guess
	// at passwords, and has the second factors.
	Secrets bool
}

// errNoTime says why a time is refused.
var errNoTime = reason.New(reason.OutOfRange, "the year is not 1970 to 9999")

// timeOr returns a time of a record, or another one if it is zero. It may be in the future: a
// machine's clock was ahead when it was written.
func timeOr(field string, t, otherwise time.Time) (time.Time, error) {
	if t.IsZero() {
		return otherwise, nil
	}
	t = t.UTC().Truncate(time.Microsecond)
	if t.Year() < 1970 || t.Year() > 9999 {
		return t, invalid(field, errNoTime)
	}
	return t, nil
}
