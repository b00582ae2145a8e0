package latchkey

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"example.com/latchkey/internal/canon"
	"example.com/latchkey/notify"
	"example.com/latchkey/ratelimit"
)

// limit counts a call of an operation under a key, and refuses it after too many.
// An empty key is not counted.
func (c *call) limit(ctx context.Context, l limited, key string) error {
	_, err := c.counted(ctx, l, key)
	return err
}

// limitClient counts a call of an operation by the client's network, and by its site, which
// is allowed ten times as many: the networks of a site are one customer's.
func (c *call) limitClient(ctx context.Context, l limited) error {
	if err := c.limit(ctx, l, c.client.network()); err != nil {
		return err
	}
	_, err := c.countedBy(ctx, l, c.siteKey(), c.siteRule(l))
	return err
}

// siteKey names the client's site in a count, "" without one.
func (c *call) siteKey() string {
	if site := c.client.site(); site != "" {
		return "site\n" + site
	}
	return ""
}

// siteRule returns the rule of an operation for a site.
func (c *call) siteRule(l limited) ratelimit.Rule {
	rule := c.policy.Guessing.Limits[limits[l].name]
	rule.Calls = min(10*rule.Calls, ratelimit.MaxCalls)
	return rule
}

// counted is limit, and returns the result of a call that was counted, nil for one that
// was not.
func (c *call) counted(ctx context.Context, l limited, key string) (*ratelimit.Result, error) {
	result, err := c.countedBy(ctx, l, key, c.policy.Guessing.Limits[limits[l].name])
	// Others' calls and messages at an address are not the caller's business.
	if c.client.OnLimit != nil && result != nil && !limits[l].alarms && !limits[l].quiet {
		c.report(ctx, LimitResult{limits[l].name, *result})
	}
	if result != nil && !result.Allowed {
		result = nil
	}
	return result, err
}

// limitQuietly is limit, and the host is not told what is left: others add to the count.
func (c *call) limitQuietly(ctx context.Context, l limited, key string) error {
	_, err := c.countedBy(ctx, l, key, c.policy.Guessing.Limits[limits[l].name])
	return err
}

// countedBy counts a call by a rule. It returns the result of one that was counted or
// refused, nil for others.
func (c *call) countedBy(ctx context.Context, l limited, key string, rule ratelimit.Rule) (*ratelimit.Result, error) {
	if key == "" || c.server || rule == (ratelimit.Rule{}) {
		return nil, nil
	}
	result, err := c.take(ctx, c.limitKey(l, key), rule)
	if err != nil {
		c.limiterFailed(ctx, l, err)
		if limits[l].guesses {
			return nil, ErrBusy
		}
		return nil, nil
	}
	if result.Allowed {
		return &result, nil
	}
	c.observe(ctx, Observation{What: ObservedThrottled, Name: limits[l].name, Count: 1})
	if limits[l].alarms {
		c.alarm(ctx, l, key, result)
	}
	return &result, &ThrottledError{RetryAfter: result.Reset.Sub(c.now)}
}

// wrongSecrets are the answers to a secret, a code or a passkey that proves nothing.
var wrongSecrets = []error{ErrInvalidCredentials, ErrInvalidToken, ErrTeamInvalidSecret, ErrPasskeyRefused, ErrPasskeyUnknown}

// limitFailures runs a try at signing in, of which a client's network may fail only so
// many. The try is counted before it begins: otherwise tries at once would pass the limit
// together. It is given back unless it failed by a wrong secret.
func limitFailures[T any](ctx context.Context, c *call, try func() (T, error)) (T, error) {
	network, site := c.client.network(), c.siteKey()
	var zero T
	byNetwork, err := c.counted(ctx, limitFailuresByClient, network)
	if err != nil {
		return zero, err
	}
	bySite, err := c.countedBy(ctx, limitFailuresByClient, site, c.siteRule(limitFailuresByClient))
	if err != nil {
		c.giveBack(ctx, limitFailuresByClient, network, byNetwork)
		return zero, err
	}
	result, err := try()
	if !slices.ContainsFunc(wrongSecrets, func(wrong error) bool { return errors.Is(err, wrong) }) {
		c.giveBack(ctx, limitFailuresByClient, network, byNetwork)
		c.giveBack(ctx, limitFailuresByClient, site, bySite)
	}
	return result, err
}

