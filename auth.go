// Package latchkey is an auth engine that a Go service imports: accounts, sessions,
// tokens and second factors, and the rules between them, over a store that the service
// chooses. It has no transport: handlers, cookies and pages stay with the service.
//
//	s, err := sqlite.Open("app.db")
//	engine, err := latchkey.New(s, latchkey.Config{Keys: latchkey.Keys{Active: key}})
//
//	guest := engine.Guest(latchkey.Client{IP: ip, UserAgent: agent})
//	session, err := guest.CreateEmailPasswordSession(ctx, email, password)
//	cookie.Value = session.Secret.Reveal()
//
//	account, err := guest.Authenticate(ctx, cookie.Value) // on every request
//	user, err := account.User(ctx)
//
// # I want to ...
//
// In the order of the pages of a site:
//
//   - keep the data: [New] over a store of package store/sqlite, store/bbolt,
//     store/postgres or store/memory
//   - sign a user up: [Guest.CreateAccount], and then verify the address, as below
//   - sign in with a password: [Guest.CreateEmailPasswordSession]
//   - sign in without any proof, and make a full account of it later:
//     [Guest.CreateAnonymousSession], [Account.CreateAccount]
//   - sign in by a link: [Guest.CreateMagicURLToken], then on the page of the link
//     [Guest.InspectToken] and [Guest.CreateSession]
//   - sign in by a code: [Guest.CreateEmailToken] or [Guest.CreatePhoneToken], then
//     [Guest.CreateSession]
//   - sign in a user whom my own code has identified: [Users.CreateToken], then
//     [Guest.CreateSession]; or [Users.CreateSession]
//   - sign in for this visit only: Client.SessionLength
//   - recover a lost password: [Guest.CreateRecovery], then [Guest.ConfirmRecovery]
//   - check a request: [Guest.Authenticate]; with the user, their roles and their targets
//     from the same read: [Guest.AuthenticateProfile]
//   - ask for the second factor that a session owes: [MoreFactorsError],
//     [Pending.MFAFactors], [Pending.CreateMFAChallenge], [Pending.ConfirmMFAChallenge];
//     to sign out instead: [Pending.DeleteSession]
//   - show and change the account: [Account.User], [Account.UpdateName],
//     [Account.UpdateEmail], [Account.UpdatePhone], [Account.UpdatePassword],
//     [Account.UpdatePrefs], [Account.Prefs]
//   - change an address once the new one is proven: [Account.CreateEmailChange], then
//     [Account.ConfirmEmailChange]; [Account.CreatePhoneChange], [Account.ConfirmPhoneChange]; on the
//     page of the link in the notice [Guest.RestoreAddress], then [Guest.ConfirmRecovery];
//     [Users.ReleaseAddresses]
//   - let in only users who have verified their address: [Policy].RequireVerifiedEmail,
//     [UnverifiedEmailError], [Unverified.Email], [Unverified.CreateEmailVerification],
//     [Unverified.ConfirmEmailVerification], [Unverified.UpdateEmail], [Unverified.DeleteSession]
//   - let in only users whom I have made or a team has invited: [Policy].SignUp
//   - verify an address: [Account.CreateEmailVerification], then
//     [Guest.ConfirmEmailVerification], or [Account.ConfirmEmailVerification] on a page
//     with the user's session; [Account.CreatePhoneVerification], then
//     [Guest.ConfirmPhoneVerification]
//   - sign in by another service, and link it to an account: packages oauth/oidc and
//     oauth/oauth2, or oauth/preset for a known one, [Config].Providers, [Guest.StartOAuth2],
//     [Account.StartOAuth2], and on the host's callback [Guest.FinishOAuth2]; in an app by the
//     SDK of its platform: [Guest.CreateIDTokenSession], [Account.LinkIDToken]; to show and
//     unlink it: [Account.Identities],
//     [Account.DeleteIdentity]; to call the service for the user: [Account.ProviderTokens]
//   - sign in by a passkey: package passkey, [Config].Passkeys, [Guest.StartPasskeySession],
//     [Guest.FinishPasskeySession]; to make one: [Account.StartPasskeyEnrolment],
//     [Account.FinishPasskeyEnrolment]; as second factor, or for a fresh proof: [Pending.StartPasskeyChallenge],
//     [Pending.FinishPasskeyChallenge], [Account.StartPasskeyChallenge], [Account.FinishPasskeyChallenge]; to show
//     and change them: [Account.Passkeys], [Account.PasskeySignals], [Account.RenamePasskey], [Account.DeletePasskey]
//   - set up two-factor authentication: [Account.CreateMFAAuthenticator] (package qr
//     draws it), [Account.VerifyMFAAuthenticator], [Account.CreateMFARecoveryCodes],
//     [Account.UpdateMFA]; to show and change it later: [Account.MFAFactors],
//     [Account.MFARecoveryCodes], [Account.RegenerateMFARecoveryCodes],
//     [Account.DeleteMFAAuthenticator]
//   - ask for a fresh proof before my own sensitive page: [Account.RequireRecent], and
//     after its refusal [Account.ConfirmPassword], or if that refuses too
//     [Account.CreateMFAChallenge], [Account.ConfirmMFAChallenge]
//   - list sessions and sign out: [Account.Sessions], [Account.GetSession],
//     [Account.DeleteSession] with [CurrentSession], [Account.DeleteSessions]; to stay
//     signed in: [Account.ExtendSession]; to give the session a new secret, for example when
//     an anonymous account becomes a full one: [Account.RotateSession]
//   - show the account's history: [Account.Logs]
//   - close the account: [Account.Block]; delete it: [Account.Delete]
//   - refuse disposable, free or aliased addresses: [Policy].Addresses; by my own list:
//     [Config].AddressClassifier
//   - identify a user to other services: [Account.CreateJWT], [Engine.KeySet], package
//     jwt; here: [Guest.AuthenticateJWT]
//   - decide about access: [Account.Can], [Guest.Can], [Users.Can] and package permission;
//     by the roles themselves: [Account.Roles], [Guest.Roles], [Users.Roles]
//   - let users share access: [Account.Teams] with the power of a member or an owner,
//     [Engine.Teams] for the server; teams and roles are in the roles of a user
//   - administer users: [Engine.Users]; find them: [Users.List] with a search and the
//     queries of package query, [Users.GetByEmail], [Users.GetByPhone]; to make a call for
//     a client without limits: [Users.Guest]
//   - let staff see what a user sees: [Users.UpdateImpersonator], then
//     [Account.Impersonate]
//   - keep the addresses and devices that messages of my own go to:
//     [Users.CreateTarget], [Account.CreatePushTarget]
//   - give a user everything that is held about them: [Users.ExportTo]
//   - hear of events: [Config].OnEvent, [Event.Matches]
//   - get every event, even if a process dies: [Config].Outbox, [Receiver]
//   - post events to a URL: package notify/webhook
//   - commit rows of my own with a change: [Config].InTransaction
//   - watch the engine: [Config].Observer
//   - send the messages: [Config].Notifier and SMS, [Engine.Deliveries]; packages
//     notify, notify/smtp, notify/sms and notify/templates
//   - lose no message: [Config].Outbox
//   - see to the messages and events that were not delivered: [Engine.Undelivered],
//     [Engine.Requeue], [Engine.Discard]
//   - see whether the store answers: [Engine.Ping]
//   - keep the store small: [Engine.Sweep]; change the key: [Engine.Reseal]
//   - end the program: [Engine.Close], and then close the store
//   - test my service: package authtest
//
// # Handles
//
// A caller's power is the handle that it holds. [Engine.Guest] returns the handle of any
// client. [Guest.Authenticate] returns an [Account], with which a signed-in user acts on
// their own account, and with [Account.Teams] in their teams. [Engine.Users] and
// [Engine.Teams] return the server's scopes over all users and all teams. There is no current
// user in a context.
//
// # Texts
//
// Passwords, codes and secrets are strings when a host passes them in, and a [Secret],
// which no log shows, when the engine returns them.
//
// A text that is not UTF-8 is refused: as [ErrArgumentInvalid], or as a secret that is
// wrong. Only the fields of [Client], which describe and prove nothing, are brought into
// form. A host must not replace bad bytes before it calls: then two texts become one.
//
// # Errors
//
// Answers that a caller may switch on are an [*Error], compared by errors.Is with a sentinel
// such as [ErrInvalidCredentials]. Its messages are in English: a page in another language
// translates Type and Reason. Every other error is a fault. Its text names only the operation,
// errors.Unwrap gives the cause, and the engine has logged it (Config.Logger). An operation may
// return [ErrClosed], and [ErrArgumentInvalid] for an id, a name or a query of another form,
// without a line for them in its list of errors. An operation that returns an error has changed
// nothing, except for its counts and for the log line of a refusal. If the store does not know
// the outcome of a commit, the error says so (store.ErrUnknownOutcome).
//
// # JSON
//
// A handler may encode what the methods return: a [User], a [Session], a list, an [Event]. The names
// are the documented ones in camel case, such as $id, $createdAt, userId and emailVerification. Every
// [Secret] is left out. A handler that hands one to its owner takes it from its field. A time that is
// not set is left out too. A text that is not set is "", and a list without elements is []. Of an
// error, a handler encodes the [*Error] that errors.As finds.
//
// # Time and concurrency
//
// Times are UTC in whole microseconds. Every method of every type may be called from
// several goroutines at once.
package latchkey

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/url"
	"sync"
	"time"
	"unicode/utf8"

	"example.com/latchkey/hasher"
	"example.com/latchkey/internal/canon"
	"example.com/latchkey/internal/codes"
	"example.com/latchkey/internal/courier"
	"example.com/latchkey/internal/errands"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/internal/redirect"
	"example.com/latchkey/notify"
	"example.com/latchkey/oauth"
	"example.com/latchkey/ratelimit"
	"example.com/latchkey/store"
)

