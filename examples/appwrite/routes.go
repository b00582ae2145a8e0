package main

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/hidden"
	"example.com/latchkey/query"
)

// route is one operation of the API.
type route struct {
	method string
	paths  []string // for both generations of the SDKs
	scope  scope
	status int
	do     func(c *call) (any, error)
}

func on(method string, scope scope, status int, do func(c *call) (any, error), paths ...string) route {
	for i := range paths {
		paths[i] = "/v1" + paths[i]
	}
	return route{method, paths, scope, status, do}
}

const (
	get, post, put, patch, del = http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete

	ok, created, none = http.StatusOK, http.StatusCreated, http.StatusNoContent
)

// routes is the whole API.
var routes = slices.Concat(userRoutes, importRoutes, oauthRoutes, teamRoutes)

// userRoutes is the part of the API about accounts and users.
var userRoutes = []route{
	on(get, health, ok, func(*call) (any, error) { return object{"version": version}, nil }, "/health/version"),

	on(post, anyone, created, createAccount, "/account"),
	on(get, account, ok, shown(func(c *call) (*latchkey.User, error) { return c.account.User(c.r.Context()) }), "/account"),
	on(del, account, none, deleteAccount, "/account"),
	on(patch, account, ok, shown(updateName), "/account/name"),
	on(patch, account, ok, shown(updateEmail), "/account/email"),
	on(patch, account, ok, shown(updatePhone), "/account/phone"),
	on(patch, account, ok, shown(updatePassword), "/account/password"),
	on(get, account, ok, func(c *call) (any, error) { return c.account.Prefs(c.r.Context()) }, "/account/prefs"),
	on(patch, account, ok, shown(updatePrefs), "/account/prefs"),
	on(patch, account, ok, shown(updateStatus), "/account/status"),
	on(get, account, ok, listLogs, "/account/logs"),

	on(post, signIn, created, createEmailSession, "/account/sessions/email", "/account/sessions"),
	on(post, signIn, created, createAnonymousSession, "/account/sessions/anonymous"),
	on(post, anyone, created, createMagicURLToken, "/account/tokens/magic-url", "/account/sessions/magic-url"),
	on(post, anyone, created, createEmailToken, "/account/tokens/email"),
	on(post, anyone, created, createPhoneToken, "/account/tokens/phone", "/account/sessions/phone"),
	on(post, signIn, created, redeem, "/account/sessions/token"),
	on(put, signIn, created, redeem, "/account/sessions/magic-url"),
	on(put, signIn, created, redeem, "/account/sessions/phone"),
	on(get, account, ok, listSessions, "/account/sessions"),
	on(del, account, none, deleteSessions, "/account/sessions"),
	on(get, account, ok, getSession, "/account/sessions/{sessionId}"),
	on(patch, account, ok, updateSession, "/account/sessions/{sessionId}"),
	on(del, owing, none, deleteSession, "/account/sessions/{sessionId}"),

	on(post, account, created, createEmailVerification, "/account/verifications/email", "/account/verification"),
	on(put, anyone, ok, confirm((*latchkey.Guest).ConfirmEmailVerification, (*latchkey.Account).ConfirmEmailVerification), "/account/verifications/email", "/account/verification"),
	on(post, account, created, createPhoneVerification, "/account/verifications/phone", "/account/verification/phone"),
	on(put, anyone, ok, confirm((*latchkey.Guest).ConfirmPhoneVerification, (*latchkey.Account).ConfirmPhoneVerification), "/account/verifications/phone", "/account/verification/phone"),
	on(post, anyone, created, createRecovery, "/account/recovery"),
	on(put, anyone, ok, updateRecovery, "/account/recovery"),
	on(patch, account, ok, shown(updateMFA), "/account/mfa"),
	on(get, owing, ok, listFactors, "/account/mfa/factors"),
	on(post, account, ok, createAuthenticator, "/account/mfa/authenticators/{type}"),
	on(put, account, ok, shown(updateAuthenticator), "/account/mfa/authenticators/{type}"),
	on(del, account, none, deleteAuthenticator, "/account/mfa/authenticators/{type}"),
	on(post, owing, created, createChallenge, "/account/mfa/challenges", "/account/mfa/challenge"),
	on(put, owing, ok, updateChallenge, "/account/mfa/challenges", "/account/mfa/challenge"),
	on(post, account, created, recoveryCodes((*latchkey.Account).CreateMFARecoveryCodes), "/account/mfa/recovery-codes"),
	on(get, account, ok, recoveryCodes((*latchkey.Account).MFARecoveryCodes), "/account/mfa/recovery-codes"),
	on(patch, account, ok, recoveryCodes((*latchkey.Account).RegenerateMFARecoveryCodes), "/account/mfa/recovery-codes"),

	on(post, account, created, createJWT, "/account/jwts", "/account/jwt"),

	on(post, account, created, createPushTarget, "/account/targets/push"),
	on(put, account, ok, updatePushTarget, "/account/targets/{targetId}/push"),
	on(del, account, none, func(c *call) (any, error) {
		return nil, c.account.DeletePushTarget(c.r.Context(), c.r.PathValue("targetId"))
	}, "/account/targets/{targetId}/push"),

	on(post, users, created, seen(createUser), "/users"),
	on(get, reading, ok, listUsers, "/users"),
	on(get, reading, ok, seen(func(c *call) (*latchkey.User, error) { return c.users().Get(c.r.Context(), c.user()) }), "/users/{userId}"),
	on(del, users, none, func(c *call) (any, error) { return nil, c.users().Delete(c.r.Context(), c.user()) }, "/users/{userId}"),
	on(patch, users, ok, seen(userText("name", (*latchkey.Users).UpdateName)), "/users/{userId}/name"),
	on(patch, users, ok, seen(userText("email", (*latchkey.Users).UpdateEmail)), "/users/{userId}/email"),
	on(patch, users, ok, seen(userText("number", (*latchkey.Users).UpdatePhone)), "/users/{userId}/phone"),
	on(patch, users, ok, seen(userText("password", (*latchkey.Users).UpdatePassword)), "/users/{userId}/password"),
	on(patch, users, ok, seen(userBool("status", (*latchkey.Users).UpdateStatus)), "/users/{userId}/status"),
	on(patch, users, ok, seen(userBool("emailVerification", (*latchkey.Users).UpdateEmailVerification)), "/users/{userId}/verification"),
	on(patch, users, ok, seen(userBool("phoneVerification", (*latchkey.Users).UpdatePhoneVerification)), "/users/{userId}/verification/phone"),
	on(patch, users, ok, seen(userBool("impersonator", (*latchkey.Users).UpdateImpersonator)), "/users/{userId}/impersonator"),
	on(put, users, ok, seen(updateLabels), "/users/{userId}/labels"),
	on(post, users, created, createTarget, "/users/{userId}/targets"),
	on(get, reading, ok, listTargets, "/users/{userId}/targets"),
	on(get, reading, ok, func(c *call) (any, error) {
		return target(c.users().GetTarget(c.r.Context(), c.user(), c.r.PathValue("targetId")))
	}, "/users/{userId}/targets/{targetId}"),
	on(patch, users, ok, updateTarget, "/users/{userId}/targets/{targetId}"),
	on(del, users, none, func(c *call) (any, error) {
		return nil, c.users().DeleteTarget(c.r.Context(), c.user(), c.r.PathValue("targetId"))
	}, "/users/{userId}/targets/{targetId}"),
	on(get, reading, ok, func(c *call) (any, error) { return c.users().Prefs(c.r.Context(), c.user()) }, "/users/{userId}/prefs"),
	on(patch, users, ok, updateUserPrefs, "/users/{userId}/prefs"),
	on(get, reading, ok, listUserSessions, "/users/{userId}/sessions"),
	on(post, users, created, createUserSession, "/users/{userId}/sessions"),
	on(del, users, none, func(c *call) (any, error) {
		return nil, c.users().DeleteSession(c.r.Context(), c.user(), c.r.PathValue("sessionId"))
	}, "/users/{userId}/sessions/{sessionId}"),
	on(post, users, created, createUserToken, "/users/{userId}/tokens"),
	on(post, users, created, createUserJWT, "/users/{userId}/jwts"),
	on(patch, users, ok, seen(userBool("mfa", (*latchkey.Users).UpdateMFA)), "/users/{userId}/mfa"),
	on(get, reading, ok, listUserFactors, "/users/{userId}/mfa/factors"),
	on(get, users, ok, userRecoveryCodes((*latchkey.Users).MFARecoveryCodes), "/users/{userId}/mfa/recovery-codes"),
	on(patch, users, ok, userRecoveryCodes((*latchkey.Users).CreateMFARecoveryCodes), "/users/{userId}/mfa/recovery-codes"),
	on(put, users, ok, userRecoveryCodes((*latchkey.Users).RegenerateMFARecoveryCodes), "/users/{userId}/mfa/recovery-codes"),
	on(del, users, none, deleteUserAuthenticator, "/users/{userId}/mfa/authenticators/{type}"),
	on(get, reading, ok, getUserChallenge, "/users/{userId}/mfa/challenges/{challengeId}"),
	on(get, reading, ok, listUserLogs, "/users/{userId}/logs"),
}

