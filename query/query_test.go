package query

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var when = time.Date(2026, 3, 1, 12, 0, 0, 250_000_000, time.UTC)

// The JSON form of each query, as documented.
var forms = map[string]Query{
	`{"method":"equal","attribute":"name","values":["Ann","Bob"]}`:    Equal("name", "Ann", "Bob"),
	`{"method":"equal","attribute":"status","values":[true]}`:         Equal("status", true),
	`{"method":"notEqual","attribute":"total","values":[7]}`:          NotEqual("total", 7),
	`{"method":"lessThan","attribute":"total","values":[-7]}`:         LessThan("total", -7),
	`{"method":"lessThanEqual","attribute":"name","values":["a"]}`:    LessThanEqual("name", "a"),
	`{"method":"greaterThan","attribute":"name","values":["a"]}`:      GreaterThan("name", "a"),
	`{"method":"greaterThanEqual","attribute":"name","values":["a"]}`: GreaterThanEqual("name", "a"),
	`{"method":"between","attribute":"total","values":[1,2]}`:         Between("total", 1, 2),
	`{"method":"notBetween","attribute":"total","values":[1,2]}`:      NotBetween("total", 1, 2),
	`{"method":"isNull","attribute":"accessedAt"}`:                    IsNull("accessedAt"),
	`{"method":"isNotNull","attribute":"name"}`:                       IsNotNull("name"),
	`{"method":"startsWith","attribute":"name","values":["A"]}`:       StartsWith("name", "A"),
	`{"method":"notStartsWith","attribute":"name","values":["A"]}`:    NotStartsWith("name", "A"),
	`{"method":"endsWith","attribute":"name","values":["A"]}`:         EndsWith("name", "A"),
	`{"method":"notEndsWith","attribute":"name","values":["A"]}`:      NotEndsWith("name", "A"),
	`{"method":"contains","attribute":"labels","values":["a","b"]}`:   Contains("labels", "a", "b"),
	`{"method":"notContains","attribute":"labels","values":["a"]}`:    NotContains("labels", "a"),
	`{"method":"orderAsc","attribute":"name"}`:                        OrderAsc("name"),
	`{"method":"orderDesc","attribute":"registration"}`:               OrderDesc("registration"),
	`{"method":"limit","values":[10]}`:                                Limit(10),
	`{"method":"offset","values":[20]}`:                               Offset(20),
	`{"method":"cursorAfter","values":["ada"]}`:                       CursorAfter("ada"),
	`{"method":"cursorBefore","values":["ada"]}`:                      CursorBefore("ada"),
	`{"method":"page","values":["token"]}`:                            Page("token"),
	`{"method":"or","values":[{"method":"isNull","attribute":"phone"},{"method":"and","values":[{"method":"isNotNull","attribute":"email"}]}]}`: Or(IsNull("phone"), And(IsNotNull("email"))),
}

func same(t *testing.T, a, b Query) {
	t.Helper()
	if diff := cmp.Diff(a, b, cmp.AllowUnexported(Query{})); diff != "" {
		t.Error(diff)
	}
}

func TestEveryQueryHasItsDocumentedForm(t *testing.T) {
	for text, q := range forms {
		parsed, err := Parse(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		same(t, parsed, q)
		if got := q.String(); got != text {
			t.Errorf("%s, want %s", got, text)
		}
	}
	for text, q := range map[string]Query{
		`{"method":"createdAfter","values":["2026-03-01T12:00:00.250000Z"]}`:                CreatedAfter(when),
		`{"method":"updatedBetween","values":["2026-03-01T12:00:00.250000Z","2027-01-01"]}`: UpdatedBetween(when, when),
	} {
		parsed, err := Parse(text)
		if err != nil || parsed.Attribute() != q.Attribute() || parsed.Method() != q.Method() || parsed.Values()[0] != "2026-03-01T12:00:00.250000Z" {
			t.Errorf("%s: %v, %v", text, parsed, err)
		}
	}
}

func TestWhatIsNoQueryIsRefused(t *testing.T) {
	deep := `{"method":"isNull","attribute":"a"}`
	for range MaxDepth {
		deep = `{"method":"or","values":[` + deep + `]}`
	}
	many := strings.Repeat(`"a",`, MaxValues) + `"a"`
	for _, text := range []string{
		"", "equal", `"equal"`, `[]`, `{}`, `null`, `{"method":"drop","attribute":"name"}`,
		`{"method":"equal","attribute":"name"}`, `{"method":"equal","values":["a"]}`, `{"method":"equal","attribute":"","values":["a"]}`,
		`{"method":"equal","attribute":"name","values":[]}`, `{"method":"equal","attribute":"name","values":[null]}`,
		`{"method":"equal","attribute":"name","values":[{"a":1}]}`, `{"method":"equal","attribute":"name","values":[1.5]}`,
		`{"method":"equal","attribute":"name","values":[99999999999]}`, `{"method":"equal","attribute":"name","values":"a"}`,
		`{"method":"equal","attribute":"a","values":[` + many + `]}`,
		`{"method":"between","attribute":"a","values":[1]}`, `{"method":"lessThan","attribute":"a","values":[1,2]}`,
		`{"method":"isNull","attribute":"a","values":[1]}`, `{"method":"limit","values":["10"]}`, `{"method":"limit","attribute":"a","values":[1]}`,
		`{"method":"cursorAfter","values":[1]}`, `{"method":"walk"}`, `{"method":"createdAfter","attribute":"name","values":["a"]}`,
		`{"method":"isNull","method":"isNotNull","attribute":"a"}`, `{"METHOD":"isNull","attribute":"a"}`, `{"method":"isNull","attribute":"a"} ` + "x",
		`{"method":"isNull","attribute":"\ud800"}`, "{\"method\":\"isNull\",\"attribute\":\"\xff\"}", deep,
		`{"method":"isNull","attribute":"` + strings.Repeat("a", MaxLength) + `"}`,
	} {
		if q, err := Parse(text); !errors.Is(err, ErrSyntax) {
			t.Errorf("%.80s is %v, %v", text, q, err)
		}
	}
	if _, err := ParseAll(slices.Repeat([]string{`{"method":"isNull","attribute":"a"}`}, MaxQueries+1)); !errors.Is(err, ErrSyntax) {
		t.Errorf("%d queries: %v", MaxQueries+1, err)
	}
	for _, q := range []Query{{}, Walk(), Or(Walk())} {
		if b, err := q.MarshalJSON(); err == nil {
			t.Errorf("%s has a form on the wire", b)
		}
	}
}

func FuzzParse(f *testing.F) {
	for text := range forms {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		q, err := Parse(text)
		if err != nil {
			if !errors.Is(err, ErrSyntax) || fmt.Sprint(q) != fmt.Sprint(Query{}) {
				t.Errorf("%v, %v", q, err)
			}
			return
		}
		again, err := Parse(q.String())
		if err != nil {
			t.Fatalf("%s of %s: %v", q, text, err)
		}
		same(t, again, q)
	})
}
