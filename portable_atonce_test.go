package latchkey_test

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"example.com/latchkey"
	"example.com/latchkey/hidden"
	"example.com/latchkey/internal/kit"
)

// Two runs of one import at once make each record once, and none of them breaks off.
func TestTwoImportsAtOnce(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		all := somePeople(1_500)
		for n := range all {
			u := all[n].User
			u.Phone = fmt.Sprintf("+1415556%04d", n)
			u.Identities = []latchkey.PortableIdentity{{ID: fmt.Sprint("i", n), Provider: "acme", Issuer: "https://acme.example", Subject: fmt.Sprint(n), Email: fmt.Sprintf("proven%d@example.org", n), EmailVerified: true}}
		}
		all = append(all, latchkey.Portable{Team: &latchkey.PortableTeam{ID: "club", Name: "Club"}})
		for n := range 300 {
			all = append(all, latchkey.Portable{Membership: &latchkey.PortableMembership{ID: fmt.Sprint("m", n), TeamID: "club", UserID: fmt.Sprintf("user-%05d", n), Roles: []string{"owner"}}})
		}
		var wg sync.WaitGroup
		var created, refused atomic.Int64
		for range 2 {
			wg.Go(func() {
				done, err := k.Import(k.Ctx, the(all...), trusted)
				if err != nil {
					k.Errorf("%v", err)
				}
				created.Add(int64(done.Created))
				refused.Add(int64(done.Refused))
			})
		}
		wg.Wait()
		k.Same("created and refused", []int64{created.Load(), refused.Load()}, []int64{1_801, 0})
	})
}

// The n-th fault of an import in batches and of an export leaves no half of a record, and no count
// of what is not there.
func TestFaultsLeaveCountsRight(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		all := somePeople(1_050)
		for n := 1; n < 60; n += 9 {
			k.DeleteAll()
			reached := k.Failing(n, false)
			told := 0
			done, err := k.Import(k.Ctx, the(all...), latchkey.ImportOptions{OnResult: func(latchkey.ImportResult) { told++ }})
			hit := reached()
			if users := k.Rows()["users"]; done.Created != users || told != users || hit && err == nil && !strings.HasSuffix(k.Name(), "twice") {
				k.Fatalf("call %d: %d users, %+v, %d told, %v", n, users, done, told, err)
			}
			if !hit {
				break
			}
		}
		for n := 1; n < 60; n++ {
			reached := k.Failing(n, n%2 == 0)
			users := 0
			err := k.Export(k.Ctx, latchkey.ExportOptions{Secrets: true}, func(latchkey.Portable) error { users++; return nil })
			if !reached() {
				k.Must(err)
				break
			}
			if err == nil && users != 1_050 {
				k.Fatalf("call %d: %d users and no error", n, users)
			}
		}
	})
}

// A panic of OnResult, of the iterator and of an export's function reaches the caller, and the
// engine goes on.
func TestPanicsReachTheCaller(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		var end func()
		panics := func(what string, do func()) {
			k.Helper()
			for _, goexit := range []bool{false, true} {
				var got any
				end = func() {
					if goexit {
						runtime.Goexit()
					}
					panic("boom")
				}
				aside(func() {
					defer func() { got = recover() }()
					do()
				})
				if !goexit && got != "boom" {
					k.Errorf("%s: %v", what, got)
				}
				k.Must(kit.Err(k.Users().Create(k.Ctx, latchkey.NewUser{Name: what})))
			}
		}
		panics("OnResult", func() {
			_, _ = k.Import(k.Ctx, the(somePeople(1_100)...), latchkey.ImportOptions{OnResult: func(latchkey.ImportResult) { end() }})
		})
		panics("the iterator", func() {
			_, _ = k.Import(k.Ctx, func(yield func(latchkey.Portable, error) bool) {
				for _, p := range somePeople(700) {
					yield(p, nil)
				}
				end()
			}, latchkey.ImportOptions{})
		})
		panics("the function", func() {
			_ = k.Export(k.Ctx, latchkey.ExportOptions{}, func(latchkey.Portable) error { end(); return nil })
		})
	})
}

// The memory of an import is bounded, whatever a file brings: 600 users of 320 KB each.
func TestTheMemoryOfAnImportIsBounded(t *testing.T) {
	s := kit.Open(t, "bbolt")
	k := kit.New(t, s, latchkey.Policy{KeepProviderTokens: true})
	k.Tampered = true // it has more rows than the rules look at
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before, peak := heap(), uint64(0) // other tests have left something
	measure := func() {
		if now := heap(); now > before {
			peak = max(peak, now-before)
		}
	}
	feed := func(yield func(latchkey.Portable, error) bool) {
		for n := range 600 {
			p := latchkey.PortableUser{ID: fmt.Sprint("u", n)}
			for i := range 20 {
				p.Identities = append(p.Identities, latchkey.PortableIdentity{
					Provider: "acme", Issuer: "https://acme.example", Subject: fmt.Sprintf("%d-%d", n, i),
					Access: hidden.New(strings.Repeat("a", 8_000)), Refresh: hidden.New(strings.Repeat("b", 8_000)),
				})
			}
			if !yield(person(p), nil) {
				return
			}
			if n%30 == 29 {
				measure()
			}
		}
	}
	done, err := k.Import(k.Ctx, feed, latchkey.ImportOptions{})
	imported := peak
	peak = 0
	n := 0
	exportErr := k.Export(k.Ctx, latchkey.ExportOptions{Secrets: true}, func(latchkey.Portable) error {
		if n++; n%30 == 0 {
			measure()
		}
		return nil
	})
	if err := errors.Join(err, exportErr); err != nil || done.Created != 600 || n != 600 {
		t.Fatal(err, done, n)
	}
	if imported>>20 > 64 || peak>>20 > 64 {
		t.Errorf("the heap has %d MiB more in the import and %d MiB more in the export", imported>>20, peak>>20)
	}
}
