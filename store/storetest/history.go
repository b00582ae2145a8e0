package storetest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/anishathalye/porcupine"

	"example.com/latchkey/store"
)

// The checked histories are those of a few counters, some of which may be absent.
// Transactions read and set the counters, move amounts between them, and claim
// them.
const counters = 3

type counterState [counters]int64 // 0 for absent

type counterInput struct {
	kind   string // read, set, move or claim
	a, b   int
	amount int64
}

type counterOutput struct {
	state counterState // the result of a read
	ok    bool         // a move or a claim was possible
}

// step is the model of one transaction on a state.
func (in counterInput) step(s counterState) (counterOutput, counterState) {
	switch in.kind {
	case "read":
		return counterOutput{state: s}, s
	case "set":
		s[in.a] = in.amount
		return counterOutput{ok: true}, s
	case "claim":
		ok := s[in.a] != 0
		s[in.a] = 0
		return counterOutput{ok: ok}, s
	default:
		if s[in.a] <= in.amount || s[in.b] == 0 || in.a == in.b {
			return counterOutput{}, s
		}
		s[in.a] -= in.amount
		s[in.b] += in.amount
		return counterOutput{ok: true}, s
	}
}

// run runs the transaction on a store.
func (in counterInput) run(ctx context.Context, s store.Store) (out counterOutput, err error) {
	err = s.Update(ctx, func(ctx context.Context, tx store.Tx) error {
		out = counterOutput{}
		switch in.kind {
		case "read":
			for n := range counters {
				v, err := counter(ctx, tx, n)
				if err != nil {
					return err
				}
				out.state[n] = v
			}
			return nil
		case "set":
			out.ok = true
			return setCounter(ctx, tx, in.a, in.amount)
		case "claim":
			err := parents.Delete(ctx, tx, store.Text(person(in.a).ID))
			out.ok = err == nil
			if errors.Is(err, store.ErrNotFound) {
				return nil
			}
			return err
		}
		return in.move(ctx, tx, &out)
	})
	return out, err
}

func (in counterInput) move(ctx context.Context, tx store.Tx, out *counterOutput) error {
	a, err := counter(ctx, tx, in.a)
	if err != nil {
		return err
	}
	b, err := counter(ctx, tx, in.b)
	if err != nil {
		return err
	}
	if a <= in.amount || b == 0 || in.a == in.b {
		return nil
	}
	out.ok = true
	if err := setCounter(ctx, tx, in.a, a-in.amount); err != nil {
		return err
	}
	return setCounter(ctx, tx, in.b, b+in.amount)
}

func counter(ctx context.Context, tx store.Tx, n int) (int64, error) {
	p, err := parents.Find(ctx, tx, byID, store.Text(person(n).ID))
	if err != nil || p == nil {
		return 0, err
	}
	return p.Rank, nil
}

func setCounter(ctx context.Context, tx store.Tx, n int, v int64) error {
	p := person(n)
	p.Rank = v
	err := parents.Replace(ctx, tx, p)
	if errors.Is(err, store.ErrNotFound) {
		err = parents.Insert(ctx, tx, p)
	}
	return err
}

func drawInput() counterInput {
	return counterInput{
		kind:   []string{"read", "set", "move", "move", "claim"}[rand.IntN(5)],
		a:      rand.IntN(counters),
		b:      rand.IntN(counters),
		amount: 1 + rand.Int64N(5),
	}
}

var counterModel = porcupine.Model{
	Init: func() any { return counterState{} },
	Step: func(state, input, output any) (bool, any) {
		want, next := input.(counterInput).step(state.(counterState))
		return want == output.(counterOutput), next
	},
	DescribeOperation: func(input, output any) string { return fmt.Sprintf("%+v -> %+v", input, output) },
}

