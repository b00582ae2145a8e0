package latchkey

import (
	"cmp"
	"context"
	"errors"
	"net/url"

	"example.com/latchkey/internal/reason"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/internal/redirect"
	"example.com/latchkey/notify"
	"example.com/latchkey/store"
)

// NewMembership is the input for a membership or an invitation. The member is named by UserID, or
// else by Email, or else by Phone.
type NewMembership struct {
	UserID string
	Email  string
	Phone  string
	// Name is that of the user who is made, if no user has the address: at most 128 characters.
	// "" means the address, or no name if Policy.Members hides the address.
	Name string
	// Roles are at most 100 names in the form of ids, of at most 81 characters.
	Roles []string
	// URL is the page that the link of an invitation opens, as in NewMagicURLToken. It is
	// required of a user, and has at most 256 bytes for an invitation by SMS. Its path, query
	// and fragment stay; membershipId, userId, secret, teamId and, by mail, teamName are added
	// to the query. The server sends no link.
	URL string
}

// errNobody says why a membership is refused.
var errNobody = reason.New(reason.Missing, "none of userId, email and phone is given")

// check brings the input to its canonical form, or refuses it.
func (n *NewMembership) check() (err error) {
	if n.UserID == "" && n.Email == "" && n.Phone == "" {
		return invalid("userId", errNobody)
	}
	if n.UserID != "" {
		if err := checkUserID(n.UserID); err != nil {
			return err
		}
	}
	if n.Email != "" {
		if n.Email, err = checkEmail(n.Email); err != nil {
			return err
		}
	}
	if n.Phone != "" {
		if n.Phone, err = checkPhone(n.Phone); err != nil {
			return err
		}
	}
	return checkName(n.Name)
}

// find returns the user whom the input names, nil if no user has the address.
func (n *NewMembership) find(ctx context.Context, r store.Reader) (user *record.User, err error) {
	switch {
	case n.UserID != "":
		user, err = getUser(ctx, r, n.UserID)
	case n.Email != "":
		user, err = record.Users.Find(ctx, r, byEmail.index, store.Text(n.Email))
	default:
		user, err = record.Users.Find(ctx, r, byPhone.index, store.Text(n.Phone))
	}
	if err == nil && user != nil && (n.Email != "" && user.Email != n.Email || n.Phone != "" && user.Phone != n.Phone) {
		return nil, ErrUserAlreadyExists
	}
	return user, err
}

// address returns the address that names the member, "" if their id does.
func (n *NewMembership) address() string {
	if n.UserID != "" {
		return ""
	}
	return cmp.Or(n.Email, n.Phone)
}

// errNoAddress says why an invitation is refused.
var errNoAddress = reason.New(reason.Missing, "the user has neither an e-mail address nor a number")

// maxTextURL is the length of the page of an invitation by SMS: a text message has 160 characters,
// and the host pays for each.
const maxTextURL = 256

// errLongURL says why an invitation is refused.
var errLongURL = reason.New(reason.TooLong, "longer than %d bytes, for a text message", maxTextURL)

// errTooManyInvitations says why an invitation is refused.
var errTooManyInvitations = reason.New(reason.TooMany, "the team has 200 open invitations")

// invitation is an invitation that is about to be made.
type invitation struct {
	newToken
	silent  bool // nothing is sent
	page    *url.URL
	invitee *record.User // named by id; nil otherwise
	named   NewMembership
	roles   []string
}

// invite sends an invitation for a user. refused says why the input is not acceptable, nil if
// it is.
func (a *Account) invite(ctx context.Context, teamID string, n NewMembership, roles []string, refused error) (*Membership, error) {
	c, err := a.begin()
	if err != nil {
		return nil, err
	}
	user, err := a.standing(ctx, c, c.store)
	if err != nil {
		return nil, err
	}
	page, err := c.checkURL(n.URL)
	if refused = cmp.Or(refused, err); refused != nil {
		return nil, refused
	}
	if _, err := ownTeam(ctx, c.store, teamID, user); err != nil { // before anything about the invited person
		return nil, err
	}
	drawn, err := c.drawInvitation(ctx, n, user)
	if err != nil {
		return nil, err
	}
	drawn.page, drawn.named, drawn.roles = page, n, roles
	made, err := accountUpdate(ctx, c, a, (*Account).standing, func(ctx context.Context, tx *txn, user *record.User) (*Membership, error) {
		return tx.insertInvitation(ctx, teamID, user, drawn)
	})
	if err != nil {
		return nil, err
	}
	return made, nil
}

