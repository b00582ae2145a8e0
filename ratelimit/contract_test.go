package ratelimit_test

import (
	"testing"
	"time"

	"example.com/latchkey/ratelimit"
	"example.com/latchkey/ratelimit/ratelimittest"
)

func TestContract(t *testing.T) {
	ratelimittest.Test(t, func(*testing.T) ratelimittest.Harness {
		m := ratelimit.NewMemory(0)
		return ratelimittest.Harness{
			Open: func(*testing.T) ratelimit.Limiter { return m },
			Pass: func(*testing.T, time.Duration) {}, // the window ends by the callers' clock
		}
	})
}

func TestALimiterSaysWhetherItCountsInTheProcess(t *testing.T) {
	type bare struct{ ratelimit.Limiter } // has the methods of the interface alone
	m := ratelimit.NewMemory(0)
	for what, is := range map[string]bool{
		"Memory":                           ratelimit.IsInProcess(m),
		"Memory below ReportOnly":          ratelimit.IsInProcess(ratelimit.ReportOnly(m)),
		"Memory below two of them":         ratelimit.IsInProcess(ratelimit.ReportOnly(ratelimit.ReportOnly(m))),
		"not another":                      !ratelimit.IsInProcess(bare{m}),
		"not another one below ReportOnly": !ratelimit.IsInProcess(ratelimit.ReportOnly(bare{m})),
	} {
		if !is {
			t.Error(what)
		}
	}
}
