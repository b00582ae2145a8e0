package attack_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/store/storetest"
)

// A JWT sets no first password and moves no address, whatever the policy says of step-ups:
// "never by JWT" (DESIGN), "may not be a JWT's" (Account.UpdateEmail).
func TestAttack3AJWTSetsNoFirstPasswordWithoutStepUp(t *testing.T) {
	policy := latchkey.Policy{Factors: latchkey.FactorPolicy{EnrolWithoutStepUp: true}}
	kit.OnEveryStore(t, policy, func(k *kit.Kit) {
		session := byMagicLink(k, kit.Ada)
		owner := authenticated(k, session.Secret)
		protects(k, owner)
		byJWT, _ := k.ByJWT(session.UserID, session.ID)
		k.Clock.Advance(14 * time.Minute)
		if err := kit.Err(byJWT.UpdateEmail(k.Ctx, kit.Bob, "the thief's horse")); err != latchkey.ErrChallengeRequired {
			k.Errorf("a JWT has moved the address of an account with an authenticator, and set its password: %v", err)
		}
	})
}

// A JWT that was made with the old secret of a session does not outlive the new secret.
func TestAttack3AJWTDiesWithTheSecretThatMadeIt(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		_, account := k.SignIn(kit.Ada)
		token, err := account.CreateJWT(k.Ctx, time.Hour) // by the thief of the secret
		k.Must(err)
		k.Must(kit.Err(account.RotateSession(k.Ctx)))
		if err := kit.Err(k.Visitor.AuthenticateJWT(k.Ctx, token.Reveal())); err == nil {
			k.Error("the JWT works for the rest of its hour")
		}
	})
}

// Where a block ends the sessions, it ends the links and the codes too.
func TestAttack3AStrictBlockEndsLinksAndCodes(t *testing.T) {
	policy := latchkey.Policy{Sessions: latchkey.SessionPolicy{EndOnBlock: true}}
	kit.OnEveryStore(t, policy, func(k *kit.Kit) {
		owner := owned(k)
		link, err := k.Visitor.CreateMagicURLToken(k.Ctx, latchkey.NewMagicURLToken{Email: kit.Ada})
		k.Must(err)
		secret := k.MailOf(link, kit.Ada).Secret
		recovery := k.Recovery()
		custom, err := k.Users().CreateToken(k.Ctx, owner.UserID(), 64, 300*24*time.Hour)
		k.Must(err)
		k.Must(kit.Err(k.Users().UpdateStatus(k.Ctx, owner.UserID(), false)))
		k.Must(kit.Err(k.Users().UpdateStatus(k.Ctx, owner.UserID(), true)))
		for what, do := range map[string]func() error{
			"link":         func() error { return kit.Err(k.Visitor.CreateSession(k.Ctx, link.UserID, secret)) },
			"server token": func() error { return kit.Err(k.Visitor.CreateSession(k.Ctx, owner.UserID(), custom.Secret.Reveal())) },
		} {
			if err := do(); !errors.Is(err, latchkey.ErrInvalidToken) {
				k.Errorf("%s from before the block: %v", what, err)
			}
		}
		if err := k.Recover(recovery); !errors.Is(err, latchkey.ErrInvalidToken) {
			k.Errorf("recovery from before the block: %v", err)
		}
	})
}

// An extension while the clock was ahead does not make a session longer.
func TestAttack3AnExtensionAheadOfTheClockLengthensNothing(t *testing.T) {
	policy := latchkey.Policy{Sessions: latchkey.SessionPolicy{Length: 30 * 24 * time.Hour}}
	kit.OnEveryStore(t, policy, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		session, account := k.SignIn(kit.Ada)
		k.Clock.Advance(29 * 24 * time.Hour)
		k.Must(kit.Err(account.ExtendSession(k.Ctx, latchkey.CurrentSession)))
		k.Clock.Advance(-29 * 24 * time.Hour)
		k.Must(kit.Err(k.Visitor.Authenticate(k.Ctx, session.Secret.Reveal()))) // it is used while the clock is right; a sweep does the same
		k.Clock.Advance(31 * 24 * time.Hour)
		if full(k, session.Secret) {
			k.Error("the session lives for more than its length after its extension")
		}
	})
}

