package audit

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/spoolship/spoolship/agent/chunk"
	"pgregory.net/rapid"
)

// Whatever text is in a file, and however it is cut into spans, its records
// follow each other; without one of them there is a hole before the next.
func TestFollow(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := chunk.NewEncoder(chunk.EncoderOptions{Format: chunk.Text, MaxLineSize: rapid.IntRange(1, 20).Draw(t, "max line")})
		lines := rapid.SliceOfN(rapid.SliceOfN(rapid.SampledFrom([]byte("ab\r\"\x00\xff\xc3\xa9")), 0, 30), 3, 10).Draw(t, "lines")
		text := append(bytes.Join(lines, []byte{'\n'}), '\n')
		var records []string
		for from := 0; from < len(text); {
			to := from + bytes.IndexByte(text[from:], '\n') + 1
			for to < len(text) && rapid.Bool().Draw(t, "more") {
				to += bytes.IndexByte(text[to:], '\n') + 1
			}
			out, _ := e.Append(nil, &chunk.Lines{File: "/a", From: int64(from), Data: text[from:to]})
			records = append(records, strings.SplitAfter(strings.TrimSuffix(string(out), "\n"), "\n")...)
			from = to
		}
		without := rapid.IntRange(1, len(records)).Draw(t, "without") // len: all are there
		f := offsets{}
		for i, r := range records {
			if i == without {
				continue
			}
			err := f.follow([]byte(r))
			// A carriage return at the end of the line before can stand for one byte.
			if i == without+1 && err == nil && len(records[without]) > 0 && missing(records[without]) > 1 {
				t.Fatalf("%q is missing, and nothing said so", records[without])
			}
			if i != without+1 && err != nil {
				t.Fatalf("%q: %v", r, err)
			}
		}
	})
}

// missing is how many bytes a record stands for, at least.
func missing(record string) int64 {
	f := offsets{}
	if err := f.follow([]byte(record)); err != nil {
		panic(err)
	}
	var from int64
	_, after, _ := strings.Cut(record, `"offset":`)
	fmt.Sscan(after[:strings.IndexAny(after, ",}")], &from)
	return f["/a"].from - from
}
