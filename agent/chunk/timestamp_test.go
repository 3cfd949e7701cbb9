package chunk

import (
	"testing"
	"time"
)

func TestTimesRead(t *testing.T) {
	read := time.Date(2026, 1, 15, 12, 0, 0, 0, time.UTC)
	const want = "2026-01-02T03:04:05.017021Z"
	for _, c := range []struct{ format, zone, in, want string }{
		{"", "", "2026-01-02T03:04:05.017021Z", want},
		{"", "", "2026-01-02T03:04:05.017021+0000", want},
		{"", "", "2026-01-02t03:04:05,017021z", want},
		{"", "", "2026-01-02 04:34:05.017021 +01:30", want},
		{"", "", "2026-01-02T02:04:05.017021-01", want},
		{"", "", "2026-01-02 03:04:05.017021 +0000 UTC", want},
		{"", "", "2026/01/02_03:04:05.017021", want},
		{"", "", "20260102T030405.017021Z", want},
		{"", "", " 2026-01-02 03:04:05.017021 ", want},
		{"", "Europe/Berlin", "2026-01-02 04:04:05.017021", want},
		{"", "Europe/Berlin", "2026-01-02 03:04:05.017021Z", want},
		{"", "", "2026-01-02T04:04:05.017021+01:00[Europe/Berlin]", want},
		{"", "", "1767323045.017021", "2026-01-02T03:04:05.017020"},
		{"", "", "1767323045017", "2026-01-02T03:04:05.017Z"},
		{"", "", "2026-01-02 03:04:05.0170219999", "2026-01-02T03:04:05.017021999Z"},
		{"", "", "2026-01-02 03:04", "2026-01-02T03:04:00Z"},
		{"", "", "2026-01-02", "2026-01-02T00:00:00Z"},
		{"", "", "2026-12-31T23:59:60Z", "2026-12-31T23:59:59.999999999Z"},
		{"", "", "2026-01-02T24:00:00Z", "2026-01-03T00:00:00Z"},
		{"", "", "2024-02-29T00:00:00Z", "2024-02-29T00:00:00Z"},
		{"", "", "2026-02-29T00:00:00Z", ""},
		{"", "", "2026-01-02T03:04:05+24:00", ""},
		{"", "", "2026-01-02T03:04:05 CET", ""},
		{"", "", "2026-01-02T03:04:05Zz!", ""},
		{"", "", "2026-01-02T3:04:05Z", ""},
		{"", "", "2026-01-02T03:04:61Z", ""},
		{"", "", "2026-01-02T03:04:05.Z", ""},
		{"", "", "2026-13-02T03:04:05Z", ""},
		{"", "", "1969-12-31T23:59:59Z", ""},
		{"", "", "9999-12-31T23:59:59Z", ""},
		{"", "", "02/Jan/2026:03:04:05 +0000", ""},
		{"", "", "-5", ""},
		{"", "", "1e300", ""},
		{"%d/%b/%Y:%H:%M:%S %z", "", "02/Jan/2026:04:04:05 +0100", "2026-01-02T03:04:05Z"},
		{"02/Jan/2006:15:04:05 -0700", "", "02/Jan/2026:04:04:05 +0100", "2026-01-02T03:04:05Z"},
		{"%Y-%m-%d %H:%M:%S,%f", "Asia/Kolkata", "2026-01-02 08:34:05,017021", want},
		{"%d.%m.%Y %H:%M:%S", "Europe/Berlin", "02.01.2026 04:04:05", "2026-01-02T03:04:05Z"},
		{"%b %e %H:%M:%S", "", "Jan  2 03:04:05", "2026-01-02T03:04:05Z"},
		{"%b %e %H:%M:%S", "", "Dec 31 23:59:59", "2025-12-31T23:59:59Z"},
		{"%a, %d %b %Y %T %Z", "", "Fri, 02 Jan 2026 03:04:05 GMT", "2026-01-02T03:04:05Z"},
		{"%a, %d %b %Y %T %Z", "", "Fri, 02 Jan 2026 03:04:05 XYZ", ""},
		{"%a, %d %b %Y %T %Z", "America/New_York", "Thu, 01 Jan 2026 22:04:05 EST", "2026-01-02T03:04:05Z"},
		{"%s", "", "1767323045", "2026-01-02T03:04:05Z"},
		{"%s", "", "2026-01-02T03:04:05Z", ""},
	} {
		times, err := NewTimes(c.format, c.zone, 0)
		if err != nil {
			t.Fatal(c.format, err)
		}
		got := ""
		at, ok := times.Read(c.in, read)
		if ok {
			got = at.Format(time.RFC3339Nano)
		}
		if len(c.want) > 0 && c.want[len(c.want)-1] != 'Z' { // a float
			got = got[:min(len(got), len(c.want))]
		}
		if got != c.want {
			t.Errorf("%q with %q in %q: %q, want %q", c.in, c.format, c.zone, got, c.want)
		}
	}
	near, _ := NewTimes("", "", time.Hour)
	for in, want := range map[string]bool{"2026-01-15T11:00:00Z": true, "2026-01-15T10:59:59Z": false, "2026-01-15T13:00:01Z": false} {
		if _, ok := near.Read(in, read); ok != want {
			t.Errorf("within an hour, %s: %t", in, ok)
		}
	}
}

func TestNewTimesRefuses(t *testing.T) {
	for format, zone := range map[string]string{"%H:%M:%S": "", "15:04": "", "%Y-%m-%d %Q": "", "%Y-%m-%d %": "", "%Y%m%d%f": "", "%d.%m.2026": "", "": "Europe/Atlantis"} {
		if _, err := NewTimes(format, zone, 0); err == nil {
			t.Errorf("%q in %q is taken", format, zone)
		}
	}
}

func FuzzTimesRead(f *testing.F) {
	for _, s := range []string{"2026-01-02T03:04:05.017021+0000", "20260102T030405Z", "2026-01-02 03:04:05 +0000 UTC", "1767323045.5"} {
		f.Add(s)
	}
	read := time.Date(2026, 1, 15, 12, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, s string) {
		at, ok := (&Times{}).Read(s, read)
		if !ok {
			return
		}
		if again, ok := (&Times{}).Read(at.Format(time.RFC3339Nano), read); !ok || !again.Equal(at) {
			t.Errorf("%q is %v, and that is %v", s, at, again)
		}
		if strict, err := time.Parse(time.RFC3339, s); err == nil && !strict.Equal(at) {
			t.Errorf("%q is %v, want %v", s, at, strict)
		}
	})
}
