package main

import (
	_ "embed"
	"encoding/json"
	"net/http"

	"example.com/latchkey"
	"example.com/latchkey/query"
	"example.com/latchkey/web"
)

//go:embed openapi.json
var openAPI []byte

// api is the API of a site.
type api struct {
	*web.Site
	mux *http.ServeMux
}

// input has the members of all bodies. Each route reads its own.
type input struct {
	Email        string          `json:"email"`
	Password     string          `json:"password"`
	OldPassword  string          `json:"oldPassword"`
	Name         string          `json:"name"`
	UserID       string          `json:"userId"`
	Secret       string          `json:"secret"`
	OTP          string          `json:"otp"`
	Factor       latchkey.Factor `json:"factor"`
	MFA          bool            `json:"mfa"`
	Bearer       bool            `json:"bearer"`
	Roles        []string        `json:"roles"`
	Answer       json.RawMessage `json:"answer"`
	Conditional  bool            `json:"conditional"`
	SecondFactor bool            `json:"secondFactor"`
}

// secret is the answer to a client that keeps the secret of its session by itself.
type secret struct {
	*latchkey.Session
	Secret string `json:"secret"`
}

func newAPI(engine *latchkey.Engine, base web.Base) (http.Handler, error) {
	site, err := web.New(engine, web.Config{Base: base, Bearer: true})
	if err != nil {
		return nil, err
	}
	a := &api{site, http.NewServeMux()}
	a.mux.Handle("GET /healthz", site.Health())
	a.mux.HandleFunc("GET /openapi.json", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(openAPI) // the client may have gone
	})
	a.signIns()
	a.factors()
	a.passkeys()
	a.account()
	a.teams()
	return site.Protect(a.mux), nil
}

// answer answers with what fn returns for the body of a request.
func answer(w http.ResponseWriter, r *http.Request, fn func(in *input) (any, error)) error {
	return web.JSON(func(http.ResponseWriter, *http.Request) (any, error) {
		in := new(input)
		if r.Method != http.MethodGet && r.Method != http.MethodDelete && r.ContentLength != 0 {
			if err := web.ReadJSON(r, in); err != nil {
				return nil, err
			}
		}
		return fn(in)
	})(w, r)
}

// guest adds a route for everybody.
func (a *api) guest(pattern string, fn func(w http.ResponseWriter, r *http.Request, in *input) (any, error)) {
	a.mux.Handle(pattern, a.Handle(func(w http.ResponseWriter, r *http.Request) error {
		return answer(w, r, func(in *input) (any, error) { return fn(w, r, in) })
	}))
}

// user adds a route for signed-in users.
func (a *api) user(pattern string, fn func(r *http.Request, account *latchkey.Account, in *input) (any, error)) {
	a.mux.Handle(pattern, a.Require(func(w http.ResponseWriter, r *http.Request, account *latchkey.Account) error {
		return answer(w, r, func(in *input) (any, error) { return fn(r, account, in) })
	}))
}

// factor adds a route for users who owe a second factor, and for signed-in ones.
func (a *api) factor(pattern string, fn func(w http.ResponseWriter, r *http.Request, of web.Challenger, in *input) (any, error)) {
	a.mux.Handle(pattern, a.Challenge(func(w http.ResponseWriter, r *http.Request, of web.Challenger) error {
		return answer(w, r, func(in *input) (any, error) { return fn(w, r, of, in) })
	}))
}

// signedIn answers with a new session: its cookie, or its secret for a client that asks for it.
func (a *api) signedIn(w http.ResponseWriter, r *http.Request, in *input, session *latchkey.Session, err error) (any, error) {
	if err != nil {
		return nil, err
	}
	if in.Bearer {
		return secret{session, session.Secret.Reveal()}, nil
	}
	a.SignIn(w, r, session)
	return session, nil
}

// renewed answers with the session of the request, which has a new secret, as signedIn does.
func (a *api) renewed(w http.ResponseWriter, r *http.Request, in *input, session *latchkey.Session, err error) (any, error) {
	if err != nil {
		return nil, err
	}
	a.Renew(w, r, session)
	if in.Bearer {
		return secret{session, session.Secret.Reveal()}, nil
	}
	return session, nil
}

