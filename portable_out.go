package latchkey

import (
	"context"
	"encoding/json"
	"errors"
	"strings"

	"example.com/latchkey/internal/record"
	"example.com/latchkey/internal/seal"
	"example.com/latchkey/store"
)

// exportPage is the number of rows that an export holds at a time.
const exportPage = 1_000

// exportBytes is about the size of a page of users.
const exportBytes = 4 << 20

// Export calls fn with everything that [Engine.Import] takes: all users, oldest id first, then
// all teams, then all memberships. It reads one snapshot: a change that is made meanwhile is
// not in it. Writers go on, see [store.Store].View for what a long snapshot costs.
//
// Rows that end by themselves stay behind: sessions with their push targets, links, codes and
// challenges, invitations, counts of wrong passwords, and the log. An import into an empty
// store gives the same users: an identity that waited for a second factor waits for it still.
//
// fn runs on the caller's goroutine. Its error ends the export and is the error of Export.
//
// Errors: that of fn, and faults, for example a hash that does not open.
func (e *Engine) Export(ctx context.Context, o ExportOptions, fn func(Portable) error) (err error) {
	defer e.operation(&ctx, "export").end(&err)
	c, err := e.Users().begin()
	if err != nil {
		return err
	}
	err = c.store.View(ctx, func(ctx context.Context, r store.Reader) error {
		out := &exporting{call: c, reader: r, secrets: o.Secrets, fn: func(p Portable) error {
			return asHostError(fn(p))
		}}
		if err := out.users(ctx); err != nil {
			return err
		}
		if err := out.teams(ctx); err != nil {
			return err
		}
		return out.memberships(ctx)
	})
	var broken *brokenError
	if errors.As(err, &broken) { // told after the snapshot: the host may use the engine
		return c.sealFault(ctx, broken.value, broken.userID, broken.cause)
	}
	return err
}

// exporting is a running export.
type exporting struct {
	*call
	reader  store.Reader
	secrets bool
	fn      func(Portable) error
}

// brokenError says that a sealed value does not open.
type brokenError struct{ unopened }

func (e *brokenError) Error() string { return e.cause.Error() }

// users exports the users. While one page is read and told, the next one is opened and turned into
// what travels, which needs no store.
func (out *exporting) users(ctx context.Context) error {
	q := store.Query{Index: record.Users.Primary(), Limit: 16}
	var ready chan turned // the page before
	for {
		page, err := record.Users.List(ctx, out.reader, q)
		if err != nil {
			return err
		}
		if len(page) == 0 {
			return out.tell(ready)
		}
		q.After = q.Index.Position(record.Users.Row(page[len(page)-1]))
		beside, err := out.beside(ctx, page)
		if err != nil {
			return err
		}
		next := make(chan turned, 1)
		go func() { next <- out.turn(page, beside) }()
		if err := out.tell(ready); err != nil {
			return err
		}
		ready, q.Limit = next, nextPage(page, beside)
	}
}

// nextPage returns the number of users of the next page, by the size of this one: users may have
// much.
func nextPage(page []*record.User, b besides) int {
	size := 1
	for _, user := range page {
		size += 500 + len(user.Prefs) + len(user.Targets) + len(user.PasswordHistory)
		for _, i := range b.identities[user.ID] {
			size += 500 + len(i.Access) + len(i.Refresh)
		}
		for _, p := range b.passkeys[user.ID] {
			size += 300 + len(p.Credential) + len(p.Key)
		}
	}
	return max(1, min(exportPage, len(page)*exportBytes/size, 4*len(page)))
}

// turned is a page of users as they travel.
type turned struct {
	users []*PortableUser
	err   error
}

// turn turns a page into users as they travel.
func (out *exporting) turn(page []*record.User, b besides) (t turned) {
	for _, user := range page {
		p, err := out.user(user, b)
		if err != nil {
			return turned{t.users, err}
		}
		t.users = append(t.users, p)
	}
	return t
}

// tell waits for a page and calls fn with its users.
func (out *exporting) tell(ready chan turned) error {
	if ready == nil {
		return nil
	}
	t := <-ready
	for _, p := range t.users {
		if err := out.fn(Portable{User: p}); err != nil {
			return err
		}
	}
	return t.err
}

// besides are the rows beside the users of a page, by user.
type besides struct {
	authenticators map[string][]*record.Authenticator
	recoveryCodes  map[string][]*record.RecoveryCode
	identities     map[string][]*record.Identity
	passkeys       map[string][]*record.Passkey
	handles        map[string][]*record.Handle
	push           map[string][]*record.Target // all targets of a user who may have one of that kind
}

