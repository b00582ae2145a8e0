package sqlite

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"example.com/latchkey/store"
	"example.com/latchkey/store/internal/sqltext"
)

// naming has the names of the tables of a store in its file.
type naming struct {
	schema *store.Schema
	prefix string
}

// maxPrefix is the greatest length of a prefix.
const maxPrefix = 40

var plainName = regexp.MustCompile(`^[a-z_][a-z0-9_]*$`)

// namingOf checks the prefix of options.
func namingOf(o Options) (naming, error) {
	if o.Prefix != "" && (!plainName.MatchString(o.Prefix) || len(o.Prefix) > maxPrefix || strings.HasPrefix(o.Prefix, "sqlite_")) {
		return naming{}, fmt.Errorf("sqlite: %w: a prefix is up to %d of a-z, 0-9 and _, and begins neither with a digit nor with sqlite_", store.ErrInvalid, maxPrefix)
	}
	return naming{o.Schema, o.Prefix}, nil
}

// dialect writes the statements for the tables.
func (n naming) dialect() sqltext.Dialect {
	d := dialect
	d.Table = func(name string) string { return n.prefix + name }
	d.Index = d.Table
	d.By = func(index string) string { return " INDEXED BY " + n.prefix + index }
	return d
}

// versionTable holds one row: the name and the version of the schema. Files of former versions
// have both in their header (application_id and user_version), which a host may need for itself.
const versionTable = "latchkey_version"

func (n naming) versionTable() string { return n.prefix + versionTable }

// all returns the names of the tables and indexes, in lower case.
func (n naming) all() map[string]bool {
	all := make(map[string]bool)
	for _, t := range n.schema.Tables() {
		all[n.prefix+t.Name()] = true
		for _, ix := range t.Indexes() {
			all[n.prefix+sqltext.IndexName(ix)] = true
		}
	}
	return all
}

// standing is the state of the tables in a file.
type standing struct {
	version int  // 0 without tables
	header  bool // the version is in the header of the file, and not in the table of the version
}

// versionText is the statement that reads the version.
func (n naming) versionText(header bool) string {
	if header {
		return "PRAGMA user_version"
	}
	return "SELECT version FROM " + n.versionTable()
}

// readStanding reads the state of the tables. It refuses a file that holds something of our
// names that is not ours.
func (n naming) readStanding(c *conn) (s standing, err error) {
	var numbers [2]int
	for i, text := range []string{"PRAGMA application_id", "PRAGMA user_version"} {
		if numbers[i], err = c.number(background, text, nil); err != nil {
			return s, err
		}
	}
	encoding, err := c.text(background, "PRAGMA encoding")
	if err != nil {
		return s, err
	}
	if encoding != "UTF-8" {
		return s, fmt.Errorf("sqlite: %w: the texts of the file are in %s, and not in UTF-8", store.ErrInvalid, encoding)
	}
	marked, clash, err := n.readObjects(c)
	switch application := uint32(numbers[0]); {
	case err != nil:
		return s, err
	case marked:
		return n.readMark(c)
	case n.prefix == "" && application == applicationID(n.schema) && numbers[1] > 0:
		return standing{version: numbers[1], header: true}, newer(numbers[1], n.schema)
	case clash != "":
		return s, fmt.Errorf("sqlite: %w: it has a %s of its own. With Options.Prefix, the tables of this program have other names", store.ErrForeign, clash)
	}
	return s, nil
}

// readObjects looks at all things in a file. marked says that the table of the version is there, and
// clash is the first thing that has another of our names.
func (n naming) readObjects(c *conn) (marked bool, clash string, err error) {
	ours := n.all()
	err = c.texts(background, "SELECT type || ' ' || name FROM sqlite_master ORDER BY rowid", func(text string) {
		kind, name, _ := strings.Cut(text, " ")
		switch lower := strings.ToLower(name); { // SQLite does not tell case apart
		case lower == n.versionTable() && kind == "table":
			marked = true
		case (ours[lower] || lower == n.versionTable()) && clash == "":
			clash = text
		}
	})
	return marked, clash, err
}

// readMark reads the table of the version.
func (n naming) readMark(c *conn) (s standing, err error) {
	name, err := c.text(background, "SELECT name FROM "+n.versionTable())
	if err == nil {
		s.version, err = c.number(background, n.versionText(false), nil)
	}
	switch {
	case errors.Is(err, errNoNumber), err == nil && (name != n.schema.Name() || s.version < 1), err != nil && code(err) == 1: // SQLITE_ERROR: other columns
		return s, fmt.Errorf("sqlite: %w: its table %s is not of this program", store.ErrForeign, n.versionTable())
	case err != nil:
		return s, err
	}
	return s, newer(s.version, n.schema)
}

// mark returns the statements that record a version. Processes of former versions, which may have
// the file open, see it in the header.
func (n naming) mark(s standing) (steps []string) {
	version := n.schema.Version()
	if s.version > 0 && !s.header {
		return []string{fmt.Sprintf("UPDATE %s SET version = %d", n.versionTable(), version)}
	}
	steps = []string{
		"CREATE TABLE " + n.versionTable() + " (name TEXT NOT NULL, version INTEGER NOT NULL)",
		fmt.Sprintf("INSERT INTO %s (name, version) VALUES ('%s', %d)", n.versionTable(), n.schema.Name(), version),
	}
	if s.header {
		steps = append(steps, fmt.Sprintf("PRAGMA user_version = %d", version))
	}
	return steps
}
