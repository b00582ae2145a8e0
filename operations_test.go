package latchkey_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/authtest"
	"example.com/latchkey/notify"
	"example.com/latchkey/ratelimit"
	"example.com/latchkey/store/storetest"
)

// world is what the operations of the table work on: a user with two sessions
// and somebody else.
type world struct {
	*kit
	ctx     context.Context
	user    *latchkey.User
	secret  latchkey.Secret
	account *latchkey.Account // its session
	other   *latchkey.Session // of the same user
	// tokens, each of another kind
	custom, link, code, mailProof, phoneProof, recovery *latchkey.Token
	jwt                                                 latchkey.Secret // of its session
	// factors
	app       *authtest.Authenticator // not confirmed
	codes     []latchkey.Secret       // recovery codes
	challenge string                  // an open one
}

const phone = "+14155550100"

// world makes the user of the table, full or anonymous, with what operations
// need.
func (k *kit) world(full bool, ops ...operation) *world {
	k.Helper()
	w := &world{kit: k, ctx: k.ctx}
	k.signUp(bob)
	var session *latchkey.Session
	var err error
	if full {
		w.user = k.signUp(ada)
		session, w.account = k.signIn(ada)
	} else {
		session, w.account = k.anonymous()
		w.user, err = w.account.User(k.ctx)
		k.must(err)
	}
	w.secret = session.Secret
	w.other, err = k.Users().CreateSession(k.ctx, w.user.ID)
	k.must(err)
	w.custom, err = k.Users().CreateToken(k.ctx, w.user.ID, 0, 0)
	k.must(err)
	server := k.Guest(latchkey.Client{Server: true})
	w.link, err = server.CreateMagicURLToken(k.ctx, latchkey.NewMagicURLToken{Email: ada})
	k.must(err)
	w.code, err = server.CreatePhoneToken(k.ctx, "", otherPhone)
	k.must(err)
	w.jwt, err = k.Users().CreateJWT(k.ctx, w.user.ID, session.ID, time.Hour)
	k.must(err)
	w.challenge, w.codes = "unknown", []latchkey.Secret{"0000000000"}
	for _, op := range ops {
		w.enrol(op.factors)
	}
	none := &latchkey.Token{UserID: w.user.ID, Secret: latchkey.Secret(unknownLink)}
	w.mailProof, w.phoneProof, w.recovery = none, none, none
	if !full || !slices.ContainsFunc(ops, func(op operation) bool { return op.proofs }) {
		return w
	}
	k.must(ignore(k.Users().UpdatePhone(k.ctx, w.user.ID, ownPhone)))
	account, err := server.Authenticate(k.ctx, w.secret)
	k.must(err)
	w.mailProof, err = account.CreateEmailVerification(k.ctx, verifyURL)
	k.must(err)
	w.phoneProof, err = account.CreatePhoneVerification(k.ctx)
	k.must(err)
	w.recovery, err = server.CreateRecovery(k.ctx, latchkey.NewRecovery{Email: ada, URL: recoverURL})
	k.must(err)
	w.recovery.UserID = w.user.ID
	return w
}

// enrol gives the user what they need for a second factor. For fresh, the session
// has answered a challenge, and has a new secret.
func (w *world) enrol(factors string) {
	w.Helper()
	if factors == "" || w.app != nil {
		return
	}
	made, err := w.account.CreateMFAAuthenticator(w.kit.ctx, latchkey.NewMFAAuthenticator{})
	w.must(err)
	w.app, err = authtest.NewAuthenticator(w.clock, made.URI)
	w.must(err)
	if factors == "begun" {
		return
	}
	codes, err := w.Users().CreateMFARecoveryCodes(w.kit.ctx, w.user.ID)
	w.must(err)
	w.codes = codes.Codes
	for range 2 {
		challenge, err := w.account.CreateMFAChallenge(w.kit.ctx, latchkey.FactorRecoveryCode)
		w.must(err)
		if w.challenge != "unknown" {
			w.challenge = challenge.ID
			return
		}
		w.challenge = challenge.ID
		session, err := w.account.UpdateMFAChallenge(w.kit.ctx, challenge.ID, w.codes[0].Reveal())
		w.must(err)
		w.codes, w.secret = w.codes[1:], session.Secret
		w.account, err = w.guest.Authenticate(w.kit.ctx, w.secret)
		w.must(err)
	}
}

const (
	otherPhone = "+14155550101"
	ownPhone   = "+14155550102"
	verifyURL  = "https://app.example.org/verify"
	recoverURL = "https://app.example.org/recover"
)

