package latchkey

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"example.com/latchkey/oauth"
)

const (
	maxProvider = 32  // bytes of the name of a provider
	maxIssuer   = 255 // bytes of an issuer, and of a subject
	// providerTime is how long the calls of a provider may take, for one operation.
	providerTime = 20 * time.Second
)

// waysIn are the names of sessions that no provider may have.
var waysIn = []string{providerEmail, providerAnonymous, providerServer, "magic-url", "phone", "token"}

// providersByName returns the providers of a host by their names, and refuses what cannot be one.
func providersByName(providers []oauth.Provider) (map[string]oauth.Provider, error) {
	byName := make(map[string]oauth.Provider)
	for _, p := range providers {
		if p == nil {
			return nil, errors.New("latchkey: Config.Providers has a nil")
		}
		info := p.Info()
		switch {
		case !isProviderName(info.Name) || slices.Contains(waysIn, info.Name):
			return nil, fmt.Errorf("latchkey: Config.Providers: %q is not the name of a provider", info.Name)
		case byName[info.Name] != nil:
			return nil, fmt.Errorf("latchkey: Config.Providers has %q twice", info.Name)
		case !isProviderText(info.Issuer):
			return nil, fmt.Errorf("latchkey: Config.Providers: the issuer of %q is not 1 to %d bytes of UTF-8", info.Name, maxIssuer)
		}
		byName[info.Name] = p
	}
	for name, p := range byName {
		if live := p.Info().Sandbox; live != "" && byName[live] != nil {
			return nil, fmt.Errorf("latchkey: Config.Providers has %q, whose people are made up, beside %q", name, live)
		}
	}
	return byName, nil
}

// errProviderName refuses a text that cannot be the name of a provider.
var errProviderName = invalid("provider", errors.New("not a letter and then letters, digits and hyphens, at most 32"))

// isProviderName reports whether a text is a letter and then letters, digits and hyphens.
func isProviderName(name string) bool {
	other := func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-'
	}
	return name != "" && len(name) <= maxProvider && !strings.ContainsFunc(name, other) && strings.Trim(name[:1], "0123456789-") != ""
}

// isProviderText reports whether a text can be an issuer or a subject. It stays as it is, spaces
// included. A database cannot hold NUL.
func isProviderText(text string) bool {
	return strings.TrimSpace(text) != "" && len(text) <= maxIssuer && utf8.ValidString(text) && !strings.Contains(text, "\x00")
}

// provider returns a provider by its name.
func (e *Engine) provider(name string) (oauth.Provider, error) {
	if p := e.providers[name]; p != nil {
		return p, nil
	}
	return nil, ErrProviderDisabled
}

// errProvider is the error of a provider that panicked.
var errProvider = errors.New("latchkey: the provider panicked")

// callProvider runs the calls of a provider for an operation. Their errors may hold secrets, so
// the caller gets ErrProviderFailed. A caller who has gone gets that.
func callProvider[T any](ctx context.Context, c *call, p oauth.Provider, do func(ctx context.Context) (T, error)) (T, error) {
	var zero T
	bounded, cancel := context.WithTimeout(ctx, providerTime)
	defer cancel()
	result, err := guardProvider(bounded, c, do)
	switch {
	case err == nil:
		return result, nil
	case isAnswer(err):
		return zero, err
	case ctx.Err() != nil:
		return zero, ctx.Err()
	}
	reason := oauth.Failure("the call failed")
	_ = errors.As(err, &reason)
	if errors.Is(bounded.Err(), context.DeadlineExceeded) {
		reason = "the provider took too long"
	}
	c.logger.WarnContext(ctx, "latchkey: a provider fails", "provider", p.Info().Name, "reason", string(reason))
	if reason == oauth.ErrSubject {
		return zero, ErrProviderSubject
	}
	return zero, ErrProviderFailed
}

// guardProvider makes an error of a panic.
func guardProvider[T any](ctx context.Context, c *call, do func(ctx context.Context) (T, error)) (result T, err error) {
	err = errProvider
	defer c.recovered(ctx, "Provider")
	return do(ctx)
}

// authorize returns the address at the provider to which the browser is sent.
func (c *call) authorize(ctx context.Context, p oauth.Provider, f *oauth.Flow) (string, error) {
	return callProvider(ctx, c, p, func(ctx context.Context) (string, error) { return p.Authorize(ctx, f) })
}
