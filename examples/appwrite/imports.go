package main

import (
	"cmp"
	"context"
	"strings"

	"example.com/latchkey"
	"example.com/latchkey/hasher"
	"example.com/latchkey/hasher/foreign"
	"example.com/latchkey/hidden"
)

// importRoutes make users whose passwords other systems have hashed.
var importRoutes = []route{
	on(post, users, created, seen(hashed((*latchkey.Users).CreateArgon2User)), "/users/argon2"),
	on(post, users, created, seen(hashed((*latchkey.Users).CreateBcryptUser)), "/users/bcrypt"),
	on(post, users, created, seen(hashed((*latchkey.Users).CreateMD5User)), "/users/md5"),
	on(post, users, created, seen(hashed((*latchkey.Users).CreatePHPassUser)), "/users/phpass"),
	on(post, users, created, seen(createSHAUser), "/users/sha"),
	on(post, users, created, seen(createScryptUser), "/users/scrypt"),
	on(post, users, created, seen(createScryptModifiedUser), "/users/scrypt-modified"),
}

// hashedUser reads the parameters that the imports share.
func (c *call) hashedUser() (n latchkey.HashedUser, err error) {
	if n.UserID, err = c.id("userId"); err != nil {
		return n, err
	}
	if n.Email, err = c.text("email"); err != nil {
		return n, err
	}
	hash, err := c.text("password")
	if err != nil {
		return n, err
	}
	n.Hash = hidden.New(hash)
	n.Name, err = c.optional("name", "")
	return n, err
}

// hashed returns a handler for a hash without parameters of its own.
func hashed(create func(*latchkey.Users, context.Context, latchkey.HashedUser) (*latchkey.User, error)) func(c *call) (*latchkey.User, error) {
	return func(c *call) (*latchkey.User, error) {
		n, err := c.hashedUser()
		if err != nil {
			return nil, err
		}
		return create(c.users(), c.r.Context(), n)
	}
}

func createSHAUser(c *call) (*latchkey.User, error) {
	n, err := c.hashedUser()
	if err != nil {
		return nil, err
	}
	version, err := c.optional("passwordVersion", "")
	if err != nil {
		return nil, err
	}
	return c.users().CreateSHAUser(c.r.Context(), n, version)
}

func createScryptUser(c *call) (*latchkey.User, error) {
	n, err := c.hashedUser()
	if err != nil {
		return nil, err
	}
	var o foreign.ScryptOptions
	if o.Salt, err = c.text("passwordSalt"); err != nil {
		return nil, err
	}
	for name, field := range map[string]*int{"passwordCpu": &o.N, "passwordMemory": &o.R, "passwordParallel": &o.P, "passwordLength": &o.Length} {
		if *field, err = c.number(name); err != nil {
			return nil, err
		}
	}
	return c.users().CreateScryptUser(c.r.Context(), n, o)
}

func createScryptModifiedUser(c *call) (*latchkey.User, error) {
	n, err := c.hashedUser()
	if err != nil {
		return nil, err
	}
	var o foreign.ScryptModifiedOptions
	for name, field := range map[string]*string{"passwordSalt": &o.Salt, "passwordSaltSeparator": &o.Separator, "passwordSignerKey": &o.SignerKey} {
		if *field, err = c.text(name); err != nil {
			return nil, err
		}
	}
	return c.users().CreateScryptModifiedUser(c.r.Context(), n, o)
}

// hashModel tells of which kind a hash is, as the documents name it. The options of a foreign hash
// are in its text. A signer key is not repeated here.
func hashModel(hash string) (kind string, options object) {
	if hash == "" || hasher.Own(hash) {
		p := hasher.Default()
		return "argon2", object{"type": "argon2", "memoryCost": p.Memory, "timeCost": p.Time, "threads": p.Threads}
	}
	h, err := foreign.Parse(hash)
	if err != nil {
		return "", object{}
	}
	scheme := h.Scheme()
	switch {
	case strings.HasPrefix(scheme, "sha"):
		return "sha", object{"type": "sha", "version": scheme}
	case strings.HasPrefix(scheme, "argon2"):
		return "argon2", object{"type": "argon2"}
	}
	kind = cmp.Or(map[string]string{"scrypt-modified": "scryptMod"}[scheme], scheme)
	return kind, object{"type": kind}
}
