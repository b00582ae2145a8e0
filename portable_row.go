package latchkey

import (
	"cmp"
	"context"
	"encoding/base32"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"example.com/latchkey/hasher"
	"example.com/latchkey/hasher/foreign"
	"example.com/latchkey/internal/canon"
	"example.com/latchkey/internal/codes"
	"example.com/latchkey/internal/reason"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/internal/seal"
	"example.com/latchkey/internal/words"
)

// Limits of what a user brings along.
const (
	busyPause    = 100 * time.Millisecond // before a full queue of the hasher is tried again
	maxCodes     = 100                    // recovery codes
	maxHistory   = 100                    // former passwords
	seedLeast    = 10                     // bytes of an authenticator's seed
	seedMost     = 64
	maxStep      = 253_402_300_799 / 30 // of the year 9999
	maxTokenText = 64 << 10             // bytes of a provider's token
)

// errRoles says why a record that gives a right is refused.
var errRoles = reason.New(reason.NotAllowed, "it gives rights, which needs ImportOptions.TrustRoles")

// arrivalOf checks a user and makes the rows.
func (c *call) arrivalOf(ctx context.Context, p *PortableUser, o ImportOptions) (*arrival, error) {
	user, err := NewUser{UserID: p.ID, Email: p.Email, Phone: p.Phone, Name: p.Name}.record(c.now)
	if err != nil {
		return nil, err
	}
	switch {
	case p.EmailVerified && user.Email == "":
		return nil, invalid("emailVerified", reason.New(reason.Missing, "there is no address"))
	case p.PhoneVerified && user.Phone == "":
		return nil, invalid("phoneVerified", reason.New(reason.Missing, "there is no number"))
	case p.ID == "" && p.Email == "" && p.Phone == "" && len(p.Identities) == 0:
		return nil, invalid("userId", reason.New(reason.Missing, "without an id, an address or an identity, another run could not know the user again"))
	case p.Impersonator && !o.TrustRoles:
		return nil, invalid("impersonator", errRoles)
	}
	user.EmailVerified, user.PhoneVerified = p.EmailVerified && o.TrustVerified, p.PhoneVerified && o.TrustVerified
	user.Blocked, user.MustReset, user.MFA, user.Impersonator = p.Blocked, p.MustReset, p.MFA, p.Impersonator
	if user.Labels, err = checkLabels(p.Labels); err != nil {
		return nil, err
	}
	if len(p.Prefs) > 0 {
		if user.Prefs, err = checkPrefs(p.Prefs); err != nil {
			return nil, err
		}
	}
	if err := timesOf(user, p, c.now); err != nil {
		return nil, err
	}
	if err := stateOf(user, p.State); err != nil {
		return nil, err
	}
	if err := c.hashesOf(ctx, user, p); err != nil {
		return nil, err
	}
	a := &arrival{user: user}
	if a.authenticators, err = c.authenticatorOf(user, p.Authenticator); err != nil {
		return nil, err
	}
	if a.recoveryCodes, err = c.recoveryCodesOf(user, p.RecoveryCodes); err != nil {
		return nil, err
	}
	if a.identities, err = c.identitiesOf(user, p.Identities, o.TrustVerified); err != nil {
		return nil, err
	}
	if a.passkeys, a.handles, err = c.passkeysArriving(user, p.Passkeys, p.PasskeyHandle); err != nil {
		return nil, err
	}
	a.words = words.Of("users", user.ID, userTexts(user)...)
	a.targets, err = c.targetsOf(user, p.Targets)
	return a, err
}

// timesOf gives a user their times.
func timesOf(user *record.User, p *PortableUser, now time.Time) (err error) {
	if user.Created, err = timeOr("createdAt", p.CreatedAt, now); err != nil {
		return err
	}
	for _, field := range []struct {
		name string
		to   *time.Time
		from time.Time
	}{
		{"updatedAt", &user.Updated, p.UpdatedAt}, {"registration", &user.Registered, p.Registration}, {"accessedAt", &user.Accessed, p.AccessedAt},
	} {
		if *field.to, err = timeOr(field.name, field.from, user.Created); err != nil {
			return err
		}
	}
	usual := time.Time{}
	if !p.Password.IsZero() {
		usual = user.Created
	}
	user.PasswordUpdated, err = timeOr("passwordUpdate", p.PasswordUpdate, usual)
	return err
}

