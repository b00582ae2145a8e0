package search_test

import (
	"cmp"
	"slices"
	"time"
)

// holdLength is how long a former address is held.
const holdLength = 7 * 24 * time.Hour

// hold is a former address of an account, which its reader can restore.
type hold struct {
	account         *account
	phone           bool
	address, beside string // the one that was left, and the other one that stays when it is restored
	created, expire time.Time
	over            string
	told            bool // the link was sent
	lost            bool // another user has got the address while a clock was wrong
}

// all selects everything that is held.
func all(*hold) bool { return true }

// holding returns why a former address is not held, "" if it is.
func (m *model) holding(h *hold) string {
	return m.live(&oneTime{created: h.created, expire: h.expire, over: h.over})
}

// restorable reports whether a former address of an account can be restored.
func (m *model) restorable(a *account) bool {
	return slices.ContainsFunc(m.holds, func(h *hold) bool { return h.account == a && m.holding(h) == "" })
}

// later reports whether an address was left after another one.
func (m *model) later(h, than *hold) bool {
	if c := h.created.Compare(than.created); c != 0 {
		return c > 0
	}
	return slices.Index(m.holds, h) > slices.Index(m.holds, than)
}

// release ends what is held for an account, as far as which selects it.
func (m *model) release(a *account, why string, which func(*hold) bool) {
	a.undo = time.Time{}
	for _, h := range m.holds {
		if h.account != a {
			continue
		}
		if which(h) {
			h.over = cmp.Or(h.over, why)
		}
		if h.over == "" && h.expire.After(a.undo) {
			a.undo = h.expire
		}
	}
}

// noteProofs records since when the addresses of an account are proven. The word of the server
// counts as if the address had always been the user's.
func (m *model) noteProofs(before, a *account, byServer bool) {
	now := m.now()
	if byServer {
		now = time.Time{}
	}
	note := func(since *time.Time, proven, new bool) {
		switch {
		case !proven:
			*since = time.Time{}
		case new:
			*since = now
		}
	}
	was, is := &before.user, &a.user
	note(&a.mailSince, is.EmailVerification, !was.EmailVerification || was.Email != is.Email)
	note(&a.phoneSince, is.PhoneVerification, !was.PhoneVerification || was.Phone != is.Phone)
}

// settled reports whether a proven address is the user's for good: it was proven seven days ago, or
// the server has proven it, or it is the first proof of the account. It is not the first where the
// user has an identity at a provider, a former address that can be restored, or another address
// that was proven before it.
func (m *model) settled(a *account, phone bool) bool {
	since, other, beside := a.mailSince, a.phoneSince, a.user.PhoneVerification
	if phone {
		since, other, beside = a.phoneSince, a.mailSince, a.user.EmailVerification
	}
	now := m.now()
	switch {
	case since.IsZero(), now.Sub(since) >= holdLength:
		return true
	case a.links > 0, a.undo.After(now):
		return false
	}
	return !beside || other.After(since)
}

// leave holds an address that a user leaves by proof, and returns what is held; nil if the address
// is not held: the user has not proven it for good, or it is not settled. A change back to an
// address that is held ends what is held for those in between.
func (m *model) leave(a *account, phone bool, to string) *hold {
	address, proven, beside, other := a.user.Email, a.user.EmailVerification, a.user.Phone, a.user.PhoneVerification
	if phone {
		address, proven, beside, other = beside, other, address, proven
	}
	for _, back := range m.holds {
		if back.account == a && back.phone == phone && back.address == to && m.holding(back) == "" {
			m.release(a, "is void by the change back to an earlier address", func(h *hold) bool { return h.phone == phone && m.later(h, back) })
			return nil
		}
	}
	if !proven || address == to || a.half == address || a.loose && !a.user.MFA || !m.settled(a, phone) {
		return nil
	}
	if !other || !m.settled(a, !phone) {
		beside = ""
	}
	created := m.now()
	for _, h := range m.holds { // machines may differ about the time
		if h.account == a && m.holding(h) == "" && !created.After(h.created) {
			created = h.created.Add(time.Microsecond)
		}
	}
	m.release(a, "was replaced", func(h *hold) bool { return h.phone == phone && h.address == address })
	h := &hold{account: a, phone: phone, address: address, beside: beside, created: created, expire: m.now().Add(holdLength)}
	m.holds = append(m.holds, h)
	if h.expire.After(a.undo) {
		a.undo = h.expire
	}
	return h
}

// weigh follows an address that was restored. What is held for later addresses ends, but for the
// one that the user had beside it. What is left can be restored beside it.
func (m *model) weigh(h *hold) {
	m.release(h.account, "is void by the link for an earlier address", func(o *hold) bool {
		return m.later(o, h) && (o.phone == h.phone || o.address != h.beside)
	})
	for _, o := range m.holds {
		if o.account == h.account && o.phone != h.phone && o.over == "" {
			o.beside = h.address
		}
	}
}
