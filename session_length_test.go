package latchkey_test

import (
	"errors"
	"testing"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/oauth"
)

// lasting returns a client whose sessions live for an hour.
func lasting(length time.Duration) latchkey.Client {
	c := kit.Client
	c.SessionLength = length
	return c
}

func TestASignInMayAskForAShortSession(t *testing.T) {
	person := oauth.Profile{Subject: "new", Email: "new@example.org", EmailVerified: true}
	for what, enter := range map[string]func(k *kit.Kit, g *latchkey.Guest) (*latchkey.Session, error){
		"by password": func(k *kit.Kit, g *latchkey.Guest) (*latchkey.Session, error) {
			k.SignUp(kit.Ada)
			return g.CreateEmailPasswordSession(k.Ctx, kit.Ada, kit.Password)
		},
		"by code": func(k *kit.Kit, g *latchkey.Guest) (*latchkey.Session, error) {
			token, code := k.AskCode(kit.Ada)
			return g.CreateSession(k.Ctx, token.UserID, code)
		},
		"without proof": func(k *kit.Kit, g *latchkey.Guest) (*latchkey.Session, error) { return g.CreateAnonymousSession(k.Ctx) },
		"by a provider, asked for at the start": func(k *kit.Kit, g *latchkey.Guest) (*latchkey.Session, error) {
			result, err := k.Visitor.FinishOAuth2(k.Ctx, k.Begin(g, latchkey.OAuth2Request{Provider: "acme"}).Callback(k.Acme.Code(person)))
			if err != nil {
				return nil, err
			}
			return result.Session, nil
		},
		"by a provider, asked for at the end": func(k *kit.Kit, g *latchkey.Guest) (*latchkey.Session, error) {
			result, err := g.FinishOAuth2(k.Ctx, k.Begin(k.Visitor, latchkey.OAuth2Request{Provider: "acme"}).Callback(k.Acme.Code(person)))
			if err != nil {
				return nil, err
			}
			return result.Session, nil
		},
		"by an ID token": func(k *kit.Kit, g *latchkey.Guest) (*latchkey.Session, error) {
			return g.CreateIDTokenSession(k.Ctx, latchkey.IDTokenSignIn{Provider: "acme", Token: k.Acme.IDToken(person)})
		},
		"by an invitation": func(k *kit.Kit, g *latchkey.Guest) (*latchkey.Session, error) {
			k.SignUp(kit.Bob)
			_, bob := k.SignIn(kit.Bob)
			team, err := bob.Teams().Create(k.Ctx, latchkey.NewTeam{Name: "Bakers"})
			k.Must(err)
			k.Must(kit.Err(bob.Teams().CreateMembership(k.Ctx, team.ID, latchkey.NewMembership{Email: kit.Ada, URL: kit.JoinURL})))
			accepted, err := g.AcceptInvitation(k.Ctx, k.InvitationTo(kit.Ada))
			if err != nil {
				return nil, err
			}
			return accepted.Session, nil
		},
		"by the server": func(k *kit.Kit, _ *latchkey.Guest) (*latchkey.Session, error) {
			return k.Users().At(lasting(time.Hour)).CreateSession(k.Ctx, k.SignUp(kit.Ada).ID)
		},
	} {
		t.Run(what, func(t *testing.T) {
			kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
				session, err := enter(k, k.Guest(lasting(time.Hour)))
				k.Must(err)
				if !session.Expire.Equal(k.Clock.Now().Add(time.Hour)) {
					k.Errorf("until %v", session.Expire)
				}
				k.Clock.Advance(50 * time.Minute)
				account, err := k.Visitor.Authenticate(k.Ctx, session.Secret.Reveal())
				k.Must(err)
				extended, err := account.ExtendSession(k.Ctx, latchkey.CurrentSession)
				k.Must(err)
				if !extended.Expire.Equal(k.Clock.Now().Add(time.Hour)) {
					k.Errorf("extended until %v", extended.Expire)
				}
				k.Clock.Advance(time.Hour)
				k.Refuses("the session after its end", latchkey.ErrUnauthorized, func() error { return kit.Err(account.User(k.Ctx)) })
			})
		})
	}
}

