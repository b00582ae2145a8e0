package latchkey

import (
	"cmp"
	"context"
	"errors"
	"iter"
	"runtime"
	"sync"

	"example.com/latchkey/internal/canon"
	"example.com/latchkey/internal/reason"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/store"
)

const (
	importBatch = 500     // records of one transaction
	importBytes = 4 << 20 // of their texts, about
)

// Import makes users, teams and memberships that come from elsewhere, in one pass and in batches
// of at most 500, or about 4 MiB, each in one transaction. The engine may be used meanwhile. While
// the hasher is busy with people who sign in, the import waits, until ctx ends.
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
//   - [ErrTargetAlreadyExists], [ErrIdentityAlreadyExists], [ErrPasskeyAlreadyExists]: another user has a target, an
//     identity or a passkey with the same id, an identity with the same subject, or a passkey with the same credential.
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
	defer e.operation(&ctx, "import").end(&err)
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
		err = invalid("record", reason.New(reason.TooMany, "it is more than one"))
	case r.User != nil:
		r.checked, err = c.arrivalOf(ctx, r.User, o)
	case !o.TrustRoles && (r.Team != nil || r.Membership != nil):
		err = invalid(r.kind(), errRoles)
	case r.Team != nil:
		r.team, err = c.teamOf(r.Team)
	case r.Membership != nil:
		r.member, err = c.memberOf(r.Membership)
	default:
		err = invalid("record", reason.New(reason.Missing, "it is empty"))
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
	if err := tx.insertUsers(ctx, come, false); err != nil {
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
		return false, invalid("membershipId", reason.New(reason.Conflict, "another membership has it"))
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
