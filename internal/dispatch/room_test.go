package dispatch

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// counted is a work that says how many of its kind run at once.
type counted struct{ now, most *atomic.Int64 }

func (c counted) Run(context.Context) bool {
	n := c.now.Add(1)
	defer c.now.Add(-1)
	for m := c.most.Load(); n > m && !c.most.CompareAndSwap(m, n); m = c.most.Load() {
	}
	<-time.After(time.Second)
	return true
}

func (counted) Return() {}

// A lane runs no more deliveries at once than it has room, also if some are offered while others are claimed.
func TestALaneHasNoMoreThanItsRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var now, most atomic.Int64
		work := counted{&now, &most}
		d := New([]Lane{{
			Name: "lane", Room: 4, Failed: func(error) {},
			Claim: func(_ context.Context, n int, _ bool) (works []Work, next time.Duration, err error) {
				<-time.After(100 * time.Millisecond) // the store takes its time
				for range n {
					works = append(works, work)
				}
				return works, 0, nil
			},
		}})
		d.Start()
		synctest.Wait()
		for range 4 { // operations commit meanwhile
			d.Offer("lane", work)
		}
		<-time.After(time.Minute)
		if err := d.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if n := most.Load(); n > 4 {
			t.Errorf("%d deliveries have run at once", n)
		}
	})
}
