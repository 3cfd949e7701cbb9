package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"
)

// Hot is what quiet files see beside one that is written at full speed.
type Hot struct {
	Seconds float64   `json:"seconds"`
	Files   int       `json:"trickling_files"`
	Lines   int       `json:"trickled_lines"`
	Speed   float64   `json:"hot_mb_per_s"`
	Durable Quantiles `json:"trickled_to_durable_ms"`
}

const (
	trickling  = 50
	trickleGap = 20 * time.Millisecond // between two lines: each file has one a second
	hotAhead   = 256 << 20             // unread bytes of the hot file: enough to keep the agent busy
	hotPiece   = 32 << 20              // of one write
)

// hot writes one file as fast as the agent reads it, and lines to 50 others.
func (b *bench) hot(ctx context.Context) error {
	if err := b.generate(); err != nil {
		return err
	}
	l, err := b.newLive("hot")
	if err != nil {
		return err
	}
	defer l.close()
	l.input("json", l.logs+"/*.log")
	feeds := make([]*feed, trickling)
	for i := range feeds {
		feeds[i] = newFeed(l.logs, i)
		if err := os.WriteFile(feeds[i].path, nil, 0o644); err != nil {
			return err
		}
	}
	if err := l.start(); err != nil {
		return err
	}
	p := newProbe(l.agent.Socket)
	defer p.close()
	if _, err := p.await(ctx, readyEvery, readyLimit, func(s status) bool { return s.Following }); err != nil {
		return err
	}
	m, err := b.runHot(ctx, l, p, feeds)
	if err != nil {
		return err
	}
	b.say("hot file at %.0f MB/s; %d lines into %d other files, durable after %.0f ms at most", m.Speed, m.Lines, m.Files, m.Durable.Max)
	b.report.Hot = m
	return nil
}

func (b *bench) runHot(ctx context.Context, l *live, p *probe, feeds []*feed) (*Hot, error) {
	writing, stop := context.WithTimeout(ctx, b.o.Hot)
	defer stop()
	watching, done := context.WithCancel(ctx)
	defer done()
	m := &Hot{Files: len(feeds)}
	var times []time.Duration
	var g, w errgroup.Group
	w.Go(func() (err error) { times, err = watchDurable(watching, &l.agent, feeds); return err })
	began := time.Now()
	g.Go(func() error { return writeHot(writing, p, filepath.Join(l.logs, "hot.log"), b.files["json"]) })
	g.Go(func() error { return trickle(writing, feeds) })
	err := g.Wait()
	m.Seconds = time.Since(began).Seconds()
	s, errStatus := p.status(ctx)
	m.Speed = float64(s.bytes()) / 1e6 / m.Seconds
	_, errRest := p.await(ctx, pollEvery, settleLimit, func(s status) bool { return s.Lag == 0 })
	errPause := pause(ctx, 5*pollEvery) // for watchDurable to see the last of it
	done()
	if err := errors.Join(err, errStatus, errRest, errPause, w.Wait()); err != nil {
		return nil, err
	}
	for _, f := range feeds {
		m.Lines += int(f.lines)
	}
	if len(times) != m.Lines {
		return nil, fmt.Errorf("%d lines were trickled, %d became durable", m.Lines, len(times))
	}
	m.Durable = quantiles(times)
	return m, nil
}

// writeHot writes the data over and over until ctx ends, never more than
// hotAhead before what is durable.
func writeHot(ctx context.Context, p *probe, path, from string) error {
	data, unmap, err := mapFile(from)
	if err != nil {
		return err
	}
	defer unmap()
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	var written int64
	for ctx.Err() == nil {
		s, err := p.status(ctx)
		if err != nil {
			return ignoreEnd(ctx, err)
		}
		if written-s.bytes() > hotAhead {
			if pause(ctx, pollEvery) != nil {
				return nil
			}
			continue
		}
		n, err := f.Write(wholeLines(data, written%int64(len(data)), hotPiece))
		if err != nil {
			return err
		}
		written += int64(n)
	}
	return nil
}

// wholeLines returns about n bytes of data from at on, to the end of a line.
// data ends with one.
func wholeLines(data []byte, at, n int64) []byte {
	data = data[at:]
	if int64(len(data)) > n {
		data = data[:bytes.LastIndexByte(data[:n], '\n')+1]
	}
	return data
}

// ignoreEnd takes an error for none if ctx has ended.
func ignoreEnd(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// trickle appends a line to one file after the other until ctx ends.
func trickle(ctx context.Context, feeds []*feed) error {
	for i := 0; pause(ctx, trickleGap) == nil; i = (i + 1) % len(feeds) {
		f, at := feeds[i], time.Now()
		text := f.source.Append(nil)
		if err := appendTo(f.path, text); err != nil {
			return err
		}
		f.note(1, int64(len(text)), at)
	}
	return nil
}
