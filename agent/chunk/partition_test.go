package chunk

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func mustTemplate(t testing.TB, s string) *Template {
	t.Helper()
	parsed, err := ParseTemplate(s)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

// alwaysAdded tests keys of fields that are added to records, in every format.
func alwaysAdded(t *testing.T) {
	path, err := ParsePathFields("/logs/{ns}/*.log")
	if err != nil {
		t.Fatal(err)
	}
	for _, format := range []Format{JSON, Text, CRI, Docker} {
		p := NewPartitioner(PartitionOptions{
			Template: mustTemplate(t, "{field:ns}/{field:env}/{field:shard}|"+late),
			Encoder:  NewEncoder(EncoderOptions{Format: format, Validate: format == JSON, Path: path, Static: map[string]any{"env": "prod", "shard": int64(7)}}),
		})
		for _, c := range []struct{ file, line, want string }{
			{"/logs/a b/x.log", "{}", "a%20b/prod/7"},
			{"/logs/c/x.log", "no json", "c/prod/7"},
			{"/else/x.log", `{"ns":"of the line"}`, NoValue + "/prod/7"},
			{"/logs/c/x.log", `{"ns":"of the line","env":null}`, "c/prod/7"},
		} {
			if format == JSON && c.line[len(c.line)-1] == '}' && len(c.line) > 2 {
				c.want = "of%20the%20line/prod/7"
				if c.file != "/else/x.log" {
					c.want = "of%20the%20line/" + NoValue + "/7"
				}
			}
			data := []byte(c.line + "\n")
			if e := p.o.Encoder; e.Unwraps() {
				w := Wrapped{Lines: data, All: true}
				e.Unwrap(&w)
				data = w.Items
			}
			err := p.Split(&Lines{File: c.file, Data: data}, func(r Run) {
				if key, _, _ := strings.Cut(r.Key, "|"); key != c.want {
					t.Errorf("format %d, %s of %s: key %s, want %s", format, c.line, c.file, key, c.want)
				}
			})
			if err != nil {
				t.Error(err)
			}
		}
	}
}

// Each case is lines, with the part of the key before "|" that each belongs under.
func TestSplit(t *testing.T) {
	read := time.Date(2026, 11, 26, 3, 4, 5, 0, time.UTC)
	long := strings.Repeat("x", 300)
	for _, c := range []struct {
		name, key, timeField string
		l                    Lines
		want                 []string // key: lines, untimed
	}{
		{"by a field", "{field:a.b}", "", Lines{Data: []byte(`{"a":{"b":"x/y"}}` + "\n" + `{"a.b":"x/y"}` + "\n" + `{"a":{"b":7}}` + "\n" + `{"a":[1]}` + "\n\n" + `{"a":{"b":null}}` + "\nno json\n")}, []string{
			"x%2Fy: 2, 0", "7: 1, 0", NoValue + ": 4, 0",
		}},
		{"escapes in a value", "{field:a}", "", Lines{Data: []byte(`{"a":"\u00e9{id}"}` + "\n" + `{"a":".."}` + "\n" + `{"a":""}` + "\n" + `{"a":true}`)}, []string{
			"%C3%A9%7Bid%7D: 1, 0", "%2E%2E: 1, 0", NoValue + ": 1, 0", "true: 1, 0",
		}},
		{"a key that is there twice", "{field:a.b}", "", Lines{Data: []byte(`{"a.b":1,"x":3,"a.b":2}` + "\n" + `{"a":{"b":1,"b":2}}` + "\n" + `{"a":{"b":1},"a":{"b":2}}` + "\n" + `{"\u0061":{"b":1},"a":{"\u0062":2}}` + "\n" +
			`{"a":{"b":2},"a.b":3,"a":{"b":2}}` + "\n" + `{"a":{"b":2},"a":{"c":1}}` + "\n" + `{"a":{"b":2},"a":null}` + "\n")}, []string{
			"2: 5, 0", NoValue + ": 2, 0",
		}},
		{"by time", "{date}T{hour}", "t", Lines{Data: []byte(`{"t":"2026-11-25T23:59:59.9+01:00"}` + "\n" + `{"t":1795647599}` + "\n" + `{"t":1795647600000}` + "\n" +
			`{"t":"1795647600000000"}` + "\n" + `{"t":1795647600000000000}` + "\n" + `{"t":1795647600.5}` + "\n" + `{"t":"soon"}` + "\n" + `{"t":-1}` + "\n" + `{"x":1}` + "\n\n")}, []string{
			"2026-11-25T22: 2, 0", "2026-11-25T23: 4, 0", "2026-11-26T03: 4, 3",
		}},
		{"by file", "{dir}/{file}", "", Lines{File: "/var/log/a b/x.log", Data: []byte("{}\n{}\n")}, []string{"var/log/a%20b/x.log: 2, 0"}},
		{"at the root", "{dir}/{file}", "", Lines{File: "/x.log", Data: []byte("{}\n")}, []string{NoValue + "/x.log: 1, 0"}},
		{"parts", "{field:a}", "", Lines{Part: 2, Cut: true, Data: []byte(`{"a":1}` + "\n" + `{"a":2}` + "\n" + `{"a":"` + long + `"}` + "\n" + `{"a":3}`)}, []string{
			NoValue + ": 1, 0", "2: 1, 0", NoValue + ": 2, 0",
		}},
		{"nothing", "{field:a}", "", Lines{}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.l.Time = read
			p := NewPartitioner(PartitionOptions{
				Template: mustTemplate(t, c.key+"|"+late), TimeField: c.timeField,
				Encoder: NewEncoder(EncoderOptions{Format: JSON, Validate: true, MaxLineSize: 200}),
			})
			var got []string
			for range 2 { // what is known from before changes nothing
				got = nil
				at := 0
				err := p.Split(&c.l, func(r Run) {
					if r.From != at || r.To <= at || r.First > r.Last {
						t.Fatalf("run %+v after byte %d", r, at)
					}
					at = r.To
					data := string(c.l.Data[r.From:r.To])
					n := strings.Count(data, "\n")
					if !strings.HasSuffix(data, "\n") {
						n++
					}
					key, _, _ := strings.Cut(r.Key, "|")
					got = append(got, fmt.Sprintf("%s: %d, %d", key, n, r.Untimed))
				})
				if err != nil || at != len(c.l.Data) {
					t.Fatalf("ended at %d: %v", at, err)
				}
			}
			if strings.Join(got, "\n") != strings.Join(c.want, "\n") {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(c.want, "\n"))
			}
		})
	}
	alwaysAdded(t)
	if p := NewPartitioner(PartitionOptions{Template: mustTemplate(t, "{date}/{time:2006}/{host}/"+late)}); p != nil {
		t.Error("lines that are read together have one key, and are looked at")
	}
}

