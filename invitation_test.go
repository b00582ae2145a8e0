package latchkey_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/hidden"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/notify"
	"example.com/latchkey/permission"
	"example.com/latchkey/query"
	"example.com/latchkey/store"
	"example.com/latchkey/store/storetest"
)

const guestMail = "guest@example.org"

// now is the time of the clock as the stores keep it.
func now(k *kit.Kit) time.Time { return k.Clock.Now().Truncate(time.Microsecond) }

// invite has a member of the club invite somebody, and returns the link.
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

// The message names team and inviter, and shows nothing of the inviter's client.
func TestTheMessageOfAnInvitation(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		c := newClub(k)
		k.Must(kit.Err(c.accounts["owner"].UpdateName(k.Ctx, "Olga")))
		for _, n := range []latchkey.NewMembership{{Email: guestMail}, {Phone: kit.Phone}} {
			n.URL = "https://app.example.org/join?lang=en#top"
			m, err := c.as("owner").CreateMembership(k.Ctx, c.id, n)
			k.Must(err)
			mail := k.Mail(n.Email + n.Phone)
			if mail.Kind != notify.Invitation || mail.Name != "" || mail.Client != (notify.Client{}) || mail.TeamID != c.id || mail.TeamName != "Chess Club" ||
				mail.MembershipID != m.ID || mail.Inviter != "Olga" || !mail.Expire.Equal(m.Expire) || mail.UserID != m.UserID {
				k.Errorf("%+v", mail.Message)
			}
			want := "https://app.example.org/join?lang=en&membershipId=" + m.ID + "&userId=" + m.UserID + "&secret=" + mail.Secret + "&teamId=club"
			if n.Email != "" {
				want += "&teamName=Chess+Club"
			}
			if mail.Link != want+"#top" {
				k.Error(mail.Link)
			}
		}
	})
}

// The answer to an invitation does not tell whether the address has an account, and one to a user
// shows nothing of them.
func TestAnInvitationTellsNothingOfThePerson(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		c := newClub(k)
		id := c.accounts["stranger"].UserID()
		k.Must(kit.Err(k.Users().UpdateEmailVerification(k.Ctx, id, true)))
		k.Must(kit.Err(k.Users().UpdateName(k.Ctx, id, "Stranger")))
		k.Must(kit.Err(k.Users().UpdatePhone(k.Ctx, id, kit.OwnPhone)))
		known, link := c.invite("owner", latchkey.NewMembership{Email: "stranger@example.org", Phone: kit.Phone})
		if known.UserID == id || known.UserName != "" || known.UserPhone != "" || known.MFA || link.UserID != known.UserID {
			k.Errorf("%+v", known)
		}
		byID, link := c.invite("owner", latchkey.NewMembership{UserID: id, Email: "other@example.org"})
		if byID.ID == known.ID || byID.UserID != id || byID.UserEmail+byID.UserPhone+byID.UserName != "" {
			k.Errorf("%+v", byID)
		}
		for name, teams := range map[string]*latchkey.Teams{"owner": c.as("owner"), "member": c.as("member")} {
			if m, err := teams.GetMembership(k.Ctx, c.id, byID.ID); err != nil || m.UserEmail+m.UserPhone+m.UserName != "" {
				k.Errorf("%s: %+v, %v", name, m, err)
			}
		}
		if m, err := c.server().GetMembership(k.Ctx, c.id, byID.ID); err != nil || m.UserEmail != "stranger@example.org" {
			k.Errorf("%+v, %v", m, err)
		}
		made, account := c.accepts(link)
		if account.UserID() != id || made.Membership.UserID != id {
			k.Errorf("%+v", made.Membership)
		}
		k.Refuses("the other one ends", latchkey.ErrMembershipNotFound, func() error { return kit.Err(c.server().GetMembership(k.Ctx, c.id, known.ID)) })
	})
}

func TestHiddenFieldsAreHiddenInInvitationsToo(t *testing.T) {
	kit.OnEveryStore(t, latchkey.Policy{Members: latchkey.MemberPolicy{HideName: true, HideEmail: true, HidePhone: true}}, func(k *kit.Kit) {
		c := newClub(k)
		for _, n := range []latchkey.NewMembership{{Email: guestMail, Name: "Grace"}, {Phone: kit.Phone, Name: "Grace"}} {
			m, _ := c.invite("owner", n)
			again, err := c.as("owner").UpdateMembership(k.Ctx, c.id, m.ID, []string{"player"})
			k.Must(err)
			got, err := c.as("member").GetMembership(k.Ctx, c.id, m.ID)
			k.Must(err)
			for what, shown := range map[string]*latchkey.Membership{"update": again, "get": got} {
				if shown.UserName+shown.UserEmail+shown.UserPhone != "" {
					k.Errorf("%s: %+v", what, shown)
				}
			}
		}
	})
}

