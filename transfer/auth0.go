package transfer

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"example.com/latchkey"
	"example.com/latchkey/hasher/foreign"
)

// Auth0 is a file of a bulk user export, and Auth0Passwords one of an export of password hashes
// without the other.
const (
	Auth0          Format = "auth0"
	Auth0Passwords Format = "auth0-passwords"
)

// auth0Database begins the ids of users with a password.
const auth0Database = "auth0|"

// auth0User is a user in a bulk export.
type auth0User struct {
	UserID            string          `json:"user_id"`
	Email             string          `json:"email"`
	EmailVerified     bool            `json:"email_verified"`
	PhoneNumber       string          `json:"phone_number"`
	PhoneVerified     bool            `json:"phone_verified"`
	Name              string          `json:"name"`
	GivenName         string          `json:"given_name"`
	FamilyName        string          `json:"family_name"`
	Blocked           bool            `json:"blocked"`
	CreatedAt         moment          `json:"created_at"`
	UpdatedAt         moment          `json:"updated_at"`
	LastLogin         moment          `json:"last_login"`
	LastPasswordReset moment          `json:"last_password_reset"`
	UserMetadata      jsontext.Value  `json:"user_metadata"`
	Identities        []auth0Identity `json:"identities"`
}

type auth0Identity struct {
	UserID      plain  `json:"user_id"`
	Provider    string `json:"provider"`
	Connection  string `json:"connection"`
	ProfileData struct {
		Email         string `json:"email"`
		EmailVerified bool   `json:"email_verified"`
		Name          string `json:"name"`
	} `json:"profileData"`
}

// readAuth0 reads the format [Auth0].
func readAuth0(r io.Reader, o Options) Records {
	return func(yield func(latchkey.Portable, error) bool) {
		hashes, err := readAuth0Hashes(o.Auth0Hashes)
		if err != nil {
			yield(latchkey.Portable{}, err)
			return
		}
		user := func(a *auth0User) (*latchkey.PortableUser, error) { return o.auth0User(a, hashes) }
		either(r,
			func(r io.Reader) Records { return jsonUsers(r, layout{array: true, lines: true}, user) },
			func(r io.Reader) Records {
				return csvUsers(r, []string{"user_id", "email"}, func(row row) (*latchkey.PortableUser, error) {
					a, err := auth0Row(row)
					if err != nil {
						return nil, err
					}
					return user(a)
				})
			})(yield)
	}
}

// auth0Row reads a row of an export in CSV.
func auth0Row(row row) (*auth0User, error) {
	a := &auth0User{
		UserID: row.get("user_id"), Email: row.get("email"), PhoneNumber: row.get("phone_number"),
		Name: row.get("name"), GivenName: row.get("given_name"), FamilyName: row.get("family_name"),
	}
	if err := row.flags([]flagColumn{{"email_verified", &a.EmailVerified}, {"phone_verified", &a.PhoneVerified}, {"blocked", &a.Blocked}}); err != nil {
		return nil, err
	}
	if err := row.times([]timeColumn{
		{"created_at", &a.CreatedAt}, {"updated_at", &a.UpdatedAt}, {"last_login", &a.LastLogin}, {"last_password_reset", &a.LastPasswordReset},
	}); err != nil {
		return nil, err
	}
	for i := 0; ; i++ {
		at := "identities[" + strconv.Itoa(i) + "]."
		identity := auth0Identity{UserID: plain(row.get(at + "user_id")), Provider: row.get(at + "provider"), Connection: row.get(at + "connection")}
		if identity.UserID == "" || identity.Provider == "" {
			return a, nil
		}
		a.Identities = append(a.Identities, identity)
	}
}

// auth0User turns a user of Auth0 into one of here.
func (o Options) auth0User(a *auth0User, hashes map[string]auth0Hash) (*latchkey.PortableUser, error) {
	u, err := newUser(Auth0, a.UserID)
	if err != nil {
		return nil, err
	}
	u.Email, u.EmailVerified, u.Phone, u.PhoneVerified, u.Blocked = a.Email, a.EmailVerified, a.PhoneNumber, a.PhoneVerified, a.Blocked
	u.CreatedAt, u.UpdatedAt, u.AccessedAt = a.CreatedAt.Time, a.UpdatedAt.Time, a.LastLogin.Time
	if u.Name = a.Name; u.Name == a.Email { // as Auth0 names a user without a name
		u.Name = strings.TrimSpace(a.GivenName + " " + a.FamilyName)
	}
	if err := setPrefs(u, "user_metadata", a.UserMetadata); err != nil {
		return nil, err
	}
	passwords := 0
	for _, i := range a.allIdentities() {
		switch i.Provider {
		case "sms", "email": // a code by message
		case "auth0":
			passwords++
			err = o.setAuth0Password(u, a, hashes, auth0Database+string(i.UserID))
		default:
			err = o.addAuth0Identity(u, i)
		}
		if err != nil {
			return nil, err
		}
	}
	if passwords > 1 {
		return nil, errTwoPasswords
	}
	return u, nil
}

