package attack_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/oauth"
)

// Wrong passwords of ConfirmPassword are counted with those of sign-ins, also if the caller hangs up
// after the comparison; the password of a sign-in that is slowed is not compared.
func TestAttack26bConfirmPasswordCountsEveryGuess(t *testing.T) {
	kit.OneByOne(t, kit.Documented, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		k.SignedInAt(kit.Owner)
		session, _ := k.SignIn(kit.Ada)
		thief, err := k.Guest(kit.At(kit.Attacker)).Authenticate(k.Ctx, session.Secret.Reveal())
		k.Must(err)
		for range 11 {
			ctx, cancel := context.WithCancel(k.Ctx)
			hook := k.Store.Hook
			k.Interfere(cancel)
			if err := kit.Err(thief.ConfirmPassword(ctx, "wrong horse")); !errors.Is(err, latchkey.ErrInvalidCredentials) {
				k.Errorf("a guess: %v", err)
			}
			k.Store.Hook = hook
			cancel()
		}
		for what, err := range map[string]error{
			"right": kit.Err(thief.ConfirmPassword(k.Ctx, kit.Password)), "sign-in": k.Try(kit.Attacker, kit.Ada, kit.Password),
		} {
			if !errors.Is(err, latchkey.ErrRateLimitExceeded) {
				k.Errorf("%s after eleven guesses: %v", what, err)
			}
		}
		k.Must(k.Try(kit.Owner, kit.Ada, kit.Password))
	})
}

// What changes between the comparison of ConfirmPassword and its commit decides; and no secret of the
// session survives it.
func TestAttack26bConfirmPasswordIsOfTheMomentOfItsCommit(t *testing.T) {
	kit.OneByOne(t, kit.Documented, func(k *kit.Kit) {
		user := k.Proven()
		fresh := func() (*latchkey.Session, *latchkey.Account) {
			k.Helper()
			k.Must(kit.Err(k.Users().UpdateMFA(k.Ctx, user.ID, false)))
			k.Must(kit.Err(k.Users().UpdatePassword(k.Ctx, user.ID, kit.Password)))
			k.Must(kit.Err(k.Users().UpdateStatus(k.Ctx, user.ID, true)))
			s, a := k.SignIn(kit.Ada)
			k.Clock.Advance(time.Hour)
			return s, a
		}
		hook := k.Store.Hook
		for _, c := range []struct {
			what   string
			want   error
			change func(s *latchkey.Session)
		}{
			{"password", latchkey.ErrUnauthorized, func(*latchkey.Session) { k.Must(kit.Err(k.Users().UpdatePassword(k.Ctx, user.ID, kit.FreshPassword))) }},
			{"MFA", latchkey.ErrMoreFactorsRequired, func(*latchkey.Session) { k.Must(kit.Err(k.Users().UpdateMFA(k.Ctx, user.ID, true))) }},
			{"block", latchkey.ErrUserBlocked, func(*latchkey.Session) { k.Must(kit.Err(k.Users().UpdateStatus(k.Ctx, user.ID, false))) }},
			{"end", latchkey.ErrUnauthorized, func(s *latchkey.Session) { k.Must(k.Users().DeleteSession(k.Ctx, user.ID, s.ID)) }},
		} {
			s, a := fresh()
			k.Interfere(func() { c.change(s) })
			err := kit.Err(a.ConfirmPassword(k.Ctx, kit.Password))
			k.Store.Hook = hook
			if !errors.Is(err, c.want) && !(c.what == "password" && errors.Is(err, latchkey.ErrInvalidCredentials)) {
				k.Errorf("%s: %v, want %v", c.what, err, c.want)
			}
		}
		s, a := fresh()
		var again error
		k.Interfere(func() { again = kit.Err(a.ConfirmPassword(k.Ctx, kit.Password)) }) // two at once
		err := kit.Err(a.ConfirmPassword(k.Ctx, kit.Password))
		k.Store.Hook = hook
		if again != nil || !errors.Is(err, latchkey.ErrSessionRenewed) {
			k.Errorf("two at once: %v, %v", again, err)
		}
		if err := kit.Err(k.Visitor.Authenticate(k.Ctx, s.Secret.Reveal())); !errors.Is(err, latchkey.ErrSessionRenewed) {
			k.Errorf("the old secret: %v", err)
		}
		jwt, _ := k.ByJWT(user.ID, "")
		if err := kit.Err(jwt.ConfirmPassword(k.Ctx, kit.Password)); !errors.Is(err, latchkey.ErrSessionNotFound) {
			k.Errorf("JWT: %v", err)
		}
		_, a = fresh()
		k.Must(kit.Err(k.Users().UpdateMFA(k.Ctx, user.ID, true)))
		if err := kit.Err(a.ConfirmPassword(k.Ctx, kit.Password)); !errors.Is(err, latchkey.ErrMoreFactorsRequired) {
			k.Errorf("a pending session: %v", err)
		}
	})
}

