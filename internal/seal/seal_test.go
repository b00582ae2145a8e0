package seal

import (
	"bytes"
	"errors"
	"testing"
)

var (
	one   = bytes.Repeat([]byte{1}, KeySize)
	two   = bytes.Repeat([]byte{2}, KeySize)
	place = Place{Table: "users", Column: "password", Record: "id", Owner: "id"}
)

func TestSealedOpensInItsPlaceOnly(t *testing.T) {
	r := NewRing(one)
	sealed := r.Seal(PasswordHash, place, []byte("text"))
	if got, err := r.Open(PasswordHash, place, sealed); err != nil || string(got) != "text" {
		t.Fatalf("%q, %v", got, err)
	}
	if bytes.Equal(sealed, r.Seal(PasswordHash, place, []byte("text"))) {
		t.Error("one nonce twice")
	}
	for name, p := range map[string]Place{
		"table":  {"other", "password", "id", "id"},
		"column": {"users", "other", "id", "id"},
		"record": {"users", "password", "other", "id"},
		"owner":  {"users", "password", "id", "other"},
		"shift":  {"user", "spassword", "id", "id"},
	} {
		if _, err := r.Open(PasswordHash, p, sealed); !errors.Is(err, ErrDamaged) {
			t.Errorf("another %s: %v", name, err)
		}
	}
	if _, err := r.Open(Index, place, sealed); !errors.Is(err, ErrDamaged) {
		t.Errorf("another purpose: %v", err)
	}
	for i := range sealed {
		changed := bytes.Clone(sealed)
		changed[i] ^= 1
		if _, err := r.Open(PasswordHash, place, changed); err == nil {
			t.Errorf("byte %d may change", i)
		}
		if _, err := r.Open(PasswordHash, place, sealed[:i]); err == nil {
			t.Errorf("%d bytes open", i)
		}
	}
}

func TestOldKeysOpenAndUnknownOnesSaySo(t *testing.T) {
	sealed := NewRing(one).Seal(PasswordHash, place, []byte("text"))
	if got, err := NewRing(two, one).Open(PasswordHash, place, sealed); err != nil || string(got) != "text" {
		t.Errorf("old key: %q, %v", got, err)
	}
	if _, err := NewRing(two).Open(PasswordHash, place, sealed); !errors.Is(err, ErrUnknownKey) {
		t.Errorf("unknown key: %v", err)
	}
}

func TestDigestKeepsPartsAndPurposesApart(t *testing.T) {
	r := NewRing(one)
	digests := map[string]bool{}
	for _, d := range [][]byte{
		r.Digest("ab", "c"), r.Digest("a", "bc"), r.Digest("abc"), r.Digest("", "abc"),
		NewRing(two).Digest("abc"),
	} {
		digests[string(d)] = true
	}
	if len(digests) != 5 || !bytes.Equal(r.Digest("abc"), r.Digest("abc")) {
		t.Errorf("%d different digests of 5", len(digests))
	}
}
