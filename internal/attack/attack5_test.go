package attack_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/mailclass"
	"example.com/latchkey/notify"
	"example.com/latchkey/store"
	"example.com/latchkey/store/storetest"
)

// society is a team of owner@ and member@example.org, and guests who may be invited to it.
type society struct {
	*kit.Kit
	id       string
	accounts map[string]*latchkey.Account
	members  map[string]string
}

// addressOf returns the address of a person of a society.
func addressOf(name string) string { return name + "@example.org" }

// person signs a person up and in.
func (s *society) person(name string) *latchkey.Account {
	s.Helper()
	s.SignUp(addressOf(name))
	_, s.accounts[name] = s.SignIn(addressOf(name))
	return s.accounts[name]
}

func newSociety(k *kit.Kit) *society {
	k.Helper()
	s := &society{k, "society", make(map[string]*latchkey.Account), make(map[string]string)}
	k.Must(kit.Err(s.person("owner").Teams().Create(k.Ctx, latchkey.NewTeam{ID: s.id, Name: "Society"})))
	list, err := k.Engine.Teams().Memberships(k.Ctx, s.id)
	k.Must(err)
	s.members["owner"] = list.Memberships[0].ID
	s.person("member")
	s.join("member")
	return s
}

// join has the server add a person.
func (s *society) join(name string, roles ...string) {
	s.Helper()
	s.Clock.Advance(time.Microsecond)
	m, err := s.Engine.Teams().CreateMembership(s.Ctx, s.id, latchkey.NewMembership{UserID: s.accounts[name].UserID(), Roles: roles})
	s.Must(err)
	s.members[name] = m.ID
}

// as returns the teams of a person.
func (s *society) as(name string) *latchkey.Teams { return s.accounts[name].Teams() }

// invite has a person invite another one, and returns the link that came to the address.
func (s *society) invite(by, to string, n latchkey.NewMembership) (*latchkey.Membership, latchkey.InvitationLink) {
	s.Helper()
	n.URL = kit.JoinURL
	m, err := s.as(by).CreateMembership(s.Ctx, s.id, n)
	s.Must(err)
	for {
		if link := s.InvitationTo(to); link.MembershipID == m.ID {
			return m, link
		}
	}
}

// elsewhere is the client address of a person who is watched, and invitedMail the mailbox of one who
// is invited.
const elsewhere, invitedMail = "198.51.100.77", "guest@example.org"

// An owner who names a person by their id learns nothing of the person's address: the invitation
// takes the place of none that was sent to an address.
func TestAttackAnInvitationByIDDoesNotTellTheAddressOfThePerson(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		s := newSociety(k)
		victim := s.person("victim").UserID()
		right, err := s.as("owner").CreateMembership(k.Ctx, s.id, latchkey.NewMembership{Email: addressOf("victim"), URL: kit.JoinURL})
		k.Must(err)
		wrong, err := s.as("owner").CreateMembership(k.Ctx, s.id, latchkey.NewMembership{Email: "other@example.org", URL: kit.JoinURL})
		k.Must(err)
		byID, err := s.as("owner").CreateMembership(k.Ctx, s.id, latchkey.NewMembership{UserID: victim, URL: kit.JoinURL})
		k.Must(err)
		if (byID.ID == right.ID) != (byID.ID == wrong.ID) {
			k.Errorf("the invitation by id has the id of the one to the right address, %s", byID.ID)
		}
		list, err := s.as("member").Memberships(k.Ctx, s.id)
		k.Must(err)
		var shown []string
		for _, m := range list.Memberships {
			if !m.Confirm {
				shown = append(shown, m.UserEmail)
			}
		}
		if slices.Contains(shown, addressOf("victim")) != slices.Contains(shown, "other@example.org") {
			k.Errorf("of the guessed addresses the right one is gone: %q", shown)
		}
	})
}

// Who sees the id that an invited person was promised cannot keep them from accepting, by having
// an account of that id deleted.
func TestAttackAMemberCannotSpoilThePromisedIDOfAnInvitation(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		s := newSociety(k)
		m, link := s.invite("owner", invitedMail, latchkey.NewMembership{Email: invitedMail})
		seen, err := s.as("member").GetMembership(k.Ctx, s.id, m.ID)
		k.Must(err)
		k.Must(kit.Err(k.Visitor.CreateAccount(k.Ctx, latchkey.NewAccount{UserID: seen.UserID, Email: "mallory@example.org", Password: kit.Password})))
		_, mallory := k.SignIn("mallory@example.org")
		k.Must(mallory.Delete(k.Ctx))
		if err := kit.Err(k.Visitor.AcceptInvitation(k.Ctx, link)); err != nil {
			k.Errorf("the invited person: %v", err)
		}
	})
}

