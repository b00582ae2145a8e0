package latchkey

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"example.com/latchkey/internal/canon"
	"example.com/latchkey/internal/ceremony"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/notify"
	"example.com/latchkey/store"
)

// The limits of passkeys.
const (
	maxPasskeys = 10 // of a user
	maxLabel    = 64 // code points of the name of a passkey
)

// Passkey is a credential of WebAuthn, by which its user signs in: the secret is in a device, a security key or a password
// manager of theirs, and is never shown to the service.
type Passkey struct {
	ID        string    `json:"$id"`
	CreatedAt time.Time `json:"$createdAt"`
	UpdatedAt time.Time `json:"$updatedAt"`
	UserID    string    `json:"userId"`
	Name      string    `json:"name"`
	// Provider is the program or the model that keeps the passkey, such as "iCloud Keychain", or empty. Nobody has
	// signed it: it helps people to tell their passkeys apart.
	Provider string    `json:"provider"`
	UsedAt   time.Time `json:"usedAt,omitzero"` // the last time; zero if never
	// Synced says that the passkey is on several devices of the user, or can be brought back to a new one. Syncable says that it
	// may come to be. One that is neither is lost with its device.
	Synced   bool `json:"synced"`
	Syncable bool `json:"syncable"`
	// SecondFactor says that the passkey signs nobody in: it is a second factor only ([PasskeyEnrolment]).
	SecondFactor bool     `json:"secondFactor"`
	Transports   []string `json:"transports"` // usb, nfc, ble, smart-card, hybrid, internal
	// ClonedAt is when the count of the authenticator last failed to rise: there may be a copy of it. Zero if never.
	ClonedAt time.Time `json:"clonedAt,omitzero"`
}

// showPasskey returns a passkey as it is shown.
func (e *Engine) showPasskey(p *record.Passkey) *Passkey {
	shown := &Passkey{
		ID: p.ID, CreatedAt: p.Created, UpdatedAt: p.Updated, UserID: p.UserID, Name: p.Name, UsedAt: p.Used,
		Synced: p.Synced, Syncable: p.Eligible, SecondFactor: p.Second, Transports: strings.Fields(p.Transports), ClonedAt: p.Cloned,
	}
	if e.passkeys != nil {
		shown.Provider = e.passkeys.Provider(p.AAGUID)
	}
	return shown
}

// UnknownPasskeyError is an [ErrPasskeyUnknown]: an authenticator has a passkey that the service does not know, because it was
// deleted here or was not taken when it was made.
type UnknownPasskeyError struct {
	// Signal is what the page passes to PublicKeyCredential.signalUnknownCredential, so that the browser offers the passkey no
	// more.
	Signal json.RawMessage `json:"signal"`
	reason error           // an Error; nil means ErrPasskeyUnknown
}

func (e *UnknownPasskeyError) Error() string { return e.Unwrap().Error() }

// Unwrap returns the reason: [ErrPasskeyUnknown], or why a new passkey was not taken.
func (e *UnknownPasskeyError) Unwrap() error {
	if e.reason == nil {
		return ErrPasskeyUnknown
	}
	return e.reason
}

// unknownPasskey returns the error for a passkey that the service does not have.
func (e *Engine) unknownPasskey(credential []byte, reason error) error {
	signal, _ := json.Marshal(map[string]string{"rpId": e.passkeys.RPID(), "credentialId": base64.RawURLEncoding.EncodeToString(credential)})
	return &UnknownPasskeyError{signal, reason}
}

// errOtherDomain refuses a store whose passkeys are bound to another domain.
var errOtherDomain = errors.New("latchkey: the store has passkeys of another domain than that of Config.Passkeys, which are of no use there: see Config.PasskeysOfOtherDomains")

// checkPasskeys refuses to start with another domain than that of the stored passkeys.
func (e *Engine) checkPasskeys(ctx context.Context) error {
	if e.passkeys == nil || e.otherDomains {
		return nil
	}
	for _, last := range []bool{false, true} {
		rows, err := record.Passkeys.List(ctx, e.store, store.Query{Index: record.Passkeys.Index("rp"), Descending: last, Limit: 1})
		if err != nil {
			return fmt.Errorf("latchkey: %w", err)
		}
		if len(rows) > 0 && rows[0].RPID != e.passkeys.RPID() {
			return errOtherDomain
		}
	}
	return nil
}

// passkeysOf returns the passkeys of a user, oldest first.
func passkeysOf(ctx context.Context, r store.Reader, userID string) ([]*record.Passkey, error) {
	return record.Passkeys.List(ctx, r, record.ListPasskeys(userID))
}

// findPasskey returns the passkey of a credential, nil if absent.
func findPasskey(ctx context.Context, r store.Reader, credential []byte) (*record.Passkey, error) {
	return record.Passkeys.Find(ctx, r, record.Passkeys.Index("digest"), store.Bytes(record.CredentialDigest(credential)))
}

