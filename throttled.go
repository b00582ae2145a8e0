package latchkey

import (
	"context"
	"encoding/hex"
	"net/netip"
	"strconv"
	"time"

	"example.com/latchkey/internal/record"
	"example.com/latchkey/store"
)

// Throttled is an identifier whose answers wait, or are not compared any more, because of wrong
// ones in a row.
type Throttled struct {
	// Kind says what was guessed at: password, code, or factor/ with the name of a factor.
	Kind string `json:"kind"`
	// Subject is a digest of the identifier. The store does not have the identifier itself, which
	// may belong to no user.
	Subject  string    `json:"subject"`
	Failures int       `json:"failures"` // wrong answers in a row
	Last     time.Time `json:"last"`
	// Until is when the next answer is compared.
	Until time.Time `json:"until"`
	// Disabled says that no answer is compared before the server ends that
	// (Policy.Guessing.DisableAfter).
	Disabled bool `json:"disabled"`
}

// Throttled calls fn for every identifier that is slowed now, in the order of their kinds and
// digests. Counts of calls, which Config.Limiter keeps, are not among them. The error of fn
// ends the list.
func (e *Engine) Throttled(ctx context.Context, fn func(Throttled) error) (err error) {
	defer e.operation(&ctx, "list throttled").end(&err)
	c, err := e.maintenance()
	if err != nil {
		return err
	}
	q := store.Query{Index: record.Failures.Primary(), Limit: store.MaxLimit}
	for page, err := range record.Failures.Pages(ctx, c.store, q) {
		if err != nil {
			return err
		}
		for _, f := range page {
			if t, slowed := c.throttled(f); slowed {
				if err := fn(t); err != nil {
					return asHostError(err)
				}
			}
		}
	}
	return nil
}

// Throttled returns what is slowed of a user: passwords, second factors, and codes for the id or
// the addresses of the user. Clients that are known, from which the user has signed in, have counts of
// their own: they are among them if a live session or one of the last 1,000 lines of the log has
// their address.
func (u *Users) Throttled(ctx context.Context, id string) (_ []Throttled, err error) {
	defer u.home().operation(&ctx, "list throttled").end(&err)
	return usersRead(ctx, u, id, func(c *call, user *record.User) ([]Throttled, error) {
		guards := []guard{
			{purpose: failPassword, key: passwordSubject(user)},
			{purpose: failCode, key: codesOf(user.ID)},
		}
		for _, f := range allFactors {
			guards = append(guards, guard{purpose: failFactor + string(f), key: user.Key})
		}
		for _, by := range []*contact{byEmail, byPhone} {
			if address := by.address(user); address != "" {
				guards = append(guards, guard{purpose: failCode, key: address})
			}
		}
		known, err := c.knownGuards(ctx, user, guards)
		if err != nil {
			return nil, err
		}
		all := []Throttled{}
		for _, g := range append(guards, known...) {
			row, err := loadFailure(ctx, c.store, g.purpose, c.ring.Digest(g.purpose, g.key))
			if err != nil {
				return nil, err
			}
			if t, slowed := c.throttled(row); slowed {
				all = append(all, t)
			}
		}
		return all, nil
	})
}

// knownGuards returns the guards of the clients from which a user has come.
func (c *call) knownGuards(ctx context.Context, user *record.User, of []guard) (guards []guard, err error) {
	addresses := make(map[string]bool)
	sessions, err := sessionRows(ctx, c.store, user.ID)
	if err != nil {
		return nil, err
	}
	for _, s := range sessions {
		addresses[s.IP] = true
	}
	q := store.Query{Index: record.Logs.Index("user"), Equal: []store.Value{store.Text(user.Key)}, Descending: true, Limit: 1_000}
	lines, err := record.Logs.List(ctx, c.store, q)
	if err != nil {
		return nil, err
	}
	for _, l := range lines {
		addresses[l.IP] = true
	}
	networks := make(map[string]bool)
	for address := range addresses {
		if ip, err := netip.ParseAddr(address); err == nil {
			networks[Client{IP: ip}.canonical().network()] = true
		}
	}
	epoch := strconv.FormatInt(user.Epoch, 10)
	for network := range networks {
		for _, g := range of {
			guards = append(guards, guard{purpose: g.purpose, key: knownKey(user.Key, epoch, network)})
		}
	}
	return guards, nil
}

// throttled returns a count as it is shown, if it slows.
func (c *call) throttled(f *record.Failure) (t Throttled, slowed bool) {
	switch f.Purpose {
	case failProbe, failDeleted, failKnown, failIDToken, failRenewed:
		return t, false
	}
	if !f.Expire.After(c.now) {
		return t, false
	}
	t = Throttled{Kind: f.Purpose, Subject: hex.EncodeToString(f.Subject), Failures: int(f.Count), Last: f.Last}
	g := guard{call: c, purpose: f.Purpose}
	if g.disables(f) {
		t.Disabled, t.Until = true, f.Expire
		return t, true
	}
	wait := g.wait(f)
	t.Until = c.now.Add(wait)
	return t, wait > 0
}
