package sqltext

import (
	"slices"
	"strings"

	"example.com/latchkey/store"
)

const (
	always = "1 = 1"
	never  = "1 = 0"
)

// filter writes a condition. A comparison with a null is neither true nor false
// in SQL, and counts as false here. So a condition is never negated as a whole:
// each negation has a form of its own.
func (b *builder) filter(t *store.Table, f store.Filter) {
	switch f.Op {
	case store.OpAnd:
		b.joined(t, f.Filters, " AND ")
		return
	case store.OpOr:
		b.joined(t, f.Filters, " OR ")
		return
	case store.OpIsNull:
		b.words(b.Unindexed(f.Column), " IS NULL")
		return
	case store.OpIsNotNull:
		b.words(b.Unindexed(f.Column), " IS NOT NULL")
		return
	}
	values := slices.DeleteFunc(slices.Clone(f.Values), store.Value.IsNull)
	anyOf := f.Op == store.OpEqual || f.Op == store.OpContains
	if len(values) == 0 || !anyOf && len(values) < len(f.Values) {
		b.words(never)
		return
	}
	if f.Op.OfText() {
		b.textFilter(t, f, values)
		return
	}
	b.comparison(f, values)
}

func (b *builder) joined(t *store.Table, filters []store.Filter, by string) {
	b.words("(")
	for i, f := range filters {
		if i > 0 {
			b.words(by)
		}
		b.filter(t, f)
	}
	b.words(")")
}

func (b *builder) comparison(f store.Filter, values []store.Value) {
	c := b.Unindexed(f.Column) // the order chooses the index, and the filter does not
	switch f.Op {
	case store.OpEqual:
		b.words(c, " IN (", b.params(values), ")")
	case store.OpNotEqual:
		b.words(c, " NOT IN (", b.params(values), ")")
	case store.OpLessThan:
		b.words(c, " < ", b.params(values))
	case store.OpLessThanEqual:
		b.words(c, " <= ", b.params(values))
	case store.OpGreaterThan:
		b.words(c, " > ", b.params(values))
	case store.OpGreaterThanEqual:
		b.words(c, " >= ", b.params(values))
	case store.OpBetween:
		b.words("(", c, " >= ", b.params(values[:1]), " AND ", c, " <= ", b.params(values[1:]), ")")
	case store.OpNotBetween:
		b.words("(", c, " < ", b.params(values[:1]), " OR ", c, " > ", b.params(values[1:]), ")")
	default:
		b.words(never)
	}
}

// params adds parameters and returns their placeholders, separated by commas.
func (b *builder) params(values []store.Value) string {
	places := make([]string, len(values))
	for i, v := range values {
		b.args = append(b.args, v)
		places[i] = b.Placeholder(len(b.args))
	}
	return strings.Join(places, ", ")
}

func (b *builder) textFilter(t *store.Table, f store.Filter, values []store.Value) {
	negative := f.Op == store.OpNotContains || f.Op == store.OpNotStartsWith || f.Op == store.OpNotEndsWith
	b.words("(", b.Unindexed(f.Column), " IS NOT NULL AND ")
	if negative {
		b.words("NOT ")
	}
	b.words("(")
	contains := f.Op == store.OpContains || f.Op == store.OpNotContains
	if contains && t.Columns()[t.Column(f.Column)].JSON {
		b.words(b.ListHas(f.Column, b.params(values)))
	} else {
		for i, v := range values {
			if i > 0 {
				b.words(" OR ")
			}
			b.part(f, v)
		}
	}
	b.words("))")
}

// part writes the condition that a text begins with, ends with or contains
// another.
func (b *builder) part(f store.Filter, v store.Value) {
	if v.Text() == "" {
		b.words(always)
		return
	}
	param := func() string { return b.params([]store.Value{v}) }
	switch f.Op {
	case store.OpStartsWith, store.OpNotStartsWith:
		b.words(b.StartsWith(f.Column, param()))
	case store.OpEndsWith, store.OpNotEndsWith:
		b.words(b.EndsWith(f.Column, param(), param()))
	default:
		b.words(b.Contains(f.Column, param()))
	}
}
