package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/store"
)

// checked is the result of check.
type checked struct {
	Store   string `json:"store"`
	Version int    `json:"version"`
	Whole   bool   `json:"whole"`
	Key     string `json:"key"`
}

func check(*flag.FlagSet) action {
	return func(ctx context.Context, t *tool, _ []string) error {
		return t.withStore(ctx, func(p place, s store.Store) error {
			if err := s.(store.Checker).Check(ctx); err != nil {
				return err
			}
			out := checked{Store: p.String(), Version: latchkey.Schema().Version(), Whole: true, Key: keyNotGiven}
			if t.keyFile != "" || os.Getenv("LATCHKEY_KEY_FILE") != "" || os.Getenv("LATCHKEY_KEY") != "" {
				var err error
				if out.Key, err = t.keyState(s); err != nil {
					return err
				}
			}
			t.result(out, "%s is whole, at version %d. The key: %s.\n", out.Store, out.Version, out.Key)
			return nil
		})
	}
}

// limited is a slowed identifier, as -json prints it.
type limited struct {
	Kind     string    `json:"kind"`
	Subject  string    `json:"subject"`
	Failures int       `json:"failures"`
	Last     time.Time `json:"last"`
	Until    time.Time `json:"until"`
	Disabled bool      `json:"disabled"`
}

func limits(fs *flag.FlagSet) action {
	var guessing latchkey.GuessingPolicy
	fs.IntVar(&guessing.FreeFailures, "free-failures", 0, "the `NUMBER` of Policy.Guessing.FreeFailures of the service")
	fs.IntVar(&guessing.DisableAfter, "disable-after", 0, "the `NUMBER` of Policy.Guessing.DisableAfter of the service")
	return func(ctx context.Context, t *tool, args []string) error {
		return t.withEngine(ctx, look, latchkey.Policy{Guessing: guessing}, func(engine *latchkey.Engine) error {
			table := tabwriter.NewWriter(t.out, 0, 0, 2, ' ', 0)
			n := 0
			show := func(l latchkey.Throttled) error {
				if n++; n == 1 && !t.json {
					fmt.Fprintln(table, "KIND\tSUBJECT\tFAILURES\tUNTIL\tDISABLED")
				}
				if t.json {
					writeJSON(t.out, limited(l))
					return nil
				}
				_, err := fmt.Fprintf(table, "%s\t%s\t%d\t%s\t%s\n", l.Kind, l.Subject, l.Failures, stamp(l.Until), yesNo(l.Disabled))
				return err
			}
			if err := eachLimit(ctx, engine, args, show); err != nil {
				return err
			}
			if n == 0 && !t.json {
				fmt.Fprintln(t.out, "Nothing is slowed.")
			}
			return table.Flush()
		})
	}
}

// eachLimit calls fn with what is slowed: of a user, or of the whole store without an argument.
func eachLimit(ctx context.Context, engine *latchkey.Engine, args []string, fn func(latchkey.Throttled) error) error {
	if len(args) == 0 {
		return engine.Throttled(ctx, fn)
	}
	user, err := named(ctx, engine.Users(), args[0])
	if err != nil {
		return err
	}
	all, err := engine.Users().Throttled(ctx, user.ID)
	for _, l := range all {
		err = errors.Join(err, fn(l))
	}
	return err
}

// swept is the result of sweep.
type swept struct {
	Sessions   int `json:"sessions"`
	Tokens     int `json:"tokens"`
	Failures   int `json:"failures"`
	Logs       int `json:"logs"`
	Users      int `json:"users"`
	Deliveries int `json:"deliveries"`
}

// longestLog is the longest time for which a policy keeps lines of the log.
const longestLog = 3650

func sweep(fs *flag.FlagSet) action {
	days := fs.Int("log-days", longestLog, "delete log lines that are older than so many `DAYS`, 1 to 3650")
	return func(ctx context.Context, t *tool, _ []string) error {
		if *days < 1 || *days > longestLog {
			return usagef("-log-days is 1 to %d", longestLog)
		}
		policy := latchkey.Policy{LogLength: time.Duration(*days) * 24 * time.Hour}
		return t.withEngine(ctx, change, policy, func(engine *latchkey.Engine) error {
			n, err := engine.Sweep(ctx)
			if err != nil {
				return err
			}
			t.result(swept(n), "Deleted %d sessions, %d links, codes and invitations, %d counts of wrong answers, %d log lines, %d anonymous users and %d messages and events that were given up.\n",
				n.Sessions, n.Tokens, n.Failures, n.Logs, n.Users, n.Deliveries)
			return nil
		})
	}
}

// resealed is the result of reseal.
type resealed struct {
	Rows int            `json:"rows"`
	Left map[string]int `json:"left"`
}

func reseal(*flag.FlagSet) action {
	return func(ctx context.Context, t *tool, _ []string) error {
		keys, err := t.keys()
		if err != nil {
			return err
		}
		if err := t.confirm(ctx, "seal everything with key "+keys.Active.ID()+", which every machine must have as its active key"); err != nil {
			return err
		}
		return t.withExisting(ctx, func(engine *latchkey.Engine) error {
			n, err := engine.Reseal(ctx)
			if err != nil {
				return err
			}
			text := fmt.Sprintf("Sealed %d rows with key %s.", n.Rows, keys.Active.ID())
			for _, id := range slices.Sorted(maps.Keys(n.Left)) {
				text += fmt.Sprintf(" %d rows are left under %s.", n.Left[id], id)
			}
			if len(n.Left) == 0 {
				text += " No other key is needed."
			}
			t.result(resealed(n), "%s\n", text)
			return nil
		})
	}
}

