package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"slices"
	"strconv"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/query"
)

// shownDelivery is a message or an event of the outbox, as -json prints it.
type shownDelivery struct {
	ID        string    `json:"id"`
	To        string    `json:"to"`
	Kind      string    `json:"kind"`
	UserID    string    `json:"userId,omitempty"`
	CreatedAt time.Time `json:"createdAt"`
	Due       time.Time `json:"due,omitzero"`
	Expire    time.Time `json:"expire,omitzero"`
	Tries     int       `json:"tries"`
	Failures  int       `json:"failures"`
	Cause     string    `json:"cause,omitempty"`
	GivenUpAt time.Time `json:"givenUpAt,omitzero"`
}

// deliveriesAtOnce is the size of a page of the outbox.
const deliveriesAtOnce = 1000

func outboxList(fs *flag.FlagSet) action {
	givenUp := fs.Bool("given-up", false, "show only those that were given up, the newest first")
	to := toFlag(fs)
	limit := fs.Int("limit", 100, "show at most so `MANY`, up to 5000")
	return func(ctx context.Context, t *tool, _ []string) error {
		if *limit < 1 || *limit > 5000 {
			return usagef("-limit is 1 to 5000")
		}
		return t.withEngine(ctx, look, latchkey.Policy{}, func(engine *latchkey.Engine) error {
			list := oldest
			if *givenUp {
				list = lastGivenUp
			}
			found, more, err := list(ctx, engine, *limit, only(*to))
			if err != nil {
				return err
			}
			return deliveries.write(t, found, more)
		})
	}
}

// toFlag is the flag for those to a channel or a receiver.
func toFlag(fs *flag.FlagSet) *string {
	return fs.String("to", "", "only those to `NAME`: email, sms, or a receiver of events")
}

// only returns the queries for those to a channel or a receiver, "" for all.
func only(to string) []latchkey.Query {
	if to == "" {
		return nil
	}
	return []latchkey.Query{query.Equal("to", to), query.Walk()}
}

// oldest returns the oldest of the outbox. more says that there are others.
func oldest(ctx context.Context, engine *latchkey.Engine, limit int, of []latchkey.Query) (found []*latchkey.Undelivered, more bool, err error) {
	list, err := engine.Undelivered(ctx, append(of, query.Limit(limit), query.NoTotal())...)
	if err != nil {
		return nil, false, err
	}
	return list.Undelivered, list.Next != "", nil
}

// lastGivenUp returns those that were given up last. more says that there are others.
func lastGivenUp(ctx context.Context, engine *latchkey.Engine, limit int, of []latchkey.Query) (found []*latchkey.Undelivered, more bool, err error) {
	list, err := givenUpFirst(ctx, engine, limit, "", of)
	if err != nil {
		return nil, false, err
	}
	found = list.Undelivered[:givenUpOf(list.Undelivered)]
	if len(found) < len(list.Undelivered) || list.Next == "" {
		return found, false, nil
	}
	next, err := givenUpFirst(ctx, engine, 1, list.Next, of)
	if err != nil {
		return nil, false, err
	}
	return found, givenUpOf(next.Undelivered) > 0, nil
}

// givenUpFirst returns a page of the outbox: those that were given up, the newest first, and then
// those that wait. It reads no more rows than it returns, unless it returns only some.
func givenUpFirst(ctx context.Context, engine *latchkey.Engine, limit int, token string, of []latchkey.Query) (*latchkey.UndeliveredList, error) {
	queries := append(slices.Clone(of), query.Limit(limit), query.NoTotal(), query.OrderDesc("givenUpAt"))
	if token != "" {
		queries = append(queries, query.Page(token))
	}
	return engine.Undelivered(ctx, queries...)
}

// givenUpOf returns how many of a page were given up. They come first.
func givenUpOf(page []*latchkey.Undelivered) (n int) {
	for n < len(page) && !page[n].GivenUpAt.IsZero() {
		n++
	}
	return n
}

// deliveries are the rows of outbox list.
var deliveries = rows[*latchkey.Undelivered]{
	none:    "Nothing was found.",
	heading: []string{"ID", "TO", "KIND", "USER", "SINCE", "TRIES", "GIVEN UP", "CAUSE"},
	columns: func(u *latchkey.Undelivered) []string {
		return []string{u.ID, u.To, u.Kind, u.UserID, stamp(u.CreatedAt), strconv.Itoa(u.Tries), stamp(u.GivenUpAt), u.Cause}
	},
	object: func(u *latchkey.Undelivered) any { return shownDelivery(*u) },
}

func outboxRequeue(fs *flag.FlagSet) action {
	all := fs.Bool("all", false, "everything that was given up")
	to := toFlag(fs)
	return func(ctx context.Context, t *tool, args []string) error {
		if *all == (len(args) > 0) {
			return usagef("name what to requeue by its IDs, or all that was given up by -all")
		}
		if *to != "" && !*all {
			return usagef("-to goes with -all")
		}
		return t.withEngine(ctx, change, latchkey.Policy{}, func(engine *latchkey.Engine) (err error) {
			if *all {
				if args, err = allGivenUp(ctx, engine, only(*to)); err != nil {
					return err
				}
				if err := t.confirm(ctx, "send "+counted(len(args))+" that were given up"); err != nil {
					return err
				}
			}
			n, err := each(args, *all, func(id string) error { return engine.Requeue(ctx, id) })
			if err == nil || n > 0 {
				t.result(map[string]int{"requeued": n}, "Requeued %s.\n", counted(n))
			}
			return err
		})
	}
}

// allGivenUp returns the ids of everything that was given up.
func allGivenUp(ctx context.Context, engine *latchkey.Engine, of []latchkey.Query) (ids []string, err error) {
	for token := ""; ; {
		list, err := givenUpFirst(ctx, engine, deliveriesAtOnce, token, of)
		if err != nil {
			return nil, err
		}
		n := givenUpOf(list.Undelivered)
		for _, u := range list.Undelivered[:n] {
			ids = append(ids, u.ID)
		}
		if token = list.Next; n < len(list.Undelivered) || token == "" {
			return ids, nil
		}
	}
}

// each does something to deliveries by id. It goes on after an id that is refused, and returns how
// many it has done. gone says that an id may have left the outbox meanwhile.
func each(ids []string, gone bool, do func(id string) error) (n int, err error) {
	for _, id := range ids {
		failure := do(id)
		var answer *latchkey.Error
		switch {
		case failure == nil:
			n++
		case gone && (errors.Is(failure, latchkey.ErrDeliveryNotFound) || errors.Is(failure, latchkey.ErrDeliveryUnderWay)):
		case errors.As(failure, &answer) && len(ids) > 1:
			err = errors.Join(err, fmt.Errorf("%s: %w", plain(id), failure))
		default:
			return n, errors.Join(err, failure)
		}
	}
	return n, err
}

func outboxDiscard(*flag.FlagSet) action {
	return func(ctx context.Context, t *tool, args []string) error {
		return t.withEngine(ctx, change, latchkey.Policy{}, func(engine *latchkey.Engine) error {
			if err := t.confirm(ctx, "delete "+counted(len(args))+" without delivering"); err != nil {
				return err
			}
			n, err := each(args, false, func(id string) error { return engine.Discard(ctx, id) })
			if err == nil || n > 0 {
				t.result(map[string]int{"discarded": n}, "Discarded %s.\n", counted(n))
			}
			return err
		})
	}
}

// counted returns a number of deliveries for a person.
func counted(n int) string {
	if n == 1 {
		return "1 message or event"
	}
	return strconv.Itoa(n) + " messages and events"
}
