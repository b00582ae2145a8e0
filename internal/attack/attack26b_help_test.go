package attack_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/authtest"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/oauth"
	"example.com/latchkey/query"
	"example.com/latchkey/store/storetest"
)

// failAt makes the n-th call of the store fail, and returns a function that ends that and reports
// whether the call was made.
func failAt(k *kit.Kit, n int, after bool) (reached func() bool) {
	hook, calls := k.Store.Hook, 0
	k.Store.Hook = func(c storetest.Call) error {
		if c.Done == after {
			if calls++; calls == n {
				return errHole
			}
		}
		return hook(c)
	}
	return func() bool { k.Store.Hook = hook; return calls >= n }
}

// person26 is a user with a combination of factors.
type person26 struct {
	id, email, phone string
	has              map[string]bool
	app              *authtest.Authenticator
}

// factors26 are the facts of a user that decide what a session owes.
var factors26 = []string{"password", "totp", "codes", "email", "phone", "provider", "recovered"}

// newPerson26 makes the user of a combination, with MFA on; nil if there is none.
func newPerson26(k *kit.Kit, n int) *person26 {
	k.Helper()
	p := &person26{id: fmt.Sprintf("person%03d", n), email: fmt.Sprintf("person%03d@example.org", n), phone: fmt.Sprintf("+1415555%04d", 2000+n), has: make(map[string]bool)}
	for i, f := range factors26 {
		p.has[f] = n&(1<<i) != 0
	}
	if p.has["recovered"] && !(p.has["password"] && p.has["email"]) {
		return nil
	}
	fresh := latchkey.NewUser{UserID: p.id, Email: p.email, Phone: p.phone}
	if p.has["password"] {
		fresh.Password = kit.Password
	}
	k.Must(kit.Err(k.Users().Create(k.Ctx, fresh)))
	session, err := k.Users().CreateSession(k.Ctx, p.id)
	k.Must(err)
	account, err := k.Visitor.Authenticate(k.Ctx, session.Secret.Reveal())
	k.Must(err)
	if p.has["totp"] {
		p.app = k.Confirmed(account, latchkey.NewMFAAuthenticator{})
	}
	if p.has["codes"] {
		k.Must(kit.Err(k.Users().CreateMFARecoveryCodes(k.Ctx, p.id)))
	}
	if p.has["provider"] {
		k.Must(kit.Err(k.LinkBy(k.Visitor, session.Secret, k.Acme, oauth.Profile{Subject: p.id})))
	}
	k.Must(kit.Err(k.Users().UpdateEmailVerification(k.Ctx, p.id, p.has["email"])))
	k.Must(kit.Err(k.Users().UpdatePhoneVerification(k.Ctx, p.id, p.has["phone"])))
	k.Must(kit.Err(k.Users().UpdateMFA(k.Ctx, p.id, true)))
	return p
}

// ways26 are the ways to sign in.
var ways26 = map[string]func(k *kit.Kit, e *latchkey.Engine, p *person26) (*latchkey.Session, error){
	"password": func(k *kit.Kit, e *latchkey.Engine, p *person26) (*latchkey.Session, error) {
		if !p.has["password"] {
			return nil, nil
		}
		return e.Guest(kit.Client).CreateEmailPasswordSession(k.Ctx, p.email, kit.Password)
	},
	"link": func(k *kit.Kit, e *latchkey.Engine, p *person26) (*latchkey.Session, error) {
		if !p.has["email"] {
			return nil, nil
		}
		t, err := e.Users().Guest(kit.Client).CreateMagicURLToken(k.Ctx, latchkey.NewMagicURLToken{Email: p.email})
		k.Must(err)
		return e.Guest(kit.Client).CreateSession(k.Ctx, t.UserID, t.Secret.Reveal())
	},
	"code": func(k *kit.Kit, e *latchkey.Engine, p *person26) (*latchkey.Session, error) {
		if !p.has["email"] {
			return nil, nil
		}
		t, err := e.Users().Guest(kit.Client).CreateEmailToken(k.Ctx, latchkey.NewEmailToken{Email: p.email})
		k.Must(err)
		return e.Guest(kit.Client).CreateSession(k.Ctx, t.UserID, t.Secret.Reveal())
	},
	"text": func(k *kit.Kit, e *latchkey.Engine, p *person26) (*latchkey.Session, error) {
		if !p.has["phone"] {
			return nil, nil
		}
		t, err := e.Users().Guest(kit.Client).CreatePhoneToken(k.Ctx, "", p.phone)
		k.Must(err)
		return e.Guest(kit.Client).CreateSession(k.Ctx, t.UserID, t.Secret.Reveal())
	},
	"provider": func(k *kit.Kit, e *latchkey.Engine, p *person26) (*latchkey.Session, error) {
		if !p.has["provider"] {
			return nil, nil
		}
		return k.SignInBy(e.Guest(kit.Client), k.Acme, oauth.Profile{Subject: p.id}), nil
	},
	"a person found by the address": func(k *kit.Kit, e *latchkey.Engine, p *person26) (*latchkey.Session, error) {
		if !p.has["email"] {
			return nil, nil
		}
		return k.SignInBy(e.Guest(kit.Client), k.Other, oauth.Profile{Subject: "found " + p.id, Email: p.email, EmailVerified: true}), nil
	},
	"server": func(k *kit.Kit, e *latchkey.Engine, p *person26) (*latchkey.Session, error) {
		return e.Users().CreateSession(k.Ctx, p.id)
	},
	"the host's token": func(k *kit.Kit, e *latchkey.Engine, p *person26) (*latchkey.Session, error) {
		t, err := e.Users().CreateToken(k.Ctx, p.id, 32, time.Hour)
		k.Must(err)
		return e.Guest(kit.Client).CreateSession(k.Ctx, t.UserID, t.Secret.Reveal())
	},
}

