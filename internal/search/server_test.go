package search_test

import (
	"cmp"
	"fmt"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/internal/kit"
)

// users is the server's scope, with the account that it works on.
func users(w *world) (*latchkey.Users, *account, bool) {
	if w.main == nil || w.main.gone {
		return nil, nil, false
	}
	return w.k.Users(), w.main, true
}

func serverWord(w *world, _ *actor, s step) string {
	u, a, ok := users(w)
	if !ok {
		return ""
	}
	wd, me := w.newWord(false), w.of(owner)
	if s.x%6 == 0 {
		err := kit.Err(u.UpdatePassword(w.k.Ctx, a.id, ""))
		switch {
		case err == nil && a.word == nil: // no change, but the other ways in end
			if !w.policy.Sessions.KeepOnPasswordChange {
				w.end(a, "has ended with the password", but(nil))
			}
			w.endMail(a, "was sent before the password was removed")
		case err == nil:
			w.setWord(a, nil, nil, true)
		}
		return "removes the password: " + w.told(err)
	}
	err := kit.Err(u.UpdatePassword(w.k.Ctx, a.id, wd.text))
	if err == nil {
		me.words = append(me.words, wd)
		w.setWord(a, wd, nil, true)
	}
	return fmt.Sprintf("sets the password %q: %s", wd.text, w.told(err))
}

func serverMFA(w *world, _ *actor, s step) string {
	u, a, ok := users(w)
	if !ok {
		return ""
	}
	on := s.x%3 != 0
	w.switches = true
	err := kit.Err(u.UpdateMFA(w.k.Ctx, a.id, on))
	if err == nil {
		a.demanded = on
	}
	return fmt.Sprintf("switches MFA to %v: %s", on, w.told(err))
}

func serverStatus(w *world, _ *actor, s step) string {
	u, a, ok := users(w)
	if !ok {
		return ""
	}
	status := !a.user.Status || s.x%4 == 0
	err := kit.Err(u.UpdateStatus(w.k.Ctx, a.id, status))
	if err == nil && !status {
		for _, holder := range w.actors {
			for _, c := range holder.creds {
				if c.account == a && c.session == nil && a.user.Status {
					c.over = "was made before the block"
				}
			}
		}
	}
	return fmt.Sprintf("sets the status to %v: %s", status, w.told(err))
}

func serverAddress(w *world, _ *actor, s step) string {
	u, a, ok := users(w)
	if !ok {
		return ""
	}
	if s.x%2 == 0 {
		email := []string{mailA, mailB}[s.y%2]
		err := kit.Err(u.UpdateEmail(w.k.Ctx, a.id, email))
		if err == nil && email != a.user.Email {
			w.release(a, "is void by a change of the server", func(h *hold) bool { return !h.phone })
		}
		return fmt.Sprintf("sets the address %s: %s", email, w.told(err))
	}
	phone := []string{callA, callB, ""}[s.y%3]
	err := kit.Err(u.UpdatePhone(w.k.Ctx, a.id, phone))
	if err == nil && phone != a.user.Phone {
		w.release(a, "is void by a change of the server", func(h *hold) bool { return h.phone })
	}
	return fmt.Sprintf("sets the number %q: %s", phone, w.told(err))
}

func serverVerification(w *world, _ *actor, s step) string {
	u, a, ok := users(w)
	if !ok {
		return ""
	}
	to := s.y%3 != 0
	w.proved = append(w.proved, a.user.Email, a.user.Phone)
	if s.x%2 == 0 {
		return fmt.Sprintf("says that the address is verified: %v: %s", to, w.told(kit.Err(u.UpdateEmailVerification(w.k.Ctx, a.id, to))))
	}
	return fmt.Sprintf("says that the number is verified: %v: %s", to, w.told(kit.Err(u.UpdatePhoneVerification(w.k.Ctx, a.id, to))))
}

func serverRemovesApp(w *world, _ *actor, _ step) string {
	u, a, ok := users(w)
	if !ok {
		return ""
	}
	err := u.DeleteMFAAuthenticator(w.k.Ctx, a.id)
	if err == nil {
		a.device = nil
	}
	return "removes the authenticator: " + w.told(err)
}

func serverCodes(w *world, _ *actor, s step) string {
	u, a, ok := users(w)
	if !ok {
		return ""
	}
	call := u.CreateMFARecoveryCodes
	if s.x%2 == 0 {
		call = u.RegenerateMFARecoveryCodes
	}
	shown, err := call(w.k.Ctx, a.id)
	if err == nil {
		w.keep(w.of(owner), a, shown, true, nil)
	}
	return "makes recovery codes for the owner: " + w.told(err)
}

func serverSession(w *world, _ *actor, _ step) string {
	u, a, ok := users(w)
	if !ok {
		return ""
	}
	made, err := u.CreateSession(w.k.Ctx, a.id)
	if err != nil {
		return "makes a session for the owner: " + w.told(err)
	}
	return "makes a session for the owner: " + w.entered(w.of(owner), made, byServer, nil).String()
}

