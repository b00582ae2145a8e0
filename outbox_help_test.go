package latchkey_test

import (
	"context"
	"sync"

	"example.com/latchkey"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/notify"
	"example.com/latchkey/ratelimit"
	"example.com/latchkey/store"
)

// ear is a receiver and a notifier that keeps its events and messages, and may fail.
type ear struct {
	k        *kit.Kit
	events   chan latchkey.Event
	messages chan notify.Message

	mu   sync.Mutex
	fail func(id string, try int) error // nil: it takes everything
}

func (e *ear) failing(fn func(id string, try int) error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.fail = fn
}

func (e *ear) answer(id string, try int) error {
	e.mu.Lock()
	fail := e.fail
	e.mu.Unlock()
	if fail == nil {
		return nil
	}
	return fail(id, try)
}

func (e *ear) Receive(_ context.Context, event latchkey.Event) error {
	defer func() { e.events <- event }()
	return e.answer(event.Pattern(), event.Try)
}

func (e *ear) Notify(_ context.Context, m notify.Message) error {
	defer func() { e.messages <- m }()
	return e.answer(string(m.Kind), m.Try)
}

// event waits for the next event.
func (e *ear) event() latchkey.Event {
	e.k.Helper()
	select {
	case event := <-e.events:
		return event
	case <-e.k.Ctx.Done():
		e.k.Fatal("no event comes")
		panic("never")
	}
}

// message waits for the next message.
func (e *ear) message() notify.Message {
	e.k.Helper()
	select {
	case m := <-e.messages:
		return m
	case <-e.k.Ctx.Done():
		e.k.Fatal("no message comes")
		panic("never")
	}
}

// nothing fails the test if an event or a message has come.
func (e *ear) nothing() {
	e.k.Helper()
	select {
	case event := <-e.events:
		e.k.Errorf("there is an event: %+v", event)
	case m := <-e.messages:
		e.k.Errorf("there is a message: %v, try %d", m.Kind, m.Try)
	default:
	}
}

// kept gives the kit an engine with an outbox. An ear is its receiver and its notifiers.
func kept(k *kit.Kit, change func(*latchkey.Config)) *ear {
	k.Helper()
	e := &ear{k: k, events: make(chan latchkey.Event, 1000), messages: make(chan notify.Message, 1000)}
	k.Engine = e.engine(change)
	k.Visitor = k.Guest(kit.Client)
	return e
}

// engine returns one more engine with the ear.
func (e *ear) engine(change func(*latchkey.Config)) *latchkey.Engine {
	return e.k.Configured(func(c *latchkey.Config) {
		c.Notifier, c.SMS = e, e
		c.Limiter = ratelimit.ReportOnly(ratelimit.NewMemory(0))
		c.Outbox = &latchkey.Outbox{Receivers: []latchkey.Receiver{{Name: "ear", Receive: e.Receive}}}
		if change != nil {
			change(c)
		}
	})
}

// settled closes the engine of the kit, and returns the rows that are left in the outbox.
func (e *ear) settled() []*record.Delivery {
	e.k.Helper()
	e.k.Must(e.k.Close())
	return rowsOfOutbox(e.k)
}

// empties closes the engine of the kit, and fails the test if the outbox has a row then.
func (e *ear) empties() {
	e.k.Helper()
	if rows := e.settled(); len(rows) > 0 {
		e.k.Errorf("%d rows: %s %s of %s, due %v", len(rows), rows[0].Lane, rows[0].Kind, rows[0].UserID, rows[0].Due)
	}
}

// rowsOfOutbox returns the rows of the outbox.
func rowsOfOutbox(k *kit.Kit) []*record.Delivery {
	k.Helper()
	return rowsIn(k.Ctx, k, k.Raw)
}

// rowsIn is rowsOfOutbox for a reader, such as a transaction.
func rowsIn(ctx context.Context, k *kit.Kit, r store.Reader) []*record.Delivery {
	k.Helper()
	rows, err := record.Outbox.List(ctx, r, store.Query{Index: record.Outbox.Primary(), Limit: store.MaxLimit})
	k.Must(err)
	return rows
}

// waits waits until the rows of the outbox are as is says.
func waits(k *kit.Kit, is func(rows []*record.Delivery) bool) {
	k.Helper()
	for !is(rowsOfOutbox(k)) {
		k.Must(k.Ctx.Err())
	}
}
