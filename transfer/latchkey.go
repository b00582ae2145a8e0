package transfer

import (
	"bufio"
	"io"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"example.com/latchkey"
	"example.com/latchkey/hidden"
)

// version is that of the format.
const version = 1

// strict refuses a member that version 1 does not have.
var strict = json.RejectUnknownMembers(true)

// The kinds of lines.
const (
	kindHead       = "latchkey"
	kindUser       = "user"
	kindTeam       = "team"
	kindMembership = "membership"
	kindEnd        = "end"
)

// headLine is the first line, and endLine the last one.
type headLine struct {
	Kind      string    `json:"kind"`
	Version   int       `json:"version"`
	Secrets   bool      `json:"secrets"`
	CreatedAt time.Time `json:"createdAt"`
}

type endLine struct {
	Kind        string `json:"kind"`
	Users       int    `json:"users"`
	Teams       int    `json:"teams"`
	Memberships int    `json:"memberships"`
}

// userLine is a user.
type userLine struct {
	Kind            string             `json:"kind"`
	ID              string             `json:"id,omitzero"`
	Email           string             `json:"email,omitzero"`
	EmailVerified   bool               `json:"emailVerified,omitzero"`
	Phone           string             `json:"phone,omitzero"`
	PhoneVerified   bool               `json:"phoneVerified,omitzero"`
	Name            string             `json:"name,omitzero"`
	Password        string             `json:"password,omitzero"`
	PasswordHistory []string           `json:"passwordHistory,omitempty"`
	CreatedAt       time.Time          `json:"createdAt,omitzero"`
	UpdatedAt       time.Time          `json:"updatedAt,omitzero"`
	Registration    time.Time          `json:"registration,omitzero"`
	AccessedAt      time.Time          `json:"accessedAt,omitzero"`
	PasswordUpdate  time.Time          `json:"passwordUpdate,omitzero"`
	Blocked         bool               `json:"blocked,omitzero"`
	MustReset       bool               `json:"mustReset,omitzero"`
	MFA             bool               `json:"mfa,omitzero"`
	Impersonator    bool               `json:"impersonator,omitzero"`
	Labels          []string           `json:"labels,omitempty"`
	Prefs           jsontext.Value     `json:"prefs,omitzero"`
	Authenticator   *authenticatorLine `json:"authenticator,omitzero"`
	RecoveryCodes   []codeLine         `json:"recoveryCodes,omitempty"`
	Identities      []identityLine     `json:"identities,omitempty"`
	Passkeys        []passkeyLine      `json:"passkeys,omitempty"`
	PasskeyHandle   []byte             `json:"passkeyHandle,omitempty"`
	Targets         *[]targetLine      `json:"targets,omitzero"`
	State           stateLine          `json:"state,omitzero"`
}

type stateLine struct {
	Recovered   bool      `json:"recovered,omitzero"`
	Unclaimed   bool      `json:"unclaimed,omitzero"`
	Half        string    `json:"half,omitzero"`
	MFADemanded bool      `json:"mfaDemanded,omitzero"`
	EmailProven time.Time `json:"emailProven,omitzero"`
	PhoneProven time.Time `json:"phoneProven,omitzero"`
}

type authenticatorLine struct {
	Seed      string    `json:"seed"`
	Algorithm string    `json:"algorithm,omitzero"`
	Digits    int       `json:"digits,omitzero"`
	Pending   bool      `json:"pending,omitzero"`
	CreatedAt time.Time `json:"createdAt,omitzero"`
	UpdatedAt time.Time `json:"updatedAt,omitzero"`
	Step      int64     `json:"step,omitzero"`
}

type codeLine struct {
	Code      string    `json:"code,omitzero"`
	Digest    []byte    `json:"digest,omitempty"`
	CreatedAt time.Time `json:"createdAt,omitzero"`
	SessionID string    `json:"sessionId,omitzero"`
}

