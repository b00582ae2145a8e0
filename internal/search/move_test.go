package search_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/store"
	"example.com/latchkey/transfer"
)

// rowsThatTravel returns the rows of what an export has, without what a new store draws or seals
// anew.
func rowsThatTravel(k *kit.Kit) (lines []string) {
	k.Helper()
	drawn := map[string][]string{
		"users":          {"key", "epoch", "password_epoch", "password", "password_history", "undo"}, // what is held goes with the links
		"authenticators": {"id", "seed"},
		"recovery_codes": {"id", "digest", "sealed"},
		"identities":     {"access", "refresh", "renewing", "pending", "expire"},
		"memberships":    {"user_key"},
		"teams":          {"key"},
	}
	for _, t := range []*store.Table{
		record.Users.Table, record.Addresses.Table, record.Targets.Table, record.Authenticators.Table, record.RecoveryCodes.Table,
		record.Identities.Table, record.Words.Table, record.Teams.Table, record.Memberships.Table, record.Passkeys.Table, record.Handles.Table,
	} {
		rows, err := k.Raw.List(k.Ctx, store.Query{Index: t.Primary(), Limit: store.MaxLimit})
		k.Must(err)
		for _, row := range rows {
			if t == record.Memberships.Table && !row.At(t.Column("confirm")).Bool() || t == record.Targets.Table && !row.At(t.Column("session_id")).IsNull() {
				continue
			}
			line := t.Name() + ": "
			for i, c := range t.Columns() {
				if v := row.At(i); !slices.Contains(drawn[t.Name()], c.Name) {
					line += fmt.Sprintf("%s=%v/%q/%d ", c.Name, v.IsNull(), v.Text(), v.Int())
				}
			}
			lines = append(lines, line)
		}
	}
	slices.Sort(lines)
	return lines
}

// moveTime is how long the rounds are played.
const moveTime = 3 * time.Second

// A move loses nothing of any state that the operations can make.
func TestAMoveLosesNothingOfAnyState(t *testing.T) {
	end := time.Now().Add(moveTime)
	_, seed, only := asked(t)
	rounds, faults := 0, make(map[string]int)
	for i, p0 := range policies {
		t.Run(p0.name, func(t *testing.T) {
			k, other := kit.New(t, kit.Open(t, "memory"), p0.policy()), kit.New(t, kit.Open(t, "memory"), p0.policy())
			k.Tampered, other.Tampered = true, true
			until := time.Now().Add(time.Until(end) / time.Duration(len(policies)-i))
			for n := uint64(i); time.Now().Before(until); n += uint64(len(policies)) {
				if only != nil && n != *only {
					continue
				}
				history, fault := draw(seed, n).run(k)
				if fault != "" {
					t.Fatal(fault)
				}
				rounds++
				other.DeleteAll()
				other.Clock.Set(k.Clock.Now())
				var file bytes.Buffer
				w := transfer.NewWriter(&file, true, k.Clock.Now())
				k.Must(k.Export(k.Ctx, latchkey.ExportOptions{Secrets: true}, w.Write))
				k.Must(w.Close())
				var lost []string
				skip := false
				_, err := other.Import(k.Ctx, transfer.Read(&file, transfer.Latchkey, transfer.Options{}), latchkey.ImportOptions{
					TrustVerified: true, TrustRoles: true, OnResult: func(r latchkey.ImportResult) {
						if r.Err != nil && strings.Contains(r.Err.Error(), "future") {
							skip = true // a clock was ahead, which the tests of the root have
						}
						if r.Outcome != latchkey.ImportCreated {
							lost = append(lost, fmt.Sprint(r.Outcome, r.Err, errors.Unwrap(r.Err)))
						}
					},
				})
				k.Must(err)
				if skip {
					continue
				}
				have, got := rowsThatTravel(k), rowsThatTravel(other)
				if len(lost) == 0 {
					for _, line := range have {
						if !slices.Contains(got, line) {
							prefix, _, _ := strings.Cut(line, " created=")
							for _, g := range got {
								if strings.HasPrefix(g, prefix) {
									a, b := strings.Fields(line), strings.Fields(g)
									for j := range min(len(a), len(b)) {
										if a[j] != b[j] {
											lost = append(lost, fmt.Sprintf("%s: %s becomes %s", a[0], a[j], b[j]))
										}
									}
								}
							}
							if len(lost) == 0 {
								lost = append(lost, "gone: "+line)
							}
						}
					}
				}
				for _, l := range lost {
					what := l
					if strings.Contains(what, "targets=") { // ids are the same, only print once
						what = "users: targets"
					}
					if faults[what]++; faults[what] == 1 {
						t.Errorf("seed %d round %d: %s\n%d steps", seed, n, l, len(history))
						if only != nil {
							t.Log(strings.Join(history, "\n"))
						}
					}
				}
			}
		})
	}
	t.Log(rounds, faults)
}
