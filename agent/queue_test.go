package agent

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/spoolship/spoolship/agent/sink"
	"github.com/spoolship/spoolship/spool"
)

func failure403() *sink.Error {
	return &sink.Error{Class: sink.Config, Code: "AccessDenied", Status: 403, Err: errors.New("denied")}
}

func failure503() *sink.Error {
	return &sink.Error{Class: sink.Temporary, Code: "InternalError", Status: 500, Err: errors.New("down")}
}

// queueWorld is a destination on a clock of its own: it decides by prefix how an
// attempt ends and how long it takes.
type queueWorld struct {
	q       *queue
	now     time.Time
	seq     uint64
	answer  func(input, prefix string) (took time.Duration, err *sink.Error)
	running map[*attempt]runningUpload
	added   map[uint64]time.Time
	tries   map[string]int           // attempts by prefix
	waited  map[string]time.Duration // by prefix, the longest from add to the first start
	most    int                      // attempts at once
}

type runningUpload struct {
	ends time.Time
	err  *sink.Error
}

func newQueueWorld(slots int) *queueWorld {
	return &queueWorld{
		q: newQueue(slots), now: time.Unix(1e9, 0), running: make(map[*attempt]runningUpload),
		added: make(map[uint64]time.Time), tries: make(map[string]int), waited: make(map[string]time.Duration),
	}
}

func (w *queueWorld) add(input, prefix string) uint64 {
	w.seq++
	w.added[w.seq] = w.now
	w.q.add(&spool.Chunk{Seq: w.seq, Input: input, Name: prefix + fmt.Sprint(w.seq), State: spool.StateSealed}, w.now)
	return w.seq
}

// step does what is to be done now, and moves the clock to the next event, but not
// past until.
func (w *queueWorld) step(until time.Time) {
	next := until
	for a, r := range w.running {
		if r.ends.After(w.now) {
			next = earlier(next, r.ends)
			continue
		}
		delete(w.running, a)
		if r.err == nil {
			w.q.done(a, succeeded, nil, w.now)
			delete(w.added, a.seq)
		} else {
			w.q.done(a, refused, r.err, w.now)
		}
	}
	for {
		a, wake, blocked := w.q.take(w.now)
		if a == nil {
			if blocked != nil {
				cancel, at := w.q.stalled(blocked, w.now)
				if cancel != nil {
					cancel()
					at = w.now.Add(1)
				}
				wake = earlier(wake, at)
			}
			if !wake.IsZero() && wake.After(w.now) {
				next = earlier(next, wake)
			}
			break
		}
		prefix := a.lane.prefix
		w.tries[prefix]++
		if a.n++; a.n == 1 {
			w.waited[prefix] = max(w.waited[prefix], w.now.Sub(w.added[a.seq]))
		}
		in := ""
		for name, i := range w.q.inputs {
			if i == a.lane.in {
				in = name
			}
		}
		took, err := w.answer(in, prefix)
		w.running[a] = runningUpload{w.now.Add(took), err}
		if took < stallAfter { // bytes move to the end
			a.moved.Store(w.now.Add(took).UnixNano())
		}
		a.cancel = func() { w.running[a] = runningUpload{w.now, failure503()} }
		w.most = max(w.most, len(w.running))
		next = earlier(next, w.now.Add(took))
	}
	w.now = later(w.now, next)
}

func (w *queueWorld) run(d time.Duration) {
	for until := w.now.Add(d); w.now.Before(until); {
		w.step(until)
	}
}

