package courier

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"example.com/latchkey/hidden"
	"example.com/latchkey/notify"
)

// box is a notifier that keeps the messages that it has sent.
type box struct {
	mu     sync.Mutex
	sent   []notify.Message
	tries  []string
	before func(ctx context.Context, m notify.Message) error // may fail or wait, or be nil
}

func (b *box) Notify(ctx context.Context, m notify.Message) error {
	b.mu.Lock()
	b.tries = append(b.tries, m.ID)
	before := b.before
	b.mu.Unlock()
	if before != nil {
		if err := before(ctx, m); err != nil {
			return err
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sent = append(b.sent, m)
	return nil
}

func (b *box) has(id string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, m := range b.sent {
		if m.ID == id {
			return true
		}
	}
	return false
}

// record is a log.
type record struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (r *record) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.Write(p)
}

// taken returns the text, and empties the log.
func (r *record) taken() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	defer r.text.Reset()
	return r.text.String()
}

// take waits for a time, or until the context ends.
func take(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// mail returns a message with a code for an address, of a client.
func mail(id, to, from string) Delivery {
	now := time.Now()
	return Delivery{From: from, Message: notify.Message{
		ID: id, Kind: notify.EmailOTP, Channel: notify.Email, To: to, Secret: hidden.New("123456"), Time: now, Expire: now.Add(15 * time.Minute),
	}}
}

func text(id, to, from string) Delivery {
	d := mail(id, to, from)
	d.Message.Kind, d.Message.Channel = notify.PhoneOTP, notify.SMS
	return d
}

// run starts a courier in a bubble, and closes it after the test.
func run(t *testing.T, mails, texts notify.Notifier, test func(c *Courier, log *record)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		log := new(record)
		c := New(mails, texts, NewReport(slog.New(slog.NewTextHandler(log, nil)), time.Now), time.Now, nil)
		test(c, log)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := c.Close(ctx); err != nil {
			t.Error(err)
		}
		if n := c.Counts(); n.Waiting != 0 {
			t.Errorf("%+v", n)
		}
		for _, l := range c.lanes {
			if len(l.busy) != 0 || len(l.held) != 0 || l.retrying < 0 || l.sending != 0 {
				t.Errorf("left behind: %v, %v, %d, %d", l.busy, l.held, l.retrying, l.sending)
			}
		}
	})
}

// within fails the test unless a message is sent within a time.
func within(t *testing.T, b *box, id string, d time.Duration) {
	t.Helper()
	<-time.After(d)
	synctest.Wait()
	if !b.has(id) {
		t.Errorf("%s is not sent within %v", id, d)
	}
}

// A mailbox provider that is slow, and says "later" in the end, holds up its own mail alone.
func TestASlowDomainHoldsUpItsOwnMailAlone(t *testing.T) {
	for name, slow := range map[string]func(ctx context.Context) error{
		"9 s and later":          func(ctx context.Context) error { return errors.Join(take(ctx, 9*time.Second), errors.New("450")) },
		"until the context ends": func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() },
		"9 s and well":           func(ctx context.Context) error { return take(ctx, 9*time.Second) },
		"30 s and a refusal": func(ctx context.Context) error {
			return notify.Permanent(errors.Join(take(ctx, 30*time.Second), errors.New("550")))
		},
		"and some that come again": func(ctx context.Context) error { return errors.Join(take(ctx, 20*time.Second), errors.New("451")) },
	} {
		t.Run(name, func(t *testing.T) {
			b := &box{before: func(ctx context.Context, m notify.Message) error {
				if strings.HasSuffix(m.To, "@tarpit.example") {
					return slow(ctx)
				}
				return nil
			}}
			run(t, b, nil, func(c *Courier, _ *record) {
				for n := range 300 {
					c.Deliver(mail(fmt.Sprint("slow", n), fmt.Sprintf("x%d@tarpit.example", n), fmt.Sprintf("192.0.2.%d", n%250)))
				}
				for n := range 20 { // at once, and while messages come again
					c.Deliver(mail(fmt.Sprint("quick", n), "ada@example.org", "198.51.100.7"))
					within(t, b, fmt.Sprint("quick", n), time.Second)
					<-time.After(37 * time.Second)
				}
			})
		})
	}
}

