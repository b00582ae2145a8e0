package latchkey

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"time"

	"example.com/latchkey/hidden"
	"example.com/latchkey/internal/reason"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/internal/seal"
	"example.com/latchkey/internal/strictjson"
	"example.com/latchkey/oauth"
	"example.com/latchkey/store"
)

// The bounds of a callback.
const (
	maxParameters = 4_096 // bytes of all values but the code and the user
	maxParameter  = 2_048 // bytes of one
	maxPosted     = 8_192 // bytes of a form post as it is kept
)

// OAuth2Callback is a call of the host's callback.
//
// Printed or logged, it shows nothing that proves something. Packages encoding/json and
// encoding/gob refuse it.
type OAuth2Callback struct {
	// Provider is the one whose callback was called: each has a callback of its own.
	Provider string
	// Parameters are those of the query, or of the body of a form post. The engine reads state,
	// code, error, iss, user and accounts-server, refuses each that comes twice, and ignores others.
	Parameters url.Values
	// Binding is the value that the host has kept at the browser, "" if it has none.
	Binding string
	// Session is the secret of the browser's session, "" if it has none. Only the linking of an
	// identity asks for it.
	Session string
}

// Format prints the provider, for every verb.
func (c OAuth2Callback) Format(f fmt.State, _ rune) {
	_, _ = fmt.Fprintf(f, "latchkey.OAuth2Callback(%.32q)", c.Provider)
}

// LogValue logs the provider.
func (c OAuth2Callback) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(c)) }

// MarshalJSON fails with [hidden.ErrNotEncoded].
func (c OAuth2Callback) MarshalJSON() ([]byte, error) { return nil, hidden.ErrNotEncoded }

// MarshalText fails with [hidden.ErrNotEncoded].
func (c OAuth2Callback) MarshalText() ([]byte, error) { return nil, hidden.ErrNotEncoded }

// GobEncode fails with [hidden.ErrNotEncoded].
func (c OAuth2Callback) GobEncode() ([]byte, error) { return nil, hidden.ErrNotEncoded }

// OAuth2Error is the error of a sign-in by a provider whose start was found. errors.Is and
// errors.As see the reason.
type OAuth2Error struct {
	Failure string `json:"failure"` // the page of the start, "" without one
	reason  error
}

func (e *OAuth2Error) Error() string { return e.reason.Error() }

// Unwrap returns the reason.
func (e *OAuth2Error) Unwrap() error { return e.reason }

// FinishOAuth2 finishes a sign-in that [Guest.StartOAuth2] or [Account.StartOAuth2] has begun. It
// redeems the code of the callback at the provider and signs the user in whose identity the person
// there is. A start is used up by the first callback, whatever comes of it.
//
// A person without an identity is let into the account that has their address, if the provider has
// proven it and its word counts (package oauth): the identity is made, and the user gets a notice.
// If the user has MFA on, that proves the mailbox and no more, as a code to it does, and the identity
// counts as soon as the session has shown the factor that it owes.
// An account that has the address and never proved it is claimed as by a link
// ([Guest.CreateSession]): its parts are removed, or another person's account loses the address. If
// no account has the address, one is made, with the address if it is proven, and with the name of
// the profile. An address that the provider has not proven opens no account, and is not reserved.
//
// A second factor is owed as after any sign-in: see Policy.TrustProviderMFA.
//
// Errors, the last ones as an [*OAuth2Error]:
//   - [*ThrottledError]: after 50 calls from a client address in an hour.
//   - [ErrInvalidToken]: no start has the state, or it has expired.
//   - [ErrArgumentInvalid]: a parameter comes twice or is too long.
//   - [ErrInvalidToken]: the callback is that of another provider, the value at the browser is
//     another one, or the parameter iss names another service.
//   - [ErrUnauthorized]: an identity is linked in another session than the one that has begun, or
//     that session has ended.
//   - [ErrChallengeRequired]: the session is not fresh any more.
//   - [ErrProviderRefused]: the provider says that it did not sign the user in, for example because
//     they have declined.
//   - [ErrProviderFailed]: the provider could not be asked, or its answer is not valid.
//   - [ErrProviderSubject]: the provider names no user.
//   - [ErrUserUnauthorized]: there is no identity yet, and the provider tells no address of which
//     an account could be made. The user signs up in another way and links the identity.
//   - [ErrUserAlreadyExists]: another user has the address, and it is not proven enough to let the
//     person in. They sign in in another way and link the identity. Linking: another user has
//     proven the address.
//   - [ErrIdentityAlreadyExists]: linking: the identity is another user's.
//   - [ErrArgumentInvalid]: the user has 100 identities.
//   - [ErrEmailDisposable], [ErrEmailNotCanonical], [ErrEmailFree], [ErrEmailNotCorporate]:
//     Policy.Addresses refuses the address of a new user.
//   - [ErrUserBlocked]
//   - [ErrUserCountExceeded]
//   - [ErrSignUpClosed]: the person has no account, and no one may sign up; also in the place of
//     ErrUserAlreadyExists then.
func (g *Guest) FinishOAuth2(ctx context.Context, cb OAuth2Callback) (_ *OAuth2Result, err error) {
	defer g.home().operation(&ctx, "finish OAuth2 session").end(&err)
	c, err := g.begin()
	if err != nil {
		return nil, err
	}
	if err := c.limitClient(ctx, limitFinishOAuth2); err != nil {
		return nil, err
	}
	start, err := c.claimStart(ctx, cb.Parameters)
	if err != nil {
		return nil, err
	}
	result, err := c.finish(ctx, g, start, cb)
	if err != nil {
		return nil, &OAuth2Error{start.Failure, err}
	}
	result.Success = start.Success
	return result, nil
}

