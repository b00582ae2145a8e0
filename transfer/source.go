package transfer

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"

	"example.com/latchkey"
	"example.com/latchkey/hasher/foreign"
	"example.com/latchkey/internal/canon"
)

// splitter cuts a file into its records. See layout.split.
type splitter func(in *bufio.Reader, yield func(number int, raw []byte) bool) error

// usersIn reads a file in which each record is a user. The errors of user are reasons.
func usersIn(r io.Reader, split splitter, user func(raw []byte) (*latchkey.PortableUser, error)) Records {
	return func(yield func(latchkey.Portable, error) bool) {
		stopped := false
		err := split(buffered(r), func(number int, raw []byte) bool {
			stopped = !yield(portableOf(number, raw, user))
			return !stopped
		})
		if err != nil && !stopped {
			yield(latchkey.Portable{}, err)
		}
	}
}

// portableOf reads one record.
func portableOf(number int, raw []byte, user func(raw []byte) (*latchkey.PortableUser, error)) (latchkey.Portable, error) {
	p := latchkey.Portable{Line: number}
	if raw == nil {
		return p, refuse(number, "%v", errTooLong)
	}
	u, err := user(raw)
	switch {
	case err != nil:
		return p, refuse(number, "%v", err)
	case canon.Name(u.Name) != nil:
		return p, refuse(number, "its name is %v", canon.ErrName)
	}
	u.EmailVerified = u.EmailVerified && u.Email != ""
	u.PhoneVerified = u.PhoneVerified && u.Phone != ""
	if u.Password.IsZero() {
		u.PasswordUpdate = time.Time{}
	}
	p.User = u
	return p, nil
}

// jsonUsers reads a JSON file in which each record is a T.
func jsonUsers[T any](r io.Reader, l layout, user func(*T) (*latchkey.PortableUser, error)) Records {
	return usersIn(r, l.split, func(raw []byte) (*latchkey.PortableUser, error) {
		var record T
		if err := decode(raw, &record); err != nil {
			return nil, err
		}
		return user(&record)
	})
}

// csvUsers reads a CSV file with a header.
func csvUsers(r io.Reader, needed []string, user func(row) (*latchkey.PortableUser, error)) Records {
	t := &table{needed: needed}
	return usersIn(r, t.split, func(raw []byte) (*latchkey.PortableUser, error) {
		row, err := t.row(raw)
		if err != nil {
			return nil, err
		}
		return user(row)
	})
}

// either reads a file with one of two readers: asJSON if it begins as JSON.
func either(r io.Reader, asJSON, asCSV func(io.Reader) Records) Records {
	return func(yield func(latchkey.Portable, error) bool) {
		in := buffered(r)
		if first, _ := opening(in); first == '{' || first == '[' {
			asJSON(in)(yield)
		} else {
			asCSV(in)(yield)
		}
	}
}

var errTooLong = tooLong(MaxRecord)

func tooLong(most int) error { return fmt.Errorf("it is longer than %d bytes", most) }

func anotherForm(name string) error { return fmt.Errorf("its member %s has another form", name) }

// isText reports whether a text is UTF-8 without NUL.
func isText(raw []byte) bool { return utf8.Valid(raw) && bytes.IndexByte(raw, 0) < 0 }

// namespace is that of the UUIDs of UserID.
var namespace = uuid.MustParse("3f0a1d52-6c0e-4d6b-9a57-1f2d3b8c7e41")

// UserID returns the id that a user of another system has here, for the rows of a host that hold
// the former id. An id stays as it is if it has the form of one here: a-z, A-Z, 0-9, period,
// hyphen and underscore, at most 36 characters, the first a letter or digit. Of an id of Auth0
// that begins with auth0|, the rest stays if it has that form. Any other id becomes the UUID of
// version 5 of its text in the namespace 3f0a1d52-6c0e-4d6b-9a57-1f2d3b8c7e41, so that it is the
// same in each run.
func UserID(f Format, id string) string {
	plain := id
	if f == Auth0 || f == Auth0Passwords {
		plain = strings.TrimPrefix(id, auth0Database)
	}
	if canon.ID(plain) == nil {
		return plain
	}
	return uuid.NewSHA1(namespace, []byte(id)).String()
}

