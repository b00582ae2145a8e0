package latchkey_test

import (
	"context"
	"testing"

	"example.com/latchkey"
	"example.com/latchkey/hasher/hashertest"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/store/memory"
)

// The event of a new user goes to a receiver also without Config.OnEvent, after a sign-up and from the server.
func TestAReceiverHearsOfANewUser(t *testing.T) {
	key := latchkey.GenerateKey()
	active, err := latchkey.ParseKey(key.Reveal())
	if err != nil {
		t.Fatal(err)
	}
	names := make(chan string, 8)
	engine, err := latchkey.New(memory.Open(), latchkey.Config{
		Keys: latchkey.Keys{Active: active}, Hasher: hashertest.New(t), LimiterPerProcess: true,
		Outbox: &latchkey.Outbox{Receivers: []latchkey.Receiver{{
			Name: "all", Events: []string{"users.*.create"},
			Receive: func(_ context.Context, e latchkey.Event) error { names <- e.Payload.(*latchkey.User).Email; return nil },
		}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	if _, err := engine.Guest(kit.Client).CreateAccount(ctx, latchkey.NewAccount{Email: "ann@example.org", Password: kit.Password}); err != nil {
		t.Fatal(err)
	}
	if _, err := engine.Users().Create(ctx, latchkey.NewUser{Email: "ben@example.org"}); err != nil {
		t.Fatal(err)
	}
	if err := engine.Close(); err != nil {
		t.Fatal(err)
	}
	close(names)
	told := make(map[string]bool)
	for name := range names {
		told[name] = true
	}
	if !told["ann@example.org"] || !told["ben@example.org"] {
		t.Errorf("the receiver has heard of %v", told)
	}
}
