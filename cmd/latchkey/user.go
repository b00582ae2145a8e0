package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"golang.org/x/term"

	"example.com/latchkey"
	"example.com/latchkey/query"
)

// shownUser is a user in JSON.
type shownUser struct {
	ID             string          `json:"id"`
	CreatedAt      time.Time       `json:"createdAt"`
	UpdatedAt      time.Time       `json:"updatedAt"`
	AccessedAt     time.Time       `json:"accessedAt,omitzero"`
	Name           string          `json:"name,omitempty"`
	Email          string          `json:"email,omitempty"`
	EmailVerified  bool            `json:"emailVerified"`
	Phone          string          `json:"phone,omitempty"`
	PhoneVerified  bool            `json:"phoneVerified"`
	PasswordUpdate time.Time       `json:"passwordUpdate,omitzero"`
	Blocked        bool            `json:"blocked"`
	MFA            bool            `json:"mfa"`
	Labels         []string        `json:"labels,omitempty"`
	Impersonator   bool            `json:"impersonator,omitempty"`
	Prefs          json.RawMessage `json:"prefs,omitempty"`
	Factors        *shownFactors   `json:"factors,omitempty"`
}

// shownFactors are the second factors of a user.
type shownFactors struct {
	TOTP          bool `json:"totp"`
	Email         bool `json:"email"`
	Phone         bool `json:"phone"`
	RecoveryCodes int  `json:"recoveryCodes"`
}

// showUser returns a user without preferences and factors.
func showUser(u *latchkey.User) *shownUser {
	return &shownUser{
		ID: u.ID, CreatedAt: u.CreatedAt, UpdatedAt: u.UpdatedAt, AccessedAt: u.AccessedAt, Name: u.Name,
		Email: u.Email, EmailVerified: u.EmailVerification, Phone: u.Phone, PhoneVerified: u.PhoneVerification,
		PasswordUpdate: u.PasswordUpdate, Blocked: !u.Status, MFA: u.MFA, Labels: u.Labels, Impersonator: u.Impersonator,
	}
}

// named finds a user by the id, the e-mail address or the phone number.
func named(ctx context.Context, users *latchkey.Users, name string) (*latchkey.User, error) {
	switch {
	case strings.Contains(name, "@"):
		return users.GetByEmail(ctx, name)
	case strings.HasPrefix(name, "+"):
		return users.GetByPhone(ctx, name)
	}
	return users.Get(ctx, name)
}

// withUser calls fn with a user that an argument names.
func (t *tool) withUser(ctx context.Context, u use, name string, fn func(*latchkey.Users, *latchkey.User) error) error {
	return t.withEngine(ctx, u, latchkey.Policy{}, func(engine *latchkey.Engine) error {
		users := engine.Users()
		user, err := named(ctx, users, name)
		if err != nil {
			return err
		}
		return fn(users, user)
	})
}

func userFind(fs *flag.FlagSet) action {
	limit := fs.Int("limit", 25, "show at most so `MANY` users, up to 5000")
	return func(ctx context.Context, t *tool, args []string) error {
		if *limit < 1 || *limit > 5000 {
			return usagef("-limit is 1 to 5000")
		}
		return t.withEngine(ctx, look, latchkey.Policy{}, func(engine *latchkey.Engine) error {
			found, more, err := search(ctx, engine.Users(), args[0], *limit)
			if err != nil {
				return err
			}
			return foundUsers.write(t, found, more)
		})
	}
}

// search returns the user who has a text as id, address or number, and then those who have its
// words.
func search(ctx context.Context, users *latchkey.Users, text string, limit int) (found []*latchkey.User, more bool, err error) {
	user, err := named(ctx, users, text)
	switch {
	case err == nil:
		found = append(found, user)
	case !errors.Is(err, latchkey.ErrUserNotFound) && !errors.Is(err, latchkey.ErrArgumentInvalid):
		return nil, false, err
	}
	list, err := users.List(ctx, query.Search(text), query.Limit(limit))
	if err != nil {
		return nil, false, err
	}
	for _, u := range list.Users {
		if user == nil || u.ID != user.ID {
			found = append(found, u)
		}
	}
	more = list.Total > len(list.Users) || len(found) > limit
	return found[:min(len(found), limit)], more, nil
}

