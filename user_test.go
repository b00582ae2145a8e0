package latchkey_test

import (
	"slices"
	"testing"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/store"
)

func TestWordsFollowLabelsAndPhone(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user := k.SignUp(kit.Ada)
		k.Must(kit.Err(k.Users().UpdateLabels(k.Ctx, user.ID, []string{"vip", "Beta"})))
		k.Must(kit.Err(k.Users().UpdatePhone(k.Ctx, user.ID, kit.Phone)))
		rows, err := record.Words.List(k.Ctx, k.Store, store.Query{Index: record.Words.Primary(), Limit: 100})
		k.Must(err)
		var words []string
		for _, w := range rows {
			words = append(words, w.Word)
		}
		for _, want := range []string{"ada", "example", "vip", "beta", "14155550100"} {
			if !slices.Contains(words, want) {
				k.Errorf("%q is not among %q", want, words)
			}
		}
	})
}

func TestSignInsRenewWhenTheUserWasLastSeen(t *testing.T) {
	kit.OnEveryStore(t, latchkey.Policy{Sessions: latchkey.SessionPolicy{Length: 12 * time.Hour}}, func(k *kit.Kit) {
		user := k.SignUp(kit.Ada)
		for range 4 {
			k.Clock.Advance(24 * time.Hour)
			_, account := k.SignIn(kit.Ada)
			shown, err := account.User(k.Ctx)
			k.Must(err)
			if !shown.AccessedAt.Equal(k.Clock.Now()) {
				k.Errorf("seen now, but last seen %v", shown.AccessedAt)
			}
		}
		seen := k.Clock.Now()
		k.Clock.Advance(48 * time.Hour)
		k.Must(kit.Err(k.Users().CreateSession(k.Ctx, user.ID))) // a session that the server makes is no access by the user
		shown, err := k.Users().Get(k.Ctx, user.ID)
		k.Must(err)
		if !shown.AccessedAt.Equal(seen) {
			k.Errorf("the server was taken for the user")
		}
	})
}
