package attack_test

import (
	"errors"
	"sync"
	"testing"

	"example.com/latchkey"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/internal/operations"
)

// AC-087: an operation that fails to end a session does not report success.
func TestAC087FailedRevocationIsSaid(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		for what, revoke := range map[string]func(w *operations.World) error{
			"own": func(w *operations.World) error { return w.Account.DeleteSession(k.Ctx, latchkey.CurrentSession) }, "all": func(w *operations.World) error { return w.Account.DeleteSessions(k.Ctx) },
			"server's": func(w *operations.World) error {
				return k.Users().DeleteSession(k.Ctx, w.User.ID, w.Account.SessionID())
			},
			"block": func(w *operations.World) error { return kit.Err(k.Users().UpdateStatus(k.Ctx, w.User.ID, false)) },
		} {
			w := operations.NewWorld(k, true)
			reached := k.Failing(1, false)
			err := revoke(w)
			reached()
			if err == nil {
				k.Errorf("%s: no error", what)
			}
			k.Must(kit.Err(k.Visitor.Authenticate(k.Ctx, w.Secret.Reveal())))
			k.DeleteAll()
		}
	})
}

// AC-088: signing in makes a new session, so a planted session never becomes the
// user's.
func TestAC088SignInMakesANewSession(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user := k.SignUp(kit.Ada)
		planted, attacker := k.Anonymous()
		session, _ := k.SignIn(kit.Ada)
		if session.ID == planted.ID || session.Secret.Equal(planted.Secret) || session.UserID == planted.UserID {
			k.Error("the planted session became the user's")
		}
		shown, err := attacker.User(k.Ctx)
		k.Must(err)
		if shown.ID == user.ID {
			k.Error("the planted session is signed in")
		}
	})
}

// AC-089: an attacker cannot use the id of another user's session.
func TestAC089SessionIDOfAnotherUser(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		k.SignUp("eve@example.org")
		victim, _ := k.SignIn(kit.Ada)
		_, eve := k.SignIn("eve@example.org")
		if _, err := eve.GetSession(k.Ctx, victim.ID); !errors.Is(err, latchkey.ErrSessionNotFound) {
			k.Errorf("read: %v", err)
		}
		if err := eve.DeleteSession(k.Ctx, victim.ID); !errors.Is(err, latchkey.ErrSessionNotFound) {
			k.Errorf("revoke: %v", err)
		}
		if _, err := k.Visitor.Authenticate(k.Ctx, victim.ID); !errors.Is(err, latchkey.ErrUnauthorized) {
			k.Errorf("as a secret: %v", err)
		}
		_, err := k.Visitor.Authenticate(k.Ctx, victim.Secret.Reveal())
		k.Must(err)
	})
}

func TestAC090SessionLimitIsExactUnderConcurrency(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		var group sync.WaitGroup
		for range 40 {
			group.Go(func() {
				if _, err := k.Visitor.CreateEmailPasswordSession(k.Ctx, kit.Ada, kit.Password); err != nil {
					k.Errorf("sign-in: %v", err)
				}
				if n := k.Rows()["sessions"]; n > 10 {
					k.Errorf("%d sessions", n)
				}
			})
		}
		group.Wait()
		if n := k.Rows()["sessions"]; n != 10 {
			k.Errorf("%d sessions after 40 sign-ins", n)
		}
	})
}

// AC-091: sessions and secrets from before a block, a deletion or a change do not
// work any more.
func TestAC091NothingOfABlockedOrDeletedUserWorks(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		for what, end := range map[string]func(id string) error{
			"block":  func(id string) error { return kit.Err(k.Users().UpdateStatus(k.Ctx, id, false)) },
			"delete": func(id string) error { return k.Users().Delete(k.Ctx, id) },
		} {
			w := operations.NewWorld(k, true)
			k.Must(end(w.User.ID))
			for _, secret := range []latchkey.Secret{w.Secret, w.Other.Secret} {
				if err := kit.Err(k.Visitor.Authenticate(k.Ctx, secret.Reveal())); err == nil {
					k.Errorf("%s: a session works", what)
				}
			}
			if err := kit.Err(k.Visitor.CreateEmailPasswordSession(k.Ctx, kit.Ada, kit.Password)); err == nil {
				k.Errorf("%s: signing in works", what)
			}
			k.DeleteAll()
		}
	})
}

// AC-091: a blocked user cannot prove an address and stays blocked.
func TestAC091BlockedUserStaysBlocked(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		w := operations.NewWorld(k, true, operations.Operation{Proofs: true})
		k.Must(kit.Err(k.Users().UpdateStatus(k.Ctx, w.User.ID, false)))
		for name, do := range map[string]func() error{
			"recovery": func() error {
				return kit.Err(k.Visitor.ConfirmRecovery(k.Ctx, w.User.ID, w.Recovery.Secret.Reveal(), kit.FreshPassword))
			},
			"mail": func() error {
				return kit.Err(k.Visitor.ConfirmEmailVerification(k.Ctx, w.User.ID, w.MailProof.Secret.Reveal()))
			},
			"phone": func() error {
				return kit.Err(k.Visitor.ConfirmPhoneVerification(k.Ctx, w.User.ID, w.PhoneProof.Secret.Reveal()))
			},
		} {
			k.Refuses(name, latchkey.ErrUserBlocked, do)
		}
		k.Must(kit.Err(k.Users().UpdateStatus(k.Ctx, w.User.ID, true)))
		shown, err := k.Users().Get(k.Ctx, w.User.ID)
		k.Must(err)
		if shown.EmailVerification || shown.PhoneVerification {
			k.Errorf("%+v", shown)
		}
	})
}

// AC-092: extending a session checks the user too.
func TestAC092BlockedUserExtendsNothing(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		w := operations.NewWorld(k, true)
		k.Must(kit.Err(k.Users().UpdateStatus(k.Ctx, w.User.ID, false)))
		for _, id := range []string{latchkey.CurrentSession, w.Other.ID} {
			k.Refuses("extend "+id, latchkey.ErrUserBlocked, func() error { return kit.Err(w.Account.ExtendSession(k.Ctx, id)) })
		}
	})
}

// AC-093: only the whole secret finds a session. The comparison of digests gives an
// attacker no hint.
func TestAC093OnlyTheWholeSecretFindsASession(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		session, _ := k.SignIn(kit.Ada)
		s := session.Secret.Reveal()
		for n := range s {
			digit := "0"
			if s[n] == '0' {
				digit = "1"
			}
			if err := kit.Err(k.Visitor.Authenticate(k.Ctx, s[:n]+digit+s[n+1:])); err != latchkey.ErrUnauthorized {
				k.Errorf("digit %d: %v", n, err)
			}
		}
	})
}

// AC-094: there is no cache, so a session that ends on one engine has ended on the
// others.
func TestAC094EndedOnOneEngineIsEndedOnAll(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		w := operations.NewWorld(k, true)
		other := k.LimitedEngine(nil)
		for range 3 {
			k.Must(kit.Err(other.Guest(kit.Client).Authenticate(k.Ctx, w.Secret.Reveal())))
		}
		k.Must(w.Account.DeleteSessions(k.Ctx))
		if err := kit.Err(other.Guest(kit.Client).Authenticate(k.Ctx, w.Secret.Reveal())); err != latchkey.ErrUnauthorized {
			k.Errorf("%v", err)
		}
	})
}
