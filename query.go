package latchkey

import "example.com/latchkey/query"

// Query filters, orders or pages a listing. Package query makes queries.
type Query = query.Query

// Limit is [query.Limit]: 1 to 5,000, or to Policy.PageLimit.
func Limit(n int) Query { return query.Limit(n) }

// Offset is [query.Offset].
func Offset(n int) Query { return query.Offset(n) }

// ParseQueries reads the queries of a listing in their documented JSON form.
//
// Errors:
//   - [ErrQueryInvalid]
func ParseQueries(texts []string) ([]Query, error) {
	queries, err := query.ParseAll(texts)
	if err != nil {
		e := *ErrQueryInvalid
		e.Message += ": " + err.Error()
		return nil, &e
	}
	return queries, nil
}
