package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"strings"

	"example.com/latchkey"
	"example.com/latchkey/store"
	"example.com/latchkey/store/bbolt"
	"example.com/latchkey/store/memory"
	"example.com/latchkey/store/postgres"
	"example.com/latchkey/store/sqlite"
)

// place is where a store is.
type place struct {
	kind    string           // bbolt, sqlite or postgres
	at      string           // the file, or the address
	options postgres.Options // SQLite has their Prefix
}

// String names the place without a password.
func (p place) String() string {
	if p.kind != "postgres" {
		return p.kind + ":" + p.at
	}
	address, err := url.Parse(p.at)
	if err != nil {
		return p.kind
	}
	shown := url.URL{Scheme: p.kind, Host: address.Host, Path: address.Path}
	if address.User != nil {
		shown.User = url.User(address.User.Username())
	}
	return shown.String()
}

// placeOf reads the name of a store.
func (t *tool) placeOf(text string) (p place, err error) {
	kind, at, _ := strings.Cut(text, ":")
	switch strings.ToLower(kind) {
	case "bbolt", "sqlite":
		p = place{kind: strings.ToLower(kind), at: at, options: postgres.Options{Prefix: t.prefix}}
	case "postgres", "postgresql":
		if !strings.HasPrefix(at, "//") {
			break
		}
		p = place{"postgres", text, postgres.Options{Namespace: t.namespace, Prefix: t.prefix, TransactionPooler: t.pooler, MaxConns: 4}}
	}
	if at == "" || p.kind == "" {
		return p, usagef("a store is bbolt:FILE, sqlite:FILE or postgres://USER@HOST/DATABASE")
	}
	return p, nil
}

// argument reads the name of a store that stands on the command line.
func (t *tool) argument(text, other string) (place, error) {
	p, err := t.placeOf(text)
	if err == nil && p.kind == "postgres" && hasPassword(text) {
		err = usagef("a password does not belong on the command line, where others can read it. Put the address into %s", other)
	}
	return p, err
}

// hasPassword reports whether an address holds a password, or cannot be read.
func hasPassword(address string) bool {
	u, err := url.Parse(address)
	if err != nil {
		return true
	}
	_, found := u.User.Password()
	query, err := url.QueryUnescape(u.RawQuery)
	return found || err != nil || strings.Contains(strings.ToLower(query), "password")
}

// where returns the place of the store.
func (t *tool) where() (place, error) {
	switch {
	case t.store != "" && t.storeFile != "":
		return place{}, usagef("-store and -store-file both name a store. Leave one of them out")
	case t.store != "":
		return t.argument(t.store, "LATCHKEY_STORE or the file of -store-file")
	case t.storeFile != "":
		return t.placeIn(t.storeFile)
	case os.Getenv("LATCHKEY_STORE") != "":
		return t.placeOf(os.Getenv("LATCHKEY_STORE"))
	}
	return place{}, usagef("no store. Name it with -store or LATCHKEY_STORE")
}

// placeIn reads the name of a store in a file.
func (t *tool) placeIn(file string) (place, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return place{}, err
	}
	return t.placeOf(strings.TrimSpace(string(text)))
}

// plan tells what opening would do.
func (p place) plan(ctx context.Context) (plan store.Plan, err error) {
	switch p.kind {
	case "bbolt":
		plan, err = bbolt.Plan(p.at)
	case "sqlite":
		plan, err = sqlite.PlanWith(p.at, sqlite.Options{Prefix: p.options.Prefix})
	default:
		plan, err = postgres.Plan(ctx, p.at, p.options)
	}
	if err != nil {
		err = fmt.Errorf("%v: %w", p, err)
	}
	return plan, err
}

// opened opens the store, makes it if it is missing, and upgrades it.
func (p place) opened(ctx context.Context) (s store.Store, err error) {
	switch p.kind {
	case "bbolt":
		s, err = bbolt.Open(p.at)
	case "sqlite":
		s, err = sqlite.OpenWith(p.at, sqlite.Options{Prefix: p.options.Prefix})
	default:
		s, err = postgres.OpenWith(ctx, p.at, p.options)
	}
	if err != nil {
		err = fmt.Errorf("%v: %w", p, err)
	}
	return s, err
}

// open opens a store of the present version. If it is missing, it is made only if mayMake says so.
func (p place) open(ctx context.Context, mayMake bool) (store.Store, error) {
	plan, err := p.plan(ctx)
	switch {
	case err != nil:
		return nil, err
	case plan.Adds():
		return nil, fmt.Errorf("%v needs an addition to version %d. Run latchkey migrate to see it, and latchkey migrate -apply to apply it", p, plan.Version)
	case plan.Upgrades():
		return nil, fmt.Errorf("%v needs an upgrade from version %d to %d. Run latchkey migrate to see it, and latchkey migrate -apply to apply it", p, plan.Version, plan.To)
	case !plan.Exists && !mayMake:
		return nil, fmt.Errorf("%v does not exist, and this command does not make a store. Check the name", p)
	}
	return p.opened(ctx)
}

