package kit

import (
	"slices"

	"example.com/latchkey"
	"example.com/latchkey/notify"
)

// Drained closes an engine, which sends the messages that wait, and returns the
// messages since the last call.
func (k *Kit) Drained(engine *latchkey.Engine) []notify.Message {
	k.Helper()
	k.Must(engine.Close())
	all := k.Box.All()
	*k.Box = notify.Outbox{}
	return all
}

// Posted is Drained, each message as "kind address".
func (k *Kit) Posted(engine *latchkey.Engine) (out []string) {
	k.Helper()
	for _, m := range k.Drained(engine) {
		out = append(out, string(m.Kind)+" "+m.To)
	}
	slices.Sort(out)
	return out
}

// Mail returns the next message to an address.
func (k *Kit) Mail(to string) notify.Message {
	k.Helper()
	m, err := k.Box.Next(k.Ctx, to)
	k.Must(err)
	return m
}

// MailOf returns the message with a token in it, which may come after others.
func (k *Kit) MailOf(token *latchkey.Token, to string) notify.Message {
	k.Helper()
	return k.Message(token.ID, to)
}

// Message returns the message with an id.
func (k *Kit) Message(id, to string) notify.Message {
	k.Helper()
	for {
		if m := k.Mail(to); m.ID == id {
			return m
		}
	}
}

// AskCode asks for a code for an address and returns it from the message.
func (k *Kit) AskCode(email string) (*latchkey.Token, string) {
	k.Helper()
	token, err := k.Visitor.CreateEmailToken(k.Ctx, latchkey.NewEmailToken{Email: email})
	k.Must(err)
	return token, k.MailOf(token, email).Secret
}

// OtherCode returns another code.
func OtherCode(code string) string {
	if code == "123456" {
		return "654321"
	}
	return "123456"
}
