package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"

	"example.com/latchkey"
	"example.com/latchkey/authtest"
	"example.com/latchkey/hidden"
	"example.com/latchkey/oauth"
	"example.com/latchkey/oauth/oidc"
)

// service is another service by which the tour signs in: one in this process, or a real one.
type service struct {
	out      io.Writer
	ctx      context.Context
	issuer   *authtest.Issuer // nil for a real one
	provider *oidc.Provider
	ends     []func()
}

// The tour runs the test kit's issuer outside a test.

func (s *service) Helper()                           {}
func (s *service) Error(args ...any)                 { fmt.Fprintln(s.out, args...) }
func (s *service) Errorf(format string, args ...any) { fmt.Fprintf(s.out, format+"\n", args...) }
func (s *service) Context() context.Context          { return s.ctx }
func (s *service) Cleanup(end func())                { s.ends = append(s.ends, end) }

// open returns the provider of the service.
func (s *service) open(ctx context.Context, o options) (oauth.Provider, error) {
	ctx, cancel := context.WithCancel(ctx)
	s.ctx, s.ends = ctx, []func(){cancel}
	c := oidc.Config{Issuer: o.issuer, ClientID: o.client, ClientSecret: hidden.New(o.secret), TrustEmail: true}
	if o.issuer == "" {
		s.issuer = authtest.NewIssuer(s)
		settings := s.issuer.Settings()
		c.Issuer, c.ClientID, c.ClientSecret, c.Private = s.issuer.URL, settings.ClientID, settings.ClientSecret, true
	}
	var err error
	if s.provider, err = oidc.New(c); err != nil {
		s.close()
		return nil, err
	}
	return s.provider, nil
}

func (s *service) close() {
	if s.provider != nil {
		_ = s.provider.Close() // never fails
	}
	for _, end := range s.ends {
		end()
	}
}

// visit sends the browser to the service, and returns the parameters with which it comes back.
func (s *service) visit(ctx context.Context, address, callback string) (url.Values, error) {
	if s.issuer != nil {
		target, parameters, err := s.issuer.Visit(address)
		if err == nil && target.String() != callback {
			err = errors.New("the service sends the browser elsewhere")
		}
		return parameters, err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:8085")
	if err != nil {
		return nil, err
	}
	back := make(chan url.Values, 1)
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/callback" {
			_, _ = io.WriteString(w, "You can close this page.") // the browser may have gone
			select {
			case back <- r.URL.Query():
			default:
			}
		}
	})}
	go func() { _ = server.Serve(listener) }() // ends with Close
	defer server.Close()
	fmt.Fprintf(s.out, "Open this address in a browser on this machine:\n  %s\n", address)
	select {
	case parameters := <-back:
		return parameters, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// byService signs up by another service, and in again, and links it to an account with a password.
func (t *tour) byService(ctx context.Context, at *service) error {
	const callback = "http://127.0.0.1:8085/callback"
	finish := func(start *latchkey.OAuth2Start, session latchkey.Secret) (*latchkey.OAuth2Result, error) {
		parameters, err := at.visit(ctx, start.URL, callback)
		if err != nil {
			return nil, err
		}
		return t.guest.FinishOAuth2(ctx, latchkey.OAuth2Callback{Provider: "oidc", Parameters: parameters, Binding: start.Binding.Reveal(), Session: session.Reveal()})
	}
	request := latchkey.OAuth2Request{Provider: "oidc", RedirectURL: callback}
	var last latchkey.Secret
	for range 2 {
		start, err := t.guest.StartOAuth2(ctx, request)
		if err != nil {
			return err
		}
		result, err := finish(start, latchkey.Secret{})
		if err != nil {
			return err
		}
		last = result.Session.Secret
		account, err := t.guest.Authenticate(ctx, last.Reveal())
		if err != nil {
			return err
		}
		user, err := account.User(ctx)
		if err != nil {
			return err
		}
		fmt.Fprintf(t.out, "Signed in by %s: %s <%s>, verified: %v, as %s there\n", result.Session.Provider, user.Name, user.Email, user.EmailVerification, result.Session.ProviderUID)
	}
	account, err := t.guest.Authenticate(ctx, last.Reveal())
	if err != nil {
		return err
	}
	list, err := account.Identities(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintf(t.out, "Identities: %d, of %s\n", list.Total, list.Identities[0].Issuer)
	if err := account.DeleteIdentity(ctx, list.Identities[0].ID); err != nil {
		return err
	}
	fmt.Fprintln(t.out, "Unlinked. A link to the address is the way in that is left.")
	_, err = t.guest.Authenticate(ctx, last.Reveal())
	fmt.Fprintf(t.out, "The session that it has opened: %v\n", err)
	return nil
}
