package operations_test

import (
	"testing"

	"example.com/latchkey"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/internal/operations"
)

// AC-091: from the moment on that the server blocks or deletes a user, nothing that the user
// had serves any more: sessions, JWTs, links, codes and challenges. After a deletion that
// holds for the next user of the id too.
func TestAC091NothingServesAfterABlockOrADeletion(t *testing.T) {
	for what, bar := range map[string]func(w *operations.World) error{
		"blocked": func(w *operations.World) error { return kit.Err(w.Users().UpdateStatus(w.Ctx, w.User.ID, false)) },
		"deleted": func(w *operations.World) error { return w.Users().Delete(w.Ctx, w.User.ID) },
		"deleted, and the id used again": func(w *operations.World) error {
			if err := w.Users().Delete(w.Ctx, w.User.ID); err != nil {
				return err
			}
			return kit.Err(w.Users().Create(w.Ctx, latchkey.NewUser{UserID: w.User.ID, Email: kit.Ada, Phone: kit.OwnPhone, Password: "another horse"}))
		},
	} {
		t.Run(what, func(t *testing.T) {
			kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
				w := operations.NewWorld(k, true, operations.Operation{Proofs: true, Factors: "fresh"})
				bare, err := k.Users().CreateJWT(k.Ctx, w.User.ID, "", 0)
				k.Must(err)
				challenge, code := w.Challenge()
				k.Must(bar(w))
				for proof, use := range map[string]func() error{
					"the handle":            func() error { return kit.Err(w.Account.User(k.Ctx)) },
					"the session":           func() error { return kit.Err(k.Visitor.Authenticate(k.Ctx, w.Secret.Reveal())) },
					"the other session":     func() error { return kit.Err(k.Visitor.Authenticate(k.Ctx, w.Other.Secret.Reveal())) },
					"the JWT":               func() error { return kit.Err(k.Visitor.AuthenticateJWT(k.Ctx, w.JWT.Reveal())) },
					"a JWT without session": func() error { return kit.Err(k.Visitor.AuthenticateJWT(k.Ctx, bare.Reveal())) },
					"the server's token":    func() error { return kit.Err(k.Visitor.CreateSession(k.Ctx, w.User.ID, w.Custom.Secret.Reveal())) },
					"the link": func() error { // an address that a blocked user has not proven is its owner's, for an account of their own
						session, err := k.Visitor.CreateSession(k.Ctx, w.Link.UserID, w.Link.Secret.Reveal())
						if err == nil && session.UserID != w.User.ID {
							return latchkey.ErrInvalidToken
						}
						return err
					},
					"the recovery": func() error {
						return kit.Err(k.Visitor.ConfirmRecovery(k.Ctx, w.User.ID, w.Recovery.Secret.Reveal(), "third horse"))
					},
					"the proof of the mail": func() error {
						return kit.Err(k.Visitor.ConfirmEmailVerification(k.Ctx, w.User.ID, w.MailProof.Secret.Reveal()))
					},
					"the proof of the phone": func() error {
						return kit.Err(k.Visitor.ConfirmPhoneVerification(k.Ctx, w.User.ID, w.PhoneProof.Secret.Reveal()))
					},
					"the challenge": func() error { return kit.Err(w.Account.ConfirmMFAChallenge(k.Ctx, challenge, code)) },
					"the password":  func() error { return kit.Err(k.Visitor.CreateEmailPasswordSession(k.Ctx, kit.Ada, kit.Password)) },
				} {
					if err := use(); err == nil {
						k.Errorf("%s serves", proof)
					}
				}
			})
		})
	}
}
