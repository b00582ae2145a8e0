package latchkey

import (
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// Policy is what a host decides about accounts. The zero Policy is the
// documented behaviour.
type Policy struct {
	// SessionLimit is how many sessions a user may have, 1 to 100; 0 means
	// 10. One more ends the oldest.
	SessionLimit int
	// SessionLength is how long a session lives, from a minute to a year of
	// 365 days; 0 means a year. Sessions that exist keep the length they were
	// made with.
	SessionLength time.Duration
	// PasswordMin is the least number of characters (code points in Unicode
	// normal form C) of a new password, 8 to 256; 0 means 8.
	PasswordMin int
	// KeepSessionsOnPasswordChange keeps the other sessions of a user whose
	// password changes. Without it they end.
	KeepSessionsOnPasswordChange bool
}

const (
	year = 365 * 24 * time.Hour

	passwordMin      = 8
	passwordMax      = 256   // code points
	passwordMaxBytes = 1_024 // of any password that is looked at
)

// filled returns the policy with its defaults, or why it cannot be.
func (p Policy) filled() (Policy, error) {
	if p.SessionLimit == 0 {
		p.SessionLimit = 10
	}
	if p.SessionLength == 0 {
		p.SessionLength = year
	}
	if p.PasswordMin == 0 {
		p.PasswordMin = passwordMin
	}
	switch {
	case p.SessionLimit < 1 || p.SessionLimit > 100:
		return p, errors.New("latchkey: Policy.SessionLimit is not 1 to 100")
	case p.SessionLength < time.Minute || p.SessionLength > year:
		return p, errors.New("latchkey: Policy.SessionLength is not a minute to a year")
	case p.PasswordMin < passwordMin || p.PasswordMin > passwordMax:
		return p, errors.New("latchkey: Policy.PasswordMin is not 8 to 256")
	}
	return p, nil
}

// checkPasswordForm counts the characters of Unicode normal form C, which is
// what is hashed. It refuses what cannot be a password, before anything costly
// is done with it.
func checkPasswordForm(password string, least int) error {
	if len(password) > passwordMaxBytes || !utf8.ValidString(password) {
		return invalid("password", fmt.Errorf("not UTF-8 of at most %d bytes", passwordMaxBytes))
	}
	if n := utf8.RuneCountInString(norm.NFC.String(password)); n < least || n > passwordMax {
		return invalid("password", fmt.Errorf("not %d to %d characters", least, passwordMax))
	}
	return nil
}

// checkNewPassword applies every rule for a password that is to be set. No
// error repeats the password.
func (p Policy) checkNewPassword(password string) error {
	return checkPasswordForm(password, p.PasswordMin)
}