// operation is one exported method, called once.
type operation struct {
	name string // as reflection gives it
	do   func(w *world) error
	// anonymous is what it answers to an anonymous user.
	anonymous error
	// quiet says that it changes nothing, free that it needs no session, untold
	// that it is logged and there is no event of it.
	quiet, free, untold bool
	// many says that it is more than one transaction, proofs that it needs a link
	// or code that proves an address.
	many, proofs bool
	// factors is what of second factors it needs: begun, an authenticator that is
	// not confirmed; or fresh, recovery codes and a challenge too.
	factors string
	// open says that a session may do it that owes a second factor, aged what it
	// answers to one that has signed in and answered a challenge long ago.
	open bool
	aged error
}

var table = []operation{
	{name: "Guest.CreateAccount", free: true, do: func(w *world) error {
		return ignore(w.guest.CreateAccount(w.ctx, latchkey.NewAccount{Email: "new@example.org", Password: password, Name: "New"}))
	}},
	{name: "Guest.CreateEmailPasswordSession", free: true, anonymous: latchkey.ErrInvalidCredentials, do: func(w *world) error {
		return ignore(w.guest.CreateEmailPasswordSession(w.ctx, ada, password))
	}},
	{name: "Guest.CreateAnonymousSession", free: true, do: func(w *world) error { return ignore(w.guest.CreateAnonymousSession(w.ctx)) }},
	{name: "Guest.Authenticate", quiet: true, do: func(w *world) error {
		if w.account == nil {
			return ignore(w.guest.Authenticate(w.ctx, ""))
		}
		return ignore(w.guest.Authenticate(w.ctx, w.secret))
	}},
	{name: "Guest.CreateMagicURLToken", free: true, untold: true, do: func(w *world) error {
		return ignore(w.guest.CreateMagicURLToken(w.ctx, latchkey.NewMagicURLToken{Email: ada, URL: "https://app.example.org/in", Phrase: true}))
	}},
	{name: "Guest.CreateEmailToken", free: true, untold: true, do: func(w *world) error {
		return ignore(w.guest.CreateEmailToken(w.ctx, latchkey.NewEmailToken{Email: ada}))
	}},
	{name: "Guest.CreatePhoneToken", free: true, untold: true, do: func(w *world) error {
		return ignore(w.guest.CreatePhoneToken(w.ctx, "", phone))
	}},
	{name: "Guest.InspectToken", free: true, quiet: true, do: func(w *world) error {
		return ignore(w.guest.InspectToken(w.ctx, w.link.UserID, w.link.Secret.Reveal()))
	}},
	{name: "Guest.CreateSession", free: true, do: func(w *world) error {
		return ignore(w.guest.CreateSession(w.ctx, w.custom.UserID, w.custom.Secret.Reveal()))
	}},
	{name: "Guest.UpdateMagicURLSession", free: true, do: func(w *world) error {
		return ignore(w.guest.UpdateMagicURLSession(w.ctx, w.link.UserID, w.link.Secret.Reveal()))
	}},
	{name: "Guest.UpdatePhoneSession", free: true, do: func(w *world) error {
		return ignore(w.guest.UpdatePhoneSession(w.ctx, w.code.UserID, w.code.Secret.Reveal()))
	}},
	{name: "Guest.AuthenticateJWT", free: true, quiet: true, do: func(w *world) error { return ignore(w.guest.AuthenticateJWT(w.ctx, w.jwt)) }},
	{name: "Guest.CreateRecovery", free: true, untold: true, do: func(w *world) error {
		return ignore(w.guest.CreateRecovery(w.ctx, latchkey.NewRecovery{Email: ada, URL: recoverURL}))
	}},
	{name: "Guest.UpdateRecovery", free: true, proofs: true, anonymous: latchkey.ErrInvalidToken, do: func(w *world) error {
		return ignore(w.guest.UpdateRecovery(w.ctx, w.recovery.UserID, w.recovery.Secret.Reveal(), "another horse"))
	}},
	{name: "Guest.UpdateEmailVerification", free: true, proofs: true, anonymous: latchkey.ErrInvalidToken, do: func(w *world) error {
		return ignore(w.guest.UpdateEmailVerification(w.ctx, w.mailProof.UserID, w.mailProof.Secret.Reveal()))
	}},
	{name: "Guest.UpdatePhoneVerification", free: true, proofs: true, anonymous: latchkey.ErrInvalidToken, do: func(w *world) error {
		return ignore(w.guest.UpdatePhoneVerification(w.ctx, w.phoneProof.UserID, w.phoneProof.Secret.Reveal()))
	}},
	{name: "Guest.Roles", free: true, quiet: true, do: func(w *world) error { w.guest.Roles(); return nil }},

	{name: "Account.UserID", free: true, quiet: true, do: func(w *world) error { w.account.UserID(); return nil }},
	{name: "Account.SessionID", free: true, quiet: true, do: func(w *world) error { w.account.SessionID(); return nil }},
	{name: "Account.Format", free: true, quiet: true, do: func(w *world) error { _ = fmt.Sprint(w.account); return nil }},
	{name: "Account.User", quiet: true, do: func(w *world) error { return ignore(w.account.User(w.ctx)) }},
	{name: "Account.Roles", quiet: true, do: func(w *world) error { return ignore(w.account.Roles(w.ctx)) }},
	{name: "Account.Prefs", quiet: true, do: func(w *world) error { return ignore(w.account.Prefs(w.ctx)) }},
	{name: "Account.Logs", quiet: true, do: func(w *world) error { return ignore(w.account.Logs(w.ctx)) }},
	{name: "Account.Sessions", quiet: true, do: func(w *world) error { return ignore(w.account.Sessions(w.ctx)) }},
	{name: "Account.GetSession", quiet: true, do: func(w *world) error { return ignore(w.account.GetSession(w.ctx, latchkey.Current)) }},
	{name: "Account.UpdateName", do: func(w *world) error { return ignore(w.account.UpdateName(w.ctx, "Countess")) }},
	{name: "Account.UpdateEmail", do: func(w *world) error { return ignore(w.account.UpdateEmail(w.ctx, "countess@example.org", password)) }},
	{name: "Account.UpdatePhone", do: func(w *world) error { return ignore(w.account.UpdatePhone(w.ctx, phone, password)) }},
	{name: "Account.UpdatePassword", do: func(w *world) error { return ignore(w.account.UpdatePassword(w.ctx, "another horse", password)) }},
	{name: "Account.CreateEmailVerification", anonymous: latchkey.ErrEmailNotFound, do: func(w *world) error {
		return ignore(w.account.CreateEmailVerification(w.ctx, verifyURL))
	}},
	{name: "Account.CreatePhoneVerification", proofs: true, anonymous: latchkey.ErrPhoneNotFound, do: func(w *world) error {
		return ignore(w.account.CreatePhoneVerification(w.ctx))
	}},
	{name: "Account.CreateJWT", quiet: true, do: func(w *world) error { return ignore(w.account.CreateJWT(w.ctx, 0)) }},
	{name: "Account.RequireRecent", quiet: true, aged: latchkey.ErrChallengeRequired, do: func(w *world) error { return w.account.RequireRecent(w.ctx, 0) }},
	{name: "Account.UpdateMFA", aged: latchkey.ErrChallengeRequired, do: func(w *world) error { return ignore(w.account.UpdateMFA(w.ctx, true)) }},
	{name: "Account.MFAFactors", quiet: true, open: true, do: func(w *world) error { return ignore(w.account.MFAFactors(w.ctx)) }},
	{name: "Account.CreateMFAAuthenticator", aged: latchkey.ErrChallengeRequired, do: func(w *world) error {
		return ignore(w.account.CreateMFAAuthenticator(w.ctx, latchkey.NewMFAAuthenticator{}))
	}},
	{name: "Account.UpdateMFAAuthenticator", factors: "begun", aged: latchkey.ErrChallengeRequired, do: func(w *world) error {
		code := "123456"
		if w.app != nil {
			code = w.app.Code()
		}
		return ignore(w.account.UpdateMFAAuthenticator(w.ctx, code))
	}},
	{name: "Account.DeleteMFAAuthenticator", factors: "fresh", aged: latchkey.ErrChallengeRequired, do: func(w *world) error {
		return w.account.DeleteMFAAuthenticator(w.ctx)
	}},
	{name: "Account.CreateMFAChallenge", factors: "fresh", open: true, do: func(w *world) error {
		return ignore(w.account.CreateMFAChallenge(w.ctx, latchkey.FactorRecoveryCode))
	}},
	{name: "Account.UpdateMFAChallenge", factors: "fresh", open: true, aged: latchkey.ErrInvalidToken, do: func(w *world) error {
		return ignore(w.account.UpdateMFAChallenge(w.ctx, w.challenge, w.codes[0].Reveal()))
	}},
	{name: "Account.CreateMFARecoveryCodes", aged: latchkey.ErrChallengeRequired, do: func(w *world) error {
		return ignore(w.account.CreateMFARecoveryCodes(w.ctx))
	}},
	{name: "Account.MFARecoveryCodes", factors: "fresh", quiet: true, aged: latchkey.ErrChallengeRequired, do: func(w *world) error {
		return ignore(w.account.MFARecoveryCodes(w.ctx))
	}},
	{name: "Account.UpdateMFARecoveryCodes", factors: "fresh", aged: latchkey.ErrChallengeRequired, do: func(w *world) error {
		return ignore(w.account.UpdateMFARecoveryCodes(w.ctx))
	}},
	{name: "Account.UpdatePrefs", do: func(w *world) error { return ignore(w.account.UpdatePrefs(w.ctx, []byte(`{"a":1}`))) }},
	{name: "Account.UpdateStatus", do: func(w *world) error { return ignore(w.account.UpdateStatus(w.ctx)) }},
	{name: "Account.UpdateSession", do: func(w *world) error {
		w.clock.Advance(time.Minute)
		return ignore(w.account.UpdateSession(w.ctx, latchkey.Current))
	}},
	{name: "Account.DeleteSession", do: func(w *world) error { return w.account.DeleteSession(w.ctx, latchkey.Current) }},
	{name: "Account.DeleteSessions", do: func(w *world) error { return w.account.DeleteSessions(w.ctx) }},
	{name: "Account.CreateAccount", do: func(w *world) error {
		err := ignore(w.account.CreateAccount(w.ctx, latchkey.NewAccount{Email: "full@example.org", Password: password}))
		if errors.Is(err, latchkey.ErrSessionAlreadyExists) && w.user.Email != "" {
			return nil // the right answer to a full account
		}
		return err
	}},

	{name: "Users.At", free: true, quiet: true, do: func(w *world) error { w.Users().At(testClient); return nil }},
	{name: "Users.Create", free: true, do: func(w *world) error {
		return ignore(w.Users().Create(w.ctx, latchkey.NewUser{Email: "new@example.org", Phone: phone, Password: password}))
	}},
	{name: "Users.Get", free: true, quiet: true, do: func(w *world) error { return ignore(w.Users().Get(w.ctx, w.user.ID)) }},
	{name: "Users.PasswordHash", free: true, quiet: true, do: func(w *world) error { return ignore(w.Users().PasswordHash(w.ctx, w.user.ID)) }},
	{name: "Users.Delete", free: true, do: func(w *world) error { return w.Users().Delete(w.ctx, w.user.ID) }},
	{name: "Users.UpdateName", free: true, do: func(w *world) error { return ignore(w.Users().UpdateName(w.ctx, w.user.ID, "Countess")) }},
	{name: "Users.UpdateEmail", free: true, do: func(w *world) error {
		return ignore(w.Users().UpdateEmail(w.ctx, w.user.ID, "countess@example.org"))
	}},
	{name: "Users.UpdatePhone", free: true, do: func(w *world) error { return ignore(w.Users().UpdatePhone(w.ctx, w.user.ID, phone)) }},
	{name: "Users.UpdatePassword", free: true, do: func(w *world) error {
		return ignore(w.Users().UpdatePassword(w.ctx, w.user.ID, "another horse"))
	}},
	{name: "Users.UpdateStatus", free: true, do: func(w *world) error { return ignore(w.Users().UpdateStatus(w.ctx, w.user.ID, false)) }},
	{name: "Users.UpdateEmailVerification", free: true, anonymous: latchkey.ErrEmailNotFound, do: func(w *world) error {
		return ignore(w.Users().UpdateEmailVerification(w.ctx, w.user.ID, true))
	}},
	{name: "Users.UpdatePhoneVerification", free: true, quiet: true, do: func(w *world) error { // it is none
		return ignore(w.Users().UpdatePhoneVerification(w.ctx, w.user.ID, false))
	}},
	{name: "Users.UpdateLabels", free: true, do: func(w *world) error {
		return ignore(w.Users().UpdateLabels(w.ctx, w.user.ID, []string{"vip"}))
	}},
	{name: "Users.Prefs", free: true, quiet: true, do: func(w *world) error { return ignore(w.Users().Prefs(w.ctx, w.user.ID)) }},
	{name: "Users.UpdatePrefs", free: true, do: func(w *world) error {
		return ignore(w.Users().UpdatePrefs(w.ctx, w.user.ID, []byte(`{"b":2}`)))
	}},
	{name: "Users.Sessions", free: true, quiet: true, do: func(w *world) error { return ignore(w.Users().Sessions(w.ctx, w.user.ID)) }},
	{name: "Users.CreateSession", free: true, do: func(w *world) error { return ignore(w.Users().CreateSession(w.ctx, w.user.ID)) }},
	{name: "Users.CreateToken", free: true, do: func(w *world) error {
		return ignore(w.Users().CreateToken(w.ctx, w.user.ID, 32, time.Hour))
	}},
	{name: "Users.UpdateMFA", free: true, do: func(w *world) error { return ignore(w.Users().UpdateMFA(w.ctx, w.user.ID, true)) }},
	{name: "Users.MFAFactors", free: true, quiet: true, do: func(w *world) error { return ignore(w.Users().MFAFactors(w.ctx, w.user.ID)) }},
	{name: "Users.DeleteMFAAuthenticator", free: true, factors: "begun", do: func(w *world) error {
		return w.Users().DeleteMFAAuthenticator(w.ctx, w.user.ID)
	}},
	{name: "Users.MFARecoveryCodes", free: true, factors: "fresh", quiet: true, do: func(w *world) error {
		return ignore(w.Users().MFARecoveryCodes(w.ctx, w.user.ID))
	}},
	{name: "Users.CreateMFARecoveryCodes", free: true, do: func(w *world) error {
		return ignore(w.Users().CreateMFARecoveryCodes(w.ctx, w.user.ID))
	}},
	{name: "Users.UpdateMFARecoveryCodes", free: true, factors: "fresh", do: func(w *world) error {
		return ignore(w.Users().UpdateMFARecoveryCodes(w.ctx, w.user.ID))
	}},
	{name: "Users.CreateJWT", free: true, quiet: true, do: func(w *world) error { return ignore(w.Users().CreateJWT(w.ctx, w.user.ID, "", 0)) }},
	{name: "Users.DeleteSession", free: true, do: func(w *world) error { return w.Users().DeleteSession(w.ctx, w.user.ID, w.other.ID) }},
	{name: "Users.DeleteSessions", free: true, do: func(w *world) error { return w.Users().DeleteSessions(w.ctx, w.user.ID) }},
	{name: "Users.Logs", free: true, quiet: true, do: func(w *world) error { return ignore(w.Users().Logs(w.ctx, w.user.ID)) }},

	{name: "Engine.Guest", free: true, quiet: true, do: func(w *world) error { w.Guest(testClient); return nil }},
	{name: "Engine.Users", free: true, quiet: true, do: func(w *world) error { w.Users(); return nil }},
	{name: "Engine.KeySet", free: true, quiet: true, do: func(w *world) error { w.KeySet(); return nil }},
	{name: "Engine.Sweep", free: true, quiet: true, many: true, do: func(w *world) error { return ignore(w.Sweep(w.ctx)) }},
	{name: "Engine.Reseal", free: true, quiet: true, many: true, do: func(w *world) error { return ignore(w.Reseal(w.ctx)) }},
	{name: "Engine.Deliveries", free: true, quiet: true, do: func(w *world) error { w.Deliveries(); return nil }},
	{name: "Engine.CloseContext", free: true, quiet: true, do: func(*world) error { return nil }},
	{name: "Engine.Close", free: true, quiet: true, do: func(*world) error { return nil }}, // each kit ends with it
}