// beside reads the rows beside the users of a page.
func (out *exporting) beside(ctx context.Context, page []*record.User) (b besides, err error) {
	first, last := page[0].ID, page[len(page)-1].ID
	b.authenticators, err = ofUsers(ctx, out.reader, record.Authenticators.Index("user"), record.Authenticators, first, last, func(a *record.Authenticator) string { return a.UserID })
	if err != nil {
		return b, err
	}
	b.recoveryCodes, err = ofUsers(ctx, out.reader, record.RecoveryCodes.Index("user"), record.RecoveryCodes, first, last, func(code *record.RecoveryCode) string { return code.UserID })
	if err != nil {
		return b, err
	}
	b.identities, err = ofUsers(ctx, out.reader, record.Identities.Index("user"), record.Identities, first, last, func(i *record.Identity) string { return i.UserID })
	if err != nil {
		return b, err
	}
	b.passkeys, err = ofUsers(ctx, out.reader, record.Passkeys.Index("user"), record.Passkeys, first, last, func(p *record.Passkey) string { return p.UserID })
	if err != nil {
		return b, err
	}
	b.handles, err = ofUsers(ctx, out.reader, record.Handles.Primary(), record.Handles, first, last, func(h *record.Handle) string { return h.UserID })
	if err != nil {
		return b, err
	}
	b.push = make(map[string][]*record.Target)
	for _, user := range page {
		if !strings.Contains(user.Targets, `"`+TargetPush+`"`) {
			continue
		}
		// The row of the user does not tell the session of a target.
		if b.push[user.ID], err = record.Targets.List(ctx, out.reader, record.ListTargets(user.ID)); err != nil {
			return b, err
		}
	}
	return b, nil
}

// ofUsers reads the rows of a table that belong to the users from one id to another.
func ofUsers[T any](ctx context.Context, r store.Reader, index *store.Index, table store.Typed[T], first, last string, of func(*T) string) (map[string][]*T, error) {
	all := make(map[string][]*T)
	q := store.Query{
		Index: index, Limit: exportPage,
		From: store.Including(store.Text(first)), To: store.Including(store.Text(last)),
	}
	for page, err := range table.Pages(ctx, r, q) {
		if err != nil {
			return nil, err
		}
		for _, row := range page {
			all[of(row)] = append(all[of(row)], row)
		}
	}
	return all, nil
}

// user returns a user as it travels.
func (out *exporting) user(user *record.User, b besides) (p *PortableUser, err error) {
	p = &PortableUser{
		ID: user.ID, Email: user.Email, Phone: user.Phone, Name: user.Name, EmailVerified: user.EmailVerified, PhoneVerified: user.PhoneVerified,
		CreatedAt: user.Created, UpdatedAt: user.Updated, Registration: user.Registered, AccessedAt: user.Accessed, PasswordUpdate: user.PasswordUpdated,
		Blocked: user.Blocked, MustReset: user.MustReset, MFA: user.MFA, Impersonator: user.Impersonator, Prefs: json.RawMessage(user.Prefs),
		State: PortableState{
			Recovered: user.Recovered, Unclaimed: user.Unclaimed, Half: user.Half, MFADemanded: user.MFADemanded,
			EmailProven: user.EmailProven, PhoneProven: user.PhoneProven,
		},
	}
	if p.Labels, err = labelsOf(user); err != nil {
		return nil, err
	}
	if p.Targets, err = targetsOf(user, b.push); err != nil {
		return nil, err
	}
	for _, i := range b.identities[user.ID] {
		identity, err := out.identity(i)
		if err != nil {
			return nil, err
		}
		p.Identities = append(p.Identities, *identity)
	}
	for _, row := range b.passkeys[user.ID] {
		p.Passkeys = append(p.Passkeys, portPasskey(row))
	}
	for _, row := range b.handles[user.ID] {
		p.PasskeyHandle = row.Handle
	}
	if !out.secrets {
		return p, nil
	}
	if p.Password, err = out.open(sealedPassword, user.ID, seal.PasswordHash, seal.PasswordPlace(user.ID), user.Password); err != nil {
		return nil, err
	}
	if p.PasswordHistory, err = out.formerHashes(user); err != nil {
		return nil, err
	}
	for _, a := range b.authenticators[user.ID] {
		seed, err := out.open(sealedTOTP, user.ID, seal.TOTP, seal.SeedPlace(a.ID, user.ID), a.Seed)
		if err != nil {
			return nil, err
		}
		p.Authenticator = &PortableAuthenticator{
			Seed: hide(totpOf(a, []byte(seed.Reveal())).Text()), Algorithm: a.Algorithm, Digits: int(a.Digits), Pending: !a.Verified,
			CreatedAt: a.Created, UpdatedAt: a.Updated, Step: a.Step,
		}
	}
	for _, row := range b.recoveryCodes[user.ID] {
		code := PortableRecoveryCode{CreatedAt: row.Created, SessionID: row.Session}
		if row.Sealed == nil {
			code.Digest = row.Digest
		} else if code.Code, err = out.open(sealedRecoveryCode, user.ID, seal.RecoveryCode, seal.RecoveryCodePlace(row.ID, user.ID), row.Sealed); err != nil {
			return nil, err
		}
		p.RecoveryCodes = append(p.RecoveryCodes, code)
	}
	return p, nil
}