// A member's own log does not tell where the owners are who changed their membership: the log of
// the team hides it too.
func TestAttackTheLogOfAMemberDoesNotTellWhereAnOwnerIs(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		s := newSociety(k)
		session, err := k.Users().CreateSession(k.Ctx, s.accounts["owner"].UserID())
		k.Must(err)
		owner, err := k.Guest(latchkey.Client{IP: kit.At(elsewhere).IP, UserAgent: "Secret/1.0"}).Authenticate(k.Ctx, session.Secret.Reveal())
		k.Must(err)
		k.Must(kit.Err(owner.Teams().UpdateMembership(k.Ctx, s.id, s.members["member"], []string{"player"})))
		k.Must(owner.Teams().DeleteMembership(k.Ctx, s.id, s.members["member"]))
		list, err := s.accounts["member"].Logs(k.Ctx)
		k.Must(err)
		for _, l := range list.Logs {
			if l.IP == elsewhere {
				k.Errorf("the log of the member: %s from %s", l.Event, l.IP)
			}
		}
		text, err := k.Users().Export(k.Ctx, s.accounts["member"].UserID())
		k.Must(err)
		for _, secret := range []string{elsewhere, "Secret/1.0", s.accounts["owner"].UserID()} {
			if strings.Contains(string(text), secret) {
				k.Errorf("the export of the member has %s of the owner", secret)
			}
		}
	})
}

// The deletion of a user ends the invitations to them by id, also those that were sent to an
// address that the user has left since: nothing names the user afterwards.
func TestAttackADeletedUserIsNamedByNoInvitationByID(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		s := newSociety(k)
		id := s.person("victim").UserID()
		m, _ := s.invite("owner", addressOf("victim"), latchkey.NewMembership{UserID: id})
		k.Must(kit.Err(k.Users().UpdateEmail(k.Ctx, id, "elsewhere@example.org")))
		user, err := record.Users.Get(k.Ctx, k.Raw, record.Users.Primary(), store.Text(id))
		k.Must(err)
		k.Refuses("left with the address", latchkey.ErrMembershipNotFound, func() error { return kit.Err(k.Engine.Teams().GetMembership(k.Ctx, s.id, m.ID)) })
		k.Must(k.Users().Delete(k.Ctx, id))
		for _, row := range k.Everything()["memberships"] {
			for _, text := range []string{id, user.Key, addressOf("victim")} {
				if strings.Contains(row, text) {
					k.Errorf("left of the user: %s", row)
				}
			}
		}
	})
}

// halfOf is an account whose number is its user's, and whose address somebody else has proven by
// opening a link without a session.
func halfOf(s *society) *latchkey.Account {
	s.Helper()
	mallory := s.person("mallory")
	s.Must(s.Err(s.Users().UpdatePhone(s.Ctx, mallory.UserID(), kit.OwnPhone)))
	s.Must(s.Err(s.Users().UpdatePhoneVerification(s.Ctx, mallory.UserID(), true)))
	s.Must(s.Err(mallory.UpdateEmail(s.Ctx, invitedMail, kit.Password)))
	opened(s, mallory)
	return mallory
}

// Err returns the error of a call.
func (s *society) Err(_ any, err error) error { return err }

// opened has the owner of a mailbox open the link that a stranger had sent there.
func opened(s *society, stranger *latchkey.Account) {
	s.Helper()
	token, err := stranger.CreateEmailVerification(s.Ctx, kit.JoinURL)
	s.Must(err)
	mail := s.MailOf(token, invitedMail)
	s.Must(s.Err(s.Visitor.ConfirmEmailVerification(s.Ctx, token.UserID, mail.Secret)))
}

