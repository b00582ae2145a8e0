package transfer

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// table reads a CSV file whose first row names the columns.
type table struct {
	// needed are columns that must be there, each as alternatives with | between them.
	needed  []string
	comma   rune
	columns map[string]int
	width   int
}

// row is a row of a table.
type row struct {
	*table
	fields []string
}

// get returns the value of a column, or "" if the table does not have it.
func (r row) get(column string) string {
	if at, found := r.columns[column]; found {
		return r.fields[at]
	}
	return ""
}

// timeColumn is a column with a time that has a zone.
type timeColumn struct {
	name string
	to   *moment
}

// times reads columns.
func (r row) times(columns []timeColumn) (err error) {
	for _, c := range columns {
		if c.to.Time, err = parseTime(r.get(c.name)); err != nil {
			return anotherColumn(c.name)
		}
	}
	return nil
}

// flagColumn is a column that is true or false.
type flagColumn struct {
	name string
	to   *bool
}

// flags reads columns.
func (r row) flags(columns []flagColumn) (err error) {
	for _, c := range columns {
		if *c.to, err = parseFlag(r.get(c.name)); err != nil {
			return anotherColumn(c.name)
		}
	}
	return nil
}

func anotherColumn(name string) error { return fmt.Errorf("its column %s has another form", name) }

// split reads the header and calls yield with each row, and the line on which it begins, until
// yield returns false. A row that is too long is nil. The error is one of the whole file.
func (t *table) split(in *bufio.Reader, yield func(line int, raw []byte) bool) error {
	rows := &rows{in: in}
	for head := true; ; head = false {
		line, raw, err := rows.next()
		switch {
		case errors.Is(err, io.EOF) && head:
			return notFound(in)
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		case head:
			if err := t.header(raw); err != nil {
				return err
			}
		case !yield(line, raw):
			return nil
		}
	}
}

// header reads the names of the columns. The separator is the one with which the columns that
// are needed are found.
func (t *table) header(raw []byte) (err error) {
	for _, t.comma = range ",;\t:" {
		if err2 := t.headerWith(raw); err2 == nil {
			return nil
		} else if err == nil {
			err = err2
		}
	}
	return err
}

func (t *table) headerWith(raw []byte) error {
	names, ok := fieldsOf(raw, t.comma, false)
	if !ok {
		return fmt.Errorf("%w: its first row is no header", ErrFormat)
	}
	t.columns, t.width = make(map[string]int), len(names)
	for i, name := range names {
		if _, twice := t.columns[name]; twice && name != "" {
			return fmt.Errorf("%w: its header has a column twice", ErrFormat)
		}
		t.columns[name] = i
	}
	for _, needed := range t.needed {
		if !slices.ContainsFunc(strings.Split(needed, "|"), t.has) {
			return fmt.Errorf("%w: its header lacks the column %s", ErrFormat, strings.ReplaceAll(needed, "|", " or "))
		}
	}
	return nil
}

// has reports whether the table has a column.
func (t *table) has(column string) bool {
	_, found := t.columns[column]
	return found
}

// row reads a row.
func (t *table) row(raw []byte) (row, error) {
	fields, ok := fieldsOf(raw, t.comma, false)
	switch {
	case !ok:
		return row{}, errNoRow
	case len(fields) != t.width:
		return row{}, fmt.Errorf("it has %d columns, and the header has %d", len(fields), t.width)
	}
	return row{t, fields}, nil
}

var errNoRow = errors.New("it is not a row of CSV in UTF-8")

// fieldsOf returns the fields of one row. lazy takes quotes where they should not be.
func fieldsOf(raw []byte, comma rune, lazy bool) ([]string, bool) {
	if !isText(raw) {
		return nil, false
	}
	in := csv.NewReader(bytes.NewReader(raw))
	in.Comma, in.LazyQuotes, in.FieldsPerRecord = comma, lazy, -1
	fields, err := in.Read()
	return fields, err == nil && in.InputOffset() == int64(len(raw))
}

// rows cuts a CSV file into rows. A row goes on at the next line while a quote is open.
type rows struct {
	in   *bufio.Reader
	line int // of the last line that was read
}

// next returns the next row that is not empty, and its first line. A row that is too long is nil.
func (r *rows) next() (first int, raw []byte, err error) {
	for open := false; ; {
		part, err := r.in.ReadSlice('\n')
		if raw == nil {
			first = r.line + 1
		}
		open = open != (bytes.Count(part, []byte{'"'})%2 == 1)
		raw = append(raw, part[:min(len(part), MaxRecord+3-len(raw))]...)
		ended := errors.Is(err, io.EOF)
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case err != nil && !ended:
			return 0, nil, err
		case ended && open:
			return 0, nil, ErrTooShort
		}
		r.line++
		if open {
			continue
		}
		size := len(raw)
		switch raw = trimEnd(raw); {
		case len(raw) > MaxRecord || size == MaxRecord+3:
			return first, nil, nil
		case len(raw) > 0:
			return first, raw, nil
		case ended:
			return 0, nil, io.EOF
		}
		raw = nil
	}
}
