// Package query has the queries of listings: filters, orders and pages. They are typed Go
// values, and each has the documented JSON form, which any transport can carry.
//
//	engine.Users().List(ctx,
//		query.Equal("status", true),
//		query.StartsWith("email", "ada"),
//		query.OrderDesc("$createdAt"),
//		query.Limit(50))
//
// A listing says which attributes it has. It refuses a query with another one, with a value
// of another type, and with an operator that the attribute does not have.
package query

import (
	"slices"
	"time"
)

// Method is the operator of a query. The names are the documented ones.
type Method string

// The methods.
const (
	MethodEqual            Method = "equal"
	MethodNotEqual         Method = "notEqual"
	MethodLessThan         Method = "lessThan"
	MethodLessThanEqual    Method = "lessThanEqual"
	MethodGreaterThan      Method = "greaterThan"
	MethodGreaterThanEqual Method = "greaterThanEqual"
	MethodBetween          Method = "between"
	MethodNotBetween       Method = "notBetween"
	MethodIsNull           Method = "isNull"
	MethodIsNotNull        Method = "isNotNull"
	MethodStartsWith       Method = "startsWith"
	MethodNotStartsWith    Method = "notStartsWith"
	MethodEndsWith         Method = "endsWith"
	MethodNotEndsWith      Method = "notEndsWith"
	MethodContains         Method = "contains"
	MethodNotContains      Method = "notContains"
	MethodAnd              Method = "and"
	MethodOr               Method = "or"
	MethodOrderAsc         Method = "orderAsc"
	MethodOrderDesc        Method = "orderDesc"
	MethodLimit            Method = "limit"
	MethodOffset           Method = "offset"
	MethodCursorAfter      Method = "cursorAfter"
	MethodCursorBefore     Method = "cursorBefore"
	MethodSelect           Method = "select" // documented, and refused by every listing
	// MethodPage is not documented, and is carried by the wire all the same. The last
	// three have no form there.
	MethodPage    Method = "page"
	MethodWalk    Method = "walk"
	MethodNoTotal Method = "noTotal"
	MethodSearch  Method = "search"
)

// The attributes that every listing has.
const (
	ID        = "$id"
	CreatedAt = "$createdAt"
	UpdatedAt = "$updatedAt"
)

// Query is one filter, order or page control of a listing. Make one with a function of this
// package. The zero Query selects nothing, and every listing refuses it.
type Query struct {
	method    Method
	attribute string
	values    []any // of Value
	nested    []Query
}

// Value is a type of the values of attributes. A date on the wire is a text.
type Value interface {
	string | bool | int | time.Time
}

// Method returns the operator; "" for the zero Query.
func (q Query) Method() Method { return q.method }

// Attribute returns the attribute; "" where the method has none.
func (q Query) Attribute() string { return q.attribute }

// Values returns a copy of the values. Each is a string, a bool, an int or a time.Time.
func (q Query) Values() []any { return slices.Clone(q.values) }

// Nested returns a copy of the queries of [And] and [Or].
func (q Query) Nested() []Query { return slices.Clone(q.nested) }

func compare[V Value](m Method, attribute string, values ...V) Query {
	q := Query{method: m, attribute: attribute, values: make([]any, len(values))}
	for i, v := range values {
		q.values[i] = v
	}
	return q
}

// Equal selects rows whose attribute is one of the values: 1 to 500.
func Equal[V Value](attribute string, values ...V) Query {
	return compare(MethodEqual, attribute, values...)
}

// NotEqual selects rows whose attribute is none of the values: 1 to 500. A row without the
// attribute is not selected.
func NotEqual[V Value](attribute string, values ...V) Query {
	return compare(MethodNotEqual, attribute, values...)
}

// LessThan selects rows whose attribute is less than the value.
func LessThan[V Value](attribute string, value V) Query {
	return compare(MethodLessThan, attribute, value)
}

// LessThanEqual selects rows whose attribute is the value or less.
func LessThanEqual[V Value](attribute string, value V) Query {
	return compare(MethodLessThanEqual, attribute, value)
}

// GreaterThan selects rows whose attribute is greater than the value.
func GreaterThan[V Value](attribute string, value V) Query {
	return compare(MethodGreaterThan, attribute, value)
}

// GreaterThanEqual selects rows whose attribute is the value or greater.
func GreaterThanEqual[V Value](attribute string, value V) Query {
	return compare(MethodGreaterThanEqual, attribute, value)
}

// Between selects rows whose attribute is from low to high, both included.
func Between[V Value](attribute string, low, high V) Query {
	return compare(MethodBetween, attribute, low, high)
}