// foundUsers are the rows of user find.
var foundUsers = rows[*latchkey.User]{
	none:    "No user was found.",
	heading: []string{"ID", "E-MAIL", "PHONE", "NAME", "STATE"},
	columns: func(u *latchkey.User) []string { return []string{u.ID, u.Email, u.Phone, u.Name, state(u)} },
	object:  func(u *latchkey.User) any { return showUser(u) },
}

// state tells in a word whether a user is blocked.
func state(u *latchkey.User) string {
	if u.Status {
		return "active"
	}
	return "blocked"
}

func userShow(*flag.FlagSet) action {
	return func(ctx context.Context, t *tool, args []string) error {
		return t.withUser(ctx, look, args[0], func(users *latchkey.Users, u *latchkey.User) error {
			factors, err := users.MFAFactors(ctx, u.ID)
			if err != nil {
				return err
			}
			shown := showUser(u)
			shown.Prefs = u.Prefs
			shown.Factors = &shownFactors{factors.TOTP, factors.Email, factors.Phone, factors.RecoveryCodesLeft}
			if t.json {
				writeJSON(t.out, shown)
				return nil
			}
			t.describe(shown)
			return nil
		})
	}
}

// describe writes a user for a person.
func (t *tool) describe(u *shownUser) {
	table := tabwriter.NewWriter(t.out, 0, 0, 2, ' ', 0)
	defer table.Flush()
	line := func(name, value string) {
		if value != "" {
			fmt.Fprintf(table, "%s:\t%s\n", name, plain(value))
		}
	}
	address := func(text string, verified bool) string {
		if text == "" || verified {
			return text
		}
		return text + " (not verified)"
	}
	line("id", u.ID)
	line("name", u.Name)
	line("e-mail", address(u.Email, u.EmailVerified))
	line("phone", address(u.Phone, u.PhoneVerified))
	line("blocked", yesNo(u.Blocked))
	line("labels", strings.Join(u.Labels, ", "))
	line("impersonator", strings.TrimPrefix(yesNo(u.Impersonator), "no"))
	line("created", stamp(u.CreatedAt))
	line("updated", stamp(u.UpdatedAt))
	line("last seen", stamp(u.AccessedAt))
	line("password of", stamp(u.PasswordUpdate))
	line("multi-factor", yesNo(u.MFA))
	if f := u.Factors; f != nil {
		var have []string
		for name, is := range map[string]bool{"authenticator": f.TOTP, "e-mail": f.Email, "phone": f.Phone} {
			if is {
				have = append(have, name)
			}
		}
		slices.Sort(have)
		if f.RecoveryCodes > 0 {
			have = append(have, fmt.Sprintf("%d recovery codes", f.RecoveryCodes))
		}
		line("factors", strings.Join(have, ", "))
	}
	if string(u.Prefs) != "{}" {
		line("preferences", string(u.Prefs))
	}
}

func yesNo(is bool) string {
	if is {
		return "yes"
	}
	return "no"
}

// stamp writes a time, "" for none.
func stamp(at time.Time) string {
	if at.IsZero() {
		return ""
	}
	return at.UTC().Format("2006-01-02 15:04:05 MST")
}

func userAdd(fs *flag.FlagSet) action {
	var n latchkey.NewUser
	fs.StringVar(&n.UserID, "id", "", "the `ID`, a fresh one without it")
	fs.StringVar(&n.Email, "email", "", "the e-mail `ADDRESS`")
	fs.StringVar(&n.Phone, "phone", "", "the phone `NUMBER`: + and the country code first")
	fs.StringVar(&n.Name, "name", "", "the `NAME`")
	file := fs.String("password-file", "", "a `FILE` whose first line is the password, or - for standard input, without echo on a terminal")
	return func(ctx context.Context, t *tool, _ []string) (err error) {
		if n.Email == "" && n.Phone == "" && n.UserID == "" {
			return usagef("a user needs -email, -phone or -id")
		}
		if n.Password, err = t.password(ctx, *file); err != nil {
			return err
		}
		return t.withEngine(ctx, found, latchkey.Policy{}, func(engine *latchkey.Engine) error {
			u, err := engine.Users().Create(ctx, n)
			if err != nil {
				return err
			}
			t.result(showUser(u), "Added user %s.\n", u.ID)
			return nil
		})
	}
}

