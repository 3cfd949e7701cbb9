package agent

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spoolship/spoolship/agent/config"
)

func streamWork(dir string) (*config.Config, func(*Agent) bool) {
	c := siteConfig(dir)
	c.Chunk.Compression, c.Inputs[0].Chunk.Compression = "none", "none"
	c.Inputs[0].Framing = "json"
	c.Agent.ReadRate = 256 << 10 // several batches
	return c, func(*Agent) bool { return true }
}

// prettyObjects returns objects of several lines, and their records.
func prettyObjects(t *testing.T, from, n int) (text string, records []string) {
	t.Helper()
	var b strings.Builder
	for i := from; i < from+n; i++ {
		o := map[string]any{"n": i, "id": json.Number("18446744073709551615"), "list": []any{map[string]any{"text": "a {\n} b"}, nil}}
		pretty, err := json.MarshalIndent(o, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		line, err := json.Marshal(o)
		if err != nil {
			t.Fatal(err)
		}
		b.Write(pretty)
		b.WriteString([]string{"\n", "", "\r\n\n"}[i%3])
		records = append(records, string(line))
	}
	return b.String(), records
}

// Case: the process is killed where records become durable, while its file ends
// within an object that is completed before the next start.
func TestObjectsSurviveKills(t *testing.T) {
	for _, step := range []string{"append.commit", "append.committed", "put.after", "ack.committed"} {
		t.Run(step, func(t *testing.T) {
			t.Parallel()
			dir := childDirFor(t, "stream")
			s := &site{dir: dir}
			text, records := prettyObjects(t, 0, 4000)
			const lives = 5
			for life := range lives {
				size := len(text) / lives // ends within an object
				s.append(t, "a.log", text[life*size:(life+1)*size])
				if life < 3 && !crash(t, dir, fmt.Sprintf("%s:%d", step, life)) && life == 0 {
					t.Fatal("never came to this step")
				}
			}
			s.append(t, "a.log", text[lives*(len(text)/lives):])
			crash(t, dir, "never:0")
			dest := &dirSink{dir: filepath.Join(dir, "bucket")}
			if n := accounted(t, dest.read(t), records); n > 0 {
				t.Errorf("%d tombstones", n)
			}
		})
	}
}

// Case: an object is whole without a newline; a torn one waits for its rest, and
// after a rotation it is kept as what it is.
func TestTornObjects(t *testing.T) {
	s := newSite(t)
	s.cfg.Inputs[0].Framing = "json"
	s.cfg.Agent.CloseInactive, s.cfg.Agent.PollInterval = config.Duration(300*time.Millisecond), config.Duration(50*time.Millisecond)
	s.cfg.Inputs[0].MultilineWait = config.Duration(100 * time.Millisecond)
	dest := newMemSink()
	stop := start(t, s.agent(t, Options{Sink: dest}))
	s.append(t, "a.log", "{\n \"a\": 1\n}")
	eventually(t, "an object without newline is there", func() bool { return len(dest.lines(t)) == 1 })
	s.append(t, "a.log", "\n{\n \"b\": \"x")
	s.append(t, "b.log", "{}\n")
	eventually(t, "another file goes on", func() bool { return len(dest.lines(t)) == 2 })
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	stop = start(t, s.agent(t, Options{Sink: dest}))
	s.append(t, "a.log", "y\"\n}\n{\n \"torn\":\n")
	eventually(t, "the torn object is whole", func() bool { return len(dest.lines(t)) == 3 })
	if err := os.Rename(s.path("a.log"), s.path("a.log.1")); err != nil {
		t.Fatal(err)
	}
	s.append(t, "a.log", "{\"c\":3}\n")
	eventually(t, "the end of the rotated file is there", func() bool { return len(dest.lines(t)) == 5 })
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	sameLines(t, dest.lines(t), []string{`{"a":1}`, `{}`, `{"b":"xy"}`, `{"c":3}`, `{"raw":"{\n \"torn\":","error":"unexpected end at byte 10"}`})
}
