package bucket

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"os"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/klauspost/compress/zstd"

	"github.com/spoolship/spoolship/internal/e2e/s3dev"
)

func gz(t testing.TB, s string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write([]byte(s)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func zst(t testing.TB, s string) []byte {
	t.Helper()
	z, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	return z.EncodeAll([]byte(s), nil)
}

func TestDecode(t *testing.T) {
	two := zst(t, "a\n")
	for _, c := range []struct {
		name, ext string
		data      []byte
		want      string // records joined by |, or an error that begins with !
	}{
		{"gzip", ".gz", gz(t, "a\nb\n"), "a|b"},
		{"empty gzip", ".gz", gz(t, ""), ""},
		{"two gzip members", ".gz", append(gz(t, "a\n"), gz(t, "b\n")...), "! bytes after the gzip member"},
		{"bytes after gzip", ".gz", append(gz(t, "a\n"), 0), "!1 bytes after"},
		{"cut gzip", ".gz", gz(t, "a\n")[:20], "!unexpected EOF"},
		{"no gzip", ".gz", []byte("abc\n"), "!"},
		{"zstd, two frames", ".zst", append(two, zst(t, "b\n")...), "a|b"},
		{"no zstd", ".zst", []byte("abc\n"), "!"},
		{"plain", "", []byte("a\n\nb\n"), "a||b"},
		{"no last newline", "", []byte("a\nb"), "!the last record"},
	} {
		records, err := Decode(c.ext, c.data)
		got := string(bytes.Join(records, []byte("|")))
		if err != nil {
			got = "!" + err.Error()
		}
		if want, isError := strings.CutPrefix(c.want, "!"); isError != (err != nil) || !strings.Contains(got, want) {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(".gz", gz(f, "a\nb\n"))
	f.Add(".zst", zst(f, "a\n"))
	f.Add("", []byte("a\n"))
	f.Fuzz(func(t *testing.T, ext string, data []byte) {
		if len(data) > 1<<16 {
			return
		}
		records, err := Decode(ext, data)
		if err == nil && ext == "" && len(data) > 0 && !bytes.Equal(append(bytes.Join(records, []byte("\n")), '\n'), data) {
			t.Errorf("records of %q are %q", data, records)
		}
	})
}

func FuzzParseKey(f *testing.F) {
	f.Add("", "app/dt=2026-03-01/hour=00/host-1-00112233445566ff-00000000000000000007-12-0123456789abcdef.ndjson.gz")
	f.Add("p/", "p/app/dt=2026-03-01/hour=00/h-00112233445566ff-99999999999999999999-1-0123456789abcdef.ndjson")
	f.Fuzz(func(t *testing.T, prefix, key string) {
		k, err := ParseKey(prefix, key)
		if err == nil && (len(k.Queue) != 16 || len(k.ID) != 16 || !strings.HasPrefix(key, prefix+k.Input+"/dt=")) {
			t.Errorf("%q is no key, but parsed as %+v", key, k)
		}
	})
}

func TestParseKey(t *testing.T) {
	k, err := ParseKey("logs/", "logs/app/dt=2026-03-01/hour=00/my-host-00112233445566ff-00000000000000000007-12-0123456789abcdef.ndjson.zst")
	want := Key{Input: "app", Host: "my-host", Queue: queue, Chunk: 7, Records: 12, ID: "0123456789abcdef", Ext: ".zst"}
	if err != nil || k != want {
		t.Errorf("%+v, %v", k, err)
	}
	k, err = ParseKey("", "app/dt=2026-03-01/hour=00/h-00112233445566ff-00000000000000000007-0.dropped-0123456789abcdef.ndjson")
	want = Key{Input: "app", Host: "h", Queue: queue, Chunk: 7, Cause: "dropped", ID: "0123456789abcdef"}
	if err != nil || k != want {
		t.Errorf("%+v, %v", k, err)
	}
	if _, err := ParseKey("", "readme.txt"); err == nil {
		t.Error("a key of somebody else was taken")
	}
}

// put stores an object the way the agent does: both digests up front.
func put(t *testing.T, c *s3.Client, name string, body []byte) {
	t.Helper()
	sum := sha256.Sum256(body)
	_, err := c.PutObject(context.Background(), &s3.PutObjectInput{
		Bucket: aws.String("events"), Key: &name, Body: bytes.NewReader(body),
		ChecksumSHA256: aws.String(base64.StdEncoding.EncodeToString(sum[:])),
	})
	if err != nil {
		t.Fatal(err)
	}
}

// readBack puts two objects through a front and reads them from the bucket.
func readBack(t *testing.T, front *s3dev.Front) {
	server, err := s3dev.Listen(front)
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	l := Location{Endpoint: server.URL(), Region: s3dev.Region, Bucket: "events", AccessKey: s3dev.AccessKey, SecretKey: s3dev.SecretKey}
	one, two := object(1, event(1)).Name+".gz", object(2, event(2), event(3)).Name
	put(t, l.client(), one, gz(t, event(1)+"\n"))
	put(t, l.client(), two, []byte(event(2)+"\n"+event(3)+"\n"))
	objects, err := Read(context.Background(), l)
	if err != nil {
		t.Fatal(err)
	}
	if r := Compare([]Stream{stream("one", event(1), event(2), event(3))}, objects); !r.OK() || r.Objects != 2 {
		t.Errorf("%+v", r)
	}
	if refused := front.Stats().Refused; len(refused) > 0 {
		t.Errorf("refused: %q", refused)
	}
}

func TestReadFromTheEmbeddedStore(t *testing.T) {
	store, err := s3dev.Memory("events")
	if err != nil {
		t.Fatal(err)
	}
	readBack(t, s3dev.NewFront(store))
}

func TestReadFromVersitygw(t *testing.T) {
	const bin = "../../../bin/versitygw"
	if _, err := os.Stat(bin); err != nil {
		t.Skip("bin/versitygw is not built (make crash builds it)")
	}
	gw, err := s3dev.StartVersity(context.Background(), bin, t.TempDir(), "events")
	if err != nil {
		t.Fatal(err)
	}
	defer gw.Close()
	readBack(t, s3dev.NewFront(gw.Handler()))
}
