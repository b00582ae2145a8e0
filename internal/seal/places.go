package seal

import (
	"crypto/sha256"
	"fmt"
)

// The places of sealed values. Each binds a value to its row and its user.

// PasswordPlace is the place of a user's password hash.
func PasswordPlace(userID string) Place {
	return Place{Table: "users", Column: "password", Record: userID, Owner: userID}
}

// HistoryPlace is the place of the hashes of a user's former passwords.
func HistoryPlace(userID string) Place {
	return Place{Table: "users", Column: "password_history", Record: userID, Owner: userID}
}

// SeedPlace is the place of an authenticator's seed.
func SeedPlace(id, userID string) Place {
	return Place{Table: "authenticators", Column: "seed", Record: id, Owner: userID}
}

// RecoveryCodePlace is the place of a recovery code.
func RecoveryCodePlace(id, userID string) Place {
	return Place{Table: "recovery_codes", Column: "sealed", Record: id, Owner: userID}
}

// CheckPlace is the place of the value of a setting that tells whether a key is there.
func CheckPlace(name string) Place {
	return Place{Table: "settings", Column: "value", Record: name}
}

// PlainDigest returns the SHA-256 of length-prefixed parts, without a key. It is
// for secrets that are too long to be guessed.
func PlainDigest(parts ...string) []byte {
	var text []byte
	for _, part := range parts {
		text = fmt.Appendf(text, "%d:%s", len(part), part)
	}
	sum := sha256.Sum256(text)
	return sum[:]
}

// ChallengePlace is the place of the code of a challenge.
func ChallengePlace(id, userID string) Place {
	return Place{Table: "challenges", Column: "sealed", Record: id, Owner: userID}
}

// AccessPlace is the place of the access token of an identity.
func AccessPlace(id, userID string) Place {
	return Place{Table: "identities", Column: "access", Record: id, Owner: userID}
}

// RefreshPlace is the place of the refresh token of an identity.
func RefreshPlace(id, userID string) Place {
	return Place{Table: "identities", Column: "refresh", Record: id, Owner: userID}
}

// PostedPlace is the place of the parameters of a form post.
func PostedPlace(id string) Place { return Place{Table: "starts", Column: "posted", Record: id} }

// StartPlace is the place of what a sign-in by a provider keeps.
func StartPlace(id string) Place { return Place{Table: "starts", Column: "sealed", Record: id} }

// CeremonyPlace is the place of the state of a ceremony.
func CeremonyPlace(id string) Place { return Place{Table: "ceremonies", Column: "sealed", Record: id} }

// OutboxPlace is the place of a message or an event that waits.
func OutboxPlace(id, lane string) Place {
	return Place{Table: "outbox", Column: "sealed", Record: id, Owner: lane}
}
