package foreign

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"

	"golang.org/x/crypto/bcrypt"

	"example.com/latchkey/hasher"
	"example.com/latchkey/hasher/hashertest"
)

const (
	k1  = "XyEKE9RcTDeLEsL/RjwPDBv/RqDl8fb3gpYEOQaPihbxf1ZAtSOHCjuAAa7Q3oHpCYhXSN9tizHgVOwn6krflQ=="
	cut = "$2b$04$abcdefghijklmnopqrstuuBzzIgyKkz7xMWYSzkIjUSnxEQFQ0WNe" // of 72 times a
)

// vector is a hash, as its system writes it, of a password.
type vector struct {
	scheme, password string
	made             func() (Hash, error)
	fast             bool
}

func of(make func(string) (Hash, error), text string) func() (Hash, error) {
	return func() (Hash, error) { return make(text) }
}

func sha(version, digits string) func() (Hash, error) {
	return func() (Hash, error) { return SHA(version, digits) }
}

func pbkdf2Of(digest string, rounds int, salt, tag string) func() (Hash, error) {
	return func() (Hash, error) {
		raw, err := hex.DecodeString(tag)
		if err != nil {
			return Hash{}, err
		}
		return PBKDF2(digest, rounds, []byte(salt), raw)
	}
}

func firebase(text, salt string) func() (Hash, error) {
	return func() (Hash, error) {
		return ScryptModified(text, ScryptModifiedOptions{Salt: salt, Separator: "Bw==", SignerKey: k1})
	}
}

func scryptOf(digits string, o ScryptOptions) func() (Hash, error) {
	return func() (Hash, error) { return Scrypt(digits, o) }
}

