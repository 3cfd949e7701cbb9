package s3dev

import (
	"context"
	"net/http"
	"os"
	"strings"
	"testing"
)

func TestServerGoesDownAndComesBack(t *testing.T) {
	_, s := start(t)
	if status, _ := do(request(t, s, "k", "hello")); status != http.StatusOK {
		t.Fatalf("status %d", status)
	}
	s.Down()
	s.Down() // no harm
	_, err := client.Do(request(t, s, "k", "hello"))
	if err == nil || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("while down: %v", err)
	}
	if err := s.Up(); err != nil {
		t.Fatal(err)
	}
	if got := content(t, s, "k"); got != "hello" {
		t.Errorf("content %q after coming back", got)
	}
}

func TestDiscardCounts(t *testing.T) {
	d := &Discard{}
	s, err := Listen(d)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	status, h := do(request(t, s, "k", "hello"))
	if status != http.StatusOK || h.Get("ETag") == "" {
		t.Errorf("status %d, header %v", status, h)
	}
	if objects, bytes := d.Totals(); objects != 1 || bytes != 5 {
		t.Errorf("%d objects, %d bytes", objects, bytes)
	}
}

// versitygw checks signatures, so it is only seen to start and to refuse; the
// reader's tests and the crash trials use it for real.
func TestVersityStartsAndStops(t *testing.T) {
	const bin = "../../../bin/versitygw"
	if _, err := os.Stat(bin); err != nil {
		t.Skip("bin/versitygw is not built (make crash builds it)")
	}
	gw, err := StartVersity(context.Background(), bin, t.TempDir(), testBucket)
	if err != nil {
		t.Fatal(err)
	}
	defer gw.Close()
	s, err := Listen(NewFront(gw.Handler()))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if status, _ := do(request(t, s, "k", "hello")); status != http.StatusForbidden && status != http.StatusBadRequest {
		t.Errorf("an unsigned PUT got %d", status)
	}
}

func TestVersityThatEndsAtOnceIsAnError(t *testing.T) {
	if _, err := StartVersity(context.Background(), "/bin/false", t.TempDir(), testBucket); err == nil {
		t.Error("no error")
	}
}
