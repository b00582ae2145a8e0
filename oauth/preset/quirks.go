package preset

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"example.com/latchkey/oauth"
	"example.com/latchkey/oauth/internal/quirk"
	"example.com/latchkey/oauth/internal/web"
	"example.com/latchkey/oauth/oidc"
)

// The failures of services with quirks.
const (
	errInactive oauth.Failure = "the service says that the account is not active"
	errShape    oauth.Failure = "the answer of the service has another form"
)

// asJSON sends the form of a request as a JSON object of texts.
func asJSON(r *http.Request) error {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return errShape
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return errShape
	}
	object := make(map[string]string)
	for name := range form {
		object[name] = form.Get(name)
	}
	if body, err = json.Marshal(object); err != nil {
		return errShape
	}
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
	r.Header.Set("Content-Type", "application/json")
	return nil
}

// textFlag reads email_verified where a service also writes it as a text.
func textFlag(_ *row, _ *Options, q *quirk.OpenID) {
	person := q.Person
	q.Person = func(id, from web.Fields, who *oauth.Profile) error {
		who.EmailVerified = from.Is("email_verified", "true", `"true"`)
		return person(id, from, who)
	}
}

// linkedinQuirks: the flag may be a text, and the token endpoint refuses a verifier.
func linkedinQuirks(r *row, o *Options, q *quirk.OpenID) {
	textFlag(r, o, q)
	q.NoPKCE = true
}

// twitchQuirks: the userinfo endpoint tells less than the ID token, and the revocation endpoint takes
// access tokens.
func twitchQuirks(_ *row, _ *Options, q *quirk.OpenID) { q.Alone, q.AccessAlone = true, true }

// one returns the only object of a list for which a member is true, nil if there is none or more than
// one.
func one(list []web.Fields, member string) web.Fields {
	var found web.Fields
	for _, entry := range list {
		if !entry.Is(member, "true") {
			continue
		}
		if found != nil {
			return nil
		}
		found = entry
	}
	return found
}

// primary reads the primary address of a list, with its flag, into a profile.
func primary(who *oauth.Profile, list []web.Fields, address, primary, verified string) (err error) {
	entry := one(list, primary)
	if entry == nil {
		return nil
	}
	if who.Email, err = entry.Text(address); err != nil {
		return err
	}
	who.EmailVerified = entry.Is(verified, "true")
	return nil
}

// reads reads subject and name of a profile by the table.
func (r *row) reads(f web.Fields) (who *oauth.Profile, err error) {
	who = new(oauth.Profile)
	if who.Subject, err = f.Subject(r.subject); err != nil {
		return nil, err
	}
	who.Name, err = f.Name(strings.Split(r.personName, "|")...)
	return who, err
}

// listed reads a person whose addresses a second endpoint lists.
func listed(profile, emails, list, address, main, verified string, check func(web.Fields) error) func(*row, *Options, *quirk.OAuth2) {
	return func(r *row, o *Options, q *quirk.OAuth2) {
		q.Person = func(ctx context.Context, v *quirk.Visit) (*oauth.Profile, error) {
			body, err := v.Get(ctx, o.filled(profile))
			if err != nil {
				return nil, err
			}
			if check != nil {
				if err := check(body); err != nil {
					return nil, err
				}
			}
			who, err := r.reads(body)
			if err != nil {
				return nil, err
			}
			if emails != "" {
				if body, err = v.Get(ctx, o.filled(emails)); err != nil {
					return nil, err
				}
			}
			all, err := body.List(list)
			if err != nil {
				return nil, err
			}
			return who, primary(who, all, address, main, verified)
		}
	}
}

// is returns a check that a member of the profile has a value, where the service tells it.
func is(member, value string) func(web.Fields) error {
	return func(f web.Fields) error {
		if told, err := f.At(member); err != nil || told != nil && string(told) != value {
			return errInactive
		}
		return nil
	}
}

