package operations_test

import (
	"context"
	"errors"
	"os"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/internal/operations"
	"example.com/latchkey/ratelimit"
)

// away is a limiter that is away while fails says so. It is shared, as far as the engine knows.
type away struct {
	memory *ratelimit.Memory
	fails  *atomic.Bool
}

var errAway = errors.New("no connection to the limiter")

func newAway() away { return away{ratelimit.NewMemory(0), new(atomic.Bool)} }

func (a away) err() error {
	if a.fails.Load() {
		return errAway
	}
	return nil
}

func (a away) Take(ctx context.Context, key ratelimit.Key, rule ratelimit.Rule, now time.Time) (ratelimit.Result, error) {
	if err := a.err(); err != nil {
		return ratelimit.Result{}, err
	}
	return a.memory.Take(ctx, key, rule, now)
}

func (a away) Peek(ctx context.Context, key ratelimit.Key, rule ratelimit.Rule, now time.Time) (ratelimit.Result, error) {
	if err := a.err(); err != nil {
		return ratelimit.Result{}, err
	}
	return a.memory.Peek(ctx, key, rule, now)
}

func (a away) Return(ctx context.Context, key ratelimit.Key, taken ratelimit.Result) error {
	return errors.Join(a.err(), a.memory.Return(ctx, key, taken))
}

func (a away) Forget(ctx context.Context, key ratelimit.Key) error {
	return errors.Join(a.err(), a.memory.Forget(ctx, key))
}

// use gives a kit an engine with the limiter.
func (a away) use(k *kit.Kit) {
	k.Engine = k.Configured(func(c *latchkey.Config) { c.Limiter, c.LimiterPerProcess = a, false })
	k.Visitor = k.Guest(kit.Client)
}

// documented returns the methods that answer with ErrBusy while the limiter is away, as the
// page lists them: true for those that do so to a wrong secret alone.
func documented(t *testing.T) map[string]bool {
	t.Helper()
	text, err := os.ReadFile("../../docs/limits.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "\n## While the limiter is away\n")
	methods := make(map[string]bool)
	for _, row := range regexp.MustCompile("(?m)^\\| `([\\w.]+)` \\| `ErrBusy`( to a wrong link)? \\|$").FindAllStringSubmatch(section, -1) {
		methods[row[1]] = row[2] != ""
	}
	if len(methods) < 20 || len(methods) != strings.Count(section, "| `ErrBusy`") {
		t.Fatalf("the page has %d methods", len(methods))
	}
	return methods
}

// While the limiter is away, each operation does as the page says. When it is back, the
// operation succeeds: the tries of before were not counted.
func TestEveryOperationWhileTheLimiterIsAway(t *testing.T) {
	busy := documented(t)
	operations.OnEvery(t, func(k *kit.Kit, op operations.Operation) {
		method, _, _ := strings.Cut(op.Name, " ")
		wrongOnly, listed := busy[method]
		limiter := newAway()
		limiter.use(k)
		refused := listed && !wrongOnly
		w := operations.NewWorld(k, true, op)
		limiter.fails.Store(true)
		switch err := op.Do(w); {
		case refused && err != latchkey.ErrBusy:
			k.Errorf("%v, want %v", err, latchkey.ErrBusy)
		case !refused && err != nil:
			k.Errorf("%v", err)
		}
		limiter.fails.Store(false)
		if refused {
			if err := op.Do(w); err != nil {
				k.Errorf("when the limiter is back: %v", err)
			}
		}
		if !wrongOnly {
			return
		}
		k.DeleteAll()
		w = operations.NewWorld(k, true) // without the link
		limiter.fails.Store(true)
		if err := op.Do(w); err != latchkey.ErrBusy {
			k.Errorf("a wrong link: %v, want %v", err, latchkey.ErrBusy)
		}
	})
}

// The same for a session that owes a factor, which the table does not have.
func TestASessionThatOwesAFactorWhileTheLimiterIsAway(t *testing.T) {
	busy := documented(t)
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		limiter := newAway()
		limiter.use(k)
		w := operations.NewWorld(k, true, operations.Operation{Factors: "fresh"})
		k.Must(kit.Err(k.Users().UpdateEmailVerification(k.Ctx, w.User.ID, true))) // a second factor
		k.Must(kit.Err(k.Users().UpdateMFA(k.Ctx, w.User.ID, true)))
		session, err := k.Visitor.CreateEmailPasswordSession(k.Ctx, kit.Ada, kit.Password)
		k.Must(err)
		var owes *latchkey.MoreFactorsError
		if err := kit.Err(k.Visitor.Authenticate(k.Ctx, session.Secret.Reveal())); !errors.As(err, &owes) {
			k.Fatal(err)
		}
		limiter.fails.Store(true)
		_, code := w.Challenge()
		challenge, err := owes.Pending.CreateMFAChallenge(k.Ctx, latchkey.FactorRecoveryCode)
		k.Must(err)
		answer := func() error { return kit.Err(owes.Pending.ConfirmMFAChallenge(k.Ctx, challenge.ID, code)) }
		_, listed := busy["Pending.ConfirmMFAChallenge"]
		if err := answer(); err != latchkey.ErrBusy || !listed {
			k.Errorf("ConfirmMFAChallenge: %v, and in the page: %v", err, listed)
		}
		limiter.fails.Store(false)
		k.Must(answer())
	})
}

// The same for a session that owes the proof of the address.
func TestASessionThatOwesItsAddressWhileTheLimiterIsAway(t *testing.T) {
	busy := documented(t)
	kit.OnEveryStore(t, latchkey.Policy{RequireVerifiedEmail: true}, func(k *kit.Kit) {
		limiter := newAway()
		limiter.use(k)
		k.SignUp(kit.Ada)
		session, err := k.Visitor.CreateEmailPasswordSession(k.Ctx, kit.Ada, kit.Password)
		k.Must(err)
		var owes *latchkey.UnverifiedEmailError
		if err := kit.Err(k.Visitor.Authenticate(k.Ctx, session.Secret.Reveal())); !errors.As(err, &owes) {
			k.Fatal(err)
		}
		account := owes.Unverified
		limiter.fails.Store(true)
		k.Must(kit.Err(account.Email(k.Ctx)))
		k.Must(kit.Err(account.CreateEmailVerification(k.Ctx, kit.VerifyURL)))
		if _, listed := busy["Unverified.UpdateEmail"]; !listed || account.UpdateEmail(k.Ctx, "moved@example.org", kit.Password) != latchkey.ErrBusy {
			k.Errorf("UpdateEmail goes on")
		}
		wrongOnly := busy["Unverified.ConfirmEmailVerification"]
		if err := kit.Err(account.ConfirmEmailVerification(k.Ctx, kit.UnknownLink)); err != latchkey.ErrBusy || !wrongOnly {
			k.Errorf("ConfirmEmailVerification by a wrong link: %v", err)
		}
		k.Must(kit.Err(account.ConfirmEmailVerification(k.Ctx, k.Mail(kit.Ada).Secret)))
	})
}
