//go:build unix

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/spoolship/spoolship/agent"
	"github.com/spoolship/spoolship/agent/audit"
	"github.com/spoolship/spoolship/agent/config"
	"github.com/spoolship/spoolship/spool"
	"github.com/spoolship/spoolship/tailer"
)

// evil is a value that forges a line, drives a terminal and hides text.
const evil = "a\n<0>kernel: fake\r\x1b[2J\u009b31m\u202egol\u200b\u2028\u3164\xff\tz"

// printsSafely checks that text has only visible characters and line breaks, and
// no line that evil has begun.
func printsSafely(t *testing.T, text string) {
	t.Helper()
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if strings.ContainsFunc(line, func(r rune) bool {
			return !unicode.IsPrint(r) || r == '\u3164'
		}) || strings.HasPrefix(line, "<") {
			t.Errorf("unsafe line %q", line)
		}
	}
	if !strings.Contains(text, "kernel: fake") {
		t.Errorf("the value is not shown at all: %q", text)
	}
}

func TestOutputIsPrintable(t *testing.T) {
	st := agent.Status{
		Version: "dev", Host: evil, Bucket: evil, Queue: evil, State: agent.StateDegraded,
		Problems: []agent.Problem{{Cause: "upload", Error: evil, Hint: evil}}, NeedsRestart: []string{evil},
		Inputs:  []agent.InputStatus{{Name: evil, Paused: time.Now(), LostBytes: 1, Errors: []tailer.FileError{{Path: evil, Problem: evil, Hint: evil}}}},
		Losses:  []agent.FileLoss{{Input: evil, Path: evil, Records: 1}},
		Uploads: agent.UploadStats{LastKey: evil, LastTime: time.Now()},
	}
	report := &audit.Report{
		Damage: []audit.Damage{{Key: evil, Reason: evil}}, Foreign: []audit.Foreign{{Key: evil, Reason: evil}}, ForeignKeys: 1,
		Streams: []audit.Stream{{
			Input: evil, Queue: evil, Hosts: []string{evil}, Gaps: []audit.Gap{{First: 1, Last: 2, After: evil, Before: evil}},
			Duplicates: []audit.Duplicate{{Chunk: 3, Keys: []string{evil}}}, Tombstones: []audit.Tombstone{{Chunk: 4, Cause: evil, Key: evil}},
		}},
	}
	src := &source{bucket: "b", prefix: evil}
	for name, show := range map[string]func(w *bytes.Buffer){
		"status":      func(w *bytes.Buffer) { _ = printStatus(w, &st, time.Now()) },
		"status line": func(w *bytes.Buffer) { sent(w, statusLine(&st)) },
		"audit":       func(w *bytes.Buffer) { _ = printAudit(w, src, report, false) },
		"reload":      func(w *bytes.Buffer) { printChange(w, &agent.Change{Changed: []string{evil}}) },
		"repair": func(w *bytes.Buffer) {
			_ = printReport(w, &spool.Report{Head: evil, Damage: errors.New(evil), State: errors.New(evil)})
		},
		"an error": func(w *bytes.Buffer) {
			printError(w, fmt.Errorf("open %s: %w", evil, errors.New(evil)), evil)
		},
		"joined errors":      func(w *bytes.Buffer) { printError(w, errors.Join(errors.New(evil), errors.New("two")), "") },
		"the agent's answer": func(w *bytes.Buffer) { printError(w, errorOfLines(evil), "") },
		"problems": func(w *bytes.Buffer) {
			printError(w, config.Problems{{File: evil, Line: 3, Key: evil, What: evil, Hint: evil}}, "")
		},
		"the start of a line": func(w *bytes.Buffer) { printf(w, "%s\n", "<0>kernel: fake") },
		"quoted":              func(w *bytes.Buffer) { printf(w, "%q %10v\n", []string{evil}, evil) },
	} {
		t.Run(name, func(t *testing.T) {
			var b bytes.Buffer
			show(&b)
			printsSafely(t, b.String())
		})
	}
}

