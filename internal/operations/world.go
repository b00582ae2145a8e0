package operations

import (
	"context"
	"errors"
	"slices"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/authtest"
	"example.com/latchkey/hidden"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/notify"
	"example.com/latchkey/oauth"
)

// World is the user on which the operations of the table work, with two sessions,
// tokens and factors. It also has another user.
type World struct {
	*kit.Kit
	Ctx     context.Context
	User    *latchkey.User
	Secret  latchkey.Secret
	Account *latchkey.Account // of the user's first session
	Other   *latchkey.Session // the second session of the same user
	// one token of each kind
	Custom, Link, Code, MailProof, PhoneProof, Recovery, MailChange, PhoneChange *latchkey.Token

	Undo latchkey.Secret // restores the address of a user who has changed it
	JWT  latchkey.Secret // of the user's first session
	// factors
	app       *authtest.Authenticator // not confirmed
	codes     []latchkey.Secret       // recovery codes
	challenge string                  // open, not yet answered

	// Host is the server of an engine with Config.CustomCodes, and Question an open challenge for
	// the factor of the host.
	Host     *latchkey.Users
	Question string

	// Back and BackWithToken are callbacks of a provider. Handed and Binding are what another one
	// has handed over.
	Back, BackWithToken latchkey.OAuth2Callback
	Handed              *latchkey.Token
	Binding             latchkey.Secret
	Identity            string          // of the user
	IDToken             latchkey.Secret // of an app, of a person that no user is

	Passkey string // of the user
	// Offer, Creation and Answer are answers of authenticators: to an offer of a sign-in, to the question for a new
	// passkey, and to that for a step-up.
	Offer, Creation, Answer []byte

	Push string // the id of a push target of the first session

	Invitation latchkey.InvitationLink // of the user, to the team of another one

	GivenUp string // the id of a message in the outbox that was given up

	Team           string // of the user
	Member, Joined string // the memberships of another user and of the user in it
}

// NewWorld creates the user, full or anonymous, with the proofs and factors that ops
// need.
func NewWorld(k *kit.Kit, full bool, ops ...Operation) *World {
	k.Helper()
	w := &World{Kit: k, Ctx: k.Ctx}
	k.SignUp(kit.Bob)
	var session *latchkey.Session
	var err error
	if full {
		w.User = k.SignUp(kit.Ada)
		session, w.Account = k.SignIn(kit.Ada)
	} else {
		session, w.Account = k.Anonymous()
		w.User, err = w.Account.User(k.Ctx)
		k.Must(err)
	}
	w.Secret = session.Secret
	w.Other, err = k.Users().CreateSession(k.Ctx, w.User.ID)
	k.Must(err)
	w.Custom, err = k.Users().CreateToken(k.Ctx, w.User.ID, 0, 0)
	k.Must(err)
	server := k.Users().Guest(latchkey.Client{})
	w.Link, err = server.CreateMagicURLToken(k.Ctx, latchkey.NewMagicURLToken{Email: kit.Ada})
	k.Must(err)
	w.Code, err = server.CreatePhoneToken(k.Ctx, "", otherPhone)
	k.Must(err)
	w.JWT, err = k.Users().CreateJWT(k.Ctx, w.User.ID, session.ID, time.Hour)
	k.Must(err)
	w.challenge, w.codes = "unknown", []latchkey.Secret{hidden.New("0000000000")}
	for _, op := range ops {
		w.Enrol(op.Factors)
	}
	w.IDToken = k.Acme.IDToken(oauth.Profile{Subject: "nora", Email: "nora@example.com", EmailVerified: true, Name: "Nora"})
	w.Handed = &latchkey.Token{UserID: w.User.ID, Secret: hidden.New(kit.UnknownLink)}
	w.Passkey, w.Offer, w.Creation, w.Answer = "unknown", kit.UnknownAnswer, kit.UnknownEnrolment, kit.UnknownAnswer
	w.Identity, w.Push, w.Team, w.Member, w.Joined, w.Question, w.Host, w.GivenUp = "unknown", "unknown", "unknown", "unknown", "unknown", "unknown", k.Users(), "unknown"
	for _, op := range ops {
		if op.Factors == "host" && w.Question == "unknown" {
			engine := k.Configured(func(c *latchkey.Config) { c.CustomCodes = true })
			w.Host = engine.Users()
			account, err := engine.Guest(kit.Client).Authenticate(k.Ctx, w.Secret.Reveal())
			k.Must(err)
			challenge, err := account.CreateMFAChallenge(k.Ctx, latchkey.FactorCustom)
			k.Must(err)
			w.Question = challenge.ID
		}
		if op.Begun && w.Back.Provider == "" {
			w.begun()
		}
		if op.Linked && w.Identity == "unknown" && full {
			result, err := k.LinkBy(k.Visitor, w.Secret, k.Acme, oauth.Profile{Subject: "world", Email: "work@example.com", EmailVerified: true})
			k.Must(err)
			w.Identity = result.Identity.ID
		}
		if op.Keyed && w.Passkey == "unknown" && full {
			w.keyed()
		}
		if op.Teams && w.Team == "unknown" {
			w.found()
		}
		if op.Invites && w.Invitation.TeamID == "" {
			w.invited()
		}
		if op.Queued && w.GivenUp == "unknown" {
			w.giveUp()
		}
		if op.Acts {
			k.Must(kit.Err(k.Users().UpdateImpersonator(k.Ctx, w.User.ID, true)))
		}
		if op.Pushes && w.Push == "unknown" {
			target, err := w.Account.CreatePushTarget(k.Ctx, latchkey.NewPushTarget{Identifier: "device"})
			k.Must(err)
			w.Push = target.ID
		}
	}
	none := &latchkey.Token{UserID: w.User.ID, Secret: hidden.New(kit.UnknownLink)}
	w.MailProof, w.PhoneProof, w.Recovery, w.MailChange, w.PhoneChange, w.Undo = none, none, none, none, none, none.Secret
	if full && slices.ContainsFunc(ops, func(op Operation) bool { return op.Moved }) {
		w.move(server)
	}
	if !full || !slices.ContainsFunc(ops, func(op Operation) bool { return op.Proofs }) {
		return w
	}
	k.Must(kit.Err(k.Users().UpdatePhone(k.Ctx, w.User.ID, kit.OwnPhone)))
	account, err := server.Authenticate(k.Ctx, w.Secret.Reveal())
	k.Must(err)
	w.MailProof, err = account.CreateEmailVerification(k.Ctx, kit.VerifyURL)
	k.Must(err)
	w.PhoneProof, err = account.CreatePhoneVerification(k.Ctx)
	k.Must(err)
	w.Recovery, err = server.CreateRecovery(k.Ctx, latchkey.NewRecovery{Email: kit.Ada, URL: kit.RecoverURL})
	k.Must(err)
	w.Recovery.UserID = w.User.ID
	w.MailChange, err = account.CreateEmailChange(k.Ctx, latchkey.NewEmailChange{Email: "moving@example.org", URL: kit.VerifyURL}, kit.Password)
	k.Must(err)
	w.PhoneChange, err = account.CreatePhoneChange(k.Ctx, "+14155550177", kit.Password)
	k.Must(err)
	return w
}

