package transfer

import (
	"errors"
	"io"

	"github.com/go-json-experiment/json/jsontext"

	"example.com/latchkey"
	"example.com/latchkey/hasher/foreign"
)

// Appwrite is a list of users as JSON.
const Appwrite Format = "appwrite"

// appwriteUser is a user of Appwrite.
type appwriteUser struct {
	ID                string         `json:"$id"`
	CreatedAt         moment         `json:"$createdAt"`
	UpdatedAt         moment         `json:"$updatedAt"`
	Name              string         `json:"name"`
	Password          string         `json:"password"`
	Hash              string         `json:"hash"`
	HashOptions       jsontext.Value `json:"hashOptions"`
	Registration      moment         `json:"registration"`
	Status            *bool          `json:"status"`
	Labels            []string       `json:"labels"`
	PasswordUpdate    moment         `json:"passwordUpdate"`
	Email             string         `json:"email"`
	Phone             string         `json:"phone"`
	EmailVerification bool           `json:"emailVerification"`
	PhoneVerification bool           `json:"phoneVerification"`
	MFA               bool           `json:"mfa"`
	Prefs             jsontext.Value `json:"prefs"`
	AccessedAt        moment         `json:"accessedAt"`
}

// appwriteHash are the parameters of a hash.
type appwriteHash struct {
	Version       string `json:"version"`
	Salt          string `json:"salt"`
	CostCPU       int    `json:"costCpu"`
	CostMemory    int    `json:"costMemory"`
	CostParallel  int    `json:"costParallel"`
	Length        int    `json:"length"`
	SaltSeparator string `json:"saltSeparator"`
	SignerKey     string `json:"signerKey"`
}

// readAppwrite reads the format [Appwrite].
func readAppwrite(r io.Reader, o Options) Records {
	return jsonUsers(r, layout{member: "users", before: []string{"total"}, array: true, lines: true}, o.appwriteUser)
}

// appwriteUser turns a user of Appwrite into one of here.
func (o Options) appwriteUser(a *appwriteUser) (*latchkey.PortableUser, error) {
	u, err := newUser(Appwrite, a.ID)
	switch {
	case err != nil:
		return nil, err
	case a.Status == nil:
		return nil, errors.New("it has no status")
	}
	u.Email, u.EmailVerified, u.Phone, u.PhoneVerified = a.Email, a.EmailVerification, a.Phone, a.PhoneVerification
	u.Name, u.Labels, u.MFA, u.Blocked = a.Name, a.Labels, a.MFA, !*a.Status
	u.CreatedAt, u.UpdatedAt, u.Registration, u.AccessedAt = a.CreatedAt.Time, a.UpdatedAt.Time, a.Registration.Time, a.AccessedAt.Time
	u.PasswordUpdate = a.PasswordUpdate.Time
	if err := setPrefs(u, "prefs", a.Prefs); err != nil || a.Password == "" || a.PasswordUpdate.IsZero() {
		return u, err // a password that was never set does not sign in at Appwrite
	}
	h, err := a.password()
	return u, o.setPassword(u, h, err)
}

// appwriteHashes read the texts of the kinds of hashes.
var appwriteHashes = map[string]func(text string, p appwriteHash) (foreign.Hash, error){
	"argon2": func(text string, _ appwriteHash) (foreign.Hash, error) { return foreign.Argon2(text) },
	"bcrypt": func(text string, _ appwriteHash) (foreign.Hash, error) { return foreign.Bcrypt(text) },
	"md5":    func(text string, _ appwriteHash) (foreign.Hash, error) { return foreign.MD5(text) },
	"phpass": func(text string, _ appwriteHash) (foreign.Hash, error) { return foreign.PHPass(text) },
	"sha":    func(text string, p appwriteHash) (foreign.Hash, error) { return foreign.SHA(p.Version, text) },
	"scrypt": func(text string, p appwriteHash) (foreign.Hash, error) {
		return foreign.Scrypt(text, foreign.ScryptOptions{Salt: p.Salt, N: p.CostCPU, R: p.CostMemory, P: p.CostParallel, Length: p.Length})
	},
	"scryptMod": func(text string, p appwriteHash) (foreign.Hash, error) {
		return foreign.ScryptModified(text, foreign.ScryptModifiedOptions{Salt: p.Salt, Separator: p.SaltSeparator, SignerKey: p.SignerKey})
	},
}

// password reads a hash.
func (a *appwriteUser) password() (h foreign.Hash, err error) {
	read, known := appwriteHashes[a.Hash]
	if !known {
		return h, errors.New("the kind of its hash is not known")
	}
	var p appwriteHash
	if kind := a.HashOptions.Kind(); kind != 0 && kind != 'n' && string(a.HashOptions) != "[]" { // PHP writes an empty object so
		if err := decode(a.HashOptions, &p); err != nil {
			return h, anotherForm("hashOptions")
		}
	}
	return read(a.Password, p)
}
