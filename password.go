package latchkey

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"

	"example.com/latchkey/hasher"
	"example.com/latchkey/hasher/foreign"
	"example.com/latchkey/internal/dictionary"
	"example.com/latchkey/internal/reason"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/internal/seal"
	"example.com/latchkey/store"
)

const (
	passwordMaxTyped = 4_096 // of a password as it was typed: devices compose differently
	fragmentMin      = 4     // code points of personal data that is looked for
)

// checkPasswordForm counts the characters of Unicode normal form C, the form that
// is hashed. It refuses a text that cannot be a password before any costly work.
func checkPasswordForm(password string, least int) error {
	if !utf8.ValidString(password) {
		return invalid("password", reason.New(reason.NotUTF8, "it is not UTF-8"))
	}
	if len(password) <= passwordMaxTyped {
		password = norm.NFC.String(password)
	}
	switch n := utf8.RuneCountInString(password); {
	case n < least:
		return invalid("password", reason.New(reason.TooShort, "it has fewer than %d characters", least))
	case n > passwordMax:
		return invalid("password", reason.New(reason.TooLong, "it has more than %d characters", passwordMax))
	}
	return nil
}

// checkStrength applies those rules for new passwords that need only the password.
// No error repeats the password.
func (p *Policy) checkStrength(password string) error {
	if err := checkPasswordForm(password, p.Password.Min); err != nil {
		return err
	}
	password = norm.NFC.String(password)
	for _, rule := range []struct {
		on   bool
		code string
		name string
		meet func(r rune) bool
	}{
		{p.Password.Uppercase, reason.NoUppercase, "an upper-case letter", func(r rune) bool { return 'A' <= r && r <= 'Z' }},
		{p.Password.Lowercase, reason.NoLowercase, "a lower-case letter", func(r rune) bool { return 'a' <= r && r <= 'z' }},
		{p.Password.Number, reason.NoNumber, "a digit", func(r rune) bool { return '0' <= r && r <= '9' }},
		{p.Password.Symbols, reason.NoSymbol, "a symbol", func(r rune) bool {
			return !unicode.IsLetter(r) && !unicode.IsMark(r) && !unicode.IsDigit(r) && !unicode.IsSpace(r)
		}},
	} {
		if rule.on && !strings.ContainsFunc(password, rule.meet) {
			return invalid("password", reason.New(rule.code, "it must contain %s", rule.name))
		}
	}
	if p.Password.Dictionary && dictionary.Contains(password) {
		return invalid("password", reason.New(reason.TooCommon, "it is one of the most common passwords"))
	}
	return nil
}

// checkPersonal refuses a password that contains personal data of its user, in any
// case.
func (p *Policy) checkPersonal(password string, user *record.User) error {
	if !p.Password.PersonalData {
		return nil
	}
	local, _, _ := strings.Cut(user.Email, "@")
	password = foldedText(password)
	for _, fragment := range []string{user.ID, user.Email, local, user.Name, user.Phone, strings.TrimPrefix(user.Phone, "+")} {
		fragment = foldedText(fragment)
		if utf8.RuneCountInString(fragment) >= fragmentMin && strings.Contains(password, fragment) {
			return ErrPasswordPersonalData
		}
	}
	return nil
}

// foldedText returns a text in the form in which case and composition do not
// matter.
func foldedText(s string) string { return norm.NFC.String(cases.Fold().String(norm.NFC.String(s))) }

// passwordHash is a password that a user may have, with its stored columns. The
// zero passwordHash is no password.
type passwordHash struct {
	text          string
	hash, history []byte
}

