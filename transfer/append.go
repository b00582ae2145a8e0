package transfer

import (
	"encoding/base64"
	"errors"
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"example.com/latchkey"
)

// object writes a JSON object, member by member. A member with a zero value is left out. It does
// the same as package json with the lines' tags, in a fifth of the time: a million users are
// written this way.
type object struct {
	text []byte
	err  error

	last  time.Time // written before, at text[begin:end]: most times of a user are the same
	begin int
	end   int
}

// name writes the name of the next member.
func (o *object) name(name string) {
	if last := o.text[len(o.text)-1]; last != '{' {
		o.text = append(o.text, ',')
	}
	o.text = append(o.text, '"')
	o.text = append(o.text, name...)
	o.text = append(o.text, '"', ':')
}

// quoted writes a text.
func (o *object) quoted(value string) {
	text, err := jsontext.AppendQuote(o.text, value)
	if o.text = text; err != nil && o.err == nil {
		o.err = err
	}
}

// must writes a text, also an empty one.
func (o *object) must(name, value string) {
	o.name(name)
	o.quoted(value)
}

func (o *object) string(name, value string) {
	if value != "" {
		o.must(name, value)
	}
}

func (o *object) secret(name string, value latchkey.Secret) { o.string(name, value.Reveal()) }

func (o *object) bool(name string, value bool) {
	if value {
		o.name(name)
		o.text = append(o.text, "true"...)
	}
}

func (o *object) int(name string, value int64) {
	if value != 0 {
		o.name(name)
		o.text = strconv.AppendInt(o.text, value, 10)
	}
}

func (o *object) time(name string, value time.Time) {
	if value.IsZero() {
		return
	}
	o.name(name)
	if value.Equal(o.last) {
		o.text = append(o.text, o.text[o.begin:o.end]...)
		return
	}
	o.last, o.begin = value, len(o.text)
	o.text = append(value.UTC().AppendFormat(append(o.text, '"'), time.RFC3339Nano), '"')
	o.end = len(o.text)
}

func (o *object) bytes(name string, value []byte) {
	if len(value) > 0 {
		o.name(name)
		o.text = append(base64.StdEncoding.AppendEncode(append(o.text, '"'), value), '"')
	}
}

// prefs writes preferences on one line, unless they are empty.
func (o *object) prefs(name string, prefs []byte) {
	value := prefsLine(prefs)
	if value == nil {
		return
	}
	if value = value.Clone(); value.Compact() != nil && o.err == nil {
		o.err = errors.New("transfer: preferences are no JSON")
	}
	o.name(name)
	o.text = append(o.text, value...)
}

// list writes a list of n items.
func (o *object) list(name string, n int, item func(i int)) {
	o.name(name)
	o.text = append(o.text, '[')
	for i := range n {
		if i > 0 {
			o.text = append(o.text, ',')
		}
		item(i)
	}
	o.text = append(o.text, ']')
}

// strings writes a list of texts, unless it is empty.
func (o *object) strings(name string, values []string) {
	if len(values) > 0 {
		o.list(name, len(values), func(i int) { o.quoted(values[i]) })
	}
}

// nest writes an object.
func (o *object) nest(members func()) {
	o.text = append(o.text, '{')
	members()
	o.text = append(o.text, '}')
}

// appendUser writes a user's line.
func appendUser(line []byte, u *latchkey.PortableUser) ([]byte, error) {
	o := &object{text: line}
	o.nest(func() {
		o.must("kind", kindUser)
		o.string("id", u.ID)
		o.string("email", u.Email)
		o.bool("emailVerified", u.EmailVerified)
		o.string("phone", u.Phone)
		o.bool("phoneVerified", u.PhoneVerified)
		o.string("name", u.Name)
		o.secret("password", u.Password)
		if len(u.PasswordHistory) > 0 {
			o.list("passwordHistory", len(u.PasswordHistory), func(i int) { o.quoted(u.PasswordHistory[i].Reveal()) })
		}
		o.time("createdAt", u.CreatedAt)
		o.time("updatedAt", u.UpdatedAt)
		o.time("registration", u.Registration)
		o.time("accessedAt", u.AccessedAt)
		o.time("passwordUpdate", u.PasswordUpdate)
		o.bool("blocked", u.Blocked)
		o.bool("mustReset", u.MustReset)
		o.bool("mfa", u.MFA)
		o.bool("impersonator", u.Impersonator)
		o.strings("labels", u.Labels)
		o.prefs("prefs", u.Prefs)
		o.factors(u)
		o.identities(u.Identities)
		o.passkeys(u.Passkeys)
		o.bytes("passkeyHandle", u.PasskeyHandle)
		o.targets(u.Targets)
		if s := u.State; s != (latchkey.PortableState{}) {
			o.name("state")
			o.nest(func() {
				o.bool("recovered", s.Recovered)
				o.bool("unclaimed", s.Unclaimed)
				o.string("half", s.Half)
				o.bool("mfaDemanded", s.MFADemanded)
				o.time("emailProven", s.EmailProven)
				o.time("phoneProven", s.PhoneProven)
			})
		}
	})
	return o.text, o.err
}

