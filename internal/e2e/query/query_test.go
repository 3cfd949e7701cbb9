//go:build e2e

package query

import (
	"compress/gzip"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/spoolship/spoolship/internal/e2e/agentproc"
	"github.com/spoolship/spoolship/internal/e2e/rig"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The page asks for this hour.
var hour = time.Date(2026, 11, 23, 14, 0, 0, 0, time.UTC)

const (
	hours   = 30 // around it, so that two days have some
	perHour = 2000
	broken  = 7 // lines that are not JSON
)

// lines are events of all hours, an error with a status of 500 in every tenth.
func lines() (text string, errors int64) {
	var b strings.Builder
	for i := range perHour {
		for h := range hours {
			at := hour.Add(time.Duration(h-hours/2)*time.Hour + time.Duration(i)*1800*time.Millisecond)
			level, status := "info", 200
			if i%10 == 0 {
				level, status = "error", 500
				if at.Format(time.DateOnly) == hour.Format(time.DateOnly) {
					errors++
				}
			}
			fmt.Fprintf(&b, "{\"time\":%q,\"level\":%q,\"message\":\"number %d\",\"status\":%d}\n", at.Format(time.RFC3339Nano), level, i, status)
		}
		if i < broken {
			b.WriteString("not JSON at all\n")
		}
	}
	return b.String(), errors
}

// filled is the directory of a bucket that the agent has put text into.
func filled(t *testing.T, text string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	binary, err := filepath.Abs("../../../bin/spoolship")
	if err != nil {
		t.Fatal(err)
	}
	r, err := rig.New(ctx, t.TempDir(), rig.Versity, binary, "../../../bin/versitygw")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	cfg := r.Config()
	cfg.Prefix = "events/"
	cfg.Inputs = []agentproc.Input{{Name: "app", Include: []string{filepath.Join(r.Logs(), "*.log")}, TimeField: "time"}}
	if err := cfg.Write(r.Agent.Config); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(r.Logs(), "app.log"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Agent.Once(ctx); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(r.Dir, "versitygw", "data", cfg.Bucket)
}

// objectsIn finds the files below a folder of the bucket.
func objectsIn(t *testing.T, bucket, pattern string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(bucket, "events/app", pattern, "*.ndjson.gz"))
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// number reads a count, which may come as a string.
func number(v any) int64 {
	n, err := strconv.ParseInt(fmt.Sprint(v), 10, 64)
	if err != nil {
		return -1
	}
	return n
}

// write makes an object of the given lines.
func write(t *testing.T, name, text string) {
	t.Helper()
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z := gzip.NewWriter(f)
	if _, err := z.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
}

// What docs/query.md says to DuckDB counts what the agent shipped, opens the
// files of the wanted partitions only, and notices an object that is not whole.
func TestDuckDB(t *testing.T) {
	needDuckDB(t)
	text, errors := lines()
	bucket := filled(t, text)
	wanted, all := objectsIn(t, bucket, "dt=2026-11-23/hour=14"), objectsIn(t, bucket, "*/*")
	if len(wanted) == 0 || len(all) < hours {
		t.Fatalf("%d objects in all, %d of them in the folder of the hour", len(all), len(wanted))
	}
	// A chunk that was dropped has an object without records.
	tombstone := filepath.Join(filepath.Dir(wanted[0]), "web1-00112233445566ff-00000000000000000001-0.dropped-0011223344556677.ndjson.gz")
	write(t, tombstone, "")
	p := readPage(t, bucket)
	result := run(t, p.view, p.hour, p.errors, p.promised, "EXPLAIN "+p.hour, "SELECT count(*) AS n, count(raw) AS raw FROM app")

	if r := result[1]; len(r) != 1 || r[0]["dt"] != "2026-11-23" || r[0]["hour"] != "14" || number(r[0]["lines"]) != perHour {
		t.Errorf("the hour: %v, want %d lines", r, perHour)
	}
	var found int64
	for _, r := range result[2] {
		if found += number(r["errors"]); number(r["status"]) != 500 {
			t.Errorf("an error: %v", r)
		}
	}
	if found != errors {
		t.Errorf("%d errors on the day, want %d", found, errors)
	}
	if len(result[3]) != 0 {
		t.Errorf("objects of other counts than their keys promise: %v", result[3])
	}
	opened, of := scanned(t, result[4])
	if opened != len(wanted)+1 || of != len(all)+1 {
		t.Errorf("%d of %d files opened, want %d of %d", opened, of, len(wanted)+1, len(all)+1)
	}
	const total = hours*perHour + broken
	if r := result[5]; number(r[0]["n"]) != total || number(r[0]["raw"]) != broken {
		t.Errorf("in all: %v, want %d and %d", r, total, broken)
	}
	fmt.Printf("DuckDB: %d lines in %d objects, %d of the hour, %d files opened for them\n", total, len(all), perHour, opened)

	write(t, wanted[0], `{"time":"2026-11-23T14:00:00Z"}`+"\n")
	if r := run(t, p.view, p.promised)[1]; len(r) != 1 || r[0]["filename"] != wanted[0] {
		t.Errorf("an object that lost its lines went unnoticed: %v", r)
	}
}
