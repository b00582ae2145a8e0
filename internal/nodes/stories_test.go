package nodes

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	random "math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/pquerna/otp"
	"github.com/pquerna/otp/totp"

	"example.com/latchkey"
)

// The types of the refusals that the stories expect.
const (
	unauthorized  = "general_unauthorized_scope"
	blocked       = "user_blocked"
	invalidToken  = "user_invalid_token"
	wrongPassword = "user_invalid_credentials"
	throttled     = "general_rate_limit_exceeded"
	exists        = "user_already_exists"
	emailExists   = "user_email_already_exists"
	isTarget      = "user_target_already_exists"
	isMember      = "membership_already_confirmed"
	noMember      = "membership_not_found"
	wrongInvite   = "team_invalid_secret"
	noTeam        = "team_not_found"
	noInvite      = "team_invite_not_found"
	lastOwner     = "membership_deletion_prohibited"
	keepsOwner    = "membership_downgrade_prohibited"
	noOwner       = "user_unauthorized"
	moreFactors   = "user_more_factors_required"
)

// stories are short scenes, each with users of its own, who use several nodes.
var stories = map[string]func(*cluster, *random.Rand){
	"sign up":   signUpAtOnce,
	"session":   useASession,
	"revoke":    revoke,
	"link":      func(c *cluster, r *random.Rand) { claimAtOnce(c, r, "askLink") },
	"code":      func(c *cluster, r *random.Rand) { claimAtOnce(c, r, "askCode") },
	"guess":     guessACode,
	"passwords": guessAPassword,
	"factors":   answerAtOnce,
	"answers":   guessAnAnswer,
	"invite":    acceptAtOnce,
	"owners":    leaveAtOnce,
	"address":   moveAtOnce,
	"crowd":     crowd,
}

// aUser is a user with a password and, after a sign-in, a session.
type aUser struct{ id, email, password, session, sessionID string }

func anEmail() string { return strings.ToLower(rand.Text()) + "@example.org" }

// anIP returns the address of a client that no other story has.
func anIP(r *random.Rand) string {
	return fmt.Sprintf("10.%d.%d.%d", r.IntN(256), r.IntN(256), 1+r.IntN(254))
}

// signedUp makes a user. It returns nil if the caller was not told of one.
func (c *cluster) signedUp(r *random.Rand) *aUser {
	u := &aUser{email: anEmail(), password: "correct horse " + rand.Text()}
	a := c.any(r).call("signUp", args{"email": u.email, "password": u.password})
	if a.How != done {
		if a.How == fault {
			c.absent(u.email)
		}
		return nil
	}
	u.id = a.Out["user"]
	return u
}

// here notes that a user has an address at the end.
func (c *cluster) here(id, email string) {
	c.know("the user of an address", func(e *latchkey.Engine) error {
		u, err := e.Users().GetByEmail(context.Background(), email)
		if err == nil && u.ID != id {
			err = errors.New("is another one")
		}
		return err
	})
}

// absent notes that nobody has an address at the end, because a call that failed has done nothing.
func (c *cluster) absent(email string) {
	c.know("the address of a sign-up that failed", func(e *latchkey.Engine) error {
		_, err := e.Users().GetByEmail(context.Background(), email)
		if errors.Is(err, latchkey.ErrUserNotFound) {
			return nil
		}
		return errors.Join(errors.New("has a user"), err)
	})
}

// alive notes that a session is good at the end.
func (c *cluster) alive(session string) {
	c.know("a session", func(e *latchkey.Engine) error {
		_, err := e.Guest(latchkey.Client{}).Authenticate(context.Background(), session)
		return err
	})
}

// dead notes that a session is refused at the end.
func (c *cluster) dead(session string) {
	c.know("a session that was ended", func(e *latchkey.Engine) error {
		_, err := e.Guest(latchkey.Client{}).Authenticate(context.Background(), session)
		if errors.Is(err, latchkey.ErrUnauthorized) || errors.Is(err, latchkey.ErrUserBlocked) {
			return nil
		}
		return errors.Join(errors.New("is good"), err)
	})
}

// signsIn signs a user in on a node.
func (n *node) signsIn(u *aUser) bool {
	a := n.call("signIn", args{"email": u.email, "password": u.password})
	u.session, u.sessionID = a.Out["session"], a.Out["sessionID"]
	return a.How == done
}

