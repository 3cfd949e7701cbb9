//go:build e2e && linux

package power

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/spoolship/spoolship/internal/e2e/agentproc"
	"github.com/spoolship/spoolship/internal/e2e/bucket"
	"github.com/spoolship/spoolship/internal/e2e/logs"
	"github.com/spoolship/spoolship/internal/e2e/rig"
	"github.com/spoolship/spoolship/internal/e2e/s3dev"
)

const (
	// onceLimit is how long a run may take that has everything it needs.
	onceLimit = 60 * time.Second
	// firstLines are about 2.2 MB, more than a segment holds.
	firstLines = 5000
	moreLines  = 50
)

// trials is N, or a number that takes about two minutes together.
func trials() int {
	if n, err := strconv.Atoi(os.Getenv("POWER_N")); err == nil && n > 0 {
		return n
	}
	return 8
}

// seed is what the random choices of a run depend on.
func seed() uint64 {
	n, err := strconv.ParseUint(os.Getenv("POWER_SEED"), 10, 64)
	if err != nil {
		return 1
	}
	return n
}

// need skips the test with its reason where FUSE can't be had.
func need(t *testing.T) {
	t.Helper()
	err := Available()
	if err != nil {
		err = fmt.Errorf("a FUSE file system can't be mounted: %w", err)
	} else if out, uerr := exec.CommandContext(t.Context(), "unshare", "--mount", "true").CombinedOutput(); uerr != nil {
		err = fmt.Errorf("mount namespaces can't be made: %w: %s", uerr, out)
	}
	if err != nil {
		fmt.Printf("%s: skipped: %v\n", t.Name(), err)
		t.Skip(err)
	}
}

// world is an agent whose state directory lies on a Disk.
type world struct {
	*rig.Rig
	ctx    context.Context
	disk   *Mounted
	rnd    *rand.Rand
	cfg    agentproc.Config
	put    *s3dev.Server
	onPut  atomic.Value // func(): called before a PUT reaches the store
	refuse atomic.Bool  // PUTs are answered with 503
	taken  atomic.Value // func(): called between that and the answer

	sources []logs.Source
	streams []bucket.Stream
	boots   int
	env     []string // of the runs before settle
}

// newWorld makes one under dir. Close it.
func newWorld(ctx context.Context, dir, binary string, seed uint64) (*world, error) {
	r, err := rig.New(ctx, dir, rig.Embedded, binary, "")
	if err != nil {
		return nil, err
	}
	w := &world{Rig: r, ctx: ctx, rnd: rand.New(rand.NewPCG(seed, 7))}
	w.onPut.Store(func() {})
	w.taken.Store(func() {})
	mnt := filepath.Join(dir, "disk")
	if err := os.Mkdir(mnt, 0o755); err != nil {
		return nil, err
	}
	if w.disk, err = Mount(NewDisk(), mnt); err != nil {
		return nil, err
	}
	w.put, err = s3dev.Listen(http.HandlerFunc(func(rw http.ResponseWriter, req *http.Request) {
		if req.Method == http.MethodPut {
			if w.refusing(rw) {
				return
			}
			w.onPut.Load().(func())()
		}
		r.Front.ServeHTTP(rw, req)
		if req.Method == http.MethodPut {
			w.taken.Load().(func())() // the server keeps short answers until the handler is done
		}
	}))
	if err != nil {
		return nil, err
	}
	w.cfg = r.Config()
	w.cfg.StateDir, w.cfg.Endpoint = filepath.Join(mnt, "state"), w.put.URL()
	w.cfg.SegmentSize, w.cfg.ChunkSize, w.cfg.Compression = "1MiB", "64KiB", "none"
	w.cfg.CommitInterval, w.cfg.MaxAge, w.cfg.ReadRate = 10*time.Millisecond, 100*time.Millisecond, "2MiB/s"
	w.cfg.MinFree = "0B"
	for i := range 2 {
		name := fmt.Sprintf("in%d", i)
		path := filepath.Join(r.Logs(), name+".log")
		w.cfg.Inputs = append(w.cfg.Inputs, agentproc.Input{Name: name, Format: "json", Include: []string{path}})
		w.sources = append(w.sources, logs.NewEvents(seed, name))
		w.streams = append(w.streams, bucket.Stream{Input: name, Format: bucket.JSON, Name: path})
	}
	return w, w.cfg.Write(r.Agent.Config)
}

