//go:build unix

package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"syscall"
	"time"
)

// newLog returns the log of the service on w. In the journal, lines have
// priorities instead of a level, and no time: it has its own.
func newLog(w io.Writer, level slog.Leveler) *slog.Logger {
	o := &slog.HandlerOptions{Level: level, ReplaceAttr: printableAttr}
	var h slog.Handler
	if inJournal(w) {
		h = newPriorities(w, o)
	} else {
		h = slog.NewTextHandler(w, o)
	}
	return slog.New(&calm{Handler: h, seen: &seen{at: make(map[string]*repeated)}})
}

// inJournal says whether w is the stream that systemd has connected with the
// journal: JOURNAL_STREAM has its device and inode.
func inJournal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	if err != nil {
		return false
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && os.Getenv("JOURNAL_STREAM") == fmt.Sprintf("%d:%d", st.Dev, st.Ino)
}

// priorities writes lines that begin with "<N>", as sd-daemon(3) has them.
type priorities struct {
	slog.Handler // writes one line to buf
	w            io.Writer
	mu           *sync.Mutex
	buf          *bytes.Buffer
}

func newPriorities(w io.Writer, o *slog.HandlerOptions) *priorities {
	buf := &bytes.Buffer{}
	plain := slog.NewTextHandler(buf, &slog.HandlerOptions{Level: o.Level, ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
		if len(groups) == 0 && (a.Key == slog.TimeKey || a.Key == slog.LevelKey) {
			return slog.Attr{}
		}
		return printableAttr(groups, a)
	}})
	return &priorities{Handler: plain, w: w, mu: &sync.Mutex{}, buf: buf}
}

// Handle writes a line with one call, so that no other comes between.
func (p *priorities) Handle(ctx context.Context, r slog.Record) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.buf.Reset()
	fmt.Fprintf(p.buf, "<%d>", priority(r.Level))
	if err := p.Handler.Handle(ctx, r); err != nil {
		return err
	}
	_, err := p.w.Write(p.buf.Bytes())
	return err
}

// WithAttrs is part of slog.Handler.
func (p *priorities) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &priorities{p.Handler.WithAttrs(attrs), p.w, p.mu, p.buf}
}

// WithGroup is part of slog.Handler.
func (p *priorities) WithGroup(name string) slog.Handler {
	return &priorities{p.Handler.WithGroup(name), p.w, p.mu, p.buf}
}

// priority is a level as syslog(3) counts.
func priority(l slog.Level) int {
	switch {
	case l >= slog.LevelError:
		return 3
	case l >= slog.LevelWarn:
		return 4
	case l >= slog.LevelInfo:
		return 6
	}
	return 7
}

// repeatAfter is for how long a warning is not given again.
const repeatAfter = time.Minute

// calm leaves warnings and errors out that were given within the last minute.
// The next one says how many that were.
type calm struct {
	slog.Handler
	seen *seen
}

type seen struct {
	mu sync.Mutex
	at map[string]*repeated // by what the line says
}

type repeated struct {
	last time.Time // that it was given
	n    int       // times that it was left out since
}

// Handle is part of slog.Handler.
func (c *calm) Handle(ctx context.Context, r slog.Record) error {
	if r.Level >= slog.LevelWarn {
		n, now := c.seen.ask(&r)
		if !now {
			return nil
		}
		if n > 0 {
			r = r.Clone()
			r.AddAttrs(slog.Int("repeated", n))
		}
	}
	return c.Handler.Handle(ctx, r)
}

// WithAttrs is part of slog.Handler.
func (c *calm) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &calm{c.Handler.WithAttrs(attrs), c.seen}
}

// WithGroup is part of slog.Handler.
func (c *calm) WithGroup(name string) slog.Handler {
	return &calm{c.Handler.WithGroup(name), c.seen}
}

// seenMost bounds what is remembered.
const seenMost = 1000

// ask says whether a line may be given now, and how many were left out.
func (s *seen) ask(r *slog.Record) (n int, now bool) {
	key := r.Level.String() + r.Message
	r.Attrs(func(a slog.Attr) bool {
		key += "\x00" + a.Key + "=" + a.Value.String()
		return true
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	was := s.at[key]
	if was != nil && r.Time.Sub(was.last) < repeatAfter {
		was.n++
		return 0, false
	}
	if was != nil {
		n = was.n
	}
	if len(s.at) >= seenMost {
		for k, other := range s.at {
			if r.Time.Sub(other.last) >= repeatAfter {
				delete(s.at, k)
			}
		}
	}
	if len(s.at) < seenMost {
		s.at[key] = &repeated{last: r.Time}
	}
	return n, true
}
