// Quickstart signs somebody up or in from the command line, on an embedded
// store, and says what each step did.
//
//	go run ./examples/quickstart -email ada@example.org -password 'correct horse'
//
// Without the flags it asks. A second run finds what the first one stored.
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
	if err := run(context.Background(), *where, *email, *password, *signOut); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, where, email, password, signOut string) (err error) {
	s, key, err := open(ctx, where)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	engine, err := latchkey.New(s, latchkey.Config{Keys: latchkey.Keys{Active: key}})
	if err != nil {
		return err
	}
	defer engine.Close()
	if email, password, err = ask(email, password); err != nil {
		return err
	}

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

	// This is what runs on every request: the secret comes back in a cookie.
	account, err := guest.Authenticate(ctx, session.Secret.Reveal())
	if err != nil {
		return err
	}
	fmt.Println("Checked the session: it is of user", account.UserID())
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
		return fmt.Errorf("the session lives on: %v", err)
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

// open opens the store, and the key in a file beside it. A real host keeps the
// key apart from the store.
func open(ctx context.Context, where string) (store.Store, latchkey.Key, error) {
	kind, file, _ := strings.Cut(where, ":")
	openers := map[string]func() (store.Store, error){
		"bbolt":    func() (store.Store, error) { return bbolt.Open(file) },
		"sqlite":   func() (store.Store, error) { return sqlite.Open(file) },
		"postgres": func() (store.Store, error) { return postgres.Open(ctx, where) },
	}
	switch {
	case kind == "memory":
		return memory.Open(), latchkey.GenerateKey(), nil
	case openers[kind] == nil || file == "":
		return nil, latchkey.Key{}, fmt.Errorf("-store is memory, bbolt:FILE, sqlite:FILE or postgres://USER@HOST/DATABASE, not %q", where)
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

// ask asks for what the flags did not give.
func ask(email, password string) (string, string, error) {
	in := bufio.NewReader(os.Stdin)
	line := func() (string, error) {
		text, err := in.ReadString('\n')
		if err == io.EOF && text != "" {
			err = nil
		}
		return strings.TrimRight(text, "\r\n"), err
	}
	var err error
	if email == "" {
		fmt.Print("E-mail address: ")
		if email, err = line(); err != nil {
			return "", "", err
		}
	}
	if password != "" {
		return email, password, nil
	}
	fmt.Print("Password: ")
	if !term.IsTerminal(int(os.Stdin.Fd())) {
		password, err = line()
		return email, password, err
	}
	text, err := term.ReadPassword(int(os.Stdin.Fd()))
	fmt.Println()
	return email, string(text), err
}
