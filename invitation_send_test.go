package latchkey_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/notify"
	"example.com/latchkey/store/storetest"
)

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

// The roles of an invitation can be changed, and the owner who changes them is its inviter.
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
