package web

import (
	"context"
	"errors"
	"net/http"

	"example.com/latchkey"
)

// Handle returns a handler for requests of anybody. [Site.Fail] answers the error of the function. The
// function must not have begun to answer then.
func (s *Site) Handle(fn func(w http.ResponseWriter, r *http.Request) error) http.Handler {
	return s.handler(true, fn)
}

// handler is the one place where a handler of the site is made. A handler for the form posts of another
// service is open to every origin.
func (s *Site) handler(ownPages bool, fn func(w http.ResponseWriter, r *http.Request) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.setHeaders(w.Header())
		w.Header().Set("Cache-Control", "no-store")
		if s.config.MaxBody > 0 {
			r.Body = http.MaxBytesReader(w, r.Body, s.config.MaxBody)
		}
		if ownPages && s.csrf.Check(r) != nil {
			s.refuse(w, r)
			return
		}
		if err := fn(w, r); err != nil {
			s.Fail(w, r, err)
		}
	})
}

// Require returns a handler for requests of signed-in users. The others get the answer of [Site.Fail] to
// the error of [latchkey.Guest.Authenticate], each its own: [latchkey.ErrUnauthorized] without a live
// session, [*latchkey.MoreFactorsError] while a factor is owed, [*latchkey.UnverifiedEmailError] and
// [latchkey.ErrPasswordResetRequired] as the names say, [latchkey.ErrUserBlocked], and
// [latchkey.ErrSessionRenewed] for a former secret. It is one read of the store.
func (s *Site) Require(fn func(w http.ResponseWriter, r *http.Request, account *latchkey.Account) error) http.Handler {
	return s.Handle(func(w http.ResponseWriter, r *http.Request) error {
		account, err := s.Authenticate(r)
		if err != nil {
			return err
		}
		return fn(w, r, account)
	})
}

// RequireProfile is [Site.Require] for a page that shows the user. The profile comes with the same read
// of the store.
func (s *Site) RequireProfile(fn func(w http.ResponseWriter, r *http.Request, account *latchkey.Account, profile *latchkey.Profile) error) http.Handler {
	return s.Handle(func(w http.ResponseWriter, r *http.Request) error {
		secret := s.Secret(r)
		if secret == "" {
			return latchkey.ErrUnauthorized
		}
		account, profile, err := s.Guest(r).AuthenticateProfile(r.Context(), secret)
		if err != nil {
			return err
		}
		return fn(w, r, account, profile)
	})
}

// Optional returns a handler for requests of signed-in users and of everybody else. The account is nil
// for the callers that [Site.Require] would send to another page: without a session, with one that owes
// a factor or a verified address, and those who are blocked or must reset the password. A fault, and
// [latchkey.ErrSessionRenewed], are answered as there.
func (s *Site) Optional(fn func(w http.ResponseWriter, r *http.Request, account *latchkey.Account) error) http.Handler {
	return s.Handle(func(w http.ResponseWriter, r *http.Request) error {
		account, err := s.Authenticate(r)
		if _, answer := errors.AsType[*latchkey.Error](err); answer && !errors.Is(err, latchkey.ErrSessionRenewed) {
			account, err = nil, nil
		}
		if err != nil {
			return err
		}
		return fn(w, r, account)
	})
}

// Authenticate returns the account of the session of a request, by one read of the store. The errors are
// those of [latchkey.Guest.Authenticate]. A request without a secret costs no read.
func (s *Site) Authenticate(r *http.Request) (*latchkey.Account, error) {
	secret := s.Secret(r)
	if secret == "" {
		return nil, latchkey.ErrUnauthorized
	}
	return s.Guest(r).Authenticate(r.Context(), secret)
}

// Challenger is what the page of a second factor needs of a session: a [*latchkey.Pending] of one that
// owes a factor, or a [*latchkey.Account] of one that confirms a factor again.
type Challenger interface {
	UserID() string
	SessionID() string
	MFAFactors(context.Context) (latchkey.MFAFactors, error)
	CreateMFAChallenge(context.Context, latchkey.Factor) (*latchkey.MFAChallenge, error)
	ConfirmMFAChallenge(ctx context.Context, challengeID, otp string) (*latchkey.Session, error)
	StartPasskeyChallenge(context.Context) (*latchkey.PasskeyCeremony, error)
	FinishPasskeyChallenge(ctx context.Context, answer []byte) (*latchkey.Session, error)
}

var _, _ Challenger = (*latchkey.Pending)(nil), (*latchkey.Account)(nil)

// Challenge returns a handler for the page of a second factor. One page serves a session that owes a
// factor, after a sign-in, and one that owes none, before a sensitive page. The function gets the first as
// a [*latchkey.Pending] and the second as a [*latchkey.Account]. After ConfirmMFAChallenge or
// FinishPasskeyChallenge it calls [Site.Renew], and leads to [Next].
func (s *Site) Challenge(fn func(w http.ResponseWriter, r *http.Request, of Challenger) error) http.Handler {
	return s.Handle(func(w http.ResponseWriter, r *http.Request) error {
		account, err := s.Authenticate(r)
		if owing, is := errors.AsType[*latchkey.MoreFactorsError](err); is {
			return fn(w, r, owing.Pending)
		}
		if err != nil {
			return err
		}
		return fn(w, r, account)
	})
}

// Unverified returns a handler for the page of a user who must prove the e-mail address first
// (RequireVerifiedEmail of [latchkey.Policy]). A request of a user who has proven it is led to [Next], and
// one for JSON gets [latchkey.ErrEmailAlreadyVerified].
func (s *Site) Unverified(fn func(w http.ResponseWriter, r *http.Request, user *latchkey.Unverified) error) http.Handler {
	return s.Handle(func(w http.ResponseWriter, r *http.Request) error {
		_, err := s.Authenticate(r)
		if unproven, is := errors.AsType[*latchkey.UnverifiedEmailError](err); is {
			return fn(w, r, unproven.Unverified)
		}
		if err != nil {
			return err
		}
		if !wantsPage(r) {
			return latchkey.ErrEmailAlreadyVerified
		}
		http.Redirect(w, r, Next(r), http.StatusSeeOther)
		return nil
	})
}

// ConfirmEmailVerification verifies an address by the parameters of a link, when the user presses the button
// of its page: in the session of the request if that is the user's
// ([latchkey.Account.ConfirmEmailVerification], also for [latchkey.Unverified]), and otherwise by the link alone
// ([latchkey.Guest.ConfirmEmailVerification]). A link without a session proves less, so the page must not leave
// the session out. The errors are those of the methods. A session of the user that owes a factor, a former
// secret and a fault of the check use no link up: their error is returned, and the user opens the link again.
func (s *Site) ConfirmEmailVerification(r *http.Request, userID, secret string) (*latchkey.Token, error) {
	account, err := s.Authenticate(r)
	if err == nil && account.UserID() == userID {
		return account.ConfirmEmailVerification(r.Context(), secret)
	}
	if unproven, is := errors.AsType[*latchkey.UnverifiedEmailError](err); is && unproven.Unverified.UserID() == userID {
		return unproven.Unverified.ConfirmEmailVerification(r.Context(), secret)
	}
	if owing, is := errors.AsType[*latchkey.MoreFactorsError](err); is && owing.Pending.UserID() == userID {
		return nil, err
	}
	if _, answer := errors.AsType[*latchkey.Error](err); err != nil && (!answer || errors.Is(err, latchkey.ErrSessionRenewed)) {
		return nil, err
	}
	return s.Guest(r).ConfirmEmailVerification(r.Context(), userID, secret)
}