var errNoID = errors.New("it has no id")

// newUser returns a user with the id that UserID gives.
func newUser(f Format, id string) (*latchkey.PortableUser, error) {
	if id == "" {
		return nil, errNoID
	}
	return &latchkey.PortableUser{ID: UserID(f, id)}, nil
}

// setPassword gives a user the hash that a source has, or the reason why it is refused. With
// Options.WithoutPassword the user comes without it.
func (o Options) setPassword(u *latchkey.PortableUser, h foreign.Hash, err error) error {
	switch {
	case err == nil:
		u.Password = h.Text()
	case !o.WithoutPassword:
		return fmt.Errorf("its password: %w", err)
	}
	return nil
}

// setPrefs gives a user the preferences of a source: an object, or nothing.
func setPrefs(u *latchkey.PortableUser, member string, prefs jsontext.Value) error {
	switch prefs.Kind() {
	case 0, 'n':
		return nil
	case '{':
		if compact := prefs.Clone(); compact.Compact() == nil {
			if string(compact) != "{}" {
				u.Prefs = []byte(compact)
			}
			return nil
		}
	}
	return anotherForm(member)
}

// moment is a time as a text.
type moment struct{ time.Time }

// UnmarshalJSON reads a text, or null.
func (m *moment) UnmarshalJSON(raw []byte) (err error) {
	var text string
	if err := json.Unmarshal(raw, &text); err != nil {
		return err
	}
	m.Time, err = parseTime(text)
	return err
}

// timeForms are RFC 3339, and the same with a space for its T and with a zone of hours alone, as
// PostgreSQL and PocketBase write it.
var timeForms = []string{time.RFC3339, "2006-01-02 15:04:05Z07:00", "2006-01-02 15:04:05Z07"}

// parseTime reads a time with a zone. "" is the zero time.
func parseTime(text string) (t time.Time, err error) {
	if text == "" {
		return t, nil
	}
	for _, form := range timeForms {
		if t, err = time.Parse(form, text); err == nil {
			return t.UTC(), nil
		}
	}
	return time.Time{}, errors.New("no time")
}

// millis is a time as a number of milliseconds since 1970, or as a text of its digits. 0 is the
// zero time.
type millis struct{ time.Time }

// UnmarshalJSON reads a number, a text, or null.
func (m *millis) UnmarshalJSON(raw []byte) (err error) {
	text := string(raw)
	if jsontext.Value(raw).Kind() == '"' {
		if err := json.Unmarshal(raw, &text); err != nil {
			return err
		}
	} else if text == "null" {
		text = ""
	}
	m.Time, err = parseMillis(text)
	return err
}

// parseMillis reads a number of milliseconds since 1970. "" and 0 are the zero time.
func parseMillis(text string) (t time.Time, err error) {
	if text == "" || text == "0" {
		return t, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 || n > 1<<52 {
		return t, errors.New("no time")
	}
	return time.UnixMilli(n).UTC(), nil
}

// flag is true or false, also as 1 or 0.
type flag bool

// UnmarshalJSON reads a literal, a number, or null.
func (f *flag) UnmarshalJSON(raw []byte) error {
	text := string(raw)
	if text == "null" {
		text = ""
	}
	value, err := parseFlag(text)
	if jsontext.Value(raw).Kind() == '"' {
		err = errors.New("no flag")
	}
	*f = flag(value)
	return err
}

// parseFlag reads true, t or 1, and false, f, 0 or "".
func parseFlag(text string) (bool, error) {
	switch text {
	case "true", "t", "1":
		return true, nil
	case "false", "f", "0", "":
		return false, nil
	}
	return false, errors.New("no flag")
}

// plain is a text, also as a whole number.
type plain string

// UnmarshalJSON reads a text, a number, or null.
func (p *plain) UnmarshalJSON(raw []byte) error {
	text := string(raw)
	switch kind := jsontext.Value(raw).Kind(); {
	case kind == '"':
		if err := json.Unmarshal(raw, &text); err != nil {
			return err
		}
	case kind == 'n':
		text = ""
	case kind != '0' || strings.Trim(text, "0123456789") != "":
		return errors.New("no text")
	}
	*p = plain(text)
	return nil
}
