package latchkey_test

import (
	"strings"
	"sync"
	"testing"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/hasher/foreign"
	"example.com/latchkey/hidden"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/store"
)

// Those of the documents, with the password appwrite.
const (
	argon2Hash   = "$argon2i$v=19$m=20,t=3,p=2$YXBwd3JpdGU$A/54i238ed09ZR4NwlACU5XnkjNBZU9QeOEuhjLiexI"
	bcryptHash   = "$2a$05$IjrtSz6SN7UJ6Sh3l.b5jODEvEG2LMJTPAHIaLWRvlWx7if3VMkFO" // of hello-world
	md5Hash      = "144fa7eaa4904e8ee120651997f70dcc"
	phpassHash   = "$P$Br387rwferoKN7uwHZqNMu98q3U8RO."
	sha512Hash   = "4243da0a694e8a2f727c8060fe0507c8fa01ca68146c76d2c190805b638c20c6bf6ba04e21f11ae138785d0bff63c416e6f87badbffad37f6dee50094cc38c70"
	scryptHash   = "9c590c2c5811bd800bb0a945d46ec5cd07509ce6e362c3d7fbae9a65129a3fa3da9501ad60ed29ecaab41418bdee4301de973a0ae5e409af0798f3074423f5b7"
	firebaseHash = "UlM7JiXRcQhzAGlaonpSqNSLIz475WMddOgLjej5De9vxTy48K6WtqlEzrRFeK4t0COfMhWCb8wuMHgxOFCHFQ=="
	firebaseKey  = "XyEKE9RcTDeLEsL/RjwPDBv/RqDl8fb3gpYEOQaPihbxf1ZAtSOHCjuAAa7Q3oHpCYhXSN9tizHgVOwn6krflQ=="
)

var firebase = foreign.ScryptModifiedOptions{Salt: "UxLMreBr6tYyjQ==", Separator: "Bw==", SignerKey: firebaseKey}

// hashedImport is one of the seven imports of the documents.
type hashedImport struct {
	scheme, password string
	create           func(k *kit.Kit, n latchkey.HashedUser) (*latchkey.User, error)
	hash             string
	wrapped          bool
}

var hashedImports = []hashedImport{
	{"argon2", "appwrite", func(k *kit.Kit, n latchkey.HashedUser) (*latchkey.User, error) {
		return k.Users().CreateArgon2User(k.Ctx, n)
	}, argon2Hash, true},
	{"bcrypt", "hello-world", func(k *kit.Kit, n latchkey.HashedUser) (*latchkey.User, error) {
		return k.Users().CreateBcryptUser(k.Ctx, n)
	}, bcryptHash, false},
	{"md5", "appwrite", func(k *kit.Kit, n latchkey.HashedUser) (*latchkey.User, error) {
		return k.Users().CreateMD5User(k.Ctx, n)
	}, md5Hash, true},
	{"phpass", "appwrite", func(k *kit.Kit, n latchkey.HashedUser) (*latchkey.User, error) {
		return k.Users().CreatePHPassUser(k.Ctx, n)
	}, phpassHash, true},
	{"sha", "appwrite", func(k *kit.Kit, n latchkey.HashedUser) (*latchkey.User, error) {
		return k.Users().CreateSHAUser(k.Ctx, n, "sha512")
	}, sha512Hash, true},
	{"scrypt", "appwrite", func(k *kit.Kit, n latchkey.HashedUser) (*latchkey.User, error) {
		return k.Users().CreateScryptUser(k.Ctx, n, foreign.ScryptOptions{Salt: "appwrite"})
	}, scryptHash, true},
	{"scrypt-modified", "appwrite", func(k *kit.Kit, n latchkey.HashedUser) (*latchkey.User, error) {
		return k.Users().CreateScryptModifiedUser(k.Ctx, n, firebase)
	}, firebaseHash, false},
}