// stateOf gives a user what another engine remembers of them.
func stateOf(user *record.User, s PortableState) (err error) {
	switch s.Half {
	case "", byEmail.name, byPhone.name:
	default:
		return invalid("half", reason.New(reason.Unknown, "not email or phone"))
	}
	user.Recovered, user.MFADemanded, user.Unclaimed = s.Recovered, s.MFADemanded, s.Unclaimed && (user.EmailVerified || user.PhoneVerified)
	if s.Half == byEmail.name && user.EmailVerified || s.Half == byPhone.name && user.PhoneVerified {
		user.Half = s.Half
	}
	if user.EmailVerified {
		if user.EmailProven, err = timeOr("emailProven", s.EmailProven, time.Time{}); err != nil {
			return err
		}
	}
	if user.PhoneVerified {
		user.PhoneProven, err = timeOr("phoneProven", s.PhoneProven, time.Time{})
	}
	return err
}

// hashesOf gives a user their password and the former ones.
func (c *call) hashesOf(ctx context.Context, user *record.User, p *PortableUser) error {
	if len(p.PasswordHistory) > maxHistory {
		return invalid("passwordHistory", reason.New(reason.TooMany, "more than %d", maxHistory))
	}
	kept := make(map[string]string) // by the hash of the source: a hash that comes twice is kept as one
	keep := func(hash Secret) (text string, err error) {
		text, found := kept[hash.Reveal()]
		if !found {
			text, err = c.storable(ctx, hash.Reveal())
			kept[hash.Reveal()] = text
		}
		return text, err
	}
	var former []string
	for _, hash := range p.PasswordHistory {
		text, err := keep(hash)
		if err != nil {
			return err
		}
		former = append(former, text)
	}
	if len(former) > 0 {
		text, err := json.Marshal(former)
		if err != nil {
			return err
		}
		user.PasswordHistory = c.ring.Seal(seal.PasswordHash, seal.HistoryPlace(user.ID), text)
	}
	if p.Password.IsZero() {
		return nil
	}
	text, err := keep(p.Password)
	if err != nil {
		return err
	}
	user.Password = c.ring.Seal(seal.PasswordHash, seal.PasswordPlace(user.ID), []byte(text))
	if len(former) == 0 {
		user.PasswordHistory = c.sealHistory(user, []string{text})
	}
	return nil
}

// storable returns a hash as it may be kept. One of package hasher, that is weaker than those
// that it makes, is wrapped as a foreign one.
func (c *call) storable(ctx context.Context, text string) (string, error) {
	var h foreign.Hash
	var err error
	if hasher.Own(text) {
		if h, err = foreign.Argon2(text); err == nil && !c.isWeak(text) {
			return text, nil
		}
	} else {
		h, err = foreign.Parse(text)
	}
	if err == nil && h.Wrapped() && c.isWeak(h.Around()) {
		err = errors.New("the hash around it can be guessed too fast")
	}
	if err != nil {
		return "", invalid("password", err)
	}
	for {
		kept, err := foreign.Wrap(ctx, c.hashes(ctx), h)
		if errors.Is(err, hasher.ErrBusy) { // people sign in meanwhile
			select {
			case <-time.After(busyPause):
				continue
			case <-ctx.Done():
				return "", ctx.Err()
			}
		}
		return kept.Text().Reveal(), err
	}
}

// isWeak reports whether a hash of package hasher can be guessed fast, and is weaker than those
// that the engine makes.
func (c *call) isWeak(hash string) bool {
	h, err := foreign.Argon2(hash)
	return err != nil || h.Fast() && c.hasher.Outdated(hash)
}

