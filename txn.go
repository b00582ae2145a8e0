package latchkey

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"time"

	"example.com/latchkey/internal/record"
	"example.com/latchkey/notify"
	"example.com/latchkey/store"
)

// txn is one run of a transaction of an operation, with the events and notices
// that follow its commit.
type txn struct {
	store.Tx
	*call
	by      actor // may become the user whom a guest proves to be
	events  []Event
	letters []letter
	notices []notice
	kept    []*queued               // letters, notices and events in the outbox
	after   []func(context.Context) // called after the commit
	seen    []Observation           // told after the commit
	looks   bool                    // look whether keys are taken before rows are inserted
	broken  []unopened              // told also if the transaction rolls back
}

// refusal is an error that commits: the transaction has recorded why it refuses,
// and that record must last. The caller gets the reason.
type refusal struct{ reason error }

func (r *refusal) Error() string { return r.reason.Error() }

// update runs fn in a transaction and returns its result. After the commit it
// tells the events and sends the notices that fn gathered. fn may run again, so it
// changes nothing outside. A refusal of fn commits; every other error rolls back.
func update[T any](ctx context.Context, c *call, fn func(context.Context, *txn) (T, error)) (T, error) {
	var zero T
	result, done, refused, err := commit(ctx, c, fn)
	if err != nil {
		return zero, err
	}
	done.follow(ctx, result)
	if refused != nil {
		return zero, refused.reason
	}
	return result, nil
}

// commit is update without what follows the commit: the caller calls follow. If a key is
// taken that fn did not look for, fn runs in another transaction, in which it looks.
func commit[T any](ctx context.Context, c *call, fn func(context.Context, *txn) (T, error)) (result T, done *txn, refused *refusal, err error) {
	if c.locator != nil {
		c.device(ctx) // for sessions and messages: no function of the host's but InTransaction runs inside
	}
	runs, began := 0, c.stopwatch()
	for _, looks := range []bool{false, true} {
		err = c.store.Update(ctx, func(ctx context.Context, s store.Tx) (err error) {
			runs++
			refused, done = nil, &txn{Tx: s, call: c, by: c.by, looks: looks}
			result, err = fn(ctx, done)
			if err != nil && !errors.As(err, &refused) {
				return err
			}
			return done.keep(ctx)
		})
		if !errors.Is(err, store.ErrExists) {
			break
		}
	}
	if !began.IsZero() {
		c.observe(ctx, Observation{What: ObservedTransaction, Outcome: outcomeOf(err), Count: runs, Took: time.Since(began)})
	}
	if done != nil {
		for _, u := range done.broken {
			c.logUnopened(ctx, u)
			c.tellUnopened(ctx, u)
		}
	}
	return result, done, refused, err
}

// keep is the last part of a transaction: the host gets its events, and the outbox its messages and
// events.
func (tx *txn) keep(ctx context.Context) (err error) {
	if tx.inTransaction != nil {
		for _, event := range tx.events {
			if err := tx.tellHost(ctx, event); err != nil {
				return err
			}
		}
	}
	if tx.outbox == nil {
		return nil
	}
	letters := tx.letters
	for _, n := range tx.notices {
		letters = append(letters, tx.noticeLetter(ctx, n))
	}
	tx.kept, err = tx.keepAll(ctx, tx.Tx, letters, tx.events, true)
	return err
}

// tellHost calls the host's InTransaction. A panic of it is a fault, which is logged after the
// transaction.
func (tx *txn) tellHost(ctx context.Context, event Event) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &hostPanic{fmt.Sprintf("%T", v), debug.Stack()}
		}
	}()
	return asHostError(tx.inTransaction(ctx, tx.Tx, event))
}

// follow tells the events and sends the messages of a transaction that is committed.
func (tx *txn) follow(ctx context.Context, result any) {
	ctx = context.WithoutCancel(ctx) // the caller may have gone meanwhile
	tx.describe(ctx, tx.shown(result)...)
	if tx.onEvent != nil {
		for _, event := range tx.events {
			tx.tell(ctx, event)
		}
	}
	if tx.outbox != nil {
		tx.offer(tx.kept)
	} else {
		for _, l := range tx.letters {
			tx.deliver(l)
		}
		tx.sendNotices(ctx, tx.notices)
	}
	for _, o := range tx.seen {
		tx.observe(ctx, o)
	}
	for _, do := range tx.after {
		do(ctx)
	}
}

// shown returns the users in the result and in the events of a transaction.
func (tx *txn) shown(result any) (users []*User) {
	if u, is := result.(*User); is && u != nil {
		users = append(users, u)
	}
	for _, event := range tx.events {
		if u, is := event.Payload.(*User); is {
			users = append(users, u)
		}
	}
	return users
}

// update is the function update for transactions without a result.
func (c *call) update(ctx context.Context, fn func(context.Context, *txn) error) error {
	_, err := update(ctx, c, func(ctx context.Context, tx *txn) (struct{}, error) { return struct{}{}, fn(ctx, tx) })
	return err
}

