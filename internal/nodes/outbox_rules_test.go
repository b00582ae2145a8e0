package nodes

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/hasher/hashertest"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/store"
)

// causes are the events that a call has when it is acknowledged.
var causes = map[string][]string{
	"signUp":      {"users.*.create"},
	"signIn":      {"users.*.sessions.*.create"},
	"claim":       {"users.*.sessions.*.create"},
	"setName":     {"users.*.update.name"},
	"newPassword": {"users.*.update.password"},
	"moveTo":      {"users.*.update.email"},
	"verify":      {"users.*.verification.*.create"},
	"prove":       {"users.*.verification.*.update"},
	"deleteSelf":  {"users.*.delete"},
	"team":        {"teams.*.create", "teams.*.memberships.*.create"},
	"invite":      {"teams.*.memberships.*.create"},
}

// gets reports whether a receiver gets the events of a pattern.
func gets(receiver, pattern string) bool {
	return wants[receiver] == nil || slices.ContainsFunc(wants[receiver], func(want string) bool {
		family, whole := strings.CutSuffix(want, "*")
		return pattern == want || whole && strings.HasPrefix(pattern, family)
	})
}

// history is the journal, sorted.
type history struct {
	*posts
	entries []entry
	begun   map[int]int // the places of entries, by the number of the process
	killed  map[int]int
	acked   map[int]int      // by the number of the call
	of      map[string][]int // deliveries, by the id of their row
	caused  map[int][]string // rows of a call
	givenUp map[string]*record.Delivery
	ended   time.Time // the last clock
}

// check compares the journal with the calls and with the store.
func (p *posts) check() {
	p.Helper()
	n := p.nodes[0]
	s := n.settings
	rows, err := openRows(p.ctx, s)
	if err != nil {
		p.Fatal(err)
	}
	defer rows.Close()
	config, err := configOf(s, hashertest.New(p))
	if err != nil {
		p.Fatal(err)
	}
	engine, err := latchkey.New(rows, config)
	if err != nil {
		p.Fatal(err)
	}
	defer engine.Close()
	h := &history{
		posts: p, entries: p.entries(), begun: make(map[int]int), killed: make(map[int]int), acked: make(map[int]int),
		of: make(map[string][]int), caused: make(map[int][]string), givenUp: make(map[string]*record.Delivery), ended: config.Now(),
	}
	all, err := deliveries(p.ctx, rows)
	if err != nil {
		p.Fatal(err)
	}
	for _, row := range all {
		h.givenUp[row.ID] = row
	}
	list, err := engine.Undelivered(p.ctx)
	if err != nil || list.Total != len(all) {
		p.Errorf("%d rows are listed, %d are there: %v", list.Total, len(all), err)
	}
	for i, e := range h.entries {
		switch e.What {
		case begins:
			h.begun[e.Run] = i
		case killed:
			h.killed[e.Run] = i
		case acknowledged:
			h.acked[e.Number] = i
		case delivered:
			id := e.row()
			if h.of[id] == nil {
				h.caused[e.Number] = append(h.caused[e.Number], id)
			}
			h.of[id] = append(h.of[id], i)
		}
	}
	h.tries()
	h.order()
	h.ends()
	h.none(rows, engine)
	h.complete()
	h.whole(rows, engine)
}

// row returns the id of the row of a delivery.
func (e entry) row() string {
	if e.Lane == "email" {
		return e.ID
	}
	return e.ID + "." + e.Lane
}

