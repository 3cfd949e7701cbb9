//go:build unix

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"

	"github.com/spoolship/spoolship/agent/config"
	"github.com/spoolship/spoolship/agent/printable"
)

// printf is fmt.Fprintf for everything that a command prints: its arguments pass
// through printable, so that no file name, key or answer of a store breaks a line
// or reaches the terminal as anything but text. A value at the start of a line
// can't set the line's priority in the journal, as "<0>" would.
func printf(w io.Writer, format string, args ...any) {
	safe := make([]any, len(args))
	for i, a := range args {
		safe[i] = safeArg{a}
	}
	text := fmt.Sprintf(format, safe...)
	if strings.HasPrefix(format, "%") && strings.HasPrefix(text, "<") {
		text = `\x3c` + text[1:]
	}
	_, _ = io.WriteString(w, text)
}

// safeArg formats as the value in it does, as one printable line.
type safeArg struct{ v any }

// Format implements fmt.Formatter.
func (a safeArg) Format(f fmt.State, verb rune) {
	_, _ = io.WriteString(f, printable.Text(fmt.Sprintf(fmt.FormatString(f, verb), a.v)))
}

// printJSON prints v as JSON for programs and terminals alike.
func printJSON(w io.Writer, v any) error {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(v); err != nil {
		return err
	}
	_, err := w.Write(printable.JSON(nil, b.Bytes()))
	return err
}

// printError prints err, a line for each of the errors that are joined in it, and
// the hint, if there is one.
func printError(w io.Writer, err error, hint string) {
	for _, line := range errorLines(err) {
		printf(w, "spoolship: error: %s\n", line)
	}
	if hint != "" {
		printf(w, "spoolship: hint: %s\n", hint)
	}
}

// errorLines returns the lines of err. A line break in a part of it is not one.
func errorLines(err error) (lines []string) {
	var problems config.Problems
	if errors.As(err, &problems) && err.Error() == problems.Error() {
		for _, p := range problems {
			lines = append(lines, p.String())
		}
		return lines
	}
	var own *exitError
	if errors.As(err, &own) && err.Error() == own.Error() {
		err = own.err
	}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range joined.Unwrap() {
			lines = append(lines, errorLines(e)...)
		}
		if err.Error() == strings.Join(lines, "\n") { // of errors.Join: fmt.Errorf has the parts in a sentence
			return lines
		}
	}
	return []string{err.Error()}
}

// printableAttr is the ReplaceAttr of the log, whose text handler quotes values.
func printableAttr(_ []string, a slog.Attr) slog.Attr {
	switch v := a.Value.Resolve(); v.Kind() {
	case slog.KindString:
		a.Value = slog.StringValue(printable.Quotable(v.String()))
	case slog.KindAny:
		a.Value = slog.StringValue(printable.Quotable(fmt.Sprintf("%+v", v.Any())))
	}
	return a
}
