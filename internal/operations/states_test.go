package operations_test

import (
	"errors"
	"testing"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/internal/operations"
)

// AC-044: a session that owes a second factor may answer a challenge for it, and may
// do nothing else.
func TestAC044EveryMethodOfAPendingSession(t *testing.T) {
	operations.OnEvery(t, func(k *kit.Kit, op operations.Operation) {
		if op.Free {
			return
		}
		w := operations.NewWorld(k, true)
		k.Must(kit.Err(k.Users().CreateMFARecoveryCodes(k.Ctx, w.User.ID)))
		k.Must(kit.Err(k.Users().UpdateEmailVerification(k.Ctx, w.User.ID, true)))
		k.Must(kit.Err(k.Users().UpdateMFA(k.Ctx, w.User.ID, true)))
		err := op.Do(w)
		switch {
		case op.Name == "Account.ConfirmMFAChallenge":
			if !errors.Is(err, latchkey.ErrInvalidToken) {
				k.Errorf("of an unknown challenge: %v", err)
			}
		case op.Name == "Account.StartPasskeyChallenge" || op.Name == "Account.FinishPasskeyChallenge":
			if !errors.Is(err, latchkey.ErrPasskeyNotFound) && !errors.Is(err, latchkey.ErrPasskeyRefused) {
				k.Errorf("without a passkey: %v", err)
			}
		case op.Open:
			k.Must(err)
		default:
			k.Refuses(op.Name, latchkey.ErrMoreFactorsRequired, func() error { return op.Do(w) })
		}
	})
}

// AC-052: the methods that change factors require a fresh session, and only they do.
func TestAC052EveryMethodOfASessionThatWasFreshLongAgo(t *testing.T) {
	operations.OnEvery(t, func(k *kit.Kit, op operations.Operation) {
		if op.Free {
			return
		}
		w := operations.NewWorld(k, true, op)
		k.Clock.Advance(31 * time.Minute)
		if err := op.Do(w); !errors.Is(err, op.Aged) || err != nil && op.Aged == nil {
			k.Errorf("%v, want %v", err, op.Aged)
		}
	})
}

// sessionStates are the states of a session in which its methods are called. Each
// function brings the session into its state and returns the expected answer of the
// methods.
var sessionStates = map[string]func(w *operations.World) error{
	"none": func(w *operations.World) error { w.Account = nil; return latchkey.ErrUnauthorized },
	"zero": func(w *operations.World) error {
		w.Account, w.Secret = new(latchkey.Account), latchkey.Secret{}
		return latchkey.ErrUnauthorized
	},
	"full": func(w *operations.World) error { return nil },
	"enrolled, not confirmed": func(w *operations.World) error {
		w.Enrol("begun")
		w.Must(kit.Err(w.Users().UpdateMFA(w.Ctx, w.User.ID, true)))
		return nil
	},
	"expired": func(w *operations.World) error {
		w.Clock.Advance(365 * 24 * time.Hour)
		return latchkey.ErrUnauthorized
	},
	"ended a moment ago": func(w *operations.World) error {
		w.Must(w.Users().DeleteSession(w.Ctx, w.User.ID, w.Account.SessionID()))
		return latchkey.ErrUnauthorized
	},
	"user blocked": func(w *operations.World) error {
		w.Must(kit.Err(w.Users().UpdateStatus(w.Ctx, w.User.ID, false)))
		return latchkey.ErrUserBlocked
	},
	"user deleted": func(w *operations.World) error {
		w.Must(w.Users().Delete(w.Ctx, w.User.ID))
		return latchkey.ErrUnauthorized
	},
	"user deleted and its id used again": func(w *operations.World) error {
		w.Must(w.Users().Delete(w.Ctx, w.User.ID))
		w.Must(kit.Err(w.Users().Create(w.Ctx, latchkey.NewUser{UserID: w.User.ID, Email: kit.Ada, Password: kit.Password})))
		w.Must(kit.Err(w.Users().CreateSession(w.Ctx, w.User.ID)))
		return latchkey.ErrUnauthorized
	},
}

func TestEveryMethodOfASessionInEveryState(t *testing.T) {
	for state, enter := range sessionStates {
		t.Run(state, func(t *testing.T) {
			operations.OnEvery(t, func(k *kit.Kit, op operations.Operation) {
				if op.Free || op.Keyed && state == "enrolled, not confirmed" { // a passkey is a factor
					return
				}
				w := operations.NewWorld(k, true, op)
				want := enter(w)
				do := func() error { return op.Do(w) }
				if want == nil {
					k.Must(do())
					return
				}
				k.Refuses(op.Name, want, do)
			})
		})
	}
	t.Run("anonymous", func(t *testing.T) {
		operations.OnEvery(t, func(k *kit.Kit, op operations.Operation) {
			if err := op.Do(operations.NewWorld(k, false, op)); !errors.Is(err, op.Anonymous) || op.Anonymous == nil && err != nil {
				k.Errorf("%v", err)
			}
		})
	})
}

// With a JWT, every method does the same as with the session. The exceptions are the
// methods that need the session itself, and the one that makes another JWT.
func TestEveryMethodByAJWT(t *testing.T) {
	other := map[string]error{
		"Account.GetSession": latchkey.ErrSessionNotFound, "Account.ExtendSession": latchkey.ErrSessionNotFound, "Account.DeleteSession": latchkey.ErrSessionNotFound,
		"Account.CreateJWT": latchkey.ErrJWTCreationDenied, "Account.RequireRecent": latchkey.ErrChallengeRequired,
	}
	for _, name := range []string{
		"UpdateMFA", "CreateMFAAuthenticator", "VerifyMFAAuthenticator", "DeleteMFAAuthenticator", "CreateMFAChallenge", "ConfirmMFAChallenge",
		"CreateMFARecoveryCodes", "MFARecoveryCodes", "RegenerateMFARecoveryCodes", "Block", "RotateSession", "Delete", "CreatePushTarget",
		"StartOAuth2", "LinkIDToken", "DeleteIdentity", "ProviderTokens", "ConfirmPassword", "ConfirmEmailChange", "ConfirmPhoneChange",
		"StartPasskeyEnrolment", "FinishPasskeyEnrolment", "StartPasskeyChallenge", "FinishPasskeyChallenge", "DeletePasskey",
	} {
		other["Account."+name] = latchkey.ErrSessionNotFound
	}
	operations.OnEvery(t, func(k *kit.Kit, op operations.Operation) {
		if op.Free || op.Name == "Guest.Authenticate" || op.Name == "Guest.AuthenticateProfile" {
			return
		}
		for _, bound := range []bool{true, false} {
			w := operations.NewWorld(k, true, op)
			if !bound {
				k.Must(k.Users().DeleteSessions(k.Ctx, w.User.ID))
			}
			w.Account, w.JWT = k.ByJWT(w.User.ID, "")
			if got := w.Account.SessionID() != ""; got != bound {
				k.Errorf("bound to a session: %v", got)
			}
			if op.Pushes && !bound { // the one of the session has ended with it
				target, err := k.Users().CreateTarget(k.Ctx, w.User.ID, latchkey.NewTarget{ProviderType: latchkey.TargetPush, Identifier: "device"})
				k.Must(err)
				w.Push = target.ID
			}
			if err := op.Do(w); !errors.Is(err, other[op.Name]) || err != nil && other[op.Name] == nil {
				k.Errorf("bound %v: %v", bound, err)
			}
			k.DeleteAll()
		}
	})
}