// tries checks the deliveries of each row. Their numbers rise. One comes after another only if the other has
// failed, or if its process was killed.
func (h *history) tries() {
	again := 0
	for id, places := range h.of {
		for i, place := range places[1:] {
			before, e := h.entries[places[i]], h.entries[place]
			dead, was := h.killed[before.Run]
			switch {
			case e.Number != before.Number || e.Kind != before.Kind || e.Subject != before.Subject:
				h.Errorf("row %s holds %v and later %v", id, before, e)
			case e.Try <= before.Try:
				h.Errorf("row %s: delivery %d comes after delivery %d", id, e.Try, before.Try)
			case before.How == fails:
			case e.Run == before.Run:
				h.Errorf("row %s was %s, and comes again from the same process", id, before.How)
			case !was || dead > place:
				h.Errorf("row %s was %s by a process that lives, and comes from another one", id, before.How)
			default:
				again++
			}
		}
		last := h.entries[places[len(places)-1]]
		row := h.givenUp[id]
		switch {
		case last.How == permanent || last.How == panics:
			if row == nil && h.mayEndMeanwhile(last) {
				continue
			}
			if row == nil {
				h.Errorf("row %s was given up, and is gone", id)
			} else if int(row.Tries) != last.Try || row.Failures > row.Tries {
				h.Errorf("row %s counts %d tries after %d", id, row.Tries, last.Try)
			}
		case row != nil:
			h.Errorf("row %s was %s the last time, and was given up: %s", id, last.How, row.Cause)
		case last.How == fails && last.Lane != "email":
			h.Errorf("event %s of %v has failed, and does not come again", id, last)
		}
	}
	for id := range h.givenUp {
		if h.of[id] == nil {
			h.Errorf("row %s was given up and never tried", id)
		}
	}
	h.Logf("%d rows, of which %d were given up; %d deliveries were repeated after a kill", len(h.of), len(h.givenUp), again)
	if again == 0 && len(h.nodes) == 1 {
		h.Error("no kill came between a delivery and its end")
	}
}

// order checks the order of the events of a user or a team, and of the messages to an address. An event comes
// after the end of the one before. A message that has failed lets the next ones pass.
func (h *history) order() {
	last := make(map[string]int)
	for i, e := range h.entries {
		if e.What != delivered || e.Lane == "email" && h.of[e.row()][0] != i {
			continue
		}
		stream := e.Lane + " " + e.Subject
		if e.Number < last[stream] {
			h.Errorf("%s %s of call %d comes after that of call %d, in the lane %s", e.Kind, e.row(), e.Number, last[stream], e.Lane)
		}
		last[stream] = max(last[stream], e.Number)
	}
}

// ends checks that no code is sent after it has run out, or by a process that was started after the code was used
// or replaced.
func (h *history) ends() {
	over := make(map[int]int) // when the link of a call was ended, by a call that was acknowledged
	end := func(d, by *deed) {
		if at, was := h.acked[by.number]; was && (over[d.number] == 0 || at < over[d.number]) {
			over[d.number] = at
		}
	}
	for i, d := range h.calls {
		if d == nil || !d.own {
			continue
		}
		for _, by := range h.calls[i+1:] {
			if by.by == d.by && (by.op == d.op && by.email == d.email || by.used != "" && by.used == d.token || by.op == "deleteSelf") {
				end(d, by)
			}
		}
	}
	sent := 0
	for _, e := range h.entries {
		if e.What != delivered || e.Lane != "email" || h.calls[e.Number].email != e.Subject {
			continue
		}
		sent++
		if e.Late {
			h.Errorf("%s %s is sent after its code has run out", e.Kind, e.ID)
		}
		if at := over[e.Number]; at != 0 && h.begun[e.Run] > at {
			h.Errorf("%s %s is sent after it was used or replaced", e.Kind, e.ID)
		}
	}
	h.Logf("%d links and codes were sent, %d were ended", sent, len(over))
}

// none checks that each delivery was caused by a call that has happened.
func (h *history) none(rows store.Reader, engine *latchkey.Engine) {
	ctx := context.Background()
	names := make(map[string]int)
	for number, ids := range h.caused {
		e := h.entries[h.of[ids[0]][0]]
		if number <= 0 || number >= len(h.calls) {
			h.Errorf("%v was caused by no call", e)
			continue
		}
		switch d := h.calls[number]; {
		case d.how == refused || d.how == fault:
			h.Errorf("%v of the call %s is delivered, which has failed", e, d.op)
		case d.how != unknown:
		case d.op == "signUp":
			if _, err := engine.Users().Get(ctx, e.User); err != nil {
				h.Errorf("%v is delivered: %v", e, err)
			}
		case d.op == "askLink" && !d.own:
			if row, err := record.Tokens.Find(ctx, rows, record.Tokens.Primary(), store.Text(e.ID)); row == nil || err != nil {
				h.Errorf("%v is delivered, and its token is not there: %v", e, err)
			}
		}
	}
	for _, e := range h.entries {
		names[e.User] = max(names[e.User], e.Name)
	}
	for _, d := range h.calls[1:] {
		if d.op == "setName" && d.how == done {
			names[d.by.id] = max(names[d.by.id], d.name)
		}
	}
	for id, name := range names {
		if name == 0 {
			continue
		}
		user, err := engine.Users().Get(ctx, id)
		if errors.Is(err, latchkey.ErrUserNotFound) {
			continue
		}
		if err != nil {
			h.Error(err)
		} else if have := number("x-" + user.Name); have < name {
			h.Errorf("user %s has the name %d after that was changed to %d", id, have, name)
		}
	}
}

