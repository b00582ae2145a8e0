package preset

import (
	"cmp"
	"maps"
	"net/http"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"example.com/latchkey/hidden"
	"example.com/latchkey/internal/canon"
	"example.com/latchkey/oauth"
	"example.com/latchkey/oauth/internal/quirk"
	"example.com/latchkey/oauth/internal/web"
	"example.com/latchkey/oauth/oauth2"
	"example.com/latchkey/oauth/oidc"
)

// kind is what a service speaks.
type kind int

const (
	plain  kind = iota // OAuth 2.0, with a profile
	openID             // OpenID Connect, with a discovery document
)

// word says whether the service's word on an address counts without one of the host.
type word int

const (
	off    word = iota
	counts      // if the service says that the address is verified
	never       // even if the host trusts it
)

// row is a service. In addresses, {domain}, {realm} and so on stand for the settings of the host.
type row struct {
	name, title string
	kind        kind

	// issuer is that of the discovery document of OpenID Connect. For OAuth 2.0 it is the constant under
	// which identities are kept.
	issuer                        string
	authorization, token, profile string // of OAuth 2.0
	method                        string // of profile; "" means GET
	auth                          string // client authentication; "" means as the discovery document says
	public                        bool   // the service knows clients without a secret
	signs                         bool   // the client secret is made of Options.Key
	scopes, separator             string // "" means a space
	parameters                    string // of the authorization address, as a query
	named                         string // the parameter iss of the callback; "" if it is not known
	scheme                        string // before the access token in Authorization; "" means Bearer

	// Where the person stands: paths with a period between names. name has | between those of which the
	// first with a text counts, and + between those that are joined.
	subject, email, verified, personName string

	word       word
	refresh    string // what gives a refresh token, for readers; "" if nothing does
	offline    string // scopes that ask for one
	offlineBy  string // parameters that do, as a query
	revocation string // endpoint, or how it is found; "" for none
	sandbox    string // the issuer of the live service of which it is the place for tests

	settings []setting
	oidc     func(r *row, o *Options, q *quirk.OpenID)
	oauth2   func(r *row, o *Options, q *quirk.OAuth2)
	native   func(r *row, o *Options) (*oidc.Provider, error) // of OAuth 2.0
	noNonce  bool                                             // the service does not return it

	console     string   // where a host registers, and what the field of the redirect address is called
	documents   []string // of the service, by title
	quirks      []string // for readers
	unconfirmed []string
}

// setting is a setting of the host that a service has.
type setting struct {
	field string
	usual string // "" for one that is required
}

// fields are the settings: where they are, and what they may be.
var fields = map[string]struct {
	of    func(o *Options) *string
	form  *regexp.Regexp
	about string
}{
	"Domain":      {func(o *Options) *string { return &o.Domain }, nil, "not an address of https without a query, or a host name"},
	"Issuer":      {func(o *Options) *string { return &o.Issuer }, nil, "not an address of https without a query"},
	"Application": {func(o *Options) *string { return &o.Application }, regexp.MustCompile(`^[A-Za-z0-9_-]{1,100}$`), "not 1 to 100 letters, digits, hyphens and underscores"},
	"Server":      {func(o *Options) *string { return &o.Server }, regexp.MustCompile(`^[A-Za-z0-9_-]{1,100}$`), "not 1 to 100 letters, digits, hyphens and underscores"},
	"Tenant":      {func(o *Options) *string { return &o.Tenant }, regexp.MustCompile(`^(?i:common|organizations|consumers|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|[a-z0-9][a-z0-9-]{0,99}(\.[a-z0-9-]{1,99}){1,3})$`), "not an id, a domain, common, organizations or consumers"},
	"Realm":       {func(o *Options) *string { return &o.Realm }, regexp.MustCompile(`^[A-Za-z0-9_~-][A-Za-z0-9._~-]{0,99}$`), "not 1 to 100 letters, digits and -._~, the first no period"},
	"DataCentre":  {func(o *Options) *string { return &o.DataCentre }, regexp.MustCompile(`^(com|eu|in|com\.au|jp|sa|uk|ca|com\.cn|ae)$`), "not com, eu, in, com.au, jp, sa, uk, ca, com.cn or ae"},
	"Version":     {func(o *Options) *string { return &o.Version }, regexp.MustCompile(`^v[1-9][0-9]{0,2}\.[0-9]$`), "not v, a number, a period and a digit"},
}