// Each import makes a user as Users.Create does. The old password signs in, a wrong one does not,
// and the first right one replaces the hash.
func TestImportedUsersSignInWithTheirOldPassword(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		for _, in := range hashedImports {
			email := in.scheme + "@example.org"
			user, err := in.create(k, latchkey.HashedUser{UserID: in.scheme, Email: strings.ToUpper(email), Hash: hidden.New(in.hash), Name: "Imported"})
			k.Must(err)
			k.Same(in.scheme+": the user", []any{user.ID, user.Email, user.Name, user.EmailVerification, user.PasswordUpdate, len(user.Targets)}, []any{in.scheme, email, "Imported", false, k.Clock.Now(), 1})
			kept, err := k.Users().PasswordHash(k.Ctx, user.ID)
			k.Must(err)
			if strings.HasPrefix(kept.Reveal(), "$wrapped$argon2id$") != in.wrapped || in.wrapped && strings.Contains(kept.Reveal(), in.hash) {
				k.Errorf("%s: kept as %s", in.scheme, kept.Reveal())
			}
			if err := kit.Err(k.Visitor.CreateEmailPasswordSession(k.Ctx, email, in.password+"x")); err != latchkey.ErrInvalidCredentials {
				k.Errorf("%s: a wrong password: %v", in.scheme, err)
			}
			k.Clock.Advance(time.Hour)
			for range 2 {
				k.Must(kit.Err(k.Visitor.CreateEmailPasswordSession(k.Ctx, email, in.password)))
			}
			own, err := k.Users().PasswordHash(k.Ctx, user.ID)
			k.Must(err)
			if k.Hasher.Outdated(own.Reveal()) {
				k.Errorf("%s: the hash is not replaced: %s", in.scheme, own.Reveal())
			}
			again, err := k.Users().Get(k.Ctx, user.ID)
			k.Must(err)
			if !again.PasswordUpdate.Equal(user.PasswordUpdate) {
				k.Errorf("%s: a new hash is a new password", in.scheme)
			}
			k.Must(k.Users().Delete(k.Ctx, user.ID))
		}
	})
}

// AC-012 and AC-108: a hash out of bounds or of another form is refused before anything is
// done, and the error shows nothing of it.
func TestAC012AC108ImportsRefuseOtherHashes(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		hashes := k.Hasher.Hashes()
		for _, in := range hashedImports {
			var near []string
			switch in.scheme {
			case "bcrypt", "md5", "sha", "scrypt":
				near = []string{strings.ToUpper(in.hash), in.hash + "0", in.hash[:len(in.hash)-1]}
			}
			for _, hash := range append(near,
				"", "plaintext password", strings.Repeat("a", 2000), "$argon2id$v=19$m=4194304,t=1,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
				"$argon2id$v=19$m=64,t=2147483648,p=4294967295$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc", "$2a$31$"+strings.Repeat("a", 53), "$argon2id$v=19$m=64,t=1,p=1$$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
			) {
				k.Refuses(in.scheme, latchkey.ErrArgumentInvalid, func() error {
					_, err := in.create(k, latchkey.HashedUser{Email: "new@example.org", Hash: hidden.New(hash)})
					if err != nil && len(hash) > 8 && strings.Contains(err.Error(), hash[:8]) && !strings.HasPrefix(hash, "$argon2") {
						k.Errorf("%s: the error shows the hash: %v", in.scheme, err)
					}
					return err
				})
			}
		}
		k.Refuses("a big N", latchkey.ErrArgumentInvalid, func() error {
			return kit.Err(k.Users().CreateScryptUser(k.Ctx, latchkey.HashedUser{Email: "new@example.org", Hash: hidden.New(scryptHash)}, foreign.ScryptOptions{Salt: "appwrite", N: 1 << 30}))
		})
		k.Refuses("an unknown version", latchkey.ErrArgumentInvalid, func() error {
			return kit.Err(k.Users().CreateSHAUser(k.Ctx, latchkey.HashedUser{Email: "new@example.org", Hash: hidden.New(sha512Hash)}, "sha2"))
		})
		if n := k.Hasher.Hashes(); n != hashes {
			k.Errorf("%d hashes were computed", n-hashes)
		}
	})
}

