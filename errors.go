package latchkey

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"example.com/latchkey/store"
)

// Category is the kind of answer that an error is. A transport maps categories to
// its own codes without a list of types.
type Category int

// The categories.
const (
	CategoryInvalid       Category = iota + 1 // the input is not acceptable
	CategoryUnauthorized                      // the caller has not proven who they are
	CategoryForbidden                         // the caller is known and may not do this
	CategoryNotFound                          // the thing does not exist in the caller's scope
	CategoryConflict                          // another user or row has it already
	CategoryPrecondition                      // something else must happen first
	CategoryThrottled                         // too many calls; a later one may succeed
	CategoryUnavailable                       // not possible at the moment
	CategoryUnimplemented                     // switched off
)

// Error is an answer that a caller may switch on: by a sentinel with errors.Is, by its
// type, or by its category. Every other error of the engine is a
// fault that the caller cannot mend. No error holds a secret.
type Error struct {
	Type     string // as in the list of sentinels, for example user_invalid_credentials
	Category Category
	Message  string // for a person
}

func (e *Error) Error() string { return e.Message + " (" + e.Type + ")" }

// Is reports whether target is an error of the same type.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Type == e.Type
}

// The errors of the engine. The message of an error that an operation returns may say
// more than that of its sentinel. ErrBusy is the answer while too many passwords are
// being hashed, after a user was changed again and again during one call, and for
// guesses while the limiter fails.
var (
	ErrArgumentInvalid       = &Error{"general_argument_invalid", CategoryInvalid, "An argument is invalid"}
	ErrUnauthorized          = &Error{"general_unauthorized_scope", CategoryUnauthorized, "Not signed in, or the session has ended"}
	ErrRateLimitExceeded     = &Error{"general_rate_limit_exceeded", CategoryThrottled, "Too many attempts; try again later"}
	ErrBusy                  = &Error{"general_busy", CategoryUnavailable, "The server is busy; try again"}
	ErrInvalidCredentials    = &Error{"user_invalid_credentials", CategoryUnauthorized, "The credentials are wrong"}
	ErrUserBlocked           = &Error{"user_blocked", CategoryForbidden, "The user is blocked"}
	ErrPasswordResetRequired = &Error{"user_password_reset_required", CategoryPrecondition, "The password must be reset first"}
	ErrMoreFactorsRequired   = &Error{"user_more_factors_required", CategoryUnauthorized, "Another factor is required"}
	ErrUserAlreadyExists     = &Error{"user_already_exists", CategoryConflict, "A user with this id, e-mail address or phone number exists"}
	ErrEmailAlreadyExists    = &Error{"user_email_already_exists", CategoryConflict, "The e-mail address belongs to another user"}
	ErrPhoneAlreadyExists    = &Error{"user_phone_already_exists", CategoryConflict, "The phone number belongs to another user"}
	ErrTargetAlreadyExists   = &Error{"user_target_already_exists", CategoryConflict, "The address is a target of another user"}
	ErrSessionAlreadyExists  = &Error{"user_session_already_exists", CategoryUnauthorized, "A user is signed in already"}
	ErrUserCountExceeded     = &Error{"user_count_exceeded", CategoryInvalid, "The largest number of users is reached"}
	ErrPasswordPersonalData  = &Error{"user_password_personal_data", CategoryInvalid, "The password contains personal data"}
	ErrPasswordRecentlyUsed  = &Error{"user_password_recently_used", CategoryInvalid, "The password was used recently"}
	ErrAuthMethodUnsupported = &Error{"user_auth_method_unsupported", CategoryUnimplemented, "This way to sign in is disabled"}
	ErrInvalidToken          = &Error{"user_invalid_token", CategoryUnauthorized, "The link or code is wrong, was used, or has expired"}
	ErrJWTInvalid            = &Error{"user_jwt_invalid", CategoryUnauthorized, "The JWT is not valid, or no longer valid"}
	ErrJWTCreationDenied     = &Error{"user_jwt_creation_denied", CategoryForbidden, "A JWT cannot make another JWT"}
	ErrEmailAlreadyVerified  = &Error{"user_email_already_verified", CategoryConflict, "The e-mail address is verified already"}
	ErrPhoneAlreadyVerified  = &Error{"user_phone_already_verified", CategoryConflict, "The phone number is verified already"}
	ErrUserUnauthorized      = &Error{"user_unauthorized", CategoryUnauthorized, "The user may not do this"}
	ErrEmailInvalid          = &Error{"general_invalid_email", CategoryInvalid, "The identifier is not an e-mail address"}
	ErrPhoneInvalid          = &Error{"general_invalid_phone", CategoryInvalid, "The identifier is not a phone number"}
	ErrEmailDisposable       = &Error{"user_email_disposable", CategoryInvalid, "Disposable e-mail addresses are not accepted"}
	ErrEmailNotCanonical     = &Error{"user_email_not_canonical", CategoryInvalid, "The e-mail address is an alias of another; use that one"}
	ErrEmailFree             = &Error{"user_email_free", CategoryInvalid, "E-mail addresses of free providers are not accepted"}
	ErrEmailNotCorporate     = &Error{"user_email_not_corporate", CategoryInvalid, "Only e-mail addresses of companies are accepted"}
	ErrSMTPDisabled          = &Error{"general_smtp_disabled", CategoryUnavailable, "E-mail is not configured"}
	ErrPhoneDisabled         = &Error{"general_phone_disabled", CategoryUnavailable, "SMS is not configured"}
	ErrEmailNotFound         = &Error{"user_email_not_found", CategoryInvalid, "The user has no e-mail address"}
	ErrPhoneNotFound         = &Error{"user_phone_not_found", CategoryInvalid, "The user has no phone number"}
	ErrEmailNotVerified      = &Error{"user_email_not_verified", CategoryInvalid, "The e-mail address is not verified"}
	ErrPhoneNotVerified      = &Error{"user_phone_not_verified", CategoryInvalid, "The phone number is not verified"}
	ErrChallengeRequired     = &Error{"user_challenge_required", CategoryUnauthorized, "A challenge must be answered first"}
	ErrAuthenticatorNotFound = &Error{"user_authenticator_not_found", CategoryNotFound, "The user has no authenticator"}

	ErrAuthenticatorAlreadyVerified = &Error{"user_authenticator_already_verified", CategoryConflict, "The authenticator is confirmed already"}
	ErrRecoveryCodesAlreadyExist    = &Error{"user_recovery_codes_already_exists", CategoryConflict, "The user has recovery codes already"}
	ErrRecoveryCodesNotFound        = &Error{"user_recovery_codes_not_found", CategoryNotFound, "The user has no recovery codes"}

	ErrQueryInvalid   = &Error{"general_query_invalid", CategoryInvalid, "A query is not valid"}
	ErrCursorNotFound = &Error{"general_cursor_not_found", CategoryInvalid, "The row of the cursor does not exist"}
	ErrQueryOrderNull = &Error{"database_query_order_null", CategoryInvalid, "The row of the cursor lacks the attribute of the order"}
	ErrQueryTooCostly = &Error{"general_query_too_costly", CategoryInvalid, "The listing would look at more than 10,000 rows"}

	// ErrReferenced is the answer to a deletion that a foreign key of the host's forbids: the
	// host deletes its own rows first, or declares the key with ON DELETE CASCADE or SET NULL.
	ErrReferenced      = &Error{"general_referenced", CategoryConflict, "Rows of the host's own tables refer to this; delete them first"}
	ErrLastFactor      = &Error{"user_last_factor", CategoryConflict, "The address is the only second factor; add another one, or switch multi-factor authentication off, first"}
	ErrTargetNotFound  = &Error{"user_target_not_found", CategoryNotFound, "The target does not exist"}
	ErrUserNotFound    = &Error{"user_not_found", CategoryNotFound, "The user does not exist"}
	ErrSessionNotFound = &Error{"user_session_not_found", CategoryNotFound, "The session does not exist"}

	ErrProviderDisabled      = &Error{"project_provider_disabled", CategoryPrecondition, "The provider is not configured"}
	ErrProviderRefused       = &Error{"user_oauth2_provider_error", CategoryUnauthorized, "The provider did not sign the user in"}
	ErrProviderFailed        = &Error{"user_oauth2_provider_failure", CategoryUnavailable, "The provider gave no valid answer"}
	ErrProviderSubject       = &Error{"user_missing_id", CategoryInvalid, "The provider names no user"}
	ErrIdentityNotFound      = &Error{"user_identity_not_found", CategoryNotFound, "The identity does not exist"}
	ErrIdentityAlreadyExists = &Error{"user_identity_already_exists", CategoryConflict, "The account at the provider belongs to another user"}
	ErrLastWayIn             = &Error{"user_last_way_in", CategoryConflict, "The user could not sign in any more; set a password or prove an address first"}

	ErrTeamNotFound      = &Error{"team_not_found", CategoryNotFound, "The team does not exist"}
	ErrTeamAlreadyExists = &Error{"team_already_exists", CategoryConflict, "A team with this id exists"}

	ErrMembershipNotFound            = &Error{"membership_not_found", CategoryNotFound, "The membership does not exist"}
	ErrInviteNotFound                = &Error{"team_invite_not_found", CategoryNotFound, "The membership does not exist"}
	ErrTeamInvalidSecret             = &Error{"team_invalid_secret", CategoryUnauthorized, "The invitation is not valid"}
	ErrTeamInviteMismatch            = &Error{"team_invite_mismatch", CategoryUnauthorized, "The invitation is for another user"}
	ErrMembershipMismatch            = &Error{"team_membership_mismatch", CategoryNotFound, "The membership is of another team"}
	ErrMembershipAlreadyConfirmed    = &Error{"membership_already_confirmed", CategoryConflict, "The user is a member already"}
	ErrMembershipDeletionProhibited  = &Error{"membership_deletion_prohibited", CategoryInvalid, "The last owner cannot leave a team that has other members"}
	ErrMembershipDowngradeProhibited = &Error{"membership_downgrade_prohibited", CategoryInvalid, "A team keeps an owner"}
)

