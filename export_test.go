package latchkey

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
