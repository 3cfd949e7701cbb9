package chunk

import (
	"bytes"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// eventLines returns about size bytes of JSON event lines of about 450 bytes
// with the entropy of real ones.
func eventLines(size int) []byte {
	r := rand.New(rand.NewPCG(1, 2))
	levels := []string{"info", "info", "info", "warn", "error"}
	paths := []string{"/api/v1/orders", "/api/v1/users/profile", "/healthz", "/api/v2/search", "/static/app.js"}
	agents := []string{"Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101", "curl/8.5.0", "okhttp/4.12.0 (build \\\"77\\\")"}
	var b bytes.Buffer
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for b.Len() < size {
		at = at.Add(time.Duration(r.IntN(2_000_000)))
		fmt.Fprintf(&b, `{"timestamp":%q,"level":%q,"service":"checkout","host":"web-%02d.eu-central-1","trace_id":"%016x%016x","span_id":"%016x","user_id":%d,"method":"GET","path":"%s/%d","status":%d,"duration_ms":%.3f,"bytes":%d,"ip":"10.%d.%d.%d","user_agent":"%s","tags":["canary","region:eu",%t],"ctx":{"cart":%d,"currency":"EUR","retry":null},"message":"request finished in time, nothing more to say about order %d"}`+"\n",
			at.Format(time.RFC3339Nano), levels[r.IntN(5)], r.IntN(40), r.Uint64(), r.Uint64(), r.Uint64(), r.Uint32(),
			paths[r.IntN(5)], r.IntN(100000), 200+r.IntN(5)*50, r.Float64()*500, r.IntN(90000), r.IntN(256), r.IntN(256), r.IntN(256),
			agents[r.IntN(3)], r.IntN(2) == 0, r.IntN(50), r.IntN(1_000_000))
	}
	return b.Bytes()
}

// accessLines returns about size bytes of access-log lines of about 200 bytes.
func accessLines(size int) []byte {
	r := rand.New(rand.NewPCG(3, 4))
	var b bytes.Buffer
	for b.Len() < size {
		fmt.Fprintf(&b, `10.%d.%d.%d - user%d [02/Jan/2026:03:04:%02d +0000] "GET /catalog/item/%d?ref=%08x HTTP/1.1" %d %d "https://shop.example.com/catalog" "Mozilla/5.0 (X11; Linux x86_64; rv:121.0) Gecko/20100101 Firefox/121.0"`+"\n",
			r.IntN(256), r.IntN(256), r.IntN(256), r.IntN(5000), r.IntN(60), r.IntN(90000), r.Uint32(), 200+r.IntN(4)*100, r.IntN(50000))
	}
	return b.Bytes()
}

func BenchmarkScan(b *testing.B) {
	data := eventLines(1 << 20)
	b.Logf("%d bytes per line", len(data)/bytes.Count(data, []byte{'\n'}))
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		for i := 0; i < len(data); i++ {
			at, f := scanLine(data, i)
			if f != ok {
				b.Fatal(faultText[f])
			}
			i = at
		}
	}
}

// BenchmarkScanStd is what BenchmarkScan has to be compared with.
func BenchmarkScanStd(b *testing.B) {
	data := eventLines(1 << 20)
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		for line := range bytes.Lines(data) {
			if !json.Valid(line) {
				b.Fatal("not valid")
			}
		}
	}
}

func BenchmarkEncode(b *testing.B) {
	events, access := eventLines(1<<20), accessLines(1<<20)
	wide := bytes.ReplaceAll(events, []byte("request finished in time"), []byte("запрос завершён вовремя"))
	for _, bb := range []struct {
		name string
		o    EncoderOptions
		data []byte
	}{
		{"json/full", EncoderOptions{Validate: true}, events},
		{"json/full/utf8", EncoderOptions{Validate: true}, wide},
		{"json/full/crlf", EncoderOptions{Validate: true}, bytes.ReplaceAll(events, []byte("\n"), []byte("\r\n"))},
		{"json/full/invalid", EncoderOptions{Validate: true}, access},
		{"json/off", EncoderOptions{}, events},
		{"text", EncoderOptions{Format: Text, Host: "web-01"}, access},
		{"text/message", EncoderOptions{Format: Text, Fields: []string{"message"}}, access},
	} {
		b.Run(bb.name, func(b *testing.B) {
			bb.o.MaxLineSize = 1 << 20
			e := NewEncoder(bb.o)
			l := &Lines{File: "/var/log/app/access.log", Time: time.Unix(1767323045, 678), Data: bb.data}
			var dst []byte
			b.SetBytes(int64(len(bb.data)))
			b.ReportAllocs()
			for b.Loop() {
				dst, _ = e.Append(dst[:0], l)
			}
		})
	}
}

func BenchmarkCompress(b *testing.B) {
	data := eventLines(1 << 20)
	for _, bb := range []struct {
		codec Codec
		level int
	}{{Gzip, 1}, {Gzip, 6}, {Zstd, 1}, {Zstd, 3}, {None, 0}} {
		b.Run(fmt.Sprintf("%s/%d", bb.codec, bb.level), func(b *testing.B) {
			c, err := NewCompressor(bb.codec, bb.level)
			if err != nil {
				b.Fatal(err)
			}
			var dst []byte
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			for b.Loop() {
				dst, _ = c.Block(dst[:0], data)
			}
			b.ReportMetric(float64(len(data))/float64(len(dst)), "ratio")
		})
	}
}

// BenchmarkBody makes an 8 MiB gzip object twice, as an upload does: once for
// its checksum, once to send it. MB/s are stored bytes.
func BenchmarkBody(b *testing.B) {
	c, err := NewCompressor(Gzip, 1)
	if err != nil {
		b.Fatal(err)
	}
	raw := eventLines(1 << 20)
	data, enc := c.Block(nil, raw)
	src := make(pieces, 8<<20/len(data))
	for i := range src {
		src[i] = Piece{enc, data, int64(len(raw)), crc32.ChecksumIEEE(raw)}
	}
	b.SetBytes(int64(len(src) * len(data)))
	b.ReportAllocs()
	buf := make([]byte, 32<<10)
	for b.Loop() {
		body, err := NewBody(Gzip, 1, src)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, body, buf); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkBodySmall makes the object of an input with little traffic: a
// minute's raw blocks, compressed while they are read.
func BenchmarkBodySmall(b *testing.B) {
	for _, codec := range []Codec{Gzip, Zstd} {
		b.Run(codec.String(), func(b *testing.B) {
			src := store(b, codec, 1, slices.Collect(slices.Chunk(eventLines(240<<10), 1<<10))...)
			b.SetBytes(240 << 10)
			b.ReportAllocs()
			for b.Loop() {
				body, err := NewBody(codec, 1, src)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := io.Copy(io.Discard, body); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// pieces is a source in memory.
type pieces []Piece

func (p pieces) Len() int                   { return len(p) }
func (p pieces) Piece(i int) (Piece, error) { return p[i], nil }
