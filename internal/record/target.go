package record

import (
	"context"
	"encoding/json"
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
	var shown []shownTarget
	if err := json.Unmarshal([]byte(u.Targets), &shown); err != nil {
		return nil, err
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