var errTwoPasswords = errors.New("it has two passwords, and a user here has one")

// allIdentities returns the identities of a user. The id of the user tells the first one.
func (a *auth0User) allIdentities() []auth0Identity {
	if len(a.Identities) > 0 {
		return a.Identities
	}
	provider, id, _ := strings.Cut(a.UserID, "|")
	return []auth0Identity{{Provider: provider, UserID: plain(id)}}
}

// addAuth0Identity gives a user an identity. The id of an identity at a connection of the
// tenant's own begins with the name of the connection.
func (o Options) addAuth0Identity(u *latchkey.PortableUser, i auth0Identity) error {
	id := string(i.UserID)
	if i.Connection != "" {
		id = strings.TrimPrefix(id, i.Connection+"|")
	}
	if strings.Contains(id, "|") {
		return errors.New("it has an identity at a connection that the file does not name")
	}
	data := i.ProfileData
	return o.addIdentity(u, latchkey.PortableIdentity{Subject: id, Email: data.Email, EmailVerified: data.EmailVerified && data.Email != "", Name: data.Name}, i.Connection, i.Provider)
}

// setAuth0Password gives a user the hash of an id.
func (o Options) setAuth0Password(u *latchkey.PortableUser, a *auth0User, hashes map[string]auth0Hash, id string) error {
	kept, found := hashes[id]
	if !found {
		return o.setPassword(u, foreign.Hash{}, errors.New("Options.Auth0Hashes does not have it"))
	}
	u.PasswordUpdate = a.LastPasswordReset.Time
	if !kept.set.IsZero() {
		u.PasswordUpdate = kept.set.Time
	}
	h, err := foreign.Bcrypt(kept.hash)
	return o.setPassword(u, h, err)
}

// auth0Password is a user in an export of password hashes.
type auth0Password struct {
	ID            auth0ID           `json:"_id"`
	AltID         string            `json:"alt_id"`
	Email         string            `json:"email"`
	EmailVerified bool              `json:"email_verified"`
	PasswordHash  string            `json:"passwordHash"`
	PasswordSet   auth0Date         `json:"password_set_date"`
	Identifiers   []auth0Identifier `json:"identifiers"`
}

type auth0Identifier struct {
	Type     string `json:"type"`
	Value    string `json:"value"`
	Verified bool   `json:"verified"`
}

type auth0ID struct {
	OID string `json:"$oid"`
}

type auth0Date struct {
	Date moment `json:"$date"`
}

// id returns the id of the user.
func (p *auth0Password) id() string {
	id := p.AltID
	if id == "" {
		id = p.ID.OID
	}
	if id == "" {
		return ""
	}
	return auth0Database + id
}

// auth0Hash is a hash, with the time at which the password was set.
type auth0Hash struct {
	hash string
	set  moment
}

// readAuth0Hashes reads an export of password hashes, by the ids of users. Memory grows with it.
func readAuth0Hashes(r io.Reader) (map[string]auth0Hash, error) {
	if r == nil {
		return nil, nil
	}
	hashes := make(map[string]auth0Hash)
	var bad error
	err := lines(buffered(r), MaxRecord, func(number int, line []byte) bool {
		var p auth0Password
		reason := errTooLong
		if line != nil {
			reason = decode(line, &p)
		}
		if _, twice := hashes[p.id()]; reason == nil && twice {
			reason = errors.New("an earlier line has the same user")
		} else if reason == nil && p.id() == "" {
			reason = errNoID
		}
		if reason != nil {
			bad = fmt.Errorf("%w: line %d of Options.Auth0Hashes: %w", ErrFormat, number, reason)
			return false
		}
		hashes[p.id()] = auth0Hash{p.PasswordHash, p.PasswordSet.Date}
		return true
	})
	if err == nil {
		err = bad
	}
	return hashes, err
}

// readAuth0Passwords reads the format [Auth0Passwords].
func readAuth0Passwords(r io.Reader, o Options) Records {
	return jsonUsers(r, layout{lines: true}, func(p *auth0Password) (*latchkey.PortableUser, error) {
		u, err := newUser(Auth0, p.id())
		if err != nil {
			return nil, err
		}
		if u.Email, u.EmailVerified = p.Email, p.EmailVerified; u.Email == "" {
			for _, i := range p.Identifiers {
				if i.Type == "email" {
					u.Email, u.EmailVerified = i.Value, i.Verified
				}
			}
		}
		u.PasswordUpdate = p.PasswordSet.Date.Time
		h, err := foreign.Bcrypt(p.PasswordHash)
		return u, o.setPassword(u, h, err)
	})
}