// withStore calls fn with the store, which must exist.
func (t *tool) withStore(ctx context.Context, fn func(place, store.Store) error) error {
	p, err := t.where()
	if err != nil {
		return err
	}
	s, err := p.open(ctx, false)
	if err != nil {
		return err
	}
	return errors.Join(fn(p, s), s.Close())
}

// use says how a command uses the engine.
type use int

const (
	// look reads. It leaves no trace of the key.
	look use = iota
	// change writes with a key that an engine has used with the store before. A mistyped key is
	// noticed, even if the store has nothing that needs a key yet.
	change
	// found may be the first use of a store and of a key.
	found
	// rehearse is found without an effect. It uses an empty store for a missing one.
	rehearse
)

// errKeyUnrecorded says that no engine has used the key with the store.
var errKeyUnrecorded = errors.New("the store has no record of this key yet. Check the key, and start the service with it once")

// keyed is a store for the start of an engine, which would record a new key.
type keyed struct {
	store.Store
	use  use
	open bool // the engine has started
}

func (k *keyed) Update(ctx context.Context, fn func(context.Context, store.Tx) error) error {
	switch {
	case k.open || k.use == found:
		return k.Store.Update(ctx, fn)
	case k.use == change:
		return errKeyUnrecorded
	}
	err := k.Store.Update(ctx, func(ctx context.Context, tx store.Tx) error { return cmp.Or(fn(ctx, tx), errUndone) })
	if errors.Is(err, errUndone) {
		return nil
	}
	return err
}

// errUndone rolls a transaction back that leaves no trace.
var errUndone = errors.New("undone")

// engine returns an engine over a store.
func (t *tool) engine(s store.Store, u use, policy latchkey.Policy) (*latchkey.Engine, error) {
	keys, err := t.keys()
	if err != nil {
		return nil, err
	}
	guarded := &keyed{Store: s, use: u}
	// The command works in the server's scope, which is not limited.
	engine, err := latchkey.New(guarded, latchkey.Config{Keys: keys, Policy: policy, Logger: t.logger(), LimiterPerProcess: true})
	guarded.open = true
	if errors.Is(err, errKeyUnrecorded) {
		return nil, errKeyUnrecorded
	}
	return engine, err
}

// logger writes what no caller of the engine gets.
func (t *tool) logger() *slog.Logger {
	if t.json {
		return slog.New(slog.NewJSONHandler(t.errs, nil))
	}
	return slog.New(slog.NewTextHandler(t.errs, nil))
}

// withEngine calls fn with an engine over the store.
func (t *tool) withEngine(ctx context.Context, u use, policy latchkey.Policy, fn func(*latchkey.Engine) error) error {
	if _, err := t.keys(); err != nil { // before a store is made
		return err
	}
	s, err := t.storeFor(ctx, u)
	if err != nil {
		return err
	}
	engine, err := t.engine(s, u, policy)
	if err != nil {
		return errors.Join(err, s.Close())
	}
	return errors.Join(fn(engine), engine.Close(), s.Close())
}

// storeFor opens the store for a use.
func (t *tool) storeFor(ctx context.Context, u use) (store.Store, error) {
	p, err := t.where()
	if err != nil {
		return nil, err
	}
	if u == rehearse {
		if plan, err := p.plan(ctx); err == nil && !plan.Exists {
			return memory.Open(), nil
		}
	}
	return p.open(ctx, u == found)
}

// keys reads the keys of the service, once: their file may be a pipe.
func (t *tool) keys() (latchkey.Keys, error) {
	if !t.known.Active.IsZero() {
		return t.known, nil
	}
	keys, err := t.readKeys()
	if err == nil {
		t.known = keys
	}
	return keys, err
}

func (t *tool) readKeys() (keys latchkey.Keys, err error) {
	file, text := os.Getenv("LATCHKEY_KEY_FILE"), os.Getenv("LATCHKEY_KEY")
	if t.keyFile != "" {
		file, text = t.keyFile, ""
	}
	switch {
	case file != "" && text != "":
		return keys, usagef("LATCHKEY_KEY_FILE and LATCHKEY_KEY both name a key. Leave one of them out")
	case file == "" && text == "":
		return keys, usagef("no key. Name its file with -key-file or LATCHKEY_KEY_FILE")
	case file != "":
		b, err := os.ReadFile(file)
		if err != nil {
			return keys, err
		}
		text = string(b)
	}
	if keys.Active, err = latchkey.ParseKey(strings.TrimSpace(text)); err != nil {
		return keys, errors.New("the key does not have the form of a key. Run latchkey key make to make one")
	}
	if old := os.Getenv("LATCHKEY_OLD_KEYS_FILE"); old != "" {
		keys.Old, err = oldKeys(old)
	}
	return keys, err
}

// oldKeys reads a file of keys, one a line.
func oldKeys(name string) (keys []latchkey.Key, err error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for n := 1; lines.Scan(); n++ {
		text := strings.TrimSpace(lines.Text())
		if text == "" {
			continue
		}
		key, err := latchkey.ParseKey(text)
		if err != nil {
			return nil, fmt.Errorf("%s: line %d does not have the form of a key", name, n)
		}
		keys = append(keys, key)
	}
	return keys, lines.Err()
}
