package record

import (
	"context"
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"example.com/latchkey/store"
)

// shownTarget is a target in the row of its user.
type shownTarget struct {
	ID         string `json:"id"`
	Created    int64  `json:"created"` // microseconds since 1970
	Updated    int64  `json:"updated"`
	Name       string `json:"name"`
	Provider   string `json:"provider"`
	Type       string `json:"type"`
	Identifier string `json:"identifier"`
	Expired    int    `json:"expired"` // 1 for true
}

// EncodeTargets returns the targets of a user as the user's row holds them.
func EncodeTargets(targets []*Target) (string, error) {
	shown := make([]shownTarget, 0, len(targets))
	for _, t := range targets {
		s := shownTarget{t.ID, t.Created.UnixMicro(), t.Updated.UnixMicro(), t.Name, t.ProviderID, t.ProviderType, t.Identifier, 0}
		if t.Expired {
			s.Expired = 1
		}
		shown = append(shown, s)
	}
	text, err := json.Marshal(shown)
	return string(text), err
}

// TargetsOf returns the targets that the row of a user holds, without their sessions.
func TargetsOf(u *User) ([]*Target, error) {
	shown, plain := plainTargets(u.Targets)
	if !plain {
		shown = nil
		if err := json.Unmarshal([]byte(u.Targets), &shown); err != nil {
			return nil, err
		}
	}
	targets := make([]*Target, 0, len(shown))
	for _, s := range shown {
		targets = append(targets, &Target{
			ID: s.ID, UserID: u.ID, Created: time.UnixMicro(s.Created).UTC(), Updated: time.UnixMicro(s.Updated).UTC(),
			Name: s.Name, ProviderID: s.Provider, ProviderType: s.Type, Identifier: s.Identifier, Expired: s.Expired != 0,
		})
	}
	return targets, nil
}

// plainTargets reads the JSON that EncodeTargets writes, or that a database made of it, if no
// text in it has an escape: ten times as fast as encoding/json, on every read of a user. plain is
// false if the JSON has any other form.
func plainTargets(text string) (shown []shownTarget, plain bool) {
	r := reader{text}
	if !r.skip("[") {
		return nil, false
	}
	for !r.skip("]") {
		if len(shown) > 0 && !r.skip(",") || !r.skip("{") {
			return nil, false
		}
		var t shownTarget
		var expired int64
		for fields := 0; !r.skip("}"); fields++ {
			if fields > 0 && !r.skip(",") {
				return nil, false
			}
			name, ok := r.text()
			if !ok || !r.skip(":") {
				return nil, false
			}
			switch name {
			case "id":
				t.ID, ok = r.text()
			case "name":
				t.Name, ok = r.text()
			case "provider":
				t.Provider, ok = r.text()
			case "type":
				t.Type, ok = r.text()
			case "identifier":
				t.Identifier, ok = r.text()
			case "created":
				t.Created, ok = r.number()
			case "updated":
				t.Updated, ok = r.number()
			case "expired":
				expired, ok = r.number()
			default:
				return nil, false
			}
			if !ok {
				return nil, false
			}
		}
		t.Expired = int(expired)
		shown = append(shown, t)
	}
	return shown, r.left == ""
}

// reader reads compact JSON without escapes.
type reader struct{ left string }

// skip goes over a text that is next.
func (r *reader) skip(text string) (found bool) {
	r.left, found = strings.CutPrefix(r.left, text)
	return found
}

// text reads a text.
func (r *reader) text() (text string, ok bool) {
	if !r.skip(`"`) {
		return "", false
	}
	end := strings.IndexByte(r.left, '"')
	if end < 0 || strings.IndexByte(r.left[:end], '\\') >= 0 {
		return "", false
	}
	text, r.left = r.left[:end], r.left[end+1:]
	return text, true
}

// number reads a whole number.
func (r *reader) number() (n int64, ok bool) {
	end := 0
	for end < len(r.left) && (r.left[end] >= '0' && r.left[end] <= '9' || end == 0 && r.left[end] == '-') {
		end++
	}
	n, err := strconv.ParseInt(r.left[:end], 10, 64)
	r.left = r.left[end:]
	return n, err == nil
}

// ListTargets selects the targets of a user, oldest first.
func ListTargets(userID string) store.Query {
	return store.Query{Index: Targets.Index("user"), Equal: []store.Value{store.Text(userID)}, Limit: store.MaxLimit}
}

// fillTargets puts the targets of all users into their rows, for a backend that has no
// statement for it.
func fillTargets(ctx context.Context, tx store.Tx) error {
	for users, err := range Users.Pages(ctx, tx, store.Query{Index: Users.Primary(), Limit: 1000}) {
		if err != nil {
			return err
		}
		for _, u := range users {
			targets, err := Targets.List(ctx, tx, ListTargets(u.ID))
			if err != nil {
				return err
			}
			if u.Targets, err = EncodeTargets(targets); err != nil {
				return err
			}
			if err := Users.Replace(ctx, tx, u); err != nil {
				return err
			}
		}
	}
	return nil
}
