package latchkey

import (
	"cmp"
	"context"
	"encoding/base32"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"example.com/latchkey/hasher"
	"example.com/latchkey/hasher/foreign"
	"example.com/latchkey/internal/canon"
	"example.com/latchkey/internal/codes"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/internal/seal"
	"example.com/latchkey/internal/words"
	"example.com/latchkey/store"
)

// Limits of what a user brings along.
const (
	importBatch  = 500     // records of one transaction
	importBytes  = 4 << 20 // of their texts, about
	busyPause    = 100 * time.Millisecond
	maxCodes     = 100 // recovery codes
	maxHistory   = 100 // former passwords
	seedLeast    = 10  // bytes of an authenticator's seed
	seedMost     = 64
	maxStep      = 253_402_300_799 / 30 // of the year 9999
	maxTokenText = 64 << 10             // bytes of a provider's token
)

// Import makes users, teams and memberships that come from elsewhere, in one pass and in batches
// of at most 500, each in one transaction. The engine may be used meanwhile.
//
// A record is made as a whole or not at all: nothing of it is guessed, and no record that is
// there is changed. If the id of a user has a user with the same addresses, the user has come
// already: the result is [ImportExisted], so an import that broke off is run again. A record that
// cannot be made is refused by itself, and the others go on:
//
//   - [*RecordError]: the source cannot read it.
//   - [ErrArgumentInvalid]: a field has a form that it may not have, or two fields
//     contradict each other. The message names the field.
//   - [ErrEmailDisposable], [ErrEmailNotCanonical], [ErrEmailFree], [ErrEmailNotCorporate]:
//     Policy.Addresses refuses the address.
//   - [ErrUserAlreadyExists]: another user has the id, the address or the number.
//   - [ErrTargetAlreadyExists], [ErrIdentityAlreadyExists]: another user has a target or an
//     identity with the same id, or an identity with the same subject.
//   - [ErrTeamNotFound], [ErrUserNotFound], [ErrMembershipAlreadyConfirmed] and the other errors
//     of [Teams.CreateMembership]: for a membership.
//
// Hashes of passwords are checked, and fast ones wrapped, as in [Users.CreateArgon2User]. Users
// are made as by [Users.Create]: with events and lines of the log, and without a message. A
// proven address of an identity is kept for its user unless another user has it.
//
// The records come from an iterator. If it yields a [*RecordError], that record is refused. Any
// other error of it ends the import and is the error of Import. So does a fault of the store:
// batches that are committed stay. The counts are always those of what is committed.
func (e *Engine) Import(ctx context.Context, records iter.Seq2[Portable, error], o ImportOptions) (done Imported, err error) {
	var source error // of the iterator, which the caller knows
	defer func() {
		if source != nil {
			err = errors.Join(source, err)
		}
	}()
	defer publicError("import", &err)
	in := &importing{engine: e, options: o}
	defer func() { done = in.done }()
	defer in.wait() // also after a panic of the iterator
	var read []importRecord
	size := 0
	for p, err := range records {
		var bad *RecordError
		switch {
		case errors.As(err, &bad):
			p = Portable{Line: bad.Line}
		case err != nil:
			source = err
			return done, errors.Join(in.write(ctx, read), in.settle(ctx))
		}
		read, size = append(read, importRecord{Portable: p, refused: err}), size+p.size()
		if len(read) == importBatch || size > importBytes {
			if err := in.write(ctx, read); err != nil {
				return done, err
			}
			read, size = nil, 0
		}
	}
	if err := in.write(ctx, read); err != nil {
		return done, err
	}
	return done, in.settle(ctx)
}

// importRecord is a record with its fate.
type importRecord struct {
	Portable
	checked *arrival // as it was checked
	arrival *arrival // as the last run of the transaction has left it
	team    *record.Team
	member  *record.Membership
	refused error
	existed bool
}

// importing is a running import. While one batch is written, the next one is read and checked.
type importing struct {
	engine  *Engine
	options ImportOptions
	done    Imported
	batch   []importRecord // that is being written
	written chan struct{}  // closed when it is; nil if there is none
	failed  error          // why it is not
	panicky any            // the value of a panic of the store
	after   *txn           // with the events that follow
}

