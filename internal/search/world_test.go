package search_test

import (
	"cmp"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/authtest"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/notify"
)

// The addresses of the owner.
const (
	mailA, mailB = "owner@example.org", "second@example.org"
	callA, callB = kit.Phone, kit.OwnPhone
)

// role is the one proof that an actor begins with.
type role string

const (
	owner          role = "owner"
	knowsWord      role = "password thief" // has known the password at some time
	readsMailbox   role = "mailbox reader" // gets what is sent to the owner's first address
	readsTelephone role = "telephone reader"
	stealsSession  role = "session thief"
	stealsJWT      role = "JWT thief"
	readsBackup    role = "backup reader" // finds what the owner has used up
	planter        role = "planter"       // had an account with the owner's address before the owner
	theServer      role = "server"
	theClock       role = "clock"
)

// attackerRoles are those of the accounts that the owner has made.
var attackerRoles = []role{knowsWord, readsMailbox, readsTelephone, stealsSession, stealsJWT, readsBackup, hasProvider, hasKey, hasKeyAndPIN}

// device is an authenticator app. Last is the step of the last code that was accepted.
type device struct {
	app     *authtest.Authenticator
	account *account
	last    int64
}

// spent is a code of an authenticator that was shown.
type spent struct {
	device *device
	step   int64
	text   string
}

// challenge is a question for a factor.
type challenge struct {
	id      string
	factor  latchkey.Factor
	session *session
	to      string // where the message went
	code    string // of the message
	created time.Time
	over    string
}

// actor is one of those who act, with everything that they have come to know.
type actor struct {
	role       role
	at         latchkey.Client
	mailbox    string   // of their own
	telephone  string   // likewise
	reads      []string // addresses, their own among them
	creds      []*credential
	words      []*word
	mail       []*oneTime
	devices    []*device
	spent      []spent
	codes      []*oneTime
	challenges []*challenge
	hands      []*hand
	questions  []*question
	robbed     bool // has taken the one proof
	in         bool // was let into the owner's account by what is accepted
}

// step is one operation of a round: the first of ops for which the actor has what it needs.
// Its numbers pick the arguments among those that the actor knows by then.
type step struct {
	ops     []*operation
	who     int
	x, y, z int
	ahead   bool // on a machine whose clock is ahead
}

// world is one round.
type world struct {
	*model
	k          *kit.Kit
	actors     []*actor
	main       *account // the owner's
	challenges []*challenge
	mails      []*oneTime        // every link and code that was sent
	switches   bool              // the step may switch MFA
	idents     map[string]*ident // by subject
	proved     []string          // the addresses that the step has proven
	leap       time.Duration
	high       time.Time // the latest time that a right clock has shown
	byServer   bool      // the step is the server's
	kept       *session  // the session that makes the change of the present step
	then       func()    // what follows once the accounts are up to date; nil for nothing

	history []string
	fault   string
	words   int
}

// fail records the first fault.
func (w *world) fail(format string, args ...any) {
	if w.fault == "" {
		w.fault = fmt.Sprintf(format, args...)
	}
}

// told returns an error as the history shows it. Faults of the engine are faults of the round.
func (w *world) told(err error) string {
	var answer *latchkey.Error
	switch {
	case err == nil:
		return "done"
	case errors.As(err, &answer):
		return answer.Type
	}
	w.fail("a fault: %v", err)
	return err.Error()
}

// newWord draws a password that was never used.
func (w *world) newWord(byMail bool) *word {
	w.words++
	return &word{text: fmt.Sprintf("horse number %d of the search", w.words), byMail: byMail}
}

// of returns the first actor of a role, nil without one.
func (w *world) of(r role) *actor {
	for _, a := range w.actors {
		if a.role == r {
			return a
		}
	}
	return nil
}

// named returns the account of an id, and makes it known to the model.
func (w *world) named(id string) *account {
	for _, a := range w.accounts {
		if a.id == id && !a.gone {
			return a
		}
	}
	a := &account{id: id}
	w.accounts = append(w.accounts, a)
	w.refresh(a)
	return a
}

// at returns the account with an address, nil without one.
func (w *world) at(address string) *account {
	for _, a := range w.accounts {
		if !a.gone && (a.user.Email == address || a.user.Phone == address) {
			return a
		}
	}
	return nil
}

// refresh reads what the server's scope shows of an account.
func (w *world) refresh(a *account) {
	user, err := w.k.Users().Get(w.k.Ctx, a.id)
	if errors.Is(err, latchkey.ErrUserNotFound) {
		a.gone = true
		return
	}
	w.k.Must(err)
	a.user = *user
	a.factors, err = w.k.Users().MFAFactors(w.k.Ctx, a.id)
	w.k.Must(err)
	if user.PasswordUpdate.IsZero() {
		a.word, a.loose, a.reset = nil, false, false
	}
}

