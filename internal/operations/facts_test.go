package operations_test

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"example.com/latchkey"
	"example.com/latchkey/authtest"
	"example.com/latchkey/hidden"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/notify"
	"example.com/latchkey/store"
)

// actors are the users of a random run and the handles of their sessions, live or
// ended.
type actors struct {
	*kit.Kit
	t        *rapid.T
	ids      []string
	emails   []string
	accounts []*latchkey.Account
	links    []latchkey.InvitationLink // open, used and void ones
}

// link returns one of the invitations that were sent.
func (a *actors) link() latchkey.InvitationLink {
	if len(a.links) == 0 {
		return latchkey.InvitationLink{TeamID: "none", MembershipID: "none", UserID: "none", Secret: hidden.New("none")}
	}
	return rapid.SampledFrom(a.links).Draw(a.t, "invitation")
}

// invites has a user invite another person, and reads the link in the message.
func (a *actors) invites() error {
	team, _ := a.member()
	n := latchkey.NewMembership{Email: a.email(), Roles: a.roles(), URL: kit.JoinURL}
	if a.bool() {
		n.UserID = a.id()
	}
	switch err := kit.Err(a.account().Teams().CreateMembership(a.Ctx, team, n)); {
	case errors.Is(err, latchkey.ErrArgumentInvalid): // the user has no address
		return nil
	case err != nil:
		return err
	}
	for a.Deliveries().Waiting > 0 {
		runtime.Gosched()
	}
	for _, m := range a.Box.All() {
		if m.Kind == notify.Invitation {
			a.links = append(a.links, latchkey.InvitationLink{TeamID: m.TeamID, MembershipID: m.MembershipID, UserID: m.UserID, Secret: m.Secret})
		}
	}
	a.Box.Take()
	return nil
}

func steps(k *kit.Kit, t *rapid.T, run int) {
	a := &actors{Kit: k, t: t}
	for n := range 4 {
		a.emails = append(a.emails, fmt.Sprintf("u%d-%d@example.org", run, n))
	}
	for n := range 2 {
		user, err := k.Visitor.CreateAccount(k.Ctx, latchkey.NewAccount{Email: a.emails[n], Password: kit.Password})
		k.Must(err)
		a.ids = append(a.ids, user.ID)
	}
	owned := a.owned()
	for range rapid.IntRange(1, 25).Draw(t, "steps") {
		op := rapid.SampledFrom(draws).Draw(t, "operation")
		if err := op.do(a); err != nil && !slices.ContainsFunc(expected, func(want error) bool { return errors.Is(err, want) }) {
			t.Fatalf("%s: %v", op.name, err)
		}
		if broken := k.Broken(); broken != nil {
			t.Fatalf("after %s: %s", op.name, strings.Join(broken, "; "))
		}
		now := a.owned()
		for team, before := range owned {
			if after, exists := now[team]; exists && before.owners > 0 && after.owners == 0 && after.members > 0 {
				t.Fatalf("after %s: team %s has no owner, and %d members", op.name, team, after.members)
			}
		}
		owned = now
	}
	for _, id := range a.ids { // keep the store small
		if err := k.Users().Delete(k.Ctx, id); err != nil && !errors.Is(err, latchkey.ErrUserNotFound) {
			k.Fatal(err)
		}
	}
}

// ownership counts the members of a team who are not blocked.
type ownership struct{ members, owners int }

// owned returns the ownership of every team.
func (a *actors) owned() map[string]ownership {
	a.Helper()
	blocked := make(map[string]bool)
	users, err := record.Users.List(a.Ctx, a.Raw, store.Query{Index: record.Users.Primary(), Limit: store.MaxLimit})
	a.Must(err)
	for _, u := range users {
		blocked[u.ID] = u.Blocked
	}
	all := make(map[string]ownership)
	members, err := record.Memberships.List(a.Ctx, a.Raw, store.Query{Index: record.Memberships.Primary(), Limit: store.MaxLimit})
	a.Must(err)
	for _, m := range members {
		if !m.Confirm {
			continue
		}
		o := all[m.TeamID]
		if !blocked[m.UserID] {
			o.members++
			if m.Owner {
				o.owners++
			}
		}
		all[m.TeamID] = o
	}
	return all
}

// teams returns the scope of the server or of a user.
func (a *actors) teams() *latchkey.Teams {
	if a.bool() {
		return a.Engine.Teams()
	}
	return a.account().Teams()
}

// member returns a membership of a team.
func (a *actors) member() (team, id string) {
	members, err := record.Memberships.List(a.Ctx, a.Raw, store.Query{Index: record.Memberships.Primary(), Limit: store.MaxLimit})
	a.Must(err)
	if len(members) == 0 {
		return "none", "none"
	}
	m := members[rapid.IntRange(0, len(members)-1).Draw(a.t, "membership")]
	return m.TeamID, m.ID
}

