package latchkey_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"example.com/latchkey"
	"example.com/latchkey/hasher/hashertest"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/ratelimit"
	"example.com/latchkey/store"
	"example.com/latchkey/store/memory"
	"example.com/latchkey/store/storetest"
)

func TestResealMovesEverythingToTheActiveKey(t *testing.T) {
	kit.OnEveryStore(t, latchkey.Policy{Password: latchkey.PasswordPolicy{History: 2}}, func(k *kit.Kit) {
		for n := range 120 {
			k.Must(kit.Err(k.Users().Create(k.Ctx, latchkey.NewUser{Email: fmt.Sprintf("u%d@example.org", n), Password: kit.Password})))
		}
		k.Anonymous()
		old := k.Keys.Active
		next := latchkey.GenerateKey()
		engine := k.WithKeys(latchkey.Keys{Active: next, Old: []latchkey.Key{old}})
		k.Must(kit.Err(engine.Guest(kit.Client).CreateEmailPasswordSession(k.Ctx, "u7@example.org", kit.Password))) // old keys open rows
		k.Must(kit.Err(engine.Users().UpdatePassword(k.Ctx, k.IDOf("u7@example.org"), "another horse")))            // the active key seals rows
		done, err := engine.Reseal(k.Ctx)
		k.Must(err)
		k.Same("first", done, latchkey.Resealed{Rows: 119, Left: map[string]int{}})
		done, err = engine.Reseal(k.Ctx)
		k.Must(err)
		k.Same("again", done, latchkey.Resealed{Left: map[string]int{}})
		alone := k.WithKeys(latchkey.Keys{Active: next})
		k.Must(kit.Err(alone.Guest(kit.Client).CreateEmailPasswordSession(k.Ctx, "u9@example.org", kit.Password)))
		if err := kit.Err(alone.Users().UpdatePassword(k.Ctx, k.IDOf("u9@example.org"), kit.Password)); !errors.Is(err, latchkey.ErrPasswordRecentlyUsed) {
			k.Errorf("history after resealing: %v", err)
		}
		if err := kit.Err(k.Visitor.CreateEmailPasswordSession(k.Ctx, "u9@example.org", kit.Password)); err == nil || errors.Is(err, latchkey.ErrInvalidCredentials) {
			k.Errorf("the old key opens what it should not: %v", err)
		}
	})
}

func TestResealCountsWhatItCannotOpen(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		one, two := k.SignUp(kit.Ada), k.SignUp(kit.Bob)
		next := latchkey.GenerateKey()
		k.ChangeUser(two.ID, func(u *record.User) { u.Password[len(u.Password)-1] ^= 1 })
		done, err := k.WithKeys(latchkey.Keys{Active: next}).Reseal(k.Ctx)
		k.Must(err)
		k.Same("without the old key", done, latchkey.Resealed{Left: map[string]int{k.Keys.Active.ID(): 2}})
		done, err = k.WithKeys(latchkey.Keys{Active: next, Old: []latchkey.Key{k.Keys.Active}}).Reseal(k.Ctx)
		k.Must(err)
		k.Same("with it", done, latchkey.Resealed{Rows: 1, Left: map[string]int{"damaged": 1}})
		_ = one
		if id := next.ID(); len(id) != 16 || id == k.Keys.Active.ID() || strings.Contains(next.Reveal(), id) {
			k.Errorf("the key's id is %s", id)
		}
	})
}

// If a password changes while its row is resealed, the new password is kept.
func TestResealDoesNotUndoAChange(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user := k.SignUp(kit.Ada)
		engine := k.WithKeys(latchkey.Keys{Active: latchkey.GenerateKey(), Old: []latchkey.Key{k.Keys.Active}})
		k.Interfere(func() { k.Must(kit.Err(engine.Users().UpdatePassword(k.Ctx, user.ID, "another horse"))) })
		k.Must(kit.Err(engine.Reseal(k.Ctx)))
		k.Must(kit.Err(engine.Guest(kit.Client).CreateEmailPasswordSession(k.Ctx, kit.Ada, "another horse")))
	})
}