// The policy that discloses accounts has the documented answers.
func TestInvitationsThatDiscloseAccounts(t *testing.T) {
	kit.OnEveryStore(t, latchkey.Policy{DiscloseAccounts: true}, func(k *kit.Kit) {
		c := newClub(k)
		id := c.accounts["stranger"].UserID()
		for what, n := range map[string]latchkey.NewMembership{
			"another address": {UserID: id, Email: "other@example.org"}, "another number": {Email: "stranger@example.org", Phone: kit.Phone},
		} {
			n.URL = kit.JoinURL
			k.Refuses(what, latchkey.ErrUserAlreadyExists, func() error { return kit.Err(c.as("owner").CreateMembership(k.Ctx, c.id, n)) })
		}
		m, link := c.invite("owner", latchkey.NewMembership{Email: "stranger@example.org"})
		if m.UserID != id || link.UserID != id {
			k.Errorf("%+v", m)
		}
	})
}

func TestWhatAnInvitationRefuses(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		c := newClub(k)
		addressless, err := k.Users().Create(k.Ctx, latchkey.NewUser{})
		k.Must(err)
		invite := func(n latchkey.NewMembership) func() error {
			if n.URL == "" {
				n.URL = kit.JoinURL
			}
			n.URL = strings.TrimPrefix(n.URL, "none")
			return func() error { return kit.Err(c.as("owner").CreateMembership(k.Ctx, c.id, n)) }
		}
		for what, row := range map[string]struct {
			n    latchkey.NewMembership
			want error
		}{
			"nobody":             {latchkey.NewMembership{}, latchkey.ErrArgumentInvalid},
			"no address":         {latchkey.NewMembership{UserID: addressless.ID}, latchkey.ErrArgumentInvalid},
			"a wrong address":    {latchkey.NewMembership{Email: "ada"}, latchkey.ErrArgumentInvalid},
			"a wrong number":     {latchkey.NewMembership{Phone: "12"}, latchkey.ErrArgumentInvalid},
			"a number at a cost": {latchkey.NewMembership{Phone: "+19005550123"}, latchkey.ErrArgumentInvalid},
			"an unknown user":    {latchkey.NewMembership{UserID: "unknown"}, latchkey.ErrUserNotFound},
			"no page":            {latchkey.NewMembership{Email: guestMail, URL: "none"}, latchkey.ErrArgumentInvalid},
			"a strange page":     {latchkey.NewMembership{Email: guestMail, URL: "https://evil.example/"}, latchkey.ErrArgumentInvalid},
			"a role":             {latchkey.NewMembership{Email: guestMail, Roles: []string{"a b"}}, latchkey.ErrArgumentInvalid},
			"a member by id":     {latchkey.NewMembership{UserID: c.accounts["member"].UserID()}, latchkey.ErrMembershipAlreadyConfirmed},
		} {
			k.Refuses(what, row.want, invite(row.n))
		}
		k.Must(kit.Err(k.Users().UpdateEmailVerification(k.Ctx, c.accounts["member"].UserID(), true)))
		k.Refuses("a member by address", latchkey.ErrMembershipAlreadyConfirmed, invite(latchkey.NewMembership{Email: "member@example.org"}))
		for name, want := range map[string]error{"member": latchkey.ErrUserUnauthorized, "stranger": latchkey.ErrTeamNotFound} {
			for _, n := range []latchkey.NewMembership{{Email: guestMail, URL: kit.JoinURL}, {UserID: "unknown", URL: kit.JoinURL}} { // nothing is told of the person
				k.Refuses(name, want, func() error { return kit.Err(c.as(name).CreateMembership(k.Ctx, c.id, n)) })
			}
		}
		k.Refuses("by the server to a strange page", latchkey.ErrArgumentInvalid, func() error {
			return kit.Err(c.server().CreateMembership(k.Ctx, c.id, latchkey.NewMembership{Email: guestMail, URL: "https://evil.example/"}))
		})
		silent := k.Configured(func(c *latchkey.Config) { c.Notifier, c.SMS = nil, nil })
		session, err := k.Users().CreateSession(k.Ctx, c.accounts["owner"].UserID())
		k.Must(err)
		owner, err := silent.Guest(kit.Client).Authenticate(k.Ctx, session.Secret.Reveal())
		k.Must(err)
		for _, row := range []struct {
			n    latchkey.NewMembership
			want error
		}{{latchkey.NewMembership{Email: guestMail, URL: kit.JoinURL}, latchkey.ErrSMTPDisabled}, {latchkey.NewMembership{Phone: kit.Phone, URL: kit.JoinURL}, latchkey.ErrPhoneDisabled}} {
			k.Refuses("nothing to send by", row.want, func() error { return kit.Err(owner.Teams().CreateMembership(k.Ctx, c.id, row.n)) })
		}
		off := k.Configured(func(c *latchkey.Config) { c.Policy.Disabled = latchkey.MethodInvitation })
		if owner, err = off.Guest(kit.Client).Authenticate(k.Ctx, session.Secret.Reveal()); err != nil {
			k.Fatal(err)
		}
		k.Refuses("switched off", latchkey.ErrAuthMethodUnsupported, func() error {
			return kit.Err(owner.Teams().CreateMembership(k.Ctx, c.id, latchkey.NewMembership{Email: guestMail, URL: kit.JoinURL}))
		})
		k.Must(kit.Err(off.Teams().CreateMembership(k.Ctx, c.id, latchkey.NewMembership{Email: guestMail}))) // the server does not invite
	})
}

