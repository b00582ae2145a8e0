package attack_test

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"

	"example.com/latchkey"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/internal/operations"
	"example.com/latchkey/internal/seal"
	"example.com/latchkey/jwt"
)

// AC-084, AC-015, AC-091: a JWT ends with its session, with the password, and with
// its user, also for handles that the caller has kept.
func TestAC084JWTEndsAtOnce(t *testing.T) {
	for name, c := range map[string]struct {
		end           func(k *kit.Kit, w *operations.World) error
		bound, server error // for the JWT of a session, and for the server's JWT without one
	}{
		"signing out": {func(k *kit.Kit, w *operations.World) error { return k.Users().DeleteSessions(k.Ctx, w.User.ID) }, latchkey.ErrUnauthorized, nil},
		"a block": {func(k *kit.Kit, w *operations.World) error {
			return kit.Err(k.Users().UpdateStatus(k.Ctx, w.User.ID, false))
		}, latchkey.ErrUserBlocked, latchkey.ErrUserBlocked},
		"a password": {func(k *kit.Kit, w *operations.World) error {
			return kit.Err(k.Users().UpdatePassword(k.Ctx, w.User.ID, kit.FreshPassword))
		}, latchkey.ErrUnauthorized, latchkey.ErrUnauthorized},
		"a recovery": {func(k *kit.Kit, w *operations.World) error {
			return kit.Err(k.Visitor.ConfirmRecovery(k.Ctx, w.User.ID, w.Recovery.Secret.Reveal(), kit.FreshPassword))
		}, latchkey.ErrUnauthorized, latchkey.ErrUnauthorized},
		"the deletion": {func(k *kit.Kit, w *operations.World) error { return k.Users().Delete(k.Ctx, w.User.ID) }, latchkey.ErrUnauthorized, latchkey.ErrUnauthorized},
		"a change of the name": {func(k *kit.Kit, w *operations.World) error {
			return kit.Err(k.Users().UpdateName(k.Ctx, w.User.ID, "x"))
		}, nil, nil},
		"another of the same id": {func(k *kit.Kit, w *operations.World) error {
			k.Must(k.Users().Delete(k.Ctx, w.User.ID))
			k.Must(kit.Err(k.Users().Create(k.Ctx, latchkey.NewUser{UserID: w.User.ID})))
			return kit.Err(k.Users().CreateSession(k.Ctx, w.User.ID))
		}, latchkey.ErrUnauthorized, latchkey.ErrUnauthorized},
		"a block that has ended": {func(k *kit.Kit, w *operations.World) error {
			k.Must(kit.Err(k.Users().UpdateStatus(k.Ctx, w.User.ID, false)))
			return kit.Err(k.Users().UpdateStatus(k.Ctx, w.User.ID, true))
		}, nil, latchkey.ErrUnauthorized},
	} {
		t.Run(name, func(t *testing.T) {
			kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
				for _, bound := range []bool{true, false} {
					w := operations.NewWorld(k, true, operations.Operation{Proofs: true})
					if !bound {
						k.Must(k.Users().DeleteSessions(k.Ctx, w.User.ID))
					}
					account, token := k.ByJWT(w.User.ID, "")
					k.Must(c.end(k, w))
					want := c.server
					if bound {
						want = c.bound
					}
					for _, err := range []error{
						kit.Err(k.Visitor.AuthenticateJWT(k.Ctx, token.Reveal())), kit.Err(account.User(k.Ctx)), kit.Err(account.UpdateName(k.Ctx, "y")),
					} {
						if err != want {
							k.Errorf("bound %v: %v, want %v", bound, err, want)
						}
					}
					k.DeleteAll()
				}
			})
		})
	}
}

// AC-085: another service does not accept a JWT of this one, nor does an engine with
// another key. An old key stays valid while it is configured.
func TestAC085JWTsOfOthersAndRotation(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		_, account := k.SignIn(kit.Ada)
		token, err := account.CreateJWT(k.Ctx, 0)
		k.Must(err)
		before := k.KeySet()
		key := latchkey.GenerateKey()
		for name, c := range map[string]struct {
			change func(*latchkey.Config)
			want   error
		}{
			"the same":       {func(*latchkey.Config) {}, nil},
			"another issuer": {func(c *latchkey.Config) { c.Issuer = "https://app.example.org" }, latchkey.ErrJWTInvalid},
			"rotated":        {func(c *latchkey.Config) { c.Keys = latchkey.Keys{Active: key, Old: []latchkey.Key{k.Keys.Active}} }, nil},
			"replaced":       {func(c *latchkey.Config) { c.Keys = latchkey.Keys{Active: key} }, latchkey.ErrJWTInvalid},
		} {
			engine := k.Configured(c.change)
			if err := kit.Err(engine.Guest(kit.Client).AuthenticateJWT(k.Ctx, token.Reveal())); err != c.want {
				k.Errorf("%s: %v", name, err)
			}
		}
		published := k.Configured(func(c *latchkey.Config) { c.Keys = latchkey.Keys{Active: k.Keys.Active, Old: []latchkey.Key{key}} })
		verifier, err := jwt.NewVerifier("latchkey", published.KeySet()) // fetched before the new key signs
		k.Must(err)
		rotated := k.Configured(func(c *latchkey.Config) { c.Keys = latchkey.Keys{Active: key, Old: []latchkey.Key{k.Keys.Active}} })
		fresh, err := rotated.Users().CreateJWT(k.Ctx, account.UserID(), "", 0)
		k.Must(err)
		k.Must(kit.Err(verifier.Verify(fresh.Reveal(), k.Clock.Now())))
		stale, err := jwt.NewVerifier("latchkey", before)
		k.Must(err)
		if claims, err := stale.Verify(fresh.Reveal(), k.Clock.Now()); err != jwt.ErrInvalid || claims != (jwt.Claims{}) {
			k.Errorf("%+v, %v", claims, err)
		}
	})
	for _, issuer := range []string{"", "x"} {
		if _, err := jwt.NewVerifier(issuer, []byte("{}")); err == nil {
			t.Errorf("issuer %q and no keys are taken", issuer)
		}
	}
}