// Whatever the keys of some prefixes meet, be it a refusal, failures or silence, a
// ready chunk of a prefix that works is tried within a bound, what fails is probed
// seldom, and all is delivered soon after the destination is well again.
func TestQueueKeepsFailuresApart(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		slots := rapid.IntRange(1, 6).Draw(t, "slots")
		sick := rapid.IntRange(1, 40).Draw(t, "sick prefixes")
		same := rapid.Bool().Draw(t, "in the same input")
		how := rapid.SampledFrom([]string{"403", "503", "hang"}).Draw(t, "how")
		each := rapid.IntRange(1, 3).Draw(t, "chunks each")
		w := newQueueWorld(slots)
		mended := false
		w.answer = func(_, prefix string) (time.Duration, *sink.Error) {
			switch {
			case prefix == "well/" || mended:
				return 100 * time.Millisecond, nil
			case how == "403":
				return 20 * time.Millisecond, failure403()
			case how == "503":
				return 20 * time.Millisecond, failure503()
			}
			return 5 * time.Minute, failure503()
		}
		input := "sick"
		if same {
			input = "well"
		}
		w.add("well", "well/")
		w.run(time.Second)
		for range each {
			for i := range sick {
				w.add(input, fmt.Sprintf("sick%d/", i))
			}
		}
		const minutes = 2
		for range minutes * 12 {
			w.add("well", "well/")
			w.run(5 * time.Second)
		}
		bound := 2 * time.Second
		if how == "hang" {
			bound = 2*stallAfter + 2*time.Second
			if slots == 1 { // each prefix may show once that it hangs
				bound += time.Duration(sick) * stallAfter
			}
		}
		if got := w.waited["well/"]; got > bound {
			t.Errorf("a chunk of the prefix that works waited for %s, bound %s", got, bound)
		}
		probes := 0
		for prefix, n := range w.tries {
			if prefix != "well/" {
				probes += n
			}
		}
		if most := 4*sick + minutes*60*2; probes > most {
			t.Errorf("%d probes of %d sick prefixes in %d minutes, bound %d", probes, sick, minutes, most)
		}
		if w.most > slots {
			t.Errorf("%d attempts at once with %d slots", w.most, slots)
		}
		mended = true
		w.run(8 * time.Minute)
		if n := len(w.added); n > 0 {
			t.Errorf("%d chunks are left long after the destination was mended", n)
		}
		if len(w.q.attempts) > 0 || len(w.q.now) > 0 || w.q.probing != 0 {
			t.Errorf("the queue is not empty: %d, %d, %d", len(w.q.attempts), len(w.q.now), w.q.probing)
		}
		for name, in := range w.q.inputs {
			for _, l := range in.lanes {
				if len(l.waiting) > 0 || l.running != 0 || l.failing || l.works.IsZero() {
					t.Errorf("lane %s: %+v", l.prefix, l)
				}
			}
			if in.running != 0 || in.refused != 0 || in.retry.running != 0 || in.fresh.running != 0 {
				t.Errorf("input %s: %+v", name, in)
			}
		}
	})
}

// A refused input's new prefixes, as each hour brings one, don't add up.
func TestQueueProbesFewOfARefusedInput(t *testing.T) {
	w := newQueueWorld(4)
	w.answer = func(string, string) (time.Duration, *sink.Error) { return time.Millisecond, failure403() }
	for i := range 1000 {
		w.add("app", fmt.Sprintf("app/user=%d/", i))
	}
	w.run(time.Minute) // each is tried once
	for prefix := range w.tries {
		w.tries[prefix] = 0
	}
	w.run(time.Minute)
	total := 0
	for _, n := range w.tries {
		total += n
	}
	if total > 60 {
		t.Errorf("%d attempts in a minute", total)
	}
	w.answer = func(string, string) (time.Duration, *sink.Error) { return time.Millisecond, nil }
	w.run(time.Minute)
	if n := len(w.q.attempts); n > 0 {
		t.Errorf("%d chunks are left a minute after the policy was mended", n)
	}
}

// After an outage everything is tried again as soon as one upload works, but for
// what the destination has named a time for.
func TestQueueGoesOnAtOnceAfterAnOutage(t *testing.T) {
	w := newQueueWorld(4)
	down := true
	w.answer = func(_, prefix string) (time.Duration, *sink.Error) {
		switch {
		case !down:
			return time.Millisecond, nil
		case prefix == "told/":
			return time.Millisecond, &sink.Error{Class: sink.Throttled, RetryAfter: 10 * time.Minute, Err: errors.New("slow down")}
		}
		return time.Millisecond, failure503()
	}
	for i := range 100 {
		w.add(fmt.Sprintf("in%d", i%10), fmt.Sprintf("p%d/", i))
	}
	told := w.add("told", "told/")
	w.run(time.Hour)
	total := 0
	for _, n := range w.tries {
		total += n
	}
	if total > 60*60/3 {
		t.Errorf("%d attempts in an hour of outage", total)
	}
	down = false
	began := w.now
	for len(w.added) > 1 && w.now.Sub(began) < time.Minute {
		w.step(w.now.Add(time.Second))
	}
	if took := w.now.Sub(began); took > backoffMax+5*time.Second {
		t.Errorf("all was delivered after %s", took)
	}
	if _, left := w.added[told]; !left {
		t.Error("it was tried before the time that the destination named")
	}
	w.run(11 * time.Minute)
	if len(w.added) > 0 {
		t.Error("it was not tried then")
	}
}