func (a *api) signIns() {
	a.guest("POST /account", func(_ http.ResponseWriter, r *http.Request, in *input) (any, error) {
		return a.Guest(r).CreateAccount(r.Context(), latchkey.NewAccount{Email: in.Email, Password: in.Password, Name: in.Name})
	})
	a.guest("POST /sessions/password", func(w http.ResponseWriter, r *http.Request, in *input) (any, error) {
		session, err := a.Guest(r).CreateEmailPasswordSession(r.Context(), in.Email, in.Password)
		return a.signedIn(w, r, in, session, err)
	})
	a.guest("POST /sessions/token", func(w http.ResponseWriter, r *http.Request, in *input) (any, error) {
		session, err := a.Guest(r).CreateSession(r.Context(), in.UserID, in.Secret)
		return a.signedIn(w, r, in, session, err)
	})
	a.guest("DELETE /sessions/current", func(w http.ResponseWriter, r *http.Request, _ *input) (any, error) {
		return nil, a.SignOut(w, r)
	})
	a.guest("POST /tokens/link", func(_ http.ResponseWriter, r *http.Request, in *input) (any, error) {
		return a.Guest(r).CreateMagicURLToken(r.Context(), latchkey.NewMagicURLToken{Email: in.Email, URL: a.URL("/sign-in")})
	})
	a.guest("POST /tokens/code", func(_ http.ResponseWriter, r *http.Request, in *input) (any, error) {
		return a.Guest(r).CreateEmailToken(r.Context(), latchkey.NewEmailToken{Email: in.Email})
	})
	a.guest("POST /recovery", func(_ http.ResponseWriter, r *http.Request, in *input) (any, error) {
		return a.Guest(r).CreateRecovery(r.Context(), latchkey.NewRecovery{Email: in.Email, URL: a.URL("/recover")})
	})
	a.guest("PUT /recovery", func(_ http.ResponseWriter, r *http.Request, in *input) (any, error) {
		return a.Guest(r).ConfirmRecovery(r.Context(), in.UserID, in.Secret, in.Password)
	})
	a.guest("PUT /verification", func(_ http.ResponseWriter, r *http.Request, in *input) (any, error) {
		return a.ConfirmEmailVerification(r, in.UserID, in.Secret)
	})
}

func (a *api) factors() {
	a.factor("GET /factors", func(_ http.ResponseWriter, r *http.Request, of web.Challenger, _ *input) (any, error) {
		return of.MFAFactors(r.Context())
	})
	a.factor("POST /challenges", func(_ http.ResponseWriter, r *http.Request, of web.Challenger, in *input) (any, error) {
		return of.CreateMFAChallenge(r.Context(), in.Factor)
	})
	a.factor("PUT /challenges/{id}", func(w http.ResponseWriter, r *http.Request, of web.Challenger, in *input) (any, error) {
		session, err := of.ConfirmMFAChallenge(r.Context(), r.PathValue("id"), in.OTP)
		return a.renewed(w, r, in, session, err)
	})
	a.user("POST /authenticator", func(r *http.Request, account *latchkey.Account, _ *input) (any, error) {
		made, err := account.CreateMFAAuthenticator(r.Context(), latchkey.NewMFAAuthenticator{})
		if err != nil {
			return nil, err
		}
		return map[string]string{"secret": made.Secret.Reveal(), "uri": made.URI.Reveal()}, nil
	})
	a.user("PUT /authenticator", func(r *http.Request, account *latchkey.Account, in *input) (any, error) {
		return account.VerifyMFAAuthenticator(r.Context(), in.OTP)
	})
	a.user("PUT /account/mfa", func(r *http.Request, account *latchkey.Account, in *input) (any, error) {
		return account.UpdateMFA(r.Context(), in.MFA)
	})
}

func (a *api) account() {
	a.user("GET /account", func(r *http.Request, account *latchkey.Account, _ *input) (any, error) {
		return account.User(r.Context())
	})
	a.user("PUT /account/name", func(r *http.Request, account *latchkey.Account, in *input) (any, error) {
		return account.UpdateName(r.Context(), in.Name)
	})
	a.user("PUT /account/password", func(r *http.Request, account *latchkey.Account, in *input) (any, error) {
		return account.UpdatePassword(r.Context(), latchkey.PasswordUpdate{New: in.Password, Old: in.OldPassword})
	})
	a.user("DELETE /account", func(r *http.Request, account *latchkey.Account, _ *input) (any, error) {
		return nil, account.Delete(r.Context())
	})
	a.user("POST /verification", func(r *http.Request, account *latchkey.Account, _ *input) (any, error) {
		return account.CreateEmailVerification(r.Context(), a.URL("/verify"))
	})
	a.user("GET /sessions", func(r *http.Request, account *latchkey.Account, _ *input) (any, error) {
		return account.Sessions(r.Context())
	})
	a.user("DELETE /sessions/{id}", func(r *http.Request, account *latchkey.Account, _ *input) (any, error) {
		return nil, account.DeleteSession(r.Context(), r.PathValue("id"))
	})
	a.user("GET /log", func(r *http.Request, account *latchkey.Account, _ *input) (any, error) {
		if page := r.FormValue("page"); page != "" {
			return account.Logs(r.Context(), query.Page(page))
		}
		return account.Logs(r.Context())
	})
}

func (a *api) teams() {
	a.user("GET /teams", func(r *http.Request, account *latchkey.Account, _ *input) (any, error) {
		return account.Teams().List(r.Context())
	})
	a.user("POST /teams", func(r *http.Request, account *latchkey.Account, in *input) (any, error) {
		return account.Teams().Create(r.Context(), latchkey.NewTeam{Name: in.Name})
	})
	a.user("GET /teams/{id}/memberships", func(r *http.Request, account *latchkey.Account, _ *input) (any, error) {
		return account.Teams().Memberships(r.Context(), r.PathValue("id"))
	})
	a.user("POST /teams/{id}/memberships", func(r *http.Request, account *latchkey.Account, in *input) (any, error) {
		return account.Teams().CreateMembership(r.Context(), r.PathValue("id"), latchkey.NewMembership{Email: in.Email, Roles: in.Roles, URL: a.URL("/invitation")})
	})
}