// AC-096: an address that a link without a session has proven is not the account's yet: the
// mailbox may still take it away. Until then the account neither declines nor sees the invitations of
// the mailbox, nor do they end with it.
func TestAttackAnAddressProvenBySomebodyElseOpensNoInvitation(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		s := newSociety(k)
		mallory := halfOf(s)
		m, _ := s.invite("owner", invitedMail, latchkey.NewMembership{Email: invitedMail})
		if list, err := k.Users().Memberships(k.Ctx, mallory.UserID()); err != nil || list.Total != 0 {
			k.Errorf("the invitations of the squatter: %+v, %v", list, err)
		}
		if err := mallory.Teams().DeleteMembership(k.Ctx, s.id, m.ID); err != latchkey.ErrTeamNotFound {
			k.Errorf("the squatter declines the invitation of the mailbox: %v", err)
		}
		_, link := s.invite("owner", invitedMail, latchkey.NewMembership{Email: invitedMail})
		k.Must(mallory.Delete(k.Ctx))
		if err := kit.Err(k.Visitor.AcceptInvitation(k.Ctx, link)); err != nil {
			k.Errorf("the owner of the mailbox after the squatter has deleted her account: %v", err)
		}
	})
}

// calls counts the calls of the store that an invitation makes.
func (s *society) calls(n latchkey.NewMembership) int {
	s.Helper()
	n.URL = kit.JoinURL
	calls, hook := 0, s.Store.Hook
	s.Store.Hook = func(c storetest.Call) error {
		if !c.Done {
			calls++
		}
		return hook(c)
	}
	s.Must(s.Err(s.as("owner").CreateMembership(s.Ctx, s.id, n)))
	s.Store.Hook = hook
	return calls
}

// C-41: an invitation makes as many calls of the store for an address that a user has proven as
// for one that nobody has, and for an id with its address as for an id with another one.
func TestAttackAnInvitationReadsAsMuchWhoeverIsInvited(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		s := newSociety(k)
		id := s.person("victim").UserID()
		unknown := s.calls(latchkey.NewMembership{Email: "nobody@example.org"})
		if claimed := s.calls(latchkey.NewMembership{Email: addressOf("victim")}); claimed != unknown {
			k.Errorf("%d calls for an address that a user claims, %d for an unknown one", claimed, unknown)
		}
		wrong := s.calls(latchkey.NewMembership{UserID: id, Email: "other@example.org"})
		if right := s.calls(latchkey.NewMembership{UserID: id, Email: addressOf("victim")}); right != wrong {
			k.Errorf("%d calls for an id with its address, %d with another one", right, wrong)
		}
		id = s.person("proven").UserID()
		k.Must(kit.Err(k.Users().UpdateEmailVerification(k.Ctx, id, true)))
		if proven := s.calls(latchkey.NewMembership{Email: addressOf("proven")}); proven != unknown {
			k.Errorf("%d calls for an address that a user has proven, %d for an unknown one", proven, unknown)
		}
	})
}

// A team has at most 200 open invitations, also if one that has expired is sent again.
func TestAttackARenewedInvitationCountsAmongThe200(t *testing.T) {
	kit.OnAShare(t, kit.Documented, func(k *kit.Kit) {
		s := newSociety(k)
		invite := func(n int) error {
			return kit.Err(s.as("owner").CreateMembership(k.Ctx, s.id, latchkey.NewMembership{Email: fmt.Sprintf("g%d@example.org", n), URL: kit.JoinURL}))
		}
		k.Must(invite(0))
		k.Clock.Advance(8 * 24 * time.Hour)
		for n := range 200 {
			k.Must(invite(n + 1))
		}
		if err := invite(0); !errors.Is(err, latchkey.ErrArgumentInvalid) {
			k.Errorf("the 201st open invitation: %v", err)
		}
	})
}

// A policy that hides addresses hides those of members who joined by an invitation: their
// name is the address only if the members see it.
func TestAttackTheNameOfAMemberDoesNotTellAHiddenAddress(t *testing.T) {
	kit.OnEveryStore(t, latchkey.Policy{Members: latchkey.MemberPolicy{HideEmail: true, HidePhone: true}}, func(k *kit.Kit) {
		s := newSociety(k)
		_, byMail := s.invite("owner", invitedMail, latchkey.NewMembership{Email: invitedMail})
		k.Must(kit.Err(k.Visitor.AcceptInvitation(k.Ctx, byMail)))
		_, byText := s.invite("owner", kit.Phone, latchkey.NewMembership{Phone: kit.Phone})
		k.Must(kit.Err(k.Visitor.AcceptInvitation(k.Ctx, byText)))
		list, err := s.as("member").Memberships(k.Ctx, s.id)
		k.Must(err)
		for _, m := range list.Memberships {
			if text := fmt.Sprintf("%+v", *m); strings.Contains(text, invitedMail) || strings.Contains(text, kit.Phone) {
				k.Errorf("a member sees %s", text)
			}
		}
	})
}

