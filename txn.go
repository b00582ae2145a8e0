package latchkey

import (
	"context"
	"time"

	"example.com/latchkey/internal/record"
	"example.com/latchkey/notify"
	"example.com/latchkey/store"
)

// become says that a guest has proven to be a user.
func (a *actor) become(user *record.User) {
	if a.mode == "guest" {
		a.id, a.mode = user.ID, "user"
	}
}

// txn is one run of a transaction: when, by whom, and what is to be told once
// it has been committed.
type txn struct {
	store.Tx
	engine  *Engine
	now     time.Time
	by      actor
	events  []Event
	notices []notice
}

// update runs fn in a transaction and, after the commit, tells the events and
// sends the notices that it gathered. fn may run again.
func (e *Engine) update(ctx context.Context, now time.Time, by actor, fn func(context.Context, *txn) error) error {
	var events []Event
	var notices []notice
	err := e.store.Update(ctx, func(ctx context.Context, s store.Tx) error {
		tx := &txn{Tx: s, engine: e, now: now, by: by}
		err := fn(ctx, tx)
		events, notices = tx.events, tx.notices
		return err
	})
	if err != nil {
		return err
	}
	ctx = context.WithoutCancel(ctx) // the caller may have gone meanwhile
	for _, event := range events {
		e.tell(ctx, event)
	}
	e.sendNotices(ctx, now, by, notices)
	return nil
}

// event notes an event of a user. name is what follows the user's id.
func (tx *txn) event(userID, name string, payload any) {
	if tx.engine.onEvent == nil {
		return
	}
	if user, ok := payload.(*User); ok {
		payload = user.clone() // the caller gets the other
	}
	tx.events = append(tx.events, Event{
		Name: "users." + userID + "." + name, Time: tx.now, UserID: userID,
		ActorID: tx.by.id, Mode: tx.by.mode, Client: tx.by.Client, Payload: payload,
	})
}

// notice notes one, to be sent after the commit.
func (tx *txn) notice(kind notify.Kind, channel notify.Channel, user *record.User) {
	to, proven := user.Email, user.EmailVerified
	if channel == notify.SMS {
		to, proven = user.Phone, user.PhoneVerified
	}
	if to == "" || !tx.engine.can(channel) || channel == notify.SMS && !proven { // a text costs, whoever wrote the number
		return
	}
	tx.notices = append(tx.notices, notice{
		notify.Message{ID: newID(), Kind: kind, Channel: channel, To: to, Name: user.Name, UserID: user.ID, Time: tx.now}, proven,
	})
}

// noticeTo notes a notice by mail, or by SMS to a user who has no address.
func (tx *txn) noticeTo(kind notify.Kind, user *record.User) {
	channel := notify.Email
	if user.Email == "" {
		channel = notify.SMS
	}
	tx.notice(kind, channel, user)
}
