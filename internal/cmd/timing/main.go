// Timing prints how long a refused sign-in takes for an address of nobody, for a
// wrong password, and for a user without a password, in turns, and whether the
// samples can be told apart; and the same of a code that is asked for by e-mail,
// for an address of nobody, of a user, and of a blocked one.
//
//	go run ./internal/cmd/timing [-n 2000] [-only codes]
//
// Two samples are compared by the Kolmogorov-Smirnov statistic D, with the
// probability that two samples of one distribution differ as much, and by the
// share of pairs in which the first is slower (0.5 when they are alike).
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"math"
	"net/netip"
	"slices"
	"strings"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/notify"
	"example.com/latchkey/store/memory"
)

func main() {
	n := flag.Int("n", 2000, "calls of each kind")
	only := flag.String("only", "", "only the questions whose name contains this")
	flag.Parse()
	if err := run(*n, *only); err != nil {
		log.Fatal(err)
	}
}

// question is a call whose time must not tell what the address is.
type question struct {
	name  string
	ask   func(ctx context.Context, g *latchkey.Guest, email string) error
	kinds []kind
}

type kind struct{ name, email string }

var questions = []question{
	{"refused sign-ins", func(ctx context.Context, g *latchkey.Guest, email string) error {
		if _, err := g.CreateEmailPasswordSession(ctx, email, "wrong horse"); err != latchkey.ErrInvalidCredentials {
			return fmt.Errorf("not refused: %w", err)
		}
		return nil
	}, []kind{{"unknown address", "nobody@example.org"}, {"wrong password", "ada@example.org"}, {"no password", "bob@example.org"}}},
	{"codes asked for", func(ctx context.Context, g *latchkey.Guest, email string) error {
		_, err := g.CreateEmailToken(ctx, latchkey.NewEmailToken{Email: email})
		return err
	}, []kind{{"unknown address", "nobody@example.org"}, {"known address", "ada@example.org"}, {"blocked user", "eve@example.org"}}},
}

func run(n int, only string) error {
	for _, q := range questions {
		if !strings.Contains(q.name, only) {
			continue
		}
		if err := q.run(n); err != nil {
			return fmt.Errorf("%s: %w", q.name, err)
		}
	}
	return nil
}

func (q question) run(n int) error {
	ctx := context.Background()
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	engine, err := latchkey.New(memory.Open(), latchkey.Config{
		Keys:     latchkey.Keys{Active: latchkey.GenerateKey()},
		Now:      func() time.Time { return now },
		Notifier: notify.Func(func(context.Context, notify.Message) error { return nil }),
	})
	if err != nil {
		return err
	}
	defer engine.Close()
	for _, user := range []latchkey.NewUser{
		{Email: "ada@example.org", Password: "correct horse"}, {Email: "bob@example.org"}, {UserID: "eve", Email: "eve@example.org"},
	} {
		if _, err := engine.Users().Create(ctx, user); err != nil {
			return err
		}
	}
	if _, err := engine.Users().UpdateStatus(ctx, "eve", false); err != nil {
		return err
	}
	guest := engine.Guest(latchkey.Client{IP: netip.MustParseAddr("192.0.2.7")})
	samples := make([][]float64, len(q.kinds))
	for i := range n + 10 {
		now = now.Add(25 * time.Hour) // what was counted is forgotten
		for at := range q.kinds {
			k := (i + at) % len(q.kinds) // none is always the first
			began := time.Now()
			err := q.ask(ctx, guest, q.kinds[k].email)
			took := time.Since(began)
			if err != nil {
				return fmt.Errorf("%s: %w", q.kinds[k].name, err)
			}
			if i >= 10 {
				samples[k] = append(samples[k], float64(took))
			}
		}
	}
	fmt.Printf("%d %s of each kind\n\n| | 10 %% | median | 90 %% |\n|---|---:|---:|---:|\n", n, q.name)
	for k, s := range samples {
		slices.Sort(s)
		at := func(share float64) time.Duration {
			return time.Duration(s[int(share*float64(len(s)-1))]).Round(100 * time.Nanosecond)
		}
		fmt.Printf("| %s | %v | %v | %v |\n", q.kinds[k].name, at(0.1), at(0.5), at(0.9))
	}
	fmt.Print("\n| two samples | D | p | first slower |\n|---|---:|---:|---:|\n")
	for _, pair := range [][2]int{{0, 1}, {0, 2}, {1, 2}} {
		a, b := samples[pair[0]], samples[pair[1]]
		d := distance(a, b)
		fmt.Printf("| %s, %s | %.3f | %.2f | %.3f |\n", q.kinds[pair[0]].name, q.kinds[pair[1]].name, d, chance(d, len(a), len(b)), slower(a, b))
	}
	fmt.Println()
	return nil
}

// distance is the greatest difference between two distribution functions. The
// samples are sorted.
func distance(a, b []float64) (d float64) {
	i, j := 0, 0
	for i < len(a) && j < len(b) {
		x := min(a[i], b[j])
		for i < len(a) && a[i] <= x {
			i++
		}
		for j < len(b) && b[j] <= x {
			j++
		}
		d = max(d, math.Abs(float64(i)/float64(len(a))-float64(j)/float64(len(b))))
	}
	return d
}

// chance is the probability of so great a distance between samples of one
// distribution, by the asymptotic formula.
func chance(d float64, n, m int) float64 {
	root := math.Sqrt(float64(n) * float64(m) / float64(n+m))
	x := (root + 0.12 + 0.11/root) * d
	p, sign := 0.0, 1.0
	for k := 1.0; k <= 100; k++ {
		p += sign * 2 * math.Exp(-2*k*k*x*x)
		sign = -sign
	}
	return min(max(p, 0), 1)
}

// slower is the share of pairs in which a's is greater. The samples are sorted.
func slower(a, b []float64) float64 {
	wins, j := 0.0, 0
	for _, x := range a {
		for j < len(b) && b[j] < x {
			j++
		}
		wins += float64(j)
	}
	return wins / float64(len(a)) / float64(len(b))
}