// histories runs transactions of several clients at once. It looks for one serial
// order, in real time, that explains all results.
func histories(s *suite) {
	const clients, each = 8, 40
	began := time.Now()
	operations := make([][]porcupine.Operation, clients)
	var group sync.WaitGroup
	for client := range clients {
		group.Go(func() {
			for range each {
				in := drawInput()
				call := time.Since(began)
				out, err := in.run(s.context(), s.Store)
				if err != nil {
					s.Errorf("%+v: %v", in, err)
					return
				}
				operations[client] = append(operations[client], porcupine.Operation{
					ClientId: client, Input: in, Output: out, Call: int64(call), Return: int64(time.Since(began)),
				})
			}
		})
	}
	group.Wait()
	var history []porcupine.Operation
	for _, o := range operations {
		history = append(history, o...)
	}
	if result := porcupine.CheckOperationsTimeout(counterModel, history, time.Minute); result != porcupine.Ok {
		s.Errorf("no serial order explains what %d transactions saw: %v", len(history), result)
	}
}

// faults fails every call of a transaction in turn, before and after its effect.
// Unless it failed after the commit, the transaction must leave no change, and it
// must be possible to run it again.
func faults(s *suite) {
	mine := errors.New("mine")
	s.add(person(0), person(1), person(2))
	for _, after := range []bool{false, true} {
		for n := 1; ; n++ {
			err := FailNth(s.Store, n, after, mine).Update(s.context(), changeAll)
			if err == nil {
				if n < 3 {
					s.Errorf("no call was failed")
				}
				s.undoAll()
				break
			}
			s.want(err, mine)
			if _, err := s.get(5); err == nil {
				if !after {
					s.Errorf("call %d failed before its effect, and all of it stands", n)
				}
				s.undoAll()
			}
			s.unchanged()
		}
	}
	s.viewFaults(mine)
	s.want(UnknownOutcome(s.Store).Update(s.context(), changeAll), store.ErrUnknownOutcome)
	s.undoAll()
	s.want(OutOfSpace(s.Store, 2, mine).Update(s.context(), changeAll), mine)
	s.want(ReadOnly(s.Store, mine).Update(s.context(), changeAll), mine)
	s.unchanged()
	s.must(Twice{Delayed(s.Store, func() {})}.Update(s.context(), changeAll))
	s.undoAll()
	s.unchanged()
}

// viewFaults fails every call of a View in turn, before and after its effect.
func (s *suite) viewFaults(mine error) {
	s.Helper()
	for _, after := range []bool{false, true} {
		for n := 1; ; n++ {
			ran := 0
			err := FailNth(s.Store, n, after, mine).View(s.context(), func(ctx context.Context, r store.Reader) error {
				ran++
				_, _ = r.Count(ctx, store.Query{Index: byRank})
				_, _ = r.List(ctx, store.Query{Index: byRank, Limit: 1})
				return nil // hides their errors
			})
			if err == nil {
				if n != 4 || ran != 1 {
					s.Errorf("a View of %d calls, run %d times", n-1, ran)
				}
				break
			}
			if !errors.Is(err, mine) || ran > 1 {
				s.Errorf("call %d of a View failed: %v, run %d times", n, err, ran)
			}
		}
	}
	runs := 0
	s.must(Twice{Delayed(s.Store, func() {})}.View(s.context(), func(context.Context, store.Reader) error { runs++; return nil }))
	if runs != 1 {
		s.Errorf("a closure of View ran %d times", runs)
	}
}

// undoAll undoes the changes of changeAll by further changes.
func (s *suite) undoAll() {
	s.Helper()
	s.must(s.update(func(ctx context.Context, tx store.Tx) error {
		for _, err := range []error{
			children.Delete(ctx, tx, store.Text(person(5).ID), store.Int(1)),
			children.Delete(ctx, tx, store.Text(person(5).ID), store.Int(2)),
			children.Delete(ctx, tx, store.Text(person(2).ID), store.Int(2)),
			parents.Delete(ctx, tx, store.Text(person(5).ID)),
			parents.Replace(ctx, tx, person(0)),
			parents.Insert(ctx, tx, person(1)),
		} {
			if err != nil {
				return err
			}
		}
		return nil
	}))
}

func checked(s *suite) {
	c, ok := s.Store.(store.Checker)
	if !ok {
		return // a server looks after itself
	}
	s.must(c.Check(s.context()))
	s.add(person(0), person(1), person(2))
	s.must(s.update(changeAll))
	s.must(c.Check(s.context()))
	ctx, cancel := context.WithCancel(s.context())
	cancel()
	s.want(c.Check(ctx), context.Canceled)
}
