package store

import (
	"encoding/json"
	"slices"
	"strings"
)

// Op is the operator of a [Filter]. The names are those of the documented query
// methods.
type Op string

// The operators. Every comparison with a null is false, also that of NotEqual
// and the other negations. Text and bytes compare bytewise, so case matters.
const (
	OpEqual            Op = "equal"    // to one of the values
	OpNotEqual         Op = "notEqual" // to each of the values
	OpLessThan         Op = "lessThan"
	OpLessThanEqual    Op = "lessThanEqual"
	OpGreaterThan      Op = "greaterThan"
	OpGreaterThanEqual Op = "greaterThanEqual"
	OpBetween          Op = "between" // both ends included
	OpNotBetween       Op = "notBetween"
	OpIsNull           Op = "isNull"
	OpIsNotNull        Op = "isNotNull"
	OpStartsWith       Op = "startsWith" // text
	OpNotStartsWith    Op = "notStartsWith"
	OpEndsWith         Op = "endsWith"
	OpNotEndsWith      Op = "notEndsWith"
	OpContains         Op = "contains" // text holds one of the values, or a JSON list has one as an item
	OpNotContains      Op = "notContains"
	OpAnd              Op = "and" // all of Filters
	OpOr               Op = "or"  // any of Filters
)

// Limits of the filters of a query.
const (
	MaxFilterValues = 500    // of one filter
	MaxFilterTerms  = 400    // conditions of a query: a text condition counts once for each value
	MaxFilterDepth  = 10     // of And and Or in each other
	MaxValues       = 30_000 // of all filters of a query
)

// Filter is a condition on a row.
type Filter struct {
	Op      Op
	Column  string   // for all but And and Or
	Values  []Value  // the number of them depends on Op: see Arity
	Filters []Filter // for And and Or
}

// Where returns a condition on a column.
func Where(column string, op Op, values ...Value) Filter {
	return Filter{Op: op, Column: column, Values: values}
}

// And returns a condition that holds if all filters do.
func And(filters ...Filter) Filter { return Filter{Op: OpAnd, Filters: filters} }

// Or returns a condition that holds if any of the filters does.
func Or(filters ...Filter) Filter { return Filter{Op: OpOr, Filters: filters} }

// Arity returns the least and the greatest number of values of an operator. Both
// are 0 for operators without values and for those that take filters. known is
// false if op is not an operator.
func (op Op) Arity() (least, most int, known bool) {
	switch op {
	case OpEqual, OpNotEqual, OpContains, OpNotContains:
		return 1, MaxFilterValues, true
	case OpBetween, OpNotBetween:
		return 2, 2, true
	case OpIsNull, OpIsNotNull, OpAnd, OpOr:
		return 0, 0, true
	case OpLessThan, OpLessThanEqual, OpGreaterThan, OpGreaterThanEqual,
		OpStartsWith, OpNotStartsWith, OpEndsWith, OpNotEndsWith:
		return 1, 1, true
	}
	return 0, 0, false
}

// OfText reports whether an operator is for text columns only.
func (op Op) OfText() bool {
	switch op {
	case OpStartsWith, OpNotStartsWith, OpEndsWith, OpNotEndsWith, OpContains, OpNotContains:
		return true
	}
	return false
}

// Column returns the position of the column of that name, or -1.
func (t *Table) Column(name string) int {
	return slices.IndexFunc(t.columns, func(c Column) bool { return c.Name == name })
}

// Matcher returns a function that reports whether a row of t meets all filters.
// The filters must have been checked. Key-value backends evaluate filters with
// it.
func Matcher(t *Table, filters []Filter) func(Row) bool {
	terms := make([]func(Row) bool, len(filters))
	for i, f := range filters {
		terms[i] = f.matcher(t)
	}
	return func(row Row) bool { return holdAll(terms, row) }
}

func holdAll(terms []func(Row) bool, row Row) bool {
	for _, term := range terms {
		if !term(row) {
			return false
		}
	}
	return true
}