// refreshAll brings the accounts up to date, with what follows from their changes.
func (w *world) refreshAll() {
	for _, a := range w.accounts {
		if a.gone {
			continue
		}
		before := *a
		w.refresh(a)
		a.links = w.linked(a)
		w.followed(&before, a, w.kept)
		w.noteProofs(&before, a, w.byServer)
		if a.user.MFA && !before.user.MFA {
			w.weighIdentities(a, w.kept)
			w.weighKeys(a, w.kept)
		}
		w.unasked(&before, a)
		w.listed(a)
		if before.user.Email != a.user.Email || before.user.Phone != a.user.Phone {
			for _, t := range w.mails {
				if changes := t.kind == string(notify.EmailChange); changes || t.kind == string(notify.PhoneChange) {
					if t.account == a && (changes && before.user.Email != a.user.Email || !changes && before.user.Phone != a.user.Phone) {
						t.over = cmp.Or(t.over, "was sent before another change of the address")
					}
					continue
				}
				if t.kind != string(notify.Invitation) && t.to != "" && (t.to == before.user.Email && t.to != a.user.Email || t.to == before.user.Phone && t.to != a.user.Phone) {
					t.over = cmp.Or(t.over, "was sent to a former address")
				}
			}
		}
	}
}

// unasked reports what has changed although no operation of the step may change it.
func (w *world) unasked(before, a *account) {
	switch {
	case a.gone:
	case a.device != nil && !a.factors.TOTP:
		w.fail("a user has lost the authenticator without a call that takes it away")
	case before.user.MFA != a.user.MFA && !w.switches:
		w.fail("MFA was switched to %v without a call that switches it", a.user.MFA)
	case (!before.user.EmailVerification || before.user.Email != a.user.Email) && a.user.EmailVerification && !slices.Contains(w.proved, a.user.Email),
		(!before.user.PhoneVerification || before.user.Phone != a.user.Phone) && a.user.PhoneVerification && !slices.Contains(w.proved, a.user.Phone):
		w.fail("an address was proven without a message that was sent to it")
	}
}

// settle follows the operations of a step so far.
func (w *world) settle() {
	w.drain()
	w.refreshAll()
	if w.then != nil {
		w.then()
		w.then = nil
	}
	for _, h := range w.holds {
		switch other := w.at(h.address); {
		case other == nil || other == h.account || h.lost:
		case w.holding(h) != "":
			h.lost = true // a clock that is wrong may make it held again
		default:
			w.fail("%s has %s, which is held for %s", other.id, h.address, h.account.id)
		}
	}
}

// byID returns the account of an id, nil without one.
func (w *world) byID(id string) *account {
	for _, a := range w.accounts {
		if a.id == id && !a.gone {
			return a
		}
	}
	return nil
}

// restores follows a link that restores an address, which came with the notice to it.
func (w *world) restores(t *oneTime) {
	for _, h := range slices.Backward(w.holds) {
		if h.account == t.account && h.address == t.to && h.over == "" && !h.told {
			h.told = true
			t.hold, t.created, t.expire = h, h.created, h.expire
			return
		}
	}
	w.fail("a link restores %s, which is not held", t.to)
}

// sentToHeld reports a secret that was sent to an address that is held for another user than the one
// who has it or asks for it.
func (w *world) sentToHeld(t *oneTime) {
	for _, h := range w.holds {
		if h.address == t.to && w.holding(h) == "" && !h.lost && w.at(t.to) != h.account && t.account != h.account {
			w.fail("a %s was sent to %s, which is held for %s", t.kind, t.to, h.account.id)
		}
	}
}