// hashNew applies every rule for new passwords and hashes the password. user is the
// user as they will be. Together with set it is the one way to a password.
func (c *call) hashNew(ctx context.Context, user *record.User, password string) (n passwordHash, err error) {
	if err := c.policy.checkStrength(password); err != nil {
		return n, err
	}
	if err := c.policy.checkPersonal(password, user); err != nil {
		return n, err
	}
	n.text = password
	// Every former password is compared, and the new one hashed, before the answer:
	// the time must not tell which former password was guessed.
	hashes := c.hashes(ctx)
	history, err := c.history(ctx, user)
	if err != nil {
		return n, err
	}
	used := false
	for _, hash := range history {
		same, err := verifyHash(ctx, hashes, hash, password)
		if err != nil {
			return n, hasherError(err)
		}
		used = used || same
	}
	hash, err := hashes.Hash(ctx, password)
	if err != nil {
		return n, hasherError(err)
	}
	if used {
		return n, ErrPasswordRecentlyUsed
	}
	n.hash = c.ring.Seal(seal.PasswordHash, seal.PasswordPlace(user.ID), []byte(hash))
	n.history = c.sealHistory(user, append(history, hash))
	return n, nil
}

// hashes returns the hasher for the client's site, or for its network: they take turns in its
// queue.
func (c *call) hashes(ctx context.Context) hasher.Group {
	group := c.hasher.For(cmp.Or(c.client.site(), c.client.network()))
	if c.observer == nil {
		return group
	}
	return group.Timed(func(t hasher.Timing) {
		c.observe(ctx, Observation{What: ObservedHash, Outcome: outcomeOf(hasherError(t.Err)), Count: 1, Took: t.Took, Waited: t.Waited})
	})
}

// verifyHash compares a password with a stored hash: one of package hasher, or one of package
// foreign that a user has come with. An empty one costs as much as a new hash.
func verifyHash(ctx context.Context, g hasher.Group, hash, password string) (bool, error) {
	if hash == "" || hasher.Own(hash) {
		return g.Verify(ctx, hash, password)
	}
	h, err := foreign.Parse(hash)
	if err != nil {
		return false, err
	}
	return foreign.Verify(ctx, g, h, password)
}

// noPassword removes the password of a user, and remembers it in the history.
func (e *Engine) noPassword(ctx context.Context, user *record.User) (n passwordHash, err error) {
	history, err := e.history(ctx, user)
	if err == nil {
		n.history = e.sealHistory(user, history)
	}
	return n, err
}

// history returns the hashes of the passwords that may not be set, the oldest
// first, including the present one. A damaged history is empty. One that needs a key
// which the engine lacks is a fault: the rule could not be applied, and the history would
// be overwritten.
func (e *Engine) history(ctx context.Context, user *record.User) (hashes []string, err error) {
	keep := e.policy.Password.History
	if keep == 0 {
		return nil, nil
	}
	former, err := e.openHash(ctx, sealedHistory, user.ID, seal.HistoryPlace(user.ID), user.PasswordHistory)
	if err != nil {
		return nil, err
	}
	if former != "" {
		_ = json.Unmarshal([]byte(former), &hashes)
	}
	present, err := e.openHash(ctx, sealedPassword, user.ID, seal.PasswordPlace(user.ID), user.Password)
	if err != nil {
		return nil, err
	}
	if present != "" && !slices.Contains(hashes, present) {
		hashes = append(hashes, present)
	}
	return hashes[max(0, len(hashes)-keep):], nil
}

// openHash opens a column, "" for an empty and for a damaged one. One that needs a key
// which the engine lacks is an error.
func (e *Engine) openHash(ctx context.Context, value sealed, userID string, place seal.Place, column []byte) (string, error) {
	if len(column) == 0 {
		return "", nil
	}
	text, err := e.ring.Open(seal.PasswordHash, place, column)
	if err != nil {
		err = e.sealFault(ctx, value, userID, err)
	}
	if errors.Is(err, seal.ErrDamaged) {
		err = nil
	}
	return string(text), err
}

// sealHistory returns the last hashes in their stored form. Without the rule the
// history stays as it is.
func (e *Engine) sealHistory(user *record.User, hashes []string) []byte {
	keep := e.policy.Password.History
	if keep == 0 || len(hashes) == 0 {
		return user.PasswordHistory
	}
	text, err := json.Marshal(hashes[max(0, len(hashes)-keep):])
	if err != nil {
		panic(err) // never: it holds only texts
	}
	return e.ring.Seal(seal.PasswordHash, seal.HistoryPlace(user.ID), text)
}

