// Package hashertest makes fast password hashers for tests. Their hashes are too
// weak for anything else.
package hashertest

import (
	"testing"

	"example.com/latchkey/hasher"
	"example.com/latchkey/hasher/internal/seam"
)

// New returns a hasher with parameters that are too weak for anything but a test:
// 64 KiB, one pass.
func New(tb testing.TB) *hasher.Hasher {
	tb.Helper()
	h, err := hasher.Weak(seam.ForTests())
	if err != nil {
		tb.Fatal(err)
	}
	return h
}

// Hold takes every slot of a hasher, so that its callers wait, until release is
// called or the test ends.
func Hold(tb testing.TB, h *hasher.Hasher) (release func()) {
	tb.Helper()
	release, err := h.Hold(seam.ForTests())
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(release)
	return release
}
