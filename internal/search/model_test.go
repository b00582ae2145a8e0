package search_test

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"example.com/latchkey"
)

// The model keeps an account of who has proven what. It uses what the actors did and were answered,
// and what the server's scope shows of a user. It shares no code with the engine and reads no row.
//
// Its rules, and where they are written:
//
//   - While MFA is on and the user has a second factor, every session needs two different proofs,
//     if its user can give two (Account.UpdateMFA, SECURITY.md).
//   - A session that owes a factor never becomes a full one without a proof of its own
//     (SECURITY.md). It ends half an hour after it came to owe one, unless the policy says
//     otherwise (Policy.Factors.PendingLength).
//   - A password that was set by mail proves the mailbox and nothing more, where the user has
//     another factor or recovery codes. That ends when the password changes, or when a session that
//     was made with it proves another factor (Guest.ConfirmRecovery).
//   - The session that switches MFA on is taken to have proven the user's factors until MFA is
//     switched again, and the others have proven their first factor alone then (Account.UpdateMFA).
//     A session that makes an authenticator, recovery codes or the first password has proven it.
//     Another session's recovery codes are void from then on.
//   - What has ended stays ended (SECURITY.md). Sign-out, a change of the password, a new secret,
//     EndAll and a first proof of an address end what their comments say.
//   - A sign-in needs the present password, or a link or code that is live: not used, replaced,
//     expired, or sent before a change of the password. A code of an authenticator and a recovery
//     code serve once.
//   - The changes of a user's ways in and factors ask for what the comments of the methods of
//     Account say (see demand). A JWT makes nothing permanent.
//   - The first proof of an address leaves nothing of what a planter has in the account
//     (Guest.CreateSession, Guest.ConfirmEmailVerification). An address that was proven without a
//     session beside another one signs in to an account of its own.
//   - A secret that was renewed is refused (ErrSessionRenewed).
//   - A password that is shown again makes a session as recent as a sign-in, and takes the place of
//     no challenge. It is refused while the user has a second factor and MFA is on, and to a JWT
//     (Account.ConfirmPassword).
//   - A change of an address by proof asks for what a change without proof asks for, and changes
//     nothing. The message to the new address confirms it, once, in a full session of the same
//     user. It takes no address that another user has proven (Account.CreateEmailChange,
//     Account.ConfirmEmailChange).
//   - A proven address that was left so is held for its user for seven days, and its notice has the
//     link that restores it. No other user gets it, and no secret is sent to it. There is no link
//     for an address that was proven within the last seven days, unless it is the first proof of the
//     account (see settled). The server ends that, by a change of the address or by
//     Users.ReleaseAddresses. A change back to it ends that for the addresses in between
//     (Account.ConfirmEmailChange).
//   - The reader of a held address restores it once, by the link that was sent there. Every
//     session, JWT, link and code of the user ends, and so do the links for later addresses and the
//     recovery codes that a session has made. The identities of the last week before the change, and
//     since, go. So does the other address, unless the user had it, settled, when the restored one
//     was left, or has restored it. While MFA is on without an authenticator the other address stays,
//     and without a proven one the identities stay, because they may be the only second factor. The
//     authenticator, the recovery codes of the server and the switch of MFA stay. The password opens
//     nothing until a new one is set, and goes where no proven mailbox can set one
//     (Guest.RestoreAddress).
//   - An anonymous sign-in proves nothing.
//
// The rules of passkeys are in the comment of passkey.
//
// Two things are accepted by SECURITY.md and by the comments, and are no faults:
//
//   - While MFA is off, or the user has no second factor, one proof is enough.
//   - A reader of the mailbox passes where the mailbox is the only second factor and there are no
//     recovery codes, because the mailbox recovers the password.
//
// One fault of the engine is known and not reported again (see excused).
//
//   - Where the policy keeps sessions, a session that was made with a password that was set by mail
//     counts that password beside the mailbox once the password has changed.
type model struct {
	policy   latchkey.Policy
	now      func() time.Time
	leaping  bool // the clock is far ahead for a while
	accounts []*account
	sessions []*session
	holds    []*hold // oldest first
	keys     []*passkey
}

// clockStep is the default of Config.MaxClockStep.
const clockStep = time.Minute

// A proof is a kind of evidence that a session has shown.
type proof string

const (
	byWord      proof = "password"
	byMailbox   proof = "mailbox"
	byTelephone proof = "telephone"
	byApp       proof = "authenticator"
	byCode      proof = "recovery code"
	byToken     proof = "token of the server"
	byServer    proof = "server"
	byNothing   proof = "nothing"
)

