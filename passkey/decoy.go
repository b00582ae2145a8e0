package passkey

import (
	"crypto/elliptic"
	"slices"
)

// decoyKey is a public key of ES256 in the form of COSE: that of the private key 1, which proves nothing of anybody.
var decoyKey = slices.Concat(
	[]byte{0xA5, 0x01, 0x02, 0x03, 0x26, 0x20, 0x01, 0x21, 0x58, 0x20}, elliptic.P256().Params().Gx.FillBytes(make([]byte, 32)),
	[]byte{0x22, 0x58, 0x20}, elliptic.P256().Params().Gy.FillBytes(make([]byte, 32)),
)