// sealFault is that of the engine. It is logged and told after the end of the transaction,
// also if that rolls back: the host's logger may use the engine.
func (tx *txn) sealFault(_ context.Context, value sealed, userID string, cause error) error {
	tx.broken = append(tx.broken, unopened{value, userID, cause})
	return &loggedError{cause}
}

// keyFault is sealFault for a digest whose key the engine lacks: a fault of the configuration,
// and no wrong answer of the caller.
func (tx *txn) keyFault(cause error) error {
	tx.broken = append(tx.broken, unopened{cause: cause})
	return &loggedError{cause}
}

// send gathers a letter, to be sent after the commit.
func (tx *txn) send(l letter) { tx.letters = append(tx.letters, l) }

// event gathers an event of a user. name is the part after the user's id. The
// receiver owns the payload.
func (tx *txn) event(userID, name string, payload any) {
	if !tx.tellsEvents() {
		return
	}
	tx.events = append(tx.events, Event{
		ID: newID(), Name: "users." + userID + "." + name, Time: tx.now, UserID: userID,
		ActorID: tx.by.id, Mode: string(tx.by.mode), Client: tx.client.silent(), Payload: payload,
	})
}

// teamEvent gathers an event of a team. name is the part after the team's id.
func (tx *txn) teamEvent(teamID, name string, payload any) {
	if !tx.tellsEvents() {
		return
	}
	tx.events = append(tx.events, Event{
		ID: newID(), Name: "teams." + teamID + "." + name, Time: tx.now, TeamID: teamID,
		ActorID: tx.by.id, Mode: string(tx.by.mode), Client: tx.client.silent(), Payload: payload,
	})
}

// tellAll gathers an event that concerns every user.
func (tx *txn) tellAll(name string) {
	if tx.tellsEvents() {
		tx.events = append(tx.events, Event{ID: newID(), Name: name, Time: tx.now, Mode: string(tx.by.mode), Client: tx.client.silent()})
	}
}

// notice gathers a notice, to be sent after the commit. It goes only to a proven address:
// another one may be a stranger's, to whom an attacker would have mail sent. A session alert
// goes to any mailbox, as documented, without words of the user.
func (tx *txn) notice(kind notify.Kind, by *contact, user *record.User) {
	to := by.address(user)
	proven := by.verified(user)
	if to == "" || !proven && kind != notify.SessionAlert || !tx.canSendTo(by.channel, to) {
		return
	}
	n := notice{notify.Message{ID: newID(), Kind: kind, Channel: by.channel, To: to, UserID: user.ID, Time: tx.now}, proven}
	if proven {
		n.Name = user.Name
	}
	tx.notices = append(tx.notices, n)
}

// noticeTo gathers a notice to every address and number that a user has proven.
func (tx *txn) noticeTo(kind notify.Kind, user *record.User) {
	for _, by := range []*contact{byEmail, byPhone} {
		tx.notice(kind, by, user)
	}
}

// noticeFactors gathers a notice of what has happened to the second factors of a user.
func (tx *txn) noticeFactors(change notify.Change, user *record.User) {
	from := len(tx.notices)
	tx.noticeTo(notify.FactorsChanged, user)
	for i := range tx.notices[from:] {
		tx.notices[from+i].Change = change
	}
}

// put stores a row in the place of the one with its primary key, if there is one.
func put[T any](ctx context.Context, tx *txn, table store.Typed[T], row *T, key ...store.Value) error {
	switch have, err := table.Find(ctx, tx, table.Primary(), key...); {
	case err != nil:
		return err
	case have == nil:
		return table.Insert(ctx, tx, row)
	}
	return table.Replace(ctx, tx, row)
}

// has reports whether a unique index holds a text.
func (tx *txn) has(ctx context.Context, index *store.Index, text string) (bool, error) {
	_, err := tx.Get(ctx, index, store.Text(text))
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// rowsOf selects the rows with leading values of an index.
func rowsOf(index *store.Index, values ...string) store.Query {
	q := store.Query{Index: index, Limit: store.MaxLimit}
	for _, v := range values {
		q.Equal = append(q.Equal, store.Text(v))
	}
	return q
}

// rowsIn returns the rows that have one of some values in the last column of a unique index.
// leading are the values of the columns before it.
func rowsIn(ctx context.Context, r store.Reader, index *store.Index, values []store.Value, leading ...string) (rows []store.Row, err error) {
	q := rowsOf(index, leading...)
	last := index.Columns()[len(index.Columns())-1]
	for part := range slices.Chunk(values, store.MaxFilterValues) {
		q.Where = []store.Filter{store.Where(index.Table().Columns()[last].Name, store.OpEqual, part...)}
		found, err := r.List(ctx, q)
		if err != nil {
			return nil, err
		}
		rows = append(rows, found...)
	}
	return rows, nil
}

// batch is the number of rows of a table that maintenance looks at in one transaction.
const batch = 50