// move changes the address of the user to another one and back, so that the user is as before and
// the link that restores the first address is open.
func (w *World) move(server *latchkey.Guest) {
	w.Helper()
	w.Must(kit.Err(w.Users().UpdateEmailVerification(w.Kit.Ctx, w.User.ID, true)))
	account, err := server.Authenticate(w.Kit.Ctx, w.Secret.Reveal())
	w.Must(err)
	for _, to := range []string{"moved@example.org", kit.Ada} {
		change, err := account.CreateEmailChange(w.Kit.Ctx, latchkey.NewEmailChange{Email: to, URL: kit.VerifyURL}, kit.Password)
		w.Must(err)
		w.Must(kit.Err(account.ConfirmEmailChange(w.Kit.Ctx, change.Secret.Reveal(), kit.UndoURL)))
	}
	w.Undo = hidden.New(w.MailOfKind(notify.EmailChanged, kit.Ada).Secret)
	w.Must(kit.Err(w.Users().UpdateEmailVerification(w.Kit.Ctx, w.User.ID, false)))
}

// NewBack returns the callback of another sign-in that has begun.
func (w *World) NewBack() latchkey.OAuth2Callback {
	w.Helper()
	return w.Begin(w.Visitor, latchkey.OAuth2Request{Provider: "acme"}).Callback(w.Acme.Code(oauth.Profile{Subject: "cleo", Email: "cleo@example.com", EmailVerified: true, Name: "Cleo"}))
}

// begun begins sign-ins by a provider, and finishes one with a token.
func (w *World) begun() {
	w.Helper()
	person := func(name string) string {
		return w.Acme.Code(oauth.Profile{Subject: name, Email: name + "@example.com", EmailVerified: true, Name: name})
	}
	w.Back = w.NewBack()
	w.BackWithToken = w.Begin(w.Visitor, latchkey.OAuth2Request{Provider: "acme", Token: true}).Callback(person("dora"))
	handed := w.Begin(w.Visitor, latchkey.OAuth2Request{Provider: "acme", Token: true})
	result, err := w.Visitor.FinishOAuth2(w.Kit.Ctx, handed.Callback(person("emma")))
	w.Must(err)
	w.Handed, w.Binding = result.Token, handed.Binding
}