// Config configures an engine.
type Config struct {
	// Keys seal the secret columns of the store. Active is required: there is no default
	// key.
	Keys Keys
	// Policy is everything that the host decides about accounts; each zero field has a
	// default, which its comment says.
	Policy Policy
	// Hasher hashes passwords; nil means one of the engine's own, with the cost that the
	// policy sets.
	Hasher *hasher.Hasher
	// Limiter counts calls; nil means a ratelimit.Memory of the engine's own. Over a store that
	// several machines may use, such as PostgreSQL, New needs one that they share: that of package
	// ratelimit/stored or ratelimit/redis, or the host's own. While it fails, operations that
	// compare a secret which can be guessed answer with [ErrBusy], and other operations go on.
	Limiter ratelimit.Limiter
	// LimiterPerProcess lets a limiter that counts in the memory of the process stand over a
	// store that several machines may use. Each process then allows the whole number of calls:
	// ten processes allow an attacker ten times the tries. It is for a host with one process.
	LimiterPerProcess bool
	// Now is the clock; nil means time.Now. Each operation reads it once, at its
	// beginning.
	Now func() time.Time
	// MaxClockStep is the most by which the clock may step back, or the clocks of two
	// machines differ, a second to an hour; 0 means a minute. Sessions, links, codes and
	// proofs that seem to come from further ahead are not good: the clock was wrong.
	MaxClockStep time.Duration
	// Notifier sends e-mail and SMS sends text messages. Without the one that it needs, an
	// operation answers with [ErrSMTPDisabled] or [ErrPhoneDisabled].
	//
	// A message is sent after the commit that it belongs to, by goroutines that end with
	// Close: the caller does not wait for it. For each of the two, at most 1,200 messages
	// wait, of which 100 may only be notices, 200 only notices and codes of second factors,
	// and 500 may be waiting for another try. Eight are sent at once: at most four to one
	// domain or calling code, two that one client has caused, and one of a client to a domain,
	// and the last two only to domains and by clients without another one. So a slow mailbox
	// provider and a client with many addresses hold up their own messages alone. In a full
	// queue, they give places to others. Notices go first, and messages that come again last,
	// until they are a minute late. Each is tried up to six times within six minutes, and a
	// try takes at most two minutes. A message that has waited for a second or was tried
	// before, and whose code has run out, was used or was replaced meanwhile, is not sent. The
	// first failure of a kind is logged at once, and then once a minute, with its stage and
	// its reason ([notify.Failure]). Without an Outbox, a process that dies loses the messages
	// that wait. Users ask again for lost links and codes. Notices of changes to an account are
	// lost, and its log has the line. With an Outbox, messages for which the queue has no room
	// wait in the store, and the tries are those of [Outbox]. A notifier that does not want a kind of
	// message returns nil for it.
	Notifier, SMS notify.Notifier
	// Issuer is the issuer and the audience of JWTs, for example the URL of the service;
	// "" means "latchkey". Services that share a key and must not accept each other's
	// JWTs need different issuers.
	Issuer string
	// App is the name of the service in authenticator apps; "" means Issuer. Its colons are
	// left out, because apps part the names of service and account at the first one, and of
	// a URL only the host is taken.
	App string
	// CustomFactor is a second factor of the host's own; nil without one.
	CustomFactor CustomFactor
	// CustomCodes switches FactorCustom on without a CustomFactor: the engine makes a code of
	// six digits for a challenge and compares the answers, and the host brings the code to the
	// user. The event users.ID.challenges.ID.create tells of the challenge, and
	// [Users.GetMFAChallenge] returns its code. A user never owes a factor because of it.
	CustomCodes bool
	// Providers are the other services by which users sign in. Their names differ. Identities of a
	// provider that is removed from the list stay in the store. No user can sign in by them.
	Providers []oauth.Provider
	// Passkeys is the service as authenticators know it; nil means that the host has no passkeys. Package passkey makes it.
	// Passkeys of the store stay without it, and are no factors of their users meanwhile.
	Passkeys RelyingParty
	// PasskeysOfOtherDomains lets New go on with a store whose passkeys are bound to another domain than that of Passkeys. They
	// are of no use any more. A user with MFA on and no other factor cannot sign in until the server helps.
	PasskeysOfOtherDomains bool
	// MockNumbers are phone numbers of the host's own, for tests of its apps, with a fixed code
	// of six digits for each (hidden.New hides it). Nothing is sent to them. In everything else
	// they are like other numbers. A caller who knows such a code owns the number.
	MockNumbers map[string]Secret
	// RedirectHosts are the hosts to which links in messages may lead: a host name
	// (app.example.org: http and https, any port; localhost stands for 127.0.0.1 and [::1] too)
	// or an IPv6 address in brackets ([fd00::1]), *.example.org for every name below it
	// (*.localhost too), https://app.example.org for that scheme and port alone, or myapp: for
	// the scheme of an app. Names may have underscores. Without any, messages have no links. A
	// page on these hosts gives secrets away if it forwards to any address, or shows the
	// address by which it was called.
	RedirectHosts []string
	// OnEvent gets every event, after the commit that caused it and before the operation
	// returns, on the caller's goroutine: slow work belongs on another. Its context is the
	// caller's, but is not cancelled with it. It may use the engine. The engine logs a panic
	// of it and goes on. The events of one operation come in order; those of operations
	// that run at once come in any order. A process that dies between a commit and its
	// events never tells them: only the audit log and the receivers of Outbox are complete.
	OnEvent func(context.Context, Event)
	// InTransaction gets every event that belongs to a transaction before its commit, inside of
	// it, so that a row of the host's own commits with it or not at all. sqlite.TxOf and
	// postgres.TxOf return the host's handle of the transaction, a *sql.Tx or a pgx.Tx. The host
	// uses tx for nothing else. The context has the values of the caller's context, so a host can
	// pass it the fields of a form. Nil means that no function is called.
	//
	// An error rolls the transaction back, and the operation returns it as it is. The engine does not
	// log that error, and the outcome of its observation is host unless it is an [Error]. A panic
	// rolls back too: the engine logs it, and the operation fails with a fault.
	//
	// It must be short, because other writes wait for it on SQLite. It may run again with the same
	// change, on PostgreSQL after a conflict with another transaction. So it changes nothing but by
	// the handle. It must neither use the engine ([store.ErrNested]) nor change the payload. The
	// events of refusals by limits and of damaged values (limits and integrity) belong to no
	// transaction, and do not come. New refuses it with a store that has no such handles: bbolt,
	// memory, and a store that is being moved.
	InTransaction func(ctx context.Context, tx store.Tx, e Event) error
	// Outbox keeps messages and events in the store until they are delivered. Nil means that
	// messages wait in the memory of the process, which loses them if it dies, and that OnEvent
	// alone gets events.
	Outbox *Outbox
	// Observer hears of operations, sign-ins, deliveries and the like, for metrics and traces. Nil
	// means no observer. Package otel of this project, a module of its own, has one for
	// OpenTelemetry.
	Observer Observer
	// Locator finds the country of a client's address, for sessions and logs; nil means
	// that no country is known. Package geoip has one.
	Locator Locator
	// AddressClassifier tells which e-mail addresses are free, disposable, or an alias of
	// another, for [User] and [Policy].Addresses; nil means mailclass.Of, which has lists of
	// its own.
	AddressClassifier AddressClassifier
	// Logger gets every fault of an operation, once, at the level of errors and with the attributes
	// operation and error, the cause. That of an operation whose caller has gone comes at the level of
	// debugging. It also gets the failures that no caller gets: a last-seen time that was not
	// written, a callback that panicked. nil means slog.Default.
	Logger *slog.Logger
}

