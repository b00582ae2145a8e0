package main

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"example.com/latchkey"
	"example.com/latchkey/oauth/preset"
)

var oauthRoutes = []route{
	on(get, anyone, http.StatusMovedPermanently, startOAuth2(false), "/account/sessions/oauth2/{provider}"),
	on(get, anyone, http.StatusMovedPermanently, startOAuth2(true), "/account/tokens/oauth2/{provider}"),
	on(get, returning, http.StatusMovedPermanently, callback, "/account/sessions/oauth2/callback/{provider}/{project}"),
	on(post, returning, http.StatusSeeOther, formPost, "/account/sessions/oauth2/callback/{provider}/{project}"),
	on(get, returning, http.StatusMovedPermanently, finishOAuth2, "/account/sessions/oauth2/{provider}/redirect"),

	on(get, account, ok, listIdentities(func(c *call, queries []latchkey.Query) (*latchkey.IdentityList, error) {
		return c.account.Identities(c.r.Context(), queries...)
	}), "/account/identities"),
	on(del, account, none, func(c *call) (any, error) {
		return nil, c.account.DeleteIdentity(c.r.Context(), c.r.PathValue("identityId"))
	}, "/account/identities/{identityId}"),
	on(get, reading, ok, listIdentities(func(c *call, queries []latchkey.Query) (*latchkey.IdentityList, error) {
		return c.users().Identities(c.r.Context(), queries...)
	}), "/users/identities"),
	// The paths /users/identities/{identityId} and /users/{userId}/sessions overlap.
	on(del, users, none, func(c *call) (any, error) {
		switch part := c.r.PathValue("part"); {
		case c.user() == "identities":
			return nil, c.users().DeleteIdentity(c.r.Context(), part)
		case part == "sessions":
			return nil, c.users().DeleteSessions(c.r.Context(), c.user())
		}
		return notFound.do(c)
	}, "/users/{userId}/{part}"),
}

// redirection is an answer that sends the browser elsewhere.
type redirection string

// provider returns the provider of the path.
func (c *call) provider() (string, error) {
	name := c.r.PathValue("provider")
	if !slices.Contains(preset.Names(), name) {
		return "", problem(http.StatusBadRequest, "project_provider_unsupported", "The chosen OAuth provider is unsupported")
	}
	return name, nil
}

// bindingCookie holds the value that ties a sign-in by a provider to the browser.
const bindingCookie = "a_oauth2"

// startOAuth2 begins a sign-in by a provider: with a session at the end, or with a token that the
// page of the app redeems. A signed-in user links the provider. A token may be for a server that
// passes the address on, so nothing ties it to a browser.
func startOAuth2(token bool) func(c *call) (any, error) {
	return func(c *call) (any, error) {
		name, err := c.provider()
		if err != nil {
			return nil, err
		}
		r := latchkey.OAuth2Request{
			Provider: name, Token: token, Unbound: token,
			RedirectURL: c.config.publicURL + "/v1/account/sessions/oauth2/callback/" + name + "/" + c.config.projectID,
		}
		for _, page := range []struct {
			name string
			to   *string
		}{{"success", &r.Success}, {"failure", &r.Failure}} {
			if *page.to, err = c.optional(page.name, c.config.publicURL+"/auth/oauth2/"+page.name); err != nil {
				return nil, err
			}
		}
		if c.params["scopes"] != nil {
			if r.Scopes, err = c.list("scopes"); err != nil {
				return nil, err
			}
		}
		c.w.Header().Set("Cache-Control", "no-store")
		var start *latchkey.OAuth2Start
		if c.signedIn && !token && !c.fromOwnPage() {
			return nil, problem(http.StatusForbidden, "general_unknown_origin", "Invalid Origin. A provider is linked only from a page of the project")
		}
		if c.signedIn && !token {
			start, err = c.account.StartOAuth2(c.r.Context(), r)
		} else {
			start, err = c.guest().StartOAuth2(c.r.Context(), r)
		}
		if err != nil {
			return nil, err
		}
		if !start.Binding.IsZero() {
			http.SetCookie(c.w, &http.Cookie{
				Name: bindingCookie, Value: start.Binding.Reveal(), Path: "/v1/account/sessions/oauth2", MaxAge: 600, HttpOnly: true,
				SameSite: http.SameSiteLaxMode, Secure: strings.HasPrefix(c.config.publicURL, "https:"),
			})
		}
		return redirection(start.URL), nil
	}
}

// fromOwnPage reports whether a page of the project, or the person by hand, has sent the browser
// here. The page of a stranger must not: it could have put the browser into the stranger's account
// at the provider before, and that would be linked.
func (c *call) fromOwnPage() bool {
	if referer := c.r.Referer(); referer != "" {
		u, err := url.Parse(referer)
		return err == nil && c.allowed(u.Hostname()) || strings.HasPrefix(referer, c.config.publicURL+"/")
	}
	return c.r.Header.Get("Sec-Fetch-Site") != "cross-site"
}

// callback passes a callback of the provider on to the address to which the browser sends its
// cookies.
func callback(c *call) (any, error) {
	if err := c.ofProject(); err != nil {
		return nil, err
	}
	values := c.r.URL.Query()
	values.Set("project", c.config.projectID)
	return c.onward(values)
}

