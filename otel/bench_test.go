package latchkeyotel_test

import (
	"context"
	"slices"
	"testing"
	"time"

	sdk "go.opentelemetry.io/otel/sdk/metric"

	"example.com/latchkey"
	"example.com/latchkey/authtest"
	latchkeyotel "example.com/latchkey/otel"
)

// checker returns a function that checks a session of an engine in memory.
func checker(tb testing.TB, observer latchkey.Observer) func() {
	tb.Helper()
	kit := authtest.New(tb, latchkey.Config{Observer: observer})
	_, session := kit.SignIn("ada@example.org")
	secret, ctx := session.Secret.Reveal(), context.Background()
	return func() {
		if _, err := kit.Visitor.Authenticate(ctx, secret); err != nil {
			tb.Fatal(err)
		}
	}
}

// BenchmarkCheck takes the check of a session with metrics beside the check of an engine without an
// observer. They run in turns of 100 checks. The metric x/raw is the ratio of the medians, which
// another program on the machine disturbs less than the means.
func BenchmarkCheck(b *testing.B) {
	meters := sdk.NewMeterProvider(sdk.WithReader(sdk.NewManualReader()))
	observer, err := latchkeyotel.New(latchkeyotel.Options{MeterProvider: meters})
	if err != nil {
		b.Fatal(err)
	}
	const turn = 100
	checks := []func(){checker(b, nil), checker(b, observer)}
	times := make([][]time.Duration, len(checks))
	b.ReportAllocs()
	for b.Loop() {
		for i, check := range checks {
			start := time.Now()
			for range turn {
				check()
			}
			times[i] = append(times[i], time.Since(start))
		}
	}
	var median [2]float64
	for i := range times {
		slices.Sort(times[i])
		median[i] = float64(times[i][len(times[i])/2].Nanoseconds()) / turn
	}
	b.ReportMetric(median[0], "raw-ns")
	b.ReportMetric(median[1], "observed-ns")
	b.ReportMetric(median[1]/median[0], "x/raw")
}
