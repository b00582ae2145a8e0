package latchkey

import (
	"context"
	"time"
)

// Observer gets what an engine does, for metrics and traces ([Config].Observer). The module
// otel of this project has one for OpenTelemetry. An observer must be safe for concurrent use,
// and return at once, because operations wait for it. The engine logs a panic of it and goes on.
// It gets nothing that identifies a person: no id, no address, no secret.
type Observer interface {
	// Begin is told that an operation begins, and returns the context in which it goes on. A
	// tracer puts its span there. The name of the operation is that of a fault's text, such as
	// "create e-mail session". It is not told of the checks of sessions ([CheckObserver]).
	Begin(ctx context.Context, operation string) context.Context
	// Observe is told what has happened. The observation of an operation is its last one, and
	// has the context that Begin has returned.
	Observe(ctx context.Context, o Observation)
}

// CheckObserver is an [Observer] that can have Begin called for the checks of sessions too,
// "authenticate" and "authenticate JWT". They run on every request of a host, and take less than a
// microsecond over a store in memory.
type CheckObserver interface {
	Observer
	// BeginsChecks is asked once, by [New].
	BeginsChecks() bool
}

// Observation is one thing that has happened, or several of a kind. [ObservedOperation] and the
// constants beside it say what each field means.
type Observation struct {
	What Observed
	// Name is one of a few: it serves as the attribute of a metric.
	Name string
	// Outcome is "" if it went well. Otherwise it is the type of an [Error], such as
	// user_invalid_credentials, or fault, canceled (the caller has gone), closed (the engine), or host:
	// any other error of [Config].InTransaction, or of the function that takes an export. A panic of
	// the store is a fault. Deliveries have outcomes of their own ([ObservedDelivery]).
	Outcome string
	// Count is how many of the kind.
	Count int
	// Took is how long it took, and Waited how long it had waited before that. Zero means that it was
	// not measured.
	Took, Waited time.Duration
}

// Observed is a kind of [Observation].
type Observed string

// The kinds of observations.
const (
	// ObservedOperation is a call of a method. Name is the operation. Two operations are the checks of
	// sessions, which run on every request of a host: "authenticate" and "authenticate JWT". Each of
	// them is told of, but only one in 64, chosen at random, has Took.
	ObservedOperation Observed = "operation"
	// ObservedSignIn is a try to sign in. Name is the way in, as in Session.Provider. Of a try that
	// has failed it is email, anonymous, token for any link or code, oauth2 for any provider, or
	// passkey. A session that owes a second factor counts as well.
	ObservedSignIn Observed = "sign-in"
	// ObservedThrottled is a refusal by a rule of [DefaultLimits]. Name is the rule.
	ObservedThrottled Observed = "throttled"
	// ObservedLimiter is a failure of Config.Limiter. Name is the rule.
	ObservedLimiter Observed = "limiter"
	// ObservedHash is the hash of a password. Waited is its time in the queue. The Outcome
	// general_busy says that there was no place for it. Name is "".
	ObservedHash Observed = "hash"
	// ObservedTransaction is a transaction of the store that belongs to an operation. Those of the
	// deliveries of an [Outbox] are not told. Count is how often its closure ran, Name is "". The
	// outcome of one that an answer has rolled back is the type of the answer.
	ObservedTransaction Observed = "transaction"
	// ObservedSessions are sessions. Name is created or ended; an expired one is not ended but
	// swept.
	ObservedSessions Observed = "sessions"
	// ObservedDelivery is a try to deliver a message or an event. Name is email, sms, or that of a
	// [Receiver]. The outcome is one of again (it will be tried again), dropped (it is given up) and
	// stale (its code had run out or was replaced, so it was not sent). Waited is the time
	// since it was asked for, Took that of the try.
	ObservedDelivery Observed = "delivery"
	// ObservedSweep are rows that a sweep has deleted. Name is that of a field of [Swept] in JSON.
	ObservedSweep Observed = "sweep"
)

// signIns are the operations that sign in by one way, with the name of the way.
var signIns = map[string]string{
	"create e-mail session":    providerEmail,
	"create anonymous session": providerAnonymous,
	"create ID token session":  "oauth2",
	"finish OAuth2 session":    "oauth2",
	"finish passkey session":   "passkey",
	"create session":           "token",
}

// beginsChecks reports whether an observer hears of the beginnings of checks of sessions.
func beginsChecks(o Observer) bool {
	c, is := o.(CheckObserver)
	return is && c.BeginsChecks()
}