func TestImportsRefuseWhatCreateRefuses(t *testing.T) {
	kit.OnEveryStore(t, latchkey.Policy{Addresses: latchkey.AddressPolicy{RefuseFree: true}}, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		for name, c := range map[string]struct {
			n    latchkey.HashedUser
			want error
		}{
			"no address":      {latchkey.HashedUser{}, latchkey.ErrArgumentInvalid},
			"another address": {latchkey.HashedUser{Email: "ada"}, latchkey.ErrArgumentInvalid},
			"a free address":  {latchkey.HashedUser{Email: "ada@gmail.com"}, latchkey.ErrEmailFree},
			"a taken address": {latchkey.HashedUser{Email: strings.ToUpper(kit.Ada)}, latchkey.ErrUserAlreadyExists},
			"a taken id":      {latchkey.HashedUser{UserID: k.IDOf(kit.Ada), Email: kit.Bob}, latchkey.ErrUserAlreadyExists},
			"another id":      {latchkey.HashedUser{UserID: "-", Email: kit.Bob}, latchkey.ErrArgumentInvalid},
			"a long name":     {latchkey.HashedUser{Email: kit.Bob, Name: strings.Repeat("x", 129)}, latchkey.ErrArgumentInvalid},
		} {
			c.n.Hash = hidden.New(md5Hash)
			k.Refuses(name, c.want, func() error { return kit.Err(k.Users().CreateMD5User(k.Ctx, c.n)) })
		}
	})
}

// A password that is shorter than the policy allows for new ones signs in, and is asked for like
// any other.
func TestAShortImportedPasswordSignsIn(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		_, err := k.Users().CreatePHPassUser(k.Ctx, latchkey.HashedUser{Email: kit.Ada, Hash: hidden.New("$P$BVKPmJBZuLch27D4oiMRTEykGLQ9tX0")})
		k.Must(err)
		s, err := k.Visitor.CreateEmailPasswordSession(k.Ctx, kit.Ada, "pass123")
		k.Must(err)
		account, err := k.Visitor.Authenticate(k.Ctx, s.Secret.Reveal())
		k.Must(err)
		k.Must(kit.Err(account.UpdateEmail(k.Ctx, "countess@example.org", "pass123")))
		k.Refuses("a short new one", latchkey.ErrArgumentInvalid, func() error {
			return kit.Err(account.UpdatePassword(k.Ctx, latchkey.PasswordUpdate{Old: "pass123", New: "pass124"}))
		})
		k.Must(kit.Err(account.UpdatePassword(k.Ctx, latchkey.PasswordUpdate{Old: "pass123", New: kit.Password})))
		k.Must(kit.Err(k.Visitor.CreateEmailPasswordSession(k.Ctx, "countess@example.org", kit.Password)))
	})
}

// Two sign-ins at once replace the hash by compare-and-swap: both succeed, and a password that
// was set meanwhile stays.
func TestAnImportedHashIsReplacedOnce(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.Must(kit.Err(k.Users().CreateMD5User(k.Ctx, latchkey.HashedUser{Email: kit.Ada, Hash: hidden.New(md5Hash)})))
		var wg sync.WaitGroup
		failed := make([]error, 4)
		for i := range failed {
			wg.Go(func() { _, failed[i] = k.Visitor.CreateEmailPasswordSession(k.Ctx, kit.Ada, "appwrite") })
		}
		wg.Wait()
		for _, err := range failed {
			if err != nil && err != latchkey.ErrBusy {
				k.Errorf("%v", err)
			}
		}
		other, err := k.Users().CreateMD5User(k.Ctx, latchkey.HashedUser{Email: kit.Bob, Hash: hidden.New(md5Hash)})
		k.Must(err)
		k.Interfere(func() { k.Must(kit.Err(k.Users().UpdatePassword(k.Ctx, other.ID, kit.Password))) })
		if err := kit.Err(k.Visitor.CreateEmailPasswordSession(k.Ctx, kit.Bob, "appwrite")); err != latchkey.ErrInvalidCredentials {
			k.Errorf("the old password after a new one: %v", err)
		}
		k.Must(kit.Err(k.Visitor.CreateEmailPasswordSession(k.Ctx, kit.Bob, kit.Password)))
	})
}

// An imported hash counts as a former password.
func TestAnImportedPasswordIsNotSetAgain(t *testing.T) {
	kit.OnEveryStore(t, latchkey.Policy{Password: latchkey.PasswordPolicy{History: 2}}, func(k *kit.Kit) {
		user, err := k.Users().CreateMD5User(k.Ctx, latchkey.HashedUser{Email: kit.Ada, Hash: hidden.New(md5Hash)})
		k.Must(err)
		k.Refuses("the imported one", latchkey.ErrPasswordRecentlyUsed, func() error { return kit.Err(k.Users().UpdatePassword(k.Ctx, user.ID, "appwrite")) })
		row, err := record.Users.Get(k.Ctx, k.Raw, record.Users.Primary(), store.Text(user.ID))
		k.Must(err)
		if len(row.PasswordHistory) == 0 {
			k.Error("the history is empty")
		}
	})
}