type identityLine struct {
	ID            string    `json:"id,omitzero"`
	Provider      string    `json:"provider"`
	Issuer        string    `json:"issuer"`
	Subject       string    `json:"subject"`
	Email         string    `json:"email,omitzero"`
	EmailVerified bool      `json:"emailVerified,omitzero"`
	Name          string    `json:"name,omitzero"`
	CreatedAt     time.Time `json:"createdAt,omitzero"`
	UpdatedAt     time.Time `json:"updatedAt,omitzero"`
	Access        string    `json:"access,omitzero"`
	Refresh       string    `json:"refresh,omitzero"`
	Expire        time.Time `json:"expire,omitzero"`
	Pending       bool      `json:"pending,omitzero"`
	Found         bool      `json:"found,omitzero"`
	Single        bool      `json:"single,omitzero"`
}

type passkeyLine struct {
	ID           string    `json:"id,omitzero"`
	CredentialID []byte    `json:"credentialId"`
	PublicKey    []byte    `json:"publicKey"`
	RPID         string    `json:"rpId"`
	Name         string    `json:"name,omitzero"`
	AAGUID       []byte    `json:"aaguid,omitempty"`
	Format       string    `json:"format,omitzero"`
	Transports   []string  `json:"transports,omitempty"`
	Count        uint32    `json:"count,omitzero"`
	Syncable     bool      `json:"syncable,omitzero"`
	Synced       bool      `json:"synced,omitzero"`
	SecondFactor bool      `json:"secondFactor,omitzero"`
	CreatedAt    time.Time `json:"createdAt,omitzero"`
	UpdatedAt    time.Time `json:"updatedAt,omitzero"`
	UsedAt       time.Time `json:"usedAt,omitzero"`
	ClonedAt     time.Time `json:"clonedAt,omitzero"`
	Single       bool      `json:"single,omitzero"`
	SessionID    string    `json:"sessionId,omitzero"`
}

type targetLine struct {
	ID           string    `json:"id,omitzero"`
	ProviderType string    `json:"providerType"`
	Identifier   string    `json:"identifier"`
	ProviderID   string    `json:"providerId,omitzero"`
	Name         string    `json:"name,omitzero"`
	Expired      bool      `json:"expired,omitzero"`
	CreatedAt    time.Time `json:"createdAt,omitzero"`
	UpdatedAt    time.Time `json:"updatedAt,omitzero"`
}

type teamLine struct {
	Kind      string         `json:"kind"`
	ID        string         `json:"id"`
	Name      string         `json:"name"`
	Prefs     jsontext.Value `json:"prefs,omitzero"`
	CreatedAt time.Time      `json:"createdAt,omitzero"`
	UpdatedAt time.Time      `json:"updatedAt,omitzero"`
}

type membershipLine struct {
	Kind      string    `json:"kind"`
	ID        string    `json:"id,omitzero"`
	TeamID    string    `json:"teamId"`
	UserID    string    `json:"userId"`
	Roles     []string  `json:"roles"`
	CreatedAt time.Time `json:"createdAt,omitzero"`
	UpdatedAt time.Time `json:"updatedAt,omitzero"`
	Invited   time.Time `json:"invited,omitzero"`
	Joined    time.Time `json:"joined,omitzero"`
}

// prefsLine returns preferences, or nil if they are empty.
func prefsLine(prefs []byte) jsontext.Value {
	if len(prefs) == 0 || string(prefs) == "{}" {
		return nil
	}
	return jsontext.Value(prefs)
}

