package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/argon2"

	"example.com/latchkey"
	"example.com/latchkey/hasher"
	"example.com/latchkey/internal/rawstore"
	"example.com/latchkey/ratelimit"
	"example.com/latchkey/store/memory"
)

const password = "correct horse battery"

func email(n int) string { return fmt.Sprintf("user%d@example.org", n) }

// signedUp returns a guest of an engine in memory that has a number of users.
func signedUp(h *hasher.Hasher, users int) (*latchkey.Guest, error) {
	engine, err := latchkey.New(memory.Open(), latchkey.Config{Keys: latchkey.Keys{Active: latchkey.GenerateKey()}, Hasher: h})
	if err != nil {
		return nil, err
	}
	guest := engine.Guest(latchkey.Client{IP: netip.MustParseAddr("192.0.2.7")})
	ctx := context.Background()
	first, err := engine.Users().Create(ctx, latchkey.NewUser{Email: email(0), Password: password})
	if err != nil {
		return nil, err
	}
	hash, err := engine.Users().PasswordHash(ctx, first.ID)
	if err != nil {
		return nil, err
	}
	for n := 1; n < users; n++ { // they share the hash, which takes long to make
		if _, err := engine.Users().CreateArgon2User(ctx, latchkey.HashedUser{Email: email(n), Hash: hash}); err != nil {
			return nil, err
		}
	}
	return guest, nil
}

// signInCases compares a sign-in with its hash alone. It also prints the peak memory of
// 64 sign-ins at once, measured in a process of its own for each number of slots.
func signInCases(string) error {
	h, err := hasher.New(hasher.Config{})
	if err != nil {
		return err
	}
	guest, err := signedUp(h, 1)
	if err != nil {
		return err
	}
	p := hasher.Default()
	salt := make([]byte, 16)
	_, _ = rand.Read(salt)
	err = compare("sign-in with a password, memory; argon2id alone", side{"engine", func(n int) error {
		for range n {
			if _, err := guest.CreateEmailPasswordSession(context.Background(), email(0), password); err != nil {
				return err
			}
		}
		return nil
	}}, side{"argon2id", func(n int) error {
		for range n {
			argon2.IDKey([]byte(password), salt, p.Time, p.Memory, p.Threads, 32)
		}
		return nil
	}})
	if err == nil {
		err = flood(guest)
	}
	if err != nil || *only != "" && !strings.Contains("peak of 64 sign-ins", *only) {
		return err
	}
	for _, n := range []int{2, 4, 8} {
		out, err := exec.Command(os.Args[0], "-peak", strconv.Itoa(n), "-rounds", strconv.Itoa(*rounds)).CombinedOutput()
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		fmt.Print(string(out))
	}
	return nil
}

// flood compares a session check during 10,000 sign-ins at once with one on an idle
// engine.
func flood(guest *latchkey.Guest) error {
	const name = "session check beside 10,000 sign-ins at once, memory; the same alone"
	if *only != "" && !strings.Contains(name, *only) {
		return nil
	}
	ctx := context.Background()
	session, err := guest.CreateEmailPasswordSession(ctx, email(0), password)
	if err != nil {
		return err
	}
	check := func(until func(n int) bool) (time.Duration, error) {
		began, n := time.Now(), 0
		for ; !until(n); n++ {
			if _, err := guest.Authenticate(ctx, session.Secret.Reveal()); err != nil {
				return 0, err
			}
		}
		return time.Since(began) / time.Duration(max(n, 1)), nil
	}
	alone, err := check(func(n int) bool { return n == 100_000 })
	if err != nil {
		return err
	}
	var group sync.WaitGroup
	for n := range 10_000 {
		group.Go(func() {
			_, _ = guest.CreateEmailPasswordSession(ctx, fmt.Sprintf("nobody%d@example.org", n), "wrong horse")
		})
	}
	done := make(chan struct{})
	go func() { group.Wait(); close(done) }()
	beside, err := check(func(int) bool {
		select {
		case <-done:
			return true
		default:
			return false
		}
	})
	if err != nil {
		return err
	}
	fmt.Printf("| %s (once) | %v | %v | %.2f | |\n", name, beside, alone, float64(beside)/float64(alone))
	return nil
}

// peak prints the peak resident memory of this process over three rounds of 64 sign-ins
// at once, or over fewer if the flag asks for fewer.
func peak(slots int) error {
	cost := int64(hasher.Default().Memory) << 10
	h, err := hasher.New(hasher.Config{Slots: slots, MemoryBudget: 2 * cost * int64(slots), Queue: 256, Wait: time.Minute})
	if err != nil {
		return err
	}
	guest, err := signedUp(h, 64)
	if err != nil {
		return err
	}
	for range min(3, *rounds) {
		var group sync.WaitGroup
		errs := make([]error, 64)
		for i := range errs {
			group.Go(func() { _, errs[i] = guest.CreateEmailPasswordSession(context.Background(), email(i), password) })
		}
		group.Wait()
		if err := errors.Join(errs...); err != nil {
			return err
		}
	}
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return err
	}
	_, line, _ := strings.Cut(string(status), "VmHWM:")
	kib, err := strconv.ParseInt(strings.Fields(line)[0], 10, 64)
	if err != nil {
		return err
	}
	limit := (2*int64(slots)+2)*cost + 40<<20
	fmt.Printf("| peak of 64 sign-ins at once, %d slots (once) | %d MB | %d MB | %.2f | |\n", slots, kib>>10, limit>>20, float64(kib<<10)/float64(limit))
	return nil
}

// limiterCase compares decisions of the limiter over a million keys.
func limiterCase(string) error {
	const keys = 1_000_000
	all := make([][16]byte, keys)
	for i := range all {
		sum := sha256.Sum256(binary.BigEndian.AppendUint64(nil, uint64(i)))
		all[i] = [16]byte(sum[:])
	}
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	ours := ratelimit.NewMemory(2 * keys)
	rule := ratelimit.Rule{Calls: 1 << 18, Window: time.Hour}
	ctx := context.Background()
	began := time.Now()
	take := func(n int) error {
		for i := range n {
			r, err := ours.Take(ctx, all[scatter(i, keys)], rule, began.Add(time.Duration(i)))
			if err != nil || !r.Allowed {
				return fmt.Errorf("refused: %+v, %w", r, err)
			}
		}
		return nil
	}
	if err := take(keys); err != nil {
		return err
	}
	each := float64(heap()-before) / keys
	raw := rawstore.NewWindows()
	plain := func(n int) error {
		for i := range n {
			if !raw.Take(all[scatter(i, keys)], 1<<18, 3_600_000, began.Add(time.Duration(i)).UnixMilli()) {
				return errors.New("refused")
			}
		}
		return nil
	}
	if err := plain(keys); err != nil {
		return err
	}
	return compare(fmt.Sprintf("limiter decision, %d keys, %.0f bytes each; one word a key in 64 locked maps", keys, each),
		side{"limiter", take}, side{"words", plain})
}
