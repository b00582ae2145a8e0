package kit

import (
	"log/slog"

	"example.com/latchkey"
	"example.com/latchkey/hasher/hashertest"
	"example.com/latchkey/ratelimit"
)

// Configured opens a second engine on the store of a kit, with its clock, outbox and
// events. change may set the rest of its Config.
func (k *Kit) Configured(change func(*latchkey.Config)) *latchkey.Engine {
	k.Helper()
	c := latchkey.Config{
		Keys: k.Keys, Hasher: k.Hasher, Now: k.Clock.Now, Policy: k.Policy, OnEvent: k.Told.Record, Notifier: k.Box, SMS: k.Box,
		RedirectHosts: []string{"app.example.org"}, Logger: slog.New(slog.DiscardHandler),
	}
	change(&c)
	engine, err := latchkey.New(k.Store, c)
	k.Must(err)
	k.Cleanup(func() { k.Must(engine.Close()) })
	return engine
}

// LimitedEngine opens a second engine on the store of a kit, with a limiter that
// refuses calls. A nil limiter is the engine's default. The kit's own engine only
// reports its limits.
func (k *Kit) LimitedEngine(l ratelimit.Limiter) *latchkey.Engine {
	k.Helper()
	engine, err := latchkey.New(k.Store, latchkey.Config{
		Keys: k.Keys, Hasher: hashertest.New(k.T), Now: k.Clock.Now, Limiter: l, Policy: k.Policy, Logger: slog.New(slog.DiscardHandler),
		Notifier: k.Box, SMS: k.Box, RedirectHosts: []string{"app.example.org"},
	})
	k.Must(err)
	k.Cleanup(func() { k.Must(engine.Close()) })
	return engine
}

// WithKeys opens a second engine on the store of a kit, with other keys.
func (k *Kit) WithKeys(keys latchkey.Keys) *latchkey.Engine {
	k.Helper()
	engine, err := latchkey.New(k.Store, latchkey.Config{
		Keys: keys, Hasher: hashertest.New(k.T), Now: k.Clock.Now, Policy: k.Policy,
		Notifier: k.Box, SMS: k.Box, RedirectHosts: []string{"app.example.org"},
	})
	k.Must(err)
	k.Cleanup(func() { k.Must(engine.Close()) })
	return engine
}