// Those of the documents, of their reference (users-teams 9.3), of RFC 6070 with their known
// counterparts for SHA-256 and SHA-512, and of the tests of
// Django (test_hashers.py) and ASP.NET Core (PasswordHasherTest.cs). Those with "appwrite" that the documents lack were made with Python's hashlib, and
// with the npm packages hash-wasm and bcryptjs.
var vectors = []vector{
	{"md5", "appwrite", of(MD5, "144fa7eaa4904e8ee120651997f70dcc"), true},
	{"md5", "AppwriteIsAwesomeBackendAsAServiceThatIsAlsoOpenSourced", of(MD5, "8410e96cf7ac64e0b84c3f8517a82616"), true},
	{"bcrypt", "appwrite", of(Bcrypt, "$2a$15$xX/myGbFU.ZSKHSi6EHdBOySTdYm8QxBLXmOPHrYMwV0mHRBBSBOq"), false},
	{"bcrypt", "secret", of(Bcrypt, "$2y$08$PDbMtV18J1KOBI9tIYabBuyUwBrtXPGhLxCy9pWP6xkldVOKLrLKy"), false},
	{"bcrypt", "test123", of(Bcrypt, "$2a$12$3f2ZaARQ1AmhtQWx2nmQpuXcWfTj1YV2/Hl54e8uKxIzJe3IfwLiu"), false},
	{"bcrypt", "hello-world", of(Bcrypt, "$2a$05$IjrtSz6SN7UJ6Sh3l.b5jODEvEG2LMJTPAHIaLWRvlWx7if3VMkFO"), false},
	{"bcrypt", "example-password", of(Bcrypt, "$2a$10$3bIGRWUes86CICsuchGLj.e.BqdCdg2/1Ud9LvBhJr0j7Dze8PBdS"), false},
	{"bcrypt", strings.Repeat("a", 72), of(Bcrypt, cut), false},
	{"bcrypt", strings.Repeat("a", 72) + "and more", of(BcryptTruncated, cut), false},
	{"argon2i", "appwrite", of(Argon2, "$argon2i$v=19$m=20,t=3,p=2$YXBwd3JpdGU$A/54i238ed09ZR4NwlACU5XnkjNBZU9QeOEuhjLiexI"), true},
	{"argon2id", "safe-argon-password", of(Argon2, "$argon2id$v=19$m=2048,t=3,p=4$MWc5NWRmc2QxZzU2$41mp7rSgBZ49YxLbbxIac7aRaxfp5/e1G45ckwnK0g8"), true},
	{"argon2d", "appwrite", of(Argon2, "$argon2d$v=19$m=64,t=2,p=1$c29tZXNhbHQ$1/M28zPYAkOzNnUkhJQZkRgvxrzTsiet8mtz/B6hw4Q"), true},
	{"argon2d", "appwrite", of(Argon2, "$argon2d$v=19$m=8192,t=3,p=4$c29tZXNhbHQ$zbjUf8P1BMR8QEbcUA/UOgtQKSTYy2Ln"), false},
	{"argon2i", "appwrite", of(Argon2, "$argon2i$v=19$m=8192,t=3,p=4$c29tZXNhbHQ$WovzXFk9Ki1HMUqPUCi7e6o5cF+gQq5O"), false},
	{"argon2id", "appwrite", of(Argon2, "$argon2id$v=19$m=8192,t=3,p=4$c29tZXNhbHQ$OfRO8GUmn/ekQBlWZaZGzFueUTyH5UIb"), false},
	{"sha512", "appwrite", sha("sha512", "4243da0a694e8a2f727c8060fe0507c8fa01ca68146c76d2c190805b638c20c6bf6ba04e21f11ae138785d0bff63c416e6f87badbffad37f6dee50094cc38c70"), true},
	{"sha3-512", "developersAreAwesome!", sha("sha3-512", "2455118438cb125354b89bb5888346e9bd23355462c40df393fab514bf2220b5a08e4e2d7b85d7327595a450d0ac965cc6661152a46a157c66d681bed20a4735"), true},
	{"sha1", "appwrite", sha("sha1", "31c315b0262695ce861bc17c63d2362684d5724c"), true},
	{"sha224", "appwrite", sha("sha224", "fd66925d38680d7a9a075ab17223d00a60c4c532a81ba3591f9167a4"), true},
	{"sha256", "appwrite", sha("sha256", "ece375199f9118cf29e19e171742f668b6b13367dc1797d11da1c74795e758cc"), true},
	{"sha384", "appwrite", sha("sha384", "ed6436743c51a62d3454de8559beb59d923fbb730ae6028043112ecc8520cee566c539b98383c12259a133043c1e4495"), true},
	{"sha512/224", "appwrite", sha("sha512/224", "746d850d8f4bb904a18b936d4693edde4b7eb886ae1527d2be410464"), true},
	{"sha512/256", "appwrite", sha("sha512/256", "ffc8b9b6a88b33dd4fddc10d49c4bdd9742689b0cf8bbd9097d4d870f824a3fd"), true},
	{"sha3-224", "appwrite", sha("sha3-224", "abb4739db875dd10d24c0ac3d675f847dbab1d1a9c9b613fffdbabe1"), true},
	{"sha3-256", "appwrite", sha("sha3-256", "867a758eea6f62ccb37cc3f8945137def93d0638259ff4dcfc0f21629d2666fb"), true},
	{"sha3-384", "appwrite", sha("sha3-384", "ed16007b12ad357e455ec14cf692bf1add54809948a3d4d9f07cb8ebe09cd8ac2e5bf8aa8a558af4a5a5ed7890cef5ab"), true},
	{"sha3-512", "appwrite", sha("", "a721f80a3f2d1c08137a2ffaad4ac23298f01916e3314111adcba471b21354145e4c6fc1cc6d1974608e2e5a96a20df4fba9ac0d52660f3fdc6e2124d5958913"), true},
	{"scrypt", "appwrite", scryptOf("3fdef49701bc4cfaacd551fe017283513284b4731e6945c263246ef948d3cf63b5d269c31fd697246085111a428245e24a4ddc6b64c687bc60a8910dbafc1d5b", ScryptOptions{Salt: "appwrite", N: 16384, R: 13, P: 2}), false},
	{"scrypt", "some-scrypt-password", scryptOf("b448ad7ba88b653b5b56b8053a06806724932d0751988bc9cd0ef7ff059e8ba8a020e1913b7069a650d3f99a1559aba0221f2c277826919513a054e76e339028", ScryptOptions{Salt: "some-salt", N: 16384, R: 12, P: 2, Length: 64}), false},
	{"scrypt", "appwrite", scryptOf("9c590c2c5811bd800bb0a945d46ec5cd07509ce6e362c3d7fbae9a65129a3fa3da9501ad60ed29ecaab41418bdee4301de973a0ae5e409af0798f3074423f5b7", ScryptOptions{Salt: "appwrite"}), true},
	{"phpass", "appwrite", of(PHPass, "$P$Br387rwferoKN7uwHZqNMu98q3U8RO."), true},
	{"phpass", "pass123", of(PHPass, "$P$BVKPmJBZuLch27D4oiMRTEykGLQ9tX0"), true},
	{"phpass", "your-password", of(PHPass, "$P$BkiNDJTpAWXtpaMhEUhUdrv7M0I1g6."), true},
	{"phpass", "correct horse", of(PHPass, "$P$BabcdefghKfdE7H4Uy7ajxpijsjAJW0"), true},
	{"phpass", "correct horse", of(PHPass, "$H$9abcdefghPDonBA7cb6Wv7y6IfLfEF."), true},
	{"scrypt-modified", "appwrite", firebase("UlM7JiXRcQhzAGlaonpSqNSLIz475WMddOgLjej5De9vxTy48K6WtqlEzrRFeK4t0COfMhWCb8wuMHgxOFCHFQ==", "UxLMreBr6tYyjQ=="), false},
	{"scrypt-modified", "users-password", firebase("EPKgfALpS9Tvgr_y1ki7ubY4AEGJeWL3teakrnmOacN4XGiyD00lkzEHgqCQ71wGxoi_zb7Y9a4orOtvMV3_Jw==", "56dFqW+kswqktw=="), false},
	{"pbkdf2-sha1", "passwordPASSWORDpassword", pbkdf2Of("sha1", 4096, "saltSALTsaltSALTsaltSALTsaltSALTsalt", "3d2eec4fe41c849b80c8d83662c0e44a8b291a964cf2f07038"), true},
	{"pbkdf2-sha256", "passwordPASSWORDpassword", pbkdf2Of("sha256", 4096, "saltSALTsaltSALTsaltSALTsaltSALTsalt", "348c89dbcbd32b2f32d814b8116e84cf2b17347ebc1800181c4e2a1fb8dd53e1c635518c7dac47e9"), true},
	{"pbkdf2-sha512", "passwordPASSWORDpassword", pbkdf2Of("sha512", 4096, "saltSALTsaltSALTsaltSALTsaltSALTsalt", "8c0511f4c6e597c6ac6315d8f0362e225f3c501495ba23b868c005174dc4ee71115b59f9e60cd9532fa33e0f75aefe30225c583a186cd82bd4daea9724a3d3b8"), true},
	{"pbkdf2-sha256", "lètmein", of(Django, "pbkdf2_sha256$10000$seasalt2$skPdPHnAsVEsRcqTNPTvR47tkLzsQWTgrRtM6x/bAR0="), true},
	{"pbkdf2-sha512", "appwrite", pbkdf2Of("sha512", 50_000, "\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f", "fdb5a0d1bb1223f3649c44cd7336e1b516b724101bc6b340da8d4380817b3b123102103c37a3d28293f48948921a774fbbf6809f9c58326340205f40a67e522d"), false},
	{"pbkdf2-sha1", "appwrite", of(ASPNETIdentity, "AAABAgMEBQYHCAkKCwwNDg+qmvMKANlyJRRmsnObxIMRziH342I9k0sODDDTuPCgpw=="), true},
	{"pbkdf2-sha1", "appwrite", of(ASPNETIdentity, "AQAAAAAAAASwAAAAEAABAgMEBQYHCAkKCwwNDg9usc2Z3+8QfT5PyOd14mT7FvcNQLLZ65K4x8hJj5EZHw=="), true},
	{"pbkdf2-sha256", "appwrite", of(ASPNETIdentity, "AQAAAAEAACcQAAAAEAABAgMEBQYHCAkKCwwNDg/2fl02JQNmPeKseNdayFA1OoDyT/bW4xva3FiQfEyWLQ=="), true},
	{"pbkdf2-sha512", "appwrite", of(ASPNETIdentity, "AQAAAAIAAYagAAAAEAABAgMEBQYHCAkKCwwNDg9QzVH1UeJ5dlQgLGEdkOxExpb99pj7RH0piQ1qHRsLmw=="), false},
	{"pbkdf2-sha256", "lètmein", of(Django, "pbkdf2_sha256$390000$seasalt2$geC/uZ92nRXDSjSxeoiBqYyRcrLzMm8xK3ro1QS1uo8="), false},
	{"pbkdf2-sha1", "lètmein", of(Django, "pbkdf2_sha1$390000$seasalt2$aDapRanzW8aHTz97v2TcfHzWD+I="), false},
	{"pbkdf2-sha1", "my password", of(ASPNETIdentity, "AAABAgMEBQYHCAkKCwwNDg+ukCEMDf0yyQ29NYubggHIVY0sdEUfdyeM+E1LtH1uJg=="), true},
	{"pbkdf2-sha1", "my password", of(ASPNETIdentity, "ANXrDknc7fGPpigibZXXZFMX4aoqz44JveK6jQuwY3eH/UyPhvr5xTPeGYEckLxz9A=="), true},
	{"pbkdf2-sha1", "my password", of(ASPNETIdentity, "AQAAAAAAAAD6AAAAEAhftMyfTJylOlZT+eEotFXd1elee8ih5WsjXaR3PA9M"), true},
	{"pbkdf2-sha256", "my password", of(ASPNETIdentity, "AQAAAAEAACcQAAAAEAABAgMEBQYHCAkKCwwNDg+yWU7rLgUwPZb1Itsmra7cbxw2EFpwpVFIEtP+JIuUEw=="), true},
	{"pbkdf2-sha256", "my password", of(ASPNETIdentity, "AQAAAAEAA9CQAAAAIESkQuj2Du8Y+kbc5lcN/W/3NiAZFEm11P27nrSN5/tId+bR1SwV8CO1Jd72r4C08OLvplNlCDc3oQZ8efcW+jQ="), false},
	{"pbkdf2-sha512", "my password", of(ASPNETIdentity, "AQAAAAIAAAAyAAAAEOMwvh3+FZxqkdMBz2ekgGhwQ4B6pZWND6zgESBuWiHw"), true},
	{"pbkdf2-sha512", "my password", of(ASPNETIdentity, "AQAAAAIAAAD6AAAAIJbVi5wbMR+htSfFp8fTw8N8GOS/Sje+S/4YZcgBfU7EQuqv4OkVYmc4VJl9AGZzmRTxSkP7LtVi9IWyUxX8IAAfZ8v+ZfhjCcudtC1YERSqE1OEdXLW9VukPuJWBBjLuw=="), true},
	{"wordpress", " appwrite\n", of(WordPress, "$wp$2y$04$abcdefghijklmnopqrstuuhz7k8Lis15UO9eEgHsL/bygISqBAfsu"), false},
	{"phpass", "pass123", of(WordPress, "$P$BVKPmJBZuLch27D4oiMRTEykGLQ9tX0"), true},
	{"md5", "appwrite", of(WordPress, "144fa7eaa4904e8ee120651997f70dcc"), true},
}