// authenticatorOf makes the row of an authenticator app.
func (c *call) authenticatorOf(user *record.User, p *PortableAuthenticator) ([]*record.Authenticator, error) {
	if p == nil {
		return nil, nil
	}
	n := NewMFAAuthenticator{Algorithm: cmp.Or(p.Algorithm, "SHA1"), Digits: cmp.Or(p.Digits, 6)}
	if err := n.check(); err != nil {
		return nil, err
	}
	text := strings.TrimRight(strings.ToUpper(p.Seed.Reveal()), "=")
	seed, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(text)
	if err != nil || len(seed) < seedLeast || len(seed) > seedMost {
		return nil, invalid("seed", reason.New(reason.Malformed, "not base32 of %d to %d bytes", seedLeast, seedMost))
	}
	row := &record.Authenticator{
		ID: newID(), UserID: user.ID, Kind: string(FactorTOTP), Algorithm: n.Algorithm, Digits: int64(n.Digits), Verified: !p.Pending, Step: max(p.Step, 0),
	}
	if row.Created, err = timeOr("authenticator", p.CreatedAt, user.Created); err != nil {
		return nil, err
	}
	if row.Updated, err = timeOr("authenticator", p.UpdatedAt, row.Created); err != nil {
		return nil, err
	}
	if row.Step > maxStep {
		return nil, invalid("step", errNoTime)
	}
	row.Seed = c.ring.Seal(seal.TOTP, seal.SeedPlace(row.ID, user.ID), seed)
	return []*record.Authenticator{row}, nil
}

// recoveryCodesOf makes the rows of recovery codes.
func (c *call) recoveryCodesOf(user *record.User, all []PortableRecoveryCode) (rows []*record.RecoveryCode, err error) {
	if len(all) > maxCodes {
		return nil, invalid("recoveryCodes", reason.New(reason.TooMany, "more than %d", maxCodes))
	}
	have := make(taken)
	for _, p := range all {
		row := &record.RecoveryCode{ID: newID(), UserID: user.ID, Session: p.SessionID}
		if row.Created, err = timeOr("recoveryCodes", p.CreatedAt, user.Created); err != nil {
			return nil, err
		}
		if p.SessionID != "" {
			if err := checkSessionID(p.SessionID); err != nil {
				return nil, err
			}
		}
		code := codes.PlainRecovery(p.Code.Reveal())
		switch {
		case codes.IsShortRecovery(code) && codes.IsRecovery(code):
			row.Digest = c.ring.DigestCode(recoveryParts(user.ID, code)...)
			row.Sealed = c.ring.Seal(seal.RecoveryCode, seal.RecoveryCodePlace(row.ID, user.ID), []byte(code))
		case p.Code.IsZero() && len(p.Digest) == 32 && p.Digest != nil:
			row.Digest = slices.Clone(p.Digest)
		default:
			return nil, invalid("recoveryCodes", reason.New(reason.Malformed, "not ten letters and digits, nor a digest of 32 bytes"))
		}
		if !have.take(code + string(p.Digest)) {
			return nil, invalid("recoveryCodes", reason.New(reason.Repeated, "a code comes twice"))
		}
		rows = append(rows, row)
	}
	return rows, nil
}

// identitiesOf makes the rows of identities.
func (c *call) identitiesOf(user *record.User, all []PortableIdentity, trust bool) (rows []*record.Identity, err error) {
	if len(all) > maxIdentities {
		return nil, invalid("identities", reason.New(reason.TooMany, "more than %d", maxIdentities))
	}
	for _, p := range all {
		row := &record.Identity{
			ID: cmp.Or(p.ID, newID()), UserID: user.ID, Provider: p.Provider, Issuer: p.Issuer, Subject: p.Subject, Name: p.Name,
			Found: p.Found, Single: p.Single,
		}
		if err := cmp.Or(checkIdentityID(row.ID), checkProviderText("provider", p.Provider), checkProviderText("issuer", p.Issuer),
			checkProviderText("subject", p.Subject), checkName(p.Name)); err != nil {
			return nil, err
		}
		if p.Email != "" {
			if row.Email, err = checkEmail(p.Email); err != nil {
				return nil, err
			}
		}
		if p.Pending {
			row.Pending = row.ID
		}
		if p.EmailVerified && trust && !p.Pending {
			row.Reserved = row.Email
		}
		if row.Created, err = timeOr("identities", p.CreatedAt, user.Created); err != nil {
			return nil, err
		}
		if row.Updated, err = timeOr("identities", p.UpdatedAt, row.Created); err != nil {
			return nil, err
		}
		if err := c.keepTokens(row, p); err != nil {
			return nil, err
		}
		rows = append(rows, row)
	}
	return rows, nil
}

