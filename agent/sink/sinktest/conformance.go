package sinktest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/spoolship/spoolship/agent/sink"
)

// NewObject makes an object of that body.
func NewObject(key string, body []byte) *sink.Object {
	return &sink.Object{
		Key:         key,
		ContentType: "application/x-ndjson",
		Metadata:    map[string]string{"records": "1"},
		Size:        int64(len(body)),
		SHA256:      sha256.Sum256(body),
		Body:        bytes.NewReader(body),
	}
}

// Bytes makes n bytes that are the same for the same n.
func Bytes(n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{byte(n), byte(n >> 8), byte(n >> 16)}).Read(b)
	return b
}

// cases are the suite.
var cases = []struct {
	name string
	test func(*testing.T, sink.Sink)
}{
	{"sizes", testSizes},
	{"keys", testKeys},
	{"unusual keys", testUnusualKeys},
	{"repeated", testRepeated},
	{"if absent", testIfAbsent},
	{"if absent, large", testIfAbsentLarge},
	{"damaged", testDamaged},
	{"short", testShort},
	{"unreadable", testUnreadable},
	{"rewinds", testRewinds},
	{"cancelled", testCancelled},
	{"lets go", testLetsGo},
	{"concurrent", testConcurrent},
	{"same key races", testSameKey},
}

// Conformance checks the contract of sink.Sink with nothing but Put. newSink is
// called once per subtest, with it, and must return a working sink of an empty
// destination that verifies SHA-256. lacks names what the destination itself
// can't do: cases that are skipped, each with the reason.
func Conformance(t *testing.T, newSink func(*testing.T) sink.Sink, lacks map[string]string) {
	known := 0
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s := newSink(t)
			if why, is := lacks[c.name]; is {
				t.Skip("skipped: " + why)
			}
			c.test(t, s)
		})
		if _, is := lacks[c.name]; is {
			known++
		}
	}
	if known != len(lacks) {
		t.Errorf("%v names cases that are not in the suite", lacks)
	}
}

// mustPut puts an object that nothing is wrong with.
func mustPut(t *testing.T, s sink.Sink, o *sink.Object) {
	t.Helper()
	if err := s.Put(t.Context(), o); err != nil {
		t.Fatalf("put %q: %v", o.Key, err)
	}
}

// mustFail checks that err is a failed attempt and not "exists".
func mustFail(t *testing.T, err error) *sink.Error {
	t.Helper()
	var e *sink.Error
	if !errors.As(err, &e) {
		t.Fatalf("got %v (%T), want a *sink.Error", err, err)
	}
	if e.Code == "" || e.Err == nil || e.Error() == "" {
		t.Fatalf("error without code or cause: %+v", e)
	}
	return e
}

// mustBeAbsent checks that no object of that key is there, by creating it.
func mustBeAbsent(t *testing.T, s sink.Sink, key string) {
	t.Helper()
	o := NewObject(key, []byte("now it exists"))
	o.IfAbsent = true
	if err := s.Put(t.Context(), o); err != nil {
		t.Fatalf("%q should be absent: %v", key, err)
	}
}

func testSizes(t *testing.T, s sink.Sink) {
	for _, n := range []int{0, 1, 4095, 64 << 10, 3<<20 + 1} {
		mustPut(t, s, NewObject(fmt.Sprintf("size-%d", n), Bytes(n)))
	}
}

func testKeys(t *testing.T, s sink.Sink) {
	putAndFind(t, s,
		"app/dt=2026-01-31/hour=23/host-0011223344556677-00000042-1000-89abcdef01234567.ndjson.gz",
		"with space/plus+percent%25/ümlaut/日本/a'b(c)!*~&=;,:@$",
		"dot.",
	)
}

// Keys that nothing is wrong with where keys are names and not paths of files.
func testUnusualKeys(t *testing.T, s sink.Sink) {
	putAndFind(t, s, "double//slash", "trailing-slash/")
}

// putAndFind puts objects, each of which must be there under its own key then.
func putAndFind(t *testing.T, s sink.Sink, keys ...string) {
	t.Helper()
	for _, key := range keys {
		mustPut(t, s, NewObject(key, []byte(key)))
		again := NewObject(key, []byte(key))
		again.IfAbsent = true
		if err := s.Put(t.Context(), again); !errors.Is(err, sink.ErrExists) {
			t.Fatalf("%q is not found under the key it was put under: %v", key, err)
		}
	}
}

// A retry puts the same object again, and that is no error.
func testRepeated(t *testing.T, s sink.Sink) {
	for range 3 {
		mustPut(t, s, NewObject("key", Bytes(1000)))
	}
}

func testIfAbsent(t *testing.T, s sink.Sink) {
	mustBeAbsent(t, s, "key")
	o := NewObject("key", Bytes(1000))
	o.IfAbsent = true
	if err := s.Put(t.Context(), o); !errors.Is(err, sink.ErrExists) {
		t.Fatalf("got %v, want ErrExists", err)
	}
	o = NewObject("key", Bytes(2<<20))
	o.IfAbsent = true
	if err := s.Put(t.Context(), o); err == nil {
		t.Fatal("an object that was there has been replaced")
	}
	mustPut(t, s, NewObject("key", []byte("unconditional")))
}

