// Package rawstore does the work of the stores directly on their libraries, with as
// little code as possible. It is the limit against which the backends are measured. It
// does not use the engine or package store.
package rawstore

import (
	"crypto/sha256"
	"fmt"
	"sync"
	"time"
)

// Session has the columns of the sessions table.
type Session struct {
	ID, UserID                          string
	Digest                              string
	Created, Updated, Expire            time.Time
	Provider, ProviderUID, Factors      string
	Challenged                          time.Time // zero for null
	Touched                             time.Time
	IP, Client                          string
	UserBlocked, UserMustReset, UserMFA bool
	UserFactors                         string
	UserPasswordEpoch                   int64
	Owing                               time.Time // zero for null
	PasswordEpoch                       int64
	Strong                              time.Time // zero for null
	Targets                             bool
	Assumed, Identity                   string
	Length                              int64     // in seconds
	Confirmed                           time.Time // zero for null
}

// Began is the creation time of the first session.
var Began = time.UnixMicro(1_770_000_000_000_000).UTC()

const client = `{"osCode":"LIN","osName":"Linux","clientType":"browser","clientCode":"FF","clientName":"Firefox","clientVersion":"140.0","clientEngine":"Gecko","deviceName":"desktop"}`

// Users returns the number of users among which the sessions are divided.
func Users(sessions int) int { return max(1, sessions/4) }

// UserID returns the id of the n-th user.
func UserID(n int) string { return fmt.Sprintf("user-0000-0000-0000-%012d", n) }

// NewSession returns the n-th session. users is the number of users among which the
// sessions are divided.
func NewSession(n, users int) *Session {
	at := Began.Add(time.Duration(n) * time.Microsecond)
	digest := Digest(Secret(n))
	return &Session{
		ID: fmt.Sprintf("session0-0000-0000-%012d", n), UserID: UserID(n % users), Digest: string(digest[:]),
		Created: at, Updated: at, Expire: at.Add(365 * 24 * time.Hour), Touched: at,
		Provider: "email", ProviderUID: "somebody@example.org", Factors: "password", IP: "192.0.2.7", Client: client,
	}
}

// Secret returns the secret of the n-th session: 64 hexadecimal digits.
func Secret(n int) string { return fmt.Sprintf("%064x", n) }

// Digest returns the same digest of a secret as the engine.
func Digest(secret string) [32]byte {
	var b [72]byte
	copy(b[copy(b[:], "sess/v1\x00"):], secret)
	return sha256.Sum256(b[:])
}

// Log has the columns of the logs table.
type Log struct {
	ID, UserKey                             string
	Created                                 time.Time
	Event, Resource, Actor, Mode, IP, Agent string
	Count                                   int64
	Reason                                  string
	Stranger                                bool
}

// NewLog returns the log row of the n-th session.
func NewLog(n, users int) *Log {
	return &Log{
		ID: fmt.Sprintf("logrow00-0000-0000-%012d", n), UserKey: UserID(n % users),
		Created: Began.Add(time.Duration(n) * time.Microsecond), Event: "session.create",
		Resource: "user/" + UserID(n%users), Actor: UserID(n % users), Mode: "user", IP: "192.0.2.7", Agent: "Mozilla/5.0",
	}
}

// Memory is a map of sessions under a lock.
type Memory struct {
	mu       sync.RWMutex
	sessions map[[32]byte]Session
}

// NewMemory returns a map of n sessions.
func NewMemory(n int) *Memory {
	m := &Memory{sessions: make(map[[32]byte]Session, n)}
	for i := range n {
		m.sessions[Digest(Secret(i))] = *NewSession(i, Users(n))
	}
	return m
}

// Get returns a copy of a session.
func (m *Memory) Get(digest [32]byte) (*Session, bool) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	s, found := m.sessions[digest]
	return &s, found
}

// Windows counts calls in fixed windows: one word a key, in 64 locked shards.
// Old keys are never removed.
type Windows struct {
	shards [64]struct {
		mu    sync.Mutex
		words map[[16]byte]int64
		_     [48]byte
	}
}

// NewWindows returns a counter.
func NewWindows() *Windows {
	w := new(Windows)
	for i := range w.shards {
		w.shards[i].words = make(map[[16]byte]int64)
	}
	return w
}

// Take counts a call at the time now, in milliseconds. It reports false if the window
// already has the allowed number of calls.
func (w *Windows) Take(key [16]byte, calls, window, now int64) bool {
	const bits = 20
	s := &w.shards[key[0]%64]
	s.mu.Lock()
	defer s.mu.Unlock()
	word := s.words[key]
	if word>>bits <= now {
		word = (now + window) << bits
	}
	if word&(1<<bits-1) >= calls {
		return false
	}
	s.words[key] = word + 1
	return true
}

// group lets writers share a commit. The writers that come while a commit runs share the
// next one.
type group struct {
	mu      sync.Mutex
	waiting []*job
	wake    chan struct{}
}

type job struct {
	n    int
	done chan error
}

func newGroup(run func(jobs []*job)) *group {
	g := &group{wake: make(chan struct{}, 1)}
	go func() {
		for range g.wake {
			g.mu.Lock()
			jobs := g.waiting
			g.waiting = nil
			g.mu.Unlock()
			if len(jobs) > 0 {
				run(jobs)
			}
		}
	}()
	return g
}

func (g *group) do(n int) error {
	j := &job{n, make(chan error, 1)}
	g.mu.Lock()
	g.waiting = append(g.waiting, j)
	g.mu.Unlock()
	select {
	case g.wake <- struct{}{}:
	default:
	}
	return <-j.done
}
