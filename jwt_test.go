package latchkey_test

import (
	"errors"
	"testing"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/jwt"
)

// offline checks a JWT as another service would do.
func offline(k *kit.Kit, token latchkey.Secret) jwt.Claims {
	k.Helper()
	verifier, err := jwt.NewVerifier("latchkey", k.KeySet())
	k.Must(err)
	claims, err := verifier.Verify(token.Reveal(), k.Clock.Now())
	k.Must(err)
	return claims
}

func TestJWTStandsForItsSession(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user := k.SignUp(kit.Ada)
		session, account := k.SignIn(kit.Ada)
		token, err := account.CreateJWT(k.Ctx, 0)
		k.Must(err)
		a, err := k.Visitor.AuthenticateJWT(k.Ctx, token.Reveal())
		k.Must(err)
		if a.UserID() != user.ID || a.SessionID() != session.ID {
			k.Errorf("%s, %s", a.UserID(), a.SessionID())
		}
		shown, err := a.User(k.Ctx)
		k.Must(err)
		k.Same("the user", shown.ID, user.ID)
		k.Must(kit.Err(a.UpdateName(k.Ctx, "Countess")))
		list, err := a.Sessions(k.Ctx)
		k.Must(err)
		if list.Total != 1 || list.Sessions[0].Current {
			k.Errorf("%+v", list.Sessions[0])
		}
		claims := offline(k, token)
		if claims.UserID != user.ID || claims.SessionID != session.ID || !claims.Expire.Equal(claims.IssuedAt.Add(15*time.Minute)) || claims.ID == "" {
			k.Errorf("%+v", claims)
		}
		k.Clock.Advance(15 * time.Minute)
		for name, err := range map[string]error{
			"a handle that is kept": kit.Err(a.User(k.Ctx)), "a change": kit.Err(a.UpdateName(k.Ctx, "x")), "the JWT": kit.Err(k.Visitor.AuthenticateJWT(k.Ctx, token.Reveal())),
		} {
			if err != latchkey.ErrJWTInvalid {
				k.Errorf("%s after its time: %v", name, err)
			}
		}
	})
}

func TestJWTLivesASecondToAnHourAndNoLongerThanItsSession(t *testing.T) {
	kit.OnEveryStore(t, latchkey.Policy{Sessions: latchkey.SessionPolicy{Length: 30 * time.Minute}}, func(k *kit.Kit) {
		user := k.SignUp(kit.Ada)
		_, account := k.SignIn(kit.Ada)
		for _, length := range []time.Duration{-1, time.Millisecond, time.Hour + 1, 365 * 24 * time.Hour} {
			for _, err := range []error{kit.Err(account.CreateJWT(k.Ctx, length)), kit.Err(k.Users().CreateJWT(k.Ctx, user.ID, "", length))} {
				if !errors.Is(err, latchkey.ErrArgumentInvalid) {
					k.Errorf("%v: %v", length, err)
				}
			}
		}
		token, err := account.CreateJWT(k.Ctx, time.Hour)
		k.Must(err)
		if c := offline(k, token); c.Expire.Sub(c.IssuedAt) != 30*time.Minute {
			k.Errorf("%+v", c)
		}
		token, err = account.CreateJWT(k.Ctx, time.Second)
		k.Must(err)
		k.Must(kit.Err(k.Visitor.AuthenticateJWT(k.Ctx, token.Reveal())))
		k.Clock.Advance(time.Second)
		if err := kit.Err(k.Visitor.AuthenticateJWT(k.Ctx, token.Reveal())); err != latchkey.ErrJWTInvalid {
			k.Error(err)
		}
	})
}

func TestJWTCanBeSwitchedOff(t *testing.T) {
	kit.OnEveryStore(t, latchkey.Policy{Disabled: latchkey.MethodJWT}, func(k *kit.Kit) {
		user := k.SignUp(kit.Ada)
		_, account := k.SignIn(kit.Ada)
		if err := kit.Err(account.CreateJWT(k.Ctx, 0)); !errors.Is(err, latchkey.ErrAuthMethodUnsupported) {
			k.Error(err)
		}
		k.ByJWT(user.ID, "") // JWTs of the server stay allowed
	})
}

// A session that is used by JWT does not become idle.
func TestJWTIsSeen(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user := k.SignUp(kit.Ada)
		k.SignIn(kit.Ada)
		k.Clock.Advance(25 * time.Hour)
		k.ByJWT(user.ID, "")
		for range 2 {
			shown, err := k.Users().Get(k.Ctx, user.ID)
			k.Must(err)
			if !shown.AccessedAt.Equal(k.Clock.Now()) {
				k.Errorf("seen %v, now %v", shown.AccessedAt, k.Clock.Now())
			}
			k.Must(k.Users().DeleteSessions(k.Ctx, user.ID))
			k.Clock.Advance(25 * time.Hour)
			k.ByJWT(user.ID, "")
		}
	})
}
