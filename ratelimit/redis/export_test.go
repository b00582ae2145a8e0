package redis

import (
	"fmt"
	"strings"
	"time"
)

// Ahead makes the scripts of a limiter take the time of the server as so much later: of
// each key so much less is left, and a new one lives so much longer.
func Ahead(l *Limiter, d time.Duration) {
	ms := fmt.Sprint(d.Milliseconds())
	shift := strings.NewReplacer("redis.call('PTTL', KEYS[1])", "redis.call('PTTL', KEYS[1]) - "+ms, "'PX', ARGV[1]", "'PX', ARGV[1] + "+ms)
	l.take, l.peek = scriptOf(shift.Replace(takeText)), scriptOf(shift.Replace(peekText))
}

// CallsOf is the number by which the scripts part the name of a window from its calls.
const CallsOf = callsOf