// One client with hundreds of addresses at a provider of many, or in one country, leaves room for
// others there, however long its own mail is under way.
func TestAClientAtABigProviderLeavesRoomForOthersThere(t *testing.T) {
	for _, took := range []time.Duration{500 * time.Millisecond, 9 * time.Second} {
		mails := &box{before: func(ctx context.Context, m notify.Message) error {
			if strings.HasPrefix(m.ID, "many") {
				return take(ctx, took)
			}
			return nil
		}}
		texts := &box{before: mails.before}
		run(t, mails, texts, func(c *Courier, _ *record) {
			for n := range 300 {
				c.Deliver(mail(fmt.Sprint("many", n), fmt.Sprintf("x%d@big.example", n), "192.0.2.1"))
				c.Deliver(text(fmt.Sprint("many", n), fmt.Sprintf("+4915%08d", n), "192.0.2.1"))
			}
			for n := range 10 {
				c.Deliver(mail(fmt.Sprint("other", n), "ada@big.example", "198.51.100.7"))
				c.Deliver(text(fmt.Sprint("other", n), "+491521234567", "198.51.100.7"))
				within(t, mails, fmt.Sprint("other", n), time.Second)
				if !texts.has(fmt.Sprint("other", n)) {
					t.Errorf("text %d waits", n)
				}
			}
		})
	}
}

// Names below a domain are one domain, and the last workers are for domains and clients without any: three slow
// domains of three clients leave room for a fourth.
func TestNamesBelowADomainAreOneDomain(t *testing.T) {
	for name, to := range map[string]func(n int) (string, string){
		"names below one domain": func(n int) (string, string) {
			return fmt.Sprintf("x@s%d.tarpit.example", n), fmt.Sprint("client", n%50)
		},
		"three domains": func(n int) (string, string) { return fmt.Sprintf("x@tarpit%d.example", n%3), fmt.Sprint("client", n%3) },
		"no clients":    func(n int) (string, string) { return fmt.Sprintf("x@s%d.tarpit%d.example", n, n%2), "" },
	} {
		b := &box{before: func(ctx context.Context, m notify.Message) error {
			if strings.Contains(m.To, "tarpit") {
				return errors.Join(take(ctx, 30*time.Second), errors.New("450"))
			}
			return nil
		}}
		run(t, b, nil, func(c *Courier, _ *record) {
			for n := range 300 {
				address, from := to(n)
				c.Deliver(mail(fmt.Sprint("slow", n), address, from))
			}
			for n := range 10 {
				c.Deliver(mail(fmt.Sprint("quick", n), "ada@example.org", "198.51.100.7"))
				within(t, b, fmt.Sprint("quick", n), time.Second)
				<-time.After(17 * time.Second)
			}
		})
		if t.Failed() {
			t.Log(name)
		}
	}
}

// A message to a server that takes mail of a stranger only after five minutes (RFC 6647) arrives, also
// while fresh ones come.
func TestAMessageToAGreylistArrives(t *testing.T) {
	var first time.Time
	b := new(box)
	b.before = func(context.Context, notify.Message) error { return nil }
	run(t, b, nil, func(c *Courier, _ *record) {
		first = time.Now()
		b.before = func(_ context.Context, m notify.Message) error {
			if m.ID == "grey" && time.Since(first) < 5*time.Minute {
				return &notify.Failure{Stage: "recipient", Reason: "450 4.7.1"}
			}
			return nil
		}
		c.Deliver(mail("grey", "ada@grey.example", "192.0.2.1"))
		for n := range 400 {
			c.Deliver(mail(fmt.Sprint("fresh", n), fmt.Sprintf("x@d%d.example", n), ""))
			<-time.After(time.Second)
		}
		synctest.Wait()
		if n := c.Counts(); !b.has("grey") || n.Sent != 401 || n.Retried != 5 {
			t.Errorf("%+v", n)
		}
	})
}