// proofOf is the proof that an answered challenge gives.
var proofOf = map[latchkey.Factor]proof{
	latchkey.FactorTOTP: byApp, latchkey.FactorEmail: byMailbox, latchkey.FactorPhone: byTelephone, latchkey.FactorRecoveryCode: byCode,
}

// word is a password. Each has a text of its own.
type word struct {
	text   string
	byMail bool // it was set by a recovery and proves no more than the mailbox
}

// account is a user, as the server's scope showed them after the last step.
type account struct {
	id       string
	user     latchkey.User
	factors  latchkey.MFAFactors
	gone     bool
	word     *word
	device   *device
	codes    []*oneTime
	links    int    // identities that count
	half     string // an address that was proven by such a link beside another one
	demanded bool   // the server has switched MFA on
	loose    bool   // proven by a link that was opened without a session, and the password was not shown since
	shared   bool   // its password was shown while it was loose: it is taken for that of one person
	owned    bool   // the owner of its mailbox is in, and what a planter had is gone
	reset    bool   // the password opens nothing until a new one is set

	mailSince, phoneSince time.Time // since when the address is proven; zero if the server has said so, or if it is not proven
	undo                  time.Time // until when a former address may be restored, by any clock; zero without one
}

// anonymous reports whether a user has nothing to lose.
func (m *model) anonymous(a *account) bool {
	return a.user.Email == "" && a.user.Phone == "" && a.word == nil && a.links == 0 && len(m.keysOf(a)) == 0 && !m.restorable(a)
}

// proven reports whether any address of the user is.
func (a *account) proven() bool { return a.user.EmailVerification || a.user.PhoneVerification }

// session is a session with everything that was shown in it.
type session struct {
	name    string
	id      string
	account *account
	shown   []proof
	word    *word      // the password that was shown
	gift    []proof    // that it was taken to have given when it switched MFA on
	ident   *ident     // that has made it; nil for another way in
	key     *passkey   // likewise
	keys    []*passkey // that were shown in it
	strong  []strength // the strongest proofs that were shown
	excused bool       // it is a case of a known fault, see the comment of model

	created, challenged, confirmed, used, end time.Time

	owing bool // the last check said that it owes a factor
	since time.Time
	own   bool   // it has given a proof since the last check
	over  string // why it must have ended; "" while it may live
}

// show records a proof.
func (s *session) show(p proof) {
	if !slices.Contains(s.shown, p) {
		s.shown = append(s.shown, p)
	}
}

// proofs returns what the session has shown, and was taken to have shown.
func (s *session) proofs() []proof {
	all := slices.Clone(s.shown)
	for _, p := range s.gift {
		if !slices.Contains(all, p) {
			all = append(all, p)
		}
	}
	return all
}

// credential is the secret of a session, or a JWT.
type credential struct {
	text           string
	session        *session // nil for a JWT that is bound to the user alone
	account        *account
	jwt            bool
	issued, expire time.Time // of a JWT
	word           *word     // that the user had when the JWT was made
	over           string
	refused        time.Time // when it was first refused
	handle         *latchkey.Account
}

func (c *credential) String() string {
	switch {
	case c.session == nil:
		return "JWT of the user"
	case c.jwt:
		return "JWT of " + c.session.name
	}
	return c.session.name
}

// fromAhead reports whether something happened to a credential while the clock was ahead, that
// is good only once the clock has caught up.
func (c *credential) fromAhead(now time.Time) bool {
	if s := c.session; s != nil && (s.created.After(now) || s.used.After(now) || s.challenged.After(now) || s.confirmed.After(now) || s.since.After(now)) {
		return true
	}
	return c.issued.After(now)
}

// Why a secret has ended that its session has no longer, and a JWT that was made with it.
const (
	replacedSecret = "has been replaced by a new secret"
	formerSecret   = "was made with a former secret"
)

// ended returns why a credential must have ended, "" if it may be good.
func (c *credential) ended() string {
	if c.over == "" && c.session != nil {
		return c.session.over
	}
	return c.over
}

// oneTime is a link, a code of a message, or a recovery code.
type oneTime struct {
	kind, to, userID, secret string
	link                     latchkey.InvitationLink
	account                  *account // whose password or address ends it
	by                       *session // that made a recovery code; nil for the server
	hold                     *hold    // that a link restores; nil for another secret
	created, expire          time.Time
	over                     string
}

