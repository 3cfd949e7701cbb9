package chunk

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"golang.org/x/text/encoding/charmap"
	"pgregory.net/rapid"
)

// messages decodes records as a consumer does.
func messages(t rapid.TB, records []byte) (whole [][]byte, texts []string) {
	t.Helper()
	for line := range bytes.Lines(records) {
		var r struct {
			Message *string
			Base64  []byte `json:"message_base64"`
		}
		if err := json.Unmarshal(line, &r); err != nil || r.Message == nil {
			t.Fatalf("%q: %v", line, err)
		}
		whole, texts = append(whole, r.Base64), append(texts, *r.Message)
	}
	return whole, texts
}

func TestCharset(t *testing.T) {
	e := NewEncoder(EncoderOptions{Format: Text, Fields: []string{"message"}, Charset: charmap.ISO8859_1, MaxLineSize: 4})
	got, _ := e.Append(nil, &Lines{Data: []byte("caf\xe9\r\n\"\xfc\"\nabcd\xe9\n")})
	want := `{"message":"café","part":0}` // five bytes with its carriage return
	if first, _, _ := strings.Cut(string(got), "\n"); first != strings.ReplaceAll(want, `\u00e9`, "é") {
		t.Errorf("got %s, want %s", first, want)
	}
	if _, texts := messages(t, got); strings.Join(texts, "|") != `café||"ü"|abcd|é` {
		t.Errorf("got %q", texts)
	}
}

// What comes out is what the encoding's own decoder says, and a byte that means
// nothing in it is not lost.
func TestCharsetsAreExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := rapid.SampledFrom([]*charmap.Charmap{
			charmap.ISO8859_1, charmap.ISO8859_8, charmap.ISO8859_15, charmap.Windows1252, charmap.Windows1253, charmap.KOI8R,
			charmap.CodePage437, charmap.Macintosh,
		}).Draw(t, "charset")
		line := bytes.ReplaceAll(rapid.SliceOfN(rapid.Byte(), 1, 50).Draw(t, "line"), []byte{'\n'}, []byte{'x'})
		line = append(line, 'x') // no carriage return at its end
		e := NewEncoder(EncoderOptions{Format: Text, Fields: []string{"message"}, Charset: m})
		got, c := e.Append(nil, &Lines{Data: append(bytes.Clone(line), '\n')})
		want, err := m.NewDecoder().Bytes(line)
		if err != nil {
			t.Fatal(err)
		}
		whole, texts := messages(t, got)
		if c.Records != 1 || len(texts) != 1 || texts[0] != string(want) {
			t.Fatalf("%v: %q became %q, want %q", m, line, texts, want)
		}
		if strings.ContainsRune(texts[0], '\uFFFD') != bytes.Equal(whole[0], line) {
			t.Fatalf("%v: %q became %q and %q", m, line, texts, whole)
		}
	})
}
