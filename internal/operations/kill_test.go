package operations_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"example.com/latchkey"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/store"
)

// killEnv tells a child process of the test which backend and folder to write to
// until the test kills it.
const killEnv = "LATCHKEY_TEST_KILL"

// openKept opens an engine on a folder, with the key that the folder keeps.
func openKept(t testing.TB, backend, dir string, c latchkey.Config) (*latchkey.Engine, store.Store, error) {
	file := dir + "/key"
	text, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		text = []byte(latchkey.GenerateKey().Reveal())
		err = os.WriteFile(file, text, 0o600)
	}
	if err != nil {
		return nil, nil, err
	}
	key, err := latchkey.ParseKey(string(text))
	if err != nil {
		return nil, nil, err
	}
	for _, b := range kit.Backends {
		if b.Name != backend {
			continue
		}
		s, err := b.Open(t, dir)
		if err != nil {
			return nil, nil, err
		}
		c.Keys.Active, c.LimiterPerProcess = key, true
		engine, err := latchkey.New(s, c)
		return engine, s, err
	}
	return nil, nil, errors.New("no such backend")
}

// writeUntilKilled signs users up and in, and prints the acknowledged sessions.
func writeUntilKilled(job string) {
	backend, dir, _ := strings.Cut(job, ":")
	engine, _, err := openKept(nil, backend, dir, latchkey.Config{})
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	ctx := context.Background()
	guest := engine.Guest(kit.Client)
	for n := 0; ; n++ {
		email := fmt.Sprintf("u%d.%d@example.org", os.Getpid(), n)
		if _, err = guest.CreateAccount(ctx, latchkey.NewAccount{Email: email, Password: kit.Password}); err != nil {
			break
		}
		session, err := guest.CreateEmailPasswordSession(ctx, email, kit.Password)
		if err != nil {
			break
		}
		fmt.Println(email, session.Secret.Reveal())
	}
	fmt.Println("error", err)
	os.Exit(1)
}

// killedAfter runs a child until it has acknowledged some sign-ins, kills the child
// and returns the acknowledged sign-ins.
func killedAfter(t *testing.T, backend, dir string, lines int) (acknowledged [][2]string) {
	t.Helper()
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), killEnv+"="+backend+":"+dir)
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = child.Wait() }()
	defer func() { _ = child.Process.Kill() }()
	scan := bufio.NewScanner(out)
	for len(acknowledged) < lines && scan.Scan() {
		email, secret, _ := strings.Cut(scan.Text(), " ")
		if email == "error" {
			t.Fatal(scan.Text())
		}
		acknowledged = append(acknowledged, [2]string{email, secret})
	}
	if len(acknowledged) < lines {
		t.Fatalf("the child ended after %d sign-ins", len(acknowledged))
	}
	return acknowledged
}

func findsAgain(t *testing.T, backend, dir string, acknowledged [][2]string) {
	t.Helper()
	engine, s, err := openKept(t, backend, dir, latchkey.Config{})
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	guest := engine.Guest(kit.Client)
	for _, a := range acknowledged {
		account, err := guest.Authenticate(ctx, a[1])
		if err != nil {
			t.Errorf("session of %s: %v", a[0], err)
			continue
		}
		if user, err := account.User(ctx); err != nil || user.Email != a[0] {
			t.Errorf("user of %s: %v", a[0], err)
		}
	}
	if _, err := guest.CreateEmailPasswordSession(ctx, acknowledged[0][0], kit.Password); err != nil {
		t.Errorf("signing in again: %v", err)
	}
	if err := errors.Join(engine.Close(), s.Close()); err != nil {
		t.Error(err)
	}
}

func TestKilledProcessFindsEverythingAgain(t *testing.T) {
	for _, backend := range []string{"bbolt", "sqlite", "postgres"} {
		t.Run(backend, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			_, s, err := openKept(t, backend, dir, latchkey.Config{})
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			var acknowledged [][2]string
			for round := range 4 {
				acknowledged = append(acknowledged, killedAfter(t, backend, dir, 2+round)...)
				findsAgain(t, backend, dir, acknowledged)
			}
		})
	}
}