// Property: lines have the keys that each of them has alone, however they are
// cut into spans, and what is under a key is not changed by what was seen before.
func TestSplitIsByLine(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := PartitionOptions{
			Template:  mustRapidTemplate(t, "{field:a}/{time:2006-01-02T15-04-05}/"+late),
			TimeField: "t",
			Encoder:   NewEncoder(EncoderOptions{Format: JSON, Validate: rapid.Bool().Draw(t, "validate"), MaxLineSize: 60}),
		}
		read := time.Unix(1_800_000_000, 0)
		line := rapid.SampledFrom([]string{
			`{"a":1,"t":1}`, `{"a":1,"t":2}`, `{"a":"1","t":"1970-01-01T00:00:01Z"}`, `{"t":2, "a":{"b":1}}`, `{"a":"` + strings.Repeat("y", 70) + `"}`,
			"", " ", "{", `{"a":1,"t":}`, `[1]`, `{"a":"\ud800"}`, `{"b":1}` + "\r",
		})
		lines := rapid.SliceOf(line).Draw(t, "lines")
		p := NewPartitioner(o)
		var whole []string // the key of each line
		split := func(p *Partitioner, data string) {
			err := p.Split(&Lines{Time: read, Data: []byte(data)}, func(r Run) {
				for range strings.Count(data[r.From:r.To], "\n") {
					whole = append(whole, r.Key)
				}
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		split(p, strings.Join(append(lines, ""), "\n"))
		got := whole
		whole = nil
		for _, l := range lines {
			split(NewPartitioner(o), l+"\n")
		}
		if strings.Join(got, "\n") != strings.Join(whole, "\n") {
			t.Fatalf("together %q, alone %q", got, whole)
		}
	})
}

// Property: the same for the objects of a stream, whose records are what they
// are without partitions.
func TestSplitOfStreams(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := PartitionOptions{
			Template: mustRapidTemplate(t, "{field:a.b}/{time:2006-01-02T15-04-05}/"+late), TimeField: "t",
			Encoder: streamEncoder(60),
		}
		items := rapid.SliceOf(rapid.SampledFrom([]string{
			"{\"a.b\":1,\n\"t\":1}", "{\n \"t\": 2, \"a\": {\n  \"b\": 1\n }\n}\n", `{"a.b":2,"t":2}{}`, "text\n", "{\n 'a': 1\n}\n", "\n \r\n", "{\n\"a.b\":\"" + strings.Repeat("y", 70) + "\"\n}\n",
		})).Draw(t, "items")
		l := Lines{Time: time.Unix(1_800_000_000, 0), Data: []byte(strings.Join(items, ""))}
		want, _ := o.Encoder.Append(nil, &l)
		at, got, keys := 0, []byte(nil), map[string]int64{}
		err := NewPartitioner(o).Split(&l, func(r Run) {
			if r.From != at || r.To <= at {
				t.Fatalf("run %+v after byte %d", r, at)
			}
			at = r.To
			part := l
			part.From, part.Data = int64(r.From), l.Data[r.From:r.To]
			var c Counts
			got, c = o.Encoder.Append(got, &part)
			keys[strings.TrimSuffix(r.Key, "/"+late)] += c.Records
		})
		if err != nil || at != len(l.Data) || string(got) != string(want) {
			t.Fatalf("ended at %d of %d: %v\ngot  %swant %s", at, len(l.Data), err, got, want)
		}
		count := func(text string) int64 { return int64(strings.Count(strings.Join(items, ""), text)) }
		for key, n := range map[string]int64{
			"1/1970-01-01T00-00-01": count(`"a.b":1`), "1/1970-01-01T00-00-02": count(`"t": 2`), "2/1970-01-01T00-00-02": count(`"a.b":2`),
		} {
			if keys[key] != n {
				t.Fatalf("%q: %d records under %s, want %d", l.Data, keys[key], key, n)
			}
		}
	})
}

