package kit

import (
	"example.com/latchkey"
)

// FreshPassword is the password that [Kit.Recover] sets.
const FreshPassword = "another horse battery"

// Recovery asks for a recovery of Ada's account and returns the mail.
func (k *Kit) Recovery() Message {
	k.Helper()
	token, err := k.Visitor.CreateRecovery(k.Ctx, latchkey.NewRecovery{Email: Ada, URL: RecoverURL + "?lang=en#form"})
	k.Must(err)
	return k.MailOf(token, Ada)
}

// Recover sets [FreshPassword] with the mail of [Kit.Recovery].
func (k *Kit) Recover(m Message) error {
	return Err(k.Visitor.ConfirmRecovery(k.Ctx, m.UserID, m.Secret, FreshPassword))
}
