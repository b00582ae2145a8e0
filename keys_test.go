package latchkey_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/store"
	"example.com/latchkey/store/storetest"
)

// An engine that lacks a key of its store does not start, and names the key.
func TestKeysAnEngineWithoutAKeyDoesNotStart(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		start := func(keys latchkey.Keys) error {
			engine, err := latchkey.New(k.Store, latchkey.Config{Keys: keys, LimiterPerProcess: true, Hasher: k.Hasher, Now: k.Clock.Now})
			if err == nil {
				err = engine.Close()
			}
			return err
		}
		old, next := k.Keys.Active, latchkey.GenerateKey()
		err := start(latchkey.Keys{Active: next})
		if !errors.Is(err, latchkey.ErrKeyUnknown) || !strings.Contains(err.Error(), old.ID()) {
			k.Errorf("another key alone: %v", err)
		}
		k.Must(start(latchkey.Keys{Active: old, Old: []latchkey.Key{next}}))
		k.Must(start(latchkey.Keys{Active: next, Old: []latchkey.Key{old}}))
		if err := start(latchkey.Keys{Active: old}); !errors.Is(err, latchkey.ErrKeyUnknown) {
			k.Errorf("without the new key: %v", err)
		}
		both, err := latchkey.New(k.Store, latchkey.Config{Keys: latchkey.Keys{Active: next, Old: []latchkey.Key{old}}, LimiterPerProcess: true, Hasher: k.Hasher, Now: k.Clock.Now})
		k.Must(err)
		defer both.Close()
		if err := start(latchkey.Keys{Active: next}); !errors.Is(err, latchkey.ErrKeyUnknown) {
			k.Errorf("before Reseal: %v", err)
		}
		k.AskCode(kit.Ada) // under the old key, which cannot be sealed anew
		k.Must(kit.Err(both.Reseal(k.Ctx)))
		if err := start(latchkey.Keys{Active: next}); !errors.Is(err, latchkey.ErrKeyUnknown) {
			k.Errorf("while a code of the old key lives: %v", err)
		}
		k.Clock.Advance(15 * time.Minute)
		k.Must(kit.Err(both.Reseal(k.Ctx)))
		k.Must(start(latchkey.Keys{Active: next}))
		k.Tampered = true // the kit's own engine lacks the key now
	})
}

// settings returns the names of the settings of a store.
func settings(k *kit.Kit) (names []string) {
	rows, err := record.Settings.List(k.Ctx, k.Raw, store.Query{Index: record.Settings.Primary(), Limit: store.MaxLimit})
	k.Must(err)
	for _, row := range rows {
		names = append(names, row.Name)
	}
	return names
}

// A store that New cannot read or write makes no engine.
func TestKeysNewFailsWithItsStore(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		if names := settings(k); len(names) != 1 || names[0] != "key/"+k.Keys.Active.ID() {
			k.Errorf("%v", names)
		}
		broken := errors.New("the disk is full")
		hook := k.Store.Hook
		k.Store.Hook = func(c storetest.Call) error {
			if c.Name == "Commit" && !c.Done {
				return broken
			}
			return nil
		}
		_, err := latchkey.New(k.Store, latchkey.Config{Keys: latchkey.Keys{Active: latchkey.GenerateKey(), Old: []latchkey.Key{k.Keys.Active}}, LimiterPerProcess: true, Hasher: k.Hasher})
		k.Store.Hook = hook
		if !errors.Is(err, broken) {
			k.Errorf("%v", err)
		}
		k.Must(k.Store.Update(context.Background(), func(context.Context, store.Tx) error { return nil }))
	})
}
