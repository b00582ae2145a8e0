package main

import (
	"encoding/json"
	"net/http"
	"slices"

	"example.com/latchkey"
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
	on(patch, proving, ok, shown(updateEmail), "/account/email"),
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
	on(del, leaving, none, deleteSession, "/account/sessions/{sessionId}"),

	on(post, proving, created, createEmailVerification, "/account/verifications/email", "/account/verification"),
	on(put, confirming, ok, confirm((*latchkey.Guest).ConfirmEmailVerification, (*latchkey.Account).ConfirmEmailVerification), "/account/verifications/email", "/account/verification"),
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