// In the log of a team the next user of an id does not see where the former one was.
func TestAttackTheLogOfATeamDoesNotTellTheNextUserOfAnIDWhereTheFormerOneWas(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		s := newSociety(k)
		id := s.person("former").UserID()
		s.join("former", "owner")
		session, err := k.Users().CreateSession(k.Ctx, id)
		k.Must(err)
		former, err := k.Guest(kit.At(elsewhere)).Authenticate(k.Ctx, session.Secret.Reveal())
		k.Must(err)
		k.Must(kit.Err(former.Teams().UpdateName(k.Ctx, s.id, "Another Society")))
		k.Must(k.Users().Delete(k.Ctx, id))
		k.Clock.Advance(time.Hour)
		k.Must(kit.Err(k.Users().Create(k.Ctx, latchkey.NewUser{UserID: id, Email: "next@example.org", Password: kit.Password})))
		_, s.accounts["next"] = k.SignIn("next@example.org")
		s.join("next")
		list, err := s.as("next").Logs(k.Ctx, s.id)
		k.Must(err)
		for _, l := range list.Logs {
			if l.IP == elsewhere {
				k.Errorf("the next user of the id sees %s from %s", l.Event, l.IP)
			}
		}
	})
}

// AC-097: a member who was removed does not come back by an invitation from before, sent to an
// address that they had not proven then.
func TestAttackARemovedMemberDoesNotComeBackByAnEarlierInvitation(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		s := newSociety(k)
		person := s.person("person") // whose address is not proven
		k.Must(kit.Err(k.Users().UpdatePhone(k.Ctx, person.UserID(), kit.OwnPhone)))
		k.Must(kit.Err(k.Users().UpdatePhoneVerification(k.Ctx, person.UserID(), true)))
		_, byMail := s.invite("owner", addressOf("person"), latchkey.NewMembership{Email: addressOf("person"), Roles: []string{"owner"}})
		m, byText := s.invite("owner", kit.OwnPhone, latchkey.NewMembership{Phone: kit.OwnPhone})
		k.Must(kit.Err(person.AcceptInvitation(k.Ctx, byText)))
		k.Must(s.as("owner").DeleteMembership(k.Ctx, s.id, m.ID))
		if back, err := person.AcceptInvitation(k.Ctx, byMail); err == nil {
			k.Errorf("the removed member is back: %+v", back)
		}
	})
}

// A team whose other members are blocked when its last owner goes has an owner again when they are
// not blocked any more.
func TestAttackATeamOfBlockedMembersIsNotLeftWithoutAnOwner(t *testing.T) {
	for name, goes := range map[string]func(s *society) error{
		"deleted": func(s *society) error { return s.Users().Delete(s.Ctx, s.accounts["owner"].UserID()) },
		"deletes": func(s *society) error { return s.accounts["owner"].Delete(s.Ctx) },
		"removed": func(s *society) error { return s.Engine.Teams().DeleteMembership(s.Ctx, s.id, s.members["owner"]) },
	} {
		t.Run(name, func(t *testing.T) {
			kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
				s := newSociety(k)
				id := s.accounts["member"].UserID()
				k.Must(kit.Err(k.Users().UpdateStatus(k.Ctx, id, false)))
				k.Must(goes(s))
				k.Must(kit.Err(k.Users().UpdateStatus(k.Ctx, id, true)))
				list, err := k.Engine.Teams().Memberships(k.Ctx, s.id)
				k.Must(err)
				owners := 0
				for _, m := range list.Memberships {
					user, err := k.Users().Get(k.Ctx, m.UserID)
					k.Must(err)
					if slices.Contains(m.Roles, "owner") && user.Status {
						owners++
					}
				}
				if owners == 0 {
					k.Errorf("%d members, and none is an owner who is not blocked", list.Total)
				}
			})
		})
	}
}