func TestRefusedAddressesAreNotInvited(t *testing.T) {
	kit.OnEveryStore(t, latchkey.Policy{Addresses: latchkey.AddressPolicy{RefuseAliased: true}}, func(k *kit.Kit) {
		c := newClub(k)
		k.Refuses("an alias", latchkey.ErrEmailNotCanonical, func() error {
			return kit.Err(c.as("owner").CreateMembership(k.Ctx, c.id, latchkey.NewMembership{Email: "a.d.a+x@gmail.com", URL: kit.JoinURL}))
		})
	})
}

// A new invitation of the same address takes the place of the one before.
func TestANewInvitationEndsTheOneBefore(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		c := newClub(k)
		first, old := c.invite("owner", latchkey.NewMembership{Email: guestMail, Roles: []string{"owner"}})
		k.Clock.Advance(time.Hour)
		k.Forget()
		second, link := c.invite("owner", latchkey.NewMembership{Email: guestMail, Roles: []string{"player"}})
		if second.ID != first.ID || second.UserID == first.UserID || !second.CreatedAt.Equal(first.CreatedAt) || !second.Invited.Equal(now(k)) {
			k.Errorf("%+v, %+v", first, second)
		}
		k.Same("events", k.Events(c.id, "T", second.ID, "M"), []string{"teams.T.memberships.M.update by user"})
		c.refused("the old link", latchkey.ErrTeamInvalidSecret, old)
		made, _ := c.accepts(link)
		k.Same("roles", made.Membership.Roles, []string{"player"})
	})
}

// The roles of an invitation can be changed, and who changes them answers for them.
func TestRolesOfAnInvitationAreChanged(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		c := newClub(k)
		m, link := c.invite("owner", latchkey.NewMembership{Email: guestMail, Roles: []string{"player"}})
		k.Must(kit.Err(c.as("owner").UpdateMembership(k.Ctx, c.id, c.members["member"], []string{"owner"})))
		changed, err := c.as("member").UpdateMembership(k.Ctx, c.id, m.ID, []string{"owner", "coach"})
		k.Must(err)
		if changed.Confirm || !slices.Equal(changed.Roles, []string{"owner", "coach"}) {
			k.Errorf("%+v", changed)
		}
		k.Must(kit.Err(c.server().UpdateMembership(k.Ctx, c.id, m.ID, []string{"coach"}))) // the server answers for itself
		k.Must(kit.Err(k.Users().UpdateStatus(k.Ctx, c.accounts["member"].UserID(), false)))
		c.refused("whoever gave the roles is blocked", latchkey.ErrTeamInvalidSecret, link)
		k.Must(kit.Err(c.as("owner").UpdateMembership(k.Ctx, c.id, m.ID, []string{"coach"})))
		made, _ := c.accepts(link)
		k.Same("roles", made.Membership.Roles, []string{"coach"})
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

// AC-095: a link is for the owner of the address.
func TestAC095AnInvitationIsForTheOwnerOfTheAddress(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		c := newClub(k, "thief")
		k.Must(c.as("owner").DeleteMembership(k.Ctx, c.id, c.members["thief"]))
		thief := c.accounts["thief"]
		k.Must(kit.Err(k.Users().UpdateEmailVerification(k.Ctx, thief.UserID(), true)))
		m, link := c.invite("owner", latchkey.NewMembership{Email: guestMail})
		accept := func(what string, want error, l latchkey.InvitationLink) {
			k.Refuses(what, want, func() error { return kit.Err(thief.AcceptInvitation(k.Ctx, l)) })
		}
		accept("another user", latchkey.ErrTeamInviteMismatch, link)
		other := link
		other.UserID = thief.UserID()
		accept("another id", latchkey.ErrTeamInviteMismatch, other)
		k.Refuses("another id without a session", latchkey.ErrTeamInviteMismatch, func() error { return kit.Err(k.Visitor.AcceptInvitation(k.Ctx, other)) })
		k.Refuses("another id declines", latchkey.ErrTeamInviteMismatch, func() error { return k.Visitor.DeclineInvitation(k.Ctx, other) })
		k.Refuses("another user without the link", latchkey.ErrTeamNotFound, func() error { return thief.Teams().DeleteMembership(k.Ctx, c.id, m.ID) })
		k.Must(kit.Err(k.Visitor.CreateAccount(k.Ctx, latchkey.NewAccount{Email: guestMail, Password: kit.Password})))
		_, right := k.SignIn(guestMail)
		other.UserID = "someone"
		c.unchanged("the right user with another id", latchkey.ErrTeamInviteMismatch, func() error { return kit.Err(right.AcceptInvitation(k.Ctx, other)) })
		k.Must(k.Users().Delete(k.Ctx, right.UserID()))
		_, account := c.accepts(link) // it stayed open
		k.Same("who", account.UserID(), m.UserID)

		// by id: nobody else, whoever has the address by then
		id := c.accounts["stranger"].UserID()
		m, link = c.invite("owner", latchkey.NewMembership{UserID: id})
		k.Refuses("another user without the link, by id", latchkey.ErrTeamNotFound, func() error { return thief.Teams().DeleteMembership(k.Ctx, c.id, m.ID) })
		k.Must(kit.Err(k.Users().UpdateEmail(k.Ctx, id, "elsewhere@example.org")))
		c.refused("the address is left", latchkey.ErrMembershipNotFound, link, "thief", "stranger")
		k.Must(kit.Err(k.Users().UpdateEmail(k.Ctx, thief.UserID(), "stranger@example.org")))
		c.refused("the address has another owner", latchkey.ErrMembershipNotFound, link, "thief", "stranger")
	})
}