func (w *world) close() {
	if err := w.disk.Unmount(); err != nil {
		fmt.Println("unmount:", err)
	}
	w.put.Close()
	w.Close()
}

// log appends lines to the files of all inputs.
func (w *world) log(lines int) error {
	for i := range w.streams {
		s := &w.streams[i]
		var b []byte
		for range lines / len(w.streams) {
			from := len(b)
			b = w.sources[i].Append(b)
			s.Lines = append(s.Lines, bytes.Clone(b[from:len(b)-1]))
		}
		f, err := os.OpenFile(s.Name, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
		if err != nil {
			return err
		}
		if _, err := f.Write(b); err != nil {
			return err
		}
		if err := f.Close(); err != nil {
			return err
		}
	}
	return nil
}

// boot has the agent see another boot from its next start on.
func (w *world) boot() error {
	w.boots++
	return os.WriteFile(filepath.Join(w.Dir, bootFile), fmt.Appendf(nil, "00000000-0000-4000-8000-%012d\n", w.boots), 0o644)
}

// bootFile stands beside the configuration and holds the id of the boot.
const bootFile = "boot"

// wrapper writes a program into dir that runs binary and shows it the boot id
// that stands beside its configuration, if there is one. It is written before
// anything is forked, which might keep it from being run.
func wrapper(dir, binary string) (path string, err error) {
	path = filepath.Join(dir, "agent")
	const program = `#!/bin/sh
for arg; do
	[ "$last" != --config ] || boot=${arg%%/*}/%s
	last=$arg
done
[ -e "$boot" ] || exec %s "$@"
export boot
exec unshare --mount sh -c 'mount --bind "$boot" /proc/sys/kernel/random/boot_id && exec %[2]s "$@"' sh "$@"
`
	return path, os.WriteFile(path, fmt.Appendf(nil, program, bootFile, binary), 0o755)
}

// until starts `run --once` and returns when stop is closed, which kills it, or
// when it has ended.
func (w *world) until(stop <-chan struct{}) (ended bool, err error) {
	p, err := w.Agent.Run(w.env, "--once")
	if err != nil {
		return false, err
	}
	t := time.NewTimer(onceLimit)
	defer t.Stop()
	select {
	case <-stop:
		p.Kill()
		return false, nil
	case <-p.Done():
		return true, p.Err()
	case <-t.C:
		p.Kill()
		return false, fmt.Errorf("run --once neither ended nor got to the cut")
	}
}

// settle runs the agent on what there is until all is shipped, and compares.
func (w *world) settle() (*bucket.Result, error) {
	w.onPut.Store(func() {})
	w.taken.Store(func() {})
	w.disk.SetLimit(0)
	ctx, cancel := context.WithTimeout(w.ctx, onceLimit)
	defer cancel()
	if _, err := w.Agent.Once(ctx); err != nil {
		return nil, err
	}
	if err := w.sane(); err != nil {
		return nil, err
	}
	return w.Compare(w.ctx, w.streams)
}

var crashed = regexp.MustCompile(`(?m)^(panic: |fatal error: |unexpected fault address|goroutine \d+ \[).*`)

// sane looks for a crash in what the agent has printed.
func (w *world) sane() error {
	b, err := os.ReadFile(w.Agent.Log)
	if err != nil {
		return err
	}
	if m := crashed.Find(b); m != nil {
		return fmt.Errorf("the agent crashed: %s", m)
	}
	return nil
}

// class sums up the trials of one kind of fault. told are lines that are lost and
// counted by the agent as such, lost those that are not.
type class struct {
	name   string
	mutant bool // its trials are meant to fail

	mu                                  sync.Mutex
	trials, told, lost, doubled, failed int
	first                               string // failure
}

// errTold ends a trial that has lost lines, of damage alone, and whose agent has
// said so.
var errTold = errors.New("lines are lost, and the agent has told of them")

const rowFormat = "%-64s %7v %6v %6v %8v %7v\n"

// run does n trials, four at a time, each in a world of its own.
func (c *class) run(t *testing.T, n int, binary string, trial func(w *world, i int) (*bucket.Result, error)) {
	t.Helper()
	root, err := os.MkdirTemp("", "power-")
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if c.failed == 0 || c.mutant {
			os.RemoveAll(root)
		}
	}()
	if binary, err = wrapper(root, binary); err != nil {
		t.Fatal(err)
	}
	var wait sync.WaitGroup
	slots := make(chan struct{}, 4)
	for i := range n {
		slots <- struct{}{}
		wait.Go(func() {
			defer func() { <-slots }()
			c.one(t.Context(), filepath.Join(root, strconv.Itoa(i)), binary, i, trial)
		})
	}
	wait.Wait()
}

