package oidc

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"hash"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	lib "github.com/coreos/go-oidc/v3/oidc"

	"example.com/latchkey/hidden"
	"example.com/latchkey/oauth"
	"example.com/latchkey/oauth/internal/web"
)

// The bounds of an ID token.
const (
	leeway       = time.Minute      // of clocks
	mostIssued   = 10 * time.Minute // age of a token at the code flow
	maxSubject   = 255              // bytes
	maxAudiences = 20
)

// The failures of claims.
const (
	errNoIDToken oauth.Failure = "the token endpoint has given no ID token"
	errClaims    oauth.Failure = "the claims are not JSON that has one reading, or have other types"
	errVerify    oauth.Failure = "the ID token is not one of the issuer for the client"
	errAudience  oauth.Failure = "the ID token is for another client"
	errTimes     oauth.Failure = "the times of the ID token are not those of now"
	errNonce     oauth.Failure = "the nonce of the ID token is not that of the sign-in"
	errHash      oauth.Failure = "the ID token belongs to another access token or code"
	errPerson    oauth.Failure = "the subject of the userinfo endpoint is not the one of the ID token"
)

// audience is a text or a list of texts.
type audience []string

// UnmarshalJSON implements [json.Unmarshaler].
func (a *audience) UnmarshalJSON(text []byte) error {
	var one string
	if bytes.HasPrefix(text, []byte(`"`)) {
		if err := json.Unmarshal(text, &one); err != nil {
			return err
		}
		*a = audience{one}
		return nil
	}
	var all []*string
	if err := json.Unmarshal(text, &all); err != nil || slices.Contains(all, nil) {
		return errClaims
	}
	*a = nil
	for _, one := range all {
		*a = append(*a, *one)
	}
	return nil
}

// claims are those of an ID token.
type claims struct {
	person
	Issuer     string   `json:"iss"`
	Audience   audience `json:"aud"`
	Party      *string  `json:"azp"`
	Expire     *int64   `json:"exp"`
	Issued     *int64   `json:"iat"`
	NotBefore  *int64   `json:"nbf"`
	SignedIn   *int64   `json:"auth_time"`
	Nonce      string   `json:"nonce"`
	AccessHash *string  `json:"at_hash"`
	CodeHash   *string  `json:"c_hash"`

	algorithm string     // of the signature
	all       web.Fields // as they were signed
}

// person are the claims about a person, in an ID token or an answer of userinfo.
type person struct {
	Subject  *string         `json:"sub"`
	Email    *string         `json:"email"`
	Verified json.RawMessage `json:"email_verified"`
	Name     *string         `json:"name"`
}

// signed returns the claims of an ID token that the service has signed, with all of them as they
// were signed. It checks the signature, the issuer and the subject.
func (p *Provider) signed(ctx context.Context, text string) (*claims, error) {
	d, err := p.about.get(ctx, false)
	if err != nil {
		return nil, err
	}
	h, err := readHeader(text, p.algorithms(d))
	if err != nil {
		return nil, err
	}
	// The library checks the signature. The rest follows, by a decoder that knows one reading.
	keys := &failing{keySet: &p.keys}
	verifier := lib.NewVerifier(d.Issuer, keys, &lib.Config{
		SupportedSigningAlgs: p.algorithms(d), SkipClientIDCheck: true, SkipIssuerCheck: true, SkipExpiryCheck: true,
	})
	token, err := verifier.Verify(ctx, text)
	switch {
	case keys.err != nil:
		return nil, keys.err
	case err != nil:
		return nil, errVerify
	}
	var payload json.RawMessage
	if err := token.Claims(&payload); err != nil {
		return nil, errClaims
	}
	c := claims{algorithm: h.Algorithm}
	if err := web.Decode(payload, &c); err != nil {
		return nil, errClaims
	}
	c.all = web.Fields(payload)
	named := c.Issuer == d.Issuer && !p.quirk.Tenants || p.quirk.Named != nil && p.quirk.Named(d.Issuer, c.Issuer, c.all)
	switch {
	case !named:
		return nil, errVerify
	case c.Subject == nil || strings.TrimSpace(*c.Subject) == "" || len(*c.Subject) > maxSubject:
		return nil, oauth.ErrSubject
	}
	return &c, nil
}

// verify returns the claims of an ID token, if everything about it is right.
func (p *Provider) verify(ctx context.Context, f *oauth.Flow, t *oauth.Tokens) (*claims, error) {
	c, err := p.signed(ctx, t.ID.Reveal())
	if err != nil {
		return nil, err
	}
	switch {
	case !p.isAudience(c):
		return nil, errAudience
	case !inTime(c, f.Now), !p.isFresh(c, f.Now):
		return nil, errTimes
	case p.quirk.Tenants && f.Callback.Issuer != "" && f.Callback.Issuer != c.Issuer:
		return nil, errAnother
	case !p.config.NoNonce && (f.Nonce.IsZero() || !hidden.New(c.Nonce).Equal(f.Nonce)):
		return nil, errNonce
	case c.AccessHash != nil && !isHalf(c.algorithm, t.Access, *c.AccessHash), c.CodeHash != nil && !isHalf(c.algorithm, f.Callback.Code, *c.CodeHash):
		return nil, errHash
	}
	return c, nil
}

