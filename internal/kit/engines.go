package kit

import (
	"context"
	"log/slog"

	"example.com/latchkey"
	"example.com/latchkey/hasher/hashertest"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/ratelimit"
	"example.com/latchkey/store"
)

// Configured opens a second engine on the store of a kit, with its clock, outbox and
// events. change may set the rest of its Config.
func (k *Kit) Configured(change func(*latchkey.Config)) *latchkey.Engine {
	k.Helper()
	k.forgetKeys()
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

// WithKeys opens a second engine on the store of a kit, with other keys: it may lack a key
// that the store needs, as an engine that is older than the key.
func (k *Kit) WithKeys(keys latchkey.Keys) *latchkey.Engine {
	k.Helper()
	k.forgetKeys()
	engine, err := latchkey.New(k.Store, latchkey.Config{
		Keys: keys, Hasher: hashertest.New(k.T), Now: k.Clock.Now, Policy: k.Policy,
		Notifier: k.Box, SMS: k.Box, RedirectHosts: []string{"app.example.org"},
	})
	k.Must(err)
	k.Cleanup(func() { k.Must(engine.Close()) })
	return engine
}

// forgetKeys deletes the values by which an engine tells at its start that it lacks a key.
func (k *Kit) forgetKeys() {
	k.Helper()
	k.Must(k.Store.Store.Update(k.Ctx, func(ctx context.Context, tx store.Tx) error {
		_, err := tx.DeleteRange(ctx, store.Query{
			Index: record.Settings.Primary(), From: store.Including(store.Text("key/")), To: store.Excluding(store.Text("key0")), Limit: store.MaxLimit,
		})
		return err
	}))
}
