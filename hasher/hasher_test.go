package hasher

import (
	"context"
	"encoding/hex"
	"errors"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"example.com/latchkey/hasher/internal/seam"
)

func weak(t *testing.T) *Hasher {
	t.Helper()
	h, err := Weak(seam.ForTests())
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// A host cannot name the type of the argument. The zero value of it is refused.
func TestWeakHashersAreForHashertestAlone(t *testing.T) {
	var zero seam.Tests
	if h, err := Weak(zero); h != nil || err == nil {
		t.Errorf("%v, %v", h, err)
	}
	if release, err := weak(t).Hold(zero); release != nil || err == nil {
		t.Errorf("%v", err)
	}
}

func TestHashVerifiesItsPasswordOnly(t *testing.T) {
	h := weak(t)
	ctx := context.Background()
	hash, err := h.Hash(ctx, "correct horse")
	if err != nil || !strings.HasPrefix(hash, "$argon2id$v=19$m=64,t=1,p=1$") {
		t.Fatalf("%s, %v", hash, err)
	}
	for password, want := range map[string]bool{"correct horse": true, "correct horsf": false, "correct horse ": false, "": false} {
		if got, err := h.Verify(ctx, hash, password); got != want || err != nil {
			t.Errorf("%q: %v, %v", password, got, err)
		}
	}
	if other, _ := h.Hash(ctx, "correct horse"); other == hash {
		t.Error("two hashes with one salt")
	}
	if ok, err := h.Verify(ctx, "", "correct horse"); ok || err != nil {
		t.Errorf("no hash: %v, %v", ok, err)
	}
}

// The vector of RFC 9106 uses secret and data, for which PHC text has no fields.
// This one was made with the reference command line tool of the Argon2 project:
// argon2 somesalt -id -t 2 -k 65536 -p 1 -l 32, password "password".
func TestPublishedVector(t *testing.T) {
	h := weak(t)
	const hash = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"
	if ok, err := h.Verify(context.Background(), hash, "password"); !ok || err != nil {
		p, _ := parse(hash)
		t.Errorf("%v, %v (tag %s)", ok, err, hex.EncodeToString(p.Tag))
	}
}

func TestParametersBelowTheMinimumAreRefused(t *testing.T) {
	for _, p := range []Params{{19_455, 2, 1}, {47_103, 1, 1}, {7_167, 5, 1}, {19_456, 2, 0}, {262_145, 2, 1}, {19_456, 11, 1}, {19_456, 2, 17}} {
		if _, err := New(Config{Params: p}); err == nil {
			t.Errorf("%+v is taken", p)
		}
	}
	for _, p := range []Params{Default(), Strict(), {47_104, 1, 1}, {7_168, 5, 1}} {
		if _, err := New(Config{Params: p}); err != nil {
			t.Errorf("%+v: %v", p, err)
		}
	}
	if _, err := New(Config{MemoryBudget: 1 << 20}); err == nil {
		t.Error("a budget below one hash is taken")
	}
}

// AC-012: stored parameters are refused before anything is allocated.
func TestAC012StoredParametersOutOfBounds(t *testing.T) {
	h := weak(t)
	const rest = "$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"
	for _, hash := range []string{
		"$argon2id$v=19$m=4194304,t=1,p=1" + rest,
		"$argon2id$v=19$m=4294967296,t=1,p=1" + rest,
		"$argon2id$v=19$m=65536,t=2147483648,p=1" + rest,
		"$argon2id$v=19$m=65536,t=11,p=1" + rest,
		"$argon2id$v=19$m=65536,t=2,p=4294967295" + rest,
		"$argon2id$v=19$m=65536,t=2,p=257" + rest,
		"$argon2id$v=19$m=65536,t=2,p=0" + rest,
		"$argon2id$v=19$m=65536,t=0,p=1" + rest,
		"$argon2id$v=19$m=262144,t=5,p=1" + rest,
		"$argon2id$v=19$m=7,t=1,p=1" + rest,
		"$argon2id$v=19$m=+64,t=1,p=1" + rest,
		"$argon2id$v=19$m=064,t=1,p=1" + rest,
		"$argon2id$v=19$m=64,t=1" + rest,
		"$argon2id$v=19$t=1,m=64,p=1" + rest,
		"$argon2id$v=16$m=64,t=1,p=1" + rest,
		"$argon2i$v=19$m=64,t=1,p=1" + rest,
		"$argon2id$v=19$m=64,t=1,p=1$c29t$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
		"$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHQ$CTFhFdXP",
		"$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHQ=$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
		"$argon2id$v=19$m=64,t=1,p=1" + rest + "\n",
		"$argon2id$v=19$m=64,t=1,p=1" + rest + "$",
		"x$argon2id$v=19$m=64,t=1,p=1" + rest,
		"$argon2id$v=19$m=524288,t=1,p=1" + rest,
		"$argon2id$v=19$m=64,t=1,p=1,x=1" + rest,
		"$argon2id$v=19$m=64,t=1,p=1$" + strings.Repeat("A", 87) + "$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
		"$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHQ$" + strings.Repeat("A", 87),
		"$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHR$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
		"plain", "$", "$$$$$", strings.Repeat("$", 2000), "$argon2id$v=19$m=64,t=1,p=1$" + strings.Repeat("A", 1<<20) + "$AAAA",
	} {
		if _, err := h.Verify(context.Background(), hash, "password"); !errors.Is(err, ErrFormat) {
			t.Errorf("%.60s: %v", hash, err)
		}
		if err := Check(hash); !errors.Is(err, ErrFormat) {
			t.Errorf("%.60s is taken: %v", hash, err)
		}
	}
	long := "$argon2id$v=19$m=64,t=1,p=1$" + strings.Repeat("AAAA", 1<<18) + "$AAAA"
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	err := Check(long)
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; !errors.Is(err, ErrFormat) || n > 64<<10 {
		t.Errorf("a long text costs %d bytes: %v", n, err)
	}
	ran := false
	for _, memory := range []int64{-1, 256<<20 + 1} {
		if err := h.For("").Run(context.Background(), memory, func() { ran = true }); !errors.Is(err, ErrFormat) || ran {
			t.Errorf("another hash of %d bytes: %v", memory, err)
		}
	}
	if err := h.For("").Run(context.Background(), 256<<20, func() { ran = true }); err != nil || !ran {
		t.Errorf("another hash of 256 MiB: %v", err)
	}
}

func TestOutdatedMeansOtherParameters(t *testing.T) {
	h := weak(t)
	hash, _ := h.Hash(context.Background(), "correct horse")
	strong, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	if h.Outdated(hash) || !strong.Outdated(hash) || !h.Outdated("plain") {
		t.Error("parameters are misjudged")
	}
}

func TestGateBoundsWhatRunsAtOnce(t *testing.T) {
	const cost = 100
	g := &gate{budget: 3 * 2 * cost, slots: 2, queue: 1000, wait: time.Minute}
	var running, most atomic.Int64
	var group sync.WaitGroup
	for n := range 200 {
		group.Go(func() {
			c := int64(cost)
			if n%10 == 0 {
				c = 10 * cost // over the budget: alone
			}
			if err := g.enter(context.Background(), strconv.Itoa(n%3), c); err != nil {
				t.Errorf("enter: %v", err)
				return
			}
			if r := running.Add(1); r > most.Load() {
				most.Store(r)
			}
			running.Add(-1)
			g.leave(c)
		})
	}
	group.Wait()
	if most.Load() > 2 || g.running != 0 || g.used != 0 || len(g.waiting) != 0 {
		t.Errorf("%d at once; left over: %+v", most.Load(), g)
	}
}

func TestGateAnswersBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &gate{budget: 100, slots: 1, queue: 2, wait: 2 * time.Second}
		background := context.Background()
		if err := g.enter(background, "", 10); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		answers := make(chan error, 3)
		go func() { answers <- g.enter(background, "a", 10) }()
		ctx, cancel := context.WithTimeout(background, time.Second)
		defer cancel()
		go func() { answers <- g.enter(ctx, "b", 10) }()
		synctest.Wait()
		if err := g.enter(background, "c", 10); !errors.Is(err, ErrBusy) {
			t.Errorf("a third waiter: %v", err)
		}
		if err := <-answers; !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != time.Second {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
		if err := <-answers; !errors.Is(err, ErrBusy) || time.Since(began) != 2*time.Second {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
		go func() { answers <- g.enter(background, "", 10) }()
		synctest.Wait()
		g.leave(10)
		if err := <-answers; err != nil {
			t.Errorf("the next in line: %v", err)
		}
		g.leave(10)
		if g.running != 0 || g.used != 0 || len(g.waiting) != 0 {
			t.Errorf("left over: %+v", g)
		}
	})
}

