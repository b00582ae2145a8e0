package latchkey

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"example.com/latchkey/internal/canon"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/store"
)

// Identity is an account of a user at a provider, by which they sign in.
type Identity struct {
	ID        string    `json:"$id"`
	CreatedAt time.Time `json:"$createdAt"`
	UpdatedAt time.Time `json:"$updatedAt"` // of the last sign-in by it
	UserID    string    `json:"userId"`
	Provider  string    `json:"provider"`
	// Issuer is the service that has named the user: two services of one provider are different.
	Issuer      string `json:"issuer"`
	ProviderUID string `json:"providerUid"` // of the user at the issuer
	// ProviderEmail is the last address that the provider has told, or empty. It is only shown: it
	// may be another one than the user's.
	ProviderEmail string `json:"providerEmail"`
	// ProviderEmailVerified says that the provider has proven that address, and that its word
	// counts. Then no other user may have the address.
	ProviderEmailVerified bool `json:"providerEmailVerified"`
	// ProviderAccessTokenExpiry is the end of the access token that [Account.ProviderTokens]
	// returns; zero if it is not known.
	ProviderAccessTokenExpiry time.Time `json:"providerAccessTokenExpiry,omitzero"`
}

// showIdentity returns an identity as it is shown.
func showIdentity(i *record.Identity) *Identity {
	return &Identity{
		ID: i.ID, CreatedAt: i.Created, UpdatedAt: i.Updated, UserID: i.UserID, Provider: i.Provider, Issuer: i.Issuer,
		ProviderUID: i.Subject, ProviderEmail: i.Email, ProviderEmailVerified: i.Reserved != "", ProviderAccessTokenExpiry: i.Expire,
	}
}

// findIdentity returns an identity by its id, nil if absent.
func findIdentity(ctx context.Context, r store.Reader, id string) (*record.Identity, error) {
	return record.Identities.Find(ctx, r, record.Identities.Primary(), store.Text(id))
}

// identitiesOf returns the identities of a user, oldest first.
func identitiesOf(ctx context.Context, r store.Reader, userID string) ([]*record.Identity, error) {
	return record.Identities.List(ctx, r, record.ListIdentities(userID))
}

// addressHolder returns the id of the user who has an e-mail address, as their own or by an
// identity, or for whom it is held; "" if it is free.
func (tx *txn) addressHolder(ctx context.Context, address string) (string, error) {
	row, err := record.Addresses.Find(ctx, tx, record.Addresses.Primary(), store.Text(address))
	switch {
	case err != nil:
		return "", err
	case row == nil:
		return tx.heldFor(ctx, tx, byEmail, address)
	}
	return row.UserID, nil
}

// reserveAddress gives an e-mail address to a user, as their own or by an identity, unless
// another user has it.
func (tx *txn) reserveAddress(ctx context.Context, user *record.User, address string) (reserved bool, err error) {
	if address == "" {
		return true, nil
	}
	row, err := record.Addresses.Find(ctx, tx, record.Addresses.Primary(), store.Text(address))
	switch {
	case err != nil:
		return false, err
	case row != nil:
		return row.UserID == user.ID, nil
	}
	if holder, err := tx.heldFor(ctx, tx, byEmail, address); err != nil || holder != "" && holder != user.ID {
		return false, err
	}
	return true, record.Addresses.Insert(ctx, tx, &record.Address{Address: address, UserID: user.ID})
}

// releaseAddress frees an e-mail address that neither a user nor an identity has any more.
func (tx *txn) releaseAddress(ctx context.Context, address string) error {
	if address == "" {
		return nil
	}
	held, err := tx.has(ctx, byEmail.index, address)
	if held || err != nil {
		return err
	}
	n, err := tx.Count(ctx, store.Query{Index: record.Identities.Index("reserved"), Equal: []store.Value{store.Text(address)}, Limit: 1})
	if n > 0 || err != nil {
		return err
	}
	return record.Addresses.DeleteIfThere(ctx, tx, store.Text(address))
}