// live returns why a secret must be refused, "" if it may be taken.
func (m *model) live(t *oneTime) string {
	switch now := m.now(); {
	case t.over != "":
		return t.over
	case t.hold != nil && t.hold.over != "":
		return t.hold.over
	case !t.expire.IsZero() && !now.Before(t.expire):
		return "has expired"
	case t.created.After(now.Add(clockStep)):
		return "is from a clock that was ahead"
	}
	return ""
}

// within reports whether a time is recent enough for a step-up.
func (m *model) within(t time.Time) bool {
	age := m.now().Sub(t)
	return !t.IsZero() && age >= -clockStep && age <= cmp.Or(m.policy.Factors.StepUpWindow, 30*time.Minute)
}

// second returns the factors of a user that serve as a second one.
func second(a *account) (all []proof) {
	if a.factors.TOTP {
		all = append(all, byApp)
	}
	if a.factors.Email {
		all = append(all, byMailbox)
	}
	if a.factors.Phone {
		all = append(all, byTelephone)
	}
	if a.factors.Passkey {
		all = append(all, byKey)
	}
	return all
}

// canShowWord reports whether a password signs in.
func (m *model) canShowWord(a *account) bool {
	return a.word != nil && m.policy.Disabled&latchkey.MethodEmailPassword == 0
}

// mayBeFull returns why a session may not be a full one, "" if it may.
func (m *model) mayBeFull(s *session) string {
	a := s.account
	more := second(a)
	if !a.user.MFA {
		return ""
	}
	shown := slices.DeleteFunc(s.proofs(), func(p proof) bool { return p == byNothing })
	if slices.Contains(shown, byWord) && s.word.byMail {
		others := slices.DeleteFunc(slices.Clone(more), func(p proof) bool { return p == byMailbox })
		if len(others) > 0 || a.factors.RecoveryCode {
			shown = slices.DeleteFunc(slices.Clone(shown), func(p proof) bool { return p == byMailbox })
			more = append(others, byCode)
		}
	}
	if len(shown) >= 2 || len(more) == 0 {
		return ""
	}
	if m.canShowWord(a) {
		more = append(more, byWord)
	}
	can := slices.Clone(shown)
	for _, p := range more {
		if !slices.Contains(can, p) {
			can = append(can, p)
		}
	}
	if len(can) >= 2 {
		return fmt.Sprintf("has shown %v alone, and the user can show %v", shown, can)
	}
	return ""
}

// judge compares the answer of a check with what may be. It returns the fault, "" without
// one.
func (m *model) judge(c *credential, err error) (full bool, fault string) {
	now, s := m.now(), c.session
	pending := errors.Is(err, latchkey.ErrMoreFactorsRequired)
	switch {
	case err == nil || pending:
	case errors.Is(err, latchkey.ErrPasswordResetRequired) && !c.account.reset:
		return false, "is refused although no password must be set anew"
	case errors.Is(err, latchkey.ErrSessionRenewed) && c.over != replacedSecret && c.over != formerSecret:
		return false, "is said to have a new secret, and has none"
	case errors.Is(err, latchkey.ErrUnauthorized), errors.Is(err, latchkey.ErrJWTInvalid):
		if !m.leaping && c.refused.IsZero() && !c.fromAhead(now) {
			c.refused = now
		}
		return false, ""
	default:
		return false, ""
	}
	switch {
	case c.ended() != "":
		return false, "works although it " + c.ended()
	case !c.refused.IsZero() && !now.Before(c.refused):
		return false, fmt.Sprintf("works again: it was refused %v ago", now.Sub(c.refused))
	case c.account.gone:
		return false, "works although its user is deleted"
	case !c.account.user.Status:
		return false, "works although its user is blocked"
	case c.account.reset && c.account.word != nil:
		return false, "works although the password must be set anew"
	case c.jwt && !now.Before(c.expire):
		return false, "works after its end"
	case c.jwt && c.word != c.account.word:
		return false, "works although the password has changed"
	}
	c.refused = time.Time{} // the clock has stepped back, and this use counts
	if s == nil {
		return err == nil, ""
	}
	if s.created.After(now.Add(clockStep)) {
		return false, "is from a clock that was ahead, and works"
	}
	if pending {
		if !s.owing || now.Before(s.since) {
			s.owing, s.since = true, now
		}
		s.own = false
		if age := now.Sub(s.since); age >= cmp.Or(m.policy.Factors.PendingLength, 30*time.Minute)+clockStep {
			return false, fmt.Sprintf("owes a factor for %v", age)
		}
		return false, ""
	}
	if s.owing && !s.own {
		return true, "owed a factor, and is a full session without a proof of its own"
	}
	if why := m.mayBeFull(s); why != "" && !s.excused {
		return true, "is a full session, and " + why
	}
	if why := m.lifeOver(s); why != "" {
		return true, "works " + why
	}
	s.owing, s.own = false, false
	if now.After(s.used) {
		s.used = now
	}
	return true, ""
}

