package latchkey

import (
	"errors"

	"example.com/latchkey/store"
)

// Query narrows or pages what a listing returns. Make one with [Limit] or
// [Offset].
type Query struct {
	method string
	number int
}

// The bounds of listings.
const (
	defaultLimit = 25
	maxLimit     = 5_000
	maxTotal     = 5_000 // up to here totals are counted
)

// Limit is how many results a listing returns at most: 1 to 5,000; 25 without
// it.
func Limit(n int) Query { return Query{"limit", n} }

// Offset is how many results a listing leaves out at its beginning: 0 to 2^30;
// 0 without it.
func Offset(n int) Query { return Query{"offset", n} }

// page is what queries ask of a listing.
type page struct{ limit, offset int }

func pageOf(queries []Query) (page, error) {
	p := page{limit: defaultLimit}
	seen := make(map[string]bool)
	for _, q := range queries {
		if seen[q.method] {
			return p, invalid("queries", errors.New(q.method+" is given twice"))
		}
		seen[q.method] = true
		switch q.method {
		case "limit":
			if p.limit = q.number; p.limit < 1 || p.limit > maxLimit {
				return p, invalid("queries", errors.New("limit is not 1 to 5,000"))
			}
		case "offset":
			if p.offset = q.number; p.offset < 0 || p.offset > store.MaxOffset {
				return p, invalid("queries", errors.New("offset is not 0 to 2^30"))
			}
		default:
			return p, invalid("queries", errors.New("the zero Query asks for nothing"))
		}
	}
	return p, nil
}