// insertIdentity is the one place where identities are made. Their provider has proven the
// address that is reserved.
func (tx *txn) insertIdentity(ctx context.Context, user *record.User, i *record.Identity) error {
	if err := record.Identities.Insert(ctx, tx, i); err != nil {
		return err
	}
	if err := tx.countIdentities(ctx, user); err != nil {
		return err
	}
	tx.event(user.ID, "identities."+i.ID+".create", showIdentity(i))
	return tx.log(ctx, logIdentityCreate, user)
}

// countIdentities brings the providers of a user up to date, with the sessions.
func (tx *txn) countIdentities(ctx context.Context, user *record.User) error {
	rows, err := identitiesOf(ctx, tx, user.ID)
	if err != nil {
		return err
	}
	var names []string
	for _, i := range rows {
		if i.Pending == "" {
			names = append(names, i.Provider)
		}
	}
	slices.Sort(names)
	all := strings.Join(slices.Compact(names), " ")
	if all == user.Providers {
		return nil
	}
	user.Providers = all
	return tx.changeFacts(ctx, user)
}

// dropIdentity is the one place where one identity is deleted. Its sessions end, its sign-ins that
// are not handed over yet, and the proof by it of other sessions, if it was the last one.
func (tx *txn) dropIdentity(ctx context.Context, user *record.User, i *record.Identity) error {
	if err := record.Identities.Delete(ctx, tx, store.Text(i.ID)); err != nil {
		return err
	}
	if err := tx.releaseAddress(ctx, i.Reserved); err != nil {
		return err
	}
	if err := tx.endToken(ctx, kindOAuth2.name, i.ID); err != nil {
		return err
	}
	if err := tx.endSessionsIf(ctx, user, func(s *record.Session) bool { return s.Identity == i.ID }); err != nil {
		return err
	}
	if err := tx.countIdentities(ctx, user); err != nil {
		return err
	}
	if user.Providers == "" {
		err := tx.dropFactors(ctx, user, "", func(_ *record.Session, f string) bool { return f == factorOAuth2 })
		if err != nil {
			return err
		}
	}
	tx.event(user.ID, "identities."+i.ID+".delete", showIdentity(i))
	return tx.log(ctx, logIdentityDelete, user)
}

// dropIdentities deletes the identities of a user.
func (tx *txn) dropIdentities(ctx context.Context, user *record.User) error {
	rows, err := identitiesOf(ctx, tx, user.ID)
	if err != nil {
		return err
	}
	for _, i := range rows {
		if err := tx.dropIdentity(ctx, user, i); err != nil {
			return err
		}
	}
	return nil
}

// confirmIdentity makes the identity of a session count. proven says that the session has proven a
// second factor.
func (tx *txn) confirmIdentity(ctx context.Context, user *record.User, s *record.Session, proven bool) error {
	rows, err := identitiesOf(ctx, tx, user.ID)
	if err != nil {
		return err
	}
	for _, i := range rows {
		if i.ID != s.Identity || i.Pending != "" && i.Pending != s.ID {
			continue
		}
		i.Pending = ""
		i.Found, i.Single = i.Found && !proven, i.Single && !proven
		if i.Email == user.Email { // the proven address that has led to the user
			i.Reserved = i.Email
		}
		if err := record.Identities.Replace(ctx, tx, i); err != nil {
			return err
		}
	}
	return tx.countIdentities(ctx, user)
}

