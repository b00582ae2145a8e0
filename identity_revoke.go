package latchkey

import (
	"context"
	"errors"

	"example.com/latchkey/internal/record"
	"example.com/latchkey/oauth"
)

// revokeLater asks the provider of an identity that is deleted to take its tokens back, after the
// commit. No caller waits for it, and it is tried once. A failure is logged.
func (tx *txn) revokeLater(i *record.Identity) {
	revoker, is := tx.providerOf(i).(oauth.Revoker)
	if !is || i.Access == nil && i.Refresh == nil {
		return
	}
	c := tx.call
	tx.after = append(tx.after, func(ctx context.Context) {
		kept, err := c.openTokens(ctx, i)
		if err != nil { // which is logged
			return
		}
		grant := &oauth.Grant{Issuer: i.Issuer, Access: kept.Access, Refresh: kept.Refresh}
		lost := func(reason string) {
			c.logger.WarnContext(ctx, "latchkey: tokens are not revoked", "provider", i.Provider, "reason", reason)
		}
		begun := c.errands.Do(func(ctx context.Context) {
			defer c.recovered(ctx, "Provider")
			if err := c.revoke(ctx, revoker, grant); err != nil && ctx.Err() != nil {
				lost("the engine was closed")
			}
		})
		if !begun {
			lost("the engine is closed, or too many wait")
		}
	})
}

// revoke asks a provider to take the tokens of a grant back, if it has a way to do it.
func (c *call) revoke(ctx context.Context, p oauth.Revoker, grant *oauth.Grant) error {
	_, err := callProvider(ctx, c, p, func(ctx context.Context) (none, error) {
		err := p.Revoke(ctx, grant)
		if errors.Is(err, errors.ErrUnsupported) {
			err = nil
		}
		return none{}, err
	})
	return err
}