func (c *class) one(ctx context.Context, dir, binary string, i int, trial func(w *world, i int) (*bucket.Result, error)) {
	if err := os.Mkdir(dir, 0o755); err != nil {
		c.add(nil, err)
		return
	}
	w, err := newWorld(ctx, dir, binary, seed()<<20+uint64(i))
	if err != nil {
		c.add(nil, err)
		return
	}
	result, err := trial(w, i)
	w.close()
	if c.add(result, err) {
		os.RemoveAll(dir)
	}
}

// add counts a trial and reports whether it went well.
func (c *class) add(r *bucket.Result, err error) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.trials++
	switch {
	case err == nil && r.OK():
		return true
	case errors.Is(err, errTold):
		c.told += int(r.Lost)
		return true
	}
	c.failed++
	if r != nil {
		c.lost, c.doubled = c.lost+int(r.Lost), c.doubled+int(r.Duplicated)
	}
	if c.first == "" {
		var b strings.Builder
		if err != nil {
			fmt.Fprintln(&b, err)
		}
		if r != nil {
			r.Print(&b)
		}
		c.first = b.String()
	}
	return false
}

// row prints the class, and fails the test if a trial failed.
func (c *class) row(t *testing.T) {
	t.Helper()
	fmt.Printf(rowFormat, c.name, c.trials, c.told, c.lost, c.doubled, c.failed)
	if c.failed > 0 {
		t.Errorf("%s: %d of %d trials failed, the first: %s", c.name, c.failed, c.trials, c.first)
	}
}

// caught prints the row of a mutant, and fails the test unless a trial has lost
// or doubled lines, or left what the agent refuses as damaged.
func (c *class) caught(t *testing.T) {
	t.Helper()
	fmt.Printf(rowFormat, c.name, c.trials, c.told, c.lost, c.doubled, c.failed)
	if c.lost+c.doubled == 0 && !strings.Contains(c.first, "damaged") {
		t.Errorf("%s was not caught in %d trials: %s", c.name, c.trials, c.first)
	}
}

// header prints the heads of the columns.
var header = sync.OnceFunc(func() { fmt.Printf(rowFormat, "fault", "trials", "told", "lost", "doubled", "failed") })

// binaryPath returns a binary of make harness; SPOOLSHIP_BIN names another agent.
func binaryPath(t *testing.T, name string) string {
	t.Helper()
	if other := os.Getenv("SPOOLSHIP_BIN"); other != "" && name == "spoolship" {
		return other
	}
	path, err := filepath.Abs(filepath.Join("../../../bin", name))
	if err == nil {
		_, err = os.Stat(path)
	}
	if err != nil {
		t.Fatalf("%v: build it with make harness", err)
	}
	return path
}