// signedIn makes a user with a session.
func (c *cluster) signedIn(r *random.Rand) *aUser {
	u := c.signedUp(r)
	if u == nil || !c.any(r).signsIn(u) {
		return nil
	}
	return u
}

// An address is signed up on every node at once.
func signUpAtOnce(c *cluster, _ *random.Rand) {
	email := anEmail()
	answers := c.everywhere("signUp", args{"email": email, "password": "correct horse"}, exists)
	if won := c.once("a sign-up", answers); won != nil {
		c.here(won.Out["user"], email)
		for _, a := range c.everywhere("byEmail", args{"email": email}) {
			if a.How == done && a.Out["user"] != won.Out["user"] {
				c.Errorf("the user of an address is another one on another node")
			}
		}
	}
	if !slices.ContainsFunc(answers, func(a answer) bool { return a.How != fault }) {
		c.absent(email)
	}
}

// A session that a node has made is good on every other node.
func useASession(c *cluster, r *random.Rand) {
	u := c.signedIn(r)
	if u == nil {
		return
	}
	c.here(u.id, u.email)
	c.alive(u.session)
	for _, a := range c.everywhere("authenticate", args{"session": u.session}) {
		if a.How == done && a.Out["user"] != u.id {
			c.Errorf("a session is another user's")
		}
	}
}

// A session that a node has ended is refused on every other node at once, while they use it and sign in the user.
func revoke(c *cluster, r *random.Rand) {
	u := c.signedIn(r)
	if u == nil {
		return
	}
	how := []string{"signOut", "deleteSession", "deleteSessions", "block", "setPassword"}[r.IntN(5)]
	by := c.any(r)
	in := args{"session": u.session, "user": u.id, "sessionID": u.sessionID, "password": "another horse"}
	calls := []func() answer{func() answer { return by.call(how, in) }}
	for _, n := range c.others(by) {
		calls = append(calls, func() answer {
			return n.call("authenticate", args{"session": u.session}, unauthorized, blocked)
		}, func() answer {
			return n.call("signIn", args{"email": u.email, "password": u.password}, wrongPassword, blocked, throttled)
		})
	}
	answers := atOnce(calls...)
	if answers[0].How != done {
		return
	}
	c.dead(u.session)
	for _, a := range c.everywhere("authenticate", args{"session": u.session}, unauthorized, blocked) {
		if a.How == done {
			c.Errorf("a session is good on a node after %s on another", how)
		}
	}
	// A block and a password hold for the sessions that were made meanwhile too.
	if how == "block" || how == "setPassword" {
		for _, made := range answers[1:] {
			if made.How != done || made.Out["session"] == "" {
				continue
			}
			c.dead(made.Out["session"])
			for _, a := range c.everywhere("authenticate", args{"session": made.Out["session"]}, unauthorized, blocked) {
				if a.How == done {
					c.Errorf("a session that was made during %s is good after it", how)
				}
			}
		}
	}
}

// A link or a code is claimed on every node at once, twice on one of them.
func claimAtOnce(c *cluster, r *random.Rand, ask string) {
	email := anEmail()
	if r.IntN(2) == 0 {
		u := c.signedUp(r)
		if u == nil {
			return
		}
		email = u.email
	}
	n := c.any(r)
	from := n.process()
	asked := n.call(ask, args{"email": email})
	if asked.How != done {
		return
	}
	m, came := n.message(asked.Out["token"], from)
	if !came {
		return
	}
	in := args{"user": m["user"], "secret": m["secret"]}
	var calls []func() answer
	for _, n := range append(slices.Clone(c.nodes), n) {
		calls = append(calls, func() answer { return n.call("claim", in, invalidToken, throttled) })
	}
	if won := c.once("a link or a code", atOnce(calls...)); won != nil {
		c.here(won.Out["user"], email)
		c.alive(won.Out["session"])
	}
}

// The bounds of wrong answers in a row. Ten are free, and the eleventh begins a wait of 30 seconds, which doubles with
// each further one. For a node whose clock is a minute and a half ahead, the first two waits are over at once. Five
// wrong answers end a code, which is counted under its address.
const (
	mostGuesses = 11 + 2
	mostOfCode  = 5
)

