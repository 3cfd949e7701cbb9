package agent

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/spoolship/spoolship/agent/chunk"
	"github.com/spoolship/spoolship/tailer"
)

func TestAdmission(t *testing.T) {
	var a admission
	now := time.Unix(1e9, 0)
	admitted := func(from, to int) (n int) {
		for i := from; i < to; i++ {
			if a.admit(fmt.Sprint(i), now, 11, 20) {
				n++
			}
		}
		return n
	}
	if n := admitted(0, 1000); n != 20 {
		t.Errorf("%d of 1000 keys begin at once, want 20", n)
	}
	// The ten that were used last stay, however many others there are.
	for i := range 100 {
		if n := admitted(10, 20); n != 10 {
			t.Errorf("look %d: %d of 10 keys in use are admitted", i, n)
		}
		admitted(1000+100*i, 1100+100*i)
	}
	if n := admitted(0, 10); n != 0 {
		t.Errorf("%d keys are admitted that others have taken the places of", n)
	}
	now = now.Add(30 * time.Second)
	if n := admitted(0, 1000); n != 10 {
		t.Errorf("%d keys begin after half a minute, want 10", n)
	}
	now = now.Add(-time.Hour) // the clock was set back
	if n := admitted(2000, 3000); n != 0 {
		t.Errorf("%d keys begin after the clock was set back", n)
	}
	now = now.Add(time.Hour + 24*time.Hour)
	if n := admitted(2000, 3000); n != 20 {
		t.Errorf("%d keys begin after a day, want 20", n)
	}
}

// Whoever writes another value into each line costs max_new objects, one for all
// the rest, and no other input's.
func TestPartitionsBeyondMaxNew(t *testing.T) {
	for _, tt := range []struct {
		name, key, timeField string
		line                 func(i int) (file, line string)
		want                 string // of the rest
	}{
		{"a field", "{input}/user={field:user}/" + lateKey, "", func(i int) (string, string) { return "/a", fmt.Sprintf("{\"user\":%d}\n", i) }, "app/user=" + chunk.NoValue + "/"},
		{"times", "dt={date}/hour={hour}/" + lateKey, "t", func(i int) (string, string) { return "/a", fmt.Sprintf("{\"t\":%d}\n", i*3600) }, time.Now().UTC().Format("dt=2006-01-02/")},
		{"a file", "{dir}/{file}/" + lateKey, "", func(i int) (string, string) { return fmt.Sprintf("/dir/%d.log", i), "{}\n" }, chunk.NoValue + "/" + chunk.NoValue + "/"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newSite(t)
			in := &s.cfg.Inputs[0]
			in.Key, in.TimeField, in.Chunk.MaxNew = tt.key, tt.timeField, 50
			it, sp, closeAll := newTestIntake(t, s, 50*time.Millisecond)
			defer closeAll()
			const lines = 5000
			for i := range lines {
				file, line := tt.line(i)
				s := tailer.Span{File: uint64(i), Path: file, To: int64(len(line)), Data: []byte(line), Position: []byte{1}}
				if err := it.Span(t.Context(), &s); err != nil {
					t.Fatal(err)
				}
			}
			eventually(t, "all is durable", func() bool { return it.inFlight.Load() == 0 })
			var rest, records int64
			for _, c := range sp.Chunks() {
				records += c.Records
				if strings.HasPrefix(c.Name, tt.want) {
					rest += c.Records
				}
			}
			n := &it.plans[0].counters.overflow
			if got := len(sp.Chunks()); got > 52 || records != lines || n.Load() < lines-52 || rest < n.Load() {
				t.Errorf("%d chunks, %d of %d records, %d of them under %s, %d counted", got, records, lines, rest, tt.want, n.Load())
			}
		})
	}
}
