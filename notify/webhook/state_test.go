package webhook_test

import (
	"bytes"
	"context"
	"encoding/gob"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"example.com/latchkey/hidden"
	"example.com/latchkey/notify"
	"example.com/latchkey/notify/webhook"
)

// plan is a transport whose answers the test chooses.
type plan struct {
	status int // 0 means that no connection is made
	retry  string
	calls  int
}

func (p *plan) RoundTrip(r *http.Request) (*http.Response, error) {
	p.calls++
	if p.status == 0 {
		return nil, errors.New("planted")
	}
	h := http.Header{}
	if p.retry != "" {
		h.Set("Retry-After", p.retry)
	}
	return answered(r, p.status, h, http.NoBody), nil
}

// clocked returns an endpoint with a clock that the test moves, a planned transport, and the states
// that it has reported.
func clocked(t *testing.T, change func(*webhook.Config)) (e *webhook.Endpoint, p *plan, now *time.Time, reported *[]webhook.State) {
	t.Helper()
	now, reported, p = new(time.Time), new([]webhook.State), &plan{status: 200}
	*now = time.Unix(1_800_000_000, 0)
	c := someConfig()
	c.Now = func() time.Time { return *now }
	c.OnSetAside = func(s webhook.State) { *reported = append(*reported, s) }
	if change != nil {
		change(&c)
	}
	e = newEndpoint(t, c)
	e.SetTransport(p)
	return e, p, now, reported
}

// checkSetAside fails unless an error is that of an endpoint that is set aside.
func checkSetAside(t *testing.T, err error, stage, reason string) {
	t.Helper()
	if s, r := notify.Seen(err); !errors.Is(err, webhook.ErrSetAside) || !notify.IsPermanent(err) || s != stage || r != reason {
		t.Errorf("%v, want %s: %s", err, stage, reason)
	}
}

// An endpoint that fails for a day without a success is set aside, is reported once, and sends
// nothing until it is resumed.
func TestAnEndpointThatFailsForADayIsSetAside(t *testing.T) {
	for after, want := range map[time.Duration]time.Duration{0: 24 * time.Hour, time.Minute: time.Minute} {
		e, p, now, reported := clocked(t, func(c *webhook.Config) { c.SetAsideAfter = after })
		began := *now
		p.status = 500
		checkFailure(t, e.Receive(t.Context(), event()), "answer", "500 Internal Server Error")
		*now = now.Add(want - 1)
		p.status = 0
		if err := e.Receive(t.Context(), event()); err == nil || notify.IsPermanent(err) || errors.Is(err, webhook.ErrSetAside) {
			t.Error(err)
		}
		if s := e.State(); s != (webhook.State{FailingSince: began, Failures: 2, LastFailure: *now, Stage: "connect", Reason: "failed"}) || len(*reported) != 0 {
			t.Errorf("%+v, %+v", s, *reported)
		}
		*now = now.Add(1)
		p.status = 404
		checkSetAside(t, e.Receive(t.Context(), event()), "answer", "404 Not Found")
		state := webhook.State{SetAside: true, SetAsideAt: *now, FailingSince: began, Failures: 3, LastFailure: *now, Stage: "answer", Reason: "404 Not Found"}
		if s := e.State(); s != state || len(*reported) != 1 || (*reported)[0] != state {
			t.Errorf("%+v, %+v", s, *reported)
		}
		p.status = 200
		for range 2 {
			*now = now.Add(time.Hour)
			checkSetAside(t, e.Receive(t.Context(), event()), "set aside", "404 Not Found")
		}
		if p.calls != 3 || len(*reported) != 1 || e.State() != state {
			t.Errorf("%d calls, %d reports, %+v", p.calls, len(*reported), e.State())
		}
		e.Resume()
		if err := e.Receive(t.Context(), event()); err != nil || p.calls != 4 || e.State() != (webhook.State{}) {
			t.Errorf("%v, %d calls, %+v", err, p.calls, e.State())
		}
	}
}

// A success ends the time of failures.
func TestASuccessBeginsTheTimeAnew(t *testing.T) {
	e, p, now, reported := clocked(t, nil)
	for range 5 {
		p.status = 500
		_ = e.Receive(t.Context(), event())
		*now = now.Add(23 * time.Hour)
		p.status = 200
		if err := e.Receive(t.Context(), event()); err != nil || e.State() != (webhook.State{}) {
			t.Errorf("%v, %+v", err, e.State())
		}
	}
	if len(*reported) != 0 {
		t.Errorf("%+v", *reported)
	}
}