func TestEveryExportedMethodIsInTheTable(t *testing.T) {
	var want, have []string
	for _, handle := range []any{new(latchkey.Guest), new(latchkey.Account), new(latchkey.Users), new(latchkey.Engine)} {
		typ := reflect.TypeOf(handle)
		for i := range typ.NumMethod() {
			want = append(want, typ.Elem().Name()+"."+typ.Method(i).Name)
		}
	}
	for _, op := range table {
		have = append(have, op.name)
	}
	slices.Sort(have)
	slices.Sort(want)
	if !slices.Equal(have, want) {
		t.Errorf("the table has %v\nwant %v", have, want)
	}
}

// onEveryOperation runs test for each operation of the table, on every store.
func onEveryOperation(t *testing.T, test func(k *kit, op operation)) {
	for _, op := range table {
		t.Run(op.name, func(t *testing.T) {
			oneByOne(t, documented, func(k *kit) { test(k, op) })
		})
	}
}

// A session that owes a second factor may ask for one, and nothing else: AC-044.
func TestAC044EveryMethodOfAPendingSession(t *testing.T) {
	onEveryOperation(t, func(k *kit, op operation) {
		if op.free {
			return
		}
		w := k.world(true)
		k.must(ignore(k.Users().CreateMFARecoveryCodes(k.ctx, w.user.ID)))
		k.must(ignore(k.Users().UpdateEmailVerification(k.ctx, w.user.ID, true)))
		k.must(ignore(k.Users().UpdateMFA(k.ctx, w.user.ID, true)))
		err := op.do(w)
		switch {
		case op.name == "Account.UpdateMFAChallenge":
			if err != latchkey.ErrInvalidToken {
				k.Errorf("of an unknown challenge: %v", err)
			}
		case op.open:
			k.must(err)
		default:
			k.refuses(op.name, latchkey.ErrMoreFactorsRequired, func() error { return op.do(w) })
		}
	})
}