// ErrClosed is the answer of an engine after Close.
var ErrClosed = errors.New("latchkey: engine is closed")

// errNoEngine is the answer of a zero Guest or Users.
var errNoEngine = errors.New("latchkey: the handle was not made by an engine")

// ThrottledError is an [ErrRateLimitExceeded] with the time to wait.
type ThrottledError struct{ RetryAfter time.Duration }

func (e *ThrottledError) Error() string {
	return fmt.Sprintf("%v; wait %v", ErrRateLimitExceeded, e.RetryAfter.Round(time.Second))
}

// Unwrap returns [ErrRateLimitExceeded].
func (e *ThrottledError) Unwrap() error { return ErrRateLimitExceeded }

// These are ErrInvalidToken in words about the text at hand. Each depends on the call and
// on the text alone, so that the words tell nothing else.
var (
	errWrongLink      = invalidToken("The link is wrong, was used or replaced, or has expired")
	errWrongCode      = invalidToken("The code is wrong, was used or replaced, or has expired")
	errOtherCode      = invalidToken("The code is wrong, was used or replaced, or has expired. The codes in messages have six digits")
	errNoCode         = invalidToken("This is not a code. The codes in messages have six digits")
	errWrongAppCode   = invalidToken("The code of the authenticator app is wrong, was used, or is too old")
	errWrongRecovery  = invalidToken("The recovery code is wrong, or was used")
	errNoRecovery     = invalidToken("This is not a recovery code. A recovery code has 10 or 24 letters and digits")
	errNoChallenge    = invalidToken("The challenge is unknown, was answered, or has expired")
	errSignInNotFound = invalidToken("The sign-in is unknown, was finished, or has expired")
	errWrongIDToken   = invalidToken("The ID token is not valid for this service, was used, or is too old")
)