// 410 sets an endpoint aside at once. It does so again after a Resume, and is reported again.
func TestAnEndpointThatIsGoneIsSetAsideAtOnce(t *testing.T) {
	e, p, now, reported := clocked(t, nil)
	p.status = 410
	for n := range 2 {
		checkSetAside(t, e.Receive(t.Context(), event()), "answer", "410 Gone")
		checkSetAside(t, e.Receive(t.Context(), event()), "set aside", "410 Gone")
		if want := (webhook.State{SetAside: true, SetAsideAt: *now, FailingSince: *now, Failures: 1, LastFailure: *now, Stage: "answer", Reason: "410 Gone"}); e.State() != want || len(*reported) != n+1 || p.calls != n+1 {
			t.Errorf("%+v, %d reports, %d calls", e.State(), len(*reported), p.calls)
		}
		e.Resume()
		if e.State() != (webhook.State{}) {
			t.Errorf("%+v", e.State())
		}
	}
}

// A callback may panic, and may call the endpoint.
func TestTheReportMayPanicAndResume(t *testing.T) {
	var e *webhook.Endpoint
	e, p, _, _ := clocked(t, func(c *webhook.Config) {
		c.OnSetAside = func(webhook.State) {
			e.Resume()
			panic("planted")
		}
	})
	p.status = 410
	checkSetAside(t, e.Receive(t.Context(), event()), "answer", "410 Gone")
	if e.State() != (webhook.State{}) {
		t.Errorf("%+v", e.State())
	}
	e, p, _, _ = clocked(t, func(c *webhook.Config) { c.OnSetAside = nil })
	p.status = 410
	checkSetAside(t, e.Receive(t.Context(), event()), "answer", "410 Gone")
}

// A request that has begun before a Resume does not change the state after it.
func TestARequestFromBeforeAResumeDoesNotCount(t *testing.T) {
	for _, status := range []int{410, 200} {
		synctest.Test(t, func(t *testing.T) {
			c := someConfig()
			c.OnSetAside = func(s webhook.State) { t.Errorf("%+v", s) }
			e := newEndpoint(t, c)
			answer := make(chan int)
			e.SetTransport(transport(func(r *http.Request) (*http.Response, error) {
				return answered(r, <-answer, nil, http.NoBody), nil
			}))
			ended := make(chan error)
			go func() { ended <- e.Receive(t.Context(), event()) }()
			synctest.Wait()
			e.Resume()
			go func() { answer <- 500 }()
			failed := make(chan error)
			synctest.Wait() // the first request has taken the answer
			go func() { failed <- e.Receive(t.Context(), event()) }()
			if err := <-ended; err == nil || e.State() != (webhook.State{}) {
				t.Errorf("%v, %+v", err, e.State())
			}
			answer <- 500
			if err := <-failed; err == nil || e.State().Failures != 1 {
				t.Errorf("%v, %+v", err, e.State())
			}
			go func() { ended <- e.Receive(t.Context(), event()) }()
			synctest.Wait()
			e.Resume()
			answer <- status
			if err := <-ended; (err == nil) != (status == 200) || errors.Is(err, webhook.ErrSetAside) || e.State() != (webhook.State{}) {
				t.Errorf("%v, %+v", err, e.State())
			}
		})
	}
}

// A success from before a Resume does not hide the failures after it.
func TestASuccessFromBeforeAResumeDoesNotCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEndpoint(t, someConfig())
		status := make(chan int)
		e.SetTransport(transport(func(r *http.Request) (*http.Response, error) {
			if r.Header.Get("webhook-id") == "late" {
				return answered(r, <-status, nil, http.NoBody), nil
			}
			return answered(r, 500, nil, http.NoBody), nil
		}))
		ended := make(chan error)
		go func() {
			late := event()
			late.ID = "late"
			ended <- e.Receive(t.Context(), late)
		}()
		synctest.Wait()
		e.Resume()
		checkFailure(t, e.Receive(t.Context(), event()), "answer", "500 Internal Server Error")
		status <- 200
		if err := <-ended; err != nil || e.State().Failures != 1 {
			t.Errorf("%v, %+v", err, e.State())
		}
	})
}

