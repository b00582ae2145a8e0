package latchkey

import (
	"errors"
	"fmt"

	"example.com/latchkey/store"
)

// Query narrows or pages the results of a listing. Make one with [Limit] or
// [Offset].
type Query struct {
	method string
	number int
}

// maxTotal is the number up to which totals of listings are counted.
const maxTotal = 5_000

// Limit is the largest number of results that a listing returns: 1 to 5,000, or
// to Policy.PageLimit. Without it a listing returns 25.
func Limit(n int) Query { return Query{"limit", n} }

// Offset is the number of results that a listing leaves out at its beginning: 0
// to 2^30. Without it a listing leaves out 0.
func Offset(n int) Query { return Query{"offset", n} }

// page is the part of a listing that queries ask for.
type page struct{ limit, offset int }

// page reads queries.
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
			if q.number < 1 || q.number > p.PageLimit {
				return out, invalid("queries", fmt.Errorf("limit is not 1 to %d", p.PageLimit))
			}
			out.limit = q.number
		case "offset":
			if q.number < 0 || q.number > store.MaxOffset {
				return out, invalid("queries", errors.New("offset is not 0 to 2^30"))
			}
			out.offset = q.number
		default:
			return out, invalid("queries", errors.New("the zero Query selects nothing"))
		}
	}
	return out, nil
}
