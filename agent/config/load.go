package config

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"
)

// maxFile limits a file, so that a log given by mistake is refused at once.
const maxFile = mib

// loader collects a configuration and everything wrong with it.
type loader struct {
	getenv   func(string) (string, bool)
	cfg      *Config
	written  map[string]any  // values by path as the file has them; nil for secrets
	bad      map[string]bool // paths that have a problem already
	literal  map[string]bool // secrets that stand in the file itself
	problems Problems
	warnings []Warning
}

// source is one file that is valid TOML.
type source struct {
	name string
	mode fs.FileMode
	text string
	tree map[string]any
}

// Load reads the file at path and conf.d/*.toml beside it. getenv is
// os.LookupEnv, or stands for it. The error is Problems, which holds all that
// is wrong; what could be read and the warnings are returned in either case. Load reads the files and the
// name of the host, and looks at nothing else: whether directories and files
// that the configuration names exist is for others to say.
func Load(path string, getenv func(string) (string, bool)) (*Config, []Warning, error) {
	l := newLoader(path, getenv)
	if main, extra := l.readAll(path); len(l.problems) == 0 {
		l.decode(main, extra)
		l.checkAll()
		l.warnReadable(main)
	}
	if len(l.problems) > 0 {
		l.problems.sort(path)
		return l.cfg, l.warnings, l.problems
	}
	return l.cfg, l.warnings, nil
}

func newLoader(path string, getenv func(string) (string, bool)) *loader {
	l := &loader{
		getenv:  getenv,
		cfg:     Default(),
		written: map[string]any{},
		bad:     map[string]bool{},
		literal: map[string]bool{},
	}
	l.cfg.at = map[string]place{"": {file: path}}
	return l
}

// readAll reads and parses every file. Values are looked at only if all of
// them are TOML: what a broken file sets is unknown, and every key would seem
// to be missing.
func (l *loader) readAll(path string) (main *source, extra []*source) {
	main = l.read(path)
	dir := filepath.Join(filepath.Dir(path), "conf.d")
	entries, err := os.ReadDir(dir) // sorted by name
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		l.problems = append(l.problems, unreadable(dir, err))
	}
	for _, e := range entries {
		// A dot begins the temporary files of editors and package managers.
		if filepath.Ext(e.Name()) == ".toml" && !strings.HasPrefix(e.Name(), ".") {
			extra = append(extra, l.read(filepath.Join(dir, e.Name())))
		}
	}
	return main, extra
}

// read reads and parses one file. After an error, which it notes, it returns
// a source that must not be used.
func (l *loader) read(name string) *source {
	s := &source{name: name}
	if err := s.readFile(); err != nil {
		l.problems = append(l.problems, unreadable(name, err))
		return s
	}
	if p, ok := s.parse(); !ok {
		l.problems = append(l.problems, p)
	}
	return s
}

func (s *source) readFile() error {
	f, err := os.Open(s.name)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // only read: an error of Close loses nothing
	info, err := f.Stat()
	if err != nil {
		return err
	}
	data, err := io.ReadAll(io.LimitReader(f, int64(maxFile)+1))
	if err == nil && Size(len(data)) > maxFile {
		err = fmt.Errorf("larger than %v", maxFile)
	}
	s.mode, s.text = info.Mode(), string(data)
	return err
}

func unreadable(name string, err error) Problem {
	cause := err
	for next := errors.Unwrap(cause); next != nil; next = errors.Unwrap(cause) {
		cause = next // the outer ones repeat the name
	}
	hint := "check the path and its permissions"
	if errors.Is(err, fs.ErrNotExist) {
		hint = "name an existing file"
	}
	return Problem{File: name, What: "can't be read: " + cause.Error(), Hint: hint}
}

