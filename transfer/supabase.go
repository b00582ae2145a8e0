package transfer

import (
	"errors"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"example.com/latchkey"
	"example.com/latchkey/hasher/foreign"
	"example.com/latchkey/hidden"
)

// Supabase is the table auth.users, as JSON lines or CSV.
const Supabase Format = "supabase"

// supabaseUser is a row of auth.users, with the rows of auth.identities and auth.mfa_factors if
// the query has put them there.
type supabaseUser struct {
	ID               string             `json:"id"`
	Email            string             `json:"email"`
	Password         string             `json:"encrypted_password"`
	EmailConfirmedAt moment             `json:"email_confirmed_at"`
	Phone            string             `json:"phone"`
	PhoneConfirmedAt moment             `json:"phone_confirmed_at"`
	UserMetaData     jsontext.Value     `json:"raw_user_meta_data"`
	BannedUntil      bannedUntil        `json:"banned_until"`
	DeletedAt        moment             `json:"deleted_at"`
	CreatedAt        moment             `json:"created_at"`
	UpdatedAt        moment             `json:"updated_at"`
	LastSignInAt     moment             `json:"last_sign_in_at"`
	Identities       []supabaseIdentity `json:"identities"`
	Factors          []supabaseFactor   `json:"mfa_factors"`
}

type supabaseIdentity struct {
	Provider   string `json:"provider"`
	ProviderID string `json:"provider_id"`
	Data       struct {
		Email         string `json:"email"`
		EmailVerified bool   `json:"email_verified"`
		FullName      string `json:"full_name"`
	} `json:"identity_data"`
	CreatedAt moment `json:"created_at"`
	UpdatedAt moment `json:"updated_at"`
}

type supabaseFactor struct {
	Type      string `json:"factor_type"`
	Status    string `json:"status"`
	Secret    string `json:"secret"`
	CreatedAt moment `json:"created_at"`
	UpdatedAt moment `json:"updated_at"`
}

// bannedUntil is a time, or infinity, which is the zero time with forever.
type bannedUntil struct {
	moment
	forever bool
}

// UnmarshalJSON reads a text, or null.
func (b *bannedUntil) UnmarshalJSON(raw []byte) error {
	if b.forever = string(raw) == `"infinity"`; b.forever {
		return nil
	}
	return b.moment.UnmarshalJSON(raw)
}

// at reports whether a user is banned at a time.
func (b *bannedUntil) at(now time.Time) bool { return b.forever || b.After(now) }

// readSupabase reads the format [Supabase].
func readSupabase(r io.Reader, o Options) Records {
	now := time.Now() // a ban that is over is none
	user := func(s *supabaseUser) (*latchkey.PortableUser, error) { return o.supabaseUser(s, now) }
	return either(r,
		func(r io.Reader) Records { return jsonUsers(r, layout{array: true, lines: true}, user) },
		func(r io.Reader) Records {
			return csvUsers(r, []string{"id", "email", "encrypted_password"}, func(row row) (*latchkey.PortableUser, error) {
				s, err := supabaseRow(row)
				if err != nil {
					return nil, err
				}
				return user(s)
			})
		})
}

// supabaseRow reads a row of CSV. Some programs write null for a missing value.
func supabaseRow(row row) (*supabaseUser, error) {
	for i, field := range row.fields {
		if field == "null" || field == "NULL" {
			row.fields[i] = ""
		}
	}
	s := &supabaseUser{
		ID: row.get("id"), Email: row.get("email"), Password: row.get("encrypted_password"), Phone: row.get("phone"),
		UserMetaData: jsontext.Value(row.get("raw_user_meta_data")),
	}
	if s.BannedUntil.forever = row.get("banned_until") == "infinity"; s.BannedUntil.forever {
		row.fields[row.columns["banned_until"]] = ""
	}
	return s, row.times([]timeColumn{
		{"banned_until", &s.BannedUntil.moment},
		{"email_confirmed_at", &s.EmailConfirmedAt}, {"phone_confirmed_at", &s.PhoneConfirmedAt}, {"deleted_at", &s.DeletedAt},
		{"created_at", &s.CreatedAt}, {"updated_at", &s.UpdatedAt}, {"last_sign_in_at", &s.LastSignInAt},
	})
}