func verify(t *testing.T, h Hash, password string) bool {
	t.Helper()
	right, err := Verify(context.Background(), hashertest.New(t).For(""), h, password)
	if err != nil {
		t.Fatal(err)
	}
	return right
}

func TestEachSchemeVerifiesItsPasswordOnly(t *testing.T) {
	ctx := context.Background()
	for i, v := range vectors {
		t.Run(fmt.Sprintf("%d-%s", i, strings.ReplaceAll(v.scheme, "/", "-")), func(t *testing.T) {
			t.Parallel()
			h, err := v.made()
			if err != nil {
				t.Fatal(err)
			}
			if h.Scheme() != v.scheme || h.Fast() != v.fast || h.Wrapped() {
				t.Errorf("%s, fast %v, wrapped %v", h.Scheme(), h.Fast(), h.Wrapped())
			}
			kept, err := Wrap(ctx, hashertest.New(t).For(""), h)
			if err != nil || kept.Wrapped() != v.fast || kept.Fast() || kept.Scheme() != v.scheme {
				t.Fatalf("%v, wrapped %v, fast %v", err, kept.Wrapped(), kept.Fast())
			}
			if twice, err := Wrap(ctx, hashertest.New(t).For(""), kept); err != nil || !twice.Text().Equal(kept.Text()) {
				t.Errorf("a hash that may be kept is wrapped again: %v", err)
			}
			if again, err := Parse(kept.Text().Reveal()); err != nil || !again.Text().Equal(kept.Text()) {
				t.Errorf("the text does not parse: %v", err)
			}
			if !verify(t, kept, v.password) || verify(t, kept, "wrongPassword") {
				t.Error("wrong answer")
			}
			if v.fast && (!verify(t, h, v.password) || verify(t, h, "wrongPassword") || verify(t, kept, "") || verify(t, kept, "X"+v.password)) {
				t.Error("wrong answer before it is wrapped, or to another password")
			}
		})
	}
}