// isAudience reports whether a token is for the client: alone, or beside clients that the host
// knows.
func (p *Provider) isAudience(c *claims) bool {
	ours := func(id string) bool { return id == p.config.ClientID || slices.Contains(p.config.Audiences, id) }
	strange := func(id string) bool { return !ours(id) }
	switch {
	case len(c.Audience) > maxAudiences, !slices.Contains(c.Audience, p.config.ClientID), slices.ContainsFunc(c.Audience, strange):
		return false
	case c.Party != nil:
		return ours(*c.Party)
	}
	return len(c.Audience) == 1 // several clients, and the token does not say which one it was given to
}

// inTime reports whether the times of a token are those of a sign-in that ends now.
func inTime(c *claims, now time.Time) bool {
	const most = 1 << 40 // seconds, in the year 36812: later times would overflow
	for _, t := range []*int64{c.Expire, c.Issued, c.NotBefore, c.SignedIn} {
		if t != nil && (*t < 0 || *t > most) {
			return false
		}
	}
	at := func(t *int64) time.Time { return time.Unix(*t, 0) }
	switch {
	case c.Expire == nil, c.Issued == nil:
		return false
	case !at(c.Expire).Add(leeway).After(now):
		return false
	case at(c.Issued).After(now.Add(leeway)), at(c.Issued).Before(now.Add(-mostIssued)):
		return false
	case c.NotBefore != nil && at(c.NotBefore).After(now.Add(leeway)):
		return false
	}
	return c.SignedIn == nil || !at(c.SignedIn).After(now.Add(leeway))
}

// isFresh reports whether the user has signed in at the service within the time that the host asks
// for.
func (p *Provider) isFresh(c *claims, now time.Time) bool {
	if p.config.Parameters.Get("max_age") == "" {
		return true
	}
	seconds, err := strconv.ParseUint(p.config.Parameters.Get("max_age"), 10, 32)
	return err == nil && c.SignedIn != nil && !time.Unix(*c.SignedIn, 0).Add(time.Duration(seconds)*time.Second+leeway).Before(now)
}

// isHalf reports whether a text is the left half of the digest of a token, by the hash of an
// algorithm.
func isHalf(algorithm string, token hidden.Text, text string) bool {
	var h hash.Hash
	switch {
	case algorithm == "EdDSA", strings.HasSuffix(algorithm, "512"):
		h = sha512.New()
	case strings.HasSuffix(algorithm, "384"):
		h = sha512.New384()
	default:
		h = sha256.New()
	}
	h.Write([]byte(token.Reveal()))
	sum := h.Sum(nil)
	want := base64.RawURLEncoding.EncodeToString(sum[:len(sum)/2])
	return subtle.ConstantTimeCompare([]byte(want), []byte(text)) == 1
}

// Profile implements [oauth.Provider]. Address, verification and name come from the ID token, or
// all of them from the userinfo endpoint if the ID token has no address.
func (p *Provider) Profile(ctx context.Context, f *oauth.Flow, t *oauth.Tokens) (*oauth.Profile, error) {
	c, err := p.verify(ctx, f, t)
	if err != nil {
		return nil, err
	}
	d, err := p.about.get(ctx, false)
	if err != nil {
		return nil, err
	}
	who, from := &c.person, c.all
	if who.Email == nil && d.UserInfo != "" && !p.quirk.Alone {
		if who, from, err = p.userInfo(ctx, d, t); err != nil {
			return nil, err
		}
		if who.Subject == nil || *who.Subject != *c.Subject {
			return nil, errPerson
		}
	}
	return p.profile(c, who, from)
}

// profile returns the person of an ID token, whose address and name stand in an object.
func (p *Provider) profile(c *claims, who *person, from web.Fields) (*oauth.Profile, error) {
	found := &oauth.Profile{
		Issuer: p.Info().Issuer, Subject: *c.Subject, Email: text(who.Email), Name: text(who.Name),
		EmailVerified: string(who.Verified) == "true",
	}
	if p.quirk.Tenants {
		found.Issuer = c.Issuer
	}
	if p.quirk.Person != nil {
		if err := p.quirk.Person(c.all, from, found); err != nil {
			return nil, err
		}
	}
	found.EmailVerified = found.EmailVerified && p.config.TrustEmail
	return found, nil
}

// text returns a text that may be missing.
func text(t *string) string {
	if t == nil {
		return ""
	}
	return *t
}

// userInfo asks the userinfo endpoint. A signed answer is verified like an ID token.
func (p *Provider) userInfo(ctx context.Context, d *discovery, t *oauth.Tokens) (*person, web.Fields, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, d.UserInfo, http.NoBody)
	if err != nil {
		return nil, nil, web.ErrAddress
	}
	r.Header.Set("Authorization", "Bearer "+t.Access.Reveal())
	r.Header.Set("Accept", "application/json, application/jwt")
	a, err := web.Do(ctx, p.client, r, web.AnswerSize)
	switch {
	case err != nil:
		return nil, nil, err
	case a.Status != http.StatusOK:
		return nil, nil, web.ErrStatus
	}
	body := a.Body
	if a.Type == "application/jwt" {
		if body, err = p.keys.VerifySignature(ctx, string(a.Body)); err != nil {
			return nil, nil, err
		}
		var signed claims
		if err := web.Decode(body, &signed); err != nil {
			return nil, nil, errClaims
		}
		if signed.Issuer != d.Issuer || !p.isAudience(&signed) {
			return nil, nil, errVerify
		}
	} else if !web.IsJSON(a.Type) {
		return nil, nil, web.ErrType
	}
	var who person
	if err := web.Decode(body, &who); err != nil {
		return nil, nil, errClaims
	}
	return &who, web.Fields(body), nil
}