// giveBack takes a call out of its count, if it was counted.
func (c *call) giveBack(ctx context.Context, l limited, key string, taken *ratelimit.Result) {
	if taken == nil {
		return
	}
	ctx = context.WithoutCancel(ctx)
	defer c.recovered(ctx, "Limiter")
	if err := c.limiter.Return(ctx, c.limitKey(l, key), *taken); err != nil {
		c.limiterFailed(ctx, l, err)
	}
}

// limiterFailed logs that the limiter has failed.
func (c *call) limiterFailed(ctx context.Context, l limited, cause error) {
	c.observe(ctx, Observation{What: ObservedLimiter, Name: limits[l].name, Outcome: "fault", Count: 1})
	c.logger.ErrorContext(ctx, "latchkey: the limiter fails", "operation", limits[l].name, "error", cause)
}

// errLimiter is the error of a limiter that panicked.
var errLimiter = errors.New("latchkey: the limiter panicked")

// take asks the limiter. Its panic counts as a failure.
func (c *call) take(ctx context.Context, key ratelimit.Key, rule ratelimit.Rule) (result ratelimit.Result, err error) {
	err = errLimiter
	defer c.recovered(ctx, "Limiter")
	result, err = c.limiter.Take(ctx, key, rule, c.now)
	return result, err
}

// report calls the host's OnLimit.
func (c *call) report(ctx context.Context, r LimitResult) {
	defer c.recovered(ctx, "OnLimit")
	c.client.OnLimit(r)
}

// unlimit forgets the calls of a key.
func (c *call) unlimit(ctx context.Context, l limited, key string) {
	defer c.recovered(ctx, "Limiter")
	if err := c.limiter.Forget(ctx, c.limitKey(l, key)); err != nil {
		c.limiterFailed(ctx, l, err)
	}
}

// limitKey returns the limiter's key: a digest, so that the limiter holds no
// address.
func (e *Engine) limitKey(l limited, key string) ratelimit.Key {
	return ratelimit.Key(e.ring.Digest("limit", limits[l].name, key)[:16])
}

// alarm tells the host, once a window, that a rule for messages has refused one.
func (c *call) alarm(ctx context.Context, l limited, key string, result ratelimit.Result) {
	if !c.tellsEvents() {
		return
	}
	window := max(result.Reset.Sub(c.now), time.Second)
	told, err := c.take(ctx, c.limitKey(l, "told\n"+key), ratelimit.Rule{Calls: 1, Window: window})
	if err != nil || !told.Allowed {
		return
	}
	c.announce(context.WithoutCancel(ctx), Event{
		ID: newID(), Name: "limits." + limits[l].name + ".reached", Time: c.now, Mode: string(modeGuest), Client: c.client.silent(),
		Payload: LimitResult{limits[l].name, result},
	})
}

// reserve is a count of messages that strangers cannot use up. It lets a message pass the
// counts of its address, to which anybody adds who asks for a message.
type reserve struct {
	rule limited
	// key returns the name of the count, "" if there is no reserve for the message.
	key  func(ctx context.Context) (string, error)
	used bool // for the message
}

// noReserve is for messages that have none.
func noReserve() *reserve { return &reserve{} }

// reserveOf returns the reserve of messages of a user who has proven something.
func reserveOf(key string) *reserve {
	return &reserve{rule: limitMessagesReserve, key: func(context.Context) (string, error) { return key, nil }}
}