// What concerns factors asks for a session that is fresh, and nothing else does.
func TestAC052EveryMethodOfASessionThatWasFreshLongAgo(t *testing.T) {
	onEveryOperation(t, func(k *kit, op operation) {
		if op.free {
			return
		}
		w := k.world(true, op)
		k.clock.Advance(31 * time.Minute)
		if err := op.do(w); !errors.Is(err, op.aged) || err != nil && op.aged == nil {
			k.Errorf("%v, want %v", err, op.aged)
		}
	})
}

// sessionStates are the states in which a session may be asked for something.
// Each returns what the methods of a session answer.
var sessionStates = map[string]func(w *world) error{
	"none":    func(w *world) error { w.account = nil; return latchkey.ErrUnauthorized },
	"zero":    func(w *world) error { w.account, w.secret = new(latchkey.Account), ""; return latchkey.ErrUnauthorized },
	"full":    func(w *world) error { return nil },
	"expired": func(w *world) error { w.clock.Advance(365 * 24 * time.Hour); return latchkey.ErrUnauthorized },
	"ended a moment ago": func(w *world) error {
		w.must(w.Users().DeleteSession(w.ctx, w.user.ID, w.account.SessionID()))
		return latchkey.ErrUnauthorized
	},
	"user blocked": func(w *world) error {
		w.must(ignore(w.Users().UpdateStatus(w.ctx, w.user.ID, false)))
		return latchkey.ErrUserBlocked
	},
	"user deleted": func(w *world) error { w.must(w.Users().Delete(w.ctx, w.user.ID)); return latchkey.ErrUnauthorized },
	"user deleted and its id used again": func(w *world) error {
		w.must(w.Users().Delete(w.ctx, w.user.ID))
		w.must(ignore(w.Users().Create(w.ctx, latchkey.NewUser{UserID: w.user.ID, Email: ada, Password: password})))
		w.must(ignore(w.Users().CreateSession(w.ctx, w.user.ID)))
		return latchkey.ErrUnauthorized
	},
}

