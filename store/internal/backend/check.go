package backend

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"example.com/latchkey/internal/jsontext"
	"example.com/latchkey/store"
)

func invalid(t *store.Table, format string, args ...any) error {
	return fmt.Errorf("%w: %s: %s", store.ErrInvalid, t.Name(), fmt.Sprintf(format, args...))
}

func (s *Shell) checkTable(t *store.Table) error {
	if !s.schema.Has(t) {
		return fmt.Errorf("%w: table is not of this store's schema", store.ErrInvalid)
	}
	return nil
}

func (s *Shell) checkIndex(ix *store.Index) error {
	if ix == nil {
		return fmt.Errorf("%w: no index", store.ErrInvalid)
	}
	return s.checkTable(ix.Table())
}

func checkValue(t *store.Table, column int, v store.Value) error {
	c := t.Columns()[column]
	if v.Kind() != c.Kind {
		return invalid(t, "%s is %s, not %s", c.Name, v.Kind(), c.Kind)
	}
	if v.Kind() == store.KindText && (strings.IndexByte(v.Text(), 0) >= 0 || !utf8.ValidString(v.Text())) {
		return invalid(t, "%s holds NUL or is not UTF-8", c.Name)
	}
	if v.Kind() == store.KindTime && (v.Int() < firstTime || v.Int() > lastTime) {
		return invalid(t, "%s is not of the years 0 to 9999", c.Name)
	}
	return nil
}

// The ends of the years 0 and 9999, in microseconds.
var (
	firstTime = time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC).UnixMicro()
	lastTime  = time.Date(9999, 12, 31, 23, 59, 59, 999_999_000, time.UTC).UnixMicro()
)

func checkJSON(t *store.Table, c store.Column, text string) error {
	if !json.Valid([]byte(text)) {
		return invalid(t, "%s is not JSON", c.Name)
	}
	if err := jsontext.Numbers(text); err != nil && !c.Verbatim {
		return invalid(t, "%s holds %v", c.Name, err)
	}
	if err := jsontext.Escapes(text); err != nil {
		return invalid(t, "%s holds %v", c.Name, err)
	}
	return nil
}

// checkPrefix checks values against the first of columns. Nulls pass.
func checkPrefix(t *store.Table, columns []int, values []store.Value) error {
	if len(values) > len(columns) {
		return invalid(t, "%d values for %d columns", len(values), len(columns))
	}
	for i, v := range values {
		if v.IsNull() {
			continue
		}
		if err := checkValue(t, columns[i], v); err != nil {
			return err
		}
	}
	return nil
}

func hasNull(values []store.Value) bool {
	for _, v := range values {
		if v.IsNull() {
			return true
		}
	}
	return false
}

func (s *Shell) checkKey(ix *store.Index, key []store.Value) error {
	if err := s.checkIndex(ix); err != nil {
		return err
	}
	if !ix.Unique() || len(key) != len(ix.Columns()) {
		return invalid(ix.Table(), "%s is not a unique index over %d columns", ix.Name(), len(key))
	}
	return checkPrefix(ix.Table(), ix.Columns(), key)
}

func (s *Shell) checkRow(t *store.Table, row store.Row) error {
	if err := s.checkTable(t); err != nil {
		return err
	}
	if row.Len() != len(t.Columns()) {
		return invalid(t, "row of %d values for %d columns", row.Len(), len(t.Columns()))
	}
	for i, c := range t.Columns() {
		v := row.At(i)
		if v.IsNull() && c.Nullable {
			continue
		}
		if err := checkValue(t, i, v); err != nil {
			return err
		}
		if c.JSON {
			if err := checkJSON(t, c, v.Text()); err != nil {
				return err
			}
		}
	}
	for _, ix := range t.Indexes() {
		size := 0
		for _, c := range ix.Order() {
			size += len(row.At(c).Text())
		}
		if size > store.MaxKey {
			return invalid(t, "key of %s is longer than %d bytes", ix.Name(), store.MaxKey)
		}
	}
	return nil
}

