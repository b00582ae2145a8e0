package operations_test

import (
	"context"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"example.com/latchkey"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/internal/operations"
)

// observer keeps the observations that it gets.
type observer struct {
	mu    sync.Mutex
	begun []string
	seen  []latchkey.Observation
	lost  int // observations of operations without the context of their beginning
}

type begun struct{}

// BeginsChecks makes Begin hear of the checks of sessions.
func (*observer) BeginsChecks() bool { return true }

func (o *observer) Begin(ctx context.Context, operation string) context.Context {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.begun = append(o.begun, operation)
	return context.WithValue(ctx, begun{}, operation)
}

func (o *observer) Observe(ctx context.Context, seen latchkey.Observation) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.seen = append(o.seen, seen)
	if seen.What == latchkey.ObservedOperation && ctx.Value(begun{}) != seen.Name {
		o.lost++
	}
}

// take returns the names of the operations that have begun, and the observations, and forgets
// them.
func (o *observer) take() (begun []string, seen []latchkey.Observation, lost int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	begun, seen, lost = o.begun, o.seen, o.lost
	o.begun, o.seen, o.lost = nil, nil, 0
	return begun, seen, lost
}

// unseen are the methods that neither read nor write the store, and one that runs at an engine of
// its own.
var unseen = []string{
	"Account.Format", "Account.ImpersonatorID", "Account.SessionID", "Account.Teams", "Account.UserID", "Engine.Close", "Engine.CloseContext",
	"Engine.Deliveries", "Engine.Format", "Engine.Guest", "Engine.KeySet", "Engine.Teams", "Engine.Users", "Guest.Roles", "Teams.At", "Users.At",
	"Users.GetMFAChallenge", "Users.Guest",
}

// An operation begins and ends once for the observer, with its outcome as the last thing. No
// name and no outcome holds anything of a person.
func TestTheObserverHearsOfEveryOperation(t *testing.T) {
	word := regexp.MustCompile(`^[A-Za-z0-9_ -]{0,40}$`)
	operations.OnEvery(t, func(k *kit.Kit, op operations.Operation) {
		w := operations.NewWorld(k, true, op)
		o := new(observer)
		k.Engine = k.Configured(func(c *latchkey.Config) { c.Observer = o })
		k.Visitor = k.Guest(kit.Client)
		var err error
		if w.Account, err = k.Visitor.Authenticate(k.Ctx, w.Secret.Reveal()); err != nil {
			k.Fatal(err)
		}
		o.take()
		k.Must(op.Do(w))
		k.Must(k.Close()) // the messages are on their way
		names, seen, lost := o.take()
		if (len(names) == 0) != slices.Contains(unseen, op.Name) || lost > 0 {
			k.Fatalf("begun: %v; %d without the context of the beginning", names, lost)
		}
		var ended []string
		for _, s := range seen {
			if s.What == latchkey.ObservedOperation {
				ended = append(ended, s.Name)
				timed := s.Took > 0 || strings.HasPrefix(s.Name, "authenticate") // one in some is
				if s.Outcome != "" && op.Name != "Account.CreateAccount" || !timed || s.Count != 1 {
					k.Errorf("%+v", s)
				}
			}
			if !word.MatchString(s.Name) || !word.MatchString(s.Outcome) || strings.Contains(s.Name, w.User.ID) {
				k.Errorf("%+v", s)
			}
		}
		slices.Sort(names)
		slices.Sort(ended)
		if !slices.Equal(names, ended) {
			k.Errorf("begun: %v; ended: %v", names, ended)
		}
		k.Engine = k.WithKeys(k.Keys)
		k.Visitor = k.Guest(kit.Client)
		k.DeleteAll()
	})
}
