package main

import (
	"context"
	"crypto/ed25519"
	"errors"
	"strings"

	"example.com/latchkey"
	"example.com/latchkey/internal/rawstore"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/store"
)

// jwts is the number of JWTs that are checked in turn.
const jwts = 1024

// jwtChecks compares checking a JWT with its unavoidable work: one signature and one
// read.
func (t *target) jwtChecks(name string) error {
	engine, err := t.engine()
	if err != nil {
		return err
	}
	ctx := context.Background()
	users := rawstore.Users(*rows)
	var tokens []latchkey.Secret
	var sessions []string
	for i := range jwts {
		s := rawstore.NewSession(scatter(i, *rows), users)
		token, err := engine.Users().CreateJWT(ctx, s.UserID, s.ID, 0)
		if err != nil {
			return err
		}
		tokens, sessions = append(tokens, token), append(sessions, s.ID)
	}
	guest := engine.Guest(latchkey.Client{})
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		return err
	}
	text := []byte(tokens[0].Reveal())
	text = text[:strings.LastIndexByte(string(text), '.')]
	signature := ed25519.Sign(private, text)
	return compare("AuthenticateJWT, "+name, side{"engine", func(n int) error {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		for i := range n {
			if _, err := guest.AuthenticateJWT(ctx, tokens[i%jwts].Reveal()); err != nil {
				return err
			}
		}
		return nil
	}}, side{"a signature and a read", func(n int) error {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		for i := range n {
			if !ed25519.Verify(public, text, signature) {
				return errors.New("a signature that is none")
			}
			if _, err := record.Sessions.Get(ctx, t.Store, record.Sessions.Primary(), store.Text(sessions[i%jwts])); err != nil {
				return err
			}
		}
		return nil
	}})
}