// settings26 are the policies of the test of help.
var settings26 = map[string]func(*latchkey.Config){
	"documented": func(*latchkey.Config) {},
	"custom":     func(c *latchkey.Config) { c.CustomCodes = true },
	"trust":      func(c *latchkey.Config) { c.Policy.TrustProviderMFA = true },
	"no totp":    func(c *latchkey.Config) { c.Policy.Factors.Disabled = []latchkey.Factor{latchkey.FactorTOTP} },
	"no mail":    func(c *latchkey.Config) { c.Policy.Factors.Disabled = []latchkey.Factor{latchkey.FactorEmail} },
	"no texts":   func(c *latchkey.Config) { c.Policy.Factors.Disabled = []latchkey.Factor{latchkey.FactorPhone} },
	"totp alone": func(c *latchkey.Config) {
		c.Policy.Factors.Disabled = []latchkey.Factor{latchkey.FactorEmail, latchkey.FactorPhone}
	},
	"no passwords": func(c *latchkey.Config) { c.Policy.Disabled = latchkey.MethodEmailPassword },
	"no provider":  func(c *latchkey.Config) { c.Providers = nil },
}

// help26 signs in by a way and returns the pending handle with what helps it; nil for a full session.
func help26(k *kit.Kit, e *latchkey.Engine, p *person26, way string) (*latchkey.Session, *latchkey.Pending, latchkey.MFAFactors) {
	k.Helper()
	found, err := k.Users().Identities(k.Ctx, query.Equal("userId", p.id), query.Equal("provider", "other"))
	k.Must(err)
	for _, i := range found.Identities { // of a person found by the address before
		k.Must(k.Users().DeleteIdentity(k.Ctx, i.ID))
	}
	if p.has["recovered"] {
		k.ChangeUser(p.id, func(u *record.User) { u.Recovered = true })
	}
	s, err := ways26[way](k, e, p)
	if errors.Is(err, latchkey.ErrAuthMethodUnsupported) {
		return nil, nil, latchkey.MFAFactors{}
	}
	k.Must(err)
	if s == nil {
		return nil, nil, latchkey.MFAFactors{}
	}
	err = kit.Err(e.Guest(kit.Client).Authenticate(k.Ctx, s.Secret.Reveal()))
	var owed *latchkey.MoreFactorsError
	if !errors.As(err, &owed) {
		k.Must(err)
		return s, nil, latchkey.MFAFactors{}
	}
	have, err := owed.Pending.MFAFactors(k.Ctx)
	k.Must(err)
	return s, owed.Pending, have
}

// helps26 returns the factors of a set.
func helps26(s latchkey.FactorSet) (all []latchkey.Factor) {
	for f, is := range map[latchkey.Factor]bool{
		latchkey.FactorTOTP: s.TOTP, latchkey.FactorEmail: s.Email, latchkey.FactorPhone: s.Phone, latchkey.FactorRecoveryCode: s.RecoveryCode, latchkey.FactorCustom: s.Custom,
	} {
		if is {
			all = append(all, f)
		}
	}
	slices.Sort(all)
	return all
}

