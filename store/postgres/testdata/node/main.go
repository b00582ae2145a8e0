// Node is a host in a few lines: an engine over PostgreSQL that takes its orders from standard input.
// TestTwoVersionsRunSideBySide builds it with two versions of the module.
package main

import (
	"bufio"
	"context"
	"fmt"
	"log"
	"os"
	"strings"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/ratelimit"
	"example.com/latchkey/store/postgres"
)

func main() {
	ctx := context.Background()
	s, err := postgres.OpenWith(ctx, os.Getenv("NODE_DATABASE"), postgres.Options{Namespace: os.Getenv("NODE_NAMESPACE"), MaxConns: 4})
	check(err)
	key, err := latchkey.ParseKey(os.Getenv("NODE_KEY"))
	check(err)
	e, err := latchkey.New(s, latchkey.Config{Keys: latchkey.Keys{Active: key}, Limiter: free{}})
	check(err)
	fmt.Println("ready")
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		order, argument, _ := strings.Cut(lines.Text(), " ")
		result, err := "", error(nil)
		switch order {
		case "create":
			_, err = e.Users().Create(ctx, latchkey.NewUser{UserID: argument, Email: argument + "@example.org", Name: argument})
		case "sign-in":
			var session *latchkey.Session
			if session, err = e.Users().CreateSession(ctx, argument); err == nil {
				result = session.Secret.Reveal()
			}
		case "check":
			var a *latchkey.Account
			if a, err = e.Guest(latchkey.Client{}).Authenticate(ctx, argument); err == nil {
				result = a.UserID()
			}
		case "end":
			err = e.Users().DeleteSessions(ctx, argument)
		case "delete":
			err = e.Users().Delete(ctx, argument)
		default:
			log.Fatal("unknown order")
		}
		if err != nil {
			fmt.Println("error", err)
			continue
		}
		fmt.Println("ok", result)
	}
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

// free is a limiter that refuses nothing.
type free struct{}

func (free) Take(context.Context, ratelimit.Key, ratelimit.Rule, time.Time) (ratelimit.Result, error) {
	return ratelimit.Result{Allowed: true}, nil
}

func (free) Peek(context.Context, ratelimit.Key, ratelimit.Rule, time.Time) (ratelimit.Result, error) {
	return ratelimit.Result{Allowed: true}, nil
}

func (free) Return(context.Context, ratelimit.Key, ratelimit.Result) error { return nil }

func (free) Forget(context.Context, ratelimit.Key) error { return nil }