// check refuses options that the service does not have, or cannot have, and fills in the usual ones.
func (r *row) check(o *Options) error {
	refuse := func(field, reason string) error { return &Error{r.name, field, reason} }
	if err := canon.NewProvider(o.Name); o.Name != "" && err != nil {
		return refuse("Name", err.Error())
	}
	switch o.Name = cmp.Or(o.Name, r.name); {
	case o.ClientID == "":
		return refuse("ClientID", "it is missing")
	case !isLine(o.ClientID):
		return refuse("ClientID", "not printable ASCII without a space at its ends")
	case !web.IsAge(o.Parameters["max_age"]):
		return refuse("Parameters", "max_age is not one number of seconds, at most a year")
	case r.noNonce && o.AppsWithoutNonce && slices.Contains(o.Apps, o.ClientID):
		return refuse("Apps", "it has ClientID, and a token without a nonce may be one of a browser")
	case r.signs && !o.ClientSecret.IsZero():
		return refuse("ClientSecret", "it is made of Key")
	case r.signs && o.Key == nil && !o.Public:
		return refuse("Key", "it is missing")
	case !r.signs && o.Key != nil:
		return refuse("Key", "the service has no such setting")
	case !r.signs && o.ClientSecret.IsZero() && !o.Public:
		return refuse("ClientSecret", "it is missing")
	case o.Public && (!o.ClientSecret.IsZero() || o.Key != nil):
		return refuse("Public", "there is a ClientSecret or a Key")
	case !isLine(o.ClientSecret.Reveal()):
		return refuse("ClientSecret", "not printable ASCII without a space at its ends")
	case r.kind == plain && o.Parameters.Has("max_age"):
		return refuse("Parameters", "the service does not say when a person has signed in, so that max_age means nothing")
	case o.Public && !r.public && len(o.Apps) == 0:
		return refuse("Public", "the service knows no client without a secret")
	case o.Trust < ByDefault || o.Trust > Untrusted:
		return refuse("Trust", "not ByDefault, Trusted or Untrusted")
	case o.Trust == Trusted && r.word == never:
		return refuse("Trust", "the people and addresses of the service are made up")
	case len(o.Apps) > 0 && r.kind != openID && r.native == nil:
		return refuse("Apps", "the service gives apps no ID token")
	case slices.Contains(o.Apps, ""):
		return refuse("Apps", "a client id is empty")
	case o.AppsWithoutNonce && len(o.Apps) == 0:
		return refuse("AppsWithoutNonce", "there are no Apps")
	case o.Offline && r.refresh == "":
		return refuse("Offline", "the service gives no refresh token")
	case o.BesideLive && r.sandbox == "":
		return refuse("BesideLive", "the service is no sandbox")
	}
	for _, scope := range o.Scopes {
		if scope == "" || strings.ContainsFunc(scope, func(c rune) bool { return c <= ' ' || c > '~' || c == '"' || c == '\\' }) {
			return refuse("Scopes", "not printable ASCII without space, quote and backslash")
		}
	}
	if o.Key != nil {
		if field, reason := o.Key.check(); field != "" {
			return refuse("Key."+field, reason)
		}
	}
	for _, field := range slices.Sorted(maps.Keys(fields)) {
		f := fields[field]
		value := f.of(o)
		i := slices.IndexFunc(r.settings, func(s setting) bool { return s.field == field })
		switch {
		case i < 0 && *value != "":
			return refuse(field, "the service has no such setting")
		case i < 0:
			continue
		case *value == "" && r.settings[i].usual == "":
			return refuse(field, "it is missing")
		}
		*value = cmp.Or(*value, r.settings[i].usual)
		if f.form != nil && !f.form.MatchString(*value) {
			return refuse(field, f.about)
		}
		if f.form == nil {
			if field == "Domain" {
				*value = domainOf(*value)
			}
			if web.CheckURL(*value, o.Private) != nil || strings.ContainsAny(*value, "?{}") || len(*value) > 150 {
				return refuse(field, f.about)
			}
		}
	}
	if len(r.settings) > 0 && canon.Issuer(o.filled(r.issuer)) != nil {
		return refuse(r.settings[0].field, "the issuer is longer than 255 bytes")
	}
	if o.Key != nil {
		key := *o.Key // the host may change its own
		o.Key = &key
	}
	return nil
}

// isLine reports whether a text is printable ASCII without a space at its ends.
func isLine(text string) bool {
	return text == strings.TrimSpace(text) && !strings.ContainsFunc(text, func(c rune) bool { return c < ' ' || c > '~' })
}

// domainOf brings an address of a host into one form: a change of its spelling would make everybody a
// stranger. It returns "" for one that it cannot.
func domainOf(text string) string {
	if !strings.Contains(text, "://") {
		text = "https://" + text
	}
	u, err := url.Parse(text)
	if err != nil || strings.ContainsAny(text, " \t{}#") || !utf8.ValidString(text) {
		return ""
	}
	if below := strings.TrimRight(u.Path, "/"); below != "" && path.Clean(below) != below {
		return ""
	}
	scheme, host := strings.ToLower(u.Scheme), strings.ToLower(u.Host)
	if scheme == "https" {
		host = strings.TrimSuffix(host, ":443")
	}
	u.Scheme, u.Host = scheme, host
	return strings.TrimRight(u.String(), "/")
}

