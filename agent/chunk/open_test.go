package chunk

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// Records are the lines of a text, however it is read and however long they are.
func FuzzRecords(f *testing.F) {
	f.Add([]byte("a\nb"), true)
	f.Add([]byte(strings.Repeat("long ", 1<<15)+"\n\n{}\n"), false)
	f.Fuzz(func(t *testing.T, text []byte, slow bool) {
		r := io.Reader(bytes.NewReader(text))
		if slow {
			r = iotest.HalfReader(r)
		}
		var got []byte
		for record, err := range Records(r) {
			if err != nil {
				t.Fatal(err)
			}
			if i := bytes.IndexByte(record, '\n'); i != len(record)-1 && (i >= 0 || len(got)+len(record) != len(text)) {
				t.Fatalf("%q is no record", record)
			}
			got = append(got, record...)
		}
		if !bytes.Equal(got, text) {
			t.Fatalf("got %q of %q", got, text)
		}
	})
}

// A failure ends the records; what came before it is cut.
func TestRecordsFail(t *testing.T) {
	broken := errors.New("broken")
	var got []string
	for record, err := range Records(io.MultiReader(strings.NewReader("a\nb"), iotest.ErrReader(broken))) {
		if err != nil {
			got = append(got, err.Error())
			continue
		}
		got = append(got, string(record))
	}
	if strings.Join(got, "|") != "a\n|broken" {
		t.Errorf("got %q", got)
	}
	for range Records(strings.NewReader("a\nb\n")) {
		break // is allowed
	}
}

// Whatever is stored as an object, it is opened or refused.
func FuzzOpen(f *testing.F) {
	const text = "{\"a\":1}\n"
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	io.WriteString(w, text)
	w.Close()
	f.Add(b.Bytes())
	e, _ := zstd.NewWriter(nil)
	f.Add(e.EncodeAll([]byte(text), nil))
	f.Add([]byte(text))
	f.Fuzz(func(_ *testing.T, stored []byte) {
		r, err := Open(bytes.NewReader(stored))
		if err != nil {
			return
		}
		defer r.Close()
		if _, err := io.Copy(io.Discard, io.LimitReader(r, 1<<24)); err != nil {
			return
		}
	})
}