// New returns an engine over a store. The caller has opened the store, and closes it after
// the engine. New reads the store, and writes the id of a new active key to it. It fails
// without a store, without a key, with a key that was not drawn at random, without a key
// that the store needs ([ErrKeyUnknown]), with a store whose rows have moved to another one
// ([store.ErrMoved]), with a limiter that counts in the process over a store that several
// machines may use ([ErrLimiterPerProcess]), with a policy out of its bounds, with passkeys of
// another domain than that of Config.Passkeys, and with malformed
// redirect hosts, mock numbers or providers.
func New(s store.Store, c Config) (*Engine, error) {
	if s == nil {
		return nil, errors.New("latchkey: no store")
	}
	ring, err := c.Keys.ring()
	if err != nil {
		return nil, err
	}
	policy, err := c.Policy.filled()
	if err != nil {
		return nil, err
	}
	if c.Hasher == nil {
		if c.Hasher, err = hasher.New(hasher.Config{Params: policy.Password.Hash}); err != nil {
			return nil, fmt.Errorf("latchkey: %w", err)
		}
	}
	redirects, err := redirect.Parse(c.RedirectHosts)
	if err != nil {
		return nil, fmt.Errorf("latchkey: Config.RedirectHosts: %w", err)
	}
	if err := checkMockNumbers(c.MockNumbers); err != nil {
		return nil, err
	}
	providers, err := providersByName(c.Providers)
	if err != nil {
		return nil, err
	}
	if !utf8.ValidString(c.Issuer) || !utf8.ValidString(c.App) {
		return nil, errors.New("latchkey: Config.Issuer or Config.App is not UTF-8")
	}
	if c.CustomFactor != nil && c.CustomCodes {
		return nil, errors.New("latchkey: Config has both a CustomFactor and CustomCodes")
	}
	if err := c.Outbox.check(); err != nil {
		return nil, err
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	c.MaxClockStep = cmp.Or(c.MaxClockStep, time.Minute)
	if c.MaxClockStep < time.Second || c.MaxClockStep > time.Hour {
		return nil, errors.New("latchkey: Config.MaxClockStep is not 1s to 1h0m0s")
	}
	if c.Limiter == nil {
		c.Limiter = ratelimit.NewMemory(0)
	}
	if !c.LimiterPerProcess && store.IsShared(s) && ratelimit.IsInProcess(c.Limiter) {
		return nil, ErrLimiterPerProcess
	}
	if c.InTransaction != nil && !store.HasHostTransactions(s) {
		return nil, errors.New("latchkey: Config.InTransaction needs a store with handles for the host, such as sqlite or postgres")
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	issuer := cmp.Or(c.Issuer, "latchkey")
	app, err := appName(cmp.Or(c.App, issuer))
	if err != nil {
		return nil, err
	}
	jwtKey, jwts := signer(ring, issuer)
	e := &Engine{
		store: s, policy: policy, ring: ring, hasher: c.Hasher, clock: c.Now, clockStep: c.MaxClockStep, decoy: newUser(newID(), time.Time{}),
		app: app, custom: c.CustomFactor, customCodes: c.CustomCodes, issuer: issuer, jwtKey: jwtKey, jwts: jwts,
		mocks: maps.Clone(c.MockNumbers), providers: providers, passkeys: c.Passkeys, otherDomains: c.PasskeysOfOtherDomains, redirects: redirects,
		errands: errands.New(), notes: errands.New(), touching: new(sync.Map), limiter: c.Limiter, onEvent: c.OnEvent, inTransaction: c.InTransaction, observer: c.Observer, beginsChecks: beginsChecks(c.Observer), epoch: time.Now(), locator: c.Locator, classifier: c.AddressClassifier, logger: c.Logger,
	}
	report := courier.NewReport(c.Logger, c.Now)
	e.courier = courier.New(c.Notifier, c.SMS, report, c.Now, e.tried)
	if err := e.checkKeys(); err != nil {
		return nil, errors.Join(err, e.Close())
	}
	if err := e.checkPasskeys(context.Background()); err != nil {
		return nil, errors.Join(err, e.Close())
	}
	if c.Outbox != nil {
		e.startOutbox(*c.Outbox, report, payloads())
	}
	return e, nil
}

// appName returns the name of the service for authenticator apps: the host, if it is a URL.
func appName(name string) (string, error) {
	if u, err := url.Parse(name); err == nil && u.Host != "" {
		name = u.Hostname()
	}
	if name = codes.WithoutColons(name); name == "" {
		return "", errors.New("latchkey: Config.App has nothing but colons and spaces")
	}
	return name, nil
}

// checkMockNumbers refuses mock numbers that are not phone numbers, and codes that have
// another form than those of messages.
func checkMockNumbers(numbers map[string]Secret) error {
	for phone, secret := range numbers {
		code := secret.Reveal()
		if err := canon.Phone(phone); err != nil {
			return fmt.Errorf("latchkey: Config.MockNumbers: %q is not a phone number", phone)
		}
		if len(code) != codes.OTPDigits || !codes.AllDigits(code) {
			return fmt.Errorf("latchkey: Config.MockNumbers: the code of %s is not %d digits", phone, codes.OTPDigits)
		}
	}
	return nil
}

// closingTime is how long [Engine.Close] waits for messages.
const closingTime = 10 * time.Second

// Close is CloseContext with ten seconds for the messages that wait.
func (e *Engine) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), closingTime)
	defer cancel()
	return e.CloseContext(ctx)
}

