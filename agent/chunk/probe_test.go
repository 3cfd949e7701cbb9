package chunk

import "testing"

func TestProbeKey(t *testing.T) {
	for want, in := range map[string][2]string{
		"_spoolship_probe_web1":                     {"", "web1-q-1.ndjson"},
		"events/_spoolship_probe_web1":              {"events/", "events/web1-q-1.ndjson"},
		"events-_spoolship_probe_web1":              {"events-", "events-web1-q-1.ndjson"},
		"e/app/dt=2026-01-02/_spoolship_probe_web1": {"e/", "e/app/dt=2026-01-02/web1-q-1.ndjson"},
	} {
		if got := ProbeKey(in[0], in[1], "web1"); got != want || !IsProbe(got) {
			t.Errorf("%v: got %q, a probe: %v", in, got, IsProbe(got))
		}
	}
	for _, key := range []string{"", "a", "app/x.gz", "_spoolship_probe_", "_spoolship_probe_x/y"} {
		if IsProbe(key) {
			t.Errorf("%q is taken for a probe", key)
		}
	}
}