// A late success does not take back an endpoint that is set aside.
func TestALateSuccessTakesNothingBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEndpoint(t, someConfig())
		answers := []chan int{make(chan int), make(chan int), make(chan int)}
		next := make(chan chan int, 3)
		for _, a := range answers {
			next <- a
		}
		e.SetTransport(transport(func(r *http.Request) (*http.Response, error) {
			return answered(r, <-<-next, nil, http.NoBody), nil
		}))
		ended := make(chan error)
		for range answers {
			go func() { ended <- e.Receive(t.Context(), event()) }()
			synctest.Wait()
		}
		answers[0] <- 410
		checkSetAside(t, <-ended, "answer", "410 Gone")
		before := e.State()
		answers[1] <- 200
		if err := <-ended; err != nil || e.State() != before {
			t.Errorf("%v, %+v", err, e.State())
		}
		answers[2] <- 500
		checkFailure(t, <-ended, "answer", "500 Internal Server Error")
		if e.State() != before {
			t.Errorf("%+v", e.State())
		}
	})
}

// While the receiver asks not to be called, an endpoint sends nothing, for an hour at most.
func TestRetryAfterPausesTheEndpoint(t *testing.T) {
	at := time.Unix(1_800_000_000, 0)
	for _, c := range []struct {
		status int
		retry  string
		want   time.Duration
	}{
		{429, "30", 30 * time.Second}, {503, "30", 30 * time.Second}, {429, "3600", time.Hour}, {429, "3601", time.Hour}, {429, "99999999999999999999999", time.Hour}, {429, "18446744073709551615", time.Hour},
		{503, at.Add(time.Minute).UTC().Format(http.TimeFormat), time.Minute}, {503, at.Add(48 * time.Hour).UTC().Format(http.TimeFormat), time.Hour},
		{429, "", 0}, {429, "0", 0}, {429, "-1", 0}, {429, "1.5", 0}, {429, "soon", 0}, {429, at.Add(-time.Minute).UTC().Format(http.TimeFormat), 0}, {500, "30", 0}, {404, "30", 0},
	} {
		e, p, now, _ := clocked(t, nil)
		p.status, p.retry = c.status, c.retry
		if err := e.Receive(t.Context(), event()); err == nil {
			t.Fatal("taken")
		}
		until := now.Add(c.want)
		if c.want == 0 {
			until = time.Time{}
		}
		state := e.State()
		if !state.PausedUntil.Equal(until) {
			t.Errorf("%d, %q: paused until %v", c.status, c.retry, state.PausedUntil)
		}
		p.status = 200
		if c.want > 0 {
			*now = now.Add(c.want - 1)
			checkFailure(t, e.Receive(t.Context(), event()), "paused", state.Reason)
			if p.calls != 1 || e.State() != state {
				t.Errorf("%d calls, %+v", p.calls, e.State())
			}
			*now = now.Add(1)
		}
		if err := e.Receive(t.Context(), event()); err != nil || p.calls != 2 || e.State() != (webhook.State{}) {
			t.Errorf("%d, %q: %v, %d calls, %+v", c.status, c.retry, err, p.calls, e.State())
		}
	}
}

