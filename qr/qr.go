// Package qr draws the QR code that an authenticator app scans. It is a package of
// its own so that a host without pictures does not link the drawing code.
package qr

import (
	"bytes"
	"errors"
	"image/png"

	"github.com/pquerna/otp"
)

// PNG returns a picture of an authenticator's URI (latchkey.MFAAuthenticator) as
// a PNG of size by size pixels, 64 to 2,048. It fails for another size, and for a
// text that is not such a URI. The picture shows a secret: the host sends it with the
// page and stores it nowhere. As a data: URL it needs "img-src data:" in the page's
// Content-Security-Policy. A response of its own is sent with "Cache-Control: no-store".
func PNG(uri string, size int) ([]byte, error) {
	if size < 64 || size > 2048 {
		return nil, errors.New("qr: a QR code is 64 to 2,048 pixels wide")
	}
	key, err := otp.NewKeyFromURL(uri)
	if err != nil || key.Type() != "totp" {
		return nil, errors.New("qr: not the URI of an authenticator")
	}
	picture, err := key.Image(size, size)
	if err != nil {
		return nil, errors.New("qr: the URI does not fit into a QR code of that size")
	}
	var b bytes.Buffer
	err = png.Encode(&b, picture)
	return b.Bytes(), err
}
