package attack_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/authtest"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/notify"
	"example.com/latchkey/store"
	"example.com/latchkey/store/storetest"
)

// A session that has removed its authenticator with MFA on is only taken to have proven one. When
// it confirms the next one it has proven that, and keeps the proof when the server switches MFA off.
func TestAttack3AConfirmedAuthenticatorIsAProofAlsoIfAFormerOneWasAssumed(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		owner, app := withTOTP(k)
		owner = shows(k, owner, latchkey.FactorTOTP, app.Code())
		k.Must(owner.DeleteMFAAuthenticator(k.Ctx))
		k.Clock.Advance(30 * time.Second)
		k.Confirmed(owner, latchkey.NewMFAAuthenticator{})
		k.Must(kit.Err(k.Users().UpdateMFA(k.Ctx, owner.UserID(), false)))
		session, err := owner.GetSession(k.Ctx, latchkey.CurrentSession)
		k.Must(err)
		if got := fmt.Sprint(session.Factors); got != "[password totp]" {
			k.Errorf("%s, want [password totp]", got)
		}
	})
}

// A session that owes a factor ends with the factor, the address or the password that it has shown
// or that it could show, also if it would still owe one, and whatever the policy keeps.
func TestA1bASessionThatStillOwesEndsWithTheChange(t *testing.T) {
	policy := latchkey.Policy{Sessions: latchkey.SessionPolicy{KeepOnPasswordChange: true}}
	for name, change := range map[string]func(k *kit.Kit, owner *latchkey.Account) error{
		"password": func(k *kit.Kit, owner *latchkey.Account) error {
			return kit.Err(k.Users().UpdatePassword(k.Ctx, owner.UserID(), kit.FreshPassword))
		},
		"e-mail": func(k *kit.Kit, owner *latchkey.Account) error {
			return kit.Err(k.Users().UpdateEmail(k.Ctx, owner.UserID(), kit.Bob))
		},
		"number": func(k *kit.Kit, owner *latchkey.Account) error {
			return kit.Err(k.Users().UpdatePhone(k.Ctx, owner.UserID(), kit.Phone))
		},
		"authenticator": func(k *kit.Kit, owner *latchkey.Account) error {
			return k.Users().DeleteMFAAuthenticator(k.Ctx, owner.UserID())
		},
	} {
		t.Run(name, func(t *testing.T) {
			kit.OnEveryStore(t, policy, func(k *kit.Kit) {
				owner, _ := withTOTP(k)
				session, _ := k.Owing(k.Visitor)
				k.Must(change(k, owner))
				k.Refuses("after the change", latchkey.ErrUnauthorized, func() error { return kit.Err(k.Visitor.Authenticate(k.Ctx, session.Secret.Reveal())) })
			})
		})
	}
}

// A sweep takes a proof of the time ahead from a session, also if that was extended once the clock
// was right.
func TestAttack3AnExtendedSessionKeepsNoProofFromAhead(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		const ahead = 20 * 24 * time.Hour
		owner := owned(k)
		k.Clock.Advance(ahead)
		owner = showsMail(k, owner)
		k.Clock.Advance(-ahead)
		k.Must(kit.Err(owner.ExtendSession(k.Ctx, latchkey.CurrentSession)))
		k.Must(kit.Err(k.Sweep(k.Ctx)))
		k.Clock.Advance(ahead)
		k.Refuses("a proof of 20 days ago", latchkey.ErrChallengeRequired, func() error { return owner.RequireRecent(k.Ctx, 0) })
	})
}

// A sweep takes the confirmation of an authenticator from a session if the clock was ahead then: it
// is no fresh proof of it when that time comes.
func TestAttack3AConfirmationFromAheadIsNoStrongProof(t *testing.T) {
	policy := latchkey.Policy{Factors: latchkey.FactorPolicy{EnrolWithoutStepUp: true}}
	kit.OnEveryStore(t, policy, func(k *kit.Kit) {
		const ahead = 20 * 24 * time.Hour
		owner := owned(k)
		k.Clock.Advance(ahead)
		k.Confirmed(owner, latchkey.NewMFAAuthenticator{})
		k.Clock.Advance(-ahead)
		k.Must(kit.Err(k.Sweep(k.Ctx)))
		k.Clock.Advance(ahead)
		owner = showsMail(k, owner)
		k.Refuses("a confirmation of 20 days ago", latchkey.ErrChallengeRequired, func() error { return owner.DeleteMFAAuthenticator(k.Ctx) })
	})
}

