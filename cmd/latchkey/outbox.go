package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
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
			found, more, err := list(ctx, engine, *limit)
			if err != nil {
				return err
			}
			return deliveries.write(t, found, more)
		})
	}
}

// oldest returns the oldest of the outbox. more says that there are others.
func oldest(ctx context.Context, engine *latchkey.Engine, limit int) (found []*latchkey.Undelivered, more bool, err error) {
	list, err := engine.Undelivered(ctx, query.Limit(limit), query.NoTotal())
	if err != nil {
		return nil, false, err
	}
	return list.Undelivered, list.Next != "", nil
}

// lastGivenUp returns those that were given up last. more says that there are others.
func lastGivenUp(ctx context.Context, engine *latchkey.Engine, limit int) (found []*latchkey.Undelivered, more bool, err error) {
	list, err := givenUpFirst(ctx, engine, limit, "")
	if err != nil {
		return nil, false, err
	}
	found = list.Undelivered[:givenUpOf(list.Undelivered)]
	if len(found) < len(list.Undelivered) || list.Next == "" {
		return found, false, nil
	}
	next, err := givenUpFirst(ctx, engine, 1, list.Next)
	if err != nil {
		return nil, false, err
	}
	return found, givenUpOf(next.Undelivered) > 0, nil
}

// givenUpFirst returns a page of the outbox: those that were given up, the newest first, and then
// those that wait. It reads no more rows than it returns.
func givenUpFirst(ctx context.Context, engine *latchkey.Engine, limit int, token string) (*latchkey.UndeliveredList, error) {
	queries := []latchkey.Query{query.Limit(limit), query.NoTotal(), query.OrderDesc("givenUpAt")}
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
	return func(ctx context.Context, t *tool, args []string) error {
		if *all == (len(args) > 0) {
			return usagef("name what to requeue by its IDs, or all that was given up by -all")
		}
		return t.withEngine(ctx, change, latchkey.Policy{}, func(engine *latchkey.Engine) (err error) {
			if *all {
				if args, err = allGivenUp(ctx, engine); err != nil {
					return err
				}
				if err := t.confirm(ctx, fmt.Sprintf("send all %d messages and events that were given up", len(args))); err != nil {
					return err
				}
			}
			n, err := requeue(ctx, engine, args, *all)
			if err == nil || n > 0 {
				t.result(map[string]int{"requeued": n}, "Requeued %d messages and events.\n", n)
			}
			return err
		})
	}
}

// allGivenUp returns the ids of everything that was given up.
func allGivenUp(ctx context.Context, engine *latchkey.Engine) (ids []string, err error) {
	for token := ""; ; {
		list, err := givenUpFirst(ctx, engine, deliveriesAtOnce, token)
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

// requeue requeues by id. It goes on after an id that is refused, and returns how many were
// requeued. gone says that an id may have left the outbox meanwhile.
func requeue(ctx context.Context, engine *latchkey.Engine, ids []string, gone bool) (n int, err error) {
	for _, id := range ids {
		failure := engine.Requeue(ctx, id)
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
			if err := t.confirm(ctx, "delete "+plain(args[0])+", which is not delivered then"); err != nil {
				return err
			}
			if err := engine.Discard(ctx, args[0]); err != nil {
				return err
			}
			t.result(map[string]any{"id": args[0], "discarded": true}, "Discarded %s.\n", plain(args[0]))
			return nil
		})
	}
}
