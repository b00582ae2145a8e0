package latchkey

import (
	"cmp"
	"context"
	"encoding/hex"
	"strings"
	"time"

	"example.com/latchkey/internal/canon"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/internal/seal"
	"example.com/latchkey/oauth"
	"example.com/latchkey/store"
)

// maxPerson is the longest text about a person that a browser or an app may send, in bytes.
const maxPerson = 4_096

// personOf returns the person of a profile, if it can be one. name counts if the profile has none.
func (c *call) personOf(ctx context.Context, p oauth.Provider, profile oauth.Profile, tokens *oauth.Tokens, name string) (*person, error) {
	found, info := &person{Profile: profile, tokens: tokens}, p.Info()
	if canon.Issuer(found.Subject) != nil {
		return nil, ErrProviderSubject
	}
	if canon.Issuer(found.Issuer) != nil || found.Issuer != info.Issuer && !info.Issuers {
		return nil, ErrProviderFailed
	}
	email, err := canon.Email(found.Email)
	if err != nil {
		found.EmailVerified = false
	}
	found.Email, found.Name = email, cleanName(cmp.Or(found.Name, name))
	if found.Email != "" {
		found.refused = c.admitEmail(ctx, found.Email)
	}
	return found, nil
}

// cleanName brings the name of a provider into the form of ours: without control characters, and cut to
// the length of a name.
func cleanName(text string) string {
	if len(text) > maxPerson {
		text = text[:maxPerson]
	}
	kept := []rune(strings.TrimSpace(strings.Map(func(r rune) rune {
		if canon.Name(string(r)) != nil {
			return -1
		}
		return r
	}, strings.ToValidUTF8(text, ""))))
	return string(kept[:min(len(kept), canon.MaxName)])
}

// settlePerson signs a person in, or links their identity to an account.
func (c *call) settlePerson(ctx context.Context, start *record.Start, who *person, account *Account, binding string) (*OAuth2Result, error) {
	info := c.providers[start.Provider].Info()
	i := &record.Identity{
		ID: newID(), Created: c.now, Updated: c.now, Provider: info.Name, Issuer: who.Issuer, Subject: who.Subject, Email: who.Email, Name: who.Name,
	}
	in := c.newSignIn(ctx, "", "", "")
	in.length = cmp.Or(in.length, who.length)
	fresh := newUser(newID(), c.now)
	secret := newSecret()
	handed := c.newToken(kindOAuth2, "", "", secret.Reveal())
	handed.Session = int64(in.length / time.Second)
	if start.Binding != nil {
		handed.secret = boundSecret(secret.Reveal(), binding)
	}
	return update(ctx, c, func(ctx context.Context, tx *txn) (*OAuth2Result, error) {
		drawn, n, user := *i, *handed, *fresh
		if who.token != nil {
			if err := tx.useIDToken(ctx, who.token); err != nil {
				return nil, err
			}
		}
		e := &entering{tx: tx, who: who, drawn: &drawn, fresh: &user}
		if account != nil {
			return e.link(ctx, account, start, in, &n, secret)
		}
		owner, own, err := e.find(ctx)
		if err != nil {
			return nil, err
		}
		result := &OAuth2Result{Identity: showIdentity(own)}
		if start.Token {
			result.Token, err = tx.handOverSignIn(ctx, owner, own, &n, secret)
		} else {
			result.Session, err = tx.enterByIdentity(ctx, owner, own, *in)
		}
		if err != nil {
			return nil, err
		}
		return result, nil
	})
}

// useIDToken takes the claims of an ID token, once. A provider signs them, so that no other token
// has them.
func (tx *txn) useIDToken(ctx context.Context, row *record.Failure) error {
	used, err := record.Failures.Find(ctx, tx, record.Failures.Primary(), store.Text(row.Purpose), store.Bytes(row.Subject))
	switch {
	case err != nil:
		return err
	case used != nil:
		return tx.refuse(ctx, refused{logSessionRefuse, nil, ErrInvalidToken})
	}
	// A sweep may have deleted the row since the token was verified. Then its end has come on this
	// clock too, which is read after the row.
	if end := row.Expire.Add(-tx.clockStep); !tx.Engine.now().Before(end) {
		return tx.refuse(ctx, refused{logSessionRefuse, nil, ErrInvalidToken})
	}
	return record.Failures.Insert(ctx, tx, row)
}

// boundSecret returns the secret of a token that is bound to the value at the browser.
func boundSecret(secret, binding string) string {
	return hex.EncodeToString(seal.PlainDigest("bound/v1", secret, binding))
}
