package latchkey_test

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/authtest"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/notify"
	"example.com/latchkey/ratelimit"
	"example.com/latchkey/store"
	"example.com/latchkey/store/memory"
)

// The words of a refusal are about the text that was given.
func TestWordsAreAboutTheTextThatWasGiven(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user := k.SignUp(kit.Ada)
		link := strings.Repeat("0f", 32)
		for text, want := range map[string]string{
			link: "The link is wrong", link + "\r\n": "The link is wrong", " " + link[:30] + "\n" + link[30:]: "The link is wrong", "123456": "The code is wrong", "abcd": "The code is wrong",
			"abc": "This is not a code", strings.Repeat("a", 129): "This is not a code", "wxyz": "This is not a code",
		} {
			if err := kit.Err(k.Visitor.CreateSession(k.Ctx, user.ID, text)); !errors.Is(err, latchkey.ErrInvalidToken) || !strings.Contains(err.Error(), want) {
				k.Errorf("%q: %v", text, err)
			}
		}
	})
}

// An app of eight digits is spoken of as such, and a wrong code of an app as one.
func TestWordsAreAboutTheAppAtHand(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		_, app, _ := k.Enrolled(latchkey.NewMFAAuthenticator{Digits: 8})
		_, pending := k.Owing(k.Visitor)
		challenge, err := pending.CreateMFAChallenge(k.Ctx, latchkey.FactorTOTP)
		k.Must(err)
		wrong := "00000000"
		if app.Code() == wrong {
			wrong = "11111111"
		}
		for text, want := range map[string]string{"123456": "which has 8 digits", wrong: "The code of the authenticator app is wrong"} {
			if err := kit.Err(pending.ConfirmMFAChallenge(k.Ctx, challenge.ID, text)); !errors.Is(err, latchkey.ErrInvalidToken) || !strings.Contains(err.Error(), want) {
				k.Errorf("%q: %v", text, err)
			}
		}
	})
}

// In the session too, a text that is no code is not counted. A JWT does not learn that the address is
// verified.
func TestAConfirmationInTheSessionIsNoGuessWithoutACode(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.Visitor = k.LimitedEngine(nil).Guest(kit.Client)
		k.SignUp(kit.Ada)
		_, account := k.SignIn(kit.Ada)
		k.Must(kit.Err(account.UpdatePhone(k.Ctx, kit.OwnPhone, kit.Password)))
		token, err := account.CreatePhoneVerification(k.Ctx)
		k.Must(err)
		code := k.MailOf(token, kit.OwnPhone).Secret
		before := k.Everything()
		for range 25 {
			for _, text := range noCodes {
				if err := kit.Err(account.ConfirmPhoneVerification(k.Ctx, text)); !errors.Is(err, latchkey.ErrInvalidToken) || !strings.Contains(err.Error(), "six digits") {
					k.Fatalf("%q: %v", text, err)
				}
			}
		}
		k.Same("rows", k.Everything(), before)
		jwt, err := account.CreateJWT(k.Ctx, 0)
		k.Must(err)
		k.Must(kit.Err(account.ConfirmPhoneVerification(k.Ctx, code)))
		if err := kit.Err(account.ConfirmPhoneVerification(k.Ctx, code)); !errors.Is(err, latchkey.ErrPhoneAlreadyVerified) {
			k.Errorf("in the session: %v", err)
		}
		byJWT, err := k.Visitor.AuthenticateJWT(k.Ctx, jwt.Reveal())
		k.Must(err)
		if err := kit.Err(byJWT.ConfirmPhoneVerification(k.Ctx, code)); errors.Is(err, latchkey.ErrPhoneAlreadyVerified) {
			k.Errorf("by a JWT: %v", err)
		}
	})
}

// A list of languages is looked at up to 2 KB: a header of megabytes costs nothing.
func TestTheEndOfALongLocaleIsNotLookedAt(t *testing.T) {
	host := authtest.New(t, latchkey.Config{})
	client := authtest.Client
	client.Locale = strings.Repeat("\u00e9,", 5000) + "de"
	if err := kit.Err(host.Engine.Guest(client).CreateEmailToken(t.Context(), latchkey.NewEmailToken{Email: kit.Ada})); err != nil {
		t.Fatal(err)
	}
	if m, err := host.Mailbox.Next(t.Context(), kit.Ada); err != nil || m.Locale != "" {
		t.Errorf("%q, %v", m.Locale, err)
	}
}

// A link of an invitation that was cancelled while its message waited is not sent.
func TestACancelledInvitationIsNotSent(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		var down atomic.Bool
		down.Store(true)
		box := new(notify.Mailbox)
		failing := notify.Func(func(ctx context.Context, m notify.Message) error {
			if down.Load() {
				return errors.New("451")
			}
			return box.Notify(ctx, m)
		})
		c := newClub(k)
		engine := k.Configured(func(c *latchkey.Config) {
			c.Notifier, c.SMS, c.Limiter = failing, failing, ratelimit.ReportOnly(ratelimit.NewMemory(0))
		})
		session, err := k.Users().CreateSession(k.Ctx, c.accounts["owner"].UserID())
		k.Must(err)
		owner, err := engine.Guest(kit.Client).Authenticate(k.Ctx, session.Secret.Reveal())
		k.Must(err)
		var last *latchkey.Membership
		for _, email := range []string{"first@example.org", "second@example.org"} {
			last, err = owner.Teams().CreateMembership(k.Ctx, c.id, latchkey.NewMembership{Email: email, URL: kit.JoinURL})
			k.Must(err)
		}
		k.Must(owner.Teams().DeleteMembership(k.Ctx, c.id, last.ID))
		for engine.Deliveries().Retried < 2 { // both have failed once
			runtime.Gosched()
		}
		down.Store(false)
		k.Must(engine.Close())
		all := box.All()
		if n := engine.Deliveries(); len(all) != 1 || all[0].To != "first@example.org" || n.Stale != 1 {
			k.Errorf("%d messages, %+v", len(all), n)
		}
	})
}

