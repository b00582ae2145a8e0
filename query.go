package latchkey

import (
	"errors"
	"fmt"

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
	maxTotal = 5_000 // up to here totals are counted
)

// Limit is how many results a listing returns at most: 1 to 5,000, or to
// Policy.PageLimit; 25 without it.
func Limit(n int) Query { return Query{"limit", n} }

// Offset is how many results a listing leaves out at its beginning: 0 to 2^30;
// 0 without it.
func Offset(n int) Query { return Query{"offset", n} }

// page is what queries ask of a listing.
type page struct{ limit, offset int }

func (p *Policy) page(queries []Query) (page, error) {
	out := page{limit: defaultLimit}
	seen := make(map[string]bool)
	for _, q := range queries {
		if seen[q.method] {
			return out, invalid("queries", errors.New(q.method+" is given twice"))
		}
		seen[q.method] = true
		switch q.method {
		case "limit":
			if out.limit = q.number; out.limit < 1 || out.limit > p.PageLimit {
				return out, invalid("queries", fmt.Errorf("limit is not 1 to %d", p.PageLimit))
			}
		case "offset":
			if out.offset = q.number; out.offset < 0 || out.offset > store.MaxOffset {
				return out, invalid("queries", errors.New("offset is not 0 to 2^30"))
			}
		default:
			return out, invalid("queries", errors.New("the zero Query asks for nothing"))
		}
	}
	return out, nil
}