// AC-096: who has the address without having proven it can do nothing with its invitations.
func TestAC096AClaimedAddressOpensNoInvitation(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		c := newClub(k)
		squatter := k.SignUp(guestMail)
		_, account := k.SignIn(guestMail)
		m, link := c.invite("owner", latchkey.NewMembership{Email: guestMail, Roles: []string{"owner"}})
		guessed := link
		guessed.Secret = hidden.New(kit.UnknownLink)
		c.unchanged("accept", latchkey.ErrTeamInvalidSecret, func() error { return kit.Err(account.AcceptInvitation(k.Ctx, guessed)) })
		c.unchanged("decline", latchkey.ErrTeamInvalidSecret, func() error { return k.Visitor.DeclineInvitation(k.Ctx, guessed) })
		k.Refuses("decline without the link", latchkey.ErrTeamNotFound, func() error { return account.Teams().DeleteMembership(k.Ctx, c.id, m.ID) })
		k.Refuses("read", latchkey.ErrTeamNotFound, func() error { return kit.Err(account.Teams().GetMembership(k.Ctx, c.id, m.ID)) })
		if list, err := k.Users().Memberships(k.Ctx, squatter.ID); err != nil || list.Total != 0 {
			k.Errorf("%+v, %v", list, err)
		}
		// The owner of the mailbox gets the address, and nothing of the squatter's.
		_, own := c.accepts(link)
		if own.UserID() != squatter.ID {
			k.Error("the account is not that of the address")
		}
		if err := kit.Err(account.User(k.Ctx)); err != latchkey.ErrUnauthorized {
			k.Errorf("the squatter's session: %v", err)
		}
		if err := k.Try("192.0.2.9", guestMail, kit.Password); err != latchkey.ErrInvalidCredentials {
			k.Errorf("the squatter's password: %v", err)
		}

		// The owner of the mailbox has opened a squatter's link: until the password is shown, the
		// address may be another person's.
		k.SignUp("opened@example.org")
		_, account = k.SignIn("opened@example.org")
		token, err := account.CreateEmailVerification(k.Ctx, kit.VerifyURL)
		k.Must(err)
		opened := k.MailOf(token, "opened@example.org")
		k.Must(kit.Err(k.Visitor.ConfirmEmailVerification(k.Ctx, opened.UserID, opened.Secret)))
		m, _ = c.invite("owner", latchkey.NewMembership{Email: "opened@example.org"})
		k.Refuses("decline what is not claimed", latchkey.ErrTeamNotFound, func() error { return account.Teams().DeleteMembership(k.Ctx, c.id, m.ID) })

		// Deleting the account that claims an address ends no invitation to it.
		mallory := k.SignUp("late@example.org")
		m, link = c.invite("owner", latchkey.NewMembership{Email: "late@example.org"})
		k.Must(k.Users().Delete(k.Ctx, mallory.ID))
		if made, _ := c.accepts(link); made.Membership.ID != m.ID {
			k.Errorf("%+v", made.Membership)
		}
	})
}