// A row that was refused because it was made ahead of the clock stays refused when that time comes.
func TestAttack3WhatWasRefusedAsAheadDoesNotComeBack(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.Proven()
		const ahead = 20 * 24 * time.Hour
		before, _ := k.SignIn(kit.Ada)
		k.Clock.Advance(ahead)
		session, _ := k.SignIn(kit.Ada)
		link, err := k.Visitor.CreateMagicURLToken(k.Ctx, latchkey.NewMagicURLToken{Email: kit.Ada})
		k.Must(err)
		secret := k.MailOf(link, kit.Ada).Secret
		fresh := showsMail(k, authenticated(k, before.Secret))
		k.Clock.Advance(-ahead)
		if full(k, session.Secret) {
			k.Error("the session is good at once")
		}
		if err := kit.Err(k.Visitor.CreateSession(k.Ctx, link.UserID, secret)); !errors.Is(err, latchkey.ErrInvalidToken) {
			k.Errorf("the link is good at once: %v", err)
		}
		if err := fresh.RequireRecent(k.Ctx, 0); err != nil && err != latchkey.ErrChallengeRequired {
			k.Error(err)
		}
		k.Must(kit.Err(k.Sweep(k.Ctx)))
		k.Clock.Advance(ahead)
		if full(k, session.Secret) {
			k.Error("the session was refused, and is good again")
		}
		if err := fresh.RequireRecent(k.Ctx, 0); err != latchkey.ErrChallengeRequired {
			k.Errorf("a proof of %v ago is fresh: %v", ahead, err)
		}
		if err := kit.Err(k.Visitor.CreateSession(k.Ctx, link.UserID, secret)); !errors.Is(err, latchkey.ErrInvalidToken) {
			k.Errorf("the link of an hour is good after %v: %v", ahead, err)
		}
	})
}

// The codes that are shown are those that the session may see: a change between the check
// and the read is checked again.
func TestAttack3RecoveryCodesAreReadWithTheProofTheyAskFor(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		owner := owned(k)
		k.Must(kit.Err(k.Users().CreateMFARecoveryCodes(k.Ctx, owner.UserID())))
		thief := showsMail(k, authenticated(k, byMagicLink(k, kit.Ada).Secret)) // the mailbox alone
		hook, done := k.Store.Hook, false
		var made *latchkey.MFARecoveryCodes
		k.Store.Hook = func(c storetest.Call) error {
			if c.Name == "List" && !c.Inside && !c.Done && !done {
				done = true
				app := k.Confirmed(owner, latchkey.NewMFAAuthenticator{})
				k.Clock.Advance(time.Minute)
				strong := shows(k, owner, latchkey.FactorTOTP, app.Code())
				var err error
				made, err = strong.RegenerateMFARecoveryCodes(k.Ctx)
				k.Must(err)
			}
			return hook(c)
		}
		codes, err := thief.MFARecoveryCodes(k.Ctx)
		k.Store.Hook = hook
		if made == nil {
			k.Fatal("the race did not happen")
		}
		if err == nil && codes.Codes[0].Equal(made.Codes[0]) {
			k.Error("the mailbox alone has read codes that stand in for the authenticator")
		}
	})
}

