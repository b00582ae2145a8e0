package operations_test

import (
	"reflect"
	"slices"
	"testing"

	"example.com/latchkey"
	"example.com/latchkey/internal/operations"
)

func TestEveryExportedMethodIsInTheTable(t *testing.T) {
	var want, have []string
	for _, handle := range []any{new(latchkey.Guest), new(latchkey.Account), new(latchkey.Users), new(latchkey.Engine)} {
		typ := reflect.TypeOf(handle)
		for i := range typ.NumMethod() {
			want = append(want, typ.Elem().Name()+"."+typ.Method(i).Name)
		}
	}
	for _, op := range operations.Table {
		have = append(have, op.Name)
	}
	slices.Sort(have)
	slices.Sort(want)
	if !slices.Equal(have, want) {
		t.Errorf("the table has %v\nwant %v", have, want)
	}
}