// ownTeam returns a team that a user owns.
func ownTeam(ctx context.Context, r store.Reader, id string, user *record.User) (*record.Team, error) {
	in, err := enterTeam(ctx, r, id, user)
	switch {
	case err != nil:
		return nil, err
	case !in.owns():
		return nil, ErrUserUnauthorized
	}
	return in.team, nil
}

// drawInvitation finds the address of an invitation and draws its secret. It counts the call
// and the message.
func (c *call) drawInvitation(ctx context.Context, n NewMembership, user *record.User) (*invitation, error) {
	drawn := &invitation{}
	to := n.address()
	if to == "" {
		var err error
		if drawn.invitee, err = getUser(ctx, c.store, n.UserID); err != nil {
			return nil, err
		}
		if to = addressOf(drawn.invitee); to == "" {
			return nil, invalid("userId", errNoAddress)
		}
	}
	by, kind := contactTo(to), kindInvitation
	if by == byPhone {
		kind = kindPhoneInvitation
	}
	if err := c.canAsk(kind); err != nil {
		return nil, err
	}
	if by == byPhone && len(n.URL) > maxTextURL {
		return nil, invalid("url", errLongURL)
	}
	if err := c.limitInvitation(ctx, kind, user, to, drawn); err != nil {
		return nil, err
	}
	drawn.newToken = *c.newToken(kind, to, newID(), newSecret().Reveal())
	drawn.seal(c.Engine)
	return drawn, nil
}

// limitInvitation counts a call and its message. The caller does not know the address of a user
// named by id, and an error would tell how many messages others have sent there: the engine sends
// nothing then.
func (c *call) limitInvitation(ctx context.Context, kind *tokenKind, user *record.User, to string, n *invitation) error {
	if n.invitee == nil {
		if err := c.admitInvited(ctx, kind.by, to); err != nil {
			return err
		}
		return c.limitToken(ctx, kind, "user "+user.ID, to, noReserve())
	}
	if err := c.limit(ctx, kind.ask, "user "+user.ID); err != nil {
		return err
	}
	n.silent = !c.canSendTo(kind.by.channel, to)
	if !n.silent {
		var throttled *ThrottledError
		err := c.limitMessage(ctx, kind.by.channel, to, noReserve())
		if n.silent = errors.As(err, &throttled); err != nil && !n.silent {
			return err
		}
	}
	return nil
}

// admitInvited refuses an address that no new user may have, or to which nothing is sent.
func (c *call) admitInvited(ctx context.Context, by *contact, to string) error {
	if by == byEmail {
		return c.admitToken(ctx, to)
	}
	_, err := c.checkTextable(to)
	return err
}

// addressOf returns the address by which a user is reached: one that they have proven, if they
// have.
func addressOf(user *record.User) string {
	switch {
	case user.EmailVerified:
		return user.Email
	case user.PhoneVerified:
		return user.Phone
	}
	return cmp.Or(user.Email, user.Phone)
}

