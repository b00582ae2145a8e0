package preset_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"net/url"
	"slices"
	"strings"
	"testing"

	"example.com/latchkey"
	"example.com/latchkey/hidden"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/oauth"
	"example.com/latchkey/oauth/preset"
	"example.com/latchkey/ratelimit"
)

// disqusCall is the profile at Disqus, which takes everything in the query.
var disqusCall = "GET https://disqus.com/api/3.0/users/details.json?" + url.Values{"access_token": {"an access token"}, "api_key": {clientID}, "api_secret": {clientSecret}}.Encode()

// facebookCall is the profile at Facebook, with the proof of the client.
var facebookCall = func() string {
	h := hmac.New(sha256.New, []byte(clientSecret))
	h.Write([]byte("EAAB"))
	return "GET https://graph.facebook.com/v22.0/me?" + url.Values{"appsecret_proof": {hex.EncodeToString(h.Sum(nil))}, "fields": {"id,name,email"}}.Encode()
}()

// services are those of the world.
var services = func() map[string]service {
	all := maps.Clone(openIDServices)
	maps.Copy(all, plainServices)
	return all
}()

// documented are the names of the documents.
const documented = "amazon apple auth0 authentik autodesk bitbucket bitly box dailymotion discord disqus dropbox etsy facebook github gitlab google linkedin microsoft notion oidc okta paypal paypalSandbox podio salesforce slack spotify stripe tradeshift tradeshiftBox twitch wordpress yahoo yammer yandex zoho zoom"

// onEachRow runs a test for every row, with its service. A row without a service fails.
func onEachRow(t *testing.T, test func(t *testing.T, name string, s service)) {
	t.Helper()
	for _, name := range preset.Names() {
		t.Run(name, func(t *testing.T) {
			s, found := services[name]
			if !found {
				t.Fatalf("the row %s has no service that it is run against", name)
			}
			test(t, name, s)
		})
	}
}

// oneByOne is onEachRow for tests without concurrent calls, where the race detector finds nothing: with it
// they run on one row of each kind.
func oneByOne(t *testing.T, test func(t *testing.T, name string, s service)) {
	t.Helper()
	onEachRow(t, func(t *testing.T, name string, s service) {
		if !kit.RaceDetector || slices.Contains([]string{"apple", "github", "microsoft", "zoho"}, name) {
			test(t, name, s)
		}
	})
}

// on opens a kit on a store whose engine has the row of a service.
func (s service) on(t *testing.T, store, name string, change func(o *preset.Options)) (*world, *kit.Kit) {
	t.Helper()
	return s.under(t, kit.Documented, store, name, change)
}

// keeping is on, for an engine that keeps tokens.
func (s service) keeping(t *testing.T, store, name string) (*world, *kit.Kit) {
	t.Helper()
	return s.under(t, latchkey.Policy{KeepProviderTokens: true}, store, name, nil)
}

// keepingWith is keeping in memory, with other options.
func (s service) keepingWith(t *testing.T, name string, change func(o *preset.Options)) (*world, *kit.Kit) {
	t.Helper()
	return s.under(t, latchkey.Policy{KeepProviderTokens: true}, "memory", name, change)
}

func (s service) under(t *testing.T, policy latchkey.Policy, store, name string, change func(o *preset.Options)) (*world, *kit.Kit) {
	t.Helper()
	k := kit.New(t, kit.Open(t, store), policy)
	w := &world{t: t, service: &s, key: signingKey(), clock: k.Clock}
	p := w.provider(name, change)
	k.Must(k.Close()) // the engine that the kit has made
	k.Engine = k.Configured(func(c *latchkey.Config) {
		c.Providers, c.Limiter = []oauth.Provider{p}, ratelimit.ReportOnly(ratelimit.NewMemory(0))
	})
	k.Visitor = k.Guest(kit.Client)
	return w, k
}

// begin begins a sign-in, and returns what comes back after the service: the parameters of the
// callback, which a form post has brought if the service sends one.
func (w *world) begin(k *kit.Kit, name string) latchkey.OAuth2Callback {
	k.Helper()
	start, err := k.Visitor.StartOAuth2(k.Ctx, latchkey.OAuth2Request{Provider: name, RedirectURL: kit.CallbackURL})
	k.Must(err)
	back := w.visit(start.URL)
	if w.formPost != "" {
		back.Set("user", w.formPost)
		k.Must(k.Visitor.PostOAuth2(k.Ctx, name, back))
		back = url.Values{"state": back["state"]}
	}
	return latchkey.OAuth2Callback{Provider: name, Parameters: back, Binding: start.Binding.Reveal()}
}