// invalidToken returns an ErrInvalidToken with another message.
func invalidToken(message string) *Error {
	e := *ErrInvalidToken
	e.Message = message
	return &e
}

// invalid returns an ErrArgumentInvalid that names the argument and the reason.
func invalid(argument string, reason error) error {
	e := *ErrArgumentInvalid
	e.Message = argument + ": " + reason.Error()
	return &e
}

// asTold gives the caller of an operation the error of a function of theirs as it is. It is
// deferred before publicError.
func asTold(told, err *error) {
	if *told != nil {
		*err = *told
	}
}

// fault is an error that the caller cannot mend. Its text names only the
// operation, since a driver's text may hold anything. Unwrap gives the cause.
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

// publicError turns the error of a public method into its answer: the engine's own
// errors stay as they are, every other error becomes a fault. Methods defer it.
func publicError(op string, err *error) {
	if *err == nil {
		return // before own is allocated
	}
	var own *Error
	switch {
	case errors.Is(*err, ErrClosed), errors.As(*err, &own):
	case errors.Is(*err, store.ErrReference) && (strings.HasPrefix(op, "delete") || op == "sweep"): // by the host: the engine deletes its own rows in order
		*err = ErrReferenced
	default:
		*err = &fault{op, *err}
	}
}

// isAnswer reports whether an error is one of the engine's own, and no fault.
func isAnswer(err error) bool {
	var own *Error
	return errors.As(err, &own)
}
