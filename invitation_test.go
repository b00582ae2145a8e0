package latchkey_test

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/hidden"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/permission"
	"example.com/latchkey/query"
)

const guestMail = "guest@example.org"

// now is the time of the clock as the stores keep it.
func now(k *kit.Kit) time.Time { return k.Clock.Now().Truncate(time.Microsecond) }

// invite has a member of the club invite a person, and returns the link.
func (c *club) invite(by string, n latchkey.NewMembership) (*latchkey.Membership, latchkey.InvitationLink) {
	c.Helper()
	n.URL = kit.JoinURL
	m, err := c.as(by).CreateMembership(c.Ctx, c.id, n)
	c.Must(err)
	for {
		to := cmp.Or(strings.ToLower(n.Email), n.Phone)
		if n.UserID != "" {
			user, err := c.Users().Get(c.Ctx, n.UserID)
			c.Must(err)
			to = user.Email
		}
		if link := c.InvitationTo(to); link.MembershipID == m.ID { // other messages came before
			return m, link
		}
	}
}

// accepts accepts an invitation without a session.
func (c *club) accepts(l latchkey.InvitationLink) (*latchkey.Accepted, *latchkey.Account) {
	c.Helper()
	made, err := c.Visitor.AcceptInvitation(c.Ctx, l)
	c.Must(err)
	account, err := c.Visitor.Authenticate(c.Ctx, made.Session.Secret.Reveal())
	c.Must(err)
	return made, account
}

// refused checks that an invitation is refused in both ways, and that nothing changes.
func (c *club) refused(what string, want error, l latchkey.InvitationLink, as ...string) {
	c.Helper()
	c.unchanged(what, want, func() error { return kit.Err(c.Visitor.AcceptInvitation(c.Ctx, l)) })
	for _, name := range as {
		c.unchanged(what+" as "+name, want, func() error { return kit.Err(c.accounts[name].AcceptInvitation(c.Ctx, l)) })
	}
}

// unchanged checks that a call is refused, and that nothing but the log of it changes.
func (c *club) unchanged(what string, want error, do func() error) {
	c.Helper()
	before := c.Everything()
	if err := do(); !errors.Is(err, want) {
		c.Errorf("%s: %v, want %v", what, err, want)
	}
	after := c.Everything()
	delete(before, "logs")
	delete(after, "logs")
	c.Same(what, after, before)
}