// write checks a batch, waits for the one before, and begins to write it.
func (in *importing) write(ctx context.Context, batch []importRecord) error {
	if len(batch) == 0 {
		return nil
	}
	c, err := in.engine.Users().begin()
	if err == nil {
		err = c.checkArrivals(ctx, batch, in.options)
	}
	if settled := in.settle(ctx); settled != nil || err != nil {
		return cmp.Or(settled, err)
	}
	in.batch, in.written, in.failed = batch, make(chan struct{}), errors.New("latchkey: the store has ended the goroutine of an import")
	go func() {
		defer close(in.written)
		defer func() { in.panicky = recover() }()
		in.after, in.failed = c.writeArrivals(ctx, batch, in.options.DryRun)
	}()
	return nil
}

// wait waits for the batch that is being written.
func (in *importing) wait() {
	if in.written != nil {
		<-in.written
	}
}

// settle waits for the batch that is being written and tells its results.
func (in *importing) settle(ctx context.Context) error {
	in.wait()
	batch, after := in.batch, in.after
	in.batch, in.written, in.after = nil, nil, nil
	switch {
	case batch == nil:
		return nil
	case in.panicky != nil:
		panic(in.panicky)
	case in.failed != nil:
		return in.failed
	}
	results := make([]ImportResult, len(batch))
	for i := range batch {
		results[i] = batch[i].result()
		in.done.count(results[i])
	}
	for _, r := range results {
		if in.options.OnResult != nil {
			in.options.OnResult(r)
		}
	}
	if after != nil {
		after.follow(ctx, nil)
	}
	return nil
}

// result returns the result of a record whose batch is written.
func (r *importRecord) result() ImportResult {
	out := ImportResult{Line: r.Line, Kind: r.kind(), ID: r.id(), Outcome: ImportCreated, Err: r.refused}
	var bad *RecordError
	switch {
	case errors.As(r.refused, &bad):
		out.Kind, out.Outcome = "", ImportRefused
	case r.existed:
		out.Outcome, out.Err = ImportExisted, nil
	case r.refused != nil:
		out.Outcome = ImportRefused
	case r.arrival != nil:
		out.ID = r.arrival.user.ID
	case r.member != nil:
		out.ID = r.member.ID
	}
	return out
}

// checkArrivals checks the records of a batch and makes their rows, on several processors,
// because fast hashes are wrapped.
func (c *call) checkArrivals(ctx context.Context, batch []importRecord, o ImportOptions) error {
	for i := range batch { // here, because it may ask the host
		if r := &batch[i]; r.refused == nil && r.User != nil {
			if email, err := canon.Email(r.User.Email); err == nil {
				r.refused = c.admitEmail(ctx, email)
			}
		}
	}
	var wg sync.WaitGroup
	var failed error
	var once sync.Once
	workers := min(runtime.GOMAXPROCS(0), len(batch))
	for w := range workers {
		wg.Go(func() {
			for i := w; i < len(batch); i += workers {
				if err := c.checkArrival(ctx, &batch[i], o); err != nil {
					once.Do(func() { failed = err })
					return
				}
			}
		})
	}
	wg.Wait()
	return failed
}

// checkArrival checks a record and makes its rows. Its error ends the import.
func (c *call) checkArrival(ctx context.Context, r *importRecord, o ImportOptions) (err error) {
	if r.refused != nil {
		return nil
	}
	switch {
	case r.User != nil && r.Team != nil, r.User != nil && r.Membership != nil, r.Team != nil && r.Membership != nil:
		err = invalid("record", errors.New("it is more than one"))
	case r.User != nil:
		r.checked, err = c.arrivalOf(ctx, r.User, o)
	case !o.TrustRoles && (r.Team != nil || r.Membership != nil):
		err = invalid(r.kind(), errRoles)
	case r.Team != nil:
		r.team, err = c.teamOf(r.Team)
	case r.Membership != nil:
		r.member, err = c.memberOf(r.Membership)
	default:
		err = invalid("record", errors.New("it is empty"))
	}
	var refused *Error
	if errors.As(err, &refused) && !errors.Is(err, ErrBusy) {
		*r = importRecord{Portable: r.Portable, refused: err}
		return nil
	}
	return err
}

