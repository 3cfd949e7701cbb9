package main

import (
	"context"
	"errors"
	"testing"

	"github.com/spoolship/spoolship/internal/e2e/bench"
)

func TestSizeFlag(t *testing.T) {
	var n int64
	f := sizeFlag{&n}
	if err := f.Set("10GiB"); err != nil || n != 10<<30 || f.String() != "10 GiB" {
		t.Errorf("%d, %s, %v", n, f, err)
	}
	for _, bad := range []string{"", "much", "12KiB", "-1"} {
		if f.Set(bad) == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

// A wrong command line is told before anything is measured.
func TestBenchRefuses(t *testing.T) {
	for _, args := range [][]string{
		{"-parts", "backfill,nothing"}, {"-parts", ""}, {"-runs", "0"}, {"-files", "7"}, {"-size", "1"}, {"extra"},
	} {
		var usage *usageError
		if err := runBench(context.Background(), args); !errors.As(err, &usage) {
			t.Errorf("%q: %v", args, err)
		}
	}
	var usage *usageError
	if err := runCompare(context.Background(), []string{"-runs", "0"}); !errors.As(err, &usage) {
		t.Errorf("compare: %v", err)
	}
}

// Quick is quicker in everything.
func TestQuick(t *testing.T) {
	full, o := benchOptions(), benchOptions()
	quick(&o)
	if o.Size >= full.Size || o.Runs >= full.Runs || o.Latency >= full.Latency || o.Idle >= full.Idle || o.Files >= full.Files ||
		o.Hot >= full.Hot || o.Outage >= full.Outage || o.Open >= full.Open {
		t.Errorf("%+v", o)
	}
	if names := bench.PartNames(); names[len(names)-1] != "growth" {
		t.Errorf("the last part is %s: the usual ones are all but growth", names[len(names)-1])
	}
}