func (f Filter) matcher(t *Table) func(Row) bool {
	switch f.Op {
	case OpAnd:
		return Matcher(t, f.Filters)
	case OpOr:
		terms := make([]func(Row) bool, len(f.Filters))
		for i, g := range f.Filters {
			terms[i] = g.matcher(t)
		}
		return func(row Row) bool {
			return slices.ContainsFunc(terms, func(term func(Row) bool) bool { return term(row) })
		}
	}
	at := t.Column(f.Column)
	switch f.Op {
	case OpIsNull:
		return func(row Row) bool { return row.values[at].IsNull() }
	case OpIsNotNull:
		return func(row Row) bool { return !row.values[at].IsNull() }
	}
	compare := f.compare
	switch {
	case t.columns[at].JSON:
		compare = f.listMatcher()
	case f.Op == OpEqual || f.Op == OpNotEqual:
		compare = f.equalMatcher()
	}
	return func(row Row) bool { return !row.values[at].IsNull() && compare(row.values[at]) }
}

// equalMatcher returns the comparison of a value with all those of the filter at once.
func (f Filter) equalMatcher() func(Value) bool {
	values := make(map[Value]bool, len(f.Values))
	for _, v := range f.Values {
		values[v] = true
	}
	if f.Op == OpEqual {
		return func(v Value) bool { return values[v] }
	}
	null := values[Null]
	return func(v Value) bool { return !null && !values[v] }
}

// listMatcher returns the comparison of a JSON list, which is read once, with all values of
// the filter.
func (f Filter) listMatcher() func(Value) bool {
	texts, null := make(map[string]bool, len(f.Values)), false
	for _, v := range f.Values {
		if v.IsNull() {
			null = true
		} else {
			texts[v.s] = true
		}
	}
	return func(v Value) bool {
		found := listContains(v.s, texts)
		if f.Op == OpContains {
			return found
		}
		return !null && !found
	}
}

// FilterSize returns the number of conditions and of values of filters, for [MaxFilterTerms]
// and [MaxValues]. A column that the table lacks counts as text.
func FilterSize(t *Table, filters []Filter) (terms, values int) {
	for _, f := range filters {
		terms, values = terms+1, values+len(f.Values)
		if at := t.Column(f.Column); f.Op.OfText() && (at < 0 || !t.columns[at].JSON) {
			terms += max(len(f.Values)-1, 0)
		}
		inner, more := FilterSize(t, f.Filters)
		terms, values = terms+inner, values+more
	}
	return terms, values
}

// compare compares a value that is not null.
func (f Filter) compare(v Value) bool {
	anyOf := func(is func(Value) bool) bool { // of the values that are not null
		return slices.ContainsFunc(f.Values, func(x Value) bool { return !x.IsNull() && is(x) })
	}
	noneOf := func(is func(Value) bool) bool {
		return !slices.ContainsFunc(f.Values, func(x Value) bool { return x.IsNull() || is(x) })
	}
	inside := func(x Value) bool { return strings.Contains(v.s, x.s) }
	switch f.Op {
	case OpLessThan:
		return anyOf(func(x Value) bool { return Compare(v, x) < 0 })
	case OpLessThanEqual:
		return anyOf(func(x Value) bool { return Compare(v, x) <= 0 })
	case OpGreaterThan:
		return anyOf(func(x Value) bool { return Compare(v, x) > 0 })
	case OpGreaterThanEqual:
		return anyOf(func(x Value) bool { return Compare(v, x) >= 0 })
	case OpBetween, OpNotBetween:
		low, high := f.Values[0], f.Values[1]
		if low.IsNull() || high.IsNull() {
			return false
		}
		return (Compare(low, v) <= 0 && Compare(v, high) <= 0) == (f.Op == OpBetween)
	case OpStartsWith:
		return anyOf(func(x Value) bool { return strings.HasPrefix(v.s, x.s) })
	case OpNotStartsWith:
		return noneOf(func(x Value) bool { return strings.HasPrefix(v.s, x.s) })
	case OpEndsWith:
		return anyOf(func(x Value) bool { return strings.HasSuffix(v.s, x.s) })
	case OpNotEndsWith:
		return noneOf(func(x Value) bool { return strings.HasSuffix(v.s, x.s) })
	case OpContains:
		return anyOf(inside)
	case OpNotContains:
		return noneOf(inside)
	}
	return false
}

// listContains reports whether one of the texts is an item of a JSON list.
func listContains(list string, texts map[string]bool) bool {
	var items []any
	if json.Unmarshal([]byte(list), &items) != nil {
		return false
	}
	return slices.ContainsFunc(items, func(item any) bool {
		text, is := item.(string)
		return is && texts[text]
	})
}
