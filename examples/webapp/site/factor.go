package site

import (
	"errors"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"example.com/latchkey"
	"example.com/latchkey/hidden"
	"example.com/latchkey/web"
)

func (a *app) factorRoutes() {
	// One page for the factor that a session owes, and for the proof before a sensitive page. At /confirm the
	// password may do as a proof.
	for _, path := range []string{"/factor", "/confirm"} {
		a.mux.Handle("GET "+path, a.Challenge(a.factorPage))
		a.mux.Handle("POST "+path, a.Challenge(a.proveFactor))
	}
	a.mux.Handle("POST /factor/send", a.Challenge(a.sendFactor))
	a.mux.Handle("POST /confirm/password", a.Require(a.confirmPassword))

	a.mux.Handle("GET /account/factors", a.RequireProfile(a.factors))
	a.mux.Handle("POST /account/factors/app", a.RequireProfile(a.enrol))
	a.mux.Handle("POST /account/factors/app/confirm", a.RequireProfile(a.confirmEnrolment))
	a.mux.Handle("POST /account/factors/app/remove", a.Require(a.removeApp))
	a.mux.Handle("POST /account/factors/on", a.Require(a.switchOn))
	a.mux.Handle("POST /account/factors/off", a.Require(a.switchOff))
	a.mux.Handle("GET /account/factors/codes", a.RequireProfile(a.recoveryCodes))
	a.mux.Handle("POST /account/factors/codes", a.RequireProfile(a.newRecoveryCodes))
}

// proof is what the page of a second factor shows.
type proof struct {
	latchkey.MFAFactors
	Owing     bool // a sign-in goes on; otherwise the user confirms it
	Password  bool // the password helps
	Sent      bool // a code was sent by mail
	Challenge string
}

func (a *app) factorPage(w http.ResponseWriter, r *http.Request, of web.Challenger) error {
	return a.showFactors(w, r, of, "", nil)
}

// showFactors shows the page of a second factor, with a challenge that was made and an error.
func (a *app) showFactors(w http.ResponseWriter, r *http.Request, of web.Challenger, challenge string, failed error) error {
	factors, err := of.MFAFactors(r.Context())
	if err != nil {
		return err
	}
	v := a.viewOf(r)
	p := proof{MFAFactors: factors, Challenge: challenge, Sent: challenge != ""}
	account, full := of.(*latchkey.Account)
	p.Owing, v.Half = !full, !full
	if full {
		user, err := account.User(r.Context())
		if err != nil {
			return err
		}
		// An authenticator, a passkey, or another factor in force, is asked for in the place of the password.
		helps := !factors.TOTP && !factors.Passkey && (!user.MFA || factors.Helps == latchkey.FactorSet{})
		p.Password = helps && !p.Sent && !user.PasswordUpdate.IsZero() && strings.HasPrefix(r.URL.Path, "/confirm")
		v.User, p.Helps = user, factors.Strong // the page that comes next may change factors
	}
	v.Data = p
	if failed != nil {
		if err := v.refused(failed); err != nil {
			return err
		}
	}
	return a.show(w, "factor", v)
}

// sendFactor sends a code by mail.
func (a *app) sendFactor(w http.ResponseWriter, r *http.Request, of web.Challenger) error {
	challenge, err := of.CreateMFAChallenge(r.Context(), latchkey.FactorEmail)
	if err != nil {
		return a.showFactors(w, r, of, "", err)
	}
	return a.showFactors(w, r, of, challenge.ID, nil)
}

// proveFactor takes a code: of a challenge that was sent, or of an app or a recovery code, for which a challenge
// is made on the way.
func (a *app) proveFactor(w http.ResponseWriter, r *http.Request, of web.Challenger) error {
	challenge, sent := r.FormValue("challenge"), true
	if challenge == "" {
		made, err := of.CreateMFAChallenge(r.Context(), latchkey.Factor(r.FormValue("factor")))
		if err != nil {
			return a.showFactors(w, r, of, "", err)
		}
		challenge, sent = made.ID, false
	}
	session, err := of.ConfirmMFAChallenge(r.Context(), challenge, r.FormValue("code"))
	if err != nil {
		if !sent {
			challenge = "" // the next try has one of its own
		}
		return a.showFactors(w, r, of, challenge, err)
	}
	a.Renew(w, r, session)
	return to(w, r, afterwards(r))
}

// confirmPassword takes the password again.
func (a *app) confirmPassword(w http.ResponseWriter, r *http.Request, account *latchkey.Account) error {
	session, err := account.ConfirmPassword(r.Context(), r.FormValue("password"))
	if err != nil {
		return a.showFactors(w, r, account, "", err)
	}
	a.Renew(w, r, session)
	return to(w, r, afterwards(r))
}

// factors is the page of the second factors of an account.
func (a *app) factors(w http.ResponseWriter, r *http.Request, account *latchkey.Account, profile *latchkey.Profile) error {
	factors, err := account.MFAFactors(r.Context())
	if err != nil {
		return err
	}
	v := a.newView(r, profile)
	v.Data = factors
	return a.show(w, "factors", v)
}

