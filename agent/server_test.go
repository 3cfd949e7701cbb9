package agent

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestHealthAndReadiness(t *testing.T) {
	s := newSite(t)
	a := s.agent(t, Options{Sink: newMemSink()})
	ask := func(path string, code int, body string) {
		t.Helper()
		w := httptest.NewRecorder()
		a.handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		if w.Code != code || w.Body.String() != body {
			t.Errorf("%s: %d %q, want %d %q", path, w.Code, w.Body.String(), code, body)
		}
	}
	ask("/readyz", 503, "files are not followed yet\n")
	ask("/healthz", 200, "ok\n")
	start(t, a)
	eventually(t, "files are followed", func() bool { return a.Status().Following })
	ask("/readyz", 200, "ok\n")
	a.health.fail(causeUpload, "", errors.New("denied"), "allow it")
	ask("/healthz", 503, "upload: denied; allow it\n")
	a.health.ok(causeUpload)
	ask("/healthz", 200, "ok\n")
}