// A11: a group that floods the gate takes half of the places. A hash of another group comes
// after at most one of them, however many wait, and several groups take turns.
func TestA11GroupsTakeTurnsAtTheGate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &gate{budget: 1 << 20, slots: 1, queue: 20, wait: time.Minute}
		background := context.Background()
		if err := g.enter(background, "flood", 10); err != nil {
			t.Fatal(err)
		}
		var order []string
		wait := func(name, group string) {
			go func() {
				if err := g.enter(background, group, 10); err != nil {
					t.Errorf("%s: %v", name, err)
				}
				order = append(order, name)
				g.leave(10)
			}()
			synctest.Wait()
		}
		for n := range 10 {
			wait("f"+strconv.Itoa(n), "flood")
		}
		if err := g.enter(background, "flood", 10); !errors.Is(err, ErrBusy) {
			t.Errorf("the eleventh of one group in twenty places: %v", err)
		}
		wait("a0", "a")
		wait("a1", "a")
		wait("b0", "b")
		wait("unknown", "")
		wait("a2", "a")
		g.leave(10)
		synctest.Wait()
		if want := strings.Fields("f0 a0 b0 unknown f1 a1 f2 a2 f3 f4 f5 f6 f7 f8 f9"); !slices.Equal(order, want) {
			t.Errorf("%v, want %v", order, want)
		}
		if g.running != 0 || len(g.waiting) != 0 {
			t.Errorf("left over: %+v", g)
		}
	})
}

