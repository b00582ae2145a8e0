package latchkey

import (
	"context"
	"strings"
	"time"

	"example.com/latchkey/internal/canon"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/query"
	"example.com/latchkey/store"
)

// Undelivered is a message or an event that waits in the outbox, or was given up. Its content is not
// shown.
type Undelivered struct {
	ID string `json:"$id"` // of the message, or of the event with a period and the name of the receiver
	// To is email, sms, or the name of a [Receiver].
	To string `json:"to"`
	// Kind is that of the message (package notify), or the pattern of the event ([Event.Pattern]).
	Kind      string    `json:"kind"`
	UserID    string    `json:"userId"` // of the user it is about, or "". A link or a code has the id that it is redeemed with
	CreatedAt time.Time `json:"$createdAt"`
	// Due is when it may be tried next. Until then a process has it, or it waits after a failure.
	Due      time.Time `json:"due,omitzero"`
	Expire   time.Time `json:"expire,omitzero"` // when its code runs out
	Tries    int       `json:"tries"`           // deliveries that have begun
	Failures int       `json:"failures"`        // of them, since it was queued or requeued
	// Cause is the stage and the reason of the last failure, as in the log.
	Cause     string    `json:"cause"`
	GivenUpAt time.Time `json:"givenUpAt,omitzero"` // zero for one that waits
}

// UndeliveredList is a page of the outbox.
type UndeliveredList struct {
	Total       int            `json:"total"` // as of [UserList]
	Undelivered []*Undelivered `json:"undelivered"`
	Pages
}

// undeliveredListing lists rows of the outbox.
var undeliveredListing = &listing[record.Delivery]{
	name: "undelivered", rows: record.Outbox, id: checkDeliveryID,
	usual: order{attribute: attribute{column: "id", unique: record.Outbox.Primary(), index: record.Outbox.Primary()}},
	attributes: map[string]attribute{
		query.ID:        {column: "id", unique: record.Outbox.Primary(), index: record.Outbox.Primary()},
		query.CreatedAt: {column: "created"},
		"to":            {column: "lane"},
		"kind":          {column: "kind"},
		"userId":        {column: "user_id"},
		"due":           {column: "due"},
		"failures":      {column: "failures"},
		"givenUpAt":     {column: "given_up", index: record.Outbox.Index("given_up")},
	},
}

// Undelivered returns a page of the messages and events that wait in the outbox or were given up, the
// oldest first. It takes the queries of [Users.List], without Search, over $id, $createdAt, to, kind,
// userId, due, failures and givenUpAt. query.IsNotNull("givenUpAt") selects those that were given up.
//
// Errors: those of [Users.List].
func (e *Engine) Undelivered(ctx context.Context, queries ...Query) (_ *UndeliveredList, err error) {
	defer e.operation(&ctx, "list undelivered").end(&err)
	c, err := e.maintenance()
	if err != nil {
		return nil, err
	}
	r, err := undeliveredListing.read(&c.policy, queries)
	if err != nil {
		return nil, err
	}
	p, err := undeliveredListing.list(ctx, c, r)
	if err != nil {
		return nil, err
	}
	list := &UndeliveredList{Total: p.total, Undelivered: make([]*Undelivered, len(p.rows)), Pages: p.pages}
	for i, row := range p.rows {
		list.Undelivered[i] = &Undelivered{
			ID: row.ID, To: row.Lane, Kind: row.Kind, UserID: row.UserID, CreatedAt: row.Created, Due: row.Due, Expire: row.Expire,
			Tries: int(row.Tries), Failures: int(row.Failures), Cause: row.Cause, GivenUpAt: row.GivenUp,
		}
	}
	return list, nil
}

// Requeue delivers a message or an event of the outbox at once: one that was given up, or one that
// waits after a failure. It is tried for 72 hours more. One that was given up comes out of its order.
// A message whose link or code has run out, was used or was replaced is not sent.
//
// Errors:
//   - [ErrDeliveryNotFound]
//   - [ErrDeliveryUnderWay]: a process has it.
func (e *Engine) Requeue(ctx context.Context, id string) (err error) {
	defer e.operation(&ctx, "requeue delivery").end(&err)
	return e.changeDelivery(ctx, id, func(ctx context.Context, tx *txn, row *record.Delivery) error {
		if row.Tries > 0 && row.Tries%maxOutboxTries == 0 {
			row.Tries++
		}
		row.Failures, row.Queued, row.Due, row.GivenUp = 0, tx.now, tx.now, time.Time{}
		tx.after = append(tx.after, func(context.Context) { tx.wake(row.Lane) })
		return record.Outbox.Replace(ctx, tx, row)
	})
}

// Discard deletes a message or an event of the outbox. It is not delivered then.
//
// Errors:
//   - [ErrDeliveryNotFound]
//   - [ErrDeliveryUnderWay]: a process has it.
func (e *Engine) Discard(ctx context.Context, id string) (err error) {
	defer e.operation(&ctx, "discard delivery").end(&err)
	return e.changeDelivery(ctx, id, func(ctx context.Context, tx *txn, row *record.Delivery) error {
		tx.after = append(tx.after, func(ctx context.Context) {
			tx.advance(ctx, row)
		})
		return record.Outbox.Delete(ctx, tx, store.Text(row.ID))
	})
}

// changeDelivery changes a row of the outbox that no process has.
func (e *Engine) changeDelivery(ctx context.Context, id string, change func(context.Context, *txn, *record.Delivery) error) error {
	c, err := e.maintenance()
	if err != nil {
		return err
	}
	if err := checkDeliveryID(id); err != nil {
		return err
	}
	return c.update(ctx, func(ctx context.Context, tx *txn) error {
		row, err := record.Outbox.Find(ctx, tx, record.Outbox.Primary(), store.Text(id))
		switch {
		case err != nil:
			return err
		case row == nil:
			return ErrDeliveryNotFound
		case row.GivenUp.IsZero() && row.Leased && row.Due.After(tx.now) && !tx.farAhead(row.Due, tx.now):
			return ErrDeliveryUnderWay
		}
		return change(ctx, tx, row)
	})
}

// checkDeliveryID checks the id of a row of the outbox: that of a message, or that of an event
// with the name of its receiver.
func checkDeliveryID(id string) error {
	event, receiver, found := strings.Cut(id, ".")
	err := canon.ID(event)
	if err == nil && found && !receiverName.MatchString(receiver) {
		err = canon.ErrID
	}
	if err != nil {
		return invalid("deliveryId", err)
	}
	return nil
}