// filled puts the settings into an address of the table.
func (o *Options) filled(address string) string {
	api := "https://api.github.com"
	if o.Domain != "https://github.com" {
		api = o.Domain + "/api/v3"
	}
	server := "/oauth2/" + o.Server
	if o.Server == "org" {
		server = ""
	}
	return strings.NewReplacer(
		"{domain}", o.Domain, "{issuer}", o.Issuer, "{application}", o.Application, "{server}", server, "{tenant}", o.Tenant,
		"{realm}", o.Realm, "{version}", o.Version, "{accounts}", zohoHost(o.DataCentre), "{api}", api,
	).Replace(address)
}

// trusts reports whether the word on an address counts.
func (r *row) trusts(o *Options) bool {
	if o.Trust != ByDefault {
		return o.Trust == Trusted
	}
	own := slices.ContainsFunc(r.settings, func(s setting) bool { return s.field == "Domain" && s.usual != "" && s.usual != o.Domain })
	return r.word == counts && !own
}

// scopesFor returns the scopes that are always asked for.
func (r *row) scopesFor(o *Options) []string {
	all := strings.Fields(r.scopes)
	if o.Offline {
		all = append(all, strings.Fields(r.offline)...)
	}
	return append(all, o.Scopes...)
}

// parametersFor returns the parameters of the authorization address. Those of the host come before
// those of the table.
func (r *row) parametersFor(o *Options) url.Values {
	all, _ := url.ParseQuery(r.parameters)
	if o.Offline {
		more, _ := url.ParseQuery(r.offlineBy)
		maps.Copy(all, more)
	}
	for name, values := range o.Parameters {
		all[name] = slices.Clone(values)
	}
	return all
}

// openID makes the provider of a service that speaks OpenID Connect.
func (r *row) openID(o *Options) (*oidc.Provider, error) {
	q := quirk.OpenID{Revocation: r.revocationOf(o)}
	r.readsPerson(&q)
	if r.oidc != nil {
		r.oidc(r, o, &q)
	}
	auth := oidc.Auth(r.auth)
	if o.Public {
		auth = oidc.None
	}
	return oidc.NewWith(oidc.Config{
		Name: o.Name, Issuer: o.filled(r.issuer), ClientID: o.ClientID, ClientSecret: o.ClientSecret, Scopes: r.scopesFor(o),
		TrustEmail: r.trusts(o), Auth: auth, NoNonce: r.noNonce, Apps: o.Apps, AppsWithoutNonce: o.AppsWithoutNonce,
		Parameters: r.parametersFor(o), Private: o.Private, Transport: o.Transport, Now: o.Now,
	}, q)
}

// readsPerson reads the name of a person by the table.
func (r *row) readsPerson(q *quirk.OpenID) {
	names := strings.Split(r.personName, "|")
	q.Person = func(_, from web.Fields, who *oauth.Profile) (err error) {
		who.Name, err = from.Name(names...)
		return err
	}
}

// plain makes the provider of a service that speaks OAuth 2.0.
func (r *row) plain(o *Options) (*oauth2.Provider, error) {
	q := quirk.OAuth2{Method: r.method, Revocation: r.revocationOf(o)}
	// The redirect address and the state bind a callback to its provider. A service that names itself by
	// a text that is not known is not compared with anything.
	named := o.filled(r.named)
	q.Named = func(issuer string) bool { return named == "" || issuer == named }
	if r.scheme != "" {
		q.Ask = func(request *http.Request, access string) { request.Header.Set("Authorization", r.scheme+" "+access) }
	}
	if r.oauth2 != nil {
		r.oauth2(r, o, &q)
	}
	secret := o.ClientSecret
	if r.auth == "none" {
		secret = hidden.Text{}
	}
	c := oauth2.Config{
		Name: o.Name, Issuer: o.filled(r.issuer), ClientID: o.ClientID, ClientSecret: secret, Auth: oauth2.Auth(r.auth),
		Scopes: r.scopesFor(o), Separator: r.separator, TrustEmail: r.trusts(o), Parameters: r.parametersFor(o),
		Authorization: o.filled(r.authorization), Token: o.filled(r.token), Profile: o.filled(r.profile),
		Mapping: oauth2.Mapping{Subject: r.subject, Email: r.email, Verified: r.verified, Name: r.personName},
		Private: o.Private, Transport: o.Transport,
	}
	if o.Public {
		c.Auth = oauth2.None
	}
	if r.verified == "" && q.Verified == nil { // the host trusts every address of the service
		email := r.email
		q.Verified = func(f web.Fields) bool { text, err := f.Text(email); return err == nil && text != "" }
	}
	return oauth2.NewWith(c, q)
}

// revocationOf returns the endpoint that takes tokens back.
func (r *row) revocationOf(o *Options) string {
	if !strings.HasPrefix(r.revocation, "https://") {
		return "" // the discovery document names it
	}
	return o.filled(r.revocation)
}
