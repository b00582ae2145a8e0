package latchkey_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/oauth"
)

var keepsTokens = latchkey.Policy{KeepProviderTokens: true}

// adaByAcme signs Ada in by a provider whose tokens are kept.
func adaByAcme(k *kit.Kit) (*latchkey.Account, *latchkey.Session, string) {
	k.Helper()
	s := k.SignInBy(k.Visitor, k.Acme, acmeAda)
	account, err := k.Visitor.Authenticate(k.Ctx, s.Secret.Reveal())
	k.Must(err)
	list, err := account.Identities(k.Ctx)
	k.Must(err)
	return account, s, list.Identities[0].ID
}

func TestExtendingASessionRefreshesTheTokensOfItsProvider(t *testing.T) {
	kit.OnEveryStore(t, keepsTokens, func(k *kit.Kit) {
		account, s, id := adaByAcme(k)
		k.Clock.Advance(time.Minute)
		extended, err := account.ExtendSession(k.Ctx, latchkey.CurrentSession)
		k.Must(err)
		tokens, err := account.ProviderTokens(k.Ctx, id)
		k.Must(err)
		if !extended.Expire.After(s.Expire) || tokens.Access.Reveal() != "new access" || tokens.Refresh.Reveal() != "refresh of acme-code-1+" || k.Acme.Renewed != 1 {
			k.Errorf("%v, %q, %q, %d", extended.Expire, tokens.Access.Reveal(), tokens.Refresh.Reveal(), k.Acme.Renewed)
		}
		// A provider that fails ends nothing here, and one that refuses the token gets it no more.
		for _, failure := range []error{errors.New("no line"), oauth.ErrRefused, nil} {
			k.Acme.RefreshErr = failure
			k.Clock.Advance(time.Minute)
			k.Must(kit.Err(account.ExtendSession(k.Ctx, latchkey.CurrentSession)))
		}
		if tokens, err = account.ProviderTokens(k.Ctx, id); err != nil || !tokens.Refresh.IsZero() || tokens.Access.Reveal() != "new access" || k.Acme.Renewed != 3 {
			k.Errorf("%q, %d, %v", tokens.Refresh.Reveal(), k.Acme.Renewed, err)
		}
		// Other sessions of the user refresh nothing.
		k.Must(kit.Err(k.Users().UpdatePassword(k.Ctx, s.UserID, kit.Password)))
		_, byPassword := k.SignIn(kit.Ada)
		k.Must(kit.Err(byPassword.ExtendSession(k.Ctx, latchkey.CurrentSession)))
		if k.Acme.Renewed != 3 {
			k.Errorf("%d refreshes", k.Acme.Renewed)
		}
	})
}

// Calls at once share one refresh: some providers end everything when a refresh token comes twice.
func TestCallsAtOnceShareOneRefresh(t *testing.T) {
	kit.OnEveryStore(t, keepsTokens, func(k *kit.Kit) {
		account, _, id := adaByAcme(k)
		ctx, hangUp := context.WithCancel(k.Ctx)
		k.Acme.Before = func(_ context.Context, call string) {
			if call == "refresh" {
				k.Must(kit.Err(account.ExtendSession(k.Ctx, latchkey.CurrentSession))) // meanwhile
				hangUp()
			}
		}
		k.Must(kit.Err(account.ExtendSession(ctx, latchkey.CurrentSession)))
		k.Acme.Before = nil
		if tokens, err := account.ProviderTokens(k.Ctx, id); err != nil || tokens.Access.Reveal() != "new access" || k.Acme.Renewed != 1 {
			k.Errorf("%d refreshes, %v", k.Acme.Renewed, err)
		}
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() { k.Must(kit.Err(account.ExtendSession(k.Ctx, latchkey.CurrentSession))) })
		}
		all.Wait()
		tokens, err := account.ProviderTokens(k.Ctx, id)
		k.Must(err)
		if want := "refresh of acme-code-1"; len(tokens.Refresh.Reveal()) != len(want)+k.Acme.Renewed { // each refresh redeemed the token of the one before
			k.Errorf("%q after %d refreshes", tokens.Refresh.Reveal(), k.Acme.Renewed)
		}
	})
}

// A refresh that never came back, because the process died, is tried again after its time.
func TestARefreshThatWasLostIsMadeAgain(t *testing.T) {
	kit.OnEveryStore(t, keepsTokens, func(k *kit.Kit) {
		account, _, _ := adaByAcme(k)
		k.Acme.RefreshErr = errors.New("no line")
		k.Must(kit.Err(account.ExtendSession(k.Ctx, latchkey.CurrentSession)))
		k.Must(kit.Err(account.ExtendSession(k.Ctx, latchkey.CurrentSession)))
		if k.Acme.Renewed != 1 {
			k.Errorf("%d refreshes at once", k.Acme.Renewed)
		}
		k.Clock.Advance(40 * time.Second)
		k.Must(kit.Err(account.ExtendSession(k.Ctx, latchkey.CurrentSession)))
		if k.Acme.Renewed != 2 {
			k.Errorf("%d refreshes", k.Acme.Renewed)
		}
	})
}

func TestTokensOfProvidersAreDroppedUnlessThePolicyKeepsThem(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		account, _, id := adaByAcme(k)
		tokens, err := account.ProviderTokens(k.Ctx, id)
		k.Must(err)
		if !tokens.Access.IsZero() || !tokens.Refresh.IsZero() {
			k.Error("tokens are kept")
		}
		k.Must(kit.Err(account.ExtendSession(k.Ctx, latchkey.CurrentSession)))
		if k.Acme.Renewed != 0 {
			k.Errorf("%d refreshes", k.Acme.Renewed)
		}
		server, err := k.Users().ProviderTokens(k.Ctx, id)
		if err != nil || !server.Access.IsZero() {
			k.Errorf("%v", err)
		}
	})
}

// A sealed token that was changed in the store opens nothing, and the host is told.
func TestTokensOfProvidersAreSealedAndResealed(t *testing.T) {
	kit.OnEveryStore(t, keepsTokens, func(k *kit.Kit) {
		_, s, id := adaByAcme(k)
		old := k.Keys.Active
		fresh := latchkey.GenerateKey()
		k.Engine = k.WithKeys(latchkey.Keys{Active: fresh, Old: []latchkey.Key{old}})
		k.Must(kit.Err(k.Reseal(k.Ctx)))
		k.Engine = k.WithKeys(latchkey.Keys{Active: fresh})
		tokens, err := k.Users().ProviderTokens(k.Ctx, id)
		k.Must(err)
		if tokens.Access.Reveal() != "access of acme-code-1" || s.UserID == "" {
			k.Errorf("%q", tokens.Access.Reveal())
		}
		k.Engine = k.WithKeys(latchkey.Keys{Active: latchkey.GenerateKey()})
		if err := kit.Err(k.Users().ProviderTokens(k.Ctx, id)); err == nil || errors.As(err, new(*latchkey.Error)) {
			k.Errorf("without the key: %v", err)
		}
	})
}
