package fleet

import (
	"bufio"
	"fmt"
	"hash/fnv"
	"net/http"
	"sort"
	"strconv"
	"strings"
	"time"
)

// store answers listings of a bucket in which every queue has put a chunk an hour,
// with keys of the default template. It keeps none of them.
type store struct {
	queues, hours int
	delay         time.Duration   // of every page
	missing       map[[2]int]bool // chunks that are not there, by queue and hour
}

// The first hour, and how many keys a page has at the most, as S3's.
var begin = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

const pageSize = 1000

func (s *store) keys() int { return s.queues*s.hours - len(s.missing) }

// folder is that of an hour.
func folder(hour int) string {
	return begin.Add(time.Duration(hour) * time.Hour).Format("app/dt=2006-01-02/hour=15/")
}

func (s *store) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	time.Sleep(s.delay) // a network, not a wait for something
	query := r.URL.Query()
	prefix, delimiter := query.Get("prefix"), query.Get("delimiter")
	out := bufio.NewWriterSize(w, 1<<20)
	defer out.Flush()
	out.WriteString(`<?xml version="1.0" encoding="UTF-8"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">`)
	defer out.WriteString("</ListBucketResult>")
	if delimiter != "" && !strings.Contains(prefix, "/hour=") {
		s.folders(out, prefix)
		return
	}
	// A place in the listing is an index over all hours and queues.
	first := sort.Search(s.hours, func(h int) bool { return folder(h) >= prefix })
	last := first
	for last < s.hours && strings.HasPrefix(folder(last), prefix) {
		last++
	}
	at, end := first*s.queues, last*s.queues
	if token := query.Get("continuation-token"); token != "" {
		at, _ = strconv.Atoi(token)
	}
	for n := 0; at < end; at++ {
		if n == pageSize {
			fmt.Fprintf(out, "<IsTruncated>true</IsTruncated><NextContinuationToken>%d</NextContinuationToken>", at)
			return
		}
		hour, queue := at/s.queues, at%s.queues
		if s.missing[[2]int{queue, hour}] {
			continue
		}
		s.object(out, hour, queue)
		n++
	}
}

// object prints an object as S3 lists it.
func (s *store) object(out *bufio.Writer, hour, queue int) {
	var text [400]byte
	b := append(text[:0], "<Contents><Key>"...)
	b = append(b, folder(hour)...)
	b = appendPadded(append(b, "host-"...), uint64(queue), 6)
	b = append(b, '-')
	b = append(b, queueID(queue)...)
	b = appendPadded(append(b, '-'), uint64(hour+1), 20)
	b = append(b, "-1000-00112233445566aa.ndjson.gz</Key><LastModified>2026-01-02T03:04:05.000Z</LastModified>"...)
	b = append(b, "<ETag>&quot;0123456789abcdef0123456789abcdef&quot;</ETag><Size>123456</Size><StorageClass>STANDARD</StorageClass></Contents>"...)
	out.Write(b)
}

// queueID is the id of a queue; ids are in the order of their numbers.
func queueID(queue int) string {
	h := fnv.New32a()
	h.Write([]byte(strconv.Itoa(queue)))
	return fmt.Sprintf("%08x%08x", queue, h.Sum32())
}

func appendPadded(b []byte, n uint64, width int) []byte {
	digits := strconv.FormatUint(n, 10)
	for range width - len(digits) {
		b = append(b, '0')
	}
	return append(b, digits...)
}

// folders prints those below prefix.
func (s *store) folders(out *bufio.Writer, prefix string) {
	last := ""
	for h := range s.hours {
		rest, inside := strings.CutPrefix(folder(h), prefix)
		name, _, _ := strings.Cut(rest, "/")
		if inside && name != last {
			fmt.Fprintf(out, "<CommonPrefixes><Prefix>%s%s/</Prefix></CommonPrefixes>", prefix, name)
			last = name
		}
	}
}
