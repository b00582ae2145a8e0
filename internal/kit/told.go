package kit

import (
	"fmt"
	"slices"
	"strings"

	"example.com/latchkey/internal/record"
	"example.com/latchkey/store"
)

// Logs returns the events of the log since the last call, in the order in
// which they were written, with who did them.
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

// Events returns the names of the events since the last call, with the ids
// that are given replaced by the words that follow each.
func (k *Kit) Events(ids ...string) (out []string) {
	r := strings.NewReplacer(ids...)
	for _, e := range k.Told.Take() {
		out = append(out, r.Replace(e.Name)+" by "+e.Mode)
	}
	return out
}

// Forget leaves out what has happened so far.
func (k *Kit) Forget() {
	k.Helper()
	k.Logs()
	k.Told.Take()
}