var notFound = route{scope: health, do: func(*call) (any, error) {
	return nil, problem(http.StatusNotFound, "general_route_not_found", "Route not found. Please ensure the endpoint is configured correctly")
}}

// preflight answers the browser's question before a request. The origin is checked for
// every route.
var preflight = route{scope: health, status: ok, do: func(*call) (any, error) { return object{}, nil }}

// keySet serves the public keys with which other services check JWTs.
var keySet = route{scope: health, status: ok, do: func(c *call) (any, error) { return json.RawMessage(c.engine.KeySet()), nil }}

var debugRoles = route{status: ok, do: func(c *call) (any, error) {
	if c.account == nil {
		return object{"roles": c.guest().Roles().List()[1:]}, nil // every caller has the role any
	}
	roles, err := c.account.Roles(c.r.Context())
	if err != nil {
		return nil, err
	}
	return object{"roles": roles.List()[1:]}, nil
}}

// users returns the server's operations on users, with the client of the call.
func (c *call) users() *latchkey.Users { return c.host.server.At(c.client) }

func (c *call) user() string { return c.r.PathValue("userId") }

// shown answers with a user in the form for the user's own account.
func shown(do func(c *call) (*latchkey.User, error)) func(c *call) (any, error) {
	return func(c *call) (any, error) {
		user, err := do(c)
		if err != nil {
			return nil, err
		}
		return c.userModel(user), nil
	}
}

