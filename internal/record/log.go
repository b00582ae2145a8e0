package record

import (
	"time"

	"example.com/latchkey/store"
)

// Failure counts consecutive wrong answers for a purpose and an identifier. Subject is
// the keyed digest of the identifier, which may be unknown.
type Failure struct {
	Purpose string
	Subject []byte
	Count   int64
	Last    time.Time
	Expire  time.Time
}

func (f *Failure) bind(b *store.Binder) {
	b.Text("purpose", &f.Purpose)
	b.Bytes("subject", &f.Subject)
	b.Int("count", &f.Count)
	b.Time("last", &f.Last)
	b.Time("expire", &f.Expire)
}

// Failures is keyed by purpose and subject.
var Failures = store.Declare("failures", (*Failure).bind, store.Keys{
	Primary: []string{"purpose", "subject"},
	Indexes: []store.IndexOn{
		{Name: "expire", Columns: []string{"expire"}},
	},
})

// Log is one line of the audit log. It has no references, because it outlives the rows
// that it names.
type Log struct {
	ID       string
	UserKey  string // of the user that it concerns
	Created  time.Time
	Event    string
	Resource string
	Actor    string // id of the acting user, "" if no user was signed in
	Mode     string // user, guest or server
	IP       string
	Agent    string // user agent
	Count    int64  // how often a refusal happened within its minute; 0 in other lines
	Reason   string // type of the error of a refusal
	Stranger bool   // a guest came by an address that the user had not proven
}

func (l *Log) bind(b *store.Binder) {
	b.Text("id", &l.ID)
	b.Text("user_key", &l.UserKey)
	b.Time("created", &l.Created)
	b.Text("event", &l.Event)
	b.Text("resource", &l.Resource)
	b.Text("actor", &l.Actor)
	b.Text("mode", &l.Mode)
	b.Text("ip", &l.IP)
	b.Text("agent", &l.Agent)
	b.Int("count", &l.Count)
	b.Text("reason", &l.Reason)
	b.Bool("stranger", &l.Stranger)
}

// Logs is keyed by id.
var Logs = store.Declare("logs", (*Log).bind, store.Keys{
	Primary: []string{"id"},
	Indexes: []store.IndexOn{
		{Name: "user", Columns: []string{"user_key", "created"}},
		{Name: "created", Columns: []string{"created"}},
	},
})
