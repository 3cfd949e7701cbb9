package tailer

import "testing"

// TestClassify has a case for each row of the table in the package documentation.
func TestClassify(t *testing.T) {
	for _, c := range []struct {
		name string
		f    facts
		want verdict
	}{
		{"grew", facts{at: atHome, bytes: same}, readOn},
		{"renamed", facts{at: renamed, bytes: same}, drain},
		{"renamed, a copy beside it", facts{at: renamed, bytes: same, copied: true}, drain},
		{"moved out of sight while open", facts{bytes: same, open: true, linked: true}, drain},
		{"moved out of sight, a like file at home", facts{bytes: same, open: true, linked: true, home: true}, drain},
		{"deleted while open", facts{bytes: same, open: true}, drain},
		{"deleted while open, what may be its copy is unreadable", facts{bytes: same, open: true, doubt: true}, drain},
		{"replaced by a copy of itself while open", facts{bytes: same, open: true, home: true}, takeHome},
		{"replaced by a copy, then rotated", facts{bytes: same, open: true, copied: true, home: true}, takeCopy},
		{"replaced by a copy of itself while down", facts{home: true}, takeHome},
		{"replaced or truncated and begun anew, what may be its copy is unreadable", facts{home: true, doubt: true}, waitFor},
		{"truncated, the copy is there", facts{at: atHome, copied: true}, takeCopy},
		{"truncated, looks intact, copy may be growing", facts{at: atHome, bytes: same, copied: true}, waitFor},
		{"truncated, looks intact, copy is settled", facts{at: atHome, bytes: same, copied: true, settled: true}, takeCopy},
		{"truncated or not, the copy is unreadable", facts{at: atHome, bytes: same, doubt: true}, waitFor},
		{"truncated, no copy yet", facts{}, waitFor},
		{"cut short by a loss of power", facts{kept: true, settled: true}, goOn},
		{"cut short by a loss of power, what may be its copy is unreadable", facts{kept: true, settled: true, doubt: true}, waitFor},
		{"truncated before a loss of power, the copy is there", facts{kept: true, copied: true, settled: true}, takeCopy},
		{"truncated or deleted, no copy comes", facts{settled: true}, giveUp},
		{"deleted while down, a copy is there", facts{copied: true, settled: true}, takeCopy},
		{"gone, a compressed file that may have it is looked into", facts{settled: true, later: true}, waitFor},
		{"replaced or begun anew, a compressed file that may have it is looked into", facts{home: true, settled: true, later: true}, waitFor},
		{"deleted while open, a like file at home, a compressed one is looked into", facts{bytes: same, open: true, home: true, later: true}, drain},
		{"truncated or not, a compressed copy is looked into", facts{at: atHome, bytes: same, later: true}, waitFor},
		{"unreadable at home", facts{at: atHome, bytes: unsure, settled: true}, waitFor},
		{"unreadable elsewhere", facts{at: renamed, bytes: unsure, copied: true}, waitFor},
	} {
		if got := classify(c.f); got != c.want {
			t.Errorf("%s: verdict %d, want %d", c.name, got, c.want)
		}
	}
}

func TestHomeOf(t *testing.T) {
	for path, home := range map[string]string{
		"/l/app.log":                     "/l/app.log",
		"/l/app.log.1":                   "/l/app.log",
		"/l/app.log.old":                 "/l/app.log",
		"/l/app.log-20260101":            "/l/app.log",
		"/l/app.log-20260101.3":          "/l/app.log",
		"/l/app.log.2026-01-01":          "/l/app.log",
		"/l/app.log.2026-01-01-13":       "/l/app.log",
		"/l/app.log-1767225600":          "/l/app.log",
		"/l/app-20260101.log":            "/l/app.log",
		"/l/app.2026-01-01.log":          "/l/app.log",
		"/l/0.log.20260101-120000":       "/l/0.log",
		"/l/2026-01-01.log":              "/l/2026-01-01.log",
		"/l/server-2.log":                "/l/server-2.log",
		"/l/app1":                        "/l/app1",
		"/l.1/app.log":                   "/l.1/app.log",
		"/l/app.log.2":                   "/l/app.log",
		"/l/app.log.2026-01-01T13:00:00": "/l/app.log",
		"/l/app.log.2.gz":                "/l/app.log",
		"/l/app.log-20260101.zst":        "/l/app.log",
		"/l/app-20260101.log.bz2":        "/l/app.log",
		"/l/app.log.gz":                  "/l/app.log",
	} {
		if got := homeOf(path); got != home {
			t.Errorf("homeOf(%s) = %s, want %s", path, got, home)
		}
	}
}