// Another machine may still have the old key active. A row that it seals while Reseal
// runs is resealed too, or is counted in Left.
func TestResealSeesRowsThatWereWrittenBehindIt(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		ids := []string{"a-user", "b-user"}
		for n, id := range ids {
			k.Must(kit.Err(k.Users().Create(k.Ctx, latchkey.NewUser{UserID: id, Email: fmt.Sprintf("u%d@example.org", n), Password: kit.Password})))
		}
		old := k.Keys.Active
		next := latchkey.GenerateKey()
		engine := k.WithKeys(latchkey.Keys{Active: next, Old: []latchkey.Key{old}})
		// The write comes after the page was resealed and before Reseal returns.
		commits := 0
		hook := k.Store.Hook
		k.Store.Hook = func(c storetest.Call) error {
			if c.Name == "Commit" && c.Done {
				commits++
				if commits == 1 {
					k.Must(kit.Err(k.Users().UpdatePassword(k.Ctx, "a-user", "another horse"))) // k's engine has the old key
				}
			}
			return hook(c)
		}
		got, err := engine.Reseal(k.Ctx)
		k.Store.Hook = hook
		k.Must(err)
		alone := k.WithKeys(latchkey.Keys{Active: next})
		err = kit.Err(alone.Guest(kit.Client).CreateEmailPasswordSession(k.Ctx, "u0@example.org", "another horse"))
		if len(got.Left) == 0 && err != nil {
			k.Errorf("nothing left, says Reseal; without the old key: %v", err)
		}
	})
}

// beforeUpdate runs do before the n-th transaction.
type beforeUpdate struct {
	store.Store
	n  *int
	do func()
}

func (b beforeUpdate) Update(ctx context.Context, fn func(context.Context, store.Tx) error) error {
	*b.n--
	if *b.n == 0 {
		b.do()
	}
	return b.Store.Update(ctx, fn)
}

// A machine that still has the old key, against the advice, signs a user up while Reseal
// looks at the last page of its last pass. The pass reads on until a page is empty, and
// finds the row.
func TestResealFindsRowsInsertedDuringItsLastPage(t *testing.T) {
	ctx := t.Context()
	first, second := latchkey.GenerateKey(), latchkey.GenerateKey()
	raw, weak := memory.Open(), hashertest.New(t)
	engine := func(s store.Store, keys latchkey.Keys) *latchkey.Engine {
		e, err := latchkey.New(s, latchkey.Config{Keys: keys, Hasher: weak})
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	older := engine(raw, latchkey.Keys{Active: first})
	signUp := func(id string) {
		if _, err := older.Users().Create(ctx, latchkey.NewUser{UserID: id, Password: "correct horse"}); err != nil {
			t.Fatal(err)
		}
	}
	signUp("ada")
	n := 2 // the second pass
	s := beforeUpdate{raw, &n, func() { signUp("bob") }}
	done, err := engine(s, latchkey.Keys{Active: second, Old: []latchkey.Key{first}}).Reseal(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if len(done.Left) != 0 { // the older key is said not to be needed any more
		t.Fatalf("left: %v", done.Left)
	}
	newer := engine(raw, latchkey.Keys{Active: second})
	for _, id := range []string{"ada", "bob"} {
		if _, err := newer.Users().PasswordHash(ctx, id); err != nil {
			t.Errorf("%s is sealed with the older key still: %v (%d rows were sealed)", id, err, done.Rows)
		}
	}
}

// N-4: while machines have different active keys, an attacker gets the free guesses once
// with each key, and no more.
func TestN4EachActiveKeyHasItsOwnCounts(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		next := latchkey.GenerateKey()
		first := k.Configured(func(c *latchkey.Config) {
			c.Keys, c.Limiter = latchkey.Keys{Active: k.Keys.Active, Old: []latchkey.Key{next}}, ratelimit.ReportOnly(ratelimit.NewMemory(0))
		})
		second := k.Configured(func(c *latchkey.Config) {
			c.Keys, c.Limiter = latchkey.Keys{Active: next, Old: []latchkey.Key{k.Keys.Active}}, ratelimit.ReportOnly(ratelimit.NewMemory(0))
		})
		compared := 0
		for n := range 40 {
			engine := []*latchkey.Engine{first, second}[n%2]
			err := kit.Err(engine.Guest(kit.At(fmt.Sprintf("203.0.113.%d", n))).CreateEmailPasswordSession(k.Ctx, kit.Ada, "wrong horse"))
			switch {
			case err == latchkey.ErrInvalidCredentials:
				compared++
			case !errors.Is(err, latchkey.ErrRateLimitExceeded):
				k.Fatal(err)
			}
		}
		if compared != 2*11 {
			k.Errorf("%d guesses were compared", compared)
		}
	})
}
