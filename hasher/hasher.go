// Package hasher hashes passwords with argon2id and bounds the memory and the
// processor time that hashing may take.
//
// A hash is kept in PHC form, with its parameters. Verifying accepts stored
// parameters only inside hard bounds, checked before anything is allocated:
//
//   - memory up to 256 MiB
//   - 1 to 10 passes, and memory times passes up to 1 GiB
//   - 1 to 16 lanes
//   - a salt of 8 to 64 bytes
//   - a tag of 16 to 64 bytes
//   - a text of at most 1 KiB
//
// At most min(memory budget / (2 x memory of a hash), number of CPUs less one) hashes
// run at once. A hash counts twice its memory, because freed memory waits for the
// garbage collector. Other callers wait in a bounded queue for a bounded time. After that
// they get [ErrBusy].
//
// Callers may form groups ([Hasher.For]), for example by their networks. The waiting
// groups take turns, and a group has at most half of the places in the queue, so one group
// cannot keep the others waiting.
package hasher

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/argon2"
	"golang.org/x/text/unicode/norm"

	"example.com/latchkey/hasher/internal/phc"
	"example.com/latchkey/hasher/internal/seam"
)

// The errors of a hasher, besides that of the context.
var (
	// ErrBusy says that the queue was full or that the wait took too long. It
	// says nothing about the password.
	ErrBusy = errors.New("hasher: busy")
	// ErrFormat says that a stored hash cannot be verified: it is malformed or
	// of an unknown scheme, or its parameters are out of bounds.
	ErrFormat = errors.New("hasher: not a hash within bounds")
)

const (
	saltSize = 16
	tagSize  = 32
)

// Params are the cost parameters of argon2id.
type Params struct {
	Memory  uint32 // KiB
	Time    uint32 // passes over the memory
	Threads uint8  // lanes
}

// Default returns the parameters of the zero [Config]: 19,456 KiB, 2 passes,
// 1 lane.
func Default() Params { return Params{Memory: 19_456, Time: 2, Threads: 1} }

// Strict returns parameters of a higher cost: 65,536 KiB, 3 passes, 4 lanes.
func Strict() Params { return Params{Memory: 65_536, Time: 3, Threads: 4} }

// enough reports whether p costs at least as much as one of the settings of the
// OWASP Password Storage sheet.
func (p Params) enough() bool {
	for _, line := range []Params{{47_104, 1, 1}, {19_456, 2, 1}, {12_288, 3, 1}, {9_216, 4, 1}, {7_168, 5, 1}} {
		if p.Memory >= line.Memory && p.Time >= line.Time && p.Threads >= 1 {
			return true
		}
	}
	return false
}

// Config configures a [Hasher]. Zero fields mean the defaults.
type Config struct {
	// Params of new hashes. The default is [Default]. Parameters below the minimum
	// of the OWASP Password Storage sheet are refused.
	Params Params
	// MemoryBudget is the memory that all running hashes together may take, in
	// bytes. Each hash counts twice its memory. The default is 512 MiB.
	MemoryBudget int64
	// Slots is the number of hashes that may run at once, if they have the memory.
	// The default is the number of CPUs less one, and at least one: a flood of hashes
	// leaves a CPU to the rest of the program.
	Slots int
	// Queue is the number of callers that may wait, half of them in one group. Further
	// callers get ErrBusy at once. The default is 64.
	Queue int
	// Wait is the longest time that a caller may wait. The default is 2 seconds.
	Wait time.Duration
}

// Hasher makes and verifies hashes. It is safe for concurrent use.
type Hasher struct {
	params Params
	gate   *gate
	hashes atomic.Int64
}

// New returns a hasher, or an error if the configuration is unsafe or does not
// let one hash run.
func New(c Config) (*Hasher, error) {
	if c.Params == (Params{}) {
		c.Params = Default()
	}
	if !c.Params.enough() || !c.Params.bounded() {
		return nil, fmt.Errorf("hasher: parameters %+v are below the minimum or out of bounds", c.Params)
	}
	return build(c)
}

// errSeam is the error of Weak and Hold for callers other than package
// hashertest.
var errSeam = errors.New("hasher: only for package hashertest")

// Weak returns a hasher for tests. It is for package hashertest: other packages
// cannot make its argument.
func Weak(t seam.Tests) (*Hasher, error) {
	if !t.OK() {
		return nil, errSeam
	}
	return build(Config{Params: Params{Memory: 64, Time: 1, Threads: 1}, Queue: 1 << 20, Wait: time.Minute})
}

// Hold takes every slot until release is called. It is for package hashertest:
// other packages cannot make its argument.
func (h *Hasher) Hold(t seam.Tests) (release func(), err error) {
	if !t.OK() {
		return nil, errSeam
	}
	for range h.gate.slots {
		if err := h.gate.enter(context.Background(), "", 0); err != nil {
			return nil, err
		}
	}
	return sync.OnceFunc(func() {
		for range h.gate.slots {
			h.gate.leave(0)
		}
	}), nil
}

func build(c Config) (*Hasher, error) {
	if c.MemoryBudget == 0 {
		c.MemoryBudget = 512 << 20
	}
	if c.Slots == 0 {
		c.Slots = max(1, runtime.NumCPU()-1)
	}
	if c.Queue == 0 {
		c.Queue = 64
	}
	if c.Wait == 0 {
		c.Wait = 2 * time.Second
	}
	if c.MemoryBudget < 2*c.Params.cost() || c.Slots < 0 || c.Queue < 0 || c.Wait < 0 {
		return nil, errors.New("hasher: the budget does not let one hash run, or a limit is negative")
	}
	return &Hasher{
		params: c.Params,
		gate:   &gate{budget: c.MemoryBudget, slots: c.Slots, queue: c.Queue, wait: c.Wait},
	}, nil
}