// credentialOf returns a passkey as the relying party compares it.
func credentialOf(p *record.Passkey, handle []byte) ceremony.Credential {
	return ceremony.Credential{ID: p.Credential, Key: p.Key, Handle: handle, Transports: strings.Fields(p.Transports), Format: p.Format, Eligible: p.Eligible}
}

// credentialsOf returns passkeys as the relying party asks for them: those of its domain.
func (e *Engine) credentialsOf(rows []*record.Passkey) (all []ceremony.Credential) {
	for _, p := range rows {
		if !e.isElsewhere(p.RPID) {
			all = append(all, credentialOf(p, nil))
		}
	}
	return all
}

// handleOf returns the handle of a user, nil without one.
func handleOf(ctx context.Context, r store.Reader, userID string) ([]byte, error) {
	row, err := record.Handles.Find(ctx, r, record.Handles.Primary(), store.Text(userID))
	if row == nil || err != nil {
		return nil, err
	}
	return row.Handle, nil
}

// countPasskeys brings the kinds of passkeys of a user up to date, with the sessions.
func (tx *txn) countPasskeys(ctx context.Context, user *record.User) error {
	rows, err := passkeysOf(ctx, tx, user.ID)
	if err != nil {
		return err
	}
	kind := kindsOfPasskeys(rows)
	if kind == user.Passkeys {
		return nil
	}
	user.Passkeys = kind
	return tx.changeFacts(ctx, user)
}

// kindsOfPasskeys returns the kinds of some passkeys, as the row of their user has them.
func kindsOfPasskeys(rows []*record.Passkey) (kind string) {
	for _, p := range rows {
		if !p.Second {
			return passkeysFirst
		}
		kind = passkeysSecond
	}
	return kind
}

// nameOfPasskey returns the name of a new passkey whose user has given it none.
func (e *Engine) nameOfPasskey(aaguid []byte) string {
	if e.passkeys != nil {
		if provider := e.passkeys.Provider(aaguid); provider != "" {
			return provider
		}
	}
	return "Passkey"
}

// usePasskey records the use of a passkey. It is refused if the passkey has gone since it was read, and if the policy takes no
// passkey that may be a copy. event is the audit log's name for a refusal.
func (tx *txn) usePasskey(ctx context.Context, event string, user *record.User, read *record.Passkey, got *ceremony.Asserted) (*record.Passkey, error) {
	p, err := record.Passkeys.Find(ctx, tx, record.Passkeys.Primary(), store.Text(read.ID))
	if err != nil {
		return nil, err
	}
	if p == nil || !bytes.Equal(p.Key, read.Key) || p.UserID != user.ID || p.Eligible && !got.Eligible {
		return nil, tx.refuse(ctx, refused{event, user, ErrPasskeyRefused})
	}
	counts := p.Count != 0 || got.Count != 0
	switch count := int64(got.Count); {
	case counts && count <= p.Count && tx.policy.Factors.RefuseClonedPasskeys && !p.Eligible:
		p.Cloned, p.Updated = tx.now, tx.now
		if err := record.Passkeys.Replace(ctx, tx, p); err != nil {
			return nil, err
		}
		tx.noticeFactors(notify.PasskeyCloned, user)
		tx.event(user.ID, "passkeys."+p.ID+".update", tx.showPasskey(p))
		return nil, tx.refuse(ctx, refused{event, user, ErrPasskeyRefused})
	case counts && count <= p.Count:
		p.Cloned = tx.now
		tx.noticeFactors(notify.PasskeyCloned, user)
	default:
		p.Count = count
	}
	grown := got.Eligible && !p.Eligible
	if grown {
		p.Eligible = true
		tx.noticeFactors(notify.PasskeySynced, user)
	}
	p.Synced, p.Used, p.Updated = got.Synced, tx.now, tx.now
	if err := record.Passkeys.Replace(ctx, tx, p); err != nil {
		return nil, err
	}
	if grown || p.Cloned.Equal(tx.now) {
		tx.event(user.ID, "passkeys."+p.ID+".update", tx.showPasskey(p))
		return p, tx.log(ctx, logPasskeyUpdate, user)
	}
	return p, nil
}

