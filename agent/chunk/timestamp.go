package chunk

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Times reads the values of a time field. It is immutable; any number of
// goroutines may use it. The zero value reads what ReadTime documents, in UTC.
type Times struct {
	layout string         // of package time; "": see ReadTime
	zone   *time.Location // of times that name none; nil: UTC
	skew   time.Duration  // farthest from the reading time; 0: no bound
}

// NewTimes returns a reader of times in a format: "" for those that
// [Times.Read] knows by itself, else a layout of package time or, if it has a
// "%", the conversions of strftime. zone is the name of the time zone of times
// that name none. A time farther than skew from the reading time is none; 0 sets
// no bound.
func NewTimes(format, zone string, skew time.Duration) (*Times, error) {
	t := &Times{layout: format, skew: skew}
	var err error
	if t.zone, err = time.LoadLocation(zone); err != nil {
		return nil, fmt.Errorf("time zone %q is not known to this system", zone)
	}
	if strings.Contains(format, "%") {
		if t.layout, err = strftime(format); err != nil {
			return nil, err
		}
	}
	if t.layout != "" && t.layout != epochLayout {
		one := time.Date(2001, 2, 3, 4, 5, 6, 0, time.UTC)
		if one.Format(t.layout) == one.AddDate(0, 0, 1).Format(t.layout) {
			return nil, fmt.Errorf("time format %q does not tell the day", format)
		}
	}
	return t, nil
}

// epochLayout stands for a number of seconds since 1970.
const epochLayout = "%s"

// conversions are those of strftime, as layouts of package time.
var conversions = map[byte]string{
	'Y': "2006", 'y': "06", 'm': "01", 'd': "02", 'e': "_2", 'j': "002",
	'H': "15", 'I': "03", 'l': "3", 'M': "04", 'S': "05", 'p': "PM",
	'b': "Jan", 'h': "Jan", 'B': "January", 'a': "Mon", 'A': "Monday",
	'z': "Z0700", 'Z': "MST", 'T': "15:04:05", 'F': "2006-01-02", 'R': "15:04", 'D': "01/02/06",
	'f': "999999999", 'L': "999999999", 'N': "999999999", '%': "%", 'n': "\n", 't': "\t",
}

// strftime returns the layout of package time for a format of strftime.
func strftime(format string) (string, error) {
	if format == epochLayout {
		return epochLayout, nil
	}
	var layout []byte
	for i := 0; i < len(format); i++ {
		c := format[i]
		if c != '%' {
			if c >= '0' && c <= '9' || c == '_' {
				return "", fmt.Errorf("time format %q has %q, which would be read as part of a time; use conversions such as %%Y alone", format, c)
			}
			layout = append(layout, c)
			continue
		}
		if i++; i < len(format) && strings.IndexByte("-3569:", format[i]) >= 0 && i+1 < len(format) {
			i++ // %-d, %3f, %:z: reading takes any number of digits, and both forms of a zone
		}
		if i == len(format) {
			return "", fmt.Errorf("time format %q ends with %%", format)
		}
		to, known := conversions[format[i]]
		switch {
		case !known:
			return "", fmt.Errorf("time format %q has the unknown conversion %%%c", format, format[i])
		case to == "999999999" && (len(layout) < 3 || strings.IndexByte(".,", layout[len(layout)-1]) < 0 || string(layout[len(layout)-3:len(layout)-1]) != "05"):
			return "", fmt.Errorf(`time format %q has a fraction that does not follow "%%S." or "%%S,"`, format)
		case format[i] == 'z' && format[i-1] == ':':
			to = "Z07:00"
		}
		layout = append(layout, to...)
	}
	return string(layout), nil
}

// Read reads a text, or a number as it is written, as a time: in the format if
// there is one; else ISO 8601 and RFC 3339, with a blank, an underscore or a lower
// case "t" before the time of day too, with a comma before the fraction, and with any
// form of a zone or none; or a number of seconds, milliseconds, microseconds or
// nanoseconds since 1970, told apart by their size. A format without a year means
// the year that comes nearest to read, the time the line was read. Times before
// 1970 and after 2261, where ns end, are none.
func (t *Times) Read(s string, read time.Time) (at time.Time, ok bool) {
	switch {
	case s == "":
		return at, false
	case t.layout == "":
		if at, ok = epoch(s); !ok {
			at, ok = isoTime(s, t.zone)
		}
	case t.layout == epochLayout:
		at, ok = epoch(s)
	default:
		at, ok = t.parse(s, read)
	}
	if at = at.UTC(); !ok || at.Year() < 1970 || at.Year() > 2261 {
		return at, false
	}
	return at, t.skew == 0 || at.Sub(read).Abs() <= t.skew
}