// ConfirmPassword makes no session of two factors out of one that has shown only a password: a
// session that was anonymous has proven nothing by that.
func TestAttack26bAnAnonymousBeginningIsNoFactor(t *testing.T) {
	onMemory(t, kit.Documented, func(k *kit.Kit) {
		bounded := under(k, func(c *latchkey.Config) {
			c.Policy.Sessions.SingleFactor = latchkey.Lifetime{Absolute: time.Hour}
			c.Policy.Sessions.MultiFactor = latchkey.Lifetime{Absolute: 24 * time.Hour}
		})
		guest := bounded.Guest(kit.Client)
		session, err := guest.CreateAnonymousSession(k.Ctx)
		k.Must(err)
		account, err := guest.Authenticate(k.Ctx, session.Secret.Reveal())
		k.Must(err)
		k.Must(kit.Err(account.CreateAccount(k.Ctx, latchkey.NewAccount{Email: kit.Ada, Password: kit.Password})))
		renewed, err := account.ConfirmPassword(k.Ctx, kit.Password)
		k.Must(err)
		k.Clock.Advance(2 * time.Hour)
		if err := kit.Err(guest.Authenticate(k.Ctx, renewed.Secret.Reveal())); !errors.Is(err, latchkey.ErrUnauthorized) {
			k.Errorf("a session that has shown only a password lives as one of two factors (%v): %v", renewed.Factors, err)
		}
	})
}

// A session that was anonymous does not pass for one of two factors after ConfirmPassword: it owes
// the second factor that its user gets, as a session of the password alone does.
func TestAttack26bAnAnonymousBeginningPaysNoFactor(t *testing.T) {
	onMemory(t, kit.Documented, func(k *kit.Kit) {
		session, account := k.Anonymous()
		k.Must(kit.Err(account.CreateAccount(k.Ctx, latchkey.NewAccount{Email: kit.Ada, Password: kit.Password})))
		k.Must(kit.Err(k.Users().UpdateMFA(k.Ctx, session.UserID, true))) // demanded, before there is a factor
		byPassword, _ := k.SignIn(kit.Ada)
		renewed, err := account.ConfirmPassword(k.Ctx, kit.Password)
		k.Must(err)
		k.Must(kit.Err(k.Users().UpdateEmailVerification(k.Ctx, session.UserID, true)))
		for what, s := range map[string]*latchkey.Session{"by password": byPassword, "begun anonymously": renewed} {
			if err := kit.Err(k.Visitor.Authenticate(k.Ctx, s.Secret.Reveal())); !errors.Is(err, latchkey.ErrMoreFactorsRequired) {
				k.Errorf("%s, with %v: %v", what, s.Factors, err)
			}
		}
	})
}