// NotBetween selects rows whose attribute is less than low or greater than high.
func NotBetween[V Value](attribute string, low, high V) Query {
	return compare(MethodNotBetween, attribute, low, high)
}

// IsNull selects rows without the attribute.
func IsNull(attribute string) Query { return Query{method: MethodIsNull, attribute: attribute} }

// IsNotNull selects rows with the attribute.
func IsNotNull(attribute string) Query { return Query{method: MethodIsNotNull, attribute: attribute} }

// StartsWith selects rows whose attribute begins with the text. Case matters.
func StartsWith(attribute, text string) Query { return compare(MethodStartsWith, attribute, text) }

// NotStartsWith selects rows whose attribute does not begin with the text.
func NotStartsWith(attribute, text string) Query {
	return compare(MethodNotStartsWith, attribute, text)
}

// EndsWith selects rows whose attribute ends with the text.
func EndsWith(attribute, text string) Query { return compare(MethodEndsWith, attribute, text) }

// NotEndsWith selects rows whose attribute does not end with the text.
func NotEndsWith(attribute, text string) Query { return compare(MethodNotEndsWith, attribute, text) }

// Contains selects rows whose attribute holds one of the texts: a text attribute as a part
// of it, a list as an item. 1 to 500.
func Contains(attribute string, texts ...string) Query {
	return compare(MethodContains, attribute, texts...)
}

// NotContains selects rows whose attribute holds none of the texts.
func NotContains(attribute string, texts ...string) Query {
	return compare(MethodNotContains, attribute, texts...)
}

// CreatedBefore selects rows that were created before a time, and the functions below the
// same for other ranges and for the last change.
func CreatedBefore(t time.Time) Query { return LessThan(CreatedAt, t) }

// CreatedAfter selects rows that were created after a time.
func CreatedAfter(t time.Time) Query { return GreaterThan(CreatedAt, t) }

// CreatedBetween selects rows that were created from one time to another.
func CreatedBetween(from, to time.Time) Query { return Between(CreatedAt, from, to) }

// UpdatedBefore selects rows that were changed last before a time.
func UpdatedBefore(t time.Time) Query { return LessThan(UpdatedAt, t) }

// UpdatedAfter selects rows that were changed last after a time.
func UpdatedAfter(t time.Time) Query { return GreaterThan(UpdatedAt, t) }

// UpdatedBetween selects rows that were changed last from one time to another.
func UpdatedBetween(from, to time.Time) Query { return Between(UpdatedAt, from, to) }

// And selects rows that all queries select. They must be filters.
func And(queries ...Query) Query { return Query{method: MethodAnd, nested: slices.Clone(queries)} }

// Or selects rows that any of the queries selects. They must be filters.
func Or(queries ...Query) Query { return Query{method: MethodOr, nested: slices.Clone(queries)} }

// OrderAsc lists by an attribute, the least first. Rows with the same value come in the
// order of their ids. Further orders decide where earlier ones are the same.
func OrderAsc(attribute string) Query { return Query{method: MethodOrderAsc, attribute: attribute} }

// OrderDesc lists by an attribute, the greatest first.
func OrderDesc(attribute string) Query { return Query{method: MethodOrderDesc, attribute: attribute} }

// Limit is the largest number of rows that a listing returns. Without it a listing returns
// 25.
func Limit(n int) Query { return compare(MethodLimit, "", n) }

// Offset is the number of rows that a listing leaves out at its beginning: 0 to 2^30.
func Offset(n int) Query { return compare(MethodOffset, "", n) }

// CursorAfter lists the rows that come after the one with an id. The row must exist.
func CursorAfter(id string) Query { return compare(MethodCursorAfter, "", id) }

// CursorBefore lists the rows directly before the one with an id, in the same order.
func CursorBefore(id string) Query { return compare(MethodCursorBefore, "", id) }

// Page lists the page of a token that an earlier page of the same listing, with the same
// filters and orders, has given as its next or its previous one. Its row may be gone.
func Page(token string) Query { return compare(MethodPage, "", token) }

// Walk lets a listing look at any number of rows. Without it, a listing that would look at
// too many refuses: that depends on the number of rows, and not on the size of the page. It
// has no form on the wire, so that callers of a transport cannot ask for it.
func Walk() Query { return Query{method: MethodWalk} }

// Search finds rows by words, in listings that have a search: at most 256 characters. A
// search for "" finds every row. It has no form on the wire, where the documents have a
// parameter for it.
func Search(text string) Query { return compare(MethodSearch, "", text) }

// NoTotal leaves the total of a listing 0: it is not counted. It has no form on the wire,
// where the documents have a parameter for it.
func NoTotal() Query { return Query{method: MethodNoTotal} }