// A session of the user who has the address accepts; the link proves the address, and not that
// the account is that of its reader.
func TestASessionAcceptsForItsOwnAddress(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		c := newClub(k)
		account := c.accounts["stranger"]
		m, link := c.invite("owner", latchkey.NewMembership{Email: "stranger@example.org", Roles: []string{"player"}})
		sessions, err := account.Sessions(k.Ctx)
		k.Must(err)
		k.Forget()
		joined, err := account.AcceptInvitation(k.Ctx, link)
		k.Must(err)
		if joined.ID != m.ID || joined.UserID != account.UserID() || !joined.Confirm {
			k.Errorf("%+v", joined)
		}
		user, err := account.User(k.Ctx)
		k.Must(err)
		if !user.EmailVerification {
			k.Error("the address is not proven")
		}
		after, err := account.Sessions(k.Ctx)
		k.Must(err)
		k.Same("sessions", len(after.Sessions), len(sessions.Sessions))
		k.Same("events", k.Events(c.id, "T", m.ID, "M", user.ID, "U"), []string{"users.U.update.verification by user", "teams.T.memberships.M.update.status by user"})
		// The password was never shown since: the mailbox may still claim the account.
		token, secret := k.AskCode("stranger@example.org")
		k.Must(kit.Err(k.Visitor.CreateSession(k.Ctx, token.UserID, secret)))
		if err := k.Try("192.0.2.9", "stranger@example.org", kit.Password); err != latchkey.ErrInvalidCredentials {
			k.Errorf("the planted password: %v", err)
		}
	})
}

// AC-097: an invitation serves once.
func TestAC097AnInvitationServesOnce(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		c := newClub(k)
		m, link := c.invite("owner", latchkey.NewMembership{Email: guestMail})
		made, account := c.accepts(link)
		k.Must(kit.Err(c.as("owner").UpdateMembership(k.Ctx, c.id, m.ID, []string{"coach"})))
		c.refused("accepted", latchkey.ErrMembershipAlreadyConfirmed, link)
		k.Refuses("accepted, by the member", latchkey.ErrMembershipAlreadyConfirmed, func() error { return kit.Err(account.AcceptInvitation(k.Ctx, link)) })
		got, err := account.Teams().GetMembership(k.Ctx, c.id, m.ID)
		k.Must(err)
		k.Same("roles", got.Roles, []string{"coach"}) // neither raised nor lowered
		// an invitation of the other address, from before and from after, does not bring the member back
		k.Must(kit.Err(k.Users().UpdatePhone(k.Ctx, made.Membership.UserID, kit.OwnPhone)))
		_, byPhone := c.invite("owner", latchkey.NewMembership{Phone: kit.OwnPhone, Roles: []string{"owner"}})
		k.Must(kit.Err(k.Users().UpdatePhoneVerification(k.Ctx, made.Membership.UserID, true)))
		k.Refuses("by the other address", latchkey.ErrMembershipAlreadyConfirmed, func() error { return kit.Err(account.AcceptInvitation(k.Ctx, byPhone)) })
		k.Must(c.as("owner").DeleteMembership(k.Ctx, c.id, m.ID))
		c.refused("removed", latchkey.ErrMembershipNotFound, link)
		c.refused("removed, by the other address", latchkey.ErrMembershipNotFound, byPhone)

		m, link = c.invite("owner", latchkey.NewMembership{Email: guestMail})
		k.Must(c.as("owner").DeleteMembership(k.Ctx, c.id, m.ID))
		c.refused("cancelled", latchkey.ErrMembershipNotFound, link)

		_, link = c.invite("owner", latchkey.NewMembership{Email: guestMail})
		k.Forget()
		k.Must(k.Visitor.DeclineInvitation(k.Ctx, link))
		k.Same("events", k.Events(c.id, "T", link.MembershipID, "M"), []string{"teams.T.memberships.M.delete by guest"})
		c.refused("declined", latchkey.ErrMembershipNotFound, link)

		m, link = c.invite("owner", latchkey.NewMembership{Email: guestMail})
		k.Must(account.Teams().DeleteMembership(k.Ctx, c.id, m.ID)) // the address is proven
		c.refused("declined without the link", latchkey.ErrMembershipNotFound, link)

		_, link = c.invite("owner", latchkey.NewMembership{Email: guestMail})
		k.Clock.Advance(7*24*time.Hour - time.Second)
		_, last := c.invite("owner", latchkey.NewMembership{Email: "last@example.org"})
		k.Clock.Advance(time.Second)
		c.refused("expired", latchkey.ErrTeamInvalidSecret, link)
		swept, err := k.Sweep(k.Ctx)
		k.Must(err)
		k.Same("swept", swept.Tokens > 0, true)
		c.refused("swept", latchkey.ErrMembershipNotFound, link)
		c.accepts(last)
	})
}

