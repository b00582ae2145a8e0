package operations_test

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"example.com/latchkey"
	"example.com/latchkey/internal/operations"
)

func TestEveryExportedMethodIsInTheTable(t *testing.T) {
	var want, have []string
	for _, handle := range []any{new(latchkey.Guest), new(latchkey.Account), new(latchkey.Users), new(latchkey.Teams), new(latchkey.Engine)} {
		typ := reflect.TypeOf(handle)
		for i := range typ.NumMethod() {
			want = append(want, typ.Elem().Name()+"."+typ.Method(i).Name)
		}
	}
	for _, op := range operations.Table {
		method, _, _ := strings.Cut(op.Name, " ") // "Guest.CreateSession by link" is another row of Guest.CreateSession
		have = append(have, method)
	}
	slices.Sort(have)
	have = slices.Compact(have)
	slices.Sort(want)
	if !slices.Equal(have, want) {
		t.Errorf("the table has %v\nwant %v", have, want)
	}
}
