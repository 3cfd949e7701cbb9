package config

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// docs/query.md is only right for the default key template: the template it
// shows and the path of every example must be of that form.
func TestQueryDocument(t *testing.T) {
	text, err := os.ReadFile("../../docs/query.md")
	if err != nil {
		t.Fatal(err)
	}
	doc, key := string(text), Default().S3.Key
	if !strings.Contains(doc, "\n```\n"+key+"\n```\n") {
		t.Errorf("docs/query.md does not show the default key template %s", key)
	}
	directory := key[:strings.LastIndex(key, "/")+1]
	paths := regexp.MustCompile(`/events/(app/[^\s'"]*)`).FindAllStringSubmatch(doc, -1)
	if len(paths) < 5 {
		t.Fatalf("docs/query.md has %d paths", len(paths))
	}
	for _, path := range paths {
		got := path[1][:strings.LastIndex(path[1], "/")+1]
		if got == "app/" {
			continue // a table's location: the engine finds the partitions by their names
		}
		fits := false
		for _, v := range [][2]string{{"*", "*"}, {"${dt}", "${hour}"}, {"2026-11-23", "14"}} {
			want := strings.NewReplacer("{input}", "app", "{date}", v[0], "{hour}", v[1]).Replace(directory)
			fits = fits || got == want
		}
		if !fits {
			t.Errorf("docs/query.md: path %s is not of the default form %s", path[1], directory)
		}
	}
}