func TestInvitationsLiveAsLongAsThePolicySays(t *testing.T) {
	kit.OnEveryStore(t, latchkey.Policy{Messages: latchkey.MessagePolicy{InvitationLength: time.Hour}}, func(k *kit.Kit) {
		c := newClub(k)
		_, link := c.invite("owner", latchkey.NewMembership{Email: guestMail})
		k.Clock.Advance(time.Hour)
		c.refused("expired", latchkey.ErrTeamInvalidSecret, link)
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

// The inviter must be able to invite when the invitation is accepted. That of a former owner ends,
// that of a blocked one waits.
func TestAnInvitationIsWorthWhatItsInviterIs(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		c := newClub(k, "second")
		owns := func(roles ...string) {
			k.Must(kit.Err(c.server().UpdateMembership(k.Ctx, c.id, c.members["second"], roles)))
		}
		owns("owner")
		id := c.accounts["second"].UserID()
		invited := latchkey.NewMembership{Email: guestMail, Roles: []string{"owner"}}
		_, link := c.invite("second", invited)
		owns("player")
		c.refused("demoted", latchkey.ErrMembershipNotFound, link)
		owns("owner")
		c.refused("and an owner again", latchkey.ErrMembershipNotFound, link)

		_, link = c.invite("second", invited)
		_, own := c.invite("owner", latchkey.NewMembership{Email: "own@example.org"})
		k.Must(kit.Err(k.Users().UpdateStatus(k.Ctx, id, false)))
		c.refused("blocked", latchkey.ErrTeamInvalidSecret, link)
		k.Must(k.Visitor.DeclineInvitation(k.Ctx, link)) // which needs nobody's power
		k.Must(kit.Err(k.Users().UpdateStatus(k.Ctx, id, true)))
		_, link = c.invite("second", invited)
		k.Must(c.as("owner").DeleteMembership(k.Ctx, c.id, c.members["second"]))
		c.refused("removed", latchkey.ErrMembershipNotFound, link)

		c.join("second", "owner")
		_, link = c.invite("second", invited)
		k.Must(k.Users().Delete(k.Ctx, id))
		c.refused("deleted", latchkey.ErrMembershipNotFound, link)
		c.accepts(own) // that of another owner stays

		_, link = c.invite("owner", latchkey.NewMembership{Email: guestMail})
		k.Must(c.as("owner").Delete(k.Ctx, c.id))
		c.refused("the team is deleted", latchkey.ErrMembershipNotFound, link)
		k.Must(kit.Err(k.Engine.Teams().Create(k.Ctx, latchkey.NewTeam{ID: c.id, Name: "Chess Club"})))
		k.Must(kit.Err(c.server().CreateMembership(k.Ctx, c.id, latchkey.NewMembership{UserID: c.accounts["owner"].UserID(), Roles: []string{"owner"}})))
		c.refused("another team of the id", latchkey.ErrMembershipNotFound, link)
	})
}

// What the server adds, and what a new address of a user means, for open invitations.
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

func TestBlockedUsersAreNotInvitedAndAcceptNothing(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		c := newClub(k)
		id := c.accounts["stranger"].UserID()
		k.Must(kit.Err(k.Users().UpdateEmailVerification(k.Ctx, id, true)))
		m, link := c.invite("owner", latchkey.NewMembership{Email: "stranger@example.org"})
		k.Must(kit.Err(k.Users().UpdateStatus(k.Ctx, id, false)))
		if err := kit.Err(k.Visitor.AcceptInvitation(k.Ctx, link)); err != latchkey.ErrUserBlocked {
			k.Error(err)
		}
		if err := kit.Err(c.accounts["stranger"].AcceptInvitation(k.Ctx, link)); err != latchkey.ErrUserBlocked {
			k.Error(err)
		}
		if got, err := c.server().GetMembership(k.Ctx, c.id, m.ID); err != nil || got.Confirm {
			k.Errorf("%+v, %v", got, err)
		}
		engine := k.Configured(func(*latchkey.Config) {})
		session, err := k.Users().CreateSession(k.Ctx, c.accounts["owner"].UserID())
		k.Must(err)
		owner, err := engine.Guest(kit.Client).Authenticate(k.Ctx, session.Secret.Reveal())
		k.Must(err)
		*k.Box = notify.Outbox{}
		k.Must(kit.Err(owner.Teams().CreateMembership(k.Ctx, c.id, latchkey.NewMembership{Email: "stranger@example.org", URL: kit.JoinURL})))
		k.Same("messages", k.Posted(engine), []string(nil))
	})
}