// PostOAuth2 keeps the parameters of a callback that came as a form post, for a provider that sends
// one (Apple does). A browser sends no cookie with SameSite=Lax on it, so the host cannot tell its
// session and its value. It calls PostOAuth2, answers with 303 and its callback with the parameter
// state alone, and calls [Guest.FinishOAuth2] there: code and name of the person are in no address.
// A start keeps one form post.
//
// Errors:
//   - [ErrArgumentInvalid]: as of FinishOAuth2. The start is used up.
//   - [ErrInvalidToken]: no start of the provider has the state, it has expired, or it has a form
//     post already. Then it is used up.
func (g *Guest) PostOAuth2(ctx context.Context, provider string, parameters url.Values) (err error) {
	defer g.home().operation(&ctx, "post OAuth2 callback").end(&err)
	c, err := g.begin()
	if err != nil {
		return err
	}
	digest, known := stateDigest(parameters)
	if !known {
		return ErrInvalidToken
	}
	_, malformed := readAnswer(parameters)
	kept, err := json.Marshal(map[string][]string{
		"code": parameters["code"], "iss": parameters["iss"], "error": parameters["error"], "user": parameters["user"],
		"accounts-server": parameters["accounts-server"],
	})
	if err != nil {
		return err
	}
	if malformed == nil && len(kept) > maxPosted {
		malformed = invalid("parameters", reason.New(reason.TooLong, "more than %d bytes", maxPosted))
	}
	return c.update(ctx, func(ctx context.Context, tx *txn) error {
		start, err := record.Starts.Find(ctx, tx, record.Starts.Index("digest"), store.Bytes(digest[:]))
		if err != nil {
			return err
		}
		if start == nil {
			return ErrInvalidToken
		}
		refused := malformed
		if refused == nil && (start.Provider != provider || start.Posted != nil || !tx.live(start.Created, start.Expire)) {
			refused = ErrInvalidToken
		}
		if refused != nil {
			if err := record.Starts.Delete(ctx, tx, store.Text(start.ID)); err != nil {
				return err
			}
			return &refusal{refused}
		}
		start.Posted = tx.ring.Seal(seal.Start, seal.PostedPlace(start.ID), kept)
		return record.Starts.Replace(ctx, tx, start)
	})
}

// stateDigest returns the digest of the state of a callback, and whether there is one.
func stateDigest(parameters url.Values) (digest [sha256.Size]byte, known bool) {
	states := parameters["state"]
	if len(states) != 1 {
		return digest, false
	}
	return secretDigest(states[0], stateLabel)
}

