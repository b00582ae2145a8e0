// Package permission answers one question: may this caller do that? A row of the host has
// permissions, each an action and the role that may take it. A caller has roles
// (latchkey.Account.Roles, latchkey.Guest.Roles). The caller may act if one of the row's
// permissions for the action names a role of the caller.
//
//	doc, err := permission.NewSet(
//		permission.Read.To(permission.Any),
//		permission.Write.To(permission.TeamRole("editors", "owner")))
//	may, err := account.Can(ctx, permission.Update, doc)
//
// The text of a permission is the documented one: read("any"), update("team:editors/owner").
// Roles are compared as exact names, and one name never stands for another: owner of a team is
// no more than the role that the row names.
//
// # Rows in SQL
//
// A host that keeps its rows in a SQL table keeps their permissions in a table beside it: one
// row for each role of [Set.Roles], with the primary key (role, row), so that the roles of a
// caller ([Roles.List]) find the rows that the caller may read by an index. The program
// examples/notes shows it.
package permission

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"example.com/latchkey/internal/canon"
)

// Action is what a caller wants to do with a row.
type Action string

// The actions. Write is create, update and delete together: it exists in permissions, and no
// caller asks for it.
const (
	Read   Action = "read"
	Create Action = "create"
	Update Action = "update"
	Delete Action = "delete"
	Write  Action = "write"
)

// To returns the permission that lets the callers with a role take an action.
func (a Action) To(r Role) Permission { return Permission{a, r} }

// Valid reports whether a caller may ask for the action: read, create, update or delete.
func (a Action) Valid() bool {
	return a == Read || a == Create || a == Update || a == Delete
}

// Permission lets the callers with a role take an action.
type Permission struct {
	Action Action
	Role   Role
}

// String returns the documented text: read("team:x/editor").
func (p Permission) String() string { return string(p.Action) + `("` + string(p.Role) + `")` }

// maxPermissions is the greatest number of permissions of a set.
const maxPermissions = 1000

// The reasons for which a permission is refused. No error repeats the text.
var (
	// ErrForm is for a text that is not action("role").
	ErrForm = errors.New(`not of the form action("role")`)
	// ErrAction is for an action that is not read, create, update, delete or write.
	ErrAction = errors.New("an unknown action")
	// ErrRole is for a role that is not one of the documented forms, which are listed at [Role].
	ErrRole = errors.New("an unknown form of role")
	// ErrTooMany is for a set of more than 1,000 permissions.
	ErrTooMany = errors.New("more than 1,000 permissions")
)

// ParsePermission reads the text of a permission, which must be exactly as String prints it:
// without spaces, and in lower case where the documents have it so.
//
// Errors: [ErrForm], [ErrAction], [ErrRole].
func ParsePermission(text string) (Permission, error) {
	action, quoted, found := strings.Cut(text, `("`)
	role, closed := strings.CutSuffix(quoted, `")`)
	if !found || !closed {
		return Permission{}, ErrForm
	}
	p := Permission{Action(action), Role(role)}
	return p, p.check()
}

// check refuses a permission with an unknown action or role.
func (p Permission) check() error {
	if !p.Action.Valid() && p.Action != Write {
		return ErrAction
	}
	return p.Role.Check()
}

// compare orders permissions by action and then by role.
func compare(a, b Permission) int {
	return cmp.Or(cmp.Compare(a.Action, b.Action), cmp.Compare(a.Role, b.Role))
}

// Set is the permissions of a row. The zero value lets nobody do anything. A Set does not
// change, so goroutines may share it.
type Set struct {
	sorted []Permission // by compare, each once, none with Write
}

// NewSet returns a set. Write becomes create, update and delete; a permission that is named
// twice counts once. A set has at most 1,000 permissions.
//
// Errors: [ErrAction], [ErrRole], [ErrTooMany].
func NewSet(permissions ...Permission) (Set, error) {
	var s Set
	for i, p := range permissions {
		if err := p.check(); err != nil {
			return Set{}, refused(i, err)
		}
		if p.Action == Write {
			s.sorted = append(s.sorted, Create.To(p.Role), Update.To(p.Role), Delete.To(p.Role))
		} else {
			s.sorted = append(s.sorted, p)
		}
	}
	slices.SortFunc(s.sorted, compare)
	s.sorted = slices.Compact(s.sorted)
	if len(s.sorted) > maxPermissions {
		return Set{}, ErrTooMany
	}
	return s, nil
}

// Parse reads the texts of the permissions of a row, as [Set.Strings] prints them, and write
// beside them.
//
// Errors: [ErrForm], [ErrAction], [ErrRole], [ErrTooMany].
func Parse(texts ...string) (Set, error) {
	permissions := make([]Permission, 0, len(texts))
	for i, text := range texts {
		p, err := ParsePermission(text)
		if err != nil {
			return Set{}, refused(i, err)
		}
		permissions = append(permissions, p)
	}
	return NewSet(permissions...)
}

// refused says which permission of a list is refused, without its text.
func refused(i int, err error) error { return fmt.Errorf("permission %d: %w", i, err) }

// Equal reports whether two sets have the same permissions.
func (s Set) Equal(other Set) bool { return slices.Equal(s.sorted, other.sorted) }

// Strings returns the texts of the permissions, in the order of actions and roles. Write is
// create, update and delete.
func (s Set) Strings() []string {
	texts := make([]string, 0, len(s.sorted))
	for _, p := range s.sorted {
		texts = append(texts, p.String())
	}
	return texts
}