// A thief who reads the mailbox alone does not get guesses of their own at the
// authenticator from each network at which they have answered a code by mail: a client is known
// where the user has proven the factor (SECURITY.md), and not another one. 100 wrong codes in a
// row disable it (N-08).
func TestAttack3AMailboxBuysNoGuessesAtTheAuthenticator(t *testing.T) {
	policy := latchkey.Policy{Guessing: latchkey.GuessingPolicy{FreeFailures: 4, DisableAfter: 100}}
	kit.OneByOne(t, policy, func(k *kit.Kit) {
		withTOTP(k)
		k.Engine = k.Configured(func(*latchkey.Config) {}) // with limits
		compared := 0
		for n := range 30 {
			k.Clock.Advance(20 * time.Minute)
			k.Visitor = k.Guest(kit.At(fmt.Sprintf("198.51.100.%d", n+1)))
			session := byMagicLink(k, kit.Ada)
			pending := pendingOf(k, session.Secret)
			answerByMail(k, pending, &session) // proves the same mailbox once more
			pending = pendingOf(k, session.Secret)
			challenge, err := pending.CreateMFAChallenge(k.Ctx, latchkey.FactorTOTP)
			k.Must(err)
			for range 5 {
				switch err := kit.Err(pending.ConfirmMFAChallenge(k.Ctx, challenge.ID, "000000")); {
				case err == nil:
					k.Fatal("guessed")
				case errors.Is(err, latchkey.ErrInvalidToken):
					compared++
				}
			}
		}
		if compared > 100 {
			k.Errorf("%d guesses at the authenticator in ten hours, each at once; no wait, and it is not disabled", compared)
		}
	})
	// The same with the default policy: strangers have slowed the authenticator, and the reader of
	// the mailbox is not slowed.
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		withTOTP(k)
		wrong := func(p *latchkey.Pending) error {
			challenge, err := p.CreateMFAChallenge(k.Ctx, latchkey.FactorTOTP)
			k.Must(err)
			return kit.Err(p.ConfirmMFAChallenge(k.Ctx, challenge.ID, "000000"))
		}
		k.Visitor = k.Guest(kit.At(kit.Attacker))
		session := byMagicLink(k, kit.Ada)
		pending := pendingOf(k, session.Secret)
		for range 11 {
			if err := wrong(pending); !errors.Is(err, latchkey.ErrInvalidToken) {
				k.Fatal(err)
			}
		}
		if err := wrong(pending); !errors.Is(err, latchkey.ErrRateLimitExceeded) {
			k.Fatalf("it is not slowed: %v", err)
		}
		answerByMail(k, pending, &session)
		if err := wrong(pendingOf(k, session.Secret)); !errors.Is(err, latchkey.ErrRateLimitExceeded) {
			k.Errorf("after a code by mail, the next guess at the authenticator: %v", err)
		}
	})
}

// A sign-in by link that owes a second factor does not make the client known for the password.
func TestAttack3AMailboxBuysNoGuessesAtThePassword(t *testing.T) {
	policy := latchkey.Policy{Guessing: latchkey.GuessingPolicy{FreeFailures: 4, DisableAfter: 100}}
	kit.OneByOne(t, policy, func(k *kit.Kit) {
		withTOTP(k)
		k.Engine = k.Configured(func(*latchkey.Config) {}) // with limits
		compared := 0
		for n := range 30 {
			k.Clock.Advance(2 * time.Minute)
			k.Visitor = k.Guest(kit.At(fmt.Sprintf("198.51.100.%d", n+1)))
			pendingOf(k, byMagicLink(k, kit.Ada).Secret)
			for range 5 {
				if kit.Err(k.Visitor.CreateEmailPasswordSession(k.Ctx, kit.Ada, "wrong horse")) == latchkey.ErrInvalidCredentials {
					compared++
				}
			}
		}
		if compared > 100 {
			k.Errorf("%d guesses at the password in an hour, and it is not disabled", compared)
		}
	})
}

