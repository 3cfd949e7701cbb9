//go:build e2e

package hostile

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode/utf16"

	"github.com/spoolship/spoolship/internal/e2e/bucket"
)

// wideText is text in UTF-16LE behind its byte order mark.
func wideText(text string) string {
	b := []byte{0xff, 0xfe}
	for _, u := range utf16.Encode([]rune(text)) {
		b = append(b, byte(u), byte(u>>8))
	}
	return string(b)
}

func docker(stream, text string) string {
	return fmt.Sprintf(`{"log":%q,"stream":%q,"attrs":{"app":"shop"},"time":"2026-01-02T03:04:05.678Z"}`+"\n", text, stream)
}

func cri(stream, tag, text string) string {
	return "2026-01-02T03:04:05.678Z " + stream + " " + tag + " " + text + "\n"
}

// What operators' logs really look like: each is content, settings, and what has to
// be among the records and keys.
func TestRecords(t *testing.T) {
	const hour, late = `key = "{input}/dt={date}/hour={hour}/`, `{host}-{queue}-{chunk}-{records}-{id}.ndjson{ext}"`
	for _, c := range []struct {
		name     string
		format   bucket.Format
		settings string
		content  string
		want     []string // pieces of records, one each
		key      string   // a piece of all keys
	}{
		{"a byte order mark before JSON that is masked", bucket.JSON, `mask_fields = ["password"]`, "\ufeff" + `{"password":"x","a":1}` + "\n" + `{"a":2}` + "\n",
			[]string{`{"password":"***","a":1}`, `{"a":2}`}, ""},
		{"a byte order mark before text", bucket.Text, `fields = ["offset", "message"]`, "\ufeffone\ntwo\n", []string{`{"offset":3,"message":"one"}`, `{"offset":7,"message":"two"}`}, ""},
		{"JSON in UTF-16 that is masked, by time and field", bucket.JSON,
			`encoding = "utf-16le"` + "\n" + `mask_fields = ["password"]` + "\n" + `time_field = "t"` + "\n" + hour + "{field:user}/" + late,
			wideText(`{"password":"ü","user":"é","t":"2020-01-02 03:04:05,5"}` + "\r\n"), []string{`{"password":"***","user":"é","t":"2020-01-02 03:04:05,5"}`}, "dt=2020-01-02/hour=03/%C3%A9/"},
		{"a JSON key that is there twice", bucket.JSON, hour + "{field:user}/" + late, `{"user":"first","user":"last"}` + "\n", []string{`{"user":"first","user":"last"}`}, "/last/"},
		{"keys by path_fields, JSON", bucket.JSON, `path_fields = "/**/{name}.log"` + "\n" + hour + "{field:name}/" + late, `{}` + "\n", []string{`{"name":"a"}`}, "/a/"},
		{"keys by path_fields, lines of containers", bucket.CRI, `path_fields = "/**/{name}.log"` + "\n" + hour + "{field:name}/{field:stream}/" + late, cri("stderr", "F", "x"), []string{`"message":"x","name":"a"}`}, "/a/stderr/"},
		{"docker's attrs", "docker", "", docker("stdout", "x\n"), []string{`"message":"x","attrs":{"app":"shop"}}`}, ""},
		{"JSON in a container, masked, by time", bucket.CRI,
			`inner_format = "json"` + "\n" + `fields = ["stream"]` + "\n" + `mask_fields = ["password"]` + "\n" + `drop_fields = ["b"]` + "\n" + `time_field = "t"`,
			cri("stdout", "P", `{"password":"x","b":1,`) + cri("stdout", "F", `"t":"2020-01-02T03:04:05+0000"}`), []string{`{"password":"***","t":"2020-01-02T03:04:05+0000","stream":"stdout"}`}, "dt=2020-01-02/hour=03/"},
		{"a stack trace in a container", "docker", `multiline_continue = '^\s'` + "\n" + `fields = ["message"]`, docker("stdout", "panic\n") + docker("stderr", "x\n") + docker("stdout", "\tat\n"), []string{`{"message":"panic\n\tat","attrs"`, `{"message":"x","attrs"`}, ""},
		{"a stack trace of which lines were written in pieces", bucket.CRI, `multiline_start = '^\d{4} '` + "\n" + `fields = ["message"]`,
			cri("stdout", "P", "20") + cri("stdout", "F", "26 a") + cri("stdout", "P", "") + cri("stdout", "F", "\tat b") + cri("stdout", "P", "2") + cri("stderr", "F", "2026 x") + cri("stdout", "F", "026 c"),
			[]string{`{"message":"2026 a\n\tat b"}`, `{"message":"2026 c"}`, `{"message":"2026 x"}`}, ""},
		{"an object of several lines in a container", bucket.CRI, `inner_format = "json"` + "\n" + `framing = "json"` + "\n" + `fields = ["stream"]`, cri("stdout", "F", "{") + cri("stderr", "F", "{}") + cri("stdout", "F", ` "a": 1`) + cri("stdout", "F", "}"),
			[]string{`{"a":1,"stream":"stdout"}`, `{"stream":"stderr"}`}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, c.format)
			w.configure("[[input]]\n", "[[input]]\n"+c.settings+"\n")
			path := filepath.Join(w.Logs(), "a.log")
			if err := os.WriteFile(path, []byte(c.content), 0o644); err != nil {
				t.Fatal(err)
			}
			shown := w.command("check").exits(0).out.String()
			w.command("run", "--once").exits(0)
			got := w.texts()
			w.command("audit").exits(0)
			ok := len(got) == len(c.want)
			for _, want := range c.want {
				ok = ok && containsAny(strings.Join(got, "\n"), want)
			}
			if c.key == "/a/" { // told by the path alone
				ok = ok && strings.Contains(shown, c.key)
			}
			for _, key := range w.keys() {
				ok = ok && strings.Contains(key, c.key)
			}
			row(t, ok, c.name, strings.Join(got, " "), strings.Join(c.want, " "))
			if !ok {
				t.Logf("keys %q\n%s", w.keys(), shown)
			}
		})
	}
}