// A challenge that helps pays the debt, every other one is refused, and where none helps, the other
// way in that is named leads to a full session: for every combination of factors, policy and way in.
func TestAttack26bWhatHelpsPaysTheDebtAndNothingElse(t *testing.T) {
	for setting, change := range settings26 {
		t.Run(setting, func(t *testing.T) {
			t.Parallel()
			onMemory(t, kit.Documented, func(k *kit.Kit) {
				k.Tampered = true
				e := under(k, func(c *latchkey.Config) { change(c); c.Policy.Sessions.Limit = 100 })
				for n := range 1 << len(factors26) {
					p := newPerson26(k, n)
					if p == nil {
						continue
					}
					for way := range ways26 {
						if setting == "no provider" && slices.Contains([]string{"provider", "a person found by the address"}, way) {
							continue
						}
						k.Must(k.Users().DeleteSessions(k.Ctx, p.id))
						s, pending, have := help26(k, e, p, way)
						if pending == nil {
							continue
						}
						what := fmt.Sprintf("%v by %s (%v), helps %+v", p.has, way, s.Factors, have)
						helping := helps26(have.Helps)
						for _, f := range []latchkey.Factor{latchkey.FactorTOTP, latchkey.FactorEmail, latchkey.FactorPhone, latchkey.FactorRecoveryCode, latchkey.FactorCustom} {
							if slices.Contains(helping, f) {
								continue
							}
							if kit.Err(pending.CreateMFAChallenge(k.Ctx, f)) == nil {
								k.Errorf("%s: a challenge for %s is not refused", what, f)
							}
						}
						for i, f := range helping {
							if i > 0 {
								if s, pending, _ = help26(k, e, p, way); pending == nil && setting == "trust" {
									break // the identity counts for two since it was shown with a factor
								} else if pending == nil {
									k.Errorf("%s: it owes nothing the second time", what)
									break
								}
							}
							if err := pay26(k, e, p, s, pending, f); err != nil {
								k.Errorf("%s: %s: %v", what, f, err)
							}
						}
						if len(helping) == 0 && !have.PasswordHelps && !have.ProviderHelps {
							k.Errorf("%s: nothing helps", what)
						}
						led := len(helping) > 0
						for other, is := range map[string]bool{"password": have.PasswordHelps, "provider": have.ProviderHelps} {
							if !is {
								continue
							}
							s, pending, then := help26(k, e, p, other)
							if s == nil {
								k.Errorf("%s: there is no sign-in by %s", what, other)
							}
							led = led || s != nil && (pending == nil || len(helps26(then.Helps)) > 0)
						}
						if !led {
							k.Errorf("%s: neither way in that is named leads on", what)
						}
					}
				}
			})
		})
	}
}

// pay26 answers a challenge and reports why the session is not a full one then.
func pay26(k *kit.Kit, e *latchkey.Engine, p *person26, s *latchkey.Session, pending *latchkey.Pending, f latchkey.Factor) error {
	k.Helper()
	k.Clock.Advance(31 * time.Second) // another code of the authenticator
	c, err := pending.CreateMFAChallenge(k.Ctx, f)
	if err != nil {
		return err
	}
	code := ""
	switch f {
	case latchkey.FactorTOTP:
		code = p.app.Code()
	case latchkey.FactorEmail:
		code = k.Message(c.ID, p.email).Secret
	case latchkey.FactorPhone:
		code = k.Message(c.ID, p.phone).Secret
	case latchkey.FactorRecoveryCode:
		codes, err := k.Users().RegenerateMFARecoveryCodes(k.Ctx, p.id)
		k.Must(err)
		code = codes.Codes[0].Reveal()
	default:
		got, err := e.Users().GetMFAChallenge(k.Ctx, p.id, c.ID)
		k.Must(err)
		code = got.Code.Reveal()
	}
	paid, err := pending.ConfirmMFAChallenge(k.Ctx, c.ID, code)
	if err != nil {
		return err
	}
	return kit.Err(e.Guest(kit.Client).Authenticate(k.Ctx, paid.Secret.Reveal()))
}

// The password is named as a help only if a session of it leads on: not where it was set by mail and
// the provider is the only other proof.
func TestAttack26bThePasswordIsNamedOnlyWhereItLeadsOn(t *testing.T) {
	onMemory(t, kit.Documented, func(k *kit.Kit) {
		k.Tampered = true
		n := 0
		for i, f := range factors26 {
			if slices.Contains([]string{"password", "email", "provider", "recovered"}, f) {
				n |= 1 << i
			}
		}
		p := newPerson26(k, n)
		_, _, have := help26(k, k.Engine, p, "link")
		if _, pending, then := help26(k, k.Engine, p, "password"); have.PasswordHelps && pending != nil && then.Helps == (latchkey.FactorSet{}) {
			k.Errorf("the password helps, and after it nothing but the provider does: %+v, %+v", have, then)
		}
	})
}

// A factor whose code cannot be sent does not help.
func TestAttack26bAFactorThatCannotBeSentDoesNotHelp(t *testing.T) {
	for name, change := range map[string]func(*latchkey.Config){
		"no notifier":   func(c *latchkey.Config) { c.SMS = nil },
		"other country": func(c *latchkey.Config) { c.Policy.Messages.Countries = []string{"44"} },
	} {
		t.Run(name, func(t *testing.T) {
			onMemory(t, kit.Documented, func(k *kit.Kit) {
				user := k.Proven()
				k.Must(kit.Err(k.Users().UpdateEmailVerification(k.Ctx, user.ID, false)))
				k.Must(kit.Err(k.Users().UpdateMFA(k.Ctx, user.ID, true)))
				_, pending := k.Owing(under(k, change).Guest(kit.Client))
				have, err := pending.MFAFactors(k.Ctx)
				k.Must(err)
				if err := kit.Err(pending.CreateMFAChallenge(k.Ctx, latchkey.FactorPhone)); have.Helps.Phone && err != nil {
					k.Errorf("the phone helps, and its challenge is refused: %v", err)
				}
			})
		})
	}
}