func TestAnInvitationMakesNobodyUntilItIsAccepted(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		c := newClub(k)
		k.Forget()
		users, err := k.Users().List(k.Ctx)
		k.Must(err)
		m, link := c.invite("owner", latchkey.NewMembership{Email: "Guest@Example.org", Name: "Grace", Roles: []string{"player", "owner"}})
		after, err := k.Users().List(k.Ctx)
		k.Must(err)
		k.Same("users", after.Total, users.Total)
		if m.Confirm || !m.Joined.IsZero() || m.UserEmail != guestMail || m.UserName != "Grace" || m.UserID == "" || m.TeamName != "Chess Club" ||
			!m.Expire.Equal(now(k).Add(7*24*time.Hour)) || !m.Invited.Equal(now(k)) || !slices.Equal(m.Roles, []string{"player", "owner"}) {
			k.Errorf("%+v", m)
		}
		k.Same("link", link, latchkey.InvitationLink{TeamID: c.id, MembershipID: m.ID, UserID: m.UserID, Secret: link.Secret})
		k.Same("events", k.Events(c.id, "T", m.ID, "M"), []string{"teams.T.memberships.M.create by user"})
		k.Same("log", k.Logs(), []string{"membership.create by user"})
		team, err := c.as("owner").Get(k.Ctx, c.id)
		k.Must(err)
		k.Same("total", team.Total, 2)
		for name, list := range map[string]func(...latchkey.Query) (*latchkey.MembershipList, error){
			"member": func(q ...latchkey.Query) (*latchkey.MembershipList, error) {
				return c.as("member").Memberships(k.Ctx, c.id, q...)
			},
			"server": func(q ...latchkey.Query) (*latchkey.MembershipList, error) {
				return c.server().Memberships(k.Ctx, c.id, q...)
			},
		} {
			for _, q := range [][]latchkey.Query{{query.Equal("confirm", false)}, {query.Equal("userId", m.UserID)}, {query.IsNull("joined")}, {query.Search(m.UserID)}} {
				found, err := list(q...)
				k.Must(err)
				if found.Total != 1 || found.Memberships[0].ID != m.ID {
					k.Errorf("%s: %v finds %+v", name, q, found)
				}
			}
		}

		made, account := c.accepts(link)
		if made.Membership.ID != m.ID || !made.Membership.Confirm || made.Membership.UserID != m.UserID || !made.Membership.Joined.Equal(now(k)) ||
			!made.Membership.Expire.IsZero() || !slices.Equal(made.Membership.Roles, []string{"player", "owner"}) {
			k.Errorf("%+v", made.Membership)
		}
		if s := made.Session; s.Provider != "email" || s.ProviderUID != guestMail || !slices.Equal(s.Factors, []string{"email"}) {
			k.Errorf("%+v", s)
		}
		user, err := account.User(k.Ctx)
		k.Must(err)
		if user.ID != m.UserID || user.Email != guestMail || !user.EmailVerification || user.Name != "Grace" {
			k.Errorf("%+v", user)
		}
		k.Same("events", k.Events(c.id, "T", m.ID, "M", user.ID, "U", made.Session.ID, "S"), []string{
			"users.U.create by guest", "users.U.sessions.S.create by user", "teams.T.memberships.M.update.status by user",
		})
		if team, err = account.Teams().Get(k.Ctx, c.id); err != nil || team.Total != 3 {
			k.Errorf("%+v, %v", team, err)
		}
		roles, err := account.Roles(k.Ctx)
		k.Must(err)
		if !roles.Has(permission.TeamRole(c.id, "player")) || !roles.Has(permission.Member(m.ID)) {
			k.Error(roles)
		}
		c.refused("once more", latchkey.ErrMembershipAlreadyConfirmed, link, "stranger")
	})
}

// A name that is not given is the address.
func TestAnInvitedPersonIsCalledByTheirAddress(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		c := newClub(k)
		_, link := c.invite("owner", latchkey.NewMembership{Phone: kit.Phone})
		made, account := c.accepts(link)
		user, err := account.User(k.Ctx)
		k.Must(err)
		if user.Name != kit.Phone || user.Phone != kit.Phone || !user.PhoneVerification || user.Email != "" {
			k.Errorf("%+v", user)
		}
		if s := made.Session; s.Provider != "phone" || s.ProviderUID != kit.Phone || !slices.Equal(s.Factors, []string{"phone"}) {
			k.Errorf("%+v", s)
		}
	})
}

// A pending owner is no owner: the last one can neither leave nor be demoted.
func TestAnInvitedOwnerIsNoOwnerYet(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		c := newClub(k)
		m, _ := c.invite("owner", latchkey.NewMembership{Email: guestMail, Roles: []string{"owner"}})
		k.Must(kit.Err(c.as("owner").UpdateMembership(k.Ctx, c.id, m.ID, []string{"owner", "coach"})))
		k.Refuses("leaves", latchkey.ErrMembershipDeletionProhibited, func() error { return c.as("owner").DeleteMembership(k.Ctx, c.id, c.members["owner"]) })
		k.Refuses("demoted", latchkey.ErrMembershipDowngradeProhibited, func() error {
			return kit.Err(c.as("owner").UpdateMembership(k.Ctx, c.id, c.members["owner"], nil))
		})
		k.Must(k.Users().Delete(k.Ctx, c.accounts["owner"].UserID()))
		if has := c.has(); !strings.Contains(has, "member: player owner") { // and not the invitation
			k.Error(has)
		}
	})
}