// seen answers with a user in the form for the server.
func seen(do func(c *call) (*latchkey.User, error)) func(c *call) (any, error) {
	return func(c *call) (any, error) {
		user, err := do(c)
		if err != nil {
			return nil, err
		}
		return c.serverUserModel(user)
	}
}

func createAccount(c *call) (any, error) {
	id, err := c.id("userId")
	if err != nil {
		return nil, err
	}
	texts, err := c.texts("email", "password")
	if err != nil {
		return nil, err
	}
	name, err := c.optional("name", "")
	if err != nil {
		return nil, err
	}
	n := latchkey.NewAccount{UserID: id, Email: texts[0], Password: texts[1], Name: name}
	if c.signedIn {
		return shown(func(c *call) (*latchkey.User, error) { return c.account.CreateAccount(c.r.Context(), n) })(c)
	}
	return shown(func(c *call) (*latchkey.User, error) { return c.guest().CreateAccount(c.r.Context(), n) })(c)
}

func updateName(c *call) (*latchkey.User, error) {
	name, err := c.text("name")
	if err != nil {
		return nil, err
	}
	return c.account.UpdateName(c.r.Context(), name)
}

func updateEmail(c *call) (*latchkey.User, error) {
	texts, err := c.texts("email", "password")
	if err != nil {
		return nil, err
	}
	return c.account.UpdateEmail(c.r.Context(), texts[0], texts[1])
}

func updatePhone(c *call) (*latchkey.User, error) {
	texts, err := c.texts("phone", "password")
	if err != nil {
		return nil, err
	}
	return c.account.UpdatePhone(c.r.Context(), texts[0], texts[1])
}

func updatePassword(c *call) (*latchkey.User, error) {
	password, err := c.text("password")
	if err != nil {
		return nil, err
	}
	old, err := c.optional("oldPassword", "")
	if err != nil {
		return nil, err
	}
	return c.account.UpdatePassword(c.r.Context(), latchkey.PasswordUpdate{New: password, Old: old})
}

func updatePrefs(c *call) (*latchkey.User, error) {
	prefs, err := c.prefs()
	if err != nil {
		return nil, err
	}
	return c.account.UpdatePrefs(c.r.Context(), prefs)
}

func updateStatus(c *call) (*latchkey.User, error) {
	user, err := c.account.Block(c.r.Context())
	if err == nil {
		c.signedOut()
	}
	return user, err
}