// A wrapped hash holds nothing of the output of the fast one.
func TestNothingOfAFastHashIsKept(t *testing.T) {
	for _, v := range vectors {
		h, err := v.made()
		if err != nil || !v.fast {
			continue
		}
		p, err := parse(h.Text().Reveal())
		if err != nil {
			t.Fatal(err)
		}
		kept, err := Wrap(context.Background(), hashertest.New(t).For(""), h)
		if err != nil {
			t.Fatal(err)
		}
		whole := h.Text().Reveal()
		output := whole[strings.LastIndexAny(whole, "$")+1:]
		if v.scheme == "phpass" {
			output = string(p.output)
		}
		if strings.Contains(kept.Text().Reveal(), output) || strings.Contains(kept.Text().Reveal(), hex.EncodeToString(p.output)) {
			t.Errorf("%s: the output is in the text", v.scheme)
		}
	}
}

func TestASaltOrABlockSizeIsPartOfAnScryptHash(t *testing.T) {
	const digits = "b448ad7ba88b653b5b56b8053a06806724932d0751988bc9cd0ef7ff059e8ba8a020e1913b7069a650d3f99a1559aba0221f2c277826919513a054e76e339028"
	for _, o := range []ScryptOptions{{Salt: "some-other", N: 16384, R: 12, P: 2}, {Salt: "some-salt", N: 16384, R: 10, P: 2}} {
		h, err := Scrypt(digits, o)
		if err != nil || verify(t, h, "some-scrypt-password") {
			t.Errorf("%+v: %v", o, err)
		}
	}
}

// A hash is taken as what its caller says that it is, and not as what it looks like.
func TestAConstructorTakesItsOwnSchemesOnly(t *testing.T) {
	for name, c := range map[string]struct {
		make func(string) (Hash, error)
		own  []string // beginnings
	}{
		"Argon2": {Argon2, []string{"$argon2"}}, "Bcrypt": {Bcrypt, []string{"$2"}}, "BcryptTruncated": {BcryptTruncated, []string{"$2"}},
		"PHPass": {PHPass, []string{"$P$", "$H$"}}, "WordPress": {WordPress, []string{"$wp$2y$", "$P$", "$2"}}, "MD5": {MD5, nil},
		"Django": {Django, nil}, "ASPNETIdentity": {ASPNETIdentity, nil},
	} {
		for _, v := range vectors {
			h, err := v.made()
			if err != nil {
				t.Fatal(err)
			}
			text := h.Text().Reveal()
			if slices.ContainsFunc(c.own, func(own string) bool { return strings.HasPrefix(text, own) }) {
				continue
			}
			if _, err := c.make(text); !errors.Is(err, ErrFormat) {
				t.Errorf("%s takes a hash of %s: %v", name, v.scheme, err)
			}
		}
	}
}

// Firebase lets a project choose a cost that is too low.
func TestAFirebaseHashOfALowCostIsFast(t *testing.T) {
	o := ScryptModifiedOptions{Salt: "c2FsdA==", Separator: "Bw==", SignerKey: k1, MemoryCost: 12}
	h, err := ScryptModified(k1, o)
	if err != nil || !h.Fast() {
		t.Errorf("4 MiB: %v", err)
	}
	o.MemoryCost = 13
	if h, err = ScryptModified(k1, o); err != nil || h.Fast() {
		t.Errorf("8 MiB: %v", err)
	}
}

// Systems hash what their users type. A device that composes differently sends other bytes.
func TestPasswordsAreComparedAsTypedAndThenComposed(t *testing.T) {
	const composed, apart = "Z\u00fcrich!!", "Zu\u0308rich!!"
	made := map[string]string{"53879afaa5c7ce266ed4337e13c9b4f7": composed, "75a9a6f764c1841f53a05ae5070a0fef": apart}
	for digits, typed := range made {
		h, err := MD5(digits)
		if err != nil || !verify(t, h, typed) {
			t.Errorf("%q: %v", typed, err)
		}
	}
	h, err := MD5("53879afaa5c7ce266ed4337e13c9b4f7")
	if err != nil || !verify(t, h, apart) {
		t.Errorf("typed apart: %v", err)
	}
}

