// Package search_test makes random rounds: an owner, attackers who begin with one proof each,
// the server and the clock act in any order, under six policies. A model says what may come
// of it. The invariant is that no attacker ever holds a full session of an account with a
// second factor.
//
// A run without more lasts three seconds and begins with the same rounds each time.
// LATCHKEY_SEARCH=10m asks for another time, with other rounds each time.
// LATCHKEY_SEARCH_SEED=7 asks for those of a seed, and LATCHKEY_SEARCH_ROUND=12 for one of
// them. A failure prints all of them, and the shortest history that still fails.
package search_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/authtest"
	"example.com/latchkey/internal/kit"
)

// policies are those that differ most.
var policies = []struct {
	name   string
	policy func() latchkey.Policy
}{
	{"documented", func() (p latchkey.Policy) { return p }},
	{"strict", latchkey.StrictPolicy},
	{"sessions are kept", func() (p latchkey.Policy) {
		p.Sessions.KeepOnPasswordChange = true
		return p
	}},
	{"no step-up, and secrets are kept", func() (p latchkey.Policy) {
		p.Factors.EnrolWithoutStepUp, p.Factors.KeepSecretOnChallenge = true, true
		p.Sessions.KeepOnPasswordChange = true
		return p
	}},
	{"no passwords, and no factor by SMS", func() (p latchkey.Policy) {
		p.Disabled = latchkey.MethodEmailPassword
		p.Factors.Disabled = []latchkey.Factor{latchkey.FactorPhone}
		p.Sessions.Limit = 3
		return p
	}},
	{"disclosing, with short lives of two factors", func() (p latchkey.Policy) {
		p.DiscloseAccounts = true
		p.Sessions.MultiFactor = latchkey.Lifetime{Idle: time.Hour}
		p.Sessions.SingleFactor = latchkey.Lifetime{Idle: 14 * 24 * time.Hour}
		p.Sessions.EndOnBlock = true
		p.Factors.PendingLength = 2 * time.Hour
		p.Factors.Disabled = []latchkey.Factor{latchkey.FactorEmail}
		return p
	}},
}

// feature is a part of the owner's account.
type feature int

const (
	withWord feature = iota
	withMail
	withPhone
	withApp
	withCodes
	withMFA
	withProvider
	withKey
)

// round is a plan: everything that is drawn at random is in it.
type round struct {
	policy   int
	store    string
	planted  bool
	features []feature
	roles    []role
	steps    []step
}

// draw draws the round of a number.
func draw(seed, n uint64) round {
	r := rand.New(rand.NewPCG(seed, n))
	p := round{policy: int(n) % len(policies), store: storeOf(n), planted: r.IntN(5) == 0}
	for f, percent := range []int{85, 88, 45, 60, 45, 85, 60, 45} {
		if r.IntN(100) < percent {
			p.features = append(p.features, feature(f))
		}
	}
	for range 1 + r.IntN(2) {
		p.roles = append(p.roles, attackerRoles[r.IntN(len(attackerRoles))])
	}
	if p.planted {
		p.roles = []role{planter}
	}
	// Rounds that have a share of the operations, and some of them often, differ more than
	// rounds that have all.
	var ops, mail, server []*operation
	for i := range table {
		op := &table[i]
		if r.IntN(10) >= 7 {
			continue
		}
		weight := max(op.weight, 1)
		if r.IntN(8) == 0 {
			weight *= 8
		}
		for range weight {
			switch {
			case op.server:
				server = append(server, op)
			case op.mail:
				mail = append(mail, op)
				fallthrough
			default:
				ops = append(ops, op)
			}
		}
	}
	clock, wrong := calm, r.IntN(4) == 0
	if wrong {
		clock = wild
	}
	one := func(from []*operation) *operation { return from[r.IntN(len(from))] }
	for range 10 + r.IntN(50) {
		s := step{who: r.IntN(20), x: r.IntN(1 << 16), y: r.IntN(1 << 16), z: r.IntN(1 << 16)}
		switch {
		case s.who < 3 && len(server) > 0 && !p.planted:
			s.who, s.ops = 1, []*operation{one(server)}
		case s.who < 7:
			s.who, s.ops = 2, []*operation{one(clock)}
		case s.who < 14:
			s.who, s.ops = 0, []*operation{one(ops), one(ops), one(ops)}
		default:
			s.who = 3 + r.IntN(len(p.roles))
			s.ops = []*operation{one(ops), one(ops), one(ops), one(ops)}
			reader := slices.Contains([]role{readsMailbox, readsTelephone, hasProvider}, p.roles[s.who-3])
			if reader && len(mail) > 0 && r.IntN(3) == 0 {
				s.ops = []*operation{one(mail), one(mail)}
			}
			if robs := p.roles[s.who-3]; !reader && robs != planter && r.IntN(3) == 0 {
				s.ops = slices.Insert(s.ops, 0, &robbery)
			}
		}
		s.ahead = wrong && s.who != 2 && r.IntN(6) == 0
		p.steps = append(p.steps, s)
	}
	return p
}

