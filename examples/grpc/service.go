package main

import (
	"context"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"example.com/latchkey"
)

// maxRequest is the maximum size of a request in bytes. gRPC reads the request of a unary call before
// it calls the interceptor, so callers without a session can send one to every method.
const maxRequest = 64 << 10

// newServer returns a server of the example.
func newServer(engine *latchkey.Engine, tick func() <-chan time.Time) *grpc.Server {
	auth := &Auth{
		Engine: engine,
		Open: map[string]bool{
			"/latchkey.example.Accounts/SignUp":  true,
			"/latchkey.example.Accounts/SignIn":  true,
			healthpb.Health_Check_FullMethodName: true,
		},
		Owing: map[string]bool{
			"/latchkey.example.Accounts/ConfirmTOTP": true,
			"/latchkey.example.Accounts/SignOut":     true,
		},
	}
	server := grpc.NewServer(grpc.UnaryInterceptor(auth.Unary), grpc.StreamInterceptor(auth.Stream), grpc.MaxRecvMsgSize(maxRequest))
	server.RegisterService(&accounts, &service{engine, tick})
	healthpb.RegisterHealthServer(server, &health{engine: engine})
	return server
}

// accounts describes the service of accounts.proto. In a host, protoc generates this. The example has
// no generated code, and uses only messages that come with protobuf.
var accounts = grpc.ServiceDesc{
	ServiceName: "latchkey.example.Accounts",
	HandlerType: (*any)(nil),
	Methods: []grpc.MethodDesc{
		unary("SignUp", (*service).signUp),
		unary("SignIn", (*service).signIn),
		unary("ConfirmTOTP", (*service).confirmTOTP),
		unary("WhoAmI", (*service).whoAmI),
		unary("SignOut", (*service).signOut),
	},
	Streams: []grpc.StreamDesc{{
		StreamName:    "Watch",
		ServerStreams: true,
		Handler: func(s any, stream grpc.ServerStream) error {
			if err := stream.RecvMsg(new(emptypb.Empty)); err != nil {
				return err
			}
			return s.(*service).watch(stream)
		},
	}},
	Metadata: "accounts.proto",
}

// unary describes a method with one request and one response.
func unary[In, Out proto.Message](name string, call func(*service, context.Context, In) (Out, error)) grpc.MethodDesc {
	handle := func(s any, ctx context.Context, decode func(any) error, intercept grpc.UnaryServerInterceptor) (any, error) {
		var none In
		in := none.ProtoReflect().New().Interface()
		if err := decode(in); err != nil {
			return nil, err
		}
		info := &grpc.UnaryServerInfo{Server: s, FullMethod: "/latchkey.example.Accounts/" + name}
		return intercept(ctx, in, info, func(ctx context.Context, in any) (any, error) {
			return call(s.(*service), ctx, in.(In))
		})
	}
	return grpc.MethodDesc{MethodName: name, Handler: handle}
}

// service has the handlers. They return the errors of the engine as they are.
type service struct {
	engine *latchkey.Engine
	tick   func() <-chan time.Time // tells when Watch sends its second message
}

// text returns a text of a request, "" without one.
func text(in *structpb.Struct, name string) string { return in.GetFields()[name].GetStringValue() }

func (s *service) signUp(ctx context.Context, in *structpb.Struct) (*structpb.Struct, error) {
	return userMessage(s.engine.Guest(ClientFrom(ctx)).CreateAccount(ctx, latchkey.NewAccount{
		Email: text(in, "email"), Password: text(in, "password"), Name: text(in, "name"),
	}))
}

func (s *service) signIn(ctx context.Context, in *structpb.Struct) (*structpb.Struct, error) {
	guest := s.engine.Guest(ClientFrom(ctx))
	return sessionMessage(guest.CreateEmailPasswordSession(ctx, text(in, "email"), text(in, "password")))
}

// confirmTOTP takes the code of an authenticator app. The session gets a new secret, and the former
// one is refused from then on.
func (s *service) confirmTOTP(ctx context.Context, code *wrapperspb.StringValue) (*structpb.Struct, error) {
	pending, owes := PendingFrom(ctx)
	if !owes {
		return nil, status.Error(codes.FailedPrecondition, "The session owes no factor")
	}
	challenge, err := pending.CreateMFAChallenge(ctx, latchkey.FactorTOTP)
	if err != nil {
		return nil, err
	}
	return sessionMessage(pending.ConfirmMFAChallenge(ctx, challenge.ID, code.GetValue()))
}

func (s *service) whoAmI(ctx context.Context, _ *emptypb.Empty) (*structpb.Struct, error) {
	account, _ := AccountFrom(ctx) // a nil account answers with ErrUnauthorized
	return userMessage(account.User(ctx))
}

// signOut ends the session of the caller, also one that owes a factor.
func (s *service) signOut(ctx context.Context, _ *emptypb.Empty) (*emptypb.Empty, error) {
	if pending, owes := PendingFrom(ctx); owes {
		return new(emptypb.Empty), pending.DeleteSession(ctx)
	}
	account, _ := AccountFrom(ctx)
	return new(emptypb.Empty), account.DeleteSession(ctx, latchkey.CurrentSession)
}

// watch sends the user twice. It reads the user through the account each time, so if the session ends
// between the messages, the second read is refused.
func (s *service) watch(stream grpc.ServerStream) error {
	ctx := stream.Context()
	account, _ := AccountFrom(ctx)
	if err := sendUser(ctx, account, stream); err != nil {
		return err
	}
	select {
	case <-s.tick():
		return sendUser(ctx, account, stream)
	case <-ctx.Done():
		return ctx.Err()
	}
}

func sendUser(ctx context.Context, account *latchkey.Account, stream grpc.ServerStream) error {
	message, err := userMessage(account.User(ctx))
	if err != nil {
		return err
	}
	return stream.SendMsg(message)
}

func userMessage(user *latchkey.User, err error) (*structpb.Struct, error) {
	if err != nil {
		return nil, err
	}
	return structpb.NewStruct(map[string]any{"id": user.ID, "email": user.Email, "name": user.Name})
}

func sessionMessage(session *latchkey.Session, err error) (*structpb.Struct, error) {
	if err != nil {
		return nil, err
	}
	return structpb.NewStruct(map[string]any{"secret": session.Secret.Reveal(), "expire": session.Expire.Format(time.RFC3339)})
}

// health answers the usual health check of gRPC.
type health struct {
	healthpb.UnimplementedHealthServer
	engine *latchkey.Engine
}

func (h *health) Check(ctx context.Context, _ *healthpb.HealthCheckRequest) (*healthpb.HealthCheckResponse, error) {
	if h.engine.Ping(ctx) != nil {
		return &healthpb.HealthCheckResponse{Status: healthpb.HealthCheckResponse_NOT_SERVING}, nil
	}
	return &healthpb.HealthCheckResponse{Status: healthpb.HealthCheckResponse_SERVING}, nil
}
