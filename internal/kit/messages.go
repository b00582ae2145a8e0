package kit

import (
	"net/url"
	"slices"

	"example.com/latchkey"
	"example.com/latchkey/hidden"
	"example.com/latchkey/notify"
)

// Drained closes an engine, which sends the messages in its queue. It returns all
// messages since the last call.
func (k *Kit) Drained(engine *latchkey.Engine) []notify.Message {
	k.Helper()
	k.Must(engine.Close())
	return k.Box.Take()
}

// Posted is Drained with each message as "kind address", sorted.
func (k *Kit) Posted(engine *latchkey.Engine) (out []string) {
	k.Helper()
	for _, m := range k.Drained(engine) {
		out = append(out, string(m.Kind)+" "+m.To)
	}
	slices.Sort(out)
	return out
}

// Message is a message with its secret and its link in clear.
type Message struct {
	notify.Message
	Secret, Link string
}

// Mail waits for the next message to an address and returns it.
func (k *Kit) Mail(to string) Message {
	k.Helper()
	m, err := k.Box.Next(k.Ctx, to)
	k.Must(err)
	return Message{m, m.Secret.Reveal(), m.Link.Reveal()}
}

// MailOf returns the message of a token, and skips earlier messages to the address.
func (k *Kit) MailOf(token *latchkey.Token, to string) Message {
	k.Helper()
	return k.Message(token.ID, to)
}

// Message returns the message with an id, and skips earlier messages to the address.
func (k *Kit) Message(id, to string) Message {
	k.Helper()
	for {
		if m := k.Mail(to); m.ID == id {
			return m
		}
	}
}

// MailOfKind returns the next message of a kind to an address, and skips earlier ones of other kinds.
func (k *Kit) MailOfKind(kind notify.Kind, to string) Message {
	k.Helper()
	for {
		if m := k.Mail(to); m.Kind == kind {
			return m
		}
	}
}

// AskCode asks for an e-mail code and returns the token and the code from the
// message.
func (k *Kit) AskCode(email string) (*latchkey.Token, string) {
	k.Helper()
	token, err := k.Visitor.CreateEmailToken(k.Ctx, latchkey.NewEmailToken{Email: email})
	k.Must(err)
	return token, k.MailOf(token, email).Secret
}

// OtherCode returns a code of the right form that differs from code.
func OtherCode(code string) string {
	if code == "123456" {
		return "654321"
	}
	return "123456"
}

// InvitationTo waits for the next message to an address, an invitation, and returns its link.
func (k *Kit) InvitationTo(to string) latchkey.InvitationLink {
	k.Helper()
	m := k.Mail(to)
	u, err := url.Parse(m.Link)
	k.Must(err)
	q := u.Query()
	return latchkey.InvitationLink{
		TeamID: q.Get("teamId"), MembershipID: q.Get("membershipId"), UserID: q.Get("userId"), Secret: hidden.New(q.Get("secret")),
	}
}

// JoinURL is the page of the links of invitations.
const JoinURL = "https://app.example.org/join"
