package sqltext

import "strings"

// Begins returns the first words of each statement of a text, in capitals, and up to four of
// each. A statement that does not begin with a word has no words.
func Begins(text string, syntax Syntax) (all [][]string) {
	s := scanner{text: text, Syntax: syntax}
	for {
		words, more := s.statement()
		all = append(all, words)
		if !more {
			return all
		}
	}
}

// Syntax says in which points the text of a database differs from that of another one.
type Syntax int

// The databases.
const (
	SQLite Syntax = iota
	PostgreSQL
)

// scanner reads a text.
type scanner struct {
	text string // that is left
	Syntax
}

// statement reads up to the next semicolon. more says that there was one.
func (s *scanner) statement() (words []string, more bool) {
	leading := true
	for s.text != "" {
		switch c := s.text[0]; {
		case c == ';':
			s.text = s.text[1:]
			return words, true
		case strings.HasPrefix(s.text, "--"):
			s.skipLine()
		case strings.HasPrefix(s.text, "/*"):
			s.skipComment()
		case isSpace(c):
			s.text = s.text[1:]
		case strings.HasPrefix(s.text, "\uFEFF"): // SQLite takes it for a space
			s.text = s.text[len("\uFEFF"):]
		case isLetter(c):
			word := s.word()
			if leading && len(words) < 4 {
				words = append(words, strings.ToUpper(word))
			}
			if strings.EqualFold(word, "E") && s.Syntax == PostgreSQL && strings.HasPrefix(s.text, "'") {
				s.skipEscaped()
			}
		default:
			leading = false
			s.skipOther(c)
		}
	}
	return words, false
}

// word takes a word.
func (s *scanner) word() string {
	n := 1
	for n < len(s.text) && (isLetter(s.text[n]) || isDigit(s.text[n]) || s.text[n] == '$') {
		n++
	}
	word := s.text[:n]
	s.text = s.text[n:]
	return word
}

func (s *scanner) skipLine() {
	ends := "\n"
	if s.Syntax == PostgreSQL {
		ends = "\n\r"
	}
	if i := strings.IndexAny(s.text, ends); i >= 0 {
		s.text = s.text[i:]
		return
	}
	s.text = ""
}

// skipComment skips a comment. Those of PostgreSQL nest.
func (s *scanner) skipComment() {
	s.text = s.text[2:]
	for depth := 1; depth > 0 && s.text != ""; {
		switch {
		case strings.HasPrefix(s.text, "*/"):
			depth--
			s.text = s.text[2:]
		case s.Syntax == PostgreSQL && strings.HasPrefix(s.text, "/*"):
			depth++
			s.text = s.text[2:]
		default:
			s.text = s.text[1:]
		}
	}
}

// skipOther skips a string, a quoted name or a sign.
func (s *scanner) skipOther(c byte) {
	quote := ""
	switch {
	case c == '\'', c == '"', c == '`' && s.Syntax == SQLite:
		quote = string(c)
	case c == '[' && s.Syntax == SQLite:
		quote = "]"
	case c == '$' && s.Syntax == PostgreSQL:
		quote = dollarQuote(s.text)
	}
	s.text = s.text[max(1, len(quote)):]
	if quote != "" {
		_, s.text, _ = strings.Cut(s.text, quote) // a doubled quote begins a string again
	}
}

// skipEscaped skips a string in which a backslash escapes.
func (s *scanner) skipEscaped() {
	n := 1
	for n < len(s.text) && s.text[n] != '\'' {
		if s.text[n] == '\\' {
			n++
		}
		n++
	}
	s.text = s.text[min(n+1, len(s.text)):]
}

// dollarQuote returns the mark of a string such as $tag$ at the beginning of a text, or "".
func dollarQuote(text string) string {
	n := 1
	for n < len(text) && (isLetter(text[n]) || n > 1 && isDigit(text[n])) {
		n++
	}
	if n < len(text) && text[n] == '$' {
		return text[:n+1]
	}
	return ""
}

func isSpace(c byte) bool  { return strings.IndexByte(" \t\n\v\f\r", c) >= 0 }
func isDigit(c byte) bool  { return '0' <= c && c <= '9' }
func isLetter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' || c == '_' || c >= 0x80 }