// open opens a sealed column. One that does not open ends the export.
func (out *exporting) open(value sealed, userID, purpose string, place seal.Place, column []byte) (Secret, error) {
	if len(column) == 0 {
		return Secret{}, nil
	}
	text, err := out.ring.Open(purpose, place, column)
	if err != nil {
		return Secret{}, &brokenError{unopened{value, userID, err}}
	}
	return hide(string(text)), nil
}

// formerHashes opens the hashes of former passwords.
func (out *exporting) formerHashes(user *record.User) (hashes []Secret, err error) {
	text, err := out.open(sealedHistory, user.ID, seal.PasswordHash, seal.HistoryPlace(user.ID), user.PasswordHistory)
	if err != nil || text.IsZero() {
		return nil, err
	}
	var former []string
	if err := json.Unmarshal([]byte(text.Reveal()), &former); err != nil {
		return nil, err
	}
	for _, hash := range former {
		hashes = append(hashes, hide(hash))
	}
	return hashes, nil
}

// targetsOf returns the targets of a user that belong to no session.
func targetsOf(user *record.User, push map[string][]*record.Target) ([]Target, error) {
	rows, known := push[user.ID]
	if !known {
		var err error
		if rows, err = record.TargetsOf(user); err != nil {
			return nil, err
		}
	}
	targets := make([]Target, 0, len(rows))
	for _, t := range rows {
		if t.SessionID == "" {
			targets = append(targets, *showTarget(t))
		}
	}
	return targets, nil
}

// identity returns an identity as it travels.
func (out *exporting) identity(i *record.Identity) (p *PortableIdentity, err error) {
	p = &PortableIdentity{
		ID: i.ID, Provider: i.Provider, Issuer: i.Issuer, Subject: i.Subject, Email: i.Email, Name: i.Name, EmailVerified: i.Reserved != "",
		CreatedAt: i.Created, UpdatedAt: i.Updated, Pending: i.Pending != "", Found: i.Found, Single: i.Single,
	}
	if !out.secrets {
		return p, nil
	}
	if p.Access, err = out.open(sealedProvider, i.UserID, seal.Provider, seal.AccessPlace(i.ID, i.UserID), i.Access); err != nil {
		return nil, err
	}
	if !p.Access.IsZero() {
		p.Expire = i.Expire
	}
	p.Refresh, err = out.open(sealedProvider, i.UserID, seal.Provider, seal.RefreshPlace(i.ID, i.UserID), i.Refresh)
	return p, err
}

func (out *exporting) teams(ctx context.Context) error {
	q := store.Query{Index: record.Teams.Primary(), Limit: exportPage}
	for page, err := range record.Teams.Pages(ctx, out.reader, q) {
		if err != nil {
			return err
		}
		for _, t := range page {
			p := &PortableTeam{ID: t.ID, Name: t.Name, Prefs: json.RawMessage(t.Prefs), CreatedAt: t.Created, UpdatedAt: t.Updated}
			if err := out.fn(Portable{Team: p}); err != nil {
				return err
			}
		}
	}
	return nil
}

func (out *exporting) memberships(ctx context.Context) error {
	q := store.Query{
		Index: record.Memberships.Primary(), Limit: exportPage,
		Where: []store.Filter{store.Where("confirm", store.OpEqual, store.Bool(true))},
	}
	for page, err := range record.Memberships.Pages(ctx, out.reader, q) {
		if err != nil {
			return err
		}
		for _, m := range page {
			roles, err := rolesIn(m)
			if err != nil {
				return err
			}
			p := &PortableMembership{
				ID: m.ID, TeamID: m.TeamID, UserID: m.UserID, Roles: roles,
				CreatedAt: m.Created, UpdatedAt: m.Updated, Invited: m.Invited, Joined: m.Joined,
			}
			if err := out.fn(Portable{Membership: p}); err != nil {
				return err
			}
		}
	}
	return nil
}