// A session that was anonymous pays the debt by the mailbox alone no more than one of a link does: who
// has planted it in the browser of the user and reads the mail has shown one factor.
func TestAttack26bAnAnonymousBeginningDoesNotPayByTheMailboxAlone(t *testing.T) {
	onMemory(t, kit.Documented, func(k *kit.Kit) {
		planted, account := k.Anonymous()
		k.Must(kit.Err(account.CreateAccount(k.Ctx, latchkey.NewAccount{Email: kit.Ada, Password: kit.Password})))
		k.Must(kit.Err(k.Users().UpdateEmailVerification(k.Ctx, planted.UserID, true)))
		_, own := k.SignIn(kit.Ada)
		k.Must(kit.Err(own.UpdateMFA(k.Ctx, true)))
		err := kit.Err(k.Visitor.Authenticate(k.Ctx, planted.Secret.Reveal()))
		var owed *latchkey.MoreFactorsError
		if !errors.As(err, &owed) {
			k.Fatal(err)
		}
		challenge, err := owed.Pending.CreateMFAChallenge(k.Ctx, latchkey.FactorEmail)
		if errors.Is(err, latchkey.ErrFactorDoesNotHelp) {
			return
		}
		k.Must(err)
		paid, err := owed.Pending.ConfirmMFAChallenge(k.Ctx, challenge.ID, k.Message(challenge.ID, kit.Ada).Secret)
		k.Must(err)
		if err := kit.Err(k.Visitor.Authenticate(k.Ctx, paid.Secret.Reveal())); err == nil {
			k.Errorf("a session that has shown the mailbox alone is a full one: %v", paid.Factors)
		}
	})
}

// A policy that keeps the secret gives none, to no impersonator is the password of use, and the
// session lives on from the password as the comment of Lifetime.Absolute says.
func TestAttack26bConfirmPasswordKeepsWhatThePolicyKeeps(t *testing.T) {
	onMemory(t, kit.Documented, func(k *kit.Kit) {
		user, bob := k.SignUp(kit.Ada), k.SignUp(kit.Bob)
		session, _ := k.SignIn(kit.Ada)
		e := under(k, func(c *latchkey.Config) { c.Policy.Factors.KeepSecretOnChallenge = true })
		account, err := e.Guest(kit.Client).Authenticate(k.Ctx, session.Secret.Reveal())
		k.Must(err)
		k.Clock.Advance(time.Hour)
		if err := account.RequireRecent(k.Ctx, 0); !errors.Is(err, latchkey.ErrChallengeRequired) {
			k.Errorf("before: %v", err)
		}
		shown, err := account.ConfirmPassword(k.Ctx, kit.Password)
		k.Must(err)
		if !shown.Secret.IsZero() || kit.Err(e.Guest(kit.Client).Authenticate(k.Ctx, session.Secret.Reveal())) != nil {
			k.Errorf("the secret was not kept")
		}
		k.Must(account.RequireRecent(k.Ctx, 0))
		k.Must(kit.Err(k.Users().UpdateImpersonator(k.Ctx, user.ID, true)))
		acting, err := account.Impersonate(k.Ctx, latchkey.ImpersonatedUser{UserID: bob.ID})
		k.Must(err)
		if err := kit.Err(acting.ConfirmPassword(k.Ctx, kit.Password)); !errors.Is(err, latchkey.ErrUserUnauthorized) {
			k.Errorf("an impersonator: %v", err)
		}
	})
}

// A session lives for Lifetime.Absolute after its user has shown the password again, as the comment
// says.
func TestAttack26bTheAbsoluteLifeCountsFromThePassword(t *testing.T) {
	onMemory(t, kit.Documented, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		guest := under(k, func(c *latchkey.Config) { c.Policy.Sessions.SingleFactor.Absolute = time.Hour }).Guest(kit.Client)
		session, err := guest.CreateEmailPasswordSession(k.Ctx, kit.Ada, kit.Password)
		k.Must(err)
		account, err := guest.Authenticate(k.Ctx, session.Secret.Reveal())
		k.Must(err)
		k.Clock.Advance(50 * time.Minute)
		renewed, err := account.ConfirmPassword(k.Ctx, kit.Password)
		k.Must(err)
		k.Clock.Advance(20 * time.Minute)
		if err := kit.Err(guest.Authenticate(k.Ctx, renewed.Secret.Reveal())); err != nil {
			k.Errorf("20 minutes after the password: %v (its end is shown as %v)", err, renewed.Expire)
		}
	})
}