// CloseContext ends the engine: every later call of it and of its handles is [ErrClosed].
// It waits until the waiting messages are sent or given up and the tokens of deleted identities
// are revoked, or the context ends; then it drops the rest. With an outbox it waits for the
// deliveries that have begun, and the rest stays in the store. It does not close the store. It fails
// if a revocation has not ended with the context, and if a notifier or a receiver does not return
// within a second after its context has ended: that goroutine is left behind.
func (e *Engine) CloseContext(ctx context.Context) error {
	e.closed.Store(true)
	var revoking, sending error
	var group sync.WaitGroup
	group.Go(func() { revoking = e.errands.Close(ctx) })
	group.Go(func() {
		kept := make(chan error, 1)
		go func() { kept <- e.outbox.close(ctx) }()
		select { // the outbox ends first, because it hands its messages to the courier
		case err := <-kept:
			kept <- err
		case <-ctx.Done():
		}
		sending = errors.Join(e.courier.Close(ctx), <-kept)
	})
	group.Go(func() {
		short, cancel := context.WithTimeout(ctx, notesTime)
		defer cancel()
		_ = e.notes.Close(short) // a use that is not noted is logged
	})
	group.Wait()
	return errors.Join(sending, revoking)
}

// notesTime is how long [Engine.CloseContext] waits for notes of uses, which may wait for the lock
// of another process.
const notesTime = time.Second

// Schema returns the tables of the engine, for the author of a backend: a store that is
// passed to [New] holds these.
func Schema() *store.Schema { return record.Schema }
