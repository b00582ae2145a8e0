package preset

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

//go:generate go test -run TestThePageIsMadeOfTheTable -update .

var update = flag.Bool("update", false, "write docs/providers.md")

// page is where the page about the table is.
const page = "../../docs/providers.md"

const head = `# Sign-in by another service: how to enable each

This page is made of the table in package oauth/preset (go generate ./oauth/preset). It has a section for each service.

A host registers itself at the service, gets a client id and a secret, and enters its redirect address: the address of its own callback, as it passes it in OAuth2Request.RedirectURL. Each service has a callback of its own. In the REST host of examples/appwrite that is PUBLIC_URL/v1/account/sessions/oauth2/callback/NAME/PROJECT_ID.

<!-- file: app.go -->
` + "```go" + `
package app

import (
	"example.com/latchkey"
	"example.com/latchkey/hidden"
	"example.com/latchkey/oauth"
	"example.com/latchkey/oauth/preset"
	"example.com/latchkey/store"
)

// newEngine returns an engine with sign-in by GitHub. The id and the secret are those of the host's
// registration there.
func newEngine(s store.Store, keys latchkey.Keys, id, secret string) (*latchkey.Engine, error) {
	github, err := preset.New("github", preset.Options{ClientID: id, ClientSecret: hidden.New(secret)})
	if err != nil {
		return nil, err
	}
	return latchkey.New(s, latchkey.Config{Keys: keys, Providers: []oauth.Provider{github}})
}
` + "```" + `

<!-- run:
go vet .
-->

- **Address counts** says whether the service's word that an address is verified lets a person into an account that has the address. Options.Trust changes it for all but the sandboxes. A person whose address does not count signs in by the identity alone, and gets an account without an address.
- **Refresh token** says when the service gives one. Engines keep tokens with Policy.KeepProviderTokens alone.
- **Apps** are native sign-ins: the service's SDK gives an app an ID token. Options.Apps lists the client ids of the host's apps, and Guest.CreateIDTokenSession takes the token.
- What is under *Unconfirmed* is not in the service's documents, or sources differ: try it before you rely on it.

`

// written makes the page.
func written() string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	b.WriteString(head)
	line("| Name | Service | Speaks | Address counts | Refresh token | Revocation | Apps |\n|---|---|---|---|---|---|---|")
	for _, r := range table {
		line("| [%s](#%s) | %s | %s | %s | %s | %s | %s |", r.name, strings.ToLower(r.name), r.title, r.speaks(), r.counts(), or(r.refresh, "never"), yes(r.revocation != ""), yes(r.apps()))
	}
	for _, r := range table {
		line("\n## %s\n", r.name)
		line("%s, by %s.\n", r.title, r.speaks())
		line("- Console: %s.", r.console)
		if r.kind == plain {
			line("- Endpoints: `%s`, `%s`, `%s`.", r.authorization, r.token, r.profile)
		} else {
			line("- Issuer: `%s`.", r.issuer)
		}
		line("- Scopes: %s%s.", code(or(r.scopes, "")), offlineOf(r))
		line("- Client authentication: %s.", or(r.auth, "as the discovery document says"))
		line("- Settings: %s.", settingsOf(r))
		line("- Person: subject %s, address %s, verified %s, name %s.", code(r.subject), code(r.email), or(code(r.verified), "never"), or(code(r.personName), "of the form post"))
		line("- Address counts: %s.", r.counts())
		line("- Refresh token: %s. Revocation: %s.", or(r.refresh, "never"), or(r.revocation, "none"))
		list(line, "Mind", r.quirks)
		list(line, "Unconfirmed", r.unconfirmed)
		list(line, "Documents", r.documents)
	}
	return b.String()
}

func list(line func(string, ...any), what string, items []string) {
	if len(items) == 0 {
		return
	}
	line("- %s:", what)
	for _, item := range items {
		line("  - %s", item)
	}
}

func (r row) speaks() string {
	if r.kind == openID {
		return "OpenID Connect"
	}
	return "OAuth 2.0"
}

func (r row) counts() string {
	return map[word]string{off: "if the host says so", counts: "yes", never: "never"}[r.word]
}

func (r row) apps() bool { return r.kind == openID || r.native != nil }

func or(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}

func yes(is bool) string {
	if is {
		return "yes"
	}
	return "no"
}

func code(text string) string {
	if text == "" {
		return "none"
	}
	return "`" + text + "`"
}

func offlineOf(r row) string {
	if more := strings.TrimSpace(r.offline + " " + r.offlineBy); more != "" {
		return ", and with Offline `" + more + "`"
	}
	return ""
}

func settingsOf(r row) string {
	all := []string{"ClientID"}
	if r.signs {
		all = append(all, "Key")
	} else {
		all = append(all, "ClientSecret")
	}
	for _, s := range r.settings {
		if s.usual == "" {
			all = append(all, s.field)
		} else {
			all = append(all, fmt.Sprintf("%s (%s if unset)", s.field, s.usual))
		}
	}
	if r.public {
		all = append(all, "Public in the place of ClientSecret")
	}
	return strings.Join(all, ", ")
}

// The page is the table's.
func TestThePageIsMadeOfTheTable(t *testing.T) {
	want := written()
	if *update {
		if err := os.WriteFile(page, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(page)
	if err != nil || string(have) != want {
		t.Errorf("docs/providers.md is not current (%v): run go generate ./oauth/preset", err)
	}
}

// Each row says where a host registers, cites a document, and has everything that its kind needs.
func TestEachRowIsWhole(t *testing.T) {
	for i, r := range table {
		if i > 0 && table[i-1].name >= r.name {
			t.Errorf("%s comes after %s", r.name, table[i-1].name)
		}
		if r.title == "" || r.console == "" || len(r.documents) == 0 || r.issuer == "" || r.subject == "" || r.email == "" {
			t.Errorf("%s is not whole", r.name)
		}
		if r.kind == plain && (r.authorization == "" || r.token == "" || r.profile == "" || r.auth == "") || r.kind == openID && r.authorization+r.token+r.profile != "" {
			t.Errorf("%s has not the endpoints of its kind", r.name)
		}
		for _, text := range slices.Concat(r.quirks, r.unconfirmed, r.documents) {
			if strings.TrimSpace(text) == "" {
				t.Errorf("%s has an empty line", r.name)
			}
		}
	}
}
