package transfer

import (
	"io"
	"strings"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/hasher/foreign"
)

// WordPress is the table of users as CSV with a header.
const WordPress Format = "wordpress"

// readWordPress reads the format [WordPress].
func readWordPress(r io.Reader, o Options) Records {
	return csvUsers(r, []string{"ID|source_user_id", "user_email", "user_pass"}, o.wordPressUser)
}

// wordPressUser turns a row of WordPress into a user of here.
func (o Options) wordPressUser(row row) (*latchkey.PortableUser, error) {
	id := "ID"
	if !row.has(id) {
		id = "source_user_id"
	}
	u, err := newUser(WordPress, row.get(id))
	if err != nil {
		return nil, err
	}
	deleted := false
	if err := row.flags([]flagColumn{{"deleted", &deleted}, {"spam", &u.Blocked}}); err != nil {
		return nil, err
	}
	if deleted {
		return nil, errDeleted
	}
	u.Email, u.Name = row.get("user_email"), unguarded(row.get("display_name"))
	if u.CreatedAt, err = wordPressTime(row.get("user_registered")); err != nil {
		return nil, err
	}
	h, err := foreign.WordPress(row.get("user_pass"))
	return u, o.setPassword(u, h, err)
}

// wordPressTime reads a time of WordPress, which is in UTC. One of zeros is the zero time.
func wordPressTime(text string) (t time.Time, err error) {
	if text == "" || text == "0000-00-00 00:00:00" {
		return t, nil
	}
	if t, err = time.Parse(time.DateTime, text); err != nil {
		return t, anotherColumn("user_registered")
	}
	return t, nil
}

// unguarded cuts off the apostrophe that keeps a spreadsheet from computing a value.
func unguarded(text string) string {
	if rest, found := strings.CutPrefix(text, "'"); found && rest != "" && strings.IndexByte("\t\r+-=@", rest[0]) >= 0 {
		return rest
	}
	return text
}