// Roles returns the roles that may take an action, in the order of their texts.
func (s Set) Roles(a Action) []string {
	var roles []string
	for _, p := range s.of(a) {
		roles = append(roles, string(p.Role))
	}
	return roles
}

// of returns the permissions for an action.
func (s Set) of(a Action) []Permission {
	from, _ := slices.BinarySearchFunc(s.sorted, a, func(p Permission, a Action) int { return cmp.Compare(p.Action, a) })
	rest := s.sorted[from:]
	n := 0
	for n < len(rest) && rest[n].Action == a {
		n++
	}
	return rest[:n]
}

// Allows reports whether a caller with these roles may take an action. Nobody may take [Write]
// or an unknown action. It reads nothing and allocates nothing.
func (s Set) Allows(a Action, roles Roles) bool {
	permissions, held := s.of(a), roles.sorted
	for len(permissions) > 0 && len(held) > 0 {
		switch order := cmp.Compare(permissions[0].Role, held[0]); {
		case order == 0:
			return true
		case order < 0:
			permissions = permissions[1:]
		default:
			held = held[1:]
		}
	}
	return false
}

// Role is a role of a caller. Its forms are the documented ones:
//
//	any                                      every caller
//	guests                                   callers without a user
//	users, users/verified, users/unverified  users; those with a verified e-mail address or
//	                                         phone number; those with neither
//	user:ID, and both forms of it            one user
//	team:ID, team:ID/ROLE                    the members of a team; those with a role
//	member:ID                                one membership
//	label:NAME                               users with a label
type Role string

// The roles without an id.
const (
	Any             Role = "any"
	Guests          Role = "guests"
	Users           Role = "users"
	UsersVerified   Role = "users/verified"
	UsersUnverified Role = "users/unverified"
)

// The dimensions of users.
const (
	verified   = "/verified"
	unverified = "/unverified"
)

// User returns the role of one user.
func User(id string) Role { return Role("user:" + id) }

// UserVerified returns the role of one user while an address of theirs is verified.
func UserVerified(id string) Role { return User(id) + verified }

// UserUnverified returns the role of one user while no address of theirs is verified.
func UserUnverified(id string) Role { return User(id) + unverified }

// Team returns the role of all members of a team.
func Team(id string) Role { return Role("team:" + id) }

// TeamRole returns the role of the members of a team that have a role in it.
func TeamRole(id, role string) Role { return Team(id) + Role("/"+role) }

// Member returns the role of one membership of a team.
func Member(id string) Role { return Role("member:" + id) }

// Label returns the role of the users with a label.
func Label(name string) Role { return Role("label:" + name) }

// Check refuses a role of an unknown form with [ErrRole]. An id has 1 to 36 characters of
// A-Z a-z 0-9 . _ - and begins with a letter or a digit. A role in a team has up to 81 of them.
// A label has 1 to 36 letters and digits.
func (r Role) Check() error {
	switch r {
	case Any, Guests, Users, UsersVerified, UsersUnverified:
		return nil
	}
	kind, id, _ := strings.Cut(string(r), ":")
	id, dimension, within := strings.Cut(id, "/")
	err := canon.ID(id)
	switch {
	case kind == "user" && (!within || dimension == verified[1:] || dimension == unverified[1:]):
	case kind == "team" && within:
		err = errors.Join(err, canon.TeamRole(dimension))
	case kind == "team", kind == "member" && !within:
	case kind == "label" && !within:
		err = canon.Label(id)
	default:
		return ErrRole
	}
	if err != nil {
		return ErrRole
	}
	return nil
}

// Roles is the roles of a caller. The zero value has none, and nothing is allowed to it. Roles
// do not change, so goroutines may share them.
type Roles struct {
	listed []Role // any, and the others as they were given
	sorted []Role
}

// RolesOf returns the roles of a caller: these, and any, which every caller has.
func RolesOf(roles ...Role) Roles {
	both := make([]Role, 1, 2+2*len(roles)) // one allocation serves both orders
	both[0] = Any
	for _, role := range roles {
		if role != Any {
			both = append(both, role)
		}
	}
	n := len(both)
	both = append(both, both...)
	r := Roles{both[:n:n], both[n:]}
	slices.Sort(r.sorted)
	return r
}

// Has reports whether a role is among them.
func (r Roles) Has(role Role) bool {
	_, found := slices.BinarySearch(r.sorted, role)
	return found
}

// Equal reports whether two callers have the same roles, in any order.
func (r Roles) Equal(other Roles) bool { return slices.Equal(r.sorted, other.sorted) }

// List returns the names of the roles, any first: for the rows that a caller may read, as the
// package comment says.
func (r Roles) List() []string {
	names := make([]string, 0, len(r.listed))
	for _, role := range r.listed {
		names = append(names, string(role))
	}
	return names
}

// String returns the names of the roles, divided by spaces.
func (r Roles) String() string { return strings.Join(r.List(), " ") }

// MarshalJSON returns the names of the roles as a list, any first.
func (r Roles) MarshalJSON() ([]byte, error) { return json.Marshal(r.List()) }

// UnmarshalJSON reads the list that MarshalJSON writes. Roles decide about access, so the list must
// come from a place that callers cannot write.
//
// Errors: [ErrRole].
func (r *Roles) UnmarshalJSON(text []byte) error {
	var roles []Role
	if err := json.Unmarshal(text, &roles); err != nil {
		return err
	}
	for _, role := range roles {
		if err := role.Check(); err != nil {
			return err
		}
	}
	*r = Roles{}
	if len(roles) > 0 {
		*r = RolesOf(roles...)
	}
	return nil
}
