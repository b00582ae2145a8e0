package latchkey

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"example.com/latchkey/internal/reason"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/internal/words"
	"example.com/latchkey/store"
)

// arrival is a user who is about to be made, with the rows that come along.
type arrival struct {
	user *record.User
	// targets are those of the user. nil means one for each address.
	targets        []*record.Target
	authenticators []*record.Authenticator
	recoveryCodes  []*record.RecoveryCode
	identities     []*record.Identity
	passkeys       []*record.Passkey
	handles        []*record.Handle // one, or none
	words          []*record.Word

	kept    []*record.Target // those that the user gets
	exists  bool             // the id has a user
	refused error            // why the user cannot be made; nil if the user was made
}

// insertUser makes one user, with the addresses and targets of their e-mail and phone.
func (tx *txn) insertUser(ctx context.Context, user *record.User) (*User, error) {
	kept, err := tx.isDeleted(ctx, user.ID)
	switch {
	case err != nil:
		return nil, err
	case kept:
		return nil, ErrUserAlreadyExists
	}
	one := &arrival{user: user, words: words.Of("users", user.ID, userTexts(user)...)}
	if err := tx.insertUsers(ctx, []*arrival{one}, !tx.looks); err != nil {
		return nil, err
	}
	if one.refused != nil {
		return nil, one.refused
	}
	return showUser(user)
}

// insertUsers is the one place where users are made. It reads and writes for all of them
// together, and refuses each of them by itself. blind is for one user: the rows are inserted without
// a look at first, because a look at a free key is in conflict with all who insert near it, on a store
// whose transactions run side by side. If something is taken or held, the error is
// [store.ErrExists], and the transaction must roll back.
func (tx *txn) insertUsers(ctx context.Context, all []*arrival, blind bool) error {
	if !blind {
		if err := tx.refuseTaken(ctx, all); err != nil {
			return err
		}
	}
	come := slices.DeleteFunc(slices.Clone(all), func(a *arrival) bool { return a.refused != nil })
	if err := tx.settleTargets(ctx, come, blind); err != nil {
		return err
	}
	var rows arrivalRows
	for _, a := range come {
		if err := rows.add(tx, a); err != nil {
			return err
		}
	}
	if err := rows.insert(ctx, tx); err != nil || !blind {
		return err
	}
	return tx.refuseHeld(ctx, all[0])
}

// refuseHeld fails if an address of a user who was inserted is held for a former user.
func (tx *txn) refuseHeld(ctx context.Context, a *arrival) error {
	held, emails := make(taken), []string{a.user.Email}
	for _, i := range a.identities {
		emails = append(emails, i.Reserved)
	}
	if err := tx.addHeld(ctx, byEmail, emails, held); err != nil {
		return err
	}
	if err := tx.addHeld(ctx, byPhone, []string{a.user.Phone}, held); err != nil {
		return err
	}
	if len(held) > 0 {
		return fmt.Errorf("%w: an address is held", store.ErrExists)
	}
	return nil
}

// taken are the texts that rows have.
type taken map[string]bool

// take reports whether a text is free, and takes it.
func (t taken) take(text string) bool {
	if t[text] {
		return false
	}
	t[text] = true
	return true
}

// takenIn returns those of the texts, or bytes, that the last column of a unique index holds. leading are
// the values of the columns before it.
func (tx *txn) takenIn(ctx context.Context, index *store.Index, texts []string, leading ...string) (taken, error) {
	found := make(taken)
	last := index.Columns()[len(index.Columns())-1]
	value := store.Text
	if index.Table().Columns()[last].Kind == store.KindBytes {
		value = store.BytesOf
	}
	var keys []store.Value
	for _, text := range texts {
		if text != "" {
			keys = append(keys, value(text))
		}
	}
	rows, err := rowsIn(ctx, tx, index, keys, leading...)
	for _, row := range rows {
		found[row.At(last).Text()] = true
	}
	return found, err
}

