package latchkey

import (
	"slices"
	"strings"

	"example.com/latchkey/internal/ceremony"
	"example.com/latchkey/internal/reason"
	"example.com/latchkey/internal/record"
)

// Why a passkey that comes along is refused.
var (
	errPasskeyCount = reason.New(reason.TooMany, "more than %d", maxPasskeys)
	errNoHandle     = reason.New(reason.Missing, "a user with passkeys has no handle")
	errBadHandle    = reason.New(reason.Malformed, "not 1 to %d bytes", ceremony.MaxHandle)
	errPasskeyForm  = reason.New(reason.Malformed, "the credential is not 1 to %d bytes", ceremony.MaxCredential)
	errPasskeyKey   = reason.New(reason.Malformed, "the public key is none of EdDSA, ES256 or RS256, or has more than %d bytes", ceremony.MaxKey)
	errPasskeyRP    = reason.New(reason.Malformed, "the RP id is not a domain in lower case")
	errPasskeyOther = reason.New(reason.Conflict, "the RP id is not that of Config.Passkeys")
	errPasskeyModel = reason.New(reason.Malformed, "the AAGUID is not 16 bytes")
	errPasskeyText  = reason.New(reason.Malformed, "the format of the attestation or a transport has no such name in WebAuthn, or comes twice")
	errPasskeySync  = reason.New(reason.Conflict, "it is synced and not syncable")
)

// passkeysArriving makes the rows of the passkeys of a user who comes along, and that of their handle.
func (c *call) passkeysArriving(user *record.User, all []PortablePasskey, handle []byte) (rows []*record.Passkey, handles []*record.Handle, err error) {
	switch {
	case len(all) > maxPasskeys:
		return nil, nil, invalid("passkeys", errPasskeyCount)
	case len(handle) > ceremony.MaxHandle:
		return nil, nil, invalid("passkeyHandle", errBadHandle)
	case len(handle) > 0:
		handles = append(handles, &record.Handle{UserID: user.ID, Handle: slices.Clone(handle)})
	case len(all) > 0:
		return nil, nil, invalid("passkeyHandle", errNoHandle)
	}
	for i := range all {
		row, err := c.passkeyArriving(user, &all[i])
		if err != nil {
			return nil, nil, err
		}
		rows = append(rows, row)
	}
	return rows, handles, nil
}

// passkeyArriving makes the row of one passkey.
func (c *call) passkeyArriving(user *record.User, p *PortablePasskey) (*record.Passkey, error) {
	if reason := c.passkeyReason(p); reason != nil {
		return nil, invalid("passkeys", reason)
	}
	aaguid := make([]byte, 16)
	copy(aaguid, p.AAGUID)
	row := &record.Passkey{
		ID: p.ID, UserID: user.ID, Digest: record.CredentialDigest(p.CredentialID), Credential: slices.Clone(p.CredentialID), Key: slices.Clone(p.PublicKey),
		RPID: p.RPID, Name: p.Name, AAGUID: aaguid, Format: p.Format, Transports: strings.Join(p.Transports, " "),
		Count: int64(p.Count), Eligible: p.Syncable, Synced: p.Synced, Second: p.SecondFactor, Single: p.Single, Session: p.SessionID,
	}
	if row.ID == "" {
		row.ID = newID()
	}
	if row.Name == "" {
		row.Name = c.nameOfPasskey(aaguid)
	}
	if row.Format == "" {
		row.Format = "none"
	}
	if err := checkPasskeyID(row.ID); err != nil {
		return nil, err
	}
	if err := checkLabel(row.Name); err != nil {
		return nil, err
	}
	if row.Session != "" {
		if err := checkSessionID(row.Session); err != nil {
			return nil, err
		}
	}
	var err error
	if row.Created, err = timeOr("passkeys", p.CreatedAt, user.Created); err != nil {
		return nil, err
	}
	if row.Updated, err = timeOr("passkeys", p.UpdatedAt, row.Created); err != nil {
		return nil, err
	}
	if row.Used, err = timeOr("passkeys", p.UsedAt, p.UsedAt); err != nil {
		return nil, err
	}
	row.Cloned, err = timeOr("passkeys", p.ClonedAt, p.ClonedAt)
	return row, err
}

// passkeyReason returns why a passkey cannot be one of this service.
func (c *call) passkeyReason(p *PortablePasskey) error {
	transports := slices.Sorted(slices.Values(p.Transports))
	known := func(name string) bool { return slices.Contains(ceremony.Transports, name) }
	switch {
	case len(p.CredentialID) == 0 || len(p.CredentialID) > ceremony.MaxCredential:
		return errPasskeyForm
	case len(p.PublicKey) == 0 || len(p.PublicKey) > ceremony.MaxKey || c.passkeys != nil && !c.passkeys.TakesKey(p.PublicKey):
		return errPasskeyKey
	case !ceremony.IsRPID(p.RPID):
		return errPasskeyRP
	case c.isElsewhere(p.RPID) && !c.otherDomains:
		return errPasskeyOther
	case len(p.AAGUID) != 0 && len(p.AAGUID) != 16:
		return errPasskeyModel
	case p.Format != "" && !slices.Contains(ceremony.Formats, p.Format):
		return errPasskeyText
	case !slices.Equal(transports, slices.Compact(slices.DeleteFunc(slices.Clone(transports), func(name string) bool { return !known(name) }))):
		return errPasskeyText
	case p.Synced && !p.Syncable:
		return errPasskeySync
	}
	return nil
}

// portPasskey returns a passkey as it travels.
func portPasskey(p *record.Passkey) PortablePasskey {
	return PortablePasskey{
		ID: p.ID, CredentialID: p.Credential, PublicKey: p.Key, RPID: p.RPID, Name: p.Name, AAGUID: p.AAGUID, Format: p.Format, Transports: strings.Fields(p.Transports),
		Count: uint32(p.Count), Syncable: p.Eligible, Synced: p.Synced, SecondFactor: p.Second,
		CreatedAt: p.Created, UpdatedAt: p.Updated, UsedAt: p.Used, ClonedAt: p.Cloned, Single: p.Single, SessionID: p.Session,
	}
}