// complete checks that the messages and events of each acknowledged call were delivered.
func (h *history) complete() {
	counts := make(map[outcome]int)
	events, messages, excused := 0, 0, 0
	for i, d := range h.calls {
		if d == nil {
			continue
		}
		counts[d.how]++
		if d.how != done {
			continue
		}
		for _, pattern := range causes[d.op] {
			for receiver := range wants {
				events++
				if gets(receiver, pattern) && !h.has(d, func(e entry) bool { return e.Lane == receiver && e.Kind == pattern }, false) {
					h.Errorf("receiver %s has not got %s of call %d, %s", receiver, pattern, d.number, d.op)
				}
			}
		}
		if d.email == "" {
			continue
		}
		messages++
		switch {
		case h.has(d, func(e entry) bool {
			return e.Lane == "email" && e.Subject == d.email && (d.op == "invite" || e.ID == d.token)
		}, true):
		case !d.own || !h.mayEnd(d, h.calls[i+1:]):
			h.Errorf("the message of call %d, %s, is not sent", d.number, d.op)
		default:
			excused++
		}
	}
	h.Logf("calls: %v, of which %d were rolled back; %d events, %d messages, of which %d were ended before", counts, h.rolls.Load(), events, messages, excused)
	if h.rolls.Load() == 0 || counts[done] < 5*len(h.killed) || messages < len(h.killed) || excused > messages/3 {
		h.Error("too little has happened to tell anything")
	}
}

// whole checks that a call of a killed process has all of its effects or no effect: if its change is in the store, its
// messages and events were delivered.
func (h *history) whole(rows store.Reader, engine *latchkey.Engine) {
	tokens := make(map[string]bool)
	for q := (store.Query{Index: record.Tokens.Primary(), Limit: store.MaxLimit}); ; {
		page, err := rows.List(h.ctx, q)
		if err != nil {
			h.Fatal(err)
		}
		for _, row := range page {
			tokens[record.Tokens.Record(row).Destination] = true
		}
		if len(page) < q.Limit {
			break
		}
		q.After = q.Index.Position(page[len(page)-1])
	}
	changed := 0
	for _, d := range h.calls[1:] {
		if d.how != unknown {
			continue
		}
		is := false
		switch {
		case d.op == "signUp" && d.by.id == "":
			user, err := engine.Users().GetByEmail(h.ctx, d.by.email)
			is = err == nil && user != nil
		case d.op == "setName":
			user, err := engine.Users().Get(h.ctx, d.by.id)
			is = err == nil && user.Name == strconv.Itoa(d.name)
		case d.op == "askLink" && !d.own:
			is = tokens[d.email]
		}
		if !is {
			continue
		}
		changed++
		if len(h.caused[d.number]) == 0 {
			h.Errorf("call %d, %s, has changed the store, and nothing of it is delivered", d.number, d.op)
		}
	}
	h.Logf("%d calls of killed processes have changed the store", changed)
}

// has reports whether a delivery of a call was taken, or given up. With ends, a message may also have ended after a failure,
// because its code serves no longer.
func (h *history) has(d *deed, is func(entry) bool, ends bool) bool {
	for _, id := range h.caused[d.number] {
		places := h.of[id]
		if e := h.entries[places[len(places)-1]]; is(e) {
			return e.How != fails || ends && d.own
		}
	}
	return false
}

// mayEndMeanwhile reports whether the process of a delivery was killed before it could note its end, and the link or
// the code may have ended before another process looked.
func (h *history) mayEndMeanwhile(e entry) bool {
	_, was := h.killed[e.Run]
	d := h.calls[e.Number]
	return was && e.Lane == "email" && d.own && d.email == e.Subject && h.mayEnd(d, h.calls[d.number+1:])
}

// mayEnd reports whether later calls may have ended the link or the code of a call, or time has.
func (h *history) mayEnd(d *deed, later []*deed) bool {
	if d.op == "askCode" {
		return true // it runs out
	}
	return slices.ContainsFunc(later, func(by *deed) bool {
		return by.by == d.by && by.how != fault && slices.Contains([]string{"askLink", "recover", "verify", "claim", "prove", "moveTo", "newPassword", "deleteSelf"}, by.op)
	})
}