func serverToken(w *world, _ *actor, _ step) string {
	u, a, ok := users(w)
	if !ok {
		return ""
	}
	made, err := u.CreateToken(w.k.Ctx, a.id, 6, 0)
	if err == nil {
		for _, old := range w.mails {
			if old.kind == string(handedOver) && old.over == "" {
				old.over = "was replaced"
			}
		}
		t := &oneTime{kind: string(handedOver), userID: a.id, secret: made.Secret.Reveal(), account: a, created: w.now(), expire: w.now().Add(15 * time.Minute)}
		w.mails = append(w.mails, t)
		w.of(owner).mail = append(w.of(owner).mail, t)
	}
	return "hands the owner a token: " + w.told(err)
}

func serverJWT(w *world, _ *actor, s step) string {
	u, a, ok := users(w)
	if !ok {
		return ""
	}
	session := []string{"", latchkey.RecentSession}[s.x%2]
	list, err := u.Sessions(w.k.Ctx, a.id)
	w.k.Must(err)
	text, err := u.CreateJWT(w.k.Ctx, a.id, session, 0)
	if err != nil {
		return "makes a JWT for the owner: " + w.told(err)
	}
	c := &credential{text: text.Reveal(), account: a, jwt: true, word: a.word, issued: w.now(), expire: w.now().Add(15 * time.Minute)}
	if len(list.Sessions) > 0 {
		handle, err := w.k.Visitor.AuthenticateJWT(w.k.Ctx, c.text)
		w.k.Must(err)
		for _, s := range w.sessions {
			if s.id == handle.SessionID() {
				c.session = s
			}
		}
	}
	w.of(owner).creds = append(w.of(owner).creds, c)
	return fmt.Sprintf("makes a JWT for the owner: %v", c)
}

func serverEnds(w *world, _ *actor, s step) string {
	u, a, ok := users(w)
	if !ok {
		return ""
	}
	if c, ok := pick(w.of(owner).creds, s.y); ok && s.x%2 == 0 && c.session != nil {
		err := u.DeleteSession(w.k.Ctx, a.id, c.session.id)
		if err == nil {
			c.session.over = "was ended by the server"
		}
		return fmt.Sprintf("ends %v: %s", c.session.name, w.told(err))
	}
	err := u.DeleteSessions(w.k.Ctx, a.id)
	if err == nil {
		w.end(a, "was ended by the server", but(nil))
	}
	return "ends all sessions: " + w.told(err)
}

func serverEndsAll(w *world, _ *actor, _ step) string {
	err := w.k.EndAll(w.k.Ctx)
	if err == nil {
		for _, a := range w.accounts {
			w.end(a, "has ended with everything", but(nil))
			w.endJWTs(a, "has ended with everything")
			w.release(a, "has ended with everything", all)
		}
		for _, t := range w.mails {
			if t.over == "" {
				t.over = "has ended with everything"
			}
		}
		for _, q := range w.challenges {
			q.over = "has ended with everything"
		}
		for _, holder := range w.actors {
			for _, q := range holder.questions {
				q.over = cmp.Or(q.over, "has ended with everything")
			}
		}
	}
	return "ends everything: " + w.told(err)
}

func sweep(w *world, _ *actor, _ step) string {
	err := kit.Err(w.k.Sweep(w.k.Ctx))
	if err == nil {
		for _, h := range w.holds {
			h.over = cmp.Or(h.over, w.holding(h))
		}
	}
	return "sweeps: " + w.told(err)
}

func serverDeletes(w *world, _ *actor, s step) string {
	u, a, ok := users(w)
	if !ok || s.x%4 != 0 {
		return ""
	}
	err := u.Delete(w.k.Ctx, a.id)
	if err == nil {
		w.end(a, "was there before the user was deleted", but(nil))
		w.endJWTs(a, "was there before the user was deleted")
		w.endMail(a, "was sent before the user was deleted")
		w.release(a, "was left before the user was deleted", all)
	}
	return "deletes the user: " + w.told(err)
}

func advance(w *world, _ *actor, s step) string {
	moves := []time.Duration{
		time.Second, 31 * time.Second, 31 * time.Second, 61 * time.Second, 4 * time.Minute, 6 * time.Minute, 11 * time.Minute, 16 * time.Minute,
		31 * time.Minute, 61 * time.Minute, 3 * time.Hour, 26 * time.Hour, 8 * 24 * time.Hour, 31 * 24 * time.Hour,
	}
	d := moves[s.x%len(moves)]
	w.k.Clock.Advance(d)
	return fmt.Sprintf("%v pass", d)
}

func stepBack(w *world, _ *actor, s step) string {
	d := min(time.Duration(1+s.x%60)*time.Second, w.now().Sub(w.high)+clockStep)
	if d <= 0 || w.leaping {
		return ""
	}
	w.k.Clock.Advance(-d)
	return fmt.Sprintf("steps back by %v", d)
}

// leap sets the clock far ahead, or back again.
func leap(w *world, _ *actor, s step) string {
	if w.leap > 0 {
		w.k.Clock.Advance(-w.leap)
		w.leap, w.leaping = 0, false
		return "is right again"
	}
	w.leap = []time.Duration{2 * time.Hour, 20 * time.Hour, 40 * 24 * time.Hour, 400 * 24 * time.Hour}[s.x%4]
	w.leaping = true
	w.k.Clock.Advance(w.leap)
	return fmt.Sprintf("is ahead by %v", w.leap)
}