func TestEveryMethodOfASessionInEveryState(t *testing.T) {
	for state, enter := range sessionStates {
		t.Run(state, func(t *testing.T) {
			onEveryOperation(t, func(k *kit, op operation) {
				if op.free {
					return
				}
				w := k.world(true, op)
				want := enter(w)
				do := func() error { return op.do(w) }
				if want == nil {
					k.must(do())
					return
				}
				k.refuses(op.name, want, do)
			})
		})
	}
	t.Run("anonymous", func(t *testing.T) {
		onEveryOperation(t, func(k *kit, op operation) {
			if err := op.do(k.world(false, op)); !errors.Is(err, op.anonymous) || op.anonymous == nil && err != nil {
				k.Errorf("%v", err)
			}
		})
	})
}

// A change has its line in the log and its event; what changes nothing has
// neither.
func TestEveryChangeIsLoggedAndToldAndNothingElseIs(t *testing.T) {
	onEveryOperation(t, func(k *kit, op operation) {
		w := k.world(true, op)
		k.forget()
		before := k.state()
		k.must(op.do(w))
		changed := !maps.EqualFunc(before, k.state(), slices.Equal[[]string])
		logged, told := len(k.logs()) > 0, len(k.told.Take()) > 0
		if changed == op.quiet && op.name != "Account.CreateAccount" {
			k.Errorf("changed: %v", changed)
		}
		if changed != logged || changed != (told || op.untold) || told && op.untold {
			k.Errorf("changed: %v, logged: %v, told: %v", changed, logged, told)
		}
	})
}