// AC-098: the secret is never shown, and invitations are the owners' business.
func TestAC098NobodyReadsOrEndsInvitationsOfOthers(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		c := newClub(k)
		k.Must(kit.Err(c.as("stranger").Create(k.Ctx, latchkey.NewTeam{ID: "other", Name: "Other"})))
		m, link := c.invite("owner", latchkey.NewMembership{Email: guestMail})
		secret := link.Secret.Reveal()
		own, err := c.as("owner").Memberships(k.Ctx, c.id)
		k.Must(err)
		all, err := c.server().Memberships(k.Ctx, c.id)
		k.Must(err)
		for _, shown := range append(slices.Clone(own.Memberships), all.Memberships...) {
			if strings.Contains(fmt.Sprintf("%+v", shown), secret) {
				k.Errorf("%+v", shown)
			}
		}
		for table, rows := range k.Everything() {
			if strings.Contains(strings.Join(rows, "\n"), secret) {
				k.Errorf("%s holds the secret", table)
			}
		}
		k.Refuses("a member cancels", latchkey.ErrUserUnauthorized, func() error { return c.as("member").DeleteMembership(k.Ctx, c.id, m.ID) })
		k.Refuses("a member changes", latchkey.ErrUserUnauthorized, func() error {
			return kit.Err(c.as("member").UpdateMembership(k.Ctx, c.id, m.ID, []string{"owner"}))
		})
		for what, do := range map[string]func() error{
			"reads":   func() error { return kit.Err(c.as("stranger").GetMembership(k.Ctx, "other", m.ID)) },
			"cancels": func() error { return c.as("stranger").DeleteMembership(k.Ctx, "other", m.ID) },
			"changes": func() error {
				return kit.Err(c.as("stranger").UpdateMembership(k.Ctx, "other", m.ID, []string{"owner"}))
			},
		} {
			k.Refuses("the owner of another team "+what, latchkey.ErrMembershipMismatch, do)
		}
		k.Refuses("a stranger cancels", latchkey.ErrTeamNotFound, func() error { return c.as("stranger").DeleteMembership(k.Ctx, c.id, m.ID) })
		moved := link
		moved.TeamID = "other"
		c.refused("to another team", latchkey.ErrMembershipMismatch, moved)
		moved.TeamID = "unknown"
		c.refused("to no team", latchkey.ErrTeamNotFound, moved)
		moved = link
		moved.MembershipID = "unknown"
		c.refused("unknown", latchkey.ErrMembershipNotFound, moved)
		_, second := c.invite("owner", latchkey.NewMembership{Email: "second@example.org"})
		moved = link
		moved.Secret = second.Secret
		c.refused("the secret of another one", latchkey.ErrTeamInvalidSecret, moved)
		for _, secret := range []string{"x", strings.ToUpper(secret), secret + "0", kit.UnknownLink} {
			moved.Secret = hidden.New(secret)
			c.refused("a wrong secret", latchkey.ErrTeamInvalidSecret, moved)
		}
		for _, bad := range []latchkey.InvitationLink{{}, {TeamID: c.id, MembershipID: m.ID, UserID: "", Secret: link.Secret}, {TeamID: c.id, MembershipID: m.ID, UserID: m.UserID}} {
			c.refused("a malformed link", latchkey.ErrArgumentInvalid, bad)
			k.Refuses("a malformed link", latchkey.ErrArgumentInvalid, func() error { return k.Visitor.DeclineInvitation(k.Ctx, bad) })
		}
		c.accepts(link)
	})
}