func listLogs(c *call) (any, error) {
	queries, total, err := c.queries()
	if err != nil {
		return nil, err
	}
	list, err := c.account.Logs(c.r.Context(), queries...)
	if err != nil {
		return nil, err
	}
	return c.logList(list, total), nil
}

func createEmailSession(c *call) (any, error) {
	texts, err := c.texts("email", "password")
	if err != nil {
		return nil, err
	}
	session, err := c.guest().CreateEmailPasswordSession(c.r.Context(), texts[0], texts[1])
	if err != nil {
		return nil, err
	}
	return c.signedInAs(session), nil
}

func createAnonymousSession(c *call) (any, error) {
	session, err := c.guest().CreateAnonymousSession(c.r.Context())
	if err != nil {
		return nil, err
	}
	return c.signedInAs(session), nil
}

func createMagicURLToken(c *call) (any, error) {
	id, email, phrase, err := c.asked()
	if err != nil {
		return nil, err
	}
	to, err := c.optional("url", "")
	if err != nil {
		return nil, err
	}
	if to == "" {
		to = c.config.publicURL + "/auth/magic-url"
	}
	return c.tokenModel(c.guest().CreateMagicURLToken(c.r.Context(), latchkey.NewMagicURLToken{UserID: id, Email: email, URL: to, Phrase: phrase}))
}

func createEmailToken(c *call) (any, error) {
	id, email, phrase, err := c.asked()
	if err != nil {
		return nil, err
	}
	return c.tokenModel(c.guest().CreateEmailToken(c.r.Context(), latchkey.NewEmailToken{UserID: id, Email: email, Phrase: phrase}))
}

// asked reads the parameters of a request for a token by e-mail.
func (c *call) asked() (id, email string, phrase bool, err error) {
	if id, err = c.id("userId"); err != nil {
		return "", "", false, err
	}
	if email, err = c.text("email"); err != nil {
		return "", "", false, err
	}
	phrase, err = c.bool("phrase", new(bool))
	return id, email, phrase, err
}

func createPhoneToken(c *call) (any, error) {
	id, err := c.id("userId")
	if err != nil {
		return nil, err
	}
	phone, err := c.text("phone")
	if err != nil {
		return nil, err
	}
	return c.tokenModel(c.guest().CreatePhoneToken(c.r.Context(), id, phone))
}

// redeem signs in with the secret of a token.
func redeem(c *call) (any, error) {
	texts, err := c.texts("userId", "secret")
	if err != nil {
		return nil, err
	}
	session, err := c.guest().CreateSession(c.r.Context(), texts[0], texts[1])
	if err != nil {
		return nil, err
	}
	return c.signedInAs(session), nil
}

func createEmailVerification(c *call) (any, error) {
	to, err := c.text("url")
	if err != nil {
		return nil, err
	}
	return c.tokenModel(c.account.CreateEmailVerification(c.r.Context(), to))
}

func createPhoneVerification(c *call) (any, error) {
	return c.tokenModel(c.account.CreatePhoneVerification(c.r.Context()))
}

// confirm returns a handler that verifies an address with the secret of a token, by do, or
// by own in a session of the user.
func confirm(do func(g *latchkey.Guest, ctx context.Context, userID, secret string) (*latchkey.Token, error),
	own func(a *latchkey.Account, ctx context.Context, secret string) (*latchkey.Token, error),
) func(c *call) (any, error) {
	return func(c *call) (any, error) {
		texts, err := c.texts("userId", "secret")
		if err != nil {
			return nil, err
		}
		if c.signedIn && c.account.UserID() == texts[0] {
			return c.tokenModel(own(c.account, c.r.Context(), texts[1]))
		}
		return c.tokenModel(do(c.guest(), c.r.Context(), texts[0], texts[1]))
	}
}

func createRecovery(c *call) (any, error) {
	texts, err := c.texts("email", "url")
	if err != nil {
		return nil, err
	}
	return c.tokenModel(c.guest().CreateRecovery(c.r.Context(), latchkey.NewRecovery{Email: texts[0], URL: texts[1]}))
}

func updateRecovery(c *call) (any, error) {
	texts, err := c.texts("userId", "secret", "password")
	if err != nil {
		return nil, err
	}
	return c.tokenModel(c.guest().ConfirmRecovery(c.r.Context(), texts[0], texts[1], texts[2]))
}

func createJWT(c *call) (any, error) {
	length, err := c.duration()
	if err != nil {
		return nil, err
	}
	return jwtModel(c.account.CreateJWT(c.r.Context(), length))
}

