package latchkey_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/notify"
	"example.com/latchkey/ratelimit"
	"example.com/latchkey/store"
	"example.com/latchkey/store/memory"
)

func TestTokenSignsUpAtRedemptionAndInAfterwards(t *testing.T) {
	kit.OnEveryAsker(t, kit.Documented, func(k *kit.Kit, ask func(*latchkey.Guest, string) (*latchkey.Token, error), to string) {
		byMail := to == kit.Ada
		token, err := ask(k.Visitor, "wanted.id")
		k.Must(err)
		m := k.Mail(to)
		if token.UserID != "wanted.id" || !token.Secret.IsZero() || !token.CreatedAt.Equal(k.Clock.Now()) || m.UserID != "wanted.id" ||
			m.Phrase != token.Phrase || !m.Expire.Equal(token.Expire) || m.ID != token.ID || m.Client.OS != "Windows" {
			k.Errorf("%+v, %+v", token, m)
		}
		if byMail && len(strings.Fields(token.Phrase)) != 2 {
			k.Errorf("phrase %q", token.Phrase)
		}
		if n, err := k.Raw.Count(k.Ctx, store.Query{Index: record.Users.Primary()}); n != 0 || err != nil {
			k.Errorf("%d users before the redemption, %v", n, err)
		}
		k.Forget()
		for range 2 {
			session, err := k.Visitor.CreateSession(k.Ctx, token.UserID, m.Secret)
			k.Must(err)
			account, err := k.Visitor.Authenticate(k.Ctx, session.Secret.Reveal())
			k.Must(err)
			user, err := account.User(k.Ctx)
			k.Must(err)
			if user.ID != "wanted.id" || user.EmailVerification != byMail || user.PhoneVerification == byMail || len(user.Targets) != 1 ||
				user.Targets[0].Identifier != to || !user.PasswordUpdate.IsZero() {
				k.Errorf("%+v", user)
			}
			want := map[notify.Kind][2]string{notify.MagicURL: {"magic-url", "email"}, notify.EmailOTP: {"token", "email"}, notify.PhoneOTP: {"phone", "phone"}}[m.Kind]
			if session.Provider != want[0] || !slices.Equal(session.Factors, []string{want[1]}) || session.ProviderUID != to {
				k.Errorf("%+v", session)
			}
			if err := kit.Err(k.Visitor.CreateSession(k.Ctx, token.UserID, m.Secret)); !errors.Is(err, latchkey.ErrInvalidToken) {
				k.Errorf("again: %v", err)
			}
			token, err = ask(k.Visitor, "another.id")
			k.Must(err)
			m = k.Mail(to)
			if token.UserID != "another.id" { // the true id stays hidden
				k.Errorf("%+v", token)
			}
		}
		// The true id redeems the secret too, not only the id in the answer.
		k.Must(kit.Err(k.Visitor.CreateSession(k.Ctx, "wanted.id", m.Secret)))
	})
}

// Wrong codes do not end a token that is too long to guess.
func TestLongCustomTokenOutlivesWrongCodes(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user := k.SignUp(kit.Ada)
		token, err := k.Users().CreateToken(k.Ctx, user.ID, 32, 0)
		k.Must(err)
		for range 9 {
			if err := kit.Err(k.Visitor.CreateSession(k.Ctx, user.ID, strings.Repeat("0", 32))); !errors.Is(err, latchkey.ErrInvalidToken) {
				k.Errorf("%v", err)
			}
		}
		k.Must(kit.Err(k.Visitor.CreateSession(k.Ctx, user.ID, token.Secret.Reveal())))
	})
}

func TestBlockedUserIsToldSoWithTheRightSecretOnly(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user := k.SignUp(kit.Ada)
		k.Must(kit.Err(k.Users().UpdateEmailVerification(k.Ctx, user.ID, true)))
		token, secret := k.AskCode(kit.Ada)
		k.Must(kit.Err(k.Users().UpdateStatus(k.Ctx, user.ID, false)))
		if err := kit.Err(k.Visitor.CreateSession(k.Ctx, token.UserID, kit.OtherCode(secret))); !errors.Is(err, latchkey.ErrInvalidToken) {
			k.Errorf("wrong: %v", err)
		}
		if err := kit.Err(k.Visitor.CreateSession(k.Ctx, token.UserID, secret)); err != latchkey.ErrUserBlocked {
			k.Errorf("right: %v", err)
		}
		list, err := k.Users().Sessions(k.Ctx, user.ID)
		if err != nil || list.Total != 0 {
			k.Errorf("%+v, %v", list, err)
		}
	})
}

