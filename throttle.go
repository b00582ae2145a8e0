package latchkey

import (
	"context"
	"errors"
	"strings"
	"time"

	"example.com/latchkey/internal/canon"
	"example.com/latchkey/notify"
	"example.com/latchkey/ratelimit"
)

// limit counts a call of an operation under a key, and refuses it when there
// were too many. An empty key is not counted.
func (e *Engine) limit(ctx context.Context, c Client, now time.Time, l limited, key string) error {
	rule, found := e.policy.Limits[l.name]
	if key == "" || c.Server || !found {
		return nil
	}
	result, err := e.take(ctx, e.limitKey(l, key), rule, now)
	if err != nil {
		e.logger.ErrorContext(ctx, "latchkey: the limiter fails", "operation", l.name)
		if l.guesses {
			return ErrBusy
		}
		return nil
	}
	if c.OnLimit != nil {
		e.report(ctx, c, LimitResult{l.name, result})
	}
	if !result.Allowed {
		if strings.HasPrefix(l.name, limitMessages.name) {
			e.alarm(ctx, c, now, l, key, result)
		}
		return &ThrottledError{RetryAfter: result.Reset.Sub(now)}
	}
	return nil
}

// take asks the limiter. A panic of it is a failure.
func (e *Engine) take(ctx context.Context, key ratelimit.Key, rule ratelimit.Rule, now time.Time) (result ratelimit.Result, err error) {
	err = errLimiter
	defer e.recovered(ctx, "Limiter")
	result, err = e.limiter.Take(ctx, key, rule, now)
	return result, err
}

var errLimiter = errors.New("latchkey: the limiter panicked")

func (e *Engine) report(ctx context.Context, c Client, r LimitResult) {
	defer e.recovered(ctx, "OnLimit")
	c.OnLimit(r)
}

// unlimit forgets the calls of a key.
func (e *Engine) unlimit(ctx context.Context, l limited, key string) {
	defer e.recovered(ctx, "Limiter")
	if err := e.limiter.Forget(ctx, e.limitKey(l, key)); err != nil {
		e.logger.ErrorContext(ctx, "latchkey: the limiter fails", "operation", l.name)
	}
}

func (e *Engine) limitKey(l limited, key string) ratelimit.Key {
	return ratelimit.Key(e.ring.Digest("limit", l.name, key)[:16])
}

// limitMessage counts one message more, that somebody at a client asks for, to
// an address. It is refused before anybody knows whose address that is.
func (e *Engine) limitMessage(ctx context.Context, c Client, now time.Time, channel notify.Channel, to string) error {
	if err := e.limitAddress(ctx, c, now, to); err != nil {
		return err
	}
	if err := e.limit(ctx, c, now, limitMessagesByClient, c.network()); err != nil {
		return err
	}
	if _, mocked := e.mock(channel, to); channel != notify.SMS || mocked {
		return nil
	}
	if err := e.limitNumber(ctx, c, now, to); err != nil {
		return err
	}
	return e.limit(ctx, c, now, limitMessagesByPrefix, canon.PhonePrefix(to))
}

// limitAddress counts one message more to an address, whatever it is about. What
// stands behind a + in a mailbox is no other mailbox.
func (e *Engine) limitAddress(ctx context.Context, c Client, now time.Time, to string) error {
	if local, domain, found := strings.Cut(to, "@"); found {
		local, _, _ = strings.Cut(local, "+")
		to = local + "@" + domain
	}
	for _, l := range []limited{limitMessages, limitMessagesBurst, limitMessagesFew, limitMessagesDay} {
		if err := e.limit(ctx, c, now, l, to); err != nil {
			return err
		}
	}
	return nil
}

// limitNumber counts a phone number that a client address has not sent to since
// its window began.
func (e *Engine) limitNumber(ctx context.Context, c Client, now time.Time, number string) error {
	network := c.network()
	if network == "" || c.Server {
		return nil
	}
	key := e.limitKey(limitMessagesNumbers, network+"\n"+number)
	first, err := e.take(ctx, key, ratelimit.Rule{Calls: 1, Window: e.policy.Limits[limitMessagesNumbers.name].Window}, now)
	if err == nil && !first.Allowed {
		return nil
	}
	if err = e.limit(ctx, c, now, limitMessagesNumbers, network); err != nil {
		_ = e.limiter.Forget(ctx, key) // it is not among those that were sent to
	}
	return err
}

// alarm tells the host, once a window, that somebody sends more than they may.
func (e *Engine) alarm(ctx context.Context, c Client, now time.Time, l limited, key string, result ratelimit.Result) {
	if e.onEvent == nil {
		return
	}
	told, err := e.take(ctx, e.limitKey(l, "told\n"+key), ratelimit.Rule{Calls: 1, Window: max(result.Reset.Sub(now), time.Second)}, now)
	if err != nil || !told.Allowed {
		return
	}
	e.tell(context.WithoutCancel(ctx), Event{
		Name: "limits." + l.name + ".reached", Time: now, Mode: "guest", Client: c.silent(), Payload: LimitResult{l.name, result},
	})
}
