//go:build e2e && linux

package power

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/spoolship/spoolship/internal/e2e/bucket"
)

// kind is what a page of a segment is.
type kind string

const (
	metaPage   kind = "a meta page"
	branchPage kind = "a branch page"
	leafPage   kind = "a leaf page" // of the state or of small blocks, in use or free
	dataPage   kind = "block data"  // what a page overflows into
	noPage     kind = "a page never written"
)

var kinds = []kind{metaPage, branchPage, leafPage, dataPage, noPage}

// pages calls f for each page of a segment file.
func pages(b []byte, f func(k kind, page []byte)) {
	for at := 0; at+pageSize <= len(b); {
		page := b[at : at+pageSize]
		more := 0
		k := noPage
		switch binary.NativeEndian.Uint16(page[8:]) {
		case 4:
			k = metaPage
		case 1:
			k = branchPage
		case 2:
			k = leafPage
			more = int(binary.NativeEndian.Uint32(page[12:]))
		}
		f(k, page)
		at += pageSize
		for ; more > 0 && at+pageSize <= len(b); more-- {
			f(dataPage, b[at:at+pageSize])
			at += pageSize
		}
	}
}

// repair does what the hints of the commands say. Where the state can't be read,
// the spool starts anew, which doubles no line as long as none was shipped.
func (w *world) repair(ctx context.Context) error {
	for _, anew := range []string{"--start-anew=false", "--start-anew"} {
		cmd := exec.CommandContext(ctx, w.Agent.Binary, "spool", "repair", "--salvage", anew, "--config", w.Agent.Config)
		out, err := cmd.CombinedOutput()
		switch code := cmd.ProcessState.ExitCode(); {
		case code == 0 || code == 3:
			return nil
		case !strings.Contains(string(out), "add --start-anew"):
			return fmt.Errorf("repair: %w: %s", err, out)
		}
	}
	return errors.New("repair advises what it was told already")
}