// signIn signs a person in.
func (w *world) signIn(k *kit.Kit, name string) *latchkey.Session {
	k.Helper()
	result, err := k.Visitor.FinishOAuth2(k.Ctx, w.begin(k, name))
	k.Must(err)
	return result.Session
}

func TestTheTableHasTheDocumentedServicesAndSevenMore(t *testing.T) {
	want := slices.Sorted(slices.Values(append(strings.Fields(documented), "figma", "fusionauth", "keycloak", "huggingface", "x", "kick", "gitea")))
	if got := preset.Names(); len(got) != 38+7 || !slices.Equal(got, want) {
		t.Errorf("%v\nwant %v", got, want)
	}
	for name := range services {
		if !slices.Contains(preset.Names(), name) {
			t.Errorf("the service %s has no row", name)
		}
	}
}

// Each row signs its person up and in again, refreshes their tokens and takes them back, against a
// service that behaves as its documents say.
func TestEachRowSignsItsPersonIn(t *testing.T) {
	onEachRow(t, func(t *testing.T, name string, s service) {
		stores := []string{"memory"}
		if name == "apple" || name == "github" || name == "zoho" { // one of each kind, and the one with tenants
			for _, b := range kit.Backends[1:] {
				stores = append(stores, b.Name)
			}
		}
		for _, store := range stores {
			t.Run(store, func(t *testing.T) { signsIn(t, store, name, s) })
		}
	})
}

func signsIn(t *testing.T, store, name string, s service) {
	t.Helper()
	w, k := s.keeping(t, store, name)
	first := w.signIn(k, name)
	list, err := k.Users().Identities(k.Ctx)
	k.Must(err)
	user, err := k.Users().Get(k.Ctx, first.UserID)
	k.Must(err)
	i, who := list.Identities[0], s.who
	if s.formPost != "" {
		who.Name = "Ada Lovelace" // of the form
	}
	k.Same("the identity", []any{i.Provider, i.Issuer, i.ProviderUID, i.ProviderEmail, i.ProviderEmailVerified}, []any{name, who.Issuer, who.Subject, who.Email, who.EmailVerified})
	email := ""
	if who.EmailVerified {
		email = who.Email
	}
	k.Same("the user", []any{user.Email, user.EmailVerification, user.Name}, []any{email, who.EmailVerified, who.Name})
	calls := w.took()
	if len(calls) != 1+len(s.calls) && !(s.issuer != "" && len(calls) == 1) {
		k.Errorf("the service has seen %v", calls)
	}
	again := w.signIn(k, name)
	k.Same("the user of the second sign-in", again.UserID, first.UserID)
	w.took()

	kept, err := k.Users().ProviderTokens(k.Ctx, i.ID)
	k.Must(err)
	account, err := k.Visitor.Authenticate(k.Ctx, again.Secret.Reveal())
	k.Must(err)
	k.Must(kit.Err(account.ExtendSession(k.Ctx, latchkey.CurrentSession)))
	seen, want := w.took(), []string(nil)
	if !kept.Refresh.IsZero() {
		want = []string{"refresh " + kept.Refresh.Reveal()}
	}
	if s.refresh == "" != kept.Refresh.IsZero() {
		k.Errorf("the service has the refresh endpoint %q and gives the token %q", s.refresh, kept.Refresh.Reveal())
	}
	k.Same("refreshed", seen, want)

	k.Must(k.Users().Delete(k.Ctx, first.UserID))
	k.Must(k.Close()) // waits for the revocation
	want = nil
	if s.revoke != "" {
		token := kept.Refresh.Reveal()
		if token == "" || s.accessAlone {
			token = kept.Access.Reveal()
		}
		want = []string{"revoke " + token}
	}
	k.Same("revoked", w.took(), want)
}

// secretOf is the client secret of a service.
func secretOf(s service) hidden.Text {
	if s.auth == "apple" {
		return hidden.Text{}
	}
	return hidden.New(clientSecret)
}
