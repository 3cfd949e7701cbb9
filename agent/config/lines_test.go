package config

import (
	"fmt"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"
)

func TestKeyLines(t *testing.T) {
	text := `top = 1 # = [x]
"quoted # key" = '''
[not.a.table]
x = 1 ''''
a.b.c = """
\"""
y = 2"""""
[ s3 ] # [no]
list = [ # comment ]
  "a]", 'b#',
  { in = 1, "x y".z = [2,
     3] }, [ [4] ],
]
date = 1979-05-27 07:32:00 # x
[[input]]
name = "one"
[input.chunk]
level = 1
[[input]]
chunk.level = 2
[[input.deep]]
k = 1
[[input.deep]]
k = 2
[input.deep.er]
k = 3
`
	got := keyLines("\ufeff"+strings.ReplaceAll(text, "\n", "\r\n"), 5)
	for path, line := range map[string]int{
		"top": 1, `"quoted # key"`: 2, "a": 5, "a.b.c": 5, "s3": 8, "s3.list": 9, "s3.list[0]": 10, "s3.list[1]": 10,
		"s3.list[2]": 11, "s3.list[2].in": 11, `s3.list[2]."x y".z`: 11, `s3.list[2]."x y".z[1]`: 12,
		"s3.list[3]": 12, "s3.list[3][0][0]": 12, "s3.date": 14, "input": 15, "input[5]": 15, "input[5].name": 16,
		"input[5].chunk": 17, "input[5].chunk.level": 18, "input[6]": 19, "input[6].chunk.level": 20,
		"input[6].deep": 21, "input[6].deep[0].k": 22, "input[6].deep[1].k": 24, "input[6].deep[1].er.k": 26,
	} {
		if got[path] != line {
			t.Errorf("%s: line %d, want %d", path, got[path], line)
		}
	}
	if _, wrong := got["not"]; wrong {
		t.Errorf("a key inside a string was taken for one: %v", got)
	}
}

// Whatever the TOML library accepts, every key of it has a line.
func FuzzKeyLines(f *testing.F) {
	f.Add(minimal)
	f.Add("a = [{b = 1, 'c.d' = \"\"\"x\"\"\"}]\r\n[[t]]\nx.y = 1\n[t.u]\n\"\\u0041\" = [[],[1]]\n")
	f.Add("input = [{a = 1}, {a = 2}]\n")
	f.Add("\ufeffa = '''''''\nb = \"\"\"\\\"\"\"\"\"\n")
	f.Add("0 = [{'' = \"\"}]\n[[0]]\n") // no TOML, but the library takes it
	f.Add("a = {\n b = 1, # c\n}\n[")
	f.Fuzz(func(t *testing.T, text string) {
		lines := keyLines(text, 2)
		var tree map[string]any
		if _, err := toml.Decode(text, &tree); err != nil || strings.HasPrefix(text, "\xff\xfe") || strings.HasPrefix(text, "\xfe\xff") {
			return
		}
		last := strings.Count(text, "\n") + 1
		walk("", tree, func(path string) {
			if n := lines[path]; n < 1 || n > last {
				t.Fatalf("%s is in line %d of %d of %q: %v", path, n, last, text, lines)
			}
		})
	})
}

// walk calls f with the path of everything in a decoded tree, the elements of
// the list "input" counted from 2.
func walk(path string, v any, f func(path string)) {
	if path != "" {
		f(path)
	}
	if len(path) > longestPath {
		return
	}
	first := 0
	if path == "input" {
		first = 2
	}
	switch v := v.(type) {
	case map[string]any:
		for key, e := range v {
			walk(join(path, key), e, f)
		}
	case []map[string]any:
		for i, e := range v {
			walk(fmt.Sprintf("%s[%d]", path, i+first), e, f)
		}
	case []any:
		for i, e := range v {
			walk(fmt.Sprintf("%s[%d]", path, i+first), e, f)
		}
	}
}

// The paths of absurd nesting stay small against the text.
func TestDeepNesting(t *testing.T) {
	const depth = 100_000
	for _, text := range []string{
		"a = " + strings.Repeat("[", depth) + strings.Repeat("]", depth),
		"a = " + strings.Repeat("{a = ", depth) + "1" + strings.Repeat("}", depth),
		strings.Repeat("a.", depth) + "a = 1\n",
		"[" + strings.Repeat("a.", depth) + "a]\n",
	} {
		total := 0
		for path := range keyLines(text, 0) {
			total += len(path)
		}
		if total > len(text) {
			t.Errorf("paths of %d bytes from %d bytes %.20s…", total, len(text), text)
		}
	}
}
