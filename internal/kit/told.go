package kit

import (
	"fmt"
	"slices"
	"strings"

	"example.com/latchkey/internal/record"
	"example.com/latchkey/store"
)

// Logs returns the lines of the log that are new or changed since the last call,
// sorted. Each line names its event and the kind of its actor.
func (k *Kit) Logs() (out []string) {
	k.Helper()
	rows, err := record.Logs.List(k.Ctx, k.Store.Store, store.Query{Index: record.Logs.Index("created"), Limit: store.MaxLimit})
	k.Must(err)
	for _, l := range rows {
		line := l.Event + " by " + l.Mode
		if l.Reason != "" {
			line += fmt.Sprintf(" for %s, %d", l.Reason, l.Count)
		}
		if !k.seen[l.ID+line] {
			k.seen[l.ID+line] = true
			out = append(out, line)
		}
	}
	slices.Sort(out)
	return out
}

// Events returns the names of the events since the last call. ids are pairs of an id
// and the word that replaces it.
func (k *Kit) Events(ids ...string) (out []string) {
	r := strings.NewReplacer(ids...)
	for _, e := range k.Told.Take() {
		out = append(out, r.Replace(e.Name)+" by "+e.Mode)
	}
	return out
}

// Forget drops the events and the lines of the log so far.
func (k *Kit) Forget() {
	k.Helper()
	k.Logs()
	k.Told.Take()
}
