package latchkey

import (
	"context"

	"example.com/latchkey/internal/canon"
	"example.com/latchkey/internal/reason"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/query"
	"example.com/latchkey/store"
)

// NewTarget is the input for a target.
type NewTarget struct {
	// ID is the id that the host wants, in the form of NewUser.UserID. "" means a fresh one.
	ID string
	// ProviderType is [TargetEmail], [TargetSMS] or [TargetPush].
	ProviderType string
	// Identifier is an e-mail address, a phone number or the token of a device: at most 255
	// characters.
	Identifier string
	ProviderID string // an id of the host's own, in the form of ID; may be ""
	Name       string // at most 128 characters; may be ""
}

// TargetUpdate changes the fields of a target that are not "".
type TargetUpdate struct{ Identifier, ProviderID, Name string }

// TargetList is a page of the targets of a user.
type TargetList struct {
	Total   int       `json:"total"`
	Targets []*Target `json:"targets"`
	Pages
}

// targetListing lists targets.
var targetListing = &listing[record.Target]{
	name: "targets", rows: record.Targets,
	usual: order{attribute: attribute{column: "created"}},
	attributes: map[string]attribute{
		query.ID:        {column: "id"},
		query.CreatedAt: {column: "created"},
		query.UpdatedAt: {column: "updated"},
		"userId":        {column: "user_id"},
		"providerId":    {column: "provider_id"},
		"providerType":  {column: "provider_type"},
		"identifier":    {column: "identifier"},
	},
}

// errNoTargetType says why the kind of a target is refused.
var errNoTargetType = reason.New(reason.Unknown, "not email, sms or push")

// checkIdentifier returns the identifier of a target in canonical form.
func checkIdentifier(kind, identifier string) (string, error) {
	if err := canon.Identifier(identifier); err != nil {
		return "", invalid("identifier", err)
	}
	var err error
	switch kind {
	case TargetEmail:
		if identifier, err = canon.Email(identifier); err != nil {
			return "", ErrEmailInvalid
		}
	case TargetSMS:
		if err := canon.Phone(identifier); err != nil {
			return "", ErrPhoneInvalid
		}
	case TargetPush:
	default:
		return "", invalid("providerType", errNoTargetType)
	}
	return identifier, nil
}

// checkTargetID refuses a text that cannot be the id of a target, or of a provider.
func checkTargetID(argument, id string) error {
	if err := canon.ID(id); err != nil {
		return invalid(argument, err)
	}
	return nil
}

// record checks the input and returns the row, without its user.
func (n NewTarget) record(c *call) (t *record.Target, err error) {
	if n.ID == "" {
		n.ID = newID()
	}
	if err := checkTargetID("targetId", n.ID); err != nil {
		return nil, err
	}
	if n.ProviderID != "" {
		if err := checkTargetID("providerId", n.ProviderID); err != nil {
			return nil, err
		}
	}
	if err := checkName(n.Name); err != nil {
		return nil, err
	}
	identifier, err := checkIdentifier(n.ProviderType, n.Identifier)
	if err != nil {
		return nil, err
	}
	return &record.Target{
		ID: n.ID, Created: c.now, Updated: c.now, Name: n.Name, ProviderID: n.ProviderID, ProviderType: n.ProviderType, Identifier: identifier,
	}, nil
}

// ownTarget returns a target of a user, or ErrTargetNotFound.
func ownTarget(ctx context.Context, r store.Reader, user *record.User, id string) (*record.Target, error) {
	if err := checkTargetID("targetId", id); err != nil {
		return nil, err
	}
	t, err := record.Targets.Find(ctx, r, record.Targets.Primary(), store.Text(id))
	if err == nil && (t == nil || t.UserID != user.ID) {
		return nil, ErrTargetNotFound
	}
	return t, err
}

