package latchkey_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/notify"
	"example.com/latchkey/ratelimit"
)

func TestChannelOfTheFirstFactorDoesNotCountTwice(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user := k.Proven()
		k.Must(kit.Err(k.Users().UpdateMFA(k.Ctx, user.ID, true)))
		token, secret := k.AskCode(kit.Ada)
		session, err := k.Visitor.CreateSession(k.Ctx, token.UserID, secret)
		k.Must(err)
		for _, c := range []struct {
			factor latchkey.Factor
			to     string
			owed   bool
		}{{latchkey.FactorEmail, kit.Ada, true}, {latchkey.FactorPhone, kit.Phone, false}} {
			_, err := k.Visitor.Authenticate(k.Ctx, session.Secret.Reveal())
			var more *latchkey.MoreFactorsError
			if !errors.As(err, &more) {
				k.Fatal(err)
			}
			if c.owed { // the session was made by it
				k.Refuses("a challenge that cannot help", latchkey.ErrFactorDoesNotHelp, func() error { return kit.Err(more.Pending.CreateMFAChallenge(k.Ctx, c.factor)) })
				continue
			}
			challenge, err := more.Pending.CreateMFAChallenge(k.Ctx, c.factor)
			k.Must(err)
			m := k.Message(challenge.ID, c.to)
			if m.Kind != notify.Challenge || len(m.Secret) != 6 || m.Name != "Ada" {
				k.Errorf("%+v", m)
			}
			session, err = more.Pending.ConfirmMFAChallenge(k.Ctx, challenge.ID, m.Secret)
			k.Must(err)
			if err := kit.Err(k.Visitor.Authenticate(k.Ctx, session.Secret.Reveal())); errors.Is(err, latchkey.ErrMoreFactorsRequired) != c.owed {
				k.Errorf("after %s: %v", c.factor, err)
			}
		}
	})
}

// push is a custom factor of the host.
type push struct {
	mu    sync.Mutex
	begun map[string]string
	asked int
}

func (p *push) Begin(_ context.Context, userID, challengeID string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.begun[challengeID] = userID
	return nil
}

func (p *push) Check(_ context.Context, userID, challengeID, answer string) (bool, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked++
	return p.begun[challengeID] == userID && answer == "yes", nil
}

func TestHostsOwnFactor(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.Enrolled(latchkey.NewMFAAuthenticator{})
		host := &push{begun: make(map[string]string)}
		engine := k.Configured(func(c *latchkey.Config) { c.CustomFactor = host })
		_, pending := k.Owing(engine.Guest(kit.Client))
		if factors, err := pending.MFAFactors(k.Ctx); err != nil || !factors.Custom {
			k.Errorf("%+v, %v", factors, err)
		}
		challenge, err := pending.CreateMFAChallenge(k.Ctx, latchkey.FactorCustom)
		k.Must(err)
		var group sync.WaitGroup
		for range 9 {
			group.Go(func() { _ = kit.Err(pending.ConfirmMFAChallenge(k.Ctx, challenge.ID, "no")) })
		}
		group.Wait()
		if host.asked > 5 { // AC-038: five answers, even at once
			k.Errorf("%d answers are compared", host.asked)
		}
		if err := kit.Err(pending.ConfirmMFAChallenge(k.Ctx, challenge.ID, "yes")); !errors.Is(err, latchkey.ErrInvalidToken) {
			k.Errorf("after five: %v", err)
		}
		session, err := k.Answers(pending, latchkey.FactorCustom, "yes")
		k.Must(err)
		if !slices.Equal(session.Factors, []string{"password", "custom"}) {
			k.Error(session.Factors)
		}
		k.Must(kit.Err(engine.Guest(kit.Client).Authenticate(k.Ctx, session.Secret.Reveal())))
	})
}

