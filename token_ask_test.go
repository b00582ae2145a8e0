package latchkey_test

import (
	"fmt"
	"testing"

	"example.com/latchkey"
	"example.com/latchkey/internal/kit"
)

func TestDiscloseAccountsAnswersWithTheUsersId(t *testing.T) {
	kit.OnEveryAsker(t, latchkey.Policy{DiscloseAccounts: true}, func(k *kit.Kit, ask func(*latchkey.Guest, string) (*latchkey.Token, error), to string) {
		first, err := ask(k.Visitor, "first")
		k.Must(err)
		second, err := ask(k.Visitor, "second")
		k.Must(err)
		if first.UserID != "first" || second.UserID != "first" {
			k.Errorf("%s, then %s", first.UserID, second.UserID)
		}
		k.Must(kit.Err(k.Visitor.CreateSession(k.Ctx, "first", k.MailOf(second, to).Secret)))
		third, err := ask(k.Visitor, "third")
		k.Must(err)
		if third.UserID != "first" {
			k.Errorf("then %s", third.UserID)
		}
	})
}

// AC-051: tokens that other callers asked for under an id do not invalidate the right
// code.
func TestTokensOfOthersUnderAnIdStopNothing(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		ask := func(id, to string) *latchkey.Token {
			token, err := k.Visitor.CreateEmailToken(k.Ctx, latchkey.NewEmailToken{UserID: id, Email: to})
			k.Must(err)
			return token
		}
		for range 3 {
			token := ask("", "evil@example.net")
			for range 4 {
				_ = kit.Err(k.Visitor.CreateSession(k.Ctx, token.UserID, "0000000"))
			}
		}
		ask("bob", "evil@example.net") // this address is slowed
		mine := ask("bob", kit.Ada)
		for i := range 3 {
			k.Must(kit.Err(k.Visitor.CreateMagicURLToken(k.Ctx, latchkey.NewMagicURLToken{UserID: "bob", Email: fmt.Sprintf("evil%d@example.net", i)})))
		}
		k.Must(kit.Err(k.Visitor.CreateSession(k.Ctx, "bob", k.MailOf(mine, kit.Ada).Secret)))
		token, err := k.Users().CreateToken(k.Ctx, "bob", 64, 0)
		k.Must(err)
		for range 12 {
			_ = kit.Err(k.Guest(kit.At("203.0.113.99")).CreateSession(k.Ctx, "bob", "000000"))
		}
		k.Must(kit.Err(k.Visitor.CreateSession(k.Ctx, "bob", token.Secret.Reveal())))
	})
}
