package operations_test

import (
	"errors"
	"sync"
	"testing"

	"example.com/latchkey"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/internal/operations"
)

// endedAreRefused reports a session that works although its user is deleted or
// blocked.
func endedAreRefused(k *kit.Kit, worlds ...*operations.World) {
	k.Helper()
	user, err := k.Users().Get(k.Ctx, worlds[0].User.ID)
	usable := err == nil && user.Status
	for _, w := range worlds {
		if err := kit.Err(w.Account.User(k.Ctx)); err == nil && !usable {
			k.Errorf("a session works, and its user is %+v", user)
		}
	}
}

// Two concurrent operations on one user end as if one had run after the other, or one
// of them is refused. They never leave rows that contradict each other.
func TestEveryPairOfOperationsAtOnceLeavesTheRowsWhole(t *testing.T) {
	var changing []operations.Operation
	for _, op := range operations.Table {
		if !op.Quiet || op.Name == "Guest.Authenticate" || op.Name == "Guest.AuthenticateProfile" || op.Name == "Engine.Reseal" || op.Queued {
			changing = append(changing, op)
		}
	}
	for i, one := range changing {
		t.Run(one.Name, func(t *testing.T) {
			t.Parallel()
			kit.OnAShareAtOnce(t, latchkey.Policy{Sessions: latchkey.SessionPolicy{Limit: 2}}, func(k *kit.Kit) {
				for _, two := range changing[i:] {
					if one.Bare && two.Factors == "fresh" || two.Bare && one.Factors == "fresh" {
						continue
					}
					w := operations.NewWorld(k, true, one, two)
					v := *w
					var err error
					v.Account, err = k.Visitor.Authenticate(k.Ctx, w.Other.Secret.Reveal())
					k.Must(err)
					k.Forget()
					var group sync.WaitGroup
					var errs [2]error
					group.Go(func() { errs[0] = one.Do(w) })
					group.Go(func() { errs[1] = two.Do(&v) })
					group.Wait()
					for n, err := range errs {
						var own *latchkey.Error
						if err != nil && !errors.As(err, &own) {
							k.Errorf("%s and %s: operation %d: %v", one.Name, two.Name, n+1, err)
						}
					}
					if errs[0] != nil && errs[1] != nil {
						k.Errorf("%s and %s: both are refused: %v, %v", one.Name, two.Name, errs[0], errs[1])
					}
					if broken := k.Broken(); broken != nil {
						k.Errorf("%s and %s: %v", one.Name, two.Name, broken)
					}
					endedAreRefused(k, w, &v)
					k.DeleteAll()
				}
			})
		})
	}
}

// An operation that can succeed only once succeeds once, even if two callers make it
// at the same time.
func TestWhatServesOnceServesOnceUnderAnyRace(t *testing.T) {
	for name, do := range map[string]func(w *operations.World) error{
		"end one session":   func(w *operations.World) error { return w.Users().DeleteSession(w.Ctx, w.User.ID, w.Other.ID) },
		"end one's session": func(w *operations.World) error { return w.Account.DeleteSession(w.Ctx, latchkey.CurrentSession) },
		"delete the user":   func(w *operations.World) error { return w.Users().Delete(w.Ctx, w.User.ID) },
		"take an address": func(w *operations.World) error {
			return kit.Err(w.Users().Create(w.Ctx, latchkey.NewUser{Email: "one@example.org"}))
		},
		"take a number": func(w *operations.World) error {
			return kit.Err(w.Users().Create(w.Ctx, latchkey.NewUser{Phone: kit.Phone}))
		},
		"take an id": func(w *operations.World) error {
			return kit.Err(w.Users().Create(w.Ctx, latchkey.NewUser{UserID: "one"}))
		},
		"redeem a link": func(w *operations.World) error {
			return kit.Err(w.Visitor.CreateSession(w.Ctx, w.Link.UserID, w.Link.Secret.Reveal()))
		},
		"prove an address": func(w *operations.World) error {
			return kit.Err(w.Visitor.ConfirmEmailVerification(w.Ctx, w.MailProof.UserID, w.MailProof.Secret.Reveal()))
		},
		"prove a number": func(w *operations.World) error {
			return kit.Err(w.Visitor.ConfirmPhoneVerification(w.Ctx, w.PhoneProof.UserID, w.PhoneProof.Secret.Reveal()))
		},
		"recover": func(w *operations.World) error {
			return kit.Err(w.Visitor.ConfirmRecovery(w.Ctx, w.Recovery.UserID, w.Recovery.Secret.Reveal(), "another horse"))
		},
		"redeem a code": func(w *operations.World) error {
			return kit.Err(w.Visitor.CreateSession(w.Ctx, w.Code.UserID, w.Code.Secret.Reveal()))
		},
		"redeem the host's token": func(w *operations.World) error {
			return kit.Err(w.Visitor.CreateSession(w.Ctx, w.Custom.UserID, w.Custom.Secret.Reveal()))
		},
		"change the password": func(w *operations.World) error {
			return kit.Err(w.Account.UpdatePassword(w.Ctx, latchkey.PasswordUpdate{New: "another horse", Old: kit.Password}))
		},
	} {
		t.Run(name, func(t *testing.T) {
			kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
				w := operations.NewWorld(k, true, operations.Operation{Proofs: true})
				var group sync.WaitGroup
				errs := make([]error, 100)
				for i := range errs {
					group.Go(func() { errs[i] = do(w) })
				}
				group.Wait()
				wins := 0
				for _, err := range errs {
					var own *latchkey.Error
					if err == nil {
						wins++
					} else if !errors.As(err, &own) {
						k.Errorf("%v", err)
					}
				}
				if wins != 1 {
					k.Errorf("%d of %d", wins, len(errs))
				}
			})
		})
	}
}