func (o *object) factors(u *latchkey.PortableUser) {
	if a := u.Authenticator; a != nil {
		o.name("authenticator")
		o.nest(func() {
			o.must("seed", a.Seed.Reveal())
			o.string("algorithm", a.Algorithm)
			o.int("digits", int64(a.Digits))
			o.bool("pending", a.Pending)
			o.time("createdAt", a.CreatedAt)
			o.time("updatedAt", a.UpdatedAt)
			o.int("step", a.Step)
		})
	}
	if len(u.RecoveryCodes) == 0 {
		return
	}
	o.list("recoveryCodes", len(u.RecoveryCodes), func(i int) {
		o.nest(func() {
			c := u.RecoveryCodes[i]
			o.secret("code", c.Code)
			o.bytes("digest", c.Digest)
			o.time("createdAt", c.CreatedAt)
			o.string("sessionId", c.SessionID)
		})
	})
}

func (o *object) identities(all []latchkey.PortableIdentity) {
	if len(all) == 0 {
		return
	}
	o.list("identities", len(all), func(n int) {
		o.nest(func() {
			i := &all[n]
			o.string("id", i.ID)
			o.must("provider", i.Provider)
			o.must("issuer", i.Issuer)
			o.must("subject", i.Subject)
			o.string("email", i.Email)
			o.bool("emailVerified", i.EmailVerified)
			o.string("name", i.Name)
			o.time("createdAt", i.CreatedAt)
			o.time("updatedAt", i.UpdatedAt)
			o.secret("access", i.Access)
			o.secret("refresh", i.Refresh)
			o.time("expire", i.Expire)
			o.bool("pending", i.Pending)
			o.bool("found", i.Found)
			o.bool("single", i.Single)
		})
	})
}

func (o *object) passkeys(all []latchkey.PortablePasskey) {
	if len(all) == 0 {
		return
	}
	o.list("passkeys", len(all), func(n int) {
		o.nest(func() {
			p := &all[n]
			o.string("id", p.ID)
			o.bytes("credentialId", p.CredentialID)
			o.bytes("publicKey", p.PublicKey)
			o.must("rpId", p.RPID)
			o.string("name", p.Name)
			o.bytes("aaguid", p.AAGUID)
			o.string("format", p.Format)
			o.strings("transports", p.Transports)
			o.int("count", int64(p.Count))
			o.bool("syncable", p.Syncable)
			o.bool("synced", p.Synced)
			o.bool("secondFactor", p.SecondFactor)
			o.time("createdAt", p.CreatedAt)
			o.time("updatedAt", p.UpdatedAt)
			o.time("usedAt", p.UsedAt)
			o.time("clonedAt", p.ClonedAt)
			o.bool("single", p.Single)
			o.string("sessionId", p.SessionID)
		})
	})
}

// targets writes an empty list too: it says that the user has none.
func (o *object) targets(all []latchkey.Target) {
	if all == nil {
		return
	}
	o.list("targets", len(all), func(i int) {
		o.nest(func() {
			t := &all[i]
			o.string("id", t.ID)
			o.must("providerType", t.ProviderType)
			o.must("identifier", t.Identifier)
			o.string("providerId", t.ProviderID)
			o.string("name", t.Name)
			o.bool("expired", t.Expired)
			o.time("createdAt", t.CreatedAt)
			o.time("updatedAt", t.UpdatedAt)
		})
	})
}