// drain waits until the messages of a step are sent, and gives them to those who read the
// addresses.
func (w *world) drain() {
	for w.k.Deliveries().Waiting > 0 {
		runtime.Gosched()
	}
	all := w.k.Box.All()
	if len(all) == 0 {
		return
	}
	w.k.Box.Take()
	slices.SortStableFunc(all, func(a, b notify.Message) int {
		return cmp.Or(strings.Compare(string(a.Kind), string(b.Kind)), strings.Compare(a.To, b.To))
	})
	for _, m := range all {
		secret := m.Secret.Reveal()
		if m.Kind == notify.Challenge {
			for _, c := range w.challenges {
				if c.id == m.ID {
					c.to, c.code = m.To, secret
				}
			}
		}
		if secret == "" {
			continue
		}
		t := &oneTime{kind: string(m.Kind), to: m.To, userID: m.UserID, secret: secret, created: m.Time, account: w.at(m.To)}
		t.expire = t.created.Add(w.lifeOf(m.Kind))
		switch m.Kind {
		case notify.EmailChange, notify.PhoneChange, notify.EmailChanged, notify.PhoneChanged:
			t.account = w.byID(m.UserID)
		}
		if m.Kind == notify.EmailChanged || m.Kind == notify.PhoneChanged {
			w.restores(t)
		} else {
			w.sentToHeld(t)
		}
		if m.Kind == notify.Invitation {
			t.link = latchkey.InvitationLink{TeamID: m.TeamID, MembershipID: m.MembershipID, UserID: m.UserID, Secret: m.Secret}
			w.mails = append(w.mails, t)
		} else if m.Kind != notify.Challenge && t.hold == nil {
			for _, old := range w.mails {
				if old.kind == t.kind && (old.to == t.to || m.Kind == notify.EmailChange || m.Kind == notify.PhoneChange) {
					if (m.Kind == notify.EmailChange || m.Kind == notify.PhoneChange) && old.account != t.account {
						continue // each user has one of their own
					}
					old.over = cmp.Or(old.over, "was replaced")
				}
			}
			w.mails = append(w.mails, t)
		}
		for _, a := range w.actors {
			if slices.Contains(a.reads, m.To) {
				a.mail = append(a.mail, t)
			}
		}
	}
}

// lifeOf is the documented life of what a message holds.
func (w *world) lifeOf(kind notify.Kind) time.Duration {
	p := w.policy.Messages
	switch kind {
	case notify.MagicURL:
		return cmp.Or(p.MagicURLLength, time.Hour)
	case notify.EmailVerification, notify.EmailChange:
		return cmp.Or(p.EmailVerificationLength, 7*24*time.Hour)
	case notify.Recovery:
		return cmp.Or(p.RecoveryLength, time.Hour)
	case notify.Invitation:
		return cmp.Or(p.InvitationLength, 7*24*time.Hour)
	}
	return cmp.Or(p.OTPLength, 15*time.Minute)
}

// endMail ends every link and code of an account, but no invitation: that is another user's.
func (w *world) endMail(a *account, why string) {
	for _, t := range w.mails {
		switch notify.Kind(t.kind) {
		case notify.Invitation, notify.EmailChanged, notify.PhoneChanged: // links that restore an address stay
			continue
		case notify.EmailChange, notify.PhoneChange: // the address may be another user's
			if t.account != a {
				continue
			}
		}
		if t.account == a || t.to != "" && (t.to == a.user.Email || t.to == a.user.Phone) {
			t.over = cmp.Or(t.over, why)
		}
	}
}

// endJWTs ends the JWTs of an account.
func (w *world) endJWTs(a *account, why string) {
	for _, holder := range w.actors {
		for _, c := range holder.creds {
			if c.account == a && c.jwt {
				c.over = cmp.Or(c.over, why)
			}
		}
	}
}

// entered records a session that was made.
func (w *world) entered(a *actor, s *latchkey.Session, shown proof, wd *word) *credential {
	now := w.now()
	made := &session{
		name: fmt.Sprintf("session %d", len(w.sessions)+1), id: s.ID, account: w.named(s.UserID), shown: []proof{shown}, word: wd,
		created: now, used: now, end: now.Add(cmp.Or(w.policy.Sessions.Length, 365*24*time.Hour)),
	}
	w.sessions = append(w.sessions, made)
	c := &credential{text: s.Secret.Reveal(), session: made, account: made.account}
	a.creds = append(a.creds, c)
	return c
}

// setWord follows a change of a password.
func (w *world) setWord(a *account, wd *word, kept *session, ends bool) {
	w.passwordChanged(a, wd, kept, ends)
	w.endMail(a, "was sent before the password changed")
	w.endJWTs(a, "was made before the password changed")
}

// firstProof follows the first proof of an account: nothing from before it is left.
func (w *world) firstProof(a *account) {
	w.end(a, "was there before the first proof", but(nil))
	w.endJWTs(a, "was there before the first proof")
	w.endMail(a, "was sent before the first proof")
	w.release(a, "was left before the first proof", all)
	for _, t := range a.codes {
		t.over = cmp.Or(t.over, "was there before the first proof")
	}
	w.dropKeys(a, "was there before the first proof", time.Time{})
	a.device, a.codes, a.loose = nil, nil, false
	w.switches = w.switches || !a.demanded
}

