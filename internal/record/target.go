package record

import (
	"time"

	"example.com/latchkey/store"
)

// Target is an address at which a user receives messages.
type Target struct {
	ID           string
	UserID       string
	Created      time.Time
	Updated      time.Time
	Name         string
	ProviderID   string // "" without one
	ProviderType string // email, sms or push
	Identifier   string
	Expired      bool
	SessionID    string // that the target ends with; "" for one that belongs to no session
}

func (t *Target) bind(b *store.Binder) {
	b.Text("id", &t.ID)
	b.Text("user_id", &t.UserID)
	b.Time("created", &t.Created)
	b.Time("updated", &t.Updated)
	b.Text("name", &t.Name)
	b.NullText("provider_id", &t.ProviderID)
	b.Text("provider_type", &t.ProviderType)
	b.Text("identifier", &t.Identifier)
	b.Bool("expired", &t.Expired)
	b.NullText("session_id", &t.SessionID)
}

// Targets is keyed by id.
var Targets = store.Declare("targets", (*Target).bind, store.Keys{
	Primary: []string{"id"},
	Indexes: []store.IndexOn{
		{Name: "identifier", Columns: []string{"provider_type", "identifier"}, Unique: true},
		{Name: "user", Columns: []string{"user_id", "created"}},
	},
	References: []store.RefersTo{
		{Columns: []string{"user_id"}, Parent: Users.Primary()},
	},
})
