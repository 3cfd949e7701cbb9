package chunk

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/japanese"
	"golang.org/x/text/encoding/korean"
	"golang.org/x/text/encoding/simplifiedchinese"
	"golang.org/x/text/encoding/traditionalchinese"
	"golang.org/x/text/encoding/unicode"
	"pgregory.net/rapid"
)

var (
	utf16le = unicode.UTF16(unicode.LittleEndian, unicode.IgnoreBOM)
	utf16be = unicode.UTF16(unicode.BigEndian, unicode.IgnoreBOM)
)

func encoded(t rapid.TB, e encoding.Encoding, text string) []byte {
	t.Helper()
	b, err := e.NewEncoder().Bytes([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestUTF16(t *testing.T) {
	for _, order := range []encoding.Encoding{utf16le, utf16be} {
		e := NewEncoder(EncoderOptions{Format: Text, Fields: []string{"offset", "message"}, Charset: order, MaxLineSize: 12})
		// U+0A0D, U+0D0A and U+0A0A have the bytes of newlines, some at even offsets.
		text := "\ufeffa\r\nਊ\u0a0d\u0d0a\n\ufeff😀\"\n\n123456789\n"
		half := encoded(t, order, "x😀")[:4]
		data := append(encoded(t, order, text), half...)
		want := `{"offset":0,"message":"` + "\ufeff" + `a"}
{"offset":8,"message":"ਊ਍ഊ"}
{"offset":16,"message":"` + "\ufeff" + `😀\""}
{"offset":26,"message":""}
{"offset":28,"message":"123456","part":0}
{"offset":40,"message":"789","part":1,"last":true}
` + fmt.Sprintf(`{"offset":48,"message":"x`+"\ufffd"+`","message_base64":"%s"}`, base64.StdEncoding.EncodeToString(half)) + "\n"
		want = strings.NewReplacer(`\u0a0d`, "\u0a0d", `\u0d0a`, "\u0d0a").Replace(want)
		got, c := e.Append(nil, &Lines{Data: data})
		if string(got) != want || c != (Counts{Records: 7, Parts: 2}) {
			t.Errorf("got  %s%+v\nwant %s", got, c, want)
		}
		if whole := e.Stream()(data, false); whole != len(data)-len(half) {
			t.Errorf("%d bytes of %d are whole lines", whole, len(data))
		}
		if whole := e.Stream()(data[:3], false); whole != 0 {
			t.Errorf("%d bytes of none are whole lines", whole)
		}
	}
}

// Lines arrive as their encoding's own decoder has them, wherever they are cut.
func TestEncodingsAreExact(t *testing.T) {
	all := []encoding.Encoding{
		utf16le, utf16be, japanese.ShiftJIS, japanese.EUCJP, korean.EUCKR, simplifiedchinese.GBK, simplifiedchinese.GB18030, traditionalchinese.Big5,
	}
	rapid.Check(t, func(t *rapid.T) {
		order := rapid.SampledFrom(all).Draw(t, "encoding")
		e := NewEncoder(EncoderOptions{Format: Text, Fields: []string{"message"}, Charset: order})
		newline := encoded(t, order, "\n")
		var data []byte
		var want []string
		for range rapid.IntRange(0, 5).Draw(t, "lines") {
			line := rapid.SliceOfN(rapid.OneOf(rapid.Byte(), rapid.SampledFrom([]byte{0, 'a', 0xd8, 0xdc, 0x81, 0x30})), 0, 20).Draw(t, "line")
			line = bytes.ReplaceAll(line, []byte("\n"), []byte("x"))
			line = append(line[:len(line)/2*2], encoded(t, order, "|")...)
			text, err := order.NewDecoder().Bytes(line)
			if err != nil {
				t.Fatal(err)
			}
			data, want = append(append(data, line...), newline...), append(want, string(text))
		}
		cut := len(data)
		if e.wide != nil {
			cut = e.Stream()(data[:rapid.IntRange(0, len(data)).Draw(t, "cut")], false)
		}
		got, c := e.Append(nil, &Lines{Data: data[:cut]})
		got, more := e.Append(got, &Lines{From: int64(cut), Data: data[cut:]})
		_, texts := messages(t, got)
		if strings.Join(texts, "\n") != strings.Join(want, "\n") || c.Records+more.Records != int64(len(want)) {
			t.Fatalf("% x became %q, want %q", data, texts, want)
		}
	})
}

func FuzzUTF16(f *testing.F) {
	f.Add([]byte("\xff\xfea\x00\r\x00\n\x00b"), true, 3)
	f.Add([]byte("\n\n\x00\n\n\x00"), false, 4)
	f.Fuzz(func(t *testing.T, data []byte, little bool, limit int) {
		order := utf16be
		if little {
			order = utf16le
		}
		e := NewEncoder(EncoderOptions{Format: Text, Charset: order, MaxLineSize: 2 + limit&62})
		whole := e.Stream()(data, false)
		if whole%2 == 1 || whole > len(data) {
			t.Fatalf("%d of %d bytes are whole", whole, len(data))
		}
		all, c := e.Append(nil, &Lines{Data: data})
		both, _ := e.Append(nil, &Lines{Data: data[:whole]})
		both, _ = e.Append(both, &Lines{From: int64(whole), Data: data[whole:]})
		if !bytes.Equal(all, both) {
			t.Fatalf("at once\n%sin two, cut at %d\n%s", all, whole, both)
		}
		if n := int64(bytes.Count(all, []byte{'\n'})); n != c.Records {
			t.Fatalf("%d records are counted, %d are there", c.Records, n)
		}
		for line := range bytes.Lines(all) {
			if at, f := scanLine(line, 0); f != ok {
				t.Fatalf("%s at byte %d of %q", faultText[f], at, line)
			}
		}
	})
}
