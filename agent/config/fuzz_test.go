package config

import (
	"errors"
	"os"
	"strings"
	"testing"
)

func TestExpand(t *testing.T) {
	vars := env(map[string]string{"A": "1", "E": "", "_x9": "2", "D": "${A}"})
	for _, c := range []struct {
		in, out string
		literal bool
	}{
		{"", "", false},
		{"${A}", "1", false},
		{"a${A}b${_x9}", "a1b2", true},
		{"${E:-}", "", false},
		{"${E:-x}", "x", true},
		{"${NONE:-}", "", false},
		{"${NONE:-a b:-c}", "a b:-c", true},
		{"${A:-x}", "1", false},
		{"$A $ $$ {A}", "$A $ $$ {A}", true},
		{"$${A}", "${A}", true},
		{"$$${A}", "$${A}", true},
		{"${D}", "${A}", false}, // a value is not expanded again
	} {
		out, literal, bad := expand(c.in, vars)
		if out != c.out || literal != c.literal || bad != (complaint{}) {
			t.Errorf("%q: got %q, %v, %v", c.in, out, literal, bad)
		}
	}
	for _, in := range []string{"${", "${}", "${A", "${A-x}", "${9}", "${A:-${B}}", "${ A }", "x${a.b}", "${NONE}", "${A}${NONE}", "${E}", "a${E}"} {
		if out, _, bad := expand(in, vars); bad == (complaint{}) {
			t.Errorf("%q: got %q", in, out)
		}
	}
}

// Any text can be written so that it stays as it is, and no input panics.
func FuzzExpand(f *testing.F) {
	for _, s := range []string{"${A}", "$${", "$$${A:-x}", "${A:-${B}}", "a$", "${\n}", "\x00${E:-}"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		_, _, _ = expand(s, env(map[string]string{"A": "1", "E": ""}))
		out, _, bad := expand(strings.ReplaceAll(s, "${", "$${"), env(nil))
		if out != s || bad != (complaint{}) {
			t.Fatalf("%q became %q, %v", s, out, bad)
		}
	})
}

// No bytes make the loader panic, and each problem names a file and says
// something in one line.
func FuzzLoad(f *testing.F) {
	example, err := os.ReadFile("../../config.example.toml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(example))
	for _, m := range mistakes {
		f.Add(m.text)
	}
	f.Add("input = [{chunk = [], include = [[\"/a\"]]}]\n[s3]\nbucket = 1979-05-27\n")
	f.Add("agent = [{}]\nspool = nan\n'' = 1\n")
	f.Fuzz(func(t *testing.T, text string) {
		l := newLoader("main", env(map[string]string{"A": "1"}))
		s, extra := &source{name: "main", text: text}, &source{name: "extra", text: text}
		if p, ok := s.parse(); !ok {
			checkProblem(t, p)
			return
		}
		_, _ = extra.parse()
		l.decode(s, []*source{extra})
		l.checkAll()
		l.warnReadable(s)
		l.problems.sort("main")
		for _, p := range l.problems {
			checkProblem(t, p)
		}
		var ps Problems
		if !errors.As(error(l.problems), &ps) {
			t.Fatal("problems are lost")
		}
	})
}

func checkProblem(t *testing.T, p Problem) {
	t.Helper()
	if p.File == "" || p.What == "" || p.Line < 0 || strings.ContainsAny(p.String(), "\n\r") {
		t.Fatalf("bad problem %#v", p)
	}
}