// AC-009 and C-07: bcrypt knows 72 bytes. What follows counts, unless the system ignored it.
func TestAC009BcryptDoesNotCut(t *testing.T) {
	long := strings.Repeat("a", 72)
	whole, err := Bcrypt(cut)
	if err != nil || verify(t, whole, long+"b") || !verify(t, whole, long) {
		t.Errorf("whole: %v", err)
	}
	truncated, err := BcryptTruncated(cut)
	if err != nil || !verify(t, truncated, long+"b") || verify(t, truncated, long[:71]) {
		t.Errorf("truncated: %v", err)
	}
	// Bcrypt repeats a password, with a NUL behind it, until it has 72 bytes: aa and aa NUL aa are one.
	made, err := bcrypt.GenerateFromPassword([]byte("aa"), 4)
	if err != nil {
		t.Fatal(err)
	}
	short, err := Bcrypt(string(made))
	if err != nil || !verify(t, short, "aa") || verify(t, short, "aa\x00aa") {
		t.Errorf("a password with NUL: %v", err)
	}
}

// AC-012, C-03 and AC-108: a text out of bounds or of another form is refused, with a reason that
// holds nothing of it.
func TestAC012AC108FormsAndBounds(t *testing.T) {
	const tag = "A/54i238ed09ZR4NwlACU5XnkjNBZU9QeOEuhjLiexI"
	b64 := strings.Repeat("QUFB", 12)
	hash := func(make func(string) (Hash, error)) func(string) error {
		return func(text string) error { _, err := make(text); return err }
	}
	for _, c := range []struct {
		make  func(string) error
		texts []string
	}{
		{hash(Argon2), []string{
			"", "secret password", "$argon2id$", "$argon2id$v=19$m=4194304,t=1,p=1$YXBwd3JpdGU$" + tag, "$argon2i$v=19$m=64,t=2147483648,p=1$YXBwd3JpdGU$" + tag,
			"$argon2d$v=19$m=64,t=1,p=4294967295$YXBwd3JpdGU$" + tag, "$argon2id$v=19$m=262144,t=5,p=1$YXBwd3JpdGU$" + tag, "$argon2id$v=16$m=64,t=1,p=1$YXBwd3JpdGU$" + tag,
			"$argon2id$m=64,t=1,p=1$YXBwd3JpdGU$" + tag, "$argon2id$v=19$m=64,t=1,p=1$$" + tag, "$argon2id$v=19$m=64,t=1,p=1$c2FsdA$" + tag, "$argon2id$v=19$m=64,t=1,p=1$YXBwd3JpdGU$",
			"$argon2id$v=19$m=64,t=1,p=1$YXBwd3JpdGU=$" + tag, "$argon2id$v=19$m=64,t=1,p=1$YXBwd3JpdGU$" + tag + "\n", "$argon2x$v=19$m=64,t=1,p=1$YXBwd3JpdGU$" + tag, "$2a$" + tag,
			"$argon2id$v=19$m=64,t=1,p=1$" + strings.Repeat("A", 1024) + "$" + tag, "$argon2id$v=19$m=524288,t=1,p=1$YXBwd3JpdGU$" + tag,
			"$argon2id$v=19$m=64,t=1,p=1$" + strings.Repeat("A", 87) + "$" + tag, "$argon2id$v=19$m=64,t=1,p=1$YXBwd3JpdGU$" + strings.Repeat("A", 87),
			"$argon2id$v=19$m=64,t=1,p=1$YXBwd3JpdGV$" + tag, "$argon2id$v=19$m=64,t=1,p=1,x=1$YXBwd3JpdGU$" + tag, "$argon2id$v=19$m=64,t=1,x=1$YXBwd3JpdGU$" + tag,
			"$argon2id$v=19$m=64,t=1,p=1$YXBwd3JpdGVz!$" + tag, "$argon2id$v=19$m=64,t=1,p=1$YXBwd3JpdGU$" + tag[:40] + "!",
		}},
		{hash(Bcrypt), []string{
			"", "$2a$31$" + strings.Repeat("a", 53), "$2a$17$" + strings.Repeat("a", 53), "$2a$03$" + strings.Repeat("a", 53), "$2x$10$" + strings.Repeat("a", 53), "$2$10$" + strings.Repeat("a", 53),
			"$2a$10$" + strings.Repeat("a", 52), "$2a$10$" + strings.Repeat("a", 54), "$2a$+5$" + strings.Repeat("a", 53), "$2a$10$" + strings.Repeat("a", 52) + "=", "$2a$1a$" + strings.Repeat("a", 53), "$2a$10", "$2a$10a" + strings.Repeat("a", 53),
		}},
		{hash(BcryptTruncated), []string{"$wp$2y$10$" + strings.Repeat("a", 53), "$2x$10$" + strings.Repeat("a", 53)}},
		{hash(MD5), []string{"", "144FA7EAA4904E8EE120651997F70DCC", "144fa7eaa4904e8ee120651997f70dc", "144fa7eaa4904e8ee120651997f70dcc0", "144fa7eaa4904e8ee120651997f70dcg", "correct horse battery staple xxx"}},
		{func(text string) error { _, err := SHA("sha256", text); return err }, []string{"", "31c315b0262695ce861bc17c63d2362684d5724c", strings.Repeat("A", 64), strings.Repeat("0", 66), "$sha1$31c315b0262695ce861bc17c63d2362684d5724c"}},
		{func(text string) error { _, err := SHA(text, strings.Repeat("0", 32)); return err }, []string{"md5", "sha-256", "SHA256", "scrypt", "sha2"}},
		{func(text string) error { _, err := SHA("2a", text); return err }, []string{"10$" + strings.Repeat("a", 53)}},
		{hash(PHPass), []string{
			"", "$P$", "$P$4" + strings.Repeat("a", 30), "$P$J" + strings.Repeat("a", 30), "$P$z" + strings.Repeat("a", 30), "$P$B" + strings.Repeat("a", 29), "$P$B" + strings.Repeat("a", 31),
			"$S$B" + strings.Repeat("a", 30), "$P$B" + strings.Repeat("a", 29) + "=", "$2a$10$" + strings.Repeat("a", 53),
		}},
		{func(digits string) error { _, err := Scrypt(digits, ScryptOptions{Salt: "some-salt"}); return err }, []string{"", strings.Repeat("A", 128), strings.Repeat("0", 126), strings.Repeat("0", 127), strings.Repeat("x", 128)}},
		{hash(Django), []string{
			"", "pbkdf2_sha256$10000$seasalt2", "pbkdf2_sha256$0$seasalt2$" + b64, "pbkdf2_sha256$10000000000$seasalt2$" + b64, "pbkdf2_sha256$2500001$seasalt2$" + b64, "pbkdf2_sha256$1000$$" + b64,
			"pbkdf2_sha256$1000$seasalt2$!!!", "pbkdf2_sha256$1000$seasalt2$" + b64 + "$", "pbkdf2_md5$1000$seasalt2$" + b64, "pbkdf2_sha512$1000$seasalt2$" + b64, "sha256$1000$seasalt2$" + b64,
			"pbkdf2_sha256$10000$seasalt2$skPdPHnAsVEsRcqTNPTvR47tkLzsQWTgrRtM6x/bAR1=", "bcrypt$$2b$10$" + strings.Repeat("a", 53), "pbkdf2_sha256$1000$seasalt2$QUFB", "sha1$a$b",
		}},
		{hash(ASPNETIdentity), []string{
			"AAABAgMEBQYHCAkKCwwNDg+ukCEMDf0yyQ29NYubggE=", "AAABAgMEBQYHCAkKCwwNDg+ukCEMDf0yyQ29NYubggHIVY0sdEUfdyeM+E1LtH1uJgAAAAAAAAAAAAA=", "AQAAAAIAAAAyAAAAEOMwvh3+FZxqkdMBz2ekgGhwQ4A=",
			"AQAAAAEAACcQAAAACAABAgMEBQYHCAkKCwwNDg+yWU7rLgUwPZb1Itsmra7cbxw2EFpwpVFIEtP+JIuUEw==", "", "AA==", "AAAA", "AQ==", "AAABAgMEBQYHCAkKCwwNDg+ukCEMDf0yyQ29NYubggHIVY0sdEUfdyeM+E1LtH1uJh==", strings.Repeat("A", 64), "AQAAAAMAACcQAAAAEAABAgMEBQYHCAkKCwwNDg/2fl02JQNmPeKseNdayFA1OoDyT/bW4xva3FiQfEyWLQ==", "AQAAAAH/////AAAAEAABAgMEBQYHCAkKCwwNDg/2fl02JQNmPeKseNdayFA1OoDyT/bW4xva3FiQfEyWLQ==",
			"AQAAAAEAACcQ/////wABAgMEBQYHCAkKCwwNDg/2fl02JQNmPeKseNdayFA1OoDyT/bW4xva3FiQfEyWLQ==", "AgAAAAEAACcQAAAAEAABAgMEBQYHCAkKCwwNDg/2fl02JQNmPeKseNdayFA1OoDyT/bW4xva3FiQfEyWLQ==",
		}},
		{hash(WordPress), []string{"", "$wp$2a$10$" + strings.Repeat("a", 53), "$wp$P$B" + strings.Repeat("a", 30), "$wp$2y$31$" + strings.Repeat("a", 53), "*0", "$generic$hash", "plaintext password of 32 letters"}},
		{hash(Parse), []string{
			"", "$", "$$", "plain", "$md5$", "md5$144fa7eaa4904e8ee120651997f70dcc", "$scrypt$n=3,r=8,p=1$c29tZXNhbHQ$" + tag, "$scrypt$n=4294967296,r=8,p=1$c29tZXNhbHQ$" + tag, "$scrypt$n=1,r=8,p=1$c29tZXNhbHQ$" + tag,
			"$scrypt$n=0,r=8,p=1$c29tZXNhbHQ$" + tag, "$scrypt$n=16384,r=0,p=1$c29tZXNhbHQ$" + tag, "$scrypt$n=16384,r=4294967295,p=1$c29tZXNhbHQ$" + tag, "$scrypt$n=524288,r=8,p=1$c29tZXNhbHQ$" + tag,
			"$scrypt$n=16384,r=8,p=17$c29tZXNhbHQ$" + tag, "$scrypt$n=262144,r=8,p=16$c29tZXNhbHQ$" + tag, "$scrypt$n=16384,r=8,p=1$c2FsdA$" + tag, "$scrypt$n=016384,r=8,p=1$c29tZXNhbHQ$" + tag,
			"$pbkdf2-sha256$i=2500001$c29tZXNhbHQ$" + tag, "$pbkdf2-sha256$i=10000000000$c29tZXNhbHQ$" + tag, "$pbkdf2-sha3$i=1$c29tZXNhbHQ$" + tag, "$pbkdf2-sha256$i=1$c29tZXNhbHQ$QUFB",
			"$scrypt-modified$n=16384,r=8$$Bw$" + tag + "$" + tag, "$scrypt-modified$n=16384,r=8$c2FsdA$Bw$QUFB$QUFB", "$scrypt-modified$n=16384,r=8$c2FsdA$Bw$" + tag + "$QUFB", "$scrypt-modified$n=1073741824,r=8$c2FsdA$Bw$" + tag + "$" + tag,
			"$raw$v=19$m=64,t=1,p=1$c29tZXNhbHQ$" + tag, "$cut$2x$10$" + strings.Repeat("a", 53), "$wp$10$" + strings.Repeat("a", 53),
			"$scrypt$n=16384,r=8,p=0$c29tZXNhbHQ$" + tag, "$scrypt$n=16384,r=8,p=1$c29tZXNhbHQ$" + tag + "$", "$scrypt$n=16384,r=8,p=1$" + strings.Repeat("AAAA", 43) + "$" + tag,
			"$scrypt$n=16384,r=8,p=1$c29tZXNhbHQ$" + strings.Repeat("A", 87), "$scrypt$n=16384,r=8,p=1$c29tZXNhbHRz!$" + tag, "$scrypt$n=16384,r=8,p=1$c29tZXNhbHQ$" + tag[:40] + "!",
			"$scrypt$n=16384,r=8,p=1$c29t\nZXNhbHQ$" + tag, "$pbkdf2-sha256$i=1$c29tZXNhbHQ$" + tag + "\r\n", "$pbkdf2-sha256$i=1$c29tZXNhbHQ$" + tag + "$",
			"$pbkdf2-sha256$i=1$" + strings.Repeat("A", 87) + "$" + tag, "$pbkdf2-sha256$i=1$c29tZXNhbHQ$" + strings.Repeat("A", 87), "$pbkdf2-sha256$i=1$c29tZXNhbHR$" + tag,
			"$scrypt-modified$n=16384,r=8$c2FsdA$Bw$" + tag + "$" + tag + "$", "$scrypt-modified$n=16384,r=8$" + strings.Repeat("A", 87) + "$Bw$" + tag + "$" + tag,
			"$scrypt-modified$n=16384,r=8$c2FsdA$" + strings.Repeat("A", 87) + "$" + tag + "$" + tag, "$scrypt-modified$n=16384,r=8$c2FsdA$Bw$" + strings.Repeat("AAAA", 43) + "$" + strings.Repeat("AAAA", 43),
			"$wrapped$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHQ$" + tag + "$scrypt$n=16384,r=8,p=1$c29tZXNhbHQ$" + strings.Repeat("A", 43),
			"$wrapped$", "$wrapped$$$$$$", "$wrapped$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHQ$" + tag, "$wrapped$argon2i$v=19$m=64,t=1,p=1$c29tZXNhbHQ$" + tag + "$md5$" + strings.Repeat("0", 32),
			"$wrapped$argon2id$v=19$m=4194304,t=1,p=1$c29tZXNhbHQ$" + tag + "$md5$" + strings.Repeat("0", 32), "$wrapped$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHQ$" + tag + "$md5$144fa7eaa4904e8ee120651997f70dcc",
			"$wrapped$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHQ$" + tag + "$2a$10$" + strings.Repeat("a", 53),
			"$wrapped$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHQ$" + tag + "$wrapped$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHQ$" + tag + "$md5$" + strings.Repeat("0", 32),
		}},
	} {
		for _, text := range c.texts {
			err := c.make(text)
			if !errors.Is(err, ErrFormat) {
				t.Errorf("%q: %v", text, err)
			} else if len(text) > 20 && strings.Contains(err.Error(), text[8:20]) {
				t.Errorf("the error holds the text: %v", err)
			}
		}
	}
	if _, err := ScryptModified(k1, ScryptModifiedOptions{Salt: "c2FsdA==", SignerKey: k1, MemoryCost: 31}); !errors.Is(err, ErrFormat) {
		t.Errorf("memory cost 31: %v", err)
	}
	if _, err := ScryptModified(k1, ScryptModifiedOptions{Salt: "c2FsdA==", SignerKey: k1, MemoryCost: -1}); !errors.Is(err, ErrFormat) {
		t.Errorf("memory cost -1: %v", err)
	}
	if _, err := ScryptModified(k1, ScryptModifiedOptions{Salt: "c2Fs\ndA==", SignerKey: k1}); !errors.Is(err, ErrFormat) {
		t.Errorf("a salt with a line break: %v", err)
	}
	if _, err := PBKDF2("md5", 1000, []byte("somesalt"), make([]byte, 32)); !errors.Is(err, ErrFormat) {
		t.Errorf("md5: %v", err)
	}
}

