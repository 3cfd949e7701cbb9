package s3dev

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"io"
	"net/http"
	"testing"
	"time"
)

const testBucket = "events"

// start serves an empty embedded store behind a front.
func start(t *testing.T) (*Front, *Server) {
	t.Helper()
	store, err := Memory(testBucket)
	if err != nil {
		t.Fatal(err)
	}
	f := NewFront(store)
	s, err := Listen(f)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return f, s
}

// client keeps no connections, so that none outlives its test.
var client = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 10 * time.Second}

// request makes a PUT of body with correct digests.
func request(t *testing.T, s *Server, key, body string) *http.Request {
	t.Helper()
	r, err := http.NewRequest(http.MethodPut, s.URL()+"/"+testBucket+"/"+key, bytes.NewReader([]byte(body)))
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte(body))
	r.Header.Set("X-Amz-Content-Sha256", hex.EncodeToString(sum[:]))
	r.Header.Set("X-Amz-Checksum-Sha256", base64.StdEncoding.EncodeToString(sum[:]))
	return r
}

// do returns the status; 0 if the connection broke.
func do(r *http.Request) (int, http.Header) {
	answer, err := client.Do(r)
	if err != nil {
		return 0, nil
	}
	defer answer.Body.Close()
	io.Copy(io.Discard, answer.Body)
	return answer.StatusCode, answer.Header
}

// content reads an object through the front; "" if it is not there.
func content(t *testing.T, s *Server, key string) string {
	t.Helper()
	answer, err := client.Get(s.URL() + "/" + testBucket + "/" + key)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	b, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	if answer.StatusCode != http.StatusOK {
		return ""
	}
	return string(b)
}

func TestFrontStoresAndAnswersAsS3(t *testing.T) {
	f, s := start(t)
	r := request(t, s, "k", "hello")
	status, h := do(r)
	if status != http.StatusOK || h.Get("ETag") == "" || h.Get("X-Amz-Checksum-Sha256") != r.Header.Get("X-Amz-Checksum-Sha256") {
		t.Errorf("status %d, header %v", status, h)
	}
	if got := content(t, s, "k"); got != "hello" {
		t.Errorf("content %q", got)
	}
	if f.StoredAt(testBucket, "k").IsZero() || !f.StoredAt(testBucket, "other").IsZero() {
		t.Error("StoredAt is wrong")
	}
}

func TestFrontRefusesWrongDigests(t *testing.T) {
	for name, spoil := range map[string]func(http.Header){
		"wrong payload hash":    func(h http.Header) { h.Set("X-Amz-Content-Sha256", hex.EncodeToString(make([]byte, 32))) },
		"streaming signature":   func(h http.Header) { h.Set("X-Amz-Content-Sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER") },
		"no payload hash":       func(h http.Header) { h.Del("X-Amz-Content-Sha256") },
		"wrong checksum":        func(h http.Header) { h.Set("X-Amz-Checksum-Sha256", "AAAA") },
		"checksum as a trailer": func(h http.Header) { h.Del("X-Amz-Checksum-Sha256"); h.Set("X-Amz-Trailer", "x-amz-checksum-sha256") },
	} {
		t.Run(name, func(t *testing.T) {
			f, s := start(t)
			r := request(t, s, "k", "hello")
			spoil(r.Header)
			if status, _ := do(r); status != http.StatusBadRequest {
				t.Errorf("status %d", status)
			}
			if st := f.Stats(); len(st.Refused) != 1 || st.Stored != 0 || content(t, s, "k") != "" {
				t.Errorf("stats %+v", st)
			}
		})
	}
}

func TestFrontCountsRepeatsAndConflicts(t *testing.T) {
	f, s := start(t)
	do(request(t, s, "k", "one"))
	do(request(t, s, "k", "one"))
	conditional := request(t, s, "k", "one")
	conditional.Header.Set("If-None-Match", "*")
	if status, _ := do(conditional); status != http.StatusPreconditionFailed {
		t.Errorf("conditional PUT of a stored key: %d", status)
	}
	if st := f.Stats(); st.Stored != 1 || st.Repeated != 1 || st.Existed != 1 || len(st.Conflicts) != 0 {
		t.Errorf("stats %+v", st)
	}
	do(request(t, s, "k", "two"))
	if st := f.Stats(); len(st.Conflicts) != 1 {
		t.Errorf("a key stored with other bytes went unnoticed: %+v", st)
	}
}

// only is a schedule in which every PUT meets the same fault: it looks for a
// seed that draws it first.
func only(t *testing.T, k Kind, exists bool) *Faults {
	t.Helper()
	for seed := range uint64(10000) {
		f := &Faults{Seed: seed, Rate: 1, Hang: 50 * time.Millisecond}
		if f.draw(0, exists).kind == k {
			return f
		}
	}
	t.Fatalf("no seed draws %s", k)
	return nil
}

func TestFaults(t *testing.T) {
	for _, c := range []struct {
		kind   Kind
		status int
		stored bool
	}{
		{SlowDown, http.StatusServiceUnavailable, false},
		{Hang, 0, false},
		{CutBefore, 0, false},
		{LostAnswer, 0, true},
		{ResetMidBody, 0, false},
	} {
		t.Run(c.kind.String(), func(t *testing.T) {
			f, s := start(t)
			f.SetFaults(only(t, c.kind, false))
			status, h := do(request(t, s, "k", "hello"))
			if status != c.status {
				t.Errorf("status %d, want %d", status, c.status)
			}
			if c.kind == SlowDown && h.Get("Retry-After") == "" {
				t.Error("no Retry-After")
			}
			if f.Stats().Faults[c.kind.String()] != 1 {
				t.Errorf("not counted: %+v", f.Stats())
			}
			f.SetFaults(nil)
			if got := content(t, s, "k") != ""; got != c.stored {
				t.Errorf("stored: %v, want %v", got, c.stored)
			}
			if status, _ := do(request(t, s, "k", "hello")); status != http.StatusOK {
				t.Errorf("after the fault: %d", status)
			}
		})
	}
}

// A store may answer 412 before it has read the body; the client sees the
// answer or the reset, never a success.
func TestEarlyExists(t *testing.T) {
	f, s := start(t)
	do(request(t, s, "k", "hello"))
	faults := only(t, EarlyExists, true)
	f.puts = 0
	f.SetFaults(faults)
	r := request(t, s, "k", "hello")
	r.Header.Set("If-None-Match", "*")
	if status, _ := do(r); status != http.StatusPreconditionFailed && status != 0 {
		t.Errorf("status %d", status)
	}
	if f.Stats().Faults[EarlyExists.String()] != 1 {
		t.Errorf("not injected: %+v", f.Stats())
	}
}

func TestScheduleDependsOnTheSeedOnly(t *testing.T) {
	a, b := &Faults{Seed: 3, Rate: 0.5, Hang: time.Second}, &Faults{Seed: 4, Rate: 0.5, Hang: time.Second}
	seen, different := map[Kind]int{}, 0
	for n := range uint64(2000) {
		first, again := a.draw(n, true), a.draw(n, true)
		if first != again {
			t.Fatal("two draws of one PUT differ")
		}
		if first != b.draw(n, true) {
			different++
		}
		seen[first.kind]++
	}
	if different < 500 || len(seen) != int(kinds) {
		t.Errorf("%d draws differ between seeds, kinds seen: %v", different, seen)
	}
	if n := seen[None]; n < 900 || n > 1100 {
		t.Errorf("%d of 2000 PUTs without fault at rate 0.5", n)
	}
	if (*Faults)(nil).draw(0, true).kind != None {
		t.Error("no schedule, but a fault")
	}
}