func createUserJWT(c *call) (any, error) {
	id, err := c.optional("sessionId", "")
	if err != nil {
		return nil, err
	}
	length, err := c.duration()
	if err != nil {
		return nil, err
	}
	return jwtModel(c.users().CreateJWT(c.r.Context(), c.user(), id, length))
}

// duration returns the requested lifetime of a JWT. 0 means the engine's default.
func (c *call) duration() (time.Duration, error) {
	if v, ok := c.params["duration"].(float64); ok && v == 0 {
		return 0, nil
	}
	seconds, err := c.number("duration")
	return time.Duration(seconds) * time.Second, err
}

func jwtModel(token latchkey.Secret, err error) (any, error) {
	if err != nil {
		return nil, err
	}
	return object{"jwt": token.Reveal()}, nil
}

func createUserToken(c *call) (any, error) {
	length, err := c.number("length")
	if err != nil {
		return nil, err
	}
	expire, err := c.number("expire")
	if err != nil {
		return nil, err
	}
	return c.tokenModel(c.users().CreateToken(c.r.Context(), c.user(), length, time.Duration(expire)*time.Second))
}

func listSessions(c *call) (any, error) {
	_, total, err := c.queries()
	if err != nil {
		return nil, err
	}
	list, err := c.account.Sessions(c.r.Context())
	if err != nil {
		return nil, err
	}
	return c.sessionList(list, total), nil
}

func deleteSessions(c *call) (any, error) {
	err := c.account.DeleteSessions(c.r.Context())
	if err == nil {
		c.signedOut()
	}
	return nil, err
}

func getSession(c *call) (any, error) {
	session, err := c.account.GetSession(c.r.Context(), c.r.PathValue("sessionId"))
	if err != nil {
		return nil, err
	}
	return c.sessionModel(session), nil
}

// updateSession also renews the cookie. Otherwise the browser would drop it at its old
// end.
func updateSession(c *call) (any, error) {
	session, err := c.account.ExtendSession(c.r.Context(), c.r.PathValue("sessionId"))
	if err != nil {
		return nil, err
	}
	if session.Current {
		renewed := *session
		renewed.Secret = hidden.New(c.session().Secret)
		c.signedInAs(&renewed)
	}
	return c.sessionModel(session), nil
}

func deleteSession(c *call) (any, error) {
	id := c.r.PathValue("sessionId")
	if c.pending != nil { // it may end only itself
		if id != latchkey.CurrentSession && id != c.pending.SessionID() {
			return nil, latchkey.ErrMoreFactorsRequired
		}
		err := c.pending.DeleteSession(c.r.Context())
		if err == nil {
			c.signedOut()
		}
		return nil, err
	}
	err := c.account.DeleteSession(c.r.Context(), id)
	if err == nil && (id == latchkey.CurrentSession || id == c.account.SessionID()) {
		c.signedOut()
	}
	return nil, err
}

func createUser(c *call) (*latchkey.User, error) {
	id, err := c.id("userId")
	if err != nil {
		return nil, err
	}
	n := latchkey.NewUser{UserID: id}
	var password string
	for name, field := range map[string]*string{"email": &n.Email, "phone": &n.Phone, "password": &password, "name": &n.Name} {
		if *field, err = c.optional(name, ""); err != nil {
			return nil, err
		}
	}
	n.Password = password
	return c.users().Create(c.r.Context(), n)
}

// userText returns a handler that changes one text of a user.
func userText(param string, change func(*latchkey.Users, context.Context, string, string) (*latchkey.User, error)) func(c *call) (*latchkey.User, error) {
	return func(c *call) (*latchkey.User, error) {
		text, err := c.text(param)
		if err != nil {
			return nil, err
		}
		return change(c.users(), c.r.Context(), c.user(), text)
	}
}

// userBool returns a handler that changes one flag of a user.
func userBool(param string, change func(*latchkey.Users, context.Context, string, bool) (*latchkey.User, error)) func(c *call) (*latchkey.User, error) {
	return func(c *call) (*latchkey.User, error) {
		flag, err := c.bool(param, nil)
		if err != nil {
			return nil, err
		}
		return change(c.users(), c.r.Context(), c.user(), flag)
	}
}

func updateLabels(c *call) (*latchkey.User, error) {
	labels, err := c.list("labels")
	if err != nil {
		return nil, err
	}
	return c.users().UpdateLabels(c.r.Context(), c.user(), labels)
}