// password reads the password of a new user: from a file, from standard input for -, or from
// the environment. "" means that the user gets none.
func (t *tool) password(ctx context.Context, file string) (string, error) {
	switch file {
	case "":
		return os.Getenv("LATCHKEY_PASSWORD"), nil
	case "-":
		if isTerminal(t.in) {
			return t.askPassword(ctx)
		}
		return firstLine(t.in)
	}
	f, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer f.Close()
	return firstLine(f)
}

// askPassword asks on the terminal, without echo. It brings the echo back if it is interrupted.
func (t *tool) askPassword(ctx context.Context) (string, error) {
	terminal := int(t.in.(*os.File).Fd())
	before, err := term.GetState(terminal)
	if err != nil {
		return "", err
	}
	fmt.Fprint(t.errs, "Password: ")
	text, err := awaited(ctx, func() ([]byte, error) { return term.ReadPassword(terminal) })
	fmt.Fprintln(t.errs)
	if ctx.Err() != nil {
		return "", errors.Join(ctx.Err(), term.Restore(terminal, before))
	}
	if err == nil && len(text) == 0 {
		err = usagef("the password is empty")
	}
	return string(text), err
}

// firstLine reads a password. An empty one is a mistake.
func firstLine(r io.Reader) (string, error) {
	text, err := bufio.NewReader(r).ReadString('\n')
	if err != nil && err != io.EOF {
		return "", err
	}
	if text = strings.TrimRight(text, "\r\n"); text == "" {
		return "", usagef("the password is empty")
	}
	return text, nil
}

func userBlock(*flag.FlagSet) action   { return setStatus(false, "Blocked") }
func userUnblock(*flag.FlagSet) action { return setStatus(true, "Unblocked") }

// setStatus blocks or unblocks a user.
func setStatus(status bool, done string) action {
	return func(ctx context.Context, t *tool, args []string) error {
		return t.withUser(ctx, change, args[0], func(users *latchkey.Users, u *latchkey.User) error {
			u, err := users.UpdateStatus(ctx, u.ID, status)
			if err != nil {
				return err
			}
			t.result(showUser(u), "%s user %s.\n", done, u.ID)
			return nil
		})
	}
}

// label names a user in a question.
func label(u *latchkey.User) string { return plain(strings.TrimSpace(u.ID + " " + u.Email)) }

func userDelete(*flag.FlagSet) action {
	return func(ctx context.Context, t *tool, args []string) error {
		return t.withUser(ctx, change, args[0], func(users *latchkey.Users, u *latchkey.User) error {
			if err := t.confirm(ctx, "delete user "+label(u)); err != nil {
				return err
			}
			if err := users.Delete(ctx, u.ID); err != nil {
				return err
			}
			t.result(map[string]any{"id": u.ID, "deleted": true}, "Deleted user %s.\n", u.ID)
			return nil
		})
	}
}

// shownSession is a session in JSON.
type shownSession struct {
	ID        string    `json:"id"`
	CreatedAt time.Time `json:"createdAt"`
	Expire    time.Time `json:"expire"`
	Provider  string    `json:"provider"`
	Factors   []string  `json:"factors"`
	IP        string    `json:"ip,omitempty"`
	Device    string    `json:"device"`
	Country   string    `json:"country,omitempty"`
}

// sessionsOf are the rows of user sessions.
var sessionsOf = rows[*latchkey.Session]{
	none:    "The user has no session.",
	heading: []string{"ID", "SINCE", "UNTIL", "BY", "ADDRESS", "DEVICE"},
	columns: func(s *latchkey.Session) []string {
		return []string{s.ID, stamp(s.CreatedAt), stamp(s.Expire), s.Provider, s.IP, s.Device.String()}
	},
	object: func(s *latchkey.Session) any {
		return shownSession{s.ID, s.CreatedAt, s.Expire, s.Provider, s.Factors, s.IP, s.Device.String(), s.Device.CountryCode}
	},
}

