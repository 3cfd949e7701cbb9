package config

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/BurntSushi/toml"
)

// scanner finds the line of every key, because the TOML library tells lines
// only with its own errors. It reads text that the library has accepted, so it
// checks nothing; on any other text it is merely wrong, and always ends.
type scanner struct {
	text   string // what is left
	line   int
	lines  map[string]int // by path: "s3.bucket", "input[0].include[1]"
	counts map[string]int // elements seen of each list and array of tables
}

// keyLines returns the line of every key of text by its path. Inputs are
// counted from first.
func keyLines(text string, first int) map[string]int {
	s := &scanner{
		text:   strings.TrimPrefix(text, "\ufeff"),
		line:   1,
		lines:  map[string]int{},
		counts: map[string]int{"input": first},
	}
	table := ""
	for s.blank(); s.text != ""; s.blank() {
		switch {
		case s.take("[["):
			table = s.header(true)
		case s.take("["):
			table = s.header(false)
		default:
			s.assignment(table)
		}
	}
	return s.lines
}

// header reads the rest of a [table] or [[table]] line and returns its path.
// A name that is an array of tables stands for its newest element.
func (s *scanner) header(array bool) string {
	path, parts := "", s.key()
	for i, part := range parts {
		path = extend(path, join(path, part))
		if array && i == len(parts)-1 {
			s.mark(path)
			s.counts[path]++
		}
		if n := s.counts[path]; s.lines[path] > 0 && n > 0 {
			path = extend(path, fmt.Sprintf("%s[%d]", path, n-1))
		}
		s.mark(path)
	}
	s.skip(strings.IndexAny(s.text, "#\n"))
	return path
}

// assignment reads "key = value" under the table's path.
func (s *scanner) assignment(table string) {
	path := table
	for _, part := range s.key() {
		path = extend(path, join(path, part))
		s.mark(path)
	}
	if s.space(); !s.take("=") {
		s.skip(strings.IndexByte(s.text, '\n')) // not TOML
		return
	}
	s.space()
	s.value(path)
}

// value skips a value and marks the keys and elements inside it.
func (s *scanner) value(path string) {
	switch {
	case s.take("["):
		for s.element("]") {
			element := extend(path, fmt.Sprintf("%s[%d]", path, s.counts[path]))
			s.counts[path]++
			s.mark(element)
			s.value(element)
		}
	case s.take("{"):
		for s.element("}") {
			s.assignment(path)
		}
	case s.text != "" && strings.ContainsRune(`"'`, rune(s.text[0])):
		s.quoted()
	default:
		s.skip(strings.IndexAny(s.text, ",]}#\n"))
	}
}

// element goes to the next element of a list or inline table. It is false
// after the end, and where nothing was read since the last call.
func (s *scanner) element(end string) bool {
	s.blank()
	if s.take(",") {
		s.blank()
	}
	return s.text != "" && !s.take(end) && !strings.ContainsRune(",]}=", rune(s.text[0]))
}

// key reads a dotted key.
func (s *scanner) key() (parts []string) {
	for {
		s.space()
		if s.text != "" && strings.ContainsRune(`"'`, rune(s.text[0])) {
			parts = append(parts, unquote(s.quoted()))
		} else {
			bare := strings.IndexFunc(s.text, func(r rune) bool { return !isBare(r) })
			parts = append(parts, s.skip(bare))
		}
		if s.space(); !s.take(".") {
			return parts
		}
	}
}

// quoted skips a string of any of the four kinds and returns it with quotes.
func (s *scanner) quoted() string {
	quote := s.text[:1]
	if three := strings.Repeat(quote, 3); strings.HasPrefix(s.text, three) {
		quote = three
	}
	i := len(quote)
	for i < len(s.text) && !strings.HasPrefix(s.text[i:], quote) {
		if s.text[i] == '\\' && quote[0] == '"' {
			i++ // the escaped byte ends nothing
		}
		i++
	}
	i += len(quote)
	// Up to two quotes may stand before the closing three of a long string.
	for n := 0; n < 2 && len(quote) == 3 && i < len(s.text) && s.text[i] == quote[0]; n++ {
		i++
	}
	return s.skip(min(i, len(s.text)))
}

// blank skips white space, newlines and comments.
func (s *scanner) blank() {
	for {
		s.skip(len(s.text) - len(strings.TrimLeft(s.text, " \t\r\n")))
		if !strings.HasPrefix(s.text, "#") {
			return
		}
		s.skip(strings.IndexByte(s.text, '\n'))
	}
}

func (s *scanner) space() { s.skip(len(s.text) - len(strings.TrimLeft(s.text, " \t"))) }

func (s *scanner) take(token string) bool {
	if strings.HasPrefix(s.text, token) {
		s.skip(len(token))
		return true
	}
	return false
}

// skip moves n bytes on, or to the end if n is negative: what strings.Index
// says when there is no more to find.
func (s *scanner) skip(n int) string {
	if n < 0 {
		n = len(s.text)
	}
	skipped := s.text[:n]
	s.line += strings.Count(skipped, "\n")
	s.text = s.text[n:]
	return skipped
}

// mark notes where path is written first.
func (s *scanner) mark(path string) {
	if s.lines[path] == 0 {
		s.lines[path] = s.line
	}
}

// longestPath keeps absurd nesting from making paths that cost more than the
// text: what lies below a longer one counts as part of it.
const longestPath = 200

// extend returns the path below parent, or parent if that is too long already.
func extend(parent, path string) string {
	if len(parent) > longestPath {
		return parent
	}
	return path
}

// join appends a key to a path, in quotes if it could be taken for a path.
func join(path, key string) string {
	if key == "" || strings.ContainsFunc(key, func(r rune) bool { return !isBare(r) }) {
		key = strconv.Quote(key)
	}
	if path == "" {
		return key
	}
	return path + "." + key
}

// isBare is true for the letters of TOML's bare keys.
func isBare(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_' || r == '-'
}

// unquote returns the key that a quoted one stands for.
func unquote(text string) string {
	var v struct{ K string }
	if _, err := toml.Decode("K = "+text, &v); err != nil {
		return text // not TOML
	}
	return v.K
}
