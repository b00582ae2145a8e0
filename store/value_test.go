package store

import (
	"fmt"
	"testing"
	"time"
)

func TestValuesKeepTheirKindAndHideTheirContent(t *testing.T) {
	at := time.Date(2026, 3, 1, 12, 0, 0, 1500, time.FixedZone("east", 3600))
	for _, test := range []struct {
		v    Value
		kind Kind
		name string
	}{
		{Null, KindNull, "null"}, {Text("secret"), KindText, "text"}, {Bytes([]byte("secret")), KindBytes, "bytes"},
		{Int(7), KindInt, "integer"}, {Bool(true), KindBool, "bool"}, {Time(at), KindTime, "time"},
	} {
		if test.v.Kind() != test.kind || test.v.IsNull() != (test.kind == KindNull) {
			t.Errorf("%s has kind %v", test.name, test.v.Kind())
		}
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%d", "%q"} {
			if got := fmt.Sprintf(verb, test.v); got != test.name {
				t.Errorf("%s of %s prints %q", verb, test.name, got)
			}
			if got := fmt.Sprintf(verb, NewRow([]Value{test.v})); got != "row of 1" {
				t.Errorf("%s of a row prints %q", verb, got)
			}
		}
	}
	if got := Time(at).Time(); !got.Equal(at.Truncate(time.Microsecond)) || got.Location() != time.UTC {
		t.Errorf("a time comes back as %v", got)
	}
}
