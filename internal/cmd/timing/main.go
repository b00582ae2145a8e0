// Timing prints whether the time of an answer tells an attacker about an address.
//
//	go run ./internal/cmd/timing [-n 2000] [-only codes]
//
// It measures two questions. The calls of a question take turns:
//   - refused sign-ins: of an unknown address, with a wrong password, and of a user
//     without a password
//   - requests for a code by e-mail: for an unknown address, for a user, and for a
//     blocked user
//
// Two samples are compared by the Kolmogorov-Smirnov statistic D, with the probability
// p that two samples of one distribution differ as much. They are also compared by the
// share of pairs in which the first is slower, which is 0.5 if they are alike.
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

// question is a call whose time must not depend on the kind of address.
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
		now = now.Add(25 * time.Hour) // the counts of wrong answers and of the limiter have expired
		for at := range q.kinds {
			k := (i + at) % len(q.kinds) // the kinds take turns in being first
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

// distance returns the greatest difference between the distribution functions of two
// sorted samples.
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

// chance returns the probability that two samples of one distribution have a distance
// of d or more, by the asymptotic formula.
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

// slower returns the share of pairs in which the value of a is greater. The samples are
// sorted.
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
