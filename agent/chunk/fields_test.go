package chunk

import (
	"bytes"
	"encoding/json"
	"io"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// editing are the options of an encoder that changes what it ships.
func editing(o EncoderOptions) *Encoder {
	o.Validate = true
	o.Host = `h"1`
	return NewEncoder(o)
}

func pathFields(t testing.TB, pattern string) *PathFields {
	t.Helper()
	p, err := ParsePathFields(pattern)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestAddedToJSON(t *testing.T) {
	static := map[string]any{"z": "a\"b", "n": int64(9007199254740993), "f": 1.5, "t": true}
	for _, tt := range []struct {
		name, in, want string
		o              EncoderOptions
	}{
		{
			"all fields, 64-bit ids stay", `{"id":98765432109876543}` + "\n",
			`{"id":98765432109876543,"time":"2026-01-02T03:04:05.678Z","host":"h\"1","file":"/log/shop/a.log","offset":1000}` + "\n",
			EncoderOptions{Fields: []string{"time", "host", "file", "offset"}},
		},
		{
			"static by name, then the path's", `{"a":1}` + "\n",
			`{"a":1,"f":1.5,"n":9007199254740993,"t":true,"z":"a\"b","app":"shop"}` + "\n",
			EncoderOptions{Static: static, Path: pathFields(t, "/log/{app}/*.log")},
		},
		{"a path of another form", "{}\n", "{}\n", EncoderOptions{Path: pathFields(t, "/log/{app}/{x}/*.log")}},
		{
			"offsets of lines, and white space", "{}\r\n\n { \t} \n" + ` {"a" : [ ] , "b":{ } } ` + "\n",
			`{"offset":1000}` + "\n" + ` { 	"offset":1005} ` + "\n" + ` {"a" : [ ] , "b":{ } ,"offset":1012} ` + "\n",
			EncoderOptions{Fields: []string{"offset"}},
		},
		{
			"the line's own value wins", `{"host":null,"o":{"offset":1}}` + "\n" + `{"h\u006fst":1,"offset":2}` + "\n",
			`{"host":null,"o":{"offset":1},"offset":1000}` + "\n" + `{"h\u006fst":1,"offset":2}` + "\n",
			EncoderOptions{Fields: []string{"host", "offset"}},
		},
		{
			"but not if it is dropped", `{"host":"spoofed"}` + "\n", `{"host":"h\"1"}` + "\n",
			EncoderOptions{Fields: []string{"host"}, Drop: []string{"host"}},
		},
		{
			"invalid lines and parts", "{}\nplain\n{\"a\":\"0123456789abcdef\"}\n",
			`{"offset":1000}` + "\n" + `{"raw":"plain","error":"not a JSON object at byte 0","offset":1003}` + "\n" +
				`{"raw":"{\"a\":\"0123456789abcd","error":"line longer than max_line_size","part":0,"offset":1009}` + "\n" +
				`{"raw":"ef\"}","error":"line longer than max_line_size","part":1,"last":true,"offset":1029}` + "\n",
			EncoderOptions{Fields: []string{"offset"}, MaxLineSize: 20},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, _ := editing(tt.o).Append(nil, &Lines{File: "/log/shop/a.log", From: 1000, Time: readAt, Data: []byte(tt.in)})
			if string(got) != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

func TestAddedToText(t *testing.T) {
	e := editing(EncoderOptions{
		Format: Text, Fields: []string{"offset", "message"}, Static: map[string]any{"env": "prod"},
		Path: pathFields(t, "/log/{app}/*"), MaxLineSize: 5,
	})
	got, _ := e.Append(nil, &Lines{File: "/log/shop/a.log", From: 10, Data: []byte("one\n123456\n")})
	want := `{"offset":10,"message":"one","env":"prod","app":"shop"}` + "\n" +
		`{"offset":14,"message":"12345","env":"prod","app":"shop","part":0}` + "\n" +
		`{"offset":19,"message":"6","env":"prod","app":"shop","part":1,"last":true}` + "\n"
	if string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestDropAndMask(t *testing.T) {
	o := EncoderOptions{Drop: []string{"password", "user.token", "a.b.c"}, Mask: []string{"user.email", "card"}}
	for _, tt := range []struct{ name, in, want string }{
		{"only one", `{"password":"x"}`, `{}`},
		{"first", `{"password":"x", "n":1.0e3}`, `{ "n":1.0e3}`},
		{"middle", `{"a":1 , "password" : [1,{"b":"}"}] , "z":2}`, `{"a":1 , "z":2}`},
		{"last", ` {"a":1,"password":{"x":"\""} } `, ` {"a":1} `},
		{"nested", `{"user":{"id":98765432109876543,"token":"t","email":"e"}}`, `{"user":{"id":98765432109876543,"email":"***"}}`},
		{"same name elsewhere", `{"token":1,"x":{"password":2,"email":3}}`, `{"token":1,"x":{"password":2,"email":3}}`},
		{"arrays", `{"user":[ {"token":1} , [{"token":2,"email":null}],"token", [] ]}`, `{"user":[ {} , [{"email":"***"}],"token", [] ]}`},
		{"escapes in keys", `{"\u0070assword":1,"us\u0065r":{"t\u006Fken":2},"c\/ard":3}`, `{"us\u0065r":{},"c\/ard":3}`},
		{"dots in keys", `{"user.token":1,"a.b":{"c":2},"a":{"b.c":3,"b":{"c":4,"d":5}}}`, `{"a.b":{},"a":{"b":{"d":5}}}`},
		{"twice", `{"password":1,"k":2,"password":3,"card":{},"card":[]}`, `{"k":2,"card":"***","card":"***"}`},
		{"a scalar where an object was expected", `{"user":"token","a":{"b":7}}`, `{"user":"token","a":{"b":7}}`},
		{"strings are not looked into", `{"m":"{\"password\":1}"}`, `{"m":"{\"password\":1}"}`},
		{"invalid", `{"password":"x"`, `{"raw_withheld":15,"error":"unexpected end at byte 15"}`},
		{"not UTF-8", "password=\xff", `{"raw_withheld":10,"error":"not a JSON object at byte 0"}`},
		{
			"long", `{"password":"` + strings.Repeat("s", 100) + `"}`,
			`{"raw_withheld":100,"error":"line longer than max_line_size","part":0}` + "\n" +
				`{"raw_withheld":15,"error":"line longer than max_line_size","part":1,"last":true}`,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o.MaxLineSize = 100
			got, _ := editing(o).Append(nil, &Lines{Data: []byte(tt.in + "\n")})
			if string(got) != tt.want+"\n" {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

// Parts of a line that was begun in another call are withheld too.
func TestWithheldRest(t *testing.T) {
	e := editing(EncoderOptions{Mask: []string{"a"}, MaxLineSize: 4})
	got, counts := e.Append(nil, &Lines{Data: []byte("secret\n{}\n"), Part: 2})
	want := `{"raw_withheld":4,"error":"line longer than max_line_size","part":2}` + "\n" +
		`{"raw_withheld":2,"error":"line longer than max_line_size","part":3,"last":true}` + "\n{}\n"
	if string(got) != want || counts != (Counts{Records: 3, Parts: 2}) {
		t.Errorf("got  %s%+v", got, counts)
	}
}

// pruned is what edit does, to a decoded value and told in another way.
func pruned(v any, prefix string, drop, masked []string) any {
	switch v := v.(type) {
	case []any:
		for i := range v {
			v[i] = pruned(v[i], prefix, drop, masked)
		}
	case map[string]any:
		for key, value := range v {
			switch name := prefix + key; {
			case slices.Contains(drop, name):
				delete(v, key)
			case slices.Contains(masked, name):
				v[key] = "***"
			default:
				v[key] = pruned(value, name+".", drop, masked)
			}
		}
	}
	return v
}

func decode(t *testing.T, line []byte) map[string]any {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(line))
	d.UseNumber()
	var v map[string]any
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	if _, err := d.Token(); err != io.EOF {
		t.Fatalf("%s: more than one value", line)
	}
	return v
}

// Whatever the line, encoding/json finds in the record just what it finds in
// the line without what is dropped; nothing else changes a byte.
func FuzzEdit(f *testing.F) {
	for _, s := range []string{
		`{"a":1,"b":{"c":[{"d":1},[{"d":2}]]}}`, `{"\u0061":{"b.c":1}}`, `{"a.b":{"c":[[]]},"host":1} `, `{ }`,
		`{"\ud83d\ude00":1,"\ud83d":2,"\ud83d\u0061":3,"\\\"\/\b\f\n\r\t":{"c":1}}`, `{"a":[{},[],[[{"b":0}]] ],"x":null,"x":{"d":1}}`,
	} {
		f.Add(s, "a", "b.c", "b.c.d")
	}
	f.Fuzz(func(t *testing.T, line, drop1, drop2, masked string) {
		if end, fault := scanLine([]byte(line), 0); fault != ok || end != len(line) || strings.HasSuffix(line, "\r") {
			t.Skip("only valid lines are edited")
		}
		for _, p := range []string{drop1, drop2, masked} {
			if p == "" || !json.Valid([]byte(`"`+strings.Trim(p, `"\`)+`"`)) {
				t.Skip("a configuration can't have this path")
			}
		}
		o := EncoderOptions{Drop: []string{drop1, drop2}, Mask: []string{masked}, Fields: []string{"host"}}
		got, counts := editing(o).Append(nil, &Lines{Data: []byte(line + "\n")})
		if counts != (Counts{Records: 1}) {
			t.Fatalf("%+v", counts)
		}
		if end, fault := scanLine(got, 0); fault != ok || end != len(got)-1 {
			t.Fatalf("%q became %q, not valid at byte %d", line, got, end)
		}
		want := pruned(decode(t, []byte(line)), "", o.Drop, o.Mask).(map[string]any)
		if _, own := want["host"]; !own {
			want["host"] = `h"1`
		}
		if have := decode(t, got); !reflect.DeepEqual(have, want) {
			t.Fatalf("%q became %q:\n got %v\nwant %v", line, got, have, want)
		}
		o = EncoderOptions{Drop: []string{"\x00nowhere"}}
		if same, _ := editing(o).Append(nil, &Lines{Data: []byte(line + "\n")}); string(same) != line+"\n" {
			t.Fatalf("%q became %q", line, same)
		}
	})
}

func TestPathFields(t *testing.T) {
	for _, tt := range []struct {
		pattern, path string
		want          []string // of the names in order; nil: no match
	}{
		{"/var/log/apps/{app}/*.log", "/var/log/apps/shop/a.log", []string{"shop"}},
		{"/var/log/apps/{app}/*.log", "/var/log/apps/shop/x/a.log", nil},
		{"/var/log/apps/{app}/*.log", "/var/log/apps/shop/a.log.1", nil},
		{"/var/log/apps/{app}/*.log", "/var/log/apps//a.log", nil},
		{"/{ns}_{pod}.log", "/a_b_c.log", []string{"a_b", "c"}},
		{"/**/{name}.l?g", "/x.log", []string{"x"}},
		{"/**/{name}.l?g", "/a/b/x.lag", []string{"x"}},
		{"/a/**/{f}", "/a/b\nc/d", []string{"d"}},
		{"/a.b+(c)/{f}", "/a.b+(c)/d", []string{"d"}},
		{"/a.b/{f}", "/axb/d", nil},
		{"/a/{f}**", "/a/b/c", []string{"b"}},
	} {
		p := pathFields(t, tt.pattern)
		var got []string
		for i, m := range p.members(tt.path) {
			var value string
			if err := json.Unmarshal(bytes.TrimPrefix(m.text, []byte(`"`+p.Names()[i]+`":`)), &value); err != nil {
				t.Error(err)
			}
			got = append(got, value)
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s of %s: got %q, want %q", tt.pattern, tt.path, got, tt.want)
		}
	}
	for pattern, want := range map[string]string{
		"":               `"" must be an absolute pattern; begin it with "/"`,
		"a/{b}":          `"a/{b}" must be an absolute pattern; begin it with "/"`,
		"/a/*.log":       `"/a/*.log" names no field; write {name} where the path has its value`,
		"/{a,b}/{c}":     `{a,b} is not the name of a field; use letters, digits, _ and -, the first a letter or _`,
		"/{}":            `{} is not the name of a field; use letters, digits, _ and -, the first a letter or _`,
		"/{a}/{b}/{a}":   `{a} is there twice; give the second another name`,
		"/[ab]/{c}":      `[ can't stand in path_fields; only {name}, *, ? and ** have a meaning here`,
		"/{c":            `{ can't stand in path_fields; only {name}, *, ? and ** have a meaning here`,
		`/\*/{c}`:        `\ can't stand in path_fields; only {name}, *, ? and ** have a meaning here`,
		"/{a}/{b{c}}.lo": `{ can't stand in path_fields; only {name}, *, ? and ** have a meaning here`,
	} {
		if _, err := ParsePathFields(pattern); err == nil || err.Error() != want {
			t.Errorf("%s: got %v", pattern, err)
		}
	}
}

func TestNewEncoderRefusesEdits(t *testing.T) {
	for name, o := range map[string]EncoderOptions{
		"not validated":       {Drop: []string{"a"}},
		"message":             {Validate: true, Fields: []string{"message"}},
		"value of other type": {Validate: true, Static: map[string]any{"a": 1}},
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			NewEncoder(o)
		}()
	}
}