// posted returns the parameters of a callback, or of the form post that came before it.
func (c *call) posted(start *record.Start, parameters url.Values) (url.Values, error) {
	if start.Posted == nil {
		return parameters, nil
	}
	for _, name := range []string{"code", "error", "iss", "user", "accounts-server"} {
		if len(parameters[name]) > 0 {
			return nil, ErrInvalidToken
		}
	}
	text, err := c.ring.Open(seal.Start, seal.PostedPlace(start.ID), start.Posted)
	if err != nil {
		return nil, err
	}
	var kept url.Values
	return kept, json.Unmarshal(text, &kept)
}

// claimStart deletes the start of a state, in a commit of its own, and returns it. The error for a
// state that no start has commits.
func (c *call) claimStart(ctx context.Context, parameters url.Values) (*record.Start, error) {
	digest, known := stateDigest(parameters)
	return update(ctx, c, func(ctx context.Context, tx *txn) (*record.Start, error) {
		var start *record.Start
		if known {
			var err error
			if start, err = record.Starts.Find(ctx, tx, record.Starts.Index("digest"), store.Bytes(digest[:])); err != nil {
				return nil, err
			}
		}
		if start != nil {
			if err := record.Starts.Delete(ctx, tx, store.Text(start.ID)); err != nil {
				return nil, err
			}
		}
		if start == nil || !tx.live(start.Created, start.Expire) {
			return nil, tx.refuse(ctx, refused{logSessionRefuse, nil, errSignInNotFound})
		}
		return start, nil
	})
}

// finish is what follows a start that was found.
func (c *call) finish(ctx context.Context, g *Guest, start *record.Start, cb OAuth2Callback) (*OAuth2Result, error) {
	p, err := c.provider(start.Provider)
	if err != nil {
		return nil, err
	}
	parameters, err := c.posted(start, cb.Parameters)
	if err != nil {
		return nil, err
	}
	answer, err := readAnswer(parameters)
	if err != nil {
		return nil, err
	}
	info := p.Info()
	switch {
	case cb.Provider != start.Provider, info.Issuer != start.Issuer, answer.issuer != "" && answer.issuer != start.Issuer && !info.Issuers && !info.ChecksIssuer:
		return nil, ErrInvalidToken
	case start.Binding != nil && !isBinding(start.Binding, cb.Binding):
		return nil, ErrInvalidToken
	}
	var account *Account
	if start.Session != "" {
		if c, account, err = g.linker(ctx, start, cb.Session); err != nil {
			return nil, err
		}
	}
	switch {
	case answer.failed != "":
		refused := *ErrProviderRefused
		if slices.Contains(registeredErrors, answer.failed) {
			refused.Message += ": " + answer.failed
		}
		return nil, &refused
	case answer.code == "":
		return nil, ErrProviderRefused
	}
	flow, length, err := c.flowOf(start)
	if err != nil {
		return nil, err
	}
	person, err := c.askProvider(ctx, p, flow, answer)
	if err != nil {
		return nil, err
	}
	person.length = length
	return c.settlePerson(ctx, start, person, account, cb.Binding)
}

// isBinding reports whether a text is the value that was kept at the browser.
func isBinding(digest []byte, text string) bool {
	sum, ok := secretDigest(text, bindingLabel)
	return ok && subtle.ConstantTimeCompare(sum[:], digest) == 1
}

// linker returns the account of the session that links an identity, with an operation of it.
func (g *Guest) linker(ctx context.Context, start *record.Start, secret string) (*call, *Account, error) {
	digest, ok := secretDigest(secret, sessionLabel)
	if !ok {
		return nil, nil, ErrUnauthorized
	}
	c := g.call()
	account := g.account(digest)
	if err := account.readCheck(ctx, &c, c.store, &account.session); err != nil {
		return nil, nil, account.lesserError(err)
	}
	if account.session.ID != start.Session {
		return nil, nil, ErrUnauthorized
	}
	own, err := account.begin()
	if err != nil {
		return nil, nil, err
	}
	_, err = account.mayLink(ctx, own, own.store)
	return own, account, err
}

// registeredErrors are the errors of RFC 6749, 4.1.2.1, and OpenID Connect Core, 3.1.2.6. Nothing
// else of a provider's refusal is shown.
var registeredErrors = []string{
	"invalid_request", "unauthorized_client", "access_denied", "unsupported_response_type", "invalid_scope", "server_error",
	"temporarily_unavailable", "interaction_required", "login_required", "account_selection_required", "consent_required",
	"invalid_request_uri", "invalid_request_object", "request_not_supported", "request_uri_not_supported", "registration_not_supported",
}

