package latchkey_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/store"
)

// EndAll ends every session, link, code, challenge and JWT: F-7.
func TestF7EverythingEnds(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		account, app, _ := k.Enrolled(latchkey.NewMFAAuthenticator{})
		k.Clock.Advance(time.Minute)
		owing, pending := k.Owing(k.Visitor)
		challenge, err := pending.CreateMFAChallenge(k.Ctx, latchkey.FactorTOTP)
		k.Must(err)
		_, bound := k.ByJWT(account.UserID(), account.SessionID())
		grace, err := k.Users().Create(k.Ctx, latchkey.NewUser{Name: "Grace"})
		k.Must(err)
		free, unbound := k.ByJWT(grace.ID, "") // without a session
		mail, code := k.AskCode("grace@example.org")
		recovery := k.Recovery()
		k.Must(k.EndAll(k.Ctx))
		if rows := k.Rows(); rows["sessions"]+rows["tokens"]+rows["challenges"] != 0 {
			k.Errorf("left: %v", rows)
		}
		for what, do := range map[string]func() error{
			"session":     func() error { return kit.Err(account.User(k.Ctx)) },
			"pending":     func() error { return kit.Err(k.Visitor.Authenticate(k.Ctx, owing.Secret.Reveal())) },
			"challenge":   func() error { return kit.Err(pending.ConfirmMFAChallenge(k.Ctx, challenge.ID, app.Code())) },
			"JWT":         func() error { return kit.Err(k.Visitor.AuthenticateJWT(k.Ctx, bound.Reveal())) },
			"server JWT":  func() error { return kit.Err(k.Visitor.AuthenticateJWT(k.Ctx, unbound.Reveal())) },
			"JWT handle":  func() error { return kit.Err(free.User(k.Ctx)) },
			"JWT, writes": func() error { return kit.Err(free.UpdateName(k.Ctx, "Eve")) },
		} {
			k.Refuses(what, latchkey.ErrUnauthorized, do)
		}
		if err := kit.Err(k.Visitor.CreateSession(k.Ctx, mail.UserID, code)); !errors.Is(err, latchkey.ErrInvalidToken) {
			k.Errorf("code: %v", err)
		}
		if err := k.Recover(recovery); !errors.Is(err, latchkey.ErrInvalidToken) {
			k.Errorf("recovery: %v", err)
		}
		k.Owing(k.Visitor)
		_, again := k.ByJWT(grace.ID, "")
		k.Must(k.EndAll(k.Ctx))
		k.Refuses("again", latchkey.ErrUnauthorized, func() error { return kit.Err(k.Visitor.AuthenticateJWT(k.Ctx, again.Reveal())) })
		logs, err := record.Logs.List(k.Ctx, k.Raw, store.Query{Index: record.Logs.Index("created"), Limit: store.MaxLimit})
		k.Must(err)
		if !slices.ContainsFunc(logs, func(l *record.Log) bool { return l.Event == "sessions.end" && l.Mode == "system" }) {
			k.Error("the log has no line of it")
		}
	})
}
