package nodes

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/notify"
	"example.com/latchkey/store"
)

// outbox is the part of the settings of a node with an outbox.
type outbox struct {
	Journal string    // the file
	Run     int       // the number of the process
	Clean   bool      // no delivery fails
	Base    time.Time // the clock of the engine runs Rate times as fast since then
	Rate    int64
	Step    time.Duration // Config.MaxClockStep
}

// configure changes the configuration of a node. Links live for a day, so that only codes
// run out in a test.
func (o *outbox) configure(c *latchkey.Config, ahead time.Duration) {
	base, rate := o.Base, time.Duration(o.Rate)
	c.Now = func() time.Time { return base.Add(time.Since(base)*rate + ahead) }
	c.MaxClockStep = o.Step
	m := &c.Policy.Messages
	m.MagicURLLength, m.RecoveryLength, m.OTPLength = 24*time.Hour, 24*time.Hour, codeLength
}

// codeLength is the life of a code.
const codeLength = 6 * time.Minute

// entry is a line of the journal. The lines are in the order in which they were written.
type entry struct {
	What   what
	Run    int // the number of the process that it is about
	Number int // of the call: of one that was acknowledged, or that has caused a delivery

	// These are of a delivery.
	Lane    string // email, or the name of a receiver
	ID      string
	Try     int
	Kind    string
	Subject string // the address, or the user or team of an event
	User    string
	Name    int  // of the user, in a payload; 0 without one
	Late    bool // the code has run out
	How     ending
}

// what is the kind of an entry.
type what string

const (
	begins       what = "begins" // the process is started after this line
	killed       what = "killed" // the process is killed after this line
	acknowledged what = "acknowledged"
	delivered    what = "delivered"
)

// ending is how a delivery ends, if the process is not killed before that.
type ending string

const (
	taken     ending = "taken"
	fails     ending = "fails"
	permanent ending = "permanent"
	panics    ending = "panics"
)

// journal is a file to which several processes add.
type journal struct {
	io.WriteCloser
	run   int
	clean bool
}

