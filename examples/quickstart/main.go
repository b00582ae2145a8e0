// Quickstart signs a user up or in on the command line, on an embedded store, and
// prints the result of each step.
//
//	go run ./examples/quickstart -email ada@example.org -password 'correct horse'
//
// Without the flags it asks in the terminal, or reads two lines from standard input. A
// second run finds the user of the first run in the store.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"log"
	"net/netip"
	"os"
	"strings"

	"golang.org/x/term"

	"example.com/latchkey"
	"example.com/latchkey/store"
	"example.com/latchkey/store/bbolt"
	"example.com/latchkey/store/memory"
	"example.com/latchkey/store/postgres"
	"example.com/latchkey/store/sqlite"
)

func main() {
	log.SetFlags(0)
	where := flag.String("store", "sqlite:quickstart.db", "memory, bbolt:FILE, sqlite:FILE or postgres://USER@HOST/DATABASE")
	email := flag.String("email", "", "e-mail address; asked for if empty")
	password := flag.String("password", "", "password of at least 8 characters; asked for, without echo, if empty")
	signOut := flag.String("sign-out", "", "one: end this session; all: end every session of the user")
	flag.Parse()
	err := run(context.Background(), *where, *email, *password, *signOut)
	if errors.Is(err, errNoAnswer) {
		log.Print(err)
		os.Exit(2)
	}
	if err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, where, email, password, signOut string) (err error) {
	if email, password, err = ask(email, password); err != nil {
		return err
	}
	s, key, err := open(ctx, where)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	// A service on several machines gives them a limiter that they share, in the place of
	// LimiterPerProcess.
	engine, err := latchkey.New(s, latchkey.Config{Keys: latchkey.Keys{Active: key}, LimiterPerProcess: true})
	if err != nil {
		return err
	}
	defer engine.Close()

	// A real host takes these from the request.
	guest := engine.Guest(latchkey.Client{
		IP:        netip.MustParseAddr("127.0.0.1"),
		UserAgent: "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
	})
	user, err := guest.CreateAccount(ctx, latchkey.NewAccount{Email: email, Password: password})
	switch {
	case err == nil:
		fmt.Println("Signed up:", user.Email, "is user", user.ID)
	case errors.Is(err, latchkey.ErrUserAlreadyExists):
		fmt.Println("This address has an account; signing in.")
	default:
		return err
	}
	session, err := guest.CreateEmailPasswordSession(ctx, email, password)
	if err != nil {
		return err
	}
	fmt.Printf("Signed in: session %s on %v from %s, until %s\n",
		session.ID, session.Device, session.IP, session.Expire.Format("2006-01-02"))

	// A host does this on every request: the secret comes back in a cookie.
	account, err := guest.Authenticate(ctx, session.Secret.Reveal())
	if err != nil {
		return err
	}
	fmt.Println("Checked the session: it belongs to user", account.UserID())
	if err := list(ctx, account); err != nil {
		return err
	}
	switch signOut {
	case "":
		return nil
	case "one":
		err = account.DeleteSession(ctx, latchkey.CurrentSession)
	case "all":
		err = account.DeleteSessions(ctx)
	default:
		return fmt.Errorf("-sign-out is one or all, not %q", signOut)
	}
	if err != nil {
		return err
	}
	if _, err = guest.Authenticate(ctx, session.Secret.Reveal()); !errors.Is(err, latchkey.ErrUnauthorized) {
		return fmt.Errorf("the session is still valid: %v", err)
	}
	fmt.Println("Signed out of", signOut+"; the secret is refused from now on.")
	return nil
}

func list(ctx context.Context, account *latchkey.Account) error {
	sessions, err := account.Sessions(ctx)
	if err != nil {
		return err
	}
	fmt.Println("Sessions of this user:", sessions.Total)
	for _, s := range sessions.Sessions {
		mark := ""
		if s.Current {
			mark = "  <- this one"
		}
		fmt.Printf("  %s  %s  %v%s\n", s.ID, s.CreatedAt.Format("2006-01-02 15:04:05"), s.Device, mark)
	}
	return nil
}

// open opens the store and reads the key, which is in a file next to the store. A real
// host keeps the key apart from the store.
func open(ctx context.Context, where string) (store.Store, latchkey.Key, error) {
	kind, file, _ := strings.Cut(where, ":")
	if kind = strings.ToLower(kind); kind == "postgresql" {
		kind = "postgres"
	}
	openers := map[string]func() (store.Store, error){
		"bbolt":    func() (store.Store, error) { return bbolt.Open(file) },
		"sqlite":   func() (store.Store, error) { return sqlite.Open(file) },
		"postgres": func() (store.Store, error) { return postgres.Open(ctx, where) },
	}
	switch {
	case kind == "memory":
		return memory.Open(), latchkey.GenerateKey(), nil
	case openers[kind] == nil || file == "":
		return nil, latchkey.Key{}, fmt.Errorf("-store is memory, bbolt:FILE, sqlite:FILE or postgres://USER@HOST/DATABASE, and not %q", kind) // the rest may hold a password
	case kind == "postgres":
		file = "quickstart-postgres"
	}
	key, err := loadKey(file + ".key")
	if err != nil {
		return nil, key, err
	}
	s, err := openers[kind]()
	return s, key, err
}

func loadKey(file string) (latchkey.Key, error) {
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		fmt.Println("Made a new key in", file)
		key := latchkey.GenerateKey()
		return key, os.WriteFile(file, []byte(key.Reveal()), 0o600)
	}
	if err != nil {
		return latchkey.Key{}, err
	}
	return latchkey.ParseKey(strings.TrimSpace(string(text)))
}

// errNoAnswer means that standard input ended without an e-mail address and a password.
var errNoAnswer = errors.New(`quickstart needs an e-mail address and a password. Do one of these:
  - give both flags: -email ada@example.org -password 'correct horse'
  - run it in a terminal, where it asks for them
  - write them to its standard input, as two lines`)

// ask asks for the e-mail address and the password, if the flags did not give them. If
// standard input is not a terminal, it reads the answers without a question.
func ask(email, password string) (string, string, error) {
	terminal := int(os.Stdin.Fd())
	asks := term.IsTerminal(terminal)
	in := bufio.NewReader(os.Stdin)
	line := func() (string, error) {
		text, err := in.ReadString('\n')
		if err != nil && err != io.EOF {
			return "", err
		}
		text = strings.TrimRight(text, "\r\n")
		if text == "" {
			return "", errNoAnswer
		}
		return text, nil
	}
	var err error
	if email == "" {
		if asks {
			fmt.Print("E-mail address: ")
		}
		if email, err = line(); err != nil {
			return "", "", err
		}
	}
	if password != "" {
		return email, password, nil
	}
	if !asks {
		password, err = line()
		return email, password, err
	}
	fmt.Print("Password: ")
	text, err := term.ReadPassword(terminal)
	fmt.Println()
	if err == nil && len(text) == 0 || err == io.EOF {
		err = errNoAnswer
	}
	return email, string(text), err
}
