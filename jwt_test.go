package latchkey_test

import (
	"errors"
	"testing"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/jwt"
)

// byJWT returns the account of a JWT that the server has made.
func (k *kit) byJWT(id, session string) (*latchkey.Account, latchkey.Secret) {
	k.Helper()
	token, err := k.Users().CreateJWT(k.ctx, id, session, 0)
	k.must(err)
	account, err := k.guest.AuthenticateJWT(k.ctx, token)
	k.must(err)
	return account, token
}

func TestJWTStandsForItsSession(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		user := k.signUp(ada)
		session, account := k.signIn(ada)
		token, err := account.CreateJWT(k.ctx, 0)
		k.must(err)
		a, err := k.guest.AuthenticateJWT(k.ctx, token)
		k.must(err)
		if a.UserID() != user.ID || a.SessionID() != session.ID {
			k.Errorf("%s, %s", a.UserID(), a.SessionID())
		}
		shown, err := a.User(k.ctx)
		k.must(err)
		k.same("the user", shown.ID, user.ID)
		k.must(ignore(a.UpdateName(k.ctx, "Countess")))
		list, err := a.Sessions(k.ctx)
		k.must(err)
		if list.Total != 1 || list.Sessions[0].Current {
			k.Errorf("%+v", list.Sessions[0])
		}
		claims := k.offline(token)
		if claims.UserID != user.ID || claims.SessionID != session.ID || !claims.Expire.Equal(claims.IssuedAt.Add(15*time.Minute)) || claims.ID == "" {
			k.Errorf("%+v", claims)
		}
		k.clock.Advance(15 * time.Minute)
		for name, err := range map[string]error{
			"a handle that is kept": ignore(a.User(k.ctx)), "a change": ignore(a.UpdateName(k.ctx, "x")), "the JWT": ignore(k.guest.AuthenticateJWT(k.ctx, token)),
		} {
			if err != latchkey.ErrJWTInvalid {
				k.Errorf("%s after its time: %v", name, err)
			}
		}
	})
}

// offline checks a JWT as another service would.
func (k *kit) offline(token latchkey.Secret) jwt.Claims {
	k.Helper()
	verifier, err := jwt.NewVerifier("latchkey", k.KeySet())
	k.must(err)
	claims, err := verifier.Verify(token.Reveal(), k.clock.Now())
	k.must(err)
	return claims
}

func TestJWTLivesASecondToAnHourAndNoLongerThanItsSession(t *testing.T) {
	onEveryStore(t, latchkey.Policy{SessionLength: 30 * time.Minute}, func(k *kit) {
		user := k.signUp(ada)
		_, account := k.signIn(ada)
		for _, length := range []time.Duration{-1, time.Millisecond, time.Hour + 1, 365 * 24 * time.Hour} {
			for _, err := range []error{ignore(account.CreateJWT(k.ctx, length)), ignore(k.Users().CreateJWT(k.ctx, user.ID, "", length))} {
				if !errors.Is(err, latchkey.ErrArgumentInvalid) {
					k.Errorf("%v: %v", length, err)
				}
			}
		}
		token, err := account.CreateJWT(k.ctx, time.Hour)
		k.must(err)
		if c := k.offline(token); c.Expire.Sub(c.IssuedAt) != 30*time.Minute {
			k.Errorf("%+v", c)
		}
		token, err = account.CreateJWT(k.ctx, time.Second)
		k.must(err)
		k.must(ignore(k.guest.AuthenticateJWT(k.ctx, token)))
		k.clock.Advance(time.Second)
		if err := ignore(k.guest.AuthenticateJWT(k.ctx, token)); err != latchkey.ErrJWTInvalid {
			k.Error(err)
		}
	})
}