// A domain or a client that has filled the queue gives places to others: no other message is lost.
func TestAFullQueueTakesTheMessagesOfOthers(t *testing.T) {
	for name, to := range map[string]func(n int) (string, string){
		"a domain": func(n int) (string, string) { return fmt.Sprintf("x%d@tarpit.example", n), fmt.Sprint("client", n%200) },
		"a client": func(n int) (string, string) { return fmt.Sprintf("x@tarpit%d.example", n), "192.0.2.1" },
	} {
		b := &box{before: func(ctx context.Context, m notify.Message) error {
			if strings.Contains(m.To, "tarpit") {
				return take(ctx, time.Minute)
			}
			return nil
		}}
		run(t, b, nil, func(c *Courier, _ *record) {
			for n := range 1000 {
				address, from := to(n)
				c.Deliver(mail(fmt.Sprint("slow", n), address, from))
			}
			if n := c.Counts(); n.Waiting != 900 || n.Dropped != 100 {
				t.Errorf("%s: %+v", name, n)
			}
			for n := range 50 {
				c.Deliver(mail(fmt.Sprint("other", n), fmt.Sprintf("ada@d%d.example", n), fmt.Sprint("other", n)))
			}
			<-time.After(time.Second)
			synctest.Wait()
			for n := range 50 {
				if !b.has(fmt.Sprint("other", n)) {
					t.Errorf("%s: message %d is lost", name, n)
				}
			}
			if n := c.Counts(); n.Dropped > 150 || n.Waiting+n.Dropped+n.Sent != 1050 {
				t.Errorf("%s: %+v", name, n)
			}
		})
	}
}

func TestDomainsAreCountedAsTheyAreRegistered(t *testing.T) {
	for to, want := range map[string]string{
		"a@example.org": "example.org", "a@b.example.org": "example.org", "a@s1.s2.tarpit.example": "tarpit.example", "a@shop.co.uk": "shop.co.uk", "a@x.shop.co.uk": "shop.co.uk",
		"a@mail.shop.com.au": "shop.com.au", "a@example.de": "example.de", "a@mail.example.de": "example.de", "a@x.y.de": "x.y.de", "a@host": "host", "a": "",
	} {
		if got := Place(notify.Message{Channel: notify.Email, To: to}); got != want {
			t.Errorf("%s: %q, want %q", to, got, want)
		}
	}
	for to, want := range map[string]string{"+4915212345678": "49", "+14155550100": "1", "+35312345678": "353", "odd": "odd"} {
		if got := Place(notify.Message{Channel: notify.SMS, To: to}); got != want {
			t.Errorf("%s: %q, want %q", to, got, want)
		}
	}
}

// A notice goes before the other messages of its client: a thief cannot hold up the notice of a theft.
func TestANoticeGoesBeforeTheMailOfItsOwnClient(t *testing.T) {
	b := &box{before: func(ctx context.Context, m notify.Message) error {
		if strings.Contains(m.To, "tarpit") {
			return take(ctx, 30*time.Second)
		}
		return nil
	}}
	run(t, b, nil, func(c *Courier, _ *record) {
		for n := range 300 {
			c.Deliver(mail(fmt.Sprint("slow", n), fmt.Sprintf("x@tarpit%d.example", n), "192.0.2.1"))
		}
		notice := mail("notice", "ada@example.org", "192.0.2.1")
		notice.Notice, notice.Message.Expire = true, time.Time{}
		c.Deliver(notice)
		within(t, b, "notice", time.Second)
	})
}

