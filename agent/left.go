package agent

import (
	"errors"
	"fmt"
	"strings"

	"github.com/dustin/go-humanize"
)

// leftOf is what of one input is spooled and not in the bucket, and why.
type leftOf struct {
	input   string
	chunks  int
	records int64
	bytes   int64  // stored
	unread  int64  // bytes of files that are not spooled either
	why     string // the problem with its fix; "" if none is known
}

// String is one line.
func (l *leftOf) String() string {
	var parts []string
	if l.chunks > 0 {
		parts = append(parts, fmt.Sprintf("%s of %s, %s, not in the bucket",
			plural(int64(l.chunks), "chunk"), plural(l.records, "record"), humanize.IBytes(uint64(l.bytes))))
	}
	if l.unread > 0 {
		parts = append(parts, humanize.IBytes(uint64(l.unread))+" of its files not read")
	}
	text := fmt.Sprintf("input %s: %s", l.input, strings.Join(parts, ", "))
	if l.why != "" {
		text += ": " + l.why
	}
	return text
}

func plural(n int64, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return humanize.Comma(n) + " " + noun + "s"
}

// maxLeft is how many inputs are named; the rest is one entry.
const maxLeft = 20

// left returns a line for each input on what of a session is not in the bucket, in the order of the
// configuration; chunks of inputs that are not configured any more come last.
func (a *Agent) left(s *session) []string {
	var list []leftOf
	at := make(map[string]int)
	of := func(input string) *leftOf {
		i, known := at[input]
		if !known {
			i = len(list)
			at[input] = i
			list = append(list, leftOf{input: input})
		}
		return &list[i]
	}
	for _, t := range s.tailer.Stats() {
		of(t.Name).unread = t.Lag
	}
	for _, c := range s.spool.Chunks() {
		l := of(c.Input)
		l.chunks++
		l.records += c.Records
		l.bytes += c.StoredSize
	}
	problems := a.problems()
	kept := list[:0]
	for _, l := range list {
		if l.chunks == 0 && l.unread == 0 {
			continue
		}
		for i := range problems {
			if p := &problems[i]; l.why == "" && (p.Input == l.input || p.Input == "") {
				l.why = p.Cause + ": " + p.Error
				if p.Hint != "" {
					l.why += "; fix: " + p.Hint
				}
			}
		}
		kept = append(kept, l)
	}
	if len(kept) > maxLeft {
		rest := leftOf{input: fmt.Sprintf("(%d more)", len(kept)-maxLeft)}
		for _, l := range kept[maxLeft:] {
			rest.chunks += l.chunks
			rest.records += l.records
			rest.bytes += l.bytes
			rest.unread += l.unread
		}
		kept = append(kept[:maxLeft], rest)
	}
	lines := make([]string, len(kept))
	for i := range kept {
		lines[i] = kept[i].String()
	}
	return lines
}

// incomplete returns an ErrIncomplete with a line for each input that has something
// left.
func (a *Agent) incomplete(s *session) error {
	errs := []error{ErrIncomplete}
	for _, line := range a.left(s) {
		errs = append(errs, errors.New(line))
	}
	return errors.Join(errs...)
}
