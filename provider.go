package latchkey

import (
	"context"
	"errors"
	"fmt"
	"time"

	"example.com/latchkey/internal/canon"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/oauth"
)

// providerTime is how long the calls of a provider may take, for one operation.
const providerTime = 20 * time.Second

// providersByName returns the providers of a host by their names, and refuses what cannot be one.
func providersByName(providers []oauth.Provider) (map[string]oauth.Provider, error) {
	byName := make(map[string]oauth.Provider)
	for _, p := range providers {
		if p == nil {
			return nil, errors.New("latchkey: Config.Providers has a nil")
		}
		info := p.Info()
		switch {
		case canon.NewProvider(info.Name) != nil:
			return nil, fmt.Errorf("latchkey: Config.Providers: %q is not the name of a provider", info.Name)
		case byName[info.Name] != nil:
			return nil, fmt.Errorf("latchkey: Config.Providers has %q twice", info.Name)
		case canon.Issuer(info.Issuer) != nil:
			return nil, fmt.Errorf("latchkey: Config.Providers: the issuer of %q is %w", info.Name, canon.Issuer(info.Issuer))
		}
		byName[info.Name] = p
	}
	for name, p := range byName {
		for other, q := range byName {
			if live := p.Info().Sandbox; live != "" && q.Info().Issuer == live {
				return nil, fmt.Errorf("latchkey: Config.Providers has %q, whose people are made up, beside %q", name, other)
			}
		}
	}
	return byName, nil
}

// errProviderName refuses a text that cannot be the name of a provider.
var errProviderName = invalid("provider", canon.ErrProvider)

// provider returns a provider by its name.
func (e *Engine) provider(name string) (oauth.Provider, error) {
	if p := e.providers[name]; p != nil {
		return p, nil
	}
	return nil, ErrProviderDisabled
}

// providerOf returns the provider of an identity: nil if the engine has none of its name, or one of
// another service, to which its tokens must not go.
func (e *Engine) providerOf(i *record.Identity) oauth.Provider {
	p := e.providers[i.Provider]
	if p == nil {
		return nil
	}
	if info := p.Info(); info.Issuer != i.Issuer && !info.Issuers {
		return nil
	}
	return p
}

// errProvider is the error of a provider that panicked.
var errProvider = errors.New("latchkey: the provider panicked")

// providerAnswer is an answer of the engine's own to what a provider has said. An error of the
// provider is never one, whatever it wraps.
type providerAnswer struct{ answer *Error }

func (a providerAnswer) Error() string { return a.answer.Error() }

// callProvider runs the calls of a provider for an operation. Their errors may hold secrets, so
// the caller gets ErrProviderFailed. A caller who has gone gets that.
func callProvider[T any](ctx context.Context, c *call, p oauth.Provider, do func(ctx context.Context) (T, error)) (T, error) {
	var zero T
	bounded, cancel := context.WithTimeout(ctx, providerTime)
	defer cancel()
	result, reason, err := guardProvider(bounded, c, do)
	if own, is := err.(providerAnswer); is {
		return zero, own.answer
	}
	switch {
	case err == nil:
		return result, nil
	case ctx.Err() != nil:
		return zero, ctx.Err()
	case errors.Is(bounded.Err(), context.DeadlineExceeded):
		reason = "the provider took too long"
	}
	c.logger.WarnContext(ctx, "latchkey: a provider fails", "provider", p.Info().Name, "reason", string(reason))
	if reason == oauth.ErrSubject {
		return zero, ErrProviderSubject
	}
	return zero, ErrProviderFailed
}

// guardProvider makes an error of a panic: of the provider, or of an error of it that is looked at.
func guardProvider[T any](ctx context.Context, c *call, do func(ctx context.Context) (T, error)) (result T, reason oauth.Failure, err error) {
	reason, err = "the call failed", errProvider
	defer c.recovered(ctx, "Provider")
	result, failed := do(ctx)
	_ = errors.As(failed, &reason)
	return result, reason, failed
}

// authorize returns the address at the provider to which the browser is sent.
func (c *call) authorize(ctx context.Context, p oauth.Provider, f *oauth.Flow) (string, error) {
	return callProvider(ctx, c, p, func(ctx context.Context) (string, error) { return p.Authorize(ctx, f) })
}
