package capacity

import (
	"context"
	"regexp"
	"testing"

	"example.com/latchkey"
	"example.com/latchkey/internal/pgtest"
)

// On PostgreSQL, a look at a free key is in conflict with all who insert near it. So a sign-up looks
// at none of the tables into which sign-ups insert. The server's takes three round trips: the rows
// with a look for wrong passwords at the address, a look for a held address, and the commit. A visitor's looks for
// the id of a deleted user too, and whether the client is known.
func TestASignUpLooksAtNothingThatSignUpsChange(t *testing.T) {
	n := start(t, pgtest.Shared(t), 4)
	looks := regexp.MustCompile(`FROM "latchkey"\."(users|addresses|targets|logs|words)"`)
	for name, signUp := range map[string]struct {
		trips int
		do    func(context.Context) error
	}{
		"Users.Create": {3, func(ctx context.Context) error {
			_, err := n.Users().Create(ctx, latchkey.NewUser{Email: "ada@example.org", Password: password, Name: "Ada"})
			return err
		}},
		"Guest.CreateAccount": {5, func(ctx context.Context) error {
			_, err := n.Guest(latchkey.Client{}).CreateAccount(ctx, latchkey.NewAccount{Email: "bob@example.org", Password: password, Name: "Bob"})
			return err
		}},
	} {
		ctx, tape := recorded(t.Context())
		if err := signUp.do(ctx); err != nil {
			t.Fatal(err)
		}
		for _, b := range tape.batches {
			for _, q := range b.QueuedQueries {
				if looks.MatchString(q.SQL) {
					t.Errorf("%s: %s", name, q.SQL)
				}
			}
		}
		if trips := len(tape.batches); trips > signUp.trips {
			t.Errorf("%s: %d round trips", name, trips)
		}
	}
}