// A thief with the password does not end the sign-in of the owner before its second factor is shown.
func TestAttack3ThePasswordAloneEndsNoPendingSignInOfTheOwner(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		_, app := withTOTP(k)
		k.Engine = k.Configured(func(*latchkey.Config) {}) // with limits
		k.Clock.Advance(time.Minute)
		_, pending := k.Owing(k.Guest(kit.At(kit.Owner)))
		for range 10 {
			k.Owing(k.Guest(kit.At(kit.Attacker)))
		}
		challenge, err := pending.CreateMFAChallenge(k.Ctx, latchkey.FactorTOTP)
		if err == nil {
			err = kit.Err(pending.ConfirmMFAChallenge(k.Ctx, challenge.ID, app.Code()))
		}
		if err != nil {
			k.Errorf("ten sign-ins that owe a factor have ended the owner's: %v", err)
		}
	})
}

// Of two calls at once that give a session a new secret, one is refused, and one secret is good:
// a rotation, and the answer to a challenge. (Holds.)
func TestAttack3TwoNewSecretsAtOnceMakeOne(t *testing.T) {
	for name, second := range map[string]func(k *kit.Kit, a *latchkey.Account, code string) func() (*latchkey.Session, error){
		"two rotations": func(k *kit.Kit, a *latchkey.Account, _ string) func() (*latchkey.Session, error) {
			return func() (*latchkey.Session, error) { return a.RotateSession(k.Ctx) }
		},
		"rotation and answer": func(k *kit.Kit, a *latchkey.Account, code string) func() (*latchkey.Session, error) {
			challenge, err := a.CreateMFAChallenge(k.Ctx, latchkey.FactorTOTP)
			k.Must(err)
			return func() (*latchkey.Session, error) { return a.ConfirmMFAChallenge(k.Ctx, challenge.ID, code) }
		},
	} {
		t.Run(name, func(t *testing.T) {
			kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
				account, app, _ := k.Enrolled(latchkey.NewMFAAuthenticator{})
				calls := []func() (*latchkey.Session, error){
					func() (*latchkey.Session, error) { return account.RotateSession(k.Ctx) }, second(k, account, app.Code()),
				}
				var made [2]*latchkey.Session
				var errs [2]error
				var ready, done sync.WaitGroup
				ready.Add(1)
				for i, call := range calls {
					done.Go(func() {
						ready.Wait()
						made[i], errs[i] = call()
					})
				}
				ready.Done()
				done.Wait()
				good := 0
				for i, s := range made {
					switch {
					case errs[i] == nil && full(k, s.Secret):
						good++
					case errs[i] != latchkey.ErrSessionRenewed:
						k.Error(errs[i])
					}
				}
				if good != 1 {
					k.Errorf("%d secrets are good: %v", good, errs)
				}
			})
		})
	}
}

// A link that was sent to an address is void once the user has left it, also if they come back to it.
// (Holds.)
func TestAttack3WhatWasSentBeforeTheAddressWasLeftStaysVoid(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		owner := owned(k)
		link, err := k.Visitor.CreateMagicURLToken(k.Ctx, latchkey.NewMagicURLToken{Email: kit.Ada})
		k.Must(err)
		secret := k.MailOf(link, kit.Ada).Secret
		recovery := k.Recovery()
		k.Must(kit.Err(owner.UpdateEmail(k.Ctx, "new@example.org", kit.Password)))
		k.Must(kit.Err(owner.UpdateEmail(k.Ctx, kit.Ada, kit.Password)))
		verification, err := owner.CreateEmailVerification(k.Ctx, kit.VerifyURL)
		k.Must(err)
		verify := k.MailOf(verification, kit.Ada)
		k.Must(kit.Err(owner.UpdateEmail(k.Ctx, "new@example.org", kit.Password)))
		k.Must(kit.Err(owner.UpdateEmail(k.Ctx, kit.Ada, kit.Password)))
		for what, do := range map[string]func() error{
			"link":         func() error { return kit.Err(k.Visitor.CreateSession(k.Ctx, link.UserID, secret)) },
			"recovery":     func() error { return k.Recover(recovery) },
			"verification": func() error { return kit.Err(k.Visitor.ConfirmEmailVerification(k.Ctx, verify.UserID, verify.Secret)) },
			"verification in the session": func() error {
				return kit.Err(owner.ConfirmEmailVerification(k.Ctx, verify.Secret))
			},
		} {
			if err := do(); !errors.Is(err, latchkey.ErrInvalidToken) {
				k.Errorf("%s: %v", what, err)
			}
		}
	})
}

