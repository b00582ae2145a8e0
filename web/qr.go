package web

import (
	"encoding/base64"
	"html/template"

	"example.com/latchkey"
	"example.com/latchkey/qr"
)

// QRCode returns the picture that an authenticator app scans, as a data: URL for the attribute src of
// an img. It is a square of size pixels, 64 to 2,048. The picture is a secret, like the authenticator's
// Secret, which the page shows beside it for an app without a camera. The engine shows both once: after a wrong code
// the page shows them again from a form that the user sends back, or enrols anew.
func QRCode(a *latchkey.MFAAuthenticator, size int) (template.URL, error) {
	picture, err := qr.PNG(a.URI.Reveal(), size)
	if err != nil {
		return "", err
	}
	return template.URL("data:image/png;base64," + base64.StdEncoding.EncodeToString(picture)), nil
}