// dropPasskey is the one place where one passkey is deleted. The sessions that it has opened end. The proof of a passkey goes from
// all others that no remaining one has opened, because they may have given it by this one.
func (tx *txn) dropPasskey(ctx context.Context, user *record.User, p *record.Passkey, kept string) error {
	if err := record.Passkeys.Delete(ctx, tx, store.Text(p.ID)); err != nil {
		return err
	}
	if err := tx.endSessionsIf(ctx, user, func(s *record.Session) bool { return s.Identity == p.ID }); err != nil {
		return err
	}
	if err := tx.countPasskeys(ctx, user); err != nil {
		return err
	}
	left, err := passkeysOf(ctx, tx, user.ID)
	if err != nil {
		return err
	}
	byThis := func(s *record.Session, f string) bool {
		opened := func(other *record.Passkey) bool { return other.ID == s.Identity }
		return f == string(FactorPasskey) && !slices.ContainsFunc(left, opened)
	}
	if err := tx.dropFactors(ctx, user, kept, byThis); err != nil {
		return err
	}
	if err := tx.forgetStepUps(ctx, user, kept); err != nil {
		return err
	}
	if user.Passkeys == "" {
		if err := tx.forgetFactorGuesses(ctx, user, FactorPasskey); err != nil {
			return err
		}
		if err := tx.forgetFactor(ctx, user, kept, FactorPasskey); err != nil {
			return err
		}
	}
	if tx.policy.Sessions.EndOnChange {
		if err := tx.endSessions(ctx, user, kept); err != nil {
			return err
		}
	}
	tx.noticeFactors(notify.PasskeyRemoved, user)
	tx.event(user.ID, "passkeys."+p.ID+".delete", tx.showPasskey(p))
	return tx.log(ctx, logPasskeyDelete, user)
}

// forgetStepUps follows a passkey that was deleted: sessions that another passkey has opened may have stepped up by this one. kept is
// the id of a session that stays as it is.
func (tx *txn) forgetStepUps(ctx context.Context, user *record.User, kept string) error {
	rows, err := sessionRows(ctx, tx, user.ID)
	if err != nil {
		return err
	}
	for _, s := range rows {
		if s.ID == kept || !hasWord(s.Factors, string(FactorPasskey)) || !s.Strong.After(s.Created) {
			continue
		}
		s.Strong = time.Time{}
		if err := record.Sessions.Replace(ctx, tx, s); err != nil {
			return err
		}
	}
	return nil
}

// dropPasskeys deletes the passkeys of a user that came at a time or after it.
func (tx *txn) dropPasskeys(ctx context.Context, user *record.User, since time.Time) error {
	rows, err := passkeysOf(ctx, tx, user.ID)
	if err != nil {
		return err
	}
	for _, p := range rows {
		if p.Created.Before(since) {
			continue
		}
		if err := tx.dropPasskey(ctx, user, p, ""); err != nil {
			return err
		}
	}
	return nil
}

// weighPasskeys follows MFA that is switched on by a session, "" for the server. A passkey of another session is one factor until
// a session of it has proven another one: a thief may have prepared it while one proof was enough.
func (tx *txn) weighPasskeys(ctx context.Context, user *record.User, kept string, opened string) error {
	if user.Passkeys == "" {
		return nil
	}
	rows, err := passkeysOf(ctx, tx, user.ID)
	if err != nil {
		return err
	}
	for _, p := range rows {
		if p.Single || kept != "" && p.Session == kept || p.ID == opened {
			continue
		}
		p.Single = true
		if err := record.Passkeys.Replace(ctx, tx, p); err != nil {
			return err
		}
	}
	return nil
}

// confirmPasskey lets the passkey that has opened a session count as two factors again.
func (tx *txn) confirmPasskey(ctx context.Context, user *record.User, s *record.Session) error {
	p, err := record.Passkeys.Find(ctx, tx, record.Passkeys.Primary(), store.Text(s.Identity))
	if err != nil || p == nil || p.UserID != user.ID || !p.Single {
		return err
	}
	p.Single = false
	return record.Passkeys.Replace(ctx, tx, p)
}

// checkPasskeyID refuses a text that cannot be the id of a passkey.
func checkPasskeyID(id string) error {
	if err := canon.ID(id); err != nil {
		return invalid("passkeyId", err)
	}
	return nil
}

// ownPasskey returns a passkey of a user.
func ownPasskey(ctx context.Context, r store.Reader, userID, id string) (*record.Passkey, error) {
	p, err := record.Passkeys.Find(ctx, r, record.Passkeys.Primary(), store.Text(id))
	if err == nil && (p == nil || p.UserID != userID) {
		return nil, ErrPasskeyNotFound
	}
	return p, err
}

// noPasskeys reports that the host has no passkeys.
func (e *Engine) noPasskeys() error {
	if e.passkeys == nil {
		return ErrAuthMethodUnsupported
	}
	return nil
}

// opens reports whether a passkey signs its user in here: it is no second factor, and of the present domain.
func (e *Engine) opens(p *record.Passkey) bool {
	return e.passkeys != nil && e.policy.Disabled&MethodPasskey == 0 && !p.Second && !e.isElsewhere(p.RPID)
}

// isElsewhere reports whether a domain of passkeys is another one than that of the service.
func (e *Engine) isElsewhere(rpID string) bool { return e.passkeys != nil && rpID != e.passkeys.RPID() }

// signsInByPasskey reports whether a user can sign in by another passkey than one, "" for none.
func (tx *txn) signsInByPasskey(ctx context.Context, user *record.User, without string) (bool, error) {
	if user.Passkeys != passkeysFirst {
		return false, nil
	}
	rows, err := passkeysOf(ctx, tx, user.ID)
	return slices.ContainsFunc(rows, func(p *record.Passkey) bool { return p.ID != without && tx.opens(p) }), err
}