// active refuses a person by a check of the profile.
func active(check func(web.Fields) error) func(*row, *Options, *quirk.OAuth2) {
	return func(_ *row, _ *Options, q *quirk.OAuth2) { q.Check = check }
}

// disqusQuirks: the profile takes the token and the client in the query.
func disqusQuirks(_ *row, o *Options, q *quirk.OAuth2) {
	q.Ask = func(r *http.Request, access string) {
		r.URL.RawQuery = url.Values{"access_token": {access}, "api_key": {o.ClientID}, "api_secret": {o.ClientSecret.Reveal()}}.Encode()
	}
}

// ofID reads the person whose id the token answer has told, of a service that marks no address.
func (r *row) ofID(ctx context.Context, v *quirk.Visit, id string) (*oauth.Profile, error) {
	body, err := v.Get(ctx, v.Profile+id)
	if err != nil {
		return nil, err
	}
	who, err := r.reads(body)
	if err != nil {
		return nil, err
	}
	if who.Subject != id {
		return nil, errShape
	}
	who.Email, err = body.Text(r.email)
	who.EmailVerified = who.Email != ""
	return who, err
}

// etsyQuirks: the profile is that of the id before the token, and every call names the client.
func etsyQuirks(r *row, o *Options, q *quirk.OAuth2) {
	key := o.ClientID + ":" + o.ClientSecret.Reveal()
	q.Ask = func(request *http.Request, access string) {
		request.Header.Set("Authorization", "Bearer "+access)
		request.Header.Set("X-Api-Key", key)
	}
	q.Person = func(ctx context.Context, v *quirk.Visit) (*oauth.Profile, error) {
		id, _, found := strings.Cut(v.Access, ".")
		if !found || strings.Trim(id, "0123456789") != "" || id == "" {
			return nil, errShape
		}
		return r.ofID(ctx, v, id)
	}
}

// facebookQuirks: each call proves that it comes from the client.
func facebookQuirks(_ *row, o *Options, q *quirk.OAuth2) {
	q.Ask = func(r *http.Request, access string) {
		h := hmac.New(sha256.New, []byte(o.ClientSecret.Reveal()))
		h.Write([]byte(access))
		query := r.URL.Query()
		query.Set("appsecret_proof", hex.EncodeToString(h.Sum(nil)))
		r.URL.RawQuery = query.Encode()
		r.Header.Set("Authorization", "Bearer "+access)
	}
}

// limitedLogin takes the ID tokens of Facebook's Limited Login.
func limitedLogin(r *row, o *Options) (*oidc.Provider, error) {
	return oidc.NewWith(oidc.Config{
		Name: o.Name, Issuer: r.issuer, ClientID: o.ClientID, TrustEmail: r.trusts(o), Apps: o.Apps, AppsWithoutNonce: o.AppsWithoutNonce,
		Private: o.Private, Transport: o.Transport, Now: o.Now,
	}, quirk.OpenID{
		Keys: "https://limited.facebook.com/.well-known/oauth/openid/jwks/",
		Named: func(_, issuer string, _ web.Fields) bool {
			return issuer == "https://limited.facebook.com"
		},
		Person: func(_, from web.Fields, who *oauth.Profile) error {
			who.EmailVerified = who.Email != "" // the service marks none
			return nil
		},
	})
}

// googleQuirks: some tokens name the issuer without a scheme.
func googleQuirks(_ *row, _ *Options, q *quirk.OpenID) {
	q.Named = func(_, issuer string, _ web.Fields) bool { return issuer == "accounts.google.com" }
}

const (
	microsoft = "https://login.microsoftonline.com/"
	// personal is the tenant of personal accounts.
	personal = "9188040d-6c67-4c5b-b112-36a304b66dad"
)