// lifeOver returns which bound of its life a session has passed.
func (m *model) lifeOver(s *session) string {
	p, now := &m.policy.Sessions, m.now()
	if !now.Before(s.end) {
		return "after its end"
	}
	shown := slices.DeleteFunc(slices.Clone(s.shown), func(p proof) bool { return p == byNothing })
	lives := []latchkey.Lifetime{p.SingleFactor} // that it may have
	switch {
	case len(shown) == 0:
		lives[0] = p.Anonymous
	case len(shown) > 1:
		lives[0] = p.MultiFactor
	}
	// It may have lost the factor, and a link is one only where one is owed.
	if slices.Contains(shown, byApp) || slices.Contains(shown, byKey) || slices.Contains(shown, byProvider) || len(s.gift) > 0 || s.excused {
		lives = append(lives, p.SingleFactor, p.MultiFactor)
		if s.shown[0] == byNothing {
			lives = append(lives, p.Anonymous)
		}
	}
	idle, absolute := lives[0].Idle, lives[0].Absolute
	for _, l := range lives[1:] {
		idle, absolute = longer(idle, l.Idle), longer(absolute, l.Absolute)
	}
	last := s.created
	for _, t := range []time.Time{s.challenged, s.confirmed} {
		if t.After(last) && !t.After(now.Add(clockStep)) {
			last = t
		}
	}
	switch {
	case idle > 0 && now.Sub(s.used) >= idle:
		return fmt.Sprintf("after %v without use", now.Sub(s.used))
	case absolute > 0 && now.Sub(last) >= absolute+clockStep:
		return fmt.Sprintf("%v after its last proof", now.Sub(last))
	}
	return ""
}

// longer returns the longer of two bounds, of which 0 is none.
func longer(a, b time.Duration) time.Duration {
	if a == 0 || b == 0 {
		return 0
	}
	return max(a, b)
}

// demand returns why an operation of an account may not succeed, "" if it may. off says that
// MFA is switched off; text is the password that was given.
func (m *model) demand(name string, c *credential, off bool, text string) string {
	a, s := c.account, c.session
	free := m.policy.Factors.EnrolWithoutStepUp
	recent := s != nil && (m.within(s.created) || m.within(s.challenged) || m.within(s.confirmed))
	switch name {
	case "ConfirmPassword":
		switch {
		case c.jwt:
			return "a JWT acts as a session"
		case a.word == nil || text != a.word.text:
			return "the password is wrong"
		case a.user.MFA && len(second(a)) > 0:
			return "the user has a second factor"
		}
		return ""
	case "ConfirmEmailChange", "ConfirmPhoneChange":
		if c.jwt {
			return "a JWT made something permanent"
		}
	case "UpdatePassword", "UpdateEmail", "UpdatePhone", "CreateAccount", "CreateEmailChange", "CreatePhoneChange":
		switch {
		case a.word != nil && text != a.word.text:
			return "the password is wrong"
		case m.anonymous(a) || a.word != nil && !a.user.MFA:
			return ""
		case c.jwt:
			return "a JWT made something permanent"
		case !free && !recent:
			return "the session is not fresh"
		}
		return ""
	case "StartOAuth2", "DeleteIdentity":
		switch {
		case c.jwt:
			return "a JWT made something permanent"
		case !free && !recent && !(m.anonymous(a) && name == "StartOAuth2"):
			return "the session is not fresh"
		}
		return ""
	case "UpdateMFA", "CreateMFAAuthenticator", "VerifyMFAAuthenticator", "CreateMFARecoveryCodes", "Block", "StartPasskeyEnrolment", "FinishPasskeyEnrolment":
		switch {
		case c.jwt:
			return "a JWT made something permanent"
		case m.anonymous(a) && strings.HasSuffix(name, "PasskeyEnrolment"):
			return ""
		case !free && !recent:
			return "the session is not fresh"
		case !m.hasStrongest(a) || name == "Block" || name == "UpdateMFA" && !(off && a.user.MFA):
			return ""
		case !m.strongly(s, free):
			return "the strongest factor was not shown"
		}
		return ""
	case "DeleteMFAAuthenticator", "DeletePasskey", "RegenerateMFARecoveryCodes", "MFARecoveryCodes":
		switch {
		case c.jwt:
			return "a JWT made something permanent"
		case !m.within(s.challenged):
			return "no challenge was answered"
		case m.hasStrongest(a) && !m.strongly(s, false):
			return "the strongest factor was not shown"
		}
		return ""
	case "RequireRecent":
		if c.jwt || !recent {
			return "the session is not fresh"
		}
	case "RotateSession", "CreateJWT", "CreateMFAChallenge", "ConfirmMFAChallenge":
		if c.jwt {
			return "a JWT acts as a session"
		}
	}
	return ""
}

