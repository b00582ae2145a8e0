package latchkey

import (
	"cmp"
	"context"
	"errors"
	"time"

	"example.com/latchkey/internal/reason"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/notify"
	"example.com/latchkey/oauth"
	"example.com/latchkey/store"
)

// OAuth2Result is a sign-in by a provider that has succeeded.
type OAuth2Result struct {
	Success string `json:"success"` // the page of the start, "" without one
	// Session is the new session; nil for a token, and for an identity that was linked. The
	// session of an anonymous account that has become a full one has a new secret.
	Session *Session `json:"session,omitzero"`
	// Token is what [Guest.CreateSession] redeems, if the start asked for one: once, for a minute.
	// That of a start with a value at the browser is redeemed by [Guest.RedeemOAuth2Token].
	Token    *Token    `json:"token,omitzero"`
	Identity *Identity `json:"identity,omitzero"`
	Linked   bool      `json:"linked"` // the identity was linked to the account of the session
}

// person is someone whom a provider has signed in.
type person struct {
	oauth.Profile // with the address in canonical form, "" without a usable one
	tokens        *oauth.Tokens
	refused       error           // of Policy.Addresses, for a new user
	token         *record.Failure // takes the ID token of an app once; nil for another way
	length        time.Duration   // of the session that the start asked for; 0 for that of the policy
}

// handOverSignIn makes a token of which the page or the app that has begun makes a session.
func (tx *txn) handOverSignIn(ctx context.Context, user *record.User, i *record.Identity, n *newToken, secret Secret) (*Token, error) {
	if user.Blocked {
		return nil, tx.refuse(ctx, refused{logSessionRefuse, user, ErrUserBlocked})
	}
	if i.Pending != "" {
		i.Pending = n.ID
		if err := record.Identities.Replace(ctx, tx, i); err != nil {
			return nil, err
		}
	}
	n.UserID, n.Alias, n.Slot = user.ID, user.ID, i.ID
	if err := tx.insertToken(ctx, n); err != nil {
		return nil, err
	}
	shown := n.show()
	tx.event(user.ID, "tokens."+n.ID+".create", n.show())
	shown.Secret = secret
	return shown, tx.log(ctx, logTokenCreate, user)
}

// entering is a person who comes in, in a transaction.
type entering struct {
	tx    *txn
	who   *person
	drawn *record.Identity // inserted if the person has no identity
	fresh *record.User     // inserted if the person has no user
}

// known returns the stored identity of the person, or nil.
func (e *entering) known(ctx context.Context) (*record.Identity, error) {
	return record.Identities.Find(ctx, e.tx, record.Identities.Index("subject"), store.Text(e.drawn.Provider), store.Text(e.drawn.Issuer), store.Text(e.drawn.Subject))
}

// drop deletes an identity that does not count.
func (e *entering) drop(ctx context.Context, i *record.Identity) error {
	user, err := getUser(ctx, e.tx, i.UserID)
	if err != nil {
		return err
	}
	return e.tx.dropIdentity(ctx, user, i)
}

// find returns the user whom the person may sign in as, and their identity. An identity that does
// not count is found by the address again.
func (e *entering) find(ctx context.Context) (*record.User, *record.Identity, error) {
	tx := e.tx
	i, err := e.known(ctx)
	if err != nil {
		return nil, nil, err
	}
	if i != nil && i.Pending == "" {
		user, err := getUser(ctx, tx, i.UserID)
		if err != nil || user.Blocked {
			return user, i, err
		}
		if err := e.refresh(ctx, user, i); err != nil {
			return nil, nil, err
		}
		if user.MFA { // the session may owe a factor, and an address that is proven would be one
			return user, i, nil
		}
		return user, i, e.fill(ctx, user)
	}
	user, err := e.match(ctx)
	if err != nil {
		return nil, nil, err
	}
	if i, err = e.known(ctx); err != nil { // a claim of the account, or the loss of its address, deletes it
		return nil, nil, err
	}
	if i != nil && user != nil && user.ID == i.UserID {
		return user, i, e.refresh(ctx, user, i)
	}
	if i != nil {
		if err := e.drop(ctx, i); err != nil {
			return nil, nil, err
		}
	}
	if user == nil {
		if user, err = e.signUp(ctx); err != nil {
			return nil, nil, err
		}
		return user, e.drawn, e.insert(ctx, user)
	}
	if user.Blocked {
		return nil, nil, tx.refuse(ctx, refused{logSessionRefuse, user, ErrUserBlocked})
	}
	e.drawn.Pending, e.drawn.Found = e.drawn.ID, true // until the session has proven what it owes
	tx.noticeTo(notify.IdentityChanged, user)
	return user, e.drawn, e.insert(ctx, user)
}

