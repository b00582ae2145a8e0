package transfer

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/go-json-experiment/json"

	"example.com/latchkey"
)

// readLines reads the format [Latchkey].
func readLines(r io.Reader, _ Options) Records {
	return func(yield func(latchkey.Portable, error) bool) {
		var have counts
		state := kindHead
		whole := error(nil)
		err := lines(buffered(r), MaxLine, func(number int, line []byte) bool {
			var kind string
			if line != nil {
				kind = kindOf(line)
			}
			switch {
			case state == kindHead:
				whole = readHead(line)
				state = kindUser
				return whole == nil
			case state == kindEnd:
				whole = fmt.Errorf("%w: a line follows the end", ErrFormat)
				return false
			case kind == kindEnd:
				var end endLine
				if err := decode(line, &end, strict); err != nil || !have.match(end) {
					whole = fmt.Errorf("%w: the end counts other records", ErrFormat)
				}
				state = kindEnd
				return whole == nil
			}
			p, err := readRecord(number, kind, line)
			have.count(kind)
			return yield(p, err) || stop(&state)
		})
		switch {
		case state == "stopped":
		case err != nil:
			yield(latchkey.Portable{}, err)
		case whole != nil:
			yield(latchkey.Portable{}, whole)
		case state == kindHead:
			yield(latchkey.Portable{}, fmt.Errorf("%w: it is empty", ErrFormat))
		case state != kindEnd:
			yield(latchkey.Portable{}, ErrTooShort)
		}
	}
}

// stop notes that the caller has read enough.
func stop(state *string) bool {
	*state = "stopped"
	return false
}

// counts are the lines that a reader has seen. The kind of a line that is no JSON, or too long, is
// not known.
type counts struct {
	endLine
	unknown int
}

// count counts a line of a kind.
func (c *counts) count(kind string) {
	switch kind {
	case kindUser:
		c.Users++
	case kindTeam:
		c.Teams++
	case kindMembership:
		c.Memberships++
	default:
		c.unknown++
	}
}

// match reports whether the end of a file can count these lines.
func (c *counts) match(end endLine) bool {
	users, teams, memberships := end.Users-c.Users, end.Teams-c.Teams, end.Memberships-c.Memberships
	return min(users, teams, memberships) >= 0 && users+teams+memberships == c.unknown
}

// readHead checks the first line.
func readHead(line []byte) error {
	var head headLine
	if kindOf(line) != kindHead || json.Unmarshal(line, &head) != nil { // a newer head may have more members
		return fmt.Errorf("%w: the first line is no head", ErrFormat)
	}
	switch {
	case head.Version > version:
		return ErrVersion
	case head.Version != version:
		return fmt.Errorf("%w: the version is not known", ErrFormat)
	}
	return nil
}

// readRecord reads a line of a kind.
func readRecord(number int, kind string, line []byte) (p latchkey.Portable, err error) {
	p.Line = number
	switch kind {
	case kindUser:
		var l userLine
		if err = decode(line, &l, strict); err == nil {
			p.User = l.user()
		}
	case kindTeam:
		var l teamLine
		if err = decode(line, &l, strict); err == nil {
			p.Team = &latchkey.PortableTeam{ID: l.ID, Name: l.Name, Prefs: []byte(l.Prefs), CreatedAt: l.CreatedAt, UpdatedAt: l.UpdatedAt}
		}
	case kindMembership:
		var l membershipLine
		if err = decode(line, &l, strict); err == nil {
			p.Membership = &latchkey.PortableMembership{
				ID: l.ID, TeamID: l.TeamID, UserID: l.UserID, Roles: l.Roles, CreatedAt: l.CreatedAt, UpdatedAt: l.UpdatedAt, Invited: l.Invited, Joined: l.Joined,
			}
		}
	default:
		err = errors.New("it is no record of a known kind")
		if line == nil {
			err = tooLong(MaxLine)
		}
	}
	if err != nil {
		return p, refuse(number, "%v", err)
	}
	return p, nil
}

// kindOf returns the kind of a line; "" if it has none.
func kindOf(line []byte) string {
	if rest, found := bytes.CutPrefix(line, []byte(`{"kind":"`)); found { // as Writer writes it
		if end := bytes.IndexAny(rest, `"\\`); end >= 0 && rest[end] == '"' {
			return string(rest[:end])
		}
	}
	var l struct {
		Kind string `json:"kind"`
	}
	_ = json.Unmarshal(line, &l)
	return l.Kind
}
