package latchkey

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"example.com/latchkey/internal/reason"
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
	Type     string   `json:"type"` // as in the list of sentinels, for example user_invalid_credentials
	Category Category `json:"-"`
	// Message is a sentence for a person, in English. About an argument it says what is wrong with
	// it and does not name it: a page shows it beside the field.
	Message string `json:"message"`
	// Argument is the argument that is refused, as the documented API names it, for example
	// password; "" if the error is not about one.
	Argument string `json:"argument"`
	// Reason says why [ErrArgumentInvalid] refuses the argument, for programs: missing, malformed,
	// not_utf8, too_short, too_long, too_many, out_of_range, repeated, unknown (no such value),
	// not_allowed (by the configuration), conflict (with another argument), and about a password
	// too_common, no_uppercase, no_lowercase, no_number and no_symbol. The names stay as they are,
	// and later versions may add some. It is "" for other errors, whose Type says why.
	Reason string `json:"reason"`
}

func (e *Error) Error() string {
	if e.Argument == "" {
		return e.Message + " (" + e.Type + ")"
	}
	return e.Argument + ": " + e.Message + " (" + e.Type + ")"
}

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
	ErrArgumentInvalid       = newError("general_argument_invalid", CategoryInvalid, "An argument is invalid")
	ErrUnauthorized          = newError("general_unauthorized_scope", CategoryUnauthorized, "Not signed in, or the session has ended")
	ErrRateLimitExceeded     = newError("general_rate_limit_exceeded", CategoryThrottled, "Too many attempts; try again later")
	ErrBusy                  = newError("general_busy", CategoryUnavailable, "The server is busy; try again")
	ErrInvalidCredentials    = newError("user_invalid_credentials", CategoryUnauthorized, "The credentials are wrong")
	ErrUserBlocked           = newError("user_blocked", CategoryForbidden, "The user is blocked")
	ErrPasswordResetRequired = newError("user_password_reset_required", CategoryPrecondition, "The password must be reset first")
	// ErrSessionRenewed is the answer to the former secret of a session, for a minute after it has
	// got a new one: another request has brought that to the client. It is no [ErrUnauthorized], so
	// that a host that clears its cookie for those does not clear the new one.
	ErrSessionRenewed            = newError("user_session_renewed", CategoryUnauthorized, "The session has a new secret")
	ErrMoreFactorsRequired       = newError("user_more_factors_required", CategoryUnauthorized, "Another factor is required")
	ErrEmailVerificationRequired = newError("user_email_verification_required", CategoryPrecondition, "The e-mail address must be verified first")
	ErrUserAlreadyExists         = newError("user_already_exists", CategoryConflict, "A user with this id, e-mail address or phone number exists")
	ErrEmailAlreadyExists        = newErrorAbout("email", "user_email_already_exists", CategoryConflict, "The e-mail address belongs to another user")
	ErrPhoneAlreadyExists        = newErrorAbout("phone", "user_phone_already_exists", CategoryConflict, "The phone number belongs to another user")
	ErrTargetAlreadyExists       = newError("user_target_already_exists", CategoryConflict, "The address is a target of another user")
	ErrSignUpClosed              = newError("user_signup_closed", CategoryForbidden, "Signing up is closed")
	ErrSessionAlreadyExists      = newError("user_session_already_exists", CategoryUnauthorized, "A user is signed in already")
	ErrUserCountExceeded         = newError("user_count_exceeded", CategoryInvalid, "The largest number of users is reached")
	ErrPasswordPersonalData      = newErrorAbout("password", "user_password_personal_data", CategoryInvalid, "The password contains personal data")
	ErrPasswordRecentlyUsed      = newErrorAbout("password", "user_password_recently_used", CategoryInvalid, "The password was used recently")
	ErrAuthMethodUnsupported     = newError("user_auth_method_unsupported", CategoryUnimplemented, "This way to sign in is disabled")
	ErrPasskeyRefused            = newError("user_passkey_refused", CategoryUnauthorized, "The passkey was not accepted, or the question to it was answered or has expired; try again")
	ErrInvalidToken              = newError("user_invalid_token", CategoryUnauthorized, "The link or code is wrong, was used, or has expired")
	ErrJWTInvalid                = newError("user_jwt_invalid", CategoryUnauthorized, "The JWT is not valid, or no longer valid")
	ErrJWTCreationDenied         = newError("user_jwt_creation_denied", CategoryForbidden, "A JWT cannot make another JWT")
	ErrEmailAlreadyVerified      = newError("user_email_already_verified", CategoryConflict, "The e-mail address is verified already")
	ErrPhoneAlreadyVerified      = newError("user_phone_already_verified", CategoryConflict, "The phone number is verified already")
	ErrUserUnauthorized          = newError("user_unauthorized", CategoryUnauthorized, "The user may not do this")
	ErrEmailInvalid              = newError("general_invalid_email", CategoryInvalid, "The identifier is not an e-mail address")
	ErrPhoneInvalid              = newError("general_invalid_phone", CategoryInvalid, "The identifier is not a phone number")
	ErrEmailDisposable           = newErrorAbout("email", "user_email_disposable", CategoryInvalid, "Disposable e-mail addresses are not accepted")
	ErrEmailNotCanonical         = newErrorAbout("email", "user_email_not_canonical", CategoryInvalid, "The e-mail address is an alias of another; use that one")
	ErrEmailFree                 = newErrorAbout("email", "user_email_free", CategoryInvalid, "E-mail addresses of free providers are not accepted")
	ErrEmailNotCorporate         = newErrorAbout("email", "user_email_not_corporate", CategoryInvalid, "Only e-mail addresses of companies are accepted")
	ErrSMTPDisabled              = newError("general_smtp_disabled", CategoryUnavailable, "E-mail is not configured")
	ErrPhoneDisabled             = newError("general_phone_disabled", CategoryUnavailable, "SMS is not configured")
	ErrEmailNotFound             = newError("user_email_not_found", CategoryInvalid, "The user has no e-mail address")
	ErrPhoneNotFound             = newError("user_phone_not_found", CategoryInvalid, "The user has no phone number")
	ErrEmailNotVerified          = newError("user_email_not_verified", CategoryInvalid, "The e-mail address is not verified")
	ErrPhoneNotVerified          = newError("user_phone_not_verified", CategoryInvalid, "The phone number is not verified")
	ErrChallengeRequired         = newError("user_challenge_required", CategoryUnauthorized, "A challenge must be answered first")
	ErrFactorDoesNotHelp         = newError("user_factor_no_help", CategoryConflict, "This factor proves nothing new; use another one")
	ErrAuthenticatorNotFound     = newError("user_authenticator_not_found", CategoryNotFound, "The user has no authenticator")

	ErrAuthenticatorAlreadyVerified = newError("user_authenticator_already_verified", CategoryConflict, "The authenticator is confirmed already")
	ErrRecoveryCodesAlreadyExist    = newError("user_recovery_codes_already_exists", CategoryConflict, "The user has recovery codes already")
	ErrRecoveryCodesNotFound        = newError("user_recovery_codes_not_found", CategoryNotFound, "The user has no recovery codes")

	ErrQueryInvalid   = newError("general_query_invalid", CategoryInvalid, "A query is not valid")
	ErrCursorNotFound = newError("general_cursor_not_found", CategoryInvalid, "The row of the cursor does not exist")
	ErrQueryOrderNull = newError("database_query_order_null", CategoryInvalid, "The row of the cursor lacks the attribute of the order")
	ErrQueryTooCostly = newError("general_query_too_costly", CategoryInvalid, "The listing would look at more than 10,000 rows")

	// ErrReferenced is the answer to a deletion that a foreign key of the host's forbids: the
	// host deletes its own rows first, or declares the key with ON DELETE CASCADE or SET NULL.
	ErrReferenced      = newError("general_referenced", CategoryConflict, "Rows of the host's own tables refer to this; delete them first")
	ErrLastFactor      = newError("user_last_factor", CategoryConflict, "The address is the only second factor; add another one, or switch multi-factor authentication off, first")
	ErrTargetNotFound  = newError("user_target_not_found", CategoryNotFound, "The target does not exist")
	ErrUserNotFound    = newError("user_not_found", CategoryNotFound, "The user does not exist")
	ErrSessionNotFound = newError("user_session_not_found", CategoryNotFound, "The session does not exist")

	ErrProviderDisabled      = newError("project_provider_disabled", CategoryPrecondition, "The provider is not configured")
	ErrProviderRefused       = newError("user_oauth2_provider_error", CategoryUnauthorized, "The provider did not sign the user in")
	ErrProviderFailed        = newError("user_oauth2_provider_failure", CategoryUnavailable, "The provider gave no valid answer")
	ErrProviderSubject       = newError("user_missing_id", CategoryInvalid, "The provider names no user")
	ErrIdentityNotFound      = newError("user_identity_not_found", CategoryNotFound, "The identity does not exist")
	ErrIdentityAlreadyExists = newError("user_identity_already_exists", CategoryConflict, "The account at the provider belongs to another user")
	ErrPasskeyNotFound       = newError("user_passkey_not_found", CategoryNotFound, "The passkey does not exist")
	ErrPasskeyAlreadyExists  = newError("user_passkey_already_exists", CategoryConflict, "The passkey is enrolled already")
	ErrPasskeyUnknown        = newError("user_passkey_unknown", CategoryUnauthorized, "The passkey is not known here; it may have been deleted")
	ErrLastWayIn             = newError("user_last_way_in", CategoryConflict, "The user could not sign in any more; set a password or prove an address first")

	ErrDeliveryNotFound = newError("delivery_not_found", CategoryNotFound, "The message or event is not in the outbox")
	ErrDeliveryUnderWay = newError("delivery_under_way", CategoryConflict, "The message or event is being delivered; try again")

	ErrTeamNotFound      = newError("team_not_found", CategoryNotFound, "The team does not exist")
	ErrTeamAlreadyExists = newError("team_already_exists", CategoryConflict, "A team with this id exists")

	ErrMembershipNotFound            = newError("membership_not_found", CategoryNotFound, "The membership does not exist")
	ErrInviteNotFound                = newError("team_invite_not_found", CategoryNotFound, "The membership does not exist")
	ErrTeamInvalidSecret             = newError("team_invalid_secret", CategoryUnauthorized, "The invitation is not valid")
	ErrTeamInviteMismatch            = newError("team_invite_mismatch", CategoryUnauthorized, "The invitation is for another user")
	ErrMembershipMismatch            = newError("team_membership_mismatch", CategoryNotFound, "The membership is of another team")
	ErrMembershipAlreadyConfirmed    = newError("membership_already_confirmed", CategoryConflict, "The user is a member already")
	ErrMembershipDeletionProhibited  = newError("membership_deletion_prohibited", CategoryInvalid, "The last owner cannot leave a team that has other members")
	ErrMembershipDowngradeProhibited = newError("membership_downgrade_prohibited", CategoryInvalid, "A team keeps an owner")
)

