package latchkey

import (
	"context"

	"example.com/latchkey/internal/record"
	"example.com/latchkey/query"
	"example.com/latchkey/store"
)

// UserList is a page of the users.
type UserList struct {
	// Total is the number of users that meet the filters, up to 5,000; 0 with
	// [query.NoTotal].
	Total int     `json:"total"`
	Users []*User `json:"users"`
	Pages
}

// userListing lists users.
var userListing = &listing[record.User]{
	name: "users", rows: record.Users, words: "users", texts: userTexts,
	usual: order{attribute: attribute{column: "created", index: record.Users.Index("created")}},
	attributes: map[string]attribute{
		query.ID:            {column: "id", unique: record.Users.Primary(), index: record.Users.Primary()},
		query.CreatedAt:     {column: "created", index: record.Users.Index("created")},
		query.UpdatedAt:     {column: "updated"},
		"name":              {column: "name", index: record.Users.Index("name")},
		"email":             {column: "email", unique: record.Users.Index("email"), index: record.Users.Index("email")},
		"phone":             {column: "phone", unique: record.Users.Index("phone"), index: record.Users.Index("phone")},
		"status":            {column: "blocked", inverted: true},
		"passwordUpdate":    {column: "password_updated"},
		"registration":      {column: "registered", index: record.Users.Index("registered")},
		"emailVerification": {column: "email_verified"},
		"phoneVerification": {column: "phone_verified"},
		"labels":            {column: "labels", list: true},
		"impersonator":      {column: "impersonator"},
		"accessedAt":        {column: "accessed", index: record.Users.Index("accessed")},
	},
}

// List returns a page of the users, oldest first.
//
// It takes every query of package query over $id, $createdAt, $updatedAt, name, email,
// phone, status, passwordUpdate, registration, emailVerification, phoneVerification, labels,
// impersonator and accessedAt; labels are a list and know contains, notContains and the tests for null,
// and no order. [query.Search] finds words of the id, the e-mail address, the name, the number
// and the labels: each word as the beginning of one, and a phrase in double quotes as it
// stands. Of a name and an address the first 100 words are found. It looks at 5,000 users at most,
// with the rarest word, and at 50,000 words.
//
// A page costs what it shows where the order has an index ($id, $createdAt, name, email,
// phone, registration, accessedAt). What its filters leave out is looked at too, and so is
// every user where the order has no index: at most 10,000 users, unless [query.Walk] allows
// more. The total is counted in the same way.
//
// Errors:
//   - [ErrArgumentInvalid]: a query that the listing does not have.
//   - [ErrQueryInvalid]: the text of a cursor or of a page is not one.
//   - [ErrCursorNotFound], [ErrQueryOrderNull]: the user of a cursor does not exist, or
//     lacks the attribute of the order.
//   - [ErrQueryTooCostly]
func (u *Users) List(ctx context.Context, queries ...Query) (_ *UserList, err error) {
	defer u.home().operation(&ctx, "list users").end(&err)
	c, err := u.begin()
	if err != nil {
		return nil, err
	}
	r, err := userListing.read(&c.policy, queries)
	if err != nil {
		return nil, err
	}
	found, err := userListing.list(ctx, c, r)
	if err != nil {
		return nil, err
	}
	list := &UserList{Total: found.total, Users: make([]*User, 0, len(found.rows)), Pages: found.pages}
	for _, row := range found.rows {
		shown, err := showUser(row)
		if err != nil {
			return nil, err
		}
		list.Users = append(list.Users, shown)
	}
	c.describe(ctx, list.Users...)
	return list, nil
}

// GetByEmail returns the user with an e-mail address, in any case.
//
// Errors:
//   - [ErrArgumentInvalid]
func (u *Users) GetByEmail(ctx context.Context, email string) (_ *User, err error) {
	defer u.home().operation(&ctx, "get user").end(&err)
	address, err := checkEmail(email)
	if err != nil {
		return nil, err
	}
	return u.getBy(ctx, byEmail, address)
}

// GetByPhone returns the user with a phone number.
//
// Errors:
//   - [ErrArgumentInvalid]
func (u *Users) GetByPhone(ctx context.Context, phone string) (_ *User, err error) {
	defer u.home().operation(&ctx, "get user").end(&err)
	number, err := checkPhone(phone)
	if err != nil {
		return nil, err
	}
	return u.getBy(ctx, byPhone, number)
}

// getBy returns the user with an address.
func (u *Users) getBy(ctx context.Context, by *contact, address string) (*User, error) {
	c, err := u.begin()
	if err != nil {
		return nil, err
	}
	user, err := record.Users.Find(ctx, c.store, by.index, store.Text(address))
	switch {
	case err != nil:
		return nil, err
	case user == nil:
		return nil, ErrUserNotFound
	}
	return c.show(ctx, user)
}