// enrolment is an authenticator app that is being enrolled.
type enrolment struct {
	Picture template.URL
	Secret  string
	URI     string // so that the page can show the picture again after a wrong code
}

func (a *app) enrol(w http.ResponseWriter, r *http.Request, account *latchkey.Account, profile *latchkey.Profile) error {
	made, err := account.CreateMFAAuthenticator(r.Context(), latchkey.NewMFAAuthenticator{})
	if err != nil {
		return err
	}
	return a.showEnrolment(w, r, profile, made, nil)
}

func (a *app) showEnrolment(w http.ResponseWriter, r *http.Request, profile *latchkey.Profile, made *latchkey.MFAAuthenticator, failed error) error {
	picture, err := web.QRCode(made, 240)
	if err != nil { // the form was changed
		return to(w, r, "/account/factors")
	}
	v := a.newView(r, profile)
	v.Path, v.Data = "/account/factors", enrolment{picture, inFours(made.Secret.Reveal()), made.URI.Reveal()}
	if failed != nil {
		if err := v.refused(failed); err != nil {
			return err
		}
	}
	return a.show(w, "enrol", v)
}

// inFours returns a key as people type it.
func inFours(key string) string {
	var groups []string
	for group := range slices.Chunk([]byte(key), 4) {
		groups = append(groups, string(group))
	}
	return strings.Join(groups, " ")
}

// confirmEnrolment puts an app in force and switches two-factor authentication on. The page of the recovery
// codes comes next.
func (a *app) confirmEnrolment(w http.ResponseWriter, r *http.Request, account *latchkey.Account, profile *latchkey.Profile) error {
	user, err := account.VerifyMFAAuthenticator(r.Context(), r.FormValue("code"))
	if err != nil {
		uri := r.FormValue("uri")
		made := &latchkey.MFAAuthenticator{URI: hidden.New(uri), Secret: hidden.New(secretOf(uri))}
		return a.showEnrolment(w, r, profile, made, err)
	}
	if !user.MFA {
		if err := putInForce(r, account); err != nil {
			return err
		}
	}
	return to(w, r, "/account/factors/codes")
}

// putInForce switches two-factor authentication on.
func putInForce(r *http.Request, account *latchkey.Account) error {
	_, err := account.UpdateMFA(r.Context(), true)
	if errors.Is(err, latchkey.ErrMoreFactorsRequired) { // a session by a link, of a user who must give the password first
		return latchkey.ErrChallengeRequired
	}
	return err
}

// secretOf returns the seed in the address of an authenticator.
func secretOf(uri string) string {
	u, err := url.Parse(uri)
	if err != nil {
		return ""
	}
	return u.Query().Get("secret")
}

func (a *app) removeApp(w http.ResponseWriter, r *http.Request, account *latchkey.Account) error {
	if err := account.DeleteMFAAuthenticator(r.Context()); err != nil {
		return err
	}
	return to(w, r, "/account/factors?done=factor-removed")
}

// switchOn is for a user who has kept the app after switching off.
func (a *app) switchOn(w http.ResponseWriter, r *http.Request, account *latchkey.Account) error {
	if err := putInForce(r, account); err != nil {
		return err
	}
	return to(w, r, "/account/factors?done=factor-on")
}

func (a *app) switchOff(w http.ResponseWriter, r *http.Request, account *latchkey.Account) error {
	if _, err := account.UpdateMFA(r.Context(), false); err != nil {
		return err
	}
	return to(w, r, "/account/factors?done=factor-off")
}

// recoveryCodes shows the unused recovery codes, if there are any, after a fresh proof of a factor.
func (a *app) recoveryCodes(w http.ResponseWriter, r *http.Request, account *latchkey.Account, profile *latchkey.Profile) error {
	factors, err := account.MFAFactors(r.Context())
	if err != nil {
		return err
	}
	if factors.RecoveryCodesLeft == 0 {
		return a.showCodes(w, r, profile, new(latchkey.MFARecoveryCodes), nil)
	}
	codes, err := account.MFARecoveryCodes(r.Context())
	return a.showCodes(w, r, profile, codes, err)
}

// newRecoveryCodes makes recovery codes, or replaces those that there are.
func (a *app) newRecoveryCodes(w http.ResponseWriter, r *http.Request, account *latchkey.Account, profile *latchkey.Profile) error {
	codes, err := account.CreateMFARecoveryCodes(r.Context())
	if errors.Is(err, latchkey.ErrRecoveryCodesAlreadyExist) {
		codes, err = account.RegenerateMFARecoveryCodes(r.Context())
	}
	return a.showCodes(w, r, profile, codes, err)
}

func (a *app) showCodes(w http.ResponseWriter, r *http.Request, profile *latchkey.Profile, codes *latchkey.MFARecoveryCodes, err error) error {
	if errors.Is(err, latchkey.ErrChallengeRequired) { // the password does not do
		return to(w, r, "/factor?next=/account/factors/codes")
	}
	if err != nil {
		return err
	}
	v := a.newView(r, profile)
	texts := make([]string, 0, len(codes.Codes))
	for _, code := range codes.Codes {
		texts = append(texts, code.Reveal())
	}
	v.Data = texts
	return a.show(w, "codes", v)
}