// keyed makes a passkey of the user, and answers of authenticators.
func (w *World) keyed() {
	w.Helper()
	device := authtest.NewDevice(kit.Page)
	w.Passkey = w.Kit.Enrol(w.Account, device, latchkey.PasskeyEnrolment{}).ID
	w.Offer = w.Offered(w.Visitor, device)
	start, err := w.Account.StartPasskeyEnrolment(w.Kit.Ctx, latchkey.PasskeyEnrolment{})
	w.Must(err)
	w.Creation, err = authtest.NewDevice(kit.Page).Create(start.Options)
	w.Must(err)
	start, err = w.Account.StartPasskeyChallenge(w.Kit.Ctx)
	w.Must(err)
	w.Answer, err = device.Get(start.Options)
	w.Must(err)
}

// giveUp has an engine with an outbox give a message to another user up.
func (w *World) giveUp() {
	w.Helper()
	engine := w.Configured(func(c *latchkey.Config) {
		c.Outbox = new(latchkey.Outbox)
		c.Notifier = notify.Func(func(context.Context, notify.Message) error { return notify.Permanent(errors.New("no such mailbox")) })
	})
	token, err := engine.Guest(kit.Client).CreateEmailToken(w.Kit.Ctx, latchkey.NewEmailToken{Email: kit.Bob})
	w.Must(err)
	w.Must(engine.Close()) // which waits until it is given up
	w.GivenUp = token.ID
}

// found makes the team of the user, with another user in it.
func (w *World) found() {
	w.Helper()
	team, err := w.Account.Teams().Create(w.Kit.Ctx, latchkey.NewTeam{Name: "Teachers"})
	w.Must(err)
	w.Team = team.ID
	member, err := w.Engine.Teams().CreateMembership(w.Kit.Ctx, w.Team, latchkey.NewMembership{Email: kit.Bob, Roles: []string{"player"}})
	w.Must(err)
	w.Member = member.ID
	own, err := w.Users().Memberships(w.Kit.Ctx, w.User.ID)
	w.Must(err)
	w.Joined = own.Memberships[0].ID
}

// invited makes an invitation of Ada to the team of Bob.
func (w *World) invited() {
	w.Helper()
	_, bob := w.SignIn(kit.Bob)
	team, err := bob.Teams().Create(w.Kit.Ctx, latchkey.NewTeam{Name: "Bakers"})
	w.Must(err)
	w.Must(kit.Err(bob.Teams().CreateMembership(w.Kit.Ctx, team.ID, latchkey.NewMembership{Email: kit.Ada, Roles: []string{"player"}, URL: kit.JoinURL})))
	for w.Invitation.TeamID == "" { // other messages came before
		w.Invitation = w.InvitationTo(kit.Ada)
	}
}

// Enrol gives the user second factors (see [Operation.Factors]). With "fresh", the
// session has answered a challenge and has a new secret.
func (w *World) Enrol(factors string) {
	w.Helper()
	if factors == "" || factors == "host" || w.app != nil {
		return
	}
	made, err := w.Account.CreateMFAAuthenticator(w.Kit.Ctx, latchkey.NewMFAAuthenticator{})
	w.Must(err)
	w.app, err = authtest.NewAuthenticator(w.Clock, made.URI.Reveal())
	w.Must(err)
	if factors == "begun" {
		return
	}
	codes, err := w.Users().CreateMFARecoveryCodes(w.Kit.Ctx, w.User.ID)
	w.Must(err)
	w.codes = codes.Codes
	for range 2 {
		challenge, err := w.Account.CreateMFAChallenge(w.Kit.Ctx, latchkey.FactorRecoveryCode)
		w.Must(err)
		if w.challenge != "unknown" {
			w.challenge = challenge.ID
			return
		}
		w.challenge = challenge.ID
		session, err := w.Account.ConfirmMFAChallenge(w.Kit.Ctx, challenge.ID, w.codes[0].Reveal())
		w.Must(err)
		w.codes, w.Secret = w.codes[1:], session.Secret
		w.Account, err = w.Visitor.Authenticate(w.Kit.Ctx, w.Secret.Reveal())
		w.Must(err)
	}
}

const otherPhone = "+14155550101"

// Challenge returns the open challenge and a code that answers it.
func (w *World) Challenge() (id, code string) { return w.challenge, w.codes[0].Reveal() }

// AppCode returns the present code of the authenticator.
func (w *World) AppCode() string { return w.app.Code() }