// parse reads s by the layout.
func (t *Times) parse(s string, read time.Time) (time.Time, bool) {
	zone := t.zone
	if zone == nil {
		zone = time.UTC
	}
	at, err := time.ParseInLocation(t.layout, s, zone)
	if err != nil {
		return at, false
	}
	// Package time makes up an offset of 0 for abbreviations that it does not know.
	switch name, offset := at.Zone(); {
	case at.Location() == zone, offset != 0, name == "", name == "UTC", name == "GMT":
	default:
		return at, false
	}
	if at.Year() != 0 {
		return at, true
	}
	best := at.AddDate(read.Year(), 0, 0)
	for _, year := range []int{read.Year() - 1, read.Year() + 1} {
		if other := at.AddDate(year, 0, 0); other.Sub(read).Abs() < best.Sub(read).Abs() {
			best = other
		}
	}
	return best, true
}

// isoTime reads a date and a time of day. A leap second is the last moment of
// the second before it: so it stays in its day.
func isoTime(s string, zone *time.Location) (at time.Time, ok bool) {
	r := isoReader{s: strings.TrimSpace(s)}
	year := r.number(4)
	separator := r.one("-/")
	month := r.number(2)
	if separator {
		r.want("-/")
	}
	day := r.number(2)
	var hour, minute, second, ns int
	if r.one("Tt _") {
		hour = r.number(2)
		if colon := r.one(":"); colon || r.digit() {
			minute = r.number(2)
			if colon && r.one(":") || !colon && r.digit() {
				second = r.number(2)
				if r.one(".,") {
					ns = r.fraction()
				}
			}
		}
	}
	offset, zoned := r.zone()
	if r.bad || r.s != "" || month < 1 || month > 12 || day < 1 || day > daysIn(year, month) ||
		hour > 24 || minute > 59 || second > 60 || hour == 24 && minute+second+ns > 0 {
		return at, false
	}
	if second == 60 {
		second, ns = 59, 999_999_999
	}
	switch {
	case zoned:
		at = time.Date(year, time.Month(month), day, hour, minute, second, ns, time.UTC).Add(-offset)
	case zone != nil:
		at = time.Date(year, time.Month(month), day, hour, minute, second, ns, zone)
	default:
		at = time.Date(year, time.Month(month), day, hour, minute, second, ns, time.UTC)
	}
	return at, true
}

func daysIn(year, month int) int {
	return time.Date(year, time.Month(month)+1, 0, 0, 0, 0, 0, time.UTC).Day()
}

// isoReader takes parts of a time off the front of s; bad is set by the first
// that is not there.
type isoReader struct {
	s   string
	bad bool
}

func (r *isoReader) digit() bool { return r.s != "" && r.s[0]-'0' <= 9 }

// number takes exactly n digits.
func (r *isoReader) number(n int) (v int) {
	for ; n > 0; n-- {
		if !r.digit() {
			r.bad = true
			return 0
		}
		v = 10*v + int(r.s[0]-'0')
		r.s = r.s[1:]
	}
	return v
}

// one takes one of these bytes, if it is next.
func (r *isoReader) one(of string) bool {
	if r.s == "" || strings.IndexByte(of, r.s[0]) < 0 {
		return false
	}
	r.s = r.s[1:]
	return true
}

func (r *isoReader) want(of string) {
	if !r.one(of) {
		r.bad = true
	}
}

// fraction takes the digits of a fraction of a second, in ns; more than nine are
// cut.
func (r *isoReader) fraction() (ns int) {
	r.bad = r.bad || !r.digit()
	for unit := 100_000_000; r.digit(); unit /= 10 {
		ns += unit * int(r.s[0]-'0')
		r.s = r.s[1:]
	}
	return ns
}

// zone takes an offset, "Z", "UTC" or "GMT", or several of these; in brackets
// there may be a name besides. It returns false if there is none.
func (r *isoReader) zone() (offset time.Duration, found bool) {
	for r.s != "" && !r.bad {
		r.one(" ")
		upper := strings.ToUpper(r.s)
		switch {
		case strings.HasPrefix(upper, "UTC"), strings.HasPrefix(upper, "GMT"):
			r.s = r.s[3:]
		case r.one("Zz"):
		case found && strings.HasPrefix(r.s, "[") && strings.HasSuffix(r.s, "]"):
			r.s = ""
		default:
			negative := strings.HasPrefix(r.s, "-")
			r.want("+-")
			hours := r.number(2)
			minutes := 0
			if r.one(":") || r.digit() {
				minutes = r.number(2)
			}
			r.bad = r.bad || hours > 23 || minutes > 59
			offset = time.Duration(hours)*time.Hour + time.Duration(minutes)*time.Minute
			if negative {
				offset = -offset
			}
		}
		found = true
	}
	return offset, found
}

// epoch reads a number since 1970.
func epoch(s string) (time.Time, bool) {
	scale := func(n float64) int64 { // ns per unit
		switch {
		case n < 1e11:
			return 1e9
		case n < 1e14:
			return 1e6
		case n < 1e17:
			return 1e3
		}
		return 1
	}
	if n, err := strconv.ParseInt(s, 10, 64); err == nil && n >= 0 {
		per := scale(float64(n))
		unit := 1_000_000_000 / per // units per second
		return time.Unix(n/unit, n%unit*per), true
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || !(f >= 0 && f < 9e18) {
		return time.Time{}, false
	}
	per := float64(scale(f))
	whole, fraction := math.Modf(f * per / 1e9)
	return time.Unix(int64(whole), int64(fraction*1e9)), true
}