// withExisting calls fn with an engine that may record its key, over a store that exists.
func (t *tool) withExisting(ctx context.Context, fn func(*latchkey.Engine) error) error {
	return t.withStore(ctx, func(_ place, s store.Store) error {
		engine, err := t.engine(s, found, latchkey.Policy{})
		if err != nil {
			return err
		}
		return errors.Join(fn(engine), engine.Close())
	})
}

// copied is the result of copy.
type copied struct {
	Rows map[string]int `json:"rows"`
	To   string         `json:"to"`
}

func copyStore(fs *flag.FlagSet) action {
	file := fs.String("to-file", "", "a `FILE` that holds the name of the other store, for an address with a password")
	prefix := fs.String("to-prefix", "", "the `PREFIX` of the names of the tables of the other store")
	return func(ctx context.Context, t *tool, args []string) (err error) {
		var to place
		switch {
		case len(args) == 1 && *file == "":
			to, err = t.argument(args[0], "the file of -to-file")
		case len(args) == 0 && *file != "":
			to, err = t.placeIn(*file)
		default:
			err = usagef("name the other store as an argument, or with -to-file")
		}
		if err != nil {
			return err
		}
		to.options.Prefix = *prefix
		return t.withStore(ctx, func(from place, s store.Store) error {
			if same(from, to) {
				return usagef("both stores are the same")
			}
			return t.copyTo(ctx, s, to)
		})
	}
}

// same reports whether two places are one.
func same(a, b place) bool {
	if a.kind != b.kind {
		return false
	}
	one, err := os.Stat(a.at)
	other, err2 := os.Stat(b.at)
	return a.at == b.at || a.kind != "postgres" && err == nil && err2 == nil && os.SameFile(one, other)
}

// copyTo copies a store to a place.
func (t *tool) copyTo(ctx context.Context, from store.Store, to place) error {
	s, err := to.open(ctx, true)
	if err != nil {
		return err
	}
	out := copied{Rows: make(map[string]int), To: to.String()}
	bar := t.newProgress("copy")
	err = store.Copy(ctx, s, from, latchkey.Schema(), func(table string, rows int) {
		out.Rows[table] = rows
		bar.show(0, 0, fmt.Sprintf("%d rows of %s", rows, table))
	})
	bar.end()
	if err = errors.Join(err, s.Close()); err != nil {
		if len(out.Rows) > 0 {
			err = fmt.Errorf("%w. The copy in %v is not whole: delete it", err, to)
		}
		return err
	}
	sum := 0
	for _, n := range out.Rows {
		sum += n
	}
	t.result(out, "Copied %d rows to %s. Both stores are the same.\n", sum, out.To)
	return nil
}

// planned is the result of migrate.
type planned struct {
	Exists  bool     `json:"exists"`
	Version int      `json:"version"`
	To      int      `json:"to"`
	Steps   []string `json:"steps"`
	Adds    bool     `json:"adds"`
	Applied bool     `json:"applied"`
}

func migrate(fs *flag.FlagSet) action {
	apply := fs.Bool("apply", false, "upgrade the tables, or make a missing store")
	script := fs.Bool("sql", false, "print the upgrade of a PostgreSQL database as SQL for psql, and nothing else")
	return func(ctx context.Context, t *tool, _ []string) error {
		p, err := t.where()
		if err != nil {
			return err
		}
		plan, err := p.plan(ctx)
		if err != nil {
			return err
		}
		switch {
		case *script && *apply:
			return usagef("-sql prints the upgrade, and -apply applies it. Leave one of them out")
		case *script && p.kind != "postgres":
			return usagef("-sql is for PostgreSQL")
		case *script:
			_, err := io.WriteString(t.out, plan.Script)
			return err
		}
		out := planned{plan.Exists, plan.Version, plan.To, append([]string{}, plan.Steps...), plan.Adds(), false}
		if *apply && (plan.Upgrades() || !plan.Exists) {
			s, err := p.opened(ctx)
			if err != nil {
				return err
			}
			if err := s.Close(); err != nil {
				return err
			}
			out.Applied = true
		}
		t.result(out, "%s", out.text(p))
		return nil
	}
}

// text describes a plan for a person.
func (m planned) text(p place) string {
	switch {
	case m.Applied && m.Adds:
		return fmt.Sprintf("Added to %v, which stays at version %d.\n", p, m.Version)
	case m.Applied && m.Exists:
		return fmt.Sprintf("Upgraded %v from version %d to %d.\n", p, m.Version, m.To)
	case m.Applied:
		return fmt.Sprintf("Made %v at version %d.\n", p, m.To)
	case !m.Exists:
		return fmt.Sprintf("%v does not exist. latchkey migrate -apply makes it at version %d.\n", p, m.To)
	case m.Version == m.To && !m.Adds:
		return fmt.Sprintf("%v is at version %d. It needs no upgrade.\n", p, m.Version)
	}
	var b strings.Builder
	if m.Adds {
		fmt.Fprintf(&b, "%v is at version %d. latchkey migrate -apply adds to it, and older versions of the service go on. The steps:\n", p, m.Version)
	} else {
		fmt.Fprintf(&b, "%v is at version %d. latchkey migrate -apply upgrades it to version %d, and older versions of the service refuse it then. The steps:\n", p, m.Version, m.To)
	}
	for i, step := range m.Steps {
		fmt.Fprintf(&b, "\n%d. %s\n", i+1, strings.ReplaceAll(strings.TrimSpace(step), "\n", "\n   "))
	}
	return b.String()
}