// state is everything but the log and what is counted.
func (k *kit) state() map[string][]string {
	k.Helper()
	all := k.everything()
	delete(all, "logs")
	delete(all, "failures")
	return all
}

var errDisk = errors.New("the disk with " + password + " has a hole")

// failing lets the n-th call of the store fail, before or after its effect.
func (k *kit) failing(n int, after bool) (reached func() bool) {
	calls := 0
	hook := k.store.Hook
	k.store.Hook = func(c storetest.Call) error {
		if c.Done == after {
			if calls++; calls == n {
				return errDisk
			}
		}
		return nil
	}
	return func() bool { k.store.Hook = hook; return calls >= n }
}

// Whatever call of the store fails, the operation has happened or has not, says
// nothing that it should not, and can be tried again.
func TestEveryOperationSurvivesAFaultOfAnyCall(t *testing.T) {
	for _, after := range []bool{false, true} {
		t.Run(fmt.Sprint("after its effect ", after), func(t *testing.T) {
			onEveryOperation(t, func(k *kit, op operation) {
				for n := 1; ; n++ {
					w := k.world(true, op)
					k.forget()
					before := k.everything()
					reached := k.failing(n, after)
					err := op.do(w)
					again := reached()
					_, twice := k.raw.(storetest.Twice) // where the first run may fail
					if again && err == nil && op.name != "Guest.Authenticate" && !twice {
						k.Errorf("call %d fails and nobody says so", n)
					}
					if err != nil {
						if text := err.Error(); strings.Contains(text, password) || strings.Contains(text, "disk") || !errors.Is(err, errDisk) {
							k.Errorf("call %d: %v", n, err)
						}
					}
					unchanged := maps.EqualFunc(before, k.everything(), slices.Equal[[]string])
					told := k.told.Take()
					if err != nil && len(told) != 0 && !op.many {
						k.Errorf("call %d fails, and is told: %v", n, told)
					}
					if !unchanged && !after && err != nil && !op.many {
						k.Errorf("call %d fails before its effect, and something has changed", n)
					}
					if broken := k.broken(); broken != nil {
						k.Errorf("call %d: %v", n, broken)
					}
					if unchanged {
						if err := op.do(w); err != nil {
							k.Errorf("after call %d, again: %v", n, err)
						}
					}
					k.deleteAll()
					if !again {
						return
					}
				}
			})
		})
	}
}