// user turns a line into its user.
func (l *userLine) user() *latchkey.PortableUser {
	u := &latchkey.PortableUser{
		ID: l.ID, Email: l.Email, EmailVerified: l.EmailVerified, Phone: l.Phone, PhoneVerified: l.PhoneVerified, Name: l.Name,
		Password: hidden.New(l.Password), CreatedAt: l.CreatedAt, UpdatedAt: l.UpdatedAt, Registration: l.Registration, AccessedAt: l.AccessedAt,
		PasswordUpdate: l.PasswordUpdate, Blocked: l.Blocked, MustReset: l.MustReset, MFA: l.MFA, Impersonator: l.Impersonator, Labels: l.Labels,
		Prefs: []byte(l.Prefs), State: latchkey.PortableState(l.State),
	}
	for _, hash := range l.PasswordHistory {
		u.PasswordHistory = append(u.PasswordHistory, hidden.New(hash))
	}
	if a := l.Authenticator; a != nil {
		u.Authenticator = &latchkey.PortableAuthenticator{
			Seed: hidden.New(a.Seed), Algorithm: a.Algorithm, Digits: a.Digits, Pending: a.Pending, CreatedAt: a.CreatedAt, UpdatedAt: a.UpdatedAt, Step: a.Step,
		}
	}
	for _, c := range l.RecoveryCodes {
		u.RecoveryCodes = append(u.RecoveryCodes, latchkey.PortableRecoveryCode{Code: hidden.New(c.Code), Digest: c.Digest, CreatedAt: c.CreatedAt, SessionID: c.SessionID})
	}
	for _, i := range l.Identities {
		u.Identities = append(u.Identities, latchkey.PortableIdentity{
			ID: i.ID, Provider: i.Provider, Issuer: i.Issuer, Subject: i.Subject, Email: i.Email, EmailVerified: i.EmailVerified, Name: i.Name,
			CreatedAt: i.CreatedAt, UpdatedAt: i.UpdatedAt, Access: hidden.New(i.Access), Refresh: hidden.New(i.Refresh), Expire: i.Expire,
			Pending: i.Pending, Found: i.Found, Single: i.Single,
		})
	}
	for _, p := range l.Passkeys {
		u.Passkeys = append(u.Passkeys, latchkey.PortablePasskey(p))
	}
	u.PasskeyHandle = l.PasskeyHandle
	if l.Targets != nil {
		u.Targets = []latchkey.Target{}
		for _, t := range *l.Targets {
			u.Targets = append(u.Targets, latchkey.Target{
				ID: t.ID, ProviderType: t.ProviderType, Identifier: t.Identifier, ProviderID: t.ProviderID, Name: t.Name, Expired: t.Expired,
				CreatedAt: t.CreatedAt, UpdatedAt: t.UpdatedAt,
			})
		}
	}
	return u
}

// Writer writes records in the format [Latchkey]. Make one with [NewWriter].
type Writer struct {
	out    *bufio.Writer
	head   headLine
	end    endLine
	buffer []byte // of a line
	err    error
}

// NewWriter returns a writer of a file. secrets is told in the head. The caller ends the file
// with [Writer.Close].
func NewWriter(w io.Writer, secrets bool, now time.Time) *Writer {
	out := &Writer{out: bufio.NewWriterSize(w, 64<<10), head: headLine{kindHead, version, secrets, now.UTC().Truncate(time.Second)}, end: endLine{Kind: kindEnd}}
	out.line(&out.head)
	return out
}

// Write writes a record. Its error is the first one of the file. A user of more than [MaxLine] is
// [ErrTooLong].
func (w *Writer) Write(p latchkey.Portable) error {
	switch {
	case p.User != nil:
		w.end.Users++
		if w.err != nil {
			return w.err
		}
		w.buffer, w.err = appendUser(w.buffer[:0], p.User)
		switch {
		case w.err == nil && len(w.buffer) > MaxLine:
			w.err = ErrTooLong
		case w.err == nil:
			_, w.err = w.out.Write(append(w.buffer, '\n'))
		}
	case p.Team != nil:
		w.end.Teams++
		w.line(&teamLine{kindTeam, p.Team.ID, p.Team.Name, prefsLine(p.Team.Prefs), p.Team.CreatedAt, p.Team.UpdatedAt})
	case p.Membership != nil:
		w.end.Memberships++
		m := p.Membership
		w.line(&membershipLine{kindMembership, m.ID, m.TeamID, m.UserID, m.Roles, m.CreatedAt, m.UpdatedAt, m.Invited, m.Joined})
	}
	return w.err
}

// Close ends the file. It does not close the writer below.
func (w *Writer) Close() error {
	w.line(&w.end)
	if w.err == nil {
		w.err = w.out.Flush()
	}
	return w.err
}

// line writes a line.
func (w *Writer) line(value any) {
	if w.err != nil {
		return
	}
	if w.err = json.MarshalWrite(w.out, value, jsontext.PreserveRawStrings(true)); w.err == nil {
		w.err = w.out.WriteByte('\n')
	}
}
