package main

import (
	"fmt"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spoolship/spoolship/agent/chunk"
	"github.com/spoolship/spoolship/agent/config"
)

// table is where the default template puts a record of the page's input, as
// query engines see it.
type table struct {
	directory string // of the object, with its slash
	object    string
	columns   []string // of the partition, in their order
	values    map[string]string
}

const queryBucket = "my-events/"

// tableAt expands the default template as the agent does.
func tableAt(t *testing.T, at time.Time) table {
	t.Helper()
	template, err := chunk.ParseTemplate(config.Default().S3.Key)
	if err != nil {
		t.Fatal(err)
	}
	key, err := template.Expand("events/", chunk.KeyVars{Input: "app", Host: "web1", Time: at, Codec: chunk.Gzip})
	if err != nil {
		t.Fatal(err)
	}
	x := table{object: key, directory: key[:strings.LastIndex(key, "/")+1], values: map[string]string{}}
	for part := range strings.SplitSeq(x.directory, "/") {
		if name, value, ok := strings.Cut(part, "="); ok {
			x.columns = append(x.columns, name)
			x.values[name] = value
		}
	}
	return x
}

// queryPage is the page and its sections by engine.
func queryPage(t *testing.T) (page string, sections map[string]string) {
	t.Helper()
	text, err := os.ReadFile("../../docs/query.md")
	if err != nil {
		t.Fatal(err)
	}
	sections = map[string]string{}
	for _, s := range strings.Split(string(text), "\n## ")[1:] {
		name, body, _ := strings.Cut(s, "\n")
		sections[name] = body
	}
	return string(text), sections
}

// find returns the groups of the one match of a pattern in text.
func find(t *testing.T, text, pattern string) []string {
	t.Helper()
	m := regexp.MustCompile(pattern).FindAllStringSubmatch(text, -1)
	if len(m) != 1 {
		t.Fatalf("%d matches of %s in\n%s", len(m), pattern, text)
	}
	return m[0][1:]
}

func list(text string) []string {
	names := strings.Split(text, ",")
	for i, n := range names {
		names[i] = strings.Trim(strings.Fields(n)[0], "'\"`")
	}
	return names
}

// moments have an hour of one digit and the last one of a day and year.
var moments = []time.Time{
	time.Date(2026, 11, 23, 14, 5, 0, 0, time.UTC), time.Date(2027, 1, 2, 3, 4, 5, 0, time.UTC), time.Date(2026, 12, 31, 23, 59, 59, 0, time.UTC),
}

func TestQueryPageShowsTheTemplate(t *testing.T) {
	page, _ := queryPage(t)
	if key := config.Default().S3.Key; !strings.Contains(page, "\n```\n"+key+"\n```\n") {
		t.Errorf("docs/query.md does not show the default key template %s", key)
	}
}

// Every literal condition and folder on the page is that of one hour.
func TestQueryPageConditions(t *testing.T) {
	page, _ := queryPage(t)
	x := tableAt(t, moments[0])
	for _, m := range regexp.MustCompile(`(dt|hour) ?= ?(?:DATE )?'?(\d[\d-]*)`).FindAllStringSubmatch(page, -1) {
		if m[2] != x.values[m[1]] {
			t.Errorf("%s: want %s", m[0], x.values[m[1]])
		}
	}
}

// Athena computes locations: they must be the agent's, at any time.
func TestQueryPageAthena(t *testing.T) {
	_, sections := queryPage(t)
	ddl := sections["Athena and Glue"]
	properties := map[string]string{}
	for _, m := range regexp.MustCompile(`'([a-z.]+)' = '([^']*)'`).FindAllStringSubmatch(ddl, -1) {
		properties[m[1]] = m[2]
	}
	if got := properties["projection.hour.range"]; got != "0,23" || properties["projection.hour.type"] != "integer" || properties["projection.dt.type"] != "date" {
		t.Errorf("hours %s, properties %v", got, properties)
	}
	layout := strings.NewReplacer("yyyy", "2006", "MM", "01", "dd", "02").Replace(properties["projection.dt.format"])
	for _, at := range moments {
		x := tableAt(t, at)
		got := strings.NewReplacer(
			"${dt}", at.Format(layout),
			"${hour}", fmt.Sprintf("%0"+properties["projection.hour.digits"]+"d", at.Hour()),
		).Replace(properties["storage.location.template"])
		if want := "s3://" + queryBucket + x.directory; got != want {
			t.Errorf("Athena looks for %s, the agent puts to %s", got, want)
		}
		under(t, x, find(t, ddl, `LOCATION '(.*)'`)[0], "s3://")
		if got := list(find(t, ddl, `PARTITIONED BY \((.*)\)`)[0]); !slices.Equal(got, x.columns) {
			t.Errorf("partitioned by %q, want %q", got, x.columns)
		}
	}
}

// under checks that a location is the folder whose subfolders are the partitions.
func under(t *testing.T, x table, location, scheme string) {
	t.Helper()
	root := strings.TrimPrefix(location, scheme+queryBucket)
	rest, ok := strings.CutPrefix(x.directory, root)
	if n := strings.Count(rest, "/"); root == location || !ok || n != len(x.columns) {
		t.Errorf("location %s has %d folders to %s, want one for each of %q", location, n, x.directory, x.columns)
	}
}

// Trino and Spark find partitions by their names: their columns come last, in
// the order of the folders.
func TestQueryPageTrinoAndSpark(t *testing.T) {
	_, sections := queryPage(t)
	trino, spark := sections["Trino"], sections["Spark"]
	for _, at := range moments {
		x := tableAt(t, at)
		under(t, x, find(t, trino, `external_location = '(.*?)'`)[0], "s3://")
		under(t, x, find(t, spark, `\.json\("(.*)"\)`)[0], "s3a://")
		if got := list(find(t, trino, `partitioned_by = ARRAY\[(.*?)\]`)[0]); !slices.Equal(got, x.columns) {
			t.Errorf("Trino: partitioned by %q, want %q", got, x.columns)
		}
		for name, columns := range map[string][]string{
			"Trino": list(find(t, trino, `CREATE TABLE \S+ \((.*)\)`)[0]),
			"Spark": list(find(t, spark, `schema\("(.*)"\)`)[0]),
		} {
			if tail := columns[len(columns)-len(x.columns):]; !slices.Equal(tail, x.columns) {
				t.Errorf("%s: last columns %q, want %q", name, tail, x.columns)
			}
		}
	}
}

// DuckDB and ClickHouse are given patterns of objects.
func TestQueryPagePatterns(t *testing.T) {
	_, sections := queryPage(t)
	x := tableAt(t, moments[0])
	for _, pattern := range []string{
		strings.TrimPrefix(find(t, sections["DuckDB"], `read_json\('(.*?)'`)[0], "s3://"+queryBucket),
		strings.TrimPrefix(find(t, sections["ClickHouse"], `s3\('(.*?)'`)[0], "https://my-events.s3.eu-central-1.amazonaws.com/"),
	} {
		if ok, err := path.Match(pattern, x.object); !ok || err != nil {
			t.Errorf("%s does not match %s: %v", pattern, x.object, err)
		}
	}
}
