package latchkey_test

import (
	"slices"
	"testing"

	"example.com/latchkey"
	"example.com/latchkey/internal/words"
)

func TestNewUserIsFoundByWord(t *testing.T) {
	onEveryStore(t, latchkey.Policy{}, func(k *kit) {
		user, err := k.guest.CreateAccount(k.ctx, latchkey.NewAccount{
			UserID: "ada.1", Email: ada, Password: password, Name: "Ada Lovelace",
		})
		k.must(err)
		for _, search := range []string{"love", "ada@example.org", "ada.1", "ada lovelace"} {
			ids, err := words.Find(k.ctx, k.store, "users", search)
			if err != nil || !slices.Equal(ids, []string{user.ID}) {
				k.Errorf("%q: %q, %v", search, ids, err)
			}
		}
	})
}
