package hooksig

import (
	"encoding/base64"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

func request(id, stamp, signature string) http.Header {
	h := http.Header{}
	h.Set(ID, id)
	h.Set(Timestamp, stamp)
	h.Set(Signature, signature)
	return h
}

// The example of the specification.
func TestTheSignatureIsThatOfTheSpecification(t *testing.T) {
	key, ok := Key("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	if !ok {
		t.Fatal("the secret is refused")
	}
	if got := Sign(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", []byte(`{"test": 2432232314}`)); got != "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=" {
		t.Error(got)
	}
}

// The library of the specification takes the signatures of Sign, and Check takes those of the library.
func TestTheLibraryOfTheSpecificationAgrees(t *testing.T) {
	secret := NewSecret().Reveal()
	other, err := standardwebhooks.NewWebhook(secret)
	if err != nil {
		t.Fatal(err)
	}
	key, ok := Key(secret)
	if !ok || len(key) != 32 {
		t.Fatalf("%d bytes", len(key))
	}
	now, body := time.Now(), []byte(`{"a":"ä\n"}`)
	stamp := strconv.FormatInt(now.Unix(), 10)
	if err := other.Verify(body, request("msg-1", stamp, Sign(key, "msg-1", stamp, body))); err != nil {
		t.Error(err)
	}
	signature, err := other.Sign("msg-1", now, body)
	if err != nil {
		t.Fatal(err)
	}
	if err := Check([][]byte{key}, request("msg-1", stamp, signature), body, now); err != nil {
		t.Error(err)
	}
}

func TestASecretHas24To64Bytes(t *testing.T) {
	for n, want := range map[int]bool{0: false, 23: false, 24: true, 64: true, 65: false} {
		text := "whsec_" + base64.StdEncoding.EncodeToString(make([]byte, n))
		if _, ok := Key(text); ok != want {
			t.Errorf("%d bytes: %v", n, ok)
		}
		for _, text := range []string{strings.TrimPrefix(text, "whsec_"), "WHSEC_" + text[6:], text + "!", text[:len(text)/2*2-1]} {
			if _, ok := Key(text); ok && text != "whsec_" {
				t.Errorf("%q is taken", text)
			}
		}
	}
}

func TestAnIDIsVisibleASCIIWithoutAPeriod(t *testing.T) {
	for id, want := range map[string]bool{
		"a": true, "msg_2KWPBgLlAfxdpx2AI54pPJ85f4W": true, strings.Repeat("a", 255): true,
		"": false, "a.b": false, "a b": false, "a\n": false, "ä": false, "a\x7f": false, "\xff": false, strings.Repeat("a", 256): false,
	} {
		if IsID(id) != want {
			t.Errorf("%q: %v", id, !want)
		}
	}
}

// A request of the right key is stale only beyond five minutes, and one without a right signature
// is forged at any time.
func TestATimestampIsGoodForFiveMinutes(t *testing.T) {
	key, body, at := []byte("k"), []byte("body"), time.Unix(1_700_000_000, 0)
	stamp := strconv.FormatInt(at.Unix(), 10)
	right, wrong := request("a", stamp, Sign(key, "a", stamp, body)), request("a", stamp, Sign([]byte("j"), "a", stamp, body))
	for offset, want := range map[time.Duration]error{
		0: nil, 5 * time.Minute: nil, -5 * time.Minute: nil, 5*time.Minute + 1: ErrStale, -5*time.Minute - 1: ErrStale, 1 << 62: ErrStale, -1 << 62: ErrStale,
	} {
		if err := Check([][]byte{key}, right, body, at.Add(offset)); err != want {
			t.Errorf("%v: %v", offset, err)
		}
		if err := Check([][]byte{key}, wrong, body, at.Add(offset)); err != ErrForged {
			t.Errorf("%v: %v", offset, err)
		}
	}
	for _, stamp := range []string{"9223372036854775807", "-9223372036854775808"} {
		if err := Check([][]byte{key}, request("a", stamp, Sign(key, "a", stamp, body)), body, at); err != ErrStale {
			t.Errorf("%s: %v", stamp, err)
		}
	}
}