// addHeld adds those of some addresses that are held for their former users.
func (tx *txn) addHeld(ctx context.Context, by *contact, texts []string, to taken) error {
	var keys []store.Value
	for _, text := range texts {
		if text != "" {
			keys = append(keys, store.Text(text))
		}
	}
	rows, err := rowsIn(ctx, tx, record.Tokens.Index("slot"), keys, undoKind(by).name)
	for _, row := range rows {
		t := record.Tokens.Record(row)
		if tx.live(t.Created, t.Expire) {
			to[t.Slot] = true
		}
	}
	return err
}

// haves has the unique texts of stored users, and of users who are made together.
type haves struct {
	ids, emails, phones, targets, identities, passkeys, credentials, handles taken
	subjects                                                                 map[service]taken
}

// service is a provider and its issuer.
type service struct{ provider, issuer string }

// errHandleTaken refuses a user whose authenticators would take them for another one.
var errHandleTaken = reason.New(reason.Conflict, "another user has it")

// serviceOf returns the service of an identity.
func serviceOf(i *record.Identity) service { return service{i.Provider, i.Issuer} }

// readHaves reads what stored users have of that which the arrivals would have.
func (tx *txn) readHaves(ctx context.Context, all []*arrival) (h haves, err error) {
	var ids, emails, phones, targets, identities, passkeys, credentials, handles []string
	subjects := make(map[service][]string)
	for _, a := range all {
		ids, emails, phones = append(ids, a.user.ID), append(emails, a.user.Email), append(phones, a.user.Phone)
		for _, t := range a.targets {
			targets = append(targets, t.ID)
		}
		for _, i := range a.identities {
			emails, identities = append(emails, i.Reserved), append(identities, i.ID)
			subjects[serviceOf(i)] = append(subjects[serviceOf(i)], i.Subject)
		}
		for _, p := range a.passkeys {
			passkeys, credentials = append(passkeys, p.ID), append(credentials, string(p.Digest))
		}
		for _, u := range a.handles {
			handles = append(handles, string(u.Handle))
		}
	}
	for _, read := range []struct {
		to    *taken
		index *store.Index
		texts []string
	}{
		{&h.ids, record.Users.Primary(), ids}, {&h.emails, record.Addresses.Primary(), emails}, {&h.phones, byPhone.index, phones},
		{&h.targets, record.Targets.Primary(), targets}, {&h.identities, record.Identities.Primary(), identities},
		{&h.passkeys, record.Passkeys.Primary(), passkeys}, {&h.credentials, record.Passkeys.Index("digest"), credentials}, {&h.handles, record.Handles.Index("handle"), handles},
	} {
		if *read.to, err = tx.takenIn(ctx, read.index, read.texts); err != nil {
			return h, err
		}
	}
	for _, held := range []struct {
		by    *contact
		texts []string
		to    taken
	}{{byEmail, emails, h.emails}, {byPhone, phones, h.phones}} {
		if err := tx.addHeld(ctx, held.by, held.texts, held.to); err != nil {
			return h, err
		}
	}
	h.subjects = make(map[service]taken)
	for of, some := range subjects {
		if h.subjects[of], err = tx.takenIn(ctx, record.Identities.Index("subject"), some, of.provider, of.issuer); err != nil {
			return h, err
		}
	}
	return h, nil
}

// conflict returns why an arrival cannot be made; nil if it can.
func (h *haves) conflict(a *arrival) error {
	user := a.user
	switch {
	case h.ids[user.ID], user.Email != "" && h.emails[user.Email], user.Phone != "" && h.phones[user.Phone]:
		return ErrUserAlreadyExists
	}
	own := make(taken)
	for _, t := range a.targets {
		if h.targets[t.ID] || !own.take(t.ID) {
			return ErrTargetAlreadyExists
		}
	}
	subjects := make(map[service]taken)
	for _, i := range a.identities {
		of := serviceOf(i)
		if subjects[of] == nil {
			subjects[of] = make(taken)
		}
		if h.identities[i.ID] || h.subjects[of][i.Subject] || !subjects[of].take(i.Subject) || !own.take("way in "+i.ID) {
			return ErrIdentityAlreadyExists
		}
	}
	for _, p := range a.passkeys { // a session names the identity or the passkey that has opened it by its id alone
		if h.passkeys[p.ID] || h.credentials[string(p.Digest)] || !own.take("way in "+p.ID) || !own.take("credential "+string(p.Digest)) {
			return ErrPasskeyAlreadyExists
		}
	}
	for _, u := range a.handles {
		if h.handles[string(u.Handle)] {
			return invalid("passkeyHandle", errHandleTaken)
		}
	}
	return nil
}