// A redemption checks and changes its rows in one transaction.
func TestRedemptionIsOneCommit(t *testing.T) {
	kit.OnEveryAsker(t, kit.Documented, func(k *kit.Kit, ask func(*latchkey.Guest, string) (*latchkey.Token, error), to string) {
		for range 2 { // first signing up, then signing in
			token, err := ask(k.Visitor, "")
			k.Must(err)
			secret := k.MailOf(token, to).Secret
			k.Store.Reset()
			k.Must(kit.Err(k.Visitor.CreateSession(k.Ctx, token.UserID, secret)))
			if updates, reads := k.Store.Updates.Load(), k.Store.Reads.Load(); updates != 1 || reads != 0 {
				k.Errorf("%d transactions and %d reads beside them", updates, reads)
			}
		}
	})
}

// AC-061: networks from which an account was used before its first proof are no
// longer known.
func TestPlantedNetworksAreForgotten(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user := k.SignUp(kit.Ada)
		var planted []*latchkey.Guest
		for i := range 5 {
			g := k.Guest(kit.At(fmt.Sprintf("198.51.100.%d", i+1)))
			k.Must(kit.Err(g.CreateEmailPasswordSession(k.Ctx, kit.Ada, kit.Password)))
			planted = append(planted, g)
		}
		token, code := k.AskCode(kit.Ada)
		k.Must(kit.Err(k.Visitor.CreateSession(k.Ctx, token.UserID, code)))
		wrong := 0
		for _, g := range planted {
			for range 2 {
				_, code := k.AskCode(kit.Ada)
				for range 5 {
					if errors.Is(kit.Err(g.CreateSession(k.Ctx, user.ID, kit.OtherCode(code))), latchkey.ErrInvalidToken) {
						wrong++
					}
				}
			}
		}
		if wrong > 11 {
			k.Errorf("%d compared", wrong)
		}
	})
}

// AC-061: an attacker who signs up with the owner's address and blocks the account
// does not keep the owner out.
func TestBlockedSquatterDoesNotHoldTheAddress(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		squatter := k.SignUp(kit.Ada)
		_, account := k.SignIn(kit.Ada)
		k.Must(kit.Err(account.Block(k.Ctx)))
		token, code := k.AskCode(kit.Ada)
		session, err := k.Visitor.CreateSession(k.Ctx, token.UserID, code)
		k.Must(err)
		user, err := k.Users().Get(k.Ctx, squatter.ID)
		k.Must(err)
		if session.UserID == squatter.ID || user.Email != "" || user.Status {
			k.Errorf("%+v, %+v", session, user)
		}
	})
}

// Any text in place of a link or a code is refused in one of two ways. It changes
// only counts, and no secret of another kind serves.
func FuzzRedeem(f *testing.F) {
	s := memory.Open()
	engine, err := latchkey.New(s, latchkey.Config{
		Keys: latchkey.Keys{Active: latchkey.GenerateKey()}, Notifier: new(notify.Mailbox), Logger: slog.New(slog.DiscardHandler),
		Limiter: ratelimit.ReportOnly(ratelimit.NewMemory(0)),
	})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() {
		_ = engine.Close()
		_ = s.Close()
	})
	ctx := context.Background()
	user, err := engine.Users().Create(ctx, latchkey.NewUser{UserID: "ada", Email: "ada@example.org"})
	if err != nil {
		f.Fatal(err)
	}
	session, err := engine.Users().CreateSession(ctx, user.ID)
	if err != nil {
		f.Fatal(err)
	}
	if _, err := engine.Users().CreateToken(ctx, user.ID, 128, 365*24*time.Hour); err != nil {
		f.Fatal(err)
	}
	guest := engine.Guest(latchkey.Client{})
	f.Add("ada", session.Secret.Reveal())
	f.Add("ada", "123456")
	f.Add("nobody", strings.Repeat("0", 128))
	f.Add("_", "\xff")
	f.Add("", "")
	f.Fuzz(func(t *testing.T, id, secret string) {
		_, err := guest.CreateSession(ctx, id, secret)
		var slowed *latchkey.ThrottledError
		if !errors.Is(err, latchkey.ErrInvalidToken) && !errors.Is(err, latchkey.ErrArgumentInvalid) && !errors.As(err, &slowed) {
			t.Errorf("%q, %q: %v", id, secret, err)
		}
		if _, err := guest.InspectToken(ctx, id, secret); !errors.Is(err, latchkey.ErrInvalidToken) && !errors.Is(err, latchkey.ErrArgumentInvalid) {
			t.Errorf("%q, %q: %v", id, secret, err)
		}
	})
}
