package crash

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// fakeMode makes the test binary play the agent: honest, or one that loses,
// repeats or reorders lines.
const fakeMode = "E2E_FAKE_AGENT"

// setting reads one string key of the configuration.
func setting(config, key string) string {
	m := regexp.MustCompile(`(?m)^` + key + ` = "(.*)"$`).FindStringSubmatch(config)
	if m == nil {
		return ""
	}
	return m[1]
}

// fakeAgent is `spoolship run`. It follows nothing while it lives (so crashes
// can't hurt it) and ships all files of all inputs with --once.
func fakeAgent(mode string, args []string) int {
	b, err := os.ReadFile(args[2])
	if err != nil {
		return 2
	}
	config := string(b)
	if !slices.Contains(args, "--once") {
		return fakeService(config)
	}
	for _, part := range strings.Split(config, "[[input]]")[1:] {
		if err := fakeShip(mode, config, part); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	return 0
}

// fakeService answers on the socket as if every file were followed.
func fakeService(config string) int {
	if spec := os.Getenv("SPOOLSHIP_FAILPOINT"); strings.HasPrefix(spec, "append.commit:") {
		fmt.Fprintf(os.Stderr, "failpoint %s reached\n", spec)
		syscall.Kill(os.Getpid(), syscall.SIGKILL)
	}
	os.Remove(setting(config, "socket"))
	l, err := net.Listen("unix", setting(config, "socket"))
	if err != nil {
		return 1
	}
	go http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		type position struct{ Path string }
		var list []position
		for _, m := range regexp.MustCompile(`include = \["(.*)"\]`).FindAllStringSubmatch(config, -1) {
			files, _ := filepath.Glob(m[1])
			for _, f := range files {
				list = append(list, position{f})
			}
		}
		json.NewEncoder(w).Encode(list)
	}))
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	<-stop
	return 0
}

// fakeShip puts each generation of an input's files as one object.
func fakeShip(mode, config, part string) error {
	glob := regexp.MustCompile(`include = \["(.*)"\]`).FindStringSubmatch(part)[1]
	files, err := filepath.Glob(strings.TrimSuffix(glob, "*") + "*")
	if err != nil {
		return err
	}
	for i, f := range files {
		raw, err := os.ReadFile(f)
		if err != nil {
			return err
		}
		lines := fakeRecords(setting(part, "format"), setting(part, "max_line_size"), raw)
		if i == 0 && len(lines) > 2 {
			lines = fakeMistake(mode, lines)
		}
		if err := fakePut(config, setting(part, "name"), i+1, lines); err != nil {
			return err
		}
	}
	return nil
}

func fakeRecords(format, limit string, raw []byte) [][]byte {
	var records [][]byte
	size, err := strconv.Atoi(strings.TrimSuffix(limit, "B"))
	if err != nil {
		size = 1 << 20
	}
	for l := range bytes.Lines(raw) {
		l = bytes.TrimSuffix(bytes.TrimSuffix(l, []byte("\n")), []byte("\r"))
		field := "message"
		if format == "json" {
			if len(l) <= size && json.Valid(l) && bytes.HasPrefix(bytes.TrimLeft(l, " "), []byte("{")) {
				records = append(records, l)
				continue
			}
			field = "raw"
		}
		for part := 0; ; part++ {
			n := min(size, len(l))
			rec := map[string]any{field + "_base64": l[:n]}
			if part > 0 || n < len(l) {
				rec["part"], rec["last"] = part, n == len(l)
			}
			b, _ := json.Marshal(rec)
			records = append(records, append([]byte(`{"raw":"",`), b[1:]...))
			if l = l[n:]; len(l) == 0 {
				break
			}
		}
	}
	return records
}

func fakeMistake(mode string, lines [][]byte) [][]byte {
	switch mode {
	case "loses":
		return lines[1:]
	case "repeats":
		return append(lines, lines[0])
	case "reorders":
		lines[0], lines[1] = lines[1], lines[0]
	}
	return lines
}

func fakePut(config, input string, number int, lines [][]byte) error {
	body := append(bytes.Join(lines, []byte("\n")), '\n')
	if len(lines) == 0 {
		body = nil
	}
	sum := sha256.Sum256(body)
	client := s3.New(s3.Options{
		BaseEndpoint: aws.String(setting(config, "endpoint")), Region: "us-east-1", UsePathStyle: true,
		Credentials: credentials.NewStaticCredentialsProvider(setting(config, "access_key_id"), setting(config, "secret_access_key"), ""),
	})
	_, err := client.PutObject(context.Background(), &s3.PutObjectInput{
		Bucket: aws.String(setting(config, "bucket")), Body: bytes.NewReader(body),
		Key:            aws.String(fmt.Sprintf("%s/dt=2026-03-01/hour=00/h-00112233445566ff-%020d-%d-0123456789abcdef.ndjson", input, number, len(lines))),
		ChecksumSHA256: aws.String(base64.StdEncoding.EncodeToString(sum[:])),
	})
	return err
}