// Wrong codes are counted over all nodes.
func guessACode(c *cluster, r *random.Rand) {
	n, email := c.any(r), anEmail()
	from := n.process()
	asked := n.call("askCode", args{"email": email})
	if asked.How != done {
		return
	}
	m, came := n.message(asked.Out["token"], from)
	if !came {
		return
	}
	wrong := "123456"
	if m["secret"] == wrong {
		wrong = "654321"
	}
	var calls []func() answer
	for range 6 {
		for _, n := range c.nodes {
			calls = append(calls, func() answer {
				return n.call("claim", args{"user": m["user"], "secret": wrong}, invalidToken, throttled)
			})
		}
	}
	compared := 0
	for _, a := range atOnce(calls...) {
		if a.How == done {
			c.Errorf("a wrong code is right")
		}
		if a.Type == invalidToken {
			compared++
		}
	}
	if compared > mostOfCode+mostGuesses {
		c.Errorf("%d wrong codes were compared", compared)
	}
	if compared < mostOfCode {
		return
	}
	for _, a := range c.everywhere("claim", args{"user": m["user"], "secret": m["secret"]}, invalidToken, throttled) {
		if a.How == done {
			c.Errorf("the code is good after %d wrong answers", compared)
		}
	}
}

// Wrong passwords are counted over all nodes.
func guessAPassword(c *cluster, r *random.Rand) {
	u := c.signedUp(r)
	if u == nil {
		return
	}
	ip := anIP(r)
	var calls []func() answer
	for range 5 {
		for _, n := range c.nodes {
			calls = append(calls, func() answer {
				return n.call("signIn", args{"email": u.email, "password": "wrong horse", "ip": ip}, wrongPassword, throttled)
			})
		}
	}
	compared := 0
	for _, a := range atOnce(calls...) {
		if a.How == done {
			c.Errorf("a wrong password is right")
		}
		if a.Type == wrongPassword {
			compared++
		}
	}
	if compared > mostGuesses {
		c.Errorf("%d wrong passwords were compared", compared)
	}
	if compared < mostGuesses-2 {
		if !c.faults {
			c.Errorf("only %d wrong passwords were compared", compared)
		}
		return
	}
	if a := c.nodes[0].call("signIn", args{"email": u.email, "password": u.password, "ip": ip}, throttled); a.How == done {
		c.Errorf("the right password is not slowed after %d wrong ones", compared)
	}
}

// code returns the code of an authenticator app on a clock.
func code(c *cluster, uri string, ahead time.Duration) string {
	key, err := otp.NewKeyFromURL(uri)
	if err != nil {
		c.Fatal(err)
	}
	text, err := totp.GenerateCodeCustom(key.Secret(), time.Now().Add(ahead), totp.ValidateOpts{Period: 30, Digits: key.Digits(), Algorithm: key.Algorithm()})
	if err != nil {
		c.Fatal(err)
	}
	return text
}

// enrolled makes a user with an authenticator and recovery codes, on the node with the earliest clock. The answer has
// the URI of the authenticator and a recovery code.
func (c *cluster) enrolled(r *random.Rand) (u *aUser, uri, recovery string) {
	first := c.nodes[0]
	u = c.signedUp(r)
	if u == nil || !first.signsIn(u) {
		return nil, "", ""
	}
	made := first.call("enrol", args{"session": u.session})
	if made.How != done {
		return nil, "", ""
	}
	confirmed := first.call("confirm", args{"session": u.session, "code": code(c, made.Out["uri"], first.settings.Ahead)}, invalidToken)
	if confirmed.How != done {
		return nil, "", ""
	}
	return u, made.Out["uri"], confirmed.Out["recovery"]
}