func openJournal(o *outbox) (*journal, error) {
	file, err := os.OpenFile(o.Journal, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	return &journal{file, o.Run, o.Clean}, err
}

// add adds a line by one write. It is not synced: only processes are killed, and the system lives on.
func (j *journal) add(e entry) error {
	line, err := json.Marshal(e)
	if err != nil {
		return err
	}
	_, err = j.Write(append(line, '\n'))
	return err
}

// deliver notes a delivery, and lets it end at random.
func (j *journal) deliver(e entry) error {
	e.What, e.Run, e.How = delivered, j.run, taken
	if !j.clean {
		switch rand.IntN(24) {
		case 0:
			e.How = permanent
		case 1:
			e.How = panics
		case 2, 3, 4:
			e.How = fails
		}
	}
	if err := j.add(e); err != nil {
		return err
	}
	if !j.clean && rand.IntN(4) == 0 {
		linger(1 << 14)
	}
	switch e.How {
	case permanent:
		return notify.Permanent(errors.New("a lasting failure"))
	case panics:
		panic("a receiver")
	case fails:
		return errors.New("a failure")
	}
	return nil
}

// linger waits a little, without a clock.
func linger(most int) {
	for range rand.IntN(most) {
		runtime.Gosched()
	}
}

// number returns the number of the call that a mark names, 0 for another text.
func number(mark string) int {
	n, _ := strconv.Atoi(strings.TrimPrefix(mark, "x-"))
	return n
}

// mark is the text that a call leaves in its messages and events: the client's locale is in messages,
// and its user agent is in events.
func mark(number int) string { return "x-" + strconv.Itoa(number) }

func (j *journal) message(m notify.Message) error {
	return j.deliver(entry{
		Number: number(m.Locale), Lane: string(m.Channel), ID: m.ID, Try: m.Try, Kind: string(m.Kind), Subject: m.To, User: m.UserID,
		Late: !m.Expire.IsZero() && !m.Sending.Before(m.Expire),
	})
}

// wants are the events that each receiver gets.
var wants = map[string][]string{
	"all":      nil,
	"profiles": {"users.*.update.name", "users.*.update.email", "users.*.update.password"},
	"sessions": {"users.*.sessions.*"},
	"teams":    {"teams.*"},
}

func (j *journal) receivers() (all []latchkey.Receiver) {
	for name, events := range wants {
		all = append(all, latchkey.Receiver{Name: name, Events: events, Receive: func(_ context.Context, e latchkey.Event) error {
			d := entry{
				Number: number(e.Client.UserAgent), Lane: name, ID: e.ID, Try: e.Try, Kind: e.Pattern(), Subject: e.UserID + "/" + e.TeamID, User: e.UserID,
			}
			if user, is := e.Payload.(*latchkey.User); is {
				d.Name, _ = strconv.Atoi(user.Name)
			}
			return j.deliver(d)
		}})
	}
	return all
}

// unreliable rolls a transaction of a call back after its closure has run, if the call asks
// for it.
type unreliable struct{ store.Store }

// failing is the key of the number of the transaction of a call that is rolled back.
type failing struct{}

var errRolledBack = errors.New("rolled back by the test")

// rollsBack makes a call lose its nth transaction. "" rolls no transaction back.
func rollsBack(ctx context.Context, nth string) context.Context {
	n, err := strconv.Atoi(nth)
	if err != nil {
		return ctx
	}
	left := new(atomic.Int64)
	left.Store(int64(n))
	return context.WithValue(ctx, failing{}, left)
}

// Update implements [store.Store].
func (u unreliable) Update(ctx context.Context, fn func(context.Context, store.Tx) error) error {
	left, asked := ctx.Value(failing{}).(*atomic.Int64)
	loses := asked && left.Add(-1) == 0
	return u.Store.Update(ctx, func(ctx context.Context, tx store.Tx) error {
		if err := fn(ctx, tx); err != nil || !loses {
			return err
		}
		return errRolledBack
	})
}

// Shared implements [store.Shared].
func (u unreliable) Shared() bool { return store.IsShared(u.Store) }

// deliveries returns the rows of the outbox.
func deliveries(ctx context.Context, rows store.Reader) (all []*record.Delivery, err error) {
	for q := (store.Query{Index: record.Outbox.Primary(), Limit: store.MaxLimit}); ; {
		page, err := rows.List(ctx, q)
		if err != nil {
			return nil, err
		}
		for _, row := range page {
			all = append(all, record.Outbox.Record(row))
		}
		if len(page) < q.Limit {
			return all, nil
		}
		q.After = q.Index.Position(page[len(page)-1])
	}
}

// outboxOperations are further calls that a node makes, by name.
var outboxOperations = map[string]func(context.Context, *caller) error{
	// waiting counts the deliveries that wait, and those of them that are under way or may begin.
	"waiting": func(ctx context.Context, c *caller) error {
		all, err := deliveries(ctx, c.rows)
		waits, moves := 0, 0
		for _, row := range all {
			if row.GivenUp.IsZero() {
				waits++
				if row.Leased || !row.Due.After(c.now()) {
					moves++
				}
			}
		}
		c.out["waits"], c.out["moves"] = strconv.Itoa(waits), strconv.Itoa(moves)
		return err
	},
	"setName": byAccount(func(ctx context.Context, c *caller, a *latchkey.Account) error {
		_, err := a.UpdateName(ctx, c.in["name"])
		return err
	}),
	"newPassword": byAccount(func(ctx context.Context, c *caller, a *latchkey.Account) error {
		_, err := a.UpdatePassword(ctx, latchkey.PasswordUpdate{New: c.in["password"], Old: c.in["old"]})
		return err
	}),
	"deleteSelf": byAccount(func(ctx context.Context, _ *caller, a *latchkey.Account) error { return a.Delete(ctx) }),
	"verify": byAccount(func(ctx context.Context, c *caller, a *latchkey.Account) error {
		return c.token(a.CreateEmailVerification(ctx, "https://app.example.org/verify"))
	}),
	"prove": func(ctx context.Context, c *caller) error {
		_, err := c.guest.ConfirmEmailVerification(ctx, c.in["user"], c.in["secret"])
		return err
	},
	"recover": func(ctx context.Context, c *caller) error {
		return c.token(c.guest.CreateRecovery(ctx, latchkey.NewRecovery{Email: c.in["email"], URL: "https://app.example.org/recover"}))
	},
}
