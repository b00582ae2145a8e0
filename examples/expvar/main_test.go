package main

import (
	"expvar"
	"io"
	"testing"
)

func Example() {
	main()
	// Output:
	// The credentials are wrong (user_invalid_credentials)
	// hash: 3
	// operation authenticate: 1
	// operation create account: 1
	// operation create e-mail session: 1
	// operation create e-mail session, user_invalid_credentials: 1
	// sessions created: 1
	// sign-in email: 1
	// sign-in email, user_invalid_credentials: 1
	// transaction: 4
}

func TestOperationsHaveTimes(t *testing.T) {
	o := observer{new(expvar.Map), new(expvar.Map)}
	if err := run(io.Discard, o); err != nil {
		t.Fatal(err)
	}
	if took, is := o.seconds.Get("operation create account").(*expvar.Float); !is || took.Value() <= 0 {
		t.Error(took)
	}
}