// Wrong answers to a challenge are counted over all nodes.
func guessAnAnswer(c *cluster, r *random.Rand) {
	last := c.nodes[len(c.nodes)-1]
	u, _, recovery := c.enrolled(r)
	if u == nil || !last.signsIn(u) {
		return
	}
	asked := c.any(r).call("challenge", args{"session": u.session, "factor": "recoveryCode"})
	if asked.How != done {
		return
	}
	in := args{"session": u.session, "challenge": asked.Out["challenge"], "code": "aaaaaaaaaa"}
	var answers []answer
	for range 3 {
		answers = append(answers, c.everywhere("answer", in, invalidToken, throttled)...)
	}
	compared := 0
	for _, a := range answers {
		if a.How == done {
			c.Errorf("a wrong answer is right")
		}
		if a.Type == invalidToken {
			compared++
		}
	}
	if compared < mostOfCode {
		return
	}
	in = args{"session": u.session, "challenge": asked.Out["challenge"], "code": recovery}
	for _, a := range c.everywhere("answer", in, invalidToken, throttled) {
		if a.How == done {
			c.Errorf("a challenge is open after %d wrong answers", compared)
		}
	}
}

// A code of an authenticator, and then a recovery code, answers the challenges of a session on each node at once.
func answerAtOnce(c *cluster, r *random.Rand) {
	last := c.nodes[len(c.nodes)-1]
	u, uri, recovery := c.enrolled(r)
	if u == nil {
		return
	}
	for _, factor := range []string{"totp", "recoveryCode"} {
		sessions, challenges := make([]string, len(c.nodes)), make([]string, len(c.nodes))
		for i, n := range c.nodes {
			if !n.signsIn(u) {
				return
			}
			sessions[i] = u.session
			a := c.any(r).call("challenge", args{"session": sessions[i], "factor": factor})
			if a.How != done {
				return
			}
			challenges[i] = a.Out["challenge"]
		}
		// The node with the latest clock takes the code for sure: no other node has taken that of a later step.
		text := recovery
		if factor == "totp" {
			text = code(c, uri, last.settings.Ahead)
		}
		var calls []func() answer
		for i, n := range c.nodes {
			calls = append(calls, func() answer {
				return n.call("answer", args{"session": sessions[i], "challenge": challenges[i], "code": text}, invalidToken, throttled)
			})
		}
		answers := atOnce(calls...)
		if factor == "totp" && answers[len(answers)-1].How != refused {
			answers = slices.DeleteFunc(answers, func(a answer) bool { return a.How == refused }) // their clocks are behind
		}
		won := c.once("a "+factor, answers)
		if won == nil {
			return
		}
		if factor == "recoveryCode" {
			c.alive(won.Out["session"])
		}
		for _, a := range c.everywhere("authenticate", args{"session": won.Out["session"]}) {
			if a.How == done && a.Out["user"] != u.id {
				c.Errorf("a session is another user's")
			}
		}
	}
}

// An invitation is accepted on every node at once.
func acceptAtOnce(c *cluster, r *random.Rand) {
	u := c.signedIn(r)
	if u == nil {
		return
	}
	team := c.any(r).call("team", args{"session": u.session})
	if team.How != done {
		return
	}
	email, n := anEmail(), c.any(r)
	from := n.process()
	invited := n.call("invite", args{"session": u.session, "team": team.Out["team"], "email": email, "roles": "baker"})
	if invited.How != done {
		return
	}
	m, came := n.message(invited.Out["member"], from)
	if !came {
		return
	}
	won := c.once("an invitation", c.everywhere("accept", m, isMember, wrongInvite, noMember))
	if won == nil {
		return
	}
	c.here(won.Out["user"], email)
	c.alive(won.Out["session"])
	c.know("a member", func(e *latchkey.Engine) error {
		got, err := e.Teams().GetMembership(context.Background(), team.Out["team"], m["member"])
		if err == nil && (!got.Confirm || got.UserID != won.Out["user"] || !slices.Equal(got.Roles, []string{"baker"})) {
			err = fmt.Errorf("is %+v", got)
		}
		return err
	})
}

