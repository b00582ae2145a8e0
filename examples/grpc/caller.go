package main

import (
	"context"
	"net/netip"

	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"

	"example.com/latchkey"
)

// A caller's power is the handle that it holds, and the engine looks for no current user in a
// context. A gRPC handler, however, gets nothing but its request and a context. So the interceptor
// puts the handle there, under a key that no other package can name: only this package sets it or
// reads it. A handler takes the handle out first, and passes it on as an argument.
type (
	accountKey struct{}
	pendingKey struct{}
)

// AccountFrom returns the account of the caller. A method of Auth.Open has none.
func AccountFrom(ctx context.Context) (*latchkey.Account, bool) {
	account, found := ctx.Value(accountKey{}).(*latchkey.Account)
	return account, found
}

// PendingFrom returns the handle of a caller who owes a second factor. Only a method of Auth.Owing
// has one, and then it has no account.
func PendingFrom(ctx context.Context) (*latchkey.Pending, bool) {
	pending, found := ctx.Value(pendingKey{}).(*latchkey.Pending)
	return pending, found
}

// ClientFrom returns the origin of a call. Behind a proxy, the peer is the proxy: there a host takes
// the address from metadata that its own proxy sets. A peer without an IP address, such as a Unix
// socket, is an unknown client, and no limit counts it by client.
func ClientFrom(ctx context.Context) latchkey.Client {
	client := latchkey.Client{UserAgent: first(ctx, "user-agent"), Locale: first(ctx, "accept-language")}
	if p, found := peer.FromContext(ctx); found {
		if at, err := netip.ParseAddrPort(p.Addr.String()); err == nil {
			client.IP = at.Addr()
		}
	}
	return client
}

// first returns the first value of a key of the metadata, "" without one.
func first(ctx context.Context, key string) string {
	for _, value := range metadata.ValueFromIncomingContext(ctx, key) {
		return value
	}
	return ""
}