// errDryRun rolls the transaction of a dry run back.
var errDryRun = errors.New("latchkey: dry run")

// writeArrivals writes a batch in one transaction. What follows its commit, for example events, is
// left to the caller. There is none after a dry run.
func (c *call) writeArrivals(ctx context.Context, batch []importRecord, dry bool) (*txn, error) {
	_, done, _, err := commit(ctx, c, func(ctx context.Context, tx *txn) (none, error) {
		if err := tx.writeUsers(ctx, batch); err != nil {
			return none{}, err
		}
		if err := tx.writeTeams(ctx, batch); err != nil {
			return none{}, err
		}
		if dry {
			return none{}, errDryRun
		}
		return none{}, nil
	})
	if errors.Is(err, errDryRun) {
		return nil, nil
	}
	return done, err
}

// writeUsers makes the users of a batch.
func (tx *txn) writeUsers(ctx context.Context, batch []importRecord) error {
	var come []*arrival
	var exist []*importRecord
	for i := range batch {
		if r := &batch[i]; r.checked != nil {
			r.arrival = r.checked.fresh()
			come = append(come, r.arrival)
		}
	}
	if len(come) == 0 {
		return nil
	}
	if err := tx.insertUsers(ctx, come); err != nil {
		return err
	}
	for i := range batch {
		r := &batch[i]
		if r.arrival == nil {
			continue
		}
		r.refused, r.existed = r.arrival.refused, false
		if r.arrival.exists {
			exist = append(exist, r)
		}
	}
	return tx.recognise(ctx, exist)
}

// recognise marks the users who have come already: the user of the same id has the same
// addresses.
func (tx *txn) recognise(ctx context.Context, exist []*importRecord) error {
	var ids []store.Value
	for _, r := range exist {
		ids = append(ids, store.Text(r.arrival.user.ID))
	}
	rows, err := rowsIn(ctx, tx, record.Users.Primary(), ids)
	if err != nil {
		return err
	}
	have := make(map[string]*record.User)
	for _, row := range rows {
		user := record.Users.Record(row)
		have[user.ID] = user
	}
	for _, r := range exist {
		user := have[r.arrival.user.ID]
		r.existed = user != nil && user.Email == r.arrival.user.Email && user.Phone == r.arrival.user.Phone
	}
	return nil
}

