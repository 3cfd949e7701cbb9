//go:build e2e

package matrix

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// way is one configuration of logrotate.
type way struct {
	name         string
	options      []string
	copies       bool   // copytruncate
	copyIncluded bool   // the patterns match the rotated files too
	compressor   string // what it needs besides gzip
}

const dated = "dateformat -%Y%m%d-%s"

var ways = []way{
	{name: "create", options: []string{"create 0644"}},
	{name: "create, copies match", options: []string{"create 0644"}, copyIncluded: true},
	{name: "create, dateext", options: []string{"create 0644", "dateext", dated}},
	{name: "compress", options: []string{"create 0644", "compress"}},
	{name: "compress, copies match", options: []string{"create 0644", "compress"}, copyIncluded: true},
	{name: "compress, dateext", options: []string{"create 0644", "compress", "dateext", dated}},
	{name: "compress, zstd", options: []string{"create 0644", "compress", "compresscmd ZSTD", "compressext .zst", "compressoptions -q"}, compressor: "zstd"},
	{name: "delaycompress", options: []string{"create 0644", "compress", "delaycompress"}},
	{name: "copytruncate", options: []string{"copytruncate"}, copies: true},
	{name: "copytruncate, copies match", options: []string{"copytruncate"}, copies: true, copyIncluded: true},
	{name: "copytruncate, dateext", options: []string{"copytruncate", "dateext", dated}, copies: true},
	{name: "copytruncate, compress", options: []string{"copytruncate", "compress"}, copies: true, copyIncluded: true},
	{name: "copytruncate, delaycompress", options: []string{"copytruncate", "compress", "delaycompress"}, copies: true},
}

// paces are how fast lines come, how many of them make a generation, and how
// many rotations there are.
var paces = []struct{ rate, lines, rotations int }{{1, 2, 1}, {1000, 300, 1}, {50_000, 15_000, 3}}

// logrotate is one run's surroundings of the real program.
type logrotate struct {
	w      *world
	binary string
	p      *program
	way    way
	config string
	second int64 // in which the last rotation ended: dated names are told apart by it
}

func newLogrotate(w *world, program string, p *program, how way) *logrotate {
	l := &logrotate{w: w, binary: program, p: p, way: how, config: filepath.Join(w.Dir, "logrotate.conf")}
	options := append([]string{"rotate 100", "missingok"}, how.options...)
	text := fmt.Sprintf("%q {\n\t%s\n", p.path, strings.Join(options, "\n\t"))
	if !how.copies {
		text += fmt.Sprintf("\tpostrotate\n\t\techo reopen > '%s'; cat '%s' > /dev/null\n\tendscript\n", p.asked(), p.answered())
	}
	w.must(os.WriteFile(l.config, []byte(text+"}\n"), 0o644))
	return l
}

// rotate rotates once.
func (l *logrotate) rotate() {
	l.w.t.Helper()
	l.nextSecond()
	if l.way.copies {
		l.p.truncated(l.run)
	} else {
		l.run()
	}
	l.second = time.Now().Unix()
}

// nextSecond lets the clock go on to a new name for a dated file; logrotate
// does nothing if the name is taken. Its clock, time(2), runs up to a tick
// behind ours.
func (l *logrotate) nextSecond() {
	if now := time.Now(); now.Unix() == l.second {
		time.Sleep(time.Until(now.Truncate(time.Second).Add(time.Second + 50*time.Millisecond)))
	}
}

func (l *logrotate) run() {
	l.w.t.Helper()
	cmd := exec.CommandContext(l.w.ctx, l.binary, "--force", "--state", filepath.Join(l.w.Dir, "logrotate.state"), l.config)
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
		l.w.t.Errorf("logrotate: %v\n%s", err, out)
	}
}

// findLogrotate also looks where only root's PATH leads to.
func findLogrotate() (string, error) {
	for _, name := range []string{"logrotate", "/usr/sbin/logrotate"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", errors.New("logrotate is not installed: apt-get install logrotate")
}

// Real logrotate, a program that writes all the time, an agent that runs or is
// stopped meanwhile.
func TestLogrotate(t *testing.T) {
	program, err := findLogrotate()
	if err != nil {
		fmt.Println("TestLogrotate skipped:", err) // a skip alone is not printed
		t.Skip(err)
	}
	for _, how := range ways {
		if how, err = how.complete(); err != nil {
			fmt.Printf("TestLogrotate/%s skipped: %v\n", how.name, err)
			continue
		}
		for _, pace := range paces {
			for _, stopped := range []bool{false, true} {
				t.Run(rowName(how, pace.rate, pace.rotations, stopped), func(t *testing.T) {
					rotated(t, program, how, pace.rate, pace.lines, pace.rotations, stopped)
				})
			}
		}
	}
}

// complete puts the path of the compressor in.
func (w way) complete() (way, error) {
	if w.compressor == "" {
		return w, nil
	}
	path, err := exec.LookPath(w.compressor)
	if err != nil {
		return w, fmt.Errorf("%s is not installed: apt-get install %[1]s", w.compressor)
	}
	w.options = slices.Clone(w.options)
	for i, o := range w.options {
		w.options[i] = strings.ReplaceAll(o, strings.ToUpper(w.compressor), path)
	}
	return w, nil
}

func rowName(how way, rate, rotations int, stopped bool) string {
	state := "running"
	if stopped {
		state = "stopped"
	}
	return fmt.Sprintf("%s, %s, %d rotated, %d/s", how.name, state, rotations, rate)
}

// rotated is one row.
func rotated(t *testing.T, program string, how way, rate, lines, rotations int, stopped bool) {
	w := newWorld(t)
	if how.copyIncluded {
		w.cfg.Inputs[0].Include = []string{w.path("*.log*")}
	}
	p := startProgram(t, w.path("app.log"), rate)
	w.start()
	w.must(w.Agent.WaitFollowed(w.ctx, p.path))
	l := newLogrotate(w, program, p, how)
	w.lines(p, lines)
	if stopped {
		w.stop()
		w.lines(p, lines)
	}
	for range rotations {
		l.rotate()
		w.lines(p, lines)
	}
	if stopped {
		w.start()
		w.lines(p, lines)
	}
	p.halt(t)
	w.streams = append(w.streams, p.generations...)
	w.arrives()
}
