//go:build e2e

package query

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const duckdb = "../../../bin/duckdb/node_modules"

// needDuckDB skips where the machine can't have it.
func needDuckDB(t *testing.T) {
	t.Helper()
	for _, tool := range []string{"node", "npm"} {
		if _, err := exec.LookPath(tool); err != nil {
			fmt.Printf("skipped: %v: DuckDB comes from npm\n", err)
			t.Skipf("skipped: %v", err)
		}
	}
	if _, err := os.Stat(duckdb); err != nil {
		t.Fatalf("%v: make query installs it", err)
	}
}

// rows is a statement's result.
type rows []map[string]any

// run runs statements one after another in one database.
func run(t *testing.T, statements ...string) []rows {
	t.Helper()
	in, err := json.Marshal(statements)
	if err != nil {
		t.Fatal(err)
	}
	modules, err := filepath.Abs(duckdb)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "node", "duckdb.cjs")
	cmd.Env = append(os.Environ(), "NODE_PATH="+modules)
	cmd.Stdin = bytes.NewReader(in)
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s\n%s", err, said.String(), strings.Join(statements, "\n"))
	}
	var results []rows
	for line := range bytes.Lines(out) {
		var r rows
		if err := json.Unmarshal(line, &r); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		results = append(results, r)
	}
	if len(results) != len(statements) {
		t.Fatalf("%d results of %d statements", len(results), len(statements))
	}
	return results
}

// page are the statements of docs/query.md for DuckDB, over a directory that
// holds what the bucket does.
type page struct{ view, hour, errors, promised string }

func readPage(t *testing.T, bucket string) page {
	t.Helper()
	text, err := os.ReadFile("../../../docs/query.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "\n## DuckDB\n")
	section, _, _ = strings.Cut(section, "\n## ")
	var s []string
	for _, m := range regexp.MustCompile("(?s)```sql\n(.*?)```").FindAllStringSubmatch(section, -1) {
		s = append(s, strings.ReplaceAll(m[1], "s3://my-events/", bucket+"/"))
	}
	if len(s) != 4 || !strings.Contains(s[0], bucket) {
		t.Fatalf("docs/query.md has %d statements for DuckDB, want 4: view, an hour, errors, promised records", len(s))
	}
	return page{s[0], s[1], s[2], s[3]}
}

// scanned is how many of how many files a statement opens.
func scanned(t *testing.T, r rows) (opened, all int) {
	t.Helper()
	plan := fmt.Sprint(r)
	m := regexp.MustCompile(`Scanning Files: (\d+/\d+)`).FindStringSubmatch(plan)
	if m == nil {
		t.Fatalf("the plan does not say how many files are opened:\n%s", plan)
	}
	if _, err := fmt.Sscanf(m[1], "%d/%d", &opened, &all); err != nil {
		t.Fatal(err)
	}
	return opened, all
}