// errLinkFirst refuses a person whose address an account has already.
var errLinkFirst = newError(ErrUserAlreadyExists.Type, ErrUserAlreadyExists.Category, "An account has the address; sign in to it and link the provider there")

// match returns the user whose address the provider has proven to be the person's, nil if no
// user has it. While sign-up is closed, the answer does not tell whether another account has it.
func (e *entering) match(ctx context.Context) (*record.User, error) {
	if e.who.Email == "" {
		missing := *ErrUserUnauthorized
		missing.Message = "The provider tells no e-mail address; sign up in another way and link the provider there"
		return nil, &missing
	}
	if !e.who.EmailVerified {
		if err := e.tx.maySignUp(); err != nil { // before a read tells whether the address has an account
			return nil, err
		}
	}
	holder, err := e.tx.addressHolder(ctx, e.who.Email)
	switch {
	case err != nil:
		return nil, err
	case holder == "":
		return nil, nil
	case !e.who.EmailVerified:
		return nil, errLinkFirst
	}
	user, err := e.tx.userAt(ctx, e.tx, byEmail, e.who.Email)
	if err != nil {
		return nil, err
	}
	if user == nil { // an identity of a user has it, or it is held for its former user
		return nil, cmp.Or(e.tx.maySignUp(), error(errLinkFirst))
	}
	return e.tx.proveAddress(ctx, user, byEmail, nil)
}

// signUp makes the user of a person.
func (e *entering) signUp(ctx context.Context) (*record.User, error) {
	tx := e.tx
	if err := cmp.Or(tx.maySignUp(), e.who.refused); err != nil {
		return nil, err
	}
	if err := tx.checkUserLimit(ctx); err != nil {
		return nil, err
	}
	e.fresh.Name = e.who.Name
	if e.who.EmailVerified {
		byEmail.set(e.fresh, e.who.Email)
		byEmail.setVerified(e.fresh, true)
	}
	_, err := tx.insertUser(ctx, e.fresh)
	if errors.Is(err, ErrUserAlreadyExists) {
		err = errLinkFirst
	}
	return e.fresh, err
}

// maxIdentities is the largest number of identities of a user.
const maxIdentities = 100

// insert makes the identity of a user.
func (e *entering) insert(ctx context.Context, user *record.User) error {
	n, err := e.tx.Count(ctx, store.Query{Index: record.Identities.Index("user"), Equal: []store.Value{store.Text(user.ID)}, Limit: maxIdentities})
	switch {
	case err != nil:
		return err
	case n >= maxIdentities:
		return invalid("provider", reason.New(reason.TooMany, "the user has 100 identities"))
	}
	e.drawn.UserID = user.ID
	if err := e.keep(ctx, user, e.drawn); err != nil {
		return err
	}
	return e.tx.insertIdentity(ctx, user, e.drawn)
}

// keep writes what the provider has told into an identity that is about to be stored: the address,
// which is reserved if it is proven and free and the identity counts, and the tokens if the policy
// keeps them.
func (e *entering) keep(ctx context.Context, user *record.User, i *record.Identity) error {
	tx := e.tx
	i.Email, i.Name, i.Reserved = e.who.Email, e.who.Name, ""
	if e.who.EmailVerified && i.Pending == "" {
		reserved, err := tx.reserveAddress(ctx, user, e.who.Email)
		if err != nil {
			return err
		}
		if reserved {
			i.Reserved = e.who.Email
		}
	}
	tx.sealTokens(i, e.who.tokens)
	return nil
}

// refresh writes what the provider has told into an identity that is stored.
func (e *entering) refresh(ctx context.Context, user *record.User, i *record.Identity) error {
	was := i.Reserved
	if err := e.keep(ctx, user, i); err != nil {
		return err
	}
	i.Updated = e.tx.now
	if err := record.Identities.Replace(ctx, e.tx, i); err != nil {
		return err
	}
	if was == i.Reserved {
		return nil
	}
	return e.tx.releaseAddress(ctx, was)
}

