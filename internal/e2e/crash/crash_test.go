package crash

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"strings"
	"testing"
)

// cheapSeed finds a seed whose first n trials are short and write little: these
// tests are about the verdict.
func cheapSeed(n int) uint64 {
	best, least := uint64(0), math.Inf(1)
	for seed := range uint64(500) {
		cost := 0.0
		for trial := 1; trial <= n; trial++ {
			p := newPlan(seed, trial, "s3dev")
			var life float64
			for _, r := range p.rounds {
				life += (r.life + r.pause).Seconds()
			}
			cost += life
			for _, f := range p.files {
				cost += (float64(f.burst) + f.rate*life) / 3000
			}
		}
		if cost < least {
			best, least = seed, cost
		}
	}
	return best
}

// trials runs trials with the test binary as the agent.
func trials(t *testing.T, mode string, n int) (string, error) {
	t.Helper()
	t.Setenv(fakeMode, mode)
	t.Setenv("GORACE", "atexit_sleep_ms=0") // the race detector lets every agent sleep a second at its end
	t.Setenv("TMPDIR", t.TempDir())         // failed trials keep their directories
	var out bytes.Buffer
	err := Run(context.Background(), Options{Binary: os.Args[0], Store: "s3dev", Trials: n, Seed: cheapSeed(n), Parallel: 2, Out: &out})
	return out.String(), err
}

func TestHonestAgentPasses(t *testing.T) {
	out, err := trials(t, "honest", 2)
	if err != nil || !strings.Contains(out, "2 passed, 0 failed\n") {
		t.Errorf("%v\n%s", err, out)
	}
}

// The harness must catch an agent that breaks the promise, and say how.
func TestBrokenAgentFails(t *testing.T) {
	for mode, says := range map[string]string{"loses": "lost: ", "repeats": "duplicated: ", "reorders": "reordered: "} {
		t.Run(mode, func(t *testing.T) {
			out, err := trials(t, mode, 1)
			if !errors.Is(err, ErrFailed) || !strings.Contains(out, says) || !strings.Contains(out, fmt.Sprintf("again: spoolship-e2e crash -seed %d -trial 1 -store s3dev", cheapSeed(1))) {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

func TestPlansDependOnTheSeedOnly(t *testing.T) {
	show := func(seed uint64, trial int) string {
		p := newPlan(seed, trial, "s3dev")
		faults := fmt.Sprintf("%+v", p.faults)
		p.faults = nil // a pointer, that would differ
		return fmt.Sprintf("%+v %s", *p, faults)
	}
	first, again := show(1, 1), show(1, 1)
	if first != again {
		t.Errorf("two plans of one seed differ:\n%s\n%s", first, again)
	}
	if first == show(1, 2) || first == show(2, 1) {
		t.Error("plans of different trials are equal")
	}
}

// Over a usual number of trials every failpoint and every rotation is drawn.
func TestPlansCoverEverything(t *testing.T) {
	seen := map[string]bool{}
	for trial := range 100 {
		p := newPlan(1, trial, "s3dev")
		for _, r := range p.rounds {
			name, _, _ := strings.Cut(r.failpoint, ":")
			seen[name] = true
		}
		for _, f := range p.files {
			seen[string(f.rotation)] = true
		}
	}
	for _, want := range append([]string{"never", "rename", "copytruncate"}, steps...) {
		if !seen[want] {
			t.Errorf("%s is never drawn", want)
		}
	}
}
