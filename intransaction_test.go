package latchkey_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"

	"example.com/latchkey"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/store"
	"example.com/latchkey/store/postgres"
	"example.com/latchkey/store/sqlite"
)

// ledger is a table of the host's own, written inside the transactions of the engine.
type ledger struct {
	table  string                       // tests at once share a database
	refuse func(e latchkey.Event) error // may be nil
	ctx    context.Context              // of the last call
}

// write adds a line.
func (l *ledger) write(ctx context.Context, tx store.Tx, e latchkey.Event) error {
	l.ctx = ctx
	line := e.Pattern() + " of " + e.UserID + e.TeamID
	if host, is := sqlite.TxOf(tx); is {
		if _, err := host.ExecContext(ctx, "INSERT INTO "+l.table+" (line) VALUES (?)", line); err != nil {
			return err
		}
	} else if host, is := postgres.TxOf(tx); is {
		if _, err := host.Exec(ctx, "INSERT INTO "+l.table+" (line) VALUES ($1)", line); err != nil {
			return err
		}
	} else {
		return errors.New("there is no handle")
	}
	if l.refuse != nil {
		return l.refuse(e)
	}
	return nil
}

// run runs a statement in the store, in words of SQLite or PostgreSQL.
func (l *ledger) run(k *kit.Kit, lite, large string) {
	k.Helper()
	k.Must(k.Raw.Update(k.Ctx, func(ctx context.Context, tx store.Tx) (err error) {
		if host, is := sqlite.TxOf(tx); is {
			_, err = host.ExecContext(ctx, lite)
		} else if host, is := postgres.TxOf(tx); is {
			_, err = host.Exec(ctx, large)
		}
		return err
	}))
}

// lines returns the lines of the ledger.
func (l *ledger) lines(k *kit.Kit) (lines []string) {
	k.Helper()
	query := "SELECT line FROM " + l.table + " ORDER BY n"
	k.Must(k.Raw.Update(k.Ctx, func(ctx context.Context, tx store.Tx) (err error) {
		var rows interface {
			Next() bool
			Scan(into ...any) error
			Err() error
		}
		if host, is := sqlite.TxOf(tx); is {
			rows, err = host.QueryContext(ctx, query)
		} else if host, is := postgres.TxOf(tx); is {
			rows, err = host.Query(ctx, query)
		}
		if err != nil {
			return err
		}
		lines = nil
		for rows.Next() {
			var line string
			if err := rows.Scan(&line); err != nil {
				return err
			}
			lines = append(lines, line)
		}
		return rows.Err()
	}))
	return lines
}

// onHostStores runs a test with an engine whose host writes a ledger, on each store that has handles
// for it.
func onHostStores(t *testing.T, test func(k *kit.Kit, l *ledger)) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		if !store.HasHostTransactions(k.Raw) {
			_, err := latchkey.New(k.Raw, latchkey.Config{Keys: k.Keys, LimiterPerProcess: true, InTransaction: new(ledger).write})
			if err == nil || !strings.Contains(err.Error(), "InTransaction") {
				k.Errorf("%v", err)
			}
			return
		}
		l := &ledger{table: "ledger" + strconv.FormatUint(rand.Uint64(), 36)}
		l.run(k, "CREATE TABLE "+l.table+" (n INTEGER PRIMARY KEY, line TEXT NOT NULL)", "CREATE TABLE "+l.table+" (n bigint GENERATED ALWAYS AS IDENTITY, line text NOT NULL)")
		drop := "DROP TABLE " + l.table
		defer l.run(k, drop, drop)
		k.Engine = k.Configured(func(c *latchkey.Config) { c.InTransaction = l.write })
		k.Visitor = k.Guest(kit.Client)
		test(k, l)
	})
}

func TestARowOfTheHostCommitsWithTheChange(t *testing.T) {
	onHostStores(t, func(k *kit.Kit, l *ledger) {
		user := k.SignUp(kit.Ada)
		session, _ := k.SignIn(kit.Ada)
		k.Must(kit.Err(k.Users().UpdateName(k.Ctx, user.ID, "Ada L")))
		k.Same("ledger", l.lines(k), []string{
			"users.*.create of " + user.ID, "users.*.sessions.*.create of " + user.ID, "users.*.update.name of " + user.ID,
		})
		if session.UserID != user.ID {
			k.Error(session.UserID)
		}
	})
}

// What the host refuses does not happen, and the operation returns the host's error as it is.
func TestTheHostRefusesAChange(t *testing.T) {
	onHostStores(t, func(k *kit.Kit, l *ledger) {
		user := k.SignUp(kit.Ada)
		mine := errors.New("no room in the ledger")
		l.refuse = func(latchkey.Event) error { return mine }
		before := l.lines(k)
		k.Refuses("a sign-in", mine, func() error {
			return kit.Err(k.Visitor.CreateEmailPasswordSession(k.Ctx, kit.Ada, kit.Password))
		})
		k.Refuses("a change", mine, func() error { return kit.Err(k.Users().UpdateName(k.Ctx, user.ID, "Eve")) })
		own := &latchkey.Error{Type: "plan_exceeded", Category: latchkey.CategoryForbidden, Message: "The plan has no more seats"}
		l.refuse = func(latchkey.Event) error { return fmt.Errorf("ledger: %w", own) }
		k.Refuses("an error of the host's own", own, func() error {
			return kit.Err(k.Users().Create(k.Ctx, latchkey.NewUser{Email: kit.Bob}))
		})
		k.Same("ledger", l.lines(k), before)
		if latchkey.IsFault(mine) || len(k.Logged.Take()) > 0 {
			k.Error("the engine has logged the host's refusal")
		}
	})
}

func TestAPanicInsideTheTransactionRollsBack(t *testing.T) {
	onHostStores(t, func(k *kit.Kit, l *ledger) {
		user := k.SignUp(kit.Ada)
		l.refuse = func(latchkey.Event) error { panic("no ink") }
		before := l.lines(k)
		err := kit.Err(k.Users().UpdateName(k.Ctx, user.ID, "Eve"))
		if !latchkey.IsFault(err) {
			k.Error(err)
		}
		k.Same("ledger", l.lines(k), before)
		if now, err := k.Users().Get(k.Ctx, user.ID); err != nil || now.Name == "Eve" {
			k.Errorf("%+v, %v", now, err)
		}
	})
}

func TestTheEngineIsNotUsedInsideItsTransaction(t *testing.T) {
	onHostStores(t, func(k *kit.Kit, l *ledger) {
		user := k.SignUp(kit.Ada)
		var nested error
		l.refuse = func(e latchkey.Event) error {
			nested = kit.Err(k.Users().Get(l.ctx, e.UserID))
			return nil
		}
		k.Must(kit.Err(k.Users().UpdateName(k.Ctx, user.ID, "Ada L")))
		if !errors.Is(nested, store.ErrNested) {
			k.Error(nested)
		}
	})
}