// maker makes a session by a path, for the client of a guest.
type maker func(k *kit.Kit, e *latchkey.Engine, c latchkey.Client) (*latchkey.Session, error)

// makers are the paths that make a session.
var makers = map[string]maker{
	"password": func(k *kit.Kit, e *latchkey.Engine, c latchkey.Client) (*latchkey.Session, error) {
		return e.Guest(c).CreateEmailPasswordSession(k.Ctx, kit.Ada, kit.Password)
	},
	"link": func(k *kit.Kit, e *latchkey.Engine, c latchkey.Client) (*latchkey.Session, error) {
		t, err := e.Users().Guest(kit.Client).CreateMagicURLToken(k.Ctx, latchkey.NewMagicURLToken{Email: kit.Ada})
		k.Must(err)
		return e.Guest(c).CreateSession(k.Ctx, t.UserID, t.Secret.Reveal())
	},
	"code": func(k *kit.Kit, e *latchkey.Engine, c latchkey.Client) (*latchkey.Session, error) {
		t, err := e.Users().Guest(kit.Client).CreateEmailToken(k.Ctx, latchkey.NewEmailToken{Email: kit.Ada})
		k.Must(err)
		return e.Guest(c).CreateSession(k.Ctx, t.UserID, t.Secret.Reveal())
	},
	"the host's token": func(k *kit.Kit, e *latchkey.Engine, c latchkey.Client) (*latchkey.Session, error) {
		t, err := e.Users().CreateToken(k.Ctx, k.IDOf(kit.Ada), 32, time.Hour)
		k.Must(err)
		return e.Guest(c).CreateSession(k.Ctx, t.UserID, t.Secret.Reveal())
	},
	"oauth2 at its end": func(k *kit.Kit, e *latchkey.Engine, c latchkey.Client) (*latchkey.Session, error) {
		r, err := e.Guest(c).FinishOAuth2(k.Ctx, k.Begin(e.Guest(kit.Client), latchkey.OAuth2Request{Provider: "acme"}).Callback(k.Acme.Code(nora)))
		if err != nil {
			return nil, err
		}
		return r.Session, nil
	},
	"oauth2 at its start": func(k *kit.Kit, e *latchkey.Engine, c latchkey.Client) (*latchkey.Session, error) {
		return byStart(k, e, c, latchkey.OAuth2Request{Provider: "acme", RedirectURL: kit.CallbackURL})
	},
	"oauth2 token": func(k *kit.Kit, e *latchkey.Engine, c latchkey.Client) (*latchkey.Session, error) {
		b := k.Begin(e.Guest(kit.Client), latchkey.OAuth2Request{Provider: "acme", Token: true})
		r, err := e.Guest(kit.Client).FinishOAuth2(k.Ctx, b.Callback(k.Acme.Code(nora)))
		k.Must(err)
		return e.Guest(c).RedeemOAuth2Token(k.Ctx, r.Token.UserID, r.Token.Secret.Reveal(), b.Binding.Reveal())
	},
	"id token": func(k *kit.Kit, e *latchkey.Engine, c latchkey.Client) (*latchkey.Session, error) {
		return e.Guest(c).CreateIDTokenSession(k.Ctx, latchkey.IDTokenSignIn{Provider: "acme", Token: k.Acme.IDToken(nora)})
	},
	"anonymous": func(k *kit.Kit, e *latchkey.Engine, c latchkey.Client) (*latchkey.Session, error) {
		return e.Guest(c).CreateAnonymousSession(k.Ctx)
	},
	"server": func(k *kit.Kit, e *latchkey.Engine, c latchkey.Client) (*latchkey.Session, error) {
		return e.Users().At(c).CreateSession(k.Ctx, k.IDOf(kit.Ada))
	},
	"invitation": func(k *kit.Kit, e *latchkey.Engine, c latchkey.Client) (*latchkey.Session, error) {
		_, owner := k.SignIn(kit.Bob)
		team, err := owner.Teams().Create(k.Ctx, latchkey.NewTeam{Name: "Bakers"})
		k.Must(err)
		k.Must(kit.Err(owner.Teams().CreateMembership(k.Ctx, team.ID, latchkey.NewMembership{Email: "invited@example.org", URL: kit.JoinURL})))
		link := k.InvitationTo("invited@example.org")
		for link.TeamID != team.ID {
			link = k.InvitationTo("invited@example.org")
		}
		a, err := e.Guest(c).AcceptInvitation(k.Ctx, link)
		if err != nil {
			return nil, err
		}
		return a.Session, nil
	},
}

