package latchkey

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/netip"
	"time"

	"example.com/latchkey/internal/record"
	"example.com/latchkey/internal/seal"
	"example.com/latchkey/notify"
	"example.com/latchkey/store"
)

// kept is the content of a row of the outbox, which is sealed: a message or an event.
type kept struct {
	Message *keptMessage `json:",omitzero"`
	Event   *keptEvent   `json:",omitzero"`
}

// keptMessage is a letter in the outbox. Secret and Link stand in the place of the hidden ones.
type keptMessage struct {
	messageFields
	Secret, Link              string
	Null, Notice, Proven, Own bool // Own is by the server
	Code                      code
	From                      netip.Addr // the address of the client that has caused it
}

// messageFields are the fields of a message, without the methods that encode it without its content.
type messageFields notify.Message

// keptEvent is an event in the outbox. Payload names the type of its payload.
type keptEvent struct {
	Event   Event
	Payload string
	Data    json.RawMessage
}

// queued is a delivery that this process has: its row, and the content of the row.
type queued struct {
	row   *record.Delivery
	kept  kept
	fresh bool // this process has just committed it
}

// mustKeep encodes the content of a row.
func mustKeep(k kept) []byte {
	text, err := json.Marshal(k)
	if err != nil {
		panic(err) // never: its parts are the engine's own types
	}
	return text
}

// keptLetter returns a letter as it is kept.
func (c *call) keptLetter(l letter) kept {
	m := &keptMessage{
		messageFields: messageFields(l.message), Secret: l.message.Secret.Reveal(), Link: l.message.Link.Reveal(), Null: l.null, Notice: l.notice, Proven: l.proven,
		Own: c.by.mode == modeServer, Code: l.code, From: c.client.IP,
	}
	return kept{Message: m}
}

// letter returns the letter that was kept.
func (m *keptMessage) letter() letter {
	message := notify.Message(m.messageFields)
	message.Secret, message.Link = hide(m.Secret), hide(m.Link)
	return letter{message: message, null: m.Null, notice: m.Notice, proven: m.Proven, code: m.Code}
}

// keepAll inserts the rows of a transaction's letters and events. It returns them in their
// order. mine says that this process delivers them after the commit.
func (c *call) keepAll(ctx context.Context, tx store.Tx, letters []letter, events []Event, mine bool) (all []*queued, err error) {
	for _, l := range letters {
		m := l.message
		all = append(all, &queued{&record.Delivery{
			ID: m.ID, Lane: string(m.Channel), Stream: c.streamOf(m), Kind: string(m.Kind), UserID: m.UserID, Created: m.Time, Expire: m.Expire,
		}, c.keptLetter(l), mine})
	}
	for _, e := range events {
		k, err := keptEventOf(e)
		if err != nil {
			return nil, err
		}
		stream := "" // an event without a user and a team has no order
		if e.UserID+e.TeamID != "" {
			stream = "of " + e.UserID + "/" + e.TeamID
		}
		for _, r := range c.outbox.config.Receivers {
			if r.wants(e) {
				all = append(all, &queued{&record.Delivery{
					ID: e.ID + "." + r.Name, Lane: r.Name, Stream: stream, Kind: e.Pattern(), UserID: e.UserID, Created: e.Time,
				}, k, mine})
			}
		}
	}
	for _, w := range all {
		w.row.Queued, w.row.Due = c.now, c.now
		if mine && c.outbox.lanes.Free(w.row.Lane) {
			w.row.Due, w.row.Leased, w.row.Tries = c.now.Add(c.outbox.lease), true, 1
		}
		w.row.Sealed = c.ring.Seal(seal.Outbox, seal.OutboxPlace(w.row.ID, w.row.Lane), mustKeep(w.kept))
		if err := record.Outbox.Insert(ctx, tx, w.row); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// announce tells an event that belongs to no transaction.
func (e *Engine) announce(ctx context.Context, event Event) {
	if e.onEvent != nil {
		e.tell(ctx, event)
	}
	if e.outbox == nil || len(e.outbox.config.Receivers) == 0 {
		return
	}
	c := &call{Engine: e, now: event.Time}
	var all []*queued
	err := e.store.Update(ctx, func(ctx context.Context, tx store.Tx) (err error) {
		all, err = c.keepAll(ctx, tx, nil, []Event{event}, false)
		return err
	})
	for _, w := range all {
		e.outbox.lanes.Wake(w.row.Lane)
	}
	if err != nil {
		e.logger.ErrorContext(ctx, "latchkey: an event is not kept", "error", err)
	}
}

// tellsEvents reports whether events are told at all.
func (e *Engine) tellsEvents() bool {
	return e.onEvent != nil || e.inTransaction != nil || e.outbox != nil && len(e.outbox.config.Receivers) > 0
}

// streamOf returns the stream of a message: the messages to one address leave in their order. The
// row does not show the address.
func (e *Engine) streamOf(m notify.Message) string {
	return "to " + hex.EncodeToString(e.ring.Digest("outbox", string(m.Channel), m.To)[:16])
}

// keptEventOf returns an event as it is kept.
func keptEventOf(e Event) (kept, error) {
	k := &keptEvent{Event: e}
	k.Event.Payload = nil
	if e.Payload == nil {
		return kept{Event: k}, nil
	}
	text, err := json.Marshal(e.Payload)
	k.Payload, k.Data = fmt.Sprintf("%T", e.Payload), text
	return kept{Event: k}, err
}

// openKept opens the content of a row.
func (e *Engine) openKept(row *record.Delivery) (k kept, err error) {
	text, err := e.ring.Open(seal.Outbox, seal.OutboxPlace(row.ID, row.Lane), row.Sealed)
	if err != nil {
		return k, err
	}
	return k, json.Unmarshal(text, &k)
}

// backoff returns the wait after a number of failures, of which there is at least one.
func backoff(failures int64) time.Duration {
	return min(time.Second<<(2*min(failures-1, 10)), time.Hour)
}