// gated is a store whose transactions wait while it is held, as for the lock of another process, and
// whose reads and writes inside a transaction may take a while.
type gated struct {
	store.Store
	begun       atomic.Int32
	hold        chan struct{} // nil, or closed when the lock is free
	read, write time.Duration
}

// after waits for a time.
func after(ctx context.Context, d time.Duration) error {
	if d == 0 {
		return ctx.Err()
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

func (g *gated) Update(ctx context.Context, body func(context.Context, store.Tx) error) error {
	g.begun.Add(1)
	if g.hold != nil {
		select {
		case <-g.hold:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return g.Store.Update(ctx, func(ctx context.Context, tx store.Tx) error { return body(ctx, &gatedTx{tx, g}) })
}

type gatedTx struct {
	store.Tx
	*gated
}

func (g *gatedTx) Get(ctx context.Context, ix *store.Index, key ...store.Value) (row store.Row, err error) {
	if err := after(ctx, g.read); err != nil {
		return row, err
	}
	return g.Tx.Get(ctx, ix, key...)
}

func (g *gatedTx) GetBoth(ctx context.Context, p *store.Pair, key ...store.Value) (part, parent store.Row, err error) {
	if err := after(ctx, g.read); err != nil {
		return part, parent, err
	}
	return g.Tx.GetBoth(ctx, p, key...)
}

func (g *gatedTx) List(ctx context.Context, q store.Query) ([]store.Row, error) {
	return g.Tx.List(ctx, q)
}

func (g *gatedTx) Count(ctx context.Context, q store.Query) (int, error) { return g.Tx.Count(ctx, q) }

func (g *gatedTx) Replace(ctx context.Context, t *store.Table, row store.Row) error {
	if err := after(ctx, g.write); err != nil {
		return err
	}
	return g.Tx.Replace(ctx, t, row)
}

// onGated runs test in a bubble, with a user whose session was last noted 25 hours ago.
func onGated(t *testing.T, test func(t *testing.T, g *gated, clock *authtest.Clock, engine *latchkey.Engine, session *latchkey.Session)) {
	synctest.Test(t, func(t *testing.T) {
		g, clock := &gated{Store: memory.Open()}, authtest.NewClock()
		engine, session := engineOfAda(t, g, latchkey.Config{Now: clock.Now})
		clock.Advance(25 * time.Hour)
		test(t, g, clock, engine, session)
		if err := errors.Join(engine.Close(), g.Store.Close()); err != nil {
			t.Error(err)
		}
	})
}

// There is one note of a session under way behind the answers, however many checks there are, and the
// next use is noted again.
func TestOneLateNoteOfASessionIsUnderWay(t *testing.T) {
	onGated(t, func(t *testing.T, g *gated, clock *authtest.Clock, engine *latchkey.Engine, session *latchkey.Session) {
		for round := range 2 {
			g.hold = make(chan struct{})
			before := g.begun.Load()
			var group sync.WaitGroup
			for range 20 {
				group.Go(func() {
					if err := kit.Err(engine.Guest(kit.Client).Authenticate(t.Context(), session.Secret.Reveal())); err != nil {
						t.Error(err)
					}
				})
			}
			group.Wait()
			synctest.Wait()
			if n := g.begun.Load() - before; n != 1 {
				t.Errorf("round %d: %d transactions for 20 checks", round, n)
			}
			close(g.hold)
			synctest.Wait()
			shown, err := engine.Users().Get(t.Context(), session.UserID)
			if err != nil || !shown.AccessedAt.Equal(clock.Now()) {
				t.Errorf("round %d: seen at %v, %v", round, shown.AccessedAt, err)
			}
			clock.Advance(25 * time.Hour)
		}
	})
}

// A check waits a tenth of a second for the note of its use, wherever that waits, and the note goes on.
func TestACheckWaitsATenthOfASecondForItsNote(t *testing.T) {
	for name, c := range map[string]struct{ read, write, took time.Duration }{
		"at once": {}, "a quick store": {10 * time.Millisecond, 0, 20 * time.Millisecond}, "slow reads": {300 * time.Millisecond, 0, 100 * time.Millisecond},
		"a lock at the write": {0, 10 * time.Second, 100 * time.Millisecond},
	} {
		onGated(t, func(t *testing.T, g *gated, clock *authtest.Clock, engine *latchkey.Engine, session *latchkey.Session) {
			g.read, g.write = c.read, c.write
			began, before := time.Now(), g.begun.Load()
			if err := kit.Err(engine.Guest(kit.Client).Authenticate(t.Context(), session.Secret.Reveal())); err != nil {
				t.Error(err)
			}
			if took := time.Since(began); took != c.took { // of the bubble
				t.Errorf("%s: the check takes %v", name, took)
			}
			pass(30 * time.Second)
			if n := g.begun.Load() - before; n != 1 {
				t.Errorf("%s: %d transactions", name, n)
			}
			g.read, g.write = 0, 0
			shown, err := engine.Users().Get(t.Context(), session.UserID)
			if noted := err == nil && shown.AccessedAt.Equal(clock.Now()); !noted && c.write < 8*time.Second {
				t.Errorf("%s: seen at %v, %v", name, shown.AccessedAt, err)
			}
		})
	}
}
