package dispatch_test

import (
	"context"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"example.com/latchkey/internal/dispatch"
)

// returned counts how often a delivery is given back.
type returned struct{ atomic.Int64 }

func (*returned) Run(context.Context) dispatch.Result { return dispatch.Went }
func (r *returned) Return()                           { r.Add(1) }

// A claim that is under way when the dispatcher is closed gives its deliveries back, and no other claim follows. Each claim
// counts as a try of its deliveries, and too many tries give a delivery up.
func TestNothingIsClaimedAfterClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		work, claims := new(returned), 0
		goOn := make(chan struct{})
		d := dispatch.New([]dispatch.Lane{{
			Name: "lane", Room: 1,
			Claim: func(context.Context, int, bool) ([]dispatch.Work, time.Duration, error) {
				claims++
				<-goOn
				if claims == 100 {
					return nil, 0, nil
				}
				return []dispatch.Work{work}, 0, nil
			},
			Failed: func(err error) { t.Error(err) },
		}})
		d.Start()
		synctest.Wait() // for the claim
		ended := make(chan error)
		go func() { ended <- d.Close(t.Context()) }()
		synctest.Wait()
		close(goOn)
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
		if claims != 1 || work.Load() != 1 {
			t.Errorf("%d claims, %d deliveries given back", claims, work.Load())
		}
	})
}

// A claim may use the dispatcher, so the first one comes after the caller of New has it.
func TestNothingIsClaimedBeforeStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		claims := 0
		d := dispatch.New([]dispatch.Lane{{
			Name: "lane", Room: 1,
			Claim: func(context.Context, int, bool) ([]dispatch.Work, time.Duration, error) {
				claims++
				return nil, 0, nil
			},
			Failed: func(err error) { t.Error(err) },
		}})
		synctest.Wait()
		if claims > 0 {
			t.Error("there is a claim before Start")
		}
		d.Start()
		synctest.Wait()
		if claims == 0 {
			t.Error("there is no claim after Start")
		}
		if err := d.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// A batch whose function ends its goroutine fails, and the next one is done.
func TestABatchThatEndsItsGoroutineFails(t *testing.T) {
	ends := true
	b := dispatch.NewBatch(10, 0, func([]int) error {
		if ends {
			runtime.Goexit()
		}
		return nil
	})
	if err := b.Do(1); err == nil {
		t.Error("it goes well")
	}
	ends = false
	if err := b.Do(2); err != nil {
		t.Error(err)
	}
}
