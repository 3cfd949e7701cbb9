package agentproc

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestTOML(t *testing.T) {
	c := Config{
		StateDir: "/s", Socket: "/s.sock", Endpoint: "http://127.0.0.1:1", Bucket: "b", MaxAge: 300 * time.Millisecond,
		Inputs: []Input{{Name: "a", Format: "json", Include: []string{"/x/*.log", `/y "q"/*`}}, {Name: "b"}},
	}
	got := c.TOML()
	for _, want := range []string{
		"[agent]\nstate_dir = \"/s\"\n", "max_age = \"300ms\"\n", "path_style = true\n",
		"[[input]]\nname = \"a\"\ninclude = [\"/x/*.log\", \"/y \\\"q\\\"/*\"]\nformat = \"json\"\n", "[[input]]\nname = \"b\"\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in:\n%s", want, got)
		}
	}
	if strings.Contains(got, "segment_size") || strings.Contains(got, "exclude") {
		t.Errorf("zero values are written:\n%s", got)
	}
}

// script is an agent that runs sh -c body.
func script(t *testing.T, body string) *Agent {
	t.Helper()
	dir := t.TempDir()
	bin := filepath.Join(dir, "agent")
	if err := os.WriteFile(bin, []byte("#!/bin/sh\n"+body+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return &Agent{Binary: bin, Config: "none", Socket: filepath.Join(dir, "sock"), Log: filepath.Join(dir, "log")}
}

func TestKill(t *testing.T) {
	p, err := script(t, "exec sleep 60").Run(nil)
	if err != nil {
		t.Fatal(err)
	}
	p.Kill()
	if !p.Killed() || p.Err() == nil {
		t.Errorf("killed %v, error %v", p.Killed(), p.Err())
	}
}

func TestStop(t *testing.T) {
	good, err := script(t, `trap "exit 0" TERM; touch "$0.up"; while :; do sleep 0.01; done`).Run(nil)
	if err != nil {
		t.Fatal(err)
	}
	for up := good.cmd.Path + ".up"; ; { // the trap is set once the file is there
		if _, err := os.Stat(up); err == nil {
			break
		}
	}
	if err := good.Stop(5 * time.Second); err != nil {
		t.Error(err)
	}
	deaf, err := script(t, `trap "" TERM; exec sleep 60`).Run(nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := deaf.Stop(50 * time.Millisecond); err == nil {
		t.Error("a process that ended in time or never, but no error")
	}
	<-deaf.Done()
}

func TestOnceShowsTheLastWords(t *testing.T) {
	_, err := script(t, `echo "$@"; echo the disk is on fire >&2; exit 3`).Once(context.Background())
	if err == nil || !strings.Contains(err.Error(), "the disk is on fire") || !strings.Contains(err.Error(), "run --config none --once") {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if _, err := script(t, "exec sleep 60").Once(ctx); err == nil || !strings.Contains(err.Error(), "in time") {
		t.Errorf("got %v", err)
	}
}

// A process that fills 64 MiB and burns CPU is measured so.
func TestUsage(t *testing.T) {
	p, err := script(t, `x=$(head -c 50000000 /dev/zero | tr '\0' x); sleep 0.2; head -c 4000000 /dev/zero > "$0.out"`).Once(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	u := p.Usage()
	if u.Anon < 40<<20 || u.CPU <= 0 || u.Written < 4000000 && u.Written != 0 {
		t.Errorf("%+v", u)
	}
}

// The figures of this process are there and in order; nobody has none.
func TestMemoryOf(t *testing.T) {
	m := MemoryOf(os.Getpid())
	if m.Anon <= 0 || m.RSS < m.Anon || m.Peak < m.RSS {
		t.Errorf("%+v", m)
	}
	if m := MemoryOf(0); m != (Memory{}) { // no process has this id
		t.Errorf("of nobody: %+v", m)
	}
}