// Whenever the caller goes away, the operation has happened or has not.
func TestEveryOperationSurvivesACancelledContextAtAnyCall(t *testing.T) {
	onEveryOperation(t, func(k *kit, op operation) {
		for n := 1; ; n++ {
			w := k.world(true, op)
			k.forget()
			before := k.everything()
			ctx, cancel := context.WithCancel(k.ctx)
			w.ctx = ctx
			calls, hook := 0, k.store.Hook
			k.store.Hook = func(c storetest.Call) error {
				if calls++; calls == n {
					cancel()
				}
				return nil
			}
			err := op.do(w)
			k.store.Hook = hook
			cancel()
			w.ctx = k.ctx
			if err != nil && !errors.Is(err, context.Canceled) {
				k.Errorf("call %d: %v", n, err)
			}
			if broken := k.broken(); broken != nil {
				k.Errorf("call %d: %v", n, broken)
			}
			if maps.EqualFunc(before, k.everything(), slices.Equal[[]string]) {
				if err := op.do(w); err != nil {
					k.Errorf("after call %d, again: %v", n, err)
				}
			} else if err != nil && !op.many {
				k.Errorf("call %d: cancelled, and something has changed: %v", n, err)
			}
			k.deleteAll()
			if calls < n {
				return
			}
		}
	})
}

// A clock that panics reaches the caller, changes nothing, and leaves the engine
// whole.
func TestEveryOperationSurvivesAPanicOfTheClock(t *testing.T) {
	onEveryOperation(t, func(k *kit, op operation) {
		if op.name == "Account.UpdateSession" {
			op.do = func(w *world) error { return ignore(w.account.UpdateSession(w.ctx, latchkey.Current)) }
		}
		w := k.world(true, op)
		broken := false
		engine, err := latchkey.New(k.store, latchkey.Config{Keys: k.keys, Hasher: k.hasher, Notifier: k.box, SMS: k.box, RedirectHosts: []string{"app.example.org"}, Now: func() time.Time {
			if broken {
				panic("no time")
			}
			return k.clock.Now()
		}})
		k.must(err)
		defer func() { k.must(engine.Close()) }()
		k.Engine, k.guest = engine, engine.Guest(testClient)
		if w.account, err = k.guest.Authenticate(k.ctx, w.secret); err != nil {
			k.Fatal(err)
		}
		before := k.everything()
		broken = true
		func() {
			defer func() { _ = recover() }()
			_ = op.do(w)
		}()
		broken = false
		k.same("rows", k.everything(), before)
		k.must(op.do(w))
	})
}

type panicking struct{}

func (panicking) Country(netip.Addr) string { panic("no map") }

func (panicking) Take(context.Context, ratelimit.Key, ratelimit.Rule, time.Time) (ratelimit.Result, error) {
	panic("no count")
}

func (panicking) Notify(context.Context, notify.Message) error { panic("no voice") }

func (panicking) Forget(context.Context, ratelimit.Key) error { panic("no count") }

// Callbacks that panic stop nothing but what asks the limiter about a guess.
func TestEveryOperationSurvivesPanicsOfTheOtherCallbacks(t *testing.T) {
	onEveryOperation(t, func(k *kit, op operation) {
		for _, limiter := range []ratelimit.Limiter{panicking{}, ratelimit.NewMemory(0)} {
			w := k.world(true, op)
			engine, err := latchkey.New(k.store, latchkey.Config{
				Keys: k.keys, Hasher: k.hasher, Now: k.clock.Now, Locator: panicking{}, Limiter: limiter,
				OnEvent: func(context.Context, latchkey.Event) { panic("no ear") }, Logger: slog.New(slog.DiscardHandler),
				Notifier: panicking{}, SMS: panicking{}, RedirectHosts: []string{"app.example.org"},
			})
			k.must(err)
			defer func() { k.must(engine.Close()) }()
			client := testClient
			client.OnLimit = func(latchkey.LimitResult) { panic("no eye") }
			k.Engine, k.guest = engine, engine.Guest(client)
			if w.account, err = k.guest.Authenticate(k.ctx, w.secret); err != nil {
				k.Fatal(err)
			}
			guesses := slices.Contains([]string{
				"Guest.CreateEmailPasswordSession", "Account.UpdatePassword", "Guest.CreateSession", "Guest.UpdateMagicURLSession", "Guest.UpdatePhoneSession",
				"Guest.UpdatePhoneVerification", "Account.UpdateMFAChallenge",
			}, op.name)
			switch err := op.do(w); {
			case limiter == panicking{} && guesses:
				if err != latchkey.ErrBusy {
					k.Errorf("%v, want %v", err, latchkey.ErrBusy)
				}
			case err != nil:
				k.Errorf("%v", err)
			}
			k.Engine = k.withKeys(k.keys)
			k.guest = k.Guest(testClient)
			k.deleteAll()
		}
	})
}

