package latchkey

import (
	"example.com/latchkey/internal/record"
	"example.com/latchkey/notify"
)

// noticeChange tells a user, where they were before it, of a change that somebody
// else would make in their place.
func (tx *txn) noticeChange(old, user *record.User) {
	if user.Email != old.Email {
		tx.notice(notify.EmailChanged, notify.Email, old)
	}
	if user.Phone != old.Phone && old.Phone != "" {
		tx.notice(notify.PhoneChanged, notify.SMS, old)
		tx.notice(notify.PhoneChanged, notify.Email, old)
	}
	if user.MFA != old.MFA || user.TOTP != old.TOTP {
		tx.noticeTo(notify.FactorsChanged, old)
	}
	if string(user.Password) != string(old.Password) {
		tx.noticeTo(notify.PasswordChanged, old)
	}
}
