package kit

import (
	"strings"
	"testing"

	"example.com/latchkey"
)

// Askers has, by kind of token, the call that sends a token to Ada's address or
// number.
var Askers = map[string]func(k *Kit, g *latchkey.Guest, id string) (*latchkey.Token, error){
	"link": func(k *Kit, g *latchkey.Guest, id string) (*latchkey.Token, error) {
		return g.CreateMagicURLToken(k.Ctx, latchkey.NewMagicURLToken{UserID: id, Email: Ada, URL: "https://app.example.org/in", Phrase: true})
	},
	"e-mail code": func(k *Kit, g *latchkey.Guest, id string) (*latchkey.Token, error) {
		return g.CreateEmailToken(k.Ctx, latchkey.NewEmailToken{UserID: id, Email: Ada, Phrase: true})
	},
	"SMS code": func(k *Kit, g *latchkey.Guest, id string) (*latchkey.Token, error) {
		return g.CreatePhoneToken(k.Ctx, id, Phone)
	},
}

// OnEveryAsker runs test for each kind of token, on every store. The test gets the
// call that asks for the token and the address that receives it.
func OnEveryAsker(t *testing.T, policy latchkey.Policy, test func(k *Kit, ask func(g *latchkey.Guest, id string) (*latchkey.Token, error), to string)) {
	t.Helper()
	for name, ask := range Askers {
		t.Run(name, func(t *testing.T) {
			OnEveryStore(t, policy, func(k *Kit) {
				to := Ada
				if name == "SMS code" {
					to = Phone
				}
				test(k, func(g *latchkey.Guest, id string) (*latchkey.Token, error) { return ask(k, g, id) }, to)
			})
		})
	}
}

// VerifyURL and RecoverURL are the host's pages that links lead to.
const (
	VerifyURL  = "https://app.example.org/verify"
	UndoURL    = "https://app.example.org/undo"
	RecoverURL = "https://app.example.org/recover"
)

// UnknownLink has the form of a link's secret, but the engine never issued it.
var UnknownLink = strings.Repeat("0a", 32)