// add takes what an arrival has. An identity keeps its proven address unless another user has
// it.
func (h *haves) add(a *arrival) {
	own := taken{"": true, a.user.Email: true}
	for _, i := range a.identities {
		switch {
		case own[i.Reserved]:
		case h.emails[i.Reserved]:
			i.Reserved = ""
		default:
			own[i.Reserved] = true
		}
		h.identities[i.ID], h.subjects[serviceOf(i)][i.Subject] = true, true
	}
	for _, p := range a.passkeys {
		h.passkeys[p.ID], h.credentials[string(p.Digest)] = true, true
	}
	for _, u := range a.handles {
		h.handles[string(u.Handle)] = true
	}
	h.ids[a.user.ID], h.phones[a.user.Phone] = true, true
	for address := range own {
		h.emails[address] = true
	}
	for _, t := range a.targets {
		h.targets[t.ID] = true
	}
}

// refuseTaken refuses the users whose id, address, number or identity another one has, among
// the stored users and among themselves.
func (tx *txn) refuseTaken(ctx context.Context, all []*arrival) error {
	h, err := tx.readHaves(ctx, all)
	if err != nil {
		return err
	}
	for _, a := range all {
		a.exists, a.refused = h.ids[a.user.ID], h.conflict(a)
		if a.refused == nil {
			h.add(a)
		}
	}
	return nil
}

// settleTargets gives the users their targets. An address that is a target of another user
// gets none.
func (tx *txn) settleTargets(ctx context.Context, all []*arrival, blind bool) error {
	identifiers, own := make(map[string][]string), make(map[string][]string) // by kind
	for _, a := range all {
		if a.targets == nil {
			for _, by := range []*contact{byEmail, byPhone} {
				identifiers[by.target] = append(identifiers[by.target], by.address(a.user))
			}
		}
		for _, t := range a.targets {
			identifiers[t.ProviderType] = append(identifiers[t.ProviderType], t.Identifier)
			own[t.ProviderType] = append(own[t.ProviderType], t.Identifier)
		}
	}
	have := make(map[string]taken)
	for kind, some := range identifiers {
		if blind {
			have[kind] = make(taken)
			continue
		}
		found, err := tx.takenIn(ctx, record.Targets.Index("identifier"), some, kind)
		if err != nil {
			return err
		}
		have[kind] = found
	}
	for _, by := range []*contact{byEmail, byPhone} {
		if len(own[by.target]) == 0 { // whose address is held is refused already
			continue
		}
		if err := tx.addHeld(ctx, by, own[by.target], have[by.target]); err != nil {
			return err
		}
	}
	for _, a := range all {
		wanted := a.targets
		if wanted == nil {
			for _, by := range []*contact{byEmail, byPhone} {
				if address := by.address(a.user); address != "" {
					wanted = append(wanted, &record.Target{
						ID: newID(), UserID: a.user.ID, Created: tx.now, Updated: tx.now, ProviderType: by.target, Identifier: address,
					})
				}
			}
		}
		var kept []*record.Target
		for _, t := range wanted {
			if have[t.ProviderType].take(t.Identifier) {
				kept = append(kept, t)
			}
		}
		slices.SortFunc(kept, func(a, b *record.Target) int { return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.ID, b.ID)) }) // as they are listed
		text, err := record.EncodeTargets(kept)
		if err != nil {
			return err
		}
		a.user.Targets = text
		a.kept = kept
	}
	return nil
}

