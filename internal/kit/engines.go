package kit

import (
	"context"
	"log/slog"
	"sync/atomic"

	"example.com/latchkey"
	"example.com/latchkey/hasher/hashertest"
	"example.com/latchkey/oauth"
	"example.com/latchkey/ratelimit"
	"example.com/latchkey/store"
)

// Configured opens a second engine on the store of a kit, with its clock, outbox and
// events. change may set the rest of its Config. Its limiter, unless change sets one, counts in
// the process on every store.
func (k *Kit) Configured(change func(*latchkey.Config)) *latchkey.Engine {
	k.Helper()
	c := latchkey.Config{
		Keys: k.Keys, Hasher: k.Hasher, Now: k.Clock.Now, Policy: k.Policy, OnEvent: k.Told.Record, Notifier: k.Box, SMS: k.Box,
		RedirectHosts: []string{"app.example.org"}, Providers: []oauth.Provider{k.Acme, k.Other}, Passkeys: Passkeys, Logger: slog.New(k.Logged),
		LimiterPerProcess: true,
	}
	change(&c)
	return k.startOlder(c)
}

// LimitedEngine opens a second engine on the store of a kit, with a limiter that
// refuses calls. A nil limiter is the engine's default. The kit's own engine only
// reports its limits.
func (k *Kit) LimitedEngine(l ratelimit.Limiter) *latchkey.Engine {
	k.Helper()
	engine, err := latchkey.New(k.Store, latchkey.Config{
		Keys: k.Keys, Hasher: hashertest.New(k.T), Now: k.Clock.Now, Limiter: l, Policy: k.Policy, Logger: slog.New(slog.DiscardHandler),
		Notifier: k.Box, SMS: k.Box, RedirectHosts: []string{"app.example.org"}, Providers: []oauth.Provider{k.Acme, k.Other}, Passkeys: Passkeys,
		LimiterPerProcess: true,
	})
	k.Must(err)
	k.Cleanup(func() { k.Must(engine.Close()) })
	return engine
}

// WithKeys opens a second engine on the store of a kit, with other keys: it may lack a key
// that the store needs, as an engine that is older than the key.
func (k *Kit) WithKeys(keys latchkey.Keys) *latchkey.Engine {
	k.Helper()
	return k.startOlder(latchkey.Config{
		Keys: keys, Hasher: hashertest.New(k.T), Now: k.Clock.Now, Policy: k.Policy,
		Notifier: k.Box, SMS: k.Box, RedirectHosts: []string{"app.example.org"}, Providers: []oauth.Provider{k.Acme, k.Other}, Passkeys: Passkeys,
		LimiterPerProcess: true,
	})
}

// startOlder makes an engine as one that has started before the keys that the store needs
// now were used: New does not see them.
func (k *Kit) startOlder(c latchkey.Config) *latchkey.Engine {
	k.Helper()
	s := &starting{Store: k.Store}
	s.blind.Store(true)
	engine, err := latchkey.New(s, c)
	k.Must(err)
	s.blind.Store(false)
	k.Cleanup(func() { k.Must(engine.Close()) })
	return engine
}

// starting is a store whose listings are empty at first.
type starting struct {
	store.Store
	blind atomic.Bool
}

// Shared implements [store.Shared].
func (s *starting) Shared() bool { return store.IsShared(s.Store) }

// HostTransactions implements [store.Hosting].
func (s *starting) HostTransactions() bool { return store.HasHostTransactions(s.Store) }

// List implements [store.Store].
func (s *starting) List(ctx context.Context, q store.Query) ([]store.Row, error) {
	if s.blind.Load() {
		return nil, nil
	}
	return s.Store.List(ctx, q)
}