// Two operations on one user at once end in one of the two orders, or in a
// refusal, and never in rows that contradict each other.
func TestEveryPairOfOperationsAtOnceLeavesTheRowsWhole(t *testing.T) {
	var changing []operation
	for _, op := range table {
		if !op.quiet || op.name == "Guest.Authenticate" || op.name == "Engine.Reseal" {
			changing = append(changing, op)
		}
	}
	for i, one := range changing {
		t.Run(one.name, func(t *testing.T) {
			allAtOnce(t, latchkey.Policy{SessionLimit: 2}, func(k *kit) {
				for _, two := range changing[i:] {
					w := k.world(true, one, two)
					v := *w
					var err error
					v.account, err = k.guest.Authenticate(k.ctx, w.other.Secret)
					k.must(err)
					k.forget()
					var group sync.WaitGroup
					var errs [2]error
					group.Go(func() { errs[0] = one.do(w) })
					group.Go(func() { errs[1] = two.do(&v) })
					group.Wait()
					for n, err := range errs {
						var own *latchkey.Error
						if err != nil && !errors.As(err, &own) {
							k.Errorf("%s and %s: operation %d: %v", one.name, two.name, n+1, err)
						}
					}
					if errs[0] != nil && errs[1] != nil {
						k.Errorf("%s and %s: both are refused: %v, %v", one.name, two.name, errs[0], errs[1])
					}
					if broken := k.broken(); broken != nil {
						k.Errorf("%s and %s: %v", one.name, two.name, broken)
					}
					k.endedAreRefused(w, &v)
					k.deleteAll()
				}
			})
		})
	}
}

// endedAreRefused reports a session that works though its user is gone or
// blocked, or the other way round.
func (k *kit) endedAreRefused(worlds ...*world) {
	k.Helper()
	user, err := k.Users().Get(k.ctx, worlds[0].user.ID)
	usable := err == nil && user.Status
	for _, w := range worlds {
		if err := ignore(w.account.User(k.ctx)); err == nil && !usable {
			k.Errorf("a session works, and its user is %+v", user)
		}
	}
}

// Twice at once with the outcome of one: what can happen only once does.
func TestWhatServesOnceServesOnceUnderAnyRace(t *testing.T) {
	for name, do := range map[string]func(w *world) error{
		"end one session":   func(w *world) error { return w.Users().DeleteSession(w.ctx, w.user.ID, w.other.ID) },
		"end one's session": func(w *world) error { return w.account.DeleteSession(w.ctx, latchkey.Current) },
		"delete the user":   func(w *world) error { return w.Users().Delete(w.ctx, w.user.ID) },
		"take an address": func(w *world) error {
			return ignore(w.Users().Create(w.ctx, latchkey.NewUser{Email: "one@example.org"}))
		},
		"take a number": func(w *world) error { return ignore(w.Users().Create(w.ctx, latchkey.NewUser{Phone: phone})) },
		"take an id":    func(w *world) error { return ignore(w.Users().Create(w.ctx, latchkey.NewUser{UserID: "one"})) },
		"redeem a link": func(w *world) error {
			return ignore(w.guest.CreateSession(w.ctx, w.link.UserID, w.link.Secret.Reveal()))
		},
		"prove an address": func(w *world) error {
			return ignore(w.guest.UpdateEmailVerification(w.ctx, w.mailProof.UserID, w.mailProof.Secret.Reveal()))
		},
		"prove a number": func(w *world) error {
			return ignore(w.guest.UpdatePhoneVerification(w.ctx, w.phoneProof.UserID, w.phoneProof.Secret.Reveal()))
		},
		"recover": func(w *world) error {
			return ignore(w.guest.UpdateRecovery(w.ctx, w.recovery.UserID, w.recovery.Secret.Reveal(), "another horse"))
		},
		"redeem a code": func(w *world) error {
			return ignore(w.guest.CreateSession(w.ctx, w.code.UserID, w.code.Secret.Reveal()))
		},
		"redeem the host's token": func(w *world) error {
			return ignore(w.guest.CreateSession(w.ctx, w.custom.UserID, w.custom.Secret.Reveal()))
		},
		"change the password": func(w *world) error {
			return ignore(w.account.UpdatePassword(w.ctx, "another horse", password))
		},
	} {
		t.Run(name, func(t *testing.T) {
			onEveryStore(t, documented, func(k *kit) {
				w := k.world(true, operation{proofs: true})
				var group sync.WaitGroup
				errs := make([]error, 100)
				for i := range errs {
					group.Go(func() { errs[i] = do(w) })
				}
				group.Wait()
				wins := 0
				for _, err := range errs {
					var own *latchkey.Error
					if err == nil {
						wins++
					} else if !errors.As(err, &own) {
						k.Errorf("%v", err)
					}
				}
				if wins != 1 {
					k.Errorf("%d of %d", wins, len(errs))
				}
			})
		})
	}
}