// A hash that has not come through a constructor is checked again, and no place is taken for it.
func TestTheZeroHashIsRefused(t *testing.T) {
	g := hashertest.New(t).For("")
	if right, err := Verify(context.Background(), g, Hash{}, ""); right || !errors.Is(err, ErrFormat) {
		t.Errorf("%v, %v", right, err)
	}
	if _, err := Wrap(context.Background(), g, Hash{}); !errors.Is(err, ErrFormat) {
		t.Errorf("%v", err)
	}
	if !(Hash{}).IsZero() || (Hash{}).Scheme() != "" || (Hash{}).Fast() {
		t.Error("the zero hash is none")
	}
}

func TestAHashShowsNothing(t *testing.T) {
	h, err := MD5("144fa7eaa4904e8ee120651997f70dcc")
	if err != nil {
		t.Fatal(err)
	}
	encoded, _ := json.Marshal([]any{h})
	for _, text := range []string{fmt.Sprint(h), fmt.Sprintf("%+v %#v %s %q %x", h, h, h, h, h), fmt.Sprintf("%v", struct{ h Hash }{h}), string(encoded)} {
		if strings.Contains(text, "144fa7") || strings.Contains(text, hex.EncodeToString([]byte("144fa7"))) {
			t.Error(text)
		}
	}
}

