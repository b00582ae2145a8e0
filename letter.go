package latchkey

import (
	"cmp"
	"context"

	"example.com/latchkey/internal/courier"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/notify"
	"example.com/latchkey/store"
)

// letter is a message on its way. A null letter is not sent, and costs the same.
type letter struct {
	message notify.Message
	null    bool
	notice  bool // the recipient has not asked for it
	// proven means of a notice that the user has proven the address. Of another letter it means that
	// the caller has shown a proof of the recipient's, which strangers cannot.
	proven bool
	code   code
}

// code names the row to which the secret of a letter belongs. The secret serves no longer when
// the row is gone. The zero code is that of a letter without a secret.
type code struct {
	Kind codeKind
	Key  []byte
}

// codeKind is a kind of rows with secrets.
type codeKind string

const (
	codeOfToken      codeKind = "token"      // Key is the id
	codeOfChallenge  codeKind = "challenge"  // Key is the id
	codeOfInvitation codeKind = "invitation" // Key is the digest of the secret
)

// serves reports whether the secret of a letter still serves. If the store does not answer, it
// does: a message is rather sent in vain than lost.
func (e *Engine) serves(ctx context.Context, of code) bool {
	var there bool
	var err error
	switch of.Kind {
	case codeOfToken:
		var row *record.Token
		row, err = record.Tokens.Find(ctx, e.store, record.Tokens.Primary(), store.Text(string(of.Key)))
		there = row != nil
	case codeOfChallenge:
		var row *record.Challenge
		row, err = record.Challenges.Find(ctx, e.store, record.Challenges.Primary(), store.Text(string(of.Key)))
		there = row != nil
	case codeOfInvitation:
		var n int
		n, err = e.store.Count(ctx, store.Query{Index: record.Memberships.Index("digest"), Equal: []store.Value{store.Bytes(of.Key)}, Limit: 1})
		there = n > 0
	default:
		there = true
	}
	return err != nil || there
}

// deliver hands a letter to the courier. It is the one place where messages leave, except for
// those of the outbox.
func (c *call) deliver(l letter) {
	d := courier.Delivery{Message: l.message, Null: l.null, Notice: l.notice, Proven: l.proven, From: c.client.sender()}
	if l.code.Kind != "" {
		d.Serves = func(ctx context.Context) bool { return c.serves(ctx, l.code) }
	}
	c.courier.Deliver(d)
}

// sender names a client to the courier. All of a customer's IPv6 addresses are one client to it.
func (c Client) sender() string { return cmp.Or(c.site(), c.network()) }