// A session that an invitation makes owes what any of its user owes.
func TestAnAcceptedInvitationOwesTheSecondFactor(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.Enrolled(latchkey.NewMFAAuthenticator{})
		k.Must(kit.Err(k.Users().UpdateEmailVerification(k.Ctx, k.IDOf(kit.Ada), true)))
		c := newClub(k)
		_, link := c.invite("owner", latchkey.NewMembership{Email: kit.Ada})
		made, err := k.Visitor.AcceptInvitation(k.Ctx, link)
		k.Must(err)
		if err := kit.Err(k.Visitor.Authenticate(k.Ctx, made.Session.Secret.Reveal())); !errors.Is(err, latchkey.ErrMoreFactorsRequired) {
			k.Error(err)
		}
	})
}

func TestATeamHasAtMost200OpenInvitations(t *testing.T) {
	kit.OnAShare(t, kit.Documented, func(k *kit.Kit) {
		c := newClub(k)
		invite := func(n int) error {
			return kit.Err(c.as("owner").CreateMembership(k.Ctx, c.id, latchkey.NewMembership{Email: fmt.Sprintf("g%d@example.org", n), URL: kit.JoinURL}))
		}
		for n := range 200 {
			k.Must(invite(n))
		}
		k.Refuses("the 201st", latchkey.ErrArgumentInvalid, func() error { return invite(200) })
		k.Must(invite(0)) // takes the place of one
		k.Clock.Advance(7 * 24 * time.Hour)
		k.Must(invite(200)) // the others have expired
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

// Of a hundred who accept, cancel, decline, replace, and delete the team at once, each comes
// before or after every other: the totals are right, and the invitation serves at most once.
func TestAHundredAcceptCancelAndDeleteAtOnce(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		for round := range 3 {
			c := newClub2(k, round)
			m, link := c.invite("owner", latchkey.NewMembership{Email: fmt.Sprintf("guest%d@example.org", round), Roles: []string{"player"}})
			var accepted, ended atomic.Int64
			var group sync.WaitGroup
			for n := range 100 {
				group.Go(func() {
					switch {
					case n%4 == 1 && round == 1:
						if c.as("owner").DeleteMembership(k.Ctx, c.id, m.ID) == nil {
							ended.Add(1)
						}
					case n == 50 && round == 2:
						_ = c.as("owner").Delete(k.Ctx, c.id)
					default:
						if kit.Err(k.Visitor.AcceptInvitation(k.Ctx, link)) == nil {
							accepted.Add(1)
						}
					}
				})
			}
			group.Wait()
			if accepted.Load() > 1 || round == 0 && accepted.Load() != 1 || round == 1 && ended.Load() == 0 {
				k.Errorf("round %d: accepted %d times, ended %d times", round, accepted.Load(), ended.Load())
			}
			if broken := k.Broken(); broken != nil {
				k.Error(broken)
			}
		}
	})
}

// newClub2 is newClub for several clubs in one store.
func newClub2(k *kit.Kit, n int) *club {
	k.Helper()
	c := &club{k, fmt.Sprint("club", n), make(map[string]*latchkey.Account), make(map[string]string)}
	email := fmt.Sprintf("owner%d@example.org", n)
	k.SignUp(email)
	_, c.accounts["owner"] = k.SignIn(email)
	k.Must(kit.Err(c.as("owner").Create(k.Ctx, latchkey.NewTeam{ID: c.id, Name: "Chess Club"})))
	return c
}

// Failed acceptances count as failed sign-ins of the client address.
func TestWrongInvitationsAreCounted(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		c := newClub(k)
		_, link := c.invite("owner", latchkey.NewMembership{Email: guestMail})
		wrong := link
		wrong.Secret = hidden.New(kit.UnknownLink)
		k.Engine = k.LimitedEngine(nil)
		guest := k.Guest(kit.At("192.0.2.7"))
		for range 300 {
			if err := kit.Err(guest.AcceptInvitation(k.Ctx, wrong)); err != latchkey.ErrTeamInvalidSecret {
				k.Fatal(err)
			}
		}
		for what, do := range map[string]func() error{
			"accept": func() error { return kit.Err(guest.AcceptInvitation(k.Ctx, link)) }, "decline": func() error { return guest.DeclineInvitation(k.Ctx, link) },
			"sign in": func() error {
				return kit.Err(guest.CreateEmailPasswordSession(k.Ctx, "owner@example.org", kit.Password))
			},
		} {
			if err := do(); !errors.Is(err, latchkey.ErrRateLimitExceeded) {
				k.Errorf("%s: %v", what, err)
			}
		}
		if logs := k.Logs(); !slices.Contains(logs, "membership.refuse by guest for team_invalid_secret, 300") {
			k.Error(logs)
		}
		k.Must(kit.Err(k.Guest(kit.At("192.0.2.8")).AcceptInvitation(k.Ctx, link)))
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

// Invitations do not alert.
func TestAnAcceptedInvitationAlertsNobody(t *testing.T) {
	kit.OnEveryStore(t, latchkey.Policy{Sessions: latchkey.SessionPolicy{Alerts: true}}, func(k *kit.Kit) {
		c := newClub(k)
		user := k.Proven()
		k.Must(kit.Err(k.Users().CreateSession(k.Ctx, user.ID)))
		_, link := c.invite("owner", latchkey.NewMembership{Phone: kit.Phone})
		engine := k.Configured(func(*latchkey.Config) {})
		*k.Box = notify.Outbox{}
		k.Must(kit.Err(engine.Guest(kit.At("192.0.2.9")).AcceptInvitation(k.Ctx, link)))
		k.Same("messages", k.Posted(engine), []string(nil))
	})
}

// What the rows say of the inviter decides, whoever has changed them.
func TestTheInviterIsCheckedAtTheAcceptance(t *testing.T) {
	for name, edit := range map[string]func(u *record.User, m *record.Membership){
		"no owner":         func(_ *record.User, m *record.Membership) { m.Owner, m.Roles = false, "[]" },
		"another user":     func(u *record.User, m *record.Membership) { u.Key += "x" },
		"no member":        func(_ *record.User, m *record.Membership) { m.UserKey += "x" },
		"another user too": func(u *record.User, m *record.Membership) { u.Key, m.UserKey = u.Key+"x", m.UserKey+"x" },
	} {
		t.Run(name, func(t *testing.T) {
			kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
				c := newClub(k)
				_, link := c.invite("owner", latchkey.NewMembership{Email: guestMail})
				k.Tampered = true
				k.Must(k.Raw.Update(k.Ctx, func(ctx context.Context, tx store.Tx) error {
					u, err := record.Users.Get(ctx, tx, record.Users.Primary(), store.Text(c.accounts["owner"].UserID()))
					if err != nil {
						return err
					}
					m, err := record.Memberships.Get(ctx, tx, record.Memberships.Primary(), store.Text(c.members["owner"]))
					if err != nil {
						return err
					}
					edit(u, m)
					return errors.Join(record.Users.Replace(ctx, tx, u), record.Memberships.Replace(ctx, tx, m))
				}))
				c.refused(name, latchkey.ErrTeamInvalidSecret, link)
			})
		})
	}
}