// The server's addition of an invited person closes the invitation.
func TestTheServerTurnsAnInvitationIntoAMembership(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		c := newClub(k)
		m, link := c.invite("owner", latchkey.NewMembership{Email: guestMail, Roles: []string{"player"}})
		added, err := c.server().CreateMembership(k.Ctx, c.id, latchkey.NewMembership{Email: guestMail, Roles: []string{"coach"}})
		k.Must(err)
		if added.ID != m.ID || !added.Confirm || !slices.Equal(added.Roles, []string{"coach"}) || !added.Invited.Equal(m.Invited) {
			k.Errorf("%+v", added)
		}
		team, err := c.server().Get(k.Ctx, c.id)
		k.Must(err)
		k.Same("total", team.Total, 3)
		c.refused("the link", latchkey.ErrMembershipAlreadyConfirmed, link)

		id := c.accounts["stranger"].UserID()
		m, link = c.invite("owner", latchkey.NewMembership{Email: "stranger@example.org"}) // claimed, not proven
		if added, err = c.server().CreateMembership(k.Ctx, c.id, latchkey.NewMembership{UserID: id}); err != nil || added.ID == m.ID {
			k.Errorf("%+v, %v", added, err)
		}
		if got, err := c.server().GetMembership(k.Ctx, c.id, m.ID); err != nil || got.Confirm { // it may be another person's
			k.Errorf("%+v, %v", got, err)
		}
		k.Refuses("a member already", latchkey.ErrMembershipAlreadyConfirmed, func() error { return kit.Err(k.Visitor.AcceptInvitation(k.Ctx, link)) })
	})
}

func TestDeletionEndsTheInvitationsOfAUser(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		c := newClub(k)
		id := c.accounts["stranger"].UserID()
		byID, link := c.invite("owner", latchkey.NewMembership{UserID: id})
		list, err := k.Users().Memberships(k.Ctx, id)
		k.Must(err)
		if list.Total != 1 || list.Memberships[0].ID != byID.ID || list.Memberships[0].Confirm || list.Memberships[0].TeamName != "Chess Club" {
			k.Errorf("%+v", list)
		}
		k.Must(k.Users().Delete(k.Ctx, id))
		c.refused("by id", latchkey.ErrMembershipNotFound, link)
		user := k.SignUp("proven@example.org")
		k.Must(kit.Err(k.Users().UpdateEmailVerification(k.Ctx, user.ID, true)))
		_, link = c.invite("owner", latchkey.NewMembership{Email: "proven@example.org"})
		k.Must(k.Users().Delete(k.Ctx, user.ID))
		c.refused("by a proven address", latchkey.ErrMembershipNotFound, link)
	})
}

func TestEndAllEndsInvitations(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		c := newClub(k)
		_, link := c.invite("owner", latchkey.NewMembership{Email: guestMail})
		k.Must(k.EndAll(k.Ctx))
		c.refused("ended", latchkey.ErrMembershipNotFound, link)
		k.Same("members", c.has(), "owner: owner, member: player")
	})
}

func TestATeamHasAsManyMembersAsThePolicyAllows(t *testing.T) {
	kit.OnEveryStore(t, latchkey.Policy{Members: latchkey.MemberPolicy{Limit: 2}}, func(k *kit.Kit) {
		c := newClub(k)
		_, link := c.invite("owner", latchkey.NewMembership{Email: guestMail})
		c.refused("the third", latchkey.ErrArgumentInvalid, link)
		k.Refuses("by the server", latchkey.ErrArgumentInvalid, func() error {
			return kit.Err(c.server().CreateMembership(k.Ctx, c.id, latchkey.NewMembership{Email: guestMail}))
		})
		k.Must(c.as("owner").DeleteMembership(k.Ctx, c.id, c.members["member"]))
		c.accepts(link)
	})
}

// The export of a user has the invitations to their proven addresses, and none of the secrets or
// of the other users in them.
func TestAnExportHasTheInvitationsOfTheUser(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		c := newClub(k)
		id := c.accounts["stranger"].UserID()
		for what, n := range map[string]latchkey.NewMembership{"by id": {UserID: id}, "by address": {Email: "stranger@example.org"}} {
			m, link := c.invite("owner", n)
			for proven, want := range map[bool]bool{false: n.UserID != "", true: true} {
				k.Must(kit.Err(k.Users().UpdateEmailVerification(k.Ctx, id, proven)))
				out, err := k.Users().Export(k.Ctx, id)
				k.Must(err)
				text := string(out)
				if strings.Contains(text, m.ID) != want || strings.Contains(text, c.accounts["owner"].UserID()) || strings.Contains(text, link.Secret.Reveal()) {
					k.Errorf("%s, %v: %s", what, proven, text)
				}
			}
			k.Must(c.as("owner").DeleteMembership(k.Ctx, c.id, m.ID))
		}
	})
}
