package latchkey

import (
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"strings"

	"example.com/latchkey/hidden"
	"example.com/latchkey/internal/canon"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/internal/seal"
	"example.com/latchkey/internal/strictjson"
	"example.com/latchkey/notify"
	"example.com/latchkey/oauth"
	"example.com/latchkey/store"
)

// The bounds of a callback.
const (
	maxParameters = 4_096 // bytes of all values but the code and the user
	maxParameter  = 2_048 // bytes of one
	maxPerson     = 4_096 // bytes of the user
)

// OAuth2Callback is a call of the host's callback.
//
// Printed or logged, it shows nothing that proves something. Packages encoding/json and
// encoding/gob refuse it.
type OAuth2Callback struct {
	// Provider is the one whose callback was called: each has a callback of its own.
	Provider string
	// Parameters are those of the query, or of the body of a form post. The engine reads state,
	// code, error, iss and user, refuses each that comes twice, and ignores others.
	Parameters url.Values
	// Binding is the value that the host has kept at the browser, "" if it has none.
	Binding Secret
	// Session is the secret of the browser's session, "" if it has none. Only the linking of an
	// identity asks for it.
	Session Secret
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

// OAuth2Result is a sign-in by a provider that has succeeded.
type OAuth2Result struct {
	Success string // the page of the start, "" without one
	// Session is the new session; nil for a token, and for an identity that was linked. The
	// session of an anonymous account that has become a full one has a new secret.
	Session *Session
	// Token is what [Guest.CreateSession] redeems, if the start asked for one: once, for a minute.
	// That of a start with a value at the browser is redeemed by [Guest.RedeemOAuth2Token].
	Token    *Token
	Identity *Identity
	Linked   bool // the identity was linked to the account of the session
}

// OAuth2Error is the error of a sign-in by a provider whose start was found. errors.Is and
// errors.As see the reason.
type OAuth2Error struct {
	Failure string // the page of the start, "" without one
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
// If the user has a second factor, the session owes it, and the identity counts once it is proven.
// An account that has the address and never proved it is claimed as by a link
// ([Guest.CreateSession]): its parts are removed, or another person's account loses the address. If
// no account has the address, one is made, with the address if it is proven, and with the name of
// the profile. An address that the provider has not proven lets nobody in and reserves nothing.
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
//   - [ErrEmailDisposable], [ErrEmailNotCanonical], [ErrEmailFree], [ErrEmailNotCorporate]:
//     Policy.Addresses refuses the address of a new user.
//   - [ErrUserBlocked]
//   - [ErrUserCountExceeded]
func (g *Guest) FinishOAuth2(ctx context.Context, cb OAuth2Callback) (_ *OAuth2Result, err error) {
	defer publicError("finish OAuth2 session", &err)
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
	defer publicError("post OAuth2 callback", &err)
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
	})
	if err != nil {
		return err
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
	for _, name := range []string{"code", "error", "iss", "user"} {
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
			return nil, tx.refuse(ctx, refused{logSessionRefuse, nil, ErrInvalidToken})
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
	case cb.Provider != start.Provider, info.Issuer != start.Issuer, answer.issuer != "" && answer.issuer != start.Issuer && !info.Issuers:
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
	flow, err := c.flowOf(start)
	if err != nil {
		return nil, err
	}
	person, err := c.askProvider(ctx, p, flow, answer)
	if err != nil {
		return nil, err
	}
	return c.settlePerson(ctx, start, person, account, cb.Binding)
}

// isBinding reports whether a text is the value that was kept at the browser.
func isBinding(digest []byte, text Secret) bool {
	sum, ok := secretDigest(text.Reveal(), bindingLabel)
	return ok && subtle.ConstantTimeCompare(sum[:], digest) == 1
}

// linker returns the account of the session that links an identity, with an operation of it.
func (g *Guest) linker(ctx context.Context, start *record.Start, secret Secret) (*call, *Account, error) {
	digest, ok := secretDigest(secret.Reveal(), sessionLabel)
	if !ok {
		return nil, nil, ErrUnauthorized
	}
	c := g.call()
	account := g.account(digest)
	if err := account.readCheck(ctx, &c, c.store, &account.session); err != nil {
		return nil, nil, account.pendingError(err)
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
type callbackAnswer struct{ code, issuer, failed, name string }

// readAnswer reads the parameters of a callback.
func readAnswer(parameters url.Values) (a callbackAnswer, err error) {
	total := 0
	for _, p := range []struct {
		name string
		to   *string
		most int
	}{{"code", &a.code, maxParameter}, {"iss", &a.issuer, maxParameter}, {"error", &a.failed, maxParameter}, {"user", &a.name, maxPerson}} {
		values := parameters[p.name]
		switch {
		case len(values) > 1:
			return a, invalid(p.name, errors.New("it comes twice"))
		case len(values) == 1 && len(values[0]) > p.most:
			return a, invalid(p.name, fmt.Errorf("more than %d bytes", p.most))
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
		return a, invalid("parameters", fmt.Errorf("more than %d bytes", maxParameters))
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
		return "", invalid("user", errors.New("not a JSON object with each name once"))
	}
	if len(person.Name) == 0 {
		return "", nil
	}
	if err := strictjson.Unmarshal(person.Name, &name); err != nil {
		return "", invalid("user", errors.New("its name is not a JSON object with each name once"))
	}
	if name.First == "" || name.Last == "" {
		return "", nil
	}
	return name.First + " " + name.Last, nil
}

// flowOf returns the flow of a start.
func (c *call) flowOf(start *record.Start) (*oauth.Flow, error) {
	kept, err := c.ring.Open(seal.Start, seal.StartPlace(start.ID), start.Sealed)
	if err != nil {
		return nil, err
	}
	var f flight
	if err := json.Unmarshal(kept, &f); err != nil {
		return nil, err
	}
	return &oauth.Flow{RedirectURL: start.Redirect, Nonce: hide(f.Nonce), Verifier: hide(f.Verifier), Now: c.now}, nil
}

// person is someone whom a provider has signed in.
type person struct {
	oauth.Profile // with the address in canonical form, "" without a usable one
	tokens        *oauth.Tokens
	refused       error // of Policy.Addresses, for a new user
}

// askProvider redeems the code of a callback and returns the person.
func (c *call) askProvider(ctx context.Context, p oauth.Provider, flow *oauth.Flow, answer callbackAnswer) (*person, error) {
	flow.Callback = oauth.Callback{Code: hide(answer.code), Issuer: answer.issuer}
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
	info := p.Info()
	if !isProviderText(found.Subject) {
		return nil, ErrProviderSubject
	}
	if !isProviderText(found.Issuer) || found.Issuer != info.Issuer && !info.Issuers {
		return nil, ErrProviderFailed
	}
	email, err := canon.Email(found.Email)
	if err != nil {
		found.EmailVerified = false
	}
	found.Email, found.Name = email, cleanName(cmp.Or(found.Name, answer.name))
	if found.Email != "" {
		found.refused = c.admitEmail(ctx, found.Email)
	}
	return found, nil
}

// cleanName makes a name of what a provider calls one: without control characters, and cut to the
// length of a name.
func cleanName(text string) string {
	if len(text) > maxPerson {
		text = text[:maxPerson]
	}
	kept := []rune(strings.TrimSpace(strings.Map(func(r rune) rune {
		if canon.Name(string(r)) != nil {
			return -1
		}
		return r
	}, strings.ToValidUTF8(text, ""))))
	return string(kept[:min(len(kept), canon.MaxName)])
}

// settlePerson signs a person in, or links their identity to an account.
func (c *call) settlePerson(ctx context.Context, start *record.Start, who *person, account *Account, binding Secret) (*OAuth2Result, error) {
	info := c.providers[start.Provider].Info()
	i := &record.Identity{
		ID: newID(), Created: c.now, Updated: c.now, Provider: info.Name, Issuer: who.Issuer, Subject: who.Subject, Email: who.Email, Name: who.Name,
	}
	in := c.newSignIn(ctx, "", "", "")
	fresh := newUser(newID(), c.now)
	secret := newSecret()
	handed := c.newToken(kindOAuth2, "", "", secret.Reveal())
	if start.Binding != nil {
		handed.secret = boundSecret(secret.Reveal(), binding)
	}
	return update(ctx, c, func(ctx context.Context, tx *txn) (*OAuth2Result, error) {
		drawn, n, user := *i, *handed, *fresh
		e := &entering{tx: tx, who: who, drawn: &drawn, fresh: &user}
		if account != nil {
			return e.link(ctx, account, start, in, &n, secret)
		}
		owner, own, err := e.find(ctx)
		if err != nil {
			return nil, err
		}
		result := &OAuth2Result{Identity: showIdentity(own)}
		if start.Token {
			result.Token, err = tx.handOverSignIn(ctx, owner, own, &n, secret)
		} else {
			result.Session, err = tx.enterByIdentity(ctx, owner, own, *in)
		}
		if err != nil {
			return nil, err
		}
		return result, nil
	})
}

// boundSecret returns what proves a token that is bound to the value at the browser.
func boundSecret(secret string, binding Secret) string {
	return hex.EncodeToString(seal.PlainDigest("bound/v1", secret, binding.Reveal()))
}

// RedeemOAuth2Token is [Guest.CreateSession] for the token of [OAuth2Result] whose start had a
// value at the browser: without that value the token is worth nothing.
//
// Errors: those of Guest.CreateSession.
func (g *Guest) RedeemOAuth2Token(ctx context.Context, userID, secret string, binding Secret) (*Session, error) {
	return g.CreateSession(ctx, userID, boundSecret(secret, binding))
}

// handOverSignIn makes a token of which the page or the app that has begun makes a session.
func (tx *txn) handOverSignIn(ctx context.Context, user *record.User, i *record.Identity, n *newToken, secret Secret) (*Token, error) {
	if user.Blocked {
		return nil, tx.refuse(ctx, refused{logSessionRefuse, user, ErrUserBlocked})
	}
	if i.Pending != "" {
		i.Pending = n.ID
		if err := record.Identities.Replace(ctx, tx, i); err != nil {
			return nil, err
		}
	}
	n.UserID, n.Alias, n.Slot = user.ID, user.ID, i.ID
	if err := tx.insertToken(ctx, n); err != nil {
		return nil, err
	}
	shown := n.show()
	tx.event(user.ID, "tokens."+n.ID+".create", n.show())
	shown.Secret = secret
	return shown, tx.log(ctx, logTokenCreate, user)
}

// entering is a person who comes in, in a transaction.
type entering struct {
	tx    *txn
	who   *person
	drawn *record.Identity // the identity, if there is none yet
	fresh *record.User     // the user, if there is none yet
}

// known returns the identity of the person, nil if there is none. One that never counted, because
// its session did not prove the second factor, is deleted.
func (e *entering) known(ctx context.Context) (*record.Identity, error) {
	tx := e.tx
	i, err := record.Identities.Find(ctx, tx, record.Identities.Index("subject"), store.Text(e.drawn.Provider), store.Text(e.drawn.Issuer), store.Text(e.drawn.Subject))
	if i == nil || err != nil || i.Pending == "" {
		return i, err
	}
	user, err := getUser(ctx, tx, i.UserID)
	if err != nil {
		return nil, err
	}
	return nil, tx.dropIdentity(ctx, user, i)
}

// find returns the user whom the person may sign in as, and their identity.
func (e *entering) find(ctx context.Context) (*record.User, *record.Identity, error) {
	tx := e.tx
	i, err := e.known(ctx)
	if err != nil {
		return nil, nil, err
	}
	if i != nil {
		user, err := getUser(ctx, tx, i.UserID)
		if err != nil || user.Blocked {
			return user, i, err
		}
		if err := e.refresh(ctx, user, i); err != nil {
			return nil, nil, err
		}
		return user, i, e.fill(ctx, user)
	}
	user, err := e.match(ctx)
	if err != nil {
		return nil, nil, err
	}
	if user == nil {
		if user, err = e.signUp(ctx); err != nil {
			return nil, nil, err
		}
		return user, e.drawn, e.insert(ctx, user)
	}
	if user.Blocked {
		return nil, nil, tx.refuse(ctx, refused{logSessionRefuse, user, ErrUserBlocked})
	}
	e.drawn.Pending = e.drawn.ID // until the session has proven what it owes
	tx.noticeTo(notify.IdentityChanged, user)
	return user, e.drawn, e.insert(ctx, user)
}

// errLinkFirst refuses a person whose address an account has already.
var errLinkFirst = &Error{ErrUserAlreadyExists.Type, ErrUserAlreadyExists.Category, "An account has the address; sign in to it and link the provider there"}

// match returns the user whose address the provider has proven to be the person's, nil if nobody
// has it.
func (e *entering) match(ctx context.Context) (*record.User, error) {
	if e.who.Email == "" {
		missing := *ErrUserUnauthorized
		missing.Message = "The provider tells no e-mail address; sign up in another way and link the provider there"
		return nil, &missing
	}
	holder, err := addressHolder(ctx, e.tx, e.who.Email)
	switch {
	case err != nil:
		return nil, err
	case holder == "":
		return nil, nil
	case !e.who.EmailVerified:
		return nil, errLinkFirst
	}
	user, err := e.tx.userAt(ctx, e.tx, byEmail, e.who.Email)
	if err != nil {
		return nil, err
	}
	if user == nil { // an identity of a user has it
		return nil, errLinkFirst
	}
	return e.tx.proveAddress(ctx, user, byEmail, nil)
}

// signUp makes the user of a person.
func (e *entering) signUp(ctx context.Context) (*record.User, error) {
	tx := e.tx
	if e.who.refused != nil {
		return nil, e.who.refused
	}
	if err := tx.checkUserLimit(ctx); err != nil {
		return nil, err
	}
	e.fresh.Name = e.who.Name
	if e.who.EmailVerified {
		byEmail.set(e.fresh, e.who.Email)
		byEmail.setVerified(e.fresh, true)
	}
	_, err := tx.insertUser(ctx, e.fresh)
	if errors.Is(err, ErrUserAlreadyExists) {
		err = errLinkFirst
	}
	return e.fresh, err
}

// insert makes the identity of a user.
func (e *entering) insert(ctx context.Context, user *record.User) error {
	e.drawn.UserID = user.ID
	if err := e.keep(ctx, user, e.drawn); err != nil {
		return err
	}
	return e.tx.insertIdentity(ctx, user, e.drawn)
}

// keep writes what the provider has told into an identity that is about to be stored: the address,
// which is reserved if it is proven and free, and the tokens if the policy keeps them.
func (e *entering) keep(ctx context.Context, user *record.User, i *record.Identity) error {
	tx := e.tx
	i.Email, i.Name, i.Reserved = e.who.Email, e.who.Name, ""
	if e.who.EmailVerified {
		reserved, err := tx.reserveAddress(ctx, user, e.who.Email)
		if err != nil {
			return err
		}
		if reserved {
			i.Reserved = e.who.Email
		}
	}
	tx.sealTokens(i, e.who.tokens)
	return nil
}

// refresh writes what the provider has told into an identity that is stored.
func (e *entering) refresh(ctx context.Context, user *record.User, i *record.Identity) error {
	was := i.Reserved
	if err := e.keep(ctx, user, i); err != nil {
		return err
	}
	i.Updated = e.tx.now
	if err := record.Identities.Replace(ctx, e.tx, i); err != nil {
		return err
	}
	if was == i.Reserved {
		return nil
	}
	return e.tx.releaseAddress(ctx, was)
}

// fill gives a user without an address or a name those of the profile. It overwrites nothing.
func (e *entering) fill(ctx context.Context, user *record.User) error {
	tx := e.tx
	address := ""
	if user.Email == "" && e.who.EmailVerified && e.who.refused == nil {
		holder, err := addressHolder(ctx, tx, e.who.Email)
		if err != nil {
			return err
		}
		target, err := findTarget(ctx, tx, TargetEmail, e.who.Email)
		if err != nil {
			return err
		}
		if (holder == "" || holder == user.ID) && (target == nil || target.UserID == user.ID) {
			address = e.who.Email
		}
	}
	_, err := tx.changeUser(ctx, user, func(u *record.User) error {
		if u.Name == "" {
			u.Name = e.who.Name
		}
		if address != "" {
			byEmail.set(u, address)
			byEmail.setVerified(u, true)
		}
		return nil
	})
	return err
}

// link makes the identity one of the account whose session has begun.
func (e *entering) link(ctx context.Context, a *Account, start *record.Start, in *signIn, n *newToken, secret Secret) (*OAuth2Result, error) {
	tx := e.tx
	user, err := a.mayLink(ctx, tx.call, tx)
	if err != nil {
		return nil, err
	}
	i, err := e.known(ctx)
	if err != nil {
		return nil, err
	}
	if i != nil && i.UserID != user.ID {
		return nil, ErrIdentityAlreadyExists
	}
	if err := e.takeAddress(ctx, user); err != nil {
		return nil, err
	}
	converted := anonymous(user)
	if i != nil {
		err = e.refresh(ctx, user, i)
	} else {
		tx.noticeTo(notify.IdentityChanged, user)
		i, err = e.drawn, e.insert(ctx, user)
	}
	if err != nil {
		return nil, err
	}
	if err := a.keepFull(ctx, tx, factorOAuth2); err != nil {
		return nil, err
	}
	if err := e.fill(ctx, user); err != nil {
		return nil, err
	}
	if user.Email == e.who.Email && e.who.EmailVerified {
		_, err := tx.changeUser(ctx, user, func(u *record.User) error {
			provedBy(u, byEmail)
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	result := &OAuth2Result{Identity: showIdentity(i), Linked: true}
	if converted {
		if result.Session, err = e.convert(ctx, a, user, i, in); err != nil {
			return nil, err
		}
	}
	if start.Token {
		result.Token, err = tx.handOverSignIn(ctx, user, i, n, secret)
	}
	if err != nil {
		return nil, err
	}
	return result, nil
}

// takeAddress takes an address that the provider has proven from a user who has not, and refuses
// one that another user has proven.
func (e *entering) takeAddress(ctx context.Context, user *record.User) error {
	if !e.who.EmailVerified {
		return nil
	}
	holder, err := addressHolder(ctx, e.tx, e.who.Email)
	if err != nil || holder == "" || holder == user.ID {
		return err
	}
	other, err := e.tx.userAt(ctx, e.tx, byEmail, e.who.Email)
	if err != nil {
		return err
	}
	if other == nil || hasProven(other, byEmail) || unclaimed(other) {
		return errLinkTaken
	}
	_, err = e.tx.changeUser(ctx, other, func(u *record.User) error {
		byEmail.set(u, "")
		return nil
	})
	return err
}

// errLinkTaken refuses to link an identity whose address another user has.
var errLinkTaken = &Error{ErrUserAlreadyExists.Type, ErrUserAlreadyExists.Category, "Another account has the address of the provider"}

// convert gives the session of an anonymous account that has become a full one a new secret, and
// the proof of the provider.
func (e *entering) convert(ctx context.Context, a *Account, user *record.User, i *record.Identity, in *signIn) (*Session, error) {
	tx := e.tx
	row, err := a.ownSession(ctx, tx.call, tx, CurrentSession)
	if err != nil {
		return nil, err
	}
	row.Provider, row.ProviderUID, row.Identity, row.Factors = i.Provider, i.Subject, i.ID, factorOAuth2
	if tx.policy.TrustProviderMFA {
		row.Factors = trustedOAuth2
	}
	row.Digest, row.Updated, row.Touched = in.digest, tx.now, tx.now
	tx.noteOwing(row)
	if err := record.Sessions.Replace(ctx, tx, row); err != nil {
		return nil, err
	}
	if err := tx.logSession(ctx, logSessionUpdate, user, row); err != nil {
		return nil, err
	}
	shown, err := a.showOwn(tx.call, row)
	if err == nil {
		shown.Secret = in.secret
	}
	return shown, err
}