// A message that comes again is not kept for ever by fresh ones.
func TestAMessageThatComesAgainIsNotStarved(t *testing.T) {
	var down atomic.Bool
	down.Store(true)
	b := new(box)
	b.before = func(ctx context.Context, m notify.Message) error {
		if m.ID == "again" {
			if down.Load() {
				return errors.New("450")
			}
			return nil
		}
		return take(ctx, time.Second)
	}
	run(t, b, nil, func(c *Courier, _ *record) {
		c.Deliver(mail("again", "ada@example.org", ""))
		synctest.Wait()
		down.Store(false)
		for second := range 120 { // more than eight a second
			for n := range 10 {
				c.Deliver(mail(fmt.Sprint("fresh", second, n), fmt.Sprintf("x@d%d.example", n), ""))
			}
			<-time.After(time.Second)
		}
		if !b.has("again") {
			t.Error("it is starved")
		}
	})
}

// A store or a notifier of the host's that panics, or ends its goroutine, ends no worker.
func TestWhatTheHostDoesEndsNoWorker(t *testing.T) {
	b := new(box)
	b.before = func(_ context.Context, m notify.Message) error {
		switch {
		case strings.HasPrefix(m.ID, "exit"):
			runtime.Goexit()
		case m.ID == "again":
			b.before = nil
			return errors.New("450")
		}
		return nil
	}
	run(t, b, nil, func(c *Courier, _ *record) {
		for n := range 3 * workers {
			c.Deliver(mail(fmt.Sprint("exit", n), fmt.Sprintf("x@d%d.example", n), ""))
		}
		synctest.Wait()
		d := mail("again", "ada@example.org", "")
		d.Serves = func(context.Context) bool { panic("the store") }
		c.Deliver(d)
		<-time.After(2 * time.Second)
		synctest.Wait()
		if n := c.Counts(); !b.has("again") || n.Dropped != 3*workers || n.Waiting != 0 {
			t.Errorf("%+v", n)
		}
	})
}

// One client with hundreds of addresses, each of another slow domain, holds up its own mail alone.
func TestAClientWithManyAddressesHoldsUpItsOwnMailAlone(t *testing.T) {
	b := &box{before: func(ctx context.Context, m notify.Message) error {
		if strings.Contains(m.To, "tarpit") {
			return errors.Join(take(ctx, 30*time.Second), errors.New("450"))
		}
		return nil
	}}
	run(t, b, nil, func(c *Courier, _ *record) {
		for n := range 300 {
			c.Deliver(mail(fmt.Sprint("slow", n), fmt.Sprintf("x@tarpit%d.example", n), "192.0.2.1"))
		}
		for n := range 20 {
			c.Deliver(mail(fmt.Sprint("quick", n), "ada@example.org", "198.51.100.7"))
			within(t, b, fmt.Sprint("quick", n), time.Second)
			<-time.After(13 * time.Second)
		}
	})
}

// A slow SMS service holds up no mail, whatever waits for it.
func TestASlowChannelHoldsUpNoOther(t *testing.T) {
	mails := new(box)
	texts := &box{before: func(ctx context.Context, _ notify.Message) error { return take(ctx, 8*time.Second) }}
	run(t, mails, texts, func(c *Courier, _ *record) {
		for n := range 1200 { // more than the queue holds
			c.Deliver(text(fmt.Sprint("slow", n), fmt.Sprintf("+4915%08d", n), ""))
		}
		c.Deliver(mail("quick", "ada@example.org", ""))
		within(t, mails, "quick", time.Second)
		if n := c.Counts(); n.Dropped != 300 || n.Sent != 1 {
			t.Errorf("%+v", n)
		}
	})
}