var nora = oauth.Profile{Subject: "nora", Email: "nora@example.com", EmailVerified: true}

// byStart begins a sign-in by a provider for a client, and ends it for one that asks for no length.
func byStart(k *kit.Kit, e *latchkey.Engine, c latchkey.Client, r latchkey.OAuth2Request) (*latchkey.Session, error) {
	start, err := e.Guest(c).StartOAuth2(k.Ctx, r)
	if err != nil {
		return nil, err
	}
	u, err := url.Parse(start.URL)
	k.Must(err)
	b := kit.Began{OAuth2Start: start, Provider: "acme", State: u.Query().Get("state")}
	result, err := e.Guest(kit.Client).FinishOAuth2(k.Ctx, b.Callback(k.Acme.Code(nora)))
	if err != nil || !r.Token {
		return result.Session, err
	}
	return e.Guest(kit.Client).RedeemOAuth2Token(k.Ctx, result.Token.UserID, result.Token.Secret.Reveal(), start.Binding.Reveal())
}

// Every path that makes a session keeps to Client.SessionLength, refuses one out of its bounds, and
// neither extension, rotation, another policy nor a clock that steps back make the session longer.
func TestAttack26bEveryPathKeepsToTheSessionLength(t *testing.T) {
	for name, do := range makers {
		t.Run(name, func(t *testing.T) {
			kit.OneByOne(t, kit.Documented, func(k *kit.Kit) {
				k.SignUp(kit.Ada)
				k.SignUp(kit.Bob)
				k.Must(kit.Err(k.Users().UpdateEmailVerification(k.Ctx, k.IDOf(kit.Ada), true)))
				k.Must(kit.Err(k.Users().UpdateEmailVerification(k.Ctx, k.IDOf(kit.Bob), true)))
				e := under(k, func(c *latchkey.Config) { c.Policy.Sessions.Length = 24 * time.Hour })
				client := func(l time.Duration) latchkey.Client { c := kit.Client; c.SessionLength = l; return c }
				for _, bad := range []time.Duration{-1, 1, time.Minute - 1, -time.Hour, 24*time.Hour + 1, math.MaxInt64, math.MinInt64} {
					_, err := do(k, e, client(bad))
					var own *latchkey.Error
					if !errors.As(err, &own) || own.Argument != "sessionLength" || own.Reason != "out_of_range" {
						k.Errorf("a length of %v: %v", bad, err)
					}
				}
				k.Clock.Advance(time.Microsecond)
				made, err := do(k, e, client(90*time.Second+999*time.Millisecond))
				k.Must(err)
				k.Same("end", made.Expire, k.Clock.Now().Add(90*time.Second))
				k.Must(kit.Err(e.Guest(kit.Client).Authenticate(k.Ctx, made.Secret.Reveal())))
				k.Clock.Advance(30 * time.Second)
				longer := under(k, func(c *latchkey.Config) {})
				account, err := longer.Guest(kit.Client).Authenticate(k.Ctx, made.Secret.Reveal())
				k.Must(err)
				extended, err := account.ExtendSession(k.Ctx, latchkey.CurrentSession)
				k.Must(err)
				k.Same("extended", extended.Expire, k.Clock.Now().Add(90*time.Second))
				rotated, err := account.RotateSession(k.Ctx)
				k.Must(err)
				k.Same("rotated", rotated.Expire, extended.Expire)
				k.Clock.Advance(90 * time.Second)
				if err := kit.Err(longer.Guest(kit.Client).Authenticate(k.Ctx, rotated.Secret.Reveal())); !errors.Is(err, latchkey.ErrUnauthorized) {
					k.Errorf("after its end: %v", err)
				}
			})
		})
	}
}