// On a full disk a transaction that writes nothing succeeds. A right old password is not told there
// either, also to a client that is known already, for which there is nothing to write down.
func TestA2OnAFullDiskAKnownClientLearnsNothing(t *testing.T) {
	policy := latchkey.Policy{Password: latchkey.PasswordPolicy{PersonalData: true}}
	kit.OnEveryStore(t, policy, func(k *kit.Kit) {
		owner := owned(k)
		hook := k.Store.Hook
		k.Store.Hook = func(c storetest.Call) error {
			if c.Name == "Insert" || c.Name == "InsertAll" || c.Name == "Replace" || c.Name == "Delete" || c.Name == "DeleteRange" {
				return kit.ErrDisk
			}
			return hook(c)
		}
		answers := make(map[string]bool)
		for _, old := range []string{kit.Password, "wrong horse"} {
			err := kit.Err(owner.UpdatePassword(k.Ctx, latchkey.PasswordUpdate{New: "my ada@example.org", Old: old}))
			answers[err.Error()] = true
		}
		k.Store.Hook = hook
		if len(answers) != 1 {
			k.Errorf("the answers differ: %v", answers)
		}
	})
}

// uncommitted is a store that runs a transaction and does not commit it.
type uncommitted struct{ store.Store }

func (s uncommitted) Update(ctx context.Context, fn func(context.Context, store.Tx) error) error {
	return s.Store.Update(ctx, func(ctx context.Context, tx store.Tx) error {
		if err := fn(ctx, tx); err != nil {
			return err
		}
		return kit.ErrDisk
	})
}

// The refusal of a change after the right old password commits as the count of a wrong one does. So
// a store that does not commit tells nothing of either.
func TestA2ARefusalAfterTheRightPasswordCommits(t *testing.T) {
	policy := latchkey.Policy{Password: latchkey.PasswordPolicy{PersonalData: true}}
	kit.OnEveryStore(t, policy, func(k *kit.Kit) {
		k.SignUp(kit.Bob)
		owner := owned(k)
		whole := k.Store.Store
		k.Store.Store = uncommitted{whole}
		answers := make(map[string]bool)
		for _, old := range []string{kit.Password, "wrong horse"} {
			answers[kit.Err(owner.UpdatePassword(k.Ctx, latchkey.PasswordUpdate{New: "my ada@example.org", Old: old})).Error()] = true
			answers[kit.Err(owner.UpdatePhone(k.Ctx, kit.Phone, old)).Error()] = true
			answers[kit.Err(owner.UpdateEmail(k.Ctx, kit.Bob, old)).Error()] = true
		}
		k.Store.Store = whole
		for answer := range answers {
			if !strings.HasSuffix(answer, "internal error") {
				k.Errorf("%s", answer)
			}
		}
	})
}

// An answer to a challenge proves the address only as long as the user has proven it.
func TestAC023AChallengeEndsWithTheProofOfItsAddress(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		owner := owned(k)
		challenge, err := owner.CreateMFAChallenge(k.Ctx, latchkey.FactorEmail)
		k.Must(err)
		code := k.Message(challenge.ID, kit.Ada).Secret
		k.Must(kit.Err(k.Users().UpdateEmailVerification(k.Ctx, owner.UserID(), false)))
		if err := kit.Err(owner.ConfirmMFAChallenge(k.Ctx, challenge.ID, code)); !errors.Is(err, latchkey.ErrInvalidToken) {
			k.Errorf("an address that is not proven any more: %v", err)
		}
	})
}

// Every proven address is told of new recovery codes: they stand in for the second factor.
func TestA10EveryProvenAddressIsToldOfRecoveryCodes(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user := k.Proven()
		account := k.SignedInAt(kit.Owner)
		k.Must(kit.Err(account.CreateMFARecoveryCodes(k.Ctx)))
		told := make(map[string]bool)
		for _, m := range k.Drained(k.Engine) {
			if m.Kind == notify.FactorsChanged && m.UserID == user.ID {
				told[m.To] = true
			}
		}
		if !told[kit.Ada] || !told[kit.Phone] {
			k.Errorf("%v", told)
		}
	})
}

// A challenge of a former authenticator is not answered by one that is not confirmed yet.
func TestAC054AnUnconfirmedAuthenticatorAnswersNoChallengeOfTheFormerOne(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		owner, app := withTOTP(k)
		owner = shows(k, owner, latchkey.FactorTOTP, app.Code())
		challenge, err := owner.CreateMFAChallenge(k.Ctx, latchkey.FactorTOTP)
		k.Must(err)
		k.Must(owner.DeleteMFAAuthenticator(k.Ctx))
		made, err := owner.CreateMFAAuthenticator(k.Ctx, latchkey.NewMFAAuthenticator{})
		k.Must(err)
		next, err := authtest.NewAuthenticator(k.Clock, made.URI.Reveal())
		k.Must(err)
		if err := kit.Err(owner.ConfirmMFAChallenge(k.Ctx, challenge.ID, next.Code())); !errors.Is(err, latchkey.ErrInvalidToken) {
			k.Errorf("it is not confirmed: %v", err)
		}
	})
}

