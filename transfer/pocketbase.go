package transfer

import (
	"errors"
	"io"

	"example.com/latchkey"
	"example.com/latchkey/hasher/foreign"
)

// PocketBase is the records of a collection of users, as JSON.
const PocketBase Format = "pocketbase"

// pocketBaseUser is a record of an auth collection.
type pocketBaseUser struct {
	ID            string               `json:"id"`
	Email         string               `json:"email"`
	Verified      flag                 `json:"verified"`
	Name          string               `json:"name"`
	Password      string               `json:"password"`
	PasswordHash  string               `json:"passwordHash"` // before version 0.23
	Created       moment               `json:"created"`
	Updated       moment               `json:"updated"`
	ExternalAuths []pocketBaseIdentity `json:"externalAuths"` // if the query has put them there
}

type pocketBaseIdentity struct {
	Provider   string `json:"provider"`
	ProviderID string `json:"providerId"`
	Created    moment `json:"created"`
	Updated    moment `json:"updated"`
}

// readPocketBase reads the format [PocketBase].
func readPocketBase(r io.Reader, o Options) Records {
	l := layout{member: "items", before: []string{"page", "perPage", "totalItems", "totalPages"}, array: true, lines: true}
	return jsonUsers(r, l, o.pocketBaseUser)
}

// pocketBaseUser turns a user of PocketBase into one of here.
func (o Options) pocketBaseUser(p *pocketBaseUser) (*latchkey.PortableUser, error) {
	u, err := newUser(PocketBase, p.ID)
	if err != nil {
		return nil, err
	}
	u.Email, u.EmailVerified, u.Name, u.CreatedAt, u.UpdatedAt = p.Email, bool(p.Verified), p.Name, p.Created.Time, p.Updated.Time
	for _, i := range p.ExternalAuths {
		if err := o.addIdentity(u, latchkey.PortableIdentity{Subject: i.ProviderID, CreatedAt: i.Created.Time, UpdatedAt: i.Updated.Time}, i.Provider); err != nil {
			return nil, err
		}
	}
	hash := p.Password
	if hash == "" {
		hash = p.PasswordHash
	}
	if hash == "" { // PocketBase gives each record one
		return u, o.setPassword(u, foreign.Hash{}, errHashless)
	}
	h, err := foreign.Bcrypt(hash)
	return u, o.setPassword(u, h, err)
}

var errHashless = errors.New("the file does not have its hash")