// A11: a group that joins the queue again and again is not ahead of one that comes later,
// and a group that gives up leaves its places.
func TestA11AFloodThatComesBackDoesNotKeepItsPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &gate{budget: 1 << 20, slots: 1, queue: 8, wait: time.Minute}
		background, cancel := context.WithCancel(context.Background())
		defer cancel()
		if err := g.enter(background, "flood", 10); err != nil {
			t.Fatal(err)
		}
		flooded := 0
		flood := func(ctx context.Context) {
			for g.enter(ctx, "flood", 10) == nil {
				flooded++
				g.leave(10)
			}
		}
		for range 4 {
			go flood(background)
		}
		synctest.Wait()
		before := -1
		go func() {
			if err := g.enter(background, "owner", 10); err != nil {
				t.Errorf("%v", err)
			}
			before = flooded
			cancel()
			g.leave(10)
		}()
		synctest.Wait()
		g.leave(10)
		synctest.Wait()
		if before < 0 || before > 1 {
			t.Errorf("the owner came after %d of the flood", before)
		}
		if g.running != 0 || len(g.waiting) != 0 {
			t.Errorf("left over: %+v", g)
		}
		go func() {
			if err := g.enter(context.Background(), "flood", 10); err != nil {
				t.Errorf("a group whose places are free again: %v", err)
			}
			g.leave(10)
		}()
		synctest.Wait()
	})
}

// A11: groups that come one after another do not keep a waiting one out: what waits gets
// older by each turn.
func TestA11NewGroupsDoNotOvertakeForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &gate{budget: 1 << 20, slots: 1, queue: 20, wait: time.Minute}
		var order []string
		next := make(chan bool)
		wait := func(name, group string) {
			go func() {
				if err := g.enter(context.Background(), group, 10); err != nil {
					t.Errorf("%s: %v", name, err)
				}
				order = append(order, name)
				<-next
				g.leave(10)
			}()
			synctest.Wait()
		}
		for n := range 5 {
			wait("office"+strconv.Itoa(n), "office")
		}
		for n := range 12 {
			wait("new"+strconv.Itoa(n), "new"+strconv.Itoa(n))
			next <- true
			synctest.Wait()
		}
		if !slices.Contains(order, "office4") {
			t.Errorf("the last of five still waits: %v", order)
		}
		close(next)
	})
}

// The groups cost nothing where no hash waits.
func TestA11GroupsCostNothingWithoutAQueue(t *testing.T) {
	g := &gate{budget: 1 << 20, slots: 2, queue: 8, wait: time.Minute}
	ctx := context.Background()
	if n := testing.AllocsPerRun(100, func() {
		if err := g.enter(ctx, "a", 10); err != nil {
			t.Fatal(err)
		}
		g.leave(10)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzParse(f *testing.F) {
	f.Add("$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc")
	f.Add("$argon2id$v=19$m=4294967295,t=1,p=1$$")
	f.Fuzz(func(t *testing.T, text string) {
		p, err := parse(text)
		if err == nil && (!paramsOf(p).bounded() || p.String() != text) {
			t.Errorf("%q parses as %q", text, p)
		}
	})
}
