// Webapp is a whole site over the engine and package web: accounts, sessions, second factors, other
// services, passkeys, teams and a back office, in two languages, on an SQLite file. Only passkeys need JavaScript.
//
//	go run ./examples/webapp
//
// It serves http://localhost:8080, keeps everything in webapp.db and its key in webapp.key, and prints mails to
// the terminal. The flags have the rest:
//
//	go run ./examples/webapp -help
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/examples/webapp/site"
	"example.com/latchkey/hidden"
	"example.com/latchkey/oauth"
	"example.com/latchkey/oauth/oidc"
	"example.com/latchkey/passkey"
	"example.com/latchkey/store/sqlite"
	"example.com/latchkey/web"
)

// options are the flags of the program.
type options struct {
	addr, base, name, db, key, mail string
	proxies                         string
	issuer, client, secret          string
	admin                           string
}

func main() {
	var o options
	flag.StringVar(&o.addr, "addr", "localhost:8080", "address to serve")
	flag.StringVar(&o.base, "base", "", "address of the site as users see it (default http://ADDR)")
	flag.StringVar(&o.name, "name", "Webapp", "name of the site in pages, mails and authenticator apps")
	flag.StringVar(&o.db, "db", "webapp.db", "SQLite file")
	flag.StringVar(&o.key, "key", "webapp.key", "file with the key, which is made if it is missing")
	flag.StringVar(&o.mail, "mail", "", "file to which mails are appended (default the terminal)")
	flag.StringVar(&o.proxies, "proxies", "", "proxies in front of the site: a list of prefixes such as 10.0.0.0/8, or unix")
	flag.StringVar(&o.issuer, "oidc", "", "issuer of another service by which users sign in")
	flag.StringVar(&o.client, "oidc-client", "", "id of this site at that service; OIDC_SECRET in the environment is its secret")
	flag.StringVar(&o.admin, "admin", "", "e-mail address of a user who gets the label admin")
	flag.Parse()
	o.secret = os.Getenv("OIDC_SECRET")
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o); err != nil {
		slog.Error("webapp", "error", err)
		stop()
		os.Exit(1)
	}
}

// run serves the site until the context ends.
func run(ctx context.Context, o options) (err error) {
	if o.base == "" {
		o.base = "http://" + o.addr
	}
	key, err := readKey(o.key)
	if err != nil {
		return err
	}
	mail, err := openMail(o.mail, o.name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, mail.Close()) }()
	store, err := sqlite.Open(o.db)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()

	base := web.Base(o.base)
	config := latchkey.Config{
		Keys: latchkey.Keys{Active: key}, Notifier: mail, RedirectHosts: base.Hosts(), Issuer: o.base, App: o.name,
		Policy: latchkey.Policy{RequireVerifiedEmail: true},
	}
	var targets []string
	if o.issuer != "" {
		provider, err := oidc.New(oidc.Config{
			Issuer: o.issuer, ClientID: o.client, ClientSecret: hidden.New(o.secret), TrustEmail: true, Private: strings.HasPrefix(o.issuer, "http://127.0.0.1:"),
		})
		if err != nil {
			return err
		}
		defer func() { _ = provider.Close() }() // never fails
		issuer, err := url.Parse(o.issuer)      // it may have a path, such as /realms/main
		if err != nil {
			return err
		}
		config.Providers, targets = []oauth.Provider{provider}, []string{issuer.Scheme + "://" + issuer.Host}
	}
	passkeys, err := newPasskeys(o)
	if err != nil {
		return err
	}
	if passkeys != nil {
		config.Passkeys = passkeys
	}
	engine, err := latchkey.New(store, config)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, engine.Close()) }()
	if o.admin != "" {
		if err := makeAdmin(ctx, engine, o.admin); err != nil {
			return err
		}
	}
	var proxies []string
	if o.proxies != "" {
		proxies = strings.Split(o.proxies, ",")
	}
	app, err := site.New(engine, site.Config{Name: o.name, Web: web.Config{Base: base, Proxies: proxies, FormTargets: targets}, Service: o.issuer != "", Passkeys: passkeys != nil})
	if err != nil {
		return err
	}
	return serve(ctx, o.addr, app, engine)
}

// serve answers requests until the context ends, and then lets those that have begun come to their end. It
// sweeps the store once a day.
func serve(ctx context.Context, addr string, app http.Handler, engine *latchkey.Engine) error {
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	fmt.Printf("Serving %s\n", listener.Addr())
	server := &http.Server{Handler: app, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: time.Minute, WriteTimeout: time.Minute, IdleTimeout: 2 * time.Minute}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	daily := time.NewTicker(24 * time.Hour)
	defer daily.Stop()
	for {
		select {
		case err := <-failed:
			return err
		case <-daily.C:
			_, _ = engine.Sweep(ctx) // the engine logs a fault
		case <-ctx.Done():
			late, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
			defer cancel()
			return server.Shutdown(late)
		}
	}
}

// newPasskeys returns the passkeys of the site, nil if its address can have none: browsers bind them to a domain, and ask for https
// or localhost. A site that means to grow has the domain above all of its pages as their RPID, because it can never change.
func newPasskeys(o options) (*passkey.RelyingParty, error) {
	base, err := url.Parse(o.base)
	if err != nil {
		return nil, err
	}
	host := base.Hostname()
	_, noAddress := netip.ParseAddr(host)
	domain := base.Scheme == "https" && strings.Contains(host, ".") && noAddress != nil
	if host != "localhost" && !domain {
		return nil, nil
	}
	return passkey.New(passkey.Config{RPID: host, Name: o.name, Origins: []string{o.base}})
}

// readKey reads the key of the site, or makes it at the first start.
func readKey(file string) (latchkey.Key, error) {
	text, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		key := latchkey.GenerateKey()
		return key, os.WriteFile(file, []byte(key.Reveal()+"\n"), 0o600)
	}
	if err != nil {
		return latchkey.Key{}, err
	}
	return latchkey.ParseKey(string(text))
}

// makeAdmin gives a user the label of the back office. Only the owner of the mailbox gets it: an address that
// is not proven may have been typed in by anybody.
func makeAdmin(ctx context.Context, engine *latchkey.Engine, email string) error {
	user, err := engine.Users().GetByEmail(ctx, email)
	if err != nil {
		return fmt.Errorf("-admin %s: %w", email, err)
	}
	if !user.EmailVerification {
		return fmt.Errorf("-admin %s: the address is not verified", email)
	}
	_, err = engine.Users().UpdateLabels(ctx, user.ID, append(user.Labels, site.AdminLabel))
	return err
}
