package latchkey_test

import (
	"context"
	"testing"

	"example.com/latchkey"
	"example.com/latchkey/store/memory"
)

// A pattern that selects no event that there is would lose every event of its receiver without a word, so New
// refuses it.
func TestPatternsThatSelectNothingAreRefused(t *testing.T) {
	for _, pattern := range []string{"", "*", "users", "user.*.create", "users.create", "users.*.*.*.create", "users.*.session.*.create", "users.*.sessions.create.*", "USERS.*.create", "users.*.create "} {
		engine, err := latchkey.New(memory.Open(), latchkey.Config{
			Keys: latchkey.Keys{Active: latchkey.GenerateKey()}, LimiterPerProcess: true,
			Outbox: &latchkey.Outbox{Receivers: []latchkey.Receiver{{Name: "crm", Events: []string{pattern}, Receive: func(context.Context, latchkey.Event) error { return nil }}}},
		})
		if err == nil {
			t.Errorf("%q is taken", pattern)
			_ = engine.Close()
		}
	}
}