// keepTokens seals the tokens of a provider, if the policy keeps them.
func (c *call) keepTokens(row *record.Identity, p PortableIdentity) error {
	for _, token := range []string{p.Access.Reveal(), p.Refresh.Reveal()} {
		if len(token) > maxTokenText || !utf8.ValidString(token) {
			return invalid("identities", reason.New(reason.TooLong, "a token has more than %d bytes, or is not UTF-8", maxTokenText))
		}
	}
	expire, err := timeOr("expire", p.Expire, time.Time{})
	if err != nil || !c.policy.KeepProviderTokens {
		return err
	}
	if !p.Access.IsZero() {
		row.Access, row.Expire = c.ring.Seal(seal.Provider, seal.AccessPlace(row.ID, row.UserID), []byte(p.Access.Reveal())), expire
	}
	if !p.Refresh.IsZero() {
		row.Refresh = c.ring.Seal(seal.Provider, seal.RefreshPlace(row.ID, row.UserID), []byte(p.Refresh.Reveal()))
	}
	return nil
}

// checkProviderText refuses a text that cannot be a provider's, as a sign-in does.
func checkProviderText(field, text string) error {
	if err := canon.Issuer(text); err != nil {
		return invalid(field, err)
	}
	return nil
}

// targetsOf makes the rows of targets.
func (c *call) targetsOf(user *record.User, all []Target) (rows []*record.Target, err error) {
	if all == nil {
		return nil, nil
	}
	if len(all) > maxTargets {
		return nil, invalid("targets", errTooManyTargets)
	}
	rows = []*record.Target{}
	for _, t := range all {
		row, err := NewTarget{ID: t.ID, ProviderType: t.ProviderType, Identifier: t.Identifier, ProviderID: t.ProviderID, Name: t.Name}.record(c)
		if err != nil {
			return nil, err
		}
		row.UserID, row.Expired = user.ID, t.Expired
		if row.Created, err = timeOr("targets", t.CreatedAt, user.Created); err != nil {
			return nil, err
		}
		if row.Updated, err = timeOr("targets", t.UpdatedAt, row.Created); err != nil {
			return nil, err
		}
		rows = append(rows, row)
	}
	return rows, nil
}

// teamOf checks a team and makes the row.
func (c *call) teamOf(p *PortableTeam) (team *record.Team, err error) {
	team = &record.Team{ID: p.ID, Key: newID(), Name: p.Name, Prefs: "{}"}
	if err := cmp.Or(checkTeamID(p.ID), checkTeamName(p.Name)); err != nil {
		return nil, err
	}
	if len(p.Prefs) > 0 {
		if team.Prefs, err = checkPrefs(p.Prefs); err != nil {
			return nil, err
		}
	}
	if team.Created, err = timeOr("createdAt", p.CreatedAt, c.now); err != nil {
		return nil, err
	}
	team.Updated, err = timeOr("updatedAt", p.UpdatedAt, team.Created)
	return team, err
}

// memberOf checks a membership and makes the row.
func (c *call) memberOf(p *PortableMembership) (m *record.Membership, err error) {
	m = &record.Membership{ID: cmp.Or(p.ID, newID()), TeamID: p.TeamID, UserID: p.UserID, Confirm: true}
	if err := cmp.Or(checkMembershipID(m.ID), checkTeamID(p.TeamID), checkUserID(p.UserID)); err != nil {
		return nil, err
	}
	roles, err := checkTeamRoles(p.Roles)
	if err != nil {
		return nil, err
	}
	if err := setRoles(m, roles); err != nil {
		return nil, err
	}
	if m.Created, err = timeOr("createdAt", p.CreatedAt, c.now); err != nil {
		return nil, err
	}
	for _, field := range []struct {
		name string
		to   *time.Time
		from time.Time
	}{{"updatedAt", &m.Updated, p.UpdatedAt}, {"invited", &m.Invited, p.Invited}, {"joined", &m.Joined, p.Joined}} {
		if *field.to, err = timeOr(field.name, field.from, m.Created); err != nil {
			return nil, err
		}
	}
	return m, nil
}
