package store

import (
	"encoding/json"
	"slices"
	"strings"
)

// Op is what a [Filter] asks. The names are those of the documented query
// methods.
type Op string

// The operators. Every comparison with a null is false, NotEqual and the other
// negations too. Text and bytes compare bytewise; case matters.
const (
	OpEqual            Op = "equal"    // any of the values
	OpNotEqual         Op = "notEqual" // none of the values
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
	OpContains         Op = "contains"    // text: any of the values in it; JSON: any of them in the list
	OpNotContains      Op = "notContains" // none of them
	OpAnd              Op = "and"         // all of Filters
	OpOr               Op = "or"          // any of Filters
)

// Limits of the filters of a query.
const (
	MaxFilterValues = 500    // of one filter
	MaxFilterTerms  = 400    // conditions of a query; each value of a text condition is one too
	MaxFilterDepth  = 10     // of And and Or in each other
	MaxValues       = 30_000 // of all filters of a query
)

// Filter is a condition on a row.
type Filter struct {
	Op      Op
	Column  string   // for all but And and Or
	Values  []Value  // as many as Op takes
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

// Arity returns how many values an operator takes; most is 0 for operators
// that take filters, and known is false for what is no operator.
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

// Column returns the position of the column of that name, -1 if there is none.
func (t *Table) Column(name string) int {
	return slices.IndexFunc(t.columns, func(c Column) bool { return c.Name == name })
}

// Matcher returns a function that reports whether a row of t meets all
// filters, which must have been checked. It is how a key-value backend
// evaluates them.
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
	contains := strings.Contains
	if t.columns[at].JSON {
		contains = listContains
	}
	return func(row Row) bool { return !row.values[at].IsNull() && f.compare(row.values[at], contains) }
}

// compare compares a value that is not null.
func (f Filter) compare(v Value, contains func(text, part string) bool) bool {
	any := func(is func(Value) bool) bool { // of the values that are not null
		return slices.ContainsFunc(f.Values, func(x Value) bool { return !x.IsNull() && is(x) })
	}
	none := func(is func(Value) bool) bool {
		return !slices.ContainsFunc(f.Values, func(x Value) bool { return x.IsNull() || is(x) })
	}
	equal := func(x Value) bool { return v == x }
	inside := func(x Value) bool { return contains(v.s, x.s) }
	switch f.Op {
	case OpEqual:
		return any(equal)
	case OpNotEqual:
		return none(equal)
	case OpLessThan:
		return any(func(x Value) bool { return Compare(v, x) < 0 })
	case OpLessThanEqual:
		return any(func(x Value) bool { return Compare(v, x) <= 0 })
	case OpGreaterThan:
		return any(func(x Value) bool { return Compare(v, x) > 0 })
	case OpGreaterThanEqual:
		return any(func(x Value) bool { return Compare(v, x) >= 0 })
	case OpBetween, OpNotBetween:
		low, high := f.Values[0], f.Values[1]
		if low.IsNull() || high.IsNull() {
			return false
		}
		return (Compare(low, v) <= 0 && Compare(v, high) <= 0) == (f.Op == OpBetween)
	case OpStartsWith:
		return any(func(x Value) bool { return strings.HasPrefix(v.s, x.s) })
	case OpNotStartsWith:
		return none(func(x Value) bool { return strings.HasPrefix(v.s, x.s) })
	case OpEndsWith:
		return any(func(x Value) bool { return strings.HasSuffix(v.s, x.s) })
	case OpNotEndsWith:
		return none(func(x Value) bool { return strings.HasSuffix(v.s, x.s) })
	case OpContains:
		return any(inside)
	case OpNotContains:
		return none(inside)
	}
	return false
}

// listContains reports whether a JSON list has a text in it.
func listContains(list, text string) bool {
	var items []any
	if json.Unmarshal([]byte(list), &items) != nil {
		return false
	}
	return slices.Contains(items, any(text))
}
