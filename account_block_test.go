package latchkey_test

import (
	"testing"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/internal/kit"
)

func TestUpdateStatusBlocksTheCallerAtOnceAndOnlyTheServerUndoesIt(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user := k.SignUp(kit.Ada)
		session, account := k.SignIn(kit.Ada)
		_, other := k.SignIn(kit.Ada)
		k.Forget()
		got, err := account.Block(k.Ctx)
		k.Must(err)
		if got.Status {
			k.Error("the status is still true")
		}
		k.Same("events", k.Events(user.ID, "U"), []string{"users.U.update.status by user"})
		k.Same("log", k.Logs(), []string{"user.update by user"})
		for what, do := range map[string]func() error{
			"its handle":   func() error { return kit.Err(account.User(k.Ctx)) },
			"other handle": func() error { return other.DeleteSessions(k.Ctx) },
			"secret":       func() error { return kit.Err(k.Visitor.Authenticate(k.Ctx, session.Secret.Reveal())) },
			"again":        func() error { return kit.Err(account.Block(k.Ctx)) },
		} {
			k.Refuses(what, latchkey.ErrUserBlocked, do)
		}
		if _, err := k.Visitor.CreateEmailPasswordSession(k.Ctx, kit.Ada, kit.Password); err != latchkey.ErrUserBlocked {
			k.Errorf("sign-in: %v", err)
		}
		_, err = k.Users().UpdateStatus(k.Ctx, user.ID, true)
		k.Must(err)
		_, err = account.User(k.Ctx)
		k.Must(err)
	})
}

// A JWT was handed to another service, and a cookie may be old: neither blocks the account
// for good. A21.
func TestA21BlockingAsksForAFreshSession(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user := k.SignUp(kit.Ada)
		session, account := k.SignIn(kit.Ada)
		byJWT, _ := k.ByJWT(user.ID, session.ID)
		k.Refuses("by JWT", latchkey.ErrSessionNotFound, func() error { return kit.Err(byJWT.Block(k.Ctx)) })
		k.Clock.Advance(31 * time.Minute)
		k.Refuses("old", latchkey.ErrChallengeRequired, func() error { return kit.Err(account.Block(k.Ctx)) })
		_, fresh := k.SignIn(kit.Ada)
		k.Must(kit.Err(fresh.Block(k.Ctx)))
	})
}