// Every method by a JWT does what it does by the session, but for what asks for
// the session itself, and for another JWT.
func TestEveryMethodByAJWT(t *testing.T) {
	other := map[string]error{
		"Account.GetSession": latchkey.ErrSessionNotFound, "Account.UpdateSession": latchkey.ErrSessionNotFound, "Account.DeleteSession": latchkey.ErrSessionNotFound,
		"Account.CreateJWT": latchkey.ErrJWTCreationDenied, "Account.RequireRecent": latchkey.ErrChallengeRequired,
	}
	for _, name := range []string{
		"UpdateMFA", "CreateMFAAuthenticator", "UpdateMFAAuthenticator", "DeleteMFAAuthenticator", "CreateMFAChallenge", "UpdateMFAChallenge",
		"CreateMFARecoveryCodes", "MFARecoveryCodes", "UpdateMFARecoveryCodes",
	} {
		other["Account."+name] = latchkey.ErrSessionNotFound
	}
	onEveryOperation(t, func(k *kit, op operation) {
		if op.free || op.name == "Guest.Authenticate" {
			return
		}
		for _, bound := range []bool{true, false} {
			w := k.world(true, op)
			if !bound {
				k.must(k.Users().DeleteSessions(k.ctx, w.user.ID))
			}
			w.account, w.jwt = k.byJWT(w.user.ID, "")
			if got := w.account.SessionID() != ""; got != bound {
				k.Errorf("bound to a session: %v", got)
			}
			if err := op.do(w); !errors.Is(err, other[op.name]) || err != nil && other[op.name] == nil {
				k.Errorf("bound %v: %v", bound, err)
			}
			k.deleteAll()
		}
	})
}

// AC-084, AC-015, AC-091: a JWT ends with its session, with the password, and with
// its user, for handles that are kept too.
func TestAC084JWTEndsAtOnce(t *testing.T) {
	for name, c := range map[string]struct {
		end           func(k *kit, w *world) error
		bound, server error // of a JWT of a session, and of the server's without one
	}{
		"signing out": {func(k *kit, w *world) error { return k.Users().DeleteSessions(k.ctx, w.user.ID) }, latchkey.ErrUnauthorized, nil},
		"a block":     {func(k *kit, w *world) error { return ignore(k.Users().UpdateStatus(k.ctx, w.user.ID, false)) }, latchkey.ErrUserBlocked, latchkey.ErrUserBlocked},
		"a password":  {func(k *kit, w *world) error { return ignore(k.Users().UpdatePassword(k.ctx, w.user.ID, fresh)) }, latchkey.ErrUnauthorized, latchkey.ErrUnauthorized},
		"a recovery": {func(k *kit, w *world) error {
			return ignore(k.guest.UpdateRecovery(k.ctx, w.user.ID, w.recovery.Secret.Reveal(), fresh))
		}, latchkey.ErrUnauthorized, latchkey.ErrUnauthorized},
		"the deletion":         {func(k *kit, w *world) error { return k.Users().Delete(k.ctx, w.user.ID) }, latchkey.ErrUnauthorized, latchkey.ErrUnauthorized},
		"a change of the name": {func(k *kit, w *world) error { return ignore(k.Users().UpdateName(k.ctx, w.user.ID, "x")) }, nil, nil},
		"another of the same id": {func(k *kit, w *world) error {
			k.must(k.Users().Delete(k.ctx, w.user.ID))
			k.must(ignore(k.Users().Create(k.ctx, latchkey.NewUser{UserID: w.user.ID})))
			return ignore(k.Users().CreateSession(k.ctx, w.user.ID))
		}, latchkey.ErrUnauthorized, latchkey.ErrUnauthorized},
		"a block that has ended": {func(k *kit, w *world) error {
			k.must(ignore(k.Users().UpdateStatus(k.ctx, w.user.ID, false)))
			return ignore(k.Users().UpdateStatus(k.ctx, w.user.ID, true))
		}, nil, latchkey.ErrUnauthorized},
	} {
		t.Run(name, func(t *testing.T) {
			onEveryStore(t, documented, func(k *kit) {
				for _, bound := range []bool{true, false} {
					w := k.world(true, operation{proofs: true})
					if !bound {
						k.must(k.Users().DeleteSessions(k.ctx, w.user.ID))
					}
					account, token := k.byJWT(w.user.ID, "")
					k.must(c.end(k, w))
					want := c.server
					if bound {
						want = c.bound
					}
					for _, err := range []error{
						ignore(k.guest.AuthenticateJWT(k.ctx, token)), ignore(account.User(k.ctx)), ignore(account.UpdateName(k.ctx, "y")),
					} {
						if err != want {
							k.Errorf("bound %v: %v, want %v", bound, err, want)
						}
					}
					k.deleteAll()
				}
			})
		})
	}
}