// arrivalRows are the rows of users who are made together.
type arrivalRows struct {
	addresses      []*record.Address
	users          []*record.User
	targets        []*record.Target
	authenticators []*record.Authenticator
	recoveryCodes  []*record.RecoveryCode
	identities     []*record.Identity
	passkeys       []*record.Passkey
	handles        []*record.Handle
	words          []*record.Word
	logs           []*record.Log
	guesses        []*record.User // users whose address strangers may have tried
}

// add gathers the rows of a user, with the events.
func (r *arrivalRows) add(tx *txn, a *arrival) error {
	user := a.user
	r.users = append(r.users, user)
	addresses := []string{user.Email}
	var providers []string
	for _, i := range a.identities {
		addresses = append(addresses, i.Reserved)
		if i.Pending == "" {
			providers = append(providers, i.Provider)
		}
	}
	slices.Sort(addresses)
	for _, address := range slices.Compact(addresses) {
		if address != "" {
			r.addresses = append(r.addresses, &record.Address{Address: address, UserID: user.ID})
		}
	}
	slices.Sort(providers)
	user.Providers = strings.Join(slices.Compact(providers), " ")
	user.TOTP = slices.ContainsFunc(a.authenticators, func(a *record.Authenticator) bool { return a.Verified })
	user.RecoveryCodes = len(a.recoveryCodes) > 0
	user.Passkeys = kindsOfPasskeys(a.passkeys)
	r.targets = append(r.targets, a.kept...)
	r.authenticators = append(r.authenticators, a.authenticators...)
	r.recoveryCodes = append(r.recoveryCodes, a.recoveryCodes...)
	r.identities = append(r.identities, a.identities...)
	r.passkeys = append(r.passkeys, a.passkeys...)
	r.handles = append(r.handles, a.handles...)
	r.words = append(r.words, a.words...)
	r.logs = append(r.logs, tx.logOf(logUserCreate, user))
	if user.Email != "" {
		r.guesses = append(r.guesses, user)
	}
	for range a.identities {
		r.logs = append(r.logs, tx.logOf(logIdentityCreate, user))
	}
	for range a.passkeys {
		r.logs = append(r.logs, tx.logOf(logPasskeyCreate, user))
	}
	if !tx.tellsEvents() {
		return nil
	}
	shown, err := showUser(user)
	if err != nil {
		return err
	}
	tx.userEvent("create", shown)
	for _, i := range a.identities {
		tx.event(user.ID, "identities."+i.ID+".create", showIdentity(i))
	}
	for _, p := range a.passkeys {
		tx.event(user.ID, "passkeys."+p.ID+".create", tx.showPasskey(p))
	}
	return nil
}

// insert stores the rows, parents before children.
func (r *arrivalRows) insert(ctx context.Context, tx *txn) error {
	for _, table := range []func() error{
		func() error { return record.Addresses.InsertAll(ctx, tx, r.addresses) },
		func() error { return record.Users.InsertAll(ctx, tx, r.users) },
		func() error { return record.Targets.InsertAll(ctx, tx, r.targets) },
		func() error { return record.Authenticators.InsertAll(ctx, tx, r.authenticators) },
		func() error { return record.RecoveryCodes.InsertAll(ctx, tx, r.recoveryCodes) },
		func() error { return record.Identities.InsertAll(ctx, tx, r.identities) },
		func() error { return record.Passkeys.InsertAll(ctx, tx, r.passkeys) },
		func() error { return record.Handles.InsertAll(ctx, tx, r.handles) },
		func() error { return record.Words.InsertAll(ctx, tx, r.words) },
		func() error { return record.Logs.InsertAll(ctx, tx, r.logs) },
	} {
		if err := table(); err != nil {
			return err
		}
	}
	return tx.forgetGuesses(ctx, r.guesses) // a read, with which PostgreSQL gets the rows
}