// Resume ends a pause, and so does a clock that was ahead and has come back.
func TestAPauseEnds(t *testing.T) {
	for name, end := range map[string]func(*webhook.Endpoint, *time.Time){
		"Resume": func(e *webhook.Endpoint, _ *time.Time) { e.Resume() }, "the clock": func(_ *webhook.Endpoint, now *time.Time) { *now = now.Add(-24 * time.Hour) },
	} {
		e, p, now, _ := clocked(t, nil)
		p.status, p.retry = 429, "3600"
		_ = e.Receive(t.Context(), event())
		p.status = 200
		end(e, now)
		if err := e.Receive(t.Context(), event()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A first failure that comes from a clock that was ahead does not keep an endpoint in use.
func TestAClockThatWasAheadHidesNoFailures(t *testing.T) {
	e, p, now, _ := clocked(t, nil)
	p.status = 500
	_ = e.Receive(t.Context(), event())
	*now = now.Add(-365 * 24 * time.Hour)
	_ = e.Receive(t.Context(), event())
	*now = now.Add(24 * time.Hour)
	checkSetAside(t, e.Receive(t.Context(), event()), "answer", "500 Internal Server Error")
}

// All methods may be called at once.
func TestAnEndpointIsSafeForConcurrentUse(t *testing.T) {
	r := newReceiver(t, func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.Header.Get("webhook-id"), "0") {
			w.WriteHeader(http.StatusGone)
		}
	})
	c := r.config()
	var mu sync.Mutex
	reports := 0
	c.OnSetAside = func(webhook.State) {
		mu.Lock()
		defer mu.Unlock()
		reports++
	}
	e := newEndpoint(t, c)
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for n := range 20 {
				one := event()
				one.ID = fmt.Sprintf("e-%d-%d", i, n)
				if err := e.Receive(context.Background(), one); err != nil && !errors.Is(err, webhook.ErrSetAside) && n%10 != 0 {
					t.Error(err)
				}
				if err := e.SetSecrets(webhook.GenerateSecret(), c.Secrets[0]); err != nil {
					t.Error(err)
				}
				_, _ = e.State(), fmt.Sprint(e)
				e.Resume()
			}
		})
	}
	all.Wait()
	for _, got := range r.take() {
		if err := webhook.Verify(got.header, got.body, c.Secrets, time.Now()); err != nil {
			t.Error(err)
		}
	}
	if mu.Lock(); reports == 0 {
		t.Error("the endpoint was never set aside")
	}
	mu.Unlock()
}

// Many failures at once are one report.
func TestASetAsideIsReportedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := someConfig()
		reports := make(chan webhook.State, 10)
		c.OnSetAside = func(s webhook.State) { reports <- s }
		e := newEndpoint(t, c)
		answer := make(chan struct{})
		e.SetTransport(transport(func(r *http.Request) (*http.Response, error) {
			<-answer
			return answered(r, 410, nil, http.NoBody), nil
		}))
		var all sync.WaitGroup
		for range 10 {
			all.Go(func() {
				if err := e.Receive(t.Context(), event()); err == nil {
					t.Error("taken")
				}
			})
		}
		synctest.Wait()
		close(answer)
		all.Wait()
		if len(reports) != 1 {
			t.Errorf("%d reports", len(reports))
		}
	})
}

// No dump of a configuration, an endpoint or a state shows a secret, or the path and the query of the URL.
func TestDumpsShowNoSecret(t *testing.T) {
	secret := webhook.GenerateSecret()
	c := webhook.Config{URL: hidden.New("https://a.example.org/planted?x=planted"), Secrets: []hidden.Text{secret}}
	e := newEndpoint(t, c)
	e.SetTransport(&plan{})
	failed := e.Receive(t.Context(), event())
	type held struct{ V any }
	type inside struct {
		c webhook.Config
		e *webhook.Endpoint
	}
	var out bytes.Buffer
	for _, v := range []any{c, &c, e, e.State(), held{c}, held{e}, []any{c, e}, inside{c, e}, &inside{c, e}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			fmt.Fprintf(&out, verb+"\n", v)
		}
		for _, h := range []slog.Handler{slog.NewTextHandler(&out, nil), slog.NewJSONHandler(&out, nil)} {
			slog.New(h).Info("m", "v", v, "failed", failed)
		}
		text, err := json.Marshal(v)
		fmt.Fprintf(&out, "%s %v\n", text, err)
	}
	if err := gob.NewEncoder(&out).Encode(c); !errors.Is(err, hidden.ErrNotEncoded) {
		t.Error(err)
	}
	if err := gob.NewEncoder(&out).Encode(e); err == nil {
		t.Error("an endpoint is encoded")
	}
	key := strings.TrimPrefix(secret.Reveal(), "whsec_")
	for _, hint := range []string{"planted", key, fmt.Sprintf("%x", "planted"), fmt.Sprintf("%x", key)} {
		if strings.Contains(out.String(), hint) {
			t.Errorf("%q in %s", hint, out.String())
		}
	}
	if got := fmt.Sprint(e); got != "webhook to https://a.example.org" || !strings.Contains(out.String(), `"webhook to https://a.example.org"`) {
		t.Error(got)
	}
}