// texts are the records in the bucket, and keys those of its objects.
func (w *world) texts() (all []string) {
	w.t.Helper()
	objects, err := w.Objects(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	for _, o := range objects {
		for _, r := range o.Records {
			all = append(all, string(r))
		}
	}
	return all
}

func (w *world) keys() (keys []string) {
	w.t.Helper()
	objects, err := w.Objects(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	for _, o := range objects {
		keys = append(keys, o.Name)
	}
	return keys
}

// A writer that never ends a line, or an event, holds up nobody, and what it wrote
// outlives a kill and the removal of its file.
func TestHeldLines(t *testing.T) {
	for _, c := range []struct {
		name, settings string
		format         bucket.Format
		begin, next    string
		held           string // in the records after the file is gone
	}{
		{"cri: stdout within a line, stderr each 200 ms", "", bucket.CRI, cri("stdout", "P", "Progress: "), cri("stderr", "F", "x"), `"message":"Progress: ","part":0`},
		{"docker: the same", "", "docker", docker("stdout", "Progress: "), docker("stderr", "x\n"), `"message":"Progress: ","part":0`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, c.format)
			w.configure("[[input]]\n", "[[input]]\nmultiline_wait = \"1h\"\n"+c.settings)
			path := filepath.Join(w.Logs(), "a.log")
			appendTo(t, path, c.begin)
			p := w.follow()
			const lines = 20
			for range lines {
				appendTo(t, path, c.next)
				time.Sleep(200 * time.Millisecond)
			}
			w.shipped(lines)
			seen := len(w.texts())
			p.kill()
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
			w.command("run", "--once").exits(0)
			all := strings.Join(w.texts(), "\n")
			ok := seen == lines && strings.Count(all, c.held) == 1 && len(w.texts()) == lines+1
			row(t, ok, c.name, fmt.Sprintf("%d of %d others; after a kill and the removal %d records", seen, lines, len(w.texts())), "all, and the piece")
		})
	}
	t.Run("never", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, bucket.Text)
		w.configure("[[input]]\n", "[[input]]\nmultiline_wait = \"1s\"\nmultiline_start = '^never'\n")
		path := filepath.Join(w.Logs(), "a.log")
		appendTo(t, path, "x\n")
		p := w.follow()
		begin := time.Now()
		eventually(t, "a record", func() bool {
			appendTo(t, path, "x\n")
			s, _ := w.status()
			return s.Uploads.Records > 0
		})
		took := time.Since(begin)
		p.stop()
		row(t, took < 5*time.Second, "a multiline_start that never matches, multiline_wait 1s", fmt.Sprintf("the first record after %.1f s", took.Seconds()), "5 s")
	})
}

// A line that the kubelet's rotation cuts is one record.
func TestLineOverRotation(t *testing.T) {
	t.Parallel()
	w := newWorld(t, bucket.CRI)
	w.configure("[[input]]\n", "[[input]]\nfields = [\"message\"]\n")
	path := filepath.Join(w.Logs(), "0.log")
	appendTo(t, path, cri("stderr", "F", "x")+cri("stdout", "P", "one, "))
	p := w.follow()
	w.shipped(1)
	if err := os.Rename(path, path+".20260102-030405"); err != nil {
		t.Fatal(err)
	}
	appendTo(t, path, cri("stdout", "F", "two"))
	w.shipped(2)
	p.stop()
	got := w.texts()
	row(t, len(got) == 2 && got[1] == `{"message":"one, two"}`, "a line of CRI that a rotation cuts", strings.Join(got, " "), "one record")
}

// Lines without a time are told of.
func TestUntimed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, bucket.JSON)
	w.configure("[[input]]\n", "[[input]]\ntime_field = \"t\"\ntime_format = \"%d/%b/%Y:%H:%M:%S %z\"\ntime_max_skew = \"24h\"\n")
	now := time.Now()
	appendTo(t, filepath.Join(w.Logs(), "a.log"), fmt.Sprintf("{\"t\":%q}\n{\"t\":%q}\n{\"t\":\"soon\"}\n", now.Format("02/Jan/2006:15:04:05 -0700"), now.AddDate(1, 0, 0).Format("02/Jan/2006:15:04:05 -0700")))
	p := w.follow()
	w.shipped(3)
	text := w.command("status").exits(0).out.String()
	p.stop()
	ok := containsAny(text, "2 of 3 records have no time") && containsAny(p.err.String(), "no time that can be read")
	row(t, ok, "times a year ahead, and none", lineWith(text, "no time"), "a line in status, and a warning")
}

// lineWith is the first line of text with a word.
func lineWith(text, word string) string {
	for line := range strings.Lines(text) {
		if strings.Contains(line, word) {
			return strings.TrimSpace(line)
		}
	}
	return "-"
}

// kill ends the process as a crash does.
func (p *proc) kill() {
	p.t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGKILL); err != nil {
		p.t.Fatal(err)
	}
	p.code()
}