// sent is the text that the service manager gets.
func sent(w *bytes.Buffer, text string) {
	n := &notifier{log: slog.New(slog.DiscardHandler)}
	n.status(text)
	w.WriteString(n.last)
}

func TestLogIsPrintable(t *testing.T) {
	var b bytes.Buffer
	log := newLog(&b, slog.LevelDebug)
	log.Warn(evil, "path", evil, "error", errors.New(evil))
	log.Info("many", "paths", []string{evil})
	log.Info("long", "path", strings.Repeat("x", 1<<20))
	printsSafely(t, b.String())
	if b.Len() > 32<<10 {
		t.Errorf("%d bytes", b.Len())
	}
}

func TestErrorLines(t *testing.T) {
	problems := config.Problems{{File: "f", Line: 1, What: "one"}, {File: "f", Line: 2, What: "two"}}
	for _, c := range []struct {
		err  error
		want []string
	}{
		{errors.New("a\nb"), []string{"a\nb"}},
		{errors.Join(errors.New("a\nb"), errors.New("c")), []string{"a\nb", "c"}},
		{errors.Join(errors.New("a"), errors.Join(errors.New("b"), errors.New("c"))), []string{"a", "b", "c"}},
		{fmt.Errorf("x: %w and %w", errors.New("a"), errors.New("b")), []string{"x: a and b"}},
		{&exitError{err: errors.Join(errors.New("a"), errors.New("b"))}, []string{"a", "b"}},
		{problems, []string{"f:1: one", "f:2: two"}},
		{fmt.Errorf("outer: %w", problems), []string{"outer: f:1: one\nf:2: two"}},
	} {
		if got := errorLines(c.err); !slices.Equal(got, c.want) {
			t.Errorf("%q: %q, want %q", c.err, got, c.want)
		}
	}
}

func TestJSONIsPrintable(t *testing.T) {
	var b bytes.Buffer
	if err := printJSON(&b, agent.Status{Host: strings.ToValidUTF8(evil, "?")}); err != nil {
		t.Fatal(err)
	}
	printsSafely(t, b.String())
	var st agent.Status
	if err := json.Unmarshal(b.Bytes(), &st); err != nil || st.Host != strings.ToValidUTF8(evil, "?") {
		t.Errorf("%v: %q", err, st.Host)
	}
}

func TestCatOnATerminal(t *testing.T) {
	record := `{"message":"` + "\x1b[2J\u009b\u202ex" + `"}` + "\n"
	all := regexp.MustCompile("")
	for _, s := range []selection{{grep: all, printable: true}, {grep: regexp.MustCompile("message"), printable: true}} {
		var b bytes.Buffer
		if err := s.filter(&b, strings.NewReader(record)); err != nil {
			t.Fatal(err)
		}
		if want := `{"message":"\u001b[2J\u009b\u202ex"}` + "\n"; b.String() != want {
			t.Errorf("%q, want %q", b.String(), want)
		}
	}
	var b bytes.Buffer
	if err := (&selection{grep: all}).filter(&b, strings.NewReader(record)); err != nil || b.String() != record {
		t.Errorf("%v: %q", err, b.String())
	}
}

// Everything is printed by printf, whose arguments are made safe.
func TestNothingPrintsByItself(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	mayPrint := []string{"print.go", "log.go", "generate.go", "main_other.go", "failpoint_on.go"}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") || slices.Contains(mayPrint, name) {
			continue
		}
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		fset := token.NewFileSet()
		f, err := parser.ParseFile(fset, name, text, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			if sel, ok := call.Fun.(*ast.SelectorExpr); ok && strings.HasPrefix(sel.Sel.Name, "Fprint") || ok && sel.Sel.Name == "NewEncoder" {
				t.Errorf("%s prints by %s: use printf or printJSON", fset.Position(call.Pos()), sel.Sel.Name)
			}
			return true
		})
	}
}