// limitShared counts a message under a key to which strangers add. If the rule refuses it,
// its reserve may let it pass.
func (c *call) limitShared(ctx context.Context, l limited, key string, r *reserve) error {
	refused := c.limit(ctx, l, key)
	if refused == nil || r.used {
		return nil
	}
	if r.key == nil {
		return refused
	}
	own, err := r.key(ctx)
	if err != nil {
		return err
	}
	if own == "" || c.limit(ctx, r.rule, own) != nil {
		return refused
	}
	r.used = true
	return nil
}

// limitMessage counts a message that the client asks for. A refusal comes before
// the engine knows which user has the address. The rules of the client come first: a client
// that they refuse does not use up the counts of other people's addresses.
func (c *call) limitMessage(ctx context.Context, channel notify.Channel, to string, r *reserve) error {
	if err := c.limitSender(ctx, channel, to); err != nil {
		return err
	}
	return c.limitRecipient(ctx, channel, to, r)
}

// limitSender counts a message by the client that causes it.
func (c *call) limitSender(ctx context.Context, channel notify.Channel, to string) error {
	if err := c.limit(ctx, limitMessagesByClient, c.client.network()); err != nil {
		return err
	}
	if err := c.limit(ctx, limitMessagesBySite, c.client.site()); err != nil {
		return err
	}
	if !c.isText(channel, to) {
		return nil
	}
	if err := c.limitNumber(ctx, limitMessagesNumbers, c.client.network(), to); err != nil {
		return err
	}
	return c.limitNumber(ctx, limitMessagesNumbersBySite, c.client.site(), to)
}

// limitRecipient counts a message by its address.
func (c *call) limitRecipient(ctx context.Context, channel notify.Channel, to string, r *reserve) error {
	if err := c.limitAddress(ctx, to, r); err != nil || !c.isText(channel, to) {
		return err
	}
	return c.limitText(ctx, to, r)
}

// isText reports whether a message is a text message that is really sent.
func (c *call) isText(channel notify.Channel, to string) bool {
	_, mocked := c.mockCode(channel, to)
	return channel == notify.SMS && !mocked
}

// limitText counts a text message to a number, among those to its country and then among
// all. Those of the reserves are counted apart: strangers cannot use them up either, and the
// host pays for no more than twice the rule.
func (c *call) limitText(ctx context.Context, number string, r *reserve) error {
	if err := c.limitShared(ctx, limitMessagesByPrefix, canon.PhonePrefix(number), r); err != nil {
		return err
	}
	if !r.used {
		if err := c.limitShared(ctx, limitMessagesTexts, "all", r); err != nil || !r.used {
			return err
		}
	}
	return c.limit(ctx, limitMessagesTexts, "reserve")
}

// limitAddress counts a message to an address. The part of a mailbox after a + is
// dropped: it names the same mailbox.
func (c *call) limitAddress(ctx context.Context, to string, r *reserve) error {
	if local, domain, found := strings.Cut(to, "@"); found {
		local, _, _ = strings.Cut(local, "+")
		to = local + "@" + domain
	}
	for _, l := range []limited{limitMessages, limitMessagesBurst, limitMessagesFew, limitMessagesDay} {
		if err := c.limitShared(ctx, l, to, r); err != nil {
			return err
		}
	}
	return nil
}

// limitNumber counts a phone number to which the client's network has sent nothing
// since its window began.
func (c *call) limitNumber(ctx context.Context, l limited, network, number string) error {
	if network == "" || c.server {
		return nil
	}
	key := c.limitKey(l, network+"\n"+number)
	once := ratelimit.Rule{Calls: 1, Window: c.policy.Guessing.Limits[limits[l].name].Window}
	if c.marked(ctx, key, once) {
		return nil
	}
	if err := c.limit(ctx, l, network); err != nil {
		return err
	}
	_, _ = c.take(ctx, key, once) // calls at once may count a number twice, and never too few
	return nil
}

// marked reports whether a key has been taken by a rule of one call.
func (c *call) marked(ctx context.Context, key ratelimit.Key, once ratelimit.Rule) (marked bool) {
	defer c.recovered(ctx, "Limiter")
	result, err := c.limiter.Peek(ctx, key, once, c.now)
	return err == nil && !result.Allowed
}
