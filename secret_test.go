package latchkey_test

import (
	"strings"
	"testing"

	"example.com/latchkey"
	"example.com/latchkey/internal/kit"
)

// A live code can be read with an old key, and keeps that key in use.
func TestCodesSurviveAnotherKey(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		token, secret := k.AskCode(kit.Ada)
		old := k.Keys.Active
		k.Keys = latchkey.Keys{Active: latchkey.GenerateKey(), Old: []latchkey.Key{old}}
		k.Engine = k.WithKeys(k.Keys)
		k.Visitor = k.Guest(kit.Client)
		resealed, err := k.Reseal(k.Ctx)
		k.Must(err)
		if resealed.Left[old.ID()] != 1 || len(resealed.Left) != 1 {
			k.Errorf("%+v", resealed)
		}
		k.Must(kit.Err(k.Visitor.CreateSession(k.Ctx, token.UserID, secret)))
		resealed, err = k.Reseal(k.Ctx)
		if err != nil || len(resealed.Left) != 0 {
			k.Errorf("%+v, %v", resealed, err)
		}
	})
}

// Only the exact form of a secret has a digest, and each purpose has its own digest.
func FuzzSecret(f *testing.F) {
	valid := strings.Repeat("0123456789abcdef", 4)
	f.Add(valid)
	f.Add(strings.ToUpper(valid))
	f.Add(valid + "0")
	f.Fuzz(func(t *testing.T, s string) {
		sum, ok := latchkey.DigestOf(s, latchkey.SessionLabel)
		if want := len(s) == 64 && strings.Trim(s, "0123456789abcdef") == ""; ok != want {
			t.Errorf("%q: %v", s, ok)
		}
		if other, _ := latchkey.DigestOf(s, "other/v1"); ok && other == sum {
			t.Error("two purposes, one digest")
		}
	})
}