func (a *actors) roles() []string {
	return rapid.SampledFrom([][]string{nil, {"owner"}, {"player"}, {"player", "owner"}}).Draw(a.t, "roles")
}

// expected are the errors that a random operation may return.
var expected = []error{
	latchkey.ErrUnauthorized, latchkey.ErrUserBlocked, latchkey.ErrUserNotFound, latchkey.ErrInvalidCredentials,
	latchkey.ErrTargetAlreadyExists, latchkey.ErrEmailAlreadyExists, latchkey.ErrPhoneAlreadyExists, latchkey.ErrUserAlreadyExists,
	latchkey.ErrEmailNotFound, latchkey.ErrPhoneNotFound, latchkey.ErrSessionAlreadyExists, latchkey.ErrRateLimitExceeded,
	latchkey.ErrMoreFactorsRequired, latchkey.ErrAuthenticatorAlreadyVerified, latchkey.ErrAuthenticatorNotFound, latchkey.ErrChallengeRequired,
	latchkey.ErrInvalidToken, latchkey.ErrLastFactor,
	latchkey.ErrTeamNotFound, latchkey.ErrTeamAlreadyExists, latchkey.ErrUserUnauthorized, latchkey.ErrMembershipAlreadyConfirmed,
	latchkey.ErrTeamInvalidSecret, latchkey.ErrTeamInviteMismatch, latchkey.ErrMembershipNotFound, latchkey.ErrMembershipMismatch, latchkey.ErrInviteNotFound,
	latchkey.ErrMembershipDeletionProhibited, latchkey.ErrMembershipDowngradeProhibited,
}

func (a *actors) id() string { return rapid.SampledFrom(a.ids).Draw(a.t, "user") }

func (a *actors) email() string { return rapid.SampledFrom(a.emails).Draw(a.t, "email") }

func (a *actors) phone() string {
	return rapid.SampledFrom([]string{"", "+14155550100", "+14155550101"}).Draw(a.t, "phone")
}

func (a *actors) bool() bool { return rapid.Bool().Draw(a.t, "bool") }

// account returns one of the handles, or nil if there is no handle yet.
func (a *actors) account() *latchkey.Account {
	if len(a.accounts) == 0 {
		return nil
	}
	return rapid.SampledFrom(a.accounts).Draw(a.t, "session")
}

func (a *actors) enter(session *latchkey.Session, err error) error {
	if err != nil {
		return err
	}
	account, err := a.Visitor.Authenticate(a.Ctx, session.Secret.Reveal())
	if err == nil {
		a.accounts = append(a.accounts, account)
		if !slices.Contains(a.ids, session.UserID) {
			a.ids = append(a.ids, session.UserID)
		}
	}
	return err
}

