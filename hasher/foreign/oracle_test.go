package foreign

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	mathrand "math/rand/v2"
	"os/exec"
	"testing"

	"github.com/go-crypt/crypt/algorithm"
	oracleargon2 "github.com/go-crypt/crypt/algorithm/argon2"
	oraclebcrypt "github.com/go-crypt/crypt/algorithm/bcrypt"
	oraclepbkdf2 "github.com/go-crypt/crypt/algorithm/pbkdf2"
	oraclescrypt "github.com/go-crypt/crypt/algorithm/scrypt"
)

// somePasswords returns random passwords of 1 to 60 characters, some of them outside ASCII.
func somePasswords(n int) (passwords []string) {
	letters := []rune("abcXYZ019 .-_$!äöüßéñ漢字🙂")
	for range n {
		var b []rune
		for range 1 + mathrand.IntN(15) {
			b = append(b, letters[mathrand.IntN(len(letters))])
		}
		passwords = append(passwords, string(b))
	}
	return passwords
}

// expect asserts that a hash, made by another implementation, is that of the password alone.
func expect(t *testing.T, name, password string, h Hash, err error) {
	t.Helper()
	if err != nil {
		t.Errorf("%s: %v", name, err)
		return
	}
	if !verify(t, h, password) || verify(t, h, password+"x") {
		t.Errorf("%s: wrong answer for %q", name, password)
	}
}

// The module github.com/go-crypt/crypt makes hashes of random passwords, which are verified here.
// (Its argon2d is the one that this package uses: that one has vectors of another implementation.)
func TestHashesOfAnotherModule(t *testing.T) {
	for _, password := range somePasswords(6) {
		for _, variant := range []oracleargon2.Variant{oracleargon2.VariantI, oracleargon2.VariantD, oracleargon2.VariantID} {
			made, err := oracleargon2.New(oracleargon2.WithVariant(variant), oracleargon2.WithM(64+uint32(mathrand.IntN(500))), oracleargon2.WithT(1+mathrand.IntN(3)), oracleargon2.WithP(1+mathrand.IntN(4)))
			if err != nil {
				t.Fatal(err)
			}
			h, err := Argon2(oracle(t, made, password).Encode())
			expect(t, "argon2", password, h, err)
		}
		made, err := oraclebcrypt.New(oraclebcrypt.WithCost(10))
		if err != nil {
			t.Fatal(err)
		}
		h, err := Bcrypt(oracle(t, made, password).Encode())
		expect(t, "bcrypt", password, h, err)

		log, r, p := 1+mathrand.IntN(10), 1+mathrand.IntN(8), 1+mathrand.IntN(3)
		stretched, err := oraclescrypt.NewScrypt(oraclescrypt.WithLN(log), oraclescrypt.WithR(r), oraclescrypt.WithP(p))
		if err != nil {
			t.Fatal(err)
		}
		digest := oracle(t, stretched, password).(interface{ Key() []byte })
		salt := digest.(interface{ Salt() []byte }).Salt()
		h, err = Scrypt(hex.EncodeToString(digest.Key()), ScryptOptions{Salt: string(salt), N: 1 << log, R: r, P: p, Length: len(digest.Key())})
		expect(t, "scrypt", password, h, err)

		for _, kind := range []struct {
			digest  string
			variant oraclepbkdf2.Variant
		}{{"sha1", oraclepbkdf2.VariantSHA1}, {"sha256", oraclepbkdf2.VariantSHA256}, {"sha512", oraclepbkdf2.VariantSHA512}} {
			made, err := oraclepbkdf2.New(oraclepbkdf2.WithVariant(kind.variant), oraclepbkdf2.WithIterations(100_000))
			if err != nil {
				t.Fatal(err)
			}
			digest := oracle(t, made, password).(*oraclepbkdf2.Digest)
			h, err := PBKDF2(kind.digest, 100_000, digest.Salt(), digest.Key())
			expect(t, "pbkdf2 "+kind.digest, password, h, err)
		}
	}
}

func oracle(t *testing.T, made algorithm.Hash, password string) algorithm.Digest {
	t.Helper()
	digest, err := made.Hash(password)
	if err != nil {
		t.Fatal(err)
	}
	return digest
}

