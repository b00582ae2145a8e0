package passkey_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"example.com/latchkey/authtest"
	"example.com/latchkey/internal/ceremony"
	"example.com/latchkey/passkey"
)

const page = "https://app.example.org"

func service(t testing.TB) *passkey.RelyingParty {
	t.Helper()
	p, err := passkey.New(passkey.Config{RPID: "example.org", Name: "Example", Origins: []string{page, "https://example.org:8443"}})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

var handle = []byte(strings.Repeat("h", 64))

// enrol reads the answer of an enrolment and verifies it, and assert that of a proof.
func enrol(p *passkey.RelyingParty, kept, answer []byte) (*ceremony.Enrolled, error) {
	said, err := p.ReadEnrolment(answer)
	if err != nil {
		return nil, err
	}
	return p.Enrolled(kept, said)
}

func assert(p *passkey.RelyingParty, kept, answer []byte, c ceremony.Credential) (*ceremony.Asserted, error) {
	said, err := p.ReadAssertion(answer)
	if err != nil {
		return nil, err
	}
	return p.Asserted(kept, said, c)
}

// enrolled makes a passkey on a device.
func enrolled(t testing.TB, p *passkey.RelyingParty, d *authtest.Device, e ceremony.Enrolment) (ceremony.Credential, *ceremony.Enrolled) {
	t.Helper()
	e.Owner = ceremony.Owner{Handle: handle, Name: "ada@example.org", DisplayName: "Ada"}
	asked, err := p.Enrol(e)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := d.Create(asked.Options)
	if err != nil {
		t.Fatal(err)
	}
	made, err := enrol(p, asked.Kept, answer)
	if err != nil {
		t.Fatal(err)
	}
	return ceremony.Credential{ID: made.ID, Key: made.Key, Handle: handle, Format: made.Format, Eligible: made.Eligible}, made
}

// offered returns a question and its answer.
func offered(t testing.TB, p *passkey.RelyingParty, d *authtest.Device, a ceremony.Assertion) (*ceremony.Asked, []byte) {
	t.Helper()
	asked, err := p.Assert(a)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := d.Get(asked.Options)
	if err != nil {
		t.Fatal(err)
	}
	return asked, answer
}

// changed changes an answer. A path names a member; the value nil removes it.
func changed(t testing.TB, answer []byte, path string, value any) []byte {
	t.Helper()
	var all map[string]any
	if err := json.Unmarshal(answer, &all); err != nil {
		t.Fatal(err)
	}
	at, name := all, path
	if outer, inner, found := strings.Cut(path, "."); found {
		at, name = all[outer].(map[string]any), inner
	}
	at[name] = value
	if value == nil {
		delete(at, name)
	}
	text, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// clientData returns an answer whose client data is another text. Its signature is that of the first.
func clientData(t testing.TB, answer []byte, change func(string) string) []byte {
	t.Helper()
	var all struct {
		Response struct {
			ClientData string `json:"clientDataJSON"`
		} `json:"response"`
	}
	if err := json.Unmarshal(answer, &all); err != nil {
		t.Fatal(err)
	}
	text, err := base64.RawURLEncoding.DecodeString(all.Response.ClientData)
	if err != nil {
		t.Fatal(err)
	}
	return changed(t, answer, "response.clientDataJSON", base64.RawURLEncoding.EncodeToString([]byte(change(string(text)))))
}

func TestConfigRefusesWhatIsWiderThanItSeems(t *testing.T) {
	good := passkey.Config{RPID: "example.org", Name: "Example", Origins: []string{page}}
	for name, change := range map[string]func(*passkey.Config){
		"no RPID":               func(c *passkey.Config) { c.RPID = "" },
		"an RPID of one label":  func(c *passkey.Config) { c.RPID, c.Origins = "org", []string{"https://org"} },
		"an RPID with a port":   func(c *passkey.Config) { c.RPID = "example.org:443" },
		"an RPID with a scheme": func(c *passkey.Config) { c.RPID = "https://example.org" },
		"an RPID in upper case": func(c *passkey.Config) { c.RPID = "Example.org" },
		"an address":            func(c *passkey.Config) { c.RPID, c.Origins = "127.0.0.1", []string{"https://127.0.0.1"} },
		"no name":               func(c *passkey.Config) { c.Name = "" },
		"a long name":           func(c *passkey.Config) { c.Name = strings.Repeat("a", 65) },
		"a name of no text":     func(c *passkey.Config) { c.Name = "\xff" },
		"a long RPID": func(c *passkey.Config) {
			c.RPID = strings.Repeat("a234567890.", 23) + "ab" // 255 bytes
			c.Origins = []string{"https://" + c.RPID}
		},
		"no origin":             func(c *passkey.Config) { c.Origins = nil },
		"only an app":           func(c *passkey.Config) { c.Origins = []string{"android:apk-key-hash:" + strings.Repeat("a", 43)} },
		"another domain":        func(c *passkey.Config) { c.Origins = []string{"https://example.com"} },
		"a domain that ends so": func(c *passkey.Config) { c.Origins = []string{"https://evilexample.org"} },
		"a domain above":        func(c *passkey.Config) { c.RPID = "app.example.org"; c.Origins = []string{"https://example.org"} },
		"http":                  func(c *passkey.Config) { c.Origins = []string{"http://app.example.org"} },
		"a wildcard":            func(c *passkey.Config) { c.Origins = []string{"https://*.example.org"} },
		"a path":                func(c *passkey.Config) { c.Origins = []string{page + "/"} },
		"a user":                func(c *passkey.Config) { c.Origins = []string{"https://a@example.org"} },
		"upper case":            func(c *passkey.Config) { c.Origins = []string{"https://App.example.org"} },
		"an empty port":         func(c *passkey.Config) { c.Origins = []string{"https://app.example.org:"} },
		"another scheme":        func(c *passkey.Config) { c.Origins = []string{"ftp://example.org"} },
		"a short app":           func(c *passkey.Config) { c.Origins = []string{page, "android:apk-key-hash:x"} },
	} {
		c := good
		change(&c)
		if _, err := passkey.New(c); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	for _, c := range []passkey.Config{
		good,
		{RPID: "localhost", Name: "Example", Origins: []string{"http://localhost:8080", "https://localhost"}},
		{RPID: "example.org", Name: "Example", Origins: []string{page, "https://example.org:8443", "android:apk-key-hash:" + strings.Repeat("a", 43)}},
	} {
		if _, err := passkey.New(c); err != nil {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

func TestADeviceEnrolsAndSignsIn(t *testing.T) {
	p, d := service(t), authtest.NewDevice(page)
	d.Counting, d.Syncable = true, true
	c, made := enrolled(t, p, d, ceremony.Enrolment{})
	if !made.Verified || !made.Eligible || made.Synced || made.Count != 1 || len(made.Key) == 0 || len(made.AAGUID) != 16 {
		t.Errorf("%+v", made)
	}
	key := authtest.NewDevice(page)
	key.Unverified = true
	if _, made := enrolled(t, p, key, ceremony.Enrolment{Second: true}); made.Verified {
		t.Errorf("a key without verification: %+v", made)
	}
	d.Synced = true
	for name, ask := range map[string]ceremony.Assertion{
		"a sign-in": {}, "an offer": {Conditional: true}, "a second factor": {Owner: handle, Allowed: []ceremony.Credential{c}},
	} {
		asked, answer := offered(t, p, d, ask)
		said, err := p.ReadAssertion(answer)
		if err != nil || string(said.Credential) != string(c.ID) || string(said.Challenge) != string(asked.Challenge) || len(asked.Challenge) != 32 {
			t.Errorf("%s: %+v, %v", name, said, err)
		}
		got, err := assert(p, asked.Kept, answer, c)
		if err != nil || !got.Verified || !got.Synced || got.Count < 2 {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
		var options struct {
			PublicKey struct {
				UserVerification string `json:"userVerification"`
				Allow            []any  `json:"allowCredentials"`
			} `json:"publicKey"`
			Mediation string `json:"mediation"`
		}
		if err := json.Unmarshal(asked.Options, &options); err != nil {
			t.Error(err)
		}
		want := map[bool]string{true: "preferred", false: "required"}[ask.Owner != nil]
		if options.PublicKey.UserVerification != want || (options.Mediation == "conditional") != ask.Conditional || (len(options.PublicKey.Allow) > 0) != (ask.Owner != nil) {
			t.Errorf("%s: %s", name, asked.Options)
		}
	}
}

// The flags are those of this ceremony: the library's are those of the enrolment.
func TestTrapUserVerificationIsThatOfThisCeremony(t *testing.T) {
	p, d := service(t), authtest.NewDevice(page)
	c, _ := enrolled(t, p, d, ceremony.Enrolment{})
	d.Unverified = true
	asked, answer := offered(t, p, d, ceremony.Assertion{Owner: handle, Allowed: []ceremony.Credential{c}})
	if got, err := assert(p, asked.Kept, answer, c); err != nil || got.Verified {
		t.Errorf("a second factor: %+v, %v", got, err)
	}
	asked, answer = offered(t, p, d, ceremony.Assertion{})
	if _, err := assert(p, asked.Kept, answer, c); !errors.Is(err, ceremony.ErrRefused) {
		t.Errorf("a sign-in without verification: %v", err)
	}
}

func TestTrapAQuestionKeepsEverythingOfTheLibrary(t *testing.T) {
	p := service(t)
	asked, err := p.Enrol(ceremony.Enrolment{Owner: ceremony.Owner{Handle: handle, Name: "a", DisplayName: "a"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{"credParams", "challenge", "rpId", "userVerification", "user_id"} {
		if !strings.Contains(string(asked.Kept), `"`+part+`"`) {
			t.Errorf("%s is not kept", part)
		}
	}
}

func TestASyncablePasskeyStaysOne(t *testing.T) {
	p, d := service(t), authtest.NewDevice(page)
	c, _ := enrolled(t, p, d, ceremony.Enrolment{})
	d.Syncable = true
	asked, answer := offered(t, p, d, ceremony.Assertion{})
	if got, err := assert(p, asked.Kept, answer, c); err != nil || !got.Eligible {
		t.Errorf("it has become one: %+v, %v", got, err)
	}
	c.Eligible, d.Syncable = true, false
	asked, answer = offered(t, p, d, ceremony.Assertion{})
	if _, err := assert(p, asked.Kept, answer, c); !errors.Is(err, ceremony.ErrRefused) {
		t.Errorf("it is none any more: %v", err)
	}
	c.Eligible, d.Synced = false, true
	asked, answer = offered(t, p, d, ceremony.Assertion{})
	if _, err := assert(p, asked.Kept, answer, c); !errors.Is(err, ceremony.ErrRefused) {
		t.Errorf("synced, and cannot be: %v", err)
	}
}

// An answer to another question, of another passkey or of no user proves nothing. TestEachFlawIsRefused has the answers that are wrong
// in themselves.
func TestAnAnswerThatProvesNothingIsRefused(t *testing.T) {
	p, d := service(t), authtest.NewDevice(page)
	c, _ := enrolled(t, p, d, ceremony.Enrolment{})
	asked, answer := offered(t, p, d, ceremony.Assertion{})
	other, _ := offered(t, p, d, ceremony.Assertion{})
	stranger := authtest.NewDevice(page)
	enrolled(t, p, stranger, ceremony.Enrolment{})
	_, foreign := offered(t, p, stranger, ceremony.Assertion{})
	for name, try := range map[string]struct{ kept, answer []byte }{
		"another question":             {other.Kept, answer},
		"another device":               {asked.Kept, foreign},
		"no user":                      {asked.Kept, changed(t, answer, "response.userHandle", "")},
		"client data that was changed": {asked.Kept, clientData(t, answer, func(s string) string { return s + " " })},
	} {
		if _, err := assert(p, try.kept, try.answer, c); !errors.Is(err, ceremony.ErrRefused) {
			t.Errorf("%s: %v", name, err)
		}
	}
	said, err := p.ReadAssertion(answer)
	if err != nil {
		t.Fatal(err)
	}
	p.Decoy(asked.Kept, said) // for an unknown passkey
	// These are faults of the engine, and no answers that are refused.
	if _, err := p.Enrolled(asked.Kept, said); err == nil || errors.Is(err, ceremony.ErrRefused) {
		t.Errorf("a proof as an enrolment: %v", err)
	}
	if _, err := p.Asserted(asked.Kept, new(ceremony.Answer), c); err == nil || errors.Is(err, ceremony.ErrRefused) {
		t.Errorf("an answer that was not read: %v", err)
	}
}

func TestAnAnswerIsReadOneWay(t *testing.T) {
	p, d := service(t), authtest.NewDevice(page)
	enrolled(t, p, d, ceremony.Enrolment{})
	_, answer := offered(t, p, d, ceremony.Assertion{})
	id := string(answer)[strings.Index(string(answer), `"id":"`)+6:]
	id = id[:strings.Index(id, `"`)]
	withID := func(other string) []byte { return []byte(strings.ReplaceAll(string(answer), id, other)) }
	for name, text := range map[string][]byte{
		"a line in the id":          withID(id[:4] + `\n` + id[4:]),
		"no id":                     withID(""),
		"a long id":                 withID(strings.Repeat("A", 1366)), // 1,024 bytes
		"no response":               changed(t, answer, "response", nil),
		"a response that is a text": changed(t, answer, "response", "x"),
		"a line in the signature":   changed(t, answer, "response.signature", "AA\nAA"),
		"stray bits":                changed(t, answer, "response.signature", "AB"),
		"64 KiB and more":           sized(t, answer, ceremony.MaxAnswer+1),
	} {
		if _, err := p.ReadAssertion(text); !errors.Is(err, ceremony.ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, text := range map[string][]byte{
		"a member that is not known": changed(t, answer, "more", "ignored"),
		"an id of 1,023 bytes":       withID(strings.Repeat("A", 1364)),
		"a user of 64 bytes":         changed(t, answer, "response.userHandle", strings.Repeat("A", 86)),
		"64 KiB":                     sized(t, answer, ceremony.MaxAnswer),
		"no extensions":              changed(t, answer, "clientExtensionResults", nil),
	} {
		if _, err := p.ReadAssertion(text); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// sized returns an answer of n bytes.
func sized(t testing.TB, answer []byte, n int) []byte {
	t.Helper()
	text := changed(t, answer, "more", "")
	return changed(t, answer, "more", strings.Repeat("a", n-len(text)))
}

func TestAnEnrolmentThatProvesNothingIsRefused(t *testing.T) {
	p, d := service(t), authtest.NewDevice(page)
	ask := func() *ceremony.Asked {
		asked, err := p.Enrol(ceremony.Enrolment{Owner: ceremony.Owner{Handle: handle, Name: "ada", DisplayName: "Ada"}})
		if err != nil {
			t.Fatal(err)
		}
		return asked
	}
	asked := ask()
	good, err := d.Create(asked.Options)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := enrol(p, asked.Kept, good); err != nil {
		t.Fatal(err)
	}
	if _, err := enrol(p, ask().Kept, good); !errors.Is(err, ceremony.ErrRefused) {
		t.Errorf("another question: %v", err)
	}
	d.Unverified = true
	unverified, err := d.Create(asked.Options)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := enrol(p, asked.Kept, unverified); !errors.Is(err, ceremony.ErrRefused) {
		t.Errorf("not verified: %v", err)
	}
	for name, text := range map[string][]byte{
		"an object with more":   changed(t, good, "response.attestationObject", "oA"),
		"an object of nonsense": changed(t, good, "response.attestationObject", "AAAA"),
	} {
		if _, err := enrol(p, asked.Kept, text); !errors.Is(err, ceremony.ErrRefused) {
			t.Errorf("%s: %v", name, err)
		}
	}
	got, err := enrol(p, asked.Kept, changed(t, good, "response.transports", []string{"usb", "telepathy", "usb", "internal"}))
	if err != nil || fmt.Sprint(got.Transports) != "[internal usb]" {
		t.Errorf("transports: %+v, %v", got, err)
	}
}

func TestEnrolmentAsksForWhatItMeans(t *testing.T) {
	p, d := service(t), authtest.NewDevice(page)
	c, _ := enrolled(t, p, d, ceremony.Enrolment{})
	for _, second := range []bool{false, true} {
		asked, err := p.Enrol(ceremony.Enrolment{Owner: ceremony.Owner{Handle: handle, Name: "ada", DisplayName: "Ada"}, Second: second, Exclude: []ceremony.Credential{c}})
		if err != nil {
			t.Fatal(err)
		}
		var options struct {
			PublicKey struct {
				Attestation string         `json:"attestation"`
				Selection   map[string]any `json:"authenticatorSelection"`
				Exclude     []any          `json:"excludeCredentials"`
				Params      []struct {
					Alg int `json:"alg"`
				} `json:"pubKeyCredParams"`
				User struct {
					ID string `json:"id"`
				} `json:"user"`
			} `json:"publicKey"`
		}
		if err := json.Unmarshal(asked.Options, &options); err != nil {
			t.Fatal(err)
		}
		o := options.PublicKey
		resident, verification := "required", "required"
		if second {
			resident, verification = "discouraged", "discouraged"
		}
		if o.Attestation != "none" && o.Attestation != "" || o.Selection["residentKey"] != resident || o.Selection["userVerification"] != verification || len(o.Exclude) != 1 ||
			fmt.Sprint(o.Params) != "[{-8} {-7} {-257}]" || o.User.ID != base64.RawURLEncoding.EncodeToString(handle) {
			t.Errorf("second %v: %s", second, asked.Options)
		}
		if _, err := d.Create(asked.Options); err == nil {
			t.Error("a device has made two passkeys of one user")
		}
	}
}

func TestProvidersHaveNames(t *testing.T) {
	p := service(t)
	known := []byte{0xba, 0xda, 0x55, 0x66, 0xa7, 0xaa, 0x40, 0x1f, 0xbd, 0x96, 0x45, 0x61, 0x9a, 0x55, 0x12, 0x0d}
	if got := p.Provider(known); got != "1Password" {
		t.Error(got)
	}
	if got := p.Provider(make([]byte, 16)); got != "" {
		t.Error(got)
	}
}

func FuzzReadAssertion(f *testing.F) {
	p, d := service(f), authtest.NewDevice(page)
	c, _ := enrolled(f, p, d, ceremony.Enrolment{})
	asked, answer := offered(f, p, d, ceremony.Assertion{})
	f.Add(answer)
	f.Fuzz(func(t *testing.T, text []byte) {
		_, err := assert(p, asked.Kept, text, c)
		if err != nil && !errors.Is(err, ceremony.ErrMalformed) && !errors.Is(err, ceremony.ErrRefused) {
			t.Error(err)
		}
	})
}

func FuzzReadEnrolment(f *testing.F) {
	p := service(f)
	asked, err := p.Enrol(ceremony.Enrolment{Owner: ceremony.Owner{Handle: handle, Name: "ada", DisplayName: "Ada"}})
	if err != nil {
		f.Fatal(err)
	}
	answer, err := authtest.NewDevice(page).Create(asked.Options)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(answer)
	f.Fuzz(func(t *testing.T, text []byte) {
		if _, err := enrol(p, asked.Kept, text); err != nil && !errors.Is(err, ceremony.ErrMalformed) && !errors.Is(err, ceremony.ErrRefused) {
			t.Error(err)
		}
	})
}
