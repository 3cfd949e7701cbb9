// Package logs makes log lines and writes them the way programs do: in
// bursts, sometimes half a line at a time, with rotation.
package logs

import (
	"math/rand/v2"
	"strconv"
	"time"
)

// Source makes lines, deterministic by its seed. Not safe for concurrent use.
type Source interface {
	// Append appends the next line, with its newline, to dst.
	Append(dst []byte) []byte
}

// base is what both kinds of lines are made of. Its mix of fresh digits and of
// words from small sets is chosen so that gzip -1 shrinks event lines five to
// eight times, as it does with those of real services.
type base struct {
	rng    *rand.Rand
	now    time.Time
	stream string // with seq makes every line unique
	seq    int64
	users  []string
	agents []string
	paths  []string
}

// epoch is the time of the first line; lines move on from there by themselves,
// so that data does not depend on the clock.
var epoch = time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)

func newBase(seed uint64, stream string) base {
	b := base{rng: rand.New(rand.NewPCG(seed, 0x5b001)), now: epoch, stream: stream}
	for range 400 {
		b.users = append(b.users, string(b.hex([]byte("u-"), 8)))
		b.paths = append(b.paths, "/api/v2/"+b.pick(nouns)+"/"+strconv.Itoa(b.rng.IntN(100000))+"/"+b.pick(nouns))
	}
	for range 40 {
		b.agents = append(b.agents, "Mozilla/5.0 ("+b.pick(systems)+"; rv:"+strconv.Itoa(90+b.rng.IntN(60))+
			".0) Gecko/20100101 Firefox/"+strconv.Itoa(90+b.rng.IntN(60))+"."+strconv.Itoa(b.rng.IntN(20)))
	}
	return b
}

var (
	nouns    = []string{"orders", "invoices", "sessions", "carts", "profiles", "payments", "exports", "devices", "tickets", "shipments"}
	systems  = []string{"X11; Linux x86_64", "Windows NT 10.0; Win64; x64", "Macintosh; Intel Mac OS X 10_15_7", "iPhone; CPU iPhone OS 18_1 like Mac OS X", "Linux; Android 15; Pixel 9"}
	services = []string{"checkout", "gateway", "identity", "catalog", "billing", "search"}
	levels   = []string{"info", "info", "info", "info", "info", "info", "debug", "debug", "warn", "error"}
	methods  = []string{"GET", "GET", "GET", "GET", "POST", "PUT", "DELETE"}
	statuses = []string{"200", "200", "200", "200", "200", "201", "204", "304", "400", "404", "500"}
	messages = []string{"request completed", "request completed", "request completed", "cache miss, went to the store", "retrying after a timeout", "rate limit is near"}
)

func (b *base) pick(set []string) string { return set[b.rng.IntN(len(set))] }

const hexDigits = "0123456789abcdef"

// hex appends n random hex digits.
func (b *base) hex(dst []byte, n int) []byte {
	for n > 0 {
		for v, i := b.rng.Uint64(), 0; i < 16 && n > 0; i, n = i+1, n-1 {
			dst = append(dst, hexDigits[v&15])
			v >>= 4
		}
	}
	return dst
}

// step moves on to the next line's time and number.
func (b *base) step() {
	b.now = b.now.Add(time.Duration(b.rng.IntN(400)) * time.Microsecond)
	b.seq++
}

func (b *base) ip(dst []byte) []byte {
	v := b.rng.Uint32()
	dst = append(dst, "10."...)
	dst = strconv.AppendUint(dst, uint64(v&3), 10)
	dst = append(dst, '.')
	dst = strconv.AppendUint(dst, uint64(v>>8&255), 10)
	dst = append(dst, '.')
	return strconv.AppendUint(dst, uint64(v>>16&255), 10)
}