// AC-086: each secret that signs in serves once. A JWT may be shown again while it
// lives, but does not sign a user in.
func TestAC086NothingThatSignsInIsReplayed(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user := k.SignUp(kit.Ada)
		_, account := k.SignIn(kit.Ada)
		custom, err := k.Users().CreateToken(k.Ctx, user.ID, 64, 0)
		k.Must(err)
		k.Must(kit.Err(k.Visitor.CreateSession(k.Ctx, user.ID, custom.Secret.Reveal())))
		if err := kit.Err(k.Visitor.CreateSession(k.Ctx, user.ID, custom.Secret.Reveal())); !errors.Is(err, latchkey.ErrInvalidToken) {
			k.Errorf("a token twice: %v", err)
		}
		token, err := account.CreateJWT(k.Ctx, 0)
		k.Must(err)
		for range 2 {
			byJWT, err := k.Visitor.AuthenticateJWT(k.Ctx, token.Reveal())
			k.Must(err)
			if err := kit.Err(byJWT.CreateJWT(k.Ctx, 0)); err != latchkey.ErrJWTCreationDenied {
				k.Errorf("a JWT of a JWT: %v", err)
			}
		}
		if err := kit.Err(k.Visitor.CreateSession(k.Ctx, user.ID, token.Reveal()[:200])); !errors.Is(err, latchkey.ErrInvalidToken) {
			k.Errorf("a JWT as a token: %v", err)
		}
		if err := kit.Err(k.Visitor.Authenticate(k.Ctx, token.Reveal())); err != latchkey.ErrUnauthorized {
			k.Errorf("a JWT as a session: %v", err)
		}
	})
}

// AC-087: an operation whose revocation was not stored returns an error, and the JWT
// stays valid.
func TestAC087JWTOfARevocationThatFailed(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		_, account := k.SignIn(kit.Ada)
		token, err := account.CreateJWT(k.Ctx, 0)
		k.Must(err)
		reached := k.Failing(1, false)
		if err := account.DeleteSession(k.Ctx, latchkey.CurrentSession); err == nil {
			k.Error("it is said to be done")
		}
		reached()
		k.Must(kit.Err(k.Visitor.AuthenticateJWT(k.Ctx, token.Reveal())))
	})
}

// N-2: even with the engine's own key, nobody can sign a JWT that two readers read as two
// users: neither the engine nor another service accepts it.
func TestN2JWTOfTwoUsers(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		ada, bob := k.SignUp(kit.Ada), k.SignUp(kit.Bob)
		_, account := k.SignIn(kit.Ada)
		good, err := account.CreateJWT(k.Ctx, 0)
		k.Must(err)
		parts := strings.Split(good.Reveal(), ".")
		payload, err := base64.RawURLEncoding.DecodeString(parts[1])
		k.Must(err)
		root, err := hex.DecodeString(strings.TrimPrefix(k.Keys.Active.Reveal(), "latchkey1-"))
		k.Must(err)
		key := ed25519.NewKeyFromSeed(seal.NewRing(root).Seeds(seal.JWT)[0])
		verifier, err := jwt.NewVerifier("latchkey", k.KeySet())
		k.Must(err)
		for name, members := range map[string]string{
			"as it was": "", "an unknown member": `"more":1,`, "a second sub": fmt.Sprintf(`"sub":%q,`, bob.ID), "a second sub by an escape": fmt.Sprintf(`"s\u0075b":%q,`, bob.ID),
			"a SUB": fmt.Sprintf(`"SUB":%q,`, bob.ID), "a second sid": `"sid":"x",`, "an Exp": `"Exp":99999999999,`, "a byte": "\"x\":\"\xff\",", "half of a surrogate pair": `"x":"\udfff",`,
		} {
			text := parts[0] + "." + base64.RawURLEncoding.EncodeToString([]byte("{"+members+string(payload[1:])))
			token := text + "." + base64.RawURLEncoding.EncodeToString(ed25519.Sign(key, []byte(text)))
			want, wantOffline := latchkey.ErrJWTInvalid, jwt.ErrInvalid
			if members == "" || name == "an unknown member" {
				want, wantOffline = nil, nil
			}
			a, err := k.Visitor.AuthenticateJWT(k.Ctx, token)
			if want == nil && err != nil || want != nil && err != want || err == nil && a.UserID() != ada.ID {
				k.Errorf("%s: %v", name, err)
			}
			claims, err := verifier.Verify(token, k.Clock.Now())
			if err != wantOffline || err == nil && claims.UserID != ada.ID {
				k.Errorf("%s, offline: %v", name, err)
			}
		}
	})
}
