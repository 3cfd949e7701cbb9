package s3dev

import (
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
)

// Memory returns a store with one empty bucket, kept in memory.
func Memory(bucket string) (http.Handler, error) {
	store := s3mem.New()
	if err := store.CreateBucket(bucket); err != nil {
		return nil, fmt.Errorf("create bucket %s: %w", bucket, err)
	}
	g := gofakes3.New(store, gofakes3.WithLogger(gofakes3.DiscardLog()), gofakes3.WithoutVersioning())
	return echoChecksum(g.Server()), nil
}

// echoChecksum repeats the checksum in the answer to a PUT, as S3 does.
func echoChecksum(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if sum := r.Header.Get("X-Amz-Checksum-Sha256"); r.Method == http.MethodPut && sum != "" {
			w.Header().Set("X-Amz-Checksum-Sha256", sum)
		}
		next.ServeHTTP(w, r)
	})
}

// Discard is a store that reads every body and keeps nothing. It may be
// served concurrently.
type Discard struct {
	objects, bytes atomic.Int64
}

// Totals returns how many objects and bytes were put.
func (d *Discard) Totals() (objects, bytes int64) { return d.objects.Load(), d.bytes.Load() }

func (d *Discard) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	n, err := drain(r.Body)
	if err != nil {
		return // cut off: it does not count
	}
	if r.Method == http.MethodPut {
		d.objects.Add(1)
		d.bytes.Add(n)
	}
	w.Header().Set("ETag", `"00000000000000000000000000000000"`)
	w.Header().Set("X-Amz-Checksum-Sha256", r.Header.Get("X-Amz-Checksum-Sha256"))
}

// drained are buffers that take what a socket holds at once: the other end of a
// benchmark should take as little of the machine as it can.
var drained = sync.Pool{New: func() any { return new([256 << 10]byte) }}

func drain(r io.Reader) (int64, error) {
	b := drained.Get().(*[256 << 10]byte)
	defer drained.Put(b)
	return io.CopyBuffer(struct{ io.Writer }{io.Discard}, r, b[:]) // by itself Discard reads 8 KiB at a time
}
