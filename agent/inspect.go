package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/spoolship/spoolship/agent/chunk"
	"github.com/spoolship/spoolship/spool"
)

// VerifyEvent is one line of the answer to GET /verify. One is sent at least
// every VerifyBeat, the last one has Done or Error.
type VerifyEvent struct {
	Bytes  int64  `json:"bytes"`            // stored bytes of blocks checked so far
	Damage string `json:"damage,omitempty"` // a piece of damage that was found
	Done   bool   `json:"done,omitempty"`
	Error  string `json:"error,omitempty"` // why not everything was checked
}

// VerifyBeat is the longest time between two lines of the answer to GET /verify.
const VerifyBeat = time.Second

// serveVerify checks the whole spool and streams what it finds. It ends when
// the client goes away.
func (a *Agent) serveVerify(w http.ResponseWriter, r *http.Request, sp *spool.Spool) {
	if !a.verifying.CompareAndSwap(false, true) {
		http.Error(w, "the spool is being verified already", http.StatusServiceUnavailable)
		return
	}
	defer a.verifying.Store(false)
	ctx, cancel := context.WithCancel(r.Context())
	w.Header().Set("Content-Type", "application/x-ndjson")
	var mu sync.Mutex // of w and bytes
	var bytes int64
	send := func(e VerifyEvent) {
		mu.Lock()
		defer mu.Unlock()
		e.Bytes = bytes
		if err := errors.Join(json.NewEncoder(w).Encode(e), http.NewResponseController(w).Flush()); err != nil {
			cancel()
		}
	}
	send(VerifyEvent{})
	var beating sync.WaitGroup
	beating.Go(func() {
		tick := time.NewTicker(VerifyBeat)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				send(VerifyEvent{})
			case <-ctx.Done():
				return
			}
		}
	})
	err := sp.Verify(ctx, func(err error) { send(VerifyEvent{Damage: err.Error()}) }, func(n int64) {
		mu.Lock()
		defer mu.Unlock()
		bytes += n
	})
	cancel()
	beating.Wait()
	last := VerifyEvent{Done: true}
	if err != nil {
		last = VerifyEvent{Error: err.Error()}
	}
	send(last)
}

// serveObject answers with the object of a chunk, 404 if there is none. A
// failure cuts the answer short of its Content-Length.
func serveObject(w http.ResponseWriter, r *http.Request, sp *spool.Spool) {
	seq, err := strconv.ParseUint(r.PathValue("seq"), 10, 64)
	if err != nil {
		http.Error(w, "not a chunk: "+r.PathValue("seq"), http.StatusNotFound)
		return
	}
	body, err := OpenObject(r.Context(), sp, seq)
	switch {
	case errors.Is(err, spool.ErrNoChunk):
		http.Error(w, err.Error(), http.StatusNotFound)
		return
	case err != nil:
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Length", strconv.FormatInt(body.Size(), 10))
	_, _ = io.Copy(w, body)
}

// OpenObject returns the object of an unacked chunk: the bytes that are
// shipped for it (or would be now, if it is open). It reads the whole chunk, and
// reading fails once ctx has ended. A chunk that was shipped meanwhile is a
// spool.ErrNoChunk.
func OpenObject(ctx context.Context, sp *spool.Spool, seq uint64) (*chunk.Body, error) {
	for _, c := range sp.Chunks() {
		if c.Seq != seq {
			continue
		}
		codec, err := chunk.ParseCodec(c.Codec)
		if err != nil {
			return nil, err
		}
		src := &inspected{ctx: ctx}
		if c.State != spool.StateTombstone {
			if src.reader, err = sp.OpenChunk(seq); err != nil {
				return nil, err
			}
		}
		return chunk.NewBody(codec, 1, src)
	}
	return nil, fmt.Errorf("chunk %d (it may have been shipped): %w", seq, spool.ErrNoChunk)
}

// inspected is a source that ends with whoever asked.
type inspected struct {
	source
	ctx context.Context
}

func (s *inspected) Piece(i int) (chunk.Piece, error) {
	if err := s.ctx.Err(); err != nil {
		return chunk.Piece{}, err
	}
	return s.source.Piece(i)
}
