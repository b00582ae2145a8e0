package authtest_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/authtest"
	"example.com/latchkey/notify"
)

func TestAHostsTestIsFiveLines(t *testing.T) {
	kit := authtest.New(t, latchkey.Config{Policy: latchkey.Policy{Sessions: latchkey.SessionPolicy{Length: time.Hour}}})
	_, session := kit.SignIn("ada@example.org")
	kit.Clock.Advance(time.Hour)
	if _, err := kit.Visitor.Authenticate(context.Background(), session.Secret.Reveal()); !errors.Is(err, latchkey.ErrUnauthorized) {
		t.Errorf("after an hour: %v", err)
	}
}

func TestKitRecordsEventsAndPassesThemOn(t *testing.T) {
	passed := 0
	kit := authtest.New(t, latchkey.Config{OnEvent: func(context.Context, latchkey.Event) { passed++ }})
	one, _ := kit.SignIn("ada@example.org")
	two, _ := kit.SignIn("ada@example.org")
	if one.UserID() != two.UserID() || one.SessionID() == two.SessionID() {
		t.Error("the second sign-in is of another user, or the same session")
	}
	if n := kit.Events.Count("users.*.sessions.*.create"); n != 2 {
		t.Errorf("%d sign-ins", n)
	}
	if all := kit.Events.Take(); len(all) != 3 || passed != 3 || len(kit.Events.Take()) != 0 {
		t.Errorf("%d events taken, %d passed on", len(all), passed)
	}
	at := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	kit.Clock.Set(at)
	three, err := kit.Users().Create(context.Background(), latchkey.NewUser{})
	if err != nil || !three.CreatedAt.Equal(at) {
		t.Errorf("%v, %v", three, err)
	}
}

func TestTheKitMakesUsersOfEveryKindInALine(t *testing.T) {
	kit := authtest.New(t, latchkey.Config{Policy: latchkey.Policy{RequireVerifiedEmail: true, SignUp: latchkey.SignUpClosed}})
	ctx := context.Background()
	account, _ := kit.SignInVerified("ada@example.org")
	app := kit.EnrolTOTP(account)
	session, err := kit.Elsewhere().CreateEmailPasswordSession(ctx, "ada@example.org", authtest.Password)
	if err != nil {
		t.Fatal(err)
	}
	_, err = kit.Visitor.Authenticate(ctx, session.Secret.Reveal())
	owed, is := errors.AsType[*latchkey.MoreFactorsError](err)
	if !is {
		t.Fatal(err)
	}
	challenge, err := owed.Pending.CreateMFAChallenge(ctx, latchkey.FactorTOTP)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := owed.Pending.ConfirmMFAChallenge(ctx, challenge.ID, app.Code()); err != nil {
		t.Error(err)
	}
	blocked := kit.Blocked("bob@example.org")
	_, err = kit.Visitor.CreateEmailPasswordSession(ctx, blocked.Email, authtest.Password)
	if !errors.Is(err, latchkey.ErrUserBlocked) || blocked.Status {
		t.Error(err)
	}
	one, err := kit.Elsewhere().CreateEmailToken(ctx, latchkey.NewEmailToken{Email: "ada@example.org"})
	if err != nil {
		t.Fatal(err)
	}
	if m := kit.Mail("ada@example.org"); m.Kind != notify.FactorsChanged && m.ID != one.ID {
		t.Errorf("%v", m)
	}
}

// failing is a test that records how it ends.
type failing struct {
	testing.TB
	text string
}

func (f *failing) Helper() {}

func (f *failing) Fatalf(format string, args ...any) {
	f.text = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

// A message that does not come ends the test within two seconds, and the failure says what has come.
func TestAMissingMessageSaysWhatHasComeInstead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &failing{TB: t}
		kit := authtest.New(f, latchkey.Config{})
		ended := make(chan time.Duration)
		missing := func() {
			began := time.Now()
			go func() {
				defer func() { ended <- time.Since(began) }()
				kit.Mail("bob@example.org")
			}()
		}
		missing()
		if took := <-ended; took != 2*time.Second || !strings.HasSuffix(f.text, "no message to bob@example.org within 2s; nothing has come") {
			t.Errorf("%v: %s", took, f.text)
		}
		if _, err := kit.Visitor.CreateEmailToken(context.Background(), latchkey.NewEmailToken{Email: "ada@example.org"}); err != nil {
			t.Fatal(err)
		}
		missing()
		if <-ended; !strings.HasSuffix(f.text, "; email-otp to ada@example.org has come") {
			t.Error(f.text)
		}
	})
}
