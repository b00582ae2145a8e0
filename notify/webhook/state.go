package webhook

import (
	"errors"
	"time"

	"example.com/latchkey/hidden"
	"example.com/latchkey/notify"
)

// State tells how an endpoint is doing. After a success only PausedUntil may be set.
type State struct {
	SetAside     bool      `json:"setAside"`
	SetAsideAt   time.Time `json:"setAsideAt,omitzero"`
	FailingSince time.Time `json:"failingSince,omitzero"` // the first failure after the last success
	Failures     int       `json:"failures"`              // in a row
	// LastFailure is the time of the last failure, and Stage and Reason are those of its
	// [notify.Failure].
	LastFailure time.Time `json:"lastFailure,omitzero"`
	Stage       string    `json:"stage"`
	Reason      string    `json:"reason"`
	PausedUntil time.Time `json:"pausedUntil,omitzero"` // as the receiver has asked by Retry-After; zero after that time
}

// State returns the state of the endpoint in this process.
func (e *Endpoint) State() State {
	now := e.now()
	e.mu.Lock()
	defer e.mu.Unlock()
	s := e.state
	if !s.isPaused(now) {
		s.PausedUntil = time.Time{}
	}
	return s
}

// isPaused reports whether the endpoint waits. A pause that is longer than any receiver can ask
// for is that of a clock that was ahead.
func (s State) isPaused(now time.Time) bool {
	return now.Before(s.PausedUntil) && s.PausedUntil.Sub(now) <= maxPause
}

// Resume takes the endpoint back after it was set aside, and ends its pause. Its failures until
// then are forgotten, as are those of requests that are on their way. The host requeues the
// events that the outbox has given up meanwhile.
func (e *Endpoint) Resume() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.state = State{}
	e.round++
}

// begin returns the keys of a new request. Its error is that of an endpoint that sends nothing.
func (e *Endpoint) begin() (round int, keys []hidden.Text, err error) {
	now := e.now()
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case e.state.SetAside:
		return 0, nil, notify.Permanent(&notify.Failure{Stage: "set aside", Reason: e.state.Reason, Err: ErrSetAside})
	case e.state.isPaused(now):
		return 0, nil, &notify.Failure{Stage: "paused", Reason: e.state.Reason}
	}
	return e.round, e.keys, nil
}

// succeeded notes a success. It does not take back an endpoint that another request has set
// aside: only the host does.
func (e *Endpoint) succeeded(round int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if round == e.round && !e.state.SetAside {
		e.state = State{PausedUntil: e.state.PausedUntil}
	}
}

// failed notes a failure, and returns it as the error of its request.
func (e *Endpoint) failed(round int, f *notify.Failure, gone bool, wait time.Duration) error {
	report := e.note(round, f, gone, wait)
	if report == nil {
		return f
	}
	e.tell(*report)
	return notify.Permanent(&notify.Failure{Stage: f.Stage, Reason: f.Reason, Err: errors.Join(ErrSetAside, f.Err)})
}

// note notes a failure. It returns the state of an endpoint that the failure sets aside, and else
// nil.
func (e *Endpoint) note(round int, f *notify.Failure, gone bool, wait time.Duration) *State {
	now := e.now()
	e.mu.Lock()
	defer e.mu.Unlock()
	if round != e.round || e.state.SetAside {
		return nil
	}
	s := &e.state
	if s.Failures == 0 || now.Before(s.FailingSince) { // the clock was ahead
		s.FailingSince = now
	}
	s.Failures++
	s.LastFailure, s.Stage, s.Reason = now, f.Stage, f.Reason
	if wait > 0 {
		s.PausedUntil = now.Add(wait)
	}
	if !gone && now.Sub(s.FailingSince) < e.setAsideAfter {
		return nil
	}
	s.SetAside, s.SetAsideAt, s.PausedUntil = true, now, time.Time{}
	report := *s
	return &report
}

// tell calls OnSetAside, and drops its panic.
func (e *Endpoint) tell(s State) {
	if e.onSetAside == nil {
		return
	}
	defer func() { _ = recover() }()
	e.onSetAside(s)
}
