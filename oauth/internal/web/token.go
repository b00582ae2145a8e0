package web

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"golang.org/x/oauth2"

	"example.com/latchkey/hidden"
	"example.com/latchkey/oauth"
)

// The failures of token endpoints.
const (
	ErrToken     oauth.Failure = "the token endpoint has given no tokens"
	ErrTokenType oauth.Failure = "the access token is not a bearer token"
	ErrExpiry    oauth.Failure = "the access token has an expiry that is none"
	ErrScope     oauth.Failure = "the scope of the answer is neither a text nor texts"
)

// Form is the form of the answer of a token endpoint.
type Form int

// The forms.
const (
	JSON    Form = iota + 1
	AnyForm      // or that of a web form, which some services without OpenID Connect use
)

// AuthorizationURL returns the address at which a sign-in begins. The parameters of the host come
// before those of the flow and more, which replace them.
func AuthorizationURL(c *oauth2.Config, f *oauth.Flow, parameters url.Values, separator string, more ...oauth2.AuthCodeOption) string {
	var options []oauth2.AuthCodeOption
	set := func(name, value string) { options = append(options, oauth2.SetAuthURLParam(name, value)) }
	for name, values := range parameters {
		for _, v := range values {
			set(name, v)
		}
	}
	set("state", f.State.Reveal())
	set("response_type", "code")
	set("client_id", c.ClientID)
	set("redirect_uri", f.RedirectURL)
	if scopes := slices.Concat(c.Scopes, f.Scopes); len(scopes) > 0 {
		set("scope", strings.Join(scopes, separator))
	}
	address := c.AuthCodeURL(f.State.Reveal(), append(options, more...)...)
	page, query, _ := strings.Cut(address, "?")
	return page + "?" + strings.ReplaceAll(query, "+", "%20") // some services take a plus as it is
}

// TokenEndpoint calls the token endpoint of a service, and the one that takes tokens back.
type TokenEndpoint struct {
	Client  *http.Client
	Form    Form
	Request func(*http.Request) error // changes a request; nil for no change
	Answer  func(*Answer) error       // changes an answer; nil for no change
	// AccessAlone says that Revoke sends the access token, without a hint.
	AccessAlone bool
}

// Redeem calls the endpoint by the library. It reads the answer before the library does, and
// replaces errors that may hold secrets. The expiry of the access token counts from now.
func (e *TokenEndpoint) Redeem(ctx context.Context, now time.Time, call func(ctx context.Context) (*oauth2.Token, error)) (*oauth.Tokens, error) {
	var answer tokenAnswer
	whole := ""
	watched := Watched(e.Client, AnswerSize, e.Request, func(a *Answer) error {
		switch {
		case a.Status == http.StatusOK:
			if e.Answer != nil {
				if err := e.Answer(a); err != nil {
					return err
				}
			}
			whole = string(a.Body)
			return answer.read(a, e.Form)
		case a.Status < 300:
			return ErrStatus // the library would take tokens from it
		}
		return nil // the library reads its error
	})
	t, err := call(context.WithValue(ctx, oauth2.HTTPClient, watched))
	if err != nil {
		return nil, FailureOf(err)
	}
	if t.AccessToken == "" {
		return nil, ErrToken
	}
	tokens := &oauth.Tokens{Access: hidden.New(t.AccessToken), Refresh: hidden.New(t.RefreshToken), ID: hidden.New(answer.ID), Scopes: answer.scopes, Answer: hidden.New(whole)}
	if answer.life > 0 {
		tokens.Expire = now.Add(answer.life)
	}
	return tokens, nil
}