// A clock that is set back does not leave a session with the length that it was extended by while the
// clock was ahead.
func TestAttack26bAClockThatIsSetBackMakesNoSessionLonger(t *testing.T) {
	kit.OneByOne(t, kit.Documented, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		c := kit.Client
		c.SessionLength = time.Hour
		session, err := k.Guest(c).CreateEmailPasswordSession(k.Ctx, kit.Ada, kit.Password)
		k.Must(err)
		account, err := k.Visitor.Authenticate(k.Ctx, session.Secret.Reveal())
		k.Must(err)
		k.Clock.Advance(50 * time.Minute)
		k.Must(kit.Err(account.ExtendSession(k.Ctx, latchkey.CurrentSession)))
		k.Must(kit.Err(account.ConfirmPassword(k.Ctx, kit.Password)))
		k.Clock.Advance(-50 * time.Minute)
		k.Must(kit.Err(k.Sweep(k.Ctx)))
		list, err := k.Users().Sessions(k.Ctx, session.UserID)
		k.Must(err)
		k.Same("end", list.Sessions[0].Expire, session.Expire)
	})
}

// The length of a start of a sign-in by a provider holds for the session that its token makes.
func TestAttack26bTheLengthOfAStartHoldsForItsToken(t *testing.T) {
	onMemory(t, kit.Documented, func(k *kit.Kit) {
		c := kit.Client
		c.SessionLength = time.Hour
		s, err := byStart(k, k.Engine, c, latchkey.OAuth2Request{Provider: "acme", RedirectURL: kit.CallbackURL, Token: true})
		k.Must(err)
		if want := k.Clock.Now().Add(time.Hour); s.Expire.After(want) {
			k.Errorf("the session ends at %v, want %v", s.Expire, want)
		}
	})
}

// Every call of Guest and Users refuses a length out of its bounds, but for those that check a
// session.
func TestAttack26bEveryCallRefusesABadSessionLength(t *testing.T) {
	onMemory(t, kit.Documented, func(k *kit.Kit) {
		c := kit.Client
		c.SessionLength = -1
		free := []string{"Can", "Authenticate", "AuthenticateJWT", "AuthenticateProfile", "Format", "Roles", "At", "Guest"}
		for _, handle := range []any{k.Guest(c), k.Users().Guest(c), k.Users().At(c)} {
			v := reflect.ValueOf(handle)
			for i := range v.NumMethod() {
				m, name := v.Method(i), v.Type().Method(i).Name
				if slices.Contains(free, name) {
					continue
				}
				in := []reflect.Value{reflect.ValueOf(k.Ctx)}
				for j := 1; j < m.Type().NumIn() && !(m.Type().IsVariadic() && j == m.Type().NumIn()-1); j++ {
					in = append(in, reflect.Zero(m.Type().In(j)))
				}
				out := m.Call(in)
				err, _ := out[len(out)-1].Interface().(error)
				var own *latchkey.Error
				if !errors.As(err, &own) || own.Type != latchkey.ErrArgumentInvalid.Type { // GetByEmail and a few others look at their own first
					k.Errorf("%T.%s: %v", handle, name, err)
				}
			}
		}
	})
}

