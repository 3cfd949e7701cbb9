//go:build e2e

package fleet

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/spoolship/spoolship/internal/e2e/s3dev"
)

const (
	hours = 100
	most  = 256 // MiB, of any size
	limit = time.Minute
)

// An audit of any size has the memory that its queues need, and not its keys, and
// finds the chunks that are missing. QUEUES says how many hosts there are, each with a
// chunk in each of 100 hours; 100000 is the goal that ARCHITECTURE.md names.
func TestAudit(t *testing.T) {
	queues := 2000
	if n, err := strconv.Atoi(os.Getenv("QUEUES")); err == nil {
		queues = n
	}
	s := &store{queues: queues, hours: hours, delay: 20 * time.Millisecond, missing: map[[2]int]bool{
		{0, 0}: true, {queues / 2, 7}: true, {queues / 2, 8}: true, {queues - 1, hours - 2}: true,
	}}
	server, err := s3dev.Listen(s)
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	binary := os.Getenv("SPOOLSHIP_BIN")
	if binary == "" {
		binary = "../../../bin/spoolship"
	}
	cmd := exec.Command(binary, "audit", "--json", "--endpoint", server.URL(), "--path-style", "--region", "us-east-1", "s3://events")
	cmd.Env = []string{"AWS_ACCESS_KEY_ID=id", "AWS_SECRET_ACCESS_KEY=secret", "HOME=/nonexistent"}
	cmd.Stderr = os.Stderr
	began := time.Now()
	text, err := cmd.Output()
	took := time.Since(began)
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 3 {
		t.Fatalf("audit: %v; want exit code 3, for the chunks that are missing", err)
	}
	var report struct {
		Objects int64
		Missing uint64 `json:"missing_chunks"`
		Streams []struct {
			Queue string
			Gaps  []struct {
				First, Last   uint64
				After, Before string
			}
		}
	}
	if err := json.Unmarshal(text, &report); err != nil {
		t.Fatal(err)
	}
	peak := cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss / 1024
	cpu := cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	fmt.Printf("%-10s %10s %8s %8s %8s\n%-10d %10d %8.1f %8.1f %8d\n", "queues", "keys", "seconds", "CPU-s", "MiB", queues, s.keys(), took.Seconds(), cpu.Seconds(), peak)
	if report.Objects != int64(s.keys()) || report.Missing != 4 || len(report.Streams) != queues {
		t.Errorf("%d objects, %d missing, %d streams; want %d, 4, %d", report.Objects, report.Missing, len(report.Streams), s.keys(), queues)
	}
	for _, stream := range report.Streams {
		for _, g := range stream.Gaps {
			first := g.First == 1
			if (g.After == "") != first || g.Before == "" {
				t.Errorf("queue %s: gap %d to %d is after %q and before %q", stream.Queue, g.First, g.Last, g.After, g.Before)
			}
		}
	}
	if peak > most || took > limit {
		t.Errorf("took %s and %d MiB; want at most %s and %d MiB", took.Round(time.Second), peak, limit, most)
	}
}