// checkQuery checks a query and reports whether it can select any row. A query
// that compares with a null cannot.
func (s *Shell) checkQuery(q store.Query, counting bool) (possible bool, err error) {
	if err := s.checkIndex(q.Index); err != nil {
		return false, err
	}
	t, columns := q.Index.Table(), q.Index.Columns()
	if err := checkPrefix(t, columns, q.Equal); err != nil {
		return false, err
	}
	least := 1
	if counting {
		least = 0
	}
	if q.Limit < least || q.Limit > store.MaxLimit {
		return false, invalid(t, "limit %d is not %d to %d", q.Limit, least, store.MaxLimit)
	}
	possible = !hasNull(q.Equal)
	for _, b := range []store.Bound{q.From, q.To} {
		if !b.Set {
			continue
		}
		if len(q.Equal) == len(columns) {
			return false, invalid(t, "no column of %s is left for a range", q.Index.Name())
		}
		if b.Value.IsNull() {
			possible = false
		} else if err := checkValue(t, columns[len(q.Equal)], b.Value); err != nil {
			return false, err
		}
	}
	if q.Offset < 0 || q.Offset > store.MaxOffset || counting && q.Offset != 0 {
		return false, invalid(t, "offset %d", q.Offset)
	}
	for _, f := range q.Where {
		if err := checkFilter(t, f, 1); err != nil {
			return false, err
		}
	}
	if terms, values := store.FilterSize(t, q.Where); terms > store.MaxFilterTerms || values > store.MaxValues {
		return false, invalid(t, "%d conditions with %d values", terms, values)
	}
	if q.After != nil && q.Before != nil {
		return false, invalid(t, "both After and Before are set")
	}
	for _, position := range [][]store.Value{q.After, q.Before} {
		if position == nil {
			continue
		}
		if err := checkPosition(q, position); err != nil {
			return false, err
		}
	}
	return possible, nil
}

// checkFilter checks a filter.
func checkFilter(t *store.Table, f store.Filter, depth int) error {
	least, most, known := f.Op.Arity()
	branch := f.Op == store.OpAnd || f.Op == store.OpOr
	switch {
	case !known:
		return invalid(t, "%q is not an operator", f.Op)
	case len(f.Values) < least || len(f.Values) > most:
		return invalid(t, "%s takes %d to %d values, not %d", f.Op, least, most, len(f.Values))
	case branch != (f.Column == "") || branch != (len(f.Filters) > 0):
		return invalid(t, "%s needs a column and no filters, or filters and no column", f.Op)
	case depth > store.MaxFilterDepth:
		return invalid(t, "filters too deep")
	case branch:
		for _, g := range f.Filters {
			if err := checkFilter(t, g, depth+1); err != nil {
				return err
			}
		}
		return nil
	}
	column := t.Column(f.Column)
	if column < 0 {
		return invalid(t, "no column of that name")
	}
	c := t.Columns()[column]
	if f.Op.OfText() && c.Kind != store.KindText {
		return invalid(t, "%s is for text", f.Op)
	}
	if c.JSON && most > 0 && (c.Verbatim || f.Op != store.OpContains && f.Op != store.OpNotContains) {
		return invalid(t, "%s is not for JSON", f.Op)
	}
	for _, v := range f.Values {
		if v.IsNull() {
			continue
		}
		if err := checkValue(t, column, v); err != nil {
			return err
		}
	}
	return nil
}

func checkPosition(q store.Query, position []store.Value) error {
	t, order := q.Index.Table(), q.Index.Order()
	if len(position) != len(order) {
		return invalid(t, "position of %d values in an order of %d", len(position), len(order))
	}
	for i, v := range position {
		if v.IsNull() && t.Columns()[order[i]].Nullable {
			continue
		}
		if err := checkValue(t, order[i], v); err != nil {
			return err
		}
		if i < len(q.Equal) && store.Compare(v, q.Equal[i]) != 0 {
			return invalid(t, "position is outside the query")
		}
	}
	for i := range q.Equal {
		if position[i].IsNull() {
			return invalid(t, "position is outside the query")
		}
	}
	return nil
}
