package transfer

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// layout says where the records of a JSON file are.
type layout struct {
	member string   // the member of a document that is the list of the records
	before []string // other members with which a document may begin
	array  bool     // a list without a document is taken too
	lines  bool     // one record a line is taken too
}

// split calls yield with each record, and its number or line, until yield returns false. A record
// that is too long is nil. The error is one of the whole file.
func (l layout) split(in *bufio.Reader, yield func(number int, raw []byte) bool) error {
	first, name := opening(in)
	c := &cutter{in: in}
	switch {
	case first == '[' && l.array:
		c.array(yield)
	case first == '{' && (!l.lines || name != "" && (name == l.member || slices.Contains(l.before, name))):
		c.document(l.member, yield)
	case first == '{':
		return lines(in, MaxRecord, yield)
	default:
		return notFound(in)
	}
	c.end()
	return c.fault()
}

// notFound returns the error of a file that does not begin as its format does.
func notFound(in *bufio.Reader) error {
	if _, err := in.Peek(1); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	return fmt.Errorf("%w: it does not begin as one, or is empty", ErrFormat)
}

// opening returns the first byte of a file that is no white space, and the name of the first
// member if it begins an object. It takes nothing.
func opening(in *bufio.Reader) (first byte, name string) {
	head, _ := in.Peek(4 << 10) // an error comes again when the file is read
	head = bytes.TrimLeft(head, " \t\r\n")
	if len(head) == 0 {
		return 0, ""
	}
	d := jsontext.NewDecoder(bytes.NewReader(head))
	if token, err := d.ReadToken(); err != nil || token.Kind() != '{' {
		return head[0], ""
	}
	if token, err := d.ReadToken(); err == nil && token.Kind() == '"' {
		name = token.String()
	}
	return head[0], name
}

// cutter cuts the records out of a JSON document. It holds one record at a time, and does not
// look into it. The first error stays.
type cutter struct {
	in      *bufio.Reader
	buf     []byte
	err     error
	stopped bool
}

// fault returns the error of the whole file.
func (c *cutter) fault() error {
	if c.stopped {
		return nil
	}
	return c.err
}

// fail keeps the first error.
func (c *cutter) fail(err error) {
	if c.err != nil {
		return
	}
	if c.err = err; errors.Is(err, io.EOF) {
		c.err = ErrTooShort
	}
}

var errNoJSON = fmt.Errorf("%w: it is not JSON", ErrFormat)

// next returns the next byte that is no white space, and leaves it.
func (c *cutter) next() byte {
	for c.err == nil {
		b, err := c.in.ReadByte()
		switch {
		case err != nil:
			c.fail(err)
		case strings.IndexByte(" \t\r\n", b) < 0:
			_ = c.in.UnreadByte() // never fails after ReadByte
			return b
		}
	}
	return 0
}

// take takes the next byte that is no white space. It must be one of a set.
func (c *cutter) take(set string) byte {
	b := c.next()
	if c.err != nil {
		return 0
	}
	if strings.IndexByte(set, b) < 0 {
		c.fail(errNoJSON)
		return 0
	}
	_, _ = c.in.Discard(1) // never fails: next has seen it
	return b
}

// end refuses anything after the document.
func (c *cutter) end() {
	if c.err != nil {
		return
	}
	c.next()
	if errors.Is(c.err, ErrTooShort) {
		c.err = nil
	} else {
		c.fail(errNoJSON)
	}
}

// document cuts the list that is a member of a document.
func (c *cutter) document(member string, yield func(int, []byte) bool) {
	c.take("{")
	for seen, more := false, true; more && c.err == nil; {
		var name string
		if err := json.Unmarshal(c.value(MaxRecord), &name); err != nil {
			c.fail(errNoJSON)
		}
		c.take(":")
		switch {
		case name != member:
			c.value(0)
		case seen:
			c.fail(fmt.Errorf("%w: it has the member %s twice", ErrFormat, member))
		default:
			seen = true
			c.array(yield)
		}
		if more = c.take(",}") == ','; !more && !seen {
			c.fail(fmt.Errorf("%w: it has no member %s", ErrFormat, member))
		}
	}
}

// array cuts a list.
func (c *cutter) array(yield func(int, []byte) bool) {
	c.take("[")
	if c.next() == ']' {
		c.take("]")
		return
	}
	for number, more := 1, true; more && c.err == nil; number++ {
		raw := c.value(MaxRecord)
		if c.err == nil && !yield(number, raw) {
			c.stopped = true
			c.fail(io.EOF)
		}
		more = c.take(",]") == ','
	}
}

// value takes the next value. It is nil if it has more bytes than are to be kept, and valid until
// the next call.
func (c *cutter) value(keep int) []byte {
	c.next()
	c.buf = c.buf[:0]
	size := 0
	for p := (place{}); c.err == nil && !p.done; {
		b, err := c.in.ReadByte()
		switch {
		case err != nil:
			c.fail(err)
		case p.isAfter(b):
			_ = c.in.UnreadByte() // never fails after ReadByte
			if size == 0 {
				c.fail(errNoJSON)
			}
			p.done = true
		default:
			p.pass(b)
			if size++; size <= keep {
				c.buf = append(c.buf, b)
			}
		}
	}
	if c.err != nil || size > keep {
		return nil
	}
	return c.buf
}

// place is a place in a JSON value.
type place struct {
	depth                 int
	quoted, escaped, done bool
}

// isAfter reports whether a byte follows the value. It does after a number or a literal.
func (p *place) isAfter(b byte) bool {
	return p.depth == 0 && !p.quoted && strings.IndexByte(",:]} \t\r\n", b) >= 0
}

// pass moves the place behind a byte of the value.
func (p *place) pass(b byte) {
	switch {
	case p.escaped:
		p.escaped = false
	case p.quoted && b == '\\':
		p.escaped = true
	case b == '"':
		p.quoted = !p.quoted
		p.done = p.depth == 0 && !p.quoted
	case p.quoted:
	case b == '{', b == '[':
		p.depth++
	case b == '}', b == ']':
		p.depth--
		p.done = p.depth == 0
	}
}

// decode reads an object: every member comes once. The error holds no value.
func decode(raw []byte, into any, options ...json.Options) error {
	err := json.Unmarshal(raw, into, options...)
	var semantic *json.SemanticError
	switch {
	case err == nil:
		return nil
	case errors.Is(err, json.ErrUnknownName):
		return errors.New("it has a member that this format does not have")
	case errors.Is(err, jsontext.ErrDuplicateName):
		return errors.New("an object in it has a member twice")
	case errors.As(err, &semantic):
		if name := knownName(into, string(semantic.JSONPointer)); name != "" {
			return fmt.Errorf("its member %s has another form", name)
		}
	}
	return errors.New("it is not a JSON object")
}

// knownName returns the first name of a pointer, if it is one of a struct's members; "" if it may
// be a value of the file.
func knownName(into any, pointer string) string {
	name, _, _ := strings.Cut(strings.TrimPrefix(pointer, "/"), "/")
	for _, f := range reflect.VisibleFields(reflect.TypeOf(into).Elem()) {
		if known, _, _ := strings.Cut(f.Tag.Get("json"), ","); known == name {
			return name
		}
	}
	return ""
}