// backlog runs the agent until everything is in the spool and nothing of it in
// the store, and kills it.
func (w *world) backlog(ctx context.Context) error {
	w.refuse.Store(true)
	defer w.refuse.Store(false)
	if err := w.log(firstLines); err != nil {
		return err
	}
	p, err := w.Agent.Run(nil)
	if err != nil {
		return err
	}
	defer p.Kill()
	client := w.Agent.Client()
	defer client.Close()
	for {
		if st, err := client.Status(ctx); err == nil && st.Following && st.Lag == 0 && st.Backlog > 0 {
			return nil
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// flip changes a bit of some page of a kind. undo changes it back; it is nil if
// there is no such page.
func (w *world) flip(k kind) (undo func()) {
	n := 0
	each := func(f func(page []byte)) {
		w.disk.Edit(".seg", func(_ string, b []byte) {
			pages(b, func(found kind, page []byte) {
				if found == k {
					f(page)
				}
			})
		})
	}
	each(func([]byte) { n++ })
	if n == 0 {
		return nil
	}
	chosen, at, bit := w.rnd.IntN(n), w.rnd.IntN(pageSize), w.rnd.IntN(8)
	if k != dataPage {
		at %= 256 // where a page of a few elements has them
	}
	change := func() {
		i := 0
		each(func(page []byte) {
			if i == chosen {
				page[at] ^= 1 << bit
			}
			i++
		})
	}
	change()
	return change
}

// flipped is a trial: a bit of a page of some kind flips while the spool has a
// backlog and no agent runs. Either the agent ships everything, or it refuses
// the head, and does so after spool repair.
func (w *world) flipped(k kind) (*bucket.Result, error) {
	ctx, cancel := context.WithTimeout(w.ctx, onceLimit)
	defer cancel()
	if err := w.backlog(ctx); err != nil {
		return nil, err
	}
	if w.flip(k) == nil {
		return &bucket.Result{}, nil
	}
	told, err := w.ships(ctx)
	if err != nil {
		if !strings.Contains(err.Error(), "spool repair") {
			return nil, err
		}
		if err := w.repair(ctx); err != nil {
			return nil, err
		}
	}
	return w.ending(ctx, told)
}

// ending ships what is left and more, and compares. Lines that are lost must
// have been told of.
func (w *world) ending(ctx context.Context, told bool) (*bucket.Result, error) {
	if err := w.log(moreLines); err != nil {
		return nil, err
	}
	again, err := w.ships(ctx)
	if err = errors.Join(err, w.sane()); err != nil {
		return nil, err
	}
	r, err := w.Compare(w.ctx, w.streams)
	if err == nil && (told || again) && r.Lost > 0 && r.Duplicated+r.Foreign == 0 {
		return r, errTold
	}
	return r, err
}

// restored is a trial: bits of block data flip, and the power fails while the
// agent restores the blocks and ships them.
func (w *world) restored(way Way) (*bucket.Result, error) {
	ctx, cancel := context.WithTimeout(w.ctx, onceLimit)
	defer cancel()
	if err := w.backlog(ctx); err != nil {
		return nil, err
	}
	for range 8 {
		w.flip(dataPage)
	}
	step := w.disk.Steps() + 1 + w.rnd.IntN(100)
	return w.cut(way, func(off func()) func(Event) Verdict {
		return func(e Event) Verdict {
			if e.Step == step {
				off()
			}
			return Verdict{}
		}
	}, honest)
}

// repairCommand returns what runs spool repair and returns what it says.
func (w *world) repairCommand(ctx context.Context) func(args ...string) string {
	return func(args ...string) string {
		out, _ := exec.CommandContext(ctx, w.Agent.Binary, append([]string{"spool", "repair", "--config", w.Agent.Config}, args...)...).CombinedOutput()
		return string(out)
	}
}

// needRepair flips a bit so that the head is refused and its state can still be
// read. It reports false if it finds none in half of onceLimit.
func (w *world) needRepair(command func(args ...string) string) bool {
	for began := time.Now(); time.Since(began) < onceLimit/2; {
		undo := w.flip(leafPage)
		if undo == nil {
			return false
		}
		if strings.Contains(command(), "the head is damaged, its state can be read") {
			return true
		}
		undo()
	}
	return false
}

// keptRestored is a trial: blocks are restored while the store is away, then the
// head is damaged and repaired, and the logs that they were made from are gone.
func (w *world) keptRestored(kept *atomic.Int64) (*bucket.Result, error) {
	ctx, cancel := context.WithTimeout(w.ctx, 2*onceLimit)
	defer cancel()
	if err := w.backlog(ctx); err != nil {
		return nil, err
	}
	w.flip(dataPage)
	w.refuse.Store(true)
	p, err := w.Agent.Run(nil)
	if err != nil {
		return nil, err
	}
	restored := false
	for began := time.Now(); !restored && time.Since(began) < 5*time.Second; time.Sleep(20 * time.Millisecond) {
		text, _ := os.ReadFile(w.Agent.Log)
		restored = strings.Contains(string(text), "restored bit for bit")
	}
	p.Kill()
	if !restored { // the page was free
		return &bucket.Result{}, nil
	}
	w.refuse.Store(false)
	command := w.repairCommand(ctx)
	if !w.needRepair(command) {
		return &bucket.Result{}, nil
	}
	if out := command("--salvage"); !strings.Contains(out, "0 blocks of unacked chunks are missing") {
		return &bucket.Result{}, nil // it hit a block, too
	}
	for _, s := range w.streams {
		if err := os.Remove(s.Name); err != nil {
			return nil, err
		}
	}
	kept.Add(1)
	if _, err := w.Agent.Once(ctx); err != nil {
		return nil, err
	}
	return w.Compare(w.ctx, w.streams)
}

// salvaged is a trial: the head is damaged so that its state can still be read,
// and the power fails while spool repair makes a new one.
func (w *world) salvaged(way Way) (*bucket.Result, error) {
	ctx, cancel := context.WithTimeout(w.ctx, 2*onceLimit)
	defer cancel()
	if err := w.backlog(ctx); err != nil {
		return nil, err
	}
	command := w.repairCommand(ctx)
	if !w.needRepair(command) {
		return &bucket.Result{}, nil
	}
	step := w.disk.Steps() + 1 + w.rnd.IntN(25)
	w.disk.Before(func(e Event) Verdict {
		if e.Step == step {
			w.disk.Off()
		}
		return Verdict{}
	})
	command("--salvage")
	w.disk.Cut(way, w.rnd)
	if err := w.boot(); err != nil {
		return nil, err
	}
	if err := w.repair(ctx); err != nil {
		return nil, err
	}
	return w.ending(ctx, false)
}

// ships is run --once. told reports whether it has said that chunks are damaged
// and can't be made whole.
func (w *world) ships(ctx context.Context) (told bool, err error) {
	p, err := w.Agent.Once(ctx)
	exit := (*exec.ExitError)(nil)
	if err != nil && p != nil && errors.As(p.Err(), &exit) && exit.ExitCode() == 3 && strings.Contains(err.Error(), "set aside as damaged") {
		return true, nil
	}
	return false, err
}

// refusing answers PUTs with 503 while refuse is set.
func (w *world) refusing(rw http.ResponseWriter) bool {
	if !w.refuse.Load() {
		return false
	}
	rw.WriteHeader(http.StatusServiceUnavailable)
	return true
}

// Case: a bit of the spool flips, in a page of each kind.
func TestFlips(t *testing.T) {
	need(t)
	header()
	binary := binaryPath(t, "spoolship")
	for _, k := range kinds {
		c := class{name: "state: a bit flips in " + string(k)}
		c.run(t, max(2, trials()/4), binary, func(w *world, _ int) (*bucket.Result, error) { return w.flipped(k) })
		c.row(t)
	}
	var kept atomic.Int64
	c := class{name: "state: restored blocks, then spool repair, and no logs"}
	c.run(t, max(4, trials()/2), binary, func(w *world, _ int) (*bucket.Result, error) { return w.keptRestored(&kept) })
	if c.row(t); kept.Load() == 0 {
		t.Error("no head with restored blocks was repaired")
	}
	for name, trial := range map[string]func(w *world, way Way) (*bucket.Result, error){
		"state: block data flips, then a cut while it is restored": (*world).restored,
		"state: the head is damaged, then a cut in spool repair":   (*world).salvaged,
	} {
		c := class{name: name}
		c.run(t, max(4, trials()/2), binary, func(w *world, i int) (*bucket.Result, error) { return trial(w, Ways[i%len(Ways)]) })
		c.row(t)
	}
}