func TestTheLengthOfASessionIsWithinThePolicy(t *testing.T) {
	policy := latchkey.Policy{Sessions: latchkey.SessionPolicy{Length: time.Hour}}
	kit.OnEveryStore(t, policy, func(k *kit.Kit) {
		user := k.SignUp(kit.Ada)
		for _, length := range []time.Duration{-time.Hour, time.Minute - 1, time.Hour + 1, 1 << 62} {
			for what, enter := range map[string]func() error{
				"a guest": func() error {
					return kit.Err(k.Guest(lasting(length)).CreateEmailPasswordSession(k.Ctx, kit.Ada, kit.Password))
				},
				"the server": func() error { return kit.Err(k.Users().At(lasting(length)).CreateSession(k.Ctx, user.ID)) },
			} {
				k.Refuses(what, latchkey.ErrArgumentInvalid, enter)
				if refused, is := errors.AsType[*latchkey.Error](enter()); !is || refused.Argument != "sessionLength" || refused.Reason != "out_of_range" {
					k.Errorf("%+v", refused)
				}
			}
		}
		session, err := k.Guest(lasting(0)).CreateEmailPasswordSession(k.Ctx, kit.Ada, kit.Password)
		k.Must(err)
		if !session.Expire.Equal(k.Clock.Now().Add(time.Hour)) {
			k.Errorf("without a length until %v", session.Expire)
		}
		// A policy that has become shorter bounds what was asked for before.
		long, err := k.Guest(lasting(30*time.Minute)).CreateEmailPasswordSession(k.Ctx, kit.Ada, kit.Password)
		k.Must(err)
		k.Policy.Sessions.Length = 10 * time.Minute
		account, err := k.Configured(func(*latchkey.Config) {}).Guest(kit.Client).Authenticate(k.Ctx, long.Secret.Reveal())
		k.Must(err)
		k.Clock.Advance(25 * time.Minute)
		extended, err := account.ExtendSession(k.Ctx, latchkey.CurrentSession)
		k.Must(err)
		if !extended.Expire.Equal(k.Clock.Now().Add(10 * time.Minute)) {
			k.Errorf("extended until %v", extended.Expire)
		}
	})
}

// The list of sessions says when each was last used, by the write that a check makes once a day.
func TestASessionShowsWhenItWasLastUsed(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		idle, _ := k.SignIn(kit.Ada)
		used, _ := k.SignIn(kit.Ada)
		began := k.Clock.Now()
		k.Clock.Advance(3 * 24 * time.Hour)
		account, err := k.Visitor.Authenticate(k.Ctx, used.Secret.Reveal())
		k.Must(err)
		list, err := account.Sessions(k.Ctx)
		k.Must(err)
		for _, s := range list.Sessions {
			if want := map[string]time.Time{idle.ID: began, used.ID: k.Clock.Now()}[s.ID]; !s.AccessedAt.Equal(want) || !s.UpdatedAt.Equal(began) {
				k.Errorf("%s: %v, changed %v", s.ID, s.AccessedAt, s.UpdatedAt)
			}
		}
	})
}

// A former secret answers with an error of its own for a minute, wherever the session got a new one.
func TestAFormerSecretIsToldOfTheNewOneForAMinute(t *testing.T) {
	for what, renew := range map[string]func(k *kit.Kit, a *latchkey.Account) (*latchkey.Session, error){
		"by RotateSession": func(k *kit.Kit, a *latchkey.Account) (*latchkey.Session, error) { return a.RotateSession(k.Ctx) },
		"by a challenge": func(k *kit.Kit, a *latchkey.Account) (*latchkey.Session, error) {
			codes, err := a.CreateMFARecoveryCodes(k.Ctx)
			k.Must(err)
			challenge, err := a.CreateMFAChallenge(k.Ctx, latchkey.FactorRecoveryCode)
			k.Must(err)
			return a.ConfirmMFAChallenge(k.Ctx, challenge.ID, codes.Codes[0].Reveal())
		},
		"by the password": func(k *kit.Kit, a *latchkey.Account) (*latchkey.Session, error) {
			return a.ConfirmPassword(k.Ctx, kit.Password)
		},
		"by a provider": func(k *kit.Kit, a *latchkey.Account) (*latchkey.Session, error) {
			_, anonymous := k.Anonymous()
			*a = *anonymous
			result, err := a.LinkIDToken(k.Ctx, latchkey.IDTokenSignIn{
				Provider: "acme", Token: k.Acme.IDToken(oauth.Profile{Subject: "new", Email: "new@example.org", EmailVerified: true}),
			})
			k.Must(err)
			return result.Session, nil
		},
	} {
		t.Run(what, func(t *testing.T) {
			kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
				k.SignUp(kit.Ada)
				session, account := k.SignIn(kit.Ada)
				jwt, err := account.CreateJWT(k.Ctx, 0)
				k.Must(err)
				anonymous := what == "by a provider"
				renewed, err := renew(k, account)
				k.Must(err)
				former := map[string]func() error{"the handle": func() error { return kit.Err(account.UpdateName(k.Ctx, "Ada")) }}
				if !anonymous {
					former["the secret"] = func() error { return kit.Err(k.Visitor.Authenticate(k.Ctx, session.Secret.Reveal())) }
					former["a JWT"] = func() error { return kit.Err(k.Visitor.AuthenticateJWT(k.Ctx, jwt.Reveal())) }
				}
				for name, use := range former {
					k.Refuses(name, latchkey.ErrSessionRenewed, use)
					if errors.Is(use(), latchkey.ErrUnauthorized) {
						k.Errorf("%s: a host would clear its cookie", name)
					}
				}
				k.Must(kit.Err(k.Visitor.Authenticate(k.Ctx, renewed.Secret.Reveal())))
				k.Clock.Advance(time.Minute)
				for name, use := range former {
					k.Refuses(name+" a minute later", latchkey.ErrUnauthorized, use)
				}
				k.Must(kit.Err(k.Engine.Sweep(k.Ctx)))
			})
		})
	}
}
