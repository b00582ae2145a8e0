package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"example.com/latchkey"
	"example.com/latchkey/authtest"
	"example.com/latchkey/hasher/hashertest"
	"example.com/latchkey/ratelimit"
	"example.com/latchkey/store/memory"
)

const ada = "ada@example.org"

var nothing = new(emptypb.Empty)

// client calls a server over loopback.
type client struct {
	t    *testing.T
	conn *grpc.ClientConn
}

// serve starts a server of the example, which is stopped when the test ends.
func serve(t *testing.T, engine *latchkey.Engine, tick func() <-chan time.Time) client {
	t.Helper()
	server, listener := newServer(engine, tick), listen(t)
	done := make(chan error)
	go func() { done <- server.Serve(listener) }()
	t.Cleanup(func() {
		server.Stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return dial(t, listener)
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return listener
}

func dial(t *testing.T, listener net.Listener) client {
	t.Helper()
	conn, err := grpc.NewClient(listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithUserAgent("kit/1.0"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return client{t, conn}
}

// with is the context of a call with values of authorization.
func (c client) with(values ...string) context.Context {
	ctx := c.t.Context()
	for _, value := range values {
		ctx = metadata.AppendToOutgoingContext(ctx, "authorization", value)
	}
	return ctx
}

// bearing is the context of a call with the secret of a session.
func (c client) bearing(session *latchkey.Session) context.Context {
	return c.with("Bearer " + session.Secret.Reveal())
}

// call calls a unary method. Every response of the service can be read as a struct.
func (c client) call(ctx context.Context, method string, in proto.Message) (*structpb.Struct, error) {
	out := new(structpb.Struct)
	err := c.conn.Invoke(ctx, "/latchkey.example.Accounts/"+method, in, out)
	return out, err
}

// watch opens a stream.
func (c client) watch(ctx context.Context) grpc.ClientStream {
	c.t.Helper()
	stream, err := c.conn.NewStream(ctx, &accounts.Streams[0], "/latchkey.example.Accounts/Watch")
	if err == nil {
		err = errors.Join(stream.SendMsg(nothing), stream.CloseSend())
	}
	if err != nil {
		c.t.Fatal(err)
	}
	return stream
}

// words makes a request of names and texts in turn.
func words(texts ...string) *structpb.Struct {
	in := &structpb.Struct{Fields: make(map[string]*structpb.Value)}
	for pair := range slices.Chunk(texts, 2) {
		in.Fields[pair[0]] = structpb.NewStringValue(pair[1])
	}
	return in
}

// detail returns the first detail of an error that has a type, nil without one.
func detail[T any](err error) (found T) {
	for _, d := range status.Convert(err).Details() {
		if is, ok := d.(T); ok {
			return is
		}
	}
	return found
}

// refused fails unless an error has the code and the type of an error of the engine.
func refused(t *testing.T, name string, err error, code codes.Code, want *latchkey.Error) {
	t.Helper()
	info := detail[*errdetails.ErrorInfo](err)
	if status.Code(err) != code || info.GetReason() != want.Type || info.GetDomain() != "latchkey" {
		t.Errorf("%s: %v, %v", name, err, info)
	}
}

func TestOneRightSecretIsASession(t *testing.T) {
	kit := authtest.New(t, latchkey.Config{})
	account, session := kit.SignIn(ada)
	c, secret := serve(t, kit.Engine, nil), session.Secret.Reveal()
	for name, values := range map[string][]string{"Bearer": {"Bearer " + secret}, "the scheme in lower case": {"bearer " + secret}} {
		user, err := c.call(c.with(values...), "WhoAmI", nothing)
		if err != nil || text(user, "id") != account.UserID() || text(user, "email") != ada {
			t.Errorf("%s: %v, %v", name, user, err)
		}
	}
	for name, values := range map[string][]string{
		"no authorization":        nil,
		"a wrong secret":          {"Bearer " + secret[:len(secret)-1]},
		"an empty value":          {""},
		"an empty secret":         {"Bearer "},
		"no secret":               {"Bearer"},
		"no scheme":               {secret},
		"another scheme":          {"Basic " + secret},
		"two spaces":              {"Bearer  " + secret},
		"the right secret twice":  {"Bearer " + secret, "Bearer " + secret},
		"a wrong secret as well":  {"Bearer x", "Bearer " + secret},
		"two secrets in one text": {"Bearer " + secret + ", Bearer " + secret},
	} {
		_, err := c.call(c.with(values...), "WhoAmI", nothing)
		refused(t, name, err, codes.Unauthenticated, latchkey.ErrUnauthorized)
		refused(t, name+", stream", c.watch(c.with(values...)).RecvMsg(new(structpb.Struct)), codes.Unauthenticated, latchkey.ErrUnauthorized)
	}
	_, err := c.call(metadata.AppendToOutgoingContext(t.Context(), "cookie", "Bearer "+secret, "secret", secret), "WhoAmI", nothing)
	refused(t, "other metadata", err, codes.Unauthenticated, latchkey.ErrUnauthorized)
	if _, err := (&service{}).whoAmI(t.Context(), nothing); !errors.Is(err, latchkey.ErrUnauthorized) {
		t.Errorf("a handler without an account: %v", err)
	}
}

func TestAUserSignsUpInAndOut(t *testing.T) {
	kit := authtest.New(t, latchkey.Config{})
	c := serve(t, kit.Engine, nil)
	_, err := c.call(t.Context(), "SignUp", words("email", ada, "password", "short"))
	refused(t, "a short password", err, codes.InvalidArgument, latchkey.ErrArgumentInvalid)
	field := detail[*errdetails.BadRequest](err).GetFieldViolations()
	if len(field) != 1 || field[0].GetField() != "password" || field[0].GetReason() != "too_short" || field[0].GetDescription() == "" {
		t.Errorf("fields: %v", field)
	}
	user, err := c.call(t.Context(), "SignUp", words("email", ada, "password", authtest.Password, "name", "Ada"))
	if err != nil || text(user, "name") != "Ada" {
		t.Fatalf("%v, %v", user, err)
	}
	_, err = c.call(t.Context(), "SignUp", words("email", ada, "password", authtest.Password))
	refused(t, "once more", err, codes.AlreadyExists, latchkey.ErrUserAlreadyExists)
	_, err = c.call(t.Context(), "SignIn", words("email", ada, "password", "wrong horse"))
	refused(t, "a wrong password", err, codes.Unauthenticated, latchkey.ErrInvalidCredentials)
	_, err = c.call(t.Context(), "SignIn", &structpb.Struct{Fields: map[string]*structpb.Value{"email": structpb.NewNumberValue(1)}})
	refused(t, "a number", err, codes.InvalidArgument, latchkey.ErrArgumentInvalid)

	session, err := c.call(c.with("Bearer of something else"), "SignIn", words("email", ada, "password", authtest.Password))
	if until, failed := time.Parse(time.RFC3339, text(session, "expire")); err != nil || failed != nil || !until.After(kit.Clock.Now()) {
		t.Fatalf("%v, %v", err, failed)
	}
	secret := text(session, "secret")
	account, err := kit.Visitor.Authenticate(t.Context(), secret)
	if err != nil {
		t.Fatal(err)
	}
	if s, err := account.GetSession(t.Context(), latchkey.CurrentSession); err != nil || s.IP != "127.0.0.1" {
		t.Errorf("the session is of %v: %v", s, err)
	}
	if _, err := c.call(c.with("Bearer "+secret), "SignOut", nothing); err != nil {
		t.Fatal(err)
	}
	_, err = c.call(c.with("Bearer "+secret), "WhoAmI", nothing)
	refused(t, "the call after it", err, codes.Unauthenticated, latchkey.ErrUnauthorized)
}

// An open stream outlives its session until its handler asks the engine again.
func TestAStreamIsRefusedWhenItAsksAgain(t *testing.T) {
	kit := authtest.New(t, latchkey.Config{})
	account, session := kit.SignIn(ada)
	tick := make(chan time.Time)
	c := serve(t, kit.Engine, func() <-chan time.Time { return tick })
	for _, ends := range []bool{false, true} {
		stream, user := c.watch(c.bearing(session)), new(structpb.Struct)
		if err := stream.RecvMsg(user); err != nil || text(user, "email") != ada {
			t.Fatalf("%v, %v", user, err)
		}
		if ends {
			if err := account.DeleteSession(t.Context(), latchkey.CurrentSession); err != nil {
				t.Fatal(err)
			}
		}
		tick <- time.Time{} // the stream is still there
		err := stream.RecvMsg(user)
		if ends {
			refused(t, "the second message", err, codes.Unauthenticated, latchkey.ErrUnauthorized)
		} else if err != nil {
			t.Errorf("the second message: %v", err)
		}
	}
	refused(t, "the next stream", c.watch(c.bearing(session)).RecvMsg(new(structpb.Struct)), codes.Unauthenticated, latchkey.ErrUnauthorized)
}

func TestABlockedUserIsRefused(t *testing.T) {
	kit := authtest.New(t, latchkey.Config{})
	_, session := kit.SignIn(ada)
	c := serve(t, kit.Engine, nil)
	kit.Blocked(ada)
	_, err := c.call(c.bearing(session), "WhoAmI", nothing)
	refused(t, "the session", err, codes.PermissionDenied, latchkey.ErrUserBlocked)
	_, err = c.call(t.Context(), "SignIn", words("email", ada, "password", authtest.Password))
	refused(t, "signing in", err, codes.PermissionDenied, latchkey.ErrUserBlocked)
}

func TestASessionThatOwesAFactorMayPayAndLeave(t *testing.T) {
	kit := authtest.New(t, latchkey.Config{})
	account, _ := kit.SignIn(ada)
	app := kit.EnrolTOTP(account)
	c := serve(t, kit.Engine, nil)
	signIn := func() context.Context {
		t.Helper()
		session, err := c.call(t.Context(), "SignIn", words("email", ada, "password", authtest.Password))
		if err != nil {
			t.Fatal(err)
		}
		return c.with("Bearer " + text(session, "secret"))
	}
	owing := signIn()
	_, err := c.call(owing, "WhoAmI", nothing)
	refused(t, "before the code", err, codes.Unauthenticated, latchkey.ErrMoreFactorsRequired)
	refused(t, "a stream before the code", c.watch(owing).RecvMsg(new(structpb.Struct)), codes.Unauthenticated, latchkey.ErrMoreFactorsRequired)
	_, err = c.call(t.Context(), "ConfirmTOTP", wrapperspb.String(app.Code()))
	refused(t, "the code alone", err, codes.Unauthenticated, latchkey.ErrUnauthorized)
	_, err = c.call(owing, "ConfirmTOTP", wrapperspb.String(app.CodeAt(50)))
	refused(t, "a wrong code", err, codes.Unauthenticated, latchkey.ErrInvalidToken)
	session, err := c.call(owing, "ConfirmTOTP", wrapperspb.String(app.Code()))
	if err != nil {
		t.Fatal(err)
	}
	full := c.with("Bearer " + text(session, "secret"))
	if user, err := c.call(full, "WhoAmI", nothing); err != nil || text(user, "email") != ada {
		t.Errorf("%v, %v", user, err)
	}
	_, err = c.call(owing, "WhoAmI", nothing)
	refused(t, "the former secret", err, codes.Unauthenticated, latchkey.ErrSessionRenewed)
	if _, err = c.call(full, "ConfirmTOTP", wrapperspb.String(app.Code())); status.Code(err) != codes.FailedPrecondition {
		t.Errorf("a code that is not owed: %v", err)
	}

	owing = signIn()
	if _, err := c.call(owing, "SignOut", nothing); err != nil {
		t.Error(err)
	}
	_, err = c.call(owing, "WhoAmI", nothing)
	refused(t, "after signing out", err, codes.Unauthenticated, latchkey.ErrUnauthorized)
}

func TestAThrottledCallSaysHowLongToWait(t *testing.T) {
	kit := authtest.New(t, latchkey.Config{
		Limiter: ratelimit.NewMemory(0),
		Policy:  latchkey.Policy{Guessing: latchkey.GuessingPolicy{Limits: map[string]ratelimit.Rule{"createEmailPasswordSession": {Calls: 1, Window: time.Minute}}}},
	})
	c := serve(t, kit.Engine, nil)
	in := words("email", ada, "password", "wrong horse")
	_, err := c.call(t.Context(), "SignIn", in)
	refused(t, "the first", err, codes.Unauthenticated, latchkey.ErrInvalidCredentials)
	_, err = c.call(t.Context(), "SignIn", in)
	refused(t, "the second", err, codes.ResourceExhausted, latchkey.ErrRateLimitExceeded)
	if wait := detail[*errdetails.RetryInfo](err).GetRetryDelay().AsDuration(); wait != time.Minute {
		t.Errorf("the wait is %v", wait)
	}
}

// logged lets the default logger write to a buffer until the test ends.
func logged(t *testing.T) *bytes.Buffer {
	var out bytes.Buffer
	was := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(&out, nil)))
	t.Cleanup(func() { slog.SetDefault(was) })
	return &out
}

// tellsNothing fails unless an error is the status of a fault.
func tellsNothing(t *testing.T, name string, err error) {
	t.Helper()
	if s := status.Convert(err); s.Code() != codes.Internal || s.Message() != "internal error" || len(s.Details()) > 0 {
		t.Errorf("%s: %v", name, err)
	}
}

func TestAFaultTellsNothing(t *testing.T) {
	s, log := memory.Open(), logged(t)
	engine, err := latchkey.New(s, latchkey.Config{Keys: latchkey.Keys{Active: latchkey.GenerateKey()}, Hasher: hashertest.New(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = engine.Close() })
	c := serve(t, engine, nil)
	healthy := func() healthpb.HealthCheckResponse_ServingStatus {
		t.Helper()
		answer, err := healthpb.NewHealthClient(c.conn).Check(t.Context(), &healthpb.HealthCheckRequest{})
		if err != nil {
			t.Fatal(err)
		}
		return answer.GetStatus()
	}
	if is := healthy(); is != healthpb.HealthCheckResponse_SERVING {
		t.Error(is)
	}
	in := words("email", ada, "password", authtest.Password)
	if _, err := c.call(t.Context(), "SignUp", in); err != nil {
		t.Fatal(err)
	}
	session, err := c.call(t.Context(), "SignIn", in)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	signedIn := c.with("Bearer " + text(session, "secret"))
	_, err = c.call(signedIn, "WhoAmI", nothing)
	tellsNothing(t, "the interceptor", err)
	tellsNothing(t, "the stream interceptor", c.watch(signedIn).RecvMsg(new(structpb.Struct)))
	_, err = c.call(t.Context(), "SignIn", in)
	tellsNothing(t, "a handler", err)
	if is := healthy(); is != healthpb.HealthCheckResponse_NOT_SERVING {
		t.Error(is)
	}
	if n := strings.Count(log.String(), "store: closed"); n != 4 {
		t.Errorf("%d causes of 4 faults were logged:\n%s", n, log)
	}
	if err := engine.Close(); err != nil {
		t.Fatal(err)
	}
	_, err = c.call(signedIn, "WhoAmI", nothing)
	if status.Code(err) != codes.Unavailable { // another server may answer
		t.Errorf("a closed engine: %v", err)
	}
}

// The engine has logged its faults. The errors of a handler of the host's are logged here.
func TestAnErrorOfAHandlerIsLogged(t *testing.T) {
	log := logged(t)
	auth := &Auth{Open: map[string]bool{"/a/b": true}}
	_, err := auth.Unary(t.Context(), nothing, &grpc.UnaryServerInfo{FullMethod: "/a/b"}, func(context.Context, any) (any, error) { return nil, errors.New("no disk") })
	tellsNothing(t, "an error of the host's", err)
	if n := strings.Count(log.String(), "no disk"); n != 1 {
		t.Errorf("logged %d times: %s", n, log)
	}
}

func TestAPanicTellsNothingAndEndsNothing(t *testing.T) {
	log, kit := logged(t), authtest.New(t, latchkey.Config{})
	_, session := kit.SignIn(ada)
	c := serve(t, kit.Engine, func() <-chan time.Time { panic("a secret") })
	for range 2 {
		stream := c.watch(c.bearing(session))
		if err := stream.RecvMsg(new(structpb.Struct)); err != nil {
			t.Fatal(err)
		}
		tellsNothing(t, "a stream", stream.RecvMsg(new(structpb.Struct)))
	}
	auth := &Auth{Open: map[string]bool{"/a/b": true}}
	_, err := auth.Unary(t.Context(), nothing, &grpc.UnaryServerInfo{FullMethod: "/a/b"}, func(context.Context, any) (any, error) { panic("a secret") })
	tellsNothing(t, "a unary call", err)
	if text := log.String(); strings.Count(text, "method=") != 3 || strings.Contains(text, "a secret") {
		t.Error(text)
	}
}

func TestEveryCategoryHasItsCode(t *testing.T) {
	for own, code := range map[*latchkey.Error]codes.Code{
		latchkey.ErrArgumentInvalid:       codes.InvalidArgument,
		latchkey.ErrUnauthorized:          codes.Unauthenticated,
		latchkey.ErrUserBlocked:           codes.PermissionDenied,
		latchkey.ErrUserNotFound:          codes.NotFound,
		latchkey.ErrUserAlreadyExists:     codes.AlreadyExists,
		latchkey.ErrPasswordResetRequired: codes.FailedPrecondition,
		latchkey.ErrRateLimitExceeded:     codes.ResourceExhausted,
		latchkey.ErrBusy:                  codes.Unavailable,
		latchkey.ErrAuthMethodUnsupported: codes.Unimplemented,
	} {
		err := statusOf(fmt.Errorf("in a handler: %w", own))
		refused(t, own.Type, err, code, own)
		if status.Convert(err).Message() != own.Message {
			t.Errorf("%s: %v", own.Type, err)
		}
	}
	cause := errors.New("a secret")
	for name, c := range map[string]struct {
		err  error
		code codes.Code
		text string
	}{
		"a later category":       {&latchkey.Error{Type: "user_later", Category: 99, Message: "later"}, codes.Internal, "internal error"},
		"another error":          {cause, codes.Internal, "internal error"},
		"a cancelled call":       {errors.Join(cause, context.Canceled), codes.Canceled, "context canceled"},
		"a call that is late":    {errors.Join(cause, context.DeadlineExceeded), codes.DeadlineExceeded, "context deadline exceeded"},
		"a status":               {status.Error(codes.DataLoss, "lost"), codes.DataLoss, "lost"},
		"a status behind a call": {fmt.Errorf("a secret: %w", status.Error(codes.DataLoss, "lost")), codes.Internal, "internal error"},
		"a text of bad UTF-8":    {&latchkey.Error{Category: latchkey.CategoryInvalid, Message: "bad", Argument: "\xff"}, codes.InvalidArgument, "bad"},
	} {
		if s := status.Convert(statusOf(c.err)); s.Code() != c.code || s.Message() != c.text || len(s.Details()) > 0 {
			t.Errorf("%s: %v, %v", name, s, s.Details())
		}
	}
	if err := statusOf(nil); err != nil {
		t.Error(err)
	}
}

func TestTheClientIsThePeer(t *testing.T) {
	ctx := metadata.NewIncomingContext(t.Context(), metadata.Pairs("user-agent", "kit/1.0", "accept-language", "de", "x-forwarded-for", "192.0.2.1"))
	for name, c := range map[string]struct {
		addr net.Addr
		want netip.Addr
	}{
		"IPv4":        {&net.TCPAddr{IP: net.IPv4(192, 0, 2, 9), Port: 1}, netip.MustParseAddr("192.0.2.9")},
		"IPv6":        {&net.TCPAddr{IP: net.ParseIP("2001:db8::9"), Port: 1}, netip.MustParseAddr("2001:db8::9")},
		"Unix socket": {&net.UnixAddr{Name: "@", Net: "unix"}, netip.Addr{}},
	} {
		client := ClientFrom(peer.NewContext(ctx, &peer.Peer{Addr: c.addr}))
		if client.IP != c.want || client.UserAgent != "kit/1.0" || client.Locale != "de" {
			t.Errorf("%s: %+v", name, client)
		}
	}
	if client := ClientFrom(t.Context()); client.IP.IsValid() || client.UserAgent != "" || client.Locale != "" {
		t.Errorf("without a call: %+v", client)
	}
}

func TestTheFileOfTheServiceHasItsMethods(t *testing.T) {
	source, err := os.ReadFile("accounts.proto")
	if err != nil {
		t.Fatal(err)
	}
	var have, want []string
	for _, m := range regexp.MustCompile(`rpc (\w+)`).FindAllStringSubmatch(string(source), -1) {
		have = append(have, m[1])
	}
	for _, m := range accounts.Methods {
		want = append(want, m.MethodName)
	}
	want = append(want, accounts.Streams[0].StreamName)
	slices.Sort(have)
	slices.Sort(want)
	if !slices.Equal(have, want) {
		t.Errorf("%v, want %v", have, want)
	}
}

func TestAFileKeepsTheUsers(t *testing.T) {
	file := filepath.Join(t.TempDir(), "accounts.db")
	for _, method := range []string{"SignUp", "SignIn"} {
		ctx, stop := context.WithCancel(t.Context())
		listener, done := listen(t), make(chan error)
		go func() { done <- run(ctx, listener, file) }()
		_, err := dial(t, listener).call(t.Context(), method, words("email", ada, "password", authtest.Password))
		if err != nil {
			t.Errorf("%s: %v", method, err)
		}
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}
