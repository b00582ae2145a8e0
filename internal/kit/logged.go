package kit

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
)

// Logged keeps what an engine logs, a text for each record: level, message and attributes.
type Logged struct {
	mu  sync.Mutex
	all []string
}

// Enabled reports true: every level is kept.
func (*Logged) Enabled(context.Context, slog.Level) bool { return true }

// Handle keeps a record.
func (l *Logged) Handle(_ context.Context, r slog.Record) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%v %s", r.Level, r.Message)
	r.Attrs(func(a slog.Attr) bool {
		fmt.Fprintf(&b, " %s=%v", a.Key, a.Value)
		return true
	})
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, b.String())
	return nil
}

// WithAttrs returns the handler itself: the engine has no loggers of its own.
func (l *Logged) WithAttrs([]slog.Attr) slog.Handler { return l }

// WithGroup returns the handler itself.
func (l *Logged) WithGroup(string) slog.Handler { return l }

// Take returns the records since the last call.
func (l *Logged) Take() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := l.all
	l.all = nil
	return all
}

// Faults returns the records of failed operations since the last call.
func (l *Logged) Faults() []string {
	return slices.DeleteFunc(l.Take(), func(line string) bool { return !strings.Contains(line, "an operation has failed") })
}