// ErrClosed is the answer of an engine after Close.
var ErrClosed = errors.New("latchkey: engine is closed")

// errNoEngine is the answer of a zero Guest or Users.
var errNoEngine = errors.New("latchkey: the handle was not made by an engine")

// ThrottledError is an [ErrRateLimitExceeded] with the time to wait.
type ThrottledError struct {
	RetryAfter time.Duration `json:"-"`
}

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

// errPasskeyLate is an ErrPasskeyRefused for an answer whose question has expired.
var errPasskeyLate = func() *Error {
	e := *ErrPasskeyRefused
	e.Message = "The question to the passkey has expired; try again"
	return &e
}()

// invalidToken returns an ErrInvalidToken with another message.
func invalidToken(message string) *Error {
	e := *ErrInvalidToken
	e.Message = message
	return &e
}

// invalid returns an ErrArgumentInvalid that names the argument and the reason.
func invalid(argument string, why error) error {
	e := *ErrArgumentInvalid
	e.Argument, e.Reason, e.Message = argument, reason.Malformed, sentence(why.Error())
	if r, is := errors.AsType[*reason.Reason](why); is {
		e.Reason = r.Code
	}
	return &e
}

// sentence returns a text with a capital.
func sentence(text string) string { return strings.ToUpper(text[:1]) + text[1:] }

// newError returns an error of the engine.
func newError(kind string, category Category, message string) *Error {
	return &Error{Type: kind, Category: category, Message: message}
}

// newErrorAbout is newError for an error about an argument.
func newErrorAbout(argument, kind string, category Category, message string) *Error {
	e := newError(kind, category, message)
	e.Argument = argument
	return e
}

// isAnswer reports whether an error is one of the engine's own, and no fault.
func isAnswer(err error) bool {
	var own *Error
	return errors.As(err, &own)
}