// writeTeams makes the teams and memberships of a batch.
func (tx *txn) writeTeams(ctx context.Context, batch []importRecord) error {
	for i := range batch {
		r := &batch[i]
		var err error
		switch {
		case r.team != nil:
			team := *r.team
			r.existed = false
			err = tx.insertTeam(ctx, &team)
			r.existed = errors.Is(err, ErrTeamAlreadyExists)
		case r.member != nil:
			r.existed, err = tx.writeMember(ctx, r.member)
		default:
			continue
		}
		var refused *Error
		if r.refused = nil; errors.As(err, &refused) {
			r.refused, err = err, nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// writeMember makes a user a member of a team, unless they are one.
func (tx *txn) writeMember(ctx context.Context, drawn *record.Membership) (existed bool, err error) {
	team, err := getTeam(ctx, tx, drawn.TeamID)
	if err != nil {
		return false, err
	}
	user, err := getUser(ctx, tx, drawn.UserID)
	if err != nil {
		return false, err
	}
	m := *drawn
	roles, err := rolesIn(&m)
	if err != nil {
		return false, err
	}
	have, err := record.Memberships.Find(ctx, tx, record.Memberships.Primary(), store.Text(m.ID))
	switch {
	case err != nil:
		return false, err
	case have != nil && have.TeamID == m.TeamID && have.UserID == m.UserID && have.Confirm:
		return true, nil
	case have != nil:
		return false, invalid("membershipId", errors.New("another membership has it"))
	}
	if err := tx.admit(ctx, team, user, &m, roles); err != nil {
		return false, err
	}
	m.Joined, m.Updated = drawn.Joined, drawn.Updated
	if err := record.Memberships.Replace(ctx, tx, &m); err != nil {
		return false, err
	}
	_, err = tx.changedMembership(ctx, team, user, &m, logMembershipCreate)
	return false, err
}

// fresh returns the arrival as it was checked, for another run of the transaction.
func (a *arrival) fresh() *arrival {
	out := *a
	user := *a.user
	out.user, out.kept = &user, nil
	out.identities = nil
	for _, i := range a.identities {
		row := *i
		out.identities = append(out.identities, &row)
	}
	return &out
}

// errRoles says why a record that gives a right is refused.
var errRoles = errors.New("it gives rights, which needs ImportOptions.TrustRoles")

// arrivalOf checks a user and makes the rows.
func (c *call) arrivalOf(ctx context.Context, p *PortableUser, o ImportOptions) (*arrival, error) {
	user, err := NewUser{UserID: p.ID, Email: p.Email, Phone: p.Phone, Name: p.Name}.record(c.now)
	if err != nil {
		return nil, err
	}
	switch {
	case p.EmailVerified && user.Email == "":
		return nil, invalid("emailVerified", errors.New("there is no address"))
	case p.PhoneVerified && user.Phone == "":
		return nil, invalid("phoneVerified", errors.New("there is no number"))
	case p.ID == "" && p.Email == "" && p.Phone == "" && len(p.Identities) == 0:
		return nil, invalid("userId", errors.New("without an id, an address or an identity, another run could not know the user again"))
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
	a.words = words.Of("users", user.ID, userTexts(user)...)
	a.targets, err = c.targetsOf(user, p.Targets)
	return a, err
}

// errNoTime says why a time is refused.
var errNoTime = errors.New("the year is not 1970 to 9999")

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
func stateOf(user *record.User, s PortableState) error {
	switch s.Half {
	case "", byEmail.name, byPhone.name:
	default:
		return invalid("half", errors.New("not email or phone"))
	}
	user.Recovered, user.MFADemanded, user.Unclaimed = s.Recovered, s.MFADemanded, s.Unclaimed && (user.EmailVerified || user.PhoneVerified)
	if s.Half == byEmail.name && user.EmailVerified || s.Half == byPhone.name && user.PhoneVerified {
		user.Half = s.Half
	}
	return nil
}

// hashesOf gives a user their password and the former ones.
func (c *call) hashesOf(ctx context.Context, user *record.User, p *PortableUser) error {
	if len(p.PasswordHistory) > maxHistory {
		return invalid("passwordHistory", fmt.Errorf("more than %d", maxHistory))
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
		kept, err := foreign.Wrap(ctx, c.hashes(), h)
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
		return nil, invalid("seed", fmt.Errorf("not base32 of %d to %d bytes", seedLeast, seedMost))
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
		return nil, invalid("recoveryCodes", fmt.Errorf("more than %d", maxCodes))
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
		case codes.IsShortRecovery(code):
			row.Digest = c.ring.DigestCode(recoveryParts(user.ID, code)...)
			row.Sealed = c.ring.Seal(seal.RecoveryCode, seal.RecoveryCodePlace(row.ID, user.ID), []byte(code))
		case p.Code.IsZero() && len(p.Digest) == 32 && p.Digest != nil:
			row.Digest = slices.Clone(p.Digest)
		default:
			return nil, invalid("recoveryCodes", errors.New("not ten characters, nor a digest of 32 bytes"))
		}
		if !have.take(code + string(p.Digest)) {
			return nil, invalid("recoveryCodes", errors.New("a code comes twice"))
		}
		rows = append(rows, row)
	}
	return rows, nil
}

// identitiesOf makes the rows of identities.
func (c *call) identitiesOf(user *record.User, all []PortableIdentity, trust bool) (rows []*record.Identity, err error) {
	if len(all) > maxIdentities {
		return nil, invalid("identities", fmt.Errorf("more than %d", maxIdentities))
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
			return invalid("identities", fmt.Errorf("a token has more than %d bytes, or is not UTF-8", maxTokenText))
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
	if !isProviderText(text) {
		return invalid(field, fmt.Errorf("blank, longer than %d bytes or not UTF-8", maxIssuer))
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