// ofProject refuses a callback that is not one of this project.
func (c *call) ofProject() error {
	c.w.Header().Set("Cache-Control", "no-store, no-cache, must-revalidate, max-age=0")
	c.w.Header().Set("Pragma", "no-cache")
	if c.r.PathValue("project") != c.config.projectID {
		return problem(http.StatusNotFound, "project_not_found", "Project with the requested ID could not be found")
	}
	return nil
}

// onward sends the browser to the last step.
func (c *call) onward(values url.Values) (any, error) {
	name, err := c.provider()
	if err != nil {
		return nil, err
	}
	return redirection(c.config.publicURL + "/v1/account/sessions/oauth2/" + name + "/redirect?" + values.Encode()), nil
}

// formPost keeps a callback that came as a form post, and sends the browser on with the state
// alone. The form comes from the page of the provider, so its origin is not looked at.
func formPost(c *call) (any, error) {
	if err := c.ofProject(); err != nil {
		return nil, err
	}
	body, err := io.ReadAll(http.MaxBytesReader(c.w, c.r.Body, 64<<10))
	if err != nil {
		return nil, problem(http.StatusBadRequest, "general_argument_invalid", "The body is larger than 64 KiB, or cut")
	}
	values, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, problem(http.StatusBadRequest, "general_argument_invalid", "The body is not a form")
	}
	name, err := c.provider()
	if err != nil {
		return nil, err
	}
	if err := c.guest().PostOAuth2(c.r.Context(), name, values); err != nil {
		return nil, err
	}
	return c.onward(url.Values{"state": values["state"], "project": {c.config.projectID}})
}

// finishOAuth2 is the last step of a sign-in by a provider.
func finishOAuth2(c *call) (any, error) {
	c.w.Header().Set("Cache-Control", "no-store, no-cache, must-revalidate, max-age=0")
	c.w.Header().Set("Pragma", "no-cache")
	if c.r.Method == http.MethodHead { // by a program that looks at links, and would use the sign-in up
		return nil, problem(http.StatusMethodNotAllowed, "general_method_not_allowed", "A sign-in is finished by GET")
	}
	name, err := c.provider()
	if err != nil {
		return nil, err
	}
	cb := latchkey.OAuth2Callback{Provider: name, Parameters: c.r.URL.Query(), Session: c.session().Secret}
	delete(cb.Parameters, "project")
	if cookie, err := c.r.Cookie(bindingCookie); err == nil {
		cb.Binding = cookie.Value
	}
	result, err := c.guest().FinishOAuth2(c.r.Context(), cb)
	var failed *latchkey.OAuth2Error
	if errors.As(err, &failed) {
		e := toAPI(err)
		text, _ := json.Marshal(map[string]any{"message": e.message, "type": e.kind, "code": e.status}) // texts and a number
		add := url.Values{"error": {string(text)}}
		if failed.Failure == c.config.publicURL+"/auth/oauth2/failure" {
			add.Set("project", c.config.projectID)
		}
		return with(failed.Failure, add)
	}
	if err != nil {
		return nil, err
	}
	if result.Token == nil { // otherwise the cookie may be that of another sign-in, which is not finished
		http.SetCookie(c.w, &http.Cookie{Name: bindingCookie, Path: "/v1/account/sessions/oauth2", MaxAge: -1, HttpOnly: true})
	}
	add := url.Values{}
	if result.Session != nil {
		c.signedInAs(result.Session)
	}
	if result.Token != nil {
		add.Set("userId", result.Token.UserID)
		add.Set("secret", result.Token.Secret.Reveal())
	}
	if result.Success == c.config.publicURL+"/auth/oauth2/success" {
		add.Set("project", c.config.projectID)
	}
	return with(result.Success, add)
}

// with returns a page with more parameters.
func with(page string, add url.Values) (any, error) {
	u, err := url.Parse(page)
	if err != nil {
		return nil, err
	}
	if len(add) > 0 && u.RawQuery != "" {
		u.RawQuery += "&"
	}
	u.RawQuery += add.Encode() // the page keeps its own parameters
	return redirection(u.String()), nil
}

// relayed is the page of the host itself at which a sign-in ends, if its start names no other.
func relayed(title, text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("Referrer-Policy", "no-referrer")
		_, _ = io.WriteString(w, "<!doctype html><title>"+title+"</title><p>"+text)
	}
}

// listIdentities returns a handler that lists identities.
func listIdentities(list func(c *call, queries []latchkey.Query) (*latchkey.IdentityList, error)) func(c *call) (any, error) {
	return func(c *call) (any, error) {
		queries, total, err := c.found()
		if err != nil {
			return nil, err
		}
		found, err := list(c, queries)
		if err != nil {
			return nil, err
		}
		models := make([]object, 0, len(found.Identities))
		for _, i := range found.Identities {
			models = append(models, object{
				"$id": i.ID, "$createdAt": date(i.CreatedAt), "$updatedAt": date(i.UpdatedAt), "userId": i.UserID, "provider": i.Provider,
				"providerUid": i.ProviderUID, "providerEmail": i.ProviderEmail, "providerAccessToken": "",
				"providerAccessTokenExpiry": date(i.ProviderAccessTokenExpiry), "providerRefreshToken": "",
			})
		}
		return object{"total": counted(found.Total, total), "identities": models}, nil
	}
}