// While a user is invited by id, their address changes: nothing goes to the former one.
func TestAnInvitationDoesNotGoToAFormerAddress(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		c := newClub(k)
		id := c.accounts["stranger"].UserID()
		hook, read := k.Store.Hook, 0
		k.Store.Hook = func(call storetest.Call) error {
			if call.Done && !call.Inside {
				read++
			}
			if read == 3 { // session, team, and user
				k.Store.Hook = hook
				k.Must(kit.Err(k.Users().UpdateEmail(k.Ctx, id, "elsewhere@example.org")))
			}
			return hook(call)
		}
		err := kit.Err(c.as("owner").CreateMembership(k.Ctx, c.id, latchkey.NewMembership{UserID: id, URL: kit.JoinURL}))
		k.Store.Hook = hook
		if err != latchkey.ErrBusy {
			k.Error(err)
		}
	})
}

// An invitation that was made while the clock was ahead is not good, and not when that time comes.
func TestAnInvitationFromAheadOfTheClockIsNotGood(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		c := newClub(k)
		k.Clock.Advance(40 * 24 * time.Hour)
		_, link := c.invite("owner", latchkey.NewMembership{Email: guestMail})
		k.Clock.Advance(-40 * 24 * time.Hour)
		c.refused("ahead", latchkey.ErrTeamInvalidSecret, link)
		k.Must(kit.Err(k.Sweep(k.Ctx)))
		k.Clock.Advance(40 * 24 * time.Hour)
		c.refused("swept", latchkey.ErrMembershipNotFound, link)
		k.Same("members", c.has(), "owner: owner, member: player")
	})
}

// An account that asks for its authenticator gives an unproven address up to the reader of a link:
// that is another person than the one who was invited by id.
func TestAnInvitationByIDIsNotForTheReaderOfAnUnprovenAddress(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		account, _, _ := k.Enrolled(latchkey.NewMFAAuthenticator{})
		c := newClub(k)
		_, link := c.invite("owner", latchkey.NewMembership{UserID: account.UserID()})
		c.refused("a mailbox", latchkey.ErrTeamInviteMismatch, link)
		k.Must(kit.Err(account.AcceptInvitation(k.Ctx, link)))
	})
}