// Inputs take turns, however much one of them has, and within one the oldest chunk
// comes first.
func TestQueueIsFairToInputs(t *testing.T) {
	w := newQueueWorld(2)
	w.answer = func(string, string) (time.Duration, *sink.Error) { return time.Second, nil }
	for range 1000 {
		w.add("much", "much/")
	}
	w.run(500 * time.Millisecond)
	for range 3 {
		w.add("little", "little/")
		w.run(5 * time.Second)
	}
	if got := w.waited["little/"]; got > time.Second {
		t.Errorf("waited for %s", got)
	}
	var left []uint64
	for seq := range w.added {
		left = append(left, seq)
	}
	slices.SortFunc(left, cmp.Compare)
	if left[0] < 20 || !slices.IsSorted(left) {
		t.Errorf("the oldest that is left is %d", left[0])
	}
}

// Two corrections are followed at once; then they are failures, until a success.
func TestQueueFollowsTwoCorrections(t *testing.T) {
	for _, class := range []sink.Class{sink.Adapted, sink.NotConditional} {
		w := newQueueWorld(4)
		err := &sink.Error{Class: class, Err: errors.New("elsewhere")}
		w.answer = func(string, string) (time.Duration, *sink.Error) { return time.Millisecond, err }
		w.add("app", "app/")
		w.run(100 * time.Millisecond)
		if n := w.tries["app/"]; n < 3 || n > 4 {
			t.Errorf("%s: %d attempts at once, want the first and two corrections", class, n)
		}
		w.run(time.Minute)
		if n := w.tries["app/"]; n > 20 {
			t.Errorf("%s: %d attempts in a minute", class, n)
		}
		err = nil
		w.run(time.Minute)
		err = &sink.Error{Class: class, Err: errors.New("elsewhere")}
		before := w.tries["app/"]
		w.add("app", "app/")
		w.run(10 * time.Millisecond)
		if n := w.tries["app/"] - before; n != 3 {
			t.Errorf("%s: after a success %d attempts at once, want 3", class, n)
		}
	}
}

// The number of slots follows the destination's word.
func TestQueueSlots(t *testing.T) {
	passing := failure503()
	slower := &sink.Error{Class: sink.Throttled, Err: errors.New("x")}
	q, now := newQueue(8), time.Unix(1e9, 0)
	for i, step := range []struct {
		err  *sink.Error
		want int
	}{
		{passing, 8}, {nil, 8}, // one failure is nothing
		{slower, 4}, {nil, 5},
		{passing, 5}, {passing, 2}, {passing, 1}, {passing, 1},
		{failure403(), 1},
		{nil, 2}, {nil, 3}, {passing, 3}, {nil, 4}, {nil, 5}, {nil, 6}, {nil, 7}, {nil, 8}, {nil, 8},
	} {
		c := &spool.Chunk{Seq: uint64(i + 1), Input: "app", Name: fmt.Sprintf("%d/x", i), State: spool.StateSealed}
		a := q.add(c, now)
		now = now.Add(time.Hour)
		for taken, _, _ := q.take(now); taken != a; taken, _, _ = q.take(now) {
			q.done(taken, stopped, nil, now)
			now = now.Add(time.Hour)
		}
		o := succeeded
		if step.err != nil {
			o = refused
		}
		if q.done(a, o, step.err, now); q.limit != step.want {
			t.Errorf("step %d: limit %d, want %d", i, q.limit, step.want)
		}
		if step.err != nil {
			q.remove(a)
		}
	}
}
