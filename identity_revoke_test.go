package latchkey_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"

	"example.com/latchkey"
	"example.com/latchkey/hidden"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/oauth"
	"example.com/latchkey/ratelimit"
	"example.com/latchkey/store"
)

// The tokens of an identity that is unlinked, or whose user is deleted, are revoked after the commit,
// and no caller waits for it.
func TestTokensOfADeletedIdentityAreRevoked(t *testing.T) {
	kit.OnEveryStore(t, keepsTokens, func(k *kit.Kit) {
		k.Acme.Revoked = make(chan oauth.Grant)
		want := func(grant oauth.Grant, code string) {
			k.Helper()
			k.Same("the grant", []string{grant.Issuer, grant.Access.Reveal(), grant.Refresh.Reveal()}, []string{k.Acme.About.Issuer, "access of " + code, "refresh of " + code})
		}
		account, _, id := adaByAcme(k)
		k.Must(account.DeleteIdentity(k.Ctx, id)) // and returns, although the provider does not
		want(<-k.Acme.Revoked, "acme-code-1")

		k.SignInBy(k.Visitor, k.Acme, acmeAda)
		list, err := k.Users().Identities(k.Ctx)
		k.Must(err)
		k.Must(k.Users().DeleteIdentity(k.Ctx, list.Identities[0].ID))
		want(<-k.Acme.Revoked, "acme-code-2")

		s := k.SignInBy(k.Visitor, k.Acme, acmeAda)
		k.Must(k.Users().Delete(k.Ctx, s.UserID))
		want(<-k.Acme.Revoked, "acme-code-3")

		s = k.SignInBy(k.Visitor, k.Acme, acmeAda)
		account, err = k.Visitor.Authenticate(k.Ctx, s.Secret.Reveal())
		k.Must(err)
		k.Must(account.Delete(k.Ctx))
		want(<-k.Acme.Revoked, "acme-code-4")
	})
}

// Only kept tokens of deleted identities are revoked. A provider that fails, or has no way to take tokens
// back, changes no result.
func TestARevocationThatFailsChangesNothing(t *testing.T) {
	for _, v := range []struct {
		policy  latchkey.Policy
		failure error
		asked   int64
	}{{keepsTokens, errors.New("no line"), 1}, {keepsTokens, errors.ErrUnsupported, 1}, {kit.Documented, nil, 0}} {
		kit.OnEveryStore(t, v.policy, func(k *kit.Kit) {
			var asked atomic.Int64
			k.Acme.RevokeErr, k.Acme.Before = v.failure, func(_ context.Context, call string) {
				if call == "revoke" {
					asked.Add(1)
				}
			}
			_, s, _ := adaByAcme(k)
			k.SignInBy(k.Visitor, k.Acme, acmeAda)
			k.Must(k.Users().Delete(k.Ctx, s.UserID))
			k.Must(k.Close()) // which waits for revocations
			if asked.Load() != v.asked {
				k.Errorf("%v: the provider was asked %d times, want %d", v.failure, asked.Load(), v.asked)
			}
		})
	}
}