// storeOf returns the store of a round: memory for most.
func storeOf(n uint64) string {
	switch n / uint64(len(policies)) % 64 {
	case 20:
		return "bbolt"
	case 40:
		return "sqlite"
	case 60:
		return "memory-twice"
	case 63:
		return "postgres"
	}
	return "memory"
}

// run plays a round on an empty store and returns what happened and the fault, "" without
// one.
func (p round) run(k *kit.Kit) (history []string, fault string) {
	k.DeleteAll()
	k.Told.Take()
	k.Box.Take()
	k.Clock.Set(authtest.NewClock().Now())
	w := &world{k: k, model: &model{policy: k.Policy, now: k.Clock.Now}, idents: make(map[string]*ident)}
	me := &actor{role: owner, at: kit.At(kit.Owner), mailbox: mailB, telephone: callB, reads: []string{mailA, mailB, callA, callB}}
	w.actors = []*actor{me, {role: theServer}, {role: theClock}}
	for i, r := range p.roles {
		a := &actor{
			role: r, at: kit.At(fmt.Sprintf("203.0.113.%d", 66+i)),
			mailbox: fmt.Sprintf("evil%d@example.org", i), telephone: fmt.Sprintf("+1415555019%d", i),
		}
		a.reads = []string{a.mailbox, a.telephone}
		switch r {
		case readsMailbox:
			a.reads = append(a.reads, mailA)
		case readsTelephone:
			a.reads = append(a.reads, callA)
		}
		w.actors = append(w.actors, a)
	}
	n := 0
	do := func(s step) {
		if w.fault == "" {
			n++
			w.do(n, s)
		}
	}
	p.begin(w, do)
	for _, s := range p.steps {
		do(s)
	}
	if w.leap > 0 && w.fault == "" {
		do(step{ops: []*operation{{do: leap}}, who: 2})
	}
	if w.fault == "" {
		w.observe(true)
	}
	if w.fault == "" {
		for _, rule := range k.Broken() {
			w.fail("broken: %s", rule)
		}
	}
	return w.history, w.fault
}

// begin makes the accounts with which a round begins.
func (p round) begin(w *world, do func(step)) {
	by := func(who int, f func(*world, *actor, step) string, x, y, z int) {
		do(step{ops: []*operation{{do: f}}, who: who, x: x, y: y, z: z})
	}
	if p.planted {
		by(3, signUp, 2, 1, 1)
		by(3, signIn, 2, 1, 1)
		return
	}
	has := func(f feature) bool { return slices.Contains(p.features, f) }
	passwords := w.policy.Disabled&latchkey.MethodEmailPassword == 0
	if has(withWord) && passwords {
		by(0, signUp, 2, 1, 1)
		w.main = w.at(mailA)
		by(0, signIn, 2, 1, 1)
		if has(withMail) {
			by(1, serverVerification, 0, 1, 1)
		}
	} else {
		by(0, then(askLink, redeem), 2, 1, 1)
		w.main = w.at(mailA)
		if has(withWord) {
			by(1, serverWord, 1, 1, 1)
			by(0, then(askLink, redeem), 2, 1, 1)
		}
	}
	if has(withPhone) {
		by(1, serverAddress, 1, 0, 1)
		by(1, serverVerification, 1, 1, 1)
	}
	if has(withApp) {
		by(0, then(enrol, verify), 1, 1, 1)
	}
	if has(withCodes) {
		by(0, recoveryCodes("CreateMFARecoveryCodes", (*latchkey.Account).CreateMFARecoveryCodes), 1, 1, 1)
	}
	if has(withKey) {
		by(0, enrolKey(false), 1, 1, 1)
	}
	if has(withProvider) {
		by(0, linkBy, 1, 1, 1)
	}
	if has(withMFA) {
		by(0, updateMFA, 1, 1, 1)
		by(1, serverMFA, 1, 1, 1)
	}
	by(2, advance, 3, 0, 0)
}

