package main

import (
	"context"
	"errors"
	"net/http"

	"example.com/latchkey"
	"example.com/latchkey/query"
)

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