// The owners of a team leave it, remove one another, lose their role or are deleted, on several nodes at once.
func leaveAtOnce(c *cluster, r *random.Rand) {
	var owners []*aUser
	for range 3 {
		u := c.signedIn(r)
		if u == nil {
			return
		}
		owners = append(owners, u)
	}
	made := c.any(r).call("team", args{"session": owners[0].session})
	if made.How != done {
		return
	}
	team := made.Out["team"]
	var members []string
	for i, u := range append(owners[1:], c.signedUp(r)) {
		if u == nil {
			return
		}
		role := "owner"
		if i == 2 {
			role = "baker" // stays behind
		}
		a := c.any(r).call("addMember", args{"team": team, "user": u.id, "roles": role})
		if a.How != done {
			return
		}
		members = append(members, a.Out["member"])
	}
	var calls []func() answer
	for i, u := range owners {
		n, ops := c.nodes[(i+r.IntN(2))%len(c.nodes)], []string{"leave", "setRoles", "deleteUser", "leave"}
		op := ops[r.IntN(len(ops))]
		// The first owner has made the team, and does not know the own membership: that owner removes another one.
		member := members[max(i-1, 0)]
		if r.IntN(3) == 0 {
			member = members[r.IntN(2)]
		}
		calls = append(calls, func() answer {
			return n.call(op, args{"session": u.session, "team": team, "member": member, "user": u.id},
				unauthorized, noMember, noInvite, noTeam, lastOwner, keepsOwner, noOwner)
		})
	}
	atOnce(calls...)
	c.know("the team of owners who left", func(e *latchkey.Engine) error { return hasOwner(e, team) })
}

// hasOwner refuses a team with members and without an owner.
func hasOwner(e *latchkey.Engine, team string) error {
	all, err := e.Teams().Memberships(context.Background(), team)
	if errors.Is(err, latchkey.ErrTeamNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, m := range all.Memberships {
		if m.Confirm && slices.Contains(m.Roles, "owner") {
			return nil
		}
	}
	if len(all.Memberships) == 0 {
		return nil
	}
	return fmt.Errorf("%d members have no owner", len(all.Memberships))
}

// Two users move to one address at once, and a third one signs up with it.
func moveAtOnce(c *cluster, r *random.Rand) {
	email := anEmail()
	var movers []*aUser
	for range 2 {
		u := c.signedIn(r)
		if u == nil {
			return
		}
		movers = append(movers, u)
	}
	var calls []func() answer
	for i, u := range movers {
		n := c.nodes[(i+r.IntN(3))%len(c.nodes)]
		calls = append(calls, func() answer {
			return n.call("moveTo", args{"session": u.session, "email": email, "password": u.password}, emailExists, isTarget, exists)
		})
	}
	n := c.any(r)
	calls = append(calls, func() answer { return n.call("signUp", args{"email": email, "password": "correct horse"}, exists) })
	answers := atOnce(calls...)
	won := c.once("an address", answers)
	if won == nil {
		return
	}
	owner := won.Out["user"]
	for i, u := range movers {
		if won == &answers[i] {
			owner = u.id
		} else if answers[i].How == fault || answers[i].How == refused {
			c.here(u.id, u.email)
		}
	}
	c.here(owner, email)
}

// crowd changes two users and their team in every way, on all nodes at once. No answer of one call alone is wrong. The
// rules of the rows tell at the end whether all together were right.
func crowd(c *cluster, r *random.Rand) {
	one, two := c.signedIn(r), c.signedIn(r)
	if one == nil || two == nil {
		return
	}
	made := c.any(r).call("team", args{"session": one.session})
	if made.How != done {
		return
	}
	team := made.Out["team"]
	joined := c.any(r).call("addMember", args{"team": team, "user": two.id, "roles": "owner"})
	if joined.How != done {
		return
	}
	moved := anEmail()
	var calls []func() answer
	for range 3 * len(c.nodes) {
		n, u := c.any(r), []*aUser{one, two}[r.IntN(2)]
		in := args{"email": u.email, "password": u.password, "session": u.session, "user": u.id, "sessionID": u.sessionID, "team": team, "member": joined.Out["member"]}
		op := []string{"signIn", "signIn", "signIn", "signOut", "deleteSession", "deleteSessions", "leave", "setRoles", "addMember", "moveTo", "enrol", "askLink", "block", "deleteUser"}[r.IntN(14)]
		if op == "moveTo" {
			in["email"] = moved
		}
		calls = append(calls, func() answer {
			a := n.try(op, in)
			if a.How == fault || a.How == unknown {
				if !c.faults {
					c.Errorf("%s: %s: %s", op, a.How, a.Text)
				}
				c.troubled.Add(1)
			}
			return a
		})
	}
	atOnce(calls...)
	c.know("the team of a crowd", func(e *latchkey.Engine) error { return hasOwner(e, team) })
}