// callbackAnswer is what the engine reads of a callback, beside its state.
type callbackAnswer struct{ code, issuer, failed, name, server string }

// readAnswer reads the parameters of a callback.
func readAnswer(parameters url.Values) (a callbackAnswer, err error) {
	total := 0
	for _, p := range []struct {
		name string
		to   *string
		most int
	}{{"code", &a.code, maxParameter}, {"iss", &a.issuer, maxParameter}, {"error", &a.failed, maxParameter}, {"accounts-server", &a.server, maxParameter}, {"user", &a.name, maxPerson}} {
		values := parameters[p.name]
		switch {
		case len(values) > 1:
			return a, invalid(p.name, reason.New(reason.Repeated, "it comes twice"))
		case len(values) == 1 && len(values[0]) > p.most:
			return a, invalid(p.name, reason.New(reason.TooLong, "more than %d bytes", p.most))
		case len(values) == 1:
			*p.to = values[0]
		}
	}
	for name, values := range parameters {
		if name == "code" || name == "user" {
			continue
		}
		for _, v := range values {
			total += len(name) + len(v)
		}
	}
	if total > maxParameters {
		return a, invalid("parameters", reason.New(reason.TooLong, "more than %d bytes", maxParameters))
	}
	if a.name != "" {
		a.name, err = nameOfPerson(a.name)
	}
	return a, err
}

// nameOfPerson returns the name in the form member user, of Apple. Nobody has signed it.
func nameOfPerson(text string) (string, error) {
	var person struct {
		Name json.RawMessage `json:"name"`
	}
	var name struct {
		First string `json:"firstName"`
		Last  string `json:"lastName"`
	}
	if err := strictjson.Unmarshal([]byte(text), &person); err != nil {
		return "", invalid("user", reason.New(reason.Malformed, "not a JSON object with each name once"))
	}
	if len(person.Name) == 0 {
		return "", nil
	}
	if err := strictjson.Unmarshal(person.Name, &name); err != nil {
		return "", invalid("user", reason.New(reason.Malformed, "its name is not a JSON object with each name once"))
	}
	if name.First == "" || name.Last == "" {
		return "", nil
	}
	return name.First + " " + name.Last, nil
}

// flowOf returns the flow of a start, and the length of the session that it asked for, 0 for that of
// the policy.
func (c *call) flowOf(start *record.Start) (*oauth.Flow, time.Duration, error) {
	kept, err := c.ring.Open(seal.Start, seal.StartPlace(start.ID), start.Sealed)
	if err != nil {
		return nil, 0, err
	}
	var f flight
	if err := json.Unmarshal(kept, &f); err != nil {
		return nil, 0, err
	}
	flow := &oauth.Flow{RedirectURL: start.Redirect, Nonce: hide(f.Nonce), Verifier: hide(f.Verifier), Now: c.now}
	return flow, time.Duration(f.Length) * time.Second, nil
}

// askProvider redeems the code of a callback and returns the person.
func (c *call) askProvider(ctx context.Context, p oauth.Provider, flow *oauth.Flow, answer callbackAnswer) (*person, error) {
	flow.Callback = oauth.Callback{Code: hide(answer.code), Issuer: answer.issuer, Server: answer.server}
	found, err := callProvider(ctx, c, p, func(ctx context.Context) (*person, error) {
		tokens, err := p.Exchange(ctx, flow)
		if err != nil {
			return nil, err
		}
		profile, err := p.Profile(ctx, flow, tokens)
		if err != nil {
			return nil, err
		}
		return &person{Profile: *profile, tokens: tokens}, nil
	})
	if err != nil {
		return nil, err
	}
	return c.personOf(ctx, p, found.Profile, found.tokens, answer.name)
}

// RedeemOAuth2Token is [Guest.CreateSession] for the token of [OAuth2Result] whose start had a
// value at the browser: without that value the token is worth nothing.
//
// Errors: those of Guest.CreateSession.
func (g *Guest) RedeemOAuth2Token(ctx context.Context, userID, secret, binding string) (*Session, error) {
	return g.CreateSession(ctx, userID, boundSecret(secret, binding))
}
