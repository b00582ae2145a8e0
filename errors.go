package latchkey

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Category says what kind of answer an error is, so that a transport can map
// it to a code of its own without a list of types.
type Category int

// The categories.
const (
	Invalid       Category = iota + 1 // the input is not acceptable
	Unauthorized                      // who asks has not proven who they are
	Forbidden                         // who asks is known and may not
	NotFound                          // there is no such thing in the caller's scope
	Conflict                          // something else has it already
	Precondition                      // something must happen first
	Throttled                         // too often; later it may work
	Unavailable                       // for the moment
	Unimplemented                     // switched off
)

// Error is an answer that a caller may switch on: by a sentinel with
// errors.Is, by its documented type, or by its category. Every other error of
// the engine is a fault that the caller cannot mend. No error carries a secret.
type Error struct {
	Type     string // as documented, user_invalid_credentials
	Category Category
	Message  string // for a person
}

func (e *Error) Error() string { return e.Message + " (" + e.Type + ")" }

// Is reports whether target is an error of the same type.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Type == e.Type
}

// The errors of the engine. ErrBusy says that too many passwords are being
// hashed, that the user was changed again and again meanwhile, or that the
// limiter fails.
var (
	ErrArgumentInvalid       = &Error{"general_argument_invalid", Invalid, "An argument is invalid"}
	ErrUnauthorized          = &Error{"general_unauthorized_scope", Unauthorized, "Not signed in, or the session has ended"}
	ErrRateLimitExceeded     = &Error{"general_rate_limit_exceeded", Throttled, "Too many attempts; try again later"}
	ErrBusy                  = &Error{"general_busy", Unavailable, "Too much to do at once; try again"}
	ErrInvalidCredentials    = &Error{"user_invalid_credentials", Unauthorized, "The credentials are wrong"}
	ErrUserBlocked           = &Error{"user_blocked", Forbidden, "The user is blocked"}
	ErrPasswordResetRequired = &Error{"user_password_reset_required", Precondition, "The password must be reset first"}
	ErrMoreFactorsRequired   = &Error{"user_more_factors_required", Unauthorized, "Another factor is required"}
	ErrUserAlreadyExists     = &Error{"user_already_exists", Conflict, "A user with this id, e-mail address or phone number exists"}
	ErrEmailAlreadyExists    = &Error{"user_email_already_exists", Conflict, "The e-mail address belongs to somebody else"}
	ErrPhoneAlreadyExists    = &Error{"user_phone_already_exists", Conflict, "The phone number belongs to somebody else"}
	ErrTargetAlreadyExists   = &Error{"user_target_already_exists", Conflict, "The address is a target of somebody else"}
	ErrSessionAlreadyExists  = &Error{"user_session_already_exists", Unauthorized, "Somebody is signed in already"}
	ErrUserCountExceeded     = &Error{"user_count_exceeded", Invalid, "There are as many users as may sign up"}
	ErrPasswordPersonalData  = &Error{"user_password_personal_data", Invalid, "The password contains personal data"}
	ErrPasswordRecentlyUsed  = &Error{"user_password_recently_used", Invalid, "The password was used not long ago"}
	ErrAuthMethodUnsupported = &Error{"user_auth_method_unsupported", Unimplemented, "This way to sign in is disabled"}
	ErrInvalidToken          = &Error{"user_invalid_token", Unauthorized, "The link or code is wrong, was used, or has run out"}
	ErrJWTInvalid            = &Error{"user_jwt_invalid", Unauthorized, "The JWT is not one that is good now"}
	ErrJWTCreationDenied     = &Error{"user_jwt_creation_denied", Forbidden, "A JWT does not make another"}
	ErrEmailAlreadyVerified  = &Error{"user_email_already_verified", Conflict, "The e-mail address is verified already"}
	ErrPhoneAlreadyVerified  = &Error{"user_phone_already_verified", Conflict, "The phone number is verified already"}
	ErrSMTPDisabled          = &Error{"general_smtp_disabled", Unavailable, "No mail can be sent"}
	ErrPhoneDisabled         = &Error{"general_phone_disabled", Unavailable, "No SMS can be sent"}
	ErrEmailNotFound         = &Error{"user_email_not_found", Invalid, "The user has no e-mail address"}
	ErrPhoneNotFound         = &Error{"user_phone_not_found", Invalid, "The user has no phone number"}
	ErrEmailNotVerified      = &Error{"user_email_not_verified", Invalid, "The e-mail address is not verified"}
	ErrPhoneNotVerified      = &Error{"user_phone_not_verified", Invalid, "The phone number is not verified"}
	ErrChallengeRequired     = &Error{"user_challenge_required", Unauthorized, "A challenge has to be answered first"}
	ErrAuthenticatorNotFound = &Error{"user_authenticator_not_found", NotFound, "There is no authenticator"}

	ErrAuthenticatorAlreadyVerified = &Error{"user_authenticator_already_verified", Conflict, "There is a confirmed authenticator already"}
	ErrRecoveryCodesAlreadyExist    = &Error{"user_recovery_codes_already_exists", Conflict, "There are recovery codes already"}
	ErrRecoveryCodesNotFound        = &Error{"user_recovery_codes_not_found", NotFound, "There are no recovery codes"}

	ErrUserNotFound    = &Error{"user_not_found", NotFound, "There is no such user"}
	ErrSessionNotFound = &Error{"user_session_not_found", NotFound, "There is no such session"}
)

// ErrClosed is the answer of an engine after Close.
var ErrClosed = errors.New("latchkey: engine is closed")

// ThrottledError is an [ErrRateLimitExceeded] that says how long to wait.
type ThrottledError struct{ RetryAfter time.Duration }

func (e *ThrottledError) Error() string {
	return fmt.Sprintf("%v; wait %v", ErrRateLimitExceeded, e.RetryAfter.Round(time.Second))
}

// Unwrap returns [ErrRateLimitExceeded].
func (e *ThrottledError) Unwrap() error { return ErrRateLimitExceeded }

func invalid(what string, err error) error {
	e := *ErrArgumentInvalid
	e.Message = what + ": " + err.Error()
	return &e
}

// fault is an error that the caller cannot mend. Its text names the operation
// alone, since a driver's text may carry anything; the cause is unwrapped.
type fault struct {
	op    string
	cause error
}

func (f *fault) Error() string {
	switch {
	case errors.Is(f.cause, context.Canceled):
		return "latchkey: " + f.op + ": " + context.Canceled.Error()
	case errors.Is(f.cause, context.DeadlineExceeded):
		return "latchkey: " + f.op + ": " + context.DeadlineExceeded.Error()
	}
	return "latchkey: " + f.op + ": internal error"
}

func (f *fault) Unwrap() error { return f.cause }

// outward is what an operation returns for err: the engine's own errors as
// they are, everything else as a fault.
func outward(op string, err error) error {
	if err == nil {
		return nil // before own is allocated
	}
	var own *Error
	if errors.Is(err, ErrClosed) || errors.As(err, &own) {
		return err
	}
	return &fault{op, err}
}
