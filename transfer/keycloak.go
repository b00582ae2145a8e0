package transfer

import (
	"encoding/base32"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"example.com/latchkey"
	"example.com/latchkey/hasher/foreign"
	"example.com/latchkey/hidden"
)

// Keycloak is the file of a realm with its users, or of the users of a realm.
const Keycloak Format = "keycloak"

// keycloakUser is a user of a realm.
type keycloakUser struct {
	ID                     string               `json:"id"`
	CreatedTimestamp       millis               `json:"createdTimestamp"`
	Username               string               `json:"username"`
	Enabled                bool                 `json:"enabled"`
	Email                  string               `json:"email"`
	EmailVerified          bool                 `json:"emailVerified"`
	FirstName              string               `json:"firstName"`
	LastName               string               `json:"lastName"`
	Credentials            []keycloakCredential `json:"credentials"`
	RequiredActions        []string             `json:"requiredActions"`
	FederatedIdentities    []keycloakIdentity   `json:"federatedIdentities"`
	FederationLink         string               `json:"federationLink"`
	ServiceAccountClientID string               `json:"serviceAccountClientId"`
}

// keycloakCredential is a credential. Two of its members are JSON in a text.
type keycloakCredential struct {
	Type           string `json:"type"`
	CreatedDate    millis `json:"createdDate"`
	Temporary      bool   `json:"temporary"`
	Value          string `json:"value"`
	SecretData     string `json:"secretData"`
	CredentialData string `json:"credentialData"`
}

type keycloakSecret struct {
	Value string `json:"value"`
	Salt  string `json:"salt"`
}

type keycloakPassword struct {
	HashIterations       int                 `json:"hashIterations"`
	Algorithm            string              `json:"algorithm"`
	AdditionalParameters map[string][]string `json:"additionalParameters"`
}

type keycloakOTP struct {
	SubType        string `json:"subType"`
	Digits         int    `json:"digits"`
	Period         int    `json:"period"`
	Algorithm      string `json:"algorithm"`
	SecretEncoding string `json:"secretEncoding"`
}

type keycloakIdentity struct {
	IdentityProvider string `json:"identityProvider"`
	UserID           string `json:"userId"`
	UserName         string `json:"userName"`
}

// readKeycloak reads the format [Keycloak].
func readKeycloak(r io.Reader, o Options) Records {
	return jsonUsers(r, layout{member: "users"}, o.keycloakUser)
}

// keycloakUser turns a user of Keycloak into one of here.
func (o Options) keycloakUser(k *keycloakUser) (*latchkey.PortableUser, error) {
	u, err := newUser(Keycloak, k.ID)
	switch {
	case err != nil:
		return nil, err
	case k.ServiceAccountClientID != "":
		return nil, errors.New("it is the account of a client, and not of a person")
	}
	u.Email, u.EmailVerified, u.Blocked, u.CreatedAt = k.Email, k.EmailVerified, !k.Enabled, k.CreatedTimestamp.Time
	if u.Name = strings.TrimSpace(k.FirstName + " " + k.LastName); u.Name == "" {
		u.Name = k.Username
	}
	for _, action := range k.RequiredActions {
		u.MustReset = u.MustReset || action == "UPDATE_PASSWORD"
	}
	for _, i := range k.FederatedIdentities {
		if err := o.addKeycloakIdentity(u, i); err != nil {
			return nil, err
		}
	}
	return u, o.addKeycloakCredentials(u, k)
}

// addKeycloakIdentity gives a user an identity. The realm names its providers itself, so no name
// is a usual one.
func (o Options) addKeycloakIdentity(u *latchkey.PortableUser, i keycloakIdentity) error {
	if _, known := o.Providers[i.IdentityProvider]; !known {
		return unknownProvider(i.IdentityProvider)
	}
	return o.addIdentity(u, latchkey.PortableIdentity{Subject: i.UserID, Name: i.UserName}, i.IdentityProvider)
}

// addKeycloakCredentials gives a user the password and the authenticator app.
func (o Options) addKeycloakCredentials(u *latchkey.PortableUser, k *keycloakUser) error {
	passwords := 0
	for _, c := range k.Credentials {
		var err error
		switch c.Type {
		case "password":
			passwords++
			u.MustReset = u.MustReset || c.Temporary
			u.PasswordUpdate = c.CreatedDate.Time
			h, refused := c.password()
			err = o.setPassword(u, h, refused)
		case "otp":
			err = addKeycloakOTP(u, c)
		case "totp":
			err = errors.New("its authenticator app has the form of an old version of Keycloak")
		}
		if err != nil {
			return err
		}
	}
	switch {
	case passwords > 1:
		return errTwoPasswords
	case passwords == 0 && k.FederationLink != "":
		return o.setPassword(u, foreign.Hash{}, errors.New("a directory beside Keycloak has it"))
	}
	return nil
}

