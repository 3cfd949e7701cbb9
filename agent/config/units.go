package config

import (
	"math"
	"strconv"
	"strings"
	"time"
)

// Size is a number of bytes, written "8MiB".
type Size int64

const (
	kib Size = 1 << 10
	mib Size = 1 << 20
	gib Size = 1 << 30
	tib Size = 1 << 40
)

// units are the suffixes of sizes: IEC 80000-13 for powers of 1024, SI for
// powers of 1000. A bare "M" is refused, as it is read either way.
var units = map[string]Size{
	"B": 1, "KiB": kib, "MiB": mib, "GiB": gib, "TiB": tib,
	"kB": 1e3, "KB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12,
}

const sizeHint = `write it like "8MiB" (units: B, KiB, MiB, GiB, TiB, kB, MB, GB, TB)`

// String prints the size exactly, in the largest unit that divides it:
// "8MiB", "1536KiB", "0B". It can be read back.
func (s Size) String() string {
	unit, name := Size(1), "B"
	for _, u := range []string{"KiB", "MiB", "GiB", "TiB"} {
		if s != 0 && s%units[u] == 0 {
			unit, name = units[u], u
		}
	}
	return strconv.FormatInt(int64(s/unit), 10) + name
}

// parseSize reads what String prints and the SI units. A sign is let through:
// the range of the key refuses it with a better message.
func parseSize(text string) (Size, bool) {
	end := strings.LastIndexAny(text, "0123456789") + 1
	unit, known := units[strings.TrimLeft(text[end:], " ")]
	n, err := strconv.ParseInt(text[:end], 10, 64)
	if err != nil || !known {
		return 0, false
	}
	if n > math.MaxInt64/int64(unit) || n < math.MinInt64/int64(unit) {
		return 0, false
	}
	return Size(n) * unit, true
}

// Rate is a number of bytes per second, written "50MiB/s".
type Rate Size

const rateHint = `write it like "50MiB/s"; "0B/s" is no limit`

// String prints the rate exactly, as [Size.String] does. It can be read back.
func (r Rate) String() string { return Size(r).String() + "/s" }

// parseRate reads what String prints and the SI units.
func parseRate(text string) (Rate, bool) {
	size, ok := strings.CutSuffix(text, "/s")
	if !ok {
		return 0, false
	}
	s, ok := parseSize(size)
	return Rate(s), ok
}

// Duration is a length of time, written "250ms".
type Duration time.Duration

const durationHint = `write it like "250ms", "60s", "5m" or "24h"`

// String prints the duration without zero parts: "5m", not "5m0s".
func (d Duration) String() string {
	s := time.Duration(d).String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}
