package site

import (
	"encoding/json"
	"errors"
	"net/http"

	"example.com/latchkey"
	"example.com/latchkey/web"
)

// A passkey is asked for in two steps. static/passkey.js fetches the question and hands it to the browser. Then it sends the
// answer of the device as the field of an ordinary form, so that all refusals are told by the pages.

func (a *app) passkeyRoutes() {
	a.mux.Handle("POST /sign-in/passkey/ask", a.Handle(a.askPasskey))
	a.mux.Handle("POST /sign-in/passkey", a.Handle(a.signInByPasskey))
	a.mux.Handle("POST /factor/passkey/ask", a.Challenge(a.askFactor))
	a.mux.Handle("POST /factor/passkey", a.Challenge(a.provePasskey))

	a.mux.Handle("GET /account/passkeys", a.RequireProfile(a.passkeyPage))
	a.mux.Handle("POST /account/passkeys", a.RequireProfile(a.newPasskey))
	a.mux.Handle("POST /account/passkeys/take", a.RequireProfile(a.takePasskey))
	a.mux.Handle("POST /account/passkeys/rename", a.RequireProfile(a.renamePasskey))
	a.mux.Handle("POST /account/passkeys/delete", a.RequireProfile(a.deletePasskey))
}

// answerOf returns the answer of a device: the JSON of a credential.
func answerOf(r *http.Request) []byte { return []byte(r.FormValue("credential")) }

// aboutPasskey returns an error about a passkey. An answer that cannot be read is no field that the user has filled.
func aboutPasskey(err error) error {
	if web.ProblemOf(err).Argument == "answer" {
		return errors.Join(latchkey.ErrPasskeyRefused, err)
	}
	return err
}

// writeQuestion answers the script: with the options for the browser, or with a sentence in the language of the page.
func writeQuestion(w http.ResponseWriter, r *http.Request, c *latchkey.PasskeyCeremony, err error) error {
	if err == nil {
		return web.WriteJSON(w, http.StatusOK, c.Options)
	}
	p := web.ProblemOf(err)
	if p.Status == http.StatusInternalServerError {
		return err // to be logged
	}
	p.Message = sentence(languageOf(r), p)
	return web.WriteJSON(w, p.Status, p)
}

// askPasskey begins a sign-in, by the button or by the offer in the form.
func (a *app) askPasskey(w http.ResponseWriter, r *http.Request) error {
	c, err := a.Guest(r).StartPasskeySession(r.Context(), latchkey.PasskeyOffer{Conditional: r.FormValue("offer") != ""})
	return writeQuestion(w, r, c, err)
}

func (a *app) signInByPasskey(w http.ResponseWriter, r *http.Request) error {
	guest, stay := a.client(r)
	session, err := guest.FinishPasskeySession(r.Context(), answerOf(r))
	if err != nil {
		return a.again(w, r, "sign-in", aboutPasskey(err))
	}
	return a.keep(w, r, session, stay)
}

// askFactor asks for a passkey as the factor that a session owes, or as the proof before a sensitive page.
func (a *app) askFactor(w http.ResponseWriter, r *http.Request, of web.Challenger) error {
	c, err := of.StartPasskeyChallenge(r.Context())
	return writeQuestion(w, r, c, err)
}

func (a *app) provePasskey(w http.ResponseWriter, r *http.Request, of web.Challenger) error {
	session, err := of.FinishPasskeyChallenge(r.Context(), answerOf(r))
	if err != nil {
		return a.showFactors(w, r, of, "", aboutPasskey(err))
	}
	a.Renew(w, r, session)
	return to(w, r, afterwards(r))
}

func (a *app) passkeyPage(w http.ResponseWriter, r *http.Request, account *latchkey.Account, profile *latchkey.Profile) error {
	return a.showPasskeys(w, r, account, profile, nil)
}

// showPasskeys shows the passkeys of an account. The browser is told of them, so that devices offer no other ones.
func (a *app) showPasskeys(w http.ResponseWriter, r *http.Request, account *latchkey.Account, profile *latchkey.Profile, failed error) error {
	list, err := account.Passkeys(r.Context())
	if err != nil {
		return err
	}
	signals, err := account.PasskeySignals(r.Context())
	if err != nil {
		return err
	}
	v := a.newView(r, profile)
	v.Path, v.Data = "/account/passkeys", list.Passkeys
	v.signals["signalAllAcceptedCredentials"], v.signals["signalCurrentUserDetails"] = signals.Accepted, signals.Details
	if failed != nil {
		if err := v.refused(failed); err != nil {
			return err
		}
	}
	return a.show(w, "passkeys", v)
}

// newPasskey shows the page that makes a passkey, with the question in it.
func (a *app) newPasskey(w http.ResponseWriter, r *http.Request, account *latchkey.Account, profile *latchkey.Profile) error {
	c, err := account.StartPasskeyEnrolment(r.Context(), latchkey.PasskeyEnrolment{})
	if err != nil {
		return a.showPasskeys(w, r, account, profile, err)
	}
	v := a.newView(r, profile)
	v.Path, v.Data = "/account/passkeys", string(c.Options)
	return a.show(w, "passkey", v)
}

func (a *app) takePasskey(w http.ResponseWriter, r *http.Request, account *latchkey.Account, profile *latchkey.Profile) error {
	if _, err := account.FinishPasskeyEnrolment(r.Context(), answerOf(r), r.FormValue("name")); err != nil {
		return a.showPasskeys(w, r, account, profile, aboutPasskey(err))
	}
	return to(w, r, "/account/passkeys?done=passkey")
}

func (a *app) renamePasskey(w http.ResponseWriter, r *http.Request, account *latchkey.Account, profile *latchkey.Profile) error {
	if _, err := account.RenamePasskey(r.Context(), r.FormValue("id"), r.FormValue("name")); err != nil {
		return a.showPasskeys(w, r, account, profile, err)
	}
	return to(w, r, "/account/passkeys?done=passkey-name")
}

func (a *app) deletePasskey(w http.ResponseWriter, r *http.Request, account *latchkey.Account, profile *latchkey.Profile) error {
	if err := account.DeletePasskey(r.Context(), r.FormValue("id")); err != nil {
		return a.showPasskeys(w, r, account, profile, err)
	}
	if _, err := a.Authenticate(r); errors.Is(err, latchkey.ErrUnauthorized) { // the passkey has opened this session
		a.Ended(w, r, account)
		return to(w, r, "/sign-in?done=passkey-deleted")
	}
	return to(w, r, "/account/passkeys?done=passkey-deleted")
}

// Passkeys reports whether the site has passkeys.
func (v *view) Passkeys() bool { return v.passkeys }

// Signals are the calls of PublicKeyCredential by which the script tells the browser of passkeys, with their arguments.
func (v *view) Signals() (string, error) {
	text, err := json.Marshal(v.signals)
	return string(text), err
}
