// Package seek finds the condition of a query that an index serves.
package seek

import (
	"slices"

	"example.com/latchkey/store"
)

// Filter returns the place in Where of the condition that the index serves: that the last column
// of a unique index, which alone Equal leaves open, is one of some values. Each has one row at
// most. It returns -1 if there is none, or if a bound or a cursor says where to begin.
func Filter(q store.Query) int {
	columns := q.Index.Columns()
	if !q.Index.Unique() || len(q.Equal) != len(columns)-1 || q.From.Set || q.To.Set || q.After != nil || q.Before != nil {
		return -1
	}
	first := q.Index.Table().Columns()[columns[len(q.Equal)]].Name
	return slices.IndexFunc(q.Where, func(f store.Filter) bool { return f.Op == store.OpEqual && f.Column == first })
}