// end ends the sessions of an account that a filter selects.
func (m *model) end(a *account, why string, which func(*session) bool) {
	for _, s := range m.sessions {
		if s.account == a && s.over == "" && which(s) {
			s.over = why
		}
	}
}

// wordShown follows a right password: the account is no longer taken for a stranger's.
func (a *account) wordShown() {
	if a.loose {
		a.loose, a.shared = false, true
	}
}

// but selects all sessions except one.
func but(kept *session) func(*session) bool { return func(s *session) bool { return s != kept } }

// passwordChanged follows a change of the password. kept is the session that made it.
func (m *model) passwordChanged(a *account, w *word, kept *session, ends bool) {
	for _, s := range m.sessions {
		s.excused = s.excused || a.word != nil && a.word.byMail && s.word == a.word
	}
	if a.reset {
		m.end(a, "may have been made with a password that opens nothing", but(kept))
	}
	a.word, a.reset = w, false
	m.end(a, "owed a factor when the password changed", func(s *session) bool { return s.owing && s != kept })
	if ends && !m.policy.Sessions.KeepOnPasswordChange {
		m.end(a, "has ended with the password", but(kept))
	}
}

// followed ends what a change of an account ends, given the account before it. kept is the
// session that made the change.
func (m *model) followed(before, a *account, kept *session) {
	p := &m.policy.Sessions
	lost := func(proven bool, old, now string) bool { return proven && old != now }
	mail := lost(before.user.EmailVerification, before.user.Email, a.user.Email)
	phone := lost(before.user.PhoneVerification, before.user.Phone, a.user.Phone)
	if mail {
		m.end(a, "was made by the former mailbox", func(s *session) bool { return s != kept && slices.Equal(s.proofs(), []proof{byMailbox}) })
	}
	if phone {
		m.end(a, "was made by the former number", func(s *session) bool { return s != kept && slices.Equal(s.proofs(), []proof{byTelephone}) })
	}
	if p.EndOnChange && (mail || phone || before.factors.TOTP != a.factors.TOTP) {
		m.end(a, "has ended with the address or the authenticator", but(kept))
	}
	if p.EndOnBlock && before.user.Status && !a.user.Status {
		m.end(a, "has ended with the block", but(nil))
	}
	if (a.half != a.user.Email || !a.user.EmailVerification) && (a.half != a.user.Phone || !a.user.PhoneVerification) {
		a.half = ""
	}
	if before.user.MFA == a.user.MFA {
		return
	}
	for _, s := range m.sessions {
		if s.account != a || s == kept && a.user.MFA {
			continue
		}
		s.gift = nil
		if a.user.MFA {
			s.shown, s.keys = s.shown[:1:1], slices.DeleteFunc(slices.Clone(s.keys), func(k *passkey) bool { return k != s.key })
			s.weaken(func(x strength) bool { return s.key == nil || x.key != s.key })
		}
	}
	if a.user.MFA {
		a.voidCodes(kept)
	}
}

// voidCodes ends the recovery codes of other sessions than one.
func (a *account) voidCodes(kept *session) {
	for _, t := range a.codes {
		if t.by != nil && t.by != kept {
			t.over = cmp.Or(t.over, "was made by another session")
		}
	}
}

// newApp follows a confirmed authenticator: what other sessions have shown by a former one, or
// by codes, proves nothing of it.
func (m *model) newApp(a *account, kept *session) {
	for _, s := range m.sessions {
		if s.account != a || s == kept {
			continue
		}
		former := func(p proof) bool { return p == byApp || p == byCode }
		s.gift = slices.DeleteFunc(s.gift, former)
		s.weaken(ofApp)
		s.shown = append(s.shown[:1:1], slices.DeleteFunc(slices.Clone(s.shown[1:]), former)...)
	}
	a.voidCodes(kept)
}