// A message that was not tried yet goes before those that come again, and the older before the
// newer.
func TestFreshMessagesGoBeforeRepeatedOnes(t *testing.T) {
	var down atomic.Bool
	down.Store(true)
	var held chan struct{} // of the bubble
	b := new(box)
	b.before = func(ctx context.Context, m notify.Message) error {
		switch {
		case strings.HasPrefix(m.ID, "again") && down.Load():
			return errors.New("450")
		case strings.HasPrefix(m.ID, "hold"):
			return until(ctx, held)
		}
		return nil
	}
	run(t, b, nil, func(c *Courier, _ *record) {
		held = make(chan struct{})
		for n := range 5 {
			c.Deliver(mail(fmt.Sprint("again", n), fmt.Sprintf("x@a%d.example", n), ""))
		}
		synctest.Wait() // each has failed once
		down.Store(false)
		for n := range workers {
			c.Deliver(mail(fmt.Sprint("hold", n), fmt.Sprintf("x@h%d.example", n), ""))
		}
		synctest.Wait()
		<-time.After(10 * time.Second) // the five have waited, and stand in the queue
		for n := range 5 {
			c.Deliver(mail(fmt.Sprint("fresh", n), fmt.Sprintf("x@f%d.example", n), ""))
		}
		l := c.lanes[notify.Email]
		for _, want := range []string{"fresh0", "fresh1", "fresh2", "fresh3", "fresh4", "again"} {
			d, _ := l.take()
			if !strings.HasPrefix(d.Message.ID, want) {
				t.Errorf("%s, want %s", d.Message.ID, want)
			}
			defer l.done(d)
		}
		close(held)
		synctest.Wait()
		if n := c.Counts(); n.Sent != int64(workers)+4 {
			t.Errorf("%+v", n)
		}
	})
}

// A message whose code has run out is not sent, and one whose code was replaced neither.
func TestAMessageWhoseCodeNoLongerServesIsNotSent(t *testing.T) {
	var down atomic.Bool
	down.Store(true)
	b := new(box)
	b.before = func(context.Context, notify.Message) error {
		if down.Load() {
			return errors.New("451")
		}
		return nil
	}
	run(t, b, nil, func(c *Courier, _ *record) {
		short := mail("short", "ada@example.org", "")
		short.Message.Expire = short.Message.Time.Add(time.Minute)
		notice := mail("notice", "ada@example.org", "")
		notice.Message.Expire = time.Time{}
		replaced := mail("replaced", "ada@example.org", "")
		replaced.Serves = func(context.Context) bool { return false }
		serving := mail("serving", "ada@example.org", "")
		serving.Serves = func(context.Context) bool { return true }
		c.Deliver(short)
		c.Deliver(notice)
		c.Deliver(replaced)
		c.Deliver(serving)
		<-time.After(30 * time.Second) // three tries, and the fourth comes after 85 s
		synctest.Wait()
		down.Store(false)
		<-time.After(2 * time.Minute)
		synctest.Wait()
		if b.has("short") || b.has("replaced") || !b.has("notice") || !b.has("serving") {
			t.Errorf("%v", b.sent)
		}
		if n := c.Counts(); n.Stale != 2 || n.Sent != 2 || n.Dropped != 0 {
			t.Errorf("%+v", n)
		}
		for _, m := range b.sent {
			if late := m.Sending.Sub(m.Time); late < time.Minute || late > 2*time.Minute {
				t.Errorf("%s: the words count from %v after the request", m.ID, late)
			}
		}
	})
}