// AC-087: a revocation that was not stored is not said to be done, and its JWT
// goes on.
func TestAC087JWTOfARevocationThatFailed(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		k.signUp(ada)
		_, account := k.signIn(ada)
		token, err := account.CreateJWT(k.ctx, 0)
		k.must(err)
		reached := k.failing(1, false)
		if err := account.DeleteSession(k.ctx, latchkey.Current); err == nil {
			k.Error("it is said to be done")
		}
		reached()
		k.must(ignore(k.guest.AuthenticateJWT(k.ctx, token)))
	})
}

func TestServerNamesTheSessionOfAJWT(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		user := k.signUp(ada)
		first, _ := k.signIn(ada)
		k.clock.Advance(time.Second)
		last, _ := k.signIn(ada)
		k.signUp(bob)
		foreign, _ := k.signIn(bob)
		for named, want := range map[string]string{"": last.ID, latchkey.Recent: last.ID, first.ID: first.ID} {
			if account, _ := k.byJWT(user.ID, named); account.SessionID() != want {
				k.Errorf("%q: %s", named, account.SessionID())
			}
		}
		for _, named := range []string{foreign.ID, "unknown"} {
			if err := ignore(k.Users().CreateJWT(k.ctx, user.ID, named, 0)); err != latchkey.ErrSessionNotFound {
				k.Errorf("%q: %v", named, err)
			}
		}
		if err := ignore(k.Users().CreateJWT(k.ctx, user.ID, "no id", 0)); !errors.Is(err, latchkey.ErrArgumentInvalid) {
			k.Error(err)
		}
		if err := ignore(k.Users().CreateJWT(k.ctx, "nobody", "", 0)); err != latchkey.ErrUserNotFound {
			k.Error(err)
		}
	})
}

// AC-085: another service, or another key, takes no JWT of this one; an old key is
// good as long as it is configured.
func TestAC085JWTsOfOthersAndRotation(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		k.signUp(ada)
		_, account := k.signIn(ada)
		token, err := account.CreateJWT(k.ctx, 0)
		k.must(err)
		before := k.KeySet()
		key := latchkey.GenerateKey()
		for name, c := range map[string]struct {
			change func(*latchkey.Config)
			want   error
		}{
			"the same":       {func(*latchkey.Config) {}, nil},
			"another issuer": {func(c *latchkey.Config) { c.Issuer = "https://app.example.org" }, latchkey.ErrJWTInvalid},
			"rotated":        {func(c *latchkey.Config) { c.Keys = latchkey.Keys{Active: key, Old: []latchkey.Key{k.keys.Active}} }, nil},
			"replaced":       {func(c *latchkey.Config) { c.Keys = latchkey.Keys{Active: key} }, latchkey.ErrJWTInvalid},
		} {
			engine := k.configured(c.change)
			if err := ignore(engine.Guest(testClient).AuthenticateJWT(k.ctx, token)); err != c.want {
				k.Errorf("%s: %v", name, err)
			}
		}
		published := k.configured(func(c *latchkey.Config) { c.Keys = latchkey.Keys{Active: k.keys.Active, Old: []latchkey.Key{key}} })
		verifier, err := jwt.NewVerifier("latchkey", published.KeySet()) // fetched before the new key signs
		k.must(err)
		rotated := k.configured(func(c *latchkey.Config) { c.Keys = latchkey.Keys{Active: key, Old: []latchkey.Key{k.keys.Active}} })
		fresh, err := rotated.Users().CreateJWT(k.ctx, account.UserID(), "", 0)
		k.must(err)
		k.must(ignore(verifier.Verify(fresh.Reveal(), k.clock.Now())))
		stale, err := jwt.NewVerifier("latchkey", before)
		k.must(err)
		if claims, err := stale.Verify(fresh.Reveal(), k.clock.Now()); err != jwt.ErrInvalid || claims != (jwt.Claims{}) {
			k.Errorf("%+v, %v", claims, err)
		}
	})
	for _, issuer := range []string{"", "x"} {
		if _, err := jwt.NewVerifier(issuer, []byte("{}")); err == nil {
			t.Errorf("issuer %q and no keys are taken", issuer)
		}
	}
}

func TestJWTCanBeSwitchedOff(t *testing.T) {
	onEveryStore(t, latchkey.Policy{Disabled: latchkey.JWT}, func(k *kit) {
		user := k.signUp(ada)
		_, account := k.signIn(ada)
		if err := ignore(account.CreateJWT(k.ctx, 0)); !errors.Is(err, latchkey.ErrAuthMethodUnsupported) {
			k.Error(err)
		}
		k.byJWT(user.ID, "") // the server's are not concerned
	})
}