// fill gives a user without an address or a name those of the profile. It overwrites nothing.
func (e *entering) fill(ctx context.Context, user *record.User) error {
	tx := e.tx
	address := ""
	if user.Email == "" && e.who.EmailVerified && e.who.refused == nil {
		holder, err := tx.addressHolder(ctx, e.who.Email)
		if err != nil {
			return err
		}
		target, err := findTarget(ctx, tx, TargetEmail, e.who.Email)
		if err != nil {
			return err
		}
		if (holder == "" || holder == user.ID) && (target == nil || target.UserID == user.ID) {
			address = e.who.Email
		}
	}
	_, err := tx.changeUser(ctx, user, func(u *record.User) error {
		if u.Name == "" {
			u.Name = e.who.Name
		}
		if address != "" {
			byEmail.set(u, address)
			byEmail.setVerified(u, true)
		}
		return nil
	})
	return err
}

// link makes the identity one of the account whose session has begun.
func (e *entering) link(ctx context.Context, a *Account, start *record.Start, in *signIn, n *newToken, secret Secret) (*OAuth2Result, error) {
	tx := e.tx
	user, err := a.mayLink(ctx, tx.call, tx)
	if err != nil {
		return nil, err
	}
	i, err := e.known(ctx)
	if err != nil {
		return nil, err
	}
	if i != nil && i.Pending != "" {
		if err := e.drop(ctx, i); err != nil {
			return nil, err
		}
		i = nil
	}
	if i != nil && i.UserID != user.ID {
		return nil, ErrIdentityAlreadyExists
	}
	if err := e.takeAddress(ctx, user); err != nil {
		return nil, err
	}
	converted := anonymous(user)
	if i != nil {
		err = e.refresh(ctx, user, i)
	} else {
		tx.noticeTo(notify.IdentityChanged, user)
		i, err = e.drawn, e.insert(ctx, user)
	}
	if err != nil {
		return nil, err
	}
	if err := a.keepFull(ctx, tx, factorOAuth2); err != nil {
		return nil, err
	}
	if err := e.fill(ctx, user); err != nil {
		return nil, err
	}
	if user.Email == e.who.Email && e.who.EmailVerified {
		_, err := tx.changeUser(ctx, user, func(u *record.User) error {
			provedBy(u, byEmail)
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	result := &OAuth2Result{Identity: showIdentity(i), Linked: true}
	if converted {
		if result.Session, err = e.convert(ctx, a, user, i, in); err != nil {
			return nil, err
		}
	}
	if start.Token {
		result.Token, err = tx.handOverSignIn(ctx, user, i, n, secret)
	}
	if err != nil {
		return nil, err
	}
	return result, nil
}

// takeAddress takes an address that the provider has proven from a user who has not, and refuses
// one that another user has proven.
func (e *entering) takeAddress(ctx context.Context, user *record.User) error {
	if !e.who.EmailVerified {
		return nil
	}
	holder, err := e.tx.addressHolder(ctx, e.who.Email)
	if err != nil || holder == "" || holder == user.ID {
		return err
	}
	other, err := e.tx.userAt(ctx, e.tx, byEmail, e.who.Email)
	if err != nil {
		return err
	}
	if other == nil || hasProven(other, byEmail) || unclaimed(other) {
		return errLinkTaken
	}
	_, err = e.tx.changeUser(ctx, other, func(u *record.User) error {
		byEmail.set(u, "")
		return nil
	})
	return err
}

// errLinkTaken refuses to link an identity whose address another user has.
var errLinkTaken = newError(ErrUserAlreadyExists.Type, ErrUserAlreadyExists.Category, "Another account has the address of the provider")

// convert gives the session of an anonymous account that has become a full one a new secret, and
// the proof of the provider.
func (e *entering) convert(ctx context.Context, a *Account, user *record.User, i *record.Identity, in *signIn) (*Session, error) {
	tx := e.tx
	row, err := a.ownSession(ctx, tx.call, tx, CurrentSession)
	if err != nil {
		return nil, err
	}
	row.Provider, row.ProviderUID, row.Identity, row.Factors = i.Provider, i.Subject, i.ID, factorOAuth2
	if tx.policy.TrustProviderMFA {
		row.Factors = trustedOAuth2
	}
	if err := tx.renewSecret(ctx, row, in.digest); err != nil {
		return nil, err
	}
	tx.noteOwing(row)
	if err := record.Sessions.Replace(ctx, tx, row); err != nil {
		return nil, err
	}
	if err := tx.logSession(ctx, logSessionUpdate, user, row); err != nil {
		return nil, err
	}
	shown, err := a.showOwn(tx.call, row)
	if err == nil {
		shown.Secret = in.secret
	}
	return shown, err
}
