package agent

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spoolship/spoolship/agent/config"
)

// lateKey is the part of every key that makes it safe.
const lateKey = "{queue}-{chunk}-{records}-{id}"

// partsConfig has partitions by hour and field, three of them open at once.
func partsConfig(c *config.Config) {
	c.Chunk.Compression, c.Chunk.MaxSize, c.Chunk.MaxOpen = "none", 2<<10, 3
	c.Spool.SegmentSize = 64 << 10
	c.Inputs[0].Key, c.Inputs[0].TimeField = "{file}/{date}T{hour}/{field:k}/"+lateKey, "t"
	c.Inputs[0].Chunk = c.Chunk
}

func partsWork(dir string) (*config.Config, func(*Agent) bool) {
	c := siteConfig(dir)
	partsConfig(c)
	c.Agent.ReadRate = 256 << 10 // several batches
	return c, func(*Agent) bool { return true }
}

// partsLine is line i of a file, and the folder of its key.
func partsLine(file string, i int) (line, dir string) {
	at := time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC).Add(time.Duration(i) * time.Minute)
	k := i % 5 / 2
	return fmt.Sprintf(`{"file":%q,"n":%d,"t":%q,"k":"v/%d"}`, file, i, at.Format(time.RFC3339), k),
		fmt.Sprintf("%s/%s/v%%2F%d", file, at.Format("2006-01-02T15"), k)
}

// writeParts writes files and returns their lines, and where each belongs.
func writeParts(t *testing.T, dir string) (lines []string, where map[string]string) {
	t.Helper()
	where = make(map[string]string)
	for _, file := range []string{"a.log", "b.log"} {
		var text strings.Builder
		for i := range 600 {
			line, folder := partsLine(file, i)
			lines, where[line] = append(lines, line), folder
			text.WriteString(line + "\n")
		}
		if err := os.WriteFile(filepath.Join(dir, "log", file), []byte(text.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return lines, where
}

// checkParts checks that every line is under its key, and that lines of one
// file and partition are in order.
func checkParts(t *testing.T, objects []stored, where map[string]string) {
	t.Helper()
	slices.SortFunc(objects, func(a, b stored) int { return strings.Compare(a.key, b.key) }) // by number within a partition
	last := make(map[string]int)
	for _, o := range objects {
		dir := o.key[:strings.LastIndexByte(o.key, '/')]
		for _, l := range o.lines {
			if where[l] != dir {
				t.Fatalf("%s: %s belongs under %s", o.key, l, where[l])
			}
			var n int
			_, number, _ := strings.Cut(l, `"n":`)
			if _, err := fmt.Sscan(strings.TrimRight(number, "}"), &n); err != nil {
				t.Fatal(err)
			}
			if before, ok := last[dir]; ok && n <= before {
				t.Fatalf("%s: line %d after %d", o.key, n, before)
			}
			last[dir] = n
		}
	}
}

// Case: the process is killed with several partitions open, three times in one
// directory.
func TestPartitionsSurviveKills(t *testing.T) {
	for _, step := range []string{"append.commit", "append.committed", "seal.committed", "put.after", "ack.commit", "handover.renamed"} {
		t.Run(step, func(t *testing.T) {
			t.Parallel()
			dir := childDirFor(t, "parts")
			lines, where := writeParts(t, dir)
			for i := range 3 {
				if !crash(t, dir, fmt.Sprintf("%s:%d", step, i)) && i == 0 {
					t.Fatal("never came to this step")
				}
			}
			crash(t, dir, "never:0")
			objects := (&dirSink{dir: filepath.Join(dir, "bucket")}).read(t)
			if n := accounted(t, objects, lines); n != 0 {
				t.Errorf("%d tombstones", n)
			}
			checkParts(t, objects, where)
		})
	}
}

func TestPartitionsAreBounded(t *testing.T) {
	s := newSite(t)
	partsConfig(s.cfg)
	s.cfg.Chunk.MaxSize, s.cfg.Chunk.MaxAge = 1<<20, config.Duration(time.Hour) // nothing else seals
	lines, where := writeParts(t, s.dir)
	dir := filepath.Join(s.dir, "bucket")
	if err := os.Mkdir(dir, 0o750); err != nil {
		t.Fatal(err)
	}
	dest := &dirSink{dir: dir, up: func() bool { return true }}
	a := s.agent(t, Options{Sink: dest})
	stop := start(t, a)
	eventually(t, "all is read", func() bool { st := a.Status(); return st.Following && st.LagBytes == 0 })
	if st := a.Status(); st.OpenChunks != 3 || st.Inputs[0].Untimed != 0 {
		t.Errorf("%d chunks are open, %d lines untimed", st.OpenChunks, st.Inputs[0].Untimed)
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	s.write(t, "c.log", 0, 2) // without time and field
	a = s.agent(t, Options{Sink: dest, Once: true})
	if err := a.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := a.countersOf("app").untimed.Load(); n != 2 {
		t.Errorf("%d lines untimed", n)
	}
	objects := dest.read(t)
	var known []stored
	for _, o := range objects {
		if strings.HasPrefix(o.key, "c.log/") {
			if len(o.lines) != 2 || !strings.Contains(o.key, "/__HIVE_DEFAULT_PARTITION__/") {
				t.Errorf("%s: %q", o.key, o.lines)
			}
			continue
		}
		known = append(known, o)
	}
	checkParts(t, known, where)
	got := 0
	for _, o := range known {
		got += len(o.lines)
	}
	if got != len(lines) {
		t.Errorf("%d lines, want %d", got, len(lines))
	}
}

func TestCheckPartitions(t *testing.T) {
	for _, c := range []struct {
		change func(in *config.Input)
		want   string
	}{
		{func(in *config.Input) { in.Key = "{field:a}" + lateKey }, ""},
		{func(in *config.Input) { in.Key, in.DropFields = "{field:a.b}"+lateKey, []string{"a.bc", "b"} }, ""},
		{func(in *config.Input) { in.Key, in.DropFields = "{field:a.b}"+lateKey, []string{"a"} }, "to keep on this host"},
		{func(in *config.Input) { in.Key, in.MaskFields = "{field:a.b}"+lateKey, []string{"a.b"} }, "to keep on this host"},
		{func(in *config.Input) { in.TimeField, in.MaskFields = "t", []string{"t"} }, "to keep on this host"},
		{func(in *config.Input) { in.Key, in.Format = "{field:a}"+lateKey, "text" }, "have no fields"},
		{func(in *config.Input) { in.Key, in.TimeField = lateKey, "t" }, "time_field"},
		{func(in *config.Input) { in.Key = "{field:a}-{records}-{id}" }, "two chunks could be written to one key"},
	} {
		s := newSite(t)
		c.change(&s.cfg.Inputs[0])
		problems := CheckKeys(s.cfg)
		if c.want == "" && len(problems) > 0 || c.want != "" && (len(problems) != 1 || !strings.Contains(problems[0].What, c.want)) {
			t.Errorf("%+v: want %q", problems, c.want)
		}
	}
	s := newSite(t)
	s.cfg.Inputs[0].Key = "{file}/{field:level}/" + lateKey
	if key, err := ExampleKey(s.cfg, &s.cfg.Inputs[0], "/var/log/app.log"); err != nil || key != "app.log/level/"+lateKey {
		t.Errorf("%s, %v", key, err)
	}
}