// check authenticates a credential, judges the answer, and returns the handles that came.
func (w *world) check(c *credential, at latchkey.Client) (*latchkey.Account, *latchkey.Pending) {
	guest := w.k.Guest(at)
	authenticate := guest.Authenticate
	if c.jwt {
		authenticate = guest.AuthenticateJWT
	}
	handle, err := authenticate(w.k.Ctx, c.text)
	w.told(err)
	full, fault := w.judge(c, err)
	if fault != "" {
		w.fail("%v %s", c, fault)
	}
	var owed *latchkey.MoreFactorsError
	if errors.As(err, &owed) {
		w.planted(c, false)
		return nil, owed.Pending
	}
	if full {
		c.handle = handle
		w.headline(c)
		w.planted(c, true)
	}
	return handle, nil
}

// headline is the invariant of the search, by what an attacker began with alone: no attacker
// holds a full session of an account with a second factor. It says nothing any more about
// an attacker who was let in by what is accepted.
func (w *world) headline(c *credential) {
	a := c.account
	if a != w.main || c.session == nil {
		return
	}
	for _, who := range w.actors {
		if who.in || !slices.Contains(who.creds, c) {
			continue
		}
		others := second(a)
		without := func(p proof) {
			others = slices.DeleteFunc(others, func(o proof) bool { return o == p })
		}
		switch who.role {
		case knowsWord:
		case readsMailbox:
			without(byMailbox)
			if w.canShowWord(a) && a.factors.RecoveryCode {
				others = append(others, byCode)
			}
		case hasProvider: // the provider tells the address of the mailbox
			without(byMailbox)
		case readsTelephone:
			without(byTelephone)
			if w.canShowWord(a) {
				others = append(others, byWord)
			}
		case hasKeyAndPIN: // a passkey that counts as two is all that its owner has shown
			if slices.Contains(c.session.shown, byPIN) {
				who.in = true
				continue
			}
			without(byKey)
			if w.canShowWord(a) {
				others = append(others, byWord)
			}
		case readsBackup, hasKey:
			w.fail("the %s holds %v", who.role, c)
		default:
			continue
		}
		if len(second(a)) > 0 && a.user.MFA && len(others) > 0 {
			w.fail("the %s holds %v, and has not shown %v", who.role, c, others)
		}
		who.in = true
	}
}

// planted is the invariant of an account that was made before its owner: once the owner of
// the mailbox is in, a planter is out.
func (w *world) planted(c *credential, full bool) {
	a, me := c.account, w.of(owner)
	if a.owned {
		if who := w.of(planter); who != nil && slices.Contains(who.creds, c) {
			w.fail("the planter holds %v of the account that the owner of the mailbox is in", c)
		}
	}
	if w.of(planter) != nil && full && !a.loose && !a.shared && c.session != nil && slices.Contains(me.creds, c) && slices.Contains(c.session.shown, byMailbox) {
		a.owned = true
	}
}

// observe checks every credential that anyone holds. Those that have ended are checked now
// and then.
func (w *world) observe(all bool) {
	var seen []*credential
	for _, a := range w.actors {
		for _, c := range a.creds {
			if slices.Contains(seen, c) || !all && (c.ended() != "" || !c.refused.IsZero()) {
				continue
			}
			seen = append(seen, c)
			w.check(c, a.at)
		}
	}
}

// do makes one step.
func (w *world) do(n int, s step) {
	a := w.actors[s.who%len(w.actors)]
	w.kept, w.switches, w.proved, w.byServer = nil, false, nil, a.role == theServer
	line := ""
	if s.ahead = s.ahead && !w.leaping; s.ahead {
		leap(w, a, s)
	}
	for _, op := range s.ops {
		if line = op.do(w, a, s); line != "" || w.fault != "" {
			break
		}
	}
	if line == "" {
		if s.ahead {
			leap(w, a, s)
		}
		return // the actor has nothing for any
	}
	if now := w.now(); !w.leaping && now.After(w.high) {
		w.high = now
	}
	w.settle()
	w.history = append(w.history, fmt.Sprintf("%s  %s: %s", w.now().Format("01-02 15:04:05"), a.role, line))
	if s.ahead {
		leap(w, a, s)
	}
	w.observe(n%4 == 0)
}

// pick returns one of a list, mostly one of the last.
func pick[T any](list []T, x int) (one T, ok bool) {
	n := len(list)
	if n == 0 {
		return one, false
	}
	if x%3 != 0 {
		return list[n-1-x/3%min(n, 2)], true
	}
	return list[x/3%n], true
}
