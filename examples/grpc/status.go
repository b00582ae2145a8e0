package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"

	"example.com/latchkey"
)

// statusCodes maps the engine's categories to the codes of gRPC.
var statusCodes = map[latchkey.Category]codes.Code{
	latchkey.CategoryInvalid:       codes.InvalidArgument,
	latchkey.CategoryUnauthorized:  codes.Unauthenticated,
	latchkey.CategoryForbidden:     codes.PermissionDenied,
	latchkey.CategoryNotFound:      codes.NotFound,
	latchkey.CategoryConflict:      codes.AlreadyExists,
	latchkey.CategoryPrecondition:  codes.FailedPrecondition,
	latchkey.CategoryThrottled:     codes.ResourceExhausted,
	latchkey.CategoryUnavailable:   codes.Unavailable,
	latchkey.CategoryUnimplemented: codes.Unimplemented,
}

// errInternal is the status of every error that is no answer to a caller. It has no text of that error.
// The engine has logged its own faults with their causes, and toStatus logs the others.
var errInternal = status.Error(codes.Internal, "internal error")

// toStatus turns the error of a call into a status, and a panic too, which would end the process.
// Deferred functions call recover, so it is deferred. The log has the type of the panic's value
// alone, because the value may hold a secret.
func toStatus(method string, err *error) {
	if v := recover(); v != nil {
		slog.Error("panic", "of", fmt.Sprintf("%T", v), "method", method, "stack", string(debug.Stack()))
		*err = errInternal
	}
	made := statusOf(*err)
	if made == errInternal && *err != errInternal && !latchkey.IsFault(*err) {
		slog.Error("a call has failed", "method", method, "error", *err)
	}
	*err = made
}

// statusOf returns the status of an error. An answer of the engine and the end of a context have
// statuses of their own. A status that the handler itself returns stays as it is. A status that
// another error wraps is not looked at: a service behind a store may have made it.
func statusOf(err error) error {
	if own, is := errors.AsType[*latchkey.Error](err); is {
		return answer(own, err)
	}
	if _, made := err.(interface{ GRPCStatus() *status.Status }); made || err == nil {
		return err
	}
	if errors.Is(err, latchkey.ErrClosed) { // while the host ends; another one may answer
		return status.Error(codes.Unavailable, "the server is ending")
	}
	for _, end := range []error{context.Canceled, context.DeadlineExceeded} {
		if errors.Is(err, end) {
			return status.FromContextError(end).Err()
		}
	}
	return errInternal
}

// answer returns the status of an answer of the engine. Clients switch on the reason of ErrorInfo,
// which is the documented type of the error. It stays in lower case, although Google's services use
// capitals there.
func answer(own *latchkey.Error, err error) error {
	code, known := statusCodes[own.Category]
	if !known { // a later category must not become codes.OK
		return errInternal
	}
	details := []protoadapt.MessageV1{&errdetails.ErrorInfo{Reason: own.Type, Domain: "latchkey"}}
	if own.Argument != "" {
		details = append(details, &errdetails.BadRequest{FieldViolations: []*errdetails.BadRequest_FieldViolation{
			{Field: own.Argument, Description: own.Message, Reason: own.Reason},
		}})
	}
	if throttled, is := errors.AsType[*latchkey.ThrottledError](err); is {
		details = append(details, &errdetails.RetryInfo{RetryDelay: durationpb.New(throttled.RetryAfter)})
	}
	detailed, failed := status.New(code, own.Message).WithDetails(details...)
	if failed != nil {
		return status.Error(code, own.Message)
	}
	return detailed.Err()
}