// password reads a hash.
func (c keycloakCredential) password() (h foreign.Hash, err error) {
	var secret keycloakSecret
	var data keycloakPassword
	switch {
	case c.SecretData == "" && c.Value != "":
		return h, errors.New("the file has it in plain text")
	case c.SecretData == "" || c.CredentialData == "":
		return h, errHashless
	case decode([]byte(c.SecretData), &secret) != nil:
		return h, anotherForm("secretData")
	case decode([]byte(c.CredentialData), &data) != nil:
		return h, anotherForm("credentialData")
	}
	tag, errTag := base64.StdEncoding.Strict().DecodeString(secret.Value)
	salt, errSalt := base64.StdEncoding.Strict().DecodeString(secret.Salt)
	if errTag != nil || errSalt != nil {
		return h, errors.New("its hash or salt is not base64")
	}
	switch data.Algorithm {
	case "pbkdf2":
		return foreign.PBKDF2("sha1", data.HashIterations, salt, tag)
	case "pbkdf2-sha256", "pbkdf2-sha512":
		return foreign.PBKDF2(strings.TrimPrefix(data.Algorithm, "pbkdf2-"), data.HashIterations, salt, tag)
	case "argon2":
		return data.argon2(salt, tag)
	}
	return h, errors.New("the algorithm of its hash is not known")
}

// argon2 reads a hash of argon2.
func (p keycloakPassword) argon2(salt, tag []byte) (h foreign.Hash, err error) {
	values := map[string]string{"type": "id", "version": "1.3", "memory": "7168", "parallelism": "1"}
	for name, usual := range values {
		switch list := p.AdditionalParameters[name]; {
		case len(list) > 1:
			return h, errParameter
		case len(list) == 1:
			usual = list[0]
		}
		values[name] = usual
	}
	memory, errMemory := strconv.ParseUint(values["memory"], 10, 32)
	lanes, errLanes := strconv.ParseUint(values["parallelism"], 10, 8)
	switch {
	case errMemory != nil || errLanes != nil || p.HashIterations < 1:
		return h, errParameter
	case values["version"] != "1.3":
		return h, errors.New("its hash is of an old version of argon2")
	case values["type"] != "id" && values["type"] != "i" && values["type"] != "d":
		return h, errParameter
	}
	return foreign.Argon2(fmt.Sprintf("$argon2%s$v=19$m=%d,t=%d,p=%d$%s$%s", values["type"], memory, p.HashIterations, lanes,
		base64.RawStdEncoding.EncodeToString(salt), base64.RawStdEncoding.EncodeToString(tag)))
}

// addKeycloakOTP gives a user the authenticator app. Its secret is the bytes of a text, unless an
// encoding is named.
func addKeycloakOTP(u *latchkey.PortableUser, c keycloakCredential) error {
	var secret keycloakSecret
	data := keycloakOTP{Period: 30, Digits: 6, Algorithm: "HmacSHA1"}
	if decode([]byte(c.SecretData), &secret) != nil || decode([]byte(c.CredentialData), &data) != nil {
		return errors.New("its authenticator app has another form")
	}
	algorithm := strings.TrimPrefix(data.Algorithm, "Hmac")
	seed := secret.Value
	switch {
	case u.Authenticator != nil:
		return errTwoAuthenticators
	case data.SubType != "totp" || data.Period != 30 || data.Digits != 6 && data.Digits != 8 || algorithm != "SHA1" && algorithm != "SHA256":
		return errors.New("its authenticator app is none of 30 seconds, 6 or 8 digits and SHA-1 or SHA-256")
	case data.SecretEncoding == "":
		seed = base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString([]byte(seed))
	case !strings.EqualFold(data.SecretEncoding, "BASE32"):
		return errors.New("the encoding of the secret of its authenticator app is not known")
	}
	u.MFA = true
	u.Authenticator = &latchkey.PortableAuthenticator{Seed: hidden.New(seed), Algorithm: algorithm, Digits: data.Digits, CreatedAt: c.CreatedDate.Time}
	return nil
}