// parse fills tree. If the text is not TOML, it returns the problem.
func (s *source) parse() (Problem, bool) {
	_, err := toml.Decode(s.text, &s.tree)
	if err == nil {
		return Problem{}, true
	}
	p := Problem{File: s.name, What: "is not valid TOML", Hint: "check the quotes and brackets of this line"}
	var syntax toml.ParseError
	if !errors.As(err, &syntax) {
		return p, false
	}
	p.Line = syntax.Position.Line
	if !mentionsSecret(s.line(p.Line)) && !mentionsSecret(syntax.LastKey) {
		p.What += ": " + strings.TrimSuffix(quotedText.ReplaceAllString(syntax.Message, "this"), ".")
	}
	switch {
	case strings.HasPrefix(syntax.Message, "Key "):
		p.Hint = "remove or rename one of the two"
	case bareVariable.MatchString(s.line(p.Line)):
		p.Hint = `put the variable in quotes, also for a number: "${NAME}"`
	}
	return p, false
}

// quotedText is what the TOML library quotes of a value. It is not repeated:
// the key of a secret may be misspelt, and the line number says enough.
var quotedText = regexp.MustCompile(`"[^"]{2,}"|'[^']*'$`)

// bareVariable is a variable of the environment without quotes.
var bareVariable = regexp.MustCompile(`=\s*\$\{`)

func mentionsSecret(s string) bool {
	return strings.Contains(s, "secret") || strings.Contains(s, "token")
}

// line returns line n of the text, from 1.
func (s *source) line(n int) string {
	lines := strings.Split(s.text, "\n")
	if n < 1 || n > len(lines) {
		return ""
	}
	return lines[n-1]
}

// decode takes the values of all files. Inputs come last, as they inherit.
func (l *loader) decode(s *source, extra []*source) {
	for path, line := range keyLines(s.text, 0) {
		l.cfg.at[path] = place{s.name, line}
	}
	inputs := s.tree["input"]
	delete(s.tree, "input")
	l.table("", s.tree, l.cfg)
	l.inputs(inputs)
	for _, e := range extra {
		l.extra(e, s.name)
	}
}

// extra decodes a file of conf.d. Only the paths of its inputs are its own:
// a problem with anything else in it is noted with this file's lines.
func (l *loader) extra(s *source, mainFile string) {
	lines := keyLines(s.text, len(l.cfg.Inputs))
	for path, line := range lines {
		if path == "input" || strings.HasPrefix(path, "input[") {
			l.cfg.at[path] = place{s.name, line}
		}
	}
	for _, key := range sortedKeys(s.tree) {
		if key == "input" {
			l.inputs(s.tree[key])
			continue
		}
		l.problems = append(l.problems, Problem{
			File: s.name, Line: lines[join("", key)], Key: join("", key),
			What: "does not belong in conf.d, which may hold [[input]] tables only",
			Hint: "move it to " + mainFile,
		})
	}
}

// problem notes that the value at path is wrong. Got is filled in from what
// is written there.
func (l *loader) problem(path string, c complaint) {
	file, line := l.cfg.Where(path)
	l.bad[path] = true
	l.problems = append(l.problems, Problem{
		File: file, Line: line, Key: path, What: c.what, Got: show(path, l.written[path]), Hint: c.hint,
	})
}

// has says that path is written in a file.
func (l *loader) has(path string) bool {
	_, ok := l.cfg.at[path]
	return ok
}

// sort puts the problems into the order of files, the main file first, and
// of their lines.
func (ps Problems) sort(mainFile string) {
	slices.SortStableFunc(ps, func(a, b Problem) int {
		switch {
		case a.File == b.File:
			return cmp.Compare(a.Line, b.Line)
		case a.File == mainFile:
			return -1
		case b.File == mainFile:
			return 1
		}
		return cmp.Compare(a.File, b.File)
	})
}

// warnReadable warns of a secret in a file that everyone on the host may read.
func (l *loader) warnReadable(s *source) {
	const others = 0o004
	for _, path := range sortedKeys(l.literal) {
		if l.literal[path] && s.mode&others != 0 {
			file, line := l.cfg.Where(path)
			l.warnings = append(l.warnings, Warning{
				File: file, Line: line, Key: path,
				What: "is a secret in a file that every user of this host can read",
				Hint: "chmod o-r " + file + ", or take it from the environment",
			})
		}
	}
}