func updateUserPrefs(c *call) (any, error) {
	prefs, err := c.prefs()
	if err != nil {
		return nil, err
	}
	return c.users().UpdatePrefs(c.r.Context(), c.user(), prefs)
}

func listUsers(c *call) (any, error) {
	queries, total, err := c.queries()
	if err != nil {
		return nil, err
	}
	search, err := c.optional("search", "")
	if err != nil {
		return nil, err
	}
	queries = append(queries, query.Search(search))
	if !total {
		queries = append(queries, query.NoTotal())
	}
	list, err := c.users().List(c.r.Context(), queries...)
	if err != nil {
		return nil, err
	}
	models := make([]object, 0, len(list.Users))
	for _, user := range list.Users {
		model, err := c.serverUserModel(user)
		if errors.Is(err, latchkey.ErrUserNotFound) {
			continue // deleted meanwhile
		}
		if err != nil {
			return nil, err
		}
		models = append(models, model)
	}
	return object{"total": list.Total, "users": models}, nil
}

func deleteAccount(c *call) (any, error) {
	err := c.account.Delete(c.r.Context())
	if err == nil {
		c.signedOut()
	}
	return nil, err
}

func listUserSessions(c *call) (any, error) {
	_, total, err := c.queries()
	if err != nil {
		return nil, err
	}
	list, err := c.users().Sessions(c.r.Context(), c.user(), latchkey.Limit(allSessions))
	if err != nil {
		return nil, err
	}
	return c.sessionList(list, total), nil
}

// allSessions is more than a user can have: the documented listing has no pages.
const allSessions = 200

// target answers with a target.
func target(t *latchkey.Target, err error) (any, error) {
	if err != nil {
		return nil, err
	}
	return targetModel(*t), nil
}

func createPushTarget(c *call) (any, error) {
	id, err := c.id("targetId")
	if err != nil {
		return nil, err
	}
	identifier, err := c.text("identifier")
	if err != nil {
		return nil, err
	}
	return target(c.account.CreatePushTarget(c.r.Context(), latchkey.NewPushTarget{ID: id, Identifier: identifier}))
}

func updatePushTarget(c *call) (any, error) {
	identifier, err := c.text("identifier")
	if err != nil {
		return nil, err
	}
	return target(c.account.UpdatePushTarget(c.r.Context(), c.r.PathValue("targetId"), identifier))
}

// createTarget makes a target of a user. There are no providers, and an unknown one is
// left out, as documented.
func createTarget(c *call) (any, error) {
	id, err := c.id("targetId")
	if err != nil {
		return nil, err
	}
	texts, err := c.texts("providerType", "identifier")
	if err != nil {
		return nil, err
	}
	name, err := c.optional("name", "")
	if err != nil {
		return nil, err
	}
	return target(c.users().CreateTarget(c.r.Context(), c.user(), latchkey.NewTarget{
		ID: id, ProviderType: texts[0], Identifier: texts[1], Name: name,
	}))
}

// updateTarget changes a target of a user. Every provider is unknown.
func updateTarget(c *call) (any, error) {
	var n latchkey.TargetUpdate
	provider := ""
	for _, field := range []struct {
		name string
		to   *string
	}{{"identifier", &n.Identifier}, {"name", &n.Name}, {"providerId", &provider}} {
		var err error
		if *field.to, err = c.optional(field.name, ""); err != nil {
			return nil, err
		}
	}
	if provider != "" {
		return nil, problem(http.StatusNotFound, "provider_not_found", "Provider with the requested ID could not be found")
	}
	return target(c.users().UpdateTarget(c.r.Context(), c.user(), c.r.PathValue("targetId"), n))
}

func listTargets(c *call) (any, error) {
	queries, total, err := c.queries()
	if err != nil {
		return nil, err
	}
	list, err := c.users().Targets(c.r.Context(), c.user(), queries...)
	if err != nil {
		return nil, err
	}
	return c.targetList(list, total), nil
}

func createUserSession(c *call) (any, error) {
	session, err := c.users().CreateSession(c.r.Context(), c.user())
	if err != nil {
		return nil, err
	}
	return c.sessionModel(session), nil
}

func listUserLogs(c *call) (any, error) {
	queries, total, err := c.queries()
	if err != nil {
		return nil, err
	}
	list, err := c.users().Logs(c.r.Context(), c.user(), queries...)
	if err != nil {
		return nil, err
	}
	return c.logList(list, total), nil
}