// An idle session that a JWT uses is not idle.
func TestJWTIsSeen(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		user := k.signUp(ada)
		k.signIn(ada)
		k.clock.Advance(25 * time.Hour)
		k.byJWT(user.ID, "")
		for range 2 {
			shown, err := k.Users().Get(k.ctx, user.ID)
			k.must(err)
			if !shown.AccessedAt.Equal(k.clock.Now()) {
				k.Errorf("seen %v, now %v", shown.AccessedAt, k.clock.Now())
			}
			k.must(k.Users().DeleteSessions(k.ctx, user.ID))
			k.clock.Advance(25 * time.Hour)
			k.byJWT(user.ID, "")
		}
	})
}

// What other services cannot see is not signed: AC-091.
func TestServerMakesNoJWTForWhoMayDoNothing(t *testing.T) {
	onEveryStore(t, latchkey.Policy{SingleFactor: latchkey.Lifetime{Absolute: 20 * time.Minute}}, func(k *kit) {
		user := k.proven()
		_, account := k.signIn(ada)
		token, err := account.CreateJWT(k.ctx, time.Hour)
		k.must(err)
		if c := k.offline(token); c.Expire.Sub(c.IssuedAt) != 20*time.Minute {
			k.Errorf("a JWT outlives its session: %+v", c)
		}
		k.must(ignore(k.Users().UpdateMFA(k.ctx, user.ID, true)))
		if err := ignore(k.Users().CreateJWT(k.ctx, user.ID, "", 0)); err != latchkey.ErrMoreFactorsRequired {
			k.Errorf("of a session that owes a factor: %v", err)
		}
		k.must(ignore(k.Users().UpdateStatus(k.ctx, user.ID, false)))
		if err := ignore(k.Users().CreateJWT(k.ctx, user.ID, "", 0)); err != latchkey.ErrUserBlocked {
			k.Errorf("of a blocked user: %v", err)
		}
	})
}

func TestServerEndsWhatAUserWithoutAPasswordHas(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		user, err := k.Users().Create(k.ctx, latchkey.NewUser{})
		k.must(err)
		account, _ := k.byJWT(user.ID, "")
		custom, err := k.Users().CreateToken(k.ctx, user.ID, 0, 0)
		k.must(err)
		k.must(ignore(k.Users().UpdatePassword(k.ctx, user.ID, "")))
		if err := ignore(account.User(k.ctx)); err != latchkey.ErrUnauthorized {
			k.Error(err)
		}
		if err := ignore(k.guest.CreateSession(k.ctx, user.ID, custom.Secret.Reveal())); err != latchkey.ErrInvalidToken {
			k.Error(err)
		}
	})
}

// AC-086: what signs in serves once; a JWT, which may be shown again while it lives,
// signs nobody in.
func TestAC086NothingThatSignsInIsReplayed(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		user := k.signUp(ada)
		_, account := k.signIn(ada)
		custom, err := k.Users().CreateToken(k.ctx, user.ID, 64, 0)
		k.must(err)
		k.must(ignore(k.guest.CreateSession(k.ctx, user.ID, custom.Secret.Reveal())))
		if err := ignore(k.guest.CreateSession(k.ctx, user.ID, custom.Secret.Reveal())); err != latchkey.ErrInvalidToken {
			k.Errorf("a token twice: %v", err)
		}
		token, err := account.CreateJWT(k.ctx, 0)
		k.must(err)
		for range 2 {
			byJWT, err := k.guest.AuthenticateJWT(k.ctx, token)
			k.must(err)
			if err := ignore(byJWT.CreateJWT(k.ctx, 0)); err != latchkey.ErrJWTCreationDenied {
				k.Errorf("a JWT of a JWT: %v", err)
			}
		}
		if err := ignore(k.guest.CreateSession(k.ctx, user.ID, token.Reveal()[:200])); err != latchkey.ErrInvalidToken {
			k.Errorf("a JWT as a token: %v", err)
		}
		if err := ignore(k.guest.Authenticate(k.ctx, token)); err != latchkey.ErrUnauthorized {
			k.Errorf("a JWT as a session: %v", err)
		}
	})
}
