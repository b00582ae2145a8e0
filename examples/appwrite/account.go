package main

import (
	"context"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/hidden"
)

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
	email, password, err := c.withPassword("email")
	if err != nil {
		return nil, err
	}
	if c.unverified != nil {
		if err := c.unverified.UpdateEmail(c.r.Context(), email, password); err != nil {
			return nil, err
		}
		return c.host.server.Get(c.r.Context(), c.unverified.UserID())
	}
	return c.account.UpdateEmail(c.r.Context(), email, password)
}

func updatePhone(c *call) (*latchkey.User, error) {
	phone, password, err := c.withPassword("phone")
	if err != nil {
		return nil, err
	}
	return c.account.UpdatePhone(c.r.Context(), phone, password)
}

// withPassword returns a parameter and a password.
func (c *call) withPassword(name string) (value, password string, err error) {
	if value, err = c.text(name); err != nil {
		return "", "", err
	}
	password, err = c.password("password")
	return value, password, err
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
	email, password, err := c.withPassword("email")
	if err != nil {
		return nil, err
	}
	session, err := c.guest().CreateEmailPasswordSession(c.r.Context(), email, password)
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
	if c.unverified != nil {
		return c.tokenModel(c.unverified.CreateEmailVerification(c.r.Context(), to))
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
		if c.unverified != nil && c.unverified.UserID() == texts[0] {
			return c.tokenModel(c.unverified.ConfirmEmailVerification(c.r.Context(), texts[1]))
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

// left clears the cookie of a session that was ended without an error.
func (c *call) left(err error) error {
	if err == nil {
		c.signedOut()
	}
	return err
}

func deleteSession(c *call) (any, error) {
	id := c.r.PathValue("sessionId")
	switch { // it may end only itself
	case c.pending != nil && id != latchkey.CurrentSession && id != c.pending.SessionID():
		return nil, latchkey.ErrMoreFactorsRequired
	case c.pending != nil:
		return nil, c.left(c.pending.DeleteSession(c.r.Context()))
	case c.unverified != nil && id != latchkey.CurrentSession && id != c.unverified.SessionID():
		return nil, latchkey.ErrEmailVerificationRequired
	case c.unverified != nil:
		return nil, c.left(c.unverified.DeleteSession(c.r.Context()))
	}
	err := c.account.DeleteSession(c.r.Context(), id)
	if err == nil && (id == latchkey.CurrentSession || id == c.account.SessionID()) {
		c.signedOut()
	}
	return nil, err
}

func deleteAccount(c *call) (any, error) {
	err := c.account.Delete(c.r.Context())
	if err == nil {
		c.signedOut()
	}
	return nil, err
}
