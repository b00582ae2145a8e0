package qr_test

import (
	"bytes"
	"image/png"
	"testing"

	"example.com/latchkey/qr"
)

const uri = "otpauth://totp/Bread%20%26%20Co:ada?algorithm=SHA1&digits=6&issuer=Bread%20%26%20Co&period=30&secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"

func TestPNGHasTheSizeThatIsAskedFor(t *testing.T) {
	for _, size := range []int{64, 256, 2048} {
		picture, err := qr.PNG(uri, size)
		if err != nil {
			t.Fatal(err)
		}
		if image, err := png.Decode(bytes.NewReader(picture)); err != nil || image.Bounds().Dx() != size || image.Bounds().Dy() != size {
			t.Errorf("%d: %v", size, err)
		}
	}
}

func TestPNGRefusesOtherSizesAndOtherTexts(t *testing.T) {
	for _, size := range []int{0, -1, 63, 2049} {
		if _, err := qr.PNG(uri, size); err == nil {
			t.Errorf("%d pixels", size)
		}
	}
	for _, text := range []string{"", "https://example.org", "otpauth://hotp/a?secret=AAAA", "%"} {
		if _, err := qr.PNG(text, 256); err == nil {
			t.Errorf("%s was drawn", text)
		}
	}
}