// Revoke asks an endpoint to take the tokens of a grant back, by RFC 7009: the refresh token, with
// which a service ends the access token too, or the access token if there is no other.
func (e *TokenEndpoint) Revoke(ctx context.Context, address string, c *oauth2.Config, g *oauth.Grant) error {
	token, hint := g.Refresh, "refresh_token"
	if token.IsZero() || e.AccessAlone {
		token, hint = g.Access, "access_token"
	}
	if token.IsZero() {
		return nil
	}
	form := url.Values{"token": {token.Reveal()}}
	if !e.AccessAlone {
		form.Set("token_type_hint", hint)
	}
	if c.Endpoint.AuthStyle == oauth2.AuthStyleInParams {
		form.Set("client_id", c.ClientID)
		if c.ClientSecret != "" {
			form.Set("client_secret", c.ClientSecret)
		}
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, address, strings.NewReader(form.Encode()))
	if err != nil {
		return ErrAddress
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if c.Endpoint.AuthStyle == oauth2.AuthStyleInHeader {
		r.SetBasicAuth(url.QueryEscape(c.ClientID), url.QueryEscape(c.ClientSecret))
	}
	if e.Request != nil {
		if err := e.Request(r); err != nil {
			return err
		}
	}
	a, err := Do(ctx, e.Client, r, AnswerSize)
	switch {
	case err != nil:
		return err
	case a.Status != http.StatusOK && a.Status != http.StatusNoContent:
		return ErrStatus
	}
	return nil
}

// FailureOf returns what of an error of the library may be shown.
func FailureOf(err error) error {
	var failure oauth.Failure
	if errors.As(err, &failure) {
		return failure
	}
	var refused *oauth2.RetrieveError
	if !errors.As(err, &refused) {
		return ErrUnreachable
	}
	switch refused.ErrorCode {
	case "invalid_grant":
		return oauth.ErrRefused
	case "invalid_request", "invalid_client", "unauthorized_client", "unsupported_grant_type", "invalid_scope":
		return oauth.Failure("the token endpoint answers " + refused.ErrorCode)
	}
	return ErrToken
}

// tokenAnswer is the answer of a token endpoint. The library reads most of it again, and less
// strictly.
type tokenAnswer struct {
	Access  string          `json:"access_token"`
	Type    string          `json:"token_type"`
	Refresh string          `json:"refresh_token"`
	Expires json.RawMessage `json:"expires_in"`
	ID      string          `json:"id_token"`
	Scope   json.RawMessage `json:"scope"`
	Error   json.RawMessage `json:"error"`
	OK      json.RawMessage `json:"ok"` // some services say so in the place of an error

	scopes []string
	life   time.Duration // of the access token, 0 if it is not known
}

// isSuccess reports whether an answer in JSON has an access token, or an error code that the library
// reads.
func (a *tokenAnswer) isSuccess() bool {
	var code string
	if len(a.Error) > 0 && json.Unmarshal(a.Error, &code) != nil {
		return false
	}
	return string(a.OK) != "false" && (a.Access != "" || code != "")
}

// maxExpiry is the longest life of an access token in seconds.
const maxExpiry = 10 * 365 * 24 * 60 * 60

// read refuses an answer that has more than one reading, or says something else than it means.
func (a *tokenAnswer) read(from *Answer, form Form) error {
	*a = tokenAnswer{}
	switch {
	case IsJSON(from.Type):
		if err := Decode(from.Body, a); err != nil {
			return err
		}
		if !a.isSuccess() {
			return ErrToken
		}
	case form == AnyForm && (from.Type == "application/x-www-form-urlencoded" || from.Type == "text/plain"):
		values, err := url.ParseQuery(string(from.Body))
		if err != nil {
			return ErrType
		}
		for _, v := range values {
			if len(v) > 1 {
				return ErrType
			}
		}
		if values.Get("access_token") == "" && values.Get("error") == "" {
			return ErrToken
		}
		a.Type = values.Get("token_type")
		a.Expires = json.RawMessage(values.Get("expires_in"))
		if scope := values.Get("scope"); scope != "" {
			a.scopes = strings.Fields(scope)
		}
	default:
		return ErrType
	}
	if a.Type != "" && !strings.EqualFold(a.Type, "bearer") {
		return ErrTokenType
	}
	if text := string(a.Expires); text != "" && text != "null" {
		n, err := json.Number(strings.Trim(text, `"`)).Int64()
		if err != nil || n < 0 || n > maxExpiry {
			return ErrExpiry
		}
		a.life = time.Duration(n) * time.Second
	}
	if len(a.Scope) == 0 || string(a.Scope) == "null" {
		return nil
	}
	var one string
	if json.Unmarshal(a.Scope, &one) == nil {
		a.scopes = strings.Fields(one)
		return nil
	}
	if json.Unmarshal(a.Scope, &a.scopes) != nil {
		return ErrScope
	}
	return nil
}