// Params returns the parameters of new hashes.
func (h *Hasher) Params() Params { return h.params }

// Hashes returns the number of hashes computed so far, by Hash and by Verify.
func (h *Hasher) Hashes() int64 { return h.hashes.Load() }

// Group is a hasher in the hands of a group of callers. It is safe for concurrent use.
type Group struct {
	hasher *Hasher
	name   string
	timed  func(Timing) // nil without one
}

// Timing is how long one hash waited in the queue, and how long it took then. Err is the error
// with which it did not run.
type Timing struct {
	Waited, Took time.Duration
	Err          error
}

// Timed returns the group with a function that gets the timing of each of its hashes, on the
// caller's goroutine.
func (g Group) Timed(fn func(Timing)) Group {
	g.timed = fn
	return g
}

// For returns the hasher for a group of callers. The methods of Hasher are those of the
// group "".
func (h *Hasher) For(group string) Group { return Group{hasher: h, name: group} }

// Hash is [Hasher.Hash], for the group.
func (g Group) Hash(ctx context.Context, password string) (string, error) {
	salt := make([]byte, saltSize)
	_, _ = rand.Read(salt) // never returns an error: without randomness it ends the program
	p := g.hasher.params.of(salt)
	tag, err := g.derive(ctx, p, password, tagSize)
	if err != nil {
		return "", err
	}
	p.Tag = tag
	return p.String(), nil
}

// Verify is [Hasher.Verify], for the group.
func (g Group) Verify(ctx context.Context, hash, password string) (bool, error) {
	if hash == "" {
		_, err := g.derive(ctx, g.hasher.params.of(make([]byte, saltSize)), password, tagSize)
		return false, err
	}
	p, err := parse(hash)
	if err != nil {
		return false, err
	}
	tag, err := g.derive(ctx, p, password, len(p.Tag))
	if err != nil {
		return false, err
	}
	return subtle.ConstantTimeCompare(tag, p.Tag) == 1, nil
}

// Hash returns the hash of a password with a new salt. The password is brought
// to Unicode normal form C first, and is not changed otherwise. The caller must
// have checked its length.
func (h *Hasher) Hash(ctx context.Context, password string) (string, error) {
	return h.For("").Hash(ctx, password)
}

// Verify reports whether a hash of [Hasher.Hash] is that of password. An empty
// hash costs as much time as a new hash, and is the hash of no password: callers
// pass it when there is no password to compare with.
func (h *Hasher) Verify(ctx context.Context, hash, password string) (bool, error) {
	return h.For("").Verify(ctx, hash, password)
}

// Own reports whether a text has the form of a hash of this package, which begins with
// $argon2id$. It does not look at the rest.
func Own(hash string) bool { return strings.HasPrefix(hash, "$"+phc.ID+"$") }

// Check refuses a text that is not a hash of this package within the bounds.
//
// Errors:
//   - [ErrFormat]
func Check(hash string) error {
	_, err := parse(hash)
	return err
}

// Outdated reports whether the parameters of a hash differ from those of new
// hashes.
func (h *Hasher) Outdated(hash string) bool {
	p, err := parse(hash)
	return err != nil || paramsOf(p) != h.params || len(p.Tag) != tagSize || len(p.Salt) != saltSize
}

// Run runs a hash of another kind, for example of package foreign, when there is a place for
// it: it counts twice its memory, in bytes, and takes one slot. memory is at most 256 MiB.
//
// Errors:
//   - [ErrBusy]
//   - [ErrFormat]: the hash needs more memory
func (g Group) Run(ctx context.Context, memory int64, hash func()) error {
	if memory < 0 || memory > maxMemory {
		return ErrFormat
	}
	began := time.Now()
	err := g.hasher.gate.enter(ctx, g.name, memory)
	entered := time.Now()
	if g.timed != nil {
		defer func() { g.timed(Timing{Waited: entered.Sub(began), Took: time.Since(entered), Err: err}) }()
	}
	if err != nil {
		return err
	}
	defer g.hasher.gate.leave(memory)
	g.hasher.hashes.Add(1)
	hash()
	return nil
}

func (g Group) derive(ctx context.Context, p phc.Hash, password string, size int) (tag []byte, err error) {
	err = g.Run(ctx, paramsOf(p).cost(), func() {
		tag = argon2.IDKey(norm.NFC.Bytes([]byte(password)), p.Salt, p.Time, p.Memory, p.Threads, uint32(size))
	})
	return tag, err
}

// maxMemory is the largest memory of one hash, in bytes.
const maxMemory = 256 << 20

// parse reads a hash of this package.
func parse(text string) (phc.Hash, error) {
	p, ok := phc.Parse(text)
	if !ok || p.Variant != phc.ID {
		return phc.Hash{}, ErrFormat
	}
	return p, nil
}

// of returns a hash with these parameters and a salt, without a tag.
func (p Params) of(salt []byte) phc.Hash {
	return phc.Hash{Variant: phc.ID, Memory: p.Memory, Time: p.Time, Threads: p.Threads, Salt: salt}
}

func paramsOf(p phc.Hash) Params { return Params{Memory: p.Memory, Time: p.Time, Threads: p.Threads} }

func (p Params) bounded() bool { return phc.Bounded(p.Memory, p.Time, p.Threads) }

// cost is the memory of one hash in bytes.
func (p Params) cost() int64 { return int64(p.Memory) << 10 }
