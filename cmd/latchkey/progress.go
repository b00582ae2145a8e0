package main

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// progress shows how far a long command has come: a bar on a terminal, and a line now and then
// elsewhere. With -json it shows nothing.
type progress struct {
	to    io.Writer // nil shows nothing
	what  string
	live  bool // to is a terminal
	now   func() time.Time
	last  time.Time
	shown bool // the bar stands on the last line
}

// The least time between two bars, and between two lines.
const (
	barPause  = 100 * time.Millisecond
	linePause = 10 * time.Second
)

// newProgress returns the progress of a command on standard error.
func (t *tool) newProgress(what string) *progress {
	if t.json {
		return &progress{now: time.Now}
	}
	return &progress{to: t.errs, what: what, live: isTerminal(t.errs), now: time.Now, last: time.Now()}
}

// show tells that so much of a total is done. A total of 0 is not known.
func (p *progress) show(done, total int64, count string) {
	if p.to == nil {
		return
	}
	pause := linePause
	if p.live {
		pause = barPause
	}
	now := p.now()
	if now.Sub(p.last) < pause {
		return
	}
	p.last = now
	text := p.what + ": " + count
	if total > 0 {
		text = fmt.Sprintf("%s, %d%%", text, 100*min(done, total)/total)
	}
	if !p.live {
		fmt.Fprintln(p.to, text)
		return
	}
	if total > 0 {
		text = bar(done, total) + " " + text
	}
	p.clear()
	fmt.Fprint(p.to, text)
	p.shown = true
}

// bar draws how much of a total is done.
func bar(done, total int64) string {
	const width = 30
	full := int(width * min(done, total) / total)
	return "[" + strings.Repeat("#", full) + strings.Repeat(".", width-full) + "]"
}

// clear removes the bar from the terminal, before another line.
func (p *progress) clear() {
	if p.shown {
		fmt.Fprint(p.to, "\r\x1b[K")
		p.shown = false
	}
}

// end removes the bar. The result of the command has the numbers.
func (p *progress) end() { p.clear() }
