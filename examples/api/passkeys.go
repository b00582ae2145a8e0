package main

import (
	"log"
	"net/http"
	"net/url"

	"example.com/latchkey"
	"example.com/latchkey/passkey"
	"example.com/latchkey/web"
)

// newPasskeys returns the passkeys of a site, which are bound to the host of its address. An address that can have none, such as
// http://127.0.0.1, has none.
func newPasskeys(base web.Base) latchkey.RelyingParty {
	page, err := url.Parse(base.URL("/"))
	if err != nil {
		return nil
	}
	passkeys, err := passkey.New(passkey.Config{RPID: page.Hostname(), Name: "Accounts", Origins: base.Hosts()})
	if err != nil {
		log.Printf("There are no passkeys: %v", err)
		return nil
	}
	return passkeys
}

// passkeys adds the routes of passkeys. Each ceremony begins by POST, with options for the browser, and ends by PUT, with the
// answer of the browser.
func (a *api) passkeys() {
	a.guest("POST /sessions/passkey", func(_ http.ResponseWriter, r *http.Request, in *input) (any, error) {
		return a.Guest(r).StartPasskeySession(r.Context(), latchkey.PasskeyOffer{Conditional: in.Conditional})
	})
	a.guest("PUT /sessions/passkey", func(w http.ResponseWriter, r *http.Request, in *input) (any, error) {
		session, err := a.Guest(r).FinishPasskeySession(r.Context(), in.Answer)
		return a.signedIn(w, r, in, session, err)
	})
	a.factor("POST /challenges/passkey", func(_ http.ResponseWriter, r *http.Request, of web.Challenger, _ *input) (any, error) {
		return of.StartPasskeyChallenge(r.Context())
	})
	a.factor("PUT /challenges/passkey", func(w http.ResponseWriter, r *http.Request, of web.Challenger, in *input) (any, error) {
		session, err := of.FinishPasskeyChallenge(r.Context(), in.Answer)
		return a.renewed(w, r, in, session, err)
	})
	a.user("POST /passkeys", func(r *http.Request, account *latchkey.Account, in *input) (any, error) {
		return account.StartPasskeyEnrolment(r.Context(), latchkey.PasskeyEnrolment{SecondFactor: in.SecondFactor})
	})
	a.user("PUT /passkeys", func(r *http.Request, account *latchkey.Account, in *input) (any, error) {
		return account.FinishPasskeyEnrolment(r.Context(), in.Answer, in.Name)
	})
	a.user("GET /passkeys", func(r *http.Request, account *latchkey.Account, _ *input) (any, error) {
		return account.Passkeys(r.Context())
	})
	a.user("GET /passkeys/signals", func(r *http.Request, account *latchkey.Account, _ *input) (any, error) {
		return account.PasskeySignals(r.Context())
	})
	a.user("PUT /passkeys/{id}", func(r *http.Request, account *latchkey.Account, in *input) (any, error) {
		return account.RenamePasskey(r.Context(), r.PathValue("id"), in.Name)
	})
	a.user("DELETE /passkeys/{id}", func(r *http.Request, account *latchkey.Account, _ *input) (any, error) {
		return nil, account.DeletePasskey(r.Context(), r.PathValue("id"))
	})
}