// enterByIdentity makes the session of a user who has signed in by an identity. An identity that
// was found by the address of a user with a second factor counts only after that factor.
func (tx *txn) enterByIdentity(ctx context.Context, user *record.User, i *record.Identity, in signIn) (*Session, error) {
	in.provider, in.providerUID, in.identity, in.factors = i.Provider, i.Subject, i.ID, factorOAuth2
	if user.Blocked {
		return nil, tx.refuse(ctx, refused{logSessionRefuse, user, ErrUserBlocked})
	}
	if tx.policy.TrustProviderMFA && i.Pending == "" && !i.Single {
		in.factors = trustedOAuth2
	}
	if i.Pending == "" {
		return tx.createSession(ctx, user, &in)
	}
	if user.MFA { // the person was found by the address, so this proves the mailbox and no more
		in.factors = factorEmail
	}
	i.Pending = in.id
	if err := record.Identities.Replace(ctx, tx, i); err != nil {
		return nil, err
	}
	session, err := tx.createSession(ctx, user, &in)
	if err != nil || user.MFA { // with MFA on, the mailbox alone makes no further way in
		return session, err
	}
	return session, tx.confirmIdentity(ctx, user, &record.Session{ID: in.id, Identity: i.ID}, false)
}

// weighIdentities follows MFA that is switched on, except for the identity of the session that
// does it. An identity that proves the mailbox alone counts no more until a session of it has
// proven a second factor, and any other identity is one factor until then: a thief may have
// prepared both while one proof was enough.
func (tx *txn) weighIdentities(ctx context.Context, user *record.User, kept string) error {
	rows, err := identitiesOf(ctx, tx, user.ID)
	if err != nil {
		return err
	}
	for _, i := range rows {
		if i.ID == kept || i.Pending != "" {
			continue
		}
		i.Single = true
		was := i.Reserved
		if i.Found {
			i.Pending, i.Reserved = i.ID, ""
		}
		if err := record.Identities.Replace(ctx, tx, i); err != nil {
			return err
		}
		if !i.Found {
			continue
		}
		if err := tx.releaseAddress(ctx, was); err != nil {
			return err
		}
		if err := tx.endToken(ctx, kindOAuth2.name, i.ID); err != nil {
			return err
		}
		if err := tx.endSessionsIf(ctx, user, func(s *record.Session) bool { return s.Identity == i.ID }); err != nil {
			return err
		}
	}
	return tx.countIdentities(ctx, user)
}

// dropPending deletes the identities of a user that do not count yet and were found by an address
// that the user has no more.
func (tx *txn) dropPending(ctx context.Context, user *record.User, address string) error {
	rows, err := identitiesOf(ctx, tx, user.ID)
	if err != nil {
		return err
	}
	for _, i := range rows {
		if i.Pending == "" || i.Email != address {
			continue
		}
		if err := tx.dropIdentity(ctx, user, i); err != nil {
			return err
		}
	}
	return nil
}

// enterByHandOver makes the session of the bearer of a token that hands a sign-in over.
func (tx *txn) enterByHandOver(ctx context.Context, t *record.Token, in signIn) (*Session, error) {
	i, err := findIdentity(ctx, tx, t.Slot)
	if err != nil {
		return nil, err
	}
	if i == nil || i.UserID != t.UserID {
		return nil, ErrInvalidToken
	}
	user, err := getUser(ctx, tx, i.UserID)
	if err != nil {
		return nil, err
	}
	in.length = cmp.Or(in.length, time.Duration(t.Session)*time.Second)
	return tx.enterByIdentity(ctx, user, i, in)
}

// checkIdentityID refuses a text that cannot be the id of an identity.
func checkIdentityID(id string) error {
	if err := canon.ID(id); err != nil {
		return invalid("identityId", err)
	}
	return nil
}

// provenByIdentity reports whether an identity of a user, which counts, has proven their address.
func (tx *txn) provenByIdentity(ctx context.Context, user *record.User, by *contact) (bool, error) {
	if by != byEmail || user.Providers == "" || user.Email == "" {
		return false, nil
	}
	rows, err := identitiesOf(ctx, tx, user.ID)
	own := func(i *record.Identity) bool { return i.Reserved == user.Email }
	return slices.ContainsFunc(rows, own), err
}