// insertInvitation is the one place where invitations are made. It takes the place of the one
// to the same address. Nothing is sent to a mock number, to an address that is held for another
// user, and to a blocked user.
func (tx *txn) insertInvitation(ctx context.Context, teamID string, user *record.User, n *invitation) (*Membership, error) {
	team, err := ownTeam(ctx, tx, teamID, user)
	if err != nil {
		return nil, err
	}
	if tx.policy.DiscloseAccounts { // whether the fields name different users
		if _, err := n.named.find(ctx, tx); err != nil {
			return nil, err
		}
	}
	person, err := tx.userAt(ctx, tx, n.kind.by, n.Destination)
	if err != nil {
		return nil, err
	}
	if n.invitee != nil && (person == nil || person.Key != n.invitee.Key) {
		return nil, ErrBusy // the address has changed since the messages to it were counted
	}
	own := person != nil && (n.invitee != nil || hasProven(person, n.kind.by)) // and not only a claim
	asked := &record.User{ID: n.Alias}                                         // a read, as for a user
	if own {
		asked = person
	}
	member, _, err := findMember(ctx, tx, team.ID, asked)
	if err != nil {
		return nil, err
	}
	if member != nil {
		return nil, ErrMembershipAlreadyConfirmed
	}
	m, event := &record.Membership{ID: newID(), TeamID: team.ID, Subject: n.Alias, Created: tx.now}, logMembershipCreate
	invitee := ""
	if n.invitee != nil {
		invitee = n.invitee.Key
	}
	old, err := invitationTo(ctx, tx, n.Destination, team.ID, invitee)
	if err != nil {
		return nil, err
	}
	open, err := tx.openInvitations(ctx, team) // read in any case
	if err != nil {
		return nil, err
	}
	if renewed := old != nil && tx.live(old.Invited, old.Expire); !renewed && open >= maxInvitations {
		return nil, invalid("teamId", errTooManyInvitations)
	}
	if old != nil {
		m, event = old, logMembershipUpdate
		m.Subject = n.Alias // the former one may have been taken
	}
	if n.invitee != nil || person != nil && tx.policy.DiscloseAccounts {
		m.Subject = person.ID
	}
	m.Updated, m.Invited, m.Expire, m.Digest = tx.now, tx.now, n.Expire, []byte(n.Digest)
	m.Address, m.Name, m.Invitee, m.Inviter, m.InviterKey = n.Destination, n.named.Name, invitee, user.ID, user.Key
	if err := setRoles(m, n.roles); err != nil {
		return nil, err
	}
	if old != nil {
		err = record.Memberships.Replace(ctx, tx, m)
	} else {
		err = record.Memberships.Insert(ctx, tx, m)
	}
	if err != nil {
		return nil, err
	}
	if _, err := tx.changedMembership(ctx, team, nil, m, event); err != nil {
		return nil, err
	}
	held, err := tx.heldFor(ctx, tx, n.kind.by, n.Destination)
	if err != nil {
		return nil, err
	}
	_, mocked := tx.mockCode(n.kind.by.channel, n.Destination)
	tx.send(letter{
		message: tx.invitationMessage(n, m, team, user), null: n.silent || mocked || held != "" && !own || own && person.Blocked,
		code: code{codeOfInvitation, m.Digest},
	})
	return showInvitation(m, team, false)
}

// openInvitations counts the open invitations of a team, up to as many as it may have.
func (tx *txn) openInvitations(ctx context.Context, team *record.Team) (int, error) {
	return tx.Count(ctx, store.Query{
		Index: record.Memberships.Index("open"), Equal: []store.Value{store.Text(team.ID)}, From: store.Excluding(store.Time(tx.now)), Limit: maxInvitations,
	})
}

// invitationMessage returns the message with the link of an invitation. It has no words but the
// names of the team and of the inviter.
func (tx *txn) invitationMessage(n *invitation, m *record.Membership, team *record.Team, inviter *record.User) notify.Message {
	params := []redirect.Param{
		{Name: "membershipId", Value: m.ID}, {Name: "userId", Value: m.Subject}, {Name: "secret", Value: n.secret}, {Name: "teamId", Value: team.ID},
	}
	if n.kind.by == byEmail { // a text message is to be short
		params = append(params, redirect.Param{Name: "teamName", Value: team.Name})
	}
	link := redirect.With(n.page, params...)
	return notify.Message{
		ID: n.ID, Kind: n.kind.message, Channel: n.kind.by.channel, To: n.Destination, UserID: m.Subject, Secret: hide(n.secret), Link: hide(link),
		Time: tx.now, Expire: m.Expire, Locale: tx.client.Locale, TeamID: team.ID, TeamName: team.Name, MembershipID: m.ID, Inviter: inviter.Name,
	}
}
