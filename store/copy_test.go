package store

import (
	"crypto/sha256"
	"testing"
)

func TestDigestTellsRowsApart(t *testing.T) {
	seen := make(map[string]int)
	rows := []Row{
		NewRow([]Value{Null, Text("ab")}),
		NewRow([]Value{Text(""), Text("ab")}),
		NewRow([]Value{BytesOf(""), Text("ab")}),
		NewRow([]Value{Text("a"), Text("b")}),
		NewRow([]Value{Text("ab"), Text("")}),
		NewRow([]Value{Text("ab"), Null}),
		NewRow([]Value{Int(1), Text("ab")}),
		NewRow([]Value{Bool(true), Text("ab")}),
		NewRow([]Value{Micros(1), Text("ab")}),
		NewRow([]Value{Int(-1), Text("ab")}),
	}
	two := &Table{columns: make([]Column, 2)}
	for i, row := range rows {
		h := sha256.New()
		row.digest(h, two)
		sum := string(h.Sum(nil))
		if j, found := seen[sum]; found {
			t.Errorf("rows %d and %d have one digest", j, i)
		}
		seen[sum] = i
	}
}
