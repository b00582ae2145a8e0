package latchkeyotel_test

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"example.com/latchkey"
	"example.com/latchkey/authtest"
	latchkeyotel "example.com/latchkey/otel"
	"example.com/latchkey/ratelimit"
)

// watched returns an engine with metrics and spans of everything.
func watched(t *testing.T, c latchkey.Config) (*authtest.Kit, sdkmetric.Reader, *tracetest.SpanRecorder) {
	t.Helper()
	reader, recorder := sdkmetric.NewManualReader(), tracetest.NewSpanRecorder()
	observer, err := latchkeyotel.New(latchkeyotel.Options{
		MeterProvider:  sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader)),
		TracerProvider: sdk.NewTracerProvider(sdk.WithSpanProcessor(recorder)),
		TraceChecks:    true,
	})
	if err != nil {
		t.Fatal(err)
	}
	c.Observer = observer
	return authtest.New(t, c), reader, recorder
}

// live goes through the life of a user, with wrong passwords until a limit holds, and sweeps.
func live(t *testing.T, kit *authtest.Kit) (secrets []string) {
	t.Helper()
	ctx, must := t.Context(), func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	const email = "ada@example.org"
	user, err := kit.Visitor.CreateAccount(ctx, latchkey.NewAccount{Email: email, Password: authtest.Password, Name: "Ada Lovelace"})
	must(err)
	account, session := kit.SignInVerified(email)
	_, err = kit.Visitor.CreateEmailToken(ctx, latchkey.NewEmailToken{UserID: user.ID, Email: email})
	must(err)
	code := kit.Mail(email).Code()
	_, err = kit.Visitor.CreateSession(ctx, user.ID, code)
	must(err)
	token, err := account.CreateJWT(ctx, 0)
	must(err)
	_, err = kit.Visitor.AuthenticateJWT(ctx, token.Reveal())
	must(err)
	if _, err := kit.Visitor.Authenticate(ctx, "no secret of "+email); !errors.Is(err, latchkey.ErrUnauthorized) {
		t.Fatal(err)
	}
	for err = nil; !isThrottled(err); {
		if _, err = kit.Visitor.CreateEmailPasswordSession(ctx, email, "another secret"); err == nil {
			t.Fatal("a wrong password signs in")
		}
	}
	must(account.DeleteSessions(ctx))
	must(kit.EndAll(ctx))
	kit.Clock.Advance(2 * 366 * 24 * time.Hour)
	_, err = kit.Sweep(ctx)
	must(err)
	must(kit.Close()) // the messages are sent
	return []string{email, user.ID, session.ID, session.Secret.Reveal(), code, "Lovelace", authtest.Client.IP.String()}
}

func isThrottled(err error) bool {
	_, is := errors.AsType[*latchkey.ThrottledError](err)
	return is
}

// allowed are the values of each attribute.
func allowed() map[attribute.Key][]string {
	limits := latchkey.DefaultLimits()
	maps.Copy(limits, latchkey.StrictPolicy().Guessing.Limits)
	return map[attribute.Key][]string{
		"latchkey.operation.name": {
			"authenticate", "authenticate JWT", "create account", "create user", "create e-mail session", "create e-mail token", "create session", "create JWT",
			"delete sessions", "end all", "sweep", "get user", "update verification",
		},
		"latchkey.sign_in.method":   {"email", "token", "server"},
		"latchkey.limit.name":       slices.Collect(maps.Keys(limits)),
		"latchkey.delivery.channel": {"email"},
		"latchkey.delivery.outcome": {"sent", "again", "dropped", "stale"},
		"latchkey.sweep.table":      {"sessions", "tokens", "failures", "logs", "users", "deliveries"},
		"error.type":                {"general_unauthorized_scope", "user_invalid_credentials", "general_rate_limit_exceeded", "fault", "host", "canceled", "closed"},
		// Numbers, of spans alone.
		"latchkey.transaction.runs": nil, "latchkey.hash.queue.duration": nil,
	}
}