// supabaseUser turns a user of Supabase into one of here.
func (o Options) supabaseUser(s *supabaseUser, now time.Time) (*latchkey.PortableUser, error) {
	u, err := newUser(Supabase, s.ID)
	switch {
	case err != nil:
		return nil, err
	case !s.DeletedAt.IsZero():
		return nil, errDeleted
	}
	u.Email, u.EmailVerified = s.Email, !s.EmailConfirmedAt.IsZero()
	if u.Phone, u.PhoneVerified = s.Phone, !s.PhoneConfirmedAt.IsZero(); s.Phone != "" {
		u.Phone = "+" + strings.TrimPrefix(s.Phone, "+") // the table has it without
	}
	u.CreatedAt, u.UpdatedAt, u.AccessedAt = s.CreatedAt.Time, s.UpdatedAt.Time, s.LastSignInAt.Time
	u.Blocked = s.BannedUntil.at(now)
	if err := o.supabaseMetaData(u, s.UserMetaData); err != nil {
		return nil, err
	}
	for _, i := range s.Identities {
		if i.Provider == "email" || i.Provider == "phone" {
			continue
		}
		if err := o.addIdentity(u, latchkey.PortableIdentity{
			Subject: i.ProviderID, Email: i.Data.Email, EmailVerified: i.Data.EmailVerified && i.Data.Email != "", Name: i.Data.FullName,
			CreatedAt: i.CreatedAt.Time, UpdatedAt: i.UpdatedAt.Time,
		}, i.Provider); err != nil {
			return nil, err
		}
	}
	if err := addSupabaseFactors(u, s.Factors); err != nil || s.Password == "" {
		return u, err
	}
	h, err := supabaseHash(s.Password)
	return u, o.setPassword(u, h, err)
}

var errDeleted = errors.New("it has been deleted")

// supabaseMetaData takes the preferences, and from them the name.
func (o Options) supabaseMetaData(u *latchkey.PortableUser, data jsontext.Value) error {
	if len(data) == 0 || data.Kind() == 'n' {
		return nil
	}
	var names struct {
		FullName jsontext.Value `json:"full_name"`
		Name     jsontext.Value `json:"name"`
	}
	if err := decode(data, &names); err != nil {
		return anotherForm("raw_user_meta_data")
	}
	for _, name := range []jsontext.Value{names.FullName, names.Name} {
		if u.Name == "" && name.Kind() == '"' {
			text, _ := jsontext.AppendUnquote(nil, name) // never fails: decode has read it
			u.Name = string(text)
		}
	}
	return setPrefs(u, "raw_user_meta_data", data)
}

// addSupabaseFactors gives a user the authenticator app that is verified.
func addSupabaseFactors(u *latchkey.PortableUser, factors []supabaseFactor) error {
	for _, f := range factors {
		switch {
		case f.Type != "totp" || f.Status != "verified":
		case u.Authenticator != nil:
			return errTwoAuthenticators
		case strings.HasPrefix(f.Secret, "{"):
			return errors.New("the secret of its authenticator app is encrypted")
		default:
			u.MFA = true
			u.Authenticator = &latchkey.PortableAuthenticator{Seed: hidden.New(f.Secret), CreatedAt: f.CreatedAt.Time, UpdatedAt: f.UpdatedAt.Time}
		}
	}
	return nil
}

var errTwoAuthenticators = errors.New("it has two authenticator apps, and a user here has one")

// supabaseHash reads a hash.
func supabaseHash(text string) (foreign.Hash, error) {
	switch {
	case strings.HasPrefix(text, "$2"):
		return foreign.Bcrypt(text)
	case strings.HasPrefix(text, "$argon2"):
		return foreign.Argon2(text)
	}
	fields := strings.Split(text, "$")
	if len(fields) != 5 || fields[0] != "" || fields[1] != "fbscrypt" {
		return foreign.Hash{}, errors.New("the scheme of its hash is not known")
	}
	o := foreign.ScryptModifiedOptions{Salt: fields[3]}
	for _, parameter := range strings.Split(fields[2], ",") {
		name, value, _ := strings.Cut(parameter, "=")
		number, err := strconv.Atoi(value)
		switch {
		case name == "ss":
			o.Separator = value
		case name == "sk":
			o.SignerKey = value
		case err != nil || number < 1:
			return foreign.Hash{}, errParameter
		case name == "n":
			o.MemoryCost = number
		case name == "r":
			o.Rounds = number
		case (name == "v" || name == "p") && number == 1:
		default:
			return foreign.Hash{}, errParameter
		}
	}
	return foreign.ScryptModified(fields[4], o)
}

var errParameter = errors.New("a parameter of its hash is not known")