// After the deletion of a user no invitation names them as its inviter: it can never be accepted
// again, and nothing but the log names a deleted user.
func TestAttackADeletedInviterIsNamedByNoInvitation(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		s := newSociety(k)
		id := s.person("second").UserID()
		s.join("second", "owner")
		m, _ := s.invite("second", invitedMail, latchkey.NewMembership{Email: invitedMail})
		user, err := record.Users.Get(k.Ctx, k.Raw, record.Users.Primary(), store.Text(id))
		k.Must(err)
		k.Must(k.Users().Delete(k.Ctx, id))
		for _, row := range k.Everything()["memberships"] {
			if strings.Contains(row, id) || strings.Contains(row, user.Key) {
				k.Errorf("left of the inviter: %s", row)
			}
		}
		if open, err := s.as("owner").GetMembership(k.Ctx, s.id, m.ID); err == nil {
			k.Errorf("an invitation that nobody can accept is shown as open until %v", open.Expire)
		}
	})
}

// The messages that others have sent to an address do not tell an inviter that it is that of a user
// id: the limit of an address that the caller does not know must not show in the answer.
func TestAttackTheLimitOfAnAddressDoesNotTellWhoseItIs(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		s := newSociety(k)
		victim, other := s.person("victim").UserID(), s.person("other").UserID()
		session, err := k.Users().CreateSession(k.Ctx, s.accounts["owner"].UserID())
		k.Must(err)
		engine := k.LimitedEngine(nil)
		for n := range 60 {
			guest := engine.Guest(kit.At(fmt.Sprintf("198.51.100.%d", n+1)))
			k.Must(kit.Err(guest.CreateMagicURLToken(k.Ctx, latchkey.NewMagicURLToken{Email: addressOf("victim")})))
		}
		owner, err := engine.Guest(kit.Client).Authenticate(k.Ctx, session.Secret.Reveal())
		k.Must(err)
		invite := func(id string) error {
			return kit.Err(owner.Teams().CreateMembership(k.Ctx, s.id, latchkey.NewMembership{UserID: id, URL: kit.JoinURL}))
		}
		if known, unknown := invite(victim), invite(other); (known == nil) != (unknown == nil) {
			k.Errorf("the user of the address that got 60 messages: %v; another one: %v", known, unknown)
		}
	})
}

// An invitation by text message is a few texts long, whatever page and team its sender names: the
// host pays for each 153 characters.
func TestAttackAnInvitationByTextIsShort(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		s := newSociety(k)
		k.Must(kit.Err(s.as("owner").UpdateName(k.Ctx, s.id, strings.Repeat("\U0001F4A3", 128))))
		page := kit.JoinURL + "?"
		_, err := s.as("owner").CreateMembership(k.Ctx, s.id, latchkey.NewMembership{Phone: kit.Phone, URL: page + strings.Repeat("x", 2048-len(page))})
		if errors.Is(err, latchkey.ErrArgumentInvalid) {
			return
		}
		k.Must(err)
		if link := k.Mail(kit.Phone).Link; len(link) > 10*153 {
			k.Errorf("a link of %d characters is sent as %d texts", len(link), (len(link)+152)/153)
		}
	})
}

// Only the server gets the time when a member was last seen, as Membership.UserAccessedAt says.
func TestAttackAcceptingShowsWhatOnlyTheServerGets(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		s := newSociety(k)
		_, link := s.invite("owner", invitedMail, latchkey.NewMembership{Email: invitedMail})
		made, err := k.Visitor.AcceptInvitation(k.Ctx, link)
		k.Must(err)
		_, link = s.invite("owner", addressOf("person"), latchkey.NewMembership{UserID: s.person("person").UserID()})
		joined, err := s.accounts["person"].AcceptInvitation(k.Ctx, link)
		k.Must(err)
		for what, m := range map[string]*latchkey.Membership{"guest": made.Membership, "account": joined} {
			if !m.UserAccessedAt.IsZero() {
				k.Errorf("%s: last seen %v", what, m.UserAccessedAt)
			}
		}
	})
}

// The user who has proven the address of an invitation may end it, as DeleteMembership says,
// also if they are a member already.
func TestAttackAMemberDeclinesAnInvitationToTheirOtherAddress(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		s := newSociety(k)
		m, _ := s.invite("owner", kit.OwnPhone, latchkey.NewMembership{Phone: kit.OwnPhone})
		id := s.accounts["member"].UserID()
		k.Must(kit.Err(k.Users().UpdatePhone(k.Ctx, id, kit.OwnPhone)))
		k.Must(kit.Err(k.Users().UpdatePhoneVerification(k.Ctx, id, true)))
		if err := s.as("member").DeleteMembership(k.Ctx, s.id, m.ID); err != nil {
			k.Errorf("the member declines: %v", err)
		}
	})
}

// asking is a classifier that says when it is asked, and knows nothing.
type asking func()

