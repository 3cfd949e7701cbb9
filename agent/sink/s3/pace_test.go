package s3

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/spoolship/spoolship/agent/sink/sinktest"
)

// All uploads together keep to the rate, whatever their number.
func TestUploadRate(t *testing.T) {
	srv := sinktest.NewServer(t)
	o := optionsFor(srv)
	o.UploadRate = 1 << 20
	s := newSink(t, o)
	began := time.Now()
	var wg sync.WaitGroup
	for n := range 4 {
		wg.Go(func() {
			if err := s.Put(t.Context(), sinktest.NewObject(fmt.Sprint(n), sinktest.Bytes(128<<10))); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	// The first eighth of a second's bytes is free.
	if took := time.Since(began); took < 350*time.Millisecond {
		t.Errorf("512 KiB at 1 MiB/s took %v", took)
	}
}

// The pace is no reason to give an attempt up, and a stop ends it at once.
func TestUploadRateAndTime(t *testing.T) {
	srv := sinktest.NewServer(t)
	o := optionsFor(srv)
	o.UploadRate, o.Timeout, o.MaxConns = 256<<10, 100*time.Millisecond, 4
	s := newSink(t, o)
	if err := s.Put(t.Context(), sinktest.NewObject("slow", sinktest.Bytes(128<<10))); err != nil {
		t.Errorf("an upload that takes longer than the time-out: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	srv.Script(func(sinktest.Request) sinktest.Fault { cancel(); return sinktest.Fault{} })
	began := time.Now()
	e := failed(t, s.Put(ctx, sinktest.NewObject("stopped", sinktest.Bytes(8<<20))))
	if !errors.Is(e, context.Canceled) || e.Code != codeCancelled || time.Since(began) > 5*time.Second {
		t.Errorf("got %+v after %v", e, time.Since(began))
	}
}

func TestTimeForThePace(t *testing.T) {
	if d := newPace(1<<20).longer(8<<20, 4); d != 32*time.Second {
		t.Errorf("8 MiB beside 3 others at 1 MiB/s: %v", d)
	}
	if d := newPace(0).longer(8<<20, 4); d != 0 {
		t.Errorf("without a pace: %v", d)
	}
}