// The former secret of a session is known for a minute, in every state of its user, and opens nothing.
// Its row goes with the next sweep, and no list of what is slowed has it.
func TestAttack26bAFormerSecretOpensNothing(t *testing.T) {
	kit.OneByOne(t, kit.Documented, func(k *kit.Kit) {
		for what, change := range map[string]func(a *latchkey.Account){
			"nothing":  func(*latchkey.Account) {},
			"sign-out": func(a *latchkey.Account) { k.Must(a.DeleteSession(k.Ctx, latchkey.CurrentSession)) },
			"block":    func(a *latchkey.Account) { k.Must(kit.Err(k.Users().UpdateStatus(k.Ctx, a.UserID(), false))) },
			"deletion": func(a *latchkey.Account) { k.Must(k.Users().Delete(k.Ctx, a.UserID())) },
			"all end":  func(*latchkey.Account) { k.Must(k.EndAll(k.Ctx)) },
			"password": func(a *latchkey.Account) {
				k.Must(kit.Err(k.Users().UpdatePassword(k.Ctx, a.UserID(), kit.FreshPassword)))
			},
			"MFA": func(a *latchkey.Account) { k.Must(kit.Err(k.Users().UpdateMFA(k.Ctx, a.UserID(), true))) },
		} {
			k.DeleteAll()
			user := k.SignUp(kit.Ada)
			session, account := k.SignIn(kit.Ada)
			jwt, err := account.CreateJWT(k.Ctx, time.Hour)
			k.Must(err)
			byJWT, err := k.Visitor.AuthenticateJWT(k.Ctx, jwt.Reveal())
			k.Must(err)
			renewed, err := account.RotateSession(k.Ctx)
			k.Must(err)
			now, err := k.Visitor.Authenticate(k.Ctx, renewed.Secret.Reveal())
			k.Must(err)
			change(now)
			ask := func(where string, wants ...error) {
				_, _, profile := k.Visitor.AuthenticateProfile(k.Ctx, session.Secret.Reveal())
				for _, err := range []error{
					kit.Err(k.Visitor.Authenticate(k.Ctx, session.Secret.Reveal())), profile, kit.Err(k.Visitor.AuthenticateJWT(k.Ctx, jwt.Reveal())),
					kit.Err(account.User(k.Ctx)), kit.Err(byJWT.User(k.Ctx)), kit.Err(account.ConfirmPassword(k.Ctx, kit.Password)), kit.Err(account.RotateSession(k.Ctx)),
				} {
					if !slices.ContainsFunc(wants, func(want error) bool { return errors.Is(err, want) }) {
						k.Errorf("%s, %s: %v", what, where, err)
					}
				}
			}
			ask("at once", latchkey.ErrSessionRenewed, latchkey.ErrUnauthorized)
			k.Must(k.Throttled(k.Ctx, func(th latchkey.Throttled) error { return fmt.Errorf("%+v", th) }))
			if what != "deletion" {
				all, err := k.Users().Throttled(k.Ctx, user.ID)
				k.Must(err)
				k.Same("throttled", len(all), 0)
			}
			k.Clock.Advance(time.Minute)
			ask("a minute later", latchkey.ErrUnauthorized)
			k.Must(kit.Err(k.Sweep(k.Ctx)))
			for _, row := range k.Everything()["failures"] {
				if strings.Contains(row, "renewed") {
					k.Errorf("%s: %s", what, row)
				}
			}
		}
		if err := kit.Err(k.Visitor.Authenticate(k.Ctx, kit.UnknownLink)); !errors.Is(err, latchkey.ErrUnauthorized) {
			k.Errorf("a secret that never was: %v", err)
		}
	})
}

// errHole is the fault of the store in this file.
var errHole = errors.New("a hole in the disk")