func (a asking) Classify(context.Context, string) (mailclass.Class, error) {
	a()
	return mailclass.Class{}, nil
}

// An engine that was never opened, and one that is closed, refuse and do nothing: no panic, and no
// call of the host's code.
func TestAttackTheServerAddsNobodyWithoutAnOpenEngine(t *testing.T) {
	kit.OnEveryStore(t, latchkey.Policy{Addresses: latchkey.AddressPolicy{RefuseDisposable: true}}, func(k *kit.Kit) {
		n := latchkey.NewMembership{Email: invitedMail, URL: kit.JoinURL}
		asked := 0
		engine := k.Configured(func(c *latchkey.Config) {
			c.AddressClassifier = asking(func() { asked++ })
		})
		k.Must(engine.Close())
		if err := kit.Err(engine.Teams().CreateMembership(k.Ctx, "society", n)); err != latchkey.ErrClosed || asked > 0 {
			k.Errorf("closed: %v; the classifier was asked %d times", err, asked)
		}
		defer func() {
			if r := recover(); r != nil {
				k.Errorf("the zero engine: a panic, %v", r)
			}
		}()
		if err := kit.Err(new(latchkey.Engine).Teams().CreateMembership(k.Ctx, "society", n)); err == nil {
			k.Error("the zero engine has added somebody")
		}
	})
}

// An invitation of a guessed address after one by id does not show the id of its user beside the
// address.
func TestAttackAnInvitationByAddressDoesNotShowTheIDOfThePerson(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		s := newSociety(k)
		victim := s.person("victim").UserID()
		k.Must(kit.Err(s.as("owner").CreateMembership(k.Ctx, s.id, latchkey.NewMembership{UserID: victim, URL: kit.JoinURL})))
		guess, err := s.as("owner").CreateMembership(k.Ctx, s.id, latchkey.NewMembership{Email: addressOf("victim"), URL: kit.JoinURL})
		k.Must(err)
		if guess.UserID == victim {
			k.Errorf("%s is the address of %s", guess.UserEmail, guess.UserID)
		}
		seen, err := s.as("member").Memberships(k.Ctx, s.id)
		k.Must(err)
		for _, m := range seen.Memberships {
			if !m.Confirm && m.UserID == victim && m.UserEmail != "" {
				k.Errorf("a member sees that %s is the address of %s", m.UserEmail, m.UserID)
			}
		}
	})
}

// Invitations do not alert, by text message either: issue 21.
func TestAttackAnAcceptedInvitationDoesNotAlert(t *testing.T) {
	kit.OnEveryStore(t, latchkey.Policy{Sessions: latchkey.SessionPolicy{Alerts: true}}, func(k *kit.Kit) {
		s := newSociety(k)
		id := s.person("person").UserID()
		k.Must(kit.Err(k.Users().UpdatePhone(k.Ctx, id, kit.OwnPhone)))
		k.Must(kit.Err(k.Users().UpdatePhoneVerification(k.Ctx, id, true)))
		_, link := s.invite("owner", kit.OwnPhone, latchkey.NewMembership{Phone: kit.OwnPhone})
		k.Must(kit.Err(k.Visitor.AcceptInvitation(k.Ctx, link)))
		for _, m := range k.Drained(k.Engine) {
			if m.Kind == notify.SessionAlert && m.To == addressOf("person") {
				k.Errorf("%s to %s", m.Kind, m.To)
			}
		}
	})
}

// The roles of one user stay few enough to be read on every request: 5,000 in all teams, and two
// for each team.
func TestAttackAUserCannotGiveThemselvesRolesWithoutEnd(t *testing.T) {
	kit.OnAShare(t, kit.Documented, func(k *kit.Kit) {
		account := newSociety(k).accounts["member"]
		var roles []string
		for n := range 99 {
			roles = append(roles, fmt.Sprintf("%s%02d", strings.Repeat("r", 79), n))
		}
		for n := range 60 { // of the 1,000 teams that a user may make
			err := kit.Err(account.Teams().Create(k.Ctx, latchkey.NewTeam{Name: "Team", Roles: roles}))
			if errors.Is(err, latchkey.ErrArgumentInvalid) && n > 0 {
				break
			}
			k.Must(err)
		}
		list, err := account.Roles(k.Ctx)
		k.Must(err)
		if n := len(list.List()); n > 5000+2*50+10 {
			k.Errorf("%d roles of up to 122 bytes", n)
		}
	})
}
