package latchkey

import "context"

// The tests of package latchkey_test use these functions and constants.

// DigestOf returns the stored form of a session's secret under a label.
func DigestOf(secret, label string) (sum [32]byte, ok bool) { return secretDigest(secret, label) }

// SessionLabel is the label of a session's secret.
const SessionLabel = sessionLabel

// StoredDevice returns the device of a client, and the same device after storing and
// reading it.
func StoredDevice(c Client) (d, back Device, err error) {
	d = c.canonical().device()
	back, err = decodeDevice(d.encode())
	return d, back, err
}

// Settling is settling.
func Settling(ctx context.Context) (context.Context, context.CancelFunc, error) { return settling(ctx) }

// Compared reports whether compare runs a comparison under a context.
func Compared(ctx context.Context) (compared bool, err error) {
	return compare(ctx, func() (bool, error) { return true, nil })
}

// EventNames are eventNames.
func EventNames() []string { return eventNames }

// ForgetPayloads makes an engine behave as one that is older than the payloads of events.
func ForgetPayloads(e *Engine) { e.outbox.payloads = nil }

// HeldDeliveries returns how many rows of the outbox an engine has.
func HeldDeliveries(e *Engine) int {
	e.outbox.mu.Lock()
	defer e.outbox.mu.Unlock()
	return len(e.outbox.held)
}
