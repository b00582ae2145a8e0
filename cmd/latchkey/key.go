package main

import (
	"context"
	"errors"
	"flag"
	"os"
	"strings"

	"example.com/latchkey"
	"example.com/latchkey/store"
)

// keyMade is the result of key make.
type keyMade struct {
	ID   string `json:"id"`
	File string `json:"file,omitempty"`
	Key  string `json:"key,omitempty"`
}

func keyMake(*flag.FlagSet) action {
	return func(_ context.Context, t *tool, args []string) error {
		key := latchkey.GenerateKey()
		if len(args) == 0 || args[0] == "-" {
			t.result(keyMade{ID: key.ID(), Key: key.Reveal()}, "%s\n", key.Reveal())
			return nil
		}
		if err := writeKey(args[0], key); err != nil {
			return err
		}
		t.result(keyMade{ID: key.ID(), File: args[0]}, "Wrote key %s to %s. Keep a copy of it, apart from the store.\n", key.ID(), args[0])
		return nil
	}
}

// writeKey writes a key to a file that does not exist.
func writeKey(name string, key latchkey.Key) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, os.ErrExist) {
		return errors.New(name + " exists, and a key is never overwritten. Name a new file")
	}
	if err != nil {
		return err
	}
	_, err = f.WriteString(key.Reveal() + "\n")
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		_ = os.Remove(name)
	}
	return err
}

// The states of a key.
const (
	keyRight      = "right"
	keyUnrecorded = "unrecorded" // the store has no record of it, and needs no other
	keyNotGiven   = "not given"
)

// keyChecked is the result of key check.
type keyChecked struct {
	Key   string   `json:"key"`
	Old   []string `json:"oldKeys,omitempty"`
	State string   `json:"state"`
}

func keyCheck(*flag.FlagSet) action {
	return func(ctx context.Context, t *tool, _ []string) error {
		keys, err := t.keys()
		if err != nil {
			return err
		}
		out := keyChecked{Key: keys.Active.ID()}
		for _, key := range keys.Old {
			out.Old = append(out.Old, key.ID())
		}
		return t.withStore(ctx, func(p place, s store.Store) error {
			if out.State, err = t.keyState(s); err != nil {
				return err
			}
			text := "The key " + out.Key + " is right for " + p.String() + "."
			if out.State == keyUnrecorded {
				text = p.String() + " has no record of key " + out.Key + " yet. It needs no key that is missing."
			}
			if len(out.Old) > 0 {
				text += " Old keys: " + strings.Join(out.Old, ", ") + "."
			}
			t.result(out, "%s\n", text)
			return nil
		})
	}
}

// keyState tries the keys on a store, and changes nothing.
func (t *tool) keyState(s store.Store) (string, error) {
	engine, err := t.engine(s, change, latchkey.Policy{})
	if errors.Is(err, errKeyUnrecorded) {
		return keyUnrecorded, nil
	}
	if err != nil {
		return "", err
	}
	return keyRight, engine.Close()
}