var draws = []struct {
	name string
	do   func(a *actors) error
}{
	{"sign in", func(a *actors) error {
		return a.enter(a.Visitor.CreateEmailPasswordSession(a.Ctx, a.email(), kit.Password))
	}},
	{"sign in anonymously", func(a *actors) error { return a.enter(a.Visitor.CreateAnonymousSession(a.Ctx)) }},
	{"server's session", func(a *actors) error { return a.enter(a.Users().CreateSession(a.Ctx, a.id())) }},
	{"time passes", func(a *actors) error { a.Clock.Advance(13 * time.Hour); return nil }},
	{"change e-mail", func(a *actors) error { return kit.Err(a.account().UpdateEmail(a.Ctx, a.email(), kit.Password)) }},
	{"change phone", func(a *actors) error {
		return kit.Err(a.account().UpdatePhone(a.Ctx, max(a.phone(), "+14155550100"), kit.Password))
	}},
	{"change password", func(a *actors) error {
		return kit.Err(a.account().UpdatePassword(a.Ctx, latchkey.PasswordUpdate{New: kit.Password, Old: kit.Password}))
	}},
	{"switch MFA", func(a *actors) error { return kit.Err(a.account().UpdateMFA(a.Ctx, a.bool())) }},
	{"server switches MFA", func(a *actors) error { return kit.Err(a.Users().UpdateMFA(a.Ctx, a.id(), a.bool())) }},
	{"enrol an authenticator", func(a *actors) error {
		account := a.account()
		made, err := account.CreateMFAAuthenticator(a.Ctx, latchkey.NewMFAAuthenticator{})
		if err != nil {
			return err
		}
		app, err := authtest.NewAuthenticator(a.Clock, made.URI.Reveal())
		if err != nil {
			return err
		}
		return kit.Err(account.VerifyMFAAuthenticator(a.Ctx, app.Code()))
	}},
	{"server takes the authenticator away", func(a *actors) error { return a.Users().DeleteMFAAuthenticator(a.Ctx, a.id()) }},
	{"recover", func(a *actors) error {
		email := a.email()
		token, err := a.Users().Guest(latchkey.Client{}).CreateRecovery(a.Ctx, latchkey.NewRecovery{Email: email, URL: kit.RecoverURL})
		if err != nil {
			return err
		}
		return kit.Err(a.Visitor.ConfirmRecovery(a.Ctx, a.id(), token.Secret.Reveal(), kit.Password))
	}},
	{"block oneself", func(a *actors) error { return kit.Err(a.account().Block(a.Ctx)) }},
	{"extend", func(a *actors) error { return kit.Err(a.account().ExtendSession(a.Ctx, latchkey.CurrentSession)) }},
	{"sign out", func(a *actors) error { return a.account().DeleteSession(a.Ctx, latchkey.CurrentSession) }},
	{"sign out everywhere", func(a *actors) error { return a.account().DeleteSessions(a.Ctx) }},
	{"become permanent", func(a *actors) error {
		return kit.Err(a.account().CreateAccount(a.Ctx, latchkey.NewAccount{Email: a.email(), Password: kit.Password}))
	}},
	{"server's status", func(a *actors) error { return kit.Err(a.Users().UpdateStatus(a.Ctx, a.id(), a.bool())) }},
	{"server's e-mail", func(a *actors) error {
		email := a.email()
		if a.bool() {
			email = ""
		}
		return kit.Err(a.Users().UpdateEmail(a.Ctx, a.id(), email))
	}},
	{"server's phone", func(a *actors) error { return kit.Err(a.Users().UpdatePhone(a.Ctx, a.id(), a.phone())) }},
	{"server's password", func(a *actors) error {
		return kit.Err(a.Users().UpdatePassword(a.Ctx, a.id(), map[bool]string{true: kit.Password}[a.bool()]))
	}},
	{"e-mail verification", func(a *actors) error { return kit.Err(a.Users().UpdateEmailVerification(a.Ctx, a.id(), a.bool())) }},
	{"phone verification", func(a *actors) error { return kit.Err(a.Users().UpdatePhoneVerification(a.Ctx, a.id(), a.bool())) }},
	{"server ends sessions", func(a *actors) error { return a.Users().DeleteSessions(a.Ctx, a.id()) }},
	{"delete", func(a *actors) error { return a.Users().Delete(a.Ctx, a.id()) }},
	{"invite", (*actors).invites},
	{"accept", func(a *actors) error {
		made, err := a.Visitor.AcceptInvitation(a.Ctx, a.link())
		if err != nil {
			return err
		}
		return a.enter(made.Session, nil)
	}},
	{"accept in a session", func(a *actors) error { return kit.Err(a.account().AcceptInvitation(a.Ctx, a.link())) }},
	{"decline", func(a *actors) error { return a.Visitor.DeclineInvitation(a.Ctx, a.link()) }},
	{"make a team", func(a *actors) error { return kit.Err(a.teams().Create(a.Ctx, latchkey.NewTeam{Name: "Team"})) }},
	{"add a member", func(a *actors) error {
		team, _ := a.member()
		return kit.Err(a.Engine.Teams().CreateMembership(a.Ctx, team, latchkey.NewMembership{UserID: a.id(), Roles: a.roles()}))
	}},
	{"add another member", func(a *actors) error {
		team, _ := a.member()
		return kit.Err(a.Engine.Teams().CreateMembership(a.Ctx, team, latchkey.NewMembership{UserID: a.id(), Roles: a.roles()}))
	}},
	{"change roles", func(a *actors) error {
		team, id := a.member()
		return kit.Err(a.teams().UpdateMembership(a.Ctx, team, id, a.roles()))
	}},
	{"end a membership", func(a *actors) error {
		team, id := a.member()
		return a.teams().DeleteMembership(a.Ctx, team, id)
	}},
	{"delete a team", func(a *actors) error {
		team, _ := a.member()
		return a.teams().Delete(a.Ctx, team)
	}},
	{"delete oneself", func(a *actors) error { return a.account().Delete(a.Ctx) }},
}

// After any sequence of operations, the facts about a user in the rows of the
// sessions are true. A session check reads only that one row, so it depends on this
// property.
func TestSessionsTellTheTruthAboutTheirUsersAfterEveryOperation(t *testing.T) {
	kit.OneByOne(t, latchkey.Policy{Sessions: latchkey.SessionPolicy{Limit: 3, Length: 24 * time.Hour}}, func(k *kit.Kit) {
		cases := 0
		rapid.Check(k.T, func(t *rapid.T) {
			cases++
			steps(k, t, cases)
		})
	})
}