// CreateTarget gives a user another target: an address to which the host sends messages. The
// engine sends nothing there. The targets of the user's own address and number exist
// already, and follow them. A user has at most 100. An identifier belongs to one target of
// its kind.
//
// Errors:
//   - [ErrArgumentInvalid]: also for a user with 100 targets.
//   - [ErrEmailInvalid], [ErrPhoneInvalid]: the identifier is no address or number.
//   - [ErrTargetAlreadyExists]: the id or the identifier is taken. A push target of a
//     session that has ended gives way.
func (u *Users) CreateTarget(ctx context.Context, id string, n NewTarget) (_ *Target, err error) {
	defer u.home().operation(&ctx, "create target").end(&err)
	c, err := u.beginFor(id)
	if err != nil {
		return nil, err
	}
	drawn, err := n.record(c)
	if err != nil {
		return nil, err
	}
	return usersChange(ctx, c, id, func(ctx context.Context, tx *txn, user *record.User) (*Target, error) {
		t := *drawn
		t.UserID = user.ID
		return tx.insertTarget(ctx, user, &t)
	})
}

// GetTarget returns a target of a user.
//
// Errors:
//   - [ErrTargetNotFound]: also for a target of another user.
func (u *Users) GetTarget(ctx context.Context, id, targetID string) (_ *Target, err error) {
	defer u.home().operation(&ctx, "get target").end(&err)
	return usersRead(ctx, u, id, func(c *call, user *record.User) (*Target, error) {
		t, err := ownTarget(ctx, c.store, user, targetID)
		if err != nil {
			return nil, err
		}
		return showTarget(t), nil
	})
}

// Targets returns a page of the targets of a user, oldest first. It takes the queries of
// [Users.List], without Search, over $id, $createdAt, $updatedAt, userId, providerId,
// providerType and identifier.
//
// Errors: those of [Users.List], without [ErrQueryTooCostly].
func (u *Users) Targets(ctx context.Context, id string, queries ...Query) (_ *TargetList, err error) {
	defer u.home().operation(&ctx, "list targets").end(&err)
	return usersRead(ctx, u, id, func(c *call, user *record.User) (*TargetList, error) {
		rows, err := record.TargetsOf(user)
		if err != nil {
			return nil, err
		}
		found, err := targetListing.listOf(c, user, queries, rows)
		if err != nil {
			return nil, err
		}
		list := &TargetList{Total: found.total, Targets: make([]*Target, 0, len(found.rows)), Pages: found.pages}
		for _, t := range found.rows {
			list.Targets = append(list.Targets, showTarget(t))
		}
		return list, nil
	})
}

// UpdateTarget changes a target of a user. A target with another identifier has not expired.
//
// Errors: those of [Users.CreateTarget], and:
//   - [ErrTargetNotFound]: also for a target of another user.
func (u *Users) UpdateTarget(ctx context.Context, id, targetID string, n TargetUpdate) (_ *Target, err error) {
	defer u.home().operation(&ctx, "update target").end(&err)
	c, err := u.beginFor(id)
	if err != nil {
		return nil, err
	}
	return usersChange(ctx, c, id, func(ctx context.Context, tx *txn, user *record.User) (*Target, error) {
		t, err := ownTarget(ctx, tx, user, targetID)
		if err != nil {
			return nil, err
		}
		if n.Identifier != "" {
			if t.Identifier, err = checkIdentifier(t.ProviderType, n.Identifier); err != nil {
				return nil, err
			}
			t.Expired = false
		}
		if n.ProviderID != "" {
			if err := checkTargetID("providerId", n.ProviderID); err != nil {
				return nil, err
			}
			t.ProviderID = n.ProviderID
		}
		if n.Name != "" {
			if err := checkName(n.Name); err != nil {
				return nil, err
			}
			t.Name = n.Name
		}
		return tx.replaceTarget(ctx, user, t)
	})
}

// DeleteTarget deletes a target of a user.
//
// Errors:
//   - [ErrTargetNotFound]: also for a target of another user.
func (u *Users) DeleteTarget(ctx context.Context, id, targetID string) (err error) {
	defer u.home().operation(&ctx, "delete target").end(&err)
	return u.change(ctx, id, func(ctx context.Context, tx *txn, user *record.User) error {
		t, err := ownTarget(ctx, tx, user, targetID)
		if err != nil {
			return err
		}
		return tx.deleteTarget(ctx, user, t)
	})
}
