package latchkey_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/hidden"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/store"
)

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

// AC-096: a claim to an address, without proof, opens none of its invitations.
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
		k.Box.Take()
		k.Must(kit.Err(owner.Teams().CreateMembership(k.Ctx, c.id, latchkey.NewMembership{Email: "stranger@example.org", URL: kit.JoinURL})))
		k.Same("messages", k.Posted(engine), []string(nil))
	})
}

// A session that an invitation makes owes the second factor as any of its user does.
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

// Invitations do not alert.
func TestAnAcceptedInvitationAlertsNobody(t *testing.T) {
	kit.OnEveryStore(t, latchkey.Policy{Sessions: latchkey.SessionPolicy{Alerts: true}}, func(k *kit.Kit) {
		c := newClub(k)
		user := k.Proven()
		k.Must(kit.Err(k.Users().CreateSession(k.Ctx, user.ID)))
		_, link := c.invite("owner", latchkey.NewMembership{Phone: kit.Phone})
		engine := k.Configured(func(*latchkey.Config) {})
		k.Box.Take()
		k.Must(kit.Err(engine.Guest(kit.At("192.0.2.9")).AcceptInvitation(k.Ctx, link)))
		k.Same("messages", k.Posted(engine), []string(nil))
	})
}

// The present rows of the inviter decide, even if they were changed without the engine.
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
