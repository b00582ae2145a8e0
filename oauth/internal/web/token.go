package web

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"

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

// Redeem calls a token endpoint by the library. It reads the answer before the library does, and
// replaces errors that may hold secrets.
func Redeem(ctx context.Context, client *http.Client, form Form, call func(ctx context.Context) (*oauth2.Token, error)) (*oauth.Tokens, error) {
	var answer tokenAnswer
	watched := Watched(client, AnswerSize, func(a *Answer) error {
		if a.Status != http.StatusOK {
			return nil // the library reads its error
		}
		return answer.read(a, form)
	})
	t, err := call(context.WithValue(ctx, oauth2.HTTPClient, watched))
	if err != nil {
		return nil, FailureOf(err)
	}
	if t.AccessToken == "" {
		return nil, ErrToken
	}
	return &oauth.Tokens{
		Access: hidden.New(t.AccessToken), Refresh: hidden.New(t.RefreshToken), Expire: t.Expiry, ID: hidden.New(answer.ID), Scopes: answer.scopes,
	}, nil
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

	scopes []string
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