// until waits for done or for the end of ctx.
func until(ctx context.Context, done <-chan struct{}) error {
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// The store is asked whether a code still serves only if the message was tried or has waited.
func TestACodeIsAskedForOnlyInDoubt(t *testing.T) {
	var stop chan struct{} // of the bubble
	b := &box{before: func(ctx context.Context, m notify.Message) error {
		if strings.HasPrefix(m.ID, "hold") {
			return until(ctx, stop)
		}
		return nil
	}}
	run(t, b, nil, func(c *Courier, _ *record) {
		stop = make(chan struct{})
		var asked sync.Map
		ask := func(id string) {
			d := mail(id, "ada@example.org", "")
			d.Serves = func(context.Context) bool { asked.Store(id, true); return false }
			c.Deliver(d)
		}
		ask("at once")
		synctest.Wait()
		if _, found := asked.Load("at once"); found || !b.has("at once") {
			t.Error("a message without a doubt is asked for")
		}
		for n := range domainShare {
			c.Deliver(mail(fmt.Sprint("hold", n), "bob@example.org", ""))
		}
		ask("waiting")
		<-time.After(doubtful)
		close(stop)
		synctest.Wait()
		if _, found := asked.Load("waiting"); !found || b.has("waiting") {
			t.Error("a message that has waited is sent although its code no longer serves")
		}
	})
}

// The first failure of a kind is logged at once, with its stage and its reason, and then once a
// minute. No line has an address, or a word of an answer.
func TestTheFirstFailureOfAKindIsLoggedAtOnce(t *testing.T) {
	refused := &net.OpError{Op: "dial", Net: "tcp", Addr: &net.TCPAddr{IP: net.IPv4(192, 0, 2, 9), Port: 25}, Err: syscall.ECONNREFUSED}
	b := new(box)
	b.before = func(_ context.Context, m notify.Message) error {
		switch {
		case strings.HasPrefix(m.ID, "login"):
			return fmt.Errorf("to %s: %w", m.To, &notify.Failure{Stage: "login", Reason: "535 5.7.8", Err: errors.New("ada@example.org 123456")})
		case strings.HasPrefix(m.ID, "away"):
			return refused
		case strings.HasPrefix(m.ID, "final"):
			return notify.Permanent(&notify.Failure{Stage: "recipient", Reason: "550 5.1.1", Err: errors.New("ada@example.org")})
		case strings.HasPrefix(m.ID, "panic"):
			panic("ada@example.org")
		}
		return fmt.Errorf("no mail for %s with 123456", m.To)
	}
	run(t, b, nil, func(c *Courier, log *record) {
		send := func(prefix string) {
			for n := range 40 {
				c.Deliver(mail(fmt.Sprint(prefix, n), "ada@example.org", ""))
			}
		}
		lines := func() []string {
			synctest.Wait()
			return strings.Split(strings.TrimSpace(log.taken()), "\n")
		}
		for _, kind := range []struct{ prefix, want string }{
			{"login", `level=WARN msg="latchkey: a message is not sent, and will be tried again" channel=email stage=login reason="535 5.7.8" failures=1`},
			{"away", `channel=email stage="" reason="connection refused" failures=1`},
			{"other", `channel=email stage="" reason=failed failures=1`},
			{"final", `level=ERROR msg="latchkey: a message is dropped" message=final0 kind=email-otp channel=email tries=1 stage=recipient reason="550 5.1.1" dropped=1`},
			{"panic", `stage=notifier reason=panicked dropped=1`},
		} {
			send(kind.prefix)
			got := lines()
			if kind.prefix == "final" || kind.prefix == "panic" { // any of three workers may be first
				got[0] = strings.Replace(got[0], got[0][strings.Index(got[0], "message="):strings.Index(got[0], " kind=")], "message="+kind.prefix+"0", 1)
			}
			if len(got) != 1 || !strings.Contains(got[0], kind.want) {
				t.Errorf("%s: %q", kind.prefix, got)
			}
		}
		<-time.After(90 * time.Second)
		for _, line := range lines() {
			if strings.Contains(line, "example.org") || strings.Contains(line, "123456") || strings.Contains(line, "192.0.2.9") {
				t.Error(line)
			}
		}
	})
}

// Hundreds of kinds are one kind from some number on, so that a notifier with a number of its own
// in each reason does not fill the log, nor the memory.
func TestTheKindsOfFailuresAreBounded(t *testing.T) {
	b := new(box)
	b.before = func(_ context.Context, m notify.Message) error {
		return notify.Permanent(&notify.Failure{Stage: "own", Reason: m.ID + strings.Repeat("x", 1000) + "\n"})
	}
	run(t, b, nil, func(c *Courier, log *record) {
		for n := range 600 {
			c.Deliver(mail(fmt.Sprint(n), "ada@example.org", ""))
		}
		synctest.Wait()
		text := log.taken()
		if lines := strings.Count(text, "\n"); lines != reportKinds+1 || len(text) > 400*lines {
			t.Errorf("%d lines, %d bytes", lines, len(text))
		}
	})
}
