//go:build failpoint && unix

package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/spoolship/spoolship/agent/sink"
)

// mutant breaks the sink on purpose, if SPOOLSHIP_MUTANT says so: early-ack takes
// an object for delivered before it is sent. Tests must notice.
func mutant(s sink.Sink) sink.Sink {
	if os.Getenv("SPOOLSHIP_MUTANT") == "early-ack" {
		return earlyAck{s}
	}
	return s
}

type earlyAck struct{ sink.Sink }

func (e earlyAck) Put(ctx context.Context, o *sink.Object) error {
	time.AfterFunc(20*time.Millisecond, func() { _ = e.Sink.Put(context.WithoutCancel(ctx), o) })
	return nil
}

// failpoint reads SPOOLSHIP_FAILPOINT="step:n:action": at the n-th time that
// step is reached the process kills itself (kill), the step fails (error) or it
// never ends, as on a disk that does not answer (hang).
// It is built with -tags failpoint only, for crash tests.
func failpoint() func(string) error {
	spec := os.Getenv("SPOOLSHIP_FAILPOINT")
	if spec == "" {
		return nil
	}
	parts := strings.Split(spec, ":")
	if len(parts) != 3 {
		panic("SPOOLSHIP_FAILPOINT wants step:n:action, got " + spec)
	}
	n, err := strconv.ParseInt(parts[1], 10, 64)
	if err != nil {
		panic("SPOOLSHIP_FAILPOINT: " + err.Error())
	}
	var hits atomic.Int64
	return func(step string) error {
		if step != parts[0] || hits.Add(1) != n {
			return nil
		}
		fmt.Fprintf(os.Stderr, "failpoint %s reached\n", spec)
		switch parts[2] {
		case "kill":
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {} // until the signal arrives
		case "hang":
			select {}
		}
		return fmt.Errorf("failpoint %s", spec)
	}
}
