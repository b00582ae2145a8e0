package authtest_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/authtest"
)

func TestAHostsTestIsFiveLines(t *testing.T) {
	kit := authtest.New(t, latchkey.Config{Policy: latchkey.Policy{Sessions: latchkey.SessionPolicy{Length: time.Hour}}})
	_, session := kit.SignIn("ada@example.org")
	kit.Clock.Advance(time.Hour)
	if _, err := kit.Guest.Authenticate(context.Background(), session.Secret.Reveal()); !errors.Is(err, latchkey.ErrUnauthorized) {
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
