package spool

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"
)

// powerPage is the unit in which writes get lost or arrive; powerMeta is how
// much of a file's start is its two meta pages.
const (
	powerPage = 4096
	powerMeta = 2 * powerPage
)

// powerLoss keeps images of the state directory as of the last sync.
type powerLoss struct {
	t      *testing.T
	dir    string
	rnd    *rand.Rand
	synced map[string][]byte // the queue directory when everything in it was durable
	before dumped            // what an open of it gives
	trials int
}

// Case: the power fails during every transaction and hand-over of the
// workload. Before a commit's fsync any subset of its page writes may be on
// disk; between the fsyncs all of them and any part of the meta page. The
// images are made from the files before and after each commit, in the order
// in which bbolt writes and syncs: pages, fsync, meta page, fsync.
func TestPowerLoss(t *testing.T) {
	root := quickDir(t)
	p := &powerLoss{t: t, dir: filepath.Join(root, "state"), rnd: rand.New(rand.NewPCG(3, 4))}
	if err := work(p.dir, 24, p.hook); err != nil {
		t.Fatal(err)
	}
	if p.trials < 100 {
		t.Fatalf("only %d power losses", p.trials)
	}
}

// hook is called inside the operations. Nothing was written to the files
// since the last one but what the steps say.
func (p *powerLoss) hook(step string) error {
	switch _, event, _ := strings.Cut(step, "."); event {
	case "commit":
		// Nothing of this transaction is in the file yet.
		p.synced = p.files()
		p.before = p.open(p.synced)
	case "committed":
		p.lose(p.files())
	case "created":
		// The new head has its temporary name: whatever of it is on disk, it
		// does not count. bbolt closed none of its files, so sync is all there is.
		image := p.files()
		before := p.open(p.without(image))
		for name := range image {
			if strings.HasSuffix(name, tmpExt) {
				image[name] = image[name][:p.rnd.IntN(len(image[name]))]
			}
		}
		p.expect(image, before)
		p.synced = p.without(image)
	case "renamed", "before":
		// The rename, or the unlinking to come, may or may not be on disk.
		if p.synced != nil && event == "renamed" {
			p.expect(p.synced, p.open(p.files()))
		}
	}
	return nil
}

// without leaves the temporary files out.
func (p *powerLoss) without(image map[string][]byte) map[string][]byte {
	out := map[string][]byte{}
	for name, b := range image {
		if !strings.HasSuffix(name, tmpExt) {
			out[name] = b
		}
	}
	return out
}

// lose tries power losses between two durable states.
func (p *powerLoss) lose(after map[string][]byte) {
	committed := p.open(after)
	for range 3 {
		image, meta := map[string][]byte{}, map[string][]byte{}
		for name, b := range after {
			old := p.synced[name]
			image[name] = p.mix(old, b)
			// All pages, and a meta page that is old at the front and new at the back, or so.
			meta[name] = bytes.Clone(b)
			cut := p.rnd.IntN(powerMeta)
			copy(meta[name][:cut], old[:min(cut, len(old))])
		}
		p.expect(image, p.before)
		p.expect(meta, p.before, committed)
	}
}

// mix applies some of the page writes that made b of old, none of the meta page.
func (p *powerLoss) mix(old, b []byte) []byte {
	size := len(old)
	if p.rnd.IntN(2) == 0 {
		size = len(b) // growing the file comes first
	}
	out := make([]byte, size)
	copy(out, old)
	for at := powerMeta; at < size; at += powerPage {
		if p.rnd.IntN(2) == 0 {
			copy(out[at:min(at+powerPage, size)], b[at:])
		}
	}
	return out
}

func (p *powerLoss) files() map[string][]byte {
	files := map[string][]byte{}
	collect(p.t, filepath.Join(p.dir, queueDir), func(name string, b []byte) { files[name] = b })
	return files
}

// open writes an image to disk and returns what is in it.
func (p *powerLoss) open(image map[string][]byte) dumped {
	if len(p.without(image)) == 0 {
		return dumped{Chunks: []Chunk{}} // the very first head: there is no spool yet
	}
	dir := filepath.Join(filepath.Dir(p.dir), "image"+strconv.Itoa(p.trials))
	p.trials++
	defer os.RemoveAll(dir)
	if err := os.MkdirAll(filepath.Join(dir, queueDir), 0o750); err != nil {
		p.t.Fatal(err)
	}
	for name, b := range image {
		if err := os.WriteFile(filepath.Join(dir, queueDir, name), b, 0o640); err != nil {
			p.t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, lockName), nil, 0o640); err != nil {
		p.t.Fatal(err)
	}
	s, err := Open(Options{Dir: dir, ReadOnly: true})
	if err != nil {
		p.t.Fatalf("after a power loss: %v", err)
	}
	defer closeTest(p.t, s)
	return dump(p.t, s)
}

// expect opens an image and wants one of the dumps in it.
func (p *powerLoss) expect(image map[string][]byte, wants ...dumped) {
	p.t.Helper()
	got := p.open(image)
	for _, want := range wants {
		if reflect.DeepEqual(got, want) {
			return
		}
	}
	p.t.Fatalf("after a power loss: %d chunks, positions %v; want %d and %v", len(got.Chunks),
		fmt.Sprint(got.Positions), len(wants[0].Chunks), fmt.Sprint(wants[0].Positions))
}
