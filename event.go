package latchkey

import (
	"context"
	"time"

	"example.com/latchkey/internal/record"
	"example.com/latchkey/store"
)

// The audit log's names of what happened.
const (
	logUserCreate    = "user.create"
	logSessionCreate = "session.create"
	logSessionDelete = "session.delete"
)

// actor is who acts, for the log.
type actor struct {
	id   string // of the user who is signed in, "" for a guest
	mode string
	Client
}

func (g *Guest) actor() actor { return actor{mode: "guest", Client: g.client} }

func (a *Account) actor() actor { return actor{id: a.userID, mode: "user", Client: a.client} }

// log writes a row of the audit log, in the transaction of the change that it
// records. It is kept under the key of the user whom it concerns.
func (e *Engine) log(ctx context.Context, tx store.Tx, now time.Time, by actor, event, resource, userKey string) error {
	return record.Logs.Insert(ctx, tx, &record.Log{
		ID:       newID(),
		UserKey:  userKey,
		Created:  now,
		Event:    event,
		Resource: resource,
		Actor:    by.id,
		Mode:     by.mode,
		IP:       by.ip(),
		Agent:    by.UserAgent,
	})
}