// A server's JWT that is bound to the user alone ends with the first proof of an address, and
// with a recovery that proves nothing, so that a planter keeps none. (Holds.)
func TestAttack3AJWTOfThePlantedUserEndsWithTheFirstProof(t *testing.T) {
	for name, prove := range map[string]func(k *kit.Kit){
		"link":     func(k *kit.Kit) { byMagicLink(k, kit.Ada) },
		"recovery": func(k *kit.Kit) { k.Must(k.Recover(k.Recovery())) },
	} {
		t.Run(name, func(t *testing.T) {
			kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
				user, err := k.Users().Create(k.Ctx, latchkey.NewUser{Email: kit.Ada}) // without a password
				k.Must(err)
				planted, _ := k.ByJWT(user.ID, "")
				prove(k)
				if err := kit.Err(planted.User(k.Ctx)); err != latchkey.ErrUnauthorized {
					k.Error(err)
				}
			})
		})
	}
}

// A session that only the old mailbox has made ends with the address, also if the server had
// taken its verification back before.
func TestAttack3ASessionOfTheOldMailboxEndsAlsoIfItWasNoLongerVerified(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		owner := owned(k)
		thief := byMagicLink(k, kit.Ada)
		k.Must(kit.Err(k.Users().UpdateEmailVerification(k.Ctx, owner.UserID(), false)))
		k.Must(kit.Err(k.Users().UpdateEmail(k.Ctx, owner.UserID(), "new@example.org")))
		if full(k, thief.Secret) {
			k.Error("who read the old mailbox is still in")
		}
		k.Must(kit.Err(owner.User(k.Ctx)))
	})
}

// When the server switches MFA on, the codes that sessions have made are void, and its own are not.
func TestAttack3TheServersSwitchVoidsCodesOfSessions(t *testing.T) {
	for _, server := range []bool{false, true} {
		kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
			owner := owned(k)
			if server {
				k.Must(kit.Err(k.Users().CreateMFARecoveryCodes(k.Ctx, owner.UserID())))
			} else {
				k.Must(kit.Err(authenticated(k, byMagicLink(k, kit.Ada).Secret).CreateMFARecoveryCodes(k.Ctx)))
			}
			k.Must(kit.Err(k.Users().UpdateMFA(k.Ctx, owner.UserID(), true)))
			factors, err := k.Users().MFAFactors(k.Ctx, owner.UserID())
			k.Must(err)
			if factors.RecoveryCode != server {
				k.Errorf("by the server %v: %+v", server, factors)
			}
		})
	}
}

// A proof from before MFA was switched on counts no more for another session than the one that
// switches it.
func TestAttack3ProofsOfBeforeTheSwitchCountNoMore(t *testing.T) {
	for by, on := range map[string]func(k *kit.Kit, owner *latchkey.Account) error{
		"the server": func(k *kit.Kit, owner *latchkey.Account) error {
			return kit.Err(k.Users().UpdateMFA(k.Ctx, owner.UserID(), true))
		},
		"the owner": func(k *kit.Kit, owner *latchkey.Account) error { return kit.Err(owner.UpdateMFA(k.Ctx, true)) },
	} {
		t.Run(by, func(t *testing.T) {
			kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
				owner := owned(k)
				_, other := k.SignIn(kit.Ada)
				other = showsMail(k, other)
				k.Must(on(k, owner))
				if !owes(k, other) {
					k.Error("a proof from before the switch makes a full session")
				}
			})
		})
	}
}