// tenantID is the form of a tenant's id.
var tenantID = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`)

// microsoftQuirks: each tenant is an issuer, and a person is the object of a tenant.
func microsoftQuirks(r *row, o *Options, q *quirk.OpenID) {
	many := slices.Contains([]string{"common", "organizations", "consumers", personal}, strings.ToLower(o.Tenant))
	tenant := func(issuer string) string {
		return strings.TrimSuffix(strings.TrimPrefix(issuer, microsoft), "/v2.0")
	}
	q.Issuer, q.Tenants, q.Alone = strings.TrimSuffix(microsoft, "/"), true, true
	q.Published = func(issuer string) bool {
		id := tenant(issuer)
		switch {
		case issuer != microsoft+id+"/v2.0":
			return false
		case strings.EqualFold(o.Tenant, "consumers"):
			return id == personal
		case tenantID.MatchString(strings.ToLower(o.Tenant)):
			return id == strings.ToLower(o.Tenant)
		case many:
			return id == "{tenantid}"
		}
		return tenantID.MatchString(id) // of the domain
	}
	q.Named = func(published, issuer string, claims web.Fields) bool {
		id, err := claims.Text("tid")
		switch {
		case err != nil || !tenantID.MatchString(id):
			return false
		case strings.EqualFold(o.Tenant, "organizations") && id == personal:
			return false
		}
		return issuer == strings.ReplaceAll(published, "{tenantid}", id)
	}
	person := q.Person
	q.Person = func(id, from web.Fields, who *oauth.Profile) (err error) {
		if tid, err := id.Text("tid"); err != nil || who.Issuer != microsoft+tid+"/v2.0" {
			return errShape
		}
		if who.Subject, err = id.Subject(r.subject); err != nil {
			return err
		}
		if who.Email, err = id.Text("email"); err != nil {
			return err
		}
		told, err := id.At("xms_edov")
		who.EmailVerified = id.Is("xms_edov", "true", `"true"`, `"1"`) || !many && err == nil && told == nil && who.Email != ""
		if list, err := id.At("verified_primary_email"); err == nil && !who.EmailVerified && who.Email != "" {
			var addresses []string
			if text, err := id.Text("verified_primary_email"); err == nil {
				addresses = []string{text}
			} else if json.Unmarshal(list, &addresses) != nil {
				addresses = nil
			}
			who.EmailVerified = slices.Contains(addresses, who.Email)
		}
		return person(id, id, who)
	}
}

// slackQuirks: a person is a member of a workspace.
func slackQuirks(_ *row, _ *Options, q *quirk.OpenID) {
	person := q.Person
	q.Person = func(id, from web.Fields, who *oauth.Profile) error {
		var names struct {
			Team string `json:"https://slack.com/team_id"`
			User string `json:"https://slack.com/user_id"`
		}
		if err := web.Decode(id, &names); err != nil {
			return errShape
		}
		if strings.TrimSpace(names.Team) == "" || strings.TrimSpace(names.User) == "" || strings.Contains(names.Team, "/") {
			return oauth.ErrSubject
		}
		who.Subject = names.Team + "/" + names.User
		return person(id, from, who)
	}
}

// notionQuirks: requests are JSON, and the token answer has the person.
func notionQuirks(r *row, _ *Options, q *quirk.OAuth2) {
	q.AccessAlone = true
	q.Request = func(request *http.Request) error {
		request.Header.Set("Notion-Version", "2025-09-03")
		return asJSON(request)
	}
	q.Person = answered(r)
}

// answered reads the person in the answer of the token endpoint.
func answered(r *row) func(context.Context, *quirk.Visit) (*oauth.Profile, error) {
	return func(_ context.Context, v *quirk.Visit) (*oauth.Profile, error) {
		if v.Answer == nil {
			return nil, errShape
		}
		who, err := r.reads(v.Answer)
		if err != nil {
			return nil, err
		}
		who.Email, err = v.Answer.Text(r.email)
		who.EmailVerified = who.Email != ""
		return who, err
	}
}

// paypalQuirks: the id of a person is the last part of an address.
func paypalQuirks(r *row, _ *Options, q *quirk.OAuth2) {
	q.Person = func(ctx context.Context, v *quirk.Visit) (*oauth.Profile, error) {
		body, err := v.Get(ctx, v.Profile)
		if err != nil {
			return nil, err
		}
		who, err := r.reads(body)
		if err != nil {
			return nil, err
		}
		emails, err := body.List("emails")
		if err != nil {
			return nil, err
		}
		if entry := one(emails, "primary"); entry != nil {
			if who.Email, err = entry.Text("value"); err != nil {
				return nil, err
			}
			denied, err := entry.At("confirmed")
			who.EmailVerified = who.Email != "" && err == nil && (denied == nil || string(denied) == "true")
		}
		if who.Subject = who.Subject[strings.LastIndex(who.Subject, "/")+1:]; who.Subject == "" {
			return nil, oauth.ErrSubject
		}
		return who, nil
	}
}

// podioQuirks: requests are JSON.
func podioQuirks(_ *row, _ *Options, q *quirk.OAuth2) {
	q.Request, q.Check = asJSON, is("user.status", `"active"`)
}

// stripeQuirks: the token answer has the id of the business account, and the account is asked for by it.
func stripeQuirks(r *row, _ *Options, q *quirk.OAuth2) {
	q.Person = func(ctx context.Context, v *quirk.Visit) (*oauth.Profile, error) {
		if v.Answer == nil {
			return nil, errShape
		}
		id, err := v.Answer.Subject("stripe_user_id")
		if err != nil {
			return nil, err
		}
		if strings.ContainsFunc(id, func(c rune) bool {
			return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '_'
		}) {
			return nil, errShape
		}
		return r.ofID(ctx, v, id)
	}
}

// xQuirks: the service tells an address only if it is confirmed.
func xQuirks(r *row, _ *Options, q *quirk.OAuth2) {
	email := r.email
	q.Verified = func(f web.Fields) bool { text, err := f.Text(email); return err == nil && text != "" }
}

// yammerQuirks: the token lies in an object of the answer.
func yammerQuirks(_ *row, _ *Options, q *quirk.OAuth2) {
	q.Answer = func(a *web.Answer) error {
		f, err := web.Read(a.Body)
		if err != nil {
			return err
		}
		token, err := f.Text("access_token.token")
		if err != nil || token == "" {
			return web.ErrToken
		}
		a.Body, err = json.Marshal(map[string]string{"access_token": token})
		if err != nil {
			return errShape
		}
		return nil
	}
}

// zohoCentres are the hosts of the data centres, by the ends of their names.
var zohoCentres = map[string]string{
	"com": "accounts.zoho.com", "eu": "accounts.zoho.eu", "in": "accounts.zoho.in", "com.au": "accounts.zoho.com.au", "jp": "accounts.zoho.jp",
	"sa": "accounts.zoho.sa", "ae": "accounts.zoho.ae", "uk": "accounts.zoho.uk", "ca": "accounts.zohocloud.ca", "com.cn": "accounts.zoho.com.cn",
}

// zohoHost returns the host of a data centre.
func zohoHost(centre string) string { return zohoCentres[centre] }

// zohoQuirks: each user lives in a data centre, which the callback names.
func zohoQuirks(_ *row, o *Options, q *quirk.OAuth2) {
	q.Centres = []string{zohoHost(o.DataCentre)}
	for _, host := range zohoCentres {
		if host != q.Centres[0] {
			q.Centres = append(q.Centres, host)
		}
	}
}

// zoomQuirks: the flag is a number.
func zoomQuirks(_ *row, _ *Options, q *quirk.OAuth2) {
	q.AccessAlone = true
	q.Verified = func(f web.Fields) bool { return f.Is("verified", "1") }
}

// figmaQuirks: a refresh has an address of its own.
func figmaQuirks(_ *row, _ *Options, q *quirk.OAuth2) {
	q.Refresh = "https://api.figma.com/v1/oauth/refresh"
}

// giteaQuirks: requests are JSON, and the addresses are listed by another endpoint.
func giteaQuirks(r *row, o *Options, q *quirk.OAuth2) {
	listed(r.profile, r.profile+"/emails", "list", "email", "primary", "verified", is("active", "true"))(r, o, q)
	q.Request = asJSON
}