func userSessions(*flag.FlagSet) action {
	return func(ctx context.Context, t *tool, args []string) error {
		return t.withUser(ctx, look, args[0], func(users *latchkey.Users, u *latchkey.User) error {
			list, err := users.Sessions(ctx, u.ID, query.Limit(100))
			if err != nil {
				return err
			}
			return sessionsOf.write(t, list.Sessions, false)
		})
	}
}

func userSignOut(*flag.FlagSet) action {
	return func(ctx context.Context, t *tool, args []string) error {
		return t.withUser(ctx, change, args[0], func(users *latchkey.Users, u *latchkey.User) error {
			list, err := users.Sessions(ctx, u.ID)
			if err != nil {
				return err
			}
			what, n := fmt.Sprintf("end all %d sessions of user %s", list.Total, u.ID), list.Total
			if len(args) == 2 {
				what, n = "end the session "+plain(args[1]), 1
			}
			if err := t.confirm(ctx, what); err != nil {
				return err
			}
			if len(args) == 2 {
				err = users.DeleteSession(ctx, u.ID, args[1])
			} else {
				err = users.DeleteSessions(ctx, u.ID)
			}
			if err != nil {
				return err
			}
			t.result(map[string]any{"id": u.ID, "ended": n}, "Ended %d of the sessions of user %s.\n", n, u.ID)
			return nil
		})
	}
}

// factorsReset is the result of user reset-factors: what the user had.
type factorsReset struct {
	ID            string `json:"id"`
	Authenticator bool   `json:"authenticator"`
	MFA           bool   `json:"mfa"`
	RecoveryCodes int    `json:"recoveryCodes"`
}

func userResetFactors(*flag.FlagSet) action {
	return func(ctx context.Context, t *tool, args []string) error {
		return t.withUser(ctx, change, args[0], func(users *latchkey.Users, u *latchkey.User) error {
			if err := t.confirm(ctx, "remove the second factors of user "+label(u)); err != nil {
				return err
			}
			out, err := resetFactors(ctx, users, u)
			if err != nil {
				return err
			}
			t.result(out, "Reset the factors of user %s: authenticator removed: %s, multi-factor switched off: %s, recovery codes replaced: %d.\n",
				out.ID, yesNo(out.Authenticator), yesNo(out.MFA), out.RecoveryCodes)
			return nil
		})
	}
}

// resetFactors takes the second factors from a user. The engine replaces recovery codes and does
// not remove them. The new ones are dropped here, and are void when the server switches
// multi-factor authentication on again.
func resetFactors(ctx context.Context, users *latchkey.Users, u *latchkey.User) (out factorsReset, err error) {
	out = factorsReset{ID: u.ID, MFA: u.MFA}
	factors, err := users.MFAFactors(ctx, u.ID)
	if err != nil {
		return out, err
	}
	switch err := users.DeleteMFAAuthenticator(ctx, u.ID); {
	case err == nil:
		out.Authenticator = true
	case !errors.Is(err, latchkey.ErrAuthenticatorNotFound):
		return out, err
	}
	if u.MFA {
		if _, err := users.UpdateMFA(ctx, u.ID, false); err != nil {
			return out, err
		}
	}
	if out.RecoveryCodes = factors.RecoveryCodesLeft; out.RecoveryCodes > 0 {
		_, err = users.RegenerateMFARecoveryCodes(ctx, u.ID)
	}
	return out, err
}

func userExport(*flag.FlagSet) action {
	return func(ctx context.Context, t *tool, args []string) error {
		to := "-"
		if len(args) == 2 {
			to = args[1]
		}
		return t.withUser(ctx, look, args[0], func(users *latchkey.Users, u *latchkey.User) error {
			return t.write(ctx, to, func(w io.Writer) error {
				err := users.ExportTo(ctx, u.ID, w)
				if err == nil {
					_, err = io.WriteString(w, "\n")
				}
				return err
			})
		})
	}
}
