package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// page is a page of the documentation.
type page struct {
	name  string
	text  string
	steps []step
}

// step is a block of a page, or a comment with commands.
type step struct {
	kind   kind
	line   int      // the first line of the text
	text   string   // each line with its end
	file   string   // of a write
	needs  []string // programs
	reason string   // of a step that is left out
	want   *string  // the expected output of a script, nil if it is not compared
}

// kind is what happens with a step.
type kind int

const (
	script kind = iota // bash runs it
	write              // it is written to a file
	omit               // it is left out
)

// parser reads a page line by line.
type parser struct {
	page
	lines   []string
	next    int    // the index of the next line
	comment string // the last comment, until a block takes it
	needs   []string
	last    *step // the last step, if it is an sh block
	errs    []error
}

// parse reads a page. The error names every block that has no place.
func parse(name, text string) (page, error) {
	p := &parser{page: page{name: name, text: text}, lines: strings.Split(text, "\n")}
	for p.next < len(p.lines) {
		p.line()
	}
	p.dropComment()
	if p.needs != nil {
		p.fail(p.next, "no block follows the comment <!-- needs -->")
	}
	return p.page, errors.Join(p.errs...)
}

func (p *parser) fail(line int, format string, args ...any) {
	p.errs = append(p.errs, fmt.Errorf("%s:%d: %s", p.name, line, fmt.Sprintf(format, args...)))
}

var (
	fence     = regexp.MustCompile("^( *)(`{3,}|~{3,}) *([^ `]*).*$") // in a list it is indented
	directive = regexp.MustCompile(`^ *<!-- *(file|not run|needs): *(.*?) *-->\s*$`)
	hidden    = regexp.MustCompile(`^ *<!-- *run: *$`)
	misspelt  = regexp.MustCompile(`^ *<!-- *(file|not.?run|needs?|run|sh)\b`)
)

// line reads the next line, and the block or comment that begins with it.
func (p *parser) line() {
	text := p.lines[p.next]
	p.next++
	found := directive.FindStringSubmatch(text)
	switch opened := fence.FindStringSubmatch(text); {
	case opened != nil:
		p.block(opened[1], opened[2], opened[3])
	case found != nil && found[1] == "needs":
		p.needs = append(p.needs, strings.Fields(found[2])...)
	case found != nil:
		p.dropComment()
		p.comment = text
	case hidden.MatchString(text):
		p.dropComment()
		line, body := p.until(func(s string) bool { return strings.TrimSpace(s) == "-->" })
		p.add(step{kind: script, line: line, text: body})
		p.last = nil
	case misspelt.MatchString(text):
		p.fail(p.next, "this comment does not have the form of one for blocks")
	case strings.TrimSpace(text) != "":
		p.dropComment()
	}
}

// dropComment fails if a comment has no block behind it.
func (p *parser) dropComment() {
	if p.comment != "" {
		p.fail(p.next, "no block follows the comment %s", strings.TrimSpace(p.comment))
		p.comment = ""
	}
}

// until returns the lines before one that ends a block, and the number of the first of them.
func (p *parser) until(ends func(string) bool) (line int, text string) {
	begin := p.next
	for ; p.next < len(p.lines); p.next++ {
		if ends(p.lines[p.next]) {
			p.next++
			return begin + 1, join(p.lines[begin : p.next-1])
		}
	}
	p.fail(begin, "this block has no end")
	return begin + 1, join(p.lines[begin:])
}

func join(lines []string) string {
	if len(lines) == 0 {
		return ""
	}
	return strings.Join(lines, "\n") + "\n"
}

// block reads a fenced block, from its second line on. Its lines lose the indentation of the first one.
func (p *parser) block(indent, opening, language string) {
	line, text := p.until(func(s string) bool {
		s = strings.TrimSpace(s)
		return strings.HasPrefix(s, opening) && strings.Trim(s, opening[:1]) == ""
	})
	if indent != "" {
		text = regexp.MustCompile(`(?m)^ {0,`+strconv.Itoa(len(indent))+`}`).ReplaceAllString(text, "")
	}
	comment := directive.FindStringSubmatch(p.comment)
	p.comment = ""
	script1 := p.last
	p.last = nil
	switch {
	case comment != nil && comment[1] == "file":
		if !filepath.IsLocal(comment[2]) {
			p.fail(line-1, "%q is no name of a file in the folder", comment[2])
		}
		p.add(step{kind: write, line: line, text: text, file: comment[2]})
	case comment != nil && comment[2] == "":
		p.fail(line-1, "the comment gives no reason")
	case comment != nil:
		p.add(step{kind: omit, line: line, text: text, reason: comment[2]})
	case language == "sh":
		p.add(step{kind: script, line: line, text: text})
		p.last = &p.steps[len(p.steps)-1]
	case language == "text" && script1 != nil:
		script1.want = &text
	case language == "text":
		p.fail(line-1, "this block is the output of no sh block, and has no comment")
	default:
		p.fail(line-1, "this block of %s is not run: it needs a comment, see go doc ./internal/cmd/docs", language)
	}
}

// add adds a step. The programs of a comment are those of the next script.
func (p *parser) add(s step) {
	if s.kind == script {
		s.needs, p.needs = p.needs, nil
	}
	p.steps = append(p.steps, s)
}

// matches reports whether an output is the expected one.
func matches(want, got string) bool {
	var b strings.Builder
	b.WriteString(`^`)
	for line := range strings.Lines(tidy(want)) {
		line = strings.TrimSuffix(line, "\n")
		if line == "…" {
			b.WriteString(`(?:.*\n)*?`)
			continue
		}
		parts := strings.Split(line, "…")
		for i := range parts {
			parts[i] = regexp.QuoteMeta(parts[i])
		}
		b.WriteString(strings.Join(parts, `.*`) + `\n`)
	}
	return regexp.MustCompile(b.String() + `$`).MatchString(tidy(got))
}

var spaceAtEnd = regexp.MustCompile(`(?m)[ \t\r]+$`)

// tidy drops what editors drop: white space at the end of a line, and empty lines at the end. Every
// line has an end.
func tidy(text string) string {
	text = strings.TrimRight(spaceAtEnd.ReplaceAllString(text, ""), "\n")
	if text == "" {
		return ""
	}
	return text + "\n"
}
