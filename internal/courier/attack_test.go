package courier

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"example.com/latchkey/notify"
)

// A message that takes the place of another one in a full queue is sent, and the other one is not. Each delivery
// ends once, with its outcome.
func TestTheMessageThatTakesAPlaceIsSent(t *testing.T) {
	for _, outbox := range []bool{false, true} {
		t.Run(fmt.Sprint("outbox ", outbox), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				release := make(chan struct{})
				b := &box{before: func(_ context.Context, m notify.Message) error {
					if strings.HasSuffix(m.To, "@slow.example") {
						<-release
					}
					return nil
				}}
				c := New(b, nil, NewReport(slog.New(slog.DiscardHandler), time.Now), time.Now, nil)
				var mu sync.Mutex
				ends := make(map[string][]string)
				deliver := func(id, to string) {
					d := Delivery{Message: notify.Message{ID: id, Channel: notify.Email, To: to}, Serves: func(context.Context) bool { return true }}
					if outbox {
						d.Ended = func(outcome string, _ *notify.Failure) bool {
							mu.Lock()
							defer mu.Unlock()
							ends[id] = append(ends[id], outcome)
							return false
						}
					}
					c.Deliver(d)
				}
				room := queueSize - noticeReserve - provenReserve
				for n := range room {
					deliver(fmt.Sprint("slow", n), fmt.Sprintf("u%d@slow.example", n))
					synctest.Wait()
				}
				for _, d := range []string{"a", "b", "c"} { // two workers are left for other domains
					deliver(d, "x@"+d+".example")
				}
				synctest.Wait()
				close(release)
				if err := c.Close(t.Context()); err != nil {
					t.Error(err)
				}
				synctest.Wait()
				for _, id := range []string{"a", "b", "c"} {
					if !b.has(id) {
						t.Errorf("%s is not sent: %q", id, ends[id])
					}
				}
				for id, outcomes := range ends {
					if len(outcomes) != 1 {
						t.Errorf("%s has ended %d times: %q", id, len(outcomes), outcomes)
					}
				}
			})
		})
	}
}

// If the host's store panics when the courier asks whether a code still serves, the process goes on, as without an outbox.
func TestAPanicOfServesIsCaughtForAnOutboxToo(t *testing.T) {
	c := &Courier{now: time.Now}
	d := &Delivery{Serves: func(context.Context) bool { panic("the store of the host") }, Ended: func(string, *notify.Failure) bool { return false }}
	defer func() {
		if v := recover(); v != nil {
			t.Error("the panic comes out of the courier:", v)
		}
	}()
	if !c.serves(t.Context(), d) {
		t.Error("the message is taken for stale")
	}
}
