package main

import (
	"context"
	"errors"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"example.com/latchkey"
)

// Auth has the interceptors of a server. A method in neither set needs a session that owes no
// factor, so a method that is added later is closed. The sets have full names, such as
// /package.Service/Method.
type Auth struct {
	Engine *latchkey.Engine
	Open   map[string]bool // these need no session, and their handlers get no account
	Owing  map[string]bool // these also take a session that owes a second factor
}

// Unary checks the session of a call, and turns the error of its handler into a status.
func (a *Auth) Unary(ctx context.Context, in any, info *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (_ any, err error) {
	defer toStatus(info.FullMethod, &err)
	if ctx, err = a.admit(ctx, info.FullMethod); err != nil {
		return nil, err
	}
	return handle(ctx, in)
}

// Stream is Unary for a stream. It checks the session once, when the stream opens. A session that
// ends later does not end the stream, but every method of an account checks the session again. So
// the handler of a long stream calls one before each message.
func (a *Auth) Stream(service any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handle grpc.StreamHandler) (err error) {
	defer toStatus(info.FullMethod, &err)
	ctx, err := a.admit(stream.Context(), info.FullMethod)
	if err != nil {
		return err
	}
	return handle(service, &admitted{stream, ctx})
}

// admitted is a stream with the context that admit has returned.
type admitted struct {
	grpc.ServerStream
	ctx context.Context
}

func (s *admitted) Context() context.Context { return s.ctx }

// admit returns the context for the handler of a method, with the handle of the caller.
func (a *Auth) admit(ctx context.Context, method string) (context.Context, error) {
	if a.Open[method] {
		return ctx, nil
	}
	secret := bearer(ctx) // the engine refuses an empty one too
	account, err := a.Engine.Guest(ClientFrom(ctx)).Authenticate(ctx, secret)
	if owes, is := errors.AsType[*latchkey.MoreFactorsError](err); is && a.Owing[method] {
		return context.WithValue(ctx, pendingKey{}, owes.Pending), nil
	}
	if err != nil {
		return nil, err
	}
	return context.WithValue(ctx, accountKey{}, account), nil
}

// bearer returns the secret of a call. It is "" unless the metadata has exactly one authorization,
// and its scheme is Bearer.
func bearer(ctx context.Context) string {
	values := metadata.ValueFromIncomingContext(ctx, "authorization")
	if len(values) != 1 {
		return ""
	}
	scheme, secret, _ := strings.Cut(values[0], " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return secret
}