func mustRapidTemplate(t *rapid.T, s string) *Template {
	parsed, err := ParseTemplate(s)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

func TestTemplateVariables(t *testing.T) {
	t.Setenv("SPOOLSHIP_TEST_SITE", "eu/1")
	v := KeyVars{Time: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), File: "/l/a.log", Fields: []string{"v"}}
	for template, want := range map[string]string{
		"{env:SPOOLSHIP_TEST_SITE}/":          "eu%2F1/",
		"{time:2006/01/02 15:04}/":            "2026/01/02%2003%3A04/",
		"{field:a.b}-{field:a.b}/":            "v-v/",
		"{file}@{dir}/":                       "a.log@l/",
		"{time:Monday}/{year}-{month}-{day}/": "Friday/2026-01-02/",
	} {
		if got, err := mustTemplate(t, template+late).Expand("", v); got != want+late || err != nil {
			t.Errorf("%s: %s, %v", template, got, err)
		}
	}
	for template, want := range map[string]string{
		"{time:}":                      "the same at all times",
		"{time:yyyy}":                  "the same at all times",
		"{time:15:04:05.000}":          "within a second",
		"{env:SPOOLSHIP_TEST_NOT_SET}": "SPOOLSHIP_TEST_NOT_SET is not set",
		"{field:}":                     "unknown variable {field:}",
		"{date:x}":                     "unknown variable {date:x}",
		"{file:x}":                     "unknown variable {file:x}",
	} {
		if _, err := ParseTemplate(template + late); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v does not say %s", template, err, want)
		}
	}
	// Whether a key fits does not depend on a record.
	for _, value := range []string{"", strings.Repeat("é/", 500)} {
		v.Fields[0] = value
		if _, err := mustTemplate(t, "{field:a}/"+late).Expand(strings.Repeat("x", 1024-128-1-75), v); err != nil {
			t.Errorf("%d bytes: %v", len(value), err)
		}
		if _, err := mustTemplate(t, "{field:a}/"+late).Expand(strings.Repeat("x", 1024-128-75), v); err == nil {
			t.Errorf("%d bytes: a key that may be too long is taken", len(value))
		}
	}
}

func FuzzPartition(f *testing.F) {
	f.Add(`{"a":{"b":"x"},"t":12}`, "a.b", "/var/log/x")
	f.Add(`{"a":"\u00`, "a", "")
	f.Add(`{"":1}`, ".", "/")
	f.Fuzz(func(t *testing.T, data, path, file string) {
		if strings.ContainsAny(path, "{}") || path == "" {
			return
		}
		template, err := ParseTemplate("{field:" + path + "}/{file}/{dir}/{minute}-" + late)
		if err != nil {
			return
		}
		for _, validate := range []bool{true, false} {
			p := NewPartitioner(PartitionOptions{Template: template, TimeField: path, Encoder: NewEncoder(EncoderOptions{Format: JSON, Validate: validate})})
			at := 0
			err := p.Split(&Lines{File: file, Data: []byte(data)}, func(r Run) {
				if r.From != at || r.To <= at {
					t.Fatalf("run %+v after %d", r, at)
				}
				at = r.To
			})
			if err != nil || at != len(data) {
				t.Fatalf("%q: ended at %d: %v", data, at, err)
			}
		}
	})
}
