package oidc

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"example.com/latchkey/oauth/internal/web"
)

// The ages of what a service has published.
const (
	freshAge = time.Hour      // after which it is read again
	staleAge = 24 * time.Hour // after which it is worth nothing
	retryAge = time.Minute    // between two readings, whatever asks for them
)

// aged keeps what a service has published.
type aged[T any] struct {
	life context.Context // of the provider
	now  func() time.Time
	read func(ctx context.Context) (*T, error)
	turn chan struct{} // has one element while a call reads

	mu     sync.Mutex
	value  *T
	got    time.Time // of the value
	tried  time.Time // of the last reading
	wanted time.Time // of the last reading that was asked for
	err    error     // of the last reading
}

// known returns what is known, nil if it is too old, and whether it should be read again.
func (a *aged[T]) known(want bool) (value *T, due bool, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.now()
	if a.value != nil && now.Sub(a.got) < staleAge {
		value = a.value
	}
	recent := func(t time.Time) bool { return !t.IsZero() && now.Sub(t) >= 0 && now.Sub(t) < retryAge }
	due = (value == nil || now.Sub(a.got) >= freshAge || a.got.After(now)) && !recent(a.tried) || want && !recent(a.wanted)
	if value == nil && !due {
		err = a.err
	}
	return value, due, err
}

// get returns what the service has published. want asks to read it again, which happens at most
// once a minute. Calls at once share one reading, which none of them can cancel: a caller who
// hangs up must not use up the reading of a minute.
func (a *aged[T]) get(ctx context.Context, want bool) (*T, error) {
	value, due, err := a.known(want)
	if !due {
		return value, err
	}
	select {
	case a.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, web.ErrUnreachable
	}
	if value, due, err = a.known(want); !due { // another call has read it
		<-a.turn
		return value, err
	}
	over := make(chan struct{})
	go func() {
		defer close(over)
		defer func() { <-a.turn }()
		a.renew(want)
	}()
	select {
	case <-over:
	case <-ctx.Done(): // the next caller gets the reading
		if value == nil {
			return nil, web.ErrUnreachable
		}
		return value, nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.err == nil {
		return a.value, nil
	}
	if value != nil {
		return value, nil
	}
	return nil, a.err
}

// renew reads the document of the service, within the time of one call.
func (a *aged[T]) renew(want bool) {
	bounded, cancel := context.WithTimeout(a.life, web.CallTime)
	defer cancel()
	var read *T
	var err error = web.ErrUnreachable // of a transport of the host that panics
	defer func() {
		_ = recover()
		a.mu.Lock()
		defer a.mu.Unlock()
		a.tried, a.err = a.now(), err
		if want {
			a.wanted = a.tried
		}
		if err == nil {
			a.value, a.got = read, a.tried
		}
	}()
	read, err = a.read(bounded)
}

// failure returns the error of the last reading, nil if it has succeeded.
func (a *aged[T]) failure() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.err
}

// discovery is the part of a discovery document that is used.
type discovery struct {
	Issuer        string   `json:"issuer"`
	Authorization string   `json:"authorization_endpoint"`
	Token         string   `json:"token_endpoint"`
	UserInfo      string   `json:"userinfo_endpoint"`
	Revocation    string   `json:"revocation_endpoint"`
	Keys          string   `json:"jwks_uri"`
	TokenAuth     []string `json:"token_endpoint_auth_methods_supported"`
	Signing       []string `json:"id_token_signing_alg_values_supported"`
	NamesIssuer   bool     `json:"authorization_response_iss_parameter_supported"`
}

// discover reads the discovery document.
func (p *Provider) discover(ctx context.Context) (*discovery, error) {
	var d discovery
	if p.quirk.Keys != "" {
		return &discovery{Issuer: p.config.Issuer, Keys: p.quirk.Keys}, nil
	}
	address := strings.TrimSuffix(p.config.Issuer, "/") + "/.well-known/openid-configuration"
	if err := web.Get(ctx, p.client, address, web.DocumentSize, &d); err != nil {
		return nil, err
	}
	published := d.Issuer == p.config.Issuer
	if p.quirk.Published != nil {
		published = p.quirk.Published(d.Issuer)
	}
	if !published {
		return nil, errIssuer
	}
	for _, endpoint := range []string{d.Authorization, d.Token, d.Keys} {
		if err := web.CheckURL(endpoint, p.config.Private); err != nil {
			return nil, err
		}
	}
	for _, endpoint := range []string{d.UserInfo, d.Revocation} {
		if endpoint == "" {
			continue
		}
		if err := web.CheckURL(endpoint, p.config.Private); err != nil {
			return nil, err
		}
	}
	return &d, nil
}

// algorithms returns those with which ID tokens may be signed.
func (p *Provider) algorithms(d *discovery) []string {
	if p.config.Algorithms != nil {
		return p.config.Algorithms
	}
	named := slices.DeleteFunc(slices.Clone(usual), func(a string) bool { return !slices.Contains(d.Signing, a) })
	if len(named) == 0 {
		return []string{"RS256"}
	}
	return named
}