// The key that seals now stays among those that the store needs, also where no password shows it.
func TestKeysTheActiveKeyStaysNeededAfterAReseal(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		old, next := k.Keys.Active, latchkey.GenerateKey()
		start := func(keys latchkey.Keys) (*latchkey.Engine, error) {
			return latchkey.New(k.Store, latchkey.Config{Keys: keys, LimiterPerProcess: true, Hasher: k.Hasher, Now: k.Clock.Now})
		}
		engine, err := start(latchkey.Keys{Active: next, Old: []latchkey.Key{old}})
		k.Must(err)
		k.Must(kit.Err(engine.Reseal(k.Ctx)))
		k.Must(engine.Close())
		if err := kit.Err(start(latchkey.Keys{Active: old})); !errors.Is(err, latchkey.ErrKeyUnknown) {
			k.Errorf("without the key that seals now: %v", err)
		}
		k.Tampered = true // the kit's own engine lacks the key now
	})
}

// A live challenge whose code an old key has digested needs that key.
func TestKeysALiveChallengeNeedsItsKey(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		owner := owned(k)
		k.Must(kit.Err(owner.CreateMFAChallenge(k.Ctx, latchkey.FactorEmail)))
		old := k.Keys.Active
		engine := k.WithKeys(latchkey.Keys{Active: latchkey.GenerateKey(), Old: []latchkey.Key{old}})
		resealed, err := engine.Reseal(k.Ctx)
		k.Must(err)
		if resealed.Left[old.ID()] != 1 {
			k.Errorf("%v", resealed.Left)
		}
		k.Tampered = true // the kit's own engine lacks the key now
	})
}

// A user who is told of a change by the host's staff does not read where the staff are.
func TestA10ANoticeDoesNotShowTheStaff(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user := k.Proven()
		k.Must(kit.Err(k.Users().At(kit.At("192.0.2.77")).UpdatePassword(k.Ctx, user.ID, kit.FreshPassword)))
		told := 0
		for _, m := range k.Drained(k.Engine) {
			if m.Kind != notify.PasswordChanged {
				continue
			}
			if told++; m.Client.IP.IsValid() || m.Client.UserAgent != "" {
				k.Errorf("to %s: %+v", m.To, m.Client)
			}
		}
		if told != 2 {
			k.Errorf("%d notices", told)
		}
	})
}

// The host has an event of the end of everything.
func TestF7TheEndOfEverythingIsAnEvent(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		var names []string
		engine := k.Configured(func(c *latchkey.Config) {
			c.OnEvent = func(_ context.Context, e latchkey.Event) { names = append(names, e.Name) }
		})
		k.Must(engine.EndAll(k.Ctx))
		if !slices.Contains(names, "sessions.all.delete") {
			k.Errorf("%v", names)
		}
	})
}

// Where a policy asks for no fresh proof, a session that has never shown the authenticator makes
// no recovery codes either: they stand in for it.
func TestA16WithoutStepUpTheAuthenticatorIsAskedForAllTheSame(t *testing.T) {
	policy := latchkey.Policy{Factors: latchkey.FactorPolicy{EnrolWithoutStepUp: true}}
	kit.OnEveryStore(t, policy, func(k *kit.Kit) {
		owner := owned(k)
		k.Confirmed(owner, latchkey.NewMFAAuthenticator{})
		thief := showsMail(k, authenticated(k, byPassword(k).Secret))
		k.Refuses("by the mailbox", latchkey.ErrChallengeRequired, func() error { return kit.Err(thief.CreateMFARecoveryCodes(k.Ctx)) })
		k.Clock.Advance(24 * time.Hour)
		k.Must(kit.Err(owner.CreateMFARecoveryCodes(k.Ctx)))
	})
}

// Everything ends, also where there is more than one transaction reads at once.
func TestF7EverythingEndsHoweverMuchThereIs(t *testing.T) {
	kit.OneByOne(t, kit.Documented, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		session, _ := k.SignIn(kit.Ada)
		row, err := record.Sessions.Find(k.Ctx, k.Raw, record.Sessions.Primary(), store.Text(session.ID))
		k.Must(err)
		for from := 0; from < 10_005; from += 667 {
			k.Must(k.Store.Store.Update(k.Ctx, func(ctx context.Context, tx store.Tx) error {
				for n := range 667 {
					copied := *row
					copied.ID, copied.Digest = fmt.Sprintf("copy%07d", from+n), fmt.Sprintf("%032d", from+n)
					if err := record.Sessions.Insert(ctx, tx, &copied); err != nil {
						return err
					}
				}
				return nil
			}))
		}
		k.Must(k.EndAll(k.Ctx))
		if left := k.Rows()["sessions"]; left != 0 {
			k.Errorf("%d sessions are left", left)
		}
	})
}

// Recovery codes are shown to a session that has answered a challenge, also where no authenticator
// is on: the password alone does not read the second factor.
func TestA16RecoveryCodesAreReadAfterAChallengeOnly(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		owner := owned(k)
		k.Must(kit.Err(k.Users().CreateMFARecoveryCodes(k.Ctx, owner.UserID())))
		k.Refuses("by the password", latchkey.ErrChallengeRequired, func() error { return kit.Err(owner.MFARecoveryCodes(k.Ctx)) })
		k.Must(kit.Err(showsMail(k, owner).MFARecoveryCodes(k.Ctx)))
	})
}
