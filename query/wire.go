package query

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"
	"unicode/utf8"

	"example.com/latchkey/internal/strictjson"
)

// The limits of the wire form.
const (
	MaxQueries = 100   // of one listing
	MaxLength  = 4_096 // characters of one query
	MaxValues  = 500   // of one filter
	MaxDepth   = 10    // of And and Or in each other
)

// ErrSyntax is the error of a text that is no query.
var ErrSyntax = errors.New("query: not a query")

// wire is the JSON form of a query.
type wire struct {
	Method    Method            `json:"method"`
	Attribute string            `json:"attribute,omitempty"`
	Values    []json.RawMessage `json:"values,omitempty"`
}

// values says what the values of a method are.
type values int

const (
	none   values = iota // no values
	some                 // 1 to MaxValues values of an attribute
	one                  // one value of an attribute
	pair                 // two values of an attribute
	number               // one whole number
	text                 // one text
	nested               // queries
)

// methods are the methods that have a form on the wire.
var methods = map[Method]struct {
	values    values
	attribute bool
}{
	MethodEqual: {some, true}, MethodNotEqual: {some, true}, MethodContains: {some, true}, MethodNotContains: {some, true},
	MethodLessThan: {one, true}, MethodLessThanEqual: {one, true}, MethodGreaterThan: {one, true}, MethodGreaterThanEqual: {one, true},
	MethodStartsWith: {one, true}, MethodNotStartsWith: {one, true}, MethodEndsWith: {one, true}, MethodNotEndsWith: {one, true},
	MethodBetween: {pair, true}, MethodNotBetween: {pair, true},
	MethodIsNull: {none, true}, MethodIsNotNull: {none, true}, MethodOrderAsc: {none, true}, MethodOrderDesc: {none, true},
	MethodLimit: {number, false}, MethodOffset: {number, false},
	MethodCursorAfter: {text, false}, MethodCursorBefore: {text, false}, MethodPage: {text, false},
	MethodAnd: {nested, false}, MethodOr: {nested, false}, MethodSelect: {some, false},
}

// aliases are the methods that stand for a comparison of a time.
var aliases = map[Method]struct {
	attribute string
	method    Method
}{
	"createdBefore": {CreatedAt, MethodLessThan}, "createdAfter": {CreatedAt, MethodGreaterThan}, "createdBetween": {CreatedAt, MethodBetween},
	"updatedBefore": {UpdatedAt, MethodLessThan}, "updatedAfter": {UpdatedAt, MethodGreaterThan}, "updatedBetween": {UpdatedAt, MethodBetween},
}

// ParseAll reads the queries of a listing, of which there are at most [MaxQueries].
func ParseAll(texts []string) ([]Query, error) {
	if len(texts) > MaxQueries {
		return nil, fmt.Errorf("%w: %d queries, and %d are allowed", ErrSyntax, len(texts), MaxQueries)
	}
	out := make([]Query, 0, len(texts))
	for _, t := range texts {
		q, err := Parse(t)
		if err != nil {
			return nil, err
		}
		out = append(out, q)
	}
	return out, nil
}

// Parse reads a query in its JSON form: an object with method, attribute and values, of at
// most [MaxLength] characters. It is read strictly: a member that comes twice, or in another
// case, is refused. Other members are ignored. Values are texts, booleans and whole numbers.
func Parse(s string) (Query, error) {
	if !utf8.ValidString(s) || utf8.RuneCountInString(s) > MaxLength {
		return Query{}, fmt.Errorf("%w: not at most %d characters of UTF-8", ErrSyntax, MaxLength)
	}
	return parse([]byte(s), 1)
}

func parse(s []byte, depth int) (q Query, err error) {
	if depth > MaxDepth {
		return q, fmt.Errorf("%w: nested more than %d deep", ErrSyntax, MaxDepth)
	}
	w, err := decode(s)
	if err != nil {
		return q, err
	}
	if alias, found := aliases[w.Method]; found {
		if w.Attribute != "" {
			return q, fmt.Errorf("%w: %s has no attribute", ErrSyntax, w.Method)
		}
		w.Method, w.Attribute = alias.method, alias.attribute
	}
	form, known := methods[w.Method]
	switch {
	case !known:
		return q, fmt.Errorf("%w: there is no such method", ErrSyntax)
	case form.attribute != (w.Attribute != ""):
		return q, fmt.Errorf("%w: %s and an attribute", ErrSyntax, w.Method)
	}
	q = Query{method: w.Method, attribute: w.Attribute}
	if form.values == nested {
		for _, v := range w.Values {
			inner, err := parse(v, depth+1)
			if err != nil {
				return Query{}, err
			}
			q.nested = append(q.nested, inner)
		}
		return q, nil
	}
	for _, v := range w.Values {
		value, err := decodeValue(v)
		if err != nil {
			return Query{}, err
		}
		q.values = append(q.values, value)
	}
	if err := q.checkValues(form.values); err != nil {
		return Query{}, err
	}
	return q, nil
}

// checkValues refuses another number, or another kind, of values than the method has.
func (q Query) checkValues(form values) error {
	least, most := 1, 1
	switch form {
	case none:
		least, most = 0, 0
	case some:
		most = MaxValues
	case pair:
		least, most = 2, 2
	}
	if len(q.values) < least || len(q.values) > most {
		return fmt.Errorf("%w: %s has %d values, not %d to %d", ErrSyntax, q.method, len(q.values), least, most)
	}
	for _, v := range q.values {
		_, isText := v.(string)
		_, isNumber := v.(int)
		if form == number && !isNumber || form == text && !isText {
			return fmt.Errorf("%w: the value of %s has another type", ErrSyntax, q.method)
		}
	}
	return nil
}

// decode reads the object of a query.
func decode(s []byte) (w wire, err error) {
	if len(s) == 0 || s[0] != '{' || strictjson.Unmarshal(s, &w) != nil {
		return w, ErrSyntax
	}
	return w, nil
}

// decodeValue reads a text, a boolean or a whole number.
func decodeValue(s []byte) (any, error) {
	var v any
	d := json.NewDecoder(bytes.NewReader(s))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		return nil, ErrSyntax
	}
	switch v := v.(type) {
	case string, bool:
		return v, nil
	case json.Number:
		if n, err := v.Int64(); err == nil && n >= math.MinInt32 && n <= math.MaxInt32 {
			return int(n), nil
		}
	}
	return nil, fmt.Errorf("%w: a value is no text, boolean or whole number of 32 bits", ErrSyntax)
}

// MarshalJSON returns the JSON form. [Walk] and the zero Query have none.
func (q Query) MarshalJSON() ([]byte, error) {
	if _, known := methods[q.method]; !known {
		return nil, fmt.Errorf("query: %q has no form on the wire", q.method)
	}
	w := wire{Method: q.method, Attribute: q.attribute}
	for _, v := range q.values {
		if t, isTime := v.(time.Time); isTime {
			v = t.UTC().Format("2006-01-02T15:04:05.000000Z07:00")
		}
		b, err := json.Marshal(v)
		if err != nil {
			return nil, err
		}
		w.Values = append(w.Values, b)
	}
	for _, n := range q.nested {
		b, err := json.Marshal(n)
		if err != nil {
			return nil, err
		}
		w.Values = append(w.Values, b)
	}
	return json.Marshal(w)
}

// String returns the JSON form, or the method where there is none.
func (q Query) String() string {
	b, err := q.MarshalJSON()
	if err != nil {
		return string(q.method)
	}
	return string(b)
}