// set gives a user a password, or removes it with the zero passwordHash. The
// personal data may have changed since the password was hashed, so it is checked
// again.
func (n passwordHash) set(p *Policy, user *record.User, now time.Time) error {
	if n.hash != nil {
		if err := p.checkPersonal(n.text, user); err != nil {
			return err
		}
	}
	user.Password, user.PasswordHistory, user.PasswordUpdated, user.MustReset = n.hash, n.history, now, false
	user.Recovered = false
	return nil
}

// hasherError turns an error of the hasher into the engine's.
func hasherError(err error) error {
	if errors.Is(err, hasher.ErrBusy) {
		return ErrBusy
	}
	return err
}

// checkPassword is check for a password. A text that cannot be one, by its length or because it is not
// UTF-8, is a wrong password. It is no guess, so it is not counted.
func (g *guard) checkPassword(ctx context.Context, r store.Reader, password string) error {
	if err := g.check(ctx, r); err != nil {
		return err
	}
	if checkPasswordForm(password, 1) != nil {
		return ErrInvalidCredentials
	}
	return nil
}

// verifyPassword compares a password with that of a user. It costs one hash,
// whether the user exists and has a password or not. outdated says that a right
// password should be hashed anew.
func (c *call) verifyPassword(ctx context.Context, user *record.User, password string) (right, outdated bool, err error) {
	var hash []byte
	hashes := c.hashes(ctx)
	if user != nil && user.Password != nil {
		hash, err = c.ring.Open(seal.PasswordHash, seal.PasswordPlace(user.ID), user.Password)
		if err != nil { // after the time of a hash, as for other users
			if _, busy := hashes.Verify(ctx, "", password); busy != nil {
				return false, false, hasherError(busy)
			}
			return false, false, c.sealFault(ctx, sealedPassword, user.ID, err)
		}
	}
	right, err = compare(ctx, func() (bool, error) { return verifyHash(ctx, hashes, string(hash), password) })
	return right, right && c.hasher.Outdated(string(hash)), hasherError(err)
}

// upgraded returns a user's password with the present parameters, in the history
// too. It returns the zero one while the hasher is busy; a later sign-in tries
// again.
func (c *call) upgraded(ctx context.Context, user *record.User, password string) (n passwordHash, err error) {
	hash, err := c.hashes(ctx).Hash(ctx, password)
	if errors.Is(err, hasher.ErrBusy) {
		return n, nil
	}
	if err != nil {
		return n, err
	}
	old, err := c.ring.Open(seal.PasswordHash, seal.PasswordPlace(user.ID), user.Password)
	if err != nil {
		return n, c.sealFault(ctx, sealedPassword, user.ID, err)
	}
	history, err := c.history(ctx, user)
	if err != nil {
		return n, err
	}
	for i := range history {
		if history[i] == string(old) {
			history[i] = hash
		}
	}
	n.hash = c.ring.Seal(seal.PasswordHash, seal.PasswordPlace(user.ID), []byte(hash))
	n.history = c.sealHistory(user, history)
	return n, nil
}

// errChanged says that the rows on which a decision was based have changed before
// the transaction that would carry it out.
var errChanged = errors.New("latchkey: the user has changed meanwhile")

// retryChanged tries again, up to three times, when the user has changed while a
// password was hashed.
func retryChanged[T any](try func() (T, error)) (T, error) {
	for range 3 {
		result, err := try()
		if !errors.Is(err, errChanged) {
			return result, err
		}
	}
	var zero T
	return zero, ErrBusy // the user changes faster than a password is hashed
}

// unchanged returns the present row of a user, or errChanged if it is not the one
// for which a password was checked. It ignores columns that a session alone can
// change: otherwise one session could keep the others busy.
func unchanged(ctx context.Context, r store.Reader, read *record.User) (*record.User, error) {
	user, err := findUser(ctx, r, read.ID)
	if err != nil {
		return nil, err
	}
	if user == nil || user.Key != read.Key || user.Email != read.Email || user.Blocked != read.Blocked ||
		!bytes.Equal(user.Password, read.Password) {
		return nil, errChanged
	}
	return user, nil
}