// nodeHashes makes the hashes that OpenSSL knows, and those that are made of them.
const nodeHashes = `
const c = require('crypto')
const {passwords, salt, signer} = JSON.parse(require('fs').readFileSync(0))
const itoa = './0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'
const raw = Buffer.from(salt, 'base64')
const phpass = (password) => {
  const head = '$P$9' + 'saltsalt'
  let sum = c.createHash('md5').update('saltsalt').update(password).digest()
  for (let i = 0; i < 1 << 11; i++) sum = c.createHash('md5').update(sum).update(password).digest()
  let bits = 0n, out = ''
  sum.forEach((b, i) => { bits |= BigInt(b) << BigInt(8 * i) })
  for (let i = 0; i < 22; i++) out += itoa[Number((bits >> BigInt(i < 20 ? 6 * i : 120 + 6 * (i - 20))) & 63n)]
  return head + out
}
const firebase = (password) => {
  const key = c.scryptSync(password, Buffer.concat([raw, Buffer.from([7])]), 32, {N: 1024, r: 8, p: 1})
  return c.createCipheriv('aes-256-ctr', key, Buffer.alloc(16)).update(Buffer.from(signer, 'base64')).toString('base64')
}
console.log(JSON.stringify(passwords.map((password) => ({
  digests: Object.fromEntries(['md5', 'sha1', 'sha224', 'sha256', 'sha384', 'sha512/224', 'sha512/256', 'sha512', 'sha3-224', 'sha3-256', 'sha3-384', 'sha3-512']
    .map((name) => [name, c.createHash(name.replace('/', '-')).update(password).digest('hex')])),
  scrypt: c.scryptSync(password, raw, 40, {N: 64, r: 3, p: 2}).toString('hex'),
  pbkdf2: Object.fromEntries(['sha1', 'sha256', 'sha512'].map((name) => [name, c.pbkdf2Sync(password, raw, 321, 33, name).toString('base64')])),
  phpass: phpass(password),
  firebase: firebase(password),
}))))`

// Node's OpenSSL makes hashes of random passwords, which are verified here.
func TestHashesOfOpenSSL(t *testing.T) {
	if _, err := exec.LookPath("node"); err != nil {
		t.Skip("needs Node, which .ci/run installs")
	}
	passwords, salt, signer := somePasswords(20), make([]byte, 16), make([]byte, 64)
	_, _ = rand.Read(salt)
	_, _ = rand.Read(signer)
	b64 := base64.StdEncoding.EncodeToString
	input, err := json.Marshal(map[string]any{"passwords": passwords, "salt": b64(salt), "signer": b64(signer)})
	if err != nil {
		t.Fatal(err)
	}
	node := exec.Command("node", "-e", nodeHashes)
	node.Stdin = bytes.NewReader(input)
	out, err := node.Output()
	if err != nil {
		t.Fatal(err)
	}
	var made []struct {
		Digests, PBKDF2          map[string]string
		Scrypt, PHPass, Firebase string
	}
	if err := json.Unmarshal(out, &made); err != nil || len(made) != len(passwords) {
		t.Fatalf("%d, %v", len(made), err)
	}
	for i, password := range passwords {
		m := made[i]
		for version, digits := range m.Digests {
			if version == "md5" {
				h, err := MD5(digits)
				expect(t, version, password, h, err)
				continue
			}
			h, err := SHA(version, digits)
			expect(t, version, password, h, err)
		}
		for digest, tag := range m.PBKDF2 {
			raw, err := base64.StdEncoding.DecodeString(tag)
			if err != nil {
				t.Fatal(err)
			}
			h, err := PBKDF2(digest, 321, salt, raw)
			expect(t, "pbkdf2 "+digest, password, h, err)
		}
		h, err := Scrypt(m.Scrypt, ScryptOptions{Salt: string(salt), N: 64, R: 3, P: 2, Length: 40})
		expect(t, "scrypt", password, h, err)
		h, err = PHPass(m.PHPass)
		expect(t, "phpass", password, h, err)
		h, err = ScryptModified(m.Firebase, ScryptModifiedOptions{Salt: b64(salt), Separator: "Bw==", SignerKey: b64(signer), MemoryCost: 10})
		expect(t, "firebase", password, h, err)
		if len(m.Digests) != 12 || len(m.PBKDF2) != 3 {
			t.Fatalf("%d digests, %d of PBKDF2", len(m.Digests), len(m.PBKDF2))
		}
	}
}