// With CustomCodes the engine makes and compares the codes of the host's factor.
func TestCustomCodesAreReadByTheServerAndAnswered(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.Enrolled(latchkey.NewMFAAuthenticator{})
		other := k.SignUp(kit.Bob)
		engine := k.Configured(func(c *latchkey.Config) { c.CustomCodes = true })
		server := engine.Users()
		_, pending := k.Owing(engine.Guest(kit.Client))
		if factors, err := pending.MFAFactors(k.Ctx); err != nil || !factors.Custom {
			k.Errorf("%+v, %v", factors, err)
		}
		asked, err := pending.CreateMFAChallenge(k.Ctx, latchkey.FactorCustom)
		k.Must(err)
		if !asked.Code.IsZero() {
			k.Error("the user gets the code with the challenge")
		}
		question, err := server.GetMFAChallenge(k.Ctx, pending.UserID(), asked.ID)
		k.Must(err)
		code := question.Code.Reveal()
		if question.ID != asked.ID || question.UserID != pending.UserID() || !question.Expire.Equal(asked.Expire) || len(code) != 6 {
			k.Errorf("%+v", question)
		}
		if dump := fmt.Sprintf("%+v", question); strings.Contains(dump, code) {
			k.Error(dump)
		}
		totp, err := pending.CreateMFAChallenge(k.Ctx, latchkey.FactorTOTP)
		k.Must(err)
		for name, err := range map[string]error{
			"unknown":        kit.Err(server.GetMFAChallenge(k.Ctx, pending.UserID(), "unknown")),
			"another user's": kit.Err(server.GetMFAChallenge(k.Ctx, other.ID, asked.ID)),
			"another factor": kit.Err(server.GetMFAChallenge(k.Ctx, pending.UserID(), totp.ID)),
		} {
			if !errors.Is(err, latchkey.ErrInvalidToken) {
				k.Errorf("%s: %v", name, err)
			}
		}
		if err := kit.Err(server.GetMFAChallenge(k.Ctx, "stranger", asked.ID)); err != latchkey.ErrUserNotFound {
			k.Error(err)
		}
		if err := kit.Err(pending.ConfirmMFAChallenge(k.Ctx, asked.ID, "12345")); !errors.Is(err, latchkey.ErrInvalidToken) {
			k.Error(err)
		}
		session, err := pending.ConfirmMFAChallenge(k.Ctx, asked.ID, code)
		k.Must(err)
		if !slices.Equal(session.Factors, []string{"password", "custom"}) {
			k.Error(session.Factors)
		}
		if err := kit.Err(server.GetMFAChallenge(k.Ctx, pending.UserID(), asked.ID)); !errors.Is(err, latchkey.ErrInvalidToken) { // used
			k.Error(err)
		}
		account, err := engine.Guest(kit.Client).Authenticate(k.Ctx, session.Secret.Reveal())
		k.Must(err)
		asked, err = account.CreateMFAChallenge(k.Ctx, latchkey.FactorCustom)
		k.Must(err)
		question, err = server.GetMFAChallenge(k.Ctx, account.UserID(), asked.ID)
		k.Must(err)
		for range 5 {
			_ = kit.Err(account.ConfirmMFAChallenge(k.Ctx, asked.ID, kit.OtherCode(question.Code.Reveal())))
		}
		if err := kit.Err(server.GetMFAChallenge(k.Ctx, account.UserID(), asked.ID)); !errors.Is(err, latchkey.ErrInvalidToken) {
			k.Errorf("after five wrong answers: %v", err)
		}
		asked, err = account.CreateMFAChallenge(k.Ctx, latchkey.FactorCustom)
		k.Must(err)
		host := &push{begun: make(map[string]string)} // a configuration that changes between question and answer
		later := k.Configured(func(c *latchkey.Config) { c.CustomFactor = host })
		account, err = later.Guest(kit.Client).Authenticate(k.Ctx, session.Secret.Reveal())
		k.Must(err)
		question, err = server.GetMFAChallenge(k.Ctx, account.UserID(), asked.ID)
		k.Must(err)
		session, err = account.ConfirmMFAChallenge(k.Ctx, asked.ID, question.Code.Reveal())
		k.Must(err)
		if host.asked > 0 {
			k.Error("the host compares a code of the engine")
		}
		account, err = engine.Guest(kit.Client).Authenticate(k.Ctx, session.Secret.Reveal())
		k.Must(err)
		asked, err = account.CreateMFAChallenge(k.Ctx, latchkey.FactorCustom)
		k.Must(err)
		k.Clock.Advance(15 * time.Minute)
		if err := kit.Err(server.GetMFAChallenge(k.Ctx, account.UserID(), asked.ID)); !errors.Is(err, latchkey.ErrInvalidToken) {
			k.Errorf("expired: %v", err)
		}
	})
}

func TestOnlyOneOfCustomFactorAndCustomCodes(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		if _, err := latchkey.New(k.Store, latchkey.Config{Keys: k.Keys, LimiterPerProcess: true, CustomFactor: badPush{}, CustomCodes: true}); err == nil {
			k.Error("both are taken")
		}
	})
}

type badPush struct{}

func (badPush) Begin(context.Context, string, string) error { panic("begin") }

func (badPush) Check(context.Context, string, string, string) (bool, error) { panic("check") }

func TestHostsFactorThatPanicsFails(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		engine := k.Configured(func(c *latchkey.Config) { c.CustomFactor = badPush{} })
		k.SignUp(kit.Ada)
		s, _ := k.SignIn(kit.Ada)
		a, err := engine.Guest(kit.Client).Authenticate(k.Ctx, s.Secret.Reveal())
		k.Must(err)
		defer func() {
			if p := recover(); p != nil {
				k.Errorf("panics: %v", p)
			}
		}()
		_ = kit.Err(a.CreateMFAChallenge(k.Ctx, latchkey.FactorCustom))
	})
}

// While a user's custom factor is slowed, the engine does not call the host.
func TestHostIsNotAskedWhileItsFactorIsSlowed(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		p := &push{begun: map[string]string{}}
		engine := k.Configured(func(c *latchkey.Config) {
			c.CustomFactor, c.Limiter = p, ratelimit.ReportOnly(ratelimit.NewMemory(0))
		})
		k.Enrolled(latchkey.NewMFAAuthenticator{})
		_, pending := k.Owing(engine.Guest(kit.At("203.0.113.1")))
		for range 10 {
			c, err := pending.CreateMFAChallenge(k.Ctx, latchkey.FactorCustom)
			k.Must(err)
			for range 5 {
				_ = kit.Err(pending.ConfirmMFAChallenge(k.Ctx, c.ID, "no"))
			}
		}
		if p.asked > 11 {
			k.Errorf("the host was asked %d times, 11 were let through", p.asked)
		}
	})
}
