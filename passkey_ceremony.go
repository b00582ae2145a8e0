package latchkey

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"time"

	"example.com/latchkey/internal/ceremony"
	"example.com/latchkey/internal/reason"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/internal/seal"
	"example.com/latchkey/store"
)

// The bounds of ceremonies that have begun. See crowd.
const (
	ceremonyLength      = 5 * time.Minute
	ceremonyShares      = 1_024
	ceremoniesOfShare   = 100
	ceremoniesOfClient  = 40
	ceremoniesOfSession = 5
)

// The kinds of ceremonies. A row of one is unknown to the others.
const (
	ceremonyEnrol  = "enrol"
	ceremonySignIn = "sign-in"
	ceremonyFactor = "factor"
	ceremonyStepUp = "step-up"
)

// PasskeyCeremony is a question to an authenticator.
type PasskeyCeremony struct {
	// Options are for the page: the member publicKey is for PublicKeyCredential.parseCreationOptionsFromJSON, for a new passkey,
	// or parseRequestOptionsFromJSON, for a proof. What that returns, and the member mediation if there is one, are for
	// navigator.credentials.create or get. The page sends back what toJSON of its credential gives.
	Options json.RawMessage `json:"options"`
	Expire  time.Time       `json:"expire"` // five minutes after the start, whatever browsers say of timeouts
}

// keptOfCeremony is what a ceremony keeps, sealed.
type keptOfCeremony struct {
	Asked  json.RawMessage `json:"asked"`
	Second bool            `json:"second,omitempty"`
	Length int64           `json:"length,omitempty"` // of the session, in seconds; 0 for that of the policy
}

// newCeremony is a ceremony that is about to begin.
type newCeremony struct {
	id, kind        string
	userID, session string // "" for a sign-in
	second          bool
}

// beginCeremony stores a question.
func (tx *txn) beginCeremony(ctx context.Context, n newCeremony, asked *ceremony.Asked) (*PasskeyCeremony, error) {
	kept, err := json.Marshal(keptOfCeremony{asked.Kept, n.second, int64(tx.client.SessionLength / time.Second)})
	if err != nil {
		return nil, err
	}
	digest := challengeDigest(asked.Challenge)
	network, own := tx.ring.Digest("ceremony", tx.client.network()), ceremoniesOfClient
	share := network
	switch {
	case n.session != "":
		network, own = tx.ring.Digest("ceremony", "session", n.session), ceremoniesOfSession
		share = network
	case tx.client.network() == "": // of a host that does not tell its clients apart
		share = digest
	}
	row := &record.Ceremony{
		ID: n.id, Digest: digest, Kind: n.kind, UserID: n.userID, Session: n.session,
		Share: int64(binary.BigEndian.Uint64(share) % ceremonyShares), Network: network,
		Sealed: tx.ring.Seal(seal.Ceremony, seal.CeremonyPlace(n.id), kept), Created: tx.now, Expire: tx.now.Add(ceremonyLength),
	}
	rows, err := record.Ceremonies.List(ctx, tx, store.Query{
		Index: record.Ceremonies.Index("share"), Equal: []store.Value{store.Int(row.Share)}, Limit: store.MaxLimit,
	})
	if err != nil {
		return nil, err
	}
	waits := make([]waiting, len(rows))
	for i, r := range rows {
		waits[i] = waiting{r.ID, string(r.Network), r.Created, r.Expire}
	}
	end := func(id string) error { return record.Ceremonies.Delete(ctx, tx, store.Text(id)) }
	if err := tx.makeRoom(crowd{ceremoniesOfShare, own}, string(network), waits, end); err != nil {
		return nil, err
	}
	if err := record.Ceremonies.Insert(ctx, tx, row); err != nil {
		return nil, err
	}
	return &PasskeyCeremony{Options: asked.Options, Expire: row.Expire}, nil
}

// challengeDigest is the digest by which a ceremony is found.
func challengeDigest(challenge []byte) []byte { return record.CredentialDigest(challenge) }

// claimCeremony deletes the row of a question that is of a kind and of a session, and returns what it keeps. The caller commits
// that before it compares the answer: the question is answered once. The error for another question commits. A question that has
// expired is used up too, with errPasskeyLate.
func (tx *txn) claimCeremony(ctx context.Context, kind, session string, user *record.User, challenge []byte) (*keptOfCeremony, error) {
	row, err := record.Ceremonies.Find(ctx, tx, record.Ceremonies.Index("digest"), store.Bytes(challengeDigest(challenge)))
	if err != nil {
		return nil, err
	}
	if row == nil || row.Kind != kind || row.Session != session || user != nil && row.UserID != user.ID {
		return nil, tx.refuse(ctx, refused{refusalOf(kind), user, ErrPasskeyRefused})
	}
	if err := record.Ceremonies.Delete(ctx, tx, store.Text(row.ID)); err != nil {
		return nil, err
	}
	if !tx.live(row.Created, row.Expire) {
		return nil, tx.refuse(ctx, refused{refusalOf(kind), user, errPasskeyLate})
	}
	text, err := tx.ring.Open(seal.Ceremony, seal.CeremonyPlace(row.ID), row.Sealed)
	if err != nil {
		return nil, err
	}
	kept := new(keptOfCeremony)
	return kept, json.Unmarshal(text, kept)
}

// refusalOf is the audit log's name for an answer that is refused.
func refusalOf(kind string) string {
	switch kind {
	case ceremonySignIn:
		return logSessionRefuse
	case ceremonyEnrol:
		return logPasskeyRefuse
	}
	return logChallengeRefuse
}

// malformedAnswer is the error for an answer that cannot be read.
func malformedAnswer(err error) error {
	return invalid("answer", reason.New(reason.Malformed, "%v, of at most %d bytes", err, ceremony.MaxAnswer))
}