// shrink drops steps and features as long as the round still fails.
func shrink(k *kit.Kit, p round) (shortest round, history []string, fault string) {
	history, fault = p.run(k)
	for size := len(p.steps); size >= 1; size /= 2 {
		for at := 0; at < len(p.steps); {
			less := p
			less.steps = slices.Delete(slices.Clone(p.steps), at, min(at+size, len(p.steps)))
			if h, f := less.run(k); f != "" {
				p, history, fault = less, h, f
				continue
			}
			at += size
		}
	}
	for _, f := range slices.Clone(p.features) {
		less := p
		less.features = slices.DeleteFunc(slices.Clone(p.features), func(g feature) bool { return g == f })
		if h, f := less.run(k); f != "" {
			p, history, fault = less, h, f
		}
	}
	return p, history, fault
}

// asked returns the time, the seed and the one round that the environment asks for.
func asked(t *testing.T) (long time.Duration, seed uint64, only *uint64) {
	t.Helper()
	number := func(name string, value *uint64) bool {
		text := os.Getenv(name)
		if text == "" {
			return false
		}
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		*value = n
		return true
	}
	long, seed = 3*time.Second, 1
	if text := os.Getenv("LATCHKEY_SEARCH"); text != "" {
		var err error
		if long, err = time.ParseDuration(text); err != nil {
			t.Fatal(err)
		}
		seed = uint64(time.Now().UnixNano() % 1_000_000)
	}
	number("LATCHKEY_SEARCH_SEED", &seed)
	if n := uint64(0); number("LATCHKEY_SEARCH_ROUND", &n) {
		only = &n
	}
	return long, seed, only
}

// No attacker with one proof ever holds a full session of an account with a second factor,
// whatever the owner, the server and the clock do meanwhile.
func TestNoAttackerWithOneProofPassesASecondFactor(t *testing.T) {
	long, seed, only := asked(t)
	t.Logf("LATCHKEY_SEARCH_SEED=%d", seed)
	end := time.Now().Add(long)
	const batch = 8 // rounds of one kit
	played, steps := 0, 0
	play := func(t *testing.T, k *kit.Kit, n uint64) {
		t.Helper()
		p := draw(seed, n)
		history, fault := p.run(k)
		played++
		steps += len(history)
		if fault == "" {
			return
		}
		_, history, fault = shrink(k, p)
		t.Fatalf("%s\n\npolicy %q, on %s. Once more: LATCHKEY_SEARCH_SEED=%d LATCHKEY_SEARCH_ROUND=%d\n\n%s",
			fault, policies[p.policy].name, p.store, seed, n, strings.Join(history, "\n"))
	}
	if only != nil {
		inKit(t, draw(seed, *only), func(t *testing.T, k *kit.Kit) { play(t, k, *only) })
		return
	}
	for first := uint64(0); time.Now().Before(end) && !t.Failed(); first += batch * uint64(len(policies)) {
		for i := range uint64(len(policies)) {
			// The rounds of a kit have one policy and, but for the odd ones, one store.
			odd := func(n uint64) bool { return storeOf(n) != "memory" }
			var rest []uint64
			inKit(t, draw(seed, first+i), func(t *testing.T, k *kit.Kit) {
				for n := first + i; n < first+batch*uint64(len(policies)) && time.Now().Before(end); n += uint64(len(policies)) {
					if odd(n) {
						rest = append(rest, n)
						continue
					}
					play(t, k, n)
				}
			})
			for _, n := range rest {
				if time.Now().Before(end) && !t.Failed() {
					inKit(t, draw(seed, n), func(t *testing.T, k *kit.Kit) { play(t, k, n) })
				}
			}
		}
	}
	t.Logf("%d rounds, %d steps", played, steps)
}

// inKit runs a test with a kit on the store and under the policy of a round.
func inKit(t *testing.T, p round, test func(*testing.T, *kit.Kit)) {
	t.Helper()
	t.Run(policies[p.policy].name+" on "+p.store, func(t *testing.T) {
		k := kit.New(t, kit.Open(t, p.store), policies[p.policy].policy())
		k.Tampered = true // the rules of the rows are checked after each round
		test(t, k)
	})
}

// The search has every method of the handles that an actor could call.
func TestTheSearchHasEveryOperation(t *testing.T) {
	have := slices.Clone(quiet)
	for _, op := range table {
		if op.name != "" {
			have = append(have, op.name)
		}
	}
	var want []string
	for _, handle := range []any{new(latchkey.Guest), new(latchkey.Account), new(latchkey.Pending)} {
		typ := reflect.TypeOf(handle)
		for i := range typ.NumMethod() {
			want = append(want, typ.Elem().Name()+"."+typ.Method(i).Name)
		}
	}
	slices.Sort(have)
	slices.Sort(want)
	if !slices.Equal(have, want) {
		t.Errorf("the search has %v\nwant %v", have, want)
	}
}
