package latchkey

import (
	"context"
	"time"

	"example.com/latchkey/internal/record"
	"example.com/latchkey/query"
	"example.com/latchkey/store"
)

// Identity is an account of a user at a provider, by which they sign in. There are none until
// the engine has providers.
type Identity struct {
	ID                        string
	CreatedAt                 time.Time
	UpdatedAt                 time.Time
	UserID                    string
	Provider                  string
	ProviderUID               string // of the user at the provider
	ProviderEmail             string
	ProviderAccessTokenExpiry time.Time
}

// IdentityList is a page of identities.
type IdentityList struct {
	Total      int // as of [UserList]
	Identities []*Identity
	Pages
}

func (i *Identity) bind(b *store.Binder) {
	b.Text("id", &i.ID)
	b.Time("created", &i.CreatedAt)
	b.Time("updated", &i.UpdatedAt)
	b.Text("user_id", &i.UserID)
	b.Text("provider", &i.Provider)
	b.Text("provider_uid", &i.ProviderUID)
	b.NullText("provider_email", &i.ProviderEmail)
	b.NullTime("provider_access_token_expiry", &i.ProviderAccessTokenExpiry)
}

// identityListing lists identities. Their table is not stored yet.
var identityListing = &listing[Identity]{
	name: "identities", rows: store.Declare("identities", (*Identity).bind, store.Keys{Primary: []string{"id"}}),
	usual: order{attribute: attribute{column: "created"}},
	attributes: map[string]attribute{
		query.ID:                    {column: "id"},
		query.CreatedAt:             {column: "created"},
		query.UpdatedAt:             {column: "updated"},
		"userId":                    {column: "user_id"},
		"provider":                  {column: "provider"},
		"providerUid":               {column: "provider_uid"},
		"providerEmail":             {column: "provider_email"},
		"providerAccessTokenExpiry": {column: "provider_access_token_expiry"},
	},
}

// Identities returns a page of the identities of the user, oldest first. It takes the queries of
// [Users.Identities]. There are none until the engine has providers.
//
// Errors: those of [Users.List], without [ErrQueryTooCostly].
func (a *Account) Identities(ctx context.Context, queries ...Query) (_ *IdentityList, err error) {
	defer publicError("list identities", &err)
	return accountRead(ctx, a, func(c *call, user *record.User) (*IdentityList, error) {
		return identityList(identityListing.listOf(c, user, queries, nil))
	})
}

// Identities returns a page of the identities of all users, oldest first. It takes the queries of
// [Users.List], without Search, over $id, $createdAt, $updatedAt, userId, provider, providerUid,
// providerEmail and providerAccessTokenExpiry. There are none until the engine has providers.
//
// Errors: those of [Users.List].
func (u *Users) Identities(_ context.Context, queries ...Query) (_ *IdentityList, err error) {
	defer publicError("list identities", &err)
	c, err := u.begin()
	if err != nil {
		return nil, err
	}
	return identityList(identityListing.listOf(c, new(record.User), queries, nil))
}

func identityList(found *page[Identity], err error) (*IdentityList, error) {
	if err != nil {
		return nil, err
	}
	return &IdentityList{Total: found.total, Identities: append([]*Identity{}, found.rows...), Pages: found.pages}, nil
}
