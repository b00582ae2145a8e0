package webhook_test

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"example.com/latchkey/hidden"
	"example.com/latchkey/notify/webhook"
)

func headers(id, stamp, signature string) http.Header {
	h := http.Header{}
	h.Set("webhook-id", id)
	h.Set("webhook-timestamp", stamp)
	h.Set("webhook-signature", signature)
	return h
}

// The example of the specification.
func TestVerifyTakesTheExampleOfTheSpecification(t *testing.T) {
	h := headers("msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=")
	secrets := []hidden.Text{hidden.New("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")}
	if err := webhook.Verify(h, []byte(`{"test": 2432232314}`), secrets, time.Unix(1614265330, 0)); err != nil {
		t.Error(err)
	}
}

// Verify takes a request that the library of the specification has signed, with any of the secrets and
// beside other signatures. It refuses every other request.
func TestVerifyTakesOnlyWhatASecretHasSigned(t *testing.T) {
	secret, other := webhook.GenerateSecret(), webhook.GenerateSecret()
	library, err := standardwebhooks.NewWebhook(secret.Reveal())
	if err != nil {
		t.Fatal(err)
	}
	at, body := time.Unix(1_800_000_000, 0), `{"a":1}`
	stamp := strconv.FormatInt(at.Unix(), 10)
	signed, err := library.Sign("e1", at, []byte(body))
	if err != nil {
		t.Fatal(err)
	}
	both, one := []hidden.Text{other, secret}, []hidden.Text{secret}
	for name, c := range map[string]struct {
		header  http.Header
		body    string
		secrets []hidden.Text
		now     time.Time
		want    error
	}{
		"a request":              {headers("e1", stamp, signed), body, one, at, nil},
		"one of two secrets":     {headers("e1", stamp, signed), body, both, at, nil},
		"one of more signatures": {headers("e1", stamp, "v1,AAAA v2,x v1a,y  "+signed), body, one, at, nil},
		"five minutes later":     {headers("e1", stamp, signed), body, one, at.Add(5 * time.Minute), nil},
		"an old request":         {headers("e1", stamp, signed), body, one, at.Add(5*time.Minute + 1), webhook.ErrStale},
		"one of the future":      {headers("e1", stamp, signed), body, one, at.Add(-5*time.Minute - 1), webhook.ErrStale},
		"another secret":         {headers("e1", stamp, signed), body, []hidden.Text{other}, at, webhook.ErrForged},
		"another body":           {headers("e1", stamp, signed), body + " ", one, at, webhook.ErrForged},
		"another id":             {headers("e2", stamp, signed), body, one, at, webhook.ErrForged},
		"another time":           {headers("e1", stamp[:9]+"1", signed), body, one, at, webhook.ErrForged},
		"another version":        {headers("e1", stamp, "v2"+signed[2:]), body, one, at, webhook.ErrForged},
		"a part of a signature":  {headers("e1", stamp, signed[:len(signed)-4]), body, one, at, webhook.ErrForged},
		"no signature":           {headers("e1", stamp, ""), body, one, at, webhook.ErrForged},
		"no id":                  {headers("", stamp, signed), body, one, at, webhook.ErrForged},
		"no time":                {headers("e1", "now", signed), body, one, at, webhook.ErrForged},
		"no header":              {nil, body, one, at, webhook.ErrForged},
		"no secret":              {headers("e1", stamp, signed), body, nil, at, webhook.ErrSecrets},
		"a bad secret":           {headers("e1", stamp, signed), body, []hidden.Text{secret, hidden.New("x")}, at, webhook.ErrSecrets},
		"too many secrets":       {headers("e1", stamp, signed), body, []hidden.Text{secret, secret, secret, secret, secret, secret}, at, webhook.ErrSecrets},
	} {
		if err := webhook.Verify(c.header, []byte(c.body), c.secrets, c.now); !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The signed text cannot be split at another period.
func TestASignedTextIsSplitInOneWay(t *testing.T) {
	secret := webhook.GenerateSecret()
	at := time.Unix(1_800_000_000, 0)
	stamp := strconv.FormatInt(at.Unix(), 10)
	signed := signature(t, secret, "a", stamp, []byte("x."+stamp+".y"))
	if err := webhook.Verify(headers("a."+stamp+".x", stamp, signed), []byte("y"), []hidden.Text{secret}, at); err != webhook.ErrForged {
		t.Error(err)
	}
}

func TestSecretsAreNew(t *testing.T) {
	a, b := webhook.GenerateSecret(), webhook.GenerateSecret()
	if a.Equal(b) || !strings.HasPrefix(a.Reveal(), "whsec_") {
		t.Errorf("%q, %q", a.Reveal(), b.Reveal())
	}
}

// Verify never panics, and takes exactly the requests whose signature a computation by hand gives.
func FuzzVerify(f *testing.F) {
	secret := hidden.New("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	at := time.Unix(1_614_265_330, 0)
	f.Add("msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=", []byte(`{"test": 2432232314}`))
	f.Add("a", "1614265330", "v1, v1,AAAA v2,x", []byte("b"))
	f.Add("a.1", "-9223372036854775808", "", []byte{})
	f.Fuzz(func(t *testing.T, id, stamp, signatures string, body []byte) {
		h := http.Header{"Webhook-Id": {id}, "Webhook-Timestamp": {stamp}, "Webhook-Signature": {signatures}}
		err := webhook.Verify(h, body, []hidden.Text{secret}, at)
		right := signature(t, secret, id, stamp, body)
		if err != webhook.ErrForged && (!strings.Contains(signatures, right) || strings.Contains(id, ".")) {
			t.Errorf("%q, %q, %q, %q: %v", id, stamp, signatures, body, err)
		}
		h.Set("webhook-signature", right) // the right signature holds for these bytes alone
		err = webhook.Verify(h, body, []hidden.Text{secret}, at)
		for i := range body {
			changed := append([]byte(nil), body...)
			changed[i] ^= 1
			if webhook.Verify(h, changed, []hidden.Text{secret}, at) != webhook.ErrForged {
				t.Errorf("%q is taken for %q", changed, body)
			}
			if i > 20 {
				break
			}
		}
		seconds, bad := strconv.ParseInt(stamp, 10, 64)
		if age := at.Unix() - seconds; bad == nil && age >= -300 && age <= 300 && id == "a" && err != nil {
			t.Errorf("%q, %q: %v", stamp, body, err)
		}
	})
}