// The answer must not be lost while the body is still on its way.
func testIfAbsentLarge(t *testing.T, s sink.Sink) {
	mustBeAbsent(t, s, "key")
	o := NewObject("key", Bytes(2<<20))
	o.IfAbsent = true
	if err := s.Put(t.Context(), o); !errors.Is(err, sink.ErrExists) {
		t.Fatalf("got %v, want ErrExists", err)
	}
}

// Bytes that are not those of the hash must not be stored.
func testDamaged(t *testing.T, s sink.Sink) {
	o := NewObject("key", Bytes(100_000))
	o.SHA256[7] ^= 1
	mustFail(t, s.Put(t.Context(), o))
	mustBeAbsent(t, s, "key")
}

func testShort(t *testing.T, s sink.Sink) {
	o := NewObject("key", Bytes(100_000))
	o.Size++
	if e := mustFail(t, s.Put(t.Context(), o)); !errors.Is(e, io.ErrUnexpectedEOF) {
		t.Fatalf("got %v, want the cause to be io.ErrUnexpectedEOF", e)
	}
	mustBeAbsent(t, s, "key")
}

// errDisk is a body's own error.
var errDisk = errors.New("disk on fire")

// failingBody fails after half of its bytes.
type failingBody struct{ *bytes.Reader }

func (b failingBody) Read(p []byte) (int, error) {
	if int64(b.Len()) <= b.Size()/2 {
		return 0, errDisk
	}
	return b.Reader.Read(p[:min(len(p), 1000)])
}

// A spool that can't be read must not look like a failing destination.
func testUnreadable(t *testing.T, s sink.Sink) {
	content := Bytes(300_000)
	o := NewObject("key", content)
	o.Body = failingBody{bytes.NewReader(content)}
	if e := mustFail(t, s.Put(t.Context(), o)); !errors.Is(e, errDisk) {
		t.Fatalf("got %v, want the body's error", e)
	}
	mustBeAbsent(t, s, "key")
}

// The same Object is put again after a failed attempt, wherever its body is.
func testRewinds(t *testing.T, s sink.Sink) {
	o := NewObject("key", Bytes(100_000))
	right := o.SHA256
	o.SHA256[0] ^= 1
	mustFail(t, s.Put(t.Context(), o))
	o.SHA256 = right
	mustPut(t, s, o)
}

func testCancelled(t *testing.T, s sink.Sink) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if e := mustFail(t, s.Put(ctx, NewObject("key", Bytes(100)))); !errors.Is(e, context.Canceled) {
		t.Fatalf("got %v, want it to unwrap to context.Canceled", e)
	}
	mustBeAbsent(t, s, "key")
}

// watchedBody cancels in the middle and notices reads after its Put.
type watchedBody struct {
	*bytes.Reader
	middle   func()
	returned atomic.Bool
	late     atomic.Bool
}

func (b *watchedBody) Read(p []byte) (int, error) {
	if b.returned.Load() {
		b.late.Store(true)
	}
	if int64(b.Len()) < b.Size()/2 {
		b.middle()
	}
	return b.Reader.Read(p)
}

// Once Put has returned, the body belongs to the caller again: a connection that
// still reads it would take bytes away from the next attempt.
func testLetsGo(t *testing.T, s sink.Sink) {
	content := Bytes(8 << 20)
	for i := range 4 {
		ctx, cancel := context.WithCancel(t.Context())
		b := &watchedBody{Reader: bytes.NewReader(content), middle: cancel}
		o := NewObject(fmt.Sprint(i), content)
		o.Body = b
		err := s.Put(ctx, o)
		b.returned.Store(true)
		cancel()
		if err != nil { // the last bytes may have won
			mustFail(t, err)
		}
		b.middle = func() {}
		again := NewObject(o.Key, content)
		mustPut(t, s, again)
		if b.late.Load() {
			t.Fatal("the body was read after Put had returned")
		}
	}
}

func testConcurrent(t *testing.T, s sink.Sink) {
	var wg sync.WaitGroup
	for i := range 32 {
		wg.Go(func() {
			for j := range 4 {
				if err := s.Put(t.Context(), NewObject(fmt.Sprintf("%d/%d", i, j), Bytes(10_000+i))); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

// Of conditional requests that race for a key, one at most may create it; the
// others must be told so or be told to try again.
func testSameKey(t *testing.T, s sink.Sink) {
	var created, existed atomic.Int32
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			o := NewObject("key", Bytes(5000))
			o.IfAbsent = true
			switch err := s.Put(t.Context(), o); {
			case err == nil:
				created.Add(1)
			case errors.Is(err, sink.ErrExists):
				existed.Add(1)
			}
		})
	}
	wg.Wait()
	if created.Load() != 1 || existed.Load() == 0 {
		t.Fatalf("%d calls created the object and %d found it, want 1 and some", created.Load(), existed.Load())
	}
}