// Every hash takes a place of the hasher, with its memory.
func TestForeignHashesWaitForAPlace(t *testing.T) {
	h, err := hasher.New(hasher.Config{Queue: 1, Wait: 1})
	if err != nil {
		t.Fatal(err)
	}
	hash, err := MD5("144fa7eaa4904e8ee120651997f70dcc")
	if err != nil {
		t.Fatal(err)
	}
	release := hashertest.Hold(t, h)
	if _, err := Verify(context.Background(), h.For(""), hash, "appwrite"); !errors.Is(err, hasher.ErrBusy) {
		t.Errorf("%v", err)
	}
	release()
	if right, err := Verify(context.Background(), h.For(""), hash, "appwrite"); !right || err != nil {
		t.Errorf("%v, %v", right, err)
	}
}

// The memory of a hash counts, so that many of them together stay within the budget.
func TestForeignHashesCountTheirMemory(t *testing.T) {
	const salt, tag = "c29tZXNhbHQ", "A/54i238ed09ZR4NwlACU5XnkjNBZU9QeOEuhjLiexI"
	h, err := hasher.New(hasher.Config{Slots: 2, Queue: 2, Wait: 1})
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{
		"$argon2i$v=19$m=131072,t=1,p=1$" + salt + "$" + tag, "$scrypt$n=131072,r=8,p=1$" + salt + "$" + tag,
		"$scrypt-modified$n=131072,r=8$" + salt + "$Bw$" + tag + "$" + tag,
	} {
		hash, err := Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if err := h.For("").Run(context.Background(), 200<<20, func() {
			if _, err := Verify(context.Background(), h.For(""), hash, "appwrite"); !errors.Is(err, hasher.ErrBusy) {
				t.Errorf("%s: 128 MiB beside 200 MiB, of 256 MiB: %v", hash.Scheme(), err)
			}
		}); err != nil {
			t.Fatal(err)
		}
	}
}