// The values of attributes are from fixed sets, so the number of time series is bounded. They hold
// nothing of a person.
func TestAttributesAreFromFixedSets(t *testing.T) {
	kit, reader, recorder := watched(t, latchkey.Config{Limiter: ratelimit.NewMemory(0)})
	secrets, values := live(t, kit), allowed()
	check := func(where string, attrs []attribute.KeyValue) {
		t.Helper()
		for _, a := range attrs {
			of, known := values[a.Key]
			if !known || of != nil && !slices.Contains(of, a.Value.AsString()) || of == nil && a.Value.Type() == attribute.STRING {
				t.Errorf("%s: %s=%s is not in the list", where, a.Key, a.Value.String())
			}
		}
		for _, secret := range secrets {
			if strings.Contains(where+text(attrs), secret) {
				t.Errorf("%s %s has %q", where, text(attrs), secret)
			}
		}
	}
	found := make(map[string]bool)
	for _, p := range collect(t, reader) {
		found[p.metric.Name] = found[p.metric.Name] || p.count > 0 || p.sum > 0
		check(p.metric.Name, p.attrs.ToSlice())
	}
	for _, name := range []string{
		"latchkey.operation.duration", "latchkey.session.checks", "latchkey.sign_in.attempts", "latchkey.limit.refusals", "latchkey.hash.duration",
		"latchkey.transaction.duration", "latchkey.session.created", "latchkey.session.ended", "latchkey.delivery.attempts", "latchkey.sweep.deleted",
		"latchkey.sweep.last_time",
	} {
		if !found[name] {
			t.Errorf("the engine makes no %s", name)
		}
	}
	if len(recorder.Ended()) < 20 || len(recorder.Ended()) != len(recorder.Started()) {
		t.Errorf("%d spans, %d have ended", len(recorder.Started()), len(recorder.Ended()))
	}
	for _, span := range recorder.Ended() {
		check(span.Name(), span.Attributes())
		for _, e := range span.Events() {
			check(e.Name, e.Attributes)
		}
		name := strings.TrimPrefix(span.Name(), "latchkey ")
		if !slices.Contains(append(values["latchkey.operation.name"], "transaction", "hash"), name) {
			t.Errorf("a span %s", span.Name())
		}
	}
}

// The transactions and hashes of an operation are children of its span, not of the one beside it.
func TestSpansOfOperationsAtOnceStayApart(t *testing.T) {
	kit, _, recorder := watched(t, latchkey.Config{})
	var group sync.WaitGroup
	for _, email := range []string{"ada@example.org", "bob@example.org", "eve@example.org"} {
		group.Go(func() {
			if _, err := kit.Visitor.CreateAccount(context.Background(), latchkey.NewAccount{Email: email, Password: authtest.Password}); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	children := make(map[string][]string)
	for _, s := range recorder.Ended() {
		if s.Parent().IsValid() {
			children[s.Parent().SpanID().String()] = append(children[s.Parent().SpanID().String()], s.Name())
		}
	}
	if len(children) != 3 {
		t.Errorf("%v", children)
	}
	for _, names := range children {
		if !slices.Equal(names, []string{"latchkey hash", "latchkey transaction"}) {
			t.Errorf("%q", names)
		}
	}
}

func TestMetricsOfChecksTakeNoMemory(t *testing.T) {
	observer, _ := metered(t)
	const checks = 1000
	without, with := testing.AllocsPerRun(checks, checker(t, nil)), testing.AllocsPerRun(checks, checker(t, observer))
	if with != without {
		t.Errorf("%v allocations with metrics, %v without", with, without)
	}
	// The engine times one check in 64, too few for a mean above.
	timed := latchkey.Observation{What: latchkey.ObservedOperation, Name: "authenticate", Count: 1, Took: time.Microsecond}
	if n := testing.AllocsPerRun(checks, func() { observer.Observe(t.Context(), timed) }); n != 0 {
		t.Errorf("%v allocations of a check with a time", n)
	}
}