// A provider that has no way to take tokens back has not failed: the log says nothing.
func TestAProviderWithoutRevocationHasNotFailed(t *testing.T) {
	for failure, want := range map[error]bool{errors.ErrUnsupported: false, errors.New("no line"): true} {
		kit.OneByOne(t, keepsTokens, func(k *kit.Kit) {
			var log bytes.Buffer // the stores run at once
			k.Acme.RevokeErr = failure
			engine := k.Configured(func(c *latchkey.Config) { c.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
			session := k.SignInBy(engine.Guest(kit.Client), k.Acme, acmeAda)
			k.Must(engine.Users().Delete(k.Ctx, session.UserID))
			k.Must(engine.Close()) // which waits for the revocation
			if strings.Contains(log.String(), "a provider fails") != want {
				k.Errorf("%v: %s", failure, log.String())
			}
		})
	}
}

// sparing is a provider that gives other tokens.
type sparing struct {
	*kit.Provider
	change func(*oauth.Tokens)
}

func (s sparing) Exchange(ctx context.Context, f *oauth.Flow) (*oauth.Tokens, error) {
	t, err := s.Provider.Exchange(ctx, f)
	if err == nil {
		s.change(t)
	}
	return t, err
}

// An identity of which the provider gave one token alone is revoked by that one, and a revocation that
// cannot be done does not keep the identity from ending.
func TestOneTokenAloneIsRevoked(t *testing.T) {
	kit.OnEveryStore(t, keepsTokens, func(k *kit.Kit) {
		for what, change := range map[string]func(*oauth.Tokens){
			"access":  func(t *oauth.Tokens) { t.Refresh = hidden.Text{} },
			"refresh": func(t *oauth.Tokens) { t.Access = hidden.Text{} },
		} {
			k.Acme.Revoked = make(chan oauth.Grant, 4)
			engine := k.Configured(func(c *latchkey.Config) { c.Providers = []oauth.Provider{sparing{k.Acme, change}} })
			s := k.SignInBy(engine.Guest(kit.Client), k.Acme, acmeAda)
			k.Must(engine.Users().Delete(k.Ctx, s.UserID))
			k.Must(engine.Close())
			if len(k.Acme.Revoked) != 1 {
				k.Errorf("the %s token alone: %d revocations", what, len(k.Acme.Revoked))
			}
		}
	})
}

// A revocation for which there is no place is logged, and its user is deleted all the same.
func TestARevocationWithoutAPlaceIsLogged(t *testing.T) {
	k := kit.New(t, kit.Open(t, "memory"), keepsTokens)
	var log bytes.Buffer
	engine := k.Configured(func(c *latchkey.Config) {
		c.Logger, c.Limiter = slog.New(slog.NewTextHandler(&log, nil)), ratelimit.ReportOnly(ratelimit.NewMemory(0))
	})
	end := make(chan struct{})
	k.Acme.Before = func(_ context.Context, call string) {
		if call == "revoke" {
			<-end
		}
	}
	for i := range 257 {
		s := k.SignInBy(engine.Guest(kit.Client), k.Acme, oauth.Profile{Issuer: k.Acme.About.Issuer, Subject: fmt.Sprint(i), Email: fmt.Sprintf("u%d@example.org", i), EmailVerified: true})
		k.Must(engine.Users().Delete(k.Ctx, s.UserID))
		if full := strings.Contains(log.String(), "tokens are not revoked"); full != (i == 256) {
			t.Fatalf("after %d: logged is %v", i+1, full)
		}
	}
	close(end)
	k.Must(engine.Close())
}

// An identity whose provider takes no tokens back, or is configured no more, or whose tokens cannot be
// opened, ends like any other, and the provider is not asked.
func TestAnIdentityEndsWithoutARevocation(t *testing.T) {
	for what, v := range map[string]struct {
		providers func(k *kit.Kit) []oauth.Provider
		spoil     bool
	}{
		"no way":     {func(k *kit.Kit) []oauth.Provider { return []oauth.Provider{onlyBrowser{k.Acme}} }, false},
		"no more":    {func(*kit.Kit) []oauth.Provider { return nil }, false},
		"not opened": {func(k *kit.Kit) []oauth.Provider { return []oauth.Provider{k.Acme} }, true},
	} {
		k := kit.New(t, kit.Open(t, "memory"), keepsTokens)
		_, s, _ := adaByAcme(k)
		if v.spoil {
			k.Must(k.Raw.Update(k.Ctx, func(ctx context.Context, tx store.Tx) error {
				rows, err := record.Identities.List(ctx, tx, store.Query{Index: record.Identities.Primary(), Limit: 10})
				if err != nil {
					return err
				}
				rows[0].Access = bytes.Clone(rows[0].Access)
				rows[0].Access[len(rows[0].Access)-1] ^= 1
				return record.Identities.Replace(ctx, tx, rows[0])
			}))
		}
		var log bytes.Buffer
		asked := false
		k.Acme.Before = func(_ context.Context, call string) { asked = true }
		engine := k.Configured(func(c *latchkey.Config) {
			c.Providers, c.Logger = v.providers(k), slog.New(slog.NewTextHandler(&log, nil))
		})
		k.Must(engine.Users().Delete(k.Ctx, s.UserID))
		k.Must(engine.Close())
		if asked || k.Rows()["identities"] != 0 || strings.Contains(log.String(), "a provider fails") || strings.Contains(log.String(), "panic") {
			t.Errorf("%s: asked is %v, %v, %s", what, asked, k.Rows(), log.String())
		}
	}
}