// A wrong password costs one hash, and two if it composes to another text.
func TestAWrongPasswordCostsNoMoreThanItsForms(t *testing.T) {
	h := hashertest.New(t)
	hash, err := MD5("144fa7eaa4904e8ee120651997f70dcc")
	if err != nil {
		t.Fatal(err)
	}
	for password, want := range map[string]int64{"wrong": 1, "Z\u00fcrich": 1, "Zu\u0308rich": 2} {
		before := h.Hashes()
		if right, err := Verify(context.Background(), h.For(""), hash, password); right || err != nil {
			t.Errorf("%q: %v, %v", password, right, err)
		}
		if n := h.Hashes() - before; n != want {
			t.Errorf("%q costs %d hashes", password, n)
		}
	}
}

// A text that is too long is refused before anything is made of it.
func TestALongTextCostsNothing(t *testing.T) {
	long := strings.Repeat("abcd", 1<<18)
	whole := "$pbkdf2-sha256$i=1$c29tZXNhbHQ$" + long
	for name, make := range map[string]func() (Hash, error){
		"Parse":          of(Parse, whole),
		"Argon2":         of(Argon2, "$argon2i$v=19$m=64,t=1,p=1$c29tZXNhbHQ$"+long),
		"MD5":            of(MD5, long),
		"Scrypt":         scryptOf(long, ScryptOptions{Salt: "some-salt"}),
		"ScryptModified": firebase(long, "UxLMreBr6tYyjQ=="),
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := make()
		runtime.ReadMemStats(&after)
		limit := uint64(64 << 10)
		if name == "MD5" { // it joins the text to the name of its scheme
			limit += uint64(len(long))
		}
		if n := after.TotalAlloc - before.TotalAlloc; !errors.Is(err, ErrFormat) || n > limit {
			t.Errorf("%s: %d bytes, %v", name, n, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, v := range vectors {
		if h, err := v.made(); err == nil {
			f.Add(h.Text().Reveal())
			if kept, err := Wrap(context.Background(), hashertest.New(f).For(""), h); err == nil {
				f.Add(kept.Text().Reveal())
			}
		}
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, err := parse(text)
		if err != nil {
			if !errors.Is(err, ErrFormat) {
				t.Errorf("%q: %v", text, err)
			}
			return
		}
		if p.memory > 256<<20 || len(p.output) == 0 || p.derive == nil {
			t.Errorf("%q: out of bounds", text)
		}
		if p.fast {
			if again, err := parse(p.blank); err != nil || again.blank != p.blank {
				t.Errorf("%q: its blank form %q: %v", text, p.blank, err)
			}
		}
	})
}
