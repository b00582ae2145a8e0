package attack_test

import (
	"testing"

	"example.com/latchkey"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/store/memory"
)

// The engine keeps a copy of the caller's list: F-4.
func TestF4ThePolicyIsNotTheCallersSlice(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.Proven()
		off := []latchkey.Factor{latchkey.FactorEmail}
		engine := k.Configured(func(c *latchkey.Config) { c.Policy.Factors.Disabled = off })
		off[0] = latchkey.FactorTOTP
		session, _ := k.SignIn(kit.Ada)
		account, err := engine.Guest(kit.Client).Authenticate(k.Ctx, session.Secret.Reveal())
		k.Must(err)
		if err := kit.Err(account.CreateMFAChallenge(k.Ctx, latchkey.FactorEmail)); err != latchkey.ErrAuthMethodUnsupported {
			k.Errorf("e-mail: %v", err)
		}
		k.Must(kit.Err(account.CreateMFAAuthenticator(k.Ctx, latchkey.NewMFAAuthenticator{})))
	})
}

// An issuer that is not UTF-8 makes JWTs that no engine accepts, so New refuses it: N-1.
func TestN1AnIssuerThatIsNotTextIsRefused(t *testing.T) {
	for name, c := range map[string]latchkey.Config{"Issuer": {Issuer: "a\xff"}, "App": {App: "\xc3("}} {
		c.Keys = latchkey.Keys{Active: latchkey.GenerateKey()}
		if engine, err := latchkey.New(memory.Open(), c); err == nil {
			t.Errorf("%s was taken", name)
			_ = engine.Close()
		}
	}
}
