package redis

import (
	"fmt"
	"strings"
	"time"
)

// Ahead makes the scripts of a limiter take the time of the server as so much later.
func Ahead(l *Limiter, d time.Duration) {
	shift := fmt.Sprintf("local t = redis.call('TIME') t[1] = t[1] + %d t[2] = t[2] + %d\n", d/time.Second, d%time.Second/time.Microsecond)
	l.decide = scriptOf(strings.Replace(decideText, "local t = redis.call('TIME')\n", shift, 1))
}
