package courier

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"example.com/latchkey/notify"
)

// holding returns a notifier that holds every message until its context ends or free is closed.
func holding(free *chan struct{}) *box {
	return &box{before: func(ctx context.Context, _ notify.Message) error {
		select {
		case <-*free:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}}
}

// Each share is as large as it says: of a domain, a client, both together, and a calling code.
func TestSharesAreAsLargeAsTheySay(t *testing.T) {
	from := func(n int) string { return fmt.Sprintf("192.0.2.%d", n) }
	for name, c := range map[string]struct {
		message func(n int) Delivery
		want    int
	}{
		"a domain of many clients":       {func(n int) Delivery { return mail(fmt.Sprint(n), "x@big.example", from(n)) }, domainShare},
		"a domain of the host":           {func(n int) Delivery { return mail(fmt.Sprint(n), "x@big.example", "") }, domainShare},
		"a client at many domains":       {func(n int) Delivery { return mail(fmt.Sprint(n), fmt.Sprintf("x@d%d.example", n), "192.0.2.1") }, clientShare},
		"a client at a domain":           {func(n int) Delivery { return mail(fmt.Sprint(n), "x@big.example", "192.0.2.1") }, pairShare},
		"two domains":                    {func(n int) Delivery { return mail(fmt.Sprint(n), fmt.Sprintf("x@d%d.example", n%2), from(n)) }, workers - reserved},
		"many domains":                   {func(n int) Delivery { return mail(fmt.Sprint(n), fmt.Sprintf("x@d%d.example", n), from(n)) }, workers},
		"a calling code of many clients": {func(n int) Delivery { return text(fmt.Sprint(n), fmt.Sprintf("+4915%08d", n), from(n)) }, domainShare},
		"notices of one client": {func(n int) Delivery {
			d := mail(fmt.Sprint(n), fmt.Sprintf("x@d%d.example", n), "192.0.2.1")
			d.Notice, d.Message.Expire = true, time.Time{}
			return d
		}, workers},
	} {
		var free chan struct{}
		b := holding(&free)
		run(t, b, b, func(c0 *Courier, _ *record) {
			free = make(chan struct{})
			for n := range 40 {
				c0.Deliver(c.message(n))
			}
			synctest.Wait()
			b.mu.Lock()
			if len(b.tries) != c.want {
				t.Errorf("%s: %d at once, want %d", name, len(b.tries), c.want)
			}
			b.mu.Unlock()
			close(free)
			synctest.Wait()
		})
	}
}

// A null message needs no share of the workers.
func TestANullMessageNeedsNoShare(t *testing.T) {
	var free chan struct{}
	b := holding(&free)
	run(t, b, nil, func(c *Courier, _ *record) {
		free = make(chan struct{})
		for n := range domainShare {
			c.Deliver(mail(fmt.Sprint(n), "x@big.example", ""))
		}
		null := mail("null", "x@big.example", "")
		null.Null = true
		c.Deliver(null)
		synctest.Wait()
		if n := c.Counts(); n.Waiting != domainShare {
			t.Errorf("%+v", n)
		}
		close(free)
		synctest.Wait()
	})
}

// If no domain and no client has a third of the queue, the new message is dropped, and no other one.
func TestAFullQueueOfManyDropsTheNewcomer(t *testing.T) {
	for name, to := range map[string]func(n int) string{
		"many domains": func(n int) string { return fmt.Sprintf("x@d%d.example", n) },
		"one domain":   func(int) string { return "x@big.example" }, // its own messages do not make room for it
	} {
		var free chan struct{}
		b := holding(&free)
		run(t, b, nil, func(c *Courier, _ *record) {
			free = make(chan struct{})
			for n := range 901 {
				c.Deliver(mail(fmt.Sprint("m", n), to(n), fmt.Sprint("client", n)))
			}
			close(free)
			synctest.Wait()
			if n := c.Counts(); b.has("m900") || !b.has("m899") || n.Sent != 900 || n.Dropped != 1 {
				t.Errorf("%s: %+v, %v", name, n, b.has("m900"))
			}
		})
	}
}

// tried lets a lane try all of its fresh messages once, which all come again.
func tried(l *lane) {
	var all []*Delivery
	for range len(l.fresh) + len(l.notices) {
		d, _ := l.take()
		d.tries++
		l.pause(d)
		all = append(all, d)
	}
	for _, d := range all {
		l.again(d)
	}
}

// If all messages of the fullest key come again, the newest of those gives its place up. A notice
// keeps it, and the count of those that come again stays right.
func TestAMessageThatComesAgainGivesItsPlaceUp(t *testing.T) {
	l := newLane(nil)
	add := func(id, to string, isNotice bool) *Delivery {
		d := mail(id, to, "")
		d.Notice = isNotice
		evicted, added := l.add(&d, 9)
		if !added {
			t.Errorf("%s is not added", id)
		}
		return evicted
	}
	for n := range 8 {
		add(fmt.Sprint("m", n), "x@big.example", false)
		tried(l)
	}
	add("notice", "x@big.example", true)
	tried(l)
	for n, want := range []string{"m7", "m6"} {
		if evicted := add(fmt.Sprint("other", n), fmt.Sprintf("x@d%d.example", n), false); evicted == nil || evicted.Message.ID != want {
			t.Errorf("%+v gives its place up, not %s", evicted, want)
		}
	}
	if l.retrying != 7 || l.waiting != 9 || l.held["to big.example"] != 7 {
		t.Errorf("%d come again, %d wait, %v", l.retrying, l.waiting, l.held)
	}
}

func TestANoticeGoesBeforeAFreshMessage(t *testing.T) {
	l := newLane(nil)
	for _, id := range []string{"fresh", "notice"} {
		d := mail(id, "x@"+id+".example", "")
		d.Notice = id == "notice"
		l.add(&d, 9)
	}
	if d, _ := l.take(); d.Message.ID != "notice" {
		t.Errorf("%s is first", d.Message.ID)
	}
}

// A message that comes again has its turn after a minute, even if there is a fresh one for every
// worker, each of a domain without any.
func TestAMessageThatComesAgainHasItsTurn(t *testing.T) {
	var tried atomic.Bool
	b := new(box)
	b.before = func(ctx context.Context, m notify.Message) error {
		if m.ID == "again" {
			if !tried.Swap(true) {
				return errors.New("450")
			}
			return nil
		}
		return take(ctx, time.Second)
	}
	run(t, b, nil, func(c *Courier, _ *record) {
		c.Deliver(mail("again", "ada@example.org", ""))
		synctest.Wait()
		for n := range 100 { // so that no worker is ever free
			c.Deliver(mail(fmt.Sprint("waiting", n), fmt.Sprintf("x@w%d.example", n), ""))
		}
		for second := range 90 {
			for n := range 10 {
				c.Deliver(mail(fmt.Sprint("fresh", second, n), fmt.Sprintf("x@d%d-%d.example", second, n), ""))
			}
			<-time.After(time.Second)
			if early := second < 50; early && b.has("again") {
				t.Errorf("it goes before fresh ones after %d s", second)
			}
		}
		if !b.has("again") {
			t.Error("it is starved")
		}
		<-time.After(time.Minute)
		synctest.Wait()
	})
}

// At most maxRetrying messages wait to be tried again, notices aside. Those that are tried make room.
func TestMessagesThatComeAgainAreBounded(t *testing.T) {
	var down atomic.Bool
	b := &box{}
	b.before = func(context.Context, notify.Message) error {
		if down.Load() {
			return errors.New("450")
		}
		return nil
	}
	run(t, b, nil, func(c *Courier, _ *record) {
		for round := range int64(2) {
			down.Store(true)
			for n := range maxRetrying + 50 {
				c.Deliver(mail(fmt.Sprint(round, n), fmt.Sprintf("x@d%d.example", n), ""))
			}
			synctest.Wait()
			for n := range 10 {
				d := mail(fmt.Sprint("notice", round, n), fmt.Sprintf("x@d%d.example", n), "")
				d.Notice, d.Message.Expire = true, time.Time{}
				c.Deliver(d)
			}
			synctest.Wait()
			// Each worker may see the last free place.
			want := (round + 1) * (maxRetrying + 10)
			if n := c.Counts(); n.Retried < want || n.Retried > want+(round+1)*(workers-1) || n.Dropped != (round+1)*(maxRetrying+60)-n.Retried {
				t.Errorf("round %d: %+v", round, n)
			}
			down.Store(false)
			<-time.After(10 * time.Second)
			synctest.Wait()
			if n := c.lanes[notify.Email].retrying; n != 0 {
				t.Errorf("%d come again after all were sent", n)
			}
		}
	})
}

// A code has run out at its time.
func TestACodeHasRunOutAtItsTime(t *testing.T) {
	b := &box{before: func(context.Context, notify.Message) error { return errors.New("451") }}
	run(t, b, nil, func(c *Courier, _ *record) {
		d := mail("late", "ada@example.org", "")
		d.Message.Expire = d.Message.Time.Add(firstWait) // when the second try begins
		c.Deliver(d)
		<-time.After(firstWait)
		synctest.Wait()
		if n := c.Counts(); n.Stale != 1 || n.Retried != 1 {
			t.Errorf("%+v", n)
		}
	})
}

// A try ends with its time, and the message comes again.
func TestATryEndsWithItsTime(t *testing.T) {
	var free chan struct{}
	b := holding(&free)
	run(t, b, nil, func(c *Courier, log *record) {
		free = make(chan struct{})
		c.Deliver(mail("slow", "ada@example.org", ""))
		<-time.After(TryTime - time.Second)
		if n := c.Counts(); n.Retried != 0 {
			t.Errorf("before: %+v", n)
		}
		<-time.After(1500 * time.Millisecond)
		if n := c.Counts(); n.Retried != 1 || !strings.Contains(log.taken(), "reason=timeout") {
			t.Errorf("after: %+v", n)
		}
		close(free)
		<-time.After(5 * time.Second)
		synctest.Wait()
	})
}

// A null message that is dropped is counted, and has no line in the log, as if it were
// "sent": it names an address to which nothing was to be sent.
func TestANullMessageHasNoLine(t *testing.T) {
	run(t, new(box), nil, func(c *Courier, log *record) {
		null := mail("null", "x@null.example", "")
		null.Null = true
		c.drop(&null, errors.New("x"))
		if text := log.taken(); text != "" || c.Counts().Dropped != 1 {
			t.Errorf("%q, %+v", text, c.Counts())
		}
	})
}

// A line has the number of failures of its kind since the last one. Tries and drops, and the rest
// of each channel, are kinds apart. A clock that goes back silences nothing.
func TestLinesCountFromTheLastOne(t *testing.T) {
	var text bytes.Buffer
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	r := NewReport(slog.New(slog.NewTextHandler(&text, nil)), func() time.Time { return now })
	f := failure{to: string(notify.Email), stage: "login", reason: "535"}
	for _, step := range []struct {
		after time.Duration
		want  int
	}{{0, 1}, {time.Second, 0}, {58 * time.Second, 0}, {time.Second, 3}, {59 * time.Second, 0}, {time.Second, 2}, {-time.Hour, 1}, {59 * time.Second, 0}, {time.Second, 2}} {
		now = now.Add(step.after)
		if n := r.count(f); n != step.want {
			t.Errorf("%v: %d, want %d", step.after, n, step.want)
		}
	}
	err := &notify.Failure{Stage: "recipient", Reason: "450"}
	d := mail("m", "ada@example.org", "")
	r.failed(notify.Email, err)
	r.dropped(&d, err)
	if lines := strings.Count(text.String(), "\n"); lines != 2 {
		t.Errorf("a try and a drop: %d lines", lines)
	}
	for n := range 2 * reportKinds {
		r.count(failure{to: string(notify.Email), reason: fmt.Sprint(n)})
	}
	if n := r.count(failure{to: string(notify.SMS), reason: "new"}); n != 1 {
		t.Errorf("the first of the rest of SMS: %d", n)
	}
	if n := r.count(failure{to: string(notify.Email), dropped: true, reason: "new"}); n != 1 {
		t.Errorf("the first drop of the rest: %d", n)
	}
}
